//! What a leader knows of its followers, and what follows for ISR and high watermark (`kafka.cluster.Replica`,
//! `PartitionState`, KIP-497). Pure: no log, no clock.
//!
//! **Invariant:** the high watermark never passes the log end of a replica in the *maximal* ISR: the committed one, and whoever
//! the controller has been asked to add. Until the controller has answered, either of both may be the ISR.

use std::sync::Arc;

use metadata::PartitionRegistration;
use storage::LogOffsetMetadata;

use crate::{LocalBroker, Settled};

/// The log end of a follower that has not fetched yet.
const UNKNOWN_OFFSET: i64 = -1;

/// A follower as its leader sees it. Times are in milliseconds.
#[derive(Debug, Clone)]
pub(crate) struct Follower {
    broker_id: i32,
    log_start_offset: i64,
    log_end: LogOffsetMetadata,
    /// The leader's log end at the follower's last fetch, and when that was: a follower that fetches from there on has caught
    /// up with what there was then.
    leader_end_at_last_fetch: i64,
    last_fetch_ms: i64,
    last_caught_up_ms: i64,
    /// None before its first fetch; -1 where the follower does not tell (Fetch before version 15).
    broker_epoch: Option<i64>,
    /// Its session has everything of the partition, and fetches on without a word to it.
    settled: Option<Arc<Settled>>,
}

/// What a follower says with a fetch.
#[derive(Debug, Clone, Copy)]
pub struct FollowerPosition {
    /// The follower.
    pub broker_id: i32,
    /// Its epoch, -1 where it does not tell.
    pub broker_epoch: i64,
    /// Where its log begins.
    pub log_start_offset: i64,
}

/// A change of the ISR that the controller is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PendingIsr {
    /// Tells an answer that comes late from the one that is waited for.
    pub(crate) id: u64,
    /// The brokers and their epochs.
    pub(crate) isr: Vec<(i32, i64)>,
    /// Who joins; nobody where others leave.
    joining: Option<i32>,
}

/// The state of a partition that is led here.
#[derive(Debug)]
pub(crate) struct LeaderState {
    /// Where the leader's epoch begins: a follower without all records before it cannot be in sync.
    epoch_start_offset: i64,
    /// The first epoch since which this broker leads without a break: records of it are still there.
    led_since_epoch: i32,
    followers: Vec<Follower>,
    pending: Option<PendingIsr>,
    proposals: u64,
    /// The high watermark with its place, as it was set last.
    pub(crate) high_watermark: LogOffsetMetadata,
}

impl Follower {
    fn new(broker_id: i32) -> Follower {
        Follower {
            broker_id,
            log_start_offset: UNKNOWN_OFFSET,
            log_end: LogOffsetMetadata::offset_only(UNKNOWN_OFFSET),
            leader_end_at_last_fetch: UNKNOWN_OFFSET,
            last_fetch_ms: 0,
            last_caught_up_ms: 0,
            broker_epoch: None,
            settled: None,
        }
    }

    /// A leader, or an epoch, is new: a follower in sync gets the time to show that it still is.
    fn reset(&mut self, in_sync: bool, leader_end: i64, now_ms: i64) {
        self.leader_end_at_last_fetch = leader_end;
        self.last_fetch_ms = if in_sync { now_ms } else { 0 };
        self.last_caught_up_ms = self.last_fetch_ms;
        self.settled = None;
    }

    /// Takes note of the fetches that passed while the partition was settled.
    fn unsettle(&mut self) {
        if let Some(settled) = self.settled.take() {
            self.last_fetch_ms = self.last_fetch_ms.max(settled.last_fetch_ms());
            self.last_caught_up_ms = self.last_caught_up_ms.max(settled.last_fetch_ms());
        }
    }

    fn last_caught_up_ms(&self) -> i64 {
        let settled_ms = self.settled.as_ref().map(|settled| settled.last_fetch_ms());
        settled_ms.map_or(self.last_caught_up_ms, |settled_ms| settled_ms.max(self.last_caught_up_ms))
    }

    fn is_caught_up(&self, leader_end: i64, now_ms: i64, max_lag_ms: i64) -> bool {
        self.log_end.message_offset == leader_end || now_ms - self.last_caught_up_ms() <= max_lag_ms
    }

    /// Whether the controller would let it join: alive, and not one that died since it fetched.
    fn is_eligible(&self, broker: &LocalBroker) -> bool {
        match (self.broker_epoch, broker.eligible_epoch(self.broker_id)) {
            (Some(-1), Some(_)) => true,
            (Some(epoch), Some(current)) => epoch == current,
            _ => false,
        }
    }
}

