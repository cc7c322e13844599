//! The levels of the feature `metadata.version`, and what each of them lets a node write
//! (`org.apache.kafka.server.common.MetadataVersion`).

use std::fmt;

/// The name of the feature whose level decides what the metadata log may hold.
pub const METADATA_VERSION_FEATURE: &str = "metadata.version";

macro_rules! metadata_versions {
    ($($variant:ident = $level:literal, $release:literal, $sub:literal, $changed:literal;)*) => {
        /// A level of `metadata.version`. The names are those that `kafka-features` prints, such as `4.4-IV2`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        #[allow(missing_docs, non_camel_case_types)] // the names are Kafka's and say it
        pub enum MetadataVersion {
            $($variant = $level,)*
        }

        impl MetadataVersion {
            /// Every level, the oldest first.
            pub const ALL: &'static [MetadataVersion] = &[$(MetadataVersion::$variant,)*];

            /// The name, such as `4.4-IV2`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(MetadataVersion::$variant => concat!($release, "-", $sub),)*
                }
            }

            /// The release that brought the level, such as `4.4`.
            pub const fn release(self) -> &'static str {
                match self {
                    $(MetadataVersion::$variant => $release,)*
                }
            }

            /// Whether the level changed what records hold, so that going back below it would lose something.
            pub const fn did_metadata_change(self) -> bool {
                match self {
                    $(MetadataVersion::$variant => $changed,)*
                }
            }
        }
    };
}

metadata_versions! {
    V3_3_IV3 = 7, "3.3", "IV3", true;
    V3_4_IV0 = 8, "3.4", "IV0", true;
    V3_5_IV0 = 9, "3.5", "IV0", false;
    V3_5_IV1 = 10, "3.5", "IV1", false;
    V3_5_IV2 = 11, "3.5", "IV2", true;
    V3_6_IV0 = 12, "3.6", "IV0", false;
    V3_6_IV1 = 13, "3.6", "IV1", true;
    V3_6_IV2 = 14, "3.6", "IV2", true;
    V3_7_IV0 = 15, "3.7", "IV0", true;
    V3_7_IV1 = 16, "3.7", "IV1", false;
    V3_7_IV2 = 17, "3.7", "IV2", true;
    V3_7_IV3 = 18, "3.7", "IV3", false;
    V3_7_IV4 = 19, "3.7", "IV4", false;
    V3_8_IV0 = 20, "3.8", "IV0", false;
    V3_9_IV0 = 21, "3.9", "IV0", false;
    V4_0_IV0 = 22, "4.0", "IV0", false;
    V4_0_IV1 = 23, "4.0", "IV1", true;
    V4_0_IV2 = 24, "4.0", "IV2", false;
    V4_0_IV3 = 25, "4.0", "IV3", false;
    V4_1_IV0 = 26, "4.1", "IV0", false;
    V4_1_IV1 = 27, "4.1", "IV1", false;
    V4_2_IV0 = 28, "4.2", "IV0", false;
    V4_2_IV1 = 29, "4.2", "IV1", false;
    V4_3_IV0 = 30, "4.3", "IV0", true;
    V4_4_IV0 = 31, "4.4", "IV0", false;
    V4_4_IV1 = 32, "4.4", "IV1", true;
    V4_4_IV2 = 33, "4.4", "IV2", true;
}

/// A text that names no level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Unknown metadata.version '{0}'. Supported metadata.version are: {supported}", supported = supported_names())]
pub struct UnknownMetadataVersion(pub String);

fn supported_names() -> String {
    let names: Vec<&str> = MetadataVersion::ALL.iter().map(|version| version.name()).collect();
    names.join(", ")
}

impl MetadataVersion {
    /// The oldest level that a node of this release can work at.
    pub const MINIMUM: MetadataVersion = MetadataVersion::V3_3_IV3;
    /// The level that a newly formatted cluster gets.
    pub const LATEST_PRODUCTION: MetadataVersion = MetadataVersion::V4_4_IV2;

    /// The level's number in a `FeatureLevelRecord`.
    pub const fn feature_level(self) -> i16 {
        self as i16
    }

    /// The level with this number, unless this release does not know it.
    pub fn from_feature_level(level: i16) -> Option<MetadataVersion> {
        let index = level.checked_sub(Self::MINIMUM.feature_level())?;
        Self::ALL.get(usize::try_from(index).ok()?).copied()
    }

    /// Reads a name (`4.4-IV2`), a release (`4.4`: its last level) or a full version (`4.4.0`).
    pub fn from_version_string(text: &str) -> Result<MetadataVersion, UnknownMetadataVersion> {
        // Only the first two numbers of a version count; a name's "-IV2" stands in the second.
        let key = match text.match_indices('.').nth(1) {
            Some((second_dot, _)) => &text[..second_dot],
            None => text,
        };
        Self::ALL
            .iter()
            .rev()
            .find(|version| version.name() == key || version.release() == key)
            .copied()
            .ok_or_else(|| UnknownMetadataVersion(text.to_owned()))
    }

    /// SCRAM credentials may be stored (KIP-900).
    pub fn is_scram_supported(self) -> bool {
        self >= MetadataVersion::V3_5_IV2
    }

    /// A smaller ISR bumps the leader epoch: needed by brokers from before KAFKA-15021.
    pub fn is_leader_epoch_bump_required_on_isr_shrink(self) -> bool {
        self < MetadataVersion::V3_6_IV0
    }

    /// Records may be wrapped in metadata transactions (KIP-868).
    pub fn is_metadata_transaction_supported(self) -> bool {
        self >= MetadataVersion::V3_6_IV1
    }

    /// Delegation tokens may be stored.
    pub fn is_delegation_token_supported(self) -> bool {
        self >= MetadataVersion::V3_6_IV2
    }

