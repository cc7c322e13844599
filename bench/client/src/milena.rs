//! The client in `crates/client`.

use std::collections::VecDeque;
use std::time::Duration;

use client::consumer::StartOffset;
use client::{Consumer, ConsumerConfig, Producer, ProducerConfig, ProducerRecord};
use common::TopicPartition;

use crate::{Clock, Job, PARTITIONS, Result, Values};

/// So many results are waited for later.
const BEHIND: usize = 50_000;

/// One worker beside the thread that produces or consumes, as librdkafka has one for its broker: on two processors, of which the broker wants
/// one, more of them would mostly wake each other.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}

/// Each record's result is looked at.
pub fn produce(job: &Job) -> Result<(f64, f64)> {
    runtime()?.block_on(async {
        let mut config = ProducerConfig::new(job.bootstrap.as_str());
        if let Some(size) = &job.batch_size {
            config.set("batch.size", size)?;
        }
        let producer = Producer::new(config);
        let mut values = Values::new(job.size);
        producer.send(ProducerRecord::new(job.topic.as_str(), values.value())).await?.await?;
        let clock = Clock::start();
        let mut deliveries = VecDeque::with_capacity(BEHIND + 1);
        for _ in 1..job.records {
            deliveries
                .push_back(producer.send(ProducerRecord::new(job.topic.as_str(), values.value())).await?);
            if deliveries.len() > BEHIND
                && let Some(delivery) = deliveries.pop_front()
            {
                delivery.await?;
            }
        }
        producer.flush().await;
        for delivery in deliveries {
            delivery.await?;
        }
        Ok(clock.read())
    })
}

pub fn consume(job: &Job) -> Result<(f64, f64)> {
    runtime()?.block_on(async {
        let mut consumer = Consumer::new(ConsumerConfig::new(job.bootstrap.as_str()))?;
        let partition =
            |partition| (TopicPartition::new(job.topic.as_str(), partition), StartOffset::Earliest);
        consumer.assign((0..PARTITIONS).map(partition))?;
        let (mut count, mut bytes) = (0, 0);
        let mut clock = None;
        while count < job.records {
            let records = consumer.poll(Duration::from_secs(60)).await?;
            if records.is_empty() {
                return Err(format!("{count} records of {}", job.records).into());
            }
            clock.get_or_insert_with(Clock::start);
            count += records.len();
            bytes += records
                .iter()
                .filter_map(|record| record.value.as_ref())
                .map(|value| value.len())
                .sum::<usize>();
        }
        let read = clock.map(|clock| clock.read()).unwrap_or_default();
        if bytes != job.records * job.size {
            return Err(format!("{bytes} bytes in {count} records").into());
        }
        Ok(read)
    })
}
