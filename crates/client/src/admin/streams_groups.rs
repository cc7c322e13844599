//! Streams groups (KIP-1071): described.

use std::collections::BTreeMap;

use protocol::messages::{StreamsGroupDescribeRequest, StreamsGroupDescribeResponse};

use super::Admin;
use super::group_types::GroupState;
use crate::{ClientError, Node};

pub use protocol::messages::streams_group_describe_response::{
    Assignment as StreamsGroupMemberAssignment, Member as StreamsGroupMemberDescription,
    Subtopology as StreamsGroupSubtopologyDescription, TaskIds as StreamsGroupTaskIds,
};

/// A streams group (`StreamsGroupDescription`).
#[derive(Debug, Clone, PartialEq)]
pub struct StreamsGroupDescription {
    /// The group's id.
    pub group_id: String,
    /// What it is doing.
    pub state: GroupState,
    /// Its epoch.
    pub group_epoch: i32,
    /// The epoch of its assignment.
    pub target_assignment_epoch: i32,
    /// The epoch of its topology, once a member has brought one.
    pub topology_epoch: Option<i32>,
    /// The parts of its topology.
    pub subtopologies: Vec<StreamsGroupSubtopologyDescription>,
    /// Its members.
    pub members: Vec<StreamsGroupMemberDescription>,
    /// Who coordinates it.
    pub coordinator: Node,
}

impl Admin {
    /// Describes streams groups.
    ///
    /// # Errors
    /// If no broker answers. What is wrong with a group stands in its place.
    pub async fn describe_streams_groups(
        &self,
        groups: &[String],
    ) -> Result<BTreeMap<String, Result<StreamsGroupDescription, ClientError>>, ClientError> {
        self.ask_coordinators(groups, async |connection, coordinator, groups| {
            let request = StreamsGroupDescribeRequest {
                group_ids: groups.to_vec(),
                ..StreamsGroupDescribeRequest::default()
            };
            let response: StreamsGroupDescribeResponse = connection.call(&request).await?;
            let answers = response.groups.into_iter().map(|group| {
                let checked = ClientError::check(group.error_code, group.error_message.as_deref());
                let described = checked.map(|()| {
                    let (topology_epoch, subtopologies) = group
                        .topology
                        .map(|topology| (topology.epoch, topology.subtopologies.unwrap_or_default()))
                        .unzip();
                    StreamsGroupDescription {
                        group_id: group.group_id.clone(),
                        state: GroupState::parse(&group.group_state),
                        group_epoch: group.group_epoch,
                        target_assignment_epoch: group.assignment_epoch,
                        topology_epoch,
                        subtopologies: subtopologies.unwrap_or_default(),
                        members: group.members,
                        coordinator: coordinator.clone(),
                    }
                });
                (group.group_id, described)
            });
            Ok(answers.collect())
        })
        .await
    }
}
