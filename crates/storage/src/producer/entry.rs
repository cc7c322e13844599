//! What is known of one producer id (`ProducerStateEntry`, `BatchMetadata`).

use protocol::records::{BatchHeader, NO_PRODUCER_EPOCH, NO_SEQUENCE, decrement_sequence};

/// How many batches are remembered for each producer: as many as the producer may have in flight.
const BATCHES_TO_RETAIN: usize = 5;

/// Where a batch of a producer went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchMetadata {
    /// The sequence of the last record.
    pub last_sequence: i32,
    /// The offset of the last record.
    pub last_offset: i64,
    /// The last record's offset less the first's.
    pub offset_delta: i32,
    /// The largest timestamp.
    pub timestamp: i64,
}

impl BatchMetadata {
    /// The sequence of the first record. Sequences wrap from `i32::MAX` to 0.
    pub fn first_sequence(&self) -> i32 {
        decrement_sequence(self.last_sequence, self.offset_delta)
    }

    /// The offset of the first record.
    pub fn first_offset(&self) -> i64 {
        self.last_offset - i64::from(self.offset_delta)
    }
}

/// The last batches of a producer, oldest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct RecentBatches {
    items: [BatchMetadata; BATCHES_TO_RETAIN],
    length: u8,
}

impl RecentBatches {
    fn as_slice(&self) -> &[BatchMetadata] {
        &self.items[..usize::from(self.length)]
    }

    fn push(&mut self, batch: BatchMetadata) {
        if usize::from(self.length) == BATCHES_TO_RETAIN {
            self.items.rotate_left(1);
            self.items[BATCHES_TO_RETAIN - 1] = batch;
        } else {
            self.items[usize::from(self.length)] = batch;
            self.length += 1;
        }
    }
}

/// What is known of one producer id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerStateEntry {
    /// The producer id.
    pub producer_id: i64,
    /// The epoch of the last batch.
    pub producer_epoch: i16,
    /// The epoch of the transaction coordinator that wrote the last marker; -1 if there was none.
    pub coordinator_epoch: i32,
    /// The timestamp of the last batch or marker.
    pub last_timestamp: i64,
    /// The first offset of the transaction that is open.
    pub current_txn_first_offset: Option<i64>,
    batches: RecentBatches,
}

impl ProducerStateEntry {
    /// A producer of which nothing is known.
    pub fn empty(producer_id: i64) -> ProducerStateEntry {
        ProducerStateEntry {
            producer_id,
            producer_epoch: NO_PRODUCER_EPOCH,
            coordinator_epoch: -1,
            last_timestamp: -1,
            current_txn_first_offset: None,
            batches: RecentBatches::default(),
        }
    }

    /// This entry without its batches: what an append starts from.
    pub(crate) fn without_batches(&self) -> ProducerStateEntry {
        ProducerStateEntry { batches: RecentBatches::default(), ..*self }
    }

    /// Whether no batch is remembered.
    pub fn is_empty(&self) -> bool {
        self.batches.length == 0
    }

    /// The remembered batches, oldest first; at most five.
    pub fn batches(&self) -> &[BatchMetadata] {
        self.batches.as_slice()
    }

    /// The sequence of the last record; -1 if no batch is remembered.
    pub fn last_sequence(&self) -> i32 {
        self.batches().last().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    /// The offset of the last record; -1 if no batch is remembered.
    pub fn last_data_offset(&self) -> i64 {
        self.batches().last().map_or(-1, |batch| batch.last_offset)
    }

    /// The offset delta of the last batch; 0 if no batch is remembered.
    pub fn last_offset_delta(&self) -> i32 {
        self.batches().last().map_or(0, |batch| batch.offset_delta)
    }

    /// Notes a batch. A batch of another epoch makes the entry forget those before.
    pub(crate) fn add_batch(&mut self, producer_epoch: i16, batch: BatchMetadata) {
        self.set_epoch(producer_epoch);
        self.batches.push(batch);
        self.last_timestamp = batch.timestamp;
    }

    /// Remembers batches that came before those that it knows, oldest first.
    pub(crate) fn remember_earlier(&mut self, earlier: impl Iterator<Item = BatchMetadata>) {
        let known = std::mem::take(&mut self.batches);
        earlier.chain(known.as_slice().iter().copied()).for_each(|batch| self.batches.push(batch));
    }

    /// Takes over what an append has added to a copy of this entry.
    pub(crate) fn update(&mut self, next: &ProducerStateEntry) {
        self.set_epoch(next.producer_epoch);
        for batch in next.batches() {
            self.batches.push(*batch);
        }
        self.coordinator_epoch = next.coordinator_epoch;
        self.current_txn_first_offset = next.current_txn_first_offset;
        self.last_timestamp = next.last_timestamp;
    }

    /// Notes the marker that ends a transaction.
    pub(crate) fn end_transaction(&mut self, producer_epoch: i16, coordinator_epoch: i32, timestamp: i64) {
        self.set_epoch(producer_epoch);
        self.coordinator_epoch = coordinator_epoch;
        self.current_txn_first_offset = None;
        self.last_timestamp = timestamp;
    }

    fn set_epoch(&mut self, producer_epoch: i16) {
        if self.producer_epoch != producer_epoch {
            self.batches = RecentBatches::default();
            self.producer_epoch = producer_epoch;
        }
    }

    /// The batch that `batch` repeats, if it is one of those remembered.
    pub(crate) fn find_duplicate(&self, batch: &BatchHeader) -> Option<BatchMetadata> {
        if batch.producer_epoch() != self.producer_epoch {
            return None;
        }
        let (first, last) = (batch.base_sequence(), batch.last_sequence());
        self.batches()
            .iter()
            .find(|known| known.first_sequence() == first && known.last_sequence == last)
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(last_sequence: i32, offset_delta: i32) -> BatchMetadata {
        BatchMetadata { last_sequence, last_offset: 100, offset_delta, timestamp: 5 }
    }

    #[test]
    fn sequences_wrap() {
        assert_eq!(batch(9, 4).first_sequence(), 5);
        assert_eq!(batch(0, 0).first_sequence(), 0);
        assert_eq!(batch(0, 1).first_sequence(), i32::MAX);
        assert_eq!(batch(3, 10).first_sequence(), i32::MAX - 6);
    }

    #[test]
    fn five_batches_are_remembered() {
        let mut entry = ProducerStateEntry::empty(7);
        for sequence in 0..8 {
            entry.add_batch(0, batch(sequence, 0));
        }
        let sequences: Vec<_> = entry.batches().iter().map(|batch| batch.last_sequence).collect();
        assert_eq!(sequences, [3, 4, 5, 6, 7]);
        entry.add_batch(1, batch(0, 0));
        assert_eq!(entry.batches().len(), 1);
        assert_eq!(entry.producer_epoch, 1);
    }
}
