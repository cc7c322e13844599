//! Building record batches (`org.apache.kafka.common.record.MemoryRecordsBuilder`).

use super::crc32c::crc32c;
use super::error::RecordError;
use super::header::{
    ATTRIBUTES_OFFSET, Attributes, BatchHeader, CRC_OFFSET, LOG_OVERHEAD, RECORD_BATCH_OVERHEAD,
    TimestampType,
};
use super::record::Header;
use super::varint::{size_of_varint, size_of_varlong, write_varint, write_varlong};
use super::{
    CURRENT_MAGIC, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, NO_TIMESTAMP,
};
use crate::compression::{self, Compression};

/// Builds one record batch, byte for byte as Kafka's builder does when nothing is compressed.
#[derive(Debug, Clone)]
pub struct RecordBatchBuilder {
    head: Head,
    compression_level: Option<i32>,
    log_append_time: i64,
    delete_horizon_ms: Option<i64>,
    last_offset_override: Option<i64>,
    // Header's room first, then the records, uncompressed.
    bytes: Vec<u8>,
    base_timestamp: Option<i64>,
    max_timestamp: i64,
    offset_of_max_timestamp: i64,
    last_offset: Option<i64>,
    count: i32,
}

/// What the header says that does not follow from the records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub base_offset: i64,
    pub partition_leader_epoch: i32,
    pub compression: Compression,
    pub timestamp_type: TimestampType,
    pub transactional: bool,
    pub control: bool,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
}

/// What the header says of the records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tail {
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub delete_horizon: bool,
    pub records_count: i32,
}

impl RecordBatchBuilder {
    /// A builder of a batch whose first record will have `base_offset`, without producer, transaction or epoch.
    pub fn new(
        base_offset: i64,
        compression: Compression,
        timestamp_type: TimestampType,
    ) -> RecordBatchBuilder {
        RecordBatchBuilder {
            head: Head {
                base_offset,
                partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
                compression,
                timestamp_type,
                transactional: false,
                control: false,
                producer_id: NO_PRODUCER_ID,
                producer_epoch: NO_PRODUCER_EPOCH,
                base_sequence: NO_SEQUENCE,
            },
            compression_level: None,
            log_append_time: NO_TIMESTAMP,
            delete_horizon_ms: None,
            last_offset_override: None,
            bytes: vec![0; RECORD_BATCH_OVERHEAD],
            base_timestamp: None,
            max_timestamp: NO_TIMESTAMP,
            offset_of_max_timestamp: -1,
            last_offset: None,
            count: 0,
        }
    }

    /// A builder that carries the codec, flags, epoch and producer of an existing batch on, for writing its
    /// records again: all of them or, in compaction, some.
    pub fn like(header: &BatchHeader) -> RecordBatchBuilder {
        let mut builder =
            RecordBatchBuilder::new(header.base_offset(), header.compression(), header.timestamp_type());
        builder.head.partition_leader_epoch = header.partition_leader_epoch();
        builder.head.transactional = header.is_transactional();
        builder.head.control = header.is_control();
        builder.head.producer_id = header.producer_id();
        builder.head.producer_epoch = header.producer_epoch();
        builder.head.base_sequence = header.base_sequence();
        if header.timestamp_type() == TimestampType::LogAppendTime {
            builder.log_append_time = header.max_timestamp();
        }
        builder
    }

    /// Sets memory aside for so many bytes of the batch with its header.
    pub fn with_capacity(mut self, bytes: usize) -> Self {
        self.bytes.reserve(bytes.saturating_sub(self.bytes.len()));
        self
    }

    /// Level of the codec (`compression.*.level`); its default otherwise. See [`compression::compress`].
    pub fn with_compression_level(mut self, level: i32) -> Self {
        self.compression_level = Some(level);
        self
    }

    /// The timestamp in ms of all records if the timestamp type is `LogAppendTime`.
    pub fn with_log_append_time(mut self, log_append_time_ms: i64) -> Self {
        self.log_append_time = log_append_time_ms;
        self
    }

    /// Epoch of the partition's leader.
    pub fn with_partition_leader_epoch(mut self, epoch: i32) -> Self {
        self.head.partition_leader_epoch = epoch;
        self
    }

    /// The idempotent or transactional producer, and the sequence number of the first record.
    pub fn with_producer(mut self, producer_id: i64, producer_epoch: i16, base_sequence: i32) -> Self {
        self.head.producer_id = producer_id;
        self.head.producer_epoch = producer_epoch;
        self.head.base_sequence = base_sequence;
        self
    }

    /// Marks the batch as part of a transaction.
    pub fn with_transactional(mut self, transactional: bool) -> Self {
        self.head.transactional = transactional;
        self
    }

