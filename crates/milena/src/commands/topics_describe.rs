//! The table that `topics --describe` prints.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::io::Write;

use client::Admin;
use client::admin::{ConfigEntry, Reassignment, TopicDescription};
use common::TopicPartition;
use protocol::messages::describe_topic_partitions_response::DescribeTopicPartitionsResponsePartition as Partition;

/// What is to be shown.
pub(crate) struct Selection {
    pub(crate) under_replicated: bool,
    pub(crate) unavailable: bool,
    pub(crate) under_min_isr: bool,
    pub(crate) at_min_isr: bool,
    pub(crate) overrides: bool,
    /// The most partitions in one answer.
    pub(crate) page_size: i32,
}

impl Selection {
    /// Whether topics are shown with their configuration, and all partitions.
    fn is_everything(&self) -> bool {
        !(self.under_replicated || self.unavailable || self.under_min_isr || self.at_min_isr)
    }
}

/// Numbers with commas.
pub(crate) fn ids(ids: &[i32]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Prints the topics.
pub(crate) async fn describe(
    admin: &Admin,
    topics: &[String],
    selection: &Selection,
    out: &mut impl Write,
) -> Result<(), String> {
    if topics.is_empty() {
        return Ok(());
    }
    let said = |error: client::ClientError| error.to_string();
    let mut described = admin.describe_topics_in_pages(topics, selection.page_size).await.map_err(said)?;
    described.sort_by(|one, other| one.name.cmp(&other.name));
    let configs = admin.describe_topic_configs(topics).await.map_err(said)?;
    let live: BTreeSet<i32> =
        admin.describe_cluster().await.map_err(said)?.iter().map(|node| node.id).collect();
    // Nothing is moved where the broker cannot say so, or may not tell.
    let reassignments = admin.list_partition_reassignments().await.unwrap_or_default();
    let mut text = String::new();
    for topic in &mut described {
        client::ClientError::check(topic.error_code, None).map_err(said)?;
        topic.partitions.sort_by_key(|partition| partition.partition_index);
        let name = topic.name.as_deref().unwrap_or_default();
        let configs = configs.get(name).map_or(&[][..], Vec::as_slice);
        describe_topic(&mut text, name, topic, configs, &reassignments, &live, selection);
    }
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.to_string()),
        _ => Ok(()),
    }
}

fn describe_topic(
    text: &mut String,
    name: &str,
    topic: &TopicDescription,
    configs: &[ConfigEntry],
    reassignments: &HashMap<TopicPartition, Reassignment>,
    live: &BTreeSet<i32>,
    selection: &Selection,
) {
    let reassignment =
        |partition: &Partition| reassignments.get(&TopicPartition::new(name, partition.partition_index));
    let min_isr = configs.iter().find(|entry| entry.name == "min.insync.replicas");
    let min_isr = min_isr.and_then(|entry| entry.value.as_deref()?.parse::<usize>().ok()).unwrap_or(1);
    let own: Vec<&ConfigEntry> = configs.iter().filter(|entry| !is_default(entry)).collect();
    if selection.is_everything() && (!selection.overrides || !own.is_empty()) {
        let _ = write!(text, "Topic: {name}");
        if !topic.topic_id.is_zero() {
            let _ = write!(text, "\tTopicId: {}", topic.topic_id);
        }
        let replicas =
            topic.partitions.first().map_or(0, |first| replication_factor(first, reassignment(first)));
        let own: Vec<String> = own
            .iter()
            .map(|entry| format!("{}={}", entry.name, entry.value.as_deref().unwrap_or("null")))
            .collect();
        let _ = writeln!(
            text,
            "\tPartitionCount: {}\tReplicationFactor: {replicas}\tConfigs: {}",
            topic.partitions.len(),
            own.join(",")
        );
    }
    if selection.overrides {
        return;
    }
    for partition in &topic.partitions {
        let moving = reassignment(partition);
        let in_sync = partition.isr_nodes.len();
        let has_leader = partition.leader_id >= 0;
        let shown = selection.is_everything()
            || (selection.under_replicated && replication_factor(partition, moving) > in_sync)
            || (selection.unavailable && (!has_leader || !live.contains(&partition.leader_id)))
            || (selection.under_min_isr && (!has_leader || in_sync < min_isr))
            || (selection.at_min_isr && in_sync == min_isr);
        if shown {
            describe_partition(text, name, partition, moving);
        }
    }
}

fn describe_partition(text: &mut String, topic: &str, partition: &Partition, moving: Option<&Reassignment>) {
    let leader = if partition.leader_id >= 0 { partition.leader_id.to_string() } else { "none".to_owned() };
    let _ = write!(
        text,
        "\tTopic: {topic}\tPartition: {}\tLeader: {leader}\tReplicas: {}\tIsr: {}",
        partition.partition_index,
        ids(&partition.replica_nodes),
        ids(&partition.isr_nodes)
    );
    if let Some(moving) = moving {
        let _ = write!(
            text,
            "\tAdding Replicas: {}\tRemoving Replicas: {}",
            ids(&moving.adding),
            ids(&moving.removing)
        );
    }
    let known = |nodes: &Option<Vec<i32>>| nodes.as_deref().map_or_else(|| "N/A".to_owned(), ids);
    let _ = writeln!(
        text,
        "\tElr: {}\tLastKnownElr: {}",
        known(&partition.eligible_leader_replicas),
        known(&partition.last_known_elr)
    );
}

/// Without the replicas that a reassignment adds for now.
fn replication_factor(partition: &Partition, moving: Option<&Reassignment>) -> usize {
    match moving {
        Some(moving)
            if partition
                .replica_nodes
                .iter()
                .any(|id| moving.adding.contains(id) || moving.removing.contains(id)) =>
        {
            moving.replicas.len().saturating_sub(moving.adding.len())
        }
        _ => partition.replica_nodes.len(),
    }
}

/// Whether a value is a default of Kafka's: the source `DEFAULT_CONFIG`.
fn is_default(entry: &ConfigEntry) -> bool {
    const DEFAULT_CONFIG: i8 = 5;
    entry.config_source == DEFAULT_CONFIG
}
