//! Groups as consumers use them: two members share a topic, one leaves, offsets are committed and found again.

use common::{ErrorCode, Uuid};
use protocol::messages::join_group_request::JoinGroupRequestProtocol;
use protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use protocol::messages::*;

use crate::harness::{Broker, Cases, Client, Topic, error, unique};
use crate::versions::groups::{Member, commit, join, stable_member, sync, wait_for_coordinator};

fn join_request(group: &str, member: &str, metadata: &[u8]) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: group.to_owned(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        member_id: member.to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".to_owned(), metadata: metadata.to_vec() }],
        ..JoinGroupRequest::default()
    }
}

async fn heartbeat(client: &mut Client, group: &str, member: &str, generation_id: i32) -> ErrorCode {
    let request = HeartbeatRequest {
        group_id: group.to_owned(),
        generation_id,
        member_id: member.to_owned(),
        group_instance_id: None,
    };
    error(client.call(4, &request).await.error_code)
}

fn sync_request(
    group: &str,
    member: &str,
    generation_id: i32,
    assignments: &[(&str, &[u8])],
) -> SyncGroupRequest {
    SyncGroupRequest {
        group_id: group.to_owned(),
        generation_id,
        member_id: member.to_owned(),
        assignments: assignments
            .iter()
            .map(|(member, assignment)| SyncGroupRequestAssignment {
                member_id: (*member).to_owned(),
                assignment: assignment.to_vec(),
            })
            .collect(),
        ..SyncGroupRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_members_share_a_topic_until_one_leaves() {
    let broker = Broker::start().await;
    let (mut one, mut two) = (broker.connect().await, broker.connect().await);
    let first = stable_member(&mut one).await;
    let group = first.group.as_str();
    assert_eq!(heartbeat(&mut one, group, &first.id, 1).await, ErrorCode::None);
    // A second member is told its id, and joins with it.
    let told = two.call(5, &join_request(group, "", b"second")).await;
    assert_eq!(error(told.error_code), ErrorCode::MemberIdRequired);
    let second = told.member_id;
    two.send(5, &join_request(group, &second, b"second")).await;
    // The first hears of it with its heartbeat, and joins again; both are answered together.
    while heartbeat(&mut one, group, &first.id, 1).await != ErrorCode::RebalanceInProgress {}
    let leader = one.call(5, &join_request(group, &first.id, b"first")).await;
    let follower = two.receive::<JoinGroupRequest>(5).await;
    assert_eq!((leader.error_code, follower.error_code), (0, 0));
    assert_eq!((leader.generation_id, follower.generation_id), (2, 2));
    assert_eq!((leader.leader.as_str(), follower.leader.as_str()), (first.id.as_str(), first.id.as_str()));
    let mut members: Vec<(&str, &[u8])> =
        leader.members.iter().map(|member| (member.member_id.as_str(), member.metadata.as_slice())).collect();
    members.sort_by_key(|member| member.1);
    assert_eq!(members, [(first.id.as_str(), b"first".as_slice()), (second.as_str(), b"second")]);
    assert!(follower.members.is_empty());
    // The follower's share comes when the leader has said what it is.
    two.send(3, &sync_request(group, &second, 2, &[])).await;
    let shares: [(&str, &[u8]); 2] = [(&first.id, b"share one"), (&second, b"share two")];
    let share = one.call(3, &sync_request(group, &first.id, 2, &shares)).await;
    assert_eq!((share.error_code, share.assignment.as_slice()), (0, b"share one".as_slice()));
    let share = two.receive::<SyncGroupRequest>(3).await;
    assert_eq!((share.error_code, share.assignment.as_slice()), (0, b"share two".as_slice()));
    assert_eq!(heartbeat(&mut two, group, &second, 2).await, ErrorCode::None);
    // The leader leaves: the other is alone.
    let leave = LeaveGroupRequest {
        group_id: group.to_owned(),
        member_id: first.id.clone(),
        ..LeaveGroupRequest::default()
    };
    assert_eq!(one.call(2, &leave).await.error_code, 0);
    assert_eq!(heartbeat(&mut two, group, &second, 2).await, ErrorCode::RebalanceInProgress);
    let alone = two.call(5, &join_request(group, &second, b"second")).await;
    assert_eq!((alone.error_code, alone.generation_id, alone.members.len()), (0, 3, 1));
    assert_eq!(alone.leader, second);
    let share = two.call(3, &sync_request(group, &second, 3, &[(&second, b"all")])).await;
    assert_eq!(share.assignment, b"all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_another_time_are_refused() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let member = stable_member(&mut client).await;
    let group = member.group.as_str();
    let topic = client.create_topic("groups", 2, &[]).await;
    let mut cases = Cases::default();
    for (what, id, generation, expected) in [
        ("as it is", member.id.as_str(), 1, ErrorCode::None),
        ("a generation that is over", &member.id, 0, ErrorCode::IllegalGeneration),
        ("a generation to come", &member.id, 2, ErrorCode::IllegalGeneration),
        ("somebody else", "nobody", 1, ErrorCode::UnknownMemberId),
        ("nobody", "", 1, ErrorCode::UnknownMemberId),
    ] {
        cases.check(what, heartbeat(&mut client, group, id, generation).await, expected);
        let request = sync_request(group, id, generation, &[]);
        cases.check(what, error(client.call(3, &request).await.error_code), expected);
        let commit = commit_as(&mut client, group, id, generation, &topic).await;
        cases.check(format!("{what}, a commit"), commit, expected);
    }
    for (what, request, expected) in [
        (
            "no protocols",
            JoinGroupRequest { protocols: vec![], ..join_request(group, "", b"") },
            ErrorCode::InconsistentGroupProtocol,
        ),
        (
            "another kind of group",
            JoinGroupRequest { protocol_type: "connect".to_owned(), ..join_request(group, "", b"") },
            ErrorCode::InconsistentGroupProtocol,
        ),
        ("a member that is none", join_request(group, "nobody", b""), ErrorCode::UnknownMemberId),
        (
            "a short session",
            JoinGroupRequest { session_timeout_ms: 10, ..join_request(group, "", b"") },
            ErrorCode::InvalidSessionTimeout,
        ),
        (
            "a long session",
            JoinGroupRequest { session_timeout_ms: i32::MAX, ..join_request(group, "", b"") },
            ErrorCode::InvalidSessionTimeout,
        ),
        ("a group without name", join_request("", "", b""), ErrorCode::InvalidGroupId),
    ] {
        let response = client.call(5, &request).await;
        cases.check(what, error(response.error_code), expected);
        cases.check(what, response.generation_id, -1);
    }
    let response = client
        .call(
            3,
            &LeaveGroupRequest {
                group_id: group.to_owned(),
                members: vec![
                    leave_group_request::MemberIdentity {
                        member_id: "nobody".to_owned(),
                        ..Default::default()
                    },
                    leave_group_request::MemberIdentity {
                        member_id: member.id.clone(),
                        ..Default::default()
                    },
                ],
                ..LeaveGroupRequest::default()
            },
        )
        .await;
    let left: Vec<ErrorCode> = response.members.iter().map(|member| error(member.error_code)).collect();
    cases.check("leaving", left, vec![ErrorCode::UnknownMemberId, ErrorCode::None]);
}

/// Commits an offset as a member.
async fn commit_as(
    client: &mut Client,
    group: &str,
    member: &str,
    generation: i32,
    topic: &Topic,
) -> ErrorCode {
    use offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
    let request = OffsetCommitRequest {
        group_id: group.to_owned(),
        generation_id_or_member_epoch: generation,
        member_id: member.to_owned(),
        topics: vec![OffsetCommitRequestTopic {
            name: topic.name.clone(),
            partitions: vec![OffsetCommitRequestPartition {
                committed_offset: 1,
                ..OffsetCommitRequestPartition::default()
            }],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    };
    let response = client.call(8, &request).await;
    error(response.topics[0].partitions[0].error_code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_are_for_topics_that_are_there() {
    use offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("committed", 2, &[]).await;
    let group = unique("offsets");
    wait_for_coordinator(&mut client, &group).await;
    let unknown = unique("unknown");
    let request = |name: &str, partition_index: i32, metadata: Option<String>| OffsetCommitRequest {
        group_id: group.clone(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: name.to_owned(),
            topic_id: Uuid::ZERO,
            partitions: vec![OffsetCommitRequestPartition {
                partition_index,
                committed_offset: 3,
                committed_leader_epoch: -1,
                committed_metadata: metadata,
            }],
        }],
        ..OffsetCommitRequest::default()
    };
    let mut cases = Cases::default();
    for (what, request, expected) in [
        ("there", request(&topic.name, 0, None), ErrorCode::None),
        ("a partition that is not", request(&topic.name, 2, None), ErrorCode::UnknownTopicOrPartition),
        ("a topic that is not", request(&unknown, 0, None), ErrorCode::UnknownTopicOrPartition),
        ("a long note", request(&topic.name, 0, Some("x".repeat(4097))), ErrorCode::OffsetMetadataTooLarge),
    ] {
        let response = client.call(8, &request).await;
        let partition = &response.topics[0].partitions[0];
        cases.check(what, error(partition.error_code), expected);
    }
    let mut by_id = request("", 0, None);
    by_id.topics[0].topic_id = Uuid::random();
    let response = client.call(10, &by_id).await;
    cases.check(
        "an id that is not",
        error(response.topics[0].partitions[0].error_code),
        ErrorCode::UnknownTopicId,
    );
    // All that were committed, and those of a group that is not there.
    commit(&mut client, 8, &group, &topic, 9).await;
    let all =
        |group: &str| OffsetFetchRequest { group_id: group.to_owned(), topics: None, ..Default::default() };
    let response = client.call(5, &all(&group)).await;
    let mut found: Vec<(i32, i64, Option<String>)> = response.topics[0]
        .partitions
        .iter()
        .map(|partition| (partition.partition_index, partition.committed_offset, partition.metadata.clone()))
        .collect();
    found.sort();
    cases.check("all", found, vec![(0, 3, Some(String::new())), (1, 9, Some("note".to_owned()))]);
    let response = client.call(5, &all(&unique("nobody"))).await;
    cases.check("nobody", (response.error_code, response.topics.len()), (0, 0));
    // A deleted topic takes its offsets with it.
    let delete = DeleteTopicsRequest {
        topics: vec![delete_topics_request::DeleteTopicState { name: None, topic_id: topic.id }],
        timeout_ms: 30_000,
        ..DeleteTopicsRequest::default()
    };
    assert_eq!(client.call(6, &delete).await.responses[0].error_code, 0);
    while !client.call(5, &all(&group)).await.topics.is_empty() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_static_member_keeps_its_place() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let group = unique("static");
    wait_for_coordinator(&mut client, &group).await;
    let with_instance = |member: &str| JoinGroupRequest {
        group_instance_id: Some("instance".to_owned()),
        ..join_request(&group, member, b"subscription")
    };
    let joined = client.call(5, &with_instance("")).await;
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    let member = Member { group: group.clone(), id: joined.member_id.clone(), generation: 1 };
    sync(&mut client, 3, &member).await;
    // Another process of the same instance takes over without a new generation; the one before is fenced.
    let mut other = broker.connect().await;
    let again = other.call(5, &with_instance("")).await;
    assert_eq!((again.error_code, again.generation_id), (0, 1));
    assert_ne!(again.member_id, member.id);
    let request = HeartbeatRequest {
        group_id: group.clone(),
        generation_id: 1,
        member_id: member.id,
        group_instance_id: Some("instance".to_owned()),
    };
    assert_eq!(error(client.call(4, &request).await.error_code), ErrorCode::FencedInstanceId);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_in_use_is_not_deleted() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let member = join(&mut client, 5).await;
    let request =
        DeleteGroupsRequest { groups_names: vec![member.group.clone(), "nobody".to_owned(), String::new()] };
    let response = client.call(2, &request).await;
    let mut found: Vec<(String, ErrorCode)> =
        response.results.iter().map(|result| (result.group_id.clone(), error(result.error_code))).collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [
        (String::new(), ErrorCode::GroupIdNotFound),
        ("nobody".to_owned(), ErrorCode::GroupIdNotFound),
        (member.group, ErrorCode::NonEmptyGroup),
    ];
    let mut expected = expected.to_vec();
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coordinators_are_found_for_what_there_is() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    wait_for_coordinator(&mut client, "anything").await;
    let mut cases = Cases::default();
    for (key_type, key, expected) in
        [(0, "g", ErrorCode::None), (0, "", ErrorCode::None), (9, "x", ErrorCode::InvalidRequest)]
    {
        let request = FindCoordinatorRequest { key: key.to_owned(), key_type, ..Default::default() };
        let response = client.call(3, &request).await;
        cases.check(format!("{key_type} {key:?}"), error(response.error_code), expected);
        let request =
            FindCoordinatorRequest { coordinator_keys: vec![key.to_owned()], key_type, ..Default::default() };
        let response = client.call(4, &request).await;
        cases.check(
            format!("{key_type} {key:?} in version 4"),
            error(response.coordinators[0].error_code),
            expected,
        );
    }
}
