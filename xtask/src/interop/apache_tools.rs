//! Apache Kafka's own command-line tools, each as it is typed.

use super::broker::{Broker, Kind, Node};
use super::report::Report;
use super::toolbox::tool;
use super::{World, lines, program};

const CASE: &str = "apache-tools";

struct Tools<'a> {
    node: &'a Node,
    bootstrap: String,
}

impl Tools<'_> {
    /// What a tool prints when it ends well.
    fn text(&self, name: &str, arguments: &[&str]) -> Result<String, String> {
        program::run(&mut tool(name, &self.bootstrap, arguments)?, &self.node.dir, name)?.text()
    }

    /// The same, and each of the words is in it.
    fn says(&self, name: &str, arguments: &[&str], words: &[&str]) -> Result<String, String> {
        let text = self.text(name, arguments)?;
        match words.iter().find(|word| !text.contains(**word)) {
            None => Ok(String::new()),
            Some(word) => Err(format!("no {word:?} in: {text}")),
        }
    }

    /// It ends with an error, and each of the words is in what it prints.
    fn refuses(&self, name: &str, arguments: &[&str], words: &[&str]) -> Result<String, String> {
        let ran = program::run(&mut tool(name, &self.bootstrap, arguments)?, &self.node.dir, name)?;
        let text = ran.everything();
        match words.iter().find(|word| !text.contains(**word)) {
            None if ran.refused() => Ok(String::new()),
            None => Err(format!("it ended well: {text}")),
            Some(word) => Err(format!("no {word:?} in: {text}")),
        }
    }
}

/// Runs the case.
pub fn run(world: &World, report: &mut Report) -> Result<(), String> {
    let node = Node::new(world, CASE, &[])?;
    let broker = node.start(world)?;
    let tools = Tools { node: &node, bootstrap: broker.bootstrap() };
    topics(&tools, report);
    console(world, &tools, report)?;
    configs(&tools, report);
    groups(&tools, report);
    perf(world, &tools, report);
    client_metrics(world, &tools, &broker, report);
    report.check(
        "kafka-topics --delete",
        tools.text("kafka-topics", &["--delete", "--topic", "plain"]).and_then(|_| {
            let left = tools.text("kafka-topics", &["--list"])?;
            if left.lines().any(|line| line == "plain") { Err(left) } else { Ok(String::new()) }
        }),
    );
    broker.stop()
}

fn topics(tools: &Tools, report: &mut Report) {
    let create = [
        "--create",
        "--topic",
        "plain",
        "--partitions",
        "3",
        "--replication-factor",
        "1",
        "--config",
        "retention.ms=86400000",
    ];
    report.check("kafka-topics --create", tools.says("kafka-topics", &create, &["Created topic plain."]));
    report.check(
        "kafka-topics --create again",
        tools.refuses("kafka-topics", &create, &["Topic 'plain' already exists."]),
    );
    let bad = ["--create", "--topic", "bad", "--config", "retention.ms=soon"];
    report.check(
        "kafka-topics --create with a bad config",
        tools.refuses("kafka-topics", &bad, &["retention.ms"]),
    );
    let many = ["--create", "--topic", "many", "--replication-factor", "3"];
    report.check(
        "kafka-topics --create with too many replicas",
        tools.refuses("kafka-topics", &many, &["replication factor"]),
    );
    report.check("kafka-topics --list", tools.says("kafka-topics", &["--list"], &["plain"]));
    report.check(
        "kafka-topics --describe",
        tools.says(
            "kafka-topics",
            &["--describe", "--topic", "plain"],
            &[
                "PartitionCount: 3",
                "ReplicationFactor: 1",
                "retention.ms=86400000",
                "Partition: 2",
                "Leader: 1",
                "Isr: 1",
            ],
        ),
    );
    let alter = ["--alter", "--topic", "plain", "--partitions", "5"];
    report.check("kafka-topics --alter --partitions", tools.says("kafka-topics", &alter, &[]));
    report.check(
        "  and it has them",
        tools.says("kafka-topics", &["--describe", "--topic", "plain"], &["PartitionCount: 5"]),
    );
    let fewer = ["--alter", "--topic", "plain", "--partitions", "2"];
    report.check(
        "kafka-topics --alter to fewer",
        tools.refuses("kafka-topics", &fewer, &["would not be an increase"]),
    );
    report.check(
        "kafka-broker-api-versions",
        tools.says("kafka-broker-api-versions", &[], &["(id: 1 rack: null", "Produce(0)", "Fetch(1)"]),
    );
    let mut cluster = match crate::apache::tool("kafka-cluster") {
        Ok(cluster) => cluster,
        Err(error) => return report.fail("kafka-cluster cluster-id", &error),
    };
    cluster.args(["cluster-id", "--bootstrap-server", &tools.bootstrap]);
    let text = program::run(&mut cluster, &tools.node.dir, "kafka-cluster").and_then(|ran| ran.text());
    report.check(
        "kafka-cluster cluster-id",
        text.and_then(|text| if text.contains("Cluster ID: ") { Ok(String::new()) } else { Err(text) }),
    );
}

