//! All partitions of this broker (`kafka.server.ReplicaManager`): follows the metadata, and finds a partition by name or
//! by id without a lock.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use common::{TopicPartition, Uuid};
use foldhash::fast::RandomState;
use metadata::{MetadataDelta, MetadataImage, PartitionRegistration, TopicImage, directory_id};
use parking_lot::Mutex;
use storage::{LogConfig, LogManager};

use crate::{LocalBroker, Partition, PartitionError, ThrottledReplicas};

/// The partitions of this broker.
pub struct ReplicaManager {
    broker: Arc<LocalBroker>,
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
    /// `leader.replication.throttled.replicas`.
    pub leader_throttled: ThrottledReplicas,
    /// `follower.replication.throttled.replicas`.
    pub follower_throttled: ThrottledReplicas,
}

impl PartitionSettings {
    /// Tells a partition of this broker.
    fn apply(&self, partition: &Partition, node_id: i32) {
        partition.log().update_config(Arc::clone(&self.log));
        if let Some(future) = partition.future_log() {
            future.update_config(Arc::clone(&self.log));
        }
        partition.set_min_insync_replicas(self.min_insync_replicas);
        let index = partition.topic_partition().partition;
        partition.throttles().set(
            self.leader_throttled.contains(index, node_id),
            self.follower_throttled.contains(index, node_id),
        );
    }
}

/// The partitions of this broker that a change of the metadata has touched.
#[derive(Default)]
pub struct PartitionChanges {
    /// They are here, and something about them may be new: who leads them, most of all.
    pub changed: Vec<Arc<Partition>>,
    /// They are here no longer.
    pub removed: Vec<Arc<Partition>>,
}

/// What a log directory took with it when it failed.
#[derive(Default)]
pub struct LostReplicas {
    /// These were in it.
    pub offline: Vec<Arc<Partition>>,
    /// These moved there.
    pub moves: Vec<Arc<Partition>>,
}

impl ReplicaManager {
    /// Manages the replicas whose logs `logs` holds.
    pub fn new(broker: Arc<LocalBroker>, logs: Arc<LogManager>) -> ReplicaManager {
        ReplicaManager { broker, logs, table: ArcSwap::default(), changing: Mutex::new(()) }
    }

