//! Requests and answers through Kafka's messages and back.

use common::ErrorCode;
use common::Uuid;
use protocol::messages::{
    BeginQuorumEpochResponse, EndQuorumEpochResponse, FetchResponse, FetchSnapshotResponse,
    UpdateRaftVoterResponse, VoteResponse,
};
use protocol::{ApiKey, Message, Reader, Writer};

use super::*;
use crate::{Endpoint, QuorumRequest, QuorumResponse, ReplicaKey, ResponseBody, SupportedVersionRange};

const VOTER: ReplicaKey = ReplicaKey { id: 2, directory_id: Some(Uuid::from_u128(22)) };
const CANDIDATE: ReplicaKey = ReplicaKey { id: 3, directory_id: Some(Uuid::from_u128(33)) };

fn cluster_id() -> Option<String> {
    Some("cluster".to_owned())
}

fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint::new("CONTROLLER", "one", 9093), Endpoint::new("SECOND", "two", 9094)]
}

fn write(request: QuorumRequest, version: i16) -> (ApiKey, Vec<u8>) {
    let mut writer = Writer::new();
    let (api, written) = match WireRequest::from(request) {
        WireRequest::Vote(message) => (ApiKey::Vote, message.write(&mut writer, version)),
        WireRequest::BeginQuorumEpoch(message) => {
            (ApiKey::BeginQuorumEpoch, message.write(&mut writer, version))
        }
        WireRequest::EndQuorumEpoch(message) => (ApiKey::EndQuorumEpoch, message.write(&mut writer, version)),
        WireRequest::Fetch(message) => (ApiKey::Fetch, message.write(&mut writer, version)),
        WireRequest::FetchSnapshot(message) => (ApiKey::FetchSnapshot, message.write(&mut writer, version)),
        WireRequest::ApiVersions(message) => (ApiKey::ApiVersions, message.write(&mut writer, version)),
        WireRequest::AddRaftVoter(message) => (ApiKey::AddRaftVoter, message.write(&mut writer, version)),
        WireRequest::RemoveRaftVoter(message) => {
            (ApiKey::RemoveRaftVoter, message.write(&mut writer, version))
        }
        WireRequest::UpdateRaftVoter(message) => {
            (ApiKey::UpdateRaftVoter, message.write(&mut writer, version))
        }
    };
    written.unwrap();
    (api, writer.into_bytes())
}

#[test]
fn requests_arrive_as_they_were_sent() {
    let log_end = OffsetAndEpoch::new(100, 4);
    let vote = |pre_vote| QuorumRequest::Vote {
        cluster_id: cluster_id(),
        voter: Some(VOTER),
        epoch: 5,
        candidate: CANDIDATE,
        log_end,
        pre_vote,
    };
    let requests = [
        (vote(true), 2),
        (vote(false), 1),
        (
            QuorumRequest::BeginQuorumEpoch {
                cluster_id: cluster_id(),
                voter: Some(VOTER),
                leader_id: 3,
                epoch: 5,
                leader_endpoints: endpoints(),
            },
            1,
        ),
        (
            QuorumRequest::EndQuorumEpoch {
                cluster_id: cluster_id(),
                leader_id: 3,
                epoch: 5,
                preferred_candidates: vec![VOTER, CANDIDATE],
                leader_endpoints: endpoints(),
            },
            1,
        ),
        (
            QuorumRequest::Fetch {
                cluster_id: cluster_id(),
                replica: VOTER,
                current_leader_epoch: 5,
                fetch_offset: 100,
                last_fetched_epoch: 4,
                high_watermark: 99,
                max_bytes: 1_000,
                max_wait_ms: 500,
            },
            18,
        ),
        (
            QuorumRequest::FetchSnapshot {
                cluster_id: cluster_id(),
                replica: VOTER,
                current_leader_epoch: 5,
                snapshot_id: log_end,
                position: 77,
                max_bytes: 1_000,
            },
            1,
        ),
        (
            QuorumRequest::AddVoter {
                cluster_id: cluster_id(),
                timeout_ms: 2_000,
                voter: Some(VOTER),
                endpoints: endpoints(),
                ack_when_committed: false,
            },
            1,
        ),
        (QuorumRequest::RemoveVoter { cluster_id: cluster_id(), voter: Some(VOTER) }, 0),
        (
            QuorumRequest::UpdateVoter {
                cluster_id: cluster_id(),
                current_leader_epoch: 5,
                voter: Some(VOTER),
                endpoints: endpoints(),
                supported: SupportedVersionRange { min: 0, max: 1 },
            },
            0,
        ),
    ];
    for (request, version) in requests {
        let (api, bytes) = write(request.clone(), version);
        let read = read_request(api, version, &mut Reader::new(&bytes)).unwrap();
        assert_eq!(read, Some(Incoming::Request(request)), "{api}");
    }
}

#[test]
fn a_pre_vote_cannot_be_said_in_an_older_version() {
    let request = QuorumRequest::Vote {
        cluster_id: None,
        voter: None,
        epoch: 5,
        candidate: CANDIDATE,
        log_end: OffsetAndEpoch::default(),
        pre_vote: true,
    };
    let WireRequest::Vote(message) = WireRequest::from(request) else { panic!() };
    assert!(message.write(&mut Writer::new(), 1).is_err());
}

