//! Waypoints: offsets in the active segment of which all is in files that is not in the batches, so that an intact log need only be read
//! from there after its broker was killed.
//!
//! A waypoint is a snapshot of the producers (as at each roll), taken when the indexes were written. Nothing is synced for it: it serves
//! a start that finds everything that was written. After a loss of power all is read that is not known to be on the disk, as ever.

use std::io;

use protocol::records::BatchHeader;

use super::{Log, Writer};
use crate::batch_reader::HeaderScanner;
use crate::config::LogConfig;
use crate::index::OffsetPosition;
use crate::leader_epoch_cache::LeaderEpochCache;
use crate::segment::LogSegment;

/// From one waypoint to the next, in bytes: so much a start has to read of a log at most. A waypoint takes some 40 us, twice that if its
/// file is new.
const DISTANCE: u64 = 8 << 20;

/// A waypoint is not taken before this many times its own size was appended.
const SHARE: u64 = 64;

/// How much is appended to a segment before its first waypoint. A small one has few: it begins with as good as one.
pub(super) fn first_distance(config: &LogConfig) -> u64 {
    DISTANCE.min(config.segment_size.max(0) as u64 / 2)
}

impl Log {
    /// Takes a waypoint at the log's end if so much was appended since the last one. The producers must know all that was appended, and
    /// nothing else.
    pub(super) fn pass_waypoint(&self, writer: &mut Writer) {
        let active = &writer.active;
        if self.waypoints
            && active.bytes_since_waypoint >= active.waypoint_distance
            && let Err(error) = self.take_waypoint(writer)
        {
            // What was appended is in the log, and readers see it: it is the next one that learns that the directory is offline.
            let _ = self.fail("Error while taking a waypoint", error);
        }
    }

    fn take_waypoint(&self, writer: &mut Writer) -> io::Result<()> {
        self.active_segment().write_indexes()?;
        let size = writer.producers.take_waypoint()?;
        let distance = first_distance(&self.config.load()).max(SHARE * size);
        writer.active.bytes_since_waypoint = 0;
        writer.active.waypoint_distance = distance;
        Ok(())
    }
}

/// Where the reading of a segment begins, if not at its beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResumePoint {
    /// The last entry of the offset index before the waypoint: the batch there is the first that is read.
    entry: OffsetPosition,
    /// The producers know what lies before this offset.
    waypoint: i64,
}

impl ResumePoint {
    /// The point for a waypoint in a segment; `None` if the segment must be read from its beginning.
    pub fn find(segment: &LogSegment, waypoint: i64) -> io::Result<Option<ResumePoint>> {
        if waypoint <= segment.base_offset() || !segment.has_whole_indexes()? {
            return Ok(None);
        }
        let entry = segment.offset_index().lookup(segment.paths(), waypoint - 1)?;
        // At the beginning stands no entry, or there are entries of nothing behind those that count.
        if entry.position == 0 || entry.position >= segment.size() {
            return Ok(None);
        }
        let mut scanner = HeaderScanner::new(segment.file()?, entry.position, segment.size());
        let mut is_first = true;
        while let Some(batch) = scanner.next()? {
            if is_first && batch.header.last_offset() != entry.offset {
                return Ok(None);
            }
            is_first = false;
            if batch.header.next_offset() >= waypoint {
                let found = batch.header.next_offset() == waypoint;
                return Ok(found.then_some(ResumePoint { entry, waypoint }));
            }
        }
        Ok(None)
    }

    /// Where the first batch lies that is read.
    pub fn position(&self) -> u64 {
        self.entry.position
    }

    /// Whether the producers know a batch already.
    pub fn is_known(&self, batch: &BatchHeader) -> bool {
        batch.base_offset() < self.waypoint
    }

    /// Drops from the segment's indexes what the reading adds to them: that the batch has an entry with which it begins, too.
    pub fn cut_indexes(&self, segment: &LogSegment) -> io::Result<()> {
        segment.cut_indexes(self.entry.offset, self.waypoint)?;
        segment.forget_max_timestamp();
        Ok(())
    }

    /// Whether all is there that the producers know, once the segment was read. Otherwise it is damaged.
    pub fn is_passed(&self, segment: &LogSegment) -> io::Result<bool> {
        Ok(segment.next_offset()? >= self.waypoint)
    }
}

/// Notes the leader epochs in the first `end` bytes of a segment: their file is written later than the records. Reads few headers,
/// however long the segment is.
///
/// # Errors
/// `InvalidData` if something lies there that is no batch.
pub(super) fn find_epochs(segment: &LogSegment, end: u64, epochs: &mut LeaderEpochCache) -> io::Result<()> {
    let mut next = HeaderScanner::new(segment.file()?, 0, end).next()?.map(|batch| batch.header);
    while let Some(first) = next {
        let epoch = first.partition_leader_epoch();
        let (last_offset, behind) = end_of_epoch(segment, end, epoch)?;
        // All that lies between is of that epoch: as if it were one batch.
        epochs.found_batch(epoch, first.base_offset(), last_offset.max(first.last_offset()));
        next = behind;
    }
    Ok(())
}

/// The last offset of an epoch, which has a batch in the first `end` bytes, and the first batch of a later one. Epochs do not fall from
/// batch to batch.
fn end_of_epoch(segment: &LogSegment, end: u64, epoch: i32) -> io::Result<(i64, Option<BatchHeader>)> {
    let (index, paths) = (segment.offset_index(), segment.paths());
    let scan =
        |position| -> io::Result<HeaderScanner> { Ok(HeaderScanner::new(segment.file()?, position, end)) };
    let position_of =
        |slot| -> io::Result<u64> { Ok(index.at(paths, slot)?.map_or(end, |entry| entry.position)) };
    let (mut low, mut high) = (0, index.len(paths)?);
    // Mostly there is one epoch, and the last entry says so.
    let mut middle = high.saturating_sub(1);
    while low < high {
        let position = position_of(middle)?;
        let batch = if position < end { scan(position)?.next()? } else { None };
        match batch {
            Some(batch) if batch.header.partition_leader_epoch() <= epoch => low = middle + 1,
            _ => high = middle,
        }
        middle = low + (high - low) / 2;
    }
    // The entry before is not of a later epoch: what follows it may be.
    let mut scanner = scan(if low == 0 { 0 } else { position_of(low - 1)? })?;
    let mut last_offset = -1;
    while let Some(batch) = scanner.next()? {
        if batch.header.partition_leader_epoch() > epoch {
            return Ok((last_offset, Some(batch.header)));
        }
        last_offset = batch.header.last_offset();
    }
    Ok((last_offset, None))
}
