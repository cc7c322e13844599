use protocol::messages::create_topics_request::CreatableTopicConfig;
use protocol::messages::create_topics_response::CreatableTopicResult;
use protocol::messages::delete_topics_request::DeleteTopicState;
use protocol::messages::{
    CreatePartitionsRequest, DeleteTopicsRequest, DeleteTopicsResponse, create_partitions_request,
};

use super::*;

fn with_configs(name: &str, configs: &[(&str, Option<&str>)]) -> CreatableTopic {
    let configs = configs.iter().map(|(name, value)| CreatableTopicConfig {
        name: (*name).to_owned(),
        value: value.map(str::to_owned),
    });
    CreatableTopic { configs: configs.collect(), ..new_topic(name, 1, 1) }
}

fn outcome(result: &CreatableTopicResult) -> (ErrorCode, &str) {
    (ErrorCode::from_code(result.error_code), result.error_message.as_deref().unwrap_or_default())
}

fn delete(cluster: &mut Cluster, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let context = cluster.context(6);
    let result = cluster.controller.delete_topics(&context, &request);
    cluster.commit(result)
}

fn by_name(names: &[&str]) -> DeleteTopicsRequest {
    let topics = names
        .iter()
        .map(|name| DeleteTopicState { name: Some((*name).to_owned()), ..DeleteTopicState::default() });
    DeleteTopicsRequest { topics: topics.collect(), ..DeleteTopicsRequest::default() }
}

#[test]
fn a_topic_gets_its_partitions_and_its_answer() {
    let mut cluster = Cluster::of(3);
    let response = cluster.create_topics(vec![new_topic("topic", 4, -1)]);
    let result = &response.topics[0];
    assert_eq!(outcome(result), (ErrorCode::None, ""));
    assert_eq!((result.num_partitions, result.replication_factor), (4, 3));
    let topic = cluster.image().topics.topic("topic").unwrap();
    assert_eq!(topic.id, result.topic_id);
    assert_eq!(topic.partitions.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3]);
    for partition in topic.partitions.values() {
        assert_eq!(partition.replicas.len(), 3);
        assert_eq!(partition.isr, partition.replicas);
        assert_eq!(
            (partition.leader, partition.leader_epoch, partition.partition_epoch),
            (partition.replicas[0], 0, 0)
        );
        // Each broker has one directory, so it must be there.
        let expected: Vec<Uuid> = partition.replicas.iter().map(|broker| dir(*broker)).collect();
        assert_eq!(partition.directories, expected);
    }
    let retention =
        result.configs.as_ref().unwrap().iter().find(|config| config.name == "retention.ms").unwrap();
    assert_eq!((retention.value.as_deref(), retention.config_source), (Some("604800000"), 5));
    cluster.assert_replay_is_complete();
}

#[test]
fn the_same_request_on_the_same_state_makes_the_same_records() {
    let make = || {
        let mut cluster = Cluster::of(5);
        cluster.create_topics(vec![new_topic("a", 7, 3), new_topic("b", 2, 2)]);
        cluster.log
    };
    assert_eq!(make(), make());
}

#[test]
fn fenced_brokers_get_replicas_but_do_not_lead() {
    let mut cluster = Cluster::of(2);
    cluster.register(2, uuid(2), -1);
    cluster.create_topics(vec![new_topic("topic", 6, 3)]);
    for partition in cluster.image().topics.topic("topic").unwrap().partitions.values() {
        assert_ne!(partition.replicas[0], 2);
        assert_eq!(partition.isr.len(), 2);
        assert!(!partition.isr.contains(&2));
    }
}

#[test]
fn names_are_checked_as_kafka_checks_them() {
    let mut cluster = Cluster::of(1);
    cluster.create_topics(vec![new_topic("a.b", 1, 1)]);
    let response = cluster.create_topics(vec![
        new_topic("a.b", 1, 1),
        new_topic("a_b", 1, 1),
        new_topic("no spaces", 1, 1),
        new_topic("twice", 1, 1),
        new_topic("twice", 1, 1),
        new_topic("__cluster_metadata", 1, 1),
        new_topic("good", 1, 1),
    ]);
    let outcomes: Vec<_> =
        response.topics.iter().map(|result| (result.name.as_str(), outcome(result))).collect();
    use ErrorCode::{InvalidRequest, InvalidTopicException, TopicAlreadyExists};
    assert_eq!(
        outcomes,
        [
            ("a.b", (TopicAlreadyExists, "Topic 'a.b' already exists.")),
            ("a_b", (InvalidTopicException, "Topic 'a_b' collides with existing topic: a.b")),
            (
                "no spaces",
                (
                    InvalidTopicException,
                    "Topic name is invalid: 'no spaces' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
                )
            ),
            ("good", (ErrorCode::None, "")),
            ("twice", (InvalidRequest, "Duplicate topic name.")),
            (
                "__cluster_metadata",
                (InvalidRequest, "Creation of internal topic __cluster_metadata is prohibited.")
            ),
        ]
    );
    assert_eq!(cluster.image().topics.len(), 2);
}

