//! `milena replica-verification`, which is `kafka-replica-verification.sh` (`org.apache.kafka.tools.ReplicaVerificationTool`): reads
//! the same offsets from all replicas of partitions again and again, and says how far behind the worst is, and what differs.

use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use client::Admin;
use client::admin::{OffsetSpec, ReplicaBatches};
use client::consumer::IsolationLevel;
use common::{TopicPartition, Uuid};

use super::client_tool::{self, TopicFilter, exception};
use super::date_time;

/// Compare what the replicas of partitions have, and say how far behind the worst is
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// The brokers to ask first: HOST:PORT, several with commas
    #[arg(
        long,
        alias = "bootstrap-server",
        value_name = "hostname:port,...,hostname:port",
        required_unless_present = "version"
    )]
    broker_list: Option<String>,
    /// How much of a partition to fetch at once
    #[arg(long, value_name = "bytes", default_value_t = 1_048_576)]
    fetch_size: i32,
    /// How long a broker may wait for records
    #[arg(long, value_name = "ms", default_value_t = 1_000)]
    max_wait_ms: u32,
    /// The topics: a regular expression
    #[arg(long, value_name = "Java regex (String)", default_value = ".*")]
    topics_include: String,
    /// Where to begin
    #[arg(
        long,
        value_name = "timestamp/-1(latest)/-2(earliest)",
        default_value_t = -1,
        allow_negative_numbers = true
    )]
    time: i64,
    /// How often to say how far behind the worst is
    #[arg(long, value_name = "ms", default_value_t = 30_000)]
    report_interval_ms: u64,
    /// Print the version
    #[arg(long)]
    version: bool,
}

/// A partition whose replicas are compared.
struct Compared {
    topic_id: Uuid,
    replicas: Vec<i32>,
    /// Up to where they are the same.
    offset: i64,
}

/// What was found, to be printed.
#[derive(Debug, PartialEq)]
enum Found {
    /// The replicas have different batches in one place: there is no going on.
    OtherOffsets(String),
    /// A batch has other bytes.
    OtherBytes(String),
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    if arguments.version {
        return client_tool::print_version();
    }
    eprintln!("This tool is deprecated and may be removed in a future major release.");
    client_tool::run(1, async move {
        let filter = TopicFilter::new(&arguments.topics_include)?;
        let servers = arguments.broker_list.clone().unwrap_or_default();
        let admin = Admin::new(client_tool::client_config(servers, None)?);
        let mut partitions = partitions(&admin, &filter).await?;
        if partitions.is_empty() {
            eprintln!(
                "No topics found. --topics-include if specified, is either filtering out all topics or there is no topic."
            );
            return Ok(ExitCode::FAILURE);
        }
        begin(&admin, &mut partitions, arguments.time).await?;
        println!("{}: verification process is started", now());
        verify(&admin, &mut partitions, &arguments).await
    })
}

/// The partitions of the topics that are meant.
async fn partitions(
    admin: &Admin,
    filter: &TopicFilter,
) -> Result<BTreeMap<TopicPartition, Compared>, String> {
    let topics = admin.list_topics().await.map_err(|error| error.to_string())?;
    let names: Vec<String> = topics.into_keys().filter(|name| filter.matches(name)).collect();
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut partitions = BTreeMap::new();
    for topic in admin.describe_topics(&names).await.map_err(|error| error.to_string())? {
        for partition in &topic.partitions {
            let at = TopicPartition::new(topic.name.clone().unwrap_or_default(), partition.partition_index);
            let replicas = partition.replica_nodes.clone();
            partitions.insert(at, Compared { topic_id: topic.topic_id, replicas, offset: 0 });
        }
    }
    Ok(partitions)
}

/// Looks up where to begin.
async fn begin(
    admin: &Admin,
    partitions: &mut BTreeMap<TopicPartition, Compared>,
    time: i64,
) -> Result<(), String> {
    let spec = match time {
        -1 => OffsetSpec::Latest,
        -2 => OffsetSpec::Earliest,
        time => OffsetSpec::Timestamp(time),
    };
    let asked: Vec<_> = partitions.keys().map(|at| (at.clone(), spec)).collect();
    let offsets = admin.list_offsets(&asked, IsolationLevel::ReadUncommitted).await;
    for (at, offset) in offsets.map_err(|error| error.to_string())? {
        let offset = offset.map_err(|error| exception(&error))?;
        if let Some(compared) = partitions.get_mut(&at) {
            compared.offset = offset.map_or(-1, |offset| offset.offset);
        }
    }
    Ok(())
}

