//! What configuration, static and dynamic, means for the group coordinator.

use std::collections::HashMap;
use std::str::FromStr;

use config::BrokerConfig;
use group::{
    Assignor, ConsumerGroupMigrationPolicy, ConsumerGroupSettings, GroupConfig, StreamsGroupSettings,
};
use metadata::{ConfigResourceType, MetadataImage};
use protocol::compression::Compression;

use crate::broker::Broker;

/// What the group coordinator takes from the configuration.
pub(crate) fn group_config(config: &BrokerConfig) -> GroupConfig {
    let group = &config.group_coordinator;
    GroupConfig {
        offsets_topic_num_partitions: group.offsets_topic_num_partitions,
        offsets_topic_segment_bytes: group.offsets_topic_segment_bytes,
        offsets_topic_compression_codec: u8::try_from(group.offsets_topic_compression_codec)
            .ok()
            .and_then(Compression::from_id)
            .unwrap_or_default(),
        offsets_commit_timeout_ms: group.offsets_commit_timeout_ms.into(),
        offsets_retention_minutes: group.offsets_retention_minutes.into(),
        offsets_retention_check_interval_ms: group.offsets_retention_check_interval_ms,
        offset_metadata_max_bytes: usize::try_from(group.offset_metadata_max_bytes).unwrap_or(0),
        group_min_session_timeout_ms: group.min_session_timeout_ms,
        group_max_session_timeout_ms: group.max_session_timeout_ms,
        group_initial_rebalance_delay_ms: group.initial_rebalance_delay_ms,
        group_max_size: usize::try_from(group.max_size).unwrap_or(usize::MAX),
        group_consumer: consumer_group_settings(config),
        group_consumer_max_size: usize::try_from(group.consumer_max_size).unwrap_or(usize::MAX),
        group_consumer_assignors: assignors(&group.consumer_assignors),
        group_consumer_migration_policy: migration_policy(&group.consumer_migration_policy),
        group_consumer_regex_refresh_interval_ms: group.consumer_regex_refresh_interval_ms.into(),
        group_streams: streams_group_settings(config),
        group_streams_max_size: usize::try_from(group.streams_max_size).unwrap_or(usize::MAX),
    }
}

fn consumer_group_settings(config: &BrokerConfig) -> ConsumerGroupSettings {
    let group = &config.group_coordinator;
    ConsumerGroupSettings {
        session_timeout_ms: group.consumer_session_timeout_ms.into(),
        heartbeat_interval_ms: group.consumer_heartbeat_interval_ms,
        assignment_interval_ms: group.consumer_assignment_interval_ms.into(),
    }
}

fn streams_group_settings(config: &BrokerConfig) -> StreamsGroupSettings {
    let group = &config.group_coordinator;
    if group.streams_assignors.first().is_some_and(|name| name != "sticky") {
        // Divergence: a Java class cannot be loaded here.
        tracing::warn!("group.streams.assignors names an assignor that is not known: sticky takes its place");
    }
    StreamsGroupSettings {
        session_timeout_ms: group.streams_session_timeout_ms.into(),
        heartbeat_interval_ms: group.streams_heartbeat_interval_ms,
        assignment_interval_ms: group.streams_assignment_interval_ms.into(),
        initial_rebalance_delay_ms: group.streams_initial_rebalance_delay_ms.into(),
        task_offset_interval_ms: group.streams_task_offset_interval_ms,
        acceptable_recovery_lag: group.streams_acceptable_recovery_lag,
        num_standby_replicas: group.streams_num_standby_replicas,
        rack_aware_assignment_tags: group.streams_rack_aware_assignment_tags.clone(),
    }
}

