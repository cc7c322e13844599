//! Another broker takes over: what the log says is all there is.

use super::*;
use protocol::compression::Compression;
use protocol::records::{EndTxnMarker, RecordBatchBuilder, TimestampType};

/// What clients can see of all groups.
fn picture(world: &World) -> Vec<String> {
    world
        .coordinator
        .inspect(PARTITION, world.now_ms, |shard| {
            let mut lines: Vec<String> = shard
                .groups()
                .iter()
                .map(|(group_id, group)| match group {
                    Group::Classic(group) => {
                        let members: Vec<_> = group
                            .members()
                            .map(|member| {
                                (
                                    member.member_id(),
                                    member.group_instance_id(),
                                    member.client_id(),
                                    member.assignment(),
                                    group.protocol_name().and_then(|name| member.metadata(name)),
                                )
                            })
                            .collect();
                        let leader = group.leader_id();
                        format!(
                            "{group_id} {} {} {:?} {:?} {leader:?} {members:?} {:?}",
                            group.state(),
                            group.generation_id(),
                            group.protocol_type(),
                            group.protocol_name(),
                            group.expiry_base(),
                        )
                    }
                    Group::Consumer(group) => format!("{group_id} {group:?}"),
                    Group::Streams(group) => format!("{group_id} {group:?}"),
                    Group::Modern(group) => format!("{group_id} {group:?}"),
                })
                .collect();
            for group_id in ["a", "b", "c", "d"] {
                for (topic, partitions) in [("words", 3), ("logs", 1)] {
                    for partition in 0..partitions {
                        let offset = shard.offsets().offset(group_id, topic, partition);
                        lines.push(format!("{group_id} {topic} {partition} {offset:?}"));
                    }
                }
            }
            lines.sort();
            lines
        })
        .unwrap()
}

#[test]
fn a_restart_gives_the_state_before() {
    let mut world = world();
    let mut stable: Vec<_> = (0..5)
        .map(|index| Client {
            instance_id: (index % 2 == 0).then(|| format!("instance-{index}")),
            session_timeout_ms: 60_000,
            ..client("a")
        })
        .collect();
    world.stabilize(&mut stable);
    world.commit(&stable[0], &[("words", 0, 10), ("words", 1, 11), ("logs", 0, 12)]);
    let mut left = vec![client("b")];
    world.stabilize(&mut left);
    world.commit(&left[0], &[("words", 2, 20)]);
    world.leave(&left[0]);
    world.commit(&client("c"), &[("words", 0, 30)]);
    world.commit(&client("c"), &[("words", 0, 31)]);
    let before = picture(&world);
    world.restart();
    // A group that only commits has no record, so nothing says when it began; nothing needs it either.
    assert_eq!(picture(&world), before);
    for member in &stable {
        assert_eq!(world.heartbeat(member), ErrorCode::None);
        assert_eq!(world.sync(member, &[]).get().assignment, member.member_id.clone().into_bytes());
    }
    assert_eq!(world.commit(&stable[1], &[("words", 0, 40)]), [ErrorCode::None]);
}

#[test]
fn members_have_their_session_timeout_to_find_the_new_coordinator() {
    let mut world = world();
    let mut clients = vec![client("a"), client("a")];
    world.stabilize(&mut clients);
    world.advance(9_000);
    world.restart();
    world.advance(9_000);
    assert_eq!(world.heartbeat(&clients[0]), ErrorCode::None);
    world.advance(1_000);
    assert_eq!(world.heartbeat(&clients[0]), ErrorCode::RebalanceInProgress);
    assert_eq!(world.heartbeat(&clients[1]), ErrorCode::UnknownMemberId);
}

