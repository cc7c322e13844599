//! What a broker says of its cluster, its directories, its producers and its quorum.

use common::ErrorCode;
use protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use protocol::messages::describe_producers_request::TopicRequest;
use protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use protocol::messages::*;

use crate::harness::{Broker, Cases, NODE, batch, error, producer_batch, unique};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_listener_describes_its_own_kind_of_nodes() {
    let broker = Broker::start().await;
    let mut cases = Cases::default();
    for (mut client, kind, port) in [
        (broker.connect().await, 1, broker.address.port()),
        (broker.connect_to_controller().await, 2, broker.controller.port()),
    ] {
        for endpoint_type in [1, 2, 0, 9] {
            let request = DescribeClusterRequest { endpoint_type, ..DescribeClusterRequest::default() };
            let response = client.call(1, &request).await;
            let expected = match endpoint_type {
                same if same == kind => ErrorCode::None,
                1 | 2 => ErrorCode::MismatchedEndpointType,
                _ => ErrorCode::UnsupportedEndpointType,
            };
            let what = format!("{endpoint_type} at {kind}");
            cases.check(&what, error(response.error_code), expected);
            cases.check(&what, response.error_message.is_some(), !expected.is_none());
            let found: Vec<(i32, i32, bool)> =
                response.brokers.iter().map(|node| (node.broker_id, node.port, node.is_fenced)).collect();
            let nodes = if expected.is_none() { vec![(NODE, i32::from(port), false)] } else { vec![] };
            cases.check(&what, found, nodes);
            if expected.is_none() {
                cases.check(&what, response.cluster_authorized_operations, i32::MIN);
                cases.check(&what, response.controller_id, NODE);
            } else {
                let facts = (response.cluster_id.as_str(), response.controller_id, response.endpoint_type);
                cases.check(&what, facts, ("", -1, 1));
            }
        }
    }
    let mut client = broker.connect().await;
    let request =
        DescribeClusterRequest { include_fenced_brokers: true, ..DescribeClusterRequest::default() };
    assert_eq!(client.call(2, &request).await.brokers.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_directories_hold_what_was_produced() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("sized", 3, &[]).await;
    let records = batch(&["a", "b"]);
    client.produce(&topic, &records).await;
    let asked = |topics: Option<Vec<(&str, Vec<i32>)>>| DescribeLogDirsRequest {
        topics: topics.map(|topics| {
            let topic = |(topic, partitions): (&str, Vec<i32>)| DescribableLogDirTopic {
                topic: topic.to_owned(),
                partitions,
            };
            topics.into_iter().map(topic).collect()
        }),
    };
    let name = topic.name.as_str();
    let unknown = unique("unknown");
    for (what, request, expected) in [
        ("all", asked(None), vec![(0, records.len() as i64), (1, 0), (2, 0)]),
        ("two", asked(Some(vec![(name, vec![2, 0])])), vec![(0, records.len() as i64), (2, 0)]),
        ("one that is not there", asked(Some(vec![(name, vec![1, 9]), (&unknown, vec![0])])), vec![(1, 0)]),
        ("nothing", asked(Some(vec![])), vec![]),
    ] {
        let response = client.call(4, &request).await;
        assert_eq!(response.results.len(), 1, "{what}");
        let directory = &response.results[0];
        assert_eq!(directory.error_code, 0);
        let topics = directory.topics.iter().filter(|described| described.name == name);
        let mut found: Vec<(i32, i64)> = topics
            .flat_map(|topic| &topic.partitions)
            .map(|partition| (partition.partition_index, partition.partition_size))
            .collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{what}");
        assert!(
            !directory.topics.iter().any(|topic| topic.name == unknown || topic.name == "__cluster_metadata")
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_log_directories_share_the_partitions() {
    let Some(broker) = Broker::start_with(&[]).await else { return };
    let directory = broker.stop().await;
    let other = directory.root.path().join("more");
    let both = format!("{},{}", directory.data().display(), other.display());
    let mut directory = directory;
    directory.settings.push(("log.dirs".to_owned(), both));
    // A new directory is formatted by hand, as Kafka has it.
    crate::harness::format_also(&directory.data(), &other);
    let broker = directory.start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("spread", 4, &[]).await;
    let response = client.call(4, &DescribeLogDirsRequest { topics: None }).await;
    assert_eq!(response.results.len(), 2);
    for directory in &response.results {
        let partitions: usize = directory.topics.iter().map(|topic| topic.partitions.len()).sum();
        assert_eq!(partitions, 2, "{}", directory.log_dir);
    }
    for index in 0..4 {
        assert_eq!(client.produce_as(11, -1, &topic, index, &batch(&["a"])).await.error_code, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partitions_producers_are_listed() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("listed", 2, &[]).await;
    for (producer, epoch, sequence) in [(800_001, 0, 0), (800_002, 5, 10), (800_001, 0, 1)] {
        client.produce(&topic, &producer_batch(producer, epoch, sequence, &["a"])).await;
    }
    let unknown = unique("unknown");
    let ask = |name: &str, partition_indexes: Vec<i32>| DescribeProducersRequest {
        topics: vec![TopicRequest { name: name.to_owned(), partition_indexes }],
    };
    let response = client.call(0, &ask(&topic.name, vec![0, 1])).await;
    let mut partitions = response.topics[0].partitions.clone();
    partitions.sort_by_key(|partition| partition.partition_index);
    assert!(partitions.iter().all(|partition| partition.error_code == 0));
    let mut producers: Vec<(i64, i32, i32)> = partitions[0]
        .active_producers
        .iter()
        .map(|producer| (producer.producer_id, producer.producer_epoch, producer.last_sequence))
        .collect();
    producers.sort_unstable();
    assert_eq!(producers, [(800_001, 0, 1), (800_002, 5, 10)]);
    assert!(partitions[1].active_producers.is_empty());
    for (name, index, expected) in [
        (topic.name.as_str(), 2, ErrorCode::UnknownTopicOrPartition),
        (unknown.as_str(), 0, ErrorCode::UnknownTopicOrPartition),
        ("a b", 0, ErrorCode::InvalidTopicException),
    ] {
        let response = client.call(0, &ask(name, vec![index])).await;
        let partition = &response.topics[0].partitions[0];
        let message = partition.error_message.as_deref().unwrap_or_default();
        assert!(name == topic.name || !message.is_empty());
        assert_eq!(error(partition.error_code), expected, "{name} {index}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_metadata_log_has_a_quorum() {
    let broker = Broker::start().await;
    let mut cases = Cases::default();
    for mut client in [broker.connect().await, broker.connect_to_controller().await] {
        for (name, partition_index) in [("other", 0), ("__cluster_metadata", 1)] {
            let request = DescribeQuorumRequest {
                topics: vec![TopicData {
                    topic_name: name.to_owned(),
                    partitions: vec![PartitionData { partition_index }],
                }],
            };
            let response = client.call(2, &request).await;
            cases.check(name, error(response.error_code), ErrorCode::None);
            let partition = &response.topics[0].partitions[0];
            cases.check(name, response.topics[0].topic_name.as_str(), name);
            cases.check(name, error(partition.error_code), ErrorCode::UnknownTopicOrPartition);
            cases.check(name, partition.partition_index, partition_index);
        }
        let response = client.call(2, &DescribeQuorumRequest { topics: vec![] }).await;
        cases.check("nothing", (error(response.error_code), response.topics.len()), (ErrorCode::None, 0));
    }
}
