//! Who comes, stays and goes.

use super::*;

#[test]
fn the_first_member_has_everything_at_once() {
    let world = world();
    let mut first = member("first");
    let response = world.send(1, first.request());
    assert_eq!((response.error_code, response.member_epoch, response.heartbeat_interval_ms), (0, 2, 5_000));
    assert_eq!(response.member_id.as_deref(), Some("first"));
    first.take(&response);
    assert_eq!(first.assigned, words(&[0, 1, 2]));
    assert_eq!(world.epochs(), (2, 2, "Stable".to_owned()));
    // Nothing new, nothing said.
    let response = world.send(1, first.short_request());
    assert_eq!((response.error_code, response.member_epoch, response.assignment), (0, 2, None));
    // A whole request is answered as a whole.
    first.apply();
    assert!(world.send(1, first.request()).assignment.is_some());
}

#[test]
fn members_of_version_0_may_be_given_an_id() {
    let world = world();
    let request = ConsumerGroupHeartbeatRequest { member_id: String::new(), ..member("").request() };
    let response = world.send(0, request.clone());
    assert_eq!(response.error_code, 0);
    assert_eq!(response.member_id.map(|id| id.len()), Some(22));
    assert_eq!(world.beat_error(request), ErrorCode::InvalidRequest);
}

#[test]
fn requests_that_say_too_little_or_nonsense_are_refused() {
    let world = world();
    let whole = member("m").request();
    type Request = ConsumerGroupHeartbeatRequest;
    let bad: [(&str, Request); 9] = [
        ("group", Request { group_id: " ".to_owned(), ..whole.clone() }),
        ("instance", Request { instance_id: Some(String::new()), ..whole.clone() }),
        ("rack", Request { rack_id: Some(String::new()), ..whole.clone() }),
        ("timeout", Request { rebalance_timeout_ms: -1, ..whole.clone() }),
        ("partitions", Request { topic_partitions: None, ..whole.clone() }),
        ("names", Request { subscribed_topic_names: None, ..whole.clone() }),
        ("static", Request { member_epoch: -2, ..whole.clone() }),
        ("epoch", Request { member_epoch: -3, ..whole.clone() }),
        (
            "owned",
            Request {
                topic_partitions: Some(vec![TopicPartitions { topic_id: WORDS, partitions: vec![0] }]),
                ..whole.clone()
            },
        ),
    ];
    for (what, request) in bad {
        assert_eq!(world.beat_error(request), ErrorCode::InvalidRequest, "{what}");
    }
    let other = Request { server_assignor: Some("sticky".to_owned()), ..whole.clone() };
    assert_eq!(world.beat_error(other), ErrorCode::UnsupportedAssignor);
    let response = world.send(1, Request { member_epoch: 5, ..whole });
    assert_eq!(ErrorCode::from_code(response.error_code), ErrorCode::GroupIdNotFound);
    assert!(response.error_message.unwrap().contains("not found"));
    assert_eq!(world.goodbye(&member("m"), -1), ErrorCode::GroupIdNotFound);
}

#[test]
fn a_second_member_gets_its_part_when_the_first_has_given_it_up() {
    let mut world = world();
    let (mut a, mut b) = (member("a"), member("b"));
    world.beat(&mut a);
    world.advance(1_000);
    let response = world.send(1, b.request());
    b.take(&response);
    // Everything is with the other one: it is in the new epoch, and waits.
    assert_eq!((b.epoch, b.assigned.len()), (3, 0));
    assert_eq!(world.epochs(), (3, 3, "Reconciling".to_owned()));

    // The first is told what it may keep; it stays in its epoch until it has given up the rest.
    let response = world.send(1, a.short_request());
    a.take(&response);
    assert_eq!((a.epoch, a.assigned.len()), (2, 2));
    assert_eq!(world.send(1, b.short_request()).assignment, None, "it is not free yet");
    let response = world.send(1, a.short_request());
    assert_eq!(response.member_epoch, 2, "a heartbeat that says nothing of partitions gives nothing up");
    a.apply();
    let response = world.send(1, a.request());
    assert_eq!(response.member_epoch, 3);
    a.take(&response);
    world.beat(&mut b);
    assert_eq!((b.epoch, b.owned.len()), (3, 1));
    assert_eq!(a.owned.union(&b.owned).copied().collect::<Partitions>(), words(&[0, 1, 2]));
    assert_eq!(world.epochs(), (3, 3, "Stable".to_owned()));
}

