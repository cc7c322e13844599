//! What configuration, static and dynamic, means for the group coordinator.

use config::BrokerConfig;
use group::{Assignor, ConsumerGroupMigrationPolicy, ConsumerGroupSettings, GroupConfig};
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

/// Tells the group coordinator what consumer groups may do: all, and those with dynamic settings of their own.
pub(crate) fn update_group_settings(broker: &Broker, image: &MetadataImage) {
    let config = broker.settings.broker();
    let default = consumer_group_settings(&config);
    let groups =
        image.configs.iter().filter(|(resource, _)| resource.resource_type == ConfigResourceType::GROUP);
    let groups = groups
        .map(|(resource, overrides)| {
            let value = |key: &str, default: i64| {
                overrides.get(key).and_then(|text| text.trim().parse().ok()).unwrap_or(default)
            };
            let heartbeat = value("consumer.heartbeat.interval.ms", default.heartbeat_interval_ms.into());
            let settings = ConsumerGroupSettings {
                session_timeout_ms: value("consumer.session.timeout.ms", default.session_timeout_ms),
                heartbeat_interval_ms: i32::try_from(heartbeat).unwrap_or(default.heartbeat_interval_ms),
                assignment_interval_ms: value(
                    "consumer.assignment.interval.ms",
                    default.assignment_interval_ms,
                ),
            };
            (resource.name.to_string(), settings)
        })
        .collect();
    broker.groups.set_consumer_settings(default, groups);
}
