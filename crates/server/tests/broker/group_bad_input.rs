//! What groups are told that cannot be: epochs of another time, members of nowhere, subscriptions and assignments that are none.
//! Each has Kafka's error, and the group goes on.

use common::{ErrorCode, Uuid};
use protocol::messages::*;

use crate::harness::{Broker, Cases, Client, Topic, error, unique};
use crate::versions::groups::{commit, fetch, wait_for_coordinator};

/// A heartbeat of a member that joins.
fn joining(group: &str, member: &str, topic: &Topic) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: group.to_owned(),
        member_id: member.to_owned(),
        rebalance_timeout_ms: 30_000,
        subscribed_topic_names: Some(vec![topic.name.clone()]),
        topic_partitions: Some(Vec::new()),
        ..ConsumerGroupHeartbeatRequest::default()
    }
}

/// A heartbeat of a member that has nothing to say.
fn beat(group: &str, member: &str, member_epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: group.to_owned(),
        member_id: member.to_owned(),
        member_epoch,
        ..ConsumerGroupHeartbeatRequest::default()
    }
}

fn offsets(group: &str, member: &str, epoch: i32, topic: &Topic) -> OffsetCommitRequest {
    use offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
    OffsetCommitRequest {
        group_id: group.to_owned(),
        generation_id_or_member_epoch: epoch,
        member_id: member.to_owned(),
        topics: vec![OffsetCommitRequestTopic {
            name: topic.name.clone(),
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: 1,
                committed_offset: 7,
                ..OffsetCommitRequestPartition::default()
            }],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    }
}

fn wanted(group: &str, member: Option<&str>, epoch: i32, topic: &Topic) -> OffsetFetchRequest {
    use offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
    OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            member_id: member.map(str::to_owned),
            member_epoch: epoch,
            topics: Some(vec![OffsetFetchRequestTopics {
                name: topic.name.clone(),
                partition_indexes: vec![1],
                ..OffsetFetchRequestTopics::default()
            }]),
        }],
        ..OffsetFetchRequest::default()
    }
}

