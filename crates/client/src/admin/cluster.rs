//! The cluster itself: its brokers and what they speak, features, log directories, elections, moves of replicas.

use std::collections::BTreeMap;

use common::{ErrorCode, TopicPartition};
use protocol::ApiKey;
use protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use protocol::messages::describe_cluster_response::DescribeClusterBroker;
use protocol::messages::elect_leaders_request::TopicPartitions;
use protocol::messages::update_features_request::FeatureUpdateKey;
use protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse, ApiVersionsRequest, ApiVersionsResponse, DescribeClusterRequest,
    DescribeClusterResponse, DescribeLogDirsRequest, DescribeLogDirsResponse, ElectLeadersRequest,
    ElectLeadersResponse, UnregisterBrokerRequest, UnregisterBrokerResponse, UpdateFeaturesRequest,
    UpdateFeaturesResponse,
};

use super::Admin;
use super::coordinators::left_out;
use crate::{ClientError, Node};

pub use protocol::messages::api_versions_response::ApiVersion;
pub use protocol::messages::describe_log_dirs_response::DescribeLogDirsResult as LogDirDescription;

/// The cluster as a broker sees it (`DescribeClusterResult`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDescription {
    /// The cluster's id.
    pub cluster_id: String,
    /// The broker that takes requests for the controller; none where there is none.
    pub controller_id: Option<i32>,
    /// Its brokers, by id, and whether each is fenced.
    pub brokers: Vec<(Node, bool)>,
}

/// What a cluster can do (`FeatureMetadata`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeatureMetadata {
    /// The levels in use, by name.
    pub finalized: BTreeMap<String, i16>,
    /// The epoch of the levels in use; none where no controller is known.
    pub epoch: Option<i64>,
    /// The lowest and highest levels that the broker supports.
    pub supported: BTreeMap<String, (i16, i16)>,
}

/// How a feature's level may change (`FeatureUpdate.UpgradeType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpgradeType {
    /// Up.
    Upgrade,
    /// Down, where nothing is lost by it.
    SafeDowngrade,
    /// Down, whatever is lost.
    UnsafeDowngrade,
}

/// Whom an election makes the leader (`ElectionType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElectionType {
    /// The first replica of the assignment.
    Preferred,
    /// Any replica that is alive, also one that is not in sync: records may be lost.
    Unclean,
}

impl Admin {
    /// The cluster's id, controller and brokers; with the fenced ones where the broker knows how (Kafka 4.0).
    ///
    /// # Errors
    /// If no broker answers, or none that knows the question (Kafka 2.8).
    pub async fn describe_cluster_in_detail(&self, fenced: bool) -> Result<ClusterDescription, ClientError> {
        let connection = self.cluster.any().await?;
        if fenced && connection.version(ApiKey::DescribeCluster, i16::MAX)? < 2 {
            return Err(ClientError::api(
                ErrorCode::UnsupportedVersion,
                Some("The broker does not list fenced brokers".to_owned()),
            ));
        }
        let request = DescribeClusterRequest {
            include_fenced_brokers: fenced,
            endpoint_type: self.endpoint_type(),
            ..Default::default()
        };
        let response: DescribeClusterResponse = connection.call(&request).await?;
        ClientError::check(response.error_code, response.error_message.as_deref())?;
        let broker = |broker: DescribeClusterBroker| {
            let node = Node { id: broker.broker_id, host: broker.host, port: broker.port, rack: broker.rack };
            (node, broker.is_fenced)
        };
        let mut brokers: Vec<(Node, bool)> = response.brokers.into_iter().map(broker).collect();
        brokers.sort_by_key(|(node, _)| node.id);
        Ok(ClusterDescription {
            cluster_id: response.cluster_id,
            controller_id: Some(response.controller_id).filter(|id| *id >= 0),
            brokers,
        })
    }

    /// Which versions of which APIs each broker speaks, or each controller where the bootstrap servers are controllers.
    ///
    /// # Errors
    /// If no broker answers. What is wrong with one of them stands in its place.
    pub async fn api_versions(
        &self,
    ) -> Result<Vec<(Node, Result<Vec<ApiVersion>, ClientError>)>, ClientError> {
        let nodes = match self.controllers {
            true => {
                let described = self.describe_cluster_in_detail(false).await?;
                described.brokers.into_iter().map(|(node, _)| node).collect()
            }
            false => self.cluster.nodes().await?,
        };
        let mut all = Vec::new();
        for node in nodes {
            let versions = self.ask_versions(Some(node.id)).await.map(|response| response.api_keys);
            all.push((node, versions));
        }
        Ok(all)
    }

