//! The features of a cluster beside `metadata.version`, their levels and what those need
//! (`org.apache.kafka.server.common.Feature`, `QuorumFeatures`).

use std::collections::BTreeMap;
use std::fmt;

use crate::metadata_version::{METADATA_VERSION_FEATURE, MetadataVersion};

/// The levels of a feature that a node can work with, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VersionRange {
    /// The lowest level.
    pub min: i16,
    /// The highest level.
    pub max: i16,
}

impl VersionRange {
    /// What a node that does not know a feature supports of it: only that it is off.
    pub const DISABLED: VersionRange = VersionRange { min: 0, max: 0 };

    /// The levels from `min` to `max`.
    pub const fn new(min: i16, max: i16) -> VersionRange {
        VersionRange { min, max }
    }

    /// Whether the level is in the range.
    pub const fn contains(self, level: i16) -> bool {
        self.min <= level && level <= self.max
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (min, max) if min == max => write!(f, "{min}"),
            (min, i16::MAX) => write!(f, "{min}+"),
            (min, max) => write!(f, "{min}-{max}"),
        }
    }
}

/// A feature with a level that a cluster finalises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// `eligible.leader.replicas.version`: partitions remember who may lead them when their ISR is too small (KIP-966).
    EligibleLeaderReplicasVersion,
    /// `group.version`: the consumer group protocol of KIP-848.
    GroupVersion,
    /// `kraft.version`: voters in the log (KIP-853). Its level stands in a control record, never in the image.
    KraftVersion,
    /// `share.version`: share groups (KIP-932).
    ShareVersion,
    /// `streams.version`: the streams group protocol (KIP-1071).
    StreamsVersion,
    /// `transaction.version`: transactions with an epoch bump at each end (KIP-890).
    TransactionVersion,
}

/// Why a feature's level cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeatureError {
    /// The name is none of a feature.
    #[error("Feature {0} not found.")]
    UnknownFeature(String),
    /// The feature has no such level.
    #[error("No feature:{feature} with feature level {level}")]
    UnknownLevel {
        /// The feature's name.
        feature: String,
        /// The level that does not exist.
        level: i16,
    },
    /// Another feature would have to be at a higher level.
    #[error("{feature} could not be set to {level} because it depends on {needs}")]
    MissingDependency {
        /// The feature's name.
        feature: String,
        /// The level that was wanted.
        level: i16,
        /// What would have to be there.
        needs: String,
    },
}

impl Feature {
    /// Every feature, by name.
    pub const ALL: &'static [Feature] = &[
        Feature::EligibleLeaderReplicasVersion,
        Feature::GroupVersion,
        Feature::KraftVersion,
        Feature::ShareVersion,
        Feature::StreamsVersion,
        Feature::TransactionVersion,
    ];

    /// The name on the wire and in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Feature::EligibleLeaderReplicasVersion => "eligible.leader.replicas.version",
            Feature::GroupVersion => "group.version",
            Feature::KraftVersion => "kraft.version",
            Feature::ShareVersion => "share.version",
            Feature::StreamsVersion => "streams.version",
            Feature::TransactionVersion => "transaction.version",
        }
    }

    /// The feature with this name.
    pub fn from_name(name: &str) -> Option<Feature> {
        Feature::ALL.iter().find(|feature| feature.name() == name).copied()
    }

    /// For each level from 0: the `metadata.version` from which a newly formatted cluster gets it.
    const fn bootstrap_versions(self) -> &'static [MetadataVersion] {
        use MetadataVersion as V;
        match self {
            Feature::EligibleLeaderReplicasVersion => &[V::MINIMUM, V::V4_1_IV0],
            Feature::GroupVersion => &[V::MINIMUM, V::V4_0_IV0],
            Feature::KraftVersion => &[V::MINIMUM, V::V3_9_IV0],
            Feature::ShareVersion => &[V::MINIMUM, V::V4_2_IV0, V::V4_4_IV0],
            Feature::StreamsVersion => &[V::MINIMUM, V::V4_2_IV1],
            Feature::TransactionVersion => &[V::MINIMUM, V::V4_0_IV2, V::V4_0_IV2],
        }
    }

    /// The lowest level that this release works with.
    pub const fn minimum(self) -> i16 {
        0
    }

    /// The highest level that this release offers.
    pub const fn latest_production(self) -> i16 {
        self.bootstrap_versions().len() as i16 - 1
    }

    /// The level that formatting at `metadata_version` finalises.
    pub fn default_level(self, metadata_version: MetadataVersion) -> i16 {
        let reached =
            self.bootstrap_versions().iter().take_while(|needs| **needs <= metadata_version).count();
        reached as i16 - 1
    }

    /// Checks that `level` exists and that the levels it rests on are among `levels` (of a whole cluster, `metadata.version` included).
    pub fn validate_level(self, level: i16, levels: &BTreeMap<String, i16>) -> Result<(), FeatureError> {
        let feature = self.name().to_owned();
        if !VersionRange::new(self.minimum(), self.latest_production()).contains(level) {
            return Err(FeatureError::UnknownLevel { feature, level });
        }
        let metadata_version = levels.get(METADATA_VERSION_FEATURE).copied();
        let minimum = MetadataVersion::MINIMUM;
        if level >= 1 && metadata_version.is_none_or(|have| have < minimum.feature_level()) {
            let needs = format!("metadata.version={} ({minimum})", minimum.feature_level());
            return Err(FeatureError::MissingDependency { feature, level, needs });
        }
        if self == Feature::EligibleLeaderReplicasVersion && level >= 1 {
            let needed = MetadataVersion::V4_0_IV1.feature_level();
            if metadata_version.is_none_or(|have| have < needed) {
                let needs = format!("{METADATA_VERSION_FEATURE} level {needed}");
                return Err(FeatureError::MissingDependency { feature, level, needs });
            }
        }
        Ok(())
    }
}

