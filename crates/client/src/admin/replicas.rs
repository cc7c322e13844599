//! What each replica of a partition has, batch by batch: leaders and followers asked alike.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use common::{ErrorCode, TopicPartition, Uuid};
use protocol::ApiKey;
use protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use protocol::messages::{FetchRequest, FetchResponse};
use protocol::records::Batches;

use super::Admin;
use super::coordinators::left_out;
use crate::ClientError;

/// Fetch requests name topics up to this version, and ids afterwards.
const BY_NAME: i16 = 12;
/// The first version in which a follower answers clients (KIP-392).
const FROM_FOLLOWERS: i16 = 11;

/// A batch of records as a replica has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaBatch {
    /// The offset of its last record.
    pub last_offset: i64,
    /// The CRC-32C of what is in it.
    pub checksum: u32,
}

/// What a replica gave from an offset on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplicaBatches {
    /// The replica's high watermark.
    pub high_watermark: i64,
    /// Whole batches, in their order.
    pub batches: Vec<ReplicaBatch>,
}

impl Admin {
    /// Asks one broker for what its replicas have: of each partition, with its topic's id, from an offset on, no more than
    /// `partition_max_bytes` but one batch. The broker may wait for records up to `max_wait`.
    ///
    /// # Errors
    /// If the broker does not answer, or its followers answer nobody. What is wrong with a partition stands in its place.
    pub async fn fetch_from_replica(
        &self,
        broker: i32,
        partitions: &[(TopicPartition, Uuid, i64)],
        partition_max_bytes: i32,
        max_wait: Duration,
    ) -> Result<BTreeMap<TopicPartition, Result<ReplicaBatches, ClientError>>, ClientError> {
        let connection = self.cluster.node(broker).await?;
        let by_id = partitions.iter().all(|(_, id, _)| !id.is_zero());
        let version = connection.version(ApiKey::Fetch, if by_id { i16::MAX } else { BY_NAME })?;
        if version < FROM_FOLLOWERS {
            return Err(ClientError::api(
                ErrorCode::UnsupportedVersion,
                Some(format!("Broker {broker} does not let clients read from followers")),
            ));
        }
        let mut topics: Vec<FetchTopic> = Vec::new();
        for (at, id, offset) in partitions {
            let partition = FetchPartition {
                partition: at.partition,
                fetch_offset: *offset,
                partition_max_bytes,
                ..FetchPartition::default()
            };
            match topics.iter_mut().find(|topic| topic.topic == *at.topic) {
                Some(topic) => topic.partitions.push(partition),
                None => topics.push(FetchTopic {
                    topic: at.topic.to_string(),
                    topic_id: *id,
                    partitions: vec![partition],
                }),
            }
        }
        let request = FetchRequest {
            max_wait_ms: i32::try_from(max_wait.as_millis()).unwrap_or(i32::MAX),
            min_bytes: 1,
            topics,
            ..FetchRequest::default()
        };
        let frame = connection.send_in_version(&request, version).await?;
        let response = frame.read::<FetchResponse<'_>>()?;
        ClientError::check(response.error_code, None)?;
        let names: HashMap<Uuid, &TopicPartition> = partitions.iter().map(|(at, id, _)| (*id, at)).collect();
        let mut answers: BTreeMap<_, _> =
            partitions.iter().map(|(at, ..)| (at.clone(), Err(left_out()))).collect();
        for topic in &response.responses {
            let name = match names.get(&topic.topic_id) {
                Some(at) if topic.topic.is_empty() => &*at.topic,
                _ => topic.topic,
            };
            for data in &topic.partitions {
                let at = TopicPartition::new(name, data.partition_index);
                if let Some(answer) = answers.get_mut(&at) {
                    *answer = ClientError::check(data.error_code, None).map(|()| ReplicaBatches {
                        high_watermark: data.high_watermark,
                        batches: batches(data.records.as_ref().map_or(&[], |records| records.inline())),
                    });
                }
            }
        }
        Ok(answers)
    }
}

/// The whole batches; the last one may be cut off.
fn batches(bytes: &[u8]) -> Vec<ReplicaBatch> {
    let whole = Batches::new(bytes).map_while(Result::ok);
    whole
        .map(|batch| ReplicaBatch {
            last_offset: batch.header().last_offset(),
            checksum: batch.header().crc(),
        })
        .collect()
}
