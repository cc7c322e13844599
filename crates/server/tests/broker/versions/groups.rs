//! The APIs of groups and their offsets, in every version.

use std::time::Duration;

use common::{ErrorCode, Uuid};
use protocol::ApiKey;
use protocol::messages::join_group_request::JoinGroupRequestProtocol;
use protocol::messages::*;

use super::ok;
use crate::harness::{Broker, Client, NODE, Topic, error, unique};

pub async fn ask(broker: &Broker, client: &mut Client, topic: &Topic, api: ApiKey, version: i16) {
    match api {
        ApiKey::FindCoordinator => find_coordinator(broker, client, version).await,
        ApiKey::OffsetCommit => {
            let group = group(client).await;
            commit(client, version, &group, topic, 17).await;
            // Before version 6 an epoch cannot be said.
            let epoch = if version >= 6 { 0 } else { -1 };
            assert_eq!(fetch(client, 8, &group, topic).await, (17, epoch, "note".to_owned()));
        }
        ApiKey::OffsetFetch => {
            let group = group(client).await;
            commit(client, 8, &group, topic, 23).await;
            let (offset, epoch, metadata) = fetch(client, version, &group, topic).await;
            assert_eq!((offset, metadata.as_str()), (23, "note"));
            assert_eq!(epoch, if version >= 5 { 0 } else { -1 });
        }
        ApiKey::JoinGroup => drop(join(client, version).await),
        ApiKey::SyncGroup => {
            let member = join(client, 5).await;
            sync(client, version, &member).await;
        }
        ApiKey::Heartbeat => {
            let member = stable_member(client).await;
            let request = HeartbeatRequest {
                group_id: member.group.clone(),
                generation_id: member.generation,
                member_id: member.id.clone(),
                group_instance_id: None,
            };
            let response = client.call(version, &request).await;
            ok(response.error_code);
        }
        ApiKey::LeaveGroup => leave(client, version).await,
        ApiKey::DescribeGroups => describe(client, version).await,
        ApiKey::ListGroups => list(client, version).await,
        ApiKey::DeleteGroups => {
            let group = group(client).await;
            commit(client, 8, &group, topic, 1).await;
            let request = DeleteGroupsRequest { groups_names: vec![group.clone()] };
            let response = client.call(version, &request).await;
            assert_eq!(response.results[0].group_id, group);
            ok(response.results[0].error_code);
            let response = client.call(version, &request).await;
            assert_eq!(error(response.results[0].error_code), ErrorCode::GroupIdNotFound);
        }
        ApiKey::OffsetDelete => delete_offsets(client, topic, version).await,
        ApiKey::ConsumerGroupHeartbeat | ApiKey::ConsumerGroupDescribe => {
            consumer_group(client, topic, api, version).await;
        }
        ApiKey::StreamsGroupHeartbeat | ApiKey::StreamsGroupDescribe => {
            streams_group(client, topic, api, version).await;
        }
        ApiKey::StreamsGroupTopologyDescriptionUpdate => {
            let request = StreamsGroupTopologyDescriptionUpdateRequest::default();
            let response = client.call(version, &request).await;
            assert_eq!(error(response.error_code), ErrorCode::UnsupportedVersion);
        }
        other => panic!("{other} is not of groups"),
    }
}

/// A new group whose coordinator answers.
async fn group(client: &mut Client) -> String {
    let group = unique("group");
    wait_for_coordinator(client, &group).await;
    group
}

