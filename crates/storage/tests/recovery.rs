//! What is left of a log after a crash: every whole batch before the damage.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::common::TopicPartition;
use common::{NOW_MS, append, batch, copy_dir, idempotent, names, open, served, small_config};
use proptest::prelude::*;
use storage::{Log, OpenOptions, StorageError};

/// A log of a few segments, not closed: as a crash leaves it, if the machine goes on.
fn crashed_log(dir: &Path) -> Vec<(i64, i64)> {
    let log = open(dir, small_config());
    for n in 0..12 {
        append(&log, &batch(1 + n % 3, 20 + 7 * n, NOW_MS + n as i64 * 100));
        append(&log, &idempotent(2, (7, 0, 2 * n as i32)));
    }
    assert!(log.segment_count() > 2, "{log:?}");
    served(&log)
}

fn segment_files(dir: &Path) -> Vec<PathBuf> {
    names(dir).into_iter().filter(|name| name.ends_with(".log")).map(|name| dir.join(name)).collect()
}

fn reopen(dir: &Path, recovery_point: i64, clean_shutdown: bool) -> Log {
    let options = OpenOptions {
        recovery_point,
        clean_shutdown,
        ..OpenOptions::new(TopicPartition::new("topic", 0), Arc::new(small_config()), NOW_MS)
    };
    Log::open(dir, options).unwrap()
}

/// Where each batch lies: segment, position and end.
fn layout(dir: &Path) -> Vec<(usize, usize, usize)> {
    let mut found = Vec::new();
    for (segment, path) in segment_files(dir).iter().enumerate() {
        let bytes = fs::read(path).unwrap();
        let mut position = 0;
        for batch in protocol::records::Batches::new(&bytes) {
            let size = batch.unwrap().size_in_bytes();
            found.push((segment, position, position + size));
            position += size;
        }
    }
    found
}

/// The log must serve exactly the batches given, take more, and still be so after a clean stop.
fn check(dir: &Path, log: Log, expected: &[(i64, i64)]) {
    assert_eq!(served(&log), expected);
    let end = expected.last().map_or(0, |(_, last)| last + 1);
    assert_eq!(log.log_end_offset(), end);
    let info = append(&log, &batch(1, 30, NOW_MS));
    assert_eq!(info.first_offset, end);
    log.close().unwrap();
    let log = reopen(dir, 0, true);
    assert_eq!(log.log_end_offset(), end + 1);
    let mut more = expected.to_vec();
    more.push((end, end));
    assert_eq!(served(&log), more);
    // The producer goes on where its last whole batch was.
    if let Some(producer) = log.active_producers().first() {
        let records = idempotent(1, (7, 0, producer.last_sequence() + 1));
        append(&log, &records);
    }
}

#[test]
fn a_log_that_is_whole_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let expected = crashed_log(dir.path());
    check(dir.path(), reopen(dir.path(), 0, false), &expected);
}

