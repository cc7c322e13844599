//! Led its epoch and will not lead it again (`org.apache.kafka.raft.ResignedState`).

use std::collections::BTreeSet;

use crate::{ReplicaKey, VoterSet};

/// A leader after it resigned or came back from a restart, until its election timeout.
#[derive(Clone, Debug, PartialEq)]
pub struct ResignedState {
    epoch: i32,
    unacked_voters: BTreeSet<i32>,
    preferred_successors: Vec<ReplicaKey>,
    election_deadline_ms: i64,
}

impl ResignedState {
    pub(super) fn new(
        epoch: i32,
        local_id: i32,
        voters: &VoterSet,
        preferred_successors: Vec<ReplicaKey>,
        election_deadline_ms: i64,
    ) -> ResignedState {
        let unacked_voters = voters.voter_ids().into_iter().filter(|id| *id != local_id).collect();
        ResignedState { epoch, unacked_voters, preferred_successors, election_deadline_ms }
    }

    /// The epoch that it led. It is still the leader that the epoch had, and votes for nobody else there.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The voters that have not taken the news yet.
    pub fn unacked_voters(&self) -> &BTreeSet<i32> {
        &self.unacked_voters
    }

    /// A voter knows.
    pub fn acknowledge_resignation(&mut self, voter_id: i32) {
        self.unacked_voters.remove(&voter_id);
    }

    /// Who should stand first: those with the most of the log.
    pub fn preferred_successors(&self) -> &[ReplicaKey] {
        &self.preferred_successors
    }

    /// When it goes on to the next epoch, in milliseconds.
    pub fn election_deadline_ms(&self) -> i64 {
        self.election_deadline_ms
    }
}
