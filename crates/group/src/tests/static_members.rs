//! Static members: clients that come back under their instance id.

use super::*;

fn fixed(instance_id: &str) -> Client {
    Client { instance_id: Some(instance_id.to_owned()), session_timeout_ms: 60_000, ..client("g") }
}

/// A stable group of two static members; the first leads.
fn pair(world: &mut World) -> Vec<Client> {
    let mut clients = vec![fixed("a"), fixed("b")];
    world.stabilize(&mut clients);
    assert!(clients[0].member_id.starts_with("a-"));
    clients
}

#[test]
fn a_static_member_comes_back_without_a_rebalance() {
    let mut world = world();
    let clients = pair(&mut world);
    let response = world.join(&fixed("b")).get();
    assert_eq!((response.error_code, response.generation_id), (0, 1));
    assert_ne!(response.member_id, clients[1].member_id);
    assert!(!response.skip_assignment);
    assert_eq!(world.state("g"), "Stable");
    // The old id is fenced, the new one has its assignment.
    assert_eq!(world.heartbeat(&clients[1]), ErrorCode::FencedInstanceId);
    assert_eq!(
        ErrorCode::from_code(world.sync(&clients[1], &[]).get().error_code),
        ErrorCode::FencedInstanceId
    );
    assert_eq!(world.commit(&clients[1], &[("words", 0, 1)]), [ErrorCode::FencedInstanceId]);
    let back = Client { member_id: response.member_id, ..clients[1].clone() };
    assert_eq!(world.sync(&back, &[]).get().assignment, clients[1].member_id.clone().into_bytes());
    assert_eq!(world.heartbeat(&back), ErrorCode::None);
    assert_eq!(world.heartbeat(&clients[0]), ErrorCode::None);
}

#[test]
fn a_leader_that_comes_back_is_told_the_members_and_not_to_assign() {
    let mut world = world();
    let clients = pair(&mut world);
    let response = world.join(&fixed("a")).get();
    assert_eq!(response.leader, response.member_id);
    assert!(response.skip_assignment);
    assert_eq!(response.members.len(), 2);
    assert_eq!(world.state("g"), "Stable");
    // An old client cannot skip, so it must not know that it leads.
    let old = world.join(&Client { version: 8, ..fixed("a") }).get();
    assert_ne!(old.leader, old.member_id);
    assert!(old.members.is_empty());
    assert_eq!(clients[0].generation_id, old.generation_id);
}

#[test]
fn who_comes_back_is_known_after_a_restart_of_the_broker() {
    let mut world = world();
    let clients = pair(&mut world);
    let response = world.join(&fixed("b")).get();
    world.restart();
    let back = Client { member_id: response.member_id, ..clients[1].clone() };
    assert_eq!(world.heartbeat(&back), ErrorCode::None);
    assert_eq!(world.heartbeat(&clients[1]), ErrorCode::FencedInstanceId);
}

#[test]
fn who_cannot_be_stored_as_back_is_not() {
    let mut world = world();
    let clients = pair(&mut world);
    *world.log.error.lock().unwrap() = Some(ErrorCode::NotEnoughReplicas);
    let response = world.join(&fixed("b")).get();
    assert_eq!(ErrorCode::from_code(response.error_code), ErrorCode::CoordinatorNotAvailable);
    assert!(response.member_id.is_empty());
    *world.log.error.lock().unwrap() = None;
    assert_eq!(world.heartbeat(&clients[1]), ErrorCode::None);
    let response = world.join(&fixed("b")).get();
    assert_eq!(response.error_code, 0);
}

#[test]
fn a_static_member_that_changes_the_protocol_starts_a_rebalance() {
    let mut world = world();
    let both = |instance_id: &str, names: [&str; 2]| Client {
        protocols: names.iter().map(|&name| (name.to_owned(), subscription(&["words"]))).collect(),
        ..fixed(instance_id)
    };
    let mut clients = vec![both("a", ["range", "roundrobin"])];
    world.stabilize(&mut clients);
    let answer = world.join(&both("a", ["roundrobin", "range"]));
    assert_eq!(answer.get().generation_id, 2);
    assert_eq!(world.state("g"), "CompletingRebalance");
}

#[test]
fn a_static_member_that_comes_back_while_the_leader_assigns_starts_anew() {
    let mut world = world();
    let mut clients = pair(&mut world);
    let first = world.join(&clients[0]);
    let second = world.join(&clients[1]);
    clients[0].generation_id = first.get().generation_id;
    clients[1].generation_id = second.get().generation_id;
    let waiting = world.sync(&clients[1], &[]);
    let joining = world.join(&fixed("b"));
    assert_eq!(ErrorCode::from_code(waiting.get().error_code), ErrorCode::FencedInstanceId);
    assert!(joining.is_waiting());
    assert_eq!(world.heartbeat(&clients[0]), ErrorCode::RebalanceInProgress);
    let again = world.join(&clients[0]);
    assert_eq!((joining.get().generation_id, again.get().generation_id), (3, 3));
}

#[test]
fn static_members_that_do_not_join_keep_their_place() {
    let mut world = world();
    let clients = pair(&mut world);
    let joining = world.join(&clients[0]);
    world.advance(59_999);
    assert!(joining.is_waiting());
    // Not joining in time costs a dynamic member its place; this one has until its session is over.
    world.heartbeat(&clients[1]);
    world.advance(1);
    let response = joining.get();
    assert_eq!((response.generation_id, response.members.len()), (2, 2));
    assert_eq!(world.describe("g").members.len(), 2);
    assert_eq!(world.heartbeat(&clients[1]), ErrorCode::IllegalGeneration);
}

#[test]
fn two_clients_with_one_instance_id_fence_each_other() {
    let world = world();
    let first = world.join(&fixed("a"));
    let second = world.join(&fixed("a"));
    assert_eq!(ErrorCode::from_code(first.get().error_code), ErrorCode::FencedInstanceId);
    assert!(second.is_waiting());
}

#[test]
fn an_administrator_removes_static_members_by_their_instance() {
    let mut world = world();
    let clients = pair(&mut world);
    let remove = |member_id: &str, instance_id: Option<&str>| {
        let removed = Client {
            member_id: member_id.to_owned(),
            instance_id: instance_id.map(str::to_owned),
            ..client("g")
        };
        ErrorCode::from_code(world.leave(&removed).members[0].error_code)
    };
    assert_eq!(remove("", None), ErrorCode::UnknownMemberId);
    assert_eq!(remove("", Some("nobody")), ErrorCode::UnknownMemberId);
    assert_eq!(remove(&clients[0].member_id, Some("b")), ErrorCode::FencedInstanceId);
    assert_eq!(remove("", Some("b")), ErrorCode::None);
    assert_eq!(world.describe("g").members.len(), 1);
    assert_eq!(remove(&clients[0].member_id, Some("a")), ErrorCode::None);
    assert_eq!(world.state("g"), "Empty");
}
