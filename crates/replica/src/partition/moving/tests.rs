use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use common::TopicPartition;
use io::SimulatedDisk;
use protocol::records::Batches;
use storage::{AppendOrigin, LogConfig, LogManagerConfig};

use super::*;
use crate::LocalBroker;
use crate::testing::{batch, registration};

fn name() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn dir(disk: &SimulatedDisk, name: &str) -> PathBuf {
    disk.path().join(name)
}

fn config() -> Arc<LogConfig> {
    Arc::new(LogConfig { segment_size: 300, ..LogConfig::default() })
}

fn open(disk: &SimulatedDisk) -> Arc<LogManager> {
    let manager = LogManager::open(LogManagerConfig {
        log_dirs: vec![dir(disk, "a"), dir(disk, "b")],
        cluster_id: Some("cluster".to_owned()),
        node_id: 1,
        num_recovery_threads_per_data_dir: 1,
        default_config: config(),
        producer_id_expiration_ms: 86_400_000,
    });
    let manager = manager.unwrap();
    manager.load(&|_| None, &|_, _| false, 0).unwrap();
    Arc::new(manager)
}

/// A leader without followers whose log is in the directory `a`, with some records that are synced.
fn leader(logs: &LogManager, disk: &SimulatedDisk, count: usize) -> Partition {
    logs.prefer_dir(&name(), &dir(disk, "a"));
    let log = logs.create_log(&name(), Some(Uuid::from_u128(7)), config(), 0).unwrap();
    let broker = Arc::new(LocalBroker::new(1, 100));
    let registration = Arc::new(registration(&[1], &[1], 1));
    let partition = Partition::new(name(), Uuid::from_u128(7), broker, log, registration, 1, 0).unwrap();
    (0..count).for_each(|number| append(&partition, number));
    partition.log().flush().unwrap();
    partition
}

fn append(partition: &Partition, number: usize) {
    let records = batch(&format!("value {number}"));
    partition.append_as_leader(&records, AppendOrigin::Client, true, 0).unwrap();
}

fn begin(partition: &Partition, logs: &LogManager, disk: &SimulatedDisk) -> Result<(), PartitionError> {
    partition.set_future(Some(logs.create_future_log(&name(), &dir(disk, "b"), 0)?));
    Ok(())
}

fn finish(partition: &Partition, logs: &LogManager) -> Result<(), PartitionError> {
    loop {
        if partition.copy_to_future(100, 0)?.caught_up && partition.replace_log_with_future(logs, 0)? {
            return Ok(());
        }
    }
}

/// The base offsets of all batches.
fn offsets(log: &Log) -> Vec<i64> {
    let found = log.read(log.log_start_offset(), 1 << 20, log.log_end_offset(), true);
    let mut all = Vec::new();
    let mut next = found.map(|_| log.log_start_offset()).unwrap();
    while next < log.log_end_offset() {
        let mut records = Vec::new();
        log.read(next, 1 << 20, log.log_end_offset(), true).unwrap().records.read_into(&mut records).unwrap();
        for batch in Batches::new(&records) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            all.push(batch.base_offset());
            next = batch.next_offset();
        }
    }
    all
}

