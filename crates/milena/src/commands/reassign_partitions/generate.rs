//! `--generate`: where partitions could go.

use std::collections::{BTreeMap, BTreeSet};

use client::Admin;
use common::TopicPartition;
use controller::placement::{UsableBroker, place};

use super::execute::{current_dirs, describe_topics};
use super::{Trouble, plan};

/// Prints where the partitions of topics are, and where they could be if they were placed anew on some brokers.
pub(super) async fn generate(
    admin: &Admin,
    topics: &[String],
    brokers: &[i32],
    rack_aware: bool,
) -> Result<(), Trouble> {
    let current = describe_topics(admin, topics.iter().cloned().collect()).await?;
    let dirs = current_dirs(admin, &current).await?;
    let nodes = admin.describe_cluster().await.map_err(|error| Trouble::of(&error))?;
    let usable: Vec<UsableBroker> = nodes
        .into_iter()
        .filter(|node| brokers.contains(&node.id))
        .map(|node| UsableBroker { id: node.id, rack: node.rack.filter(|_| rack_aware), fenced: false })
        .collect();
    let without_rack = usable.iter().filter(|broker| broker.rack.is_none()).count();
    if rack_aware && without_rack != 0 && without_rack != usable.len() {
        return Err(Trouble::Error(
            "Not all brokers have rack information. Add --disable-rack-aware in command line to make replica assignment \
             without rack information."
                .to_owned(),
        ));
    }
    let proposed = propose(&current, &usable, rand::random())?;
    println!("Current partition replica assignment\n{}\n", plan::to_json(&current, &dirs));
    println!("Proposed partition reassignment configuration\n{}", plan::to_json(&proposed, &BTreeMap::new()));
    Ok(())
}

/// Places all partitions of each topic anew, with as many replicas as its first one has.
fn propose(
    current: &BTreeMap<TopicPartition, Vec<i32>>,
    brokers: &[UsableBroker],
    seed: u64,
) -> Result<BTreeMap<TopicPartition, Vec<i32>>, String> {
    let topics: BTreeSet<&str> = current.keys().map(|at| &*at.topic).collect();
    let mut proposed = BTreeMap::new();
    for (number, topic) in (0..).zip(topics) {
        let partitions: Vec<(&TopicPartition, &Vec<i32>)> =
            current.iter().filter(|(at, _)| &*at.topic == topic).collect();
        let replicas = partitions.first().map_or(0, |(_, replicas)| replicas.len());
        let factor = i16::try_from(replicas).unwrap_or(i16::MAX);
        let placed =
            place(&mut controller::Random::new(seed.wrapping_add(number)), partitions.len(), factor, brokers);
        let placed = placed.map_err(|error| error.to_string())?;
        proposed.extend(partitions.into_iter().map(|(at, _)| at.clone()).zip(placed));
    }
    Ok(proposed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_placed_on_the_brokers_given() {
        let current: BTreeMap<_, _> =
            (0..6).map(|index| (TopicPartition::new("foo", index), vec![1, 2])).collect();
        let brokers = [3, 4, 5].map(|id| UsableBroker { id, rack: None, fenced: false });
        let proposed = propose(&current, &brokers, 7).unwrap();
        assert_eq!(proposed.len(), 6);
        for replicas in proposed.values() {
            assert_eq!(replicas.len(), 2);
            assert!(replicas[0] != replicas[1] && replicas.iter().all(|id| (3..=5).contains(id)));
        }
        let error = propose(&current, &brokers[..1], 7).unwrap_err();
        assert!(error.starts_with("The target replication factor of 2 cannot be reached"), "{error}");
    }
}
