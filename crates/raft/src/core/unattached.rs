//! No leader to follow is known (`org.apache.kafka.raft.UnattachedState`).

use crate::{LeaderAndEpoch, ReplicaKey};

/// A replica that waits to hear of a leader, or for its election timeout.
#[derive(Clone, Debug, PartialEq)]
pub struct UnattachedState {
    leader: LeaderAndEpoch,
    voted_key: Option<ReplicaKey>,
    election_deadline_ms: i64,
}

impl UnattachedState {
    pub(super) fn new(
        epoch: i32,
        leader_id: Option<i32>,
        voted_key: Option<ReplicaKey>,
        election_deadline_ms: i64,
    ) -> UnattachedState {
        UnattachedState { leader: LeaderAndEpoch { leader_id, epoch }, voted_key, election_deadline_ms }
    }

    /// The epoch, and its leader where that is known but not where it listens.
    pub fn leader_and_epoch(&self) -> LeaderAndEpoch {
        self.leader
    }

    /// Who has its vote.
    pub fn voted_key(&self) -> Option<ReplicaKey> {
        self.voted_key
    }

    /// When it stands for election, in milliseconds; `i64::MAX`: never.
    pub fn election_deadline_ms(&self) -> i64 {
        self.election_deadline_ms
    }
}
