//! `milena metadata-shell`, which is `kafka-metadata-shell.sh` (`org.apache.kafka.shell.MetadataShell`): the metadata of a snapshot or
//! of a segment of `__cluster_metadata`, to walk through like a file system.

mod commands;
mod glob;
mod interactive;
mod load;
mod node;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use commands::Shell;

use crate::report::failure;

/// Look into a snapshot, or the log, of the metadata
#[derive(clap::Args, Debug)]
#[command(arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// A snapshot (.checkpoint) or a segment (.log) of __cluster_metadata-0; or the directory, for its newest snapshot and what follows
    #[arg(short, long, value_name = "SNAPSHOT")]
    snapshot: PathBuf,
    /// A command to run, in place of a prompt: cat, find, ls or tree, with paths
    #[arg(trailing_var_arg = true)]
    command: Vec<String>,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let is_interactive = arguments.command.is_empty();
    if is_interactive {
        println!("Loading...");
    }
    let loaded = match load::load(&arguments.snapshot) {
        Ok(loaded) => loaded,
        Err(error) => return failure(format_args!("Unexpected error: {error}")),
    };
    if is_interactive {
        println!("Starting...");
        return match interactive::run(&loaded.image) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failure(format_args!("Unexpected error: {error}")),
        };
    }
    let mut shell = Shell { image: &loaded.image, directory: "/".to_owned(), history: None, width: None };
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    match shell.run(&arguments.command, &mut out).and_then(|_| out.flush()) {
        // Whoever closed the pipe has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            failure(format_args!("Unexpected error: {error}"))
        }
        _ => ExitCode::SUCCESS,
    }
}
