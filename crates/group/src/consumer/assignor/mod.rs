//! The assignors on the broker (Kafka's `UniformAssignor`, `RangeAssignor`).

mod range;
#[cfg(test)]
mod tests;
mod uniform;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::Uuid;

use super::Assignment;

/// Who computes the target assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// Everybody has as many partitions as anybody else, give or take one, and keeps what they had.
    Uniform,
    /// Everybody has a span of each topic, in the same order, so that equal partitions of topics come together.
    Range,
}

impl Assignor {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }

    /// The assignor with this name.
    pub fn from_name(name: &str) -> Option<Assignor> {
        [Assignor::Uniform, Assignor::Range].into_iter().find(|assignor| assignor.name() == name)
    }

    pub(crate) fn assign(self, group: &GroupSpec<'_>) -> BTreeMap<Arc<str>, Assignment> {
        if group.members.is_empty() {
            return BTreeMap::new();
        }
        match self {
            Assignor::Uniform => uniform::assign(group),
            Assignor::Range => range::assign(group),
        }
    }
}

/// A member as an assignor sees it.
pub(crate) struct MemberSpec<'a> {
    pub(crate) instance_id: Option<&'a str>,
    /// What it subscribes to. **Invariant:** each of these is in the group's topics.
    pub(crate) topics: Arc<BTreeSet<Uuid>>,
    /// What it should have had until now.
    pub(crate) target: Arc<Assignment>,
}

/// A group as an assignor sees it.
pub(crate) struct GroupSpec<'a> {
    pub(crate) members: BTreeMap<Arc<str>, MemberSpec<'a>>,
    /// The topics that members subscribe to, with their numbers of partitions.
    pub(crate) topics: BTreeMap<Uuid, i32>,
    /// Whether all subscribe to the same.
    pub(crate) homogeneous: bool,
}
