//! Three files of ZooKeeper's days: the lines that the start prints for them, put into them, give a cluster that runs.

use super::World;
use super::broker::{Broker, cluster_id, empty, free_port};
use super::program;
use super::report::Report;
use super::toolbox::{kcat_read, kcat_write, tool};
use crate::project;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Each host is an address of this machine.
const HOSTS: [&str; 3] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];

/// Runs this part of the case; with milena alone, because no other broker prints such lines.
pub fn run(world: &World, report: &mut Report) -> Result<(), String> {
    let what = "files of ZooKeeper's days";
    let dir = world.dir().join("mixed-cluster/zookeeper-days");
    empty(&dir)?;
    let (port, controller_port) = (free_port()?, free_port()?);
    let connect: Vec<String> = HOSTS.iter().map(|host| format!("{host}:2181")).collect();
    let old: Vec<PathBuf> = HOSTS.iter().map(|host| dir.join(format!("{host}.properties"))).collect();
    for ((id, host), file) in (0..).zip(HOSTS).zip(&old) {
        let text = format!(
            "broker.id={id}\nlisteners=PLAINTEXT://{host}:{port}\nlog.dirs={}\nzookeeper.connect={}/kafka\n\
             zookeeper.connection.timeout.ms=6000\n",
            dir.join(format!("data-{host}")).display(),
            connect.join(",")
        );
        project::write(file, text)?;
    }
    let cluster_id = cluster_id()?;
    let mut brokers = Vec::new();
    for (host, file) in HOSTS.iter().zip(&old) {
        put_lines(world, &dir, file, host, controller_port)?;
        let mut format = Command::new(world.milena()?);
        format.args(["storage", "format", "-t", &cluster_id, "-c"]).arg(file);
        program::run(&mut format, &dir, &format!("format-{host}"))?.good()?;
        let mut start = Command::new(world.milena()?);
        start.arg("server-start").arg(file);
        brokers.push(Broker::launch(start, &dir, port)?);
    }
    for broker in &mut brokers {
        broker.answers()?;
    }
    let bootstrap = HOSTS.map(|host| format!("{host}:{port}")).join(",");
    let create = ["--create", "--topic", "lines", "--partitions", "3", "--replication-factor", "3"];
    let mut created = Err("nothing was tried".to_owned());
    // The brokers are let in one after the other.
    for _ in 0..20 {
        created = program::run(&mut tool("kafka-topics", &bootstrap, &create)?, &dir, "create")?.good();
        if created.is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    report.check(&format!("{what}: a topic with three replicas"), created.map(|()| String::new()));
    let lines = dir.join("lines.txt");
    project::write(&lines, "one\ntwo\nthree\n")?;
    program::run_with_input(&mut kcat_write(&bootstrap, "lines", "none"), &dir, "write", &lines)?.good()?;
    let read = program::run(&mut kcat_read(&bootstrap, "lines", 0, "%s\n"), &dir, "read")?;
    let equal = read.good().and_then(|()| program::same_file(&lines, &read.out));
    report.check(&format!("{what}: the cluster that the printed lines give takes and gives"), equal);
    Ok(())
}

/// Does what the start says: puts the lines that it prints in the place of those of ZooKeeper.
fn put_lines(world: &World, dir: &Path, file: &Path, host: &str, controller_port: u16) -> Result<(), String> {
    let mut start = Command::new(world.milena()?);
    start.arg("server-start").arg(file);
    let (refused, said) = Broker::launch(start, dir, 0)?.ends(Duration::from_secs(20))?;
    if !refused {
        return Err(format!("it started with a ZooKeeper of three hosts: {said}"));
    }
    let lines: Vec<String> = said
        .lines()
        .skip_while(|line| !line.starts_with("process.roles="))
        .take_while(|line| !line.trim().is_empty())
        // Three hosts have three ports 9093; here they are one machine, on which somebody else may have it.
        .map(|line| {
            let line = line.replace("CONTROLLER://:9093", &format!("CONTROLLER://{host}:9093"));
            line.replace(":9093", &format!(":{controller_port}"))
        })
        .collect();
    if lines.len() < 7 {
        return Err(format!("it does not say which lines to put: {said}"));
    }
    let kept = project::read(file)?;
    let kept = kept
        .lines()
        .filter(|line| !["broker.id", "zookeeper", "listeners="].iter().any(|old| line.starts_with(old)));
    let text: Vec<&str> = kept.chain(lines.iter().map(String::as_str)).collect();
    project::write(file, text.join("\n"))
}
