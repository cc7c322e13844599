//! Stands for election in a new epoch (`org.apache.kafka.raft.CandidateState`).

use std::collections::BTreeSet;

use super::EpochElection;
use crate::{ElectionState, ReplicaKey, VoterSet};

/// A replica that voted for itself and asks the others to.
#[derive(Clone, Debug, PartialEq)]
pub struct CandidateState {
    epoch: i32,
    local: ReplicaKey,
    epoch_election: EpochElection,
}

impl CandidateState {
    pub(super) fn new(epoch: i32, local: ReplicaKey, voters: &VoterSet) -> CandidateState {
        let mut epoch_election = EpochElection::new(voters);
        epoch_election.record_vote(local.id, true);
        CandidateState { epoch, local, epoch_election }
    }

    /// The epoch it stands in.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// How the election stands.
    pub fn epoch_election(&self) -> &EpochElection {
        &self.epoch_election
    }

    pub(super) fn election(&self, voters: BTreeSet<i32>) -> ElectionState {
        ElectionState::with_voted_candidate(self.epoch, self.local, voters)
    }
}
