//! What the Java client's assignors make of the same members: `tests/vectors/assignors.txt`.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const VECTORS: &str = include_str!("../../../tests/vectors/assignors.txt");

struct Case {
    assignor: Assignor,
    topics: Topics,
    members: Vec<Member>,
    shares: Assignment,
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Reads the cases; on the way, that every message is written as it was read.
fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in VECTORS.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if let ["case", name] = words[..] {
            let assignor = Assignor::parse("", name, &Registered::default()).unwrap();
            let (topics, members, shares) = Default::default();
            cases.push(Case { assignor, topics, members, shares });
            continue;
        }
        let case = cases.last_mut().unwrap();
        match words[..] {
            ["topic", name, ref partitions @ ..] => {
                let racks = |racks: &&str| {
                    racks.split(',').filter(|rack| *rack != "-").map(str::to_owned).collect::<Vec<_>>()
                };
                let layout = Layout { racks: partitions.iter().map(racks).collect() };
                case.topics.insert(name.to_owned(), layout);
            }
            ["member", id, instance, subscription] => {
                let written = bytes(subscription);
                let subscription = Subscription::read(&written).unwrap();
                assert_eq!(subscription.write().unwrap(), written);
                case.members.push(Member {
                    id: id.to_owned(),
                    instance_id: Some(instance.to_owned()).filter(|name| name != "-"),
                    subscription,
                });
            }
            ["share", id, assignment] => {
                let written = bytes(assignment);
                let share = read_assignment(&written).unwrap();
                assert_eq!(write_assignment(&share).unwrap(), written);
                case.shares.insert(id.to_owned(), share.partitions);
            }
            _ => panic!("{line}"),
        }
    }
    cases
}

fn sorted(mut shares: Assignment) -> Assignment {
    shares.values_mut().for_each(|share| share.sort());
    shares
}

/// How many partitions stay where they were.
fn kept(case: &Case, shares: &Assignment) -> usize {
    let owned_by = match case.assignor {
        Assignor::Sticky => protocol::owned_by_user_data,
        _ => protocol::owned_by_subscription,
    };
    let claims: BTreeMap<&String, (Vec<TopicPartition>, i32)> =
        case.members.iter().map(|member| (&member.id, owned_by(&member.subscription))).collect();
    let newest = claims.values().map(|(_, generation)| *generation).max().unwrap();
    let of_member = |(id, (owned, generation)): (&&String, &(Vec<TopicPartition>, i32))| {
        owned.iter().filter(|partition| *generation == newest && shares[*id].contains(partition)).count()
    };
    claims.iter().map(of_member).sum()
}

fn sizes(shares: &Assignment) -> Vec<usize> {
    let mut sizes: Vec<usize> = shares.values().map(Vec::len).collect();
    sizes.sort();
    sizes
}

#[test]
fn range_and_round_robin_divide_as_javas_do() {
    let mut count = 0;
    for case in cases().iter().filter(|case| matches!(case.assignor, Assignor::Range | Assignor::RoundRobin))
    {
        let shares = sorted(plain(case.assignor.assign(&case.topics, &case.members)));
        assert_eq!(shares, case.shares, "{:?} {:?} {:?}", case.assignor, case.topics, case.members);
        count += 1;
    }
    assert_eq!(count, 120);
}

/// Java's sticky assignors look at members in the order of a hash map: who of several keeps one more is chance. What is not
/// chance is compared: everybody's number of partitions, and how many stay where they were.
#[test]
fn sticky_assignors_are_as_balanced_and_as_sticky_as_javas() {
    let (mut count, mut equal) = (0, 0);
    for case in
        cases().iter().filter(|case| matches!(case.assignor, Assignor::Sticky | Assignor::CooperativeSticky))
    {
        let shares = sorted(plain(case.assignor.assign(&case.topics, &case.members)));
        let told = format!(
            "{:?} {:?} {:?}\n{shares:?}\nJava: {:?}",
            case.assignor, case.topics, case.members, case.shares
        );
        let all: Vec<_> = shares.values().flatten().collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{told}");
        assert_eq!(sizes(&shares), sizes(&case.shares), "{told}");
        assert!(kept(case, &shares) >= kept(case, &case.shares), "{told}");
        count += 1;
        equal += usize::from(shares == case.shares);
    }
    assert_eq!((count, equal), (120, 119));
}
