//! Taking records back (`UnifiedLog.truncateTo`), and starting anew.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::recovery::rebuild_producer_state;
use super::{ActiveSegmentState, Log, Writer};
use crate::checkpoint::{Sync, sync_dir};
use crate::error::LogError;
use crate::segment::LogSegment;
use crate::types::LogOffsetMetadata;

impl Log {
    /// Drops the records from `offset` on, with the whole batch that holds it. Returns whether there were any.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn truncate_to(&self, offset: i64, now_ms: i64) -> Result<bool, LogError> {
        let offset = offset.max(0);
        let _no_sync_meanwhile = self.flush.lock();
        let mut writer = self.writer.lock();
        self.check_usable(&writer)?;
        if offset >= self.log_end_offset() {
            self.epochs.write().truncate_from_end(self.log_end_offset());
            return Ok(false);
        }
        if offset < self.high_watermark() {
            tracing::warn!(
                partition = %self.topic_partition, offset, high_watermark = self.high_watermark(),
                "truncating below the high watermark"
            );
        }
        let first_base_offset = self.segments.load().first().map_or(0, |segment| segment.base_offset());
        let result = if first_base_offset > offset {
            self.truncate_fully_locked(&mut writer, offset, now_ms)
        } else {
            self.truncate_locked(&mut writer, offset, now_ms)
        };
        result
            .map_err(|error| self.fail(&format!("Error while truncating log to offset {offset}"), error))?;
        Ok(true)
    }

    /// Drops all records; the next one will have `offset`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn truncate_fully_and_start_at(&self, offset: i64, now_ms: i64) -> Result<(), LogError> {
        let _no_sync_meanwhile = self.flush.lock();
        let mut writer = self.writer.lock();
        self.check_usable(&writer)?;
        self.truncate_fully_locked(&mut writer, offset.max(0), now_ms)
            .map_err(|error| self.fail("Error while truncating the entire log", error))?;
        Ok(())
    }

    fn truncate_locked(&self, writer: &mut Writer, offset: i64, now_ms: i64) -> std::io::Result<()> {
        self.truncations.fetch_add(1, Ordering::AcqRel);
        self.abort_cleaning();
        // Nobody may be sent to what is about to go.
        let old: Vec<Arc<LogSegment>> = self.segments.load().as_ref().clone();
        let (kept, dropped): (Vec<_>, Vec<_>) =
            old.into_iter().partition(|segment| segment.base_offset() <= offset);
        let active =
            kept.last().cloned().expect("Invariant: the first segment begins at or before the offset");
        let position = active.find_batch(offset)?.map_or(active.size(), |batch| batch.position);
        {
            let mut tail = self.tail.write();
            tail.clear();
            let end = LogOffsetMetadata {
                message_offset: offset,
                segment_base_offset: active.base_offset(),
                relative_position: position as i64,
            };
            self.set_log_end(&mut tail, end);
            self.segments.store(Arc::new(kept));
        }
        self.lower_offsets(offset);
        for segment in &dropped {
            self.delete_segment_later(segment, now_ms)?;
            self.delete_snapshot_later(writer, segment.base_offset(), now_ms)?;
        }
        if !dropped.is_empty() {
            // Divergence: Kafka does not sync the directory. Segments that came back when the power goes would follow what is
            // appended from now on.
            sync_dir(&self.dir.get())?;
        }
        active.truncate_to(offset)?;
        self.truncated.store(true, Ordering::Release);
        writer.active.bytes_since_last_index_entry = 0;
        if active.size() == 0 {
            writer.active.created_ms = now_ms;
            writer.active.rolling_based_timestamp = None;
        }
        self.epochs.write().truncate_from_end(offset);
        self.write_epochs(Sync::Now)?;
        let segments = self.segments.load_full();
        rebuild_producer_state(
            &mut writer.producers,
            &segments,
            self.log_start_offset(),
            offset,
            false,
            now_ms,
        )?;
        self.publish_first_unstable_offset(writer);
        Ok(())
    }

    fn truncate_fully_locked(&self, writer: &mut Writer, offset: i64, now_ms: i64) -> std::io::Result<()> {
        self.truncations.fetch_add(1, Ordering::AcqRel);
        self.abort_cleaning();
        self.lower_first_dirty_offset(offset);
        let config = self.config.load();
        let old: Vec<Arc<LogSegment>> = self.segments.load().as_ref().clone();
        // The old files go out of the way first: one of them may have the new one's name. The newest of them goes first, so that what a
        // crash leaves begins where the log began: one that began later could lack what comes before it.
        for segment in old.iter().rev() {
            self.delete_segment_later(segment, now_ms)?;
        }
        let preallocate = config.preallocate.then_some(config.segment_size.max(0) as u64);
        let segment = Arc::new(LogSegment::create(&self.dir, offset, preallocate)?);
        self.new_names.store(true, Ordering::Release);
        self.truncated.store(true, Ordering::Release);
        writer.active = ActiveSegmentState::new(&config, &self.topic_partition, offset, now_ms);
        {
            let mut tail = self.tail.write();
            tail.clear();
            let end = LogOffsetMetadata {
                message_offset: offset,
                segment_base_offset: offset,
                relative_position: 0,
            };
            self.segments.store(Arc::new(vec![segment]));
            self.set_log_end(&mut tail, end);
        }
        self.log_start_offset.store(offset, Ordering::Release);
        self.recovery_point.store(offset, Ordering::Release);
        self.high_watermark.store(offset, Ordering::Release);
        self.epochs.write().clear();
        self.write_epochs(Sync::Now)?;
        writer.producers.truncate_fully_and_start_at(offset)?;
        sync_dir(&self.dir.get())?;
        self.publish_first_unstable_offset(writer);
        Ok(())
    }

    fn lower_offsets(&self, offset: i64) {
        self.log_start_offset.fetch_min(offset, Ordering::AcqRel);
        self.recovery_point.fetch_min(offset, Ordering::AcqRel);
        self.high_watermark.fetch_min(offset, Ordering::AcqRel);
        self.lower_first_dirty_offset(offset);
    }
}
