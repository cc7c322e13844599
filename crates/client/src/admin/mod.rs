//! The admin client: topics, configurations, groups, offsets and the cluster.

mod client_quotas;
mod cluster;
mod configs;
mod coordinators;
mod group_offsets;
mod group_types;
mod groups;
mod partition_offsets;
mod producers;
mod quorum;
mod replicas;
mod scram;
mod streams_groups;

use std::collections::{BTreeMap, HashMap};

use common::{ErrorCode, TopicPartition, Uuid};
use protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use protocol::messages::delete_topics_request::DeleteTopicState;
use protocol::messages::metadata_request::MetadataRequestTopic;
use protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
    MetadataRequest, MetadataResponse,
};
use protocol::{ApiKey, Message, Request};

use crate::backoff::Retries;
use crate::cluster::Cluster;
use crate::{ClientConfig, ClientError, Node};

pub use client_quotas::{ClientQuotaEntity, QuotaFilter};
pub use cluster::{
    ApiVersion, ClusterDescription, ElectionType, FeatureMetadata, LogDirDescription, UpgradeType,
};
pub use configs::{ConfigResource, ConfigResourceType, ConfigSource};
pub use coordinators::CoordinatorType;
pub use group_offsets::OffsetAndMetadata;
pub use group_types::{GroupState, GroupType};
pub use groups::{
    ClassicGroupDescription, ConsumerGroupDescription, GroupFilter, GroupListing, MemberDescription,
    MemberToRemove,
};
pub use partition_offsets::OffsetSpec;
pub use producers::ProducerState;
pub use protocol::messages::describe_configs_response::DescribeConfigsResourceResult as ConfigEntry;
pub use protocol::messages::describe_topic_partitions_response::DescribeTopicPartitionsResponseTopic as TopicDescription;
pub use quorum::{QuorumInfo, QuorumReplica, RaftVoterEndpoint};
pub use replicas::{ReplicaBatch, ReplicaBatches};
pub use scram::{ScramCredentialAlteration, ScramMechanism};
pub use streams_groups::{
    StreamsGroupDescription, StreamsGroupMemberAssignment, StreamsGroupMemberDescription,
    StreamsGroupSubtopologyDescription, StreamsGroupTaskIds,
};

/// A topic to create (`NewTopic`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; the broker's default otherwise.
    pub partitions: Option<i32>,
    /// How many replicas of each; the broker's default otherwise.
    pub replication_factor: Option<i16>,
    /// The brokers of each partition, in the place of a number.
    pub assignments: Vec<Vec<i32>>,
    /// What is set for it.
    pub configs: BTreeMap<String, String>,
}

/// A change of one key of a configuration (`AlterConfigOp`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlterConfigOp {
    /// Set it.
    Set(String),
    /// Back to the default.
    Delete,
    /// Add to a list.
    Append(String),
    /// Take out of a list.
    Subtract(String),
}

/// A partition whose replicas are being moved (`PartitionReassignment`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reassignment {
    /// All replicas, coming and going ones too.
    pub replicas: Vec<i32>,
    /// Those that come.
    pub adding: Vec<i32>,
    /// Those that go.
    pub removing: Vec<i32>,
}

/// The most partitions in one answer of `DescribeTopicPartitions`, where nothing is said.
const PARTITIONS_PER_ANSWER: i32 = 2000;

/// The admin client.
///
/// ```no_run
/// use client::{Admin, ClientConfig, NewTopic};
///
/// # async fn run() -> Result<(), client::ClientError> {
/// let admin = Admin::new(ClientConfig::new("localhost:9092"));
/// let topic = NewTopic { name: "greetings".to_owned(), partitions: Some(3), ..NewTopic::default() };
/// for result in admin.create_topics(&[topic], false).await? {
///     result?;
/// }
/// println!("{:?}", admin.list_topics().await?);
/// # Ok(())
/// # }
/// ```
pub struct Admin {
    cluster: Cluster,
    /// The bootstrap servers are controllers.
    controllers: bool,
}

