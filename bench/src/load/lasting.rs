//! The same load for a long time, while retention deletes what is old: does anything creep up?

use std::time::Duration;

use super::{Target, end_to_end};
use crate::{
    Failure, Result,
    measure::{Metric, median, process::Meter},
    wire::connection::Connection,
};

/// Settings of the topic: a few minutes' bytes stay.
pub const CONFIGS: &[(&str, &str)] = &[("retention.bytes", "1073741824"), ("segment.bytes", "67108864")];

const P99: &str = "p99";
const MEMORY: &str = "resident memory";
const CPU: &str = "CPU";
/// The median of the last quarter to that of the first.
pub const P99_GROWTH: &str = "p99, end : begin";
pub const MEMORY_GROWTH: &str = "resident memory, end : begin";

/// 40,000 messages of 1 KiB a second in batches of 40, minute after minute.
fn options(topic: &str, duration: Duration) -> end_to_end::Options {
    end_to_end::Options {
        topic: topic.to_owned(),
        rate: 40_000,
        records_per_batch: 40,
        record_size: 1024,
        acks: 1,
        duration,
    }
}

/// The figures of each minute, which are told when it is over, and then those of all together.
pub fn run(
    target: Target,
    minutes: usize,
    told: impl Fn(usize, &[Metric]),
) -> Result<(Vec<Vec<Metric>>, Vec<Metric>)> {
    let topic = "bench-lasting";
    let mut connection = Connection::open(target.address)?;
    connection.create_topic(topic, 1, CONFIGS)?;
    let mut each = Vec::new();
    for minute in 1..=minutes {
        let meter = Meter::start(target.servers)?;
        let delivered = end_to_end::run(target, &options(topic, Duration::from_secs(60)))?;
        let used = meter.stop()?;
        let resident = target.servers.resident_bytes()?.map_or(f64::NAN, |bytes| bytes as f64);
        let metrics = vec![
            Metric::new(P99, "us", delivered.latency.micros(0.99)),
            Metric::new(MEMORY, "MB", resident / 1e6),
            Metric::new(CPU, "%", used.server_cpu_s / used.wall_s * 100.0),
        ];
        told(minute, &metrics);
        each.push(metrics);
    }
    // The connection of the beginning may have been idle for longer than the server allows.
    Connection::open(target.address)?.delete_topic(topic)?;
    let worst = |figure| values(&each, figure).into_iter().fold(f64::NAN, f64::max);
    let usual = |figure| median(&values(&each, figure)).unwrap_or(f64::NAN);
    let together = vec![
        Metric::new("p99, usual minute", "us", usual(P99)),
        Metric::new("p99, worst minute", "us", worst(P99)),
        Metric::new("resident memory, most", "MB", worst(MEMORY)),
        Metric::new("CPU, usual minute", "%", usual(CPU)),
        Metric::new(P99_GROWTH, "x", growth(&each, P99)?),
        Metric::new(MEMORY_GROWTH, "x", growth(&each, MEMORY)?),
    ];
    Ok((each, together))
}

/// A figure, minute after minute.
fn values(each: &[Vec<Metric>], figure: &str) -> Vec<f64> {
    each.iter()
        .filter_map(|metrics| metrics.iter().find(|metric| metric.name == figure))
        .map(|metric| metric.value)
        .collect()
}

/// The median of a figure in the last quarter of the time to that in the first.
fn growth(each: &[Vec<Metric>], figure: &str) -> Result<f64> {
    let values = values(each, figure);
    let quarter = values.len().div_ceil(4);
    let (first, last) = (values.get(..quarter), values.get(values.len() - quarter..));
    let ratio = |first: Option<&[f64]>, last: Option<&[f64]>| Some(median(last?)? / median(first?)?);
    ratio(first, last).ok_or_else(|| Failure::new(format!("no {figure} was measured")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_compares_the_quarters() {
        let each: Vec<Vec<Metric>> = [1.0, 3.0, 9.0, 9.0, 9.0, 9.0, 4.0, 8.0]
            .map(|value| vec![Metric::new(P99, "us", value)])
            .to_vec();
        assert_eq!(growth(&each, P99).unwrap(), 3.0);
        assert_eq!(growth(&each[..1], P99).unwrap(), 1.0);
        assert!(growth(&each, MEMORY).is_err());
    }
}
