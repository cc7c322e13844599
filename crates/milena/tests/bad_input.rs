//! What people get wrong with a tool: an address where nobody is, or somebody else; flags that are not there, or no longer. Each
//! tool says what is the matter, and soon.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Every tool that asks a broker, with what it needs to be told.
const TOOLS: [&str; 28] = [
    "topics --list",
    "configs --describe --entity-type topics",
    "configs --describe --entity-type users",
    "consumer-groups --list",
    "streams-groups --list",
    "groups --list",
    "get-offsets",
    "log-dirs --describe",
    "broker-api-versions",
    "cluster cluster-id",
    "cluster list-endpoints",
    "features describe",
    "metadata-quorum describe --status",
    "leader-election --election-type preferred --all-topic-partitions",
    "client-metrics --list",
    "delete-records --offset-json-file tests/bad_input/offsets.json",
    "reassign-partitions --list",
    "replica-verification",
    "reassign-partitions --generate --topics-to-move-json-file tests/bad_input/topics.json --broker-list 1",
    "reassign-partitions --execute --reassignment-json-file tests/bad_input/move.json",
    "reassign-partitions --verify --reassignment-json-file tests/bad_input/move.json",
    "console-producer --topic t",
    "producer-perf-test --topic t --num-records 1 --record-size 1 --throughput -1",
    "e2e-latency --topic t --num-records 1 --producer-acks 1 --record-size 1",
    "verifiable-producer --topic t --max-messages 1",
    "log-compaction-tester --messages 1",
    "console-consumer --topic t --timeout-ms 8000",
    "consumer-perf-test --topic t --num-records 1 --timeout 8000",
];

/// How soon there has to be a word.
const SOON: Duration = Duration::from_secs(25);

