//! The connections over which this broker's replicas follow their leaders (`ReplicaFetcherManager`): `num.replica.fetchers` to each
//! broker that leads some, each a task with a [`ReplicaFetcher`].
//!
//! The metadata's thread says what is to be fetched from where; a task takes that over before its next request. Nothing
//! has to be stopped and waited for: a partition takes nothing from a fetcher of an epoch that is over.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use common::TopicIdPartition;
use network::peer::{Peer, PeerConfig, PeerError};
use parking_lot::Mutex;
use protocol::messages::{FetchResponse, ListOffsetsResponse};
use replica::{Fetched, FetcherConfig, NextFetch, Partition, PartitionChanges, ReplicaFetcher};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use crate::broker::Broker;
use crate::clock::now_ms;

/// A fetch that waits at the leader for records of other partitions holds up one that has just been added. After so long the
/// connection is given up for a new one, which names them all; an answer with records is here before.
const NEW_PARTITIONS_WAIT: Duration = Duration::from_millis(10);
/// How often a fetcher looks whether its broker is registered.
const REGISTRATION_WAIT: Duration = Duration::from_millis(10);
/// No connection is given up sooner than this after the last one was.
const GIVE_UP_INTERVAL: Duration = Duration::from_millis(100);

/// Which leader, and which of the connections to it.
type FetcherId = (i32, usize);

/// All fetchers.
pub(crate) struct ReplicaFetchers {
    runtime: Handle,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    broker: Weak<Broker>,
    per_source: usize,
    fetchers: HashMap<FetcherId, UnboundedSender<Command>>,
    assigned: HashMap<TopicIdPartition, (FetcherId, Arc<Partition>)>,
}

enum Command {
    Add(Arc<Partition>, i32),
    Remove(Arc<Partition>),
}

impl ReplicaFetchers {
    /// Without fetchers; they come with the first replica that follows. `runtime` runs them.
    pub(crate) fn new(broker: Weak<Broker>, per_source: i32, runtime: Handle) -> ReplicaFetchers {
        let per_source = usize::try_from(per_source).unwrap_or(1).max(1);
        ReplicaFetchers { runtime, state: Mutex::new(State { broker, per_source, ..State::default() }) }
    }

    /// Follows a change of the metadata.
    pub(crate) fn apply(&self, changes: &PartitionChanges) {
        let mut state = self.state.lock();
        for partition in &changes.removed {
            state.unassign(&id_of(partition));
        }
        for partition in &changes.changed {
            self.assign(&mut state, partition);
        }
    }

    /// These are fetched no more: their log directory has failed.
    pub(crate) fn remove(&self, partitions: &[Arc<Partition>]) {
        let mut state = self.state.lock();
        for partition in partitions {
            state.unassign(&id_of(partition));
        }
    }

    /// `num.replica.fetchers` may have changed.
    pub(crate) fn resize(&self, per_source: i32) {
        let per_source = usize::try_from(per_source).unwrap_or(1).max(1);
        let mut state = self.state.lock();
        if state.per_source == per_source {
            return;
        }
        state.per_source = per_source;
        let all: Vec<Arc<Partition>> =
            state.assigned.values().map(|(_, partition)| Arc::clone(partition)).collect();
        for partition in all {
            self.assign(&mut state, &partition);
        }
    }

    /// Ends all fetchers.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock();
        state.assigned.clear();
        state.fetchers.clear();
        state.broker = Weak::new();
    }

    fn assign(&self, state: &mut State, partition: &Arc<Partition>) {
        let id = id_of(partition);
        let registration = partition.registration();
        let Some(broker) = state.broker.upgrade() else { return };
        if registration.leader < 0 || registration.leader == broker.node_id {
            state.unassign(&id);
            return;
        }
        let spread = (id.topic_id.as_u128() as usize).wrapping_mul(31).wrapping_add(id.partition as usize);
        let fetcher = (registration.leader, spread % state.per_source);
        if state.assigned.get(&id).is_some_and(|(before, _)| *before != fetcher) {
            state.unassign(&id);
        }
        let commands = state.fetchers.entry(fetcher).or_insert_with(|| {
            let (sender, receiver) = unbounded_channel();
            let config = &broker.settings.broker().replication;
            let fetcher_config = FetcherConfig {
                max_bytes: config.replica_fetch_max_bytes,
                response_max_bytes: config.replica_fetch_response_max_bytes,
                min_bytes: config.replica_fetch_min_bytes,
                max_wait_ms: config.replica_fetch_wait_max_ms,
                backoff_ms: i64::from(config.replica_fetch_backoff_ms),
            };
            let replicas = ReplicaFetcher::new(
                fetcher_config,
                Arc::clone(broker.replicas.local_broker()),
                Arc::clone(broker.replicas.logs()),
            );
            let task = Fetcher::new(&broker, fetcher, replicas);
            self.runtime.spawn(task.run(receiver));
            sender
        });
        // A task that has ended takes no commands: the broker is stopping.
        let _ = commands.send(Command::Add(Arc::clone(partition), registration.leader_epoch));
        state.assigned.insert(id, (fetcher, Arc::clone(partition)));
    }
}

