//! Stands for election in a new epoch (`org.apache.kafka.raft.CandidateState`).

use super::EpochElection;
use crate::{ReplicaKey, VoterSet};

/// A replica that voted for itself and asks the others to.
#[derive(Clone, Debug, PartialEq)]
pub struct CandidateState {
    epoch: i32,
    epoch_election: EpochElection,
    election_deadline_ms: i64,
}

impl CandidateState {
    pub(super) fn new(
        epoch: i32,
        local: ReplicaKey,
        voters: &VoterSet,
        election_deadline_ms: i64,
    ) -> CandidateState {
        let mut epoch_election = EpochElection::new(voters);
        epoch_election.record_vote(local.id, true);
        CandidateState { epoch, epoch_election, election_deadline_ms }
    }

    /// The epoch it stands in.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// How the election stands.
    pub fn epoch_election(&self) -> &EpochElection {
        &self.epoch_election
    }

    /// How the election stands.
    pub fn epoch_election_mut(&mut self) -> &mut EpochElection {
        &mut self.epoch_election
    }

    /// It goes back to asking at `deadline_ms` at the latest.
    pub fn ask_again_at(&mut self, deadline_ms: i64) {
        self.election_deadline_ms = self.election_deadline_ms.min(deadline_ms);
    }

    /// When it goes back to asking, in milliseconds.
    pub fn election_deadline_ms(&self) -> i64 {
        self.election_deadline_ms
    }
}
