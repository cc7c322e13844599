//! Snapshots of the metadata log: files `<end offset>-<epoch>.checkpoint` beside its segments
//! (`org.apache.kafka.snapshot`).

mod download;
pub mod path;
mod reader;
mod writer;

pub use download::SnapshotDownload;
pub use path::{SnapshotKind, SnapshotPath};
pub use reader::SnapshotReader;
pub use writer::{FrozenSnapshot, SnapshotOptions, SnapshotWriter};
