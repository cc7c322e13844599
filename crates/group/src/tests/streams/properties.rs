//! Whatever happens in whichever order, an active task is run by one thread at a time, and in the end by one.

use common::SplitMix64;

use super::*;

/// Numbers that look random, the same for a seed.
struct Random(SplitMix64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0.next_u64() % below
    }
}

/// A thread goes on until the coordinator refuses it; then it gives up everything and joins as a new one.
fn beat(world: &World, thread: &mut Thread, generation: &mut usize, lost: bool) {
    let request = if thread.epoch == 0 { thread.join_request() } else { thread.full_request() };
    let response = world.beat_streams(1, request).response;
    if lost {
        return;
    }
    if response.error_code == 0 {
        thread.take(&response);
        return;
    }
    forget(thread, generation);
}

fn forget(thread: &mut Thread, generation: &mut usize) {
    *generation += 1;
    thread.member_id = format!("{}-{generation}", thread.process_id);
    (thread.epoch, thread.owned, thread.assigned) = (0, Default::default(), Default::default());
}

#[track_caller]
fn check_runs_once(threads: &[Thread], seed: u64) {
    let mut running = BTreeSet::new();
    for task in threads.iter().flat_map(|thread| &thread.owned[0]) {
        assert!(running.insert(task.clone()), "seed {seed}: {task:?} is run twice");
    }
}

fn live(seed: u64) {
    let mut random = Random(SplitMix64::new(seed));
    let num_standby_replicas = random.next(2) as i32;
    let streams = StreamsGroupSettings { num_standby_replicas, ..Default::default() };
    let mut world = world_with(GroupConfig { group_streams: streams, ..config() }, true);
    world.set_topic(REPARTITION, 3);
    world.set_topic(CHANGELOG, 3);
    // Two threads of one process, two of another, one alone.
    let processes = ["p1", "p1", "p2", "p2", "p3"];
    let mut generation = processes.len();
    let mut threads: Vec<Thread> = processes
        .iter()
        .enumerate()
        .map(|(index, process)| thread(&format!("{process}-{index}"), process))
        .collect();
    for _ in 0..150 {
        let thread = &mut threads[random.next(5) as usize];
        match random.next(20) {
            0..=6 => beat(&world, thread, &mut generation, false),
            7 if thread.epoch > 0 => beat(&world, thread, &mut generation, true),
            8..=13 => thread.apply(),
            14 if thread.epoch > 0 => {
                let leave = StreamsGroupHeartbeatRequest { member_epoch: -1, ..thread.short_request() };
                world.beat_streams(1, leave);
                forget(thread, &mut generation);
            }
            // It is gone without a word.
            15 => forget(thread, &mut generation),
            16 => world.restart(),
            _ => {
                let ms = random.next(4_000) as i64;
                world.advance(ms);
            }
        }
        check_runs_once(&threads, seed);
    }
    // Those that died are forgotten, and the rest settles.
    for _ in 0..120 {
        world.advance(1_000);
        for thread in &mut threads {
            beat(&world, thread, &mut generation, false);
            thread.apply();
        }
        check_runs_once(&threads, seed);
    }
    assert_eq!(world.described_streams("g").group_state, "Stable", "seed {seed}");
    assert_eq!(all_active(&threads), ALL, "seed {seed}");
    let mut copies = BTreeSet::new();
    for thread in &threads {
        for task in &thread.owned[1] {
            assert!(copies.insert((thread.process_id.clone(), task.clone())), "seed {seed}");
            let active = threads.iter().find(|other| other.owned[0].contains(task));
            assert!(active.is_none_or(|other| other.process_id != thread.process_id), "seed {seed}");
        }
    }
    assert_eq!(copies.len(), if num_standby_replicas == 1 { 3 } else { 0 }, "seed {seed}");
}

#[test]
fn a_task_is_run_by_one_at_a_time() {
    for seed in 0..100 {
        live(seed);
    }
}
