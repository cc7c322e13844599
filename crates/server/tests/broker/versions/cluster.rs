//! The APIs about the cluster as a whole, in every version: elections, reassignments, features, and what brokers and
//! controllers ask the active controller.

use common::{ErrorCode, Uuid};
use protocol::messages::*;
use protocol::{Message, Reader, Request, Writer};

use super::ok;
use crate::harness::{Broker, Client, NODE, Topic, error};

pub async fn elect_leaders(client: &mut Client, version: i16) {
    use elect_leaders_request::TopicPartitions;
    let topic = super::admin::create(client, 1).await;
    let request = ElectLeadersRequest {
        topic_partitions: Some(vec![TopicPartitions { topic: topic.name.clone(), partitions: vec![0, 9] }]),
        timeout_ms: 30_000,
        ..ElectLeadersRequest::default()
    };
    let response = client.call(version, &request).await;
    ok(response.error_code);
    let results = &response.replica_election_results[0];
    assert_eq!(results.topic, topic.name);
    let mut answers: Vec<_> = results
        .partition_result
        .iter()
        .map(|result| (result.partition_id, error(result.error_code)))
        .collect();
    answers.sort_by_key(|answer| answer.0);
    assert_eq!(answers, [(0, ErrorCode::ElectionNotNeeded), (9, ErrorCode::UnknownTopicOrPartition)]);
}

pub async fn alter_partition_reassignments(client: &mut Client, version: i16) {
    use alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
    let topic = super::admin::create(client, 1).await;
    let request = AlterPartitionReassignmentsRequest {
        topics: vec![ReassignableTopic {
            name: topic.name.clone(),
            partitions: vec![
                ReassignablePartition { partition_index: 0, replicas: None },
                ReassignablePartition { partition_index: 1, replicas: Some(vec![NODE]) },
            ],
        }],
        timeout_ms: 30_000,
        ..AlterPartitionReassignmentsRequest::default()
    };
    let response = client.call(version, &request).await;
    ok(response.error_code);
    let answers: Vec<_> =
        response.responses[0].partitions.iter().map(|answer| error(answer.error_code)).collect();
    assert_eq!(answers, [ErrorCode::NoReassignmentInProgress, ErrorCode::UnknownTopicOrPartition]);
}

pub async fn list_partition_reassignments(client: &mut Client, version: i16) {
    let request = ListPartitionReassignmentsRequest { topics: None, ..Default::default() };
    let response = client.call(version, &request).await;
    ok(response.error_code);
    assert_eq!(response.topics, []);
}

pub async fn update_features(client: &mut Client, version: i16) {
    use update_features_request::FeatureUpdateKey;
    let request = UpdateFeaturesRequest {
        feature_updates: vec![FeatureUpdateKey {
            feature: "no.such.feature".to_owned(),
            max_version_level: 2,
            ..FeatureUpdateKey::default()
        }],
        ..UpdateFeaturesRequest::default()
    };
    let response = client.call(version, &request).await;
    assert_eq!(error(response.error_code), ErrorCode::InvalidUpdateVersion);
    assert_eq!(response.results, []);
}

pub async fn unregister_broker(client: &mut Client, version: i16) {
    let response = client.call(version, &UnregisterBrokerRequest { broker_id: 77 }).await;
    assert_eq!(error(response.error_code), ErrorCode::BrokerIdNotRegistered);
}

/// These speak for a broker that is not known.
pub async fn alter_partition(client: &mut Client, version: i16) {
    let mut request = AlterPartitionRequest { broker_id: 77, broker_epoch: 1, ..Default::default() };
    // Who asks for nothing is not looked at.
    let response = client.call(version, &request).await;
    ok(response.error_code);
    request.topics = vec![alter_partition_request::TopicData::default()];
    let response = client.call(version, &request).await;
    assert_eq!(error(response.error_code), ErrorCode::StaleBrokerEpoch);
}

