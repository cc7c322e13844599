//! What can be said of requests without looking at their group.

use common::ErrorCode;
use protocol::messages::StreamsGroupHeartbeatRequest;
use protocol::messages::streams_group_heartbeat_request::{TaskOffset, Topology};

use super::group::TaskOffsets;
use crate::consumer::{LEAVE_GROUP_STATIC_MEMBER_EPOCH, Refusal};

/// Divergence: Kafka keeps in memory whatever a member says that it has of tasks. These are more than a topology may have.
const MAX_TASK_OFFSETS: usize = super::topics::MAX_TASKS as usize;

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}

/// Checks a heartbeat.
///
/// # Errors
/// INVALID_REQUEST, STREAMS_INVALID_TOPOLOGY.
pub(crate) fn validate_heartbeat(request: &StreamsGroupHeartbeatRequest) -> Result<(), Refusal> {
    if let Some(topology) = &request.topology
        && topology.subtopologies.iter().any(|subtopology| !subtopology.source_topic_regex.is_empty())
    {
        // Kafka 4.4 serves none either, and says so in these words.
        return Err(invalid("Regular expressions for source topics are not supported yet."));
    }
    let is_blank = |text: &str| text.trim().is_empty();
    for (text, name) in [
        (Some(request.member_id.as_str()), "MemberId"),
        (Some(request.group_id.as_str()), "GroupId"),
        (request.instance_id.as_deref(), "InstanceId"),
        (request.rack_id.as_deref(), "RackId"),
    ] {
        if text.is_some_and(is_blank) {
            return Err(invalid(format!("{name} can't be empty.")));
        }
    }
    let owned = [&request.active_tasks, &request.standby_tasks, &request.warmup_tasks];
    if request.member_epoch == 0 {
        if request.rebalance_timeout_ms == -1 {
            return Err(invalid("RebalanceTimeoutMs must be provided in first request."));
        }
        for (tasks, name) in owned.into_iter().zip(["ActiveTasks", "StandbyTasks", "WarmupTasks"]) {
            if tasks.as_ref().is_none_or(|tasks| !tasks.is_empty()) {
                return Err(invalid(format!("{name} must be empty when (re-)joining.")));
            }
        }
        match &request.topology {
            None => return Err(invalid("Topology must be non-null when (re-)joining.")),
            Some(topology) => validate_topology(topology)?,
        }
    } else if request.member_epoch == LEAVE_GROUP_STATIC_MEMBER_EPOCH && request.instance_id.is_none() {
        return Err(invalid("InstanceId can't be null."));
    } else if request.member_epoch < LEAVE_GROUP_STATIC_MEMBER_EPOCH {
        return Err(invalid(format!(
            "MemberEpoch is {}, but must be greater than or equal to -2.",
            request.member_epoch
        )));
    }
    if owned.iter().any(|tasks| tasks.is_some()) && owned.iter().any(|tasks| tasks.is_none()) {
        return Err(invalid("If one task-type is non-null, all must be non-null."));
    }
    if request.member_epoch != 0 && request.topology.is_some() {
        return Err(invalid("Topology can only be provided when (re-)joining."));
    }
    Ok(())
}

fn validate_topology(topology: &Topology) -> Result<(), Refusal> {
    let refuse = |message| Err(Refusal::new(ErrorCode::StreamsInvalidTopology, message));
    let mut ids = std::collections::BTreeSet::new();
    for subtopology in &topology.subtopologies {
        if let Some(topic) = subtopology.state_changelog_topics.iter().find(|topic| topic.partitions != 0) {
            return refuse(format!(
                "Changelog topic {} must have an undefined partition count, but it is set to {}.",
                topic.name, topic.partitions
            ));
        }
        if !ids.insert(subtopology.subtopology_id.as_str()) {
            return refuse(format!("Subtopology {} is there twice.", subtopology.subtopology_id));
        }
    }
    if topology.epoch < 0 {
        return refuse("Topology epoch must be non-negative.".to_owned());
    }
    Ok(())
}

/// Offsets of tasks as a member tells them.
///
/// # Errors
/// INVALID_REQUEST for a task that is there twice, or too many.
pub(crate) fn task_offsets(told: Vec<TaskOffset>) -> Result<TaskOffsets, Refusal> {
    if told.len() > MAX_TASK_OFFSETS {
        return Err(invalid(format!("There are offsets of more than {MAX_TASK_OFFSETS} tasks.")));
    }
    let mut offsets = TaskOffsets::new();
    for TaskOffset { subtopology_id, partition, offset } in told {
        let task = (subtopology_id, partition);
        if offsets.contains_key(&task) {
            return Err(invalid(format!(
                "Task offsets contain a duplicate entry for subtopology {} and partition {partition}.",
                task.0
            )));
        }
        offsets.insert(task, offset);
    }
    Ok(offsets)
}

/// What whoever sends a description of a topology (KIP-1331) hears: it is for a plug-in, of which there is none.
pub(crate) fn no_description_plugin() -> Refusal {
    Refusal::new(
        ErrorCode::UnsupportedVersion,
        "The broker has no streams group topology description plugin configured.",
    )
}
