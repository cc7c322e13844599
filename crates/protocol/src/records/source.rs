//! Where the walk over records reads them from: a slice, or what comes out of a codec, through one buffer of fixed size.

use std::cell::RefCell;
use std::io::Read;

use super::alike::Alike;
use super::error::{RecordError, RecordFault};
use super::plain::{PlainRecord, plain_record};
use super::varint::{MAX_VARLONG_BYTES, read_varint, read_varlong};
use crate::compression::{CompressionError, Decoder};

/// Decompressed bytes at hand while compressed records are walked over.
const BUFFER_SIZE: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Where records are read from: a slice, or a codec's stream.
pub(super) trait Source {
    /// Walks over the next record if it is a usual one, whole and at hand, and no larger than `limit`.
    fn plain(&mut self, limit: i32) -> Option<PlainRecord>;
    /// Walks over the records that look like `record`, the last that [`Source::plain`] gave, as long as their offset deltas are
    /// `next` and those that follow it, below `end`. Returns how many they are.
    fn alike(&mut self, record: &PlainRecord, next: u32, end: u32) -> u32;
    /// Reads the varint before a record.
    fn size(&mut self) -> Result<i32, RecordFault>;
    /// Confines reading to the next `size` bytes.
    fn enter(&mut self, size: usize) -> Result<(), RecordFault>;
    /// How many bytes of the record are left.
    fn left(&self) -> usize;
    /// Reads a varint of the record.
    fn varint(&mut self) -> Result<i32, RecordFault>;
    /// Reads a varlong of the record.
    fn varlong(&mut self) -> Result<i64, RecordFault>;
    /// Skips bytes of the record.
    fn skip(&mut self, count: usize) -> Result<(), RecordFault>;
    /// Is there no byte behind the last record?
    fn at_end(&mut self) -> bool;
}

/// Records that lie in a slice.
pub(super) struct SliceSource<'a> {
    rest: &'a [u8],
    body: &'a [u8],
    /// Where the last usual record begins.
    last: &'a [u8],
}

impl<'a> SliceSource<'a> {
    pub(super) fn new(records: &'a [u8]) -> SliceSource<'a> {
        SliceSource { rest: records, body: &[], last: &[] }
    }
}

/// How many bytes at the front of `rest` are records like `record`, which lies at the front of `last`.
fn bytes_alike(record: &PlainRecord, last: &[u8], rest: &[u8], next: u32, end: u32) -> (u32, usize) {
    let Some(alike) = Alike::new(record, last) else { return (0, 0) };
    let (mut count, mut at) = (0, 0);
    while count < end - next && alike.is_next(rest.get(at..).unwrap_or_default(), next + count) {
        count += 1;
        at += alike.size_in_bytes();
    }
    (count, at)
}

impl Source for SliceSource<'_> {
    #[inline(always)]
    fn plain(&mut self, limit: i32) -> Option<PlainRecord> {
        let record = plain_record(self.rest).filter(|record| record.body_bytes <= i64::from(limit))?;
        self.last = self.rest;
        self.rest = self.rest.get(record.size_in_bytes..)?;
        Some(record)
    }

    fn alike(&mut self, record: &PlainRecord, next: u32, end: u32) -> u32 {
        let (count, bytes) = bytes_alike(record, self.last, self.rest, next, end);
        self.rest = self.rest.get(bytes..).unwrap_or_default();
        count
    }

    #[inline(always)]
    fn size(&mut self) -> Result<i32, RecordFault> {
        Ok(read_varint(&mut self.rest)?)
    }

    #[inline(always)]
    fn enter(&mut self, size: usize) -> Result<(), RecordFault> {
        (self.body, self.rest) = self.rest.split_at_checked(size).ok_or(RecordFault::Truncated)?;
        Ok(())
    }

    #[inline(always)]
    fn left(&self) -> usize {
        self.body.len()
    }

    #[inline(always)]
    fn varint(&mut self) -> Result<i32, RecordFault> {
        Ok(read_varint(&mut self.body)?)
    }

    #[inline(always)]
    fn varlong(&mut self) -> Result<i64, RecordFault> {
        Ok(read_varlong(&mut self.body)?)
    }

    #[inline(always)]
    fn skip(&mut self, count: usize) -> Result<(), RecordFault> {
        self.body = self.body.get(count..).ok_or(RecordFault::Truncated)?;
        Ok(())
    }

    fn at_end(&mut self) -> bool {
        self.rest.is_empty()
    }
}

