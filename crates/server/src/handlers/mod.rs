//! One file per API (`KafkaApis`, `ControllerApis`).

pub(crate) mod alter_configs;
pub(crate) mod alter_replica_log_dirs;
pub(crate) mod api_versions;
pub(crate) mod authorized_operations;
pub(crate) mod configs;
pub(crate) mod controller;
pub(crate) mod delete_records;
pub(crate) mod describe_client_quotas;
pub(crate) mod describe_cluster;
pub(crate) mod describe_log_dirs;
pub(crate) mod describe_producers;
pub(crate) mod describe_quorum;
pub(crate) mod describe_topic_partitions;
pub(crate) mod envelope;
pub(crate) mod fetch;
pub(crate) mod find_coordinator;
pub(crate) mod forward;
pub(crate) mod get_telemetry_subscriptions;
pub(crate) mod groups;
pub(crate) mod init_producer_id;
pub(crate) mod internal_topics;
pub(crate) mod list_config_resources;
pub(crate) mod list_offsets;
pub(crate) mod metadata;
pub(crate) mod offset_for_leader_epoch;
pub(crate) mod produce;
pub(crate) mod push_telemetry;
pub(crate) mod quorum;
pub(crate) mod streams_groups;

use std::sync::Arc;

use network::{Handled, Outbox};
use protocol::ApiKey;
use protocol::messages::{
    AddRaftVoterRequest, AlterClientQuotasRequest, AlterPartitionReassignmentsRequest,
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeQuorumRequest,
    ElectLeadersRequest, ListPartitionReassignmentsRequest, RemoveRaftVoterRequest, UnregisterBrokerRequest,
    UnregisterControllerRequest, UpdateFeaturesRequest,
};

use crate::broker::Broker;
use crate::handlers::forward::forward;
use crate::request::{BadRequest, Request};

/// Serves a request whose version was checked.
pub(crate) fn dispatch(
    broker: &Arc<Broker>,
    request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    match request.head.api {
        ApiKey::Produce => produce::handle(broker, request, out),
        ApiKey::Fetch => fetch::handle(broker, request, out),
        ApiKey::ListOffsets => list_offsets::handle(broker, request, out),
        ApiKey::Metadata => metadata::handle(broker, request, out),
        ApiKey::ApiVersions => api_versions::handle(&api_versions::About::broker(broker), request, out),
        ApiKey::FindCoordinator => find_coordinator::handle(broker, request),
        ApiKey::OffsetCommit
        | ApiKey::OffsetFetch
        | ApiKey::JoinGroup
        | ApiKey::Heartbeat
        | ApiKey::LeaveGroup
        | ApiKey::SyncGroup
        | ApiKey::DescribeGroups
        | ApiKey::ListGroups
        | ApiKey::DeleteGroups
        | ApiKey::OffsetDelete
        | ApiKey::ConsumerGroupHeartbeat
        | ApiKey::ConsumerGroupDescribe => groups::handle(broker, request, out),
        ApiKey::StreamsGroupHeartbeat
        | ApiKey::StreamsGroupDescribe
        | ApiKey::StreamsGroupTopologyDescriptionUpdate => streams_groups::handle(broker, request, out),
        ApiKey::DeleteRecords => delete_records::handle(broker, request, out),
        ApiKey::InitProducerId => init_producer_id::handle(broker, request),
        ApiKey::OffsetForLeaderEpoch => offset_for_leader_epoch::handle(broker, request, out),
        ApiKey::DescribeConfigs => configs::describe(broker, request, out),
        ApiKey::AlterReplicaLogDirs => alter_replica_log_dirs::handle(broker, request, out),
        ApiKey::DescribeLogDirs => describe_log_dirs::handle(broker, request, out),
        ApiKey::DescribeProducers => describe_producers::handle(broker, request, out),
        ApiKey::DescribeQuorum => forward::<DescribeQuorumRequest>(broker, request),
        ApiKey::DescribeCluster => describe_cluster::brokers(broker, request, out),
        ApiKey::DescribeTopicPartitions => describe_topic_partitions::handle(broker, request, out),
        ApiKey::AlterConfigs => alter_configs::legacy(broker, request),
        ApiKey::IncrementalAlterConfigs => alter_configs::incremental(broker, request),
        ApiKey::CreateTopics => forward::<CreateTopicsRequest>(broker, request),
        ApiKey::DeleteTopics => forward::<DeleteTopicsRequest>(broker, request),
        ApiKey::CreatePartitions => forward::<CreatePartitionsRequest>(broker, request),
        ApiKey::ElectLeaders => forward::<ElectLeadersRequest>(broker, request),
        ApiKey::AlterPartitionReassignments => forward::<AlterPartitionReassignmentsRequest>(broker, request),
        ApiKey::ListPartitionReassignments => forward::<ListPartitionReassignmentsRequest>(broker, request),
        ApiKey::UpdateFeatures => forward::<UpdateFeaturesRequest>(broker, request),
        ApiKey::AddRaftVoter => forward::<AddRaftVoterRequest>(broker, request),
        ApiKey::RemoveRaftVoter => forward::<RemoveRaftVoterRequest>(broker, request),
        ApiKey::UnregisterBroker => forward::<UnregisterBrokerRequest>(broker, request),
        ApiKey::UnregisterController => forward::<UnregisterControllerRequest>(broker, request),
        ApiKey::AlterClientQuotas => forward::<AlterClientQuotasRequest>(broker, request),
        ApiKey::DescribeClientQuotas => describe_client_quotas::handle(broker, request, out),
        ApiKey::GetTelemetrySubscriptions => get_telemetry_subscriptions::handle(broker, request, out),
        ApiKey::PushTelemetry => push_telemetry::handle(broker, request, out),
        ApiKey::ListConfigResources => list_config_resources::handle(broker, request, out),
        other => Err(BadRequest::NotServed(other)),
    }
}
