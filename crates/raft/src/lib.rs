//! KRaft: the metadata log and the quorum that writes it.
//!
//! [`RaftNode`] is the whole of it for a server: one thread owns it, hands in the time, appends metadata records and
//! takes committed ones. Below it, [`core`] holds the states of elections, [`MetadataLog`] keeps the
//! log and its snapshots, [`QuorumStateStore`] remembers elections, [`wire`] reads and writes the quorum's requests. [`format`] makes new directories. Follows
//! `org.apache.kafka.raft`, `org.apache.kafka.snapshot` and `org.apache.kafka.metadata.storage`; what is on disk is
//! Kafka's byte for byte.

mod batch;
mod config;
mod control_record;
mod control_state;
pub mod core;
mod election_state;
mod error;
pub mod format;
mod ids;
mod messages;
mod metadata_log;
mod node;
mod quorum_state;
pub mod snapshot;
mod voter_set;
pub mod wire;

pub use batch::CommittedBatch;
pub use config::{MAX_BATCH_SIZE_BYTES, MetadataLogConfig, QuorumConfig, RaftConfig};
pub use control_record::ControlRecord;
pub use core::ReplicaState;
pub use election_state::ElectionState;
pub use error::{RaftError, Result};
pub use ids::{LeaderAndEpoch, OffsetAndEpoch, ReplicaKey};
pub use messages::{
    QuorumNode, QuorumRequest, QuorumResponse, RaftInput, RaftOutput, RequestFailure, ResponseBody,
};
pub use metadata_log::{MetadataLog, ValidOffsetAndEpoch};
pub use node::{QuorumDescription, RaftEvent, RaftNode, SnapshotReason};
pub use quorum_state::QuorumStateStore;
pub use snapshot::{FrozenSnapshot, SnapshotReader, SnapshotWriter};
pub use voter_set::{Endpoint, SupportedVersionRange, VoterNode, VoterSet};
