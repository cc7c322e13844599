//! A broker with a replica: the real `Partition`, `ReplicaFetcher` and `LogManager` on its disk.

use std::sync::Arc;

use common::{ErrorCode, TopicPartition, Uuid};
use io::SimulatedDisk;
use metadata::PartitionRegistration;
use protocol::messages::fetch_request::FetchPartition;
use protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use protocol::messages::{FetchRequest, ListOffsetsRequest, ListOffsetsResponse};
use replica::{FetcherConfig, FollowerPosition, Isolation, LocalBroker, Partition, ReplicaFetcher};
use storage::checkpoint::MetaProperties;
use storage::{LogConfig, LogManager, LogManagerConfig};

use crate::planted::Planted;

pub(crate) const TOPIC: Uuid = Uuid::from_u128(77);
pub(crate) const MAX_LAG_MS: i64 = 60;

/// What a leader knows of a follower's fetches: the session's id and epoch, and the partition that is fetched.
pub(crate) type Session = (i32, i32, Option<FetchPartition>);

/// What a leader has answered.
pub(crate) struct Answer {
    pub session_id: i32,
    pub error: ErrorCode,
    pub partition: Option<PartitionAnswer>,
}

pub(crate) struct PartitionAnswer {
    pub error: ErrorCode,
    pub records: Vec<u8>,
    pub high_watermark: i64,
    pub log_start_offset: i64,
    pub diverging: Option<(i32, i64)>,
}

/// A broker that runs.
pub(crate) struct Node {
    pub broker: Arc<LocalBroker>,
    pub logs: Arc<LogManager>,
    pub partition: Arc<Partition>,
    pub fetcher: ReplicaFetcher,
    /// The leader that `fetcher` asks.
    pub source: i32,
    /// The answer on its way to `fetcher`.
    pub answer: Option<Answer>,
    pub high_watermark: i64,
    /// Up to where its committed records were looked at.
    pub looked_at: i64,
}

/// Makes the directory of a broker.
pub(crate) fn format(disk: &SimulatedDisk, id: i32) -> Result<(), String> {
    let data = disk.path().join("data");
    io::fs::create_dir_all(&data).map_err(|error| error.to_string())?;
    io::fs::sync_dir(disk.path()).map_err(|error| error.to_string())?;
    MetaProperties::new("cluster".to_owned(), id, Uuid::from_u128(id as u128 + 1))
        .write(&data)
        .map_err(|error| error.to_string())
}

impl Node {
    /// Starts a broker on what its disk has.
    pub fn start(
        disk: &SimulatedDisk,
        id: i32,
        metadata: &PartitionRegistration,
        syncs: bool,
        now_ms: i64,
    ) -> Result<Node, String> {
        let config = Arc::new(LogConfig {
            segment_size: 2000,
            index_interval: 300,
            flush_interval: if syncs { 1 } else { i64::MAX },
            ..LogConfig::default()
        });
        let logs = LogManager::open(LogManagerConfig {
            log_dirs: vec![disk.path().join("data")],
            cluster_id: Some("cluster".to_owned()),
            node_id: id,
            num_recovery_threads_per_data_dir: 1,
            default_config: Arc::clone(&config),
            producer_id_expiration_ms: 86_400_000,
        });
        let logs = Arc::new(logs.map_err(|error| error.to_string())?);
        logs.load(&|_| Some(Arc::clone(&config)), &|_, _| false, now_ms)
            .map_err(|error| error.to_string())?;
        let broker = Arc::new(LocalBroker::new(id, MAX_LAG_MS));
        broker.set_epoch(now_ms);
        let name = TopicPartition::new("t", 0);
        let log = logs.create_log(&name, Some(TOPIC), config, now_ms).map_err(|error| error.to_string())?;
        if syncs {
            // What survived in the memory of the system counts from now on as what this replica has.
            log.flush().map_err(|error| error.to_string())?;
        }
        let registration = Arc::new(metadata.clone());
        let partition = Partition::new(name, TOPIC, Arc::clone(&broker), log, registration, 2, now_ms)
            .map_err(|error| error.to_string())?;
        let fetcher_config = FetcherConfig {
            max_bytes: 300,
            response_max_bytes: 1000,
            min_bytes: 1,
            max_wait_ms: 0,
            backoff_ms: 5,
        };
        let fetcher = ReplicaFetcher::new(fetcher_config, Arc::clone(&broker), Arc::clone(&logs));
        let high_watermark = partition.log().high_watermark();
        Ok(Node {
            broker,
            logs,
            partition: Arc::new(partition),
            fetcher,
            source: -1,
            answer: None,
            high_watermark,
            looked_at: 0,
        })
    }

