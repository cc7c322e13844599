//! What compaction leaves of a log, and what it leaves alone.

mod crash;
mod life;
mod transactions;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::TopicPartition;
use protocol::compression::Compression;
use protocol::records::{Batches, RecordBatchBuilder, TimestampType};
use tempfile::TempDir;

use super::*;
use crate::config::LogConfig;
use crate::manager::LogManagerConfig;
use crate::types::AppendOrigin;

const NOW_MS: i64 = 1_700_000_000_000;

/// A record as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    offset: i64,
    key: Option<String>,
    value: Option<String>,
}

fn seen(offset: i64, key: &str, value: &str) -> Seen {
    let value = (!value.is_empty()).then(|| value.to_owned());
    Seen { offset, key: Some(key.to_owned()), value }
}

/// A log directory with a compacted log, and its cleaner. An empty value is a tombstone.
struct World {
    root: TempDir,
    logs: Arc<LogManager>,
    cleaner: LogCleaner,
    now_ms: Cell<i64>,
}

fn compacting() -> LogConfig {
    LogConfig {
        compact: true,
        delete: false,
        segment_size: 1000,
        index_interval: 100,
        min_cleanable_ratio: 0.0,
        delete_retention_ms: 1000,
        file_delete_delay_ms: 1000,
        ..LogConfig::default()
    }
}

fn partition(topic: &str) -> TopicPartition {
    TopicPartition::new(topic, 0)
}

fn open_manager(root: &Path, config: LogConfig) -> Arc<LogManager> {
    let manager = LogManager::open(LogManagerConfig {
        log_dirs: vec![root.to_owned()],
        cluster_id: Some("cluster".to_owned()),
        node_id: 1,
        num_recovery_threads_per_data_dir: 1,
        default_config: Arc::new(config),
        producer_id_expiration_ms: 86_400_000,
    });
    let manager = manager.unwrap();
    manager.load(&|_| None, &|_, _| false, NOW_MS).unwrap();
    Arc::new(manager)
}

impl World {
    fn new(config: LogConfig) -> World {
        World::with_cleaner(config, CleanerConfig::default())
    }

    fn with_cleaner(config: LogConfig, cleaner: CleanerConfig) -> World {
        let root = tempfile::tempdir().unwrap();
        let logs = open_manager(root.path(), config);
        let world = World {
            root,
            cleaner: LogCleaner::new(Arc::clone(&logs), cleaner),
            logs,
            now_ms: Cell::new(NOW_MS),
        };
        world.create("t");
        world
    }

    fn create(&self, topic: &str) -> Arc<Log> {
        self.logs.create_log(&partition(topic), None, self.logs.default_config(), NOW_MS).unwrap()
    }

    fn log(&self) -> Arc<Log> {
        self.logs.get_log(&partition("t")).unwrap()
    }

    fn dir(&self) -> PathBuf {
        self.log().dir()
    }

    fn append(&self, topic: &str, records: &[u8], origin: AppendOrigin) -> i64 {
        let log = self.logs.get_log(&partition(topic)).unwrap();
        let info = log.append_as_leader(records, 0, origin, self.now_ms.get()).unwrap();
        log.update_high_watermark(log.log_end_offset());
        info.first_offset
    }

    fn put(&self, records: &[(&str, &str)]) -> i64 {
        self.append("t", &batch(records, self.now_ms.get(), Compression::None), AppendOrigin::Client)
    }

    fn roll(&self) {
        self.log().roll(self.now_ms.get()).unwrap();
    }

    fn clean(&self) -> bool {
        clean_with(&self.cleaner, self.now_ms.get())
    }

    fn pass_ms(&self, ms: i64) {
        self.now_ms.set(self.now_ms.get() + ms);
    }

    fn seen(&self) -> Vec<Seen> {
        read_all(&self.log())
    }

    fn checkpoint(&self) -> String {
        std::fs::read_to_string(self.root.path().join("cleaner-offset-checkpoint")).unwrap_or_default()
    }
}

fn clean_with(cleaner: &LogCleaner, now_ms: i64) -> bool {
    let host = CleanerHost { monotonic_ns: &|| 0, sleep: &|_| {}, is_stopping: &|| false };
    cleaner.clean_filthiest(&host, now_ms)
}

fn batch(records: &[(&str, &str)], timestamp: i64, compression: Compression) -> Vec<u8> {
    fill(RecordBatchBuilder::new(0, compression, TimestampType::CreateTime), records, timestamp)
}

