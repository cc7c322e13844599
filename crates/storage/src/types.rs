//! What a log is asked with and answers.

use std::io;
use std::sync::Arc;

use ::io::fs::File;

use crate::segment::LogSegment;

/// Who appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A follower, or a log that is copied: batches are as the leader wrote them.
    Replication,
    /// A coordinator of this broker: offsets are assigned, but sequences are not checked, and control batches are allowed.
    Coordinator,
    /// A producer.
    Client,
    /// The leader of the metadata quorum, which builds its batches with their offsets.
    RaftLeader,
}

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendInfo {
    /// The offset of the first record; -1 if there was none.
    pub first_offset: i64,
    /// The offset of the last record; -1 if there was none.
    pub last_offset: i64,
    /// The leader epoch of the last batch.
    pub last_leader_epoch: i32,
    /// The largest timestamp, in ms.
    pub max_timestamp: i64,
    /// The time of the append, in ms, if the log keeps that as timestamp, or that of the duplicate; otherwise -1.
    pub log_append_time: i64,
    /// The log's first offset.
    pub log_start_offset: i64,
    /// The log's end behind the append.
    pub log_end_offset: i64,
    /// How many of the bytes given were whole batches.
    pub valid_bytes: usize,
    /// The batch was here before, at these offsets: nothing was written.
    pub duplicate: bool,
    /// There is no other replica, and the high watermark has moved behind the append with it ([`crate::Log::lead`]).
    pub committed: bool,
    /// `flush.messages` is reached: the log is to be flushed before this is acknowledged.
    pub needs_flush: bool,
    /// A new segment was begun: the ones before are to be flushed in the background.
    pub rolled: bool,
}

/// An offset and where its batch lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOffsetMetadata {
    /// The offset.
    pub message_offset: i64,
    /// The first offset of its segment; -1 if that is not known.
    pub segment_base_offset: i64,
    /// The position in the segment's file; -1 if that is not known.
    pub relative_position: i64,
}

impl LogOffsetMetadata {
    /// An offset of which the place is not known.
    pub fn offset_only(message_offset: i64) -> LogOffsetMetadata {
        LogOffsetMetadata { message_offset, segment_base_offset: -1, relative_position: -1 }
    }
}

/// Bytes of a segment's file. They stay readable when the segment is deleted meanwhile.
#[derive(Clone, Debug, Default)]
pub struct LogSlice {
    file: Option<Arc<File>>,
    position: u64,
    length: usize,
}

impl LogSlice {
    pub(crate) fn new(file: Arc<File>, position: u64, length: usize) -> LogSlice {
        LogSlice { file: Some(file), position, length }
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The operating system's file, for `sendfile`; `None` if there are no bytes, or if they lie on a simulated disk.
    pub fn file(&self) -> Option<&Arc<std::fs::File>> {
        self.file.as_ref().and_then(|file| file.as_std())
    }

    /// Where the bytes begin in the file.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The first `length` of the bytes.
    pub fn truncated(&self, length: usize) -> LogSlice {
        LogSlice { length: self.length.min(length), ..self.clone() }
    }

    /// Appends the bytes to `buffer`.
    ///
    /// # Errors
    /// Those of the file; `UnexpectedEof` if the log was truncated meanwhile. `buffer` is then as it was.
    pub fn read_into(&self, buffer: &mut Vec<u8>) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let start = buffer.len();
        buffer.reserve(self.length);
        let room = buffer.spare_capacity_mut().get_mut(..self.length).unwrap_or_default();
        let mut read = 0;
        while read < self.length {
            let rest = room.get_mut(read..).unwrap_or_default();
            match file.read_spare_at(rest, self.position + read as u64) {
                Ok([]) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(filled) => read += filled.len(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // SAFETY: `reserve` made room for `length` bytes behind `start`, and the loop ends here only when all of them were filled.
        unsafe { buffer.set_len(start + self.length) };
        Ok(())
    }
}

/// What a read found.
#[derive(Clone, Debug)]
pub struct FetchInfo {
    /// The first offset of the batch with which the records begin, and its place. The records may begin before the offset asked for.
    pub start: LogOffsetMetadata,
    /// The records, cut at the limit: the last batch may not be whole.
    pub records: LogSlice,
    /// Even the first batch is not whole.
    pub first_entry_incomplete: bool,
    /// The segments of the log when it was read.
    pub(crate) segments: Segments,
}

/// The segments of a log as they were at some time.
#[derive(Clone, Default)]
pub(crate) struct Segments(pub Option<Arc<Vec<Arc<LogSegment>>>>);

impl std::fmt::Debug for Segments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} segments", self.0.as_ref().map_or(0, |segments| segments.len()))
    }
}

/// A timestamp, the first record that has it or a later one, and that record's leader epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampAndOffset {
    /// In ms; -1 where an offset was asked for that has none.
    pub timestamp: i64,
    /// The offset.
    pub offset: i64,
    /// The leader epoch, if it is known.
    pub leader_epoch: Option<i32>,
}
