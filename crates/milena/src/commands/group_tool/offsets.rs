//! The offsets of groups and partitions.

use std::collections::{BTreeMap, BTreeSet};

use client::admin::{OffsetAndMetadata, OffsetSpec};
use client::consumer::IsolationLevel;
use client::{Admin, ClientError};
use common::TopicPartition;

use super::{Failure, failed, said};

/// Offsets by partition.
pub(crate) type Offsets = BTreeMap<TopicPartition, i64>;
/// What a group committed.
pub(crate) type Committed = BTreeMap<TopicPartition, OffsetAndMetadata>;

/// The partitions that `arguments` name: all of a topic, or `TOPIC:0,1,2`. All of them are there and have a leader.
pub(crate) async fn named(admin: &Admin, arguments: &[String]) -> Result<BTreeSet<TopicPartition>, Failure> {
    let mut partitions = BTreeSet::new();
    let mut whole = Vec::new();
    for argument in arguments {
        match argument.contains(':') {
            true => partitions.extend(named_partitions(argument).map_err(Failure::Usage)?),
            false => whole.push(argument.clone()),
        }
    }
    for topic in admin.describe_topics(&whole).await.map_err(failed)? {
        ClientError::check(topic.error_code, None).map_err(said)?;
        let name = topic.name.unwrap_or_default();
        let all = topic.partitions.iter().map(|partition| partition.partition_index);
        partitions.extend(all.map(|partition| TopicPartition::new(name.as_str(), partition)));
    }
    check_partitions(admin, &partitions).await?;
    Ok(partitions)
}

/// The partitions of `TOPIC:0,1,2`.
pub(crate) fn named_partitions(argument: &str) -> Result<Vec<TopicPartition>, String> {
    // As Java splits: what is empty at the end does not count.
    let mut parts = argument.trim_end_matches(':').split(':');
    let (Some(topic), Some(partitions), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(format!("Invalid topic arg '{argument}', expected topic name and partitions"));
    };
    let partition = |text: &str| {
        let number = text.parse::<i32>();
        number
            .map(|partition| TopicPartition::new(topic, partition))
            .map_err(|_| format!("Invalid partition '{text}' specified in topic arg '{argument}''"))
    };
    partitions.trim_end_matches(',').split(',').map(partition).collect()
}

/// Which partitions there are in some topics, and which of them have no leader.
pub(crate) struct Topology {
    known: BTreeSet<TopicPartition>,
    leaderless: BTreeSet<TopicPartition>,
}

impl Topology {
    pub(crate) async fn of(
        admin: &Admin,
        partitions: &BTreeSet<TopicPartition>,
    ) -> Result<Topology, Failure> {
        let topics: BTreeSet<&str> = partitions.iter().map(|partition| &*partition.topic).collect();
        let topics: Vec<String> = topics.into_iter().map(str::to_owned).collect();
        let mut topology = Topology { known: BTreeSet::new(), leaderless: BTreeSet::new() };
        for topic in admin.describe_topics(&topics).await.map_err(failed)? {
            ClientError::check(topic.error_code, None).map_err(failed)?;
            let name = topic.name.unwrap_or_default();
            for partition in topic.partitions {
                let at = TopicPartition::new(name.as_str(), partition.partition_index);
                if partition.leader_id < 0 {
                    topology.leaderless.insert(at.clone());
                }
                topology.known.insert(at);
            }
        }
        Ok(topology)
    }

    pub(crate) fn is_leaderless(&self, partition: &TopicPartition) -> bool {
        self.leaderless.contains(partition)
    }
}

/// Refuses partitions that are not there, or have no leader.
pub(crate) async fn check_partitions(
    admin: &Admin,
    partitions: &BTreeSet<TopicPartition>,
) -> Result<(), Failure> {
    let topology = Topology::of(admin, partitions).await?;
    let named = |partitions: Vec<&TopicPartition>| {
        partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    };
    let missing: Vec<_> = partitions.iter().filter(|partition| !topology.known.contains(partition)).collect();
    if !missing.is_empty() {
        return Err(Failure::Failed(format!("The partitions \"{}\" do not exist", named(missing))));
    }
    let leaderless: Vec<_> =
        partitions.iter().filter(|partition| topology.is_leaderless(partition)).collect();
    if !leaderless.is_empty() {
        return Err(Failure::Failed(format!("The partitions \"{}\" have no leader", named(leaderless))));
    }
    Ok(())
}

