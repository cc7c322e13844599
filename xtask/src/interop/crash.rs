//! Kill -9 in the middle of a load: nothing that was acknowledged is missing, nothing is doubled. And the last segment
//! cut at a random byte: every whole batch before the cut is served.

use super::broker::{Broker, Kind, Node};
use super::chance::Chance;
use super::hostile::batch::Batch;
use super::hostile::produce_once;
use super::report::Report;
use super::toolbox::{java, kcat_read, kcat_write, python, tool};
use super::{World, program};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const PARTITIONS: u32 = 2;
const NOT_LEADER_OR_FOLLOWER: i16 = 6;

/// Runs the case.
pub fn run(world: &World, report: &mut Report) -> Result<(), String> {
    in_flight(world, report)?;
    let librdkafka = python(world, "crash/load.py")?;
    kills(world, report, "librdkafka", librdkafka)?;
    kills(world, report, "java", java("crash/Load.java")?)
}

/// A producer may have five batches on their way when the broker dies. When it sends them again, the broker must know each
/// of them, not only the last: otherwise the client begins a new epoch, and writes them twice.
fn in_flight(world: &World, report: &mut Report) -> Result<(), String> {
    let node = Node::new(world, "crash/in-flight", &[])?;
    let mut broker = node.start(world)?;
    let create = ["--create", "--topic", "flight"];
    program::run(&mut tool("kafka-topics", &broker.bootstrap(), &create)?, &node.dir, "create")?.good()?;
    let of_producer =
        |sequence| Batch { producer_id: 4711, producer_epoch: 0, base_sequence: sequence, ..Batch::now() };
    let batches: Vec<Vec<u8>> = (0..5).map(|sequence| of_producer(sequence).bytes()).collect();
    // Who has just registered leads nothing until the controller has let it back in: a client asks again, and so does this.
    let until = Instant::now() + Duration::from_secs(30);
    let patiently = |broker: &Broker, batch: &[u8]| loop {
        match produce_once(broker.port, "flight", batch) {
            Ok((NOT_LEADER_OR_FOLLOWER, _)) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(20));
            }
            answer => break answer,
        }
    };
    let send = |broker: &Broker| -> Vec<_> { batches.iter().map(|batch| patiently(broker, batch)).collect() };
    let known: Vec<_> = (0..5).map(|offset| Ok((0, offset))).collect();
    let mut answers = vec![send(&broker), send(&broker)];
    broker.kill()?;
    broker = node.start(world)?;
    answers.push(send(&broker));
    let what = "five batches sent again, before and after a kill, are known";
    let result = if answers.iter().all(|answer| *answer == known) {
        Ok(String::new())
    } else {
        Err(format!("{answers:?}"))
    };
    match (world.kind, result) {
        // It rests on the snapshot that it writes when it recovers, and a snapshot has the last batch alone.
        (Kind::Apache, Err(error)) => report.skip(what, &error),
        (_, result) => _ = report.check(what, result),
    }
    broker.stop()
}

fn kills(world: &World, report: &mut Report, client: &str, mut load: Command) -> Result<(), String> {
    // Syncs and small segments, so that crashes meet rolled segments, snapshots and recovery points.
    let node = Node::new(world, &format!("crash/{client}"), &[])?;
    let mut broker = node.start(world)?;
    let create = ["--create", "--topic", "load", "--partitions", "2", "--config", "segment.bytes=1048576"];
    program::run(&mut tool("kafka-topics", &broker.bootstrap(), &create)?, &node.dir, "create")?.good()?;

    let (count, rate, kills) = if world.smoke { (30_000, 5_000, 2) } else { (300_000, 10_000, 8) };
    load.args([&broker.bootstrap(), "load", &count.to_string(), &rate.to_string()]);
    let mut running = program::start(&mut load, &node.dir, "load", None)?;
    for kill in 1..=kills {
        wait_for_acknowledged(&mut running, count * kill / (kills + 1))?;
        broker.kill()?;
        broker = node.start(world)?;
    }
    let ran = running.wait(Duration::from_secs(240));
    report.check(
        &format!("{client}: an idempotent producer lives through {kills} kills"),
        ran.good().map(|()| format!("{count} records")),
    );
    let acknowledged = acknowledged(&ran.out)?;
    report.check(
        &format!("{client}: nothing is missing, nothing is doubled, nothing is out of order"),
        served(&node.dir, &broker.bootstrap(), "load", PARTITIONS)
            .and_then(|served| same(&acknowledged, &served, count)),
    );
    cuts(world, report, client, &node, broker)
}

