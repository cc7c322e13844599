//! Committing, fetching, deleting and losing offsets.

use super::*;
use protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

#[test]
fn a_client_that_is_no_member_commits_and_fetches() {
    let world = world();
    assert_eq!(world.fetch("g", "words", 0), Ok(-1));
    assert_eq!(world.commit(&client("g"), &[("words", 0, 10), ("words", 1, 11)]), [ErrorCode::None; 2]);
    assert_eq!(world.fetch("g", "words", 1), Ok(11));
    assert_eq!(world.fetch("g", "words", 2), Ok(-1));
    assert_eq!(world.fetch("g", "logs", 0), Ok(-1));
    assert_eq!(world.fetch("other", "words", 0), Ok(-1));
    // That makes a group of it, which has no protocol.
    let described = world.describe("g");
    assert_eq!((described.group_state.as_str(), described.protocol_type.as_str()), ("Empty", ""));
    // The empty group id is one like any other.
    assert_eq!(world.commit(&client(""), &[("words", 0, 10)]), [ErrorCode::None]);
    assert_eq!(world.fetch("", "words", 0), Ok(10));
}

#[test]
fn members_commit_in_their_generation_only() {
    let mut world = world();
    let mut clients = vec![client("g")];
    world.stabilize(&mut clients);
    let member = &clients[0];
    let offsets = &[("words", 0, 1)];
    assert_eq!(world.commit(member, offsets), [ErrorCode::None]);
    let stale = Client { generation_id: 7, ..member.clone() };
    let unknown = Client { member_id: "nobody".to_owned(), ..member.clone() };
    assert_eq!(world.commit(&stale, offsets), [ErrorCode::IllegalGeneration]);
    assert_eq!(world.commit(&unknown, offsets), [ErrorCode::UnknownMemberId]);
    assert_eq!(world.commit(&client("g"), offsets), [ErrorCode::UnknownMemberId]);
    // In a group that there is not.
    let elsewhere = Client { group_id: "other".to_owned(), ..member.clone() };
    assert_eq!(world.commit(&elsewhere, offsets), [ErrorCode::GroupIdNotFound]);
    let response = world.commit_with(8, World::commit_request(&elsewhere, offsets)).get();
    assert_eq!(
        ErrorCode::from_code(response.topics[0].partitions[0].error_code),
        ErrorCode::IllegalGeneration
    );
    // While the members join they may commit what they have read, while the leader assigns they may not.
    let mut second = client("g");
    let joining = world.join_with_id(&mut second);
    assert_eq!(world.commit(member, &[("words", 0, 2)]), [ErrorCode::None]);
    let generation_id = world.join(member).get().generation_id;
    joining.get();
    let now = Client { generation_id, ..member.clone() };
    assert_eq!(world.commit(&now, offsets), [ErrorCode::RebalanceInProgress]);
    assert_eq!(world.fetch("g", "words", 0), Ok(2));
}

#[test]
fn partitions_that_do_not_exist_and_long_metadata_are_refused_one_by_one() {
    let world = world();
    let mut request = World::commit_request(
        &client("g"),
        &[("words", 0, 1), ("words", 9, 1), ("words", 1, 1), ("none", 0, 1)],
    );
    request.topics[0].partitions[2].committed_metadata = Some("ä".repeat(4_097));
    let response = world.commit_with(9, request).get();
    let outcomes: Vec<_> = response
        .topics
        .iter()
        .flat_map(|topic| {
            topic.partitions.iter().map(|partition| {
                (topic.name.as_str(), partition.partition_index, ErrorCode::from_code(partition.error_code))
            })
        })
        .collect();
    assert_eq!(
        outcomes,
        [
            ("words", 0, ErrorCode::None),
            ("words", 1, ErrorCode::OffsetMetadataTooLarge),
            ("words", 9, ErrorCode::UnknownTopicOrPartition),
            ("none", 0, ErrorCode::UnknownTopicOrPartition),
        ]
    );
    let mut request = World::commit_request(&client("g"), &[("words", 0, 1)]);
    request.topics[0].partitions[0].committed_metadata = Some("ä".repeat(4_096));
    assert_eq!(world.commit_with(9, request).get().topics[0].partitions[0].error_code, 0);
}

