//! Groups: listed, described, deleted, and members removed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::{ErrorCode, TopicPartition};
use protocol::messages::consumer_group_describe_response::{Assignment, Member};
use protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use protocol::messages::leave_group_request::MemberIdentity;
use protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerProtocolAssignment,
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse,
};
use protocol::{ApiKey, Message, Reader};

use super::Admin;
use super::coordinators::{ByGroup, left_out};
use super::group_types::{GroupState, GroupType};
use crate::connection::Connection;
use crate::{ClientError, Node};

/// The protocol type of consumers, in classic groups.
const CONSUMER: &str = "consumer";

/// A group among others (`GroupListing`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupListing {
    /// The group's id.
    pub group_id: String,
    /// Its type; brokers before Kafka 3.8 do not say.
    pub group_type: Option<GroupType>,
    /// What its members are, such as `consumer`; empty where only offsets were committed.
    pub protocol: String,
    /// Its state; brokers before Kafka 2.6 do not say.
    pub state: Option<GroupState>,
}

/// Which groups to list (`ListGroupsOptions`). Where a filter is empty, all are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupFilter {
    /// Only groups in these states.
    pub states: Vec<GroupState>,
    /// Only groups of these types.
    pub types: Vec<GroupType>,
    /// Only groups whose members are these.
    pub protocols: Vec<String>,
}

impl GroupFilter {
    /// Groups of consumers by either protocol, and those that only have offsets.
    pub fn consumer_groups() -> GroupFilter {
        GroupFilter {
            states: Vec::new(),
            types: vec![GroupType::Classic, GroupType::Consumer],
            protocols: vec![String::new(), CONSUMER.to_owned()],
        }
    }

    /// Streams groups.
    pub fn streams_groups() -> GroupFilter {
        GroupFilter { types: vec![GroupType::Streams], ..GroupFilter::default() }
    }
}

/// A member of a group of consumers (`MemberDescription`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberDescription {
    /// The member's id.
    pub member_id: String,
    /// `group.instance.id`.
    pub group_instance_id: Option<String>,
    /// `client.rack`, from groups of KIP-848.
    pub rack_id: Option<String>,
    /// `client.id`.
    pub client_id: String,
    /// Where it is.
    pub host: String,
    /// What it has.
    pub assignment: BTreeSet<TopicPartition>,
    /// What it is to have, in groups of KIP-848.
    pub target_assignment: Option<BTreeSet<TopicPartition>>,
    /// Its epoch, in groups of KIP-848.
    pub member_epoch: Option<i32>,
    /// Whether it speaks KIP-848, where the broker says so: members of both protocols are in a group while it moves from one to
    /// the other.
    pub upgraded: Option<bool>,
}

/// A group of consumers (`ConsumerGroupDescription`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerGroupDescription {
    /// The group's id.
    pub group_id: String,
    /// Whether it has only offsets.
    pub is_simple: bool,
    /// Its members.
    pub members: Vec<MemberDescription>,
    /// The assignor in use.
    pub partition_assignor: String,
    /// Classic or consumer.
    pub group_type: GroupType,
    /// What it is doing.
    pub state: GroupState,
    /// Who coordinates it.
    pub coordinator: Node,
    /// Its epoch, in groups of KIP-848.
    pub group_epoch: Option<i32>,
    /// The epoch of its assignment, in groups of KIP-848.
    pub target_assignment_epoch: Option<i32>,
}

/// A classic group of whatever members (`ClassicGroupDescription`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicGroupDescription {
    /// The group's id.
    pub group_id: String,
    /// What its members are, such as `consumer` or `connect`.
    pub protocol: String,
    /// The protocol that its members chose.
    pub protocol_data: String,
    /// What it is doing.
    pub state: GroupState,
    /// Who coordinates it.
    pub coordinator: Node,
    /// Its members; what they have is known for consumers.
    pub members: Vec<MemberDescription>,
}

