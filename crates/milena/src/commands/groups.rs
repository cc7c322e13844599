//! `milena groups`, which is `kafka-groups.sh` (`org.apache.kafka.tools.GroupsCommand`).

use std::process::ExitCode;

use client::admin::{GroupFilter, GroupListing, GroupType};

use super::client_tool::{self, AdminOptions};
use crate::report::failure;

/// List groups of all types
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    admin: AdminOptions,
    /// List the groups
    #[arg(long)]
    list: bool,
    /// Only groups of this type: classic, consumer, share or streams
    #[arg(long, value_name = "type")]
    group_type: Option<String>,
    /// Only groups whose members are these, such as consumer
    #[arg(long, value_name = "protocol")]
    protocol: Option<String>,
    /// Only groups of consumers: of type consumer, and classic ones of consumers or with nothing but offsets
    #[arg(long)]
    consumer: bool,
    /// Only share groups
    #[arg(long)]
    share: bool,
    /// Only streams groups
    #[arg(long)]
    streams: bool,
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
        match admin.list_groups(&GroupFilter::default()).await {
            Ok(groups) => {
                print!("{}", arguments.listing(&groups));
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                println!("Error while executing groups command : {error}");
                Ok(ExitCode::FAILURE)
            }
        }
    })
}

impl Arguments {
    /// The combinations that make no sense, in Kafka's words.
    fn check(&self) -> Result<(), String> {
        if !self.list {
            return Err("Command must include exactly one action: --list.".to_owned());
        }
        if self.group_type.as_deref().is_some_and(|name| GroupType::parse(name) == GroupType::Unknown) {
            return Err("--group-type must be a valid group type.".to_owned());
        }
        let filters = [
            ("consumer", self.consumer),
            ("group-type", self.group_type.is_some()),
            ("protocol", self.protocol.is_some()),
            ("share", self.share),
            ("streams", self.streams),
        ];
        for alone in ["consumer", "share", "streams"] {
            let given = |name: &str| filters.iter().any(|(option, given)| *option == name && *given);
            let other = filters.iter().find(|(option, given)| *given && *option != alone);
            if let Some((other, _)) = other.filter(|_| given(alone)) {
                return Err(format!("Option \"[{alone}]\" can't be used with option \"[{other}]\""));
            }
        }
        Ok(())
    }

    fn is_meant(&self, group: &GroupListing) -> bool {
        let of_type = |wanted: GroupType| group.group_type == Some(wanted);
        if let Some(wanted) = &self.group_type {
            of_type(GroupType::parse(wanted))
                && self.protocol.as_ref().is_none_or(|protocol| group.protocol == *protocol)
        } else if let Some(protocol) = &self.protocol {
            group.protocol == *protocol
        } else if self.consumer {
            group.protocol == "consumer" || group.protocol.is_empty() || of_type(GroupType::Consumer)
        } else if self.share {
            of_type(GroupType::Share)
        } else if self.streams {
            of_type(GroupType::Streams)
        } else {
            true
        }
    }

    fn listing(&self, groups: &[GroupListing]) -> String {
        let columns = |group: &GroupListing| {
            let group_type = group.group_type.map(GroupType::name).unwrap_or_default();
            [group.group_id.clone(), group_type.to_owned(), group.protocol.clone()]
        };
        let rows: Vec<[String; 3]> =
            groups.iter().filter(|group| self.is_meant(group)).map(columns).collect();
        let longest = rows.iter().flatten().map(|cell| cell.chars().count()).max().unwrap_or(0);
        let width = longest.max(20);
        let mut text = format!("{:<width$} {:<width$} {:<width$}\n", "GROUP", "TYPE", "PROTOCOL");
        for [group, group_type, protocol] in rows {
            text.push_str(&format!("{group:<width$} {group_type:<width$} {protocol:<width$} \n"));
        }
        text
    }
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

    fn arguments(words: &[&str]) -> Arguments {
        let words = std::iter::once("kafka-groups").chain(words.iter().copied());
        Tool::try_parse_from(words).unwrap_or_else(|error| panic!("{error}")).arguments
    }

    fn group(group_id: &str, group_type: GroupType, protocol: &str) -> GroupListing {
        let (group_id, protocol) = (group_id.to_owned(), protocol.to_owned());
        GroupListing { group_id, group_type: Some(group_type), protocol, state: None }
    }

    #[test]
    fn filters_choose_and_exclude_each_other() {
        let groups = [
            group("a", GroupType::Classic, "consumer"),
            group("b", GroupType::Classic, "connect"),
            group("c", GroupType::Consumer, "consumer"),
            group("d", GroupType::Classic, ""),
            group("e", GroupType::Share, "share"),
        ];
        for (words, expected) in [
            (&["--list"][..], "abcde"),
            (&["--list", "--consumer"], "acd"),
            (&["--list", "--share"], "e"),
            (&["--list", "--group-type", "classic"], "abd"),
            (&["--list", "--group-type", "classic", "--protocol", "connect"], "b"),
            (&["--list", "--protocol", "consumer"], "ac"),
        ] {
            let arguments = arguments(words);
            assert_eq!(arguments.check(), Ok(()), "{words:?}");
            let found: String = groups
                .iter()
                .filter(|group| arguments.is_meant(group))
                .map(|group| group.group_id.as_str())
                .collect();
            assert_eq!(found, expected, "{words:?}");
        }
        assert_eq!(
            arguments(&["--list", "--share", "--consumer"]).check().unwrap_err(),
            "Option \"[consumer]\" can't be used with option \"[share]\""
        );
        assert!(arguments(&["--list", "--group-type", "x"]).check().is_err());
        assert!(arguments(&["--share"]).check().is_err());
    }
}
