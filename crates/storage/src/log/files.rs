//! The log's directory as a whole: closing, renaming, letting go of descriptors.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ::io::fs;

use super::Log;
use crate::checkpoint::Sync;
use crate::error::LogError;
use crate::segment::LogSegment;

/// A directory in which files appear while it is deleted is not tried more often.
const TRIES_TO_DELETE: usize = 10;

impl Log {
    /// Ends the log's use as a clean stop does: everything is synced, the producer state is written, the indexes get their last entries.
    /// What is asked of it later fails.
    ///
    /// # Errors
    /// Those of the file system. The log is closed all the same.
    pub fn close(&self) -> Result<(), LogError> {
        self.close_with(Sync::Now)
    }

    /// The same, everything synced now, or by the caller, who then calls [`Self::settle_closed`].
    pub(crate) fn close_with(&self, sync: Sync) -> Result<(), LogError> {
        if self.writer.lock().closed {
            return Ok(());
        }
        self.abort_cleaning();
        self.await_cleaner();
        self.flush_metadata_file_with(sync)?;
        if sync == Sync::Now {
            self.flush()?;
        }
        let _nobody_places_files_meanwhile = self.flush.lock();
        let mut writer = self.writer.lock();
        writer.closed = true;
        self.health.check()?;
        let mut result = || -> std::io::Result<()> {
            // Appends between the flush and the lock are rare, and then they are few.
            self.write_epochs(sync)?;
            if writer.producers.take_last_snapshot(sync == Sync::Now)? && sync == Sync::Now {
                // Behind a clean stop nobody looks for producers that no snapshot names.
                crate::checkpoint::sync_dir(&self.dir.get())?;
            }
            let segments = self.segments.load_full();
            let preallocated = self.config.load().preallocate;
            if let Some(active) = segments.last()
                && sync == Sync::Now
                && self.recovery_point() < self.log_end_offset()
            {
                active.sync(false)?;
                self.recovery_point.store(self.log_end_offset(), Ordering::Release);
            }
            for (index, segment) in segments.iter().enumerate() {
                segment.close(preallocated && index + 1 == segments.len(), sync)?;
            }
            Ok(())
        };
        result().map_err(|error| self.fail("Error while closing the log", error))?;
        Ok(())
    }

    /// The whole file system was synced since the log was closed: nothing of it is to be recovered.
    pub(crate) fn settle_closed(&self) {
        // Invariant: a closed log takes nothing more, so that its end is the one that was synced.
        debug_assert!(self.writer.lock().closed, "the log is closed");
        self.recovery_point.store(self.log_end_offset(), Ordering::Release);
    }

    /// Closes the descriptors of segments that nobody has used since this was last called, and gives back memory. They come back
    /// when they are needed.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn release_idle(&self) -> Result<(), LogError> {
        let segments: Arc<Vec<Arc<LogSegment>>> = self.segments.load_full();
        for segment in segments.iter() {
            segment.release_idle().map_err(|error| self.fail("Error while closing idle segments", error))?;
        }
        Ok(())
    }

    /// Closes the descriptors of a log that is to be deleted, used or not.
    pub(crate) fn close_files(&self) {
        self.segments.load().iter().for_each(|segment| segment.close_files());
    }

    /// Renames the partition's directory: to `...-delete` before it is deleted, or to `...-stray`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn rename_dir(&self, name: &str) -> Result<(), LogError> {
        self.rename_dir_with(name, Sync::Now)
    }

    /// The same, the new name synced now or by the caller.
    pub(crate) fn rename_dir_with(&self, name: &str, sync: Sync) -> Result<(), LogError> {
        let _no_sync_meanwhile = self.flush.lock();
        let _nothing_is_written_meanwhile = self.writer.lock();
        self.health.check()?;
        let old = self.dir();
        let new = old.with_file_name(name);
        let result = || -> std::io::Result<()> {
            fs::rename(&old, &new)?;
            match sync {
                Sync::ByCaller => Ok(()),
                _ => crate::checkpoint::sync_dir(self.health.dir()),
            }
        };
        self.abort_cleaning();
        result().map_err(|error| self.fail("Error while renaming the log's directory", error))?;
        self.dir.set(&new);
        Ok(())
    }

    /// Deletes the partition's directory with everything in it. The log is closed.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn delete(&self) -> Result<(), LogError> {
        self.abort_cleaning();
        self.await_cleaner();
        let mut writer = self.writer.lock();
        writer.closed = true;
        let mut tries = 0;
        loop {
            match fs::remove_dir_all(self.dir()) {
                // Whoever still held the log has put a file there meanwhile: soon nobody can.
                Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty && tries < TRIES_TO_DELETE => {
                    tries += 1
                }
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(self.fail("Error while deleting log", error).into());
                }
                _ => return Ok(()),
            }
        }
    }

    /// Says that the log will not be used any more, without writing anything: its directory is about to be deleted, or has failed.
    pub fn abandon(&self) {
        self.abort_cleaning();
        self.writer.lock().closed = true;
    }
}
