//! A broker's life in its cluster (`BrokerLifecycleManager`): it registers, is let in when it is ready and has caught up,
//! sends heartbeats, and hands over what it leads before it leaves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{ErrorCode, Uuid};
use config::BrokerConfig;
use metadata::{MetadataDelta, MetadataImage, MetadataVersion};
use parking_lot::Mutex;
use protocol::messages::broker_registration_request::{Feature, Listener};
use protocol::messages::{BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationRequest};
use tokio::sync::{Notify, watch};

use crate::broker::Broker;
use crate::controller_channel::{ChannelError, ControllerChannel};
use crate::error::ServerError;

/// The pause between heartbeats while the broker waits to be let in, or to be let go; the former doubles.
const IMPATIENT: Duration = Duration::from_millis(10);
/// How long a broker that wants to leave waits for others to take over what it leads.
const LONGEST_SHUTDOWN: Duration = Duration::from_secs(5 * 60);

/// How long a broker that is registered tries to register again.
const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(60);

/// What the broker has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum BrokerState {
    /// It is not let in, or not any more.
    #[default]
    Fenced,
    /// Clients are sent to it.
    Running,
    /// It has been told that it may stop.
    ShuttingDown,
}

/// What the rest of the broker says to its lifecycle, and learns from it.
#[derive(Default)]
pub(crate) struct Lifecycle {
    /// The listeners are open: the broker may be let in.
    ready: AtomicBool,
    /// The broker wants to stop.
    wants_shut_down: AtomicBool,
    /// The broker is to stop without a word: it has nothing left to hand over.
    abandoned: AtomicBool,
    /// The log directories that have failed, and whether the controller has been told.
    offline_dirs: Mutex<BTreeMap<Uuid, bool>>,
    /// There is something to say before the next heartbeat is due.
    wake: Notify,
    /// The broker wants to stop: what is under way need not be waited for.
    leaving: Notify,
    /// The registration lacks what there is room for by now.
    register_again: Notify,
    state: watch::Sender<BrokerState>,
}

impl Lifecycle {
    /// From now on the broker asks to be let in; returns when it is.
    pub(crate) async fn run(&self) {
        self.ready.store(true, Ordering::Relaxed);
        self.wake.notify_one();
        self.reached(BrokerState::Running).await;
    }

    /// The controller is told at once that a log directory has failed.
    pub(crate) fn propagate_directory_failure(&self, id: Uuid) {
        self.offline_dirs.lock().entry(id).or_insert(false);
        self.wake.notify_one();
    }

    /// Whether the controller knows that a log directory has failed.
    pub(crate) fn is_directory_failure_told(&self, id: Uuid) -> bool {
        self.offline_dirs.lock().get(&id).copied().unwrap_or(false)
    }

    /// Nothing is to be handed over when the broker stops.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    /// The controller is told at once which log directories get no new logs.
    pub(crate) fn propagate_cordoned_dirs(&self) {
        self.wake.notify_one();
    }

    /// What the broker is at, in Kafka's numbers (`org.apache.kafka.metadata.BrokerState`).
    pub(crate) fn state_number(&self) -> u8 {
        match *self.state.borrow() {
            BrokerState::ShuttingDown => 7,
            _ if self.wants_shut_down.load(Ordering::Relaxed) => 6,
            BrokerState::Running => 3,
            BrokerState::Fenced => 2,
        }
    }

    async fn reached(&self, state: BrokerState) {
        // The sender is here: it cannot be gone.
        drop(self.state.subscribe().wait_for(|reached| *reached == state).await);
    }
}

/// What this broker says of itself.
pub(crate) fn registration(
    config: &BrokerConfig,
    cluster_id: &str,
    incarnation_id: Uuid,
    listeners: Vec<Listener>,
    log_dirs: Vec<Uuid>,
    previous_broker_epoch: i64,
) -> BrokerRegistrationRequest {
    BrokerRegistrationRequest {
        broker_id: config.node_id,
        cluster_id: cluster_id.to_owned(),
        incarnation_id,
        listeners,
        features: metadata::supported_features()
            .into_iter()
            .map(|(name, range)| Feature {
                name: name.to_owned(),
                min_supported_version: range.min,
                max_supported_version: range.max,
            })
            .collect(),
        rack: config.broker_rack.clone(),
        log_dirs,
        previous_broker_epoch,
        ..BrokerRegistrationRequest::default()
    }
}

