//! The decisions of KRaft (`org.apache.kafka.raft.QuorumState` and the deciding half of `KafkaRaftClient`): events and
//! the time go in, actions come out. No disk, no clock, no socket, no thread.
//!
//! One file per state. The states and what they keep are all of Kafka's; the events are those of a quorum with one
//! voter: votes and fetches of other voters come with quorums of several controllers, as further events.

mod candidate;
mod epoch_election;
mod follower;
mod leader;
mod prospective;
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
pub use resigned::ResignedState;
pub use unattached::UnattachedState;

use crate::config::QuorumConfig;
use crate::{ElectionState, LeaderAndEpoch, OffsetAndEpoch, ReplicaKey, VoterSet};

/// What the core is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The node came up: what `quorum-state` says, and where the log ends. The first event, and only the first.
    Start {
        /// The content of `quorum-state`.
        election: Option<ElectionState>,
        /// The end offset of the log and the epoch of its last record.
        log_end: OffsetAndEpoch,
    },
    /// Time passed: election timeouts.
    Tick,
    /// The log is on disk up to `end_offset`, exclusive.
    LogFlushed {
        /// The end of what a crash cannot take.
        end_offset: i64,
    },
    /// A replica that is not this one fetched the log from `fetch_offset`, so it has everything below.
    Fetched {
        /// Who.
        replica: ReplicaKey,
        /// Up to where, exclusive.
        fetch_offset: i64,
        /// Where the leader's log ended then.
        log_end_offset: i64,
    },
    /// The controller gives up leadership of `epoch`.
    Resign {
        /// The epoch that it leads; an earlier one is ignored.
        epoch: i32,
    },
}

/// What the shell does, in this order, before it hands in the next event.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Write `quorum-state`, durably.
    PersistElection(ElectionState),
    /// This replica leads: start the epoch at the log's end, and append its LeaderChange record there.
    BecomeLeader {
        /// The new epoch.
        epoch: i32,
        /// The voters of the quorum, for the record.
        voters: Vec<i32>,
        /// Those of them who elected this replica.
        granting_voters: Vec<i32>,
    },
    /// Everything below `offset` is committed.
    AdvanceHighWatermark(i64),
    /// Leader or epoch changed.
    LeaderChanged(LeaderAndEpoch),
}

/// The state this replica is in.
#[derive(Clone, Debug, PartialEq)]
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

    /// What of it belongs on disk.
    pub fn election(&self, voters: &VoterSet) -> ElectionState {
        let voters = BTreeSet::from_iter(voters.voter_ids());
        match self {
            EpochState::Unattached(state) => state.election(voters),
            EpochState::Prospective(state) => state.election(voters),
            EpochState::Candidate(state) => state.election(voters),
            EpochState::Leader(state) => state.election(voters),
            EpochState::Follower(state) => state.election(voters),
            EpochState::Resigned(state) => state.election(voters),
        }
    }
}

/// The core. See the module.
#[derive(Debug)]
pub struct RaftCore {
    local: ReplicaKey,
    voters: VoterSet,
    config: QuorumConfig,
    random: SplitMix64,
    state: EpochState,
    log_end: OffsetAndEpoch,
}

impl RaftCore {
    /// A core that waits for [`Event::Start`]. `seed` spreads election timeouts.
    pub fn new(local: ReplicaKey, voters: VoterSet, config: QuorumConfig, seed: u64) -> RaftCore {
        RaftCore {
            local,
            voters,
            config,
            random: SplitMix64(seed),
            state: EpochState::Unattached(UnattachedState::new(0, None, None, i64::MAX)),
            log_end: OffsetAndEpoch::default(),
        }
    }

    /// The state now.
    pub fn state(&self) -> &EpochState {
        &self.state
    }

    /// The leader's state, if this replica leads.
    pub fn leader(&self) -> Option<&LeaderState> {
        match &self.state {
            EpochState::Leader(leader) => Some(leader),
            _ => None,
        }
    }

    /// The leader and the epoch.
    pub fn leader_and_epoch(&self) -> LeaderAndEpoch {
        self.election().leader_and_epoch()
    }

