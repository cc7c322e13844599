//! Assignors of the application's own (`ConsumerPartitionAssignor`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::TopicPartition;

use super::{Assignor, Member, Topics};
use crate::consumer::GroupMetadata;

/// What a member of a group is given, and what the assignor tells it beside that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberAssignment {
    /// Its partitions.
    pub partitions: Vec<TopicPartition>,
    /// Bytes for the member's own assignor, which gets them in [`PartitionAssignor::on_assignment`].
    pub user_data: Option<Vec<u8>>,
}

impl From<Vec<TopicPartition>> for MemberAssignment {
    fn from(partitions: Vec<TopicPartition>) -> MemberAssignment {
        MemberAssignment { partitions, user_data: None }
    }
}

/// An assignor of the application's own (`ConsumerPartitionAssignor`), for `group.protocol=classic`. Every member of the group
/// must have it; the one that the coordinator chose to lead runs it. None of its methods may wait: the member's heartbeats
/// wait with it.
///
/// It is registered with [`ConsumerConfig::register_assignor`](crate::ConsumerConfig::register_assignor) and then named in
/// `partition.assignment.strategy`.
///
/// ```
/// use std::collections::BTreeMap;
///
/// use client::ConsumerConfig;
/// use client::consumer::assignor::{Member, MemberAssignment, PartitionAssignor, Topics};
/// use common::TopicPartition;
///
/// /// Everything for the member that comes first.
/// struct FirstTakesAll;
///
/// impl PartitionAssignor for FirstTakesAll {
///     fn name(&self) -> &str {
///         "first-takes-all"
///     }
///
///     fn assign(&self, topics: &Topics, members: &[Member]) -> BTreeMap<String, MemberAssignment> {
///         let Some(first) = members.iter().map(|member| &member.id).min() else { return BTreeMap::new() };
///         let partitions = topics.iter().flat_map(|(topic, layout)| {
///             (0..layout.racks.len()).map(|partition| TopicPartition::new(topic.as_str(), partition as i32))
///         });
///         BTreeMap::from([(first.clone(), partitions.collect::<Vec<_>>().into())])
///     }
/// }
///
/// let mut config = ConsumerConfig::new("localhost:9092");
/// config.register_assignor(FirstTakesAll);
/// config.set("partition.assignment.strategy", "first-takes-all,range")?;
/// # Ok::<(), client::ClientError>(())
/// ```
pub trait PartitionAssignor: Send + Sync {
    /// The name that members agree on.
    fn name(&self) -> &str;

    /// Whether members keep their partitions through a rebalance (`RebalanceProtocol.COOPERATIVE`): then no partition may be
    /// given to a member while another one has it. Members are cooperative if all their assignors are.
    fn is_cooperative(&self) -> bool {
        false
    }

    /// What the leader's assignor is told of this member beside its subscription to `topics`.
    fn subscription_user_data(&self, topics: &BTreeSet<String>) -> Option<Vec<u8>> {
        let _ = topics;
        None
    }

    /// Divides the partitions of `topics` among `members`: what each gets, by its id. Whoever is left out gets nothing.
    fn assign(&self, topics: &Topics, members: &[Member]) -> BTreeMap<String, MemberAssignment>;

    /// This member was given something, by its assignor or another member's.
    fn on_assignment(&self, assignment: &MemberAssignment, group: &GroupMetadata) {
        let _ = (assignment, group);
    }
}

/// Assignors that a configuration can name.
#[derive(Clone, Default)]
pub struct Registered(Vec<Arc<dyn PartitionAssignor>>);

impl Registered {
    /// One of the same name is replaced.
    pub(in crate::consumer) fn add(&mut self, assignor: Arc<dyn PartitionAssignor>) {
        self.0.retain(|known| known.name() != assignor.name());
        self.0.push(assignor);
    }

    pub(in crate::consumer) fn named(&self, name: &str) -> Option<Assignor> {
        self.0.iter().find(|known| known.name() == name).cloned().map(Assignor::Custom)
    }
}

impl std::fmt::Debug for Registered {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|assignor| assignor.name())).finish()
    }
}
