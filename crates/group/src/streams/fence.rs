//! Members that go: by themselves, or because nothing is heard of them.

use std::sync::Arc;

use common::ErrorCode;
use protocol::messages::{StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse};

use super::target::Computation;
use super::tasks::TasksTupleWithEpochs;
use super::{StreamsGroup, StreamsGroupHeartbeatResult, StreamsGroupMember, topics};
use crate::consumer::{LEAVE_GROUP_STATIC_MEMBER_EPOCH, Refusal};
use crate::shard::TimerKey;
use crate::{Ctx, GroupResult, GroupShard};

impl GroupShard {
    pub(super) fn streams_group_leave(
        &mut self,
        request: &StreamsGroupHeartbeatRequest,
        ctx: &mut Ctx<'_>,
    ) -> Result<GroupResult<StreamsGroupHeartbeatResult>, Refusal> {
        let not_found = match self.groups.get(&request.group_id) {
            Some(_) => format!("Group {} is not a streams group.", request.group_id),
            None => format!("Group {} not found.", request.group_id),
        };
        let Some(group) = self.groups.streams_mut(&request.group_id) else {
            return Err(Refusal::new(ErrorCode::GroupIdNotFound, not_found));
        };
        let instance_id = request.instance_id.as_deref();
        let member = group.members.known(&request.group_id, &request.member_id, instance_id)?;
        let member_id = Arc::clone(&member.member_id);
        let left_for_a_while = (request.instance_id.is_some()
            && request.member_epoch == LEAVE_GROUP_STATIC_MEMBER_EPOCH)
            .then(|| left_for_a_while(member));
        let response = StreamsGroupHeartbeatResult::from(StreamsGroupHeartbeatResponse {
            member_id: member_id.to_string(),
            member_epoch: request.member_epoch,
            status: Some(Vec::new()),
            ..Default::default()
        });
        if request.shutdown_application {
            group.request_shutdown(&member_id);
        }
        if let Some(member) = left_for_a_while {
            tracing::info!("static member {member_id} left streams group {} for a while", group.group_id);
            return Ok(GroupResult::new(vec![group.records().current(&member)], response));
        }
        tracing::info!("member {member_id} left streams group {}", group.group_id);
        Ok(group.fence(&member_id, ctx).map(|()| response))
    }

    /// Removes a member of whom nothing was heard. Not an error if it is gone already.
    pub(crate) fn fence_streams_member(
        &self,
        group_id: &str,
        member_id: &Arc<str>,
        reason: &str,
        ctx: &mut Ctx<'_>,
    ) -> GroupResult<()> {
        match self.groups.streams(group_id) {
            Some(group) if group.members.contains_key(member_id) => {
                tracing::info!("member {member_id} of streams group {group_id} is removed: {reason}");
                group.fence(member_id, ctx)
            }
            _ => GroupResult::read(()),
        }
    }

    /// The delay of a group's first assignment is over.
    pub(crate) fn initial_rebalance_delay_over(&self, group_id: &str, ctx: &mut Ctx<'_>) -> GroupResult<()> {
        let Some(group) = self.groups.streams(group_id) else { return GroupResult::read(()) };
        if group.members.is_empty() || group.group_epoch <= group.assignment_epoch {
            return GroupResult::read(());
        }
        // Divergence: Kafka does nothing if only one heartbeat has come, after which it does not know the topics yet, and so
        // the first assignment comes with the next.
        let configured = match (&group.memory.configured, &group.topology) {
            (Some(configured), _) => Arc::clone(configured),
            (None, Some(topology)) => match topics::configure(topology, &*self.env.topics().image) {
                Ok(configured) => Arc::new(configured),
                Err(_) => return GroupResult::read(()),
            },
            (None, None) => return GroupResult::read(()),
        };
        let mut records = Vec::new();
        let how = Computation {
            group_epoch: group.group_epoch,
            configured: &configured,
            configs: &group.last_assignment_configs,
            updated: None,
            replaced: None,
            told: None,
            now_ms: ctx.now_ms,
        };
        group.compute_target(&how, &mut records);
        GroupResult::new(records, ())
    }
}

impl StreamsGroup {
    /// Somebody asks for the end of the application.
    pub(crate) fn request_shutdown(&mut self, member_id: &Arc<str>) {
        if self.memory.shutdown_requested_by.is_none() {
            tracing::info!(
                "member {member_id} asks for the end of the application of group {}",
                self.group_id
            );
            self.memory.shutdown_requested_by = Some(Arc::clone(member_id));
        }
    }

    fn fence(&self, member_id: &Arc<str>, ctx: &mut Ctx<'_>) -> GroupResult<()> {
        let make = self.records();
        let mut records = Vec::new();
        make.remove_member(member_id, &mut records);
        let group_epoch = self.group_epoch.wrapping_add(1);
        records.push(self.record_in_epoch(group_epoch));
        if self.members.len() == 1 {
            // Nobody is left to be assigned anything. Without a time, so that who comes next need not wait.
            records.push(make.target_metadata(Some((group_epoch, 0))));
        }
        ctx.cancel(&TimerKey::session(&self.group_id, member_id));
        ctx.cancel(&TimerKey::rebalance(&self.group_id, member_id));
        GroupResult::new(records, ())
    }
}

/// A static member that will be back has its tasks until its session is over.
fn left_for_a_while(member: &StreamsGroupMember) -> StreamsGroupMember {
    let active = member.assigned.active.iter();
    let assigned = TasksTupleWithEpochs {
        active: active
            .map(|(id, partitions)| {
                (id.clone(), partitions.keys().map(|partition| (*partition, 0)).collect())
            })
            .collect(),
        standby: member.assigned.standby.clone(),
        warmup: member.assigned.warmup.clone(),
    };
    StreamsGroupMember {
        member_epoch: LEAVE_GROUP_STATIC_MEMBER_EPOCH,
        assigned: Arc::new(assigned),
        pending_revocation: Arc::default(),
        ..member.clone()
    }
}
