//! The milena program: a broker, and the tools that people know from Apache Kafka.
//!
//! Under the name `kafka-topics.sh` or `kafka-topics` (a symbolic link) the program is that tool.

mod commands;
mod deferred;
mod flags;
mod memory;
mod report;
mod tool_names;

use std::process::ExitCode;

use clap::Parser;

use commands::Command;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Apache Kafka, implemented in Rust: a broker and its tools in one program.
#[derive(Parser)]
#[command(name = "milena", version, subcommand_required = true, arg_required_else_help = true)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let arguments = tool_names::arguments(std::env::args_os().collect());
    let tool = arguments.get(1).and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    match Program::try_parse_from(arguments) {
        Ok(program) => commands::run(program.command),
        Err(error) => {
            let is_help = !error.use_stderr();
            match flags::complaint(&tool, &error) {
                Some(complaint) => eprintln!("{complaint}\n--help says what there is."),
                // Broken pipes and closed terminals are nobody's concern here.
                None => drop(error.print()),
            }
            // Kafka's tools exit with 1 where clap would say 2.
            if is_help { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}
