//! No leader to follow is known (`org.apache.kafka.raft.UnattachedState`).

use std::collections::BTreeSet;

use crate::{ElectionState, ReplicaKey};

/// A replica that waits to hear of a leader, or for its election timeout.
#[derive(Clone, Debug, PartialEq)]
pub struct UnattachedState {
    epoch: i32,
    leader_id: Option<i32>,
    voted_key: Option<ReplicaKey>,
    /// When it stands for election, in milliseconds; `i64::MAX`: never.
    pub(super) election_deadline_ms: i64,
}

impl UnattachedState {
    pub(super) fn new(
        epoch: i32,
        leader_id: Option<i32>,
        voted_key: Option<ReplicaKey>,
        election_deadline_ms: i64,
    ) -> UnattachedState {
        UnattachedState { epoch, leader_id, voted_key, election_deadline_ms }
    }

    pub(super) fn election(&self, voters: BTreeSet<i32>) -> ElectionState {
        ElectionState { epoch: self.epoch, leader_id: self.leader_id, voted_key: self.voted_key, voters }
    }
}
