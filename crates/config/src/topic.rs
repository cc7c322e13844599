//! Topic configuration: the broker's defaults, a topic's overrides, and the rules for those (`LogConfig`).

use std::collections::BTreeMap;

use crate::def::ConfigType;
use crate::error::ConfigError;
use crate::keys::topic_keys;
use crate::synonyms::{Conversion, topic_synonyms};
use crate::value::Value;
use crate::view::{Values, value_of};

/// How a topic's batches are stored (`BrokerCompressionType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the codecs' names say it
pub enum CompressionType {
    /// As the producer sent them.
    Producer,
    /// Not compressed.
    Uncompressed,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl CompressionType {
    /// The type of that name in `compression.type`.
    pub fn from_name(name: &str) -> Option<CompressionType> {
        Some(match name {
            "producer" => CompressionType::Producer,
            "uncompressed" => CompressionType::Uncompressed,
            "gzip" => CompressionType::Gzip,
            "snappy" => CompressionType::Snappy,
            "lz4" => CompressionType::Lz4,
            "zstd" => CompressionType::Zstd,
            _ => return None,
        })
    }
}

/// Whose time a record carries (`TimestampType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's, at the append.
    LogAppendTime,
}

/// The settings of one topic's logs (`LogConfig`). Times in milliseconds, sizes in bytes; -1 means without limit where
/// Kafka says so.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // each field is the key of its name, described in docs/configuration.md
pub struct TopicConfig {
    pub segment_bytes: i32,
    pub segment_ms: i64,
    pub segment_jitter_ms: i64,
    pub segment_index_bytes: i32,
    pub index_interval_bytes: i32,
    pub flush_messages: i64,
    pub flush_ms: i64,
    pub retention_bytes: i64,
    pub retention_ms: i64,
    pub max_message_bytes: i32,
    pub max_decompressed_message_bytes: i32,
    pub file_delete_delay_ms: i64,
    pub delete_retention_ms: i64,
    pub min_compaction_lag_ms: i64,
    pub max_compaction_lag_ms: i64,
    pub min_cleanable_dirty_ratio: f64,
    /// `cleanup.policy` has `compact`.
    pub compact: bool,
    /// `cleanup.policy` has `delete`.
    pub delete: bool,
    pub unclean_leader_election_enable: bool,
    pub min_insync_replicas: i32,
    pub compression_type: CompressionType,
    pub compression_gzip_level: i32,
    pub compression_lz4_level: i32,
    pub compression_zstd_level: i32,
    pub preallocate: bool,
    pub message_timestamp_type: TimestampType,
    pub message_timestamp_before_max_ms: i64,
    pub message_timestamp_after_max_ms: i64,
    pub leader_replication_throttled_replicas: Vec<String>,
    pub follower_replication_throttled_replicas: Vec<String>,
    pub remote_storage_enable: bool,
    pub remote_log_copy_disable: bool,
    pub remote_log_delete_on_disable: bool,
    pub remote_copy_lag_ms: i64,
    pub remote_copy_lag_bytes: i64,
    pub local_retention_ms: i64,
    pub local_retention_bytes: i64,
    pub errors_deadletterqueue_group_enable: bool,
}

impl TopicConfig {
    /// The settings of a topic with these overrides on a broker with these defaults. Names that no topic key has are let
    /// be, as a newer Kafka may have written them; values must parse.
    pub fn resolve(
        defaults: &TopicDefaults,
        overrides: &BTreeMap<String, String>,
    ) -> Result<TopicConfig, ConfigError> {
        Ok(TopicConfig::from_values(&defaults.with(overrides)?))
    }

