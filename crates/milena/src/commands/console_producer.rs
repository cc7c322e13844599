//! `milena console-producer`, which is `kafka-console-producer.sh` (`org.apache.kafka.tools.ConsoleProducer`).

use std::collections::VecDeque;
use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use client::{ClientError, Delivery, Producer, ProducerConfig, ProducerRecord};
use tokio::sync::mpsc;

use super::client_tool::{self, Bootstrap};
use super::console_line_reader::{LineReader, Lines, check_name};

/// The most that is read at once, in bytes.
const CHUNK: usize = 256 * 1024;
/// Errors that are printed one by one.
const ERRORS_SHOWN: u64 = 10;

/// Produce lines of standard input
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    bootstrap: Bootstrap,
    /// The topic to produce to
    #[arg(long, value_name = "topic")]
    topic: Option<String>,
    /// Send one record after the other, each when the one before is acknowledged
    #[arg(long)]
    sync: bool,
    /// none, gzip, snappy, lz4 or zstd; gzip where only the flag is given
    #[arg(long, value_name = "codec", num_args = 0..=1, default_missing_value = "gzip")]
    compression_codec: Option<String>,
    /// The size of a batch in bytes (batch.size) [default: 16384]
    #[arg(long, value_name = "size")]
    batch_size: Option<String>,
    /// How often a batch is sent again (retries) [default: 3]
    #[arg(long, value_name = "number")]
    message_send_max_retries: Option<String>,
    /// How long to wait before that, in ms (retry.backoff.ms) [default: 100]
    #[arg(long, value_name = "ms")]
    retry_backoff_ms: Option<String>,
    /// How long a batch waits for more records, in ms (linger.ms) [default: 1000]
    #[arg(long, value_name = "ms")]
    timeout: Option<String>,
    /// Who must have a record: 0, 1, or all (-1) (acks) [default: -1]
    #[arg(long, value_name = "acks", allow_hyphen_values = true)]
    request_required_acks: Option<String>,
    /// How long to wait for an answer, in ms (request.timeout.ms) [default: 1500]
    #[arg(long, value_name = "ms")]
    request_timeout_ms: Option<String>,
    /// How long metadata is believed, in ms (metadata.max.age.ms) [default: 300000]
    #[arg(long, value_name = "ms")]
    metadata_expiry_ms: Option<String>,
    /// How long to wait for metadata and memory, in ms (max.block.ms) [default: 60000]
    #[arg(long, value_name = "ms")]
    max_block_ms: Option<String>,
    /// The memory for records under way, in bytes (buffer.memory) [default: 33554432]
    #[arg(long, value_name = "bytes")]
    max_memory_bytes: Option<String>,
    /// The old name of --batch-size
    #[arg(long, value_name = "bytes")]
    max_partition_memory_bytes: Option<String>,
    /// The size of the socket's buffer, in bytes (send.buffer.bytes)
    #[arg(long, value_name = "size", allow_hyphen_values = true)]
    socket_buffer_size: Option<String>,
    /// The class that reads lines; only Kafka's default is there
    #[arg(long, value_name = "class")]
    line_reader: Option<String>,
    /// How lines are read: parse.key, key.separator, parse.headers, headers.delimiter, headers.separator,
    /// headers.key.separator, ignore.error, null.marker; may be given several times
    #[arg(long, value_name = "key=value")]
    reader_property: Vec<String>,
    /// The old name of --reader-property
    #[arg(long, value_name = "key=value")]
    property: Vec<String>,
    /// A file with reader properties
    #[arg(long, value_name = "file")]
    reader_config: Option<PathBuf>,
    /// A property of the producer; may be given several times
    #[arg(long, value_name = "key=value")]
    command_property: Vec<String>,
    /// The old name of --command-property
    #[arg(long, value_name = "key=value")]
    producer_property: Vec<String>,
    /// A file with properties of the producer
    #[arg(long, value_name = "file")]
    command_config: Option<PathBuf>,
    /// The old name of --command-config
    #[arg(long = "producer.config", value_name = "file")]
    producer_config: Option<PathBuf>,
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
        let (config, reader) = (arguments.config()?, arguments.reader()?);
        produce(Producer::new(config), reader, arguments.sync).await
    })
}

