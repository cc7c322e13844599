//! The broker in a process: the real `ReplicaManager`, fetchers and group coordinators over its logs, following the metadata in the
//! order in which `server`'s publisher does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::topic::GROUP_METADATA_TOPIC;
use common::{ErrorCode, TopicIdPartition, TopicPartition, Uuid};
use coordinator::{Appended, CoordinatorLog};
use group::{DeletedTopic, GroupConfig, GroupCoordinator, TopicsChange};
use metadata::{LoaderUpdate, MetadataDelta, MetadataImage, PartitionRegistration};
use protocol::messages::ListOffsetsRequest;
use protocol::messages::fetch_request::FetchPartition;
use replica::{
    LocalBroker, Partition, PartitionChanges, PartitionSettings, ReplicaFetcher, ReplicaManager,
    ThrottledReplicas,
};
use storage::{AppendOrigin, LogConfig, LogManager, LogManagerConfig};

use super::messages::uuid;
use super::node::{CLUSTER, Node, Plan};
use crate::offsets::{self, Topics};
use crate::planted::Planted;

/// `replica.lag.time.max.ms`
pub(crate) const MAX_LAG_MS: i64 = 1_000;

/// What a leader knows of a follower's fetches: the session's id, the epoch that comes next, and what is fetched.
pub(crate) type Session = (i32, i32, BTreeMap<TopicIdPartition, FetchPartition>);

/// Fetches from one leader.
pub(crate) struct Fetcher {
    pub fetcher: ReplicaFetcher,
    /// The number of the request under way, and when it was sent.
    pub asked: Option<(u64, i64)>,
    /// What is asked, where it is no fetch.
    pub looking: Option<ListOffsetsRequest>,
    /// Nothing is asked before.
    pub rests_until_ms: i64,
}

/// An append that waits until it is committed.
pub(crate) struct Unacknowledged {
    pub number: u64,
    pub partition: Arc<Partition>,
    pub leader_epoch: i32,
    pub last_offset: i64,
}

pub(crate) struct Broker {
    pub logs: Arc<LogManager>,
    pub replicas: Arc<ReplicaManager>,
    pub groups: GroupCoordinator,
    pub image: Arc<MetadataImage>,
    pub fetchers: BTreeMap<i32, Fetcher>,
    pub sessions: BTreeMap<i32, Session>,
    pub unacknowledged: Vec<Unacknowledged>,
    /// Up to where the coordinators know that their log is committed.
    told_committed: BTreeMap<i32, i64>,
    /// Of each replica the high watermark, and up to where its committed records were looked at.
    pub seen: BTreeMap<TopicIdPartition, (i64, i64)>,
    settings: PartitionSettings,
    pub planted: Option<Planted>,
}

/// The coordinators' way to their log.
struct OffsetsLog {
    replicas: Arc<ReplicaManager>,
    planted: Option<Planted>,
}

impl CoordinatorLog for OffsetsLog {
    fn append(&self, index: i32, batch: &[u8], now_ms: i64) -> Result<Appended, ErrorCode> {
        let partition = self.replicas.partition(GROUP_METADATA_TOPIC, index);
        let partition = partition.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let appended = partition
            .append_as_leader(batch, AppendOrigin::Coordinator, true, now_ms)
            .map_err(|error| error.error_code())?;
        if appended.needs_flush {
            partition.log().flush().map_err(|error| error.error_code())?;
            partition.synced(&appended, now_ms);
        }
        let high_watermark = match self.planted {
            Some(Planted::OffsetBeforeReplication) => appended.last_offset + 1,
            _ => partition.log().high_watermark(),
        };
        Ok(Appended { last_offset: appended.last_offset, high_watermark })
    }

    fn max_batch_size(&self, _: i32) -> usize {
        1_000_000
    }
}

