//! `milena reassign-partitions`, which is `kafka-reassign-partitions.sh`
//! (`org.apache.kafka.tools.reassign.ReassignPartitionsCommand`).

mod execute;
mod generate;
mod plan;
mod replica_dirs;
mod throttles;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use client::admin::Reassignment;
use client::{Admin, ClientError};
use common::TopicPartition;

use super::client_tool::{self, exception};
use super::json_file;
use crate::report::failure;

/// Move partitions to other brokers, and replicas to other log directories
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// The brokers to ask first: HOST:PORT, several with commas [default: localhost:9092]
    #[arg(long, value_name = "Server(s) to use for bootstrapping")]
    bootstrap_server: Option<String>,
    /// The controllers to ask in place of brokers; for --cancel and --list
    #[arg(long, value_name = "bootstrap controller to connect to")]
    bootstrap_controller: Option<String>,
    /// Properties for the admin client
    #[arg(long, value_name = "Admin client property file")]
    command_config: Option<PathBuf>,
    /// Print the version
    #[arg(long)]
    version: bool,
    /// Say how far the moves of --reassignment-json-file are, and take the throttles away when they are done
    #[arg(long)]
    verify: bool,
    /// Propose where the partitions of --topics-to-move-json-file could go, and move nothing
    #[arg(long)]
    generate: bool,
    /// Start the moves of --reassignment-json-file
    #[arg(long)]
    execute: bool,
    /// Take back the moves of --reassignment-json-file that are under way
    #[arg(long)]
    cancel: bool,
    /// List all moves that are under way
    #[arg(long)]
    list: bool,
    /// A file with the moves: {"version": 1, "partitions": [{"topic": "foo", "partition": 1, "replicas": [1, 2, 3], "log_dirs": ["any",
    /// "/data/1", "any"]}]}; log_dirs may be left out
    #[arg(long, value_name = "manual assignment json file path")]
    reassignment_json_file: Option<String>,
    /// A file with topics: {"version": 1, "topics": [{"topic": "foo"}]}
    #[arg(long, value_name = "topics to reassign json file path")]
    topics_to_move_json_file: Option<String>,
    /// The brokers to which --generate may move: ids with commas
    #[arg(long, value_name = "brokerlist")]
    broker_list: Option<String>,
    /// With --generate: take no notice of racks
    #[arg(long)]
    disable_rack_aware: bool,
    /// With --execute: moves between brokers take no more than this, in bytes per second. With --additional it changes a limit
    #[arg(long, value_name = "throttle", allow_negative_numbers = true)]
    throttle: Option<i64>,
    /// With --execute: moves between the log directories of a broker take no more than this, in bytes per second
    #[arg(long, value_name = "replicaAlterLogDirsThrottle", allow_negative_numbers = true)]
    replica_alter_log_dirs_throttle: Option<i64>,
    /// How long to wait until moves between log directories can begin, in milliseconds [default: 10000]
    #[arg(long, value_name = "timeout", allow_negative_numbers = true)]
    timeout: Option<i64>,
    /// With --execute: also while other moves are under way
    #[arg(long)]
    additional: bool,
    /// Leave the throttles as they are
    #[arg(long)]
    preserve_throttles: bool,
    /// With --execute: refuse moves that would change how many replicas a partition has
    #[arg(long)]
    disallow_replication_factor_change: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Generate,
    Execute,
    Verify,
    Cancel,
    List,
}

impl Action {
    const ALL: [(Action, &'static str); 5] = [
        (Action::Generate, "generate"),
        (Action::Execute, "execute"),
        (Action::Verify, "verify"),
        (Action::Cancel, "cancel"),
        (Action::List, "list"),
    ];

    fn name(self) -> &'static str {
        Action::ALL.iter().find(|(action, _)| *action == self).map_or("", |(_, name)| name)
    }

