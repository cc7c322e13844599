//! `--describe`: offsets and lag, members with their tasks, and states.

use std::collections::{BTreeMap, BTreeSet};

use client::admin::{
    GroupState, OffsetSpec, StreamsGroupDescription, StreamsGroupMemberAssignment,
    StreamsGroupMemberDescription, StreamsGroupTaskIds,
};
use client::{Admin, ClientError};
use common::{ErrorCode, TopicPartition};

use super::{KIND, offsets};
use crate::commands::group_tool::{
    Failure, GroupOptions, NOTHING, offsets as partitions, print_error, thrown,
};

pub(super) async fn describe(options: &GroupOptions, admin: &Admin) -> Result<(), Failure> {
    for id in options.groups(&KIND, admin).await? {
        let group = one(admin, &id).await.map_err(thrown)?;
        if options.members {
            print_members(&group, options.verbose);
        } else if options.state.is_some() {
            print_state(&group, options.verbose);
        } else {
            print_offsets(&group, &rows(admin, &group).await?, options.verbose);
        }
    }
    Ok(())
}

/// Describes one group.
pub(super) async fn one(admin: &Admin, id: &str) -> Result<StreamsGroupDescription, ClientError> {
    let described = admin.describe_streams_groups(&[id.to_owned()]).await?;
    let missing = || Err(ClientError::api(ErrorCode::GroupIdNotFound, None));
    described.into_values().next().unwrap_or_else(missing)
}

/// Says what is special about a group's state.
fn print_special_state(group: &StreamsGroupDescription) {
    let id = &group.group_id;
    match group.state {
        GroupState::Dead => print_error(&format!("Streams group '{id}' does not exist.")),
        GroupState::Empty => print_error(&format!("Streams group '{id}' has no active members.")),
        _ => {}
    }
}

/// Whether there is anything to say of the group's members. As in Kafka's tool, nothing at all is said of one without.
fn has_members(group: &StreamsGroupDescription) -> bool {
    group.state != GroupState::Dead && !group.members.is_empty()
}

/// A partition that a member's active task reads.
struct Row {
    partition: TopicPartition,
    current_offset: Option<i64>,
    leader_epoch: Option<i32>,
    log_end_offset: i64,
    lag: i64,
}

/// The partitions that the active tasks of the group's members read.
///
/// Divergence: they are in order; Kafka's tool has them in the order of a hash map.
async fn rows(admin: &Admin, group: &StreamsGroupDescription) -> Result<Vec<Row>, Failure> {
    let mut read = BTreeSet::new();
    for tasks in group.members.iter().flat_map(|member| &member.assignment.active_tasks) {
        let part = group.subtopologies.iter().find(|part| part.subtopology_id == tasks.subtopology_id);
        let Some(part) = part else {
            let id = &tasks.subtopology_id;
            return Err(Failure::Usage(format!("Subtopology {id} not found in group description!")));
        };
        let internal = part.repartition_source_topics.iter().map(|topic| &topic.name);
        for topic in part.source_topics.iter().chain(internal) {
            read.extend(tasks.partitions.iter().map(|index| TopicPartition::new(topic.as_str(), *index)));
        }
    }
    let list: Vec<TopicPartition> = read.into_iter().collect();
    let starts = partitions::found_offsets(admin, &list, OffsetSpec::Earliest).await.map_err(thrown)?;
    let ends = partitions::found_offsets(admin, &list, OffsetSpec::Latest).await.map_err(thrown)?;
    let committed = offsets::committed(admin, &group.group_id).await?;
    let known = |offsets: &BTreeMap<TopicPartition, Option<i64>>, at: &TopicPartition| {
        offsets.get(at).copied().flatten()
    };
    let row = |partition: TopicPartition| {
        let committed = committed.get(&partition);
        let end = known(&ends, &partition).unwrap_or(0);
        let current = committed.map(|committed| committed.offset);
        let from = current.or_else(|| known(&starts, &partition)).unwrap_or(0);
        Row {
            current_offset: current,
            leader_epoch: committed.and_then(|committed| committed.leader_epoch),
            log_end_offset: end,
            lag: end.wrapping_sub(from),
            partition,
        }
    };
    Ok(list.into_iter().map(row).collect())
}

fn widest<'a>(least: usize, texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or(0).max(least)
}

fn print_offsets(group: &StreamsGroupDescription, rows: &[Row], verbose: bool) {
    if !has_members(group) {
        return;
    }
    print_special_state(group);
    let group_width = group.group_id.chars().count().max(15);
    let topic_width = widest(15, rows.iter().map(|row| &*row.partition.topic));
    let print = |columns: [&str; 7]| {
        let [id, topic, partition, current, epoch, end, lag] = columns;
        print!("{id:<group_width$} {topic:<topic_width$} {partition:<10} ");
        match verbose {
            true => println!("{current:<15} {epoch:<15} {end:<15} {lag:<15}"),
            false => println!("{lag}"),
        }
    };
    print(["GROUP", "TOPIC", "PARTITION", "CURRENT-OFFSET", "LEADER-EPOCH", "LOG-END-OFFSET", "OFFSET-LAG"]);
    let number = |number: Option<i64>| number.map_or_else(|| NOTHING.to_owned(), |number| number.to_string());
    for row in rows {
        print([
            &group.group_id,
            &row.partition.topic,
            &row.partition.partition.to_string(),
            &number(row.current_offset),
            &number(row.leader_epoch.map(i64::from)),
            &row.log_end_offset.to_string(),
            &row.lag.to_string(),
        ]);
    }
}

