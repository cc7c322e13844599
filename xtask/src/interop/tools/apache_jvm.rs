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

    /// Runs a tool: its name and arguments.
    pub fn run(&mut self, words: &[String]) -> Result<Said, String> {
        let (name, arguments) = words.split_first().ok_or("an empty command")?;
        let line = std::iter::once(apache::tool_class(name)?)
            .chain(arguments.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join("\t");
        writeln!(self.input, "{line}")
            .and_then(|()| self.input.flush())
            .map_err(|error| error.to_string())?;
        let mut answer = || {
            let mut line = String::new();
            match self.answers.read_line(&mut line) {
                Ok(0) => Err(format!("the JVM ended at {name}: see toolbox.log")),
                Ok(_) => Ok(line.trim_end_matches('\n').to_owned()),
                Err(error) => Err(error.to_string()),
            }
        };
        let exit = answer()?.parse().map_err(|error| format!("{name}: {error}"))?;
        Ok(Said { exit, out: unescaped(&answer()?), err: unescaped(&answer()?) })
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
