//! Who and where: replicas of the quorum, positions in the metadata log, leadership.

use std::fmt;

use common::Uuid;

/// An offset and the epoch of the record before it (`org.apache.kafka.server.common.OffsetAndEpoch`).
///
/// As the id of a snapshot: the offset is the end offset, which is the first one the snapshot does not contain.
/// Ordered as Kafka orders snapshots: by epoch, then by offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct OffsetAndEpoch {
    /// The offset, exclusive.
    pub offset: i64,
    /// The leader epoch of the last record before `offset`.
    pub epoch: i32,
}

impl OffsetAndEpoch {
    /// The id of the checkpoint that formatting writes (`Snapshots.BOOTSTRAP_SNAPSHOT_ID`).
    pub const BOOTSTRAP: OffsetAndEpoch = OffsetAndEpoch { offset: 0, epoch: 0 };

    /// An offset and its epoch.
    pub const fn new(offset: i64, epoch: i32) -> OffsetAndEpoch {
        OffsetAndEpoch { offset, epoch }
    }
}

impl PartialOrd for OffsetAndEpoch {
    fn partial_cmp(&self, other: &OffsetAndEpoch) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OffsetAndEpoch {
    fn cmp(&self, other: &OffsetAndEpoch) -> std::cmp::Ordering {
        (self.epoch, self.offset).cmp(&(other.epoch, other.offset))
    }
}

impl fmt::Display for OffsetAndEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OffsetAndEpoch(offset={}, epoch={})", self.offset, self.epoch)
    }
}

/// Who leads, if that is known, and in which epoch (`org.apache.kafka.raft.LeaderAndEpoch`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LeaderAndEpoch {
    /// The leader's node id.
    pub leader_id: Option<i32>,
    /// The epoch, from 0.
    pub epoch: i32,
}

impl LeaderAndEpoch {
    /// Whether `node_id` is the leader.
    pub fn is_leader(&self, node_id: i32) -> bool {
        self.leader_id == Some(node_id)
    }
}

/// A replica of the metadata log: a node, and the directory where its log is (`org.apache.kafka.raft.ReplicaKey`).
///
/// A static quorum (kraft.version 0) does not know directory ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplicaKey {
    /// The node id, not negative.
    pub id: i32,
    /// `directory.id` of the metadata log directory's `meta.properties`.
    pub directory_id: Option<Uuid>,
}

impl ReplicaKey {
    /// A replica; the zero id stands for an unknown directory, as on the wire and on disk.
    pub fn new(id: i32, directory_id: Uuid) -> ReplicaKey {
        ReplicaKey { id, directory_id: (!directory_id.is_zero()).then_some(directory_id) }
    }

    /// The directory id as the wire and the disk have it: zero where it is unknown.
    pub fn directory_id_or_zero(&self) -> Uuid {
        self.directory_id.unwrap_or(Uuid::ZERO)
    }
}

impl fmt::Display for ReplicaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.directory_id {
            Some(directory_id) => write!(f, "{} with directory id {directory_id}", self.id),
            None => write!(f, "{}", self.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_of_a_later_epoch_are_later() {
        let mut ids = vec![OffsetAndEpoch::new(5, 3), OffsetAndEpoch::new(9, 2), OffsetAndEpoch::BOOTSTRAP];
        ids.sort();
        assert_eq!(ids, [OffsetAndEpoch::new(0, 0), OffsetAndEpoch::new(9, 2), OffsetAndEpoch::new(5, 3)]);
    }

    #[test]
    fn a_zero_directory_id_is_none() {
        assert_eq!(ReplicaKey::new(1, Uuid::ZERO).directory_id, None);
        assert_eq!(ReplicaKey { id: 1, directory_id: None }.directory_id_or_zero(), Uuid::ZERO);
    }
}
