//! KRaft: the metadata log and the quorum that writes it.
//!
//! [`RaftNode`] is the whole of it for a server: one thread owns it, hands in the time, appends metadata records and
//! takes committed ones. Below it, [`core`] decides (pure: events and time in, actions out), [`MetadataLog`] keeps the
//! log and its snapshots, [`QuorumStateStore`] remembers elections. Follows `org.apache.kafka.raft` and
//! `org.apache.kafka.snapshot`; what is on disk is Kafka's byte for byte.
//!
//! This version runs quorums of one voter.

mod batch;
mod config;
mod control_record;
mod control_state;
pub mod core;
mod election_state;
mod error;
mod ids;
mod quorum_state;
pub mod snapshot;
mod voter_set;

pub use batch::CommittedBatch;
pub use config::{MAX_BATCH_SIZE_BYTES, MetadataLogConfig, QuorumConfig, RaftConfig};
pub use control_record::ControlRecord;
pub use election_state::ElectionState;
pub use error::{RaftError, Result};
pub use ids::{LeaderAndEpoch, OffsetAndEpoch, ReplicaKey};
pub use quorum_state::QuorumStateStore;
pub use snapshot::{FrozenSnapshot, SnapshotReader, SnapshotWriter};
pub use voter_set::{Endpoint, SupportedVersionRange, VoterNode, VoterSet};