/// Compares until the process ends, or the replicas part.
async fn verify(
    admin: &Admin,
    partitions: &mut BTreeMap<TopicPartition, Compared>,
    arguments: &Arguments,
) -> Result<ExitCode, String> {
    let interval = Duration::from_millis(arguments.report_interval_ms);
    let max_wait = Duration::from_millis(arguments.max_wait_ms.into());
    let mut last_report = Instant::now();
    loop {
        let mut fetched: HashMap<TopicPartition, Vec<(i32, ReplicaBatches)>> = HashMap::new();
        let mut brokers: BTreeMap<i32, Vec<(TopicPartition, Uuid, i64)>> = BTreeMap::new();
        for (at, compared) in partitions.iter() {
            for broker in &compared.replicas {
                let asked = (at.clone(), compared.topic_id, compared.offset);
                brokers.entry(*broker).or_default().push(asked);
            }
        }
        let mut answers = Vec::new();
        for (broker, asked) in brokers {
            let fetch = async move {
                (broker, admin.fetch_from_replica(broker, &asked, arguments.fetch_size, max_wait).await)
            };
            answers.push(Box::pin(fetch));
        }
        for (broker, answer) in all(answers).await {
            for (at, data) in answer.map_err(|error| error.to_string())? {
                // A replica that is not there at this moment has nothing of what the others have.
                fetched.entry(at).or_default().push((broker, data.unwrap_or_default()));
            }
        }
        let mut worst: Option<(i64, &TopicPartition, i64)> = None;
        let count = partitions.len();
        for (at, compared) in partitions.iter_mut() {
            let replicas = fetched.remove(at).unwrap_or_default();
            let (offset, found) = compare(at, compared.offset, &replicas);
            compared.offset = offset;
            for found in found {
                match found {
                    Found::OtherBytes(words) => println!("{}: {words}", now()),
                    Found::OtherOffsets(words) => {
                        println!("{}: {words}", now());
                        return Ok(ExitCode::FAILURE);
                    }
                }
            }
            let end = replicas.iter().map(|(_, data)| data.high_watermark).max().unwrap_or(-1);
            let lag = end - compared.offset;
            if worst.is_none_or(|(known, ..)| lag > known) {
                worst = Some((lag, at, compared.offset));
            }
        }
        if last_report.elapsed() > interval
            && let Some((lag, at, offset)) = worst
        {
            println!(
                "{}: max lag is {lag} for partition {at} at offset {offset} among {count} partitions",
                now()
            );
            last_report = Instant::now();
        }
    }
}

/// Awaits all of them at once.
async fn all<F: Future + Unpin>(mut futures: Vec<F>) -> Vec<F::Output> {
    let mut done: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(output) = std::pin::Pin::new(future).poll(context)
            {
                *done = Some(output);
            }
        }
        match done.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// Compares what the replicas gave from an offset on, batch by batch, as far as all of them have committed it. Up to where they
/// have the same batches, and what differs.
fn compare(at: &TopicPartition, offset: i64, replicas: &[(i32, ReplicaBatches)]) -> (i64, Vec<Found>) {
    let (mut same, mut found) = (offset, Vec::new());
    let Some(((first, ours), others)) = replicas.split_first() else { return (same, found) };
    for (index, batch) in ours.batches.iter().enumerate() {
        if batch.last_offset >= ours.high_watermark {
            break;
        }
        for (replica, theirs) in others {
            let Some(other) = theirs.batches.get(index) else { return (same, found) };
            if other.last_offset >= theirs.high_watermark {
                return (same, found);
            }
            if other.last_offset != batch.last_offset {
                found.push(Found::OtherOffsets(format!(
                    "partition {at}: replica {first}'s offset {} doesn't match replica {replica}'s offset {}",
                    batch.last_offset, other.last_offset
                )));
                return (same, found);
            }
            if other.checksum != batch.checksum {
                found.push(Found::OtherBytes(format!(
                    "partition {at} has unmatched checksum at offset {}; replica {first}'s checksum {}; replica {replica}'s \
                     checksum {}",
                    other.last_offset, batch.checksum, other.checksum
                )));
            }
        }
        same = batch.last_offset + 1;
    }
    (same, found)
}

/// The time as the tool writes it: `2026-11-21 20:17:48,123`.
fn now() -> String {
    let ms = std::time::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_millis() as i64);
    let mut text = date_time::spaced(ms);
    if let Some(millis) = text.rfind(':') {
        text.replace_range(millis..=millis, ",");
    }
    text
}

#[cfg(test)]
mod tests {
    use client::admin::ReplicaBatch;

    use super::*;

    fn replica(id: i32, high_watermark: i64, batches: &[(i64, u32)]) -> (i32, ReplicaBatches) {
        let batches =
            batches.iter().map(|&(last_offset, checksum)| ReplicaBatch { last_offset, checksum }).collect();
        (id, ReplicaBatches { high_watermark, batches })
    }

    #[test]
    fn replicas_are_compared_as_far_as_all_have_committed() {
        let at = TopicPartition::new("t", 1);
        let whole = || replica(1, 30, &[(9, 7), (19, 8), (29, 9)]);
        assert_eq!(compare(&at, 0, &[whole(), whole()]), (30, vec![]));
        // One is behind, one does not know yet that all is committed, one is not there.
        assert_eq!(compare(&at, 0, &[whole(), replica(2, 20, &[(9, 7), (19, 8)])]), (20, vec![]));
        assert_eq!(compare(&at, 0, &[whole(), replica(2, 15, &[(9, 7), (19, 8), (29, 9)])]), (10, vec![]));
        assert_eq!(compare(&at, 5, &[whole(), replica(2, 0, &[])]), (5, vec![]));
        let other = "partition t-1 has unmatched checksum at offset 19; replica 1's checksum 8; replica 2's checksum 0";
        let found = Found::OtherBytes(other.to_owned());
        assert_eq!(
            compare(&at, 0, &[whole(), replica(2, 30, &[(9, 7), (19, 0), (29, 9)])]),
            (30, vec![found])
        );
        let other = "partition t-1: replica 1's offset 19 doesn't match replica 2's offset 18";
        let found = Found::OtherOffsets(other.to_owned());
        assert_eq!(compare(&at, 0, &[whole(), replica(2, 30, &[(9, 7), (18, 8)])]), (10, vec![found]));
    }
}
