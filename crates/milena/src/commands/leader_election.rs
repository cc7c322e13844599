//! `milena leader-election`, which is `kafka-leader-election.sh` (`org.apache.kafka.tools.LeaderElectionCommand`).

use std::path::PathBuf;
use std::process::ExitCode;

use client::admin::ElectionType;
use common::{ErrorCode, TopicPartition};
use serde_json::Value;

use super::client_tool::{self, AdminOptions, exception};
use super::json_file;
use crate::report::failure;

/// Elect leaders of partitions: the preferred replica, or any that is alive
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    admin: AdminOptions,
    /// The old name of --command-config
    #[arg(long = "admin.config", value_name = "config file", hide = true)]
    admin_config: Option<PathBuf>,
    /// preferred: the first replica of each assignment. unclean: any replica that is alive, where there is no leader; records may be
    /// lost
    #[arg(long, value_name = "election type", ignore_case = true)]
    election_type: Option<Election>,
    /// A file with the partitions: {"partitions": [{"topic": "foo", "partition": 1}]}
    #[arg(long, value_name = "Path to JSON file")]
    path_to_json_file: Option<String>,
    /// The topic
    #[arg(long, value_name = "topic name")]
    topic: Option<String>,
    /// With --topic: the partition
    #[arg(long, value_name = "partition id")]
    partition: Option<i32>,
    /// All partitions that need it
    #[arg(long)]
    all_topic_partitions: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Election {
    Preferred,
    Unclean,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    if arguments.admin.version {
        return client_tool::print_version();
    }
    let election = match arguments.check() {
        Ok(election) => election,
        Err(error) => return failure(error),
    };
    client_tool::run(1, async move {
        let partitions = arguments.partitions()?;
        let admin = arguments.admin.with_old_config("--admin.config", arguments.admin_config.as_deref())?;
        let (kind, name) = match election {
            Election::Preferred => (ElectionType::Preferred, "PREFERRED"),
            Election::Unclean => (ElectionType::Unclean, "UNCLEAN"),
        };
        let results = admin.elect_leaders(kind, partitions.as_deref()).await;
        let results = results.map_err(|error| match error.code() {
            Some(ErrorCode::ClusterAuthorizationFailed) => {
                println!("Not authorized to perform leader election");
                "Not authorized to perform leader election".to_owned()
            }
            _ => client_tool::failed_future(&error),
        })?;
        let mut elected = Vec::new();
        let mut needless = Vec::new();
        let mut failed = Vec::new();
        for (at, result) in &results {
            match result {
                Ok(()) => elected.push(at.to_string()),
                Err(error) if error.code() == Some(ErrorCode::ElectionNotNeeded) => {
                    needless.push(at.to_string());
                }
                Err(error) => failed.push((at, error)),
            }
        }
        if !elected.is_empty() {
            let elected = elected.join(", ");
            println!("Successfully completed leader election ({name}) for partitions {elected}");
        }
        if !needless.is_empty() {
            println!("Valid replica already elected for partitions {}", needless.join(", "));
        }
        for (at, error) in &failed {
            let error = exception(error);
            println!("Error completing leader election ({name}) for partition: {at}: {error}");
        }
        match failed.len() {
            0 => Ok(ExitCode::SUCCESS),
            count => Err(format!("{count} replica(s) could not be elected")),
        }
    })
}

impl Arguments {
    fn check(&self) -> Result<Election, String> {
        let election =
            self.election_type.ok_or_else(|| "Missing required option(s): election-type".to_owned())?;
        let scopes = [self.topic.is_some(), self.all_topic_partitions, self.path_to_json_file.is_some()];
        if scopes.into_iter().filter(|given| *given).count() != 1 {
            return Err(
                "One and only one of the following options is required: topic, all-topic-partitions, \
                        path-to-json-file"
                    .to_owned(),
            );
        }
        match (&self.topic, self.partition) {
            (Some(_), None) => Err("Missing required option(s): partition".to_owned()),
            (None, Some(_)) => Err("Option partition is only allowed if topic is used".to_owned()),
            _ => Ok(election),
        }
    }

    fn partitions(&self) -> Result<Option<Vec<TopicPartition>>, String> {
        if let Some(path) = &self.path_to_json_file {
            let json = json_file::read(path).map_err(|_| "Replica election data is empty".to_owned())?;
            return from_json(&json).map(Some);
        }
        let named = self.topic.as_deref().zip(self.partition);
        Ok(named.map(|(topic, partition)| vec![TopicPartition::new(topic, partition)]))
    }
}

fn from_json(json: &Value) -> Result<Vec<TopicPartition>, String> {
    let list = json_file::partitions(json, "Replica election data is missing \"partitions\" field")?;
    let partitions = list.iter().map(json_file::topic_partition).collect::<Result<Vec<_>, String>>()?;
    let mut twice: Vec<&TopicPartition> =
        partitions.iter().filter(|at| partitions.iter().filter(|other| other == at).count() > 1).collect();
    twice.sort();
    twice.dedup();
    if !twice.is_empty() {
        let twice: Vec<String> = twice.iter().map(ToString::to_string).collect();
        return Err(format!("Replica election data contains duplicate partitions: [{}]", twice.join(", ")));
    }
    Ok(partitions)
}
