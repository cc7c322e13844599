//! From a configuration to a broker that answers, and back.

use std::collections::BTreeSet;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI16, AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use common::Uuid;
use config::{BrokerConfig, EndPoint, SecurityProtocol};
use controller::{ControllerConfig, QuorumController};
use group::GroupCoordinator;
use metadata::{BootstrapMetadata, MetadataImage, VersionedRecord};
use network::peer::PeerConfig;
use network::{ConnectionLimits, ConnectionQuota, Listener, ListenerConfig, RequestMemory, RunningListener};
use protocol::messages::ControllerRegistrationRequest;
use protocol::messages::broker_registration_request::Listener as RegisteredListener;
use raft::format::LoneNode;
use raft::{RaftConfig, RaftNode};
use replica::{LocalBroker, ReplicaManager};
use storage::checkpoint::MetaProperties;
use storage::{LogManager, LogManagerConfig};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;

use crate::broker::{Broker, Fault};
use crate::broker_watch::{self, HeartbeatConnections};
use crate::cleaners::CleanerThreads;
use crate::clock::now_ms;
use crate::committer::Committer;
use crate::connection::Server;
use crate::controller_channel::{ControllerChannel, LeaderAndEpoch};
use crate::controller_server::ControllerServer;
use crate::controller_thread::{self, ControllerState, RunningController};
use crate::coordinator_log::OffsetsLog;
use crate::error::ServerError;
use crate::fetch_session::FetchSessions;
use crate::group_settings::group_config;
use crate::lifecycle::Lifecycle;
use crate::producer_ids::ProducerIds;
use crate::replication::{
    IsrChanges, ReplicaFetchers, ReplicaSelector, ReplicationQuotas, expire_followers, propose_isr_changes,
};
use crate::settings::{Settings, log_config};
use crate::{housekeeping, lifecycle, publisher};

/// A broker and controller that run.
pub struct RunningServer {
    broker: Arc<Broker>,
    listeners: Vec<RunningListener>,
    addresses: Vec<(String, SocketAddr)>,
    tasks: Vec<JoinHandle<()>>,
    heartbeats: JoinHandle<()>,
    thread: RunningController,
    fault: oneshot::Receiver<ServerError>,
    _lead: watch::Sender<LeaderAndEpoch>,
}