/// `ACTIVE: 0:[0,1]; STANDBY: 1:[2]; `.
fn tasks(assignment: &StreamsGroupMemberAssignment, prefix: &str) -> String {
    let mut text = String::new();
    for (name, tasks) in [
        ("ACTIVE", &assignment.active_tasks),
        ("STANDBY", &assignment.standby_tasks),
        ("WARMUP", &assignment.warmup_tasks),
    ] {
        if !tasks.is_empty() {
            text.push_str(&format!("{prefix}{name}: "));
        }
        for StreamsGroupTaskIds { subtopology_id, partitions } in tasks {
            let partitions: Vec<String> = partitions.iter().map(i32::to_string).collect();
            text.push_str(&format!("{subtopology_id}:[{}]; ", partitions.join(",")));
        }
    }
    text
}

fn print_members(group: &StreamsGroupDescription, verbose: bool) {
    if !has_members(group) {
        return;
    }
    print_special_state(group);
    let members = || group.members.iter();
    let group_width = group.group_id.chars().count().max(15);
    let id_width = widest(15, members().map(|member| member.member_id.as_str()));
    let process_width = widest(15, members().map(|member| member.process_id.as_str()));
    let client_width = widest(15, members().map(|member| member.client_id.as_str()));
    let print = |columns: [&str; 9]| {
        let [id, target_epoch, topology_epoch, member, protocol, epoch, process, client, tasks] = columns;
        print!("{id:<group_width$} ");
        match verbose {
            // Nothing stands between the third column and the fourth in Kafka's tool.
            true => {
                print!(
                    "{target_epoch:<25} {topology_epoch:<15}{member:<id_width$} {protocol:<15} {epoch:<15} "
                );
            }
            false => print!("{member:<id_width$} "),
        }
        println!("{process:<process_width$} {client:<client_width$} {tasks}");
    };
    print([
        "GROUP",
        "TARGET-ASSIGNMENT-EPOCH",
        "TOPOLOGY-EPOCH",
        "MEMBER",
        "MEMBER-PROTOCOL",
        "MEMBER-EPOCH",
        "PROCESS",
        "CLIENT-ID",
        "ASSIGNMENTS",
    ]);
    let assignments = |member: &StreamsGroupMemberDescription| {
        let mut text = tasks(&member.assignment, "");
        if verbose {
            text.push_str(&tasks(&member.target_assignment, "TARGET-"));
        }
        text
    };
    for member in members() {
        print([
            &group.group_id,
            &group.target_assignment_epoch.to_string(),
            &group.topology_epoch.unwrap_or(0).to_string(),
            &member.member_id,
            if member.is_classic { "classic" } else { "streams" },
            &member.member_epoch.to_string(),
            &member.process_id,
            &member.client_id,
            &assignments(member),
        ]);
    }
}

fn print_state(group: &StreamsGroupDescription, verbose: bool) {
    print_special_state(group);
    let node = &group.coordinator;
    let coordinator = format!("{}:{} ({})", node.host, node.port, node.id);
    let coordinator_width = coordinator.chars().count().max(25);
    let group_width = group.group_id.chars().count().max(15);
    let print = |columns: [&str; 6]| {
        let [id, coordinator, state, epoch, target_epoch, members] = columns;
        print!("{id:<group_width$} {coordinator:<coordinator_width$} {state:<25} ");
        if verbose {
            print!("{epoch:<15} {target_epoch:<25} ");
        }
        println!("{members}");
    };
    print(["GROUP", "COORDINATOR (ID)", "STATE", "GROUP-EPOCH", "TARGET-ASSIGNMENT-EPOCH", "#MEMBERS"]);
    print([
        &group.group_id,
        &coordinator,
        group.state.name(),
        &group.group_epoch.to_string(),
        &group.target_assignment_epoch.to_string(),
        &group.members.len().to_string(),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_told_by_their_kind() {
        let of = |subtopology: &str, partitions: &[i32]| StreamsGroupTaskIds {
            subtopology_id: subtopology.to_owned(),
            partitions: partitions.to_vec(),
        };
        let assignment = StreamsGroupMemberAssignment {
            active_tasks: vec![of("0", &[1, 0]), of("1", &[2])],
            warmup_tasks: vec![of("1", &[3])],
            ..StreamsGroupMemberAssignment::default()
        };
        assert_eq!(tasks(&assignment, ""), "ACTIVE: 0:[1,0]; 1:[2]; WARMUP: 1:[3]; ");
        assert_eq!(tasks(&assignment, "TARGET-"), "TARGET-ACTIVE: 0:[1,0]; 1:[2]; TARGET-WARMUP: 1:[3]; ");
        assert_eq!(tasks(&StreamsGroupMemberAssignment::default(), ""), "");
    }
}
