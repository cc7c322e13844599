//! What one fetch brought of one partition, and the records in it (`CompletedFetch`).

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use common::TopicPartition;
use protocol::messages::fetch_response::AbortedTransaction;
use protocol::records::{Batches, ControlRecordType, RecordBatch, RecordError};

use super::{ConsumerConfig, ConsumerRecord, IsolationLevel};
use crate::ClientError;

/// The most that one batch may become when it is decompressed.
const LARGEST_BATCH: usize = 1 << 30;

/// Batches of one partition that wait to be read.
pub(super) struct Fetched {
    pub(super) partition: TopicPartition,
    /// Which position of the partition they were fetched for; older ones are not read any more.
    pub(super) generation: u64,
    /// Bytes, as they came.
    pub(super) size: usize,
    /// What is not read yet.
    rest: Bytes,
    /// The first offset that was not returned.
    next_offset: i64,
    /// Transactions that were aborted, by first offset.
    aborted: VecDeque<AbortedTransaction>,
    /// Producers in the middle of one.
    aborted_producers: HashSet<i64>,
    /// Records of a batch that did not all fit the last time.
    pending: std::vec::IntoIter<ConsumerRecord>,
}

impl Fetched {
    pub(super) fn new(
        partition: TopicPartition,
        generation: u64,
        fetch_offset: i64,
        records: Bytes,
        aborted: Vec<AbortedTransaction>,
    ) -> Fetched {
        let mut aborted = aborted;
        aborted.sort_by_key(|transaction| transaction.first_offset);
        Fetched {
            partition,
            generation,
            size: records.len(),
            rest: records,
            next_offset: fetch_offset,
            aborted: aborted.into(),
            aborted_producers: HashSet::new(),
            pending: Vec::new().into_iter(),
        }
    }

    /// Where a fetch goes on behind all of this. Headers only are looked at.
    ///
    /// # Errors
    /// If there are bytes and no whole batch: nothing larger can be asked for.
    pub(super) fn end_offset(&self, config: &ConsumerConfig) -> Result<i64, ClientError> {
        let mut end = self.next_offset;
        let mut any = false;
        let mut batches = Batches::new(&self.rest);
        for batch in batches.by_ref() {
            // What is damaged is reported when it is read, behind the records before it.
            let Ok(batch) = batch else { return Ok(end) };
            any = true;
            end = end.max(batch.last_offset().saturating_add(1));
        }
        if !any && !batches.remaining().is_empty() {
            return Err(ClientError::Damaged(format!(
                "{}: the broker cuts the batch at offset {end}, which does not fit into max.partition.fetch.bytes={}",
                self.partition, config.max_partition_fetch_bytes
            )));
        }
        Ok(end)
    }

    /// The epoch of the leader that appended the last whole batch, if it is known.
    pub(super) fn leader_epoch(&self) -> Option<i32> {
        let last = Batches::new(&self.rest).map_while(Result::ok).last()?;
        Some(last.partition_leader_epoch()).filter(|epoch| *epoch >= 0)
    }

    /// The first offset that was not returned.
    pub(super) fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// Moves up to `count` records to `out`. Whether this was the last of them.
    pub(super) fn read(
        &mut self,
        count: usize,
        config: &ConsumerConfig,
        out: &mut Vec<ConsumerRecord>,
    ) -> Result<bool, ClientError> {
        let mut left = count;
        loop {
            let before = out.len();
            out.extend(self.pending.by_ref().take(left));
            left -= out.len() - before;
            if let Some(last) = out.last().filter(|_| out.len() > before) {
                self.next_offset = last.offset + 1;
            }
            if left == 0 && self.pending.len() > 0 {
                return Ok(false);
            }
            if self.pending.len() == 0 && !self.next_batch(config)? {
                return Ok(true);
            }
        }
    }

