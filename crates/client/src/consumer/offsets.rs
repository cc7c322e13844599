//! Offsets of partitions by time, asked of their leaders (`ListOffsets`).

use std::collections::HashMap;
use std::time::Instant;

use common::{ErrorCode, TopicPartition};
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::IsolationLevel;
use crate::ClientError;
use crate::backoff::Retries;
use crate::cluster::Cluster;

/// The timestamp that stands for the end.
pub(crate) const LATEST: i64 = -1;
/// The timestamp that stands for the first record.
pub(crate) const EARLIEST: i64 = -2;

/// An offset, and the timestamp of the record there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetAndTimestamp {
    /// The offset.
    pub offset: i64,
    /// The record's timestamp, in ms since 1970; -1 where the start or the end was asked for.
    pub timestamp: i64,
    /// The epoch of the leader that appended it, if it is known.
    pub leader_epoch: Option<i32>,
}

/// A partition, the leader's epoch that is believed in, and the timestamp to look for.
pub(crate) type Question = (TopicPartition, i32, i64);
/// What the leader said: no offset where no record is as late as the timestamp.
pub(crate) type Answer = Result<Option<OffsetAndTimestamp>, ClientError>;

/// Asks one leader.
pub(crate) async fn ask(
    cluster: &Cluster,
    leader: i32,
    isolation: IsolationLevel,
    questions: &[Question],
) -> Result<HashMap<TopicPartition, Answer>, ClientError> {
    let mut topics: Vec<ListOffsetsTopic> = Vec::new();
    for (partition, leader_epoch, timestamp) in questions {
        let index = topics.iter().position(|topic| *topic.name == *partition.topic).unwrap_or_else(|| {
            topics
                .push(ListOffsetsTopic { name: partition.topic.to_string(), ..ListOffsetsTopic::default() });
            topics.len() - 1
        });
        topics[index].partitions.push(ListOffsetsPartition {
            partition_index: partition.partition,
            current_leader_epoch: *leader_epoch,
            timestamp: *timestamp,
        });
    }
    let request = ListOffsetsRequest {
        replica_id: -1,
        isolation_level: isolation.code(),
        topics,
        timeout_ms: cluster.config().request_timeout.as_millis() as i32,
    };
    let response: ListOffsetsResponse = cluster.node(leader).await?.call(&request).await?;
    let mut answers = HashMap::new();
    for topic in &response.topics {
        for partition in &topic.partitions {
            let answer = ClientError::check(partition.error_code, None).map(|()| {
                (partition.offset >= 0).then_some(OffsetAndTimestamp {
                    offset: partition.offset,
                    timestamp: partition.timestamp,
                    leader_epoch: Some(partition.leader_epoch).filter(|epoch| *epoch >= 0),
                })
            });
            answers.insert(TopicPartition::new(topic.name.as_str(), partition.partition_index), answer);
        }
    }
    Ok(answers)
}

/// Asks all leaders, again until every partition is answered or `default.api.timeout.ms` is over.
pub(super) async fn ask_all(
    cluster: &Cluster,
    isolation: IsolationLevel,
    partitions: &[(TopicPartition, i64)],
) -> Result<HashMap<TopicPartition, Option<OffsetAndTimestamp>>, ClientError> {
    let deadline = Instant::now() + cluster.config().api_timeout;
    let mut left: Vec<(TopicPartition, i64)> = partitions.to_vec();
    let mut found = HashMap::new();
    let mut retries = Retries::new(cluster.config());
    loop {
        let mut error = None;
        let mut by_leader: HashMap<i32, Vec<Question>> = HashMap::new();
        for (partition, timestamp) in &left {
            match leader(cluster, partition, deadline).await {
                Ok((leader, epoch)) => {
                    by_leader.entry(leader).or_default().push((partition.clone(), epoch, *timestamp));
                }
                Err(problem) => error = Some(problem),
            }
        }
        for (leader, questions) in by_leader {
            match ask(cluster, leader, isolation, &questions).await {
                Ok(answers) => {
                    for (partition, answer) in answers {
                        match answer {
                            Ok(offset) => {
                                left.retain(|(other, _)| *other != partition);
                                found.insert(partition, offset);
                            }
                            Err(problem) => {
                                cluster.forget(&partition.topic);
                                error = Some(problem);
                            }
                        }
                    }
                }
                Err(problem) => {
                    questions.iter().for_each(|(partition, ..)| cluster.forget(&partition.topic));
                    error = Some(problem);
                }
            }
        }
        match error {
            _ if left.is_empty() => return Ok(found),
            Some(error) if !cluster.may_retry(&error) || Instant::now() >= deadline => return Err(error),
            _ => retries.wait().await,
        }
    }
}

pub(crate) async fn leader(
    cluster: &Cluster,
    partition: &TopicPartition,
    deadline: Instant,
) -> Result<(i32, i32), ClientError> {
    let patience = deadline.saturating_duration_since(Instant::now());
    let topic = cluster.topic(&partition.topic, false, patience).await?;
    match topic.partition(partition.partition) {
        Some(info) if info.leader >= 0 => Ok((info.leader, info.leader_epoch)),
        known => {
            cluster.forget(&partition.topic);
            let code = if known.is_some() {
                ErrorCode::LeaderNotAvailable
            } else {
                ErrorCode::UnknownTopicOrPartition
            };
            Err(ClientError::api(code, Some(format!("{partition}: {code}"))))
        }
    }
}
