//! The APIs of administrators, in every version.

use common::ErrorCode;
use protocol::messages::*;

use super::ok;
use crate::harness::{Broker, Client, NODE, TIMESTAMP, Topic, error, producer_batch, unique};

pub async fn create_topics(client: &mut Client, version: i16) {
    use create_topics_request::CreatableTopic;
    let name = unique("created");
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: name.clone(),
            num_partitions: 2,
            replication_factor: 1,
            ..CreatableTopic::default()
        }],
        timeout_ms: 30_000,
        validate_only: false,
    };
    let response = client.call(version, &request).await;
    let result = &response.topics[0];
    ok(result.error_code);
    assert_eq!(result.name, name);
    assert_eq!(result.error_message, None);
    if version >= 5 {
        assert_eq!((result.num_partitions, result.replication_factor), (2, 1));
        let configs = result.configs.as_ref().unwrap();
        let policy = configs.iter().find(|config| config.name == "cleanup.policy").unwrap();
        assert_eq!((policy.value.as_deref(), policy.config_source), (Some("delete"), 5));
    }
    assert_eq!(result.topic_id.is_zero(), version < 7);
}

pub async fn delete_topics(client: &mut Client, version: i16) {
    use delete_topics_request::DeleteTopicState;
    let topic = create(client, 1).await;
    let mut request = DeleteTopicsRequest { timeout_ms: 30_000, ..DeleteTopicsRequest::default() };
    if version >= 6 {
        request.topics = vec![DeleteTopicState { name: None, topic_id: topic.id }];
    } else {
        request.topic_names = vec![topic.name.clone()];
    }
    let response = client.call(version, &request).await;
    let result = &response.responses[0];
    ok(result.error_code);
    assert_eq!(result.name.as_deref(), Some(topic.name.as_str()));
    if version >= 6 {
        assert_eq!(result.topic_id, topic.id);
    }
}

/// Creates a topic on either kind of listener, without waiting for a leader.
pub async fn create(client: &mut Client, partitions: i32) -> Topic {
    use create_topics_request::CreatableTopic;
    let name = unique("topic");
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: name.clone(),
            num_partitions: partitions,
            replication_factor: 1,
            ..CreatableTopic::default()
        }],
        timeout_ms: 30_000,
        validate_only: false,
    };
    let response = client.call(7, &request).await;
    ok(response.topics[0].error_code);
    Topic { name, id: response.topics[0].topic_id }
}

pub async fn create_partitions(client: &mut Client, version: i16) {
    use create_partitions_request::CreatePartitionsTopic;
    let topic = create(client, 1).await;
    let request = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic { name: topic.name.clone(), count: 3, assignments: None }],
        timeout_ms: 30_000,
        validate_only: false,
    };
    let response = client.call(version, &request).await;
    ok(response.results[0].error_code);
    assert_eq!(response.results[0].name, topic.name);
    // Once more is no growth.
    let response = client.call(version, &request).await;
    assert_eq!(error(response.results[0].error_code), ErrorCode::InvalidPartitions);
}

pub async fn alter_configs(client: &mut Client, version: i16) {
    use alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let topic = create(client, 1).await;
    let request = AlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: 2,
            resource_name: topic.name.clone(),
            configs: vec![AlterableConfig {
                name: "retention.ms".to_owned(),
                value: Some("5000".to_owned()),
            }],
        }],
        validate_only: false,
    };
    let response = client.call(version, &request).await;
    ok(response.responses[0].error_code);
    assert_eq!(response.responses[0].resource_name, topic.name);
    assert_eq!(response.responses[0].resource_type, 2);
}

pub async fn incremental_alter_configs(client: &mut Client, version: i16) {
    use incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let topic = create(client, 1).await;
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: 2,
            resource_name: topic.name.clone(),
            configs: vec![AlterableConfig {
                name: "retention.ms".to_owned(),
                config_operation: 0,
                value: Some("5000".to_owned()),
            }],
        }],
        validate_only: false,
    };
    let response = client.call(version, &request).await;
    ok(response.responses[0].error_code);
    assert_eq!(response.responses[0].resource_name, topic.name);
}

pub async fn describe_configs(client: &mut Client, topic: &Topic, version: i16) {
    use describe_configs_request::DescribeConfigsResource;
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: 2,
            resource_name: topic.name.clone(),
            configuration_keys: Some(vec!["segment.bytes".to_owned()]),
        }],
        include_synonyms: true,
        include_documentation: version >= 3,
    };
    let response = client.call(version, &request).await;
    let result = &response.results[0];
    ok(result.error_code);
    assert_eq!(result.configs.len(), 1);
    let config = &result.configs[0];
    assert_eq!((config.name.as_str(), config.value.as_deref()), ("segment.bytes", Some("1073741824")));
    assert!(!config.read_only && !config.is_sensitive);
    assert!(config.synonyms.iter().any(|synonym| synonym.name == "log.segment.bytes"));
    if version >= 3 {
        assert_eq!(config.config_type, 3);
        assert!(config.documentation.as_ref().is_some_and(|text| !text.is_empty()));
    }
}

