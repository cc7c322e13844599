//! The group coordinator as the broker sees it: all partitions, every API, in every version.

mod admin;
mod consumer;
mod gather;
mod membership;
mod offsets;
mod streams;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use common::topic::GROUP_METADATA_TOPIC;
use common::{ErrorCode, Uuid};
use coordinator::{Access, CoordinatorLog, CoordinatorRuntime, LoadSummary, ReadLog, RuntimeConfig, Wake};

use crate::config::Env;
use crate::{
    ConsumerGroupSettings, DeletedTopic, GroupConfig, GroupResult, GroupShard, Reply, StreamsGroupSettings,
    TopicsChange, TopicsImage,
};

/// The groups of this broker (Kafka's `GroupCoordinatorService`). Every method may be called from any thread.
pub struct GroupCoordinator {
    runtime: CoordinatorRuntime<GroupShard>,
    env: Arc<Env>,
    partition_count: AtomicI32,
}

impl GroupCoordinator {
    /// A coordinator without partitions. `wake` is told when the first deadline becomes an earlier one: the time to call
    /// [`GroupCoordinator::expire`].
    pub fn new(config: GroupConfig, log: Arc<dyn CoordinatorLog>, wake: Wake) -> GroupCoordinator {
        GroupCoordinator::with_ids(config, log, wake, Box::new(Uuid::random))
    }

    /// As [`GroupCoordinator::new`], with another source of the random part of member ids.
    pub fn with_ids(
        config: GroupConfig,
        log: Arc<dyn CoordinatorLog>,
        wake: Wake,
        new_uuid: Box<dyn Fn() -> Uuid + Send + Sync>,
    ) -> GroupCoordinator {
        let runtime_config = RuntimeConfig {
            topic: GROUP_METADATA_TOPIC,
            compression: config.offsets_topic_compression_codec,
            write_timeout_ms: config.offsets_commit_timeout_ms,
        };
        let partition_count = AtomicI32::new(config.offsets_topic_num_partitions);
        let env = Arc::new(Env::new(config, new_uuid));
        let shards = Arc::clone(&env);
        GroupCoordinator {
            runtime: CoordinatorRuntime::new(runtime_config, log, wake, move |_| {
                GroupShard::new(Arc::clone(&shards))
            }),
            env,
            partition_count,
        }
    }

    /// `__consumer_offsets` exists with this many partitions.
    pub fn set_partition_count(&self, count: i32) {
        assert!(count > 0, "a topic has partitions");
        self.partition_count.store(count, Ordering::Relaxed);
    }

    /// The partition of `__consumer_offsets` that has the group.
    pub fn partition_for(&self, group_id: &str) -> i32 {
        let hash = java_hash(group_id);
        // As in Kafka, where the absolute value of the smallest number is 0.
        hash.checked_abs().unwrap_or(0) % self.partition_count.load(Ordering::Relaxed)
    }

    /// Loads a partition that this broker has come to lead: see [`CoordinatorRuntime::load`].
    ///
    /// # Errors
    /// As there.
    pub fn load(
        &self,
        partition: i32,
        leader_epoch: i32,
        start_offset: i64,
        high_watermark: i64,
        read: &mut ReadLog<'_>,
        now_ms: i64,
    ) -> Result<LoadSummary, ErrorCode> {
        let summary =
            self.runtime.load(partition, leader_epoch, start_offset, high_watermark, read, now_ms)?;
        tracing::info!(
            "loaded {GROUP_METADATA_TOPIC}-{partition} in epoch {leader_epoch}: {} records, {} bytes, {} skipped",
            summary.records,
            summary.bytes,
            summary.skipped
        );
        Ok(summary)
    }

    /// Gives a partition up. Whoever waits hears NOT_COORDINATOR and asks elsewhere.
    pub fn unload(&self, partition: i32, leader_epoch: Option<i32>) {
        // Nothing that is finished here looks at the time.
        self.runtime.unload(partition, leader_epoch, 0);
    }

    /// Gives all partitions up.
    pub fn shutdown(&self) {
        self.runtime.shutdown(0);
    }

    /// The partition's high watermark has become `high_watermark`. May be called from within an append.
    pub fn on_high_watermark(&self, partition: i32, high_watermark: i64, now_ms: i64) {
        self.runtime.on_high_watermark(partition, high_watermark, now_ms);
    }

