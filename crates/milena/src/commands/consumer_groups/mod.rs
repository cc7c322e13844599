//! `milena consumer-groups`, which is `kafka-consumer-groups.sh` (`org.apache.kafka.tools.consumer.group.ConsumerGroupCommand`).

mod delete;
mod describe;
mod instant;
mod plan;
mod regex_check;
mod reset;

use std::process::ExitCode;
use std::time::Duration;

use client::admin::{GroupFilter, GroupListing, GroupState, GroupType};
use client::{Admin, ClientError};

use super::client_tool::{self, AdminOptions, failed_future};
use crate::report::failure;

/// Where a column has nothing to say.
const NOTHING: &str = "-";

/// List and describe consumer groups, delete them, and see to their offsets
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    admin: AdminOptions,
    /// List the groups
    #[arg(long)]
    list: bool,
    /// Describe groups: their offsets and lag, or what --members or --state asks for
    #[arg(long)]
    describe: bool,
    /// Delete groups, with their offsets
    #[arg(long)]
    delete: bool,
    /// Set the offsets of groups without members. Says what it would do, or does it with --execute. Takes one of --to-datetime,
    /// --by-duration, --to-earliest, --to-latest, --shift-by, --from-file, --to-current and --to-offset, and, but for
    /// --from-file, one of --topic and --all-topics
    #[arg(long)]
    reset_offsets: bool,
    /// Forget the offsets of a group in topics
    #[arg(long)]
    delete_offsets: bool,
    /// Say whether a regular expression is one that subscriptions take (RE2)
    #[arg(long, value_name = "regex")]
    validate_regex: Option<String>,
    /// The group; may be given several times
    #[arg(long = "group", value_name = "group id")]
    groups: Vec<String>,
    /// All groups
    #[arg(long)]
    all_groups: bool,
    /// The topic, or some of its partitions: TOPIC:0,1,2; may be given several times
    #[arg(long = "topic", value_name = "topic")]
    topics: Vec<String>,
    /// All topics in which the group has offsets
    #[arg(long)]
    all_topics: bool,
    /// With --describe: the members
    #[arg(long)]
    members: bool,
    /// With --describe: the offsets, as without it
    #[arg(long)]
    offsets: bool,
    /// With --describe: more columns
    #[arg(long)]
    verbose: bool,
    /// With --describe: the state. With --list: a column with it, and only groups in the states that are given, such as
    /// stable,empty
    #[arg(long, value_name = "states", num_args = 0..=1, default_missing_value = "")]
    state: Option<String>,
    /// With --list: a column with the type, and only groups of the types that are given, of classic,consumer
    #[arg(long = "type", value_name = "types", num_args = 0..=1, default_missing_value = "")]
    types: Option<String>,
    /// With --reset-offsets: only say what would be set (as without --execute)
    #[arg(long)]
    dry_run: bool,
    /// With --reset-offsets: do it
    #[arg(long)]
    execute: bool,
    /// With --reset-offsets: write the offsets as CSV, for --from-file
    #[arg(long)]
    export: bool,
    /// Reset to this offset
    #[arg(long, value_name = "offset", allow_negative_numbers = true)]
    to_offset: Option<i64>,
    /// Reset to what a file of CSV says
    #[arg(long, value_name = "path to CSV file")]
    from_file: Option<String>,
    /// Reset to the first record at or after this time: YYYY-MM-DDTHH:mm:SS.sss, with or without a zone such as +02:00
    #[arg(long, value_name = "datetime")]
    to_datetime: Option<String>,
    /// Reset to the first record of the last so long: PnDTnHnMnS
    #[arg(long, value_name = "duration")]
    by_duration: Option<String>,
    /// Reset to the first offset
    #[arg(long)]
    to_earliest: bool,
    /// Reset to the end
    #[arg(long)]
    to_latest: bool,
    /// Reset to what is committed
    #[arg(long)]
    to_current: bool,
    /// Move what is committed by so many records, forward or back
    #[arg(long, value_name = "number-of-offsets", allow_negative_numbers = true)]
    shift_by: Option<i64>,
    /// How long to wait for an answer, such as that of a group that settles
    #[arg(long, value_name = "timeout (ms)", default_value_t = 30_000, allow_negative_numbers = true)]
    timeout: i64,
}

