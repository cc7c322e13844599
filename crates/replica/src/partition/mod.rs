//! One partition on this broker: who leads it, what is committed, its log (`kafka.cluster.Partition`).
//!
//! Whoever appends or reads looks at the registration without a lock. What a leader knows of its followers, and a change of who
//! leads, is behind one; a partition with a single replica never takes it.

mod fetching;
mod following;
mod leading;
mod moving;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use common::{TopicPartition, Uuid};
use metadata::PartitionRegistration;
use parking_lot::Mutex;
use storage::{Log, OffsetAndEpoch};

use crate::commit_wait::CommitWaiters;
use crate::leader::LeaderState;
use crate::quota::Throttles;
use crate::waiter::{WatchedEnd, Watchers};
use crate::{LocalBroker, PartitionError};

pub use fetching::{FetchRequest, FetchedPartition, Isolation};
pub use following::{FollowerAppend, LeaderOffsets};
pub use leading::{AlterPartitionOutcome, AlteredPartition, Moved, ProposedIsr};
pub use moving::Copied;

/// A partition of which this broker has a replica.
pub struct Partition {
    topic_partition: TopicPartition,
    topic_id: Uuid,
    broker: Arc<LocalBroker>,
    /// Another one takes its place when the replica has moved to another log directory.
    log: ArcSwap<Log>,
    /// The log in the directory that the replica moves to.
    future: ArcSwapOption<Log>,
    /// Held for each step of a move, and while one is given up: its files must not go while they are written. Taken before the role.
    moving: Mutex<()>,
    /// As the metadata say, or as the controller has answered where that is newer.
    registration: ArcSwap<PartitionRegistration>,
    /// Held by whoever changes the role, by a leader with followers while it looks where they are, and by a follower while it
    /// appends or truncates: nothing of an epoch that is over reaches the log.
    role: Mutex<Role>,
    min_insync_replicas: AtomicUsize,
    /// Consumers, which wait for the high watermark.
    committed_watchers: Watchers,
    /// Followers, which wait for the log's end.
    log_end_watchers: Watchers,
    commit_waiters: CommitWaiters,
    throttles: Throttles,
}

/// What this broker does for the partition.
enum Role {
    Leader(LeaderState),
    Follower,
    /// Nothing any more.
    Closed,
}

impl Partition {
    /// A partition with its log. Leads or follows as `registration` says.
    ///
    /// # Errors
    /// If the log cannot be used.
    pub fn new(
        topic_partition: TopicPartition,
        topic_id: Uuid,
        broker: Arc<LocalBroker>,
        log: Arc<Log>,
        registration: Arc<PartitionRegistration>,
        min_insync_replicas: usize,
        now_ms: i64,
    ) -> Result<Partition, PartitionError> {
        let partition = Partition {
            topic_partition,
            topic_id,
            broker,
            log: ArcSwap::new(log),
            future: ArcSwapOption::empty(),
            moving: Mutex::new(()),
            registration: ArcSwap::new(Arc::clone(&registration)),
            role: Mutex::new(Role::Follower),
            min_insync_replicas: AtomicUsize::new(min_insync_replicas),
            committed_watchers: Watchers::default(),
            log_end_watchers: Watchers::default(),
            commit_waiters: CommitWaiters::default(),
            throttles: Throttles::default(),
        };
        partition.take_role(&mut partition.role.lock(), registration, now_ms)?;
        Ok(partition)
    }

    /// The partition's name.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The topic's id.
    pub fn topic_id(&self) -> Uuid {
        self.topic_id
    }

    /// The log. Whoever holds it holds up nobody, and may have one that is no longer the partition's.
    pub fn log(&self) -> Guard<Arc<Log>> {
        self.log.load()
    }

    /// What is known of the partition: replicas, ISR, leader and epochs.
    pub fn registration(&self) -> Arc<PartitionRegistration> {
        self.registration.load_full()
    }

    /// Whether this broker leads it.
    pub fn is_leader(&self) -> bool {
        self.registration.load().leader == self.broker.node_id()
    }

    /// Whether there is no replica but the one here.
    pub fn is_sole_replica(&self) -> bool {
        self.registration.load().replicas.len() == 1
    }

    pub(crate) fn throttles(&self) -> &Throttles {
        &self.throttles
    }

    /// Whether what this broker fetches for the partition as a follower counts against its quota.
    pub fn is_throttled_following(&self) -> bool {
        self.throttles.following()
    }

    /// Whether what this broker sends of the partition to followers counts against its quota.
    pub fn is_throttled_leading(&self) -> bool {
        self.throttles.leading()
    }

    /// Whether a broker is in sync, as far as is known here.
    pub fn is_in_sync(&self, broker_id: i32) -> bool {
        self.registration.load().isr.contains(&broker_id)
    }

    /// The leader's epoch.
    pub fn leader_epoch(&self) -> i32 {
        self.registration.load().leader_epoch
    }

    pub(crate) fn watchers(&self, end: WatchedEnd) -> &Watchers {
        match end {
            WatchedEnd::Committed => &self.committed_watchers,
            WatchedEnd::Log => &self.log_end_watchers,
        }
    }

    pub(crate) fn commit_waiters(&self) -> &CommitWaiters {
        &self.commit_waiters
    }

