//! Listing, describing and deleting the groups of one partition.

use common::ErrorCode;
use protocol::messages::delete_groups_response::DeletableGroupResult;
use protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use protocol::messages::list_groups_response::ListedGroup;

use crate::classic::{ClassicGroup, ClassicGroupState};
use crate::{Ctx, Group, GroupResult, GroupShard, RequestContext};

/// From this version on a group that does not exist is an error; before, it was shown as dead.
const FIRST_VERSION_WITH_GROUP_ID_NOT_FOUND: i16 = 6;

impl GroupShard {
    /// The groups in these states and of these types, in any case; empty lists are for all.
    pub(crate) fn list_groups(&self, states: &[String], types: &[String]) -> Vec<ListedGroup> {
        let wanted = |filter: &[String], name: &str| {
            filter.is_empty() || filter.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(name))
        };
        self.groups
            .iter()
            .filter(|(_, group)| {
                wanted(states, group.state_name()) && wanted(types, group.group_type().name())
            })
            .map(|(group_id, group)| group.as_listed(group_id))
            .collect()
    }

    /// A classic group with its members.
    pub(crate) fn describe_group(&self, client: &RequestContext, group_id: &str) -> DescribedGroup {
        match self.groups.get(group_id) {
            Some(Group::Classic(group)) => describe(group),
            other => {
                let mut described = DescribedGroup {
                    group_id: group_id.to_owned(),
                    group_state: ClassicGroupState::Dead.name().to_owned(),
                    ..Default::default()
                };
                if client.api_version >= FIRST_VERSION_WITH_GROUP_ID_NOT_FOUND {
                    described.error_code = ErrorCode::GroupIdNotFound.code();
                    described.error_message = Some(match other {
                        Some(_) => format!("Group {group_id} is not a classic group."),
                        None => format!("Group {group_id} not found."),
                    });
                }
                described
            }
        }
    }

    /// Deletes groups and their offsets, each with its own outcome.
    pub(crate) fn delete_groups(
        &self,
        group_ids: &[String],
        ctx: &mut Ctx<'_>,
    ) -> GroupResult<Vec<DeletableGroupResult>> {
        let mut records = Vec::new();
        let mut results = Vec::with_capacity(group_ids.len());
        for group_id in group_ids {
            let outcome = match self.groups.get(group_id) {
                None => Err(ErrorCode::GroupIdNotFound),
                Some(group) => group.validate_delete().map(|()| group),
            };
            let error = match outcome {
                Ok(group) => {
                    self.delete_all_offsets(group_id, &mut records);
                    group.tombstones(group_id, &mut records);
                    if let Group::Classic(group) = group {
                        group.cancel_timers(ctx);
                    }
                    tracing::info!("deleting group {group_id}");
                    ErrorCode::None
                }
                Err(error) => error,
            };
            results.push(delete_result(group_id, error));
        }
        GroupResult::new(records, results)
    }
}

pub(crate) fn delete_result(group_id: &str, error: ErrorCode) -> DeletableGroupResult {
    DeletableGroupResult { group_id: group_id.to_owned(), error_code: error.code(), ..Default::default() }
}

fn describe(group: &ClassicGroup) -> DescribedGroup {
    // Before a group is stable, its members' metadata may be for another protocol than the one that will be picked.
    let protocol_name =
        group.protocol_name().filter(|_| group.state() == ClassicGroupState::Stable).unwrap_or_default();
    DescribedGroup {
        group_id: group.group_id.to_string(),
        group_state: group.state().name().to_owned(),
        protocol_type: group.protocol_type().unwrap_or_default().to_owned(),
        protocol_data: protocol_name.to_owned(),
        members: group
            .members()
            .map(|member| DescribedGroupMember {
                member_id: member.member_id().to_owned(),
                group_instance_id: member.group_instance_id().map(str::to_owned),
                client_id: member.client_id().to_owned(),
                client_host: member.client_host().to_owned(),
                member_metadata: member.metadata(protocol_name).unwrap_or_default().to_vec(),
                member_assignment: member.assignment().to_vec(),
            })
            .collect(),
        ..Default::default()
    }
}