#[test]
fn a_replica_moves_while_it_is_written_to() {
    let disk = SimulatedDisk::new(1);
    let logs = open(&disk);
    let partition = leader(&logs, &disk, 20);
    begin(&partition, &logs, &disk).unwrap();
    let moved = AtomicBool::new(false);
    let (appended, result) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut count = 20;
            while !moved.load(Ordering::Relaxed) || count < 40 {
                // Who writes faster than is copied, a batch at a time, is never caught up with.
                let is_ahead = |future: Arc<Log>| future.log_end_offset() + 40 < count as i64;
                if partition.future_log().is_some_and(is_ahead) {
                    std::thread::yield_now();
                    continue;
                }
                append(&partition, count);
                count += 1;
            }
            count
        });
        let result = finish(&partition, &logs);
        moved.store(true, Ordering::Relaxed);
        (writer.join().unwrap(), result)
    });
    result.unwrap();
    append(&partition, appended);
    let log = partition.log();
    assert_eq!(log.dir(), dir(&disk, "b").join("t-0"));
    assert_eq!(offsets(&log), (0..=appended as i64).collect::<Vec<_>>());
    assert_eq!(log.high_watermark(), appended as i64 + 1);
    assert!(partition.future_log().is_none() && logs.future_log(&name()).is_none());
    // The old one is gone with its time, and the next start finds one log.
    logs.purge_deleted_logs(i64::MAX);
    assert!(!::io::fs::read_dir(dir(&disk, "a")).unwrap().iter().any(|entry| entry.is_dir));
    logs.shutdown(1).unwrap();
    let logs = open(&disk);
    assert_eq!(offsets(&logs.get_log(&name()).unwrap()).len(), appended + 1);
}

#[test]
fn what_the_log_takes_back_is_taken_back_where_it_moves_to() {
    let disk = SimulatedDisk::new(1);
    let logs = open(&disk);
    let partition = leader(&logs, &disk, 10);
    begin(&partition, &logs, &disk).unwrap();
    while !partition.copy_to_future(100, 0).unwrap().caught_up {}
    // Another leader had less, and more of a later epoch.
    let log = partition.log().clone();
    logs.truncate_to(&name(), 6, 0).unwrap();
    for _ in 0..6 {
        log.append_as_leader(&batch("another"), 3, AppendOrigin::Client, 0).unwrap();
    }
    let mut later = crate::testing::registration(&[1, 2], &[1, 2], 2);
    (later.leader_epoch, later.partition_epoch) = (3, 3);
    partition.update(Arc::new(later), 0).unwrap();
    finish(&partition, &logs).unwrap();
    let moved = partition.log();
    assert_eq!(offsets(&moved), (0..12).collect::<Vec<_>>());
    assert_eq!(moved.epoch_entries(), log.epoch_entries());
}

#[test]
fn a_move_survives_a_crash_at_any_point() {
    const COUNT: usize = 8;
    let mut finished = false;
    let mut halt = 0;
    let (mut stayed, mut went) = (0, 0);
    while !finished {
        for seed in 0..4 {
            let disk = SimulatedDisk::new(seed);
            {
                let logs = open(&disk);
                let partition = leader(&logs, &disk, COUNT);
                disk.halt_after(halt);
                let result = begin(&partition, &logs, &disk).and_then(|()| finish(&partition, &logs));
                finished = result.is_ok() && !disk.is_halted();
            }
            disk.lose_power();
            disk.halt_after(u64::MAX);
            let logs = open(&disk);
            logs.recover_future_log(&name(), None, 0).unwrap();
            let log =
                logs.get_log(&name()).unwrap_or_else(|| panic!("no log after {halt} changes, seed {seed}"));
            let expected: Vec<i64> = (0..COUNT as i64).collect();
            assert_eq!(offsets(&log), expected, "after {halt} changes, seed {seed}");
            let is_here = log.dir().starts_with(dir(&disk, "b"));
            *(if is_here { &mut went } else { &mut stayed }) += 1;
            // A move that was interrupted ends in the next life.
            if logs.future_log(&name()).is_some() {
                let broker = Arc::new(LocalBroker::new(1, 100));
                let registration = Arc::new(registration(&[1], &[1], 1));
                let id = Uuid::from_u128(7);
                let partition = Partition::new(name(), id, broker, log, registration, 1, 0).unwrap();
                partition.set_future(logs.future_log(&name()));
                finish(&partition, &logs).unwrap();
                assert_eq!(offsets(&partition.log()), expected, "after {halt} changes, seed {seed}, ended");
            }
        }
        halt += 1;
    }
    assert!(stayed > 10 && went > 4, "{stayed} stayed, {went} went, {halt} points");
}
