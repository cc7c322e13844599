//! A member's way from what it has to what it should have (Kafka's `CurrentAssignmentBuilder` of streams groups).

use std::collections::BTreeSet;
use std::sync::Arc;

use common::ErrorCode;

use super::tasks::{Tasks, TasksTuple, TasksTupleWithEpochs, contains, each, insert, remove};
use super::{StreamsGroup, StreamsGroupMember, StreamsMemberState};
use crate::consumer::Refusal;

/// What a member is reconciled with.
pub(crate) struct Reconciliation<'a> {
    pub(crate) target_epoch: i32,
    pub(crate) target: &'a TasksTuple,
    /// Who has which tasks.
    pub(crate) group: &'a StreamsGroup,
    /// What the member says it has; none if it says nothing.
    pub(crate) reported: Option<&'a TasksTuple>,
}

/// The parts of a step: what stays, what goes, what comes.
#[derive(Default)]
struct Difference {
    assigned: TasksTupleWithEpochs,
    revoked: TasksTupleWithEpochs,
    pending: TasksTupleWithEpochs,
    has_unreleased: bool,
}

impl Reconciliation<'_> {
    /// The member as it is next.
    ///
    /// # Errors
    /// FENCED_MEMBER_EPOCH for a member in a state that this release does not know, until it has given up everything.
    pub(crate) fn next(&self, member: &StreamsGroupMember) -> Result<StreamsGroupMember, Refusal> {
        Ok(match member.state {
            StreamsMemberState::Stable if member.member_epoch == self.target_epoch => member.clone(),
            StreamsMemberState::UnrevokedTasks if self.still_has(&member.pending_revocation) => {
                member.clone()
            }
            StreamsMemberState::UnrevokedTasks => self.advance(member, member.member_epoch.wrapping_add(1)),
            StreamsMemberState::Stable | StreamsMemberState::UnreleasedTasks => {
                self.advance(member, member.member_epoch)
            }
            StreamsMemberState::Unknown => {
                if self.reported.is_none_or(|reported| !reported.is_empty()) {
                    return Err(Refusal::new(
                        ErrorCode::FencedMemberEpoch,
                        "The streams group member is in a unknown state. The member must abandon all its tasks and \
                         rejoin.",
                    ));
                }
                self.advance(member, self.target_epoch)
            }
        })
    }

    /// Whether the member has one of these tasks, or may have.
    fn still_has(&self, tasks: &TasksTupleWithEpochs) -> bool {
        self.reported.is_none_or(|reported| reported.contains_any(tasks))
    }

    /// The next step towards the target: first what must go, then the epoch, then what is free.
    fn advance(&self, member: &StreamsGroupMember, epoch: i32) -> StreamsGroupMember {
        let has = &*member.assigned;
        let mut step = self.difference(member);

        // A change of role that concerns nobody else is made at once, so that the client hears both halves of it together and
        // can keep the task's state open. An active task that becomes a standby task is still revoked: whoever is next waits.
        for (id, partitions) in &has.active {
            for &partition in partitions.keys() {
                grant(&mut step.pending.standby, &mut step.assigned.standby, id, partition);
            }
        }
        for (id, partition) in each(&has.standby) {
            if grant(&mut step.pending.warmup, &mut step.assigned.warmup, id, partition) {
                remove(&mut step.revoked.standby, id, partition);
            }
        }
        for (id, partition) in each(&has.warmup) {
            if grant(&mut step.pending.standby, &mut step.assigned.standby, id, partition) {
                remove(&mut step.revoked.warmup, id, partition);
            }
        }

        // A copy that is to become the active task is never given up, whether that happens now or has to wait.
        let promoted = |copies: &Tasks| -> Vec<(String, i32)> {
            let promoted =
                each(copies).filter(|(id, partition)| contains(&self.target.active, id, *partition));
            promoted.map(|(id, partition)| (id.to_owned(), partition)).collect()
        };
        let (standby, warmup) = (promoted(&has.standby), promoted(&has.warmup));
        for (id, partition) in &standby {
            remove(&mut step.revoked.standby, id, *partition);
        }
        for (id, partition) in &warmup {
            remove(&mut step.revoked.warmup, id, *partition);
        }
        let revokes = !step.revoked.is_empty() && self.still_has(&step.revoked);
        for (copies, kept) in [(standby, &mut step.assigned.standby), (warmup, &mut step.assigned.warmup)] {
            for (id, partition) in copies {
                let granted =
                    step.pending.active.get(&id).is_some_and(|tasks| tasks.contains_key(&partition));
                if revokes || !granted {
                    insert(kept, &id, partition);
                }
            }
        }

        let mut next = member.clone();
        if revokes {
            next.state = StreamsMemberState::UnrevokedTasks;
            next.update_epoch(epoch);
            next.assigned = Arc::new(step.assigned);
            next.pending_revocation = Arc::new(step.revoked);
            return next;
        }
        next.state = match step.has_unreleased {
            true => StreamsMemberState::UnreleasedTasks,
            false => StreamsMemberState::Stable,
        };
        next.update_epoch(self.target_epoch);
        next.assigned = Arc::new(step.assigned.merge(step.pending));
        next.pending_revocation = Arc::default();
        next
    }

    /// What the member has and should have, has and should not, and should have and has not.
    fn difference(&self, member: &StreamsGroupMember) -> Difference {
        let (has, group, process_id) = (&*member.assigned, self.group, member.process_id.as_str());
        let mut step = Difference::default();
        // A copy of a task in the process's state directory stands in the way of every other role there, unless it is the
        // member's own.
        let other_has_standby = |id: &str, partition| {
            group.has_standby(process_id, id, partition) && !contains(&has.standby, id, partition)
        };
        let other_has_warmup = |id: &str, partition| {
            group.has_warmup(process_id, id, partition) && !contains(&has.warmup, id, partition)
        };
        let runs_here = |id: &str, partition| group.active_process(id, partition) == Some(process_id);
        let is_own_active =
            |id: &str, partition| has.active.get(id).is_some_and(|tasks| tasks.contains_key(&partition));

        for (id, partitions) in &has.active {
            for (&partition, &since) in partitions {
                let stays = contains(&self.target.active, id, partition);
                let part = if stays { &mut step.assigned.active } else { &mut step.revoked.active };
                part.entry(id.clone()).or_default().insert(partition, since);
            }
        }
        for (id, partition) in each(&self.target.active) {
            if is_own_active(id, partition) {
                continue;
            }
            let is_unreleased = group.active_process(id, partition).is_some()
                || other_has_standby(id, partition)
                || other_has_warmup(id, partition);
            if is_unreleased {
                step.has_unreleased = true;
            } else {
                step.pending.active.entry(id.to_owned()).or_default().insert(partition, self.target_epoch);
            }
        }

        step.has_unreleased |= copies(
            (&has.standby, &self.target.standby),
            [&mut step.assigned.standby, &mut step.revoked.standby, &mut step.pending.standby],
            |id, partition| {
                (runs_here(id, partition) && !is_own_active(id, partition))
                    || group.has_standby(process_id, id, partition)
                    || other_has_warmup(id, partition)
            },
        );
        step.has_unreleased |= copies(
            (&has.warmup, &self.target.warmup),
            [&mut step.assigned.warmup, &mut step.revoked.warmup, &mut step.pending.warmup],
            |id, partition| {
                runs_here(id, partition)
                    || other_has_standby(id, partition)
                    || group.has_warmup(process_id, id, partition)
            },
        );
        step
    }
}

/// Divides the copies of one role; whether one of them is not free yet.
fn copies(
    (has, target): (&Tasks, &Tasks),
    [assigned, revoked, pending]: [&mut Tasks; 3],
    is_unreleased: impl Fn(&str, i32) -> bool,
) -> bool {
    for (id, partition) in each(has) {
        let part = if contains(target, id, partition) { &mut *assigned } else { &mut *revoked };
        insert(part, id, partition);
    }
    let mut has_unreleased = false;
    let free: BTreeSet<(&str, i32)> = each(target)
        .filter(|(id, partition)| !contains(has, id, *partition))
        .filter(|(id, partition)| {
            let unreleased = is_unreleased(id, *partition);
            has_unreleased |= unreleased;
            !unreleased
        })
        .collect();
    for (id, partition) in free {
        insert(pending, id, partition);
    }
    has_unreleased
}

/// Gives a task that was to come later now; whether it was to come.
fn grant(pending: &mut Tasks, assigned: &mut Tasks, id: &str, partition: i32) -> bool {
    let comes = remove(pending, id, partition);
    if comes {
        insert(assigned, id, partition);
    }
    comes
}
