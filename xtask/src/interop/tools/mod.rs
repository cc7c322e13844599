//! The same commands to Apache Kafka's tools and to milena's, on Apache Kafka's broker and on milena's: the same output, line by
//! line, and the same exit code.
//!
//! The commands are in `interop/tools/*.txt`. `@` in one stands for a word that differs between the two tools, so that each has
//! topics and groups of its own to change; the same broker is asked by both, one after the other.

mod apache_jvm;
mod script;

use super::World;
use super::broker::{Kind, Node};
use super::cluster::{Cluster, Role};
use super::program;
use super::report::Report;
use super::streams_groups;
use super::toolbox::{java, kcat, milena_tools};
use crate::{apache, project};
use apache_jvm::ApacheJvm;
use script::{Action, How, Step};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const CASE: &str = "tools";

/// For so long a state is waited for: two JVMs may have to start on a machine that is busy.
const AWAIT_LIMIT: Duration = Duration::from_secs(180);

/// The script that is played on a cluster of two brokers, each with two log directories.
const SEVERAL_BROKERS: &str = "reassign";

/// The script whose applications take their time to start, in JVMs of their own.
const WITH_APPLICATIONS: &str = "streams-groups";

/// Whose tool. Both words are as long: no column may get wider by them.
const APACHE: &str = "aaa";
const MILENA: &str = "mmm";

/// What a tool printed, and how it ended.
pub struct Said {
    exit: i32,
    out: String,
    err: String,
}

/// Runs the case.
pub fn run(world: &World, report: &mut Report) -> Result<(), String> {
    let differences = differences()?;
    let kinds: &[Kind] =
        if world.kind == Kind::Apache { &[Kind::Apache] } else { &[Kind::Apache, Kind::Milena] };
    for kind in kinds {
        let name = format!("{CASE}/{}", kind.name());
        // Ids of groups' coordinators, offsets' partitions and the like are as on any small cluster.
        let settings = [&streams_groups::SETTINGS[..], &[("offsets.topic.num.partitions", "5")]].concat();
        let node = Node::new(world, &name, &settings)?;
        let broker = node.start_as(world, *kind)?;
        let place = Place {
            dir: node.dir.clone(),
            data: node.data.clone(),
            bootstrap: broker.bootstrap(),
            controllers: format!("127.0.0.1:{}", node.controller),
        };
        let whole = !world.smoke || *kind == world.kind;
        let is_ours = |script: &Path| {
            script
                .file_stem()
                .is_none_or(|name| name != SEVERAL_BROKERS && (whole || name != WITH_APPLICATIONS))
        };
        play(world, *kind, &place, is_ours, &differences, report)?;
        broker.stop()?;
        // Several of Apache's brokers take half a minute to start and to stop.
        if whole {
            several_brokers(world, *kind, &differences, report)?;
        }
    }
    Ok(())
}

/// The script that needs more than one broker, and log directories to choose from.
fn several_brokers(
    world: &World,
    kind: Kind,
    differences: &BTreeMap<String, String>,
    report: &mut Report,
) -> Result<(), String> {
    let name = format!("{CASE}/{}-brokers", kind.name());
    // Or all of a small partition would come at once, before a throttle can be felt.
    let extra = [("replica.fetch.max.bytes", "10000")];
    let mut cluster = Cluster::new(world, &name, &[Role::Combined, Role::Broker], &extra)?;
    for member in &cluster.members {
        let mut text = project::read(&member.properties)?;
        let data = member.data.display();
        text.push_str(&format!("log.dirs={data},{data}-2\n"));
        project::write(&member.properties, text)?;
    }
    cluster.start(world, &[kind; 2])?;
    let place = Place {
        dir: cluster.dir.clone(),
        data: cluster.member(1)?.data.clone(),
        bootstrap: cluster.bootstrap_of(1)?,
        controllers: cluster.controllers(),
    };
    let is_it = |script: &Path| script.file_stem().is_some_and(|name| name == SEVERAL_BROKERS);
    play(world, kind, &place, is_it, differences, report)?;
    cluster.stop()
}