#[test]
fn topics_may_be_named_by_id() {
    let world = world();
    let mut request = World::commit_request(&client("g"), &[("", 0, 5), ("x", 0, 6)]);
    request.topics[0].topic_id = WORDS;
    request.topics[1].topic_id = Uuid::from_u128(99);
    let response = world.commit_with(10, request).get();
    assert_eq!((response.topics[0].topic_id, response.topics[0].partitions[0].error_code), (WORDS, 0));
    assert_eq!(ErrorCode::from_code(response.topics[1].partitions[0].error_code), ErrorCode::UnknownTopicId);
    let ask = |topics: Option<Vec<Uuid>>| OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: "g".to_owned(),
            topics: topics.map(|ids| {
                ids.into_iter()
                    .map(|topic_id| OffsetFetchRequestTopics {
                        topic_id,
                        partition_indexes: vec![0],
                        ..Default::default()
                    })
                    .collect()
            }),
            ..Default::default()
        }],
        ..Default::default()
    };
    let response = world.fetch_with(10, ask(Some(vec![WORDS, Uuid::from_u128(99)]))).get();
    let topics = &response.groups[0].topics;
    assert_eq!((topics[0].topic_id, topics[0].partitions[0].committed_offset), (WORDS, 5));
    assert_eq!(ErrorCode::from_code(topics[1].partitions[0].error_code), ErrorCode::UnknownTopicId);
    let response = world.fetch_with(10, ask(None)).get();
    let topics = &response.groups[0].topics;
    assert_eq!((topics.len(), topics[0].topic_id, topics[0].partitions[0].committed_offset), (1, WORDS, 5));
}

#[test]
fn several_groups_and_all_their_topics_are_fetched_at_once() {
    let world = world();
    world.commit(&client("a"), &[("words", 0, 1), ("words", 2, 3), ("logs", 0, 4)]);
    world.commit(&client("b"), &[("logs", 0, 9)]);
    let all = |group_id: &str| OffsetFetchRequestGroup {
        group_id: group_id.to_owned(),
        topics: None,
        ..Default::default()
    };
    let request = OffsetFetchRequest { groups: vec![all("b"), all("a"), all("none")], ..Default::default() };
    let response = world.fetch_with(8, request).get();
    let seen: Vec<_> = response
        .groups
        .iter()
        .map(|group| {
            let offsets: Vec<_> = group
                .topics
                .iter()
                .flat_map(|topic| {
                    topic.partitions.iter().map(|partition| {
                        (topic.name.as_str(), partition.partition_index, partition.committed_offset)
                    })
                })
                .collect();
            (group.group_id.as_str(), offsets)
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("b", vec![("logs", 0, 9)]),
            ("a", vec![("logs", 0, 4), ("words", 0, 1), ("words", 2, 3)]),
            ("none", vec![]),
        ]
    );
}

#[test]
fn old_versions_ask_for_one_group() {
    let world = world();
    world.commit(&client("g"), &[("words", 0, 1)]);
    let request = |topics| OffsetFetchRequest { group_id: "g".to_owned(), topics, ..Default::default() };
    let words = vec![offset_fetch_request::OffsetFetchRequestTopic {
        name: "words".to_owned(),
        partition_indexes: vec![0, 1],
    }];
    let response = world.fetch_with(5, request(Some(words.clone()))).get();
    let partitions = &response.topics[0].partitions;
    assert_eq!((partitions[0].committed_offset, partitions[1].committed_offset), (1, -1));
    assert_eq!((partitions[0].metadata.as_deref(), partitions[1].metadata.as_deref()), (Some("m"), Some("")));
    let response = world.fetch_with(5, request(None)).get();
    assert_eq!(response.topics[0].partitions.len(), 1);
    // Where there is no coordinator: an error at the top, and in the oldest version at each partition.
    world.coordinator.unload(PARTITION, None);
    let error = ErrorCode::NotCoordinator.code();
    let response = world.fetch_with(2, request(Some(words.clone()))).get();
    assert_eq!((response.error_code, response.topics.len()), (error, 0));
    let response = world.fetch_with(1, request(Some(words))).get();
    assert!(response.topics[0].partitions.iter().all(|partition| partition.error_code == error));
}

