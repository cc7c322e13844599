//! Three brokers on one machine, three replicas, acks=all: what replication costs, and how long nothing is acknowledged
//! when a node goes.

mod nodes;
mod probe;

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use self::nodes::Cluster;
use super::system::System;
use crate::{
    Failure, Result,
    load::{
        end_to_end,
        produce::{self, Until},
    },
    measure::{Metric, process::Meter},
    wire::batch,
};

const ALL: i16 = -1;
const REPLICAS: i16 = 3;
/// What must not be missing before something is done to a node, and is looked at after it.
const QUIET: Duration = Duration::from_millis(1_500);

pub const BATCHES: &str = "three brokers: 1 KiB, 1 MB batches";
pub const ONE_RECORD: &str = "three brokers: one record, 1 in flight";
pub const END_TO_END_1K: &str = "three brokers: end to end, 1 k/s x 100 B";
pub const END_TO_END_20K: &str = "three brokers: end to end, 20 k/s x 1 KiB in 20s";
pub const STOPPED: &str = "three brokers: the leader is stopped";
pub const KILLED: &str = "three brokers: kill -9 of the leader";
pub const RESTARTED: &str = "three brokers: each restarted, one after the other";
pub const GAP: &str = "longest gap between acknowledgements";

/// Figures by the name of the work.
pub type Found = Vec<(&'static str, Result<Vec<Metric>>)>;

fn take(metrics: Vec<Metric>, figures: &[&str]) -> Vec<Metric> {
    metrics.into_iter().filter(|metric| figures.contains(&metric.name)).collect()
}

/// Starts a cluster and does everything with it whose name is wanted.
pub fn run(
    system: &System,
    dir: &Path,
    quick: bool,
    partitions: i32,
    wants: impl Fn(&str) -> bool,
) -> Result<Found> {
    let share = if quick { 4 } else { 1 };
    let mut found = Found::new();
    let mut cluster = Cluster::start(system, dir)?;
    if wants(BATCHES) {
        found.push((BATCHES, batches(&mut cluster, 1_000_000_000 / share)));
    }
    if wants(ONE_RECORD) {
        found.push((ONE_RECORD, one_record(&mut cluster, 10_000 / share)));
    }
    let duration = Duration::from_secs(if quick { 2 } else { 5 });
    for (name, rate, records_per_batch, record_size) in
        [(END_TO_END_1K, 1_000, 1, 100), (END_TO_END_20K, 20_000, 20, 1024)]
    {
        if wants(name) {
            let topic = format!("bench-end-to-end-{rate}");
            let options =
                end_to_end::Options { topic, rate, records_per_batch, record_size, acks: ALL, duration };
            found.push((name, end_to_end(&mut cluster, &options)));
        }
    }
    if wants(STOPPED) {
        found.push((STOPPED, loses_leader(&mut cluster, "bench-stopped", Cluster::stop)));
    }
    if wants(KILLED) {
        found.push((KILLED, loses_leader(&mut cluster, "bench-killed", Cluster::kill)));
    }
    if wants(RESTARTED) {
        found.push((RESTARTED, restarts(&mut cluster)));
    }
    let name = many_name(partitions);
    if wants(name) {
        found.push((name, many_partitions(&mut cluster, partitions)));
    }
    cluster.stop_all()?;
    Ok(found)
}

/// The name of the work with many partitions.
pub fn many_name(partitions: i32) -> &'static str {
    match partitions {
        10_000 => "three brokers: 10,000 partitions",
        _ => "three brokers: 1,000 partitions",
    }
}

fn topic_of(cluster: &mut Cluster, topic: &str) -> Result<()> {
    cluster.connect()?.create_replicated(topic, 1, REPLICAS, &[])?;
    cluster.wait_in_sync(topic, 1)
}

fn produced(
    cluster: &mut Cluster,
    topic: &str,
    (in_flight, records_per_batch, record_size): (usize, usize, usize),
    requests: usize,
) -> Result<Vec<Metric>> {
    topic_of(cluster, topic)?;
    let options = produce::Options {
        topic: topic.to_owned(),
        partitions: 1,
        connections: 1,
        in_flight,
        acks: ALL,
        records_per_batch,
        record_size,
        codec: None,
        until: Until::Requests(requests),
        reserve: None,
    };
    let metrics = produce::run(cluster.target(topic)?, &options)?.metrics();
    cluster.connect()?.delete_topic(topic)?;
    Ok(metrics)
}

fn batches(cluster: &mut Cluster, bytes: usize) -> Result<Vec<Metric>> {
    let records = batch::records_that_fit(1_000_000, 1024);
    let load = (5, records, 1024);
    let metrics = produced(cluster, "bench-batches", load, bytes / (records * 1024))?;
    Ok(take(metrics, &["throughput", "CPU per GB", "p99", "others"]))
}

fn one_record(cluster: &mut Cluster, requests: usize) -> Result<Vec<Metric>> {
    let metrics = produced(cluster, "bench-one-record", (1, 1, 100), requests)?;
    Ok(take(metrics, &["CPU per request", "p50", "p99", "others"]))
}

