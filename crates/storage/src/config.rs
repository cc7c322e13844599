//! The settings of one log (`LogConfig`). Names, defaults and validation are in the crate `config`; this is what is left when
//! topic, broker and default have been merged.

use protocol::compression::Compression;
use protocol::records::TimestampType;

/// The codec in which a log keeps batches (`compression.type`, `BrokerCompressionType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerCompression {
    /// `producer`: as the producer sent them.
    Producer,
    /// Always this codec; batches in another are written anew.
    Codec {
        /// The codec; `uncompressed` is [`Compression::None`].
        codec: Compression,
        /// The codec's level; `None` is its default.
        level: Option<i32>,
    },
}

/// The settings of one log. The field names are those of Kafka's `LogConfig`, the comments name the topic's key.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// `segment.bytes`.
    pub segment_size: i32,
    /// `segment.ms`.
    pub segment_ms: i64,
    /// `segment.jitter.ms`: each segment rolls earlier by a random part of this.
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`: the size at which an index is full.
    pub max_index_size: i32,
    /// `index.interval.bytes`: an index entry is made when more than this was appended since the last.
    pub index_interval: i32,
    /// `flush.messages`: records that may be unsynced when an append is acknowledged.
    pub flush_interval: i64,
    /// `flush.ms`: how long records may stay unsynced.
    pub flush_ms: i64,
    /// `retention.bytes`; negative: no limit.
    pub retention_size: i64,
    /// `retention.ms`; negative: no limit.
    pub retention_ms: i64,
    /// `max.message.bytes`: the largest batch, as it is stored.
    pub max_message_size: i32,
    /// `max.decompressed.message.bytes`: the largest record of a compressed batch, decompressed.
    pub max_decompressed_message_size: i32,
    /// `file.delete.delay.ms`: how long a deleted file stays, so that readers can finish.
    pub file_delete_delay_ms: i64,
    /// `cleanup.policy` contains `delete`.
    pub delete: bool,
    /// `cleanup.policy` contains `compact`: records must have keys.
    pub compact: bool,
    /// `min.cleanable.dirty.ratio`: the part of the log that must be dirty before it is compacted.
    pub min_cleanable_ratio: f64,
    /// `min.compaction.lag.ms`: what is younger is not compacted.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`: with `compact`, segments roll at least this often, and what is older is compacted whatever the ratio.
    pub max_compaction_lag_ms: i64,
    /// `delete.retention.ms`: how long tombstones and transaction markers stay after the first time they were compacted.
    pub delete_retention_ms: i64,
    /// `compression.type`, with the level of `compression.<codec>.level`.
    pub compression: BrokerCompression,
    /// `message.timestamp.type`.
    pub message_timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub message_timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub message_timestamp_after_max_ms: i64,
    /// `preallocate`: reserve the blocks of a whole segment when it is created.
    pub preallocate: bool,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            segment_size: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
            segment_jitter_ms: 0,
            max_index_size: 10 << 20,
            index_interval: 4096,
            flush_interval: i64::MAX,
            flush_ms: i64::MAX,
            retention_size: -1,
            retention_ms: 7 * 24 * 3_600_000,
            max_message_size: (1 << 20) + 12,
            max_decompressed_message_size: i32::MAX,
            file_delete_delay_ms: 60_000,
            delete: true,
            compact: false,
            min_cleanable_ratio: 0.5,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            delete_retention_ms: 24 * 3_600_000,
            compression: BrokerCompression::Producer,
            message_timestamp_type: TimestampType::CreateTime,
            message_timestamp_before_max_ms: i64::MAX,
            message_timestamp_after_max_ms: 3_600_000,
            preallocate: false,
        }
    }
}

impl LogConfig {
    /// The time after which a segment rolls: a log that compacts must roll within the compaction lag, since the active segment
    /// is never compacted (KIP-354).
    pub fn max_segment_ms(&self) -> i64 {
        if self.compact && self.max_compaction_lag_ms > 0 {
            self.max_compaction_lag_ms.min(self.segment_ms)
        } else {
            self.segment_ms
        }
    }

    /// The codec in which a batch that came in `source` is stored.
    pub fn target_compression(&self, source: Compression) -> (Compression, Option<i32>) {
        match self.compression {
            BrokerCompression::Producer => (source, None),
            BrokerCompression::Codec { codec, level } => (codec, level),
        }
    }
}