    /// Answers a follower's fetch.
    pub fn answer(
        &self,
        session: &mut Session,
        request: &FetchRequest,
        planted: Option<Planted>,
        now_ms: i64,
    ) -> Answer {
        // A leader knows one session of each follower: its id is the number of the leader's life.
        let life = (self.broker.epoch() as i32).wrapping_mul(8) + self.broker.node_id();
        if request.session_epoch > 0 && (session.0, session.1) != (life, request.session_epoch) {
            return Answer { session_id: 0, error: ErrorCode::InvalidFetchSessionEpoch, partition: None };
        }
        let named = request.topics.first().and_then(|topic| topic.partitions.first()).cloned();
        let is_forgotten = request.session_epoch == 0 || !request.forgotten_topics_data.is_empty();
        let known = session.2.take().filter(|_| !is_forgotten);
        *session = (life, request.session_epoch + 1, named.or(known));
        let Some(asked) = &session.2 else {
            return Answer { session_id: life, error: ErrorCode::None, partition: None };
        };
        let fetch = replica::FetchRequest {
            offset: asked.fetch_offset,
            max_bytes: asked.partition_max_bytes as usize,
            isolation: Isolation::LogEnd,
            only_leader: true,
            current_leader_epoch: asked.current_leader_epoch,
            last_fetched_epoch: match planted {
                Some(Planted::KeptTail) => -1,
                _ => asked.last_fetched_epoch,
            },
            min_one_message: true,
        };
        let position = FollowerPosition {
            broker_id: request.replica_state.replica_id,
            broker_epoch: request.replica_state.replica_epoch,
            log_start_offset: asked.log_start_offset,
        };
        let failed = |error| PartitionAnswer {
            error,
            records: Vec::new(),
            high_watermark: -1,
            log_start_offset: -1,
            diverging: None,
        };
        let partition = match self.partition.fetch_as_follower(&fetch, &position, now_ms) {
            Ok((fetched, _)) => {
                let mut records = Vec::new();
                match fetched.records.read_into(&mut records) {
                    Ok(()) => PartitionAnswer {
                        error: ErrorCode::None,
                        records,
                        high_watermark: fetched.high_watermark,
                        log_start_offset: fetched.log_start_offset,
                        diverging: fetched.diverging.map(|end| (end.epoch, end.offset)),
                    },
                    Err(_) => failed(ErrorCode::KafkaStorageError),
                }
            }
            Err(error) => failed(error.error_code()),
        };
        Answer { session_id: life, error: ErrorCode::None, partition: Some(partition) }
    }

    /// Answers where its log begins or ends.
    pub fn answer_lookup(&self, request: &ListOffsetsRequest) -> Option<ListOffsetsResponse> {
        const LATEST: i64 = -1;
        let asked = request.topics.first()?.partitions.first()?;
        let log = self.partition.log();
        let (error, offset) = match self.partition.check_leader(asked.current_leader_epoch) {
            Err(error) => (error.error_code(), -1),
            Ok(()) if asked.timestamp == LATEST => (ErrorCode::None, log.log_end_offset()),
            Ok(()) => (ErrorCode::None, log.log_start_offset()),
        };
        Some(ListOffsetsResponse {
            topics: vec![ListOffsetsTopicResponse {
                name: "t".to_owned(),
                partitions: vec![ListOffsetsPartitionResponse {
                    partition_index: 0,
                    error_code: error.code(),
                    offset,
                    ..Default::default()
                }],
            }],
            ..Default::default()
        })
    }
}
