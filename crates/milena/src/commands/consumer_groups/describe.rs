//! `--describe`: offsets and lag, members, and states.

use std::collections::{BTreeMap, BTreeSet};

use client::Admin;
use client::admin::{ConsumerGroupDescription, GroupState, MemberDescription, OffsetAndMetadata};
use common::TopicPartition;

use super::{Arguments, KIND};
use crate::commands::group_tool::{Failure, NOTHING, failed, offsets, print_error, thrown};

pub(super) async fn describe(arguments: &Arguments, admin: &Admin) -> Result<(), Failure> {
    let options = &arguments.options;
    let groups = options.groups(&KIND, admin).await?;
    let described = admin.describe_consumer_groups(&groups).await.map_err(failed)?;
    let mut found = Vec::new();
    for (_, description) in described {
        found.push(description.map_err(thrown)?);
    }
    if options.members {
        found.iter().for_each(|group| print_members(group, options.verbose));
    } else if options.state.is_some() {
        found.iter().for_each(|group| print_state(group, options.verbose));
    } else {
        let mut rows = Vec::new();
        for group in &found {
            rows.push(rows_of(admin, group).await?);
        }
        for (group, rows) in found.iter().zip(&rows) {
            print_offsets(group, rows, options.verbose);
        }
    }
    Ok(())
}

/// Says what is special about a group's state; whether there is more to print.
fn print_special_state(group: &ConsumerGroupDescription, rows: usize) -> bool {
    let id = &group.group_id;
    match group.state {
        GroupState::Dead => print_error(&format!("Consumer group '{id}' does not exist.")),
        GroupState::Empty => eprintln!("\nConsumer group '{id}' has no active members."),
        GroupState::PreparingRebalance
        | GroupState::CompletingRebalance
        | GroupState::Assigning
        | GroupState::Reconciling => eprintln!("\nWarning: Consumer group '{id}' is rebalancing."),
        GroupState::Stable | GroupState::Unknown | GroupState::NotReady => {}
    }
    group.state != GroupState::Dead && rows > 0
}

/// A partition that a group has or has an offset of.
struct Row {
    partition: TopicPartition,
    committed: Option<OffsetAndMetadata>,
    log_end_offset: Option<i64>,
    consumer_id: String,
    host: String,
    client_id: String,
}

/// The partitions of a group's members, whoever has most first, and then those that nobody has.
async fn rows_of(admin: &Admin, group: &ConsumerGroupDescription) -> Result<Vec<Row>, Failure> {
    let id = &group.group_id;
    let committed = offsets::committed_offsets(admin, id).await?;
    let mut members: Vec<&MemberDescription> =
        group.members.iter().filter(|member| !member.assignment.is_empty()).collect();
    members.sort_by_key(|member| std::cmp::Reverse(member.assignment.len()));
    let mut rows = Vec::new();
    let mut assigned: BTreeSet<&TopicPartition> = BTreeSet::new();
    for member in members {
        assigned.extend(&member.assignment);
        for (partition, log_end_offset) in end_offsets(admin, member.assignment.iter()).await? {
            rows.push(Row {
                committed: committed.get(&partition).cloned(),
                partition,
                log_end_offset,
                consumer_id: member.member_id.clone(),
                host: member.host.clone(),
                client_id: member.client_id.clone(),
            });
        }
    }
    let left = committed.keys().filter(|partition| !assigned.contains(partition));
    for (partition, log_end_offset) in end_offsets(admin, left).await? {
        rows.push(Row {
            committed: committed.get(&partition).cloned(),
            partition,
            log_end_offset,
            consumer_id: NOTHING.to_owned(),
            host: NOTHING.to_owned(),
            client_id: NOTHING.to_owned(),
        });
    }
    Ok(rows)
}

/// Where partitions end; nothing where there is no leader to say so.
async fn end_offsets(
    admin: &Admin,
    partitions: impl Iterator<Item = &TopicPartition>,
) -> Result<BTreeMap<TopicPartition, Option<i64>>, Failure> {
    let partitions: BTreeSet<TopicPartition> = partitions.cloned().collect();
    let topology = offsets::Topology::of(admin, &partitions).await?;
    let led: Vec<TopicPartition> =
        partitions.iter().filter(|partition| !topology.is_leaderless(partition)).cloned().collect();
    let ends = offsets::end_offsets(admin, &led).await?;
    Ok(partitions
        .into_iter()
        .map(|partition| (ends.get(&partition).copied(), partition))
        .map(|(end, at)| (at, end))
        .collect())
}

fn print_offsets(group: &ConsumerGroupDescription, rows: &[Row], verbose: bool) {
    if !print_special_state(group, rows.len()) {
        return;
    }
    let widest = |least: usize, of: fn(&Row) -> &str| {
        rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0).max(least)
    };
    let group_width = group.group_id.chars().count().max(15);
    let topic_width = widest(15, |row| &row.partition.topic);
    let consumer_width = widest(15, |row| &row.consumer_id);
    let host_width = widest(15, |row| &row.host);
    let print = |columns: [&str; 10]| {
        let [id, topic, partition, epoch, current, end, lag, consumer, host, client] = columns;
        print!("\n{id:<group_width$} {topic:<topic_width$} {partition:<10} ");
        if verbose {
            print!("{epoch:<15} ");
        }
        print!("{current:<15} {end:<15} {lag:<15} {consumer:<consumer_width$} {host:<host_width$} {client}");
    };
    print([
        "GROUP",
        "TOPIC",
        "PARTITION",
        "LEADER-EPOCH",
        "CURRENT-OFFSET",
        "LOG-END-OFFSET",
        "LAG",
        "CONSUMER-ID",
        "HOST",
        "CLIENT-ID",
    ]);
    let number = |number: Option<i64>| number.map_or_else(|| NOTHING.to_owned(), |number| number.to_string());
    for row in rows {
        let offset = row.committed.as_ref().map(|committed| committed.offset);
        let epoch = row.committed.as_ref().and_then(|committed| committed.leader_epoch).map(i64::from);
        let lag = offset.zip(row.log_end_offset).map(|(offset, end)| end.wrapping_sub(offset));
        print([
            &group.group_id,
            &row.partition.topic,
            &row.partition.partition.to_string(),
            &number(epoch),
            &number(offset),
            &number(row.log_end_offset),
            &number(lag),
            &row.consumer_id,
            &row.host,
            &row.client_id,
        ]);
    }
    println!();
}