/// Waits until the coordinator of a group has begun.
pub async fn wait_for_coordinator(client: &mut Client, group: &str) {
    loop {
        let request = FindCoordinatorRequest { key: group.to_owned(), ..FindCoordinatorRequest::default() };
        let found = client.call(2, &request).await;
        if found.error_code == 0 {
            let request = DescribeGroupsRequest { groups: vec![group.to_owned()], ..Default::default() };
            let described = client.call(5, &request).await;
            if described.groups[0].error_code == 0 {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A consumer group of one member, which is given the topic's partitions, and is described.
async fn consumer_group(client: &mut Client, topic: &Topic, api: ApiKey, version: i16) {
    let group = group(client).await;
    let is_heartbeat = api == ApiKey::ConsumerGroupHeartbeat;
    let request = ConsumerGroupHeartbeatRequest {
        group_id: group.clone(),
        member_id: "a-member".to_owned(),
        rebalance_timeout_ms: 30_000,
        subscribed_topic_names: Some(vec![topic.name.clone()]),
        topic_partitions: Some(Vec::new()),
        ..ConsumerGroupHeartbeatRequest::default()
    };
    let response = client.call(if is_heartbeat { version } else { 1 }, &request).await;
    ok(response.error_code);
    assert_eq!((response.member_id.as_deref(), response.heartbeat_interval_ms), (Some("a-member"), 5_000));
    let assigned = response.assignment.unwrap().topic_partitions;
    assert_eq!((assigned[0].topic_id, assigned[0].partitions.as_slice()), (topic.id, &[0, 1][..]));

    let request = ConsumerGroupDescribeRequest { group_ids: vec![group.clone()], ..Default::default() };
    let response = client.call(if is_heartbeat { 1 } else { version }, &request).await;
    let described = &response.groups[0];
    ok(described.error_code);
    assert_eq!((described.group_id.as_str(), described.group_state.as_str()), (group.as_str(), "Stable"));
    assert_eq!(described.members[0].assignment.topic_partitions[0].topic_name, topic.name);
    let leaving = ConsumerGroupHeartbeatRequest {
        group_id: group.clone(),
        member_id: "a-member".to_owned(),
        member_epoch: -1,
        ..ConsumerGroupHeartbeatRequest::default()
    };
    let response = client.call(1, &leaving).await;
    ok(response.error_code);
}

/// A streams group of one member, whose first assignment waits for others, and which is described.
async fn streams_group(client: &mut Client, topic: &Topic, api: ApiKey, version: i16) {
    let group = group(client).await;
    let is_heartbeat = api == ApiKey::StreamsGroupHeartbeat;
    let subtopology = streams_group_heartbeat_request::Subtopology {
        subtopology_id: "0".to_owned(),
        source_topics: vec![topic.name.clone()],
        ..Default::default()
    };
    let topology = streams_group_heartbeat_request::Topology { epoch: 0, subtopologies: vec![subtopology] };
    let mut request = StreamsGroupHeartbeatRequest {
        group_id: group.clone(),
        member_id: "a-thread".to_owned(),
        rebalance_timeout_ms: 30_000,
        topology: Some(topology),
        active_tasks: Some(Vec::new()),
        standby_tasks: Some(Vec::new()),
        warmup_tasks: Some(Vec::new()),
        process_id: Some("a-process".to_owned()),
        ..StreamsGroupHeartbeatRequest::default()
    };
    let response = client.call(if is_heartbeat { version } else { 1 }, &request).await;
    ok(response.error_code);
    assert_eq!((response.member_id.as_str(), response.member_epoch), ("a-thread", 1));
    assert_eq!(response.status.unwrap()[0].status_code, 5, "the assignment is delayed");

    let describe = StreamsGroupDescribeRequest { group_ids: vec![group.clone()], ..Default::default() };
    let response = client.call(if is_heartbeat { 1 } else { version }, &describe).await;
    let described = &response.groups[0];
    ok(described.error_code);
    assert_eq!((described.group_id.as_str(), described.group_state.as_str()), (group.as_str(), "Assigning"));
    assert_eq!(described.members[0].process_id, "a-process");
    let subtopologies = described.topology.as_ref().and_then(|topology| topology.subtopologies.as_ref());
    assert_eq!(subtopologies.unwrap()[0].source_topics, [topic.name.as_str()]);
    (request.member_epoch, request.topology) = (-1, None);
    ok(client.call(1, &request).await.error_code);

    // An application may not have topics of the brokers.
    request.member_epoch = 0;
    request.topology = Some(streams_group_heartbeat_request::Topology {
        epoch: 0,
        subtopologies: vec![streams_group_heartbeat_request::Subtopology {
            source_topics: vec!["__consumer_offsets".to_owned()],
            ..Default::default()
        }],
    });
    let response = client.call(1, &request).await;
    assert_eq!(error(response.error_code), ErrorCode::StreamsInvalidTopology);
}

async fn find_coordinator(broker: &Broker, client: &mut Client, version: i16) {
    group(client).await;
    let key = unique("find");
    let mut request = FindCoordinatorRequest::default();
    match version {
        4.. => request.coordinator_keys = vec![key.clone(), "another".to_owned()],
        _ => request.key = key.clone(),
    }
    let response = client.call(version, &request).await;
    let port = i32::from(broker.address.port());
    if version >= 4 {
        assert_eq!(response.coordinators.len(), 2);
        let found = &response.coordinators[0];
        ok(found.error_code);
        assert_eq!((found.key.as_str(), found.node_id, found.port), (key.as_str(), NODE, port));
        assert_eq!(found.host, "127.0.0.1");
    } else {
        ok(response.error_code);
        assert_eq!((response.node_id, response.host.as_str(), response.port), (NODE, "127.0.0.1", port));
    }
}

/// Commits an offset of the topic's second partition from outside of the group.
pub async fn commit(client: &mut Client, version: i16, group: &str, topic: &Topic, offset: i64) {
    use offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
    let request = OffsetCommitRequest {
        group_id: group.to_owned(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: if version >= 10 { String::new() } else { topic.name.clone() },
            topic_id: if version >= 10 { topic.id } else { Uuid::ZERO },
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: 1,
                committed_offset: offset,
                committed_leader_epoch: if version >= 6 { 0 } else { -1 },
                committed_metadata: Some("note".to_owned()),
            }],
        }],
        ..OffsetCommitRequest::default()
    };
    let response = client.call(version, &request).await;
    assert_eq!(response.topics.len(), 1);
    if version >= 10 {
        assert_eq!(response.topics[0].topic_id, topic.id);
    } else {
        assert_eq!(response.topics[0].name, topic.name);
    }
    assert_eq!(response.topics[0].partitions[0].partition_index, 1);
    ok(response.topics[0].partitions[0].error_code);
}

/// The committed offset of the topic's second partition, its epoch and metadata.
pub async fn fetch(client: &mut Client, version: i16, group: &str, topic: &Topic) -> (i64, i32, String) {
    use offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics};
    if version >= 8 {
        let request = OffsetFetchRequest {
            groups: vec![OffsetFetchRequestGroup {
                group_id: group.to_owned(),
                topics: Some(vec![OffsetFetchRequestTopics {
                    name: if version >= 10 { String::new() } else { topic.name.clone() },
                    topic_id: if version >= 10 { topic.id } else { Uuid::ZERO },
                    partition_indexes: vec![0, 1],
                }]),
                ..OffsetFetchRequestGroup::default()
            }],
            ..OffsetFetchRequest::default()
        };
        let response = client.call(version, &request).await;
        let answered = &response.groups[0];
        ok(answered.error_code);
        assert_eq!(answered.group_id, group);
        let partitions = &answered.topics[0].partitions;
        let nothing = partitions.iter().find(|partition| partition.partition_index == 0).unwrap();
        assert_eq!((nothing.committed_offset, nothing.error_code), (-1, 0));
        let found = partitions.iter().find(|partition| partition.partition_index == 1).unwrap();
        ok(found.error_code);
        return (found.committed_offset, found.committed_leader_epoch, found.metadata.clone().unwrap());
    }
    let request = OffsetFetchRequest {
        group_id: group.to_owned(),
        topics: Some(vec![OffsetFetchRequestTopic {
            name: topic.name.clone(),
            partition_indexes: vec![0, 1],
        }]),
        ..OffsetFetchRequest::default()
    };
    let response = client.call(version, &request).await;
    ok(response.error_code);
    let partitions = &response.topics[0].partitions;
    let nothing = partitions.iter().find(|partition| partition.partition_index == 0).unwrap();
    assert_eq!((nothing.committed_offset, nothing.error_code), (-1, 0));
    let found = partitions.iter().find(|partition| partition.partition_index == 1).unwrap();
    ok(found.error_code);
    (found.committed_offset, found.committed_leader_epoch, found.metadata.clone().unwrap())
}