#[test]
fn who_leaves_frees_its_partitions() {
    let mut world = world();
    let mut members = [member("a"), member("b"), member("c")];
    world.settle(&mut members);
    let [mut a, b, mut c] = members;
    assert_eq!(world.goodbye(&b, -1), ErrorCode::None);
    world.advance(1_000);
    let mut rest = [a.clone(), c.clone()];
    world.settle(&mut rest);
    [a, c] = rest;
    assert_eq!(a.owned.len() + c.owned.len(), 3);
    assert_eq!(world.beat_error(b.short_request()), ErrorCode::UnknownMemberId);
    assert_eq!(world.goodbye(&a, -1), ErrorCode::None);
    assert_eq!(world.goodbye(&c, -1), ErrorCode::None);
    let (group_epoch, assignment_epoch, state) = world.epochs();
    assert_eq!((group_epoch, state.as_str()), (assignment_epoch, "Empty"));
    // An empty group is deleted as a whole.
    let (answer, reply) = Answer::new();
    let request = DeleteGroupsRequest { groups_names: vec!["g".to_owned()] };
    world.coordinator.delete_groups(&world.context(2), request, world.now_ms, reply);
    assert_eq!(answer.get().results[0].error_code, 0);
    assert!(world.compacted().is_empty(), "{:?}", world.compacted());
}

#[test]
fn a_group_with_members_is_not_deleted() {
    let world = world();
    world.beat(&mut member("a"));
    let (answer, reply) = Answer::new();
    let request = DeleteGroupsRequest { groups_names: vec!["g".to_owned()] };
    world.coordinator.delete_groups(&world.context(2), request, world.now_ms, reply);
    assert_eq!(ErrorCode::from_code(answer.get().results[0].error_code), ErrorCode::NonEmptyGroup);
}

#[test]
fn who_is_not_heard_of_is_out_after_the_session() {
    let mut world = world();
    let mut members = [member("a"), member("b")];
    world.settle(&mut members);
    let [mut a, b] = members;
    for _ in 0..9 {
        world.advance(5_000);
        world.beat(&mut a);
    }
    assert_eq!(a.owned, words(&[0, 1, 2]));
    assert_eq!(world.beat_error(b.request()), ErrorCode::UnknownMemberId);
    world.advance(45_000);
    assert_eq!(world.epochs().2, "Empty");
}

#[test]
fn a_heartbeat_that_says_nothing_new_keeps_the_session_and_is_answered_as_one_that_says_all_again() {
    let mut world = world();
    let mut members = [member("a"), member("b")];
    world.settle(&mut members);
    for _ in 0..10 {
        world.advance(30_000);
        for member in &members {
            let short = world.send(1, member.short_request());
            let again = ConsumerGroupHeartbeatRequest { rack_id: member.rack_id.clone(), ..member.request() };
            let again = ConsumerGroupHeartbeatRequest { rebalance_timeout_ms: -1, ..again };
            assert_eq!(short, world.send(1, again));
            assert_eq!((short.member_epoch, short.heartbeat_interval_ms), (member.epoch, 5_000));
            assert_eq!(short.assignment, None);
        }
    }
    assert_eq!(world.described("g").members.len(), 2);
    world.advance(46_000);
    assert_eq!(world.described("g").members.len(), 0, "nobody was heard of for a session");
}

#[test]
fn who_does_not_give_up_partitions_in_time_is_out() {
    let mut world = world();
    let (mut a, mut b) = (member("a"), member("b"));
    world.beat(&mut a);
    world.advance(1_000);
    world.beat(&mut b);
    let response = world.send(1, a.short_request());
    a.take(&response);
    for _ in 0..11 {
        world.advance(5_000);
        assert_eq!(world.beat_error(a.short_request()), ErrorCode::None);
        world.beat(&mut b);
    }
    world.advance(5_000);
    assert_eq!(world.beat_error(a.short_request()), ErrorCode::UnknownMemberId);
    world.beat(&mut b);
    assert_eq!(b.owned, words(&[0, 1, 2]));
}