/// Starts a combined broker and controller. Returns when clients are served. Needs a tokio runtime; blocks it while logs
/// are loaded, when nothing else runs on it yet.
pub async fn start(config: BrokerConfig) -> Result<RunningServer, ServerError> {
    check_supported(&config)?;
    let replica_selector = ReplicaSelector::of(&config)?;
    let metadata_log_dir = config.metadata_log_dir.clone();
    if config.formats_itself() {
        format(&config)?;
    }
    let meta = meta_properties(&metadata_log_dir)?;
    let logs = open_logs(&config, meta.cluster_id.clone())?;
    let bound = bind(&config)?;
    let cluster_id = meta.cluster_id.clone().unwrap_or_default();
    let addresses: Vec<(String, SocketAddr)> =
        bound.iter().map(|(endpoint, _, address)| (endpoint.listener_name.clone(), *address)).collect();

    let raft = RaftNode::open(raft_config(&config, &meta, &addresses), now_ms())?;
    let mut state = ControllerState::new(raft, |bootstrap| make_controller(&config, &cluster_id, bootstrap))?;
    let (handle, jobs) = controller_thread::channel();
    let (lead, leader) = watch::channel(LeaderAndEpoch::default());
    let controller = Arc::new(ControllerServer {
        node_id: config.node_id,
        cluster_id: cluster_id.clone(),
        controller: handle,
        image: ArcSwap::from_pointee(MetadataImage::empty()),
        leader: leader.clone(),
        heartbeats: HeartbeatConnections::default(),
        kraft_version: AtomicI16::new(state.kraft_version()),
    });
    lead.send_replace(LeaderAndEpoch { leader_id: Some(config.node_id), epoch: 0, endpoint: None });

    let settings = Settings::new(config.clone());
    settings.update(state.image());
    load_logs(&logs, &settings, state.image())?;
    let registration = lifecycle::registration(
        &config,
        &cluster_id,
        Uuid::random(),
        registered_listeners(&config.advertised_listeners, &addresses),
        logs.directory_ids().into_iter().map(|(_, id)| id).collect(),
        logs.previous_broker_epoch(),
    );

    let group_timers = Arc::new(Notify::new());
    let (raiser, fault) = Fault::new();
    let logs = Arc::new(logs);
    let local = LocalBroker::new(config.node_id, config.replication.replica_lag_time_max_ms);
    let broker = Arc::new_cyclic(|weak| {
        let wake = Arc::clone(&group_timers);
        Broker {
            node_id: config.node_id,
            cluster_id,
            settings,
            image: ArcSwap::from_pointee(MetadataImage::empty()),
            replicas: ReplicaManager::new(Arc::new(local), Arc::clone(&logs)),
            groups: GroupCoordinator::new(
                group_config(&config),
                Arc::new(OffsetsLog::new(weak.clone())),
                Box::new(move |_deadline| wake.notify_one()),
            ),
            sessions: FetchSessions::new(config.replication.max_incremental_fetch_session_cache_slots),
            producer_ids: ProducerIds::default(),
            channel: ControllerChannel::new(
                config.node_id,
                Some(Arc::clone(&controller)),
                leader,
                peer_config(&config),
            ),
            cleaners: CleanerThreads::new(Arc::clone(&logs)),
            committer: Committer::new(),
            isr_changes: IsrChanges::default(),
            replication_quotas: ReplicationQuotas::new(&config),
            replica_selector,
            fetchers: ReplicaFetchers::new(
                weak.clone(),
                config.replication.num_replica_fetchers,
                tokio::runtime::Handle::current(),
            ),
            connections: ConnectionQuota::new(connection_limits(&config)),
            fault: Arc::clone(&raiser),
            kraft_version: AtomicI16::new(state.kraft_version()),
            lifecycle: Lifecycle::default(),
            epoch: AtomicI64::new(-1),
        }
    });
    let published = (Arc::clone(&broker), Arc::clone(&controller));
    state.publish_to(Box::new(move |delta, image| {
        publisher::publish(&published.0, delta, image);
        published.1.image.store(Arc::new(image.clone()));
    }))?;
    let on_fault = Arc::clone(&broker.fault);
    let thread = state
        .spawn(jobs, move |error| on_fault.raise(error))
        .map_err(|error| ServerError::Io("no thread for the controller", error))?;

    register_controller(&broker.channel, &config, &addresses).await?;
    if is_lone(&config) {
        // The lock on the log directories is ours, so the process that this broker was before is gone.
        controller.end_session(config.node_id).await;
    }
    let timeout = u64::try_from(config.quorum.initial_broker_registration_timeout_ms).unwrap_or(0);
    let epoch = lifecycle::register(&broker.channel, &registration, Duration::from_millis(timeout)).await?;
    broker.epoch.store(epoch, Ordering::Relaxed);
    broker.replicas.local_broker().set_epoch(epoch);

    let mut tasks = housekeeping::start(&broker, group_timers);
    tasks.push(tokio::spawn(broker_watch::look_on_activation(Arc::clone(&controller))));
    broker.cleaners.reconfigure(&broker.settings.broker());
    tasks.push(tokio::spawn(propose_isr_changes(Arc::clone(&broker))));
    tasks.push(tokio::spawn(expire_followers(Arc::clone(&broker))));
    let heartbeats = tokio::spawn(lifecycle::send_heartbeats(Arc::clone(&broker), logs.directory_ids()));
    let mut listeners = Vec::new();
    for (endpoint, listener, _) in bound {
        let is_controller = config.controller_listener_names.contains(&endpoint.listener_name);
        let server = match is_controller {
            true => Server::Controller(Arc::clone(&controller)),
            false => Server::Broker(Arc::clone(&broker)),
        };
        let running = listener
            .serve(server, Arc::clone(&broker.connections))
            .map_err(|error| ServerError::Io("a listener cannot be served", error))?;
        listeners.push(running);
    }
    broker.lifecycle.run().await;
    Ok(RunningServer { broker, listeners, addresses, tasks, heartbeats, thread, fault, _lead: lead })
}

/// Whether this node is all of its cluster's quorum, and its own broker.
fn is_lone(config: &BrokerConfig) -> bool {
    let roles = &config.process_roles;
    roles.broker && roles.controller && config.voters.iter().all(|voter| voter.id == config.node_id)
}

