//! Directories that Apache Kafka wrote (`vectors/README.md`): read, and written anew from the same batches.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{TopicPartition, Uuid};
use protocol::records::{Batches, RecordBatch, TimestampType};
use storage::checkpoint::{CleanShutdownFile, MetaProperties, read_offsets};
use storage::{AppendOrigin, Log, LogConfig, LogManager, LogManagerConfig, OpenOptions, timestamps};

const NOW_MS: i64 = 1_795_258_000_000;
const TOPICS: [&str; 6] = ["plain", "rolled", "transactions", "codecs", "append-time", "deleted"];

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/kafka-4.4")
}

/// The settings that the topics were made with.
fn config(topic: &str) -> LogConfig {
    let (segment_size, index_interval) = match topic {
        "rolled" => (6000, 500),
        "transactions" => (4000, 0),
        "codecs" => (1 << 30, 300),
        "append-time" => (1 << 30, 200),
        "deleted" => (3000, 4096),
        _ => (1 << 30, 4096),
    };
    LogConfig { segment_size, index_interval, retention_ms: -1, ..LogConfig::default() }
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// All files of a directory and their bytes.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// Compares two directories, and names the first file that differs.
fn assert_same_files(ours: &Path, theirs: &Path) {
    let (ours, theirs) = (files(ours), files(theirs));
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (name, bytes) in &ours {
        assert!(*bytes == theirs[name], "{name} is\n{bytes:?}, not\n{:?}", theirs[name]);
    }
}

/// Takes the producer snapshot away that is before the log's start: Kafka, too, drops it at the next start.
fn without_old_snapshot(topic: &str, partition_dir: &Path) {
    if topic == "deleted" {
        fs::remove_file(partition_dir.join("00000000000000000030.snapshot")).unwrap();
    }
}

fn options(topic: &str) -> OpenOptions {
    let partition = TopicPartition::new(topic, 0);
    let points = |file: &str| read_offsets(&vectors().join(file)).unwrap();
    OpenOptions {
        recovery_point: points("recovery-point-offset-checkpoint").get(&partition).copied().unwrap_or(0),
        log_start_offset: points("log-start-offset-checkpoint").get(&partition).copied().unwrap_or(0),
        clean_shutdown: true,
        ..OpenOptions::new(partition, Arc::new(config(topic)), NOW_MS)
    }
}

/// What ListOffsets of Apache Kafka said: `topic start ... end ... max ... lso ...` and `topic at <time> ...`.
fn list_offsets() -> Vec<String> {
    fs::read_to_string(vectors().join("list-offsets.txt")).unwrap().lines().map(str::to_owned).collect()
}

fn offset_after(text: &str, key: &str) -> i64 {
    let rest = text.split_once(key).unwrap().1;
    let rest = rest.split_once("offset=").unwrap().1;
    rest[..rest.find(',').unwrap()].parse().unwrap()
}

fn timestamp_after(text: &str, key: &str) -> i64 {
    let rest = text.split_once(key).unwrap().1;
    let rest = rest.split_once("timestamp=").unwrap().1;
    rest[..rest.find(',').unwrap()].parse().unwrap()
}

#[test]
fn apaches_directories_are_opened_as_apache_saw_them() {
    for topic in TOPICS {
        let dir = tempfile::tempdir().unwrap();
        let partition_dir = dir.path().join(format!("{topic}-0"));
        copy_dir(&vectors().join(format!("{topic}-0")), &partition_dir);
        without_old_snapshot(topic, &partition_dir);
        let before = tempfile::tempdir().unwrap();
        copy_dir(&partition_dir, before.path());
        let log = Log::open(&partition_dir, options(topic)).unwrap();
        log.update_high_watermark(i64::MAX);
        let lines = list_offsets();
        let summary = lines.iter().find(|line| line.starts_with(&format!("{topic} start"))).unwrap();
        assert_eq!(log.log_start_offset(), offset_after(summary, "start"), "{topic}");
        assert_eq!(log.log_end_offset(), offset_after(summary, " end"), "{topic}");
        let stable: i64 = summary.rsplit_once("lso ").unwrap().1.parse().unwrap();
        assert_eq!(log.last_stable_offset(), stable, "{topic}");
        let max = log.fetch_offset_by_timestamp(timestamps::MAX_TIMESTAMP).unwrap().unwrap();
        assert_eq!(max.offset, offset_after(summary, " max"), "{topic}");
        assert_eq!(max.timestamp, timestamp_after(summary, " max"), "{topic}");
        for line in lines.iter().filter(|line| line.starts_with(&format!("{topic} at"))) {
            let at: i64 = line.split(' ').nth(2).unwrap().parse().unwrap();
            let found = log.fetch_offset_by_timestamp(at).unwrap();
            let (timestamp, offset) = found.map_or((-1, -1), |found| (found.timestamp, found.offset));
            assert_eq!(
                (timestamp, offset),
                (timestamp_after(line, " at"), offset_after(line, " at")),
                "{line}"
            );
        }
        // Each offset is read from the batch that holds it.
        for offset in log.log_start_offset()..log.log_end_offset() {
            let found = log.read(offset, 1, log.log_end_offset(), true).unwrap();
            let mut bytes = Vec::new();
            found.records.read_into(&mut bytes).unwrap();
            let batch = RecordBatch::parse(&bytes).unwrap();
            batch.verify_crc().unwrap();
            assert!((batch.base_offset()..=batch.last_offset()).contains(&offset), "{topic} {offset}");
        }
        assert_eq!(log.topic_id(), storage::checkpoint::read_partition_metadata(&partition_dir).unwrap(),);
        log.close().unwrap();
        // Opening and closing changes nothing.
        assert_same_files(&partition_dir, before.path());
    }
}

/// Appends the batches of a directory one by one.
fn replay(from: &Path, log: &Log) {
    for (name, bytes) in files(from) {
        if name.ends_with(".log") {
            for batch in Batches::new(&bytes) {
                log.append_as_follower(batch.unwrap().as_bytes(), i32::MAX, NOW_MS).unwrap();
            }
        }
    }
}

#[test]
fn the_same_batches_make_the_same_files() {
    for topic in TOPICS {
        let golden = vectors().join(format!("{topic}-0"));
        let dir = tempfile::tempdir().unwrap();
        let partition_dir = dir.path().join(format!("{topic}-0"));
        let topic_id = storage::checkpoint::read_partition_metadata(&golden).unwrap();
        let options = OpenOptions {
            topic_id,
            ..OpenOptions::new(TopicPartition::new(topic, 0), Arc::new(config(topic)), NOW_MS)
        };
        let log = Log::open(&partition_dir, options).unwrap();
        replay(&golden, &log);
        log.update_high_watermark(i64::MAX);
        if topic == "deleted" {
            assert!(log.maybe_increment_log_start_offset(31).unwrap());
        }
        log.close().unwrap();
        assert_same_files(&partition_dir, &golden);
    }
}

#[test]
fn recovery_makes_the_same_files_too() {
    for topic in TOPICS {
        let golden = vectors().join(format!("{topic}-0"));
        let dir = tempfile::tempdir().unwrap();
        let partition_dir = dir.path().join(format!("{topic}-0"));
        copy_dir(&golden, &partition_dir);
        // Only the records are left, and the epochs, of which a part may come from before the first record.
        for (name, _) in files(&partition_dir) {
            if !name.ends_with(".log") && !name.starts_with("leader-epoch") && !name.starts_with("partition.")
            {
                fs::remove_file(partition_dir.join(name)).unwrap();
            }
        }
        let options = OpenOptions { clean_shutdown: false, recovery_point: 0, ..options(topic) };
        let log = Log::open(&partition_dir, options).unwrap();
        log.close().unwrap();
        let (ours, theirs) = (files(&partition_dir), files(&golden));
        for (name, bytes) in &theirs {
            // Producer snapshots before the log's start are not made again.
            if topic == "deleted" && name.ends_with(".snapshot") && !ours.contains_key(name) {
                continue;
            }
            assert!(Some(bytes) == ours.get(name), "{topic}/{name}");
        }
    }
}

#[test]
fn a_leader_writes_what_apaches_leader_wrote() {
    // The batches as the producers sent them: with base offset 0, no epoch, and their own timestamps.
    for topic in ["plain", "rolled", "codecs", "append-time"] {
        let golden = vectors().join(format!("{topic}-0"));
        let dir = tempfile::tempdir().unwrap();
        let partition_dir = dir.path().join(format!("{topic}-0"));
        let mut config = config(topic);
        if topic == "append-time" {
            config.message_timestamp_type = TimestampType::LogAppendTime;
        }
        config.message_timestamp_after_max_ms = i64::MAX;
        let options = OpenOptions {
            topic_id: Some(Uuid::random()),
            ..OpenOptions::new(TopicPartition::new(topic, 0), Arc::new(config), NOW_MS)
        };
        let log = Log::open(&partition_dir, options).unwrap();
        for (name, bytes) in files(&golden) {
            if !name.ends_with(".log") {
                continue;
            }
            for batch in Batches::new(&bytes) {
                let batch = batch.unwrap();
                let mut sent = batch.as_bytes().to_vec();
                protocol::records::patch::set_base_offset(&mut sent, 0).unwrap();
                protocol::records::patch::set_partition_leader_epoch(&mut sent, -1).unwrap();
                let now_ms = batch.max_timestamp();
                if topic == "append-time" {
                    let base = batch.base_timestamp();
                    protocol::records::patch::set_max_timestamp(&mut sent, TimestampType::CreateTime, base)
                        .unwrap();
                }
                let info = log.append_as_leader(&sent, 0, AppendOrigin::Client, now_ms).unwrap();
                assert_eq!((info.first_offset, info.last_offset), (batch.base_offset(), batch.last_offset()));
                assert!(!info.duplicate);
                if batch.has_producer_id() {
                    let again = log.append_as_leader(&sent, 0, AppendOrigin::Client, now_ms).unwrap();
                    assert!(again.duplicate);
                    assert_eq!(
                        (again.first_offset, again.last_offset),
                        (info.first_offset, info.last_offset)
                    );
                    assert_eq!(again.log_append_time, batch.max_timestamp());
                }
            }
        }
        log.close().unwrap();
        let (ours, theirs) = (files(&partition_dir), files(&golden));
        for (name, bytes) in &theirs {
            if name != "partition.metadata" {
                assert!(Some(bytes) == ours.get(name), "{topic}/{name}");
            }
        }
    }
}

#[test]
fn the_aborted_transactions_are_those_of_apache() {
    let dir = tempfile::tempdir().unwrap();
    let partition_dir = dir.path().join("transactions-0");
    copy_dir(&vectors().join("transactions-0"), &partition_dir);
    let log = Log::open(&partition_dir, options("transactions")).unwrap();
    let all = log.collect_aborted_transactions(0, log.log_end_offset()).unwrap();
    // t1 aborted each third of twelve transactions, t2 each fourth.
    assert_eq!(all.len(), 4 + 3);
    let mut aborted_records = 0;
    for (name, bytes) in files(&partition_dir) {
        if name.ends_with(".log") {
            for batch in Batches::new(&bytes).map(Result::unwrap) {
                let aborted = all.iter().any(|transaction| {
                    transaction.producer_id == batch.producer_id()
                        && (transaction.first_offset..transaction.last_offset).contains(&batch.base_offset())
                });
                if aborted && !batch.is_control() {
                    aborted_records += batch.records_count();
                }
            }
        }
    }
    assert_eq!(aborted_records, 4 * 2 + 3 * 2);
    log.update_high_watermark(i64::MAX);
    let fetched = log.read(0, 1 << 20, log.last_stable_offset(), true).unwrap();
    let first_segment = log.aborted_transactions(0, &fetched).unwrap();
    assert!(!first_segment.is_empty() && first_segment.len() < all.len());
}

#[test]
fn a_log_directory_of_apache_is_taken_over_and_given_back() {
    let dir = tempfile::tempdir().unwrap();
    copy_dir(&vectors(), dir.path());
    fs::remove_file(dir.path().join("list-offsets.txt")).unwrap();
    let meta = MetaProperties::read(dir.path()).unwrap().unwrap();
    let manager = |cluster_id: Option<String>, node_id| {
        LogManager::open(LogManagerConfig {
            log_dirs: vec![dir.path().to_owned()],
            cluster_id,
            node_id,
            num_recovery_threads_per_data_dir: 2,
            default_config: Arc::new(LogConfig::default()),
            producer_id_expiration_ms: 86_400_000,
        })
    };
    assert!(matches!(manager(Some("other".to_owned()), 1), Err(storage::LogDirError::OtherCluster { .. })));
    assert!(matches!(manager(None, 2), Err(storage::LogDirError::OtherNode { .. })));
    let logs = manager(meta.cluster_id.clone(), 1).unwrap();
    assert!(matches!(manager(None, 1), Err(storage::LogDirError::Locked { .. })));
    assert_eq!(logs.directory_ids()[0].1, meta.directory_id.unwrap());
    logs.load(&|topic| Some(Arc::new(config(topic))), &|_, _| false, NOW_MS).unwrap();
    assert_eq!(logs.previous_broker_epoch(), 13);
    assert!(!CleanShutdownFile::new(dir.path()).exists());
    let watermarks = read_offsets(&vectors().join("replication-offset-checkpoint")).unwrap();
    assert_eq!(logs.logs().len(), TOPICS.len());
    for log in logs.logs() {
        assert_eq!(log.high_watermark(), watermarks[log.topic_partition()], "{log:?}");
        assert_eq!(log.recovery_point(), log.log_end_offset());
    }
    logs.shutdown(14).unwrap();
    assert_eq!(CleanShutdownFile::new(dir.path()).read(), Some(14));
    for topic in TOPICS {
        let name = format!("{topic}-0");
        let golden = tempfile::tempdir().unwrap();
        copy_dir(&vectors().join(&name), golden.path());
        without_old_snapshot(topic, golden.path());
        assert_same_files(&dir.path().join(&name), golden.path());
    }
    let mut recovery_points = read_offsets(&vectors().join("recovery-point-offset-checkpoint")).unwrap();
    recovery_points.retain(|partition, _| !partition.topic.starts_with("__"));
    assert_eq!(read_offsets(&dir.path().join("recovery-point-offset-checkpoint")).unwrap(), recovery_points);
    assert_eq!(
        fs::read(dir.path().join("log-start-offset-checkpoint")).unwrap(),
        fs::read(vectors().join("log-start-offset-checkpoint")).unwrap()
    );
}
