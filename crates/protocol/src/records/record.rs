//! Records, borrowed from the bytes they lie in (`org.apache.kafka.common.record.DefaultRecord`).

use super::error::{RecordError, RecordFault};
use super::header::{BatchHeader, TimestampType};
use super::varint::{read_varint, read_varlong};
use super::{NO_SEQUENCE, increment_sequence};

/// One record of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its offset in the partition.
    pub offset: i64,
    /// Its timestamp in ms, -1 for none.
    pub timestamp: i64,
    /// Its sequence number, -1 for none.
    pub sequence: i32,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers, in order, keys may repeat.
    pub headers: Headers<'a>,
    /// Its size with the size field, uncompressed, in bytes.
    pub size_in_bytes: usize,
}

/// A header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its key, UTF-8 if the producer keeps to the rules.
    pub key: &'a [u8],
    /// Its value.
    pub value: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// A header.
    pub fn new(key: &'a str, value: Option<&'a [u8]>) -> Header<'a> {
        Header { key: key.as_bytes(), value }
    }
}

/// The headers of a record, read when they are iterated over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Headers<'a> {
    // Invariant: holds `count` whole headers, seen by `walk_headers`.
    bytes: &'a [u8],
    count: u32,
}

impl<'a> Headers<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The headers in order.
    pub fn iter(&self) -> HeaderIter<'a> {
        HeaderIter { bytes: self.bytes, count: self.count }
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = Header<'a>;
    type IntoIter = HeaderIter<'a>;

    fn into_iter(self) -> HeaderIter<'a> {
        self.iter()
    }
}

/// Iterator over a record's headers.
#[derive(Debug, Clone)]
pub struct HeaderIter<'a> {
    bytes: &'a [u8],
    count: u32,
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.count = self.count.checked_sub(1)?;
        // The bytes were checked when the record was read: no error can come here.
        read_header(&mut self.bytes).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count as usize, Some(self.count as usize))
    }
}

fn read_header<'a>(bytes: &mut &'a [u8]) -> Result<Header<'a>, RecordFault> {
    let key_size = read_varint(bytes)?;
    let key = take_nullable(bytes, key_size)?.ok_or(RecordFault::InvalidHeaderKeySize(key_size))?;
    let value_size = read_varint(bytes)?;
    Ok(Header { key, value: take_nullable(bytes, value_size)? })
}

/// Takes `size` bytes from the front; any negative size is null, as for Kafka.
#[inline(always)]
fn take_nullable<'a>(bytes: &mut &'a [u8], size: i32) -> Result<Option<&'a [u8]>, RecordFault> {
    let Ok(size) = usize::try_from(size) else { return Ok(None) };
    let (taken, rest) = bytes.split_at_checked(size).ok_or(RecordFault::Truncated)?;
    *bytes = rest;
    Ok(Some(taken))
}

/// The records of a batch, one after another. Ends after the first error.
///
/// After the last record that the header announces, bytes that remain are an error, as in Kafka.
#[derive(Debug, Clone)]
pub struct RecordIter<'a> {
    bytes: &'a [u8],
    base_offset: i64,
    base_timestamp: i64,
    base_sequence: i32,
    log_append_time: Option<i64>,
    index: u32,
    count: u32,
    failed: Option<RecordError>,
}

impl<'a> RecordIter<'a> {
    pub(super) fn new(header: &BatchHeader, bytes: &'a [u8]) -> RecordIter<'a> {
        let declared = header.records_count();
        let (count, failed) = match u32::try_from(declared) {
            Ok(count) => (count, None),
            Err(_) => (0, Some(RecordError::InvalidRecordCount(declared))),
        };
        RecordIter {
            bytes,
            base_offset: header.base_offset(),
            base_timestamp: header.base_timestamp(),
            base_sequence: header.base_sequence(),
            log_append_time: (header.timestamp_type() == TimestampType::LogAppendTime)
                .then(|| header.max_timestamp()),
            index: 0,
            count,
            failed,
        }
    }

    pub(super) fn failed(error: RecordError) -> RecordIter<'a> {
        RecordIter {
            bytes: &[],
            base_offset: 0,
            base_timestamp: 0,
            base_sequence: NO_SEQUENCE,
            log_append_time: None,
            index: 0,
            count: 0,
            failed: Some(error),
        }
    }

    fn read(&mut self) -> Result<Record<'a>, RecordFault> {
        let before = self.bytes.len();
        let size = read_varint(&mut self.bytes)?;
        let Ok(body_size) = usize::try_from(size) else { return Err(RecordFault::InvalidSize(size)) };
        let (mut body, rest) = self.bytes.split_at_checked(body_size).ok_or(RecordFault::Truncated)?;
        let body = &mut body;
        let (_attributes, after) = body.split_first().ok_or(RecordFault::SizeMismatch)?;
        *body = after;
        let timestamp_delta = read_varlong(body)?;
        let offset_delta = read_varint(body)?;
        let key_size = read_varint(body)?;
        let key = take_nullable(body, key_size)?;
        let value_size = read_varint(body)?;
        let value = take_nullable(body, value_size)?;
        let headers = read_headers(body)?;
        if !body.is_empty() {
            return Err(RecordFault::SizeMismatch);
        }
        self.bytes = rest;
        Ok(Record {
            offset: self.base_offset.wrapping_add(i64::from(offset_delta)),
            timestamp: self
                .log_append_time
                .unwrap_or_else(|| self.base_timestamp.wrapping_add(timestamp_delta)),
            sequence: if self.base_sequence >= 0 {
                increment_sequence(self.base_sequence, offset_delta)
            } else {
                NO_SEQUENCE
            },
            key,
            value,
            headers,
            size_in_bytes: before - rest.len(),
        })
    }
}

fn read_headers<'a>(body: &mut &'a [u8]) -> Result<Headers<'a>, RecordFault> {
    let declared = read_varint(body)?;
    let count = match u32::try_from(declared) {
        Ok(count) if count as usize <= body.len() => count,
        _ => return Err(RecordFault::InvalidHeaderCount(declared)),
    };
    let bytes = *body;
    for _ in 0..count {
        read_header(body)?;
    }
    let (bytes, _) = bytes.split_at_checked(bytes.len() - body.len()).unwrap_or_default();
    Ok(Headers { bytes, count })
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            self.count = 0;
            return Some(Err(error));
        }
        if self.index >= self.count {
            return None;
        }
        let index = self.index;
        let mut next = self.read().map_err(|fault| RecordError::InvalidRecord { index, fault });
        self.index += 1;
        if next.is_ok() && self.index == self.count && !self.bytes.is_empty() {
            next = Err(RecordError::TrailingBytes(self.count));
        }
        if next.is_err() {
            self.count = 0;
        }
        Some(next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // A record takes 7 bytes at least: do not promise more than there can be.
        let most = (self.count - self.index.min(self.count)) as usize;
        (0, Some(most.min(self.bytes.len() / 7 + 1)))
    }
}
