//! What nodes of the quorum ask each other, in every version.

use common::topic::CLUSTER_METADATA_TOPIC;
use common::{ErrorCode, Uuid};
use protocol::ApiKey;
use protocol::messages::*;

use super::ok;
use crate::harness::{Client, NODE, elsewhere, error};

/// Asks in one version. False where this is no API of the quorum.
pub async fn ask(client: &mut Client, api: ApiKey, version: i16) -> bool {
    let topic_name = CLUSTER_METADATA_TOPIC.to_owned();
    match api {
        ApiKey::Fetch => fetch(client, version).await,
        ApiKey::FetchSnapshot => {
            use fetch_snapshot_request::{PartitionSnapshot, TopicSnapshot};
            // The snapshot of formatting is given to nobody.
            let partition = PartitionSnapshot { current_leader_epoch: 1, ..PartitionSnapshot::default() };
            let topic = TopicSnapshot { name: topic_name, partitions: vec![partition] };
            let request = FetchSnapshotRequest { topics: vec![topic], ..FetchSnapshotRequest::default() };
            let response = client.call(version, &request).await;
            // Apache Kafka stumbles over the records that its own answer does not have, and says so.
            if elsewhere().is_some() && error(response.error_code) == ErrorCode::UnknownServerError {
                return true;
            }
            ok(response.error_code);
            let partition = &response.topics[0].partitions[0];
            assert_eq!(error(partition.error_code), ErrorCode::SnapshotNotFound);
            assert_eq!(
                (partition.current_leader.leader_id, partition.current_leader.leader_epoch),
                (NODE, 1)
            );
            assert_eq!(response.node_endpoints.len(), usize::from(version >= 1));
        }
        ApiKey::Vote => {
            use vote_request::{PartitionData, TopicData};
            let partition = PartitionData { replica_id: 77, replica_epoch: 0, ..PartitionData::default() };
            let topic = TopicData { topic_name, partitions: vec![partition] };
            let mut request = VoteRequest { topics: vec![topic], ..VoteRequest::default() };
            request.topics[0].partitions[0].pre_vote = version >= 2;
            let response = client.call(version, &request).await;
            ok(response.error_code);
            let partition = &response.topics[0].partitions[0];
            let expected =
                if version >= 2 { ErrorCode::FencedLeaderEpoch } else { ErrorCode::InvalidRequest };
            assert_eq!((error(partition.error_code), partition.vote_granted), (expected, false));
            assert_eq!((partition.leader_id, partition.leader_epoch), (NODE, 1));
            assert_eq!(response.node_endpoints.len(), usize::from(version >= 1));
        }
        ApiKey::BeginQuorumEpoch => {
            use begin_quorum_epoch_request::{PartitionData, TopicData};
            let partition = PartitionData { leader_id: 77, leader_epoch: 0, ..PartitionData::default() };
            let topic = TopicData { topic_name, partitions: vec![partition] };
            let request =
                BeginQuorumEpochRequest { topics: vec![topic], ..BeginQuorumEpochRequest::default() };
            let response = client.call(version, &request).await;
            let partition = &response.topics[0].partitions[0];
            assert_eq!(error(partition.error_code), ErrorCode::FencedLeaderEpoch);
            assert_eq!((partition.leader_id, partition.leader_epoch), (NODE, 1));
        }
        ApiKey::EndQuorumEpoch => {
            use end_quorum_epoch_request::{PartitionData, TopicData};
            let partition = PartitionData { leader_id: 77, leader_epoch: 0, ..PartitionData::default() };
            let topic = TopicData { topic_name, partitions: vec![partition] };
            let request = EndQuorumEpochRequest { topics: vec![topic], ..EndQuorumEpochRequest::default() };
            let response = client.call(version, &request).await;
            let partition = &response.topics[0].partitions[0];
            assert_eq!(error(partition.error_code), ErrorCode::FencedLeaderEpoch);
        }
        ApiKey::AddRaftVoter => {
            let request = AddRaftVoterRequest {
                cluster_id: Some("another-cluster".to_owned()),
                voter_id: 77,
                voter_directory_id: Uuid::random(),
                ..AddRaftVoterRequest::default()
            };
            let response = client.call(version, &request).await;
            assert_eq!(error(response.error_code), ErrorCode::InconsistentClusterId);
        }
        ApiKey::RemoveRaftVoter => {
            let request =
                RemoveRaftVoterRequest { cluster_id: None, voter_id: 77, voter_directory_id: Uuid::random() };
            let response = client.call(version, &request).await;
            assert_eq!(error(response.error_code), ErrorCode::VoterNotFound);
        }
        ApiKey::UpdateRaftVoter => {
            let request = UpdateRaftVoterRequest {
                current_leader_epoch: 0,
                voter_id: 77,
                voter_directory_id: Uuid::random(),
                ..UpdateRaftVoterRequest::default()
            };
            let request = UpdateRaftVoterRequest { cluster_id: None, ..request };
            let response = client.call(version, &request).await;
            assert_eq!(error(response.error_code), ErrorCode::FencedLeaderEpoch);
            assert_eq!(response.current_leader.leader_id, NODE);
        }
        _ => return false,
    }
    true
}

async fn fetch(client: &mut Client, version: i16) {
    use fetch_request::{FetchPartition, FetchTopic};
    let partition =
        FetchPartition { current_leader_epoch: 1, last_fetched_epoch: 0, ..FetchPartition::default() };
    let partition = match version {
        12.. => partition,
        9.. => FetchPartition { last_fetched_epoch: -1, ..partition },
        _ => FetchPartition { last_fetched_epoch: -1, current_leader_epoch: -1, ..partition },
    };
    let topic = FetchTopic {
        topic: CLUSTER_METADATA_TOPIC.to_owned(),
        topic_id: Uuid::METADATA_TOPIC,
        partitions: vec![partition],
    };
    let request = FetchRequest { topics: vec![topic], max_bytes: 1, ..FetchRequest::default() };
    let response = client.call(version, &request).await;
    if version < 13 {
        // It names the topic, and the quorum knows it by its id; before version 7 there is no place for the error.
        let expected = if version < 7 { ErrorCode::None } else { ErrorCode::InvalidRequest };
        assert_eq!((error(response.error_code), response.responses.len()), (expected, 0));
        return;
    }
    ok(response.error_code);
    let partition = &response.responses[0].partitions[0];
    ok(partition.error_code);
    assert_eq!((partition.current_leader.leader_id, partition.current_leader.leader_epoch), (NODE, 1));
    assert!(partition.records.is_some_and(|records| !records.is_empty()), "the first batch, however large");
    assert!(partition.high_watermark > 0);
}
