//! Makes the record that brings a partition to a wanted state, electing a leader on the way
//! (`org.apache.kafka.controller.PartitionChangeBuilder`).

use std::collections::BTreeMap;

use common::Uuid;
use metadata::{
    LeaderRecoveryState, MetadataVersion, NO_LEADER, NO_LEADER_CHANGE, PartitionRegistration, VersionedRecord,
};
use protocol::messages::PartitionChangeRecord;

use crate::reassignment::PartitionReassignmentReplicas;

/// Who may become leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Election {
    /// The preferred replica if it can lead, else whoever leads now, else anybody of the ISR.
    Preferred,
    /// Whoever leads now if it can, else anybody of the ISR (or, if that is empty, of the ELR).
    Online,
    /// As before, and if nobody can: any replica that is up, though records will be lost.
    Unclean,
}

/// What electing and changing a partition depends on beside the partition.
#[derive(Clone, Copy)]
pub struct ChangeEnvironment<'a> {
    /// Whether a replica's broker and directory let it lead.
    pub is_acceptable_leader: &'a dyn Fn(i32) -> bool,
    /// The directory to put a new replica on record with.
    pub default_dir: &'a dyn Fn(i32) -> Uuid,
    /// The finalised `metadata.version`.
    pub metadata_version: MetadataVersion,
    /// The topic's `min.insync.replicas`, but at most its replication factor.
    pub min_isr: usize,
    /// Whether eligible leader replicas are kept (KIP-966).
    pub elr_enabled: bool,
}

/// A wanted state of a partition.
pub struct PartitionChangeBuilder<'a> {
    partition: &'a PartitionRegistration,
    topic_id: Uuid,
    partition_id: i32,
    environment: ChangeEnvironment<'a>,
    election: Election,
    target_isr: Vec<i32>,
    target_replicas: Vec<i32>,
    target_removing: Vec<i32>,
    target_adding: Vec<i32>,
    target_elr: Vec<i32>,
    target_leader_recovery_state: LeaderRecoveryState,
    unclean_shutdown_replica: Option<i32>,
    target_directories: BTreeMap<i32, Uuid>,
}

struct ElectionResult {
    node: i32,
    unclean: bool,
}