    /// Follows the metadata. Whoever waits looks again: it may have to go elsewhere. News that are older than what is known,
    /// or no news, change nothing.
    ///
    /// # Errors
    /// If the log cannot be used.
    pub fn update(
        &self,
        registration: Arc<PartitionRegistration>,
        now_ms: i64,
    ) -> Result<(), PartitionError> {
        let mut role = self.role.lock();
        let before = self.registration.load_full();
        // With the same epoch it says what the controller has answered already, and what was asked since then is still open.
        if registration.partition_epoch <= before.partition_epoch
            && registration.leader_epoch <= before.leader_epoch
        {
            return Ok(());
        }
        let result = self.take_role(&mut role, Arc::clone(&registration), now_ms);
        drop(role);
        if before.leader != registration.leader {
            self.wake_all();
        } else {
            self.news();
        }
        result
    }

    fn take_role(
        &self,
        role: &mut Role,
        registration: Arc<PartitionRegistration>,
        now_ms: i64,
    ) -> Result<(), PartitionError> {
        if matches!(role, Role::Closed) {
            return Ok(());
        }
        let node_id = self.broker.node_id();
        let leader_epoch = registration.leader_epoch;
        if self.is_offline() {
            // It neither leads nor follows, but knows what it does not serve.
            *role = Role::Follower;
            self.registration.store(registration);
            return Err(PartitionError::Offline);
        }
        if registration.leader != node_id {
            self.log.load().follow(leader_epoch);
            *role = Role::Follower;
            self.registration.store(registration);
            return Ok(());
        }
        // First the log refuses what comes in the old epoch, then the new one is made known.
        let start_offset = self.log.load().lead(leader_epoch, registration.replicas.len() == 1)?;
        let before = self.registration.load_full();
        let led_before = match role {
            // Divergence: Kafka goes on from what it knew of the followers in any later epoch. With an epoch between, of which this
            // broker did not hear in time, they may have followed somebody else, and cut off what they had from here.
            Role::Leader(_) => Some(before.leader_epoch).filter(|epoch| leader_epoch - epoch <= 1),
            Role::Follower | Role::Closed => None,
        };
        if led_before.is_none() {
            *role = Role::Leader(LeaderState::new(start_offset, leader_epoch));
        }
        if let Role::Leader(state) = role {
            let new_epoch = led_before.is_some_and(|epoch| epoch != leader_epoch);
            if new_epoch {
                state.begin_epoch(start_offset);
            }
            state.follow_metadata(&before.isr, &registration, node_id, new_epoch, start_offset, now_ms);
            self.registration.store(Arc::clone(&registration));
            self.advance(state, &registration, now_ms);
        }
        Ok(())
    }

    /// `min.insync.replicas` has changed.
    pub fn set_min_insync_replicas(&self, value: usize) {
        self.min_insync_replicas.store(value, Ordering::Relaxed);
    }

    /// How many replicas must be in sync for `acks=all`.
    pub fn effective_min_insync_replicas(&self) -> usize {
        self.required_in_sync(&self.registration.load())
    }

    /// How many replicas must be in sync: no more than there are can be asked for (`Partition.effectiveMinIsr`).
    fn required_in_sync(&self, registration: &PartitionRegistration) -> usize {
        self.min_insync_replicas.load(Ordering::Relaxed).min(registration.replicas.len())
    }

    /// The partition is no longer here: nothing reaches its log any more.
    pub fn close(&self) {
        *self.role.lock() = Role::Closed;
        self.log.load().follow(i32::MAX);
    }

    /// Whoever waits looks again, and finds out where to go.
    pub fn wake_all(&self) {
        self.committed_watchers.wake_all();
        self.log_end_watchers.wake_all();
        self.commit_waiters.wake_up_to(i64::MAX - 1);
    }

    /// Sessions in which the partition is settled look again with their next answer.
    fn news(&self) {
        self.committed_watchers.news();
        self.log_end_watchers.news();
    }

    /// Whether the log directory that holds the replica has failed. It serves nobody any more then, and never again in this life of
    /// the broker (`HostedPartition.Offline`).
    pub fn is_offline(&self) -> bool {
        self.log.load().dir_health().is_offline()
    }

    pub(crate) fn check_online(&self) -> Result<(), PartitionError> {
        if self.is_offline() { Err(PartitionError::Offline) } else { Ok(()) }
    }

    /// What is known of the partition, if this broker has it in the epoch that a client knows (-1 for none).
    fn in_epoch(
        &self,
        current_leader_epoch: i32,
    ) -> Result<Guard<Arc<PartitionRegistration>>, PartitionError> {
        self.check_online()?;
        let registration = self.registration.load();
        if current_leader_epoch >= 0 && current_leader_epoch != registration.leader_epoch {
            return Err(if current_leader_epoch < registration.leader_epoch {
                PartitionError::FencedLeaderEpoch
            } else {
                PartitionError::UnknownLeaderEpoch
            });
        }
        Ok(registration)
    }

    fn leader(&self, current_leader_epoch: i32) -> Result<Guard<Arc<PartitionRegistration>>, PartitionError> {
        let registration = self.in_epoch(current_leader_epoch)?;
        if registration.leader != self.broker.node_id() {
            Err(PartitionError::NotLeader)
        } else {
            Ok(registration)
        }
    }

    /// Checks that this broker leads the partition in the epoch that a client knows (-1 for none).
    pub fn check_leader(&self, current_leader_epoch: i32) -> Result<(), PartitionError> {
        self.leader(current_leader_epoch).map(drop)
    }

    /// Where the records of `leader_epoch` end (`OffsetForLeaderEpoch`).
    pub fn end_offset_for_epoch(
        &self,
        current_leader_epoch: i32,
        leader_epoch: i32,
    ) -> Result<Option<OffsetAndEpoch>, PartitionError> {
        self.leader(current_leader_epoch)?;
        Ok(self.log.load().end_offset_for_epoch(leader_epoch))
    }
}