/// Why a command was not carried out.
enum Failure {
    /// The command line makes no sense: the tool ends with 1.
    Usage(String),
    /// The cluster, or what is asked of it, does not let it. Kafka's tool prints it and ends with 0.
    Failed(String),
}

/// What Kafka's tool says of a future that failed.
fn failed(error: ClientError) -> Failure {
    Failure::Failed(failed_future(&error))
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    if arguments.admin.version {
        return client_tool::print_version();
    }
    if let Err(error) = arguments.check() {
        return failure(error);
    }
    if let Some(regex) = &arguments.validate_regex {
        println!("{}", regex_check::verdict(regex));
        return ExitCode::SUCCESS;
    }
    client_tool::run(1, async move {
        let mut config = arguments.admin.client_config()?;
        config.api_timeout = Duration::from_millis(u64::try_from(arguments.timeout).unwrap_or(0));
        match arguments.execute(&Admin::new(config)).await {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(Failure::Usage(error)) => Err(error),
            Err(Failure::Failed(error)) => {
                print_error(&format!("Executing consumer group command failed due to {error}"));
                Ok(ExitCode::SUCCESS)
            }
        }
    })
}

/// As Kafka's tool prints what went wrong: on stdout, where scripts look for it.
///
/// Divergence: no stack trace follows.
fn print_error(error: &str) {
    println!("\nError: {error}");
}

