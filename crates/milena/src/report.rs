//! What goes wrong, said to a person.

use std::fmt::Display;
use std::process::ExitCode;

/// Prints an error and gives the exit code for it.
pub(crate) fn failure(error: impl Display) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}
