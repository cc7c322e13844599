//! Members that fall silent, and clients that do not take the next step.

use super::*;

#[test]
fn a_member_that_sends_no_heartbeats_is_out_after_its_session_timeout() {
    let mut world = world();
    let mut clients = vec![client("g"), client("g")];
    world.stabilize(&mut clients);
    world.advance(9_000);
    assert_eq!(world.heartbeat(&clients[0]), ErrorCode::None);
    world.advance(1_000);
    assert_eq!(world.state("g"), "PreparingRebalance");
    assert_eq!(world.heartbeat(&clients[1]), ErrorCode::UnknownMemberId);
    let mut rest = vec![clients.remove(0)];
    world.stabilize(&mut rest);
    assert_eq!((rest[0].generation_id, world.describe("g").members.len()), (2, 1));
}

#[test]
fn a_leader_that_fails_is_replaced() {
    let mut world = world();
    let mut clients = vec![client("g"), client("g"), client("g")];
    world.stabilize(&mut clients);
    let leader = world
        .coordinator
        .inspect(PARTITION, world.now_ms, |shard| {
            shard.groups().classic("g").unwrap().leader_id().unwrap().to_owned()
        })
        .unwrap();
    clients.retain(|client| client.member_id != leader);
    for _ in 0..3 {
        world.advance(4_000);
        for client in &clients {
            world.heartbeat(client);
        }
    }
    world.stabilize(&mut clients);
    assert_eq!(world.describe("g").members.len(), 2);
    assert_eq!(clients[0].generation_id, 2);
}

#[test]
fn a_leader_that_dies_while_it_assigns_is_replaced() {
    let mut world = world();
    let mut clients = vec![client("g"), client("g")];
    let answers: Vec<_> = clients.iter_mut().map(|client| world.join_with_id(client)).collect();
    world.advance(6_000);
    let mut leader = String::new();
    for (client, answer) in clients.iter_mut().zip(answers) {
        let response = answer.get();
        client.generation_id = response.generation_id;
        leader = response.leader;
    }
    let follower = clients.iter().position(|client| client.member_id != leader).unwrap();
    let syncing = world.sync(&clients[follower], &[]);
    // The follower waits, so that it needs no heartbeats; the leader says nothing.
    world.advance(10_000);
    assert_eq!(ErrorCode::from_code(syncing.get().error_code), ErrorCode::RebalanceInProgress);
    let mut rest = vec![clients.remove(follower)];
    world.stabilize(&mut rest);
    assert_eq!(rest[0].generation_id, 2);
    assert_eq!(world.describe("g").members.len(), 1);
}

#[test]
fn members_that_do_not_join_again_in_time_are_out() {
    let mut world = world();
    let mut clients = vec![client("g"), client("g")];
    for client in &mut clients {
        client.session_timeout_ms = 60_000;
        client.rebalance_timeout_ms = 20_000;
    }
    world.stabilize(&mut clients);
    // The first joins again with something new; the second only sends heartbeats.
    clients[0].protocols[0].1 = subscription(&["words", "logs"]);
    let joining = world.join(&clients[0]);
    world.advance(19_999);
    assert_eq!(world.heartbeat(&clients[1]), ErrorCode::RebalanceInProgress);
    assert!(joining.is_waiting());
    world.advance(1);
    assert_eq!(joining.get().generation_id, 2);
    assert_eq!(world.heartbeat(&clients[1]), ErrorCode::UnknownMemberId);
}

#[test]
fn members_that_do_not_sync_in_time_are_out() {
    let mut world = world();
    let mut clients = vec![client("g"), client("g")];
    for client in &mut clients {
        client.session_timeout_ms = 60_000;
        client.rebalance_timeout_ms = 20_000;
    }
    let answers: Vec<_> = clients.iter_mut().map(|client| world.join_with_id(client)).collect();
    world.advance(6_000);
    let mut leader = String::new();
    for (client, answer) in clients.iter_mut().zip(answers) {
        let response = answer.get();
        client.generation_id = response.generation_id;
        leader = response.leader;
    }
    let leads = clients.iter().position(|client| client.member_id == leader).unwrap();
    world.sync(&clients[leads], &[]).get();
    assert_eq!(world.state("g"), "Stable");
    world.advance(20_000);
    assert_eq!(world.heartbeat(&clients[leads]), ErrorCode::RebalanceInProgress);
    assert_eq!(world.heartbeat(&clients[1 - leads]), ErrorCode::UnknownMemberId);
}

#[test]
fn an_id_that_nobody_joins_with_is_forgotten() {
    let mut world = world();
    let mut clients = vec![client("g")];
    world.stabilize(&mut clients);
    let pending = Client { member_id: world.join(&client("g")).get().member_id, ..client("g") };
    clients[0].protocols[0].1 = subscription(&["logs"]);
    let joining = world.join(&clients[0]);
    assert!(joining.is_waiting(), "the group waits for whoever was given an id");
    world.advance(10_000);
    assert_eq!(joining.get().generation_id, 2);
    assert_eq!(ErrorCode::from_code(world.join(&pending).get().error_code), ErrorCode::UnknownMemberId);
}

#[test]
fn a_new_member_that_waits_too_long_is_asked_to_come_again() {
    let mut world = world();
    let mut first = client("g");
    first.rebalance_timeout_ms = 600_000;
    first.session_timeout_ms = 1_800_000;
    let mut clients = vec![first];
    world.stabilize(&mut clients);
    let mut second = client("g");
    let joining = world.join_with_id(&mut second);
    // The first keeps sending heartbeats and does not join.
    world.advance(299_999);
    assert!(joining.is_waiting());
    world.advance(1);
    assert_eq!(ErrorCode::from_code(joining.get().error_code), ErrorCode::UnknownMemberId);
}

#[test]
fn commits_and_parked_joins_keep_a_session() {
    let mut world = world();
    let mut clients = vec![client("g")];
    world.stabilize(&mut clients);
    for offset in 0..5 {
        world.advance(9_000);
        assert_eq!(world.commit(&clients[0], &[("words", 0, offset)]), [ErrorCode::None]);
    }
    assert_eq!(world.state("g"), "Stable");
    // Another one takes its time; the first waits in its JoinGroup for longer than its session.
    let pending = world.join(&Client { session_timeout_ms: 60_000, ..client("g") }).get();
    clients[0].protocols[0].1 = subscription(&["logs"]);
    let joining = world.join(&clients[0]);
    world.advance(30_000);
    assert!(joining.is_waiting());
    let other = world.join(&Client { member_id: pending.member_id, ..client("g") });
    assert_eq!((joining.get().generation_id, other.get().generation_id), (2, 2));
}

#[test]
fn heartbeats_are_told_of_a_load_by_nothing() {
    let world = world();
    world.coordinator.unload(PARTITION, None);
    let mut seen = None;
    let _ = world.coordinator.load(
        PARTITION,
        1,
        0,
        0,
        &mut |_, _| {
            seen = Some((world.heartbeat(&client("g")), world.join(&client("g")).get().error_code));
            Ok(())
        },
        world.now_ms,
    );
    assert_eq!(seen, Some((ErrorCode::None, ErrorCode::CoordinatorLoadInProgress.code())));
}