    /// What partitions know of the brokers.
    pub fn local_broker(&self) -> &Arc<LocalBroker> {
        &self.broker
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

    /// All partitions here.
    pub fn partitions(&self) -> Vec<Arc<Partition>> {
        let table = self.table.load();
        table.by_name.values().flat_map(|topic| topic.partitions()).cloned().collect()
    }

    /// Follows a change of the metadata: makes and opens logs, removes those of replicas that are no longer here, begins or ends
    /// leading. What cannot be done for one partition is logged and does not hold up the others.
    pub fn apply(
        &self,
        delta: &MetadataDelta,
        image: &MetadataImage,
        settings: &dyn Fn(&str) -> PartitionSettings,
        now_ms: i64,
    ) -> PartitionChanges {
        let mut changes = PartitionChanges::default();
        if delta.cluster_delta().is_some() {
            self.broker.follow(image);
        }
        let Some(topics) = delta.topics_delta() else { return changes };
        let _changing = self.changing.lock();
        let mut table = Table::clone(&self.table.load());
        for id in &topics.deleted_topic_ids {
            if let Some(topic) = table.by_id.remove(id) {
                // A topic of the same name may have come in the same change.
                if table.by_name.get(&topic.name).is_some_and(|other| other.id == *id) {
                    table.by_name.remove(&topic.name);
                }
                for partition in topic.partitions() {
                    self.remove(partition, &mut changes, now_ms);
                }
            }
        }
        for (id, changed) in &topics.changed_topics {
            let Some(topic) = image.topics.topic_by_id(id) else { continue };
            let changed = changed.partition_changes.keys().copied();
            let hosted = self.host(topic, changed, table.by_id.get(id), settings, &mut changes, now_ms);
            let hosted = Arc::new(hosted);
            table.by_name.insert(Arc::clone(&hosted.name), Arc::clone(&hosted));
            table.by_id.insert(*id, hosted);
        }
        self.table.store(Arc::new(table));
        if !changes.removed.is_empty()
            && let Err(error) = self.logs.finish_deletions()
        {
            tracing::error!(%error, "a power loss may bring deleted logs back");
        }
        for partition in &changes.removed {
            partition.wake_all();
        }
        changes
    }

    fn host(
        &self,
        topic: &TopicImage,
        changed: impl Iterator<Item = i32>,
        before: Option<&Arc<HostedTopic>>,
        settings: &dyn Fn(&str) -> PartitionSettings,
        changes: &mut PartitionChanges,
        now_ms: i64,
    ) -> HostedTopic {
        // Worked out once for a topic, and only where a partition of it is new.
        let settings = LazyCell::new(|| settings(&topic.name));
        let mut hosted = match before {
            Some(before) => HostedTopic::clone(before),
            None => HostedTopic { name: Arc::clone(&topic.name), id: topic.id, partitions: Vec::new() },
        };
        for index in changed {
            let (Some(registration), Ok(position)) = (topic.partitions.get(&index), usize::try_from(index))
            else {
                continue;
            };
            if !registration.replicas.contains(&self.broker.node_id()) {
                if let Some(removed) = hosted.partitions.get_mut(position).and_then(Option::take) {
                    self.remove(&removed, changes, now_ms);
                }
                continue;
            }
            if hosted.partitions.len() <= position {
                hosted.partitions.resize(position + 1, None);
            }
            let result = match &hosted.partitions[position] {
                Some(partition) => {
                    partition.update(Arc::clone(registration), now_ms).map(|()| Arc::clone(partition))
                }
                None if self.may_lie_offline(topic, index, registration) => {
                    // **Invariant:** a replica that may lie in a directory that has failed is not begun anew in another.
                    if before.is_none() {
                        tracing::warn!(
                            topic = %topic.name, partition = index,
                            "the replica is not made here: it may lie in a log directory that is offline"
                        );
                    }
                    continue;
                }
                None => self.open(topic, index, registration, &settings, now_ms).map(Arc::new),
            };
            match result {
                Ok(partition) => {
                    changes.changed.push(Arc::clone(&partition));
                    hosted.partitions[position] = Some(partition);
                }
                Err(PartitionError::Offline) => {
                    tracing::debug!(topic = %topic.name, partition = index, "the replica is in a log directory that is offline");
                }
                Err(error) => {
                    tracing::error!(topic = %topic.name, partition = index, %error, "the partition cannot be served");
                }
            }
        }
        hosted
    }

    /// Whether the log of a replica that is not open may be in a directory that has failed
    /// (`Partition.createLogInAssignedDirectoryId`).
    fn may_lie_offline(&self, topic: &TopicImage, index: i32, registration: &PartitionRegistration) -> bool {
        if self.logs.get_log(&TopicPartition::new(Arc::clone(&topic.name), index)).is_some() {
            return false;
        }
        let Some(directory) = registration.directory(self.broker.node_id()) else { return false };
        directory != directory_id::UNASSIGNED
            && self.logs.has_offline_dirs()
            && !self.logs.is_directory_online(directory)
    }

    /// A log directory has failed: its replicas serve nobody any more, and whoever waits for one of them learns it now; no replica
    /// moves there any more (`ReplicaManager.handleLogDirFailure`).
    pub fn handle_log_dir_failure(&self, dir: &Path) -> LostReplicas {
        let _no_change_meanwhile = self.changing.lock();
        let mut lost = LostReplicas::default();
        for partition in self.partitions() {
            if partition.future_log().is_some_and(|future| future.dir_health().dir() == dir) {
                partition.set_future(None);
                lost.moves.push(Arc::clone(&partition));
            }
            if partition.log().dir_health().dir() == dir {
                lost.offline.push(partition);
            }
        }
        self.logs.handle_log_dir_failure(dir);
        for partition in &lost.offline {
            partition.wake_all();
        }
        lost
    }

    /// Gives up the move of a replica to another log directory. Returns whether there was one.
    pub fn end_move(&self, partition: &Partition, now_ms: i64) -> bool {
        let _no_step_meanwhile = partition.no_step_of_a_move();
        partition.set_future(None);
        self.logs.delete_future_log(partition.topic_partition(), now_ms).unwrap_or_else(|error| {
            tracing::error!(partition = %partition.topic_partition(), %error, "what a move has copied cannot be deleted");
            true
        })
    }

    /// Begins to move a replica to a log directory, or gives up the move that is under way where that goes elsewhere. A move to the
    /// directory that the replica is in only gives up. Returns whether a move has begun (`ReplicaManager.alterReplicaLogDirs`).
    ///
    /// # Errors
    /// If the directory is none of this broker's, or it or the replica's has failed.
    pub fn alter_log_dir(
        &self,
        partition: &Partition,
        dir: &Path,
        now_ms: i64,
    ) -> Result<bool, PartitionError> {
        let _no_change_meanwhile = self.changing.lock();
        partition.check_online()?;
        let dir = self.logs.check_dir(dir)?;
        if let Some(future) = partition.future_log() {
            if future.dir_health().dir() == dir {
                return Ok(false);
            }
            self.end_move(partition, now_ms);
        }
        if partition.log().dir_health().dir() == dir {
            return Ok(false);
        }
        let future = self.logs.create_future_log(partition.topic_partition(), &dir, now_ms)?;
        partition.set_future(Some(future));
        Ok(true)
    }

    fn open(
        &self,
        topic: &TopicImage,
        index: i32,
        registration: &Arc<PartitionRegistration>,
        settings: &PartitionSettings,
        now_ms: i64,
    ) -> Result<Partition, PartitionError> {
        let name = TopicPartition::new(Arc::clone(&topic.name), index);
        let (id, config) = (Some(topic.id), Arc::clone(&settings.log));
        let recorded = registration.directory(self.broker.node_id());
        self.logs.recover_future_log(&name, recorded, now_ms)?;
        let future = self.logs.future_log(&name);
        let log = match registration.directory(self.broker.node_id()) {
            Some(directory) => self.logs.create_log_in(&name, id, config, directory, now_ms)?,
            None => self.logs.create_log(&name, id, config, now_ms)?,
        };
        let partition = Partition::new(
            name,
            topic.id,
            Arc::clone(&self.broker),
            log,
            Arc::clone(registration),
            settings.min_insync_replicas,
            now_ms,
        )?;
        // A move that the last stop of the broker has interrupted goes on.
        partition.set_future(future);
        settings.apply(&partition, self.broker.node_id());
        Ok(partition)
    }

    /// A replica that is no longer here: nothing is written any more, then its log goes.
    fn remove(&self, partition: &Arc<Partition>, changes: &mut PartitionChanges, now_ms: i64) {
        partition.close();
        self.end_move(partition, now_ms);
        if let Err(error) = self.logs.begin_deletion(partition.topic_partition(), now_ms) {
            tracing::error!(partition = %partition.topic_partition(), %error, "the log cannot be deleted");
        }
        changes.removed.push(Arc::clone(partition));
    }

    /// A topic's configuration has changed.
    pub fn update_settings(&self, topic: &str, settings: &PartitionSettings) {
        let Some(topic) = self.topic(topic) else { return };
        for partition in topic.partitions() {
            settings.apply(partition, self.broker.node_id());
        }
    }
}
