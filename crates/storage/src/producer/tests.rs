use common::ErrorCode;
use protocol::compression::Compression;
use protocol::records::{BatchHeader, EndTxnMarker, RecordBatchBuilder, TimestampType};

use super::*;

const NOW_MS: i64 = 1_000_000;

fn header(count: usize, producer: (i64, i16, i32), transactional: bool) -> BatchHeader {
    let mut builder = RecordBatchBuilder::new(0, Compression::None, TimestampType::CreateTime)
        .with_producer(producer.0, producer.1, producer.2)
        .with_transactional(transactional);
    for _ in 0..count {
        builder.append(NOW_MS, None, Some(b"v"), &[]).unwrap();
    }
    BatchHeader::parse(&builder.build()).unwrap()
}

struct State {
    _dir: tempfile::TempDir,
    manager: ProducerStateManager,
    next_offset: i64,
}

impl State {
    fn new() -> State {
        let dir = tempfile::tempdir().unwrap();
        let manager = ProducerStateManager::open(&PartitionDir::new(dir.path()), 1000).unwrap();
        State { _dir: dir, manager, next_offset: 0 }
    }

    fn append_as(
        &mut self,
        origin: AppendOrigin,
        count: usize,
        producer: (i64, i16, i32),
        transactional: bool,
    ) -> Result<(), ErrorCode> {
        let header = header(count, producer, transactional);
        let mut append = self.manager.prepare(producer.0, origin);
        append.append_data(&header, self.next_offset, NOW_MS, &"t-0").map_err(|error| error.code)?;
        self.manager.update(&append);
        self.next_offset += count as i64;
        self.manager.update_map_end_offset(self.next_offset);
        Ok(())
    }

    fn append(&mut self, count: usize, producer: (i64, i16, i32)) -> Result<(), ErrorCode> {
        self.append_as(AppendOrigin::Client, count, producer, false)
    }

    fn end(
        &mut self,
        producer: (i64, i16),
        marker: EndTxnMarker,
        version: i16,
    ) -> Result<Option<CompletedTxn>, ErrorCode> {
        let mut append = self.manager.prepare(producer.0, AppendOrigin::Coordinator);
        let completed = append
            .append_end_txn(marker, producer.1, self.next_offset, NOW_MS, version, &"t-0")
            .map_err(|error| error.code)?;
        self.manager.update(&append);
        if let Some(completed) = &completed {
            assert!(self.manager.complete_txn(completed));
        }
        self.next_offset += 1;
        self.manager.update_map_end_offset(self.next_offset);
        Ok(completed)
    }
}

fn marker(committed: bool, coordinator_epoch: i32) -> EndTxnMarker {
    EndTxnMarker { committed, coordinator_epoch }
}

#[test]
fn sequences_must_follow_each_other() {
    let mut state = State::new();
    // Nothing is known of the producer: it may begin anywhere.
    state.append(3, (1, 0, 5)).unwrap();
    state.append(1, (1, 0, 8)).unwrap();
    assert_eq!(state.append(1, (1, 0, 10)), Err(ErrorCode::OutOfOrderSequenceNumber));
    assert_eq!(state.append(1, (1, 0, 4)), Err(ErrorCode::OutOfOrderSequenceNumber));
    state.append(1, (1, 0, 9)).unwrap();
    // A new epoch begins at 0, an old one is over.
    assert_eq!(state.append(1, (1, 1, 10)), Err(ErrorCode::OutOfOrderSequenceNumber));
    state.append(1, (1, 1, 0)).unwrap();
    assert_eq!(state.append(1, (1, 0, 10)), Err(ErrorCode::InvalidProducerEpoch));
    // Another producer has its own.
    state.append(1, (2, 0, 0)).unwrap();
    // A follower takes what there is.
    state.append_as(AppendOrigin::Replication, 1, (1, 0, 99), false).unwrap();
}

#[test]
fn sequences_wrap_to_zero() {
    let mut state = State::new();
    state.append(2, (1, 0, i32::MAX - 1)).unwrap();
    state.append(1, (1, 0, 0)).unwrap();
    let mut state = State::new();
    state.append(5, (1, 0, i32::MAX - 1)).unwrap();
    assert_eq!(state.manager.entry(1).unwrap().last_sequence(), 2);
    state.append(1, (1, 0, 3)).unwrap();
}

#[test]
fn the_last_five_batches_are_known_again() {
    let mut state = State::new();
    for sequence in 0..7 {
        state.append(1, (1, 0, sequence)).unwrap();
    }
    let entry = state.manager.entry(1).unwrap();
    for sequence in 0..7 {
        let found = entry.find_duplicate(&header(1, (1, 0, sequence), false));
        assert_eq!(found.map(|batch| batch.last_offset), (sequence >= 2).then_some(i64::from(sequence)));
    }
    // Neither a part of a batch, nor one of another epoch.
    assert!(entry.find_duplicate(&header(2, (1, 0, 5), false)).is_none());
    assert!(entry.find_duplicate(&header(1, (1, 1, 5), false)).is_none());
}

