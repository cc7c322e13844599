//! The producer as applications use it, against a whole broker.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::consumer::{Consumer, ConsumerConfig, StartOffset};
use client::producer::{ProducerInterceptor, RecordMetadata, murmur2};
use client::{Admin, ClientConfig, ClientError, ConsumerRecord, Producer, ProducerConfig, ProducerRecord};
use common::{ErrorCode, TopicPartition};

use crate::harness::*;

fn producer(broker: &Broker, entries: &[(&str, &str)]) -> Producer {
    let mut config = ProducerConfig::new(broker.address.as_str());
    for (key, value) in entries {
        assert!(config.set(key, value).unwrap(), "{key}");
    }
    Producer::new(config)
}

/// All records of a topic, in the order of each partition.
async fn read(broker: &Broker, topic: &str, partitions: i32, count: usize) -> Vec<ConsumerRecord> {
    let mut consumer = Consumer::new(ConsumerConfig::new(broker.address.as_str())).unwrap();
    let partition = |partition| (TopicPartition::new(topic, partition), StartOffset::Earliest);
    consumer.assign((0..partitions).map(partition)).unwrap();
    let mut records = Vec::new();
    while records.len() < count {
        let some = consumer.poll(PATIENCE).await.unwrap();
        assert!(!some.is_empty(), "{} records of {count}", records.len());
        records.extend(some);
    }
    assert!(consumer.poll(Duration::from_millis(100)).await.unwrap().is_empty());
    records
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_has_its_result_with_every_codec_and_level() {
    let broker = Broker::start().await;
    for settings in [
        vec![("compression.type", "none"), ("acks", "1"), ("enable.idempotence", "false")],
        vec![("compression.type", "gzip"), ("compression.gzip.level", "9")],
        vec![("compression.type", "snappy")],
        vec![("compression.type", "lz4"), ("compression.lz4.level", "1")],
        vec![("compression.type", "zstd"), ("compression.zstd.level", "-3"), ("linger.ms", "0")],
        vec![("batch.size", "100"), ("max.in.flight.requests.per.connection", "2")],
        vec![("acks", "0"), ("enable.idempotence", "false")],
    ] {
        let topic = broker.topic(3).await;
        let producer = producer(&broker, &settings);
        let mut deliveries = Vec::new();
        for number in 0..300 {
            let record = ProducerRecord {
                partition: (number % 3 == 0).then_some(2),
                key: (number % 3 == 1).then(|| format!("key-{number}").into_bytes().into()),
                timestamp: Some(1_700_000_000_000 + number),
                headers: vec![
                    ("number".into(), Some(number.to_string().into_bytes().into())),
                    ("none".into(), None),
                ],
                ..ProducerRecord::new(topic.as_str(), format!("value {number} value value value"))
            };
            deliveries.push(producer.send(record).await.unwrap());
        }
        producer.flush().await;
        let mut told: BTreeMap<i64, RecordMetadata> = BTreeMap::new();
        for (number, delivery) in (0..).zip(deliveries) {
            told.insert(number, delivery.await.unwrap());
        }
        let records = read(&broker, &topic, 3, 300).await;
        let mut places = BTreeSet::new();
        for record in &records {
            let number = record.timestamp - 1_700_000_000_000;
            let expected = format!("value {number} value value value");
            assert_eq!(record.value.as_deref(), Some(expected.as_bytes()), "{settings:?}");
            assert_eq!(record.headers[0].1.as_deref(), Some(number.to_string().as_bytes()));
            assert_eq!(record.headers[1], ("none".to_owned(), None));
            let metadata = told[&number];
            assert_eq!((metadata.partition, metadata.timestamp), (record.partition, record.timestamp));
            // Nobody says where a record is that nobody answers for.
            let offset = if settings.contains(&("acks", "0")) { -1 } else { record.offset };
            assert_eq!(metadata.offset, offset, "{settings:?}");
            match number % 3 {
                0 => assert_eq!(record.partition, 2),
                1 => {
                    let hash = murmur2(record.key.as_deref().unwrap());
                    assert_eq!(record.partition, (hash & i32::MAX) % 3);
                }
                _ => {}
            }
            places.insert((record.partition, record.offset));
        }
        assert_eq!(places.len(), 300);
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_without_key_go_to_all_partitions_and_each_partition_keeps_the_order() {
    let broker = Broker::start().await;
    let topic = broker.topic(4).await;
    let producer = producer(&broker, &[("batch.size", "500")]);
    for number in 0..2000 {
        producer.send(ProducerRecord::new(topic.as_str(), format!("{number:06}"))).await.unwrap();
    }
    producer.flush().await;
    let mut last: BTreeMap<i32, ConsumerRecord> = BTreeMap::new();
    for record in read(&broker, &topic, 4, 2000).await {
        if let Some(before) = last.insert(record.partition, record.clone()) {
            assert!(before.value < record.value && before.offset + 1 == record.offset);
        }
    }
    assert_eq!(last.len(), 4);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_waits_for_memory_and_says_what_is_too_large() {
    let broker = Broker::start().await;
    let topic = broker.topic(1).await;
    // A third of what is sent fits into its memory.
    let small =
        producer(&broker, &[("buffer.memory", "40000"), ("linger.ms", "0"), ("max.request.size", "30000")]);
    let mut deliveries = Vec::new();
    for _ in 0..100 {
        deliveries.push(small.send(ProducerRecord::new(topic.as_str(), vec![7; 1000])).await.unwrap());
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    let error = small.send(ProducerRecord::new(topic.as_str(), vec![7; 35_000])).await.unwrap_err();
    assert!(error.to_string().contains("max.request.size"), "{error}");
    // What the topic does not take is told of that record alone.
    let large = producer(&broker, &[("max.request.size", "3000000"), ("batch.size", "1000")]);
    let too_large = large.send(ProducerRecord::new(topic.as_str(), vec![7; 2_000_000])).await.unwrap();
    let fits = large.send(ProducerRecord::new(topic.as_str(), vec![7; 500_000])).await.unwrap();
    assert_eq!(too_large.await.unwrap_err().code(), Some(ErrorCode::MessageTooLarge));
    assert_eq!(fits.await.unwrap().offset, 100);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotent_producer_is_known_to_its_leader() {
    let broker = Broker::start().await;
    let topic = broker.topic(1).await;
    let partition = TopicPartition::new(topic.as_str(), 0);
    let admin = Admin::new(ClientConfig::new(broker.address.as_str()));
    for (settings, known) in [(vec![("enable.idempotence", "false")], 0), (vec![], 1)] {
        let producer = producer(&broker, &settings);
        for number in 0..3 {
            let record = ProducerRecord::new(topic.as_str(), number.to_string());
            producer.send(record).await.unwrap().await.unwrap();
        }
        let mut producers = admin.describe_producers(std::slice::from_ref(&partition)).await.unwrap();
        let producers = producers.remove(&partition).unwrap().unwrap();
        assert_eq!(producers.len(), known);
        for producer in producers {
            assert_eq!((producer.producer_epoch, producer.last_sequence), (0, 2));
            assert_eq!(producer.current_transaction_start_offset, None);
        }
    }
    let missing = TopicPartition::new(topic.as_str(), 7);
    let patient = ClientConfig { api_timeout: Duration::ZERO, ..ClientConfig::new(broker.address.as_str()) };
    let answers = Admin::new(patient).describe_producers(std::slice::from_ref(&missing)).await.unwrap();
    assert!(answers[&missing].is_err());
    broker.stop().await;
}

#[derive(Clone, Default)]
struct Counter(Arc<Mutex<Vec<(TopicPartition, i64)>>>);

impl ProducerInterceptor for Counter {
    fn on_send<'a>(&self, record: ProducerRecord<'a>) -> ProducerRecord<'a> {
        record.with_key("intercepted")
    }

    fn on_acknowledgement(&self, partition: &TopicPartition, result: Result<&RecordMetadata, &ClientError>) {
        self.0.lock().unwrap().push((partition.clone(), result.map_or(-1, |metadata| metadata.offset)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interceptors_change_records_and_hear_of_each() {
    let broker = Broker::start().await;
    let topic = broker.topic(1).await;
    let counter = Counter::default();
    let mut config = ProducerConfig::new(broker.address.as_str());
    config.interceptors.add(counter.clone());
    let producer = Producer::new(config);
    for number in 0..10 {
        producer.send(ProducerRecord::new(topic.as_str(), number.to_string())).await.unwrap();
    }
    producer.close().await;
    let partition = TopicPartition::new(topic.as_str(), 0);
    let expected: Vec<_> = (0..10).map(|offset| (partition.clone(), offset)).collect();
    assert_eq!(*counter.0.lock().unwrap(), expected);
    let records = read(&broker, &topic, 1, 10).await;
    assert!(records.iter().all(|record| record.key.as_deref() == Some(b"intercepted")));
    broker.stop().await;
}
