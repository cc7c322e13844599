//! The 61-byte header of a record batch, magic 2 (`org.apache.kafka.common.record.DefaultRecordBatch`).

use super::error::RecordError;
use super::{NO_PRODUCER_ID, NO_SEQUENCE, increment_sequence};
use crate::compression::Compression;

/// Size of a record batch's header, in bytes.
pub const RECORD_BATCH_OVERHEAD: usize = 61;
/// Size of base offset and length, which the length does not count, in bytes.
pub const LOG_OVERHEAD: usize = 12;
/// Bytes up to and with the magic: what must be there to know which format follows.
pub const HEADER_SIZE_UP_TO_MAGIC: usize = 17;
/// The first bytes of a batch that the checksum does not cover and an appending leader sets: base offset,
/// length, partition leader epoch.
pub const UNCHECKED_HEAD: usize = 16;

pub(super) const LENGTH_OFFSET: usize = 8;
pub(super) const PARTITION_LEADER_EPOCH_OFFSET: usize = 12;
pub(super) const MAGIC_OFFSET: usize = 16;
pub(super) const CRC_OFFSET: usize = 17;
pub(super) const ATTRIBUTES_OFFSET: usize = 21;
pub(super) const LAST_OFFSET_DELTA_OFFSET: usize = 23;
pub(super) const BASE_TIMESTAMP_OFFSET: usize = 27;
pub(super) const MAX_TIMESTAMP_OFFSET: usize = 35;
pub(super) const PRODUCER_ID_OFFSET: usize = 43;
pub(super) const PRODUCER_EPOCH_OFFSET: usize = 51;
pub(super) const BASE_SEQUENCE_OFFSET: usize = 53;
pub(super) const RECORDS_COUNT_OFFSET: usize = 57;

/// The smallest record of magic 0: Kafka takes a batch length below it for damage whatever the magic is.
const LEGACY_RECORD_OVERHEAD_V0: i32 = 14;

/// Who set the timestamps (`message.timestamp.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampType {
    /// The producer: each record has its own.
    #[default]
    CreateTime,
    /// The broker: every record has the batch's maximum timestamp.
    LogAppendTime,
}

/// The attributes of a record batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes(pub i16);

impl Attributes {
    const COMPRESSION_MASK: i16 = 0x07;
    const TIMESTAMP_TYPE: i16 = 0x08;
    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x20;
    const DELETE_HORIZON: i16 = 0x40;

    /// Attributes with the flags given.
    pub fn new(
        compression: Compression,
        timestamp_type: TimestampType,
        transactional: bool,
        control: bool,
        delete_horizon: bool,
    ) -> Attributes {
        let flag = |set: bool, bit: i16| if set { bit } else { 0 };
        Attributes(
            i16::from(compression.id())
                | flag(timestamp_type == TimestampType::LogAppendTime, Self::TIMESTAMP_TYPE)
                | flag(transactional, Self::TRANSACTIONAL)
                | flag(control, Self::CONTROL)
                | flag(delete_horizon, Self::DELETE_HORIZON),
        )
    }

    /// The codec's number, whether it exists or not.
    pub fn compression_id(self) -> u8 {
        (self.0 & Self::COMPRESSION_MASK) as u8
    }

    /// Who set the timestamps.
    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::TIMESTAMP_TYPE == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Part of a transaction?
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Control records, which no client sees?
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Is the base timestamp the time from which tombstones may go?
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }
}

/// The header of a record batch, without its records: what a scan over a segment needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    bytes: [u8; RECORD_BATCH_OVERHEAD],
    compression: Compression,
}

