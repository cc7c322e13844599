//! A compacted topic, killed in the middle of its cleaning: afterwards it holds the last value of each key, and nothing else.

use super::broker::{Broker, Node};
use super::chance::Chance;
use super::report::Report;
use super::toolbox::{kcat, kcat_read, tool};
use super::{World, dump, program};
use crate::{apache, project};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::Command;
use std::time::{Duration, Instant};

const TOPIC: &str = "updates";
const PARTITIONS: u32 = 4;
/// Sent to each partition at the end, so that all before it lies in segments that can be cleaned.
const MARK: &str = "mark";

/// So slow that a kill finds the cleaner at work, also where the machine is slow to write the updates.
const SLOWLY: &str = "log.cleaner.io.max.bytes.per.second=2000000\n";

/// The last value of each key; none if it was deleted.
pub type Table = BTreeMap<String, Option<String>>;

/// Runs the case.
pub fn run(world: &World, report: &mut Report) -> Result<(), String> {
    // The testers' topics have the broker's segments, which must be small to be cleaned soon.
    let settings = [
        ("log.cleaner.backoff.ms", "200"),
        ("log.cleaner.threads", "2"),
        ("log.cleaner.min.cleanable.ratio", "0.01"),
        ("log.segment.bytes", "1048576"),
    ];
    let node = Node::new(world, "compaction", &settings)?;
    let quickly = project::read(&node.properties)?;
    project::write(&node.properties, format!("{quickly}{SLOWLY}"))?;
    let mut broker = node.start(world)?;
    create(&node, &broker)?;

    let (updates, keys, kills) = if world.smoke { (160_000, 2_000, 2) } else { (1_000_000, 10_000, 12) };
    let mut chance = Chance(world.seed);
    let mut table = Table::new();
    // Half of the updates, kills, the other half, kills: so the cleaner meets what it has cleaned before.
    for half in 0..2 {
        update(&node, &broker, &mut chance, (half, updates / 2, keys), &mut table)?;
        let mut killed = 0;
        while killed < kills / 2 && is_cleaning(&node)? {
            std::thread::sleep(Duration::from_millis(chance.bits() % 200));
            broker.kill()?;
            killed += 1;
            broker = node.start(world)?;
        }
        report.check(
            &format!("half {} is written, and killed in its cleaning", half + 1),
            if killed > 0 { Ok(format!("{killed} times")) } else { Err("nothing is cleaned".to_owned()) },
        );
    }
    broker.kill()?;
    project::write(&node.properties, quickly)?;
    broker = node.start(world)?;

    mark(&node, &broker)?;
    report.check(
        &format!("{updates} updates of {keys} keys become the last value of each"),
        wait_until_clean(&node, &broker, &table),
    );
    testers(world, report, &node, &broker)?;
    broker.stop()?;
    report.check("Apache Kafka's kafka-dump-log agrees", dumped(&node, &table));
    Ok(())
}

/// Creates the topic.
pub fn create(node: &Node, broker: &Broker) -> Result<(), String> {
    let partitions = PARTITIONS.to_string();
    let mut create = vec!["--create", "--topic", TOPIC, "--partitions", &partitions];
    for config in [
        "cleanup.policy=compact",
        "segment.bytes=1048576",
        "segment.ms=1000",
        "min.cleanable.dirty.ratio=0.01",
        "delete.retention.ms=0",
    ] {
        create.extend(["--config", config]);
    }
    program::run(&mut tool("kafka-topics", &broker.bootstrap(), &create)?, &node.dir, "create")?.good()
}

/// Writes updates of random keys, one in fifty a deletion, and enters them in the table.
pub fn update(
    node: &Node,
    broker: &Broker,
    chance: &mut Chance,
    (half, updates, keys): (usize, usize, usize),
    table: &mut Table,
) -> Result<(), String> {
    let mut lines = String::new();
    for number in 0..updates {
        let key = format!("key-{}", chance.below(keys));
        let padding = [chance.bits(), chance.bits(), chance.bits(), chance.bits()];
        let value = (chance.below(50) > 0).then(|| format!("update {number} of half {half} {padding:x?}"));
        // A String takes all that is written.
        let _ = writeln!(lines, "{key}\t{}", value.as_deref().unwrap_or_default());
        table.insert(key, value);
    }
    write(node, broker, &[], &lines)
}

/// Writes a record to each partition, in a segment of its own: all before it can be cleaned.
pub fn mark(node: &Node, broker: &Broker) -> Result<(), String> {
    // Segments end after a second.
    std::thread::sleep(Duration::from_millis(1100));
    for partition in 0..PARTITIONS {
        write(node, broker, &["-p", &partition.to_string()], &format!("{MARK}\t\n"))?;
    }
    Ok(())
}

/// Lines of KEY, a tab and a value; no value deletes.
fn write(node: &Node, broker: &Broker, more: &[&str], lines: &str) -> Result<(), String> {
    let input = node.dir.join("lines.txt");
    project::write(&input, lines)?;
    let mut kcat = kcat(&broker.bootstrap());
    kcat.args(["-P", "-t", TOPIC, "-K", "\\t", "-Z", "-X", "enable.idempotence=true"]);
    kcat.args(["-X", "batch.num.messages=200", "-X", "queue.buffering.max.messages=1000000"]).args(more);
    program::run_with_input(&mut kcat, &node.dir, "write", &input)?.good()
}

