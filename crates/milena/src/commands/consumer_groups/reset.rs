//! `--reset-offsets`: which offsets each scenario gives (`GroupOffsetsResetter`).

use std::collections::{BTreeMap, BTreeSet};

use client::Admin;
use client::admin::{GroupState, OffsetAndMetadata, OffsetSpec};
use client::consumer::IsolationLevel;
use common::{ErrorCode, TopicPartition};

use super::{Arguments, Failure, failed, instant, plan, print_error};

/// Offsets by partition.
type Offsets = BTreeMap<TopicPartition, i64>;

pub(super) async fn reset(arguments: &Arguments, admin: &Admin) -> Result<(), Failure> {
    let groups = arguments.groups(admin).await?;
    let described = admin.describe_consumer_groups(&groups).await.map_err(failed)?;
    let mut all: BTreeMap<String, Offsets> = BTreeMap::new();
    for (group, description) in described {
        let state = match description {
            Ok(description) => description.state,
            // Offsets can be set for a group that is not there yet.
            Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => GroupState::Dead,
            Err(error) => return Err(failed(error)),
        };
        let offsets = match state {
            GroupState::Empty | GroupState::Dead => reset_group(arguments, admin, &group).await?,
            state => {
                print_error(&format!(
                    "Assignments can only be reset if the group '{group}' is inactive, but the current state is {state}."
                ));
                Offsets::new()
            }
        };
        all.insert(group, offsets);
    }
    match arguments.export {
        true => println!("{}", plan::to_csv(&all, arguments.groups.len() == 1)),
        false => print_offsets(&all),
    }
    Ok(())
}

async fn reset_group(arguments: &Arguments, admin: &Admin, group: &str) -> Result<Offsets, Failure> {
    let partitions = partitions_to_reset(arguments, admin, group).await?;
    check_partitions(admin, &partitions).await?;
    let offsets = prepare(arguments, admin, group, &partitions).await?;
    if arguments.execute {
        let wanted =
            offsets.iter().map(|(at, offset)| (at.clone(), OffsetAndMetadata::new(*offset))).collect();
        let said = |error: client::ClientError| Failure::Failed(error.to_string());
        let results = admin.alter_consumer_group_offsets(group, &wanted).await.map_err(said)?;
        results.into_values().collect::<Result<(), _>>().map_err(said)?;
    }
    Ok(offsets)
}

async fn partitions_to_reset(
    arguments: &Arguments,
    admin: &Admin,
    group: &str,
) -> Result<BTreeSet<TopicPartition>, Failure> {
    if arguments.all_topics {
        return Ok(committed_offsets(admin, group).await?.into_keys().collect());
    }
    if arguments.topics.is_empty() {
        return match arguments.from_file {
            Some(_) => Ok(BTreeSet::new()),
            None => Err(Failure::Usage(
                "One of the reset scopes should be defined: --all-topics, --topic.".to_owned(),
            )),
        };
    }
    let mut partitions = BTreeSet::new();
    let mut whole = Vec::new();
    for argument in &arguments.topics {
        match argument.contains(':') {
            true => partitions.extend(named_partitions(argument).map_err(Failure::Usage)?),
            false => whole.push(argument.clone()),
        }
    }
    let said = |error: client::ClientError| Failure::Failed(error.to_string());
    for topic in admin.describe_topics(&whole).await.map_err(failed)? {
        client::ClientError::check(topic.error_code, None).map_err(said)?;
        let name = topic.name.unwrap_or_default();
        let all = topic.partitions.iter().map(|partition| partition.partition_index);
        partitions.extend(all.map(|partition| TopicPartition::new(name.as_str(), partition)));
    }
    Ok(partitions)
}