    /// The options without which it cannot be done.
    fn required(self) -> &'static [&'static str] {
        match self {
            Action::Generate => &["topics-to-move-json-file", "broker-list"],
            Action::Execute | Action::Verify | Action::Cancel => &["reassignment-json-file"],
            Action::List => &[],
        }
    }

    /// The further options that may stand with it.
    fn permitted(self) -> &'static [&'static str] {
        match self {
            Action::Generate => &["bootstrap-server", "command-config", "disable-rack-aware"],
            Action::Execute => &[
                "additional",
                "bootstrap-server",
                "command-config",
                "throttle",
                "replica-alter-log-dirs-throttle",
                "timeout",
                "disallow-replication-factor-change",
            ],
            Action::Verify => &["bootstrap-server", "command-config", "preserve-throttles"],
            Action::Cancel => &[
                "bootstrap-server",
                "bootstrap-controller",
                "command-config",
                "preserve-throttles",
                "timeout",
            ],
            Action::List => &["bootstrap-server", "bootstrap-controller", "command-config"],
        }
    }
}

/// Why the tool ends with 1. All of it is told on standard output, as Kafka's tool does.
#[derive(Debug)]
enum Trouble {
    /// The words as they stand.
    Terse(String),
    /// `Error: ` and the words, behind which Kafka's tool prints a stack trace.
    Error(String),
}

impl Trouble {
    fn of(error: &ClientError) -> Trouble {
        Trouble::Error(exception(error))
    }
}

impl From<String> for Trouble {
    fn from(words: String) -> Trouble {
        Trouble::Error(words)
    }
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    if arguments.version {
        return client_tool::print_version();
    }
    let action = match arguments.check() {
        Ok(action) => action,
        Err(error) => return failure(error),
    };
    client_tool::run(1, async move {
        let words = match arguments.act(action).await {
            Ok(()) => return Ok(ExitCode::SUCCESS),
            Err(Trouble::Terse(words)) => words,
            Err(Trouble::Error(words)) => format!("Error: {words}"),
        };
        println!("{words}");
        Ok(ExitCode::FAILURE)
    })
}

impl Arguments {
    /// What is to be done, if the options fit it.
    fn check(&self) -> Result<Action, String> {
        let asked = [self.generate, self.execute, self.verify, self.cancel, self.list];
        let mut asked =
            Action::ALL.iter().zip(asked).filter(|(_, asked)| *asked).map(|((action, _), _)| *action);
        let (Some(action), None) = (asked.next(), asked.next()) else {
            let names: Vec<String> = Action::ALL.iter().map(|(_, name)| format!("--{name}")).collect();
            return Err(format!("Command must include exactly one action: {}", names.join(", ")));
        };
        if self.bootstrap_server.is_some() && self.bootstrap_controller.is_some() {
            return Err("Please don't specify both --bootstrap-server and --bootstrap-controller".to_owned());
        }
        let given = self.given();
        for required in action.required() {
            if !given.contains(required) {
                return Err(format!("Missing required argument \"[{required}]\""));
            }
        }
        match given
            .iter()
            .find(|option| !action.required().contains(option) && !action.permitted().contains(option))
        {
            Some(option) => {
                Err(format!("Option \"[{option}]\" can't be used with action \"[{}]\"", action.name()))
            }
            None => Ok(action),
        }
    }

