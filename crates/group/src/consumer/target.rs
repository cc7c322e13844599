//! The target assignment: what everybody should have (Kafka's `TargetAssignmentBuilder`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use common::Uuid;

use super::assignor::{Assignor, GroupSpec, MemberSpec};
use super::group::ResolvedRegularExpression;
use super::{Assignment, ConsumerGroup, ConsumerGroupMember};
use crate::GroupRecord;
use crate::topics::{Topics, TopicsImage};

/// How a target is computed.
pub(crate) struct Computation {
    pub(crate) group_epoch: i32,
    pub(crate) assignor: Assignor,
    /// Whether all members subscribe to the same.
    pub(crate) homogeneous: bool,
}

/// The target as it is for one member.
pub(crate) struct Target {
    pub(crate) epoch: i32,
    pub(crate) assignment: Arc<Assignment>,
}

/// The ids of the topics that a member subscribes to, by name and by expression, as far as they exist. An expression that
/// has not been matched yet matches nothing.
pub(crate) fn subscribed_topic_ids(
    member: &ConsumerGroupMember,
    resolved: &BTreeMap<String, ResolvedRegularExpression>,
    topics: &dyn TopicsImage,
) -> BTreeSet<Uuid> {
    let by_regex = member.regex().and_then(|regex| resolved.get(regex));
    let by_regex = by_regex.into_iter().flat_map(|resolved| &resolved.topics);
    member.subscribed_topic_names.iter().chain(by_regex).filter_map(|name| topics.topic_id(name)).collect()
}

/// Whether a new target may be computed (KIP-1263): not too soon after the last, unless it is not known when that was.
pub(crate) fn may_compute(assignment_timestamp_ms: i64, interval_ms: i64, now_ms: i64) -> bool {
    assignment_timestamp_ms == 0
        || interval_ms == 0
        || now_ms >= assignment_timestamp_ms.saturating_add(interval_ms)
}

impl ConsumerGroup {
    pub(crate) fn last_target(&self, member: &ConsumerGroupMember) -> Target {
        Target {
            epoch: self.assignment_epoch,
            assignment: self.target_of(&member.member_id, member.instance_id.as_deref()),
        }
    }

    /// Computes the target anew, with `updated` as it will be, and writes what is different.
    pub(crate) fn compute_target(
        &self,
        how: Computation,
        updated: &ConsumerGroupMember,
        topics: &Topics,
        now_ms: i64,
        records: &mut Vec<GroupRecord>,
    ) -> Target {
        let Computation { group_epoch, assignor, homogeneous } = how;
        // A static member that has come back has the place and the target of the one it was.
        let replaced = updated
            .instance_id
            .as_ref()
            .and_then(|instance_id| self.members.id_of_instance(instance_id))
            .filter(|id| **id != updated.member_id);
        let members = self
            .members
            .values()
            .filter(|member| Some(&member.member_id) != replaced && member.member_id != updated.member_id)
            .chain([updated]);
        let target_of = |member: &ConsumerGroupMember| match replaced {
            Some(replaced) if member.member_id == updated.member_id => self.target.get(replaced),
            _ => self.target.get(&member.member_id),
        };

        let mut known: HashMap<(&BTreeSet<String>, &str), Arc<BTreeSet<Uuid>>> = HashMap::new();
        let mut counts: BTreeMap<Uuid, i32> = BTreeMap::new();
        let mut specs: BTreeMap<Arc<str>, MemberSpec<'_>> = BTreeMap::new();
        for member in members {
            let key = (&*member.subscribed_topic_names, member.regex().unwrap_or_default());
            let ids = known.entry(key).or_insert_with(|| {
                let ids = subscribed_topic_ids(member, &self.resolved_regexes, &*topics.image);
                for id in &ids {
                    let name = topics.image.topic_name(*id);
                    let count = name.and_then(|name| topics.image.partition_count(&name));
                    counts.insert(*id, count.unwrap_or(0));
                }
                Arc::new(ids)
            });
            let spec = MemberSpec {
                instance_id: member.instance_id.as_deref(),
                topics: Arc::clone(ids),
                target: target_of(member).cloned().unwrap_or_default(),
            };
            specs.insert(Arc::clone(&member.member_id), spec);
        }

        let spec = GroupSpec { members: specs, topics: counts, homogeneous };
        let mut assignments = assignor.assign(&spec);
        tracing::info!(
            "computed the target assignment of group {} for epoch {group_epoch} by {}: {} members, {} topics",
            self.group_id,
            assignor.name(),
            spec.members.len(),
            spec.topics.len()
        );
        let mut own = Arc::default();
        for (member_id, member) in &spec.members {
            let assignment = assignments.remove(member_id).unwrap_or_default();
            let before = if self.target.contains_key(member_id)
                || (*member_id == updated.member_id && replaced.is_some())
            {
                Some(&*member.target)
            } else {
                None
            };
            if before != Some(&assignment) {
                records.push(self.records().target(member_id, &assignment));
            }
            if *member_id == updated.member_id {
                own = Arc::new(assignment);
            }
        }
        records.push(self.records().target_metadata(group_epoch, now_ms));
        Target { epoch: group_epoch, assignment: own }
    }
}
