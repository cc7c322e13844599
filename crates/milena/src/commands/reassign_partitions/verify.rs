//! `--verify`: how far the moves of a plan are.

use std::collections::BTreeMap;

use client::{Admin, ClientError};
use common::{ErrorCode, TopicPartition};

use super::plan::Plan;
use super::replica_dirs::{self, Replica, ReplicaDirs};
use super::{Trouble, joined, throttles};

/// Says how far the moves of a plan are, and takes the throttles away when all moves are over.
pub(super) async fn verify(admin: &Admin, plan: &Plan, preserve_throttles: bool) -> Result<(), Trouble> {
    let under_way = admin.list_partition_reassignments().await.map_err(|error| Trouble::of(&error))?;
    let targets = plan.by_partition();
    let at_rest: Vec<&TopicPartition> = targets.keys().filter(|at| !under_way.contains_key(at)).collect();
    let current = replicas_now(admin, &at_rest).await?;
    println!("Status of partition reassignment:");
    for (at, target) in &targets {
        if under_way.contains_key(at) {
            println!("Reassignment of partition {at} is still in progress.");
            continue;
        }
        let replicas = current.get(at).map(Vec::as_slice).unwrap_or_default();
        if replicas == target {
            println!("Reassignment of partition {at} is completed.");
        } else {
            println!(
                "There is no active reassignment of partition {at}, but replica set is {} rather than {}.",
                joined(replicas),
                joined(target)
            );
        }
    }
    let dirs = replica_dirs::describe(admin, &plan.log_dirs.keys().cloned().collect()).await?;
    let states: Vec<(String, bool)> = plan
        .log_dirs
        .iter()
        .map(|(replica, target)| state(replica, target, &dirs.get(replica).cloned().unwrap_or_default()))
        .collect();
    let lines: Vec<&str> = states.iter().map(|(line, _)| line.as_str()).collect();
    println!("{}", lines.join("\n"));
    let all_moved = states.iter().all(|(_, done)| *done);
    if under_way.is_empty() && all_moved && !preserve_throttles {
        throttles::clear(admin, plan).await?;
    }
    Ok(())
}

/// The replicas of partitions as they are; a topic that is not there has none.
async fn replicas_now(
    admin: &Admin,
    partitions: &[&TopicPartition],
) -> Result<BTreeMap<TopicPartition, Vec<i32>>, Trouble> {
    let mut topics: Vec<String> = partitions.iter().map(|at| at.topic.to_string()).collect();
    topics.sort();
    topics.dedup();
    let mut found = BTreeMap::new();
    for topic in admin.describe_topics(&topics).await.map_err(|error| Trouble::of(&error))? {
        let Some(name) = &topic.name else { continue };
        match ClientError::check(topic.error_code, None) {
            Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {}
            Err(error) => return Err(Trouble::Error(super::client_tool::failed_future(&error))),
            Ok(()) => found.extend(topic.partitions.iter().map(|partition| {
                (
                    TopicPartition::new(name.as_str(), partition.partition_index),
                    partition.replica_nodes.clone(),
                )
            })),
        }
    }
    Ok(found)
}

/// How far a move between directories is, and whether it is over.
fn state(replica: &Replica, target: &str, dirs: &ReplicaDirs) -> (String, bool) {
    let Replica { broker, at } = replica;
    match (&dirs.current, &dirs.future) {
        (None, _) => (
            format!(
                "Partition {at} is not found in any live log dir on broker {broker}. There is likely an offline log \
                 directory on the broker."
            ),
            false,
        ),
        (Some(_), Some(future)) if future == target => {
            (format!("Reassignment of replica {replica} is still in progress."), false)
        }
        (Some(_), Some(future)) => (
            format!(
                "Partition {at} on broker {broker} is being moved to log dir {future} instead of {target}."
            ),
            false,
        ),
        (Some(current), None) if current == target => {
            (format!("Reassignment of replica {replica} completed successfully."), true)
        }
        (Some(current), None) => (
            format!(
                "Partition {at} on broker {broker} is not being moved from log dir {current} to {target}."
            ),
            true,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_move_between_directories_is_told() {
        let replica = Replica { broker: 3, at: TopicPartition::new("foo", 1) };
        let dir = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        for (current, future, done, said) in [
            ("/a", "/b", false, "Reassignment of replica foo-1-3 is still in progress."),
            ("/b", "", true, "Reassignment of replica foo-1-3 completed successfully."),
            ("/a", "/c", false, "Partition foo-1 on broker 3 is being moved to log dir /c instead of /b."),
            ("/a", "", true, "Partition foo-1 on broker 3 is not being moved from log dir /a to /b."),
        ] {
            let dirs = ReplicaDirs { current: dir(current), future: dir(future) };
            assert_eq!(state(&replica, "/b", &dirs), (said.to_owned(), done));
        }
    }
}
