//! `milena consumer-perf-test`, which is `kafka-consumer-perf-test.sh` (`org.apache.kafka.tools.ConsumerPerformance`).

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use client::consumer::{ListenerFuture, RebalanceListener};
use client::{Consumer, ConsumerConfig, ConsumerRecord};
use common::TopicPartition;

use super::client_tool::{self, Bootstrap};
use crate::report::failure;

/// How long the last commit and the goodbye to the group may take.
const CLOSE_PATIENCE: Duration = Duration::from_secs(30);

/// Measure how fast records can be consumed
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    bootstrap: Bootstrap,
    /// The topic
    #[arg(long, value_name = "topic")]
    topic: Option<String>,
    /// In the place of --topic: topics by a regular expression
    #[arg(long, value_name = "regex")]
    include: Option<String>,
    /// The group
    #[arg(long, value_name = "gid")]
    group: Option<String>,
    /// How many bytes one fetch may bring from a partition
    #[arg(long, value_name = "size", default_value_t = 1024 * 1024)]
    fetch_size: u32,
    /// Properties of the consumer
    #[arg(long, value_name = "prop1=val1")]
    command_property: Vec<String>,
    /// A file with properties of the consumer
    #[arg(long, value_name = "config file")]
    command_config: Option<PathBuf>,
    /// The old name of --command-config
    #[arg(long = "consumer.config", value_name = "config file", hide = true)]
    consumer_config: Option<PathBuf>,
    /// Begin at the end of partitions in which the group has no offset
    #[arg(long)]
    from_latest: bool,
    /// The size of the socket's buffer
    #[arg(long, value_name = "size", default_value_t = 2 * 1024 * 1024, allow_negative_numbers = true)]
    socket_buffer_size: i32,
    /// Say how it goes at each interval
    #[arg(long)]
    show_detailed_stats: bool,
    /// How long to wait for another record, in ms
    #[arg(long, value_name = "milliseconds", default_value_t = 10_000)]
    timeout: u64,
    /// How many records
    #[arg(long, value_name = "count")]
    num_records: Option<u64>,
    /// The old name of --num-records
    #[arg(long, value_name = "count", hide = true)]
    messages: Option<u64>,
    /// How often to say how it goes, in ms
    #[arg(long, value_name = "interval_ms", default_value_t = 5000)]
    reporting_interval: u64,
    /// Leave out the line with the columns' names
    #[arg(long)]
    hide_header: bool,
    /// Print the version
    #[arg(long)]
    version: bool,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    if arguments.version {
        return client_tool::print_version();
    }
    let count = match arguments.check() {
        Ok(count) => count,
        Err(error) => return failure(error),
    };
    client_tool::run(2, async move {
        let config = arguments.config()?;
        arguments.consume(config, count).await
    })
}

/// How long the consumer has been without partitions.
#[derive(Clone)]
struct Joining(Arc<Mutex<Join>>);

struct Join {
    /// Since when it has none.
    since: Option<Instant>,
    total: Duration,
    in_interval: Duration,
    assigned: usize,
}

impl Joining {
    fn with<T>(&self, change: impl FnOnce(&mut Join) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl RebalanceListener for Joining {
    fn on_partitions_assigned<'a>(
        &'a self,
        _: &'a Consumer,
        partitions: &'a [TopicPartition],
    ) -> ListenerFuture<'a> {
        self.with(|join| {
            join.assigned += partitions.len();
            if let Some(since) = join.since.take_if(|_| join.assigned > 0) {
                join.total += since.elapsed();
                join.in_interval += since.elapsed();
            }
        });
        Box::pin(async { Ok(()) })
    }

    fn on_partitions_revoked<'a>(
        &'a self,
        _: &'a Consumer,
        partitions: &'a [TopicPartition],
    ) -> ListenerFuture<'a> {
        self.with(|join| {
            join.assigned = join.assigned.saturating_sub(partitions.len());
            if join.assigned == 0 {
                join.since = Some(Instant::now());
            }
        });
        Box::pin(async { Ok(()) })
    }
}

/// Records and the bytes of their keys and values.
#[derive(Clone, Copy, Default)]
struct Read {
    records: u64,
    bytes: u64,
}

impl Read {
    fn add(&mut self, record: &ConsumerRecord) {
        let size = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        self.records += 1;
        self.bytes += size(&record.key) + size(&record.value);
    }

    fn megabytes(self) -> f64 {
        self.bytes as f64 / (1024.0 * 1024.0)
    }
}

impl Arguments {
    /// The combinations that make no sense, in Kafka's words; otherwise how many records are meant.
    fn check(&self) -> Result<u64, String> {
        let one_of =
            |options: &str| Err(format!("Exactly one of the following arguments is required: {options}"));
        if self.topic.is_some() == self.include.is_some() {
            return one_of("[topic], [include]");
        }
        if self.consumer_config.is_some() && self.command_config.is_some() {
            return Err(
                "Option \"[consumer.config]\" can't be used with option \"[command-config]\"".to_owned()
            );
        }
        match (self.messages, self.num_records) {
            (Some(count), None) => {
                println!("Warning: --messages is deprecated. Use --num-records instead.");
                Ok(count)
            }
            (None, Some(count)) => Ok(count),
            _ => one_of("[messages], [num-records]"),
        }
    }

