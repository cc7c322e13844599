//! Replaying a partition's log into a shard (Kafka's `CoordinatorLoaderImpl`).

use common::ErrorCode;
use protocol::records::{Batches, EndTxnMarker, RecordBatch};

use crate::{CoordinatorShard, Producer, RecordDecodeError};

/// Appends some batches of the log, from the one with this offset on, to the buffer; the last may be cut. Leaves the
/// buffer as it is at the end of the log.
pub type ReadLog<'a> = dyn FnMut(i64, &mut Vec<u8>) -> Result<(), ErrorCode> + 'a;

/// A batch that decompresses to more than this is not read: no coordinator writes one.
const DECOMPRESSED_LIMIT: usize = 256 * 1024 * 1024;

/// What a load read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadSummary {
    /// Records, control records among them.
    pub records: u64,
    /// Their batches' bytes.
    pub bytes: u64,
    /// Records that were not understood, and stay in the log as they are.
    pub skipped: u64,
    /// The offset of the log's last record; -1 for an empty log.
    pub last_offset: i64,
}

impl Default for LoadSummary {
    fn default() -> Self {
        LoadSummary { records: 0, bytes: 0, skipped: 0, last_offset: -1 }
    }
}

pub(crate) fn replay_log<S: CoordinatorShard>(
    shard: &mut S,
    topic: &str,
    partition: i32,
    start_offset: i64,
    read: &mut ReadLog<'_>,
) -> Result<LoadSummary, ErrorCode> {
    let mut summary = LoadSummary { last_offset: start_offset - 1, ..LoadSummary::default() };
    let mut offset = start_offset;
    let mut buffer = Vec::new();
    let mut is_claimed = false;
    loop {
        buffer.clear();
        match read(offset, &mut buffer) {
            // The damaged batch was the last.
            Err(ErrorCode::OffsetOutOfRange) if is_claimed => return Ok(summary),
            result => result?,
        }
        let before = offset;
        // Where a damaged batch says that it ends. That may be part of the damage, so it counts only if there is nothing else
        // to go by.
        let mut claimed = None;
        for batch in Batches::new(&buffer) {
            let batch = batch.map_err(|error| {
                tracing::error!("{topic}-{partition} cannot be loaded from offset {offset} on: {error}");
                ErrorCode::CorruptMessage
            })?;
            let checked = batch.verify_crc();
            let next_offset = match &checked {
                Ok(()) => batch.next_offset(),
                Err(_) => {
                    claimed = Some(batch.next_offset());
                    batch.base_offset().saturating_add(1)
                }
            };
            // A read finds the batch that holds the offset, which may have begun before it.
            if next_offset <= offset {
                continue;
            }
            match checked {
                Ok(()) => replay_batch(shard, topic, partition, &batch, &mut summary),
                Err(error) => skip(topic, partition, &batch, &error, &mut summary),
            }
            offset = next_offset;
            summary.bytes += batch.size_in_bytes() as u64;
            summary.last_offset = offset - 1;
        }
        is_claimed = offset == before;
        if is_claimed {
            match claimed {
                Some(claimed) if claimed > offset => offset = claimed,
                _ => return Ok(summary),
            }
        }
    }
}

/// A batch that cannot be read.
fn skip(
    topic: &str,
    partition: i32,
    batch: &RecordBatch<'_>,
    error: &impl std::fmt::Display,
    summary: &mut LoadSummary,
) {
    tracing::error!("skipped the batch at offset {} of {topic}-{partition}: {error}", batch.base_offset());
    summary.skipped += batch.records_count().max(0) as u64;
}

/// Divergence: in Kafka one record or batch that cannot be read fails the partition, and all its groups stay without a
/// coordinator until somebody repairs the log. Here it is named, skipped and left in the log, the others are served.
fn replay_batch<S: CoordinatorShard>(
    shard: &mut S,
    topic: &str,
    partition: i32,
    batch: &RecordBatch<'_>,
    summary: &mut LoadSummary,
) {
    let producer = Producer { id: batch.producer_id(), epoch: batch.producer_epoch() };
    let records = match batch.decompress(DECOMPRESSED_LIMIT) {
        Ok(records) => records,
        Err(error) => return skip(topic, partition, batch, &error, summary),
    };
    for record in records.iter() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let offset = batch.base_offset();
                tracing::error!(
                    "skipped the rest of the batch at offset {offset} of {topic}-{partition}: {error}"
                );
                summary.skipped += 1;
                return;
            }
        };
        summary.records += 1;
        if batch.is_control() {
            match EndTxnMarker::parse(&record) {
                Ok(Some(marker)) => shard.replay_end_transaction_marker(producer, marker.committed),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(
                        "skipped the control record at {} of {topic}-{partition}: {error}",
                        record.offset
                    );
                    summary.skipped += 1;
                }
            }
            continue;
        }
        let decoded = match record.key {
            Some(key) => S::decode(key, record.value),
            None => Err(RecordDecodeError::Corrupt("it has no key".to_owned())),
        };
        match decoded {
            Ok(decoded) => shard.replay(record.offset, producer, decoded),
            Err(error @ RecordDecodeError::UnknownType(_)) => {
                tracing::warn!(
                    "{error} at offset {} of {topic}-{partition}: left as it is, perhaps of a later release",
                    record.offset
                );
                summary.skipped += 1;
            }
            Err(error) => {
                tracing::error!(
                    "skipped the record at offset {} of {topic}-{partition}: {error}",
                    record.offset
                );
                summary.skipped += 1;
            }
        }
    }
}
