//! `RoundRobinAssignor`: all partitions of all topics in turn, each to the next member that wants its topic.

use common::TopicPartition;

use super::{Assignment, Member, Topics};

pub(super) fn assign(topics: &Topics, members: &[Member]) -> Assignment {
    let mut assignment: Assignment = members.iter().map(|member| (member.id.clone(), Vec::new())).collect();
    let mut order: Vec<&Member> = members.iter().collect();
    order.sort_by(|one, other| one.order().cmp(&other.order()));
    let mut next = 0;
    for (topic, layout) in topics {
        for partition in (0..).take(layout.racks.len()) {
            let turns = (0..order.len()).map(|turn| (next + turn) % order.len());
            let wants = |member: &usize| order[*member].subscription.topics.contains(topic);
            let Some(member) = turns.into_iter().find(wants) else { continue };
            next = (member + 1) % order.len();
            let given = assignment.entry(order[member].id.clone()).or_default();
            given.push(TopicPartition::new(topic.as_str(), partition));
        }
    }
    assignment
}
