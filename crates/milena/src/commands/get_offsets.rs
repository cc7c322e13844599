//! `milena get-offsets`, which is `kafka-get-offsets.sh` (`org.apache.kafka.tools.GetOffsetShell`).

use std::collections::BTreeMap;
use std::process::ExitCode;

use client::Admin;
use client::admin::OffsetSpec;
use client::consumer::IsolationLevel;
use common::TopicPartition;

use super::client_tool::{self, AdminOptions, TopicFilter, exception};
use crate::report::failure;

/// Print the offsets of partitions: their ends, or what --time says
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    admin: AdminOptions,
    /// Topics and partitions: a regular expression, and a partition 3, a range 0-3 (without 3), 5- or -3; several with commas
    #[arg(long, value_name = "topic1:1,topic2:0-3,topic3,topic4:5-,topic5:-3")]
    topic_partitions: Option<String>,
    /// The topics, as a regular expression; all of them where it is left out
    #[arg(long, value_name = "topic")]
    topic: Option<String>,
    /// The partitions; all of them where it is left out
    #[arg(long, value_name = "partition ids")]
    partitions: Option<String>,
    /// Which offsets: a time in ms since 1970, or -1 or latest, -2 or earliest, -3 or max-timestamp, -4 or earliest-local, -5 or
    /// latest-tiered, -6 or earliest-pending-upload
    #[arg(long, value_name = "timestamp", default_value = "latest", allow_hyphen_values = true)]
    time: String,
    /// Leave out the topics that Kafka keeps for itself
    #[arg(long)]
    exclude_internal_topics: bool,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    if arguments.admin.version {
        return client_tool::print_version();
    }
    let said = |error: String| format!("Error occurred: {error}");
    match arguments.filter().and_then(|filter| Ok((filter, offset_spec(&arguments.time)?))) {
        Ok((filter, spec)) => client_tool::run(1, async move {
            let admin = arguments.admin.admin().map_err(said)?;
            let hide_internal = arguments.exclude_internal_topics;
            print_offsets(&admin, &filter, spec, hide_internal).await.map_err(said)?;
            Ok(ExitCode::SUCCESS)
        }),
        Err(error) => failure(said(error)),
    }
}

/// One rule of a filter.
struct Rule {
    topics: TopicFilter,
    /// From the first to before the last; all of them where there is no list.
    range: std::ops::Range<i32>,
    list: Vec<i32>,
}

impl Rule {
    fn has_partition(&self, partition: i32) -> bool {
        if self.list.is_empty() { self.range.contains(&partition) } else { self.list.contains(&partition) }
    }
}

impl Arguments {
    fn filter(&self) -> Result<Vec<Rule>, String> {
        let Some(patterns) = &self.topic_partitions else {
            let list = self.partitions.as_deref().unwrap_or_default();
            let list = list.split(',').filter(|_| !list.is_empty()).map(str::parse::<i32>);
            let list = list.collect::<Result<Vec<i32>, _>>().map_err(|_| {
                format!(
                    "--partitions expects a comma separated list of numeric partition ids, but received: {}",
                    self.partitions.as_deref().unwrap_or_default()
                )
            })?;
            let topics = TopicFilter::new(self.topic.as_deref().unwrap_or(".*"))?;
            return Ok(vec![Rule { topics, range: 0..i32::MAX, list }]);
        };
        if self.topic.is_some() || self.partitions.is_some() {
            return Err("--topic-partitions cannot be used with --topic or --partitions".to_owned());
        }
        patterns.split(',').map(rule).collect()
    }
}

/// `TOPICS`, `TOPICS:1`, `TOPICS:1-3`, `TOPICS:1-`, `TOPICS:-3`; the topics may be left out.
fn rule(text: &str) -> Result<Rule, String> {
    let invalid = || format!("Invalid rule specification: {text}");
    let (topics, partitions) = text.split_once(':').unwrap_or((text, ""));
    let topics = TopicFilter::new(if topics.is_empty() { ".*" } else { topics })?;
    let bound = |text: &str, default: i32| match text {
        "" => Ok(default),
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().map_err(|_| invalid()),
        _ => Err(invalid()),
    };
    match partitions.split_once('-') {
        Some((from, to)) => {
            Ok(Rule { topics, range: bound(from, 0)?..bound(to, i32::MAX)?, list: Vec::new() })
        }
        None if partitions.is_empty() => Ok(Rule { topics, range: 0..i32::MAX, list: Vec::new() }),
        None => Ok(Rule { topics, range: 0..0, list: vec![bound(partitions, 0)?] }),
    }
}

