//! What compaction leaves of one batch (`MemoryRecords.filterTo`, and the filter of `Cleaner.cleanInto`).

use std::collections::HashMap;

use protocol::compression::CompressionError;
use protocol::records::{
    DecompressedBatch, Header, Record, RecordBatch, RecordBatchBuilder, RecordError, patch,
};

use super::offset_map::OffsetMap;
use super::transactions::CleanedTransactions;
use crate::index::AbortedTxn;
use crate::log::LastRecord;

/// The most bytes that the records of a batch may have when decompressed, to be looked at.
///
/// Divergence: Kafka has no such limit. A larger batch is kept as it is, and so are the older records of its keys: nothing is lost
/// but room.
const MAX_DECOMPRESSED_BYTES: usize = 256 << 20;

/// What a batch becomes.
#[derive(Debug)]
pub(super) enum Filtered {
    /// Nothing.
    Dropped,
    /// Itself.
    Kept,
    /// This.
    Rewritten(Vec<u8>),
}

/// What was read and kept.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub records_read: u64,
    pub records_kept: u64,
    /// Records without a key, which a compacted log cannot have: they came before it was one.
    pub without_key: u64,
}

/// The records of a batch, or `None` if they are too many to be looked at.
pub(super) fn records<'a>(batch: &RecordBatch<'a>) -> Result<Option<DecompressedBatch<'a>>, RecordError> {
    match batch.decompress(MAX_DECOMPRESSED_BYTES) {
        Ok(records) => Ok(Some(records)),
        Err(RecordError::Compression(CompressionError::TooLarge { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What decides.
pub(super) struct Filter<'a> {
    pub map: &'a OffsetMap,
    pub last_records: &'a HashMap<i64, LastRecord>,
    /// The batch that ends there stays.
    pub high_watermark: i64,
    pub delete_retention_ms: i64,
    pub now_ms: i64,
}

impl Filter<'_> {
    /// Decides on a batch, whose checksum is right. `on_aborted` is given the transaction that the batch aborts, if the index must
    /// keep it.
    pub fn filter(
        &self,
        batch: &RecordBatch<'_>,
        transactions: &mut CleanedTransactions,
        counts: &mut Counts,
        kept: &mut Vec<bool>,
        on_aborted: impl FnOnce(AbortedTxn),
    ) -> Result<Filtered, RecordError> {
        let horizon_passed = batch.delete_horizon_ms().is_some_and(|horizon| horizon <= self.now_ms);
        // A marker may go when nothing of its transaction is left, and then only after the delay that tombstones have.
        let (discards_records, is_marker_of_nothing) = if batch.is_control() {
            let verdict = transactions.on_control_batch(batch)?;
            if let Some(aborted) = verdict.aborted {
                on_aborted(aborted);
            }
            (verdict.can_discard && horizon_passed, verdict.can_discard)
        } else {
            (transactions.on_batch(batch), false)
        };
        // The last batch of a producer carries its sequence, the last one below the high watermark says that there were records up
        // to there: they stay, if need be empty.
        let stays = self.is_last_of_producer(batch) || batch.next_offset() == self.high_watermark;
        if discards_records {
            counts.records_read += u64::try_from(batch.records_count()).unwrap_or(0);
            return Ok(if stays { emptied(batch) } else { Filtered::Dropped });
        }
        let Some(records) = records(batch)? else {
            tracing::warn!(
                base_offset = batch.base_offset(),
                limit = MAX_DECOMPRESSED_BYTES,
                "a batch is too large when decompressed to be compacted; it stays as it is"
            );
            return Ok(Filtered::Kept);
        };
        kept.clear();
        let mut has_tombstones = false;
        for record in records.iter() {
            let record = record?;
            let keep = batch.is_control() || self.keeps(batch, &record, counts);
            has_tombstones |= keep && record.value.is_none();
            kept.push(keep);
        }
        let kept_count = kept.iter().filter(|keep| **keep).count();
        counts.records_read += kept.len() as u64;
        counts.records_kept += kept_count as u64;
        if kept_count == 0 {
            return Ok(if stays { emptied(batch) } else { Filtered::Dropped });
        }
        let sets_horizon = (has_tombstones || is_marker_of_nothing) && !batch.has_delete_horizon();
        if kept_count == kept.len() && !sets_horizon {
            return Ok(Filtered::Kept);
        }
        let horizon = if sets_horizon {
            Some(self.now_ms.saturating_add(self.delete_retention_ms.max(0)))
        } else {
            batch.delete_horizon_ms()
        };
        rewrite(batch, &records, kept, horizon).map(Filtered::Rewritten)
    }

    /// Whether a record of data is still the newest of its key, and, if it deletes the key, still to be seen.
    fn keeps(&self, batch: &RecordBatch<'_>, record: &Record<'_>, counts: &mut Counts) -> bool {
        if record.offset > self.map.latest_offset() {
            return true;
        }
        let Some(key) = record.key else {
            counts.without_key += 1;
            return false;
        };
        let keeps_tombstones = batch.delete_horizon_ms().is_none_or(|horizon| self.now_ms < horizon);
        record.offset >= self.map.get(key) && (record.value.is_some() || keeps_tombstones)
    }

    fn is_last_of_producer(&self, batch: &RecordBatch<'_>) -> bool {
        batch.has_producer_id()
            && self.last_records.get(&batch.producer_id()).is_some_and(|last| match last.last_data_offset {
                Some(offset) => batch.last_offset() == offset,
                None => batch.is_control() && batch.producer_epoch() == last.producer_epoch,
            })
    }
}

/// A batch without its records. One that is so already stays.
fn emptied(batch: &RecordBatch<'_>) -> Filtered {
    Filtered::Rewritten(patch::without_records(batch.header()))
}

fn rewrite(
    batch: &RecordBatch<'_>,
    records: &DecompressedBatch<'_>,
    kept: &[bool],
    delete_horizon_ms: Option<i64>,
) -> Result<Vec<u8>, RecordError> {
    let mut builder = RecordBatchBuilder::like(batch.header()).with_last_offset(batch.last_offset());
    if let Some(horizon) = delete_horizon_ms {
        builder = builder.with_delete_horizon_ms(horizon);
    }
    let mut headers: Vec<Header<'_>> = Vec::new();
    for (record, _) in records.iter().zip(kept).filter(|(_, keep)| **keep) {
        let record = record?;
        headers.clear();
        headers.extend(record.headers);
        builder.append_with_offset(record.offset, record.timestamp, record.key, record.value, &headers)?;
    }
    Ok(builder.build())
}
