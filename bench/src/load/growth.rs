//! Loads of which there is more and more: partitions, connections, readers, producers.

use std::{thread, time::Duration};

use super::{Target, fetch, reserve::Reserve, window};
use crate::{
    Failure, Result,
    measure::{
        Metric,
        process::{Meter, Servers},
    },
    wire::{
        batch::{self, Noise},
        connection::{Connection, expect_no_error},
        replies, requests,
    },
};

const BATCH: usize = 16_384;
const RECORD: usize = 100;
/// What a partition's first batch leaves to be done is done by then: brokers write the epoch of its leader, and the high watermarks, every
/// five seconds.
const AFTERMATH: Duration = Duration::from_secs(7);

/// Batches of 16 KB to many partitions in turn, over one connection with five in flight. Each has its first one before.
pub fn partitions(
    target: Target,
    topic: &str,
    partitions: i32,
    bytes: usize,
    reserve: &Reserve,
) -> Result<Vec<Metric>> {
    let records = batch::records_that_fit(BATCH, RECORD);
    let mut noise = Noise::new(1);
    let batch = batch::build(records, RECORD, &mut noise);
    let mut frames: Vec<Vec<u8>> =
        (0..partitions).map(|partition| requests::produce(topic, partition, 1, &batch)).collect();
    let mut next_offsets = vec![0; partitions as usize];
    let mut connection = Connection::open(target.address)?;
    let count = bytes / (records * RECORD);
    let places = frames.len();
    let in_turn = |number: usize| (0, number % places);
    let mut check = |number: usize, reply: &[u8], id: i32| {
        let (error, offset) = replies::produce(reply, id)?;
        expect_no_error("Produce", error)?;
        let next_offset = &mut next_offsets[number % places];
        if offset != *next_offset {
            return Err(Failure::new(format!("acknowledged offset {offset} where {next_offset} comes next")));
        }
        *next_offset += records as i64;
        Ok(())
    };
    // A partition's first batch makes its files: that is another figure than what an active one costs.
    window::run(&mut [&mut connection], &mut frames, places, 5, in_turn, &mut check)?;
    thread::sleep(AFTERMATH);
    let length = frames[0].len();
    let out_of_reserve = |number: usize| {
        reserve.give(length);
        in_turn(number)
    };
    let meter = Meter::start(target.servers)?;
    let latency = window::run(&mut [&mut connection], &mut frames, count, 5, out_of_reserve, &mut check)?;
    let usage = meter.stop()?;
    let payload = (count * records * RECORD) as f64;
    Ok(vec![
        Metric::new("CPU per GB", "CPU s/GB", usage.server_cpu_s / (payload / 1e9)),
        Metric::new("throughput", "MB/s", payload / 1e6 / usage.wall_s),
        Metric::new("p99", "us", latency.micros(0.99)),
        Metric::new("others", "cores", usage.others_cores),
    ])
}

/// Requests of one record over many connections in turn, sixteen under way.
pub fn connections(target: Target, topic: &str, connections: usize, count: usize) -> Result<Vec<Metric>> {
    let batch = batch::build(1, RECORD, &mut Noise::new(1));
    let mut frames = vec![requests::produce(topic, 0, 1, &batch); connections.min(16)];
    let before = target.servers.resident_bytes()?;
    let mut open =
        (0..connections).map(|_| Connection::open(target.address)).collect::<Result<Vec<Connection>>>()?;
    let mut open: Vec<&mut Connection> = open.iter_mut().collect();
    let places = frames.len();
    let meter = Meter::start(target.servers)?;
    let in_turn = |number: usize| (number % connections, number % places);
    let latency =
        window::run(&mut open, &mut frames, count, connections.min(16), in_turn, |_, reply, id| {
            expect_no_error("Produce", replies::produce(reply, id)?.0)
        })?;
    let usage = meter.stop()?;
    let grown_kib = match (before, target.servers.resident_bytes()?) {
        (Some(before), Some(after)) => (after as f64 - before as f64) / 1024.0 / connections as f64,
        _ => f64::NAN,
    };
    Ok(vec![
        Metric::new("CPU per request", "CPU us", usage.server_cpu_s * 1e6 / count as f64),
        Metric::new("requests", "requests/s", count as f64 / usage.wall_s),
        Metric::new("p99", "us", latency.micros(0.99)),
        Metric::new("memory per connection", "KiB", grown_kib),
        Metric::new("others", "cores", usage.others_cores),
    ])
}

/// Readers of one partition, all at once, each from its start to its end.
pub fn readers(target: Target, topic: &str, readers: usize, bytes: usize) -> Result<Vec<Metric>> {
    let records = batch::records_that_fit(1_000_000, 1024);
    let batch = batch::build(records, 1024, &mut Noise::new(1));
    let mut frame = requests::produce(topic, 0, 1, &batch);
    let mut connection = Connection::open(target.address)?;
    for _ in 0..bytes.div_ceil(batch.len()) {
        let (reply, id) = connection.call(&mut frame)?;
        expect_no_error("Produce", replies::produce(reply, id)?.0)?;
    }
    // The server's process is measured over all of them together.
    let one = Target { servers: Servers::default(), ..target };
    let meter = Meter::start(target.servers)?;
    let read: Vec<Result<usize>> = thread::scope(|scope| {
        let running: Vec<_> = (0..readers)
            .map(|_| scope.spawn(move || Ok(fetch::run(one, topic, 0, 1 << 20)?.bytes)))
            .collect();
        let joined = running.into_iter().map(|thread| thread.join());
        joined.map(|read| read.unwrap_or_else(|_| Err(Failure::new("a reader's thread panicked")))).collect()
    });
    let usage = meter.stop()?;
    let delivered = read.into_iter().sum::<Result<usize>>()? as f64;
    Ok(vec![
        Metric::new("CPU per delivered GB", "CPU s/GB", usage.server_cpu_s / (delivered / 1e9)),
        Metric::new("delivered", "MB/s", delivered / 1e6 / usage.wall_s),
        Metric::new("others", "cores", usage.others_cores),
    ])
}
