//! What is left when the machine loses its power: disks in memory that forget what was not synced, by many seeds.
//! The simulator (`crates/simulator`) found what stands here; each has its own test, so that it stays found.

mod common;

use std::path::PathBuf;
use std::sync::Arc;

use ::common::{TopicPartition, Uuid};
use common::{NOW_MS, batch, open_manager, served, small_config};
use io::SimulatedDisk;
use storage::checkpoint::CleanShutdownFile;
use storage::{AppendOrigin, Log, LogManager};

const SEEDS: u64 = 60;

fn partition() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn data(disk: &SimulatedDisk) -> PathBuf {
    disk.path().join("data")
}

fn open(disk: &SimulatedDisk) -> LogManager {
    open_manager(&data(disk), small_config())
}

fn create(manager: &LogManager, id: u128) -> Arc<Log> {
    let id = Uuid::from_u128(id);
    manager.create_log(&partition(), Some(id), Arc::new(small_config()), NOW_MS).unwrap()
}

fn append(log: &Log, epoch: i32) {
    log.append_as_leader(&batch(1, 100, NOW_MS), epoch, AppendOrigin::Client, NOW_MS).unwrap();
    log.update_high_watermark(log.log_end_offset());
}

/// Does something on a new disk and cuts the power; then looks at what a broker that starts has.
fn after_power_loss(work: impl Fn(&SimulatedDisk), look: impl Fn(u64, &LogManager)) {
    for seed in 0..SEEDS {
        let disk = SimulatedDisk::new(seed);
        work(&disk);
        disk.lose_power();
        look(seed, &open(&disk));
    }
}

#[test]
fn the_mark_of_a_clean_stop_does_not_come_back() {
    for seed in 0..SEEDS {
        let disk = SimulatedDisk::new(seed);
        open(&disk).shutdown(1).unwrap();
        assert!(CleanShutdownFile::new(&data(&disk)).exists());
        let _running = open(&disk);
        disk.lose_power();
        assert!(!CleanShutdownFile::new(&data(&disk)).exists(), "seed {seed}");
    }
}

#[test]
fn a_log_made_anew_takes_nothing_over() {
    let disk = SimulatedDisk::new(1);
    let manager = open(&disk);
    let log = create(&manager, 1);
    (0..5).for_each(|_| append(&log, 0));
    log.flush().unwrap();
    log.maybe_increment_log_start_offset(3).unwrap();
    manager.checkpoint_high_watermarks().unwrap();
    manager.checkpoint_recovery_points().unwrap();
    manager.checkpoint_log_start_offsets().unwrap();
    manager.delete_log(&partition(), NOW_MS).unwrap();
    (0..6).for_each(|_| append(&create(&manager, 2), 0));
    disk.kill();
    let log = open(&disk).get_log(&partition()).unwrap();
    assert_eq!((log.log_start_offset(), log.high_watermark(), log.recovery_point()), (0, 0, 0));
    assert_eq!(served(&log).len(), 6);
}

#[test]
fn logs_deleted_together_do_not_come_back() {
    let name = |index| TopicPartition::new("many", index);
    for seed in 0..SEEDS {
        let disk = SimulatedDisk::new(seed);
        let manager = open(&disk);
        for index in 0..8 {
            let log = manager.create_log(&name(index), None, manager.default_config(), NOW_MS).unwrap();
            append(&log, 0);
            log.flush().unwrap();
        }
        manager.checkpoint_recovery_points().unwrap();
        (0..6).for_each(|index| assert!(manager.begin_deletion(&name(index), NOW_MS).unwrap()));
        assert!(!manager.begin_deletion(&name(0), NOW_MS).unwrap());
        manager.finish_deletions().unwrap();
        disk.lose_power();
        let manager = open(&disk);
        let left: Vec<bool> = (0..8).map(|index| manager.get_log(&name(index)).is_some()).collect();
        assert_eq!(left, [false, false, false, false, false, false, true, true], "seed {seed}");
    }
}

#[test]
fn what_a_killed_broker_had_deleted_does_not_come_back_behind_its_next_start() {
    for seed in 0..SEEDS {
        let disk = SimulatedDisk::new(seed);
        let manager = open(&disk);
        let log = create(&manager, 1);
        append(&log, 0);
        log.flush().unwrap();
        // It has another name, which nobody has synced yet, and it was the only one.
        assert!(manager.begin_deletion(&partition(), NOW_MS).unwrap());
        disk.kill();
        let manager = open(&disk);
        assert!(manager.get_log(&partition()).is_none(), "seed {seed}");
        disk.lose_power();
        assert!(open(&disk).get_log(&partition()).is_none(), "seed {seed}");
    }
}

