//! ConsumerGroupHeartbeat: a member says who it is and what it has, and hears what it should have. Three steps: the member
//! and with it the group's epoch; the target assignment, if it is of an older epoch; the member's way to its target.

use std::sync::Arc;

use common::ErrorCode;
use protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use protocol::messages::consumer_group_heartbeat_response::{
    Assignment as AnsweredAssignment, TopicPartitions as AnsweredTopicPartitions,
};
use protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use super::assignor::Assignor;
use super::group::{self, is_homogeneous};
use super::reconcile::Reconciliation;
use super::target::{Computation, Target, may_compute, subscribed_topic_ids};
use super::{
    ConsumerGroup, ConsumerGroupMember, LEAVE_GROUP_MEMBER_EPOCH, LEAVE_GROUP_STATIC_MEMBER_EPOCH,
    MemberState, OwnedPartitions, Refusal,
};
use crate::classic::ClassicGroupState;
use crate::config::Env;
use crate::members::check_epoch;
use crate::metrics::add;
use crate::shard::{Timer, TimerKey};
use crate::{Ctx, Group, GroupRecord, GroupResult, GroupShard, GroupType, RequestContext};

/// How long the hash of a group's topics is taken for right if nobody says that they have changed, in milliseconds.
pub(crate) const METADATA_REFRESH_MS: i64 = i32::MAX as i64;

/// No member is asked to come again sooner, in milliseconds.
const SOONEST_HEARTBEAT_MS: i64 = 50;
/// Who waits for partitions comes again after this part of the time for which it has waited.
const WAITS_PER_HEARTBEAT: i64 = 50;

/// What a member said of itself.
#[derive(Clone, Copy)]
pub(crate) struct Said<'a> {
    pub(crate) subscription_changed: bool,
    /// What it has; none if it does not say.
    pub(crate) reported: Option<&'a [TopicPartitions]>,
}

/// What a step of a member did to its group, besides records.
pub(crate) struct Step {
    pub(crate) member: ConsumerGroupMember,
    /// The hash of the topics is right as of now, for this group epoch.
    pub(crate) refreshed: Option<i32>,
    /// After how long there may be something to hear, in milliseconds, if that may be before the next heartbeat.
    again_in_ms: Option<i64>,
}

impl GroupShard {
    /// ConsumerGroupHeartbeat, of a member that comes, stays or goes.
    ///
    /// # Errors
    /// What the member hears.
    pub(crate) fn consumer_group_heartbeat(
        &mut self,
        client: &RequestContext,
        request: ConsumerGroupHeartbeatRequest,
        ctx: &mut Ctx<'_>,
    ) -> Result<GroupResult<ConsumerGroupHeartbeatResponse>, Refusal> {
        if matches!(request.member_epoch, LEAVE_GROUP_MEMBER_EPOCH | LEAVE_GROUP_STATIC_MEMBER_EPOCH) {
            return self.consumer_group_leave(request, ctx);
        }
        if let Some(response) = self.steady_heartbeat(client, &request, ctx) {
            return Ok(GroupResult::read(response));
        }
        let env = Arc::clone(&self.env);
        let joins = request.member_epoch == 0;
        let mut records = Vec::new();
        let mut made = None;
        let mut upgrades = false;
        let group: &ConsumerGroup = match self.groups.get(&request.group_id) {
            Some(Group::Consumer(group)) => group,
            Some(Group::Classic(classic)) if joins => {
                if classic.state() == ClassicGroupState::Empty {
                    records.push(GroupRecord::group_tombstone(&request.group_id));
                    made.insert(ConsumerGroup::new(Arc::from(request.group_id.as_str())))
                } else {
                    upgrades = true;
                    made.insert(classic.upgrade(&env, &mut records)?)
                }
            }
            None if joins => made.insert(ConsumerGroup::new(Arc::from(request.group_id.as_str()))),
            Some(_) => {
                return Err(Refusal::new(
                    ErrorCode::GroupIdNotFound,
                    format!("Group {} is not a consumer group.", request.group_id),
                ));
            }
            None => {
                return Err(Refusal::new(
                    ErrorCode::GroupIdNotFound,
                    format!("Consumer group {} not found.", request.group_id),
                ));
            }
        };
        let limit = env.config.group_consumer_max_size;
        let instance_id = request.instance_id.as_deref();
        group.members.check_room(GroupType::Consumer, limit, &request.member_id, instance_id)?;
        let before = group.heartbeating_member(&request, &env, &mut records)?;

        let mut updated = before.clone();
        updated.instance_id = request.instance_id.or(updated.instance_id);
        updated.rack_id = request.rack_id.or(updated.rack_id);
        if request.rebalance_timeout_ms != -1 {
            updated.rebalance_timeout_ms = request.rebalance_timeout_ms;
        }
        updated.server_assignor = request.server_assignor.or(updated.server_assignor);
        let is_full = request.rebalance_timeout_ms != -1
            && (request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some())
            && request.topic_partitions.is_some();
        if let Some(names) = request.subscribed_topic_names {
            updated.subscribed_topic_names = Arc::new(names.into_iter().collect());
        }
        updated.subscribed_topic_regex = request.subscribed_topic_regex.or(updated.subscribed_topic_regex);
        if updated.client_id != client.client_id {
            updated.client_id.clone_from(&client.client_id);
        }
        if updated.client_host != client.client_host {
            updated.client_host.clone_from(&client.client_host);
        }
        updated.classic = None;

        let reported = request.topic_partitions.as_deref();
        let step = group.step(&before, updated, reported, &env, ctx, &mut records)?;
        let member = step.member;
        let settings = env.consumer_settings(&request.group_id);
        ctx.schedule(
            TimerKey::session(&group.group_id, &member.member_id),
            settings.session_timeout_ms,
            Timer::Session,
        );
        if upgrades {
            self.complete_upgrade(&request.group_id, ctx);
        }
        if let (Some(group_epoch), Some(group)) =
            (step.refreshed, self.groups.consumer_mut(&request.group_id))
        {
            group.refresh_metadata_at(ctx.now_ms.saturating_add(METADATA_REFRESH_MS), group_epoch);
        }

        let tells = joins || is_full || before.assigned != member.assigned;
        let response = ConsumerGroupHeartbeatResponse {
            member_id: Some(member.member_id.to_string()),
            member_epoch: member.member_epoch,
            heartbeat_interval_ms: sooner(step.again_in_ms, settings.heartbeat_interval_ms),
            assignment: tells.then(|| answered(&member.assigned)),
            ..Default::default()
        };
        Ok(GroupResult::new(records, response))
    }

