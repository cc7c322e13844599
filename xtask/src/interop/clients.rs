//! Clients in other languages, by programs of ours beside them in `interop/`: each says itself what passes.

use super::broker::Node;
use super::report::Report;
use super::{World, program, toolbox};
use std::process::Command;

/// confluent-kafka for Python, on librdkafka.
pub fn confluent_kafka_python(world: &World, report: &mut Report) -> Result<(), String> {
    let client = toolbox::python(world, "confluent-kafka-python/check.py")?;
    let count = if world.smoke { 4_000 } else { 100_000 };
    against(world, report, "confluent-kafka-python", client, count)
}

/// Sarama, in Go.
pub fn sarama(world: &World, report: &mut Report) -> Result<(), String> {
    let client = toolbox::go(world, "sarama")?;
    let count = if world.smoke { 1_000 } else { 10_000 };
    against(world, report, "sarama", client, count)
}

/// KafkaJS's groups.
pub fn kafkajs(world: &World, report: &mut Report) -> Result<(), String> {
    let client = toolbox::node(world, "kafkajs/check.js")?;
    let count = if world.smoke { 1_000 } else { 100_000 };
    against(world, report, "kafkajs", client, count)
}

/// The Java client's groups, with both protocols.
pub fn java_groups(world: &World, report: &mut Report) -> Result<(), String> {
    let client = toolbox::java_class(world, "java-groups/Groups.java")?;
    let count = if world.smoke { 1_000 } else { 100_000 };
    against(world, report, "java-groups", client, count)
}

/// A broker for one program, which gets its address and a count of records.
fn against(
    world: &World,
    report: &mut Report,
    case: &str,
    mut client: Command,
    count: usize,
) -> Result<(), String> {
    // A short heartbeat of KIP-848, so that nobody waits long for what comes with the next.
    let settings = [
        ("num.partitions", "3"),
        ("group.consumer.min.heartbeat.interval.ms", "300"),
        ("group.consumer.heartbeat.interval.ms", "300"),
    ];
    let node = Node::new(world, case, &settings)?;
    let broker = node.start(world)?;
    client.arg(broker.bootstrap()).arg(count.to_string());
    let ran = program::run(&mut client, &node.dir, case)?;
    report.take_over(&ran.everything());
    report.check("the program's end", ran.good().map(|()| String::new()));
    broker.stop()
}
