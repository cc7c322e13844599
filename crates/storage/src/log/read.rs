//! Reading (`LocalLog.read`).
//!
//! A read at the log's end finds its place in [`Tail`](super::tail::Tail), without index or disk. Nothing is read of the records
//! themselves: what is returned says where they lie.

use std::io;
use std::sync::Arc;

use super::Log;
use crate::error::ReadError;
use crate::index::AbortedTxn;
use crate::segment::LogSegment;
use crate::types::{FetchInfo, LogOffsetMetadata, LogSlice, Segments};

/// Where a read begins.
struct Start {
    segment: Arc<LogSegment>,
    base_offset: i64,
    position: u64,
    batch_size: u64,
}

/// What a read does that would need the disk while the disk is stalled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WhileStalled {
    Wait,
    FindNothing,
}

impl Log {
    /// Finds the records from `start_offset` on: from the batch that holds it, or the first behind it, for at most `max_bytes`, and
    /// only batches below `max_offset_exclusive` (the high watermark, last stable offset or log end). With `min_one_message` the
    /// first batch comes whole even if it is larger than `max_bytes`.
    ///
    /// # Errors
    /// [`ReadError::OffsetOutOfRange`] before the log's start and behind its end.
    pub fn read(
        &self,
        start_offset: i64,
        max_bytes: usize,
        max_offset_exclusive: i64,
        min_one_message: bool,
    ) -> Result<FetchInfo, ReadError> {
        self.read_and(WhileStalled::Wait, start_offset, max_bytes, max_offset_exclusive, min_one_message)
    }

    /// The same for those who come again: while the disk is stalled, nothing is found that is not among the newest batches.
    ///
    /// # Errors
    /// As [`Log::read`].
    pub fn read_unless_stalled(
        &self,
        start_offset: i64,
        max_bytes: usize,
        max_offset_exclusive: i64,
        min_one_message: bool,
    ) -> Result<FetchInfo, ReadError> {
        let otherwise = WhileStalled::FindNothing;
        self.read_and(otherwise, start_offset, max_bytes, max_offset_exclusive, min_one_message)
    }

    fn read_and(
        &self,
        while_stalled: WhileStalled,
        start_offset: i64,
        max_bytes: usize,
        max_offset_exclusive: i64,
        min_one_message: bool,
    ) -> Result<FetchInfo, ReadError> {
        self.health.check()?;
        let log_start_offset = self.log_start_offset();
        if start_offset < log_start_offset {
            return Err(ReadError::OffsetOutOfRange(format!(
                "Received request for offset {start_offset} for partition {}, but we only have log segments starting from offset: \
                 {log_start_offset}.",
                self.topic_partition
            )));
        }
        // One look at tail and segments, so that all that follows fits together.
        let (end, start_hint, max_hint, segments) = {
            let tail = self.tail.read();
            let hints = (tail.find(start_offset), tail.find(max_offset_exclusive));
            (tail.end(), hints.0, hints.1, self.segments.load_full())
        };
        if start_offset > end.message_offset {
            return Err(ReadError::OffsetOutOfRange(format!(
                "Received request for offset {start_offset} for partition {}, but we only have log segments upto {}.",
                self.topic_partition, end.message_offset
            )));
        }
        let is_stalled = || while_stalled == WhileStalled::FindNothing && self.health.is_stalled();
        let result = || -> io::Result<FetchInfo> {
            let max = if max_offset_exclusive >= end.message_offset {
                end
            } else if let Some(batch) = max_hint {
                LogOffsetMetadata {
                    message_offset: max_offset_exclusive,
                    segment_base_offset: batch.segment_base_offset,
                    relative_position: batch.position as i64,
                }
            } else if is_stalled() {
                return Ok(nothing(end));
            } else {
                self.health.io(|| self.locate(&segments, max_offset_exclusive))?
            };
            if start_offset == max.message_offset {
                return Ok(nothing(max));
            }
            let hinted = start_hint.and_then(|batch| {
                let (_, segment) = Self::floor_segment(&segments, batch.segment_base_offset)?;
                (segment.base_offset() == batch.segment_base_offset).then(|| Start {
                    segment: Arc::clone(segment),
                    base_offset: batch.base_offset,
                    position: batch.position,
                    batch_size: batch.size,
                })
            });
            let start = match hinted {
                Some(start) => Some(start),
                None if is_stalled() => None,
                None => self.health.io(|| find_start(&segments, start_offset, &end))?,
            };
            let Some(start) = start else { return Ok(nothing(end)) };
            let mut found = slice(&start, start_offset, &max, max_bytes, min_one_message)?;
            found.segments = Segments(Some(Arc::clone(&segments)));
            Ok(found)
        };
        match result() {
            // The segment was deleted meanwhile, its files too: there are others now.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.segments_changed(&segments) => {
                self.read_and(while_stalled, start_offset, max_bytes, max_offset_exclusive, min_one_message)
            }
            other => other.map_err(|error| self.read_failed(error)),
        }
    }

    fn segments_changed(&self, since: &Arc<Vec<Arc<LogSegment>>>) -> bool {
        !Arc::ptr_eq(since, &self.segments.load())
    }

    /// The place of the batch with an offset.
    fn locate(&self, segments: &[Arc<LogSegment>], offset: i64) -> io::Result<LogOffsetMetadata> {
        let Some((_, segment)) = Self::floor_segment(segments, offset) else {
            return Ok(LogOffsetMetadata::offset_only(offset));
        };
        // Behind the segment's last batch lies only its end.
        let position = segment.find_batch(offset)?.map_or(segment.size(), |batch| batch.position);
        Ok(LogOffsetMetadata {
            message_offset: offset,
            segment_base_offset: segment.base_offset(),
            relative_position: position as i64,
        })
    }

    /// An error while reading: damage is the reader's to hear of, all else takes the log directory offline.
    pub(super) fn read_failed(&self, error: io::Error) -> ReadError {
        match error.kind() {
            io::ErrorKind::InvalidData => ReadError::Corrupt(format!(
                "Found invalid messages in the log of {}: {error}",
                self.topic_partition
            )),
            _ => ReadError::Storage(self.fail("Exception while reading from the log", error)),
        }
    }

    /// The aborted transactions that a reader of committed records must know for what was fetched from `start_offset`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn aborted_transactions(
        &self,
        start_offset: i64,
        fetched: &FetchInfo,
    ) -> Result<Vec<AbortedTxn>, ReadError> {
        if fetched.records.is_empty() {
            return Ok(Vec::new());
        }
        // Those that were read: if they were compacted meanwhile, their records may be of transactions that are gone from the new ones.
        let segments = fetched.segments.0.clone().unwrap_or_else(|| self.segments.load_full());
        let upper_bound = || -> io::Result<i64> {
            let base_offset = fetched.start.segment_base_offset;
            let Some((index, segment)) = Self::floor_segment(&segments, base_offset) else {
                return Ok(self.log_end_offset());
            };
            let end = fetched.start.relative_position.max(0) as u64 + fetched.records.len() as u64;
            let entry = segment.offset_index().upper_bound_of_position(segment.paths(), end)?;
            Ok(match (entry, segments.get(index + 1)) {
                (Some(entry), _) => entry.offset,
                (None, Some(next)) => next.base_offset(),
                (None, None) => self.log_end_offset(),
            })
        };
        let upper_bound = upper_bound().map_err(|error| self.read_failed(error))?;
        self.collect_aborted(&segments, start_offset, upper_bound)
    }

    /// The aborted transactions that touch `start_offset..upper_bound_offset`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn collect_aborted_transactions(
        &self,
        start_offset: i64,
        upper_bound_offset: i64,
    ) -> Result<Vec<AbortedTxn>, ReadError> {
        self.collect_aborted(&self.segments.load_full(), start_offset, upper_bound_offset)
    }

    fn collect_aborted(
        &self,
        segments: &[Arc<LogSegment>],
        start_offset: i64,
        upper_bound_offset: i64,
    ) -> Result<Vec<AbortedTxn>, ReadError> {
        let first = Self::floor_segment(segments, start_offset).map_or(0, |(index, _)| index);
        let mut found = Vec::new();
        for segment in segments.iter().skip(first) {
            let complete = segment
                .txn_index()
                .collect_aborted(segment.paths(), start_offset, upper_bound_offset, &mut found)
                .map_err(|error| self.read_failed(error))?;
            if complete {
                break;
            }
        }
        Ok(found)
    }
}

