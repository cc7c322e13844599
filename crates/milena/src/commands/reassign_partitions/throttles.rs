//! The limits that hold moves back: which replicas they are for, and how they are set and taken away.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use client::Admin;
use client::admin::{AlterConfigOp, ConfigResource, ConfigResourceType, Reassignment};
use common::TopicPartition;

use super::plan::Plan;
use super::{Trouble, joined, plural};

const LEADER_RATE: &str = "leader.replication.throttled.rate";
const FOLLOWER_RATE: &str = "follower.replication.throttled.rate";
const LOG_DIRS_RATE: &str = "replica.alter.log.dirs.io.max.bytes.per.second";
const LEADER_REPLICAS: &str = "leader.replication.throttled.replicas";
const FOLLOWER_REPLICAS: &str = "follower.replication.throttled.replicas";

/// A move of a partition: who has it, and who is to get it.
#[derive(Debug, PartialEq, Eq)]
struct Move {
    sources: BTreeSet<i32>,
    destinations: BTreeSet<i32>,
}

/// All moves, those that are under way and those that are to come, by topic and partition.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Moves(BTreeMap<String, BTreeMap<i32, Move>>);

impl Moves {
    /// The moves of a plan, in addition to those that are under way.
    pub(super) fn new(
        under_way: &HashMap<TopicPartition, Reassignment>,
        proposed: &BTreeMap<TopicPartition, Vec<i32>>,
        current: &BTreeMap<TopicPartition, Vec<i32>>,
    ) -> Moves {
        let mut moves = Moves::default();
        for (at, reassignment) in under_way {
            let destinations: BTreeSet<i32> = reassignment.adding.iter().copied().collect();
            let sources =
                reassignment.replicas.iter().copied().filter(|id| !destinations.contains(id)).collect();
            moves.of(at).insert(at.partition, Move { sources, destinations });
        }
        for (at, replicas) in proposed {
            let partitions = moves.of(at);
            let sources = match partitions.remove(&at.partition) {
                Some(known) => known.sources,
                None => current.get(at).into_iter().flatten().copied().collect(),
            };
            let destinations = replicas.iter().copied().filter(|id| !sources.contains(id)).collect();
            partitions.insert(at.partition, Move { sources, destinations });
        }
        moves
    }

    fn of(&mut self, at: &TopicPartition) -> &mut BTreeMap<i32, Move> {
        self.0.entry(at.topic.to_string()).or_default()
    }

    /// The value of a topic's setting: `partition:broker`, in the order of the texts.
    fn setting(partitions: &BTreeMap<i32, Move>, brokers: fn(&Move) -> &BTreeSet<i32>) -> String {
        let of = |(index, moved)| brokers(moved).iter().map(move |broker| format!("{index}:{broker}"));
        joined(partitions.iter().flat_map(of).collect::<BTreeSet<String>>())
    }

    fn brokers(&self) -> BTreeSet<i32> {
        let moves = self.0.values().flat_map(BTreeMap::values);
        moves.flat_map(|moved| moved.sources.iter().chain(&moved.destinations)).copied().collect()
    }

    /// Limits what brokers send and fetch for these moves.
    pub(super) async fn throttle(&self, admin: &Admin, rate: i64) -> Result<(), Trouble> {
        for (topic, partitions) in &self.0 {
            let changes = [
                (LEADER_REPLICAS, Moves::setting(partitions, |moved| &moved.sources)),
                (FOLLOWER_REPLICAS, Moves::setting(partitions, |moved| &moved.destinations)),
            ];
            set(admin, ConfigResourceType::Topic, topic, changes).await?;
        }
        for broker in self.brokers() {
            let changes = [(LEADER_RATE, rate.to_string()), (FOLLOWER_RATE, rate.to_string())];
            set(admin, ConfigResourceType::Broker, &broker.to_string(), changes).await?;
        }
        println!("The inter-broker throttle limit was set to {rate} B/s");
        Ok(())
    }
}

/// Limits the moves between the directories of brokers.
pub(super) async fn throttle_log_dirs(
    admin: &Admin,
    brokers: &BTreeSet<i32>,
    rate: i64,
) -> Result<(), Trouble> {
    for broker in brokers {
        let changes = [(LOG_DIRS_RATE, rate.to_string())];
        set(admin, ConfigResourceType::Broker, &broker.to_string(), changes).await?;
    }
    println!("The replica-alter-dir throttle limit was set to {rate} B/s");
    Ok(())
}

/// Takes all limits away, of the cluster's brokers and of a plan's topics: nobody knows any more who was limited.
pub(super) async fn clear(admin: &Admin, plan: &Plan) -> Result<(), Trouble> {
    let nodes = admin.describe_cluster().await.map_err(|error| Trouble::of(&error))?;
    let mut brokers: BTreeSet<i32> = nodes.iter().map(|node| node.id).collect();
    brokers.extend(plan.partitions.iter().flat_map(|(_, replicas)| replicas));
    println!("Clearing broker-level throttles on broker{} {}", plural(brokers.len()), joined(&brokers));
    for broker in brokers {
        let keys = [LEADER_RATE, FOLLOWER_RATE, LOG_DIRS_RATE];
        delete(admin, ConfigResourceType::Broker, &broker.to_string(), &keys).await?;
    }
    let topics = plan.topics();
    println!("Clearing topic-level throttles on topic{} {}", plural(topics.len()), joined(&topics));
    for topic in topics {
        delete(admin, ConfigResourceType::Topic, &topic, &[LEADER_REPLICAS, FOLLOWER_REPLICAS]).await?;
    }
    Ok(())
}

async fn set<const N: usize>(
    admin: &Admin,
    resource_type: ConfigResourceType,
    name: &str,
    changes: [(&str, String); N],
) -> Result<(), Trouble> {
    let changes = changes.map(|(key, value)| (key.to_owned(), AlterConfigOp::Set(value)));
    alter(admin, resource_type, name, &changes).await
}

async fn delete(
    admin: &Admin,
    resource_type: ConfigResourceType,
    name: &str,
    keys: &[&str],
) -> Result<(), Trouble> {
    let changes: Vec<_> = keys.iter().map(|key| ((*key).to_owned(), AlterConfigOp::Delete)).collect();
    alter(admin, resource_type, name, &changes).await
}

async fn alter(
    admin: &Admin,
    resource_type: ConfigResourceType,
    name: &str,
    changes: &[(String, AlterConfigOp)],
) -> Result<(), Trouble> {
    let resource = ConfigResource { resource_type, name: name.to_owned() };
    admin.incremental_alter_configs(&resource, changes).await.map_err(|error| Trouble::of(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttles_are_for_those_who_have_a_partition_and_those_who_get_it() {
        let at = |partition| TopicPartition::new("foo", partition);
        let under_way = Reassignment { replicas: vec![1, 2, 3], adding: vec![3], removing: vec![1] };
        let under_way = HashMap::from([(at(0), under_way)]);
        let proposed = BTreeMap::from([(at(0), vec![2, 4]), (at(10), vec![1, 5])]);
        let current = BTreeMap::from([(at(0), vec![1, 2, 3]), (at(10), vec![1, 2])]);
        let moves = Moves::new(&under_way, &proposed, &current);
        let partitions = &moves.0["foo"];
        assert_eq!(Moves::setting(partitions, |moved| &moved.sources), "0:1,0:2,10:1,10:2");
        assert_eq!(Moves::setting(partitions, |moved| &moved.destinations), "0:4,10:5");
        assert_eq!(moves.brokers(), BTreeSet::from([1, 2, 4, 5]));
    }
}