impl Arguments {
    /// The combinations that make no sense, in Kafka's words.
    fn check(&self) -> Result<(), String> {
        let scope = !self.groups.is_empty() || self.all_groups;
        for (option, given) in
            [("members", self.members), ("offsets", self.offsets), ("verbose", self.verbose)]
        {
            if given && !self.describe {
                return Err(unavailable(option));
            }
        }
        if self.state.is_some() && !self.describe && !self.list {
            return Err(unavailable("state"));
        }
        if self.types.is_some() && !self.list {
            return Err(unavailable("type"));
        }
        if self.describe {
            self.check_describe(scope)?;
        }
        if self.delete {
            if !scope {
                return Err("Option [delete] takes one of these options: [group], [all-groups]".to_owned());
            }
            if !self.topics.is_empty() {
                return Err(
                    "The consumer does not support topic-specific offset deletion from a consumer group."
                        .to_owned(),
                );
            }
        }
        if self.delete_offsets && (self.groups.is_empty() || self.topics.is_empty()) {
            return Err("Option [delete-offsets] takes the following options: [group], [topic]".to_owned());
        }
        if self.reset_offsets {
            self.check_reset(scope)?;
        }
        let clash =
            |one: &str, other: &str| format!("Option \"[{one}]\" can't be used with option \"[{other}]\"");
        if !self.groups.is_empty() && self.all_groups {
            return Err(clash("group", "all-groups"));
        }
        if !self.groups.is_empty() && self.list {
            return Err(clash("group", "list"));
        }
        if !self.topics.is_empty() {
            for (option, given) in [("list", self.list), ("describe", self.describe)] {
                if given {
                    return Err(clash("topic", option));
                }
            }
        }
        let actions = [
            self.list,
            self.describe,
            self.delete,
            self.reset_offsets,
            self.delete_offsets,
            self.validate_regex.is_some(),
        ];
        if actions.into_iter().filter(|given| *given).count() != 1 {
            return Err(
                "Command must include exactly one action: --list, --describe, --delete, --reset-offsets, \
                        --delete-offsets, --validate-regex"
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn check_describe(&self, scope: bool) -> Result<(), String> {
        if !scope {
            return Err("Option [describe] takes one of these options: [group], [all-groups]".to_owned());
        }
        let views = [self.members, self.offsets, self.state.is_some()];
        if views.into_iter().filter(|given| *given).count() > 1 {
            return Err(
                "Option [describe] takes at most one of these options: [members], [offsets], [state]"
                    .to_owned(),
            );
        }
        if self.state.as_deref().is_some_and(|states| !states.is_empty()) {
            return Err("Option [describe] does not take a value for [state]".to_owned());
        }
        Ok(())
    }

    fn check_reset(&self, scope: bool) -> Result<(), String> {
        if self.dry_run && self.execute {
            return Err("Option [reset-offsets] only accepts one of [execute] and [dry-run]".to_owned());
        }
        if !self.dry_run && !self.execute {
            eprintln!(
                "WARN: No action will be performed as the --execute option is missing. In version 5.0, this command will \
                 require either --dry-run or --execute to be specified. You should add the --dry-run option explicitly if \
                 you are scripting this command and want to keep the current default behavior without prompting."
            );
        }
        if !scope {
            return Err("Option [reset-offsets] takes one of these options: [group], [all-groups]".to_owned());
        }
        let scenarios = [
            ("to-offset", self.to_offset.is_some()),
            ("to-datetime", self.to_datetime.is_some()),
            ("by-duration", self.by_duration.is_some()),
            ("to-earliest", self.to_earliest),
            ("to-latest", self.to_latest),
            ("to-current", self.to_current),
            ("shift-by", self.shift_by.is_some()),
            ("from-file", self.from_file.is_some()),
        ];
        let mut given = scenarios.iter().filter(|(_, given)| *given).map(|(option, _)| option);
        match (given.next(), given.next()) {
            (Some(one), Some(other)) => {
                Err(format!("Option \"[{one}]\" can't be used with option \"[{other}]\""))
            }
            _ => Ok(()),
        }
    }

    async fn execute(&self, admin: &Admin) -> Result<(), Failure> {
        if self.list {
            self.list(admin).await
        } else if self.describe {
            describe::describe(self, admin).await
        } else if self.delete {
            delete::delete_groups(self, admin).await
        } else if self.reset_offsets {
            reset::reset(self, admin).await
        } else {
            delete::delete_offsets(self, admin).await
        }
    }

    async fn list(&self, admin: &Admin) -> Result<(), Failure> {
        if self.state.is_none() && self.types.is_none() {
            for group in all_groups(admin).await? {
                println!("{group}");
            }
            return Ok(());
        }
        let filter = GroupFilter {
            states: states(self.state.as_deref().unwrap_or_default()).map_err(Failure::Usage)?,
            types: types(self.types.as_deref().unwrap_or_default()).map_err(Failure::Usage)?,
            ..GroupFilter::consumer_groups()
        };
        let failed = |error: ClientError| Failure::Failed(client_tool::exception(&error));
        let groups = admin.list_groups(&filter).await.map_err(failed)?;
        print!("{}", listing(&groups, self.types.is_some(), self.state.is_some()));
        Ok(())
    }

    /// The groups that are meant.
    async fn groups(&self, admin: &Admin) -> Result<Vec<String>, Failure> {
        if self.all_groups { all_groups(admin).await } else { Ok(self.groups.clone()) }
    }
}

fn unavailable(option: &str) -> String {
    format!("Option(s) [{option}] are unavailable given other options on the command line")
}

async fn all_groups(admin: &Admin) -> Result<Vec<String>, Failure> {
    let groups = admin.list_groups(&GroupFilter::consumer_groups()).await.map_err(failed)?;
    Ok(groups.into_iter().map(|group| group.group_id).collect())
}

fn listing(groups: &[GroupListing], with_type: bool, with_state: bool) -> String {
    let longest = groups.iter().map(|group| group.group_id.chars().count()).max().unwrap_or(0);
    let width = longest.max(15) + 10;
    let row = |group: &str, group_type: &str, state: &str| {
        let mut row = format!("{group:<width$}");
        if with_type {
            row.push_str(&format!(" {group_type:<20}"));
        }
        if with_state {
            row.push_str(&format!(" {state:<20}"));
        }
        row.push('\n');
        row
    };
    let rows = groups.iter().map(|group| {
        let group_type = group.group_type.unwrap_or(GroupType::Unknown).name();
        row(&group.group_id, group_type, group.state.unwrap_or(GroupState::Unknown).name())
    });
    std::iter::once(row("GROUP", "TYPE", "STATE")).chain(rows).collect()
}

/// The states in `stable,empty`; none in nothing.
fn states(text: &str) -> Result<Vec<GroupState>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let states: Vec<GroupState> = text.split(',').map(|name| GroupState::parse(name.trim())).collect();
    let valid = GroupState::OF_CONSUMER_GROUPS;
    if states.iter().any(|state| !valid.contains(state)) {
        let valid: Vec<&str> = valid.iter().map(|state| state.name()).collect();
        return Err(format!("Invalid state list '{text}'. Valid states are: {}", valid.join(", ")));
    }
    Ok(states)
}

/// The types in `classic,consumer`; none in nothing.
fn types(text: &str) -> Result<Vec<GroupType>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let types: Vec<GroupType> = text.split(',').map(|name| GroupType::parse(name.trim())).collect();
    if types.iter().any(|group_type| !matches!(group_type, GroupType::Classic | GroupType::Consumer)) {
        return Err(format!("Invalid types list '{text}'. Valid types are: Classic, Consumer"));
    }
    Ok(types)
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
        let words = std::iter::once("kafka-consumer-groups").chain(words.iter().copied());
        Tool::try_parse_from(words).map_err(|error| error.to_string())?.arguments.check()
    }

