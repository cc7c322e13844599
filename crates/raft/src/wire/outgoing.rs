//! Requests that go, and the answers that come.

use common::topic::CLUSTER_METADATA_TOPIC;
use common::{ErrorCode, Uuid};
use protocol::messages::{
    AddRaftVoterRequest, ApiVersionsRequest, ApiVersionsResponse, BeginQuorumEpochRequest,
    BeginQuorumEpochResponse, EndQuorumEpochRequest, EndQuorumEpochResponse, FetchRequest, FetchResponse,
    FetchSnapshotRequest, FetchSnapshotResponse, RemoveRaftVoterRequest, UpdateRaftVoterRequest,
    UpdateRaftVoterResponse, VoteRequest, VoteResponse, add_raft_voter_request, begin_quorum_epoch_request,
    end_quorum_epoch_request, fetch_request, fetch_snapshot_request, update_raft_voter_request, vote_request,
};
use protocol::wire::Records;

use super::{PARTITION, is_log, leader, listeners, single, unless_absent};
use crate::{
    Endpoint, LeaderAndEpoch, QuorumRequest, QuorumResponse, ReplicaKey, ResponseBody, SupportedVersionRange,
};

/// The feature whose levels a new voter must support.
const KRAFT_VERSION_FEATURE: &str = "kraft.version";

/// A request of the quorum as Kafka's message.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // the names are Kafka's
pub enum WireRequest {
    Vote(VoteRequest),
    BeginQuorumEpoch(BeginQuorumEpochRequest),
    EndQuorumEpoch(EndQuorumEpochRequest),
    Fetch(FetchRequest),
    FetchSnapshot(FetchSnapshotRequest),
    ApiVersions(ApiVersionsRequest),
    AddRaftVoter(AddRaftVoterRequest),
    RemoveRaftVoter(RemoveRaftVoterRequest),
    UpdateRaftVoter(UpdateRaftVoterRequest),
}

fn id_of(voter: Option<ReplicaKey>) -> i32 {
    voter.map_or(-1, |voter| voter.id)
}

fn directory_of(voter: Option<ReplicaKey>) -> Uuid {
    voter.map_or(Uuid::ZERO, |voter| voter.directory_id_or_zero())
}

