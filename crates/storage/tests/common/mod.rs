//! What the tests of whole logs share.
#![allow(dead_code)] // each test file uses its part

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::TopicPartition;
use protocol::compression::Compression;
use protocol::records::{Batches, RecordBatchBuilder, TimestampType};
use storage::{AppendOrigin, Log, LogConfig, LogManager, LogManagerConfig, OpenOptions};

pub const NOW_MS: i64 = 1_700_000_000_000;

pub fn partition() -> TopicPartition {
    TopicPartition::new("topic", 0)
}

/// A config with small segments and indexes that are dense.
pub fn small_config() -> LogConfig {
    LogConfig { segment_size: 1000, index_interval: 100, file_delete_delay_ms: 1000, ..LogConfig::default() }
}

pub fn open(dir: &Path, config: LogConfig) -> Log {
    Log::open(dir, OpenOptions::new(partition(), Arc::new(config), NOW_MS)).unwrap()
}

/// What a broker's logs in `dir` are opened with.
pub fn manager_config(dir: &Path, default_config: LogConfig) -> LogManagerConfig {
    LogManagerConfig {
        log_dirs: vec![dir.to_owned()],
        cluster_id: Some("cluster".to_owned()),
        node_id: 1,
        num_recovery_threads_per_data_dir: 1,
        default_config: Arc::new(default_config),
        producer_id_expiration_ms: 86_400_000,
    }
}

/// A broker's logs in `dir`, loaded.
pub fn open_manager(dir: &Path, default_config: LogConfig) -> LogManager {
    let manager = LogManager::open(manager_config(dir, default_config)).unwrap();
    manager.load(&|_| None, &|_, _| false, NOW_MS).unwrap();
    manager
}

/// A batch as a producer sends it: `count` records of `size` bytes, the first with `timestamp`.
pub fn batch(count: usize, size: usize, timestamp: i64) -> Vec<u8> {
    build(count, size, timestamp, None, false)
}

/// The same from an idempotent producer.
pub fn idempotent(count: usize, producer: (i64, i16, i32)) -> Vec<u8> {
    build(count, 10, NOW_MS, Some(producer), false)
}

/// The same within a transaction.
pub fn transactional(count: usize, producer: (i64, i16, i32)) -> Vec<u8> {
    build(count, 10, NOW_MS, Some(producer), true)
}

fn build(
    count: usize,
    size: usize,
    timestamp: i64,
    producer: Option<(i64, i16, i32)>,
    transactional: bool,
) -> Vec<u8> {
    let mut builder = RecordBatchBuilder::new(0, Compression::None, TimestampType::CreateTime)
        .with_transactional(transactional);
    if let Some((id, epoch, sequence)) = producer {
        builder = builder.with_producer(id, epoch, sequence);
    }
    for index in 0..count {
        let value = vec![b'a' + (index % 26) as u8; size];
        builder.append(timestamp + index as i64, Some(b"key"), Some(&value), &[]).unwrap();
    }
    builder.build()
}

pub fn append(log: &Log, records: &[u8]) -> storage::AppendInfo {
    log.append_as_leader(records, 0, AppendOrigin::Client, NOW_MS).unwrap()
}

/// All offsets of the batches that a log serves, by reading as a consumer does.
pub fn served(log: &Log) -> Vec<(i64, i64)> {
    let mut offset = log.log_start_offset();
    let mut batches = Vec::new();
    while offset < log.log_end_offset() {
        let found = log.read(offset, 300, log.log_end_offset(), true).unwrap();
        let mut bytes = Vec::new();
        found.records.read_into(&mut bytes).unwrap();
        let mut progress = false;
        for batch in Batches::new(&bytes) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            batches.push((batch.base_offset(), batch.last_offset()));
            offset = batch.next_offset();
            progress = true;
        }
        assert!(progress, "a read at {offset} serves no whole batch");
    }
    batches
}

pub fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// The names of the files in a directory, sorted.
pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