    /// Reads the next batch into `pending`; false at the end.
    fn next_batch(&mut self, config: &ConsumerConfig) -> Result<bool, ClientError> {
        let whole = self.rest.clone();
        let Some(batch) = Batches::new(&whole).next() else { return Ok(false) };
        let batch = batch.map_err(|error| self.damaged(error))?;
        if config.check_crcs {
            batch.verify_crc().map_err(|error| self.damaged(error))?;
        }
        let is_wanted = self.is_wanted(&batch, config).map_err(|error| self.damaged(error))?;
        self.rest = whole.slice(batch.size_in_bytes()..);
        // What was read of the batch before is returned: the offset moves on even where a batch has nothing to show.
        let floor = self.next_offset;
        let records = match is_wanted {
            true => records(&self.partition, floor, &batch, &whole).map_err(|error| self.damaged(error))?,
            false => Vec::new(),
        };
        if records.is_empty() {
            self.next_offset = floor.max(batch.last_offset().saturating_add(1));
        }
        self.pending = records.into_iter();
        Ok(true)
    }

    fn damaged(&self, error: RecordError) -> ClientError {
        let text = format!(
            "Received exception when fetching the next record from {}. If needed, please seek past the record to continue \
             consumption. At offset {}: {error}",
            self.partition, self.next_offset
        );
        ClientError::Damaged(text)
    }

    /// Whether a batch's records are for the application: no control records, nothing that was aborted.
    fn is_wanted(&mut self, batch: &RecordBatch<'_>, config: &ConsumerConfig) -> Result<bool, RecordError> {
        if config.isolation_level == IsolationLevel::ReadCommitted && batch.producer_id() >= 0 {
            while let Some(next) =
                self.aborted.front().filter(|next| next.first_offset <= batch.last_offset())
            {
                self.aborted_producers.insert(next.producer_id);
                self.aborted.pop_front();
            }
            if batch.is_control() {
                let decompressed = batch.decompress(LARGEST_BATCH)?;
                let marker = decompressed.iter().next().transpose()?;
                if marker.is_some_and(|marker| {
                    ControlRecordType::parse(marker.key) == Ok(ControlRecordType::Abort)
                }) {
                    self.aborted_producers.remove(&batch.producer_id());
                }
            } else if batch.is_transactional() && self.aborted_producers.contains(&batch.producer_id()) {
                return Ok(false);
            }
        }
        Ok(!batch.is_control())
    }
}

/// The records of a batch from an offset on, as slices of the fetched bytes or of what they decompress to.
fn records(
    partition: &TopicPartition,
    from: i64,
    batch: &RecordBatch<'_>,
    fetched: &Bytes,
) -> Result<Vec<ConsumerRecord>, RecordError> {
    let decompressed = batch.decompress(LARGEST_BATCH)?;
    // Of an uncompressed batch the fetched bytes themselves are kept; what was decompressed is copied once, so that the
    // records can share it.
    let (storage, start) = match batch.is_compressed() {
        false => (fetched.clone(), fetched.as_ptr()),
        true => {
            let bytes = decompressed.records_bytes();
            (Bytes::copy_from_slice(bytes), bytes.as_ptr())
        }
    };
    let iter = decompressed.iter();
    let leader_epoch = Some(batch.partition_leader_epoch()).filter(|epoch| *epoch >= 0);
    let timestamp_type = batch.timestamp_type();
    let mut records = Vec::with_capacity(iter.size_hint().1.unwrap_or(0));
    for record in iter {
        let record = record?;
        if record.offset < from {
            continue;
        }
        let slice = |bytes: Option<&[u8]>| {
            let bytes = bytes?;
            // Invariant: every key, value and header lies within what the iterator walks over.
            let at = (bytes.as_ptr() as usize).wrapping_sub(start as usize);
            Some(if bytes.is_empty() { Bytes::new() } else { storage.slice(at..at + bytes.len()) })
        };
        let header = |header: protocol::records::Header<'_>| {
            (String::from_utf8_lossy(header.key).into_owned(), slice(header.value))
        };
        records.push(ConsumerRecord {
            topic: Arc::clone(&partition.topic),
            partition: partition.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            timestamp_type,
            leader_epoch,
            key: slice(record.key),
            value: slice(record.value),
            headers: record.headers.iter().map(header).collect(),
        });
    }
    Ok(records)
}