    /// The heartbeat of a member that says nothing new and has nothing to hear: nearly all of them, and so without a copy of
    /// the member and a comparison of all that it is. What is not known to be one takes the three steps.
    fn steady_heartbeat(
        &self,
        client: &RequestContext,
        request: &ConsumerGroupHeartbeatRequest,
        ctx: &mut Ctx<'_>,
    ) -> Option<ConsumerGroupHeartbeatResponse> {
        let says_nothing = request.instance_id.is_none()
            && request.rack_id.is_none()
            && request.rebalance_timeout_ms == -1
            && request.subscribed_topic_names.is_none()
            && request.subscribed_topic_regex.is_none()
            && request.server_assignor.is_none()
            && request.topic_partitions.is_none();
        let Some(Group::Consumer(group)) = self.groups.get(&request.group_id) else { return None };
        let member = group.members.get(request.member_id.as_str())?;
        let is_known = request.member_epoch > 0
            && request.member_epoch == member.member_epoch
            && member.client_id == client.client_id
            && member.client_host == client.client_host
            && member.classic.is_none();
        let is_settled = group.assignment_epoch == group.group_epoch
            && member.is_reconciled_to(group.assignment_epoch)
            // Heartbeats are the occasions to look for topics that match an expression now.
            && group.subscribed_regexes.is_empty()
            && !group.metadata_has_expired(ctx.now_ms);
        if !(says_nothing && is_known && is_settled) {
            return None;
        }
        let settings = self.env.consumer_settings(&request.group_id);
        let session = TimerKey::session(&group.group_id, &member.member_id);
        ctx.schedule(session, settings.session_timeout_ms, Timer::Session);
        Some(ConsumerGroupHeartbeatResponse {
            member_id: Some(member.member_id.to_string()),
            member_epoch: member.member_epoch,
            heartbeat_interval_ms: settings.heartbeat_interval_ms,
            ..Default::default()
        })
    }
}

