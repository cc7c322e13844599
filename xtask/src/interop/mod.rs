//! `cargo xtask interop`: other people's clients and tools, and hostile ones, against a broker.
//!
//! Each case is a function of its own file. It starts brokers on free loopback ports with data below
//! `target/interop/<case>`, stops them by their process id, and reports each thing it looked at as PASS or FAIL. The
//! broker is a choice: the same case against Apache Kafka is its baseline, and a case that is red there is no judge.

mod apache_tools;
mod broker;
mod chance;
mod clients;
mod cluster;
mod compaction;
mod console;
mod crash;
mod dump;
mod franz_go;
mod hostile;
mod java_client;
mod kcat;
mod librdkafka;
mod lines;
mod members;
mod mixed_cluster;
mod namespaces;
mod partitions;
mod program;
mod properties;
mod quickstart;
mod report;
mod rust_clients;
mod streams_groups;
mod swap;
mod toolbox;
mod tools;
mod twins;
mod wire;
mod zookeeper_days;

use crate::project;
use broker::Kind;
use report::Report;
use std::path::PathBuf;
use std::time::Instant;

const HELP: &str = "\
cargo xtask interop [smoke] [OPTION...] [CASE...]

  smoke             small sizes, as CI runs them; without it, a million records
  --broker KIND     milena (default) or apache: the baseline
  --milena PATH     the program to test; otherwise `cargo build --release` makes it
  --lines FILE      the text to send; otherwise the logs and sources of this machine
  --seed NUMBER     for what is left to chance; otherwise the time, and it is printed

Cases:
";

/// What every case gets to know.
pub struct World {
    /// The broker under test.
    pub kind: Kind,
    /// Small sizes.
    pub smoke: bool,
    /// milena's binary, if it is needed and there.
    pub milena: Option<PathBuf>,
    /// Text to send instead of this machine's own.
    pub lines: Option<PathBuf>,
    /// Seeds what is left to chance.
    pub seed: u64,
}

impl World {
    /// Records to send where the full run sends a million.
    pub fn million(&self) -> usize {
        if self.smoke { 20_000 } else { 1_000_000 }
    }

    /// Below which everything is kept: `target/interop`.
    pub fn dir(&self) -> PathBuf {
        project::target().join("interop")
    }

    /// milena's binary; an error where only Apache Kafka is at hand.
    pub fn milena(&self) -> Result<PathBuf, String> {
        self.milena.clone().ok_or_else(|| "milena is not built: name it with --milena".to_owned())
    }
}

struct Case {
    name: &'static str,
    what: &'static str,
    run: fn(&World, &mut Report) -> Result<(), String>,
}

const CASES: &[Case] = &[
    Case { name: "kcat", what: "kcat: codecs, keys, headers, nulls, queries, groups", run: kcat::run },
    Case { name: "apache-tools", what: "Apache Kafka's own command-line tools", run: apache_tools::run },
    Case {
        name: "tools",
        what: "the same commands to Apache Kafka's tools and to milena's, line by line",
        run: tools::run,
    },
    Case {
        name: "quickstart",
        what: "the examples of Kafka's documentation, typed as they stand there",
        run: quickstart::run,
    },
    Case {
        name: "console",
        what: "a file of lines through console tools and kcat: the same bytes",
        run: console::run,
    },
    Case {
        name: "confluent-kafka-python",
        what: "confluent-kafka: codecs, acks, groups, admin",
        run: clients::confluent_kafka_python,
    },
    Case {
        name: "sarama",
        what: "Sarama: sync and async producers, codecs, groups, admin",
        run: clients::sarama,
    },
    Case {
        name: "java-client",
        what: "four codecs, from Java to librdkafka and back",
        run: java_client::run,
    },
    Case {
        name: "java-groups",
        what: "the Java consumer in groups of both protocols",
        run: clients::java_groups,
    },
    Case { name: "kafkajs", what: "KafkaJS in groups", run: clients::kafkajs },
    Case { name: "franz-go", what: "franz-go's own tests of consumers and groups", run: franz_go::run },
    Case {
        name: "librdkafka",
        what: "librdkafka's own tests of groups, with both protocols",
        run: librdkafka::run,
    },
    Case {
        name: "rust-rdkafka",
        what: "rust-rdkafka's own tests: producers, consumers, groups, admin",
        run: rust_clients::rust_rdkafka,
    },
    Case {
        name: "rskafka",
        what: "rskafka's own tests, and what it exchanges with librdkafka",
        run: rust_clients::rskafka,
    },
    Case {
        name: "mixed-groups",
        what: "members of several clients and both protocols in one group",
        run: members::mixed,
    },
    Case {
        name: "rolling",
        what: "members join, leave, crash and move from one protocol to the other",
        run: members::rolling,
    },
    Case {
        name: "streams-groups",
        what: "instances of a Kafka Streams application divide its tasks, and take them over",
        run: streams_groups::run,
    },
    Case {
        name: "compaction",
        what: "a compacted topic, killed in the middle of its cleaning",
        run: compaction::run,
    },
    Case { name: "swap", what: "two brokers take turns on one data directory, both ways", run: swap::run },
    Case {
        name: "crash",
        what: "kill -9 in the middle of a load; segments cut at random bytes",
        run: crash::run,
    },
    Case {
        name: "mixed-cluster",
        what: "several nodes, milena's and Apache Kafka's: shared, and failing over",
        run: mixed_cluster::run,
    },
    Case {
        name: "mixed-quorum",
        what: "voters of milena and of Apache Kafka in one quorum, static and dynamic",
        run: mixed_cluster::quorum,
    },
    Case {
        name: "bad-nodes",
        what: "nodes of another cluster, with a log of their own, without its end, without a disk",
        run: mixed_cluster::bad_nodes,
    },
    Case {
        name: "migration",
        what: "a cluster of Apache Kafka becomes one of milena node by node under load, and goes back",
        run: mixed_cluster::migration,
    },
    Case {
        name: "reassignment",
        what: "partitions move between brokers and log directories under load, some half way and back",
        run: mixed_cluster::reassignment,
    },
    Case {
        name: "partitions",
        what: "three hosts whose network is cut, both ways and one way, under load",
        run: partitions::run,
    },
    Case {
        name: "properties",
        what: "the server.properties that people have, and bad ones",
        run: properties::run,
    },
    Case { name: "hostile", what: "frames, requests and batches that lie, bombs, crowds", run: hostile::run },
    Case {
        name: "twins",
        what: "Apache Kafka and milena give the same answers to the same clients",
        run: twins::run,
    },
];