/// Looks for the batch with `start_offset`, or the first behind it where compaction has left a gap.
fn find_start(
    segments: &[Arc<LogSegment>],
    start_offset: i64,
    end: &LogOffsetMetadata,
) -> io::Result<Option<Start>> {
    let Some((index, _)) = Log::floor_segment(segments, start_offset) else { return Ok(None) };
    for segment in segments.iter().skip(index) {
        let readable = readable_size(segment, end);
        if let Some(batch) = segment.find_batch_within(start_offset, readable)? {
            return Ok(Some(Start {
                segment: Arc::clone(segment),
                base_offset: batch.header.base_offset(),
                position: batch.position,
                batch_size: batch.header.size_in_bytes() as u64,
            }));
        }
    }
    Ok(None)
}

/// How much of a segment lies before `end`.
fn readable_size(segment: &LogSegment, end: &LogOffsetMetadata) -> u64 {
    match segment.base_offset().cmp(&end.segment_base_offset) {
        std::cmp::Ordering::Less => segment.size(),
        std::cmp::Ordering::Equal => end.relative_position.max(0) as u64,
        std::cmp::Ordering::Greater => 0,
    }
}

fn slice(
    start: &Start,
    start_offset: i64,
    max: &LogOffsetMetadata,
    max_bytes: usize,
    min_one_message: bool,
) -> io::Result<FetchInfo> {
    let metadata = LogOffsetMetadata {
        message_offset: start.base_offset,
        segment_base_offset: start.segment.base_offset(),
        relative_position: start.position as i64,
    };
    // Above the limit nothing is returned, though its place is.
    let available = readable_size(&start.segment, max).saturating_sub(start.position);
    if start_offset > max.message_offset || available == 0 {
        return Ok(nothing(metadata));
    }
    let wanted = if min_one_message { (max_bytes as u64).max(start.batch_size) } else { max_bytes as u64 };
    let length = available.min(wanted);
    if length == 0 {
        return Ok(nothing(metadata));
    }
    Ok(FetchInfo {
        start: metadata,
        records: LogSlice::new(start.segment.file()?, start.position, length as usize),
        first_entry_incomplete: wanted < start.batch_size,
        segments: Segments::default(),
    })
}

fn nothing(start: LogOffsetMetadata) -> FetchInfo {
    FetchInfo {
        start,
        records: LogSlice::default(),
        first_entry_incomplete: false,
        segments: Segments::default(),
    }
}
