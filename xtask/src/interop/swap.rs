//! Two brokers take turns on one data directory, with one `server.properties`: what the first wrote the second serves,
//! and the other way round.

mod live;

use super::broker::{Broker, Kind, Node};
use super::report::Report;
use super::toolbox::{kcat, kcat_read, kcat_write, tool};
use super::{World, dump, lines, program};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Runs the case: Apache Kafka first and then the broker under test; in the full run also the reverse.
pub fn run(world: &World, report: &mut Report) -> Result<(), String> {
    turns(world, report, Kind::Apache, world.kind)?;
    live::turns(world, report, Kind::Apache, world.kind)?;
    if world.kind == Kind::Apache || world.smoke {
        return Ok(());
    }
    turns(world, report, world.kind, Kind::Apache)?;
    live::turns(world, report, world.kind, Kind::Apache)
}

/// Topics that the first writes, by their partitions.
const FIRST: &[(&str, u32)] = &[("events", 3), ("table", 1)];
/// With those of the second, which also deletes `doomed`.
const SECOND: &[(&str, u32)] = &[("events", 3), ("table", 1), ("more", 2)];

fn turns(world: &World, report: &mut Report, first: Kind, second: Kind) -> Result<(), String> {
    let case = format!("swap/{}-first", first.name());
    // Small limits, so that there are several segments and snapshots of the metadata.
    let node = Node::new(
        world,
        &case,
        &[("metadata.log.max.record.bytes.between.snapshots", "3000"), ("offsets.topic.num.partitions", "5")],
    )?;
    let (one, two) = (first.name(), second.name());
    let count = world.million();
    let swap = Swap { world, node: &node, count };

    let broker = node.start_as(world, first)?;
    report.check(&format!("{one} writes {count} records"), swap.first_load(&broker));
    let before = swap.see(&broker, "1", FIRST)?;
    broker.stop()?;
    dump::data(report, &node, one)?;

    let broker = node.start_as(world, second)?;
    let after = swap.see(&broker, "2", FIRST)?;
    compare(report, &format!("{two} serves what {one} wrote"), &before, &after)?;
    report.check(&format!("{two}: the group goes on where it stood"), swap.rest_of_group(&broker));
    report.check(&format!("{two} writes more, creates and deletes topics"), swap.second_load(&broker));
    let before = swap.see(&broker, "3", SECOND)?;
    broker.stop()?;
    dump::data(report, &node, two)?;

    let broker = node.start_as(world, first)?;
    let after = swap.see(&broker, "4", SECOND)?;
    compare(report, &format!("{one} serves what both wrote"), &before, &after)?;
    report.check(
        &format!("{one} writes on"),
        swap.write(&broker, "events", 0, "none", "last").map(|()| String::new()),
    );
    broker.stop()
}

struct Swap<'a> {
    world: &'a World,
    node: &'a Node,
    count: usize,
}

