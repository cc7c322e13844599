//! The quorum of controllers: who votes, who leads, how far everybody is (KIP-836), and changes of the voters (KIP-853).

use std::sync::Arc;

use common::topic::CLUSTER_METADATA_TOPIC;
use common::{ErrorCode, Uuid};
use protocol::messages::describe_cluster_response::DescribeClusterBroker;
use protocol::messages::{
    AddRaftVoterRequest, AddRaftVoterResponse, DescribeClusterRequest, DescribeClusterResponse,
    DescribeQuorumRequest, DescribeQuorumResponse, RemoveRaftVoterRequest, RemoveRaftVoterResponse,
    add_raft_voter_request, describe_quorum_request, describe_quorum_response,
};

use super::Admin;
use crate::connection::Connection;
use crate::{ClientError, Node};

/// Controllers, among the endpoints that `DescribeCluster` knows.
const CONTROLLERS: i8 = 2;

/// Where a voter listens (`RaftVoterEndpoint`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaftVoterEndpoint {
    /// The listener's name.
    pub listener: String,
    /// The host name or address.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// A replica of the metadata log (`QuorumInfo.ReplicaState`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumReplica {
    /// Its node id.
    pub id: i32,
    /// The directory of its log; zero where it is not known.
    pub directory_id: Uuid,
    /// The end of its log.
    pub log_end_offset: i64,
    /// When it fetched last, in milliseconds since 1970.
    pub last_fetch_timestamp_ms: Option<i64>,
    /// When it had last all that the leader had, in milliseconds since 1970.
    pub last_caught_up_timestamp_ms: Option<i64>,
    /// Where it listens, if it votes.
    pub endpoints: Vec<RaftVoterEndpoint>,
}

/// The quorum as its leader sees it (`QuorumInfo`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumInfo {
    /// The cluster's id.
    pub cluster_id: String,
    /// The leader's node id.
    pub leader_id: i32,
    /// Its epoch.
    pub leader_epoch: i32,
    /// What is committed, exclusive.
    pub high_watermark: i64,
    /// Who votes.
    pub voters: Vec<QuorumReplica>,
    /// Who only follows.
    pub observers: Vec<QuorumReplica>,
}

impl Admin {
    /// An admin client whose bootstrap servers are controllers (`bootstrap.controllers`). What needs
    /// a broker, such as records and groups, cannot be asked through it.
    pub fn for_controllers(config: crate::ClientConfig) -> Admin {
        Admin { controllers: true, ..Admin::new(config) }
    }

    /// Refuses what only brokers can be asked.
    pub(super) fn asks_brokers(&self) -> Result<(), ClientError> {
        let reason =
            "This Admin API is not yet supported when communicating directly with the controller quorum.";
        match self.controllers {
            true => Err(ClientError::api(ErrorCode::UnsupportedEndpointType, Some(reason.to_owned()))),
            false => Ok(()),
        }
    }

    /// What `DescribeCluster` is to list.
    pub(super) fn endpoint_type(&self) -> i8 {
        if self.controllers { CONTROLLERS } else { 1 }
    }

    /// Who takes requests for the controller.
    pub(super) async fn controller_connection(&self) -> Result<Arc<Connection>, ClientError> {
        match self.controllers {
            true => Ok(self.quorum_connection().await?.0),
            false => self.cluster.controller().await,
        }
    }

    /// Any node: of controllers the active one, which knows what it has decided.
    pub(super) async fn any_connection(&self) -> Result<Arc<Connection>, ClientError> {
        match self.controllers {
            true => Ok(self.quorum_connection().await?.0),
            false => self.cluster.any().await,
        }
    }

    /// The node with this id.
    pub(super) async fn node_connection(&self, id: i32) -> Result<Arc<Connection>, ClientError> {
        if !self.controllers {
            self.cluster.nodes().await?;
            return self.cluster.node(id).await;
        }
        let described = self.describe_cluster_in_detail(false).await?;
        let Some((node, _)) = described.brokers.iter().find(|(node, _)| node.id == id) else {
            let text = format!("no controller has the id {id}");
            return Err(ClientError::api(ErrorCode::BrokerNotAvailable, Some(text)));
        };
        let address = format!("{}:{}", node.host, node.port);
        Ok(Arc::new(Connection::open(&address, self.cluster.config()).await?))
    }

    /// A broker, or the active controller where the bootstrap servers are controllers; and the cluster's id.
    pub(super) async fn quorum_connection(&self) -> Result<(Arc<Connection>, String), ClientError> {
        let connection = self.cluster.any().await?;
        let endpoint_type = self.endpoint_type();
        let request = DescribeClusterRequest { endpoint_type, ..DescribeClusterRequest::default() };
        let response: DescribeClusterResponse = connection.call(&request).await?;
        ClientError::check(response.error_code, response.error_message.as_deref())?;
        if !self.controllers {
            return Ok((connection, response.cluster_id));
        }
        let active = response.brokers.iter().find(|node| node.broker_id == response.controller_id);
        let Some(active) = active else {
            let text = "the controllers have no leader that is known".to_owned();
            return Err(ClientError::api(ErrorCode::LeaderNotAvailable, Some(text)));
        };
        let address = format!("{}:{}", active.host, active.port);
        let connection = Connection::open(&address, self.cluster.config()).await?;
        Ok((Arc::new(connection), response.cluster_id))
    }

