//! Uniform: balance before all, then as few moves as possible.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use common::Uuid;
use foldhash::fast::FixedState;

use super::GroupSpec;
use crate::consumer::Assignment;

/// Overlapping subscriptions may need several rounds of balancing; each about halves what is left.
const MAX_ROUNDS: usize = 16;

pub(super) fn assign(group: &GroupSpec<'_>) -> BTreeMap<Arc<str>, Assignment> {
    if group.topics.is_empty() {
        return BTreeMap::new();
    }
    if group.homogeneous { homogeneous(group) } else { Heterogeneous::new(group).assign() }
}

/// The partitions that a member had and may keep: they exist, it subscribes to them, and nobody before has them.
fn kept<'a>(
    group: &'a GroupSpec<'_>,
    member: &'a super::MemberSpec<'_>,
    taken: &'a HashSet<(Uuid, i32), FixedState>,
) -> impl Iterator<Item = (Uuid, i32)> + 'a {
    member
        .target
        .iter()
        .filter(|(topic, _)| member.topics.contains(topic))
        .flat_map(|(topic, partitions)| partitions.iter().map(|partition| (*topic, *partition)))
        .filter(|(topic, partition)| {
            group.topics.get(topic).is_some_and(|count| partition < count)
                && !taken.contains(&(*topic, *partition))
        })
}

/// All members subscribe to the same: each gets the same number, some one more.
fn homogeneous(group: &GroupSpec<'_>) -> BTreeMap<Arc<str>, Assignment> {
    let total: usize = group.topics.values().map(|count| usize::try_from(*count).unwrap_or(0)).sum();
    let members = group.members.len();
    let minimum = total / members;
    let mut extras = total % members;

    let mut taken: HashSet<(Uuid, i32), FixedState> = HashSet::default();
    let mut unfilled: Vec<(Arc<str>, usize)> = Vec::new();
    let mut assignments: BTreeMap<Arc<str>, Assignment> = BTreeMap::new();
    for (index, (member_id, member)) in group.members.iter().enumerate() {
        let mut has_extra = extras > 0;
        let limit = minimum + usize::from(has_extra);
        let keep: Vec<(Uuid, i32)> = kept(group, member, &taken).take(limit).collect();
        let mut missing = limit - keep.len();
        let assignment: &mut Assignment = assignments.entry(Arc::clone(member_id)).or_default();
        for (topic, partition) in keep {
            assignment.entry(topic).or_default().insert(partition);
            taken.insert((topic, partition));
        }
        if missing > 0 && has_extra && members - index > extras {
            // Another may have one more already, and need not give it up then.
            missing -= 1;
            has_extra = false;
        }
        if missing > 0 {
            unfilled.push((Arc::clone(member_id), missing));
        }
        extras -= usize::from(has_extra);
    }

    let mut free = group
        .topics
        .iter()
        .flat_map(|(topic, count)| (0..*count).map(|partition| (*topic, partition)))
        .filter(|partition| !taken.contains(partition));
    for (member_id, missing) in unfilled {
        let assignment = assignments.entry(member_id).or_default();
        for (topic, partition) in free.by_ref().take(missing) {
            assignment.entry(topic).or_default().insert(partition);
        }
    }
    debug_assert!(free.next().is_none(), "partitions were left over");
    assignments
}

/// Members subscribe to different topics: each partition goes to the one of its subscribers who has the least, then
/// partitions move from who has more to who has less as long as that makes both more alike.
struct Heterogeneous<'a> {
    members: Vec<&'a Arc<str>>,
    /// How many partitions each has.
    loads: Vec<usize>,
    /// The topics, those with the most partitions for a subscriber first.
    topics: Vec<(Uuid, i32)>,
    subscribers: HashMap<Uuid, Vec<usize>, FixedState>,
    owners: HashMap<Uuid, Vec<Option<usize>>, FixedState>,
}

