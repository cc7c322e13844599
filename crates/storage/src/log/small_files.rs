//! The small files of many logs, made to last by one sync of the file system: a sync for each costs more than a millisecond, and
//! a broker that gets thousands of partitions has as many of them to write.
//!
//! What is to be written lies beside the file first; once the file system is synced it takes the file's place; and only once that is
//! synced too is nobody to write it any more. Whoever must have the file on the disk sooner writes it by itself meanwhile, by
//! another temporary name.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::Log;
use crate::checkpoint::{
    CheckpointError, LEADER_EPOCH_CHECKPOINT_FILE, PARTITION_METADATA_FILE, drop_gathered,
    leader_epochs_text, partition_metadata_text, place_gathered, write_gathered,
};

/// What was gathered of a log.
pub(crate) struct GatheredFiles {
    topic_id: bool,
    /// The version of the epochs.
    epochs: Option<u64>,
}

impl Log {
    /// Whether small files of the log are behind: those that [`Log::write_checkpoints`] writes.
    pub(crate) fn has_small_files_behind(&self) -> bool {
        self.topic_id_dirty.load(Ordering::Acquire) || self.unwritten_epochs().is_some()
    }

    /// Writes the small files that are behind beside their places; nothing is synced. Nothing comes of it where the log was deleted
    /// meanwhile, or on an error, which takes the log directory offline and is logged there.
    pub(crate) fn gather_small_files(&self) -> Option<GatheredFiles> {
        self.health.check().ok()?;
        let gather = || -> io::Result<GatheredFiles> {
            let topic_id = self.topic_id().filter(|_| self.topic_id_dirty.load(Ordering::Acquire));
            if let Some(id) = topic_id {
                write_gathered(
                    &self.small_file(PARTITION_METADATA_FILE),
                    partition_metadata_text(id).as_bytes(),
                )?;
            }
            let (version, entries) = {
                let epochs = self.epochs.read();
                (epochs.unwritten(self.log_end_offset()), epochs.entries())
            };
            if version.is_some() {
                let text = leader_epochs_text(&entries);
                write_gathered(&self.small_file(LEADER_EPOCH_CHECKPOINT_FILE), text.as_bytes())?;
            }
            Ok(GatheredFiles { topic_id: topic_id.is_some(), epochs: version })
        };
        gather().map_err(|error| self.small_files_failed(error)).ok()
    }

    /// Puts them into their places, once the file system is synced. Epochs that have changed since, or that somebody else has written,
    /// are not put there. Returns false where that failed, as [`Log::gather_small_files`] does.
    pub(crate) fn place_small_files(&self, files: &GatheredFiles) -> bool {
        let place = || -> io::Result<()> {
            if files.topic_id {
                // Whoever has written it meanwhile has written the same.
                place_gathered(&self.small_file(PARTITION_METADATA_FILE))?;
            }
            if let Some(version) = files.epochs {
                let path = self.small_file(LEADER_EPOCH_CHECKPOINT_FILE);
                // **Invariant:** whoever writes the epochs holds this lock, so that older ones never take the place of newer ones.
                let _one_at_a_time = self.flush.lock();
                if self.unwritten_epochs() == Some(version) {
                    place_gathered(&path)?;
                } else {
                    drop_gathered(&path)?;
                }
            }
            Ok(())
        };
        self.health.check().is_ok() && place().map_err(|error| self.small_files_failed(error)).is_ok()
    }

    /// Notes that they last, once the file system is synced again.
    pub(crate) fn settle_small_files(&self, files: &GatheredFiles) {
        if files.topic_id {
            self.topic_id_dirty.store(false, Ordering::Release);
        }
        if let Some(version) = files.epochs {
            self.epochs.write().mark_written(version);
        }
    }

    fn unwritten_epochs(&self) -> Option<u64> {
        self.epochs.read().unwritten(self.log_end_offset())
    }

    fn small_file(&self, name: &str) -> PathBuf {
        self.dir.get().join(name)
    }

    fn small_files_failed(&self, error: io::Error) {
        // The directory of a log that was deleted, or took another's place, has no file to write.
        if error.kind() != io::ErrorKind::NotFound {
            let error = CheckpointError::io(&self.dir.get(), error).into_io();
            self.fail("Error while writing the small files of a log", error);
        }
    }
}
