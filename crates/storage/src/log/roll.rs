//! Beginning a new segment (`UnifiedLog.maybeRoll`, `LocalLog.roll`).

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::TopicPartition;

use super::append::Prepared;
use super::waypoint::first_distance;
use super::{ActiveSegmentState, Log, Writer};
use crate::config::LogConfig;
use crate::error::{LogError, StorageError};
use crate::segment::LogSegment;
use crate::types::LogOffsetMetadata;

impl ActiveSegmentState {
    pub(super) fn new(
        config: &LogConfig,
        partition: &TopicPartition,
        base_offset: i64,
        now_ms: i64,
    ) -> ActiveSegmentState {
        ActiveSegmentState {
            bytes_since_last_index_entry: 0,
            bytes_since_waypoint: 0,
            waypoint_distance: first_distance(config),
            created_ms: now_ms,
            rolling_based_timestamp: None,
            roll_jitter_ms: roll_jitter_ms(config, partition, base_offset, now_ms),
        }
    }
}

/// A number below `segment.jitter.ms` that differs from segment to segment, so that not all partitions roll at once.
fn roll_jitter_ms(config: &LogConfig, partition: &TopicPartition, base_offset: i64, now_ms: i64) -> i64 {
    let limit = config.segment_jitter_ms.min(config.segment_ms);
    if limit <= 0 {
        return 0;
    }
    // Not random but well mixed (FNV-1a of the name, the finalizer of SplitMix64): a run can be repeated.
    let name = partition.topic.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut mixed =
        (base_offset as u64 ^ (partition.partition as u64) << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^= name ^ now_ms as u64;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) % limit as u64) as i64
}

/// What is about to be appended.
pub(super) struct RollParams {
    pub size: u64,
    pub max_timestamp: i64,
    pub last_offset: i64,
    pub now_ms: i64,
    /// So many entries go into the indexes before it.
    pub index_entries: usize,
}

impl RollParams {
    pub fn of(prepared: &Prepared) -> RollParams {
        RollParams {
            size: prepared.size,
            max_timestamp: prepared.max_timestamp,
            last_offset: prepared.last_offset,
            now_ms: prepared.now_ms,
            index_entries: 0,
        }
    }
}

impl Log {
    /// Begins a new segment.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn roll(&self, now_ms: i64) -> Result<i64, LogError> {
        let mut writer = self.writer.lock();
        self.check_usable(&writer)?;
        self.roll_locked(&mut writer, 0, now_ms).map_err(|error| self.rolling_failed(error))?;
        Ok(self.active_segment().base_offset())
    }

    /// Takes the log directory offline.
    pub(super) fn rolling_failed(&self, error: io::Error) -> StorageError {
        self.fail("Error while rolling log segment", error)
    }

    /// Whether what comes must go to a new segment.
    pub(super) fn should_roll(
        &self,
        writer: &mut Writer,
        segment: &LogSegment,
        config: &LogConfig,
        append: &RollParams,
    ) -> io::Result<bool> {
        let size = segment.size();
        let segment_size = i64::from(config.segment_size);
        if size as i64 > segment_size - append.size as i64
            || !segment.can_hold(append.last_offset)
            || segment.indexes_full(config.max_index_size, append.index_entries)?
        {
            return Ok(true);
        }
        if size == 0 {
            return Ok(false);
        }
        let first = match writer.active.rolling_based_timestamp {
            Some(first) => first,
            None => {
                let first = match segment.first_batch() {
                    // One that is damaged has no time; what is appended behind it is none the worse, nor are the other logs of the disk.
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => -1,
                    found => found?.map_or(-1, |batch| batch.max_timestamp()),
                };
                *writer.active.rolling_based_timestamp.insert(first)
            }
        };
        let waited_ms = if first >= 0 {
            append.max_timestamp.saturating_sub(first)
        } else {
            append.now_ms.saturating_sub(writer.active.created_ms)
        };
        Ok(waited_ms > config.max_segment_ms().saturating_sub(writer.active.roll_jitter_ms))
    }

    /// Begins a new segment at the log's end, or at `expected_next_offset` if that is larger.
    pub(super) fn roll_locked(
        &self,
        writer: &mut Writer,
        expected_next_offset: i64,
        now_ms: i64,
    ) -> io::Result<()> {
        let config = self.config.load();
        let base_offset = expected_next_offset.max(self.log_end_offset());
        let active = self.active_segment();
        let mut segments = self.segments.load().as_ref().clone();
        if active.base_offset() == base_offset {
            if active.size() > 0 {
                return Err(io::Error::other(format!(
                    "Trying to roll a new log segment for topic partition {} with start offset {base_offset} while it already \
                     exists",
                    self.topic_partition
                )));
            }
            // An empty segment whose indexes are full, or that is to be deleted: it is made anew in its place.
            segments.pop();
            self.delete_segment_later(&active, now_ms)?;
        } else if base_offset < active.base_offset() {
            return Err(io::Error::other(format!(
                "Trying to roll a new log segment for topic partition {} with start offset {base_offset} lower than start \
                 offset of the active segment {}",
                self.topic_partition,
                active.base_offset()
            )));
        } else {
            active.on_become_inactive(config.preallocate)?;
            if self.truncated.swap(false, Ordering::AcqRel) {
                // What was truncated must not come back beside the new segment when the power goes.
                active.sync(false)?;
            }
        }
        let preallocate = config.preallocate.then_some(config.segment_size.max(0) as u64);
        let segment = LogSegment::create(&self.dir, base_offset, preallocate)?;
        self.new_names.store(true, Ordering::Release);
        writer.active = ActiveSegmentState::new(&config, &self.topic_partition, base_offset, now_ms);
        segments.push(Arc::new(segment));
        self.segments.store(Arc::new(segments));
        let log_end_offset = self.log_end_offset();
        let end = LogOffsetMetadata {
            message_offset: log_end_offset,
            segment_base_offset: base_offset,
            relative_position: 0,
        };
        self.set_log_end(&mut self.tail.write(), end);
        writer.producers.update_map_end_offset(base_offset);
        writer.producers.take_snapshot(false)?;
        tracing::debug!(partition = %self.topic_partition, base_offset, "rolled a new segment");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_below_its_limit() {
        let config = LogConfig { segment_jitter_ms: 100, ..LogConfig::default() };
        let values: Vec<_> = (0..1000)
            .map(|partition| roll_jitter_ms(&config, &TopicPartition::new("t", partition), 0, 5))
            .collect();
        assert!(values.iter().all(|value| (0..100).contains(value)));
        assert!(values.iter().any(|value| *value != values[0]));
        assert_eq!(roll_jitter_ms(&LogConfig::default(), &TopicPartition::new("t", 1), 1, 1), 0);
    }
}
