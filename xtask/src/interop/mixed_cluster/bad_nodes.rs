//! Nodes that come to a cluster with what does not belong there: another cluster's id, a log that nobody else has, a log
//! whose end was lost, an empty disk, epochs that are over. Each is refused or repaired, and says which.

use super::super::World;
use super::super::cluster::{Cluster, Role};
use super::super::program;
use super::super::report::Report;
use super::super::toolbox::{kcat, kcat_read, kcat_write, tool};
use crate::project;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A broker that says nothing for so long is given up: soon, so that the case need not wait.
const SESSION: [(&str, &str); 2] =
    [("broker.session.timeout.ms", "3000"), ("broker.heartbeat.interval.ms", "500")];

/// Runs the case: three combined nodes, a broker that comes from elsewhere, and one that comes with the id of another.
pub fn run(world: &World, report: &mut Report) -> Result<(), String> {
    let roles = [Role::Combined, Role::Combined, Role::Combined, Role::Broker, Role::Broker];
    let mut cluster = Cluster::new(world, "bad-nodes", &roles, &SESSION)?;
    cluster.start(world, &[world.kind; 3])?;
    cluster.create_topic("lines", 1, 3)?;
    cluster.wait_in_sync("lines", 3)?;
    write(&cluster, "first", 0..100)?;
    report.check("a broker of another cluster is not let in", stranger(world, &mut cluster));
    report.check("a log that is longer, of an older epoch, is cut", older_epoch(world, &mut cluster));
    report.check("a log that lost its end gets it again", lost_end(world, &mut cluster));
    report.check("a controller with an empty disk begins anew", empty_disk(world, &mut cluster));
    report.check("a controller of an older epoch gives up", older_controller(&mut cluster));
    let both = older_broker(world, &mut cluster);
    for id in [4, 5] {
        // Not all of them may run.
        drop(cluster.member(id)?.kill());
    }
    report.check("a broker whose epoch is over is not heard", both);
    cluster.members.retain(|member| member.id < 4);
    // All at once: the last one of Apache Kafka would wait for a quorum.
    for member in &mut cluster.members {
        member.process()?.signal("TERM")?;
    }
    cluster.stop()
}

/// Lines of these numbers, acknowledged by all.
fn write(cluster: &Cluster, label: &str, numbers: std::ops::Range<u32>) -> Result<(), String> {
    write_to(cluster, "lines", label, numbers)
}

fn write_to(
    cluster: &Cluster,
    topic: &str,
    label: &str,
    numbers: std::ops::Range<u32>,
) -> Result<(), String> {
    let lines = lines(cluster, label, numbers)?;
    let mut write = kcat_write(&cluster.bootstrap(), topic, "none");
    program::run_with_input(&mut write, &cluster.dir, label, &lines)?.good()
}

fn lines(cluster: &Cluster, label: &str, numbers: std::ops::Range<u32>) -> Result<PathBuf, String> {
    let file = cluster.dir.join(format!("{label}.txt"));
    let text: String = numbers.map(|number| format!("{label} {number}\n")).collect();
    project::write(&file, text)?;
    Ok(file)
}

fn read(cluster: &Cluster) -> Result<String, String> {
    let mut read = kcat_read(&cluster.bootstrap(), "lines", 0, "%s\n");
    program::run(&mut read, &cluster.dir, "read")?.text()
}

/// Node 4's directory is formatted for another cluster.
fn stranger(world: &World, cluster: &mut Cluster) -> Result<String, String> {
    let theirs = super::super::broker::cluster_id()?;
    let ours = cluster.start_stranger(world, 4, world.kind, &theirs)?;
    let refused = said(cluster, 4, &["INCONSISTENT_CLUSTER_ID"])?;
    let known = cluster.bootstrap_of(1)?;
    let listed = program::run(kcat(&known).arg("-L"), &cluster.dir, "list")?.text()?;
    // It may have ended by itself.
    drop(cluster.member(4)?.kill());
    if listed.contains("broker 4 at") {
        return Err(format!("{theirs} is let into {ours}"));
    }
    Ok(refused)
}