    /// Marks the batch as one of control records.
    pub fn with_control(mut self, control: bool) -> Self {
        self.head.control = control;
        self
    }

    /// Sets the time in ms from which the cleaner may drop tombstones of this batch: it takes the base
    /// timestamp's place. Before the first record.
    pub fn with_delete_horizon_ms(mut self, delete_horizon_ms: i64) -> Self {
        self.delete_horizon_ms = Some(delete_horizon_ms);
        self.base_timestamp = Some(delete_horizon_ms);
        self
    }

    /// Makes the batch end at `offset` although its last record may have a smaller one, as compaction needs it
    /// (`MemoryRecordsBuilder.overrideLastOffset`).
    pub fn with_last_offset(mut self, offset: i64) -> Self {
        self.last_offset_override = Some(offset);
        self
    }

    /// Appends a record at the offset after the last one, and returns that offset.
    ///
    /// # Errors
    /// As [`RecordBatchBuilder::append_with_offset`].
    pub fn append(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> Result<i64, RecordError> {
        let offset = self.next_offset();
        self.append_with_offset(offset, timestamp, key, value, headers)?;
        Ok(offset)
    }

    /// Appends a record at an offset that must be larger than the last one; gaps may stay.
    ///
    /// # Errors
    /// [`RecordError::CannotAppend`] for an offset out of place, a negative timestamp other than -1, or more
    /// bytes than a batch can have. Nothing is appended then.
    pub fn append_with_offset(
        &mut self,
        offset: i64,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> Result<(), RecordError> {
        if self.last_offset.is_some_and(|last| offset <= last) {
            return Err(RecordError::CannotAppend("its offset is not larger than the last one"));
        }
        if timestamp < 0 && timestamp != NO_TIMESTAMP {
            return Err(RecordError::CannotAppend("its timestamp is negative"));
        }
        let offset_delta = offset
            .checked_sub(self.head.base_offset)
            .and_then(|delta| i32::try_from(delta).ok())
            .filter(|delta| *delta >= 0)
            .ok_or(RecordError::CannotAppend("its offset is too far from the base offset"))?;
        let base_timestamp = self.base_timestamp.unwrap_or(timestamp);
        let timestamp_delta = timestamp.wrapping_sub(base_timestamp);
        let body = body_size(offset_delta, timestamp_delta, key, value, headers);
        let body_i32 = i32::try_from(body)
            .ok()
            .filter(|size| self.bytes.len() + body + size_of_varint(*size) <= i32::MAX as usize)
            .ok_or(RecordError::CannotAppend("the batch would be larger than 2 GiB"))?;

        let out = &mut self.bytes;
        out.reserve(body + size_of_varint(body_i32));
        write_varint(out, body_i32);
        let start = out.len();
        out.push(0); // attributes: none are in use
        write_varlong(out, timestamp_delta);
        write_varint(out, offset_delta);
        write_nullable(out, key);
        write_nullable(out, value);
        write_varint(out, headers.len() as i32);
        for header in headers {
            write_nullable(out, Some(header.key));
            write_nullable(out, header.value);
        }
        // Invariant: a record's size field is the number of bytes that follow it.
        assert_eq!(out.len() - start, body);

        self.base_timestamp = Some(base_timestamp);
        if timestamp > self.max_timestamp {
            self.max_timestamp = timestamp;
            self.offset_of_max_timestamp = offset;
        }
        self.last_offset = Some(offset);
        self.count += 1;
        Ok(())
    }

    /// The offset that [`RecordBatchBuilder::append`] would use.
    pub fn next_offset(&self) -> i64 {
        self.last_offset.map_or(self.head.base_offset, |last| last.wrapping_add(1))
    }

    /// How many records were appended.
    pub fn records_count(&self) -> i32 {
        self.count
    }

    /// Was nothing appended?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Largest timestamp so far in ms, or the log append time; -1 for none.
    pub fn max_timestamp(&self) -> i64 {
        match self.head.timestamp_type {
            TimestampType::CreateTime => self.max_timestamp,
            TimestampType::LogAppendTime => self.log_append_time,
        }
    }

    /// Offset of the first record with the largest timestamp, -1 for none.
    pub fn offset_of_max_timestamp(&self) -> i64 {
        self.offset_of_max_timestamp
    }

    /// Size of the batch so far with its header, in bytes, if nothing were compressed.
    pub fn size_in_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// What [`RecordBatchBuilder::size_in_bytes`] would be after such a record.
    pub fn size_in_bytes_after(
        &self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> usize {
        let offset_delta = self.next_offset().wrapping_sub(self.head.base_offset) as i32;
        let timestamp_delta = timestamp.wrapping_sub(self.base_timestamp.unwrap_or(timestamp));
        let body = body_size(offset_delta, timestamp_delta, key, value, headers);
        self.bytes.len() + body + size_of_varlong(body as i64)
    }

    /// The batch. Without records it is empty, as in Kafka: no header either.
    pub fn build(self) -> Vec<u8> {
        let Some(last_offset) = self.last_offset else { return Vec::new() };
        let max_timestamp = self.max_timestamp();
        let mut bytes = self.bytes;
        if self.head.compression != Compression::None {
            // Records seldom grow; the codecs' frames do, by a little.
            let mut compressed = Vec::with_capacity(bytes.len() / 2 + 128);
            compressed.resize(RECORD_BATCH_OVERHEAD, 0);
            let records = bytes.get(RECORD_BATCH_OVERHEAD..).unwrap_or_default();
            compression::compress(self.head.compression, self.compression_level, records, &mut compressed)
                .expect("Invariant: compressing from memory to memory does not fail");
            bytes = compressed;
        }
        let last_offset = self.last_offset_override.unwrap_or(last_offset).max(last_offset);
        let tail = Tail {
            last_offset_delta: last_offset.wrapping_sub(self.head.base_offset) as i32,
            base_timestamp: self.base_timestamp.unwrap_or(NO_TIMESTAMP),
            max_timestamp,
            delete_horizon: self.delete_horizon_ms.is_some(),
            records_count: self.count,
        };
        write_header(&mut bytes, &self.head, &tail);
        bytes
    }
}

/// The header of `header`'s batch with no records left in it, which the cleaner keeps so that the producer's
/// last sequence number and the offsets survive (`DefaultRecordBatch.writeEmptyHeader`).
pub(super) fn empty_batch(header: &BatchHeader) -> Vec<u8> {
    let mut head = RecordBatchBuilder::like(header).head;
    head.compression = Compression::None;
    let tail = Tail {
        last_offset_delta: header.last_offset_delta(),
        base_timestamp: NO_TIMESTAMP,
        max_timestamp: header.max_timestamp(),
        delete_horizon: false,
        records_count: 0,
    };
    let mut bytes = vec![0; RECORD_BATCH_OVERHEAD];
    write_header(&mut bytes, &head, &tail);
    bytes
}

/// Writes the header over the first 61 of `bytes`, which are a whole batch otherwise.
fn write_header(bytes: &mut [u8], head: &Head, tail: &Tail) {
    let attributes = Attributes::new(
        head.compression,
        head.timestamp_type,
        head.transactional,
        head.control,
        tail.delete_horizon,
    );
    let mut header = Vec::with_capacity(RECORD_BATCH_OVERHEAD);
    header.extend(head.base_offset.to_be_bytes());
    header.extend(((bytes.len() - LOG_OVERHEAD) as i32).to_be_bytes());
    header.extend(head.partition_leader_epoch.to_be_bytes());
    header.extend(CURRENT_MAGIC.to_be_bytes());
    header.extend([0; ATTRIBUTES_OFFSET - CRC_OFFSET]);
    header.extend(attributes.0.to_be_bytes());
    header.extend(tail.last_offset_delta.to_be_bytes());
    header.extend(tail.base_timestamp.to_be_bytes());
    header.extend(tail.max_timestamp.to_be_bytes());
    header.extend(head.producer_id.to_be_bytes());
    header.extend(head.producer_epoch.to_be_bytes());
    header.extend(head.base_sequence.to_be_bytes());
    header.extend(tail.records_count.to_be_bytes());
    // Invariant: the header is 61 bytes, and room for it was made.
    assert_eq!(header.len(), RECORD_BATCH_OVERHEAD);
    bytes[..RECORD_BATCH_OVERHEAD].copy_from_slice(&header);
    let crc = crc32c(&bytes[ATTRIBUTES_OFFSET..]);
    bytes[CRC_OFFSET..ATTRIBUTES_OFFSET].copy_from_slice(&crc.to_be_bytes());
}

fn write_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => write_varint(out, -1),
        Some(bytes) => {
            write_varint(out, bytes.len() as i32);
            out.extend_from_slice(bytes);
        }
    }
}

/// Bytes of a record behind its size field.
fn body_size(
    offset_delta: i32,
    timestamp_delta: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[Header<'_>],
) -> usize {
    let nullable = |bytes: Option<&[u8]>| match bytes {
        None => 1,
        Some(bytes) => size_of_varlong(bytes.len() as i64).saturating_add(bytes.len()),
    };
    let mut size = 1 + size_of_varlong(timestamp_delta) + size_of_varint(offset_delta);
    size = size.saturating_add(nullable(key)).saturating_add(nullable(value));
    size += size_of_varlong(headers.len() as i64);
    for header in headers {
        size = size.saturating_add(nullable(Some(header.key))).saturating_add(nullable(header.value));
    }
    size
}
