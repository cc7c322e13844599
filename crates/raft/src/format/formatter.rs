//! `kafka-storage format` (`org.apache.kafka.metadata.storage.Formatter`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use common::Uuid;
use metadata::{
    BootstrapError, BootstrapMetadata, Feature, METADATA_VERSION_FEATURE, MetadataRecord, MetadataVersion,
    VersionedRecord,
};
use protocol::Writer;
use storage::checkpoint::{CheckpointError, MetaProperties};

use super::dynamic_voters::{DynamicVoters, DynamicVotersError};
use super::ensemble::Ensemble;
use super::scram;
use crate::snapshot::{SnapshotOptions, SnapshotWriter};
use crate::{OffsetAndEpoch, RaftError};

/// What to format, and how: the arguments of `kafka-storage format`, and what it takes from the configuration.
#[derive(Clone, Debug, Default)]
pub struct Formatter {
    /// `node.id`.
    pub node_id: i32,
    /// `--cluster-id`.
    pub cluster_id: String,
    /// `log.dirs`, and the metadata log directory.
    pub directories: BTreeSet<String>,
    /// `metadata.log.dir`, or the first of `log.dirs`.
    pub metadata_log_directory: Option<String>,
    /// The first of `controller.listener.names`.
    pub controller_listener_name: String,
    /// `--release-version`.
    pub release_version: Option<MetadataVersion>,
    /// `--feature`, by name.
    pub feature_levels: BTreeMap<String, i16>,
    /// `--standalone` or `--initial-controllers`.
    pub initial_controllers: Option<DynamicVoters>,
    /// Whether `controller.quorum.voters` is empty.
    pub has_dynamic_quorum: bool,
    /// Whether this node is a controller: `process.roles`.
    pub write_bootstrap_snapshot: bool,
    /// `--ignore-formatted`.
    pub ignore_formatted: bool,
    /// `--add-scram`, one text each.
    pub scram_arguments: Vec<String>,
}

/// Why nothing, or not everything, was formatted.
#[derive(Debug, thiserror::Error)]
pub enum FormatterError {
    /// What was asked for is refused, in Kafka's words.
    #[error("{0}")]
    Refused(String),
    /// The feature levels do not fit.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The voters.
    #[error(transparent)]
    Voters(#[from] DynamicVotersError),
    /// A checkpoint cannot be written or read.
    #[error(transparent)]
    Raft(#[from] RaftError),
    /// `meta.properties` cannot be written.
    #[error("Error while writing meta.properties file {directory}: {source}")]
    MetaProperties {
        /// The log directory.
        directory: String,
        /// What went wrong.
        source: CheckpointError,
    },
    /// The report cannot be written.
    #[error("the report cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// What a directory is to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DirectoryType {
    Log,
    StaticMetadata,
    DynamicMetadataNonVoter,
    DynamicMetadataVoter,
}

impl DirectoryType {
    fn description(self) -> &'static str {
        match self {
            DirectoryType::Log => "data directory",
            DirectoryType::StaticMetadata => "metadata directory",
            DirectoryType::DynamicMetadataNonVoter => "dynamic metadata directory",
            DirectoryType::DynamicMetadataVoter => "dynamic metadata voter directory",
        }
    }
}

impl Formatter {
    /// Formats every directory that is not formatted yet, and reports to `out` as Kafka does. Gives what a new cluster
    /// begins with.
    ///
    /// Errors: as Kafka's, in its words; what was formatted before the error stays so.
    pub fn run(&self, out: &mut dyn io::Write, now_ms: i64) -> Result<BootstrapMetadata, FormatterError> {
        let refused = |text: &str| Err(FormatterError::Refused(text.to_owned()));
        if self.node_id < 0 {
            return refused("You must specify a valid non-negative node ID.");
        }
        if self.cluster_id.is_empty() {
            return refused("You must specify the cluster id.");
        }
        if self.directories.is_empty() {
            return refused("You must specify at least one directory to format");
        }
        if let Some(directory) = &self.metadata_log_directory
            && !self.directories.contains(directory)
        {
            let all: Vec<&str> = self.directories.iter().map(String::as_str).collect();
            return Err(FormatterError::Refused(format!(
                "The specified metadata log directory, {directory} was not one of the given directories: [{}]",
                all.join(", ")
            )));
        }
        let release_version = self.effective_release_version()?;
        let kraft_version = self.effective_kraft_version()?;
        let bootstrap = self.bootstrap_metadata(release_version, kraft_version)?;
        self.format(&bootstrap, release_version, kraft_version, out, now_ms)?;
        Ok(bootstrap)
    }

