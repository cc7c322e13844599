//! What can go wrong with the metadata log and its quorum.

use std::io;
use std::path::{Path, PathBuf};

use crate::OffsetAndEpoch;

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, RaftError>;

/// What can go wrong with the metadata log and its quorum. The texts name the file or the setting, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum RaftError {
    /// The disk refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// `quorum-state` does not hold what Kafka writes there.
    #[error("{path} does not hold the state of a quorum: {reason}", path = path.display())]
    CorruptQuorumState {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A snapshot does not hold what Kafka writes there.
    #[error("the snapshot {path} is damaged: {reason}", path = path.display())]
    CorruptSnapshot {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A committed batch of the metadata log cannot be read.
    #[error("the metadata log {path} is damaged at offset {offset}: {reason}", path = path.display())]
    CorruptLog {
        /// The directory of the log.
        path: PathBuf,
        /// Where.
        offset: i64,
        /// What is wrong.
        reason: String,
    },
    /// The log starts late, and the snapshot that should hold what was before is not there.
    #[error(
        "Inconsistent snapshot state in {path}: there must be a snapshot at an offset larger than the current log \
         start offset {log_start_offset}, but the latest snapshot is {latest:?}",
        path = path.display()
    )]
    MissingSnapshot {
        /// The directory of the log.
        path: PathBuf,
        /// Where the log starts.
        log_start_offset: i64,
        /// The latest snapshot that is there.
        latest: Option<OffsetAndEpoch>,
    },
    /// The log below refused.
    #[error("the metadata log {path}: {reason}", path = path.display())]
    Log {
        /// The directory of the log.
        path: PathBuf,
        /// The storage layer's words.
        reason: String,
    },
    /// No voter is known, and nobody to ask.
    #[error(
        "the quorum of {path} has no voters: set controller.quorum.bootstrap.servers or controller.quorum.voters, or format \
         the directory with --standalone",
        path = path.display()
    )]
    NoVoters {
        /// The directory of the log.
        path: PathBuf,
    },
    /// A leader's log parts from this one below what is committed.
    #[error(
        "{path}: the leader asks to cut the log at offset {offset}, below the high watermark {high_watermark}: one of the \
         two has lost committed metadata. If a controller was begun with an empty disk, remove it from the quorum first",
        path = path.display()
    )]
    TruncationBelowHighWatermark {
        /// The directory of the log.
        path: PathBuf,
        /// Where the log was to be cut.
        offset: i64,
        /// What is committed.
        high_watermark: i64,
    },
    /// A voter change that cannot be.
    #[error("{0}")]
    InvalidUpdateVersion(String),
    /// Records can only be appended by the leader, in its epoch.
    #[error("append failed: epoch {given} was given, and this node is {state} in epoch {current}")]
    NotLeader {
        /// The epoch given.
        given: i32,
        /// The epoch now.
        current: i32,
        /// This node's state.
        state: &'static str,
    },
    /// More than one batch can hold (`RecordBatchTooLargeException`).
    #[error("The total record(s) size of {size} exceeds the maximum allowed batch size of {max}")]
    RecordBatchTooLarge {
        /// Bytes needed.
        size: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Nothing to append.
    #[error("append failed because there are no records")]
    EmptyAppend,
    /// A snapshot with this id cannot be made of this log.
    #[error("cannot create the snapshot {id}: {reason}")]
    InvalidSnapshotId {
        /// The id asked for.
        id: OffsetAndEpoch,
        /// Why not.
        reason: String,
    },
    /// A read below the log's start or above its high watermark.
    #[error("offset {offset} is not in the committed metadata log, which reaches from {start} to {end}")]
    OffsetOutOfRange {
        /// The offset asked for.
        offset: i64,
        /// The log start offset.
        start: i64,
        /// The high watermark.
        end: i64,
    },
}

/// Makes an [`RaftError::Io`] for `path`.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> RaftError + use<> {
    let path = path.to_owned();
    move |source| RaftError::Io { path, source }
}