impl State {
    fn unassign(&mut self, id: &TopicIdPartition) {
        if let Some((fetcher, partition)) = self.assigned.remove(id)
            && let Some(commands) = self.fetchers.get(&fetcher)
        {
            let _ = commands.send(Command::Remove(partition));
        }
    }
}

fn id_of(partition: &Partition) -> TopicIdPartition {
    TopicIdPartition { topic_id: partition.topic_id(), partition: partition.topic_partition().partition }
}

/// One connection, and what is fetched over it.
struct Fetcher {
    /// The broker owns the fetchers, which end with it.
    broker: Weak<Broker>,
    source: i32,
    client_id: String,
    request_timeout: Duration,
    receive_buffer_bytes: i32,
    listener: String,
    replicas: ReplicaFetcher,
    peer: Option<Peer>,
    gave_up: Option<Instant>,
}

impl Fetcher {
    fn new(broker: &Arc<Broker>, (source, index): FetcherId, replicas: ReplicaFetcher) -> Fetcher {
        let config = broker.settings.broker();
        let timeout_ms = u64::try_from(config.replication.replica_socket_timeout_ms).unwrap_or(30_000);
        // As for the listeners' sockets: where nobody set the key, the system sizes the buffer.
        let receive_buffer_bytes = match config.is_set("replica.socket.receive.buffer.bytes") {
            true => config.replication.replica_socket_receive_buffer_bytes,
            false => -1,
        };
        Fetcher {
            broker: Arc::downgrade(broker),
            source,
            client_id: format!("broker-{}-fetcher-{index}", broker.node_id),
            request_timeout: Duration::from_millis(timeout_ms),
            receive_buffer_bytes,
            listener: config.inter_broker_listener_name.clone(),
            replicas,
            peer: None,
            gave_up: None,
        }
    }

