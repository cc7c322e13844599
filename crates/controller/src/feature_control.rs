//! The finalised levels of features (`org.apache.kafka.controller.FeatureControlManager`).

use std::collections::BTreeMap;

use common::ErrorCode;
use metadata::{
    Feature, METADATA_VERSION_FEATURE, MetadataRecord, MetadataVersion, ReplayError, VersionRange,
    VersionedRecord,
};
use protocol::messages::FeatureLevelRecord;
use protocol::messages::NoOpRecord;
use protocol::messages::update_features_request::FeatureUpdateKey;

use crate::api_error::ApiError;
use crate::cluster_control::ClusterControlManager;
use crate::config::ControllerConfig;

/// How a level may be changed (`FeatureUpdate.UpgradeType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UpgradeType {
    Unknown,
    Upgrade,
    SafeDowngrade,
    UnsafeDowngrade,
}

impl UpgradeType {
    fn of(update: &FeatureUpdateKey, api_version: i16) -> UpgradeType {
        // Version 0 had a flag in its place.
        if api_version == 0 {
            return if update.allow_downgrade { UpgradeType::SafeDowngrade } else { UpgradeType::Upgrade };
        }
        match update.upgrade_type {
            1 => UpgradeType::Upgrade,
            2 => UpgradeType::SafeDowngrade,
            3 => UpgradeType::UnsafeDowngrade,
            _ => UpgradeType::Unknown,
        }
    }
}

/// The finalised levels.
#[derive(Clone, Debug, Default)]
pub struct FeatureControlManager {
    /// The levels above 0, without `metadata.version` and `kraft.version`.
    finalized_versions: BTreeMap<String, i16>,
    metadata_version: Option<MetadataVersion>,
}

impl FeatureControlManager {
    /// The finalised `metadata.version`; none while the log is empty.
    pub fn metadata_version(&self) -> Option<MetadataVersion> {
        self.metadata_version
    }

    /// The finalised `metadata.version`, on a log that was activated.
    pub fn metadata_version_or_minimum(&self) -> MetadataVersion {
        self.metadata_version.unwrap_or(MetadataVersion::MINIMUM)
    }

    /// Whether partitions keep eligible leader replicas (KIP-966).
    pub fn is_elr_enabled(&self) -> bool {
        self.level(Feature::EligibleLeaderReplicasVersion.name()) >= 1
    }

    fn level(&self, name: &str) -> i16 {
        self.finalized_versions.get(name).copied().unwrap_or(0)
    }

    /// Every finalised level, `metadata.version` and `kraft.version` among them.
    pub fn finalized_features(&self, kraft_version: i16) -> BTreeMap<String, i16> {
        let mut levels = self.finalized_versions.clone();
        levels
            .insert(METADATA_VERSION_FEATURE.to_owned(), self.metadata_version_or_minimum().feature_level());
        levels.insert(Feature::KraftVersion.name().to_owned(), kraft_version);
        levels
    }

    /// Replays a level.
    pub fn replay(
        &mut self,
        record: &FeatureLevelRecord,
        supported: &BTreeMap<String, VersionRange>,
    ) -> Result<(), ReplayError> {
        let range = supported.get(&record.name).copied().unwrap_or(VersionRange::DISABLED);
        if !range.contains(record.feature_level) {
            return Err(ReplayError::UnsupportedFeatureLevel {
                name: record.name.clone(),
                level: record.feature_level,
                supported: range.to_string(),
            });
        }
        if record.name == METADATA_VERSION_FEATURE {
            let version = MetadataVersion::from_feature_level(record.feature_level)
                .ok_or(ReplayError::UnsupportedMetadataVersion(record.feature_level))?;
            self.metadata_version = Some(version);
        } else if record.name == Feature::KraftVersion.name() {
            // Its level stands in a control record of the log.
        } else if record.feature_level == 0 {
            self.finalized_versions.remove(&record.name);
        } else {
            self.finalized_versions.insert(record.name.clone(), record.feature_level);
        }
        Ok(())
    }

    /// Checks updates and makes their records. One that fails makes all fail.
    pub fn update_features(
        &self,
        updates: &[FeatureUpdateKey],
        api_version: i16,
        environment: &FeatureEnvironment<'_>,
    ) -> Result<Vec<VersionedRecord>, ApiError> {
        let mut proposed = self.finalized_features(environment.kraft_version);
        for update in updates {
            proposed.insert(update.feature.clone(), update.max_version_level);
        }
        let mut records = Vec::new();
        for update in updates {
            let upgrade_type = UpgradeType::of(update, api_version);
            self.update_feature(update, upgrade_type, &proposed, environment, &mut records)?;
        }
        Ok(records)
    }

