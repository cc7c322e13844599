//! What must hold in a quorum, whatever happens to it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use raft::CommittedBatch;

use crate::committed::QuorumCommits;

/// Everything that was ever seen of the quorum.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    /// The leader of each epoch.
    leaders: BTreeMap<i32, i32>,
    /// Whom each voter gave its vote in each epoch.
    votes: BTreeMap<(i32, i32), i32>,
    /// What is committed, by the offset of each batch: the last offset, the epoch, and what is in it.
    committed: BTreeMap<i64, (i64, i32, u64)>,
    /// What the leaders have committed.
    pub commits: QuorumCommits,
    /// What the metadata are, by the offset behind what made them so.
    images: BTreeMap<i64, u64>,
    pub acknowledged: u64,
    /// Behind the last record that was acknowledged.
    pub acknowledged_end: i64,
    pub checks: u64,
}

/// What the records have made: of each key the last value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image(pub BTreeMap<u64, u64>);

impl Image {
    pub fn apply(&mut self, record: &[u8]) -> Result<(), String> {
        let number =
            |at: usize| record.get(at..).and_then(<[u8]>::first_chunk).copied().map(u64::from_be_bytes);
        match (number(0), number(8)) {
            (Some(key), Some(value)) => {
                self.0.insert(key, value);
                Ok(())
            }
            _ => Err(format!("a record of {} bytes was committed that nobody wrote", record.len())),
        }
    }

    pub fn hash(&self) -> u64 {
        let numbers = self.0.iter().flat_map(|(key, value)| [*key, *value]);
        numbers.fold(0xcbf2_9ce4_8422_2325, |hash, number| {
            (hash ^ number).wrapping_mul(0x0100_0000_01b3).rotate_left(7)
        })
    }
}

impl Checker {
    pub fn leads(&mut self, node: i32, epoch: i32) -> Result<(), String> {
        match *self.leaders.entry(epoch).or_insert(node) {
            leader if leader == node => Ok(()),
            leader => Err(format!("nodes {leader} and {node} both lead epoch {epoch}")),
        }
    }

    pub fn votes(&mut self, voter: i32, epoch: i32, candidate: i32) -> Result<(), String> {
        match *self.votes.entry((voter, epoch)).or_insert(candidate) {
            before if before == candidate => Ok(()),
            before => Err(format!("node {voter} votes for {before} and for {candidate} in epoch {epoch}")),
        }
    }

    pub fn hears(&mut self, node: i32, batch: &CommittedBatch) -> Result<(), String> {
        self.checks += 1;
        let content =
            batch.records().flatten().fold(u64::from(batch.control_records().is_empty()), |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
        let seen = (batch.last_offset, batch.epoch, content);
        match self.committed.entry(batch.base_offset) {
            Entry::Occupied(known) if *known.get() != seen => Err(format!(
                "node {node} commits (last offset, epoch, content) {seen:?} at offset {}, where {:?} is committed",
                batch.base_offset,
                known.get()
            )),
            Entry::Occupied(_) => Ok(()),
            Entry::Vacant(place) => {
                place.insert(seen);
                let before = self.committed.range(..batch.base_offset).next_back();
                match before {
                    Some((_, (last, epoch, _))) if *last + 1 != batch.base_offset || *epoch > batch.epoch => {
                        Err(format!(
                            "node {node} commits offset {} of epoch {} behind {last} of epoch {epoch}",
                            batch.base_offset, batch.epoch
                        ))
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    /// Behind the last record that is known to be committed.
    pub fn committed_end(&self) -> i64 {
        self.committed.last_key_value().map_or(0, |(_, (last, _, _))| last + 1)
    }

    pub fn is_at(&mut self, node: i32, end_offset: i64, image: &Image) -> Result<(), String> {
        let hash = image.hash();
        match *self.images.entry(end_offset).or_insert(hash) {
            known if known == hash => Ok(()),
            _ => Err(format!(
                "node {node} has other metadata at offset {end_offset} than another had: {image:?}"
            )),
        }
    }
}
