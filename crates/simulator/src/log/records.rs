//! Records as producers make them, and as a reader finds them.

use common::TopicPartition;
use protocol::compression::Compression;
use protocol::records::{Batches, RecordBatchBuilder, TimestampType};
use storage::Log;

/// A record that can be told from every other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub offset: i64,
    pub epoch: i32,
    pub key: u64,
    /// `None`: the key is deleted.
    pub value: Option<u64>,
    /// Producer id and sequence; -1 without.
    pub producer: (i64, i32),
}

/// Builds a batch of records.
pub(crate) fn batch(
    records: &[(u64, Option<u64>)],
    producer: (i64, i32),
    size: usize,
    now_ms: i64,
) -> Vec<u8> {
    let mut builder = RecordBatchBuilder::new(0, Compression::None, TimestampType::CreateTime);
    if producer.0 >= 0 {
        builder = builder.with_producer(producer.0, 0, producer.1);
    }
    for (key, value) in records {
        let value = value.map(|value| {
            let mut bytes = value.to_be_bytes().to_vec();
            bytes.resize(size.max(8), b'.');
            bytes
        });
        builder
            .append(now_ms, Some(&key.to_be_bytes()), value.as_deref(), &[])
            .expect("small records fit a batch");
    }
    builder.build()
}

/// Reads all of a log, as consumers do: from its start, some batches at a time.
///
/// Errors: what a reader must never meet.
pub(crate) fn read_all(log: &Log, piece: usize) -> Result<Vec<Seen>, String> {
    read_from(log, log.log_start_offset(), log.log_end_offset(), piece)
}

/// The same from an offset to another.
pub(crate) fn read_from(log: &Log, mut offset: i64, end: i64, piece: usize) -> Result<Vec<Seen>, String> {
    let partition: &TopicPartition = log.topic_partition();
    let mut seen: Vec<Seen> = Vec::new();
    while offset < end {
        let found = log
            .read(offset, piece, end, true)
            .map_err(|error| format!("{partition}: reading at {offset}: {error}"))?;
        let mut bytes = Vec::new();
        found.records.read_into(&mut bytes).map_err(|error| format!("{partition} at {offset}: {error}"))?;
        let start = offset;
        for batch in Batches::new(&bytes) {
            let batch = batch.map_err(|error| format!("{partition}: the batch at {offset}: {error}"))?;
            batch.verify_crc().map_err(|error| format!("{partition}: the batch at {offset}: {error}"))?;
            for (index, record) in batch.iter().enumerate() {
                let record = record.map_err(|error| format!("{partition}: a record at {offset}: {error}"))?;
                let number = |bytes: Option<&[u8]>| {
                    bytes.and_then(|bytes| bytes.first_chunk()).copied().map(u64::from_be_bytes)
                };
                let record = Seen {
                    offset: record.offset,
                    epoch: batch.partition_leader_epoch(),
                    key: number(record.key).ok_or_else(|| format!("{partition}: a record without a key"))?,
                    value: number(record.value),
                    producer: (
                        batch.producer_id(),
                        match batch.base_sequence() {
                            -1 => -1,
                            base => base + index as i32,
                        },
                    ),
                };
                // A read begins with the batch that holds the offset.
                if record.offset >= offset && record.offset < end {
                    seen.push(record);
                }
            }
            offset = offset.max(batch.next_offset());
        }
        if offset == start {
            // Behind the last record that compaction has left there may be offsets without records.
            let whole = found.records.is_empty();
            if whole {
                break;
            }
            return Err(format!("{partition}: a read at {offset} of {end} gives no whole batch"));
        }
    }
    if let Some(pair) = seen.windows(2).find(|pair| pair[0].offset >= pair[1].offset) {
        return Err(format!("{partition}: offset {} is followed by {}", pair[0].offset, pair[1].offset));
    }
    Ok(seen)
}