#[test]
fn the_last_segment_is_cut_at_every_byte() {
    let crashed = tempfile::tempdir().unwrap();
    let expected = crashed_log(crashed.path());
    let layout = layout(crashed.path());
    let last = segment_files(crashed.path()).len() - 1;
    let size = fs::metadata(&segment_files(crashed.path())[last]).unwrap().len();
    for cut in 0..size {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(crashed.path(), dir.path());
        let file = fs::OpenOptions::new().write(true).open(&segment_files(dir.path())[last]).unwrap();
        file.set_len(cut).unwrap();
        let whole = layout.iter().filter(|(segment, _, end)| *segment < last || *end as u64 <= cut).count();
        let log = reopen(dir.path(), 0, false);
        if cut % 100 == 0 {
            check(dir.path(), log, &expected[..whole]);
        } else {
            assert_eq!(served(&log), expected[..whole]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_flipped_bit_costs_nothing_before_it(at in any::<prop::sample::Index>(), bit in 0..8u32) {
        let dir = tempfile::tempdir().unwrap();
        let expected = crashed_log(dir.path());
        let layout = layout(dir.path());
        let total: usize = layout.iter().map(|(_, start, end)| end - start).sum();
        let mut at = at.index(total);
        for (index, (segment, start, end)) in layout.iter().enumerate() {
            if at >= end - start {
                at -= end - start;
                continue;
            }
            let path = &segment_files(dir.path())[*segment];
            let mut bytes = fs::read(path).unwrap();
            bytes[start + at] ^= 1u8 << bit;
            fs::write(path, bytes).unwrap();
            let log = reopen(dir.path(), 0, false);
            let found = served(&log);
            prop_assert!(found.len() >= index, "{} of {index} batches before the damage are served", found.len());
            prop_assert_eq!(&found[..index], &expected[..index]);
            // Neither is there anything that was not written, but for the fields outside the checksum: offset and epoch.
            if (16..).contains(&at) {
                prop_assert_eq!(found.len(), index);
            }
            append(&log, &batch(1, 10, NOW_MS));
            break;
        }
    }

    #[test]
    fn garbage_behind_the_end_is_cut(garbage in prop::collection::vec(any::<u8>(), 1..300), zeros in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let expected = crashed_log(dir.path());
        let path = segment_files(dir.path()).pop().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        // A file system may leave zeros behind what was written.
        bytes.extend(garbage.iter().map(|byte| if zeros { 0 } else { *byte }));
        fs::write(&path, bytes).unwrap();
        check(dir.path(), reopen(dir.path(), 0, false), &expected);
    }

    #[test]
    fn indexes_are_made_anew(
        which in any::<prop::sample::Index>(), kind in 0..3, length in any::<prop::sample::Index>(), clean in any::<bool>()
    ) {
        let dir = tempfile::tempdir().unwrap();
        let expected = crashed_log(dir.path());
        // A clean stop, or none, and then somebody damages an index.
        let log = reopen(dir.path(), 0, false);
        log.close().unwrap();
        let before: Vec<_> = names(dir.path()).into_iter().filter(|name| name.contains("index")).collect();
        let path = dir.path().join(&before[which.index(before.len())]);
        let good = fs::read(&path).unwrap();
        match kind {
            0 => fs::remove_file(&path).unwrap(),
            1 => fs::write(&path, &good[..length.index(good.len() + 1)]).unwrap(),
            _ => {
                let mut bytes = good.clone();
                if !bytes.is_empty() {
                    let at = length.index(bytes.len());
                    bytes[at] ^= 0x55;
                }
                fs::write(&path, bytes).unwrap();
            }
        }
        let log = reopen(dir.path(), if clean { 0 } else { log.log_end_offset() }, clean);
        prop_assert_eq!(served(&log), expected);
        for offset in 0..log.log_end_offset() {
            let found = log.read(offset, 1, log.log_end_offset(), true).unwrap();
            prop_assert!(found.start.message_offset <= offset);
        }
    }
}

#[test]
fn what_lies_before_the_recovery_point_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let expected = crashed_log(dir.path());
    let log = open(dir.path(), small_config());
    log.close().unwrap();
    let bases = log.segment_base_offsets();
    // Damage in a flushed segment is not looked for.
    let path = &segment_files(dir.path())[0];
    let mut bytes = fs::read(path).unwrap();
    bytes[70] ^= 1;
    fs::write(path, &bytes).unwrap();
    let log = reopen(dir.path(), bases[1], false);
    assert_eq!(log.log_end_offset(), expected.last().unwrap().1 + 1);
    assert_eq!(log.recovery_point(), bases[1]);
    drop(log);
    let log = reopen(dir.path(), 0, false);
    assert_eq!(log.log_end_offset(), 0);
}

#[test]
fn a_damaged_segment_takes_those_behind_it_along() {
    let dir = tempfile::tempdir().unwrap();
    let expected = crashed_log(dir.path());
    let layout = layout(dir.path());
    let path = &segment_files(dir.path())[1];
    let mut bytes = fs::read(path).unwrap();
    let middle = layout.iter().position(|(segment, _, _)| *segment == 1).unwrap() + 1;
    bytes[layout[middle].1 + 40] ^= 1;
    fs::write(path, &bytes).unwrap();
    let log = reopen(dir.path(), 0, false);
    assert_eq!(log.segment_count(), 2);
    check(dir.path(), log, &expected[..middle]);
}

#[test]
fn a_damaged_producer_snapshot_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let expected = crashed_log(dir.path());
    open(dir.path(), small_config()).close().unwrap();
    let snapshots: Vec<_> =
        names(dir.path()).into_iter().filter(|name| name.ends_with(".snapshot")).collect();
    for name in snapshots {
        let mut bytes = fs::read(dir.path().join(&name)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(dir.path().join(&name), bytes).unwrap();
    }
    check(dir.path(), reopen(dir.path(), 0, true), &expected);
}

#[test]
fn files_on_their_way_are_finished_or_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let expected = crashed_log(dir.path());
    let bases = open(dir.path(), small_config()).segment_base_offsets();
    let name = |offset: i64, suffix: &str| dir.path().join(format!("{offset:020}{suffix}"));
    // A swap that was complete, and one that was still being written behind it.
    fs::copy(name(bases[0], ".log"), name(bases[0], ".log.swap")).unwrap();
    fs::copy(name(bases[1], ".log"), name(bases[1], ".log.cleaned")).unwrap();
    fs::copy(name(bases[1], ".log"), name(bases[1], ".log.swap")).unwrap();
    fs::write(name(5, ".log.deleted"), b"x").unwrap();
    fs::write(name(3, ".index"), b"orphan").unwrap();
    fs::write(dir.path().join("00000000000000000007-0000000001.checkpoint"), b"raft's").unwrap();
    let log = reopen(dir.path(), 0, false);
    assert_eq!(served(&log), expected);
    let left = names(dir.path());
    assert!(left.iter().all(|name| {
        !name.ends_with(".swap") && !name.ends_with(".cleaned") && !name.ends_with(".deleted")
    }));
    assert!(!name(3, ".index").exists());
    assert!(left.contains(&"00000000000000000007-0000000001.checkpoint".to_owned()));
}

#[test]
fn a_directory_of_another_topic_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let id = ::common::Uuid::random();
    storage::checkpoint::write_partition_metadata(dir.path(), id).unwrap();
    let mut options = OpenOptions::new(common::partition(), Arc::new(small_config()), NOW_MS);
    options.topic_id = Some(::common::Uuid::random());
    let error = Log::open(dir.path(), options.clone()).unwrap_err();
    assert_eq!(error.error_code(), ::common::ErrorCode::InconsistentTopicId);
    options.topic_id = Some(id);
    assert_eq!(Log::open(dir.path(), options).unwrap().topic_id(), Some(id));
    // And a directory that cannot be one is an error of the file system.
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let error =
        Log::open(file.join("topic-0"), OpenOptions::new(common::partition(), Arc::new(small_config()), 0));
    assert!(matches!(error, Err(storage::LogError::Storage(StorageError::Io { .. }))));
}
