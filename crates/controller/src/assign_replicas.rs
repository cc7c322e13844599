//! AssignReplicasToDirs: brokers say in which directory they keep a replica
//! (`ReplicationControlManager.handleAssignReplicasToDirs`, KIP-858).

use std::collections::BTreeSet;

use common::{ErrorCode, TopicIdPartition, Uuid};
use metadata::VersionedRecord;
use protocol::messages::assign_replicas_to_dirs_response::{DirectoryData, PartitionData, TopicData};
use protocol::messages::{AssignReplicasToDirsRequest, AssignReplicasToDirsResponse};

use crate::partition_change_builder::PartitionChangeBuilder;
use crate::quorum_controller::QuorumController;
use crate::result::ControllerResult;
use crate::state::ControllerState;

impl QuorumController {
    /// Puts on record in which directories a broker keeps its replicas.
    pub fn assign_replicas_to_dirs(
        &self,
        request: &AssignReplicasToDirsRequest,
    ) -> ControllerResult<AssignReplicasToDirsResponse> {
        let failed = |error: ErrorCode| {
            let response = AssignReplicasToDirsResponse { error_code: error.code(), ..Default::default() };
            ControllerResult::of(Vec::new(), response)
        };
        if !self.is_active() {
            return failed(ErrorCode::NotController);
        }
        if !self.state.features.metadata_version_or_minimum().is_directory_assignment_supported() {
            return failed(ErrorCode::UnsupportedVersion);
        }
        let broker_id = request.broker_id;
        let broker = match self.state.cluster.check_broker_epoch(broker_id, request.broker_epoch) {
            Ok(broker) => broker,
            Err(error) => return failed(error.error),
        };
        let mut records = Vec::new();
        let mut offline = BTreeSet::new();
        let mut directories = Vec::new();
        for directory in &request.directories {
            let is_offline = !broker.has_online_dir(directory.id);
            let mut topics = Vec::new();
            for topic in &directory.topics {
                let mut partitions = Vec::new();
                for partition in &topic.partitions {
                    let partition_index = partition.partition_index;
                    let id = TopicIdPartition { topic_id: topic.topic_id, partition: partition_index };
                    let outcome = self.state.assign_replica(broker_id, id, directory.id, &mut records);
                    if outcome == ErrorCode::None && is_offline {
                        offline.insert(id);
                    }
                    partitions.push(PartitionData { partition_index, error_code: outcome.code() });
                }
                topics.push(TopicData { topic_id: topic.topic_id, partitions });
            }
            directories.push(DirectoryData { id: directory.id, topics });
        }
        self.state.handle_replicas_offline(broker_id, offline.into_iter().collect(), &mut records);
        ControllerResult::of(records, AssignReplicasToDirsResponse { directories, ..Default::default() })
    }
}

impl ControllerState {
    fn assign_replica(
        &self,
        broker_id: i32,
        id: TopicIdPartition,
        directory: Uuid,
        records: &mut Vec<VersionedRecord>,
    ) -> ErrorCode {
        let Some(topic) = self.replication.topic(&id.topic_id) else { return ErrorCode::UnknownTopicId };
        let Some(partition) = topic.parts.get(&id.partition) else {
            return ErrorCode::UnknownTopicOrPartition;
        };
        if !partition.replicas.contains(&broker_id) {
            return ErrorCode::NotLeaderOrFollower;
        }
        let may_lead = |broker| self.cluster.is_active(broker);
        let record = self.with_environment(topic, partition, &may_lead, |environment| {
            PartitionChangeBuilder::new(partition, id.topic_id, id.partition, environment)
                .directory(broker_id, directory)
                .build()
        });
        records.extend(record);
        ErrorCode::None
    }
}
