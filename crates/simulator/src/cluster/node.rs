//! One process of the cluster: its disk and clock, the real `MetadataNode` (raft, `QuorumController`, loader), and once that has
//! read what is committed, the broker.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;

use common::Uuid;
use controller::{ControllerConfig, MetadataNode, QuorumController};
use io::SeededRandom;
use metadata::{BootstrapMetadata, LoaderUpdate, MetadataVersion};
use raft::format::{DynamicVoter, DynamicVoters, Formatter};
use raft::{Endpoint, MetadataLogConfig, RaftConfig, RaftNode, ReplicaKey};
use storage::checkpoint::MetaProperties;

use super::broker::Broker;
use super::life::Life;
use super::messages::{ControllerTold, uuid};
use crate::machine::{Clock, Machine};

pub(crate) const CLUSTER: &str = "cluster";
/// `broker.session.timeout.ms`
pub(crate) const SESSION_MS: i64 = 2_000;

/// What waits for its commit: a request's number and its answer.
pub(crate) type Waiting = (u64, Box<ControllerTold>);

/// What waits for the images before it to be acted on.
pub(crate) enum Publication {
    Update(Box<LoaderUpdate>),
    Release(Waiting),
}

/// What is the same for all processes of a run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub nodes: i32,
    pub first_voters: BTreeSet<i32>,
    /// They have no role `controller`.
    pub only_brokers: BTreeSet<i32>,
    /// The voters are those of the configuration (`kraft.version` 0).
    pub is_static: bool,
    /// A record is synced before it counts.
    pub syncs: bool,
}

/// A process that runs.
pub(crate) struct Process {
    pub metadata: MetadataNode<Waiting>,
    /// Whether it led the quorum when it was looked at last.
    pub leads: bool,
    pub publications: VecDeque<Publication>,
    pub life: Life,
    pub broker: Option<Broker>,
}

pub(crate) struct Node {
    pub id: i32,
    pub machine: Machine,
    pub directory_id: Uuid,
    pub process: Option<Process>,
    /// Counts the processes.
    pub incarnation: u64,
    /// Up to where it had the metadata log when its process ended.
    metadata_end: i64,
}

fn host(id: i32) -> String {
    format!("node-{id}")
}

/// The node of an address.
pub(crate) fn node_of(host: &str) -> i32 {
    host.strip_prefix("node-").and_then(|id| id.parse().ok()).unwrap_or(-1)
}

pub(crate) fn endpoint(id: i32) -> Endpoint {
    Endpoint::new("CONTROLLER", &host(id), 9093)
}

impl Node {
    pub fn new(id: i32, random: &mut SeededRandom) -> Node {
        Node {
            id,
            machine: Machine::new(Clock::new(random, 97, 7), random),
            directory_id: uuid(1, id as u64),
            process: None,
            incarnation: 0,
            metadata_end: 0,
        }
    }

    pub fn key(&self) -> ReplicaKey {
        ReplicaKey::new(self.id, self.directory_id)
    }

    /// Up to where it has the metadata log, or had it last.
    pub fn metadata_end(&self) -> i64 {
        self.process.as_ref().map_or(self.metadata_end, |process| process.metadata.raft().log_end_offset())
    }

    pub fn data_dir(&self) -> PathBuf {
        self.machine.disk.path().join("data")
    }

