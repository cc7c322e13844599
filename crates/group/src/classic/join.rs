//! JoinGroup: who may come in, and what that means for the group.

use std::sync::Arc;

use common::ErrorCode;
use protocol::messages::{JoinGroupRequest, JoinGroupResponse};

use super::group::{ClassicGroup, join_error};
use super::member::ClassicGroupMember;
use super::state::ClassicGroupState;
use crate::config::{Env, NEW_MEMBER_JOIN_TIMEOUT_MS};
use crate::shard::{Timer, TimerKey};
use crate::{Ctx, GroupResult, Reply, RequestContext};

/// From this version on, a new dynamic member is told its id first and joins with it (KIP-394): a client whose answer got
/// lost does not leave a member behind.
pub(crate) const FIRST_VERSION_REQUIRING_MEMBER_ID: i16 = 4;

/// Why a client joins, as it says (KIP-800).
fn join_reason(request: &JoinGroupRequest) -> &str {
    match request.reason.as_deref() {
        Some(reason) if !reason.is_empty() => reason,
        _ => "not provided",
    }
}

impl ClassicGroup {
    /// A client wants to be a member, or to be told the next generation.
    pub(crate) fn join(
        &mut self,
        client: &RequestContext,
        request: JoinGroupRequest,
        reply: Reply<JoinGroupResponse>,
        env: &Env,
        ctx: &mut Ctx<'_>,
    ) -> GroupResult<()> {
        if !self.accepts(&request.member_id, env) {
            let member_id = request.member_id;
            ctx.cancel(&TimerKey::heartbeat(&self.group_id, &Arc::from(member_id.as_str())));
            self.remove(&member_id);
            reply(join_error(String::new(), ErrorCode::GroupMaxSizeReached));
            // The others may have waited for this one. Divergence: in Kafka they wait on, until the rebalance timeout, since its
            // coordinator no longer looks whether all have joined when it turns one away (before 4.0 it did).
            return self.maybe_complete_join_phase(ctx);
        }
        if request.member_id.is_empty() {
            self.join_new_member(client, request, reply, env, ctx)
        } else {
            self.join_existing_member(client, request, reply, env, ctx)
        }
    }

    /// Whether there is room (`group.max.size`). Someone who is counted is let in.
    fn accepts(&self, member_id: &str, env: &Env) -> bool {
        let limit = env.config.group_max_size;
        match self.state {
            ClassicGroupState::Empty | ClassicGroupState::Dead => true,
            // Those who have joined again are counted, not the members: so a group that has become larger than it may be,
            // because the limit was lowered, gets rid of the last to come.
            ClassicGroupState::PreparingRebalance => {
                self.members.get(member_id).is_some_and(ClassicGroupMember::is_awaiting_join)
                    || self.num_awaiting_join < limit
            }
            ClassicGroupState::CompletingRebalance | ClassicGroupState::Stable => {
                self.members.contains_key(member_id) || self.members.len() < limit
            }
        }
    }

    fn join_new_member(
        &mut self,
        client: &RequestContext,
        request: JoinGroupRequest,
        reply: Reply<JoinGroupResponse>,
        env: &Env,
        ctx: &mut Ctx<'_>,
    ) -> GroupResult<()> {
        if !self.supports_protocols(&request.protocol_type, &request.protocols) {
            reply(join_error(String::new(), ErrorCode::InconsistentGroupProtocol));
            return GroupResult::read(());
        }
        let Some(instance_id) = request.group_instance_id.clone() else {
            let member_id = env.new_member_id(&client.client_id);
            if client.api_version < FIRST_VERSION_REQUIRING_MEMBER_ID {
                return self.add_and_rebalance(client, request, &member_id, reply, env, ctx);
            }
            let pending: Arc<str> = Arc::from(member_id.as_str());
            ctx.schedule(
                TimerKey::heartbeat(&self.group_id, &pending),
                i64::from(request.session_timeout_ms),
                Timer::Heartbeat,
            );
            self.pending_join_members.insert(pending);
            reply(join_error(member_id, ErrorCode::MemberIdRequired));
            return GroupResult::read(());
        };
        let member_id = env.new_member_id(&instance_id);
        match self.static_members.get(&instance_id).cloned() {
            Some(old_member_id) => {
                self.replace_and_rebalance(client, request, &old_member_id, &member_id, reply, env, ctx)
            }
            None => self.add_and_rebalance(client, request, &member_id, reply, env, ctx),
        }
    }

