//! `milena topics`, which is `kafka-topics.sh` (`org.apache.kafka.tools.TopicCommand`).

use std::collections::BTreeMap;
use std::process::ExitCode;

use client::{Admin, NewTopic};
use common::{ErrorCode, Uuid};

use super::client_tool::{self, AdminOptions, TopicFilter};
use super::topics_describe::{self, Selection};
use crate::report::failure;

/// Create, delete, describe, list or change topics
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    admin: AdminOptions,
    /// List all topics
    #[arg(long)]
    list: bool,
    /// Create a topic
    #[arg(long)]
    create: bool,
    /// Delete topics
    #[arg(long)]
    delete: bool,
    /// Raise the number of a topic's partitions
    #[arg(long)]
    alter: bool,
    /// Show topics in detail
    #[arg(long)]
    describe: bool,
    /// The topic; but for --create also a regular expression
    #[arg(long, value_name = "topic")]
    topic: Option<String>,
    /// The id of the topic to describe
    #[arg(long, value_name = "topic-id")]
    topic_id: Option<String>,
    /// How many partitions; with --create the broker's default (num.partitions) where it is left out
    #[arg(long, value_name = "number", allow_negative_numbers = true)]
    partitions: Option<i32>,
    /// How many replicas of each partition; the broker's default where it is left out
    #[arg(long, value_name = "number", allow_negative_numbers = true)]
    replication_factor: Option<i32>,
    /// The brokers of each partition: 1:2,2:3 puts partition 0 on 1 and 2, partition 1 on 2 and 3
    #[arg(long, value_name = "ids")]
    replica_assignment: Option<String>,
    /// A configuration of the topic that is created; may be given several times
    #[arg(long = "config", value_name = "name=value")]
    configs: Vec<String>,
    #[arg(long, value_name = "name", hide = true)]
    delete_config: Vec<String>,
    /// With --alter, --delete and --describe: no error if there is no such topic
    #[arg(long)]
    if_exists: bool,
    /// With --create: no error if there is such a topic
    #[arg(long)]
    if_not_exists: bool,
    /// With --list and --describe: leave out the topics that Kafka keeps for itself
    #[arg(long)]
    exclude_internal: bool,
    /// With --describe: only partitions with replicas out of sync
    #[arg(long)]
    under_replicated_partitions: bool,
    /// With --describe: only partitions without a leader
    #[arg(long)]
    unavailable_partitions: bool,
    /// With --describe: only partitions with fewer replicas in sync than min.insync.replicas
    #[arg(long)]
    under_min_isr_partitions: bool,
    /// With --describe: only partitions with just min.insync.replicas in sync
    #[arg(long)]
    at_min_isr_partitions: bool,
    /// With --describe: only topics with a configuration of their own, without their partitions
    #[arg(long)]
    topics_with_overrides: bool,
    /// With --describe: the most partitions in one answer of the broker
    #[arg(long, value_name = "number")]
    partition_size_limit_per_response: Option<i32>,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    if arguments.admin.version {
        return client_tool::print_version();
    }
    if let Err(error) = arguments.check() {
        return failure(error);
    }
    client_tool::run(1, async move {
        let admin = arguments.admin.admin()?;
        Ok(match arguments.execute(&admin).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // On stdout, as in Kafka: scripts look for it there.
                println!("Error while executing topic command : {error}");
                ExitCode::FAILURE
            }
        })
    })
}

