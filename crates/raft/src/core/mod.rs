//! The states of KRaft and the ways between them (`org.apache.kafka.raft.QuorumState`). No disk, no clock, no socket, no
//! thread: voters, time and the seed of randomness come in as arguments.
//!
//! One file per state. [`crate::RaftNode`] hands in what happens and carries out what follows.

mod candidate;
mod epoch_election;
mod follower;
mod leader;
mod prospective;
mod random;
mod resigned;
mod unattached;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use candidate::CandidateState;
pub use epoch_election::EpochElection;
pub use follower::FollowerState;
pub use leader::{LeaderState, ReplicaState};
pub use prospective::ProspectiveState;
pub use random::Random;
pub use resigned::ResignedState;
pub use unattached::UnattachedState;

use crate::config::QuorumConfig;
use crate::{ElectionState, Endpoint, LeaderAndEpoch, ReplicaKey, VoterSet};

/// The state this replica is in.
#[derive(Debug)]
pub enum EpochState {
    /// No leader is known.
    Unattached(UnattachedState),
    /// Asks whether it could win an election (pre-vote).
    Prospective(ProspectiveState),
    /// Asks for votes in a new epoch.
    Candidate(CandidateState),
    /// Leads.
    Leader(LeaderState),
    /// Follows a leader.
    Follower(FollowerState),
    /// Led, and will not in this epoch again.
    Resigned(ResignedState),
}

impl EpochState {
    /// Kafka's name of the state.
    pub fn name(&self) -> &'static str {
        match self {
            EpochState::Unattached(_) => "Unattached",
            EpochState::Prospective(_) => "Prospective",
            EpochState::Candidate(_) => "Candidate",
            EpochState::Leader(_) => "Leader",
            EpochState::Follower(_) => "Follower",
            EpochState::Resigned(_) => "Resigned",
        }
    }
}

/// What a state says to a replica that asks for a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ballot {
    /// Who asks.
    pub replica: ReplicaKey,
    /// Whether its log has all that this replica's log has.
    pub is_log_up_to_date: bool,
    /// Whether it only wants to know if it would be elected (KIP-996).
    pub pre_vote: bool,
}

/// The state machine of elections. See the module.
#[derive(Debug)]
pub struct QuorumState {
    local: ReplicaKey,
    config: QuorumConfig,
    random: Random,
    state: EpochState,
}

impl QuorumState {
    /// A replica that has just come up, by what `quorum-state` says and the epoch at the end of its log. `seed` spreads
    /// election timeouts.
    ///
    /// It does not stand for election yet, also where it is the only voter.
    pub fn start(
        local: ReplicaKey,
        config: QuorumConfig,
        seed: u64,
        election: Option<ElectionState>,
        log_end_epoch: i32,
        voters: &VoterSet,
        now_ms: i64,
    ) -> QuorumState {
        let mut quorum = QuorumState {
            local,
            config,
            random: Random::new(seed),
            state: EpochState::Unattached(UnattachedState::new(0, None, None, i64::MAX)),
        };
        let election = election.unwrap_or_default();
        let deadline = quorum.election_deadline_of(voters, now_ms);
        quorum.state = if election.epoch < log_end_epoch {
            tracing::warn!(
                epoch = election.epoch,
                log_end_epoch,
                "quorum-state knows an earlier epoch than the log; its vote, if any, is forgotten"
            );
            EpochState::Unattached(UnattachedState::new(log_end_epoch, None, None, deadline))
        } else if election.is_leader(local.id) {
            // A leader that comes back never leads the same epoch again: what it had not synced may be lost, and an
            // offset of an epoch must not get a second meaning. One that is no voter any more must leave its epoch, too, or it
            // would ask nobody who leads now.
            let deadline = if deadline == i64::MAX { quorum.election_deadline(now_ms) } else { deadline };
            EpochState::Resigned(ResignedState::new(election.epoch, local.id, voters, Vec::new(), deadline))
        } else if election.is_voted_candidate(&local) && voters.is_voter(&local) {
            EpochState::Candidate(CandidateState::new(election.epoch, local, voters, deadline))
        } else if let Some(leader_id) = election.leader_id {
            match voters.voter(leader_id).map(|voter| voter.endpoints.clone()) {
                Some(endpoints) if !endpoints.is_empty() => EpochState::Follower(FollowerState::new(
                    election.epoch,
                    leader_id,
                    endpoints,
                    election.voted_key,
                    quorum.config.fetch_timeout_ms,
                    now_ms,
                )),
                // The leader cannot be reached by what is known of it.
                _ => {
                    let (epoch, voted_key) = (election.epoch, election.voted_key);
                    let state = UnattachedState::new(epoch, Some(leader_id), voted_key, deadline);
                    EpochState::Unattached(state)
                }
            }
        } else {
            let state = UnattachedState::new(election.epoch, None, election.voted_key, deadline);
            EpochState::Unattached(state)
        };
        quorum
    }

