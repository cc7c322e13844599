//! The brokers of a cluster as a client sees them: one connection to each, and who leads what.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::{ErrorCode, Uuid};
use protocol::messages::metadata_request::MetadataRequestTopic;
use protocol::messages::metadata_response::MetadataResponseTopic;
use protocol::messages::{MetadataRequest, MetadataResponse};

use crate::backoff::Retries;
use crate::connection::Connection;
use crate::place::{Place, Slot, at_hand};
use crate::{ClientConfig, ClientError, MetadataRecovery};

/// A broker's id and address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The broker's id.
    pub id: i32,
    /// Its advertised host.
    pub host: String,
    /// Its advertised port.
    pub port: i32,
    /// Its rack.
    pub rack: Option<String>,
}

/// A partition's leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionInfo {
    /// The partition's index.
    pub partition: i32,
    /// The broker that leads it, -1 for none.
    pub leader: i32,
    /// The leader's epoch, -1 where it is not known.
    pub leader_epoch: i32,
}

/// A topic's partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// The topic's name.
    pub name: String,
    /// The topic's id; zero from brokers that do not say.
    pub id: Uuid,
    /// Its partitions, by index.
    pub partitions: Vec<PartitionInfo>,
}

impl TopicInfo {
    /// The partition with this index.
    pub fn partition(&self, partition: i32) -> Option<&PartitionInfo> {
        self.partitions.iter().find(|info| info.partition == partition)
    }
}

/// A client's view of a cluster. Cheap to clone; clones share connections.
#[derive(Clone)]
pub(crate) struct Cluster {
    shared: Arc<Shared>,
}