    /// Controllers may register (KIP-919).
    pub fn is_controller_registration_supported(self) -> bool {
        self >= MetadataVersion::V3_7_IV0
    }

    /// Replicas may carry the directory that holds them (KIP-858).
    pub fn is_directory_assignment_supported(self) -> bool {
        self >= MetadataVersion::V3_7_IV2
    }

    /// Partitions may carry eligible leader replicas (KIP-966).
    pub fn is_elr_supported(self) -> bool {
        self >= MetadataVersion::V4_0_IV1
    }

    /// Brokers may say whether they come from ZooKeeper.
    pub fn is_migration_supported(self) -> bool {
        self >= MetadataVersion::V3_4_IV0
    }

    /// Log directories may be cordoned (KIP-1066).
    pub fn is_cordoned_log_dirs_supported(self) -> bool {
        self >= MetadataVersion::V4_3_IV0
    }

    /// ACLs may name networks.
    pub fn is_cidr_acl_supported(self) -> bool {
        self >= MetadataVersion::V4_4_IV1
    }

    /// A controller's registration may be removed.
    pub fn is_controller_unregistration_supported(self) -> bool {
        self >= MetadataVersion::V4_4_IV2
    }

    /// The version of `RegisterBrokerRecord` to write.
    pub fn register_broker_record_version(self) -> i16 {
        if self.is_cordoned_log_dirs_supported() {
            4
        } else if self.is_directory_assignment_supported() {
            3
        } else if self.is_migration_supported() {
            2
        } else {
            1
        }
    }

    /// The version of `PartitionRecord` to write.
    pub fn partition_record_version(self) -> i16 {
        if self.is_elr_supported() {
            2
        } else if self.is_directory_assignment_supported() {
            1
        } else {
            0
        }
    }

    /// The version of `PartitionChangeRecord` to write.
    pub fn partition_change_record_version(self) -> i16 {
        self.partition_record_version()
    }

    /// The version of `Fetch` that replicas send to their leader.
    pub fn fetch_request_version(self) -> i16 {
        match self {
            version if version >= MetadataVersion::V4_1_IV1 => 18,
            version if version >= MetadataVersion::V3_9_IV0 => 17,
            version if version >= MetadataVersion::V3_7_IV4 => 16,
            version if version >= MetadataVersion::V3_5_IV1 => 15,
            version if version >= MetadataVersion::V3_5_IV0 => 14,
            _ => 13,
        }
    }

    /// The version of `ListOffsets` that replicas send to their leader.
    pub fn list_offsets_request_version(self) -> i16 {
        match self {
            version if version >= MetadataVersion::V4_2_IV1 => 11,
            version if version >= MetadataVersion::V4_0_IV3 => 10,
            version if version >= MetadataVersion::V3_9_IV0 => 9,
            version if version >= MetadataVersion::V3_5_IV0 => 8,
            _ => 7,
        }
    }

    /// Whether records changed anywhere on the way between two levels, in either direction.
    pub fn metadata_changed_between(self, other: MetadataVersion) -> bool {
        let (low, high) = if self <= other { (self, other) } else { (other, self) };
        Self::ALL.iter().any(|version| *version > low && *version <= high && version.did_metadata_change())
    }
}

impl fmt::Display for MetadataVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_numbered_without_gaps() {
        for (index, version) in MetadataVersion::ALL.iter().enumerate() {
            assert_eq!(version.feature_level(), index as i16 + 7);
            assert_eq!(MetadataVersion::from_feature_level(version.feature_level()), Some(*version));
        }
        assert_eq!(MetadataVersion::from_feature_level(6), None);
        assert_eq!(MetadataVersion::from_feature_level(34), None);
        assert_eq!(MetadataVersion::from_feature_level(i16::MIN), None);
        assert_eq!(MetadataVersion::LATEST_PRODUCTION.to_string(), "4.4-IV2");
    }

    #[test]
    fn a_release_names_its_last_level() {
        for (text, version) in [
            ("4.4", MetadataVersion::V4_4_IV2),
            ("4.4.0", MetadataVersion::V4_4_IV2),
            ("3.7", MetadataVersion::V3_7_IV4),
            ("3.7-IV2", MetadataVersion::V3_7_IV2),
            ("3.9.1", MetadataVersion::V3_9_IV0),
        ] {
            assert_eq!(MetadataVersion::from_version_string(text), Ok(version), "{text}");
        }
        for text in ["", "3.2", "5.0", "4", "4.4-IV3", "x.y.z"] {
            assert!(MetadataVersion::from_version_string(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_downgrade_is_harmless_only_where_no_record_changed() {
        assert!(!MetadataVersion::V4_2_IV1.metadata_changed_between(MetadataVersion::V4_0_IV1));
        assert!(MetadataVersion::V4_2_IV1.metadata_changed_between(MetadataVersion::V4_0_IV0));
        assert!(MetadataVersion::V4_0_IV0.metadata_changed_between(MetadataVersion::V4_4_IV2));
        assert!(!MetadataVersion::V4_4_IV2.metadata_changed_between(MetadataVersion::V4_4_IV2));
    }

    #[test]
    fn record_versions_follow_the_level() {
        assert_eq!(MetadataVersion::V3_3_IV3.register_broker_record_version(), 1);
        assert_eq!(MetadataVersion::V4_4_IV2.register_broker_record_version(), 4);
        assert_eq!(MetadataVersion::V3_7_IV2.partition_record_version(), 1);
        assert_eq!(MetadataVersion::V4_4_IV2.partition_change_record_version(), 2);
        assert_eq!(MetadataVersion::V4_4_IV2.fetch_request_version(), 18);
        assert_eq!(MetadataVersion::V4_4_IV2.list_offsets_request_version(), 11);
    }
}
