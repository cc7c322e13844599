//! Produce as fast as the acknowledgements allow: a fixed number of requests in flight on each connection.

use std::{
    collections::VecDeque,
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use super::{Target, reserve::Reserve};
use crate::{
    Failure, Result,
    measure::{
        Metric,
        histogram::Histogram,
        process::{Meter, Usage},
    },
    wire::{
        batch::{self, Noise},
        codec::Codec,
        connection::{Connection, expect_no_error},
        replies, requests,
    },
};

/// Distinct frames per connection; they are sent again and again.
const MAX_FRAMES: usize = 16;
/// No more prebuilt bytes than this per connection, so that the generator's own cache misses stay small.
const MAX_FRAME_BYTES: usize = 4 << 20;

/// When a load ends.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// So many requests on each connection.
    Requests(usize),
    /// So much time.
    Elapsed(Duration),
}

#[derive(Debug, Clone)]
pub struct Options {
    pub topic: String,
    pub partitions: i32,
    pub connections: usize,
    pub in_flight: usize,
    pub acks: i16,
    pub records_per_batch: usize,
    pub record_size: usize,
    /// Values like text, in this codec; random bytes, not compressed, where there is none.
    pub codec: Option<Codec>,
    pub until: Until,
    /// Memory that the server gets back as it is sent as much.
    pub reserve: Option<Arc<Reserve>>,
}

/// What was produced.
pub struct Produced {
    pub requests: usize,
    pub records: usize,
    pub payload_bytes: usize,
    pub wire_bytes: usize,
    pub latency: Histogram,
    pub usage: Usage,
}

impl Produced {
    pub fn metrics(&self) -> Vec<Metric> {
        let Usage { wall_s, server_cpu_s, others_cores } = self.usage;
        let payload = self.payload_bytes as f64;
        vec![
            Metric::new("throughput", "MB/s", payload / 1e6 / wall_s),
            Metric::new("records", "M msg/s", self.records as f64 / 1e6 / wall_s),
            Metric::new("requests", "requests/s", self.requests as f64 / wall_s),
            Metric::new("CPU per GB", "CPU s/GB", server_cpu_s / (payload / 1e9)),
            Metric::new("CPU per wire GB", "CPU s/GB", server_cpu_s / (self.wire_bytes as f64 / 1e9)),
            Metric::new("CPU per request", "CPU us", server_cpu_s * 1e6 / self.requests as f64),
            Metric::new("p50", "us", self.latency.micros(0.5)),
            Metric::new("p99", "us", self.latency.micros(0.99)),
            Metric::new("others", "cores", others_cores),
        ]
    }
}

/// Runs the load on a topic that exists.
pub fn run(target: Target, options: &Options) -> Result<Produced> {
    let connections = (0..options.connections)
        .map(|index| Producer::open(target, options, index))
        .collect::<Result<Vec<_>>>()?;
    let meter = Meter::start(target.servers)?;
    let barrier = Barrier::new(connections.len());
    let results: Vec<Result<Sent>> = thread::scope(|scope| {
        let running: Vec<_> = connections
            .into_iter()
            .map(|producer| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    producer.run(options)
                })
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(Failure::new("a producer's thread panicked"))))
            .collect()
    });
    let usage = meter.stop()?;
    let mut latency = Histogram::default();
    let (mut requests, mut wire_bytes) = (0, 0);
    for result in results {
        let sent = result?;
        requests += sent.requests;
        wire_bytes += sent.bytes;
        latency.add(&sent.latency);
    }
    let records = requests * options.records_per_batch;
    let payload_bytes = records * options.record_size;
    Ok(Produced { requests, records, payload_bytes, wire_bytes, latency, usage })
}

/// What one connection has sent.
#[derive(Default)]
struct Sent {
    requests: usize,
    bytes: usize,
    latency: Histogram,
}

/// One connection, which sends to one partition.
struct Producer {
    connection: Connection,
    frames: Vec<Vec<u8>>,
    partition: i32,
    next_offset: i64,
    /// Whether nobody else appends to the partition, so that the offsets must follow each other.
    alone: bool,
}

impl Producer {
    fn open(target: Target, options: &Options, index: usize) -> Result<Self> {
        let mut connection = Connection::open(target.address)?;
        let partition = (index % options.partitions as usize) as i32;
        let mut noise = Noise::new(index as u64 + 1);
        let mut frame = || {
            let (records, size) = (options.records_per_batch, options.record_size);
            let batch = match options.codec {
                Some(codec) => batch::build_text(records, size, codec, &mut noise),
                None => batch::build(records, size, &mut noise),
            };
            requests::produce(&options.topic, partition, options.acks, &batch)
        };
        let mut frames = vec![frame()];
        let count = (MAX_FRAME_BYTES / frames[0].len()).clamp(2, MAX_FRAMES);
        frames.resize_with(count, frame);
        let next_offset = connection.latest_offset(&options.topic, partition)?;
        let alone = options.connections <= options.partitions as usize;
        Ok(Self { connection, frames, partition, next_offset, alone })
    }

    fn run(mut self, options: &Options) -> Result<Sent> {
        let begun = Instant::now();
        let goes_on = |sent: usize| match options.until {
            Until::Requests(count) => sent < count,
            Until::Elapsed(limit) => begun.elapsed() < limit,
        };
        let mut sent = Sent::default();
        let mut in_flight = VecDeque::with_capacity(options.in_flight);
        if options.acks == 0 {
            while goes_on(sent.requests) {
                self.send(&mut sent, options)?;
            }
            self.wait_for_offset(options, sent.requests)?;
            return Ok(sent);
        }
        loop {
            while in_flight.len() < options.in_flight && goes_on(sent.requests) {
                in_flight.push_back((sent.requests, Instant::now()));
                self.send(&mut sent, options)?;
            }
            if in_flight.is_empty() {
                return Ok(sent);
            }
            // Every reply that is here already, then as many sends.
            while let Some((number, at)) = in_flight.pop_front() {
                let (error, base_offset) = replies::produce(self.connection.receive()?, number as i32)?;
                sent.latency.record(at.elapsed());
                expect_no_error("Produce", error)?;
                self.check_offset(base_offset, options.records_per_batch)?;
                if !self.connection.has_reply() {
                    break;
                }
            }
        }
    }

    fn send(&mut self, sent: &mut Sent, options: &Options) -> Result<()> {
        let (number, count) = (sent.requests, self.frames.len());
        let frame = &mut self.frames[number % count];
        if let Some(reserve) = &options.reserve {
            reserve.give(frame.len());
        }
        requests::set_correlation_id(frame, number as i32);
        sent.requests += 1;
        sent.bytes += frame.len();
        self.connection.send(frame)
    }

    fn check_offset(&mut self, base_offset: i64, records: usize) -> Result<()> {
        let expected = self.next_offset;
        if base_offset < expected || (self.alone && base_offset != expected) {
            return Err(Failure::new(format!(
                "partition {} acknowledged offset {base_offset} where {expected} comes next",
                self.partition
            )));
        }
        self.next_offset = base_offset + records as i64;
        Ok(())
    }

    /// Without acknowledgements, the end of the work shows in the log's end.
    fn wait_for_offset(&mut self, options: &Options, sent: usize) -> Result<()> {
        let expected = self.next_offset + (sent * options.records_per_batch) as i64;
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.connection.latest_offset(&options.topic, self.partition)? < expected {
            if Instant::now() > deadline {
                return Err(Failure::new(format!(
                    "partition {} never reached offset {expected}",
                    self.partition
                )));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}
