//! `DescribeProducers` (KIP-664): who writes to a partition.

use std::sync::Arc;

use common::ErrorCode;
use network::{Handled, Outbox};
use protocol::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use protocol::messages::{DescribeProducersRequest, DescribeProducersResponse};
use replica::Partition;

use crate::broker::Broker;
use crate::request::{BadRequest, Request};
use crate::stalled_disks;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    mut request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let body: DescribeProducersRequest = request.read()?;
    let named = || {
        let topics = body.topics.iter();
        topics.flat_map(|topic| topic.partition_indexes.iter().map(|index| (&topic.name, *index)))
    };
    if let Some(wait) = stalled_disks::to_wait_for_named(broker, named) {
        return Ok(Handled::Again(wait));
    }
    let topics = body
        .topics
        .iter()
        .map(|topic| TopicResponse {
            name: topic.name.clone(),
            partitions: topic
                .partition_indexes
                .iter()
                .map(|index| describe(broker, &topic.name, *index))
                .collect(),
        })
        .collect();
    request.head.answer(&DescribeProducersResponse { topics, ..Default::default() }, out)
}

fn describe(broker: &Broker, topic: &str, index: i32) -> PartitionResponse {
    let mut response = PartitionResponse { partition_index: index, ..PartitionResponse::default() };
    let partition = match find(broker, topic, index) {
        Ok(partition) => partition,
        Err((error, message)) => {
            response.error_code = error.code();
            response.error_message = Some(message);
            return response;
        }
    };
    response.active_producers = partition
        .log()
        .active_producers()
        .into_iter()
        .map(|producer| ProducerState {
            producer_id: producer.producer_id,
            producer_epoch: i32::from(producer.producer_epoch),
            last_sequence: producer.last_sequence(),
            last_timestamp: producer.last_timestamp,
            coordinator_epoch: producer.coordinator_epoch,
            current_txn_start_offset: producer.current_txn_first_offset.unwrap_or(-1),
        })
        .collect();
    response
}

fn find(broker: &Broker, topic: &str, index: i32) -> Result<Arc<Partition>, (ErrorCode, String)> {
    common::topic::validate_topic_name(topic)
        .map_err(|error| (ErrorCode::InvalidTopicException, error.to_string()))?;
    let unknown =
        || (ErrorCode::UnknownTopicOrPartition, "This server does not host this topic-partition.".to_owned());
    let partition = broker.replicas.partition(topic, index).ok_or_else(unknown)?;
    match partition.is_leader() {
        true => Ok(partition),
        false => Err((
            ErrorCode::NotLeaderOrFollower,
            format!("Partition {topic}-{index} is led by another broker"),
        )),
    }
}
