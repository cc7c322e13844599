//! Changing the header of a batch in place (`MutableRecordBatch`).
//!
//! Base offset and partition leader epoch are outside the checksum: a leader sets them in every batch that it
//! appends, or writes [`head`] in their place and leaves the batch as it is. Everything else makes the checksum
//! be computed again.

use super::crc32c::crc32c;
use super::error::RecordError;
use super::header::{
    ATTRIBUTES_OFFSET, Attributes, BASE_SEQUENCE_OFFSET, BatchHeader, CRC_OFFSET, MAX_TIMESTAMP_OFFSET,
    PARTITION_LEADER_EPOCH_OFFSET, PRODUCER_EPOCH_OFFSET, PRODUCER_ID_OFFSET, TimestampType, UNCHECKED_HEAD,
};
use super::{RecordBatch, builder};

/// The first 16 bytes of a batch with another base offset and partition leader epoch: written in front of
/// `batch[16..]` by a vectored write, they append a batch without copying or changing it.
pub fn head(header: &BatchHeader, base_offset: i64, partition_leader_epoch: i32) -> [u8; UNCHECKED_HEAD] {
    let mut head = [0; UNCHECKED_HEAD];
    head[..8].copy_from_slice(&base_offset.to_be_bytes());
    head[8..12].copy_from_slice(&header.batch_length().to_be_bytes());
    head[12..].copy_from_slice(&partition_leader_epoch.to_be_bytes());
    head
}

/// Sets the base offset. Outside the checksum.
///
/// # Errors
/// If `batch` does not begin with the header of a batch; so do all functions here.
pub fn set_base_offset(batch: &mut [u8], base_offset: i64) -> Result<(), RecordError> {
    BatchHeader::parse(batch)?;
    put(batch, 0, &base_offset.to_be_bytes());
    Ok(())
}

/// Sets the base offset so that the last offset becomes `last_offset`. Outside the checksum.
///
/// # Errors
/// As [`set_base_offset`].
pub fn set_last_offset(batch: &mut [u8], last_offset: i64) -> Result<(), RecordError> {
    let delta = BatchHeader::parse(batch)?.last_offset_delta();
    set_base_offset(batch, last_offset.wrapping_sub(i64::from(delta)))
}

/// Sets the partition leader epoch. Outside the checksum.
///
/// # Errors
/// As [`set_base_offset`].
pub fn set_partition_leader_epoch(batch: &mut [u8], epoch: i32) -> Result<(), RecordError> {
    BatchHeader::parse(batch)?;
    put(batch, PARTITION_LEADER_EPOCH_OFFSET, &epoch.to_be_bytes());
    Ok(())
}

/// Sets timestamp type and maximum timestamp (ms), and the checksum. Does nothing, and returns false, if
/// they are so already.
///
/// # Errors
/// As [`set_base_offset`], or if `batch` is not whole.
pub fn set_max_timestamp(
    batch: &mut [u8],
    timestamp_type: TimestampType,
    max_timestamp: i64,
) -> Result<bool, RecordError> {
    let header = *RecordBatch::parse(batch)?.header();
    if header.timestamp_type() == timestamp_type && header.max_timestamp() == max_timestamp {
        return Ok(false);
    }
    let attributes = Attributes::new(
        header.compression(),
        timestamp_type,
        header.is_transactional(),
        header.is_control(),
        header.has_delete_horizon(),
    );
    put(batch, ATTRIBUTES_OFFSET, &attributes.0.to_be_bytes());
    put(batch, MAX_TIMESTAMP_OFFSET, &max_timestamp.to_be_bytes());
    update_crc(batch, header.size_in_bytes());
    Ok(true)
}

/// Sets producer id, epoch, first sequence number and whether the batch is transactional, and the checksum.
///
/// # Errors
/// As [`set_max_timestamp`].
pub fn set_producer(
    batch: &mut [u8],
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    transactional: bool,
) -> Result<(), RecordError> {
    let header = *RecordBatch::parse(batch)?.header();
    let attributes = Attributes::new(
        header.compression(),
        header.timestamp_type(),
        transactional,
        header.is_control(),
        header.has_delete_horizon(),
    );
    put(batch, ATTRIBUTES_OFFSET, &attributes.0.to_be_bytes());
    put(batch, PRODUCER_ID_OFFSET, &producer_id.to_be_bytes());
    put(batch, PRODUCER_EPOCH_OFFSET, &producer_epoch.to_be_bytes());
    put(batch, BASE_SEQUENCE_OFFSET, &base_sequence.to_be_bytes());
    update_crc(batch, header.size_in_bytes());
    Ok(())
}

/// The batch that the cleaner leaves when no record of a batch survives, but its producer's last sequence number
/// or its place in the log must (`DefaultRecordBatch.writeEmptyHeader`).
pub fn without_records(header: &BatchHeader) -> Vec<u8> {
    builder::empty_batch(header)
}

fn update_crc(batch: &mut [u8], size: usize) {
    let crc = crc32c(batch.get(ATTRIBUTES_OFFSET..size).unwrap_or_default());
    put(batch, CRC_OFFSET, &crc.to_be_bytes());
}

/// Writes inside the header, which the caller has seen to be there.
fn put(batch: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = batch.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