async fn heartbeat(client: &mut Client, request: &ConsumerGroupHeartbeatRequest) -> (ErrorCode, i32) {
    let response = client.call(1, request).await;
    (error(response.error_code), response.member_epoch)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_another_epoch_are_fenced_and_the_member_goes_on() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("epochs", 2, &[]).await;
    let group = unique("epochs");
    wait_for_coordinator(&mut client, &group).await;
    let (joined, epoch) = heartbeat(&mut client, &joining(&group, "a", &topic)).await;
    assert_eq!((joined, epoch > 0), (ErrorCode::None, true));
    let mut cases = Cases::default();
    for (what, member, epoch, beaten, committed, fetched) in [
        (
            "an epoch to come",
            "a",
            epoch + 1,
            ErrorCode::FencedMemberEpoch,
            ErrorCode::StaleMemberEpoch,
            ErrorCode::StaleMemberEpoch,
        ),
        (
            "an epoch that is over",
            "a",
            epoch - 1,
            ErrorCode::FencedMemberEpoch,
            ErrorCode::StaleMemberEpoch,
            ErrorCode::StaleMemberEpoch,
        ),
        (
            "somebody else",
            "b",
            epoch,
            ErrorCode::UnknownMemberId,
            ErrorCode::UnknownMemberId,
            ErrorCode::UnknownMemberId,
        ),
        ("as it is", "a", epoch, ErrorCode::None, ErrorCode::None, ErrorCode::None),
    ] {
        // Epoch 0 is a member's that joins.
        if epoch > 0 {
            let (found, _) = heartbeat(&mut client, &beat(&group, member, epoch)).await;
            cases.check(format!("{what}, a heartbeat"), found, beaten);
        }
        let response = client.call(9, &offsets(&group, member, epoch, &topic)).await;
        let found = error(response.topics[0].partitions[0].error_code);
        cases.check(format!("{what}, a commit"), found, committed);
        let response = client.call(9, &wanted(&group, Some(member), epoch, &topic)).await;
        cases.check(format!("{what}, a fetch"), error(response.groups[0].error_code), fetched);
    }
    // From outside, into a group that has members; and into one that is not there.
    let response = client.call(9, &offsets(&group, "", -1, &topic)).await;
    let found = error(response.topics[0].partitions[0].error_code);
    cases.check("a commit of nobody", found, ErrorCode::UnknownMemberId);
    let foreign = unique("foreign");
    wait_for_coordinator(&mut client, &foreign).await;
    let response = client.call(9, &offsets(&foreign, "a", epoch, &topic)).await;
    let found = error(response.topics[0].partitions[0].error_code);
    cases.check("a commit for a group that is not", found, ErrorCode::GroupIdNotFound);
    let (found, _) = heartbeat(&mut client, &beat(&foreign, "a", epoch)).await;
    cases.check("a heartbeat for a group that is not", found, ErrorCode::GroupIdNotFound);
    // A client too old to know epochs.
    let response = client.call(8, &offsets(&group, "a", epoch - 1, &topic)).await;
    let found = error(response.topics[0].partitions[0].error_code);
    cases.check("an old commit of another epoch", found, ErrorCode::UnsupportedVersion);
    // None of it has cost anything.
    let response = client.call(9, &wanted(&group, None, -1, &topic)).await;
    let partition = &response.groups[0].topics[0].partitions[0];
    cases.check("what is committed", (partition.error_code, partition.committed_offset), (0, 7));
    let found = heartbeat(&mut client, &beat(&group, "a", epoch)).await;
    cases.check("the member", found, (ErrorCode::None, epoch));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_that_cannot_be_are_refused() {
    type Change = fn(&mut ConsumerGroupHeartbeatRequest);
    let changes: [(&str, Change, ErrorCode); 13] = [
        ("no group", |request| request.group_id.clear(), ErrorCode::InvalidRequest),
        ("no member id", |request| request.member_id.clear(), ErrorCode::InvalidRequest),
        ("an epoch before all", |request| request.member_epoch = -7, ErrorCode::InvalidRequest),
        ("no time to rebalance", |request| request.rebalance_timeout_ms = -1, ErrorCode::InvalidRequest),
        ("no subscription", |request| request.subscribed_topic_names = None, ErrorCode::InvalidRequest),
        ("partitions unsaid", |request| request.topic_partitions = None, ErrorCode::InvalidRequest),
        (
            "partitions of its own",
            |request| {
                request.topic_partitions = Some(vec![consumer_group_heartbeat_request::TopicPartitions {
                    topic_id: Uuid::ZERO,
                    partitions: vec![-5],
                }]);
            },
            ErrorCode::InvalidRequest,
        ),
        (
            "an empty instance id",
            |request| request.instance_id = Some(String::new()),
            ErrorCode::InvalidRequest,
        ),
        ("an empty rack", |request| request.rack_id = Some(String::new()), ErrorCode::InvalidRequest),
        (
            "an assignor of nobody",
            |request| request.server_assignor = Some("nobody's".to_owned()),
            ErrorCode::UnsupportedAssignor,
        ),
        (
            "an empty assignor",
            |request| request.server_assignor = Some(String::new()),
            ErrorCode::UnsupportedAssignor,
        ),
        (
            "a regular expression that is none",
            |request| request.subscribed_topic_regex = Some("(".to_owned()),
            ErrorCode::InvalidRegularExpression,
        ),
        (
            "a static member that leaves, and is none",
            |request| {
                request.member_epoch = -2;
                request.instance_id = Some("instance".to_owned());
            },
            ErrorCode::GroupIdNotFound,
        ),
    ];
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("refused", 2, &[]).await;
    let mut cases = Cases::default();
    for (what, change, expected) in changes {
        let group = unique("refused");
        wait_for_coordinator(&mut client, &group).await;
        let mut request = joining(&group, "a", &topic);
        change(&mut request);
        let (found, _) = heartbeat(&mut client, &request).await;
        cases.check(what, found, expected);
        // The connection, and the group's name, are as good as before.
        let (found, _) = heartbeat(&mut client, &joining(&group, "a", &topic)).await;
        cases.check(format!("{what}, afterwards"), found, ErrorCode::None);
    }
}

/// Subscriptions and assignments that are none: empty, a text, counts that lie, cut off.
const UNREADABLE: [&[u8]; 5] = [
    b"",
    b"subscription",
    &[0xff; 40],
    &[0, 1, 0x7f, 0xff, 0xff, 0xff, 0, 0],
    &[0, 3, 0, 0, 0, 1, 0x7f, 0xff],
];

/// A classic member that subscribes with these bytes.
fn subscribing_with(group: &str, bytes: &[u8]) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: group.to_owned(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![join_group_request::JoinGroupRequestProtocol {
            name: "range".to_owned(),
            metadata: bytes.to_vec(),
        }],
        ..JoinGroupRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_members_cannot_read_of_each_other_is_carried_as_it_is() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("unreadable", 2, &[]).await;
    let mut cases = Cases::default();
    for bytes in UNREADABLE {
        let what = format!("{bytes:02x?}");
        let group = unique("unreadable");
        wait_for_coordinator(&mut client, &group).await;
        let mut request = subscribing_with(&group, bytes);
        request.member_id = client.call(5, &request).await.member_id;
        let joined = client.call(5, &request).await;
        cases.check(&what, (error(joined.error_code), joined.members.len()), (ErrorCode::None, 1));
        let sync = SyncGroupRequest {
            group_id: group.clone(),
            generation_id: joined.generation_id,
            member_id: joined.member_id.clone(),
            assignments: vec![sync_group_request::SyncGroupRequestAssignment {
                member_id: joined.member_id.clone(),
                assignment: bytes.to_vec(),
            }],
            ..SyncGroupRequest::default()
        };
        let synced = client.call(3, &sync).await;
        cases.check(&what, (error(synced.error_code), synced.assignment == bytes), (ErrorCode::None, true));
        let describe = DescribeGroupsRequest { groups: vec![group.clone()], ..Default::default() };
        let described = client.call(5, &describe).await;
        let member = &described.groups[0].members[0];
        cases.check(&what, (&member.member_metadata[..], &member.member_assignment[..]), (bytes, bytes));
        // Who speaks KIP-848 cannot live with such a member; nobody's offsets are deleted, as it may read anything.
        let (found, _) = heartbeat(&mut client, &joining(&group, "new", &topic)).await;
        cases.check(&what, found, ErrorCode::GroupIdNotFound);
        let commit = client.call(8, &offsets(&group, &joined.member_id, joined.generation_id, &topic)).await;
        cases.check(&what, commit.topics[0].partitions[0].error_code, 0);
        let delete = OffsetDeleteRequest {
            group_id: group.clone(),
            topics: vec![offset_delete_request::OffsetDeleteRequestTopic {
                name: topic.name.clone(),
                partitions: vec![offset_delete_request::OffsetDeleteRequestPartition { partition_index: 1 }],
            }],
        };
        let deleted = client.call(0, &delete).await;
        let found = deleted.topics[0].partitions[0].error_code;
        cases.check(&what, error(found), ErrorCode::GroupSubscribedToTopic);
    }
    // The other way round: a classic member that nobody understands does not come into a group of KIP-848.
    let group = unique("unreadable");
    wait_for_coordinator(&mut client, &group).await;
    let (joined, epoch) = heartbeat(&mut client, &joining(&group, "a", &topic)).await;
    assert_eq!(joined, ErrorCode::None);
    for bytes in UNREADABLE {
        let request = subscribing_with(&group, bytes);
        let found = error(client.call(3, &request).await.error_code);
        cases.check(format!("{bytes:02x?} into KIP-848"), found, ErrorCode::InconsistentGroupProtocol);
    }
    let found = heartbeat(&mut client, &beat(&group, "a", epoch)).await;
    cases.check("the member of KIP-848", found, (ErrorCode::None, epoch));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_no_record_holds_costs_its_own_group_alone() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("huge", 2, &[]).await;
    let (group, other) = (unique("huge"), unique("beside"));
    wait_for_coordinator(&mut client, &group).await;
    wait_for_coordinator(&mut client, &other).await;
    commit(&mut client, 8, &other, &topic, 41).await;
    let mut request = JoinGroupRequest {
        group_id: group.clone(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![join_group_request::JoinGroupRequestProtocol {
            name: "range".to_owned(),
            // Compressed or not, it is more than `max.message.bytes`.
            metadata: (0..4_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect(),
        }],
        ..JoinGroupRequest::default()
    };
    request.member_id = client.call(5, &request).await.member_id;
    let joined = client.call(5, &request).await;
    assert_eq!(error(joined.error_code), ErrorCode::None);
    let sync = SyncGroupRequest {
        group_id: group.clone(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        assignments: vec![sync_group_request::SyncGroupRequestAssignment {
            member_id: joined.member_id.clone(),
            assignment: b"all of it".to_vec(),
        }],
        ..SyncGroupRequest::default()
    };
    let synced = client.call(3, &sync).await;
    assert_eq!(error(synced.error_code), ErrorCode::UnknownServerError);
    commit(&mut client, 8, &other, &topic, 42).await;
    assert_eq!(fetch(&mut client, 8, &other, &topic).await.0, 42);
}
