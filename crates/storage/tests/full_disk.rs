//! A disk that takes only a part of an append. In a process of its own: the limit is the process's.

mod common;

use std::fs;
use std::sync::Arc;

use ::common::ErrorCode;
use common::{NOW_MS, append, batch, open, partition, served, small_config};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use storage::{AppendOrigin, DirHealth, Log, LogConfig, OpenOptions};

unsafe extern "C" {
    fn signal(number: i32, handler: usize) -> usize;
}

const SIGXFSZ: i32 = 25;
const IGNORE: usize = 1;

/// Only so many bytes of a file can be written while `work` runs.
fn limited<R>(bytes: u64, work: impl FnOnce() -> R) -> R {
    // SAFETY: ignoring a signal has no handler that could run. Without it the limit would kill the process.
    unsafe { signal(SIGXFSZ, IGNORE) };
    let limit = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(bytes), ..limit }).unwrap();
    let result = work();
    setrlimit(Resource::Fsize, limit).unwrap();
    result
}

#[test]
fn an_append_that_does_not_fit_leaves_the_log_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let partition_dir = dir.path().join("topic-0");
    let health = Arc::new(DirHealth::new(dir.path()));
    let config = Arc::new(LogConfig { segment_size: 1 << 20, ..small_config() });
    let options = OpenOptions {
        dir_health: Some(Arc::clone(&health)),
        ..OpenOptions::new(partition(), Arc::clone(&config), NOW_MS)
    };
    let log = Log::open(&partition_dir, options).unwrap();
    for _ in 0..5 {
        append(&log, &batch(2, 100, NOW_MS));
    }
    let path = partition_dir.join("00000000000000000000.log");
    let before = fs::read(&path).unwrap();
    // The limit is the process's: one test has all of it.
    let record = batch(2, 100, NOW_MS);
    let append_more = || log.append_as_leader(&record, 0, AppendOrigin::Client, NOW_MS);
    let error = limited(before.len() as u64 + 100, append_more).unwrap_err();
    assert_eq!(error.error_code(), ErrorCode::KafkaStorageError);
    assert!(error.to_string().contains(dir.path().to_str().unwrap()), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(log.log_end_offset(), 10);
    // The directory is offline, though there would be room again.
    assert!(health.is_offline());
    let error = log.append_as_leader(&batch(1, 5, NOW_MS), 0, AppendOrigin::Client, NOW_MS).unwrap_err();
    assert_eq!(error.error_code(), ErrorCode::KafkaStorageError);
    assert_eq!(log.read(0, 100, 10, true).unwrap_err().error_code(), ErrorCode::KafkaStorageError);
    drop(log);
    let log = open(&partition_dir, (*config).clone());
    assert_eq!(served(&log).len(), 5);
    assert_eq!(append(&log, &batch(1, 5, NOW_MS)).first_offset, 10);

    // Several that are written together: two would fit.
    let end = fs::metadata(&path).unwrap().len();
    let appended = limited(end + 2 * record.len() as u64 + 20, || {
        log.append_each_as_leader(&[&record, &record, &record, &record], 0, NOW_MS).unwrap()
    });
    assert_eq!(appended.len(), 4);
    for appended in appended {
        assert_eq!(appended.unwrap_err().error_code(), ErrorCode::KafkaStorageError);
    }
    assert_eq!((log.log_end_offset(), fs::metadata(&path).unwrap().len()), (11, end));
    drop(log);
    assert_eq!(served(&open(&partition_dir, (*config).clone())).len(), 6);
}
