//! AlterPartition: leaders change their ISR (`ReplicationControlManager.alterPartition`).

use common::ErrorCode;
use metadata::{
    LeaderRecoveryState, MetadataRecord, NO_LEADER_CHANGE, PartitionRegistration, VersionedRecord,
};
use protocol::messages::alter_partition_request;
use protocol::messages::alter_partition_response::{PartitionData, TopicData};
use protocol::messages::{AlterPartitionRequest, AlterPartitionResponse};

use crate::partition_change_builder::PartitionChangeBuilder;
use crate::quorum_controller::QuorumController;
use crate::replication_control::TopicControlInfo;
use crate::result::{ControllerRequestContext, ControllerResult};
use crate::state::ControllerState;

impl QuorumController {
    /// Takes what a leader says of its partitions' ISR and recovery.
    pub fn alter_partition(
        &self,
        context: &ControllerRequestContext<'_>,
        request: &AlterPartitionRequest,
    ) -> ControllerResult<AlterPartitionResponse> {
        let failed = |error: ErrorCode| {
            let response = AlterPartitionResponse { error_code: error.code(), ..Default::default() };
            ControllerResult::of(Vec::new(), response)
        };
        if request.topics.is_empty() {
            // As in Kafka, whoever asks for nothing is not even looked at.
            return failed(ErrorCode::None);
        }
        if !self.is_active() {
            return failed(ErrorCode::NotController);
        }
        if let Err(error) = self.state.cluster.check_broker_epoch(request.broker_id, request.broker_epoch) {
            return failed(error.error);
        }
        let mut records = Vec::new();
        let mut topics = Vec::new();
        for topic_data in &request.topics {
            let topic = self.state.replication.topic(&topic_data.topic_id);
            let mut partitions = Vec::new();
            for data in &topic_data.partitions {
                let outcome = match topic {
                    None => Err(ErrorCode::UnknownTopicId),
                    Some(topic) => self.state.alter_partition(
                        request.broker_id,
                        topic,
                        data,
                        context.api_version,
                        &mut records,
                    ),
                };
                partitions.push(outcome.unwrap_or_else(|error| PartitionData {
                    partition_index: data.partition_index,
                    error_code: error.code(),
                    ..PartitionData::default()
                }));
            }
            topics.push(TopicData { topic_id: topic_data.topic_id, partitions });
        }
        ControllerResult::of(records, AlterPartitionResponse { topics, ..Default::default() })
    }
}

impl ControllerState {
    fn alter_partition(
        &self,
        broker_id: i32,
        topic: &TopicControlInfo,
        data: &alter_partition_request::PartitionData,
        api_version: i16,
        records: &mut Vec<VersionedRecord>,
    ) -> Result<PartitionData, ErrorCode> {
        // Before version 3 the ISR came without the brokers' epochs.
        let new_isr: Vec<(i32, i64)> = if api_version < 3 {
            data.new_isr.iter().map(|broker| (*broker, -1)).collect()
        } else {
            data.new_isr_with_epochs.iter().map(|state| (state.broker_id, state.broker_epoch)).collect()
        };
        let partition = topic.parts.get(&data.partition_index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let target_state = self.validate_alter_partition(broker_id, partition, data, &new_isr)?;
        let may_lead = |broker| self.cluster.is_active(broker);
        let record = self.with_environment(topic, partition, &may_lead, |environment| {
            PartitionChangeBuilder::new(partition, topic.id, data.partition_index, environment)
                .election(self.topic_election(topic))
                .target_isr(new_isr.iter().map(|(broker, _)| *broker).collect())
                .target_leader_recovery_state(target_state)
                .build()
        });
        let mut now = (**partition).clone();
        if let Some((record, version)) = record {
            let MetadataRecord::PartitionChange(change) = &record else {
                return Err(ErrorCode::UnknownServerError);
            };
            now = partition.merge(change).map_err(|_| ErrorCode::UnknownServerError)?;
            let new_leader = change.leader;
            records.push((record, version));
            if new_leader != broker_id && new_leader != NO_LEADER_CHANGE {
                // The change ended a reassignment that took the leader away.
                return Err(ErrorCode::NewLeaderElected);
            }
        }
        Ok(PartitionData {
            partition_index: data.partition_index,
            error_code: ErrorCode::None.code(),
            leader_id: now.leader,
            leader_epoch: now.leader_epoch,
            isr: now.isr,
            leader_recovery_state: now.leader_recovery_state.value(),
            partition_epoch: now.partition_epoch,
        })
    }

    fn validate_alter_partition(
        &self,
        broker_id: i32,
        partition: &PartitionRegistration,
        data: &alter_partition_request::PartitionData,
        new_isr: &[(i32, i64)],
    ) -> Result<LeaderRecoveryState, ErrorCode> {
        if data.leader_epoch > partition.leader_epoch || data.partition_epoch > partition.partition_epoch {
            // The broker knows more than this controller: another one must be active.
            return Err(ErrorCode::NotController);
        }
        if data.leader_epoch < partition.leader_epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if broker_id != partition.leader {
            return Err(ErrorCode::InvalidRequest);
        }
        if data.partition_epoch < partition.partition_epoch {
            return Err(ErrorCode::InvalidUpdateVersion);
        }
        let mut isr: Vec<i32> = new_isr.iter().map(|(broker, _)| *broker).collect();
        isr.sort_unstable();
        let is_set = isr.windows(2).all(|pair| pair[0] != pair[1]);
        let are_replicas = isr.iter().all(|broker| partition.replicas.contains(broker));
        if !is_set || !are_replicas || !isr.contains(&partition.leader) {
            return Err(ErrorCode::InvalidRequest);
        }
        let state =
            LeaderRecoveryState::from_value(data.leader_recovery_state).ok_or(ErrorCode::InvalidRequest)?;
        if state == LeaderRecoveryState::Recovering
            && (isr.len() > 1 || partition.leader_recovery_state == LeaderRecoveryState::Recovered)
        {
            return Err(ErrorCode::InvalidRequest);
        }
        let is_eligible = |(broker, epoch): &(i32, i64)| {
            let broker = self.cluster.broker(*broker);
            broker.is_some_and(|broker| broker.is_active() && (*epoch == -1 || *epoch == broker.epoch))
        };
        if !new_isr.iter().all(is_eligible) {
            return Err(ErrorCode::IneligibleReplica);
        }
        Ok(state)
    }
}