impl From<QuorumRequest> for WireRequest {
    fn from(request: QuorumRequest) -> WireRequest {
        match request {
            QuorumRequest::Vote { cluster_id, voter, epoch, candidate, log_end, pre_vote } => {
                let partition = vote_request::PartitionData {
                    partition_index: PARTITION,
                    replica_epoch: epoch,
                    replica_id: candidate.id,
                    replica_directory_id: candidate.directory_id_or_zero(),
                    voter_directory_id: directory_of(voter),
                    last_offset_epoch: log_end.epoch,
                    last_offset: log_end.offset,
                    pre_vote,
                };
                let topic_name = CLUSTER_METADATA_TOPIC.to_owned();
                let topic = vote_request::TopicData { topic_name, partitions: vec![partition] };
                WireRequest::Vote(VoteRequest { cluster_id, voter_id: id_of(voter), topics: vec![topic] })
            }
            QuorumRequest::BeginQuorumEpoch { cluster_id, voter, leader_id, epoch, leader_endpoints } => {
                let partition = begin_quorum_epoch_request::PartitionData {
                    partition_index: PARTITION,
                    voter_directory_id: directory_of(voter),
                    leader_id,
                    leader_epoch: epoch,
                };
                let topic_name = CLUSTER_METADATA_TOPIC.to_owned();
                let topic = begin_quorum_epoch_request::TopicData { topic_name, partitions: vec![partition] };
                WireRequest::BeginQuorumEpoch(BeginQuorumEpochRequest {
                    cluster_id,
                    voter_id: id_of(voter),
                    topics: vec![topic],
                    leader_endpoints: listeners!(
                        begin_quorum_epoch_request::LeaderEndpoint,
                        leader_endpoints
                    ),
                })
            }
            QuorumRequest::EndQuorumEpoch {
                cluster_id,
                leader_id,
                epoch,
                preferred_candidates,
                leader_endpoints,
            } => {
                let partition = end_quorum_epoch_request::PartitionData {
                    partition_index: PARTITION,
                    leader_id,
                    leader_epoch: epoch,
                    preferred_successors: preferred_candidates.iter().map(|key| key.id).collect(),
                    preferred_candidates: preferred_candidates
                        .iter()
                        .map(|key| end_quorum_epoch_request::ReplicaInfo {
                            candidate_id: key.id,
                            candidate_directory_id: key.directory_id_or_zero(),
                        })
                        .collect(),
                };
                let topic_name = CLUSTER_METADATA_TOPIC.to_owned();
                let topic = end_quorum_epoch_request::TopicData { topic_name, partitions: vec![partition] };
                WireRequest::EndQuorumEpoch(EndQuorumEpochRequest {
                    cluster_id,
                    topics: vec![topic],
                    leader_endpoints: listeners!(end_quorum_epoch_request::LeaderEndpoint, leader_endpoints),
                })
            }
            QuorumRequest::Fetch {
                cluster_id,
                replica,
                current_leader_epoch,
                fetch_offset,
                last_fetched_epoch,
                high_watermark,
                max_bytes,
                max_wait_ms,
            } => {
                let partition = fetch_request::FetchPartition {
                    partition: PARTITION,
                    current_leader_epoch,
                    fetch_offset,
                    last_fetched_epoch,
                    replica_directory_id: replica.directory_id_or_zero(),
                    high_watermark,
                    ..fetch_request::FetchPartition::default()
                };
                let topic = fetch_request::FetchTopic {
                    topic: CLUSTER_METADATA_TOPIC.to_owned(),
                    topic_id: Uuid::METADATA_TOPIC,
                    partitions: vec![partition],
                };
                let mut request = FetchRequest {
                    cluster_id,
                    max_wait_ms,
                    max_bytes,
                    topics: vec![topic],
                    ..FetchRequest::default()
                };
                request.replica_state.replica_id = replica.id;
                WireRequest::Fetch(request)
            }
            QuorumRequest::FetchSnapshot {
                cluster_id,
                replica,
                current_leader_epoch,
                snapshot_id,
                position,
                max_bytes,
            } => {
                let partition = fetch_snapshot_request::PartitionSnapshot {
                    partition: PARTITION,
                    current_leader_epoch,
                    snapshot_id: fetch_snapshot_request::SnapshotId {
                        end_offset: snapshot_id.offset,
                        epoch: snapshot_id.epoch,
                    },
                    position,
                    replica_directory_id: replica.directory_id_or_zero(),
                };
                let name = CLUSTER_METADATA_TOPIC.to_owned();
                let topic = fetch_snapshot_request::TopicSnapshot { name, partitions: vec![partition] };
                WireRequest::FetchSnapshot(FetchSnapshotRequest {
                    cluster_id,
                    replica_id: replica.id,
                    max_bytes,
                    topics: vec![topic],
                })
            }
            QuorumRequest::ApiVersions => WireRequest::ApiVersions(ApiVersionsRequest {
                client_software_name: "milena".to_owned(),
                client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
                ..ApiVersionsRequest::default()
            }),
            QuorumRequest::AddVoter { cluster_id, timeout_ms, voter, endpoints, ack_when_committed } => {
                WireRequest::AddRaftVoter(AddRaftVoterRequest {
                    cluster_id,
                    timeout_ms,
                    voter_id: id_of(voter),
                    voter_directory_id: directory_of(voter),
                    listeners: listeners!(add_raft_voter_request::Listener, endpoints),
                    ack_when_committed,
                })
            }
            QuorumRequest::RemoveVoter { cluster_id, voter } => {
                WireRequest::RemoveRaftVoter(RemoveRaftVoterRequest {
                    cluster_id,
                    voter_id: id_of(voter),
                    voter_directory_id: directory_of(voter),
                })
            }
            QuorumRequest::UpdateVoter { cluster_id, current_leader_epoch, voter, endpoints, supported } => {
                let mut request = UpdateRaftVoterRequest {
                    cluster_id,
                    current_leader_epoch,
                    voter_id: id_of(voter),
                    voter_directory_id: directory_of(voter),
                    listeners: listeners!(update_raft_voter_request::Listener, endpoints),
                    ..UpdateRaftVoterRequest::default()
                };
                request.kraft_version_feature.min_supported_version = supported.min;
                request.kraft_version_feature.max_supported_version = supported.max;
                WireRequest::UpdateRaftVoter(request)
            }
        }
    }
}

