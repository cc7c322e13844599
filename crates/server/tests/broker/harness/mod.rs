//! The broker under test, and a client that speaks in frames.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use common::{ErrorCode, Uuid};
use config::{BrokerConfig, Environment, Properties};
use server::{RunningServer, ServerError};
use tempfile::TempDir;

mod client;
mod requests;

pub use client::Client;
pub use requests::*;

/// A timestamp for records, in the past of every clock.
pub const TIMESTAMP: i64 = 1_700_000_000_000;

/// The node id of the broker under test.
pub const NODE: i32 = 1;

/// A broker, here or elsewhere.
pub struct Broker {
    pub address: SocketAddr,
    pub controller: SocketAddr,
    running: Option<(RunningServer, Directory)>,
}

/// The data of a broker, and what it is configured with.
pub struct Directory {
    pub root: TempDir,
    pub settings: Vec<(String, String)>,
}

impl Directory {
    /// A formatted directory.
    pub fn formatted(settings: &[(&str, &str)]) -> Directory {
        let root = tempfile::tempdir().unwrap();
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let directory = Directory { root, settings };
        format(&directory.data(), None);
        directory
    }

    /// `log.dirs`.
    pub fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// A copy as it is now, of a broker that may be running: what is left when it is killed.
    pub fn copy(&self) -> Directory {
        Directory::copy_of(&self.data(), self.settings.clone())
    }

    /// A copy of `log.dirs` elsewhere.
    pub fn copy_of(data: &Path, settings: Vec<(String, String)>) -> Directory {
        let root = tempfile::tempdir().unwrap();
        copy(data, &root.path().join("data"));
        Directory { root, settings }
    }

    /// The configuration for it, with ports that the system chooses.
    pub fn config(&self) -> BrokerConfig {
        let mut pairs = vec![
            ("process.roles", "broker,controller"),
            ("node.id", "1"),
            ("controller.quorum.bootstrap.servers", "127.0.0.1:9093"),
            ("listeners", "PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0"),
            ("controller.listener.names", "CONTROLLER"),
            ("offsets.topic.replication.factor", "1"),
            ("offsets.topic.num.partitions", "3"),
            ("group.initial.rebalance.delay.ms", "0"),
        ];
        pairs.extend(self.settings.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        config_of(&self.data(), &pairs)
    }

    /// Starts a broker on it.
    pub async fn start(self) -> Broker {
        match self.try_start().await {
            Ok(broker) => broker,
            Err(error) => panic!("the broker does not start: {error}"),
        }
    }

    /// Starts a broker on it, or tells why not.
    pub async fn try_start(self) -> Result<Broker, ServerError> {
        let server = server::start(self.config()).await?;
        let address = |name: &str| {
            let found = server.addresses().iter().find(|(listener, _)| listener == name);
            found.unwrap_or_else(|| panic!("there is no listener {name}")).1
        };
        let (broker, controller) = (address("PLAINTEXT"), address("CONTROLLER"));
        Ok(Broker { address: broker, controller, running: Some((server, self)) })
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else if let Err(error) = std::fs::copy(entry.path(), to) {
            // A running broker removes files.
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        }
    }
}

/// The configuration that these pairs make.
pub fn config_of(data: &Path, pairs: &[(&str, &str)]) -> BrokerConfig {
    let mut properties = Properties::none();
    properties.set("log.dirs", data.to_str().unwrap());
    for (key, value) in pairs {
        properties.set(key, value);
    }
    BrokerConfig::from_properties(&properties, Environment::default()).unwrap().0
}

/// Formats a directory for the node under test, as `milena storage format --standalone` does.
pub fn format(data: &Path, cluster_id: Option<&str>) {
    let data = data.to_str().unwrap().to_owned();
    let node = raft::format::LoneNode {
        node_id: NODE,
        directories: [data.clone()].into(),
        metadata_log_directory: data,
        endpoint: raft::Endpoint { name: "CONTROLLER".to_owned(), host: "127.0.0.1".to_owned(), port: 9093 },
        cluster_id: cluster_id.map(str::to_owned),
    };
    node.format(TIMESTAMP).unwrap();
}

/// Formats one more directory for a node that has one, as `storage format --ignore-formatted` does.
pub fn format_also(data: &Path, more: &Path) {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let node = raft::format::LoneNode {
        node_id: NODE,
        directories: [text(data), text(more)].into(),
        metadata_log_directory: text(data),
        endpoint: raft::Endpoint { name: "CONTROLLER".to_owned(), host: "127.0.0.1".to_owned(), port: 9093 },
        cluster_id: None,
    };
    node.format(TIMESTAMP).unwrap();
}

impl Broker {
    /// A broker with the usual configuration: a new one, or the one that `MILENA_TESTS_AGAINST` names.
    pub async fn start() -> Broker {
        match elsewhere() {
            Some((address, controller)) => Broker { address, controller, running: None },
            None => Directory::formatted(&[]).start().await,
        }
    }

    /// A new broker with some settings of its own; none where the tests ask another broker.
    pub async fn start_with(settings: &[(&str, &str)]) -> Option<Broker> {
        match elsewhere() {
            Some(_) => None,
            None => Some(Directory::formatted(settings).start().await),
        }
    }

    /// Whether this is a broker of another program.
    pub fn is_elsewhere(&self) -> bool {
        self.running.is_none()
    }

    /// Stops it as its operator would.
    pub async fn stop(self) -> Directory {
        let (server, directory) = self.running.unwrap();
        server.stop().await.unwrap();
        directory
    }

    /// Waits until it cannot go on, and tells why.
    pub async fn failed(&mut self) -> ServerError {
        self.running.as_mut().unwrap().0.failed().await
    }

    /// Its directory, while it runs.
    pub fn directory(&self) -> &Directory {
        &self.running.as_ref().unwrap().1
    }

    /// The id of its cluster.
    pub fn cluster_id(&self) -> Option<&str> {
        self.running.as_ref().map(|(server, _)| server.cluster_id())
    }

    /// Where its metrics are served.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.running.as_ref().and_then(|(server, _)| server.metrics_address())
    }

    /// A connection to the clients' listener.
    pub async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// A connection to the controller's listener.
    pub async fn connect_to_controller(&self) -> Client {
        Client::connect(self.controller).await
    }
}

/// The broker that the tests ask, where they are told one.
pub fn elsewhere() -> Option<(SocketAddr, SocketAddr)> {
    let addresses = std::env::var("MILENA_TESTS_AGAINST").ok()?;
    let (broker, controller) = addresses.split_once(',').unwrap();
    Some((broker.parse().unwrap(), controller.parse().unwrap()))
}

/// A name that no other test, and no other run, uses.
pub fn unique(name: &str) -> String {
    format!("{name}-{:08x}", Uuid::random().as_u128() as u32)
}

/// A topic that was created.
#[derive(Debug, Clone)]
pub struct Topic {
    pub name: String,
    pub id: Uuid,
}

/// A code as Kafka's word for it.
pub fn error(code: i16) -> ErrorCode {
    ErrorCode::from_code(code)
}

/// Collects what differs, so that a table of cases is told as a whole.
#[derive(Default)]
pub struct Cases(Vec<String>);

impl Cases {
    /// Notes a case that is not as expected.
    pub fn check<T: std::fmt::Debug + PartialEq>(
        &mut self,
        case: impl std::fmt::Display,
        found: T,
        expected: T,
    ) {
        if found != expected {
            self.0.push(format!("{case}: {found:?} where {expected:?} is expected"));
        }
    }
}

impl Drop for Cases {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.0.is_empty(), "{}", self.0.join("\n"));
        }
    }
}
