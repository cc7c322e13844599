//! The segments of a log that is being opened: which of them hold, and what has to be read of them.

use std::io;
use std::sync::Arc;

use super::OpenOptions;
use super::recovery::{Damage, rebuild_producer_state, recover_segment};
use super::waypoint::{ResumePoint, find_epochs};
use crate::batch_reader::HeaderScanner;
use crate::config::LogConfig;
use crate::leader_epoch_cache::LeaderEpochCache;
use crate::paths::PartitionDir;
use crate::producer::ProducerStateManager;
use crate::segment::{LogSegment, SegmentEnd};

/// A log that is being opened.
pub(super) struct Loader<'a> {
    pub partition_dir: &'a Arc<PartitionDir>,
    /// Whether any segment has a transaction index.
    pub has_transactions: bool,
    pub options: &'a OpenOptions,
    pub segments: Vec<Arc<LogSegment>>,
    /// The state of recovery, apart from the log's own.
    pub producers: ProducerStateManager,
    pub has_recovered: bool,
}

impl Loader<'_> {
    /// Opens the segments. One whose indexes are missing or damaged is recovered, unless it will be anyway.
    pub fn open_segments(&mut self, base_offsets: &[i64], epochs: &mut LeaderEpochCache) -> io::Result<()> {
        let first_unflushed = base_offsets
            .partition_point(|base_offset| *base_offset <= self.options.recovery_point)
            .saturating_sub(1);
        for (index, &base_offset) in base_offsets.iter().enumerate() {
            let segment = Arc::new(LogSegment::open(self.partition_dir, base_offset)?);
            self.segments.push(Arc::clone(&segment));
            let recovered_later = !self.options.clean_shutdown && index >= first_unflushed;
            if !recovered_later && let Some(fault) = self.index_fault(&segment)? {
                tracing::warn!(
                    path = %segment.log_path().display(), fault,
                    "recovering the segment and rebuilding its index files"
                );
                let is_last = index + 1 == base_offsets.len();
                self.recover(index, epochs, if is_last { Damage::Cut } else { Damage::Keep })?;
            }
        }
        Ok(())
    }

    fn index_fault(&self, segment: &LogSegment) -> io::Result<Option<&'static str>> {
        // Most segments of most brokers are the only ones of their partitions, and many hold nothing.
        if segment.size() == 0 && !self.has_transactions && segment.has_empty_indexes()? {
            return Ok(None);
        }
        if self.has_transactions && !segment.txn_index().is_sane(segment.paths())? {
            return Ok(Some("the transaction index is not one of the segment"));
        }
        index_fault(segment, &self.options.config)
    }

    pub fn recover_unflushed(&mut self, epochs: &mut LeaderEpochCache) -> io::Result<()> {
        self.recover_from(self.segment_of(self.options.recovery_point), epochs)
    }

    /// The index of the segment that an offset lies in.
    fn segment_of(&self, offset: i64) -> usize {
        self.segments.partition_point(|segment| segment.base_offset() <= offset).saturating_sub(1)
    }

    /// Recovers what lies behind the last waypoint of a log that is intact. Returns false if something is not as it must be in such a
    /// log: then all that was not synced is to be recovered.
    pub fn resume(&mut self, epochs: &mut LeaderEpochCache) -> io::Result<bool> {
        let resumed = match self.try_resume(epochs) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => false,
            other => other?,
        };
        if !resumed {
            tracing::debug!(dir = %self.partition_dir.get().display(), "everything behind the recovery point is read");
        }
        Ok(resumed)
    }

    fn try_resume(&mut self, epochs: &mut LeaderEpochCache) -> io::Result<bool> {
        let log_start_offset = self.options.log_start_offset;
        if let [only] = &self.segments[..]
            && only.size() == 0
            && self.index_fault(only)?.is_none()
        {
            return Ok(true);
        }
        let waypoint = self.producers.latest_snapshot_offset().filter(|offset| *offset > log_start_offset);
        let Some(waypoint) = waypoint else { return Ok(false) };
        let (first, last) = (self.segment_of(self.options.recovery_point), self.segment_of(waypoint));
        let Some(segment) = self.segments.get(last).cloned().filter(|_| first <= last) else {
            return Ok(false);
        };
        for index in first..last {
            let Some(before) = self.segments.get(index) else { return Ok(false) };
            if self.index_fault(before)?.is_some() || self.ends_too_early(index)? {
                return Ok(false);
            }
            find_epochs(before, before.size(), epochs)?;
        }
        self.producers.truncate_and_reload(log_start_offset, waypoint, self.options.now_ms)?;
        if self.producers.map_end_offset() != waypoint {
            return Ok(false);
        }
        if self.is_done_at(waypoint)? && self.index_fault(&segment)?.is_none() {
            // Nothing was appended since.
            find_epochs(&segment, segment.size(), epochs)?;
            return Ok(true);
        }
        self.has_recovered = true;
        let truncated = match ResumePoint::find(&segment, waypoint)? {
            Some(point) => {
                find_epochs(&segment, point.position(), epochs)?;
                let (config, producers) = (&self.options.config, &mut self.producers);
                let truncated =
                    recover_segment(&segment, Some(point), config, producers, epochs, Damage::Cut)?;
                if truncated > 0 && !point.is_passed(&segment)? {
                    return Ok(false);
                }
                self.producers.take_snapshot(false)?;
                truncated
            }
            None => self.recover(last, epochs, Damage::Cut)?,
        };
        if truncated > 0 || self.ends_too_early(last)? {
            self.delete_behind(last)?;
        } else {
            self.recover_from(last + 1, epochs)?;
        }
        Ok(true)
    }

    /// Whether the log ends at an offset, with all that lies before it in the indexes.
    fn is_done_at(&self, offset: i64) -> io::Result<bool> {
        let (Some(last), Some(end)) = (self.segments.last(), self.find_end()?) else { return Ok(false) };
        let indexed = last.time_index().last(last.paths())?.timestamp;
        Ok(end.next_offset == offset && end.max_timestamp <= indexed)
    }

    /// Recovers the segments from one on. Behind one that was cut, nothing can be kept: offsets would be missing.
    pub fn recover_from(&mut self, first: usize, epochs: &mut LeaderEpochCache) -> io::Result<()> {
        for index in first..self.segments.len() {
            if self.recover(index, epochs, Damage::Cut)? > 0 || self.ends_too_early(index)? {
                return self.delete_behind(index);
            }
        }
        Ok(())
    }

    fn delete_behind(&mut self, index: usize) -> io::Result<()> {
        for segment in self.segments.drain(index + 1..) {
            tracing::warn!(path = %segment.log_path().display(), "deleting a segment that follows a damaged one");
            segment.delete_files()?;
        }
        Ok(())
    }

    /// Whether offsets are missing between a segment and the next.
    ///
    /// Divergence: Kafka only sees a segment that ends in the middle of a batch. One that was rolled shortly before the power went
    /// can have lost whole batches, or all, while the next one is there: a replica with such a hole would count as having what it
    /// has not. Compaction leaves such holes rightly, so compacted logs are taken as they are.
    fn ends_too_early(&self, index: usize) -> io::Result<bool> {
        let (Some(segment), Some(next)) = (self.segments.get(index), self.segments.get(index + 1)) else {
            return Ok(false);
        };
        Ok(!self.options.config.compact && segment.next_offset()? < next.base_offset())
    }

    fn recover(
        &mut self,
        index: usize,
        epochs: &mut LeaderEpochCache,
        if_damaged: Damage,
    ) -> io::Result<u64> {
        let Some(segment) = self.segments.get(index).cloned() else { return Ok(0) };
        self.has_recovered = true;
        let before = self.segments.get(..index).unwrap_or_default();
        let base_offset = segment.base_offset();
        if self.producers.map_end_offset() != base_offset || self.producers.is_empty() {
            self.producers = self.options.open_producers(self.partition_dir)?;
            let start = self.options.log_start_offset;
            rebuild_producer_state(
                &mut self.producers,
                before,
                start,
                base_offset,
                false,
                self.options.now_ms,
            )?;
        }
        let config = &self.options.config;
        let truncated = recover_segment(&segment, None, config, &mut self.producers, epochs, if_damaged)?;
        self.producers.take_snapshot(false)?;
        Ok(truncated)
    }

    /// The offset behind the last batch. `None` if there are no segments, or the last one does not end with a whole batch.
    pub fn find_log_end(&self) -> io::Result<Option<i64>> {
        Ok(self.find_end()?.map(|end| end.next_offset))
    }

    fn find_end(&self) -> io::Result<Option<SegmentEnd>> {
        let Some(last) = self.segments.last() else { return Ok(None) };
        if last.size() == 0 {
            let next_offset = last.base_offset();
            return Ok(Some(SegmentEnd { next_offset, max_timestamp: -1, is_whole: true }));
        }
        match last.end() {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
            end => Ok(Some(end?).filter(|end| end.is_whole)),
        }
    }
}

