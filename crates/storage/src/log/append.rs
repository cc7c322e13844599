//! Appending (`UnifiedLog.append`, `LocalLog.append`).
//!
//! The hot path: the checks run before the lock is taken, and a batch that needs no change is written from where it lies, with its
//! first 16 bytes replaced, in one call.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use protocol::records::{
    BatchHeader, Batches, EndTxnMarker, NO_TIMESTAMP, RecordBatch, UNCHECKED_HEAD, patch,
};

use super::roll::RollParams;
use super::tail::RecentBatch;
use super::validate::{Effort, ValidBatch, Validity, batch_error, validate};
use super::{Log, Writer};
use crate::checkpoint::{Sync, write_partition_metadata_with};
use crate::config::LogConfig;
use crate::error::{AppendError, LogError, StorageError};
use crate::index::AbortedTxn;
use crate::producer::{
    BatchMetadata, CompletedTxn, ProducerAppendInfo, ProducerError, TRANSACTION_VERSION_UNKNOWN,
};
use crate::segment::LogSegment;
use crate::types::{AppendInfo, AppendOrigin, LogOffsetMetadata};

/// What was being done when an index of the active segment could not be written.
const UPDATING_INDEXES: &str = "Error while updating the indexes of the log";

/// What the producer state says to the batches of an append.
pub(super) enum ProducerVerdict {
    /// They may be written; these transactions end.
    Append(Vec<CompletedTxn>),
    /// The batch was written before.
    Duplicate(BatchMetadata),
}

/// Batches that are ready to be written.
pub(super) struct Prepared {
    /// Bytes.
    pub size: u64,
    pub first_offset: i64,
    pub last_offset: i64,
    pub max_timestamp: i64,
    pub origin: AppendOrigin,
    pub transaction_version: i16,
    pub now_ms: i64,
}

/// One of the batches, as it will be in the log.
#[derive(Clone, Copy)]
pub(super) struct PlacedBatch<'a> {
    pub batch: RecordBatch<'a>,
    pub base_offset: i64,
    pub leader_epoch: i32,
}

impl<'a> PlacedBatch<'a> {
    /// A batch whose records get the offsets from `first_offset` on.
    pub fn at(
        first_offset: i64,
        batch: RecordBatch<'a>,
        valid: &ValidBatch<'_>,
        leader_epoch: i32,
    ) -> PlacedBatch<'a> {
        let last_offset = first_offset + i64::from(valid.records_count) - 1;
        PlacedBatch { batch, base_offset: last_offset - i64::from(batch.last_offset_delta()), leader_epoch }
    }

    /// What is written in the place of its first bytes.
    pub fn head(&self) -> [u8; UNCHECKED_HEAD] {
        patch::head(self.batch.header(), self.base_offset, self.leader_epoch)
    }

    pub fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.batch.last_offset_delta())
    }
}

impl Log {
    /// Appends one batch as the leader of `leader_epoch`: checks it, assigns its offsets, and writes it. With
    /// [`AppendOrigin::RaftLeader`] it may be several, which have their offsets and epoch already.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing is appended then.
    pub fn append_as_leader(
        &self,
        records: &[u8],
        leader_epoch: i32,
        origin: AppendOrigin,
        now_ms: i64,
    ) -> Result<AppendInfo, AppendError> {
        self.append_as_leader_with(records, leader_epoch, origin, TRANSACTION_VERSION_UNKNOWN, now_ms)
    }

    /// The same for a transaction marker, which is checked by the rules of its transaction's version (KIP-890).
    ///
    /// # Errors
    /// See [`AppendError`]; nothing is appended then.
    pub fn append_as_leader_with(
        &self,
        records: &[u8],
        leader_epoch: i32,
        origin: AppendOrigin,
        transaction_version: i16,
        now_ms: i64,
    ) -> Result<AppendInfo, AppendError> {
        if origin == AppendOrigin::RaftLeader || origin == AppendOrigin::Replication {
            return self.append_with_offsets(records, leader_epoch, origin, now_ms);
        }
        self.flush_metadata_file()?;
        let config = self.config.load();
        let Some(valid) = self.valid_batch(records, &config, origin, now_ms)? else {
            return Ok(self.nothing_appended());
        };
        let batch =
            RecordBatch::parse(&valid.bytes).map_err(|error| batch_error(error, &self.topic_partition))?;
        self.health.io(|| {
            let mut writer = self.writer.lock();
            self.check_usable(&writer)?;
            self.check_epoch(&writer, leader_epoch)?;
            let first_offset = self.log_end_offset();
            let placed = PlacedBatch::at(first_offset, batch, &valid, leader_epoch);
            let head = placed.head();
            let tail = valid.bytes.get(UNCHECKED_HEAD..).unwrap_or_default();
            let prepared = Prepared {
                size: valid.bytes.len() as u64,
                first_offset,
                last_offset: placed.last_offset(),
                max_timestamp: valid.max_timestamp,
                origin,
                transaction_version,
                now_ms,
            };
            let mut info = self.append_locked(
                &mut writer,
                &prepared,
                &[placed],
                &mut [IoSlice::new(&head), IoSlice::new(tail)],
                config.segment_size,
            )?;
            info.valid_bytes = valid.valid_bytes;
            if !info.duplicate {
                info.log_append_time = valid.log_append_time;
            }
            Ok(info)
        })
    }

