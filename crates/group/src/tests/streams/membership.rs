//! Members come, stay and go.

use super::*;

fn error(world: &World, request: StreamsGroupHeartbeatRequest) -> ErrorCode {
    ErrorCode::from_code(world.beat_streams(1, request).response.error_code)
}

#[test]
fn missing_topics_are_named_and_with_them_the_group_begins() {
    let mut world = world();
    let mut one = thread("a", "p1");
    let result = world.join_streams(&mut one);
    assert_eq!(one.epoch, 1);
    assert_eq!(statuses(&result), [5, 3], "delayed, and internal topics are missing");
    let wanted: Vec<_> = result
        .internal_topics_to_create
        .iter()
        .map(|topic| (topic.name.as_str(), topic.num_partitions, topic.replication_factor))
        .collect();
    assert_eq!(wanted, [(CHANGELOG, 3, -1), (REPARTITION, 3, -1)]);
    assert_eq!(result.internal_topics_to_create[0].configs[0].name, "cleanup.policy");
    assert_eq!(world.streams_epochs(), (2, 1, "NotReady".to_owned()));

    world.create_topics(&result);
    world.advance(3_000);
    world.settle_streams(std::slice::from_mut(&mut one));
    assert_eq!(tasks(&one), ALL);
    let described = world.described_streams("g");
    assert_eq!(described.group_state, "Stable");
    let topology = described.topology.unwrap().subtopologies.unwrap();
    assert_eq!(topology[1].state_changelog_topics[0].partitions, 3);
    assert_eq!(described.assignor_name.as_deref(), Some("sticky"));

    // A source topic that is gone is said, and nothing is created for it.
    let mut topics = world.topics.clone();
    topics.topics.remove("words");
    world.set_topics(topics);
    let result = world.beat_streams(1, one.short_request());
    assert_eq!(statuses(&result), [1]);
    assert_eq!(world.described_streams("g").group_state, "NotReady");
}

#[test]
fn topics_with_other_numbers_of_partitions_are_refused() {
    let mut world = world();
    world.set_topic(REPARTITION, 2);
    let result = world.join_streams(&mut thread("a", "p1"));
    assert_eq!(statuses(&result), [5, 2]);
    assert!(result.internal_topics_to_create.is_empty());
}

#[test]
fn two_processes_share_and_who_goes_leaves_its_tasks_to_the_other() {
    let mut world = world();
    let mut threads = vec![thread("a", "p1"), thread("b", "p2")];
    settled(&mut world, &mut threads);
    assert_eq!(all_active(&threads), ALL);
    assert_eq!((threads[0].owned[0].len(), threads[1].owned[0].len()), (3, 3));

    // A third one takes two tasks, which the others have to give up first.
    let mut third = thread("c", "p3");
    world.advance(1_000);
    world.join_streams(&mut third);
    assert!(third.assigned[0].is_empty(), "all tasks are with others");
    threads.push(third);
    world.settle_streams(&mut threads);
    assert_eq!(all_active(&threads), ALL);
    assert!(threads.iter().all(|thread| thread.owned[0].len() == 2));

    // One leaves, and of another nothing is heard any more.
    let gone = threads.remove(0);
    let leave = StreamsGroupHeartbeatRequest { member_epoch: -1, ..gone.short_request() };
    let response = world.beat_streams(1, leave).response;
    assert_eq!((response.error_code, response.member_epoch), (0, -1));
    world.settle_streams(&mut threads);
    assert_eq!(all_active(&threads), ALL);
    let silent = threads.remove(0);
    for _ in 0..5 {
        world.advance(10_000);
        let response = world.beat_streams(1, threads[0].full_request()).response;
        threads[0].take(&response);
        threads[0].apply();
    }
    world.settle_streams(&mut threads);
    assert_eq!(tasks(&threads[0]), ALL);
    assert_eq!(error(&world, silent.short_request()), ErrorCode::UnknownMemberId);
}

