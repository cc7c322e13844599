//! What changed of the topics (`org.apache.kafka.image.TopicsDelta`, `TopicDelta`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::Uuid;
use protocol::messages::{
    ClearElrRecord, PartitionChangeRecord, PartitionRecord, RemoveTopicRecord, TopicRecord,
};

use crate::error::ReplayError;
use crate::local_changes::LocalReplicaChanges;
use crate::partition_registration::PartitionRegistration;
use crate::topics_image::{TopicImage, TopicsImage};

/// What changed of one topic.
#[derive(Clone, Debug)]
pub struct TopicDelta {
    image: Arc<TopicImage>,
    /// The partitions that are new or changed, as they are now.
    pub partition_changes: BTreeMap<i32, Arc<PartitionRegistration>>,
}

impl TopicDelta {
    fn new(image: Arc<TopicImage>) -> TopicDelta {
        TopicDelta { image, partition_changes: BTreeMap::new() }
    }

    /// The topic before; without partitions if it is new.
    pub fn image(&self) -> &Arc<TopicImage> {
        &self.image
    }

    /// The topic's name.
    pub fn name(&self) -> &Arc<str> {
        &self.image.name
    }

    /// The topic's id.
    pub fn id(&self) -> Uuid {
        self.image.id
    }

    /// A partition with the changes so far.
    fn partition(&self, partition_id: i32) -> Option<&Arc<PartitionRegistration>> {
        self.partition_changes.get(&partition_id).or_else(|| self.image.partition(partition_id))
    }

    fn create_partition(&mut self, record: &PartitionRecord) -> Result<(), ReplayError> {
        let partition = PartitionRegistration::from_record(record)?;
        self.partition_changes.insert(record.partition_id, Arc::new(partition));
        Ok(())
    }

    fn change_partition(&mut self, record: &PartitionChangeRecord) -> Result<(), ReplayError> {
        let current = self.partition(record.partition_id).ok_or(ReplayError::UnknownPartition {
            topic_id: record.topic_id,
            partition: record.partition_id,
        })?;
        let next = current.merge(record)?;
        self.partition_changes.insert(record.partition_id, Arc::new(next));
        Ok(())
    }

    fn clear_elr(&mut self) -> Result<(), ReplayError> {
        let ids: BTreeSet<i32> =
            self.image.partitions.keys().chain(self.partition_changes.keys()).copied().collect();
        for partition_id in ids {
            let Some(partition) = self.partition(partition_id) else { continue };
            if partition.elr.is_empty() && partition.last_known_elr.is_empty() {
                continue;
            }
            self.change_partition(&PartitionChangeRecord {
                partition_id,
                topic_id: self.image.id,
                eligible_leader_replicas: Some(Vec::new()),
                last_known_elr: Some(Vec::new()),
                ..PartitionChangeRecord::default()
            })?;
        }
        Ok(())
    }

    fn apply(&self) -> TopicImage {
        let mut topic = (*self.image).clone();
        topic
            .partitions
            .extend(self.partition_changes.iter().map(|(id, partition)| (*id, Arc::clone(partition))));
        topic
    }
}

/// What changed of the topics.
#[derive(Clone, Debug)]
pub struct TopicsDelta {
    image: Arc<TopicsImage>,
    /// The topics that are new or changed, by id.
    pub changed_topics: BTreeMap<Uuid, TopicDelta>,
    /// The topics of the image before that are gone.
    pub deleted_topic_ids: BTreeSet<Uuid>,
    /// The new topics by name.
    pub created_topics: BTreeMap<Arc<str>, Uuid>,
}

impl TopicsDelta {
    pub(crate) fn new(image: &Arc<TopicsImage>) -> TopicsDelta {
        TopicsDelta {
            image: Arc::clone(image),
            changed_topics: BTreeMap::new(),
            deleted_topic_ids: BTreeSet::new(),
            created_topics: BTreeMap::new(),
        }
    }

    /// The topics before.
    pub fn image(&self) -> &Arc<TopicsImage> {
        &self.image
    }

