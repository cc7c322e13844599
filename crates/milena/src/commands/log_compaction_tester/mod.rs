//! `milena log-compaction-tester` (`org.apache.kafka.tools.LogCompactionTester`): updates with few keys, sent to compacted topics and
//! read back; the last update of each key has to be there.
//!
//! Divergence: of each side only the last update of each key is kept, and goes to temporary files only where there are more keys
//! than memory is taken for; reading ends at the end that the partitions had when it began, and not after 20 s without a record.

mod last;

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use client::consumer::StartOffset;
use client::{Admin, Consumer, ConsumerConfig, NewTopic, Producer, ProducerConfig, ProducerRecord};
use common::{TopicPartition, Uuid};

use super::client_tool::{self, Bootstrap};
use last::{LastUpdates, Update};

/// Send updates with few keys to compacted topics, and see that the last of each key is kept
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    bootstrap: Bootstrap,
    /// How many updates to send to each topic
    #[arg(long, value_name = "count")]
    messages: u64,
    /// The codec of the records
    #[arg(long, value_name = "compressionType", default_value = "none")]
    compression_type: String,
    /// How much the codec is to try
    #[arg(long, value_name = "level", allow_negative_numbers = true)]
    compression_level: Option<i32>,
    /// How many updates each key gets, on average
    #[arg(long, value_name = "count", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    duplicates: u32,
    /// How many topics
    #[arg(long, value_name = "count", default_value_t = 1)]
    topics: u32,
    /// How many of a hundred updates delete their key
    #[arg(long, value_name = "percent", default_value_t = 0)]
    percent_deletes: u64,
    /// How many seconds to wait between sending and reading
    #[arg(long, value_name = "seconds", default_value_t = 0)]
    sleep: u64,
}

/// How long reading waits for a record before it gives up.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    client_tool::run(2, async move {
        let servers = arguments.bootstrap.servers()?;
        let run = Uuid::random();
        let topics: Vec<String> =
            (0..arguments.topics).map(|topic| format!("log-cleaner-test-{run}-{topic}")).collect();
        create(&Admin::new(client::ClientConfig::new(servers.clone())), &topics).await?;
        println!("Producing {} messages..to topics {}", arguments.messages, topics.join(","));
        let (produced, sent) = arguments.produce(&servers, &topics).await?;
        println!("Sleeping for {}seconds...", arguments.sleep);
        tokio::time::sleep(Duration::from_secs(arguments.sleep)).await;
        println!("Consuming messages...");
        let (consumed, read) = consume(&servers, &topics).await?;
        let reduction = 100.0 * (1.0 - read as f64 / sent.max(1) as f64);
        println!("{sent} rows of data produced, {read} rows of data consumed ({reduction:.1}% reduction).");
        println!("De-duplicating and validating output files...");
        let sorted = |last: LastUpdates| last.into_sorted().map_err(in_files);
        validate(sorted(produced)?, sorted(consumed)?)?;
        println!("Data verification is completed");
        Ok(ExitCode::SUCCESS)
    })
}

async fn create(admin: &Admin, topics: &[String]) -> Result<(), String> {
    let topic = |name: &String| NewTopic {
        name: name.clone(),
        partitions: Some(1),
        replication_factor: Some(1),
        configs: BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]),
        ..NewTopic::default()
    };
    let topics: Vec<NewTopic> = topics.iter().map(topic).collect();
    let created = admin.create_topics(&topics, false).await.map_err(|error| error.to_string())?;
    created.into_iter().collect::<Result<(), _>>().map_err(|error| error.to_string())
}

impl Arguments {
    async fn produce(&self, servers: &str, topics: &[String]) -> Result<(LastUpdates, u64), String> {
        let said = |error: client::ClientError| error.to_string();
        let mut config = ProducerConfig::new(servers);
        config.set("compression.type", &self.compression_type).map_err(said)?;
        if let Some(level) = self.compression_level {
            let key = format!("compression.{}.level", self.compression_type);
            if !config.set(&key, &level.to_string()).map_err(said)? {
                println!(
                    "Warning: Compression level {level} is ignored for compression type {}. Only gzip, lz4, and zstd support \
                     compression levels.",
                    self.compression_type
                );
            }
        }
        let producer = Producer::new(config);
        let keys = (self.messages / u64::from(self.duplicates)).max(1);
        let mut last = LastUpdates::new();
        let mut deliveries = std::collections::VecDeque::new();
        let mut number = 0;
        for _ in 0..self.messages {
            for (topic, at) in topics.iter().zip(0..) {
                let key = rand::random_range(0..keys);
                let value = (number % 100 >= self.percent_deletes).then_some(number);
                let mut record = ProducerRecord::new(topic.as_str(), Vec::new()).with_key(key.to_string());
                record.value = value.map(|value| value.to_string().into_bytes().into());
                deliveries.push_back(producer.send(record).await.map_err(said)?);
                last.insert((at, key), value).map_err(in_files)?;
                number += 1;
                // What failed is heard of soon, and what is waited for stays bounded.
                if deliveries.len() > 10_000
                    && let Some(delivery) = deliveries.pop_front()
                {
                    delivery.await.map_err(said)?;
                }
            }
        }
        producer.flush().await;
        for delivery in deliveries {
            delivery.await.map_err(said)?;
        }
        producer.close().await;
        Ok((last, number))
    }
}

