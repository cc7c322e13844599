//! When a log is compacted, and what happens to it meanwhile.

use super::*;
use crate::crash_point;

fn fill_segments(world: &World, topic: &str, segments: usize) {
    for n in 0..segments {
        let log = world.logs.get_log(&partition(topic)).unwrap();
        world.append(
            topic,
            &batch(&[("a", &n.to_string()), ("b", "1")], NOW_MS, Compression::None),
            AppendOrigin::Client,
        );
        log.roll(NOW_MS).unwrap();
    }
}

#[test]
fn the_filthiest_log_comes_first_and_clean_ones_never() {
    let world = World::new(LogConfig { min_cleanable_ratio: 0.5, ..compacting() });
    world.create("u");
    fill_segments(&world, "t", 4);
    assert!(world.clean());
    // A little more than half of t is dirty, all of u.
    fill_segments(&world, "t", 1);
    fill_segments(&world, "u", 3);
    assert!(world.clean());
    let first_dirty = |topic: &str| world.logs.get_log(&partition(topic)).unwrap().first_dirty_offset();
    assert_eq!((first_dirty("t"), first_dirty("u")), (Some(8), Some(6)));
    assert_eq!(world.checkpoint(), "0\n2\nt 0 8\nu 0 6\n");
    let t = LogToClean::of(&world.log(), NOW_MS).unwrap();
    assert_eq!((t.first_dirty_offset, t.first_uncleanable_offset), (8, 10));
    assert!(t.cleanable_ratio() > 0.45 && t.cleanable_ratio() < 0.55, "{}", t.cleanable_ratio());
    let due = t.cleanable_ratio() > 0.5;
    assert_eq!(world.clean(), due);
    // Above the ratio it is due; one that does not compact, or has nothing, never is.
    fill_segments(&world, "t", 2);
    assert!(world.clean());
    world.create("v");
    world.log().update_config(Arc::new(LogConfig { compact: false, ..compacting() }));
    fill_segments(&world, "t", 5);
    assert!(!world.clean());
}

#[test]
fn what_is_too_young_waits_and_what_is_old_does_not() {
    let config = LogConfig {
        min_cleanable_ratio: 1.0,
        min_compaction_lag_ms: 100,
        max_compaction_lag_ms: 500,
        ..compacting()
    };
    let world = World::new(config);
    world.put(&[("a", "1"), ("a", "2")]);
    world.roll();
    world.pass_ms(99);
    assert!(!world.clean());
    let to_clean = LogToClean::of(&world.log(), world.now_ms.get()).unwrap();
    assert_eq!((to_clean.first_uncleanable_offset, to_clean.cleanable_bytes), (0, 0));
    world.pass_ms(1);
    let to_clean = LogToClean::of(&world.log(), world.now_ms.get()).unwrap();
    assert_eq!(to_clean.first_uncleanable_offset, 2);
    // It could be compacted, but nothing asks for it yet.
    assert!(!world.clean());
    world.pass_ms(401);
    assert!(world.clean());
    assert_eq!(world.seen(), [seen(1, "a", "2")]);
    // The active segment rolls in time for that.
    world.put(&[("a", "3")]);
    world.pass_ms(501);
    world.put(&[("a", "4")]);
    assert_eq!(world.log().segment_base_offsets(), [0, 2, 3]);
}

#[test]
fn nothing_above_the_last_stable_offset_is_compacted() {
    let world = World::new(compacting());
    world.put(&[("a", "1")]);
    world.roll();
    world.put(&[("a", "2")]);
    world.roll();
    let log = world.log();
    log.update_high_watermark(1);
    assert!(world.clean());
    assert_eq!(world.seen(), [seen(0, "a", "1"), seen(1, "a", "2")]);
    assert_eq!(log.first_dirty_offset(), Some(1));
    log.update_high_watermark(2);
    assert!(world.clean());
    assert_eq!(world.seen(), [seen(1, "a", "2")]);
}

