//! The offsets that groups committed: listed, altered, deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::TopicPartition;
use protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest,
    OffsetFetchResponse,
};
use protocol::{ApiKey, Request};

use super::Admin;
use super::coordinators::{ByGroup, left_out};
use crate::ClientError;
use crate::connection::Connection;

/// What a group committed for a partition (`OffsetAndMetadata`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    /// The next record to read.
    pub offset: i64,
    /// The epoch of the leader of the record before it, if it is known.
    pub leader_epoch: Option<i32>,
    /// What the consumer wrote beside it.
    pub metadata: String,
}

impl OffsetAndMetadata {
    /// An offset with nothing beside it.
    pub fn new(offset: i64) -> OffsetAndMetadata {
        OffsetAndMetadata { offset, ..OffsetAndMetadata::default() }
    }
}

/// From the next version on, topics are named by their ids alone.
const LAST_WITH_NAMES: i16 = 9;
/// The first version of `OffsetFetch` that takes several groups.
const BATCHED: i16 = 8;

/// Partitions by their topic.
fn by_topic<'a>(
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
) -> BTreeMap<&'a str, Vec<&'a TopicPartition>> {
    let mut topics: BTreeMap<&str, Vec<&TopicPartition>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition);
    }
    topics
}

impl Admin {
    /// All offsets that groups committed, without those of transactions that are open.
    ///
    /// # Errors
    /// If no broker answers. What is wrong with a group stands in its place.
    pub async fn list_consumer_group_offsets(
        &self,
        groups: &[String],
    ) -> Result<ByGroup<BTreeMap<TopicPartition, OffsetAndMetadata>>, ClientError> {
        self.ask_coordinators(groups, async |connection, _, groups| {
            let version = connection.version(ApiKey::OffsetFetch, LAST_WITH_NAMES)?;
            if version >= BATCHED {
                return fetch_batched(&connection, version, groups).await;
            }
            let mut answers = BTreeMap::new();
            for group in groups {
                answers.insert(group.clone(), fetch_one(&connection, version, group).await);
            }
            Ok(answers)
        })
        .await
    }

    /// Sets what a group committed, as long as it has no members that own the partitions. What became of each partition.
    ///
    /// # Errors
    /// If no broker answers. What is wrong with a partition stands in its place.
    pub async fn alter_consumer_group_offsets(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>,
    ) -> Result<BTreeMap<TopicPartition, Result<(), ClientError>>, ClientError> {
        let topics =
            by_topic(offsets.keys()).into_iter().map(|(name, partitions)| OffsetCommitRequestTopic {
                name: name.to_owned(),
                partitions: partitions
                    .into_iter()
                    .filter_map(|partition| Some((partition, offsets.get(partition)?)))
                    .map(|(partition, offset)| OffsetCommitRequestPartition {
                        partition_index: partition.partition,
                        committed_offset: offset.offset,
                        committed_leader_epoch: offset.leader_epoch.unwrap_or(-1),
                        committed_metadata: Some(offset.metadata.clone()),
                    })
                    .collect(),
                ..OffsetCommitRequestTopic::default()
            });
        let request = OffsetCommitRequest {
            group_id: group.to_owned(),
            topics: topics.collect(),
            ..OffsetCommitRequest::default()
        };
        self.ask_coordinator(group, async |connection| {
            let version = connection.version(OffsetCommitRequest::API_KEY, LAST_WITH_NAMES)?;
            let response: OffsetCommitResponse =
                connection.send_in_version(&request, version).await?.read()?;
            let mut results = BTreeMap::new();
            for topic in response.topics {
                let name: Arc<str> = Arc::from(topic.name);
                for partition in topic.partitions {
                    let at = TopicPartition::new(Arc::clone(&name), partition.partition_index);
                    results.insert(at, ClientError::check(partition.error_code, None));
                }
            }
            // The whole group is meant where the coordinator is not there: it is asked again.
            match results.values().find_map(|result| result.as_ref().err()).filter(|error| moving(error)) {
                Some(error) => Err(error.clone()),
                None => Ok(results),
            }
        })
        .await
    }

