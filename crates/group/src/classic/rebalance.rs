//! From one generation to the next.

use std::sync::Arc;

use common::ErrorCode;
use protocol::messages::SyncGroupResponse;

use super::group::ClassicGroup;
use super::state::ClassicGroupState;
use crate::config::Env;
use crate::shard::{Timer, TimerKey};
use crate::{Ctx, GroupResult};

impl ClassicGroup {
    pub(super) fn rebalance_or_complete_join(
        &mut self,
        reason: &str,
        env: &Env,
        ctx: &mut Ctx<'_>,
    ) -> GroupResult<()> {
        if self.state.may_become(ClassicGroupState::PreparingRebalance) {
            self.prepare_rebalance(reason, env, ctx)
        } else {
            self.maybe_complete_join_phase(ctx)
        }
    }

    /// Has all members join again.
    pub(crate) fn prepare_rebalance(
        &mut self,
        reason: &str,
        env: &Env,
        ctx: &mut Ctx<'_>,
    ) -> GroupResult<()> {
        if self.state == ClassicGroupState::CompletingRebalance {
            self.propagate_no_assignment(ErrorCode::RebalanceInProgress, ctx);
        }
        self.pending_sync_members.clear();
        ctx.cancel(&TimerKey::sync(&self.group_id));

        let is_initial = self.state == ClassicGroupState::Empty;
        self.transition_to(ClassicGroupState::PreparingRebalance, ctx.now_ms);
        tracing::info!(
            "preparing to rebalance group {} with old generation {}: {reason}",
            self.group_id,
            self.generation_id
        );
        if is_initial {
            // The members of a new group seldom start at the same moment.
            let delay_ms = i64::from(env.config.group_initial_rebalance_delay_ms);
            let remaining_ms = (self.rebalance_timeout_ms() - delay_ms).max(0);
            ctx.schedule(
                TimerKey::join(&self.group_id),
                delay_ms,
                Timer::InitialJoin { delay_ms, remaining_ms },
            );
            return GroupResult::read(());
        }
        if self.has_all_members_joined() {
            return self.complete_join_phase(ctx);
        }
        ctx.schedule(TimerKey::join(&self.group_id), self.rebalance_timeout_ms(), Timer::Join);
        GroupResult::read(())
    }

    /// The initial delay is over: it is extended as long as members come, up to the rebalance timeout.
    pub(crate) fn initial_delay_over(
        &mut self,
        delay_ms: i64,
        remaining_ms: i64,
        env: &Env,
        ctx: &mut Ctx<'_>,
    ) -> GroupResult<()> {
        if !self.new_member_added || remaining_ms == 0 {
            return self.complete_join_phase(ctx);
        }
        self.new_member_added = false;
        let next_delay_ms = i64::from(env.config.group_initial_rebalance_delay_ms).min(remaining_ms);
        ctx.schedule(
            TimerKey::join(&self.group_id),
            next_delay_ms,
            Timer::InitialJoin { delay_ms: next_delay_ms, remaining_ms: (remaining_ms - delay_ms).max(0) },
        );
        GroupResult::read(())
    }

    /// Goes on if everybody has joined, except in a new group, which waits for its delay.
    pub(super) fn maybe_complete_join_phase(&mut self, ctx: &mut Ctx<'_>) -> GroupResult<()> {
        if self.state == ClassicGroupState::PreparingRebalance
            && self.previous_state != ClassicGroupState::Empty
            && self.has_all_members_joined()
        {
            return self.complete_join_phase(ctx);
        }
        GroupResult::read(())
    }

    /// Ends the joining: who has not joined is out, except static members; the next generation begins.
    pub(crate) fn complete_join_phase(&mut self, ctx: &mut Ctx<'_>) -> GroupResult<()> {
        if self.state != ClassicGroupState::PreparingRebalance {
            tracing::error!(
                "the members of group {} have joined although it is {}",
                self.group_id,
                self.state
            );
            return GroupResult::read(());
        }
        ctx.cancel(&TimerKey::join(&self.group_id));
        let missing: Vec<Arc<str>> = self
            .members
            .values()
            .filter(|member| !member.is_awaiting_join() && member.group_instance_id.is_none())
            .map(|member| Arc::clone(&member.member_id))
            .collect();
        for member_id in &missing {
            self.remove(member_id);
            ctx.cancel(&TimerKey::heartbeat(&self.group_id, member_id));
        }
        if !missing.is_empty() {
            tracing::info!(
                "group {} removed dynamic members who have not joined: {missing:?}",
                self.group_id
            );
        }

        if !self.elect_joined_leader() && !self.members.is_empty() {
            // Only absent static members are left. Their sessions end, or they come back.
            tracing::warn!("group {} could not complete its rebalance: no member has joined", self.group_id);
            ctx.schedule(TimerKey::join(&self.group_id), self.rebalance_timeout_ms(), Timer::Join);
            return GroupResult::read(());
        }
        self.init_next_generation(ctx.now_ms);
        if self.state == ClassicGroupState::Empty {
            tracing::info!("group {} with generation {} is now empty", self.group_id, self.generation_id);
            let group_id = Arc::clone(&self.group_id);
            return GroupResult::with_callback(
                vec![self.to_record(None)],
                (),
                Box::new(move |_, _, result| {
                    if let Err(error) = result {
                        // After a failure of this broker the generation before would come back, and time out.
                        tracing::warn!("that group {group_id} is empty could not be stored: {error}");
                    }
                }),
            );
        }
        tracing::info!(
            "stabilized group {} generation {} with {} members",
            self.group_id,
            self.generation_id,
            self.members.len()
        );
        self.answer_joins(ctx);
        ctx.schedule(
            TimerKey::sync(&self.group_id),
            self.rebalance_timeout_ms(),
            Timer::Sync { generation_id: self.generation_id },
        );
        GroupResult::read(())
    }

