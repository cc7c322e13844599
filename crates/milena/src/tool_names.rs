//! The names under which the program is a tool, and the spellings of flags that Kafka's tools take and clap does not.

use std::ffi::OsString;
use std::path::Path;

/// The tools there are: each is a command of this program and answers to `kafka-NAME.sh` and `kafka-NAME`.
pub(crate) const TOOLS: &[&str] = &[
    "server-start",
    "server-stop",
    "storage",
    "topics",
    "console-producer",
    "console-consumer",
    "consumer-groups",
    "streams-groups",
    "groups",
    "metadata-quorum",
    "get-offsets",
    "delete-records",
    "broker-api-versions",
    "configs",
    "log-dirs",
    "leader-election",
    "reassign-partitions",
    "replica-verification",
    "cluster",
    "features",
    "client-metrics",
    "log-compaction-tester",
    "dump-log",
    "producer-perf-test",
    "consumer-perf-test",
    "e2e-latency",
    "verifiable-producer",
    "verifiable-consumer",
    "metadata-shell",
];

/// The command line as clap is to see it: `kafka-topics.sh --list` becomes `milena topics --list`.
pub(crate) fn arguments(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let tool = arguments.first().and_then(|program| tool_of(Path::new(program)));
    if let Some(tool) = tool {
        arguments[0] = OsString::from("milena");
        arguments.insert(1, OsString::from(tool));
    }
    // kafka-server-start.sh -daemon: a single dash before a long name, as its shell script takes it.
    for argument in &mut arguments {
        if argument == "-daemon" {
            *argument = OsString::from("--daemon");
        }
    }
    arguments
}

fn tool_of(program: &Path) -> Option<&'static str> {
    let name = program.file_name()?.to_str()?;
    let name = name.strip_prefix("kafka-")?;
    let name = name.strip_suffix(".sh").unwrap_or(name);
    TOOLS.iter().copied().find(|tool| *tool == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Vec<String> {
        let words = words.iter().map(OsString::from).collect();
        arguments(words).into_iter().map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn the_readme_names_every_tool() {
        let readme =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
        let row = readme.lines().find_map(|line| line.strip_prefix("| Tools: ")).unwrap();
        let mut named: Vec<&str> =
            row.split('`').skip(1).step_by(2).filter(|name| *name != "completion").collect();
        named.sort_unstable();
        let mut tools = TOOLS.to_vec();
        tools.sort_unstable();
        assert_eq!(named, tools);
    }

    #[test]
    fn a_link_with_a_tools_name_is_that_tool() {
        assert_eq!(of(&["/opt/bin/kafka-topics.sh", "--list"]), ["milena", "topics", "--list"]);
        assert_eq!(of(&["kafka-console-producer", "--topic=t"]), ["milena", "console-producer", "--topic=t"]);
        assert_eq!(of(&["./milena", "topics", "--list"]), ["./milena", "topics", "--list"]);
        assert_eq!(of(&["kafka-unknown.sh"]), ["kafka-unknown.sh"]);
        assert_eq!(
            of(&["kafka-server-start.sh", "-daemon", "f"]),
            ["milena", "server-start", "--daemon", "f"]
        );
    }
}
