//! The same load for a long time, while retention deletes what is old: does anything creep up?

use std::time::Duration;

use super::{Target, end_to_end};
use crate::{
    Failure, Result,
    measure::{Metric, median},
    wire::connection::Connection,
};

/// Settings of the topic: a few minutes' bytes stay.
pub const CONFIGS: &[(&str, &str)] = &[("retention.bytes", "1073741824"), ("segment.bytes", "67108864")];

const P99: &str = "p99";
const MEMORY: &str = "resident memory";
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

/// The figures of each minute, and then those of all together.
pub fn run(target: Target, minutes: usize) -> Result<(Vec<Vec<Metric>>, Vec<Metric>)> {
    let topic = "bench-lasting";
    let mut connection = Connection::open(target.address)?;
    connection.create_topic(topic, 1, CONFIGS)?;
    let mut each = Vec::new();
    for _ in 0..minutes {
        let delivered = end_to_end::run(target, &options(topic, Duration::from_secs(60)))?;
        let resident = target.servers.resident_bytes()?.map_or(f64::NAN, |bytes| bytes as f64);
        each.push(vec![
            Metric::new(P99, "us", delivered.latency.micros(0.99)),
            Metric::new(MEMORY, "MB", resident / 1e6),
        ]);
    }
    // The connection of the beginning may have been idle for longer than the server allows.
    Connection::open(target.address)?.delete_topic(topic)?;
    let together = vec![
        Metric::new(P99_GROWTH, "x", growth(&each, P99)?),
        Metric::new(MEMORY_GROWTH, "x", growth(&each, MEMORY)?),
    ];
    Ok((each, together))
}

/// The median of a figure in the last quarter of the time to that in the first.
fn growth(each: &[Vec<Metric>], figure: &str) -> Result<f64> {
    let values: Vec<f64> = each
        .iter()
        .filter_map(|metrics| metrics.iter().find(|metric| metric.name == figure))
        .map(|metric| metric.value)
        .collect();
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
