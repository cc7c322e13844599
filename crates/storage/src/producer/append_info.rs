//! Checks what one append adds to a producer's state, before it is written (`ProducerAppendInfo`, KIP-98, KIP-890).

use common::ErrorCode;
use protocol::records::{BatchHeader, EndTxnMarker, NO_PRODUCER_EPOCH, NO_SEQUENCE};

use super::CompletedTxn;
use super::entry::{BatchMetadata, ProducerStateEntry};
use crate::AppendOrigin;

/// The transaction version that nobody said: what is replicated is taken as it is.
pub const TRANSACTION_VERSION_UNKNOWN: i16 = -1;

/// Why a producer's batch is refused. The text is Kafka's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ProducerError {
    /// `INVALID_PRODUCER_EPOCH`, `OUT_OF_ORDER_SEQUENCE_NUMBER`, `INVALID_TXN_STATE` or `TRANSACTION_COORDINATOR_FENCED`.
    pub code: ErrorCode,
    /// What is wrong.
    pub message: String,
}

/// The state of one producer as it will be after an append.
#[derive(Clone, Debug)]
pub(crate) struct ProducerAppendInfo {
    /// The state before.
    current: ProducerStateEntry,
    /// The state after, with the batches of this append only.
    pub updated: ProducerStateEntry,
    /// The first offset of the transaction that this append begins. An append can begin several in theory, as a follower
    /// that catches up; each is kept.
    pub started: Vec<i64>,
    origin: AppendOrigin,
}

impl ProducerAppendInfo {
    pub fn new(current: ProducerStateEntry, origin: AppendOrigin) -> ProducerAppendInfo {
        ProducerAppendInfo { current, updated: current.without_batches(), started: Vec::new(), origin }
    }

    pub fn producer_id(&self) -> i64 {
        self.current.producer_id
    }

    /// Adds a batch of data, whose offsets are `base_offset..=last_offset` and whose largest timestamp is `max_timestamp`.
    pub fn append_data(
        &mut self,
        batch: &BatchHeader,
        base_offset: i64,
        max_timestamp: i64,
        partition: &dyn std::fmt::Display,
    ) -> Result<(), ProducerError> {
        let epoch = batch.producer_epoch();
        self.check_epoch(epoch, base_offset, TRANSACTION_VERSION_UNKNOWN, partition)?;
        if self.origin == AppendOrigin::Client {
            self.check_sequence(epoch, batch.base_sequence(), base_offset, partition)?;
        }
        let offset_delta = batch.last_offset_delta();
        self.updated.add_batch(
            epoch,
            BatchMetadata {
                last_sequence: batch.last_sequence(),
                last_offset: base_offset + i64::from(offset_delta),
                offset_delta,
                timestamp: max_timestamp,
            },
        );
        match (self.updated.current_txn_first_offset, batch.is_transactional()) {
            (Some(_), false) => Err(ProducerError {
                code: ErrorCode::InvalidTxnState,
                message: format!(
                    "Expected transactional write from producer {} at offset {base_offset} in partition {partition}",
                    self.producer_id()
                ),
            }),
            (None, true) => {
                self.updated.current_txn_first_offset = Some(base_offset);
                self.started.push(base_offset);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Adds the marker that ends a transaction. `None` if no transaction was open.
    pub fn append_end_txn(
        &mut self,
        marker: EndTxnMarker,
        producer_epoch: i16,
        offset: i64,
        timestamp: i64,
        transaction_version: i16,
        partition: &dyn std::fmt::Display,
    ) -> Result<Option<CompletedTxn>, ProducerError> {
        self.check_epoch(producer_epoch, offset, transaction_version.max(0), partition)?;
        if self.updated.coordinator_epoch > marker.coordinator_epoch
            && self.origin != AppendOrigin::Replication
        {
            return Err(ProducerError {
                code: ErrorCode::TransactionCoordinatorFenced,
                message: format!(
                    "Invalid coordinator epoch for producerId {} at offset {offset} in partition {partition}: {} (zombie), {} \
                     (current)",
                    self.producer_id(),
                    marker.coordinator_epoch,
                    self.updated.coordinator_epoch
                ),
            });
        }
        let completed = self.updated.current_txn_first_offset.map(|first_offset| CompletedTxn {
            producer_id: self.producer_id(),
            first_offset,
            last_offset: offset,
            is_aborted: !marker.committed,
        });
        self.updated.end_transaction(producer_epoch, marker.coordinator_epoch, timestamp);
        Ok(completed)
    }

    /// A batch must not be of an older epoch. A marker of a transaction of version 2 must be of a newer one, since the
    /// coordinator raises the epoch at each end (KIP-890), unless it is written again for a transaction that has ended.
    fn check_epoch(
        &self,
        epoch: i16,
        offset: i64,
        transaction_version: i16,
        partition: &dyn std::fmt::Display,
    ) -> Result<(), ProducerError> {
        let current = self.updated.producer_epoch;
        let (invalid, comparison) =
            if transaction_version >= 2 { (epoch <= current, "<=") } else { (epoch < current, "<") };
        if !invalid {
            return Ok(());
        }
        let retried = transaction_version >= 2
            && epoch == current
            && (self.updated.current_txn_first_offset.is_none() || epoch == i16::MAX);
        // A follower takes what the leader has written.
        if retried || self.origin == AppendOrigin::Replication {
            return Ok(());
        }
        Err(ProducerError {
            code: ErrorCode::InvalidProducerEpoch,
            message: format!(
                "Epoch of producer {} at offset {offset} in {partition} is {epoch}, which is {comparison} the last seen epoch \
                 {current} (TV{transaction_version})",
                self.producer_id()
            ),
        })
    }

    fn check_sequence(
        &self,
        epoch: i16,
        first_sequence: i32,
        offset: i64,
        partition: &dyn std::fmt::Display,
    ) -> Result<(), ProducerError> {
        let refuse = |message| Err(ProducerError { code: ErrorCode::OutOfOrderSequenceNumber, message });
        let id = self.producer_id();
        if epoch != self.updated.producer_epoch {
            // A producer of which nothing is known may begin anywhere: its state may have expired.
            if first_sequence != 0 && self.updated.producer_epoch != NO_PRODUCER_EPOCH {
                return refuse(format!(
                    "Invalid sequence number for new epoch of producer {id} at offset {offset} in partition {partition}: \
                     {epoch} (request epoch), {first_sequence} (seq. number), {} (current producer epoch)",
                    self.updated.producer_epoch
                ));
            }
            return Ok(());
        }
        let last_sequence = if !self.updated.is_empty() {
            self.updated.last_sequence()
        } else if epoch == self.current.producer_epoch {
            self.current.last_sequence()
        } else {
            NO_SEQUENCE
        };
        let in_sequence = i64::from(first_sequence) == i64::from(last_sequence) + 1
            || (first_sequence == 0 && last_sequence == i32::MAX);
        if self.current.producer_epoch == NO_PRODUCER_EPOCH || in_sequence {
            return Ok(());
        }
        refuse(format!(
            "Out of order sequence number for producer {id} at offset {offset} in partition {partition}: {first_sequence} \
             (incoming seq. number), {last_sequence} (current end sequence number)"
        ))
    }
}