impl Arguments {
    fn reader(&self) -> Result<LineReader, String> {
        check_name(self.line_reader.as_deref().unwrap_or("org.apache.kafka.tools.LineMessageReader"))?;
        let given = client_tool::renamed(
            ("--reader-property", some(&self.reader_property)),
            ("--property", some(&self.property)),
        )?;
        let entries = client_tool::entries(self.reader_config.as_deref(), given.unwrap_or_default())?;
        let topic = self.topic.as_deref().ok_or("Missing required argument \"[topic]\"")?;
        LineReader::new(topic, &entries)
    }

    fn config(&self) -> Result<ProducerConfig, String> {
        let given = client_tool::renamed(
            ("--command-property", some(&self.command_property)),
            ("--producer-property", some(&self.producer_property)),
        )?;
        let file = client_tool::renamed(
            ("--command-config", self.command_config.as_deref()),
            ("--producer.config", self.producer_config.as_deref()),
        )?;
        let mut config = ProducerConfig::new("");
        // The tool's own defaults, below whatever is said.
        config.client.client_id = "console-producer".to_owned();
        config.client.request_timeout = Duration::from_millis(1500);
        config.retries = 3;
        // A record that is waited for need not wait for others.
        config.linger = Duration::from_millis(if self.sync { 0 } else { 1000 });
        let entries = client_tool::entries(file, given.unwrap_or_default())?;
        client_tool::configure(&entries, |key, value| config.set(key, value))?;
        let batch_size = client_tool::renamed(
            ("--batch-size", self.batch_size.as_deref()),
            ("--max-partition-memory-bytes", self.max_partition_memory_bytes.as_deref()),
        )?;
        // Divergence: in Kafka's tool the codec is `none` without the flag, whatever compression.type a property sets.
        for (key, value) in [
            ("compression.type", self.compression_codec.as_deref()),
            ("linger.ms", self.timeout.as_deref()),
            ("acks", self.request_required_acks.as_deref()),
            ("request.timeout.ms", self.request_timeout_ms.as_deref()),
            ("retries", self.message_send_max_retries.as_deref()),
            ("retry.backoff.ms", self.retry_backoff_ms.as_deref()),
            ("send.buffer.bytes", self.socket_buffer_size.as_deref()),
            ("buffer.memory", self.max_memory_bytes.as_deref()),
            ("batch.size", batch_size),
            ("metadata.max.age.ms", self.metadata_expiry_ms.as_deref()),
            ("max.block.ms", self.max_block_ms.as_deref()),
        ] {
            if let Some(value) = value {
                config.set(key, value).map_err(|error| error.to_string())?;
            }
        }
        config.client.bootstrap_servers = self.bootstrap.servers()?;
        Ok(config)
    }
}

fn some(given: &[String]) -> Option<&[String]> {
    Some(given).filter(|given| !given.is_empty())
}

/// Reads standard input on a thread of its own: nothing else waits while a person types.
fn read_input() -> mpsc::Receiver<std::io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(4);
    std::thread::spawn(move || {
        let prompt = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let mut input = std::io::stdin().lock();
        loop {
            if prompt {
                print!(">");
                let _ = std::io::stdout().flush();
            }
            let mut chunk = vec![0; CHUNK];
            let read = match input.read(&mut chunk) {
                Ok(0) => return,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                read => read,
            };
            let chunk = read.map(|count| {
                chunk.truncate(count);
                chunk
            });
            if sender.blocking_send(chunk).is_err() {
                return;
            }
        }
    });
    receiver
}

