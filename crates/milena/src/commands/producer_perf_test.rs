//! `milena producer-perf-test`, which is `kafka-producer-perf-test.sh` (`org.apache.kafka.tools.ProducerPerformance`).

use std::borrow::Cow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use client::{ClientError, Delivery, Producer, ProducerConfig, ProducerRecord};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::mpsc;

use super::client_tool;
use crate::report::failure;

/// Measure how fast records can be produced
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true, arg_required_else_help = true)]
#[command(group(clap::ArgGroup::new("payload").required(true).args(["record_size", "payload_file", "payload_monotonic"])))]
pub(crate) struct Arguments {
    /// The brokers to ask first: HOST:PORT, several with commas [default: localhost:9092]
    #[arg(long, value_name = "BOOTSTRAP-SERVER")]
    bootstrap_server: Option<String>,
    /// The topic
    #[arg(long, value_name = "TOPIC")]
    topic: String,
    /// How many records
    #[arg(long, value_name = "NUM-RECORDS", allow_negative_numbers = true)]
    num_records: i64,
    /// The size of a record's value in bytes
    #[arg(long, value_name = "RECORD-SIZE", allow_negative_numbers = true)]
    record_size: Option<i32>,
    /// A file with values, of which each record gets one at random
    #[arg(long, value_name = "PAYLOAD-FILE")]
    payload_file: Option<PathBuf>,
    /// Values are numbers that rise
    #[arg(long)]
    payload_monotonic: bool,
    /// What stands between the values in the file
    #[arg(long, value_name = "PAYLOAD-DELIMITER", default_value = "\\n")]
    payload_delimiter: String,
    /// About how many records a second; -1 for as many as can be
    #[arg(long, value_name = "THROUGHPUT", allow_negative_numbers = true)]
    throughput: f64,
    /// Properties of the producer
    #[arg(long, value_name = "PROP-NAME=PROP-VALUE", num_args = 1..)]
    command_property: Vec<String>,
    /// The old name of --command-property
    #[arg(long, value_name = "PROP-NAME=PROP-VALUE", num_args = 1.., hide = true)]
    producer_props: Vec<String>,
    /// A file with properties of the producer
    #[arg(long, value_name = "CONFIG-FILE")]
    command_config: Option<PathBuf>,
    /// The old name of --command-config
    #[arg(long = "producer.config", value_name = "CONFIG-FILE", hide = true)]
    producer_config: Option<PathBuf>,
    /// How many records at first do not count in the summary of the steady state
    #[arg(long, value_name = "WARMUP-RECORDS", default_value_t = 0)]
    warmup_records: u64,
    /// How often to say how it goes, in ms
    #[arg(long, value_name = "INTERVAL-MS", default_value_t = 5000, allow_negative_numbers = true)]
    reporting_interval: i64,
    /// How many keys, where there are some
    #[arg(long, value_name = "KEY-RANGE", allow_negative_numbers = true)]
    record_key_range: Option<i32>,
    /// Keys: none, range (one after the other) or random
    #[arg(long, value_name = "KEY-DISTRIBUTION", default_value = "none", ignore_case = true)]
    key_distribution: KeyDistribution,
    /// What the keys and values that are left to chance begin from
    #[arg(long, value_name = "RANDOM-SEED", default_value_t = 0)]
    random_seed: u64,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq)]
enum KeyDistribution {
    None,
    Range,
    Random,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    if let Err(error) = arguments.check() {
        return failure(format_args!("kafka-producer-perf-test: error: {error}"));
    }
    client_tool::run(2, async move {
        let payloads = arguments.payloads()?;
        let producer = Producer::new(arguments.producer_config()?);
        arguments.produce(producer, &payloads).await?;
        Ok(ExitCode::SUCCESS)
    })
}

impl Arguments {
    /// What makes no sense, in Kafka's words.
    fn check(&self) -> Result<(), String> {
        let wrong = if self.num_records <= 0 {
            "--num-records should be greater than zero."
        } else if self.warmup_records >= self.num_records.unsigned_abs() {
            "The value for --warmup-records must be strictly fewer than the number of records in the test, --num-records."
        } else if self.record_size.is_some_and(|size| size <= 0) {
            "--record-size should be greater than zero."
        } else if !self.command_property.is_empty() && !self.producer_props.is_empty() {
            "--command-property and --producer-props cannot be specified together."
        } else if self.command_config.is_some() && self.producer_config.is_some() {
            "--command-config and --producer.config cannot be specified together."
        } else if self.reporting_interval <= 0 {
            "--reporting-interval should be greater than zero."
        } else if self.record_key_range.is_some_and(|range| range <= 0) {
            "--record-key-range should be greater than zero."
        } else if self.key_distribution != KeyDistribution::None && self.record_key_range.is_none() {
            "--record-key-range is required when --key-distribution is 'range' or 'random'."
        } else if self.key_distribution == KeyDistribution::None && self.record_key_range.is_some() {
            "--key-distribution must be 'range' or 'random' when --record-key-range is specified."
        } else {
            return Ok(());
        };
        Err(wrong.to_owned())
    }