impl BatchHeader {
    /// Reads the header at the front of `bytes`; the records need not be there.
    ///
    /// # Errors
    /// [`RecordError::Truncated`] if there are fewer than 61 bytes, otherwise an error if length, magic or codec
    /// cannot be. The checksum is not looked at.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, RecordError> {
        check_prefix(bytes)?;
        let Some(header) = bytes.first_chunk::<RECORD_BATCH_OVERHEAD>() else {
            return Err(RecordError::Truncated { needed: RECORD_BATCH_OVERHEAD, available: bytes.len() });
        };
        let id = Attributes(i16::from_be_bytes(field(header, ATTRIBUTES_OFFSET))).compression_id();
        let compression = Compression::from_id(id).ok_or(RecordError::UnknownCompression(id))?;
        let header = BatchHeader { bytes: *header, compression };
        if header.size_in_bytes() < RECORD_BATCH_OVERHEAD {
            return Err(RecordError::InvalidBatchLength(header.batch_length()));
        }
        Ok(header)
    }

    /// The 61 bytes.
    pub fn as_bytes(&self) -> &[u8; RECORD_BATCH_OVERHEAD] {
        &self.bytes
    }

    fn i16_at(&self, at: usize) -> i16 {
        i16::from_be_bytes(field(&self.bytes, at))
    }

    fn i32_at(&self, at: usize) -> i32 {
        i32::from_be_bytes(field(&self.bytes, at))
    }

    fn i64_at(&self, at: usize) -> i64 {
        i64::from_be_bytes(field(&self.bytes, at))
    }

    /// Offset that the records' offset deltas count from.
    pub fn base_offset(&self) -> i64 {
        self.i64_at(0)
    }

    /// The length field: the batch's size in bytes without the first 12.
    pub fn batch_length(&self) -> i32 {
        self.i32_at(LENGTH_OFFSET)
    }

    /// Size of the whole batch, in bytes.
    pub fn size_in_bytes(&self) -> usize {
        // `parse` saw that the length is not negative.
        LOG_OVERHEAD + self.batch_length() as usize
    }

    /// Epoch of the leader that appended the batch, -1 if it was never appended.
    pub fn partition_leader_epoch(&self) -> i32 {
        self.i32_at(PARTITION_LEADER_EPOCH_OFFSET)
    }

    /// Message format: 2.
    pub fn magic(&self) -> i8 {
        i8::from_be_bytes(field(&self.bytes, MAGIC_OFFSET))
    }

    /// The stored CRC-32C, of everything from the attributes on.
    pub fn crc(&self) -> u32 {
        u32::from_be_bytes(field(&self.bytes, CRC_OFFSET))
    }

    /// All attributes.
    pub fn attributes(&self) -> Attributes {
        Attributes(self.i16_at(ATTRIBUTES_OFFSET))
    }

    /// Codec of the records.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Are the records compressed?
    pub fn is_compressed(&self) -> bool {
        self.compression != Compression::None
    }

    /// Who set the timestamps.
    pub fn timestamp_type(&self) -> TimestampType {
        self.attributes().timestamp_type()
    }

    /// Part of a transaction?
    pub fn is_transactional(&self) -> bool {
        self.attributes().is_transactional()
    }

    /// Control records, which no client sees?
    pub fn is_control(&self) -> bool {
        self.attributes().is_control()
    }

    /// Is the base timestamp the delete horizon?
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes().has_delete_horizon()
    }

    /// The time in ms from which the cleaner may drop the tombstones and markers of this batch (KIP-534).
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        self.has_delete_horizon().then(|| self.base_timestamp())
    }

    /// Last offset minus base offset. Survives compaction, so it can be more than the count tells.
    pub fn last_offset_delta(&self) -> i32 {
        self.i32_at(LAST_OFFSET_DELTA_OFFSET)
    }

    /// Offset of the last record that the batch was written with.
    pub fn last_offset(&self) -> i64 {
        self.base_offset().wrapping_add(i64::from(self.last_offset_delta()))
    }

    /// The offset after the last one.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().wrapping_add(1)
    }

    /// What the records' timestamp deltas count from, in ms; the delete horizon if the batch has one.
    pub fn base_timestamp(&self) -> i64 {
        self.i64_at(BASE_TIMESTAMP_OFFSET)
    }

    /// Largest timestamp of the records in ms, or with `LogAppendTime` the timestamp of each; -1 for none.
    pub fn max_timestamp(&self) -> i64 {
        self.i64_at(MAX_TIMESTAMP_OFFSET)
    }

    /// The producer's id, -1 for none.
    pub fn producer_id(&self) -> i64 {
        self.i64_at(PRODUCER_ID_OFFSET)
    }

    /// Did an idempotent producer write it?
    pub fn has_producer_id(&self) -> bool {
        self.producer_id() > NO_PRODUCER_ID
    }

    /// The producer's epoch, -1 for none.
    pub fn producer_epoch(&self) -> i16 {
        self.i16_at(PRODUCER_EPOCH_OFFSET)
    }

    /// Sequence number of the first record, -1 for none.
    pub fn base_sequence(&self) -> i32 {
        self.i32_at(BASE_SEQUENCE_OFFSET)
    }

    /// Sequence number of the last record, which follows the last offset delta and wraps to 0 after
    /// `i32::MAX`; -1 for none.
    pub fn last_sequence(&self) -> i32 {
        match self.base_sequence() {
            NO_SEQUENCE => NO_SEQUENCE,
            base => increment_sequence(base, self.last_offset_delta()),
        }
    }

    /// How many records there are, as the header has it: it can be negative in a damaged batch.
    pub fn records_count(&self) -> i32 {
        self.i32_at(RECORDS_COUNT_OFFSET)
    }
}

impl std::fmt::Debug for BatchHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchHeader")
            .field("base_offset", &self.base_offset())
            .field("last_offset", &self.last_offset())
            .field("size_in_bytes", &self.size_in_bytes())
            .field("partition_leader_epoch", &self.partition_leader_epoch())
            .field("attributes", &self.attributes())
            .field("base_timestamp", &self.base_timestamp())
            .field("max_timestamp", &self.max_timestamp())
            .field("producer_id", &self.producer_id())
            .field("producer_epoch", &self.producer_epoch())
            .field("base_sequence", &self.base_sequence())
            .field("records_count", &self.records_count())
            .field("crc", &self.crc())
            .finish()
    }
}

/// Looks at length and magic, in the order that Kafka's `ByteBufferLogInputStream` does, and returns the size
/// of the batch in bytes.
pub(super) fn check_prefix(bytes: &[u8]) -> Result<usize, RecordError> {
    let Some(prefix) = bytes.first_chunk::<HEADER_SIZE_UP_TO_MAGIC>() else {
        return Err(RecordError::Truncated { needed: HEADER_SIZE_UP_TO_MAGIC, available: bytes.len() });
    };
    let length = i32::from_be_bytes(field(prefix, LENGTH_OFFSET));
    if length < LEGACY_RECORD_OVERHEAD_V0 {
        return Err(RecordError::InvalidBatchLength(length));
    }
    match i8::from_be_bytes(field(prefix, MAGIC_OFFSET)) {
        2 => Ok(LOG_OVERHEAD + length as usize),
        magic @ 0..=1 => Err(RecordError::UnsupportedMagic(magic)),
        magic => Err(RecordError::InvalidMagic(magic)),
    }
}

/// `N` bytes at a constant place of an array, so the bounds check is the compiler's.
#[inline(always)]
fn field<const L: usize, const N: usize>(bytes: &[u8; L], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}
