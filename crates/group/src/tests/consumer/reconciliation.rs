//! What is assigned when the topics or the subscriptions change.

use super::*;

#[test]
fn new_partitions_and_topics_are_noticed() {
    let mut world = world();
    let mut members = [
        Member { topics: Some(vec!["words".to_owned(), "later".to_owned()]), ..member("a") },
        Member { topics: Some(vec!["words".to_owned(), "later".to_owned()]), ..member("b") },
    ];
    world.settle(&mut members);
    world.set_topic("words", 5);
    world.settle(&mut members);
    let owned = |members: &[Member]| members.iter().map(|member| member.owned.len()).sum::<usize>();
    assert_eq!(owned(&members), 5);
    world.set_topic("later", 3);
    world.settle(&mut members);
    assert_eq!(owned(&members), 8);
    assert_eq!(members.iter().map(|member| member.owned.len()).max(), Some(4));
    // A topic that nobody wants does not matter.
    let epochs = world.epochs();
    world.set_topic("other", 3);
    world.settle(&mut members);
    assert_eq!(world.epochs(), epochs);
}

#[test]
fn a_deleted_topic_is_taken_away() {
    let mut world = world();
    let topics = Some(vec!["words".to_owned(), "logs".to_owned()]);
    let mut members = [Member { topics: topics.clone(), ..member("a") }, Member { topics, ..member("b") }];
    world.settle(&mut members);
    let mut left = world.topics.clone();
    left.topics.remove("logs");
    world.set_topics(left);
    world.settle(&mut members);
    let all: Partitions = members.iter().flat_map(|member| member.owned.clone()).collect();
    assert_eq!(all, words(&[0, 1, 2]));
}

#[test]
fn who_subscribes_to_something_else_gives_up_at_once_what_it_does_not_want() {
    let mut world = world();
    let mut a = member("a");
    world.beat(&mut a);
    // Within the interval: there is no new target yet.
    a.topics = Some(vec!["logs".to_owned()]);
    let response = world.send(1, a.request());
    a.take(&response);
    assert_eq!((a.epoch, a.assigned.len()), (2, 0));
    a.apply();
    world.advance(1_000);
    let mut members = [a];
    world.settle(&mut members);
    assert_eq!(members[0].owned, [(LOGS, 0)].into());
}

#[test]
fn members_with_different_subscriptions_have_what_they_want() {
    let mut world = world();
    world.set_topic("many", 9);
    let wants = |name: &str, topics: &[&str]| Member {
        topics: Some(topics.iter().map(|&topic| topic.to_owned()).collect()),
        ..member(name)
    };
    let mut members = [wants("a", &["words"]), wants("b", &["words", "many"]), wants("c", &["many", "logs"])];
    world.settle(&mut members);
    let [a, b, c] = &members;
    assert_eq!(a.owned, words(&[0, 1, 2]));
    assert_eq!(b.owned.len() + c.owned.len(), 10);
    assert!(b.owned.len().abs_diff(c.owned.len()) <= 1);
    assert!(c.owned.contains(&(LOGS, 0)));
}

#[test]
fn the_assignor_that_most_members_prefer_assigns() {
    let mut world = world();
    world.set_topic("lines", 3);
    let wants = |name: &str, assignor: Option<&str>| Member {
        topics: Some(vec!["words".to_owned(), "lines".to_owned()]),
        assignor: assignor.map(str::to_owned),
        ..member(name)
    };
    let mut members = [wants("a", Some("range")), wants("b", Some("range")), wants("c", Some("uniform"))];
    world.settle(&mut members);
    assert_eq!(world.described("g").assignor_name, "range");
    for member in &members {
        let indexes: BTreeSet<i32> = member.owned.iter().map(|(_, partition)| *partition).collect();
        assert_eq!((member.owned.len(), indexes.len()), (2, 1), "equal indexes are together");
    }
    // Others are preferred now, and a new target is computed for that.
    members[0].assignor = Some("uniform".to_owned());
    let (group_epoch, ..) = world.epochs();
    world.settle(&mut members);
    assert_eq!(world.described("g").assignor_name, "uniform");
    assert_eq!(world.epochs().0, group_epoch + 1);
}

