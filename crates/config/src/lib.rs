//! One definition per configuration key, and the `server.properties` reader that stands on them.
//!
//! The tables in [`keys`] are the only place where a default stands. [`BrokerConfig`] is a broker's typed view of them,
//! [`TopicConfig`] a topic's; [`describe`] and [`alter`] are what `DescribeConfigs` and `IncrementalAlterConfigs` need.

pub mod alter;
mod broker;
mod checks;
mod client_metrics;
pub mod def;
pub mod describe;
pub mod docs;
mod environment;
mod error;
mod group;
pub mod keys;
mod listeners;
mod properties;
mod quorum;
mod start;
mod suggest;
pub mod synonyms;
mod topic;
mod validator;
mod value;
mod view;
mod views;
mod zookeeper;

pub use broker::{BrokerConfig, Layers, ProcessRoles};
pub use client_metrics::{ClientMetricsConfig, DEFAULT_INTERVAL_MS, validate_client_metrics};
pub use def::{ConfigKey, ConfigType, Default, Effect, Importance, UpdateMode};
pub use environment::Environment;
pub use error::{ConfigError, Warning};
pub use group::validate_group;
pub use keys::METRICS_LISTENER;
pub use listeners::{EndPoint, ProtocolMap, SecurityProtocol};
pub use properties::{Entry, Properties};
pub use quorum::{HostPort, Voter};
pub use start::StartMode;
pub use suggest::nearest;
pub use topic::{CompressionType, TimestampType, TopicConfig, TopicDefaults};
pub use validator::Validator;
pub use value::{Password, Value};
pub use view::{FromValue, Values};
pub use views::{
    CleanerConfig, GroupCoordinatorConfig, LogManagerConfig, MetadataLogConfig, NetworkConfig, QuorumConfig,
    ReplicationConfig, ShareCoordinatorConfig, TransactionConfig,
};