impl Arguments {
    /// The combinations that make no sense, in Kafka's words.
    fn check(&self) -> Result<(), String> {
        let actions = [
            ("list", self.list),
            ("create", self.create),
            ("delete", self.delete),
            ("alter", self.alter),
            ("describe", self.describe),
        ];
        if actions.iter().filter(|(_, given)| *given).count() != 1 {
            return Err(
                "Command must include exactly one action: --list, --describe, --create, --alter or --delete"
                    .to_owned(),
            );
        }
        let missing = |name: &str| Err(format!("Missing required argument \"[{name}]\""));
        if self.describe && self.if_exists {
            match (&self.topic, &self.topic_id) {
                (None, None) => {
                    return Err("--topic or --topic-id is required to describe a topic".to_owned());
                }
                (Some(_), Some(_)) => println!(
                    "Only topic id will be used when both --topic and --topic-id are specified and topicId is not \
                     Uuid.ZERO_UUID"
                ),
                _ => {}
            }
        }
        if !self.list && !self.describe && self.topic.is_none() {
            return missing("topic");
        }
        if self.alter && !self.configs.is_empty() {
            return Err("Option combination \"[bootstrap-server],[config]\" can't be used with option \"[alter]\" (To \
                        alter topic configurations, the kafka-configs tool can be used.)"
                .to_owned());
        }
        if self.alter && self.partitions.is_none() {
            return missing("partitions");
        }
        let clash = |one: &str, other: &str| {
            Err(format!("Option \"[{one}]\" can't be used with option \"[{other}]\""))
        };
        let reports = [
            ("under-replicated-partitions", self.under_replicated_partitions),
            ("under-min-isr-partitions", self.under_min_isr_partitions),
            ("at-min-isr-partitions", self.at_min_isr_partitions),
            ("unavailable-partitions", self.unavailable_partitions),
        ];
        let mut belongs: Vec<(&str, bool, &[&str])> = vec![
            ("config", !self.configs.is_empty(), &["alter", "create"]),
            ("partitions", self.partitions.is_some(), &["alter", "create"]),
            ("replication-factor", self.replication_factor.is_some(), &["create"]),
            ("replica-assignment", self.replica_assignment.is_some(), &["alter", "create"]),
            ("topics-with-overrides", self.topics_with_overrides, &["describe"]),
            ("if-exists", self.if_exists, &["alter", "delete", "describe"]),
            ("if-not-exists", self.if_not_exists, &["create"]),
            ("exclude-internal", self.exclude_internal, &["list", "describe"]),
        ];
        belongs.extend(reports.iter().map(|(name, given)| (*name, *given, &["describe"][..])));
        for (name, given, to) in belongs {
            let wrong = actions.iter().find(|(action, chosen)| *chosen && !to.contains(action));
            if let Some((action, _)) = wrong.filter(|_| given) {
                return clash(name, action);
            }
        }
        if self.create && self.replica_assignment.is_some() {
            if self.partitions.is_some() {
                return clash("replica-assignment", "partitions");
            }
            if self.replication_factor.is_some() {
                return clash("replica-assignment", "replication-factor");
            }
        }
        if let Some((report, _)) = reports.iter().find(|(_, given)| *given && self.topics_with_overrides) {
            return clash(report, "topics-with-overrides");
        }
        if !self.delete_config.is_empty() {
            eprintln!(
                "delete-config option is no longer supported and deprecated since version 4.0. The config will be fully \
                 removed in future releases."
            );
        }
        Ok(())
    }

    async fn execute(&self, admin: &Admin) -> Result<(), String> {
        if self.create {
            self.create(admin).await
        } else if self.alter {
            self.alter(admin).await
        } else if self.list {
            println!("{}", self.topics(admin).await?.join("\n"));
            Ok(())
        } else if self.delete {
            self.delete(admin).await
        } else {
            self.describe(admin).await
        }
    }

    async fn create(&self, admin: &Admin) -> Result<(), String> {
        let name = self.topic.clone().unwrap_or_default();
        let configs = configs(&self.configs)?;
        let assignments = self.assignments()?;
        if name.contains(['.', '_']) {
            println!(
                "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could \
                 collide. To avoid issues it is best to use either, but not both."
            );
        }
        let replication_factor = match self.replication_factor {
            None => None,
            Some(factor) => {
                Some(i16::try_from(factor).ok().filter(|factor| *factor >= 1).ok_or_else(|| {
                    format!("The replication factor must be between 1 and {} inclusive", i16::MAX)
                })?)
            }
        };
        if self.partitions.is_some_and(|partitions| partitions < 1) {
            return Err("The partitions must be greater than 0".to_owned());
        }
        let topic = NewTopic {
            name: name.clone(),
            partitions: self.partitions,
            replication_factor,
            assignments,
            configs,
        };
        let results = admin.create_topics(&[topic], false).await.map_err(|error| error.to_string())?;
        match results.into_iter().next() {
            Some(Err(error)) if error.code() == Some(ErrorCode::TopicAlreadyExists) && self.if_not_exists => {
                Ok(())
            }
            Some(Err(error)) => Err(error.to_string()),
            Some(Ok(())) | None => {
                println!("Created topic {name}.");
                Ok(())
            }
        }
    }

