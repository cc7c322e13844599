//! `ListOffsets`, `OffsetForLeaderEpoch` and `DeleteRecords`.

use common::ErrorCode;
use protocol::compression::Compression;
use protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use protocol::messages::*;

use crate::harness::{Broker, Client, Topic, batch, builder, error, fetch_request, unique};

fn list(name: &str, partitions: &[(i32, i64)]) -> ListOffsetsRequest {
    ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: name.to_owned(),
            partitions: partitions
                .iter()
                .map(|(partition_index, timestamp)| ListOffsetsPartition {
                    partition_index: *partition_index,
                    timestamp: *timestamp,
                    ..ListOffsetsPartition::default()
                })
                .collect(),
        }],
        ..ListOffsetsRequest::default()
    }
}

/// Error, offset, timestamp and leader epoch.
async fn at(client: &mut Client, version: i16, topic: &Topic, timestamp: i64) -> (ErrorCode, i64, i64, i32) {
    let response = client.call(version, &list(&topic.name, &[(0, timestamp)])).await;
    let partition = &response.topics[0].partitions[0];
    (error(partition.error_code), partition.offset, partition.timestamp, partition.leader_epoch)
}

const NONE: ErrorCode = ErrorCode::None;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_are_found_by_time() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    for codec in [Compression::None, Compression::Zstd] {
        let topic = client.create_topic("by-time", 1, &[]).await;
        for timestamps in [vec![1000, 3000, 2000], vec![5000, 4000], vec![-1], vec![4500]] {
            let mut builder = builder(codec);
            for timestamp in timestamps {
                builder.append(timestamp, None, Some(b"value"), &[]).unwrap();
            }
            client.produce(&topic, &builder.build()).await;
        }
        for (timestamp, expected) in [
            (0, (NONE, 0, 1000, 0)),
            (1000, (NONE, 0, 1000, 0)),
            (1001, (NONE, 1, 3000, 0)),
            (2500, (NONE, 1, 3000, 0)),
            (3001, (NONE, 3, 5000, 0)),
            (4600, (NONE, 3, 5000, 0)),
            (5000, (NONE, 3, 5000, 0)),
            (5001, (NONE, -1, -1, -1)),
            (i64::MAX, (NONE, -1, -1, -1)),
        ] {
            for version in [4, 11] {
                assert_eq!(at(&mut client, version, &topic, timestamp).await, expected, "{timestamp}");
            }
        }
        assert_eq!(at(&mut client, 7, &topic, -3).await, (NONE, 3, 5000, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_special_timestamp_has_its_version() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("special", 1, &[]).await;
    client.produce(&topic, &batch(&["a", "b", "c"])).await;
    delete(&mut client, &topic.name, 0, 1).await;
    let max = crate::harness::TIMESTAMP + 2;
    for (timestamp, since, expected) in [
        (-1, 1, (NONE, 3, -1, 0)),
        (-2, 1, (NONE, 1, -1, 0)),
        (-3, 7, (NONE, 2, max, 0)),
        (-4, 8, (NONE, 1, -1, 0)),
        // Nothing is tiered.
        (-5, 9, (NONE, -1, -1, -1)),
        (-6, 11, (NONE, -1, -1, -1)),
        (-7, i16::MAX, (NONE, -1, -1, -1)),
        (i64::MIN, i16::MAX, (NONE, -1, -1, -1)),
    ] {
        for version in 1..=11 {
            let mut expected = expected;
            if version < since {
                expected = (ErrorCode::UnsupportedVersion, -1, -1, -1);
            } else if version < 4 {
                expected.3 = -1;
            }
            let found = at(&mut client, version, &topic, timestamp).await;
            assert_eq!(found, expected, "timestamp {timestamp}, version {version}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_log_has_its_ends_only() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("empty", 1, &[]).await;
    for (timestamp, expected) in [
        (-1, (NONE, 0, -1, 0)),
        (-2, (NONE, 0, -1, 0)),
        (-3, (NONE, -1, -1, -1)),
        (-4, (NONE, 0, -1, 0)),
        (0, (NONE, -1, -1, -1)),
    ] {
        assert_eq!(at(&mut client, 11, &topic, timestamp).await, expected, "{timestamp}");
    }
    // The same where records were and are no more.
    client.produce(&topic, &batch(&["a", "b"])).await;
    assert_eq!(delete(&mut client, &topic.name, 0, -1).await, (NONE, 2));
    for (timestamp, expected) in [(-1, (NONE, 2, -1, 0)), (-2, (NONE, 2, -1, 0))] {
        assert_eq!(at(&mut client, 11, &topic, timestamp).await, expected, "{timestamp}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_offsets_names_what_it_cannot_answer() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("list-errors", 2, &[]).await;
    let errors = |response: &ListOffsetsResponse| -> Vec<(i32, ErrorCode)> {
        let mut errors: Vec<(i32, ErrorCode)> = response.topics[0]
            .partitions
            .iter()
            .map(|partition| (partition.partition_index, error(partition.error_code)))
            .collect();
        errors.sort_unstable_by_key(|(index, _)| *index);
        errors.dedup();
        errors
    };
    let unknown = unique("unknown");
    for (name, index) in [(&unknown, 0), (&topic.name, 2), (&topic.name, -1)] {
        let response = client.call(5, &list(name, &[(index, -1)])).await;
        assert_eq!(errors(&response), [(index, ErrorCode::UnknownTopicOrPartition)]);
        assert_eq!(response.topics[0].partitions[0].offset, -1);
    }
    let response = client.call(5, &list(&topic.name, &[(0, -1), (1, -1), (0, -2)])).await;
    assert_eq!(errors(&response), [(0, ErrorCode::InvalidRequest), (1, ErrorCode::None)]);
    let mut request = list(&topic.name, &[(0, -1)]);
    request.topics[0].partitions[0].current_leader_epoch = 9;
    let response = client.call(5, &request).await;
    assert_eq!(errors(&response), [(0, ErrorCode::UnknownLeaderEpoch)]);
    // For readers of committed records the log ends at the last stable offset: without transactions, the same.
    client.produce(&topic, &batch(&["a"])).await;
    let mut request = list(&topic.name, &[(0, -1)]);
    request.isolation_level = 1;
    assert_eq!(client.call(5, &request).await.topics[0].partitions[0].offset, 1);
}

async fn end_of_epoch(
    client: &mut Client,
    name: &str,
    partition: i32,
    current: i32,
    epoch: i32,
) -> (ErrorCode, i32, i64) {
    let request = OffsetForLeaderEpochRequest {
        replica_id: -1,
        topics: vec![OffsetForLeaderTopic {
            topic: name.to_owned(),
            partitions: vec![OffsetForLeaderPartition {
                partition,
                current_leader_epoch: current,
                leader_epoch: epoch,
            }],
        }],
    };
    let response = client.call(4, &request).await;
    let answered = &response.topics[0].partitions[0];
    assert_eq!(answered.partition, partition);
    (error(answered.error_code), answered.leader_epoch, answered.end_offset)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_ends_where_its_records_do() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("epoch-ends", 1, &[]).await;
    client.produce(&topic, &batch(&["a", "b"])).await;
    let unknown = unique("unknown");
    for (name, partition, current, epoch, expected) in [
        (&topic.name, 0, 0, 0, (NONE, 0, 2)),
        (&topic.name, 0, -1, 0, (NONE, 0, 2)),
        (&topic.name, 0, 0, 1, (NONE, -1, -1)),
        (&topic.name, 0, 0, -1, (NONE, -1, -1)),
        (&topic.name, 0, 1, 0, (ErrorCode::UnknownLeaderEpoch, -1, -1)),
        (&topic.name, 1, 0, 0, (ErrorCode::UnknownTopicOrPartition, -1, -1)),
        (&unknown, 0, 0, 0, (ErrorCode::UnknownTopicOrPartition, -1, -1)),
    ] {
        let found = end_of_epoch(&mut client, name, partition, current, epoch).await;
        assert_eq!(found, expected, "{name} {partition}, epoch {epoch} as seen from {current}");
    }
}

/// The error and the new start.
async fn delete(client: &mut Client, name: &str, partition_index: i32, offset: i64) -> (ErrorCode, i64) {
    let request = DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: name.to_owned(),
            partitions: vec![DeleteRecordsPartition { partition_index, offset }],
        }],
        timeout_ms: 30_000,
    };
    let response = client.call(2, &request).await;
    assert_eq!(response.topics[0].name, name);
    let partition = &response.topics[0].partitions[0];
    assert_eq!(partition.partition_index, partition_index);
    (error(partition.error_code), partition.low_watermark)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_deleted_from_the_front() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("deleted-records", 1, &[]).await;
    client.produce(&topic, &batch(&["a", "b", "c", "d"])).await;
    client.produce(&topic, &batch(&["e"])).await;
    for (offset, expected) in [
        (0, (NONE, 0)),
        (2, (NONE, 2)),
        // Lower than what is gone already: nothing happens.
        (1, (NONE, 2)),
        (6, (ErrorCode::OffsetOutOfRange, -1)),
        (-2, (ErrorCode::OffsetOutOfRange, -1)),
    ] {
        assert_eq!(delete(&mut client, &topic.name, 0, offset).await, expected, "{offset}");
    }
    // The batch in which the log begins now still comes whole.
    let response = client.call(12, &fetch_request(12, &topic, &[(0, 2)])).await;
    let partition = &response.responses[0].partitions[0];
    assert_eq!((partition.log_start_offset, partition.high_watermark), (2, 5));
    assert_eq!(client.consume(&topic, 2).await, ["a", "b", "c", "d", "e"]);
    let appended = client.produce_as(11, -1, &topic, 0, &batch(&["f"])).await;
    assert_eq!((appended.base_offset, appended.log_start_offset), (5, 2));
    assert_eq!(delete(&mut client, &topic.name, 0, -1).await, (NONE, 6));
    assert!(client.consume(&topic, 6).await.is_empty());
    assert_eq!(client.produce(&topic, &batch(&["g"])).await, 6);
    assert_eq!(client.consume(&topic, 6).await, ["g"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_every_log_gives_its_records_away() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("keeps", 1, &[("cleanup.policy", "compact")]).await;
    let unknown = unique("unknown");
    crate::versions::wait_for_coordinator(&mut client, "anything").await;
    for (name, partition, expected) in [
        (topic.name.as_str(), 0, ErrorCode::PolicyViolation),
        (topic.name.as_str(), 1, ErrorCode::UnknownTopicOrPartition),
        (unknown.as_str(), 0, ErrorCode::UnknownTopicOrPartition),
        ("__consumer_offsets", 0, ErrorCode::InvalidTopicException),
    ] {
        assert_eq!(delete(&mut client, name, partition, 0).await, (expected, -1), "{name} {partition}");
    }
    let both = client.create_topic("keeps-not", 1, &[("cleanup.policy", "compact,delete")]).await;
    assert_eq!(delete(&mut client, &both.name, 0, 0).await, (NONE, 0));
}