/// Plays the scripts that are meant.
fn play(
    world: &World,
    kind: Kind,
    place: &Place,
    is_meant: impl Fn(&Path) -> bool,
    differences: &BTreeMap<String, String>,
    report: &mut Report,
) -> Result<(), String> {
    // A JVM for each broker: a tool that exits leaves its client behind, which would miss the broker aloud.
    let mut jvm = ApacheJvm::start(world)?;
    let tools = milena_tools(world, CASE)?;
    let mut stage =
        Stage { world, kind, place, tools, jvm: &mut jvm, consumers: Vec::new(), streams: Vec::new() };
    for script in scripts()?.iter().filter(|script| is_meant(script)) {
        for step in script::parse(&project::read(script)?)? {
            stage.play(&step, differences, report)?;
        }
        stage.consumers.clear();
        stage.streams.clear();
    }
    Ok(())
}

/// The scripts, in the order of their names.
fn scripts() -> Result<Vec<PathBuf>, String> {
    let mut files = project::files_below(&project::root().join("interop/tools"))?;
    files.retain(|path| {
        path.extension().is_some_and(|end| end == "txt")
            && path.file_stem().is_some_and(|name| name != "differences")
    });
    Ok(files)
}

/// Commands whose output differs, with the reason: `COMMAND => WHY`.
fn differences() -> Result<BTreeMap<String, String>, String> {
    let text = project::read(&project::root().join("interop/tools/differences.txt"))?;
    let pairs = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" => "));
    Ok(pairs.map(|(command, why)| (command.to_owned(), why.to_owned())).collect())
}

/// Where the brokers are.
struct Place {
    dir: PathBuf,
    /// The log directory of the first.
    data: PathBuf,
    bootstrap: String,
    /// The controllers' listeners.
    controllers: String,
}

/// Brokers with their tools.
struct Stage<'a> {
    world: &'a World,
    kind: Kind,
    place: &'a Place,
    tools: PathBuf,
    jvm: &'a mut ApacheJvm,
    consumers: Vec<program::Running>,
    streams: Vec<program::Running>,
}