impl<'a> Heterogeneous<'a> {
    fn new(group: &'a GroupSpec<'_>) -> Heterogeneous<'a> {
        let mut subscribers: HashMap<Uuid, Vec<usize>, FixedState> = HashMap::default();
        let mut owners: HashMap<Uuid, Vec<Option<usize>>, FixedState> = group
            .topics
            .iter()
            .map(|(topic, count)| (*topic, vec![None; usize::try_from(*count).unwrap_or(0)]))
            .collect();
        let mut loads = vec![0; group.members.len()];
        let mut taken = HashSet::default();
        for (index, member) in group.members.values().enumerate() {
            for topic in &*member.topics {
                subscribers.entry(*topic).or_default().push(index);
            }
            let keep: Vec<(Uuid, i32)> = kept(group, member, &taken).collect();
            for (topic, partition) in keep {
                taken.insert((topic, partition));
                let slot = usize::try_from(partition)
                    .ok()
                    .and_then(|partition| owners.get_mut(&topic)?.get_mut(partition));
                if let Some(slot) = slot {
                    *slot = Some(index);
                    loads[index] += 1;
                }
            }
        }
        let mut topics: Vec<(Uuid, i32)> =
            group.topics.iter().map(|(topic, count)| (*topic, *count)).collect();
        topics.retain(|(topic, _)| subscribers.contains_key(topic));
        topics.sort_by(|a, b| {
            let per = |topic: &(Uuid, i32)| subscribers.get(&topic.0).map_or(1, Vec::len) as i64;
            // As fractions: partitions by subscribers, the larger first.
            let (left, right) = (i64::from(a.1) * per(b), i64::from(b.1) * per(a));
            right.cmp(&left).then(per(a).cmp(&per(b))).then(a.0.cmp(&b.0))
        });
        Heterogeneous { members: group.members.keys().collect(), loads, topics, subscribers, owners }
    }

    fn assign(mut self) -> BTreeMap<Arc<str>, Assignment> {
        let topics = self.topics.clone();
        for (topic, _) in &topics {
            self.assign_free(*topic);
        }
        for _ in 0..MAX_ROUNDS {
            let mut moved = false;
            for (topic, _) in &topics {
                moved |= self.balance(*topic);
            }
            if !moved {
                break;
            }
        }
        let mut assignments: BTreeMap<Arc<str>, Assignment> =
            self.members.iter().map(|member| (Arc::clone(member), Assignment::new())).collect();
        for (topic, owners) in &self.owners {
            for (partition, owner) in (0i32..).zip(owners) {
                let Some(owner) = owner else { continue };
                if let Some(assignment) = assignments.get_mut(self.members[*owner]) {
                    assignment.entry(*topic).or_default().insert(partition);
                }
            }
        }
        assignments
    }

    fn assign_free(&mut self, topic: Uuid) {
        let (Some(subscribers), Some(owners)) = (self.subscribers.get(&topic), self.owners.get_mut(&topic))
        else {
            return;
        };
        let mut by_load: BTreeSet<(usize, usize)> =
            subscribers.iter().map(|&member| (self.loads[member], member)).collect();
        for owner in owners.iter_mut().filter(|owner| owner.is_none()) {
            let Some((load, member)) = by_load.pop_first() else { return };
            *owner = Some(member);
            self.loads[member] += 1;
            by_load.insert((load + 1, member));
        }
    }

    /// Moves partitions of one topic from who has the most to who has the least. Whether any moved.
    fn balance(&mut self, topic: Uuid) -> bool {
        let (Some(subscribers), Some(owners)) = (self.subscribers.get(&topic), self.owners.get_mut(&topic))
        else {
            return false;
        };
        let mut by_load: BTreeSet<(usize, usize)> =
            subscribers.iter().map(|&member| (self.loads[member], member)).collect();
        let mut of_member: HashMap<usize, Vec<usize>, FixedState> = HashMap::default();
        for (partition, owner) in owners.iter().enumerate() {
            if let Some(owner) = owner {
                of_member.entry(*owner).or_default().push(partition);
            }
        }
        let mut givers: BTreeSet<(Reverse<usize>, usize)> =
            of_member.keys().map(|&member| (Reverse(self.loads[member]), member)).collect();
        let mut moved = false;
        loop {
            let (Some(&(Reverse(most), giver)), Some(&(least, taker))) = (givers.first(), by_load.first())
            else {
                return moved;
            };
            if most <= least + 1 {
                return moved;
            }
            let Some(partition) = of_member.get_mut(&giver).and_then(Vec::pop) else {
                // It has nothing of this topic left to give.
                givers.pop_first();
                continue;
            };
            owners[partition] = Some(taker);
            of_member.entry(taker).or_default().push(partition);
            for (member, load, now) in [(giver, most, most - 1), (taker, least, least + 1)] {
                by_load.remove(&(load, member));
                by_load.insert((now, member));
                givers.remove(&(Reverse(load), member));
                givers.insert((Reverse(now), member));
                self.loads[member] = now;
            }
            moved = true;
        }
    }
}
