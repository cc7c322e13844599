//! LeaveGroup: members go, or an administrator removes them.

use std::sync::Arc;

use common::ErrorCode;
use protocol::messages::LeaveGroupResponse;
use protocol::messages::leave_group_request::MemberIdentity;
use protocol::messages::leave_group_response::MemberResponse;

use super::group::ClassicGroup;
use super::state::ClassicGroupState;
use crate::config::Env;
use crate::shard::TimerKey;
use crate::{Ctx, GroupResult};

/// What one member is told.
pub(crate) fn member_response(member: &MemberIdentity, error: ErrorCode) -> MemberResponse {
    MemberResponse {
        member_id: member.member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        error_code: error.code(),
    }
}

impl ClassicGroup {
    /// Removes members, each with its own outcome.
    pub(crate) fn leave(
        &mut self,
        members: &[MemberIdentity],
        env: &Env,
        ctx: &mut Ctx<'_>,
    ) -> GroupResult<LeaveGroupResponse> {
        let mut responses = Vec::with_capacity(members.len());
        let mut left = Vec::new();
        for member in members {
            let outcome = self.leave_one(member, ctx);
            if outcome.is_ok() {
                left.push(member.member_id.as_str());
            }
            responses.push(member_response(member, outcome.err().unwrap_or(ErrorCode::None)));
        }
        let response = LeaveGroupResponse { members: responses, ..Default::default() };
        if left.is_empty() {
            return GroupResult::read(response);
        }
        let decided = match self.state {
            ClassicGroupState::Stable | ClassicGroupState::CompletingRebalance => {
                self.rebalance_or_complete_join(&format!("members {left:?} have left"), env, ctx)
            }
            ClassicGroupState::PreparingRebalance => self.maybe_complete_join_phase(ctx),
            ClassicGroupState::Empty | ClassicGroupState::Dead => GroupResult::read(()),
        };
        decided.map(|()| response)
    }

    fn leave_one(&mut self, member: &MemberIdentity, ctx: &mut Ctx<'_>) -> Result<(), ErrorCode> {
        let instance_id = member.group_instance_id.as_deref();
        let member_id: Arc<str> = if member.member_id.is_empty() {
            // An administrator names static members by their instance alone.
            let known = instance_id.and_then(|instance_id| self.static_members.get(instance_id));
            Arc::clone(known.ok_or(ErrorCode::UnknownMemberId)?)
        } else {
            if !self.is_pending_member(&member.member_id) {
                self.validate_member(&member.member_id, instance_id, "leave-group")?;
            }
            Arc::from(member.member_id.as_str())
        };
        tracing::info!(
            "member {member_id} has left group {}; client reason: {}",
            self.group_id,
            member.reason.as_deref().unwrap_or("not provided")
        );
        ctx.cancel(&TimerKey::heartbeat(&self.group_id, &member_id));
        self.remove(&member_id);
        Ok(())
    }
}