/// How other nodes are reached.
pub(crate) fn peer_config(config: &BrokerConfig) -> PeerConfig {
    let ms = |key: &str| config.value(key).to_text().and_then(|text| text.parse().ok());
    let mut peer = PeerConfig::new(config.node_id.to_string());
    if let Some(timeout) = ms("socket.connection.setup.timeout.ms") {
        peer.connect_timeout = Duration::from_millis(timeout);
    }
    peer
}

impl RunningServer {
    /// The listeners' names, and the addresses that they are bound to.
    pub fn addresses(&self) -> &[(String, SocketAddr)] {
        &self.addresses
    }

    /// The id of the cluster.
    pub fn cluster_id(&self) -> &str {
        &self.broker.cluster_id
    }

    /// How many topics there are.
    pub fn topic_count(&self) -> usize {
        self.broker.image().topics.len()
    }

    /// Waits until something breaks that the broker cannot go on without.
    pub async fn failed(&mut self) -> ServerError {
        (&mut self.fault).await.unwrap_or(ServerError::ControllerStopped)
    }

    /// Stops: no more requests, coordinators and logs closed and synced, the next start finds nothing to recover.
    pub async fn stop(self) -> Result<(), ServerError> {
        lifecycle::leave(&self.broker, self.heartbeats).await;
        for listener in self.listeners {
            listener.stop();
        }
        self.broker.fetchers.stop();
        self.broker.groups.shutdown();
        for task in &self.tasks {
            task.abort();
        }
        let broker = Arc::clone(&self.broker);
        let thread = self.thread;
        let closed = tokio::task::spawn_blocking(move || {
            // The controller first: its thread may still change logs.
            thread.stop();
            broker.cleaners.stop();
            let epoch = broker.epoch.load(std::sync::atomic::Ordering::Relaxed);
            broker.replicas.logs().shutdown(epoch)
        });
        match closed.await {
            Ok(result) => Ok(result?),
            Err(error) => Err(ServerError::Unsupported(format!("closing the logs panicked: {error}"))),
        }
    }
}

/// What this version cannot do yet, said before anything is touched.
fn check_supported(config: &BrokerConfig) -> Result<(), ServerError> {
    let roles = &config.process_roles;
    if !(roles.broker && roles.controller) {
        return Err(ServerError::Unsupported(
            "process.roles: this version of milena runs as broker and controller in one process only; set \
             process.roles=broker,controller"
                .to_owned(),
        ));
    }
    if config.voters.len() > 1 || config.voters.iter().any(|voter| voter.id != config.node_id) {
        return Err(ServerError::Unsupported(format!(
            "controller.quorum.voters: this version of milena supports a quorum of one controller, this node ({})",
            config.node_id
        )));
    }
    if let Some(endpoint) =
        config.listeners.iter().find(|endpoint| endpoint.security_protocol != SecurityProtocol::Plaintext)
    {
        return Err(ServerError::Unsupported(format!(
            "listeners: {endpoint} uses {}, this version of milena serves PLAINTEXT only",
            endpoint.security_protocol.name()
        )));
    }
    Ok(())
}

fn format(config: &BrokerConfig) -> Result<(), ServerError> {
    let directory = |path: &Path| path.display().to_string();
    let mut directories: BTreeSet<String> = config.log_dirs.iter().map(|path| directory(path)).collect();
    directories.insert(directory(&config.metadata_log_dir));
    let node = LoneNode {
        node_id: config.node_id,
        directories,
        metadata_log_directory: directory(&config.metadata_log_dir),
        endpoint: raft::Endpoint { name: "CONTROLLER".to_owned(), host: "localhost".to_owned(), port: 9093 },
        cluster_id: None,
    };
    node.format(now_ms()).map_err(|error| ServerError::Format(error.to_string()))?;
    Ok(())
}

fn meta_properties(metadata_log_dir: &Path) -> Result<MetaProperties, ServerError> {
    let not_formatted = || ServerError::NotFormatted(metadata_log_dir.display().to_string());
    MetaProperties::read(metadata_log_dir)
        .map_err(|error| ServerError::Format(error.to_string()))?
        .ok_or_else(not_formatted)
}

fn open_logs(config: &BrokerConfig, cluster_id: Option<String>) -> Result<LogManager, ServerError> {
    let threads = usize::try_from(config.log_manager.num_recovery_threads_per_data_dir).unwrap_or(1);
    Ok(LogManager::open(LogManagerConfig {
        log_dirs: config.log_dirs.clone(),
        cluster_id,
        node_id: config.node_id,
        num_recovery_threads_per_data_dir: threads.max(1),
        default_config: Arc::new(log_config(&config.topic_defaults.config())),
        producer_id_expiration_ms: i64::from(config.log_manager.producer_id_expiration_ms),
    })?)
}

