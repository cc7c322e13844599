//! A member of a streams group (Kafka's `StreamsGroupMember`).

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::messages::streams_group_current_member_assignment_value::{
    StreamsGroupCurrentMemberAssignmentValue, TaskIds,
};
use protocol::messages::streams_group_member_metadata_value::{
    Endpoint, KeyValue, StreamsGroupMemberMetadataValue,
};

use super::tasks::{ActiveTasks, Tasks, TasksTupleWithEpochs, from_ids, to_ids};
use crate::members::Member;

/// How far a member is on its way to its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamsMemberState {
    /// It has what it should have, as far as it was told.
    Stable,
    /// It has to give tasks up before it may go on.
    UnrevokedTasks,
    /// It is in the target's epoch and waits for tasks that others still have.
    UnreleasedTasks,
    /// Written by a later release: it has to begin anew.
    Unknown,
}

impl StreamsMemberState {
    pub(crate) fn code(self) -> i8 {
        match self {
            StreamsMemberState::Stable => 1,
            StreamsMemberState::UnrevokedTasks => 2,
            StreamsMemberState::UnreleasedTasks => 3,
            StreamsMemberState::Unknown => 127,
        }
    }

    pub(crate) fn from_code(code: i8) -> StreamsMemberState {
        match code {
            1 => StreamsMemberState::Stable,
            2 => StreamsMemberState::UnrevokedTasks,
            3 => StreamsMemberState::UnreleasedTasks,
            _ => StreamsMemberState::Unknown,
        }
    }
}

/// A member: one thread of an instance of the application. Copies are cheap: what is large is shared.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamsGroupMember {
    pub(crate) member_id: Arc<str>,
    pub(crate) member_epoch: i32,
    pub(crate) previous_member_epoch: i32,
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) topology_epoch: i32,
    /// The instance of the application: members with the same one share its local state.
    pub(crate) process_id: String,
    /// Where the instance answers interactive queries.
    pub(crate) user_endpoint: Option<Endpoint>,
    pub(crate) client_tags: Arc<BTreeMap<String, String>>,
    pub(crate) state: StreamsMemberState,
    pub(crate) assigned: Arc<TasksTupleWithEpochs>,
    pub(crate) pending_revocation: Arc<TasksTupleWithEpochs>,
}

impl Member for StreamsGroupMember {
    fn id(&self) -> &Arc<str> {
        &self.member_id
    }

    fn instance_id(&self) -> Option<&str> {
        self.instance_id.as_deref()
    }

    fn epoch(&self) -> i32 {
        self.member_epoch
    }

    fn revocation_timeout_ms(&self) -> Option<i32> {
        (self.state == StreamsMemberState::UnrevokedTasks).then_some(self.rebalance_timeout_ms)
    }
}

impl StreamsGroupMember {
    /// A member that nothing is known of.
    pub(crate) fn new(member_id: Arc<str>) -> StreamsGroupMember {
        StreamsGroupMember {
            member_id,
            member_epoch: 0,
            previous_member_epoch: 0,
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            rebalance_timeout_ms: -1,
            topology_epoch: -1,
            process_id: String::new(),
            user_endpoint: None,
            client_tags: Arc::default(),
            state: StreamsMemberState::Stable,
            assigned: Arc::default(),
            pending_revocation: Arc::default(),
        }
    }

    /// Its id.
    pub fn member_id(&self) -> &str {
        &self.member_id
    }

    /// The epoch it is in.
    pub fn member_epoch(&self) -> i32 {
        self.member_epoch
    }

    /// How far it is.
    pub fn state(&self) -> StreamsMemberState {
        self.state
    }

    /// The tasks it has.
    pub fn assigned(&self) -> &TasksTupleWithEpochs {
        &self.assigned
    }

    /// The tasks it has to give up.
    pub fn pending_revocation(&self) -> &TasksTupleWithEpochs {
        &self.pending_revocation
    }

    pub(crate) fn is_reconciled_to(&self, assignment_epoch: i32) -> bool {
        self.state == StreamsMemberState::Stable && self.member_epoch == assignment_epoch
    }

    /// Goes on to an epoch; the one before is remembered, as the answer may be lost.
    pub(crate) fn update_epoch(&mut self, epoch: i32) {
        self.previous_member_epoch = self.member_epoch;
        self.member_epoch = epoch;
    }

