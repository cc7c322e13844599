//! The idempotent and transactional producers that a partition's leader knows (`Admin.describeProducers`, KIP-664).

use std::collections::{BTreeMap, HashMap};

use common::TopicPartition;
use protocol::messages::describe_producers_request::TopicRequest;
use protocol::messages::{DescribeProducersRequest, DescribeProducersResponse};

use super::Admin;
use crate::ClientError;

/// A producer, as a partition's leader knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerState {
    /// Its id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i32,
    /// The sequence number of its last record, -1 for none.
    pub last_sequence: i32,
    /// The timestamp of its last batch, in ms since 1970, -1 for none.
    pub last_timestamp: i64,
    /// The epoch of the coordinator that ended its last transaction.
    pub coordinator_epoch: Option<i32>,
    /// Where its open transaction begins, if there is one.
    pub current_transaction_start_offset: Option<i64>,
}

impl Admin {
    /// The producers that wrote to partitions lately.
    ///
    /// # Errors
    /// If no broker answers. What is wrong with a partition stands in its place.
    pub async fn describe_producers(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Result<Vec<ProducerState>, ClientError>>, ClientError> {
        self.cluster.any().await?;
        self.ask_leaders(partitions.to_vec(), async |leader, asked| {
            let mut topics: Vec<TopicRequest> = Vec::new();
            for (at, _) in asked {
                match topics.iter_mut().find(|topic| *topic.name == *at.topic) {
                    Some(topic) => topic.partition_indexes.push(at.partition),
                    None => topics.push(TopicRequest {
                        name: at.topic.to_string(),
                        partition_indexes: vec![at.partition],
                    }),
                }
            }
            let request = DescribeProducersRequest { topics };
            let response: DescribeProducersResponse = self.cluster.node(leader).await?.call(&request).await?;
            let mut answers = HashMap::new();
            for topic in response.topics {
                for partition in topic.partitions {
                    let at = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                    let producer =
                        |known: &protocol::messages::describe_producers_response::ProducerState| {
                            ProducerState {
                                producer_id: known.producer_id,
                                producer_epoch: known.producer_epoch,
                                last_sequence: known.last_sequence,
                                last_timestamp: known.last_timestamp,
                                coordinator_epoch: Some(known.coordinator_epoch).filter(|epoch| *epoch >= 0),
                                current_transaction_start_offset: Some(known.current_txn_start_offset)
                                    .filter(|offset| *offset >= 0),
                            }
                        };
                    let checked =
                        ClientError::check(partition.error_code, partition.error_message.as_deref());
                    let producers = partition.active_producers.iter().map(producer).collect();
                    answers.insert(at, checked.map(|()| producers));
                }
            }
            Ok(answers)
        })
        .await
    }
}
