//! `--delete`.

use std::collections::{BTreeMap, BTreeSet};

use client::Admin;
use client::admin::{GroupFilter, GroupState};
use common::ErrorCode;

use super::{Arguments, KIND, internal_topics};
use crate::commands::client_tool::exception;
use crate::commands::group_tool::{Failure, delete, failed};

/// As Kafka's tool, looks at all groups first, and asks for those alone to be deleted that are empty.
pub(super) async fn delete_groups(arguments: &Arguments, admin: &Admin) -> Result<(), Failure> {
    let mut groups: BTreeSet<String> = arguments.options.groups(&KIND, admin).await?.into_iter().collect();
    let listed = admin.list_groups(&GroupFilter::streams_groups()).await.map_err(failed)?;
    let states: BTreeMap<&str, Option<GroupState>> =
        listed.iter().map(|group| (group.group_id.as_str(), group.state)).collect();
    let mut not = BTreeMap::new();
    groups.retain(|group| match problem(group, states.get(group.as_str()).copied()) {
        Some(problem) => {
            not.insert(group.clone(), problem);
            false
        }
        None => true,
    });
    let groups: Vec<String> = groups.into_iter().collect();
    // What there is to delete with a group is known as long as it is there.
    let topics = match arguments.delete_all_internal_topics && !groups.is_empty() {
        true => internal_topics::of_groups(admin, &groups).await,
        false => BTreeMap::new(),
    };
    let mut deleted = BTreeSet::new();
    for (group, result) in admin.delete_groups(&groups).await.map_err(failed)? {
        match result {
            Ok(()) => drop(deleted.insert(group)),
            Err(error) => drop(not.insert(group, exception(&error))),
        }
    }
    let mut left = BTreeMap::new();
    for (group, topics) in topics.iter().filter(|(group, _)| deleted.contains(*group)) {
        for (topic, result) in internal_topics::delete(admin, topics).await {
            if let Err(error) = result {
                println!("Failed to delete internal topic: {topic}");
                left.entry(group).or_insert_with(|| exception(&error));
            }
        }
    }
    delete::print_deleted(&KIND, &deleted, &not);
    if topics.is_empty() || deleted.is_empty() {
        return Ok(());
    }
    if left.is_empty() {
        println!(
            "Deletion of associated internal topics of the streams groups ({}) was successful.",
            delete::quoted(topics.keys().filter(|group| deleted.contains(*group)))
        );
    } else {
        println!("Deletion of some associated internal topics failed:");
        for (group, error) in left {
            println!("* Internal topics of the streams group '{group}' could not be deleted due to: {error}");
        }
    }
    Ok(())
}

/// Why a group is not even asked for, in Kafka's words.
fn problem(group: &str, state: Option<Option<GroupState>>) -> Option<String> {
    match state {
        None => Some(format!(
            "java.lang.IllegalArgumentException: Group '{group}' does not exist or is not a streams group."
        )),
        Some(Some(GroupState::Dead)) => {
            Some(format!("java.lang.IllegalStateException: Streams group '{group}' group state is DEAD."))
        }
        Some(Some(GroupState::Empty) | None) => None,
        Some(Some(_)) => {
            Some(format!("{}: Streams group '{group}' is not EMPTY.", ErrorCode::NonEmptyGroup.exception()))
        }
    }
}
