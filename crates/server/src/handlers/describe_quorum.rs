//! `DescribeQuorum` (KIP-836): leader, voters and observers of the metadata log.

use std::sync::Arc;

use common::ErrorCode;
use common::topic::CLUSTER_METADATA_TOPIC;
use protocol::messages::describe_quorum_response::{Listener, Node, PartitionData, ReplicaState, TopicData};
use protocol::messages::{DescribeQuorumRequest, DescribeQuorumResponse};
use protocol::{Message, Reader};

use super::controller::decided;
use crate::clock::now_ms;
use crate::controller_requests::ToController;
use crate::controller_server::{ControllerServer, Deciding};
use crate::request::{BadRequest, Head};

pub(crate) fn decide(
    server: &Arc<ControllerServer>,
    head: Head,
    body: &mut Reader<'_>,
) -> Result<Deciding, BadRequest> {
    let body = DescribeQuorumRequest::read(body, head.version)
        .map_err(|error| BadRequest::Body(head.api, head.version, error))?;
    let server = Arc::clone(server);
    Ok(Box::pin(async move {
        let response = if !asks_for_the_log(&body) {
            no_such_log(body)
        } else {
            match server.controller.inspect(|raft| raft.describe_quorum(now_ms())).await {
                Ok(Some(quorum)) => describe(quorum, head.version),
                Ok(None) | Err(_) => body.refuse(ErrorCode::NotController),
            }
        };
        decided(head, &response, ErrorCode::from_code(response.error_code))
    }))
}

/// The metadata log's one partition, and nothing else beside it.
fn asks_for_the_log(request: &DescribeQuorumRequest) -> bool {
    match request.topics.as_slice() {
        [topic] => {
            topic.topic_name == CLUSTER_METADATA_TOPIC
                && topic.partitions.len() == 1
                && topic.partitions[0].partition_index == 0
        }
        _ => false,
    }
}

fn no_such_log(request: DescribeQuorumRequest) -> DescribeQuorumResponse {
    let partition = |partition_index| PartitionData {
        partition_index,
        error_code: ErrorCode::UnknownTopicOrPartition.code(),
        error_message: Some("This server does not host this topic-partition.".to_owned()),
        ..PartitionData::default()
    };
    let topics = request.topics.into_iter().map(|topic| TopicData {
        topic_name: topic.topic_name,
        partitions: topic.partitions.iter().map(|asked| partition(asked.partition_index)).collect(),
    });
    DescribeQuorumResponse { topics: topics.collect(), ..DescribeQuorumResponse::default() }
}

fn describe(quorum: raft::QuorumDescription, version: i16) -> DescribeQuorumResponse {
    let state = |replica: &raft::ReplicaState| ReplicaState {
        replica_id: replica.key.id,
        replica_directory_id: match version {
            2.. => replica.key.directory_id.unwrap_or(common::Uuid::ZERO),
            _ => common::Uuid::ZERO,
        },
        log_end_offset: replica.end_offset.unwrap_or(-1),
        last_fetch_timestamp: replica.last_fetch_timestamp_ms,
        last_caught_up_timestamp: replica.last_caught_up_timestamp_ms,
    };
    let nodes = quorum
        .voters
        .iter()
        .map(|voter| Node {
            node_id: voter.key.id,
            listeners: voter
                .endpoints
                .iter()
                .map(|endpoint| Listener {
                    name: endpoint.name.clone(),
                    host: endpoint.host.clone(),
                    port: endpoint.port,
                })
                .collect(),
        })
        .collect();
    let partition = PartitionData {
        partition_index: 0,
        leader_id: quorum.leader_id,
        leader_epoch: quorum.leader_epoch,
        high_watermark: quorum.high_watermark,
        current_voters: quorum.voters.iter().map(state).collect(),
        observers: quorum.observers.iter().map(state).collect(),
        ..PartitionData::default()
    };
    DescribeQuorumResponse {
        topics: vec![TopicData {
            topic_name: CLUSTER_METADATA_TOPIC.to_owned(),
            partitions: vec![partition],
        }],
        nodes: if version >= 2 { nodes } else { Vec::new() },
        ..DescribeQuorumResponse::default()
    }
}