/// What all answers have, put together. None: the answer is not about the metadata log.
fn answer(
    top_level_error: i16,
    partition: Option<(i16, LeaderAndEpoch, ResponseBody)>,
    empty: ResponseBody,
    leader_endpoints: Vec<Endpoint>,
) -> Option<QuorumResponse> {
    let top_level_error = ErrorCode::from_code(top_level_error);
    let (error, leader, body) = match partition {
        Some((error, leader, body)) => (ErrorCode::from_code(error), leader, body),
        None if top_level_error != ErrorCode::None => (ErrorCode::None, leader(-1, -1), empty),
        None => return None,
    };
    let leader_endpoints = if leader.leader_id.is_some() { leader_endpoints } else { Vec::new() };
    Some(QuorumResponse { top_level_error, error, leader, leader_endpoints, body })
}

/// The one endpoint that an answer names, under the name of the listener by which this node reaches the others.
macro_rules! named {
    ($listener:expr, $nodes:expr) => {
        $nodes
            .iter()
            .filter_map(|node| Some(Endpoint::new($listener, &node.host, u16::try_from(node.port).ok()?)))
            .collect()
    };
}

/// Reads an answer to `Vote`.
pub fn vote_response(response: VoteResponse, listener: &str) -> Option<QuorumResponse> {
    let topic = single(response.topics).and_then(|topic| Some((topic.topic_name, single(topic.partitions)?)));
    let partition = topic.filter(|(name, partition)| is_log(name, partition.partition_index));
    let partition = partition.map(|(_, partition)| {
        let body = ResponseBody::Vote { granted: partition.vote_granted };
        (partition.error_code, leader(partition.leader_id, partition.leader_epoch), body)
    });
    let empty = ResponseBody::Vote { granted: false };
    answer(response.error_code, partition, empty, named!(listener, response.node_endpoints))
}

/// Reads an answer to `BeginQuorumEpoch`.
pub fn begin_quorum_epoch_response(
    response: BeginQuorumEpochResponse,
    listener: &str,
) -> Option<QuorumResponse> {
    let topic = single(response.topics).and_then(|topic| Some((topic.topic_name, single(topic.partitions)?)));
    let partition = topic.filter(|(name, partition)| is_log(name, partition.partition_index));
    let partition = partition.map(|(_, partition)| {
        let known = leader(partition.leader_id, partition.leader_epoch);
        (partition.error_code, known, ResponseBody::BeginQuorumEpoch)
    });
    let nodes = named!(listener, response.node_endpoints);
    answer(response.error_code, partition, ResponseBody::BeginQuorumEpoch, nodes)
}

/// Reads an answer to `EndQuorumEpoch`.
pub fn end_quorum_epoch_response(response: EndQuorumEpochResponse, listener: &str) -> Option<QuorumResponse> {
    let topic = single(response.topics).and_then(|topic| Some((topic.topic_name, single(topic.partitions)?)));
    let partition = topic.filter(|(name, partition)| is_log(name, partition.partition_index));
    let partition = partition.map(|(_, partition)| {
        let known = leader(partition.leader_id, partition.leader_epoch);
        (partition.error_code, known, ResponseBody::EndQuorumEpoch)
    });
    let nodes = named!(listener, response.node_endpoints);
    answer(response.error_code, partition, ResponseBody::EndQuorumEpoch, nodes)
}

