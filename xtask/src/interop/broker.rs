//! A broker to test: a directory with its `server.properties`, and the process that serves it.

use super::World;
use super::program;
use super::wire;
use crate::{apache, project};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Whose broker.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Milena,
    Apache,
}

impl Kind {
    pub fn parse(name: &str) -> Result<Kind, String> {
        match name {
            "milena" => Ok(Kind::Milena),
            "apache" => Ok(Kind::Apache),
            other => Err(format!("no broker is called {other:?}: milena or apache")),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Milena => "milena",
            Kind::Apache => "apache",
        }
    }
}

/// One combined node: its directory, its ports, its configuration. Either broker may be started on it, one at a time.
pub struct Node {
    pub dir: PathBuf,
    pub data: PathBuf,
    pub properties: PathBuf,
    pub port: u16,
    /// The port of its controller.
    pub controller: u16,
}

impl Node {
    /// A new node on free loopback ports in a directory that is emptied first. `extra` goes to the end of its properties.
    pub fn new(world: &World, case: &str, extra: &[(&str, &str)]) -> Result<Node, String> {
        let dir = world.dir().join(case);
        empty(&dir)?;
        let node = Node::at(dir, free_port()?)?;
        let mut text = project::read(&node.properties)?;
        for (key, value) in extra {
            text.push_str(&format!("{key}={value}\n"));
        }
        project::write(&node.properties, text)?;
        Ok(node)
    }

    /// A node in a directory that is there, on a port. Writes its properties.
    pub fn at(dir: PathBuf, port: u16) -> Result<Node, String> {
        let controller = free_port()?;
        let data = dir.join("data");
        let text = format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             controller.listener.names=CONTROLLER\n\
             inter.broker.listener.name=PLAINTEXT\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
             log.dirs={}\n\
             offsets.topic.replication.factor=1\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n\
             share.coordinator.state.topic.replication.factor=1\n\
             share.coordinator.state.topic.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\n",
            data.display()
        );
        let properties = dir.join("server.properties");
        project::write(&properties, text)?;
        Ok(Node { dir, data, properties, port, controller })
    }

    /// Starts the broker under test on it.
    pub fn start(&self, world: &World) -> Result<Broker, String> {
        self.start_as(world, world.kind)
    }

    /// Starts either broker on it: formats the data directory the first time, returns when requests are answered.
    pub fn start_as(&self, world: &World, kind: Kind) -> Result<Broker, String> {
        let command = match kind {
            Kind::Milena => {
                self.format({
                    let mut command = Command::new(world.milena()?);
                    command.args(["storage", "format"]);
                    command
                })?;
                let mut command = Command::new(world.milena()?);
                command.arg("server-start").arg(&self.properties);
                command
            }
            Kind::Apache => self.apache()?,
        };
        Broker::spawn(command, &self.dir, self.port)
    }

    /// The command that runs Apache Kafka on it; the data directory is formatted if it is not.
    pub fn apache(&self) -> Result<Command, String> {
        self.format({
            let mut java = apache::Jars::Broker.java()?;
            java.args(["kafka.tools.StorageTool", "format"]);
            java
        })?;
        apache_kafka(&self.properties, "1g")
    }

    fn format(&self, mut command: Command) -> Result<(), String> {
        if self.data.join("meta.properties").exists() {
            return Ok(());
        }
        command.args(["--standalone", "-t", &cluster_id()?, "-c"]).arg(&self.properties);
        program::run(&mut command, &self.dir, "format")?.good()
    }

    /// The segment files of a partition, in the order of their offsets.
    pub fn segments(&self, partition: &str) -> Result<Vec<PathBuf>, String> {
        let mut files = project::files_below(&self.data.join(partition))?;
        files.retain(|path| path.extension().is_some_and(|end| end == "log"));
        Ok(files)
    }
}

/// The command that runs Apache Kafka with a file of properties and a heap of this size.
pub fn apache_kafka(properties: &Path, heap: &str) -> Result<Command, String> {
    let mut java = apache::Jars::Broker.java()?;
    java.args([format!("-Xms{heap}"), format!("-Xmx{heap}")]);
    // As Apache Kafka's own start script has it.
    java.args(["-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"]);
    java.args(["-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent", "kafka.Kafka"]);
    java.arg(properties);
    Ok(java)
}

/// A process that serves. Dropping it kills it.
pub struct Broker {
    child: Child,
    /// Its standard output and error.
    pub log: PathBuf,
    host: IpAddr,
    pub port: u16,
}

