//! What a start finds of a log whose broker was killed while the machine went on: the same by reading what lies behind the last waypoint
//! as by reading everything.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::common::TopicPartition;
use common::{
    NOW_MS, batch, copy_dir, idempotent, manager_config, names, open_manager, partition, served,
    transactional,
};
use io::SimulatedDisk;
use proptest::prelude::*;
use protocol::records::{Batches, EndTxnMarker};
use storage::{AppendOrigin, Log, LogConfig, LogManager, OpenOptions};

/// Segments of some ten waypoints' batches each.
fn config() -> LogConfig {
    LogConfig { segment_size: 4000, index_interval: 150, file_delete_delay_ms: 0, ..LogConfig::default() }
}

fn open(dir: &Path, intact: bool) -> Log {
    let options =
        OpenOptions { intact, waypoints: true, ..OpenOptions::new(partition(), Arc::new(config()), NOW_MS) };
    Log::open(dir, options).unwrap()
}

/// The snapshots that belong to no segment.
fn waypoints(dir: &Path) -> Vec<i64> {
    let offset = |name: &String| name.split('.').next().and_then(|offset| offset.parse::<i64>().ok());
    let of = |suffix| {
        names(dir).iter().filter(|name| name.ends_with(suffix)).filter_map(offset).collect::<Vec<_>>()
    };
    let (segments, snapshots) = (of(".log"), of(".snapshot"));
    snapshots.into_iter().filter(|offset| !segments.contains(offset)).collect()
}

fn last_segment(dir: &Path) -> PathBuf {
    dir.join(names(dir).into_iter().rfind(|name| name.ends_with(".log")).unwrap())
}

/// Something that happens to a log.
#[derive(Clone, Debug)]
enum Step {
    Plain { records: usize, size: usize, later_ms: i64 },
    Idempotent { producer: i64 },
    Transactional { producer: i64 },
    End { producer: i64, committed: bool },
    NewEpoch,
    Flush,
    WriteEpochs,
    Idle,
    Truncate { back: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..4usize, 5..120usize, 0..50i64)
            .prop_map(|(records, size, later_ms)| Step::Plain { records, size, later_ms }),
        6 => (1..4i64).prop_map(|producer| Step::Idempotent { producer }),
        3 => (5..8i64).prop_map(|producer| Step::Transactional { producer }),
        2 => (5..8i64, any::<bool>()).prop_map(|(producer, committed)| Step::End { producer, committed }),
        1 => Just(Step::NewEpoch),
        1 => Just(Step::Flush),
        1 => Just(Step::WriteEpochs),
        1 => Just(Step::Idle),
        1 => (1..12i64).prop_map(|back| Step::Truncate { back }),
    ]
}

/// Does what happens to a log, as a broker would.
struct Run {
    log: Log,
    epoch: i32,
    now_ms: i64,
}

impl Run {
    fn new(dir: &Path) -> Run {
        let log = open(dir, false);
        log.lead(0, false).unwrap();
        Run { log, epoch: 0, now_ms: NOW_MS }
    }

    fn append(&self, records: &[u8]) {
        self.log.append_as_leader(records, self.epoch, AppendOrigin::Client, NOW_MS).unwrap();
    }

    fn known(&self, producer: i64) -> (i32, Option<i64>) {
        let known = self.log.active_producers().into_iter().find(|entry| entry.producer_id == producer);
        known.map_or((0, None), |entry| (entry.last_sequence() + 1, entry.current_txn_first_offset))
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Plain { records, size, later_ms } => {
                self.now_ms += later_ms;
                self.append(&batch(records, size, self.now_ms));
            }
            Step::Idempotent { producer } => {
                self.append(&idempotent(2, (producer, 0, self.known(producer).0)));
            }
            Step::Transactional { producer } => {
                self.append(&transactional(1, (producer, 0, self.known(producer).0)));
            }
            Step::End { producer, committed } => {
                if self.known(producer).1.is_some() {
                    let marker = EndTxnMarker { committed, coordinator_epoch: 1 };
                    let marker = marker.batch(0, NOW_MS, -1, producer, 0).unwrap();
                    self.log
                        .append_as_leader(&marker, self.epoch, AppendOrigin::Coordinator, NOW_MS)
                        .unwrap();
                }
            }
            Step::NewEpoch => {
                self.epoch += 1;
                self.log.lead(self.epoch, false).unwrap();
            }
            Step::Flush => self.log.flush().unwrap(),
            Step::WriteEpochs => self.log.write_checkpoints().unwrap(),
            Step::Idle => self.log.release_idle().unwrap(),
            Step::Truncate { back } => {
                let offset = (self.log.log_end_offset() - back).max(0);
                self.log.truncate_to(offset, NOW_MS).unwrap();
                self.log.lead(self.epoch, false).unwrap();
            }
        }
    }
}