    pub(crate) fn from_values(values: &Values) -> TopicConfig {
        let policy: Vec<String> = values.get("cleanup.policy");
        let compression: String = values.get("compression.type");
        let timestamp_type: String = values.get("message.timestamp.type");
        let internal_segment_bytes: Option<i32> = values.get("internal.segment.bytes");
        TopicConfig {
            segment_bytes: internal_segment_bytes.unwrap_or_else(|| values.get("segment.bytes")),
            segment_ms: values.get("segment.ms"),
            segment_jitter_ms: values.get("segment.jitter.ms"),
            segment_index_bytes: values.get("segment.index.bytes"),
            index_interval_bytes: values.get("index.interval.bytes"),
            flush_messages: values.get("flush.messages"),
            flush_ms: values.get("flush.ms"),
            retention_bytes: values.get("retention.bytes"),
            retention_ms: values.get("retention.ms"),
            max_message_bytes: values.get("max.message.bytes"),
            max_decompressed_message_bytes: values.get("max.decompressed.message.bytes"),
            file_delete_delay_ms: values.get("file.delete.delay.ms"),
            delete_retention_ms: values.get("delete.retention.ms"),
            min_compaction_lag_ms: values.get("min.compaction.lag.ms"),
            max_compaction_lag_ms: values.get("max.compaction.lag.ms"),
            min_cleanable_dirty_ratio: values.get("min.cleanable.dirty.ratio"),
            compact: policy.iter().any(|element| element == "compact"),
            delete: policy.iter().any(|element| element == "delete"),
            unclean_leader_election_enable: values.get("unclean.leader.election.enable"),
            min_insync_replicas: values.get("min.insync.replicas"),
            compression_type: CompressionType::from_name(&compression).unwrap_or(CompressionType::Producer),
            compression_gzip_level: values.get("compression.gzip.level"),
            compression_lz4_level: values.get("compression.lz4.level"),
            compression_zstd_level: values.get("compression.zstd.level"),
            preallocate: values.get("preallocate"),
            message_timestamp_type: match timestamp_type.as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            message_timestamp_before_max_ms: values.get("message.timestamp.before.max.ms"),
            message_timestamp_after_max_ms: values.get("message.timestamp.after.max.ms"),
            leader_replication_throttled_replicas: values.get("leader.replication.throttled.replicas"),
            follower_replication_throttled_replicas: values.get("follower.replication.throttled.replicas"),
            remote_storage_enable: values.get("remote.storage.enable"),
            remote_log_copy_disable: values.get("remote.log.copy.disable"),
            remote_log_delete_on_disable: values.get("remote.log.delete.on.disable"),
            remote_copy_lag_ms: values.get("remote.copy.lag.ms"),
            remote_copy_lag_bytes: values.get("remote.copy.lag.bytes"),
            local_retention_ms: values.get("local.retention.ms"),
            local_retention_bytes: values.get("local.retention.bytes"),
            errors_deadletterqueue_group_enable: values.get("errors.deadletterqueue.group.enable"),
        }
    }

    /// The local retention time that counts: -2 stands for `retention.ms`.
    pub fn effective_local_retention_ms(&self) -> i64 {
        if self.local_retention_ms == -2 { self.retention_ms } else { self.local_retention_ms }
    }

    /// The local retention size that counts: -2 stands for `retention.bytes`.
    pub fn effective_local_retention_bytes(&self) -> i64 {
        if self.local_retention_bytes == -2 { self.retention_bytes } else { self.local_retention_bytes }
    }
}

/// What a topic without overrides has on this broker (`KafkaConfig.extractLogConfigMap`).
#[derive(Clone, Debug, PartialEq)]
pub struct TopicDefaults {
    values: Values,
    remote_storage_system_enable: bool,
}

impl TopicDefaults {
    /// The defaults that a broker's values give.
    pub(crate) fn from_broker(broker: &Values) -> TopicDefaults {
        let mut values = Values::default();
        for (name, key) in topic_keys() {
            let from_broker = topic_synonyms(name)
                .iter()
                .find_map(|synonym| convert(broker.value(synonym.name), synonym.conversion, key.config_type));
            let value = match from_broker {
                // Any negative retention means none.
                Some(Value::Long(ms)) if *name == "retention.ms" => Value::Long(ms.max(-1)),
                Some(value) => value,
                // Invariant: the defaults of the table parse; a test reads them all.
                None => value_of(key, None).unwrap_or(Value::Null),
            };
            values.set(name, value);
        }
        TopicDefaults { values, remote_storage_system_enable: broker.get("remote.log.storage.system.enable") }
    }

    /// The typed settings of a topic without overrides.
    pub fn config(&self) -> TopicConfig {
        TopicConfig::from_values(&self.values)
    }

    /// All topic values with `overrides` on top.
    pub(crate) fn with(&self, overrides: &BTreeMap<String, String>) -> Result<Values, ConfigError> {
        let mut values = self.values.clone();
        for (name, text) in overrides {
            if let Some(key) = topic_keys().get(name.as_str()) {
                values.set(key.name, value_of(key, Some(text))?);
            }
        }
        Ok(values)
    }