fn console(world: &World, tools: &Tools, report: &mut Report) -> Result<(), String> {
    let text = lines::file(world, 1000)?;
    let create = ["--create", "--topic", "console", "--partitions", "1"];
    report.check("kafka-topics --create without a factor", tools.says("kafka-topics", &create, &[]));
    let mut producer = tool("kafka-console-producer", &tools.bootstrap, &["--topic", "console"])?;
    let produced = program::run_with_input(&mut producer, &tools.node.dir, "console-producer", &text)?;
    report.check("kafka-console-producer", produced.good().map(|()| "1000 lines".to_owned()));
    let consume =
        ["--topic", "console", "--from-beginning", "--max-messages", "1000", "--timeout-ms", "20000"];
    let mut consumer = tool("kafka-console-consumer", &tools.bootstrap, &consume)?;
    let consumed = program::run(&mut consumer, &tools.node.dir, "console-consumer")?;
    report.check(
        "kafka-console-consumer",
        consumed.good().and_then(|()| program::same_file(&text, &consumed.out)),
    );
    Ok(())
}

fn configs(tools: &Tools, report: &mut Report) {
    let topic = ["--entity-type", "topics", "--entity-name", "plain"];
    let with = |more: &[&'static str]| [&topic[..], more].concat();
    let set = with(&["--alter", "--add-config", "max.message.bytes=65536,cleanup.policy=compact"]);
    report.check(
        "kafka-configs --alter a topic",
        tools.says("kafka-configs", &set, &["Completed updating config for topic plain."]),
    );
    report.check(
        "kafka-configs --describe a topic",
        tools.says(
            "kafka-configs",
            &with(&["--describe"]),
            &["max.message.bytes=65536", "cleanup.policy=compact", "retention.ms=86400000"],
        ),
    );
    let unset = with(&["--alter", "--delete-config", "cleanup.policy"]);
    report.check("kafka-configs --delete-config", tools.says("kafka-configs", &unset, &["Completed"]));
    report.check(
        "  and the default is back",
        tools.says(
            "kafka-configs",
            &with(&["--describe", "--all"]),
            &["cleanup.policy=delete sensitive=false synonyms={DEFAULT_CONFIG:log.cleanup.policy=delete}"],
        ),
    );
    let wrong = with(&["--alter", "--add-config", "retention.ms=soon"]);
    report.check("kafka-configs with a bad value", tools.refuses("kafka-configs", &wrong, &["retention.ms"]));
    let broker = ["--entity-type", "brokers", "--entity-name", "1", "--describe", "--all"];
    report.check(
        "kafka-configs --describe the broker",
        tools.says("kafka-configs", &broker, &["log.retention.hours=168", "node.id=1", "num.partitions=1"]),
    );
}

fn groups(tools: &Tools, report: &mut Report) {
    let consume = [
        "--topic",
        "console",
        "--group",
        "readers",
        "--from-beginning",
        "--max-messages",
        "400",
        "--timeout-ms",
        "30000",
    ];
    report.check("kafka-console-consumer --group", tools.says("kafka-console-consumer", &consume, &[]));
    report.check(
        "kafka-consumer-groups --list",
        tools.says("kafka-consumer-groups", &["--list"], &["readers"]),
    );
    report.check(
        "kafka-consumer-groups --describe",
        tools.text("kafka-consumer-groups", &["--describe", "--group", "readers"]).and_then(|text| {
            let row = text.lines().find(|line| line.starts_with("readers")).ok_or(text.clone())?;
            let columns: Vec<&str> = row.split_whitespace().collect();
            if columns.get(1..6) == Some(&["console", "0", "400", "1000", "600"]) {
                Ok(row.to_owned())
            } else {
                Err(text)
            }
        }),
    );
    let state = ["--describe", "--group", "readers", "--state"];
    report.check(
        "kafka-consumer-groups --describe --state",
        tools.says("kafka-consumer-groups", &state, &["Empty"]),
    );
    let reset =
        ["--reset-offsets", "--group", "readers", "--topic", "console", "--to-offset", "900", "--execute"];
    report.check(
        "kafka-consumer-groups --reset-offsets",
        tools.says("kafka-consumer-groups", &reset, &["900"]),
    );
    let rest = ["--topic", "console", "--group", "readers", "--max-messages", "100", "--timeout-ms", "30000"];
    report.check(
        "kafka-console-consumer goes on from there",
        tools.text("kafka-console-consumer", &rest).and_then(|text| match text.lines().count() {
            100 => Ok("100 records".to_owned()),
            other => Err(format!("{other} records instead of 100")),
        }),
    );
}

/// Java's producers push what a subscription asks for, and milena writes it to its log. Apache Kafka needs a plugin for it.
fn client_metrics(world: &World, tools: &Tools<'_>, broker: &Broker, report: &mut Report) {
    let subscription =
        ["--alter", "--name", "sent", "--metrics", SENT, "--interval", "100", "--match", "client_id=counted"];
    let altered =
        tools.says("kafka-client-metrics", &subscription, &["Altered client metrics config for sent."]);
    let listed = || {
        tools.says("kafka-client-metrics", &["--describe"], &["Client metrics configs for sent are:", SENT])
    };
    report.check("kafka-client-metrics --alter, --describe", altered.and_then(|_| listed()));
    if world.kind == Kind::Apache {
        return;
    }
    // For some intervals: one that is through at once has nothing subscribed yet. On a busy machine, for more of them.
    let push = |records: &str| {
        let producer =
            ["--topic", "perf", "--num-records", records, "--record-size", "10", "--throughput", "500"];
        let named = ["--producer-props", "client.id=counted"];
        let arguments: Vec<&str> = producer.into_iter().chain(named).collect();
        tools.text("kafka-producer-perf-test", &arguments)?;
        let log = broker.text();
        let mut sent =
            log.lines().filter(|line| line.contains(SENT) && line.contains("client_id=\"counted\""));
        match sent.next_back() {
            Some(line) => Ok(line.split_whitespace().skip(2).take(2).collect::<Vec<_>>().join(" ")),
            None => Err("the broker's log has none of the producer's metrics".to_owned()),
        }
    };
    let pushed = push("1000").or_else(|_| push("10000"));
    report.check("a Java producer pushes its metrics to milena's log", pushed);
}

/// How many records a producer has sent.
const SENT: &str = "org.apache.kafka.producer.record.send.total";

fn perf(world: &World, tools: &Tools, report: &mut Report) {
    let count = world.million().to_string();
    let server = format!("bootstrap.servers={}", tools.bootstrap);
    for acks in ["acks=1", "acks=all"] {
        let arguments = [
            "--topic",
            "perf",
            "--num-records",
            &count,
            "--record-size",
            "100",
            "--throughput",
            "-1",
            "--producer-props",
            &server,
            acks,
        ];
        let ran = crate::apache::tool("kafka-producer-perf-test")
            .and_then(|mut perf| program::run(perf.args(arguments), &tools.node.dir, "perf"));
        report.check(
            &format!("kafka-producer-perf-test {acks}"),
            ran.and_then(|ran| ran.text()).map(|text| text.lines().last().unwrap_or_default().to_owned()),
        );
    }
    let twice = (world.million() * 2).to_string();
    report.check(
        "kafka-consumer-perf-test",
        tools
            .text(
                "kafka-consumer-perf-test",
                &["--topic", "perf", "--messages", &twice, "--timeout", "60000"],
            )
            .and_then(|text| {
                let row = text.lines().last().unwrap_or_default();
                let read = row.split(", ").nth(4).and_then(|count| count.trim().parse::<usize>().ok());
                if read.is_some_and(|read| read >= world.million() * 2) {
                    Ok(row.to_owned())
                } else {
                    Err(text)
                }
            }),
    );
    report.check(
        "kafka-get-offsets",
        tools.says("kafka-get-offsets", &["--topic", "perf"], &[&format!("perf:0:{twice}")]),
    );
    let file = tools.node.dir.join("delete.json");
    let json = "{\"partitions\":[{\"topic\":\"perf\",\"partition\":0,\"offset\":1000}],\"version\":1}";
    let deleted = crate::project::write(&file, json).and_then(|()| {
        tools.says(
            "kafka-delete-records",
            &["--offset-json-file", &file.to_string_lossy()],
            &["low_watermark: 1000"],
        )
    });
    report.check("kafka-delete-records", deleted);
    report.check(
        "kafka-get-offsets --time earliest",
        tools.says("kafka-get-offsets", &["--topic", "perf", "--time", "earliest"], &["perf:0:1000"]),
    );
}
