//! What a consumer is configured with. Names and defaults are the Java client's.

use std::time::Duration;

use crate::config::{boolean, millis, number, one_of};
use crate::{ClientConfig, ClientError};

/// Where to begin in a partition, or begin again (`auto.offset.reset`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartOffset {
    /// With the first record that is kept.
    Earliest,
    /// Behind the last record that there is.
    Latest,
    /// At this offset.
    At(i64),
    /// With the first record whose timestamp, in ms since 1970, is this or later; at the end if there is none.
    Timestamp(i64),
}

/// What happens at an offset that the log does not have (`auto.offset.reset`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AutoOffsetReset {
    /// On with the first record that is kept.
    Earliest,
    /// On behind the last record.
    #[default]
    Latest,
    /// It is an error.
    None,
}

/// Which records of transactions are seen (`isolation.level`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IsolationLevel {
    /// All of them.
    #[default]
    ReadUncommitted,
    /// Those of transactions that were committed; reading stops before the first that is still open.
    ReadCommitted,
}

impl IsolationLevel {
    pub(crate) fn code(self) -> i8 {
        match self {
            IsolationLevel::ReadUncommitted => 0,
            IsolationLevel::ReadCommitted => 1,
        }
    }
}

/// What a consumer is configured with.
#[derive(Debug, Clone)]
pub struct ConsumerConfig {
    /// Where the brokers are.
    pub client: ClientConfig,
    /// `fetch.min.bytes`: a broker waits until it has so many.
    pub fetch_min_bytes: i32,
    /// `fetch.max.wait.ms`: how long it waits for them.
    pub fetch_max_wait: Duration,
    /// `fetch.max.bytes`: how much one answer may hold; a single larger batch still comes.
    pub fetch_max_bytes: i32,
    /// `max.partition.fetch.bytes`: the same for one partition.
    pub max_partition_fetch_bytes: i32,
    /// `max.poll.records`.
    pub max_poll_records: usize,
    /// `auto.offset.reset`.
    pub auto_offset_reset: AutoOffsetReset,
    /// `isolation.level`.
    pub isolation_level: IsolationLevel,
    /// `check.crcs`.
    pub check_crcs: bool,
    /// `allow.auto.create.topics`.
    pub allow_auto_create_topics: bool,
}

impl ConsumerConfig {
    /// The Java client's defaults for brokers at `bootstrap_servers`.
    pub fn new(bootstrap_servers: impl Into<String>) -> ConsumerConfig {
        ConsumerConfig {
            client: ClientConfig::new(bootstrap_servers),
            fetch_min_bytes: 1,
            fetch_max_wait: Duration::from_millis(500),
            fetch_max_bytes: 50 * 1024 * 1024,
            max_partition_fetch_bytes: 1024 * 1024,
            max_poll_records: 500,
            auto_offset_reset: AutoOffsetReset::Latest,
            isolation_level: IsolationLevel::ReadUncommitted,
            check_crcs: true,
            allow_auto_create_topics: true,
        }
    }

    /// Sets a key by its name in Kafka's documentation. `Ok(false)` where no such key has an effect here.
    ///
    /// # Errors
    /// [`ClientError::Config`] for a value that the key does not take.
    pub fn set(&mut self, key: &str, value: &str) -> Result<bool, ClientError> {
        match key {
            "fetch.min.bytes" => self.fetch_min_bytes = number(key, value)?,
            "fetch.max.wait.ms" => self.fetch_max_wait = millis(key, value)?,
            "fetch.max.bytes" => {
                self.fetch_max_bytes = number::<u32>(key, value)?.min(i32::MAX as u32) as i32
            }
            "max.partition.fetch.bytes" => {
                self.max_partition_fetch_bytes = number::<u32>(key, value)?.min(i32::MAX as u32) as i32;
            }
            "max.poll.records" => {
                self.max_poll_records = number::<std::num::NonZeroU32>(key, value)?.get() as usize
            }
            "auto.offset.reset" => {
                use AutoOffsetReset::{Earliest, Latest, None};
                let words = [("latest", Latest), ("earliest", Earliest), ("none", None)];
                self.auto_offset_reset = one_of(key, value, &words)?;
            }
            "isolation.level" => {
                use IsolationLevel::{ReadCommitted, ReadUncommitted};
                let words = [("read_committed", ReadCommitted), ("read_uncommitted", ReadUncommitted)];
                self.isolation_level = one_of(key, value, &words)?;
            }
            "check.crcs" => self.check_crcs = boolean(key, value)?,
            "allow.auto.create.topics" => self.allow_auto_create_topics = boolean(key, value)?,
            _ => return self.client.set(key, value),
        }
        Ok(true)
    }
}