    /// The state now.
    pub fn state(&self) -> &EpochState {
        &self.state
    }

    /// The state now, to change what does not change the epoch.
    pub fn state_mut(&mut self) -> &mut EpochState {
        &mut self.state
    }

    /// This replica.
    pub fn local(&self) -> ReplicaKey {
        self.local
    }

    /// The randomness of this replica.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// The leader's state, if this replica leads.
    pub fn leader(&self) -> Option<&LeaderState> {
        match &self.state {
            EpochState::Leader(leader) => Some(leader),
            _ => None,
        }
    }

    /// The leader's state, if this replica leads.
    pub fn leader_mut(&mut self) -> Option<&mut LeaderState> {
        match &mut self.state {
            EpochState::Leader(leader) => Some(leader),
            _ => None,
        }
    }

    /// The follower's state, if this replica follows.
    pub fn follower_mut(&mut self) -> Option<&mut FollowerState> {
        match &mut self.state {
            EpochState::Follower(follower) => Some(follower),
            _ => None,
        }
    }

    /// What belongs on disk.
    pub fn election(&self, voters: &VoterSet) -> ElectionState {
        let LeaderAndEpoch { leader_id, epoch } = self.leader_and_epoch();
        ElectionState { epoch, leader_id, voted_key: self.voted_key(), voters: self.voter_ids(voters) }
    }

    fn voter_ids(&self, voters: &VoterSet) -> BTreeSet<i32> {
        BTreeSet::from_iter(voters.voter_ids())
    }

    /// The leader and the epoch.
    pub fn leader_and_epoch(&self) -> LeaderAndEpoch {
        match &self.state {
            EpochState::Unattached(state) => state.leader_and_epoch(),
            EpochState::Prospective(state) => state.leader_and_epoch(),
            EpochState::Candidate(state) => LeaderAndEpoch { leader_id: None, epoch: state.epoch() },
            EpochState::Leader(state) => {
                LeaderAndEpoch { leader_id: Some(self.local.id), epoch: state.epoch() }
            }
            EpochState::Follower(state) => state.leader_and_epoch(),
            EpochState::Resigned(state) => {
                LeaderAndEpoch { leader_id: Some(self.local.id), epoch: state.epoch() }
            }
        }
    }

    /// The epoch.
    pub fn epoch(&self) -> i32 {
        self.leader_and_epoch().epoch
    }

    /// Who has this replica's vote in this epoch.
    pub fn voted_key(&self) -> Option<ReplicaKey> {
        match &self.state {
            EpochState::Unattached(state) => state.voted_key(),
            EpochState::Prospective(state) => state.voted_key(),
            EpochState::Candidate(_) => Some(self.local),
            EpochState::Follower(state) => state.voted_key(),
            EpochState::Leader(_) | EpochState::Resigned(_) => None,
        }
    }

    /// Where the leader is known to listen, if there is another.
    pub fn remote_leader_endpoints(&self) -> &[Endpoint] {
        match &self.state {
            EpochState::Prospective(state) => state.leader_endpoints(),
            EpochState::Follower(state) => state.leader_endpoints(),
            _ => &[],
        }
    }

