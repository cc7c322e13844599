//! What must hold, whatever happens.

use std::collections::BTreeMap;

use raft::{CommittedBatch, SnapshotReader};

/// Remembers what any node said, and compares.
#[derive(Default)]
pub struct Checker {
    /// What is committed, by base offset, with its end.
    committed: BTreeMap<i64, (i64, CommittedBatch)>,
    leaders: BTreeMap<i32, i32>,
    last_record: u64,
}

impl Checker {
    /// A record that no other is like.
    pub fn new_record(&mut self, epoch: i32) -> Vec<u8> {
        self.last_record += 1;
        [&self.last_record.to_be_bytes()[..], &epoch.to_be_bytes()].concat()
    }

    /// A node leads an epoch.
    pub fn leads(&mut self, id: i32, epoch: i32) {
        let leader = *self.leaders.entry(epoch).or_insert(id);
        assert_eq!(leader, id, "two leaders in epoch {epoch}");
    }

    /// A node that has heard all below `applied` hears of a batch; gives what it has heard then.
    pub fn committed(&mut self, id: i32, applied: i64, batch: &CommittedBatch) -> i64 {
        assert_eq!(batch.base_offset, applied, "{id} hears of batches out of order");
        let end = batch.last_offset + 1;
        match self.committed.get(&batch.base_offset) {
            Some((known_end, known)) => {
                assert_eq!((*known_end, known), (end, batch), "{id} contradicts what is committed");
            }
            None => {
                let last = self.committed.last_key_value().map_or(0, |(_, (end, _))| *end);
                assert_eq!(last, batch.base_offset, "{id} commits behind a gap");
                self.committed.insert(batch.base_offset, (end, batch.clone()));
            }
        }
        end
    }

    /// A node loads a snapshot; gives what it has heard then.
    pub fn snapshot(&mut self, id: i32, applied: i64, reader: SnapshotReader) -> i64 {
        let end = reader.snapshot_id().offset;
        assert!(end >= applied, "{id} goes back from {applied} to a snapshot at {end}");
        assert_eq!(reader.read_all().unwrap(), self.records_below(end), "the snapshot of {id} at {end}");
        end
    }

    /// All metadata records that are committed below an offset.
    pub fn records_below(&self, offset: i64) -> Vec<Vec<u8>> {
        let batches = self.committed.range(..offset).map(|(_, (_, batch))| batch);
        batches.flat_map(|batch| batch.records().map(<[u8]>::to_vec)).collect()
    }

    /// Everybody ended at `end`: nothing that was committed is beyond it.
    pub fn end(&self, end: i64) {
        let last = self.committed.last_key_value().map_or(0, |(_, (end, _))| *end);
        assert_eq!(last, end, "the end of what is committed");
    }

    pub fn epochs(&self) -> usize {
        self.leaders.len()
    }
}
