//! `--execute` and `--cancel`.

use std::collections::{BTreeMap, BTreeSet};

use client::{Admin, ClientError};
use common::{ErrorCode, TopicPartition};

use super::plan::{self, Plan};
use super::replica_dirs::{self, Replica};
use super::throttles::{self, Moves};
use super::{Trouble, joined, plural};

const UNDER_WAY: &str = "Cannot execute because there is an existing partition assignment.  Use --additional to override \
    this and create a new partition assignment in addition to the existing one. The --additional flag can also be used to \
    change the throttle by resubmitting the current reassignment.";
const VERIFY_LATER: &str = "Warning: You must run --verify periodically, until the reassignment completes, to ensure the \
    throttle is removed.";

/// What `--execute` can be told.
pub(super) struct Options {
    /// Also while other moves are under way.
    pub(super) additional: bool,
    /// Bytes per second between brokers; negative for no limit.
    pub(super) throttle: i64,
    /// Bytes per second between directories; negative for no limit.
    pub(super) log_dirs_throttle: i64,
    /// How long moves between directories may take to begin.
    pub(super) timeout_ms: i64,
    pub(super) allow_replication_factor_change: bool,
}

/// Starts the moves of a plan.
pub(super) async fn execute(admin: &Admin, plan: &Plan, options: &Options) -> Result<(), Trouble> {
    let said = |error: ClientError| Trouble::of(&error);
    let under_way = admin.list_partition_reassignments().await.map_err(said)?;
    if !options.additional && !under_way.is_empty() {
        return Err(Trouble::Terse(UNDER_WAY.to_owned()));
    }
    let proposed = plan.by_partition();
    let known = live_brokers(admin).await?;
    let wanted: BTreeSet<i32> = proposed.values().flatten().copied().collect();
    if let Some(unknown) = wanted.difference(&known).next() {
        return Err(Trouble::Error(format!("Unknown broker id {unknown}")));
    }
    let mut current = describe_topics(admin, plan.topics()).await?;
    current.retain(|at, _| proposed.contains_key(at));
    let missing: Vec<String> =
        proposed.keys().filter(|at| !current.contains_key(at)).map(ToString::to_string).collect();
    if !missing.is_empty() {
        return Err(unknown_topic(format!("Unable to find partition: {}", missing.join(", "))));
    }
    let dirs = current_dirs(admin, &current).await?;
    println!(
        "Current partition replica assignment\n\n{}\n\nSave this to use as the --reassignment-json-file option during rollback",
        plan::to_json(&current, &dirs)
    );
    if options.throttle >= 0 || options.log_dirs_throttle >= 0 {
        println!("{VERIFY_LATER}");
        if options.throttle >= 0 {
            Moves::new(&under_way, &proposed, &current).throttle(admin, options.throttle).await?;
        }
        if options.log_dirs_throttle >= 0 {
            let brokers = plan.log_dirs.keys().map(|replica| replica.broker).collect();
            throttles::throttle_log_dirs(admin, &brokers, options.log_dirs_throttle).await?;
        }
    }
    let request = proposed.iter().map(|(at, replicas)| (at.clone(), Some(replicas.clone()))).collect();
    let allow = options.allow_replication_factor_change;
    let results = admin.alter_partition_reassignments(&request, allow).await.map_err(said)?;
    if let Some(errors) = errors(&results) {
        return Err(Trouble::Terse(format!("Error reassigning partition(s):\n{errors}")));
    }
    println!(
        "Successfully started partition reassignment{} for {}",
        plural(proposed.len()),
        joined(proposed.keys())
    );
    match plan.log_dirs.is_empty() {
        true => Ok(()),
        false => replica_dirs::start_moves(admin, &plan.log_dirs, options.timeout_ms).await,
    }
}

