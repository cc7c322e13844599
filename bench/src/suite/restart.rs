//! What a system does to take up again what it had: a coordinator its offsets.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::system::{Running, System, free_port};
use crate::{
    Result,
    load::groups::commits::Bulk,
    measure::{Metric, process::cpu_time},
    wire::connection::Connection,
};

/// No start takes longer.
const LIMIT: Duration = Duration::from_secs(120);
const TOPIC: &str = "bench-restart";

fn millis(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

/// Starts a system again on what it has; the time to its first answer.
fn again(system: &System, dir: &Path, port: u16) -> Result<(Running, Instant, f64)> {
    let begun = Instant::now();
    let mut running = system.spawn(dir, port)?;
    running.wait_for_answer()?;
    let answer_ms = millis(begun);
    Ok((running, begun, answer_ms))
}

/// Commits the offsets, then starts the system so many times, and watches how long it is until every group answers.
pub fn coordinator(system: &System, dir: &Path, bulk: Bulk, starts: usize) -> Result<Vec<Vec<Metric>>> {
    let port = free_port()?;
    let mut running = system.start(dir, port)?;
    let target = running.target();
    Connection::open(target.address)?.create_topic(TOPIC, bulk.partitions, &[])?;
    let begun = Instant::now();
    bulk.commit(target, TOPIC)?;
    let committed_s = begun.elapsed().as_secs_f64();
    running.stop()?;
    let mut found = Vec::with_capacity(starts);
    for _ in 0..starts {
        let (mut running, begun, answer_ms) = again(system, dir, port)?;
        bulk.await_loaded(&mut Connection::open(running.address)?, TOPIC, begun + LIMIT)?;
        let loaded_ms = millis(begun);
        let cpu_ms = cpu_time(running.pid())?.as_secs_f64() * 1e3;
        running.stop()?;
        found.push(vec![
            Metric::new("first answer", "ms", answer_ms),
            Metric::new("every group answers", "ms", loaded_ms),
            Metric::new("CPU until then", "ms", cpu_ms),
            Metric::new("committed in bulk", "1/s", offsets(bulk) / committed_s),
        ]);
    }
    Ok(found)
}

fn offsets(bulk: Bulk) -> f64 {
    bulk.groups as f64 * f64::from(bulk.partitions)
}