#[test]
fn successors_without_directories_are_taken_from_version_0() {
    let request = QuorumRequest::EndQuorumEpoch {
        cluster_id: None,
        leader_id: 3,
        epoch: 5,
        preferred_candidates: vec![VOTER],
        leader_endpoints: endpoints(),
    };
    let (api, bytes) = write(request, 0);
    let Some(Incoming::Request(QuorumRequest::EndQuorumEpoch {
        preferred_candidates, leader_endpoints, ..
    })) = read_request(api, 0, &mut Reader::new(&bytes)).unwrap()
    else {
        panic!()
    };
    assert_eq!(preferred_candidates, [ReplicaKey { id: 2, directory_id: None }]);
    assert!(leader_endpoints.is_empty());
}

fn answered<R>(
    response: &QuorumResponse,
    api: ApiKey,
    version: i16,
    listener: &str,
    read: impl FnOnce(&[u8]) -> R,
) -> R {
    let mut writer = Writer::new();
    write_response(response, api, version, listener, &mut writer).unwrap();
    read(&writer.into_bytes())
}

#[test]
fn answers_arrive_with_the_leaders_endpoint_of_the_listener_asked() {
    let response = |body| QuorumResponse {
        top_level_error: ErrorCode::None,
        error: ErrorCode::FencedLeaderEpoch,
        leader: LeaderAndEpoch { leader_id: Some(3), epoch: 7 },
        leader_endpoints: endpoints(),
        body,
    };
    let seen = |response: &QuorumResponse| QuorumResponse {
        leader_endpoints: vec![Endpoint::new("CONTROLLER", "two", 9094)],
        ..response.clone()
    };
    let name = "CONTROLLER";
    let vote = response(ResponseBody::Vote { granted: true });
    let read = answered(&vote, ApiKey::Vote, 2, "SECOND", |bytes| {
        vote_response(VoteResponse::read(&mut Reader::new(bytes), 2).unwrap(), name)
    });
    assert_eq!(read, Some(seen(&vote)));
    let begin = response(ResponseBody::BeginQuorumEpoch);
    let read = answered(&begin, ApiKey::BeginQuorumEpoch, 1, "SECOND", |bytes| {
        let response = BeginQuorumEpochResponse::read(&mut Reader::new(bytes), 1).unwrap();
        begin_quorum_epoch_response(response, name)
    });
    assert_eq!(read, Some(seen(&begin)));
    let end = response(ResponseBody::EndQuorumEpoch);
    let read = answered(&end, ApiKey::EndQuorumEpoch, 1, "SECOND", |bytes| {
        let response = EndQuorumEpochResponse::read(&mut Reader::new(bytes), 1).unwrap();
        end_quorum_epoch_response(response, name)
    });
    assert_eq!(read, Some(seen(&end)));
    let fetch = response(ResponseBody::Fetch {
        log_start_offset: 3,
        high_watermark: Some(9),
        diverging_epoch: Some(OffsetAndEpoch::new(5, 2)),
        snapshot_id: Some(OffsetAndEpoch::new(6, 2)),
        records: vec![1, 2, 3],
    });
    let read = answered(&fetch, ApiKey::Fetch, 17, "SECOND", |bytes| {
        fetch_response(FetchResponse::read(&mut Reader::new(bytes), 17).unwrap(), name)
    });
    assert_eq!(read, Some(seen(&fetch)));
    let snapshot = response(ResponseBody::FetchSnapshot {
        snapshot_id: Some(OffsetAndEpoch::new(6, 2)),
        size: 1_000,
        position: 500,
        bytes: vec![4, 5],
    });
    let read = answered(&snapshot, ApiKey::FetchSnapshot, 1, "SECOND", |bytes| {
        fetch_snapshot_response(FetchSnapshotResponse::read(&mut Reader::new(bytes), 1).unwrap(), name)
    });
    assert_eq!(read, Some(seen(&snapshot)));
    let update = response(ResponseBody::UpdateVoter);
    let read = answered(&update, ApiKey::UpdateRaftVoter, 0, "SECOND", |bytes| {
        update_voter_response(&UpdateRaftVoterResponse::read(&mut Reader::new(bytes), 0).unwrap(), name)
    });
    assert_eq!(read, Some(seen(&update)));
}

#[test]
fn what_is_not_about_the_metadata_log_is_refused() {
    let mut message = protocol::messages::VoteRequest::default();
    let topic = protocol::messages::vote_request::TopicData {
        topic_name: "other".to_owned(),
        partitions: vec![Default::default()],
    };
    for topics in [vec![], vec![topic.clone()], vec![topic.clone(), topic]] {
        message.topics = topics;
        let mut writer = Writer::new();
        message.write(&mut writer, 2).unwrap();
        let bytes = writer.into_bytes();
        let Some(Incoming::Refused(response)) =
            read_request(ApiKey::Vote, 2, &mut Reader::new(&bytes)).unwrap()
        else {
            panic!()
        };
        assert_eq!(response.top_level_error, ErrorCode::InvalidRequest);
        let read = answered(&response, ApiKey::Vote, 2, "CONTROLLER", |bytes| {
            VoteResponse::read(&mut Reader::new(bytes), 2).unwrap()
        });
        assert_eq!((read.error_code, read.topics.len()), (42, 0));
    }
}
