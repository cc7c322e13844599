//! The domain's words that more than one crate speaks: topics, partitions, ids and error codes.
//!
//! Never grows a type that only one crate uses.

mod error_code;
mod random;
pub mod topic;
mod uuid;

pub use error_code::ErrorCode;
pub use random::SplitMix64;
pub use topic::{TopicIdPartition, TopicPartition};
pub use uuid::{ParseUuidError, Uuid};