/// The assignors that are known among those configured, in their order.
fn assignors(names: &[String]) -> Vec<Assignor> {
    let known = names.iter().filter_map(|name| {
        let assignor = Assignor::from_name(name).or_else(|| match name.rsplit('.').next() {
            Some("UniformAssignor") => Some(Assignor::Uniform),
            Some("RangeAssignor") => Some(Assignor::Range),
            _ => None,
        });
        if assignor.is_none() {
            // Divergence: a Java class cannot be loaded here.
            tracing::warn!(
                name,
                "group.consumer.assignors names an assignor that is not known: it is left out"
            );
        }
        assignor
    });
    let known: Vec<Assignor> = known.collect();
    if known.is_empty() { GroupConfig::default().group_consumer_assignors } else { known }
}

fn migration_policy(name: &str) -> ConsumerGroupMigrationPolicy {
    match name.to_ascii_lowercase().as_str() {
        "disabled" => ConsumerGroupMigrationPolicy::Disabled,
        "downgrade" => ConsumerGroupMigrationPolicy::Downgrade,
        "upgrade" => ConsumerGroupMigrationPolicy::Upgrade,
        _ => ConsumerGroupMigrationPolicy::Bidirectional,
    }
}

/// Tells the group coordinator what groups may do: all, and those with dynamic settings of their own.
pub(crate) fn update_group_settings(broker: &Broker, image: &MetadataImage) {
    let config = broker.settings.broker();
    let (consumer, streams) = (consumer_group_settings(&config), streams_group_settings(&config));
    let (mut consumers, mut applications) = (HashMap::new(), HashMap::new());
    let groups =
        image.configs.iter().filter(|(resource, _)| resource.resource_type == ConfigResourceType::GROUP);
    for (resource, overrides) in groups {
        let own = Overrides { of: &|key| overrides.get(key).map(|text| text.trim()) };
        consumers.insert(
            resource.name.to_string(),
            ConsumerGroupSettings {
                session_timeout_ms: own.number("consumer.session.timeout.ms", consumer.session_timeout_ms),
                heartbeat_interval_ms: own
                    .number("consumer.heartbeat.interval.ms", consumer.heartbeat_interval_ms),
                assignment_interval_ms: own
                    .number("consumer.assignment.interval.ms", consumer.assignment_interval_ms),
            },
        );
        applications.insert(resource.name.to_string(), own.streams_settings(&streams));
    }
    broker.groups.set_consumer_settings(consumer, consumers);
    broker.groups.set_streams_settings(streams, applications);
}

/// The settings that a group has of its own.
struct Overrides<'a> {
    of: &'a dyn Fn(&str) -> Option<&'a str>,
}

impl Overrides<'_> {
    fn number<T: FromStr>(&self, key: &str, default: T) -> T {
        (self.of)(key).and_then(|text| text.parse().ok()).unwrap_or(default)
    }

    fn streams_settings(&self, default: &StreamsGroupSettings) -> StreamsGroupSettings {
        let tags = (self.of)("streams.rack.aware.assignment.tags").map(|text| {
            let tags = text.split(',').map(str::trim).filter(|tag| !tag.is_empty());
            tags.map(str::to_owned).collect()
        });
        StreamsGroupSettings {
            session_timeout_ms: self.number("streams.session.timeout.ms", default.session_timeout_ms),
            heartbeat_interval_ms: self
                .number("streams.heartbeat.interval.ms", default.heartbeat_interval_ms),
            assignment_interval_ms: self
                .number("streams.assignment.interval.ms", default.assignment_interval_ms),
            initial_rebalance_delay_ms: self
                .number("streams.initial.rebalance.delay.ms", default.initial_rebalance_delay_ms),
            task_offset_interval_ms: self
                .number("streams.task.offset.interval.ms", default.task_offset_interval_ms),
            acceptable_recovery_lag: self
                .number("streams.acceptable.recovery.lag", default.acceptable_recovery_lag),
            num_standby_replicas: self.number("streams.num.standby.replicas", default.num_standby_replicas),
            rack_aware_assignment_tags: tags.unwrap_or_else(|| default.rack_aware_assignment_tags.clone()),
        }
    }
}
