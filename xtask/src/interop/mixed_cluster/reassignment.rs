//! Partitions move from broker to broker, and from one log directory to another, under load with `acks=all`: freely, with a
//! throttle, and taken back half way. Nothing that was acknowledged is lost, doubled or reordered, and the replicas that are left
//! hold the same bytes.

use super::super::World;
use super::super::broker::Kind;
use super::super::chance::Chance;
use super::super::cluster::{Cluster, Role};
use super::super::program;
use super::super::report::Report;
use super::super::toolbox::{milena_tools, python, tool};
use super::Load;
use crate::project;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const CASE: &str = "mixed-cluster/reassignment";
const PARTITIONS: u32 = 2;
const LIMIT: Duration = Duration::from_secs(60);
/// What a throttled move may take in a second: less than the load brings, so that such a move never ends. A throttle acts
/// between fetches, so one fetch brings no more than this either: otherwise the first one can end a move.
const THROTTLE: &str = "2000";

/// Runs the case: three combined nodes, each with two log directories.
pub fn run(world: &World, report: &mut Report) -> Result<(), String> {
    let settings = [("min.insync.replicas", "2"), ("replica.fetch.max.bytes", THROTTLE)];
    let mut cluster = Cluster::new(world, CASE, &[Role::Combined; 3], &settings)?;
    for member in &cluster.members {
        let mut text = project::read(&member.properties)?;
        let data = member.data.display();
        text.push_str(&format!("log.dirs={data},{data}-2\n"));
        project::write(&member.properties, text)?;
    }
    cluster.start(world, &[world.kind; 3])?;
    cluster.create_topic("load", PARTITIONS, 2)?;
    cluster.wait_in_sync("load", 2)?;
    let rate = if world.smoke { 2_000 } else { 5_000 };
    let client = python(world, "crash/load.py")?;
    let mut load = Load::start_until_told(&cluster, client, ("load", PARTITIONS), rate)?;
    load.go_on(rate)?;
    let mut mover = Mover {
        tools: match world.kind {
            Kind::Milena => Some(milena_tools(world, CASE)?),
            Kind::Apache => None,
        },
        chance: Chance(world.seed),
        plans: 0,
    };
    let rounds = if world.smoke { 1 } else { 6 };
    for round in 1..=rounds {
        for (what, turn) in [
            ("to other brokers", Mover::move_away as fn(&mut Mover, &Cluster) -> Result<String, String>),
            ("with a throttle, taken back half way", Mover::move_half_way),
            ("to other log directories", Mover::move_dirs),
        ] {
            load.mark(format!("round {round}: {what}"));
            let moved = turn(&mut mover, &cluster);
            report.check(&format!("moves {what}, round {round} of {rounds}"), moved);
            load.go_on(rate / 2)?;
        }
    }
    load.finish(report, "reassignment", &cluster)?;
    let left = mover.assignment(&cluster)?;
    report.check("kafka-replica-verification finds the replicas equal", mover.verify_replicas(&cluster));
    cluster.stop()?;
    for (partition, replicas) in (0..).zip(&left) {
        let same = same_logs(&cluster, partition, replicas);
        report.check(&format!("the replicas of partition {partition} have the same bytes"), same);
    }
    Ok(())
}

/// Makes plans, and has them done.
struct Mover {
    /// milena's own tools; Apache Kafka's where its brokers are looked at.
    tools: Option<PathBuf>,
    chance: Chance,
    plans: usize,
}

impl Mover {
    /// Each partition goes to two brokers of the three, not the two that it is on.
    fn move_away(&mut self, cluster: &Cluster) -> Result<String, String> {
        let to = self.elsewhere(&self.assignment(cluster)?);
        let plan = self.plan(cluster, &to, None)?;
        self.execute(cluster, &plan, &[])?;
        let took = self.complete(cluster, &plan)?;
        match self.assignment(cluster)? == to {
            true => Ok(format!("to {to:?} in {took:.1} s")),
            false => Err(format!("they are at {:?} instead of {to:?}", self.assignment(cluster)?)),
        }
    }