impl Broker {
    /// Loads the logs, and follows the metadata from an image on.
    pub fn start(
        node: &Node,
        plan: &Plan,
        image: &MetadataImage,
        planted: Option<Planted>,
        now_ms: i64,
    ) -> Result<Broker, String> {
        let config = Arc::new(LogConfig {
            segment_size: 3000,
            index_interval: 500,
            flush_interval: if plan.syncs { 1 } else { i64::MAX },
            file_delete_delay_ms: 500,
            ..LogConfig::default()
        });
        let failed = |error: &dyn std::fmt::Display| error.to_string();
        let logs = LogManager::open(LogManagerConfig {
            log_dirs: vec![node.data_dir()],
            cluster_id: Some(CLUSTER.to_owned()),
            node_id: node.id,
            num_recovery_threads_per_data_dir: 1,
            default_config: Arc::clone(&config),
            producer_id_expiration_ms: 86_400_000,
        });
        let logs = Arc::new(logs.map_err(|error| failed(&error))?);
        let is_stray = |partition: &TopicPartition, id: Option<Uuid>| {
            let topic = image.topics.topic(&partition.topic);
            topic.is_none_or(|topic| id.is_some_and(|id| id != topic.id))
        };
        logs.load(&|_| Some(Arc::clone(&config)), &is_stray, now_ms).map_err(|error| failed(&error))?;
        if plan.syncs {
            // What survived in the memory of the system counts from now on as what these replicas have.
            for log in logs.logs() {
                log.flush().map_err(|error| failed(&error))?;
            }
        }
        let local = Arc::new(LocalBroker::new(node.id, MAX_LAG_MS));
        let replicas = Arc::new(ReplicaManager::new(local, Arc::clone(&logs)));
        let offsets = OffsetsLog { replicas: Arc::clone(&replicas), planted };
        let ids = AtomicU64::new(node.incarnation * 1_000_000);
        let groups = GroupCoordinator::with_ids(
            GroupConfig { offsets_commit_timeout_ms: 1_000, ..GroupConfig::default() },
            Arc::new(offsets),
            Box::new(|_| {}),
            Box::new(move || uuid(3, ids.fetch_add(1, Ordering::Relaxed))),
        );
        let mut broker = Broker {
            logs,
            replicas,
            groups,
            image: Arc::new(MetadataImage::empty()),
            fetchers: BTreeMap::new(),
            sessions: BTreeMap::new(),
            unacknowledged: Vec::new(),
            told_committed: BTreeMap::new(),
            seen: BTreeMap::new(),
            settings: PartitionSettings {
                log: config,
                min_insync_replicas: 2,
                leader_throttled: ThrottledReplicas::None,
                follower_throttled: ThrottledReplicas::None,
            },
            planted,
        };
        let mut delta = MetadataDelta::new(&MetadataImage::empty());
        for (record, _) in controller::snapshot_records(image).map_err(|error| failed(&error))? {
            delta.replay(&record).map_err(|error| failed(&error))?;
        }
        broker.follow(&delta, image, now_ms);
        Ok(broker)
    }

    pub fn node_id(&self) -> i32 {
        self.replicas.local_broker().node_id()
    }

    /// All replicas here, by their ids.
    pub fn partitions(&self) -> BTreeMap<TopicIdPartition, Arc<Partition>> {
        self.replicas.partitions().into_iter().map(|partition| (id_of(&partition), partition)).collect()
    }

    pub fn partition(&self, id: &TopicIdPartition) -> Option<Arc<Partition>> {
        self.replicas.partition_by_id(id.topic_id, id.partition)
    }

    /// Acts on a new image.
    pub fn publish(&mut self, update: &LoaderUpdate, now_ms: i64) {
        self.follow(&update.delta, &update.image, now_ms);
    }

    fn follow(&mut self, delta: &MetadataDelta, image: &MetadataImage, now_ms: i64) {
        let before = Arc::clone(&self.image);
        let changes = self.replicas.apply(delta, image, &|_| self.settings.clone(), now_ms);
        for partition in &changes.removed {
            self.seen.remove(&id_of(partition));
        }
        if self.planted == Some(Planted::StaleIsr) {
            changes.changed.iter().for_each(|partition| keep_another_isr(partition, now_ms));
        }
        self.update_coordinators(delta, image, now_ms);
        self.image = Arc::new(image.clone());
        self.update_fetchers(&changes, now_ms);
        let Some(topics) = delta.topics_delta() else { return };
        let deleted: Vec<DeletedTopic> = topics
            .deleted_topic_ids
            .iter()
            .filter_map(|id| before.topics.topic_by_id(id))
            .map(|topic| DeletedTopic { id: topic.id, name: topic.name.to_string() })
            .collect();
        let changed: BTreeSet<String> =
            topics.changed_topics.values().map(|topic| topic.name().to_string()).collect();
        let change = TopicsChange {
            created: !topics.created_topics.is_empty(),
            names: changed.into_iter().chain(deleted.iter().map(|topic| topic.name.clone())).collect(),
        };
        self.groups.on_metadata_update(Arc::new(Topics(Arc::clone(&self.image))), &change, now_ms);
        if !deleted.is_empty() {
            self.groups.on_topics_deleted(&deleted, now_ms);
        }
    }

