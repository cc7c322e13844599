//! `--delete` and `--delete-offsets`: what became of it.

use std::collections::{BTreeMap, BTreeSet};

use client::{Admin, ClientError};
use common::{ErrorCode, TopicPartition};

use super::{Failure, Kind, NOTHING, failed, offsets, print_error};
use crate::commands::client_tool::exception;

/// `'a', 'b'`.
pub(crate) fn quoted<'a>(groups: impl IntoIterator<Item = &'a String>) -> String {
    let groups: Vec<&str> = groups.into_iter().map(String::as_str).collect();
    format!("'{}'", groups.join("', '"))
}

/// Says which groups were deleted and which were not.
pub(crate) fn print_deleted(kind: &Kind, deleted: &BTreeSet<String>, failed: &BTreeMap<String, String>) {
    let name = kind.name;
    if failed.is_empty() {
        println!("Deletion of requested {name} groups ({}) was successful.", quoted(deleted));
        return;
    }
    print_error(&format!("Deletion of some {name} groups failed:"));
    for (group, error) in failed {
        println!("* Group '{group}' could not be deleted due to: {error}");
    }
    if !deleted.is_empty() {
        println!("\nThese {name} groups were deleted successfully: {}{}", quoted(deleted), kind.full_stop);
    }
}

/// Forgets the offsets of a group in topics, or in some of their partitions (`TOPIC:0,1,2`), and says what became of each.
pub(crate) async fn delete_offsets_in(admin: &Admin, group: &str, topics: &[String]) -> Result<(), Failure> {
    // What is not there is told with the rest, as partition -1.
    let mut results = BTreeMap::new();
    let mut partitions = BTreeSet::new();
    let mut whole = Vec::new();
    for argument in topics {
        match argument.contains(':') {
            true => partitions.extend(offsets::named_partitions(argument).map_err(Failure::Usage)?),
            false => whole.push(argument.clone()),
        }
    }
    for topic in admin.describe_topics(&whole).await.map_err(failed)? {
        let name = topic.name.unwrap_or_default();
        match ClientError::check(topic.error_code, None) {
            Ok(()) => {
                let all = topic.partitions.iter().map(|partition| partition.partition_index);
                partitions.extend(all.map(|partition| TopicPartition::new(name.as_str(), partition)));
            }
            Err(error) => drop(results.insert(TopicPartition::new(name, -1), Some(error))),
        }
    }
    delete_offsets(admin, group, partitions, results).await;
    Ok(())
}

/// Forgets the offsets of a group in partitions, and says what became of each; `results` are those that are known already.
pub(crate) async fn delete_offsets(
    admin: &Admin,
    group: &str,
    partitions: BTreeSet<TopicPartition>,
    mut results: BTreeMap<TopicPartition, Option<ClientError>>,
) {
    let outcome = match admin.delete_consumer_group_offsets(group, &partitions).await {
        Ok(answers) => {
            let first = answers.values().find_map(|answer| answer.as_ref().err().cloned());
            results.extend(answers.into_iter().map(|(partition, answer)| (partition, answer.err())));
            first
        }
        Err(error) => {
            results.extend(partitions.into_iter().map(|partition| (partition, Some(error.clone()))));
            Some(error)
        }
    };
    match outcome.map(|error| error.code().ok_or(error)) {
        None => println!("Request succeeded for deleting offsets from group {group}."),
        Some(Ok(
            code @ (ErrorCode::InvalidGroupId
            | ErrorCode::GroupIdNotFound
            | ErrorCode::GroupAuthorizationFailed
            | ErrorCode::NonEmptyGroup),
        )) => print_error(code.message()),
        Some(Ok(
            ErrorCode::GroupSubscribedToTopic
            | ErrorCode::TopicAuthorizationFailed
            | ErrorCode::UnknownTopicOrPartition,
        )) => print_error("Encountered some partition-level error, see the follow-up details."),
        Some(Ok(code)) => print_error(&format!("Encountered some unknown error: {code}")),
        Some(Err(error)) => print_error(&format!("Encountered some unknown error: {error}")),
    }
    print_results(&results);
}

fn print_results(results: &BTreeMap<TopicPartition, Option<ClientError>>) {
    let width = results.keys().map(|at| at.topic.chars().count()).max().unwrap_or(0).max(15);
    print!("\n{:<width$} {:<10} {:<15}", "TOPIC", "PARTITION", "STATUS");
    let mut rows: Vec<_> = results.iter().collect();
    // Kafka's tool puts the texts in order, so that 10 comes before 2.
    rows.sort_by_key(|(at, _)| format!("{}{}", at.topic, at.partition));
    for (at, error) in rows {
        let partition = if at.partition >= 0 { at.partition.to_string() } else { NOTHING.to_owned() };
        let status = match error {
            Some(error) => format!("Error: {}", exception(error)),
            None => "Successful".to_owned(),
        };
        print!("\n{:<width$} {partition:<10} {status:<15}", at.topic);
    }
    println!();
}