    fn producer_config(&self) -> Result<ProducerConfig, String> {
        let properties = match self.producer_props.is_empty() {
            true => &self.command_property,
            false => {
                client_tool::deprecated("--producer-props", "--command-property");
                &self.producer_props
            }
        };
        let old = ("--producer.config", self.producer_config.as_deref());
        let file = client_tool::config_file(self.command_config.as_deref(), old);
        if let Some(wrong) = properties.iter().find(|property| property.split('=').count() != 2) {
            return Err(format!("Invalid property: {wrong}"));
        }
        let mut config = ProducerConfig::new("localhost:9092");
        config.client.client_id = "perf-producer-client".to_owned();
        let entries = client_tool::entries(file, properties)?;
        client_tool::configure(&entries, |key, value| config.set(key, value))?;
        if let Some(servers) = &self.bootstrap_server {
            config.client.bootstrap_servers.clone_from(servers);
        }
        Ok(config)
    }

    /// The values in the file; none without one.
    fn payloads(&self) -> Result<Vec<Vec<u8>>, String> {
        let Some(path) = &self.payload_file else { return Ok(Vec::new()) };
        let shown = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        println!("Reading payloads from: {}", shown.display());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.is_empty() {
            return Err("File does not exist or empty file provided.".to_owned());
        }
        let delimiter = if self.payload_delimiter == "\\n" { "\n" } else { &self.payload_delimiter };
        let text = text.strip_suffix(delimiter).unwrap_or(&text);
        let payloads: Vec<Vec<u8>> = text.split(delimiter).map(|value| value.as_bytes().to_vec()).collect();
        println!("Number of records read: {}", payloads.len());
        Ok(payloads)
    }

    async fn produce(&self, producer: Producer, payloads: &[Vec<u8>]) -> Result<(), String> {
        let count = self.num_records.unsigned_abs();
        let warmup = self.warmup_records;
        if warmup > 0 {
            println!(
                "Warmup first {warmup} records. Steady state results will print after the complete test summary."
            );
        }
        let interval = Duration::from_millis(self.reporting_interval.unsigned_abs());
        let (sender, receiver) = mpsc::unbounded_channel();
        let statistics = tokio::spawn(collect(receiver, count, warmup, interval));
        let mut random = SmallRng::seed_from_u64(self.random_seed);
        let started = Instant::now();
        let mut number = 0;
        while number < count {
            let value = self.value(payloads, number, &mut random);
            let size = value.len();
            let mut record = ProducerRecord::new(self.topic.as_str(), value);
            record.key = self.key(number, &mut random).map(Cow::Owned);
            let sent = Instant::now();
            match producer.send(record).await {
                Ok(delivery) => drop(sender.send(Sent { number, size, sent, delivery })),
                // A topic or a broker that is not there does not come by trying a million times.
                Err(error @ ClientError::Record(_)) => eprintln!("{error}"),
                Err(error) => return Err(error.to_string()),
            }
            number += 1;
            self.throttle(started, number).await;
        }
        drop(sender);
        producer.flush().await;
        let (all, steady) = statistics.await.map_err(|error| error.to_string())?;
        producer.close().await;
        println!("{}", all.summary(""));
        if let Some(steady) = steady {
            println!("{}", steady.summary(" steady state"));
        }
        Ok(())
    }

    fn value<'a>(&self, payloads: &'a [Vec<u8>], number: u64, random: &mut SmallRng) -> Cow<'a, [u8]> {
        if !payloads.is_empty() {
            let index = random.random_range(0..payloads.len());
            return Cow::Borrowed(payloads.get(index).map_or(&[][..], Vec::as_slice));
        }
        match self.record_size.and_then(|size| usize::try_from(size).ok()) {
            Some(size) => (0..size).map(|_| random.random_range(b'A'..=b'Z')).collect::<Vec<u8>>().into(),
            None => number.to_string().into_bytes().into(),
        }
    }

    fn key(&self, number: u64, random: &mut SmallRng) -> Option<Vec<u8>> {
        let range = u64::try_from(self.record_key_range?).ok()?.max(1);
        let key = match self.key_distribution {
            KeyDistribution::None => return None,
            KeyDistribution::Range => number % range,
            KeyDistribution::Random => random.random_range(0..range),
        };
        Some(key.to_string().into_bytes())
    }

    /// Waits where more was sent than `--throughput` allows by now.
    async fn throttle(&self, started: Instant, sent: u64) {
        if self.throughput <= 0.0 {
            return;
        }
        let due = Duration::try_from_secs_f64(sent as f64 / self.throughput).unwrap_or(Duration::ZERO);
        let ahead = due.saturating_sub(started.elapsed());
        // Timers are not finer.
        if ahead >= Duration::from_millis(1) {
            tokio::time::sleep(ahead).await;
        }
    }
}