    fn update_fetchers(&mut self, changes: &PartitionChanges, now_ms: i64) {
        for partition in &changes.removed {
            self.fetchers.values_mut().for_each(|of| of.fetcher.remove(partition));
        }
        for partition in &changes.changed {
            let registration = partition.registration();
            let follows = registration.leader >= 0 && registration.leader != self.node_id();
            if self.planted == Some(Planted::DeafFollower) && registration.leader_epoch % 4 == 3 {
                continue;
            }
            for (_, of) in self.fetchers.iter_mut().filter(|(id, _)| !follows || **id != registration.leader)
            {
                of.fetcher.remove(partition);
            }
            if follows && !partition.is_offline() {
                let (broker, logs) = (self.replicas.local_broker(), &self.logs);
                let of = self.fetchers.entry(registration.leader).or_insert_with(|| Fetcher {
                    fetcher: ReplicaFetcher::new(
                        replica::FetcherConfig {
                            max_bytes: 600,
                            response_max_bytes: 2000,
                            min_bytes: 1,
                            max_wait_ms: 0,
                            backoff_ms: 200,
                        },
                        Arc::clone(broker),
                        Arc::clone(logs),
                    ),
                    asked: None,
                    looking: None,
                    rests_until_ms: 0,
                });
                of.fetcher.add(Arc::clone(partition), registration.leader_epoch, now_ms);
            }
        }
    }

    fn update_coordinators(&mut self, delta: &MetadataDelta, image: &MetadataImage, now_ms: i64) {
        let Some(topics) = delta.topics_delta() else { return };
        if let Some(topic) = image.topics.topic(GROUP_METADATA_TOPIC) {
            self.groups.set_partition_count(topic.partitions.len() as i32);
        }
        let is_offsets = |partition: &TopicPartition| &*partition.topic == GROUP_METADATA_TOPIC;
        let changes = topics.local_changes(self.node_id());
        for partition in changes.deletes.iter().filter(|partition| is_offsets(partition)) {
            self.groups.unload(partition.partition, None);
        }
        for (partition, info) in changes.followers.iter().filter(|(partition, _)| is_offsets(partition)) {
            self.groups.unload(partition.partition, Some(info.partition.leader_epoch));
        }
        for (partition, info) in changes.elected_leaders.iter().filter(|(partition, _)| is_offsets(partition))
        {
            let Some(replica) = self.replicas.partition(GROUP_METADATA_TOPIC, partition.partition) else {
                continue;
            };
            let log = Arc::clone(&replica.log());
            let mut end = log.log_end_offset();
            if self.planted == Some(Planted::HalfReadCoordinator) {
                end -= 3;
            }
            // A partition that does not load is refused to everybody; the next election tries again.
            let epoch = info.partition.leader_epoch;
            let _ = offsets::load(&self.groups, partition.partition, epoch, &log, end, now_ms);
        }
    }

    /// Tells the coordinators what is committed by now.
    pub fn tell_committed(&mut self, now_ms: i64) {
        let Some(topic) = self.replicas.topic(GROUP_METADATA_TOPIC) else { return };
        for partition in topic.partitions() {
            let index = partition.topic_partition().partition;
            let high_watermark = partition.log().high_watermark();
            let told = self.told_committed.entry(index).or_insert(-1);
            if *told != high_watermark && partition.is_leader() {
                *told = high_watermark;
                self.groups.on_high_watermark(index, high_watermark, now_ms);
            }
        }
    }
}

pub(crate) fn id_of(partition: &Partition) -> TopicIdPartition {
    TopicIdPartition { topic_id: partition.topic_id(), partition: partition.topic_partition().partition }
}

/// A leader goes by an ISR of itself and one other, and takes that for newer than what the metadata say.
fn keep_another_isr(partition: &Partition, now_ms: i64) {
    let known = partition.registration();
    let other = known.isr.iter().find(|id| **id != known.leader);
    if let Some(other) = other.filter(|_| partition.is_leader() && known.isr.len() > 2) {
        let isr = vec![known.leader, *other];
        let stale = PartitionRegistration {
            isr,
            partition_epoch: known.partition_epoch + 1,
            ..PartitionRegistration::clone(&known)
        };
        let _ = partition.update(Arc::new(stale), now_ms);
    }
}