    fn config(&self) -> Result<ConsumerConfig, String> {
        let file = match &self.consumer_config {
            Some(file) => {
                println!("Warning: --consumer.config is deprecated. Use --command-config instead.");
                Some(file.as_path())
            }
            None => self.command_config.as_deref(),
        };
        let mut entries = client_tool::entries(file, &self.command_property)?;
        let group =
            self.group.clone().unwrap_or_else(|| format!("perf-consumer-{}", rand::random_range(0..100_000)));
        let named = entries.iter().any(|(key, _)| key == "client.id");
        if !named {
            entries.push(("client.id".to_owned(), "perf-consumer-client".to_owned()));
        }
        for (key, value) in [
            ("group.id", group),
            ("receive.buffer.bytes", self.socket_buffer_size.to_string()),
            ("max.partition.fetch.bytes", self.fetch_size.to_string()),
            ("auto.offset.reset", if self.from_latest { "latest" } else { "earliest" }.to_owned()),
            ("check.crcs", "false".to_owned()),
        ] {
            entries.push((key.to_owned(), value));
        }
        let mut config = ConsumerConfig::new(self.bootstrap.servers()?);
        let servers = config.client.bootstrap_servers.clone();
        client_tool::configure(&entries, |key, value| config.set(key, value))?;
        config.client.bootstrap_servers = servers;
        Ok(config)
    }

    async fn consume(&self, config: ConsumerConfig, count: u64) -> Result<ExitCode, String> {
        let said = |error: client::ClientError| error.to_string();
        if !self.hide_header {
            let start = if self.show_detailed_stats { "time, threadId" } else { "start.time, end.time" };
            println!(
                "{start}, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, \
                 fetch.MB.sec, fetch.nMsg.sec"
            );
        }
        let mut consumer = Consumer::new(config).map_err(said)?;
        let joining = Joining(Arc::new(Mutex::new(Join {
            since: Some(Instant::now()),
            total: Duration::ZERO,
            in_interval: Duration::ZERO,
            assigned: 0,
        })));
        consumer.set_rebalance_listener(joining.clone());
        let (started, start) = (Instant::now(), now_ms());
        match (&self.topic, &self.include) {
            (Some(topic), _) => consumer.subscribe([topic.as_str()]).map_err(said)?,
            (None, expression) => {
                consumer.subscribe_pattern(expression.as_deref().unwrap_or_default()).map_err(said)?;
            }
        }
        let read = tokio::select! {
            read = self.read(&mut consumer, count, &joining) => read.map_err(said)?,
            code = client_tool::interrupted() => {
                // Divergence: Kafka's tool is gone at once, and its group waits for its session to be over.
                consumer.close(CLOSE_PATIENCE).await.map_err(said)?;
                return Ok(ExitCode::from(code));
            }
        };
        let (elapsed, end) = (started.elapsed(), now_ms());
        if !self.show_detailed_stats {
            let join = joining.with(|join| join.total);
            let fetching = elapsed.saturating_sub(join);
            println!(
                "{}, {}, {:.4}, {:.4}, {}, {:.4}, {}, {}, {:.4}, {:.4}",
                date(start),
                date(end),
                read.megabytes(),
                read.megabytes() / seconds(elapsed),
                read.records,
                read.records as f64 / seconds(elapsed),
                join.as_millis(),
                fetching.as_millis(),
                read.megabytes() / seconds(fetching),
                read.records as f64 / seconds(fetching)
            );
        }
        consumer.close(CLOSE_PATIENCE).await.map_err(said)?;
        Ok(ExitCode::SUCCESS)
    }

    async fn read(
        &self,
        consumer: &mut Consumer,
        count: u64,
        joining: &Joining,
    ) -> Result<Read, client::ClientError> {
        let (timeout, interval) =
            (Duration::from_millis(self.timeout), Duration::from_millis(self.reporting_interval));
        let mut read = Read::default();
        let mut reported = read;
        let mut reported_at = Instant::now();
        let mut last = Instant::now();
        while read.records < count && last.elapsed() <= timeout {
            let records = consumer.poll(Duration::from_millis(100)).await?;
            if !records.is_empty() {
                last = Instant::now();
            }
            records.iter().for_each(|record| read.add(record));
            if reported_at.elapsed() >= interval && !records.is_empty() {
                let join = joining.with(|join| std::mem::take(&mut join.in_interval));
                if self.show_detailed_stats {
                    println!("{}", progress(read, reported, reported_at.elapsed(), join));
                }
                (reported, reported_at) = (read, Instant::now());
            }
        }
        if read.records < count {
            println!(
                "WARNING: Exiting before consuming the expected number of records: timeout ({} ms) exceeded. You can use the \
                 --timeout option to increase the timeout.",
                self.timeout
            );
        }
        Ok(read)
    }
}

fn progress(read: Read, before: Read, elapsed: Duration, join: Duration) -> String {
    let records = read.records - before.records;
    let megabytes = read.megabytes() - before.megabytes();
    let fetching = elapsed.saturating_sub(join);
    format!(
        "{}, 0, {:.4}, {:.4}, {}, {:.4}, {}, {}, {:.4}, {:.4}",
        date(now_ms()),
        read.megabytes(),
        megabytes / seconds(elapsed),
        read.records,
        records as f64 / seconds(elapsed),
        join.as_millis(),
        fetching.as_millis(),
        megabytes / seconds(fetching),
        records as f64 / seconds(fetching)
    )
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64().max(0.001)
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Divergence: the time is UTC; Kafka's tool has the machine's zone.
fn date(ms: u64) -> String {
    super::date_time::spaced(i64::try_from(ms).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_has_the_interval_beside_the_whole() {
        let before = Read { records: 10, bytes: 1024 * 1024 };
        let read = Read { records: 30, bytes: 3 * 1024 * 1024 };
        let line = progress(read, before, Duration::from_secs(2), Duration::from_secs(1));
        assert!(line.ends_with(", 0, 3.0000, 1.0000, 30, 10.0000, 1000, 1000, 2.0000, 20.0000"), "{line}");
    }
}
