//! The topics and partitions as the controller knows them, with the ways in which it looks for partitions
//! (`org.apache.kafka.controller.ReplicationControlManager`, `BrokersToIsrs`, `BrokersToElrs`).
//!
//! This is the state and its replay; the requests that change it have a file each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::{TopicIdPartition, Uuid};
use metadata::{PartitionRegistration, ReplayError};
use protocol::messages::{
    ClearElrRecord, PartitionChangeRecord, PartitionRecord, RemoveTopicRecord, TopicRecord,
};

/// A topic.
#[derive(Clone, Debug)]
pub struct TopicControlInfo {
    /// Its name.
    pub name: Arc<str>,
    /// Its id.
    pub id: Uuid,
    /// Its partitions by index.
    pub parts: BTreeMap<i32, Arc<PartitionRegistration>>,
}

type Partitions = BTreeSet<TopicIdPartition>;

/// Sets of partitions by some key; a key without any has no entry.
#[derive(Clone, Debug)]
struct Index<K>(BTreeMap<K, Partitions>);

impl<K> Default for Index<K> {
    fn default() -> Self {
        Index(BTreeMap::new())
    }
}

impl<K: Ord + Copy> Index<K> {
    fn add(&mut self, key: K, partition: TopicIdPartition) {
        self.0.entry(key).or_default().insert(partition);
    }

    fn remove(&mut self, key: K, partition: TopicIdPartition) {
        if let Some(partitions) = self.0.get_mut(&key) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                self.0.remove(&key);
            }
        }
    }

    fn get(&self, key: &K) -> Vec<TopicIdPartition> {
        self.0.get(key).map(|partitions| partitions.iter().copied().collect()).unwrap_or_default()
    }
}

/// The topics and partitions.
///
/// **Invariant:** every index holds exactly the partitions that its key describes; they change only together with
/// [`TopicControlInfo::parts`].
#[derive(Clone, Debug, Default)]
pub struct ReplicationControlManager {
    topics: BTreeMap<Uuid, TopicControlInfo>,
    topics_by_name: BTreeMap<Arc<str>, Uuid>,
    /// Names with `.` or `_`, by the name with `_` for both.
    colliding_names: BTreeMap<String, BTreeSet<Arc<str>>>,
    isr_members: Index<i32>,
    elr_members: Index<i32>,
    leaders: Index<i32>,
    directories: Index<Uuid>,
    leaderless: Partitions,
    imbalanced: Partitions,
    reassigning: Partitions,
}

fn unified(name: &str) -> String {
    name.replace('.', "_")
}

impl ReplicationControlManager {
    /// The topic with this id.
    pub fn topic(&self, id: &Uuid) -> Option<&TopicControlInfo> {
        self.topics.get(id)
    }

    /// The topic of this name.
    pub fn topic_by_name(&self, name: &str) -> Option<&TopicControlInfo> {
        self.topics.get(self.topics_by_name.get(name)?)
    }

    /// All topics by name.
    pub fn topics(&self) -> impl Iterator<Item = &TopicControlInfo> {
        self.topics_by_name.values().filter_map(|id| self.topics.get(id))
    }

    /// A partition, with the topic that it belongs to.
    pub fn partition(
        &self,
        id: TopicIdPartition,
    ) -> Option<(&TopicControlInfo, &Arc<PartitionRegistration>)> {
        let topic = self.topics.get(&id.topic_id)?;
        Some((topic, topic.parts.get(&id.partition)?))
    }

    /// A topic whose name differs from this one in `.` and `_` at most.
    pub fn colliding_topic(&self, name: &str) -> Option<&Arc<str>> {
        if !name.contains(['.', '_']) {
            return None;
        }
        self.colliding_names.get(&unified(name))?.first()
    }

    /// The partitions that have a broker in their ISR.
    pub fn partitions_with_broker_in_isr(&self, broker_id: i32) -> Vec<TopicIdPartition> {
        self.isr_members.get(&broker_id)
    }

    /// The partitions that have a broker among their eligible leader replicas.
    pub fn partitions_with_broker_in_elr(&self, broker_id: i32) -> Vec<TopicIdPartition> {
        self.elr_members.get(&broker_id)
    }

    /// The partitions with a replica in a directory.
    pub fn partitions_in_directory(&self, directory: &Uuid) -> Vec<TopicIdPartition> {
        self.directories.get(directory)
    }

    /// The partitions that nobody leads.
    pub fn partitions_with_no_leader(&self) -> Vec<TopicIdPartition> {
        self.leaderless.iter().copied().collect()
    }

    /// The partitions that another than the preferred replica leads, or nobody.
    pub fn imbalanced_partitions(&self) -> Vec<TopicIdPartition> {
        self.imbalanced.iter().copied().collect()
    }

    /// The partitions whose replicas are being moved.
    pub fn reassigning_partitions(&self) -> Vec<TopicIdPartition> {
        self.reassigning.iter().copied().collect()
    }

    /// Whether a broker leads anything.
    pub fn has_leaderships(&self, broker_id: i32) -> bool {
        self.leaders.0.contains_key(&broker_id)
    }