/// A record that is under way.
struct Sent {
    number: u64,
    size: usize,
    sent: Instant,
    delivery: Delivery,
}

/// Takes the deliveries in the order in which they were sent.
async fn collect(
    mut sent: mpsc::UnboundedReceiver<Sent>,
    count: u64,
    warmup: u64,
    interval: Duration,
) -> (Statistics, Option<Statistics>) {
    let mut all = Statistics::new(count, interval);
    let mut steady: Option<Statistics> = None;
    while let Some(record) = sent.recv().await {
        if warmup > 0 && record.number >= warmup && steady.is_none() {
            steady = Some(Statistics { is_steady: true, ..Statistics::new(count - warmup, interval) });
        }
        match record.delivery.await {
            Ok(_) => {
                let latency = record.sent.elapsed();
                all.record(latency, record.size, steady.is_none());
                if let Some(steady) = &mut steady {
                    steady.record(latency, record.size, true);
                }
            }
            Err(error) => eprintln!("{error}"),
        }
    }
    (all, steady)
}

/// What was delivered.
struct Statistics {
    started: Instant,
    interval: Duration,
    /// Whether these are the records behind the warm-up.
    is_steady: bool,
    /// Every so many latencies one is kept.
    sampling: u64,
    latencies: Vec<u32>,
    total: Window,
    window: Window,
    window_started: Instant,
}

#[derive(Default)]
struct Window {
    count: u64,
    bytes: u64,
    total_latency_ms: f64,
    max_latency_ms: u32,
}

impl Window {
    fn add(&mut self, latency: Duration, latency_ms: u32, bytes: usize) {
        self.count += 1;
        self.bytes += bytes as u64;
        self.total_latency_ms += latency.as_secs_f64() * 1000.0;
        self.max_latency_ms = self.max_latency_ms.max(latency_ms);
    }

    fn rates(&self, elapsed: Duration) -> (f64, f64, f64) {
        let seconds = elapsed.as_secs_f64().max(0.001);
        let megabytes = self.bytes as f64 / (1024.0 * 1024.0);
        (self.count as f64 / seconds, megabytes / seconds, self.total_latency_ms / self.count.max(1) as f64)
    }
}

impl Statistics {
    /// How many latencies are kept at most.
    const SAMPLES: u64 = 500_000;

    fn new(count: u64, interval: Duration) -> Statistics {
        Statistics {
            started: Instant::now(),
            interval,
            is_steady: false,
            sampling: (count / count.clamp(1, Self::SAMPLES)).max(1),
            latencies: Vec::new(),
            total: Window::default(),
            window: Window::default(),
            window_started: Instant::now(),
        }
    }

    fn record(&mut self, latency: Duration, bytes: usize, prints: bool) {
        let latency_ms = u32::try_from(latency.as_millis()).unwrap_or(u32::MAX);
        if self.total.count.is_multiple_of(self.sampling) {
            self.latencies.push(latency_ms);
        }
        self.total.add(latency, latency_ms, bytes);
        self.window.add(latency, latency_ms, bytes);
        let elapsed = self.window_started.elapsed();
        if elapsed < self.interval {
            return;
        }
        if prints && self.is_steady && self.total.count == self.window.count {
            println!("In steady state.");
        }
        if prints {
            let (records, megabytes, average) = self.window.rates(elapsed);
            println!(
                "{} records sent, {records:.1} records/sec ({megabytes:.2} MB/sec), {average:.1} ms avg latency, {:.1} ms max \
                 latency.",
                self.window.count,
                f64::from(self.window.max_latency_ms)
            );
        }
        self.window = Window::default();
        self.window_started = Instant::now();
    }

    fn summary(mut self, which: &str) -> String {
        let (records, megabytes, average) = self.total.rates(self.started.elapsed());
        self.latencies.sort_unstable();
        let latencies = &self.latencies;
        let percentile = |part: f64| {
            let index = (part * latencies.len() as f64) as usize;
            latencies.get(index).copied().unwrap_or(0)
        };
        format!(
            "{}{which} records sent, {records:.6} records/sec ({megabytes:.2} MB/sec), {average:.2} ms avg latency, {:.2} ms max \
             latency, {} ms 50th, {} ms 95th, {} ms 99th, {} ms 99.9th.",
            self.total.count,
            f64::from(self.total.max_latency_ms),
            percentile(0.5),
            percentile(0.95),
            percentile(0.99),
            percentile(0.999)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_has_rates_and_percentiles() {
        let mut statistics = Statistics::new(1000, Duration::from_secs(3600));
        for latency in 1..=1000 {
            statistics.record(Duration::from_millis(latency), 1024, true);
        }
        let summary = statistics.summary("");
        assert!(summary.starts_with("1000 records sent, "), "{summary}");
        assert!(
            summary.ends_with(
                "500.50 ms avg latency, 1000.00 ms max latency, 501 ms 50th, 951 ms 95th, 991 ms 99th, 1000 ms 99.9th."
            ),
            "{summary}"
        );
    }
}
