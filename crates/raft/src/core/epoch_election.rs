//! Counts the votes of one election (`org.apache.kafka.raft.internals.EpochElection`).

use std::collections::BTreeMap;

use crate::VoterSet;

/// The votes so far.
#[derive(Clone, Debug, PartialEq)]
pub struct EpochElection {
    /// Each voter's answer: none yet, rejected, granted.
    votes: BTreeMap<i32, Option<bool>>,
}

impl EpochElection {
    /// An election among `voters`, without votes yet.
    pub fn new(voters: &VoterSet) -> EpochElection {
        EpochElection { votes: voters.voter_ids().into_iter().map(|id| (id, None)).collect() }
    }

    /// Takes a vote. Those of nodes that are no voters do not count.
    pub fn record_vote(&mut self, voter_id: i32, granted: bool) {
        if let Some(vote) = self.votes.get_mut(&voter_id) {
            *vote = Some(granted);
        }
    }

    /// Whether a majority granted it.
    pub fn is_vote_granted(&self) -> bool {
        self.count(Some(true)) >= self.majority()
    }

    /// Whether a majority cannot be had any more.
    pub fn is_vote_rejected(&self) -> bool {
        self.count(Some(true)) + self.count(None) < self.majority()
    }

    /// The voters that have not answered yet, ascending.
    pub fn unrecorded_voters(&self) -> Vec<i32> {
        self.votes.iter().filter(|(_, vote)| vote.is_none()).map(|(id, _)| *id).collect()
    }

    /// The voters that granted it, ascending.
    pub fn granting_voters(&self) -> Vec<i32> {
        self.votes.iter().filter(|(_, vote)| **vote == Some(true)).map(|(id, _)| *id).collect()
    }

    fn count(&self, vote: Option<bool>) -> usize {
        self.votes.values().filter(|given| **given == vote).count()
    }

    fn majority(&self) -> usize {
        self.votes.len() / 2 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn election(voters: i32) -> EpochElection {
        let voters: Vec<_> = (1..=voters).map(|id| (id, "localhost".to_owned(), 9093)).collect();
        EpochElection::new(&VoterSet::from_static("CONTROLLER", &voters))
    }

    #[test]
    fn one_voter_is_its_own_majority() {
        let mut election = election(1);
        assert!(!election.is_vote_granted());
        election.record_vote(1, true);
        assert!(election.is_vote_granted());
        assert_eq!(election.granting_voters(), [1]);
    }

    #[test]
    fn of_four_voters_three_must_agree() {
        let mut election = election(4);
        election.record_vote(1, true);
        election.record_vote(2, true);
        election.record_vote(9, true);
        assert!(!election.is_vote_granted() && !election.is_vote_rejected());
        election.record_vote(3, false);
        assert!(!election.is_vote_rejected());
        election.record_vote(4, false);
        assert!(election.is_vote_rejected());
    }

    #[test]
    fn nobody_elects_anybody() {
        assert!(!election(0).is_vote_granted());
    }
}
