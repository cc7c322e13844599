//! What configuration, static and dynamic, means for a topic's logs.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use config::{BrokerConfig, CompressionType, TopicConfig};
use metadata::{ConfigResource, MetadataImage};
use replica::{PartitionSettings, ThrottledReplicas};
use storage::{BrokerCompression, LogConfig};

/// The broker's configuration as it is now, dynamic settings included.
pub(crate) struct Settings {
    current: ArcSwap<BrokerConfig>,
}

impl Settings {
    pub(crate) fn new(config: BrokerConfig) -> Settings {
        Settings { current: ArcSwap::from_pointee(config) }
    }

    /// The configuration now.
    pub(crate) fn broker(&self) -> Arc<BrokerConfig> {
        self.current.load_full()
    }

    /// Takes over the dynamic settings of the image. A set that does not parse (a newer controller took it) is named and
    /// the one before stays.
    pub(crate) fn update(&self, image: &MetadataImage) {
        let current = self.broker();
        let default = overrides(image, &ConfigResource::default_broker());
        let own = overrides(image, &ConfigResource::broker(current.node_id));
        let layers = current.layers();
        if layers.dynamic_default == default && layers.dynamic_broker == own {
            return;
        }
        match current.with_dynamic(default, own) {
            Ok(config) => self.current.store(Arc::new(config)),
            Err(error) => tracing::error!(%error, "a dynamic broker configuration cannot be used"),
        }
    }

    /// What a topic's partitions do.
    pub(crate) fn of_topic(&self, image: &MetadataImage, topic: &str) -> PartitionSettings {
        let broker = self.broker();
        let overrides = overrides(image, &ConfigResource::topic(topic));
        let config = TopicConfig::resolve(&broker.topic_defaults, &overrides).unwrap_or_else(|error| {
            tracing::error!(topic, %error, "a topic's configuration cannot be used, the broker's defaults are");
            broker.topic_defaults.config()
        });
        PartitionSettings {
            min_insync_replicas: usize::try_from(config.min_insync_replicas).unwrap_or(1),
            leader_throttled: ThrottledReplicas::parse(&config.leader_replication_throttled_replicas),
            follower_throttled: ThrottledReplicas::parse(&config.follower_replication_throttled_replicas),
            log: Arc::new(log_config(&config)),
        }
    }
}

/// The keys that were set for a resource.
pub(crate) fn overrides(image: &MetadataImage, resource: &ConfigResource) -> BTreeMap<String, String> {
    image.configs.config(resource).map(|config| BTreeMap::clone(config)).unwrap_or_default()
}

/// The part of a topic's configuration that its logs follow.
pub(crate) fn log_config(config: &TopicConfig) -> LogConfig {
    use protocol::compression::Compression;
    let codec = |codec, level| BrokerCompression::Codec { codec, level };
    LogConfig {
        segment_size: config.segment_bytes,
        segment_ms: config.segment_ms,
        segment_jitter_ms: config.segment_jitter_ms,
        max_index_size: config.segment_index_bytes,
        index_interval: config.index_interval_bytes,
        flush_interval: config.flush_messages,
        flush_ms: config.flush_ms,
        retention_size: config.retention_bytes,
        retention_ms: config.retention_ms,
        max_message_size: config.max_message_bytes,
        max_decompressed_message_size: config.max_decompressed_message_bytes,
        file_delete_delay_ms: config.file_delete_delay_ms,
        delete: config.delete,
        compact: config.compact,
        min_cleanable_ratio: config.min_cleanable_dirty_ratio,
        min_compaction_lag_ms: config.min_compaction_lag_ms,
        max_compaction_lag_ms: config.max_compaction_lag_ms,
        delete_retention_ms: config.delete_retention_ms,
        compression: match config.compression_type {
            CompressionType::Producer => BrokerCompression::Producer,
            CompressionType::Uncompressed => codec(Compression::None, None),
            CompressionType::Gzip => codec(Compression::Gzip, Some(config.compression_gzip_level)),
            CompressionType::Snappy => codec(Compression::Snappy, None),
            CompressionType::Lz4 => codec(Compression::Lz4, Some(config.compression_lz4_level)),
            CompressionType::Zstd => codec(Compression::Zstd, Some(config.compression_zstd_level)),
        },
        message_timestamp_type: match config.message_timestamp_type {
            config::TimestampType::CreateTime => protocol::records::TimestampType::CreateTime,
            config::TimestampType::LogAppendTime => protocol::records::TimestampType::LogAppendTime,
        },
        message_timestamp_before_max_ms: config.message_timestamp_before_max_ms,
        message_timestamp_after_max_ms: config.message_timestamp_after_max_ms,
        preallocate: config.preallocate,
    }
}
