//! Members of several clients in one group, of the classic protocol, of KIP-848, and of both while a group moves between
//! them: each partition has one owner, every record is read, and the next goes on where one left.

use super::{BROKER, Client, Group, Protocol, ends};
use crate::interop::broker::{Broker, Node};
use crate::interop::report::Report;
use crate::interop::{World, program, toolbox};
use std::time::Duration;

const PARTITIONS: u32 = 12;
const SETTLES_WITHIN: Duration = Duration::from_secs(30);

/// Runs the case.
pub fn run(world: &World, report: &mut Report) -> Result<(), String> {
    use Client::{FranzGo, Java, KafkaJs, Librdkafka, Milena};
    use Protocol::{Classic, Consumer};
    let node = Node::new(world, "mixed-groups", BROKER)?;
    let broker = node.start(world)?;
    let roundrobin = Classic("roundrobin");
    let five = [Java, Librdkafka, FranzGo, KafkaJs, Milena].map(|client| (client, roundrobin));
    one_group(world, report, (&node, &broker), "classic", &five)?;
    let range = Classic("range");
    let both = [
        (Librdkafka, range),
        (Java, range),
        (FranzGo, range),
        (Milena, range),
        (Java, Consumer),
        (Librdkafka, Consumer),
        (FranzGo, Consumer),
        (Milena, Consumer),
    ];
    one_group(world, report, (&node, &broker), "upgrade", &both)?;
    if world.smoke {
        return broker.stop();
    }
    let four = [Java, Librdkafka, FranzGo, Milena].map(|client| (client, Consumer));
    one_group(world, report, (&node, &broker), "consumer", &four)?;
    let back = [
        (Librdkafka, Consumer),
        (Java, Consumer),
        (Milena, Consumer),
        (KafkaJs, roundrobin),
        (Librdkafka, roundrobin),
        (Milena, roundrobin),
    ];
    one_group(world, report, (&node, &broker), "downgrade", &back)?;
    let cooperative = Classic("cooperative-sticky");
    // librdkafka's leader puts data of its own into these assignments; a group that has it cannot be upgraded, on any broker.
    let both = [
        (Java, cooperative),
        (Librdkafka, cooperative),
        (FranzGo, cooperative),
        (Milena, cooperative),
        (Librdkafka, Consumer),
        (Java, Consumer),
        (Milena, Consumer),
    ];
    one_group(world, report, (&node, &broker), "cooperative", &both)?;
    broker.stop()
}

/// They join one after the other and leave one after the other, the first first; each time the group settles.
fn one_group(
    world: &World,
    report: &mut Report,
    (node, broker): (&Node, &Broker),
    name: &str,
    members: &[(Client, Protocol)],
) -> Result<(), String> {
    let mut group = Group::new(world, &node.dir, &broker.bootstrap(), name, PARTITIONS)?;
    let rate = if world.smoke { 500_u32 } else { 5_000 };
    let count = rate * 5 * u32::try_from(members.len()).unwrap_or(1);
    let mut load = toolbox::python(world, "crash/load.py")?;
    load.args([&broker.bootstrap(), group.topic()]);
    load.args([count, rate, PARTITIONS].map(|number| number.to_string()));
    let load = program::start(&mut load, &node.dir, &format!("{name}-load"), None)?;
    for (client, protocol) in members {
        let member = group.join(*client, *protocol, None)?;
        let what = format!("{name}: {} joins, {protocol:?}", client.name());
        let settled = group.settle(SETTLES_WITHIN);
        report.check(&what, settled.map(|time| format!("{member}, {:.1} s", time.as_secs_f64())));
    }
    let joined = group.members();
    let (last, others) = joined.split_last().ok_or("nobody")?;
    for (at, member) in others.iter().enumerate() {
        let goes = |group: &mut Group<'_>| group.leave(member).and_then(|()| group.settle(SETTLES_WITHIN));
        let behind = || members[at + 1..].iter().map(|(_, protocol)| *protocol);
        // The last of KIP-848 goes, and the group becomes a classic one: whoever had not come as far as its epoch joins anew.
        let result = match members[at].1 {
            Protocol::Consumer if behind().all(|protocol| protocol != Protocol::Consumer) => {
                group.excused(goes)
            }
            _ => goes(&mut group),
        };
        report.check(
            &format!("{name}: {member} leaves"),
            result.map(|time| format!("{:.1} s", time.as_secs_f64())),
        );
    }
    let loaded = load.wait(Duration::from_secs(120));
    loaded.good()?;
    let ends = ends(&crate::project::read(&loaded.out)?);
    report.check(
        &format!("{name}: {last} reads to the end"),
        group.catch_up(&ends, Duration::from_secs(60)).map(|()| format!("{count} records")),
    );
    report.check(&format!("{name}: every record is read, no partition has two owners"), group.end(&ends));
    Ok(())
}
