//! Requests that come, and the answers to them.

use common::ErrorCode;
use common::topic::CLUSTER_METADATA_TOPIC;
use protocol::messages::{
    AddRaftVoterRequest, AddRaftVoterResponse, BeginQuorumEpochRequest, BeginQuorumEpochResponse,
    EndQuorumEpochRequest, EndQuorumEpochResponse, FetchRequest, FetchResponse, FetchSnapshotRequest,
    FetchSnapshotResponse, RemoveRaftVoterRequest, RemoveRaftVoterResponse, UpdateRaftVoterRequest,
    UpdateRaftVoterResponse, VoteRequest, VoteResponse, add_raft_voter_request, begin_quorum_epoch_response,
    end_quorum_epoch_response, fetch_response, fetch_snapshot_response, update_raft_voter_request,
    vote_response,
};
use protocol::wire::Records;
use protocol::{ApiKey, DecodeError, EncodeError, Message, Reader, Writer};

use super::{PARTITION, endpoints, is_log, single};
use crate::voter_set::endpoint_of;
use crate::{
    Endpoint, OffsetAndEpoch, QuorumRequest, QuorumResponse, ReplicaKey, ResponseBody, SupportedVersionRange,
};

use common::Uuid;

/// A request that was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// For the node.
    Request(QuorumRequest),
    /// It is not about the metadata log: this is the answer.
    Refused(QuorumResponse),
}

impl Incoming {
    /// What is refused as a whole, in the words that Kafka has for it.
    fn invalid(body: ResponseBody) -> Incoming {
        Incoming::refused(ErrorCode::InvalidRequest, ErrorCode::None, body)
    }

    fn refused(top_level_error: ErrorCode, error: ErrorCode, body: ResponseBody) -> Incoming {
        Incoming::Refused(QuorumResponse {
            top_level_error,
            error,
            leader: super::leader(-1, -1),
            leader_endpoints: Vec::new(),
            body,
        })
    }
}

fn voter(id: i32, directory_id: Uuid) -> Option<ReplicaKey> {
    (id >= 0).then(|| ReplicaKey::new(id, directory_id))
}

/// Reads a request of the quorum. None: `api` is none of them.
pub fn read_request(
    api: ApiKey,
    version: i16,
    body: &mut Reader<'_>,
) -> Result<Option<Incoming>, DecodeError> {
    Ok(Some(match api {
        ApiKey::Vote => vote(VoteRequest::read(body, version)?),
        ApiKey::BeginQuorumEpoch => begin_quorum_epoch(BeginQuorumEpochRequest::read(body, version)?),
        ApiKey::EndQuorumEpoch => end_quorum_epoch(EndQuorumEpochRequest::read(body, version)?),
        ApiKey::Fetch => fetch(FetchRequest::read(body, version)?),
        ApiKey::FetchSnapshot => fetch_snapshot(FetchSnapshotRequest::read(body, version)?),
        ApiKey::AddRaftVoter => add_voter(AddRaftVoterRequest::read(body, version)?),
        ApiKey::RemoveRaftVoter => {
            let request = RemoveRaftVoterRequest::read(body, version)?;
            Incoming::Request(QuorumRequest::RemoveVoter {
                cluster_id: request.cluster_id,
                voter: voter(request.voter_id, request.voter_directory_id),
            })
        }
        ApiKey::UpdateRaftVoter => update_voter(UpdateRaftVoterRequest::read(body, version)?),
        _ => return Ok(None),
    }))
}

fn vote(request: VoteRequest) -> Incoming {
    let topic = single(request.topics).and_then(|topic| Some((topic.topic_name, single(topic.partitions)?)));
    let Some((_, partition)) = topic.filter(|(name, partition)| is_log(name, partition.partition_index))
    else {
        return Incoming::invalid(ResponseBody::Vote { granted: false });
    };
    Incoming::Request(QuorumRequest::Vote {
        cluster_id: request.cluster_id,
        voter: voter(request.voter_id, partition.voter_directory_id),
        epoch: partition.replica_epoch,
        candidate: ReplicaKey::new(partition.replica_id, partition.replica_directory_id),
        log_end: OffsetAndEpoch::new(partition.last_offset, partition.last_offset_epoch),
        pre_vote: partition.pre_vote,
    })
}

