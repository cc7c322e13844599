//! What milena must reach, beside the floor server in the same run.

use crate::load::{
    hostile::{MOST_MEMORY, P99_RATIO},
    lasting::{MEMORY_GROWTH, P99_GROWTH},
};

use super::{
    cluster,
    command::{self, COLD, STALLED, WARM},
    report::Table,
    workload::{
        BATCHES_100, BATCHES_1024, END_TO_END_1K, END_TO_END_20K, END_TO_END_100K, FIVE_IN_FLIGHT,
        HEARTBEAT_CPU, JEMALLOC_100, LARGE_REQUESTS, LIBRDKAFKA_100, ONE_BYTE, ONE_GROUP, ONE_IN_FLIGHT,
        SMALL_BATCHES, SYNCED_1, SYNCED_16, SYNCED_64, SYNCED_BATCHES, TEN_JOIN, TEN_LEAVE, UNREAD_ANSWERS,
        UNREAD_FETCHES,
    },
};

/// How a goal is compared.
#[derive(Debug, Clone, Copy)]
enum Bound {
    /// The ratio to the floor is at most this.
    RatioAtMost(f64),
    /// The ratio to the floor is at least this.
    RatioAtLeast(f64),
    /// The ratio to Apache Kafka is at most this.
    ApacheAtMost(f64),
    /// The ratio to Apache Kafka is at least this.
    ApacheAtLeast(f64),
    /// The median is at most so many times that of another workload.
    TimesAtMost(&'static str, f64),
    /// The value itself is below this.
    Below(f64),
    /// The value itself is at least this.
    AtLeast(f64),
}

/// One figure and what it must be.
pub struct Goal {
    workload: &'static str,
    figure: &'static str,
    bound: Bound,
}

/// Of the part `speed`.
pub const SPEED: &[Goal] = &[
    Goal { workload: BATCHES_100, figure: "records", bound: Bound::RatioAtLeast(0.8) },
    Goal { workload: BATCHES_100, figure: "CPU per GB", bound: Bound::RatioAtMost(1.4) },
    Goal { workload: BATCHES_1024, figure: "throughput", bound: Bound::RatioAtLeast(0.7) },
    Goal { workload: BATCHES_1024, figure: "CPU per GB", bound: Bound::RatioAtMost(1.6) },
    Goal { workload: SMALL_BATCHES, figure: "records", bound: Bound::RatioAtLeast(0.7) },
    Goal { workload: SMALL_BATCHES, figure: "CPU per GB", bound: Bound::RatioAtMost(1.5) },
    Goal { workload: BATCHES_1024, figure: "fetch throughput", bound: Bound::RatioAtLeast(1.0) },
    Goal { workload: BATCHES_1024, figure: "fetch CPU per GB", bound: Bound::RatioAtMost(1.0) },
    Goal { workload: ONE_IN_FLIGHT, figure: "CPU per request", bound: Bound::RatioAtMost(1.5) },
    Goal { workload: ONE_IN_FLIGHT, figure: "p50", bound: Bound::RatioAtMost(1.25) },
    Goal { workload: ONE_IN_FLIGHT, figure: "p99", bound: Bound::RatioAtMost(1.3) },
    Goal { workload: FIVE_IN_FLIGHT, figure: "CPU per request", bound: Bound::RatioAtMost(1.5) },
    Goal { workload: FIVE_IN_FLIGHT, figure: "requests", bound: Bound::RatioAtLeast(0.7) },
    Goal { workload: END_TO_END_1K, figure: "p50", bound: Bound::RatioAtMost(1.25) },
    Goal { workload: END_TO_END_1K, figure: "p99", bound: Bound::RatioAtMost(1.3) },
    Goal { workload: END_TO_END_1K, figure: "p99.9", bound: Bound::RatioAtMost(1.5) },
    Goal { workload: END_TO_END_20K, figure: "p50", bound: Bound::RatioAtMost(1.25) },
    Goal { workload: END_TO_END_20K, figure: "p99", bound: Bound::RatioAtMost(1.3) },
    Goal { workload: END_TO_END_20K, figure: "p99.9", bound: Bound::RatioAtMost(1.5) },
    Goal { workload: END_TO_END_100K, figure: "p50", bound: Bound::RatioAtMost(1.25) },
    Goal { workload: END_TO_END_100K, figure: "p99", bound: Bound::RatioAtMost(1.3) },
    Goal { workload: END_TO_END_100K, figure: "p99.9", bound: Bound::RatioAtMost(1.5) },
    Goal { workload: END_TO_END_1K, figure: "CPU per message", bound: Bound::RatioAtMost(1.4) },
    Goal { workload: SYNCED_1, figure: "requests", bound: Bound::RatioAtLeast(0.8) },
    Goal { workload: SYNCED_1, figure: "p99", bound: Bound::RatioAtMost(1.5) },
    Goal { workload: SYNCED_16, figure: "requests", bound: Bound::RatioAtLeast(0.8) },
    Goal { workload: SYNCED_16, figure: "p99", bound: Bound::RatioAtMost(1.5) },
    Goal { workload: SYNCED_64, figure: "requests", bound: Bound::RatioAtLeast(0.8) },
    Goal { workload: SYNCED_64, figure: "p99", bound: Bound::RatioAtMost(1.5) },
    Goal { workload: SYNCED_BATCHES, figure: "throughput", bound: Bound::RatioAtLeast(0.8) },
    Goal { workload: "start", figure: "first answer", bound: Bound::Below(12.0) },
    Goal { workload: "idle", figure: "resident memory", bound: Bound::Below(12.0) },
    Goal { workload: "idle", figure: "CPU", bound: Bound::Below(0.1) },
    Goal { workload: "after load", figure: "resident memory", bound: Bound::Below(30.0) },
    Goal { workload: "idle connections", figure: "CPU per connection", bound: Bound::Below(40.0) },
    Goal { workload: "idle connections", figure: "memory per connection", bound: Bound::Below(10.0) },
];

/// Of the part `user`.
pub const USER: &[Goal] = &[
    Goal { workload: LIBRDKAFKA_100, figure: "produced", bound: Bound::RatioAtLeast(0.95) },
    Goal { workload: LIBRDKAFKA_100, figure: "consumed", bound: Bound::RatioAtLeast(0.8) },
    Goal { workload: JEMALLOC_100, figure: "produced", bound: Bound::RatioAtLeast(0.95) },
    Goal { workload: JEMALLOC_100, figure: "consumed", bound: Bound::RatioAtLeast(0.8) },
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
    Goal {
        workload: "active partitions: 5,000",
        figure: "CPU per GB",
        bound: Bound::TimesAtMost("active partitions: 1", 1.6),
    },
    Goal { workload: "idle connections: 5,000", figure: "memory per connection", bound: Bound::Below(10.0) },
    Goal {
        workload: "active connections: 1,000",
        figure: "CPU per request",
        bound: Bound::TimesAtMost("active connections: 1", 2.0),
    },
    Goal {
        workload: "readers of one log: 16",
        figure: "CPU per delivered GB",
        bound: Bound::TimesAtMost("readers of one log: 1", 1.25),
    },
    Goal {
        workload: "producers of small batches: 1",
        figure: "throughput",
        bound: Bound::ApacheAtLeast(1.0),
    },
    Goal {
        workload: "producers of small batches: 50",
        figure: "throughput",
        bound: Bound::ApacheAtLeast(1.0),
    },
    Goal {
        workload: "producers of small batches: 400",
        figure: "throughput",
        bound: Bound::ApacheAtLeast(1.0),
    },
];

/// Of the part `lasting`.
pub const LASTING: &[Goal] = &[
    Goal { workload: command::LASTING, figure: P99_GROWTH, bound: Bound::Below(1.5) },
    Goal { workload: command::LASTING, figure: MEMORY_GROWTH, bound: Bound::Below(1.1) },
];

/// Of the part `recovery`, with 10 GB.
pub const RECOVERY: &[Goal] = &[
    Goal { workload: WARM, figure: "every partition takes a record", bound: Bound::Below(1.0) },
    Goal { workload: COLD, figure: "every partition takes a record", bound: Bound::Below(3.0) },
];

/// Of the part `cluster`.
pub const CLUSTER: &[Goal] = &[
    Goal { workload: cluster::BATCHES, figure: "throughput", bound: Bound::AtLeast(250.0) },
    Goal { workload: cluster::BATCHES, figure: "CPU per GB", bound: Bound::Below(5.0) },
    Goal { workload: cluster::ONE_RECORD, figure: "p50", bound: Bound::ApacheAtMost(0.5) },
    Goal { workload: cluster::ONE_RECORD, figure: "p99", bound: Bound::ApacheAtMost(0.5) },
    Goal { workload: cluster::ONE_RECORD, figure: "CPU per request", bound: Bound::ApacheAtMost(0.2) },
    Goal { workload: cluster::END_TO_END_1K, figure: "p99", bound: Bound::Below(5_000.0) },
    Goal { workload: cluster::END_TO_END_20K, figure: "p99", bound: Bound::Below(10_000.0) },
    Goal { workload: cluster::STOPPED, figure: cluster::GAP, bound: Bound::Below(150.0) },
    Goal { workload: cluster::KILLED, figure: cluster::GAP, bound: Bound::Below(1_000.0) },
];

/// Of the part `hostile`: others notice little, and the memory of all requests stays within what is allowed.
pub const HOSTILE: &[Goal] = &[
    Goal { workload: ONE_BYTE, figure: P99_RATIO, bound: Bound::Below(2.0) },
    Goal { workload: UNREAD_FETCHES, figure: P99_RATIO, bound: Bound::Below(2.0) },
    Goal { workload: UNREAD_ANSWERS, figure: P99_RATIO, bound: Bound::Below(2.0) },
    Goal { workload: LARGE_REQUESTS, figure: P99_RATIO, bound: Bound::Below(2.0) },
    Goal { workload: LARGE_REQUESTS, figure: MOST_MEMORY, bound: Bound::Below(400.0) },
    Goal { workload: STALLED, figure: P99_RATIO, bound: Bound::Below(2.0) },
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
            let ratio = |to| table.ratio(goal.workload, goal.figure, system, to);
            let value = || table.median(goal.workload, goal.figure, system);
            let unit = table.unit(goal.workload, goal.figure).unwrap_or_default();
            let at_most: fn(f64, f64) -> bool = |a, b| a <= b;
            let at_least: fn(f64, f64) -> bool = |a, b| a >= b;
            let (measured, limit, met, bound) = match goal.bound {
                Bound::RatioAtMost(x) => (ratio("floor"), format!("<= {x} x floor"), at_most, x),
                Bound::RatioAtLeast(x) => (ratio("floor"), format!(">= {x} x floor"), at_least, x),
                Bound::ApacheAtMost(x) => (ratio("apache"), format!("<= {x} x apache"), at_most, x),
                Bound::ApacheAtLeast(x) => (ratio("apache"), format!(">= {x} x apache"), at_least, x),
                Bound::TimesAtMost(of, x) => {
                    let other = table.median(of, goal.figure, system);
                    let times = value().zip(other).map(|(value, other)| value / other);
                    (times, format!("<= {x} x \"{of}\""), at_most, x)
                }
                Bound::AtLeast(x) => (value(), format!(">= {x} {unit}"), at_least, x),
                Bound::Below(x) => {
                    let below: fn(f64, f64) -> bool = |a, b| a < b;
                    (value(), format!("< {x} {unit}"), below, x)
                }
            };
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
        table.add("start", "milena", 0, &[Metric::new("first answer", "ms", 11.0)]);
        let verdicts = verdicts(SPEED, &table, "milena");
        let verdict = |workload: &str, figure: &str| {
            let what = format!("{workload}: {figure}");
            let verdict = verdicts.iter().find(|verdict| verdict.what == what).unwrap();
            (verdict.measured, verdict.met)
        };
        assert_eq!(verdict(ONE_IN_FLIGHT, "CPU per request"), (Some(1.8), false));
        assert_eq!(verdict(ONE_IN_FLIGHT, "p50"), (None, false));
        assert_eq!(verdict("start", "first answer"), (Some(11.0), true));
    }
}
