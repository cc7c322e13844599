//! What a batch must be before a leader appends it (`UnifiedLog.analyzeAndValidateRecords`, `LogValidator`).
//!
//! Runs before the log is locked. Nothing is copied or built unless a record is to be blamed, or the batch must be written anew.

use std::borrow::Cow;
use std::fmt::Write;

use common::{ErrorCode, TopicPartition};
use protocol::compression::{Compression, CompressionError};
use protocol::records::{
    Batches, Header, NO_TIMESTAMP, RecordBatch, RecordBatchBuilder, RecordError as BatchError, RecordLimits,
    RecordsSummary, TimestampType, patch,
};

use crate::config::LogConfig;
use crate::error::{AppendError, RecordError};
use crate::types::AppendOrigin;

/// The most bytes that the records of a batch may have when decompressed, to be looked at.
///
/// Divergence: Kafka has no such limit. Looking takes no memory, but a small batch could keep a processor busy for minutes.
const MAX_DECOMPRESSED_BYTES: u64 = i32::MAX as u64;

/// The most bytes that the records of a batch may have when decompressed, to be written anew in another codec: that takes memory.
const MAX_REWRITTEN_BYTES: usize = 256 << 20;

/// What can be done with a batch while others wait for the thread: some milliseconds.
#[derive(Debug)]
struct Brief {
    /// Compressed batches, and those to be compressed, are smaller.
    batch_bytes: usize,
    /// Their records have no more bytes when decompressed.
    decompressed_bytes: u64,
}

/// To look at the records.
const BRIEF_LOOK: Brief = Brief { batch_bytes: 256 << 10, decompressed_bytes: 4 << 20 };
/// To write them anew.
const BRIEF_REWRITE: Brief = Brief { batch_bytes: 32 << 10, decompressed_bytes: 512 << 10 };

/// How many records are named that are to blame: a batch may have a million of them.
///
/// Divergence: Kafka names all.
const MAX_RECORD_ERRORS: usize = 1000;

/// How long a look at a batch may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    /// No longer than others can wait for the thread.
    Brief,
    /// As long as it takes.
    Whole,
}

/// What a look at the records has shown.
#[derive(Debug)]
pub(super) enum Validity<'a> {
    /// They may be appended; `None` if there is no whole batch.
    Valid(Option<ValidBatch<'a>>),
    /// A brief look does not do: much comes out when they are decompressed, or they are to be written anew.
    TakesLong,
}

/// A batch that may be appended.
#[derive(Debug)]
pub(super) struct ValidBatch<'a> {
    /// The batch: as it came, or written anew. Its base offset and leader epoch are not yet set.
    pub bytes: Cow<'a, [u8]>,
    pub records_count: u32,
    /// The largest timestamp; the time of the append if the log keeps that.
    pub max_timestamp: i64,
    /// The time of the append, if the log keeps that; otherwise -1.
    pub log_append_time: i64,
    /// How many of the bytes given were whole batches.
    pub valid_bytes: usize,
}

/// What a batch that cannot be parsed means.
pub(super) fn batch_error(error: BatchError, partition: &TopicPartition) -> AppendError {
    match error {
        BatchError::CrcMismatch { stored, .. } => AppendError::Corrupt(format!(
            "Record is corrupt (stored crc = {stored}) in topic partition {partition}."
        )),
        error if error.is_corrupt() => {
            AppendError::Corrupt(format!("{error} in topic partition {partition}."))
        }
        error => AppendError::InvalidRecord(format!("{error} in topic partition {partition}")),
    }
}

