//! What a producer is configured with. Names and defaults are the Java client's.

use std::collections::HashMap;
use std::time::Duration;

use protocol::compression::Compression;

use super::Interceptors;
use crate::config::{boolean, invalid, millis, number, one_of};
use crate::{ClientConfig, ClientError};

/// Who must have a record before it counts as delivered (`acks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acks {
    /// Nobody: no answer is waited for, and offsets are not known.
    None,
    /// The leader.
    Leader,
    /// Every replica in sync.
    #[default]
    All,
}

impl Acks {
    pub(crate) fn code(self) -> i16 {
        match self {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        }
    }
}

/// What a producer is configured with.
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    /// Where the brokers are.
    pub client: ClientConfig,
    /// `acks`.
    pub acks: Acks,
    /// `enable.idempotence`: a record that is sent again is not written again. Needs [`Acks::All`].
    pub enable_idempotence: bool,
    /// `linger.ms`: how long a batch that is not full waits for more.
    pub linger: Duration,
    /// `batch.size`, in bytes.
    pub batch_size: usize,
    /// `compression.type`.
    pub compression: Compression,
    /// `compression.gzip.level`, `compression.lz4.level` and `compression.zstd.level`, by codec; its default where there is none.
    pub compression_levels: HashMap<Compression, i32>,
    /// `buffer.memory`, in bytes: what is queued and not yet delivered.
    pub buffer_memory: usize,
    /// `max.request.size`, in bytes.
    pub max_request_size: usize,
    /// `max.block.ms`.
    pub max_block: Duration,
    /// `delivery.timeout.ms`.
    pub delivery_timeout: Duration,
    /// `max.in.flight.requests.per.connection`: how many requests to a broker may be under way, each with batches of several
    /// partitions; of an idempotent producer five batches of a partition at most. Without idempotence, one that is sent again may land
    /// behind its followers where there is more than one.
    pub max_in_flight_requests: usize,
    /// `partitioner.ignore.keys`: records with a key go where those without one go.
    pub partitioner_ignore_keys: bool,
    /// `partitioner.adaptive.partitioning.enable`: records without key go to partitions that less waits for rather than to others
    /// (KIP-794).
    pub partitioner_adaptive: bool,
    /// `partitioner.availability.timeout.ms`: a partition whose leader has taken nothing for so long gets no records without key;
    /// zero is never.
    pub partitioner_availability_timeout: Duration,
    /// `partitioner.rack.aware`: records without key go to partitions whose leader is in this producer's rack, as long as there is one
    /// that takes something (KIP-1123).
    pub partitioner_rack_aware: bool,
    /// `client.rack`.
    pub client_rack: String,
    /// What sees every record (`interceptor.classes`).
    pub interceptors: Interceptors,
    /// `retries`: how often a batch is sent again after a broker said that it may be. Connections that are lost do not
    /// count: `delivery.timeout.ms` bounds those.
    pub retries: u32,
}

impl ProducerConfig {
    /// The Java client's defaults for brokers at `bootstrap_servers`.
    pub fn new(bootstrap_servers: impl Into<String>) -> ProducerConfig {
        ProducerConfig {
            client: ClientConfig::new(bootstrap_servers),
            acks: Acks::All,
            enable_idempotence: true,
            linger: Duration::from_millis(5),
            batch_size: 16_384,
            compression: Compression::None,
            compression_levels: HashMap::new(),
            buffer_memory: 32 * 1024 * 1024,
            max_request_size: 1024 * 1024,
            max_block: Duration::from_secs(60),
            delivery_timeout: Duration::from_secs(120),
            max_in_flight_requests: 5,
            partitioner_ignore_keys: false,
            partitioner_adaptive: true,
            partitioner_availability_timeout: Duration::ZERO,
            partitioner_rack_aware: false,
            client_rack: String::new(),
            interceptors: Interceptors::default(),
            retries: i32::MAX as u32,
        }
    }

    /// Sets a key by its name in Kafka's documentation. `Ok(false)` where no such key has an effect here.
    ///
    /// # Errors
    /// [`ClientError::Config`] for a value that the key does not take.
    pub fn set(&mut self, key: &str, value: &str) -> Result<bool, ClientError> {
        match key {
            "acks" => {
                let words = [("all", Acks::All), ("-1", Acks::All), ("0", Acks::None), ("1", Acks::Leader)];
                self.acks = one_of(key, value, &words)?;
            }
            "enable.idempotence" => self.enable_idempotence = boolean(key, value)?,
            "linger.ms" => self.linger = millis(key, value)?,
            "batch.size" => self.batch_size = number::<u32>(key, value)? as usize,
            "compression.type" => {
                self.compression = Compression::from_name(value.trim()).ok_or_else(|| {
                    invalid(key, value, "String must be one of: none, gzip, snappy, lz4, zstd")
                })?;
            }
            "compression.gzip.level" => self.set_level(Compression::Gzip, key, value)?,
            "compression.lz4.level" => self.set_level(Compression::Lz4, key, value)?,
            "compression.zstd.level" => self.set_level(Compression::Zstd, key, value)?,
            "buffer.memory" => self.buffer_memory = number(key, value)?,
            "max.request.size" => self.max_request_size = number::<u32>(key, value)? as usize,
            "max.block.ms" => self.max_block = millis(key, value)?,
            "delivery.timeout.ms" => self.delivery_timeout = millis(key, value)?,
            "max.in.flight.requests.per.connection" => {
                self.max_in_flight_requests = number::<std::num::NonZeroU32>(key, value)?.get() as usize;
            }
            "partitioner.ignore.keys" => self.partitioner_ignore_keys = boolean(key, value)?,
            "partitioner.adaptive.partitioning.enable" => self.partitioner_adaptive = boolean(key, value)?,
            "partitioner.availability.timeout.ms" => {
                self.partitioner_availability_timeout = millis(key, value)?;
            }
            "partitioner.rack.aware" => self.partitioner_rack_aware = boolean(key, value)?,
            "client.rack" => self.client_rack = value.to_owned(),
            "retries" => self.retries = number(key, value)?,
            _ => return self.client.set(key, value),
        }
        Ok(true)
    }

    fn set_level(&mut self, codec: Compression, key: &str, value: &str) -> Result<(), ClientError> {
        let level = number(key, value)?;
        if let Some((lowest, default, highest)) = codec.levels()
            && level != default
            && !(lowest..=highest).contains(&level)
        {
            return Err(invalid(key, value, format!("Value must be between {lowest} and {highest}")));
        }
        self.compression_levels.insert(codec, level);
        Ok(())
    }
}
