//! Committed offsets (Kafka's `OffsetMetadataManager`).

mod commit;
mod expire;
mod fetch;
mod store;

pub use store::{OffsetAndMetadata, OffsetMetadataManager};
