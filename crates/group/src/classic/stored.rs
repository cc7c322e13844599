//! A classic group as it is stored: one record with all of it.

use std::collections::HashMap;
use std::sync::Arc;

use protocol::messages::group_metadata_value::{GroupMetadataValue, MemberMetadata};
use protocol::messages::{GroupMetadataKey, join_group_request::JoinGroupRequestProtocol};

use super::group::ClassicGroup;
use super::member::ClassicGroupMember;
use super::state::ClassicGroupState;
use crate::GroupRecord;

impl ClassicGroup {
    /// The group with these assignments; without any, the group as it is when nobody is in it.
    pub(crate) fn to_record(&self, assignments: Option<&HashMap<Arc<str>, Vec<u8>>>) -> GroupRecord {
        let protocol_name = self.protocol_name.as_deref().unwrap_or_default();
        let members = assignments.map_or_else(Vec::new, |assignments| {
            self.members
                .values()
                .map(|member| MemberMetadata {
                    member_id: member.member_id.to_string(),
                    group_instance_id: member.group_instance_id.clone(),
                    client_id: member.client_id.clone(),
                    client_host: member.client_host.clone(),
                    rebalance_timeout: member.rebalance_timeout_ms,
                    session_timeout: member.session_timeout_ms,
                    subscription: member.metadata(protocol_name).unwrap_or_default().to_vec(),
                    assignment: assignments.get(&member.member_id).cloned().unwrap_or_default(),
                })
                .collect()
        });
        GroupRecord::GroupMetadata {
            key: GroupMetadataKey { group: self.group_id.to_string() },
            value: Some(GroupMetadataValue {
                protocol_type: self.protocol_type.clone().unwrap_or_default(),
                generation: self.generation_id,
                protocol: self.protocol_name.clone(),
                leader: self.leader_id.as_deref().map(str::to_owned),
                current_state_timestamp: self.current_state_timestamp.unwrap_or(-1),
                members,
            }),
        }
    }

    /// The record that makes a group exist before its first generation: without it a failure would forget the group, and
    /// a member that was given an id would be unknown.
    pub(crate) fn to_new_group_record(&self) -> GroupRecord {
        GroupRecord::GroupMetadata {
            key: GroupMetadataKey { group: self.group_id.to_string() },
            value: Some(GroupMetadataValue {
                protocol_type: String::new(),
                generation: 0,
                protocol: None,
                leader: None,
                current_state_timestamp: self.current_state_timestamp.unwrap_or(-1),
                members: Vec::new(),
            }),
        }
    }

    /// The group that a record describes.
    pub(crate) fn from_record(group_id: Arc<str>, value: GroupMetadataValue) -> ClassicGroup {
        let mut group = ClassicGroup::new(group_id, 0);
        group.current_state_timestamp =
            (value.current_state_timestamp != -1).then_some(value.current_state_timestamp);
        group.state =
            if value.members.is_empty() { ClassicGroupState::Empty } else { ClassicGroupState::Stable };
        group.generation_id = value.generation;
        group.protocol_name = value.protocol;
        // Of the members, only what they sent for the picked protocol is stored.
        let protocol_name = group.protocol_name.clone().unwrap_or_default();
        for member in value.members {
            let known_instance =
                member.group_instance_id.as_ref().is_some_and(|id| group.static_members.contains_key(id));
            if known_instance || group.members.contains_key(member.member_id.as_str()) {
                tracing::error!("group {} is stored with member {} twice", group.group_id, member.member_id);
                continue;
            }
            group.add(ClassicGroupMember {
                member_id: Arc::from(member.member_id),
                group_instance_id: member.group_instance_id,
                client_id: member.client_id,
                client_host: member.client_host,
                rebalance_timeout_ms: match member.rebalance_timeout {
                    -1 => member.session_timeout,
                    timeout_ms => timeout_ms,
                },
                session_timeout_ms: member.session_timeout,
                protocol_type: value.protocol_type.clone(),
                protocols: vec![JoinGroupRequestProtocol {
                    name: protocol_name.clone(),
                    metadata: member.subscription,
                }],
                assignment: member.assignment,
                awaiting_join: None,
                awaiting_sync: None,
                is_new: false,
            });
        }
        group.protocol_type = Some(value.protocol_type).filter(|protocol_type| !protocol_type.is_empty());
        group.leader_id = value.leader.map(Arc::from);
        if group.leader_id.as_ref().is_some_and(|leader_id| !group.members.contains_key(leader_id)) {
            // Nobody would bring the assignment.
            group.leader_id = group.members.keys().next().cloned();
        }
        group.subscribed_topics = group.compute_subscribed_topics();
        group
    }
}
