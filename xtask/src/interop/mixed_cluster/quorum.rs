//! Voters of both in one quorum: static ones, of which each leads in turn and which become dynamic ones by
//! `kafka-features`; and dynamic ones that are added, join by themselves and are removed.

use super::super::World;
use super::super::broker::Kind;
use super::super::cluster::{Cluster, Quorum, Role};
use super::super::program;
use super::super::report::Report;
use super::super::toolbox::tool;
use crate::apache;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

/// Runs the case.
pub fn run(world: &World, report: &mut Report) -> Result<(), String> {
    if world.smoke {
        // A few minutes less: Apache Kafka's nodes come and go slowly.
        return dynamic_voters(world, report, Kind::Apache, world.kind);
    }
    static_voters(world, report)?;
    for (first, others) in [(Kind::Apache, world.kind), (world.kind, Kind::Apache)] {
        dynamic_voters(world, report, first, others)?;
    }
    Ok(())
}

fn static_voters(world: &World, report: &mut Report) -> Result<(), String> {
    let what = "static voters";
    let kinds = [world.kind, Kind::Apache, world.kind];
    let mut cluster = Cluster::new(world, "mixed-quorum/static", &[Role::Combined; 3], &[])?;
    let started = cluster.start(world, &kinds).map(|()| String::new());
    if !report.check(&format!("{what}: a quorum of both elects"), started) {
        return Ok(());
    }
    // Whoever leads is stopped, or killed, until each kind has led.
    let mut led = Vec::new();
    for turn in 0..8 {
        let leader = leads(&cluster)?;
        let kind = kind_of(&kinds, leader);
        led.push(leader);
        let created = cluster.create_topic(&format!("turn-{turn}"), 3, 3);
        let created = created.and_then(|()| cluster.wait_in_sync(&format!("turn-{turn}"), 3));
        let led_by = format!("{what}: node {leader}, {}, leads: a topic on all three", kind.name());
        report.check(&led_by, created.map(|()| String::new()));
        let (ours, theirs): (Vec<i32>, Vec<i32>) = led.iter().partition(|id| **id != 2);
        if !ours.is_empty() && !theirs.is_empty() && kind == world.kind {
            break;
        }
        let member = cluster.member(leader)?;
        if turn % 2 == 0 {
            member.stop()?
        } else {
            member.kill()?
        }
        let next = leads(&cluster);
        report.check(
            &format!("{what}: another leads once node {leader} is gone"),
            next.map(|next| format!("node {next}")),
        );
        cluster.start_one(world, leader, kind)?;
    }
    let both = led.contains(&2) && led.iter().any(|id| *id != 2);
    let told = format!("nodes {led:?}");
    report.check(&format!("{what}: each kind has led"), if both { Ok(told) } else { Err(told) });

    let upgrade = ["upgrade", "--feature", "kraft.version=1"];
    let upgraded = said(&cluster, "kafka-features", &upgrade);
    report.check(&format!("{what}: kraft.version is raised"), upgraded.map(|said| said.trim().to_owned()));
    let mut directories = Vec::new();
    for id in 1..=3 {
        directories.push(cluster.member(id)?.directory_id()?);
    }
    let named = eventually(|| {
        let status = said(&cluster, "kafka-metadata-quorum", &["describe", "--status"])?;
        let missing = directories.iter().find(|directory| !status.contains(*directory));
        missing.map_or(Ok(String::new()), |id| Err(format!("{id} is not among the voters: {status}")))
    });
    report.check(&format!("{what}: the log names the voters"), named);
    for id in 1..=3 {
        cluster.member(id)?.stop()?;
        let again = cluster.start_one(world, id, kind_of(&kinds, id));
        let again = again.and_then(|()| cluster.wait_in_sync("turn-0", 3)).map(|()| String::new());
        report.check(&format!("{what}: node {id} comes back to voters of the log"), again);
    }
    cluster.stop()
}

