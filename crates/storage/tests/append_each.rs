//! Batches that are appended together end up as if each had come alone.

mod common;

use std::fs;
use std::path::Path;

use ::common::ErrorCode;
use common::{NOW_MS, batch, idempotent, names, open, served, small_config, transactional};
use proptest::prelude::*;
use storage::{AppendError, AppendInfo, AppendOrigin, LogConfig};

/// What a producer sends.
#[derive(Debug, Clone)]
enum Sent {
    /// Records of a size, at a time.
    Plain(usize, usize, i64),
    /// Of a producer: so many records, and what is added to its sequence number before.
    Idempotent(i64, i16, usize, i32),
    Transactional(i64),
    Damaged,
    Nothing,
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        6 => (1..4_usize, 1..200_usize, 0..30_000_i64).prop_map(|(count, size, time)| Sent::Plain(count, size, time)),
        // Larger than a segment, or just as large as one may be.
        1 => (800..1100_usize).prop_map(|size| Sent::Plain(1, size, 0)),
        8 => (1..3_i64, 0..2_i16, 1..4_usize, prop_oneof![8 => Just(0), 1 => -6..6])
            .prop_map(|(id, epoch, count, gap)| Sent::Idempotent(id, epoch, count, gap)),
        2 => (5..7_i64).prop_map(Sent::Transactional),
        1 => Just(Sent::Damaged),
        1 => Just(Sent::Nothing),
    ]
}

/// The bytes; `sequences` are the next ones of producers and epochs.
fn bytes(sent: &Sent, sequences: &mut [[i32; 2]; 8]) -> Vec<u8> {
    match *sent {
        Sent::Plain(count, size, time) => batch(count, size, NOW_MS + time),
        Sent::Idempotent(id, epoch, count, gap) => {
            let next = &mut sequences[id as usize][epoch as usize];
            let sequence = (*next + gap).max(0);
            *next = sequence + count as i32;
            idempotent(count, (id, epoch, sequence))
        }
        Sent::Transactional(id) => {
            let next = &mut sequences[id as usize][0];
            *next += 1;
            transactional(1, (id, 0, *next - 1))
        }
        Sent::Damaged => {
            let mut bytes = batch(1, 10, NOW_MS);
            *bytes.last_mut().unwrap() ^= 1;
            bytes
        }
        Sent::Nothing => Vec::new(),
    }
}

/// What the producer is told.
fn told(appended: &Result<AppendInfo, AppendError>) -> Result<AppendInfo, String> {
    match appended {
        // The log's end is where it is by then.
        Ok(info) => Ok(AppendInfo { log_end_offset: 0, ..*info }),
        Err(error) => Err(error.to_string()),
    }
}

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    names(dir).into_iter().map(|name| (name.clone(), fs::read(dir.join(name)).unwrap())).collect()
}

fn configs() -> impl Strategy<Value = LogConfig> {
    let rolls_by_time = LogConfig { segment_ms: 10_000, ..small_config() };
    // Three entries.
    let small_indexes = LogConfig { max_index_size: 36, segment_size: 1 << 20, ..small_config() };
    let large = LogConfig { segment_size: 1 << 20, ..small_config() };
    prop_oneof![Just(small_config()), Just(rolls_by_time), Just(small_indexes), Just(large)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn as_if_each_had_come_alone(
        config in configs(),
        sole in any::<bool>(),
        groups in prop::collection::vec(prop::collection::vec(sent(), 1..12), 1..12),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (alone_dir, together_dir) = (dir.path().join("alone"), dir.path().join("together"));
        let (alone, together) = (open(&alone_dir, config.clone()), open(&together_dir, config));
        for log in [&alone, &together] {
            log.lead(3, sole).unwrap();
        }
        let mut sequences = [[0; 2]; 8];
        for group in groups {
            let batches: Vec<Vec<u8>> = group.iter().map(|sent| bytes(sent, &mut sequences)).collect();
            let one = |batch: &Vec<u8>| alone.append_as_leader(batch, 3, AppendOrigin::Client, NOW_MS);
            let expected: Vec<_> = batches.iter().map(one).collect();
            let batches: Vec<&[u8]> = batches.iter().map(Vec::as_slice).collect();
            let appended = together.append_each_as_leader(&batches, 3, NOW_MS).unwrap();
            prop_assert_eq!(
                appended.iter().map(told).collect::<Vec<_>>(),
                expected.iter().map(told).collect::<Vec<_>>()
            );
            prop_assert_eq!(together.log_end_offset_metadata(), alone.log_end_offset_metadata());
            prop_assert_eq!(together.high_watermark(), alone.high_watermark());
            prop_assert_eq!(together.first_unstable_offset(), alone.first_unstable_offset());
        }
        prop_assert_eq!(together.active_producers(), alone.active_producers());
        prop_assert_eq!(together.epoch_entries(), alone.epoch_entries());
        prop_assert_eq!(served(&together), served(&alone));
        for log in [&alone, &together] {
            log.close().unwrap();
        }
        prop_assert_eq!(files(&together_dir), files(&alone_dir));
    }
}

#[test]
fn more_batches_than_one_call_takes() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), LogConfig::default());
    let record = batch(1, 10, NOW_MS);
    let appended = log.append_each_as_leader(&vec![&record[..]; 1500], 0, NOW_MS).unwrap();
    for (offset, info) in appended.iter().enumerate() {
        assert_eq!(info.as_ref().unwrap().first_offset, offset as i64);
    }
    assert_eq!(served(&log).len(), 1500);
}

#[test]
fn an_epoch_that_is_over_appends_none() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), LogConfig::default());
    log.follow(5);
    let record = batch(1, 10, NOW_MS);
    let error = log.append_each_as_leader(&[&record, &record], 4, NOW_MS).unwrap_err();
    assert_eq!(error.error_code(), ErrorCode::NotLeaderOrFollower);
    assert_eq!(log.log_end_offset(), 0);
}
