//! Subscriptions by regular expression.

use super::*;

fn matching(name: &str, regex: &str) -> Member {
    Member { topics: None, regex: Some(regex.to_owned()), ..member(name) }
}

#[test]
fn an_expression_finds_its_topics_now_and_later() {
    let mut world = world();
    let mut members = [matching("a", "wor.*"), matching("b", "wor.*")];
    world.settle(&mut members);
    let owned = |members: &[Member]| members.iter().map(|member| member.owned.len()).sum::<usize>();
    assert_eq!(owned(&members), 3);
    world.set_topic("worlds", 4);
    world.set_topic("keywords", 4);
    for _ in 0..12 {
        world.advance(1_000);
        members.iter_mut().for_each(|member| world.beat(member));
    }
    world.settle(&mut members);
    assert_eq!(owned(&members), 7, "the whole name has to match");
    let before = world.state_of("g");
    world.restart();
    assert_eq!(world.state_of("g"), before);
    world.settle(&mut members);
    assert_eq!(owned(&members), 7);
}

#[test]
fn what_cannot_be_an_expression_is_refused() {
    let world = world();
    for regex in ["(", "[a", "a**b)", "a)|(b", r"\p{Nothing}", r"(?<n>a)\1"] {
        assert_eq!(
            world.beat_error(matching("a", regex).request()),
            ErrorCode::InvalidRegularExpression,
            "{regex}"
        );
    }
    assert_eq!(world.described("g").error_code, ErrorCode::GroupIdNotFound.code());
}

#[test]
fn names_and_expressions_go_together() {
    let mut world = world();
    let mut members =
        [Member { topics: Some(vec!["logs".to_owned()]), ..matching("a", "words") }, member("b")];
    world.settle(&mut members);
    let all: Partitions = members.iter().flat_map(|member| member.owned.clone()).collect();
    assert_eq!(all.len(), 4);
    assert!(members[0].owned.contains(&(LOGS, 0)));
}

#[test]
fn an_expression_goes_with_the_last_member_that_has_it() {
    let mut world = world();
    let mut members = [matching("a", "words"), matching("b", "logs")];
    world.settle(&mut members);
    assert_eq!((members[0].owned.len(), members[1].owned.len()), (3, 1));
    // It changes to the other's, which is known already.
    members[0].regex = Some("logs".to_owned());
    world.settle(&mut members);
    assert_eq!(members[0].owned.len() + members[1].owned.len(), 1);
    // Then to none.
    members[0].regex = Some(String::new());
    members[0].topics = Some(vec!["words".to_owned()]);
    world.settle(&mut members);
    assert_eq!((members[0].owned.len(), members[1].owned.len()), (3, 1));
    for member in &members {
        assert_eq!(world.goodbye(member, -1), ErrorCode::None);
    }
    let request = DeleteGroupsRequest { groups_names: vec!["g".to_owned()] };
    let (answer, reply) = Answer::new();
    world.coordinator.delete_groups(&world.context(2), request, world.now_ms, reply);
    assert_eq!(answer.get().results[0].error_code, 0);
    assert!(world.compacted().is_empty());
}

#[test]
fn expressions_are_matched_again_from_time_to_time() {
    let mut world = world();
    let mut members = [matching("a", "wor.*")];
    world.settle(&mut members);
    // Deleted topics do not make anybody look; in time they are noticed.
    let mut left = world.topics.clone();
    left.topics.remove("words");
    world.set_topics(left);
    for _ in 0..130 {
        world.advance(5_000);
        world.beat(&mut members[0]);
    }
    assert!(members[0].owned.is_empty());
    let matched = world.coordinator.inspect(PARTITION, world.now_ms, |shard| {
        let group = shard.groups().consumer("g").unwrap();
        group.resolved_regexes["wor.*"].topics.len()
    });
    assert_eq!(matched, Ok(0));
}
