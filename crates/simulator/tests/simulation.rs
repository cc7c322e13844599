//! Hundreds of seeds of each world, that a seed reproduces its run, and that planted bugs are found.
//! Thousands: `cargo xtask simulate`.

use simulator::{Counts, Fault, Planted, Run, Scenario};

/// Runs seeds on all processors.
#[track_caller]
fn all_hold(scenario: Scenario, seeds: u64) {
    let half = |from: u64| {
        let mut counts = Counts::default();
        for seed in (from..seeds).step_by(2) {
            match Run::new(scenario, seed).run() {
                Ok(report) => counts += report.counts,
                Err(failure) => panic!("{failure}"),
            }
        }
        counts
    };
    let mut counts = std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        let mut counts = half(0);
        match other.join() {
            Ok(others) => counts += others,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        counts
    });
    counts.checks /= seeds;
    // A world in which nothing happens proves nothing, nor does one in which nothing goes wrong.
    let crashes = counts.faults.of(Fault::Crash);
    assert!(counts.acknowledged > 10 * seeds && crashes > 2 * seeds && counts.checks > 1, "{counts:?}");
    for fault in Fault::ALL {
        let happened = counts.faults.of(fault) > 0;
        assert_eq!(happened, scenario.faults().contains(&fault), "{scenario}, {fault}: {}", counts.faults);
    }
}

#[test]
fn the_table_of_faults_is_true() {
    let text = include_str!("../src/lib.rs");
    for scenario in Scenario::ALL {
        let marks = Fault::ALL.map(|fault| if scenario.faults().contains(&fault) { "yes" } else { "-" });
        let row = format!("//! | {scenario} | {} |", marks.join(" | "));
        assert!(text.contains(&row), "the table in lib.rs lacks this row:\n{row}");
    }
}

#[test]
fn logs_hold() {
    all_hold(Scenario::Log, 250);
}

#[test]
fn damaged_logs_hold() {
    all_hold(Scenario::Damage, 100);
}

#[test]
fn groups_hold() {
    all_hold(Scenario::Groups, 100);
}

#[test]
fn quorums_hold() {
    all_hold(Scenario::Quorum, 100);
}

#[test]
fn replicas_hold() {
    all_hold(Scenario::Replicas, 150);
}

#[test]
fn clusters_hold() {
    all_hold(Scenario::Cluster, 24);
}

#[test]
fn a_seed_reproduces_its_run() {
    for scenario in Scenario::ALL {
        let mut traces = Vec::new();
        // Clusters take longer than all others together.
        for seed in 0..if scenario == Scenario::Cluster { 2 } else { 6 } {
            let first = Run::new(scenario, seed).run().map_err(|failure| failure.to_string());
            let second = Run::new(scenario, seed).run().map_err(|failure| failure.to_string());
            assert_eq!(first, second, "{scenario}, seed {seed}");
            traces.extend(first.map(|report| report.trace));
        }
        let runs = traces.len();
        traces.sort_unstable();
        traces.dedup();
        assert_eq!(traces.len(), runs, "{scenario}: two seeds did the same");
    }
}

#[test]
fn planted_bugs_are_found() {
    for planted in Planted::ALL {
        let scenario = planted.scenario();
        let mut others = 0;
        let first = planted.first_seed();
        let found = (first..first + 200).find_map(|seed| {
            let run = Run { planted: Some(planted), ..Run::new(scenario, seed) };
            let failure = run.run().err()?;
            // Others may see what it leads to. It counts when the checker that is meant for it has seen it.
            let is_meant = failure.message.contains(planted.shows());
            others += usize::from(!is_meant);
            is_meant.then_some(failure)
        });
        let failure = found.unwrap_or_else(|| {
            panic!("{planted} was planted into {scenario}, and not found as such ({others} seeds failed otherwise)")
        });
        println!("{planted}: {}", failure.message);
    }
}
