//! `milena consumer-groups`, which is `kafka-consumer-groups.sh` (`org.apache.kafka.tools.consumer.group.ConsumerGroupCommand`).

mod delete;
mod describe;
mod regex_check;
mod reset;

use std::process::ExitCode;

use client::Admin;
use client::admin::{GroupFilter, GroupListing, GroupState, GroupType};

use super::client_tool;
use super::group_tool::{self, Failure, GroupOptions, Kind, thrown, unavailable};
use crate::report::failure;

/// Consumer groups. Kafka's tool ends well however it ends.
const KIND: Kind = Kind {
    name: "consumer",
    filter: GroupFilter::consumer_groups,
    failure: ExitCode::SUCCESS,
    full_stop: "",
};

/// List and describe consumer groups, delete them, and see to their offsets
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: GroupOptions,
    /// Say whether a regular expression is one that subscriptions take (RE2)
    #[arg(long, value_name = "regex")]
    validate_regex: Option<String>,
    /// The topic, or some of its partitions: TOPIC:0,1,2; may be given several times
    #[arg(long = "topic", value_name = "topic")]
    topics: Vec<String>,
    /// All topics in which the group has offsets
    #[arg(long)]
    all_topics: bool,
    /// With --list: a column with the type, and only groups of the types that are given, of classic,consumer
    #[arg(long = "type", value_name = "types", num_args = 0..=1, default_missing_value = "")]
    types: Option<String>,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    if arguments.options.admin.version {
        return client_tool::print_version();
    }
    if let Err(error) = arguments.check() {
        return failure(error);
    }
    if let Some(regex) = &arguments.validate_regex {
        println!("{}", regex_check::verdict(regex));
        return ExitCode::SUCCESS;
    }
    group_tool::run(&KIND, &arguments.options, async |admin| arguments.execute(admin).await)
}

impl Arguments {
    /// The combinations that make no sense, in Kafka's words.
    fn check(&self) -> Result<(), String> {
        let options = &self.options;
        options.check_available()?;
        if self.types.is_some() && !options.list {
            return Err(unavailable("type"));
        }
        if options.describe {
            options.check_describe()?;
        }
        if options.delete {
            options.check_scope("delete")?;
            if !self.topics.is_empty() {
                return Err(
                    "The consumer does not support topic-specific offset deletion from a consumer group."
                        .to_owned(),
                );
            }
        }
        if options.delete_offsets && (options.groups.is_empty() || self.topics.is_empty()) {
            return Err("Option [delete-offsets] takes the following options: [group], [topic]".to_owned());
        }
        if options.reset_offsets {
            self.check_reset()?;
        }
        options.check_clashes((!self.topics.is_empty()).then_some("topic"))?;
        if options.actions() + usize::from(self.validate_regex.is_some()) != 1 {
            return Err(
                "Command must include exactly one action: --list, --describe, --delete, --reset-offsets, \
                        --delete-offsets, --validate-regex"
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn check_reset(&self) -> Result<(), String> {
        let reset = &self.options.reset;
        reset.check_whether()?;
        if !reset.dry_run && !reset.execute {
            eprintln!(
                "WARN: No action will be performed as the --execute option is missing. In version 5.0, this command will \
                 require either --dry-run or --execute to be specified. You should add the --dry-run option explicitly if \
                 you are scripting this command and want to keep the current default behavior without prompting."
            );
        }
        self.options.check_scope("reset-offsets")?;
        reset.check_scenario()
    }

    async fn execute(&self, admin: &Admin) -> Result<(), Failure> {
        if self.options.list {
            self.list(admin).await
        } else if self.options.describe {
            describe::describe(self, admin).await
        } else if self.options.delete {
            delete::delete_groups(self, admin).await
        } else if self.options.reset_offsets {
            reset::reset(self, admin).await
        } else {
            delete::delete_offsets(self, admin).await
        }
    }

    async fn list(&self, admin: &Admin) -> Result<(), Failure> {
        if self.options.state.is_none() && self.types.is_none() {
            for group in group_tool::all_groups(&KIND, admin).await? {
                println!("{group}");
            }
            return Ok(());
        }
        let filter = GroupFilter {
            states: self.options.states(&GroupState::OF_CONSUMER_GROUPS)?,
            types: types(self.types.as_deref().unwrap_or_default()).map_err(Failure::Usage)?,
            ..GroupFilter::consumer_groups()
        };
        let groups = admin.list_groups(&filter).await.map_err(thrown)?;
        print!("{}", listing(&groups, self.types.is_some(), self.options.state.is_some()));
        Ok(())
    }
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
            (&["--describe"], "Option [describe] takes one of these options: [all-groups], [group]"),
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
    fn types_are_checked() {
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
