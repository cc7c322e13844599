//! Joining, syncing, leaving: the dance of several members.

use super::*;

#[test]
fn a_new_member_is_told_its_id_first_and_waits_for_the_initial_delay() {
    let mut world = world();
    let mut first = client("g");
    let answer = world.join_with_id(&mut first);
    assert_eq!(first.member_id, "client-00000000-0000-0000-0000-000000000000");
    assert!(answer.is_waiting());
    assert_eq!(world.state("g"), "PreparingRebalance");
    world.advance(2_999);
    assert!(answer.is_waiting());
    world.advance(1);
    let response = answer.get();
    assert_eq!((response.error_code, response.generation_id), (0, 1));
    assert_eq!(response.leader, first.member_id);
    assert_eq!(response.protocol_type.as_deref(), Some("consumer"));
    assert_eq!(response.protocol_name.as_deref(), Some("range"));
    assert_eq!(response.members.len(), 1);
    assert_eq!(response.members[0].metadata, subscription(&["words"]));
    assert_eq!(world.state("g"), "CompletingRebalance");
    first.generation_id = 1;
    let member_id = first.member_id.clone();
    let response = world.sync(&first, &[(&member_id, "mine")]).get();
    assert_eq!((response.error_code, response.assignment), (0, b"mine".to_vec()));
    assert_eq!(world.state("g"), "Stable");
    assert_eq!(world.heartbeat(&first), ErrorCode::None);
}

#[test]
fn old_clients_join_without_knowing_their_id() {
    let mut world = world();
    let old = Client { version: 3, ..client("g") };
    let answer = world.join(&old);
    world.advance(3_000);
    let response = answer.get();
    assert_eq!((response.error_code, response.generation_id), (0, 1));
    assert!(!response.member_id.is_empty());
    // Where nothing was picked, old clients read an empty text.
    let response = world.join(&Client { version: 3, member_id: "unknown".to_owned(), ..client("g") }).get();
    assert_eq!(ErrorCode::from_code(response.error_code), ErrorCode::UnknownMemberId);
    assert_eq!(response.protocol_name.as_deref(), Some(""));
}

#[test]
fn members_that_come_during_the_delay_extend_it_up_to_the_rebalance_timeout() {
    let mut world = world();
    let mut clients = [client("g"), client("g")];
    for client in &mut clients {
        client.rebalance_timeout_ms = 7_000;
    }
    let [first, second] = &mut clients;
    let first_answer = world.join_with_id(first);
    world.advance(2_000);
    let second_answer = world.join_with_id(second);
    world.advance(1_000);
    assert!(first_answer.is_waiting() && second_answer.is_waiting());
    world.advance(3_000);
    // Nobody came in the second delay.
    assert_eq!((first_answer.get().generation_id, second_answer.get().generation_id), (1, 1));
}

#[test]
fn a_second_member_starts_a_rebalance_and_everybody_gets_a_share() {
    let mut world = world();
    let mut clients = vec![client("g")];
    world.stabilize(&mut clients);
    let mut second = client("g");
    let joining = world.join_with_id(&mut second);
    assert!(joining.is_waiting());
    assert_eq!(world.heartbeat(&clients[0]), ErrorCode::RebalanceInProgress);
    let rejoining = world.join(&clients[0]);
    let (first_response, second_response) = (rejoining.get(), joining.get());
    assert_eq!((first_response.generation_id, second_response.generation_id), (2, 2));
    assert_eq!(first_response.leader, clients[0].member_id);
    assert_eq!(second_response.leader, clients[0].member_id);
    assert_eq!((first_response.members.len(), second_response.members.len()), (2, 0));
    clients.push(second);
    for client in &mut clients {
        client.generation_id = 2;
    }
    world.sync_all(&clients, 0);
    assert_eq!(world.state("g"), "Stable");
    // Whoever asks again hears the same.
    let response = world.sync(&clients[1], &[]).get();
    assert_eq!(response.assignment, clients[1].member_id.clone().into_bytes());
}