#[test]
fn checkpoints_forget_all_deleted_logs_when_one_of_them_is_made_anew() {
    let name = |index| TopicPartition::new("many", index);
    let disk = SimulatedDisk::new(1);
    let manager = open(&disk);
    let create = |index| manager.create_log(&name(index), None, manager.default_config(), NOW_MS).unwrap();
    for index in 0..8 {
        let log = create(index);
        append(&log, 0);
        log.flush().unwrap();
    }
    manager.checkpoint_recovery_points().unwrap();
    let file = data(&disk).join("recovery-point-offset-checkpoint");
    let named = || {
        let offsets = storage::checkpoint::read_offsets(&file).unwrap();
        let mut indexes: Vec<i32> = offsets.keys().map(|partition| partition.partition).collect();
        indexes.sort_unstable();
        indexes
    };
    (0..6).for_each(|index| assert!(manager.begin_deletion(&name(index), NOW_MS).unwrap()));
    manager.finish_deletions().unwrap();
    assert_eq!(named(), [0, 1, 2, 3, 4, 5, 6, 7]);
    create(0);
    assert_eq!(named(), [6, 7]);
    create(1);
    assert_eq!(named(), [6, 7]);
}

#[test]
fn no_hole_is_left_between_segments() {
    let work = |disk: &SimulatedDisk| {
        let log = create(&open(disk), 1);
        append(&log, 0);
        log.flush().unwrap();
        for _ in 0..4 {
            append(&log, 0);
            log.roll(NOW_MS).unwrap();
        }
        append(&log, 0);
    };
    after_power_loss(work, |seed, manager| {
        let log = manager.get_log(&partition()).expect("it was synced");
        let offsets: Vec<i64> = served(&log).iter().map(|(first, _)| *first).collect();
        let expected: Vec<i64> = (0..log.log_end_offset()).collect();
        assert_eq!(offsets, expected, "seed {seed}");
        assert!(!offsets.is_empty());
    });
}

#[test]
fn what_was_truncated_does_not_come_back_behind_a_flush() {
    let work = |disk: &SimulatedDisk| {
        let log = create(&open(disk), 1);
        (0..6).for_each(|_| append(&log, 0));
        log.roll(NOW_MS).unwrap();
        (0..3).for_each(|_| append(&log, 0));
        log.flush().unwrap();
        log.truncate_to(4, NOW_MS).unwrap();
        log.flush().unwrap();
    };
    after_power_loss(work, |seed, manager| {
        let log = manager.get_log(&partition()).expect("it was synced");
        assert_eq!(log.log_end_offset(), 4, "seed {seed}");
    });
}

/// So many that a start syncs their names together.
#[test]
fn a_segment_of_one_of_many_logs_does_not_come_back_behind_a_start() {
    for seed in 0..12 {
        let disk = SimulatedDisk::new(seed);
        let manager = open(&disk);
        let log = create(&manager, 1);
        (0..6).for_each(|_| append(&log, 0));
        log.roll(NOW_MS).unwrap();
        (0..3).for_each(|_| append(&log, 0));
        log.flush().unwrap();
        for number in 0..1_000 {
            let other = TopicPartition::new("many", number);
            manager.create_log(&other, None, Arc::new(small_config()), NOW_MS).unwrap();
        }
        log.truncate_to(6, NOW_MS).unwrap();
        disk.kill();
        open(&disk);
        disk.lose_power();
        let log = open(&disk).get_log(&partition()).expect("it was synced");
        assert_eq!(log.log_end_offset(), 6, "seed {seed}");
    }
}

