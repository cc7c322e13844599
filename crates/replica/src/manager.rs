//! All partitions of this broker (`kafka.server.ReplicaManager`): follows the metadata, and finds a partition by name or
//! by id without a lock.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use common::{TopicPartition, Uuid};
use foldhash::fast::RandomState;
use metadata::{MetadataDelta, MetadataImage, PartitionRegistration, TopicImage};
use parking_lot::Mutex;
use storage::{LogConfig, LogManager};

use crate::{Partition, PartitionError};

/// The partitions of this broker.
pub struct ReplicaManager {
    node_id: i32,
    logs: Arc<LogManager>,
    table: ArcSwap<Table>,
    /// Held while the table is changed; readers never take it.
    changing: Mutex<()>,
}

#[derive(Clone, Default)]
struct Table {
    by_name: HashMap<Arc<str>, Arc<HostedTopic>, RandomState>,
    by_id: HashMap<Uuid, Arc<HostedTopic>, RandomState>,
}

/// A topic of which this broker has replicas.
#[derive(Clone)]
pub struct HostedTopic {
    /// The topic's name.
    pub name: Arc<str>,
    /// The topic's id.
    pub id: Uuid,
    partitions: Vec<Option<Arc<Partition>>>,
}

impl HostedTopic {
    /// The partition with this index, if this broker has a replica of it.
    pub fn partition(&self, index: i32) -> Option<&Arc<Partition>> {
        self.partitions.get(usize::try_from(index).ok()?)?.as_ref()
    }

    /// All partitions here.
    pub fn partitions(&self) -> impl Iterator<Item = &Arc<Partition>> {
        self.partitions.iter().flatten()
    }
}

/// What a topic's configuration means for its partitions.
#[derive(Debug, Clone)]
pub struct PartitionSettings {
    /// What the log does.
    pub log: Arc<LogConfig>,
    /// `min.insync.replicas`.
    pub min_insync_replicas: usize,
}

impl ReplicaManager {
    /// Manages the replicas whose logs `logs` holds.
    pub fn new(node_id: i32, logs: Arc<LogManager>) -> ReplicaManager {
        ReplicaManager { node_id, logs, table: ArcSwap::default(), changing: Mutex::new(()) }
    }

    /// The logs.
    pub fn logs(&self) -> &Arc<LogManager> {
        &self.logs
    }

    /// The topic with this name, if there are replicas of it here.
    pub fn topic(&self, name: &str) -> Option<Arc<HostedTopic>> {
        self.table.load().by_name.get(name).cloned()
    }

    /// The topic with this id, if there are replicas of it here.
    pub fn topic_by_id(&self, id: Uuid) -> Option<Arc<HostedTopic>> {
        self.table.load().by_id.get(&id).cloned()
    }

    /// A partition by its topic's name.
    pub fn partition(&self, topic: &str, index: i32) -> Option<Arc<Partition>> {
        self.table.load().by_name.get(topic)?.partition(index).cloned()
    }

    /// A partition by its topic's id.
    pub fn partition_by_id(&self, topic: Uuid, index: i32) -> Option<Arc<Partition>> {
        self.table.load().by_id.get(&topic)?.partition(index).cloned()
    }

    /// All topics here.
    pub fn topics(&self) -> Vec<Arc<HostedTopic>> {
        self.table.load().by_name.values().cloned().collect()
    }

    /// Follows a change of the metadata: makes and opens logs, removes those of deleted topics, begins or ends leading.
    /// What cannot be done for one partition is logged and does not hold up the others.
    pub fn apply(
        &self,
        delta: &MetadataDelta,
        image: &MetadataImage,
        settings: &dyn Fn(&str) -> PartitionSettings,
        now_ms: i64,
    ) {
        let Some(topics) = delta.topics_delta() else { return };
        let _changing = self.changing.lock();
        let mut table = Table::clone(&self.table.load());
        for id in &topics.deleted_topic_ids {
            if let Some(topic) = table.by_id.remove(id) {
                // A topic of the same name may have come in the same change.
                if table.by_name.get(&topic.name).is_some_and(|other| other.id == *id) {
                    table.by_name.remove(&topic.name);
                }
                self.delete_topic(&topic, now_ms);
            }
        }
        for id in topics.changed_topics.keys() {
            let Some(topic) = image.topics.topic_by_id(id) else { continue };
            let hosted = self.host(topic, table.by_id.get(id), settings, now_ms);
            let hosted = Arc::new(hosted);
            table.by_name.insert(Arc::clone(&hosted.name), Arc::clone(&hosted));
            table.by_id.insert(*id, hosted);
        }
        self.table.store(Arc::new(table));
    }

    fn host(
        &self,
        topic: &TopicImage,
        before: Option<&Arc<HostedTopic>>,
        settings: &dyn Fn(&str) -> PartitionSettings,
        now_ms: i64,
    ) -> HostedTopic {
        let mut hosted = match before {
            Some(before) => HostedTopic::clone(before),
            None => HostedTopic { name: Arc::clone(&topic.name), id: topic.id, partitions: Vec::new() },
        };
        for (index, registration) in &topic.partitions {
            let Ok(position) = usize::try_from(*index) else { continue };
            if !registration.replicas.contains(&self.node_id) {
                continue;
            }
            if hosted.partitions.len() <= position {
                hosted.partitions.resize(position + 1, None);
            }
            let result = match &hosted.partitions[position] {
                Some(partition) => partition.update(Arc::clone(registration)),
                None => {
                    self.open(topic, *index, registration, &settings(&topic.name), now_ms).map(|partition| {
                        hosted.partitions[position] = Some(Arc::new(partition));
                    })
                }
            };
            if let Err(error) = result {
                tracing::error!(topic = %topic.name, partition = index, %error, "the partition cannot be served");
            }
        }
        hosted
    }

    fn open(
        &self,
        topic: &TopicImage,
        index: i32,
        registration: &Arc<PartitionRegistration>,
        settings: &PartitionSettings,
        now_ms: i64,
    ) -> Result<Partition, PartitionError> {
        let topic_partition = TopicPartition::new(Arc::clone(&topic.name), index);
        let log =
            self.logs.create_log(&topic_partition, Some(topic.id), Arc::clone(&settings.log), now_ms)?;
        Partition::new(
            topic_partition,
            topic.id,
            self.node_id,
            log,
            Arc::clone(registration),
            settings.min_insync_replicas,
        )
    }

    fn delete_topic(&self, topic: &HostedTopic, now_ms: i64) {
        for partition in topic.partitions() {
            if let Err(error) = self.logs.delete_log(partition.topic_partition(), now_ms) {
                tracing::error!(partition = %partition.topic_partition(), %error, "the log cannot be deleted");
            }
            partition.close();
        }
    }

    /// A topic's configuration has changed.
    pub fn update_settings(&self, topic: &str, settings: &PartitionSettings) {
        let Some(topic) = self.topic(topic) else { return };
        for partition in topic.partitions() {
            partition.log().update_config(Arc::clone(&settings.log));
            partition.set_min_insync_replicas(settings.min_insync_replicas);
        }
    }
}