fn begin_quorum_epoch(request: BeginQuorumEpochRequest) -> Incoming {
    let topic = single(request.topics).and_then(|topic| Some((topic.topic_name, single(topic.partitions)?)));
    let Some((_, partition)) = topic.filter(|(name, partition)| is_log(name, partition.partition_index))
    else {
        return Incoming::invalid(ResponseBody::BeginQuorumEpoch);
    };
    Incoming::Request(QuorumRequest::BeginQuorumEpoch {
        cluster_id: request.cluster_id,
        voter: voter(request.voter_id, partition.voter_directory_id),
        leader_id: partition.leader_id,
        epoch: partition.leader_epoch,
        leader_endpoints: endpoints!(request.leader_endpoints),
    })
}

fn end_quorum_epoch(request: EndQuorumEpochRequest) -> Incoming {
    let topic = single(request.topics).and_then(|topic| Some((topic.topic_name, single(topic.partitions)?)));
    let Some((_, partition)) = topic.filter(|(name, partition)| is_log(name, partition.partition_index))
    else {
        return Incoming::invalid(ResponseBody::EndQuorumEpoch);
    };
    let candidates = partition.preferred_candidates.iter();
    let mut preferred_candidates: Vec<ReplicaKey> =
        candidates.map(|info| ReplicaKey::new(info.candidate_id, info.candidate_directory_id)).collect();
    if preferred_candidates.is_empty() {
        // Version 0 knows node ids only.
        let successors = partition.preferred_successors.iter();
        preferred_candidates = successors.map(|id| ReplicaKey::new(*id, Uuid::ZERO)).collect();
    }
    Incoming::Request(QuorumRequest::EndQuorumEpoch {
        cluster_id: request.cluster_id,
        leader_id: partition.leader_id,
        epoch: partition.leader_epoch,
        preferred_candidates,
        leader_endpoints: endpoints!(request.leader_endpoints),
    })
}

fn fetch(request: FetchRequest) -> Incoming {
    // Versions before 13 only have the name, which is not enough, as in Kafka.
    let topic = single(request.topics).filter(|topic| topic.topic_id == Uuid::METADATA_TOPIC);
    let partition = topic.and_then(|topic| single(topic.partitions));
    let Some(partition) = partition.filter(|partition| partition.partition == PARTITION) else {
        return Incoming::invalid(ResponseBody::empty_fetch());
    };
    // Versions before 15 have the replica elsewhere.
    let id = if request.replica_state.replica_id >= 0 {
        request.replica_state.replica_id
    } else {
        request.replica_id
    };
    Incoming::Request(QuorumRequest::Fetch {
        cluster_id: request.cluster_id,
        replica: ReplicaKey::new(id, partition.replica_directory_id),
        current_leader_epoch: partition.current_leader_epoch,
        fetch_offset: partition.fetch_offset,
        last_fetched_epoch: partition.last_fetched_epoch,
        high_watermark: partition.high_watermark,
        max_bytes: request.max_bytes,
        max_wait_ms: request.max_wait_ms,
    })
}

fn fetch_snapshot(request: FetchSnapshotRequest) -> Incoming {
    let body = ResponseBody::empty_fetch_snapshot();
    let topic = single(request.topics).and_then(|topic| Some((topic.name, single(topic.partitions)?)));
    let Some((name, partition)) = topic else { return Incoming::invalid(body) };
    if !is_log(&name, partition.partition) {
        return Incoming::refused(ErrorCode::None, ErrorCode::UnknownTopicOrPartition, body);
    }
    Incoming::Request(QuorumRequest::FetchSnapshot {
        cluster_id: request.cluster_id,
        replica: ReplicaKey::new(request.replica_id, partition.replica_directory_id),
        current_leader_epoch: partition.current_leader_epoch,
        snapshot_id: OffsetAndEpoch::new(partition.snapshot_id.end_offset, partition.snapshot_id.epoch),
        position: partition.position,
        max_bytes: request.max_bytes,
    })
}

