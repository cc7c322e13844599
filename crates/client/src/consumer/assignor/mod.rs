//! How the leader of a classic group divides partitions (`ConsumerPartitionAssignor`), and what members tell it.
//!
//! Pure: members and topics in, partitions of each member out. The bytes are those of the Java client
//! (`ConsumerProtocol`), so that members of all clients are in one group.

mod protocol;
mod range;
mod round_robin;
mod sticky;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

use std::collections::BTreeMap;

use common::TopicPartition;

use crate::ClientError;
use crate::config::invalid;

pub(super) use protocol::{Subscription, read_assignment, write_assignment};

/// An assignor of the Java client (`partition.assignment.strategy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignor {
    /// `RangeAssignor`: of each topic, neighbouring partitions.
    Range,
    /// `RoundRobinAssignor`: all partitions in turn.
    RoundRobin,
    /// `StickyAssignor`: balanced, and everybody keeps as much as that allows.
    Sticky,
    /// `CooperativeStickyAssignor`: the same, and what stays is read on while the group settles (KIP-429).
    CooperativeSticky,
}

impl Assignor {
    const ALL: [Assignor; 4] =
        [Assignor::Range, Assignor::RoundRobin, Assignor::Sticky, Assignor::CooperativeSticky];

    /// The name that members agree on.
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Range => "range",
            Assignor::RoundRobin => "roundrobin",
            Assignor::Sticky => "sticky",
            Assignor::CooperativeSticky => "cooperative-sticky",
        }
    }

    fn class(self) -> &'static str {
        match self {
            Assignor::Range => "RangeAssignor",
            Assignor::RoundRobin => "RoundRobinAssignor",
            Assignor::Sticky => "StickyAssignor",
            Assignor::CooperativeSticky => "CooperativeStickyAssignor",
        }
    }

    /// Whether members can keep partitions through a rebalance.
    pub(super) fn is_cooperative(self) -> bool {
        self == Assignor::CooperativeSticky
    }

    /// Java's class, or the name.
    pub(super) fn parse(key: &str, text: &str) -> Result<Assignor, ClientError> {
        let class = text.strip_prefix("org.apache.kafka.clients.consumer.").unwrap_or(text);
        let known = Assignor::ALL.into_iter().find(|known| known.class() == class || known.name() == text);
        known.ok_or_else(|| {
            let names = Assignor::ALL.map(Assignor::name).join(", ");
            invalid(
                key,
                text,
                format!("there is no such assignor here, but {names}, and Java's classes of these names"),
            )
        })
    }

    /// What this assignor tells its like besides the subscription.
    pub(super) fn user_data(self, last: &LastAssignment) -> Option<Vec<u8>> {
        match self {
            Assignor::Range | Assignor::RoundRobin => None,
            Assignor::Sticky => {
                last.partitions.as_ref().map(|owned| protocol::sticky_user_data(owned, last.generation))
            }
            Assignor::CooperativeSticky => Some(last.generation.to_be_bytes().to_vec()),
        }
    }

    /// Divides the partitions of `topics` among `members`. Every member is in the answer; topics that are missing are
    /// divided later, when they are there.
    pub(super) fn assign(self, topics: &Topics, members: &[Member]) -> Assignment {
        let wanted =
            |topic: &&String| members.iter().any(|member| member.subscription.topics.contains(topic));
        let topics: Topics = topics
            .iter()
            .filter(|(topic, layout)| wanted(topic) && !layout.racks.is_empty())
            .map(|(topic, layout)| (topic.clone(), layout.clone()))
            .collect();
        match self {
            Assignor::Range => range::assign(&topics, members),
            Assignor::RoundRobin => round_robin::assign(&topics, members),
            Assignor::Sticky => sticky::assign(&topics, members, protocol::owned_by_user_data).0,
            Assignor::CooperativeSticky => {
                let (mut assignment, moved) =
                    sticky::assign(&topics, members, protocol::owned_by_subscription);
                // What still has an owner is let go of first: it finds its new one in the rebalance that follows.
                for (partition, to) in moved {
                    if let Some(partitions) = assignment.get_mut(&to) {
                        partitions.retain(|other| *other != partition);
                    }
                }
                assignment
            }
        }
    }
}

/// What a member has been given last, by the assignor's own account (`ConsumerPartitionAssignor.onAssignment`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LastAssignment {
    pub(super) partitions: Option<Vec<TopicPartition>>,
    pub(super) generation: i32,
}

impl Default for LastAssignment {
    fn default() -> LastAssignment {
        LastAssignment { partitions: None, generation: -1 }
    }
}

/// A member of the group, as the leader sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) instance_id: Option<String>,
    pub(super) subscription: Subscription,
}

impl Member {
    /// Static members first, by their own names: their places outlive a restart (`MemberInfo`).
    fn order(&self) -> (bool, &str, &str) {
        match &self.instance_id {
            Some(instance) => (false, instance, &self.id),
            None => (true, &self.id, ""),
        }
    }

    fn rack(&self) -> Option<&str> {
        self.subscription.rack_id.as_deref().filter(|rack| !rack.is_empty())
    }
}

/// A topic's partitions: of each one, the racks of its replicas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) racks: Vec<Vec<String>>,
}

/// Topics, by name.
pub(super) type Topics = BTreeMap<String, Layout>;
/// What each member gets, by member id.
pub(super) type Assignment = BTreeMap<String, Vec<TopicPartition>>;

/// Whether racks make a difference: some member's rack has replicas, and not all partitions are on the same racks (KIP-881).
fn racks_matter<'a>(
    members: impl IntoIterator<Item = &'a Member>,
    layouts: impl IntoIterator<Item = &'a Layout> + Clone,
) -> bool {
    let all: std::collections::BTreeSet<&str> = layouts
        .clone()
        .into_iter()
        .flat_map(|layout| layout.racks.iter().flatten())
        .map(String::as_str)
        .collect();
    let mut known = members.into_iter().filter_map(Member::rack);
    known.any(|rack| all.contains(rack))
        && layouts.into_iter().flat_map(|layout| &layout.racks).any(|racks| {
            let racks: std::collections::BTreeSet<&str> = racks.iter().map(String::as_str).collect();
            racks != all
        })
}
