//! Listing, describing and deleting groups.

use super::*;

fn list(world: &World, states: &[&str], types: &[&str]) -> Vec<(String, String, String)> {
    let request = ListGroupsRequest {
        states_filter: states.iter().map(|&state| state.to_owned()).collect(),
        types_filter: types.iter().map(|&group_type| group_type.to_owned()).collect(),
    };
    let (answer, reply) = Answer::new();
    world.coordinator.list_groups(&world.context(5), request, world.now_ms, reply);
    let mut groups: Vec<_> = answer
        .get()
        .groups
        .into_iter()
        .map(|group| (group.group_id, group.group_state, group.group_type))
        .collect();
    groups.sort();
    groups
}

fn delete(world: &World, group_ids: &[&str]) -> Vec<ErrorCode> {
    let request =
        DeleteGroupsRequest { groups_names: group_ids.iter().map(|&group_id| group_id.to_owned()).collect() };
    let (answer, reply) = Answer::new();
    world.coordinator.delete_groups(&world.context(2), request, world.now_ms, reply);
    answer.get().results.iter().map(|result| ErrorCode::from_code(result.error_code)).collect()
}

fn named(group_id: &str, state: &str) -> (String, String, String) {
    (group_id.to_owned(), state.to_owned(), "classic".to_owned())
}

#[test]
fn groups_are_listed_by_state_and_type() {
    let mut world = world();
    let mut clients = vec![Client { session_timeout_ms: 60_000, ..client("stable") }];
    world.stabilize(&mut clients);
    world.commit(&client("empty"), &[("words", 0, 1)]);
    let mut joining = client("joining");
    world.join_with_id(&mut joining);
    let all = [named("empty", "Empty"), named("joining", "PreparingRebalance"), named("stable", "Stable")];
    assert_eq!(list(&world, &[], &[]), all);
    assert_eq!(list(&world, &["stable", " EMPTY "], &[]), [all[0].clone(), all[2].clone()]);
    assert_eq!(list(&world, &[], &["Classic"]), all);
    assert_eq!(list(&world, &[], &["consumer"]), []);
    assert_eq!(list(&world, &["no such state"], &[]), []);
}

#[test]
fn a_group_that_is_not_there_is_dead() {
    let world = world();
    let described = world.describe("none");
    assert_eq!(
        (described.group_state.as_str(), ErrorCode::from_code(described.error_code)),
        ("Dead", ErrorCode::GroupIdNotFound)
    );
    let request = DescribeGroupsRequest { groups: vec!["none".to_owned()], ..Default::default() };
    let (answer, reply) = Answer::new();
    world.coordinator.describe_groups(&world.context(5), request, world.now_ms, reply);
    assert_eq!(answer.get().groups[0].error_code, 0);
}

#[test]
fn empty_groups_can_be_deleted_with_their_offsets() {
    let mut world = world();
    let mut clients = vec![client("g")];
    world.stabilize(&mut clients);
    world.commit(&clients[0], &[("words", 0, 1)]);
    world.commit(&client("simple"), &[("words", 0, 1)]);
    assert_eq!(
        delete(&world, &["g", "simple", "none", "g"]),
        [ErrorCode::NonEmptyGroup, ErrorCode::None, ErrorCode::GroupIdNotFound]
    );
    world.leave(&clients[0]);
    assert_eq!(delete(&world, &["g"]), [ErrorCode::None]);
    assert_eq!(list(&world, &[], &[]), []);
    assert_eq!(world.fetch("g", "words", 0), Ok(-1));
    assert!(world.compacted().is_empty());
    world.restart();
    assert_eq!(list(&world, &[], &[]), []);
}

#[test]
fn what_is_not_loaded_is_not_listed_and_what_loads_is_an_error() {
    let world = world();
    world.commit(&client("g"), &[("words", 0, 1)]);
    world.coordinator.unload(PARTITION, None);
    assert_eq!(list(&world, &[], &[]), []);
    let mut error = None;
    let mut read = |_, _: &mut Vec<u8>| {
        let (answer, reply) = Answer::new();
        world.coordinator.list_groups(&world.context(5), ListGroupsRequest::default(), world.now_ms, reply);
        error = Some(ErrorCode::from_code(answer.get().error_code));
        Ok(())
    };
    world.coordinator.load(PARTITION, 1, 0, 0, &mut read, world.now_ms).unwrap();
    assert_eq!(error, Some(ErrorCode::CoordinatorLoadInProgress));
}
