//! AlterPartitionReassignments and ListPartitionReassignments
//! (`ReplicationControlManager.alterPartitionReassignments`, KIP-455).

use std::collections::{BTreeMap, BTreeSet};

use common::{ErrorCode, TopicIdPartition};
use metadata::{PartitionRegistration, VersionedRecord};
use protocol::messages::alter_partition_reassignments_request::ReassignablePartition;
use protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use protocol::messages::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

use crate::api_error::{ApiError, code_and_message};
use crate::partition_change_builder::{Election, PartitionChangeBuilder};
use crate::quorum_controller::QuorumController;
use crate::reassignment::{PartitionReassignmentReplicas, PartitionReassignmentRevert};
use crate::replication_control::TopicControlInfo;
use crate::result::ControllerResult;
use crate::state::ControllerState;

impl QuorumController {
    /// Begins, changes and takes back reassignments. Each partition stands or falls by itself.
    pub fn alter_partition_reassignments(
        &self,
        request: &AlterPartitionReassignmentsRequest,
    ) -> ControllerResult<AlterPartitionReassignmentsResponse> {
        let allow_replication_factor_change = request.allow_replication_factor_change;
        if !self.is_active() {
            let (error_code, error_message) = (ErrorCode::NotController.code(), None);
            let response =
                AlterPartitionReassignmentsResponse { error_code, error_message, ..Default::default() };
            return ControllerResult::of(Vec::new(), response);
        }
        let mut records = Vec::new();
        let mut responses = Vec::new();
        for topic in &request.topics {
            let mut partitions = Vec::new();
            for target in &topic.partitions {
                let made =
                    self.state.alter_reassignment(&topic.name, target, allow_replication_factor_change);
                let outcome = made.map(|record| records.extend(record));
                let (error_code, error_message) = code_and_message(outcome);
                let partition_index = target.partition_index;
                partitions.push(ReassignablePartitionResponse { partition_index, error_code, error_message });
            }
            responses.push(ReassignableTopicResponse { name: topic.name.clone(), partitions });
        }
        let response = AlterPartitionReassignmentsResponse {
            allow_replication_factor_change,
            error_message: None,
            responses,
            ..Default::default()
        };
        ControllerResult::atomic_of(records, response)
    }

    /// Lists the reassignments under way, of some partitions or of all.
    pub fn list_partition_reassignments(
        &self,
        request: &ListPartitionReassignmentsRequest,
    ) -> ListPartitionReassignmentsResponse {
        let replication = &self.state.replication;
        let mut wanted: Vec<(&TopicControlInfo, Vec<i32>)> = Vec::new();
        match &request.topics {
            Some(topics) => {
                for topic in topics {
                    if let Some(found) = replication.topic_by_name(&topic.name) {
                        wanted.push((found, topic.partition_indexes.clone()));
                    }
                }
            }
            None => {
                let mut by_topic: BTreeMap<_, Vec<i32>> = BTreeMap::new();
                for id in replication.reassigning_partitions() {
                    by_topic.entry(id.topic_id).or_default().push(id.partition);
                }
                wanted.extend(
                    by_topic.into_iter().filter_map(|(id, parts)| Some((replication.topic(&id)?, parts))),
                );
            }
        }
        let topics = wanted.into_iter().filter_map(|(topic, indexes)| {
            let ongoing = indexes.into_iter().filter_map(|partition_index| {
                let partition = topic.parts.get(&partition_index)?;
                partition.is_reassignment_in_progress().then(|| OngoingPartitionReassignment {
                    partition_index,
                    replicas: partition.replicas.clone(),
                    adding_replicas: partition.adding_replicas.clone(),
                    removing_replicas: partition.removing_replicas.clone(),
                })
            });
            let partitions: Vec<_> = ongoing.collect();
            (!partitions.is_empty())
                .then(|| OngoingTopicReassignment { name: topic.name.to_string(), partitions })
        });
        ListPartitionReassignmentsResponse {
            error_message: None,
            topics: topics.collect(),
            ..Default::default()
        }
    }
}