#[test]
fn ten_members_go_through_rolling_restarts() {
    let mut world = world();
    let mut clients: Vec<_> = (0..10).map(|_| client("g")).collect();
    world.stabilize(&mut clients);
    for round in 0..10 {
        let gone = clients.remove(0);
        assert_eq!(world.leave(&gone).members[0].error_code, 0);
        assert!(clients.iter().all(|client| world.heartbeat(client) == ErrorCode::RebalanceInProgress));
        clients.push(client("g"));
        world.stabilize(&mut clients);
        assert!(clients.iter().all(|client| client.generation_id == clients[0].generation_id));
        assert_eq!(world.describe("g").members.len(), 10, "round {round}");
    }
    assert_eq!(world.state("g"), "Stable");
    let described = world.describe("g");
    for member in &described.members {
        assert_eq!(member.member_assignment, member.member_id.clone().into_bytes());
        assert_eq!(member.member_metadata, subscription(&["words"]));
        assert_eq!((member.client_id.as_str(), member.client_host.as_str()), ("client", "/127.0.0.1"));
    }
}

#[test]
fn a_cooperative_round_revokes_in_one_generation_and_assigns_in_the_next() {
    let mut world = world();
    let cooperative = Client {
        protocols: vec![
            ("cooperative-sticky".to_owned(), subscription(&["words"])),
            ("range".to_owned(), subscription(&["words"])),
        ],
        ..client("g")
    };
    let mut clients = vec![cooperative.clone()];
    world.stabilize(&mut clients);
    clients.push(cooperative);
    world.stabilize(&mut clients);
    assert_eq!(world.describe("g").protocol_data, "cooperative-sticky");
    assert_eq!(clients[0].generation_id, 2);
    // The owner has revoked, says so in its metadata, and joins again by itself.
    clients[0].protocols[0].1.push(1);
    let rejoining = world.join(&clients[0]);
    assert!(rejoining.is_waiting());
    assert_eq!(world.heartbeat(&clients[1]), ErrorCode::RebalanceInProgress);
    let other = world.join(&clients[1]);
    assert_eq!((rejoining.get().generation_id, other.get().generation_id), (3, 3));
}

#[test]
fn the_protocol_is_one_that_all_have_and_most_want() {
    let mut world = world();
    let with = |names: &[&str]| Client {
        protocols: names.iter().map(|&name| (name.to_owned(), Vec::new())).collect(),
        protocol_type: "connect".to_owned(),
        ..client("g")
    };
    let mut clients = [with(&["a", "b", "c"]), with(&["b", "a"]), with(&["d", "b", "a"])];
    let answers: Vec<_> = clients.iter_mut().map(|client| world.join_with_id(client)).collect();
    world.advance(6_000);
    for answer in answers {
        assert_eq!(answer.get().protocol_name.as_deref(), Some("b"));
    }
    let response = world.join(&with(&["c", "d"])).get();
    assert_eq!(ErrorCode::from_code(response.error_code), ErrorCode::InconsistentGroupProtocol);
    let other = Client { protocol_type: "consumer".to_owned(), ..with(&["b"]) };
    assert_eq!(
        ErrorCode::from_code(world.join(&other).get().error_code),
        ErrorCode::InconsistentGroupProtocol
    );
    let response = world.join(&Client { protocols: Vec::new(), ..client("new") }).get();
    assert_eq!(ErrorCode::from_code(response.error_code), ErrorCode::InconsistentGroupProtocol);
}

#[test]
fn a_follower_that_asks_again_is_told_the_generation_and_a_leader_starts_a_new_one() {
    let mut world = world();
    let mut clients = vec![client("g"), client("g")];
    world.stabilize(&mut clients);
    let leader = world.join_leader(&clients);
    let follower = 1 - leader;
    let response = world.join(&clients[follower]).get();
    assert_eq!((response.generation_id, response.members.len()), (1, 0));
    assert!(!response.skip_assignment);
    assert_eq!(world.state("g"), "Stable");
    let answer = world.join(&clients[leader]);
    assert!(answer.is_waiting());
    assert_eq!(world.state("g"), "PreparingRebalance");
}

