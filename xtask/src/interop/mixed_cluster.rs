//! Clusters of several nodes, each served by milena or by Apache Kafka: ours under Apache Kafka's controller, Apache
//! Kafka's under ours, leaders that are killed, paused and stopped under load, and a rolling migration there and back.

use super::broker::Kind;
use super::cluster::{Cluster, Role};
use super::crash::{acknowledged, parse, same, served, wait_for_acknowledged};
use super::report::Report;
use super::toolbox::{java, kcat_read, kcat_write, python, tool};
use super::{World, program, zookeeper_days};
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
    shared(world, report, &format!("apache under {name}'s controller"), [ours, Kind::Apache, ours])?;
    rolling(world, report)
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
struct Load {
    running: program::Running,
    count: usize,
    /// What happened, and when it began, in milliseconds since 1970.
    events: Vec<(String, u64)>,
}

fn now_ms() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

impl Load {
    fn start(cluster: &Cluster, mut client: Command, count: usize, rate: usize) -> Result<Load, String> {
        client.args([&cluster.all_brokers(), "load", &count.to_string(), &rate.to_string()]);
        let running = program::start(&mut client, &cluster.dir, "load", None)?;
        Ok(Load { running, count, events: Vec::new() })
    }

    /// Waits until so much of the load is done, in hundredths.
    fn reach(&mut self, percent: usize) -> Result<(), String> {
        wait_for_acknowledged(&mut self.running, self.count * percent / 100)
    }

    fn mark(&mut self, what: String) {
        self.events.push((what, now_ms()));
    }

    /// Waits for the end; reports the longest gap between acknowledgements after each event, and that nothing is lost,
    /// doubled or elsewhere.
    fn finish(self, report: &mut Report, what: &str, cluster: &Cluster) -> Result<(), String> {
        let ran = self.running.wait(Duration::from_secs(300));
        report.check(
            &format!("{what}: the producer lives through it"),
            ran.good().map(|()| format!("{} records", self.count)),
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
        let told = acknowledged(&ran.out)?;
        let result =
            served(&cluster.dir, &cluster.bootstrap()).and_then(|served| same(&told, &served, self.count));
        report.check(&format!("{what}: nothing is lost, doubled or moved"), result);
        Ok(())
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

/// Three nodes of Apache Kafka under load, with a group: each is stopped and the other broker started on its directory and
/// configuration, until none is left, and then back.
fn rolling(world: &World, report: &mut Report) -> Result<(), String> {
    let what = "rolling migration";
    let ours = world.kind;
    let extra = [("min.insync.replicas", "2")];
    let mut cluster = Cluster::new(world, "mixed-cluster/rolling", &[Role::Combined; 3], &extra)?;
    cluster.start(world, &[Kind::Apache; 3])?;
    cluster.create_topic("load", 2, 3)?;
    cluster.wait_in_sync("load", 3)?;
    let (count, rate) = if world.smoke { (60_000, 1_000) } else { (300_000, 2_000) };
    let mut load = Load::start(&cluster, java("crash/Load.java")?, count, rate)?;
    let mut group = Group::default();
    load.reach(2)?;
    group.consume(&cluster, "before")?;
    for (turn, kind) in [("to", ours), ("back from", Kind::Apache)] {
        for id in 1..=3 {
            load.mark(format!("{turn} {}: node {id} is replaced", ours.name()));
            let moved = cluster.member(id)?.stop();
            let moved = moved.and_then(|()| cluster.start_one(world, id, kind));
            let moved = moved.and_then(|()| cluster.wait_in_sync("load", 3));
            report.check(&format!("{what}: node {id} {turn} {}", ours.name()), moved.map(|()| String::new()));
            group.consume(&cluster, &format!("{}-{id}", turn.replace(' ', "-")))?;
        }
    }
    load.finish(report, what, &cluster)?;
    for last in 1..=3 {
        group.consume(&cluster, &format!("after-{last}"))?;
    }
    // kcat drops the record that it holds when it is interrupted, though it has committed it: one in a turn at most.
    let everything = count - group.seen.len() <= group.turns && group.twice == 0;
    let told = format!("{} records in {} turns, {} twice", group.seen.len(), group.turns, group.twice);
    report.check(
        &format!("{what}: a group goes on from its offsets"),
        if everything { Ok(told) } else { Err(format!("{told}, of {count}")) },
    );
    Ok(())
}

/// A consumer group that comes and goes, and what it has read.
#[derive(Default)]
struct Group {
    seen: std::collections::HashSet<String>,
    twice: usize,
    turns: usize,
}

impl Group {
    /// One turn: joins, reads for some seconds, commits and leaves.
    fn consume(&mut self, cluster: &Cluster, label: &str) -> Result<(), String> {
        // An interrupt is how kcat is told to commit and leave; while records come it never reaches an end by itself.
        let mut consumer = Command::new("timeout");
        consumer.args([
            "--signal=INT",
            "6",
            "kcat",
            "-b",
            &cluster.all_brokers(),
            "-X",
            "broker.address.family=v4",
        ]);
        consumer.args(["-G", "migrated", "-q", "-f", "%s\n", "-X", "auto.offset.reset=earliest", "load"]);
        let ran = program::start(&mut consumer, &cluster.dir, &format!("group-{label}"), None)?
            .wait(Duration::from_secs(60));
        for line in crate::project::read(&ran.out)?.lines() {
            if !self.seen.insert(line.to_owned()) {
                self.twice += 1;
            }
        }
        self.turns += 1;
        Ok(())
    }
}
