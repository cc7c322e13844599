//! Making records last (`UnifiedLog.flush`).

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Log;
use crate::checkpoint::{Sync, sync_dir, write_leader_epochs_with};
use crate::error::LogError;
use crate::segment::LogSegment;

impl Log {
    /// Syncs everything that was appended, and moves the recovery point to the log's end. Blocks for the disk, but neither appends
    /// nor reads wait for it.
    ///
    /// # Errors
    /// Those of the file system; then nothing is known to last that was not known before.
    pub fn flush(&self) -> Result<(), LogError> {
        self.flush_up_to(self.log_end_offset())
    }

    /// The same, up to an offset: the active segment is left alone if it begins there.
    ///
    /// # Errors
    /// As [`Log::flush`].
    pub fn flush_up_to(&self, offset: i64) -> Result<(), LogError> {
        self.health.check()?;
        let _one_at_a_time = self.flush.lock();
        let recovery_point = self.recovery_point();
        let log_end_offset = self.log_end_offset();
        let truncated = self.truncated.load(Ordering::Acquire);
        if offset.min(log_end_offset) <= recovery_point && !truncated {
            // Whoever held the lock has synced this too: one sync serves all who waited for it.
            return Ok(());
        }
        let truncated = truncated && offset >= log_end_offset;
        let syncs_active = truncated || offset > self.active_segment().base_offset();
        let target = if syncs_active { log_end_offset } else { offset };
        let truncations = self.truncations.load(Ordering::Acquire);
        self.sync_segments(recovery_point, target, truncated)
            .map_err(|error| self.fail("Error while flushing log", error))?;
        let writer = self.writer.lock();
        // What was truncated and appended again meanwhile may be in no sync.
        if self.truncations.load(Ordering::Acquire) == truncations {
            self.recovery_point.fetch_max(target, Ordering::AcqRel);
            if truncated {
                self.truncated.store(false, Ordering::Release);
            }
        }
        drop(writer);
        Ok(())
    }

    /// Flushes what a roll has left behind: all segments but the active one.
    ///
    /// # Errors
    /// As [`Log::flush`].
    pub fn flush_inactive_segments(&self) -> Result<(), LogError> {
        self.flush_up_to(self.active_segment().base_offset())
    }

    /// Flushes if `flush.ms` has passed since this was last done, or a segment was rolled. Returns whether anything was synced.
    ///
    /// # Errors
    /// As [`Log::flush`].
    pub fn flush_if_due(&self, now_ms: i64) -> Result<bool, LogError> {
        let recovery_point = self.recovery_point();
        if recovery_point >= self.log_end_offset() {
            self.last_flush_ms.store(now_ms, Ordering::Relaxed);
            return Ok(false);
        }
        let waited_ms = now_ms.saturating_sub(self.last_flush_ms.load(Ordering::Relaxed));
        if waited_ms >= self.config().flush_ms {
            self.last_flush_ms.store(now_ms, Ordering::Relaxed);
            self.flush()?;
        } else {
            self.flush_inactive_segments()?;
        }
        Ok(self.recovery_point() > recovery_point)
    }

    /// Records that may be lost if the machine stops now.
    pub fn unflushed_messages(&self) -> i64 {
        self.log_end_offset() - self.recovery_point()
    }

    /// Syncs what lies between two offsets. The active segment is among it where a truncation is to last.
    fn sync_segments(&self, from: i64, to: i64, truncated: bool) -> io::Result<()> {
        let segments: Arc<Vec<Arc<LogSegment>>> = self.segments.load_full();
        let first = Self::floor_segment(&segments, from).map_or(0, |(index, _)| index);
        let last_base_offset = segments.last().map_or(0, |segment| segment.base_offset());
        for segment in segments.iter().skip(first) {
            let is_active = segment.base_offset() == last_base_offset;
            if segment.base_offset() >= to && !(truncated && is_active) {
                break;
            }
            match segment.sync(!is_active) {
                // Retention has taken the segment meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !is_active => continue,
                other => other?,
            }
        }
        if self.write_epochs(Sync::Content)? {
            self.new_names.store(true, Ordering::Release);
        }
        self.sync_names()
    }

    /// Makes the names of new files last, and that of the directory.
    fn sync_names(&self) -> io::Result<()> {
        // Set after a file was made and before anybody can append to it.
        if !self.new_names.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let sync = || -> io::Result<()> {
            sync_dir(&self.dir.get())?;
            if !self.dir_synced.load(Ordering::Relaxed) {
                sync_dir(self.health.dir())?;
                self.dir_synced.store(true, Ordering::Relaxed);
            }
            Ok(())
        };
        sync().inspect_err(|_| self.new_names.store(true, Ordering::Release))
    }

    /// Writes `leader-epoch-checkpoint` if an epoch has come or gone, and says whether it did.
    pub(super) fn write_epochs(&self, sync: Sync) -> io::Result<bool> {
        let entries = {
            let mut epochs = self.epochs.write();
            if !epochs.take_dirty(self.log_end_offset()) {
                return Ok(false);
            }
            epochs.entries()
        };
        write_leader_epochs_with(&self.dir.get(), &entries, sync).map_err(|error| {
            self.epochs.write().mark_dirty();
            error.into_io()
        })?;
        Ok(true)
    }

    /// Writes the small files of the partition that are behind: leader epochs and topic id.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write_checkpoints(&self) -> Result<(), LogError> {
        self.flush_metadata_file_with(Sync::Now)?;
        let _one_at_a_time = self.flush.lock();
        self.write_epochs(Sync::Now)
            .map_err(|error| self.fail("Error while writing leader epochs", error))?;
        Ok(())
    }
}
