//! A system under test: how it is started, found and stopped.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Failure, Result, load::Target, measure::process::Servers, wire::connection::Connection};

/// How often a starting server is asked whether it answers.
pub const ASK_EVERY: Duration = Duration::from_micros(500);
const START_LIMIT: Duration = Duration::from_secs(90);
const STOP_LIMIT: Duration = Duration::from_secs(60);
const KILL_LIMIT: Duration = Duration::from_secs(10);
/// Of all clusters here.
const CLUSTER_ID: &str = "bWlsZW5hLWJlbmNoLWNsdQ";
const PROPERTIES: &str = "server.properties";

/// A name and the command that starts it.
#[derive(Debug, Clone)]
pub struct System {
    pub name: String,
    /// Words, in which `{dir}`, `{port}`, `{properties}`, `{cluster}` (a cluster's id) and `{bench}` (this program) are filled in.
    command: Vec<String>,
    /// The same for a node of a cluster, with properties that the suite writes; none where it cannot be one.
    node_command: Option<Vec<String>>,
    /// What formats a node's directory, where its command does not.
    format_command: Option<Vec<String>>,
    /// Whether a new data directory takes a long first start (Apache Kafka formats it with a JVM of its own): then
    /// only later starts are timed.
    pub formats: bool,
    /// What stands in `{properties}` beside what every node needs: lines.
    properties: String,
}

impl System {
    pub fn new(name: &str, command: &str, formats: bool) -> Result<Self> {
        let command = words(command);
        if command.is_empty() {
            return Err(Failure::new(format!("no command for {name}")));
        }
        Ok(Self {
            name: name.to_owned(),
            command,
            node_command: None,
            format_command: None,
            formats,
            properties: String::new(),
        })
    }

    /// The system with the command that starts it as a node of a cluster.
    pub fn with_node_command(self, command: &str) -> Self {
        Self { node_command: Some(words(command)), ..self }
    }

    /// The floor server: this program itself.
    pub fn floor() -> Result<Self> {
        Self::new("floor", "{bench} floor --dir {dir}/data --port {port}", false)
    }

    /// milena's binary.
    pub fn milena(binary: &str) -> Result<Self> {
        // Kept as one word, whatever the path holds.
        let binary = fs::canonicalize(binary).map_err(|error| Failure::new(format!("{binary}: {error}")))?;
        let words = |words: &[&str]| -> Vec<String> {
            let binary = binary.to_string_lossy().into_owned();
            std::iter::once(binary).chain(words.iter().map(|word| (*word).to_owned())).collect()
        };
        Ok(Self {
            name: "milena".to_owned(),
            command: words(&["server-start", "{properties}"]),
            node_command: Some(words(&["server-start", "{properties}"])),
            format_command: Some(words(&["storage", "format", "-t", "{cluster}", "-c", "{properties}"])),
            formats: false,
            properties: String::new(),
        })
    }

    /// Whether it takes the properties that the suite writes.
    pub fn takes_properties(&self) -> bool {
        self.command.iter().any(|word| word.contains("{properties}"))
    }

    /// Whether it can be a node of a cluster.
    pub fn clusters(&self) -> bool {
        self.node_command.is_some()
    }

    /// The system with one setting more, where it takes `{properties}`.
    pub fn with_property(mut self, line: &str) -> Self {
        self.properties.push_str(line);
        self.properties.push('\n');
        self
    }

    /// Starts the system, with its files below `dir`. It need not answer yet.
    pub fn spawn(&self, dir: &Path, port: u16) -> Result<Running> {
        self.launch(&self.command, dir, port, &(server_properties(dir, port) + &self.properties))
    }

    /// Starts it as a node of a cluster, with these properties; formats the directory the first time.
    pub fn spawn_node(&self, dir: &Path, port: u16, properties: &str) -> Result<Running> {
        let command = self
            .node_command
            .as_ref()
            .ok_or_else(|| Failure::new(format!("{}: no command for a node of a cluster", self.name)))?;
        let is_new = !dir.join(PROPERTIES).exists();
        if let Some(format) = self.format_command.as_ref().filter(|_| is_new) {
            let done = prepare(format, dir, port, properties)?.output()?;
            if !done.status.success() {
                return Err(Failure::new(String::from_utf8_lossy(&done.stderr).into_owned()));
            }
        }
        self.launch(command, dir, port, properties)
    }

    fn launch(&self, command: &[String], dir: &Path, port: u16, text: &str) -> Result<Running> {
        let mut command = prepare(command, dir, port, text)?;
        let pid_file = dir.join("pid");
        if pid_file.exists() {
            fs::remove_file(&pid_file)?;
        }
        let log_file = dir.join("output.log");
        let log = File::options().append(true).create(true).open(&log_file)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| Failure::new(format!("{}: {error}", command.get_program().display())))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Running { name: self.name.clone(), child, address, pid_file, log_file, stopped: false })
    }

    /// Starts the system and waits until it answers.
    pub fn start(&self, dir: &Path, port: u16) -> Result<Running> {
        let mut running = self.spawn(dir, port)?;
        running.wait_for_answer()?;
        Ok(running)
    }
}