#[test]
fn epochs_are_those_of_the_records() {
    let work = |disk: &SimulatedDisk| {
        let log = create(&open(disk), 1);
        (0..4).for_each(|_| append(&log, 1));
        log.flush().unwrap();
        log.truncate_to(2, NOW_MS).unwrap();
        (0..2).for_each(|_| append(&log, 2));
        // Writes the epochs, and no records.
        log.write_checkpoints().unwrap();
    };
    let came_back = std::cell::Cell::new(0);
    after_power_loss(work, |seed, manager| {
        let log = manager.get_log(&partition()).expect("it was synced");
        if log.log_end_offset() < 3 {
            return;
        }
        let mut bytes = Vec::new();
        log.read(2, 10_000, log.log_end_offset(), true).unwrap().records.read_into(&mut bytes).unwrap();
        let first = protocol::records::Batches::new(&bytes).next().unwrap().unwrap();
        let epoch = first.partition_leader_epoch();
        came_back.set(came_back.get() + i32::from(epoch == 1));
        assert_eq!(log.latest_epoch(), Some(epoch), "seed {seed}");
    });
    assert!(came_back.get() > 0, "no seed brings the old records back");
}

/// The metadata log, which lies before a snapshot with a later epoch, is emptied so: one that began behind the snapshot would be of no use.
#[test]
fn a_log_that_is_being_emptied_begins_where_it_began_or_where_it_is_to_begin() {
    let mut shortened = 0;
    for seed in 0..SEEDS * 4 {
        let disk = SimulatedDisk::new(seed);
        let manager = open(&disk);
        let log = create(&manager, 1);
        for _ in 0..4 {
            append(&log, 0);
            log.roll(NOW_MS).unwrap();
        }
        log.flush().unwrap();
        disk.halt_after(seed % 24);
        let _ = manager.truncate_fully_and_start_at(&partition(), 1, NOW_MS);
        drop((log, manager));
        disk.lose_power();
        let log = open(&disk).get_log(&partition()).expect("it was synced");
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        assert!(start == 0 || (start, end) == (1, 1), "seed {seed}: {start}..{end}");
        shortened += i32::from(start == 0 && end < 4);
    }
    assert!(shortened > 0, "no seed stops it halfway");
}

/// A follower led in epoch 1, then followed a leader whose records at the same offsets are of epochs 0 and 2.
#[test]
fn epochs_are_those_of_the_records_also_where_the_file_has_earlier_ones() {
    let work = |disk: &SimulatedDisk| {
        let log = create(&open(disk), 1);
        (0..2).for_each(|_| append(&log, 1));
        log.flush().unwrap();
        log.truncate_to(0, NOW_MS).unwrap();
        append(&log, 0);
        append(&log, 2);
        log.write_checkpoints().unwrap();
    };
    let came_back = std::cell::Cell::new(0);
    after_power_loss(work, |seed, manager| {
        let log = manager.get_log(&partition()).expect("it was synced");
        let mut bytes = Vec::new();
        log.read(0, 10_000, log.log_end_offset(), true).unwrap().records.read_into(&mut bytes).unwrap();
        for batch in protocol::records::Batches::new(&bytes) {
            let batch = batch.unwrap();
            let (offset, epoch) = (batch.base_offset(), batch.partition_leader_epoch());
            came_back.set(came_back.get() + i32::from((offset, epoch) == (0, 1)));
            let end_of = |epoch| log.end_offset_for_epoch(epoch).map_or(0, |end| end.offset);
            let (before, end) = (end_of(epoch - 1), end_of(epoch));
            assert!(
                (before..end).contains(&offset),
                "seed {seed}: {epoch} at {offset}, not in {before}..{end}"
            );
        }
    });
    assert!(came_back.get() > 0, "no seed brings the old records back");
}

#[test]
fn a_clean_stop_keeps_the_producers() {
    let work = |disk: &SimulatedDisk| {
        let manager = open(disk);
        let log = create(&manager, 1);
        let batch = common::idempotent(1, (7, 0, 0));
        log.append_as_leader(&batch, 0, AppendOrigin::Client, NOW_MS).unwrap();
        log.roll(NOW_MS).unwrap();
        manager.shutdown(1).unwrap();
    };
    after_power_loss(work, |seed, manager| {
        let log = manager.get_log(&partition()).expect("it was synced");
        assert_eq!(log.active_producers().len(), 1, "seed {seed}");
    });
}

