//! Which batches are of aborted transactions, and which markers are still needed (`CleanedTransactionMetadata`).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use protocol::records::{ControlRecordType, RecordBatch, RecordError};

use crate::index::AbortedTxn;

/// What is known of the transactions at the place in the log that a cleaner has reached.
#[derive(Default)]
pub(super) struct CleanedTransactions {
    /// Producers of whose transaction, which was committed, a batch was seen.
    committed: HashSet<i64>,
    aborted: HashMap<i64, OngoingAborted>,
    /// The aborted transactions ahead, by first offset.
    ahead: BinaryHeap<Reverse<(i64, AbortedTxnByFirstOffset)>>,
}

struct OngoingAborted {
    transaction: AbortedTxn,
    saw_batch: bool,
}

/// The fields behind the first offset only make the order total.
type AbortedTxnByFirstOffset = (i64, i64, i64);

/// What becomes of a control batch.
pub(super) struct ControlVerdict {
    /// Nothing of its transaction is left, so that it may go when its time has come.
    pub can_discard: bool,
    /// The transaction that it aborts, if batches of it were seen: it must stay in the index.
    pub aborted: Option<AbortedTxn>,
}

impl CleanedTransactions {
    /// Adds the aborted transactions of the segment that is read next. Those that are known already do no harm.
    pub fn add_aborted(&mut self, transactions: Vec<AbortedTxn>) {
        self.ahead.extend(transactions.into_iter().map(|transaction| {
            let rest = (transaction.last_offset, transaction.producer_id, transaction.last_stable_offset);
            Reverse((transaction.first_offset, rest))
        }));
    }

    fn advance_to(&mut self, offset: i64) {
        while let Some(&Reverse((first_offset, rest))) = self.ahead.peek()
            && first_offset <= offset
        {
            self.ahead.pop();
            let (last_offset, producer_id, last_stable_offset) = rest;
            let transaction = AbortedTxn { producer_id, first_offset, last_offset, last_stable_offset };
            self.aborted.entry(producer_id).or_insert(OngoingAborted { transaction, saw_batch: false });
        }
    }

    /// Reads a control batch.
    ///
    /// # Errors
    /// Those of a batch that is damaged.
    pub fn on_control_batch(&mut self, batch: &RecordBatch<'_>) -> Result<ControlVerdict, RecordError> {
        self.advance_to(batch.last_offset());
        let Some(record) = batch.iter().next().transpose()? else {
            // Only its producer's epoch was kept.
            return Ok(ControlVerdict { can_discard: true, aborted: None });
        };
        let producer_id = batch.producer_id();
        Ok(match ControlRecordType::parse(record.key)? {
            ControlRecordType::Abort => {
                let aborted = self.aborted.remove(&producer_id).filter(|ongoing| ongoing.saw_batch);
                ControlVerdict {
                    can_discard: aborted.is_none(),
                    aborted: aborted.map(|ongoing| ongoing.transaction),
                }
            }
            ControlRecordType::Commit => {
                ControlVerdict { can_discard: !self.committed.remove(&producer_id), aborted: None }
            }
            _ => ControlVerdict { can_discard: false, aborted: None },
        })
    }

    /// Reads a batch of data. Returns whether it belongs to an aborted transaction.
    pub fn on_batch(&mut self, batch: &RecordBatch<'_>) -> bool {
        self.advance_to(batch.last_offset());
        if !batch.is_transactional() {
            return false;
        }
        match self.aborted.get_mut(&batch.producer_id()) {
            Some(ongoing) => {
                ongoing.saw_batch = true;
                true
            }
            None => {
                self.committed.insert(batch.producer_id());
                false
            }
        }
    }
}
