//! Fetch of a whole partition from its start, one request after the other, every batch checked.

use super::Target;
use crate::{
    Failure, Result,
    measure::{
        Metric,
        process::{Meter, Usage},
    },
    wire::{
        batch,
        connection::{Connection, expect_no_error},
        replies,
        requests::{self, FetchLimits},
    },
};

/// What was fetched.
pub struct Fetched {
    pub requests: usize,
    pub records: i64,
    pub bytes: usize,
    pub usage: Usage,
}

impl Fetched {
    pub fn metrics(&self) -> Vec<Metric> {
        let Usage { wall_s, server_cpu_s, others_cores } = self.usage;
        let bytes = self.bytes as f64;
        vec![
            Metric::new("throughput", "MB/s", bytes / 1e6 / wall_s),
            Metric::new("records", "M msg/s", self.records as f64 / 1e6 / wall_s),
            Metric::new("requests", "requests/s", self.requests as f64 / wall_s),
            Metric::new("CPU per GB", "CPU s/GB", server_cpu_s / (bytes / 1e9)),
            Metric::new("others", "cores", others_cores),
        ]
    }
}

/// Walks the batches of a fetch from `next_offset` on: the offset after them, and their bytes. A part of a batch at
/// the end is left for the next fetch.
pub fn walk(mut records: &[u8], mut next_offset: i64) -> Result<(i64, usize)> {
    let mut bytes = 0;
    while let Some(info) = batch::first(records)? {
        // A fetch from within a batch yields the whole batch.
        if info.base_offset > next_offset || info.last_offset < next_offset {
            return Err(Failure::new(format!(
                "fetched offsets {} to {} where {next_offset} comes next",
                info.base_offset, info.last_offset
            )));
        }
        next_offset = info.last_offset + 1;
        bytes += info.size;
        records = &records[info.size..];
    }
    Ok((next_offset, bytes))
}

/// Fetches everything in one partition.
pub fn run(target: Target, topic: &str, partition: i32, max_bytes: i32) -> Result<Fetched> {
    let mut connection = Connection::open(target.address)?;
    let end_offset = connection.latest_offset(topic, partition)?;
    let limits = FetchLimits { max_wait_ms: 500, min_bytes: 1, max_bytes };
    let mut fetched = Fetched {
        requests: 0,
        records: end_offset,
        bytes: 0,
        usage: Usage { wall_s: 0.0, server_cpu_s: 0.0, others_cores: 0.0 },
    };
    let meter = Meter::start(target.servers)?;
    let mut offset = 0;
    while offset < end_offset {
        let mut frame = requests::fetch(topic, partition, offset, limits);
        let (reply, id) = connection.call(&mut frame)?;
        let reply = replies::fetch(reply, id)?;
        expect_no_error("Fetch", reply.error)?;
        let (next_offset, bytes) = walk(reply.records, offset)?;
        if next_offset == offset {
            return Err(Failure::new(format!("a fetch at {offset} of {end_offset} brought no whole batch")));
        }
        offset = next_offset;
        fetched.requests += 1;
        fetched.bytes += bytes;
    }
    fetched.usage = meter.stop()?;
    Ok(fetched)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::batch::{Noise, build, set_base_offset_and_epoch};

    fn two_batches() -> Vec<u8> {
        let mut noise = Noise::new(1);
        let mut first = build(5, 10, &mut noise);
        let mut second = build(3, 10, &mut noise);
        set_base_offset_and_epoch(&mut first, 10, 0);
        set_base_offset_and_epoch(&mut second, 15, 0);
        [first, second].concat()
    }

    #[test]
    fn batches_are_walked_in_order_and_a_part_is_left() {
        let bytes = two_batches();
        assert_eq!(walk(&bytes, 10).unwrap(), (18, bytes.len()));
        assert_eq!(walk(&bytes, 12).unwrap().0, 18);
        assert_eq!(walk(&bytes[..bytes.len() - 1], 10).unwrap().0, 15);
        assert_eq!(walk(&[], 10).unwrap(), (10, 0));
    }

    #[test]
    fn gaps_and_repetitions_are_errors() {
        assert!(walk(&two_batches(), 9).is_err());
        assert!(walk(&two_batches(), 16).is_err());
    }
}
