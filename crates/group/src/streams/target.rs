//! The target assignment: which tasks everybody should have (Kafka's `TargetAssignmentBuilder` of streams groups).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::assignor::{self, GroupSpec, MemberSpec, SubtopologySpec};
use super::group::MemberTaskOffsets;
use super::tasks::TasksTuple;
use super::topics::ConfiguredTopology;
use super::topology::AssignmentConfigs;
use super::{StreamsGroup, StreamsGroupMember};
use crate::GroupRecord;

/// The name of the number of standby replicas among the assignment's configs.
pub(crate) const NUM_STANDBY_REPLICAS: &str = "num.standby.replicas";
/// The name of the tags that members must have.
pub(crate) const RACK_AWARE_ASSIGNMENT_TAGS: &str = "rack.aware.assignment.tags";

/// The target as it is for one member.
pub(crate) struct Target {
    pub(crate) epoch: i32,
    pub(crate) tasks: Arc<TasksTuple>,
}

/// With what a target is computed.
pub(crate) struct Computation<'a> {
    pub(crate) group_epoch: i32,
    pub(crate) configured: &'a ConfiguredTopology,
    pub(crate) configs: &'a AssignmentConfigs,
    /// The member whose heartbeat this is, as it will be, and the id of the one whose place it takes.
    pub(crate) updated: Option<&'a StreamsGroupMember>,
    pub(crate) replaced: Option<&'a str>,
    /// What that member has told of offsets just now.
    pub(crate) told: Option<&'a MemberTaskOffsets>,
    pub(crate) now_ms: i64,
}

impl StreamsGroup {
    /// What the member should have, or the one whose place it takes.
    pub(crate) fn target_of(&self, member_id: &str, replaced: Option<&str>) -> Arc<TasksTuple> {
        self.target.get(replaced.unwrap_or(member_id)).cloned().unwrap_or_default()
    }

    /// Computes the target anew and writes what is different; what the updated member should have.
    pub(crate) fn compute_target(
        &self,
        how: &Computation<'_>,
        records: &mut Vec<GroupRecord>,
    ) -> Arc<TasksTuple> {
        let updated_id = how.updated.map(|member| &member.member_id);
        let members: BTreeMap<Arc<str>, &StreamsGroupMember> = self
            .members
            .values()
            .filter(|member| {
                Some(&*member.member_id) != how.replaced && Some(&member.member_id) != updated_id
            })
            .chain(how.updated)
            .map(|member| (Arc::clone(&member.member_id), member))
            .collect();
        let specs = members.iter().map(|(id, member)| {
            let known = self.memory.task_offsets.get(id).map(|offsets| &**offsets);
            let told = how.told.filter(|_| Some(id) == updated_id);
            let spec = MemberSpec {
                process_id: &member.process_id,
                assigned: &member.assigned,
                offsets: told.or(known),
            };
            (Arc::clone(id), spec)
        });
        let subtopologies = how.configured.subtopologies.iter().flatten();
        let spec = GroupSpec {
            members: specs.collect(),
            subtopologies: subtopologies
                // As long as topics are missing there is nothing to do.
                .filter(|_| how.configured.is_ready())
                .map(|(id, subtopology)| SubtopologySpec {
                    id,
                    number_of_tasks: subtopology.number_of_tasks,
                    is_stateful: !subtopology.state_changelog_topics.is_empty(),
                })
                .collect(),
            num_standby_replicas: how
                .configs
                .get(NUM_STANDBY_REPLICAS)
                .and_then(|number| number.parse().ok())
                .unwrap_or(0),
        };
        let assignment = assignor::assign(&spec);
        tracing::info!(
            "computed the target assignment of group {} for epoch {}: {} members, {} subtopologies",
            self.group_id,
            how.group_epoch,
            spec.members.len(),
            spec.subtopologies.len()
        );
        let mut own = Arc::default();
        for (member_id, target) in assignment {
            let is_updated = Some(&member_id) == updated_id;
            let before = match how.replaced {
                Some(replaced) if is_updated => self.target.get(replaced),
                _ => self.target.get(&member_id),
            };
            if before.is_none_or(|before| **before != target) {
                records.push(self.records().target(&member_id, &target));
            }
            if is_updated {
                own = Arc::new(target);
            }
        }
        records.push(self.records().target_metadata(Some((how.group_epoch, how.now_ms))));
        own
    }
}