impl Swap<'_> {
    fn tool(&self, broker: &Broker, name: &str, arguments: &[&str]) -> Result<String, String> {
        program::run(&mut tool(name, &broker.bootstrap(), arguments)?, &self.node.dir, name)?.text()
    }

    fn write(
        &self,
        broker: &Broker,
        topic: &str,
        partition: u32,
        codec: &str,
        label: &str,
    ) -> Result<(), String> {
        let text = lines::file(self.world, self.count / 4)?;
        let mut kcat = kcat_write(&broker.bootstrap(), topic, codec);
        kcat.args([
            "-p",
            &partition.to_string(),
            "-X",
            "batch.num.messages=500",
            "-H",
            &format!("load={label}"),
        ]);
        program::run_with_input(&mut kcat, &self.node.dir, &format!("write-{label}-{partition}"), &text)?
            .good()
    }

    fn keyed(&self, broker: &Broker, topic: &str, from: usize, count: usize) -> Result<(), String> {
        let input = self.node.dir.join("keyed.txt");
        let rows: String =
            (from..from + count).map(|row| format!("key-{}\tvalue {row}\n", row % 100)).collect();
        crate::project::write(&input, rows)?;
        let mut kcat = kcat(&broker.bootstrap());
        kcat.args(["-P", "-t", topic, "-K", "\\t", "-X", "enable.idempotence=true"]);
        program::run_with_input(&mut kcat, &self.node.dir, "keyed", &input)?.good()
    }

    fn first_load(&self, broker: &Broker) -> Result<String, String> {
        let events = [
            "--create",
            "--topic",
            "events",
            "--partitions",
            "3",
            "--config",
            "retention.ms=-1",
            "--config",
            "segment.bytes=1048576",
        ];
        self.tool(broker, "kafka-topics", &events)?;
        let table = [
            "--create",
            "--topic",
            "table",
            "--config",
            "cleanup.policy=compact",
            "--config",
            "min.compaction.lag.ms=86400000",
        ];
        self.tool(broker, "kafka-topics", &table)?;
        for topic in ["doomed", "gone"] {
            self.tool(broker, "kafka-topics", &["--create", "--topic", topic, "--partitions", "2"])?;
            self.keyed(broker, topic, 0, 100)?;
        }
        for (partition, codec) in [(0, "none"), (1, "lz4"), (2, "zstd")] {
            self.write(broker, "events", partition, codec, "first")?;
        }
        self.keyed(broker, "table", 0, self.count / 4)?;
        let alter = [
            "--alter",
            "--entity-type",
            "topics",
            "--entity-name",
            "events",
            "--add-config",
            "max.message.bytes=2000000",
        ];
        self.tool(broker, "kafka-configs", &alter)?;
        let brokers = [
            "--alter",
            "--entity-type",
            "brokers",
            "--entity-default",
            "--add-config",
            "log.retention.ms=864000000",
        ];
        self.tool(broker, "kafka-configs", &brokers)?;
        self.group(broker, self.count / 4)?;
        self.tool(broker, "kafka-topics", &["--delete", "--topic", "gone"])?;
        Ok(String::new())
    }

    fn second_load(&self, broker: &Broker) -> Result<String, String> {
        self.tool(
            broker,
            "kafka-topics",
            &["--create", "--topic", "more", "--partitions", "2", "--config", "retention.bytes=123456789"],
        )?;
        self.tool(broker, "kafka-topics", &["--delete", "--topic", "doomed"])?;
        for (partition, codec) in [(0, "gzip"), (1, "snappy")] {
            self.write(broker, "events", partition, codec, "second")?;
            self.write(broker, "more", partition, codec, "second")?;
        }
        self.keyed(broker, "table", self.count / 4, 1000)?;
        let alter = [
            "--alter",
            "--entity-type",
            "topics",
            "--entity-name",
            "events",
            "--delete-config",
            "max.message.bytes",
        ];
        self.tool(broker, "kafka-configs", &alter)?;
        self.group(broker, self.count / 8)?;
        Ok(String::new())
    }

    /// Reads some records in a group, which commits; how many it read.
    fn group(&self, broker: &Broker, count: usize) -> Result<usize, String> {
        let mut kcat = kcat(&broker.bootstrap());
        kcat.args([
            "-q",
            "-c",
            &count.to_string(),
            "-f",
            "%p %o\n",
            "-X",
            "auto.offset.reset=earliest",
            "-G",
            "readers",
            "events",
        ]);
        Ok(program::run(&mut kcat, &self.node.dir, "group")?.text()?.lines().count())
    }

    /// What the group has not read of the first load is what it reads now.
    fn rest_of_group(&self, broker: &Broker) -> Result<String, String> {
        let rest = self.count / 4 * 3 - self.count / 4;
        let mut kcat = kcat(&broker.bootstrap());
        kcat.args([
            "-q",
            "-e",
            "-f",
            "%p %o\n",
            "-X",
            "auto.offset.reset=earliest",
            "-G",
            "readers",
            "events",
        ]);
        let read = program::run(&mut kcat, &self.node.dir, "rest")?.text()?.lines().count();
        if read == rest {
            Ok(format!("{rest} records"))
        } else {
            Err(format!("{read} records instead of {rest}"))
        }
    }

    /// Everything that a client can see of the topics, their configs and records, and the groups.
    fn see(&self, broker: &Broker, turn: &str, topics: &[(&str, u32)]) -> Result<Seen, String> {
        let sorted = |text: String, keep: &dyn Fn(&&str) -> bool| {
            let mut lines: Vec<&str> = text.lines().map(str::trim_end).filter(keep).collect();
            lines.sort_unstable();
            lines.join("\n")
        };
        let mut told = BTreeMap::new();
        let described = self.tool(broker, "kafka-topics", &["--describe", "--exclude-internal"])?;
        let described: Vec<String> = described.lines().map(configs_in_order).collect();
        told.insert("topics", sorted(described.join("\n"), &|_| true));
        let configs = self.tool(broker, "kafka-configs", &["--describe", "--entity-type", "topics"])?;
        told.insert("topic configs", sorted(configs, &|_| true));
        let defaults = self.tool(
            broker,
            "kafka-configs",
            &["--describe", "--entity-type", "brokers", "--entity-default"],
        )?;
        told.insert("broker configs", sorted(defaults, &|_| true));
        let groups =
            self.tool(broker, "kafka-consumer-groups", &["--describe", "--all-groups", "--offsets"])?;
        told.insert("committed offsets", sorted(groups, &|line| line.starts_with("readers")));
        let mut records = BTreeMap::new();
        for (topic, partitions) in topics {
            for partition in 0..*partitions {
                let name = format!("{topic}-{partition}");
                let mut read = kcat_read(&broker.bootstrap(), topic, partition, "%o %T %K %k %h %S %s\n");
                let ran = program::run(&mut read, &self.node.dir, &format!("turn-{turn}-{name}"))?;
                ran.good()?;
                records.insert(name, ran.out);
            }
        }
        Ok(Seen { told, records })
    }
}

/// A topic's line with its configs sorted: their order is that of a hash map.
fn configs_in_order(line: &str) -> String {
    let Some((head, configs)) = line.split_once("Configs: ") else { return line.to_owned() };
    let mut configs: Vec<&str> = configs.trim_end().split(',').collect();
    configs.sort_unstable();
    format!("{head}Configs: {}", configs.join(","))
}

/// What clients saw at one moment.
struct Seen {
    told: BTreeMap<&'static str, String>,
    /// Per partition, a file with every record: offset, time, key, headers, value.
    records: BTreeMap<String, PathBuf>,
}

fn compare(report: &mut Report, what: &str, before: &Seen, after: &Seen) -> Result<(), String> {
    for (kind, expected) in &before.told {
        let got = after.told.get(kind).cloned().unwrap_or_default();
        let result = if *expected == got {
            Ok(format!("{} lines equal", got.lines().count()))
        } else {
            let differing = expected.lines().zip(got.lines()).find(|(expected, got)| expected != got);
            Err(format!(
                "{} lines before, {} after; first difference {differing:?}",
                expected.lines().count(),
                got.lines().count()
            ))
        };
        report.check(&format!("{what}: {kind}"), result);
    }
    for (partition, expected) in &before.records {
        let got = after.records.get(partition).ok_or("a partition is gone")?;
        report.check(&format!("{what}: records of {partition}"), program::same_file(expected, got));
    }
    Ok(())
}