#[test]
fn commits_wait_for_the_replicas_and_fetches_show_nothing_that_could_be_lost() {
    let world = world_with(config(), false);
    let committing = world.commit_with(9, World::commit_request(&client("g"), &[("words", 0, 1)]));
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: "g".to_owned(),
            topics: None,
            ..Default::default()
        }],
        ..Default::default()
    };
    let fetching = world.fetch_with(8, request);
    assert!(committing.is_waiting() && fetching.is_waiting());
    world.coordinator.on_high_watermark(PARTITION, 1, world.now_ms);
    assert_eq!(committing.get().topics[0].partitions[0].error_code, 0);
    assert_eq!(fetching.get().groups[0].topics[0].partitions[0].committed_offset, 1);
}

#[test]
fn a_commit_that_the_replicas_do_not_take_in_time_is_an_error() {
    let mut world = world_with(config(), false);
    let committing = world.commit_with(9, World::commit_request(&client("g"), &[("words", 0, 1)]));
    world.advance(5_000);
    assert_eq!(
        ErrorCode::from_code(committing.get().topics[0].partitions[0].error_code),
        ErrorCode::CoordinatorNotAvailable
    );
    let world = super::world();
    *world.log.error.lock().unwrap() = Some(ErrorCode::MessageTooLarge);
    assert_eq!(world.commit(&client("g"), &[("words", 0, 1)]), [ErrorCode::UnknownServerError]);
    *world.log.error.lock().unwrap() = None;
    assert_eq!(world.fetch("g", "words", 0), Ok(-1));
}

#[test]
fn offsets_of_a_group_that_only_commits_expire_one_by_one() {
    let mut world = world();
    world.commit(&client("g"), &[("words", 0, 1)]);
    world.advance(5 * DAY_MS);
    world.commit(&client("g"), &[("words", 1, 2)]);
    world.advance(2 * DAY_MS - 1);
    assert_eq!(world.fetch("g", "words", 0), Ok(1));
    world.advance(600_001);
    assert_eq!((world.fetch("g", "words", 0), world.fetch("g", "words", 1)), (Ok(-1), Ok(2)));
    world.advance(5 * DAY_MS);
    assert_eq!(world.fetch("g", "words", 1), Ok(-1));
    assert_eq!(world.state("g"), "Dead", "the group goes with its last offset");
    assert!(world.compacted().is_empty());
}

#[test]
fn offsets_of_a_group_with_members_stay_until_it_has_been_empty_for_long() {
    let mut world = world();
    let mut clients = vec![Client { session_timeout_ms: 1_800_000, ..client("g") }];
    world.stabilize(&mut clients);
    world.commit(&clients[0], &[("words", 0, 1), ("logs", 0, 2)]);
    for _ in 0..(8 * 24 * 4) {
        world.advance(15 * 60 * 1_000);
        assert_eq!(world.heartbeat(&clients[0]), ErrorCode::None);
    }
    // Nobody subscribes to `logs`.
    assert_eq!((world.fetch("g", "words", 0), world.fetch("g", "logs", 0)), (Ok(1), Ok(-1)));
    world.leave(&clients[0]);
    world.advance(7 * DAY_MS - 1);
    assert_eq!(world.fetch("g", "words", 0), Ok(1));
    world.advance(600_001);
    assert_eq!(world.state("g"), "Dead");
    assert!(world.compacted().is_empty());
}

#[test]
fn old_clients_say_how_long_their_offsets_stay() {
    let mut world = world();
    let request = OffsetCommitRequest {
        retention_time_ms: 1_000_000,
        ..World::commit_request(&client("g"), &[("words", 0, 1)])
    };
    world.commit_with(2, request).get();
    world.restart();
    world.advance(999_999);
    assert_eq!(world.fetch("g", "words", 0), Ok(1));
    world.advance(600_000);
    assert_eq!(world.fetch("g", "words", 0), Ok(-1));
}