#[test]
fn a_rebalance_under_way_is_forgotten_and_begun_again() {
    let mut world = world();
    let mut clients = vec![client("a")];
    world.stabilize(&mut clients);
    let mut second = client("a");
    let joining = world.join_with_id(&mut second);
    world.restart();
    assert_eq!(ErrorCode::from_code(joining.get().error_code), ErrorCode::NotCoordinator);
    assert_eq!(world.heartbeat(&clients[0]), ErrorCode::None);
    assert_eq!(ErrorCode::from_code(world.join(&second).get().error_code), ErrorCode::UnknownMemberId);
    clients.push(client("a"));
    world.stabilize(&mut clients);
    assert_eq!(clients[0].generation_id, 2);
}

fn offset_record(group_id: &str, partition: i32, offset: i64) -> GroupRecord {
    GroupRecord::OffsetCommit {
        key: OffsetCommitKey { group: group_id.to_owned(), topic: "words".to_owned(), partition },
        value: Some(OffsetCommitValue { offset, commit_timestamp: NOW, ..Default::default() }),
    }
}

impl World {
    /// Puts records into the log as another broker would have, in a transaction if a producer is named.
    fn write(&self, producer_id: Option<i64>, records: &[(Vec<u8>, Option<Vec<u8>>)]) {
        let mut builder = RecordBatchBuilder::new(0, Compression::None, TimestampType::CreateTime);
        if let Some(producer_id) = producer_id {
            builder = builder.with_producer(producer_id, 0, 0).with_transactional(true);
        }
        for (key, value) in records {
            builder.append(NOW, Some(key), value.as_deref(), &[]).unwrap();
        }
        self.log.append_at_end(builder.build());
    }

    fn write_record(&self, producer_id: Option<i64>, record: &GroupRecord) {
        let encoded = record.encode().unwrap();
        self.write(producer_id, &[(encoded.key, encoded.value)]);
    }

    fn end_transaction(&self, producer_id: i64, committed: bool) {
        let marker = EndTxnMarker { committed, coordinator_epoch: 0 };
        self.log.append_at_end(marker.batch(0, NOW, 0, producer_id, 0).unwrap());
    }
}

#[test]
fn offsets_of_transactions_count_when_they_are_committed() {
    let mut world = world();
    world.write_record(Some(1), &offset_record("a", 0, 10));
    world.write_record(Some(2), &offset_record("a", 1, 11));
    world.write_record(Some(3), &offset_record("a", 2, 12));
    world.end_transaction(1, true);
    world.end_transaction(2, false);
    world.restart();
    assert_eq!(world.fetch("a", "words", 0), Ok(10));
    assert_eq!(world.fetch("a", "words", 1), Ok(-1));
    assert_eq!(world.fetch("a", "words", 2), Err(ErrorCode::UnstableOffsetCommit));
    // Who does not mind is told what there is.
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: "a".to_owned(),
            topics: Some(vec![OffsetFetchRequestTopics {
                name: "words".to_owned(),
                partition_indexes: vec![2],
                ..Default::default()
            }]),
            ..Default::default()
        }],
        ..Default::default()
    };
    let response = world.fetch_with(8, request).get();
    assert_eq!(response.groups[0].topics[0].partitions[0].error_code, 0);
    world.end_transaction(3, true);
    world.restart();
    assert_eq!(world.fetch("a", "words", 2), Ok(12));
}

#[test]
fn of_a_commit_in_a_transaction_and_one_outside_the_later_wins() {
    let mut world = world();
    world.write_record(Some(1), &offset_record("a", 0, 10));
    world.write_record(None, &offset_record("a", 0, 20));
    world.write_record(None, &offset_record("a", 1, 30));
    world.write_record(Some(1), &offset_record("a", 1, 40));
    world.end_transaction(1, true);
    world.restart();
    assert_eq!((world.fetch("a", "words", 0), world.fetch("a", "words", 1)), (Ok(20), Ok(40)));
}

#[test]
fn a_tombstone_voids_what_a_transaction_has_for_the_partition() {
    let mut world = world();
    world.write_record(Some(1), &offset_record("a", 0, 10));
    world.write_record(None, &GroupRecord::offset_tombstone("a", "words", 0));
    world.end_transaction(1, true);
    world.restart();
    assert_eq!(world.fetch("a", "words", 0), Ok(-1));
}