#[test]
fn what_others_have_is_kept_when_one_joins_or_leaves() {
    let mut world = world();
    world.set_topic("many", 60);
    let wants = |name: &str| Member { topics: Some(vec!["many".to_owned()]), ..member(name) };
    let mut members: Vec<Member> = ["a", "b", "c", "d", "e"].map(wants).into();
    world.settle(&mut members);
    let before = members.clone();
    members.push(wants("f"));
    world.settle(&mut members);
    assert_eq!(members.iter().map(|member| member.owned.len()).collect::<Vec<_>>(), [10; 6]);
    for (before, after) in before.iter().zip(&members) {
        assert!(after.owned.is_subset(&before.owned), "it got something that it did not need");
    }
    let gone = members.remove(2);
    assert_eq!(world.goodbye(&gone, -1), ErrorCode::None);
    let before = members.clone();
    world.settle(&mut members);
    for (before, after) in before.iter().zip(&members) {
        assert_eq!(after.owned.len(), 12);
        assert!(before.owned.is_subset(&after.owned), "it lost something that it could keep");
    }
}

#[test]
fn a_group_of_the_log_goes_on_where_it_was() {
    let mut world = world();
    let mut members = [member("a"), member("b")];
    world.settle(&mut members);
    // In the middle of a revocation.
    let c = member("c");
    world.advance(1_000);
    assert_eq!(world.beat_error(c.request()), ErrorCode::None);
    let response = world.send(1, members[0].short_request());
    members[0].take(&response);
    let before = world.state_of("g");
    world.restart();
    assert_eq!(world.state_of("g"), before);
    let [a, b] = members;
    let mut members = [a, b, c];
    members[2].epoch = 0;
    world.settle(&mut members);
    assert_eq!(members.iter().map(|member| member.owned.len()).collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn who_waits_is_asked_to_come_sooner() {
    let mut world = world();
    let mut members = [member("a")];
    world.settle(&mut members);
    let interval = |world: &World, request| world.send(1, request).heartbeat_interval_ms;
    assert_eq!(interval(&world, members[0].short_request()), 5_000);
    // Its partitions are with another member, which has not heard of it yet.
    let mut b = member("b");
    let response = world.send(1, b.request());
    b.take(&response);
    assert_eq!((b.assigned.len(), response.heartbeat_interval_ms), (0, 50));
    world.advance(4_000);
    assert_eq!(interval(&world, b.short_request()), 80);
    // The longer it has been in vain, the longer is the next wait, but not above the interval.
    world.advance(36_000);
    assert_eq!(interval(&world, b.short_request()), 800);
    world.beat(&mut members[0]);
    // The one who gives up says so by itself.
    assert_eq!(interval(&world, members[0].request()), 5_000);
    world.beat(&mut b);
    assert_eq!((b.owned.len(), interval(&world, b.short_request())), (1, 5_000));
}

#[test]
fn who_comes_too_soon_for_a_new_target_is_told_when_there_is_one() {
    let mut world = world();
    let mut members = [member("a"), member("b")];
    world.settle(&mut members);
    world.advance(1_000);
    let (c, mut d) = (member("c"), member("d"));
    assert_eq!(world.beat_error(c.request()), ErrorCode::None);
    world.advance(300);
    let response = world.send(1, d.request());
    d.take(&response);
    assert_eq!(response.heartbeat_interval_ms, 700);
    let response = world.send(1, members[0].short_request());
    assert_eq!(response.heartbeat_interval_ms, 700);
    world.advance(700);
    let (group_epoch, assignment_epoch, _) = world.epochs();
    assert_eq!(assignment_epoch, group_epoch - 1);
    world.beat(&mut d);
    assert_eq!(world.epochs().1, group_epoch);
}