/// All that can be asked of a log, by name.
fn everything(log: &Log) -> Vec<(&'static str, String)> {
    let end = log.log_end_offset();
    log.update_high_watermark(end);
    let places: Vec<_> = (log.log_start_offset()..end)
        .map(|offset| {
            let read = log.read(offset, 1, end, true).unwrap();
            (read.start.message_offset, read.start.segment_base_offset, read.start.relative_position)
        })
        .collect();
    let by_time: Vec<_> = (0..40)
        .map(|step| log.fetch_offset_by_timestamp(NOW_MS + step * 25).unwrap().map(|found| found.offset))
        .collect();
    let aborted = log.collect_aborted_transactions(0, end).unwrap();
    let producers = log.active_producers();
    let producers: Vec<_> = producers.iter().map(|entry| (entry, entry.batches())).collect();
    vec![
        ("end", end.to_string()),
        ("batches", format!("{:?}", served(log))),
        ("segments", format!("{:?}", log.segment_base_offsets())),
        ("places", format!("{places:?}")),
        ("by time", format!("{by_time:?}")),
        ("epochs", format!("{:?}", log.epoch_entries())),
        ("producers", format!("{producers:?}")),
        ("aborted", format!("{aborted:?}")),
        ("first unstable offset", format!("{:?}", log.first_unstable_offset())),
    ]
}

/// The first thing in which two logs differ.
fn difference(one: &[(&str, String)], other: &[(&str, String)]) -> Option<String> {
    let differing = one.iter().zip(other).find(|(one, other)| one != other);
    differing.map(|((what, one), (_, other))| format!("{what}:\n{one}\n{other}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_intact_log_is_found_as_if_all_of_it_were_read(
        steps in prop::collection::vec(step(), 1..150), torn in prop::option::of(any::<prop::sample::Index>())
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (killed, read) = (dir.path().join("killed"), dir.path().join("read"));
        let mut run = Run::new(&killed);
        steps.iter().for_each(|step| run.take(step));
        if let Some(torn) = torn {
            // The last write was under way: it is there in part, and nothing that comes after it.
            let path = last_segment(&killed);
            let before = fs::metadata(&path).unwrap().len();
            copy_dir(&killed, &dir.path().join("torn"));
            run.append(&batch(2, 60, NOW_MS));
            drop(run);
            let torn_dir = dir.path().join("torn");
            if last_segment(&killed) == path {
                let bytes = fs::read(&path).unwrap();
                let length = before as usize + torn.index(bytes.len() - before as usize);
                fs::write(torn_dir.join(path.file_name().unwrap()), &bytes[..length]).unwrap();
            }
            fs::remove_dir_all(&killed).unwrap();
            fs::rename(&torn_dir, &killed).unwrap();
        }
        copy_dir(&killed, &read);
        let (intact, read) = (open(&killed, true), open(&read, false));
        prop_assert_eq!(difference(&everything(&intact), &everything(&read)), None);
        // Both go on alike.
        for log in [&intact, &read] {
            log.append_as_leader(&batch(3, 50, NOW_MS + 900), i32::MAX - 1, AppendOrigin::Client, NOW_MS).unwrap();
            log.close().unwrap();
        }
        prop_assert_eq!(difference(&everything(&intact), &everything(&read)), None);
    }
}

/// Damages the bytes at the beginning of a log that no start should have to read.
fn flip_early(dir: &Path) {
    let path = last_segment(dir);
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
}

#[test]
fn an_intact_log_is_read_from_its_last_waypoint() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = Run::new(dir.path());
    for _ in 0..12 {
        run.take(&Step::Plain { records: 1, size: 180, later_ms: 1 });
    }
    let (end, taken) = (run.log.log_end_offset(), waypoints(dir.path()));
    assert_eq!((run.log.segment_count(), taken.len()), (1, 1), "one takes the place of the other");
    assert!(taken[0] > 6 && taken[0] <= end, "{taken:?}");
    drop(run);
    flip_early(dir.path());
    let copy = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), copy.path());
    assert_eq!(open(dir.path(), true).log_end_offset(), end, "what lies before the waypoint is not read");
    assert_eq!(open(copy.path(), false).log_end_offset(), 0, "and otherwise it is");
}

