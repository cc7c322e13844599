//! Follows a leader (`org.apache.kafka.raft.FollowerState`).

use std::collections::BTreeSet;

use crate::{ElectionState, ReplicaKey};

/// A replica that knows the leader of its epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct FollowerState {
    epoch: i32,
    leader_id: i32,
    voted_key: Option<ReplicaKey>,
}

impl FollowerState {
    pub(super) fn new(epoch: i32, leader_id: i32, voted_key: Option<ReplicaKey>) -> FollowerState {
        FollowerState { epoch, leader_id, voted_key }
    }

    pub(super) fn election(&self, voters: BTreeSet<i32>) -> ElectionState {
        ElectionState::with_elected_leader(self.epoch, self.leader_id, self.voted_key, voters)
    }
}
