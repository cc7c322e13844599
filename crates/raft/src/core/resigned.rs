//! Led its epoch and will not lead it again (`org.apache.kafka.raft.ResignedState`).

use std::collections::BTreeSet;

use crate::ElectionState;

/// A leader after it resigned or came back from a restart, until its election timeout.
#[derive(Clone, Debug, PartialEq)]
pub struct ResignedState {
    pub(super) epoch: i32,
    local_id: i32,
    /// When it goes on to the next epoch, in milliseconds.
    pub(super) election_deadline_ms: i64,
}

impl ResignedState {
    pub(super) fn new(epoch: i32, local_id: i32, election_deadline_ms: i64) -> ResignedState {
        ResignedState { epoch, local_id, election_deadline_ms }
    }

    /// It is still the leader that the epoch had: it votes for nobody else there.
    pub(super) fn election(&self, voters: BTreeSet<i32>) -> ElectionState {
        ElectionState::with_elected_leader(self.epoch, self.local_id, None, voters)
    }
}