impl Admin {
    /// An admin client for the cluster that `config` names.
    pub fn new(config: ClientConfig) -> Admin {
        Admin { cluster: Cluster::new(config), controllers: false }
    }

    fn timeout_ms(&self) -> i32 {
        self.cluster.config().request_timeout.as_millis() as i32
    }

    /// Asks whoever takes requests for the controller, again while nobody does.
    async fn ask_controller<'q, Q, A>(&self, request: &Q) -> Result<A, ClientError>
    where
        Q: Request<'q>,
        A: for<'a> Message<'a>,
    {
        // No longer than a connection may take: an address that is wrong stays wrong, and is to be named soon.
        let patience = self.cluster.config().connect_timeout.min(self.cluster.config().api_timeout);
        let deadline = std::time::Instant::now() + patience;
        let mut retries = Retries::new(self.cluster.config());
        loop {
            let result = match self.controller_connection().await {
                Ok(connection) => connection.call(request).await,
                Err(error) => Err(error),
            };
            match result {
                Err(ClientError::Connection { .. }) if std::time::Instant::now() < deadline => {
                    // The first connection is a person's mistake more often than a broker's restart: only one that
                    // answered before is waited for.
                    self.cluster.any().await?;
                    retries.wait().await;
                }
                // It was just started, and is not let in yet: soon there is a broker.
                Err(error)
                    if error.code() == Some(ErrorCode::LeaderNotAvailable)
                        && std::time::Instant::now() < deadline =>
                {
                    retries.wait().await;
                    self.cluster.nodes().await?;
                }
                other => return other,
            }
        }
    }

