//! The `server.properties` that people have: whole and in parts they start a node as they stand; where they cannot, the
//! broker says what to do, and harms nothing.

use super::broker::{Broker, Kind, Node, empty, free_port};
use super::report::Report;
use super::toolbox::{kcat, kcat_read, kcat_write};
use super::{World, lines, program, wire};
use crate::project;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const CASE: &str = "properties";

/// The file of the old quick start. `PORT` and `DIR` are filled in: nothing else is ours.
const OLD: &str = "\
broker.id=0
listeners=PLAINTEXT://:PORT
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=DIR
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
zookeeper.connect=localhost:2181
zookeeper.connection.timeout.ms=6000
";

/// Runs the case.
pub fn run(world: &World, report: &mut Report) -> Result<(), String> {
    if world.kind == Kind::Apache {
        // Apache Kafka 4 has neither ZooKeeper's keys nor a directory that formats itself.
        report.pass("the old files are milena's promise", "nothing to compare with");
        return Ok(());
    }
    let place = Place { world, milena: world.milena()?, dir: world.dir().join(CASE) };
    empty(&place.dir)?;
    let has = |part: &'static str| move |line: &&str| line.contains(part);
    let without = |part: &'static str| move |line: &&str| !line.contains(part);
    place.serves(report, "whole", &keep(|_| true));
    place.serves(report, "without ZooKeeper's lines", &keep(without("zookeeper")));
    place.serves(
        report,
        "listener, directory and ZooKeeper",
        &keep(|line| has("listeners")(line) || has("log.dirs")(line) || has("zookeeper")(line)),
    );
    place.serves(report, "without an id", &keep(without("broker.id")));
    place.serves(report, "nothing of replication factors", &keep(without("offsets.topic")));
    place.serves(
        report,
        "listener and directory alone",
        &keep(|line| has("listeners")(line) || has("log.dirs")(line)),
    );
    place.no_file(report);
    place.warns_of_zookeeper(report);
    place.refusals(report);
    report.check("a directory of another cluster", place.other_cluster());
    report.check("a directory in use", place.locked());
    report.check("a directory that cannot be one", place.no_directory());
    report.check("a full disk", place.full_disk());
    Ok(())
}

fn keep(which: impl Fn(&&str) -> bool) -> String {
    OLD.lines().filter(which).fold(String::new(), |text, line| text + line + "\n")
}

struct Place<'a> {
    world: &'a World,
    milena: PathBuf,
    dir: PathBuf,
}