impl LeaderState {
    /// Begins to lead where the epoch begins.
    pub(crate) fn new(epoch_start_offset: i64, leader_epoch: i32) -> LeaderState {
        LeaderState {
            epoch_start_offset,
            led_since_epoch: leader_epoch,
            followers: Vec::new(),
            pending: None,
            proposals: 0,
            high_watermark: LogOffsetMetadata::offset_only(UNKNOWN_OFFSET),
        }
    }

    pub(crate) fn led_since_epoch(&self) -> i32 {
        self.led_since_epoch
    }

    pub(crate) fn epoch_start_offset(&self) -> i64 {
        self.epoch_start_offset
    }

    /// A new epoch with the same leader.
    pub(crate) fn begin_epoch(&mut self, epoch_start_offset: i64) {
        self.epoch_start_offset = epoch_start_offset;
    }

    /// Takes over replicas and ISR of the metadata. What was asked of the controller is settled with that: either it is in
    /// there, or it came too late. `new_epoch`: the followers begin anew.
    ///
    /// Divergence: Kafka's leader waits for `replica.lag.time.max.ms` for a follower to come back that the controller has just taken out of
    /// the ISR because its log directory has failed: nothing is acknowledged for so long. Here it is waited for when it fetches again.
    pub(crate) fn follow_metadata(
        &mut self,
        isr_before: &[i32],
        registration: &PartitionRegistration,
        node_id: i32,
        new_epoch: bool,
        leader_end: i64,
        now_ms: i64,
    ) {
        self.pending = None;
        let mut before = std::mem::take(&mut self.followers);
        let others = registration.replicas.iter().filter(|replica| **replica != node_id);
        self.followers = others
            .map(|replica| match before.iter().position(|follower| follower.broker_id == *replica) {
                Some(index) => {
                    let mut follower = before.swap_remove(index);
                    if isr_before.contains(replica) && !registration.isr.contains(replica) {
                        follower.unsettle();
                        follower.last_caught_up_ms = 0;
                    }
                    follower
                }
                None => {
                    let mut follower = Follower::new(*replica);
                    follower.reset(registration.isr.contains(replica), UNKNOWN_OFFSET, now_ms);
                    follower
                }
            })
            .collect();
        if new_epoch {
            for follower in &mut self.followers {
                follower.reset(registration.isr.contains(&follower.broker_id), leader_end, now_ms);
            }
        }
    }

    /// The ISR was committed.
    pub(crate) fn settle(&mut self) {
        self.pending = None;
    }

    /// What the controller is asked for and has not answered.
    pub(crate) fn pending(&self) -> Option<&PendingIsr> {
        self.pending.as_ref()
    }

    /// A follower has fetched from `fetched_from` on, when the leader's log ended at `leader_end`. Whether its log end moved;
    /// none for a fetch of an earlier life of the broker, which is refused.
    pub(crate) fn on_fetch(
        &mut self,
        position: &FollowerPosition,
        fetched_from: LogOffsetMetadata,
        leader_end: i64,
        broker: &LocalBroker,
        now_ms: i64,
    ) -> Option<bool> {
        let known_epoch = broker.eligible_epoch(position.broker_id);
        if position.broker_epoch != -1 && known_epoch.is_some_and(|known| known > position.broker_epoch) {
            return None;
        }
        let follower = self.followers.iter_mut().find(|follower| follower.broker_id == position.broker_id)?;
        follower.unsettle();
        let offset = fetched_from.message_offset;
        if offset >= leader_end {
            follower.last_caught_up_ms = follower.last_caught_up_ms.max(now_ms);
        } else if offset >= follower.leader_end_at_last_fetch {
            follower.last_caught_up_ms = follower.last_caught_up_ms.max(follower.last_fetch_ms);
        }
        let moved = follower.log_end.message_offset != offset;
        follower.log_start_offset = position.log_start_offset;
        follower.log_end = fetched_from;
        follower.leader_end_at_last_fetch = follower.leader_end_at_last_fetch.max(leader_end);
        follower.last_fetch_ms = now_ms;
        follower.broker_epoch = Some(position.broker_epoch);
        Some(moved)
    }

    /// A follower that is where the log ends goes on fetching from there without a word to the partition. False where it is not there.
    pub(crate) fn settle_follower(
        &mut self,
        broker_id: i32,
        leader_end: i64,
        settled: &Arc<Settled>,
    ) -> bool {
        let Some(follower) = self.followers.iter_mut().find(|follower| follower.broker_id == broker_id)
        else {
            return false;
        };
        if follower.log_end.message_offset != leader_end {
            return false;
        }
        follower.unsettle();
        follower.settled = Some(Arc::clone(settled));
        true
    }

