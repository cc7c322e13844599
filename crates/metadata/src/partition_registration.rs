//! What the cluster knows of one partition (`org.apache.kafka.metadata.PartitionRegistration`).

use common::Uuid;
use protocol::messages::{PartitionChangeRecord, PartitionRecord};

use crate::directory_id;
use crate::error::ReplayError;
use crate::writer::ImageWriter;

/// A partition without a leader says so with this.
pub const NO_LEADER: i32 = -1;
/// A change record that leaves the leader as it is says so with this.
pub const NO_LEADER_CHANGE: i32 = -2;

/// Whether the leader came from an unclean election and has not yet made up for it (KIP-704).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeaderRecoveryState {
    /// The leader was elected from the ISR, or has recovered.
    Recovered,
    /// The leader was elected uncleanly.
    Recovering,
}

impl LeaderRecoveryState {
    /// A change record that leaves the state as it is says so with this.
    pub const NO_CHANGE: i8 = -1;

    /// The state's number on the wire.
    pub const fn value(self) -> i8 {
        match self {
            LeaderRecoveryState::Recovered => 0,
            LeaderRecoveryState::Recovering => 1,
        }
    }

    /// The state with this number.
    pub fn from_value(value: i8) -> Option<LeaderRecoveryState> {
        match value {
            0 => Some(LeaderRecoveryState::Recovered),
            1 => Some(LeaderRecoveryState::Recovering),
            _ => None,
        }
    }

    fn replayed(value: i8) -> Result<LeaderRecoveryState, ReplayError> {
        Self::from_value(value)
            .ok_or(ReplayError::InvalidValue { field: "leader recovery state", value: value.into() })
    }
}

/// One partition: who holds it, who leads it, and the epochs that fence stale news about it.
///
/// **Invariant:** `directories` has one entry per replica, in the same order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRegistration {
    /// The brokers that hold the partition, the preferred leader first.
    pub replicas: Vec<i32>,
    /// For each replica the log directory that holds it.
    pub directories: Vec<Uuid>,
    /// The replicas that have every acknowledged record.
    pub isr: Vec<i32>,
    /// Replicas that a reassignment takes away.
    pub removing_replicas: Vec<i32>,
    /// Replicas that a reassignment adds.
    pub adding_replicas: Vec<i32>,
    /// Replicas outside of the ISR that may lead nonetheless (KIP-966).
    pub elr: Vec<i32>,
    /// The last leader, kept when nobody is left who may lead (KIP-966).
    pub last_known_elr: Vec<i32>,
    /// The leader, or [`NO_LEADER`].
    pub leader: i32,
    /// Whether the leader still recovers from an unclean election.
    pub leader_recovery_state: LeaderRecoveryState,
    /// Counts the leaders.
    pub leader_epoch: i32,
    /// Counts the changes of any kind.
    pub partition_epoch: i32,
}

impl PartitionRegistration {
    /// The partition that a record creates.
    pub fn from_record(record: &PartitionRecord) -> Result<PartitionRegistration, ReplayError> {
        Ok(PartitionRegistration {
            replicas: record.replicas.clone(),
            directories: assigned_directories(&record.directories, record.replicas.len())?,
            isr: record.isr.clone(),
            removing_replicas: record.removing_replicas.clone(),
            adding_replicas: record.adding_replicas.clone(),
            elr: record.eligible_leader_replicas.clone().unwrap_or_default(),
            last_known_elr: record.last_known_elr.clone().unwrap_or_default(),
            leader: record.leader,
            leader_recovery_state: LeaderRecoveryState::replayed(record.leader_recovery_state)?,
            leader_epoch: record.leader_epoch,
            partition_epoch: record.partition_epoch,
        })
    }

    /// This partition after a change. Every change moves the partition epoch, and one that names a leader
    /// (be it the same) the leader epoch.
    pub fn merge(&self, record: &PartitionChangeRecord) -> Result<PartitionRegistration, ReplayError> {
        let replicas = record.replicas.clone().unwrap_or_else(|| self.replicas.clone());
        let directories = record.directories.as_ref().unwrap_or(&self.directories);
        let leader_changes = record.leader != NO_LEADER_CHANGE;
        let leader_recovery_state = match record.leader_recovery_state {
            LeaderRecoveryState::NO_CHANGE => self.leader_recovery_state,
            value => LeaderRecoveryState::replayed(value)?,
        };
        let or_kept = |change: &Option<Vec<i32>>, kept: &Vec<i32>| change.as_ref().unwrap_or(kept).clone();
        Ok(PartitionRegistration {
            directories: assigned_directories(directories, replicas.len())?,
            replicas,
            isr: or_kept(&record.isr, &self.isr),
            removing_replicas: or_kept(&record.removing_replicas, &self.removing_replicas),
            adding_replicas: or_kept(&record.adding_replicas, &self.adding_replicas),
            elr: or_kept(&record.eligible_leader_replicas, &self.elr),
            last_known_elr: or_kept(&record.last_known_elr, &self.last_known_elr),
            leader: if leader_changes { record.leader } else { self.leader },
            leader_recovery_state,
            leader_epoch: if leader_changes { self.leader_epoch.wrapping_add(1) } else { self.leader_epoch },
            partition_epoch: self.partition_epoch.wrapping_add(1),
        })
    }