#[test]
fn who_does_not_give_up_tasks_in_time_is_removed() {
    let mut world = world();
    let mut threads = vec![thread("a", "p1")];
    settled(&mut world, &mut threads);
    world.advance(1_000);
    let mut other = thread("b", "p2");
    world.join_streams(&mut other);
    // It hears what to give up, and goes on with it.
    let response = world.beat_streams(1, threads[0].full_request()).response;
    assert_eq!(
        response.active_tasks.as_ref().map(|ids| ids.iter().map(|i| i.partitions.len()).sum()),
        Some(3)
    );
    for _ in 0..7 {
        world.advance(10_000);
        let mut stubborn = threads[0].full_request();
        stubborn.member_epoch = response.member_epoch;
        world.beat_streams(1, stubborn);
        let response = world.beat_streams(1, other.full_request()).response;
        other.take(&response);
        other.apply();
    }
    assert_eq!(error(&world, threads[0].short_request()), ErrorCode::UnknownMemberId);
    let mut others = [other];
    world.settle_streams(&mut others);
    assert_eq!(tasks(&others[0]), ALL);
}

#[test]
fn standby_tasks_are_on_other_processes_and_become_active_there() {
    let mut world = world_with(
        GroupConfig {
            group_streams: StreamsGroupSettings { num_standby_replicas: 1, ..Default::default() },
            ..config()
        },
        true,
    );
    let mut threads = vec![thread("a", "p1"), thread("b", "p2")];
    settled(&mut world, &mut threads);
    let standby = |thread: &Thread| thread.owned[1].len();
    assert_eq!(standby(&threads[0]) + standby(&threads[1]), 3, "one for each task with state");
    for (one, other) in [(0, 1), (1, 0)] {
        assert!(threads[one].owned[1].is_subset(&threads[other].owned[0]), "{threads:?}");
    }
    let copies = threads[1].owned[1].clone();
    let leave = StreamsGroupHeartbeatRequest { member_epoch: -1, ..threads.remove(0).short_request() };
    world.beat_streams(1, leave);
    world.settle_streams(&mut threads);
    assert_eq!(tasks(&threads[0]), ALL);
    assert!(copies.is_subset(&threads[0].owned[0]) && threads[0].owned[1].is_empty());

    // Fewer copies are a new assignment.
    let epoch = world.streams_epochs().0;
    world.coordinator.set_streams_settings(StreamsGroupSettings::default(), Default::default());
    world.settle_streams(&mut threads);
    assert_eq!(world.streams_epochs().0, epoch + 1);
}

#[test]
fn a_static_member_keeps_its_tasks_while_it_is_away() {
    let mut world = world();
    let mut one = Thread { instance_id: Some("i".to_owned()), ..thread("a", "p1") };
    let mut threads = vec![one.clone(), thread("b", "p2")];
    settled(&mut world, &mut threads);
    let before = threads[0].owned.clone();
    let epochs = world.streams_epochs();
    let intruder = Thread { instance_id: Some("i".to_owned()), ..thread("z", "p1") };
    assert_eq!(error(&world, intruder.join_request()), ErrorCode::UnreleasedInstanceId);
    let away = StreamsGroupHeartbeatRequest { member_epoch: -2, ..threads[0].short_request() };
    assert_eq!(world.beat_streams(1, away).response.member_epoch, -2);
    assert_eq!(world.streams_epochs().0, epochs.0);
    one.member_id = "a2".to_owned();
    world.join_streams(&mut one);
    one.apply();
    assert_eq!((one.owned.clone(), one.epoch), (before, epochs.1), "it is as if it had not been away");
    assert_eq!(world.streams_epochs(), epochs);
    assert_eq!(error(&world, threads[0].short_request()), ErrorCode::FencedInstanceId);
}