    async fn run(mut self, mut commands: UnboundedReceiver<Command>) {
        loop {
            while let Ok(command) = commands.try_recv() {
                self.obey(command);
            }
            if self.replicas.is_empty() {
                // No connection while there is nothing to fetch.
                self.peer = None;
                match commands.recv().await {
                    Some(command) => self.obey(command),
                    None => return,
                }
                continue;
            }
            if self.broker.upgrade().is_some_and(|broker| broker.replicas.local_broker().epoch() < 0) {
                // A leader must be able to tell this life of the broker from the one before.
                tokio::time::sleep(REGISTRATION_WAIT).await;
                continue;
            }
            if !self.find_source() {
                self.replicas.on_failure(now_ms());
            } else if self.look_up().await {
                continue;
            }
            let wait = match self.next() {
                NextFetch::Request(request) => {
                    if !self.fetch(&request, &mut commands).await {
                        return;
                    }
                    continue;
                }
                NextFetch::Wait(until_ms) => until_ms.map(|until_ms| until_ms - now_ms()),
            };
            let wait = Duration::from_millis(wait.unwrap_or(i64::from(u32::MAX)).max(0) as u64);
            match tokio::time::timeout(wait, commands.recv()).await {
                Ok(Some(command)) => self.obey(command),
                Ok(None) => return,
                Err(_) => {}
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Add(partition, leader_epoch) => {
                self.replicas.add(partition, leader_epoch, now_ms());
            }
            Command::Remove(partition) => self.replicas.remove(&partition),
        }
    }

    /// Makes a peer for the leader where the metadata say it is. False where they do not.
    fn find_source(&mut self) -> bool {
        let Some(broker) = self.broker.upgrade() else { return false };
        let image = broker.image();
        let registration = image.cluster.brokers.get(&self.source);
        let Some(endpoint) = registration.and_then(|registration| registration.listener(&self.listener))
        else {
            self.peer = None;
            return false;
        };
        let address = format!("{}:{}", endpoint.host, endpoint.port);
        if self.peer.as_ref().is_none_or(|peer| peer.address() != address) {
            let config = PeerConfig {
                receive_buffer_bytes: self.receive_buffer_bytes,
                ..PeerConfig::new(self.client_id.clone())
            };
            self.peer = Some(Peer::new(&endpoint.host, endpoint.port, config));
            self.replicas.on_reconnect();
        }
        true
    }

    /// Asks where the leader's logs begin or end, if a replica needs to know. True where it was asked.
    async fn look_up(&mut self) -> bool {
        let (Some(request), Some(peer)) = (self.replicas.lookup(), &self.peer) else { return false };
        let response = match peer.send(&request, self.request_timeout).await {
            Ok(response) => response.read::<ListOffsetsResponse>(),
            Err(error) => Err(error),
        };
        if let Err(error) = &response {
            tracing::warn!(leader = self.source, %error, "the leader was not asked for its offsets");
        }
        self.replicas.on_lookup(&request, response.ok().as_ref(), now_ms());
        true
    }

    fn next(&mut self) -> NextFetch {
        let Some(broker) = self.broker.upgrade() else { return NextFetch::Wait(None) };
        let now = now_ms();
        let quota = &broker.replication_quotas.follower;
        let throttled = |partition: &Partition| {
            partition.is_throttled_following()
                && !partition.is_in_sync(broker.node_id)
                && quota.is_exceeded(now)
        };
        self.replicas.next(&throttled, now)
    }

    /// Fetches once. False where the broker stops.
    async fn fetch(
        &mut self,
        request: &protocol::messages::FetchRequest,
        commands: &mut UnboundedReceiver<Command>,
    ) -> bool {
        let Some(peer) = &self.peer else { return true };
        let mut sending = std::pin::pin!(peer.send(request, self.request_timeout));
        let began = Instant::now();
        let mut give_up_at: Option<Instant> = None;
        let response = loop {
            let never = began + Duration::from_secs(3600);
            tokio::select! {
                biased;
                response = &mut sending => break response,
                command = commands.recv() => match command {
                    None => return false,
                    Some(Command::Remove(partition)) => self.replicas.remove(&partition),
                    Some(Command::Add(partition, leader_epoch)) => {
                        if self.replicas.add(partition, leader_epoch, now_ms()) {
                            let earliest = self.gave_up.map(|before| before + GIVE_UP_INTERVAL);
                            let at = (Instant::now() + NEW_PARTITIONS_WAIT).max(earliest.unwrap_or(began));
                            give_up_at.get_or_insert(at);
                        }
                    }
                },
                () = sleep_until(give_up_at.unwrap_or(never)), if give_up_at.is_some() => {
                    peer.disconnect();
                    self.gave_up = Some(Instant::now());
                    self.replicas.on_reconnect();
                    return true;
                }
            }
        };
        let fetched = response.and_then(|response| {
            let answer = response.read::<FetchResponse<'_>>()?;
            Ok::<Fetched, PeerError>(self.replicas.on_response(&answer, now_ms()))
        });
        match fetched {
            Ok(fetched) => {
                if let Some(broker) = self.broker.upgrade() {
                    broker.replication_quotas.follower.record(fetched.throttled_bytes, now_ms());
                }
                self.sync(fetched).await;
            }
            Err(error) => {
                tracing::info!(leader = self.source, %error, "a fetch from a leader failed");
                self.replicas.on_failure(now_ms());
            }
        }
        true
    }

    /// Lets last what is to last before the leader hears of it with the next fetch.
    async fn sync(&self, fetched: Fetched) {
        if !fetched.rolled.is_empty() {
            tokio::task::spawn_blocking(move || {
                for partition in &fetched.rolled {
                    if let Err(error) = partition.log().flush_inactive_segments() {
                        tracing::error!(partition = %partition.topic_partition(), %error, "a rolled segment cannot be synced");
                    }
                }
            });
        }
        if !fetched.flush.is_empty() {
            let synced = tokio::task::spawn_blocking(move || {
                for partition in &fetched.flush {
                    if let Err(error) = partition.log().flush() {
                        tracing::error!(partition = %partition.topic_partition(), %error, "a replica cannot be synced");
                    }
                }
            });
            // A panic in there was told by the panic itself.
            let _ = synced.await;
        }
    }
}
