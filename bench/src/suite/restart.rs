//! What a system does to take up again what it had: a coordinator its offsets, a broker its partitions.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use super::system::{Running, System, free_port};
use crate::{
    Result,
    load::groups::commits::Bulk,
    measure::{
        Metric,
        process::{cpu_time, resident_bytes},
    },
    wire::connection::Connection,
};

/// No start takes longer.
pub const LIMIT: Duration = Duration::from_secs(120);
const TOPIC: &str = "bench-restart";

pub fn millis(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

/// Starts a system again on what it has; the time to its first answer.
pub fn again(system: &System, dir: &Path, port: u16) -> Result<(Running, Instant, f64)> {
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

/// How long an idle server is watched, after some time to come to rest.
const IDLE: Duration = Duration::from_secs(3);

/// What a server that nobody asks for anything takes.
fn idle(running: &Running) -> Result<(f64, f64)> {
    std::thread::sleep(Duration::from_secs(1));
    let before = cpu_time(running.pid())?;
    std::thread::sleep(IDLE);
    let percent = (cpu_time(running.pid())? - before).as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    Ok((resident_bytes(running.pid())? as f64 / 1e6, percent))
}

/// Makes so many partitions, in topics of a thousand at most; then starts the system so many times on them.
pub fn partitions(system: &System, dir: &Path, count: i32, starts: usize) -> Result<Vec<Vec<Metric>>> {
    let port = free_port()?;
    let mut running = system.start(dir, port)?;
    let mut connection = Connection::open(running.address)?;
    let topics: Vec<(String, i32)> = (0..count)
        .step_by(1_000)
        .map(|first| (format!("bench-partitions-{}", first / 1_000), (count - first).min(1_000)))
        .collect();
    let begun = Instant::now();
    for (topic, partitions) in &topics {
        connection.create_topic(topic, *partitions, &[])?;
    }
    let created_s = begun.elapsed().as_secs_f64();
    let (created_mb, _) = idle(&running)?;
    running.stop()?;
    let mut found = Vec::with_capacity(starts);
    for _ in 0..starts {
        let (mut running, begun, answer_ms) = again(system, dir, port)?;
        let mut connection = Connection::open(running.address)?;
        for (topic, partitions) in &topics {
            connection.await_partitions(topic, *partitions, begun + LIMIT)?;
        }
        let all_ms = millis(begun);
        let start_cpu_ms = cpu_time(running.pid())?.as_secs_f64() * 1e3;
        let (resident_mb, idle_percent) = idle(&running)?;
        let descriptors = fs::read_dir(format!("/proc/{}/fd", running.pid()))?.count();
        let asked = Instant::now();
        let bytes = connection.metadata_of_all()?;
        let metadata_ms = millis(asked);
        let begun = Instant::now();
        running.stop()?;
        found.push(vec![
            Metric::new("resident memory", "MB", resident_mb),
            Metric::new("idle CPU", "%", idle_percent),
            Metric::new("start to first answer", "ms", answer_ms),
            Metric::new("start until all partitions answer", "ms", all_ms),
            Metric::new("start: CPU", "ms", start_cpu_ms),
            Metric::new("stop", "ms", millis(begun)),
            Metric::new("create", "ms per partition", created_s * 1e3 / f64::from(count)),
            Metric::new("resident memory after creation", "MB", created_mb),
            Metric::new("open files", "files", descriptors as f64),
            Metric::new("metadata", "ms", metadata_ms),
            Metric::new("metadata size", "KB", bytes as f64 / 1e3),
        ]);
    }
    Ok(found)
}
