//! What a replica must not forget about elections (`org.apache.kafka.raft.ElectionState`).

use std::collections::BTreeSet;

use crate::{LeaderAndEpoch, ReplicaKey};

/// The epoch a replica is in, the leader it knows there, and the vote it gave there.
///
/// **Invariant:** once written to `quorum-state`, a replica never goes back to an earlier epoch, and never votes for
/// another replica in the same one.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ElectionState {
    /// The epoch, from 0.
    pub epoch: i32,
    /// The leader of the epoch, if it is known.
    pub leader_id: Option<i32>,
    /// Who got this replica's vote in the epoch. A leader does not keep the vote for itself.
    pub voted_key: Option<ReplicaKey>,
    /// The voters' node ids: only `quorum-state` of version 0 has them.
    pub voters: BTreeSet<i32>,
}

impl ElectionState {
    /// Neither a leader nor a vote.
    pub fn with_unknown_leader(epoch: i32, voters: BTreeSet<i32>) -> ElectionState {
        ElectionState { epoch, leader_id: None, voted_key: None, voters }
    }

    /// A leader is known.
    pub fn with_elected_leader(
        epoch: i32,
        leader_id: i32,
        voted_key: Option<ReplicaKey>,
        voters: BTreeSet<i32>,
    ) -> ElectionState {
        ElectionState { epoch, leader_id: Some(leader_id), voted_key, voters }
    }

    /// A vote was given, and no leader is known.
    pub fn with_voted_candidate(epoch: i32, voted_key: ReplicaKey, voters: BTreeSet<i32>) -> ElectionState {
        ElectionState { epoch, leader_id: None, voted_key: Some(voted_key), voters }
    }

    /// The leader and the epoch.
    pub fn leader_and_epoch(&self) -> LeaderAndEpoch {
        LeaderAndEpoch { leader_id: self.leader_id, epoch: self.epoch }
    }

    /// Whether `node_id` leads.
    pub fn is_leader(&self, node_id: i32) -> bool {
        self.leader_id == Some(node_id)
    }

    /// Whether the vote went to `replica`. A vote written without a directory id (kraft.version 0) counts for every
    /// directory of the node.
    pub fn is_voted_candidate(&self, replica: &ReplicaKey) -> bool {
        self.voted_key.is_some_and(|voted| {
            voted.id == replica.id
                && (voted.directory_id.is_none() || voted.directory_id == replica.directory_id)
        })
    }
}
