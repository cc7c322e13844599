//! Whether a log directory can still be used (`LogDirFailureChannel`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::StorageError;

/// The state of one log directory, shared by its logs. An error of the operating system takes the directory offline for good: what
/// it holds can no longer be trusted to be what was written, and another replica goes on.
#[derive(Debug)]
pub struct DirHealth {
    dir: PathBuf,
    offline: AtomicBool,
}

impl DirHealth {
    /// A directory that works.
    pub fn new(dir: &Path) -> DirHealth {
        DirHealth { dir: dir.to_owned(), offline: AtomicBool::new(false) }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether the directory has failed.
    pub fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Acquire)
    }

    /// An error if the directory has failed.
    pub(crate) fn check(&self) -> Result<(), StorageError> {
        if self.is_offline() { Err(StorageError::Offline { dir: self.dir.clone() }) } else { Ok(()) }
    }

    /// Takes the directory offline because of `source`, which is logged once.
    pub(crate) fn fail(&self, action: String, source: io::Error) -> StorageError {
        if !self.offline.swap(true, Ordering::AcqRel) {
            let advice = match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "free space on the disk and start the broker again"
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    "make the directory writable for the broker's user and start the broker again"
                }
                _ => "look at the disk and start the broker again",
            };
            tracing::error!(
                dir = %self.dir.display(), error = %source,
                "{action}: the log directory is offline from now on; {advice}"
            );
        }
        StorageError::Io { action, dir: self.dir.clone(), source }
    }
}
