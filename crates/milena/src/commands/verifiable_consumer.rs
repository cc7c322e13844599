//! `milena verifiable-consumer`, which is `kafka-verifiable-consumer.sh` (`org.apache.kafka.tools.VerifiableConsumer`): a member of a
//! group that prints a line of JSON for each thing that happens to it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use client::admin::OffsetAndMetadata;
use client::consumer::{ListenerFuture, Offsets, RebalanceListener};
use client::{ClientError, Consumer, ConsumerConfig, ConsumerRecord};
use common::TopicPartition;

use super::client_tool::{self, Bootstrap};
use super::json_event::JsonEvent;
use crate::report::failure;

/// Consume as a member of a group, and print a line of JSON for each assignment, poll and commit
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    bootstrap: Bootstrap,
    /// The topic
    #[arg(long, value_name = "TOPIC")]
    topic: String,
    /// How the group works: classic or consumer
    #[arg(long, value_name = "GROUP-PROTOCOL", default_value = "classic")]
    group_protocol: String,
    /// The coordinator's assignor, with --group-protocol consumer
    #[arg(long, value_name = "GROUP-REMOTE-ASSIGNOR")]
    group_remote_assignor: Option<String>,
    /// The group
    #[arg(long, value_name = "GROUP-ID")]
    group_id: String,
    /// The name by which a static member is known again
    #[arg(long, value_name = "GROUP-INSTANCE-ID")]
    group_instance_id: Option<String>,
    /// How many records; -1 for as many as come until it is stopped
    #[arg(long, value_name = "MAX-MESSAGES", default_value_t = -1, allow_negative_numbers = true)]
    max_messages: i64,
    /// The session's timeout in ms, with --group-protocol classic
    #[arg(long, value_name = "TIMEOUT-MS")]
    session_timeout: Option<u32>,
    /// A line for each record too
    #[arg(long)]
    verbose: bool,
    /// Let the consumer commit by itself
    #[arg(long)]
    enable_autocommit: bool,
    /// How long closing may take, in ms
    #[arg(long, value_name = "CLOSE-TIMEOUT-MS", default_value_t = 30_000)]
    close_timeout: u64,
    /// Where to begin where the group has no offset: earliest, latest or none
    #[arg(long, value_name = "RESET-POLICY", default_value = "earliest")]
    reset_policy: String,
    /// The members' assignor, with --group-protocol classic
    #[arg(
        long,
        value_name = "ASSIGNMENT-STRATEGY",
        default_value = "org.apache.kafka.clients.consumer.RangeAssignor"
    )]
    assignment_strategy: String,
    /// Properties of the consumer
    #[arg(long, value_name = "CONFIG-FILE")]
    command_config: Option<PathBuf>,
    /// The old name of --command-config
    #[arg(long = "consumer.config", value_name = "CONFIG-FILE", hide = true)]
    consumer_config: Option<PathBuf>,
}

/// Prints what the group gives and takes.
struct Printer;

impl RebalanceListener for Printer {
    fn on_partitions_assigned<'a>(
        &'a self,
        _: &'a Consumer,
        partitions: &'a [TopicPartition],
    ) -> ListenerFuture<'a> {
        print_partitions("partitions_assigned", partitions);
        Box::pin(async { Ok(()) })
    }

    fn on_partitions_revoked<'a>(
        &'a self,
        _: &'a Consumer,
        partitions: &'a [TopicPartition],
    ) -> ListenerFuture<'a> {
        print_partitions("partitions_revoked", partitions);
        Box::pin(async { Ok(()) })
    }
}

fn at(partition: &TopicPartition) -> JsonEvent {
    JsonEvent::empty().text("topic", Some(&partition.topic)).number("partition", partition.partition)
}

fn print_partitions(name: &str, partitions: &[TopicPartition]) {
    JsonEvent::new(name).list("partitions", partitions.iter().map(at)).print();
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    if arguments.consumer_config.is_some() && arguments.command_config.is_some() {
        return failure(
            "verifiable-consumer: error: Options --consumer.config and --command-config are mutually exclusive.",
        );
    }
    client_tool::run(2, async move {
        let mut consumer = Consumer::new(arguments.config()?).map_err(|error| error.to_string())?;
        consumer.set_rebalance_listener(Printer);
        let stopped = arguments.consume(&mut consumer).await;
        // What goes wrong is for the log, and does not change how the tool ends: so Kafka's does it.
        let (Ok(stopped) | Err(stopped)) = stopped.map_err(|error| {
            tracing::error!("Error during processing, terminating consumer process: {error}");
            None
        });
        if let Err(error) = consumer.close(Duration::from_millis(arguments.close_timeout)).await {
            tracing::error!("{error}");
        }
        JsonEvent::new("shutdown_complete").print();
        if stopped.is_none() {
            // Kafka's tool says so whenever its process ends.
            JsonEvent::new("shutdown_requested").print();
        }
        Ok(stopped.map_or(ExitCode::SUCCESS, ExitCode::from))
    })
}