    async fn ask_versions(&self, node: Option<i32>) -> Result<ApiVersionsResponse, ClientError> {
        let request = ApiVersionsRequest {
            client_software_name: "milena".to_owned(),
            client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..ApiVersionsRequest::default()
        };
        let connection = match node {
            Some(id) => self.node_connection(id).await?,
            None => self.any_connection().await?,
        };
        let response: ApiVersionsResponse = connection.call(&request).await?;
        ClientError::check(response.error_code, None)?;
        Ok(response)
    }

    /// The levels of features, those in use and those that a broker supports.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub async fn describe_features(&self, node: Option<i32>) -> Result<FeatureMetadata, ClientError> {
        let first = match self.controllers {
            true => None,
            false => self.cluster.nodes().await?.first().map(|node| node.id),
        };
        let response = self.ask_versions(node.or(first)).await?;
        let finalized = response.finalized_features.into_iter();
        let supported = response.supported_features.into_iter();
        Ok(FeatureMetadata {
            finalized: finalized.map(|feature| (feature.name, feature.max_version_level)).collect(),
            epoch: Some(response.finalized_features_epoch).filter(|epoch| *epoch >= 0),
            supported: supported
                .map(|feature| (feature.name, (feature.min_version, feature.max_version)))
                .collect(),
        })
    }

    /// Sets levels of features; 0 takes a feature away. What became of each.
    ///
    /// # Errors
    /// If no broker answers, or the controller refuses all of them.
    pub async fn update_features(
        &self,
        updates: &BTreeMap<String, (i16, UpgradeType)>,
        validate_only: bool,
    ) -> Result<BTreeMap<String, Result<(), ClientError>>, ClientError> {
        let request = UpdateFeaturesRequest {
            timeout_ms: self.timeout_ms(),
            feature_updates: updates
                .iter()
                .map(|(feature, (level, upgrade_type))| FeatureUpdateKey {
                    feature: feature.clone(),
                    max_version_level: *level,
                    upgrade_type: match upgrade_type {
                        UpgradeType::Upgrade => 1,
                        UpgradeType::SafeDowngrade => 2,
                        UpgradeType::UnsafeDowngrade => 3,
                    },
                    ..FeatureUpdateKey::default()
                })
                .collect(),
            validate_only,
        };
        let response: UpdateFeaturesResponse = self.ask_controller(&request).await?;
        let top = ClientError::check(response.error_code, response.error_message.as_deref());
        let result = |feature: &String| match &top {
            // From version 2 on there is one answer for all.
            Err(error) => Err(error.clone()),
            Ok(()) => match response.results.iter().find(|result| result.feature == *feature) {
                Some(result) => ClientError::check(result.error_code, result.error_message.as_deref()),
                None => Ok(()),
            },
        };
        Ok(updates.keys().map(|feature| (feature.clone(), result(feature))).collect())
    }

    /// Takes a broker that is gone for good out of the cluster.
    ///
    /// # Errors
    /// If no broker answers, or the controller refuses.
    pub async fn unregister_broker(&self, broker_id: i32) -> Result<(), ClientError> {
        let request = UnregisterBrokerRequest { broker_id };
        let response: UnregisterBrokerResponse = self.ask_controller(&request).await?;
        ClientError::check(response.error_code, response.error_message.as_deref())
    }

    /// The log directories of brokers and the replicas in them.
    ///
    /// # Errors
    /// If the brokers cannot be had. What is wrong with one of them stands in its place.
    pub async fn describe_log_dirs(
        &self,
        brokers: &[i32],
    ) -> Result<BTreeMap<i32, Result<Vec<LogDirDescription>, ClientError>>, ClientError> {
        self.cluster.nodes().await?;
        let request = DescribeLogDirsRequest { topics: None };
        let mut all = BTreeMap::new();
        for id in brokers {
            let answer = async {
                let response: DescribeLogDirsResponse = self.cluster.node(*id).await?.call(&request).await?;
                ClientError::check(response.error_code, None)?;
                Ok(response.results)
            };
            all.insert(*id, answer.await);
        }
        Ok(all)
    }

    /// Moves replicas between the log directories of their brokers. What became of each.
    ///
    /// # Errors
    /// If the brokers cannot be had. What is wrong with a replica stands in its place.
    pub async fn alter_replica_log_dirs(
        &self,
        moves: &BTreeMap<(TopicPartition, i32), String>,
    ) -> Result<BTreeMap<(TopicPartition, i32), Result<(), ClientError>>, ClientError> {
        self.cluster.nodes().await?;
        let mut by_broker: BTreeMap<i32, Vec<AlterReplicaLogDir>> = BTreeMap::new();
        for ((at, broker), path) in moves {
            let dirs = by_broker.entry(*broker).or_default();
            let topic =
                AlterReplicaLogDirTopic { name: at.topic.to_string(), partitions: vec![at.partition] };
            match dirs.iter_mut().find(|dir| dir.path == *path) {
                Some(dir) => dir.topics.push(topic),
                None => dirs.push(AlterReplicaLogDir { path: path.clone(), topics: vec![topic] }),
            }
        }
        let mut results = BTreeMap::new();
        for (broker, dirs) in by_broker {
            let request = AlterReplicaLogDirsRequest { dirs };
            let answer = async {
                let answer: AlterReplicaLogDirsResponse =
                    self.cluster.node(broker).await?.call(&request).await?;
                Ok::<_, ClientError>(answer)
            };
            let answer = answer.await;
            for replica in moves.keys().filter(|(_, on)| *on == broker) {
                let result = match &answer {
                    Err(error) => Err(error.clone()),
                    Ok(answer) => answer
                        .results
                        .iter()
                        .filter(|topic| *topic.topic_name == *replica.0.topic)
                        .flat_map(|topic| &topic.partitions)
                        .find(|partition| partition.partition_index == replica.0.partition)
                        .map_or_else(
                            || Err(left_out()),
                            |partition| ClientError::check(partition.error_code, None),
                        ),
                };
                results.insert(replica.clone(), result);
            }
        }
        Ok(results)
    }

    /// Elects leaders of partitions, of all where none are named. What became of each; where all were meant, only those that
    /// needed it are there.
    ///
    /// # Errors
    /// If no broker answers, or the controller refuses.
    pub async fn elect_leaders(
        &self,
        election_type: ElectionType,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<TopicPartition, Result<(), ClientError>>, ClientError> {
        let topics = partitions.map(|partitions| {
            let mut topics: Vec<TopicPartitions> = Vec::new();
            for at in partitions {
                match topics.iter_mut().find(|topic| *topic.topic == *at.topic) {
                    Some(topic) => topic.partitions.push(at.partition),
                    None => topics.push(TopicPartitions {
                        topic: at.topic.to_string(),
                        partitions: vec![at.partition],
                    }),
                }
            }
            topics
        });
        let request = ElectLeadersRequest {
            election_type: match election_type {
                ElectionType::Preferred => 0,
                ElectionType::Unclean => 1,
            },
            topic_partitions: topics,
            timeout_ms: self.timeout_ms(),
        };
        let response: ElectLeadersResponse = self.ask_controller(&request).await?;
        ClientError::check(response.error_code, None)?;
        let mut results = BTreeMap::new();
        for topic in response.replica_election_results {
            for partition in topic.partition_result {
                let at = TopicPartition::new(topic.topic.as_str(), partition.partition_id);
                let checked = ClientError::check(partition.error_code, partition.error_message.as_deref());
                results.insert(at, checked);
            }
        }
        Ok(results)
    }

    /// Moves partitions to other replicas; `None` ends the move that is under way. What became of each. A move that changes how many
    /// replicas a partition has can be refused (KIP-860; from Kafka 4.1).
    ///
    /// # Errors
    /// If no broker answers, or the controller refuses.
    pub async fn alter_partition_reassignments(
        &self,
        reassignments: &BTreeMap<TopicPartition, Option<Vec<i32>>>,
        allow_replication_factor_change: bool,
    ) -> Result<BTreeMap<TopicPartition, Result<(), ClientError>>, ClientError> {
        let mut topics: Vec<ReassignableTopic> = Vec::new();
        for (at, replicas) in reassignments {
            let partition =
                ReassignablePartition { partition_index: at.partition, replicas: replicas.clone() };
            match topics.iter_mut().find(|topic| *topic.name == *at.topic) {
                Some(topic) => topic.partitions.push(partition),
                None => {
                    topics.push(ReassignableTopic { name: at.topic.to_string(), partitions: vec![partition] })
                }
            }
        }
        let request = AlterPartitionReassignmentsRequest {
            timeout_ms: self.timeout_ms(),
            topics,
            allow_replication_factor_change,
        };
        let response: AlterPartitionReassignmentsResponse = self.ask_controller(&request).await?;
        ClientError::check(response.error_code, response.error_message.as_deref())?;
        let mut results = BTreeMap::new();
        for topic in response.responses {
            for partition in topic.partitions {
                let at = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                let checked = ClientError::check(partition.error_code, partition.error_message.as_deref());
                results.insert(at, checked);
            }
        }
        Ok(results)
    }
}