/// Decompressed bytes, seen through a window of [`BUFFER_SIZE`].
pub(super) struct StreamSource<'a, 'b> {
    decoder: Decoder<'a>,
    buffer: &'b mut [u8],
    // What of the buffer is decompressed and not walked over yet.
    start: usize,
    end: usize,
    // Bytes decompressed so far, and the most that they may become.
    read: u64,
    limit: u64,
    // Where the record ends, counted in decompressed bytes.
    body_end: u64,
    failed: Option<CompressionError>,
}

impl<'a> StreamSource<'a, '_> {
    /// Does `work` on what comes out of `decoder`, of which there may be `limit` bytes.
    pub(super) fn with<T>(
        decoder: Decoder<'a>,
        limit: u64,
        work: impl FnOnce(&mut StreamSource<'a, '_>) -> Result<T, RecordError>,
    ) -> Result<T, RecordError> {
        BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(BUFFER_SIZE, 0);
            let mut source =
                StreamSource { decoder, buffer, start: 0, end: 0, read: 0, limit, body_end: 0, failed: None };
            let result = work(&mut source);
            // The fault of a record is only what the codec's error looks like from inside the walk.
            match source.failed.take() {
                Some(error) => Err(error.into()),
                None => result,
            }
        })
    }

    /// Decompressed bytes that were walked over.
    fn position(&self) -> u64 {
        self.read - (self.end - self.start) as u64
    }

    /// Gets more bytes; false at the end of the stream or after an error.
    #[cold]
    fn fill(&mut self) -> bool {
        if self.failed.is_some() {
            return false;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        match self.decoder.read(self.buffer.get_mut(self.end..).unwrap_or_default()) {
            Ok(0) => false,
            Ok(count) => {
                self.end += count;
                self.read += count as u64;
                if self.read > self.limit {
                    self.failed = Some(CompressionError::TooLarge { limit: self.limit });
                }
                self.failed.is_none()
            }
            Err(error) => {
                self.failed = Some(CompressionError::from_read(self.decoder.codec(), &error));
                false
            }
        }
    }

    /// Bytes at hand, of which there are `wanted` at least unless the stream ends before.
    #[inline(always)]
    fn window(&mut self, wanted: usize) -> &[u8] {
        while self.end - self.start < wanted && self.fill() {}
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    fn advance_to(&mut self, left: usize) {
        self.start = self.end - left;
    }
}

impl Source for StreamSource<'_, '_> {
    #[inline(always)]
    fn plain(&mut self, limit: i32) -> Option<PlainRecord> {
        let at_hand = self.buffer.get(self.start..self.end)?;
        let record = plain_record(at_hand).filter(|record| record.body_bytes <= i64::from(limit))?;
        self.start += record.size_in_bytes;
        Some(record)
    }

    fn alike(&mut self, record: &PlainRecord, next: u32, end: u32) -> u32 {
        let at_hand = self.buffer.get(..self.end).unwrap_or_default();
        let last = self.start.checked_sub(record.size_in_bytes).and_then(|at| at_hand.get(at..));
        let rest = at_hand.get(self.start..).unwrap_or_default();
        let (count, bytes) = bytes_alike(record, last.unwrap_or_default(), rest, next, end);
        self.start += bytes;
        count
    }

    fn size(&mut self) -> Result<i32, RecordFault> {
        let mut window = self.window(MAX_VARLONG_BYTES);
        let size = read_varint(&mut window)?;
        let left = window.len();
        self.advance_to(left);
        Ok(size)
    }

    fn enter(&mut self, size: usize) -> Result<(), RecordFault> {
        self.body_end = self.position() + size as u64;
        Ok(())
    }

    fn left(&self) -> usize {
        // A varint may have ended behind the record; that is a mismatch of sizes too.
        self.body_end.checked_sub(self.position()).map_or(usize::MAX, |left| left as usize)
    }

    fn varint(&mut self) -> Result<i32, RecordFault> {
        self.size()
    }

    fn varlong(&mut self) -> Result<i64, RecordFault> {
        let mut window = self.window(MAX_VARLONG_BYTES);
        let value = read_varlong(&mut window)?;
        let left = window.len();
        self.advance_to(left);
        Ok(value)
    }

    fn skip(&mut self, count: usize) -> Result<(), RecordFault> {
        if self.position() + count as u64 > self.body_end {
            return Err(RecordFault::Truncated);
        }
        let mut count = count;
        while count > self.end - self.start {
            count -= self.end - self.start;
            self.start = self.end;
            if !self.fill() {
                return Err(RecordFault::Truncated);
            }
        }
        self.start += count;
        Ok(())
    }

    fn at_end(&mut self) -> bool {
        self.window(1).is_empty()
    }
}
