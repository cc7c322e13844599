//! `milena console-consumer`, which is `kafka-console-consumer.sh` (`org.apache.kafka.tools.consumer.ConsoleConsumer`).

use std::collections::{BTreeSet, HashSet};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use client::consumer::{AutoOffsetReset, StartOffset};
use client::{Consumer, ConsumerConfig, ConsumerRecord};
use common::{ErrorCode, TopicPartition};

use super::client_tool::{self, Bootstrap, TopicFilter};
use super::console_formatter::Formatter;
use crate::report::failure;

/// The tool's own name in the broker's logs.
const CLIENT_ID: &str = "console-consumer";
/// Output is written when so much of it has come together, or when there is nothing more for now.
const BUFFER: usize = 256 * 1024;
/// How often new topics and partitions are looked for; Kafka's consumer does so with its metadata, every five minutes.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How long the last commit and the goodbye to the group may take, as Kafka's consumer gives itself.
const CLOSE_PATIENCE: Duration = Duration::from_secs(30);
/// For a topic that the broker makes when it is asked for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Consume records and print them
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    bootstrap: Bootstrap,
    /// The topic to consume
    #[arg(long, value_name = "topic")]
    topic: Option<String>,
    /// The topics to consume: a regular expression
    #[arg(long, value_name = "regex", alias = "whitelist")]
    include: Option<String>,
    /// Only this partition, from its end on unless --offset or --from-beginning is given
    #[arg(long, value_name = "partition")]
    partition: Option<i32>,
    /// Where to begin in the partition: an offset, `earliest` or `latest`
    #[arg(long, value_name = "offset", allow_hyphen_values = true)]
    offset: Option<String>,
    /// Begin with the first record instead of the next one
    #[arg(long)]
    from_beginning: bool,
    /// End after so many records
    #[arg(long, value_name = "number", allow_negative_numbers = true)]
    max_messages: Option<i64>,
    /// End when no record comes for so long, in ms
    #[arg(long, value_name = "ms", allow_negative_numbers = true)]
    timeout_ms: Option<i64>,
    /// read_committed leaves out what was aborted or is still open; read_uncommitted shows everything
    #[arg(long, value_name = "level")]
    isolation_level: Option<String>,
    /// The group to consume in
    #[arg(long, value_name = "group")]
    group: Option<String>,
    /// How records are printed: print.timestamp, print.key, print.value, print.offset, print.partition, print.headers,
    /// print.epoch, key.separator, line.separator, headers.separator, null.literal, key.deserializer, value.deserializer,
    /// headers.deserializer; may be given several times
    #[arg(long, value_name = "key=value")]
    formatter_property: Vec<String>,
    /// The old name of --formatter-property
    #[arg(long, value_name = "key=value")]
    property: Vec<String>,
    /// A file with formatter properties
    #[arg(long, value_name = "file")]
    formatter_config: Option<PathBuf>,
    /// The class that prints: DefaultMessageFormatter, LoggingMessageFormatter or NoOpMessageFormatter
    #[arg(long, value_name = "class")]
    formatter: Option<String>,
    /// The class that reads keys, such as org.apache.kafka.common.serialization.LongDeserializer
    #[arg(long, value_name = "class")]
    key_deserializer: Option<String>,
    /// The class that reads values
    #[arg(long, value_name = "class")]
    value_deserializer: Option<String>,
    /// A property of the consumer; may be given several times
    #[arg(long, value_name = "key=value")]
    command_property: Vec<String>,
    /// The old name of --command-property
    #[arg(long, value_name = "key=value")]
    consumer_property: Vec<String>,
    /// A file with properties of the consumer
    #[arg(long, value_name = "file")]
    command_config: Option<PathBuf>,
    /// The old name of --command-config
    #[arg(long = "consumer.config", value_name = "file")]
    consumer_config: Option<PathBuf>,
    /// Go on where a record cannot be printed
    #[arg(long)]
    skip_message_on_error: bool,
    /// Print when the consumer is closed, for tests of systems
    #[arg(long)]
    enable_systest_events: bool,
    #[arg(long, hide = true)]
    new_consumer: bool,
    /// Print the version
    #[arg(long)]
    version: bool,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    if arguments.version {
        println!("{}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    client_tool::run(2, async move {
        let tool = Tool::new(&arguments)?;
        let code = tool.run().await;
        if arguments.enable_systest_events {
            println!("shutdown_complete");
        }
        code
    })
}

/// What is consumed.
enum Source {
    Topic(String),
    Partition(TopicPartition),
    Topics(TopicFilter),
}

struct Tool {
    source: Source,
    /// Of a group: it says which partitions there are, and where to begin.
    is_member: bool,
    start: StartOffset,
    consumer: Consumer,
    output: Output,
    timeout: Option<Duration>,
    max_messages: Option<u64>,
    skip_on_error: bool,
    known: HashSet<TopicPartition>,
}

