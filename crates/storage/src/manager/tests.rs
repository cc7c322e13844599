use std::fs;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use common::ErrorCode;
use protocol::compression::Compression;
use protocol::records::{RecordBatchBuilder, TimestampType};

use super::*;
use crate::checkpoint::MetaProperties;
use crate::types::AppendOrigin;

const NOW_MS: i64 = 1_700_000_000_000;

fn config(dirs: &[&Path]) -> LogManagerConfig {
    LogManagerConfig {
        log_dirs: dirs.iter().map(|dir| dir.to_path_buf()).collect(),
        cluster_id: Some("cluster".to_owned()),
        node_id: 1,
        num_recovery_threads_per_data_dir: 2,
        default_config: Arc::new(LogConfig { file_delete_delay_ms: 1000, ..LogConfig::default() }),
        producer_id_expiration_ms: 86_400_000,
    }
}

fn start(dirs: &[&Path]) -> LogManager {
    let manager = LogManager::open(config(dirs)).unwrap();
    manager.load(&|_| None, &|_, _| false, NOW_MS).unwrap();
    manager
}

fn create(manager: &LogManager, topic: &str, partition: i32) -> Arc<Log> {
    let partition = TopicPartition::new(topic, partition);
    manager.create_log(&partition, None, manager.default_config(), NOW_MS).unwrap()
}

fn append(log: &Log, count: i64) {
    for _ in 0..count {
        let mut builder = RecordBatchBuilder::new(0, Compression::None, TimestampType::CreateTime);
        builder.append(NOW_MS, None, Some(b"value"), &[]).unwrap();
        log.append_as_leader(&builder.build(), 0, AppendOrigin::Client, NOW_MS).unwrap();
    }
}

#[test]
fn logs_are_spread_found_again_and_deleted() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let paths = [dirs[0].path(), dirs[1].path()];
    let manager = start(&paths);
    for partition in 0..40 {
        append(&create(&manager, "t", partition), 1 + i64::from(partition));
    }
    let ids = manager.directory_ids();
    let in_dir =
        |id| (0..40).filter(|n| manager.directory_of(&TopicPartition::new("t", *n)) == Some(id)).count();
    assert_eq!((in_dir(ids[0].1), in_dir(ids[1].1)), (20, 20));
    assert!(Arc::ptr_eq(&create(&manager, "t", 3), &create(&manager, "t", 3)));
    let chosen = TopicPartition::new("chosen", 0);
    manager.create_log_in(&chosen, None, manager.default_config(), ids[1].1, NOW_MS).unwrap();
    assert_eq!(manager.directory_of(&chosen), Some(ids[1].1));
    for log in manager.logs() {
        log.update_high_watermark(log.log_end_offset() - 1);
    }
    manager.shutdown(5).unwrap();

    let manager = start(&paths);
    assert_eq!((manager.logs().len(), manager.previous_broker_epoch()), (41, 5));
    assert_eq!(manager.directory_ids(), ids);
    for partition in 0..40 {
        let log = manager.get_log(&TopicPartition::new("t", partition)).unwrap();
        assert_eq!(log.log_end_offset(), 1 + i64::from(partition));
        assert_eq!(log.high_watermark(), i64::from(partition));
        assert_eq!(log.recovery_point(), log.log_end_offset());
    }
    assert!(manager.delete_log(&chosen, NOW_MS).unwrap());
    assert!(!manager.delete_log(&chosen, NOW_MS).unwrap());
    let deleted = || {
        let names =
            fs::read_dir(&ids[1].0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with("-delete")).count()
    };
    assert_eq!(deleted(), 1);
    // The same topic can be made again at once.
    create(&manager, "chosen", 0);
    manager.retention(NOW_MS + 999);
    assert_eq!(deleted(), 1);
    manager.retention(NOW_MS + 1000);
    assert_eq!(deleted(), 0);
    assert!(manager.get_log(&chosen).is_some());
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn after_a_crash_logs_are_recovered_and_deletions_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let manager = start(&[dir.path()]);
    for partition in 0..30 {
        append(&create(&manager, "t", partition), 3);
    }
    manager.flush_dirty(NOW_MS);
    manager.get_log(&TopicPartition::new("t", 0)).unwrap().flush().unwrap();
    manager.checkpoint_recovery_points().unwrap();
    manager.get_log(&TopicPartition::new("t", 1)).unwrap().update_high_watermark(2);
    manager.checkpoint_high_watermarks().unwrap();
    let log = manager.get_log(&TopicPartition::new("t", 2)).unwrap();
    log.update_high_watermark(3);
    log.maybe_increment_log_start_offset(2).unwrap();
    manager.checkpoint_log_start_offsets().unwrap();
    {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut next_deletion = pin!(manager.next_deletion());
        let mut next = || next_deletion.as_mut().poll(&mut Context::from_waker(&waker));
        assert_eq!((next(), woken.0.load(Ordering::SeqCst)), (Poll::Pending, false));
        manager.delete_log(&TopicPartition::new("t", 3), NOW_MS).unwrap();
        assert_eq!((woken.0.load(Ordering::SeqCst), next()), (true, Poll::Ready(NOW_MS + 1000)));
    }
    // The process ends here, and leaves a torn batch.
    let torn = dir.path().join("t-4/00000000000000000000.log");
    let length = fs::metadata(&torn).unwrap().len();
    fs::OpenOptions::new().write(true).open(&torn).unwrap().set_len(length - 1).unwrap();
    drop(manager);
    let manager = start(&[dir.path()]);
    assert_eq!((manager.logs().len(), manager.previous_broker_epoch()), (29, -1));
    let log = |partition| manager.get_log(&TopicPartition::new("t", partition)).unwrap();
    assert_eq!(log(0).recovery_point(), 3);
    assert_eq!(log(1).high_watermark(), 2);
    assert_eq!(log(2).log_start_offset(), 2);
    assert_eq!(log(4).log_end_offset(), 2);
    assert_eq!(log(5).log_end_offset(), 3);
    assert_eq!(manager.purge_deleted_logs(NOW_MS + 1000), 0);
    assert!(
        fs::read_dir(dir.path())
            .unwrap()
            .all(|entry| { !entry.unwrap().file_name().into_string().unwrap().ends_with("-delete") })
    );
}

