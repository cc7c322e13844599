//! The state of the cluster: metadata records become an image, and an image becomes records again.
//!
//! [`MetadataLoader`] takes what raft commits and hands out a [`MetadataDelta`] and the new [`MetadataImage`] for those
//! who act on changes. An image is immutable and cheap to share; [`MetadataImage::snapshot_records`] writes it back, so
//! that no record of Kafka's log is lost in a snapshot. Nothing here decides anything, does I/O or knows a clock.
//! Kafka's classes: `org.apache.kafka.image.*` and `org.apache.kafka.metadata.*`.

mod acls_image;
mod bootstrap;
mod broker_registration;
pub mod client_quotas_image;
mod cluster_image;
mod configurations_image;
mod controller_registration;
mod delegation_token_image;
mod delta;
pub mod directory_id;
mod error;
mod features;
mod features_image;
mod image;
mod loader;
mod local_changes;
mod metadata_version;
mod partition_registration;
mod producer_ids_image;
mod scram_image;
mod sharded_map;
mod topics_delta;
mod topics_image;
mod writer;

pub use acls_image::{AclsDelta, AclsImage, StandardAcl};
pub use bootstrap::{BootstrapError, BootstrapMetadata};
pub use broker_registration::{BrokerRegistration, Endpoint, RegistrationChange};
pub use client_quotas_image::{ClientQuotaEntity, ClientQuotasDelta, ClientQuotasImage};
pub use cluster_image::{ClusterDelta, ClusterImage};
pub use configurations_image::{
    ConfigResource, ConfigResourceType, ConfigurationsDelta, ConfigurationsImage,
};
pub use controller_registration::ControllerRegistration;
pub use delegation_token_image::{DelegationTokenData, DelegationTokenDelta, DelegationTokenImage};
pub use delta::MetadataDelta;
pub use error::{ReplayError, UnwritableMetadata};
pub use features::{Feature, FeatureError, VersionRange, supported_features};
pub use features_image::{FeaturesDelta, FeaturesImage};
pub use image::{MetadataImage, MetadataProvenance};
pub use loader::{CommittedBatch, LoadError, LoaderManifest, LoaderUpdate, MetadataLoader};
pub use local_changes::{LocalReplicaChanges, PartitionInfo};
pub use metadata_version::{METADATA_VERSION_FEATURE, MetadataVersion, UnknownMetadataVersion};
pub use partition_registration::{LeaderRecoveryState, NO_LEADER, NO_LEADER_CHANGE, PartitionRegistration};
pub use producer_ids_image::{ProducerIdsDelta, ProducerIdsImage};
pub use protocol::messages::MetadataRecord;
pub use scram_image::{ScramCredentialData, ScramDelta, ScramImage, ScramUser};
pub use topics_delta::{TopicDelta, TopicsDelta};
pub use topics_image::{TopicImage, TopicsImage};
pub use writer::ImageWriter;

/// A record and the version to write it in (Kafka's `ApiMessageAndVersion`).
pub type VersionedRecord = (MetadataRecord, i16);
