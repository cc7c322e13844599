//! Which log is compacted next, and which part of it (`LogCleanerManager`, `LogToClean`).

use std::io;
use std::sync::Arc;

use super::clean::segments_between;
use crate::log::Log;
use crate::segment::LogSegment;

/// What of a log can be compacted.
#[derive(Clone, Debug)]
pub(super) struct LogToClean {
    pub log: Arc<Log>,
    /// Below it the log is compacted.
    pub first_dirty_offset: i64,
    /// From it on the log must be left alone: the beginning of a segment.
    pub first_uncleanable_offset: i64,
    pub clean_bytes: u64,
    pub cleanable_bytes: u64,
    /// There is something older than `max.compaction.lag.ms`.
    pub is_overdue: bool,
}

impl LogToClean {
    /// Looks at a log.
    pub fn of(log: &Arc<Log>, now_ms: i64) -> io::Result<LogToClean> {
        let segments = log.segments();
        let active_base_offset = segments.last().map_or(0, |segment| segment.base_offset());
        let config = log.config();
        let first_dirty_offset = log.first_dirty_offset().unwrap_or(0).max(log.log_start_offset());
        let dirty = segments_between(&segments, first_dirty_offset, active_base_offset);
        // Neither the active segment, nor what may yet be taken back or belongs to a transaction that is open, nor what is too young.
        let mut limit = log.last_stable_offset().min(active_base_offset);
        if config.min_compaction_lag_ms > 0
            && let Some(young) = first_younger(&dirty, now_ms.saturating_sub(config.min_compaction_lag_ms))?
        {
            limit = limit.min(young);
        }
        let first_uncleanable_offset = segment_with(&segments, limit.max(first_dirty_offset));
        let is_below = |segment: &&Arc<LogSegment>| segment.base_offset() < first_dirty_offset;
        let clean_bytes = segments.iter().take_while(is_below).map(|segment| segment.size()).sum();
        let from = first_dirty_offset.min(first_uncleanable_offset);
        let cleanable = segments_between(&segments, from, first_uncleanable_offset);
        let oldest = oldest_first_timestamp(&dirty)?;
        Ok(LogToClean {
            log: Arc::clone(log),
            first_dirty_offset,
            first_uncleanable_offset,
            clean_bytes,
            cleanable_bytes: cleanable.iter().map(|segment| segment.size()).sum(),
            is_overdue: oldest
                .is_some_and(|oldest| oldest < now_ms.saturating_sub(config.max_compaction_lag_ms.max(0))),
        })
    }

    /// The part of the log that would be compacted now.
    pub fn cleanable_ratio(&self) -> f64 {
        let total = self.clean_bytes + self.cleanable_bytes;
        if total == 0 { 0.0 } else { self.cleanable_bytes as f64 / total as f64 }
    }

    /// Whether it is worth it.
    pub fn is_due(&self) -> bool {
        self.cleanable_bytes > 0
            && (self.is_overdue || self.cleanable_ratio() > self.log.config().min_cleanable_ratio)
    }
}

/// The first segment with a record younger than `time_ms`.
fn first_younger(segments: &[Arc<LogSegment>], time_ms: i64) -> io::Result<Option<i64>> {
    for segment in segments {
        if segment.largest_timestamp()? > time_ms {
            return Ok(Some(segment.base_offset()));
        }
    }
    Ok(None)
}

/// The beginning of the segment that holds an offset; the active one's for an offset behind it.
fn segment_with(segments: &[Arc<LogSegment>], offset: i64) -> i64 {
    let index = segments.partition_point(|segment| segment.base_offset() <= offset).saturating_sub(1);
    segments.get(index).map_or(offset, |segment| segment.base_offset())
}

/// The earliest of the timestamps with which segments begin.
fn oldest_first_timestamp(segments: &[Arc<LogSegment>]) -> io::Result<Option<i64>> {
    let mut oldest = None;
    for segment in segments {
        let timestamp = segment.first_batch()?.map(|batch| batch.max_timestamp()).filter(|time| *time > 0);
        oldest = match (oldest, timestamp) {
            (Some(oldest), Some(timestamp)) => Some(timestamp.min(oldest)),
            (oldest, timestamp) => oldest.or(timestamp),
        };
    }
    Ok(oldest)
}
