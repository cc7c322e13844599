//! The group coordinator's configuration (Kafka's `GroupCoordinatorConfig`), one field per key.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use common::Uuid;
use protocol::compression::Compression;

use crate::consumer::Assignor;
use crate::metrics::GroupCounters;
use crate::topics::Topics;

/// What a consumer group may have of its own (its dynamic configuration), all in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerGroupSettings {
    /// `consumer.session.timeout.ms`: a member without a heartbeat for this long is removed.
    pub session_timeout_ms: i64,
    /// `consumer.heartbeat.interval.ms`: what members are told to keep.
    pub heartbeat_interval_ms: i32,
    /// `consumer.assignment.interval.ms`: the shortest time between two target assignments (KIP-1263).
    pub assignment_interval_ms: i64,
}

impl Default for ConsumerGroupSettings {
    fn default() -> Self {
        ConsumerGroupSettings {
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 5_000,
            assignment_interval_ms: 1_000,
        }
    }
}

/// What a streams group may have of its own (its dynamic configuration).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamsGroupSettings {
    /// `streams.session.timeout.ms`: a member without a heartbeat for this long is removed.
    pub session_timeout_ms: i64,
    /// `streams.heartbeat.interval.ms`: what members are told to keep.
    pub heartbeat_interval_ms: i32,
    /// `streams.assignment.interval.ms`: the shortest time between two target assignments.
    pub assignment_interval_ms: i64,
    /// `streams.initial.rebalance.delay.ms`: how long the first assignment waits for more members.
    pub initial_rebalance_delay_ms: i64,
    /// `streams.task.offset.interval.ms`: how often members tell how far their state is.
    pub task_offset_interval_ms: i32,
    /// `streams.acceptable.recovery.lag`: offsets that a member may be behind and still take a task over.
    pub acceptable_recovery_lag: i64,
    /// `streams.num.standby.replicas`: copies of each task's state.
    pub num_standby_replicas: i32,
    /// `streams.rack.aware.assignment.tags`: tags that members have to have.
    pub rack_aware_assignment_tags: Vec<String>,
}

impl Default for StreamsGroupSettings {
    fn default() -> Self {
        StreamsGroupSettings {
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 5_000,
            assignment_interval_ms: 1_000,
            initial_rebalance_delay_ms: 3_000,
            task_offset_interval_ms: 60_000,
            acceptable_recovery_lag: 10_000,
            num_standby_replicas: 0,
            rack_aware_assignment_tags: Vec::new(),
        }
    }
}

/// Which way a group may change its protocol while members are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerGroupMigrationPolicy {
    /// Not at all.
    Disabled,
    /// From the consumer to the classic protocol.
    Downgrade,
    /// From the classic to the consumer protocol.
    Upgrade,
    /// Both.
    Bidirectional,
}

/// What the group coordinator is told once, with Kafka's defaults.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// `offsets.topic.num.partitions`: partitions of `__consumer_offsets` while the topic does not exist.
    pub offsets_topic_num_partitions: i32,
    /// `offsets.topic.segment.bytes`
    pub offsets_topic_segment_bytes: i32,
    /// `offsets.topic.compression.codec`
    pub offsets_topic_compression_codec: Compression,
    /// `offsets.commit.timeout.ms`: how long an answer waits for the replicas.
    pub offsets_commit_timeout_ms: i64,
    /// `offsets.retention.minutes`
    pub offsets_retention_minutes: i64,
    /// `offsets.retention.check.interval.ms`
    pub offsets_retention_check_interval_ms: i64,
    /// `offset.metadata.max.bytes`: the longest metadata of a commit.
    pub offset_metadata_max_bytes: usize,
    /// `group.min.session.timeout.ms`
    pub group_min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`
    pub group_max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`
    pub group_initial_rebalance_delay_ms: i32,
    /// `group.max.size`: members in a classic group.
    pub group_max_size: usize,
    /// `group.consumer.session.timeout.ms`, `group.consumer.heartbeat.interval.ms`,
    /// `group.consumer.assignment.interval.ms`, for groups without own ones.
    pub group_consumer: ConsumerGroupSettings,
    /// `group.consumer.max.size`: members in a consumer group.
    pub group_consumer_max_size: usize,
    /// `group.consumer.assignors`, the default first. Not empty.
    pub group_consumer_assignors: Vec<Assignor>,
    /// `group.consumer.migration.policy`
    pub group_consumer_migration_policy: ConsumerGroupMigrationPolicy,
    /// `group.consumer.regex.refresh.interval.ms`
    pub group_consumer_regex_refresh_interval_ms: i64,
    /// `group.streams.*`, for groups without own ones.
    pub group_streams: StreamsGroupSettings,
    /// `group.streams.max.size`: members in a streams group.
    pub group_streams_max_size: usize,
}

