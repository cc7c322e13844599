use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use common::ErrorCode;
use storage::{AppendOrigin, LogConfig, OpenOptions};

use super::*;
use crate::testing::{batch, registration};
use crate::{
    AlterPartitionOutcome, CommitWait, FetchWaiter, FollowerPosition, SessionChanges, Settled, SettledAt,
    SettledReader, Watch,
};

struct World {
    partition: Arc<Partition>,
    _directory: tempfile::TempDir,
}

fn world(registration: PartitionRegistration, min_insync: usize, config: LogConfig) -> World {
    let directory = tempfile::tempdir().unwrap();
    let name = TopicPartition::new("t", 0);
    let options = OpenOptions::new(name.clone(), Arc::new(config), 0);
    let log = Arc::new(Log::open(directory.path().join("t-0"), options).unwrap());
    let broker = LocalBroker::new(1, 100);
    broker.set_epoch(10);
    broker.set_eligible([(1, 10), (2, 20), (3, 30)].into_iter());
    let id = Uuid::from_u128(9);
    let partition =
        Partition::new(name, id, Arc::new(broker), log, Arc::new(registration), min_insync, 0).unwrap();
    World { partition: Arc::new(partition), _directory: directory }
}

impl World {
    fn append(&self, acks_all: bool) -> Result<storage::AppendInfo, PartitionError> {
        self.partition.append_as_leader(&batch("value"), AppendOrigin::Client, acks_all, 0)
    }

    fn fetch_by(&self, broker_id: i32, offset: i64) -> Moved {
        let position = FollowerPosition { broker_id, broker_epoch: -1, log_start_offset: 0 };
        self.partition.fetch_as_follower(&follower_fetch(offset), &position, 0).unwrap().1
    }

    fn high_watermark(&self) -> i64 {
        self.partition.log().high_watermark()
    }

    fn update(&self, change: impl FnOnce(&mut PartitionRegistration)) {
        let mut registration = PartitionRegistration::clone(&self.partition.registration());
        registration.partition_epoch += 1;
        change(&mut registration);
        self.partition.update(Arc::new(registration), 0).unwrap();
    }
}

fn follower_fetch(offset: i64) -> FetchRequest {
    FetchRequest {
        offset,
        max_bytes: 1 << 20,
        isolation: Isolation::LogEnd,
        only_leader: true,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
        min_one_message: true,
    }
}