/// A member of a group of one.
pub struct Member {
    pub group: String,
    pub id: String,
    pub generation: i32,
}

/// Joins a new group as its only member.
pub async fn join(client: &mut Client, version: i16) -> Member {
    let group = group(client).await;
    let mut request = JoinGroupRequest {
        group_id: group.clone(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: if version >= 1 { 30_000 } else { -1 },
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".to_owned(),
            metadata: b"subscription".to_vec(),
        }],
        ..JoinGroupRequest::default()
    };
    let mut response = client.call(version, &request).await;
    if version >= 4 {
        assert_eq!(error(response.error_code), ErrorCode::MemberIdRequired, "version {version}");
        assert!(!response.member_id.is_empty());
        request.member_id = response.member_id.clone();
        response = client.call(version, &request).await;
    }
    ok(response.error_code);
    assert_eq!(response.generation_id, 1);
    assert_eq!(response.leader, response.member_id);
    assert_eq!(response.protocol_name.as_deref(), Some("range"));
    if version >= 7 {
        assert_eq!(response.protocol_type.as_deref(), Some("consumer"));
    }
    assert!(!response.skip_assignment);
    assert_eq!(response.members.len(), 1);
    assert_eq!(response.members[0].member_id, response.member_id);
    assert_eq!(response.members[0].metadata, b"subscription");
    Member { group, id: response.member_id, generation: response.generation_id }
}

