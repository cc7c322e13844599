use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use super::*;

fn members(wants: &[Vec<usize>]) -> Vec<Member> {
    let member = |(index, wants): (usize, &Vec<usize>)| Member {
        id: format!("member-{index}"),
        instance_id: None,
        subscription: Subscription {
            topics: wants
                .iter()
                .map(|topic| format!("t{topic}"))
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
            ..Subscription::default()
        },
    };
    wants.iter().enumerate().map(member).collect()
}

fn topics(partitions: &[usize]) -> Topics {
    let topic =
        |(index, count): (usize, &usize)| (format!("t{index}"), Layout { racks: vec![Vec::new(); *count] });
    partitions.iter().enumerate().map(topic).collect()
}

/// Everything that is wanted, with the members that want it.
fn wanted(topics: &Topics, members: &[Member]) -> HashMap<TopicPartition, Vec<String>> {
    let mut wanted = HashMap::new();
    for (topic, layout) in topics {
        let who: Vec<String> = members
            .iter()
            .filter(|member| member.subscription.topics.contains(topic))
            .map(|member| member.id.clone())
            .collect();
        for partition in (0..).take(layout.racks.len()).filter(|_| !who.is_empty()) {
            wanted.insert(TopicPartition::new(topic.as_str(), partition), who.clone());
        }
    }
    wanted
}

/// Gives members what they were assigned, as they would say in the next generation.
fn take(members: &mut [Member], shares: &Assignment, generation: i32) {
    for member in members {
        let share = shares[&member.id].clone();
        member.subscription.generation = Some(generation);
        let last = LastAssignment { partitions: Some(share.clone()), generation };
        member.subscription.user_data = Assignor::Sticky.user_data(&BTreeSet::new(), &last);
        member.subscription.owned = share;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn everything_that_is_wanted_has_one_owner_that_wants_it(
        partitions in prop::collection::vec(1_usize..6, 1..5),
        wants in prop::collection::vec(prop::collection::vec(0_usize..5, 1..5), 1..7),
        goes in 0_usize..7,
    ) {
        let topics = topics(&partitions);
        for assignor in Assignor::ALL {
            let mut members = members(&wants);
            let mut owners: HashMap<TopicPartition, String> = HashMap::new();
            // A member goes after the second round; cooperative groups need two rounds to settle.
            for generation in 1..7 {
                if generation == 3 && members.len() > 1 {
                    let gone = members.remove(goes % members.len());
                    owners.retain(|_, owner| *owner != gone.id);
                }
                let shares = plain(assignor.assign(&topics, &members));
                prop_assert_eq!(shares.len(), members.len());
                let wanted = wanted(&topics, &members);
                let mut seen = BTreeSet::new();
                for (member, share) in &shares {
                    for partition in share {
                        prop_assert!(seen.insert(partition.clone()), "{} twice", partition);
                        prop_assert!(wanted[partition].contains(member));
                        // What another member still reads is not given to anybody.
                        let owner = owners.get(partition);
                        prop_assert!(assignor != Assignor::CooperativeSticky || owner.is_none_or(|owner| owner == member));
                    }
                }
                let settled = assignor != Assignor::CooperativeSticky || generation % 3 == 0 || generation % 3 == 2;
                prop_assert!(!settled || generation == 3 || seen.len() == wanted.len());
                owners = shares.iter()
                    .flat_map(|(member, share)| share.iter().map(|partition| (partition.clone(), member.clone())))
                    .collect();
                take(&mut members, &shares, generation);
            }
            // Nobody moves anything once it has settled.
            let again = plain(assignor.assign(&topics, &members));
            for member in &members {
                let before: BTreeSet<_> = member.subscription.owned.iter().collect();
                prop_assert_eq!(again[&member.id].iter().collect::<BTreeSet<_>>(), before, "{:?}", assignor);
            }
        }
    }

    #[test]
    fn no_bytes_of_another_member_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = read_assignment(&bytes);
        let mut subscription = Subscription::read(&bytes).unwrap_or_default();
        subscription.topics.push("t0".to_owned());
        subscription.user_data = Some(bytes);
        let members = [Member { id: "m".to_owned(), instance_id: None, subscription }];
        for assignor in Assignor::ALL {
            let shares = plain(assignor.assign(&topics(&[3]), &members));
            prop_assert_eq!(shares["m"].len(), 3);
        }
    }
}

#[test]
fn a_member_that_was_away_does_not_keep_what_others_got_meanwhile() {
    let topics = topics(&[4]);
    let mut members = members(&[vec![0], vec![0]]);
    let shares = plain(Assignor::CooperativeSticky.assign(&topics, &members[..1]));
    // The second one says it has all of it too, of a generation that is long over.
    take(&mut members[..1], &shares, 5);
    members[1].subscription.owned = shares["member-0"].clone();
    members[1].subscription.generation = Some(2);
    let next = plain(Assignor::CooperativeSticky.assign(&topics, &members));
    assert_eq!((next["member-0"].len(), next["member-1"].len()), (2, 0));
}