impl World {
    /// Which of the clients leads, as the group says.
    fn join_leader(&self, clients: &[Client]) -> usize {
        let leader = self
            .coordinator
            .inspect(PARTITION, self.now_ms, |shard| {
                shard.groups().classic("g").and_then(|group| group.leader_id().map(str::to_owned))
            })
            .unwrap()
            .unwrap();
        clients.iter().position(|client| client.member_id == leader).unwrap()
    }
}

#[test]
fn a_join_while_the_leader_assigns_gives_the_same_answer_or_a_new_round() {
    let mut world = world();
    let mut first = client("g");
    let answer = world.join_with_id(&mut first);
    world.advance(3_000);
    assert_eq!(answer.get().generation_id, 1);
    // The answer got lost: the same again, with the members, for it leads.
    let response = world.join(&first).get();
    assert_eq!((response.generation_id, response.members.len()), (1, 1));
    let changed = Client { protocols: vec![("range".to_owned(), subscription(&["logs"]))], ..first };
    assert_eq!(world.join(&changed).get().generation_id, 2);
}

#[test]
fn stale_and_unknown_members_are_told_what_is_wrong() {
    let mut world = world();
    let mut clients = vec![client("g")];
    world.stabilize(&mut clients);
    let member = &clients[0];
    let stale = Client { generation_id: 0, ..member.clone() };
    let unknown = Client { member_id: "nobody".to_owned(), ..member.clone() };
    let elsewhere = Client { group_id: "other".to_owned(), ..member.clone() };
    assert_eq!(world.heartbeat(&stale), ErrorCode::IllegalGeneration);
    assert_eq!(world.heartbeat(&unknown), ErrorCode::UnknownMemberId);
    assert_eq!(world.heartbeat(&elsewhere), ErrorCode::UnknownMemberId);
    for (client, error) in [
        (&stale, ErrorCode::IllegalGeneration),
        (&unknown, ErrorCode::UnknownMemberId),
        (&elsewhere, ErrorCode::UnknownMemberId),
    ] {
        assert_eq!(ErrorCode::from_code(world.sync(client, &[]).get().error_code), error);
    }
    for client in [&unknown, &elsewhere] {
        let response = world.join(client).get();
        assert_eq!(ErrorCode::from_code(response.error_code), ErrorCode::UnknownMemberId);
        assert_eq!(
            ErrorCode::from_code(world.leave(client).members[0].error_code),
            ErrorCode::UnknownMemberId
        );
    }
    let other_protocol = Client { protocols: vec![("roundrobin".to_owned(), Vec::new())], ..member.clone() };
    assert_eq!(
        ErrorCode::from_code(world.sync(&other_protocol, &[]).get().error_code),
        ErrorCode::InconsistentGroupProtocol
    );
    let (answer, reply) = Answer::new();
    let request = SyncGroupRequest { group_id: "g".to_owned(), ..Default::default() };
    world.coordinator.sync_group(&world.context(5), request, world.now_ms, reply);
    assert_eq!(ErrorCode::from_code(answer.get().error_code), ErrorCode::InconsistentGroupProtocol);
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let world = world();
    let error = |client: &Client| ErrorCode::from_code(world.join(client).get().error_code);
    assert_eq!(error(&client("")), ErrorCode::InvalidGroupId);
    assert_eq!(error(&Client { session_timeout_ms: 5_999, ..client("g") }), ErrorCode::InvalidSessionTimeout);
    assert_eq!(
        error(&Client { session_timeout_ms: 1_800_001, ..client("g") }),
        ErrorCode::InvalidSessionTimeout
    );
    assert_eq!(world.heartbeat(&client("")), ErrorCode::InvalidGroupId);
    assert_eq!(ErrorCode::from_code(world.leave(&client("")).error_code), ErrorCode::InvalidGroupId);
}