impl ConsumerGroup {
    /// The member that sends a heartbeat, as it is before it: a new one, the one it was, or the one whose place it takes.
    fn heartbeating_member(
        &self,
        request: &ConsumerGroupHeartbeatRequest,
        env: &Env,
        records: &mut Vec<GroupRecord>,
    ) -> Result<ConsumerGroupMember, Refusal> {
        let joins = request.member_epoch == 0;
        let member_id: Arc<str> = if request.member_id.is_empty() {
            Arc::from((env.new_uuid)().to_string())
        } else {
            Arc::from(request.member_id.as_str())
        };
        let instance_id = request.instance_id.as_deref();
        if !joins {
            let member = self.members.known(&self.group_id, &member_id, instance_id)?;
            member.check_epoch(request)?;
            return Ok(member.clone());
        }
        let Some(instance_id) = instance_id else {
            let known = self.members.get(&member_id).cloned();
            let member = known.unwrap_or_else(|| ConsumerGroupMember::new(member_id));
            member.check_epoch(request)?;
            return Ok(member);
        };
        match self.members.of_instance(instance_id) {
            None => Ok(ConsumerGroupMember::new(member_id)),
            Some(existing) => {
                if !existing.uses_classic_protocol()
                    && existing.member_epoch != LEAVE_GROUP_STATIC_MEMBER_EPOCH
                {
                    return Err(Refusal::new(
                        ErrorCode::UnreleasedInstanceId,
                        format!(
                            "Static member {member_id} with instance id {instance_id} cannot join the group because \
                             the instance id is owned by {} member.",
                            existing.member_id
                        ),
                    ));
                }
                Ok(self.replace_static_member(existing, member_id, records))
            }
        }
    }

    /// Puts a member in the place of the one its instance was before, with all that one had.
    pub(crate) fn replace_static_member(
        &self,
        existing: &ConsumerGroupMember,
        member_id: Arc<str>,
        records: &mut Vec<GroupRecord>,
    ) -> ConsumerGroupMember {
        tracing::info!("{member_id} takes the place of {} in group {}", existing.member_id, self.group_id);
        let member =
            ConsumerGroupMember { member_id, member_epoch: 0, previous_member_epoch: 0, ..existing.clone() };
        let make = self.records();
        // The timers of the one before stay: they do nothing when it is gone, and are needed if this cannot be written.
        make.remove_member(&existing.member_id, records);
        records.push(make.member(&member));
        let target = self.target.get(&existing.member_id).cloned().unwrap_or_default();
        records.push(make.target(&member.member_id, &target));
        records.push(make.current(&member));
        member
    }

    /// The three steps: the group's epoch, the target, the member's way to it.
    pub(crate) fn step(
        &self,
        before: &ConsumerGroupMember,
        updated: ConsumerGroupMember,
        reported: Option<&[TopicPartitions]>,
        env: &Env,
        ctx: &mut Ctx<'_>,
        records: &mut Vec<GroupRecord>,
    ) -> Result<Step, Refusal> {
        let is_changed = updated != *before;
        if is_changed {
            records.push(self.records().member(&updated));
        }
        let names_changed = updated.subscribed_topic_names != before.subscribed_topic_names;
        let regex = self.update_regex(before, &updated, env, ctx, records)?;
        let assignor_name = |name: Option<String>| name.as_deref().and_then(Assignor::from_name);
        let assignor = |name| assignor_name(name).unwrap_or_else(|| env.default_assignor());
        let preferred = assignor(self.preferred_assignor_with(Some(before), Some(&updated)));
        let preferred_changed = is_changed && preferred != assignor(self.preferred_assignor_with(None, None));
        // A classic member that replaces one with an expression has none, and its group has to know at once.
        let regex_bumps = regex == super::regular_expression::RegexUpdate::UpdatedAndResolved
            || (regex.is_update() && updated.uses_classic_protocol());
        let bump = names_changed || regex_bumps || preferred_changed;

        let mut group_epoch = self.group_epoch;
        let mut homogeneous = None;
        let mut refreshed = None;
        let topics = env.topics();
        if bump || self.metadata_has_expired(ctx.now_ms) {
            let subscribed = self.subscribed_topics_with(before, &updated);
            let regexes = self.subscribed_regexes_with(before, &updated);
            let is_new = !self.members.contains_key(&updated.member_id)
                && updated.instance_id.as_ref().is_none_or(|id| self.members.id_of_instance(id).is_none());
            let count = self.members.len() + usize::from(is_new);
            homogeneous = Some(is_homogeneous(&regexes, &subscribed, count));
            let metadata_hash = group::metadata_hash(&subscribed, &topics);
            if bump || metadata_hash != self.metadata_hash {
                group_epoch = group_epoch.wrapping_add(1);
                records.push(self.records().group(group_epoch, metadata_hash));
                tracing::info!("group {} is in epoch {group_epoch}", self.group_id);
                add(&env.counters.consumer_rebalances, 1);
            }
            refreshed = Some(group_epoch);
            if self.has_partition_metadata_record {
                records.push(self.records().partition_metadata_tombstone());
            }
        }

        let interval_ms = env.consumer_settings(&self.group_id).assignment_interval_ms;
        let target = if self.assignment_epoch >= group_epoch
            || !may_compute(self.assignment_timestamp_ms, interval_ms, ctx.now_ms)
        {
            self.last_target(&updated)
        } else {
            let homogeneous = homogeneous.unwrap_or_else(|| {
                is_homogeneous(&self.subscribed_regexes, &self.subscribed_topics, self.members.len())
            });
            {
                let how = Computation { group_epoch, assignor: preferred, homogeneous };
                self.compute_target(how, &updated, &topics, ctx.now_ms, records)
            }
        };
        let said = Said { subscription_changed: names_changed || regex.is_update(), reported };
        let member = self.reconcile(updated, &target, said, env, ctx, records)?;
        // Divergence: Kafka has everybody come after the whole interval, so that who joins has all its partitions after up to
        // two: one in which the others hear what to give up, and one of its own. Clients take each answer's interval.
        let again_in_ms = if target.epoch < group_epoch {
            Some(self.assignment_timestamp_ms.saturating_add(interval_ms).saturating_sub(ctx.now_ms))
        } else if member.state == MemberState::UnreleasedPartitions {
            let is_new = target.epoch != self.assignment_epoch;
            let since_ms = if is_new { ctx.now_ms } else { self.assignment_timestamp_ms };
            Some(ctx.now_ms.saturating_sub(since_ms) / WAITS_PER_HEARTBEAT)
        } else {
            None
        };
        Ok(Step { member, refreshed, again_in_ms })
    }