/// Waits until there is a file that a cleaner writes; false if none appears, because all is clean.
fn is_cleaning(node: &Node) -> Result<bool, String> {
    let until = Instant::now() + Duration::from_secs(40);
    loop {
        for partition in 0..PARTITIONS {
            let dir = node.data.join(format!("{TOPIC}-{partition}"));
            let entries = std::fs::read_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
            if entries.flatten().any(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                name.ends_with(".cleaned") || name.ends_with(".swap")
            }) {
                return Ok(true);
            }
        }
        if Instant::now() > until {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Reads the topic again and again until it holds a record for each key and nothing else.
pub fn wait_until_clean(node: &Node, broker: &Broker, table: &Table) -> Result<String, String> {
    let until = Instant::now() + Duration::from_secs(120);
    loop {
        let (read, records) = read(node, broker)?;
        // What is wrong now does not become right later.
        agree(&read, table)?;
        let live = table.values().flatten().count();
        let deleted = table.len() - live;
        if (live..=table.len()).contains(&records) {
            return Ok(format!("{live} values, {} of {deleted} deletions left", records - live));
        }
        if Instant::now() > until {
            return Err(format!("{records} records for {} keys", table.len()));
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// The last value of each key as a consumer sees it, and how many records there are.
fn read(node: &Node, broker: &Broker) -> Result<(Table, usize), String> {
    let mut table = Table::new();
    let mut records = 0;
    for partition in 0..PARTITIONS {
        let mut kcat = kcat_read(&broker.bootstrap(), TOPIC, partition, "%o\\t%k\\t%S\\t%s\\n");
        let mut last = None;
        for line in program::run(&mut kcat, &node.dir, "read")?.text()?.lines() {
            let mut cells = line.splitn(4, '\t');
            let mut cell = || cells.next().ok_or_else(|| format!("kcat printed {line:?}"));
            let offset: u64 = cell()?.parse().map_err(|error| format!("{line:?}: {error}"))?;
            let (key, size, value) = (cell()?, cell()?, cell()?);
            if last.is_some_and(|last| last >= offset) {
                return Err(format!("offset {offset} of partition {partition} comes after {last:?}"));
            }
            last = Some(offset);
            if key != MARK {
                records += 1;
                table.insert(key.to_owned(), (size != "-1").then(|| value.to_owned()));
            }
        }
    }
    Ok((table, records))
}

/// Whether every key has its last value. A key that was deleted may still say so.
fn agree(read: &Table, expected: &Table) -> Result<(), String> {
    for (key, value) in expected {
        let found = read.get(key).cloned().flatten();
        if found != *value {
            return Err(format!("{key} is {found:?} instead of {value:?}"));
        }
    }
    match read.keys().find(|key| !expected.contains_key(*key)) {
        Some(key) => Err(format!("{key} was never written")),
        None => Ok(()),
    }
}

/// Apache Kafka's own test of a cleaner, and milena's beside it: they write, wait, and compare what they read with what they wrote.
fn testers(world: &World, report: &mut Report, node: &Node, broker: &Broker) -> Result<(), String> {
    let theirs = tester(world, node, broker, apache::tool("log-compaction-tester")?);
    let said = theirs.as_ref().map(|text| plainly(text)).unwrap_or_default();
    report.check("Apache Kafka's LogCompactionTester agrees", theirs.map(|text| reduction(&text)));
    let Ok(milena) = world.milena() else {
        report.skip("milena's log-compaction-tester agrees", "milena is not at hand");
        return Ok(());
    };
    let mut ours = Command::new(milena);
    ours.arg("log-compaction-tester");
    let ours = tester(world, node, broker, ours).and_then(|text| match plainly(&text) {
        plain if plain == said => Ok(reduction(&text)),
        plain => Err(format!("it says {plain:?} where Apache Kafka's says {said:?}")),
    });
    report.check("milena's log-compaction-tester agrees, in the same words", ours);
    Ok(())
}

/// What a tester printed, if it was content.
fn tester(world: &World, node: &Node, broker: &Broker, mut tester: Command) -> Result<String, String> {
    let (messages, sleep) = if world.smoke { ("20000", "5") } else { ("500000", "30") };
    tester.args(["--bootstrap-server", &broker.bootstrap(), "--messages", messages, "--sleep", sleep]);
    tester.args(["--topics", "2", "--percent-deletes", "10"]);
    let text = program::run(&mut tester, &node.dir, "tester")?.text()?;
    match text.lines().last() {
        Some("Data verification is completed") => Ok(text),
        last => Err(format!("it ended with {last:?}")),
    }
}

/// The line that says how much was left.
fn reduction(printed: &str) -> String {
    printed.lines().find(|line| line.contains("reduction")).unwrap_or_default().to_owned()
}

/// Without what is different each time: numbers, and the topics' names; and without the names of files.
fn plainly(printed: &str) -> String {
    // milena's needs no files as long as memory does.
    let lines = printed.lines().filter(|line| !line.starts_with("Logging "));
    let lines = lines.map(|line| line.split_once("..to topics").map_or(line, |(before, _)| before));
    let plain = lines.map(|line| line.replace(|letter: char| letter.is_ascii_digit(), ""));
    plain.collect::<Vec<_>>().join("\n")
}

/// The same table in the segments of the stopped broker.
fn dumped(node: &Node, table: &Table) -> Result<String, String> {
    let mut read = Table::new();
    let mut files = 0;
    for partition in 0..PARTITIONS {
        let segments = node.segments(&format!("{TOPIC}-{partition}"))?;
        files += segments.len();
        for line in dump::records(node, &segments)?.lines() {
            let Some((_, record)) = line.split_once(" key: ") else { continue };
            let (key, value) = match record.split_once(" payload: ") {
                Some((key, value)) => (key, Some(value.to_owned())),
                None => (record, None),
            };
            if key != MARK {
                read.insert(key.to_owned(), value);
            }
        }
    }
    agree(&read, table)?;
    Ok(format!("{} keys in {files} segments", read.len()))
}