    /// The epoch.
    pub fn epoch(&self) -> i32 {
        self.election().epoch
    }

    /// What is committed, exclusive; none before the first commit of a leader's epoch.
    pub fn high_watermark(&self) -> Option<i64> {
        self.leader().and_then(LeaderState::high_watermark)
    }

    /// When to call with [`Event::Tick`] at the latest; none if nothing is timed.
    pub fn next_tick_ms(&self) -> Option<i64> {
        let deadline = match &self.state {
            EpochState::Unattached(state) => state.election_deadline_ms,
            EpochState::Resigned(state) => state.election_deadline_ms,
            _ => i64::MAX,
        };
        (deadline != i64::MAX).then_some(deadline)
    }

    /// The voters changed by a record in the log.
    pub fn update_voters(&mut self, voters: VoterSet) {
        if let EpochState::Leader(leader) = &mut self.state {
            leader.update_voters(&voters);
        }
        self.voters = voters;
    }

    /// Takes one event and says what to do.
    pub fn handle(&mut self, event: Event, now_ms: i64) -> Vec<Action> {
        let epoch_before = self.epoch();
        let mut actions = Vec::new();
        match event {
            Event::Start { election, log_end } => self.start(election, log_end, now_ms, &mut actions),
            Event::Tick => self.tick(now_ms, &mut actions),
            Event::LogFlushed { end_offset } => self.log_flushed(end_offset, &mut actions),
            Event::Fetched { replica, fetch_offset, log_end_offset } => {
                if let EpochState::Leader(leader) = &mut self.state {
                    let before = leader.high_watermark();
                    leader.update_replica(replica, fetch_offset, log_end_offset, now_ms);
                    push_high_watermark(leader, before, &mut actions);
                }
            }
            Event::Resign { epoch } => self.resign(epoch, now_ms, &mut actions),
        }
        // Invariant: a replica never goes back to an earlier epoch.
        assert!(self.epoch() >= epoch_before, "the epoch went back from {epoch_before} to {}", self.epoch());
        actions
    }

    fn start(
        &mut self,
        election: Option<ElectionState>,
        log_end: OffsetAndEpoch,
        now_ms: i64,
        actions: &mut Vec<Action>,
    ) {
        self.log_end = log_end;
        let election = election.unwrap_or_default();
        let deadline = self.election_deadline(now_ms);
        let initial = if election.epoch < log_end.epoch {
            // The file is older than the log: the epoch is what the log proves, and no vote of it is known.
            EpochState::Unattached(UnattachedState::new(log_end.epoch, None, None, deadline))
        } else if election.is_leader(self.local.id) {
            // A leader that comes back never leads the same epoch again: what it had not synced may be lost, and an
            // offset of an epoch must not get a second meaning.
            EpochState::Resigned(ResignedState::new(election.epoch, self.local.id, deadline))
        } else if election.is_voted_candidate(&self.local) {
            EpochState::Candidate(CandidateState::new(election.epoch, self.local, &self.voters))
        } else if let Some(leader_id) = election.leader_id {
            if self.voters.voter(leader_id).is_some_and(|node| !node.endpoints.is_empty()) {
                EpochState::Follower(FollowerState::new(election.epoch, leader_id, election.voted_key))
            } else {
                // The leader cannot be reached by what is known of it.
                let unattached =
                    UnattachedState::new(election.epoch, Some(leader_id), election.voted_key, deadline);
                EpochState::Unattached(unattached)
            }
        } else {
            EpochState::Unattached(UnattachedState::new(election.epoch, None, election.voted_key, deadline))
        };
        self.transition_durably(initial, actions);

        if self.voters.is_only_voter(&self.local) {
            match &self.state {
                EpochState::Candidate(_) => self.become_leader_if_elected(actions),
                _ => self.become_prospective(actions),
            }
        }
    }