/// `topic:0,1;other:0`.
fn assignment(partitions: &BTreeSet<TopicPartition>) -> String {
    let mut topics: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition.to_string());
    }
    let topics: Vec<String> =
        topics.into_iter().map(|(topic, partitions)| format!("{topic}:{}", partitions.join(","))).collect();
    if topics.is_empty() { NOTHING.to_owned() } else { topics.join(";") }
}

fn print_members(group: &ConsumerGroupDescription, verbose: bool) {
    let members = &group.members;
    // As in Kafka's tool, the columns' names are there without a row too.
    print_special_state(group, members.len());
    let instance = |member: &MemberDescription| member.group_instance_id.clone().unwrap_or_default();
    let target = |member: &MemberDescription| {
        member.target_assignment.as_ref().map_or_else(|| NOTHING.to_owned(), assignment)
    };
    let widest = |least: usize, of: &dyn Fn(&MemberDescription) -> String| {
        members.iter().map(|member| of(member).chars().count()).max().unwrap_or(0).max(least)
    };
    let group_width = group.group_id.chars().count().max(15);
    let id_width = widest(15, &|member| member.member_id.clone());
    let instance_width = widest(17, &instance);
    let host_width = widest(15, &|member| member.host.clone());
    let client_width = widest(15, &|member| member.client_id.clone());
    let current_width = widest(20, &|member| assignment(&member.assignment));
    let target_width = widest(20, &target);
    let with_instance = members.iter().any(|member| !instance(member).is_empty());
    let any = |upgraded: bool| members.iter().any(|member| member.upgraded == Some(upgraded));
    let mixed = any(true) && any(false);
    let print = |columns: [&str; 11]| {
        let [id, member, instance, host, client, count, epoch, current, target_epoch, target, upgraded] =
            columns;
        print!("{id:<group_width$} {member:<id_width$} ");
        if with_instance {
            print!("{instance:<instance_width$} ");
        }
        print!("{host:<host_width$} {client:<client_width$} {count:<15} ");
        if verbose {
            print!("{epoch:<15} {current:<current_width$} {target_epoch:<15} {target:<target_width$}");
            if mixed {
                print!(" {upgraded}");
            }
        }
        println!();
    };
    println!();
    print([
        "GROUP",
        "CONSUMER-ID",
        "GROUP-INSTANCE-ID",
        "HOST",
        "CLIENT-ID",
        "#PARTITIONS",
        "CURRENT-EPOCH",
        "CURRENT-ASSIGNMENT",
        "TARGET-EPOCH",
        "TARGET-ASSIGNMENT",
        "UPGRADED",
    ]);
    let number = |number: Option<i32>| number.map_or_else(|| NOTHING.to_owned(), |number| number.to_string());
    for member in members {
        print([
            &group.group_id,
            &member.member_id,
            &instance(member),
            &member.host,
            &member.client_id,
            &member.assignment.len().to_string(),
            &number(member.member_epoch),
            &assignment(&member.assignment),
            &number(group.target_assignment_epoch),
            &target(member),
            &member.upgraded.map_or_else(|| NOTHING.to_owned(), |upgraded| upgraded.to_string()),
        ]);
    }
}

fn print_state(group: &ConsumerGroupDescription, verbose: bool) {
    if !print_special_state(group, 1) {
        return;
    }
    let node = &group.coordinator;
    let coordinator = format!("{}:{}  ({})", node.host, node.port, node.id);
    let coordinator_width = coordinator.chars().count().max(25);
    let group_width = group.group_id.chars().count().max(15);
    let strategy = Some(group.partition_assignor.as_str()).filter(|name| !name.is_empty()).unwrap_or(NOTHING);
    let number = |number: Option<i32>| number.map_or_else(|| NOTHING.to_owned(), |number| number.to_string());
    let print = |columns: [&str; 7]| {
        let [id, coordinator, strategy, state, epoch, target_epoch, members] = columns;
        print!("\n{id:<group_width$} {coordinator:<coordinator_width$} {strategy:<20} {state:<20} ");
        if verbose {
            print!("{epoch:<15} {target_epoch:<25} ");
        }
        print!("{members}");
    };
    print([
        "GROUP",
        "COORDINATOR (ID)",
        "ASSIGNMENT-STRATEGY",
        "STATE",
        "GROUP-EPOCH",
        "TARGET-ASSIGNMENT-EPOCH",
        "#MEMBERS",
    ]);
    print([
        &group.group_id,
        &coordinator,
        strategy,
        group.state.name(),
        &number(group.group_epoch),
        &number(group.target_assignment_epoch),
        &group.members.len().to_string(),
    ]);
    println!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_topics_and_partitions() {
        let partitions =
            [("b", 0), ("a", 10), ("a", 2)].map(|(topic, partition)| TopicPartition::new(topic, partition));
        assert_eq!(assignment(&partitions.into_iter().collect()), "a:2,10;b:0");
        assert_eq!(assignment(&BTreeSet::new()), "-");
    }
}
