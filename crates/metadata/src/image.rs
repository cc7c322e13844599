//! The state of the whole cluster at one offset of the metadata log (`org.apache.kafka.image.MetadataImage`).

use std::sync::Arc;

use crate::VersionedRecord;
use crate::acls_image::AclsImage;
use crate::client_quotas_image::ClientQuotasImage;
use crate::cluster_image::ClusterImage;
use crate::configurations_image::ConfigurationsImage;
use crate::delegation_token_image::DelegationTokenImage;
use crate::error::UnwritableMetadata;
use crate::features_image::FeaturesImage;
use crate::metadata_version::MetadataVersion;
use crate::producer_ids_image::ProducerIdsImage;
use crate::scram_image::ScramImage;
use crate::topics_image::TopicsImage;
use crate::writer::ImageWriter;

/// How far in the log an image reaches (`org.apache.kafka.image.MetadataProvenance`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataProvenance {
    /// The offset of the last record that the image contains.
    pub last_contained_offset: i64,
    /// The epoch of that record.
    pub last_contained_epoch: i32,
    /// When that record was appended, in milliseconds since 1970.
    pub last_contained_log_time_ms: i64,
    /// Whether a batch ends at that offset: only there may a snapshot be taken.
    pub is_offset_batch_aligned: bool,
}

impl MetadataProvenance {
    /// Nothing was read yet.
    pub const EMPTY: MetadataProvenance = MetadataProvenance {
        last_contained_offset: -1,
        last_contained_epoch: -1,
        last_contained_log_time_ms: -1,
        is_offset_batch_aligned: false,
    };

    /// The name of the snapshot that holds this image: the offset after the last one, and the epoch.
    pub fn snapshot_name(&self) -> String {
        format!("{:020}-{:010}", self.last_contained_offset + 1, self.last_contained_epoch)
    }
}

/// The state of the cluster at one offset. Immutable; to clone it costs a few reference counts, and parts that did not
/// change between two images are the same in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataImage {
    /// How far in the log the image reaches.
    pub provenance: MetadataProvenance,
    /// The finalised levels of features.
    pub features: Arc<FeaturesImage>,
    /// The registered brokers and controllers.
    pub cluster: Arc<ClusterImage>,
    /// The topics and partitions.
    pub topics: Arc<TopicsImage>,
    /// The dynamic configs.
    pub configs: Arc<ConfigurationsImage>,
    /// The client quotas.
    pub client_quotas: Arc<ClientQuotasImage>,
    /// The producer ids handed out.
    pub producer_ids: ProducerIdsImage,
    /// The ACLs.
    pub acls: Arc<AclsImage>,
    /// The SCRAM credentials.
    pub scram: Arc<ScramImage>,
    /// The delegation tokens.
    pub delegation_tokens: Arc<DelegationTokenImage>,
}

impl Default for MetadataImage {
    fn default() -> Self {
        MetadataImage::empty()
    }
}

impl MetadataImage {
    /// The image before the first record.
    pub fn empty() -> MetadataImage {
        MetadataImage {
            provenance: MetadataProvenance::EMPTY,
            features: Arc::default(),
            cluster: Arc::default(),
            topics: Arc::default(),
            configs: Arc::default(),
            client_quotas: Arc::default(),
            producer_ids: ProducerIdsImage::default(),
            acls: Arc::default(),
            scram: Arc::default(),
            delegation_tokens: Arc::default(),
        }
    }

    /// Whether no record has left anything.
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
            && self.cluster.is_empty()
            && self.topics.is_empty()
            && self.configs.is_empty()
            && self.client_quotas.is_empty()
            && self.producer_ids.is_empty()
            && self.acls.is_empty()
            && self.scram.is_empty()
            && self.delegation_tokens.is_empty()
    }

    /// The offset of the last record that the image contains.
    pub fn offset(&self) -> i64 {
        self.provenance.last_contained_offset
    }

    /// The records that make this image out of an empty one, in Kafka's order and in the versions of a level of
    /// `metadata.version`. Fails where the level cannot hold everything.
    pub fn write(
        &self,
        metadata_version: MetadataVersion,
    ) -> Result<Vec<VersionedRecord>, UnwritableMetadata> {
        let mut writer = ImageWriter::new(metadata_version, self.features.is_elr_enabled());
        self.features.write(&mut writer);
        self.cluster.write(&mut writer);
        self.topics.write(&mut writer);
        self.configs.write(&mut writer);
        self.client_quotas.write(&mut writer);
        self.producer_ids.write(&mut writer);
        self.acls.write(&mut writer);
        self.scram.write(&mut writer);
        self.delegation_tokens.write(&mut writer);
        writer.finish()
    }

    /// What a snapshot of this image holds between its header and its footer: [`Self::write`] at the image's own level.
    pub fn snapshot_records(&self) -> Result<Vec<VersionedRecord>, UnwritableMetadata> {
        self.write(self.features.metadata_version().ok_or(UnwritableMetadata::NoMetadataVersion)?)
    }
}
