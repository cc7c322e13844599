//! The finalised levels of the cluster's features (`org.apache.kafka.image.FeaturesImage`, `FeaturesDelta`).

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::messages::FeatureLevelRecord;

use crate::cluster_image::apply_changes;
use crate::error::ReplayError;
use crate::features::Feature;
use crate::metadata_version::{METADATA_VERSION_FEATURE, MetadataVersion};
use crate::writer::ImageWriter;

/// The finalised levels. `kraft.version` is not among them: it stands in a control record that only raft reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeaturesImage {
    /// The levels above 0 of the features other than `metadata.version`.
    pub finalized_versions: BTreeMap<String, i16>,
    metadata_version: Option<MetadataVersion>,
}

impl FeaturesImage {
    /// Whether nothing is finalised.
    pub fn is_empty(&self) -> bool {
        self.finalized_versions.is_empty() && self.metadata_version.is_none()
    }

    /// The finalised `metadata.version`; none before the first record of a log.
    pub fn metadata_version(&self) -> Option<MetadataVersion> {
        self.metadata_version
    }

    /// The finalised level of a feature other than `metadata.version`; 0 if it is off.
    pub fn level(&self, feature: Feature) -> i16 {
        self.finalized_versions.get(feature.name()).copied().unwrap_or(0)
    }

    /// Whether partitions keep eligible leader replicas (KIP-966).
    pub fn is_elr_enabled(&self) -> bool {
        self.level(Feature::EligibleLeaderReplicasVersion) >= 1
    }

    pub(crate) fn write(&self, writer: &mut ImageWriter) {
        // metadata.version comes first: a reader needs it to know whether it can go on.
        let metadata_version = writer.metadata_version().feature_level();
        let levels = std::iter::once((METADATA_VERSION_FEATURE, metadata_version))
            .chain(self.finalized_versions.iter().map(|(name, level)| (name.as_str(), *level)));
        for (name, feature_level) in levels {
            let record = FeatureLevelRecord { name: name.to_owned(), feature_level };
            writer.write(record.into(), 0);
        }
    }
}

/// What changed of the features' levels.
#[derive(Clone, Debug)]
pub struct FeaturesDelta {
    image: Arc<FeaturesImage>,
    /// The features that changed, without `metadata.version`; none means off.
    pub changes: BTreeMap<String, Option<i16>>,
    /// The new `metadata.version`, if a record named one (be it the same).
    pub metadata_version_change: Option<MetadataVersion>,
}

impl FeaturesDelta {
    pub(crate) fn new(image: &Arc<FeaturesImage>) -> FeaturesDelta {
        FeaturesDelta { image: Arc::clone(image), changes: BTreeMap::new(), metadata_version_change: None }
    }

    pub(crate) fn finish_snapshot(&mut self) {
        for name in self.image.finalized_versions.keys() {
            self.changes.entry(name.clone()).or_insert(None);
        }
    }

    pub(crate) fn replay(&mut self, record: &FeatureLevelRecord) -> Result<(), ReplayError> {
        if record.name == METADATA_VERSION_FEATURE {
            let version = MetadataVersion::from_feature_level(record.feature_level)
                .ok_or(ReplayError::UnsupportedMetadataVersion(record.feature_level))?;
            self.metadata_version_change = Some(version);
        } else if record.name != Feature::KraftVersion.name() {
            let level = (record.feature_level != 0).then_some(record.feature_level);
            self.changes.insert(record.name.clone(), level);
        }
        Ok(())
    }

    pub(crate) fn apply(&self) -> FeaturesImage {
        let mut finalized_versions = self.image.finalized_versions.clone();
        apply_changes(&mut finalized_versions, &self.changes);
        let metadata_version = self.metadata_version_change.or(self.image.metadata_version);
        FeaturesImage { finalized_versions, metadata_version }
    }
}