    pub(crate) fn reconcile(
        &self,
        member: ConsumerGroupMember,
        target: &Target,
        said: Said<'_>,
        env: &Env,
        ctx: &mut Ctx<'_>,
        records: &mut Vec<GroupRecord>,
    ) -> Result<ConsumerGroupMember, Refusal> {
        let Said { subscription_changed, reported } = said;
        if !subscription_changed && member.is_reconciled_to(target.epoch) {
            return Ok(member);
        }
        let topics = env.topics();
        let subscribed = subscribed_topic_ids(&member, &self.resolved_regexes, &*topics.image);
        let reconciliation = Reconciliation {
            target_epoch: target.epoch,
            target: &target.assignment,
            subscribed_topic_ids: &subscribed,
            subscription_changed,
            is_owned: &|topic_id, partition| self.is_owned(topic_id, partition),
            reported,
        };
        let Some(next) = reconciliation.next(&member)? else { return Ok(member) };
        records.push(self.records().current(&next));
        if !next.uses_classic_protocol() {
            let key = TimerKey::rebalance(&self.group_id, &next.member_id);
            if next.state == MemberState::UnrevokedPartitions {
                ctx.schedule(
                    key,
                    i64::from(next.rebalance_timeout_ms),
                    Timer::Rebalance { member_epoch: next.member_epoch },
                );
            } else {
                ctx.cancel(&key);
            }
        }
        Ok(next)
    }
}

impl ConsumerGroupMember {
    /// See [`crate::members::check_epoch`].
    fn check_epoch(&self, request: &ConsumerGroupHeartbeatRequest) -> Result<(), Refusal> {
        let has_only_its_own = || {
            request.topic_partitions.as_ref().is_some_and(|reported| {
                reported.iter().all(|topic| {
                    let assigned = self.assigned.get(&topic.topic_id);
                    assigned.is_some_and(|assigned| {
                        topic.partitions.iter().all(|partition| assigned.contains_key(partition))
                    })
                })
            })
        };
        let epochs = (self.member_epoch, self.previous_member_epoch);
        check_epoch(GroupType::Consumer, request.member_epoch, epochs, has_only_its_own)
    }
}

/// The interval until the next heartbeat, in milliseconds.
fn sooner(again_in_ms: Option<i64>, interval_ms: i32) -> i32 {
    let again_in_ms = again_in_ms.map(|again_in_ms| again_in_ms.max(SOONEST_HEARTBEAT_MS));
    again_in_ms
        .and_then(|again_in_ms| i32::try_from(again_in_ms).ok())
        .map_or(interval_ms, |again_in_ms| again_in_ms.min(interval_ms))
}

fn answered(assigned: &OwnedPartitions) -> AnsweredAssignment {
    AnsweredAssignment {
        topic_partitions: assigned
            .iter()
            .map(|(&topic_id, partitions)| AnsweredTopicPartitions {
                topic_id,
                partitions: partitions.keys().copied().collect(),
            })
            .collect(),
    }
}
