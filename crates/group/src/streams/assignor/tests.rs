use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::streams::tasks::each;

fn subtopologies(tasks: &[i32]) -> Vec<SubtopologySpec<'static>> {
    let specs = tasks.iter().zip(["0", "1", "2"]);
    specs
        .map(|(&number_of_tasks, id)| SubtopologySpec { id, number_of_tasks, is_stateful: id != "0" })
        .collect()
}

/// Divides among members, each with its process and what it has.
fn divide(
    members: &[(&str, &str, TasksTuple)],
    tasks: &[i32],
    standby: usize,
) -> BTreeMap<String, TasksTuple> {
    let has: Vec<TasksTupleWithEpochs> = members
        .iter()
        .map(|(_, _, has)| TasksTupleWithEpochs {
            active: has
                .active
                .iter()
                .map(|(id, partitions)| (id.clone(), partitions.iter().map(|p| (*p, 1)).collect()))
                .collect(),
            standby: has.standby.clone(),
            warmup: has.warmup.clone(),
        })
        .collect();
    let specs = members.iter().zip(&has).map(|((id, process_id, _), assigned)| {
        (Arc::from(*id), MemberSpec { process_id, assigned, offsets: None })
    });
    let spec = GroupSpec {
        members: specs.collect(),
        subtopologies: subtopologies(tasks),
        num_standby_replicas: standby,
    };
    assign(&spec).into_iter().map(|(id, tasks)| (id.to_string(), tasks)).collect()
}

fn count(tasks: &super::super::Tasks) -> usize {
    each(tasks).count()
}

fn nothing() -> TasksTuple {
    TasksTuple::default()
}

#[test]
fn processes_get_tasks_for_each_of_their_members() {
    let target =
        divide(&[("a", "p1", nothing()), ("b", "p1", nothing()), ("c", "p2", nothing())], &[4, 5], 0);
    assert_eq!(target.values().map(|tasks| count(&tasks.active)).collect::<Vec<_>>(), [3, 3, 3]);
    let all: BTreeSet<(String, i32)> = target
        .values()
        .flat_map(|tasks| each(&tasks.active).map(|(id, partition)| (id.to_owned(), partition)))
        .collect();
    assert_eq!(all.len(), 9);
}

#[test]
fn whoever_has_tasks_keeps_them_up_to_its_share() {
    let before = divide(&[("a", "p1", nothing()), ("b", "p2", nothing())], &[3, 3], 0);
    let with = |id: &str| before[id].clone();
    let after = divide(&[("a", "p1", with("a")), ("b", "p2", with("b")), ("c", "p3", nothing())], &[3, 3], 0);
    for id in ["a", "b"] {
        assert_eq!(count(&after[id].active), 2);
        assert!(each(&after[id].active).all(|(sub, partition)| before[id].active[sub].contains(&partition)));
    }
    assert_eq!(count(&after["c"].active), 2);
    // And without a reason nothing moves.
    let same = divide(&[("a", "p1", with("a")), ("b", "p2", with("b"))], &[3, 3], 0);
    assert_eq!(same, before);
}

#[test]
fn copies_are_on_other_processes_and_take_over() {
    let members = |tasks: &BTreeMap<String, TasksTuple>| {
        let has = |id: &str| tasks.get(id).cloned().unwrap_or_default();
        [("a", "p1", has("a")), ("b", "p2", has("b")), ("c", "p3", has("c"))]
    };
    let before = divide(&members(&BTreeMap::new()), &[0, 6], 1);
    for (id, tasks) in &before {
        assert_eq!((count(&tasks.active), count(&tasks.standby)), (2, 2), "{id}");
        assert!(each(&tasks.standby).all(|(sub, partition)| !tasks.active[sub].contains(&partition)));
    }
    assert_eq!(divide(&members(&before), &[0, 6], 1), before, "nothing moves");
    let after = divide(&members(&before)[1..], &[0, 6], 1);
    for id in ["b", "c"] {
        // What it had a copy of and nobody has any more it has now, as far as that is its share.
        assert_eq!(count(&after[id].active), 3);
    }
    // More copies than processes find no place.
    let many = divide(&members(&BTreeMap::new()), &[0, 3], 5);
    assert_eq!(many.values().map(|tasks| count(&tasks.standby)).sum::<usize>(), 6);
}

#[test]
fn who_comes_back_with_state_on_its_disk_is_given_it() {
    let mut offsets = MemberTaskOffsets::default();
    offsets.offsets.insert(("1".to_owned(), 2), 100);
    let (none, some) = (TasksTupleWithEpochs::default(), Some(&offsets));
    let spec =
        |id: &str, process_id, offsets| (Arc::from(id), MemberSpec { process_id, assigned: &none, offsets });
    let spec = GroupSpec {
        members: [spec("a", "p1", None), spec("b", "p2", some)].into(),
        subtopologies: subtopologies(&[0, 4]),
        num_standby_replicas: 0,
    };
    assert!(assign(&spec)["b"].active["1"].contains(&2));
}
