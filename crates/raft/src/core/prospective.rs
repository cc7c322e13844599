//! Asks the voters whether they would elect it, before it disturbs the quorum with a new epoch
//! (`org.apache.kafka.raft.ProspectiveState`, KIP-996).

use super::EpochElection;
use crate::{Endpoint, LeaderAndEpoch, ReplicaKey, VoterSet};

/// A replica in the pre-vote. It keeps the leader and the vote of its epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct ProspectiveState {
    leader: LeaderAndEpoch,
    leader_endpoints: Vec<Endpoint>,
    voted_key: Option<ReplicaKey>,
    epoch_election: EpochElection,
    election_deadline_ms: i64,
}

impl ProspectiveState {
    pub(super) fn new(
        leader: LeaderAndEpoch,
        leader_endpoints: Vec<Endpoint>,
        voted_key: Option<ReplicaKey>,
        local: ReplicaKey,
        voters: &VoterSet,
        election_deadline_ms: i64,
    ) -> ProspectiveState {
        let mut epoch_election = EpochElection::new(voters);
        epoch_election.record_vote(local.id, true);
        ProspectiveState { leader, leader_endpoints, voted_key, epoch_election, election_deadline_ms }
    }

    /// The same once it voted for another; its own pre-vote begins anew.
    pub(super) fn with_vote(
        &self,
        candidate: ReplicaKey,
        local: ReplicaKey,
        voters: &VoterSet,
        election_deadline_ms: i64,
    ) -> ProspectiveState {
        let endpoints = self.leader_endpoints.clone();
        ProspectiveState::new(self.leader, endpoints, Some(candidate), local, voters, election_deadline_ms)
    }

    /// The epoch, and its leader if one was known before the pre-vote.
    pub fn leader_and_epoch(&self) -> LeaderAndEpoch {
        self.leader
    }

    /// Where that leader listens.
    pub fn leader_endpoints(&self) -> &[Endpoint] {
        &self.leader_endpoints
    }

    /// Who has its vote.
    pub fn voted_key(&self) -> Option<ReplicaKey> {
        self.voted_key
    }

    /// How the pre-vote stands.
    pub fn epoch_election(&self) -> &EpochElection {
        &self.epoch_election
    }

    /// How the pre-vote stands.
    pub fn epoch_election_mut(&mut self) -> &mut EpochElection {
        &mut self.epoch_election
    }

    /// When it gives up, in milliseconds.
    pub fn election_deadline_ms(&self) -> i64 {
        self.election_deadline_ms
    }
}
