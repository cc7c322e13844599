//! The Rust client of Kafka: producer, consumer and admin client. Names and defaults are the Java client's.
//!
//! It speaks to any broker of the last years, in the highest versions that both sides know, and runs on any `tokio` runtime. Settings
//! have the names of Kafka's documentation:
//!
//! ```
//! use client::{Acks, ConsumerConfig, ProducerConfig};
//!
//! let mut producer = ProducerConfig::new("localhost:9092");
//! producer.set("compression.type", "zstd")?;
//! producer.set("linger.ms", "20")?;
//! assert_eq!(producer.acks, Acks::All);
//!
//! let mut consumer = ConsumerConfig::new("localhost:9092");
//! assert!(consumer.set("fetch.min.bytes", "1000")?);
//! // A key that has no effect here is told apart from a value that makes no sense.
//! assert!(!consumer.set("no.such.key", "1")?);
//! assert!(consumer.set("fetch.min.bytes", "some").is_err());
//! # Ok::<(), client::ClientError>(())
//! ```
//!
//! A [`Producer`] sends records, and each has its own result:
//!
//! ```no_run
//! # async fn run() -> Result<(), client::ClientError> {
//! use client::{Producer, ProducerConfig, ProducerRecord};
//!
//! let producer = Producer::new(ProducerConfig::new("localhost:9092"));
//! let delivery = producer.send(ProducerRecord::new("greetings", "hello").with_key("en")).await?;
//! println!("at offset {}", delivery.await?.offset);
//! producer.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Consumer`] reads topics as a member of a group, or partitions that it is told; what comes next is fetched while the
//! application works on what it has. An [`Admin`] sees to topics, groups, settings and the cluster:
//!
//! ```no_run
//! # async fn run() -> Result<(), client::ClientError> {
//! use client::{Admin, ClientConfig, NewTopic};
//!
//! let admin = Admin::new(ClientConfig::new("localhost:9092"));
//! let topic = NewTopic { name: "greetings".to_owned(), partitions: Some(3), ..NewTopic::default() };
//! for created in admin.create_topics(&[topic], false).await? {
//!     created?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The programs in `examples` are whole ones; each is run as a test against a broker.

mod backoff;
mod cluster;
mod config;
mod connection;
mod error;
#[cfg(test)]
mod fake_broker;
mod keys;
mod place;
mod trouble;

pub use cluster::{Node, PartitionInfo, TopicInfo};
pub use config::{ClientConfig, MetadataRecovery};
pub use error::ClientError;
pub use keys::{CONFIG_KEYS, ConfigKey, KeyDefault};

pub mod admin;
pub mod consumer;
pub mod producer;

pub use admin::{Admin, AlterConfigOp, NewTopic};
pub use consumer::{Consumer, ConsumerConfig, ConsumerRecord};
pub use producer::{Acks, Delivery, IntoBytes, Producer, ProducerConfig, ProducerRecord, RecordMetadata};
