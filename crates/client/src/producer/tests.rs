//! The producer against a broker that fails by appointment.

use std::time::Duration;

use common::ErrorCode;
use protocol::ApiKey;
use protocol::compression::Compression;
use protocol::records::RecordBatch;

use super::*;
use crate::fake_broker::{FakeBroker, Fault, TOPIC, unused_address};

/// Every record is a batch of its own.
fn config(broker: &FakeBroker) -> ProducerConfig {
    let mut config = ProducerConfig::new(broker.address());
    config.client.retry_backoff = Duration::from_millis(5);
    config.batch_size = 0;
    config.linger = Duration::ZERO;
    config
}

fn record(value: usize) -> ProducerRecord<'static> {
    ProducerRecord::new(TOPIC, value.to_string()).with_partition(0)
}

async fn send(producer: &Producer, count: usize) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for value in 0..count {
        deliveries.push(producer.send(record(value)).await.unwrap());
    }
    deliveries
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|value| value.to_string()).collect()
}

#[tokio::test]
async fn records_arrive_in_order_and_are_told_their_offsets() {
    let broker = FakeBroker::start(1).await;
    for (round, compression) in Compression::ALL.into_iter().enumerate() {
        let producer = Producer::new(ProducerConfig { compression, batch_size: 200, ..config(&broker) });
        let deliveries = send(&producer, 50).await;
        for (index, delivery) in deliveries.into_iter().enumerate() {
            assert_eq!(delivery.await.unwrap().offset, (round * 50 + index) as i64);
        }
    }
    assert_eq!(broker.values(0), [(); 5].iter().flat_map(|()| numbers(50)).collect::<Vec<_>>());
}

#[tokio::test]
async fn batches_behind_one_that_failed_are_sent_again_behind_it() {
    let broker = FakeBroker::start(1).await;
    let refuse = Fault::Refuse(ErrorCode::NotLeaderOrFollower);
    broker.state().produce_faults.extend([refuse, Fault::Lose, refuse]);
    let producer = Producer::new(config(&broker));
    let deliveries = send(&producer, 40).await;
    producer.flush().await;
    assert_eq!(broker.values(0), numbers(40));
    for (offset, delivery) in deliveries.iter().enumerate() {
        assert_eq!(delivery.try_get().unwrap().unwrap().offset, offset as i64);
    }
}

#[tokio::test]
async fn a_batch_whose_answer_was_lost_is_not_written_twice() {
    let broker = FakeBroker::start(1).await;
    broker.state().produce_faults.extend([Fault::Lose; 3]);
    let producer = Producer::new(config(&broker));
    send(&producer, 10).await;
    producer.flush().await;
    assert_eq!(broker.values(0), numbers(10));
}

#[tokio::test]
async fn a_batch_that_is_refused_for_good_fails_alone() {
    let broker = FakeBroker::start(1).await;
    let producer = Producer::new(config(&broker));
    producer.send(record(100)).await.unwrap().await.unwrap();
    broker.state().produce_faults.push_back(Fault::Refuse(ErrorCode::MessageTooLarge));
    let deliveries = send(&producer, 8).await;
    producer.flush().await;
    let results: Vec<_> = deliveries.iter().map(|delivery| delivery.try_get().unwrap()).collect();
    let failed = results[0].as_ref().unwrap_err();
    assert_eq!(failed.code(), Some(ErrorCode::MessageTooLarge));
    assert!(failed.to_string().contains("larger than the max message size"));
    assert!(results[1..].iter().all(Result::is_ok));
    let expected: Vec<String> = std::iter::once("100".to_owned()).chain(numbers(8).split_off(1)).collect();
    assert_eq!(broker.values(0), expected);
}