    /// The batch in `records`, once it is clear that it may be appended.
    pub(super) fn valid_batch<'a>(
        &self,
        records: &'a [u8],
        config: &LogConfig,
        origin: AppendOrigin,
        now_ms: i64,
    ) -> Result<Option<ValidBatch<'a>>, AppendError> {
        let look = |effort| validate(records, &self.topic_partition, config, origin, now_ms, effort);
        match look(Effort::Brief)? {
            Validity::Valid(valid) => Ok(valid),
            Validity::TakesLong => match self.health.beside_others(|| look(Effort::Whole))? {
                Validity::Valid(valid) => Ok(valid),
                Validity::TakesLong => unreachable!("Invariant: a whole look takes as long as it takes"),
            },
        }
    }

    /// Appends batches that another leader has written: offsets and epochs stay. Batches of an epoch above `leader_epoch`, which
    /// the leader asked cannot have, are left out with all that follows them (KAFKA-18723).
    ///
    /// # Errors
    /// See [`AppendError`]; nothing is appended then.
    pub fn append_as_follower(
        &self,
        records: &[u8],
        leader_epoch: i32,
        now_ms: i64,
    ) -> Result<AppendInfo, AppendError> {
        self.append_with_offsets(records, leader_epoch, AppendOrigin::Replication, now_ms)
    }

    fn append_with_offsets(
        &self,
        records: &[u8],
        leader_epoch: i32,
        origin: AppendOrigin,
        now_ms: i64,
    ) -> Result<AppendInfo, AppendError> {
        self.flush_metadata_file()?;
        let config = self.config.load();
        let (batches, valid) = self.check_offsets(records, leader_epoch, origin, config.max_message_size)?;
        let (Some(first), Some(last)) = (batches.first(), batches.last()) else {
            return Ok(self.nothing_appended());
        };
        let max_timestamp = batches.iter().map(|placed| placed.batch.max_timestamp()).max();
        let prepared = Prepared {
            size: valid.len() as u64,
            first_offset: first.base_offset,
            last_offset: last.last_offset(),
            max_timestamp: max_timestamp.unwrap_or(NO_TIMESTAMP),
            origin,
            transaction_version: TRANSACTION_VERSION_UNKNOWN,
            now_ms,
        };
        self.health.io(|| {
        let mut writer = self.writer.lock();
        self.check_usable(&writer)?;
        self.check_epoch(&writer, leader_epoch)?;
        let log_end_offset = self.log_end_offset();
        if prepared.first_offset < log_end_offset {
            return Err(AppendError::UnexpectedOffset {
                message: format!(
                    "Unexpected offset in append to {}. First offset {} is less than the next offset {log_end_offset}. Last \
                     offset in append: {}. Log start offset = {}",
                    self.topic_partition,
                    prepared.first_offset,
                    prepared.last_offset,
                    self.log_start_offset()
                ),
                first_offset: prepared.first_offset,
                last_offset: prepared.last_offset,
            });
        }
        let mut info = self.append_locked(
            &mut writer,
            &prepared,
            &batches,
            &mut [IoSlice::new(valid)],
            config.segment_size,
        )?;
        info.valid_bytes = valid.len();
        Ok(info)
        })
    }

    /// Checks batches that keep their offsets. Returns them, and the bytes that they are.
    fn check_offsets<'a>(
        &self,
        records: &'a [u8],
        leader_epoch: i32,
        origin: AppendOrigin,
        max_message_size: i32,
    ) -> Result<(Vec<PlacedBatch<'a>>, &'a [u8]), AppendError> {
        let partition = &self.topic_partition;
        let mut placed: Vec<PlacedBatch<'a>> = Vec::new();
        let mut valid = 0;
        for batch in Batches::new(records) {
            let batch = batch.map_err(|error| batch_error(error, partition))?;
            let epoch = batch.partition_leader_epoch();
            if origin == AppendOrigin::RaftLeader && epoch != leader_epoch {
                return Err(AppendError::InvalidRecord(format!(
                    "Append from Raft leader did not set the batch epoch correctly, expected {leader_epoch} but the batch has {epoch}"
                )));
            }
            if origin == AppendOrigin::Replication && epoch > leader_epoch {
                tracing::info!(%partition, epoch, leader_epoch, "skipping batches of a later leader epoch");
                break;
            }
            let (first, last) = (batch.base_offset(), batch.last_offset());
            let before = placed.last().map_or(-1, PlacedBatch::last_offset);
            // Kafka asks for rising last offsets only; a base offset inside the batch before is no less wrong.
            if first < 0 || last < first || first <= before {
                return Err(AppendError::UnexpectedOffset {
                    message: format!(
                        "Out of order offsets found in append to {partition}: {first} to {last} after {before}"
                    ),
                    first_offset: first,
                    last_offset: last,
                });
            }
            let size = batch.size_in_bytes();
            if origin == AppendOrigin::RaftLeader && size as i64 > i64::from(max_message_size) {
                return Err(AppendError::TooLarge(format!(
                    "The record batch size in the append to {partition} is {size} bytes which exceeds the maximum configured \
                     value of {max_message_size})."
                )));
            }
            batch.verify_crc().map_err(|error| batch_error(error, partition))?;
            valid += size;
            placed.push(PlacedBatch { batch, base_offset: first, leader_epoch: epoch });
        }
        Ok((placed, records.get(..valid).unwrap_or_default()))
    }

    /// Rolls if need be, asks the producer state, writes, and publishes.
    fn append_locked(
        &self,
        writer: &mut Writer,
        prepared: &Prepared,
        batches: &[PlacedBatch<'_>],
        bytes: &mut [IoSlice<'_>],
        segment_size: i32,
    ) -> Result<AppendInfo, AppendError> {
        if prepared.origin != AppendOrigin::Replication {
            self.check_segment_size(prepared.size, segment_size)?;
        }
        let (segment, rolled) = self.segment_for(writer, prepared)?;
        let mut appends = std::mem::take(&mut writer.appends);
        appends.clear();
        let verdict = self.check_producers(writer, batches, prepared, &mut appends);
        let completed = match verdict {
            Ok(ProducerVerdict::Append(completed)) => completed,
            Ok(ProducerVerdict::Duplicate(known)) => {
                writer.appends = appends;
                return Ok(self.duplicate(prepared, rolled, &known));
            }
            Err(error) => {
                writer.appends = appends;
                return Err(error.into());
            }
        };
        let written = self.write_batches(writer, &segment, bytes, batches.iter().copied()).and_then(|()| {
            let updated = self.update_producers(writer, &segment, &appends, &completed);
            updated.map_err(|error| self.fail(UPDATING_INDEXES, error))
        });
        appends.clear();
        writer.appends = appends;
        written?;
        writer.producers.update_map_end_offset(prepared.last_offset + 1);
        self.pass_waypoint(writer);
        let mut info = self.appended(prepared, rolled);
        self.commit_if_sole(writer, &mut info);
        if self.has_transactions.load(Ordering::Relaxed) || writer.producers.has_transactions() {
            self.publish_first_unstable_offset(writer);
        }
        Ok(info)
    }

    /// Writes `bytes`, which are `batches`, makes them readable and puts them into the indexes.
    pub(super) fn write_batches<'a>(
        &self,
        writer: &mut Writer,
        segment: &LogSegment,
        bytes: &mut [IoSlice<'_>],
        batches: impl Iterator<Item = PlacedBatch<'a>> + Clone,
    ) -> Result<(), StorageError> {
        for placed in batches.clone() {
            self.epochs.write().assign(placed.leader_epoch, placed.base_offset);
        }
        let position = segment.size();
        segment
            .append(bytes)
            .map_err(|error| self.fail("Error while appending records to the log", error))?;
        self.publish_append(segment, position, batches.clone());
        self.index_batches(writer, segment, position, batches)
            .map_err(|error| self.fail(UPDATING_INDEXES, error))
    }

    /// Whether batches fit into a segment at all.
    pub(super) fn check_segment_size(&self, size: u64, segment_size: i32) -> Result<(), AppendError> {
        if size as i64 <= i64::from(segment_size) {
            return Ok(());
        }
        Err(AppendError::BatchTooLarge(format!(
            "Message batch size is {size} bytes in append to partition {}, which exceeds the maximum configured segment \
             size of {segment_size}.",
            self.topic_partition
        )))
    }

    /// What a lone replica has written is committed, unless that waits for a sync.
    pub(super) fn commit_if_sole(&self, writer: &mut Writer, info: &mut AppendInfo) {
        if writer.sole_replica && !info.needs_flush {
            info.committed = true;
            self.high_watermark.fetch_max(info.log_end_offset, Ordering::AcqRel);
            writer.producers.on_high_watermark_updated(info.log_end_offset);
        }
    }

    /// The active segment, or a new one if this must not go there.
    pub(super) fn segment_for(
        &self,
        writer: &mut Writer,
        prepared: &Prepared,
    ) -> Result<(Arc<LogSegment>, bool), AppendError> {
        let config = self.config.load();
        let segment = self.active_segment();
        let params = RollParams::of(prepared);
        let rolled = self.should_roll(writer, &segment, &config, &params).and_then(|roll| {
            if roll {
                self.roll_locked(writer, prepared.first_offset, prepared.now_ms)?;
            }
            Ok(roll)
        });
        match rolled.map_err(|error| self.rolling_failed(error))? {
            true => Ok((self.active_segment(), true)),
            false => Ok((segment, false)),
        }
    }

    /// Asks the producer state whether the batches may be written. Changes nothing yet.
    pub(super) fn check_producers(
        &self,
        writer: &Writer,
        batches: &[PlacedBatch<'_>],
        prepared: &Prepared,
        appends: &mut Vec<ProducerAppendInfo>,
    ) -> Result<ProducerVerdict, ProducerError> {
        let mut completed = Vec::new();
        for placed in batches {
            let header = placed.batch.header();
            if !header.has_producer_id() {
                continue;
            }
            if prepared.origin == AppendOrigin::Client
                && let Some(entry) = writer.producers.entry(header.producer_id())
                && let Some(duplicate) = entry.find_duplicate(header)
            {
                return Ok(ProducerVerdict::Duplicate(duplicate));
            }
            completed.extend(append_to_producer(
                &writer.producers,
                appends,
                placed,
                prepared.origin,
                prepared.transaction_version,
                &self.topic_partition,
            )?);
        }
        Ok(ProducerVerdict::Append(completed))
    }

    /// Makes what was written readable.
    fn publish_append<'a>(
        &self,
        segment: &LogSegment,
        position: u64,
        batches: impl Iterator<Item = PlacedBatch<'a>>,
    ) {
        let mut tail = self.tail.write();
        let mut position = position;
        let mut next_offset = tail.end().message_offset;
        for placed in batches {
            next_offset = placed.last_offset() + 1;
            let size = placed.batch.size_in_bytes() as u64;
            tail.push(RecentBatch {
                base_offset: placed.base_offset,
                last_offset: placed.last_offset(),
                segment_base_offset: segment.base_offset(),
                position,
                size,
            });
            position += size;
        }
        let end = LogOffsetMetadata {
            message_offset: next_offset,
            segment_base_offset: segment.base_offset(),
            relative_position: position as i64,
        };
        self.set_log_end(&mut tail, end);
    }

    fn index_batches<'a>(
        &self,
        writer: &mut Writer,
        segment: &LogSegment,
        position: u64,
        batches: impl Iterator<Item = PlacedBatch<'a>>,
    ) -> std::io::Result<()> {
        let interval = self.config.load().index_interval.max(0) as u64;
        let mut position = position;
        for placed in batches {
            let due = writer.active.bytes_since_last_index_entry > interval;
            if due {
                writer.active.bytes_since_last_index_entry = 0;
            }
            segment.note_batch(placed.last_offset(), placed.batch.max_timestamp(), position, due)?;
            let size = placed.batch.size_in_bytes() as u64;
            position += size;
            writer.active.bytes_since_last_index_entry += size;
            writer.active.bytes_since_waypoint += size;
        }
        Ok(())
    }

    fn update_producers(
        &self,
        writer: &mut Writer,
        segment: &LogSegment,
        appends: &[ProducerAppendInfo],
        completed: &[CompletedTxn],
    ) -> std::io::Result<()> {
        for append in appends {
            writer.producers.update(append);
        }
        for completed in completed {
            let last_stable_offset = writer.producers.last_stable_offset(completed);
            if completed.is_aborted {
                segment.append_aborted(AbortedTxn {
                    producer_id: completed.producer_id,
                    first_offset: completed.first_offset,
                    last_offset: completed.last_offset,
                    last_stable_offset,
                })?;
            }
            writer.producers.complete_txn(completed);
        }
        Ok(())
    }

    /// What is said of a batch that was written before.
    pub(super) fn duplicate(&self, prepared: &Prepared, rolled: bool, known: &BatchMetadata) -> AppendInfo {
        AppendInfo {
            first_offset: known.first_offset(),
            last_offset: known.last_offset,
            log_append_time: known.timestamp,
            duplicate: true,
            ..self.appended(prepared, rolled)
        }
    }

    pub(super) fn appended(&self, prepared: &Prepared, rolled: bool) -> AppendInfo {
        let log_end_offset = self.log_end_offset();
        let flush_interval = self.config.load().flush_interval;
        AppendInfo {
            first_offset: prepared.first_offset,
            last_offset: prepared.last_offset,
            last_leader_epoch: self.latest_epoch().unwrap_or(-1),
            max_timestamp: prepared.max_timestamp,
            log_append_time: NO_TIMESTAMP,
            log_start_offset: self.log_start_offset(),
            log_end_offset,
            valid_bytes: 0,
            duplicate: false,
            committed: false,
            needs_flush: log_end_offset - self.recovery_point() >= flush_interval,
            rolled,
        }
    }

    pub(super) fn nothing_appended(&self) -> AppendInfo {
        AppendInfo {
            first_offset: -1,
            last_offset: -1,
            last_leader_epoch: -1,
            max_timestamp: NO_TIMESTAMP,
            log_append_time: NO_TIMESTAMP,
            log_start_offset: self.log_start_offset(),
            log_end_offset: self.log_end_offset(),
            valid_bytes: 0,
            duplicate: false,
            committed: false,
            needs_flush: false,
            rolled: false,
        }
    }

    /// Writes `partition.metadata` if the topic's id came after the log was made: before the first record, for what is appended is
    /// that topic's. Its name lasts as soon as records do.
    pub(super) fn flush_metadata_file(&self) -> Result<(), LogError> {
        self.flush_metadata_file_with(Sync::Content)
    }

    /// The same, synced as is said.
    pub(super) fn flush_metadata_file_with(&self, sync: Sync) -> Result<(), LogError> {
        if !self.topic_id_dirty.load(Ordering::Acquire) {
            return Ok(());
        }
        self.health.check()?;
        self.health.io(|| {
            // The lock keeps two threads from writing the file at once.
            let topic_id = self.topic_id.write();
            if let Some(id) = *topic_id
                && self.topic_id_dirty.load(Ordering::Acquire)
            {
                write_partition_metadata_with(&self.dir(), id, sync).map_err(|error| {
                    self.fail("Error while writing partition metadata file", error.into_io())
                })?;
                self.topic_id_dirty.store(false, Ordering::Release);
                if sync == Sync::Content {
                    self.new_names.store(true, Ordering::Release);
                }
            }
            Ok(())
        })
    }
}