#[test]
fn transactions_hold_the_last_stable_offset() {
    let mut state = State::new();
    state.append_as(AppendOrigin::Client, 2, (1, 0, 0), true).unwrap();
    state.append_as(AppendOrigin::Client, 2, (2, 0, 0), true).unwrap();
    assert_eq!(state.manager.first_unstable_offset(), Some(0));
    // A write outside of the transaction that is open.
    assert_eq!(state.append(1, (1, 0, 2)), Err(ErrorCode::InvalidTxnState));
    let completed = state.end((1, 0), marker(false, 3), 0).unwrap().unwrap();
    assert_eq!((completed.first_offset, completed.last_offset, completed.is_aborted), (0, 4, true));
    assert_eq!(state.manager.last_stable_offset(&completed), 2);
    // The marker must be below the high watermark before it counts.
    assert_eq!(state.manager.first_unstable_offset(), Some(0));
    state.manager.on_high_watermark_updated(4);
    assert_eq!(state.manager.first_unstable_offset(), Some(0));
    state.manager.on_high_watermark_updated(5);
    assert_eq!(state.manager.first_unstable_offset(), Some(2));
    assert!(state.end((2, 0), marker(true, 3), 0).unwrap().is_some());
    state.manager.on_high_watermark_updated(6);
    assert_eq!(state.manager.first_unstable_offset(), None);
    assert!(!state.manager.has_transactions());
    // A marker without a transaction completes nothing; one of an older coordinator is refused.
    assert_eq!(state.end((2, 0), marker(true, 3), 0), Ok(None));
    assert_eq!(state.end((2, 0), marker(true, 2), 0), Err(ErrorCode::TransactionCoordinatorFenced));
}

#[test]
fn markers_of_version_2_raise_the_epoch() {
    let mut state = State::new();
    state.append_as(AppendOrigin::Client, 1, (1, 5, 0), true).unwrap();
    assert_eq!(state.end((1, 5), marker(true, 1), 2), Err(ErrorCode::InvalidProducerEpoch));
    assert!(state.end((1, 6), marker(true, 1), 2).unwrap().is_some());
    // Written again, it does no harm.
    assert_eq!(state.end((1, 6), marker(true, 1), 2), Ok(None));
    assert_eq!(state.end((1, 5), marker(true, 1), 2), Err(ErrorCode::InvalidProducerEpoch));
}

#[test]
fn a_snapshot_brings_producers_and_open_transactions_back() {
    let mut state = State::new();
    state.append(3, (1, 0, 0)).unwrap();
    state.append_as(AppendOrigin::Client, 2, (2, 0, 0), true).unwrap();
    assert!(state.manager.take_snapshot(true).unwrap().is_some());
    assert!(state.manager.take_snapshot(true).unwrap().is_none());
    let dir = &PartitionDir::new(state._dir.path());
    let mut manager = ProducerStateManager::open(dir, 1000).unwrap();
    manager.truncate_and_reload(0, 10, NOW_MS + 500).unwrap();
    assert_eq!(manager.map_end_offset(), 5);
    assert_eq!(manager.first_unstable_offset(), Some(3));
    assert_eq!(manager.entry(1).unwrap().last_sequence(), 2);
    // Producers that have expired are left out, but not those with a transaction.
    let mut manager = ProducerStateManager::open(dir, 1000).unwrap();
    manager.truncate_and_reload(0, 10, NOW_MS + 1000).unwrap();
    assert!(manager.entry(1).is_none() && manager.entry(2).is_some());
    // A snapshot behind the log's end is not used.
    let mut manager = ProducerStateManager::open(dir, 1000).unwrap();
    manager.truncate_and_reload(0, 4, NOW_MS).unwrap();
    assert_eq!((manager.map_end_offset(), manager.latest_snapshot_offset()), (0, None));
}

#[test]
fn a_log_whose_start_was_moved_to_its_end_has_no_last_snapshot() {
    let mut state = State::new();
    state.append(3, (7, 0, 0)).unwrap();
    state.manager.on_log_start_offset_incremented(3);
    assert!(!state.manager.take_last_snapshot(true).unwrap());
    // With more behind it there is one, and it is synced however often the log is closed.
    state.append(1, (7, 0, 3)).unwrap();
    assert!(state.manager.take_last_snapshot(true).unwrap());
    assert!(state.manager.take_last_snapshot(true).unwrap());
    assert_eq!(state.manager.latest_snapshot_offset(), Some(4));
}

#[test]
fn stray_snapshots_go_but_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    for offset in [1, 5, 6, 9] {
        std::fs::write(crate::file_names::producer_snapshot_file(dir.path(), offset), b"").unwrap();
    }
    let mut manager = ProducerStateManager::open(&PartitionDir::new(dir.path()), 1000).unwrap();
    manager.remove_stray_snapshots(&[0, 5]).unwrap();
    assert_eq!(manager.latest_snapshot_offset(), Some(9));
    let mut left: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["00000000000000000005.snapshot", "00000000000000000009.snapshot"]);
    manager.remove_stray_snapshots(&[0, 5, 12]).unwrap();
    assert_eq!(manager.latest_snapshot_offset(), Some(5));
}