#[tokio::test]
async fn retries_and_time_have_an_end() {
    let broker = FakeBroker::start(1).await;
    broker.state().produce_faults.extend([Fault::Refuse(ErrorCode::NotEnoughReplicas); 4]);
    let producer = Producer::new(ProducerConfig { retries: 2, ..config(&broker) });
    let error = producer.send(record(0)).await.unwrap().await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::NotEnoughReplicas));
    assert_eq!(broker.state().produce_faults.len(), 1);

    broker.state().produce_faults.extend([Fault::Refuse(ErrorCode::NotEnoughReplicas); 400]);
    let producer =
        Producer::new(ProducerConfig { delivery_timeout: Duration::from_millis(30), ..config(&broker) });
    let error = producer.send(record(0)).await.unwrap().await.unwrap_err();
    assert!(error.to_string().starts_with("Expiring record for t-0: "), "{error}");
    assert!(broker.values(0).is_empty());
}

#[tokio::test]
async fn acks_decide_what_is_known() {
    let broker = FakeBroker::start(1).await;
    let producer = Producer::new(ProducerConfig { acks: Acks::None, ..config(&broker) });
    assert_eq!(producer.send(record(0)).await.unwrap().await.unwrap().offset, -1);
    let producer = Producer::new(ProducerConfig { acks: Acks::Leader, ..config(&broker) });
    producer.send(record(1)).await.unwrap().await.unwrap();
    let producer = Producer::new(config(&broker));
    producer.send(record(2)).await.unwrap().await.unwrap();
    // Only who waits for all replicas is idempotent. (The first may have arrived at any time.)
    let state = broker.state();
    let identified =
        state.log[&0].iter().filter(|batch| RecordBatch::parse(batch).unwrap().producer_id() >= 0);
    assert_eq!(identified.count(), 1);
    assert_eq!(state.requests.iter().filter(|(key, _)| *key == ApiKey::InitProducerId).count(), 1);
}

#[tokio::test]
async fn a_flush_does_not_wait_for_batches_to_fill() {
    let broker = FakeBroker::start(3).await;
    let hour = Duration::from_secs(3600);
    let producer = Producer::new(ProducerConfig { linger: hour, batch_size: 16_384, ..config(&broker) });
    for partition in 0..3 {
        let record = ProducerRecord::new(TOPIC, "v").with_partition(partition);
        producer.send(record).await.unwrap();
    }
    producer.flush().await;
    assert!((0..3).all(|partition| broker.values(partition) == ["v"]));
}

#[tokio::test]
async fn a_request_has_batches_of_several_partitions_and_partitions_keep_their_order() {
    let broker = FakeBroker::start(8).await;
    // Two of them are refused, and one is lost when it is written.
    let refuse = Fault::Refuse(ErrorCode::NotLeaderOrFollower);
    broker.state().produce_faults.extend([Fault::Answer, refuse, Fault::Lose, Fault::Answer, refuse]);
    let producer = Producer::new(config(&broker));
    let mut deliveries = Vec::new();
    for value in 0..20 {
        for partition in 0..8 {
            deliveries.push(producer.send(record(value).with_partition(partition)).await.unwrap());
        }
    }
    producer.flush().await;
    assert!(deliveries.iter().all(|delivery| delivery.try_get().is_some_and(|result| result.is_ok())));
    for partition in 0..8 {
        assert_eq!(broker.values(partition), numbers(20));
    }
    let state = broker.state();
    let most = state.produces.iter().map(Vec::len).max();
    assert_eq!(most, Some(8), "{:?}", state.produces);
    for partitions in &state.produces {
        // One batch of a partition, never two.
        assert_eq!(partitions.iter().collect::<std::collections::HashSet<_>>().len(), partitions.len());
    }
}

#[tokio::test]
async fn what_fails_again_stays_in_front_of_what_was_sent_behind_it() {
    let broker = FakeBroker::start(1).await;
    // As while a partition has no leader: the first batch is refused again and again, with others behind it.
    let refuse = Fault::Refuse(ErrorCode::NotLeaderOrFollower);
    broker.state().produce_faults.extend([Fault::Answer].into_iter().chain([refuse; 12]));
    broker.state().produce_faults.extend([Fault::Answer, refuse, Fault::Lose]);
    let producer = Producer::new(config(&broker));
    let deliveries = send(&producer, 20).await;
    producer.flush().await;
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    assert_eq!(broker.values(0), numbers(20));
}