    async fn alter(&self, admin: &Admin) -> Result<(), String> {
        let assignments = self.assignments()?;
        let topics = self.existing_topics(admin).await?;
        let described = admin.describe_topics(&topics).await.map_err(|error| error.to_string())?;
        for topic in described {
            let name = topic.name.unwrap_or_default();
            let new = assignments.get(topic.partitions.len()..).filter(|_| !assignments.is_empty());
            let changed = admin.create_partitions(&name, self.partitions.unwrap_or_default(), new).await;
            changed.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    async fn delete(&self, admin: &Admin) -> Result<(), String> {
        let topics = self.existing_topics(admin).await?;
        if topics.is_empty() {
            return Ok(());
        }
        let results = admin.delete_topics(&topics).await.map_err(|error| error.to_string())?;
        results.into_iter().collect::<Result<(), _>>().map_err(|error| error.to_string())
    }

    async fn describe(&self, admin: &Admin) -> Result<(), String> {
        let selection = Selection {
            under_replicated: self.under_replicated_partitions,
            unavailable: self.unavailable_partitions,
            under_min_isr: self.under_min_isr_partitions,
            at_min_isr: self.at_min_isr_partitions,
            overrides: self.topics_with_overrides,
            page_size: self.partition_size_limit_per_response.unwrap_or(2000),
        };
        let id = match &self.topic_id {
            Some(text) => {
                Some(text.parse::<Uuid>().map_err(|error| error.to_string())?).filter(|id| !id.is_zero())
            }
            None => None,
        };
        let topics = match id {
            Some(id) => {
                let known = admin.topic_ids().await.map_err(|error| error.to_string())?;
                let name = known.into_iter().find(|(_, known)| *known == id).map(|(name, _)| name);
                let name = name.filter(|name| !(self.exclude_internal && common::topic::is_internal(name)));
                if name.is_none() && !self.if_exists {
                    return Err(format!("TopicId '{id}' does not exist as expected"));
                }
                name.into_iter().collect()
            }
            None => self.existing_topics(admin).await?,
        };
        let mut out = std::io::stdout().lock();
        topics_describe::describe(admin, &topics, &selection, &mut out).await
    }

    /// The topics that are meant; none is an error where a name was given, and no `--if-exists`.
    async fn existing_topics(&self, admin: &Admin) -> Result<Vec<String>, String> {
        let topics = self.topics(admin).await?;
        match self.topic.as_deref().filter(|topic| !topic.is_empty()) {
            Some(topic) if topics.is_empty() && !self.if_exists => {
                Err(format!("Topic '{topic}' does not exist as expected"))
            }
            _ => Ok(topics),
        }
    }

    async fn topics(&self, admin: &Admin) -> Result<Vec<String>, String> {
        let filter = self.topic.as_deref().map(TopicFilter::new).transpose()?;
        let topics = admin.list_topics().await.map_err(|error| error.to_string())?;
        let is_meant = |(name, internal): (String, bool)| {
            let hidden = self.exclude_internal && (internal || common::topic::is_internal(&name));
            let matches = filter.as_ref().is_none_or(|filter| filter.matches(&name));
            (matches && !hidden).then_some(name)
        };
        Ok(topics.into_iter().filter_map(is_meant).collect())
    }

    fn assignments(&self) -> Result<Vec<Vec<i32>>, String> {
        match self.replica_assignment.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => assignments(text),
            None => Ok(Vec::new()),
        }
    }
}

fn configs(given: &[String]) -> Result<BTreeMap<String, String>, String> {
    let mut configs = BTreeMap::new();
    for text in given {
        let mut parts = text.split('=');
        let (Some(name), Some(value), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(
                "requirement failed: Invalid topic config: all configs to be added must be in the format \
                        \"key=val\"."
                    .to_owned(),
            );
        };
        configs.insert(name.trim().to_owned(), value.trim().to_owned());
    }
    Ok(configs)
}

/// `1:2,2:3`: the brokers of each partition.
fn assignments(text: &str) -> Result<Vec<Vec<i32>>, String> {
    let mut assignments: Vec<Vec<i32>> = Vec::new();
    for (partition, brokers) in text.trim_end_matches(',').split(',').enumerate() {
        let id =
            |id: &str| id.trim().parse::<i32>().map_err(|_| format!("For input string: \"{}\"", id.trim()));
        let brokers = brokers.split(':').map(id).collect::<Result<Vec<i32>, String>>()?;
        let mut twice: Vec<i32> = brokers
            .iter()
            .copied()
            .filter(|id| brokers.iter().filter(|other| *other == id).count() > 1)
            .collect();
        twice.sort_unstable();
        twice.dedup();
        if !twice.is_empty() {
            return Err(format!(
                "Partition replica lists may not contain duplicate entries: {}",
                topics_describe::ids(&twice)
            ));
        }
        if assignments.first().is_some_and(|first| first.len() != brokers.len()) {
            return Err(format!("Partition {partition} has different replication factor: {brokers:?}"));
        }
        assignments.push(brokers);
    }
    Ok(assignments)
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

    fn check(words: &[&str]) -> Result<(), String> {
        let words = std::iter::once("kafka-topics").chain(words.iter().copied());
        Tool::try_parse_from(words).map_err(|error| error.to_string())?.arguments.check()
    }

    #[test]
    fn combinations_are_refused_in_kafkas_words() {
        assert_eq!(check(&["--list"]), Ok(()));
        assert_eq!(check(&["--describe", "--bootstrap-server=b:1", "--topic", "t"]), Ok(()));
        for (words, message) in [
            (&["--list", "--create"][..], "Command must include exactly one action"),
            (&["--exclude-internal"], "Command must include exactly one action"),
            (&["--create"], "Missing required argument \"[topic]\""),
            (&["--alter", "--topic", "t"], "Missing required argument \"[partitions]\""),
            (
                &["--list", "--partitions", "3"],
                "Option \"[partitions]\" can't be used with option \"[list]\"",
            ),
            (
                &["--create", "--topic=x", "--replica-assignment=1,1", "--partitions=2"],
                "Option \"[replica-assignment]\" can't be used with option \"[partitions]\"",
            ),
            (
                &["--describe", "--under-replicated-partitions", "--topics-with-overrides"],
                "Option \"[under-replicated-partitions]\" can't be used with option \"[topics-with-overrides]\"",
            ),
            (&["--describe", "--if-exists"], "--topic or --topic-id is required to describe a topic"),
        ] {
            let error = check(words).unwrap_err();
            assert!(error.starts_with(message), "{words:?}: {error}");
        }
    }

    #[test]
    fn assignments_are_read_and_checked() {
        assert_eq!(assignments("1:2,2:3").unwrap(), [[1, 2], [2, 3]]);
        assert_eq!(assignments("1").unwrap(), [[1]]);
        assert_eq!(
            assignments("1:1").unwrap_err(),
            "Partition replica lists may not contain duplicate entries: 1"
        );
        assert!(
            assignments("1:2,3").unwrap_err().starts_with("Partition 1 has different replication factor")
        );
        assert!(assignments("a").is_err());
    }

    #[test]
    fn configs_are_key_and_value() {
        assert_eq!(configs(&["a = b".to_owned()]).unwrap()["a"], "b");
        assert!(configs(&["a".to_owned()]).is_err());
    }
}
