//! librdkafka as the user's view: a program of its own (`bench/client`) produces through it as fast as it can, and consumes it all.

use std::process::{Command, Stdio};

use super::Target;
use crate::{
    Failure, Result,
    measure::{
        Metric,
        process::{Meter, Usage},
    },
};

/// Produces so many records, then consumes them.
pub fn run(
    target: Target,
    topic: &str,
    program: &str,
    record_size: usize,
    records: usize,
) -> Result<Vec<Metric>> {
    // Seconds from the first record to the last, and what the whole of it took of the server.
    let job = |what: &str| -> Result<(f64, Usage)> {
        let meter = Meter::start(target.servers)?;
        let output = Command::new(program)
            .args(["run", "--library", "librdkafka-batches", "--job", what, "--topic", topic])
            .args(["--bootstrap", &target.address.to_string(), "--records", &records.to_string()])
            .args(["--size", &record_size.to_string()])
            .stdin(Stdio::null())
            .output()?;
        let usage = meter.stop()?;
        let printed = String::from_utf8_lossy(&output.stdout);
        let mut numbers = printed.split_whitespace().map(str::parse::<f64>);
        match (output.status.success(), numbers.next(), numbers.next()) {
            (true, Some(Ok(seconds)), Some(Ok(client_cpu_s))) => {
                let others_cores = (usage.others_cores - client_cpu_s / usage.wall_s).max(0.0);
                Ok((seconds, Usage { others_cores, ..usage }))
            }
            _ => Err(Failure::new(format!("{program}: {}", String::from_utf8_lossy(&output.stderr)))),
        }
    };
    let (million, gb) = (records as f64 / 1e6, (records * record_size) as f64 / 1e9);
    let (produced_s, produce) = job("produce")?;
    let (consumed_s, consume) = job("consume")?;
    Ok(vec![
        Metric::new("produced", "M msg/s", million / produced_s),
        Metric::new("CPU per GB", "CPU s/GB", produce.server_cpu_s / gb),
        Metric::new("consumed", "M msg/s", million / consumed_s),
        Metric::new("fetch CPU per GB", "CPU s/GB", consume.server_cpu_s / gb),
        Metric::new("others", "cores", produce.others_cores.max(consume.others_cores)),
    ])
}