#[test]
fn strays_are_set_aside_and_the_quorums_log_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let manager = start(&[dir.path()]);
    create(&manager, "known", 0);
    create(&manager, "stray", 7);
    manager.shutdown(-1).unwrap();
    fs::create_dir(dir.path().join("__cluster_metadata-0")).unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    let manager = LogManager::open(config(&[dir.path()])).unwrap();
    manager.load(&|_| None, &|partition, _| &*partition.topic == "stray", NOW_MS).unwrap();
    assert_eq!(manager.logs().len(), 1);
    let names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.iter().any(|name| name.starts_with("stray-7.") && name.ends_with("-stray")));
    assert!(names.contains(&"__cluster_metadata-0".to_owned()));
}

#[test]
fn directories_that_cannot_be_used_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let refuse = |config| LogManager::open(config).err().expect("refused");
    assert!(matches!(refuse(config(&[])), LogDirError::None));
    let unformatted = LogManagerConfig { cluster_id: None, ..config(&[dir.path()]) };
    assert!(matches!(refuse(unformatted), LogDirError::Unformatted { .. }));
    assert!(matches!(refuse(config(&[dir.path(), dir.path()])), LogDirError::Duplicate { .. }));
    let file = other.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = refuse(config(&[&file]));
    assert!(matches!(error, LogDirError::Unusable { .. }), "{error}");
    assert!(error.to_string().contains(file.to_str().unwrap()));

    let manager = LogManager::open(config(&[dir.path()])).unwrap();
    let error = refuse(config(&[dir.path()]));
    assert!(matches!(error, LogDirError::Locked { .. }), "{error}");
    manager.shutdown(-1).unwrap();
    let error = refuse(LogManagerConfig { node_id: 2, ..config(&[dir.path()]) });
    assert!(matches!(error, LogDirError::OtherNode { found: 1, expected: 2, .. }), "{error}");
    let error = refuse(LogManagerConfig { cluster_id: Some("another".to_owned()), ..config(&[dir.path()]) });
    assert!(matches!(error, LogDirError::OtherCluster { .. }), "{error}");
    // A copy of a directory has its id.
    let copied = MetaProperties::read(dir.path()).unwrap().unwrap();
    copied.write(other.path()).unwrap();
    let error = refuse(config(&[dir.path(), other.path()]));
    assert!(matches!(error, LogDirError::SameId { .. }), "{error}");
    fs::write(other.path().join("meta.properties"), "node.id=1 # the first\n").unwrap();
    let error = refuse(config(&[dir.path(), other.path()])).to_string();
    assert!(error.contains("meta.properties") && error.contains("node.id=1 # the first"), "{error}");
    // One directory that cannot be used does not keep the others from being.
    fs::remove_file(other.path().join("meta.properties")).unwrap();
    let manager = LogManager::open(config(&[&file, dir.path()])).unwrap();
    assert_eq!((manager.live_dirs().len(), manager.offline_dirs()), (1, vec![file]));
}