/// A member that is to leave (`MemberToRemove`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberToRemove {
    /// The static member with this `group.instance.id`.
    Instance(String),
    /// The member with this id.
    Member(String),
}

impl Admin {
    /// The groups there are, by id.
    ///
    /// # Errors
    /// If a broker does not answer, or cannot filter by state (before Kafka 2.6) or type (before Kafka 3.8).
    pub async fn list_groups(&self, filter: &GroupFilter) -> Result<Vec<GroupListing>, ClientError> {
        let mut groups = BTreeMap::new();
        for node in self.cluster.nodes().await? {
            let connection = self.cluster.node(node.id).await?;
            let mut request = ListGroupsRequest {
                states_filter: filter.states.iter().map(|state| state.name().to_owned()).collect(),
                types_filter: filter.types.iter().map(|group_type| group_type.name().to_owned()).collect(),
            };
            // Brokers from before the other types have groups of these types only.
            let is_classic = |group_type: &GroupType| *group_type == GroupType::Classic;
            if connection.version(ApiKey::ListGroups, i16::MAX)? < 5 && filter.types.iter().any(is_classic) {
                request.types_filter.clear();
            }
            let response: ListGroupsResponse = connection.call(&request).await?;
            ClientError::check(response.error_code, None)?;
            for group in response.groups {
                if !filter.protocols.is_empty() && !filter.protocols.contains(&group.protocol_type) {
                    continue;
                }
                let listing = GroupListing {
                    group_type: Some(group.group_type)
                        .filter(|name| !name.is_empty())
                        .map(|name| GroupType::parse(&name)),
                    state: Some(group.group_state)
                        .filter(|name| !name.is_empty())
                        .map(|name| GroupState::parse(&name)),
                    protocol: group.protocol_type,
                    group_id: group.group_id,
                };
                groups.insert(listing.group_id.clone(), listing);
            }
        }
        Ok(groups.into_values().collect())
    }

    /// Describes groups of consumers, by either protocol.
    ///
    /// # Errors
    /// If no broker answers. What is wrong with a group stands in its place.
    pub async fn describe_consumer_groups(
        &self,
        groups: &[String],
    ) -> Result<BTreeMap<String, Result<ConsumerGroupDescription, ClientError>>, ClientError> {
        let mut described = self.ask_coordinators(groups, describe_by_new_protocol).await?;
        let unknown = |answer: &Result<_, ClientError>| {
            let code = answer.as_ref().err().and_then(ClientError::code);
            let unsupported = matches!(answer, Err(ClientError::UnsupportedApi { .. }));
            unsupported || matches!(code, Some(ErrorCode::GroupIdNotFound | ErrorCode::UnsupportedVersion))
        };
        let classic: Vec<String> =
            described.iter().filter(|(_, answer)| unknown(answer)).map(|(group, _)| group.clone()).collect();
        if classic.is_empty() {
            return Ok(described);
        }
        for (group, answer) in self.ask_coordinators(&classic, describe_classic).await? {
            let answer = answer.and_then(as_consumer_group);
            let is_missing =
                |error: &ClientError| error.code().is_some_and(|code| code == ErrorCode::GroupIdNotFound);
            match (described.get(&group), &answer) {
                // What the first answer says of a group that is not there at all says more than the second.
                (Some(Err(first)), Err(second)) if is_missing(first) && is_missing(second) => {}
                _ => drop(described.insert(group, answer)),
            }
        }
        Ok(described)
    }

    /// Describes classic groups of whatever members.
    ///
    /// # Errors
    /// If no broker answers. What is wrong with a group stands in its place.
    pub async fn describe_classic_groups(
        &self,
        groups: &[String],
    ) -> Result<BTreeMap<String, Result<ClassicGroupDescription, ClientError>>, ClientError> {
        self.ask_coordinators(groups, describe_classic).await
    }

