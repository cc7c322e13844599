//! The integration tests of two clients in Rust, from their published packages: rust-rdkafka and rskafka. Each test is a thing to report.
//!
//! Cargo fetches a package as a dependency of the manifest in the case's folder; its tests are put beside a copy of that manifest and
//! built there, against the librdkafka of the case `librdkafka`.

use super::broker::{self, Kind, Node};
use super::report::Report;
use super::{World, librdkafka, program};
use crate::project;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// One file of tests takes less by far.
const LIMIT: Duration = Duration::from_secs(300);

const TRANSACTIONS: &str = "transactions, which milena does not serve yet";

/// A package with its tests.
struct Suite {
    /// Of the case, and its folder in `interop`.
    case: &'static str,
    /// The package in the registry.
    package: &'static str,
    /// The files of tests, and those of the smoke.
    files: &'static [&'static str],
    smoke: &'static [&'static str],
    /// What the smoke's are built with.
    smoke_features: &'static [&'static str],
    /// Parts of the names of tests that only Apache Kafka is asked, and why.
    apache_alone: &'static [(&'static str, &'static str)],
}

const RUST_RDKAFKA: Suite = Suite {
    case: "rust-rdkafka",
    package: "rdkafka",
    files: &[
        "test_admin",
        "test_high_consumers",
        "test_high_producers",
        "test_low_consumers",
        "test_low_producers",
        "test_metadata",
        "test_topic_partition_list",
        "test_transactions",
        "utils",
    ],
    smoke: &["test_high_consumers", "test_metadata"],
    smoke_features: &[],
    apache_alone: &[
        ("test_transaction_abort", TRANSACTIONS),
        ("test_transaction_commit", TRANSACTIONS),
        // Its records are to time out after 100 ms.
        ("test_base_producer_timeout", "it expects that the topic it uses is not there 100 ms later"),
    ],
};

const RSKAFKA: Suite = Suite {
    case: "rskafka",
    package: "rskafka",
    files: &["client", "consumer", "produce_consume", "producer"],
    smoke: &["client", "consumer", "producer"],
    smoke_features: &["--no-default-features"],
    apache_alone: &[],
};

/// They need a librdkafka that found the headers of libzstd.
const LIBRDKAFKA_ZSTD: [&str; 3] = [
    "test_produce_rdkafka_consume_rdkafka_zstd",
    "test_produce_rdkafka_consume_rskafka_zstd",
    "test_produce_rskafka_consume_rdkafka_zstd",
];

/// The port and the broker's id that rust-rdkafka's tests expect in the metadata.
const EXPECTED_PORT: u16 = 9092;
const EXPECTED_ID: &str = "0";

/// Runs rust-rdkafka's tests.
pub fn rust_rdkafka(world: &World, report: &mut Report) -> Result<(), String> {
    let suite = RUST_RDKAFKA;
    let built = suite.build(world)?;
    let dir = world.dir().join(suite.case);
    broker::empty(&dir)?;
    let is_free = TcpListener::bind(("127.0.0.1", EXPECTED_PORT)).is_ok();
    let port = if is_free { EXPECTED_PORT } else { broker::free_port()? };
    let node = Node::at(dir, port)?;
    let text = project::read(&node.properties)?.replace("node.id=1", &format!("node.id={EXPECTED_ID}"));
    project::write(&node.properties, format!("{text}num.partitions=3\n"))?;
    let broker = node.start(world)?;
    let mut not_here = Vec::new();
    if !is_free {
        not_here.push(("test_metadata", "it expects the broker on port 9092, which somebody else uses"));
    }
    let environment = [("KAFKA_HOST", broker.bootstrap()), ("KAFKA_VERSION", "4.4".to_owned())];
    suite.run(world, &built, &node, &environment, &not_here, report)?;
    broker.stop()
}

/// Runs rskafka's tests.
pub fn rskafka(world: &World, report: &mut Report) -> Result<(), String> {
    let suite = RSKAFKA;
    let built = suite.build(world)?;
    let node = Node::new(world, suite.case, &[("auto.create.topics.enable", "false")])?;
    let broker = node.start(world)?;
    let environment = [
        ("TEST_INTEGRATION", "1".to_owned()),
        ("TEST_BROKER_IMPL", "kafka".to_owned()),
        ("KAFKA_CONNECT", broker.bootstrap()),
    ];
    let mut not_here = vec![
        ("_java", "Java's client has cases of its own, without a JVM inside of the test"),
        ("test_sasl", "no listener asks for SASL"),
    ];
    if !librdkafka::has_zstd(world)? {
        not_here.extend(LIBRDKAFKA_ZSTD.map(|test| (test, "librdkafka was built without libzstd")));
    }
    suite.run(world, &built, &node, &environment, &not_here, report)?;
    broker.stop()
}