/// Runs the cases that are named, or all of them.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let mut world = World { kind: Kind::Milena, smoke: false, milena: None, lines: None, seed: clock_seed() };
    let mut names = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().cloned().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "help" | "--help" | "-h" => {
                print!("{HELP}");
                for case in CASES {
                    println!("  {:<24}{}", case.name, case.what);
                }
                return Ok(());
            }
            "smoke" | "--smoke" => world.smoke = true,
            "--broker" => world.kind = Kind::parse(&value()?)?,
            "--milena" => {
                world.milena = Some(std::path::absolute(value()?).map_err(|error| error.to_string())?)
            }
            "--lines" => {
                world.lines = Some(std::path::absolute(value()?).map_err(|error| error.to_string())?)
            }
            "--seed" => world.seed = value()?.parse().map_err(|error| format!("--seed: {error}"))?,
            name if CASES.iter().any(|case| case.name == name) => names.push(name.to_owned()),
            other => return Err(format!("there is no case {other:?}: see `cargo xtask interop help`")),
        }
    }
    if world.milena.is_none() && world.kind == Kind::Milena {
        world.milena = Some(project::build("milena")?);
    }
    println!("seed {}", world.seed);
    let mut failed = Vec::new();
    let started = Instant::now();
    for case in CASES.iter().filter(|case| names.is_empty() || names.iter().any(|name| name == case.name)) {
        println!("\n== {} against {}: {}", case.name, world.kind.name(), case.what);
        let mut report = Report::new(case.name);
        if let Err(error) = (case.run)(&world, &mut report) {
            report.fail("the case itself", &error);
        }
        if !report.summary() {
            failed.push(case.name);
        }
    }
    println!("\n{} s in all", started.elapsed().as_secs());
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

/// Becomes Apache Kafka on a directory and a port of 127.0.0.1: what `cargo xtask bench --apache` measures.
pub fn become_apache(arguments: &[String]) -> Result<(), String> {
    let [dir, port] = arguments else { return Err("apache-server DIR PORT".to_owned()) };
    let dir = std::path::absolute(dir).map_err(|error| error.to_string())?;
    project::make_dir(&dir)?;
    let node = broker::Node::at(dir, port.parse().map_err(|error| format!("{port}: {error}"))?)?;
    Err(std::os::unix::process::CommandExt::exec(&mut node.apache()?).to_string())
}

/// Becomes Apache Kafka with a file of properties, as a node of a cluster: what `cargo xtask bench --cluster --apache` measures.
pub fn become_apache_node(arguments: &[String]) -> Result<(), String> {
    let [dir, properties, cluster_id] = arguments else {
        return Err("apache-node DIR PROPERTIES CLUSTER-ID".to_owned());
    };
    let properties = std::path::absolute(properties).map_err(|error| error.to_string())?;
    let dir = std::path::Path::new(dir);
    let formatted = dir.join("formatted");
    if !formatted.exists() {
        let mut format = crate::apache::Jars::Broker.java()?;
        format.args(["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c"]).arg(&properties);
        program::run(&mut format, dir, "format")?.good()?;
        project::write(&formatted, "")?;
    }
    let mut java = broker::apache_kafka(&properties, "1g")?;
    Err(std::os::unix::process::CommandExt::exec(&mut java).to_string())
}

/// Becomes a command-line tool of Apache Kafka: what `cargo xtask bench --tools --apache` measures.
pub fn become_apache_tool(arguments: &[String]) -> Result<(), String> {
    let (name, rest) = arguments.split_first().ok_or("apache-tool NAME ARGUMENT...")?;
    Err(std::os::unix::process::CommandExt::exec(crate::apache::tool(name)?.args(rest)).to_string())
}

fn clock_seed() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(1, |elapsed| elapsed.as_secs())
}
