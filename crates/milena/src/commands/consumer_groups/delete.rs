//! `--delete` and `--delete-offsets`.

use std::collections::{BTreeMap, BTreeSet};

use client::{Admin, ClientError};
use common::{ErrorCode, TopicPartition};

use super::{Arguments, Failure, NOTHING, failed, print_error, reset};
use crate::commands::client_tool::exception;

fn quoted(groups: &[&String]) -> String {
    groups.iter().map(|group| format!("'{group}'")).collect::<Vec<_>>().join(", ")
}

pub(super) async fn delete_groups(arguments: &Arguments, admin: &Admin) -> Result<(), Failure> {
    let groups = arguments.groups(admin).await?;
    let results = admin.delete_groups(&groups).await.map_err(failed)?;
    let deleted: Vec<&String> =
        results.iter().filter(|(_, result)| result.is_ok()).map(|(group, _)| group).collect();
    if deleted.len() == results.len() {
        println!("Deletion of requested consumer groups ({}) was successful.", quoted(&deleted));
        return Ok(());
    }
    print_error("Deletion of some consumer groups failed:");
    for (group, result) in &results {
        if let Err(error) = result {
            println!("* Group '{group}' could not be deleted due to: {}", exception(error));
        }
    }
    if !deleted.is_empty() {
        println!("\nThese consumer groups were deleted successfully: {}", quoted(&deleted));
    }
    Ok(())
}

pub(super) async fn delete_offsets(arguments: &Arguments, admin: &Admin) -> Result<(), Failure> {
    let [group] = arguments.groups.as_slice() else {
        return Err(Failure::Usage(
            "Found multiple arguments for option group, but you asked for only one".to_owned(),
        ));
    };
    // What is not there is told with the rest, as partition -1.
    let mut results: BTreeMap<TopicPartition, Option<ClientError>> = BTreeMap::new();
    let mut partitions = BTreeSet::new();
    let mut topics = Vec::new();
    for argument in &arguments.topics {
        match argument.contains(':') {
            true => partitions.extend(reset::named_partitions(argument).map_err(Failure::Usage)?),
            false => topics.push(argument.clone()),
        }
    }
    for topic in admin.describe_topics(&topics).await.map_err(failed)? {
        let name = topic.name.unwrap_or_default();
        match ClientError::check(topic.error_code, None) {
            Ok(()) => {
                let all = topic.partitions.iter().map(|partition| partition.partition_index);
                partitions.extend(all.map(|partition| TopicPartition::new(name.as_str(), partition)));
            }
            Err(error) => drop(results.insert(TopicPartition::new(name, -1), Some(error))),
        }
    }
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
    Ok(())
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
