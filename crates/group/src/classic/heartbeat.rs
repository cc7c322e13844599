//! Heartbeats, and members that stop sending them.

use common::ErrorCode;

use super::group::ClassicGroup;
use super::state::ClassicGroupState;
use crate::config::Env;
use crate::{Ctx, GroupResult};

impl ClassicGroup {
    /// A member says that it is alive, and hears whether it has to join again.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS.
    pub(crate) fn heartbeat(
        &self,
        member_id: &str,
        group_instance_id: Option<&str>,
        generation_id: i32,
        ctx: &mut Ctx<'_>,
    ) -> Result<(), ErrorCode> {
        self.validate_member(member_id, group_instance_id, "heartbeat")?;
        if generation_id != self.generation_id {
            return Err(ErrorCode::IllegalGeneration);
        }
        match self.state {
            ClassicGroupState::Empty | ClassicGroupState::Dead => Err(ErrorCode::UnknownMemberId),
            ClassicGroupState::PreparingRebalance => {
                self.expect_heartbeat(member_id, ctx);
                Err(ErrorCode::RebalanceInProgress)
            }
            ClassicGroupState::CompletingRebalance | ClassicGroupState::Stable => {
                self.expect_heartbeat(member_id, ctx);
                Ok(())
            }
        }
    }

    /// Nothing was heard of a member for its session timeout.
    pub(crate) fn session_over(&mut self, member_id: &str, env: &Env, ctx: &mut Ctx<'_>) -> GroupResult<()> {
        if self.is_pending_member(member_id) {
            tracing::info!("pending member {member_id} of group {} has not joined in time", self.group_id);
            self.remove(member_id);
            return self.complete_join_if_all_joined(ctx);
        }
        if self.members.get(member_id).is_none_or(|member| member.has_satisfied_heartbeat()) {
            return GroupResult::read(());
        }
        tracing::info!("member {member_id} of group {} has failed", self.group_id);
        self.remove(member_id);
        match self.state {
            ClassicGroupState::Stable | ClassicGroupState::CompletingRebalance => self
                .rebalance_or_complete_join(
                    &format!("removing member {member_id} on heartbeat expiration"),
                    env,
                    ctx,
                ),
            _ => self.complete_join_if_all_joined(ctx),
        }
    }

    fn complete_join_if_all_joined(&mut self, ctx: &mut Ctx<'_>) -> GroupResult<()> {
        if self.state == ClassicGroupState::PreparingRebalance && self.has_all_members_joined() {
            return self.complete_join_phase(ctx);
        }
        GroupResult::read(())
    }
}
