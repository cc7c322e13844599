//! Instances of a Kafka Streams application in a streams group (KIP-1071): tasks are divided and taken over, counts are right.

use super::broker::Node;
use super::chance::Chance;
use super::program::{self, Running};
use super::report::Report;
use super::toolbox::{kcat, kcat_read, tool};
use super::{World, crash};
use crate::{apache, project};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

const CASE: &str = "streams-groups";
const APPLICATION: &str = "word-count";
const PARTITIONS: u32 = 4;
const WORDS: usize = 25;
/// Longer than anything here takes, on any machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// Who has died is missed soon.
pub const SETTINGS: [(&str, &str); 5] = [
    ("group.streams.min.session.timeout.ms", "1000"),
    ("group.streams.session.timeout.ms", "10000"),
    ("group.streams.min.heartbeat.interval.ms", "500"),
    ("group.streams.heartbeat.interval.ms", "1000"),
    ("group.streams.initial.rebalance.delay.ms", "0"),
];

/// Runs the case.
pub fn run(world: &World, report: &mut Report) -> Result<(), String> {
    let node = Node::new(world, CASE, &SETTINGS)?;
    let broker = node.start(world)?;
    let bootstrap = broker.bootstrap();
    let partitions = PARTITIONS.to_string();
    for topic in ["lines", "counts"] {
        let create = ["--create", "--topic", topic, "--partitions", &partitions];
        program::run(&mut tool("kafka-topics", &bootstrap, &create)?, &node.dir, "create")?.good()?;
    }
    let mut chance = Chance(world.seed);
    let mut counts = BTreeMap::new();
    let lines = if world.smoke { 2_000 } else { 100_000 };
    write(&node, &bootstrap, lines, &mut chance, &mut counts)?;

    let all: BTreeSet<String> =
        (0..2).flat_map(|part| (0..PARTITIONS).map(move |number| format!("{part}_{number}"))).collect();
    let mut first = start(&node.dir, &bootstrap, APPLICATION, "first")?;
    let alone = until("one instance has all tasks", &mut [&mut first], |tasks| tasks[0] == all);
    report.check("one instance has all tasks", alone);
    report.check("the counts are right", right(&node, &bootstrap, &counts));

    let mut second = start(&node.dir, &bootstrap, APPLICATION, "second")?;
    let divided =
        until("two instances have half of the tasks each", &mut [&mut first, &mut second], |tasks| {
            tasks.iter().all(|tasks| tasks.len() == all.len() / 2)
                && tasks.iter().flatten().cloned().collect::<BTreeSet<_>>() == all
        });
    report.check("two instances have half of the tasks each", divided);
    tools(report, &node, &bootstrap)?;

    // Dropped, it is killed.
    drop(second);
    write(&node, &bootstrap, lines, &mut chance, &mut counts)?;
    let taken_over =
        until("the other has all tasks after a kill -9", &mut [&mut first], |tasks| tasks[0] == all);
    report.check("the other has all tasks after a kill -9", taken_over);
    report.check("the counts are right after it", right(&node, &bootstrap, &counts));

    first.tell_to_end();
    let ended = first.wait(PATIENCE).good();
    report.check("an instance that is told to ends", ended.map(|()| String::new()));
    report.check("the empty group can be deleted", deleted(&node, &bootstrap));
    broker.stop()
}

