//! In which log directories replicas are, and the moves between those.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use client::Admin;
use client::admin::LogDirDescription;
use common::{ErrorCode, TopicPartition};

use super::{Trouble, joined, plural};

/// A replica on a broker (`TopicPartitionReplica`), in the order in which the tool names them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Replica {
    pub(super) broker: i32,
    pub(super) at: TopicPartition,
}

impl fmt::Display for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.at, self.broker)
    }
}

/// The directories of a replica.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct ReplicaDirs {
    /// Where it is; none where no directory in use has it.
    pub(super) current: Option<String>,
    /// Where it is on its way to.
    pub(super) future: Option<String>,
}

/// Asks the brokers in which directories replicas are (`describeReplicaLogDirs`).
pub(super) async fn describe(
    admin: &Admin,
    replicas: &BTreeSet<Replica>,
) -> Result<BTreeMap<Replica, ReplicaDirs>, Trouble> {
    let brokers: BTreeSet<i32> = replicas.iter().map(|replica| replica.broker).collect();
    let brokers: Vec<i32> = brokers.into_iter().collect();
    let mut found: BTreeMap<Replica, ReplicaDirs> =
        replicas.iter().map(|replica| (replica.clone(), ReplicaDirs::default())).collect();
    if brokers.is_empty() {
        return Ok(found);
    }
    let described = admin.describe_log_dirs(&brokers).await.map_err(|error| Trouble::of(&error))?;
    for (broker, dirs) in described {
        note(&mut found, broker, &dirs.map_err(|error| Trouble::of(&error))?);
    }
    Ok(found)
}

fn note(found: &mut BTreeMap<Replica, ReplicaDirs>, broker: i32, dirs: &[LogDirDescription]) {
    for dir in dirs.iter().filter(|dir| dir.error_code == 0) {
        for topic in &dir.topics {
            for partition in &topic.partitions {
                let at = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                let Some(replica) = found.get_mut(&Replica { broker, at }) else { continue };
                let place = if partition.is_future_key { &mut replica.future } else { &mut replica.current };
                *place = Some(dir.log_dir.clone());
            }
        }
    }
}

/// Starts moves between the directories of brokers; replicas that are not on their brokers yet are waited for.
pub(super) async fn start_moves(
    admin: &Admin,
    moves: &BTreeMap<Replica, String>,
    timeout_ms: i64,
) -> Result<(), Trouble> {
    let deadline = Instant::now() + Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
    let mut pending = moves.clone();
    loop {
        let request =
            pending.iter().map(|(replica, dir)| ((replica.at.clone(), replica.broker), dir.clone()));
        let results =
            admin.alter_replica_log_dirs(&request.collect()).await.map_err(|error| Trouble::of(&error))?;
        let mut started = BTreeSet::new();
        for ((at, broker), result) in results {
            let replica = Replica { broker, at };
            match result {
                Ok(()) => drop(started.insert(replica)),
                Err(error) if error.code() == Some(ErrorCode::ReplicaNotAvailable) => {}
                Err(_) => return Err(Trouble::Error(format!("Failed to alter dir for {replica}"))),
            }
        }
        for replica in started {
            if let Some(dir) = pending.remove(&replica) {
                // The blank at the end is Kafka's.
                println!(
                    "Successfully started moving log directory to {dir} for replica {} with broker {} ",
                    replica.at, replica.broker
                );
            }
        }
        if pending.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Trouble::Terse(format!(
                "Timed out before log directory move{} could be started for: {}",
                plural(pending.len()),
                joined(pending.keys())
            )));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
