//! The log with its snapshots: comparing, cleaning, truncating.

use super::*;
use crate::batch::build_data_batch;

fn open(directory: &Path, config: MetadataLogConfig) -> MetadataLog {
    MetadataLog::open(directory, config, 0).unwrap()
}

/// Appends one record of `size` bytes in `epoch` and commits it.
fn append(log: &mut MetadataLog, epoch: i32, size: usize) {
    if log.last_fetched_epoch() != epoch {
        log.initialize_leader_epoch(epoch).unwrap();
    }
    let batch = build_data_batch(log.end_offset(), epoch, 0, &[vec![0; size]]).unwrap();
    log.append_as_leader(&batch, epoch, 0).unwrap();
    let end_offset = log.flush().unwrap();
    log.update_high_watermark(end_offset);
}

fn snapshot(log: &mut MetadataLog, offset: i64, epoch: i32, timestamp_ms: i64) {
    let options = SnapshotOptions {
        id: OffsetAndEpoch::new(offset, epoch),
        last_contained_log_timestamp_ms: timestamp_ms,
        kraft_version: 0,
        voters: None,
    };
    let writer = log.create_new_snapshot(&options, 0).unwrap().unwrap();
    log.on_snapshot_frozen(writer.freeze(0).unwrap());
}

fn unlimited() -> MetadataLogConfig {
    MetadataLogConfig { retention_bytes: -1, retention_ms: -1, ..MetadataLogConfig::default() }
}

#[test]
fn logs_are_compared_by_offset_and_epoch() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(directory.path(), unlimited());
    for epoch in [1, 1, 1, 3, 3] {
        append(&mut log, epoch, 10);
    }
    let valid = |offset, epoch| ValidOffsetAndEpoch::Valid(OffsetAndEpoch::new(offset, epoch));
    let diverging = |offset, epoch| ValidOffsetAndEpoch::Diverging(OffsetAndEpoch::new(offset, epoch));
    assert_eq!(log.validate_offset_and_epoch(0, 0), valid(0, 0));
    assert_eq!(log.validate_offset_and_epoch(3, 1), valid(3, 1));
    assert_eq!(log.validate_offset_and_epoch(5, 3), valid(5, 3));
    assert_eq!(log.validate_offset_and_epoch(4, 1), diverging(3, 1));
    assert_eq!(log.validate_offset_and_epoch(4, 2), diverging(3, 1));
    assert_eq!(log.validate_offset_and_epoch(6, 3), diverging(5, 3));
}

#[test]
fn a_bit_that_flips_in_a_record_is_seen_when_the_log_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(directory.path(), unlimited());
    for _ in 0..3 {
        append(&mut log, 1, 100);
    }
    let file = log.dir().join("00000000000000000000.log");
    let mut bytes = std::fs::read(&file).unwrap();
    let second = bytes.len() / 3;
    // In the middle of the record, of which no header tells.
    bytes[second + 100] ^= 4;
    std::fs::write(&file, bytes).unwrap();
    let mut seen = Vec::new();
    let error = log.for_each_batch(0, |batch| {
        seen.push(batch.base_offset());
        Ok(())
    });
    assert!(matches!(error, Err(RaftError::CorruptLog { offset: 1, .. })), "{error:?}");
    assert_eq!(seen, [0]);
}

#[test]
fn by_size_the_oldest_snapshot_goes_until_one_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let config =
        MetadataLogConfig { retention_bytes: 1_000, retention_ms: -1, segment_bytes: 1_000, ..unlimited() };
    let mut log = open(directory.path(), config.clone());
    for _ in 0..10 {
        append(&mut log, 1, 400);
    }
    assert!(!log.maybe_clean(0).unwrap(), "without a snapshot nothing may go");
    snapshot(&mut log, 4, 1, 0);
    assert!(!log.maybe_clean(0).unwrap(), "the log needs the only one");
    snapshot(&mut log, 8, 1, 0);
    assert!(log.maybe_clean(0).unwrap());
    assert_eq!((log.start_offset(), log.earliest_snapshot_id()), (8, Some(OffsetAndEpoch::new(8, 1))));
    assert_eq!(log.validate_offset_and_epoch(2, 1), ValidOffsetAndEpoch::Snapshot(OffsetAndEpoch::new(8, 1)));
    let deleted = deleted_path(log.dir(), OffsetAndEpoch::new(4, 1));
    assert!(deleted.exists());
    log.maybe_clean(59_999).unwrap();
    assert!(deleted.exists());
    log.maybe_clean(60_000).unwrap();
    assert!(!deleted.exists());
    log.close().unwrap();

    let log = open(directory.path(), config);
    assert!(log.start_offset() <= 8 && log.start_offset() > 0, "segments are gone");
    assert_eq!((log.end_offset(), log.latest_snapshot_id()), (10, Some(OffsetAndEpoch::new(8, 1))));
}

#[test]
fn by_time_snapshots_older_than_the_limit_go() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(directory.path(), MetadataLogConfig { retention_ms: 1_000, ..unlimited() });
    for _ in 0..6 {
        append(&mut log, 1, 10);
    }
    for (offset, timestamp_ms) in [(2, 100), (4, 5_000), (6, 9_000)] {
        snapshot(&mut log, offset, 1, timestamp_ms);
    }
    assert!(!log.maybe_clean(1_100).unwrap());
    assert!(log.maybe_clean(5_500).unwrap());
    assert_eq!(log.start_offset(), 4);
    assert!(log.maybe_clean(100_000).unwrap());
    assert_eq!((log.start_offset(), log.snapshots.len()), (6, 1), "the last one stays, however old");
}

#[test]
fn a_log_that_lost_the_snapshot_before_its_start_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let config = MetadataLogConfig { retention_bytes: 1_000, segment_bytes: 1_000, ..unlimited() };
    let mut log = open(directory.path(), config.clone());
    for _ in 0..10 {
        append(&mut log, 1, 400);
    }
    snapshot(&mut log, 4, 1, 0);
    snapshot(&mut log, 8, 1, 0);
    log.maybe_clean(0).unwrap();
    let path = snapshot_path(log.dir(), OffsetAndEpoch::new(8, 1));
    log.close().unwrap();
    fs::remove_file(path).unwrap();
    let error = MetadataLog::open(directory.path(), config, 0).unwrap_err();
    assert!(matches!(error, RaftError::MissingSnapshot { .. }), "{error}");
}

#[test]
fn a_snapshot_ahead_of_the_log_empties_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(directory.path(), unlimited());
    append(&mut log, 1, 10);
    append(&mut log, 1, 10);
    let dir = log.dir().to_owned();
    log.close().unwrap();
    // As a follower leaves it that crashed after it fetched a snapshot.
    let options = SnapshotOptions {
        id: OffsetAndEpoch::new(50, 4),
        last_contained_log_timestamp_ms: 0,
        kraft_version: 0,
        voters: None,
    };
    SnapshotWriter::create(&dir, &options, 0).unwrap().freeze(0).unwrap();
    let log = open(directory.path(), unlimited());
    assert_eq!((log.start_offset(), log.end_offset(), log.last_fetched_epoch()), (50, 50, 4));
}
