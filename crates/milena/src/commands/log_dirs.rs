//! `milena log-dirs`, which is `kafka-log-dirs.sh` (`org.apache.kafka.tools.LogDirsCommand`).

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use client::Admin;
use client::admin::LogDirDescription;
use common::ErrorCode;
use serde_json::Value;

use super::client_tool;

/// Show the log directories of brokers, and the size of what is in them
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// The brokers to ask first: HOST:PORT, several with commas [default: localhost:9092]
    #[arg(long, value_name = "server(s) to use for bootstrapping")]
    bootstrap_server: Option<String>,
    /// Properties for the admin client
    #[arg(long, value_name = "Admin client property file")]
    command_config: Option<PathBuf>,
    /// Print the version
    #[arg(long)]
    version: bool,
    /// Describe the directories: the only thing that can be done
    #[arg(long, required_unless_present = "version")]
    describe: bool,
    /// Only these topics: several with commas
    #[arg(long, value_name = "Topic list", default_value = "", hide_default_value = true)]
    topic_list: String,
    /// Only these brokers: ids with commas
    #[arg(long, value_name = "Broker list", default_value = "", hide_default_value = true)]
    broker_list: String,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    if arguments.version {
        return client_tool::print_version();
    }
    client_tool::run(1, async move {
        let said = |error: client::ClientError| error.to_string();
        let topics: BTreeSet<&str> = parts(&arguments.topic_list).collect();
        let asked = parts(&arguments.broker_list)
            .map(|id| id.parse::<i32>().map_err(|_| format!("For input string: \"{id}\"")))
            .collect::<Result<BTreeSet<i32>, String>>()?;
        let servers = arguments.bootstrap_server.unwrap_or_else(|| "localhost:9092".to_owned());
        let admin = Admin::new(client_tool::client_config(servers, arguments.command_config.as_deref())?);
        let known: BTreeSet<i32> =
            admin.describe_cluster().await.map_err(said)?.iter().map(|node| node.id).collect();
        let missing: BTreeSet<i32> = asked.difference(&known).copied().collect();
        if !missing.is_empty() {
            return Err(format!(
                "ERROR: The given brokers do not exist from --broker-list: {}. Current existent brokers: {}",
                ids(&missing),
                ids(&known)
            ));
        }
        let asked = if asked.is_empty() { known } else { asked };
        println!("Querying brokers for log directories information");
        let brokers: Vec<i32> = asked.iter().copied().collect();
        let mut described = Vec::new();
        for (broker, dirs) in admin.describe_log_dirs(&brokers).await.map_err(said)? {
            described.push(broker_json(broker, &dirs.map_err(said)?, &topics));
        }
        println!("Received log directory information from brokers {}", ids(&asked));
        println!("{{\"brokers\":[{}],\"version\":1}}", described.join(","));
        Ok(ExitCode::SUCCESS)
    })
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|part| !part.is_empty())
}

fn ids(ids: &BTreeSet<i32>) -> String {
    ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

/// The fields in the order in which Kafka's tool has them, which scripts without a parser rely on.
fn broker_json(broker: i32, dirs: &[LogDirDescription], topics: &BTreeSet<&str>) -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    let dirs = dirs.iter().map(|dir| {
        let meant =
            dir.topics.iter().filter(|topic| topics.is_empty() || topics.contains(topic.name.as_str()));
        let partitions = meant.flat_map(|topic| {
            topic.partitions.iter().map(|partition| {
                format!(
                    "{{\"partition\":{},\"size\":{},\"offsetLag\":{},\"isFuture\":{}}}",
                    quoted(&format!("{}-{}", topic.name, partition.partition_index)),
                    partition.partition_size,
                    partition.offset_lag,
                    partition.is_future_key
                )
            })
        });
        let error = match ErrorCode::from_code(dir.error_code) {
            ErrorCode::None => "null".to_owned(),
            code => quoted(&code.exception()),
        };
        let partitions = partitions.collect::<Vec<_>>().join(",");
        let log_dir = quoted(&dir.log_dir);
        format!("{{\"partitions\":[{partitions}],\"error\":{error},\"logDir\":{log_dir}}}")
    });
    format!("{{\"broker\":{broker},\"logDirs\":[{}]}}", dirs.collect::<Vec<_>>().join(","))
}