/// A command whose words are filled in; where they name `{properties}`, that file has this text.
fn prepare(words: &[String], dir: &Path, port: u16, text: &str) -> Result<Command> {
    fs::create_dir_all(dir)?;
    let properties = dir.join(PROPERTIES);
    if words.iter().any(|word| word.contains("{properties}")) {
        fs::write(&properties, text)?;
    }
    let own = std::env::current_exe()?;
    let fill = |word: &String| {
        word.replace("{dir}", &dir.to_string_lossy())
            .replace("{port}", &port.to_string())
            .replace("{properties}", &properties.to_string_lossy())
            .replace("{cluster}", CLUSTER_ID)
            .replace("{bench}", &own.to_string_lossy())
    };
    let mut words = words.iter().map(fill);
    let mut command = Command::new(words.next().ok_or_else(|| Failure::new("no command"))?);
    command.args(words);
    Ok(command)
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The configuration that a system gets where its command names `{properties}`: a single node that formats its directory
/// by itself, all else default.
fn server_properties(dir: &Path, port: u16) -> String {
    format!(
        "node.id=1\n\
         listeners=PLAINTEXT://127.0.0.1:{port}\n\
         log.dirs={}\n\
         log.segment.delete.delay.ms=1000\n",
        dir.join("data").display()
    )
}

/// A port of the loopback address that is free, and the one after it as well.
pub fn free_port() -> Result<u16> {
    for _ in 0..100 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        if port < u16::MAX && TcpListener::bind((Ipv4Addr::LOCALHOST, port + 1)).is_ok() {
            return Ok(port);
        }
    }
    Err(Failure::new("no two free ports side by side"))
}

/// A started system. Dropping it stops it.
pub struct Running {
    pub name: String,
    child: Child,
    pub address: SocketAddr,
    pid_file: PathBuf,
    log_file: PathBuf,
    stopped: bool,
}

impl Running {
    /// The server's own process: the one named in `pid`, for commands that leave it behind, else the one started.
    pub fn pid(&self) -> u32 {
        let named = fs::read_to_string(&self.pid_file).ok().and_then(|text| text.trim().parse().ok());
        named.unwrap_or_else(|| self.child.id())
    }

    pub fn target(&self) -> Target {
        Target { address: self.address, servers: Servers::one(self.pid()) }
    }

    /// Asks ApiVersions again and again until there is an answer.
    pub fn wait_for_answer(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if Connection::open(self.address).and_then(|mut connection| connection.api_versions()).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()?.filter(|status| !status.success()) {
                return Err(Failure::new(format!("{} stopped with {status}\n{}", self.name, self.log_end())));
            }
            if Instant::now() > deadline {
                let limit = START_LIMIT.as_secs();
                return Err(Failure::new(format!(
                    "{} does not answer after {limit} s\n{}",
                    self.name,
                    self.log_end()
                )));
            }
            thread::sleep(ASK_EVERY);
        }
    }

    /// The last lines that the system printed.
    fn log_end(&self) -> String {
        let text = fs::read_to_string(&self.log_file).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    /// SIGTERM to the server's process, and SIGKILL if that does not end it.
    pub fn stop(&mut self) -> Result<()> {
        self.end_with(&[(Signal::TERM, STOP_LIMIT), (Signal::KILL, KILL_LIMIT)])
    }

    /// SIGKILL: what was not finished stays so.
    pub fn kill(&mut self) -> Result<()> {
        self.end_with(&[(Signal::KILL, KILL_LIMIT)])
    }

    fn end_with(&mut self, signals: &[(Signal, Duration)]) -> Result<()> {
        if self.stopped {
            return Ok(());
        }
        self.stopped = true;
        let pid =
            i32::try_from(self.pid()).ok().and_then(Pid::from_raw).ok_or_else(|| Failure::new("no pid"))?;
        // Waited for first: until then a child that ended is still there.
        let status = self.child.try_wait()?;
        if rustix::process::test_kill_process(pid).is_err() {
            let how = status.map_or_else(String::new, |status| format!(" ({status})"));
            return Err(Failure::new(format!(
                "{} was gone before it was stopped{how}\n{}",
                self.name,
                self.log_end()
            )));
        }
        for &(signal, limit) in signals {
            // An error says that the process is gone already.
            let _ = kill_process(pid, signal);
            let deadline = Instant::now() + limit;
            while Instant::now() < deadline {
                let child_gone = self.child.try_wait()?.is_some();
                if child_gone && rustix::process::test_kill_process(pid).is_err() {
                    return Ok(());
                }
                thread::sleep(Duration::from_millis(2));
            }
        }
        Err(Failure::new(format!("{} cannot be stopped", self.name)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(failure) = self.stop() {
            eprintln!("bench: {failure}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let system = System::new("broken", "false", false).unwrap();
        assert!(system.start(dir.path(), free_port().unwrap()).is_err());
        assert!(System::new("empty", " ", false).is_err());
    }

    #[test]
    fn what_ended_by_itself_is_told_with_its_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let system = System::new("short", "echo {dir}", false).unwrap();
        let mut running = system.spawn(dir.path(), free_port().unwrap()).unwrap();
        while running.child.try_wait().unwrap().is_none() {}
        let failure = running.stop().unwrap_err().to_string();
        assert!(
            failure.contains("short was gone") && failure.contains(&*dir.path().to_string_lossy()),
            "{failure}"
        );
    }

    #[test]
    fn properties_name_the_listener_and_the_data() {
        let text = server_properties(Path::new("/somewhere"), 9092);
        assert!(text.contains("listeners=PLAINTEXT://127.0.0.1:9092\n"));
        assert!(text.contains("log.dirs=/somewhere/data\n"));
    }
}
