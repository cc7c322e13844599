//! Static members (KIP-345): a client that comes back under its instance id takes its old place.

use std::collections::HashMap;
use std::sync::Arc;

use common::ErrorCode;
use protocol::messages::{JoinGroupRequest, JoinGroupResponse, SyncGroupResponse};

use super::group::{ClassicGroup, join_error};
use super::state::ClassicGroupState;
use crate::config::Env;
use crate::shard::{Timer, TimerKey};
use crate::{Ctx, GroupResult, Reply, RequestContext};

/// From this version on a leader that comes back can be told the members without having to assign (KIP-814).
const FIRST_VERSION_SKIPPING_ASSIGNMENT: i16 = 9;

impl ClassicGroup {
    /// Gives the place of one member to another id. The client that had it, if there are two, is told that it is fenced.
    pub(super) fn replace_static_member(
        &mut self,
        instance_id: &str,
        old_member_id: &str,
        member_id: &Arc<str>,
    ) {
        self.complete_join_with_error(old_member_id, old_member_id, ErrorCode::FencedInstanceId);
        let mut member = self
            .members
            .remove(old_member_id)
            .unwrap_or_else(|| panic!("static members of group {} are members", self.group_id));
        if let Some(reply) = member.awaiting_sync.take() {
            reply(SyncGroupResponse { error_code: ErrorCode::FencedInstanceId.code(), ..Default::default() });
        }
        self.pending_sync_members.remove(old_member_id);
        member.member_id = Arc::clone(member_id);
        member.is_new = false;
        self.members.insert(Arc::clone(member_id), member);
        if self.is_leader(old_member_id) {
            self.leader_id = Some(Arc::clone(member_id));
        }
        self.static_members.insert(instance_id.to_owned(), Arc::clone(member_id));
    }

    #[allow(clippy::too_many_arguments)] // one caller, one thing
    pub(super) fn replace_and_rebalance(
        &mut self,
        client: &RequestContext,
        request: JoinGroupRequest,
        old_member_id: &Arc<str>,
        member_id: &str,
        reply: Reply<JoinGroupResponse>,
        env: &Env,
        ctx: &mut Ctx<'_>,
    ) -> GroupResult<()> {
        let instance_id = request.group_instance_id.clone().unwrap_or_default();
        let member_id: Arc<str> = Arc::from(member_id);
        tracing::info!(
            "static member {instance_id} joins group {} in state {} again: {old_member_id} becomes {member_id}",
            self.group_id,
            self.state
        );
        let old_leader = self.leader_id.as_deref().unwrap_or_default().to_owned();
        let was_pending_sync = self.pending_sync_members.contains(old_member_id);
        self.replace_static_member(&instance_id, old_member_id, &member_id);
        if was_pending_sync {
            self.pending_sync_members.insert(Arc::clone(&member_id));
        }
        ctx.cancel(&TimerKey::heartbeat(&self.group_id, old_member_id));
        let (old_protocols, old_rebalance_timeout_ms, old_session_timeout_ms) =
            match self.members.get(&*member_id) {
                Some(member) => {
                    (member.protocols.clone(), member.rebalance_timeout_ms, member.session_timeout_ms)
                }
                None => unreachable!("the member was put there above"),
            };
        ctx.schedule(
            TimerKey::heartbeat(&self.group_id, &member_id),
            i64::from(old_session_timeout_ms),
            Timer::Heartbeat,
        );
        self.update_member(
            &member_id,
            request.protocols,
            request.rebalance_timeout_ms,
            request.session_timeout_ms,
            Some(reply),
        );

        match self.state {
            ClassicGroupState::Stable if self.protocol_name == self.select_protocol() => {
                // Nothing changes for the others: store the new id, and let the member have its old assignment.
                let assignments: HashMap<Arc<str>, Vec<u8>> = self
                    .members
                    .values()
                    .map(|member| (Arc::clone(&member.member_id), member.assignment.clone()))
                    .collect();
                let record = self.to_record(Some(&assignments));
                let group_id = Arc::clone(&self.group_id);
                let old_member_id = Arc::clone(old_member_id);
                let skips_assignment = client.api_version >= FIRST_VERSION_SKIPPING_ASSIGNMENT;
                GroupResult::with_callback(
                    vec![record],
                    (),
                    Box::new(move |shard, ctx, result| {
                        let Some(group) = shard.groups.classic_mut(&group_id) else { return };
                        if !group.members.contains_key(&member_id) {
                            return;
                        }
                        if let Err(error) = result {
                            tracing::warn!(
                                "static member {member_id} of group {group_id} could not be stored ({error}): it is \
                                 {old_member_id} again"
                            );
                            let response = JoinGroupResponse {
                                leader: old_leader,
                                error_code: error.code(),
                                ..group.join_response("", Vec::new())
                            };
                            group.complete_join(&member_id, response);
                            group.update_member(
                                &member_id,
                                old_protocols,
                                old_rebalance_timeout_ms,
                                old_session_timeout_ms,
                                None,
                            );
                            group.replace_static_member(&instance_id, &member_id, &old_member_id);
                            ctx.cancel(&TimerKey::heartbeat(&group_id, &member_id));
                            ctx.schedule(
                                TimerKey::heartbeat(&group_id, &old_member_id),
                                i64::from(old_session_timeout_ms),
                                Timer::Heartbeat,
                            );
                            return;
                        }
                        let is_leader = group.is_leader(&member_id);
                        let response = if skips_assignment {
                            let members = if is_leader { group.members_for_leader() } else { Vec::new() };
                            JoinGroupResponse {
                                skip_assignment: is_leader,
                                ..group.join_response(&member_id, members)
                            }
                        } else {
                            // An old client must not take itself for the leader: it would assign, to a group that is
                            // stable.
                            JoinGroupResponse {
                                leader: old_leader,
                                ..group.join_response(&member_id, Vec::new())
                            }
                        };
                        group.complete_join(&member_id, response);
                    }),
                )
            }
            ClassicGroupState::Stable => self.rebalance_or_complete_join(
                &format!(
                    "static member {member_id} with instance id {instance_id} changes the selected protocol"
                ),
                env,
                ctx,
            ),
            // The leader may be assigning to the old id already.
            ClassicGroupState::CompletingRebalance => self.prepare_rebalance(
                &format!("static member {member_id} with instance id {instance_id} is back"),
                env,
                ctx,
            ),
            ClassicGroupState::PreparingRebalance => self.maybe_complete_join_phase(ctx),
            ClassicGroupState::Empty | ClassicGroupState::Dead => {
                tracing::error!(
                    "group {} is {} and has static member {instance_id}",
                    self.group_id,
                    self.state
                );
                self.complete_join(&member_id, join_error(String::new(), ErrorCode::UnknownServerError));
                GroupResult::read(())
            }
        }
    }
}
