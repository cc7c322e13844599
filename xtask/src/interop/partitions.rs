//! Cut networks: three nodes of milena on three hosts (network namespaces), under load with `acks=all`. The leader, and then the
//! active controller, is cut off, in both directions or in one; nothing that was acknowledged is lost, no offset has two
//! meanings, the three logs are the same in the end, and the cluster heals each time.

use super::World;
use super::broker::Kind;
use super::cluster::{Cluster, Quorum, Role};
use super::mixed_cluster::Load;
use super::namespaces::{self, Hosts};
use super::report::Report;
use super::toolbox::python;
use std::process::Command;
use std::time::{Duration, Instant};

/// Tells the process within the hub how the hosts' namespaces are called.
const INSIDE: &str = "MILENA_INTEROP_HOSTS";
const NODES: usize = 3;
const LIMIT: Duration = Duration::from_secs(60);

/// What is cut.
#[derive(Clone, Copy)]
struct Cut {
    what: &'static str,
    /// Whether what the node sends is lost, and whether what is sent to it is.
    sends: bool,
    hears: bool,
    /// Whether clients are cut off from it, too.
    clients: bool,
    /// The active controller; otherwise the leader of a partition.
    controller: bool,
}

const CUTS: [Cut; 5] = [
    Cut {
        what: "a leader, from the other nodes",
        sends: true,
        hears: true,
        clients: false,
        controller: false,
    },
    Cut {
        what: "a leader, one way: nobody hears it",
        sends: true,
        hears: false,
        clients: true,
        controller: false,
    },
    Cut {
        what: "the active controller, from all",
        sends: true,
        hears: true,
        clients: true,
        controller: true,
    },
    Cut {
        what: "a leader, one way: it hears nobody",
        sends: false,
        hears: true,
        clients: true,
        controller: false,
    },
    Cut {
        what: "the active controller, one way: it hears no other node",
        sends: false,
        hears: true,
        clients: false,
        controller: true,
    },
];

/// Runs the case.
pub fn run(world: &World, report: &mut Report) -> Result<(), String> {
    if let Ok(namespaces) = std::env::var(INSIDE) {
        return inside(world, report, &namespaces);
    }
    let what = "hosts of their own";
    if let Err(why) = namespaces::permitted() {
        report.skip(what, &format!("network namespaces need root and iproute2: {why}"));
        return Ok(());
    }
    // What is fetched is fetched here: there is no network inside.
    drop(python(world, "crash/load.py")?);
    drop(crate::apache::tool("kafka-topics")?);
    let hosts = Hosts::make(NODES)?;
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut again = Command::new(this);
    again.args(["interop", "partitions", "--broker", world.kind.name(), "--seed", &world.seed.to_string()]);
    if world.kind == Kind::Milena {
        again.arg("--milena").arg(world.milena()?);
    }
    if world.smoke {
        again.arg("smoke");
    }
    again.env(INSIDE, hosts.namespace(0).trim_end_matches('0'));
    let ran = hosts.run_in_hub(&again, Duration::from_secs(900));
    report.check(what, ran.map(|()| format!("{NODES} namespaces")));
    Ok(())
}

fn inside(world: &World, report: &mut Report, prefix: &str) -> Result<(), String> {
    let hosts = Hosts::made(prefix, NODES);
    let addresses: Vec<String> = (1..=NODES).map(|host| hosts.address(host)).collect();
    let roles = [Role::Combined; NODES];
    let extra = [("min.insync.replicas", "2"), ("broker.session.timeout.ms", "6000")];
    let mut cluster = Cluster::of(world, "partitions", (&roles, &addresses), Quorum::Static, &extra)?;
    for (host, member) in (1..).zip(&mut cluster.members) {
        member.namespace = Some(hosts.namespace(host));
    }
    let kinds = [world.kind; NODES];
    cluster.start(world, &kinds)?;
    cluster.create_topic("load", 2, 3)?;
    cluster.wait_in_sync("load", 3)?;
    let rate = if world.smoke { 500 } else { 2_000 };
    let client = python(world, "crash/load.py")?;
    let mut load = Load::start_until_told(&cluster, client, ("load", 2), rate)?;
    load.go_on(rate)?;
    let cuts = if world.smoke { &CUTS[..3] } else { &CUTS[..] };
    for cut in cuts {
        let id = match cut.controller {
            true => cluster.active_controller()?,
            false => cluster.leader("load", 0)?.ok_or("partition 0 has no leader")?,
        };
        load.mark(format!("cut off: {}: node {id}", cut.what));
        let cut_off = cut_off(&hosts, id, *cut).and_then(|()| taken_over(&mut cluster, id));
        report.check(&format!("cut off: {}: others take over", cut.what), cut_off);
        let goes_on = load.go_on(2 * rate);
        report
            .check(&format!("cut off: {}: the producer goes on", cut.what), goes_on.map(|()| String::new()));
        hosts.heal()?;
        let healed = cluster.settle().and_then(|()| cluster.wait_in_sync("load", NODES));
        report.check(&format!("healed: {}: all are in sync", cut.what), healed.map(|()| String::new()));
        load.go_on(rate)?;
    }
    load.finish(report, "cut networks", &cluster)?;
    cluster.wait_in_sync("load", NODES)?;
    cluster.stop()?;
    for partition in 0..2 {
        let same = same_logs(&cluster, &format!("load-{partition}"));
        report.check(&format!("the three logs of partition {partition} are the same"), same);
    }
    Ok(())
}

fn cut_off(hosts: &Hosts, id: i32, cut: Cut) -> Result<(), String> {
    let node = usize::try_from(id).map_err(|error| error.to_string())?;
    let first = if cut.clients { 0 } else { 1 };
    for other in (first..=NODES).filter(|other| *other != node) {
        if cut.sends {
            hosts.cut(node, other)?;
        }
        if cut.hears {
            hosts.cut(other, node)?;
        }
    }
    Ok(())
}

/// Waits until those that are left have leaders of their own; how long that took.
fn taken_over(cluster: &mut Cluster, gone: i32) -> Result<String, String> {
    let begun = Instant::now();
    let others: Vec<String> =
        cluster.members.iter().filter(|member| member.id != gone).map(|member| member.address()).collect();
    let others = others.join(",");
    loop {
        let leaders: Vec<Option<i32>> =
            (0..2).map(|partition| cluster.leader_by(&others, "load", partition).unwrap_or(None)).collect();
        if leaders.iter().all(|leader| leader.is_some_and(|id| id != gone)) {
            return Ok(format!("after {:.1} s", begun.elapsed().as_secs_f64()));
        }
        if begun.elapsed() > LIMIT {
            return Err(format!("node {gone} is cut off, and the leaders are {leaders:?}"));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The replicas' segments hold the same bytes: the same batches, of the same epochs.
fn same_logs(cluster: &Cluster, partition: &str) -> Result<String, String> {
    let mut logs = Vec::new();
    for member in &cluster.members {
        let mut bytes = Vec::new();
        let mut files = crate::project::files_below(&member.data.join(partition))?;
        files.retain(|path| path.extension().is_some_and(|end| end == "log"));
        files.sort();
        for file in files {
            bytes.extend(std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?);
        }
        logs.push(bytes);
    }
    match logs.iter().all(|log| *log == logs[0]) && !logs[0].is_empty() {
        true => Ok(format!("{} bytes", logs[0].len())),
        false => Err(format!("they have {:?} bytes", logs.iter().map(Vec::len).collect::<Vec<_>>())),
    }
}