    fn update_feature(
        &self,
        update: &FeatureUpdateKey,
        upgrade_type: UpgradeType,
        proposed: &BTreeMap<String, i16>,
        environment: &FeatureEnvironment<'_>,
        records: &mut Vec<VersionedRecord>,
    ) -> Result<(), ApiError> {
        let name = update.feature.as_str();
        let level = update.max_version_level;
        let invalid = |reason: &str| {
            let message = format!("Invalid update version {level} for feature {name}. {reason}");
            ApiError::new(ErrorCode::InvalidUpdateVersion, message)
        };
        if upgrade_type == UpgradeType::Unknown {
            return Err(invalid("The controller does not support the given upgrade type."));
        }
        let is_kraft_version = name == Feature::KraftVersion.name();
        let current = if name == METADATA_VERSION_FEATURE {
            self.metadata_version_or_minimum().feature_level()
        } else if is_kraft_version {
            environment.kraft_version
        } else {
            self.level(name)
        };
        if level < 0 {
            return Err(invalid("A feature version cannot be less than 0."));
        }
        if let Some(reason) = self.reason_not_supported(name, level, environment) {
            return Err(invalid(&reason));
        }
        if level < current && upgrade_type == UpgradeType::Upgrade {
            return Err(invalid(
                "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.",
            ));
        }
        if level > current && upgrade_type != UpgradeType::Upgrade {
            return Err(invalid("Can't downgrade to a newer version."));
        }
        if name == METADATA_VERSION_FEATURE {
            self.check_metadata_version(level, upgrade_type == UpgradeType::UnsafeDowngrade)?;
        } else if is_kraft_version {
            if level == current {
                // Kafka makes the answer to an upgrade wait for a record of its own.
                if upgrade_type == UpgradeType::Upgrade {
                    records.push((NoOpRecord::default().into(), 0));
                }
                return Ok(());
            }
            if level < current {
                return Err(invalid("Can't downgrade the version of this feature."));
            }
            if let Err(reason) = environment.kraft_upgrade {
                let message =
                    format!("Invalid upgrade of {name} from version {current} to {level} because {reason}");
                return Err(ApiError::new(ErrorCode::InvalidUpdateVersion, message));
            }
            // The level stands in a control record; this one is what the answer waits for.
            records.push((NoOpRecord::default().into(), 0));
            return Ok(());
        } else {
            let feature =
                Feature::from_name(name).ok_or_else(|| invalid(&format!("Feature {name} not found.")))?;
            feature.validate_level(level, proposed).map_err(|error| invalid(&error.to_string()))?;
        }
        let record = FeatureLevelRecord { name: name.to_owned(), feature_level: level };
        records.push((MetadataRecord::FeatureLevel(record), 0));
        Ok(())
    }

    fn check_metadata_version(&self, level: i16, is_unsafe: bool) -> Result<(), ApiError> {
        let current = self.metadata_version_or_minimum();
        let invalid = |message: String| ApiError::new(ErrorCode::InvalidUpdateVersion, message);
        let Some(version) = MetadataVersion::from_feature_level(level) else {
            let min = MetadataVersion::MINIMUM.feature_level();
            let max = MetadataVersion::LATEST_PRODUCTION.feature_level();
            let message =
                format!("Invalid metadata.version {level}. Valid versions are from {min} to {max}.");
            return Err(invalid(message));
        };
        if version < current && version.metadata_changed_between(current) {
            let why = if is_unsafe {
                "Unsafe metadata downgrade is not supported in this version."
            } else {
                "Refusing to perform the requested downgrade because it might delete metadata information."
            };
            let from = current.feature_level();
            return Err(invalid(format!(
                "Unsupported metadata.version downgrade from {from} to {level}. {why}"
            )));
        }
        Ok(())
    }

    fn reason_not_supported(
        &self,
        name: &str,
        level: i16,
        environment: &FeatureEnvironment<'_>,
    ) -> Option<String> {
        let config = environment.config;
        let reason = |what: String, supported: &BTreeMap<String, VersionRange>| {
            let range = supported.get(name).copied().unwrap_or(VersionRange::DISABLED);
            if range.contains(level) {
                None
            } else if range.max == 0 {
                Some(format!("{what} does not support this feature."))
            } else {
                Some(format!("{what} only supports versions {range}"))
            }
        };
        let local = reason(format!("Local controller {}", config.node_id), &config.supported_features);
        if local.is_some() {
            return local;
        }
        let cluster = environment.cluster;
        for broker in cluster.brokers() {
            let unsupported = reason(format!("Broker {}", broker.id), &broker.supported_features);
            if unsupported.is_some() {
                return unsupported;
            }
        }
        if !self.metadata_version_or_minimum().is_controller_registration_supported() {
            return None;
        }
        for controller in cluster.controllers().filter(|controller| controller.id != config.node_id) {
            let unsupported = reason(format!("Controller {}", controller.id), &controller.supported_features);
            if unsupported.is_some() {
                return unsupported;
            }
        }
        let missing =
            |id: &&i32| **id != config.node_id && cluster.controllers().all(|known| known.id != **id);
        config
            .quorum_node_ids
            .iter()
            .find(missing)
            .map(|id| format!("controller {id} has not registered, and may not support this feature"))
    }
}

/// What the check of a feature's level looks at beside the levels.
#[derive(Clone, Copy)]
pub struct FeatureEnvironment<'a> {
    /// This controller.
    pub config: &'a ControllerConfig,
    /// The registered nodes.
    pub cluster: &'a ClusterControlManager,
    /// The level of `kraft.version`.
    pub kraft_version: i16,
    /// Whether raft could raise it, and if not why.
    pub kraft_upgrade: Result<(), &'static str>,
}