#[test]
fn a_failed_directory_takes_its_logs_offline_and_no_others() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let manager = start(&[dirs[0].path(), dirs[1].path()]);
    let logs = [create(&manager, "t", 0), create(&manager, "t", 1)];
    append(&logs[0], 1);
    append(&logs[1], 1);
    logs[0].dir_health().fail("A test".to_owned(), std::io::Error::other("broken"));
    let error = logs[0].flush().unwrap_err();
    assert_eq!(error.error_code(), ErrorCode::KafkaStorageError);
    append(&logs[1], 1);
    assert_eq!(manager.offline_dirs().len(), 1);
    // It is told once, and its logs are put away.
    let failed = manager.failures().take_next().unwrap();
    assert_eq!(failed, logs[0].dir_health().dir());
    assert_eq!(manager.handle_log_dir_failure(&failed), [TopicPartition::new("t", 0)]);
    assert!(manager.get_log(&TopicPartition::new("t", 0)).is_none());
    assert_eq!((manager.live_directory_ids().len(), manager.has_offline_dirs()), (1, true));
    // New logs go where they can.
    for partition in 2..5 {
        append(&create(&manager, "t", partition), 1);
    }
    manager.checkpoint_high_watermarks().unwrap();
    manager.shutdown(3).unwrap();
    let marked = |dir: &tempfile::TempDir| crate::checkpoint::CleanShutdownFile::new(dir.path()).exists();
    let failed = logs[0].dir_health().dir() == fs::canonicalize(dirs[0].path()).unwrap();
    assert_eq!((marked(&dirs[0]), marked(&dirs[1])), (!failed, failed));
}

#[test]
fn retention_says_that_the_start_of_a_log_has_moved() {
    let dir = tempfile::tempdir().unwrap();
    let manager = start(&[dir.path()]);
    let log = create(&manager, "t", 0);
    append(&log, 3);
    log.update_high_watermark(3);
    assert_eq!((manager.retention(NOW_MS), manager.log_start_moves()), (0, 0));
    let later = NOW_MS + log.config().retention_ms + 1;
    assert_eq!((manager.retention(later), manager.log_start_moves(), log.log_start_offset()), (1, 1, 3));
    assert_eq!((manager.retention(later), manager.log_start_moves()), (0, 1));
}

#[test]
fn checkpoints_are_written_when_something_has_changed() {
    let dir = tempfile::tempdir().unwrap();
    let manager = start(&[dir.path()]);
    let file = dir.path().join("replication-offset-checkpoint");
    let log = create(&manager, "t", 0);
    append(&log, 3);
    let is_written = || {
        manager.checkpoint_high_watermarks().unwrap();
        let is_written = file.exists();
        let _ = fs::remove_file(&file);
        is_written
    };
    assert!(is_written());
    assert!(!is_written());
    log.update_high_watermark(2);
    assert!(is_written());
    assert!(!is_written());
    create(&manager, "t", 1);
    assert!(is_written());
    manager.delete_log(&TopicPartition::new("t", 1), NOW_MS).unwrap();
    assert!(is_written());
    assert!(!is_written());
}