#[test]
fn retention_takes_compacted_logs_too() {
    let world = World::new(LogConfig { delete: true, retention_ms: 1000, ..compacting() });
    fill_segments(&world, "t", 3);
    assert!(world.clean());
    assert_eq!(world.log().log_start_offset(), 0);
    world.pass_ms(5000);
    world.put(&[("z", "1")]);
    // Deleted by the cleaner itself, though it has nothing to compact.
    assert!(!world.clean());
    assert_eq!(world.seen(), [seen(6, "z", "1")]);
    assert_eq!(world.log().log_start_offset(), 6);
    // The checkpoint is before the start now: that is no damage.
    world.put(&[("z", "2")]);
    world.roll();
    assert!(world.clean());
    assert_eq!(world.seen(), [seen(7, "z", "2")]);

    // Without `delete`, only what lies before the log's start goes.
    let world = World::new(LogConfig { retention_ms: 1, ..compacting() });
    fill_segments(&world, "t", 3);
    world.pass_ms(5000);
    world.log().maybe_increment_log_start_offset(2).unwrap();
    world.clean();
    assert_eq!(world.log().log_start_offset(), 2);
    assert_eq!(latest(&world.seen()).len(), 2);
}

#[test]
fn a_damaged_log_is_given_up_and_the_others_go_on() {
    let world = World::new(compacting());
    world.create("u");
    fill_segments(&world, "t", 3);
    fill_segments(&world, "u", 2);
    let path = world.dir().join("00000000000000000002.log");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let before = std::fs::read(world.dir().join("00000000000000000000.log")).unwrap();
    assert!(!world.clean());
    assert!(world.log().is_uncleanable());
    assert_eq!(std::fs::read(world.dir().join("00000000000000000000.log")).unwrap(), before);
    assert!(!world.log().dir_health().is_offline());
    assert!(world.clean(), "u");
    assert!(!world.clean());
    // Appends go on.
    world.put(&[("a", "9")]);
}

/// Does something to the log in the middle of a cleaning, when its new segment was begun.
fn interrupted(world: &World, what: impl FnMut(&Log) + 'static) -> bool {
    interrupted_at(world, "create", what)
}

fn interrupted_at(world: &World, place: &'static str, mut what: impl FnMut(&Log) + 'static) -> bool {
    let log = world.log();
    let mut done = false;
    crash_point::with_hook(
        move |at| {
            if at == place && !done {
                done = true;
                what(&log);
            }
        },
        || world.clean(),
    )
}

fn no_leftovers(dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.contains(".cleaned") && !name.contains(".swap"), "{name}");
    }
}

#[test]
fn a_truncation_ends_the_cleaning_and_takes_its_checkpoint_back() {
    for place in ["create", "write"] {
        let world = World::new(compacting());
        fill_segments(&world, "t", 2);
        assert!(world.clean());
        assert_eq!(world.log().first_dirty_offset(), Some(4));
        fill_segments(&world, "t", 2);
        let logs = Arc::clone(&world.logs);
        let cleaned = interrupted_at(&world, place, move |_| {
            assert!(logs.truncate_to(&partition("t"), 3, NOW_MS).unwrap());
        });
        assert!(!cleaned);
        no_leftovers(&world.dir());
        // The first cleaning has left b at 3 and a at 2; the batch with 3 went whole.
        assert_eq!(world.log().log_end_offset(), 3);
        assert_eq!(world.log().first_dirty_offset(), Some(3));
        assert_eq!(world.checkpoint(), "0\n1\nt 0 3\n");
        world.put(&[("a", "7"), ("a", "8")]);
        world.roll();
        assert!(world.clean());
        assert_eq!(world.seen().last().unwrap(), &seen(4, "a", "8"));
        world.logs.truncate_fully_and_start_at(&partition("t"), 1, NOW_MS).unwrap();
        assert_eq!(world.checkpoint(), "0\n1\nt 0 1\n");
    }
}

#[test]
fn deletion_and_an_end_of_compaction_end_the_cleaning() {
    let world = World::new(compacting());
    fill_segments(&world, "t", 3);
    let before = world.seen();
    assert!(
        !interrupted(&world, |log| log.update_config(Arc::new(LogConfig { compact: false, ..compacting() })))
    );
    assert_eq!(world.seen(), before);
    no_leftovers(&world.dir());
    world.log().update_config(Arc::new(compacting()));
    assert!(world.clean());
    fill_segments(&world, "t", 3);

    let log = world.log();
    let logs = Arc::clone(&world.logs);
    assert!(!interrupted(&world, move |_| assert!(logs.delete_log(&partition("t"), NOW_MS).unwrap())));
    no_leftovers(&log.dir());
    assert_eq!(world.checkpoint(), "0\n0\n");
    // One of the same name begins anew.
    let again = world.create("t");
    assert_eq!(again.first_dirty_offset(), None);
    assert_eq!(world.logs.purge_deleted_logs(NOW_MS + 10_000), 0);
    assert!(!log.dir().exists());
}

