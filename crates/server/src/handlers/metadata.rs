//! `Metadata`: brokers, topics, leaders; and the creation of topics on their first use.

use std::collections::HashSet;
use std::sync::Arc;

use common::{ErrorCode, Uuid};
use metadata::{BrokerRegistration, MetadataImage, PartitionRegistration, TopicImage};
use network::{Handled, Outbox};
use protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use protocol::messages::metadata_request::MetadataRequestTopic;
use protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use protocol::messages::{CreateTopicsRequest, MetadataRequest, MetadataResponse};

use super::authorized_operations as operations;
use super::internal_topics;
use crate::broker::Broker;
use crate::request::{BadRequest, Request};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    mut request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let mut body: MetadataRequest = request.read()?;
    let head = request.head;
    // In version 0 an empty list means all topics; afterwards null does.
    if head.version == 0 && body.topics.as_ref().is_some_and(Vec::is_empty) {
        body.topics = None;
    }
    if head.version < 12
        && body.topics.iter().flatten().any(|topic| topic.name.is_none() || !topic.topic_id.is_zero())
    {
        return head.answer(&refusal(body), out);
    }
    keep_each_once(&mut body);
    let listener = Arc::clone(&request.client.connection.listener);
    let missing = missing_topics(broker, &body, head.version);
    if missing.is_empty() {
        let response = response(broker, &body, &listener, head.version);
        return head.answer(&response, out);
    }
    let broker = Arc::clone(broker);
    head.later(async move {
        create(&broker, missing).await;
        response(&broker, &body, &listener, head.version)
    })
}

/// Ids are for versions from 12 on, and before them every topic has a name.
fn refusal(request: MetadataRequest) -> MetadataResponse {
    let topics = request.topics.into_iter().flatten().map(|topic| {
        error_topic(ErrorCode::InvalidRequest, Some(topic.name.unwrap_or_default()), topic.topic_id)
    });
    MetadataResponse { topics: topics.collect(), cluster_id: None, ..MetadataResponse::default() }
}

/// A topic is answered once however often it is named. Where there are ids, names do not count.
fn keep_each_once(request: &mut MetadataRequest) {
    let Some(topics) = &mut request.topics else { return };
    if topics.iter().any(|topic| !topic.topic_id.is_zero()) {
        topics.retain(|topic| !topic.topic_id.is_zero());
    }
    let mut seen = HashSet::new();
    topics.retain(|topic| {
        let name = if topic.topic_id.is_zero() { topic.name.clone() } else { None };
        seen.insert((topic.topic_id, name))
    });
}

/// The names to create before the answer.
fn missing_topics(broker: &Broker, request: &MetadataRequest, version: i16) -> Vec<String> {
    let allowed = version < 4 || request.allow_auto_topic_creation;
    let Some(topics) = &request.topics else { return Vec::new() };
    if !allowed || !broker.settings.broker().replication.auto_create_topics_enable {
        return Vec::new();
    }
    let image = broker.image();
    let mut missing: Vec<String> = topics
        .iter()
        .filter(|topic| topic.topic_id.is_zero())
        .filter_map(|topic| topic.name.clone())
        .filter(|name| image.topics.topic(name).is_none() && common::topic::validate_topic_name(name).is_ok())
        .collect();
    missing.sort_unstable();
    missing.dedup();
    missing
}

/// Creates topics with the broker's defaults. What fails shows in the answer as an unknown topic.
///
/// Divergence: Kafka answers UNKNOWN_TOPIC_OR_PARTITION at once and creates in the background, so that the client asks
/// again; here the answer waits for the creation and is the right one the first time.
async fn create(broker: &Arc<Broker>, names: Vec<String>) {
    let config = broker.settings.broker();
    let topics = names
        .into_iter()
        .map(|name| {
            if let Some(topic) = internal_topics::definition(&config, &name) {
                return topic;
            }
            CreatableTopic {
                name,
                num_partitions: config.replication.num_partitions,
                replication_factor: config.replication.default_replication_factor as i16,
                ..CreatableTopic::default()
            }
        })
        .collect();
    create_topics(broker, topics).await;
}

/// Has the controller create topics, and logs what it refuses.
pub(crate) async fn create_topics(broker: &Arc<Broker>, topics: Vec<CreatableTopic>) {
    let request = CreateTopicsRequest { topics, timeout_ms: 30_000, validate_only: false };
    match broker.channel.send(request).await {
        Err(error) => tracing::warn!("topics cannot be created: {error}"),
        Ok(response) => {
            for topic in response.topics {
                match ErrorCode::from_code(topic.error_code) {
                    // Another request may have been first.
                    ErrorCode::None | ErrorCode::TopicAlreadyExists => {}
                    error => tracing::warn!(
                        topic = %topic.name,
                        "the topic cannot be created on first use: {error} {}",
                        topic.error_message.unwrap_or_default()
                    ),
                }
            }
        }
    }
}

