//! `milena e2e-latency`, which is `kafka-e2e-latency.sh` (`org.apache.kafka.tools.EndToEndLatency`): one record at a time, from the
//! producer through the broker to a consumer.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use client::consumer::StartOffset;
use client::{
    Admin, Consumer, ConsumerConfig, ConsumerRecord, NewTopic, Producer, ProducerConfig, ProducerRecord,
};
use common::TopicPartition;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::client_tool::{self, Bootstrap};
use crate::report::failure;

/// Measure the time from sending a record until a consumer has it
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    bootstrap: Bootstrap,
    /// The topic
    #[arg(long, value_name = "topic-name")]
    topic: Option<String>,
    /// How many records
    #[arg(long, value_name = "count", allow_negative_numbers = true)]
    num_records: Option<i64>,
    /// What acknowledges a record: 1 or all
    #[arg(long, value_name = "producer-acks", allow_negative_numbers = true)]
    producer_acks: Option<String>,
    /// The size of a record's value in bytes
    #[arg(long, value_name = "bytes", allow_negative_numbers = true)]
    record_size: Option<i64>,
    /// The size of its key
    #[arg(long, value_name = "bytes", default_value_t = 0, allow_negative_numbers = true)]
    record_key_size: i64,
    /// The size of its headers' keys
    #[arg(long, value_name = "bytes", default_value_t = 0, allow_negative_numbers = true)]
    record_header_key_size: i64,
    /// The size of its headers' values; -1 for headers without one
    #[arg(long, value_name = "bytes", default_value_t = 0, allow_negative_numbers = true)]
    record_header_size: i64,
    /// How many headers
    #[arg(long, value_name = "count", default_value_t = 0, allow_negative_numbers = true)]
    num_headers: i64,
    /// Properties of the clients
    #[arg(long, value_name = "config-file")]
    command_config: Option<PathBuf>,
    /// Print the version
    #[arg(long)]
    version: bool,
    /// The arguments as they were before Kafka 4.2: servers, topic, records, acks, size, and the properties' file
    #[arg(hide = true)]
    positional: Vec<String>,
}

/// How long a record may be on its way.
const PATIENCE: Duration = Duration::from_secs(60);
/// The largest key, value or number of headers that is tried: more than a broker takes.
const LARGEST: i64 = 1 << 30;

/// The records to send.
struct Plan {
    servers: String,
    topic: String,
    records: usize,
    acks: String,
    value_size: usize,
    key_size: usize,
    headers: usize,
    header_key_size: usize,
    header_value_size: Option<usize>,
    config: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    if arguments.version {
        return client_tool::print_version();
    }
    let plan = match arguments.plan() {
        Ok(plan) => plan,
        Err(error) => return failure(error),
    };
    client_tool::run(2, async move {
        tokio::select! {
            done = plan.measure() => done.map(|()| ExitCode::SUCCESS),
            code = client_tool::interrupted() => Ok(ExitCode::from(code)),
        }
    })
}

impl Arguments {
    fn plan(mut self) -> Result<Plan, String> {
        let mut servers = None;
        if !self.positional.is_empty() {
            servers = Some(self.take_positional()?);
        }
        let required = [
            ("topic", self.topic.is_none()),
            ("num-records", self.num_records.is_none()),
            ("producer-acks", self.producer_acks.is_none()),
            ("record-size", self.record_size.is_none()),
        ];
        if let Some((name, _)) = required.iter().find(|(_, is_missing)| *is_missing) {
            return Err(format!("Missing required argument \"[{name}]\""));
        }
        let acks = self.producer_acks.unwrap_or_default();
        if !["1", "all"].contains(&acks.as_str()) {
            return Err("Invalid value for --producer-acks. Latency testing requires synchronous acknowledgement. Please use '1' or \
                        'all'."
                .to_owned());
        }
        let size = |name: &str, value: i64| match usize::try_from(value.min(LARGEST)) {
            Ok(size) => Ok(size),
            Err(_) => Err(format!("Value for --{name} must be a non-negative integer.")),
        };
        let records = match self.num_records {
            Some(count) if count > 0 => size("num-records", count)?,
            _ => return Err("Value for --num-records must be a positive integer.".to_owned()),
        };
        if self.record_header_size < -1 {
            return Err(
                "Value for --record-header-size must be a non-negative integer or -1 for null header value."
                    .to_owned(),
            );
        }
        Ok(Plan {
            records,
            value_size: size("record-size", self.record_size.unwrap_or(0))?,
            key_size: size("record-key-size", self.record_key_size)?,
            header_key_size: size("record-header-key-size", self.record_header_key_size)?,
            header_value_size: usize::try_from(self.record_header_size.min(LARGEST)).ok(),
            headers: size("num-headers", self.num_headers)?,
            servers: servers.map_or_else(|| self.bootstrap.servers(), Ok)?,
            topic: self.topic.unwrap_or_default(),
            acks,
            config: self.command_config,
        })
    }