pub async fn sync(client: &mut Client, version: i16, member: &Member) {
    use sync_group_request::SyncGroupRequestAssignment;
    let mut request = SyncGroupRequest {
        group_id: member.group.clone(),
        generation_id: member.generation,
        member_id: member.id.clone(),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: member.id.clone(),
            assignment: b"assignment".to_vec(),
        }],
        ..SyncGroupRequest::default()
    };
    if version >= 5 {
        request.protocol_type = Some("consumer".to_owned());
        request.protocol_name = Some("range".to_owned());
    }
    let response = client.call(version, &request).await;
    ok(response.error_code);
    assert_eq!(response.assignment, b"assignment");
    if version >= 5 {
        assert_eq!(response.protocol_type.as_deref(), Some("consumer"));
        assert_eq!(response.protocol_name.as_deref(), Some("range"));
    }
}

/// A member of a stable group.
pub async fn stable_member(client: &mut Client) -> Member {
    let member = join(client, 5).await;
    sync(client, 3, &member).await;
    member
}

async fn leave(client: &mut Client, version: i16) {
    use leave_group_request::MemberIdentity;
    let member = stable_member(client).await;
    let mut request = LeaveGroupRequest { group_id: member.group.clone(), ..LeaveGroupRequest::default() };
    if version >= 3 {
        let member_id = member.id.clone();
        request.members = vec![MemberIdentity { member_id, ..MemberIdentity::default() }];
    } else {
        request.member_id = member.id.clone();
    }
    let response = client.call(version, &request).await;
    ok(response.error_code);
    if version >= 3 {
        assert_eq!(response.members.len(), 1);
        assert_eq!(response.members[0].member_id, member.id);
        ok(response.members[0].error_code);
    }
    let request = HeartbeatRequest {
        group_id: member.group,
        generation_id: member.generation,
        member_id: member.id,
        group_instance_id: None,
    };
    let response = client.call(4, &request).await;
    assert_eq!(error(response.error_code), ErrorCode::UnknownMemberId);
}

async fn describe(client: &mut Client, version: i16) {
    let member = stable_member(client).await;
    let unknown = unique("unknown");
    let request = DescribeGroupsRequest {
        groups: vec![member.group.clone()],
        include_authorized_operations: version >= 3,
    };
    let response = client.call(version, &request).await;
    let group = &response.groups[0];
    ok(group.error_code);
    assert_eq!((group.group_id.as_str(), group.group_state.as_str()), (member.group.as_str(), "Stable"));
    assert_eq!((group.protocol_type.as_str(), group.protocol_data.as_str()), ("consumer", "range"));
    if version >= 3 {
        assert_eq!(group.authorized_operations, 0b110101001000);
    }
    assert_eq!(group.members.len(), 1);
    let described = &group.members[0];
    assert_eq!((described.member_id.as_str(), described.client_id.as_str()), (member.id.as_str(), "test"));
    assert_eq!(described.client_host, "/127.0.0.1");
    assert_eq!(described.member_metadata, b"subscription");
    assert_eq!(described.member_assignment, b"assignment");
    wait_for_coordinator_of_unknown(client, version, &unknown).await;
}

/// A group that is not there is dead up to version 5, and an error from 6 on.
async fn wait_for_coordinator_of_unknown(client: &mut Client, version: i16, group: &str) {
    let request = DescribeGroupsRequest { groups: vec![group.to_owned()], ..Default::default() };
    let response = client.call(version, &request).await;
    let described = &response.groups[0];
    assert_eq!(described.group_state, "Dead");
    if version >= 6 {
        assert_eq!(error(described.error_code), ErrorCode::GroupIdNotFound);
        assert!(described.error_message.is_some());
    } else {
        ok(described.error_code);
    }
}

async fn list(client: &mut Client, version: i16) {
    let member = stable_member(client).await;
    let response = client.call(version, &ListGroupsRequest::default()).await;
    ok(response.error_code);
    let group = response.groups.iter().find(|group| group.group_id == member.group).unwrap();
    assert_eq!(group.protocol_type, "consumer");
    if version >= 4 {
        assert_eq!(group.group_state, "Stable");
        let request = ListGroupsRequest { states_filter: vec!["Empty".to_owned()], ..Default::default() };
        let response = client.call(version, &request).await;
        assert!(!response.groups.iter().any(|group| group.group_id == member.group));
    }
    if version >= 5 {
        assert_eq!(group.group_type, "classic");
    }
}

async fn delete_offsets(client: &mut Client, topic: &Topic, version: i16) {
    use offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
    let group = group(client).await;
    commit(client, 8, &group, topic, 5).await;
    let request = OffsetDeleteRequest {
        group_id: group.clone(),
        topics: vec![OffsetDeleteRequestTopic {
            name: topic.name.clone(),
            partitions: vec![OffsetDeleteRequestPartition { partition_index: 1 }],
        }],
    };
    let response = client.call(version, &request).await;
    ok(response.error_code);
    ok(response.topics[0].partitions[0].error_code);
    assert_eq!(fetch(client, 8, &group, topic).await.0, -1);
}