    fn join_existing_member(
        &mut self,
        client: &RequestContext,
        request: JoinGroupRequest,
        reply: Reply<JoinGroupResponse>,
        env: &Env,
        ctx: &mut Ctx<'_>,
    ) -> GroupResult<()> {
        let member_id = request.member_id.clone();
        let mut refuse = None;
        if !self.supports_protocols(&request.protocol_type, &request.protocols) {
            refuse = Some(ErrorCode::InconsistentGroupProtocol);
        } else if self.is_pending_member(&member_id) {
            if request.group_instance_id.is_none() {
                return self.add_and_rebalance(client, request, &member_id, reply, env, ctx);
            }
            // No id is given to a static member before it joins, so this client is at odds with itself.
            refuse = Some(ErrorCode::UnknownServerError);
        } else if let Err(error) =
            self.validate_member(&member_id, request.group_instance_id.as_deref(), "join-group")
        {
            refuse = Some(error);
        }
        if let Some(error) = refuse {
            reply(join_error(member_id, error));
            return GroupResult::read(());
        }

        let same_metadata =
            self.members.get(&*member_id).is_some_and(|member| member.protocols == request.protocols);
        let is_leader = self.is_leader(&member_id);
        match self.state {
            ClassicGroupState::PreparingRebalance => {
                self.update_and_rebalance(request, "joining during the rebalance", reply, env, ctx)
            }
            // It may not have received the answer to its last JoinGroup.
            ClassicGroupState::CompletingRebalance if same_metadata => {
                let members = if is_leader { self.members_for_leader() } else { Vec::new() };
                reply(self.join_response(&member_id, members));
                GroupResult::read(())
            }
            // A leader joins again when something besides the members has changed, such as a topic's partitions.
            ClassicGroupState::Stable if !is_leader && same_metadata => {
                reply(self.join_response(&member_id, Vec::new()));
                GroupResult::read(())
            }
            ClassicGroupState::CompletingRebalance | ClassicGroupState::Stable => {
                let what = if same_metadata { "the leader is re-joining" } else { "updating its metadata" };
                self.update_and_rebalance(request, what, reply, env, ctx)
            }
            ClassicGroupState::Empty | ClassicGroupState::Dead => {
                tracing::warn!(
                    "member {member_id} of group {} joins a group that is {}",
                    self.group_id,
                    self.state
                );
                reply(join_error(member_id, ErrorCode::UnknownMemberId));
                GroupResult::read(())
            }
        }
    }

    fn add_and_rebalance(
        &mut self,
        client: &RequestContext,
        request: JoinGroupRequest,
        member_id: &str,
        reply: Reply<JoinGroupResponse>,
        env: &Env,
        ctx: &mut Ctx<'_>,
    ) -> GroupResult<()> {
        let reason = format!(
            "adding new member {member_id} with group instance id {:?}; client reason: {}",
            request.group_instance_id,
            join_reason(&request)
        );
        let member_id: Arc<str> = Arc::from(member_id);
        if self.state == ClassicGroupState::PreparingRebalance
            && self.previous_state == ClassicGroupState::Empty
        {
            self.new_member_added = true;
        }
        ctx.schedule(
            TimerKey::heartbeat(&self.group_id, &member_id),
            NEW_MEMBER_JOIN_TIMEOUT_MS,
            Timer::Heartbeat,
        );
        self.add(ClassicGroupMember {
            member_id,
            group_instance_id: request.group_instance_id,
            client_id: client.client_id.clone(),
            client_host: client.client_host.clone(),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocol_type: request.protocol_type,
            protocols: request.protocols,
            assignment: Vec::new(),
            awaiting_join: Some(reply),
            awaiting_sync: None,
            is_new: true,
        });
        self.rebalance_or_complete_join(&reason, env, ctx)
    }

    fn update_and_rebalance(
        &mut self,
        request: JoinGroupRequest,
        what: &str,
        reply: Reply<JoinGroupResponse>,
        env: &Env,
        ctx: &mut Ctx<'_>,
    ) -> GroupResult<()> {
        let reason =
            format!("member {}: {what}; client reason: {}", request.member_id, join_reason(&request));
        self.update_member(
            &request.member_id,
            request.protocols,
            request.rebalance_timeout_ms,
            request.session_timeout_ms,
            Some(reply),
        );
        self.rebalance_or_complete_join(&reason, env, ctx)
    }

    /// Whether these ids belong together and to the group.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, or FENCED_INSTANCE_ID when the instance has become another member.
    pub(crate) fn validate_member(
        &self,
        member_id: &str,
        group_instance_id: Option<&str>,
        operation: &str,
    ) -> Result<(), ErrorCode> {
        if let Some(instance_id) = group_instance_id {
            let existing = self.static_members.get(instance_id).ok_or(ErrorCode::UnknownMemberId)?;
            if **existing != *member_id {
                tracing::info!(
                    "member {member_id} of group {} is fenced during {operation}: instance {instance_id} is member \
                     {existing} now",
                    self.group_id
                );
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }
}