/// A topic's configuration as pairs.
pub(crate) fn creatable_configs(pairs: Vec<(&'static str, String)>) -> Vec<CreatableTopicConfig> {
    pairs
        .into_iter()
        .map(|(name, value)| CreatableTopicConfig { name: name.to_owned(), value: Some(value) })
        .collect()
}

fn response(broker: &Broker, request: &MetadataRequest, listener: &str, version: i16) -> MetadataResponse {
    let image = broker.image();
    let brokers: Vec<MetadataResponseBroker> = Broker::alive_brokers(&image)
        .filter_map(|broker| {
            let endpoint = broker.listener(listener)?;
            Some(MetadataResponseBroker {
                node_id: broker.id,
                host: endpoint.host.clone(),
                port: i32::from(endpoint.port),
                rack: broker.rack.clone(),
            })
        })
        .collect();
    let describe = Describe {
        image: &image,
        listener,
        operations: request.include_topic_authorized_operations,
        version,
    };
    let topics = match &request.topics {
        None => image.topics.iter().map(|topic| describe.topic(topic)).collect(),
        Some(named) => named.iter().map(|topic| describe.named(topic)).collect(),
    };
    MetadataResponse {
        brokers,
        cluster_id: Some(broker.cluster_id.clone()),
        // In KRaft any broker forwards what is for the controller, so each names one that is alive: itself.
        controller_id: broker.node_id,
        topics,
        cluster_authorized_operations: match request.include_cluster_authorized_operations {
            true if (8..=10).contains(&version) => operations::CLUSTER,
            _ => operations::NOT_ASKED,
        },
        ..MetadataResponse::default()
    }
}

struct Describe<'a> {
    image: &'a MetadataImage,
    listener: &'a str,
    operations: bool,
    version: i16,
}

impl Describe<'_> {
    fn named(&self, asked: &MetadataRequestTopic) -> MetadataResponseTopic {
        if !asked.topic_id.is_zero() {
            return match self.image.topics.topic_by_id(&asked.topic_id) {
                Some(topic) => self.topic(topic),
                None => {
                    // Only versions from 12 on can leave the name out.
                    let name = if self.version >= 12 { None } else { Some(String::new()) };
                    error_topic(ErrorCode::UnknownTopicId, name, asked.topic_id)
                }
            };
        }
        let name = asked.name.clone().unwrap_or_default();
        if common::topic::validate_topic_name(&name).is_err() {
            return error_topic(ErrorCode::InvalidTopicException, Some(name), Uuid::ZERO);
        }
        match self.image.topics.topic(&name) {
            Some(topic) => self.topic(topic),
            None => error_topic(ErrorCode::UnknownTopicOrPartition, Some(name), Uuid::ZERO),
        }
    }

    fn topic(&self, topic: &TopicImage) -> MetadataResponseTopic {
        let partitions = topic
            .partitions
            .iter()
            .map(|(index, partition)| {
                let leader = self.image.cluster.broker(partition.leader).filter(|broker| !broker.fenced);
                let error = match leader {
                    None => ErrorCode::LeaderNotAvailable,
                    Some(leader) if leader.listener(self.listener).is_none() => ErrorCode::ListenerNotFound,
                    Some(_) => ErrorCode::None,
                };
                MetadataResponsePartition {
                    error_code: error.code(),
                    partition_index: *index,
                    leader_id: if error.is_none() { partition.leader } else { -1 },
                    leader_epoch: partition.leader_epoch,
                    replica_nodes: partition.replicas.clone(),
                    isr_nodes: partition.isr.clone(),
                    offline_replicas: offline(self.image, partition, self.listener),
                }
            })
            .collect();
        MetadataResponseTopic {
            error_code: 0,
            name: Some(topic.name.to_string()),
            topic_id: topic.id,
            is_internal: common::topic::is_internal(&topic.name),
            partitions,
            topic_authorized_operations: if self.operations {
                operations::TOPIC
            } else {
                operations::NOT_ASKED
            },
        }
    }
}

/// The replicas on brokers that are fenced, gone, or not on this listener, and those in log directories that have failed.
pub(crate) fn offline(image: &MetadataImage, partition: &PartitionRegistration, listener: &str) -> Vec<i32> {
    let is_alive = |broker: &Arc<BrokerRegistration>| {
        let directory = partition.directory(broker.id);
        !broker.fenced
            && broker.listener(listener).is_some()
            && directory.is_none_or(|directory| broker.has_online_dir(directory))
    };
    let replicas = partition.replicas.iter().copied();
    replicas.filter(|id| !image.cluster.brokers.get(id).is_some_and(is_alive)).collect()
}

fn error_topic(error: ErrorCode, name: Option<String>, topic_id: Uuid) -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code: error.code(),
        is_internal: name.as_deref().is_some_and(common::topic::is_internal),
        name,
        topic_id,
        ..MetadataResponseTopic::default()
    }
}
