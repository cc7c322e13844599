//! Fetch sessions: partitions are named once, and answered when there is something new.

use common::ErrorCode;
use protocol::messages::fetch_request::ForgottenTopic;
use protocol::messages::*;

use crate::harness::{Broker, Client, Topic, batch, error, fetch_request, values};

/// What an answer says: the error, the session, and of each partition its topic, index and values.
type Answer = (ErrorCode, i32, Vec<(String, i32, Vec<String>)>);

async fn ask(client: &mut Client, version: i16, request: &FetchRequest) -> Answer {
    let response = client.call(version, request).await;
    let mut partitions = Vec::new();
    for topic in &response.responses {
        for partition in &topic.partitions {
            assert_eq!(partition.error_code, 0);
            let records = partition.records.map(|records| records.inline()).unwrap_or_default();
            partitions.push((topic.topic.to_owned(), partition.partition_index, values(records)));
        }
    }
    (error(response.error_code), response.session_id, partitions)
}

/// A request in a session, that does not wait.
fn in_session(version: i16, id: i32, epoch: i32, topic: &Topic, partitions: &[(i32, i64)]) -> FetchRequest {
    let mut request = fetch_request(version, topic, partitions);
    if partitions.is_empty() {
        request.topics.clear();
    }
    FetchRequest { session_id: id, session_epoch: epoch, max_wait_ms: 0, ..request }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_new_is_answered() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("session", 3, &[]).await;
    let named = |index: i32, texts: &[&str]| {
        (topic.name.clone(), index, texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    };
    client.produce(&topic, &batch(&["a"])).await;
    let request = in_session(12, 0, 0, &topic, &[(0, 0), (1, 0)]);
    let (code, id, partitions) = ask(&mut client, 12, &request).await;
    assert_eq!((code, partitions), (ErrorCode::None, vec![named(0, &["a"]), named(1, &[])]));
    assert!(id > 0);
    // The offset is the client's to move.
    let request = in_session(12, id, 1, &topic, &[(0, 1)]);
    assert_eq!(ask(&mut client, 12, &request).await, (ErrorCode::None, id, vec![]));
    let request = in_session(12, id, 2, &topic, &[]);
    assert_eq!(ask(&mut client, 12, &request).await, (ErrorCode::None, id, vec![]));
    client.produce_as(12, -1, &topic, 1, &batch(&["b"])).await;
    let request = in_session(12, id, 3, &topic, &[]);
    assert_eq!(ask(&mut client, 12, &request).await, (ErrorCode::None, id, vec![named(1, &["b"])]));
    // It was not moved: the same record comes again.
    let request = in_session(12, id, 4, &topic, &[]);
    assert_eq!(ask(&mut client, 12, &request).await, (ErrorCode::None, id, vec![named(1, &["b"])]));
    // A new partition is answered even where it is empty.
    let request = in_session(12, id, 5, &topic, &[(1, 1), (2, 0)]);
    assert_eq!(ask(&mut client, 12, &request).await, (ErrorCode::None, id, vec![named(2, &[])]));
    // A forgotten one no more.
    let mut request = in_session(12, id, 6, &topic, &[]);
    request.forgotten_topics_data =
        vec![ForgottenTopic { topic: topic.name.clone(), partitions: vec![0], ..ForgottenTopic::default() }];
    assert_eq!(ask(&mut client, 12, &request).await, (ErrorCode::None, id, vec![]));
    client.produce(&topic, &batch(&["c"])).await;
    client.produce_as(12, -1, &topic, 2, &batch(&["d"])).await;
    let request = in_session(12, id, 7, &topic, &[]);
    assert_eq!(ask(&mut client, 12, &request).await, (ErrorCode::None, id, vec![named(2, &["d"])]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_in_a_session_ends_with_a_record() {
    let broker = Broker::start().await;
    let mut reader = broker.connect().await;
    let mut writer = broker.connect().await;
    let topic = reader.create_topic("session-wait", 2, &[]).await;
    let (_, id, _) = ask(&mut reader, 13, &in_session(13, 0, 0, &topic, &[(0, 0), (1, 0)])).await;
    let mut request = in_session(13, id, 1, &topic, &[]);
    request.max_wait_ms = 50_000;
    reader.send(13, &request).await;
    writer.produce_as(13, -1, &topic, 1, &batch(&["a"])).await;
    let response = reader.receive::<FetchRequest>(13).await;
    assert_eq!((response.responses.len(), response.responses[0].topic_id), (1, topic.id));
    assert_eq!(response.responses[0].partitions.len(), 1);
    assert_eq!(values(response.responses[0].partitions[0].records.unwrap().inline()), ["a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_has_its_epochs_and_ends() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("session-epochs", 1, &[]).await;
    let no_such = (ErrorCode::FetchSessionIdNotFound, 0, vec![]);
    let request = in_session(12, 987_654, 1, &topic, &[]);
    assert_eq!(ask(&mut client, 12, &request).await, no_such);
    let (_, id, _) = ask(&mut client, 12, &in_session(12, 0, 0, &topic, &[(0, 0)])).await;
    for epoch in [2, 7, i32::MAX] {
        let answer = ask(&mut client, 12, &in_session(12, id, epoch, &topic, &[])).await;
        assert_eq!(answer, (ErrorCode::InvalidFetchSessionEpoch, 0, vec![]), "{epoch}");
    }
    // The session bears it.
    let answer = ask(&mut client, 12, &in_session(12, id, 1, &topic, &[])).await;
    assert_eq!(answer, (ErrorCode::None, id, vec![]));
    // Another connection may go on with it.
    let mut other = broker.connect().await;
    let answer = ask(&mut other, 12, &in_session(12, id, 2, &topic, &[])).await;
    assert_eq!(answer, (ErrorCode::None, id, vec![]));
    let answer = ask(&mut other, 12, &in_session(12, id, 2, &topic, &[])).await;
    assert_eq!(answer.0, ErrorCode::InvalidFetchSessionEpoch);
    // Epoch -1 ends it, and is answered like a fetch without session.
    let (code, session, partitions) = ask(&mut client, 12, &in_session(12, id, -1, &topic, &[(0, 0)])).await;
    assert_eq!((code, session, partitions.len()), (ErrorCode::None, 0, 1));
    assert_eq!(ask(&mut client, 12, &in_session(12, id, 3, &topic, &[])).await, no_such);
    // Epoch 0 puts another in its place.
    let (_, first, _) = ask(&mut client, 12, &in_session(12, 0, 0, &topic, &[(0, 0)])).await;
    let (_, second, _) = ask(&mut client, 12, &in_session(12, first, 0, &topic, &[(0, 0)])).await;
    assert!(second > 0);
    if second != first {
        assert_eq!(ask(&mut client, 12, &in_session(12, first, 1, &topic, &[])).await, no_such);
    }
    // A session may begin with nothing and grow.
    let (code, id, partitions) = ask(&mut client, 12, &in_session(12, 0, 0, &topic, &[])).await;
    assert_eq!((code, partitions.len()), (ErrorCode::None, 0));
    assert!(id > 0);
    let (code, _, partitions) = ask(&mut client, 12, &in_session(12, id, 1, &topic, &[(0, 0)])).await;
    assert_eq!((code, partitions.len()), (ErrorCode::None, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_ids_do_not_mix_in_a_session() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("session-ids", 1, &[]).await;
    for (first, second) in [(12, 13), (13, 12), (7, 17), (18, 11)] {
        let (_, id, _) = ask(&mut client, first, &in_session(first, 0, 0, &topic, &[(0, 0)])).await;
        let answer = ask(&mut client, second, &in_session(second, id, 1, &topic, &[])).await;
        assert_eq!(answer, (ErrorCode::FetchSessionTopicIdError, 0, vec![]), "{first} and {second}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_is_answered_until_it_is_gone() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("session-errors", 1, &[]).await;
    let begin = in_session(13, 0, 0, &topic, &[(0, 5), (7, 0)]);
    let response = client.call(13, &begin).await;
    let id = response.session_id;
    let errors = |response: &FetchResponse<'_>| -> Vec<(i32, ErrorCode)> {
        let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
        let mut errors: Vec<(i32, ErrorCode)> =
            partitions.map(|partition| (partition.partition_index, error(partition.error_code))).collect();
        errors.sort_unstable_by_key(|(index, _)| *index);
        errors
    };
    let both = [(0, ErrorCode::OffsetOutOfRange), (7, ErrorCode::UnknownTopicOrPartition)];
    assert!(id > 0);
    assert_eq!(errors(&response), both);
    let response = client.call(13, &in_session(13, id, 1, &topic, &[])).await;
    assert_eq!(errors(&response), both);
    let mut request = in_session(13, id, 2, &topic, &[(0, 0)]);
    request.forgotten_topics_data =
        vec![ForgottenTopic { topic_id: topic.id, partitions: vec![7], ..ForgottenTopic::default() }];
    // Well again, it is named once more.
    let response = client.call(13, &request).await;
    assert_eq!(errors(&response), [(0, ErrorCode::None)]);
    let response = client.call(13, &in_session(13, id, 3, &topic, &[])).await;
    assert_eq!(errors(&response), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_topic_is_missed() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("session-deleted", 1, &[]).await;
    let (_, id, _) = ask(&mut client, 13, &in_session(13, 0, 0, &topic, &[(0, 0)])).await;
    let delete = DeleteTopicsRequest {
        topics: vec![delete_topics_request::DeleteTopicState { name: None, topic_id: topic.id }],
        timeout_ms: 30_000,
        ..DeleteTopicsRequest::default()
    };
    assert_eq!(client.call(6, &delete).await.responses[0].error_code, 0);
    loop {
        let described = client.describe_topic(&topic.name).await;
        if error(described.error_code) == ErrorCode::UnknownTopicOrPartition {
            break;
        }
    }
    let response = client.call(13, &in_session(13, id, 1, &topic, &[])).await;
    assert_eq!(error(response.error_code), ErrorCode::None);
    let code = error(response.responses[0].partitions[0].error_code);
    // Apache Kafka remembers the name, and misses that.
    let expected =
        if broker.is_elsewhere() { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::UnknownTopicId };
    assert_eq!(code, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_take_turns() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("turns", 3, &[]).await;
    for index in 0..3 {
        client.produce_as(12, -1, &topic, index, &batch(&["a"])).await;
    }
    // There is room for one partition in an answer, and nobody moves an offset.
    let mut request = in_session(12, 0, 0, &topic, &[(0, 0), (1, 0), (2, 0)]);
    request.max_bytes = 1;
    let (_, id, partitions) = ask(&mut client, 12, &request).await;
    let mut order: Vec<i32> =
        partitions.iter().filter(|(_, _, values)| !values.is_empty()).map(|(_, index, _)| *index).collect();
    for epoch in 1..6 {
        let mut request = in_session(12, id, epoch, &topic, &[]);
        request.max_bytes = 1;
        let (_, _, partitions) = ask(&mut client, 12, &request).await;
        let full = partitions.iter().filter(|(_, _, values)| !values.is_empty());
        order.extend(full.map(|(_, index, _)| *index));
    }
    // The first answer is in the order of the request; from then on whoever gave records goes to the end.
    assert_eq!(order, [0, 0, 1, 2, 0, 1]);
}
