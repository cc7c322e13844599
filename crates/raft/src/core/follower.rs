//! Follows a leader (`org.apache.kafka.raft.FollowerState`).

use super::Ballot;
use crate::snapshot::SnapshotDownload;
use crate::{Endpoint, LeaderAndEpoch, ReplicaKey};

/// A replica that knows the leader of its epoch.
#[derive(Debug)]
pub struct FollowerState {
    epoch: i32,
    leader_id: i32,
    leader_endpoints: Vec<Endpoint>,
    voted_key: Option<ReplicaKey>,
    fetch_timeout_ms: i64,
    fetch_deadline_ms: i64,
    has_fetched_from_leader: bool,
    update_voter_set_deadline_ms: i64,
    has_updated_leader: bool,
    fetching_snapshot: Option<SnapshotDownload>,
}

impl FollowerState {
    pub(super) fn new(
        epoch: i32,
        leader_id: i32,
        leader_endpoints: Vec<Endpoint>,
        voted_key: Option<ReplicaKey>,
        fetch_timeout_ms: i64,
        now_ms: i64,
    ) -> FollowerState {
        FollowerState {
            epoch,
            leader_id,
            leader_endpoints,
            voted_key,
            fetch_timeout_ms,
            fetch_deadline_ms: now_ms.saturating_add(fetch_timeout_ms),
            has_fetched_from_leader: false,
            update_voter_set_deadline_ms: now_ms.saturating_add(2 * fetch_timeout_ms),
            has_updated_leader: false,
            fetching_snapshot: None,
        }
    }

    /// The leader and the epoch.
    pub fn leader_and_epoch(&self) -> LeaderAndEpoch {
        LeaderAndEpoch { leader_id: Some(self.leader_id), epoch: self.epoch }
    }

    /// The leader's node id.
    pub fn leader_id(&self) -> i32 {
        self.leader_id
    }

    /// Where the leader listens.
    pub fn leader_endpoints(&self) -> &[Endpoint] {
        &self.leader_endpoints
    }

    /// Who has its vote in this epoch.
    pub fn voted_key(&self) -> Option<ReplicaKey> {
        self.voted_key
    }

    /// When the leader counts as gone, in milliseconds.
    pub fn fetch_deadline_ms(&self) -> i64 {
        self.fetch_deadline_ms
    }

    /// The leader answered.
    pub fn reset_fetch_timeout(&mut self, now_ms: i64) {
        self.fetch_deadline_ms = now_ms.saturating_add(self.fetch_timeout_ms);
        self.has_fetched_from_leader = true;
    }

    /// The leader says that it goes: the election begins in `timeout_ms`, and whoever asks in a pre-vote may have the vote.
    ///
    /// Divergence: in Kafka a follower that has heard from its leader refuses the pre-vote also after the leader has said
    /// that it goes. Where the leader itself has records that its successor lacks, nobody is elected until a fetch timeout is over.
    pub fn leader_goes(&mut self, now_ms: i64, timeout_ms: i64) {
        self.has_fetched_from_leader = false;
        self.fetch_deadline_ms = now_ms.saturating_add(timeout_ms);
    }

    /// The leader's process is gone: who asks in a pre-vote may have the vote, and this replica stands at `deadline_ms` if
    /// nothing else happens. False if that was known.
    pub fn leader_is_gone(&mut self, deadline_ms: i64) -> bool {
        let news = self.has_fetched_from_leader || self.fetch_deadline_ms > deadline_ms;
        self.has_fetched_from_leader = false;
        self.fetch_deadline_ms = self.fetch_deadline_ms.min(deadline_ms);
        news
    }

    /// When the voter set is to be looked at, in milliseconds.
    pub fn update_voter_set_deadline_ms(&self) -> i64 {
        self.update_voter_set_deadline_ms
    }

    /// It was looked at.
    pub fn reset_update_voter_set_period(&mut self, now_ms: i64) {
        self.update_voter_set_deadline_ms = now_ms.saturating_add(2 * self.fetch_timeout_ms);
    }

    /// Whether the leader knows this replica's endpoints and versions.
    pub fn has_updated_leader(&self) -> bool {
        self.has_updated_leader
    }

    /// The leader knows them now.
    pub fn set_has_updated_leader(&mut self) {
        self.has_updated_leader = true;
    }

    /// The snapshot that comes from the leader in pieces.
    pub fn fetching_snapshot(&self) -> Option<&SnapshotDownload> {
        self.fetching_snapshot.as_ref()
    }

    /// The snapshot that comes from the leader in pieces.
    pub fn fetching_snapshot_mut(&mut self) -> &mut Option<SnapshotDownload> {
        &mut self.fetching_snapshot
    }

    pub(super) fn can_grant_vote(&self, ballot: Ballot) -> bool {
        // The leader may be one of an old quorum-state: until it answered, a pre-vote is worth an answer.
        ballot.pre_vote && !self.has_fetched_from_leader && ballot.is_log_up_to_date
    }
}
