//! Idempotent producers: what they send twice is there once, and what they lost is missed.

use std::collections::HashSet;

use common::ErrorCode;
use protocol::messages::*;

use crate::harness::{Broker, Client, Topic, batch, error, producer_batch};

/// Produces as version 11 with acks=all: the error and the base offset.
async fn send(client: &mut Client, topic: &Topic, records: &[u8]) -> (ErrorCode, i64) {
    let response = client.produce_as(11, -1, topic, 0, records).await;
    (error(response.error_code), response.base_offset)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_sent_again_is_there_once() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("duplicates", 1, &[]).await;
    let producer = client.init_producer_id(4).await.producer_id;
    let batches: Vec<Vec<u8>> =
        (0..7).map(|index| producer_batch(producer, 0, index * 2, &["a", "b"])).collect();
    for (index, batch) in batches.iter().enumerate() {
        assert_eq!(send(&mut client, &topic, batch).await, (ErrorCode::None, index as i64 * 2));
    }
    // The last five are remembered, with their offsets.
    for index in [6, 2, 4] {
        let again = send(&mut client, &topic, &batches[index]).await;
        assert_eq!(again, (ErrorCode::None, index as i64 * 2));
    }
    let forgotten = send(&mut client, &topic, &batches[1]).await;
    assert_eq!(forgotten, (ErrorCode::OutOfOrderSequenceNumber, -1));
    assert_eq!(client.consume(&topic, 0).await.len(), 14);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_is_refused_until_it_is_filled() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("gaps", 1, &[]).await;
    let producer = client.init_producer_id(4).await.producer_id;
    assert_eq!(send(&mut client, &topic, &producer_batch(producer, 0, 0, &["a"])).await.1, 0);
    let third = producer_batch(producer, 0, 2, &["c"]);
    let refused = (ErrorCode::OutOfOrderSequenceNumber, -1);
    assert_eq!(send(&mut client, &topic, &third).await, refused);
    // The same numbers but not the same batch is no duplicate.
    let longer = producer_batch(producer, 0, 0, &["a", "b"]);
    assert_eq!(send(&mut client, &topic, &longer).await, refused);
    assert_eq!(send(&mut client, &topic, &producer_batch(producer, 0, 1, &["b"])).await.1, 1);
    assert_eq!(send(&mut client, &topic, &third).await.1, 2);
    // Producers do not disturb each other, nor do records without one.
    assert_eq!(send(&mut client, &topic, &batch(&["x"])).await.1, 3);
    let other = client.init_producer_id(4).await.producer_id;
    assert_eq!(send(&mut client, &topic, &producer_batch(other, 0, 0, &["y"])).await.1, 4);
    assert_eq!(client.consume(&topic, 0).await, ["a", "b", "c", "x", "y"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_epoch_begins_at_sequence_0_and_ends_the_old_one() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("epochs", 1, &[]).await;
    let producer = client.init_producer_id(4).await.producer_id;
    assert_eq!(send(&mut client, &topic, &producer_batch(producer, 3, 0, &["a"])).await.1, 0);
    let gap = send(&mut client, &topic, &producer_batch(producer, 4, 1, &["b"])).await;
    assert_eq!(gap, (ErrorCode::OutOfOrderSequenceNumber, -1));
    assert_eq!(send(&mut client, &topic, &producer_batch(producer, 4, 0, &["b"])).await.1, 1);
    let old = send(&mut client, &topic, &producer_batch(producer, 3, 1, &["c"])).await;
    assert_eq!(old, (ErrorCode::InvalidProducerEpoch, -1));
    assert_eq!(client.consume(&topic, 0).await, ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_producer_may_begin_anywhere() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("unknown-producer", 1, &[]).await;
    // As after the records that the broker knew it by were deleted.
    assert_eq!(send(&mut client, &topic, &producer_batch(900_000, 0, 17, &["a"])).await.1, 0);
    assert_eq!(send(&mut client, &topic, &producer_batch(900_000, 0, 18, &["b"])).await.1, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sequence_numbers_go_round() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("round", 1, &[]).await;
    let across = producer_batch(900_001, 0, i32::MAX - 1, &["a", "b", "c"]);
    assert_eq!(send(&mut client, &topic, &across).await, (ErrorCode::None, 0));
    assert_eq!(send(&mut client, &topic, &across).await, (ErrorCode::None, 0));
    assert_eq!(send(&mut client, &topic, &producer_batch(900_001, 0, 1, &["d"])).await.1, 3);
    assert_eq!(client.consume(&topic, 0).await, ["a", "b", "c", "d"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_has_a_sequence() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("halves", 1, &[]).await;
    for (what, records, expected) in [
        ("an id without a sequence", producer_batch(77, 0, -1, &["a"]), ErrorCode::InvalidRecord),
        // These two Apache Kafka takes for records without a producer.
        ("an id without an epoch", producer_batch(77, -1, 0, &["a"]), ErrorCode::None),
        ("a sequence without an id", producer_batch(-1, -1, 5, &["a"]), ErrorCode::None),
    ] {
        assert_eq!(send(&mut client, &topic, &records).await.0, expected, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_producers_get_the_same_id() {
    let broker = Broker::start().await;
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let mut client = broker.connect().await;
        tasks.push(tokio::spawn(async move {
            let mut ids = Vec::new();
            for _ in 0..20 {
                ids.push(client.init_producer_id(4).await.producer_id);
            }
            ids
        }));
    }
    let mut seen = HashSet::new();
    for task in tasks {
        for id in task.await.unwrap() {
            assert!(id >= 0 && seen.insert(id), "{id} was given twice");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_transactional_id_is_refused() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let request = InitProducerIdRequest { transactional_id: Some(String::new()), ..Default::default() };
    let response = client.call(4, &request).await;
    assert_eq!(error(response.error_code), ErrorCode::InvalidRequest);
    assert_eq!((response.producer_id, response.producer_epoch), (-1, -1));
    // Epoch and id are for transactional producers: an idempotent one has neither, or both.
    for (producer_id, producer_epoch) in [(5, -1), (-1, 5)] {
        let request = InitProducerIdRequest {
            transactional_id: None,
            producer_id,
            producer_epoch,
            ..InitProducerIdRequest::default()
        };
        let response = client.call(4, &request).await;
        assert_eq!(error(response.error_code), ErrorCode::InvalidRequest, "{producer_id} {producer_epoch}");
    }
}