fn start(words: &str, address: &str) -> Child {
    let words: Vec<&str> = words.split(' ').collect();
    let (tool, rest) = words.split_first().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_milena"));
    command.arg(tool);
    // Where there are subcommands, each takes the address.
    let own = rest.first().filter(|word| !word.starts_with("--") && *tool == "cluster");
    command.args(own).args(["--bootstrap-server", address]).args(&rest[usize::from(own.is_some())..]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // For the producer; whoever reads nothing may be gone.
    let _ = child.stdin.take().unwrap().write_all(b"hello\n");
    child
}

fn output(mut child: Child, what: &str) -> (Output, Duration) {
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > SOON {
            child.kill().unwrap();
            let output = child.wait_with_output().unwrap();
            panic!("{what} says nothing for {SOON:?}: {}", text(&output));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    (child.wait_with_output().unwrap(), started.elapsed())
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Every tool at once, at an address that is no broker's: each names the address, and the likely cause.
fn ask_all(address: &str, causes: &[&str]) {
    let children: Vec<(&str, Child)> = TOOLS.iter().map(|words| (*words, start(words, address))).collect();
    let mut wrong = Vec::new();
    for (words, child) in children {
        let (output, _) = output(child, words);
        let said = text(&output);
        let names_it = said.contains(address) && causes.iter().any(|cause| said.contains(cause));
        // A consumer may wait for its broker to come back; it says so, and ends when its own time is over.
        let waits = words.contains("timeout");
        // Kafka's consumer-groups ends well however it ends, and the verifiable tools tell it in their lines.
        let fails = ["verifiable", "consumer-groups"].iter().any(|tool| words.starts_with(tool));
        let fails = waits || fails || !output.status.success();
        if !names_it || !fails || said.contains("panicked") {
            wrong.push(format!("{words}: {} {said}", output.status));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Somebody at a port of this machine who does this with every connection.
fn somebody(does: impl Fn(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || listener.incoming().flatten().for_each(does));
    address
}

#[test]
fn an_address_where_nobody_listens_is_named() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    ask_all(&address, &["nobody listens", "refused"]);
}

#[test]
fn somebody_who_closes_at_once_is_named() {
    ask_all(&somebody(drop), &["closed"]);
}

#[test]
fn somebody_who_speaks_tls_is_named() {
    let address = somebody(|mut stream| {
        let mut hello = [0; 4];
        let _ = stream.read_exact(&mut hello);
        // An alert: this is no handshake.
        let _ = stream.write_all(&[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x0a]);
    });
    ask_all(&address, &["TLS"]);
}

/// Runs a tool that asks nobody.
fn refused(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_milena")).args(words).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{words:?}");
    text(&output)
}

#[test]
fn a_misspelt_flag_is_answered_with_the_nearest_one() {
    for (words, meant) in [
        (&["console-consumer", "--topic", "t", "--from-begining"][..], "--from-beginning"),
        (&["topics", "--creat", "--topc", "t"], "--topic"),
        (&["configs", "--descrbe"], "--describe"),
        (&["consumer-groups", "--lst"], "--list"),
        (&["producer-perf-test", "--num-record-s", "1"], "--num-records"),
        (&["verifiable-producer", "--topic", "t", "--max-mesages", "1"], "--max-messages"),
        (&["e2e-latency", "--num-recods", "1"], "--num-records"),
        (&["dump-log", "--fils", "x"], "--files"),
        (&["metadata-quorum", "describe", "--statu-s"], "--status"),
        (&["cluster", "cluster-id", "--bootstrap-servr", "x"], "--bootstrap-server"),
        (&["metadata-shell", "--snapsot", "x"], "--snapshot"),
        (&["console-producer", "--topic", "t", "--command-proprty", "a=b"], "--command-property"),
        (&["get-offsets", "--topc", "t"], "--topic"),
        (&["delete-records", "--offset-jsn-file", "x"], "--offset-json-file"),
        (&["reassign-partitions", "--exectue", "--reassignment-json-file", "x"], "--execute"),
        (&["reassign-partitions", "--reasignment-json-file", "x"], "--reassignment-json-file"),
        (&["client-metrics", "--alter", "--generate-nam-e"], "--generate-name"),
        (&["log-dirs", "--descrbe"], "--describe"),
        (&["leader-election", "--election-typ-e", "preferred"], "--election-type"),
        (&["features", "describe", "--node-idd", "1"], "--node-id"),
    ] {
        let said = refused(words);
        assert!(said.contains(&format!("Did you mean {meant}?")), "{words:?}: {said}");
    }
}

#[test]
fn flags_of_older_notes_are_understood_or_explained() {
    let nobody = "127.0.0.1:1";
    for words in [
        &["topics", "--list"][..],
        &["configs", "--describe", "--entity-type", "topics"],
        &["console-consumer", "--topic", "t"],
    ] {
        let said = refused(&[words, &["--zookeeper", "localhost:2181"]].concat());
        assert!(said.contains("--bootstrap-server"), "{words:?}: {said}");
    }
    for words in
        [&["get-offsets", "--topic", "t"][..], &["consumer-perf-test", "--topic", "t", "--num-records", "1"]]
    {
        let said = refused(&[words, &["--broker-list", nobody]].concat());
        assert!(said.contains("--bootstrap-server") && said.contains(nobody), "{words:?}: {said}");
    }
}

/// A file with this text, which goes when its test does.
fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// The words are those of Kafka's tools.
#[test]
fn files_that_are_not_what_they_should_be_are_refused_before_anybody_is_asked() {
    const OFFSETS: &[&str] = &["delete-records", "--offset-json-file"];
    const MOVE: &[&str] = &["reassign-partitions", "--execute", "--reassignment-json-file"];
    const VERIFY: &[&str] = &["reassign-partitions", "--verify", "--reassignment-json-file"];
    const TOPICS: &[&str] =
        &["reassign-partitions", "--generate", "--broker-list", "1", "--topics-to-move-json-file"];
    let twice = |fields: &str| {
        let entry = format!("{{\"topic\":\"t\",\"partition\":0,{fields}}}");
        format!("{{\"version\":1,\"partitions\":[{entry},{entry}]}}")
    };
    for (tool, text, words) in [
        (OFFSETS, String::new(), "The input string is not a valid JSON"),
        (OFFSETS, "{\"partitions\":[{\"topic\":\"t\"".to_owned(), "The input string is not a valid JSON"),
        (OFFSETS, "[]".to_owned(), "Expected JSON object, received []"),
        (OFFSETS, "{\"partitions\":[],\"version\":2}".to_owned(), "Not supported version field value 2"),
        (
            OFFSETS,
            "{\"partitions\":[{\"topic\":\"t\",\"partition\":0}]}".to_owned(),
            "No such field exists: `offset`",
        ),
        (OFFSETS, twice("\"offset\":1"), "duplicate topic partitions: t-0"),
        (MOVE, "x".to_owned(), "The input string is not a valid JSON"),
        (MOVE, "[]".to_owned(), "Expected JSON object, received []"),
        (MOVE, twice("\"replicas\":[1]"), "Partition reassignment contains duplicate topic partitions: t-0"),
        (
            MOVE,
            "{\"version\":1,\"partitions\":[{\"topic\":\"t\",\"partition\":0,\"replicas\":[]}]}".to_owned(),
            "Partition replica list cannot be empty",
        ),
        (
            MOVE,
            "{\"version\":1,\"partitions\":[{\"topic\":\"t\",\"partition\":0,\"replicas\":[1,1]}]}"
                .to_owned(),
            "duplicate",
        ),
        (MOVE, "{\"version\":1,\"partitions\":[]}".to_owned(), "Partition reassignment list cannot be empty"),
        (VERIFY, "{\"version\":7,\"partitions\":[]}".to_owned(), "Not supported version field value 7"),
        (TOPICS, "{\"version\":1".to_owned(), "The input string is not a valid JSON"),
    ] {
        let file = file(&text);
        let said =
            refused(&[tool, &[file.path().to_str().unwrap(), "--bootstrap-server", "127.0.0.1:1"]].concat());
        assert!(said.contains(words) && !said.contains("panicked"), "{tool:?} {text}: {said}");
    }
    for tool in [OFFSETS, MOVE, VERIFY, TOPICS] {
        let said = refused(&[tool, &["/no/such/file.json"]].concat());
        assert!(said.contains("/no/such/file.json") && said.contains("No such file"), "{tool:?}: {said}");
        let said = refused(&tool[..tool.len() - 1]);
        assert!(said.contains(tool[tool.len() - 1].trim_start_matches("--")), "{tool:?}: {said}");
    }
}

#[test]
fn ctrl_c_ends_what_waits() {
    // Somebody who takes connections and never answers.
    let kept = std::sync::Mutex::new(Vec::new());
    let address = somebody(move |stream| kept.lock().unwrap().push(stream));
    for words in [
        "console-consumer --topic t",
        "verifiable-consumer --topic t --group-id g",
        "verifiable-producer --topic t",
        "topics --list",
    ] {
        let child = start(words, &address);
        std::thread::sleep(Duration::from_millis(300));
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let (output, elapsed) = output(child, words);
        assert!(elapsed < Duration::from_secs(20), "{words} ends {elapsed:?} later: {}", text(&output));
    }
}