pub async fn assign_replicas_to_dirs(client: &mut Client, version: i16) {
    let request = AssignReplicasToDirsRequest { broker_id: 77, broker_epoch: 1, ..Default::default() };
    let response = client.call(version, &request).await;
    assert_eq!(error(response.error_code), ErrorCode::StaleBrokerEpoch);
}

pub async fn controller_registration(client: &mut Client, version: i16) {
    let request = ControllerRegistrationRequest {
        controller_id: 78,
        incarnation_id: Uuid::random(),
        ..ControllerRegistrationRequest::default()
    };
    let response = client.call(version, &request).await;
    ok(response.error_code);
}

/// A request as a broker passes it on.
fn wrap<'q, Q: Request<'q>>(request: &Q, version: i16) -> Vec<u8> {
    let header = RequestHeader {
        request_api_key: Q::API_KEY.code(),
        request_api_version: version,
        correlation_id: 4711,
        client_id: Some("somebody".to_owned()),
    };
    let mut writer = Writer::new();
    header.write(&mut writer, Q::API_KEY.request_header_version(version)).unwrap();
    request.write(&mut writer, version).unwrap();
    writer.into_bytes()
}

pub async fn envelope(broker: &Broker, client: &mut Client, version: i16) {
    let list = ListPartitionReassignmentsRequest { topics: None, ..Default::default() };
    let sound = EnvelopeRequest {
        request_data: wrap(&list, 0),
        // Version 0 of `DefaultPrincipalData`: `User`, `ANONYMOUS`, no delegation token.
        request_principal: Some(b"\x00\x00\x05User\x0aANONYMOUS\x00\x00".to_vec()),
        client_host_address: vec![127, 0, 0, 1],
    };
    let response = client.call(version, &sound).await;
    ok(response.error_code);
    let data = response.response_data.unwrap();
    let mut reader = Reader::new(&data);
    assert_eq!(reader.i32().unwrap(), 4711);
    assert_eq!(reader.uvarint().unwrap(), 0);
    let answer = ListPartitionReassignmentsResponse::read(&mut reader, 0).unwrap();
    ok(answer.error_code);

    let refused = [
        (
            EnvelopeRequest { request_principal: None, ..sound.clone() },
            ErrorCode::PrincipalDeserializationFailure,
        ),
        (
            EnvelopeRequest { request_principal: Some(vec![0, 0, 9, b'U']), ..sound.clone() },
            ErrorCode::PrincipalDeserializationFailure,
        ),
        (EnvelopeRequest { client_host_address: vec![1, 2, 3], ..sound.clone() }, ErrorCode::InvalidRequest),
        (
            EnvelopeRequest { request_data: wrap(&MetadataRequest::default(), 9), ..sound.clone() },
            ErrorCode::InvalidRequest,
        ),
    ];
    // Apache Kafka ends the connection where the principal is missing or cannot be read.
    if !broker.is_elsewhere() {
        for (request, expected) in refused {
            let response = client.call(version, &request).await;
            assert_eq!(error(response.error_code), expected);
            assert_eq!(response.response_data, None);
        }
    }
}

/// A controller describes itself, under the resource type of brokers.
pub async fn describe_controllers_configs(client: &mut Client, version: i16) {
    let resource = |name: String| protocol::messages::describe_configs_request::DescribeConfigsResource {
        resource_type: 4,
        resource_name: name,
        configuration_keys: Some(vec!["node.id".to_owned()]),
    };
    let request = protocol::messages::DescribeConfigsRequest {
        resources: vec![resource(NODE.to_string()), resource("77".to_owned())],
        ..Default::default()
    };
    let response = client.call(version, &request).await;
    ok(response.results[0].error_code);
    let config = &response.results[0].configs[0];
    assert_eq!((config.name.as_str(), config.value.as_deref()), ("node.id", Some(NODE.to_string().as_str())));
    assert!(config.read_only);
    assert_eq!(error(response.results[1].error_code), ErrorCode::InvalidRequest, "that is another node");
}

