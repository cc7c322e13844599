//! What goes by age, size or request (`UnifiedLog.deleteOldSegments`, the DeleteRecords request).

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Log, Writer};
use crate::error::LogError;
use crate::file_names::{DELETED_FILE_SUFFIX, PRODUCER_SNAPSHOT_FILE_SUFFIX, segment_file};
use crate::segment::LogSegment;

/// Files with `.deleted` behind their names, which go when their time has come.
#[derive(Debug)]
pub(super) struct DeletedFile {
    due_ms: i64,
    what: Deleted,
}

#[derive(Debug)]
enum Deleted {
    Segment(Arc<LogSegment>),
    /// The producer snapshot at an offset.
    Snapshot(i64),
}

impl Log {
    /// Moves the log's start up to `offset`. Returns whether it moved. Whole segments before it go with the next
    /// [`Log::delete_old_segments`].
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] above the high watermark.
    pub fn maybe_increment_log_start_offset(&self, offset: i64) -> Result<bool, LogError> {
        // The lock may be held by who waits for the disk.
        self.health.io(|| {
            let mut writer = self.writer.lock();
            self.check_usable(&writer)?;
            if offset > self.high_watermark() {
                return Err(LogError::OffsetOutOfRange(format!(
                    "Cannot increment the log start offset to {offset} of partition {} since it is larger than the high watermark {}",
                    self.topic_partition,
                    self.high_watermark()
                )));
            }
            Ok(self.increment_log_start_offset(&mut writer, offset))
        })
    }

    fn increment_log_start_offset(&self, writer: &mut Writer, offset: i64) -> bool {
        if offset <= self.log_start_offset() {
            return false;
        }
        self.log_start_offset.store(offset, Ordering::Release);
        // Divergence: Kafka moves the recovery point along, so that records which nobody has synced count as synced, and the log's
        // end can go back when the power goes.
        self.epochs.write().truncate_from_start(offset);
        writer.producers.on_log_start_offset_incremented(offset);
        self.publish_first_unstable_offset(writer);
        true
    }

    /// Deletes the segments that are over: those before the log's start, and, where `cleanup.policy` contains `delete`, those above
    /// `retention.bytes` and older than `retention.ms`. Only what is below the high watermark goes. The files are renamed
    /// now and deleted by [`Log::purge_deleted_files`]. Returns how many segments went.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn delete_old_segments(&self, now_ms: i64) -> Result<usize, LogError> {
        let mut writer = self.writer.lock();
        self.check_usable(&writer)?;
        let config = self.config.load();
        let mut result = || -> io::Result<usize> {
            let log_start_offset = self.log_start_offset();
            let mut deleted =
                self.delete_segments(&mut writer, now_ms, "the log start offset", |_, next| {
                    Ok(next.is_some_and(|next| next <= log_start_offset))
                })?;
            if !config.delete {
                return Ok(deleted);
            }
            let size = self.size() as i64;
            if config.retention_size >= 0 && size >= config.retention_size {
                let mut excess = size - config.retention_size;
                deleted += self.delete_segments(&mut writer, now_ms, "retention.bytes", |segment, _| {
                    let size = segment.size() as i64;
                    let delete = excess >= size;
                    if delete {
                        excess -= size;
                    }
                    Ok(delete)
                })?;
            }
            if config.retention_ms >= 0 {
                deleted += self.delete_segments(&mut writer, now_ms, "retention.ms", |segment, _| {
                    Ok(now_ms.saturating_sub(segment.largest_timestamp()?) > config.retention_ms)
                })?;
            }
            Ok(deleted)
        };
        let deleted = result().map_err(|error| self.fail("Error while deleting segments", error))?;
        Ok(deleted)
    }

    /// Deletes from the oldest segment on as long as `is_over` says so of a segment and the first offset of the next.
    fn delete_segments(
        &self,
        writer: &mut Writer,
        now_ms: i64,
        reason: &str,
        mut is_over: impl FnMut(&LogSegment, Option<i64>) -> io::Result<bool>,
    ) -> io::Result<usize> {
        let segments = self.segments.load_full();
        let mut count = 0;
        for (index, segment) in segments.iter().enumerate() {
            let next = segments.get(index + 1).map(|next| next.base_offset());
            let end = next.unwrap_or_else(|| self.log_end_offset());
            let is_last_and_empty = next.is_none() && segment.size() == 0;
            if is_last_and_empty || self.high_watermark() < end || !is_over(segment, next)? {
                break;
            }
            count += 1;
        }
        if count == 0 {
            return Ok(0);
        }
        if count == segments.len() {
            // A log always has an active segment.
            self.roll_locked(writer, 0, now_ms)?;
        }
        let mut kept: Vec<_> = self.segments.load().as_ref().clone();
        let deleted: Vec<_> = kept.drain(..count).collect();
        let first_kept = kept.first().expect("Invariant: a log has a segment").base_offset();
        self.increment_log_start_offset(writer, first_kept);
        self.segments.store(Arc::new(kept));
        for segment in deleted {
            tracing::info!(
                partition = %self.topic_partition, base_offset = segment.base_offset(), size = segment.size(),
                "deleting a segment by {reason}"
            );
            self.delete_segment_later(&segment, now_ms)?;
            self.delete_snapshot_later(writer, segment.base_offset(), now_ms)?;
        }
        Ok(count)
    }

    /// Renames the files of a segment, to be deleted after `file.delete.delay.ms`.
    pub(super) fn delete_segment_later(&self, segment: &Arc<LogSegment>, now_ms: i64) -> io::Result<()> {
        segment.mark_deleted()?;
        self.delete_later(Deleted::Segment(Arc::clone(segment)), now_ms);
        Ok(())
    }

    /// The same for the producer snapshot that was taken at the beginning of a segment.
    pub(super) fn delete_snapshot_later(
        &self,
        writer: &mut Writer,
        base_offset: i64,
        now_ms: i64,
    ) -> io::Result<()> {
        if writer.producers.mark_snapshot_deleted(base_offset)?.is_some() {
            self.delete_later(Deleted::Snapshot(base_offset), now_ms);
        }
        Ok(())
    }

    fn delete_later(&self, what: Deleted, now_ms: i64) {
        let due_ms = now_ms.saturating_add(self.config.load().file_delete_delay_ms.max(0));
        self.deleted.lock().push(DeletedFile { due_ms, what });
    }

    /// Deletes the files whose time has come. Returns how many are left.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn purge_deleted_files(&self, now_ms: i64) -> Result<usize, LogError> {
        let mut deleted = self.deleted.lock();
        let (due, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut *deleted).into_iter().partition(|file| file.due_ms <= now_ms);
        *deleted = left;
        let count = deleted.len();
        drop(deleted);
        for file in due {
            let result = match &file.what {
                Deleted::Segment(segment) => segment.delete_files(),
                Deleted::Snapshot(offset) => remove_if_there(segment_file(
                    &self.dir.get(),
                    *offset,
                    PRODUCER_SNAPSHOT_FILE_SUFFIX,
                    DELETED_FILE_SUFFIX,
                )),
            };
            result.map_err(|error| self.fail("Error while deleting segments", error))?;
        }
        Ok(count)
    }
}

fn remove_if_there(path: PathBuf) -> io::Result<()> {
    match ::io::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