    /// Whether something is different on which the assignment of a static member depends.
    pub(crate) fn differs_for_assignment(&self, other: &StreamsGroupMember) -> bool {
        self.topology_epoch != other.topology_epoch
            || self.rack_id != other.rack_id
            || self.client_tags != other.client_tags
            || self.process_id != other.process_id
    }

    pub(crate) fn update_with_metadata(&mut self, value: StreamsGroupMemberMetadataValue) {
        self.instance_id = value.instance_id;
        self.rack_id = value.rack_id;
        self.client_id = value.client_id;
        self.client_host = value.client_host;
        self.rebalance_timeout_ms = value.rebalance_timeout_ms;
        self.topology_epoch = value.topology_epoch;
        self.process_id = value.process_id;
        self.user_endpoint = value.user_endpoint;
        self.client_tags = Arc::new(value.client_tags.into_iter().map(|tag| (tag.key, tag.value)).collect());
    }

    pub(crate) fn update_with_assignment(&mut self, value: StreamsGroupCurrentMemberAssignmentValue) {
        self.member_epoch = value.member_epoch;
        self.previous_member_epoch = value.previous_member_epoch;
        self.state = StreamsMemberState::from_code(value.state);
        self.assigned = Arc::new(TasksTupleWithEpochs {
            active: active_tasks(value.active_tasks, value.member_epoch),
            standby: tasks(&value.standby_tasks),
            warmup: tasks(&value.warmup_tasks),
        });
        self.pending_revocation = Arc::new(TasksTupleWithEpochs {
            active: active_tasks(value.active_tasks_pending_revocation, value.member_epoch),
            standby: tasks(&value.standby_tasks_pending_revocation),
            warmup: tasks(&value.warmup_tasks_pending_revocation),
        });
    }

    pub(crate) fn to_metadata(&self) -> StreamsGroupMemberMetadataValue {
        let tags = self.client_tags.iter();
        StreamsGroupMemberMetadataValue {
            instance_id: self.instance_id.clone(),
            rack_id: self.rack_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            topology_epoch: self.topology_epoch,
            process_id: self.process_id.clone(),
            user_endpoint: self.user_endpoint.clone(),
            client_tags: tags
                .map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() })
                .collect(),
        }
    }

    pub(crate) fn to_assignment(&self) -> StreamsGroupCurrentMemberAssignmentValue {
        let (has, revokes) = (&self.assigned, &self.pending_revocation);
        StreamsGroupCurrentMemberAssignmentValue {
            member_epoch: self.member_epoch,
            previous_member_epoch: self.previous_member_epoch,
            state: self.state.code(),
            active_tasks: active_ids(&has.active),
            standby_tasks: ids(&has.standby),
            warmup_tasks: ids(&has.warmup),
            active_tasks_pending_revocation: active_ids(&revokes.active),
            standby_tasks_pending_revocation: ids(&revokes.standby),
            warmup_tasks_pending_revocation: ids(&revokes.warmup),
        }
    }
}

/// Records of releases before assignment epochs have none: the member's stands for them.
fn active_tasks(ids: Vec<TaskIds>, member_epoch: i32) -> ActiveTasks {
    ids.into_iter()
        .map(|ids| {
            let epochs = ids.assignment_epochs.filter(|epochs| epochs.len() == ids.partitions.len());
            let epochs = epochs.unwrap_or_else(|| vec![member_epoch; ids.partitions.len()]);
            (ids.subtopology_id, ids.partitions.into_iter().zip(epochs).collect())
        })
        .collect()
}

fn tasks(ids: &[TaskIds]) -> Tasks {
    from_ids(ids.iter().map(|ids| (ids.subtopology_id.as_str(), ids.partitions.as_slice())))
}

fn active_ids(tasks: &ActiveTasks) -> Vec<TaskIds> {
    let tasks = tasks.iter();
    tasks
        .map(|(id, partitions)| TaskIds {
            subtopology_id: id.clone(),
            partitions: partitions.keys().copied().collect(),
            assignment_epochs: Some(partitions.values().copied().collect()),
        })
        .collect()
}

fn ids(tasks: &Tasks) -> Vec<TaskIds> {
    to_ids(tasks, |subtopology_id, partitions| TaskIds {
        subtopology_id,
        partitions,
        assignment_epochs: None,
    })
}