#[test]
fn what_is_wrong_with_a_heartbeat_is_said() {
    let mut world = world();
    let joins = thread("a", "p1");
    let with = |change: &dyn Fn(&mut StreamsGroupHeartbeatRequest)| {
        let mut request = joins.join_request();
        change(&mut request);
        request
    };
    let invalid = [
        with(&|request| request.member_id.clear()),
        with(&|request| request.group_id = " ".to_owned()),
        with(&|request| request.rebalance_timeout_ms = -1),
        with(&|request| request.topology = None),
        with(&|request| request.active_tasks = None),
        with(&|request| request.member_epoch = -3),
        with(&|request| request.member_epoch = -2),
        with(&|request| request.member_epoch = 1),
        with(&|request| {
            request.topology.as_mut().unwrap().subtopologies[0].source_topic_regex = vec!["w.*".to_owned()];
        }),
        with(&|request| {
            let offset = TaskOffset { subtopology_id: "1".to_owned(), ..Default::default() };
            request.task_offsets = Some(vec![offset.clone(), offset]);
        }),
    ];
    for request in invalid {
        assert_eq!(error(&world, request.clone()), ErrorCode::InvalidRequest, "{request:?}");
    }
    let topology =
        |change: &dyn Fn(&mut Topology)| with(&|request| change(request.topology.as_mut().unwrap()));
    let bad = [
        topology(&|topology| topology.epoch = -1),
        topology(&|topology| topology.subtopologies[1].state_changelog_topics[0].partitions = 3),
        topology(&|topology| topology.subtopologies[1].subtopology_id = "0".to_owned()),
        topology(&|topology| topology.subtopologies[1].repartition_source_topics[0].partitions = -1),
        topology(&|topology| topology.subtopologies[1].repartition_source_topics[0].partitions = i32::MAX),
        topology(&|topology| topology.subtopologies[0].repartition_sink_topics.clear()),
        topology(&|topology| topology.subtopologies[0].source_topics.clear()),
    ];
    for request in bad {
        assert_eq!(error(&world, request.clone()), ErrorCode::StreamsInvalidTopology, "{request:?}");
    }
    assert_eq!(world.log.end.load(Ordering::SeqCst), 0, "nothing was written");
    let stays = StreamsGroupHeartbeatRequest { member_epoch: 1, ..joins.short_request() };
    assert_eq!(error(&world, stays), ErrorCode::GroupIdNotFound);

    let mut threads = vec![joins.clone()];
    settled(&mut world, &mut threads);
    let epoch = threads[0].epoch;
    let at = |epoch| StreamsGroupHeartbeatRequest { member_epoch: epoch, ..threads[0].short_request() };
    assert_eq!(error(&world, at(epoch + 1)), ErrorCode::FencedMemberEpoch);
    assert_eq!(error(&world, at(epoch - 1)), ErrorCode::FencedMemberEpoch);
    let mut stranger = threads[0].full_request();
    stranger.active_tasks.as_mut().unwrap()[0].partitions = vec![3];
    assert_eq!(error(&world, stranger), ErrorCode::InvalidRequest);
    let other = topology(&|topology| topology.subtopologies[0].source_topics.push("logs".to_owned()));
    assert_eq!(error(&world, other), ErrorCode::InvalidRequest);
    // Of another protocol.
    let mut clients = vec![client("classic")];
    world.stabilize(&mut clients);
    let classic = with(&|request| request.group_id = "classic".to_owned());
    assert_eq!(error(&world, classic), ErrorCode::GroupIdNotFound);
    assert_eq!(world.describe("g").error_code, ErrorCode::GroupIdNotFound.code());
    assert_eq!(world.described_streams("classic").error_code, ErrorCode::GroupIdNotFound.code());
}

#[test]
fn an_older_topology_is_stale_and_a_shutdown_is_heard_by_all() {
    let mut world = world();
    let newer = Thread { topology_epoch: 1, ..thread("a", "p1") };
    let mut threads = [newer, thread("b", "p2")];
    settled(&mut world, &mut threads[..1]);
    world.advance(1_000);
    assert_eq!(statuses(&world.join_streams(&mut threads[1])), [0]);
    let shutdown = StreamsGroupHeartbeatRequest { shutdown_application: true, ..threads[1].short_request() };
    assert_eq!(statuses(&world.beat_streams(1, shutdown)), [0, 4]);
    assert!(statuses(&world.beat_streams(1, threads[0].short_request())).contains(&4));
}