    /// Whether this replica gives its vote.
    pub fn can_grant_vote(&self, ballot: Ballot) -> bool {
        match &self.state {
            EpochState::Unattached(state) => {
                grants_unattached(state.leader_and_epoch().leader_id, state.voted_key(), ballot)
            }
            EpochState::Prospective(state) => {
                grants_unattached(state.leader_and_epoch().leader_id, state.voted_key(), ballot)
            }
            EpochState::Follower(state) => state.can_grant_vote(ballot),
            // A pre-vote promises nothing: who could win may go on.
            EpochState::Candidate(_) | EpochState::Resigned(_) => ballot.pre_vote && ballot.is_log_up_to_date,
            EpochState::Leader(_) => false,
        }
    }

    /// A later epoch without a known leader, or the end of a pre-vote.
    pub fn transition_to_unattached(
        &mut self,
        epoch: i32,
        leader_id: Option<i32>,
        voters: &VoterSet,
        now_ms: i64,
    ) {
        let current = self.epoch();
        let is_prospective = matches!(self.state, EpochState::Prospective(_));
        // Invariant: a replica never goes back to an earlier epoch, nor forgets what it did in this one.
        assert!(epoch > current || (epoch == current && is_prospective), "{current} to {epoch}");
        let deadline = match &self.state {
            _ if !voters.is_voter(&self.local) => i64::MAX,
            EpochState::Candidate(state) => state.election_deadline_ms(),
            EpochState::Unattached(state) => state.election_deadline_ms(),
            EpochState::Prospective(state) if !state.epoch_election().is_vote_rejected() => {
                state.election_deadline_ms()
            }
            EpochState::Resigned(state) => state.election_deadline_ms(),
            _ => self.election_deadline(now_ms),
        };
        let voted_key = if epoch == current { self.voted_key() } else { None };
        self.change_to(EpochState::Unattached(UnattachedState::new(epoch, leader_id, voted_key, deadline)));
    }

    /// This replica, unattached or prospective and not voted yet, votes for `candidate`.
    pub fn add_voted(&mut self, candidate: ReplicaKey, voters: &VoterSet, now_ms: i64) {
        // Invariant: one vote in an epoch.
        assert!(self.voted_key().is_none(), "a second vote, for {candidate}");
        let deadline = self.election_deadline(now_ms);
        let local = self.local;
        let state = match &self.state {
            EpochState::Unattached(state) => {
                let LeaderAndEpoch { leader_id, epoch } = state.leader_and_epoch();
                EpochState::Unattached(UnattachedState::new(epoch, leader_id, Some(candidate), deadline))
            }
            EpochState::Prospective(state) => {
                EpochState::Prospective(state.with_vote(candidate, local, voters, deadline))
            }
            other => panic!("Invariant: a {} does not vote", other.name()),
        };
        self.change_to(state);
    }

    /// The leader of an epoch is known.
    pub fn transition_to_follower(
        &mut self,
        epoch: i32,
        leader_id: i32,
        endpoints: Vec<Endpoint>,
        now_ms: i64,
    ) {
        let current = self.epoch();
        // Invariant: a replica never goes back to an earlier epoch, and a leader does not follow in its own.
        assert!(epoch >= current && leader_id != self.local.id, "{current} to {epoch} of {leader_id}");
        assert!(epoch > current || !matches!(self.state, EpochState::Leader(_)), "two leaders in {epoch}");
        let voted_key = if epoch == current { self.voted_key() } else { None };
        self.change_to(EpochState::Follower(FollowerState::new(
            epoch,
            leader_id,
            endpoints,
            voted_key,
            self.config.fetch_timeout_ms,
            now_ms,
        )));
    }