    /// The same, but slower than the load: then it is taken back.
    fn move_half_way(&mut self, cluster: &Cluster) -> Result<String, String> {
        let from = self.assignment(cluster)?;
        let to = self.elsewhere(&from);
        let plan = self.plan(cluster, &to, None)?;
        self.execute(cluster, &plan, &["--throttle", THROTTLE])?;
        std::thread::sleep(Duration::from_millis(1500));
        let listed = self.tool(cluster, &["--list"])?;
        if !listed.contains("load-") {
            return Err(format!("the move has ended in spite of the throttle: {listed}"));
        }
        self.tool(cluster, &["--cancel", "--reassignment-json-file", &plan])?;
        let until = Instant::now() + LIMIT;
        while self.tool(cluster, &["--list"])?.contains("load-") {
            if Instant::now() > until {
                return Err("it is still under way though it was taken back".to_owned());
            }
        }
        cluster.wait_in_sync("load", 2)?;
        // The order of what is taken back is that of the move.
        let now = self.assignment(cluster)?;
        match sorted(now.clone()) == sorted(from.clone()) {
            true => Ok(format!("they stayed at {now:?}")),
            false => Err(format!("they are at {now:?} instead of {from:?}")),
        }
    }

    /// Each replica goes to the log directory that it is not in.
    fn move_dirs(&mut self, cluster: &Cluster) -> Result<String, String> {
        let at = self.assignment(cluster)?;
        let mut dirs = Vec::new();
        for (partition, replicas) in (0..).zip(&at) {
            let mut of_partition = Vec::new();
            for replica in replicas {
                let dirs = log_dirs(cluster, *replica)?;
                let other = dirs.iter().find(|dir| !dir.join(format!("load-{partition}")).exists());
                let other = other.ok_or_else(|| format!("load-{partition} is in both of {dirs:?}"))?;
                of_partition.push(other.display().to_string());
            }
            dirs.push(of_partition);
        }
        let plan = self.plan(cluster, &at, Some(&dirs))?;
        self.execute(cluster, &plan, &[])?;
        let took = self.complete(cluster, &plan)?;
        for (partition, dirs) in (0..).zip(&dirs) {
            for dir in dirs {
                if !PathBuf::from(dir).join(format!("load-{partition}")).exists() {
                    return Err(format!("load-{partition} is not in {dir}"));
                }
            }
        }
        Ok(format!("{} replicas in {took:.1} s", dirs.iter().map(Vec::len).sum::<usize>()))
    }

    /// Two brokers for each partition, one of them new, in any order.
    fn elsewhere(&mut self, from: &[Vec<i32>]) -> Vec<Vec<i32>> {
        let mut to = Vec::new();
        for replicas in from {
            let new = (1..=3).find(|id| !replicas.contains(id)).unwrap_or(1);
            let kept = replicas[self.chance.below(replicas.len())];
            to.push(if self.chance.below(2) == 0 { vec![new, kept] } else { vec![kept, new] });
        }
        to
    }

    /// Writes a plan; the file's name.
    fn plan(
        &mut self,
        cluster: &Cluster,
        to: &[Vec<i32>],
        dirs: Option<&[Vec<String>]>,
    ) -> Result<String, String> {
        let partitions: Vec<String> = (0..)
            .zip(to)
            .map(|(partition, replicas)| {
                let dirs = dirs.and_then(|dirs| dirs.get(partition));
                let dirs = dirs.map_or(String::new(), |dirs| format!(",\"log_dirs\":{dirs:?}"));
                format!("{{\"topic\":\"load\",\"partition\":{partition},\"replicas\":{replicas:?}{dirs}}}")
            })
            .collect();
        self.plans += 1;
        let file = cluster.dir.join(format!("plan-{}.json", self.plans));
        project::write(&file, format!("{{\"version\":1,\"partitions\":[{}]}}", partitions.join(",")))?;
        Ok(file.display().to_string())
    }

    fn execute(&self, cluster: &Cluster, plan: &str, options: &[&str]) -> Result<(), String> {
        let mut words = vec!["--execute", "--reassignment-json-file", plan];
        words.extend(options);
        self.tool(cluster, &words).map(|_| ())
    }

