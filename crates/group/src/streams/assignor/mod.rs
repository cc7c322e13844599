//! The task assignor (Kafka's `StickyTaskAssignor`).

mod process;
mod sticky;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::group::MemberTaskOffsets;
use super::tasks::{TasksTuple, TasksTupleWithEpochs};

pub(crate) use sticky::assign;

/// The name on the wire of the one there is.
pub(crate) const STICKY: &str = "sticky";

/// A task, with its subtopology as an index of [`GroupSpec::subtopologies`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TaskId {
    pub(crate) subtopology: usize,
    pub(crate) partition: i32,
}

/// A subtopology as the assignor sees it.
pub(crate) struct SubtopologySpec<'a> {
    pub(crate) id: &'a str,
    pub(crate) number_of_tasks: i32,
    /// Whether its tasks have state, and so may have standby tasks.
    pub(crate) is_stateful: bool,
}

/// A member as the assignor sees it.
pub(crate) struct MemberSpec<'a> {
    pub(crate) process_id: &'a str,
    /// What it has.
    pub(crate) assigned: &'a TasksTupleWithEpochs,
    pub(crate) offsets: Option<&'a MemberTaskOffsets>,
}

/// A group as the assignor sees it.
pub(crate) struct GroupSpec<'a> {
    pub(crate) members: BTreeMap<Arc<str>, MemberSpec<'a>>,
    /// In the order of their ids.
    pub(crate) subtopologies: Vec<SubtopologySpec<'a>>,
    pub(crate) num_standby_replicas: usize,
}

/// What everybody should have.
pub(crate) type GroupAssignment = BTreeMap<Arc<str>, TasksTuple>;