    /// Makes the directory as `storage format` leaves it.
    pub fn format(&self, plan: &Plan) -> Result<(), String> {
        let failed = |error: &dyn std::fmt::Display| format!("node {} is not formatted: {error}", self.id);
        let dir = self.data_dir().to_string_lossy().into_owned();
        io::fs::create_dir_all(self.data_dir()).map_err(|error| failed(&error))?;
        io::fs::sync_dir(self.machine.disk.path()).map_err(|error| failed(&error))?;
        if plan.is_static || !plan.first_voters.contains(&self.id) {
            // Without the voters: it finds them in the log, or in its configuration.
            return MetaProperties::new(CLUSTER.to_owned(), self.id, self.directory_id)
                .write(&self.data_dir())
                .map_err(|error| failed(&error));
        }
        let voters = plan.first_voters.iter().map(|id| DynamicVoter {
            node_id: *id,
            directory_id: uuid(1, *id as u64),
            host: host(*id),
            port: 9093,
        });
        let formatter = Formatter {
            node_id: self.id,
            cluster_id: CLUSTER.to_owned(),
            directories: [dir.clone()].into(),
            metadata_log_directory: Some(dir),
            controller_listener_name: "CONTROLLER".to_owned(),
            initial_controllers: Some(DynamicVoters::new(voters).map_err(|error| failed(&error))?),
            has_dynamic_quorum: true,
            write_bootstrap_snapshot: true,
            ..Formatter::default()
        };
        formatter
            .run(&mut std::io::sink(), self.machine.clock_ms(0))
            .map(drop)
            .map_err(|error| failed(&error))
    }

    fn raft_config(&self, plan: &Plan, seed: u64) -> RaftConfig {
        let mut config = RaftConfig::new(self.id, self.directory_id, self.data_dir());
        config.cluster_id = Some(CLUSTER.to_owned());
        config.can_become_voter = !plan.only_brokers.contains(&self.id);
        if plan.is_static {
            config.static_voters = plan.first_voters.iter().map(|id| (*id, host(*id), 9093)).collect();
        } else {
            config.bootstrap_servers = (1..=plan.nodes).map(|id| (host(id), 9093)).collect();
        }
        config.seed = seed;
        if config.can_become_voter {
            config.endpoints = vec![endpoint(self.id)];
        }
        config.log = MetadataLogConfig { segment_bytes: 8000, retention_bytes: 30_000, ..Default::default() };
        config.max_bytes_between_snapshots = 8000;
        config
    }

    /// Starts the process.
    pub fn start(&mut self, plan: &Plan, random: &mut SeededRandom, now_ms: i64) -> Result<(), String> {
        let now_ms = self.machine.clock_ms(now_ms);
        let raft = RaftNode::open(self.raft_config(plan, random.next_u64()), now_ms)
            .map_err(|error| error.to_string())?;
        let controller = match plan.only_brokers.contains(&self.id) {
            true => None,
            false => Some(controller(self.id, plan.is_static)?),
        };
        self.process = Some(Process {
            metadata: MetadataNode::new(self.id, raft, controller),
            leads: false,
            publications: VecDeque::new(),
            life: Life::new(uuid(2, random.next_u64())),
            broker: None,
        });
        Ok(())
    }

    /// Ends the process.
    pub fn stop(&mut self) {
        self.metadata_end = self.metadata_end();
        self.process = None;
        self.incarnation += 1;
    }
}

fn controller(id: i32, is_static: bool) -> Result<QuorumController, String> {
    let text = format!("node.id={id}\nmin.insync.replicas=2\nmetadata.max.idle.interval.ms=500\n");
    let properties = config::Properties::parse(text.as_bytes(), "a simulated node");
    let properties = properties.map_err(|error| error.to_string())?;
    let (broker, _) = config::BrokerConfig::from_properties(&properties, config::Environment::default())
        .map_err(|error| error.to_string())?;
    let kraft_version = if is_static { 0 } else { 1 };
    let levels = [("kraft.version".to_owned(), kraft_version)].into();
    let bootstrap =
        BootstrapMetadata::for_release(MetadataVersion::LATEST_PRODUCTION, &levels, "a simulation")
            .map_err(|error| error.to_string())?;
    let config = ControllerConfig::new(broker, CLUSTER, bootstrap);
    Ok(QuorumController::new(ControllerConfig {
        node_id: id,
        session_timeout_ms: SESSION_MS,
        leader_imbalance_check_interval_ms: Some(3_000),
        unclean_leader_election_interval_ms: 1_000,
        ..config
    }))
}
