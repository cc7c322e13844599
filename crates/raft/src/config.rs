//! What of `server.properties` the quorum and its log need, with Kafka's defaults
//! (`org.apache.kafka.raft.QuorumConfig`, `MetadataLogConfig`).

use std::path::PathBuf;

use common::Uuid;

use crate::Endpoint;

/// The largest batch of the metadata log, in bytes (`KafkaRaftClient.MAX_BATCH_SIZE_BYTES`).
pub const MAX_BATCH_SIZE_BYTES: usize = 8 * 1024 * 1024;

/// `controller.quorum.*`.
#[derive(Clone, Debug, PartialEq)]
pub struct QuorumConfig {
    /// `controller.quorum.election.timeout.ms`.
    pub election_timeout_ms: i64,
    /// `controller.quorum.fetch.timeout.ms`.
    pub fetch_timeout_ms: i64,
    /// `controller.quorum.election.backoff.max.ms`.
    pub election_backoff_max_ms: i64,
    /// `controller.quorum.request.timeout.ms`.
    pub request_timeout_ms: i64,
    /// `controller.quorum.retry.backoff.ms`.
    pub retry_backoff_ms: i64,
    /// `controller.quorum.fetch.max.bytes`.
    pub fetch_max_bytes: i32,
    /// `controller.quorum.fetch.snapshot.max.bytes`.
    pub fetch_snapshot_max_bytes: i32,
    /// `controller.quorum.auto.join.enable`.
    pub auto_join: bool,
}

impl Default for QuorumConfig {
    fn default() -> QuorumConfig {
        QuorumConfig {
            election_timeout_ms: 1_000,
            fetch_timeout_ms: 2_000,
            election_backoff_max_ms: 1_000,
            request_timeout_ms: 2_000,
            retry_backoff_ms: 20,
            fetch_max_bytes: 1024 * 1024,
            fetch_snapshot_max_bytes: 1024 * 1024,
            auto_join: false,
        }
    }
}

/// `metadata.log.*` and `metadata.max.retention.*`.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataLogConfig {
    /// `metadata.log.segment.bytes`.
    pub segment_bytes: i32,
    /// `metadata.log.segment.ms`.
    pub segment_ms: i64,
    /// `metadata.max.retention.bytes`: log and snapshots together; negative: no limit.
    pub retention_bytes: i64,
    /// `metadata.max.retention.ms`; negative: no limit.
    pub retention_ms: i64,
    /// The largest batch, in bytes.
    pub max_batch_size_bytes: usize,
    /// How long a snapshot marked as deleted stays, in milliseconds.
    pub delete_delay_ms: i64,
}

impl Default for MetadataLogConfig {
    fn default() -> MetadataLogConfig {
        MetadataLogConfig {
            segment_bytes: 1024 * 1024 * 1024,
            segment_ms: 7 * 24 * 60 * 60 * 1000,
            retention_bytes: 100 * 1024 * 1024,
            retention_ms: 7 * 24 * 60 * 60 * 1000,
            max_batch_size_bytes: MAX_BATCH_SIZE_BYTES,
            delete_delay_ms: 60_000,
        }
    }
}

/// All that [`crate::RaftNode::open`] needs.
#[derive(Clone, Debug, PartialEq)]
pub struct RaftConfig {
    /// `node.id`.
    pub node_id: i32,
    /// `directory.id` in the `meta.properties` of the metadata log directory.
    pub directory_id: Uuid,
    /// The id of the cluster; requests of another are refused. None: not checked.
    pub cluster_id: Option<String>,
    /// Whether this node has the role `controller`. One that has not keeps a copy of the log, which it does not sync.
    pub can_become_voter: bool,
    /// What spreads election timeouts: another number for each node and start.
    pub seed: u64,
    /// `controller.quorum.bootstrap.servers`: host, port. Empty: the static voters.
    pub bootstrap_servers: Vec<(String, u16)>,
    /// `metadata.log.dir`, or the first of `log.dirs`: the log is `__cluster_metadata-0` below it.
    pub metadata_log_dir: PathBuf,
    /// `controller.quorum.voters`: node id, host, port. Empty: a dynamic quorum, whose voters are in its log.
    pub static_voters: Vec<(i32, String, u16)>,
    /// The advertised controller listeners of this node, the default one first. A broker has none.
    pub endpoints: Vec<Endpoint>,
    /// The first of `controller.listener.names`: by it the quorum's nodes are reached.
    pub listener_name: String,
    /// The log.
    pub log: MetadataLogConfig,
    /// The quorum.
    pub quorum: QuorumConfig,
    /// `metadata.log.max.record.bytes.between.snapshots`.
    pub max_bytes_between_snapshots: u64,
    /// `metadata.log.max.snapshot.interval.ms`; 0: no snapshots by time.
    pub max_snapshot_interval_ms: i64,
}

impl RaftConfig {
    /// Kafka's defaults for all but what has none.
    pub fn new(node_id: i32, directory_id: Uuid, metadata_log_dir: impl Into<PathBuf>) -> RaftConfig {
        RaftConfig {
            node_id,
            directory_id,
            cluster_id: None,
            can_become_voter: true,
            seed: 0,
            bootstrap_servers: Vec::new(),
            metadata_log_dir: metadata_log_dir.into(),
            static_voters: Vec::new(),
            endpoints: Vec::new(),
            listener_name: "CONTROLLER".to_owned(),
            log: MetadataLogConfig::default(),
            quorum: QuorumConfig::default(),
            max_bytes_between_snapshots: 20 * 1024 * 1024,
            max_snapshot_interval_ms: 60 * 60 * 1000,
        }
    }
}
