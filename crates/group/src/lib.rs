//! The group coordinator (Kafka's `GroupCoordinatorService`): classic groups, consumer groups (KIP-848), streams groups
//! (KIP-1071) and committed offsets.
//!
//! Owns: the groups and offsets of each partition of `__consumer_offsets` ([`GroupShard`]), and the APIs on them
//! ([`GroupCoordinator`]). Share groups are loaded, kept and shown, and their committed offsets served; their own APIs are not
//! there yet ([`modern`]).
//!
//! Thread: none, and no clock; see the crate `coordinator`, which runs it.
//!
//! Follows: `GroupMetadataManager`, `ClassicGroup`, `ConsumerGroup`, `StreamsGroup`, `OffsetMetadataManager`, `GroupCoordinatorShard`.

mod admin;
pub mod classic;
mod config;
pub mod consumer;
mod groups;
mod members;
mod membership;
mod metrics;
pub mod modern;
pub mod offsets;
mod record;
mod request;
mod service;
mod shard;
pub mod streams;
#[cfg(test)]
mod tests;
mod topics;

pub use config::{
    ConsumerGroupMigrationPolicy, ConsumerGroupSettings, GroupConfig, StreamsGroupSettings,
    group_metadata_topic_configs,
};
pub use consumer::Assignor;
pub use groups::{Group, GroupType};
pub use metrics::{GroupCounters, GroupCounts};
pub use record::GroupRecord;
pub use request::{DeletedTopic, Reply, RequestContext, TopicResolver};
pub use service::GroupCoordinator;
pub use shard::{GroupShard, Timer, TimerKey};
pub use streams::StreamsGroupHeartbeatResult;
pub use topics::{TopicsChange, TopicsImage};

/// What an operation on a shard of groups may use.
pub(crate) type Ctx<'a> = coordinator::Context<'a, GroupShard>;
/// What an operation on a shard of groups decided.
pub(crate) type GroupResult<T> = coordinator::CoordinatorResult<GroupShard, T>;