fn fill(mut builder: RecordBatchBuilder, records: &[(&str, &str)], timestamp: i64) -> Vec<u8> {
    for (key, value) in records {
        let value = (!value.is_empty()).then_some(value.as_bytes());
        builder.append(timestamp, Some(key.as_bytes()), value, &[]).unwrap();
    }
    builder.build()
}

/// The bytes of all batches, as a reader gets them one fetch after another.
fn batches(log: &Log) -> Vec<Vec<u8>> {
    let mut offset = log.log_start_offset();
    let mut found = Vec::new();
    while offset < log.log_end_offset() {
        let fetched = log.read(offset, 300, log.log_end_offset(), true).unwrap();
        let mut bytes = Vec::new();
        fetched.records.read_into(&mut bytes).unwrap();
        let before = offset;
        for batch in Batches::new(&bytes) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            assert!(batch.next_offset() > offset, "offsets rise");
            offset = batch.next_offset();
            found.push(batch.as_bytes().to_vec());
        }
        if offset == before {
            break;
        }
    }
    found
}

fn read_all(log: &Log) -> Vec<Seen> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut found = Vec::new();
    for bytes in batches(log) {
        let batch = protocol::records::RecordBatch::parse(&bytes).unwrap();
        if batch.is_control() {
            continue;
        }
        let records = batch.decompress(1 << 20).unwrap();
        for record in records.iter() {
            let record = record.unwrap();
            found.push(Seen {
                offset: record.offset,
                key: record.key.map(text),
                value: record.value.map(text),
            });
        }
    }
    found
}

fn latest(records: &[Seen]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for record in records {
        let key = record.key.clone().unwrap_or_default();
        match &record.value {
            Some(value) => found.insert(key, value.clone()),
            None => found.remove(&key),
        };
    }
    found
}

#[test]
fn the_last_record_of_each_key_stays_at_its_offset() {
    let world = World::new(compacting());
    world.put(&[("a", "1"), ("b", "1"), ("a", "2")]);
    world.put(&[("c", "1"), ("a", "3")]);
    world.roll();
    world.put(&[("b", "2"), ("d", "1")]);
    world.roll();
    world.put(&[("c", "2")]);
    assert!(world.clean());
    // The active segment is neither compacted nor looked at: c stays twice.
    let expected =
        [seen(3, "c", "1"), seen(4, "a", "3"), seen(5, "b", "2"), seen(6, "d", "1"), seen(7, "c", "2")];
    assert_eq!(world.seen(), expected);
    assert_eq!(world.checkpoint(), "0\n1\nt 0 7\n");
    assert_eq!(world.log().segment_base_offsets(), [0, 7]);
    assert_eq!((world.log().log_start_offset(), world.log().log_end_offset()), (0, 8));
    assert!(!world.clean());
    world.roll();
    assert!(world.clean());
    assert_eq!(world.seen(), expected[1..]);
    // The old files go when readers have had their time.
    world.logs.retention(NOW_MS + 10_000);
    let names: Vec<_> = std::fs::read_dir(world.dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".deleted") || name.contains(".cleaned") || name.contains(".swap"))
        .collect();
    assert!(names.is_empty(), "{names:?}");
    world.logs.shutdown(1).unwrap();
    drop(world.cleaner);
    let reopened = open_manager(world.root.path(), compacting());
    let log = reopened.get_log(&partition("t")).unwrap();
    assert_eq!(read_all(&log), expected[1..]);
    assert_eq!(log.first_dirty_offset(), Some(8));
}

#[test]
fn a_tombstone_stays_until_its_horizon() {
    let world = World::new(compacting());
    world.put(&[("a", "1"), ("b", "1")]);
    world.put(&[("a", "")]);
    world.roll();
    assert!(world.clean());
    assert_eq!(world.seen(), [seen(1, "b", "1"), seen(2, "a", "")]);
    world.pass_ms(999);
    world.put(&[("c", "1")]);
    world.roll();
    assert!(world.clean());
    assert_eq!(world.seen(), [seen(1, "b", "1"), seen(2, "a", ""), seen(3, "c", "1")]);
    world.pass_ms(1);
    world.put(&[("c", "2")]);
    world.roll();
    assert!(world.clean());
    assert_eq!(world.seen(), [seen(1, "b", "1"), seen(4, "c", "2")]);
}

