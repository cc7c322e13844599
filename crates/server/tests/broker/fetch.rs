//! `Fetch` without sessions: which records come, when, and how many.

use common::{ErrorCode, Uuid};
use protocol::Records;
use protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use protocol::messages::fetch_response::PartitionData;
use protocol::messages::*;

use crate::harness::{Broker, Client, Topic, batch, error, fetch_request, produce_request, unique, values};

/// The values in an answer's partition.
fn texts(partition: &PartitionData<'_>) -> Vec<String> {
    values(partition.records.map(|records| records.inline()).unwrap_or_default())
}

/// The partitions of an answer and their errors.
fn errors(response: &FetchResponse<'_>) -> Vec<(i32, ErrorCode)> {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    let mut errors: Vec<(i32, ErrorCode)> =
        partitions.map(|partition| (partition.partition_index, error(partition.error_code))).collect();
    errors.sort_unstable_by_key(|(index, _)| *index);
    errors
}

/// The only partition of the answer to a request.
async fn one(client: &mut Client, version: i16, request: &FetchRequest) -> PartitionData<'static> {
    let response = client.call(version, request).await;
    assert_eq!(error(response.error_code), ErrorCode::None);
    assert_eq!(response.responses.len(), 1);
    assert_eq!(response.responses[0].partitions.len(), 1);
    response.responses[0].partitions[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_fetch_is_answered_by_what_another_connection_produces() {
    let broker = Broker::start().await;
    let mut reader = broker.connect().await;
    let mut writer = broker.connect().await;
    let topic = reader.create_topic("woken", 2, &[]).await;
    let (first, second) = (batch(&["first"]), batch(&["second"]));
    let mut request = fetch_request(12, &topic, &[(0, 0), (1, 0)]);
    request.max_wait_ms = 50_000;
    // Waits for both.
    request.min_bytes = (first.len() + second.len()) as i32;
    reader.send(12, &request).await;
    writer.produce(&topic, &first).await;
    let answer = writer.produce_as(12, -1, &topic, 1, &second).await;
    assert_eq!(answer.error_code, 0);
    let response = reader.receive::<FetchRequest>(12).await;
    let partitions = &response.responses[0].partitions;
    assert_eq!((texts(&partitions[0]), texts(&partitions[1])), (vec!["first".into()], vec!["second".into()]));
    // Several wait for the same record.
    let mut readers = Vec::new();
    for _ in 0..5 {
        let mut reader = broker.connect().await;
        let mut request = fetch_request(12, &topic, &[(0, 1)]);
        request.max_wait_ms = 50_000;
        reader.send(12, &request).await;
        readers.push(reader);
    }
    writer.produce(&topic, &batch(&["third"])).await;
    for mut reader in readers {
        let response = reader.receive::<FetchRequest>(12).await;
        assert_eq!(texts(&response.responses[0].partitions[0]), ["third"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_of_nothing_new_is_answered_empty_in_the_end() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("nothing-new", 1, &[]).await;
    client.produce(&topic, &batch(&["a"])).await;
    for (max_wait_ms, min_bytes) in [(0, 1), (20, 1), (50_000, 0), (-1, 1)] {
        let mut request = fetch_request(12, &topic, &[(0, 1)]);
        (request.max_wait_ms, request.min_bytes) = (max_wait_ms, min_bytes);
        let partition = one(&mut client, 12, &request).await;
        assert_eq!(error(partition.error_code), ErrorCode::None);
        assert_eq!((partition.high_watermark, partition.last_stable_offset), (1, 1));
        assert_eq!(partition.log_start_offset, 0);
        assert_eq!(partition.records, Some(Records::Inline(&[])));
    }
    // What is there but less than asked for comes when the time is over.
    let mut request = fetch_request(12, &topic, &[(0, 0)]);
    (request.max_wait_ms, request.min_bytes) = (20, 1_000_000);
    assert_eq!(texts(&one(&mut client, 12, &request).await), ["a"]);
    // No more is waited for than may come.
    (request.max_wait_ms, request.max_bytes) = (50_000, 10);
    assert_eq!(texts(&one(&mut client, 12, &request).await), ["a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_or_a_deleted_topic_ends_the_wait() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("ends", 1, &[]).await;
    // A partition that is not there is told of, but hurries nobody as long as there is another.
    let mut request = fetch_request(12, &topic, &[(0, 0), (9, 0)]);
    request.max_wait_ms = 20;
    let response = client.call(12, &request).await;
    assert_eq!(errors(&response), [(0, ErrorCode::None), (9, ErrorCode::UnknownTopicOrPartition)]);
    request.topics[0].partitions.remove(0);
    request.max_wait_ms = 50_000;
    let response = client.call(12, &request).await;
    assert_eq!(errors(&response), [(9, ErrorCode::UnknownTopicOrPartition)]);
    // An offset that is not there does.
    let mut request = fetch_request(12, &topic, &[(0, 7), (9, 0)]);
    request.max_wait_ms = 50_000;
    let response = client.call(12, &request).await;
    let expected = [(0, ErrorCode::OffsetOutOfRange), (9, ErrorCode::UnknownTopicOrPartition)];
    assert_eq!(errors(&response), expected);
    // Apache Kafka lets such a fetch wait on.
    if broker.is_elsewhere() {
        return;
    }
    let mut other = broker.connect().await;
    let mut request = fetch_request(13, &topic, &[(0, 0)]);
    request.max_wait_ms = 50_000;
    client.send(13, &request).await;
    let delete = DeleteTopicsRequest {
        topics: vec![delete_topics_request::DeleteTopicState { name: None, topic_id: topic.id }],
        timeout_ms: 30_000,
        ..DeleteTopicsRequest::default()
    };
    assert_eq!(other.call(6, &delete).await.responses[0].error_code, 0);
    let response = client.receive::<FetchRequest>(13).await;
    let code = error(response.responses[0].partitions[0].error_code);
    let expected =
        [ErrorCode::UnknownTopicId, ErrorCode::UnknownTopicOrPartition, ErrorCode::NotLeaderOrFollower];
    assert!(expected.contains(&code), "{code:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_bytes_come_than_asked_for_but_the_first_batch_is_whole() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("sizes", 2, &[]).await;
    let text = "x".repeat(1000);
    let size = batch(&[&text]).len() as i32;
    for _ in 0..4 {
        let records = batch(&[&text]);
        let request = produce_request(12, -1, &topic, &[(0, &records), (1, &records)]);
        client.call(12, &request).await;
    }
    // max_bytes of the request, partition_max_bytes, records of the first partition and of the second.
    for (max_bytes, partition_max_bytes, expected) in [
        (size * 8, size * 8, (4, 4)),
        (size * 8, size * 2, (2, 2)),
        (size * 8, size, (1, 1)),
        (size * 3, size * 8, (3, 0)),
        (size * 3, size * 2, (2, 1)),
        (size * 5, size * 8, (4, 1)),
        (size * 8, 1, (1, 0)),
        (1, size * 8, (1, 0)),
        (1, 1, (1, 0)),
        (0, size * 8, (1, 0)),
    ] {
        let mut request = fetch_request(12, &topic, &[(0, 0), (1, 0)]);
        request.max_bytes = max_bytes;
        for partition in &mut request.topics[0].partitions {
            partition.partition_max_bytes = partition_max_bytes;
        }
        let response = client.call(12, &request).await;
        let partitions = &response.responses[0].partitions;
        let counts = (texts(&partitions[0]).len(), texts(&partitions[1]).len());
        assert_eq!(counts, expected, "max_bytes {max_bytes}, partition_max_bytes {partition_max_bytes}");
    }
    // From an offset inside of a batch on, all of the batch comes.
    client.produce(&topic, &batch(&["a", "b", "c"])).await;
    let fetched = client.consume(&topic, 6).await;
    assert_eq!(fetched, ["a", "b", "c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_a_megabyte_comes_as_it_was_sent() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("large", 3, &[]).await;
    let text: Vec<String> = (0..1000).map(|index| format!("{index:0>1000}")).collect();
    let values_sent: Vec<&str> = text.iter().map(String::as_str).collect();
    let records = batch(&values_sent);
    let request = produce_request(12, -1, &topic, &[(0, &records), (1, &records), (2, &records)]);
    let response = client.call(12, &request).await;
    assert!(response.responses[0].partition_responses.iter().all(|partition| partition.error_code == 0));
    let mut request = fetch_request(12, &topic, &[(0, 0), (1, 0), (2, 0)]);
    request.topics[0].partitions.iter_mut().for_each(|partition| partition.partition_max_bytes = i32::MAX);
    request.max_bytes = i32::MAX;
    let response = client.call(12, &request).await;
    assert_eq!(response.responses[0].partitions.len(), 3);
    for partition in &response.responses[0].partitions {
        let bytes = partition.records.unwrap().inline();
        // Only the offset and the leader's epoch are the broker's.
        assert_eq!((&bytes[8..12], &bytes[16..]), (&records[8..12], &records[16..]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_beyond_the_log_are_out_of_range() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("range", 1, &[]).await;
    client.produce(&topic, &batch(&["a", "b", "c"])).await;
    let delete = DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: topic.name.clone(),
            partitions: vec![DeleteRecordsPartition { partition_index: 0, offset: 1 }],
        }],
        timeout_ms: 30_000,
    };
    assert_eq!(client.call(2, &delete).await.topics[0].partitions[0].low_watermark, 1);
    for (offset, expected) in [
        (-1, ErrorCode::OffsetOutOfRange),
        (0, ErrorCode::OffsetOutOfRange),
        (1, ErrorCode::None),
        (3, ErrorCode::None),
        (4, ErrorCode::OffsetOutOfRange),
        (i64::MAX, ErrorCode::OffsetOutOfRange),
    ] {
        let mut request = fetch_request(12, &topic, &[(0, offset)]);
        request.max_wait_ms = if expected.is_none() { 0 } else { 50_000 };
        let partition = one(&mut client, 12, &request).await;
        assert_eq!(error(partition.error_code), expected, "{offset}");
        if !expected.is_none() {
            assert_eq!((partition.high_watermark, partition.last_stable_offset), (-1, -1));
            assert_eq!((partition.log_start_offset, partition.aborted_transactions), (-1, None));
            assert_eq!(partition.records, Some(Records::Inline(&[])));
        } else {
            assert_eq!((partition.high_watermark, partition.log_start_offset), (3, 1));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_and_partitions_that_are_not_there_are_named() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("there", 1, &[]).await;
    let unknown = Topic { name: unique("not-there"), id: Uuid::random() };
    for (version, topic, partition, expected) in [
        (4, &unknown, 0, ErrorCode::UnknownTopicOrPartition),
        (12, &unknown, 0, ErrorCode::UnknownTopicOrPartition),
        (12, &topic, 1, ErrorCode::UnknownTopicOrPartition),
        (12, &topic, -1, ErrorCode::UnknownTopicOrPartition),
        (13, &unknown, 0, ErrorCode::UnknownTopicId),
        (18, &unknown, 0, ErrorCode::UnknownTopicId),
        (18, &topic, 1, ErrorCode::UnknownTopicOrPartition),
    ] {
        let mut request = fetch_request(version, topic, &[(partition, 0)]);
        request.max_wait_ms = 50_000;
        let response = client.call(version, &request).await;
        assert_eq!(error(response.error_code), ErrorCode::None);
        let answered = &response.responses[0];
        if version >= 13 {
            assert_eq!(answered.topic_id, topic.id);
        }
        let answered = &answered.partitions[0];
        assert_eq!(error(answered.error_code), expected, "version {version}");
        assert_eq!((answered.partition_index, answered.high_watermark), (partition, -1));
        assert_eq!(answered.aborted_transactions.as_ref().map(Vec::len), Some(0));
        assert_eq!(answered.records, Some(Records::Inline(&[])));
    }
    // Nothing asked is answered with nothing, at once.
    let request = FetchRequest { max_wait_ms: 50_000, min_bytes: 1, session_epoch: -1, ..Default::default() };
    assert!(client.call(12, &request).await.responses.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leader_epochs_are_checked() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("leader-epochs", 1, &[]).await;
    client.produce(&topic, &batch(&["a", "b"])).await;
    for (epoch, expected) in [
        (-1, ErrorCode::None),
        (0, ErrorCode::None),
        (1, ErrorCode::UnknownLeaderEpoch),
        (i32::MAX, ErrorCode::UnknownLeaderEpoch),
    ] {
        let mut request = fetch_request(16, &topic, &[(0, 0)]);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        let partition = one(&mut client, 16, &request).await;
        assert_eq!(error(partition.error_code), expected, "{epoch}");
        // No leader is named: there is none that is newer.
        assert_eq!((partition.current_leader.leader_id, partition.current_leader.leader_epoch), (-1, -1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_parts_from_the_clients_says_where() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("diverging", 1, &[]).await;
    client.produce(&topic, &batch(&["a", "b"])).await;
    for (last_fetched_epoch, offset, expected) in [
        (0, 0, (ErrorCode::None, (-1, -1), 2)),
        (0, 2, (ErrorCode::None, (-1, -1), 0)),
        // The client has records of this epoch that the broker does not have.
        (0, 3, (ErrorCode::None, (0, 2), 0)),
        // An epoch that the broker never saw.
        (3, 1, (ErrorCode::OffsetOutOfRange, (-1, -1), 0)),
        (-1, 0, (ErrorCode::None, (-1, -1), 2)),
    ] {
        let mut request = fetch_request(12, &topic, &[(0, offset)]);
        request.max_wait_ms = if offset == 2 { 0 } else { 50_000 };
        request.topics[0].partitions[0].last_fetched_epoch = last_fetched_epoch;
        let partition = one(&mut client, 12, &request).await;
        let diverging = (partition.diverging_epoch.epoch, partition.diverging_epoch.end_offset);
        let found = (error(partition.error_code), diverging, texts(&partition).len());
        assert_eq!(found, expected, "epoch {last_fetched_epoch}, offset {offset}");
        if diverging != (-1, -1) {
            assert_eq!(partition.high_watermark, 2);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aborted_transactions_are_listed_for_who_reads_committed() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("isolation", 1, &[]).await;
    client.produce(&topic, &batch(&["a"])).await;
    for (isolation_level, offset, expected) in [(0, 0, None), (1, 0, Some(0)), (0, 1, None), (1, 1, Some(0))]
    {
        let mut request = fetch_request(12, &topic, &[(0, offset)]);
        (request.isolation_level, request.max_wait_ms) = (isolation_level, 0);
        let partition = one(&mut client, 12, &request).await;
        let aborted = partition.aborted_transactions.map(|aborted| aborted.len());
        assert_eq!(aborted, expected, "isolation level {isolation_level}, offset {offset}");
        assert_eq!(partition.last_stable_offset, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_answered_in_the_order_of_the_request() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let mut topics = Vec::new();
    for name in ["z", "a", "m"] {
        let topic = client.create_topic(name, 2, &[]).await;
        client.produce(&topic, &batch(&[name])).await;
        topics.push(topic);
    }
    let mut request = fetch_request(12, &topics[0], &[(1, 0), (0, 0)]);
    for topic in &topics[1..] {
        request.topics.extend(fetch_request(12, topic, &[(0, 0)]).topics);
    }
    let response = client.call(12, &request).await;
    let names: Vec<&str> = response.responses.iter().map(|topic| topic.topic).collect();
    assert_eq!(names, topics.iter().map(|topic| topic.name.as_str()).collect::<Vec<_>>());
    let indexes: Vec<i32> =
        response.responses[0].partitions.iter().map(|partition| partition.partition_index).collect();
    assert_eq!(indexes, [1, 0]);
}
