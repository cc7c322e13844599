//! Commits and fetches of members.

use super::*;

impl World {
    fn commit_as(&self, version: i16, member_id: &str, epoch: i32, partition: i32) -> ErrorCode {
        let request = OffsetCommitRequest {
            group_id: "g".to_owned(),
            member_id: member_id.to_owned(),
            generation_id_or_member_epoch: epoch,
            topics: vec![OffsetCommitRequestTopic {
                name: if version < 10 { "words".to_owned() } else { String::new() },
                topic_id: if version < 10 { Uuid::ZERO } else { WORDS },
                partitions: vec![OffsetCommitRequestPartition {
                    partition_index: partition,
                    committed_offset: 7,
                    ..Default::default()
                }],
            }],
            ..Default::default()
        };
        let response = self.commit_with(version, request).get();
        ErrorCode::from_code(response.topics[0].partitions[0].error_code)
    }

    fn fetch_as(&self, member_id: Option<&str>, epoch: i32) -> ErrorCode {
        let request = OffsetFetchRequest {
            groups: vec![OffsetFetchRequestGroup {
                group_id: "g".to_owned(),
                member_id: member_id.map(str::to_owned),
                member_epoch: epoch,
                ..Default::default()
            }],
            ..Default::default()
        };
        ErrorCode::from_code(self.fetch_with(9, request).get().groups[0].error_code)
    }
}

#[test]
fn members_commit_and_fetch_with_their_epoch() {
    let mut world = world();
    let mut members = [member("a"), member("b")];
    world.settle(&mut members);
    let (id, epoch) = ("a", members[0].epoch);
    let (_, own) = *members[0].owned.first().unwrap();
    for version in [9, 10] {
        assert_eq!(world.commit_as(version, id, epoch, own), ErrorCode::None);
        assert_eq!(world.commit_as(version, id, epoch + 1, own), ErrorCode::StaleMemberEpoch);
        assert_eq!(world.commit_as(version, "nobody", epoch, own), ErrorCode::UnknownMemberId);
        assert_eq!(world.commit_as(version, "", -1, own), ErrorCode::UnknownMemberId);
    }
    assert_eq!(world.commit_as(8, id, epoch, own), ErrorCode::UnsupportedVersion);
    assert_eq!(world.fetch_as(Some(id), epoch), ErrorCode::None);
    assert_eq!(world.fetch_as(Some(id), epoch - 1), ErrorCode::StaleMemberEpoch);
    assert_eq!(world.fetch_as(Some("nobody"), epoch), ErrorCode::UnknownMemberId);
    assert_eq!(world.fetch_as(None, -1), ErrorCode::None);
    assert_eq!(world.fetch("g", "words", own), Ok(7));
    // Nobody is in it any more: whoever is no member may commit.
    for member in &members {
        assert_eq!(world.goodbye(member, -1), ErrorCode::None);
    }
    assert_eq!(world.commit_as(9, "", -1, own), ErrorCode::None);
}

#[test]
fn a_member_may_commit_with_an_older_epoch_what_it_has_had_since_then() {
    let mut world = world();
    let mut a = member("a");
    world.beat(&mut a);
    let old_epoch = a.epoch;
    world.set_topic("words", 5);
    world.advance(1_000);
    world.beat(&mut a);
    assert_eq!(a.epoch, old_epoch + 1);
    assert_eq!(world.commit_as(9, "a", old_epoch, 0), ErrorCode::None);
    assert_eq!(world.commit_as(9, "a", old_epoch - 1, 0), ErrorCode::StaleMemberEpoch);
}

#[test]
fn offsets_of_topics_that_are_read_stay() {
    let mut world = world();
    let mut a = member("a");
    world.beat(&mut a);
    assert_eq!(world.commit_as(9, "a", a.epoch, 0), ErrorCode::None);
    let request = OffsetDeleteRequest {
        group_id: "g".to_owned(),
        topics: vec![offset_delete_request::OffsetDeleteRequestTopic {
            name: "words".to_owned(),
            partitions: vec![offset_delete_request::OffsetDeleteRequestPartition { partition_index: 0 }],
        }],
    };
    let (answer, reply) = Answer::new();
    world.coordinator.delete_offsets(&world.context(0), request, &Topics, world.now_ms, reply);
    let error = answer.get().topics[0].partitions[0].error_code;
    assert_eq!(ErrorCode::from_code(error), ErrorCode::GroupSubscribedToTopic);
    for _ in 0..(8 * 24 * 60 * 2) {
        world.advance(30_000);
        world.beat(&mut a);
    }
    assert_eq!(world.fetch("g", "words", 0), Ok(7));
    // The group goes with its last offset when nobody is in it.
    assert_eq!(world.goodbye(&a, -1), ErrorCode::None);
    world.advance(8 * 24 * 60 * 60 * 1_000);
    assert!(world.compacted().is_empty());
}