pub async fn unregister_controller(client: &mut Client, version: i16) {
    let response = client.call(version, &UnregisterControllerRequest { controller_id: 77 }).await;
    assert_eq!(error(response.error_code), ErrorCode::ControllerIdNotRegistered);
}

fn producer_byte_rate(user: &str, value: f64, remove: bool) -> AlterClientQuotasRequest {
    use alter_client_quotas_request::{EntityData, EntryData, OpData};
    let entity = EntityData { entity_type: "user".to_owned(), entity_name: Some(user.to_owned()) };
    let op = OpData { key: "producer_byte_rate".to_owned(), value, remove };
    AlterClientQuotasRequest {
        entries: vec![EntryData { entity: vec![entity], ops: vec![op] }],
        validate_only: false,
    }
}

pub async fn alter_client_quotas(client: &mut Client, version: i16) {
    let user = format!("user-{}", Uuid::random());
    for (value, remove, expected) in [
        (-1.0, false, ErrorCode::InvalidRequest),
        (1024.0, false, ErrorCode::None),
        (0.0, true, ErrorCode::None),
    ] {
        let response = client.call(version, &producer_byte_rate(&user, value, remove)).await;
        assert_eq!(error(response.entries[0].error_code), expected);
        assert_eq!(response.entries[0].entity[0].entity_name.as_ref(), Some(&user));
    }
}

pub async fn describe_client_quotas(broker: &Broker, client: &mut Client, version: i16) {
    use describe_client_quotas_request::ComponentData;
    let user = format!("user-{}", Uuid::random());
    client.call(0, &producer_byte_rate(&user, 1024.0, false)).await;
    let component =
        ComponentData { entity_type: "user".to_owned(), match_type: 0, match_: Some(user.clone()) };
    let request = DescribeClientQuotasRequest { components: vec![component], strict: true };
    // A broker of another program may know of it a moment later.
    let entries = loop {
        let response = client.call(version, &request).await;
        ok(response.error_code);
        match response.entries.unwrap() {
            entries if entries.is_empty() && broker.is_elsewhere() => {}
            entries => break entries,
        }
    };
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (entries[0].values[0].key.as_str(), entries[0].values[0].value),
        ("producer_byte_rate", 1024.0)
    );
    let host = ComponentData { entity_type: "host".to_owned(), match_type: 2, match_: None };
    let request = DescribeClientQuotasRequest { components: vec![host], strict: false };
    let response = client.call(version, &request).await;
    assert_eq!(error(response.error_code), ErrorCode::UnsupportedVersion);
}

pub async fn list_config_resources(client: &mut Client, topic: &Topic, version: i16) {
    const TOPIC: i8 = 2;
    const CLIENT_METRICS: i8 = 16;
    let request = |resource_types| ListConfigResourcesRequest { resource_types };
    let response = client.call(version, &request(Vec::new())).await;
    ok(response.error_code);
    let has_topic = |response: &ListConfigResourcesResponse| {
        response
            .config_resources
            .iter()
            .any(|found| found.resource_name == topic.name && found.resource_type == TOPIC)
    };
    // The first version knows the subscriptions of clients' metrics alone.
    assert_eq!(has_topic(&response), version > 0);
    if version > 0 {
        assert!(!has_topic(&client.call(version, &request(vec![CLIENT_METRICS])).await));
        let response = client.call(version, &request(vec![99])).await;
        assert_eq!(error(response.error_code), ErrorCode::UnsupportedVersion);
    }
}

pub async fn client_metrics(client: &mut Client, version: i16) {
    let subscription = client.call(version, &GetTelemetrySubscriptionsRequest::default()).await;
    ok(subscription.error_code);
    let push = PushTelemetryRequest {
        client_instance_id: subscription.client_instance_id,
        subscription_id: subscription.subscription_id,
        terminating: true,
        ..PushTelemetryRequest::default()
    };
    ok(client.call(version, &push).await.error_code);
}
