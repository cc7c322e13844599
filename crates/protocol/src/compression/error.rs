//! What can be wrong with compressed bytes.

use super::Compression;

/// An error of a codec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompressionError {
    /// The bytes are damaged, cut, or not of this codec.
    #[error("corrupt {} data: {reason}", .codec.name())]
    Corrupt {
        /// The codec.
        codec: Compression,
        /// What the engine says.
        reason: String,
    },
    /// There are more decompressed bytes than the caller accepts.
    #[error("the decompressed data is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The engine failed, for want of memory.
    #[error("{} failed: {reason}", .codec.name())]
    Failed {
        /// The codec.
        codec: Compression,
        /// What the engine says.
        reason: String,
    },
}

impl CompressionError {
    /// The error for one that reading from a [`Decoder`](super::Decoder) gave.
    pub fn from_read(codec: Compression, error: &std::io::Error) -> CompressionError {
        CompressionError::Corrupt { codec, reason: error.to_string() }
    }

    pub(super) fn failed(codec: Compression, error: &std::io::Error) -> CompressionError {
        CompressionError::Failed { codec, reason: error.to_string() }
    }
}
