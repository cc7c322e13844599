//! From a time to an offset (`UnifiedLog.fetchOffsetByTimestamp`, the ListOffsets request).

use std::io;
use std::sync::Arc;

use protocol::records::RecordBatch;

use super::Log;
use crate::batch_reader::{BatchPosition, HeaderScanner, invalid_data};
use crate::error::ReadError;
use crate::paths::read_up_to_at;
use crate::segment::LogSegment;
use crate::types::TimestampAndOffset;

/// Asks for the log's end. (What a client gets for it, the high watermark or the last stable offset, is the caller's.)
pub const LATEST_TIMESTAMP: i64 = -1;
/// Asks for the log's start.
pub const EARLIEST_TIMESTAMP: i64 = -2;
/// Asks for the record with the largest timestamp.
pub const MAX_TIMESTAMP: i64 = -3;
/// Asks for the first offset on this machine.
pub const EARLIEST_LOCAL_TIMESTAMP: i64 = -4;
/// Asks for the last offset in remote storage.
pub const LATEST_TIERED_TIMESTAMP: i64 = -5;
/// Asks for the first offset not yet in remote storage.
pub const EARLIEST_PENDING_UPLOAD_TIMESTAMP: i64 = -6;

/// A batch that is decompressed to find a timestamp in it may become this large.
const MAX_DECOMPRESSED_BYTES: usize = 256 << 20;

impl Log {
    /// The first record whose timestamp is not below `target`, or what one of the constants of [`timestamps`](self) asks for. `None`
    /// if there is no such record.
    ///
    /// # Errors
    /// Those of the file system, and [`ReadError::Corrupt`].
    pub fn fetch_offset_by_timestamp(&self, target: i64) -> Result<Option<TimestampAndOffset>, ReadError> {
        self.health.check()?;
        let offset =
            |offset, leader_epoch| Ok(Some(TimestampAndOffset { timestamp: -1, offset, leader_epoch }));
        match target {
            LATEST_TIMESTAMP => offset(self.log_end_offset(), self.latest_epoch()),
            EARLIEST_TIMESTAMP | EARLIEST_LOCAL_TIMESTAMP => {
                let log_start_offset = self.log_start_offset();
                let earliest = self.epochs.read().earliest_entry();
                let epoch = earliest.filter(|entry| entry.start_offset <= log_start_offset);
                offset(log_start_offset, epoch.map(|entry| entry.epoch))
            }
            // Nothing is in remote storage.
            LATEST_TIERED_TIMESTAMP | EARLIEST_PENDING_UPLOAD_TIMESTAMP => offset(-1, Some(-1)),
            MAX_TIMESTAMP => {
                self.health.io(|| self.find_max_timestamp()).map_err(|error| self.read_failed(error))
            }
            target => self.health.io(|| self.search(target)).map_err(|error| self.read_failed(error)),
        }
    }

    fn find_max_timestamp(&self) -> io::Result<Option<TimestampAndOffset>> {
        let segments = self.segments.load_full();
        let mut best = None;
        for segment in segments.iter() {
            let largest = segment.load_max_timestamp()?;
            if best.as_ref().is_none_or(|(_, known): &(&Arc<LogSegment>, crate::index::TimestampOffset)| {
                largest.timestamp > known.timestamp
            }) {
                best = Some((segment, largest));
            }
        }
        let Some((segment, largest)) = best else { return Ok(None) };
        let start = segment.offset_index().lookup(segment.paths(), largest.offset)?.position;
        let mut scanner = HeaderScanner::new(segment.file()?, start, segment.size());
        while let Some(found) = scanner.next()? {
            if found.header.max_timestamp() == largest.timestamp {
                return first_record(segment, &found, largest.timestamp, 0, |timestamp| {
                    timestamp == largest.timestamp
                });
            }
        }
        Ok(None)
    }

    fn search(&self, target: i64) -> io::Result<Option<TimestampAndOffset>> {
        let segments = self.segments.load_full();
        let log_start_offset = self.log_start_offset();
        for segment in segments.iter() {
            // One that was compacted away has the time of its file, but no record.
            if segment.size() == 0 || segment.largest_timestamp()? < target {
                continue;
            }
            let entry = segment.time_index().lookup(segment.paths(), target)?;
            let offset = entry.offset.max(log_start_offset);
            let start = segment.offset_index().lookup(segment.paths(), offset)?.position;
            let mut scanner = HeaderScanner::new(segment.file()?, start, segment.size());
            while let Some(found) = scanner.next()? {
                if found.header.max_timestamp() < target {
                    continue;
                }
                let record =
                    first_record(segment, &found, -1, log_start_offset, |timestamp| timestamp >= target)?;
                if record.is_some() {
                    return Ok(record);
                }
            }
            return Ok(None);
        }
        Ok(None)
    }
}

/// The first record of a batch with a timestamp that `matches`, at `from_offset` or later. With a `reported` timestamp that is
/// returned instead of the record's own.
fn first_record(
    segment: &LogSegment,
    found: &BatchPosition,
    reported: i64,
    from_offset: i64,
    matches: impl Fn(i64) -> bool,
) -> io::Result<Option<TimestampAndOffset>> {
    let mut bytes = vec![0; found.header.size_in_bytes()];
    let file = segment.file()?;
    let read = read_up_to_at(&file, &mut bytes, found.position)?;
    let corrupt = |error| invalid_data(error, found.position);
    let batch = RecordBatch::parse(bytes.get(..read).unwrap_or_default()).map_err(corrupt)?;
    let decompressed = batch.decompress(MAX_DECOMPRESSED_BYTES).map_err(corrupt)?;
    for record in decompressed.iter() {
        let record = record.map_err(corrupt)?;
        if matches(record.timestamp) && record.offset >= from_offset {
            let epoch = batch.partition_leader_epoch();
            return Ok(Some(TimestampAndOffset {
                timestamp: if reported >= 0 { reported } else { record.timestamp },
                offset: record.offset,
                leader_epoch: (epoch >= 0).then_some(epoch),
            }));
        }
    }
    Ok(None)
}