    /// Replays a new topic.
    pub fn replay_topic(&mut self, record: &TopicRecord) -> Result<(), ReplayError> {
        if let Some(existing) = self.topics_by_name.get(record.name.as_str()) {
            return Err(ReplayError::DuplicateTopic { name: record.name.clone(), existing: *existing });
        }
        let name: Arc<str> = Arc::from(record.name.as_str());
        if name.contains(['.', '_']) {
            self.colliding_names.entry(unified(&name)).or_default().insert(Arc::clone(&name));
        }
        self.topics_by_name.insert(Arc::clone(&name), record.topic_id);
        let topic = TopicControlInfo { name, id: record.topic_id, parts: BTreeMap::new() };
        self.topics.insert(record.topic_id, topic);
        Ok(())
    }

    /// Replays a new partition, or one in the place of another.
    pub fn replay_partition(&mut self, record: &PartitionRecord) -> Result<(), ReplayError> {
        let partition = PartitionRegistration::from_record(record)?;
        let id = TopicIdPartition { topic_id: record.topic_id, partition: record.partition_id };
        self.put_partition(id, partition)
    }

    /// Replays a change of a partition.
    pub fn replay_partition_change(&mut self, record: &PartitionChangeRecord) -> Result<(), ReplayError> {
        let id = TopicIdPartition { topic_id: record.topic_id, partition: record.partition_id };
        let topic = self.topics.get(&id.topic_id).ok_or(ReplayError::UnknownTopicId(id.topic_id))?;
        let unknown = ReplayError::UnknownPartition { topic_id: id.topic_id, partition: id.partition };
        let next = topic.parts.get(&id.partition).ok_or(unknown)?.merge(record)?;
        self.put_partition(id, next)
    }

    fn put_partition(
        &mut self,
        id: TopicIdPartition,
        partition: PartitionRegistration,
    ) -> Result<(), ReplayError> {
        let topic = self.topics.get_mut(&id.topic_id).ok_or(ReplayError::UnknownTopicId(id.topic_id))?;
        let partition = Arc::new(partition);
        let before = topic.parts.insert(id.partition, Arc::clone(&partition));
        if let Some(before) = before {
            self.remove_from_indexes(id, &before);
        }
        self.add_to_indexes(id, &partition);
        Ok(())
    }

    fn add_to_indexes(&mut self, id: TopicIdPartition, partition: &PartitionRegistration) {
        for broker in &partition.isr {
            self.isr_members.add(*broker, id);
        }
        for broker in &partition.elr {
            self.elr_members.add(*broker, id);
        }
        for directory in partition.directories.iter().filter(|directory| !directory.is_reserved()) {
            self.directories.add(*directory, id);
        }
        if partition.has_leader() {
            self.leaders.add(partition.leader, id);
        } else {
            self.leaderless.insert(id);
        }
        if !partition.has_preferred_leader() {
            self.imbalanced.insert(id);
        }
        if partition.is_reassignment_in_progress() {
            self.reassigning.insert(id);
        }
    }

    fn remove_from_indexes(&mut self, id: TopicIdPartition, partition: &PartitionRegistration) {
        for broker in &partition.isr {
            self.isr_members.remove(*broker, id);
        }
        for broker in &partition.elr {
            self.elr_members.remove(*broker, id);
        }
        for directory in &partition.directories {
            self.directories.remove(*directory, id);
        }
        self.leaders.remove(partition.leader, id);
        self.leaderless.remove(&id);
        self.imbalanced.remove(&id);
        self.reassigning.remove(&id);
    }

    /// Replays that a topic is gone, and says what it was called.
    pub fn replay_remove_topic(&mut self, record: &RemoveTopicRecord) -> Result<Arc<str>, ReplayError> {
        let topic =
            self.topics.remove(&record.topic_id).ok_or(ReplayError::UnknownTopicId(record.topic_id))?;
        self.topics_by_name.remove(&topic.name);
        let unified = unified(&topic.name);
        if let Some(names) = self.colliding_names.get_mut(&unified) {
            names.remove(&topic.name);
            if names.is_empty() {
                self.colliding_names.remove(&unified);
            }
        }
        for (partition_id, partition) in &topic.parts {
            let id = TopicIdPartition { topic_id: topic.id, partition: *partition_id };
            self.remove_from_indexes(id, partition);
        }
        Ok(topic.name)
    }

    /// Replays that the eligible leader replicas of a topic, or of all, are forgotten.
    pub fn replay_clear_elr(&mut self, record: &ClearElrRecord) -> Result<(), ReplayError> {
        let ids: Vec<Uuid> = if record.topic_name.is_empty() {
            self.topics.keys().copied().collect()
        } else {
            let id = self.topics_by_name.get(record.topic_name.as_str());
            vec![*id.ok_or_else(|| ReplayError::UnknownTopicName(record.topic_name.clone()))?]
        };
        for topic_id in ids {
            let Some(topic) = self.topics.get(&topic_id) else { continue };
            let with_elr = topic
                .parts
                .iter()
                .filter(|(_, part)| !part.elr.is_empty() || !part.last_known_elr.is_empty());
            let partition_ids: Vec<i32> = with_elr.map(|(id, _)| *id).collect();
            for partition_id in partition_ids {
                self.replay_partition_change(&PartitionChangeRecord {
                    partition_id,
                    topic_id,
                    eligible_leader_replicas: Some(Vec::new()),
                    last_known_elr: Some(Vec::new()),
                    ..PartitionChangeRecord::default()
                })?;
            }
        }
        Ok(())
    }
}
