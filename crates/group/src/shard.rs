//! One partition of `__consumer_offsets` (Kafka's `GroupCoordinatorShard`): its groups, its offsets, their timers.

use std::sync::Arc;

use common::ErrorCode;
use coordinator::{CoordinatorShard, EncodedRecord, Producer, RecordDecodeError};

use crate::classic::ClassicGroupState;
use crate::config::Env;
use crate::groups::GroupMetadataManager;
use crate::offsets::OffsetMetadataManager;
use crate::{Ctx, Group, GroupRecord, GroupResult};

/// Names a timer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TimerKey {
    /// A member's session, or the time to join for an id that was given out.
    Heartbeat(Arc<str>, Arc<str>),
    /// A group's time to join.
    Join(Arc<str>),
    /// A group's time to sync.
    Sync(Arc<str>),
    /// The sessions of all members of a group that is only kept.
    Sessions(Arc<str>),
    /// The session of a member of a consumer or streams group.
    Session(Arc<str>, Arc<str>),
    /// The time of a member of a consumer or streams group to give up partitions or tasks.
    Rebalance(Arc<str>, Arc<str>),
    /// The time of a classic member of a consumer group to join again.
    MemberJoin(Arc<str>, Arc<str>),
    /// The time of a classic member of a consumer group to sync.
    MemberSync(Arc<str>, Arc<str>),
    /// A group's regular expressions are to be matched.
    Resolve(Arc<str>),
    /// A consumer group has become a classic one.
    Downgraded(Arc<str>),
    /// The delay of a streams group's first assignment.
    InitialRebalance(Arc<str>),
    /// The next look for expired offsets and groups.
    CleanUp,
}

impl TimerKey {
    pub(crate) fn heartbeat(group_id: &Arc<str>, member_id: &Arc<str>) -> TimerKey {
        TimerKey::Heartbeat(Arc::clone(group_id), Arc::clone(member_id))
    }

    pub(crate) fn join(group_id: &Arc<str>) -> TimerKey {
        TimerKey::Join(Arc::clone(group_id))
    }

    pub(crate) fn session(group_id: &Arc<str>, member_id: &Arc<str>) -> TimerKey {
        TimerKey::Session(Arc::clone(group_id), Arc::clone(member_id))
    }

    pub(crate) fn rebalance(group_id: &Arc<str>, member_id: &Arc<str>) -> TimerKey {
        TimerKey::Rebalance(Arc::clone(group_id), Arc::clone(member_id))
    }

    pub(crate) fn member_join(group_id: &Arc<str>, member_id: &Arc<str>) -> TimerKey {
        TimerKey::MemberJoin(Arc::clone(group_id), Arc::clone(member_id))
    }

    pub(crate) fn member_sync(group_id: &Arc<str>, member_id: &Arc<str>) -> TimerKey {
        TimerKey::MemberSync(Arc::clone(group_id), Arc::clone(member_id))
    }

    pub(crate) fn sync(group_id: &Arc<str>) -> TimerKey {
        TimerKey::Sync(Arc::clone(group_id))
    }
}

/// What a timer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The member was not heard of.
    Heartbeat,
    /// The delay of a new group is over.
    InitialJoin {
        /// How long it was, in milliseconds.
        delay_ms: i64,
        /// How much longer it may become.
        remaining_ms: i64,
    },
    /// The time to join is over.
    Join,
    /// The time to sync is over.
    Sync {
        /// The generation it was for.
        generation_id: i32,
    },
    /// The member of a consumer group was not heard of.
    Session,
    /// The member has not given up its partitions.
    Rebalance {
        /// The epoch it was in.
        member_epoch: i32,
    },
    /// The classic member has not joined again.
    MemberJoin,
    /// The classic member has not synced.
    MemberSync,
    /// Match the expressions.
    Resolve,
    /// Assign the tasks of the streams group.
    InitialRebalance,
    /// Have the members of the classic group join again.
    Downgraded,
    /// Nobody of a kept group can be alive.
    Sessions,
    /// Look for what has expired.
    CleanUp,
}

