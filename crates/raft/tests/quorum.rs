//! Whole quorums of the real nodes over disks and a network in memory, by seeds: messages are delayed, dropped and doubled,
//! links are cut in one direction or both, nodes stop, are killed, lose their power or halt in the middle of a write, write
//! snapshots, resign, join and leave. A failure names its seed.
//!
//! What must hold: one leader in an epoch; what one node says is committed no other contradicts and none takes back, with or
//! without a snapshot; once all is well again there is a leader, and all nodes have the same log.

mod simulation;

use simulation::{Chaos, Simulation};

/// Seeds of each kind of run. Together they take some seconds.
const SEEDS: u64 = 60;

fn run(name: &str, chaos: impl Fn(u64) -> Chaos) {
    let seeds = std::env::var("MILENA_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS);
    let first = std::env::var("MILENA_SEED").ok().and_then(|seed| seed.parse().ok());
    let range = first.map_or(0..seeds, |seed| seed..seed + 1);
    let mut committed = 0;
    let mut epochs = 0;
    for seed in range {
        eprintln!("{name}: seed {seed}");
        let mut simulation = Simulation::new(seed, chaos(seed));
        simulation.run();
        committed += simulation.committed_records();
        epochs += simulation.epochs();
    }
    eprintln!("{name}: {committed} records committed in {epochs} epochs with a leader");
    assert!(committed > 0 && epochs > 0, "nothing happened");
}

#[test]
fn static_voters_agree_whatever_happens() {
    run("static", |seed| Chaos { voters: 3 + 2 * (seed % 2) as i32, ..Chaos::default() });
}

#[test]
fn a_quorum_with_observers_agrees_whatever_happens() {
    run("observers", |_| Chaos { voters: 3, observers: 2, ..Chaos::default() });
}

#[test]
fn voters_that_join_and_leave_agree_whatever_happens() {
    run("dynamic", |_| Chaos { voters: 3, joiners: 2, dynamic: true, ..Chaos::default() });
}

#[test]
fn nothing_stands_still_without_faults() {
    for seed in 0..10 {
        let chaos = Chaos { voters: 3, observers: 1, faults: false, ..Chaos::default() };
        let mut simulation = Simulation::new(seed, chaos);
        simulation.run();
        assert_eq!(simulation.epochs(), 1, "seed {seed}: a leader that lives is not disturbed");
    }
}

#[test]
fn a_seed_repeats_its_run() {
    let trace = |seed| {
        let mut simulation = Simulation::new(seed, Chaos { voters: 5, ..Chaos::default() });
        simulation.run();
        simulation.trace()
    };
    for seed in [3, 4] {
        assert_eq!(trace(seed), trace(seed));
    }
    assert_ne!(trace(3), trace(4));
}
