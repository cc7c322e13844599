//! What a coordinator tells of itself (Kafka's `GroupCoordinatorMetrics`): what it counts, and what there is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Group, GroupCoordinator, GroupShard, GroupType};

/// What has happened in the groups of a broker since it started.
#[derive(Default)]
pub struct GroupCounters {
    pub(crate) offset_commits: AtomicU64,
    pub(crate) offset_expirations: AtomicU64,
    pub(crate) offset_deletions: AtomicU64,
    pub(crate) classic_rebalances: AtomicU64,
    pub(crate) consumer_rebalances: AtomicU64,
    pub(crate) streams_rebalances: AtomicU64,
}

impl GroupCounters {
    /// The counters by the names that Kafka has for them, each with what it says.
    pub fn by_name(&self) -> [(&'static str, &'static str, u64); 6] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("offset_commit_count", "Offsets that were committed.", read(&self.offset_commits)),
            ("offset_expiration_count", "Offsets whose time was over.", read(&self.offset_expirations)),
            ("offset_deletion_count", "Offsets that were deleted on request.", read(&self.offset_deletions)),
            (
                "group_completed_rebalance_count",
                "Assignments that members of classic groups have agreed on.",
                read(&self.classic_rebalances),
            ),
            (
                "consumer_group_rebalance_count",
                "New epochs of consumer groups.",
                read(&self.consumer_rebalances),
            ),
            (
                "streams_group_rebalance_count",
                "New epochs of streams groups.",
                read(&self.streams_rebalances),
            ),
        ]
    }
}

/// `count` more.
pub(crate) fn add(counter: &AtomicU64, count: usize) {
    if count > 0 {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// The groups and offsets that a coordinator has.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct GroupCounts {
    /// Committed offsets.
    pub offsets: usize,
    groups: BTreeMap<(GroupType, &'static str), usize>,
}

impl GroupCounts {
    /// The states that groups of a type can be in, by Kafka's names for them.
    pub fn states(group_type: GroupType) -> &'static [&'static str] {
        match group_type {
            GroupType::Classic => &["PreparingRebalance", "CompletingRebalance", "Stable", "Dead", "Empty"],
            GroupType::Consumer => &["Empty", "Assigning", "Reconciling", "Stable", "Dead"],
            GroupType::Share => &["Empty", "Stable", "Dead"],
            GroupType::Streams => &["Empty", "Assigning", "Reconciling", "Stable", "Dead", "NotReady"],
        }
    }

    /// The groups of a type.
    pub fn of_type(&self, group_type: GroupType) -> usize {
        self.groups.iter().filter(|((of, _), _)| *of == group_type).map(|(_, count)| count).sum()
    }

    /// The groups of a type that are in a state.
    pub fn in_state(&self, group_type: GroupType, state: &'static str) -> usize {
        self.groups.get(&(group_type, state)).copied().unwrap_or(0)
    }

    fn add(&mut self, shard: &GroupShard) {
        self.offsets += shard.offsets.count();
        for (_, group) in shard.groups.iter() {
            let state = Group::state_name(group);
            debug_assert!(GroupCounts::states(group.group_type()).contains(&state), "{state}");
            *self.groups.entry((group.group_type(), state)).or_default() += 1;
        }
    }
}

impl GroupCoordinator {
    /// What has happened in the groups of this broker.
    pub fn counters(&self) -> &GroupCounters {
        &self.env().counters
    }

    /// The groups and offsets that this broker has. Looks at all of them, one partition of `__consumer_offsets` after the other.
    pub fn counts(&self, now_ms: i64) -> GroupCounts {
        let mut counts = GroupCounts::default();
        self.inspect_all(now_ms, |shard| counts.add(shard));
        counts
    }
}