/// Takes back the moves of a plan that are under way.
pub(super) async fn cancel(
    admin: &Admin,
    plan: &Plan,
    preserve_throttles: bool,
    timeout_ms: i64,
) -> Result<(), Trouble> {
    let said = |error: ClientError| Trouble::of(&error);
    let targets = plan.by_partition();
    let under_way = admin.list_partition_reassignments().await.map_err(said)?;
    let moving: BTreeSet<TopicPartition> = under_way
        .into_iter()
        .filter(|(at, reassignment)| {
            targets.contains_key(at) && !(reassignment.adding.is_empty() && reassignment.removing.is_empty())
        })
        .map(|(at, _)| at)
        .collect();
    if moving.is_empty() {
        println!("None of the specified partition reassignments are active.");
    } else {
        let request = moving.iter().map(|at| (at.clone(), None)).collect();
        let results = admin.alter_partition_reassignments(&request, true).await.map_err(said)?;
        if let Some(errors) = errors(&results) {
            let failed = results.values().filter(|result| result.is_err()).count();
            return Err(Trouble::Terse(format!(
                "Error cancelling partition reassignment{} for:\n{errors}",
                plural(failed)
            )));
        }
        println!(
            "Successfully cancelled partition reassignment{} for: {}",
            plural(moving.len()),
            joined(&moving)
        );
    }
    // A move between directories ends by a move to where the replica is.
    let dirs = replica_dirs::describe(admin, &plan.log_dirs.keys().cloned().collect()).await?;
    let back: BTreeMap<Replica, String> = dirs
        .into_iter()
        .filter(|(_, dirs)| dirs.future.is_some())
        .filter_map(|(replica, dirs)| Some((replica, dirs.current?)))
        .collect();
    if back.is_empty() {
        // Kafka's tool does not end this line.
        print!("None of the specified partition moves are active.");
    } else {
        replica_dirs::start_moves(admin, &back, timeout_ms).await?;
    }
    match preserve_throttles {
        true => Ok(()),
        false => throttles::clear(admin, plan).await,
    }
}

/// What was refused, a line for each partition.
fn errors(results: &BTreeMap<TopicPartition, Result<(), ClientError>>) -> Option<String> {
    let refused = results.iter().filter_map(|(at, result)| Some((at, result.as_ref().err()?)));
    let lines: Vec<String> = refused.map(|(at, error)| format!("{at}: {error}")).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

async fn live_brokers(admin: &Admin) -> Result<BTreeSet<i32>, Trouble> {
    let nodes = admin.describe_cluster().await.map_err(|error| Trouble::of(&error))?;
    Ok(nodes.iter().map(|node| node.id).collect())
}

/// Where the replicas of all partitions of topics are.
pub(super) async fn describe_topics(
    admin: &Admin,
    topics: BTreeSet<String>,
) -> Result<BTreeMap<TopicPartition, Vec<i32>>, Trouble> {
    let topics: Vec<String> = topics.into_iter().collect();
    let mut found = BTreeMap::new();
    for topic in admin.describe_topics(&topics).await.map_err(|error| Trouble::of(&error))? {
        let name = topic.name.unwrap_or_default();
        match ClientError::check(topic.error_code, None) {
            Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {
                return Err(unknown_topic(format!("Topic {name} not found.")));
            }
            Err(error) => return Err(Trouble::of(&error)),
            Ok(()) => found.extend(topic.partitions.into_iter().map(|partition| {
                (TopicPartition::new(name.as_str(), partition.partition_index), partition.replica_nodes)
            })),
        }
    }
    Ok(found)
}

fn unknown_topic(words: String) -> Trouble {
    Trouble::Error(format!("{}: {words}", ErrorCode::UnknownTopicOrPartition.exception()))
}

/// In which directories the replicas of live brokers are.
pub(super) async fn current_dirs(
    admin: &Admin,
    current: &BTreeMap<TopicPartition, Vec<i32>>,
) -> Result<BTreeMap<Replica, String>, Trouble> {
    let alive = live_brokers(admin).await?;
    let replicas = current
        .iter()
        .flat_map(|(at, replicas)| replicas.iter().map(|broker| Replica { broker: *broker, at: at.clone() }));
    let replicas = replicas.filter(|replica| alive.contains(&replica.broker)).collect();
    let dirs = replica_dirs::describe(admin, &replicas).await?;
    Ok(dirs.into_iter().filter_map(|(replica, dirs)| Some((replica, dirs.current?))).collect())
}
