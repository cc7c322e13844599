//! `milena install-tools DIR`: symbolic links with the names that people's notes and scripts have.

use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::report::failure;
use crate::tool_names::TOOLS;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The directory for the links; made if it is missing
    directory: PathBuf,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    match install(&arguments.directory) {
        Ok(count) => {
            println!("{count} links in {}", arguments.directory.display());
            ExitCode::SUCCESS
        }
        Err((path, error)) => failure(format_args!("{}: {error}", path.display())),
    }
}

fn install(directory: &Path) -> Result<usize, (PathBuf, io::Error)> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| (path, error)
    };
    std::fs::create_dir_all(directory).map_err(at(directory))?;
    let program = std::env::current_exe().map_err(at(directory))?;
    let mut count = 0;
    for tool in TOOLS {
        for suffix in ["", ".sh"] {
            let link = directory.join(format!("kafka-{tool}{suffix}"));
            // A link from before is replaced; anything else in the way stays and is named.
            if link.is_symlink() {
                std::fs::remove_file(&link).map_err(at(&link))?;
            }
            symlink(&program, &link).map_err(at(&link))?;
            count += 1;
        }
    }
    Ok(count)
}