fn dynamic_voters(world: &World, report: &mut Report, first: Kind, others: Kind) -> Result<(), String> {
    let what = format!("dynamic voters, first {}", first.name());
    let case = format!("mixed-quorum/dynamic-{}", first.name());
    let roles = [Role::Combined; 3];
    let hosts = vec!["127.0.0.1".to_owned(); 3];
    let joins = [("controller.quorum.auto.join.enable", "true")];
    let mut cluster = Cluster::of(world, &case, (&roles, &hosts), Quorum::Dynamic, &joins)?;
    cluster.launch_one(world, 1, first)?;
    for id in [2, 3] {
        let joined = cluster.start_one(world, id, others).and_then(|()| voters(&cluster, id));
        let who = format!("{what}: node {id}, {}, joins by itself", others.name());
        report.check(&who, joined.map(|voters| format!("voters {voters:?}")));
    }
    let created = cluster.create_topic("lines", 3, 3).and_then(|()| cluster.wait_in_sync("lines", 3));
    report.check(&format!("{what}: a topic on all three"), created.map(|()| String::new()));

    // The first one goes: its id and that of its directory say which.
    let directory = cluster.member(1)?.directory_id()?;
    let remove = ["remove-controller", "--controller-id", "1", "--controller-directory-id", &directory];
    let removed = without_joining(&mut cluster, world, first).and_then(|()| {
        eventually(|| {
            // The quorum may be between two leaders; what the tool says then is seen if it stays so.
            let said = said(&cluster, "kafka-metadata-quorum", &remove);
            match voter_ids(&cluster)?.as_slice() {
                [2, 3] => Ok("voters 2 and 3".to_owned()),
                ids => Err(format!("voters {ids:?}; {said:?}")),
            }
        })
    });
    report.check(&format!("{what}: node 1 is removed"), removed);
    cluster.member(1)?.stop()?;
    let goes_on = cluster.create_topic("after", 2, 2).and_then(|()| cluster.wait_in_sync("after", 2));
    report.check(&format!("{what}: the others go on without it"), goes_on.map(|()| String::new()));

    // And comes back, added by the tool.
    let back = cluster.start_one(world, 1, first).and_then(|()| add(&cluster, 1));
    report.check(&format!("{what}: node 1 is added by the tool"), back);
    // Apache Kafka's first: the last of a quorum has nobody to hand over to, and for that it waits minutes.
    let order = if first == Kind::Apache { [1, 2, 3] } else { [3, 2, 1] };
    order.into_iter().try_for_each(|id| cluster.member(id)?.stop())
}

/// Starts node 1 again without the wish to join: it would be back as soon as it is removed.
fn without_joining(cluster: &mut Cluster, world: &World, kind: Kind) -> Result<(), String> {
    let member = cluster.member(1)?;
    let text = crate::project::read(&member.properties)?;
    let text = text.replace("auto.join.enable=true", "auto.join.enable=false");
    crate::project::write(&member.properties, text)?;
    member.stop()?;
    cluster.start_one(world, 1, kind)
}

/// Adds a controller by Apache Kafka's tool, as its configuration describes it.
fn add(cluster: &Cluster, id: i32) -> Result<String, String> {
    let member = cluster.members.iter().find(|member| member.id == id).ok_or("no such node")?;
    eventually(|| {
        let mut tool = apache::tool("kafka-metadata-quorum")?;
        tool.args(["--bootstrap-server", &cluster.bootstrap(), "--command-config"]).arg(&member.properties);
        tool.arg("add-controller");
        let ran = program::run(&mut tool, &cluster.dir, "add")?;
        let added = ran.good().and_then(|()| voters(cluster, id));
        added.map(|voters| format!("voters {voters:?}"))
    })
}

fn kind_of(kinds: &[Kind; 3], id: i32) -> Kind {
    kinds[usize::try_from(id - 1).unwrap_or(0)]
}

/// Who leads the quorum, once somebody does.
fn leads(cluster: &Cluster) -> Result<i32, String> {
    eventually(|| cluster.active_controller())
}

/// What a tool of Apache Kafka says.
fn said(cluster: &Cluster, name: &str, arguments: &[&str]) -> Result<String, String> {
    let mut tool = tool(name, &cluster.bootstrap(), arguments)?;
    program::run(&mut tool, &cluster.dir, "tool")?.text()
}

/// The ids of the voters, by `kafka-metadata-quorum`.
fn voter_ids(cluster: &Cluster) -> Result<Vec<i32>, String> {
    let said = said(cluster, "kafka-metadata-quorum", &["describe", "--replication"])?;
    let rows = said.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let voters = rows.filter(|row| matches!(row.last(), Some(&"Leader" | &"Follower")));
    let mut ids: Vec<i32> = voters.filter_map(|row| row.first()?.parse().ok()).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// Waits until a node votes; all voters.
fn voters(cluster: &Cluster, id: i32) -> Result<Vec<i32>, String> {
    eventually(|| {
        let ids = voter_ids(cluster)?;
        if ids.contains(&id) { Ok(ids) } else { Err(format!("voters {ids:?}")) }
    })
}

fn eventually<T>(mut what: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let until = Instant::now() + LIMIT;
    loop {
        match what() {
            Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(500)),
            result => return result,
        }
    }
}
