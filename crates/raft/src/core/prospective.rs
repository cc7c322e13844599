//! Asks the voters whether they would elect it, before it disturbs the quorum with a new epoch
//! (`org.apache.kafka.raft.ProspectiveState`, KIP-996).

use std::collections::BTreeSet;

use super::EpochElection;
use crate::{ElectionState, ReplicaKey, VoterSet};

/// A replica in the pre-vote. It keeps the leader and the vote of its epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct ProspectiveState {
    epoch: i32,
    leader_id: Option<i32>,
    voted_key: Option<ReplicaKey>,
    epoch_election: EpochElection,
}

impl ProspectiveState {
    pub(super) fn new(
        epoch: i32,
        leader_id: Option<i32>,
        voted_key: Option<ReplicaKey>,
        local: ReplicaKey,
        voters: &VoterSet,
    ) -> ProspectiveState {
        let mut epoch_election = EpochElection::new(voters);
        epoch_election.record_vote(local.id, true);
        ProspectiveState { epoch, leader_id, voted_key, epoch_election }
    }

    /// How the pre-vote stands.
    pub fn epoch_election(&self) -> &EpochElection {
        &self.epoch_election
    }

    pub(super) fn election(&self, voters: BTreeSet<i32>) -> ElectionState {
        ElectionState { epoch: self.epoch, leader_id: self.leader_id, voted_key: self.voted_key, voters }
    }
}