    /// Puts the arguments of older notes in the places of the flags; returns the servers.
    fn take_positional(&mut self) -> Result<String, String> {
        let positional = std::mem::take(&mut self.positional);
        let number = |text: &str, name: &str| {
            text.parse::<i64>()
                .map(Some)
                .map_err(|_| format!("Cannot parse argument '{text}' of option {name}"))
        };
        let ([servers, topic, records, acks, size] | [servers, topic, records, acks, size, _]) =
            positional.as_slice()
        else {
            return Err(format!(
                "Invalid number of arguments. Expected 5 or 6 positional arguments, but got {}. Usage: bootstrap-server topic \
                 num-records producer-acks record-size [optional] command-config",
                positional.len()
            ));
        };
        println!(
            "WARNING: Positional argument usage is deprecated and will be removed in Apache Kafka 5.0. Please use named arguments \
             instead: --bootstrap-server, --topic, --num-records, --producer-acks, --record-size, --command-config"
        );
        self.topic = Some(topic.clone());
        self.num_records = number(records, "num-records")?;
        self.producer_acks = Some(acks.clone());
        self.record_size = number(size, "record-size")?;
        self.command_config = positional.get(5).map(PathBuf::from);
        Ok(servers.clone())
    }
}

impl Plan {
    async fn measure(&self) -> Result<(), String> {
        let said = |error: client::ClientError| error.to_string();
        let mut consumer = Consumer::new(self.consumer_config()?).map_err(said)?;
        let producer = Producer::new(self.producer_config()?);
        if !consumer.list_topics().await.map_err(said)?.contains(&self.topic) {
            self.create_topic().await?;
        }
        let topic = consumer.partitions_for(&self.topic, PATIENCE).await.map_err(said)?;
        let partitions: Vec<TopicPartition> =
            topic.partitions.iter().map(|known| TopicPartition::new(&*self.topic, known.partition)).collect();
        consumer
            .assign(partitions.iter().map(|partition| (partition.clone(), StartOffset::Latest)))
            .map_err(said)?;
        for partition in &partitions {
            consumer.await_position(partition, PATIENCE).await.map_err(said)?;
        }
        let mut random = SmallRng::seed_from_u64(0);
        let mut total = Duration::ZERO;
        let mut latencies = Vec::new();
        for number in 0..self.records {
            let record = self.record(&mut random);
            let begin = Instant::now();
            producer.send(record.clone()).await.map_err(said)?.await.map_err(said)?;
            let records = consumer.poll(PATIENCE).await.map_err(said)?;
            let elapsed = begin.elapsed();
            if let Err(error) = check(&record, &records) {
                consumer.commit_sync().await.map_err(said)?;
                return Err(error);
            }
            if number % 1000 == 0 {
                println!("{number}\t{}", elapsed.as_nanos() as f64 / 1e6);
            }
            total += elapsed;
            latencies.push(elapsed.as_millis());
        }
        latencies.sort_unstable();
        let percentile = |part: f64| {
            latencies.get((latencies.len() as f64 * part) as usize).or(latencies.last()).copied().unwrap_or(0)
        };
        println!("Avg latency: {:.4} ms", total.as_secs_f64() * 1e3 / self.records as f64);
        println!(
            "Percentiles: 50th = {}, 99th = {}, 99.9th = {}",
            percentile(0.5),
            percentile(0.99),
            percentile(0.999)
        );
        consumer.commit_sync().await.map_err(said)?;
        producer.close().await;
        consumer.close(PATIENCE).await.map_err(said)
    }

    /// Divergence: a fetch waits for the record instead of asking again and again (`fetch.max.wait.ms` is not 0): the answer comes as
    /// soon, and broker and consumer have their CPUs for the record.
    fn consumer_config(&self) -> Result<ConsumerConfig, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut entries = client_tool::entries(self.config.as_deref(), &[])?;
        let group = format!("test-group-{}", now.as_millis());
        for (key, value) in
            [("group.id", group.as_str()), ("enable.auto.commit", "false"), ("auto.offset.reset", "latest")]
        {
            entries.push((key.to_owned(), value.to_owned()));
        }
        let mut config = ConsumerConfig::new(self.servers.clone());
        client_tool::configure(&entries, |key, value| config.set(key, value))?;
        config.client.bootstrap_servers.clone_from(&self.servers);
        Ok(config)
    }

    fn producer_config(&self) -> Result<ProducerConfig, String> {
        let mut entries = client_tool::entries(self.config.as_deref(), &[])?;
        entries.push(("linger.ms".to_owned(), "0".to_owned()));
        entries.push(("acks".to_owned(), self.acks.clone()));
        let mut config = ProducerConfig::new(self.servers.clone());
        client_tool::configure(&entries, |key, value| config.set(key, value))?;
        config.client.bootstrap_servers.clone_from(&self.servers);
        Ok(config)
    }

    async fn create_topic(&self) -> Result<(), String> {
        let topic = &self.topic;
        println!(
            "Topic \"{topic}\" does not exist. Will create topic with 1 partition(s) and replication factor = 1"
        );
        let new = NewTopic {
            name: topic.clone(),
            partitions: Some(1),
            replication_factor: Some(1),
            ..NewTopic::default()
        };
        let admin = Admin::new(client_tool::client_config(self.servers.clone(), self.config.as_deref())?);
        let created = match admin.create_topics(&[new], false).await {
            Ok(created) => created.into_iter().collect::<Result<(), _>>(),
            Err(error) => Err(error),
        };
        created.map_err(|error| {
            println!("Creation of topic {topic} failed");
            client_tool::failed_future(&error)
        })
    }

    fn record(&self, random: &mut SmallRng) -> ProducerRecord<'_> {
        let mut bytes = |size: usize| vec![random.random_range(b'A'..=b'Z'); size];
        let mut record = ProducerRecord::new(self.topic.as_str(), Vec::new());
        record.key = Some(bytes(self.key_size).into());
        record.value = Some(bytes(self.value_size).into());
        for _ in 0..self.headers {
            let key = String::from_utf8_lossy(&bytes(self.header_key_size)).into_owned();
            record.headers.push((key.into(), self.header_value_size.map(|size| bytes(size).into())));
        }
        record
    }
}