    /// The controllers as one of them knows them.
    pub(super) async fn controller_nodes(&self) -> Result<Vec<Node>, ClientError> {
        let request =
            DescribeClusterRequest { endpoint_type: CONTROLLERS, ..DescribeClusterRequest::default() };
        let response: DescribeClusterResponse = self.cluster.any().await?.call(&request).await?;
        ClientError::check(response.error_code, response.error_message.as_deref())?;
        let node = |node: DescribeClusterBroker| Node {
            id: node.broker_id,
            host: node.host,
            port: node.port,
            rack: node.rack,
        };
        Ok(response.brokers.into_iter().map(node).collect())
    }

    /// The quorum as its leader sees it.
    ///
    /// # Errors
    /// If nobody answers, or the quorum has no leader.
    pub async fn describe_metadata_quorum(&self) -> Result<QuorumInfo, ClientError> {
        let (connection, cluster_id) = self.quorum_connection().await?;
        let partition = describe_quorum_request::PartitionData { partition_index: 0 };
        let topic = describe_quorum_request::TopicData {
            topic_name: CLUSTER_METADATA_TOPIC.to_owned(),
            partitions: vec![partition],
        };
        let request = DescribeQuorumRequest { topics: vec![topic] };
        let mut response: DescribeQuorumResponse = connection.call(&request).await?;
        ClientError::check(response.error_code, response.error_message.as_deref())?;
        let partition = response.topics.pop().and_then(|mut topic| topic.partitions.pop());
        let Some(partition) = partition else {
            return Err(ClientError::api(ErrorCode::UnknownTopicOrPartition, None));
        };
        ClientError::check(partition.error_code, partition.error_message.as_deref())?;
        let replica = |state: describe_quorum_response::ReplicaState| {
            let node = response.nodes.iter().find(|node| node.node_id == state.replica_id);
            let endpoint = |listener: &describe_quorum_response::Listener| RaftVoterEndpoint {
                listener: listener.name.clone(),
                host: listener.host.clone(),
                port: listener.port,
            };
            let time = |ms: i64| (ms >= 0).then_some(ms);
            QuorumReplica {
                id: state.replica_id,
                directory_id: state.replica_directory_id,
                log_end_offset: state.log_end_offset,
                last_fetch_timestamp_ms: time(state.last_fetch_timestamp),
                last_caught_up_timestamp_ms: time(state.last_caught_up_timestamp),
                endpoints: node.map(|node| node.listeners.iter().map(endpoint).collect()).unwrap_or_default(),
            }
        };
        Ok(QuorumInfo {
            cluster_id,
            leader_id: partition.leader_id,
            leader_epoch: partition.leader_epoch,
            high_watermark: partition.high_watermark,
            voters: partition.current_voters.into_iter().map(replica).collect(),
            observers: partition.observers.into_iter().map(replica).collect(),
        })
    }

    /// Makes an observer of the quorum a voter.
    ///
    /// # Errors
    /// If nobody answers, or the leader refuses.
    pub async fn add_raft_voter(
        &self,
        voter_id: i32,
        voter_directory_id: Uuid,
        endpoints: &[RaftVoterEndpoint],
    ) -> Result<(), ClientError> {
        let listener = |endpoint: &RaftVoterEndpoint| {
            let mut listener = add_raft_voter_request::Listener::default();
            listener.name.clone_from(&endpoint.listener);
            listener.host.clone_from(&endpoint.host);
            listener.port = endpoint.port;
            listener
        };
        let (connection, _) = self.quorum_connection().await?;
        let request = AddRaftVoterRequest {
            cluster_id: None,
            timeout_ms: self.timeout_ms(),
            voter_id,
            voter_directory_id,
            listeners: endpoints.iter().map(listener).collect(),
            ..AddRaftVoterRequest::default()
        };
        let response: AddRaftVoterResponse = connection.call(&request).await?;
        ClientError::check(response.error_code, response.error_message.as_deref())
    }

    /// Makes a voter of the quorum one no more.
    ///
    /// # Errors
    /// If nobody answers, or the leader refuses.
    pub async fn remove_raft_voter(
        &self,
        voter_id: i32,
        voter_directory_id: Uuid,
    ) -> Result<(), ClientError> {
        let (connection, _) = self.quorum_connection().await?;
        let request = RemoveRaftVoterRequest { cluster_id: None, voter_id, voter_directory_id };
        let response: RemoveRaftVoterResponse = connection.call(&request).await?;
        ClientError::check(response.error_code, response.error_message.as_deref())
    }
}
