//! What a member says that it has: its tasks, and with them its epoch.

use common::ErrorCode;
use protocol::messages::StreamsGroupHeartbeatRequest;
use protocol::messages::streams_group_heartbeat_request::TaskIds as ReportedTaskIds;

use super::StreamsGroupMember;
use super::tasks::{Tasks, TasksTuple, contains, from_ids};
use super::topics::ConfiguredTopology;
use crate::GroupType;
use crate::consumer::Refusal;
use crate::members::check_epoch;

/// The tasks that a member says it has.
pub(super) struct Reported {
    pub(super) tasks: Option<TasksTuple>,
}

impl Reported {
    pub(super) fn new(request: &StreamsGroupHeartbeatRequest) -> Reported {
        let tasks = |ids: &[ReportedTaskIds]| {
            from_ids(ids.iter().map(|ids| (ids.subtopology_id.as_str(), ids.partitions.as_slice())))
        };
        let (active, standby, warmup) =
            (&request.active_tasks, &request.standby_tasks, &request.warmup_tasks);
        let tasks = match (active, standby, warmup) {
            (Some(active), Some(standby), Some(warmup)) => {
                Some(TasksTuple { active: tasks(active), standby: tasks(standby), warmup: tasks(warmup) })
            }
            _ => None,
        };
        Reported { tasks }
    }

    /// Whether the member says that it has something else than it was given.
    pub(super) fn differs_from(&self, member: &StreamsGroupMember) -> bool {
        self.tasks.as_ref().is_some_and(|tasks| {
            tasks.active != member.assigned.active_tasks()
                || tasks.standby != member.assigned.standby
                || tasks.warmup != member.assigned.warmup
        })
    }

    /// Whether the topology has these tasks.
    pub(super) fn check(&self, configured: &ConfiguredTopology) -> Result<(), Refusal> {
        let Some(tasks) = &self.tasks else { return Ok(()) };
        let invalid = |message| Err(Refusal::new(ErrorCode::InvalidRequest, message));
        for (id, partitions) in tasks.active.iter().chain(&tasks.standby).chain(&tasks.warmup) {
            let Some(subtopology) = configured.subtopologies.as_ref().and_then(|all| all.get(id)) else {
                return invalid(format!("Subtopology {id} does not exist in the topology."));
            };
            let number = subtopology.number_of_tasks;
            if let Some(partition) = partitions.iter().find(|partition| !(0..number).contains(*partition)) {
                return invalid(format!(
                    "Task {partition} for subtopology {id} is invalid. Number of tasks for this subtopology: {number}"
                ));
            }
        }
        Ok(())
    }
}

impl StreamsGroupMember {
    /// See [`crate::members::check_epoch`].
    pub(super) fn check_epoch(&self, request: &StreamsGroupHeartbeatRequest) -> Result<(), Refusal> {
        let has_only = |reported: &Option<Vec<ReportedTaskIds>>, tasks: &Tasks| {
            reported.as_ref().is_some_and(|reported| {
                reported.iter().all(|ids| {
                    tasks.contains_key(&ids.subtopology_id)
                        && ids
                            .partitions
                            .iter()
                            .all(|partition| contains(tasks, &ids.subtopology_id, *partition))
                })
            })
        };
        let has_only_its_own = || {
            has_only(&request.active_tasks, &self.assigned.active_tasks())
                && has_only(&request.standby_tasks, &self.assigned.standby)
                && has_only(&request.warmup_tasks, &self.assigned.warmup)
        };
        let epochs = (self.member_epoch, self.previous_member_epoch);
        check_epoch(GroupType::Streams, request.member_epoch, epochs, has_only_its_own)
    }
}
