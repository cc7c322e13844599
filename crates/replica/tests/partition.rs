//! A partition over a real log: who may write and read, what is committed, who is woken.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::task::{Context, Waker};

use common::{ErrorCode, TopicPartition, Uuid};
use metadata::{LeaderRecoveryState, PartitionRegistration};
use protocol::compression::Compression;
use protocol::records::{RecordBatchBuilder, TimestampType};
use replica::{FetchRequest, FetchWaiter, Isolation, LocalBroker, Partition, Watch, WatchedEnd};
use storage::{AppendOrigin, Log, LogConfig, OpenOptions};

const NOW_MS: i64 = 1_700_000_000_000;
const NODE: i32 = 1;

/// Each registration is newer than those before it.
static EPOCHS: AtomicI32 = AtomicI32::new(0);

fn registration(leader: i32, leader_epoch: i32, isr: &[i32]) -> Arc<PartitionRegistration> {
    Arc::new(PartitionRegistration {
        replicas: vec![NODE, 2],
        directories: vec![Uuid::ZERO; 2],
        isr: isr.to_vec(),
        removing_replicas: Vec::new(),
        adding_replicas: Vec::new(),
        elr: Vec::new(),
        last_known_elr: Vec::new(),
        leader,
        leader_recovery_state: LeaderRecoveryState::Recovered,
        leader_epoch,
        partition_epoch: EPOCHS.fetch_add(1, Ordering::Relaxed),
    })
}

fn partition(directory: &tempfile::TempDir, config: LogConfig, min_insync: usize) -> Arc<Partition> {
    let name = TopicPartition::new("t", 0);
    let options = OpenOptions::new(name.clone(), Arc::new(config), NOW_MS);
    let log = Arc::new(Log::open(directory.path().join("t-0"), options).unwrap());
    Arc::new(
        Partition::new(
            name,
            Uuid::from_u128(7),
            Arc::new(LocalBroker::new(NODE, 30_000)),
            log,
            registration(NODE, 5, &[NODE]),
            min_insync,
            NOW_MS,
        )
        .unwrap(),
    )
}

fn batch(values: &[&str]) -> Vec<u8> {
    let mut builder = RecordBatchBuilder::new(0, Compression::None, TimestampType::CreateTime);
    for value in values {
        builder.append(NOW_MS, None, Some(value.as_bytes()), &[]).unwrap();
    }
    builder.build()
}

fn fetch(offset: i64) -> FetchRequest {
    FetchRequest {
        offset,
        max_bytes: 1024 * 1024,
        isolation: Isolation::ReadUncommitted,
        only_leader: true,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
        min_one_message: true,
    }
}

#[test]
fn what_the_only_replica_has_is_committed_and_wakes_who_waits() {
    let directory = tempfile::tempdir().unwrap();
    let partition = partition(&directory, LogConfig::default(), 1);
    let waiter = FetchWaiter::new(1);
    let watch = Watch::new(Arc::clone(&waiter), WatchedEnd::Committed, vec![Arc::clone(&partition)]);
    let mut context = Context::from_waker(Waker::noop());
    assert!(watch.waiter().poll(&mut context).is_pending());

    let appended =
        partition.append_as_leader(&batch(&["a", "b"]), AppendOrigin::Client, true, NOW_MS).unwrap();
    assert_eq!((appended.first_offset, appended.last_offset), (0, 1));
    assert!(watch.waiter().poll(&mut context).is_ready());
    let fetched = partition.fetch(&fetch(0)).unwrap();
    assert_eq!(fetched.high_watermark, 2);
    assert_eq!(fetched.records.len(), appended.valid_bytes);
    let committed = FetchRequest { isolation: Isolation::ReadCommitted, ..fetch(1) };
    assert!(!partition.fetch(&committed).unwrap().records.is_empty());
    assert!(partition.fetch(&fetch(2)).unwrap().records.is_empty());
}

#[test]
fn what_waits_for_its_sync_is_not_seen_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let partition = partition(&directory, LogConfig { flush_interval: 1, ..LogConfig::default() }, 1);
    let appended = partition.append_as_leader(&batch(&["a"]), AppendOrigin::Client, true, NOW_MS).unwrap();
    assert!(appended.needs_flush);
    assert_eq!(partition.fetch(&fetch(0)).unwrap().high_watermark, 0);
    partition.log().flush().unwrap();
    partition.synced(&appended, NOW_MS);
    assert_eq!(partition.fetch(&fetch(0)).unwrap().high_watermark, 1);
}

