//! franz-go's own tests, those of consumers and groups: each of them is a thing to report.

use super::broker::Node;
use super::report::Report;
use super::{World, program};
use crate::project;
use std::process::Command;

const PACKAGE: &str = "github.com/twmb/franz-go/pkg/kgo";

/// The tests that reach a broker, without those of transactions and share groups. The second half takes a minute.
const TESTS: [&[&str]; 2] = [
    &[
        "TestUnknownGroupOffsetFetchPinned",
        "TestPing",
        "TestIssue1034",
        "TestIssue325",
        "TestConsumeTopicRetrieval",
        "TestConsumeTopicRetrieval_Many",
        "TestConsumeRegex",
        "Test848RegexBrokerResolves",
        "TestAddRemovePartitions",
        "TestGroupSimple",
        "TestHookPollStart",
    ],
    &[
        "TestGroupETL",
        "TestIssue337",
        "TestDirectPartitionPurge",
        "TestIssue434",
        "TestPauseIssue489",
        "TestPauseIssueOct2023",
        "TestIssue523",
        "TestIssue648",
        "TestIssue810",
        "TestIssue865",
        "TestIssueFetchLargerThanBrokerMaxReadBytes",
        "TestPooling",
        "TestConsumeMaxDecompressBatchBytes",
    ],
];

/// Runs the case.
pub fn run(world: &World, report: &mut Report) -> Result<(), String> {
    let binary = world.dir().join("bin/kgo.test");
    let module = project::root().join("interop/franz-go");
    project::finish(
        Command::new("go").args(["test", "-c", "-o"]).arg(&binary).arg(PACKAGE).current_dir(module),
    )?;
    let node = Node::new(world, "franz-go", &[])?;
    let broker = node.start(world)?;
    let tests = if world.smoke { TESTS[0].to_vec() } else { TESTS.concat() };
    let mut command = Command::new(binary);
    command.args(["-test.v", "-test.timeout=9m"]).arg(format!("-test.run=^({})$", tests.join("|")));
    command.env("KGO_SEEDS", broker.bootstrap()).env("KGO_TEST_RF", "1").env("KGO_LOG_LEVEL", "none");
    command.env("KGO_TEST_RECORDS", "50000").env("KGO_TEST_STABLE_FETCH", "true");
    let printed = program::run(&mut command, &node.dir, "kgo")?.everything();
    let outcome = |test: &str| {
        printed.lines().find_map(|line| {
            let (verdict, rest) = line.trim_start().strip_prefix("--- ")?.split_once(": ")?;
            let (name, time) = rest.split_once(' ')?;
            (name == test).then_some((verdict, time))
        })
    };
    for test in tests {
        match outcome(test) {
            Some(("PASS", time)) => report.pass(test, time),
            Some(("SKIP", _)) => report.skip(test, "it skipped itself"),
            Some(_) => report.fail(test, &complaint(&printed, test)),
            None => report.fail(test, "it did not end"),
        }
    }
    broker.stop()
}

/// The first line that a failed test has to say.
fn complaint(printed: &str, test: &str) -> String {
    let after = printed.lines().skip_while(|line| !line.contains(&format!("--- FAIL: {test}")));
    after.skip(1).find(|line| line.contains("_test.go:")).unwrap_or("it failed").trim().to_owned()
}
