//! Tasks go to who has them or has a copy of their state, as long as nobody has more than a fair share; the rest to whoever
//! has the least. Standby tasks go to other processes, as many as there are.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;

use super::process::{Load, Process};
use super::{GroupAssignment, GroupSpec, TaskId};
use crate::streams::tasks::{Tasks, TasksTuple, contains, each, insert};

/// Who is first when somebody with a copy of a task's state is looked for.
struct StandbyCandidate {
    member: usize,
    was_standby: bool,
    offset_sum: i64,
}

/// How many tasks a member may have, so that all have about equally many. Whoever has as many no longer counts.
struct Quota {
    tasks: usize,
    members: usize,
    per_member: usize,
}

impl Quota {
    fn new(tasks: usize, members: usize) -> Quota {
        Quota { tasks, members, per_member: tasks.div_ceil(members.max(1)) }
    }

    /// A member has this many tasks now.
    fn on_given(&mut self, count: usize) {
        if count == self.per_member && self.members > 0 {
            self.members -= 1;
            self.tasks = self.tasks.saturating_sub(count);
            self.per_member = if self.members == 0 { 0 } else { self.tasks.div_ceil(self.members) };
        }
    }
}

struct Assignment<'g> {
    group: &'g GroupSpec<'g>,
    ids: Vec<&'g Arc<str>>,
    processes: Vec<Process>,
    process_of: Vec<usize>,
    active_before: HashMap<TaskId, usize>,
    standby_before: HashMap<TaskId, Vec<usize>>,
    active_quota: Quota,
    quota: Quota,
    targets: Vec<TasksTuple>,
}

/// Divides the tasks.
pub(crate) fn assign(group: &GroupSpec<'_>) -> GroupAssignment {
    if group.members.is_empty() {
        return GroupAssignment::new();
    }
    let mut assignment = Assignment::new(group);
    assignment.assign_active();
    if group.num_standby_replicas > 0 {
        assignment.assign_standby();
    }
    assignment.ids.into_iter().cloned().zip(assignment.targets).collect()
}

/// All tasks of the subtopologies that `wanted` takes.
fn tasks(group: &GroupSpec<'_>, only_stateful: bool) -> Vec<TaskId> {
    let subtopologies = group.subtopologies.iter().enumerate();
    subtopologies
        .filter(|(_, spec)| spec.is_stateful || !only_stateful)
        .flat_map(|(subtopology, spec)| {
            (0..spec.number_of_tasks).map(move |partition| TaskId { subtopology, partition })
        })
        .collect()
}

impl<'g> Assignment<'g> {
    fn new(group: &'g GroupSpec<'g>) -> Assignment<'g> {
        let active = tasks(group, false).len();
        let standby = tasks(group, true).len().saturating_mul(group.num_standby_replicas);
        let index_of: HashMap<&str, usize> =
            group.subtopologies.iter().enumerate().map(|(index, spec)| (spec.id, index)).collect();
        let task = |id: &str, partition| {
            let subtopology = *index_of.get(id)?;
            Some(TaskId { subtopology, partition })
        };

