//! SyncGroup: the leader brings the assignment, everybody takes theirs.

use std::collections::HashMap;
use std::sync::Arc;

use common::ErrorCode;
use protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use super::group::ClassicGroup;
use super::state::ClassicGroupState;
use crate::config::Env;
use crate::metrics::add;
use crate::shard::TimerKey;
use crate::{Ctx, GroupResult, Reply};

pub(crate) fn sync_error(error: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse { error_code: error.code(), ..Default::default() }
}

impl ClassicGroup {
    /// A member wants its assignment; the leader brings them all.
    pub(crate) fn sync(
        &mut self,
        request: SyncGroupRequest,
        reply: Reply<SyncGroupResponse>,
        env: &Arc<Env>,
        ctx: &mut Ctx<'_>,
    ) -> GroupResult<()> {
        if let Err(error) = self.validate_sync(&request) {
            reply(sync_error(error));
            return GroupResult::read(());
        }
        match self.state {
            ClassicGroupState::CompletingRebalance => self.sync_while_completing(request, reply, env, ctx),
            ClassicGroupState::Stable => {
                self.remove_pending_sync(&request.member_id, ctx);
                let assignment =
                    self.members.get(&*request.member_id).map(|member| member.assignment.clone());
                reply(SyncGroupResponse {
                    protocol_type: self.protocol_type.clone(),
                    protocol_name: self.protocol_name.clone(),
                    assignment: assignment.unwrap_or_default(),
                    ..Default::default()
                });
                GroupResult::read(())
            }
            ClassicGroupState::PreparingRebalance => {
                reply(sync_error(ErrorCode::RebalanceInProgress));
                GroupResult::read(())
            }
            ClassicGroupState::Empty | ClassicGroupState::Dead => {
                reply(sync_error(ErrorCode::UnknownMemberId));
                GroupResult::read(())
            }
        }
    }

    fn validate_sync(&self, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
        self.validate_member(&request.member_id, request.group_instance_id.as_deref(), "sync-group")?;
        if request.generation_id != self.generation_id {
            return Err(ErrorCode::IllegalGeneration);
        }
        let differs = |named: &Option<String>, ours: &Option<String>| {
            named.is_some() && ours.is_some() && named != ours
        };
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol_name, &self.protocol_name)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    fn sync_while_completing(
        &mut self,
        request: SyncGroupRequest,
        reply: Reply<SyncGroupResponse>,
        env: &Arc<Env>,
        ctx: &mut Ctx<'_>,
    ) -> GroupResult<()> {
        if let Some(member) = self.members.get_mut(&*request.member_id)
            && let Some(before) = member.awaiting_sync.replace(reply)
        {
            // The client gave up on its last SyncGroup.
            before(sync_error(ErrorCode::RebalanceInProgress));
        }
        self.remove_pending_sync(&request.member_id, ctx);
        if !self.is_leader(&request.member_id) {
            return GroupResult::read(());
        }

        let mut assigned: HashMap<String, Vec<u8>> = request
            .assignments
            .into_iter()
            .map(|assignment| (assignment.member_id, assignment.assignment))
            .collect();
        let assignments: HashMap<Arc<str>, Vec<u8>> = self
            .members
            .keys()
            .map(|member_id| (Arc::clone(member_id), assigned.remove(&**member_id).unwrap_or_default()))
            .collect();
        tracing::info!(
            "leader {} assigned group {} generation {}: {} members, {} of them static",
            request.member_id,
            self.group_id,
            self.generation_id,
            self.members.len(),
            self.static_members.len()
        );
        let record = self.to_record(Some(&assignments));
        let (group_id, generation_id, env) =
            (Arc::clone(&self.group_id), self.generation_id, Arc::clone(env));
        GroupResult::with_callback(
            vec![record],
            (),
            Box::new(move |shard, ctx, result| {
                let Some(group) = shard.groups.classic_mut(&group_id) else { return };
                // Somebody may have joined while the record was on its way to the replicas.
                if group.state != ClassicGroupState::CompletingRebalance
                    || group.generation_id != generation_id
                {
                    return;
                }
                match result {
                    Ok(()) => {
                        group.become_stable(assignments, ctx);
                        add(&env.counters.classic_rebalances, 1);
                    }
                    Err(error) => {
                        group.propagate_no_assignment(error, ctx);
                        let reason = format!("its assignment could not be stored: {error}");
                        let decided = group.rebalance_or_complete_join(&reason, &env, ctx);
                        // Somebody has to join again before there is anything to write.
                        debug_assert!(decided.records().is_empty());
                    }
                }
            }),
        )
    }

    fn become_stable(&mut self, mut assignments: HashMap<Arc<str>, Vec<u8>>, ctx: &mut Ctx<'_>) {
        for member in self.members.values_mut() {
            member.assignment = assignments.remove(&member.member_id).unwrap_or_default();
        }
        self.propagate_assignment(ErrorCode::None, ctx);
        self.transition_to(ClassicGroupState::Stable, ctx.now_ms);
    }

    fn remove_pending_sync(&mut self, member_id: &str, ctx: &mut Ctx<'_>) {
        self.pending_sync_members.remove(member_id);
        if self.pending_sync_members.is_empty() {
            ctx.cancel(&TimerKey::sync(&self.group_id));
        }
    }
}