/// Adds a batch to what the append does to its producer. Returns the transaction that the batch ends, if it is a marker.
fn append_to_producer(
    producers: &crate::producer::ProducerStateManager,
    appends: &mut Vec<ProducerAppendInfo>,
    placed: &PlacedBatch<'_>,
    origin: AppendOrigin,
    transaction_version: i16,
    partition: &dyn std::fmt::Display,
) -> Result<Option<CompletedTxn>, ProducerError> {
    let header = placed.batch.header();
    let producer_id = header.producer_id();
    let index = match appends.iter().position(|append| append.producer_id() == producer_id) {
        Some(index) => index,
        None => {
            appends.push(producers.prepare(producer_id, origin));
            appends.len() - 1
        }
    };
    // Just found or pushed.
    let Some(append) = appends.get_mut(index) else { return Ok(None) };
    match end_txn_marker(&placed.batch) {
        Some((marker, timestamp)) => append.append_end_txn(
            marker,
            header.producer_epoch(),
            placed.base_offset,
            timestamp,
            transaction_version,
            partition,
        ),
        None if header.is_control() => Ok(None),
        None => {
            append.append_data(header, placed.base_offset, header.max_timestamp(), partition)?;
            Ok(None)
        }
    }
}

/// The transaction marker in a control batch, and its timestamp.
pub(super) fn end_txn_marker(batch: &RecordBatch<'_>) -> Option<(EndTxnMarker, i64)> {
    let header: &BatchHeader = batch.header();
    if !header.is_control() {
        return None;
    }
    let record = batch.iter().next()?.ok()?;
    let marker = EndTxnMarker::parse(&record).ok()??;
    Some((marker, record.timestamp))
}
