//! `milena verifiable-producer`, which is `kafka-verifiable-producer.sh` (`org.apache.kafka.tools.VerifiableProducer`): rising
//! numbers, and a line of JSON for each that says what became of it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use client::{ClientError, Delivery, Producer, ProducerConfig, ProducerRecord};
use tokio::sync::mpsc;

use super::client_tool::{self, Bootstrap};
use super::java_text;
use super::json_event::JsonEvent;
use crate::report::failure;

/// Produce rising numbers, and print a line of JSON for each record that was acknowledged or failed
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    bootstrap: Bootstrap,
    /// The topic
    #[arg(long, value_name = "TOPIC")]
    topic: String,
    /// How many records; -1 for as many as come until it is stopped
    #[arg(long, value_name = "MAX-MESSAGES", default_value_t = -1, allow_negative_numbers = true)]
    max_messages: i64,
    /// About how many records a second; -1 for as many as can be
    #[arg(long, value_name = "THROUGHPUT", default_value_t = -1, allow_negative_numbers = true)]
    throughput: i64,
    /// How many replicas acknowledge a record: 0, 1, or -1 for all that are in sync
    #[arg(long, value_name = "ACKS", default_value = "-1", allow_negative_numbers = true, value_parser = ["0", "1", "-1"])]
    acks: String,
    /// Properties of the producer
    #[arg(long, value_name = "CONFIG-FILE")]
    command_config: Option<PathBuf>,
    /// The old name of --command-config
    #[arg(long = "producer.config", value_name = "CONFIG-FILE", hide = true)]
    producer_config: Option<PathBuf>,
    /// The timestamp of the first record, in ms since 1970
    #[arg(long, value_name = "CREATE-TIME", default_value_t = -1, allow_negative_numbers = true)]
    message_create_time: i64,
    /// What stands in front of each number, with a dot between
    #[arg(long, value_name = "VALUE-PREFIX", allow_negative_numbers = true)]
    value_prefix: Option<i32>,
    /// Keys that rise from 0 to below this, and begin again
    #[arg(long, value_name = "REPEATING-KEYS", value_parser = clap::value_parser!(u64).range(1..))]
    repeating_keys: Option<u64>,
}

/// A record that is under way.
struct Sent {
    key: Option<String>,
    value: String,
    delivery: Delivery,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    if arguments.producer_config.is_some() && arguments.command_config.is_some() {
        return failure(
            "verifiable-producer: error: Options --producer.config and --command-config are mutually exclusive.",
        );
    }
    client_tool::run(2, async move {
        let producer = Producer::new(arguments.config()?);
        Ok(arguments.produce(producer).await)
    })
}

impl Arguments {
    fn config(&self) -> Result<ProducerConfig, String> {
        let old = ("--producer.config", self.producer_config.as_deref());
        let file = client_tool::config_file(self.command_config.as_deref(), old);
        let mut config = ProducerConfig::new(self.bootstrap.servers()?);
        let mut entries =
            vec![("acks".to_owned(), self.acks.clone()), ("retries".to_owned(), "0".to_owned())];
        entries.extend(client_tool::entries(file, &[])?);
        client_tool::configure(&entries, |key, value| config.set(key, value))?;
        Ok(config)
    }

    /// Sends until it is enough, or somebody asks it to stop; what was sent is waited for either way.
    async fn produce(&self, producer: Producer) -> ExitCode {
        JsonEvent::new("startup_complete").print();
        let started = Instant::now();
        let (sender, receiver) = mpsc::unbounded_channel();
        let reports = tokio::spawn(report(receiver, self.topic.clone()));
        let interrupted = client_tool::interrupted();
        tokio::pin!(interrupted);
        let count = u64::try_from(self.max_messages).unwrap_or(u64::MAX);
        let mut sent = 0;
        let mut stopped = None;
        let mut number = 0;
        while number < count && stopped.is_none() {
            tokio::select! {
                biased;
                code = &mut interrupted => stopped = Some(code),
                () = self.send(&producer, number, started, &sender, &mut sent) => number += 1,
            }
        }
        drop(sender);
        producer.flush().await;
        let acked = reports.await.unwrap_or(0);
        producer.close().await;
        JsonEvent::new("shutdown_complete").print();
        let seconds = started.elapsed().as_secs_f64().max(0.001);
        JsonEvent::new("tool_data")
            .number("sent", sent)
            .number("acked", acked)
            .number("target_throughput", self.throughput)
            .number("avg_throughput", java_text::double(acked as f64 / seconds))
            .print();
        stopped.map_or(ExitCode::SUCCESS, ExitCode::from)
    }

    async fn send(
        &self,
        producer: &Producer,
        number: u64,
        started: Instant,
        sender: &mpsc::UnboundedSender<Sent>,
        sent: &mut u64,
    ) {
        let value = match self.value_prefix {
            Some(prefix) => format!("{prefix}.{number}"),
            None => number.to_string(),
        };
        let key = self.repeating_keys.map(|keys| (number % keys).to_string());
        let mut record = ProducerRecord::new(self.topic.as_str(), value.as_str());
        record.key = key.as_ref().map(|key| key.as_bytes().into());
        record.timestamp = (self.message_create_time >= 0).then(|| {
            let elapsed = i64::try_from(started.elapsed().as_millis()).unwrap_or(0);
            self.message_create_time.saturating_add(elapsed)
        });
        let queued = producer.send(record).await;
        // Counted before the pause, in which the tool may be stopped.
        *sent += 1;
        match queued {
            Ok(delivery) => drop(sender.send(Sent { key, value, delivery })),
            Err(error) => failed(key.as_deref(), &value, &self.topic, &error),
        }
        self.throttle(started, number + 1).await;
    }

    /// Waits where more was sent than `--throughput` allows by now.
    async fn throttle(&self, started: Instant, sent: u64) {
        if self.throughput <= 0 {
            return;
        }
        let due = Duration::try_from_secs_f64(sent as f64 / self.throughput as f64).unwrap_or(Duration::ZERO);
        tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
    }
}

/// Says what became of the records, in the order in which they were sent; how many were acknowledged.
async fn report(mut sent: mpsc::UnboundedReceiver<Sent>, topic: String) -> u64 {
    let mut acked = 0;
    while let Some(Sent { key, value, delivery }) = sent.recv().await {
        match delivery.await {
            Ok(metadata) => {
                acked += 1;
                JsonEvent::new("producer_send_success")
                    .text("key", key.as_deref())
                    .text("value", Some(&value))
                    .number("offset", metadata.offset)
                    .text("topic", Some(&topic))
                    .number("partition", metadata.partition)
                    .print();
            }
            Err(error) => failed(key.as_deref(), &value, &topic, &error),
        }
    }
    acked
}

fn failed(key: Option<&str>, value: &str, topic: &str, error: &ClientError) {
    let exception = format!("class {}", client_tool::exception_class(error));
    JsonEvent::new("producer_send_error")
        .text("key", key)
        .text("value", Some(value))
        .text("topic", Some(topic))
        .text("exception", Some(&exception))
        .text("message", Some(&error.to_string()))
        .print();
}
