//! Why there is no answer.

use std::io;
use std::sync::Arc;

use protocol::{ApiKey, DecodeError, EncodeError};

/// Why a peer gave no answer that can be read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// There is no connection, and none can be made.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// Host and port.
        address: Arc<str>,
        /// What the system says.
        reason: Arc<str>,
        /// Its kind.
        kind: io::ErrorKind,
    },
    /// The connection was lost before the answer. Whether the peer has served the request is not known.
    #[error("the connection to {address} was lost: {reason}")]
    Disconnected {
        /// Host and port.
        address: Arc<str>,
        /// What the system says.
        reason: Arc<str>,
    },
    /// The answer did not come in time. Whether the peer has served the request is not known.
    #[error("{address} did not answer {api} within {ms} ms")]
    Timeout {
        /// Host and port.
        address: Arc<str>,
        /// The request.
        api: ApiKey,
        /// How long it was waited for, in milliseconds.
        ms: u64,
    },
    /// The peer speaks no version of this API that this side may use.
    #[error("{address} serves {api} in {served}, and this node speaks it in {spoken}")]
    UnsupportedVersion {
        /// Host and port.
        address: Arc<str>,
        /// The request.
        api: ApiKey,
        /// What the peer serves.
        served: Versions,
        /// What this side may use.
        spoken: Versions,
    },
    /// The request cannot be written in the version that the peer speaks.
    #[error("a request of {api} for {address} cannot be written: {error}")]
    Request {
        /// Host and port.
        address: Arc<str>,
        /// The request.
        api: ApiKey,
        /// Why.
        error: EncodeError,
    },
    /// The answer cannot be read.
    #[error("the answer of {address} to {api} cannot be read: {error}")]
    Response {
        /// Host and port.
        address: Arc<str>,
        /// The request.
        api: ApiKey,
        /// Why.
        error: DecodeError,
    },
}

impl PeerError {
    /// Whether the peer's machine answers that nobody listens there: its process is gone.
    pub fn is_refused(&self) -> bool {
        matches!(self, PeerError::Connect { kind: io::ErrorKind::ConnectionRefused, .. })
    }

    /// Whether the peer could not be asked, or did not answer: another one might.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, PeerError::Connect { .. } | PeerError::Disconnected { .. } | PeerError::Timeout { .. })
    }
}

/// A range of versions, perhaps of none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions(pub Option<(i16, i16)>);

impl std::fmt::Display for Versions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            None => f.write_str("no version"),
            Some((first, last)) => write!(f, "versions {first} to {last}"),
        }
    }
}
