//! Tasks: a subtopology and a partition of what it reads (Kafka's `TasksTuple`, `TasksTupleWithEpochs`).

use std::collections::{BTreeMap, BTreeSet};

/// Partitions by subtopology.
pub type Tasks = BTreeMap<String, BTreeSet<i32>>;

/// Partitions by subtopology, each with the epoch in which the member was given the task.
pub type ActiveTasks = BTreeMap<String, BTreeMap<i32, i32>>;

/// What a member should have, or says that it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TasksTuple {
    /// Those it processes.
    pub active: Tasks,
    /// Those whose state it keeps a copy of.
    pub standby: Tasks,
    /// Those whose state it fetches in order to process them.
    pub warmup: Tasks,
}

impl TasksTuple {
    pub(crate) fn is_empty(&self) -> bool {
        self.active.is_empty() && self.standby.is_empty() && self.warmup.is_empty()
    }

    /// Whether one of these is among the others, in the same role.
    pub(crate) fn contains_any(&self, others: &TasksTupleWithEpochs) -> bool {
        let any = |ours: &Tasks, theirs: &Tasks| {
            theirs.iter().any(|(id, theirs)| ours.get(id).is_some_and(|ours| !ours.is_disjoint(theirs)))
        };
        others.active.iter().any(|(id, theirs)| {
            let ours = self.active.get(id);
            ours.is_some_and(|ours| theirs.keys().any(|partition| ours.contains(partition)))
        }) || any(&self.standby, &others.standby)
            || any(&self.warmup, &others.warmup)
    }
}

/// What a member has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TasksTupleWithEpochs {
    /// Those it processes, with the epochs that tell its commits from those of who had them before.
    pub active: ActiveTasks,
    /// Those whose state it keeps a copy of.
    pub standby: Tasks,
    /// Those whose state it fetches in order to process them.
    pub warmup: Tasks,
}

impl TasksTupleWithEpochs {
    pub(crate) fn is_empty(&self) -> bool {
        self.active.is_empty() && self.standby.is_empty() && self.warmup.is_empty()
    }

    /// Both together.
    pub(crate) fn merge(mut self, other: TasksTupleWithEpochs) -> TasksTupleWithEpochs {
        for (id, partitions) in other.active {
            self.active.entry(id).or_default().extend(partitions);
        }
        for (ours, theirs) in [(&mut self.standby, other.standby), (&mut self.warmup, other.warmup)] {
            for (id, partitions) in theirs {
                ours.entry(id).or_default().extend(partitions);
            }
        }
        self
    }

    /// The active tasks without their epochs.
    pub(crate) fn active_tasks(&self) -> Tasks {
        let tasks = self.active.iter();
        tasks.map(|(id, partitions)| (id.clone(), partitions.keys().copied().collect())).collect()
    }
}

/// Whether `tasks` has this one.
pub(crate) fn contains(tasks: &Tasks, subtopology_id: &str, partition: i32) -> bool {
    tasks.get(subtopology_id).is_some_and(|partitions| partitions.contains(&partition))
}

/// Adds a task.
pub(crate) fn insert(tasks: &mut Tasks, subtopology_id: &str, partition: i32) {
    tasks.entry(subtopology_id.to_owned()).or_default().insert(partition);
}

/// Takes a task out; whether it was there.
pub(crate) fn remove(tasks: &mut Tasks, subtopology_id: &str, partition: i32) -> bool {
    let Some(partitions) = tasks.get_mut(subtopology_id) else { return false };
    let was_there = partitions.remove(&partition);
    if partitions.is_empty() {
        tasks.remove(subtopology_id);
    }
    was_there
}

/// Every task of these.
pub(crate) fn each(tasks: &Tasks) -> impl Iterator<Item = (&str, i32)> {
    tasks
        .iter()
        .flat_map(|(id, partitions)| partitions.iter().map(move |partition| (id.as_str(), *partition)))
}

/// Tasks as messages and records have them: a list per subtopology, both in order.
pub(crate) fn to_ids<T>(tasks: &Tasks, make: impl Fn(String, Vec<i32>) -> T) -> Vec<T> {
    tasks.iter().map(|(id, partitions)| make(id.clone(), partitions.iter().copied().collect())).collect()
}

/// The tasks of such a list.
pub(crate) fn from_ids<'a>(ids: impl Iterator<Item = (&'a str, &'a [i32])>) -> Tasks {
    let mut tasks = Tasks::new();
    for (id, partitions) in ids {
        // Nothing is left of a subtopology without tasks.
        if !partitions.is_empty() {
            tasks.entry(id.to_owned()).or_default().extend(partitions);
        }
    }
    tasks
}