fn load_logs(logs: &LogManager, settings: &Settings, image: &MetadataImage) -> Result<(), ServerError> {
    let config = |topic: &str| image.topics.topic(topic).map(|_| settings.of_topic(image, topic).log);
    // A directory whose topic the metadata does not know, or knows under another id, is of a topic that was deleted.
    let is_stray =
        |partition: &common::TopicPartition, id: Option<Uuid>| match image.topics.topic(&partition.topic) {
            None => true,
            Some(topic) => id.is_some_and(|id| id != topic.id),
        };
    Ok(logs.load(&config, &is_stray, now_ms())?)
}

fn bind(config: &BrokerConfig) -> Result<Vec<(EndPoint, Listener, SocketAddr)>, ServerError> {
    let network = &config.network;
    // Divergence: Kafka's default of 102,400 bytes is a fixed window, which halves what one connection can bring in large
    // batches and doubles its CPU. Where nobody set the key the system sizes the buffers, as it does for -1.
    let buffer_bytes = |key, value| if config.is_set(key) { value } else { -1 };
    let request_memory = RequestMemory::new(network.queued_max_request_bytes);
    let mut bound = Vec::new();
    for endpoint in &config.listeners {
        let failed = |error: std::io::Error| ServerError::Bind {
            listener: endpoint.listener_name.clone(),
            address: format!("{}:{}", endpoint.host, endpoint.port),
            hint: match error.kind() {
                std::io::ErrorKind::AddrInUse => {
                    "; another process listens there: stop it, or set another port in listeners"
                }
                std::io::ErrorKind::PermissionDenied => {
                    "; ports below 1024 need rights that this process does not have"
                }
                std::io::ErrorKind::AddrNotAvailable => {
                    "; this machine does not have that address: correct listeners"
                }
                _ => "",
            },
            error,
        };
        let listener_config = ListenerConfig {
            name: Arc::from(endpoint.listener_name.as_str()),
            backlog: network.socket_listen_backlog_size,
            send_buffer_bytes: buffer_bytes("socket.send.buffer.bytes", network.socket_send_buffer_bytes),
            receive_buffer_bytes: buffer_bytes(
                "socket.receive.buffer.bytes",
                network.socket_receive_buffer_bytes,
            ),
            max_request_bytes: usize::try_from(network.socket_request_max_bytes).unwrap_or(0),
            request_memory: Arc::clone(&request_memory),
            max_idle_ms: network.connections_max_idle_ms,
        };
        let listener = match endpoint.host.as_str() {
            // All interfaces: both families where the machine has IPv6.
            "" => Listener::bind(SocketAddr::from(([0u16; 8], endpoint.port)), listener_config.clone())
                .or_else(|error| match error.kind() {
                    std::io::ErrorKind::AddrInUse | std::io::ErrorKind::PermissionDenied => Err(error),
                    _ => Listener::bind(SocketAddr::from(([0u8; 4], endpoint.port)), listener_config),
                })
                .map_err(failed)?,
            host => {
                let mut addresses = (host, endpoint.port).to_socket_addrs().map_err(failed)?;
                let none = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
                let address = addresses.next().ok_or(none).map_err(failed)?;
                Listener::bind(address, listener_config).map_err(failed)?
            }
        };
        let address = listener.local_addr().map_err(failed)?;
        bound.push((endpoint.clone(), listener, address));
    }
    Ok(bound)
}

/// Where others reach a listener: as advertised, with the port that the system chose where none was said.
fn advertised<'a>(
    endpoints: &'a [EndPoint],
    addresses: &'a [(String, SocketAddr)],
) -> impl Iterator<Item = (&'a EndPoint, u16)> {
    endpoints.iter().map(|endpoint| {
        let bound = addresses.iter().find(|(name, _)| *name == endpoint.listener_name);
        let port = match endpoint.port {
            0 => bound.map_or(0, |(_, address)| address.port()),
            port => port,
        };
        (endpoint, port)
    })
}

fn registered_listeners(
    endpoints: &[EndPoint],
    addresses: &[(String, SocketAddr)],
) -> Vec<RegisteredListener> {
    advertised(endpoints, addresses)
        .map(|(endpoint, port)| RegisteredListener {
            name: endpoint.listener_name.clone(),
            host: endpoint.host.clone(),
            port,
            security_protocol: endpoint.security_protocol.code(),
        })
        .collect()
}

