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

/// Behind a place that the log cannot be read from, so many offsets are tried.
const PROBES: i64 = 100_000;

/// So many places behind a damaged batch are looked at that could be the next one.
const CANDIDATES: usize = 1_000;

pub(crate) fn replay_log<S: CoordinatorShard>(
    shard: &mut S,
    topic: &str,
    partition: i32,
    start_offset: i64,
    read: &mut ReadLog<'_>,
) -> Result<LoadSummary, ErrorCode> {
    let mut replay = Replay {
        shard,
        topic,
        partition,
        offset: start_offset,
        claimed: None,
        certain: start_offset,
        summary: LoadSummary::default(),
    };
    let (mut buffer, mut cut) = (Vec::new(), Vec::new());
    loop {
        buffer.clear();
        replay.claimed = None;
        let from = replay.offset;
        match read(replay.offset, &mut buffer) {
            // A damaged batch was the last, and said so.
            Err(ErrorCode::OffsetOutOfRange) if from > start_offset => {
                replay.offset = replay.certain;
                break;
            }
            // What was read before holds it, and what lies behind it.
            Err(ErrorCode::CorruptMessage) if !cut.is_empty() => {}
            Err(ErrorCode::CorruptMessage) => match replay.find_readable(&mut buffer, read)? {
                true => {}
                false => break,
            },
            result => result?,
        }
        if !buffer.starts_with(cut.get(..8).unwrap_or(&cut)) {
            // It was not cut: its length is damaged, and others lie behind its beginning.
            let next = replay.skip_damage(&cut, 0);
            replay.batches(&cut, next);
        }
        let end = replay.batches(&buffer, 0);
        cut.clear();
        cut.extend_from_slice(buffer.get(end..).unwrap_or_default());
        // Invariant: each turn comes further, so that they end.
        match replay.claimed {
            _ if replay.offset > from => {}
            Some(claimed) if claimed > from => replay.offset = claimed,
            _ => break,
        }
    }
    replay.summary.last_offset = replay.offset - 1;
    Ok(replay.summary)
}

/// A load that is under way.
struct Replay<'a, S> {
    shard: &'a mut S,
    topic: &'a str,
    partition: i32,
    /// Of the record that comes next.
    offset: i64,
    /// Where a damaged batch says that it ends. That may be part of the damage, so it counts only if there is nothing else to go
    /// by.
    claimed: Option<i64>,
    /// Where the last whole batch ends at least, if it does not begin where it says.
    certain: i64,
    summary: LoadSummary,
}

impl<S: CoordinatorShard> Replay<'_, S> {
    /// Replays the batches that lie in the bytes; where the last begins, if it is cut.
    fn batches(&mut self, bytes: &[u8], mut at: usize) -> usize {
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match Batches::new(rest).next() {
                Some(Ok(batch)) if batch.verify_crc().is_ok() => {
                    let size = batch.size_in_bytes();
                    let next_offset = self.next_offset(&batch, rest.get(size..).unwrap_or_default());
                    // A read finds the batch that holds the offset, which may have begun before it.
                    if next_offset > self.offset || at > 0 {
                        replay_batch(self.shard, self.topic, self.partition, &batch, &mut self.summary);
                        self.summary.bytes += size as u64;
                        let records = batch.next_offset().wrapping_sub(batch.base_offset());
                        self.certain = self.offset.saturating_add(records);
                        self.offset = self.offset.max(next_offset);
                    }
                    at += size;
                }
                // The first in a read is whole.
                None if at > 0 => return at,
                _ => at = self.skip_damage(bytes, at),
            }
        }
        bytes.len()
    }

    /// Where a batch ends. Its base offset is not part of what the checksum covers: if the next batch begins before, that
    /// counts.
    fn next_offset(&self, batch: &RecordBatch<'_>, behind: &[u8]) -> i64 {
        let base_offset = behind.first_chunk().map(|bytes| i64::from_be_bytes(*bytes));
        match base_offset {
            Some(next) if next < batch.next_offset() && is_whole(behind, self.offset) => next,
            _ => batch.next_offset(),
        }
    }

    /// Something that is no batch; where the next begins, or the end of the bytes.
    fn skip_damage(&mut self, bytes: &[u8], at: usize) -> usize {
        let rest = bytes.get(at..).unwrap_or_default();
        let damaged = Batches::new(rest).next();
        let error = match &damaged {
            Some(Ok(batch)) => batch.verify_crc().err(),
            Some(Err(error)) => Some(error.clone()),
            None => None,
        };
        let error = error.map_or_else(|| "it has no end".to_owned(), |error| error.to_string());
        let (topic, partition) = (self.topic, self.partition);
        tracing::error!("skipped a batch behind offset {} of {topic}-{partition}: {error}", self.offset);
        let whole_at = |at: &usize| is_whole(bytes.get(*at..).unwrap_or_default(), self.offset);
        let mut lost = 1;
        let mut next = None;
        if let Some(Ok(batch)) = damaged {
            lost = batch.records_count().max(1) as u64;
            self.claimed = self.claimed.max(Some(batch.next_offset()));
            let end = at + batch.size_in_bytes();
            next = Some(end).filter(|end| *end == bytes.len() || whole_at(end));
        }
        self.summary.skipped += lost;
        let looks_like_one = |at: &usize| could_begin(bytes.get(*at..).unwrap_or_default(), self.offset);
        let candidates = || (at + 1..bytes.len()).filter(looks_like_one).take(CANDIDATES);
        next.or_else(|| candidates().find(whole_at)).unwrap_or(bytes.len())
    }

    /// Reads on from the first offset that can be read from; false if there is none.
    fn find_readable(&mut self, buffer: &mut Vec<u8>, read: &mut ReadLog<'_>) -> Result<bool, ErrorCode> {
        for offset in self.offset.saturating_add(1)..self.offset.saturating_add(PROBES) {
            match read(offset, buffer) {
                Err(ErrorCode::CorruptMessage) => buffer.clear(),
                Err(ErrorCode::OffsetOutOfRange) => return Ok(false),
                result => {
                    result?;
                    let (topic, partition, from) = (self.topic, self.partition, self.offset);
                    tracing::error!("{topic}-{partition} cannot be read from offset {from} to {offset}");
                    self.summary.skipped += (offset - from) as u64;
                    self.offset = offset;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// Whether the header of a batch at or behind an offset could begin here.
fn could_begin(bytes: &[u8], offset: i64) -> bool {
    let base_offset = bytes.first_chunk().map(|bytes| i64::from_be_bytes(*bytes));
    base_offset.is_some_and(|base_offset| base_offset >= offset) && bytes.get(16) == Some(&2)
}

/// Whether a batch at or behind an offset begins here, and is as it was written.
fn is_whole(bytes: &[u8], offset: i64) -> bool {
    let batch = || Batches::new(bytes).next()?.ok();
    could_begin(bytes, offset) && batch().is_some_and(|batch| batch.verify_crc().is_ok())
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

/// Divergence: in Kafka (seen with 4.4.0, an offset with a value that is none) one record or batch that cannot be read fails the
/// partition, and all its groups stay without a coordinator until somebody repairs the log. Here it is named, skipped and left in the log, the others are served.
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
