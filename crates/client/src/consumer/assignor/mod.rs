//! How the leader of a classic group divides partitions (`ConsumerPartitionAssignor`), and what members tell it.
//!
//! Pure: members and topics in, partitions of each member out. The bytes are those of the Java client
//! (`ConsumerProtocol`), so that members of all clients are in one group.

mod custom;
mod protocol;
mod range;
mod round_robin;
mod sticky;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::TopicPartition;

use crate::ClientError;
use crate::config::invalid;

pub use custom::{MemberAssignment, PartitionAssignor, Registered};
pub use protocol::Subscription;
pub(super) use protocol::{read_assignment, write_assignment};

/// An assignor of the Java client, or one of the application's own (`partition.assignment.strategy`). Those of one name are the
/// same.
#[derive(Clone)]
pub enum Assignor {
    /// `RangeAssignor`: of each topic, neighbouring partitions.
    Range,
    /// `RoundRobinAssignor`: all partitions in turn.
    RoundRobin,
    /// `StickyAssignor`: balanced, and everybody keeps as much as that allows.
    Sticky,
    /// `CooperativeStickyAssignor`: the same, and what stays is read on while the group settles (KIP-429).
    CooperativeSticky,
    /// The application's own.
    Custom(Arc<dyn PartitionAssignor>),
}

impl PartialEq for Assignor {
    fn eq(&self, other: &Assignor) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Assignor {}

impl std::fmt::Debug for Assignor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Assignor {
    const ALL: [Assignor; 4] =
        [Assignor::Range, Assignor::RoundRobin, Assignor::Sticky, Assignor::CooperativeSticky];

    /// The name that members agree on.
    pub fn name(&self) -> &str {
        match self {
            Assignor::Range => "range",
            Assignor::RoundRobin => "roundrobin",
            Assignor::Sticky => "sticky",
            Assignor::CooperativeSticky => "cooperative-sticky",
            Assignor::Custom(custom) => custom.name(),
        }
    }

    fn class(&self) -> &str {
        match self {
            Assignor::Range => "RangeAssignor",
            Assignor::RoundRobin => "RoundRobinAssignor",
            Assignor::Sticky => "StickyAssignor",
            Assignor::CooperativeSticky => "CooperativeStickyAssignor",
            Assignor::Custom(custom) => custom.name(),
        }
    }

    /// Whether members can keep partitions through a rebalance.
    pub(super) fn is_cooperative(&self) -> bool {
        match self {
            Assignor::Custom(custom) => custom.is_cooperative(),
            assignor => *assignor == Assignor::CooperativeSticky,
        }
    }

    /// Java's class, or the name; first of those that were registered.
    pub(super) fn parse(key: &str, text: &str, registered: &Registered) -> Result<Assignor, ClientError> {
        if let Some(custom) = registered.named(text) {
            return Ok(custom);
        }
        let class = text.strip_prefix("org.apache.kafka.clients.consumer.").unwrap_or(text);
        let known = Assignor::ALL.into_iter().find(|known| known.class() == class || known.name() == text);
        known.ok_or_else(|| {
            let names = Assignor::ALL.each_ref().map(Assignor::name).join(", ");
            let reason = format!(
                "there is no such assignor here, but {names}, Java's classes of these names, and what was registered before"
            );
            invalid(key, text, reason)
        })
    }

    /// What this assignor tells its like besides the subscription.
    pub(super) fn user_data(&self, topics: &BTreeSet<String>, last: &LastAssignment) -> Option<Vec<u8>> {
        match self {
            Assignor::Custom(custom) => custom.subscription_user_data(topics),
            Assignor::Range | Assignor::RoundRobin => None,
            Assignor::Sticky => {
                last.partitions.as_ref().map(|owned| protocol::sticky_user_data(owned, last.generation))
            }
            Assignor::CooperativeSticky => Some(last.generation.to_be_bytes().to_vec()),
        }
    }

    /// Divides the partitions of `topics` among `members`. Every member is in the answer; topics that are missing are
    /// divided later, when they are there.
    pub(super) fn assign(&self, topics: &Topics, members: &[Member]) -> GroupAssignment {
        let wanted =
            |topic: &&String| members.iter().any(|member| member.subscription.topics.contains(topic));
        let topics: Topics = topics
            .iter()
            .filter(|(topic, layout)| wanted(topic) && !layout.racks.is_empty())
            .map(|(topic, layout)| (topic.clone(), layout.clone()))
            .collect();
        let shares = match self {
            Assignor::Custom(custom) => {
                let mut shares = custom.assign(&topics, members);
                // Nobody is told of who is not there, and everybody is told.
                let share =
                    |member: &Member| (member.id.clone(), shares.remove(&member.id).unwrap_or_default());
                return members.iter().map(share).collect();
            }
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
        };
        shares.into_iter().map(|(member, share)| (member, share.into())).collect()
    }

    /// This member was given something.
    pub(super) fn on_assignment(&self, assignment: &MemberAssignment, group: &super::GroupMetadata) {
        if let Assignor::Custom(custom) = self {
            custom.on_assignment(assignment, group);
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
pub struct Member {
    /// Its id.
    pub id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// What it wants, and what it has.
    pub subscription: Subscription,
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
pub struct Layout {
    /// Of each partition, the racks of its replicas; those that have none are left out.
    pub racks: Vec<Vec<String>>,
}

/// Topics, by name.
pub type Topics = BTreeMap<String, Layout>;
/// What each member gets, by member id, and what it is told beside that.
pub(super) type GroupAssignment = BTreeMap<String, MemberAssignment>;
/// What each member gets, by member id.
type Assignment = BTreeMap<String, Vec<TopicPartition>>;

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

/// Partitions alone: what assignors of the Java client give.
#[cfg(test)]
fn plain(shares: GroupAssignment) -> Assignment {
    shares.into_iter().map(|(member, share)| (member, share.partitions)).collect()
}