impl Default for GroupConfig {
    fn default() -> Self {
        GroupConfig {
            offsets_topic_num_partitions: 50,
            offsets_topic_segment_bytes: 104_857_600,
            offsets_topic_compression_codec: Compression::None,
            offsets_commit_timeout_ms: 5_000,
            offsets_retention_minutes: 7 * 24 * 60,
            offsets_retention_check_interval_ms: 600_000,
            offset_metadata_max_bytes: 4_096,
            group_min_session_timeout_ms: 6_000,
            group_max_session_timeout_ms: 1_800_000,
            group_initial_rebalance_delay_ms: 3_000,
            group_max_size: i32::MAX as usize,
            group_consumer: ConsumerGroupSettings::default(),
            group_consumer_max_size: i32::MAX as usize,
            group_consumer_assignors: vec![Assignor::Uniform, Assignor::Range],
            group_consumer_migration_policy: ConsumerGroupMigrationPolicy::Bidirectional,
            group_consumer_regex_refresh_interval_ms: 600_000,
            group_streams: StreamsGroupSettings::default(),
            group_streams_max_size: i32::MAX as usize,
        }
    }
}

impl GroupConfig {
    pub(crate) fn offsets_retention_ms(&self) -> i64 {
        self.offsets_retention_minutes.saturating_mul(60_000)
    }
}

/// How long a JoinGroup of a member that is new is parked at most: it cannot send heartbeats, and its connection is not
/// watched meanwhile, so it might be gone. If it is not, its client asks again.
pub(crate) const NEW_MEMBER_JOIN_TIMEOUT_MS: i64 = 5 * 60 * 1_000;

/// The configuration with which `__consumer_offsets` is created.
pub fn group_metadata_topic_configs(config: &GroupConfig) -> Vec<(&'static str, String)> {
    vec![
        ("cleanup.policy", "compact".to_owned()),
        ("compression.type", "producer".to_owned()),
        ("segment.bytes", config.offsets_topic_segment_bytes.to_string()),
    ]
}

/// What the shards share.
pub(crate) struct Env {
    pub(crate) config: GroupConfig,
    topics: RwLock<Arc<Topics>>,
    settings: RwLock<Settings>,
    streams: RwLock<StreamsSettings>,
    pub(crate) counters: GroupCounters,
    /// Randomness comes from outside, so that a simulation can repeat a run.
    pub(crate) new_uuid: Box<dyn Fn() -> Uuid + Send + Sync>,
}

struct Settings {
    default: ConsumerGroupSettings,
    /// Of groups that have own ones.
    groups: HashMap<String, ConsumerGroupSettings>,
}

struct StreamsSettings {
    default: Arc<StreamsGroupSettings>,
    /// Of groups that have own ones.
    groups: HashMap<String, Arc<StreamsGroupSettings>>,
}

impl Env {
    pub(crate) fn new(config: GroupConfig, new_uuid: Box<dyn Fn() -> Uuid + Send + Sync>) -> Env {
        assert!(!config.group_consumer_assignors.is_empty(), "there is an assignor");
        let settings = Settings { default: config.group_consumer, groups: HashMap::new() };
        let streams =
            StreamsSettings { default: Arc::new(config.group_streams.clone()), groups: HashMap::new() };
        Env {
            config,
            topics: RwLock::new(Arc::new(Topics::none())),
            settings: RwLock::new(settings),
            streams: RwLock::new(streams),
            counters: GroupCounters::default(),
            new_uuid,
        }
    }

    /// The topics as they are known now.
    pub(crate) fn topics(&self) -> Arc<Topics> {
        Arc::clone(&self.topics.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_topics(&self, topics: Topics) {
        *self.topics.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(topics);
    }

    pub(crate) fn consumer_settings(&self, group_id: &str) -> ConsumerGroupSettings {
        let settings = self.settings.read().unwrap_or_else(PoisonError::into_inner);
        settings.groups.get(group_id).copied().unwrap_or(settings.default)
    }

    pub(crate) fn set_consumer_settings(
        &self,
        default: ConsumerGroupSettings,
        groups: HashMap<String, ConsumerGroupSettings>,
    ) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Settings { default, groups };
    }

    pub(crate) fn streams_settings(&self, group_id: &str) -> Arc<StreamsGroupSettings> {
        let settings = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(settings.groups.get(group_id).unwrap_or(&settings.default))
    }

    pub(crate) fn set_streams_settings(
        &self,
        default: StreamsGroupSettings,
        groups: HashMap<String, StreamsGroupSettings>,
    ) {
        let groups = groups.into_iter().map(|(id, settings)| (id, Arc::new(settings))).collect();
        *self.streams.write().unwrap_or_else(PoisonError::into_inner) =
            StreamsSettings { default: Arc::new(default), groups };
    }

    /// The assignor of groups whose members prefer none.
    pub(crate) fn default_assignor(&self) -> Assignor {
        self.config.group_consumer_assignors.first().copied().unwrap_or(Assignor::Uniform)
    }

    /// An id for a member that has none: something readable and a random UUID in Java's notation.
    pub(crate) fn new_member_id(&self, prefix: &str) -> String {
        let bits = (self.new_uuid)().as_u128();
        format!(
            "{prefix}-{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            bits >> 96,
            (bits >> 80) & 0xffff,
            (bits >> 64) & 0xffff,
            (bits >> 48) & 0xffff,
            bits & 0xffff_ffff_ffff
        )
    }
}