    /// Whether a topic of this name existed before and was deleted (there may be a new one of its name).
    pub fn topic_was_deleted(&self, name: &str) -> bool {
        self.image.topic(name).is_some_and(|topic| self.deleted_topic_ids.contains(&topic.id))
    }

    pub(crate) fn finish_snapshot(&mut self) {
        for topic in self.image.iter() {
            if !self.changed_topics.contains_key(&topic.id) {
                self.deleted_topic_ids.insert(topic.id);
            }
        }
    }

    pub(crate) fn create_topic(&mut self, record: &TopicRecord) -> Result<(), ReplayError> {
        let image = Arc::new(TopicImage::new(&record.name, record.topic_id));
        self.created_topics.insert(Arc::clone(&image.name), record.topic_id);
        self.changed_topics.insert(record.topic_id, TopicDelta::new(image));
        Ok(())
    }

    fn topic_delta(&mut self, id: Uuid) -> Result<&mut TopicDelta, ReplayError> {
        if !self.changed_topics.contains_key(&id) {
            let before = self.image.topic_by_id(&id).filter(|_| !self.deleted_topic_ids.contains(&id));
            let topic = before.ok_or(ReplayError::UnknownTopicId(id))?;
            self.changed_topics.insert(id, TopicDelta::new(Arc::clone(topic)));
        }
        self.changed_topics.get_mut(&id).ok_or(ReplayError::UnknownTopicId(id))
    }

    pub(crate) fn create_partition(&mut self, record: &PartitionRecord) -> Result<(), ReplayError> {
        self.topic_delta(record.topic_id)?.create_partition(record)
    }

    pub(crate) fn change_partition(&mut self, record: &PartitionChangeRecord) -> Result<(), ReplayError> {
        self.topic_delta(record.topic_id)?.change_partition(record)
    }

    pub(crate) fn clear_elr(&mut self, record: &ClearElrRecord) -> Result<(), ReplayError> {
        let ids: Vec<Uuid> = if record.topic_name.is_empty() {
            let before = self.image.iter().map(|topic| topic.id);
            before.chain(self.created_topics.values().copied()).collect()
        } else {
            let name = record.topic_name.as_str();
            let created = self.created_topics.get(name).copied();
            let id = created.or_else(|| self.image.topic(name).map(|topic| topic.id));
            vec![id.ok_or_else(|| ReplayError::UnknownTopicName(name.to_owned()))?]
        };
        for id in ids {
            if !self.deleted_topic_ids.contains(&id) {
                self.topic_delta(id)?.clear_elr()?;
            }
        }
        Ok(())
    }

    /// Removes a topic and says what it was called.
    pub(crate) fn remove_topic(&mut self, record: &RemoveTopicRecord) -> Result<Arc<str>, ReplayError> {
        let id = record.topic_id;
        let before = self.image.topic_by_id(&id).map(|topic| Arc::clone(&topic.name));
        let changed = self.changed_topics.remove(&id);
        let name = match (&changed, &before) {
            (Some(delta), _) => Arc::clone(delta.name()),
            (None, Some(name)) if !self.deleted_topic_ids.contains(&id) => Arc::clone(name),
            (None, _) => return Err(ReplayError::UnknownTopicId(id)),
        };
        if self.created_topics.get(&name) == Some(&id) {
            self.created_topics.remove(&name);
        }
        if before.is_some() {
            self.deleted_topic_ids.insert(id);
        }
        Ok(name)
    }

    pub(crate) fn apply(&self) -> TopicsImage {
        let mut image = (*self.image).clone();
        for id in &self.deleted_topic_ids {
            image.remove(id);
        }
        for delta in self.changed_topics.values() {
            image.insert(Arc::new(delta.apply()));
        }
        image
    }

    /// What of this a broker has to act on: replicas that it lost, and those that it leads or follows anew.
    pub fn local_changes(&self, broker_id: i32) -> LocalReplicaChanges {
        let mut changes = LocalReplicaChanges::default();
        for delta in self.changed_topics.values() {
            changes.add_topic(delta, broker_id);
        }
        for id in &self.deleted_topic_ids {
            if let Some(topic) = self.image.topic_by_id(id) {
                changes.add_deleted_topic(topic, broker_id);
            }
        }
        changes
    }
}