/// The leader has records that nobody else has, and is killed; the others go on without them.
fn older_epoch(world: &World, cluster: &mut Cluster) -> Result<String, String> {
    let leader = cluster.leader("lines", 0)?.ok_or("no leader")?;
    let others: Vec<i32> = (1..=3).filter(|id| *id != leader).collect();
    for id in &others {
        cluster.member(*id)?.process()?.signal("STOP")?;
    }
    // What they have asked for already would be answered with the first records: those requests are to run out.
    std::thread::sleep(Duration::from_secs(1));
    let alone = lines(cluster, "alone", 0..500)?;
    let mut unsafe_write = kcat(&cluster.bootstrap_of(leader)?);
    unsafe_write.args(["-P", "-t", "lines", "-p", "0", "-X", "acks=1"]);
    let wrote = program::run_with_input(&mut unsafe_write, &cluster.dir, "alone", &alone)?.good();
    let longer = last_segment(&cluster.member(leader)?.data)?.metadata().map(|file| file.len());
    cluster.member(leader)?.kill()?;
    for id in &others {
        cluster.member(*id)?.process()?.signal("CONT")?;
    }
    wrote?;
    let until = Instant::now() + Duration::from_secs(60);
    while cluster.leader("lines", 0)?.is_none_or(|id| id == leader) {
        if Instant::now() > until {
            return Err("nobody takes over".to_owned());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    write(cluster, "later", 0..100)?;
    cluster.start_one(world, leader, world.kind)?;
    cluster.wait_in_sync("lines", 3)?;
    let served = read(cluster)?;
    if served.contains("alone") || served.lines().count() != 200 {
        return Err(format!("{} lines are served, or some that nobody else had", served.lines().count()));
    }
    let size = same_logs(cluster)?;
    let says = said(cluster, leader, &["runcating to"])?;
    Ok(format!(
        "{} bytes became {size}, as the others have: {says}",
        longer.map_err(|error| error.to_string())?
    ))
}

/// A follower is killed, and the end of its log cut off, behind the recovery point, too.
fn lost_end(world: &World, cluster: &mut Cluster) -> Result<String, String> {
    let leader = cluster.leader("lines", 0)?.ok_or("no leader")?;
    let follower = (1..=3).find(|id| *id != leader).ok_or("no follower")?;
    cluster.member(follower)?.kill()?;
    let segment = last_segment(&cluster.member(follower)?.data)?;
    let file = std::fs::OpenOptions::new().write(true).open(&segment).map_err(|error| error.to_string())?;
    let size = file.metadata().map_err(|error| error.to_string())?.len();
    file.set_len(size * 2 / 3).map_err(|error| error.to_string())?;
    cluster.start_one(world, follower, world.kind)?;
    write(cluster, "again", 0..10)?;
    cluster.wait_in_sync("lines", 3)?;
    let whole = same_logs(cluster)?;
    Ok(format!("{} of {size} bytes were left, now {whole}", size * 2 / 3))
}

/// A controller's disk is replaced by an empty one. Its node says what it lacks; formatted, it gets all from the others.
fn empty_disk(world: &World, cluster: &mut Cluster) -> Result<String, String> {
    let id = cluster.active_controller()?;
    cluster.member(id)?.kill()?;
    let data = cluster.member(id)?.data.clone();
    std::fs::remove_dir_all(&data).map_err(|error| error.to_string())?;
    project::make_dir(&data)?;
    let (refused, words) = cluster.start_unformatted(world, id, world.kind)?;
    // Apache Kafka says what it has not found, milena what to do.
    if !refused || !["format", "No readable meta.properties"].iter().any(|says| words.contains(says)) {
        return Err(format!("it does not say that its directory is not formatted: {words}"));
    }
    cluster.start_one(world, id, world.kind)?;
    cluster.wait_in_sync("lines", 3)?;
    let size = same_logs(cluster)?;
    let text = read(cluster)?;
    if text.lines().count() != 210 {
        return Err(format!("{} lines of 210", text.lines().count()));
    }
    Ok(format!("node {id}, the active controller, has {size} bytes again"))
}

/// The active controller sleeps until another one leads, and awakes: it is the controller of an epoch that is over.
fn older_controller(cluster: &mut Cluster) -> Result<String, String> {
    let older = cluster.active_controller()?;
    let others: Vec<i32> = (1..=3).filter(|id| *id != older).collect();
    let awake: Vec<String> = others.iter().map(|id| cluster.bootstrap_of(*id)).collect::<Result<_, _>>()?;
    let awake = awake.join(",");
    let (epoch, heard) = (quorum_of(cluster, &awake)?.1, cluster.member(older)?.process()?.text().len());
    cluster.member(older)?.process()?.signal("STOP")?;
    let next = wait("another controller", || {
        Ok(quorum_of(cluster, &awake).ok().filter(|(id, next)| *id != older && *next > epoch))
    });
    let made = next.and_then(|next| {
        let create = ["--create", "--topic", "meanwhile", "--partitions", "1", "--replication-factor", "2"];
        program::run(&mut tool("kafka-topics", &awake, &create)?, &cluster.dir, "meanwhile")?.good()?;
        Ok(next)
    });
    cluster.member(older)?.process()?.signal("CONT")?;
    let (next, next_epoch) = made?;
    // It follows the other one now, and knows what that one decided.
    let own = cluster.bootstrap_of(older)?;
    wait("the older controller to know the topic", || {
        Ok(cluster.leader_by(&own, "meanwhile", 0)?.map(|_| ()))
    })?;
    let now = quorum_of(cluster, &own)?;
    if now.1 < next_epoch || now.0 == older && now.1 == epoch {
        return Err(format!(
            "node {older} led epoch {epoch}, node {next} epoch {next_epoch}, and now {now:?}"
        ));
    }
    let words = cluster.member(older)?.process()?.text();
    let new = words.get(heard..).unwrap_or_default();
    let says = new.lines().find(|line| GIVEN_UP.iter().any(|words| line.contains(words)));
    let says = says.ok_or_else(|| format!("node {older} does not say that it leads no more: {new}"))?;
    cluster.settle()?;
    Ok(format!("epoch {epoch} of node {older} became {next_epoch} of node {next}: {}", short(says)))
}

/// What a node says that led the quorum: Apache Kafka's where it sees the next epoch first, or that nobody has fetched from it meanwhile, and
/// ours.
const GIVEN_UP: [&str; 3] =
    ["Renouncing the leadership", "Completed transition to ResignedState", "no longer the active controller"];

/// Who leads the quorum, and its epoch, as these brokers know it.
fn quorum_of(cluster: &Cluster, bootstrap: &str) -> Result<(i32, i32), String> {
    let mut describe = tool("kafka-metadata-quorum", bootstrap, &["describe", "--status"])?;
    let said = program::run(&mut describe, &cluster.dir, "quorum")?.text()?;
    let number = |name: &str| {
        let found = said.lines().find_map(|line| line.strip_prefix(name));
        found.and_then(|number| number.trim().parse().ok()).ok_or_else(|| format!("{name}? {said}"))
    };
    Ok((number("LeaderId:")?, number("LeaderEpoch:")?))
}

/// A broker sleeps until its session is over, another process comes with its id, and then the first one awakes.
fn older_broker(world: &World, cluster: &mut Cluster) -> Result<String, String> {
    // So far it was a stranger.
    let data = cluster.member(4)?.data.clone();
    std::fs::remove_dir_all(&data).map_err(|error| error.to_string())?;
    cluster.start_one(world, 4, world.kind)?;
    let create = ["--create", "--topic", "four", "--replica-assignment", "4:1"];
    program::run(&mut tool("kafka-topics", &cluster.bootstrap(), &create)?, &cluster.dir, "four")?.good()?;
    write_to(cluster, "four", "before", 0..50)?;
    let heard = cluster.member(4)?.process()?.text().len();
    cluster.member(4)?.process()?.signal("STOP")?;
    let known = cluster.bootstrap_of(1)?;
    let other =
        wait("another leader", || Ok(cluster.leader_by(&known, "four", 0)?.filter(|leader| *leader != 4)));
    // The other process has the same id, and nothing else of the first.
    let second = cluster.member(5)?.properties.clone();
    let text = project::read(&second)?.replace("node.id=5", "node.id=4");
    project::write(&second, text)?;
    let came = other.and_then(|_| cluster.launch_one(world, 5, world.kind));
    let address = cluster.bootstrap_of(5)?;
    let here = format!("broker 4 at {address}");
    let came = came.and_then(|()| {
        wait("the second process", || Ok(cluster.list(&known, None)?.contains(&here).then_some(())))?;
        cluster.wait_in_sync_by(&known, "four", 2)
    });
    cluster.member(4)?.process()?.signal("CONT")?;
    came?;
    let says = said_since(cluster, 4, heard, &["STALE_BROKER_EPOCH"])?;
    let lines = lines(cluster, "after", 0..50)?;
    let mut after = kcat_write(&known, "four", "none");
    program::run_with_input(&mut after, &cluster.dir, "after", &lines)?.good()?;
    let served =
        program::run(&mut kcat_read(&known, "four", 0, "%s\n"), &cluster.dir, "read-four")?.text()?;
    if served.lines().count() != 100 || !cluster.list(&known, None)?.contains(&here) {
        return Err(format!("{} lines of 100, or broker 4 is not at {address}", served.lines().count()));
    }
    cluster.wait_in_sync_by(&known, "four", 2)?;
    Ok(says)
}

/// Asks until there is an answer.
fn wait<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>, String>) -> Result<T, String> {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() > until {
            return Err(format!("waited for {what} in vain"));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn short(line: &str) -> String {
    line.chars().take(240).collect()
}

/// Waits until a node says one of these words; its line.
fn said(cluster: &mut Cluster, id: i32, words: &[&str]) -> Result<String, String> {
    said_since(cluster, id, 0, words)
}

/// The same, behind what it had said before.
fn said_since(cluster: &mut Cluster, id: i32, before: usize, words: &[&str]) -> Result<String, String> {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let text = cluster.member(id)?.process()?.text();
        let mut lines = text.get(before..).unwrap_or_default().lines();
        if let Some(line) = lines.find(|line| words.iter().any(|word| line.contains(word))) {
            return Ok(short(line));
        }
        if Instant::now() > until {
            return Err(format!("node {id} says none of {words:?}: {text}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn last_segment(data: &Path) -> Result<PathBuf, String> {
    let mut files = project::files_below(&data.join("lines-0"))?;
    files.retain(|path| path.extension().is_some_and(|end| end == "log"));
    files.sort();
    files.pop().ok_or_else(|| "no segment".to_owned())
}

/// Waits until the three replicas have the same bytes; how many.
fn same_logs(cluster: &Cluster) -> Result<usize, String> {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let mut logs = Vec::new();
        for member in cluster.members.iter().filter(|member| member.id < 4) {
            let file = last_segment(&member.data)?;
            logs.push(std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?);
        }
        if logs.iter().all(|log| *log == logs[0]) {
            return Ok(logs[0].len());
        }
        if Instant::now() > until {
            return Err(format!("the logs have {:?} bytes", logs.iter().map(Vec::len).collect::<Vec<_>>()));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