    fn effective_release_version(&self) -> Result<MetadataVersion, FormatterError> {
        match (self.feature_levels.get(METADATA_VERSION_FEATURE), self.release_version) {
            (Some(_), Some(_)) => Err(FormatterError::Refused(
                "Use --release-version instead of --feature metadata.version=X to avoid ambiguity."
                    .to_owned(),
            )),
            (Some(level), None) => MetadataVersion::from_feature_level(*level).ok_or_else(|| {
                let (min, max) = (MetadataVersion::MINIMUM, MetadataVersion::LATEST_PRODUCTION);
                FormatterError::Refused(format!(
                    "No MetadataVersion with feature level {level}. Valid feature levels are from {} to {}.",
                    min.feature_level(),
                    max.feature_level()
                ))
            }),
            (None, Some(version)) => Ok(version),
            (None, None) => Ok(MetadataVersion::LATEST_PRODUCTION),
        }
    }

    /// Without a word of the user's: 1 where the voters are not in the configuration.
    fn effective_kraft_version(&self) -> Result<i16, FormatterError> {
        let refused = |text: String| Err(FormatterError::Refused(text));
        match self.feature_levels.get(Feature::KraftVersion.name()) {
            Some(0) if self.has_dynamic_quorum => refused(
                "Cannot set kraft.version to 0 if controller.quorum.voters is empty and one of the flags --standalone, \
                 --initial-controllers, or --no-initial-controllers is used. For dynamic controllers support, try \
                 removing the --feature flag for kraft.version."
                    .to_owned(),
            ),
            Some(level) if *level != 0 && !self.has_dynamic_quorum => refused(format!(
                "Cannot set kraft.version to {level} unless controller.quorum.voters is empty and one of the flags \
                 --standalone, --initial-controllers, or --no-initial-controllers is used. For dynamic controllers \
                 support, try using one of --standalone, --initial-controllers, or --no-initial-controllers and \
                 removing controller.quorum.voters."
            )),
            Some(level) => Ok(*level),
            None => Ok(i16::from(self.has_dynamic_quorum)),
        }
    }

    fn bootstrap_metadata(
        &self,
        release_version: MetadataVersion,
        kraft_version: i16,
    ) -> Result<BootstrapMetadata, FormatterError> {
        let mut levels = self.feature_levels.clone();
        levels.remove(METADATA_VERSION_FEATURE);
        if let Some(unknown) = levels.keys().find(|name| Feature::from_name(name).is_none()) {
            let names: Vec<&str> = Feature::ALL.iter().map(|feature| feature.name()).collect();
            return Err(FormatterError::Refused(format!(
                "Unsupported feature: {unknown}. Supported features are: {}",
                names.join(", ")
            )));
        }
        levels.insert(Feature::KraftVersion.name().to_owned(), kraft_version);
        let source = "format command";
        let bootstrap = BootstrapMetadata::for_release(release_version, &levels, source)?;
        if self.scram_arguments.is_empty() {
            return Ok(bootstrap);
        }
        if !release_version.is_scram_supported() {
            return Err(FormatterError::Refused(
                "SCRAM is only supported in metadata.version 3.5-IV2 or later.".to_owned(),
            ));
        }
        let mut records: Vec<VersionedRecord> = bootstrap.records().to_vec();
        for argument in &self.scram_arguments {
            records.push((scram::parse(argument)?.into(), 0));
        }
        Ok(BootstrapMetadata::from_records(records, source)?)
    }

    fn format(
        &self,
        bootstrap: &BootstrapMetadata,
        release_version: MetadataVersion,
        kraft_version: i16,
        out: &mut dyn io::Write,
        now_ms: i64,
    ) -> Result<(), FormatterError> {
        let ensemble = Ensemble::load(&self.directories);
        ensemble.verify(&self.cluster_id, self.node_id)?;
        if let Some(directory) = ensemble.formatted.keys().next().filter(|_| !self.ignore_formatted) {
            return Err(FormatterError::Refused(format!(
                "Log directory {directory} is already formatted. Use --ignore-formatted to ignore this directory and \
                 format the others."
            )));
        }
        for directory in ensemble.errors.keys() {
            writeln!(out, "I/O error trying to read log directory {directory}. Ignoring...")?;
        }
        if !ensemble.errors.is_empty() && ensemble.empty.is_empty() && ensemble.formatted.is_empty() {
            return Err(FormatterError::Refused("No available log directories to format.".to_owned()));
        }
        if ensemble.empty.is_empty() {
            writeln!(out, "All of the log directories are already formatted.")?;
            return Ok(());
        }
        writeln!(out, "Bootstrap metadata: {}", describe(bootstrap))?;
        for directory in &ensemble.empty {
            let kind = self.directory_type(directory);
            writeln!(
                out,
                "Formatting {} {directory} with {METADATA_VERSION_FEATURE} {release_version}.",
                kind.description()
            )?;
            self.format_directory(directory, kind, bootstrap, kraft_version, now_ms)?;
        }
        Ok(())
    }