impl<'a> PartitionChangeBuilder<'a> {
    /// Wants the partition as it is, with a leader if one can be had.
    pub fn new(
        partition: &'a PartitionRegistration,
        topic_id: Uuid,
        partition_id: i32,
        environment: ChangeEnvironment<'a>,
    ) -> PartitionChangeBuilder<'a> {
        let directories = partition.replicas.iter().copied().zip(partition.directories.iter().copied());
        PartitionChangeBuilder {
            partition,
            topic_id,
            partition_id,
            environment,
            election: Election::Online,
            target_isr: partition.isr.clone(),
            target_replicas: partition.replicas.clone(),
            target_removing: partition.removing_replicas.clone(),
            target_adding: partition.adding_replicas.clone(),
            target_elr: partition.elr.clone(),
            target_leader_recovery_state: partition.leader_recovery_state,
            unclean_shutdown_replica: None,
            target_directories: directories.collect(),
        }
    }

    /// Who may become leader.
    pub fn election(mut self, election: Election) -> Self {
        self.election = election;
        self
    }

    /// The ISR to have.
    pub fn target_isr(mut self, isr: Vec<i32>) -> Self {
        self.target_isr = isr;
        self
    }

    /// The replicas to have, and which of them are on the way out and in.
    pub fn target_replicas(mut self, replicas: Vec<i32>, removing: Vec<i32>, adding: Vec<i32>) -> Self {
        self.target_replicas = replicas;
        self.target_removing = removing;
        self.target_adding = adding;
        self
    }

    /// Whether the leader has recovered.
    pub fn target_leader_recovery_state(mut self, state: LeaderRecoveryState) -> Self {
        self.target_leader_recovery_state = state;
        self
    }

    /// A replica that may have lost records when its broker stopped, and so cannot be eligible.
    pub fn unclean_shutdown_replica(mut self, broker_id: i32) -> Self {
        self.unclean_shutdown_replica = Some(broker_id);
        self
    }

    /// The directory in which a broker keeps its replica.
    pub fn directory(mut self, broker_id: i32, directory: Uuid) -> Self {
        self.target_directories.insert(broker_id, directory);
        self
    }

    fn is_acceptable(&self, replica: i32) -> bool {
        (self.environment.is_acceptable_leader)(replica)
    }

    fn is_valid_new_leader(&self, replica: i32) -> bool {
        let eligible = self.target_isr.contains(&replica)
            || (self.target_isr.is_empty() && self.target_elr.contains(&replica));
        eligible && self.is_acceptable(replica)
    }

    fn elect_leader(&self) -> ElectionResult {
        let clean = |node| ElectionResult { node, unclean: false };
        let preferred =
            self.target_replicas.first().copied().filter(|_| self.election == Election::Preferred);
        let candidates =
            preferred.into_iter().chain([self.partition.leader]).chain(self.target_replicas.iter().copied());
        for candidate in candidates {
            if self.is_valid_new_leader(candidate) {
                return clean(candidate);
            }
        }
        if let Some(last) = self.last_known_leader() {
            return ElectionResult { node: last, unclean: true };
        }
        if self.election == Election::Unclean
            && let Some(node) =
                self.target_replicas.iter().copied().find(|replica| self.is_acceptable(*replica))
        {
            return ElectionResult { node, unclean: true };
        }
        clean(NO_LEADER)
    }

    /// The last leader, if nobody is left who is sure to have every record, and it is back.
    fn last_known_leader(&self) -> Option<i32> {
        if !self.environment.elr_enabled || !self.target_elr.is_empty() || !self.target_isr.is_empty() {
            return None;
        }
        match self.partition.last_known_elr.as_slice() {
            [last] if self.is_acceptable(*last) => Some(*last),
            _ => None,
        }
    }

    /// Replicas that leave an ISR which is too small stay eligible.
    ///
    /// Divergence: in Kafka also those that leave with a reassignment. They are not asked to lead, and as long as they count as
    /// eligible nobody else is, the last leader included: such a partition stays without a leader.
    fn populate_target_elr(&mut self) {
        if !self.environment.elr_enabled {
            return;
        }
        if self.target_isr.len() >= self.environment.min_isr {
            self.target_elr.clear();
            return;
        }
        let mut candidates: Vec<i32> = self.target_elr.iter().chain(&self.partition.isr).copied().collect();
        candidates.sort_unstable();
        candidates.dedup();
        candidates.retain(|replica| {
            self.target_replicas.contains(replica)
                && !self.target_isr.contains(replica)
                && self.unclean_shutdown_replica != Some(*replica)
        });
        self.target_elr = candidates;
    }

    fn complete_reassignment_if_needed(&mut self) {
        let reassignment = PartitionReassignmentReplicas {
            removing: self.target_removing.clone(),
            adding: self.target_adding.clone(),
            replicas: self.target_replicas.clone(),
        };
        if let Some((replicas, isr)) = reassignment.maybe_complete(&self.target_isr) {
            self.target_isr = isr;
            self.target_replicas = replicas;
            self.target_removing.clear();
            self.target_adding.clear();
        }
    }

    fn try_election(&mut self, record: &mut PartitionChangeRecord) {
        let elected = self.elect_leader();
        if elected.node == self.partition.leader {
            return;
        }
        if self.target_elr.contains(&elected.node) {
            self.target_isr = vec![elected.node];
            self.target_elr.retain(|replica| *replica != elected.node);
        }
        record.leader = elected.node;
        if elected.unclean {
            // Whoever leads now decides what the partition holds.
            record.isr = Some(vec![elected.node]);
            if self.partition.leader_recovery_state != LeaderRecoveryState::Recovering {
                record.leader_recovery_state = LeaderRecoveryState::Recovering.value();
            }
        }
    }

    fn update_record_elr(&mut self, record: &mut PartitionChangeRecord) {
        let clean = record.isr.is_none();
        if !clean || !self.environment.elr_enabled {
            self.target_elr.clear();
        }
        if self.target_elr != self.partition.elr {
            record.eligible_leader_replicas = Some(self.target_elr.clone());
        }
    }

    fn update_last_known_leader(&self, record: &mut PartitionChangeRecord) {
        if !self.environment.elr_enabled {
            return;
        }
        if record.leader == NO_LEADER && self.partition.last_known_elr.is_empty() {
            record.last_known_elr = Some(vec![self.partition.leader]);
        } else if record.leader >= 0 && !self.partition.last_known_elr.is_empty() {
            record.last_known_elr = Some(Vec::new());
        }
    }

    fn set_assignment_changes(&self, record: &mut PartitionChangeRecord) {
        if !self.target_replicas.is_empty() {
            if self.environment.metadata_version.is_directory_assignment_supported() {
                let directory = |replica: &i32| match self.target_directories.get(replica) {
                    Some(directory) => *directory,
                    None => (self.environment.default_dir)(*replica),
                };
                let directories: Vec<Uuid> = self.target_replicas.iter().map(directory).collect();
                if directories != self.partition.directories {
                    record.directories = Some(directories);
                }
            }
            if self.target_replicas != self.partition.replicas {
                record.replicas = Some(self.target_replicas.clone());
            }
        }
        if self.target_removing != self.partition.removing_replicas {
            record.removing_replicas = Some(self.target_removing.clone());
        }
        if self.target_adding != self.partition.adding_replicas {
            record.adding_replicas = Some(self.target_adding.clone());
        }
    }

    /// The record, or none if nothing changes.
    pub fn build(mut self) -> Option<VersionedRecord> {
        let mut record = PartitionChangeRecord {
            topic_id: self.topic_id,
            partition_id: self.partition_id,
            ..PartitionChangeRecord::default()
        };
        self.complete_reassignment_if_needed();
        self.populate_target_elr();
        self.try_election(&mut record);
        // Followers must notice that replicas left: the leader epoch moves with the replicas.
        let keeps_replicas =
            self.partition.replicas.iter().all(|replica| self.target_replicas.contains(replica));
        if record.leader == NO_LEADER_CHANGE && !keeps_replicas {
            record.leader = self.partition.leader;
        }
        self.update_record_elr(&mut record);
        if record.isr.is_none()
            && (!self.target_isr.is_empty() || self.environment.elr_enabled)
            && self.target_isr != self.partition.isr
        {
            record.isr = Some(self.target_isr.clone());
        }
        if self.environment.metadata_version.is_leader_epoch_bump_required_on_isr_shrink()
            && record.leader == NO_LEADER_CHANGE
            && let Some(isr) = &record.isr
            && !self.partition.isr.iter().all(|replica| isr.contains(replica))
        {
            record.leader = self.partition.leader;
        }
        self.update_last_known_leader(&mut record);
        self.set_assignment_changes(&mut record);
        if self.target_leader_recovery_state != self.partition.leader_recovery_state {
            record.leader_recovery_state = self.target_leader_recovery_state.value();
        }
        let changes_nothing = record
            == PartitionChangeRecord {
                topic_id: self.topic_id,
                partition_id: self.partition_id,
                ..PartitionChangeRecord::default()
            };
        let version = self.environment.metadata_version.partition_change_record_version();
        (!changes_nothing).then(|| (record.into(), version))
    }
}