/// Waits until a producer has printed so many acknowledgements.
pub(super) fn wait_for_acknowledged(running: &mut program::Running, count: usize) -> Result<(), String> {
    let until = Instant::now() + Duration::from_secs(200);
    while running.so_far().lines().count() < count {
        if !running.runs() {
            return Err(format!("the producer ended before {count} records were acknowledged"));
        }
        if Instant::now() > until {
            return Err(format!("{count} records were not acknowledged in time"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Where each number is, as the producer was told: (partition, offset).
pub(super) fn acknowledged(file: &Path) -> Result<HashMap<String, (u32, u64)>, String> {
    let mut places = HashMap::new();
    for line in crate::project::read(file)?.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [number, partition, offset, _] = words[..] else {
            return Err(format!("the producer printed {line:?}"));
        };
        let place = (parse(partition)?, parse(offset)?);
        places.insert(number.to_owned(), place);
    }
    Ok(places)
}

pub(super) fn parse<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

/// Each served record of a topic: (partition, offset, number), in the order of the partitions and their offsets.
pub(super) fn served(
    dir: &Path,
    bootstrap: &str,
    topic: &str,
    partitions: u32,
) -> Result<Vec<(u32, u64, String)>, String> {
    let mut served = Vec::new();
    for partition in 0..partitions {
        let text = std::fs::read_to_string(read(dir, bootstrap, topic, partition, "served")?)
            .map_err(|error| error.to_string())?;
        for line in text.lines() {
            let (offset, number) = line.split_once(' ').unwrap_or_default();
            served.push((partition, parse(offset)?, number.to_owned()));
        }
    }
    Ok(served)
}

fn read(dir: &Path, bootstrap: &str, topic: &str, partition: u32, label: &str) -> Result<PathBuf, String> {
    let mut kcat = kcat_read(bootstrap, topic, partition, "%o %s\n");
    let ran = program::run(&mut kcat, dir, &format!("{label}-{partition}"))?;
    ran.good()?;
    Ok(ran.out)
}

/// Each acknowledged record once, where it was acknowledged, and in each partition in the order of sending.
pub(super) fn same(
    acknowledged: &HashMap<String, (u32, u64)>,
    served: &[(u32, u64, String)],
    count: usize,
) -> Result<String, String> {
    let mut seen: HashMap<&str, (u32, u64)> = HashMap::new();
    let mut last: HashMap<u32, u64> = HashMap::new();
    for (partition, offset, number) in served {
        let sent = parse(number)?;
        if let Some(before) = last.insert(*partition, sent)
            && before > sent
        {
            return Err(format!("{number} is at {offset} of partition {partition}, behind {before}"));
        }
        if let Some(before) = seen.insert(number, (*partition, *offset)) {
            return Err(format!("{number} is at {before:?} and at {:?}", (partition, offset)));
        }
    }
    for (number, place) in acknowledged {
        match seen.get(number.as_str()) {
            None => return Err(format!("{number} was acknowledged at {place:?} and is missing")),
            Some(found) if found != place => {
                return Err(format!("{number} was acknowledged at {place:?} and is at {found:?}"));
            }
            Some(_) => {}
        }
    }
    if acknowledged.len() != count || seen.len() != count {
        return Err(format!("{} acknowledged and {} served of {count}", acknowledged.len(), seen.len()));
    }
    Ok(format!("{count} records, each once, in order, each where it was acknowledged"))
}

fn cuts(
    world: &World,
    report: &mut Report,
    client: &str,
    node: &Node,
    mut broker: Broker,
) -> Result<(), String> {
    let mut chance = Chance(world.seed);
    let cuts = if world.smoke { 2 } else { 10 };
    for cut in 1..=cuts {
        let whole = read(&node.dir, &broker.bootstrap(), "load", 0, "whole")?;
        let kept = node.dir.join("before-the-cut.txt");
        std::fs::rename(whole, &kept).map_err(|error| error.to_string())?;
        broker.kill()?;
        let (at, end) = cut_last_segment(node, &mut chance)?;
        broker = node.start(world)?;
        let left = read(&node.dir, &broker.bootstrap(), "load", 0, "left")?;
        report.check(
            &format!("{client}: cut {cut} at byte {at}: every whole batch is served"),
            prefix(&kept, &left, end),
        );
    }
    let line = node.dir.join("one.txt");
    crate::project::write(&line, "after the cuts\n")?;
    let wrote = program::run_with_input(
        &mut kcat_write(&broker.bootstrap(), "load", "none"),
        &node.dir,
        "after",
        &line,
    )?;
    let text = std::fs::read_to_string(read(&node.dir, &broker.bootstrap(), "load", 0, "after-read")?)
        .map_err(|error| error.to_string())?;
    let last = text.lines().last().unwrap_or_default();
    let result = if last.ends_with(" after the cuts") {
        Ok(last.to_owned())
    } else {
        Err(format!("the last is {last:?}"))
    };
    report.check(&format!("{client}: and takes more"), wrote.good().and(result));
    broker.stop()
}

/// Cuts the last segment of partition 0 somewhere in its second half; the byte, and the offset after the last whole batch.
fn cut_last_segment(node: &Node, chance: &mut Chance) -> Result<(u64, u64), String> {
    let segments = node.segments("load-0")?;
    let last = segments
        .iter()
        .rev()
        .find(|path| path.metadata().is_ok_and(|file| file.len() > 0))
        .ok_or("no segment")?;
    if segments.last() != Some(last) {
        // An empty active segment stands behind it: the cut must hit the last.
        std::fs::remove_file(&segments[segments.len() - 1]).map_err(|error| error.to_string())?;
    }
    let mut bytes = std::fs::read(last).map_err(|error| error.to_string())?;
    let at = bytes.len() / 2 + chance.below(bytes.len() / 2);
    bytes.truncate(at);
    let name = last.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut end = parse(&name)?;
    let mut rest = &bytes[..];
    // base offset, length of what follows, then at 23 the delta of the last offset
    while let Some(length) = rest.get(8..12) {
        let length = 12 + u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let Some(batch) = rest.get(..length) else { break };
        let base = batch[..8].iter().fold(0_u64, |offset, byte| offset << 8 | u64::from(*byte));
        let delta = batch[23..27].iter().fold(0_u64, |delta, byte| delta << 8 | u64::from(*byte));
        end = base + delta + 1;
        rest = &rest[length..];
    }
    std::fs::write(last, &bytes).map_err(|error| error.to_string())?;
    Ok((at as u64, end))
}

/// What is left is what was there before, up to an offset.
fn prefix(before: &Path, left: &Path, end: u64) -> Result<String, String> {
    let (before, left) = (crate::project::read(before)?, crate::project::read(left)?);
    let expected: Vec<&str> = before
        .lines()
        .take_while(|line| {
            line.split(' ')
                .next()
                .and_then(|offset| offset.parse().ok())
                .is_some_and(|offset: u64| offset < end)
        })
        .collect();
    let left: Vec<&str> = left.lines().collect();
    if left == expected {
        Ok(format!("{} records up to offset {end}", left.len()))
    } else {
        Err(format!("{} records instead of {} up to offset {end}", left.len(), expected.len()))
    }
}
