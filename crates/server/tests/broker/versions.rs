//! Every API that is served, in every version that is advertised: a sensible request, and the right facts in the answer.

use common::{ErrorCode, Uuid};
use protocol::ApiKey;
use protocol::messages::*;

use crate::harness::{Broker, Client, NODE, TIMESTAMP, Topic};
use crate::harness::{batch, error, fetch_request, values};

mod admin;
mod cluster;
pub use groups::wait_for_coordinator;

pub mod groups;
mod quorum;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_version_is_answered_on_the_broker_listener() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    ask_everything(&broker, &mut client).await;
}

/// Asks in every version that the broker listener serves.
pub async fn ask_everything(broker: &Broker, client: &mut Client) {
    let apis = client.api_versions().await;
    assert!(apis.len() >= 30, "{apis:?}");
    let topic = client.create_topic("versions", 2, &[]).await;
    for api in apis {
        let Some(key) = ApiKey::from_code(api.api_key) else { continue };
        let first = if key == ApiKey::Produce { 3 } else { api.min_version };
        for version in first..=api.max_version {
            if !on_broker(broker, client, &topic, key, version).await {
                assert!(broker.is_elsewhere(), "{key} is served: say here what a sensible request is");
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_version_is_answered_on_the_controller_listener() {
    let broker = Broker::start().await;
    let mut client = broker.connect_to_controller().await;
    let apis = client.api_versions().await;
    assert!(apis.len() >= 11, "{apis:?}");
    for api in apis {
        let Some(key) = ApiKey::from_code(api.api_key) else { continue };
        for version in api.min_version..=api.max_version {
            if !on_controller(&broker, &mut client, key, version).await {
                assert!(broker.is_elsewhere(), "{key} is served: say here what a sensible request is");
                break;
            }
        }
    }
}

#[track_caller]
fn ok(code: i16) {
    assert_eq!(error(code), ErrorCode::None);
}

/// Asks in one version. False where this test does not know the API.
async fn on_broker(broker: &Broker, client: &mut Client, topic: &Topic, api: ApiKey, version: i16) -> bool {
    match api {
        ApiKey::Produce => produce(client, topic, version).await,
        ApiKey::Fetch => fetch(client, topic, version).await,
        ApiKey::ListOffsets => list_offsets(client, topic, version).await,
        ApiKey::Metadata => metadata(broker, client, topic, version).await,
        ApiKey::DeleteRecords => delete_records(client, version).await,
        ApiKey::InitProducerId => init_producer_id(client, version).await,
        ApiKey::OffsetForLeaderEpoch => offset_for_leader_epoch(client, topic, version).await,
        ApiKey::DescribeConfigs => admin::describe_configs(client, topic, version).await,
        ApiKey::AlterReplicaLogDirs => admin::alter_replica_log_dirs(client, topic, version).await,
        ApiKey::DescribeLogDirs => admin::describe_log_dirs(client, topic, version).await,
        ApiKey::DescribeProducers => admin::describe_producers(client, version).await,
        ApiKey::DescribeClientQuotas => cluster::describe_client_quotas(broker, client, version).await,
        ApiKey::GetTelemetrySubscriptions | ApiKey::PushTelemetry => {
            cluster::client_metrics(client, version).await;
        }
        ApiKey::ListConfigResources => cluster::list_config_resources(client, topic, version).await,
        ApiKey::DescribeTopicPartitions => admin::describe_topic_partitions(client, topic, version).await,
        ApiKey::OffsetCommit
        | ApiKey::OffsetFetch
        | ApiKey::FindCoordinator
        | ApiKey::JoinGroup
        | ApiKey::SyncGroup
        | ApiKey::Heartbeat
        | ApiKey::LeaveGroup
        | ApiKey::DescribeGroups
        | ApiKey::ListGroups
        | ApiKey::DeleteGroups
        | ApiKey::OffsetDelete
        | ApiKey::ConsumerGroupHeartbeat
        | ApiKey::ConsumerGroupDescribe
        | ApiKey::StreamsGroupHeartbeat
        | ApiKey::StreamsGroupDescribe
        | ApiKey::StreamsGroupTopologyDescriptionUpdate => {
            groups::ask(broker, client, topic, api, version).await;
        }
        _ => return on_both(broker, client, api, version, 1).await,
    }
    true
}

async fn on_controller(broker: &Broker, client: &mut Client, api: ApiKey, version: i16) -> bool {
    match api {
        // The rights of these are a broker's: this asks as one that is not known.
        ApiKey::AllocateProducerIds => {
            let request = AllocateProducerIdsRequest { broker_id: 77, broker_epoch: 1 };
            let response = client.call(version, &request).await;
            assert_eq!(error(response.error_code), ErrorCode::StaleBrokerEpoch);
        }
        ApiKey::BrokerHeartbeat => {
            let request = BrokerHeartbeatRequest {
                broker_id: 77,
                broker_epoch: 1,
                ..BrokerHeartbeatRequest::default()
            };
            let response = client.call(version, &request).await;
            assert_eq!(error(response.error_code), ErrorCode::StaleBrokerEpoch);
        }
        ApiKey::BrokerRegistration => {
            let request = BrokerRegistrationRequest {
                broker_id: 77,
                cluster_id: "another-cluster".to_owned(),
                incarnation_id: Uuid::random(),
                ..BrokerRegistrationRequest::default()
            };
            let response = client.call(version, &request).await;
            assert_eq!(error(response.error_code), ErrorCode::InconsistentClusterId);
        }
        ApiKey::AlterPartition => cluster::alter_partition(client, version).await,
        ApiKey::DescribeConfigs => cluster::describe_controllers_configs(client, version).await,
        ApiKey::AssignReplicasToDirs => cluster::assign_replicas_to_dirs(client, version).await,
        ApiKey::ControllerRegistration => cluster::controller_registration(client, version).await,
        ApiKey::Envelope => cluster::envelope(broker, client, version).await,
        ApiKey::Fetch
        | ApiKey::FetchSnapshot
        | ApiKey::Vote
        | ApiKey::BeginQuorumEpoch
        | ApiKey::EndQuorumEpoch
        | ApiKey::UpdateRaftVoter => return quorum::ask(client, api, version).await,
        _ => return on_both(broker, client, api, version, 2).await,
    }
    true
}

/// What both kinds of listeners serve. `endpoint_type`: 1 for brokers, 2 for controllers.
async fn on_both(broker: &Broker, client: &mut Client, api: ApiKey, version: i16, endpoint_type: i8) -> bool {
    match api {
        ApiKey::ApiVersions => api_versions(client, version).await,
        ApiKey::CreateTopics => admin::create_topics(client, version).await,
        ApiKey::DeleteTopics => admin::delete_topics(client, version).await,
        ApiKey::CreatePartitions => admin::create_partitions(client, version).await,
        ApiKey::AlterConfigs => admin::alter_configs(client, version).await,
        ApiKey::IncrementalAlterConfigs => admin::incremental_alter_configs(client, version).await,
        ApiKey::DescribeQuorum => admin::describe_quorum(client, version).await,
        ApiKey::DescribeCluster => admin::describe_cluster(broker, client, version, endpoint_type).await,
        ApiKey::AddRaftVoter | ApiKey::RemoveRaftVoter => return quorum::ask(client, api, version).await,
        ApiKey::ElectLeaders => cluster::elect_leaders(client, version).await,
        ApiKey::AlterPartitionReassignments => cluster::alter_partition_reassignments(client, version).await,
        ApiKey::ListPartitionReassignments => cluster::list_partition_reassignments(client, version).await,
        ApiKey::UpdateFeatures => cluster::update_features(client, version).await,
        ApiKey::UnregisterBroker => cluster::unregister_broker(client, version).await,
        ApiKey::UnregisterController => cluster::unregister_controller(client, version).await,
        ApiKey::AlterClientQuotas => cluster::alter_client_quotas(client, version).await,
        _ => return false,
    }
    true
}

async fn api_versions(client: &mut Client, version: i16) {
    let request = ApiVersionsRequest {
        client_software_name: "test".to_owned(),
        client_software_version: "1.0".to_owned(),
        ..ApiVersionsRequest::default()
    };
    let response = client.call(version, &request).await;
    ok(response.error_code);
    let own = response.api_keys.iter().find(|api| api.api_key == ApiKey::ApiVersions.code()).unwrap();
    assert_eq!((own.min_version, own.max_version), (0, 5));
    if version >= 3 {
        let level = |name: &str| {
            let feature = response.finalized_features.iter().find(|feature| feature.name == name);
            feature.map(|feature| feature.max_version_level)
        };
        assert!(
            level("metadata.version").is_some_and(|level| level >= 7),
            "{:?}",
            response.finalized_features
        );
        assert!(response.finalized_features_epoch >= 0);
        assert!(response.supported_features.iter().any(|feature| feature.name == "metadata.version"));
    }
}

async fn produce(client: &mut Client, topic: &Topic, version: i16) {
    let before = end_of(client, topic).await;
    let records = batch(&["one", "two"]);
    let response = client.produce_as(version, -1, topic, 0, &records).await;
    ok(response.error_code);
    assert_eq!(response.base_offset, before);
    assert_eq!(response.log_append_time_ms, -1);
    assert_eq!(response.log_start_offset, if version >= 5 { 0 } else { -1 });
    assert_eq!(end_of(client, topic).await, before + 2);
}

async fn end_of(client: &mut Client, topic: &Topic) -> i64 {
    list_offset(client, 7, topic, -1).await.0
}

/// Offset and timestamp.
async fn list_offset(client: &mut Client, version: i16, topic: &Topic, timestamp: i64) -> (i64, i64) {
    use list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: topic.name.clone(),
            partitions: vec![ListOffsetsPartition { timestamp, ..ListOffsetsPartition::default() }],
        }],
        ..ListOffsetsRequest::default()
    };
    let response = client.call(version, &request).await;
    assert_eq!(response.topics[0].name, topic.name);
    let partition = &response.topics[0].partitions[0];
    ok(partition.error_code);
    assert_eq!(partition.leader_epoch, if version >= 4 { 0 } else { -1 });
    (partition.offset, partition.timestamp)
}

async fn list_offsets(client: &mut Client, topic: &Topic, version: i16) {
    let end = client.produce(topic, &batch(&["a"])).await + 1;
    assert_eq!(list_offset(client, version, topic, -1).await, (end, -1));
    assert_eq!(list_offset(client, version, topic, -2).await, (0, -1));
    assert_eq!(list_offset(client, version, topic, TIMESTAMP).await, (0, TIMESTAMP));
}

async fn fetch(client: &mut Client, topic: &Topic, version: i16) {
    let offset = client.produce(topic, &batch(&["x", "y"])).await;
    let request = fetch_request(version, topic, &[(0, offset)]);
    let response = client.call(version, &request).await;
    ok(response.error_code);
    assert_eq!(response.session_id, 0);
    let answered = &response.responses[0];
    if version >= 13 {
        assert_eq!(answered.topic_id, topic.id);
    } else {
        assert_eq!(answered.topic, topic.name);
    }
    let partition = &answered.partitions[0];
    ok(partition.error_code);
    assert_eq!((partition.partition_index, partition.high_watermark), (0, offset + 2));
    assert_eq!(partition.last_stable_offset, offset + 2);
    assert_eq!(partition.log_start_offset, if version >= 5 { 0 } else { -1 });
    assert_eq!(partition.preferred_read_replica, -1);
    assert_eq!(values(partition.records.unwrap().inline()), ["x", "y"]);
}

async fn metadata(broker: &Broker, client: &mut Client, topic: &Topic, version: i16) {
    use metadata_request::MetadataRequestTopic;
    let mut request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic { name: Some(topic.name.clone()), ..Default::default() }]),
        ..MetadataRequest::default()
    };
    request.include_topic_authorized_operations = version >= 8;
    request.include_cluster_authorized_operations = (8..=10).contains(&version);
    let response = client.call(version, &request).await;
    assert_eq!(response.brokers.len(), 1);
    assert_eq!(response.brokers[0].node_id, NODE);
    assert_eq!(response.brokers[0].port, i32::from(broker.address.port()));
    assert_eq!(response.brokers[0].host, "127.0.0.1");
    assert_eq!(response.brokers[0].rack, None);
    if version >= 1 {
        assert_eq!(response.controller_id, NODE);
    }
    if version >= 2 {
        assert!(response.cluster_id.is_some());
    }
    if (8..=10).contains(&version) {
        assert_eq!(response.cluster_authorized_operations, 0b1111110100000, "{version}");
    }
    let answered = &response.topics[0];
    ok(answered.error_code);
    assert_eq!(answered.name.as_deref(), Some(topic.name.as_str()));
    assert_eq!(answered.topic_id, if version >= 10 { topic.id } else { Uuid::ZERO });
    assert!(!answered.is_internal);
    if version >= 8 {
        assert_eq!(answered.topic_authorized_operations, 0b110111111000);
    }
    let mut indexes: Vec<i32> =
        answered.partitions.iter().map(|partition| partition.partition_index).collect();
    indexes.sort_unstable();
    assert_eq!(indexes, [0, 1]);
    for partition in &answered.partitions {
        ok(partition.error_code);
        assert_eq!(partition.leader_id, NODE);
        assert_eq!(partition.replica_nodes, [NODE]);
        assert_eq!(partition.isr_nodes, [NODE]);
        assert!(partition.offline_replicas.is_empty());
        assert_eq!(partition.leader_epoch, if version >= 7 { 0 } else { -1 });
    }
}