fn raft_config(
    config: &BrokerConfig,
    meta: &MetaProperties,
    addresses: &[(String, SocketAddr)],
) -> RaftConfig {
    let directory_id = meta.directory_id.unwrap_or(Uuid::ZERO);
    let mut raft = RaftConfig::new(config.node_id, directory_id, config.metadata_log_dir.clone());
    raft.static_voters = config
        .voters
        .iter()
        .filter_map(|voter| voter.endpoint.as_ref().map(|at| (voter.id, at.host.clone(), at.port)))
        .collect();
    raft.endpoints = advertised(&config.advertised_controller_listeners, addresses)
        .map(|(endpoint, port)| raft::Endpoint {
            name: endpoint.listener_name.clone(),
            host: endpoint.host.clone(),
            port,
        })
        .collect();
    let log = &config.metadata_log;
    raft.log.segment_bytes = log.internal_segment_bytes.unwrap_or(log.segment_bytes);
    raft.log.segment_ms = log.segment_ms;
    raft.log.retention_bytes = log.max_retention_bytes;
    raft.log.retention_ms = log.max_retention_ms;
    raft.max_bytes_between_snapshots = log.max_record_bytes_between_snapshots.max(0) as u64;
    raft.max_snapshot_interval_ms = log.max_snapshot_interval_ms;
    raft
}

fn make_controller(
    config: &BrokerConfig,
    cluster_id: &str,
    bootstrap: Option<Vec<VersionedRecord>>,
) -> Result<QuorumController, ServerError> {
    let bootstrap = match bootstrap {
        Some(records) if !records.is_empty() => {
            BootstrapMetadata::from_records(records, "the bootstrap snapshot")
                .map_err(|error| ServerError::Format(error.to_string()))?
        }
        // Directories formatted before Kafka 4.4 have a file for it.
        _ => raft::format::read_bootstrap_metadata(&config.metadata_log_dir)
            .map_err(|error| ServerError::Format(error.to_string()))?,
    };
    Ok(QuorumController::new(ControllerConfig::new(config.clone(), cluster_id, bootstrap)))
}

async fn register_controller(
    channel: &ControllerChannel,
    config: &BrokerConfig,
    addresses: &[(String, SocketAddr)],
) -> Result<(), ServerError> {
    use protocol::messages::controller_registration_request::{Feature, Listener};
    let request = ControllerRegistrationRequest {
        controller_id: config.node_id,
        incarnation_id: Uuid::random(),
        zk_migration_ready: false,
        listeners: advertised(&config.advertised_controller_listeners, addresses)
            .map(|(endpoint, port)| Listener {
                name: endpoint.listener_name.clone(),
                host: endpoint.host.clone(),
                port,
                security_protocol: endpoint.security_protocol.code(),
            })
            .collect(),
        features: metadata::supported_features()
            .into_iter()
            .map(|(name, range)| Feature {
                name,
                min_supported_version: range.min,
                max_supported_version: range.max,
            })
            .collect(),
    };
    let refused = |reason: String| ServerError::Registration(format!("as controller: {reason}"));
    let response = channel.send(request).await.map_err(|error| refused(error.to_string()))?;
    match common::ErrorCode::from_code(response.error_code) {
        common::ErrorCode::None => Ok(()),
        error => Err(refused(error.to_string())),
    }
}

/// How many connections the configuration allows.
pub(crate) fn connection_limits(config: &BrokerConfig) -> ConnectionLimits {
    let network = &config.network;
    let limit = |value: i32| usize::try_from(value).unwrap_or(usize::MAX);
    let overrides = config.value("max.connections.per.ip.overrides").to_text().unwrap_or_default();
    let per_ip_overrides = overrides
        .split(',')
        .filter_map(|entry| entry.trim().rsplit_once(':'))
        .flat_map(|(host, count)| {
            let addresses =
                (host, 0u16).to_socket_addrs().map(Iterator::collect::<Vec<_>>).unwrap_or_default();
            let count = count.trim().parse().ok();
            addresses.into_iter().filter_map(move |address| Some((address.ip(), count?)))
        })
        .collect();
    ConnectionLimits {
        total: limit(network.max_connections),
        per_ip: limit(network.max_connections_per_ip),
        per_ip_overrides,
    }
}