async fn produce(producer: Producer, mut reader: LineReader, sync: bool) -> Result<ExitCode, String> {
    let mut input = read_input();
    let mut sending = Sending { producer, sync, under_way: VecDeque::new(), failed: 0 };
    // What stops the reading; records that are queued are sent nevertheless, as Kafka's tool does when it closes.
    let stopped = tokio::select! {
        end = feed(&mut sending, &mut reader, &mut input) => end.map(|()| ExitCode::SUCCESS),
        code = client_tool::interrupted() => Ok(ExitCode::from(code)),
    };
    let failed = tokio::select! {
        failed = sending.finish() => failed,
        // Once more: now.
        code = client_tool::interrupted() => return Ok(ExitCode::from(code)),
    };
    match stopped {
        Err(error) => Err(error),
        // Divergence: Kafka's tool ends with 0 although records were lost.
        Ok(_) if failed > 0 => Err(format!("{failed} records were not delivered")),
        Ok(code) => Ok(code),
    }
}

/// Sends the lines of the input to its end.
async fn feed(
    sending: &mut Sending,
    reader: &mut LineReader,
    input: &mut mpsc::Receiver<std::io::Result<Vec<u8>>>,
) -> Result<(), String> {
    let mut lines = Lines::default();
    let mut line = Vec::new();
    loop {
        let chunk = tokio::select! {
            chunk = input.recv() => chunk,
            // Errors are told while a person thinks about the next line.
            () = sending.oldest(), if !sending.under_way.is_empty() => continue,
        };
        let Some(chunk) = chunk else { break };
        let chunk = chunk.map_err(|error| format!("standard input cannot be read: {error}"))?;
        let mut rest = chunk.as_slice();
        while lines.next(&mut rest, &mut line) {
            sending.send(reader.record(&line)?).await?;
        }
        sending.look();
    }
    match lines.last() {
        Some(line) => sending.send(reader.record(&line)?).await,
        None => Ok(()),
    }
}

/// Records that were sent and not answered yet.
struct Sending {
    producer: Producer,
    sync: bool,
    under_way: VecDeque<(Delivery, Sizes)>,
    failed: u64,
}

/// What an error message says of a record: the topic, and the sizes of key and value.
struct Sizes {
    key: Option<usize>,
    value: Option<usize>,
}

impl Sending {
    async fn send(&mut self, record: ProducerRecord<'_>) -> Result<(), String> {
        let sizes = Sizes {
            key: record.key.as_deref().map(<[u8]>::len),
            value: record.value.as_deref().map(<[u8]>::len),
        };
        match self.producer.send(record).await {
            Ok(delivery) if self.sync => delivery.await.map(drop).map_err(|error| error.to_string()),
            Ok(delivery) => {
                self.under_way.push_back((delivery, sizes));
                if self.under_way.len().is_multiple_of(1024) {
                    self.look();
                }
                Ok(())
            }
            // This one record is refused; the next may do.
            Err(error @ ClientError::Record(_)) if !self.sync => {
                self.report(&sizes, &error);
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Takes the records that are answered from the front.
    fn look(&mut self) {
        while let Some((delivery, _)) = self.under_way.front() {
            let Some(result) = delivery.try_get() else { return };
            self.answered(result.map(drop));
        }
    }

    /// Waits for the oldest record.
    async fn oldest(&mut self) {
        let Some((delivery, _)) = self.under_way.front_mut() else { return };
        let result = delivery.await;
        self.answered(result.map(drop));
        self.look();
    }

    fn answered(&mut self, result: Result<(), ClientError>) {
        if let (Some((_, sizes)), Err(error)) = (self.under_way.pop_front(), result) {
            self.report(&sizes, &error);
        }
    }

    fn report(&mut self, sizes: &Sizes, error: &ClientError) {
        self.failed += 1;
        let bytes =
            |size: Option<usize>| size.map_or_else(|| "null".to_owned(), |size| format!("{size} bytes"));
        if self.failed <= ERRORS_SHOWN {
            eprintln!(
                "ERROR Error when sending message with key: {}, value: {} with error: {error}",
                bytes(sizes.key),
                bytes(sizes.value)
            );
        } else if self.failed == ERRORS_SHOWN + 1 {
            eprintln!("ERROR and more of them");
        }
    }

    /// Delivers what is left. How many records failed.
    async fn finish(&mut self) -> u64 {
        self.producer.flush().await;
        while !self.under_way.is_empty() {
            self.oldest().await;
        }
        self.failed
    }
}
