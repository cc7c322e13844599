//! From a configuration to a broker that answers, and back.

mod listeners;
mod quorum;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use common::Uuid;
use config::{BrokerConfig, EndPoint, SecurityProtocol};
use group::GroupCoordinator;
use metadata::MetadataImage;
use network::{ConnectionQuota, Listener, RunningListener};
use raft::format::LoneNode;
use replica::{LocalBroker, ReplicaManager};
use storage::checkpoint::MetaProperties;
use storage::{LogManager, LogManagerConfig};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use crate::alter_log_dirs::AlterLogDirs;
use crate::assignments::{Assignments, send_assignments};
use crate::broker::{Broker, Fault};
use crate::broker_watch::{self, HeartbeatConnections};
use crate::cleaners::CleanerThreads;
use crate::client_metrics::ClientMetrics;
use crate::clock::now_ms;
use crate::committer::Committer;
use crate::connection::Server;
use crate::controller_channel::ControllerChannel;
use crate::controller_server::ControllerServer;
use crate::controller_thread::{self, ControllerHandle, MetadataThread, RunningController};
use crate::coordinator_log::OffsetsLog;
use crate::error::ServerError;
use crate::fetch_session::FetchSessions;
use crate::group_settings::group_config;
use crate::handlers::streams_groups::InternalTopicCreation;
use crate::lifecycle::Lifecycle;
use crate::log_dir_failures::look_after_failures;
use crate::metrics::{self, Metrics, RunningEndpoint, Sources};
use crate::producer_ids::ProducerIds;
use crate::replication::{
    IsrChanges, ReplicaFetchers, ReplicaSelector, ReplicationQuotas, expire_followers, propose_isr_changes,
};
use crate::settings::{Settings, log_config};
use crate::stalled_disks::{self, Watching};
use crate::{housekeeping, lifecycle, publisher};

pub(crate) use listeners::connection_limits;
use listeners::{bind, registered_listeners};
pub(crate) use quorum::peer_config;
use quorum::{ControllerRegistration, make_controller, raft_config, raft_peer_config};

/// A node that runs.
pub struct RunningServer {
    cluster_id: String,
    broker: Option<RunningBroker>,
    controller: Option<Arc<ControllerServer>>,
    controller_listeners: Vec<RunningListener>,
    addresses: Vec<(String, SocketAddr)>,
    logs: Arc<LogManager>,
    thread: RunningController,
    controller_tasks: Vec<JoinHandle<()>>,
    metrics: Option<RunningEndpoint>,
    fault: oneshot::Receiver<ServerError>,
    /// How far the metadata log was when its threads were last told to give back memory.
    trimmed_offset: i64,
}

/// So many records of new metadata leave memory behind that is worth giving back.
const MUCH_METADATA: i64 = 1_000;

/// A node in the role of a broker.
struct RunningBroker {
    broker: Arc<Broker>,
    listeners: Vec<RunningListener>,
    tasks: Vec<JoinHandle<()>>,
    heartbeats: JoinHandle<()>,
    _disks: Watching,
}