    #[test]
    fn combinations_are_refused_in_kafkas_words() {
        assert_eq!(check(&["--list", "--state"]), Ok(()));
        assert_eq!(check(&["--list", "--state", "stable,empty", "--type", "classic"]), Ok(()));
        assert_eq!(check(&["--describe", "--group", "g", "--state"]), Ok(()));
        assert_eq!(check(&["--reset-offsets", "--group", "g", "--shift-by", "-5", "--all-topics"]), Ok(()));
        for (words, message) in [
            (
                &["--list", "--describe", "--all-groups"][..],
                "Command must include exactly one action: --list,",
            ),
            (&["--describe"], "Option [describe] takes one of these options: [group], [all-groups]"),
            (&["--list", "--members"], "Option(s) [members] are unavailable given other options"),
            (&["--describe", "--group", "g", "--state", "x"], "Option [describe] does not take a value"),
            (&["--list", "--group", "g"], "Option \"[group]\" can't be used with option \"[list]\""),
            (&["--delete", "--group", "g", "--topic", "t"], "The consumer does not support topic-specific"),
            (
                &["--reset-offsets", "--group", "g", "--to-earliest", "--to-latest"],
                "Option \"[to-earliest]\" can't be used with option \"[to-latest]\"",
            ),
            (&["--delete-offsets", "--group", "g"], "Option [delete-offsets] takes the following options"),
        ] {
            let error = check(words).unwrap_err();
            assert!(error.starts_with(message), "{words:?}: {error}");
        }
    }

    #[test]
    fn states_and_types_are_checked() {
        assert_eq!(states("stable, Empty").unwrap(), [GroupState::Stable, GroupState::Empty]);
        assert!(states("happy").unwrap_err().starts_with("Invalid state list 'happy'."));
        assert_eq!(types("CLASSIC").unwrap(), [GroupType::Classic]);
        assert!(types("share").is_err());
    }

    #[test]
    fn a_listing_has_the_columns_that_are_asked_for() {
        let group = GroupListing {
            group_id: "readers".to_owned(),
            group_type: Some(GroupType::Classic),
            protocol: "consumer".to_owned(),
            state: Some(GroupState::Stable),
        };
        let text = listing(&[group], true, false);
        assert_eq!(text, format!("{:<25} {:<20}\n{:<25} {:<20}\n", "GROUP", "TYPE", "readers", "Classic"));
    }
}
