//! Configs: what is set, what comes of it, and how it is changed.

use common::ErrorCode;
use protocol::compression::Compression;
use protocol::messages::describe_configs_request::DescribeConfigsResource;
use protocol::messages::describe_configs_response::DescribeConfigsResult;
use protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use protocol::messages::*;

use crate::harness::{Broker, Cases, Client, TIMESTAMP, batch, builder, error, unique};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

async fn describe(client: &mut Client, kind: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsResult {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: kind,
            resource_name: name.to_owned(),
            configuration_keys: keys.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect()),
        }],
        include_synonyms: true,
        include_documentation: false,
    };
    let mut response = client.call(4, &request).await;
    assert_eq!(response.results.len(), 1);
    let result = response.results.remove(0);
    assert_eq!((result.resource_type, result.resource_name.as_str()), (kind, name));
    result
}

/// Value and source of one key.
async fn value(client: &mut Client, kind: i8, name: &str, key: &str) -> (Option<String>, i8) {
    let result = describe(client, kind, name, Some(&[key])).await;
    assert_eq!(error(result.error_code), ErrorCode::None, "{:?}", result.error_message);
    assert_eq!(result.configs.len(), 1, "{key}");
    (result.configs[0].value.clone(), result.configs[0].config_source)
}

fn change(kind: i8, name: &str, ops: &[(&str, i8, Option<&str>)]) -> IncrementalAlterConfigsRequest {
    let configs = ops
        .iter()
        .map(|(name, operation, value)| AlterableConfig {
            name: (*name).to_owned(),
            config_operation: *operation,
            value: value.map(str::to_owned),
        })
        .collect();
    IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: kind,
            resource_name: name.to_owned(),
            configs,
        }],
        validate_only: false,
    }
}

