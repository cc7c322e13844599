//! The first records of a new cluster (`org.apache.kafka.metadata.bootstrap.BootstrapMetadata`, and what
//! `kafka-storage format` puts into it).

use std::collections::BTreeMap;

use protocol::messages::FeatureLevelRecord;

use crate::features::{Feature, FeatureError};
use crate::metadata_version::{METADATA_VERSION_FEATURE, MetadataVersion};
use crate::{MetadataRecord, VersionedRecord};

/// The records with which the first active controller begins the log.
#[derive(Clone, Debug, PartialEq)]
pub struct BootstrapMetadata {
    records: Vec<VersionedRecord>,
    metadata_version: MetadataVersion,
    source: String,
}

/// Why records cannot begin a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BootstrapError {
    /// None of them says which `metadata.version` the cluster has.
    #[error("No FeatureLevelRecord for metadata.version was found in the bootstrap metadata from {0}")]
    NoMetadataVersion(String),
    /// The `metadata.version` is not known.
    #[error("metadata.version {level} in the bootstrap metadata from {source_name} is not supported")]
    UnknownMetadataVersion {
        /// The level.
        level: i16,
        /// Where the records are from.
        source_name: String,
    },
    /// A feature cannot have the level that was asked for.
    #[error(transparent)]
    Feature(#[from] FeatureError),
}

impl BootstrapMetadata {
    /// What formatting at a level of `metadata.version` writes: the default levels of all features, with those of
    /// `overrides` (by name) in their place. `kraft.version` is checked but not written: it belongs into a control record.
    pub fn for_release(
        metadata_version: MetadataVersion,
        overrides: &BTreeMap<String, i16>,
        source: &str,
    ) -> Result<BootstrapMetadata, BootstrapError> {
        let mut levels = BTreeMap::new();
        for feature in Feature::ALL {
            levels.insert(feature.name().to_owned(), feature.default_level(metadata_version));
        }
        for (name, level) in overrides {
            if Feature::from_name(name).is_none() {
                return Err(FeatureError::UnknownFeature(name.clone()).into());
            }
            levels.insert(name.clone(), *level);
        }
        levels.insert(METADATA_VERSION_FEATURE.to_owned(), metadata_version.feature_level());
        let mut records = vec![feature_level(METADATA_VERSION_FEATURE, metadata_version.feature_level())];
        for feature in Feature::ALL {
            let level = levels[feature.name()];
            feature.validate_level(level, &levels)?;
            if level > 0 && *feature != Feature::KraftVersion {
                records.push(feature_level(feature.name(), level));
            }
        }
        Ok(BootstrapMetadata { records, metadata_version, source: source.to_owned() })
    }

    /// Records that were read from somewhere.
    pub fn from_records(
        records: Vec<VersionedRecord>,
        source: &str,
    ) -> Result<BootstrapMetadata, BootstrapError> {
        let levels = records.iter().filter_map(|(record, _)| match record {
            MetadataRecord::FeatureLevel(level) if level.name == METADATA_VERSION_FEATURE => {
                Some(level.feature_level)
            }
            _ => None,
        });
        let level = levels
            .reduce(|_, later| later)
            .ok_or_else(|| BootstrapError::NoMetadataVersion(source.to_owned()))?;
        let metadata_version = MetadataVersion::from_feature_level(level).ok_or_else(|| {
            BootstrapError::UnknownMetadataVersion { level, source_name: source.to_owned() }
        })?;
        Ok(BootstrapMetadata { records, metadata_version, source: source.to_owned() })
    }

    /// The records, in order.
    pub fn records(&self) -> &[VersionedRecord] {
        &self.records
    }

    /// The level that they set.
    pub fn metadata_version(&self) -> MetadataVersion {
        self.metadata_version
    }

    /// Where they are from, in words.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The level that they give a feature; 0 if they do not name it.
    pub fn feature_level(&self, name: &str) -> i16 {
        let levels = self.records.iter().filter_map(|(record, _)| match record {
            MetadataRecord::FeatureLevel(level) if level.name == name => Some(level.feature_level),
            _ => None,
        });
        levels.reduce(|_, later| later).unwrap_or(0)
    }
}

fn feature_level(name: &str, feature_level: i16) -> VersionedRecord {
    let record = FeatureLevelRecord { name: name.to_owned(), feature_level };
    (record.into(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_cluster_gets_the_default_features() {
        let bootstrap =
            BootstrapMetadata::for_release(MetadataVersion::LATEST_PRODUCTION, &BTreeMap::new(), "a test")
                .unwrap();
        let expected = [
            feature_level("metadata.version", 33),
            feature_level("eligible.leader.replicas.version", 1),
            feature_level("group.version", 1),
            feature_level("share.version", 2),
            feature_level("streams.version", 1),
            feature_level("transaction.version", 2),
        ];
        assert_eq!(bootstrap.records(), expected);
        let read = BootstrapMetadata::from_records(expected.to_vec(), "a test").unwrap();
        assert_eq!(read, bootstrap);
        assert_eq!(read.feature_level("share.version"), 2);
    }

    #[test]
    fn levels_can_be_chosen_where_they_exist() {
        let at = |version, name: &str, level| {
            BootstrapMetadata::for_release(version, &BTreeMap::from([(name.to_owned(), level)]), "a test")
        };
        let off = at(MetadataVersion::LATEST_PRODUCTION, "eligible.leader.replicas.version", 0).unwrap();
        assert_eq!(off.feature_level("eligible.leader.replicas.version"), 0);
        assert_eq!(off.records().len(), 5);
        assert!(at(MetadataVersion::LATEST_PRODUCTION, "share.version", 3).is_err());
        assert!(at(MetadataVersion::LATEST_PRODUCTION, "no.version", 1).is_err());
        assert!(at(MetadataVersion::V3_9_IV0, "eligible.leader.replicas.version", 1).is_err());
    }

    #[test]
    fn records_without_a_metadata_version_begin_nothing() {
        assert!(BootstrapMetadata::from_records(vec![feature_level("group.version", 1)], "a test").is_err());
        assert!(
            BootstrapMetadata::from_records(vec![feature_level("metadata.version", 99)], "a test").is_err()
        );
    }
}