/// Checks the one batch in `records`, and writes it anew if the log's settings ask for that.
pub(super) fn validate<'a>(
    records: &'a [u8],
    partition: &TopicPartition,
    config: &LogConfig,
    origin: AppendOrigin,
    now_ms: i64,
    effort: Effort,
) -> Result<Validity<'a>, AppendError> {
    let mut batches = Batches::new(records);
    let Some(batch) = batches.next() else { return Ok(Validity::Valid(None)) };
    let batch = batch.map_err(|error| batch_error(error, partition))?;
    check_batch(&batch, partition, config, origin)?;
    if batches.next().is_some() {
        return Err(AppendError::InvalidRecord("Compressed outer record has more than one batch".to_owned()));
    }
    let is_compressed = batch.compression() != Compression::None;
    let (target, level) = config.target_compression(batch.compression());
    // A control batch is small and never compressed.
    let keeps_codec = target == batch.compression() || (batch.is_control() && !is_compressed);
    let brief = if keeps_codec { BRIEF_LOOK } else { BRIEF_REWRITE };
    let takes_long = |brief: &Brief| {
        effort == Effort::Brief
            && (is_compressed || !keeps_codec)
            && batch.size_in_bytes() >= brief.batch_bytes
    };
    if takes_long(&brief) {
        return Ok(Validity::TakesLong);
    }
    let limits = RecordLimits {
        max_record_bytes: config.max_decompressed_message_size,
        max_decompressed_bytes: match effort {
            Effort::Brief => brief.decompressed_bytes,
            Effort::Whole => MAX_DECOMPRESSED_BYTES,
        },
    };
    let summary = match batch.validate_records_within(limits) {
        Ok(summary) => summary,
        Err(BatchError::Compression(CompressionError::TooLarge { .. })) if effort == Effort::Brief => {
            return Ok(Validity::TakesLong);
        }
        Err(error) => return Err(batch_error(error, partition)),
    };
    check_records(&batch, &summary, partition, config, now_ms)?;

    let log_append_time = match config.message_timestamp_type {
        TimestampType::LogAppendTime => now_ms,
        TimestampType::CreateTime => NO_TIMESTAMP,
    };
    let max_timestamp = if log_append_time == NO_TIMESTAMP { summary.max_timestamp } else { log_append_time };
    let in_place = keeps_codec && (!is_compressed || summary.consecutive_offsets);
    if !in_place && takes_long(&BRIEF_REWRITE) {
        return Ok(Validity::TakesLong);
    }
    let bytes = if !in_place {
        Cow::Owned(rewrite(&batch, target, level, config.message_timestamp_type, now_ms, partition)?)
    } else if batch.timestamp_type() == config.message_timestamp_type
        && batch.max_timestamp() == max_timestamp
    {
        Cow::Borrowed(batch.as_bytes())
    } else {
        let mut bytes = batch.as_bytes().to_vec();
        patch::set_max_timestamp(&mut bytes, config.message_timestamp_type, max_timestamp)
            .map_err(|error| batch_error(error, partition))?;
        Cow::Owned(bytes)
    };
    if matches!(bytes, Cow::Owned(_)) && !in_place && bytes.len() as i64 > i64::from(config.max_message_size)
    {
        return Err(AppendError::TooLarge(format!(
            "Message batch size is {} bytes in append to partition {partition} which exceeds the maximum configured size of {}.",
            bytes.len(),
            config.max_message_size
        )));
    }
    Ok(Validity::Valid(Some(ValidBatch {
        bytes,
        records_count: summary.count,
        max_timestamp,
        log_append_time,
        valid_bytes: batch.size_in_bytes(),
    })))
}

/// What can be said without looking at the records, in Kafka's order.
fn check_batch(
    batch: &RecordBatch<'_>,
    partition: &TopicPartition,
    config: &LogConfig,
    origin: AppendOrigin,
) -> Result<(), AppendError> {
    let invalid = |message| Err(AppendError::InvalidRecord(message));
    let from_client = origin == AppendOrigin::Client;
    if from_client && batch.base_offset() != 0 {
        return invalid(format!(
            "The baseOffset of the record batch in the append to {partition} should be 0, but it is {}",
            batch.base_offset()
        ));
    }
    let size = batch.size_in_bytes();
    if size as i64 > i64::from(config.max_message_size) {
        return Err(AppendError::TooLarge(format!(
            "The record batch size in the append to {partition} is {size} bytes which exceeds the maximum configured value of {}).",
            config.max_message_size
        )));
    }
    batch.verify_crc().map_err(|error| batch_error(error, partition))?;
    if !from_client {
        return Ok(());
    }
    let count_from_offsets = i64::from(batch.last_offset_delta()) + 1;
    let (first, last) = (batch.base_offset(), batch.last_offset());
    if count_from_offsets <= 0 {
        return invalid(format!(
            "Batch has an invalid offset range: [{first}, {last}] in topic partition {partition}"
        ));
    }
    let count = batch.records_count();
    if count <= 0 {
        return invalid(format!(
            "Invalid reported count for record batch: {count} in topic partition {partition}"
        ));
    }
    if count_from_offsets != i64::from(count) {
        return invalid(format!(
            "Inconsistent batch offset range [{first}, {last}] and count of records {count} in topic partition {partition}"
        ));
    }
    if batch.is_control() {
        return invalid(format!(
            "Clients are not allowed to write control records in topic partition {partition}"
        ));
    }
    if batch.has_producer_id() && batch.base_sequence() < 0 {
        return invalid(format!(
            "Invalid sequence number {} in record batch with producerId {} in topic partition {partition}",
            batch.base_sequence(),
            batch.producer_id()
        ));
    }
    Ok(())
}

