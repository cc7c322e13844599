//! The offsets of one partition of `__consumer_offsets`, those of open transactions apart.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use common::Uuid;
use coordinator::Producer;
use foldhash::fast::FixedState;
use protocol::messages::{OffsetCommitKey, OffsetCommitValue};

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    /// The next record to read.
    pub committed_offset: i64,
    /// The epoch of the last record read, or -1.
    pub leader_epoch: i32,
    /// What the client wants to remember with it.
    pub metadata: Box<str>,
    /// When it was committed, in milliseconds.
    pub commit_timestamp_ms: i64,
    /// When it expires, if the client said so; -1 for the broker's retention.
    pub expire_timestamp_ms: i64,
    /// The offset of its record in `__consumer_offsets`.
    pub record_offset: i64,
    /// The topic's id, zero if it was not known.
    pub topic_id: Uuid,
}

type ByPartition = BTreeMap<i32, OffsetAndMetadata>;
type ByTopic = BTreeMap<Arc<str>, ByPartition>;

/// Offsets by group, topic and partition.
///
/// **Invariant:** no group and no topic in here is without offsets.
#[derive(Default)]
pub(super) struct Offsets {
    groups: HashMap<Arc<str>, ByTopic, FixedState>,
}

impl Offsets {
    pub(super) fn of_group(&self, group_id: &str) -> Option<&ByTopic> {
        self.groups.get(group_id)
    }

    pub(super) fn count(&self) -> usize {
        self.groups.values().flat_map(BTreeMap::values).map(BTreeMap::len).sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &ByTopic)> {
        self.groups.iter()
    }

    pub(super) fn get(&self, group_id: &str, topic: &str, partition: i32) -> Option<&OffsetAndMetadata> {
        self.groups.get(group_id)?.get(topic)?.get(&partition)
    }

    pub(super) fn put(&mut self, group_id: &str, topic: &str, partition: i32, offset: OffsetAndMetadata) {
        // Names are looked up before they are allocated: most commits are for a known partition.
        if let Some(partitions) = self.groups.get_mut(group_id).and_then(|topics| topics.get_mut(topic)) {
            partitions.insert(partition, offset);
            return;
        }
        let topics = self.groups.entry(Arc::from(group_id)).or_default();
        topics.entry(Arc::from(topic)).or_default().insert(partition, offset);
    }

    pub(super) fn remove(&mut self, group_id: &str, topic: &str, partition: i32) {
        let Some(topics) = self.groups.get_mut(group_id) else { return };
        if let Some(partitions) = topics.get_mut(topic) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                topics.remove(topic);
            }
        }
        if topics.is_empty() {
            self.groups.remove(group_id);
        }
    }
}

type OpenPartitions = BTreeMap<(Arc<str>, i32), BTreeSet<i64>>;

/// The offsets of one partition of `__consumer_offsets`.
///
/// **Invariant:** `open` names for each group, topic and partition exactly the producers that have an offset for it in
/// `pending`.
#[derive(Default)]
pub struct OffsetMetadataManager {
    pub(super) offsets: Offsets,
    /// The offsets of open transactions, by producer id.
    pending: HashMap<i64, Offsets, FixedState>,
    open: HashMap<Arc<str>, OpenPartitions, FixedState>,
}

impl OffsetMetadataManager {
    /// How many offsets there are, without those of open transactions.
    pub(crate) fn count(&self) -> usize {
        self.offsets.count()
    }

    /// The offset of a partition.
    pub fn offset(&self, group_id: &str, topic: &str, partition: i32) -> Option<&OffsetAndMetadata> {
        self.offsets.get(group_id, topic, partition)
    }

    /// The offset that an open transaction has for a partition.
    pub fn pending_offset(
        &self,
        producer_id: i64,
        group_id: &str,
        topic: &str,
        partition: i32,
    ) -> Option<&OffsetAndMetadata> {
        self.pending.get(&producer_id)?.get(group_id, topic, partition)
    }

    /// Whether an open transaction has an offset for the partition.
    pub fn has_pending(&self, group_id: &str, topic: &str, partition: i32) -> bool {
        self.open.get(group_id).is_some_and(|open| open.contains_key(&(Arc::from(topic), partition)))
    }

    /// Whether an open transaction has an offset for the group.
    pub fn group_has_pending(&self, group_id: &str) -> bool {
        self.open.contains_key(group_id)
    }

    pub(super) fn pending_partitions(&self, group_id: &str) -> impl Iterator<Item = &(Arc<str>, i32)> {
        self.open.get(group_id).into_iter().flat_map(BTreeMap::keys)
    }

    pub(super) fn pending_offsets(&self) -> impl Iterator<Item = &Offsets> {
        self.pending.values()
    }

    pub(crate) fn replay(
        &mut self,
        record_offset: i64,
        producer: Producer,
        key: &OffsetCommitKey,
        value: Option<OffsetCommitValue>,
    ) {
        let (group_id, topic, partition) = (key.group.as_str(), key.topic.as_str(), key.partition);
        let Some(value) = value else {
            self.offsets.remove(group_id, topic, partition);
            self.forget_pending(group_id, topic, partition);
            return;
        };
        let offset = OffsetAndMetadata {
            committed_offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata.into_boxed_str(),
            commit_timestamp_ms: value.commit_timestamp,
            expire_timestamp_ms: value.expire_timestamp,
            record_offset,
            topic_id: value.topic_id,
        };
        if producer.id == Producer::NONE.id {
            self.offsets.put(group_id, topic, partition, offset);
            return;
        }
        self.pending.entry(producer.id).or_default().put(group_id, topic, partition, offset);
        let open = self.open.entry(Arc::from(group_id)).or_default();
        open.entry((Arc::from(topic), partition)).or_default().insert(producer.id);
    }

    /// The partition's offsets in open transactions are void: a tombstone came behind them.
    fn forget_pending(&mut self, group_id: &str, topic: &str, partition: i32) {
        let Some(open) = self.open.get_mut(group_id) else { return };
        for producer_id in open.remove(&(Arc::from(topic), partition)).unwrap_or_default() {
            if let Some(pending) = self.pending.get_mut(&producer_id) {
                pending.remove(group_id, topic, partition);
            }
        }
        if open.is_empty() {
            self.open.remove(group_id);
        }
    }

    pub(crate) fn replay_end_transaction_marker(&mut self, producer_id: i64, committed: bool) {
        let Some(pending) = self.pending.remove(&producer_id) else { return };
        for (group_id, topics) in pending.groups {
            for (topic, partitions) in topics {
                for (partition, offset) in partitions {
                    self.close(&group_id, &topic, partition, producer_id);
                    // A commit outside the transaction may have come behind this one. Without comparing, what is left
                    // of the log after compaction would tell another story than the log did.
                    let is_newer = self
                        .offsets
                        .get(&group_id, &topic, partition)
                        .is_none_or(|existing| offset.record_offset > existing.record_offset);
                    if committed && is_newer {
                        self.offsets.put(&group_id, &topic, partition, offset);
                    }
                }
            }
        }
    }

    fn close(&mut self, group_id: &str, topic: &Arc<str>, partition: i32, producer_id: i64) {
        let Some(open) = self.open.get_mut(group_id) else { return };
        let key = (Arc::clone(topic), partition);
        if let Some(producers) = open.get_mut(&key) {
            producers.remove(&producer_id);
            if producers.is_empty() {
                open.remove(&key);
            }
        }
        if open.is_empty() {
            self.open.remove(group_id);
        }
    }
}
