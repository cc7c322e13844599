//! End to end: an open loop of sends, and a consumer that waits in Fetch on a connection of its own.
//!
//! A latency counts from the moment the send was due if the generator was held up by the send before, else from the
//! moment it was sent: a slow server cannot hide by slowing the generator down (coordinated omission), and a timer
//! that fires late is not put on the server's account.

use std::{
    num::NonZero,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{Target, fetch::walk};
use crate::{
    Failure, Result,
    measure::{
        Metric,
        histogram::Histogram,
        process::{Meter, Usage},
    },
    wire::{
        batch::{self, Noise},
        connection::{Connection, expect_no_error},
        replies,
        requests::{self, FetchLimits},
    },
};

/// Time for the consumer's first fetch to reach the server before the first send.
const HEAD_START: Duration = Duration::from_millis(20);

#[derive(Debug, Clone)]
pub struct Options {
    pub topic: String,
    /// Messages per second.
    pub rate: usize,
    pub records_per_batch: usize,
    pub record_size: usize,
    pub acks: i16,
    pub duration: Duration,
}

impl Options {
    /// What an ordinary user does beside whatever goes wrong: a thousand records of 100 bytes a second, one at a time.
    pub fn ordinary(topic: &str, duration: Duration) -> Options {
        Options {
            topic: topic.to_owned(),
            rate: 1_000,
            records_per_batch: 1,
            record_size: 100,
            acks: 1,
            duration,
        }
    }
}

/// What came through.
pub struct Delivered {
    pub messages: usize,
    pub latency: Histogram,
    /// How late the sends were, because of timers and a busy machine.
    pub lateness: Histogram,
    pub usage: Usage,
}

impl Delivered {
    pub fn metrics(&self) -> Vec<Metric> {
        let Usage { wall_s, server_cpu_s, others_cores } = self.usage;
        vec![
            Metric::new("p50", "us", self.latency.micros(0.5)),
            Metric::new("p99", "us", self.latency.micros(0.99)),
            Metric::new("p99.9", "us", self.latency.micros(0.999)),
            Metric::new("CPU per message", "CPU us", server_cpu_s * 1e6 / self.messages as f64),
            Metric::new("rate", "msg/s", self.messages as f64 / wall_s),
            Metric::new("sender late p50", "us", self.lateness.micros(0.5)),
            Metric::new("sender late p99", "us", self.lateness.micros(0.99)),
            Metric::new("others", "cores", others_cores),
        ]
    }
}

/// Runs the load on partition 0 of a topic that exists.
pub fn run(target: Target, options: &Options) -> Result<Delivered> {
    let mut producer = Connection::open(target.address)?;
    let mut consumer = Connection::open(target.address)?;
    let start_offset = producer.latest_offset(&options.topic, 0)?;
    let per_second = options.rate as f64 / options.records_per_batch as f64;
    let batches = (per_second * options.duration.as_secs_f64()).round().max(1.0) as usize;
    let interval = Duration::from_secs_f64(1.0 / per_second);
    // Nanoseconds since `epoch` from which each batch's latency counts.
    let sent: Vec<AtomicU64> = (0..batches).map(|_| AtomicU64::new(0)).collect();
    let epoch = Instant::now();

    let mut batch_noise = Noise::new(1);
    let mut frames: Vec<Vec<u8>> = (0..16)
        .map(|_| {
            let batch = batch::build(options.records_per_batch, options.record_size, &mut batch_noise);
            requests::produce(&options.topic, 0, options.acks, &batch)
        })
        .collect();

    let meter = Meter::start(target.servers)?;
    let (latency, lateness) = thread::scope(|scope| {
        let consuming = scope.spawn(|| consume(&mut consumer, options, start_offset, epoch, &sent));
        thread::sleep(HEAD_START);
        let lateness = produce(&mut producer, &mut frames, interval, epoch, &sent);
        let latency =
            consuming.join().unwrap_or_else(|_| Err(Failure::new("the consumer's thread panicked")));
        // The producer's failure comes first: the consumer's then follows from it.
        lateness.and_then(|lateness| Ok((latency?, lateness)))
    })?;
    let usage = meter.stop()?;
    Ok(Delivered { messages: batches * options.records_per_batch, latency, lateness, usage })
}

fn produce(
    connection: &mut Connection,
    frames: &mut [Vec<u8>],
    interval: Duration,
    epoch: Instant,
    sent: &[AtomicU64],
) -> Result<Histogram> {
    // The kernel may otherwise gather timers for 50 us.
    rustix::thread::set_current_timer_slack(NonZero::new(1)).map_err(std::io::Error::from)?;
    let mut lateness = Histogram::default();
    let mut acknowledged = 0;
    let begun = Instant::now();
    let mut previous_ended = begun;
    for (number, slot) in sent.iter().enumerate() {
        let due = begun + interval * number as u32;
        let now = Instant::now();
        if let Some(wait) = due.checked_duration_since(now) {
            thread::sleep(wait);
        }
        let now = Instant::now();
        let counts_from = if previous_ended > due { due } else { now };
        lateness.record(now.saturating_duration_since(due));
        slot.store((counts_from - epoch).as_nanos() as u64, Ordering::Release);
        let count = frames.len();
        let frame = &mut frames[number % count];
        requests::set_correlation_id(frame, number as i32);
        connection.send(frame)?;
        previous_ended = Instant::now();
        // Acknowledgements are taken without waiting, after the send: no third thread to be woken for them.
        while connection.poll()? {
            take_acknowledgement(connection, &mut acknowledged)?;
        }
    }
    while acknowledged < sent.len() {
        take_acknowledgement(connection, &mut acknowledged)?;
    }
    Ok(lateness)
}

fn take_acknowledgement(connection: &mut Connection, acknowledged: &mut usize) -> Result<()> {
    let (error, _) = replies::produce(connection.receive()?, *acknowledged as i32)?;
    expect_no_error("Produce", error)?;
    *acknowledged += 1;
    Ok(())
}

fn consume(
    connection: &mut Connection,
    options: &Options,
    start_offset: i64,
    epoch: Instant,
    sent: &[AtomicU64],
) -> Result<Histogram> {
    let limits = FetchLimits { max_wait_ms: 500, min_bytes: 1, max_bytes: 1 << 20 };
    let per_batch = options.records_per_batch as i64;
    let end_offset = start_offset + sent.len() as i64 * per_batch;
    let mut latency = Histogram::default();
    let mut offset = start_offset;
    let mut last_progress = Instant::now();
    while offset < end_offset {
        let mut frame = requests::fetch(&options.topic, 0, offset, limits);
        let (reply, id) = connection.call(&mut frame)?;
        let now = (Instant::now() - epoch).as_nanos() as u64;
        let reply = replies::fetch(reply, id)?;
        expect_no_error("Fetch", reply.error)?;
        let (next_offset, _) = walk(reply.records, offset)?;
        let batches = (offset - start_offset) / per_batch..(next_offset - start_offset) / per_batch;
        for slot in &sent[batches.start as usize..batches.end as usize] {
            latency.record(Duration::from_nanos(now.saturating_sub(slot.load(Ordering::Acquire))));
        }
        if next_offset > offset {
            last_progress = Instant::now();
        } else if last_progress.elapsed() > Duration::from_secs(10) {
            return Err(Failure::new(format!("nothing came after offset {offset} of {end_offset} for 10 s")));
        }
        offset = next_offset;
    }
    if latency.count() != sent.len() as u64 {
        return Err(Failure::new(format!("{} of {} batches came", latency.count(), sent.len())));
    }
    Ok(latency)
}
