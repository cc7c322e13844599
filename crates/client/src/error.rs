//! What a client can be told.

use std::io;

use common::ErrorCode;
use protocol::{ApiKey, DecodeError, EncodeError};

/// Why something could not be done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// A broker could not be reached, or the connection was lost.
    #[error("{address}: {reason}")]
    Connection {
        /// Which broker.
        address: String,
        /// What happened, and the likely cause.
        reason: String,
    },
    /// Nobody of the bootstrap servers answered.
    #[error("no broker of {servers} can be reached: {reason}")]
    Bootstrap {
        /// `bootstrap.servers`.
        servers: String,
        /// Why the last one could not.
        reason: String,
    },
    /// A bootstrap server has no host or no port.
    #[error("Invalid url in bootstrap.servers: {0}")]
    InvalidAddress(String),
    /// A broker does not answer in time.
    #[error("{address} did not answer {api} within {timeout_ms} ms")]
    Timeout {
        /// Which broker.
        address: String,
        /// What was asked.
        api: ApiKey,
        /// `request.timeout.ms`.
        timeout_ms: u64,
    },
    /// The broker does not speak an API, or no version that this client speaks too.
    #[error("{address} does not support {api}{detail}")]
    UnsupportedApi {
        /// Which broker.
        address: String,
        /// What was asked.
        api: ApiKey,
        /// Its versions.
        detail: String,
    },
    /// The broker's answer cannot be read.
    #[error("{address} answered {api} with something that cannot be read: {error}")]
    Answer {
        /// Which broker.
        address: String,
        /// What was asked.
        api: ApiKey,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// A request cannot be written in the version that the broker speaks.
    #[error("the broker's version of {api} cannot carry the request: {error}")]
    Request {
        /// What was to be asked.
        api: ApiKey,
        /// What is wrong.
        error: EncodeError,
    },
    /// The broker said no.
    #[error("{}", api_message(*.code, .message.as_deref()))]
    Api {
        /// Kafka's code.
        code: ErrorCode,
        /// The broker's words, where it has any.
        message: Option<String>,
    },
    /// A record was not delivered within `delivery.timeout.ms`.
    #[error("Expiring record for {partition}: {elapsed_ms} ms has passed since batch creation{detail}")]
    DeliveryTimeout {
        /// The partition it was for.
        partition: String,
        /// How long it was tried.
        elapsed_ms: u64,
        /// The last error.
        detail: String,
    },
    /// What was fetched is damaged, or cannot be read whole.
    #[error("{0}")]
    Damaged(String),
    /// A configuration key has a value that it does not take.
    #[error("Invalid value {value} for configuration {key}: {reason}")]
    Config {
        /// The key.
        key: String,
        /// What it was to be.
        value: String,
        /// What it takes.
        reason: String,
    },
    /// A partition's position is outside of its log, and `auto.offset.reset` is `none`.
    #[error(
        "Fetch position {offset} is out of range for partition {partition}, and auto.offset.reset is none"
    )]
    OffsetOutOfRange {
        /// The partition.
        partition: String,
        /// The offset that was asked for.
        offset: i64,
    },
    /// A new leader has less than the position says was read, and `auto.offset.reset` is `none`.
    #[error(
        "Truncated partition {partition}: the position is {offset}, and the leader's log of its epoch ends at {end}"
    )]
    LogTruncation {
        /// The partition.
        partition: String,
        /// Where the consumer is.
        offset: i64,
        /// Where what both have ends.
        end: i64,
    },
    /// A partition has no committed offset, and `auto.offset.reset` is `none`.
    #[error("Undefined offset with no reset policy for partitions: [{partition}]")]
    NoOffset {
        /// The partition.
        partition: String,
    },
    /// A commit was refused because the consumer is no member of its group any more (`CommitFailedException`).
    #[error(
        "Offset commit cannot be completed since the consumer is not part of an active group for auto partition assignment; \
         it is likely that the consumer was kicked out of the group."
    )]
    CommitFailed,
    /// A commit has to wait for a rebalance to end: the next poll takes part in it (`RebalanceInProgressException`).
    #[error(
        "Offset commit cannot be completed since the consumer is undergoing a rebalance for auto partition assignment. You \
         can try completing the rebalance by calling poll() and then retry the operation."
    )]
    RebalanceInProgress,
    /// Something of the group's cannot be understood.
    #[error("{0}")]
    Group(String),
    /// What was called does not go with what was called or configured before.
    #[error("{0}")]
    IllegalState(String),
    /// [`crate::consumer::Wakeup::wakeup`] was called.
    #[error("the consumer was woken up")]
    Wakeup,
    /// A record, or a set of them, that the producer does not take.
    #[error("{0}")]
    Record(String),
    /// What was asked for is there, and is of another kind.
    #[error("{0}")]
    Unsuitable(String),
    /// The producer or consumer was closed.
    #[error("the client is closed")]
    Closed,
}