#[test]
fn groups_with_an_open_transaction_are_kept_and_end_completely_when_deleted() {
    let mut world = world();
    world.write_record(Some(1), &offset_record("a", 0, 10));
    world.restart();
    world.advance(8 * 24 * 60 * 60 * 1_000);
    assert_eq!(world.fetch("a", "words", 0), Err(ErrorCode::UnstableOffsetCommit));
    let request = DeleteGroupsRequest { groups_names: vec!["a".to_owned()] };
    let (answer, reply) = Answer::new();
    world.coordinator.delete_groups(&world.context(2), request, world.now_ms, reply);
    assert_eq!(answer.get().results[0].error_code, 0);
    world.end_transaction(1, true);
    world.restart();
    assert_eq!(world.fetch("a", "words", 0), Ok(-1));
}

fn modern_key(kind: i16, texts: &[&str]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.i16(kind);
    for text in texts {
        writer.string(text, false).unwrap();
    }
    writer.into_bytes()
}

#[test]
fn what_is_not_understood_is_left_alone() {
    let mut world = world();
    let unreadable = Some(vec![0, 99, 1, 2, 3]);
    world.write(None, &[(vec![0, 77, 1], unreadable.clone()), (vec![], None), (vec![0], unreadable.clone())]);
    // An offset whose value is of a later version, and one that is cut.
    let offset = offset_record("a", 0, 10).encode().unwrap();
    world.write(None, &[(offset.key.clone(), unreadable), (offset.key.clone(), Some(vec![0, 4, 0]))]);
    world.write_record(None, &offset_record("a", 1, 11));
    let bytes = world.log.bytes.lock().unwrap().clone();
    world.restart();
    assert_eq!((world.fetch("a", "words", 0), world.fetch("a", "words", 1)), (Ok(-1), Ok(11)));
    assert_eq!(*world.log.bytes.lock().unwrap(), bytes);
}

#[test]
fn offsets_in_the_oldest_form_are_read() {
    let mut world = world();
    let mut key = Writer::new();
    key.i16(0);
    LegacyOffsetCommitKey { group: "a".to_owned(), topic: "words".to_owned(), partition: 0 }
        .write(&mut key, 0)
        .unwrap();
    let mut value = Writer::new();
    value.i16(0);
    LegacyOffsetCommitValue { offset: 5, metadata: "old".to_owned(), commit_timestamp: NOW }
        .write(&mut value, 0)
        .unwrap();
    world.write(None, &[(key.into_bytes(), Some(value.into_bytes()))]);
    world.restart();
    assert_eq!(world.fetch("a", "words", 0), Ok(5));
}

#[test]
fn all_versions_of_the_values_are_read() {
    let mut world = world();
    for version in OffsetCommitValue::VERSIONS {
        let key = offset_record("a", i32::from(version), 0).encode().unwrap().key;
        let mut value = Writer::new();
        value.i16(version);
        OffsetCommitValue { offset: 50 + i64::from(version), commit_timestamp: NOW, ..Default::default() }
            .write(&mut value, version)
            .unwrap();
        world.write(None, &[(key, Some(value.into_bytes()))]);
    }
    for version in GroupMetadataValue::VERSIONS {
        let mut key = Writer::new();
        key.i16(2);
        GroupMetadataKey { group: format!("group-{version}") }.write(&mut key, 0).unwrap();
        let mut value = Writer::new();
        value.i16(version);
        GroupMetadataValue {
            protocol_type: "consumer".to_owned(),
            generation: 7,
            protocol: Some("range".to_owned()),
            leader: Some("m".to_owned()),
            members: vec![group_metadata_value::MemberMetadata {
                member_id: "m".to_owned(),
                session_timeout: 10_000,
                subscription: subscription(&["words"]),
                assignment: b"mine".to_vec(),
                ..Default::default()
            }],
            ..Default::default()
        }
        .write(&mut value, version)
        .unwrap();
        world.write(None, &[(key.into_bytes(), Some(value.into_bytes()))]);
    }
    world.restart();
    for version in 0..3 {
        assert_eq!(world.fetch("a", "words", version), Ok(50 + i64::from(version)));
    }
    for version in GroupMetadataValue::VERSIONS {
        let described = world.describe(&format!("group-{version}"));
        assert_eq!((described.group_state.as_str(), described.protocol_data.as_str()), ("Stable", "range"));
        assert_eq!(described.members[0].member_assignment, b"mine");
    }
}

