//! What can be wrong with record batches.

use super::varint::VarintError;
use crate::compression::CompressionError;

/// An error in a record batch or in a record of it.
///
/// Nothing here names a wire error code: the caller at the edge maps [`RecordError::is_corrupt`] to
/// `CORRUPT_MESSAGE` and the others to `INVALID_RECORD` and the like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The bytes end before the batch does (units: bytes).
    #[error("the record batch needs {needed} bytes, but only {available} are there")]
    Truncated {
        /// Bytes that the batch, or its header, takes.
        needed: usize,
        /// Bytes that are there.
        available: usize,
    },
    /// The batch's length field is smaller than the rest of a header.
    #[error("the record batch's length field has the impossible value {0}")]
    InvalidBatchLength(i32),
    /// Message format 0 or 1, which Kafka 4 no longer writes or accepts.
    #[error("message format {0} is no longer supported; record batches have magic 2")]
    UnsupportedMagic(i8),
    /// A magic byte that no Kafka ever wrote.
    #[error("invalid magic {0} in the record batch")]
    InvalidMagic(i8),
    /// The attributes name a compression codec that does not exist.
    #[error("unknown compression codec {0} in the attributes of the record batch")]
    UnknownCompression(u8),
    /// The stored checksum is not that of the bytes.
    #[error("the record batch is corrupt (stored crc = {stored}, computed crc = {computed})")]
    CrcMismatch {
        /// The checksum in the header.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// The record count is negative.
    #[error("invalid record count {0} in the record batch")]
    InvalidRecordCount(i32),
    /// Records are compressed; they are read from [`RecordBatch::decompress`](super::RecordBatch::decompress).
    #[error("the records are compressed")]
    Compressed,
    /// The compressed records cannot be decompressed.
    #[error("the records cannot be decompressed: {0}")]
    Compression(#[from] CompressionError),
    /// A record is malformed.
    #[error("record {index} of the batch is invalid: {fault}")]
    InvalidRecord {
        /// Which record of the batch, from 0.
        index: u32,
        /// What is wrong with it.
        fault: RecordFault,
    },
    /// All records that the header announces were read, and bytes are left.
    #[error("incorrect declared batch size: bytes remain after the {0} declared records")]
    TrailingBytes(u32),
    /// A control record's key is too short, or of a version that does not exist.
    #[error("invalid control record key: {0}")]
    InvalidControlKey(&'static str),
    /// A control record's value is too short, or of a version that does not exist.
    #[error("invalid control record value: {0}")]
    InvalidControlValue(&'static str),
    /// A record that is not to be written: its place in the batch, size or timestamp is out of range.
    #[error("the record cannot be appended: {0}")]
    CannotAppend(&'static str),
}

impl RecordError {
    /// Is it damage of the batch as a whole (Kafka's `CorruptRecordException`), not an invalid record in a
    /// batch that arrived as it was sent (`InvalidRecordException`)?
    pub fn is_corrupt(&self) -> bool {
        matches!(
            self,
            RecordError::Truncated { .. }
                | RecordError::InvalidBatchLength(_)
                | RecordError::InvalidMagic(_)
                | RecordError::CrcMismatch { .. }
        )
    }
}

/// What is wrong with one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordFault {
    /// The bytes end inside the record.
    #[error("the bytes end inside the record")]
    Truncated,
    /// A varint has more bytes than its width allows.
    #[error("a varint is too long")]
    VarintTooLong,
    /// The size is negative.
    #[error("its size is {0}")]
    InvalidSize(i32),
    /// The record is larger than the limit for decompressed records (`max.decompressed.message.bytes`).
    #[error("its size of {size} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// Size of the record's body, in bytes.
        size: i32,
        /// The limit, in bytes.
        limit: i32,
    },
    /// The header count is negative or more than the record has room for.
    #[error("invalid number of headers {0}")]
    InvalidHeaderCount(i32),
    /// A header's key has a negative length (a header's key is never null).
    #[error("invalid header key size {0}")]
    InvalidHeaderKeySize(i32),
    /// Size and contents of the record disagree.
    #[error("its size and its contents disagree")]
    SizeMismatch,
}

impl From<VarintError> for RecordFault {
    fn from(error: VarintError) -> RecordFault {
        match error {
            VarintError::Truncated => RecordFault::Truncated,
            VarintError::TooLong => RecordFault::VarintTooLong,
        }
    }
}
