//! `RangeAssignor`: each topic for itself, neighbouring partitions to each member, and racks where they matter (KIP-881).

use std::collections::{BTreeMap, BTreeSet};

use common::TopicPartition;

use super::{Assignment, Layout, Member, Topics, racks_matter};

/// A topic that is being divided.
struct Dividing<'a> {
    topic: &'a str,
    layout: &'a Layout,
    /// The members that want it, in their order.
    members: Vec<&'a Member>,
    /// How many partitions each member has of it.
    counts: Vec<usize>,
    left: BTreeSet<i32>,
    quota: usize,
    /// How many members get one more than the quota.
    extra: usize,
    racks_matter: bool,
}

impl<'a> Dividing<'a> {
    fn new(topic: &'a str, layout: &'a Layout, members: &'a [Member]) -> Dividing<'a> {
        let mut members: Vec<&Member> = members
            .iter()
            .filter(|member| member.subscription.topics.iter().any(|name| name == topic))
            .collect();
        members.sort_by(|one, other| one.order().cmp(&other.order()));
        let partitions = layout.racks.len();
        Dividing {
            topic,
            layout,
            counts: vec![0; members.len()],
            left: (0..).take(partitions).collect(),
            quota: partitions.checked_div(members.len()).unwrap_or(0),
            extra: partitions.checked_rem(members.len()).unwrap_or(0),
            racks_matter: racks_matter(members.iter().copied(), [layout]),
            members,
        }
    }

    /// How many more a member may get.
    fn room(&self, member: usize) -> usize {
        (self.quota + usize::from(self.extra > 0)).saturating_sub(self.counts[member])
    }

    fn is_near(&self, member: usize, partition: i32) -> bool {
        let racks = usize::try_from(partition).ok().and_then(|partition| self.layout.racks.get(partition));
        self.members[member]
            .rack()
            .is_none_or(|rack| racks.is_some_and(|racks| racks.iter().any(|other| other == rack)))
    }

    fn give(&mut self, member: usize, partitions: &[i32], assignment: &mut Assignment) {
        self.counts[member] += partitions.len();
        if self.counts[member] > self.quota {
            self.extra = self.extra.saturating_sub(1);
        }
        let given = assignment.entry(self.members[member].id.clone()).or_default();
        for partition in partitions {
            self.left.remove(partition);
            given.push(TopicPartition::new(self.topic, *partition));
        }
    }

    /// Gives each member its range, of all that is left or of what is near.
    fn give_ranges(&mut self, near_only: bool, assignment: &mut Assignment) {
        for member in 0..self.members.len() {
            let may = |partition: &&i32| !near_only || self.is_near(member, **partition);
            let range: Vec<i32> = self.left.iter().filter(may).take(self.room(member)).copied().collect();
            if !range.is_empty() {
                self.give(member, &range, assignment);
            }
        }
    }
}

pub(super) fn assign(topics: &Topics, members: &[Member]) -> Assignment {
    let mut assignment: Assignment = members.iter().map(|member| (member.id.clone(), Vec::new())).collect();
    let mut dividing: Vec<Dividing<'_>> =
        topics.iter().map(|(topic, layout)| Dividing::new(topic, layout, members)).collect();
    let use_racks = dividing.iter().any(|topic| topic.racks_matter);
    if use_racks {
        // Topics of the same members and as many partitions stay aligned: who has partition 3 of one has it of all.
        let mut aligned: BTreeMap<(Vec<&str>, usize), Vec<&mut Dividing<'_>>> = BTreeMap::new();
        for topic in &mut dividing {
            let ids = topic.members.iter().map(|member| member.id.as_str()).collect();
            aligned.entry((ids, topic.layout.racks.len())).or_default().push(topic);
        }
        for ((members, partitions), mut topics) in aligned {
            match topics.as_mut_slice() {
                [topic] if topic.racks_matter => topic.give_ranges(true, &mut assignment),
                [_] => {}
                topics => give_aligned(members.len(), partitions, topics, &mut assignment),
            }
        }
    }
    for topic in &mut dividing {
        topic.give_ranges(false, &mut assignment);
    }
    if use_racks {
        assignment.values_mut().for_each(|partitions| partitions.sort());
    }
    assignment
}

/// Gives a partition of all topics to the first member that is near to all of them.
fn give_aligned(
    members: usize,
    partitions: usize,
    topics: &mut [&mut Dividing<'_>],
    assignment: &mut Assignment,
) {
    let mut remaining: Vec<usize> = (0..members).collect();
    for partition in (0..).take(partitions) {
        let fits = |member: &usize| {
            topics.iter().all(|topic| topic.is_near(*member, partition) && topic.room(*member) > 0)
        };
        let Some(member) = remaining.iter().copied().find(fits) else { continue };
        for topic in topics.iter_mut() {
            topic.give(member, &[partition], assignment);
        }
        if topics.iter().all(|topic| topic.room(member) == 0) {
            remaining.retain(|other| *other != member);
        }
    }
}