#[test]
fn a_clean_stop_of_many_logs_keeps_all_that_it_marks() {
    const LOGS: i32 = 20;
    let name = |index| TopicPartition::new("many", index);
    let (mut marked, mut torn) = (0, 0);
    for seed in 0..SEEDS * 2 {
        let disk = SimulatedDisk::new(seed);
        let manager = open(&disk);
        for index in 0..LOGS {
            let log = manager.create_log(&name(index), None, manager.default_config(), NOW_MS).unwrap();
            (0..3).for_each(|_| append(&log, 0));
            log.flush().unwrap();
            // Over several segments, the last in another epoch, and by a producer of whom a snapshot tells.
            (0..20).for_each(|_| append(&log, 0));
            let batch = common::idempotent(1, (7, 0, 0));
            log.append_as_leader(&batch, 1, AppendOrigin::Client, NOW_MS).unwrap();
        }
        disk.halt_after(seed * 4);
        let result = manager.shutdown(1);
        assert_eq!(result.is_err(), disk.is_halted(), "seed {seed}");
        drop(manager);
        disk.lose_power();
        let is_marked = CleanShutdownFile::new(&data(&disk)).exists();
        assert!(is_marked || result.is_err(), "seed {seed}");
        *(if is_marked { &mut marked } else { &mut torn }) += 1;

        let manager = open(&disk);
        for index in 0..LOGS {
            let log = manager.get_log(&name(index)).expect("its name was synced");
            let served = served(&log).len();
            assert_eq!(served as i64, log.log_end_offset(), "seed {seed}");
            assert!(served >= 3, "seed {seed}: {served}");
            if is_marked {
                assert_eq!((served, log.recovery_point()), (24, 24), "seed {seed}");
                assert_eq!(log.active_producers().len(), 1, "seed {seed}");
                let epochs: Vec<_> =
                    log.epoch_entries().iter().map(|entry| (entry.epoch, entry.start_offset)).collect();
                assert_eq!(epochs, [(0, 0), (1, 23)], "seed {seed}");
            }
        }
    }
    assert!(marked > 0 && torn > 0, "{marked} {torn}");
}

#[test]
fn the_small_files_of_many_logs_are_old_or_new_and_last() {
    const LOGS: i32 = 20;
    let name = |index| TopicPartition::new("many", index);
    let id = |index: i32| Uuid::from_u128(7 + index as u128);
    let mut finished = 0;
    for seed in 0..SEEDS * 4 {
        let disk = SimulatedDisk::new(seed);
        let manager = open(&disk);
        let config = Arc::new(small_config());
        let logs: Vec<_> = (0..LOGS)
            .map(|index| {
                manager.create_log(&name(index), Some(id(index)), Arc::clone(&config), NOW_MS).unwrap()
            })
            .collect();
        logs.iter().for_each(|log| _ = log.lead(3, false).unwrap());
        manager.checkpoint_high_watermarks().unwrap();
        let files = |index: i32| {
            let dir = data(&disk).join(format!("many-{index}"));
            (
                storage::checkpoint::read_partition_metadata(&dir).unwrap(),
                storage::checkpoint::read_leader_epochs(&dir).unwrap(),
            )
        };
        // The second time there are old files; the power goes in the middle of it, or behind it.
        logs.iter().for_each(|log| append(log, 5));
        disk.halt_after(seed);
        let result = manager.checkpoint_high_watermarks();
        let is_done = result.is_ok() && !disk.is_halted();
        finished += i32::from(is_done);
        drop((logs, manager));
        disk.lose_power();
        for index in 0..LOGS {
            let (stored, epochs) = files(index);
            assert_eq!(stored, Some(id(index)), "seed {seed}");
            let epochs: Vec<_> = epochs.iter().map(|entry| entry.epoch).collect();
            assert!(epochs == [5] || !is_done && epochs == [3], "seed {seed}: {epochs:?}");
        }
    }
    assert!(finished > 0 && finished < SEEDS as i32 * 4, "{finished}");
}

#[test]
fn who_still_holds_a_deleted_log_takes_no_directory_offline() {
    let disk = SimulatedDisk::new(1);
    let manager = open(&disk);
    let log = create(&manager, 1);
    append(&log, 0);
    manager.begin_deletion(&partition(), NOW_MS).unwrap();
    manager.finish_deletions().unwrap();
    assert_eq!(manager.purge_deleted_logs(i64::MAX), 0);
    // As who looks after all logs does, and had this one before it was deleted.
    assert!(log.write_checkpoints().is_err());
    assert!(log.flush().is_err());
    assert!(!log.dir_health().is_offline());
    append(&create(&manager, 2), 0);
}
