//! The moves of a group between the classic and the consumer protocol while members are in it
//! (`group.consumer.migration.policy`): up when the first member of the consumer protocol joins, down when the last one
//! leaves.

use std::sync::Arc;

use super::{ConsumerGroup, ConsumerGroupMember};
use crate::classic::ClassicGroup;
use crate::config::{ConsumerGroupMigrationPolicy, Env};
use crate::shard::{Timer, TimerKey};
use crate::{Ctx, GroupRecord, GroupShard};

impl ConsumerGroupMigrationPolicy {
    pub(crate) fn may_upgrade(self) -> bool {
        matches!(self, ConsumerGroupMigrationPolicy::Upgrade | ConsumerGroupMigrationPolicy::Bidirectional)
    }

    pub(crate) fn may_downgrade(self) -> bool {
        matches!(self, ConsumerGroupMigrationPolicy::Downgrade | ConsumerGroupMigrationPolicy::Bidirectional)
    }
}

impl GroupShard {
    /// The classic members of a group that becomes a consumer group join again, and are given sessions there. The classic
    /// group itself ends with its record; timers of it that are left do nothing then.
    pub(super) fn complete_upgrade(&mut self, group_id: &str, ctx: &mut Ctx<'_>) {
        let Some(classic) = self.groups.classic_mut(group_id) else { return };
        classic.fail_all(common::ErrorCode::RebalanceInProgress);
        for (member_id, session_timeout_ms) in classic.sessions() {
            ctx.schedule(
                TimerKey::session(&classic.group_id, &member_id),
                session_timeout_ms,
                Timer::Session,
            );
        }
    }
}

impl ConsumerGroup {
    fn may_downgrade(&self, members_left: usize, env: &Env) -> bool {
        let config = &env.config;
        if members_left == 0 {
            return false;
        }
        if !config.group_consumer_migration_policy.may_downgrade() {
            tracing::info!("group {} does not become a classic group: the policy forbids it", self.group_id);
            return false;
        }
        if members_left > config.group_max_size {
            tracing::info!("group {} does not become a classic group: it is too large", self.group_id);
            return false;
        }
        true
    }

    /// Whether only members of the classic protocol are left without these, and the group may become one of theirs.
    pub(super) fn may_downgrade_without(&self, removed: &[&ConsumerGroupMember], env: &Env) -> bool {
        let classic = removed.iter().filter(|member| member.uses_classic_protocol()).count();
        let left = self.members.len() - removed.len();
        self.num_classic_members - classic == left && self.may_downgrade(left, env)
    }

    /// Whether only members of the classic protocol are left when one of them takes this member's place.
    pub(super) fn may_downgrade_replacing(&self, replaced: &ConsumerGroupMember, env: &Env) -> bool {
        !replaced.uses_classic_protocol()
            && self.num_classic_members == self.members.len() - 1
            && self.may_downgrade(self.members.len(), env)
    }

    /// Writes the end of this group and the beginning of the classic group that it becomes. Whether that can be.
    pub(super) fn downgrade(
        &self,
        removed: &[&ConsumerGroupMember],
        joining: Option<&ConsumerGroupMember>,
        rebalances: bool,
        env: &Env,
        ctx: &mut Ctx<'_>,
        records: &mut Vec<GroupRecord>,
    ) -> bool {
        let Some(record) = ClassicGroup::downgrade(self, removed, joining, env, ctx) else { return false };
        let replaced = joining.and_then(|joining| {
            let before = self.members.id_of_instance(joining.instance_id.as_ref()?)?;
            Some((&**before, &*joining.member_id))
        });
        self.tombstones_with_replaced(replaced, records);
        records.push(record);
        for member_id in self.members.keys() {
            self.cancel_member_timers(member_id, ctx);
        }
        if rebalances {
            // When the classic group is there, which is after these records.
            ctx.schedule(TimerKey::Downgraded(Arc::clone(&self.group_id)), 0, Timer::Downgraded);
        }
        tracing::info!("group {} becomes a classic group", self.group_id);
        true
    }
}
