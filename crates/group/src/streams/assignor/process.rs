//! An instance of the application with its members, while tasks are given out (Kafka's `ProcessState`).

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, HashSet};

use super::TaskId;

/// How much a process has to do: tasks for each of its members. Ordered as the fraction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    tasks: u64,
    members: u64,
}

impl Ord for Load {
    fn cmp(&self, other: &Load) -> Ordering {
        (self.tasks * other.members).cmp(&(other.tasks * self.members))
    }
}

impl PartialOrd for Load {
    fn partial_cmp(&self, other: &Load) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Load {
    fn eq(&self, other: &Load) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Load {}

/// A process. Members are named by their place in the group.
#[derive(Default)]
pub(super) struct Process {
    tasks: HashSet<TaskId>,
    given: u64,
    counts: HashMap<usize, usize>,
    by_count: BTreeSet<(usize, usize)>,
}

impl Process {
    pub(super) fn add_member(&mut self, member: usize) {
        self.counts.insert(member, 0);
        self.by_count.insert((0, member));
    }

    pub(super) fn load(&self) -> Load {
        Load { tasks: self.given, members: self.counts.len().max(1) as u64 }
    }

    pub(super) fn has(&self, task: TaskId) -> bool {
        self.tasks.contains(&task)
    }

    /// How many tasks a member has.
    pub(super) fn count_of(&self, member: usize) -> usize {
        self.counts.get(&member).copied().unwrap_or(0)
    }

    /// Gives a member a task; how many it has then.
    pub(super) fn add(&mut self, member: usize, task: TaskId) -> usize {
        let before = self.count_of(member);
        self.by_count.remove(&(before, member));
        self.by_count.insert((before + 1, member));
        self.counts.insert(member, before + 1);
        self.tasks.insert(task);
        self.given += 1;
        before + 1
    }

    /// The member that has the fewest tasks.
    pub(super) fn least_loaded(&self) -> Option<usize> {
        self.by_count.first().map(|(_, member)| *member)
    }
}