#[tokio::test]
async fn requests_end_at_their_largest_size() {
    let broker = FakeBroker::start(8).await;
    let producer = Producer::new(ProducerConfig { max_request_size: 3 * 400, ..config(&broker) });
    for round in 0..5 {
        for partition in 0..8 {
            let record = ProducerRecord::new(TOPIC, vec![b'a' + round; 300]).with_partition(partition);
            producer.send(record).await.unwrap();
        }
    }
    producer.flush().await;
    for partition in 0..8 {
        let first: Vec<String> = broker.values(partition).iter().map(|value| value[..1].to_owned()).collect();
        assert_eq!(first, ["a", "b", "c", "d", "e"]);
    }
    // A batch of such a record is 300 bytes and its headers: three of them fit.
    assert_eq!(broker.state().produces.iter().map(Vec::len).max(), Some(3));
}

#[tokio::test]
async fn so_many_requests_of_a_connection_are_under_way_and_no_more() {
    for limit in [1, 2] {
        let broker = FakeBroker::start(8).await;
        broker.state().produce_faults.extend([Fault::Answer, Fault::Hang, Fault::Hang, Fault::Hang]);
        let producer = Producer::new(ProducerConfig { max_in_flight_requests: limit, ..config(&broker) });
        producer.send(record(0)).await.unwrap().await.unwrap();
        for value in 0..4 {
            for partition in 0..8 {
                producer.send(record(value).with_partition(partition)).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let state = broker.state();
        let produces = state.requests.iter().filter(|(key, _)| *key == ApiKey::Produce).count();
        assert_eq!(produces, 1 + limit);
    }
}

#[tokio::test]
async fn what_waits_behind_a_request_that_is_not_answered_is_sent_again_with_it() {
    let broker = FakeBroker::start(4).await;
    broker.state().produce_faults.extend([Fault::Answer, Fault::Hang]);
    let mut config = ProducerConfig { max_in_flight_requests: 1, retries: 1, ..config(&broker) };
    config.client.request_timeout = Duration::from_millis(50);
    let producer = Producer::new(config);
    producer.send(record(0)).await.unwrap().await.unwrap();
    for value in 1..5 {
        for partition in 0..4 {
            producer.send(record(value).with_partition(partition)).await.unwrap();
        }
    }
    producer.flush().await;
    assert_eq!(broker.values(0), numbers(5));
    for partition in 1..4 {
        assert_eq!(broker.values(partition), ["1", "2", "3", "4"]);
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused_at_once() {
    let broker = FakeBroker::start(2).await;
    let limits = ProducerConfig { max_request_size: 200, buffer_memory: 150, ..config(&broker) };
    let producer = Producer::new(ProducerConfig { max_block: Duration::from_millis(20), ..limits });
    let error = producer.send(ProducerRecord::new(TOPIC, vec![0; 150])).await.unwrap_err().to_string();
    assert!(error.contains("max.request.size"), "{error}");
    let error = producer.send(ProducerRecord::new(TOPIC, vec![0; 90])).await.unwrap_err().to_string();
    assert!(error.contains("buffer.memory"), "{error}");
    let error =
        producer.send(ProducerRecord::new(TOPIC, "v").with_partition(2)).await.unwrap_err().to_string();
    assert!(error.ends_with("2 is not in the range [0...1]"), "{error}");
    // While the memory is taken, who comes waits, and not for ever.
    broker.state().produce_faults.push_back(Fault::Hang);
    let first = producer.send(record(0)).await.unwrap();
    let error = producer.send(record(1)).await.unwrap_err().to_string();
    assert!(error.starts_with("Failed to allocate"), "{error}");
    drop(producer);
    drop(first);
}

#[tokio::test]
async fn who_waits_for_memory_does_not_wait_for_what_lingers() {
    let broker = FakeBroker::start(2).await;
    let lingering = Duration::from_secs(3600);
    let config =
        ProducerConfig { linger: lingering, buffer_memory: 1000, batch_size: 16_384, ..config(&broker) };
    let producer = Producer::new(config);
    let mut deliveries = Vec::new();
    for value in 0..40 {
        let to = ProducerRecord::new(TOPIC, value.to_string()).with_partition(value % 2);
        let sent = tokio::time::timeout(Duration::from_secs(60), producer.send(to)).await;
        deliveries.push(sent.expect("it waits for what lingers").unwrap());
    }
    producer.flush().await;
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    let of = |first: i32| (0..20).map(|n| (first + 2 * n).to_string()).collect::<Vec<_>>();
    assert_eq!((broker.values(0), broker.values(1)), (of(0), of(1)));
}

#[tokio::test]
async fn a_producer_that_is_dropped_tells_its_records() {
    let broker = FakeBroker::start(1).await;
    broker.state().produce_faults.push_back(Fault::Hang);
    let producer = Producer::new(config(&broker));
    let delivery = producer.send(record(0)).await.unwrap();
    drop(producer);
    assert!(matches!(delivery.await, Err(ClientError::Closed)));
}

#[tokio::test]
async fn a_topic_that_may_not_be_written_and_a_broker_that_is_not_there_are_said_at_once() {
    let broker = FakeBroker::start(1).await;
    let producer = Producer::new(config(&broker));
    let error = producer.send(ProducerRecord::new("other", "v")).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::TopicAuthorizationFailed));
    let address = unused_address();
    let gone = Producer::new(ProducerConfig::new(address.clone()));
    let error = gone.send(record(0)).await.unwrap_err().to_string();
    assert!(error.contains(&address) && error.contains("connection refused"), "{error}");
}

#[derive(Default, Clone)]
struct Witness(Arc<Mutex<Vec<String>>>);

impl ProducerInterceptor for Witness {
    fn on_send<'a>(&self, mut record: ProducerRecord<'a>) -> ProducerRecord<'a> {
        if let Some(value) = &mut record.value {
            value.to_mut().push(b'!');
        }
        record
    }

    fn on_acknowledgement(&self, partition: &TopicPartition, result: Result<&RecordMetadata, &ClientError>) {
        let became = match result {
            Ok(metadata) => format!("{partition}@{}", metadata.offset),
            Err(error) => format!("{partition}: {error}"),
        };
        lock(&self.0).push(became);
    }
}