fn api_message(code: ErrorCode, message: Option<&str>) -> String {
    match message {
        Some(message) if !message.is_empty() => message.to_owned(),
        _ => code.message().to_owned(),
    }
}

impl ClientError {
    /// What the broker said, as an error.
    pub fn api(code: ErrorCode, message: Option<String>) -> ClientError {
        ClientError::Api { code, message }
    }

    /// `Ok` for the code of success.
    pub fn check(code: i16, message: Option<&str>) -> Result<(), ClientError> {
        match ErrorCode::from_code(code) {
            ErrorCode::None => Ok(()),
            code => Err(ClientError::api(code, message.map(str::to_owned))),
        }
    }

    /// The broker's code, if it was the broker that said no.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            ClientError::Api { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the same request may succeed later (`RetriableException`).
    pub fn is_retriable(&self) -> bool {
        match self {
            ClientError::Connection { .. } | ClientError::Timeout { .. } | ClientError::Bootstrap { .. } => {
                true
            }
            ClientError::Api { code, .. } => is_retriable(*code),
            _ => false,
        }
    }

    pub(crate) fn connection(address: &str, error: &io::Error) -> ClientError {
        let reason = match error.kind() {
            io::ErrorKind::ConnectionRefused => "connection refused; is a broker running there?".to_owned(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                "the broker closed the connection; is this a PLAINTEXT listener of a broker? One of TLS or SASL closes it too"
                    .to_owned()
            }
            _ => error.to_string(),
        };
        ClientError::Connection { address: address.to_owned(), reason }
    }
}

/// The codes behind which Kafka's clients try again.
pub(crate) fn is_retriable(code: ErrorCode) -> bool {
    use ErrorCode as E;
    matches!(
        code,
        E::CorruptMessage
            | E::UnknownTopicOrPartition
            | E::LeaderNotAvailable
            | E::NotLeaderOrFollower
            | E::RequestTimedOut
            | E::ReplicaNotAvailable
            | E::NetworkException
            | E::CoordinatorLoadInProgress
            | E::CoordinatorNotAvailable
            | E::NotCoordinator
            | E::NotEnoughReplicas
            | E::NotEnoughReplicasAfterAppend
            | E::NotController
            | E::KafkaStorageError
            | E::FetchSessionIdNotFound
            | E::InvalidFetchSessionEpoch
            | E::ListenerNotFound
            | E::FencedLeaderEpoch
            | E::UnknownLeaderEpoch
            | E::OffsetNotAvailable
            | E::PreferredLeaderNotAvailable
            | E::EligibleLeadersNotAvailable
            | E::UnstableOffsetCommit
            | E::ThrottlingQuotaExceeded
            | E::UnknownTopicId
            | E::InconsistentTopicId
            | E::FetchSessionTopicIdError
            | E::ConcurrentTransactions
    )
}
