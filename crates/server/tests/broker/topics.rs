//! `CreateTopics`, `DeleteTopics` and `CreatePartitions`.

use common::{ErrorCode, Uuid};
use protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use protocol::messages::delete_topics_request::DeleteTopicState;
use protocol::messages::*;

use crate::harness::{Broker, Cases, Client, NODE, batch, error, unique};

fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic { name: name.to_owned(), num_partitions, replication_factor, ..CreatableTopic::default() }
}

/// A topic with its replicas said: for each partition its index and brokers.
fn assigned(name: &str, assignments: &[(i32, &[i32])]) -> CreatableTopic {
    let assignments = assignments
        .iter()
        .map(|(partition_index, brokers)| CreatableReplicaAssignment {
            partition_index: *partition_index,
            broker_ids: brokers.to_vec(),
        })
        .collect();
    CreatableTopic { assignments, ..topic(name, -1, -1) }
}

fn configured(name: &str, configs: &[(&str, Option<&str>)]) -> CreatableTopic {
    let configs = configs
        .iter()
        .map(|(name, value)| CreatableTopicConfig {
            name: (*name).to_owned(),
            value: value.map(str::to_owned),
        })
        .collect();
    CreatableTopic { configs, ..topic(name, 1, 1) }
}

fn create(topics: Vec<CreatableTopic>) -> CreateTopicsRequest {
    CreateTopicsRequest { topics, timeout_ms: 30_000, validate_only: false }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_created_is_said() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let name = unique("configured");
    let request = create(vec![configured(
        &name,
        &[("retention.ms", Some("1234")), ("cleanup.policy", Some("compact"))],
    )]);
    let response = client.call(7, &request).await;
    let result = &response.topics[0];
    assert_eq!((error(result.error_code), result.name.as_str()), (ErrorCode::None, name.as_str()));
    assert_eq!((result.num_partitions, result.replication_factor), (1, 1));
    assert!(!result.topic_id.is_zero());
    assert_eq!(result.topic_config_error_code, 0);
    let configs = result.configs.as_ref().unwrap();
    let config = |name: &str| {
        let config = configs.iter().find(|config| config.name == name).unwrap();
        (config.value.as_deref(), config.read_only, config.config_source, config.is_sensitive)
    };
    // From the topic, and by default.
    assert_eq!(config("retention.ms"), (Some("1234"), false, 1, false));
    assert_eq!(config("cleanup.policy"), (Some("compact"), false, 1, false));
    assert_eq!(config("max.message.bytes"), (Some("1048588"), false, 5, false));
    client.wait_for(&name, 1).await;
    assert_eq!(client.describe_topic(&name).await.topic_id, result.topic_id);
    // The broker's defaults.
    let name = unique("defaults");
    let response = client.call(7, &create(vec![topic(&name, -1, -1)])).await;
    let result = &response.topics[0];
    assert_eq!(
        (error(result.error_code), result.num_partitions, result.replication_factor),
        (ErrorCode::None, 1, 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_validated_is_not_created() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let name = unique("validated");
    let mut request = create(vec![topic(&name, 3, 1)]);
    request.validate_only = true;
    let response = client.call(7, &request).await;
    let result = &response.topics[0];
    assert_eq!(
        (error(result.error_code), result.num_partitions, result.replication_factor),
        (ErrorCode::None, 3, 1)
    );
    assert!(result.configs.as_ref().is_some_and(|configs| configs.len() > 20));
    assert_eq!(error(client.describe_topic(&name).await.error_code), ErrorCode::UnknownTopicOrPartition);
    let mut request = create(vec![topic("a b", 3, 1)]);
    request.validate_only = true;
    let response = client.call(7, &request).await;
    assert_eq!(error(response.topics[0].error_code), ErrorCode::InvalidTopicException);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_cannot_be_are_refused() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let there = client.create_topic("there.already", 1, &[]).await;
    let collides = there.name.replace('.', "_");
    let long = "x".repeat(250);
    let n = || unique("refused");
    let mut cases = Cases::default();
    for (what, topic, expected) in [
        ("a name that is taken", topic(&there.name, 1, 1), ErrorCode::TopicAlreadyExists),
        ("a name that looks the same in metrics", topic(&collides, 1, 1), ErrorCode::InvalidTopicException),
        ("an empty name", topic("", 1, 1), ErrorCode::InvalidTopicException),
        ("a dot", topic(".", 1, 1), ErrorCode::InvalidTopicException),
        ("a blank", topic("a b", 1, 1), ErrorCode::InvalidTopicException),
        ("a long name", topic(&long, 1, 1), ErrorCode::InvalidTopicException),
        ("no partitions", topic(&n(), 0, 1), ErrorCode::InvalidPartitions),
        ("negative partitions", topic(&n(), -2, 1), ErrorCode::InvalidPartitions),
        ("no replicas", topic(&n(), 1, 0), ErrorCode::InvalidReplicationFactor),
        ("negative replicas", topic(&n(), 1, -3), ErrorCode::InvalidReplicationFactor),
        ("more replicas than brokers", topic(&n(), 1, 2), ErrorCode::InvalidReplicationFactor),
        ("a broker that is not there", assigned(&n(), &[(0, &[77])]), ErrorCode::InvalidReplicaAssignment),
        ("a broker twice", assigned(&n(), &[(0, &[1, 1])]), ErrorCode::InvalidReplicaAssignment),
        ("no broker", assigned(&n(), &[(0, &[])]), ErrorCode::InvalidReplicaAssignment),
        (
            "a partition left out",
            assigned(&n(), &[(0, &[1]), (2, &[1])]),
            ErrorCode::InvalidReplicaAssignment,
        ),
        ("a partition twice", assigned(&n(), &[(0, &[1]), (0, &[1])]), ErrorCode::InvalidReplicaAssignment),
        (
            "replicas of different counts",
            assigned(&n(), &[(0, &[1]), (1, &[1, 2])]),
            ErrorCode::InvalidReplicaAssignment,
        ),
        (
            "assignments and a count",
            CreatableTopic { num_partitions: 1, ..assigned(&n(), &[(0, &[1])]) },
            ErrorCode::InvalidRequest,
        ),
        (
            "assignments and a factor",
            CreatableTopic { replication_factor: 1, ..assigned(&n(), &[(0, &[1])]) },
            ErrorCode::InvalidRequest,
        ),
        (
            "a config there is not",
            configured(&n(), &[("no.such.config", Some("1"))]),
            ErrorCode::InvalidConfig,
        ),
        (
            "a value that is none",
            configured(&n(), &[("retention.ms", Some("abc"))]),
            ErrorCode::InvalidConfig,
        ),
        ("a value out of range", configured(&n(), &[("segment.bytes", Some("1"))]), ErrorCode::InvalidConfig),
        ("no value", configured(&n(), &[("retention.ms", None)]), ErrorCode::InvalidConfig),
        (
            "a policy there is not",
            configured(&n(), &[("cleanup.policy", Some("shred"))]),
            ErrorCode::InvalidConfig,
        ),
        ("the metadata's own name", topic("__cluster_metadata", 1, 1), ErrorCode::InvalidRequest),
    ] {
        let name = topic.name.clone();
        let response = client.call(7, &create(vec![topic])).await;
        let result = &response.topics[0];
        cases.check(what, error(result.error_code), expected);
        cases.check(what, (result.name.as_str(), result.topic_id), (name.as_str(), Uuid::ZERO));
        cases.check(what, result.error_message.is_some(), true);
        cases.check(what, (result.num_partitions, result.replication_factor), (-1, -1));
        cases.check(what, result.configs.as_ref().map(Vec::len), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_topic_holds_up_no_other() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let (good, twice) = (unique("good"), unique("twice"));
    let request =
        create(vec![topic(&twice, 1, 1), topic("a b", 1, 1), topic(&good, 1, 1), topic(&twice, 2, 1)]);
    let response = client.call(7, &request).await;
    let mut found: Vec<(String, ErrorCode)> =
        response.topics.iter().map(|topic| (topic.name.clone(), error(topic.error_code))).collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let mut expected = vec![
        ("a b".to_owned(), ErrorCode::InvalidTopicException),
        (good.clone(), ErrorCode::None),
        (twice.clone(), ErrorCode::InvalidRequest),
    ];
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(found, expected);
    client.wait_for(&good, 1).await;
    assert_eq!(error(client.describe_topic(&twice).await.error_code), ErrorCode::UnknownTopicOrPartition);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_may_be_placed_by_hand() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let name = unique("by-hand");
    let response = client.call(7, &create(vec![assigned(&name, &[(1, &[NODE]), (0, &[NODE])])])).await;
    let result = &response.topics[0];
    assert_eq!(
        (error(result.error_code), result.num_partitions, result.replication_factor),
        (ErrorCode::None, 2, 1)
    );
    client.wait_for(&name, 2).await;
}

fn delete_by_name(names: &[&str]) -> DeleteTopicsRequest {
    let state = |name: &&str| DeleteTopicState { name: Some((*name).to_owned()), topic_id: Uuid::ZERO };
    DeleteTopicsRequest {
        topics: names.iter().map(state).collect(),
        timeout_ms: 30_000,
        ..Default::default()
    }
}

fn delete_by_id(ids: &[Uuid]) -> DeleteTopicsRequest {
    let state = |id: &Uuid| DeleteTopicState { name: None, topic_id: *id };
    DeleteTopicsRequest { topics: ids.iter().map(state).collect(), timeout_ms: 30_000, ..Default::default() }
}

/// Name, id and error of each result.
async fn delete(
    client: &mut Client,
    request: &DeleteTopicsRequest,
) -> Vec<(Option<String>, Uuid, ErrorCode)> {
    let response = client.call(6, request).await;
    let mut results: Vec<(Option<String>, Uuid, ErrorCode)> = response
        .responses
        .into_iter()
        .map(|result| (result.name, result.topic_id, error(result.error_code)))
        .collect();
    results.sort_by_key(|result| result.2.code());
    results
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_deleted_by_name_and_by_id() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let first = client.create_topic("delete-first", 2, &[]).await;
    let second = client.create_topic("delete-second", 1, &[]).await;
    client.produce(&first, &batch(&["a"])).await;
    let unknown = unique("unknown");
    let results = delete(&mut client, &delete_by_name(&[&first.name, &unknown])).await;
    let expected = [
        (Some(first.name.clone()), first.id, ErrorCode::None),
        (Some(unknown), Uuid::ZERO, ErrorCode::UnknownTopicOrPartition),
    ];
    assert_eq!(results, expected);
    let unknown = Uuid::random();
    let results = delete(&mut client, &delete_by_id(&[second.id, unknown, first.id])).await;
    assert_eq!(results[0], (Some(second.name.clone()), second.id, ErrorCode::None));
    let mut others = results[1..].to_vec();
    others.sort_by_key(|result| result.1 == first.id);
    assert_eq!(
        others,
        [(None, unknown, ErrorCode::UnknownTopicId), (None, first.id, ErrorCode::UnknownTopicId)]
    );
    for name in [&first.name, &second.name] {
        while client.describe_topic(name).await.error_code == 0 {}
        let topic = crate::harness::Topic { name: name.clone(), id: Uuid::ZERO };
        let response = client.produce_as(11, -1, &topic, 0, &batch(&["a"])).await;
        assert_eq!(error(response.error_code), ErrorCode::UnknownTopicOrPartition);
    }
    // The name is free again, for another topic with nothing in it.
    let response = client.call(7, &create(vec![topic(&first.name, 1, 1)])).await;
    assert_eq!(error(response.topics[0].error_code), ErrorCode::None);
    assert_ne!(response.topics[0].topic_id, first.id);
    client.wait_for(&first.name, 1).await;
    let again = crate::harness::Topic { name: first.name.clone(), id: response.topics[0].topic_id };
    assert!(client.consume(&again, 0).await.is_empty());
    assert_eq!(client.produce(&again, &batch(&["new"])).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_to_delete_is_said_once_and_one_way() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("delete-odd", 1, &[]).await;
    let mut cases = Cases::default();
    let mut both = delete_by_name(&[&topic.name]);
    both.topics[0].topic_id = topic.id;
    let mut mixed = delete_by_name(&[&topic.name]);
    mixed.topics.extend(delete_by_id(&[topic.id]).topics);
    let neither = delete_by_id(&[Uuid::ZERO]);
    for (what, request) in [
        ("a name twice", delete_by_name(&[&topic.name, &topic.name])),
        ("an id twice", delete_by_id(&[topic.id, topic.id])),
        ("a name with an id", both),
        ("a name and the id of the same topic", mixed),
        ("neither", neither),
    ] {
        let results = delete(&mut client, &request).await;
        for result in &results {
            cases.check(what, result.2, ErrorCode::InvalidRequest);
        }
    }
    assert_eq!(client.describe_topic(&topic.name).await.error_code, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_can_be_forbidden() {
    let Some(broker) = Broker::start_with(&[("delete.topic.enable", "false")]).await else { return };
    let mut client = broker.connect().await;
    let topic = client.create_topic("kept", 1, &[]).await;
    let request =
        DeleteTopicsRequest { topic_names: vec![topic.name.clone()], timeout_ms: 1000, ..Default::default() };
    for (version, expected) in [
        (1, ErrorCode::InvalidRequest),
        (3, ErrorCode::TopicDeletionDisabled),
        (5, ErrorCode::TopicDeletionDisabled),
    ] {
        let response = client.call(version, &request).await;
        assert_eq!(error(response.responses[0].error_code), expected, "version {version}");
    }
    assert_eq!(client.describe_topic(&topic.name).await.error_code, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_makes_so_many_partitions_and_no_more() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    for count in [10_001, i32::MAX] {
        let response = client.call(7, &create(vec![topic(&unique("huge"), count, 1)])).await;
        assert_eq!(error(response.topics[0].error_code), ErrorCode::PolicyViolation, "{count}");
    }
    // Apache Kafka tries, and dies of it.
    if !broker.is_elsewhere() {
        let topic = client.create_topic("grows-huge", 1, &[]).await;
        for count in [10_002, i32::MAX] {
            let response = client.call(3, &grow(&topic.name, count, None)).await;
            assert_eq!(error(response.results[0].error_code), ErrorCode::PolicyViolation, "{count}");
        }
    }
}

fn grow(name: &str, count: i32, assignments: Option<&[&[i32]]>) -> CreatePartitionsRequest {
    let assignments = assignments.map(|assignments| {
        let assignment = |brokers: &&[i32]| CreatePartitionsAssignment { broker_ids: brokers.to_vec() };
        assignments.iter().map(assignment).collect()
    });
    CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic { name: name.to_owned(), count, assignments }],
        timeout_ms: 30_000,
        validate_only: false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_grows_only() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("grows", 2, &[]).await;
    client.produce(&topic, &batch(&["kept"])).await;
    let unknown = unique("unknown");
    let mut cases = Cases::default();
    for (what, request, expected) in [
        ("as many", grow(&topic.name, 2, None), ErrorCode::InvalidPartitions),
        ("fewer", grow(&topic.name, 1, None), ErrorCode::InvalidPartitions),
        ("none", grow(&topic.name, 0, None), ErrorCode::InvalidPartitions),
        ("negative", grow(&topic.name, -1, None), ErrorCode::InvalidPartitions),
        ("an unknown topic", grow(&unknown, 3, None), ErrorCode::UnknownTopicOrPartition),
        ("too few assignments", grow(&topic.name, 4, Some(&[&[NODE]])), ErrorCode::InvalidReplicaAssignment),
        (
            "too many assignments",
            grow(&topic.name, 3, Some(&[&[NODE], &[NODE]])),
            ErrorCode::InvalidReplicaAssignment,
        ),
        (
            "a broker that is not there",
            grow(&topic.name, 3, Some(&[&[77]])),
            ErrorCode::InvalidReplicaAssignment,
        ),
        (
            "other counts of replicas",
            grow(&topic.name, 3, Some(&[&[NODE, NODE]])),
            ErrorCode::InvalidReplicaAssignment,
        ),
    ] {
        let response = client.call(3, &request).await;
        let result = &response.results[0];
        cases.check(what, error(result.error_code), expected);
    }
    drop(cases);
    let mut validated = grow(&topic.name, 9, None);
    validated.validate_only = true;
    assert_eq!(client.call(3, &validated).await.results[0].error_code, 0);
    let mut twice = grow(&topic.name, 3, None);
    twice.topics.push(twice.topics[0].clone());
    let response = client.call(3, &twice).await;
    let found: Vec<ErrorCode> = response.results.iter().map(|result| error(result.error_code)).collect();
    assert_eq!(found, [ErrorCode::InvalidRequest]);
    assert_eq!(client.describe_topic(&topic.name).await.partitions.len(), 2);
    assert_eq!(client.call(3, &grow(&topic.name, 4, None)).await.results[0].error_code, 0);
    client.wait_for(&topic.name, 4).await;
    assert_eq!(client.call(3, &grow(&topic.name, 5, Some(&[&[NODE]]))).await.results[0].error_code, 0);
    client.wait_for(&topic.name, 5).await;
    let response = client.produce_as(12, -1, &topic, 4, &batch(&["new"])).await;
    assert_eq!((error(response.error_code), response.base_offset), (ErrorCode::None, 0));
    assert_eq!(client.consume(&topic, 0).await, ["kept"]);
}