/// What was read of a partition in one poll.
struct Summary {
    count: usize,
    min_offset: i64,
    max_offset: i64,
}

impl Arguments {
    fn config(&self) -> Result<ConsumerConfig, String> {
        let old = ("--consumer.config", self.consumer_config.as_deref());
        let file = client_tool::config_file(self.command_config.as_deref(), old);
        let mut entries = client_tool::entries(file, &[])?;
        let mut set = |key: &str, value: &str| entries.push((key.to_owned(), value.to_owned()));
        set("group.protocol", &self.group_protocol);
        if self.group_protocol.eq_ignore_ascii_case("consumer") {
            self.group_remote_assignor.iter().for_each(|assignor| set("group.remote.assignor", assignor));
        } else {
            set("partition.assignment.strategy", &self.assignment_strategy);
        }
        if let Some(timeout) = self.session_timeout {
            set("session.timeout.ms", &timeout.to_string());
        }
        set("group.id", &self.group_id);
        self.group_instance_id.iter().for_each(|id| set("group.instance.id", id));
        set("enable.auto.commit", if self.enable_autocommit { "true" } else { "false" });
        set("auto.offset.reset", &self.reset_policy);
        let mut config = ConsumerConfig::new(self.bootstrap.servers()?);
        let servers = config.client.bootstrap_servers.clone();
        client_tool::configure(&entries, |key, value| config.set(key, value))?;
        config.client.bootstrap_servers = servers;
        Ok(config)
    }

    /// Reads until it is enough, or until somebody asks it to stop: then the exit code for that.
    async fn consume(&self, consumer: &mut Consumer) -> Result<Option<u8>, ClientError> {
        JsonEvent::new("startup_complete").print();
        consumer.subscribe([self.topic.as_str()])?;
        let interrupted = client_tool::interrupted();
        tokio::pin!(interrupted);
        let mut consumed = 0;
        while u64::try_from(self.max_messages).is_err() || consumed < self.max_messages.unsigned_abs() {
            let records = tokio::select! {
                biased;
                code = &mut interrupted => {
                    JsonEvent::new("shutdown_requested").print();
                    return Ok(Some(code));
                }
                records = consumer.poll(Duration::from_secs(60)) => records?,
            };
            if records.is_empty() {
                continue;
            }
            let offsets = self.received(&records, &mut consumed);
            if !self.enable_autocommit {
                let result = consumer.commit_sync_offsets(offsets.clone()).await;
                if let Err(error @ ClientError::Api { code: common::ErrorCode::FencedInstanceId, .. }) =
                    result
                {
                    return Err(error);
                }
                print_commit(&offsets, result.err());
            }
        }
        Ok(None)
    }

    /// Prints what a poll brought, as far as it is wanted; the offsets to commit for it.
    fn received(&self, records: &[ConsumerRecord], consumed: &mut u64) -> Offsets {
        let limit = u64::try_from(self.max_messages).unwrap_or(u64::MAX);
        let mut summaries: BTreeMap<TopicPartition, Summary> = BTreeMap::new();
        for record in records {
            if *consumed >= limit {
                break;
            }
            *consumed += 1;
            let partition = TopicPartition::new(&*record.topic, record.partition);
            let first = Summary { count: 0, min_offset: record.offset, max_offset: record.offset };
            let summary = summaries.entry(partition).or_insert(first);
            summary.count += 1;
            summary.max_offset = record.offset;
            if self.verbose {
                let text = |bytes: &Option<bytes::Bytes>| {
                    bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
                };
                JsonEvent::new("record_data")
                    .text("key", text(&record.key).as_deref())
                    .text("value", text(&record.value).as_deref())
                    .text("topic", Some(&record.topic))
                    .number("partition", record.partition)
                    .number("offset", record.offset)
                    .print();
            }
        }
        let shown = summaries.iter().map(|(partition, summary)| {
            at(partition)
                .number("count", summary.count)
                .number("minOffset", summary.min_offset)
                .number("maxOffset", summary.max_offset)
        });
        JsonEvent::new("records_consumed").number("count", records.len()).list("partitions", shown).print();
        let next = |summary: Summary| OffsetAndMetadata::new(summary.max_offset + 1);
        summaries.into_iter().map(|(partition, summary)| (partition, next(summary))).collect()
    }
}

fn print_commit(offsets: &Offsets, error: Option<ClientError>) {
    let sorted: BTreeMap<&TopicPartition, &OffsetAndMetadata> = offsets.iter().collect();
    let shown = sorted.into_iter().map(|(partition, offset)| at(partition).number("offset", offset.offset));
    let event = JsonEvent::new("offsets_committed").list("offsets", shown);
    match error {
        None => event.number("success", true).print(),
        Some(error) => event.text("error", Some(&error.to_string())).number("success", false).print(),
    }
}