/// Changes a config, and waits until the broker says so: elsewhere that takes a moment.
async fn set(client: &mut Client, kind: i8, name: &str, key: &str, text: &str) {
    let response = client.call(1, &change(kind, name, &[(key, SET, Some(text))])).await;
    let result = &response.responses[0];
    assert_eq!(error(result.error_code), ErrorCode::None, "{:?}", result.error_message);
    while value(client, kind, name, key).await.0.as_deref() != Some(text) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topics_configs_say_where_they_come_from() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("described", 1, &[("retention.ms", "1000")]).await;
    let all = describe(&mut client, TOPIC, &topic.name, None).await;
    assert_eq!(all.error_code, 0);
    assert!(all.configs.len() > 25, "{}", all.configs.len());
    assert_eq!(describe(&mut client, TOPIC, &topic.name, Some(&[])).await.configs.len(), all.configs.len());
    let some = describe(&mut client, TOPIC, &topic.name, Some(&["retention.ms", "no.such.key"])).await;
    assert_eq!(some.configs.len(), 1);
    let config = &some.configs[0];
    assert_eq!((config.value.as_deref(), config.config_source, config.config_type), (Some("1000"), 1, 5));
    let synonyms: Vec<(&str, Option<&str>, i8)> = config
        .synonyms
        .iter()
        .map(|synonym| (synonym.name.as_str(), synonym.value.as_deref(), synonym.source))
        .collect();
    // The broker's keys for it have no value.
    assert_eq!(synonyms, [("retention.ms", Some("1000"), 1)]);
    assert_eq!(config.documentation, None);
    let unset = value(&mut client, TOPIC, &topic.name, "cleanup.policy").await;
    assert_eq!(unset, (Some("delete".to_owned()), 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resources_that_are_not_there_are_named() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let unknown = unique("unknown");
    let mut cases = Cases::default();
    for (kind, name, expected) in [
        (TOPIC, unknown.as_str(), ErrorCode::UnknownTopicOrPartition),
        (TOPIC, "a b", ErrorCode::InvalidTopicException),
        (TOPIC, "", ErrorCode::InvalidTopicException),
        (BROKER, "1", ErrorCode::None),
        (BROKER, "", ErrorCode::None),
        (BROKER, "77", ErrorCode::InvalidRequest),
        (BROKER, "one", ErrorCode::InvalidRequest),
        (BROKER_LOGGER, "1", ErrorCode::None),
        (BROKER_LOGGER, "", ErrorCode::InvalidRequest),
        (BROKER_LOGGER, "77", ErrorCode::InvalidRequest),
        (CLIENT_METRICS, "", ErrorCode::InvalidRequest),
        (CLIENT_METRICS, "mine", ErrorCode::None),
        (GROUP, "", ErrorCode::InvalidRequest),
        (GROUP, "mine", ErrorCode::None),
        (0, "1", ErrorCode::InvalidRequest),
        (99, "1", ErrorCode::InvalidRequest),
    ] {
        let result = describe(&mut client, kind, name, None).await;
        cases.check(format!("{kind} {name:?}"), error(result.error_code), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_a_topic_is_felt_at_once() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("changed", 1, &[]).await;
    let records = batch(&["a"]);
    client.produce(&topic, &records).await;
    set(&mut client, TOPIC, &topic.name, "max.message.bytes", "10").await;
    let response = client.produce_as(11, -1, &topic, 0, &records).await;
    assert_eq!(error(response.error_code), ErrorCode::MessageTooLarge);
    set(&mut client, TOPIC, &topic.name, "max.message.bytes", "1000").await;
    client.produce(&topic, &records).await;

    set(&mut client, TOPIC, &topic.name, "cleanup.policy", "compact").await;
    let response = client.produce_as(11, -1, &topic, 0, &records).await;
    assert_eq!(error(response.error_code), ErrorCode::InvalidRecord);
    set(&mut client, TOPIC, &topic.name, "cleanup.policy", "delete").await;

    set(&mut client, TOPIC, &topic.name, "message.timestamp.type", "LogAppendTime").await;
    let response = client.produce_as(11, -1, &topic, 0, &records).await;
    assert!(response.log_append_time_ms > TIMESTAMP);
    // Taken back, the default counts again.
    let request = change(TOPIC, &topic.name, &[("message.timestamp.type", DELETE, None)]);
    assert_eq!(client.call(1, &request).await.responses[0].error_code, 0);
    while value(&mut client, TOPIC, &topic.name, "message.timestamp.type").await.1 != 5 {}
    let response = client.produce_as(11, -1, &topic, 0, &records).await;
    assert_eq!(response.log_append_time_ms, -1);
    assert_eq!(client.consume(&topic, 0).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_replicas_in_sync_are_asked_for_than_there_are() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("in-sync", 1, &[("min.insync.replicas", "2")]).await;
    assert_eq!(client.produce(&topic, &batch(&["a"])).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_added_to_and_taken_from() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("lists", 1, &[]).await;
    let mut cases = Cases::default();
    for (operation, text, expected) in [
        (APPEND, "compact", "delete,compact"),
        (APPEND, "compact", "delete,compact"),
        (SUBTRACT, "delete", "compact"),
        (SET, "delete", "delete"),
    ] {
        let request = change(TOPIC, &topic.name, &[("cleanup.policy", operation, Some(text))]);
        let response = client.call(1, &request).await;
        cases.check(operation, error(response.responses[0].error_code), ErrorCode::None);
        if broker.is_elsewhere() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        let (found, _) = value(&mut client, TOPIC, &topic.name, "cleanup.policy").await;
        cases.check(format!("{operation} {text}"), found.as_deref(), Some(expected));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_cannot_be_are_refused() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("refused", 1, &[]).await;
    let name = topic.name.as_str();
    let unknown = unique("unknown");
    let mut cases = Cases::default();
    let set = |key, text| change(TOPIC, name, &[(key, SET, Some(text))]);
    let mut doubled = set("retention.ms", "1");
    doubled.resources.push(doubled.resources[0].clone());
    for (what, request, expected) in [
        ("a value that is none", set("retention.ms", "abc"), ErrorCode::InvalidConfig),
        ("a key that is none", set("no.such.key", "1"), ErrorCode::InvalidConfig),
        ("no value", change(TOPIC, name, &[("retention.ms", SET, None)]), ErrorCode::InvalidRequest),
        (
            "a number to append to",
            change(TOPIC, name, &[("retention.ms", APPEND, Some("1"))]),
            ErrorCode::InvalidConfig,
        ),
        (
            "a key twice",
            change(TOPIC, name, &[("retention.ms", SET, Some("1")), ("retention.ms", DELETE, None)]),
            ErrorCode::InvalidRequest,
        ),
        (
            "a topic that is not there",
            change(TOPIC, &unknown, &[("retention.ms", SET, Some("1"))]),
            ErrorCode::UnknownTopicOrPartition,
        ),
        (
            "another broker",
            change(BROKER, "77", &[("log.retention.ms", SET, Some("1"))]),
            ErrorCode::InvalidRequest,
        ),
        (
            "a broker's key that is read only",
            change(BROKER, "1", &[("node.id", SET, Some("2"))]),
            ErrorCode::InvalidRequest,
        ),
        (
            "a value of a broker that is none",
            change(BROKER, "", &[("log.retention.ms", SET, Some("x"))]),
            ErrorCode::InvalidRequest,
        ),
        ("a kind that is none", change(99, "x", &[("a", SET, Some("b"))]), ErrorCode::InvalidRequest),
        ("a resource twice", doubled, ErrorCode::InvalidRequest),
    ] {
        let response = client.call(1, &request).await;
        for result in &response.responses {
            cases.check(what, error(result.error_code), expected);
        }
        cases.check(what, response.responses.len(), request.resources.len());
    }
    drop(cases);
    if !broker.is_elsewhere() {
        // An unknown server error of Apache Kafka.
        let request = change(TOPIC, name, &[("retention.ms", 7, Some("1"))]);
        let response = client.call(1, &request).await;
        assert_eq!(error(response.responses[0].error_code), ErrorCode::InvalidRequest);
    }
    assert_eq!(value(&mut client, TOPIC, name, "retention.ms").await, (Some("604800000".to_owned()), 5));
    // One of several changes cannot be: none is made, to that resource.
    let request = change(TOPIC, name, &[("retention.ms", SET, Some("5")), ("segment.bytes", SET, Some("x"))]);
    let response = client.call(1, &request).await;
    assert_eq!(error(response.responses[0].error_code), ErrorCode::InvalidConfig);
    let mut validated = set("retention.ms", "5");
    validated.validate_only = true;
    assert_eq!(client.call(1, &validated).await.responses[0].error_code, 0);
    assert_eq!(value(&mut client, TOPIC, name, "retention.ms").await, (Some("604800000".to_owned()), 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_brokers_dynamic_default_reaches_its_topics() {
    // Not on a broker that others use.
    let Some(broker) = Broker::start_with(&[("log.retention.ms", "7000")]).await else { return };
    let mut client = broker.connect().await;
    let topic = client.create_topic("follows", 1, &[]).await;
    let own = client.create_topic("follows-not", 1, &[("max.message.bytes", "2000")]).await;
    assert_eq!(value(&mut client, TOPIC, &topic.name, "retention.ms").await, (Some("7000".to_owned()), 4));
    let records = batch(&["a"]);
    set(&mut client, BROKER, "", "message.max.bytes", "20").await;
    assert_eq!(value(&mut client, TOPIC, &topic.name, "max.message.bytes").await, (Some("20".to_owned()), 3));
    let response = client.produce_as(11, -1, &topic, 0, &records).await;
    assert_eq!(error(response.error_code), ErrorCode::MessageTooLarge);
    client.produce(&own, &records).await;
    // The broker's own setting goes before the default of all.
    set(&mut client, BROKER, "1", "message.max.bytes", "3000").await;
    assert_eq!(
        value(&mut client, TOPIC, &topic.name, "max.message.bytes").await,
        (Some("3000".to_owned()), 2)
    );
    client.produce(&topic, &records).await;
    for name in ["1", ""] {
        let request = change(BROKER, name, &[("message.max.bytes", DELETE, None)]);
        assert_eq!(client.call(1, &request).await.responses[0].error_code, 0);
    }
    assert_eq!(
        value(&mut client, TOPIC, &topic.name, "max.message.bytes").await,
        (Some("1048588".to_owned()), 5)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_way_of_changing_replaces_all() {
    use alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let configs = [("retention.ms", "1000"), ("max.message.bytes", "5000")];
    let topic = client.create_topic("replaced", 1, &configs).await;
    let request = AlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: TOPIC,
            resource_name: topic.name.clone(),
            configs: vec![AlterableConfig { name: "segment.ms".to_owned(), value: Some("7777".to_owned()) }],
        }],
        validate_only: false,
    };
    let response = client.call(2, &request).await;
    assert_eq!(response.responses[0].error_code, 0);
    while value(&mut client, TOPIC, &topic.name, "segment.ms").await.0.as_deref() != Some("7777") {}
    for (key, expected) in [("retention.ms", "604800000"), ("max.message.bytes", "1048588")] {
        assert_eq!(value(&mut client, TOPIC, &topic.name, key).await, (Some(expected.to_owned()), 5));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_may_roll_its_segments_and_still_serve_them() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("rolls", 1, &[("segment.bytes", "1048576")]).await;
    let text = "x".repeat(300_000);
    let mut expected = Vec::new();
    for index in 0..8 {
        let value = format!("{index}{text}");
        let mut records = builder(Compression::None);
        records.append(TIMESTAMP + index, None, Some(value.as_bytes()), &[]).unwrap();
        assert_eq!(client.produce(&topic, &records.build()).await, index);
        expected.push(value);
    }
    // An answer never goes beyond a segment; together they are all there.
    assert!(client.consume(&topic, 0).await == expected);
}