#[test]
fn a_stop_ends_the_cleaning() {
    let world = World::new(compacting());
    fill_segments(&world, "t", 3);
    let before = world.seen();
    let asked = Cell::new(0);
    let host = CleanerHost {
        monotonic_ns: &|| 0,
        sleep: &|_| {},
        is_stopping: &|| {
            asked.set(asked.get() + 1);
            asked.get() > 5
        },
    };
    assert!(!world.cleaner.clean_filthiest(&host, NOW_MS));
    assert_eq!(world.seen(), before);
    no_leftovers(&world.dir());
    world.logs.shutdown(1).unwrap();
}

#[test]
fn retention_in_the_middle_of_a_cleaning_wins() {
    let world = World::new(compacting());
    fill_segments(&world, "t", 3);
    assert!(!interrupted(&world, |log| {
        log.maybe_increment_log_start_offset(2).unwrap();
        assert_eq!(log.delete_old_segments(NOW_MS).unwrap(), 1);
    }));
    assert_eq!(world.log().log_start_offset(), 2);
    assert!(world.clean());
    assert_eq!(world.seen(), [seen(4, "a", "2"), seen(5, "b", "1")]);
}

#[test]
fn the_rate_is_kept_by_waiting() {
    let config = CleanerConfig { max_io_bytes_per_second: 1000.0, ..CleanerConfig::default() };
    let world = World::with_cleaner(compacting(), config);
    for n in 0..100 {
        world.put(&[(&n.to_string(), &"v".repeat(100))]);
    }
    world.roll();
    let now_ns = Cell::new(0_u64);
    let host = CleanerHost {
        monotonic_ns: &|| {
            now_ns.set(now_ns.get() + 10_000_000);
            now_ns.get()
        },
        sleep: &|wait| now_ns.set(now_ns.get() + wait.as_nanos() as u64),
        is_stopping: &|| false,
    };
    assert!(world.cleaner.clean_filthiest(&host, NOW_MS));
    // 17,000 bytes are read twice and written once.
    let bytes = 3 * world.log().size();
    assert!(now_ns.get() > bytes * 900_000, "{} ns for {bytes}", now_ns.get());
}

#[test]
fn who_began_to_read_before_goes_on() {
    let world = World::new(compacting());
    fill_segments(&world, "t", 3);
    world.put(&[("a", "last")]);
    let log = world.log();
    let end = log.log_end_offset();
    let before = log.read(2, 1 << 20, end, true).unwrap();
    assert!(world.clean());
    let mut bytes = Vec::new();
    before.records.read_into(&mut bytes).unwrap();
    let first = Batches::new(&bytes).next().unwrap().unwrap();
    assert_eq!((first.base_offset(), first.records_count()), (2, 2));
    // What is remembered of the newest batches must not lead into the new segment by the old one's places.
    for offset in 0..end {
        let found = log.read(offset, 1 << 20, end, true).unwrap();
        let mut bytes = Vec::new();
        found.records.read_into(&mut bytes).unwrap();
        let first = Batches::new(&bytes).next().unwrap().unwrap();
        first.verify_crc().unwrap();
        assert!(first.last_offset() >= offset);
    }
    assert_eq!(log.read(end - 1, 100, end, true).unwrap().start.message_offset, end - 1);
}

#[test]
fn a_checkpoint_that_is_not_of_the_log_is_dropped() {
    let world = World::new(compacting());
    fill_segments(&world, "t", 2);
    assert!(world.clean());
    world.logs.shutdown(1).unwrap();
    let root = world.root.path();
    std::fs::write(root.join("cleaner-offset-checkpoint"), "0\n2\nt 0 99\ngone 0 7\n").unwrap();
    drop(world.cleaner);
    let logs = open_manager(root, compacting());
    assert_eq!(logs.get_log(&partition("t")).unwrap().first_dirty_offset(), Some(0));
    let text = std::fs::read_to_string(root.join("cleaner-offset-checkpoint")).unwrap();
    assert_eq!(text, "0\n1\nt 0 0\n");
}
