//! What the assignors promise, on groups of many shapes.

use super::*;

struct Shape {
    topics: Vec<i32>,
    /// For each member the indexes of its topics.
    members: Vec<Vec<usize>>,
}

fn topic(index: usize) -> Uuid {
    Uuid::from_u128(0x1000 + index as u128)
}

type Targets = BTreeMap<Arc<str>, Assignment>;

fn assign(assignor: Assignor, shape: &Shape, before: &Targets) -> Targets {
    let homogeneous = shape.members.windows(2).all(|pair| pair[0] == pair[1]);
    let members = shape.members.iter().enumerate().map(|(index, topics)| {
        let id: Arc<str> = Arc::from(format!("member-{index:03}"));
        let spec = MemberSpec {
            instance_id: None,
            topics: Arc::new(topics.iter().map(|index| topic(*index)).collect()),
            target: Arc::new(before.get(&id).cloned().unwrap_or_default()),
        };
        (id, spec)
    });
    let wanted: BTreeSet<usize> = shape.members.iter().flatten().copied().collect();
    let topics = wanted.into_iter().map(|index| (topic(index), shape.topics[index])).collect();
    assignor.assign(&GroupSpec { members: members.collect(), topics, homogeneous })
}

fn count(assignment: &Assignment) -> usize {
    assignment.values().map(BTreeSet::len).sum()
}

/// Everything that somebody wants is with exactly one who wants it.
fn check_complete(shape: &Shape, targets: &Targets) {
    let mut owners: BTreeMap<(Uuid, i32), usize> = BTreeMap::new();
    for (index, assignment) in targets.values().enumerate() {
        for (topic_id, partitions) in assignment {
            assert!(shape.members[index].iter().any(|wanted| topic(*wanted) == *topic_id));
            for partition in partitions {
                assert_eq!(owners.insert((*topic_id, *partition), index), None);
            }
        }
    }
    let wanted: BTreeSet<usize> = shape.members.iter().flatten().copied().collect();
    let total: i32 = wanted.into_iter().map(|index| shape.topics[index]).sum();
    assert_eq!(owners.len(), total as usize);
}

fn moved(before: &Targets, after: &Targets) -> usize {
    after
        .iter()
        .map(|(id, assignment)| {
            let none = Assignment::new();
            let old = before.get(id).unwrap_or(&none);
            assignment
                .iter()
                .map(|(topic, partitions)| {
                    old.get(topic).map_or(partitions.len(), |old| partitions.difference(old).count())
                })
                .sum::<usize>()
        })
        .sum()
}

#[test]
fn uniform_is_balanced_and_sticky() {
    for (members, partitions) in [(1, 1), (3, 10), (7, 100), (10, 3), (100, 1_000)] {
        let shape = Shape { topics: vec![partitions, 2], members: vec![vec![0, 1]; members] };
        let first = assign(Assignor::Uniform, &shape, &Targets::new());
        check_complete(&shape, &first);
        let sizes: Vec<usize> = first.values().map(count).collect();
        assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
        assert_eq!(assign(Assignor::Uniform, &shape, &first), first, "nothing has changed");
        // One more: only what it gets moves.
        let more = Shape { topics: shape.topics.clone(), members: vec![vec![0, 1]; members + 1] };
        let second = assign(Assignor::Uniform, &more, &first);
        check_complete(&more, &second);
        let newcomer = second.values().last().map_or(0, count);
        assert_eq!(moved(&first, &second), newcomer);
        // And one fewer: only what it had.
        let third = assign(Assignor::Uniform, &shape, &second);
        check_complete(&shape, &third);
        assert_eq!(moved(&second, &third), newcomer);
    }
}

#[test]
fn uniform_is_balanced_as_far_as_subscriptions_allow() {
    let shape = Shape {
        topics: vec![3, 9, 6, 1],
        members: vec![vec![0], vec![0, 1], vec![1, 2, 3], vec![1, 2], vec![2]],
    };
    let first = assign(Assignor::Uniform, &shape, &Targets::new());
    check_complete(&shape, &first);
    let sizes: Vec<usize> = first.values().map(count).collect();
    assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
    assert_eq!(assign(Assignor::Uniform, &shape, &first), first);
    // Members that subscribe to nothing, and topics without partitions, do no harm.
    let odd = Shape { topics: vec![0, 5], members: vec![vec![], vec![0], vec![0, 1]] };
    let targets = assign(Assignor::Uniform, &odd, &Targets::new());
    check_complete(&odd, &targets);
    let nothing = Shape { topics: vec![], members: vec![vec![], vec![]] };
    assert!(assign(Assignor::Uniform, &nothing, &Targets::new()).values().all(Assignment::is_empty));
}

#[test]
fn uniform_repairs_a_target_that_names_a_partition_twice_or_none() {
    let shape = Shape { topics: vec![4], members: vec![vec![0], vec![0]] };
    let twice: Assignment = [(topic(0), [0, 1, 7].into())].into();
    let before: Targets = [(Arc::from("member-000"), twice.clone()), (Arc::from("member-001"), twice)].into();
    check_complete(&shape, &assign(Assignor::Uniform, &shape, &before));
}

#[test]
fn range_gives_spans_in_the_same_order_for_each_topic() {
    let shape = Shape { topics: vec![3, 3, 8], members: vec![vec![0, 1, 2]; 3] };
    let targets = assign(Assignor::Range, &shape, &Targets::new());
    check_complete(&shape, &targets);
    let expected = [[vec![0], vec![0, 1, 2]], [vec![1], vec![3, 4, 5]], [vec![2], vec![6, 7]]];
    for (assignment, [small, large]) in targets.values().zip(expected) {
        assert_eq!(assignment[&topic(0)], small.iter().copied().collect());
        assert_eq!(assignment[&topic(1)], small.into_iter().collect());
        assert_eq!(assignment[&topic(2)], large.into_iter().collect());
    }
    let mixed = Shape { topics: vec![3, 4], members: vec![vec![0], vec![0, 1], vec![1], vec![]] };
    check_complete(&mixed, &assign(Assignor::Range, &mixed, &Targets::new()));
}

#[test]
fn range_puts_static_members_first_by_their_instance() {
    let spec = |instance_id: Option<&'static str>| MemberSpec {
        instance_id,
        topics: Arc::new([topic(0)].into()),
        target: Arc::default(),
    };
    let members = [
        (Arc::from("a"), spec(None)),
        (Arc::from("b"), spec(Some("worker-2"))),
        (Arc::from("c"), spec(Some("worker-1"))),
    ];
    let group = GroupSpec { members: members.into(), topics: [(topic(0), 3)].into(), homogeneous: true };
    let targets = Assignor::Range.assign(&group);
    let of = |id: &str| targets[id][&topic(0)].iter().copied().collect::<Vec<_>>();
    assert_eq!((of("c"), of("b"), of("a")), (vec![0], vec![1], vec![2]));
}
