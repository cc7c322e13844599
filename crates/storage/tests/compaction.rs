//! Logs that Apache Kafka compacted (`vectors/README.md`), and the same logs compacted here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::TopicPartition;
use protocol::records::{Batches, RecordBatch};
use storage::checkpoint::{CleanShutdownFile, read_offsets};
use storage::{CleanerConfig, CleanerHost, LogCleaner, LogConfig, LogManager, LogManagerConfig};

const TOPICS: [&str; 5] = ["puts", "codecs", "transactions", "append-time", "keyless"];
const DELETE_RETENTION_MS: i64 = 20_000;

fn vectors(state: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/compaction").join(state)
}

/// The segments' files of a partition, without those of segments that were deleted.
fn segment_files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    names
        .filter_map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            let is_segment =
                [".log", ".index", ".timeindex", ".txnindex"].iter().any(|suffix| name.ends_with(suffix));
            is_segment.then(|| (name, fs::read(entry.path()).unwrap()))
        })
        .collect()
}

fn batches(bytes: &[u8]) -> Vec<RecordBatch<'_>> {
    Batches::new(bytes).map(Result::unwrap).collect()
}

/// When the vectors were made.
const THEN_MS: i64 = 1_795_263_400_000;

/// When Apache cleaned: the newest horizon says it. Without tombstones it does not matter.
fn cleaned_at(files: &BTreeMap<String, Vec<u8>>) -> i64 {
    let logs = files.iter().filter(|(name, _)| name.ends_with(".log"));
    let horizons = logs.flat_map(|(_, bytes)| batches(bytes)).filter_map(|batch| batch.delete_horizon_ms());
    horizons.max().map_or(THEN_MS, |horizon| horizon - DELETE_RETENTION_MS)
}

/// Compacts a log as it was before, and closes it. Returns the log directory, and whether there was anything to compact.
fn compact(topic: &str, before: &Path, now_ms: i64) -> (tempfile::TempDir, bool) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join(format!("{topic}-0"));
    fs::create_dir(&dir).unwrap();
    for entry in fs::read_dir(before.join(format!("{topic}-0"))).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.join(entry.file_name())).unwrap();
    }
    fs::copy(before.join("cleaner-offset-checkpoint"), root.path().join("cleaner-offset-checkpoint"))
        .unwrap();
    CleanShutdownFile::new(root.path()).write(1).unwrap();
    let config = LogConfig {
        compact: true,
        delete: false,
        segment_size: 3000,
        index_interval: 400,
        min_cleanable_ratio: 0.01,
        delete_retention_ms: DELETE_RETENTION_MS,
        ..LogConfig::default()
    };
    let manager = LogManager::open(LogManagerConfig {
        log_dirs: vec![root.path().to_owned()],
        cluster_id: Some("cluster".to_owned()),
        node_id: 1,
        num_recovery_threads_per_data_dir: 1,
        default_config: Arc::new(config),
        producer_id_expiration_ms: 86_400_000,
    });
    let manager = Arc::new(manager.unwrap());
    manager.load(&|_| None, &|_, _| false, now_ms).unwrap();
    let log = manager.get_log(&TopicPartition::new(topic, 0)).unwrap();
    log.update_high_watermark(log.log_end_offset());
    let cleaner = LogCleaner::new(Arc::clone(&manager), CleanerConfig::default());
    let host = CleanerHost { monotonic_ns: &|| 0, sleep: &|_| {}, is_stopping: &|| false };
    let cleaned = cleaner.clean_filthiest(&host, now_ms);
    assert!(!cleaner.clean_filthiest(&host, now_ms), "{topic}");
    manager.shutdown(1).unwrap();
    (root, cleaned)
}

/// What a batch says, but for how well it is compressed.
fn content(batch: &RecordBatch<'_>) -> String {
    let header = batch.header();
    let mut text = format!(
        "{} to {} epoch {} attributes {:?} base {} max {} producer {} {} {}\n",
        header.base_offset(),
        header.last_offset(),
        header.partition_leader_epoch(),
        header.attributes(),
        header.base_timestamp(),
        header.max_timestamp(),
        header.producer_id(),
        header.producer_epoch(),
        header.base_sequence()
    );
    for record in batch.decompress(1 << 20).unwrap().iter() {
        let record = record.unwrap();
        let headers: Vec<_> = record.headers.iter().collect();
        text.push_str(&format!("{record:?} {headers:?}\n"));
    }
    text
}

#[test]
fn the_same_records_stay_in_the_same_bytes() {
    for round in ["1", "2"] {
        let (before, after) = (vectors(&format!("{round}-before")), vectors(&format!("{round}-after")));
        for topic in TOPICS {
            let theirs = segment_files(&after.join(format!("{topic}-0")));
            let (root, cleaned) = compact(topic, &before, cleaned_at(&theirs));
            // Of `keyless` only the active segment is new in the second round.
            assert_eq!(cleaned, (round, topic) != ("2", "keyless"));
            let ours = segment_files(&root.path().join(format!("{topic}-0")));
            assert_eq!(
                ours.keys().collect::<Vec<_>>(),
                theirs.keys().collect::<Vec<_>>(),
                "round {round}, {topic}"
            );
            for (name, theirs) in theirs {
                let ours = &ours[&name];
                if topic != "codecs" {
                    assert!(*ours == theirs, "round {round}, {topic}/{name}");
                } else if name.ends_with(".log") {
                    // Batches that were compressed anew are a few bytes shorter or longer.
                    let (ours, theirs) = (batches(ours), batches(&theirs));
                    assert_eq!(ours.len(), theirs.len(), "round {round}, {name}");
                    for (ours, theirs) in ours.iter().zip(&theirs) {
                        assert_eq!(content(ours), content(theirs), "round {round}, {name}");
                    }
                }
            }
            let partition = TopicPartition::new(topic, 0);
            let checkpoint = |root: &Path| read_offsets(&root.join("cleaner-offset-checkpoint")).unwrap();
            assert_eq!(checkpoint(root.path())[&partition], checkpoint(&after)[&partition], "{topic}");
        }
    }
}
