//! Why a log refuses or fails. The texts are Kafka's; the wire's codes are asked for at the edge.

use std::io;
use std::path::PathBuf;

use common::ErrorCode;

use crate::checkpoint::CheckpointError;
use crate::producer::ProducerError;

/// A record that makes its batch be refused (`RecordError` of Produce version 8 and later, KIP-467).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// Which record of the batch, from 0.
    pub batch_index: i32,
    /// What is wrong with it.
    pub message: Option<String>,
}

/// A log directory that can no longer be used, or a file of it.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The operating system refused; the log directory is offline from now on.
    #[error("{action} in dir {}: {source}", .dir.display())]
    Io {
        /// What was being done.
        action: String,
        /// The log directory.
        dir: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The log directory failed before.
    #[error("The log dir {} is already offline due to a previous IO exception.", .dir.display())]
    Offline {
        /// The log directory.
        dir: PathBuf,
    },
    /// The log was closed.
    #[error("The log in {} is closed.", .dir.display())]
    Closed {
        /// The partition's directory.
        dir: PathBuf,
    },
}

/// Why records are not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// A batch is damaged or is none: `CORRUPT_MESSAGE`.
    #[error("{0}")]
    Corrupt(String),
    /// A batch breaks the rules: `INVALID_RECORD`.
    #[error("{0}")]
    InvalidRecord(String),
    /// Records of a batch break the rules: `INVALID_RECORD` or `INVALID_TIMESTAMP`.
    #[error("{message}")]
    InvalidRecords {
        /// Which of the two.
        code: ErrorCode,
        /// What is wrong.
        message: String,
        /// The records.
        records: Vec<RecordError>,
    },
    /// A message format of before Kafka 0.11: `UNSUPPORTED_FOR_MESSAGE_FORMAT`.
    #[error("{0}")]
    UnsupportedFormat(String),
    /// A batch is larger than `max.message.bytes`: `MESSAGE_TOO_LARGE`.
    #[error("{0}")]
    TooLarge(String),
    /// The records are larger than a segment: `RECORD_LIST_TOO_LARGE`.
    #[error("{0}")]
    BatchTooLarge(String),
    /// Offsets that come from elsewhere are not in order, or lie before the log's end: `UNKNOWN_SERVER_ERROR`.
    #[error("{message}")]
    UnexpectedOffset {
        /// What is wrong.
        message: String,
        /// The first offset of what was to be appended.
        first_offset: i64,
        /// Its last offset.
        last_offset: i64,
    },
    /// Another leader epoch has begun for this log: `NOT_LEADER_OR_FOLLOWER`.
    #[error("the leader epoch {epoch} is over, {current} has begun")]
    FencedEpoch {
        /// The epoch of the append.
        epoch: i32,
        /// The epoch now.
        current: i32,
    },
    /// The producer's epoch, sequence or transaction does not fit.
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// The log cannot be written: `KAFKA_STORAGE_ERROR`.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl AppendError {
    /// The code for the wire.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            AppendError::Corrupt(_) => ErrorCode::CorruptMessage,
            AppendError::InvalidRecord(_) => ErrorCode::InvalidRecord,
            AppendError::InvalidRecords { code, .. } => *code,
            AppendError::UnsupportedFormat(_) => ErrorCode::UnsupportedForMessageFormat,
            AppendError::TooLarge(_) => ErrorCode::MessageTooLarge,
            AppendError::BatchTooLarge(_) => ErrorCode::RecordListTooLarge,
            AppendError::UnexpectedOffset { .. } => ErrorCode::UnknownServerError,
            AppendError::FencedEpoch { .. } => ErrorCode::NotLeaderOrFollower,
            AppendError::Producer(error) => error.code,
            AppendError::Storage(_) => ErrorCode::KafkaStorageError,
        }
    }

    /// The records that are to blame, for Produce version 8 and later; empty if it is none in particular.
    pub fn record_errors(&self) -> &[RecordError] {
        match self {
            AppendError::InvalidRecords { records, .. } => records,
            _ => &[],
        }
    }
}

/// Why records are not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The offset is before the log's start or behind its end: `OFFSET_OUT_OF_RANGE`.
    #[error("{0}")]
    OffsetOutOfRange(String),
    /// There is something in the log that is no batch: `CORRUPT_MESSAGE`.
    #[error("{0}")]
    Corrupt(String),
    /// The log cannot be read: `KAFKA_STORAGE_ERROR`.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl ReadError {
    /// The code for the wire.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            ReadError::OffsetOutOfRange(_) => ErrorCode::OffsetOutOfRange,
            ReadError::Corrupt(_) => ErrorCode::CorruptMessage,
            ReadError::Storage(_) => ErrorCode::KafkaStorageError,
        }
    }
}

/// Why a log is not opened, changed or flushed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The offset is not one of the log: `OFFSET_OUT_OF_RANGE`.
    #[error("{0}")]
    OffsetOutOfRange(String),
    /// The directory belongs to another topic of the same name: `INCONSISTENT_TOPIC_ID`.
    #[error("{0}")]
    InconsistentTopicId(String),
    /// No log directory can take the log: `KAFKA_STORAGE_ERROR`.
    #[error("{0}")]
    NoLogDir(String),
    /// A log directory is none of this broker's: `LOG_DIR_NOT_FOUND`.
    #[error("Log dir {} is not found in the config.", .0.display())]
    UnknownDir(PathBuf),
    /// A small file of the log cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The log cannot be read or written: `KAFKA_STORAGE_ERROR`.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl LogError {
    /// The code for the wire.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            LogError::OffsetOutOfRange(_) => ErrorCode::OffsetOutOfRange,
            LogError::InconsistentTopicId(_) => ErrorCode::InconsistentTopicId,
            LogError::UnknownDir(_) => ErrorCode::LogDirNotFound,
            LogError::NoLogDir(_) | LogError::Checkpoint(_) | LogError::Storage(_) => {
                ErrorCode::KafkaStorageError
            }
        }
    }
}

impl From<LogError> for AppendError {
    fn from(error: LogError) -> AppendError {
        match error {
            LogError::Storage(error) => AppendError::Storage(error),
            other => AppendError::Storage(StorageError::Io {
                action: "Error while appending records".to_owned(),
                dir: PathBuf::new(),
                source: io::Error::other(other),
            }),
        }
    }
}