#[test]
fn numbers_that_cannot_be_are_refused() {
    let mut cluster = Cluster::of(2);
    let mut refused = |topic: CreatableTopic| {
        let response = cluster.create_topics(vec![topic]);
        let (error, message) = outcome(&response.topics[0]);
        (error, message.to_owned())
    };
    assert_eq!(refused(new_topic("a", 0, 1)).0, ErrorCode::InvalidPartitions);
    assert_eq!(refused(new_topic("a", -2, 1)).0, ErrorCode::InvalidPartitions);
    assert_eq!(refused(new_topic("a", 1, 0)).0, ErrorCode::InvalidReplicationFactor);
    assert_eq!(
        refused(new_topic("a", 1, 3)),
        (
            ErrorCode::InvalidReplicationFactor,
            "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached because only 2 broker(s) are registered or some brokers have all their log directories cordoned."
                .to_owned()
        )
    );
    assert_eq!(
        refused(new_topic("a", 10_001, 1)),
        (ErrorCode::PolicyViolation, "Excessively large number of partitions per request.".to_owned())
    );
    let assigned = |partitions: &[(i32, &[i32])]| {
        let assignments = partitions.iter().map(|(partition_index, replicas)| CreatableReplicaAssignment {
            partition_index: *partition_index,
            broker_ids: replicas.to_vec(),
        });
        CreatableTopic { assignments: assignments.collect(), ..new_topic("a", -1, -1) }
    };
    for partitions in [
        &[(0, &[7][..])][..],
        &[(0, &[])],
        &[(0, &[0, 0])],
        &[(0, &[0]), (2, &[0])],
        &[(0, &[0]), (0, &[1])],
        &[(0, &[0]), (1, &[0, 1])],
    ] {
        assert_eq!(refused(assigned(partitions)).0, ErrorCode::InvalidReplicaAssignment, "{partitions:?}");
    }
    let both = CreatableTopic { num_partitions: 1, ..assigned(&[(0, &[0])]) };
    assert_eq!(refused(both).0, ErrorCode::InvalidRequest);
    assert_eq!(refused(assigned(&[(0, &[0, 1]), (1, &[1, 0])])).0, ErrorCode::None);
}

#[test]
fn configs_are_checked_and_stand_between_the_topic_and_its_partitions() {
    let mut cluster = Cluster::of(1);
    let response = cluster.create_topics(vec![
        with_configs("good", &[("retention.ms", Some("1000")), ("cleanup.policy", Some("compact"))]),
        with_configs("unknown", &[("retention.msss", Some("1000"))]),
        with_configs("unparsable", &[("retention.ms", Some("soon"))]),
        with_configs("null", &[("retention.ms", None)]),
    ]);
    let errors: Vec<ErrorCode> = response.topics.iter().map(|result| outcome(result).0).collect();
    assert_eq!(
        errors,
        [ErrorCode::None, ErrorCode::InvalidConfig, ErrorCode::InvalidConfig, ErrorCode::InvalidConfig]
    );
    assert_eq!(outcome(&response.topics[3]).1, "Null value not supported for topic configs: retention.ms");
    let kinds: Vec<i16> =
        cluster.log[cluster.log.len() - 4..].iter().map(|(record, _)| record.api_key()).collect();
    assert_eq!(kinds, [2, 4, 4, 3]);
    let own: Vec<_> = response.topics[0]
        .configs
        .as_ref()
        .unwrap()
        .iter()
        .filter(|config| config.config_source == 1)
        .collect();
    assert_eq!(own.len(), 2);
    // A deleted topic takes its configs along: the next of its name has none of them.
    delete(&mut cluster, by_name(&["good"]));
    cluster.create_topics(vec![new_topic("good", 1, 1)]);
    assert!(cluster.image().configs.config(&metadata::ConfigResource::topic("good")).is_none());
    cluster.assert_replay_is_complete();
}

#[test]
fn validate_only_answers_and_writes_nothing() {
    let mut cluster = Cluster::of(1);
    let request =
        CreateTopicsRequest { topics: vec![new_topic("topic", 2, 1)], validate_only: true, timeout_ms: 0 };
    let context = cluster.context(7);
    let result = cluster.controller.create_topics(&context, &request);
    assert!(result.records.is_empty());
    assert_eq!((result.response.topics[0].error_code, result.response.topics[0].num_partitions), (0, 2));
}