#[test]
fn endpoints_tell_who_has_which_partitions() {
    let mut world = world();
    let endpoint = Some(Endpoint { host: "h".to_owned(), port: 7 });
    let mut threads = vec![Thread { endpoint, ..thread("a", "p1") }, thread("b", "p2")];
    settled(&mut world, &mut threads);
    let response = world.beat_streams(1, threads[1].short_request()).response;
    let endpoints = response.partitions_by_user_endpoint.unwrap();
    assert_eq!((endpoints.len(), endpoints[0].user_endpoint.port), (1, 7));
    let partitions: usize = endpoints[0].active_partitions.iter().map(|topic| topic.partitions.len()).sum();
    assert_eq!(partitions, 3);
    let known = StreamsGroupHeartbeatRequest {
        endpoint_information_epoch: response.endpoint_information_epoch,
        ..threads[1].short_request()
    };
    assert_eq!(world.beat_streams(1, known).response.partitions_by_user_endpoint, None);
}

#[test]
fn commits_are_checked_against_epochs_and_tasks() {
    let mut world = world();
    let mut threads = vec![thread("a", "p1")];
    settled(&mut world, &mut threads);
    let as_client = |thread: &Thread, epoch| Client {
        member_id: thread.member_id.clone(),
        generation_id: epoch,
        ..client("g")
    };
    let commit = |world: &World, thread: &Thread, epoch, partition| {
        let request = World::commit_request(&as_client(thread, epoch), &[("words", partition, 7)]);
        let response = world.commit_with(9, request).get();
        ErrorCode::from_code(response.topics[0].partitions[0].error_code)
    };
    let first = threads[0].epoch;
    assert_eq!(commit(&world, &threads[0], first, 0), ErrorCode::None);
    assert_eq!(commit(&world, &threads[0], first + 1, 0), ErrorCode::StaleMemberEpoch);
    assert_eq!(commit(&world, &thread("x", "p"), first, 0), ErrorCode::UnknownMemberId);
    world.advance(1_000);
    threads.push(thread("b", "p2"));
    world.join_streams(&mut threads[1]);
    world.settle_streams(&mut threads);
    // With the epoch before it may commit what it has had since then, and nothing else.
    for partition in 0..3 {
        let has = threads[0].owned[0].contains(&("0".to_owned(), partition));
        let expected = if has { ErrorCode::None } else { ErrorCode::StaleMemberEpoch };
        assert_eq!(commit(&world, &threads[0], first, partition), expected);
    }
    assert_eq!(commit(&world, &threads[1], first, 0), ErrorCode::StaleMemberEpoch);
    assert_eq!(world.fetch("g", "words", 0), Ok(7));

    // Only an empty group is deleted, with its offsets.
    let delete = |world: &World| {
        let request = DeleteGroupsRequest { groups_names: vec!["g".to_owned()] };
        let (answer, reply) = Answer::new();
        world.coordinator.delete_groups(&world.context(2), request, world.now_ms, reply);
        ErrorCode::from_code(answer.get().results[0].error_code)
    };
    assert_eq!(delete(&world), ErrorCode::NonEmptyGroup);
    for thread in &threads {
        let leave = StreamsGroupHeartbeatRequest { member_epoch: -1, ..thread.short_request() };
        assert_eq!(error(&world, leave), ErrorCode::None);
    }
    assert_eq!(world.described_streams("g").group_state, "Empty");
    assert_eq!(delete(&world), ErrorCode::None);
    world.restart();
    let count = world.coordinator.inspect(PARTITION, world.now_ms, |shard| shard.groups().iter().count());
    assert_eq!(count, Ok(0));
    assert_eq!(world.fetch("g", "words", 0), Ok(-1));
}

#[test]
fn another_coordinator_goes_on_where_this_one_was() {
    let mut world = world();
    let mut threads = vec![thread("a", "p1"), thread("b", "p2")];
    settled(&mut world, &mut threads);
    let (state, epochs) = (world.streams_state(), world.streams_epochs());
    world.restart();
    assert_eq!(world.streams_state(), state);
    let end = world.log.end.load(Ordering::SeqCst);
    for thread in &threads {
        let response = world.beat_streams(1, thread.full_request()).response;
        assert_eq!((response.error_code, response.active_tasks), (0, None));
    }
    assert_eq!(world.streams_epochs(), epochs);
    assert_eq!(world.log.end.load(Ordering::SeqCst), end, "there was nothing to write");
    // Of nobody anything is heard any more.
    world.advance(45_000);
    assert_eq!(world.described_streams("g").group_state, "Empty");
}