#[test]
fn groups_of_newer_protocols_are_kept_and_their_offsets_served() {
    let mut world = world();
    let value = || Some(vec![0, 0, 0]);
    world.write(None, &[(modern_key(11, &["b"]), value())]);
    world.write_record(None, &offset_record("a", 0, 10));
    let bytes = world.log.bytes.lock().unwrap().clone();
    world.restart();
    assert_eq!(world.fetch("a", "words", 0), Ok(10));
    assert_eq!(world.describe("b").error_code, ErrorCode::GroupIdNotFound.code());
    let (answer, reply) = Answer::new();
    world.coordinator.list_groups(&world.context(5), ListGroupsRequest::default(), world.now_ms, reply);
    let mut groups: Vec<_> = answer
        .get()
        .groups
        .into_iter()
        .map(|group| (group.group_id, group.group_type, group.group_state, group.protocol_type))
        .collect();
    groups.sort();
    let expected = [("a", "classic", "Empty", ""), ("b", "share", "Empty", "share")];
    assert_eq!(groups, expected.map(|(a, b, c, d)| (a.to_owned(), b.to_owned(), c.to_owned(), d.to_owned())));
    assert_eq!(
        ErrorCode::from_code(world.join(&client("b")).get().error_code),
        ErrorCode::InconsistentGroupProtocol
    );
    assert_eq!(*world.log.bytes.lock().unwrap(), bytes, "nothing was written");
}

#[test]
fn a_group_that_has_changed_its_protocol_is_what_it_is_now() {
    let mut world = world();
    let mut clients = vec![client("a")];
    world.stabilize(&mut clients);
    world.write_record(None, &GroupRecord::group_tombstone("a"));
    world.write(
        None,
        &[(modern_key(11, &["a"]), Some(vec![0, 0])), (modern_key(12, &["a"]), Some(vec![0, 0]))],
    );
    world.restart();
    assert_eq!(world.describe("a").error_code, ErrorCode::GroupIdNotFound.code());
    world.write(None, &[(modern_key(12, &["a"]), None), (modern_key(11, &["a"]), None)]);
    world.restart();
    let count = world.coordinator.inspect(PARTITION, world.now_ms, |shard| shard.groups().iter().count());
    assert_eq!(count, Ok(0));
}

#[test]
fn what_a_hostile_record_says_does_no_harm() {
    let mut world = world();
    let member = |id: &str, instance: Option<&str>| group_metadata_value::MemberMetadata {
        member_id: id.to_owned(),
        group_instance_id: instance.map(str::to_owned),
        session_timeout: -5,
        subscription: vec![1],
        ..Default::default()
    };
    let record = GroupRecord::GroupMetadata {
        key: GroupMetadataKey { group: "a".to_owned() },
        value: Some(GroupMetadataValue {
            protocol_type: "consumer".to_owned(),
            generation: i32::MAX,
            leader: Some("nobody".to_owned()),
            members: vec![
                member("m", None),
                member("m", None),
                member("n", Some("i")),
                member("o", Some("i")),
            ],
            ..Default::default()
        }),
    };
    world.write_record(None, &record);
    world.restart();
    assert_eq!(world.describe("a").members.len(), 2);
    world.advance(1);
    assert_eq!(world.state("a"), "Empty", "their sessions are over");
}