impl Suite {
    /// Puts the package's tests beside our manifest; the directory. They are built when they run first.
    fn build(&self, world: &World) -> Result<PathBuf, String> {
        let dir = world.dir().join(format!("{}-sources", self.case));
        project::make_dir(&dir.join("tests"))?;
        let folder = project::root().join("interop").join(self.case);
        for file in ["Cargo.toml", "Cargo.lock"] {
            project::write(&dir.join(file), project::read(&folder.join(file))?)?;
        }
        let tests = dir.join("tests");
        // A manifest without anything to build is none.
        let first = tests.join(format!("{}.rs", self.files[0]));
        if !first.exists() {
            project::write(&first, "")?;
        }
        let fetched = self.fetched(&dir)?;
        for source in project::files_below(&fetched.join("tests"))? {
            let Some(name) = source.file_name() else { continue };
            let (text, copy) = (project::read(&source)?, tests.join(name));
            // What is the same keeps its time: it is not built again.
            if !copy.exists() || project::read(&copy)? != text {
                project::write(&copy, text)?;
            }
        }
        let librdkafka = librdkafka::libraries(world)?;
        let description = format!(
            "Name: librdkafka\nDescription: Apache Kafka's client in C\nVersion: {}\nLibs: -L{} -lrdkafka\n",
            librdkafka::VERSION,
            librdkafka.display()
        );
        project::write(&dir.join("rdkafka.pc"), description)?;
        let mut cargo = self.cargo(world, &dir, &librdkafka);
        cargo.arg("--no-run").args(self.asked(world).iter().flat_map(|file| ["--test", file]));
        // A quarter of an hour is for a machine that does much else.
        program::start(&mut cargo, &dir, "build", None)?.wait(Duration::from_secs(900)).good().map(|()| dir)
    }

    /// Where Cargo has the package's sources.
    fn fetched(&self, dir: &Path) -> Result<PathBuf, String> {
        let mut cargo = Command::new("cargo");
        cargo.args(["metadata", "--locked", "--format-version", "1"]).current_dir(dir);
        let text = program::run(&mut cargo, dir, "metadata")?.text()?;
        let metadata: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let is_it = |package: &&serde_json::Value| package["name"] == self.package;
        let package = metadata["packages"].as_array().into_iter().flatten().find(is_it);
        let manifest = package.and_then(|package| package["manifest_path"].as_str());
        let manifest = manifest.ok_or_else(|| format!("Cargo does not know {}", self.package))?;
        Ok(Path::new(manifest).parent().unwrap_or(Path::new("/")).to_path_buf())
    }

    fn asked(&self, world: &World) -> &'static [&'static str] {
        if world.smoke { self.smoke } else { self.files }
    }

    /// `cargo test` in the directory of the tests. Both suites build in one place: they share much.
    fn cargo(&self, world: &World, dir: &Path, librdkafka: &Path) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.args(["test", "--locked"]).args(if world.smoke { self.smoke_features } else { &[] });
        cargo.current_dir(dir).env("CARGO_TARGET_DIR", world.dir().join("rust"));
        cargo.env("PKG_CONFIG_PATH", dir).env("LD_LIBRARY_PATH", librdkafka).env("RUST_LOG", "off");
        cargo
    }

    fn run(
        &self,
        world: &World,
        dir: &Path,
        node: &Node,
        environment: &[(&str, String)],
        not_here: &[(&str, &str)],
        report: &mut Report,
    ) -> Result<(), String> {
        let librdkafka = librdkafka::libraries(world)?;
        let mut left_out: Vec<(&str, &str)> = not_here.to_vec();
        if world.kind == Kind::Milena {
            left_out.extend(self.apache_alone);
        }
        for file in self.asked(world) {
            let ask = |label: &str, arguments: &[&str]| -> Result<String, String> {
                let mut cargo = self.cargo(world, dir, &librdkafka);
                cargo.args(["--quiet", "--test", file, "--", "--format=pretty"]).args(arguments);
                cargo.envs(environment.iter().map(|(key, value)| (*key, value.as_str())));
                Ok(program::start(&mut cargo, &node.dir, label, None)?.wait(LIMIT).everything())
            };
            // They wait for most of their time.
            let mut arguments = vec!["--test-threads=4"];
            arguments.extend(left_out.iter().flat_map(|(test, _)| ["--skip", *test]));
            for (test, failed) in judge(file, &ask(file, &arguments)?, report) {
                // Some of them assert what happens within a second.
                let again = ask(&format!("{file}-again"), &["--exact", &test])?;
                let name = format!("{file}: {test}");
                match again.contains("test result: ok. 1 passed") {
                    true => report.pass(&name, &format!("alone, after it had failed: {failed}")),
                    false => report.fail(&name, &failed),
                }
            }
        }
        for (test, why) in left_out {
            report.skip(test, why);
        }
        Ok(())
    }
}

/// Lines such as `test a::b ... ok`. Those that failed, and what they had to say.
fn judge(file: &str, printed: &str, report: &mut Report) -> Vec<(String, String)> {
    let (mut seen, mut failed) = (0, Vec::new());
    for line in printed.lines() {
        let Some((test, verdict)) = line.strip_prefix("test ").and_then(|line| line.split_once(" ... "))
        else {
            continue;
        };
        seen += 1;
        let name = format!("{file}: {test}");
        match verdict.trim() {
            "ok" => report.pass(&name, ""),
            "ignored" => report.skip(&name, "it is ignored"),
            _ => failed.push((test.to_owned(), complaint(printed, test))),
        }
    }
    if !printed.contains("test result: ") {
        let end: Vec<&str> = printed.lines().rev().take(4).collect();
        report.fail(file, &format!("it did not end: {}", end.join(" | ")));
    } else if seen == 0 {
        report.fail(file, "it has no tests");
    }
    failed
}

/// What a test said when it failed.
fn complaint(printed: &str, test: &str) -> String {
    let heading = format!("---- {test} stdout ----");
    let said = printed.lines().skip_while(|line| *line != heading).skip(1);
    let said = said.skip_while(|line| !line.contains("panicked at") && !line.starts_with("Error"));
    said.take(3).collect::<Vec<_>>().join(" ").chars().take(400).collect()
}