impl Stage<'_> {
    fn play(
        &mut self,
        step: &Step,
        differences: &BTreeMap<String, String>,
        report: &mut Report,
    ) -> Result<(), String> {
        // What both look at is made once.
        let whose = if step.text.contains('@') { &[APACHE, MILENA][..] } else { &[MILENA] };
        match &step.action {
            Action::Compare(How { apache: true, .. }) if self.kind != Kind::Apache => {}
            Action::Compare(how) => {
                let title = format!("{} on {}'s broker", step.text, self.kind.name());
                let tries = if how.again { 5 } else { 1 };
                let mut verdict = self.compare(&step.text, *how);
                for _ in 1..tries {
                    if verdict.is_err() {
                        verdict = self.compare(&step.text, *how);
                    }
                }
                match differences.get(&step.text) {
                    Some(why) if verdict.is_err() => report.skip(&title, why),
                    Some(_) => report.fail(&title, "it no longer differs: take it off differences.txt"),
                    None => drop(report.check(&title, verdict)),
                }
            }
            Action::Setup => {
                for who in whose {
                    let said = self.milena(&self.words(&step.text, who, false))?;
                    if said.exit != 0 {
                        return Err(format!("{}: {}{}", step.text, said.out, said.err));
                    }
                }
            }
            Action::Produce => {
                for who in whose {
                    self.produce(&step.text.replace('@', who))?;
                }
            }
            Action::File => {
                for who in whose {
                    let text = step.text.replace('@', who);
                    let (name, content) = text.split_once(' ').ok_or("file: NAME CONTENT")?;
                    let content = content.replace("$DATA", &self.place.data.display().to_string());
                    project::write(&self.place.dir.join(name), content.replace("\\n", "\n"))?;
                }
            }
            Action::Copy => {
                let (name, files) = step.text.split_once(' ').ok_or("copy: NAME FILES")?;
                let into = self.place.dir.join(name);
                project::make_dir(&into)?;
                for file in self.with_files(files).split(',').map(PathBuf::from) {
                    let to = into.join(file.file_name().unwrap_or_default());
                    std::fs::copy(&file, &to).map_err(|error| format!("{}: {error}", file.display()))?;
                }
            }
            Action::Transact if self.kind != Kind::Apache => {}
            Action::Transact => {
                let mut java = java("tools/Transactions.java")?;
                java.arg(self.place.bootstrap.clone()).args(step.text.split_whitespace());
                program::run(&mut java, &self.place.dir, "transact")?.good()?;
            }
            Action::Consume => self.consume(&step.text)?,
            Action::Await => self.wait_for(&step.text)?,
            Action::EndConsumers => self.consumers.clear(),
            Action::Stream => {
                for who in whose {
                    let group = step.text.replace('@', who);
                    let bootstrap = &self.place.bootstrap;
                    self.streams.push(streams_groups::start(&self.place.dir, bootstrap, &group, &group)?);
                }
            }
            Action::EndStreams => {
                self.streams.iter_mut().for_each(program::Running::tell_to_end);
                for stream in self.streams.drain(..) {
                    stream.wait(AWAIT_LIMIT).good()?;
                }
            }
        }
        Ok(())
    }

    /// The command with the broker's address and everything in its place.
    fn words(&self, text: &str, who: &str, local: bool) -> Vec<String> {
        let text = text
            .replace('@', who)
            .replace("$DIR", &self.place.dir.display().to_string())
            .replace("$DATA", &self.place.data.display().to_string())
            .replace("$CONTROLLER", &self.place.controllers)
            .replace("$BOOTSTRAP", &self.place.bootstrap);
        let text = self.with_files(&text);
        let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        if !local {
            // In front: a flag without its value at the end stays without it.
            words.splice(1..1, ["--bootstrap-server".to_owned(), self.place.bootstrap.clone()]);
        }
        words
    }

    /// `$FILES(TOPIC,END)`: the files with that end of all partitions of a topic, with commas between.
    fn with_files(&self, text: &str) -> String {
        let Some((before, rest)) = text.split_once("$FILES(") else { return text.to_owned() };
        let Some((topic, rest)) = rest.split_once(',') else { return text.to_owned() };
        let Some((end, after)) = rest.split_once(')') else { return text.to_owned() };
        let is_meant = |path: &PathBuf| {
            let dir = path.parent().and_then(|dir| dir.file_name()).unwrap_or_default().to_string_lossy();
            path.extension().is_some_and(|found| found == end)
                && dir.strip_prefix(topic).is_some_and(|index| index.starts_with('-'))
        };
        let files = project::files_below(&self.place.data).unwrap_or_default();
        let files: Vec<String> =
            files.iter().filter(|path| is_meant(path)).map(|path| path.display().to_string()).collect();
        format!("{before}{}{after}", files.join(","))
    }

    fn compare(&mut self, text: &str, how: How) -> Result<String, String> {
        let How { sorted, local, .. } = how;
        let words = self.words(text, APACHE, local);
        let mut expected = match how.alone {
            true => self.apache_alone(&words)?,
            false => self.jvm.run(self.world, &words)?,
        };
        let mut got = self.milena(&self.words(text, MILENA, local))?;
        if how.masked {
            for said in [&mut expected, &mut got] {
                said.out = masked(&said.out);
            }
        }
        if how.alone {
            // Of a JVM of its own it is the logs.
            (expected.err, got.err) = (String::new(), String::new());
        }
        let expected_out = without_trace(lines(&expected.out, sorted));
        let got_out = lines(&got.out, sorted);
        if expected_out != got_out {
            return Err(parting(&expected_out, &got_out));
        }
        let (complaint, answer) = (first_complaint(&expected.err, sorted), first_complaint(&got.err, sorted));
        if complaint != answer {
            return Err(format!("it complains {answer:?} where Apache's does {complaint:?}"));
        }
        if expected.exit != got.exit {
            return Err(format!("it ended with {} instead of {}", got.exit, expected.exit));
        }
        Ok(match expected_out.len() {
            0 => complaint,
            count => format!("{count} lines"),
        })
    }

    fn milena(&self, words: &[String]) -> Result<Said, String> {
        let (name, arguments) = words.split_first().ok_or("an empty command")?;
        self.said(Command::new(self.tools.join(name)).args(arguments))
    }

    /// Apache's tool in a JVM of its own.
    fn apache_alone(&self, words: &[String]) -> Result<Said, String> {
        let (name, arguments) = words.split_first().ok_or("an empty command")?;
        self.said(apache::tool(name)?.args(arguments))
    }

    fn said(&self, command: &mut Command) -> Result<Said, String> {
        let output = command.current_dir(&self.place.dir).output().map_err(|error| error.to_string())?;
        Ok(Said {
            exit: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// `COUNT TOPIC:PARTITION,PARTITION`: so many records into each.
    fn produce(&self, text: &str) -> Result<(), String> {
        let (count, at) = text.split_once(' ').ok_or("produce: COUNT TOPIC:PARTITIONS")?;
        let (topic, partitions) = at.split_once(':').ok_or("produce: COUNT TOPIC:PARTITIONS")?;
        let count: usize = count.parse().map_err(|error| format!("{text}: {error}"))?;
        let input = self.place.dir.join("records");
        let records: String = (0..count).map(|number| format!("key-{number}\trecord {number}\n")).collect();
        project::write(&input, records)?;
        for partition in partitions.split(',') {
            let mut kcat = kcat(&self.place.bootstrap);
            kcat.args(["-P", "-t", topic, "-p", partition, "-K", "\t", "-X", "enable.idempotence=true"]);
            program::run_with_input(&mut kcat, &self.place.dir, "kcat", &input)?.good()?;
        }
        Ok(())
    }

    /// `TOPIC PROTOCOL GROUP`: a consumer of Apache's that stays.
    fn consume(&mut self, text: &str) -> Result<(), String> {
        let [topic, protocol, group] = text.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err("consume: TOPIC PROTOCOL GROUP".to_owned());
        };
        let mut consumer = apache::tool("kafka-console-consumer")?;
        consumer.args(["--bootstrap-server", &self.place.bootstrap, "--topic", topic, "--group", group]);
        for property in
            [&format!("group.protocol={protocol}"), "client.id=live", "auto.commit.interval.ms=200"]
        {
            consumer.args(["--consumer-property", property]);
        }
        consumer.args(["--from-beginning"]);
        self.consumers.push(program::start(&mut consumer, &self.place.dir, group, None)?);
        Ok(())
    }

    /// `WORDS COMMAND`: until the words, joined by `_`, follow each other in what milena's tool prints.
    fn wait_for(&self, text: &str) -> Result<(), String> {
        let (words, command) = text.split_once(' ').ok_or("await: WORDS COMMAND")?;
        let words = words.replace('_', " ");
        let until = Instant::now() + AWAIT_LIMIT;
        loop {
            let said = self.milena(&self.words(command, MILENA, false))?;
            let columns: Vec<&str> = said.out.split_whitespace().collect();
            if columns.join(" ").contains(&words) {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(format!("no {words} from {command}: {}{}", said.out, said.err));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The text with `#` in the place of each number; the tools' words with digits in them, such as `99th`, keep theirs.
fn masked(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if !letter.is_ascii_digit() {
            masked.push(letter);
            continue;
        }
        let mut number = String::from(letter);
        while let Some(next) = letters.next_if(|next| next.is_ascii_digit() || *next == '.') {
            number.push(next);
        }
        match letters.peek() {
            Some('t') => masked.push_str(&number),
            // A sentence ends with it.
            _ => masked.push_str(if number.ends_with('.') { "#." } else { "#" }),
        }
    }
    // A time that went backwards for Apache's tool is a number too, and what it divides by none at all: milena's takes a
    // millisecond for that.
    masked.replace(" -#", " #").replace("Infinity", "#").replace("NaN", "#")
}

/// The lines with both tools' own names made the same, as is in which of two log directories a replica was put.
fn lines(text: &str, sorted: bool) -> Vec<String> {
    let text = text.replace(APACHE, "@").replace(MILENA, "@");
    let text = text.replace("/data-2\"", "/data\"").replace("/data-#\"", "/data\"");
    let mut lines: Vec<String> = text.lines().map(|line| line.trim_end().to_owned()).collect();
    if sorted {
        lines.sort();
    }
    lines
}

/// The lines before a stack trace, which milena's tools do not print: what was wrong stands in front of it in a line of its own.
fn without_trace(mut lines: Vec<String>) -> Vec<String> {
    let is_of_trace = |line: &String| {
        ["\tat ", "\t... ", "Caused by: "].iter().any(|start| line.starts_with(start)) || line.is_empty()
    };
    if let Some(first) = lines.iter().position(|line| line.starts_with("\tat "))
        && lines[first..].iter().all(is_of_trace)
    {
        // The exception's class and its words, in as many lines as they have.
        let is_class =
            |line: &String| line.split(':').next().is_some_and(|class| class.ends_with("Exception"));
        let begin = lines[..first].iter().rposition(is_class).unwrap_or(first);
        lines.truncate(begin);
    }
    // Some exceptions have no trace behind that line.
    let end = if lines.last().is_some_and(String::is_empty) { lines.len() - 1 } else { lines.len() };
    if let [.., words, class] = &lines[..end]
        && let Some(words) = words.strip_prefix("Error: ")
        && class.ends_with(&format!("Exception: {words}"))
    {
        lines.truncate(end - 1);
    }
    lines
}

/// The first line on standard error that is neither of a stack trace nor of a logger's frame; its words in order where the tool
/// has them in the order of a hash map.
fn first_complaint(text: &str, sorted: bool) -> String {
    let lines = lines(text, false);
    let is_trace = |line: &str| {
        line.starts_with("\tat ")
            // What the client's own log says of it.
            || line.contains("clientId=")
            || line.starts_with("\t... ")
            || ["Caused by: ", "java.", "org.apache.kafka.", "com.fasterxml.", " at [Source"]
                .iter()
                .any(|start| line.starts_with(start))
    };
    // The tools with argparse4j say how they are used, and then, broken into lines and filled up, what is wrong.
    if let Some((start, _)) = text.match_indices(": error:").chain(text.match_indices(":  error:")).next() {
        let start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let words: Vec<&str> = text[start..].split_whitespace().collect();
        let words = words.join(" ").replace("-- bootstrap", "--bootstrap");
        // What milena's tools add is below.
        let own = [" Did you mean ", " --help says "].iter().filter_map(|own| words.find(own)).min();
        return words[..own.unwrap_or(words.len())].to_owned();
    }
    // Logged lines: `[main] WARN org.apache.kafka.Tool - words` there, `WARN words` here.
    let unframed = |line: &'_ String| match line.strip_prefix('[').and_then(|line| line.split_once(" - ")) {
        Some((_, words)) => words.to_owned(),
        None => line.trim_start().strip_prefix("WARN ").unwrap_or(line).to_owned(),
    };
    let shown = lines.iter().filter(|line| !is_trace(line)).map(unframed);
    let first = shown
        .filter(|line| !line.is_empty() && !is_trace(line))
        .map(|line| line.trim_start().to_owned())
        .next();
    let first = first.as_deref().unwrap_or_default();
    let first =
        match first.strip_prefix("Exception in thread \"main\" ").and_then(|line| line.split_once(": ")) {
            Some((_, words)) => words,
            None => first,
        };
    if !sorted {
        return first.to_owned();
    }
    let mut words: Vec<&str> = first.split([' ', ',', '[', ']']).collect();
    words.sort_unstable();
    words.join(" ")
}

/// Where the lines part.
fn parting(expected: &[String], got: &[String]) -> String {
    let same = expected.iter().zip(got).take_while(|(a, b)| a == b).count();
    let at = |lines: &[String]| lines.get(same).cloned().unwrap_or_else(|| "(no line)".to_owned());
    format!("line {}: Apache's: {:?}, milena's: {:?}", same + 1, at(expected), at(got))
}
