//! Why records cannot become an image, or an image records.

use common::Uuid;

use crate::metadata_version::MetadataVersion;

/// A record that does not fit the state it is replayed onto. The log or the snapshot is broken: whoever replays stops.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The record is about a topic that does not exist.
    #[error("no topic with id {0} was found")]
    UnknownTopicId(Uuid),
    /// The record is about a topic that does not exist.
    #[error("no topic named '{0}' was found")]
    UnknownTopicName(String),
    /// A second topic of the same name.
    #[error("a topic named '{name}' exists already, with the id {existing}")]
    DuplicateTopic {
        /// The name of both topics.
        name: String,
        /// The id of the first.
        existing: Uuid,
    },
    /// The record changes a partition that does not exist.
    #[error("no partition {partition} of the topic with id {topic_id} was found")]
    UnknownPartition {
        /// The topic's id.
        topic_id: Uuid,
        /// The partition's index.
        partition: i32,
    },
    /// The record changes a broker that is not registered.
    #[error("broker {0} is not registered")]
    UnknownBroker(i32),
    /// The record changes another incarnation of a broker than the registered one.
    #[error(
        "broker {broker_id} is registered with epoch {registered}, and the record is for epoch {recorded}"
    )]
    BrokerEpochMismatch {
        /// The broker's id.
        broker_id: i32,
        /// The epoch of the registration.
        registered: i64,
        /// The epoch in the record.
        recorded: i64,
    },
    /// The record removes a controller that is not registered.
    #[error("controller {0} is not registered")]
    UnknownController(i32),
    /// The record removes an ACL that does not exist.
    #[error("no ACL with id {0} was found")]
    UnknownAcl(Uuid),
    /// The level of `metadata.version` is one that this release does not know.
    #[error(
        "metadata.version {0} is not supported: levels from {min} to {max} are. Set a supported one with kafka-features before changing the software",
        min = MetadataVersion::MINIMUM.feature_level(),
        max = MetadataVersion::LATEST_PRODUCTION.feature_level()
    )]
    UnsupportedMetadataVersion(i16),
    /// The level of a feature is outside of what this node supports.
    #[error("feature {name} is set to {level}, and this node supports only {supported}")]
    UnsupportedFeatureLevel {
        /// The feature's name.
        name: String,
        /// The recorded level.
        level: i16,
        /// The supported levels.
        supported: String,
    },
    /// The numbers of replicas and of their directories differ.
    #[error("{replicas} replicas and {directories} directories of a partition do not match")]
    DirectoriesMismatch {
        /// How many replicas.
        replicas: usize,
        /// How many directories.
        directories: usize,
    },
    /// A field holds a value that has no meaning.
    #[error("{value} is no valid {field}")]
    InvalidValue {
        /// What the field is.
        field: &'static str,
        /// What it holds.
        value: i64,
    },
    /// Two brokers claim one log directory.
    #[error("directory {directory} belongs to broker {owner} already")]
    DirectoryTaken {
        /// The directory's id.
        directory: Uuid,
        /// The broker that has it.
        owner: i32,
    },
    /// A metadata transaction begins, ends or aborts where it cannot.
    #[error("{0}")]
    Transaction(&'static str),
    /// The next producer id goes back.
    #[error("the next producer id {recorded} is not above the current one, {current}")]
    ProducerIdGoesBack {
        /// The next id so far.
        current: i64,
        /// The next id in the record.
        recorded: i64,
    },
}

/// An image that cannot be written at a level of `metadata.version` without losing something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnwritableMetadata {
    /// The level has no way to write this.
    #[error(
        "Metadata has been lost because the following could not be represented in metadata.version {version}: {loss}"
    )]
    Loss {
        /// The level to write at.
        version: MetadataVersion,
        /// What would be lost.
        loss: String,
    },
    /// The image has no level of `metadata.version` yet.
    #[error("the image has no metadata.version yet")]
    NoMetadataVersion,
}
