//! A snapshot that comes from the leader in pieces (`FileRawSnapshotWriter` behind `FetchSnapshot`): bytes as they are, in a
//! file that gets its name only when it is whole and synced.

use std::io::Write;
use std::path::{Path, PathBuf};

use ::io::fs::{self, File};

use super::{FrozenSnapshot, SnapshotReader, path};
use crate::OffsetAndEpoch;
use crate::error::{Result, at};

/// A snapshot being received. Dropped before [`SnapshotDownload::freeze`], it leaves nothing.
#[derive(Debug)]
pub struct SnapshotDownload {
    log_dir: PathBuf,
    id: OffsetAndEpoch,
    temporary: Option<PathBuf>,
    file: File,
    size_in_bytes: u64,
}

impl SnapshotDownload {
    /// Begins the snapshot `id` in `log_dir`.
    pub fn create(log_dir: &Path, id: OffsetAndEpoch) -> Result<SnapshotDownload> {
        let temporary = log_dir.join(format!("{}-download{}", path::file_name(id), path::PARTIAL_SUFFIX));
        // One node owns the directory and receives one snapshot at a time: what is there is of an attempt that was given up.
        let _ = fs::remove_file(&temporary);
        let file = File::create_new(&temporary, 0o600);
        Ok(SnapshotDownload {
            log_dir: log_dir.to_owned(),
            id,
            file: file.map_err(at(&temporary))?,
            temporary: Some(temporary),
            size_in_bytes: 0,
        })
    }

    /// Its id.
    pub fn id(&self) -> OffsetAndEpoch {
        self.id
    }

    /// How much of it is here: the position of the next piece.
    pub fn size_in_bytes(&self) -> u64 {
        self.size_in_bytes
    }

    /// Adds a piece.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.size_in_bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(at(self.temporary.as_deref().unwrap_or(&self.log_dir)))
    }

    /// It is whole: reads it through once, syncs it, and gives it its name.
    ///
    /// Errors: it is not a snapshot, or not all of one; the disk.
    pub fn freeze(mut self) -> Result<FrozenSnapshot> {
        let destination = path::snapshot_path(&self.log_dir, self.id);
        if let Some(temporary) = &self.temporary {
            // What is wrong with it is found now, while the leader can still be asked for another.
            let mut reader = SnapshotReader::open_file(temporary, self.id)?;
            while reader.next_batch()?.is_some() {}
            (|| {
                self.file.sync_all()?;
                self.file.set_mode(0o400)?;
                fs::rename(temporary, &destination)?;
                fs::sync_dir(&self.log_dir)
            })()
            .map_err(at(&destination))?;
        }
        self.temporary = None;
        Ok(FrozenSnapshot { id: self.id, size_in_bytes: self.size_in_bytes })
    }
}

impl Drop for SnapshotDownload {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // What stays behind is removed when the log is opened.
            let _ = fs::remove_file(temporary);
        }
    }
}
