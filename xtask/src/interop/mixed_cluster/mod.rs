//! Clusters of several nodes, each served by milena or by Apache Kafka: ours under Apache Kafka's controller, Apache
//! Kafka's under ours, leaders that are killed, paused and stopped under load; and the rolling migration there and back.

mod bad_nodes;
mod quorum;
mod reassignment;
mod rolling;

pub use bad_nodes::run as bad_nodes;
pub use quorum::run as quorum;
pub use reassignment::run as reassignment;
pub use rolling::run as migration;

use super::broker::Kind;
use super::cluster::{Cluster, Role};
use super::crash::{acknowledged, parse, same, served, wait_for_acknowledged};
use super::members::ends;
use super::report::Report;
use super::toolbox::{kcat_read, kcat_write, python, tool};
use super::{World, program, zookeeper_days};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

/// Runs the case. Against Apache Kafka, its own brokers take the place of ours.
pub fn run(world: &World, report: &mut Report) -> Result<(), String> {
    let ours = world.kind;
    let name = ours.name();
    failover(world, report, &[ours; 3])?;
    if ours == Kind::Milena {
        zookeeper_days::run(world, report)?;
    }
    shared(world, report, &format!("{name} under apache's controller"), [Kind::Apache, ours, Kind::Apache])?;
    if world.smoke {
        return Ok(());
    }
    shared(world, report, &format!("apache under {name}'s controller"), [ours, Kind::Apache, ours])
}

/// One controller and two brokers: topics created through either broker, led and followed across the two.
fn shared(world: &World, report: &mut Report, what: &str, kinds: [Kind; 3]) -> Result<(), String> {
    let roles = [Role::Controller, Role::Broker, Role::Broker];
    let case = format!("mixed-cluster/{}", what.replace(' ', "-").replace('\'', ""));
    let mut cluster = Cluster::new(world, &case, &roles, &[])?;
    let started = cluster.start(world, &kinds);
    if !report.check(&format!("{what}: brokers are let in"), started.map(|()| String::new())) {
        return Ok(());
    }
    let lines = cluster.dir.join("lines.txt");
    let text: String = (0..world.million() / 10).map(|number| format!("line {number}\n")).collect();
    crate::project::write(&lines, &text)?;
    for id in [2, 3] {
        let through = format!("{what}: through node {id}");
        let bootstrap = cluster.bootstrap_of(id)?;
        let topic = format!("through-{id}");
        let create = ["--create", "--topic", &topic, "--partitions", "4", "--replication-factor", "2"];
        let created = program::run(&mut tool("kafka-topics", &bootstrap, &create)?, &cluster.dir, "create")?;
        report.check(&format!("{through}: a topic is created"), created.good().map(|()| String::new()));
        let wrote = program::run_with_input(
            &mut kcat_write(&bootstrap, &topic, "none"),
            &cluster.dir,
            "write",
            &lines,
        )?;
        let read = program::run(&mut kcat_read(&bootstrap, &topic, 0, "%s\n"), &cluster.dir, "read")?;
        let equal = wrote.good().and(read.good()).and_then(|()| program::same_file(&lines, &read.out));
        report.check(&format!("{through}: what is written is read"), equal);
        let synced = cluster.wait_in_sync(&topic, 2).and_then(|()| cluster.leaders(&topic, 4));
        let both = synced.and_then(|leaders| match (leaders.contains(&2), leaders.contains(&3)) {
            (true, true) => Ok(format!("led by {leaders:?}")),
            _ => Err(format!("led by {leaders:?}")),
        });
        report.check(&format!("{through}: both lead, both follow"), both);
    }
    // Each broker alone has everything.
    for id in [2, 3] {
        let left = 5 - id;
        let stopped = cluster.member(id)?.stop();
        report.check(&format!("{what}: node {id} leaves"), stopped.map(|()| String::new()));
        let bootstrap = cluster.bootstrap_of(left)?;
        let read = program::run(&mut kcat_read(&bootstrap, "through-2", 0, "%s\n"), &cluster.dir, "left")?;
        let equal = read.good().and_then(|()| program::same_file(&lines, &read.out));
        report.check(&format!("{what}: node {left} alone has everything"), equal);
        let kind = kinds[usize::try_from(id - 1).unwrap_or(0)];
        cluster.start_one(world, id, kind)?;
        cluster.wait_in_sync("through-2", 2)?;
    }
    cluster.stop()
}

/// A producer that runs while things happen to its cluster, and the times when they happened.
pub(super) struct Load {
    running: program::Running,
    topic: String,
    partitions: u32,
    /// None: until it is told to end.
    count: Option<usize>,
    /// What happened, and when it began, in milliseconds since 1970.
    events: Vec<(String, u64)>,
}

fn now_ms() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

impl Load {
    /// Sends `count` records to the topic `load`, `rate` in a second.
    fn start(cluster: &Cluster, mut client: Command, count: usize, rate: usize) -> Result<Load, String> {
        client.args([&cluster.all_brokers(), "load", &count.to_string(), &rate.to_string()]);
        let running = program::start(&mut client, &cluster.dir, "load", None)?;
        Ok(Load { running, topic: "load".to_owned(), partitions: 2, count: Some(count), events: Vec::new() })
    }

