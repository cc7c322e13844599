//! What both protocols of groups have in common: the turns of the application, the clock of its polls, what is asked.
//!
//! Memberships are synchronous and take the time as an argument. The task in `task.rs` asks [`Membership::step`] what to
//! do and brings back answers; `poll` runs the turns, because a rebalance must not take partitions from under records that
//! the application still works on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use common::{TopicPartition, Uuid};
use protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, HeartbeatRequest, HeartbeatResponse,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest, SyncGroupResponse,
};

use crate::ClientError;
use crate::consumer::assignor::{Assignor, GroupAssignment, Layout, Member, Topics};

/// A member's identity in its group (`ConsumerGroupMetadata`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMetadata {
    /// The group.
    pub group_id: String,
    /// The generation, or the member's epoch in the protocol of KIP-848; -1 outside of the group.
    pub generation_id: i32,
    /// The member's id; empty while it has none.
    pub member_id: String,
    /// `group.instance.id`.
    pub group_instance_id: Option<String>,
}

/// What a member of a group is configured with.
#[derive(Debug, Clone)]
pub(in crate::consumer) struct Settings {
    pub(in crate::consumer) group_id: String,
    pub(in crate::consumer) instance_id: Option<String>,
    pub(in crate::consumer) rack: Option<String>,
    pub(in crate::consumer) assignors: Vec<Assignor>,
    pub(in crate::consumer) remote_assignor: Option<String>,
    pub(in crate::consumer) session_timeout: Duration,
    pub(in crate::consumer) heartbeat_interval: Duration,
    pub(in crate::consumer) max_poll_interval: Duration,
    pub(in crate::consumer) retry_backoff: Duration,
}

/// What the coordinator is asked.
#[derive(Debug)]
pub(in crate::consumer) enum Ask {
    Join(JoinGroupRequest),
    Sync(SyncGroupRequest),
    Heartbeat(HeartbeatRequest),
    Leave(LeaveGroupRequest),
    ConsumerHeartbeat(ConsumerGroupHeartbeatRequest),
}

/// What it answers.
#[derive(Debug)]
pub(in crate::consumer) enum Answer {
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
    Heartbeat(HeartbeatResponse),
    Left,
    ConsumerHeartbeat(ConsumerGroupHeartbeatResponse),
}

/// What there is to do.
#[derive(Debug)]
pub(in crate::consumer) enum Step {
    /// Ask the coordinator, and bring back the answer.
    Send(Ask),
    /// Divide the partitions as the group's leader.
    Divide(Assignor, Vec<Member>),
    /// Find the names of these topics.
    Name(Vec<Uuid>),
    /// Nothing, before this time or until something happens.
    Wait(Option<Instant>),
}

/// Whether the coordinator is still the one after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::consumer) enum Coordinator {
    Known,
    Unknown,
}

/// What happens to partitions in the application's turn, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::consumer) struct Turn {
    /// Positions are committed first, where the consumer commits by itself.
    pub(in crate::consumer) commit: bool,
    /// These are somebody else's already.
    pub(in crate::consumer) lost: Option<Vec<TopicPartition>>,
    /// These are let go of.
    pub(in crate::consumer) revoked: Option<Vec<TopicPartition>>,
    /// These are new.
    pub(in crate::consumer) assigned: Option<Vec<TopicPartition>>,
}

impl Turn {
    /// The turn of a member that leaves: of one that is in the group, or of one that its partitions were taken from already.
    pub(super) fn farewell(owned: &BTreeSet<TopicPartition>, is_in_group: bool) -> Turn {
        let owned = Some(owned.iter().cloned().collect::<Vec<_>>()).filter(|owned| !owned.is_empty());
        match is_in_group {
            true => Turn { commit: true, revoked: owned, ..Turn::default() },
            false => Turn { lost: owned, ..Turn::default() },
        }
    }
}

/// The turn that waits for the application, or that it is at.
#[derive(Debug, Default)]
pub(super) struct Turns {
    waiting: Option<Turn>,
    is_taken: bool,
}