impl Tool {
    fn new(arguments: &Arguments) -> Result<Tool, String> {
        let start = arguments.start()?;
        let source = match (&arguments.topic, &arguments.include, arguments.partition) {
            (Some(topic), None, Some(partition)) => {
                Source::Partition(TopicPartition::new(topic.as_str(), partition))
            }
            (Some(topic), None, None) => Source::Topic(topic.clone()),
            (None, Some(expression), None) => Source::Topics(TopicFilter::new(expression)?),
            (None, Some(_), Some(_)) => {
                return Err("The topic is required when partition is specified.".to_owned());
            }
            _ => {
                return Err(
                    "Exactly one of the following arguments is required: [topic], [include]".to_owned()
                );
            }
        };
        let formatter = arguments.formatter()?;
        let config = arguments.config()?;
        let is_member = config.group_id.is_some();
        if is_member && arguments.partition.is_some() {
            return Err("Options group and partition cannot be specified together.".to_owned());
        }
        if !is_member && start.is_none() && config.auto_offset_reset == AutoOffsetReset::None {
            return Err(
                "Undefined offset with no reset policy: auto.offset.reset is none, and neither --offset nor \
                        --from-beginning is given"
                    .to_owned(),
            );
        }
        let mut consumer = Consumer::new(config).map_err(|error| error.to_string())?;
        if is_member {
            match &source {
                Source::Topic(topic) => consumer.subscribe([topic.as_str()]),
                Source::Topics(filter) => consumer.subscribe_pattern(filter.expression()),
                Source::Partition(_) => Ok(()),
            }
            .map_err(|error| error.to_string())?;
        }
        Ok(Tool {
            source,
            is_member,
            start: start.unwrap_or(StartOffset::Committed),
            consumer,
            output: Output {
                formatter,
                buffer: Vec::with_capacity(BUFFER + 64 * 1024),
                count: 0,
                is_closed: false,
            },
            timeout: arguments
                .timeout_ms
                .and_then(|timeout| u64::try_from(timeout).ok())
                .map(Duration::from_millis),
            max_messages: arguments.max_messages.and_then(|count| u64::try_from(count).ok()),
            skip_on_error: arguments.skip_message_on_error,
            known: HashSet::new(),
        })
    }

    async fn run(mut self) -> Result<ExitCode, String> {
        let result = tokio::select! {
            result = self.consume() => result.map(|()| ExitCode::SUCCESS),
            code = client_tool::interrupted() => Ok(ExitCode::from(code)),
        };
        let result = result.and_then(|code| self.output.flush().map(|()| code));
        // What was printed is committed, if the consumer commits by itself, and the group goes on without this member.
        let closed = self.consumer.close(CLOSE_PATIENCE).await.map_err(|error| error.to_string());
        let code = result.and_then(|code| closed.map(|()| code)).unwrap_or_else(failure);
        eprintln!("Processed a total of {} messages", self.output.count);
        Ok(code)
    }

    async fn consume(&mut self) -> Result<(), String> {
        if !self.is_member {
            self.look(self.start).await?;
        }
        let mut looked = Instant::now();
        let mut last_record = Instant::now();
        while self.max_messages.is_none_or(|most| self.output.count < most) && !self.output.is_closed {
            let mut records = self.poll(Duration::ZERO).await?;
            if records.is_empty() {
                self.output.flush()?;
                let look_again = if self.known.is_empty() { Duration::from_secs(1) } else { LOOK_AGAIN };
                if looked.elapsed() >= look_again && !self.is_member {
                    // What is new since the start is read from its start.
                    //
                    // Divergence: Kafka's consumer begins where `auto.offset.reset` says, and misses by default what was
                    // written before it saw the partition.
                    self.look(StartOffset::Earliest).await?;
                    looked = Instant::now();
                }
                let mut wait = look_again;
                if let Some(timeout) = self.timeout {
                    if last_record.elapsed() >= timeout {
                        return Ok(());
                    }
                    wait = wait.min(timeout - last_record.elapsed());
                }
                records = self.poll(wait).await?;
            }
            if !records.is_empty() {
                self.print(&records)?;
                last_record = Instant::now();
            }
        }
        Ok(())
    }

    async fn poll(&mut self, timeout: Duration) -> Result<Vec<ConsumerRecord>, String> {
        self.consumer.poll(timeout).await.map_err(|error| error.to_string())
    }

    fn print(&mut self, records: &[ConsumerRecord]) -> Result<(), String> {
        for (index, record) in records.iter().enumerate() {
            if self.output.is_closed || self.max_messages.is_some_and(|most| self.output.count >= most) {
                return self.give_back(&records[index..]);
            }
            match self.output.print(record) {
                Err(error) if self.skip_on_error => {
                    eprintln!("ERROR Error processing message, skipping this message: {error}");
                }
                printed => printed?,
            }
        }
        Ok(())
    }