    /// The options that were given, the actions aside.
    fn given(&self) -> Vec<&'static str> {
        let options = [
            ("bootstrap-server", self.bootstrap_server.is_some()),
            ("bootstrap-controller", self.bootstrap_controller.is_some()),
            ("command-config", self.command_config.is_some()),
            ("reassignment-json-file", self.reassignment_json_file.is_some()),
            ("topics-to-move-json-file", self.topics_to_move_json_file.is_some()),
            ("broker-list", self.broker_list.is_some()),
            ("disable-rack-aware", self.disable_rack_aware),
            ("throttle", self.throttle.is_some()),
            ("replica-alter-log-dirs-throttle", self.replica_alter_log_dirs_throttle.is_some()),
            ("timeout", self.timeout.is_some()),
            ("additional", self.additional),
            ("preserve-throttles", self.preserve_throttles),
            ("disallow-replication-factor-change", self.disallow_replication_factor_change),
        ];
        options.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }

    fn admin(&self) -> Result<Admin, Trouble> {
        let config =
            |servers: &str| client_tool::client_config(servers.to_owned(), self.command_config.as_deref());
        Ok(match &self.bootstrap_controller {
            Some(controllers) => Admin::for_controllers(config(controllers)?),
            None => Admin::new(config(self.bootstrap_server.as_deref().unwrap_or("localhost:9092"))?),
        })
    }

    async fn act(&self, action: Action) -> Result<(), Trouble> {
        let admin = self.admin()?;
        let json = |path: &Option<String>| json_file::read(path.as_deref().unwrap_or_default());
        let timeout_ms = self.timeout.unwrap_or(10_000);
        match action {
            Action::Generate => {
                let topics = plan::topics(&json(&self.topics_to_move_json_file)?)?;
                let brokers = plan::brokers(self.broker_list.as_deref().unwrap_or_default())?;
                generate::generate(&admin, &topics, &brokers, !self.disable_rack_aware).await
            }
            Action::Execute => {
                let plan = plan::read(&json(&self.reassignment_json_file)?)?;
                plan.check()?;
                let options = execute::Options {
                    additional: self.additional,
                    throttle: self.throttle.unwrap_or(-1),
                    log_dirs_throttle: self.replica_alter_log_dirs_throttle.unwrap_or(-1),
                    timeout_ms,
                    allow_replication_factor_change: !self.disallow_replication_factor_change,
                };
                execute::execute(&admin, &plan, &options).await
            }
            Action::Verify => {
                let plan = plan::read(&json(&self.reassignment_json_file)?)?;
                verify::verify(&admin, &plan, self.preserve_throttles).await
            }
            Action::Cancel => {
                let plan = plan::read(&json(&self.reassignment_json_file)?)?;
                execute::cancel(&admin, &plan, self.preserve_throttles, timeout_ms).await
            }
            Action::List => list(&admin).await,
        }
    }
}

/// `--list`.
async fn list(admin: &Admin) -> Result<(), Trouble> {
    let reassignments = admin.list_partition_reassignments().await.map_err(|error| Trouble::of(&error))?;
    if reassignments.is_empty() {
        println!("No partition reassignments found.");
        return Ok(());
    }
    println!("Current partition reassignments:");
    let mut sorted: Vec<(&TopicPartition, &Reassignment)> = reassignments.iter().collect();
    sorted.sort_by_key(|(at, _)| *at);
    for (at, reassignment) in sorted {
        let changes = |what: &str, brokers: &[i32]| match brokers.is_empty() {
            true => String::new(),
            false => format!(" {what}: {}.", joined(brokers)),
        };
        println!(
            "{at}: replicas: {}.{}{}",
            joined(&reassignment.replicas),
            changes("adding", &reassignment.adding),
            changes("removing", &reassignment.removing)
        );
    }
    Ok(())
}

/// With commas between.
fn joined<T: ToString>(parts: impl IntoIterator<Item = T>) -> String {
    parts.into_iter().map(|part| part.to_string()).collect::<Vec<_>>().join(",")
}

/// The letter at the end of a word for several.
fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct Tool {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn check(words: &[&str]) -> Result<Action, String> {
        let words = ["tool", "--bootstrap-server", "b:1"].iter().chain(words).copied();
        Tool::try_parse_from(words).unwrap().arguments.check()
    }

    #[test]
    fn options_fit_their_action() {
        assert_eq!(check(&["--list"]), Ok(Action::List));
        let execute = ["--execute", "--reassignment-json-file", "f", "--throttle", "1000", "--additional"];
        assert_eq!(check(&execute), Ok(Action::Execute));
        for (words, said) in [
            (
                &[][..],
                "Command must include exactly one action: --generate, --execute, --verify, --cancel, --list",
            ),
            (
                &["--list", "--verify"],
                "Command must include exactly one action: --generate, --execute, --verify, --cancel, --list",
            ),
            (&["--verify"], "Missing required argument \"[reassignment-json-file]\""),
            (
                &["--generate", "--broker-list", "1"],
                "Missing required argument \"[topics-to-move-json-file]\"",
            ),
            (
                &["--verify", "--reassignment-json-file", "f", "--throttle", "1"],
                "Option \"[throttle]\" can't be used with action \"[verify]\"",
            ),
            (
                &["--list", "--bootstrap-controller", "c:1"],
                "Please don't specify both --bootstrap-server and --bootstrap-controller",
            ),
        ] {
            assert_eq!(check(words).unwrap_err(), said);
        }
    }
}