#[test]
fn topics_are_deleted_by_name_and_by_id() {
    let mut cluster = Cluster::of(1);
    let names = ["a", "b", "c", "d"];
    let created = cluster.create_topics(names.iter().map(|name| new_topic(name, 1, 1)).collect());
    let id = |index: usize| created.topics[index].topic_id;
    let mut request = by_name(&["a", "missing", "twice", "twice", "d"]);
    for topic_id in [id(1), uuid(9), Uuid::ZERO, id(3)] {
        request.topics.push(DeleteTopicState { name: None, topic_id });
    }
    request.topics.push(DeleteTopicState { name: Some("c".to_owned()), topic_id: id(2) });
    let response = delete(&mut cluster, request);
    let outcome = |name: Option<&str>, topic_id: Uuid| {
        let mut matching = response
            .responses
            .iter()
            .filter(|result| result.name.as_deref() == name && result.topic_id == topic_id);
        ErrorCode::from_code(matching.next().expect("an answer").error_code)
    };
    assert_eq!(outcome(Some("a"), id(0)), ErrorCode::None);
    assert_eq!(outcome(Some("b"), id(1)), ErrorCode::None);
    assert_eq!(outcome(Some("missing"), Uuid::ZERO), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(outcome(Some("twice"), Uuid::ZERO), ErrorCode::InvalidRequest);
    assert_eq!(outcome(None, uuid(9)), ErrorCode::UnknownTopicId);
    assert_eq!(outcome(None, Uuid::ZERO), ErrorCode::InvalidRequest);
    assert_eq!(outcome(Some("c"), id(2)), ErrorCode::InvalidRequest);
    assert_eq!(outcome(Some("d"), id(3)), ErrorCode::InvalidRequest);
    let left: Vec<String> =
        cluster.image().topics.sorted().iter().map(|topic| topic.name.to_string()).collect();
    assert_eq!(left, ["c", "d"]);
    cluster.assert_replay_is_complete();
}

#[test]
fn deleting_can_be_forbidden() {
    let forbidding =
        ControllerConfig { delete_topic_enable: false, ..config(MetadataVersion::LATEST_PRODUCTION, &[]) };
    let mut cluster = Cluster::of_config(1, forbidding);
    cluster.create_topics(vec![new_topic("topic", 1, 1)]);
    let response = delete(&mut cluster, by_name(&["topic"]));
    assert_eq!(ErrorCode::from_code(response.responses[0].error_code), ErrorCode::TopicDeletionDisabled);
    assert_eq!(cluster.image().topics.len(), 1);
}

#[test]
fn partitions_only_grow() {
    let mut cluster = Cluster::of(3);
    cluster.create_topics(vec![new_topic("topic", 2, 2)]);
    let grow = |cluster: &mut Cluster, name: &str, count, assignments: Option<&[&[i32]]>| {
        let assignments = assignments.map(|all| {
            let assignment = |replicas: &&[i32]| create_partitions_request::CreatePartitionsAssignment {
                broker_ids: replicas.to_vec(),
            };
            all.iter().map(assignment).collect()
        });
        let topic =
            create_partitions_request::CreatePartitionsTopic { name: name.to_owned(), count, assignments };
        let request = CreatePartitionsRequest { topics: vec![topic], ..CreatePartitionsRequest::default() };
        let context = cluster.context(3);
        let result = cluster.controller.create_partitions(&context, &request);
        let response = cluster.commit(result);
        let message = response.results[0].error_message.clone().unwrap_or_default();
        (ErrorCode::from_code(response.results[0].error_code), message)
    };
    assert_eq!(
        grow(&mut cluster, "topic", 1, None),
        (
            ErrorCode::InvalidPartitions,
            "The topic topic currently has 2 partition(s); 1 would not be an increase.".to_owned()
        )
    );
    assert_eq!(
        grow(&mut cluster, "topic", 2, None),
        (ErrorCode::InvalidPartitions, "Topic already has 2 partition(s).".to_owned())
    );
    assert_eq!(grow(&mut cluster, "missing", 2, None).0, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(grow(&mut cluster, "topic", 4, Some(&[&[0, 1]])).0, ErrorCode::InvalidReplicaAssignment);
    assert_eq!(grow(&mut cluster, "topic", 3, Some(&[&[0]])).0, ErrorCode::InvalidReplicaAssignment);
    assert_eq!(grow(&mut cluster, "topic", 3, Some(&[&[2, 0]])).0, ErrorCode::None);
    assert_eq!(cluster.partition("topic", 2).replicas, [2, 0]);
    assert_eq!(grow(&mut cluster, "topic", 6, None).0, ErrorCode::None);
    let topic = cluster.image().topics.topic("topic").unwrap();
    assert_eq!(topic.partitions.len(), 6);
    assert!(topic.partitions.values().all(|partition| partition.replicas.len() == 2));
    cluster.assert_replay_is_complete();
}
