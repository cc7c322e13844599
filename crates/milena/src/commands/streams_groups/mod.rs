//! `milena streams-groups`, which is `kafka-streams-groups.sh` (`org.apache.kafka.tools.streams.StreamsGroupCommand`).

mod delete;
mod describe;
mod internal_topics;
mod offsets;

use std::process::ExitCode;

use client::Admin;
use client::admin::{GroupFilter, GroupListing, GroupState};

use super::client_tool;
use super::group_tool::{self, Failure, GroupOptions, Kind, thrown};
use crate::report::failure;

/// Streams groups.
const KIND: Kind =
    Kind { name: "streams", filter: GroupFilter::streams_groups, failure: ExitCode::FAILURE, full_stop: "." };

/// List and describe streams groups, delete them, and see to their offsets and internal topics
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: GroupOptions,
    /// The input topic, or, with --reset-offsets, some of its partitions: TOPIC:0,1,2; may be given several times
    #[arg(long = "input-topic", value_name = "topic")]
    input_topics: Vec<String>,
    /// All topics from which the group's topology reads
    #[arg(long)]
    all_input_topics: bool,
    /// With --reset-offsets --execute: delete this internal topic of the group too; may be given several times
    #[arg(long = "delete-internal-topic", value_name = "topic")]
    delete_internal_topics: Vec<String>,
    /// With --delete, or --reset-offsets --execute: delete all internal topics of the group too
    #[arg(long)]
    delete_all_internal_topics: bool,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    if arguments.options.admin.version {
        return client_tool::print_version();
    }
    if let Err(error) = arguments.check() {
        return failure(error);
    }
    group_tool::run(&KIND, &arguments.options, async |admin| arguments.execute(admin).await)
}

