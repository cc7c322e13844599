//! What `kafka-storage` prints beside `format` (`kafka.tools.StorageTool`).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use common::Uuid;
use metadata::{Feature, METADATA_VERSION_FEATURE, MetadataVersion};
use storage::checkpoint::{META_PROPERTIES_FILE, MetaProperties};

use super::FormatterError;

/// The order in which Kafka lists the features.
const FEATURES: [Feature; 6] = [
    Feature::KraftVersion,
    Feature::TransactionVersion,
    Feature::GroupVersion,
    Feature::EligibleLeaderReplicasVersion,
    Feature::ShareVersion,
    Feature::StreamsVersion,
];

/// `random-uuid`.
pub fn random_uuid() -> Uuid {
    Uuid::random()
}

/// `info`: prints what the directories hold; gives the exit code. `kraft_mode`: `process.roles` is set.
pub fn info(out: &mut dyn io::Write, kraft_mode: bool, directories: &BTreeSet<String>) -> io::Result<i32> {
    if directories.is_empty() {
        writeln!(out, "No directories specified.")?;
        return Ok(0);
    }
    let mut problems = Vec::new();
    let mut found = Vec::new();
    let mut previous: Option<MetaProperties> = None;
    for directory in directories {
        let path = Path::new(directory);
        if !path.is_dir() {
            let problem = if path.exists() { "is not a directory" } else { "does not exist" };
            problems.push(format!("{directory} {problem}"));
            continue;
        }
        found.push(directory);
        match MetaProperties::read(path) {
            Ok(None) => problems.push(format!("{directory} is not formatted.")),
            Ok(Some(current)) => match &previous {
                None => previous = Some(current),
                Some(previous) if previous.cluster_id != current.cluster_id => {
                    problems.push("Mismatched cluster IDs between storage directories.".to_owned());
                }
                Some(previous) if previous.node_id != current.node_id => {
                    problems.push("Mismatched node IDs between storage directories.".to_owned());
                }
                Some(_) => {}
            },
            Err(error) => {
                problems
                    .push(format!("Error loading {}: {error}", path.join(META_PROPERTIES_FILE).display()));
            }
        }
    }
    match &previous {
        Some(properties) if kraft_mode && properties.version == 0 => problems.push(
            "The kafka configuration file appears to be for a cluster in KRaft mode, but the directories are formatted \
             for legacy mode."
                .to_owned(),
        ),
        Some(properties) if !kraft_mode && properties.version == 1 => problems.push(
            "The kafka configuration file appears to be for a legacy cluster, but the directories are formatted for a \
             cluster in KRaft mode."
                .to_owned(),
        ),
        _ => {}
    }
    if !found.is_empty() {
        writeln!(out, "Found log {}:", if found.len() == 1 { "directory" } else { "directories" })?;
        for directory in found {
            writeln!(out, "  {directory}")?;
        }
        writeln!(out)?;
    }
    if let Some(properties) = previous {
        writeln!(out, "Found metadata: {}\n", describe(&properties))?;
    }
    if problems.is_empty() {
        return Ok(0);
    }
    writeln!(out, "Found problem{}:", if problems.len() == 1 { "" } else { "s" })?;
    for problem in problems {
        writeln!(out, "  {problem}")?;
    }
    writeln!(out)?;
    Ok(1)
}

/// `version-mapping`: the levels that formatting at a release gives.
pub fn version_mapping(out: &mut dyn io::Write, release_version: Option<&str>) -> Result<(), FormatterError> {
    let text = release_version.unwrap_or(MetadataVersion::LATEST_PRODUCTION.name());
    let version = MetadataVersion::from_version_string(text)
        .map_err(|error| FormatterError::Refused(error.to_string()))?;
    writeln!(out, "{METADATA_VERSION_FEATURE}={} ({text})", version.feature_level())?;
    for feature in FEATURES {
        writeln!(out, "{}={}", feature.name(), feature.default_level(version))?;
    }
    Ok(())
}

/// `feature-dependencies`: what each `name=level` needs.
pub fn feature_dependencies(out: &mut dyn io::Write, features: &[String]) -> Result<(), FormatterError> {
    let refused = |text: String| Err(FormatterError::Refused(text));
    for argument in features {
        let Some((name, level)) = argument.split_once('=') else {
            return refused(format!(
                "Invalid feature format: {argument}. Expected format: 'feature=version' (e.g. 'group.version=1')"
            ));
        };
        let (name, text) = (name.trim(), level.trim());
        let Ok(level) = text.parse::<i16>() else {
            return refused(format!("Invalid version format: {text} for feature {name}"));
        };
        if name == METADATA_VERSION_FEATURE {
            let Some(version) = MetadataVersion::from_feature_level(level) else {
                return refused(format!("Unknown metadata.version {level}"));
            };
            writeln!(out, "{name}={level} ({version}) has no dependencies.")?;
            continue;
        }
        let Some(feature) = Feature::from_name(name) else {
            return refused(format!("Unknown feature: {name}"));
        };
        if !(feature.minimum()..=feature.latest_production()).contains(&level) {
            return refused(format!("Feature level {level} is not supported for feature {name}"));
        }
        match needed_metadata_version(feature, level) {
            None => writeln!(out, "{name}={level} has no dependencies.")?,
            Some(needed) => {
                writeln!(out, "{name}={level} requires:")?;
                writeln!(out, "    {METADATA_VERSION_FEATURE}={} ({needed})", needed.feature_level())?;
            }
        }
    }
    Ok(())
}

/// The lowest metadata.version that allows the level, if that is not all of them.
fn needed_metadata_version(feature: Feature, level: i16) -> Option<MetadataVersion> {
    let allows = |version: &&MetadataVersion| {
        let levels = BTreeMap::from([(METADATA_VERSION_FEATURE.to_owned(), version.feature_level())]);
        feature.validate_level(level, &levels).is_ok()
    };
    MetadataVersion::ALL.iter().find(allows).copied().filter(|version| *version != MetadataVersion::MINIMUM)
}

/// Sorted by key, as Java prints a map.
fn describe(properties: &MetaProperties) -> String {
    let mut fields = BTreeMap::from([("version", properties.version.to_string())]);
    if let Some(cluster_id) = &properties.cluster_id {
        fields.insert("cluster.id", cluster_id.clone());
    }
    if let Some(node_id) = properties.node_id {
        fields.insert(if properties.version == 0 { "broker.id" } else { "node.id" }, node_id.to_string());
    }
    if let Some(directory_id) = properties.directory_id {
        fields.insert("directory.id", directory_id.to_string());
    }
    let fields: Vec<String> = fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("{{{}}}", fields.join(", "))
}