#[test]
fn epochs_that_are_not_the_members_own_fence_it() {
    let mut world = world();
    let mut members = [member("a"), member("b")];
    world.settle(&mut members);
    let a = &members[0];
    let with = |epoch| ConsumerGroupHeartbeatRequest { member_epoch: epoch, ..a.short_request() };
    assert_eq!(world.beat_error(with(a.epoch + 1)), ErrorCode::FencedMemberEpoch);
    assert_eq!(world.beat_error(with(a.epoch - 1)), ErrorCode::FencedMemberEpoch);
    assert_eq!(world.beat_error(with(a.epoch)), ErrorCode::None);
    // It begins again: it has nothing, and is given what was its own.
    let mut again = Member { epoch: 0, owned: Partitions::new(), ..a.clone() };
    world.beat(&mut again);
    assert_eq!(again.owned, a.owned);
}

#[test]
fn the_epoch_before_will_do_when_the_answer_was_lost() {
    let mut world = world();
    let mut a = member("a");
    world.beat(&mut a);
    world.advance(1_000);
    world.set_topic("words", 5);
    assert_eq!(world.send(1, a.short_request()).member_epoch, 3, "and this is lost");
    // Without its partitions nobody knows whether it is behind or mistaken.
    assert_eq!(world.beat_error(a.short_request()), ErrorCode::FencedMemberEpoch);
    world.beat(&mut a);
    assert_eq!((a.epoch, a.owned), (3, words(&[0, 1, 2, 3, 4])));
}

#[test]
fn a_group_may_be_full() {
    let config = GroupConfig { group_consumer_max_size: 2, ..config() };
    let world = world_with(config, true);
    world.beat(&mut member("a"));
    world.beat(&mut member("b"));
    assert_eq!(world.beat_error(member("c").request()), ErrorCode::GroupMaxSizeReached);
    assert_eq!(world.beat_error(member("b").request()), ErrorCode::None);
}

fn static_member(name: &str) -> Member {
    Member { instance_id: Some("worker".to_owned()), ..member(name) }
}

#[test]
fn a_static_member_comes_back_to_what_it_had() {
    let mut world = world();
    let mut members = [static_member("one"), member("b")];
    world.settle(&mut members);
    let [one, mut b] = members;
    let epochs = world.epochs();
    // Not while the one before is there.
    assert_eq!(world.beat_error(static_member("two").request()), ErrorCode::UnreleasedInstanceId);
    assert_eq!(world.goodbye(&one, -2), ErrorCode::None);
    assert_eq!(world.beat_error(one.request()), ErrorCode::FencedMemberEpoch);
    world.advance(30_000);
    world.beat(&mut b);
    let mut two = static_member("two");
    world.beat(&mut two);
    assert_eq!((&two.owned, two.epoch), (&one.owned, one.epoch));
    assert_eq!(world.epochs(), epochs, "nobody else has noticed");
    let request = ConsumerGroupHeartbeatRequest { instance_id: one.instance_id.clone(), ..one.request() };
    assert_eq!(world.beat_error(request), ErrorCode::FencedInstanceId);
    let before = world.state_of("g");
    world.restart();
    assert_eq!(world.state_of("g"), before);
}

#[test]
fn a_static_member_that_does_not_come_back_is_out_after_its_session() {
    let mut world = world();
    let mut one = static_member("one");
    world.beat(&mut one);
    assert_eq!(world.goodbye(&one, -2), ErrorCode::None);
    world.advance(44_999);
    assert_eq!(world.described("g").members.len(), 1);
    world.advance(1);
    assert_eq!(world.epochs().2, "Empty");
    world.beat(&mut static_member("two"));
    let other = Member { instance_id: Some("nobody".to_owned()), epoch: 4, ..member("x") };
    assert_eq!(world.beat_error(other.request()), ErrorCode::UnknownMemberId);
}

