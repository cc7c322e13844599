//! One JVM that runs Apache Kafka's tools one after the other: `interop/tools/Toolbox.java`.

use super::Said;
use crate::interop::World;
use crate::{apache, project};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

pub struct ApacheJvm {
    child: Child,
    input: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl ApacheJvm {
    pub fn start(world: &World) -> Result<ApacheJvm, String> {
        project::make_dir(&world.dir())?;
        let log = world.dir().join("toolbox.log");
        let log = std::fs::File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let mut java = apache::Jars::Tools.java()?;
        java.args(["-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]);
        java.arg(project::root().join("interop/tools/Toolbox.java"));
        let mut child = java
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("java: {error}"))?;
        let input = child.stdin.take().ok_or("no standard input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        Ok(ApacheJvm { child, input, answers })
    }

    /// Runs a tool: its name and arguments. A tool that ended the JVM with its last answer gets a new one.
    pub fn run(&mut self, world: &World, words: &[String]) -> Result<Said, String> {
        let (name, arguments) = words.split_first().ok_or("an empty command")?;
        let line = std::iter::once(apache::tool_class(name)?)
            .chain(arguments.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join("\t");
        if let Some(said) = self.ask(&line)? {
            return Ok(said);
        }
        *self = ApacheJvm::start(world)?;
        self.ask(&line)?.ok_or_else(|| format!("the JVM ended at {name}: see toolbox.log"))
    }

    /// The answer; nothing if the JVM is gone.
    fn ask(&mut self, line: &str) -> Result<Option<Said>, String> {
        if writeln!(self.input, "{line}").and_then(|()| self.input.flush()).is_err() {
            return Ok(None);
        }
        let mut lines = Vec::new();
        for _ in 0..3 {
            let mut line = String::new();
            match self.answers.read_line(&mut line) {
                Ok(0) => return Ok(None),
                Ok(_) => lines.push(line.trim_end_matches('\n').to_owned()),
                Err(error) => return Err(error.to_string()),
            }
        }
        let exit = lines[0].parse().map_err(|error| format!("{}: {error}", lines[0]))?;
        Ok(Some(Said { exit, out: unescaped(&lines[1]), err: unescaped(&lines[2]) }))
    }
}

impl Drop for ApacheJvm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unescaped(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some(other) => text.push(other),
                None => {}
            },
            letter => text.push(letter),
        }
    }
    text
}
