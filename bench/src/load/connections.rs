//! Connections that only connect, ask once, and stay.

use std::time::Duration;

use super::Target;
use crate::{
    Result,
    measure::{Metric, process::Meter},
    wire::connection::Connection,
};

/// Opens `count` connections, each with one ApiVersions exchange, and keeps them until it has read the memory.
pub fn run(target: Target, count: usize) -> Result<Vec<Metric>> {
    let before = target.servers.resident_bytes()?;
    let meter = Meter::start(target.servers)?;
    let mut open = Vec::with_capacity(count);
    for _ in 0..count {
        let mut connection = Connection::open(target.address)?;
        connection.api_versions()?;
        // The generator keeps the socket alone: its own memory is not the subject.
        open.push(connection.into_stream());
    }
    let usage = meter.stop()?;
    std::thread::sleep(Duration::from_millis(200));
    let per_connection = match (before, target.servers.resident_bytes()?) {
        (Some(before), Some(after)) => (after as f64 - before as f64) / 1024.0 / count as f64,
        _ => f64::NAN,
    };
    drop(open);
    Ok(vec![
        Metric::new("connections", "1/s", count as f64 / usage.wall_s),
        Metric::new("CPU per connection", "CPU us", usage.server_cpu_s * 1e6 / count as f64),
        Metric::new("memory per connection", "KiB", per_connection),
        Metric::new("others", "cores", usage.others_cores),
    ])
}
