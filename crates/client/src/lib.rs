//! The Rust client of Kafka: producer, consumer and admin client. Names and defaults are the Java client's.
//!
//! It speaks to any broker of the last years, in the highest versions that both sides know.

mod cluster;
mod config;
mod connection;
mod error;
#[cfg(test)]
mod fake_broker;
mod trouble;

pub use cluster::{Node, PartitionInfo, TopicInfo};
pub use config::{ClientConfig, MetadataRecovery};
pub use error::ClientError;

pub mod admin;
pub mod consumer;
pub mod producer;

pub use admin::{Admin, AlterConfigOp, NewTopic};
pub use consumer::{Consumer, ConsumerConfig, ConsumerRecord};
pub use producer::{Acks, Delivery, Producer, ProducerConfig, ProducerRecord, RecordMetadata};
