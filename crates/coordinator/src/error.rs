//! Errors of operations and of records.

use common::ErrorCode;

/// What a coordinator answers when the log refused its records, or the transaction coordinator could not be asked
/// (`CoordinatorOperationExceptionHelper`): errors of a partition mean nothing to a client of a coordinator, so each
/// becomes the one that makes the client do the right thing next.
pub fn operation_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::NetworkException => ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::NotEnoughReplicasAfterAppend
        | ErrorCode::RequestTimedOut => ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::InvalidFetchSize => {
            ErrorCode::UnknownServerError
        }
        other => other,
    }
}

/// Why a record of the coordinator's topic could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordDecodeError {
    /// The key is of a kind that this release does not know, perhaps written by a later one.
    #[error("unknown record type {0}")]
    UnknownType(i16),
    /// The value's version is none that this release knows.
    #[error("unknown version {version} of record type {record_type}")]
    UnknownVersion {
        /// The kind of the record.
        record_type: i16,
        /// The value's version.
        version: i16,
    },
    /// The bytes are damaged.
    #[error("{0}")]
    Corrupt(String),
}
