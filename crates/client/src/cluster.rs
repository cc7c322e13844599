//! The brokers of a cluster as a client sees them: one connection to each, and who leads what.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{ErrorCode, Uuid};
use protocol::messages::metadata_request::MetadataRequestTopic;
use protocol::messages::{MetadataRequest, MetadataResponse};
use tokio::sync::Mutex;

use crate::connection::Connection;
use crate::{ClientConfig, ClientError};

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

/// A client's view of a cluster. Cheap to clone; clones share connections.
#[derive(Clone)]
pub(crate) struct Cluster {
    shared: Arc<Shared>,
}

struct Shared {
    config: ClientConfig,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    nodes: HashMap<i32, Node>,
    connections: HashMap<i32, Arc<Connection>>,
    /// To whoever answered among the bootstrap servers.
    bootstrap: Option<Arc<Connection>>,
    topics: HashMap<String, (Arc<TopicInfo>, Instant)>,
    controller: i32,
}

impl Cluster {
    pub(crate) fn new(config: ClientConfig) -> Cluster {
        Cluster { shared: Arc::new(Shared { config, state: Mutex::default() }) }
    }

    pub(crate) fn config(&self) -> &ClientConfig {
        &self.shared.config
    }

    /// A connection to any broker.
    pub(crate) async fn any(&self) -> Result<Arc<Connection>, ClientError> {
        let mut state = self.shared.state.lock().await;
        if let Some(connection) = state.connections.values().find(|connection| !connection.is_lost()) {
            return Ok(Arc::clone(connection));
        }
        if let Some(connection) = state.bootstrap.as_ref().filter(|connection| !connection.is_lost()) {
            return Ok(Arc::clone(connection));
        }
        let known: Vec<String> =
            state.nodes.values().map(|node| format!("{}:{}", node.host, node.port)).collect();
        let mut last_error = None;
        for address in addresses(&self.shared.config.bootstrap_servers)?.into_iter().chain(known) {
            match Connection::open(&address, &self.shared.config).await {
                Ok(connection) => {
                    let connection = Arc::new(connection);
                    state.bootstrap = Some(Arc::clone(&connection));
                    return Ok(connection);
                }
                Err(error) => last_error = Some(error),
            }
        }
        Err(ClientError::Bootstrap {
            servers: self.shared.config.bootstrap_servers.clone(),
            reason: last_error.map_or_else(|| "none is named".to_owned(), |error| error.to_string()),
        })
    }

    /// A connection to a certain broker.
    pub(crate) async fn node(&self, id: i32) -> Result<Arc<Connection>, ClientError> {
        let mut state = self.shared.state.lock().await;
        if let Some(connection) = state.connections.get(&id).filter(|connection| !connection.is_lost()) {
            return Ok(Arc::clone(connection));
        }
        let Some(node) = state.nodes.get(&id) else {
            return Err(ClientError::api(
                ErrorCode::BrokerNotAvailable,
                Some(format!("there is no broker {id}")),
            ));
        };
        let address = format!("{}:{}", node.host, node.port);
        let connection = Arc::new(Connection::open(&address, &self.shared.config).await?);
        state.connections.insert(id, Arc::clone(&connection));
        Ok(connection)
    }

    /// A connection to the broker that takes requests for the controller.
    pub(crate) async fn controller(&self) -> Result<Arc<Connection>, ClientError> {
        if self.shared.state.lock().await.nodes.is_empty() {
            self.metadata(Some(&[]), false).await?;
        }
        let id = self.shared.state.lock().await.controller;
        match id {
            -1 => self.any().await,
            id => self.node(id).await,
        }
    }

    /// The brokers there are.
    pub(crate) async fn nodes(&self) -> Result<Vec<Node>, ClientError> {
        self.metadata(Some(&[]), false).await?;
        let mut nodes: Vec<Node> = self.shared.state.lock().await.nodes.values().cloned().collect();
        nodes.sort_by_key(|node| node.id);
        Ok(nodes)
    }

    /// Asks for metadata, of all topics where `topics` is `None`, and remembers it.
    pub(crate) async fn metadata(
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
        let mut state = self.shared.state.lock().await;
        state.nodes = response
            .brokers
            .iter()
            .map(|broker| {
                let node = Node {
                    id: broker.node_id,
                    host: broker.host.clone(),
                    port: broker.port,
                    rack: broker.rack.clone(),
                };
                (broker.node_id, node)
            })
            .collect();
        let State { nodes, connections, .. } = &mut *state;
        connections.retain(|id, connection| nodes.contains_key(id) && !connection.is_lost());
        state.controller = response.controller_id;
        for topic in &response.topics {
            let Some(name) = &topic.name else { continue };
            if topic.error_code == 0 {
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
                let info = TopicInfo { name: name.clone(), id: topic.topic_id, partitions };
                state.topics.insert(name.clone(), (Arc::new(info), Instant::now()));
            } else {
                state.topics.remove(name);
            }
        }
        Ok(response)
    }

    /// A topic, from memory while that is fresh. Waits up to `patience` for one that is being created or elected for.
    pub(crate) async fn topic(
        &self,
        name: &str,
        auto_create: bool,
        patience: Duration,
    ) -> Result<Arc<TopicInfo>, ClientError> {
        let max_age = self.shared.config.metadata_max_age;
        if let Some((topic, since)) = self.shared.state.lock().await.topics.get(name) {
            if since.elapsed() < max_age {
                return Ok(Arc::clone(topic));
            }
        }
        let deadline = Instant::now() + patience;
        loop {
            let result = self.metadata(Some(&[name.to_owned()]), auto_create).await;
            let error = match result {
                Ok(response) => {
                    match response.topics.iter().find(|topic| topic.name.as_deref() == Some(name)) {
                        Some(topic) => {
                            let led = topic.partitions.iter().all(|partition| partition.leader_id >= 0);
                            if topic.error_code == 0 && (led || Instant::now() >= deadline) {
                                if let Some((topic, _)) = self.shared.state.lock().await.topics.get(name) {
                                    return Ok(Arc::clone(topic));
                                }
                            }
                            let code = ErrorCode::from_code(topic.error_code);
                            ClientError::api(
                                if code.is_none() { ErrorCode::LeaderNotAvailable } else { code },
                                Some(format!(
                                    "topic {name}: {}",
                                    if code.is_none() { ErrorCode::LeaderNotAvailable } else { code }
                                )),
                            )
                        }
                        None => ClientError::api(ErrorCode::UnknownTopicOrPartition, None),
                    }
                }
                Err(error) => error,
            };
            if !error.is_retriable() || Instant::now() >= deadline {
                return Err(error);
            }
            tokio::time::sleep(self.shared.config.retry_backoff).await;
        }
    }

    /// What is remembered of a topic is wrong.
    pub(crate) async fn forget(&self, topic: &str) {
        self.shared.state.lock().await.topics.remove(topic);
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
    use super::addresses;

    #[test]
    fn bootstrap_servers_have_a_host_and_a_port() {
        assert_eq!(addresses("a:1, b:2").unwrap(), ["a:1", "b:2"]);
        assert_eq!(addresses("PLAINTEXT://[::1]:9092").unwrap(), ["[::1]:9092"]);
        for bad in ["a", "a:", ":9092", "a:70000", "a:1,b"] {
            assert!(addresses(bad).is_err(), "{bad}");
        }
    }
}