#[test]
fn groups_are_counted_by_state_and_rebalances_as_they_come() {
    use crate::{GroupCounts, GroupType};
    let mut world = world();
    let rebalances = |world: &World| world.coordinator.counters().by_name()[5].2;
    let states = |world: &World| -> Vec<(&str, usize)> {
        let counts = world.coordinator.counts(world.now_ms);
        let states = GroupCounts::states(GroupType::Streams).iter();
        let counted = states.map(|state| (*state, counts.in_state(GroupType::Streams, state)));
        counted.filter(|(_, count)| *count > 0).collect()
    };
    let mut one = thread("a", "p1");
    let result = world.join_streams(&mut one);
    assert_eq!((states(&world), rebalances(&world)), (vec![("NotReady", 1)], 1));
    world.create_topics(&result);
    world.advance(3_000);
    world.settle_streams(std::slice::from_mut(&mut one));
    let epoch = world.streams_epochs().0;
    assert_eq!(states(&world), [("Stable", 1)]);
    // The first epoch of a group is 2.
    assert_eq!(rebalances(&world), epoch as u64 - 1);

    let client = client("commits-only");
    world.commit(&client, &[("words", 0, 1), ("words", 1, 2)]);
    let counts = world.coordinator.counts(world.now_ms);
    assert_eq!(counts.offsets, 2);
    assert_eq!((counts.of_type(GroupType::Streams), counts.of_type(GroupType::Classic)), (1, 1));
    assert_eq!(counts.in_state(GroupType::Classic, "Empty"), 1);
    let leaving = StreamsGroupHeartbeatRequest { member_epoch: -1, ..one.short_request() };
    world.beat_streams(1, leaving);
    assert_eq!(states(&world), [("Empty", 1)]);
}

#[test]
fn heartbeats_of_settled_members_take_the_short_way_and_no_others() {
    let mut world = world();
    let mut threads = [thread("a", "p1"), thread("b", "p2")];
    settled(&mut world, &mut threads);
    let is_short = |world: &World, client_id: &'static str, request: &StreamsGroupHeartbeatRequest| {
        let settings = world.config.group_streams.clone();
        let client = RequestContext { client_id: client_id.to_owned(), ..world.context(1) };
        let look = |shard: &GroupShard| {
            let group = shard.groups().streams("g").unwrap();
            group.settled_member(&client, request, &settings).is_some()
        };
        world.coordinator.inspect(PARTITION, world.now_ms, look).unwrap()
    };
    let one = threads[0].clone();
    // The session goes on by it.
    for _ in 0..10 {
        assert!(is_short(&world, "client", &one.short_request()));
        assert_eq!(world.beat_streams(1, one.short_request()).response.error_code, 0);
        world.advance(10_000);
        assert_eq!(world.beat_streams(1, threads[1].short_request()).response.error_code, 0);
    }

    // Who says something, or is not quite who it was.
    assert!(!is_short(&world, "client", &one.full_request()));
    assert!(!is_short(&world, "another-client", &one.short_request()));
    let request = |change: fn(&mut StreamsGroupHeartbeatRequest)| {
        let mut request = one.short_request();
        change(&mut request);
        request
    };
    for request in [
        request(|request| request.member_epoch -= 1),
        request(|request| request.member_epoch = 0),
        request(|request| request.member_id = "c".to_owned()),
        request(|request| request.rack_id = Some("r".to_owned())),
        request(|request| request.process_id = Some("p3".to_owned())),
        request(|request| request.task_offsets = Some(Vec::new())),
        request(|request| request.endpoint_information_epoch = 7),
        request(|request| request.shutdown_application = true),
    ] {
        assert!(!is_short(&world, "client", &request), "{request:?}");
    }

    // As long as there is something to hear.
    world.set_topic("words", 4);
    world.set_topic("words", 3);
    assert!(!is_short(&world, "client", &one.short_request()));
    world.settle_streams(&mut threads);
    assert!(is_short(&world, "client", &threads[0].short_request()));
    let leaving = StreamsGroupHeartbeatRequest { member_epoch: -1, ..threads[1].short_request() };
    world.beat_streams(1, leaving);
    assert!(!is_short(&world, "client", &threads[0].short_request()));
}
