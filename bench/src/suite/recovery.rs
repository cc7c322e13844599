//! Logs that are taken up again: after a kill in mid-write, and long ones.

use std::{
    fs::{self, File},
    path::Path,
    time::Instant,
};

use rustix::fs::{Advice, fadvise};

use super::{
    restart::{LIMIT, again, millis},
    system::{System, free_port},
};
use crate::{
    Failure, Result,
    load::window,
    measure::{Metric, histogram::Histogram, process::cpu_time},
    wire::{
        batch::{self, Noise},
        connection::{Connection, expect_no_error},
        error_code, replies,
        requests::{self, FetchLimits},
    },
};

const TOPIC: &str = "bench-recovery";
/// Batches under way when the system is killed.
const UNDER_WAY: usize = 20;
/// Looks at offsets and timestamps of a long log.
const LOOKS: usize = 200;

/// Writes batches of `records` records of 1 KiB to all partitions in turn, and returns the frames.
fn fill(connection: &mut Connection, partitions: i32, records: usize, bytes: usize) -> Result<Vec<Vec<u8>>> {
    let batch = batch::build(records, 1024, &mut Noise::new(1));
    let mut frames: Vec<Vec<u8>> =
        (0..partitions).map(|partition| requests::produce(TOPIC, partition, 1, &batch)).collect();
    let (count, places) = (bytes.div_ceil(batch.len()), frames.len());
    let in_turn = |number: usize| (0, number % places);
    window::run(&mut [connection], &mut frames, count, 5, in_turn, |_, reply, id| {
        expect_no_error("Produce", replies::produce(reply, id)?.0)
    })?;
    Ok(frames)
}

/// Has every file below a directory leave the page cache, so that it is read from the disk.
fn drop_page_cache(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            drop_page_cache(&path)?;
        } else {
            let file = File::open(&path)?;
            file.sync_data()?;
            fadvise(&file, 0, None, Advice::DontNeed).map_err(std::io::Error::from)?;
        }
    }
    Ok(())
}

/// Fills partitions, kills the system while more is under way, and starts it again: how long until every partition takes a record.
pub fn after_kill(
    system: &System,
    dir: &Path,
    partitions: i32,
    bytes: usize,
    cold: bool,
) -> Result<Vec<Metric>> {
    let port = free_port()?;
    let mut running = system.start(dir, port)?;
    let mut connection = Connection::open(running.address)?;
    connection.create_topic(TOPIC, partitions, &[])?;
    let frames = fill(&mut connection, partitions, 100, bytes)?;
    for frame in frames.iter().cycle().take(UNDER_WAY) {
        connection.send(frame)?;
    }
    running.kill()?;
    drop(connection);
    if cold {
        drop_page_cache(dir)?;
    }
    let (mut running, begun, answer_ms) = again(system, dir, port)?;
    let mut connection = Connection::open(running.address)?;
    let one = batch::build(1, 100, &mut Noise::new(2));
    for partition in 0..partitions {
        let mut frame = requests::produce(TOPIC, partition, 1, &one);
        loop {
            let (reply, id) = connection.call(&mut frame)?;
            if replies::produce(reply, id)?.0 == error_code::NONE {
                break;
            }
            if begun.elapsed() > LIMIT {
                return Err(Failure::new(format!(
                    "partition {partition} takes no record after {} s",
                    LIMIT.as_secs()
                )));
            }
            std::thread::sleep(super::system::ASK_EVERY);
        }
    }
    let all_s = begun.elapsed().as_secs_f64();
    let cpu_s = cpu_time(running.pid())?.as_secs_f64();
    running.stop()?;
    Ok(vec![
        Metric::new("every partition takes a record", "s", all_s),
        Metric::new("first answer", "ms", answer_ms),
        Metric::new("CPU until then", "s", cpu_s),
    ])
}

/// A log in segments of 16 MB: starts on it, and looks into it.
pub fn length(system: &System, dir: &Path, bytes: usize) -> Result<Vec<Metric>> {
    let port = free_port()?;
    let mut running = system.start(dir, port)?;
    let mut connection = Connection::open(running.address)?;
    connection.create_topic(TOPIC, 1, &[("segment.bytes", "16777216")])?;
    fill(&mut connection, 1, 900, bytes)?;
    running.stop()?;
    let (mut running, _, clean_ms) = again(system, dir, port)?;
    let mut connection = Connection::open(running.address)?;
    connection.await_partitions(TOPIC, 1, Instant::now() + LIMIT)?;
    let end = connection.latest_offset(TOPIC, 0)?;
    let mut noise = Noise::new(3);
    let mut looks = |from: i64, to: i64| -> Result<f64> {
        let mut latency = Histogram::default();
        for _ in 0..LOOKS {
            let offset = from + (noise.next() % (to - from).max(1) as u64) as i64;
            let limits = FetchLimits { max_wait_ms: 0, min_bytes: 1, max_bytes: 65_536 };
            let mut frame = requests::fetch(TOPIC, 0, offset, limits);
            let begun = Instant::now();
            let (reply, id) = connection.call(&mut frame)?;
            latency.record(begun.elapsed());
            expect_no_error("Fetch", replies::fetch(reply, id)?.error)?;
        }
        Ok(latency.micros(0.5))
    };
    let (head_us, middle_us) = (looks(end - end / 100, end)?, looks(end / 4, end * 3 / 4)?);
    let mut latency = Histogram::default();
    for _ in 0..LOOKS {
        // All records have the time of their batch, which was built once: the first of them is looked for.
        let begun = Instant::now();
        connection.offset_for_time(TOPIC, 0, 1)?;
        latency.record(begun.elapsed());
    }
    running.kill()?;
    let (mut running, begun, _) = again(system, dir, port)?;
    let mut connection = Connection::open(running.address)?;
    connection.await_partitions(TOPIC, 1, begun + LIMIT)?;
    let unclean_ms = millis(begun);
    running.stop()?;
    Ok(vec![
        Metric::new("clean start to first answer", "ms", clean_ms),
        Metric::new("unclean start until it answers", "ms", unclean_ms),
        Metric::new("fetch near the end: p50", "us", head_us),
        Metric::new("fetch in the middle: p50", "us", middle_us),
        Metric::new("offset by time: p50", "us", latency.micros(0.5)),
    ])
}
