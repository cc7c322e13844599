//! A follower's fetch without a wire: what a leader answers, and how the follower takes it.

use common::{ErrorCode, TopicIdPartition};
use protocol::Records;
use protocol::messages::FetchResponse;
use protocol::messages::fetch_request::FetchPartition;
use protocol::messages::fetch_response::{EpochEndOffset, FetchableTopicResponse, PartitionData};
use replica::{FollowerPosition, Isolation, Partition, ReplicaFetcher};

/// The answer to a follower's fetch.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub session_id: i32,
    pub error: ErrorCode,
    pub partitions: Vec<FetchedPartition>,
}

/// One partition of it.
#[derive(Clone, Debug)]
pub(crate) struct FetchedPartition {
    pub id: TopicIdPartition,
    pub error: ErrorCode,
    pub records: Vec<u8>,
    pub high_watermark: i64,
    pub log_start_offset: i64,
    pub diverging: Option<(i32, i64)>,
}

impl FetchedPartition {
    /// What a leader has for a follower: `broker`, its id and epoch.
    pub fn of(
        partition: &Partition,
        id: TopicIdPartition,
        asked: &FetchPartition,
        broker: (i32, i64),
        now_ms: i64,
    ) -> FetchedPartition {
        let fetch = replica::FetchRequest {
            offset: asked.fetch_offset,
            max_bytes: asked.partition_max_bytes as usize,
            isolation: Isolation::LogEnd,
            only_leader: true,
            current_leader_epoch: asked.current_leader_epoch,
            last_fetched_epoch: asked.last_fetched_epoch,
            min_one_message: true,
        };
        let position = FollowerPosition {
            broker_id: broker.0,
            broker_epoch: broker.1,
            log_start_offset: asked.log_start_offset,
        };
        let fetched = match partition.fetch_as_follower(&fetch, &position, now_ms) {
            Ok((fetched, _)) => fetched,
            Err(error) => return FetchedPartition::failed(id, error.error_code()),
        };
        let mut records = Vec::new();
        match fetched.records.read_into(&mut records) {
            Ok(()) => FetchedPartition {
                id,
                error: ErrorCode::None,
                records,
                high_watermark: fetched.high_watermark,
                log_start_offset: fetched.log_start_offset,
                diverging: fetched.diverging.map(|end| (end.epoch, end.offset)),
            },
            Err(_) => FetchedPartition::failed(id, ErrorCode::KafkaStorageError),
        }
    }

    /// Nothing but an error.
    pub fn failed(id: TopicIdPartition, error: ErrorCode) -> FetchedPartition {
        FetchedPartition {
            id,
            error,
            records: Vec::new(),
            high_watermark: -1,
            log_start_offset: -1,
            diverging: None,
        }
    }
}

impl Fetched {
    /// The follower takes it.
    pub fn arrive(&self, fetcher: &mut ReplicaFetcher, now_ms: i64) -> replica::Fetched {
        let responses = self.partitions.iter().map(|partition| FetchableTopicResponse {
            topic_id: partition.id.topic_id,
            partitions: vec![PartitionData {
                partition_index: partition.id.partition,
                error_code: partition.error.code(),
                high_watermark: partition.high_watermark,
                log_start_offset: partition.log_start_offset,
                diverging_epoch: partition.diverging.map_or_else(
                    EpochEndOffset::default,
                    |(epoch, end_offset)| EpochEndOffset { epoch, end_offset },
                ),
                records: Some(Records::Inline(&partition.records)),
                ..PartitionData::default()
            }],
            ..FetchableTopicResponse::default()
        });
        let response = FetchResponse {
            error_code: self.error.code(),
            session_id: self.session_id,
            responses: responses.collect(),
            ..FetchResponse::default()
        };
        fetcher.on_response(&response, now_ms)
    }
}