    /// Whether anybody leads.
    pub fn has_leader(&self) -> bool {
        self.leader != NO_LEADER
    }

    /// The replica that should lead if it can: the first one.
    pub fn preferred_replica(&self) -> i32 {
        self.replicas.first().copied().unwrap_or(NO_LEADER)
    }

    /// Whether the preferred replica leads.
    pub fn has_preferred_leader(&self) -> bool {
        self.leader == self.preferred_replica()
    }

    /// Whether replicas are being added or removed.
    pub fn is_reassignment_in_progress(&self) -> bool {
        !self.removing_replicas.is_empty() || !self.adding_replicas.is_empty()
    }

    /// The log directory in which a broker keeps its replica; none if the broker has no replica.
    pub fn directory(&self, broker_id: i32) -> Option<Uuid> {
        let index = self.replicas.iter().position(|replica| *replica == broker_id)?;
        self.directories.get(index).copied()
    }

    /// The record that creates this partition, for the level and the features of `writer`.
    pub fn to_record(&self, topic_id: Uuid, partition_id: i32, writer: &mut ImageWriter) -> PartitionRecord {
        let some_if_any = |replicas: &Vec<i32>| (!replicas.is_empty()).then(|| replicas.clone());
        let mut record = PartitionRecord {
            partition_id,
            topic_id,
            replicas: self.replicas.clone(),
            isr: self.isr.clone(),
            removing_replicas: self.removing_replicas.clone(),
            adding_replicas: self.adding_replicas.clone(),
            leader: self.leader,
            leader_recovery_state: self.leader_recovery_state.value(),
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            ..PartitionRecord::default()
        };
        if writer.is_elr_enabled() {
            record.eligible_leader_replicas = some_if_any(&self.elr);
            record.last_known_elr = some_if_any(&self.last_known_elr);
        }
        if writer.metadata_version().is_directory_assignment_supported() {
            record.directories = self.directories.clone();
        } else if self.directories.iter().any(|directory| *directory != directory_id::MIGRATING) {
            writer.lose("the directory assignment state of one or more replicas");
        }
        record
    }
}

/// Directories as recorded; where all of them are unknown, one unknown directory per replica.
fn assigned_directories(recorded: &[Uuid], replicas: usize) -> Result<Vec<Uuid>, ReplayError> {
    if recorded.iter().all(|directory| *directory == directory_id::MIGRATING) {
        return Ok(vec![directory_id::MIGRATING; replicas]);
    }
    if recorded.len() != replicas {
        return Err(ReplayError::DirectoriesMismatch { replicas, directories: recorded.len() });
    }
    Ok(recorded.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition() -> PartitionRegistration {
        PartitionRegistration {
            replicas: vec![1, 2, 3],
            directories: vec![directory_id::UNASSIGNED; 3],
            isr: vec![1, 2, 3],
            removing_replicas: vec![],
            adding_replicas: vec![],
            elr: vec![],
            last_known_elr: vec![],
            leader: 1,
            leader_recovery_state: LeaderRecoveryState::Recovered,
            leader_epoch: 5,
            partition_epoch: 9,
        }
    }

    #[test]
    fn a_change_of_the_isr_leaves_the_leader_epoch() {
        let changed = partition()
            .merge(&PartitionChangeRecord { isr: Some(vec![1, 2]), ..Default::default() })
            .unwrap();
        let expected = PartitionRegistration { isr: vec![1, 2], partition_epoch: 10, ..partition() };
        assert_eq!(changed, expected);
    }

    #[test]
    fn naming_a_leader_moves_the_leader_epoch_even_if_it_is_the_same() {
        for leader in [1, 2, NO_LEADER] {
            let changed = partition().merge(&PartitionChangeRecord { leader, ..Default::default() }).unwrap();
            assert_eq!((changed.leader, changed.leader_epoch, changed.partition_epoch), (leader, 6, 10));
        }
    }

    #[test]
    fn directories_of_an_older_record_are_unknown() {
        let record = PartitionRecord { replicas: vec![1, 2], isr: vec![1], leader: 1, ..Default::default() };
        let partition = PartitionRegistration::from_record(&record).unwrap();
        assert_eq!(partition.directories, [directory_id::MIGRATING; 2]);
        assert_eq!(partition.directory(2), Some(directory_id::MIGRATING));
        assert_eq!(partition.directory(7), None);
    }

    #[test]
    fn directories_must_match_the_replicas() {
        let record = PartitionRecord {
            replicas: vec![1, 2],
            directories: vec![directory_id::UNASSIGNED],
            ..Default::default()
        };
        assert_eq!(
            PartitionRegistration::from_record(&record),
            Err(ReplayError::DirectoriesMismatch { replicas: 2, directories: 1 })
        );
        // New replicas without new directories cannot be told apart from a damaged record.
        let change = PartitionChangeRecord { replicas: Some(vec![1, 2]), ..Default::default() };
        assert!(partition().merge(&change).is_err());
    }

    #[test]
    fn a_recovery_state_that_does_not_exist_is_refused() {
        let change = PartitionChangeRecord { leader_recovery_state: 2, ..Default::default() };
        assert!(partition().merge(&change).is_err());
    }
}
