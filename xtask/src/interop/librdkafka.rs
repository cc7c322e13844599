//! librdkafka's own tests, those of groups, with both group protocols: each of them is a thing to report.

use super::broker::{Broker, Kind, Node};
use super::report::Report;
use super::{World, program};
use crate::project;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The package that ships librdkafka's sources with its tests.
const PACKAGE: &str = "@confluentinc/kafka-javascript@1.10.1";

/// The version of librdkafka in it.
pub const VERSION: &str = "2.15.1";

/// Longer than any of them takes by itself.
const LIMIT: Duration = Duration::from_secs(420);

/// They wait most of their time.
const AT_ONCE: usize = 3;

struct Test {
    number: &'static str,
    /// Why milena cannot pass it yet.
    not_yet: Option<&'static str>,
}

const fn test(number: &'static str) -> Test {
    Test { number, not_yet: None }
}

const fn not_yet(number: &'static str, why: &'static str) -> Test {
    Test { number, not_yet: Some(why) }
}

const TRANSACTIONS: &str = "one of its parts needs transactions, which milena does not serve yet";

const SMOKE: &[Test] =
    &[test("0056"), test("0099"), test("0130"), test("0140"), test("0153"), test("0029"), test("0112")];

const FULL: &[Test] = &[
    test("0018"),
    test("0019"),
    test("0020"),
    test("0026"),
    test("0029"),
    test("0030"),
    test("0033"),
    test("0034"),
    test("0050"),
    test("0051"),
    test("0056"),
    not_yet("0061", TRANSACTIONS),
    test("0069"),
    test("0084"),
    test("0089"),
    test("0091"),
    test("0093"),
    test("0099"),
    test("0102"),
    test("0112"),
    test("0116"),
    test("0118"),
    test("0120"),
    test("0122"),
    test("0130"),
    test("0132"),
    not_yet("0137", TRANSACTIONS),
    test("0140"),
    test("0153"),
];

/// Runs the case.
pub fn run(world: &World, report: &mut Report) -> Result<(), String> {
    let tests = build(world)?;
    // The settings that librdkafka's own clusters have.
    let settings = [
        ("num.partitions", "4"),
        ("broker.rack", "RACK1"),
        ("group.initial.rebalance.delay.ms", "3000"),
        ("offsets.topic.num.partitions", "5"),
    ];
    let node = Node::new(world, "librdkafka", &settings)?;
    let broker = node.start(world)?;
    let configuration = node.dir.join("test.conf");
    project::write(
        &configuration,
        format!("bootstrap.servers={}\nbroker.address.family=v4\n", broker.bootstrap()),
    )?;
    for protocol in ["classic", "consumer"] {
        let mut waiting = Vec::new();
        for test in if world.smoke { SMOKE } else { FULL } {
            let why = match test {
                Test { not_yet: Some(why), .. } if world.kind == Kind::Milena => Some(why),
                _ => None,
            };
            match why {
                Some(why) => report.skip(&format!("{protocol}: {}", test.number), why),
                None => waiting.push(test.number),
            }
        }
        let suite =
            Suite { tests: &tests, node: &node, broker: &broker, protocol, configuration: &configuration };
        for together in waiting.chunks(AT_ONCE) {
            let mut running = Vec::new();
            for number in together {
                running.push((*number, suite.start(number)?));
            }
            for (number, running) in running {
                suite.judge(report, number, &running.wait(LIMIT));
            }
        }
    }
    broker.stop()
}

struct Suite<'a> {
    /// The directory with the runner.
    tests: &'a Path,
    node: &'a Node,
    broker: &'a Broker,
    protocol: &'a str,
    configuration: &'a Path,
}

impl Suite<'_> {
    fn start(&self, number: &str) -> Result<program::Running, String> {
        let mut runner = Command::new("./test-runner");
        runner.arg("-p1").current_dir(self.tests);
        runner.env("TESTS", number).env("TEST_CONSUMER_GROUP_PROTOCOL", self.protocol);
        runner.env("RDKAFKA_TEST_CONF", self.configuration).env("BROKERS", self.broker.bootstrap());
        runner.env("LD_LIBRARY_PATH", "../src:../src-cpp").env("TEST_KAFKA_VERSION", "4.2.0");
        program::start(&mut runner, &self.node.dir, &format!("{}-{number}", self.protocol), None)
    }

    /// The runner ends with a table: `| NAME | PASSED | TIME |`.
    fn judge(&self, report: &mut Report, number: &str, ran: &program::Ran) {
        let printed = plain(&ran.everything());
        let mut rows = 0;
        for line in printed.lines() {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let ["", name, verdict, time, ..] = cells[..] else { continue };
            if !name.starts_with(number) {
                continue;
            }
            rows += 1;
            let name = format!("{}: {name}", self.protocol);
            match verdict {
                "PASSED" => report.pass(&name, time),
                "SKIPPED" => report.skip(&name, cells.get(4).copied().unwrap_or_default()),
                _ => report.fail(&name, &complaint(&printed)),
            }
        }
        if rows == 0 {
            let error = ran.good().err().unwrap_or_else(|| "it printed no table".to_owned());
            let complaint = complaint(&printed);
            report.fail(&format!("{}: {number}", self.protocol), &format!("{complaint} ({error})"));
        }
    }
}

/// What it says after `### Test "..." failed`.
fn complaint(printed: &str) -> String {
    let from = printed.lines().skip_while(|line| !(line.starts_with("### Test") && line.contains("failed")));
    from.take(2).collect::<Vec<_>>().join(" ").chars().take(400).collect()
}

/// Text without the colours of a terminal.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    plain
}

/// The directory with the library, which is built if it is not there.
pub fn libraries(world: &World) -> Result<PathBuf, String> {
    Ok(build(world)?.with_file_name("src"))
}

/// Whether the library knows zstd: its build found the headers.
pub fn has_zstd(world: &World) -> Result<bool, String> {
    let configuration = project::read(&build(world)?.with_file_name("config.h"))?;
    Ok(configuration.lines().any(|line| line.trim() == "#define WITH_ZSTD 1"))
}

/// Fetches and builds librdkafka and its tests once; the directory with the runner.
fn build(world: &World) -> Result<PathBuf, String> {
    let dir = world.dir().join("librdkafka-sources");
    let sources = dir.join("package/deps/librdkafka");
    let tests = sources.join("tests");
    let complete = dir.join(".complete");
    if !complete.exists() {
        println!("building librdkafka and its tests in {}", dir.display());
        project::make_dir(&dir)?;
        let run = |program: &str, arguments: &[&str], within: &Path| {
            let mut command = Command::new(program);
            program::run(command.args(arguments).current_dir(within), &dir, "build")?.good()
        };
        run("npm", &["pack", "--silent", PACKAGE], &dir)?;
        run("tar", &["xzf", "confluentinc-kafka-javascript-1.10.1.tgz"], &dir)?;
        run("./configure", &[], &sources)?;
        run("make", &["-j2", "libs"], &sources)?;
        run("make", &["-j2", "-C", "tests", "build"], &sources)?;
        project::write(&complete, "")?;
    }
    Ok(tests)
}
