//! A broker with a replica: the real `Partition`, `ReplicaFetcher` and `LogManager` on its disk.

use std::sync::Arc;

use common::{ErrorCode, TopicIdPartition, TopicPartition, Uuid};
use io::SimulatedDisk;
use metadata::PartitionRegistration;
use protocol::messages::fetch_request::FetchPartition;
use protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use protocol::messages::{FetchRequest, ListOffsetsRequest, ListOffsetsResponse};
use replica::{FetcherConfig, LocalBroker, Partition, ReplicaFetcher};
use storage::{LogConfig, LogManager, LogManagerConfig};

use crate::fetch::{Fetched, FetchedPartition};
use crate::planted::Planted;

pub(crate) const TOPIC: Uuid = Uuid::from_u128(77);
pub(crate) const MAX_LAG_MS: i64 = 60;

/// What a leader knows of a follower's fetches: the session's id and epoch, and the partition that is fetched.
pub(crate) type Session = (i32, i32, Option<FetchPartition>);

/// A broker that runs.
pub(crate) struct Node {
    pub broker: Arc<LocalBroker>,
    pub logs: Arc<LogManager>,
    pub partition: Arc<Partition>,
    pub fetcher: ReplicaFetcher,
    /// The leader that `fetcher` asks.
    pub source: i32,
    /// The answer on its way to `fetcher`.
    pub answer: Option<Fetched>,
    pub high_watermark: i64,
    /// Up to where its committed records were looked at.
    pub looked_at: i64,
}

impl Node {
    /// Starts a broker on what its disk has, in an epoch, at a time of its clock.
    pub fn start(
        disk: &SimulatedDisk,
        id: i32,
        metadata: &PartitionRegistration,
        syncs: bool,
        (epoch, now_ms): (i64, i64),
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
        broker.set_epoch(epoch);
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
    ) -> Fetched {
        // A leader knows one session of each follower: its id is the number of the leader's life.
        let life = (self.broker.epoch() as i32).wrapping_mul(8) + self.broker.node_id();
        if request.session_epoch > 0 && (session.0, session.1) != (life, request.session_epoch) {
            let error = ErrorCode::InvalidFetchSessionEpoch;
            return Fetched { session_id: 0, error, partitions: Vec::new() };
        }
        let named = request.topics.first().and_then(|topic| topic.partitions.first()).cloned();
        let is_forgotten = request.session_epoch == 0 || !request.forgotten_topics_data.is_empty();
        let known = session.2.take().filter(|_| !is_forgotten);
        *session = (life, request.session_epoch + 1, named.or(known));
        let Some(asked) = &session.2 else {
            return Fetched { session_id: life, error: ErrorCode::None, partitions: Vec::new() };
        };
        let mut asked = asked.clone();
        if planted == Some(Planted::KeptTail) {
            asked.last_fetched_epoch = -1;
        }
        let id = TopicIdPartition { topic_id: TOPIC, partition: 0 };
        let broker = (request.replica_state.replica_id, request.replica_state.replica_epoch);
        let partition = FetchedPartition::of(&self.partition, id, &asked, broker, now_ms);
        Fetched { session_id: life, error: ErrorCode::None, partitions: vec![partition] }
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