    /// Sends records to a topic until [`Load::finish`], `rate` in a second.
    pub(super) fn start_until_told(
        cluster: &Cluster,
        mut client: Command,
        (topic, partitions): (&str, u32),
        rate: usize,
    ) -> Result<Load, String> {
        client.args([&cluster.all_brokers(), topic, "0", &rate.to_string(), &partitions.to_string()]);
        let running = program::start_until_told(&mut client, &cluster.dir, &format!("{topic}-load"))?;
        Ok(Load { running, topic: topic.to_owned(), partitions, count: None, events: Vec::new() })
    }

    /// Waits until so much of the load is done, in hundredths.
    fn reach(&mut self, percent: usize) -> Result<(), String> {
        wait_for_acknowledged(&mut self.running, self.count.unwrap_or(0) * percent / 100)
    }

    /// How many records were acknowledged so far.
    fn acknowledged(&self) -> usize {
        self.running.so_far().lines().count()
    }

    /// Waits until so many more records are acknowledged.
    pub(super) fn go_on(&mut self, records: usize) -> Result<(), String> {
        let now = self.acknowledged();
        wait_for_acknowledged(&mut self.running, now + records)
    }

    /// The log ends of its topic, by what was acknowledged so far.
    fn ends(&self) -> BTreeMap<u32, u64> {
        ends(&self.running.so_far())
    }

    pub(super) fn mark(&mut self, what: String) {
        self.events.push((what, now_ms()));
    }

    /// Waits for the end; reports the longest gap between acknowledgements after each event, and that nothing is lost,
    /// doubled, elsewhere or out of order. Gives the log ends.
    pub(super) fn finish(
        mut self,
        report: &mut Report,
        what: &str,
        cluster: &Cluster,
    ) -> Result<BTreeMap<u32, u64>, String> {
        self.running.tell_to_end();
        let ran = self.running.wait(Duration::from_secs(300));
        let told = acknowledged(&ran.out)?;
        let count = self.count.unwrap_or(told.len());
        report.check(
            &format!("{what}: the producer lives through it"),
            ran.good().map(|()| format!("{count} records")),
        );
        let times = times(&ran.out)?;
        for (index, (event, begun)) in self.events.iter().enumerate() {
            let ended = self.events.get(index + 1).map_or(u64::MAX, |(_, time)| *time);
            let gap = times
                .windows(2)
                .filter(|pair| pair[1] >= *begun && pair[0] < ended)
                .map(|pair| pair[1] - pair[0])
                .max();
            println!("     {what}: {event}: longest gap between acknowledgements {} ms", gap.unwrap_or(0));
        }
        let result = served(&cluster.dir, &cluster.bootstrap(), &self.topic, self.partitions)
            .and_then(|served| same(&told, &served, count));
        report.check(&format!("{what}: nothing is lost, doubled, moved or out of order"), result);
        Ok(ends(&crate::project::read(&ran.out)?))
    }
}

/// When the acknowledgements came, in order.
fn times(file: &Path) -> Result<Vec<u64>, String> {
    let text = crate::project::read(file)?;
    let mut times = text
        .lines()
        .map(|line| parse::<u64>(line.rsplit(' ').next().unwrap_or_default()))
        .collect::<Result<Vec<_>, _>>()?;
    times.sort_unstable();
    Ok(times)
}

/// Three combined nodes: the leader of a partition is killed, paused and stopped under load.
fn failover(world: &World, report: &mut Report, kinds: &[Kind; 3]) -> Result<(), String> {
    let what = "three nodes";
    let extra = [("min.insync.replicas", "2")];
    let mut cluster = Cluster::new(world, "mixed-cluster/failover", &[Role::Combined; 3], &extra)?;
    cluster.start(world, kinds)?;
    cluster.create_topic("load", 2, 3)?;
    cluster.wait_in_sync("load", 3)?;
    let (count, rate, pause) = if world.smoke { (60_000, 2_000, 3) } else { (300_000, 2_500, 12) };
    let mut load = Load::start(&cluster, python(world, "crash/load.py")?, count, rate)?;

    load.reach(15)?;
    let leader = cluster.leader("load", 0)?.ok_or("partition 0 has no leader")?;
    load.mark(format!("kill -9 of node {leader}, the leader"));
    cluster.member(leader)?.kill()?;
    load.reach(30)?;
    cluster.start_one(world, leader, kinds[0])?;
    cluster.wait_in_sync("load", 3)?;

    let controller = cluster.active_controller()?;
    load.mark(format!("kill -9 of node {controller}, the active controller"));
    cluster.member(controller)?.kill()?;
    load.reach(50)?;
    cluster.start_one(world, controller, kinds[0])?;
    cluster.wait_in_sync("load", 3)?;

    let leader = cluster.leader("load", 0)?.ok_or("partition 0 has no leader")?;
    load.mark(format!("node {leader}, the leader, is paused for {pause} s"));
    cluster.member(leader)?.process()?.signal("STOP")?;
    std::thread::sleep(Duration::from_secs(pause));
    cluster.member(leader)?.process()?.signal("CONT")?;
    load.reach(70)?;
    cluster.wait_in_sync("load", 3)?;

    let leader = cluster.leader("load", 0)?.ok_or("partition 0 has no leader")?;
    load.mark(format!("node {leader}, the leader, is stopped"));
    cluster.member(leader)?.stop()?;
    load.reach(85)?;
    cluster.start_one(world, leader, kinds[0])?;
    load.finish(report, what, &cluster)?;
    cluster.wait_in_sync("load", 3)
}
