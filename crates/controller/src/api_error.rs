//! What a request failed with (`org.apache.kafka.common.requests.ApiError`).

use common::ErrorCode;

/// An error code and, where Kafka sends one, a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}: {}", message.as_deref().unwrap_or("no message"))]
pub struct ApiError {
    /// The code.
    pub error: ErrorCode,
    /// What the client is told.
    pub message: Option<String>,
}

impl ApiError {
    /// An error with a message.
    pub fn new(error: ErrorCode, message: impl Into<String>) -> ApiError {
        ApiError { error, message: Some(message.into()) }
    }

    /// An error whose message Kafka leaves out.
    pub fn silent(error: ErrorCode) -> ApiError {
        ApiError { error, message: None }
    }

    /// An error with the message that belongs to its code.
    pub fn standard(error: ErrorCode) -> ApiError {
        let message = match error {
            ErrorCode::UnknownTopicOrPartition => "This server does not host this topic-partition.",
            ErrorCode::UnknownTopicId => "This server does not host this topic ID.",
            ErrorCode::ElectionNotNeeded => "Leader election not needed for topic partition.",
            ErrorCode::PreferredLeaderNotAvailable => "The preferred leader was not available.",
            ErrorCode::EligibleLeadersNotAvailable => "Eligible topic partition leaders are not available.",
            ErrorCode::TopicDeletionDisabled => "Topic deletion is disabled.",
            _ => return ApiError::silent(error),
        };
        ApiError::new(error, message)
    }

    /// The code as it goes on the wire.
    pub fn code(&self) -> i16 {
        self.error.code()
    }
}

/// The code and the message of an outcome, as response fields.
pub(crate) fn code_and_message(outcome: Result<(), ApiError>) -> (i16, Option<String>) {
    match outcome {
        Ok(()) => (ErrorCode::None.code(), None),
        Err(error) => (error.code(), error.message),
    }
}