/// Starts a node in the roles that its configuration names. A broker returns when clients are served, which needs a quorum
/// with a leader; a controller returns when it takes part in its quorum. Needs a tokio runtime; blocks it while logs are
/// loaded, when nothing else runs on it yet.
pub async fn start(config: BrokerConfig) -> Result<RunningServer, ServerError> {
    check_supported(&config)?;
    ReplicaSelector::of(&config)?;
    let metadata_log_dir = config.metadata_log_dir.clone();
    if config.formats_itself() {
        format(&config)?;
    }
    let meta = meta_properties(&metadata_log_dir)?;
    let logs = Arc::new(open_logs(&config, meta.cluster_id.clone())?);
    let bound = bind(&config)?;
    let metrics_listener = metrics::bind(&config)?;
    let metrics = metrics_listener.is_some().then(|| Arc::new(Metrics::default()));
    let cluster_id = meta.cluster_id.clone().unwrap_or_default();
    let addresses: Vec<(String, SocketAddr)> =
        bound.iter().map(|(endpoint, _, address)| (endpoint.listener_name.clone(), *address)).collect();
    let connections = ConnectionQuota::new(connection_limits(&config));
    let (raiser, mut fault) = Fault::new();

    // The metadata first: everything else follows from it.
    let roles = &config.process_roles;
    let (handle, jobs) = controller_thread::channel();
    let quorum_controller = match roles.controller {
        true => Some(make_controller(&config, &cluster_id)?),
        false => None,
    };
    let raft = raft_config(&config, &meta, &addresses);
    let thread = MetadataThread::open(raft, quorum_controller, raft_peer_config(&config), jobs)?;
    let is_lone = roles.broker && thread.leads();
    let raise = Arc::clone(&raiser);
    let thread = thread
        .spawn(move |error| raise.raise(error))
        .map_err(|error| ServerError::Io("no thread for the metadata", error))?;

    let (controller_bound, broker_bound): (Vec<_>, Vec<_>) = bound
        .into_iter()
        .partition(|(endpoint, _, _)| config.controller_listener_names.contains(&endpoint.listener_name));
    let mut controller = None;
    let mut controller_listeners = Vec::new();
    if roles.controller {
        let server = Arc::new(ControllerServer {
            node_id: config.node_id,
            cluster_id: cluster_id.clone(),
            controller: handle.clone(),
            settings: Settings::new(config.clone()),
            image: ArcSwap::from_pointee(MetadataImage::empty()),
            image_changed: Notify::new(),
            leader: handle.leader(),
            heartbeats: HeartbeatConnections::default(),
            metrics: metrics.clone(),
        });
        let published = Arc::clone(&server);
        let publisher = move |delta: &_, image: &_| published.publish(delta, image);
        if handle.publish_to(Box::new(publisher)).await.is_err() {
            return Err(why_stopped(&mut fault).await);
        }
        // The other controllers must reach this one before any of them can lead.
        controller_listeners =
            serve(controller_bound, &Server::Controller(Arc::clone(&server)), &connections)?;
        controller = Some(server);
    }
    let timeout_ms = u64::try_from(config.replication.controller_socket_timeout_ms).unwrap_or(30_000);
    let channel =
        ControllerChannel::new(config.node_id, controller.clone(), handle.leader(), peer_config(&config))
            .with_request_timeout(Duration::from_millis(timeout_ms));
    let mut controller_tasks = Vec::new();
    if let Some(controller) = &controller {
        let peers = peer_config(&config);
        let channel =
            ControllerChannel::new(config.node_id, Some(Arc::clone(controller)), handle.leader(), peers);
        let registration = ControllerRegistration::new(Arc::clone(controller), channel, &addresses);
        if is_lone && registration.is_due() {
            registration.register().await?;
        }
        controller_tasks.push(tokio::spawn(registration.keep()));
    }
    if let Some(controller) = &controller {
        controller_tasks.push(tokio::spawn(broker_watch::look_on_activation(Arc::clone(controller))));
    }
    if is_lone && let Some(controller) = &controller {
        // The lock on the log directories is ours, so the process that this broker was before is gone.
        controller.end_session(config.node_id).await;
    }
    let mut broker = None;
    if roles.broker {
        let parts = BrokerParts {
            config: &config,
            cluster_id: &cluster_id,
            handle: &handle,
            logs: &logs,
            addresses: &addresses,
            connections: &connections,
            metrics: &metrics,
            fault: raiser,
        };
        broker = match start_broker(parts, channel, broker_bound).await {
            Ok(broker) => Some(broker),
            Err(ServerError::ControllerStopped) => return Err(why_stopped(&mut fault).await),
            Err(error) => return Err(error),
        };
    }
    let metrics = match (metrics_listener, metrics) {
        (Some(listener), Some(metrics)) => {
            let broker = broker.as_ref().map(|running| Arc::clone(&running.broker));
            let sources = Sources { metrics, broker, controller: controller.clone() };
            let running = metrics::serve(listener, sources)
                .map_err(|error| ServerError::Io("the metrics cannot be served", error))?;
            Some(running)
        }
        _ => None,
    };
    Ok(RunningServer {
        cluster_id,
        broker,
        controller,
        controller_listeners,
        addresses,
        logs,
        thread,
        controller_tasks,
        metrics,
        fault,
        trimmed_offset: 0,
    })
}

/// The metadata's thread has ended, and says why in a moment.
async fn why_stopped(fault: &mut oneshot::Receiver<ServerError>) -> ServerError {
    let told = tokio::time::timeout(Duration::from_secs(1), fault).await;
    told.ok().and_then(Result::ok).unwrap_or(ServerError::ControllerStopped)
}

/// How long clients wait for a broker that is not let in: then it serves what a fenced broker can.
const LET_IN_SOON: Duration = Duration::from_secs(1);

