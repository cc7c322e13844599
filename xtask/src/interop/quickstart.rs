//! The examples of Kafka's documentation, typed as they stand there: `interop/quickstart/*.txt`.

use super::World;
use super::broker::{Kind, Node};
use super::cluster::{Cluster, Role};
use super::report::Report;
use super::toolbox::milena_tools;
use crate::project;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const CASE: &str = "quickstart";
/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How much later than its controller a broker may know of a change.
const MOMENT: Duration = Duration::from_secs(10);

/// Runs the case.
pub fn run(world: &World, report: &mut Report) -> Result<(), String> {
    let tools = milena_tools(world, CASE)?;
    let node = Node::new(world, &format!("{CASE}/one"), &[])?;
    // Milena's is started as the documentation has it.
    let broker = match world.kind {
        Kind::Apache => Some(node.start(world)?),
        Kind::Milena => None,
    };
    let mut terminal = Terminal {
        tools: tools.clone(),
        dir: node.dir.clone(),
        properties: node.properties.clone(),
        bootstrap: format!("127.0.0.1:{}", node.port),
        starts_server: broker.is_none(),
        staying: Vec::new(),
    };
    terminal.play("quickstart.txt", report)?;
    terminal.end_all(report)?;
    if let Some(broker) = broker {
        broker.stop()?;
    }
    let mut cluster =
        Cluster::new(world, &format!("{CASE}/three"), &[Role::Combined; 3], &[("num.partitions", "1")])?;
    cluster.start(world, &[world.kind; 3])?;
    let mut terminal = Terminal {
        tools,
        dir: cluster.dir.clone(),
        properties: PathBuf::new(),
        bootstrap: cluster.bootstrap_of(1)?,
        starts_server: false,
        staying: Vec::new(),
    };
    terminal.play("basic-operations.txt", report)?;
    terminal.end_all(report)?;
    match world.kind {
        // They are ended as they are: stopped in turn, the last of Apache Kafka's would wait minutes for a quorum.
        Kind::Apache => Ok(()),
        Kind::Milena => cluster.stop(),
    }
}

/// A command, what is typed into it, and what is to be seen.
#[derive(Default)]
struct Step {
    command: String,
    typed: Vec<String>,
    expected: Vec<String>,
    exit: i32,
    is_interrupted: bool,
}

impl Step {
    /// Whether it only looks: a broker may show a change a moment after the controller has made it.
    fn looks(&self) -> bool {
        ["--describe", "--list"].iter().any(|flag| self.command.contains(flag)) && self.typed.is_empty()
    }
}

/// What a line of a script begins.
enum Part {
    Run(Step),
    Stay(String),
    EndConsumers,
}

fn parse(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(command) = line.strip_prefix("$ ") {
            parts.push(Part::Run(Step { command: command.to_owned(), ..Step::default() }));
        } else if let Some(command) = line.strip_prefix("& ") {
            parts.push(Part::Stay(command.to_owned()));
        } else if line == "end: consumers" {
            parts.push(Part::EndConsumers);
        } else if let Some(Part::Run(step)) = parts.last_mut() {
            if let Some(typed) = line.strip_prefix("> ") {
                step.typed.push(typed.to_owned());
            } else if let Some(exit) = line.strip_prefix("! ") {
                step.exit = exit.trim().parse().unwrap_or(-1);
            } else if line == "^C" {
                step.is_interrupted = true;
            } else if !line.trim().is_empty() {
                step.expected.push(line.split_whitespace().collect::<Vec<_>>().join(" "));
            }
        }
    }
    parts
}

/// Where the commands are typed.
struct Terminal {
    tools: PathBuf,
    dir: PathBuf,
    properties: PathBuf,
    bootstrap: String,
    /// Whether the script's own server is the one under test.
    starts_server: bool,
    staying: Vec<(String, Child)>,
}

impl Terminal {
    fn play(&mut self, script: &str, report: &mut Report) -> Result<(), String> {
        let script = project::root().join("interop/quickstart").join(script);
        for part in parse(&project::read(&script)?) {
            match part {
                Part::Run(step) if self.is_skipped(&step.command) => {}
                Part::Run(step) => {
                    let until = Instant::now() + MOMENT;
                    let mut verdict = self.run(&step);
                    while verdict.is_err() && step.looks() && Instant::now() < until {
                        verdict = self.run(&step);
                    }
                    report.check(&step.command, verdict);
                }
                Part::Stay(command) if self.is_skipped(&command) => {}
                Part::Stay(command) => self.stay(&command)?,
                Part::EndConsumers => self.end_all(report)?,
            }
        }
        Ok(())
    }

    fn is_skipped(&self, command: &str) -> bool {
        !self.starts_server
            && (command.contains("kafka-storage.sh") || command.contains("kafka-server-start.sh"))
    }