    /// Deletes groups, with their offsets.
    ///
    /// # Errors
    /// If no broker answers. What is wrong with a group stands in its place.
    pub async fn delete_groups(
        &self,
        groups: &[String],
    ) -> Result<BTreeMap<String, Result<(), ClientError>>, ClientError> {
        self.ask_coordinators(groups, async |connection, _, groups| {
            let request = DeleteGroupsRequest { groups_names: groups.to_vec() };
            let response: DeleteGroupsResponse = connection.call(&request).await?;
            let results = response.results.into_iter().map(|result| {
                let checked = ClientError::check(result.error_code, result.error_message.as_deref());
                (result.group_id, checked)
            });
            Ok(results.collect())
        })
        .await
    }

    /// Removes members from a group. What became of each, in their order.
    ///
    /// # Errors
    /// If no broker answers, or the group is not there. What is wrong with a member stands in its place.
    pub async fn remove_members(
        &self,
        group: &str,
        members: &[MemberToRemove],
        reason: Option<&str>,
    ) -> Result<Vec<Result<(), ClientError>>, ClientError> {
        let request = LeaveGroupRequest {
            group_id: group.to_owned(),
            members: members
                .iter()
                .map(|member| {
                    let (member_id, group_instance_id) = match member {
                        MemberToRemove::Instance(id) => (String::new(), Some(id.clone())),
                        MemberToRemove::Member(id) => (id.clone(), None),
                    };
                    let reason = reason.map(str::to_owned);
                    MemberIdentity { member_id, group_instance_id, reason }
                })
                .collect(),
            ..LeaveGroupRequest::default()
        };
        let response: LeaveGroupResponse = self
            .ask_coordinator(group, async |connection| {
                let response: LeaveGroupResponse = connection.call(&request).await?;
                ClientError::check(response.error_code, None)?;
                Ok(response)
            })
            .await?;
        let result = |member: &MemberToRemove| {
            let answer = response.members.iter().find(|answer| match member {
                MemberToRemove::Instance(id) => answer.group_instance_id.as_ref() == Some(id),
                MemberToRemove::Member(id) => answer.member_id == *id,
            });
            answer.map_or_else(|| Err(left_out()), |answer| ClientError::check(answer.error_code, None))
        };
        Ok(members.iter().map(result).collect())
    }
}

async fn describe_by_new_protocol(
    connection: Arc<Connection>,
    coordinator: &Node,
    groups: &[String],
) -> Result<ByGroup<ConsumerGroupDescription>, ClientError> {
    let request = ConsumerGroupDescribeRequest {
        group_ids: groups.to_vec(),
        ..ConsumerGroupDescribeRequest::default()
    };
    let response: ConsumerGroupDescribeResponse = connection.call(&request).await?;
    let answers = response.groups.into_iter().map(|group| {
        let checked = ClientError::check(group.error_code, group.error_message.as_deref());
        let described = checked.map(|()| ConsumerGroupDescription {
            group_id: group.group_id.clone(),
            is_simple: false,
            members: group.members.into_iter().map(member).collect(),
            partition_assignor: group.assignor_name,
            group_type: GroupType::Consumer,
            state: GroupState::parse(&group.group_state),
            coordinator: coordinator.clone(),
            group_epoch: Some(group.group_epoch),
            target_assignment_epoch: Some(group.assignment_epoch),
        });
        (group.group_id, described)
    });
    Ok(answers.collect())
}

fn member(member: Member) -> MemberDescription {
    MemberDescription {
        member_id: member.member_id,
        group_instance_id: member.instance_id,
        rack_id: member.rack_id,
        client_id: member.client_id,
        host: member.client_host,
        assignment: partitions(&member.assignment),
        target_assignment: Some(partitions(&member.target_assignment)),
        member_epoch: Some(member.member_epoch),
        upgraded: (member.member_type != -1).then_some(member.member_type == 1),
    }
}