impl Place<'_> {
    /// A file with its port and directory filled in, in a directory of its own.
    fn file(&self, name: &str, text: &str) -> Result<(PathBuf, u16), String> {
        let dir = self.dir.join(name.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
        empty(&dir)?;
        let port = free_port()?;
        let text =
            text.replace("PORT", &port.to_string()).replace("DIR", &dir.join("data").display().to_string());
        let file = dir.join("server.properties");
        project::write(&file, text)?;
        Ok((file, port))
    }

    fn command(&self, file: &Path) -> Command {
        let mut command = Command::new(&self.milena);
        command.arg("server-start").arg(file);
        command
    }

    fn start(&self, name: &str, text: &str) -> Result<Broker, String> {
        let (file, port) = self.file(name, text)?;
        Broker::spawn(self.command(&file), file.parent().unwrap_or(&self.dir), port)
    }

    /// Starts with the file, creates topics by use, produces, consumes and commits in a group, stops, starts again.
    fn serves(&self, report: &mut Report, name: &str, text: &str) {
        let result = self.start(name, text).and_then(|broker| {
            let dir = broker.log.parent().unwrap_or(&self.dir).to_path_buf();
            let file = dir.join("server.properties");
            let port = broker.port;
            self.round(&dir, &broker, 0)?;
            broker.stop()?;
            let broker = Broker::spawn(self.command(&file), &dir, port)?;
            self.round(&dir, &broker, 1)?;
            broker.stop()?;
            Ok(format!("{} lines", text.lines().count()))
        });
        report.check(&format!("{name}: starts and serves, twice"), result);
    }

    fn round(&self, dir: &Path, broker: &Broker, turn: usize) -> Result<(), String> {
        let text = lines::file(self.world, 1000)?;
        let topic = format!("turn-{turn}");
        let bootstrap = broker.bootstrap();
        program::run_with_input(&mut kcat_write(&bootstrap, &topic, "none"), dir, "write", &text)?.good()?;
        let read = program::run(&mut kcat_read(&bootstrap, &topic, 0, "%s\n"), dir, "read")?;
        read.good()?;
        program::same_file(&text, &read.out)?;
        let mut group = kcat(&bootstrap);
        group.args(["-q", "-e", "-f", "%o\n", "-X", "auto.offset.reset=earliest", "-G", "readers", &topic]);
        let read = program::run(&mut group, dir, "group")?.text()?.lines().count();
        if read == 1000 { Ok(()) } else { Err(format!("the group read {read} records instead of 1000")) }
    }

    /// No file at all: port 9092, data below the current directory.
    fn no_file(&self, report: &mut Report) {
        let what = "no file at all: starts on port 9092 and serves";
        if TcpListener::bind("127.0.0.1:9092").is_err() {
            return report.skip(what, "the port is in use");
        }
        let dir = self.dir.join("no-file");
        let mut command = Command::new(&self.milena);
        command.arg("server-start");
        let result = empty(&dir).and_then(|()| Broker::spawn(command, &dir, 9092)).and_then(|broker| {
            self.round(&dir, &broker, 0)?;
            let text = broker.text();
            broker.stop()?;
            let data = dir.join("data/meta.properties").exists();
            if data && text.contains("9092") {
                Ok("data in ./data".to_owned())
            } else {
                Err(format!("data {data}: {text}"))
            }
        });
        report.check(what, result);
    }

    fn warns_of_zookeeper(&self, report: &mut Report) {
        let printed = std::fs::read_to_string(self.dir.join("whole/server-0.log")).unwrap_or_default();
        let said = printed.lines().find(|line| line.to_lowercase().contains("zookeeper"));
        report.check("it says what takes ZooKeeper's place", said.map(str::to_owned).ok_or(printed));
    }

    /// A file that must not start: it ends with an error that has each of the words.
    fn refused(&self, name: &str, text: &str, words: &[&str]) -> Result<String, String> {
        let (file, port) = self.file(name, text)?;
        let broker = Broker::launch(self.command(&file), file.parent().unwrap_or(&self.dir), port)?;
        refusal(broker, words)
    }

    fn refusals(&self, report: &mut Report) {
        let elsewhere = OLD.replace("localhost:2181", "zk1:2181,zk2:2181,zk3:2181/kafka");
        report.check(
            "ZooKeeper on other hosts: no lonely node, but the lines to put instead",
            self.refused(
                "elsewhere",
                &elsewhere,
                &["zookeeper.connect", "process.roles=", "controller.quorum"],
            ),
        );
        for (line, key) in [
            ("num.partitions=1 # one is enough", "num.partitions"),
            ("log.retention.hours=a week", "log.retention.hours"),
            ("socket.request.max.bytes=100MB", "socket.request.max.bytes"),
            ("log.segment.bytes=12", "log.segment.bytes"),
            ("compression.type=rar", "compression.type"),
            ("listeners=PLAINTEXT://127.0.0.1:high", "listeners"),
        ] {
            let text = keep(|old| !old.starts_with(key)) + line + "\n";
            report.check(&format!("refused: {line}"), self.refused(key, &text, &[key]));
        }
        report.check("a file that is not there", {
            let command = self.command(&self.dir.join("nowhere.properties"));
            Broker::launch(command, &self.dir, 0).and_then(|broker| refusal(broker, &["nowhere.properties"]))
        });
    }

    fn other_cluster(&self) -> Result<String, String> {
        let node = Node::new(self.world, "properties/cluster", &[])?;
        node.start(self.world)?.stop()?;
        let other = Node::new(self.world, "properties/other-cluster", &[])?;
        other.start(self.world)?.stop()?;
        // One of the two directories of a node says another cluster than the other.
        let text = project::read(&node.properties)?;
        let both = format!("{},{}", node.data.display(), other.data.display());
        project::write(
            &node.properties,
            text.replace(&format!("log.dirs={}", node.data.display()), &format!("log.dirs={both}")),
        )?;
        let meta = project::read(&node.data.join("meta.properties"))?;
        let broker = Broker::launch(self.command(&node.properties), &node.dir, node.port)?;
        let said = refusal(broker, &["cluster"])?;
        if project::read(&node.data.join("meta.properties"))? == meta {
            Ok(said)
        } else {
            Err("meta.properties was changed".to_owned())
        }
    }

    fn locked(&self) -> Result<String, String> {
        let (file, port) = self.file("locked", OLD)?;
        let dir = file.parent().unwrap_or(&self.dir).to_path_buf();
        let first = Broker::spawn(self.command(&file), &dir, port)?;
        let second = dir.join("second.properties");
        project::write(
            &second,
            project::read(&file)?.replace(&format!(":{port}"), &format!(":{}", free_port()?)),
        )?;
        let said = refusal(Broker::launch(self.command(&second), &dir, 0)?, &["data"])?;
        wire::api_versions(port).map_err(|error| format!("the first no longer answers: {error}"))?;
        first.stop()?;
        Ok(said)
    }

    fn no_directory(&self) -> Result<String, String> {
        let blocked = self.dir.join("blocked");
        project::write(&blocked, "a file, not a directory")?;
        let text = OLD.replace("DIR", &blocked.join("data").display().to_string());
        self.refused("no-directory", &text, &["blocked/data"])
    }

    /// A file may grow to 11 MiB and no further: what was acknowledged before is there when there is space again.
    fn full_disk(&self) -> Result<String, String> {
        let (file, port) = self.file("full", OLD)?;
        let dir = file.parent().unwrap_or(&self.dir).to_path_buf();
        let mut limited = Command::new("bash");
        limited
            .args(["-c", "trap '' XFSZ; ulimit -f 11264; exec \"$@\"", "bash"])
            .arg(&self.milena)
            .arg("server-start")
            .arg(&file);
        let broker = Broker::spawn(limited, &dir, port)?;
        let text = lines::file(self.world, 400_000)?;
        let mut write = kcat(&broker.bootstrap());
        write.args([
            "-P",
            "-t",
            "full",
            "-p",
            "0",
            "-X",
            "message.timeout.ms=8000",
            "-X",
            "enable.idempotence=true",
            "-X",
            "batch.num.messages=1000",
        ]);
        let wrote = program::run_with_input(&mut write, &dir, "write", &text)?;
        if !wrote.refused() {
            return Err("every record was acknowledged by a full disk".to_owned());
        }
        let said = broker
            .text()
            .lines()
            .find(|line| line.contains("full-0") || line.contains("data"))
            .map(str::to_owned);
        let panicked = broker.text().contains("panicked");
        broker.kill()?;
        let broker = Broker::spawn(self.command(&file), &dir, port)?;
        let read = program::run(&mut kcat_read(&broker.bootstrap(), "full", 0, "%s\n"), &dir, "read")?;
        let served = std::fs::read(&read.out).map_err(|error| error.to_string())?;
        let sent = std::fs::read(&text).map_err(|error| error.to_string())?;
        read.good()?;
        broker.stop()?;
        if panicked {
            return Err("the broker panicked".to_owned());
        }
        if served.is_empty() || !sent.starts_with(&served) {
            return Err(format!("{} bytes are served that are not the first that were sent", served.len()));
        }
        Ok(format!("{} bytes served afterwards; it had said: {}", served.len(), said.unwrap_or_default()))
    }
}

fn refusal(broker: Broker, words: &[&str]) -> Result<String, String> {
    let (refused, text) = broker.ends(Duration::from_secs(20))?;
    if !refused {
        return Err(format!("it ended without an error: {text}"));
    }
    if text.contains("panicked") {
        return Err(format!("it panicked: {text}"));
    }
    match words.iter().find(|word| !text.contains(**word)) {
        None => Ok(text.lines().next().unwrap_or_default().to_owned()),
        Some(word) => Err(format!("no {word:?} in: {text}")),
    }
}
