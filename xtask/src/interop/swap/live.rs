//! The brokers change under groups whose members live on, and under a topic that is being compacted: the members go on where they
//! were, without a rebalance, and the topic holds the last value of each key.

use super::super::broker::{Broker, Kind, Node};
use super::super::chance::Chance;
use super::super::compaction::{self, Table};
use super::super::members::{Client, Group, Protocol, ends};
use super::super::report::Report;
use super::super::{World, program, toolbox};
use std::collections::BTreeMap;
use std::time::Duration;

const PARTITIONS: u32 = 4;
const LIMIT: Duration = Duration::from_secs(60);

/// Longer than any broker takes to start.
const SESSION_TIMEOUT_MS: u32 = 45_000;

/// First one broker, then the other, then the first again.
pub fn turns(world: &World, report: &mut Report, first: Kind, second: Kind) -> Result<(), String> {
    let settings = [
        ("offsets.topic.num.partitions", "5"),
        ("log.cleaner.backoff.ms", "200"),
        ("group.consumer.min.heartbeat.interval.ms", "500"),
        ("group.consumer.heartbeat.interval.ms", "500"),
    ];
    let node = Node::new(world, &format!("swap/live-{}-first", first.name()), &settings)?;
    let mut broker = node.start_as(world, first)?;
    let range = Protocol::Classic("range");
    let mut classic = Group::new(world, &node.dir, &broker.bootstrap(), "classic", PARTITIONS)?;
    classic.session_timeout_ms = SESSION_TIMEOUT_MS;
    classic.join(Client::Java, range, Some("static"))?;
    classic.join(Client::Librdkafka, range, None)?;
    let mut consumer = Group::new(world, &node.dir, &broker.bootstrap(), "consumer", PARTITIONS)?;
    consumer.join(Client::Java, Protocol::Consumer, None)?;
    consumer.join(Client::Librdkafka, Protocol::Consumer, Some("static"))?;
    let mut groups =
        [Live { group: classic, ends: BTreeMap::new() }, Live { group: consumer, ends: BTreeMap::new() }];
    for live in &mut groups {
        let settled = live.group.settle(LIMIT).and_then(|_| live.feed(world, &node, &broker));
        report.check(&format!("{}: the {} group reads", first.name(), live.group.name()), settled);
    }
    compaction::create(&node, &broker)?;
    let mut table = Table::new();
    let mut chance = Chance(world.seed);
    let mut compact = |broker: &Broker, turn: usize, table: &mut Table| {
        compaction::update(&node, broker, &mut chance, (turn, 40_000, 1_000), table)?;
        compaction::mark(&node, broker)?;
        compaction::wait_until_clean(&node, broker, table)
    };
    report.check(&format!("{} compacts a topic", first.name()), compact(&broker, 0, &mut table));

    for (turn, kind) in [(1, second), (2, first)] {
        let whose = kind.name();
        let before = groups.iter().map(|live| live.group.described()).collect::<Result<Vec<_>, _>>()?;
        broker.stop()?;
        broker = node.start_as(world, kind)?;
        for (live, before) in groups.iter_mut().zip(before) {
            let name = live.group.name().to_owned();
            let known = live.group.described().and_then(|after| same(&before, &after));
            report.check(&format!("turn {turn}: {whose} knows the members of the {name} group"), known);
            let fed = live.feed(world, &node, &broker);
            report.check(&format!("turn {turn}: the {name} group goes on"), fed);
            let after = live.group.described().and_then(|after| same(&before, &after));
            report.check(&format!("turn {turn}: the {name} group has not rebalanced"), after);
        }
        let clean = compaction::wait_until_clean(&node, &broker, &table);
        report.check(&format!("turn {turn}: {whose} serves the compacted topic"), clean);
        let compacted = compact(&broker, turn, &mut table);
        report.check(&format!("turn {turn}: {whose} compacts it further"), compacted);
    }
    for live in &mut groups {
        let what = format!("the {} group has read everything once", live.group.name());
        report.check(&what, live.group.end(&live.ends));
    }
    drop(groups);
    broker.stop()
}

/// A group whose members live, and how far its topic goes.
struct Live<'a> {
    group: Group<'a>,
    ends: BTreeMap<u32, u64>,
}

impl Live<'_> {
    /// Writes some records and waits until the group has read them.
    fn feed(&mut self, world: &World, node: &Node, broker: &Broker) -> Result<String, String> {
        let count = if world.smoke { 1_000 } else { 50_000 };
        let mut load = toolbox::python(world, "crash/load.py")?;
        load.args([&broker.bootstrap(), self.group.topic()]);
        load.args([count, 20_000, PARTITIONS].map(|number| number.to_string()));
        let acknowledged = program::run(&mut load, &node.dir, "feed")?.text()?;
        self.ends = ends(&acknowledged);
        self.group.catch_up(&self.ends, LIMIT).map(|()| format!("{count} records"))
    }
}

/// The same lines; the first that is not.
fn same(before: &[String], after: &[String]) -> Result<String, String> {
    if before == after {
        return Ok(format!("{} lines equal", after.len()));
    }
    let part = before.iter().zip(after).find(|(before, after)| before != after);
    Err(format!("{} lines, then {}: {part:?}", before.len(), after.len()))
}
