//! What a partition refuses, and why.

use common::ErrorCode;
use storage::{AppendError, LogError, ReadError};

/// Why a partition did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum PartitionError {
    /// This broker is not the leader.
    #[error("this server is not the leader for that topic-partition")]
    NotLeader,
    /// The client knows of a newer leader epoch than this broker.
    #[error("the leader epoch in the request is newer than the epoch on the broker")]
    UnknownLeaderEpoch,
    /// The client's leader epoch is over.
    #[error("the leader epoch in the request is older than the epoch on the broker")]
    FencedLeaderEpoch,
    /// The records that the reader has are of an epoch that this log never saw.
    #[error("the log has nothing of the leader epoch {0}, which the reader fetched last")]
    UnknownFetchedEpoch(i32),
    /// `acks=all` with fewer replicas in sync than `min.insync.replicas` asks for.
    #[error("{in_sync} replicas are in sync where min.insync.replicas asks for {required}")]
    NotEnoughReplicas {
        /// The replicas in sync.
        in_sync: usize,
        /// `min.insync.replicas`.
        required: usize,
    },
    /// A record was appended, and before it was committed too many replicas left the ISR.
    #[error(
        "{in_sync} replicas are in sync where min.insync.replicas asks for {required}; the records were appended before"
    )]
    NotEnoughReplicasAfterAppend {
        /// The replicas in sync.
        in_sync: usize,
        /// `min.insync.replicas`.
        required: usize,
    },
    /// The broker that fetches as a follower has no replica of the partition, or is one of an earlier life.
    #[error("broker {0} is no follower of the partition in its present epoch")]
    UnknownFollower(i32),
    /// What was fetched does not continue the log.
    #[error("records were fetched from {fetch_offset} on, and the log ends at {log_end_offset}")]
    OffsetMismatch {
        /// Where the fetch began.
        fetch_offset: i64,
        /// Where the log ends.
        log_end_offset: i64,
    },
    /// The log directory that holds the replica has failed.
    #[error("the replica is in a log directory that is offline")]
    Offline,
    /// The log refused an append.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The log refused a read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl PartitionError {
    /// Kafka's code for it.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            PartitionError::NotLeader | PartitionError::UnknownFollower(_) => ErrorCode::NotLeaderOrFollower,
            PartitionError::NotEnoughReplicasAfterAppend { .. } => ErrorCode::NotEnoughReplicasAfterAppend,
            PartitionError::UnknownLeaderEpoch => ErrorCode::UnknownLeaderEpoch,
            PartitionError::FencedLeaderEpoch => ErrorCode::FencedLeaderEpoch,
            PartitionError::UnknownFetchedEpoch(_) => ErrorCode::OffsetOutOfRange,
            PartitionError::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
            PartitionError::Offline => ErrorCode::KafkaStorageError,
            PartitionError::OffsetMismatch { .. } => ErrorCode::UnknownServerError,
            PartitionError::Append(error) => error.error_code(),
            PartitionError::Read(error) => error.error_code(),
            PartitionError::Log(error) => error.error_code(),
        }
    }
}