#[tokio::test]
async fn interceptors_see_every_record_and_what_became_of_it() {
    let broker = FakeBroker::start(1).await;
    let witness = Witness::default();
    let mut config = ProducerConfig { batch_size: 200, ..config(&broker) };
    config.interceptors.add(witness.clone());
    config.interceptors.add(Witness::default());
    let producer = Producer::new(config);
    for delivery in send(&producer, 5).await {
        delivery.await.unwrap();
    }
    assert_eq!(broker.values(0), ["0!!", "1!!", "2!!", "3!!", "4!!"]);
    let told: Vec<String> = (0..5).map(|offset| format!("t-0@{offset}")).collect();
    assert_eq!(std::mem::take(&mut *lock(&witness.0)), told);
    // One that fails on its way, and one that finds no way.
    broker.state().produce_faults.push_back(Fault::Refuse(ErrorCode::InvalidRecord));
    assert!(producer.send(record(5)).await.unwrap().await.is_err());
    assert!(producer.send(ProducerRecord::new("other", "v")).await.is_err());
    let told = lock(&witness.0).clone();
    assert!(told.len() == 2 && told[0].starts_with("t-0: ") && told[1].starts_with("other--1: "), "{told:?}");
}

#[tokio::test]
async fn keys_decide_unless_they_are_ignored() {
    let broker = FakeBroker::start(20).await;
    for ignored in [false, true] {
        let partitioner_ignore_keys = ignored;
        let producer = Producer::new(ProducerConfig { partitioner_ignore_keys, ..config(&broker) });
        let mut partitions = std::collections::BTreeSet::new();
        for _ in 0..40 {
            let record = ProducerRecord::new(TOPIC, "v").with_key("key");
            partitions.insert(producer.send(record).await.unwrap().await.unwrap().partition);
        }
        assert_eq!(partitions.len() > 1, ignored);
        assert!(ignored || partitions.contains(&((murmur2(b"key") & i32::MAX) % 20)));
    }
}