/// Where the batches of the last segment end.
fn batch_ends(dir: &Path) -> Vec<usize> {
    let bytes = fs::read(last_segment(dir)).unwrap();
    let sizes = Batches::new(&bytes).map(|batch| batch.unwrap().size_in_bytes());
    sizes
        .scan(0, |end, size| {
            *end += size;
            Some(*end)
        })
        .collect()
}

#[test]
fn damage_that_is_read_is_cut_off_wherever_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = Run::new(dir.path());
    for index in 0..24 {
        run.take(&Step::Idempotent { producer: 1 + index % 3 });
        run.take(&Step::Plain { records: 2, size: 70, later_ms: 1 });
    }
    drop(run);
    let ends = batch_ends(dir.path());
    let mut read = 0;
    for (index, end) in ends.iter().enumerate() {
        let (intact, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for copy in [&intact, &whole] {
            copy_dir(dir.path(), copy.path());
            let path = last_segment(copy.path());
            let mut bytes = fs::read(&path).unwrap();
            bytes[end - 1] ^= 1;
            fs::write(&path, bytes).unwrap();
        }
        let (log, whole) = (open(intact.path(), true), open(whole.path(), false));
        if batch_ends(intact.path()).len() == ends.len() {
            assert_eq!(read, 0, "only what lies before the waypoint is not read");
            continue;
        }
        read += 1;
        assert_eq!(difference(&everything(&log), &everything(&whole)), None, "batch {index}");
        log.append_as_leader(&batch(3, 50, NOW_MS + 900), i32::MAX - 1, AppendOrigin::Client, NOW_MS)
            .unwrap();
        log.close().unwrap();
        assert_eq!(everything(&open(intact.path(), false)), everything(&log), "batch {index}");
    }
    assert!(read > 2 && read < ends.len(), "{read} of {} batches", ends.len());
}

/// What somebody does to a partition's directory.
type Damage = fn(&Path);