    fn directory_type(&self, directory: &str) -> DirectoryType {
        if self.metadata_log_directory.as_deref() != Some(directory) {
            return DirectoryType::Log;
        }
        match &self.initial_controllers {
            None => DirectoryType::StaticMetadata,
            Some(voters) if voters.voter(self.node_id).is_some() => DirectoryType::DynamicMetadataVoter,
            Some(_) => DirectoryType::DynamicMetadataNonVoter,
        }
    }

    fn format_directory(
        &self,
        directory: &str,
        kind: DirectoryType,
        bootstrap: &BootstrapMetadata,
        kraft_version: i16,
        now_ms: i64,
    ) -> Result<(), FormatterError> {
        let path = Path::new(directory);
        ::io::fs::create_dir_all(path).map_err(|source| RaftError::Io { path: path.to_owned(), source })?;
        if self.write_bootstrap_snapshot && kind != DirectoryType::Log {
            self.write_bootstrap_snapshot(path, bootstrap, kraft_version, now_ms)?;
        }
        let voter = self.initial_controllers.as_ref().and_then(|voters| voters.voter(self.node_id));
        let directory_id = match voter.filter(|_| kind == DirectoryType::DynamicMetadataVoter) {
            Some(voter) => voter.directory_id,
            None => Uuid::random(),
        };
        MetaProperties::new(&self.cluster_id, self.node_id, directory_id)
            .write(path)
            .map_err(|source| FormatterError::MetaProperties { directory: directory.to_owned(), source })
    }

    fn write_bootstrap_snapshot(
        &self,
        directory: &Path,
        bootstrap: &BootstrapMetadata,
        kraft_version: i16,
        now_ms: i64,
    ) -> Result<(), FormatterError> {
        let voters = self.initial_controllers.as_ref();
        let options = SnapshotOptions {
            id: OffsetAndEpoch::BOOTSTRAP,
            last_contained_log_timestamp_ms: now_ms,
            kraft_version,
            voters: voters.map(|voters| voters.to_voter_set(&self.controller_listener_name)),
        };
        let log_dir = directory.join(format!("{}-0", common::topic::CLUSTER_METADATA_TOPIC));
        let mut writer = SnapshotWriter::create(&log_dir, &options, now_ms)?;
        for (record, version) in bootstrap.records() {
            let mut framed = Writer::new();
            record.write_framed(&mut framed, *version).map_err(|error| {
                FormatterError::Refused(format!("a bootstrap record cannot be written: {error}"))
            })?;
            writer.append(&framed.into_bytes(), now_ms)?;
        }
        writer.freeze(now_ms)?;
        Ok(())
    }
}

/// As Kafka prints it.
fn describe(bootstrap: &BootstrapMetadata) -> String {
    let records: Vec<String> = bootstrap
        .records()
        .iter()
        .map(|(record, version)| {
            format!("ApiMessageAndVersion({} at version {version})", describe_record(record))
        })
        .collect();
    let level = bootstrap.metadata_version().feature_level();
    let (records, source) = (records.join(", "), bootstrap.source());
    format!("BootstrapMetadata(records=[{records}], metadataVersionLevel={level}, source={source})")
}

fn describe_record(record: &MetadataRecord) -> String {
    match record {
        MetadataRecord::FeatureLevel(record) => {
            format!("FeatureLevelRecord(name='{}', featureLevel={})", record.name, record.feature_level)
        }
        MetadataRecord::UserScramCredential(record) => format!(
            "UserScramCredentialRecord(name='{}', mechanism={}, salt={}, storedKey={}, serverKey={}, iterations={})",
            record.name,
            record.mechanism,
            signed_bytes(&record.salt),
            signed_bytes(&record.stored_key),
            signed_bytes(&record.server_key),
            record.iterations
        ),
        other => format!("{other:?}"),
    }
}

/// As `Arrays.toString` prints bytes.
fn signed_bytes(bytes: &[u8]) -> String {
    let mut text = String::from("[");
    for (index, byte) in bytes.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        // Writing to a text does not fail.
        let _ = write!(text, "{separator}{}", *byte as i8);
    }
    text + "]"
}
