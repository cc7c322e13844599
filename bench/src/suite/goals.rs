//! What milena must reach, beside the floor server in the same run.

use super::{
    command::{COLD, WARM},
    report::Table,
    workload::{
        BATCHES_100, BATCHES_1024, END_TO_END_1K, HEARTBEAT_CPU, ONE_GROUP, ONE_IN_FLIGHT, TEN_JOIN,
        TEN_LEAVE,
    },
};

/// How a goal is compared.
#[derive(Debug, Clone, Copy)]
enum Bound {
    /// The ratio to the floor is at most this.
    RatioAtMost(f64),
    /// The ratio to the floor is at least this.
    RatioAtLeast(f64),
    /// The value itself is below this.
    Below(f64),
}

/// One figure and what it must be.
pub struct Goal {
    workload: &'static str,
    figure: &'static str,
    bound: Bound,
}

/// Of the part `speed`.
pub const SPEED: &[Goal] = &[
    Goal { workload: ONE_IN_FLIGHT, figure: "CPU per request", bound: Bound::RatioAtMost(2.0) },
    Goal { workload: END_TO_END_1K, figure: "p50", bound: Bound::RatioAtMost(1.5) },
    Goal { workload: BATCHES_100, figure: "throughput", bound: Bound::RatioAtLeast(0.5) },
    Goal { workload: BATCHES_1024, figure: "throughput", bound: Bound::RatioAtLeast(0.5) },
    Goal { workload: "start", figure: "first answer", bound: Bound::Below(20.0) },
    Goal { workload: "idle", figure: "resident memory", bound: Bound::Below(20.0) },
];

/// Of the part `groups`: a heartbeat interval and 100 ms.
pub const GROUPS: &[Goal] = &[
    Goal { workload: ONE_GROUP, figure: TEN_JOIN, bound: Bound::Below(5.1) },
    Goal { workload: ONE_GROUP, figure: TEN_LEAVE, bound: Bound::Below(5.1) },
    Goal { workload: ONE_GROUP, figure: HEARTBEAT_CPU, bound: Bound::Below(10.0) },
];

/// Of the part `growth`.
pub const GROWTH: &[Goal] = &[
    Goal { workload: "idle partitions: 1", figure: RESIDENT, bound: Bound::Below(12.0) },
    Goal { workload: "idle partitions: 1,000", figure: RESIDENT, bound: Bound::Below(16.0) },
    Goal { workload: "idle partitions: 10,000", figure: RESIDENT, bound: Bound::Below(40.0) },
    Goal { workload: "idle partitions: 1", figure: START, bound: Bound::Below(12.0) },
    Goal { workload: "idle partitions: 1,000", figure: START, bound: Bound::Below(100.0) },
    Goal { workload: "idle partitions: 10,000", figure: START, bound: Bound::Below(400.0) },
    Goal { workload: "idle partitions: 10,000", figure: "idle CPU", bound: Bound::Below(0.5) },
];

/// Of the part `recovery`: with 10 GB the goals are 1 s and 3 s, these are for the 2 GB of a run.
pub const RECOVERY: &[Goal] = &[
    Goal { workload: WARM, figure: "every partition takes a record", bound: Bound::Below(1.0) },
    Goal { workload: COLD, figure: "every partition takes a record", bound: Bound::Below(3.0) },
];

const RESIDENT: &str = "resident memory";
const START: &str = "start to first answer";

/// One goal and what was measured for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub what: String,
    pub limit: String,
    /// `None` if it was not measured.
    pub measured: Option<f64>,
    pub met: bool,
}

/// Compares a system with the goals.
pub fn verdicts(goals: &[Goal], table: &Table, system: &str) -> Vec<Verdict> {
    goals
        .iter()
        .map(|goal| {
            let (measured, limit, met): (_, _, fn(f64, f64) -> bool) = match goal.bound {
                Bound::RatioAtMost(_) | Bound::RatioAtLeast(_) => {
                    let ratio = table.ratio(goal.workload, goal.figure, system, "floor");
                    match goal.bound {
                        Bound::RatioAtLeast(limit) => (ratio, format!(">= {limit} x floor"), |a, b| a >= b),
                        Bound::RatioAtMost(limit) | Bound::Below(limit) => {
                            (ratio, format!("<= {limit} x floor"), |a, b| a <= b)
                        }
                    }
                }
                Bound::Below(limit) => {
                    let unit = table.unit(goal.workload, goal.figure).unwrap_or_default();
                    (table.median(goal.workload, goal.figure, system), format!("< {limit} {unit}"), |a, b| {
                        a < b
                    })
                }
            };
            let (Bound::RatioAtMost(bound) | Bound::RatioAtLeast(bound) | Bound::Below(bound)) = goal.bound;
            Verdict {
                what: format!("{}: {}", goal.workload, goal.figure),
                limit,
                measured,
                met: measured.is_some_and(|value| met(value, bound)),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Metric;

    #[test]
    fn goals_compare_within_rounds() {
        let mut table = Table::default();
        for (round, (floor, milena)) in [(5.0, 9.0), (10.0, 30.0), (7.0, 10.5)].into_iter().enumerate() {
            table.add(ONE_IN_FLIGHT, "floor", round, &[Metric::new("CPU per request", "CPU us", floor)]);
            table.add(ONE_IN_FLIGHT, "milena", round, &[Metric::new("CPU per request", "CPU us", milena)]);
        }
        table.add("start", "milena", 0, &[Metric::new("first answer", "ms", 20.0)]);
        let verdicts = verdicts(SPEED, &table, "milena");
        assert_eq!(verdicts[0].measured, Some(1.8));
        assert!(verdicts[0].met);
        assert_eq!((verdicts[4].measured, verdicts[4].met), (Some(20.0), false));
        assert_eq!((verdicts[5].measured, verdicts[5].met), (None, false));
    }
}