    /// The command in a shell, with everything in its place.
    fn shell(&self, command: &str, out: &Path) -> Result<Command, String> {
        let tools = format!("{}/", self.tools.display());
        let command = command
            .replace("bin/", &tools)
            .replace("localhost:9092", &self.bootstrap)
            .replace("config/server.properties", &self.properties.display().to_string());
        // Without a shell around it, a single command gets the signals itself.
        let is_single = !command.contains(['|', ';', '$']);
        let command = if is_single { format!("exec {command}") } else { command };
        let out = File::create(out).map_err(|error| format!("{}: {error}", out.display()))?;
        let errors = out.try_clone().map_err(|error| error.to_string())?;
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]).current_dir(&self.dir).stdout(out).stderr(errors).stdin(Stdio::piped());
        Ok(shell)
    }

    fn run(&self, step: &Step) -> Result<String, String> {
        let out = self.dir.join("out");
        let mut child = self.shell(&step.command, &out)?.spawn().map_err(|error| error.to_string())?;
        if let Some(mut input) = child.stdin.take() {
            let typed: String = step.typed.iter().map(|line| format!("{line}\n")).collect();
            // A command that reads nothing may be gone already.
            let _ = input.write_all(typed.as_bytes());
        }
        let printed = || project::read(&out).unwrap_or_default();
        let until = Instant::now() + PATIENCE;
        if step.is_interrupted {
            while !meets(&step.expected, &printed()) {
                if Instant::now() > until {
                    let _ = child.kill();
                    return Err(format!("it printed {:?}", printed()));
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            interrupt(&child)?;
        }
        let status = wait(&mut child, until)?;
        if !step.is_interrupted && !step.expected.is_empty() && !meets(&step.expected, &printed()) {
            return Err(format!("it printed {:?}", printed()));
        }
        match status.code() {
            Some(code) if code == step.exit => Ok(format!("{} lines", printed().lines().count())),
            code => Err(format!("it ended with {code:?}: {}", printed())),
        }
    }

    /// Starts a command that stays; a server is waited for.
    fn stay(&mut self, command: &str) -> Result<(), String> {
        let out = self.dir.join(format!("staying-{}", self.staying.len()));
        let child = self.shell(command, &out)?.spawn().map_err(|error| error.to_string())?;
        self.staying.push((command.to_owned(), child));
        if command.contains("server-start") {
            let until = Instant::now() + PATIENCE;
            while std::net::TcpStream::connect(&self.bootstrap).is_err() {
                if Instant::now() > until {
                    return Err(format!("nobody listens at {}", self.bootstrap));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    /// Ctrl-C for all that stays: each has to end, and soon.
    fn end_all(&mut self, report: &mut Report) -> Result<(), String> {
        for (command, mut child) in std::mem::take(&mut self.staying) {
            interrupt(&child)?;
            let ended = wait(&mut child, Instant::now() + Duration::from_secs(30));
            report.check(&format!("Ctrl-C: {command}"), ended.map(|status| status.to_string()));
        }
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        for (_, child) in &mut self.staying {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn interrupt(child: &Child) -> Result<(), String> {
    project::finish(Command::new("kill").args(["-INT", &child.id().to_string()]))
}

fn wait(child: &mut Child, until: Instant) -> Result<ExitStatus, String> {
    loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Ok(status);
        }
        if Instant::now() > until {
            let _ = child.kill();
            let _ = child.wait();
            return Err("it did not end".to_owned());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a text is what is expected, line by line.
fn meets(expected: &[String], printed: &str) -> bool {
    let printed: Vec<String> = printed
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|line| !line.is_empty())
        .collect();
    meets_lines(expected, &printed)
}

fn meets_lines(expected: &[String], printed: &[String]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if line == "..." => {
            (0..=printed.len()).any(|skipped| meets_lines(rest, &printed[skipped..]))
        }
        Some((pattern, rest)) => printed
            .split_first()
            .is_some_and(|(line, others)| like(pattern, line) && meets_lines(rest, others)),
    }
}

/// Whether a line is as its pattern, in which `*` stands for anything.
fn like(pattern: &str, line: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == line,
        Some((front, rest)) => line.strip_prefix(front).is_some_and(|line| {
            (0..=line.len()).filter(|at| line.is_char_boundary(*at)).any(|at| like(rest, &line[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_what_differs() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        assert!(meets(&lines("a * c\n...\nlast"), "a  b   c\nx\ny\nlast\n"));
        assert!(!meets(&lines("a"), "a\nb\n"));
        assert!(meets(&lines("..."), ""));
        assert!(like("consumer* /127", "consumer1-x /127"));
        assert!(!like("a*", "b"));
    }
}
