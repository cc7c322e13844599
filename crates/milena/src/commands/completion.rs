//! `milena completion SHELL`: what a shell needs to complete commands and flags.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::deferred;
use crate::tool_names::TOOLS;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
    /// For kafka-topics.sh, kafka-topics and so on too
    #[arg(long)]
    tools: bool,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    // Whoever closed the pipe wants no more.
    let _ = io::stdout().lock().write_all(&arguments.script());
    ExitCode::SUCCESS
}

impl Arguments {
    fn script(&self) -> Vec<u8> {
        let mut script = Vec::new();
        deferred::describe_all();
        let program = crate::Program::command();
        clap_complete::generate(self.shell, &mut program.clone(), "milena", &mut script);
        if self.tools {
            for tool in TOOLS {
                let Some(command) = program.find_subcommand(tool) else { continue };
                for suffix in ["", ".sh"] {
                    // A command's name has to live as long as the program.
                    let name: &'static str = format!("kafka-{tool}{suffix}").leak();
                    let mut command = command.clone().name(name);
                    clap_complete::generate(self.shell, &mut command, name, &mut script);
                }
            }
        }
        script
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_know_the_tools_by_their_usual_names() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(Arguments { shell, tools: true }.script()).unwrap();
            assert!(script.contains("kafka-topics.sh") && script.contains("bootstrap-server"), "{shell}");
        }
    }

    #[test]
    fn every_tool_is_a_command() {
        let program = crate::Program::command();
        for tool in TOOLS {
            assert!(program.find_subcommand(tool).is_some(), "{tool}");
        }
    }
}