fn offset_spec(text: &str) -> Result<OffsetSpec, String> {
    Ok(match text {
        "-1" | "latest" => OffsetSpec::Latest,
        "-2" | "earliest" => OffsetSpec::Earliest,
        "-3" | "max-timestamp" => OffsetSpec::MaxTimestamp,
        "-4" | "earliest-local" => OffsetSpec::EarliestLocal,
        "-5" | "latest-tiered" => OffsetSpec::LatestTiered,
        "-6" | "earliest-pending-upload" => OffsetSpec::EarliestPendingUpload,
        text => OffsetSpec::Timestamp(text.parse().map_err(|_| {
            format!(
                "Malformed time argument {text}. Please use -1 or latest / -2 or earliest / -3 or max-timestamp / -4 or \
                 earliest-local / -5 or latest-tiered / -6 or earliest-pending-upload, or a specified long format timestamp"
            )
        })?),
    })
}

async fn print_offsets(
    admin: &Admin,
    filter: &[Rule],
    spec: OffsetSpec,
    hide_internal: bool,
) -> Result<(), String> {
    let said = |error: client::ClientError| error.to_string();
    let topics = admin.list_topics().await.map_err(said)?;
    let meant = topics.into_iter().filter(|(name, internal)| {
        !(hide_internal && *internal) && filter.iter().any(|rule| rule.topics.matches(name))
    });
    let meant: Vec<String> = meant.map(|(name, _)| name).collect();
    let mut asked = Vec::new();
    for topic in admin.describe_topics(&meant).await.map_err(said)? {
        let name = topic.name.unwrap_or_default();
        for partition in topic.partitions {
            let index = partition.partition_index;
            if filter.iter().any(|rule| rule.topics.matches(&name) && rule.has_partition(index)) {
                asked.push((TopicPartition::new(name.as_str(), index), spec));
            }
        }
    }
    if asked.is_empty() {
        return Err("Could not match any topic-partitions with the specified filters".to_owned());
    }
    // In the order of the partitions' names, so that 10 comes before 2.
    let mut lines = BTreeMap::new();
    for (at, answer) in admin.list_offsets(&asked, IsolationLevel::ReadUncommitted).await.map_err(said)? {
        match answer {
            Ok(Some(found)) => {
                drop(lines.insert(at.to_string(), format!("{}:{}:{}", at.topic, at.partition, found.offset)));
            }
            Ok(None) => {}
            Err(error) => {
                eprintln!("Skip getting offsets for topic-partition {at} due to error: {}", exception(&error))
            }
        }
    }
    lines.values().for_each(|line| println!("{line}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_topics_and_partitions() {
        let has = |text: &str, partition: i32| rule(text).unwrap().has_partition(partition);
        assert!(has("t", 100) && has("t:", 0) && has(":1", 1) && !has("t:1", 2));
        assert!(has("t:1-3", 2) && !has("t:1-3", 3) && has("t:2-", 2) && has("t:-3", 2) && !has("t:-3", 3));
        assert!(rule("a.*:1").unwrap().topics.matches("abc"));
        for bad in ["t:x", "t:1-y", "t:1-2-3", "t:99999999999"] {
            assert!(rule(bad).is_err_and(|error| error.starts_with("Invalid rule specification")), "{bad}");
        }
    }

    #[test]
    fn times_have_names_and_numbers() {
        assert_eq!(offset_spec("-2"), offset_spec("earliest"));
        assert_eq!(offset_spec("1700000000000"), Ok(OffsetSpec::Timestamp(1_700_000_000_000)));
        assert!(offset_spec("soon").unwrap_err().starts_with("Malformed time argument soon."));
    }
}