    /// Waits until a plan is done; how long that took, in seconds.
    fn complete(&self, cluster: &Cluster, plan: &str) -> Result<f64, String> {
        let begun = Instant::now();
        loop {
            let said = self.tool(cluster, &["--verify", "--reassignment-json-file", plan])?;
            // The controller may know that a move has ended before the broker does that is asked where the replicas are.
            let left = ["still in progress", "is not being moved", "There is no active reassignment"];
            if !left.iter().any(|words| said.contains(words)) {
                return Ok(begun.elapsed().as_secs_f64());
            }
            if begun.elapsed() > LIMIT {
                return Err(format!("it is not done: {said}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn tool(&self, cluster: &Cluster, words: &[&str]) -> Result<String, String> {
        let name = "kafka-reassign-partitions";
        let mut command = match &self.tools {
            Some(tools) => {
                let mut command = Command::new(tools.join(name));
                command.args(["--bootstrap-server", &cluster.bootstrap()]).args(words);
                command
            }
            None => tool(name, &cluster.bootstrap(), words)?,
        };
        program::run(&mut command, &cluster.dir, "reassign")?.text()
    }

    /// Has the replicas compared from their beginnings, until none is behind; the tool itself goes on for ever.
    fn verify_replicas(&self, cluster: &Cluster) -> Result<String, String> {
        let name = "kafka-replica-verification";
        let mut command = match &self.tools {
            Some(tools) => Command::new(tools.join(name)),
            None => crate::apache::tool(name)?,
        };
        command.args(["--broker-list", &cluster.bootstrap(), "--topics-include", "load", "--time", "-2"]);
        command.args(["--report-interval-ms", "200", "--max-wait-ms", "100"]);
        let running = program::start(&mut command, &cluster.dir, "verify", None)?;
        let until = Instant::now() + LIMIT;
        loop {
            let said = running.so_far();
            if said.contains("unmatched") || said.contains("doesn't match") {
                return Err(said);
            }
            if let Some(line) = said.lines().find(|line| line.contains("max lag is 0 for partition load-")) {
                return Ok(line.split(": ").nth(1).unwrap_or(line).to_owned());
            }
            if Instant::now() > until {
                return Err(format!("it does not come to an end of what is there: {said}"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// On which brokers the partitions are, in the order of their replicas.
    fn assignment(&self, cluster: &Cluster) -> Result<Vec<Vec<i32>>, String> {
        (0..PARTITIONS).map(|partition| cluster.replicas("load", partition)).collect()
    }
}

fn sorted(mut assignment: Vec<Vec<i32>>) -> Vec<Vec<i32>> {
    assignment.iter_mut().for_each(|replicas| replicas.sort_unstable());
    assignment
}

/// The two log directories of a broker.
fn log_dirs(cluster: &Cluster, id: i32) -> Result<[PathBuf; 2], String> {
    let member = cluster.members.iter().find(|member| member.id == id);
    let data = member.ok_or_else(|| format!("there is no node {id}"))?.data.clone();
    let second = PathBuf::from(format!("{}-2", data.display()));
    Ok([data, second])
}

/// The replicas' segments hold the same bytes.
fn same_logs(cluster: &Cluster, partition: u32, replicas: &[i32]) -> Result<String, String> {
    let mut logs: Vec<Vec<u8>> = Vec::new();
    for replica in replicas {
        let mut bytes = Vec::new();
        for dir in log_dirs(cluster, *replica)? {
            let dir = dir.join(format!("load-{partition}"));
            if !dir.exists() {
                continue;
            }
            let mut files = project::files_below(&dir)?;
            files.retain(|path| path.extension().is_some_and(|end| end == "log"));
            files.sort();
            for file in files {
                bytes.extend(std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?);
            }
        }
        logs.push(bytes);
    }
    match logs.windows(2).all(|pair| pair[0] == pair[1]) && logs.iter().all(|log| !log.is_empty()) {
        true => Ok(format!("{} bytes on {replicas:?}", logs[0].len())),
        false => Err(format!("they have {:?} bytes", logs.iter().map(Vec::len).collect::<Vec<_>>())),
    }
}