    fn tick(&mut self, now_ms: i64, actions: &mut Vec<Action>) {
        match &self.state {
            EpochState::Resigned(state) if now_ms >= state.election_deadline_ms => {
                // The next epoch, so that nobody fetches from this replica as the leader of the old one.
                let epoch = state.epoch + 1;
                let deadline = self.election_deadline(now_ms);
                self.transition_durably(
                    EpochState::Unattached(UnattachedState::new(epoch, None, None, deadline)),
                    actions,
                );
                actions.push(Action::LeaderChanged(self.leader_and_epoch()));
            }
            EpochState::Unattached(state)
                if now_ms >= state.election_deadline_ms && self.voters.is_voter(&self.local) =>
            {
                self.become_prospective(actions);
            }
            _ => {}
        }
    }

    fn log_flushed(&mut self, end_offset: i64, actions: &mut Vec<Action>) {
        self.log_end.offset = self.log_end.offset.max(end_offset);
        if let EpochState::Leader(leader) = &mut self.state {
            let before = leader.high_watermark();
            leader.update_local(end_offset);
            push_high_watermark(leader, before, actions);
        }
    }

    fn resign(&mut self, epoch: i32, now_ms: i64, actions: &mut Vec<Action>) {
        if self.leader().is_some_and(|leader| leader.epoch() == epoch) {
            // Nothing to persist: a leader that comes back starts as resigned anyway.
            let deadline = self.election_deadline(now_ms);
            self.state = EpochState::Resigned(ResignedState::new(epoch, self.local.id, deadline));
            actions.push(Action::LeaderChanged(LeaderAndEpoch { leader_id: None, epoch }));
        }
    }

    /// Pre-vote: would a majority vote for this replica? A lone voter knows.
    fn become_prospective(&mut self, actions: &mut Vec<Action>) {
        assert!(self.voters.is_voter(&self.local), "{} is no voter, and stood for election", self.local);
        let election = self.election();
        let prospective = ProspectiveState::new(
            election.epoch,
            election.leader_id,
            election.voted_key,
            self.local,
            &self.voters,
        );
        let granted = prospective.epoch_election().is_vote_granted();
        // In memory only: nothing changes that the disk knows.
        self.state = EpochState::Prospective(prospective);
        if granted {
            self.become_candidate(actions);
        }
    }

    fn become_candidate(&mut self, actions: &mut Vec<Action>) {
        let epoch = self.epoch() + 1;
        self.transition_durably(
            EpochState::Candidate(CandidateState::new(epoch, self.local, &self.voters)),
            actions,
        );
        actions.push(Action::LeaderChanged(self.leader_and_epoch()));
        self.become_leader_if_elected(actions);
    }

    fn become_leader_if_elected(&mut self, actions: &mut Vec<Action>) {
        let EpochState::Candidate(candidate) = &self.state else { return };
        if !candidate.epoch_election().is_vote_granted() {
            return;
        }
        let granting_voters = candidate.epoch_election().granting_voters();
        let epoch = candidate.epoch();
        let leader = LeaderState::new(epoch, self.log_end.offset, self.local, &self.voters);
        self.transition_durably(EpochState::Leader(leader), actions);
        actions.push(Action::BecomeLeader { epoch, voters: self.voters.voter_ids(), granting_voters });
        actions.push(Action::LeaderChanged(self.leader_and_epoch()));
    }

    fn transition_durably(&mut self, state: EpochState, actions: &mut Vec<Action>) {
        self.state = state;
        actions.push(Action::PersistElection(self.election()));
    }

    fn election(&self) -> ElectionState {
        self.state.election(&self.voters)
    }

    /// Between one and two election timeouts from now, so that two replicas seldom stand at once.
    fn election_deadline(&mut self, now_ms: i64) -> i64 {
        let timeout = self.config.election_timeout_ms.max(0);
        let jitter = if timeout == 0 { 0 } else { (self.random.next() % timeout as u64) as i64 };
        now_ms.saturating_add(timeout).saturating_add(jitter)
    }
}

fn push_high_watermark(leader: &LeaderState, before: Option<i64>, actions: &mut Vec<Action>) {
    if let Some(high_watermark) = leader.high_watermark().filter(|now| before != Some(*now)) {
        // Invariant: what is committed stays committed.
        assert!(before.is_none_or(|before| before < high_watermark));
        actions.push(Action::AdvanceHighWatermark(high_watermark));
    }
}

/// A generator whose whole state is its seed, so that a run can be repeated.
#[derive(Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