    /// Forgets what a group committed for partitions. What became of each.
    ///
    /// # Errors
    /// If no broker answers, or the group is not there. What is wrong with a partition stands in its place.
    pub async fn delete_consumer_group_offsets(
        &self,
        group: &str,
        partitions: &BTreeSet<TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, Result<(), ClientError>>, ClientError> {
        let topics = by_topic(partitions).into_iter().map(|(name, partitions)| OffsetDeleteRequestTopic {
            name: name.to_owned(),
            partitions: partitions
                .into_iter()
                .map(|partition| OffsetDeleteRequestPartition { partition_index: partition.partition })
                .collect(),
        });
        let request = OffsetDeleteRequest { group_id: group.to_owned(), topics: topics.collect() };
        let response: OffsetDeleteResponse = self
            .ask_coordinator(group, async |connection| {
                let response: OffsetDeleteResponse = connection.call(&request).await?;
                ClientError::check(response.error_code, None)?;
                Ok(response)
            })
            .await?;
        let result = |at: &TopicPartition| {
            let topic = response.topics.iter().find(|topic| *topic.name == *at.topic)?;
            let answer = topic.partitions.iter().find(|answer| answer.partition_index == at.partition)?;
            Some(ClientError::check(answer.error_code, None))
        };
        let results = partitions.iter().map(|at| (at.clone(), result(at).unwrap_or_else(|| Err(left_out()))));
        Ok(results.collect())
    }
}

fn moving(error: &ClientError) -> bool {
    use common::ErrorCode as E;
    matches!(
        error.code(),
        Some(E::NotCoordinator | E::CoordinatorNotAvailable | E::CoordinatorLoadInProgress)
    )
}

type Offsets = BTreeMap<TopicPartition, OffsetAndMetadata>;

/// What one partition's answer adds: nothing where nothing was committed.
fn add(
    offsets: &mut Offsets,
    at: TopicPartition,
    code: i16,
    offset: i64,
    leader_epoch: i32,
    metadata: Option<String>,
) {
    if let Err(error) = ClientError::check(code, None) {
        tracing::warn!("the committed offset of {at} is left out: {error}");
    } else if offset >= 0 {
        let leader_epoch = Some(leader_epoch).filter(|epoch| *epoch >= 0);
        let metadata = metadata.unwrap_or_default();
        offsets.insert(at, OffsetAndMetadata { offset, leader_epoch, metadata });
    }
}

async fn fetch_batched(
    connection: &Connection,
    version: i16,
    groups: &[String],
) -> Result<ByGroup<Offsets>, ClientError> {
    let request = OffsetFetchRequest {
        groups: groups
            .iter()
            .map(|group| OffsetFetchRequestGroup {
                group_id: group.clone(),
                topics: None,
                ..OffsetFetchRequestGroup::default()
            })
            .collect(),
        ..OffsetFetchRequest::default()
    };
    let response: OffsetFetchResponse = connection.send_in_version(&request, version).await?.read()?;
    let answers = response.groups.into_iter().map(|group| {
        let checked = ClientError::check(group.error_code, None).map(|()| {
            let mut offsets = BTreeMap::new();
            for topic in group.topics {
                let name: Arc<str> = Arc::from(topic.name);
                for answer in topic.partitions {
                    let at = TopicPartition::new(Arc::clone(&name), answer.partition_index);
                    let (offset, epoch) = (answer.committed_offset, answer.committed_leader_epoch);
                    add(&mut offsets, at, answer.error_code, offset, epoch, answer.metadata);
                }
            }
            offsets
        });
        (group.group_id, checked)
    });
    Ok(answers.collect())
}

async fn fetch_one(connection: &Connection, version: i16, group: &str) -> Result<Offsets, ClientError> {
    let request =
        OffsetFetchRequest { group_id: group.to_owned(), topics: None, ..OffsetFetchRequest::default() };
    let response: OffsetFetchResponse = connection.send_in_version(&request, version).await?.read()?;
    ClientError::check(response.error_code, None)?;
    let mut offsets = BTreeMap::new();
    for topic in response.topics {
        let name: Arc<str> = Arc::from(topic.name);
        for answer in topic.partitions {
            let at = TopicPartition::new(Arc::clone(&name), answer.partition_index);
            let (offset, epoch) = (answer.committed_offset, answer.committed_leader_epoch);
            add(&mut offsets, at, answer.error_code, offset, epoch, answer.metadata);
        }
    }
    Ok(offsets)
}
