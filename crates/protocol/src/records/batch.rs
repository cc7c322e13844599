//! A record batch that lies in memory, and the walk over several of them.

use std::borrow::Cow;
use std::ops::Deref;

use super::crc32c::crc32c;
use super::error::RecordError;
use super::header::{ATTRIBUTES_OFFSET, BatchHeader, RECORD_BATCH_OVERHEAD, check_prefix};
use super::record::RecordIter;
use crate::compression;

/// A view of one whole record batch (magic 2). Fields of the header are read through [`BatchHeader`].
///
/// Follows `org.apache.kafka.common.record.DefaultRecordBatch`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RecordBatch<'a> {
    header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> RecordBatch<'a> {
    /// Looks at the batch at the front of `bytes`; what follows it is left alone.
    ///
    /// # Errors
    /// As [`BatchHeader::parse`], and [`RecordError::Truncated`] if the batch is longer than `bytes`. The
    /// checksum is not looked at: see [`RecordBatch::verify_crc`].
    pub fn parse(bytes: &'a [u8]) -> Result<RecordBatch<'a>, RecordError> {
        let header = BatchHeader::parse(bytes)?;
        let needed = header.size_in_bytes();
        match bytes.get(..needed) {
            Some(bytes) => Ok(RecordBatch { header, bytes }),
            None => Err(RecordError::Truncated { needed, available: bytes.len() }),
        }
    }

    /// The header alone.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// All bytes of the batch.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The records as they lie in the batch, possibly compressed.
    pub fn records_bytes(&self) -> &'a [u8] {
        self.bytes.get(RECORD_BATCH_OVERHEAD..).unwrap_or_default()
    }

    /// Compares the checksum.
    ///
    /// # Errors
    /// [`RecordError::CrcMismatch`].
    pub fn verify_crc(&self) -> Result<(), RecordError> {
        let computed = crc32c(self.bytes.get(ATTRIBUTES_OFFSET..).unwrap_or_default());
        let stored = self.header.crc();
        if computed == stored { Ok(()) } else { Err(RecordError::CrcMismatch { stored, computed }) }
    }

    /// The records of an uncompressed batch, borrowed. Of a compressed batch the only item is
    /// [`RecordError::Compressed`]: iterate over what [`RecordBatch::decompress`] returns, which serves both.
    pub fn iter(&self) -> RecordIter<'a> {
        if self.is_compressed() && self.records_count() != 0 {
            return RecordIter::failed(RecordError::Compressed);
        }
        RecordIter::new(&self.header, self.records_bytes())
    }

    /// Decompresses the records, or borrows them if they are not compressed.
    ///
    /// # Errors
    /// [`RecordError::Compression`] if they are damaged or more than `limit` bytes.
    pub fn decompress(&self, limit: usize) -> Result<DecompressedBatch<'a>, RecordError> {
        let records = if self.is_compressed() && self.records_count() != 0 {
            Cow::Owned(compression::decompress(self.compression(), self.records_bytes(), limit)?)
        } else {
            Cow::Borrowed(self.records_bytes())
        };
        Ok(DecompressedBatch { header: self.header, records })
    }
}

impl Deref for RecordBatch<'_> {
    type Target = BatchHeader;

    fn deref(&self) -> &BatchHeader {
        &self.header
    }
}

impl std::fmt::Debug for RecordBatch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RecordBatch").field(&self.header).finish()
    }
}

/// A batch's header with its records decompressed.
#[derive(Debug, Clone)]
pub struct DecompressedBatch<'a> {
    header: BatchHeader,
    records: Cow<'a, [u8]>,
}

impl DecompressedBatch<'_> {
    /// The batch's header, as it was: it still names the codec.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The records' bytes, decompressed.
    pub fn records_bytes(&self) -> &[u8] {
        &self.records
    }

    /// The records.
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter::new(&self.header, &self.records)
    }
}

/// The batches that lie one after another in a slice, as in a segment or a Fetch response.
///
/// A batch that the slice holds only in part ends the iteration, as Kafka's consumers need it:
/// [`Batches::remaining`] is what was not consumed. An error ends it too.
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    rest: &'a [u8],
    failed: bool,
}

impl<'a> Batches<'a> {
    /// Iterates over `bytes`.
    pub fn new(bytes: &'a [u8]) -> Batches<'a> {
        Batches { rest: bytes, failed: false }
    }

    /// The bytes behind the last batch that was returned: a partial batch, or the one with an error.
    pub fn remaining(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<RecordBatch<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = check_prefix(self.rest).and_then(|_| RecordBatch::parse(self.rest));
        match next {
            Ok(batch) => {
                self.rest = self.rest.get(batch.size_in_bytes()..).unwrap_or_default();
                Some(Ok(batch))
            }
            Err(RecordError::Truncated { .. }) => {
                self.failed = true;
                None
            }
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}
