//! The rolling migration: three nodes of Apache Kafka, each stopped and the other broker started on its directory and
//! configuration, until none is left, and then back. Producers send from before the first swap until after the last;
//! groups of both protocols live through all of it, and members come and go.

use super::super::World;
use super::super::broker::Kind;
use super::super::cluster::{Cluster, Role};
use super::super::members::{Client, Group, Protocol};
use super::super::report::Report;
use super::super::toolbox::{java, python};
use super::Load;
use std::time::Duration;

const PARTITIONS: u32 = 4;
const LIMIT: Duration = Duration::from_secs(90);

/// Longer than any broker takes to start.
const SESSION_TIMEOUT_MS: u32 = 45_000;

/// A group that lives through the migration, and the producer of what it reads.
struct Live<'a> {
    group: Group<'a>,
    load: Load,
    newcomer: (Client, Protocol),
}

impl Live<'_> {
    /// The group reads what was written so far; then a member comes and reads, and goes again.
    fn go_on(&mut self) -> Result<String, String> {
        self.group.catch_up(&self.load.ends(), LIMIT)?;
        let (client, protocol) = self.newcomer;
        let name = self.group.join(client, protocol, None)?;
        let joined = self.group.settle(LIMIT)?;
        self.load.go_on(500)?;
        self.group.leave(&name)?;
        let left = self.group.settle(LIMIT)?;
        self.group.catch_up(&self.load.ends(), LIMIT)?;
        let records: u64 = self.load.ends().values().sum();
        Ok(format!(
            "{records} records read; {name} in after {:.1} s, out after {:.1} s",
            joined.as_secs_f64(),
            left.as_secs_f64()
        ))
    }
}

/// Runs the case.
pub fn run(world: &World, report: &mut Report) -> Result<(), String> {
    let what = "rolling migration";
    let ours = world.kind;
    // The members' heartbeats stay at Kafka's 5 s: librdkafka gives up an answer after one interval, and a member that has
    // not heard of its new epoch loses its partitions, whoever the broker is.
    let extra = [("min.insync.replicas", "2"), ("default.replication.factor", "3")];
    let mut cluster = Cluster::new(world, "mixed-cluster/rolling", &[Role::Combined; 3], &extra)?;
    cluster.start(world, &[Kind::Apache; 3])?;
    cluster.create_topic("load", 2, 3)?;
    cluster.wait_in_sync("load", 3)?;
    let rate = if world.smoke { 500 } else { 2_000 };
    let mut load = Load::start_until_told(&cluster, java("crash/Load.java")?, ("load", 2), rate)?;
    let range = Protocol::Classic("range");
    let mut live = Vec::new();
    for (name, protocol, newcomer) in [
        ("classic", range, (Client::Librdkafka, range)),
        ("consumer", Protocol::Consumer, (Client::Java, Protocol::Consumer)),
    ] {
        let mut group = Group::new(world, &cluster.dir, &cluster.all_brokers(), name, PARTITIONS)?;
        group.session_timeout_ms = SESSION_TIMEOUT_MS;
        group.join(Client::Java, protocol, Some("static"))?;
        group.join(Client::Librdkafka, protocol, None)?;
        group.settle(LIMIT)?;
        let client = python(world, "crash/load.py")?;
        let load = Load::start_until_told(&cluster, client, (group.topic(), PARTITIONS), rate / 4)?;
        live.push(Live { group, load, newcomer });
    }
    load.go_on(rate)?;
    for live in &mut live {
        let reads = live.go_on();
        report.check(&format!("{what}: the {} group reads from apache", live.group.name()), reads);
    }
    for (turn, kind) in [("to", ours), ("back from", Kind::Apache)] {
        for id in 1..=3 {
            load.mark(format!("{turn} {}: node {id} is replaced", ours.name()));
            let moved = cluster.member(id)?.stop();
            let moved = moved.and_then(|()| cluster.start_one(world, id, kind));
            let topics = ["load", "classic-topic", "consumer-topic", "__consumer_offsets"];
            let moved =
                moved.and_then(|()| topics.iter().try_for_each(|topic| cluster.wait_in_sync(topic, 3)));
            report.check(&format!("{what}: node {id} {turn} {}", ours.name()), moved.map(|()| String::new()));
            for live in &mut live {
                let went_on = live.go_on();
                let name = live.group.name().to_owned();
                report.check(&format!("{what}: node {id} {turn} {}: the {name} group", ours.name()), went_on);
            }
            load.go_on(rate)?;
        }
    }
    load.finish(report, what, &cluster)?;
    for Live { mut group, load, .. } in live {
        let name = group.name().to_owned();
        let ends = load.finish(report, &format!("{what}: the {name} group's topic"), &cluster)?;
        let read = group.catch_up(&ends, LIMIT).and_then(|()| group.end(&ends));
        report.check(&format!("{what}: the {name} group has read everything once"), read);
    }
    // The nodes are ended as they are: stopped in turn, the last of Apache Kafka's would wait minutes for a quorum.
    Ok(())
}
