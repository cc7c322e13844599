//! librdkafka, by rust-rdkafka's thinnest clients: without futures, a callback for each record.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};

use crate::{Clock, Job, PARTITIONS, Result, Values};

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Results {
    delivered: AtomicUsize,
    failed: AtomicUsize,
}

impl ClientContext for Results {}

impl ProducerContext for Results {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let count = if result.is_ok() { &self.delivered } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Each record's result is looked at.
pub fn produce(job: &Job) -> Result<(f64, f64)> {
    let mut config = ClientConfig::new();
    // milena's defaults, which are Java's, where librdkafka has others.
    config.set("bootstrap.servers", &job.bootstrap).set("acks", "all").set("enable.idempotence", "true");
    if let Some(size) = &job.batch_size {
        config.set("batch.size", size);
    }
    let producer: BaseProducer<Results> = config.create_with_context(Results::default())?;
    let mut values = Values::new(job.size);
    producer.send(BaseRecord::<(), _>::to(&job.topic).payload(values.value())).map_err(|(error, _)| error)?;
    producer.flush(PATIENCE)?;
    let clock = Clock::start();
    for _ in 1..job.records {
        let mut record = BaseRecord::<(), _>::to(&job.topic).payload(values.value());
        while let Err((error, back)) = producer.send(record) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            producer.poll(Duration::from_millis(10));
            record = back;
        }
        // As its documentation says: now and then, so that results are served.
        producer.poll(Duration::ZERO);
    }
    producer.flush(PATIENCE)?;
    let read = clock.read();
    let results = producer.client().context();
    let counts = (results.delivered.load(Ordering::Relaxed), results.failed.load(Ordering::Relaxed));
    if counts != (job.records, 0) {
        return Err(format!("{} of {} delivered, {} failed", counts.0, job.records, counts.1).into());
    }
    Ok(read)
}

pub fn consume(job: &Job) -> Result<(f64, f64)> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &job.bootstrap)
        .set("group.id", "nobody")
        .set("enable.auto.commit", "false");
    // As milena's client, and Java's: damage is found.
    config.set("check.crcs", "true");
    let consumer: BaseConsumer = config.create()?;
    let mut partitions = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        partitions.add_partition_offset(&job.topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&partitions)?;
    let (mut count, mut bytes) = (0, 0);
    let mut clock = None;
    while count < job.records {
        let Some(message) = consumer.poll(PATIENCE) else {
            return Err(format!("{count} records of {}", job.records).into());
        };
        clock.get_or_insert_with(Clock::start);
        bytes += message?.payload().map_or(0, <[u8]>::len);
        count += 1;
    }
    let read = clock.map(|clock| clock.read()).unwrap_or_default();
    if bytes != job.records * job.size {
        return Err(format!("{bytes} bytes in {count} records").into());
    }
    Ok(read)
}