async fn consume(servers: &str, topics: &[String]) -> Result<(LastUpdates, u64), String> {
    let said = |error: client::ClientError| error.to_string();
    let mut consumer = Consumer::new(ConsumerConfig::new(servers)).map_err(said)?;
    let partitions: Vec<TopicPartition> =
        topics.iter().map(|topic| TopicPartition::new(topic.as_str(), 0)).collect();
    let ends = consumer.end_offsets(&partitions).await.map_err(said)?;
    let starts = partitions.iter().map(|partition| (partition.clone(), StartOffset::Earliest));
    consumer.assign(starts).map_err(said)?;
    let mut last = LastUpdates::new();
    let mut count = 0;
    let is_read = |consumer: &Consumer| {
        partitions.iter().all(|at| {
            let end = ends.get(at).copied().unwrap_or(0);
            end == 0 || consumer.position(at).is_some_and(|position| position >= end)
        })
    };
    while !is_read(&consumer) {
        let records = consumer.poll(PATIENCE).await.map_err(said)?;
        if records.is_empty() && !is_read(&consumer) {
            return Err(format!("Data validation failed : no record within {} s.", PATIENCE.as_secs()));
        }
        for record in records {
            let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse::<u64>().ok();
            let key = record.key.as_deref().and_then(number).ok_or("a record has no key of ours")?;
            let value = match record.value.as_deref() {
                None => None,
                Some(value) => Some(number(value).ok_or("a record has no value of ours")?),
            };
            let topic = topics.iter().zip(0..).find(|(topic, _)| **topic == *record.topic);
            let (_, topic) = topic.ok_or("a record is of no topic of ours")?;
            last.insert((topic, key), value).map_err(in_files)?;
            count += 1;
        }
    }
    Ok((last, count))
}

fn in_files(error: io::Error) -> String {
    format!("a temporary file in {}: {error}", std::env::temp_dir().display())
}

/// Compares the last values, each side in the order of its keys; a key that was deleted may be gone, or still be there as deleted.
fn validate(
    produced: impl Iterator<Item = io::Result<Update>>,
    consumed: impl Iterator<Item = io::Result<Update>>,
) -> Result<(), String> {
    let is_value = |update: &io::Result<Update>| update.as_ref().map_or(true, |(_, value)| value.is_some());
    let (mut produced, mut consumed) = (produced.filter(is_value), consumed.filter(is_value));
    let mut next = || produced.next().transpose().map_err(in_files);
    let mut other = || consumed.next().transpose().map_err(in_files);
    let (mut compared, mut mismatches, mut lost, mut strange) = (0_u64, 0_u64, 0_u64, 0_u64);
    let (mut left, mut right) = (next()?, other()?);
    loop {
        match (left, right) {
            (Some(sent), Some(read)) if sent.0 == read.0 => {
                compared += 1;
                mismatches += u64::from(sent.1 != read.1);
                (left, right) = (next()?, other()?);
            }
            (Some(sent), read) if read.is_none_or(|read| sent.0 < read.0) => {
                lost += 1;
                left = next()?;
            }
            (_, Some(_)) => {
                strange += 1;
                right = other()?;
            }
            (_, None) => break,
        }
    }
    println!("Validated {compared} values, {mismatches} mismatches.");
    let failed = |what: &str| Err(format!("Data validation failed : {what}"));
    if lost > 0 {
        failed("Additional values produced not found in consumer log.")
    } else if strange > 0 {
        failed("Additional values consumed not found in producer log.")
    } else if mismatches > 0 {
        failed("Non-zero number of row mismatches.")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_lost_stale_or_back_from_the_dead_is_found() {
        let validate = |consumed: &[(u64, Option<u64>)]| {
            let rows = |rows: &[(u64, Option<u64>)]| {
                rows.iter().map(|(key, value)| Ok(((0, *key), *value))).collect::<Vec<_>>().into_iter()
            };
            super::validate(rows(&[(1, Some(10)), (2, Some(20)), (3, None)]), rows(consumed))
        };
        assert_eq!(validate(&[(1, Some(10)), (2, Some(20))]), Ok(()));
        assert_eq!(validate(&[(1, Some(10)), (2, Some(20)), (3, None)]), Ok(()));
        for wrong in [
            &[(1, Some(10))][..],
            &[(2, Some(20))],
            &[],
            &[(1, Some(10)), (2, Some(19))],
            &[(1, Some(10)), (2, None)],
            &[(0, Some(1)), (1, Some(10)), (2, Some(20))],
            &[(1, Some(10)), (2, Some(20)), (3, Some(5))],
        ] {
            assert!(validate(wrong).is_err(), "{wrong:?}");
        }
    }
}
