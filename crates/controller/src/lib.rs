//! The controller: requests and state make records and answers, and records make the next state.
//!
//! [`MetadataNode`] keeps it in step with the quorum and the image. Everything here is synchronous and follows from its arguments: time, offsets and randomness come with each call, and
//! there is no I/O. One manager holds each kind of record, and one file each request; [`QuorumController`] is all of them.
//! Kafka's classes: `org.apache.kafka.controller.*`.

mod activation;
mod alter_configs;
mod alter_partition;
mod alter_reassignments;
mod api_error;
mod assign_replicas;
mod batches;
mod broker_lifecycle;
mod client_quota_control;
mod cluster_control;
mod config;
mod configuration_control;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod elect_leaders;
mod feature_control;
mod heartbeat;
mod leader_changes;
mod metadata_node;
mod other_requests;
mod partition_assignment;
mod partition_change_builder;
mod periodic;
pub mod placement;
mod producer_id_control;
mod quorum_controller;
mod random;
mod reassignment;
mod replication_control;
mod result;
mod state;

#[cfg(test)]
mod tests;

pub use crate::config::ControllerConfig;
pub use api_error::ApiError;
pub use metadata_node::{Decision, MetadataEvent, MetadataNode, MetadataNodeError, snapshot_records};
pub use producer_id_control::PRODUCER_ID_BLOCK_SIZE;
pub use quorum_controller::QuorumController;
pub use random::Random;
pub use result::{ControllerRequestContext, ControllerResult};