#[test]
fn a_waypoint_that_cannot_be_used_costs_nothing() {
    let damages: &[(&str, Damage)] = &[
        ("no waypoint", |dir: &Path| {
            for name in names(dir).iter().filter(|name| name.ends_with(".snapshot")) {
                fs::remove_file(dir.join(name)).unwrap();
            }
        }),
        ("a waypoint that is damaged", |dir: &Path| {
            for name in names(dir).iter().filter(|name| name.ends_with(".snapshot")) {
                fs::write(dir.join(name), b"nothing").unwrap();
            }
        }),
        ("a waypoint behind the end", |dir: &Path| {
            let offset = waypoints(dir)[0];
            let name = |offset| dir.join(format!("{offset:020}.snapshot"));
            fs::rename(name(offset), name(offset + 1000)).unwrap();
        }),
        ("a waypoint within a batch", |dir: &Path| {
            let offset = waypoints(dir)[0];
            let name = |offset| dir.join(format!("{offset:020}.snapshot"));
            fs::rename(name(offset), name(offset - 1)).unwrap();
        }),
        // Killed between the writing of the file and its renaming.
        ("a waypoint by the name of another", |dir: &Path| {
            let offset = waypoints(dir)[0];
            let name = |offset| dir.join(format!("{offset:020}.snapshot"));
            fs::rename(name(offset), name(offset - 2)).unwrap();
        }),
        ("no index", |dir: &Path| {
            let name = names(dir).into_iter().rfind(|name| name.ends_with(".index")).unwrap();
            fs::remove_file(dir.join(name)).unwrap();
        }),
        ("no time index", |dir: &Path| {
            let name = names(dir).into_iter().rfind(|name| name.ends_with(".timeindex")).unwrap();
            fs::remove_file(dir.join(name)).unwrap();
        }),
        // As Apache Kafka leaves it when it is killed: it gives the file its largest size at once.
        ("an index with zeros behind its entries", |dir: &Path| {
            let name = names(dir).into_iter().rfind(|name| name.ends_with(".index")).unwrap();
            let mut bytes = fs::read(dir.join(&name)).unwrap();
            bytes.resize(4096, 0);
            fs::write(dir.join(name), bytes).unwrap();
        }),
        ("an index of something else", |dir: &Path| {
            let name = names(dir).into_iter().rfind(|name| name.ends_with(".index")).unwrap();
            let mut bytes = fs::read(dir.join(&name)).unwrap();
            bytes.chunks_exact_mut(8).for_each(|entry| entry[7] ^= 1);
            fs::write(dir.join(name), bytes).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        let mut run = Run::new(dir.path());
        for index in 0..30 {
            run.take(&Step::Idempotent { producer: 1 + index % 3 });
            run.take(&Step::Plain { records: 2, size: 70, later_ms: 1 });
        }
        assert_eq!(waypoints(dir.path()).len(), 1, "{what}");
        let before = everything(&run.log);
        drop(run);
        damage(dir.path());
        let log = open(dir.path(), true);
        assert_eq!(difference(&everything(&log), &before), None, "{what}");
        log.close().unwrap();
        assert_eq!(difference(&everything(&open(dir.path(), false)), &before), None, "{what}");
    }
}

fn manager(disk: &SimulatedDisk) -> LogManager {
    open_manager(&disk.path().join("data"), config())
}

/// A broker's log with a waypoint, and damage before it that only a start finds that reads everything. Returns its end.
fn damaged_log(disk: &SimulatedDisk) -> i64 {
    let log = manager(disk).create_log(&partition(), None, Arc::new(config()), NOW_MS).unwrap();
    for _ in 0..12 {
        log.append_as_leader(&batch(1, 180, NOW_MS), 0, AppendOrigin::Client, NOW_MS).unwrap();
    }
    log.flush().unwrap();
    assert!(disk.flip_bit_at(log.dir().join("00000000000000000000.log"), 100, 0));
    log.log_end_offset()
}

fn end_after_start(disk: &SimulatedDisk) -> i64 {
    manager(disk).get_log(&partition()).unwrap().log_end_offset()
}

#[test]
fn a_killed_brokers_logs_are_intact_as_long_as_the_machine_goes_on() {
    let disk = SimulatedDisk::new(1);
    let end = damaged_log(&disk);
    disk.kill();
    assert_eq!(end_after_start(&disk), end);
    disk.kill();
    assert_eq!(end_after_start(&disk), end, "and the next time");
    disk.lose_power();
    assert_eq!(end_after_start(&disk), 0, "the machine was started anew: all is read");
}

#[test]
fn a_start_that_was_killed_does_not_count() {
    for changes in 0..30 {
        let disk = SimulatedDisk::new(changes);
        damaged_log(&disk);
        disk.lose_power();
        // The start after the loss of power is killed at some time.
        disk.halt_after(changes);
        if let Ok(manager) = LogManager::open(manager_config(&disk.path().join("data"), config())) {
            let _ = manager.load(&|_| None, &|_, _| false, NOW_MS);
        }
        disk.kill();
        assert_eq!(end_after_start(&disk), 0, "killed after {changes} changes");
    }
}

#[test]
fn after_an_error_of_the_disk_everything_is_read() {
    let disk = SimulatedDisk::new(1);
    let end = damaged_log(&disk);
    disk.kill();
    {
        let manager = manager(&disk);
        assert_eq!(manager.get_log(&partition()).unwrap().log_end_offset(), end);
        manager.handle_log_dir_failure(&disk.path().join("data"));
    }
    disk.kill();
    assert_eq!(end_after_start(&disk), 0);
}

#[test]
fn partitions_have_waypoints_of_their_own() {
    let disk = SimulatedDisk::new(1);
    let brokers = manager(&disk);
    let name = |index| TopicPartition::new("t", index);
    for index in 0..3 {
        let log = brokers.create_log(&name(index), None, Arc::new(config()), NOW_MS).unwrap();
        let batches: Vec<_> = (0..40).map(|n| batch(1, 100 + n, NOW_MS)).collect();
        let batches: Vec<&[u8]> = batches.iter().map(Vec::as_slice).collect();
        log.append_each_as_leader(&batches, 0, NOW_MS).unwrap();
    }
    let all = |brokers: &LogManager| brokers.logs().iter().map(|log| served(log)).collect::<Vec<_>>();
    let before = all(&brokers);
    drop(brokers);
    disk.kill();
    let after = all(&manager(&disk));
    assert_eq!(after, before);
}