/// What came has to be what was sent, and nothing else.
fn check(sent: &ProducerRecord<'_>, read: &[ConsumerRecord]) -> Result<(), String> {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let Some(record) = read.first() else {
        return Err(format!(
            "poll() timed out before finding a result (timeout:[{}ms])",
            PATIENCE.as_millis()
        ));
    };
    if record.value.as_deref() != sent.value.as_deref() {
        return Err(format!(
            "The message value read [{}] did not match the message value sent [{}]",
            text(record.value.as_deref()),
            text(sent.value.as_deref())
        ));
    }
    if record.key.as_deref() != sent.key.as_deref() {
        return Err(format!(
            "The message key read [{}] did not match the message key sent [{}]",
            text(record.key.as_deref()),
            text(sent.key.as_deref())
        ));
    }
    let same = record.headers.len() == sent.headers.len()
        && record
            .headers
            .iter()
            .zip(&sent.headers)
            .all(|(read, sent)| read.0 == sent.0 && read.1.as_deref() == sent.1.as_deref());
    if !same {
        return Err("The message headers read did not match the message headers sent".to_owned());
    }
    match read.len() {
        1 => Ok(()),
        count => Err(format!("Only one result was expected during this test. We found [{count}]")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Tool {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn plan(words: &[&str]) -> Result<Plan, String> {
        let words = std::iter::once("kafka-e2e-latency").chain(words.iter().copied());
        Tool::try_parse_from(words).map_err(|error| error.to_string())?.arguments.plan()
    }

    #[test]
    fn arguments_are_named_or_in_the_order_of_older_notes() {
        let named =
            plan(&["--topic", "t", "--num-records", "7", "--producer-acks", "all", "--record-size", "9"])
                .unwrap();
        assert_eq!((named.servers.as_str(), named.topic.as_str()), ("localhost:9092", "t"));
        assert_eq!((named.records, named.acks.as_str(), named.value_size), (7, "all", 9));
        let old = plan(&["b:1", "t", "7", "1", "9", "client.properties"]).unwrap();
        assert_eq!((old.servers.as_str(), old.records, old.acks.as_str()), ("b:1", 7, "1"));
        assert_eq!(old.config.as_deref(), Some(std::path::Path::new("client.properties")));
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_kafkas_words() {
        for (words, message) in [
            (
                &["b:1", "t"][..],
                "Invalid number of arguments. Expected 5 or 6 positional arguments, but got 2.",
            ),
            (&["--topic", "t"], "Missing required argument \"[num-records]\""),
            (&["b:1", "t", "7", "0", "9"], "Invalid value for --producer-acks."),
            (&["b:1", "t", "0", "1", "9"], "Value for --num-records must be a positive integer."),
            (&["b:1", "t", "many", "1", "9"], "Cannot parse argument 'many' of option num-records"),
        ] {
            let error = plan(words).err().unwrap_or_default();
            assert!(error.starts_with(message), "{words:?}: {error}");
        }
    }

    #[test]
    fn another_record_than_the_one_sent_is_an_error() {
        let sent = ProducerRecord::new("t", "value").with_key("");
        let record = |value: &'static str| ConsumerRecord {
            topic: "t".into(),
            partition: 0,
            offset: 0,
            timestamp: 0,
            timestamp_type: client::consumer::TimestampType::CreateTime,
            leader_epoch: None,
            key: Some(bytes::Bytes::new()),
            value: Some(value.into()),
            headers: Vec::new(),
        };
        assert_eq!(check(&sent, &[record("value")]), Ok(()));
        for (read, message) in [
            (vec![], "poll() timed out"),
            (vec![record("other")], "The message value read [other] did not match"),
            (vec![record("value"), record("value")], "Only one result was expected"),
        ] {
            assert!(check(&sent, &read).unwrap_err().starts_with(message));
        }
    }
}
