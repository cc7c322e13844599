//! The mark of a clean stop (`CleanShutdownFileHandler`, KIP-966): while it stands, the logs of the directory need no recovery.

use std::io;
use std::path::{Path, PathBuf};

use ::io::fs;

use super::{CheckpointError, read_text};

/// The file's name in a log directory.
const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";

/// The mark of one log directory.
#[derive(Debug, Clone)]
pub struct CleanShutdownFile {
    path: PathBuf,
}

impl CleanShutdownFile {
    /// The mark of `log_dir`.
    pub fn new(log_dir: &Path) -> CleanShutdownFile {
        CleanShutdownFile { path: log_dir.join(CLEAN_SHUTDOWN_FILE) }
    }

    /// Sets the mark, with the epoch in which the broker was registered.
    pub fn write(&self, broker_epoch: i64) -> Result<(), CheckpointError> {
        super::replace_file(
            &self.path,
            format!("{{\"version\":0,\"brokerEpoch\":{broker_epoch}}}").as_bytes(),
        )
    }

    /// Whether the directory was closed cleanly. Brokers before Kafka 3.8 left an empty file, which counts.
    pub fn exists(&self) -> bool {
        fs::exists(&self.path)
    }

    /// The broker epoch in the file; `None` if there is no file, or none is in it.
    pub fn read(&self) -> Option<i64> {
        let text = read_text(&self.path).ok()??;
        // One flat object of numbers: `{"version":0,"brokerEpoch":5}`, with whatever spaces and further fields.
        let after = text.split_once("\"brokerEpoch\"")?.1.trim_start().strip_prefix(':')?.trim_start();
        let end = after.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(after.len());
        after[..end].parse().ok()
    }

    /// Takes the mark away: from now on a stop is unclean until it is set again.
    pub fn delete(&self) -> Result<(), CheckpointError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(CheckpointError::io(&self.path, error))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_carries_the_broker_epoch() {
        let dir = tempfile::tempdir().unwrap();
        let file = CleanShutdownFile::new(dir.path());
        assert!(!file.exists());
        assert_eq!(file.read(), None);
        file.write(17).unwrap();
        assert!(file.exists());
        assert_eq!(file.read(), Some(17));
        file.write(-1).unwrap();
        assert_eq!(file.read(), Some(-1));
        assert_eq!(fs::read_to_string(&file.path).unwrap(), "{\"version\":0,\"brokerEpoch\":-1}");
        fs::write(&file.path, "").unwrap();
        assert!(file.exists());
        assert_eq!(file.read(), None);
        file.delete().unwrap();
        file.delete().unwrap();
        assert!(!file.exists());
    }
}