struct Shared {
    config: ClientConfig,
    /// To whoever answered among the bootstrap servers.
    bootstrap: Slot,
    brokers: Mutex<Brokers>,
    topics: Mutex<HashMap<String, (Arc<TopicInfo>, Instant)>>,
    /// Whether any broker ever answered.
    reached: AtomicBool,
    /// Since when no metadata could be had.
    without_metadata: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Brokers {
    nodes: HashMap<i32, (Node, Slot)>,
    controller: i32,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cluster {
    pub(crate) fn new(config: ClientConfig) -> Cluster {
        Cluster {
            shared: Arc::new(Shared {
                config,
                bootstrap: Slot::default(),
                brokers: Mutex::default(),
                topics: Mutex::default(),
                reached: AtomicBool::new(false),
                without_metadata: Mutex::default(),
            }),
        }
    }

    pub(crate) fn config(&self) -> &ClientConfig {
        &self.shared.config
    }

    /// Whether any broker ever answered: if not, a wrong address is likelier than a broker that starts again.
    pub(crate) fn was_reached(&self) -> bool {
        self.shared.reached.load(Ordering::Relaxed)
    }

    /// Whether to try again after `error`.
    pub(crate) fn may_retry(&self, error: &ClientError) -> bool {
        error.is_retriable() && (self.was_reached() || error.code().is_some())
    }

    /// A connection to any broker.
    pub(crate) async fn any(&self) -> Result<Arc<Connection>, ClientError> {
        // Behind a fetch that waits for records an answer would be late: whoever answered first has nothing else to do.
        if let Some(connection) = at_hand(&self.shared.bootstrap) {
            return Ok(connection);
        }
        let known: Vec<(String, Slot)> = lock(&self.shared.brokers)
            .nodes
            .values()
            .map(|(node, slot)| (node.address(), Arc::clone(slot)))
            .collect();
        if let Some(connection) = known.iter().find_map(|(_, slot)| at_hand(slot)) {
            return Ok(connection);
        }
        let mut bootstrap = self.shared.bootstrap.lock().await;
        if let Some(connection) = bootstrap.connection() {
            return Ok(connection);
        }
        let mut last_error = None;
        let mut tried = Vec::new();
        if self.may_rebootstrap() || known.is_empty() {
            tried = addresses(&self.shared.config.bootstrap_servers)?;
        }
        // What is known may be old, and what was configured is meant to last: that is tried first.
        tried.extend(known.into_iter().map(|(address, _)| address));
        for address in tried {
            match Connection::open(&address, &self.shared.config).await {
                Ok(connection) => {
                    self.shared.reached.store(true, Ordering::Relaxed);
                    let connection = Arc::new(connection);
                    bootstrap.fill(&connection);
                    return Ok(connection);
                }
                Err(error) => last_error = last_error.or(Some(error)),
            }
        }
        Err(ClientError::Bootstrap {
            servers: self.shared.config.bootstrap_servers.clone(),
            reason: last_error.map_or_else(|| "none is named".to_owned(), |error| error.to_string()),
        })
    }

    /// The connection to a certain broker, if one is open.
    pub(crate) fn open_connection(&self, id: i32) -> Option<Arc<Connection>> {
        lock(&self.shared.brokers).nodes.get(&id).and_then(|(_, slot)| at_hand(slot))
    }

    /// A connection to a certain broker.
    pub(crate) async fn node(&self, id: i32) -> Result<Arc<Connection>, ClientError> {
        let known =
            lock(&self.shared.brokers).nodes.get(&id).map(|(node, slot)| (node.address(), Arc::clone(slot)));
        let Some((address, slot)) = known else {
            return Err(ClientError::api(
                ErrorCode::LeaderNotAvailable,
                Some(format!("there is no broker {id}")),
            ));
        };
        let mut place = slot.lock().await;
        if let Some(connection) = place.connection() {
            return Ok(connection);
        }
        place.connect(&address, &self.shared.config).await.map_err(|error| match error {
            ClientError::Connection { address, reason } => ClientError::Connection {
                reason: format!("{reason} (broker {id} says in its advertised.listeners that it is there)"),
                address,
            },
            error => error,
        })
    }

    /// A connection to the broker that takes requests for the controller.
    pub(crate) async fn controller(&self) -> Result<Arc<Connection>, ClientError> {
        if lock(&self.shared.brokers).nodes.is_empty() {
            self.metadata(Some(&[]), false).await?;
        }
        let id = lock(&self.shared.brokers).controller;
        match id {
            -1 => self.any().await,
            id => self.node(id).await,
        }
    }

    /// The brokers there are.
    pub(crate) async fn nodes(&self) -> Result<Vec<Node>, ClientError> {
        self.metadata(Some(&[]), false).await?;
        let mut nodes: Vec<Node> =
            lock(&self.shared.brokers).nodes.values().map(|(node, _)| node.clone()).collect();
        nodes.sort_by_key(|node| node.id);
        Ok(nodes)
    }

    /// The racks of the brokers, by id, as far as they have one.
    pub(crate) fn racks(&self) -> HashMap<i32, String> {
        let brokers = lock(&self.shared.brokers);
        brokers.nodes.values().filter_map(|(node, _)| Some((node.id, node.rack.clone()?))).collect()
    }

    fn may_rebootstrap(&self) -> bool {
        self.shared.config.metadata_recovery == MetadataRecovery::Rebootstrap
    }

    /// Forgets the cluster: who is asked next is one of the bootstrap servers, on a new connection.
    async fn rebootstrap(&self, reason: &str) {
        tracing::info!(
            "beginning anew with bootstrap.servers={}: {reason}",
            self.shared.config.bootstrap_servers
        );
        *lock(&self.shared.brokers) = Brokers::default();
        lock(&self.shared.topics).clear();
        *self.shared.bootstrap.lock().await = Place::default();
        *lock(&self.shared.without_metadata) = None;
    }

    /// Asks for metadata, of all topics where `topics` is `None`, and remembers it. Where that fails for
    /// `metadata.recovery.rebootstrap.trigger.ms`, or the broker says so, the next try begins with the bootstrap servers.
    pub(crate) async fn metadata(
        &self,
        topics: Option<&[String]>,
        auto_create: bool,
    ) -> Result<MetadataResponse, ClientError> {
        let error = match self.ask_metadata(topics, auto_create).await {
            Ok(response) => {
                *lock(&self.shared.without_metadata) = None;
                return Ok(response);
            }
            Err(error) => error,
        };
        if !self.may_rebootstrap() {
            return Err(error);
        }
        if error.code() == Some(ErrorCode::RebootstrapRequired) {
            self.rebootstrap("a broker asks for it").await;
            return self.ask_metadata(topics, auto_create).await;
        }
        let since = *lock(&self.shared.without_metadata).get_or_insert_with(Instant::now);
        if since.elapsed() >= self.shared.config.rebootstrap_trigger {
            self.rebootstrap(&format!("no metadata could be had for {} ms", since.elapsed().as_millis()))
                .await;
        }
        Err(error)
    }

    async fn ask_metadata(
        &self,
        topics: Option<&[String]>,
        auto_create: bool,
    ) -> Result<MetadataResponse, ClientError> {
        let connection = self.any().await?;
        let request = MetadataRequest {
            topics: topics.map(|names| {
                let topic =
                    |name: &String| MetadataRequestTopic { name: Some(name.clone()), ..Default::default() };
                names.iter().map(topic).collect()
            }),
            allow_auto_topic_creation: auto_create,
            ..MetadataRequest::default()
        };
        let response: MetadataResponse = connection.call(&request).await?;
        ClientError::check(response.error_code, None)?;
        self.remember_brokers(&response);
        let mut known = lock(&self.shared.topics);
        for topic in &response.topics {
            let Some(name) = &topic.name else { continue };
            if topic.error_code == 0 {
                known.insert(name.clone(), (Arc::new(topic_info(name, topic)), Instant::now()));
            } else {
                known.remove(name);
            }
        }
        drop(known);
        Ok(response)
    }

    fn remember_brokers(&self, response: &MetadataResponse) {
        let mut brokers = lock(&self.shared.brokers);
        let mut before = std::mem::take(&mut brokers.nodes);
        for broker in &response.brokers {
            let node = Node {
                id: broker.node_id,
                host: broker.host.clone(),
                port: broker.port,
                rack: broker.rack.clone(),
            };
            // A broker that moved gets a new connection.
            let slot = before.remove(&node.id).filter(|(known, _)| known.address() == node.address());
            let slot = slot.map(|(_, slot)| slot).unwrap_or_default();
            brokers.nodes.insert(node.id, (node, slot));
        }
        brokers.controller = response.controller_id;
    }

    /// A topic as it is remembered.
    pub(crate) fn remembered(&self, name: &str) -> Option<Arc<TopicInfo>> {
        let max_age = self.shared.config.metadata_max_age;
        lock(&self.shared.topics)
            .get(name)
            .filter(|(_, since)| since.elapsed() < max_age)
            .map(|(topic, _)| Arc::clone(topic))
    }

    /// A topic, from memory while that is fresh. Waits up to `patience` for one that is being created or elected for.
    pub(crate) async fn topic(
        &self,
        name: &str,
        auto_create: bool,
        patience: Duration,
    ) -> Result<Arc<TopicInfo>, ClientError> {
        if let Some(topic) = self.remembered(name) {
            return Ok(topic);
        }
        let deadline = Instant::now() + patience;
        let mut retries = Retries::new(&self.shared.config);
        loop {
            let error = match self.metadata(Some(&[name.to_owned()]), auto_create).await {
                Ok(response) => {
                    match response.topics.iter().find(|topic| topic.name.as_deref() == Some(name)) {
                        Some(topic) => {
                            let led = topic.partitions.iter().any(|partition| partition.leader_id >= 0);
                            if let Some(topic) =
                                self.remembered(name).filter(|_| topic.error_code == 0 && led)
                            {
                                return Ok(topic);
                            }
                            let code = match ErrorCode::from_code(topic.error_code) {
                                ErrorCode::None => ErrorCode::LeaderNotAvailable,
                                code => code,
                            };
                            ClientError::api(code, Some(topic_error(name, code)))
                        }
                        None => ClientError::api(ErrorCode::UnknownTopicOrPartition, None),
                    }
                }
                Err(error) => error,
            };
            if !self.may_retry(&error) || Instant::now() >= deadline {
                return Err(error);
            }
            retries.wait().await;
        }
    }

    /// The names of topics by their ids; those that this broker does not know are left out.
    pub(crate) async fn names_of(&self, ids: &[Uuid]) -> Result<BTreeMap<Uuid, String>, ClientError> {
        let mut names: BTreeMap<Uuid, String> = lock(&self.shared.topics)
            .values()
            .filter(|(topic, _)| ids.contains(&topic.id))
            .map(|(topic, _)| (topic.id, topic.name.clone()))
            .collect();
        let unknown = ids.iter().filter(|id| !names.contains_key(id));
        let topic = |id: &Uuid| MetadataRequestTopic { topic_id: *id, name: None };
        let topics: Vec<_> = unknown.map(topic).collect();
        if topics.is_empty() {
            return Ok(names);
        }
        let request = MetadataRequest {
            topics: Some(topics),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let response: MetadataResponse = self.any().await?.call(&request).await?;
        for topic in response.topics.into_iter().filter(|topic| topic.error_code == 0) {
            names.extend(topic.name.map(|name| (topic.topic_id, name)));
        }
        Ok(names)
    }

    /// What is remembered of a topic is wrong.
    pub(crate) fn forget(&self, topic: &str) {
        lock(&self.shared.topics).remove(topic);
    }
}

impl Node {
    fn address(&self) -> String {
        address(&self.host, self.port)
    }
}

/// A host and a port, as they are connected to.
pub(crate) fn address(host: &str, port: i32) -> String {
    match host.contains(':') && !host.starts_with('[') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

fn topic_info(name: &str, topic: &MetadataResponseTopic) -> TopicInfo {
    let mut partitions: Vec<PartitionInfo> = topic
        .partitions
        .iter()
        .map(|partition| PartitionInfo {
            partition: partition.partition_index,
            leader: partition.leader_id,
            leader_epoch: partition.leader_epoch,
        })
        .collect();
    partitions.sort_by_key(|partition| partition.partition);
    TopicInfo { name: name.to_owned(), id: topic.topic_id, partitions }
}

/// What is wrong with a topic that metadata was asked for, in words.
fn topic_error(name: &str, code: ErrorCode) -> String {
    match code {
        ErrorCode::InvalidTopicException => match common::topic::validate_topic_name(name) {
            Err(error) => error.to_string(),
            Ok(()) => format!("Invalid topics: [{name}]"),
        },
        ErrorCode::UnknownTopicOrPartition => {
            format!("Topic {name} not present in metadata: there is no such topic")
        }
        ErrorCode::TopicAuthorizationFailed => format!("Not authorized to access topics: [{name}]"),
        ErrorCode::LeaderNotAvailable => format!("Topic {name} has no leader now"),
        code => format!("topic {name}: {code}"),
    }
}

/// `host:port` pairs, checked.
fn addresses(servers: &str) -> Result<Vec<String>, ClientError> {
    let mut addresses = Vec::new();
    for server in servers.split(',').map(str::trim).filter(|server| !server.is_empty()) {
        // A listener's name in front is what people copy from server.properties.
        let address = server.split_once("://").map_or(server, |(_, address)| address);
        let port = address
            .rsplit_once(':')
            .and_then(|(host, port)| port.parse::<u16>().ok().filter(|_| !host.is_empty()));
        if port.is_none() {
            return Err(ClientError::InvalidAddress(server.to_owned()));
        }
        addresses.push(address.to_owned());
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_broker::{FakeBroker, Fault};

    #[test]
    fn bootstrap_servers_have_a_host_and_a_port() {
        assert_eq!(addresses("a:1, b:2").unwrap(), ["a:1", "b:2"]);
        assert_eq!(addresses("PLAINTEXT://[::1]:9092").unwrap(), ["[::1]:9092"]);
        for bad in ["a", "a:", ":9092", "a:70000", "a:1,b"] {
            assert!(addresses(bad).is_err(), "{bad}");
        }
    }

    fn cluster(broker: &FakeBroker, metadata_recovery: MetadataRecovery) -> Cluster {
        Cluster::new(ClientConfig { metadata_recovery, ..ClientConfig::new(broker.address()) })
    }

    #[tokio::test]
    async fn a_broker_that_asks_for_it_is_met_anew() {
        let refuse = Fault::Refuse(ErrorCode::RebootstrapRequired);
        let broker = FakeBroker::start(1).await;
        let client = cluster(&broker, MetadataRecovery::Rebootstrap);
        assert_eq!(client.nodes().await.unwrap().len(), 2);
        broker.state().metadata_faults.push_back(refuse);
        assert_eq!(client.nodes().await.unwrap().len(), 2);
        assert_eq!(broker.state().connections, 2);

        let client = cluster(&broker, MetadataRecovery::None);
        broker.state().metadata_faults.push_back(refuse);
        assert_eq!(client.nodes().await.unwrap_err().code(), Some(ErrorCode::RebootstrapRequired));
    }

    #[tokio::test]
    async fn what_is_known_is_forgotten_when_no_metadata_comes_for_long() {
        use MetadataRecovery::{None, Rebootstrap};
        let hour = Duration::from_secs(3600);
        for (strategy, rebootstrap_trigger, forgets) in
            [(Rebootstrap, Duration::ZERO, true), (Rebootstrap, hour, false), (None, Duration::ZERO, false)]
        {
            let broker = FakeBroker::start(1).await;
            let config = cluster(&broker, strategy).config().clone();
            let client = Cluster::new(ClientConfig { rebootstrap_trigger, ..config });
            client.nodes().await.unwrap();
            broker.state().metadata_faults.push_back(Fault::Lose);
            assert!(client.nodes().await.is_err());
            assert_eq!(lock(&client.shared.brokers).nodes.is_empty(), forgets);
            assert_eq!(client.nodes().await.unwrap().len(), 2);
        }
    }

    #[tokio::test]
    async fn without_recovery_only_known_brokers_are_tried() {
        let (first, second) = (FakeBroker::start(1).await, FakeBroker::start(1).await);
        for (strategy, address) in
            [(MetadataRecovery::None, second.address()), (MetadataRecovery::Rebootstrap, first.address())]
        {
            let client = cluster(&first, strategy);
            // The first says that the brokers are where the second is, and loses its connection.
            first.state().advertised_port = Some(second.state().port());
            first.state().metadata_faults.extend([Fault::Answer, Fault::Lose]);
            client.nodes().await.unwrap();
            assert!(client.nodes().await.is_err());
            assert_eq!(client.any().await.unwrap().address(), address);
        }
    }

    #[tokio::test]
    async fn a_connection_that_is_idle_is_closed_and_one_that_is_waited_on_is_not() {
        let broker = FakeBroker::start(1).await;
        let idle = Duration::from_millis(40);
        let config = ClientConfig { connections_max_idle: idle, ..ClientConfig::new(broker.address()) };
        let client = Cluster::new(config);
        let connection = client.any().await.unwrap();
        broker.state().metadata_faults.push_back(Fault::Hang);
        assert!(tokio::time::timeout(10 * idle, client.nodes()).await.is_err());
        assert!(!connection.is_lost(), "an answer is still to come");

        let client = Cluster::new(client.config().clone());
        client.nodes().await.unwrap();
        let connection = client.any().await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !connection.is_lost() {
            assert!(Instant::now() < deadline);
            tokio::time::sleep(idle).await;
        }
        // Nobody notices: the next one is made when it is needed.
        let before = broker.state().connections;
        assert_eq!(client.nodes().await.unwrap().len(), 2);
        assert_eq!(broker.state().connections, before + 1);
    }

    #[test]
    fn a_node_with_an_ipv6_address_can_be_connected_to() {
        let node = |host: &str| Node { id: 1, host: host.to_owned(), port: 9092, rack: None }.address();
        assert_eq!(node("::1"), "[::1]:9092");
        assert_eq!(node("localhost"), "localhost:9092");
    }
}