/// Reads an answer to `Fetch`.
pub fn fetch_response(response: FetchResponse<'_>, listener: &str) -> Option<QuorumResponse> {
    let nodes = named!(listener, response.node_endpoints);
    let is_ours = |name: &str, id: Uuid| name == CLUSTER_METADATA_TOPIC || id == Uuid::METADATA_TOPIC;
    let topic = single(response.responses).filter(|topic| is_ours(topic.topic, topic.topic_id));
    let partition = topic.and_then(|topic| single(topic.partitions));
    let partition = partition.filter(|partition| partition.partition_index == PARTITION).map(|partition| {
        let diverging = &partition.diverging_epoch;
        let snapshot = &partition.snapshot_id;
        let known = leader(partition.current_leader.leader_id, partition.current_leader.leader_epoch);
        let body = ResponseBody::Fetch {
            log_start_offset: partition.log_start_offset,
            high_watermark: (partition.high_watermark >= 0).then_some(partition.high_watermark),
            diverging_epoch: unless_absent(diverging.end_offset, diverging.epoch)
                .filter(|end| end.epoch >= 0),
            snapshot_id: unless_absent(snapshot.end_offset, snapshot.epoch),
            records: bytes(partition.records),
        };
        (partition.error_code, known, body)
    });
    answer(response.error_code, partition, ResponseBody::empty_fetch(), nodes)
}

/// Reads an answer to `FetchSnapshot`.
pub fn fetch_snapshot_response(
    response: FetchSnapshotResponse<'_>,
    listener: &str,
) -> Option<QuorumResponse> {
    let nodes = named!(listener, response.node_endpoints);
    let topic = single(response.topics).and_then(|topic| Some((topic.name, single(topic.partitions)?)));
    let partition = topic.filter(|(name, partition)| is_log(name, partition.index));
    let partition = partition.map(|(_, partition)| {
        let id = &partition.snapshot_id;
        let known = leader(partition.current_leader.leader_id, partition.current_leader.leader_epoch);
        let body = ResponseBody::FetchSnapshot {
            snapshot_id: unless_absent(id.end_offset, id.epoch),
            size: partition.size,
            position: partition.position,
            bytes: bytes(Some(partition.unaligned_records)),
        };
        (partition.error_code, known, body)
    });
    answer(response.error_code, partition, ResponseBody::empty_fetch_snapshot(), nodes)
}

/// Reads an answer to `UpdateRaftVoter`.
pub fn update_voter_response(response: &UpdateRaftVoterResponse, listener: &str) -> Option<QuorumResponse> {
    let current = &response.current_leader;
    let known = leader(current.leader_id, current.leader_epoch);
    let port = u16::try_from(current.port).ok().filter(|_| !current.host.is_empty());
    let endpoints = port.map(|port| Endpoint::new(listener, &current.host, port)).into_iter().collect();
    let partition = Some((response.error_code, known, ResponseBody::UpdateVoter));
    answer(0, partition, ResponseBody::UpdateVoter, endpoints)
}

/// The answer to `AddRaftVoter` or `RemoveRaftVoter`, whose `body` says which.
pub fn joined_response(error_code: i16, body: ResponseBody) -> Option<QuorumResponse> {
    answer(0, Some((error_code, leader(-1, -1), body.clone())), body, Vec::new())
}

/// Reads an answer to `ApiVersions`.
pub fn api_versions_response(response: &ApiVersionsResponse) -> Option<QuorumResponse> {
    let features = response.supported_features.iter();
    let range = features
        .filter(|feature| feature.name == KRAFT_VERSION_FEATURE)
        .map(|feature| SupportedVersionRange { min: feature.min_version, max: feature.max_version })
        .next();
    let body = ResponseBody::ApiVersions { kraft_version: range };
    answer(0, Some((response.error_code, leader(-1, -1), body.clone())), body, Vec::new())
}

fn bytes(records: Option<Records<'_>>) -> Vec<u8> {
    match records {
        Some(Records::Inline(bytes)) => bytes.to_vec(),
        _ => Vec::new(),
    }
}
