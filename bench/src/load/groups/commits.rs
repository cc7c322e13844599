//! Offsets: committed one at a time, committed in bulk, and found again after a restart.

use std::time::{Duration, Instant};

use super::{Target, wait_for_coordinator};
use crate::{
    Failure, Result,
    load::window,
    measure::{Metric, process::Meter},
    wire::{
        connection::{Connection, expect_no_error},
        groups,
    },
};

fn check(reply: &[u8], id: i32, expected: usize) -> Result<()> {
    let (count, error) = groups::committed(reply, id)?;
    expect_no_error("OffsetCommit", error)?;
    if count != expected {
        return Err(Failure::new(format!("{count} offsets of {expected} were committed")));
    }
    Ok(())
}

/// Commits of one offset each, by as many groups as there are connections, each with one commit under way.
pub fn run(target: Target, topic: &str, connections: usize, requests: usize) -> Result<Vec<Metric>> {
    let groups: Vec<String> = (0..connections).map(|index| format!("{topic}-commits-{index}")).collect();
    let mut open = Vec::with_capacity(connections);
    let mut frames = Vec::with_capacity(connections);
    for group in &groups {
        let mut connection = Connection::open(target.address)?;
        wait_for_coordinator(&mut connection, group)?;
        frames.push(groups::commit(group, topic, 1, 42));
        open.push(connection);
    }
    let mut open: Vec<&mut Connection> = open.iter_mut().collect();
    let meter = Meter::start(target.servers)?;
    let in_turn = |number: usize| (number % connections, number % connections);
    let latency = window::run(&mut open, &mut frames, requests, connections, in_turn, |_, reply, id| {
        check(reply, id, 1)
    })?;
    let usage = meter.stop()?;
    Ok(vec![
        Metric::new("commits", "1/s", requests as f64 / usage.wall_s),
        Metric::new("CPU per commit", "CPU us", usage.server_cpu_s * 1e6 / requests as f64),
        Metric::new("p50", "us", latency.micros(0.5)),
        Metric::new("p99", "us", latency.micros(0.99)),
        Metric::new("others", "cores", usage.others_cores),
    ])
}

/// Offsets of so many groups, each for all partitions of a topic.
#[derive(Debug, Clone, Copy)]
pub struct Bulk {
    pub groups: usize,
    pub partitions: i32,
}

impl Bulk {
    fn group(index: usize) -> String {
        format!("bench-bulk-{index}")
    }

    /// An offset that shows whose it is.
    fn offset(index: usize) -> i64 {
        1_000 + index as i64
    }

    /// Commits them all.
    pub fn commit(&self, target: Target, topic: &str) -> Result<()> {
        let mut connection = Connection::open(target.address)?;
        for index in 0..self.groups {
            wait_for_coordinator(&mut connection, &Self::group(index))?;
            let mut frame = groups::commit(&Self::group(index), topic, self.partitions, Self::offset(index));
            let (reply, id) = connection.call(&mut frame)?;
            check(reply, id, self.partitions as usize)?;
        }
        Ok(())
    }

    /// Asks every group for its offset in the last partition, until all have answered with it. Whoever says that it is still
    /// loading is asked again.
    pub fn await_loaded(&self, connection: &mut Connection, topic: &str, deadline: Instant) -> Result<()> {
        for index in 0..self.groups {
            let mut frame = groups::fetch_offset(&Self::group(index), topic, self.partitions - 1);
            loop {
                let (reply, id) = connection.call(&mut frame)?;
                match groups::fetched_offset(reply, id)? {
                    (offset, 0) if offset == Self::offset(index) => break,
                    (_, error) if groups::is_retriable(error) => {}
                    (offset, error) => {
                        let group = Self::group(index);
                        return Err(Failure::new(format!("{group} has offset {offset}, error {error}")));
                    }
                }
                if Instant::now() > deadline {
                    return Err(Failure::new("the coordinator is still loading"));
                }
                std::thread::sleep(Duration::from_micros(500));
            }
        }
        Ok(())
    }
}