#[test]
fn a_group_takes_no_more_members_than_it_may_have() {
    let mut world = world_with(GroupConfig { group_max_size: 2, ..config() }, true);
    let mut clients = vec![client("g"), client("g")];
    world.stabilize(&mut clients);
    let response = world.join(&client("g")).get();
    assert_eq!(ErrorCode::from_code(response.error_code), ErrorCode::GroupMaxSizeReached);
    assert_eq!(world.state("g"), "Stable");
    // Those who are in may join again.
    world.stabilize(&mut clients);
    // During a rebalance those who have joined count, and the last to come is out.
    let mut third = Client { member_id: String::new(), ..client("g") };
    world.leave(&clients[1]);
    let joining = world.join_with_id(&mut third);
    let again = world.join(&clients[0]);
    assert_eq!((joining.get().error_code, again.get().error_code), (0, 0));
}

#[test]
fn a_group_that_has_become_too_large_loses_the_last_to_join_again() {
    let mut world = world();
    let mut clients = vec![client("g"), client("g"), client("g")];
    world.stabilize(&mut clients);
    world.config.group_max_size = 2;
    world.restart();
    assert_eq!(world.state("g"), "PreparingRebalance");
    let answers: Vec<_> = clients.iter().map(|client| world.join(client)).collect();
    let errors: Vec<_> =
        answers.into_iter().map(|answer| ErrorCode::from_code(answer.get().error_code)).collect();
    assert_eq!(errors[2], ErrorCode::GroupMaxSizeReached);
}

#[test]
fn the_last_member_to_leave_leaves_an_empty_group() {
    let mut world = world();
    let mut clients = vec![client("g")];
    world.stabilize(&mut clients);
    assert_eq!(world.leave(&clients[0]).members[0].error_code, 0);
    assert_eq!(world.state("g"), "Empty");
    assert_eq!(world.heartbeat(&clients[0]), ErrorCode::UnknownMemberId);
    let mut again = vec![client("g")];
    world.stabilize(&mut again);
    assert_eq!(again[0].generation_id, 3);
}

#[test]
fn leaving_by_old_versions_has_the_outcome_at_the_top() {
    let mut world = world();
    let mut clients = vec![client("g")];
    world.stabilize(&mut clients);
    let leave = |member_id: &str| {
        let request = LeaveGroupRequest {
            group_id: "g".to_owned(),
            member_id: member_id.to_owned(),
            ..Default::default()
        };
        let (answer, reply) = Answer::new();
        world.coordinator.leave_group(&world.context(2), request, world.now_ms, reply);
        let response = answer.get();
        assert!(response.members.is_empty());
        ErrorCode::from_code(response.error_code)
    };
    assert_eq!(leave("nobody"), ErrorCode::UnknownMemberId);
    assert_eq!(leave(&clients[0].member_id), ErrorCode::None);
    assert_eq!(leave(&clients[0].member_id), ErrorCode::UnknownMemberId);
}

#[test]
fn a_client_that_was_told_its_id_may_leave_before_it_joins() {
    let mut world = world();
    let mut clients = vec![client("g")];
    world.stabilize(&mut clients);
    let pending = Client { member_id: world.join(&client("g")).get().member_id, ..client("g") };
    // A rebalance would wait for it.
    let rejoining = world.join(&clients[0]);
    assert!(rejoining.is_waiting());
    assert_eq!(world.leave(&pending).members[0].error_code, 0);
    assert_eq!(rejoining.get().generation_id, 2);
}