/// Starts an instance of an application.
pub fn start(dir: &Path, bootstrap: &str, application: &str, name: &str) -> Result<Running, String> {
    let mut java = apache::Jars::Streams.java()?;
    java.args(["-Xmx256m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]);
    java.arg(project::root().join("interop/streams-groups/WordCount.java"));
    java.args([bootstrap, application]).arg(dir.join(name));
    program::start_until_told(&mut java, dir, name)
}

/// Writes lines of words, and counts these.
fn write(
    node: &Node,
    bootstrap: &str,
    lines: usize,
    chance: &mut Chance,
    counts: &mut BTreeMap<String, usize>,
) -> Result<(), String> {
    let mut text = String::new();
    for _ in 0..lines {
        let words: Vec<String> = (0..3).map(|_| format!("word-{}", chance.below(WORDS))).collect();
        for word in &words {
            *counts.entry(word.clone()).or_default() += 1;
        }
        text.push_str(&words.join(" "));
        text.push('\n');
    }
    let input = node.dir.join("lines.txt");
    project::write(&input, text)?;
    let mut kcat = kcat(bootstrap);
    kcat.args(["-P", "-t", "lines", "-X", "enable.idempotence=true"]);
    kcat.args(["-X", "queue.buffering.max.messages=1000000", "-X", "sticky.partitioning.linger.ms=0"]);
    program::run_with_input(&mut kcat, &node.dir, "write", &input)?.good()
}

/// The tasks that an instance last said to have.
fn tasks(instance: &Running) -> BTreeSet<String> {
    let text = instance.so_far();
    let last = text.lines().filter_map(|line| line.strip_prefix("TASKS ")).next_back();
    last.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

fn until(
    what: &str,
    instances: &mut [&mut Running],
    mut is_so: impl FnMut(&[BTreeSet<String>]) -> bool,
) -> Result<String, String> {
    let begun = Instant::now();
    loop {
        let now: Vec<_> = instances.iter().map(|instance| tasks(instance)).collect();
        if is_so(&now) {
            return Ok(format!("{} s", begun.elapsed().as_secs()));
        }
        if let Some(ended) = instances.iter_mut().position(|instance| !instance.runs()) {
            return Err(format!("instance {ended} has ended: {now:?}"));
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("{what}: not in time: {now:?}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Waits until the last count of each word is that of the lines that were written.
fn right(node: &Node, bootstrap: &str, expected: &BTreeMap<String, usize>) -> Result<String, String> {
    let begun = Instant::now();
    loop {
        let mut found = BTreeMap::new();
        for partition in 0..PARTITIONS {
            let mut read = kcat_read(bootstrap, "counts", partition, "%k %s\n");
            for line in program::run(&mut read, &node.dir, "counts")?.text()?.lines() {
                let (word, count) = line.split_once(' ').unwrap_or_default();
                found.insert(word.to_owned(), crash::parse(count)?);
            }
        }
        if found == *expected {
            return Ok(format!("{} words, {} in all", found.len(), found.values().sum::<usize>()));
        }
        // What was counted too often stays so.
        let too_many =
            found.iter().find(|(word, count)| expected.get(*word).is_none_or(|right| *count > right));
        if let Some((word, count)) = too_many {
            return Err(format!("{word} is counted {count} times instead of {:?}", expected.get(word)));
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("{found:?} instead of {expected:?}"));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// What Apache Kafka's tool says of the group while it is at work.
fn tools(report: &mut Report, node: &Node, bootstrap: &str) -> Result<(), String> {
    let mut ask = |what: &str, arguments: &[&str], expected: &[&str]| -> Result<(), String> {
        let ran = program::run(&mut tool("kafka-streams-groups", bootstrap, arguments)?, &node.dir, "tool")?;
        let text = ran.everything();
        let missing = expected.iter().find(|word| !text.contains(**word));
        report.check(
            what,
            match missing {
                None => Ok(String::new()),
                Some(word) => Err(format!("{word:?} is not in {text:?}")),
            },
        );
        Ok(())
    };
    ask("the group is listed with its state", &["--list", "--state"], &[APPLICATION, "Stable"])?;
    let describe = ["--describe", "--group", APPLICATION];
    ask("its offsets are described", &describe, &["lines", "counts-repartition"])?;
    ask("so are its members", &[&describe[..], &["--members"]].concat(), &["ACTIVE", "0:", "1:"])?;
    let delete = ["--delete", "--group", APPLICATION];
    ask("with members it is not deleted", &delete, &["GroupNotEmptyException"])
}

fn deleted(node: &Node, bootstrap: &str) -> Result<String, String> {
    // A member may be gone a moment before the coordinator knows.
    let until = Instant::now() + PATIENCE;
    loop {
        let delete = ["--delete", "--group", APPLICATION];
        let text = program::run(&mut tool("kafka-streams-groups", bootstrap, &delete)?, &node.dir, "delete")?
            .everything();
        if text.contains("was successful") {
            break;
        }
        if !text.contains("GroupNotEmptyException") || Instant::now() > until {
            return Err(text);
        }
    }
    let list = program::run(&mut tool("kafka-streams-groups", bootstrap, &["--list"])?, &node.dir, "list")?;
    match list.text()?.contains(APPLICATION) {
        true => Err("it is still listed".to_owned()),
        false => Ok(String::new()),
    }
}
