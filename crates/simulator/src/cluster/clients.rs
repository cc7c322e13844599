//! Who uses the cluster: idempotent producers with one batch on its way, and committers of offsets.

use std::collections::BTreeMap;

use common::TopicIdPartition;
use io::SeededRandom;
use metadata::MetadataImage;

use super::messages::Ask;
use super::serve::CONSUMED;
use crate::log::records::batch;
use crate::machine::BASE_MS;
use crate::planted::Planted;

/// How long a client waits before it asks again, in ms.
const PATIENCE_MS: i64 = 2_000;

/// A batch until it is acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub to: TopicIdPartition,
    pub values: Vec<u64>,
    bytes: Vec<u8>,
}

#[derive(Debug, Default)]
pub(crate) struct Producer {
    id: i64,
    sequences: BTreeMap<TopicIdPartition, i32>,
    pub batch: Option<Batch>,
    /// The number of the request under way, and when it was sent.
    pub asked: Option<(u64, i64)>,
    tries: u32,
}

impl Producer {
    pub fn new(id: i64) -> Producer {
        Producer { id, ..Producer::default() }
    }

    /// Whether it waits for an answer.
    pub fn waits(&self, now_ms: i64) -> bool {
        self.asked.is_some_and(|(_, sent_ms)| now_ms < sent_ms + PATIENCE_MS)
    }

    /// What it sends next: the same until it is acknowledged, or its topic is gone.
    pub fn next(
        &mut self,
        newest: &MetadataImage,
        next_value: &mut u64,
        planted: Option<Planted>,
        random: &mut SeededRandom,
        now_ms: i64,
    ) -> Option<Batch> {
        // An answer to what it asked before would be taken for one to this.
        self.asked = None;
        if self.batch.as_ref().is_some_and(|batch| newest.topics.topic_by_id(&batch.to.topic_id).is_none()) {
            self.batch = None;
        }
        if self.batch.is_none() {
            let topics: Vec<_> =
                newest.topics.sorted().into_iter().filter(|topic| topic.name.starts_with('t')).collect();
            let topic = random.pick(&topics)?;
            let partition = random.below(topic.partitions.len() as u64) as i32;
            let to = TopicIdPartition { topic_id: topic.id, partition };
            let values: Vec<u64> = (0..1 + random.below(3)).map(|index| *next_value + index).collect();
            *next_value += values.len() as u64;
            self.tries = 0;
            let bytes = self.bytes(to, &values, random.below(80) as usize, now_ms);
            self.batch = Some(Batch { to, values, bytes });
        } else {
            self.tries += 1;
            if planted == Some(Planted::RetryAsNew)
                && self.tries > 1
                && let Some(Batch { to, values, .. }) = self.batch.clone()
            {
                // What is not answered in time counts as never sent, and it begins anew.
                self.id += 100;
                self.sequences.clear();
                let bytes = self.bytes(to, &values, 10, now_ms);
                self.batch = Some(Batch { to, values, bytes });
            }
        }
        self.batch.clone()
    }

    fn bytes(&mut self, to: TopicIdPartition, values: &[u64], size: usize, now_ms: i64) -> Vec<u8> {
        let sequence = *self.sequences.entry(to).or_insert(0);
        let records: Vec<_> = values.iter().map(|value| (1, Some(*value))).collect();
        // Producers that wrote long ago are forgotten.
        batch(&records, (self.id, sequence), size, BASE_MS + now_ms)
    }

    /// It is acknowledged.
    pub fn done(&mut self) -> Option<Batch> {
        let batch = self.batch.take()?;
        *self.sequences.entry(batch.to).or_insert(0) += batch.values.len() as i32;
        Some(batch)
    }
}

impl Batch {
    pub fn ask(&self) -> Ask {
        Ask::Produce { to: self.to, bytes: self.bytes.clone() }
    }
}

/// Commits offsets of its group, each higher than the one before.
#[derive(Debug)]
pub(crate) struct Committer {
    pub group: String,
    next_offset: i64,
    /// The highest that was acknowledged.
    pub acknowledged: i64,
    /// Number of the request under way, when it was sent, and the offset where it commits one.
    pub asked: Option<(u64, i64, Option<i64>)>,
}

impl Committer {
    pub fn new(index: usize) -> Committer {
        Committer { group: format!("group-{index}"), next_offset: 0, acknowledged: 0, asked: None }
    }

    pub fn waits(&self, now_ms: i64) -> bool {
        self.asked.is_some_and(|(_, sent_ms, _)| now_ms < sent_ms + PATIENCE_MS)
    }

    /// What it asks next, and the offset that it commits with that.
    pub fn next(&mut self, newest: &MetadataImage, random: &mut SeededRandom) -> Option<(Ask, Option<i64>)> {
        newest.topics.topic(CONSUMED)?;
        let group = self.group.clone();
        if random.chance(40) {
            return Some((Ask::CommittedOffset { group }, None));
        }
        self.next_offset += 1;
        let offset = self.next_offset;
        Some((Ask::Commit { group, offset }, Some(offset)))
    }

    /// It was told that an offset is committed.
    pub fn is_possible(&self, offset: i64) -> bool {
        offset >= self.acknowledged && offset <= self.next_offset || offset == -1 && self.acknowledged == 0
    }
}
