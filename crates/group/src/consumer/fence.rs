//! Members that go: by themselves, or because nothing is heard of them.

use std::sync::Arc;

use common::ErrorCode;
use protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use super::group;
use super::member::OwnedPartitions;
use super::{ConsumerGroup, ConsumerGroupMember, LEAVE_GROUP_STATIC_MEMBER_EPOCH, Refusal};
use crate::shard::TimerKey;
use crate::{Ctx, GroupResult, GroupShard};

impl GroupShard {
    pub(super) fn consumer_group_leave(
        &mut self,
        request: ConsumerGroupHeartbeatRequest,
        ctx: &mut Ctx<'_>,
    ) -> Result<GroupResult<ConsumerGroupHeartbeatResponse>, Refusal> {
        let Some(group) = self.groups.consumer(&request.group_id) else {
            return Err(Refusal::new(
                ErrorCode::GroupIdNotFound,
                match self.groups.get(&request.group_id) {
                    Some(_) => format!("Group {} is not a consumer group.", request.group_id),
                    None => format!("Group {} not found.", request.group_id),
                },
            ));
        };
        let response = ConsumerGroupHeartbeatResponse {
            member_id: Some(request.member_id.clone()),
            member_epoch: request.member_epoch,
            ..Default::default()
        };
        let instance_id = request.instance_id.as_deref();
        let member = group.members.known(&request.group_id, &request.member_id, instance_id)?;
        if request.instance_id.is_some() && request.member_epoch == LEAVE_GROUP_STATIC_MEMBER_EPOCH {
            tracing::info!("static member {} left group {} for a while", member.member_id, group.group_id);
            return Ok(GroupResult::new(vec![group.records().current(&left_for_a_while(member))], response));
        }
        tracing::info!("member {} left group {}", member.member_id, group.group_id);
        let member_id = Arc::clone(&member.member_id);
        Ok(self.fence_members(&request.group_id, &[member_id], response, ctx))
    }

    /// Removes a member of whom nothing was heard. Not an error if it is gone already.
    pub(crate) fn fence_member(
        &mut self,
        group_id: &str,
        member_id: &Arc<str>,
        reason: &str,
        ctx: &mut Ctx<'_>,
    ) -> GroupResult<()> {
        if self.groups.consumer(group_id).and_then(|group| group.member(member_id)).is_none() {
            return GroupResult::read(());
        }
        tracing::info!("member {member_id} of group {group_id} is removed: {reason}");
        self.fence_members(group_id, std::slice::from_ref(member_id), (), ctx)
    }

    /// Removes members. If only members of the classic protocol are left, the group becomes a classic one.
    pub(super) fn fence_members<T>(
        &mut self,
        group_id: &str,
        member_ids: &[Arc<str>],
        response: T,
        ctx: &mut Ctx<'_>,
    ) -> GroupResult<T> {
        let env = Arc::clone(&self.env);
        let Some(group) = self.groups.consumer(group_id).filter(|_| !member_ids.is_empty()) else {
            return GroupResult::read(response);
        };
        let members: Vec<&ConsumerGroupMember> =
            member_ids.iter().filter_map(|id| group.members.get(id)).collect();
        let mut records = Vec::new();
        if group.may_downgrade_without(&members, &env)
            && group.downgrade(&members, None, true, &env, ctx, &mut records)
        {
            return GroupResult::new(records, response);
        }
        let make = group.records();
        for member in &members {
            make.remove_member(&member.member_id, &mut records);
        }
        let (subscribed, regexes) = group.subscribed_topics_without(&members);
        records.extend(regexes.iter().map(|regex| make.regex_tombstone(regex)));
        let metadata_hash = group::metadata_hash(&subscribed, &env.topics());
        let group_epoch = group.group_epoch.wrapping_add(1);
        records.push(make.group(group_epoch, metadata_hash));
        if group.members.len() == members.len() {
            // Nobody is left to be assigned anything. Without a time, so that who comes next need not wait.
            records.push(make.target_metadata(group_epoch, 0));
        }
        for member in &members {
            group.cancel_member_timers(&member.member_id, ctx);
        }
        GroupResult::new(records, response)
    }
}

/// A static member that will be back has its partitions until its session is over.
fn left_for_a_while(member: &ConsumerGroupMember) -> ConsumerGroupMember {
    let assigned: OwnedPartitions = member
        .assigned
        .iter()
        .map(|(topic_id, partitions)| {
            (*topic_id, partitions.keys().map(|partition| (*partition, 0)).collect())
        })
        .collect();
    ConsumerGroupMember {
        member_epoch: LEAVE_GROUP_STATIC_MEMBER_EPOCH,
        assigned: Arc::new(assigned),
        pending_revocation: Arc::default(),
        ..member.clone()
    }
}

impl ConsumerGroup {
    pub(crate) fn cancel_member_timers(&self, member_id: &Arc<str>, ctx: &mut Ctx<'_>) {
        ctx.cancel(&TimerKey::session(&self.group_id, member_id));
        ctx.cancel(&TimerKey::rebalance(&self.group_id, member_id));
        ctx.cancel(&TimerKey::member_join(&self.group_id, member_id));
        ctx.cancel(&TimerKey::member_sync(&self.group_id, member_id));
    }
}