/// What is wrong with a segment's indexes, as far as that is cheap to see.
///
/// Divergence: Kafka looks whether the offset index exists, and trusts its content. Here its end is compared with the segment.
fn index_fault(segment: &LogSegment, config: &LogConfig) -> io::Result<Option<&'static str>> {
    let paths = segment.paths();
    match segment.offset_index().is_whole(paths)? {
        None => return Ok(Some("there is no offset index")),
        Some(false) => return Ok(Some("the offset index is not a whole number of entries long")),
        Some(true) => {}
    }
    match segment.time_index().is_whole(paths)? {
        None => return Ok(Some("there is no time index")),
        Some(false) => return Ok(Some("the time index is not a whole number of entries long")),
        Some(true) => {}
    }
    let last_time = segment.time_index().last(paths)?;
    if segment.time_index().first(paths)?.is_some_and(|first| first.timestamp > last_time.timestamp)
        || last_time.offset < segment.base_offset()
    {
        return Ok(Some("the time index does not rise"));
    }
    let entries = segment.offset_index().len(paths)?;
    let last = segment.offset_index().last(paths)?;
    let mut scanner = HeaderScanner::new(segment.file()?, last.position, segment.size());
    let first = match scanner.next() {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
        other => other?,
    };
    if entries > 0 && first.is_none_or(|batch| batch.header.last_offset() != last.offset) {
        return Ok(Some("the end of the offset index does not fit the segment"));
    }
    // An entry is made when more than the interval was appended since the last one; a restart begins to count anew, hence the room.
    let room = 4 * config.index_interval.max(0) as u64 + 4096;
    let mut reach = first.map_or(last.position, |batch| batch.end());
    let mut last_offset = first.map(|batch| batch.header.last_offset());
    while reach.saturating_sub(last.position) <= room {
        match scanner.next() {
            Ok(Some(batch)) => {
                reach = batch.end();
                last_offset = Some(batch.header.last_offset());
            }
            Ok(None) if last_offset.is_some_and(|last_offset| last_time.offset > last_offset) => {
                // Nothing could be appended behind it.
                return Ok(Some("the time index names an offset behind the segment's last"));
            }
            Ok(None) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let first_end = first.map_or(last.position, |batch| batch.end());
    match scanner.next() {
        // A batch behind so much of the log would have an entry.
        Ok(Some(batch)) if batch.position > first_end + room => Ok(Some("the offset index is too short")),
        Err(error) if error.kind() != io::ErrorKind::InvalidData => Err(error),
        _ => Ok(None),
    }
}

/// Reads the leader epochs from the batches.
pub(super) fn read_epochs(segments: &[Arc<LogSegment>], epochs: &mut LeaderEpochCache) -> io::Result<()> {
    for segment in segments {
        let mut scanner = HeaderScanner::new(segment.file()?, 0, segment.size());
        while let Some(batch) = scanner.next()? {
            if epochs.latest_epoch().is_none_or(|latest| batch.header.partition_leader_epoch() > latest) {
                epochs.assign(batch.header.partition_leader_epoch(), batch.header.base_offset());
            }
        }
    }
    Ok(())
}