    fn answer_joins(&mut self, ctx: &mut Ctx<'_>) {
        let mut for_leader = Some(self.members_for_leader());
        let member_ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for member_id in member_ids {
            let members =
                if self.is_leader(&member_id) { for_leader.take().unwrap_or_default() } else { Vec::new() };
            let response = self.join_response(&member_id, members);
            self.complete_join(&member_id, response);
            if let Some(member) = self.members.get_mut(&member_id) {
                member.is_new = false;
            }
            self.expect_heartbeat(&member_id, ctx);
            self.pending_sync_members.insert(member_id);
        }
    }

    /// A leader that has not joined in time is no leader any more. False if nobody has joined.
    fn elect_joined_leader(&mut self) -> bool {
        let Some(leader_id) = &self.leader_id else { return false };
        if self.members.get(leader_id).is_some_and(|leader| leader.is_awaiting_join()) {
            return true;
        }
        let joined = self.members.values().find(|member| member.is_awaiting_join());
        let Some(joined) = joined.map(|member| Arc::clone(&member.member_id)) else { return false };
        tracing::info!("leader {leader_id} of group {} has not joined: {joined} leads now", self.group_id);
        self.leader_id = Some(joined);
        true
    }

    fn init_next_generation(&mut self, now_ms: i64) {
        // Kafka's generation is a Java int and wraps.
        self.generation_id = self.generation_id.wrapping_add(1);
        let next = if self.members.is_empty() {
            self.protocol_name = None;
            ClassicGroupState::Empty
        } else {
            self.protocol_name = self.select_protocol();
            ClassicGroupState::CompletingRebalance
        };
        self.subscribed_topics = self.compute_subscribed_topics();
        self.transition_to(next, now_ms);
        self.pending_sync_members.clear();
    }

    /// Tells everybody who waits for an assignment that there is none.
    pub(super) fn propagate_no_assignment(&mut self, error: ErrorCode, ctx: &mut Ctx<'_>) {
        for member in self.members.values_mut() {
            member.assignment.clear();
        }
        self.propagate_assignment(error, ctx);
    }

    pub(super) fn propagate_assignment(&mut self, error: ErrorCode, ctx: &mut Ctx<'_>) {
        let mut heard: Vec<Arc<str>> = Vec::new();
        for member in self.members.values_mut() {
            let Some(reply) = member.awaiting_sync.take() else { continue };
            let mut response = SyncGroupResponse {
                assignment: member.assignment.clone(),
                error_code: error.code(),
                ..Default::default()
            };
            if error.is_none() {
                response.protocol_type.clone_from(&self.protocol_type);
                response.protocol_name.clone_from(&self.protocol_name);
            }
            reply(response);
            heard.push(Arc::clone(&member.member_id));
        }
        // A session that ended while the member waited was let go on, and has no timer now.
        for member_id in heard {
            self.expect_heartbeat(&member_id, ctx);
        }
    }

    /// The member is alive: its session begins anew.
    pub(crate) fn expect_heartbeat(&self, member_id: &str, ctx: &mut Ctx<'_>) {
        if let Some(member) = self.members.get(member_id) {
            ctx.schedule(
                TimerKey::heartbeat(&self.group_id, &member.member_id),
                i64::from(member.session_timeout_ms),
                Timer::Heartbeat,
            );
        }
    }

    /// The time for SyncGroup is over: who has not sent one is out.
    pub(crate) fn sync_time_over(
        &mut self,
        generation_id: i32,
        env: &Env,
        ctx: &mut Ctx<'_>,
    ) -> GroupResult<()> {
        let expects_sync =
            matches!(self.state, ClassicGroupState::CompletingRebalance | ClassicGroupState::Stable);
        if generation_id != self.generation_id || !expects_sync {
            tracing::error!(
                "a timer for SyncGroup of generation {generation_id} of group {} was left behind: it is {} in {}",
                self.group_id,
                self.state,
                self.generation_id
            );
            return GroupResult::read(());
        }
        if self.pending_sync_members.is_empty() {
            return GroupResult::read(());
        }
        let missing = std::mem::take(&mut self.pending_sync_members);
        for member_id in &missing {
            self.remove(member_id);
            ctx.cancel(&TimerKey::heartbeat(&self.group_id, member_id));
        }
        self.prepare_rebalance(&format!("removing {missing:?}, who have not sent SyncGroup"), env, ctx)
    }
}