impl Arguments {
    /// The combinations that make no sense, in Kafka's words.
    fn check(&self) -> Result<(), String> {
        let options = &self.options;
        let topics = self.all_input_topics || !self.input_topics.is_empty();
        options.check_available()?;
        if options.describe {
            options.check_describe()?;
        }
        if options.delete {
            options.check_scope("delete")?;
            if topics {
                return Err(
                    "Kafka Streams does not support topic-specific offset deletion from a streams group."
                        .to_owned(),
                );
            }
        }
        if options.delete_offsets {
            if !topics || options.groups.is_empty() {
                return Err(
                    "Option [delete-offsets] takes the [group] and one of these options: [all-input-topics], \
                     [input-topic]"
                        .to_owned(),
                );
            }
            if options.groups.len() > 1 {
                return Err(format!(
                    "Option [delete-offsets] supports only one [group] at a time, but found: [{}]",
                    options.groups.join(", ")
                ));
            }
        }
        let reset = &options.reset;
        if options.reset_offsets {
            reset.check_whether()?;
            if !reset.dry_run && !reset.execute {
                return Err("Option [reset-offsets] takes the option: [execute] or [dry-run]".to_owned());
            }
            options.check_scope("reset-offsets")?;
            reset.check_scenario()?;
        }
        self.check_internal_topics()?;
        if (reset.dry_run || reset.execute) && !options.reset_offsets {
            return Err("Only Option [reset-offsets] accepts [execute] or [dry-run]".to_owned());
        }
        options.check_clashes((!self.input_topics.is_empty()).then_some("input-topic"))?;
        if options.actions() != 1 {
            return Err(
                "Command must include exactly one action: --list, --describe, --delete, --reset-offsets, \
                        or --delete-offsets."
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn check_internal_topics(&self) -> Result<(), String> {
        let options = &self.options;
        let resets = options.reset_offsets && options.reset.execute;
        if self.delete_all_internal_topics {
            if !options.reset_offsets && !options.delete {
                return Err(
                    "Option [delete-all-internal-topics] takes one of these options: [delete], [reset-offsets]"
                        .to_owned(),
                );
            }
            if options.reset_offsets && !resets {
                return Err(
                    "Option [delete-all-internal-topics] takes [execute] when [reset-offsets] is used."
                        .to_owned(),
                );
            }
        } else if !self.delete_internal_topics.is_empty() && !resets {
            return Err(
                "Option [delete-internal-topic] takes [reset-offsets] when [execute] is used.".to_owned()
            );
        }
        Ok(())
    }

    async fn execute(&self, admin: &Admin) -> Result<(), Failure> {
        if self.options.list {
            self.list(admin).await
        } else if self.options.describe {
            describe::describe(&self.options, admin).await
        } else if self.options.delete {
            delete::delete_groups(self, admin).await
        } else if self.options.reset_offsets {
            offsets::reset(self, admin).await
        } else {
            offsets::delete(self, admin).await
        }
    }

    async fn list(&self, admin: &Admin) -> Result<(), Failure> {
        if self.options.state.is_none() {
            for group in group_tool::all_groups(&KIND, admin).await? {
                println!("{group}");
            }
            return Ok(());
        }
        let states = self.options.states(&GroupState::OF_STREAMS_GROUPS)?;
        let filter = GroupFilter { states, ..GroupFilter::streams_groups() };
        print!("{}", listing(&admin.list_groups(&filter).await.map_err(thrown)?));
        Ok(())
    }
}

fn listing(groups: &[GroupListing]) -> String {
    let longest = groups.iter().map(|group| group.group_id.chars().count()).max().unwrap_or(0);
    let width = longest.max(15);
    let mut text = format!("{:<width$} STATE\n", "GROUP");
    for group in groups {
        let state = group.state.unwrap_or(GroupState::Unknown);
        text.push_str(&format!("{:<width$} {state}\n", group.group_id));
    }
    text
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
        let words = std::iter::once("kafka-streams-groups").chain(words.iter().copied());
        Tool::try_parse_from(words).map_err(|error| error.to_string())?.arguments.check()
    }

    #[test]
    fn combinations_are_refused_in_kafkas_words() {
        const RESET: [&str; 4] = ["--reset-offsets", "--group", "g", "--to-earliest"];
        for words in [
            &["--list", "--state", "notready"][..],
            &["--describe", "--all-groups", "--members", "--verbose"],
            &["--delete", "--group", "g", "--delete-all-internal-topics"],
            &["--delete-offsets", "--group", "g", "--all-input-topics"],
            &[&RESET[..], &["--input-topic", "t:0,1", "--dry-run"]].concat(),
            &[&RESET[..], &["--execute", "--delete-internal-topic", "g-a-changelog"]].concat(),
        ] {
            assert_eq!(check(words), Ok(()), "{words:?}");
        }
        for (words, message) in [
            (&["--group", "g"][..], "Command must include exactly one action: --list,"),
            (&["--list", "--execute"], "Only Option [reset-offsets] accepts [execute] or [dry-run]"),
            (&["--delete", "--group", "g", "--input-topic", "t"], "Kafka Streams does not support topic-"),
            (&["--delete-offsets", "--group", "g"], "Option [delete-offsets] takes the [group] and one of"),
            (
                &["--delete-offsets", "--group", "a", "--group", "b", "--all-input-topics"],
                "Option [delete-offsets] supports only one [group] at a time, but found: [a, b]",
            ),
            (&RESET, "Option [reset-offsets] takes the option: [execute] or [dry-run]"),
            (
                &[&RESET[..], &["--dry-run", "--delete-all-internal-topics"]].concat(),
                "Option [delete-all-internal-topics] takes [execute] when",
            ),
            (
                &["--delete", "--group", "g", "--delete-internal-topic", "t"],
                "Option [delete-internal-topic] takes [reset-offsets] when [execute] is used.",
            ),
            (
                &["--list", "--delete-all-internal-topics"],
                "Option [delete-all-internal-topics] takes one of these options: [delete], [reset-offsets]",
            ),
        ] {
            let error = check(words).unwrap_err();
            assert!(error.starts_with(message), "{words:?}: {error}");
        }
    }
}
