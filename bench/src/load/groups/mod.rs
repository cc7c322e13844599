//! Consumer groups under load: members of KIP-848 simulated on the wire, commits of offsets.

pub mod commits;
mod fleet;

use std::time::Duration;

use self::fleet::Fleet;
use super::Target;
use crate::{
    Failure, Result,
    measure::{
        Metric,
        process::{Meter, Usage},
    },
    wire::{
        connection::{Connection, expect_no_error},
        groups,
    },
};

/// No phase of a group takes longer: with Kafka's interval of 5 s a rebalance needs two of them at most.
const PHASE_LIMIT: Duration = Duration::from_secs(60);
/// Heartbeats at a time, where there is more than one.
const IN_FLIGHT: usize = 16;

#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub groups: usize,
    /// In each group.
    pub members: usize,
    pub partitions: i32,
    /// How many members come, and then go, in groups that have settled.
    pub change: usize,
    /// How many heartbeats are sent to measure their cost.
    pub heartbeats: usize,
}

/// Waits until a group's coordinator is there: the first group of all makes the broker create its topic.
pub fn wait_for_coordinator(connection: &mut Connection, group: &str) -> Result<()> {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        let (reply, id) = connection.call(&mut groups::find_coordinator(group))?;
        let mut error = groups::found_coordinator(reply, id)?;
        if error == 0 {
            // Found is not loaded.
            let (reply, id) = connection.call(&mut groups::fetch_offset(group, "none", 0))?;
            error = groups::fetched_offset(reply, id)?.1;
            if !groups::is_retriable(error) {
                return Ok(());
            }
        }
        if !groups::is_retriable(error) {
            return expect_no_error("FindCoordinator", error);
        }
        if std::time::Instant::now() > deadline {
            return Err(Failure::new(format!("the coordinator of {group} is not there after 60 s")));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Members join, ten more come, ten go; then as many heartbeats as there is time for.
pub fn run(target: Target, topic: &str, options: Options) -> Result<Vec<Metric>> {
    let mut fleet = Fleet::new(target, topic, options.partitions);
    for group in 0..options.groups {
        for _ in 0..options.members {
            fleet.add(&format!("{topic}-group-{group}"), group)?;
        }
    }
    let count = options.groups * options.members;
    let mut metrics = Vec::new();
    // The topic's files, and those of the topic before, are none of a group's.
    target.servers.wait_until_quiet()?;
    let meter = Meter::start(target.servers)?;
    let joined_s = fleet.settle(PHASE_LIMIT, |fleet| fleet.join(0..count))?;
    let usage = meter.stop()?;
    metrics.push(Metric::new("all join: until each owns its target", "s", joined_s));
    metrics.push(Metric::new("all join: CPU per member", "CPU us", usage.server_cpu_s * 1e6 / count as f64));
    metrics.push(Metric::new("others", "cores", usage.others_cores));

    if options.change > 0 {
        for _ in 0..options.change {
            fleet.add(&format!("{topic}-group-0"), 0)?;
        }
        fleet.spread_heartbeats();
        let came = count..count + options.change;
        let seconds = fleet.settle(PHASE_LIMIT, |fleet| fleet.join(came))?;
        metrics.push(Metric::new("ten join: until each owns its target", "s", seconds));
        fleet.spread_heartbeats();
        // Every tenth, so that both old and new ones go.
        let gone: Vec<usize> = (0..options.change).map(|index| index * (count / options.change)).collect();
        let seconds = fleet.settle(PHASE_LIMIT, |fleet| fleet.leave(&gone))?;
        metrics.push(Metric::new("ten leave: until each owns its target", "s", seconds));
    }

    let per_heartbeat = |usage: Usage| usage.server_cpu_s * 1e6 / options.heartbeats as f64;
    fleet.drain()?;
    let meter = Meter::start(target.servers)?;
    fleet.saturate(options.heartbeats, 1)?;
    metrics.push(Metric::new("CPU per heartbeat, one at a time", "CPU us", per_heartbeat(meter.stop()?)));
    let meter = Meter::start(target.servers)?;
    let latency = fleet.saturate(options.heartbeats, IN_FLIGHT)?;
    let usage = meter.stop()?;
    metrics.push(Metric::new("CPU per heartbeat, 16 at a time", "CPU us", per_heartbeat(usage)));
    metrics.push(Metric::new("heartbeats", "1/s", options.heartbeats as f64 / usage.wall_s));
    metrics.push(Metric::new("heartbeats p99", "us", latency.micros(0.99)));
    let meter = Meter::start(target.servers)?;
    fleet.saturate_one_connection(options.heartbeats, IN_FLIGHT)?;
    let one_connection = per_heartbeat(meter.stop()?);
    metrics.push(Metric::new("CPU per heartbeat, 16 in flight on one connection", "CPU us", one_connection));
    fleet.leave_all()?;
    Ok(metrics)
}