fn end_to_end(cluster: &mut Cluster, options: &end_to_end::Options) -> Result<Vec<Metric>> {
    topic_of(cluster, &options.topic)?;
    let metrics = end_to_end::run(cluster.target(&options.topic)?, options)?.metrics();
    cluster.connect()?.delete_topic(&options.topic)?;
    Ok(take(metrics, &["p50", "p99", "p99.9", "CPU per message", "others"]))
}

/// Produces all the while that something is done to the cluster.
fn while_producing(
    cluster: &mut Cluster,
    topic: &str,
    act: impl FnOnce(&mut Cluster) -> Result<()>,
) -> Result<probe::Seen> {
    let brokers = cluster.addresses();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let probing = scope.spawn(|| probe::run(&brokers, topic, &done));
        thread::sleep(QUIET);
        let acted = act(cluster);
        thread::sleep(QUIET);
        done.store(true, Ordering::Relaxed);
        let seen = probing.join().unwrap_or_else(|_| Err(Failure::new("the producer's thread panicked")));
        acted.and(seen)
    })
}

/// The leader of a partition goes, and comes back.
fn loses_leader(
    cluster: &mut Cluster,
    topic: &str,
    lose: impl FnOnce(&mut Cluster, i32) -> Result<()>,
) -> Result<Vec<Metric>> {
    topic_of(cluster, topic)?;
    let leader = cluster.leader(topic, 0)?;
    let seen = while_producing(cluster, topic, |cluster| {
        lose(cluster, leader)?;
        // Longer than a broker's session, after which it would be given up at the latest.
        let before = Instant::now();
        while before.elapsed() < Duration::from_secs(30) {
            if cluster.leader(topic, 0).is_ok_and(|now| now != leader) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(Failure::new(format!("{topic} keeps the leader that is gone")))
    });
    cluster.launch(leader)?;
    cluster.wait_in_sync(topic, 1)?;
    cluster.connect()?.delete_topic(topic)?;
    let seen = seen?;
    Ok(vec![
        Metric::new(GAP, "ms", seen.longest_gap_ms()),
        Metric::new("errors that a producer saw", "errors", seen.errors as f64),
    ])
}

/// Each node is stopped and started again under load.
fn restarts(cluster: &mut Cluster) -> Result<Vec<Metric>> {
    const TOPIC: &str = "bench-restarts";
    topic_of(cluster, TOPIC)?;
    let begun = Instant::now();
    let seen = while_producing(cluster, TOPIC, |cluster| {
        for id in 1..=3 {
            cluster.stop(id)?;
            cluster.launch(id)?;
            cluster.wait_in_sync(TOPIC, 1)?;
        }
        Ok(())
    })?;
    let took = begun.elapsed() - 2 * QUIET;
    cluster.connect()?.delete_topic(TOPIC)?;
    Ok(vec![
        Metric::new("all restarted and in sync", "s", took.as_secs_f64()),
        Metric::new(GAP, "ms", seen.longest_gap_ms()),
        Metric::new("errors that a producer saw", "errors", seen.errors as f64),
    ])
}

/// Makes so many partitions in topics of a thousand; then a node is killed, and comes back.
fn many_partitions(cluster: &mut Cluster, count: i32) -> Result<Vec<Metric>> {
    const LIMIT: Duration = Duration::from_secs(180);
    let topics: Vec<String> = (0..count / 1_000).map(|number| format!("bench-many-{number}")).collect();
    let begun = Instant::now();
    for topic in &topics {
        cluster.connect()?.create_replicated(topic, 1_000, REPLICAS, &[])?;
    }
    for topic in &topics {
        cluster.wait_in_sync(topic, 1_000)?;
    }
    let created_s = begun.elapsed().as_secs_f64();
    for topic in &topics {
        cluster.wait_until_served(topic)?;
    }
    let served_s = begun.elapsed().as_secs_f64();
    let resident_mb = cluster.resident_mb()?;
    // New partitions have small files to write, in the background: idle begins behind that.
    thread::sleep(Duration::from_secs(if count > 1_000 { 30 } else { 8 }));
    let meter = Meter::start(cluster.servers())?;
    thread::sleep(Duration::from_secs(3));
    let idle = meter.stop()?;
    let begun = Instant::now();
    cluster.kill(1)?;
    for topic in &topics {
        cluster.wait(LIMIT, "leaders that live", |connection| {
            let found = connection.metadata(Some(topic))?.partitions;
            Ok(found.iter().all(|partition| partition.leader.is_some_and(|leader| leader != 1)))
        })?;
    }
    let failover_ms = begun.elapsed().as_secs_f64() * 1e3;
    let begun = Instant::now();
    cluster.launch(1)?;
    for topic in &topics {
        cluster.wait_in_sync(topic, 1_000)?;
    }
    let back_s = begun.elapsed().as_secs_f64();
    Ok(vec![
        Metric::new("created and in sync", "s", created_s),
        Metric::new("created, and every leader answers", "s", served_s),
        Metric::new("resident memory of all three", "MB", resident_mb),
        Metric::new("idle CPU of all three", "%", idle.server_cpu_s / idle.wall_s * 100.0),
        Metric::new("kill -9 until every partition has a leader", "ms", failover_ms),
        Metric::new("started again until all are in sync", "s", back_s),
    ])
}