pub async fn alter_replica_log_dirs(client: &mut Client, topic: &Topic, version: i16) {
    use protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
    let topics = vec![AlterReplicaLogDirTopic { name: topic.name.clone(), partitions: vec![0] }];
    let dirs = vec![AlterReplicaLogDir { path: "/not/a/log/dir".to_owned(), topics }];
    let response = client.call(version, &AlterReplicaLogDirsRequest { dirs }).await;
    let result = &response.results[0];
    assert_eq!((result.topic_name.as_str(), result.partitions[0].partition_index), (topic.name.as_str(), 0));
    assert_eq!(error(result.partitions[0].error_code), ErrorCode::LogDirNotFound);
}

pub async fn describe_log_dirs(client: &mut Client, topic: &Topic, version: i16) {
    use describe_log_dirs_request::DescribableLogDirTopic;
    let request = DescribeLogDirsRequest {
        topics: Some(vec![DescribableLogDirTopic { topic: topic.name.clone(), partitions: vec![0] }]),
    };
    let response = client.call(version, &request).await;
    ok(response.error_code);
    assert_eq!(response.results.len(), 1);
    let directory = &response.results[0];
    ok(directory.error_code);
    assert!(directory.log_dir.starts_with('/'));
    assert_eq!(directory.topics.len(), 1);
    assert_eq!(directory.topics[0].name, topic.name);
    assert_eq!(directory.topics[0].partitions.len(), 1);
    let partition = &directory.topics[0].partitions[0];
    assert_eq!((partition.partition_index, partition.offset_lag, partition.is_future_key), (0, 0, false));
    assert!(partition.partition_size > 0);
    if version >= 4 {
        assert!(directory.total_bytes > 0 && directory.usable_bytes > 0);
    }
}

pub async fn describe_producers(client: &mut Client, version: i16) {
    use describe_producers_request::TopicRequest;
    let topic = client.create_topic("producers", 1, &[]).await;
    client.produce(&topic, &producer_batch(4242, 1, 0, &["a", "b"])).await;
    let request = DescribeProducersRequest {
        topics: vec![TopicRequest { name: topic.name.clone(), partition_indexes: vec![0] }],
    };
    let response = client.call(version, &request).await;
    let partition = &response.topics[0].partitions[0];
    ok(partition.error_code);
    assert_eq!(partition.active_producers.len(), 1);
    let producer = &partition.active_producers[0];
    assert_eq!((producer.producer_id, producer.producer_epoch, producer.last_sequence), (4242, 1, 1));
    assert_eq!((producer.coordinator_epoch, producer.current_txn_start_offset), (-1, -1));
    assert_eq!(producer.last_timestamp, TIMESTAMP + 1);
}

pub async fn describe_topic_partitions(client: &mut Client, topic: &Topic, version: i16) {
    use describe_topic_partitions_request::TopicRequest;
    let request = DescribeTopicPartitionsRequest {
        topics: vec![TopicRequest { name: topic.name.clone() }],
        response_partition_limit: 100,
        cursor: None,
    };
    let response = client.call(version, &request).await;
    assert_eq!(response.next_cursor, None);
    let answered = &response.topics[0];
    ok(answered.error_code);
    assert_eq!((answered.name.as_deref(), answered.topic_id), (Some(topic.name.as_str()), topic.id));
    assert_eq!(answered.partitions.len(), 2);
    assert!(answered.partitions.iter().all(|partition| partition.leader_id == NODE));
}

pub async fn describe_quorum(client: &mut Client, version: i16) {
    use describe_quorum_request::{PartitionData, TopicData};
    let request = DescribeQuorumRequest {
        topics: vec![TopicData {
            topic_name: "__cluster_metadata".to_owned(),
            partitions: vec![PartitionData { partition_index: 0 }],
        }],
    };
    let response = client.call(version, &request).await;
    ok(response.error_code);
    let quorum = &response.topics[0].partitions[0];
    ok(quorum.error_code);
    assert_eq!(quorum.leader_id, NODE);
    assert!(quorum.leader_epoch > 0 && quorum.high_watermark > 0);
    assert_eq!(quorum.current_voters.len(), 1);
    assert_eq!(quorum.current_voters[0].replica_id, NODE);
    assert!(quorum.current_voters[0].log_end_offset >= quorum.high_watermark);
    if version >= 2 {
        assert!(!quorum.current_voters[0].replica_directory_id.is_zero());
        assert_eq!(response.nodes.len(), 1);
        assert_eq!(response.nodes[0].node_id, NODE);
        assert_eq!(response.nodes[0].listeners[0].name, "CONTROLLER");
    }
}

pub async fn describe_cluster(broker: &Broker, client: &mut Client, version: i16, endpoint_type: i8) {
    // Before version 1 the kind of endpoint cannot be said, and brokers are meant.
    if endpoint_type != 1 && version == 0 {
        let response = client.call(version, &DescribeClusterRequest::default()).await;
        assert_eq!(error(response.error_code), ErrorCode::InvalidRequest);
        return;
    }
    let request = DescribeClusterRequest {
        include_cluster_authorized_operations: true,
        endpoint_type,
        ..DescribeClusterRequest::default()
    };
    let response = client.call(version, &request).await;
    ok(response.error_code);
    assert!(!response.cluster_id.is_empty());
    assert_eq!(response.controller_id, NODE);
    assert_eq!(response.brokers.len(), 1);
    let port = if endpoint_type == 1 { broker.address.port() } else { broker.controller.port() };
    assert_eq!((response.brokers[0].broker_id, response.brokers[0].port), (NODE, i32::from(port)));
    assert_eq!(response.brokers[0].host, "127.0.0.1");
    assert_eq!(response.cluster_authorized_operations, 0b1111110100000);
}