#[test]
fn offsets_of_deleted_topics_go_and_those_of_a_namesake_stay() {
    let mut world = world();
    world.commit(&client("g"), &[("words", 0, 1), ("logs", 0, 2)]);
    world.commit(&client("h"), &[("words", 1, 3)]);
    let namesake = DeletedTopic { id: Uuid::from_u128(99), name: "words".to_owned() };
    world.coordinator.on_topics_deleted(&[namesake], world.now_ms);
    assert_eq!(world.fetch("g", "words", 0), Ok(1));
    let deleted = DeletedTopic { id: WORDS, name: "words".to_owned() };
    world.coordinator.on_topics_deleted(&[deleted], world.now_ms);
    assert_eq!((world.fetch("g", "words", 0), world.fetch("g", "logs", 0)), (Ok(-1), Ok(2)));
    world.restart();
    assert_eq!(world.fetch("h", "words", 1), Ok(-1));
}

#[test]
fn an_offset_for_an_earlier_topic_of_the_name_is_none() {
    let world = world();
    world.commit(&client("g"), &[("words", 0, 1)]);
    let ask = |topic_id| {
        world
            .coordinator
            .inspect(PARTITION, world.now_ms, move |shard| {
                let request = OffsetFetchRequestGroup {
                    group_id: "g".to_owned(),
                    topics: Some(vec![OffsetFetchRequestTopics {
                        name: "words".to_owned(),
                        topic_id,
                        partition_indexes: vec![0],
                    }]),
                    ..Default::default()
                };
                shard.fetch_offsets(&request, false).unwrap().topics[0].partitions[0].committed_offset
            })
            .unwrap()
    };
    assert_eq!((ask(WORDS), ask(Uuid::ZERO), ask(LOGS)), (1, 1, -1));
}

fn delete(world: &World, group_id: &str, offsets: &[(&str, i32)]) -> (ErrorCode, Vec<ErrorCode>) {
    let request = OffsetDeleteRequest {
        group_id: group_id.to_owned(),
        topics: offsets
            .iter()
            .map(|&(name, partition_index)| OffsetDeleteRequestTopic {
                name: name.to_owned(),
                partitions: vec![OffsetDeleteRequestPartition { partition_index }],
            })
            .collect(),
    };
    let (answer, reply) = Answer::new();
    world.coordinator.delete_offsets(&world.context(0), request, &Topics, world.now_ms, reply);
    let response = answer.get();
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    (
        ErrorCode::from_code(response.error_code),
        partitions.map(|partition| ErrorCode::from_code(partition.error_code)).collect(),
    )
}

#[test]
fn offsets_that_nobody_reads_can_be_deleted() {
    let mut world = world();
    assert_eq!(delete(&world, "g", &[("words", 0)]), (ErrorCode::GroupIdNotFound, vec![]));
    assert_eq!(delete(&world, "", &[("words", 0)]), (ErrorCode::InvalidGroupId, vec![]));
    let mut clients = vec![client("g")];
    world.stabilize(&mut clients);
    world.commit(&clients[0], &[("words", 0, 1), ("logs", 0, 2)]);
    assert_eq!(
        delete(&world, "g", &[("words", 0), ("logs", 0), ("none", 0)]),
        (
            ErrorCode::None,
            vec![ErrorCode::GroupSubscribedToTopic, ErrorCode::None, ErrorCode::UnknownTopicOrPartition]
        )
    );
    assert_eq!((world.fetch("g", "words", 0), world.fetch("g", "logs", 0)), (Ok(1), Ok(-1)));
    world.leave(&clients[0]);
    assert_eq!(delete(&world, "g", &[("words", 0)]), (ErrorCode::None, vec![ErrorCode::None]));
    assert_eq!(world.fetch("g", "words", 0), Ok(-1));
    // What members of other kinds read is not known.
    let mut workers = vec![Client { protocol_type: "connect".to_owned(), ..client("workers") }];
    world.stabilize(&mut workers);
    assert_eq!(delete(&world, "workers", &[("words", 0)]), (ErrorCode::NonEmptyGroup, vec![]));
}