fn partitions(assignment: &Assignment) -> BTreeSet<TopicPartition> {
    let topics = assignment.topic_partitions.iter();
    let all = topics.flat_map(|topic| {
        let name: Arc<str> = Arc::from(topic.topic_name.as_str());
        topic.partitions.iter().map(move |partition| TopicPartition::new(Arc::clone(&name), *partition))
    });
    all.collect()
}

async fn describe_classic(
    connection: Arc<Connection>,
    coordinator: &Node,
    groups: &[String],
) -> Result<ByGroup<ClassicGroupDescription>, ClientError> {
    let request = DescribeGroupsRequest { groups: groups.to_vec(), ..DescribeGroupsRequest::default() };
    let response: DescribeGroupsResponse = connection.call(&request).await?;
    let mut answers: ByGroup<ClassicGroupDescription> = BTreeMap::new();
    for group in response.groups {
        let id = group.group_id.clone();
        let checked = ClientError::check(group.error_code, group.error_message.as_deref());
        answers.insert(id, checked.and_then(|()| classic_group(group, coordinator)));
    }
    Ok(answers)
}

fn classic_group(group: DescribedGroup, coordinator: &Node) -> Result<ClassicGroupDescription, ClientError> {
    let of_consumers = group.protocol_type == CONSUMER || group.protocol_type.is_empty();
    let members = group.members.iter().map(|member| classic_member(member, of_consumers));
    Ok(ClassicGroupDescription {
        members: members.collect::<Result<Vec<_>, ClientError>>()?,
        group_id: group.group_id,
        protocol: group.protocol_type,
        protocol_data: group.protocol_data,
        state: GroupState::parse(&group.group_state),
        coordinator: coordinator.clone(),
    })
}

fn classic_member(
    member: &DescribedGroupMember,
    of_consumers: bool,
) -> Result<MemberDescription, ClientError> {
    let assignment = match of_consumers && !member.member_assignment.is_empty() {
        true => read_assignment(&member.member_assignment).map_err(|error| {
            ClientError::Damaged(format!(
                "the assignment of member {} cannot be read: {error}",
                member.member_id
            ))
        })?,
        false => BTreeSet::new(),
    };
    Ok(MemberDescription {
        member_id: member.member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        rack_id: None,
        client_id: member.client_id.clone(),
        host: member.client_host.clone(),
        assignment,
        target_assignment: None,
        member_epoch: None,
        upgraded: None,
    })
}

/// An assignment as the leader of a classic group of consumers wrote it: its version, and the message.
fn read_assignment(bytes: &[u8]) -> Result<BTreeSet<TopicPartition>, protocol::DecodeError> {
    /// Later versions begin as this one does.
    const LAST_VERSION: i16 = 3;
    let mut reader = Reader::new(bytes);
    let version = reader.i16()?.clamp(0, LAST_VERSION);
    let assignment = ConsumerProtocolAssignment::read(&mut reader, version)?;
    let topics = assignment.assigned_partitions.into_iter();
    let all = topics.flat_map(|topic| {
        let name: Arc<str> = Arc::from(topic.topic);
        topic.partitions.into_iter().map(move |partition| TopicPartition::new(Arc::clone(&name), partition))
    });
    Ok(all.collect())
}

fn as_consumer_group(group: ClassicGroupDescription) -> Result<ConsumerGroupDescription, ClientError> {
    if group.protocol != CONSUMER && !group.protocol.is_empty() {
        return Err(ClientError::Unsuitable(format!(
            "GroupId {} is not a consumer group ({}).",
            group.group_id, group.protocol
        )));
    }
    Ok(ConsumerGroupDescription {
        group_id: group.group_id,
        is_simple: group.protocol.is_empty(),
        members: group.members,
        partition_assignor: group.protocol_data,
        group_type: GroupType::Classic,
        state: group.state,
        coordinator: group.coordinator,
        group_epoch: None,
        target_assignment_epoch: None,
    })
}