    /// Pre-vote: would a majority vote for this replica? Nothing changes that the disk knows.
    pub fn transition_to_prospective(&mut self, voters: &VoterSet, now_ms: i64) {
        assert!(voters.is_voter(&self.local), "{} is no voter, and stood for election", self.local);
        assert!(!matches!(self.state, EpochState::Leader(_) | EpochState::Prospective(_)));
        let leader = self.leader_and_epoch();
        let endpoints = self.remote_leader_endpoints().to_vec();
        let voted_key = self.voted_key();
        let deadline = self.election_deadline(now_ms);
        let state = ProspectiveState::new(leader, endpoints, voted_key, self.local, voters, deadline);
        self.change_to(EpochState::Prospective(state));
    }

    /// Stands for election in the next epoch.
    pub fn transition_to_candidate(&mut self, voters: &VoterSet, now_ms: i64) {
        assert!(voters.is_voter(&self.local), "{} is no voter, and stood for election", self.local);
        let EpochState::Prospective(state) = &self.state else {
            panic!("Invariant: a {} does not stand without a pre-vote", self.state.name())
        };
        let epoch = state.leader_and_epoch().epoch.checked_add(1);
        let epoch = epoch.expect("Invariant: there are more epochs than elections");
        let deadline = self.election_deadline(now_ms);
        self.change_to(EpochState::Candidate(CandidateState::new(epoch, self.local, voters, deadline)));
    }

    /// Has won. `epoch_start_offset` is the end of the log.
    pub fn transition_to_leader(&mut self, epoch_start_offset: i64, voters: &VoterSet, now_ms: i64) {
        let EpochState::Candidate(candidate) = &self.state else {
            panic!("Invariant: a {} does not become a leader", self.state.name())
        };
        assert!(candidate.epoch_election().is_vote_granted(), "Invariant: a majority elects a leader");
        let leader = LeaderState::new(
            candidate.epoch(),
            epoch_start_offset,
            self.local,
            voters,
            candidate.epoch_election().granting_voters(),
            self.config.fetch_timeout_ms,
            now_ms,
        );
        self.change_to(EpochState::Leader(leader));
    }

    /// The leader gives up. The disk knows it as the leader of this epoch, and that stays so.
    pub fn transition_to_resigned(
        &mut self,
        preferred_successors: Vec<ReplicaKey>,
        voters: &VoterSet,
        now_ms: i64,
    ) {
        let EpochState::Leader(leader) = &self.state else {
            panic!("Invariant: a {} cannot resign", self.state.name())
        };
        let epoch = leader.epoch();
        let deadline = self.election_deadline(now_ms);
        let state = ResignedState::new(epoch, self.local.id, voters, preferred_successors, deadline);
        self.change_to(EpochState::Resigned(state));
    }

    fn change_to(&mut self, state: EpochState) {
        let from = self.state.name();
        self.state = state;
        let LeaderAndEpoch { leader_id, epoch } = self.leader_and_epoch();
        tracing::info!(
            epoch,
            leader_id,
            voted = self.voted_key().map(|key| key.id),
            from,
            to = self.state.name(),
            "quorum"
        );
    }

    fn election_deadline_of(&mut self, voters: &VoterSet, now_ms: i64) -> i64 {
        if voters.is_voter(&self.local) { self.election_deadline(now_ms) } else { i64::MAX }
    }

    /// Between one and two election timeouts from now, so that two replicas seldom stand at once.
    fn election_deadline(&mut self, now_ms: i64) -> i64 {
        let timeout = self.config.election_timeout_ms.max(0);
        now_ms.saturating_add(timeout).saturating_add(self.random.below(timeout))
    }
}

/// Unattached and prospective replicas vote once in an epoch, for who has all that they have, unless the epoch has a
/// leader. A pre-vote only asks for the log.
fn grants_unattached(leader_id: Option<i32>, voted_key: Option<ReplicaKey>, ballot: Ballot) -> bool {
    if ballot.pre_vote {
        ballot.is_log_up_to_date
    } else if let Some(voted) = voted_key {
        voted.id == ballot.replica.id
            && (voted.directory_id.is_none() || voted.directory_id == ballot.replica.directory_id)
    } else {
        leader_id.is_none() && ballot.is_log_up_to_date
    }
}