async fn delete_records(client: &mut Client, version: i16) {
    use delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
    let topic = client.create_topic("delete-records", 1, &[]).await;
    client.produce(&topic, &batch(&["a", "b", "c"])).await;
    let request = DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: topic.name.clone(),
            partitions: vec![DeleteRecordsPartition { partition_index: 0, offset: 2 }],
        }],
        timeout_ms: 30_000,
    };
    let response = client.call(version, &request).await;
    let partition = &response.topics[0].partitions[0];
    ok(partition.error_code);
    assert_eq!(partition.low_watermark, 2);
    assert_eq!(list_offset(client, 7, &topic, -2).await, (2, -1));
}

async fn init_producer_id(client: &mut Client, version: i16) {
    let first = client.init_producer_id(version).await;
    assert_eq!(first.producer_epoch, 0);
    let second = client.init_producer_id(version).await;
    assert_eq!((second.producer_id, second.producer_epoch), (first.producer_id + 1, 0));
}

async fn offset_for_leader_epoch(client: &mut Client, topic: &Topic, version: i16) {
    use offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
    let end = end_of(client, topic).await;
    let request = OffsetForLeaderEpochRequest {
        replica_id: -1,
        topics: vec![OffsetForLeaderTopic {
            topic: topic.name.clone(),
            partitions: vec![OffsetForLeaderPartition {
                partition: 0,
                current_leader_epoch: 0,
                leader_epoch: 0,
            }],
        }],
    };
    let response = client.call(version, &request).await;
    assert_eq!(response.topics[0].topic, topic.name);
    let partition = &response.topics[0].partitions[0];
    ok(partition.error_code);
    assert_eq!((partition.leader_epoch, partition.end_offset), (0, end));
}