/// Registers with the active controller, and tries until it is taken (`initial.broker.registration.timeout.ms`). Returns
/// the broker's epoch.
pub(crate) async fn register(
    channel: &ControllerChannel,
    request: &BrokerRegistrationRequest,
    timeout: Duration,
) -> Result<i64, ServerError> {
    let deadline = Instant::now() + timeout;
    let mut pause = Duration::from_millis(100);
    let mut told = false;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let reason = match channel.send_within(request.clone(), left).await {
            Err(error) => return Err(ServerError::Registration(error.to_string())),
            Ok(answer) => match ErrorCode::from_code(answer.error_code) {
                ErrorCode::None => {
                    tracing::info!(
                        broker_epoch = answer.broker_epoch,
                        incarnation_id = %request.incarnation_id,
                        "registered with the controller"
                    );
                    return Ok(answer.broker_epoch);
                }
                // No time heals these.
                error @ (ErrorCode::InconsistentClusterId
                | ErrorCode::InvalidRegistration
                | ErrorCode::UnsupportedVersion) => {
                    return Err(ServerError::Registration(explain(error, request)));
                }
                error => explain(error, request),
            },
        };
        if !told {
            tracing::warn!("the controller does not register this broker yet: {reason}");
            told = true;
        }
        if Instant::now() + pause >= deadline {
            return Err(ServerError::Registration(reason));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Looks whether the registration has the log directories, which it has since `metadata.version` 3.7-IV2: a broker that
/// registered before an upgrade must say them again (`BrokerRegistrationTracker`).
pub(crate) fn check_registration(broker: &Broker, delta: &MetadataDelta, image: &MetadataImage) {
    if delta.features_delta().is_none() && delta.cluster_delta().is_none() {
        return;
    }
    let registered = image.cluster.broker(broker.node_id);
    if image.features.metadata_version().is_some_and(MetadataVersion::is_directory_assignment_supported)
        && registered.is_some_and(|registered| {
            registered.epoch == broker.epoch.load(Ordering::Relaxed) && registered.directories.is_empty()
        })
    {
        broker.lifecycle.register_again.notify_one();
    }
}

/// Registers again whenever that is due, as the same incarnation, which keeps its epoch.
pub(crate) async fn register_again(broker: Arc<Broker>, registration: BrokerRegistrationRequest) {
    loop {
        broker.lifecycle.register_again.notified().await;
        tracing::info!("registering again: metadata.version has room for the log directories now");
        match register(&broker.channel, &registration, REGISTRATION_TIMEOUT).await {
            Ok(epoch) => {
                broker.epoch.store(epoch, Ordering::Relaxed);
                broker.replicas.local_broker().set_epoch(epoch);
            }
            Err(error) => tracing::error!("{error}"),
        }
    }
}

fn explain(error: ErrorCode, request: &BrokerRegistrationRequest) -> String {
    let why = match error {
        ErrorCode::InconsistentClusterId => {
            format!("it is the controller of another cluster than {}", request.cluster_id)
        }
        ErrorCode::DuplicateBrokerRegistration => format!(
            "a broker with the id {} is alive, or was until a moment ago: its session must end first",
            request.broker_id
        ),
        _ => "the controller's log says why".to_owned(),
    };
    format!("{error}: {why}")
}

/// Sends heartbeats until the broker may stop (`broker.heartbeat.interval.ms`).
pub(crate) async fn send_heartbeats(broker: Arc<Broker>) {
    let config = broker.settings.broker();
    let ms = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap_or(1).max(1));
    let interval = ms(config.quorum.broker_heartbeat_interval_ms);
    let timeout = ms(config.quorum.broker_session_timeout_ms);
    let lifecycle = &broker.lifecycle;
    let mut impatience = IMPATIENT;
    let mut leader = broker.channel.leader();
    loop {
        leader.mark_unchanged();
        let wants_shut_down = lifecycle.wants_shut_down.load(Ordering::Relaxed);
        let want_fence = !lifecycle.ready.load(Ordering::Relaxed);
        let offline: Vec<Uuid> = lifecycle.offline_dirs.lock().keys().copied().collect();
        let version = broker.image().features.metadata_version();
        let cordons = version.is_some_and(MetadataVersion::is_cordoned_log_dirs_supported);
        let request = BrokerHeartbeatRequest {
            broker_id: broker.node_id,
            broker_epoch: broker.epoch.load(Ordering::Relaxed),
            current_metadata_offset: broker.image().offset(),
            want_fence,
            want_shut_down: wants_shut_down,
            offline_log_dirs: offline.clone(),
            cordoned_log_dirs: cordons.then(|| broker.replicas.logs().cordoned_directory_ids()),
        };
        let state = *lifecycle.state.borrow();
        let answer = tokio::select! {
            biased;
            answer = broker.channel.send_within(request, timeout) => answer,
            // There may be nobody to answer it.
            () = lifecycle.leaving.notified(), if !wants_shut_down => continue,
        };
        let pause = match answer {
            Ok(answer) if answer.error_code != 0 => {
                let error = ErrorCode::from_code(answer.error_code);
                tracing::warn!("the controller does not take this broker's heartbeat: {error}");
                interval
            }
            Ok(answer) => {
                for (id, told) in lifecycle.offline_dirs.lock().iter_mut() {
                    *told |= offline.contains(id);
                }
                let next = next_state(&answer);
                if next != state {
                    tell(state, next);
                    lifecycle.state.send_replace(next);
                }
                match next {
                    BrokerState::ShuttingDown => return,
                    _ if wants_shut_down => IMPATIENT,
                    BrokerState::Running => {
                        impatience = IMPATIENT;
                        interval
                    }
                    BrokerState::Fenced if want_fence => interval,
                    BrokerState::Fenced => {
                        impatience = (impatience * 2).min(interval);
                        impatience
                    }
                }
            }
            Err(error @ ChannelError::Timeout { .. }) => {
                tracing::warn!("{error}");
                if wants_shut_down {
                    // Nobody can take over what nobody can be told of.
                    return;
                }
                IMPATIENT
            }
            Err(error) => {
                tracing::error!("the controller cannot be told that this broker lives: {error}");
                interval
            }
        };
        tokio::select! {
            () = lifecycle.wake.notified() => {}
            // A new controller should not have to wonder.
            Ok(()) = leader.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn next_state(answer: &BrokerHeartbeatResponse) -> BrokerState {
    match (answer.should_shut_down, answer.is_fenced) {
        (true, _) => BrokerState::ShuttingDown,
        (false, true) => BrokerState::Fenced,
        (false, false) => BrokerState::Running,
    }
}

fn tell(state: BrokerState, next: BrokerState) {
    match (state, next) {
        (_, BrokerState::Running) => tracing::info!("this broker is unfenced: clients are sent to it"),
        (BrokerState::Running, BrokerState::Fenced) => {
            tracing::warn!("this broker is fenced: its controller did not hear of it in time");
        }
        _ => {}
    }
}

/// Asks to leave (`controlled.shutdown.enable`), and returns when what this broker leads is led by others, where there are
/// any, or nobody can be asked.
pub(crate) async fn leave(broker: &Broker, heartbeats: tokio::task::JoinHandle<()>) {
    let abandoned = broker.lifecycle.abandoned.load(Ordering::Relaxed);
    if broker.settings.broker().replication.controlled_shutdown_enable && !abandoned {
        broker.lifecycle.wants_shut_down.store(true, Ordering::Relaxed);
        broker.lifecycle.wake.notify_one();
        broker.lifecycle.leaving.notify_one();
        let abort = heartbeats.abort_handle();
        if tokio::time::timeout(LONGEST_SHUTDOWN, heartbeats).await.is_err() {
            abort.abort();
        }
        if *broker.lifecycle.state.borrow() != BrokerState::ShuttingDown {
            tracing::info!("leaving although some partitions may still be led here");
        }
    } else {
        heartbeats.abort();
    }
}
