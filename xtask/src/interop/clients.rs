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
    let client = toolbox::sarama(world)?;
    let count = if world.smoke { 1_000 } else { 10_000 };
    against(world, report, "sarama", client, count)
}

/// A broker for one program, which gets its address and a count of records.
fn against(
    world: &World,
    report: &mut Report,
    case: &str,
    mut client: Command,
    count: usize,
) -> Result<(), String> {
    let node = Node::new(world, case, &[("num.partitions", "3")])?;
    let broker = node.start(world)?;
    client.arg(broker.bootstrap()).arg(count.to_string());
    let ran = program::run(&mut client, &node.dir, case)?;
    report.take_over(&ran.everything());
    report.check("the program's end", ran.good().map(|()| String::new()));
    broker.stop()
}
