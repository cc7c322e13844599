//! The membership APIs on one partition: finds the group, or makes it.

use std::sync::Arc;

use common::ErrorCode;
use protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse,
};

use crate::classic::{ClassicGroup, sync_error};
use crate::{Ctx, Group, GroupResult, GroupShard, Reply, RequestContext};

fn join_error(member_id: String, error: ErrorCode) -> JoinGroupResponse {
    JoinGroupResponse { member_id, error_code: error.code(), ..Default::default() }
}

impl GroupShard {
    /// JoinGroup. The reply is given here, or parked in the group.
    pub(crate) fn join_group(
        &mut self,
        client: &RequestContext,
        request: JoinGroupRequest,
        reply: Reply<JoinGroupResponse>,
        ctx: &mut Ctx<'_>,
    ) -> GroupResult<()> {
        let env = Arc::clone(&self.env);
        let refuse = |reply: Reply<JoinGroupResponse>, member_id: String, error| {
            reply(join_error(member_id, error));
            GroupResult::read(())
        };
        match self.groups.get_mut(&request.group_id) {
            Some(Group::Classic(group)) => return group.join(client, request, reply, &env, ctx),
            Some(Group::Streams(group)) if group.members().len() == 0 => {}
            // One with members is joined elsewhere.
            Some(Group::Consumer(_)) => {}
            Some(Group::Streams(_) | Group::Modern(_)) => {
                return refuse(reply, String::new(), ErrorCode::InconsistentGroupProtocol);
            }
            None => {}
        }
        if !request.member_id.is_empty() {
            return refuse(reply, request.member_id, ErrorCode::UnknownMemberId);
        }

        // A new group, perhaps in place of an empty one of another protocol, which ends.
        let group_id: Arc<str> = Arc::from(request.group_id.as_str());
        let mut records = Vec::new();
        if let Some(before) = self.groups.get(&group_id) {
            before.tombstones(&group_id, &mut records);
        }
        let mut group = ClassicGroup::new(Arc::clone(&group_id), ctx.now_ms);
        let record = group.to_new_group_record();
        // The members of a group that nobody has joined wait for its delay, so there is nothing else to write.
        let decided = group.join(client, request, reply, &env, ctx);
        debug_assert!(decided.is_read());
        records.push(record);
        let before = self.groups.insert(Arc::clone(&group_id), Group::Classic(Box::new(group)));
        GroupResult::with_callback(
            records,
            (),
            Box::new(move |shard, ctx, result| {
                let Err(error) = result else { return };
                tracing::warn!("new group {group_id} could not be stored: {error}");
                // Forget it, and have whoever joined meanwhile ask again.
                let is_new = shard.groups.classic(&group_id).is_some_and(|group| group.generation_id() == 0);
                if !is_new {
                    return;
                }
                if let Some(Group::Classic(mut group)) = shard.groups.remove(&group_id) {
                    group.cancel_timers(ctx);
                    group.fail_all(error);
                }
                if let Some(before) = before {
                    shard.groups.insert(group_id, before);
                }
            }),
        )
    }

    /// SyncGroup. The reply is given here, or parked in the group.
    pub(crate) fn sync_group(
        &mut self,
        request: SyncGroupRequest,
        reply: Reply<SyncGroupResponse>,
        ctx: &mut Ctx<'_>,
    ) -> GroupResult<()> {
        let env = Arc::clone(&self.env);
        match self.groups.get_mut(&request.group_id) {
            Some(Group::Classic(group)) => group.sync(request, reply, &env, ctx),
            Some(Group::Consumer(_)) => {
                reply(self.sync_consumer_group(&request, ctx).unwrap_or_else(sync_error));
                GroupResult::read(())
            }
            _ => {
                reply(sync_error(ErrorCode::UnknownMemberId));
                GroupResult::read(())
            }
        }
    }

    /// Heartbeat.
    pub(crate) fn heartbeat(
        &self,
        request: &HeartbeatRequest,
        ctx: &mut Ctx<'_>,
    ) -> GroupResult<HeartbeatResponse> {
        let outcome = match self.groups.get(&request.group_id) {
            Some(Group::Consumer(_)) => self.heartbeat_consumer_group(request, ctx),
            Some(Group::Classic(group)) => group.heartbeat(
                &request.member_id,
                request.group_instance_id.as_deref(),
                request.generation_id,
                ctx,
            ),
            _ => Err(ErrorCode::UnknownMemberId),
        };
        let error = outcome.err().unwrap_or(ErrorCode::None);
        GroupResult::read(HeartbeatResponse { error_code: error.code(), ..Default::default() })
    }

    /// LeaveGroup.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID when there is no such group.
    pub(crate) fn leave_group(
        &mut self,
        request: &LeaveGroupRequest,
        ctx: &mut Ctx<'_>,
    ) -> Result<GroupResult<LeaveGroupResponse>, ErrorCode> {
        let env = Arc::clone(&self.env);
        match self.groups.get_mut(&request.group_id) {
            Some(Group::Classic(group)) => Ok(group.leave(&request.members, &env, ctx)),
            Some(Group::Consumer(_)) => self.leave_consumer_group(request, ctx),
            _ => Err(ErrorCode::UnknownMemberId),
        }
    }
}