/// What a node of this release supports, `metadata.version` included: what brokers and controllers register with.
pub fn supported_features() -> BTreeMap<String, VersionRange> {
    let metadata_version = VersionRange::new(
        MetadataVersion::MINIMUM.feature_level(),
        MetadataVersion::LATEST_PRODUCTION.feature_level(),
    );
    let mut features = BTreeMap::from([(METADATA_VERSION_FEATURE.to_owned(), metadata_version)]);
    for feature in Feature::ALL {
        let range = VersionRange::new(feature.minimum(), feature.latest_production());
        features.insert(feature.name().to_owned(), range);
    }
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatting_finalises_what_kafka_finalises() {
        // Printed by Apache Kafka 4.4.0 for its latest production version, and for older ones.
        let levels =
            |version| Feature::ALL.iter().map(|feature| feature.default_level(version)).collect::<Vec<_>>();
        assert_eq!(levels(MetadataVersion::V4_4_IV2), [1, 1, 1, 2, 1, 2]);
        assert_eq!(levels(MetadataVersion::V4_2_IV0), [1, 1, 1, 1, 0, 2]);
        assert_eq!(levels(MetadataVersion::V4_0_IV1), [0, 1, 1, 0, 0, 0]);
        assert_eq!(levels(MetadataVersion::V3_3_IV3), [0; 6]);
    }

    #[test]
    fn a_level_needs_the_metadata_version_it_rests_on() {
        let at = |level: i16| BTreeMap::from([(METADATA_VERSION_FEATURE.to_owned(), level)]);
        let elr = Feature::EligibleLeaderReplicasVersion;
        assert_eq!(elr.validate_level(1, &at(23)), Ok(()));
        assert_eq!(
            elr.validate_level(1, &at(22)).unwrap_err().to_string(),
            "eligible.leader.replicas.version could not be set to 1 because it depends on metadata.version level 23"
        );
        assert_eq!(elr.validate_level(0, &at(7)), Ok(()));
        assert_eq!(
            Feature::GroupVersion.validate_level(2, &at(33)).unwrap_err().to_string(),
            "No feature:group.version with feature level 2"
        );
    }

    #[test]
    fn ranges_print_as_in_kafkas_messages() {
        assert_eq!(VersionRange::new(7, 33).to_string(), "7-33");
        assert_eq!(VersionRange::new(1, 1).to_string(), "1");
        assert_eq!(supported_features()["metadata.version"], VersionRange::new(7, 33));
        assert_eq!(supported_features().len(), 7);
    }
}