impl ControllerState {
    fn alter_reassignment(
        &self,
        name: &str,
        target: &ReassignablePartition,
        allow_factor_change: bool,
    ) -> Result<Option<VersionedRecord>, ApiError> {
        let unknown = |message| ApiError::new(ErrorCode::UnknownTopicOrPartition, message);
        let topic = self.replication.topic_by_name(name);
        let topic = topic.ok_or_else(|| unknown(format!("Unable to find a topic named {name}.")))?;
        let index = target.partition_index;
        let partition = topic.parts.get(&index);
        let partition =
            partition.ok_or_else(|| unknown(format!("Unable to find partition {name}:{index}.")))?;
        let id = TopicIdPartition { topic_id: topic.id, partition: index };
        match &target.replicas {
            None => self.cancel_reassignment(topic, id, partition),
            Some(replicas) => self.change_reassignment(topic, id, partition, replicas, allow_factor_change),
        }
    }

    fn cancel_reassignment(
        &self,
        topic: &TopicControlInfo,
        id: TopicIdPartition,
        partition: &PartitionRegistration,
    ) -> Result<Option<VersionedRecord>, ApiError> {
        if !partition.is_reassignment_in_progress() {
            return Err(ApiError::silent(ErrorCode::NoReassignmentInProgress));
        }
        let invalid = |message| ApiError::new(ErrorCode::InvalidReplicaAssignment, message);
        let revert = PartitionReassignmentRevert::of(partition).ok_or_else(|| {
            invalid("Invalid replica assignment: addingReplicas contains all replicas.".to_owned())
        })?;
        let election = self.topic_election(topic);
        if revert.unclean && election != Election::Unclean {
            return Err(invalid(format!(
                "Unable to revert partition assignment for {}:{} because it would require an unclean leader election.",
                topic.name, id.partition
            )));
        }
        let may_lead = |broker| self.cluster.is_active(broker);
        Ok(self.with_environment(topic, partition, &may_lead, |environment| {
            PartitionChangeBuilder::new(partition, id.topic_id, id.partition, environment)
                .election(election)
                .target_isr(revert.isr)
                .target_replicas(revert.replicas, Vec::new(), Vec::new())
                .build()
        }))
    }

    fn change_reassignment(
        &self,
        topic: &TopicControlInfo,
        id: TopicIdPartition,
        partition: &PartitionRegistration,
        target: &[i32],
        allow_factor_change: bool,
    ) -> Result<Option<VersionedRecord>, ApiError> {
        self.validate_manual_assignment(target, None)?;
        if !allow_factor_change {
            let mut current: BTreeSet<i32> = partition.replicas.iter().copied().collect();
            if partition.is_reassignment_in_progress() {
                current.extend(&partition.adding_replicas);
                current.retain(|replica| !partition.removing_replicas.contains(replica));
            }
            if current.len() != target.len() {
                let message =
                    format!("The replication factor is changed from {} to {}", current.len(), target.len());
                return Err(ApiError::new(ErrorCode::InvalidReplicationFactor, message));
            }
        }
        let moving = PartitionReassignmentReplicas::between(&partition.replicas, target);
        // Where nothing is to be added, what an earlier move adds stays so.
        // Divergence: Kafka keeps all of that, and in the same way what an earlier move removes. A replica that was on its way in and
        // is not wanted any more would have to come in sync before it may go, and be waited for without end; one that was on its way
        // out and is wanted again would go.
        let kept = || partition.adding_replicas.iter().copied().filter(|replica| target.contains(replica));
        let adding = if moving.adding.is_empty() { kept().collect() } else { moving.adding };
        let removing = moving.removing;
        let may_lead = |broker| self.cluster.is_active(broker);
        Ok(self.with_environment(topic, partition, &may_lead, |environment| {
            PartitionChangeBuilder::new(partition, id.topic_id, id.partition, environment)
                .target_replicas(moving.replicas, removing, adding)
                .build()
        }))
    }
}