#[test]
fn an_administrator_removes_members() {
    let mut world = world();
    let mut members = [static_member("one"), member("b")];
    world.settle(&mut members);
    let request = LeaveGroupRequest {
        group_id: "g".to_owned(),
        members: vec![
            MemberIdentity { group_instance_id: Some("worker".to_owned()), ..Default::default() },
            MemberIdentity { member_id: "b".to_owned(), ..Default::default() },
            MemberIdentity { member_id: "nobody".to_owned(), ..Default::default() },
        ],
        ..Default::default()
    };
    let (answer, reply) = Answer::new();
    world.coordinator.leave_group(&world.context(5), request, world.now_ms, reply);
    let errors: Vec<i16> = answer.get().members.iter().map(|member| member.error_code).collect();
    assert_eq!(errors, [0, 0, ErrorCode::UnknownMemberId.code()]);
    assert_eq!(world.epochs().2, "Empty");
}

#[test]
fn groups_are_shown_as_what_they_are() {
    let mut world = world();
    let mut members = [static_member("one"), member("b")];
    members[1].rack_id = Some("r1".to_owned());
    world.settle(&mut members);
    let described = world.described("g");
    assert_eq!((described.assignor_name.as_str(), described.members.len()), ("uniform", 2));
    let b = &described.members[0];
    assert_eq!((b.member_id.as_str(), b.member_epoch, b.member_type), ("b", members[1].epoch, 1));
    assert_eq!((b.client_id.as_str(), b.client_host.as_str()), ("client", "/127.0.0.1"));
    assert_eq!(
        (b.rack_id.as_deref(), b.subscribed_topic_names.as_slice()),
        (Some("r1"), &["words".to_owned()][..])
    );
    assert_eq!(b.assignment, b.target_assignment);
    assert_eq!(b.assignment.topic_partitions[0].topic_name, "words");
    assert_eq!(world.described("x").error_code, ErrorCode::GroupIdNotFound.code());
    assert_eq!(world.described("").error_code, ErrorCode::InvalidGroupId.code());
    assert_eq!(world.describe("g").error_code, ErrorCode::GroupIdNotFound.code());
    let (answer, reply) = Answer::new();
    let request = ListGroupsRequest { types_filter: vec!["Consumer".to_owned()], ..Default::default() };
    world.coordinator.list_groups(&world.context(5), request, world.now_ms, reply);
    let listed = answer.get().groups.remove(0);
    assert_eq!(
        (listed.group_state.as_str(), listed.group_type.as_str(), listed.protocol_type.as_str()),
        ("Stable", "consumer", "consumer")
    );
}

#[test]
fn a_group_with_settings_of_its_own_follows_them() {
    let mut world = world();
    let own = ConsumerGroupSettings {
        session_timeout_ms: 50_000,
        heartbeat_interval_ms: 7_000,
        assignment_interval_ms: 0,
    };
    world.coordinator.set_consumer_settings(ConsumerGroupSettings::default(), [("g".to_owned(), own)].into());
    let response = world.send(1, member("a").request());
    assert_eq!(response.heartbeat_interval_ms, 7_000);
    // The next assignment need not wait.
    assert_eq!(world.send(1, member("b").request()).member_epoch, 3);
    world.advance(49_999);
    assert_eq!(world.described("g").members.len(), 2);
    world.advance(1);
    assert_eq!(world.described("g").members.len(), 0);
}

#[test]
fn an_assignment_waits_for_the_interval_since_the_last() {
    let mut world = world();
    let (mut a, mut b) = (member("a"), member("b"));
    world.beat(&mut a);
    world.advance(999);
    world.beat(&mut b);
    assert_eq!((b.epoch, b.owned.len()), (2, 0), "it is a member, without a target of its own");
    assert_eq!(world.epochs(), (3, 2, "Assigning".to_owned()));
    world.advance(1);
    let mut members = [a, b];
    world.settle(&mut members);
    assert_eq!(world.epochs(), (3, 3, "Stable".to_owned()));
}

#[test]
fn a_log_that_refuses_changes_nothing() {
    let mut world = world();
    let mut a = member("a");
    world.beat(&mut a);
    let before = world.state_of("g");
    world.advance(1_000);
    *world.log.error.lock().unwrap() = Some(ErrorCode::NotEnoughReplicas);
    assert_eq!(world.beat_error(member("b").request()), ErrorCode::CoordinatorNotAvailable);
    assert_eq!(world.goodbye(&a, -1), ErrorCode::CoordinatorNotAvailable);
    *world.log.error.lock().unwrap() = None;
    assert_eq!(world.state_of("g"), before);
    world.beat(&mut a);
}