fn add_voter(request: AddRaftVoterRequest) -> Incoming {
    let listeners: Vec<add_raft_voter_request::Listener> = request.listeners;
    Incoming::Request(QuorumRequest::AddVoter {
        cluster_id: request.cluster_id,
        timeout_ms: request.timeout_ms,
        voter: voter(request.voter_id, request.voter_directory_id),
        endpoints: endpoints!(listeners),
        ack_when_committed: request.ack_when_committed,
    })
}

fn update_voter(request: UpdateRaftVoterRequest) -> Incoming {
    let listeners: Vec<update_raft_voter_request::Listener> = request.listeners;
    Incoming::Request(QuorumRequest::UpdateVoter {
        cluster_id: request.cluster_id,
        current_leader_epoch: request.current_leader_epoch,
        voter: voter(request.voter_id, request.voter_directory_id),
        endpoints: endpoints!(listeners),
        supported: SupportedVersionRange {
            min: request.kraft_version_feature.min_supported_version,
            max: request.kraft_version_feature.max_supported_version,
        },
    })
}

/// Writes the answer to a request that came on `listener`: the leader's endpoint of that name goes with it.
pub fn write_response(
    response: &QuorumResponse,
    api: ApiKey,
    version: i16,
    listener: &str,
    writer: &mut Writer,
) -> Result<(), EncodeError> {
    let error_code = response.top_level_error.code();
    let is_refused = response.top_level_error != ErrorCode::None;
    let leader_id = response.leader.leader_id.unwrap_or(-1);
    let leader_epoch = response.leader.epoch;
    let partition_error = response.error.code();
    let reachable = endpoint_of(&response.leader_endpoints, listener).filter(|_| leader_id >= 0);
    let known = |from: i16| reachable.filter(|_| version >= from);
    match &response.body {
        ResponseBody::Vote { granted } => {
            let partition = vote_response::PartitionData {
                partition_index: PARTITION,
                error_code: partition_error,
                leader_id,
                leader_epoch,
                vote_granted: *granted,
            };
            let topic = vote_response::TopicData {
                topic_name: CLUSTER_METADATA_TOPIC.to_owned(),
                partitions: vec![partition],
            };
            let node = |endpoint: &Endpoint| vote_response::NodeEndpoint {
                node_id: leader_id,
                host: endpoint.host.clone(),
                port: endpoint.port,
            };
            let response = VoteResponse {
                error_code,
                topics: if is_refused { Vec::new() } else { vec![topic] },
                node_endpoints: known(1).map(node).into_iter().collect(),
            };
            response.write(writer, version)
        }
        ResponseBody::BeginQuorumEpoch => {
            let partition = begin_quorum_epoch_response::PartitionData {
                partition_index: PARTITION,
                error_code: partition_error,
                leader_id,
                leader_epoch,
            };
            let topic = begin_quorum_epoch_response::TopicData {
                topic_name: CLUSTER_METADATA_TOPIC.to_owned(),
                partitions: vec![partition],
            };
            let node = |endpoint: &Endpoint| begin_quorum_epoch_response::NodeEndpoint {
                node_id: leader_id,
                host: endpoint.host.clone(),
                port: endpoint.port,
            };
            let response = BeginQuorumEpochResponse {
                error_code,
                topics: if is_refused { Vec::new() } else { vec![topic] },
                node_endpoints: known(1).map(node).into_iter().collect(),
            };
            response.write(writer, version)
        }
        ResponseBody::EndQuorumEpoch => {
            let partition = end_quorum_epoch_response::PartitionData {
                partition_index: PARTITION,
                error_code: partition_error,
                leader_id,
                leader_epoch,
            };
            let topic = end_quorum_epoch_response::TopicData {
                topic_name: CLUSTER_METADATA_TOPIC.to_owned(),
                partitions: vec![partition],
            };
            let node = |endpoint: &Endpoint| end_quorum_epoch_response::NodeEndpoint {
                node_id: leader_id,
                host: endpoint.host.clone(),
                port: endpoint.port,
            };
            let response = EndQuorumEpochResponse {
                error_code,
                topics: if is_refused { Vec::new() } else { vec![topic] },
                node_endpoints: known(1).map(node).into_iter().collect(),
            };
            response.write(writer, version)
        }
        ResponseBody::Fetch { log_start_offset, high_watermark, diverging_epoch, snapshot_id, records } => {
            let mut partition = fetch_response::PartitionData {
                partition_index: PARTITION,
                error_code: partition_error,
                high_watermark: high_watermark.unwrap_or(-1),
                log_start_offset: *log_start_offset,
                records: Some(Records::Inline(records)),
                ..fetch_response::PartitionData::default()
            };
            partition.current_leader = fetch_response::LeaderIdAndEpoch { leader_id, leader_epoch };
            if let Some(end) = diverging_epoch {
                partition.diverging_epoch =
                    fetch_response::EpochEndOffset { epoch: end.epoch, end_offset: end.offset };
            }
            if let Some(id) = snapshot_id {
                partition.snapshot_id = fetch_response::SnapshotId { end_offset: id.offset, epoch: id.epoch };
            }
            let topic = fetch_response::FetchableTopicResponse {
                topic: CLUSTER_METADATA_TOPIC,
                topic_id: Uuid::METADATA_TOPIC,
                partitions: vec![partition],
            };
            let node = |endpoint| node_of_fetch(leader_id, endpoint);
            let response = FetchResponse {
                error_code,
                responses: if is_refused { Vec::new() } else { vec![topic] },
                node_endpoints: known(17).map(node).into_iter().collect(),
                ..FetchResponse::default()
            };
            response.write(writer, version)
        }
        ResponseBody::FetchSnapshot { snapshot_id, size, position, bytes } => {
            let id = snapshot_id.unwrap_or(OffsetAndEpoch { offset: -1, epoch: -1 });
            let partition = fetch_snapshot_response::PartitionSnapshot {
                index: PARTITION,
                error_code: partition_error,
                snapshot_id: fetch_snapshot_response::SnapshotId { end_offset: id.offset, epoch: id.epoch },
                current_leader: fetch_snapshot_response::LeaderIdAndEpoch { leader_id, leader_epoch },
                size: *size,
                position: *position,
                unaligned_records: Records::Inline(bytes),
            };
            let topic = fetch_snapshot_response::TopicSnapshot {
                name: CLUSTER_METADATA_TOPIC,
                partitions: vec![partition],
            };
            let node = |endpoint: &'_ Endpoint| (endpoint.host.clone(), endpoint.port);
            let reachable = known(1).map(node);
            let response = FetchSnapshotResponse {
                throttle_time_ms: 0,
                error_code,
                topics: if is_refused { Vec::new() } else { vec![topic] },
                node_endpoints: reachable
                    .iter()
                    .map(|(host, port)| fetch_snapshot_response::NodeEndpoint {
                        node_id: leader_id,
                        host,
                        port: *port,
                    })
                    .collect(),
            };
            response.write(writer, version)
        }
        ResponseBody::AddVoter { message } => {
            let error_message = message.clone();
            let response =
                AddRaftVoterResponse { throttle_time_ms: 0, error_code: one(response), error_message };
            response.write(writer, version)
        }
        ResponseBody::RemoveVoter { message } => {
            let error_message = message.clone();
            let response =
                RemoveRaftVoterResponse { throttle_time_ms: 0, error_code: one(response), error_message };
            response.write(writer, version)
        }
        ResponseBody::UpdateVoter => {
            let mut update =
                UpdateRaftVoterResponse { error_code: one(response), ..UpdateRaftVoterResponse::default() };
            update.current_leader.leader_id = leader_id;
            update.current_leader.leader_epoch = leader_epoch;
            if let Some(endpoint) = reachable {
                update.current_leader.host.clone_from(&endpoint.host);
                update.current_leader.port = i32::from(endpoint.port);
            }
            update.write(writer, version)
        }
        ResponseBody::ApiVersions { .. } => {
            Err(EncodeError::UnsupportedVersion { name: api.name(), version })
        }
    }
}

fn node_of_fetch(leader_id: i32, endpoint: &Endpoint) -> fetch_response::NodeEndpoint<'_> {
    fetch_response::NodeEndpoint {
        node_id: leader_id,
        host: &endpoint.host,
        port: i32::from(endpoint.port),
        ..fetch_response::NodeEndpoint::default()
    }
}

/// The one error of a response that has one only.
fn one(response: &QuorumResponse) -> i16 {
    match response.top_level_error {
        ErrorCode::None => response.error.code(),
        error => error.code(),
    }
}