impl Turns {
    /// A turn that nobody took is replaced.
    pub(super) fn set(&mut self, turn: Turn) {
        assert!(!self.is_taken, "Invariant: the application has one turn at a time");
        self.waiting = Some(turn);
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    pub(super) fn is_taken(&self) -> bool {
        self.is_taken
    }

    pub(super) fn take(&mut self) -> Option<Turn> {
        let turn = self.waiting.clone().filter(|_| !self.is_taken)?;
        self.is_taken = true;
        Some(turn)
    }

    /// The application gave up in the middle: its next poll begins the turn again.
    pub(super) fn put_back(&mut self) {
        self.is_taken = false;
    }

    /// The application is through with it: what went and came is taken over into what the member owns.
    pub(super) fn end(&mut self, owned: &mut BTreeSet<TopicPartition>) -> Option<Turn> {
        self.is_taken = false;
        let turn = self.waiting.take()?;
        for gone in turn.lost.iter().chain(&turn.revoked).flatten() {
            owned.remove(gone);
        }
        owned.extend(turn.assigned.iter().flatten().cloned());
        Some(turn)
    }
}

/// Whether the application still polls (`max.poll.interval.ms`).
#[derive(Debug)]
pub(super) struct PollClock {
    interval: Duration,
    last: Instant,
    is_inside: bool,
}

impl PollClock {
    pub(super) fn new(interval: Duration, now: Instant) -> PollClock {
        PollClock { interval, last: now, is_inside: false }
    }

    pub(super) fn enter(&mut self, now: Instant) {
        (self.last, self.is_inside) = (now, true);
    }

    pub(super) fn leave(&mut self, now: Instant) {
        (self.last, self.is_inside) = (now, false);
    }

    /// When the application will have been away for too long, at the earliest.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let last = if self.is_inside { now } else { self.last };
        last.checked_add(self.interval)
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        !self.is_inside && self.deadline(now).is_some_and(|deadline| deadline <= now)
    }
}

/// The earlier of two times, where no time is never.
pub(super) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// What the subscribed topics look like now.
pub(in crate::consumer) type Snapshot = BTreeMap<String, Layout>;

/// A member of a group.
pub(in crate::consumer) trait Membership: Send {
    /// Joins with these topics, or goes on with them.
    fn subscribe(&mut self, topics: BTreeSet<String>);

    /// Joins with the topics that match on the coordinator's side.
    ///
    /// # Errors
    /// If the protocol has no such thing.
    fn subscribe_to_pattern(&mut self, pattern: String) -> Result<(), ClientError>;

    /// Topics as they are now; a leader divides again where the ones it divided have changed.
    fn observe(&mut self, topics: &Snapshot);

    /// The topics whose layout is to be observed.
    fn watched(&self) -> BTreeSet<String>;

    /// The application is in its poll.
    fn enter_poll(&mut self, now: Instant);

    /// The application works on what its poll returned.
    fn leave_poll(&mut self, now: Instant);

    /// What there is to do. Asks nothing more while an answer is awaited.
    fn step(&mut self, now: Instant) -> Step;

    /// What was asked last is answered, or failed.
    fn answered(&mut self, answer: Result<Answer, ClientError>, now: Instant) -> Coordinator;

    /// The partitions are divided, by member id.
    fn divided(&mut self, shares: Result<(Topics, GroupAssignment), ClientError>, now: Instant);

    /// Names of topics were found.
    fn named(&mut self, names: BTreeMap<Uuid, String>, now: Instant);

    /// The application's turn, if it has one.
    fn take_turn(&mut self) -> Option<Turn>;

    /// The turn was not ended.
    fn put_turn_back(&mut self);

    /// The turn was ended.
    fn end_turn(&mut self, now: Instant);

    /// What the application must be told: what no other try would mend.
    fn take_error(&mut self) -> Option<ClientError>;

    /// Divide again at the next opportunity.
    fn request_rejoin(&mut self);

    /// Whether the member is on its way into the group, or into the next generation: it cannot commit, and what it asks
    /// the coordinator may wait behind its join.
    fn is_rebalancing(&self) -> bool;

    /// A commit was answered that this member is none, or one of another time.
    fn commit_was_refused(&mut self, refused: &GroupMetadata, code: common::ErrorCode);

    /// The member's identity, for commits.
    fn metadata(&self) -> GroupMetadata;

    /// What happens to the partitions when the member leaves.
    fn farewell(&self) -> Turn;

    /// Leaves: what to tell the coordinator, if it knows the member. `for_good` is false where a static member comes back.
    fn leave(&mut self, reason: &str, for_good: Option<bool>) -> Option<Ask>;
}