/// What a group committed.
pub(crate) async fn committed_offsets(admin: &Admin, group: &str) -> Result<Committed, Failure> {
    let mut listed = admin.list_consumer_group_offsets(&[group.to_owned()]).await.map_err(failed)?;
    listed.remove(group).unwrap_or_else(|| Ok(BTreeMap::new())).map_err(failed)
}

/// Where partitions end.
pub(crate) async fn end_offsets(admin: &Admin, partitions: &[TopicPartition]) -> Result<Offsets, Failure> {
    offsets(admin, partitions, OffsetSpec::Latest).await
}

pub(super) async fn offsets(
    admin: &Admin,
    partitions: &[TopicPartition],
    spec: OffsetSpec,
) -> Result<Offsets, Failure> {
    Ok(found_offsets(admin, partitions, spec)
        .await
        .map_err(failed)?
        .into_iter()
        .filter_map(|(at, offset)| Some((at, offset?)))
        .collect())
}

/// The offsets that `spec` asks for; nothing where no record is as late as a time that it names.
pub(crate) async fn found_offsets(
    admin: &Admin,
    partitions: &[TopicPartition],
    spec: OffsetSpec,
) -> Result<BTreeMap<TopicPartition, Option<i64>>, ClientError> {
    let asked: Vec<_> = partitions.iter().map(|partition| (partition.clone(), spec)).collect();
    let mut found = BTreeMap::new();
    for (at, answer) in admin.list_offsets(&asked, IsolationLevel::ReadUncommitted).await? {
        found.insert(at, answer?.map(|found| found.offset));
    }
    Ok(found)
}

/// The first offsets at or after a time; the end where no record is as late.
pub(super) async fn at_time(
    admin: &Admin,
    partitions: &[TopicPartition],
    timestamp: i64,
) -> Result<Offsets, Failure> {
    let mut found = Offsets::new();
    let mut empty = Vec::new();
    for (at, offset) in
        found_offsets(admin, partitions, OffsetSpec::Timestamp(timestamp)).await.map_err(failed)?
    {
        match offset {
            Some(offset) => drop(found.insert(at, offset)),
            None => empty.push(at),
        }
    }
    for at in &empty {
        println!(
            "\nWarn: Partition {} from topic {} is empty. Falling back to latest known offset.",
            at.partition, at.topic
        );
    }
    found.extend(end_offsets(admin, &empty).await?);
    Ok(found)
}

/// The same offsets, or the nearest that the partitions have.
pub(super) async fn in_range(admin: &Admin, wanted: Offsets) -> Result<Offsets, Failure> {
    let partitions: Vec<TopicPartition> = wanted.keys().cloned().collect();
    let starts = offsets(admin, &partitions, OffsetSpec::Earliest).await?;
    let ends = end_offsets(admin, &partitions).await?;
    let clamp = |(at, offset): (TopicPartition, i64)| {
        let (start, end) = (starts.get(&at).copied(), ends.get(&at).copied());
        let offset = if let Some(end) = end.filter(|end| offset > *end) {
            tracing::warn!(
                "New offset ({offset}) is higher than latest offset for topic partition {at}. Value will be set to {end}"
            );
            end
        } else if let Some(start) = start.filter(|start| offset < *start) {
            tracing::warn!(
                "New offset ({offset}) is lower than earliest offset for topic partition {at}. Value will be set to \
                 {start}"
            );
            start
        } else {
            offset
        };
        (at, offset)
    };
    Ok(wanted.into_iter().map(clamp).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_a_topic_are_read() {
        let two = named_partitions("t:0,12").unwrap();
        assert_eq!(two, [TopicPartition::new("t", 0), TopicPartition::new("t", 12)]);
        assert_eq!(
            named_partitions("t:x").unwrap_err(),
            "Invalid partition 'x' specified in topic arg 't:x''"
        );
        assert_eq!(
            named_partitions("t:0:1").unwrap_err(),
            "Invalid topic arg 't:0:1', expected topic name and partitions"
        );
        assert!(named_partitions("t:").is_err());
    }
}
