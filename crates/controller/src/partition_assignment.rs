//! New partitions: where their replicas go and what the records say of them (`PartitionAssignment`,
//! `ReplicationControlManager.validateManualPartitionAssignment`).

use common::{ErrorCode, Uuid};
use metadata::{ImageWriter, LeaderRecoveryState, PartitionRegistration, VersionedRecord};

use crate::api_error::ApiError;
use crate::placement::{PlacementError, UsableBroker, place};
use crate::quorum_controller::QuorumController;
use crate::random::Random;
use crate::state::ControllerState;

impl QuorumController {
    /// Places replicas on the brokers that may get any.
    pub(crate) fn place_replicas(
        &self,
        random: &mut Random,
        partitions: usize,
        replication_factor: i16,
    ) -> Result<Vec<Vec<i32>>, PlacementError> {
        let known = self.heartbeats.iter().flat_map(|heartbeats| heartbeats.usable());
        let usable: Vec<UsableBroker> = known
            .filter_map(|(id, fenced)| {
                let broker = self.state.cluster.broker(id).filter(|broker| broker.has_uncordoned_dirs())?;
                Some(UsableBroker { id, rack: broker.rack.clone(), fenced })
            })
            .collect();
        place(random, partitions, replication_factor, &usable)
    }
}

impl ControllerState {
    /// Those of some replicas that are up.
    pub(crate) fn active_replicas(&self, replicas: &[i32]) -> Vec<i32> {
        replicas.iter().copied().filter(|replica| self.cluster.is_active(*replica)).collect()
    }

    /// A new partition, led by the first replica that is up.
    pub(crate) fn new_partition(&self, replicas: Vec<i32>, isr: Vec<i32>) -> PartitionRegistration {
        let directories = replicas.iter().map(|replica| self.default_dir(*replica)).collect();
        PartitionRegistration {
            directories,
            replicas,
            leader: isr.first().copied().unwrap_or(metadata::NO_LEADER),
            isr,
            removing_replicas: Vec::new(),
            adding_replicas: Vec::new(),
            elr: Vec::new(),
            last_known_elr: Vec::new(),
            leader_recovery_state: LeaderRecoveryState::Recovered,
            leader_epoch: 0,
            partition_epoch: 0,
        }
    }

    /// The record of a new partition, at the finalised levels.
    pub(crate) fn partition_record(
        &self,
        topic_id: Uuid,
        partition_id: i32,
        partition: &PartitionRegistration,
    ) -> VersionedRecord {
        let version = self.features.metadata_version_or_minimum();
        let mut writer = ImageWriter::new(version, self.features.is_elr_enabled());
        let record = partition.to_record(topic_id, partition_id, &mut writer);
        (record.into(), version.partition_record_version())
    }

    /// Checks replicas that somebody chose. `replication_factor` is that of the topic's other partitions.
    pub(crate) fn validate_manual_assignment(
        &self,
        replicas: &[i32],
        replication_factor: Option<usize>,
    ) -> Result<(), ApiError> {
        let invalid = |message: String| Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
        if replicas.is_empty() {
            return invalid("The manual partition assignment includes an empty replica list.".to_owned());
        }
        let mut sorted = replicas.to_vec();
        sorted.sort_unstable();
        for (index, id) in sorted.iter().enumerate() {
            let Some(broker) = self.cluster.broker(*id) else {
                return invalid(format!(
                    "The manual partition assignment includes broker {id}, but no such broker is registered."
                ));
            };
            if !broker.has_uncordoned_dirs() {
                return invalid(format!(
                    "The manual partition assignment includes broker {id}, but all its log directories are cordoned."
                ));
            }
            if index > 0 && sorted[index - 1] == *id {
                return invalid(format!(
                    "The manual partition assignment includes the broker {id} more than once."
                ));
            }
        }
        if let Some(factor) = replication_factor
            && sorted.len() != factor
        {
            return invalid(format!(
                "The manual partition assignment includes a partition with {} replica(s), but this is not consistent with previous partitions, which have {factor} replica(s).",
                sorted.len()
            ));
        }
        Ok(())
    }
}