impl Broker {
    /// Starts a command that serves on a port, and waits for its first answer.
    pub fn spawn(command: Command, dir: &Path, port: u16) -> Result<Broker, String> {
        let mut broker = Broker::launch(command, dir, port)?;
        broker.answers()?;
        Ok(broker)
    }

    /// Waits for the first answer.
    pub fn answers(&mut self) -> Result<(), String> {
        let until = Instant::now() + Duration::from_secs(90);
        while !self.serves() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("the broker ended with {status}: {}", self.last_words()));
            }
            if Instant::now() > until {
                return Err(format!(
                    "the broker does not answer on port {}: {}",
                    self.port,
                    self.last_words()
                ));
            }
            std::thread::sleep(Duration::from_millis(30));
        }
        Ok(())
    }

    fn serves(&self) -> bool {
        if self.host.is_loopback() {
            return wire::api_versions(self.port).is_ok();
        }
        // In a network of its own: whoever started it asks it more.
        TcpStream::connect_timeout(&(self.host, self.port).into(), Duration::from_secs(1)).is_ok()
    }

    /// Sends a signal by its name, such as `STOP` or `CONT`.
    pub fn signal(&self, name: &str) -> Result<(), String> {
        project::finish(Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]))
    }

    /// Starts a command that serves on a port, and waits for nothing.
    pub fn launch(command: Command, dir: &Path, port: u16) -> Result<Broker, String> {
        Broker::launch_at(command, dir, (Ipv4Addr::LOCALHOST.into(), port))
    }

    /// The same at another address.
    pub fn launch_at(
        mut command: Command,
        dir: &Path,
        (host, port): (IpAddr, u16),
    ) -> Result<Broker, String> {
        let log = (0..).map(|run| dir.join(format!("server-{run}.log"))).find(|path| !path.exists());
        let log = log.ok_or("no name left for a log")?;
        let out = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let err = out.try_clone().map_err(|error| error.to_string())?;
        let name = command.get_program().to_string_lossy().into_owned();
        command.current_dir(dir).stdin(Stdio::null()).stdout(out).stderr(err);
        let child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
        Ok(Broker { child, log, host, port })
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// SIGTERM, and waits for the end: an error if it takes more than a minute, or does not end well.
    pub fn stop(mut self) -> Result<(), String> {
        self.signal("TERM")?;
        match program::wait(&mut self.child, Duration::from_secs(60)) {
            None => Err(format!("the broker does not stop: {}", self.last_words())),
            // The JVM ends with 143 after a SIGTERM that it has handled.
            Some(status) if status.success() || status.code() == Some(143) => Ok(()),
            Some(status) => Err(format!("the broker stopped with {status}: {}", self.last_words())),
        }
    }

    /// SIGKILL.
    pub fn kill(mut self) -> Result<(), String> {
        self.child.kill().map_err(|error| error.to_string())?;
        self.child.wait().map_err(|error| error.to_string())?;
        Ok(())
    }

    /// Waits for a broker that should end by itself; what it printed, and whether it refused (ended with an error).
    pub fn ends(mut self, limit: Duration) -> Result<(bool, String), String> {
        match program::wait(&mut self.child, limit) {
            Some(status) => Ok((!status.success(), self.text())),
            None => Err(format!("it runs on: {}", self.last_words())),
        }
    }

    /// Whether the process is still there.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Memory in use now (`VmRSS`) and at most so far (`VmHWM`), in MiB.
    pub fn memory_mib(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) / 1024
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// All it printed.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn last_words(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(6)..].join(" | ").chars().take(1000).collect()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Errors mean that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory that exists and is empty.
pub fn empty(dir: &Path) -> Result<(), String> {
    if dir.exists() {
        std::fs::remove_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    }
    project::make_dir(dir)
}

/// A loopback port that nobody uses at this moment.
pub fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    Ok(listener.local_addr().map_err(|error| error.to_string())?.port())
}

/// A new cluster id: 16 random bytes in the alphabet for URLs, as Kafka writes its ids.
pub fn cluster_id() -> Result<String, String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = [0; 16];
    let mut random = File::open("/dev/urandom").map_err(|error| error.to_string())?;
    std::io::Read::read_exact(&mut random, &mut bytes).map_err(|error| error.to_string())?;
    // An id that starts with a dash would look like an option of the command line.
    bytes[0] &= 0x7f;
    let bits = u128::from_be_bytes(bytes);
    Ok((0..22).map(|digit| 122_i32 - 6 * digit).fold(String::new(), |mut text, shift| {
        let six = if shift < 0 { bits << -shift } else { bits >> shift } & 63;
        text.push(char::from(ALPHABET[usize::try_from(six).unwrap_or(0)]));
        text
    }))
}