/// The partitions of `TOPIC:0,1,2`.
pub(super) fn named_partitions(argument: &str) -> Result<Vec<TopicPartition>, String> {
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
pub(super) struct Topology {
    known: BTreeSet<TopicPartition>,
    leaderless: BTreeSet<TopicPartition>,
}

impl Topology {
    pub(super) async fn of(
        admin: &Admin,
        partitions: &BTreeSet<TopicPartition>,
    ) -> Result<Topology, Failure> {
        let topics: BTreeSet<&str> = partitions.iter().map(|partition| &*partition.topic).collect();
        let topics: Vec<String> = topics.into_iter().map(str::to_owned).collect();
        let mut topology = Topology { known: BTreeSet::new(), leaderless: BTreeSet::new() };
        for topic in admin.describe_topics(&topics).await.map_err(failed)? {
            client::ClientError::check(topic.error_code, None).map_err(failed)?;
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

    pub(super) fn is_leaderless(&self, partition: &TopicPartition) -> bool {
        self.leaderless.contains(partition)
    }
}

async fn check_partitions(admin: &Admin, partitions: &BTreeSet<TopicPartition>) -> Result<(), Failure> {
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

/// What the scenario that was chosen makes of the partitions.
async fn prepare(
    arguments: &Arguments,
    admin: &Admin,
    group: &str,
    partitions: &BTreeSet<TopicPartition>,
) -> Result<Offsets, Failure> {
    let list: Vec<TopicPartition> = partitions.iter().cloned().collect();
    if let Some(offset) = arguments.to_offset {
        in_range(admin, list.into_iter().map(|partition| (partition, offset)).collect()).await
    } else if arguments.to_earliest {
        offsets(admin, &list, OffsetSpec::Earliest).await
    } else if arguments.to_latest {
        end_offsets(admin, &list).await
    } else if let Some(shift) = arguments.shift_by {
        let committed = committed_offsets(admin, group).await?;
        let mut shifted = Offsets::new();
        for partition in list {
            let Some(current) = committed.get(&partition) else {
                return Err(Failure::Usage(format!(
                    "Cannot shift offset for partition {partition} since there is no current committed offset"
                )));
            };
            shifted.insert(partition, current.offset.saturating_add(shift));
        }
        in_range(admin, shifted).await
    } else if let Some(text) = &arguments.to_datetime {
        let timestamp = instant::date_time(text).map_err(Failure::Failed)?;
        at_time(admin, &list, timestamp).await
    } else if let Some(text) = &arguments.by_duration {
        let duration = instant::duration_ms(text)
            .ok_or_else(|| Failure::Failed("Text cannot be parsed to a Duration".to_owned()))?;
        at_time(admin, &list, instant::now_ms().saturating_sub(duration)).await
    } else if let Some(file) = &arguments.from_file {
        let single = Some(group).filter(|_| arguments.groups.len() == 1);
        let mut planned = plan::read(file, single).map_err(Failure::Failed)?;
        match planned.remove(group) {
            Some(offsets) => in_range(admin, offsets).await,
            None => {
                print_error(&format!("No reset plan for group {group} found"));
                Ok(Offsets::new())
            }
        }
    } else if arguments.to_current {
        let committed = committed_offsets(admin, group).await?;
        let (with, without): (Vec<_>, Vec<_>) =
            list.into_iter().partition(|partition| committed.contains_key(partition));
        let mut current = end_offsets(admin, &without).await?;
        for partition in with {
            if let Some(committed) = committed.get(&partition) {
                current.insert(partition, committed.offset);
            }
        }
        Ok(current)
    } else {
        Err(Failure::Usage(
            "Option '[reset-offsets]' requires one of the following scenarios: [[to-offset], [shift-by], [to-datetime], \
             [by-duration], [to-earliest], [to-latest], [to-current], [from-file]]"
                .to_owned(),
        ))
    }
}

/// What a group committed.
pub(super) async fn committed_offsets(
    admin: &Admin,
    group: &str,
) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>, Failure> {
    let mut listed = admin.list_consumer_group_offsets(&[group.to_owned()]).await.map_err(failed)?;
    listed.remove(group).unwrap_or_else(|| Ok(BTreeMap::new())).map_err(failed)
}

/// Where partitions end.
pub(super) async fn end_offsets(admin: &Admin, partitions: &[TopicPartition]) -> Result<Offsets, Failure> {
    offsets(admin, partitions, OffsetSpec::Latest).await
}

async fn offsets(admin: &Admin, partitions: &[TopicPartition], spec: OffsetSpec) -> Result<Offsets, Failure> {
    Ok(found_offsets(admin, partitions, spec)
        .await?
        .into_iter()
        .filter_map(|(at, offset)| Some((at, offset?)))
        .collect())
}

async fn found_offsets(
    admin: &Admin,
    partitions: &[TopicPartition],
    spec: OffsetSpec,
) -> Result<BTreeMap<TopicPartition, Option<i64>>, Failure> {
    let asked: Vec<_> = partitions.iter().map(|partition| (partition.clone(), spec)).collect();
    let mut found = BTreeMap::new();
    for (at, answer) in admin.list_offsets(&asked, IsolationLevel::ReadUncommitted).await.map_err(failed)? {
        found.insert(at, answer.map_err(failed)?.map(|found| found.offset));
    }
    Ok(found)
}

/// The first offsets at or after a time; the end where no record is as late.
async fn at_time(admin: &Admin, partitions: &[TopicPartition], timestamp: i64) -> Result<Offsets, Failure> {
    let mut found = Offsets::new();
    let mut empty = Vec::new();
    for (at, offset) in found_offsets(admin, partitions, OffsetSpec::Timestamp(timestamp)).await? {
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
async fn in_range(admin: &Admin, wanted: Offsets) -> Result<Offsets, Failure> {
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

/// Divergence: the rows are in the order of their partitions; Kafka's tool has them in the order of a hash map.
fn print_offsets(all: &BTreeMap<String, Offsets>) {
    let group_width = all.keys().map(|group| group.chars().count()).max().unwrap_or(0).max(15);
    let topics = all.values().flat_map(|offsets| offsets.keys().map(|at| at.topic.chars().count()));
    let topic_width = topics.max().unwrap_or(0).max(15);
    if !all.is_empty() {
        print!("\n{:<group_width$} {:<topic_width$} {:<10} NEW-OFFSET", "GROUP", "TOPIC", "PARTITION");
    }
    for (group, offsets) in all {
        for (at, offset) in offsets {
            print!("\n{group:<group_width$} {:<topic_width$} {:<10} {offset}", at.topic, at.partition);
        }
    }
    println!();
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