/// Checks keys and timestamps by what the walk over the records has summed up, and looks for the culprits only if there are any.
fn check_records(
    batch: &RecordBatch<'_>,
    summary: &RecordsSummary,
    partition: &TopicPartition,
    config: &LogConfig,
    now_ms: i64,
) -> Result<(), AppendError> {
    let without_key = config.compact && summary.first_without_key.is_some();
    let out_of_range = |timestamp: i64| {
        let difference = now_ms.wrapping_sub(timestamp);
        timestamp != NO_TIMESTAMP
            && (difference > config.message_timestamp_before_max_ms
                || difference.wrapping_neg() > config.message_timestamp_after_max_ms)
    };
    let type_is_wrong = batch.timestamp_type() == TimestampType::LogAppendTime;
    let create_time = config.message_timestamp_type == TimestampType::CreateTime;
    let timestamps_are_wrong = create_time
        && (out_of_range(summary.max_timestamp) || summary.min_timestamp.is_some_and(out_of_range));
    if !(without_key || type_is_wrong || timestamps_are_wrong) {
        return Ok(());
    }
    let decompressed =
        batch.decompress(MAX_REWRITTEN_BYTES).map_err(|error| batch_error(error, partition))?;
    let mut errors = Vec::new();
    let mut bad_timestamp = false;
    for (index, record) in decompressed.iter().enumerate() {
        let record = record.map_err(|error| batch_error(error, partition))?;
        let message = if config.compact && record.key.is_none() {
            format!("Compacted topic cannot accept message without key in topic partition {partition}")
        } else if create_time && record.timestamp != NO_TIMESTAMP && out_of_range(record.timestamp) {
            bad_timestamp = true;
            format!(
                "Timestamp {} of message with offset {} is out of range. The timestamp should be within [{}, {}]",
                record.timestamp,
                record.offset,
                now_ms.wrapping_sub(config.message_timestamp_before_max_ms),
                now_ms.wrapping_add(config.message_timestamp_after_max_ms)
            )
        } else if type_is_wrong && !(create_time && record.timestamp != NO_TIMESTAMP) {
            bad_timestamp = true;
            format!(
                "Invalid timestamp type in message with offset {}. Producer should not set timestamp type to LogAppendTime.",
                record.offset
            )
        } else {
            continue;
        };
        if errors.len() < MAX_RECORD_ERRORS {
            errors.push(RecordError { batch_index: index as i32, message: Some(message) });
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    let (code, message) = if bad_timestamp {
        (
            ErrorCode::InvalidTimestamp,
            "One or more records have been rejected due to invalid timestamp".to_owned(),
        )
    } else {
        let mut message = format!(
            "One or more records have been rejected due to {} record errors in total, and only showing the first three errors at \
             most: [",
            errors.len()
        );
        for (index, error) in errors.iter().take(3).enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            let text = error.message.as_deref().unwrap_or_default();
            // Writing to a string does not fail.
            let _ =
                write!(message, "{separator}RecordError(batchIndex={}, message='{text}')", error.batch_index);
        }
        message.push(']');
        (ErrorCode::InvalidRecord, message)
    };
    Err(AppendError::InvalidRecords { code, message, records: errors })
}

/// Builds the batch anew: in another codec, or because its offsets have gaps. Its records are numbered from the base offset.
fn rewrite(
    batch: &RecordBatch<'_>,
    codec: Compression,
    level: Option<i32>,
    timestamp_type: TimestampType,
    now_ms: i64,
    partition: &TopicPartition,
) -> Result<Vec<u8>, AppendError> {
    let failed = |error| batch_error(error, partition);
    let decompressed = batch.decompress(MAX_REWRITTEN_BYTES).map_err(failed)?;
    let mut builder = RecordBatchBuilder::new(batch.base_offset(), codec, timestamp_type)
        .with_producer(batch.producer_id(), batch.producer_epoch(), batch.base_sequence())
        .with_transactional(batch.is_transactional())
        .with_control(batch.is_control())
        .with_log_append_time(now_ms);
    if let Some(level) = level {
        builder = builder.with_compression_level(level);
    }
    let mut headers: Vec<Header<'_>> = Vec::new();
    for record in decompressed.iter() {
        let record = record.map_err(failed)?;
        headers.clear();
        headers.extend(record.headers);
        builder.append(record.timestamp, record.key, record.value, &headers).map_err(failed)?;
    }
    Ok(builder.build())
}