/// The state of one partition.
pub struct GroupShard {
    /// Its groups.
    pub(crate) groups: GroupMetadataManager,
    /// Its offsets.
    pub(crate) offsets: OffsetMetadataManager,
    pub(crate) env: Arc<Env>,
}

impl GroupShard {
    pub(crate) fn new(env: Arc<Env>) -> GroupShard {
        GroupShard { groups: GroupMetadataManager::default(), offsets: OffsetMetadataManager::default(), env }
    }

    /// Its groups.
    pub fn groups(&self) -> &GroupMetadataManager {
        &self.groups
    }

    /// Its offsets.
    pub fn offsets(&self) -> &OffsetMetadataManager {
        &self.offsets
    }
}

impl GroupShard {
    /// Whether this is a consumer group with members.
    pub(crate) fn has_consumer_group_members(&self, group_id: &str) -> bool {
        self.groups.consumer(group_id).is_some_and(|group| group.members().len() > 0)
    }

    /// Removes a member of a consumer or streams group. Not an error if it is gone already.
    fn fence(
        &mut self,
        group_id: &str,
        member_id: &Arc<str>,
        reason: &str,
        ctx: &mut Ctx<'_>,
    ) -> GroupResult<()> {
        match self.groups.get(group_id) {
            Some(Group::Streams(_)) => self.fence_streams_member(group_id, member_id, reason, ctx),
            _ => self.fence_member(group_id, member_id, reason, ctx),
        }
    }

    /// Topics with these names are new, different or gone.
    pub(crate) fn request_metadata_refresh(&mut self, names: &[String]) {
        for (_, group) in self.groups.iter_mut() {
            match group {
                Group::Consumer(group) if names.iter().any(|name| group.is_subscribed_to_topic(name)) => {
                    group.request_metadata_refresh();
                }
                Group::Streams(group) if group.requires_any(names) => group.request_metadata_refresh(),
                _ => {}
            }
        }
    }
}

impl CoordinatorShard for GroupShard {
    type Record = GroupRecord;
    type TimerKey = TimerKey;
    type Timer = Timer;