    /// Goes back to the first of these in each partition: what was not printed is not to be committed.
    fn give_back(&self, records: &[ConsumerRecord]) -> Result<(), String> {
        let mut seen = HashSet::new();
        for record in records {
            let partition = TopicPartition::new(record.topic.clone(), record.partition);
            if seen.insert(partition.clone()) {
                let sought = self.consumer.seek(&partition, StartOffset::At(record.offset));
                sought.map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// Adds the partitions that are there and not consumed yet.
    async fn look(&mut self, start: StartOffset) -> Result<(), String> {
        let topics = match &self.source {
            Source::Partition(partition) => {
                if self.known.insert(partition.clone()) {
                    // The consumer would wait for a broker for ever; that there is none is said at once.
                    let found = self.consumer.partitions_for(&partition.topic, PATIENCE).await;
                    found.map(drop).map_err(|error| error.to_string())?;
                    self.consumer.add([(partition.clone(), start)]).map_err(|error| error.to_string())?;
                }
                return Ok(());
            }
            Source::Topic(topic) => vec![topic.clone()],
            Source::Topics(filter) => match self.consumer.list_topics().await {
                Ok(topics) => {
                    let is_meant =
                        |topic: &String| filter.matches(topic) && !common::topic::is_internal(topic);
                    topics.into_iter().filter(is_meant).collect()
                }
                Err(error) if self.known.is_empty() => return Err(error.to_string()),
                Err(_) => return Ok(()),
            },
        };
        for topic in topics {
            let found = match self.consumer.partitions_for(&topic, PATIENCE).await {
                Ok(found) => found,
                Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {
                    tracing::warn!("{error}; waiting for it");
                    continue;
                }
                Err(error) if self.known.is_empty() => return Err(error.to_string()),
                Err(_) => continue,
            };
            for partition in &found.partitions {
                let partition = TopicPartition::new(topic.as_str(), partition.partition);
                if self.known.insert(partition.clone()) {
                    self.consumer.add([(partition, start)]).map_err(|error| error.to_string())?;
                }
            }
        }
        Ok(())
    }
}

/// Standard output, in large pieces.
struct Output {
    formatter: Formatter,
    buffer: Vec<u8>,
    count: u64,
    /// Whoever read it has gone.
    is_closed: bool,
}

impl Output {
    fn print(&mut self, record: &ConsumerRecord) -> Result<(), String> {
        self.count += 1;
        self.formatter.write(record, &mut self.buffer)?;
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), String> {
        if self.buffer.is_empty() || self.is_closed {
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        let written = out.write_all(&self.buffer).and_then(|()| out.flush());
        self.buffer.clear();
        match written {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(())
            }
            Err(error) => Err(format!("standard output cannot be written: {error}")),
        }
    }
}

impl Arguments {
    /// Where to begin, if the arguments say so.
    fn start(&self) -> Result<Option<StartOffset>, String> {
        let Some(offset) = &self.offset else {
            return Ok(self.from_beginning.then_some(StartOffset::Earliest));
        };
        if self.partition.is_none() {
            return Err("The partition is required when offset is specified.".to_owned());
        }
        if self.from_beginning {
            return Err("Options from-beginning and offset cannot be specified together.".to_owned());
        }
        if offset.eq_ignore_ascii_case("earliest") {
            return Ok(Some(StartOffset::Earliest));
        }
        if offset.eq_ignore_ascii_case("latest") {
            return Ok(Some(StartOffset::Latest));
        }
        match offset.parse::<i64>() {
            Ok(offset) if offset >= 0 => Ok(Some(StartOffset::At(offset))),
            _ => Err(format!(
                "The provided offset value '{offset}' is incorrect. Valid values are 'earliest', 'latest', or a \
                 non-negative long."
            )),
        }
    }

    fn formatter(&self) -> Result<Formatter, String> {
        let given = client_tool::renamed(
            ("--formatter-property", some(&self.formatter_property)),
            ("--property", some(&self.property)),
        )?;
        let mut entries = client_tool::entries(self.formatter_config.as_deref(), &[])?;
        for (key, class) in
            [("key.deserializer", &self.key_deserializer), ("value.deserializer", &self.value_deserializer)]
        {
            entries.extend(class.iter().map(|class| (key.to_owned(), class.clone())));
        }
        entries.extend(client_tool::entries(None, given.unwrap_or_default())?);
        Formatter::new(self.formatter.as_deref(), &entries)
    }

    fn config(&self) -> Result<ConsumerConfig, String> {
        let given = client_tool::renamed(
            ("--command-property", some(&self.command_property)),
            ("--consumer-property", some(&self.consumer_property)),
        )?;
        let file = client_tool::renamed(
            ("--command-config", self.command_config.as_deref()),
            ("--consumer.config", self.consumer_config.as_deref()),
        )?;
        let entries = client_tool::entries(file, given.unwrap_or_default())?;
        let value =
            |key: &str| entries.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        let mut config = ConsumerConfig::new("");
        config.client.client_id = CLIENT_ID.to_owned();
        client_tool::configure(&entries, |key, value| config.set(key, value))?;
        match value("auto.offset.reset") {
            Some(reset) if self.from_beginning && config.auto_offset_reset != AutoOffsetReset::Earliest => {
                return Err(format!(
                    "Can't simultaneously specify --from-beginning and 'auto.offset.reset={reset}', please remove one \
                     option"
                ));
            }
            None if self.from_beginning => config.auto_offset_reset = AutoOffsetReset::Earliest,
            _ => {}
        }
        if let Some(level) = &self.isolation_level {
            config.set("isolation.level", level).map_err(|error| error.to_string())?;
        }
        config.client.bootstrap_servers = self.bootstrap.servers()?;
        config.group_id = self.group_id(&entries)?;
        if config.group_id.is_none() {
            // Divergence: Kafka's tool makes up a group, `console-consumer-` and a number, which it has no use for.
            config.enable_auto_commit = None;
        }
        Ok(config)
    }
}

impl Arguments {
    /// The group, from wherever it is named.
    fn group_id(&self, entries: &[(String, String)]) -> Result<Option<String>, String> {
        let named = entries.iter().filter(|(key, _)| key == "group.id").map(|(_, group)| group);
        let groups: BTreeSet<&String> = self.group.iter().chain(named).collect();
        if groups.len() > 1 {
            let groups: Vec<String> = groups.into_iter().map(|group| format!("'{group}'")).collect();
            return Err(format!(
                "The group ids provided in different places (directly using '--group', via '--consumer-property', or via \
                 '--consumer.config') do not match. Detected group ids: {}",
                groups.join(", ")
            ));
        }
        Ok(groups.into_iter().next().cloned())
    }
}

fn some(given: &[String]) -> Option<&[String]> {
    Some(given).filter(|given| !given.is_empty())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn arguments(words: &[&str]) -> Arguments {
        Program::try_parse_from(std::iter::once("kafka-console-consumer").chain(words.iter().copied()))
            .unwrap()
            .arguments
    }

    #[test]
    fn the_start_is_said_in_one_way() {
        let start = |words: &[&str]| arguments(words).start();
        assert_eq!(start(&["--topic=t"]), Ok(None));
        assert_eq!(start(&["--topic=t", "--from-beginning"]), Ok(Some(StartOffset::Earliest)));
        assert_eq!(start(&["--partition=0", "--offset", "12"]), Ok(Some(StartOffset::At(12))));
        assert_eq!(start(&["--partition=0", "--offset=EARLIEST"]), Ok(Some(StartOffset::Earliest)));
        for words in [
            &["--topic=t", "--offset=1"][..],
            &["--partition=0", "--offset=-1"],
            &["--partition=0", "--offset=soon"],
            &["--partition=0", "--offset=1", "--from-beginning"],
        ] {
            assert!(start(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn the_beginning_and_another_reset_do_not_go_together() {
        let config = |words: &[&str]| arguments(words).config();
        let earliest =
            config(&["--from-beginning", "--consumer-property", "auto.offset.reset=earliest"]).unwrap();
        assert_eq!(earliest.auto_offset_reset, AutoOffsetReset::Earliest);
        let error =
            config(&["--from-beginning", "--command-property", "auto.offset.reset=latest"]).unwrap_err();
        assert!(
            error.starts_with("Can't simultaneously specify --from-beginning and 'auto.offset.reset=latest'")
        );
        assert_eq!(config(&["--group", "g"]).unwrap().group_id.as_deref(), Some("g"));
        assert_eq!(config(&["--command-property", "group.id=g"]).unwrap().group_id.as_deref(), Some("g"));
        let two = config(&["--group", "g", "--command-property", "group.id=h"]).unwrap_err();
        assert!(two.ends_with("Detected group ids: 'g', 'h'"), "{two}");
        assert!(config(&["--isolation-level", "read_all"]).is_err());
        assert!(config(&["--command-property", "a=1", "--consumer-property", "b=1"]).is_err());
    }

    #[test]
    fn a_record_that_cannot_be_printed_ends_the_tool_or_is_skipped() {
        assert!(arguments(&["--topic=t", "--key-deserializer", "org.example.Avro"]).formatter().is_err());
        assert!(arguments(&["--topic=t", "--property", "print.key=true"]).formatter().is_ok());
    }
}
