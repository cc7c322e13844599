//! The small text files of a log directory and of a partition: each is written whole, synced and renamed into place.

mod boot_mark;
mod clean_shutdown;
mod leader_epochs;
mod meta_properties;
mod offsets;
mod partition_metadata;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(crate) use ::io::fs::sync_dir;
use ::io::fs::{self, File};
pub(crate) use boot_mark::BootMark;
pub use clean_shutdown::CleanShutdownFile;
pub use leader_epochs::{LEADER_EPOCH_CHECKPOINT_FILE, read_leader_epochs, write_leader_epochs};
pub(crate) use leader_epochs::{leader_epochs_text, write_leader_epochs_with};
pub use meta_properties::{META_PROPERTIES_FILE, MetaProperties};
pub use offsets::{
    CLEANER_OFFSET_CHECKPOINT_FILE, LOG_START_OFFSET_CHECKPOINT_FILE, RECOVERY_POINT_CHECKPOINT_FILE,
    REPLICATION_OFFSET_CHECKPOINT_FILE, read_offsets, write_offsets,
};
pub use partition_metadata::{PARTITION_METADATA_FILE, read_partition_metadata, write_partition_metadata};
pub(crate) use partition_metadata::{partition_metadata_text, write_partition_metadata_with};

/// Why a file could not be read or written. The text names the file.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The operating system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is not in its format.
    #[error("Malformed line in checkpoint file [{}]: {line}", .path.display())]
    MalformedLine {
        /// The file.
        path: PathBuf,
        /// The line that is not understood.
        line: String,
    },
    /// The file is of a version that this program does not know.
    #[error("Unrecognised version:{version}, expected version: {expected} in checkpoint file at: {}", .path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version found.
        version: i64,
        /// The version known.
        expected: i32,
    },
    /// The file says that it has another number of entries than it has.
    #[error("Expected [{expected}] entries in checkpoint file [{}], but found only [{found}]", .path.display())]
    Count {
        /// The file.
        path: PathBuf,
        /// What its second line says.
        expected: i64,
        /// What it holds.
        found: usize,
    },
}

impl CheckpointError {
    pub(crate) fn io(path: &Path, source: io::Error) -> CheckpointError {
        CheckpointError::Io { path: path.to_owned(), source }
    }

    pub(crate) fn malformed(path: &Path, line: &str) -> CheckpointError {
        // The line may be of any length and content: what is shown of it is bounded.
        let line = line.chars().take(200).collect::<String>().escape_debug().to_string();
        CheckpointError::MalformedLine { path: path.to_owned(), line }
    }

    /// The operating system's error, if that is what it is.
    pub fn into_io(self) -> io::Error {
        match self {
            CheckpointError::Io { path, source } => {
                io::Error::new(source.kind(), format!("{}: {source}", path.display()))
            }
            other => io::Error::new(io::ErrorKind::InvalidData, other),
        }
    }
}

/// When what is written survives a crash of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    /// When the call returns.
    Now,
    /// What it holds, when the call returns: its name, with those of other new files, when the caller syncs the directory.
    Content,
    /// When the caller has synced the whole file system, as a stop does that writes the files of many logs.
    ByCaller,
}

/// Writes `content` to `<path>.tmp`, syncs it and renames it over `path`, so that after a crash either the old or the new
/// content is there, whole. The directory is synced too, so that the rename lasts.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> Result<(), CheckpointError> {
    replace_file_with(path, content, Sync::Now)
}

/// The same, synced now or by the caller.
pub(crate) fn replace_file_with(path: &Path, content: &[u8], sync: Sync) -> Result<(), CheckpointError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        if sync != Sync::ByCaller {
            file.sync_all()?;
        }
        drop(file);
        fs::rename(&temporary, path)?;
        match path.parent() {
            _ if sync != Sync::Now => Ok(()),
            Some(directory) if !directory.as_os_str().is_empty() => sync_dir(directory),
            _ => Ok(()),
        }
    };
    write().map_err(|source| CheckpointError::io(path, source))
}

/// What a file that waits for [`place_gathered`] is called behind its name: no other writer of the same file uses it.
const GATHERED_SUFFIX: &str = ".gathered.tmp";

fn gathered_path(path: &Path) -> PathBuf {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(GATHERED_SUFFIX);
    PathBuf::from(temporary)
}

/// Writes what [`place_gathered`] puts in the place of `path` once the file system is synced, and with it many others.
pub(crate) fn write_gathered(path: &Path, content: &[u8]) -> io::Result<()> {
    File::create(gathered_path(path))?.write_all(content)
}

/// Puts what was gathered for `path` into its place. Its content was synced; its name is not.
pub(crate) fn place_gathered(path: &Path) -> io::Result<()> {
    fs::rename(gathered_path(path), path)
}

/// Drops what was gathered for `path`.
pub(crate) fn drop_gathered(path: &Path) -> io::Result<()> {
    fs::remove_file(gathered_path(path))
}

/// Reads a whole file as text. `None` if there is none.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>, CheckpointError> {
    match fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(error) => Err(CheckpointError::malformed(path, &String::from_utf8_lossy(error.as_bytes()))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CheckpointError::io(path, error)),
    }
}

/// Writes a file in the form of `CheckpointFile`: version, number of entries, one entry a line.
pub(crate) fn write_checkpoint(
    path: &Path,
    lines: impl ExactSizeIterator<Item = String>,
    sync: Sync,
) -> Result<(), CheckpointError> {
    replace_file_with(path, checkpoint_text(lines).as_bytes(), sync)
}

/// The text of a file in the form of `CheckpointFile`.
fn checkpoint_text(lines: impl ExactSizeIterator<Item = String>) -> String {
    let mut text = format!("{CHECKPOINT_VERSION}\n{}\n", lines.len());
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Reads a file in the form of `CheckpointFile`. A file that is absent or empty has no entries, as in Kafka.
pub(crate) fn read_checkpoint<T>(
    path: &Path,
    mut parse: impl FnMut(&mut dyn Iterator<Item = &str>) -> Option<T>,
) -> Result<Vec<T>, CheckpointError> {
    let Some(text) = read_text(path)? else { return Ok(Vec::new()) };
    let mut lines = text.lines();
    let number = |line: &str| line.parse::<i64>().map_err(|_| CheckpointError::malformed(path, line));
    let Some(version) = lines.next() else { return Ok(Vec::new()) };
    let version = number(version)?;
    if version != i64::from(CHECKPOINT_VERSION) {
        return Err(CheckpointError::Version {
            path: path.to_owned(),
            version,
            expected: CHECKPOINT_VERSION,
        });
    }
    let Some(expected) = lines.next() else { return Ok(Vec::new()) };
    let expected = number(expected)?;
    let mut entries = Vec::new();
    for line in lines {
        let mut words = line.split_whitespace();
        match parse(&mut words) {
            Some(entry) if words.next().is_none() => entries.push(entry),
            _ => return Err(CheckpointError::malformed(path, line)),
        }
    }
    if entries.len() as i64 != expected {
        return Err(CheckpointError::Count { path: path.to_owned(), expected, found: entries.len() });
    }
    Ok(entries)
}

/// The version of all files in the form of `CheckpointFile`.
const CHECKPOINT_VERSION: i32 = 0;