    /// The brokers there are, or the controllers where those are the bootstrap servers.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn describe_cluster(&self) -> Result<Vec<Node>, ClientError> {
        match self.controllers {
            true => self.controller_nodes().await,
            false => self.cluster.nodes().await,
        }
    }

    /// The names of all topics, and whether each is internal, sorted.
    ///
    /// # Errors
    /// If no broker answers.
    pub async fn list_topics(&self) -> Result<BTreeMap<String, bool>, ClientError> {
        self.asks_brokers()?;
        let response = self.cluster.metadata(None, false).await?;
        let topics = response.topics.into_iter().filter_map(|topic| Some((topic.name?, topic.is_internal)));
        Ok(topics.collect())
    }

    /// The ids of all topics, by name.
    ///
    /// # Errors
    /// If no broker answers.
    pub async fn topic_ids(&self) -> Result<BTreeMap<String, Uuid>, ClientError> {
        self.asks_brokers()?;
        let response = self.cluster.metadata(None, false).await?;
        Ok(response.topics.into_iter().filter_map(|topic| Some((topic.name?, topic.topic_id))).collect())
    }

    /// The partitions whose replicas are being moved.
    ///
    /// # Errors
    /// If the broker does not know the question (before Kafka 2.4), or does not allow it.
    pub async fn list_partition_reassignments(
        &self,
    ) -> Result<HashMap<TopicPartition, Reassignment>, ClientError> {
        let request = ListPartitionReassignmentsRequest { timeout_ms: self.timeout_ms(), topics: None };
        let response: ListPartitionReassignmentsResponse = self.ask_controller(&request).await?;
        ClientError::check(response.error_code, response.error_message.as_deref())?;
        let mut found = HashMap::new();
        for topic in response.topics {
            for partition in topic.partitions {
                let reassignment = Reassignment {
                    replicas: partition.replicas,
                    adding: partition.adding_replicas,
                    removing: partition.removing_replicas,
                };
                found.insert(
                    TopicPartition::new(topic.name.as_str(), partition.partition_index),
                    reassignment,
                );
            }
        }
        Ok(found)
    }

    /// Creates topics. What became of each, in their order.
    ///
    /// # Errors
    /// If no broker answers. What is wrong with a topic stands in its place.
    pub async fn create_topics(
        &self,
        topics: &[NewTopic],
        validate_only: bool,
    ) -> Result<Vec<Result<(), ClientError>>, ClientError> {
        let request = CreateTopicsRequest {
            topics: topics
                .iter()
                .map(|topic| CreatableTopic {
                    name: topic.name.clone(),
                    num_partitions: if topic.assignments.is_empty() {
                        topic.partitions.unwrap_or(-1)
                    } else {
                        -1
                    },
                    replication_factor: match topic.assignments.is_empty() {
                        true => topic.replication_factor.unwrap_or(-1),
                        false => -1,
                    },
                    assignments: (0..)
                        .zip(&topic.assignments)
                        .map(|(partition_index, broker_ids)| CreatableReplicaAssignment {
                            partition_index,
                            broker_ids: broker_ids.clone(),
                        })
                        .collect(),
                    configs: topic
                        .configs
                        .iter()
                        .map(|(name, value)| CreatableTopicConfig {
                            name: name.clone(),
                            value: Some(value.clone()),
                        })
                        .collect(),
                })
                .collect(),
            timeout_ms: self.timeout_ms(),
            validate_only,
        };
        let response: CreateTopicsResponse = self.ask_controller(&request).await?;
        Ok(topics
            .iter()
            .map(|topic| {
                let answer = response.topics.iter().find(|answer| answer.name == topic.name);
                answer.map_or_else(no_answer, |answer| {
                    ClientError::check(answer.error_code, answer.error_message.as_deref())
                })
            })
            .collect())
    }

    /// Deletes topics. What became of each, in their order.
    ///
    /// # Errors
    /// If no broker answers. What is wrong with a topic stands in its place.
    pub async fn delete_topics(&self, names: &[String]) -> Result<Vec<Result<(), ClientError>>, ClientError> {
        let connection = self.cluster.controller().await?;
        let by_state = connection.version(ApiKey::DeleteTopics, i16::MAX)? >= 6;
        let request = DeleteTopicsRequest {
            topics: match by_state {
                true => names
                    .iter()
                    .map(|name| DeleteTopicState { name: Some(name.clone()), ..DeleteTopicState::default() })
                    .collect(),
                false => Vec::new(),
            },
            topic_names: if by_state { Vec::new() } else { names.to_vec() },
            timeout_ms: self.timeout_ms(),
        };
        let response: DeleteTopicsResponse = connection.call(&request).await?;
        Ok(names
            .iter()
            .map(|name| {
                let answer = response.responses.iter().find(|answer| answer.name.as_ref() == Some(name));
                answer.map_or_else(no_answer, |answer| {
                    ClientError::check(answer.error_code, answer.error_message.as_deref())
                })
            })
            .collect())
    }

    /// Raises the number of a topic's partitions to `count`; `assignments` are the brokers of the new ones, if given.
    ///
    /// # Errors
    /// If no broker answers, or the controller refuses.
    pub async fn create_partitions(
        &self,
        topic: &str,
        count: i32,
        assignments: Option<&[Vec<i32>]>,
    ) -> Result<(), ClientError> {
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: topic.to_owned(),
                count,
                assignments: assignments.map(|assignments| {
                    assignments
                        .iter()
                        .map(|broker_ids| CreatePartitionsAssignment { broker_ids: broker_ids.clone() })
                        .collect()
                }),
            }],
            timeout_ms: self.timeout_ms(),
            validate_only: false,
        };
        let response: CreatePartitionsResponse = self.ask_controller(&request).await?;
        response.results.first().map_or_else(no_answer, |answer| {
            ClientError::check(answer.error_code, answer.error_message.as_deref())
        })
    }

    /// Describes topics.
    ///
    /// # Errors
    /// If no broker answers. What is wrong with a topic is in its description.
    pub async fn describe_topics(&self, names: &[String]) -> Result<Vec<TopicDescription>, ClientError> {
        self.describe_topics_in_pages(names, PARTITIONS_PER_ANSWER).await
    }

    /// The same, with at most `limit` partitions in one answer of the broker.
    ///
    /// # Errors
    /// As there.
    pub async fn describe_topics_in_pages(
        &self,
        names: &[String],
        limit: i32,
    ) -> Result<Vec<TopicDescription>, ClientError> {
        use protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
        let connection = self.cluster.any().await?;
        if connection.version(ApiKey::DescribeTopicPartitions, i16::MAX).is_err() {
            return self.describe_by_metadata(names).await;
        }
        let mut described: Vec<TopicDescription> = Vec::new();
        if names.is_empty() {
            return Ok(described);
        }
        let mut request = DescribeTopicPartitionsRequest {
            topics: names.iter().map(|name| TopicRequest { name: name.clone() }).collect(),
            response_partition_limit: limit,
            ..DescribeTopicPartitionsRequest::default()
        };
        loop {
            let page: DescribeTopicPartitionsResponse = connection.call(&request).await?;
            for topic in page.topics {
                match described.last_mut() {
                    Some(last) if last.name == topic.name => last.partitions.extend(topic.partitions),
                    _ => described.push(topic),
                }
            }
            match page.next_cursor {
                None => return Ok(described),
                Some(cursor) => {
                    request.topics.retain(|topic| topic.name >= cursor.topic_name);
                    request.cursor = Some(Cursor {
                        topic_name: cursor.topic_name,
                        partition_index: cursor.partition_index,
                    });
                }
            }
        }
    }

    /// The same from `Metadata`, for brokers before Kafka 3.8.
    async fn describe_by_metadata(&self, names: &[String]) -> Result<Vec<TopicDescription>, ClientError> {
        use protocol::messages::describe_topic_partitions_response::DescribeTopicPartitionsResponsePartition;
        let connection = self.cluster.any().await?;
        let request = MetadataRequest {
            topics: Some(
                names
                    .iter()
                    .map(|name| MetadataRequestTopic { name: Some(name.clone()), ..Default::default() })
                    .collect(),
            ),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let response: MetadataResponse = connection.call(&request).await?;
        Ok(response
            .topics
            .into_iter()
            .map(|topic| TopicDescription {
                error_code: topic.error_code,
                name: topic.name,
                topic_id: topic.topic_id,
                is_internal: topic.is_internal,
                partitions: topic
                    .partitions
                    .into_iter()
                    .map(|partition| DescribeTopicPartitionsResponsePartition {
                        error_code: partition.error_code,
                        partition_index: partition.partition_index,
                        leader_id: partition.leader_id,
                        leader_epoch: partition.leader_epoch,
                        replica_nodes: partition.replica_nodes,
                        isr_nodes: partition.isr_nodes,
                        offline_replicas: partition.offline_replicas,
                        ..Default::default()
                    })
                    .collect(),
                ..TopicDescription::default()
            })
            .collect())
    }

    /// The configurations of topics, by name.
    ///
    /// # Errors
    /// If no broker answers, or one of the topics is not there.
    pub async fn describe_topic_configs(
        &self,
        names: &[String],
    ) -> Result<BTreeMap<String, Vec<ConfigEntry>>, ClientError> {
        let resource =
            |name: &String| ConfigResource { resource_type: ConfigResourceType::Topic, name: name.clone() };
        let described = self.describe_configs(&names.iter().map(resource).collect::<Vec<_>>()).await?;
        described.into_iter().map(|(resource, configs)| Ok((resource.name, configs?))).collect()
    }

    /// Changes some keys of a topic's configuration.
    ///
    /// # Errors
    /// If no broker answers, or the controller refuses.
    pub async fn alter_topic_configs(
        &self,
        topic: &str,
        changes: &BTreeMap<String, AlterConfigOp>,
    ) -> Result<(), ClientError> {
        let resource = ConfigResource { resource_type: ConfigResourceType::Topic, name: topic.to_owned() };
        let changes: Vec<(String, AlterConfigOp)> =
            changes.iter().map(|(name, change)| (name.clone(), change.clone())).collect();
        self.incremental_alter_configs(&resource, &changes).await
    }
}

fn no_answer() -> Result<(), ClientError> {
    Err(ClientError::api(ErrorCode::UnknownServerError, Some("the broker's answer leaves it out".to_owned())))
}
