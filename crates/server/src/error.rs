//! Why a broker does not start, or stops.

use config::ConfigError;
use controller::MetadataNodeError;
use raft::RaftError;
use storage::{LogDirError, LogError};

/// Why a broker does not start, or stops. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The configuration is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A setting asks for what this version does not have.
    #[error("{0}")]
    Unsupported(String),
    /// A log directory cannot be used.
    #[error(transparent)]
    LogDir(#[from] LogDirError),
    /// A log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The metadata log or the quorum failed.
    #[error(transparent)]
    Raft(#[from] RaftError),
    /// The directories cannot be formatted.
    #[error("the log directories cannot be formatted: {0}")]
    Format(String),
    /// The directories were not formatted.
    #[error(
        "{0} is not formatted: run 'milena storage format --standalone -t $(milena storage random-uuid) -c FILE' \
         with this configuration once, then start again"
    )]
    NotFormatted(String),
    /// A listener's address cannot be used.
    #[error("cannot listen on {address} for listener {listener}: {error}{hint}")]
    Bind {
        /// The listener's name.
        listener: String,
        /// Its address.
        address: String,
        /// What the system says.
        error: std::io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// The controller refused this broker.
    #[error("the controller refused to register this broker: {0}")]
    Registration(String),
    /// The metadata cannot be followed, or a decision not be written.
    #[error(transparent)]
    Metadata(#[from] MetadataNodeError),
    /// Records do not fit the state before them.
    #[error("the metadata log contradicts itself: {0}")]
    Replay(String),
    /// The system refused something.
    #[error("{0}: {1}")]
    Io(&'static str, std::io::Error),
    /// Every log directory has failed.
    #[error("every log directory has failed; the errors above name the disks to look at")]
    NoLogDir,
    /// The log directory with the metadata log has failed.
    #[error("the log directory {0}, which holds the metadata log, has failed; the errors above say why")]
    MetadataLogDir(String),
    /// The controller was not told of a failed log directory in time.
    #[error(
        "the controller could not be told within {timeout_ms} ms (log.dir.failure.timeout.ms) that the log directory {dir} has failed"
    )]
    LogDirNotTold {
        /// The directory.
        dir: String,
        /// `log.dir.failure.timeout.ms`.
        timeout_ms: i64,
    },
    /// The controller has stopped.
    #[error("the controller has stopped")]
    ControllerStopped,
}
