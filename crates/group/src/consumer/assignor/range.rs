//! Range: each member has a span of each of its topics. The order of the members is the same for every topic, static members
//! by their instance first, so that partitions with the same index of several topics come to the same member.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::Uuid;

use super::GroupSpec;
use crate::consumer::Assignment;

/// What is left of a topic while members take their spans.
struct Span {
    partitions: i32,
    next: i32,
    quota: i32,
    /// How many members get one partition more.
    extra: i32,
}

pub(super) fn assign(group: &GroupSpec<'_>) -> BTreeMap<Arc<str>, Assignment> {
    let mut members: Vec<_> = group.members.iter().collect();
    // Those with an instance id before those without.
    members.sort_by(|(a_id, a), (b_id, b)| {
        (a.instance_id.is_none(), a.instance_id, a_id).cmp(&(b.instance_id.is_none(), b.instance_id, b_id))
    });
    let mut subscribers: BTreeMap<Uuid, i32> = BTreeMap::new();
    for (_, member) in &members {
        for topic in &*member.topics {
            *subscribers.entry(*topic).or_default() += 1;
        }
    }
    let mut spans: BTreeMap<Uuid, Span> = subscribers
        .into_iter()
        .filter_map(|(topic, members)| {
            let partitions = *group.topics.get(&topic)?;
            let span = Span { partitions, next: 0, quota: partitions / members, extra: partitions % members };
            Some((topic, span))
        })
        .collect();
    members
        .into_iter()
        .map(|(member_id, member)| {
            let mut assignment = Assignment::new();
            for topic in &*member.topics {
                let Some(span) = spans.get_mut(topic) else { continue };
                let quota = span.quota + i32::from(span.extra > 0);
                span.extra = (span.extra - 1).max(0);
                let end = (span.next + quota).min(span.partitions);
                if span.next < end {
                    assignment.insert(*topic, (span.next..end).collect());
                }
                span.next = end;
            }
            (Arc::clone(member_id), assignment)
        })
        .collect()
}