    /// How far everybody is whom the high watermark waits for: the maximal ISR, and whoever is about to join it. Without the
    /// latter the high watermark would run away from a follower that catches up.
    pub(crate) fn replicated_to(
        &self,
        registration: &PartitionRegistration,
        leader_end: LogOffsetMetadata,
        broker: &LocalBroker,
        now_ms: i64,
    ) -> LogOffsetMetadata {
        let joining = self.pending.as_ref().and_then(|pending| pending.joining);
        let mut end = leader_end;
        for follower in &self.followers {
            let waits = || {
                registration.isr.contains(&follower.broker_id)
                    || joining == Some(follower.broker_id)
                    || (follower.is_caught_up(
                        leader_end.message_offset,
                        now_ms,
                        broker.replica_lag_time_max_ms(),
                    ) && follower.is_eligible(broker))
            };
            if follower.log_end.message_offset < end.message_offset && waits() {
                end = follower.log_end;
            }
        }
        end
    }

    /// The replicas that must have everything acknowledged, counting those that the controller is asked to add.
    pub(crate) fn maximal_isr_size(&self, registration: &PartitionRegistration) -> usize {
        let joins = self.pending.as_ref().is_some_and(|pending| pending.joining.is_some());
        registration.isr.len() + usize::from(joins)
    }

    /// Asks for a follower that has everything committed, and all of the epochs before, to be taken into the ISR.
    pub(crate) fn maybe_expand(
        &mut self,
        registration: &PartitionRegistration,
        broker_id: i32,
        high_watermark: i64,
        broker: &LocalBroker,
    ) -> bool {
        if self.pending.is_some() || registration.isr.contains(&broker_id) {
            return false;
        }
        let Some(follower) = self.followers.iter().find(|follower| follower.broker_id == broker_id) else {
            return false;
        };
        let end = follower.log_end.message_offset;
        if end < high_watermark || end < self.epoch_start_offset || !follower.is_eligible(broker) {
            return false;
        }
        let isr = registration.isr.iter().copied().chain([broker_id]).collect();
        self.propose(isr, Some(broker_id), broker);
        true
    }

    /// Asks for the followers that have not caught up for `replica.lag.time.max.ms` to be taken out of the ISR. Who they are.
    pub(crate) fn maybe_shrink(
        &mut self,
        registration: &PartitionRegistration,
        leader_end: i64,
        broker: &LocalBroker,
        now_ms: i64,
    ) -> Vec<i32> {
        if self.pending.is_some() {
            return Vec::new();
        }
        let is_lagging = |replica: &i32| {
            let follower = self.followers.iter().find(|follower| follower.broker_id == *replica);
            follower.is_none_or(|follower| {
                !follower.is_caught_up(leader_end, now_ms, broker.replica_lag_time_max_ms())
            })
        };
        let (lagging, stay): (Vec<i32>, Vec<i32>) =
            registration.isr.iter().partition(|replica| **replica != broker.node_id() && is_lagging(replica));
        if !lagging.is_empty() {
            self.propose(stay, None, broker);
        }
        lagging
    }

    fn propose(&mut self, isr: Vec<i32>, joining: Option<i32>, broker: &LocalBroker) {
        let epoch_of =
            |replica: i32| match self.followers.iter().find(|follower| follower.broker_id == replica) {
                Some(follower) => follower.broker_epoch.unwrap_or(-1),
                None if replica == broker.node_id() => broker.epoch(),
                None => -1,
            };
        let isr = isr.into_iter().map(|replica| (replica, epoch_of(replica))).collect();
        self.proposals += 1;
        self.pending = Some(PendingIsr { id: self.proposals, isr, joining });
    }

    /// The smallest offset with which a replica's log begins, among those of live brokers; `own` is the leader's.
    pub(crate) fn low_watermark(&self, own: i64, broker: &LocalBroker) -> i64 {
        let alive =
            self.followers.iter().filter(|follower| broker.eligible_epoch(follower.broker_id).is_some());
        alive.map(|follower| follower.log_start_offset).fold(own, i64::min)
    }

    /// The followers in sync that have the record at an offset: broker, log end, and for how long each was not caught up.
    pub(crate) fn readable_at<'a>(
        &'a self,
        registration: &'a PartitionRegistration,
        offset: i64,
        now_ms: i64,
    ) -> impl Iterator<Item = (i32, i64, i64)> + 'a {
        self.followers.iter().filter_map(move |follower| {
            let has = follower.log_end.message_offset >= offset && follower.log_start_offset <= offset;
            (has && registration.isr.contains(&follower.broker_id)).then(|| {
                (follower.broker_id, follower.log_end.message_offset, now_ms - follower.last_caught_up_ms())
            })
        })
    }
}

#[cfg(test)]
mod tests;