#[test]
fn a_request_that_is_sent_again_leaves_none_without_an_answer() {
    let mut world = world();
    let mut first = client("g");
    let lost = world.join_with_id(&mut first);
    let again = world.join(&first);
    assert_eq!(ErrorCode::from_code(lost.get().error_code), ErrorCode::RebalanceInProgress);
    world.advance(3_000);
    assert_eq!(again.get().generation_id, 1);
    // The same for a follower's sync, and for one that is removed while it waits.
    let mut second = client("g");
    let joining = world.join_with_id(&mut second);
    first.generation_id = 1;
    world.join(&first).get();
    second.generation_id = joining.get().generation_id;
    let lost = world.sync(&second, &[]);
    let waiting = world.sync(&second, &[]);
    assert_eq!(ErrorCode::from_code(lost.get().error_code), ErrorCode::RebalanceInProgress);
    world.leave(&second);
    assert_eq!(ErrorCode::from_code(waiting.get().error_code), ErrorCode::UnknownMemberId);
}

#[test]
fn without_the_partition_there_is_no_coordinator() {
    let world = world();
    world.coordinator.unload(PARTITION, None);
    assert_eq!(ErrorCode::from_code(world.join(&client("g")).get().error_code), ErrorCode::NotCoordinator);
    assert_eq!(world.heartbeat(&client("g")), ErrorCode::NotCoordinator);
    assert_eq!(world.commit(&client("g"), &[("words", 0, 1)]), [ErrorCode::NotCoordinator]);
    assert_eq!(world.fetch("g", "words", 0), Err(ErrorCode::NotCoordinator));
}

#[test]
fn giving_the_partition_up_answers_parked_joins_and_syncs() {
    let mut world = world();
    let mut first = client("g");
    let joining = world.join_with_id(&mut first);
    world.advance(3_000);
    first.generation_id = joining.get().generation_id;
    let mut second = client("g");
    let joining = world.join_with_id(&mut second);
    let mut in_other = client("h");
    world.join_with_id(&mut in_other);
    world.coordinator.unload(PARTITION, None);
    assert_eq!(ErrorCode::from_code(joining.get().error_code), ErrorCode::NotCoordinator);
}

#[test]
fn an_assignment_is_given_out_only_when_it_is_committed() {
    let mut world = world_with(config(), false);
    let mut first = client("g");
    let joining = world.join_with_id(&mut first);
    world.advance(3_000);
    first.generation_id = joining.get().generation_id;
    let member_id = first.member_id.clone();
    let syncing = world.sync(&first, &[(&member_id, "mine")]);
    assert!(syncing.is_waiting());
    world.coordinator.on_high_watermark(PARTITION, 1, world.now_ms);
    assert!(syncing.is_waiting(), "only the new group's record is committed");
    world.coordinator.on_high_watermark(PARTITION, 2, world.now_ms);
    assert_eq!(syncing.get().assignment, b"mine");
    assert_eq!(world.state("g"), "Stable");
}

#[test]
fn an_assignment_that_cannot_be_stored_has_the_members_join_again() {
    let mut world = world();
    let mut first = client("g");
    let joining = world.join_with_id(&mut first);
    world.advance(3_000);
    first.generation_id = joining.get().generation_id;
    *world.log.error.lock().unwrap() = Some(ErrorCode::NotEnoughReplicas);
    let member_id = first.member_id.clone();
    let response = world.sync(&first, &[(&member_id, "mine")]).get();
    assert_eq!(ErrorCode::from_code(response.error_code), ErrorCode::CoordinatorNotAvailable);
    assert_eq!(world.state("g"), "PreparingRebalance");
    *world.log.error.lock().unwrap() = None;
    let mut clients = vec![first];
    world.stabilize(&mut clients);
    assert_eq!(clients[0].generation_id, 2);
}

#[test]
fn a_group_that_cannot_be_stored_does_not_exist() {
    let world = world();
    *world.log.error.lock().unwrap() = Some(ErrorCode::NotLeaderOrFollower);
    let old = Client { version: 3, ..client("g") };
    assert_eq!(ErrorCode::from_code(world.join(&old).get().error_code), ErrorCode::NotCoordinator);
    assert_eq!(world.state("g"), "Dead");
    assert_eq!(world.describe("g").error_code, ErrorCode::GroupIdNotFound.code());
}
