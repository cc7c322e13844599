//! Formatting of log directories: what `kafka-storage` does (`org.apache.kafka.metadata.storage.Formatter`,
//! `kafka.tools.StorageTool`), in Kafka's words, and what a lone node does for itself.
//!
//! A directory counts as formatted once it has `meta.properties`, which is written last: a crash before that leaves a
//! directory that is formatted again.

mod bootstrap;
mod dynamic_voters;
mod ensemble;
mod formatter;
mod lone_node;
mod scram;
pub mod storage_tool;

pub use bootstrap::{BOOTSTRAP_FILE, read_bootstrap_metadata};
pub use dynamic_voters::{DynamicVoter, DynamicVoters, DynamicVotersError};
pub use formatter::{Formatter, FormatterError};
pub use lone_node::LoneNode;