        let mut processes: Vec<Process> = Vec::new();
        let mut process_ids: HashMap<&str, usize> = HashMap::new();
        let mut process_of = Vec::with_capacity(group.members.len());
        let mut active_before = HashMap::new();
        let mut candidates: HashMap<TaskId, Vec<StandbyCandidate>> = HashMap::new();
        for (member, spec) in group.members.values().enumerate() {
            let process = *process_ids.entry(spec.process_id).or_insert_with(|| {
                processes.push(Process::default());
                processes.len() - 1
            });
            if let Some(process) = processes.get_mut(process) {
                process.add_member(member);
            }
            process_of.push(process);
            for (id, partitions) in &spec.assigned.active {
                for &partition in partitions.keys() {
                    if let Some(task) = task(id, partition) {
                        active_before.insert(task, member);
                    }
                }
            }
            let offset_sum = |id: &str, partition: i32| {
                let known = spec.offsets.and_then(|told| told.offsets.get(&(id.to_owned(), partition)));
                known.copied().unwrap_or(0)
            };
            for (id, partition) in each(&spec.assigned.standby) {
                let Some(task) = task(id, partition) else { continue };
                let offset_sum = offset_sum(id, partition);
                candidates.entry(task).or_default().push(StandbyCandidate {
                    member,
                    was_standby: true,
                    offset_sum,
                });
            }
            // Who comes back after a restart has nothing, but may have the state on its disk.
            for ((id, partition), &offset_sum) in spec.offsets.iter().flat_map(|told| &told.offsets) {
                if !contains(&spec.assigned.standby, id, *partition)
                    && let Some(task) = task(id, *partition)
                {
                    candidates.entry(task).or_default().push(StandbyCandidate {
                        member,
                        was_standby: false,
                        offset_sum,
                    });
                }
            }
        }
        let ranked = |mut candidates: Vec<StandbyCandidate>| {
            candidates.sort_by_key(|candidate| (!candidate.was_standby, Reverse(candidate.offset_sum)));
            candidates.into_iter().map(|candidate| candidate.member).collect()
        };
        let members = group.members.len();
        Assignment {
            group,
            ids: group.members.keys().collect(),
            processes,
            process_of,
            active_before,
            standby_before: candidates.into_iter().map(|(task, list)| (task, ranked(list))).collect(),
            active_quota: Quota::new(active, members),
            quota: Quota::new(active.saturating_add(standby), members),
            targets: vec![TasksTuple::default(); members],
        }
    }

    fn process(&self, member: usize) -> Option<&Process> {
        self.processes.get(*self.process_of.get(member)?)
    }

    fn count_of(&self, member: usize) -> usize {
        self.process(member).map_or(0, |process| process.count_of(member))
    }

    fn give(&mut self, member: usize, task: TaskId, active: bool) {
        let Some(process) = self.process_of.get(member).and_then(|index| self.processes.get_mut(*index))
        else {
            return;
        };
        let count = process.add(member, task);
        if active {
            self.active_quota.on_given(count);
        }
        self.quota.on_given(count);
        let (Some(target), Some(spec)) =
            (self.targets.get_mut(member), self.group.subtopologies.get(task.subtopology))
        else {
            return;
        };
        let part: &mut Tasks = if active { &mut target.active } else { &mut target.standby };
        insert(part, spec.id, task.partition);
    }

    /// The first of these that is less loaded than those before it, as a process and by itself.
    fn least_loaded(&self, members: &[usize], without: Option<TaskId>) -> Option<usize> {
        let mut best: Option<(usize, Load, usize)> = None;
        for &member in members {
            let Some(process) = self.process(member) else { continue };
            // A process has one copy of a task at most.
            if without.is_some_and(|task| process.has(task)) {
                continue;
            }
            let (load, count) = (process.load(), process.count_of(member));
            if best.is_none_or(|(_, best_load, best_count)| load < best_load && count < best_count) {
                best = Some((member, load, count));
            }
        }
        best.map(|(member, ..)| member)
    }

    fn assign_active(&mut self) {
        let mut open = tasks(self.group, false);
        // Equal partitions of subtopologies belong together.
        open.sort_by_key(|task| (task.partition, task.subtopology));
        open.retain(|&task| {
            let before = self.active_before.get(&task).copied();
            let member = before.filter(|member| self.count_of(*member) < self.active_quota.per_member);
            member.inspect(|member| self.give(*member, task, true)).is_none()
        });
        open.retain(|&task| {
            let copies = self.standby_before.get(&task).map(Vec::as_slice).unwrap_or_default();
            let member = self.least_loaded(copies, None);
            let member = member.filter(|member| self.count_of(*member) < self.active_quota.per_member);
            member.inspect(|member| self.give(*member, task, true)).is_none()
        });
        open.sort();
        let mut by_load = self.processes_by_load();
        for task in open {
            self.give_to_least_loaded(&mut by_load, task, true);
        }
    }

    fn assign_standby(&mut self) {
        let mut stateful = tasks(self.group, true);
        stateful.sort_by_key(|task| Reverse((task.partition, task.subtopology)));
        let mut rest: BTreeMap<Reverse<TaskId>, usize> = BTreeMap::new();
        for task in stateful {
            for index in 0..self.group.num_standby_replicas {
                match self.who_had(task) {
                    Some(member) => self.give(member, task, false),
                    None => {
                        rest.insert(Reverse(task), self.group.num_standby_replicas - index);
                        break;
                    }
                }
            }
        }
        let mut by_load = self.processes_by_load();
        let mut short = 0;
        for (Reverse(task), replicas) in rest {
            for index in 0..replicas {
                if !self.give_to_least_loaded(&mut by_load, task, false) {
                    short += replicas - index;
                    break;
                }
            }
        }
        if short > 0 {
            tracing::warn!(
                "{short} standby tasks have no place: there are too few instances of the application"
            );
        }
    }

    /// Who had the task and may have its standby task.
    fn who_had(&self, task: TaskId) -> Option<usize> {
        let may = |member: &usize| self.count_of(*member) < self.quota.per_member;
        let is_free = |member: &usize| self.process(*member).is_some_and(|process| !process.has(task));
        let active = self.active_before.get(&task).copied().filter(is_free).filter(may);
        active.or_else(|| {
            let copies = self.standby_before.get(&task)?;
            self.least_loaded(copies, Some(task)).filter(may)
        })
    }

    fn processes_by_load(&self) -> BinaryHeap<Reverse<(Load, usize)>> {
        self.processes.iter().enumerate().map(|(index, process)| Reverse((process.load(), index))).collect()
    }

    /// Gives a task to the process that has the least to do and does not have it; whether there is one.
    fn give_to_least_loaded(
        &mut self,
        by_load: &mut BinaryHeap<Reverse<(Load, usize)>>,
        task: TaskId,
        active: bool,
    ) -> bool {
        let mut passed = Vec::new();
        let mut found = false;
        while let Some(Reverse((_, index))) = by_load.pop() {
            passed.push(index);
            let process = self.processes.get(index).filter(|process| active || !process.has(task));
            if let Some(member) = process.and_then(Process::least_loaded) {
                self.give(member, task, active);
                found = true;
                break;
            }
        }
        for index in passed {
            if let Some(process) = self.processes.get(index) {
                by_load.push(Reverse((process.load(), index)));
            }
        }
        found
    }
}
