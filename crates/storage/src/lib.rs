//! Logs on disk: a partition's directory as Apache Kafka 4.4 writes it, byte for byte.
//!
//! | Here | In Kafka |
//! | --- | --- |
//! | [`Log`] | `UnifiedLog`, `LocalLog`, `LogLoader`, `LogValidator` |
//! | `LogSegment`, indexes | `LogSegment`, `OffsetIndex`, `TimeIndex`, `TransactionIndex` |
//! | producers | `ProducerStateManager` (KIP-98) |
//! | leader epochs | `LeaderEpochFileCache` (KIP-101) |
//! | [`LogManager`] | `LogManager`, `LogDirFailureChannel` |
//! | [`LogCleaner`] | `LogCleaner`, `LogCleanerManager`, `Cleaner` |
//! | [`checkpoint`] | the small text files |
//!
//! Everything blocks, nothing starts a thread but [`LogManager::load`], and time is an argument. Each log has one writer at a time,
//! behind a lock; readers take no lock that the writer holds while it does I/O. Knows neither who leads nor what a request is.

mod batch_reader;
pub mod checkpoint;
mod cleaner;
mod config;
mod crash_point;
mod dir_health;
mod disk_watch;
mod error;
pub mod file_names;
mod index;
mod leader_epoch_cache;
mod log;
mod manager;
mod paths;
mod producer;
mod segment;
mod types;

pub use cleaner::{CleanerConfig, CleanerHost, LogCleaner};
pub use config::{BrokerCompression, LogConfig};
pub use dir_health::{DirHealth, LogDirFailureChannel};
pub use disk_watch::{DiskWatch, HandOver, Look, serves_nobody};
pub use error::{AppendError, LogError, ReadError, RecordError, StorageError};
pub use index::{AbortedTxn, OFFSET_INDEX_ENTRY_SIZE, TIME_INDEX_ENTRY_SIZE, TimestampOffset};
pub use leader_epoch_cache::{EpochEntry, LeaderEpochCache, OffsetAndEpoch};
pub use log::{Log, OpenOptions, timestamps};
pub use manager::{LogDirError, LogManager, LogManagerConfig};
pub use producer::{BatchMetadata, ProducerError, ProducerStateEntry, TRANSACTION_VERSION_UNKNOWN};
pub use types::{AppendInfo, AppendOrigin, FetchInfo, LogOffsetMetadata, LogSlice, TimestampAndOffset};