    /// Fires all that is due and says when to come again at the latest.
    pub fn expire(&self, now_ms: i64) -> Option<i64> {
        self.runtime.expire(now_ms)
    }

    /// A time at or before the first deadline.
    pub fn next_deadline(&self) -> Option<i64> {
        self.runtime.next_deadline()
    }

    /// Removes the offsets of topics that are gone.
    pub fn on_topics_deleted(&self, topics: &[DeletedTopic], now_ms: i64) {
        for slot in self.runtime.slots() {
            if let Ok(mut access) = self.runtime.enter(&slot, now_ms) {
                access.write(
                    |shard, _| Ok(shard.on_topics_deleted(topics)),
                    |result| {
                        if let Err(error) = result {
                            tracing::error!("offsets of deleted topics could not be removed: {error}");
                        }
                    },
                );
            }
        }
    }

    /// The topics are others now. Groups that subscribe to what has changed are assigned anew at their members' next
    /// heartbeats.
    pub fn on_metadata_update(&self, image: Arc<dyn TopicsImage>, change: &TopicsChange, now_ms: i64) {
        self.env.set_topics(self.env.topics().next(image, change));
        if change.names.is_empty() {
            return;
        }
        for slot in self.runtime.slots() {
            // One that is loaded meanwhile finds the image above.
            if let Ok(mut access) = self.runtime.enter(&slot, now_ms) {
                access.write(
                    |shard, _| {
                        shard.request_metadata_refresh(&change.names);
                        Ok(GroupResult::read(()))
                    },
                    |_| {},
                );
            }
        }
    }

    /// The settings of consumer groups are others now: of all, and of those that have own ones.
    pub fn set_consumer_settings(
        &self,
        default: ConsumerGroupSettings,
        groups: HashMap<String, ConsumerGroupSettings>,
    ) {
        self.env.set_consumer_settings(default, groups);
    }

    /// The settings of streams groups are others now: of all, and of those that have own ones.
    pub fn set_streams_settings(
        &self,
        default: StreamsGroupSettings,
        groups: HashMap<String, StreamsGroupSettings>,
    ) {
        self.env.set_streams_settings(default, groups);
    }

    pub(crate) fn env(&self) -> &Env {
        &self.env
    }

    /// Looks at all shards that are loaded, one after the other.
    pub(crate) fn inspect_all(&self, now_ms: i64, mut look: impl FnMut(&GroupShard)) {
        for slot in self.runtime.slots() {
            if let Ok(mut access) = self.runtime.enter(&slot, now_ms) {
                access.read(
                    |shard| {
                        look(shard);
                        Ok(())
                    },
                    |_| {},
                );
            }
        }
    }

    /// Looks at the shard of a partition, for tests and metrics.
    ///
    /// # Errors
    /// When the partition is not ours or not loaded.
    pub fn inspect<T: Send + 'static>(
        &self,
        partition: i32,
        now_ms: i64,
        look: impl FnOnce(&GroupShard) -> T,
    ) -> Result<T, ErrorCode> {
        let slot = self.runtime.slot(partition).ok_or(ErrorCode::NotCoordinator)?;
        let mut seen = None;
        self.runtime.enter(&slot, now_ms)?.read(
            |shard| {
                seen = Some(look(shard));
                Ok(())
            },
            |_| {},
        );
        seen.ok_or(ErrorCode::UnknownServerError)
    }

    /// Runs `body` in the shard of a partition, or answers that there is none here.
    fn with_partition<T>(
        &self,
        partition: i32,
        now_ms: i64,
        reply: Reply<T>,
        refuse: impl FnOnce(ErrorCode) -> T,
        body: impl FnOnce(&mut Access<'_, GroupShard>, Reply<T>),
    ) {
        let Some(slot) = self.runtime.slot(partition) else {
            return reply(refuse(ErrorCode::NotCoordinator));
        };
        match self.runtime.enter(&slot, now_ms) {
            Ok(mut access) => body(&mut access, reply),
            Err(error) => reply(refuse(error)),
        }
    }
}

/// Java's `String.hashCode`.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::java_hash;

    #[test]
    fn hashes_are_javas() {
        // Computed by Java.
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("my-group"), -1_906_497_762);
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        assert_eq!(java_hash("Grüße"), 69_215_351);
        assert_eq!(java_hash("\u{1f600}"), 1_772_899);
    }
}