    /// Checks the overrides that a topic is to have (`LogConfig.validate`). `existing` are those it has now, for the rules
    /// about turning tiered storage off; empty for a new topic.
    pub fn validate(
        &self,
        existing: &BTreeMap<String, String>,
        overrides: &BTreeMap<String, String>,
    ) -> Result<(), ConfigError> {
        if let Some(unknown) = overrides.keys().find(|name| !topic_keys().contains_key(name.as_str())) {
            return Err(ConfigError::UnknownName(format!("Unknown topic config name: {unknown}")));
        }
        let config = TopicConfig::from_values(&self.with(overrides)?);
        check_compaction_lag(config.min_compaction_lag_ms, config.max_compaction_lag_ms)?;
        if config.remote_storage_enable {
            self.validate_remote(&config)
        } else {
            let was_remote = existing
                .get("remote.storage.enable")
                .is_some_and(|value| value.trim().eq_ignore_ascii_case("true"));
            if was_remote && !config.remote_log_delete_on_disable {
                return Err(ConfigError::rule(
                    "It is invalid to disable remote storage without deleting remote data. If you want to keep the remote \
                     data and turn to read only, please set `remote.storage.enable=true,remote.log.copy.disable=true`. If \
                     you want to disable remote storage and delete all remote data, please set \
                     `remote.storage.enable=false,remote.log.delete.on.disable=true`.",
                ));
            }
            Ok(())
        }
    }

    fn validate_remote(&self, config: &TopicConfig) -> Result<(), ConfigError> {
        if !self.remote_storage_system_enable {
            return Err(ConfigError::rule(
                "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.",
            ));
        }
        if config.compact {
            return Err(ConfigError::rule(
                "Remote log storage only supports topics with cleanup.policy=delete or cleanup.policy being an empty list.",
            ));
        }
        check_local(
            "retention.bytes",
            config.retention_bytes,
            "local.retention.bytes",
            config.local_retention_bytes,
        )?;
        check_local("retention.ms", config.retention_ms, "local.retention.ms", config.local_retention_ms)?;
        if config.remote_log_copy_disable {
            for (unit, local, total) in [
                ("bytes", config.local_retention_bytes, config.retention_bytes),
                ("ms", config.local_retention_ms, config.retention_ms),
            ] {
                if local != -2 && local != total {
                    return Err(ConfigError::rule(format!(
                        "When `remote.log.copy.disable` is set to true, the `local.retention.{unit}` and `retention.{unit}` \
                         must be set to the identical value because there will be no more logs copied to the remote storage."
                    )));
                }
            }
        }
        for (unit, lag, local) in [
            ("ms", config.remote_copy_lag_ms, config.effective_local_retention_ms()),
            ("bytes", config.remote_copy_lag_bytes, config.effective_local_retention_bytes()),
        ] {
            if local >= 0 && lag > local {
                return Err(ConfigError::invalid(
                    &format!("remote.copy.lag.{unit}"),
                    lag,
                    format!("Value must not exceed local.retention.{unit} (effective value: {local})"),
                ));
            }
        }
        Ok(())
    }
}

fn check_local(total_name: &str, total: i64, local_name: &str, local: i64) -> Result<(), ConfigError> {
    if total < 0 || local == -2 {
        return Ok(());
    }
    if local == -1 {
        let reason = format!("Value must not be -1 as {total_name} value is set as {total}.");
        return Err(ConfigError::invalid(local_name, local, reason));
    }
    if local > total {
        let reason = format!("Value must not be more than {total_name} property value: {total}");
        return Err(ConfigError::invalid(local_name, local, reason));
    }
    Ok(())
}

/// The rule that holds for topics and brokers alike.
fn check_compaction_lag(min: i64, max: i64) -> Result<(), ConfigError> {
    if min > max {
        return Err(ConfigError::rule(format!(
            "conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})"
        )));
    }
    Ok(())
}

/// A broker's value as a topic's; none for one that is unset.
fn convert(value: &Value, conversion: Conversion, to: ConfigType) -> Option<Value> {
    let factor = match conversion {
        Conversion::Same => 1,
        Conversion::MinutesToMs => 60_000,
        Conversion::HoursToMs => 3_600_000,
    };
    match (value, to) {
        (Value::Null, _) => None,
        (Value::Int(number), ConfigType::Long) => Some(Value::Long(i64::from(*number) * factor)),
        (Value::Long(number), ConfigType::Long) => Some(Value::Long(number.saturating_mul(factor))),
        (other, _) => Some(other.clone()),
    }
}
