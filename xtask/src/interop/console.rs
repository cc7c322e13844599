//! A file of real lines in through one console tool and out through another's: the same bytes.

use super::broker::{Broker, Node};
use super::report::Report;
use super::toolbox::{kcat_read, kcat_write, milena_tools, tool};
use super::{World, lines, program};
use std::path::Path;
use std::process::Command;

const CASE: &str = "console";

/// Runs the case.
pub fn run(world: &World, report: &mut Report) -> Result<(), String> {
    let node = Node::new(world, CASE, &[])?;
    let broker = node.start(world)?;
    let bootstrap = broker.bootstrap();
    let count = world.million();
    let text = lines::file(world, count)?;
    let most = count.to_string();
    let consume = ["--from-beginning", "--timeout-ms", "60000", "--max-messages", &most];

    let write = tool("kafka-console-producer", &bootstrap, &["--topic", "from-apache"])?;
    let read = kcat_read(&bootstrap, "from-apache", 0, "%s\n");
    pair(report, &node, &text, "Apache's kafka-console-producer to kcat", write, read);

    let write = kcat_write(&bootstrap, "from-kcat", "none");
    let read =
        tool("kafka-console-consumer", &bootstrap, &[&["--topic", "from-kcat"], &consume[..]].concat())?;
    pair(report, &node, &text, "kcat to Apache's kafka-console-consumer", write, read);

    if world.milena.is_none() {
        report.skip("milena's own console tools", "milena is not built: name it with --milena");
        return broker.stop();
    }
    own_tools(world, report, &node, &broker, &text, &consume)?;
    broker.stop()
}

/// milena's console tools under both of their names, and as commands of the one binary.
fn own_tools(
    world: &World,
    report: &mut Report,
    node: &Node,
    broker: &Broker,
    text: &Path,
    consume: &[&str],
) -> Result<(), String> {
    let dir = milena_tools(world, CASE)?;
    let bootstrap = broker.bootstrap();
    let own = |program: &Path, topic: &str, more: &[&str]| {
        let mut command = Command::new(program);
        command.args(["--bootstrap-server", &bootstrap, "--topic", topic]).args(more);
        command
    };
    for (producer, consumer, topic) in [
        ("kafka-console-producer.sh", "kafka-console-consumer", "own-1"),
        ("kafka-console-producer", "kafka-console-consumer.sh", "own-2"),
    ] {
        let write = own(&dir.join(producer), topic, &[]);
        let read = own(&dir.join(consumer), topic, consume);
        pair(report, node, text, &format!("milena's {producer} to {consumer}"), write, read);
    }
    let write = own(&dir.join("kafka-console-producer.sh"), "own-3", &[]);
    pair(report, node, text, "milena's producer to kcat", write, kcat_read(&bootstrap, "own-3", 0, "%s\n"));
    let read = tool("kafka-console-consumer", &bootstrap, &[&["--topic", "own-3"], consume].concat())?;
    reread(report, node, text, "and to Apache's kafka-console-consumer", read);
    let mut read = Command::new(world.milena()?);
    read.args(["console-consumer", "--topic=from-apache"])
        .arg(format!("--bootstrap-server={bootstrap}"))
        .args(consume);
    reread(report, node, text, "Apache's producer to `milena console-consumer`", read);
    let list = program::run(
        Command::new(dir.join("kafka-topics.sh")).args(["--list", "--bootstrap-server", &bootstrap]),
        &node.dir,
        "topics",
    )?;
    report.check(
        "milena's kafka-topics.sh --list",
        list.text().and_then(|text| {
            let topics: Vec<&str> = text.lines().collect();
            let all = ["from-apache", "from-kcat", "own-1", "own-2", "own-3"];
            if all.iter().all(|topic| topics.contains(topic)) { Ok(topics.join(" ")) } else { Err(text) }
        }),
    );
    Ok(())
}

fn pair(report: &mut Report, node: &Node, text: &Path, what: &str, mut write: Command, read: Command) {
    let written = program::run_with_input(&mut write, &node.dir, "produce", text).and_then(|ran| ran.good());
    if let Err(error) = written {
        return report.fail(what, &error);
    }
    reread(report, node, text, what, read);
}

fn reread(report: &mut Report, node: &Node, text: &Path, what: &str, mut read: Command) {
    let same = program::run(&mut read, &node.dir, "consume")
        .and_then(|ran| ran.good().and_then(|()| program::same_file(text, &ran.out)));
    report.check(what, same);
}
