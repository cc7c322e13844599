//! Runs a client to its end, with files for its standard streams and a limit on its time.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A program that has ended.
pub struct Ran {
    label: String,
    status: Option<ExitStatus>,
    /// What it wrote to its standard output.
    pub out: PathBuf,
    /// What it wrote to its standard error.
    pub err: PathBuf,
}

impl Ran {
    /// Its standard output as text, if it ended well; otherwise an error with the last of what it printed.
    pub fn text(&self) -> Result<String, String> {
        self.good()?;
        Ok(lossy(&self.out))
    }

    /// An error unless it ended with 0.
    pub fn good(&self) -> Result<(), String> {
        match self.status {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(format!("{} ended with {status}: {}", self.label, self.complaint())),
            None => Err(format!("{} did not end in time: {}", self.label, self.complaint())),
        }
    }

    /// Both streams as text, however it ended.
    pub fn everything(&self) -> String {
        format!("{}{}", lossy(&self.out), lossy(&self.err))
    }

    /// Whether it ended, and not with 0.
    pub fn refused(&self) -> bool {
        self.status.is_some_and(|status| !status.success())
    }

    fn complaint(&self) -> String {
        let text = lossy(&self.err);
        let text = if text.trim().is_empty() { lossy(&self.out) } else { text };
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(4)..].join(" | ").chars().take(600).collect()
    }
}

fn lossy(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// A program that runs, its streams in files.
pub struct Running {
    child: Child,
    ran: Ran,
}

/// Starts a program. `label` names the files of its streams in `dir`.
pub fn start(
    command: &mut Command,
    dir: &Path,
    label: &str,
    input: Option<&Path>,
) -> Result<Running, String> {
    crate::project::make_dir(dir)?;
    let stdin = match input {
        Some(path) => Stdio::from(File::open(path).map_err(|error| format!("{}: {error}", path.display()))?),
        None => Stdio::null(),
    };
    spawn(command, dir, label, stdin)
}

/// Starts a program that ends when its standard input does: see [`Running::tell_to_end`].
pub fn start_until_told(command: &mut Command, dir: &Path, label: &str) -> Result<Running, String> {
    crate::project::make_dir(dir)?;
    spawn(command, dir, label, Stdio::piped())
}

fn spawn(command: &mut Command, dir: &Path, label: &str, stdin: Stdio) -> Result<Running, String> {
    let (out, err) = (dir.join(format!("{label}.out")), dir.join(format!("{label}.err")));
    let create = |path: &Path| File::create(path).map_err(|error| format!("{}: {error}", path.display()));
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command
        .stdin(stdin)
        .stdout(create(&out)?)
        .stderr(create(&err)?)
        .spawn()
        .map_err(|error| format!("{name}: {error}"))?;
    Ok(Running { child, ran: Ran { label: label.to_owned(), status: None, out, err } })
}

impl Running {
    /// Ends the standard input of a program that goes on until then.
    pub fn tell_to_end(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for its end, and kills it after the limit.
    pub fn wait(mut self, limit: Duration) -> Ran {
        self.ran.status = wait(&mut self.child, limit);
        if self.ran.status.is_none() {
            // An error means that it ended in between, which is what is wanted.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        Ran {
            label: self.ran.label.clone(),
            status: self.ran.status,
            out: self.ran.out.clone(),
            err: self.ran.err.clone(),
        }
    }

    /// What it has printed so far.
    pub fn so_far(&self) -> String {
        lossy(&self.ran.out)
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a child up to a limit; nothing if it runs on.
pub fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + limit;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if Instant::now() >= until {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a program to its end, at most ten minutes.
pub fn run(command: &mut Command, dir: &Path, label: &str) -> Result<Ran, String> {
    Ok(start(command, dir, label, None)?.wait(Duration::from_secs(600)))
}

/// Runs a program to its end, with a file as its standard input, at most ten minutes.
pub fn run_with_input(command: &mut Command, dir: &Path, label: &str, input: &Path) -> Result<Ran, String> {
    Ok(start(command, dir, label, Some(input))?.wait(Duration::from_secs(600)))
}

/// Whether two files hold the same bytes; the error says where they part.
pub fn same_file(expected: &Path, got: &Path) -> Result<String, String> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let (expected, got) = (read(expected)?, read(got)?);
    if expected == got {
        return Ok(format!("{} bytes equal", expected.len()));
    }
    let at = expected.iter().zip(&got).take_while(|(a, b)| a == b).count();
    let line = expected[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
    Err(format!(
        "{} bytes instead of {}, first difference at byte {at}, line {line}",
        got.len(),
        expected.len()
    ))
}
