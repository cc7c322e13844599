//! `DescribeTopicPartitions` (KIP-966): topics page by page, with their eligible leader replicas.

use std::sync::Arc;

use common::ErrorCode;
use metadata::TopicImage;
use network::{Handled, Outbox};
use protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use protocol::messages::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};

use super::authorized_operations as operations;
use super::metadata::offline;
use crate::broker::Broker;
use crate::request::{BadRequest, Request};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    mut request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let body: DescribeTopicPartitionsRequest = request.read()?;
    let listener = Arc::clone(&request.client.connection.listener);
    let image = broker.image();
    let all = body.topics.is_empty();
    let mut names: Vec<String> = match all {
        true => image.topics.iter().map(|topic| topic.name.to_string()).collect(),
        false => body.topics.into_iter().map(|topic| topic.name).collect(),
    };
    names.sort_unstable();
    names.dedup();
    let (first_topic, first_partition) =
        body.cursor.map_or((String::new(), 0), |cursor| (cursor.topic_name, cursor.partition_index));
    if first_partition < 0 {
        let refused = names.into_iter().map(|name| DescribeTopicPartitionsResponseTopic {
            error_code: ErrorCode::InvalidRequest.code(),
            name: Some(name),
            ..Default::default()
        });
        let refusal = DescribeTopicPartitionsResponse { topics: refused.collect(), ..Default::default() };
        return request.head.answer(&refusal, out);
    }
    names.retain(|name| *name >= first_topic);
    let most = broker.settings.broker().network.max_request_partition_size_limit;
    let mut left = body.response_partition_limit.clamp(1, most.max(1)) as usize;
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names {
        if left == 0 {
            response.next_cursor = Some(Cursor { topic_name: name, partition_index: 0 });
            break;
        }
        let from = if name == first_topic { first_partition } else { 0 };
        let Some(topic) = image.topics.topic(&name) else {
            let error = match common::topic::validate_topic_name(&name) {
                Ok(()) => ErrorCode::UnknownTopicOrPartition,
                Err(_) => ErrorCode::InvalidTopicException,
            };
            response.topics.push(DescribeTopicPartitionsResponseTopic {
                error_code: error.code(),
                is_internal: common::topic::is_internal(&name),
                name: Some(name),
                ..Default::default()
            });
            continue;
        };
        let mut described = describe(topic);
        for (index, partition) in topic.partitions.range(from..) {
            if left == 0 {
                response.next_cursor = Some(Cursor { topic_name: name.clone(), partition_index: *index });
                break;
            }
            left -= 1;
            let has_leader = image.cluster.broker(partition.leader).is_some_and(|leader| !leader.fenced);
            described.partitions.push(DescribeTopicPartitionsResponsePartition {
                error_code: if has_leader { 0 } else { ErrorCode::LeaderNotAvailable.code() },
                partition_index: *index,
                leader_id: if has_leader { partition.leader } else { -1 },
                leader_epoch: partition.leader_epoch,
                replica_nodes: partition.replicas.clone(),
                isr_nodes: partition.isr.clone(),
                eligible_leader_replicas: Some(partition.elr.clone()),
                last_known_elr: Some(partition.last_known_elr.clone()),
                offline_replicas: offline(&image, partition, &listener),
            });
        }
        response.topics.push(described);
        if response.next_cursor.is_some() {
            break;
        }
    }
    request.head.answer(&response, out)
}

fn describe(topic: &TopicImage) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: 0,
        name: Some(topic.name.to_string()),
        topic_id: topic.id,
        is_internal: common::topic::is_internal(&topic.name),
        partitions: Vec::new(),
        topic_authorized_operations: operations::TOPIC,
    }
}