#[test]
fn another_replica_in_sync_holds_the_high_watermark() {
    let directory = tempfile::tempdir().unwrap();
    let partition = partition(&directory, LogConfig::default(), 1);
    partition.update(registration(NODE, 5, &[NODE, 2]), NOW_MS).unwrap();
    partition.append_as_leader(&batch(&["a"]), AppendOrigin::Client, false, NOW_MS).unwrap();
    assert_eq!(partition.log().high_watermark(), 0);
    partition.update(registration(NODE, 5, &[NODE]), NOW_MS).unwrap();
    assert_eq!(partition.log().high_watermark(), 1);
}

#[test]
fn only_the_leader_of_the_epoch_serves() {
    let directory = tempfile::tempdir().unwrap();
    let partition = partition(&directory, LogConfig::default(), 1);
    let code = |epoch| partition.check_leader(epoch).map_err(|error| error.error_code());
    assert_eq!(code(5), Ok(()));
    assert_eq!(code(4), Err(ErrorCode::FencedLeaderEpoch));
    assert_eq!(code(6), Err(ErrorCode::UnknownLeaderEpoch));

    let waiter = FetchWaiter::new(1);
    let watch = Watch::new(waiter, WatchedEnd::Committed, vec![Arc::clone(&partition)]);
    partition.update(registration(2, 6, &[2]), NOW_MS).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    assert!(watch.waiter().poll(&mut context).is_ready(), "whoever waits learns that it has to go elsewhere");
    let refused =
        partition.append_as_leader(&batch(&["a"]), AppendOrigin::Client, false, NOW_MS).unwrap_err();
    assert_eq!(refused.error_code(), ErrorCode::NotLeaderOrFollower);
    assert_eq!(partition.fetch(&fetch(0)).unwrap_err().error_code(), ErrorCode::NotLeaderOrFollower);
}

#[test]
fn acks_all_needs_the_replicas_that_the_topic_asks_for() {
    let directory = tempfile::tempdir().unwrap();
    let partition = partition(&directory, LogConfig::default(), 2);
    let refused = partition.append_as_leader(&batch(&["a"]), AppendOrigin::Client, true, NOW_MS).unwrap_err();
    assert_eq!(refused.error_code(), ErrorCode::NotEnoughReplicas);
    assert!(partition.append_as_leader(&batch(&["a"]), AppendOrigin::Client, false, NOW_MS).is_ok());
    partition.set_min_insync_replicas(1);
    assert!(partition.append_as_leader(&batch(&["b"]), AppendOrigin::Client, true, NOW_MS).is_ok());
}

#[test]
fn a_client_whose_log_parts_from_this_one_is_told_where() {
    let directory = tempfile::tempdir().unwrap();
    let partition = partition(&directory, LogConfig::default(), 1);
    partition.append_as_leader(&batch(&["a", "b"]), AppendOrigin::Client, false, NOW_MS).unwrap();
    partition.update(registration(NODE, 8, &[NODE]), NOW_MS).unwrap();
    partition.append_as_leader(&batch(&["c"]), AppendOrigin::Client, false, NOW_MS).unwrap();
    // Epoch 5 ended at offset 2: a client that has offset 3 of it has something else than this log.
    let fetched = partition.fetch(&FetchRequest { last_fetched_epoch: 5, ..fetch(3) }).unwrap();
    assert_eq!(fetched.diverging.map(|end| (end.epoch, end.offset)), Some((5, 2)));
    let fetched = partition.fetch(&FetchRequest { last_fetched_epoch: 5, ..fetch(2) }).unwrap();
    assert!(fetched.diverging.is_none() && !fetched.records.is_empty());
    assert_eq!(
        partition.end_offset_for_epoch(8, 5).unwrap().map(|end| (end.epoch, end.offset)),
        Some((5, 2))
    );
}

#[test]
fn records_are_deleted_up_to_the_high_watermark_and_no_further() {
    let directory = tempfile::tempdir().unwrap();
    let partition = partition(&directory, LogConfig::default(), 1);
    partition.append_as_leader(&batch(&["a", "b", "c"]), AppendOrigin::Client, false, NOW_MS).unwrap();
    assert_eq!(partition.delete_records(2).unwrap(), 2);
    assert_eq!(partition.delete_records(9).unwrap_err().error_code(), ErrorCode::OffsetOutOfRange);
    assert_eq!(partition.delete_records(-1).unwrap(), 3);
}