/// What a broker is made of.
struct BrokerParts<'a> {
    config: &'a BrokerConfig,
    cluster_id: &'a str,
    handle: &'a ControllerHandle,
    logs: &'a Arc<LogManager>,
    addresses: &'a [(String, SocketAddr)],
    connections: &'a Arc<ConnectionQuota>,
    metrics: &'a Option<Arc<Metrics>>,
    fault: Arc<Fault>,
}

/// Waits for the metadata, loads the logs, registers, and serves.
async fn start_broker(
    parts: BrokerParts<'_>,
    channel: ControllerChannel,
    bound: Vec<(EndPoint, Listener, SocketAddr)>,
) -> Result<RunningBroker, ServerError> {
    let BrokerParts { config, cluster_id, handle, logs, addresses, connections, metrics, fault } = parts;
    let image = handle.caught_up().await.map_err(|_| ServerError::ControllerStopped)?;
    let replica_selector = ReplicaSelector::of(config)?;
    let settings = Settings::new(config.clone());
    settings.update(&image);
    load_logs(logs, &settings, &image)?;
    let registration = lifecycle::registration(
        config,
        cluster_id,
        Uuid::random(),
        registered_listeners(&config.advertised_listeners, addresses),
        logs.live_directory_ids(),
        logs.previous_broker_epoch(),
    );

    let group_timers = Arc::new(Notify::new());
    let local = LocalBroker::new(config.node_id, config.replication.replica_lag_time_max_ms);
    let broker = Arc::new_cyclic(|weak| {
        let wake = Arc::clone(&group_timers);
        Broker {
            node_id: config.node_id,
            cluster_id: cluster_id.to_owned(),
            settings,
            image: ArcSwap::from_pointee(MetadataImage::empty()),
            replicas: ReplicaManager::new(Arc::new(local), Arc::clone(logs)),
            groups: GroupCoordinator::new(
                group_config(config),
                Arc::new(OffsetsLog::new(weak.clone())),
                Box::new(move |_deadline| wake.notify_one()),
            ),
            sessions: FetchSessions::new(config.replication.max_incremental_fetch_session_cache_slots),
            producer_ids: ProducerIds::default(),
            internal_topics: InternalTopicCreation::default(),
            channel,
            cleaners: CleanerThreads::new(Arc::clone(logs)),
            committer: Committer::new(),
            isr_changes: IsrChanges::default(),
            replication_quotas: ReplicationQuotas::new(config),
            replica_selector,
            fetchers: ReplicaFetchers::new(
                weak.clone(),
                config.replication.num_replica_fetchers,
                tokio::runtime::Handle::current(),
            ),
            alter_log_dirs: AlterLogDirs::new(weak.clone()),
            connections: Arc::clone(connections),
            client_metrics: ClientMetrics::new(config.network.telemetry_max_bytes),
            metrics: metrics.clone(),
            kraft_version: handle.shared_kraft_version(),
            lifecycle: Lifecycle::default(),
            assignments: Assignments::default(),
            epoch: AtomicI64::new(-1),
        }
    });
    let published = Arc::clone(&broker);
    let publisher = move |delta: &_, image: &_| publisher::publish(&published, delta, image);
    handle.publish_to(Box::new(publisher)).await.map_err(|_| ServerError::ControllerStopped)?;

    let timeout = u64::try_from(config.quorum.initial_broker_registration_timeout_ms).unwrap_or(0);
    let epoch = lifecycle::register(&broker.channel, &registration, Duration::from_millis(timeout)).await?;
    broker.epoch.store(epoch, Ordering::Relaxed);
    broker.replicas.local_broker().set_epoch(epoch);

    look_after_failures(&broker, &config.metadata_log_dir, fault)
        .map_err(|error| ServerError::Io("no thread for log directories that fail", error))?;
    let disks =
        stalled_disks::watch(logs).map_err(|error| ServerError::Io("no thread to watch the disks", error))?;
    let mut tasks = housekeeping::start(&broker, group_timers);
    tasks.push(tokio::spawn(lifecycle::register_again(Arc::clone(&broker), registration)));
    broker.cleaners.reconfigure(&broker.settings.broker());
    tasks.push(tokio::spawn(propose_isr_changes(Arc::clone(&broker))));
    tasks.push(tokio::spawn(expire_followers(Arc::clone(&broker))));
    tasks.push(tokio::spawn(send_assignments(Arc::clone(&broker))));
    let heartbeats = tokio::spawn(lifecycle::send_heartbeats(Arc::clone(&broker)));
    // With its registration it may have lost what it led: the end of its logs may be gone with the power, and the controller gives its
    // partitions to those that have all. Nobody is let in before that is known here.
    while broker.image().offset() < epoch {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Whoever comes now waits in the sockets' backlog until the broker is let in, mostly some milliseconds: before, the controller would
    // refuse to make a topic, for there is nobody to put it on.
    //
    // Divergence: Kafka serves them at once. Its start takes so long that nobody is that quick.
    drop(tokio::time::timeout(LET_IN_SOON, broker.lifecycle.run()).await);
    let listeners = serve(bound, &Server::Broker(Arc::clone(&broker)), connections)?;
    broker.lifecycle.run().await;
    Ok(RunningBroker { broker, listeners, tasks, heartbeats, _disks: disks })
}

fn serve(
    bound: Vec<(EndPoint, Listener, SocketAddr)>,
    server: &Server,
    connections: &Arc<ConnectionQuota>,
) -> Result<Vec<RunningListener>, ServerError> {
    let running = bound.into_iter().map(|(_, listener, _)| {
        listener
            .serve(server.clone(), Arc::clone(connections))
            .map_err(|error| ServerError::Io("a listener cannot be served", error))
    });
    running.collect()
}

impl RunningServer {
    /// The listeners' names, and the addresses that they are bound to.
    pub fn addresses(&self) -> &[(String, SocketAddr)] {
        &self.addresses
    }

    /// Where the metrics are served, if they are.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(RunningEndpoint::address)
    }

    /// The id of the cluster.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// How many topics there are, as far as this node knows.
    pub fn topic_count(&self) -> usize {
        match (&self.broker, &self.controller) {
            (Some(running), _) => running.broker.image().topics.len(),
            (None, Some(controller)) => controller.image.load().topics.len(),
            (None, None) => 0,
        }
    }

    /// Frees memory that was kept for the next requests, and that none needed since the last call. After much new metadata, has the
    /// threads that took it in call `give_back`: what an allocator keeps for a thread, only that thread can give back.
    pub fn trim_memory(&mut self, give_back: fn()) {
        network::trim_buffers();
        let offset = match (&self.broker, &self.controller) {
            (Some(running), _) => running.broker.image().offset(),
            (None, Some(controller)) => controller.image.load().offset(),
            (None, None) => return,
        };
        if offset - self.trimmed_offset >= MUCH_METADATA {
            self.trimmed_offset = offset;
            self.thread.trim_memory(give_back);
        }
    }

    /// Waits until something breaks that the node cannot go on without.
    pub async fn failed(&mut self) -> ServerError {
        (&mut self.fault).await.unwrap_or(ServerError::ControllerStopped)
    }

    /// Stops: a broker hands over what it leads and takes no more requests, a controller hands over its lead, logs are
    /// closed and synced. The next start finds nothing to recover.
    pub async fn stop(self) -> Result<(), ServerError> {
        for task in self.controller_tasks {
            task.abort();
        }
        let mut stopped = None;
        if let Some(running) = self.broker {
            lifecycle::leave(&running.broker, running.heartbeats).await;
            for listener in running.listeners {
                listener.stop();
            }
            running.broker.fetchers.stop();
            running.broker.groups.shutdown();
            for task in &running.tasks {
                task.abort();
            }
            stopped = Some(running.broker);
        }
        let (thread, logs) = (self.thread, self.logs);
        let closed = tokio::task::spawn_blocking(move || {
            // The metadata first: its thread may still change logs.
            thread.stop();
            let Some(broker) = stopped else { return Ok(()) };
            broker.alter_log_dirs.stop();
            broker.cleaners.stop();
            logs.failures().close();
            logs.shutdown(broker.epoch.load(Ordering::Relaxed))
        });
        let closed = closed.await;
        // Only now: whoever takes over as the leader of the quorum tells this node so.
        for listener in self.controller_listeners {
            listener.stop();
        }
        match closed {
            Ok(result) => Ok(result?),
            Err(error) => Err(ServerError::Unsupported(format!("closing the logs panicked: {error}"))),
        }
    }
}

/// What this version cannot do yet, said before anything is touched.
fn check_supported(config: &BrokerConfig) -> Result<(), ServerError> {
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
    let logs = LogManager::open(LogManagerConfig {
        log_dirs: config.log_dirs.clone(),
        cluster_id,
        node_id: config.node_id,
        num_recovery_threads_per_data_dir: threads.max(1),
        default_config: Arc::new(log_config(&config.topic_defaults.config())),
        producer_id_expiration_ms: i64::from(config.log_manager.producer_id_expiration_ms),
    })?;
    logs.update_cordoned_dirs(&config.cordoned_log_dirs);
    Ok(logs)
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
