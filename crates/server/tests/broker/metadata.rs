//! `Metadata` and `DescribeTopicPartitions`: which topics there are, and topics that begin to be when they are asked for.

use common::{ErrorCode, Uuid};
use protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use protocol::messages::metadata_request::MetadataRequestTopic;
use protocol::messages::*;

use crate::harness::{Broker, Cases, Client, NODE, batch, error, unique};

fn by_name(names: &[&str]) -> MetadataRequest {
    let topics = names
        .iter()
        .map(|name| MetadataRequestTopic { name: Some((*name).to_owned()), ..Default::default() })
        .collect();
    MetadataRequest { topics: Some(topics), allow_auto_topic_creation: false, ..MetadataRequest::default() }
}

fn by_id(ids: &[Uuid]) -> MetadataRequest {
    let topics = ids.iter().map(|id| MetadataRequestTopic { name: None, topic_id: *id }).collect();
    MetadataRequest { topics: Some(topics), allow_auto_topic_creation: false, ..MetadataRequest::default() }
}

/// Error, name, id and number of partitions of each topic.
async fn ask(
    client: &mut Client,
    version: i16,
    request: &MetadataRequest,
) -> Vec<(ErrorCode, Option<String>, Uuid, usize)> {
    let response = client.call(version, request).await;
    assert_eq!(response.brokers.len(), 1);
    assert_eq!(response.error_code, 0);
    response
        .topics
        .into_iter()
        .map(|topic| (error(topic.error_code), topic.name, topic.topic_id, topic.partitions.len()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_topics_are_asked_for_with_null_and_in_version_0_with_nothing() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let mut names = Vec::new();
    for _ in 0..3 {
        names.push(client.create_topic("all", 1, &[]).await.name);
    }
    let has_all = |topics: Vec<(ErrorCode, Option<String>, Uuid, usize)>| {
        names.iter().all(|name| topics.iter().any(|topic| topic.1.as_ref() == Some(name)))
    };
    let all = MetadataRequest { topics: None, ..MetadataRequest::default() };
    let nothing = MetadataRequest { topics: Some(Vec::new()), ..MetadataRequest::default() };
    assert!(has_all(ask(&mut client, 0, &nothing).await));
    for version in 1..=13 {
        assert!(has_all(ask(&mut client, version, &all).await), "version {version}");
        assert!(ask(&mut client, version, &nothing).await.is_empty(), "version {version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_asked_for_by_name_or_id() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let first = client.create_topic("first", 1, &[]).await;
    let second = client.create_topic("second", 3, &[]).await;
    let name = |topic: &crate::harness::Topic| Some(topic.name.clone());
    let (unknown_name, unknown_id) = (unique("unknown"), Uuid::random());
    for version in [10, 11, 12, 13] {
        let mut found =
            ask(&mut client, version, &by_name(&[&first.name, &unknown_name, &second.name])).await;
        found.sort_by_key(|topic| topic.3);
        let expected = [
            (ErrorCode::UnknownTopicOrPartition, Some(unknown_name.clone()), Uuid::ZERO, 0),
            (ErrorCode::None, name(&first), first.id, 1),
            (ErrorCode::None, name(&second), second.id, 3),
        ];
        assert_eq!(found, expected, "version {version}");
    }
    for version in [12, 13] {
        let mut found = ask(&mut client, version, &by_id(&[second.id, unknown_id, first.id])).await;
        found.sort_by_key(|topic| topic.3);
        let expected = [
            (ErrorCode::UnknownTopicId, None, unknown_id, 0),
            (ErrorCode::None, name(&first), first.id, 1),
            (ErrorCode::None, name(&second), second.id, 3),
        ];
        assert_eq!(found, expected, "version {version}");
    }
    // A name twice is answered once.
    assert_eq!(ask(&mut client, 9, &by_name(&[&first.name, &first.name])).await.len(), 1);
    assert_eq!(ask(&mut client, 12, &by_id(&[first.id, first.id])).await.len(), 1);
    // Where there are ids, names do not count.
    let mut mixed = by_id(&[first.id]);
    mixed.topics.as_mut().unwrap().extend(by_name(&[&second.name]).topics.unwrap());
    let found = ask(&mut client, 12, &mixed).await;
    assert_eq!(found, [(ErrorCode::None, name(&first), first.id, 1)]);
    // Ids are for versions from 12 on.
    let mut both = by_name(&[&first.name]);
    both.topics.as_mut().unwrap()[0].topic_id = first.id;
    for (version, request, name) in [(10, by_id(&[first.id]), ""), (11, both.clone(), first.name.as_str())] {
        let response = client.call(version, &request).await;
        assert!(response.brokers.is_empty());
        assert_eq!((response.cluster_id, response.controller_id), (None, -1));
        let topic = &response.topics[0];
        assert_eq!(error(topic.error_code), ErrorCode::InvalidRequest);
        assert_eq!((topic.name.as_deref(), topic.topic_id), (Some(name), first.id));
    }
    assert_eq!(ask(&mut client, 12, &both).await, [(ErrorCode::None, name(&first), first.id, 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_cannot_be_are_refused() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let long = "x".repeat(250);
    let mut cases = Cases::default();
    for name in ["", ".", "..", "a b", "a/b", "ä", "a\0b", long.as_str()] {
        for allow_auto_topic_creation in [false, true] {
            let request = MetadataRequest { allow_auto_topic_creation, ..by_name(&[name]) };
            let found = ask(&mut client, 9, &request).await;
            let expected = (ErrorCode::InvalidTopicException, Some(name.to_owned()), Uuid::ZERO, 0);
            cases.check(format!("{name:?} {allow_auto_topic_creation}"), found, vec![expected]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_begins_when_it_is_asked_for() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    for version in [0, 3, 4, 9, 13] {
        let name = unique("asked");
        let unknown = vec![(ErrorCode::UnknownTopicOrPartition, Some(name.clone()), Uuid::ZERO, 0)];
        // Not if the client does not want it.
        assert_eq!(ask(&mut client, 9, &by_name(&[&name])).await, unknown);
        assert_eq!(ask(&mut client, 9, &by_name(&[&name])).await, unknown);
        let mut request = by_name(&[&name]);
        request.allow_auto_topic_creation = true;
        let found = ask(&mut client, version, &request).await;
        if !broker.is_elsewhere() {
            // Apache Kafka lets the client ask again.
            assert_eq!((found[0].0, found[0].3), (ErrorCode::None, 1), "version {version}");
        }
        let topic = client.wait_for(&name, 1).await;
        assert_eq!(topic.partitions[0].replica_nodes, [NODE]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_many_ask_for_begins_once() {
    let broker = Broker::start().await;
    let name = unique("crowd");
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = broker.connect().await;
        let mut request = by_name(&[&name]);
        request.allow_auto_topic_creation = true;
        client.send(9, &request).await;
        clients.push(client);
    }
    for mut client in clients {
        let response = client.receive::<MetadataRequest>(9).await;
        if !broker.is_elsewhere() {
            assert_eq!(error(response.topics[0].error_code), ErrorCode::None);
        }
    }
    broker.connect().await.wait_for(&name, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_begin_with_the_brokers_settings_or_not_at_all() {
    let settings = [("num.partitions", "4"), ("offsets.topic.num.partitions", "7")];
    let Some(broker) = Broker::start_with(&settings).await else { return };
    let mut client = broker.connect().await;
    let mut request = by_name(&["mine", "__consumer_offsets"]);
    request.allow_auto_topic_creation = true;
    let response = client.call(9, &request).await;
    let found: Vec<(ErrorCode, bool, usize)> = response
        .topics
        .iter()
        .map(|topic| (error(topic.error_code), topic.is_internal, topic.partitions.len()))
        .collect();
    assert_eq!(found, [(ErrorCode::None, false, 4), (ErrorCode::None, true, 7)]);

    let Some(broker) = Broker::start_with(&[("auto.create.topics.enable", "false")]).await else { return };
    let mut client = broker.connect().await;
    for version in [0, 9] {
        let mut request = by_name(&["mine"]);
        request.allow_auto_topic_creation = true;
        let found = ask(&mut client, version, &request).await;
        assert_eq!((found[0].0, found[0].3), (ErrorCode::UnknownTopicOrPartition, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_described_page_by_page() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let mut topics = Vec::new();
    for (name, partitions) in [("page-a", 2), ("page-b", 3), ("page-c", 1)] {
        topics.push(client.create_topic(name, partitions, &[]).await);
    }
    let unknown = unique("page-bb");
    let ask = |names: &[&str], limit, cursor: Option<(&str, i32)>| DescribeTopicPartitionsRequest {
        topics: names.iter().map(|name| TopicRequest { name: (*name).to_owned() }).collect(),
        response_partition_limit: limit,
        cursor: cursor.map(|(name, partition_index)| Cursor { topic_name: name.to_owned(), partition_index }),
    };
    let (a, b, c) = (topics[0].name.as_str(), topics[1].name.as_str(), topics[2].name.as_str());
    // Topics in the order of their names, whatever the order in the request.
    let names = [c, a, &unknown, b];
    let mut cases = Cases::default();
    for (what, request, expected, next) in [
        (
            "all",
            ask(&names, 100, None),
            vec![(a, vec![0, 1]), (b, vec![0, 1, 2]), (&unknown, vec![]), (c, vec![0])],
            None,
        ),
        ("one", ask(&names, 1, None), vec![(a, vec![0])], Some((a, 1))),
        ("a topic", ask(&names, 2, None), vec![(a, vec![0, 1])], Some((b, 0))),
        ("within the second", ask(&names, 4, None), vec![(a, vec![0, 1]), (b, vec![0, 1])], Some((b, 2))),
        ("from a cursor", ask(&names, 2, Some((b, 1))), vec![(b, vec![1, 2])], Some((&unknown, 0))),
        (
            "to the end",
            ask(&names, 2, Some((b, 2))),
            vec![(b, vec![2]), (&unknown, vec![]), (c, vec![0])],
            None,
        ),
        (
            "a cursor between topics",
            ask(&names, 9, Some((&unknown, 0))),
            vec![(&unknown, vec![]), (c, vec![0])],
            None,
        ),
        ("no limit", ask(&[a], 0, None), vec![(a, vec![0])], Some((a, 1))),
        ("a name twice", ask(&[a, a], 9, None), vec![(a, vec![0, 1])], None),
    ] {
        let response = client.call(0, &request).await;
        let found: Vec<(&str, Vec<i32>)> = response
            .topics
            .iter()
            .map(|topic| {
                let indexes = topic.partitions.iter().map(|partition| partition.partition_index).collect();
                (topic.name.as_deref().unwrap(), indexes)
            })
            .collect();
        cases.check(what, found, expected);
        let cursor = response.next_cursor.as_ref();
        let cursor = cursor.map(|cursor| (cursor.topic_name.as_str(), cursor.partition_index));
        cases.check(format!("{what}: cursor"), cursor, next);
        for topic in &response.topics {
            let expected = if topic.name.as_ref() == Some(&unknown) {
                ErrorCode::UnknownTopicOrPartition
            } else {
                ErrorCode::None
            };
            cases.check(format!("{what}: error"), error(topic.error_code), expected);
        }
    }
    drop(cases);
    let response = client.call(0, &ask(&[a], 9, None)).await;
    let partition = &response.topics[0].partitions[0];
    assert_eq!((partition.leader_id, partition.leader_epoch), (NODE, 0));
    assert_eq!((&partition.replica_nodes, &partition.isr_nodes), (&vec![NODE], &vec![NODE]));
    assert_eq!(partition.eligible_leader_replicas.as_deref(), Some(&[][..]));
    assert_eq!(partition.last_known_elr.as_deref(), Some(&[][..]));
    assert!(partition.offline_replicas.is_empty());
    assert_eq!(response.topics[0].topic_authorized_operations, 0b110111111000);
    // All topics, where none is named.
    let response = client.call(0, &ask(&[], 2000, None)).await;
    let names: Vec<&str> = response.topics.iter().filter_map(|topic| topic.name.as_deref()).collect();
    assert!([a, b, c].iter().all(|name| names.contains(name)));
    assert!(names.is_sorted());
    let response = client.call(0, &ask(&[a, b], 9, Some((b, -1)))).await;
    let found: Vec<(&str, ErrorCode, usize)> = response
        .topics
        .iter()
        .map(|topic| (topic.name.as_deref().unwrap(), error(topic.error_code), topic.partitions.len()))
        .collect();
    assert_eq!(found, [(a, ErrorCode::InvalidRequest, 0), (b, ErrorCode::InvalidRequest, 0)]);
    let response = client.call(0, &ask(&["a b"], 9, None)).await;
    assert_eq!(error(response.topics[0].error_code), ErrorCode::InvalidTopicException);
    client.produce(&topics[0], &batch(&["still there"])).await;
}