    fn encode(record: &GroupRecord) -> Result<EncodedRecord, String> {
        record.encode()
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<GroupRecord, RecordDecodeError> {
        GroupRecord::decode(key, value)
    }

    fn replay(&mut self, offset: i64, producer: Producer, record: GroupRecord) {
        match record {
            GroupRecord::OffsetCommit { key, value } => {
                if let Some(value) = &value {
                    self.groups.expect(&key.group, value.commit_timestamp);
                }
                self.offsets.replay(offset, producer, &key, value);
            }
            GroupRecord::GroupMetadata { key, value } => self.groups.replay_classic(&key.group, value),
            GroupRecord::Consumer(record) => self.groups.replay_consumer(record),
            GroupRecord::Streams(record) => self.groups.replay_streams(record),
            GroupRecord::Modern(record) => self.groups.replay_modern(record),
        }
    }

    fn replay_end_transaction_marker(&mut self, producer: Producer, committed: bool) {
        self.offsets.replay_end_transaction_marker(producer.id, committed);
    }

    fn on_loaded(&mut self, ctx: &mut Ctx<'_>) {
        let env = Arc::clone(&self.env);
        for (group_id, group) in self.groups.iter_mut() {
            match group {
                Group::Classic(group) => {
                    for member in group.members() {
                        group.expect_heartbeat(member.member_id(), ctx);
                    }
                    if group.members().len() > env.config.group_max_size {
                        // The limit was lowered. Whoever is last to join again is out.
                        let decided = group.prepare_rebalance("loaded over capacity", &env, ctx);
                        // Nobody has joined yet, so there is nothing to write.
                        debug_assert!(decided.records().is_empty());
                    }
                }
                Group::Consumer(group) => {
                    let session_ms = env.consumer_settings(group_id).session_timeout_ms;
                    group.members.schedule_timers(group_id, session_ms, ctx);
                }
                Group::Streams(group) => {
                    let session_ms = env.streams_settings(group_id).session_timeout_ms;
                    group.members.schedule_timers(group_id, session_ms, ctx);
                }
                Group::Modern(group) => {
                    if !group.is_empty() {
                        ctx.schedule(
                            TimerKey::Sessions(Arc::clone(group_id)),
                            env.config.group_consumer.session_timeout_ms,
                            Timer::Sessions,
                        );
                    }
                }
            }
        }
        ctx.schedule(TimerKey::CleanUp, env.config.offsets_retention_check_interval_ms, Timer::CleanUp);
    }

    fn on_unloaded(&mut self) {
        for (_, group) in self.groups.iter_mut() {
            if let Group::Classic(group) = group {
                group.fail_all(ErrorCode::NotCoordinator);
            }
        }
    }

    fn on_timer(&mut self, key: TimerKey, timer: Timer, ctx: &mut Ctx<'_>) -> GroupResult<()> {
        let env = Arc::clone(&self.env);
        let group_id = match &key {
            TimerKey::CleanUp => {
                // At least a millisecond, so that this never fires twice at the same time.
                let interval_ms = env.config.offsets_retention_check_interval_ms.max(1);
                ctx.schedule(key, interval_ms, Timer::CleanUp);
                return self.clean_up(ctx.now_ms);
            }
            TimerKey::Sessions(group_id) => {
                if let Some(Group::Modern(group)) = self.groups.get_mut(group_id) {
                    group.sessions_over = true;
                }
                return GroupResult::read(());
            }
            TimerKey::InitialRebalance(group_id) => {
                return self.initial_rebalance_delay_over(group_id, ctx);
            }
            TimerKey::Session(group_id, member_id) => {
                return self.fence(group_id, member_id, "its session is over", ctx);
            }
            TimerKey::Rebalance(group_id, member_id) => {
                let epoch = self.groups.get(group_id).and_then(|group| group.member_epoch(member_id));
                return match timer {
                    Timer::Rebalance { member_epoch } if epoch == Some(member_epoch) => {
                        self.fence(group_id, member_id, "it has not given up in time what it has to", ctx)
                    }
                    _ => GroupResult::read(()),
                };
            }
            TimerKey::MemberJoin(group_id, member_id) => {
                return self.fence_member(group_id, member_id, "it has not joined again in time", ctx);
            }
            TimerKey::MemberSync(group_id, member_id) => {
                return self.fence_member(group_id, member_id, "it has not synced in time", ctx);
            }
            TimerKey::Resolve(group_id) => return self.resolve_regexes(group_id, ctx),
            TimerKey::Downgraded(group_id) => {
                let group = self.groups.classic_mut(group_id);
                return match group.filter(|group| group.state() == ClassicGroupState::Stable) {
                    Some(group) => group.prepare_rebalance("it was a consumer group until now", &env, ctx),
                    None => GroupResult::read(()),
                };
            }
            TimerKey::Heartbeat(group_id, _) | TimerKey::Join(group_id) | TimerKey::Sync(group_id) => {
                group_id
            }
        };
        // A group that was deleted, or has changed its protocol, may leave timers behind.
        let Some(group) = self.groups.classic_mut(group_id) else { return GroupResult::read(()) };
        match (&key, timer) {
            (TimerKey::Heartbeat(_, member_id), _) => group.session_over(member_id, &env, ctx),
            (_, Timer::InitialJoin { delay_ms, remaining_ms }) => {
                group.initial_delay_over(delay_ms, remaining_ms, &env, ctx)
            }
            (_, Timer::Sync { generation_id }) => group.sync_time_over(generation_id, &env, ctx),
            _ => group.complete_join_phase(ctx),
        }
    }
}