fn is_ready(wait: &mut std::pin::Pin<&mut CommitWait>) -> Option<Result<(), PartitionError>> {
    match wait.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

#[test]
fn a_lone_replica_commits_with_the_append_and_after_the_sync_where_one_is_due() {
    let world = world(registration(&[1], &[1], 1), 2, LogConfig::default());
    let watch = Watch::new(FetchWaiter::new(1), WatchedEnd::Committed, vec![Arc::clone(&world.partition)]);
    let appended = world.append(true).unwrap();
    assert!(appended.committed);
    assert_eq!(world.high_watermark(), 1);
    assert!(watch.waiter().poll(&mut Context::from_waker(Waker::noop())).is_ready());

    let synced =
        self::world(registration(&[1], &[1], 1), 1, LogConfig { flush_interval: 1, ..LogConfig::default() });
    let appended = synced.append(true).unwrap();
    assert!(appended.needs_flush && !appended.committed);
    assert_eq!(synced.high_watermark(), 0);
    synced.partition.log().flush().unwrap();
    synced.partition.synced(&appended, 0);
    assert_eq!(synced.high_watermark(), 1);
}

#[test]
fn a_writer_waits_for_those_in_sync() {
    let world = world(registration(&[1, 2, 3], &[1, 2, 3], 1), 2, LogConfig::default());
    let appended = world.append(true).unwrap();
    let wait =
        CommitWait::new(Arc::clone(&world.partition), appended.last_leader_epoch, appended.last_offset);
    let mut wait = pin!(wait);
    assert!(is_ready(&mut wait).is_none());
    assert_eq!(world.fetch_by(2, 1), Moved::default());
    // What a follower fetches it does not have yet.
    assert_eq!(world.fetch_by(3, 0), Moved::default());
    assert_eq!(world.high_watermark(), 0);
    assert!(is_ready(&mut wait).is_none());
    assert!(world.fetch_by(3, 1).high_watermark);
    assert_eq!(world.high_watermark(), 1);
    assert!(matches!(is_ready(&mut wait), Some(Ok(()))));
}

#[test]
fn too_few_in_sync_are_told_before_and_after_the_append() {
    let world = world(registration(&[1, 2, 3], &[1, 2], 1), 2, LogConfig::default());
    let appended = world.append(true).unwrap();
    let wait =
        CommitWait::new(Arc::clone(&world.partition), appended.last_leader_epoch, appended.last_offset);
    let mut wait = pin!(wait);
    let _ = world.fetch_by(2, 1);
    world.update(|registration| registration.isr = vec![1]);
    assert!(matches!(
        is_ready(&mut wait),
        Some(Err(PartitionError::NotEnoughReplicasAfterAppend { in_sync: 1, required: 2 }))
    ));
    let refused = world.append(true);
    assert!(matches!(refused, Err(PartitionError::NotEnoughReplicas { in_sync: 1, required: 2 })));
    // Without acks=all it is taken, and nobody sees it before there are enough again.
    world.append(false).unwrap();
    assert_eq!(world.high_watermark(), 1);
    world.partition.set_min_insync_replicas(1);
    world.append(true).unwrap();
    assert_eq!(world.high_watermark(), 1, "the follower that has just fetched is waited for");
}

#[test]
fn the_answer_of_the_controller_counts_once_and_refusals_are_told_apart() {
    let world = world(registration(&[1, 2], &[1], 1), 1, LogConfig::default());
    world.append(true).unwrap();
    assert!(world.fetch_by(2, 1).isr_proposed);
    let proposal = world.partition.proposed_isr().unwrap();
    assert_eq!(proposal.isr, [(1, 10), (2, -1)]);
    let retry = world.partition.on_altered(proposal.id, Err(ErrorCode::UnknownServerError), 0);
    assert_eq!(retry, AlterPartitionOutcome::Retry);
    let refused = world.partition.on_altered(proposal.id, Err(ErrorCode::IneligibleReplica), 0);
    assert_eq!(refused, AlterPartitionOutcome::Settled(Moved::default()));
    assert_eq!(world.partition.proposed_isr(), None);

    assert!(world.fetch_by(2, 1).isr_proposed);
    let next = world.partition.proposed_isr().unwrap();
    assert_ne!(next.id, proposal.id);
    let answer = AlteredPartition {
        leader_epoch: 0,
        isr: vec![1, 2],
        leader_recovery_state: metadata::LeaderRecoveryState::Recovered,
        partition_epoch: 1,
    };
    // One that is late changes nothing.
    let _ = world.partition.on_altered(proposal.id, Ok(answer.clone()), 0);
    assert_eq!(world.partition.registration().isr, [1]);
    let _ = world.partition.on_altered(next.id, Ok(answer), 0);
    assert_eq!(world.partition.registration().isr, [1, 2]);
    assert_eq!(world.partition.registration().partition_epoch, 1);

    // The metadata say the same later, and what was asked meanwhile is still open.
    let lagging = world.partition.maybe_shrink_isr(1_000_000);
    assert!(!lagging.isr_proposed, "it has everything");
    world.append(false).unwrap();
    assert!(world.partition.maybe_shrink_isr(1_000_000).isr_proposed);
    let same = PartitionRegistration { partition_epoch: 1, ..registration(&[1, 2], &[1, 2], 1) };
    world.partition.update(Arc::new(same), 0).unwrap();
    assert!(world.partition.proposed_isr().is_some());
    world.update(|registration| registration.isr = vec![1]);
    assert_eq!(world.partition.proposed_isr(), None);
    assert_eq!(world.high_watermark(), 1, "the follower may join again: it is waited for");
}

#[test]
fn a_leader_that_is_none_any_more_lets_nobody_append_and_tells_who_waits() {
    let world = world(registration(&[1, 2], &[1, 2], 1), 1, LogConfig::default());
    let appended = world.append(true).unwrap();
    let wait =
        CommitWait::new(Arc::clone(&world.partition), appended.last_leader_epoch, appended.last_offset);
    let mut wait = pin!(wait);
    assert!(is_ready(&mut wait).is_none());
    world.update(|registration| {
        registration.leader = 2;
        registration.leader_epoch = 1;
    });
    assert!(matches!(is_ready(&mut wait), Some(Err(PartitionError::NotLeader))));
    assert!(matches!(world.append(true), Err(PartitionError::NotLeader)));
    // An append that was under way.
    let late = world.partition.log().append_as_leader(&batch("late"), 0, AppendOrigin::Client, 0);
    assert_eq!(late.unwrap_err().error_code(), ErrorCode::NotLeaderOrFollower);

    // It leads again: what it had appended before may have been replaced meanwhile.
    world.update(|registration| {
        registration.leader = 1;
        registration.leader_epoch = 2;
    });
    let _ = world.fetch_by(2, 1);
    assert_eq!(world.high_watermark(), 1);
    assert!(matches!(is_ready(&mut wait), Some(Err(PartitionError::NotLeader))));
    world.partition.close();
    assert!(world.append(true).is_err());
}

#[test]
fn followers_are_known_by_their_partition_and_their_epoch() {
    let world = world(registration(&[1, 2], &[1, 2], 1), 1, LogConfig::default());
    world.append(true).unwrap();
    let position = FollowerPosition { broker_id: 3, broker_epoch: -1, log_start_offset: 0 };
    let stranger = world.partition.fetch_as_follower(&follower_fetch(1), &position, 0);
    assert!(matches!(stranger, Err(PartitionError::UnknownFollower(3))));
    let position = FollowerPosition { broker_id: 2, ..position };
    let newer = FetchRequest { current_leader_epoch: 1, ..follower_fetch(1) };
    let result = world.partition.fetch_as_follower(&newer, &position, 0);
    assert!(matches!(result, Err(PartitionError::UnknownLeaderEpoch)));
    let behind = FetchRequest { offset: 2, last_fetched_epoch: 0, ..follower_fetch(2) };
    let (fetched, moved) = world.partition.fetch_as_follower(&behind, &position, 0).unwrap();
    assert_eq!(fetched.diverging, Some(OffsetAndEpoch { offset: 1, epoch: 0 }));
    assert_eq!((moved, world.high_watermark()), (Moved::default(), 0));
}

#[test]
fn what_followers_had_before_an_epoch_of_somebody_else_counts_no_more() {
    let world = world(registration(&[1, 2, 3], &[1, 2, 3], 1), 2, LogConfig::default());
    world.append(true).unwrap();
    world.append(true).unwrap();
    let _ = world.fetch_by(2, 2);
    assert_eq!(world.high_watermark(), 0, "3 has nothing");
    // The next epoch of the same leader: nobody led between.
    world.update(|registration| registration.leader_epoch += 1);
    let _ = world.fetch_by(3, 1);
    assert_eq!(world.high_watermark(), 1);
    // In the epoch between, 2 may have cut its log to follow another leader.
    world.update(|registration| registration.leader_epoch += 2);
    let _ = world.fetch_by(3, 2);
    assert_eq!(world.high_watermark(), 1, "2 has not fetched in this epoch");
    let _ = world.fetch_by(2, 2);
    assert_eq!(world.high_watermark(), 2);
}

#[test]
fn a_session_hears_of_a_settled_partition_once_and_its_fetch_is_woken_by_records_alone() {
    let world = world(registration(&[1, 2, 3], &[1, 2, 3], 1), 1, LogConfig::default());
    world.append(false).unwrap();
    let _ = world.fetch_by(2, 1);
    let session = Arc::new(SessionChanges::default());
    let waiter = FetchWaiter::new(1);
    session.wake(Some(&waiter));
    let is_woken = || waiter.poll(&mut Context::from_waker(Waker::noop())).is_ready();
    let at = |high_watermark| SettledAt {
        offset: 1,
        current_leader_epoch: 0,
        high_watermark,
        log_start_offset: 0,
        reader: SettledReader::Follower(2),
    };
    let settle = |at: &SettledAt, token| world.partition.settle(at, &Settled::new(&session, token));
    assert!(!settle(&at(1), 7), "that is not what it was told");
    assert!(settle(&at(0), 7));
    // The other follower has it too: it is committed, which is told with the next answer.
    let _ = world.fetch_by(3, 1);
    assert_eq!((world.high_watermark(), session.take(), is_woken()), (1, vec![7], false));
    assert!(settle(&at(1), 8));
    world.append(false).unwrap();
    world.append(false).unwrap();
    assert_eq!((session.take(), is_woken()), (vec![8], true));
    assert!(!settle(&at(1), 9), "there are records behind it");
    assert_eq!(session.take(), [0_u64; 0]);
}