#[test]
fn what_is_not_dropped_is_not_touched() {
    for compression in
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
    {
        let world = World::new(compacting());
        let send = |records: &[(&str, &str)]| {
            world.append("t", &batch(records, NOW_MS, compression), AppendOrigin::Client)
        };
        send(&[("a", "1"), ("b", "1")]);
        send(&[("c", "1"), ("d", "1")]);
        send(&[("a", "2")]);
        world.roll();
        let before = batches(&world.log());
        assert!(world.clean());
        let after = batches(&world.log());
        assert_eq!(after[1..], before[1..]);
        let (old, new) = (
            Batches::new(&before[0]).next().unwrap().unwrap(),
            Batches::new(&after[0]).next().unwrap().unwrap(),
        );
        assert_eq!(new.compression(), compression);
        assert_eq!((new.base_offset(), new.last_offset(), new.records_count()), (0, 1, 1));
        assert_eq!(
            (new.partition_leader_epoch(), new.max_timestamp()),
            (old.partition_leader_epoch(), NOW_MS)
        );
        assert_eq!(world.seen()[0], seen(1, "b", "1"));
    }
}

#[test]
fn the_end_of_a_round_is_remembered_though_its_record_goes() {
    let world = World::new(compacting());
    world.put(&[("a", "1")]);
    world.put(&[("b", "1")]);
    world.roll();
    world.put(&[("b", "2")]);
    world.put(&[("a", "2")]);
    world.roll();
    // Only the first segment is old enough, but the map is made of it alone, so nothing goes; then everything is.
    assert!(world.clean());
    assert_eq!(world.seen(), [seen(2, "b", "2"), seen(3, "a", "2")]);
    world.put(&[("a", "")]);
    world.roll();
    world.clean();
    world.pass_ms(2000);
    world.put(&[("z", "1")]);
    world.put(&[("z", "")]);
    world.roll();
    world.clean();
    world.pass_ms(2000);
    world.put(&[("b", "3")]);
    world.roll();
    assert!(world.clean());
    let last = batches(&world.log()).last().unwrap().clone();
    let last = Batches::new(&last).next().unwrap().unwrap();
    assert_eq!(last.next_offset(), world.log().log_end_offset());
    assert_eq!(world.seen(), [seen(7, "b", "3")]);
}

#[test]
fn records_without_keys_go_when_a_log_begins_to_compact() {
    let world = World::new(LogConfig { compact: false, ..compacting() });
    let mut builder = RecordBatchBuilder::new(0, Compression::None, TimestampType::CreateTime);
    builder.append(NOW_MS, None, Some(b"keyless"), &[]).unwrap();
    builder.append(NOW_MS, Some(b"a"), Some(b"1"), &[]).unwrap();
    let records = builder.build();
    world.append("t", &records, AppendOrigin::Client);
    world.roll();
    assert!(!world.clean());
    world.log().update_config(Arc::new(compacting()));
    let refused = world.log().append_as_leader(&records, 0, AppendOrigin::Client, NOW_MS).unwrap_err();
    assert_eq!(refused.error_code(), common::ErrorCode::InvalidRecord);
    assert!(world.clean());
    assert_eq!(world.seen(), [seen(1, "a", "1")]);
}

#[test]
fn with_little_memory_it_takes_more_rounds() {
    let config = CleanerConfig {
        dedupe_buffer_size: 24 * 5,
        dedupe_buffer_load_factor: 0.8,
        ..CleanerConfig::default()
    };
    let world = World::with_cleaner(compacting(), config);
    for round in 0..3 {
        for key in 0..20 {
            world.put(&[(&format!("key-{key}"), &format!("{round}"))]);
        }
    }
    world.roll();
    let expected = latest(&world.seen());
    let mut rounds = 0;
    let mut done_up_to = 0;
    while world.clean() {
        rounds += 1;
        let first_dirty = world.log().first_dirty_offset().unwrap();
        assert!(first_dirty > done_up_to);
        done_up_to = first_dirty;
        assert_eq!(latest(&world.seen()), expected);
    }
    assert!(rounds >= 10, "{rounds}");
    assert_eq!(done_up_to, 60);
}

#[test]
fn small_segments_are_put_together_and_stay_within_the_limit() {
    let world = World::new(LogConfig { segment_size: 1000, ..compacting() });
    for n in 0..40 {
        world.put(&[(&format!("{n:04}"), &"v".repeat(50)), ("same", "v")]);
        if n % 3 == 0 {
            world.roll();
        }
    }
    world.roll();
    let count = world.log().segment_count();
    while world.clean() {}
    world.put(&[("x", "1")]);
    world.roll();
    assert!(world.clean());
    assert!(world.log().segment_count() < count / 2 + 2, "{} of {count}", world.log().segment_count());
    for segment in world.log().segments().iter() {
        assert!(segment.size() <= 1000);
    }
    assert_eq!(world.seen().len(), 42);
}
