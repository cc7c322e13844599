//! `milena storage`: formats and inspects log directories (`kafka.tools.StorageTool`).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Subcommand;
use common::Uuid;
use config::{BrokerConfig, Environment, Properties};
use metadata::MetadataVersion;
use raft::format::{DynamicVoter, DynamicVoters, Formatter, storage_tool};

use crate::report::failure;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: StorageCommand,
}

#[derive(Subcommand)]
enum StorageCommand {
    /// Get information about the Kafka log directories on this node
    Info(File),
    /// Format the Kafka log directories on this node
    Format(Format),
    /// Print a random UUID
    RandomUuid,
    /// Look up the features that a release, or the latest, comes with
    VersionMapping(VersionMapping),
    /// Look up what a feature level needs of other features
    FeatureDependencies(FeatureDependencies),
}

#[derive(clap::Args)]
struct File {
    /// The Kafka configuration file to use
    #[arg(short, long, value_name = "CONFIG")]
    config: PathBuf,
}

#[derive(clap::Args)]
struct Format {
    #[command(flatten)]
    file: File,
    /// The cluster ID to use
    #[arg(short = 't', long, value_name = "CLUSTER_ID")]
    cluster_id: String,
    /// A SCRAM credential to add, like 'SCRAM-SHA-256=[name=alice,password=alice-secret]'
    #[arg(short = 'S', long, value_name = "ADD_SCRAM")]
    add_scram: Vec<String>,
    /// Leave directories alone that are formatted already
    #[arg(short = 'g', long)]
    ignore_formatted: bool,
    /// The release whose features the cluster begins with, like 4.4
    #[arg(short, long, value_name = "RELEASE_VERSION")]
    release_version: Option<String>,
    /// A feature and its level, like group.version=1
    #[arg(short, long, value_name = "FEATURE")]
    feature: Vec<String>,
    /// This node begins a quorum of controllers alone
    #[arg(short, long, group = "quorum")]
    standalone: bool,
    /// This node joins a quorum later
    #[arg(short = 'N', long, group = "quorum")]
    no_initial_controllers: bool,
    /// The controllers that begin the quorum, like 0@example.com:8082:J8qXRwI-Qyi2G0guFTiuYw
    #[arg(short = 'I', long, group = "quorum", value_name = "INITIAL_CONTROLLERS")]
    initial_controllers: Option<String>,
}

#[derive(clap::Args)]
struct VersionMapping {
    /// The release, like 4.4
    #[arg(short, long, value_name = "RELEASE_VERSION")]
    release_version: Option<String>,
}

#[derive(clap::Args)]
struct FeatureDependencies {
    /// A feature and its level, like group.version=1
    #[arg(short, long, value_name = "FEATURE", required = true)]
    feature: Vec<String>,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let mut out = io::stdout().lock();
    let result = match arguments.command {
        StorageCommand::Info(file) => info(&mut out, &file),
        StorageCommand::Format(format) => format.run(&mut out),
        StorageCommand::RandomUuid => {
            writeln!(out, "{}", storage_tool::random_uuid()).map(|()| 0).map_err(|error| error.to_string())
        }
        StorageCommand::VersionMapping(mapping) => {
            storage_tool::version_mapping(&mut out, mapping.release_version.as_deref())
                .map(|()| 0)
                .map_err(|error| error.to_string())
        }
        StorageCommand::FeatureDependencies(features) => {
            storage_tool::feature_dependencies(&mut out, &features.feature)
                .map(|()| 0)
                .map_err(|error| error.to_string())
        }
    };
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => failure(error),
    }
}

impl File {
    fn read(&self) -> Result<BrokerConfig, String> {
        Properties::read(&self.config)
            .and_then(|properties| BrokerConfig::from_properties(&properties, Environment::default()))
            .map(|(config, _)| config)
            .map_err(|error| error.to_string())
    }
}

fn directories(config: &BrokerConfig) -> BTreeSet<String> {
    let mut directories: BTreeSet<String> =
        config.log_dirs.iter().map(|directory| directory.display().to_string()).collect();
    directories.insert(config.metadata_log_dir.display().to_string());
    directories
}

fn info(out: &mut impl Write, file: &File) -> Result<i32, String> {
    let config = file.read()?;
    storage_tool::info(out, true, &directories(&config)).map_err(|error| error.to_string())
}

impl Format {
    fn run(self, out: &mut impl Write) -> Result<i32, String> {
        let config = self.file.read()?;
        let controller = config.advertised_controller_listeners.first();
        let initial_controllers = match (&self.initial_controllers, self.standalone) {
            (Some(text), _) => Some(text.parse::<DynamicVoters>().map_err(|error| error.to_string())?),
            (None, true) => {
                let Some(endpoint) = controller else {
                    return Err("No controller listener found in configuration: set controller.listener.names, and a \
                                listener of that name in listeners."
                        .to_owned());
                };
                let voter = DynamicVoter {
                    node_id: config.node_id,
                    directory_id: Uuid::random(),
                    host: endpoint.host.clone(),
                    port: endpoint.port,
                };
                Some(DynamicVoters::new([voter]).map_err(|error| error.to_string())?)
            }
            (None, false) => None,
        };
        let has_static_voters = config.is_set("controller.quorum.voters");
        if config.process_roles.controller
            && !has_static_voters
            && initial_controllers.is_none()
            && !self.no_initial_controllers
        {
            return Err("Because controller.quorum.voters is not set on this controller, you must specify one of the \
                        following: --standalone, --initial-controllers, or --no-initial-controllers."
                .to_owned());
        }
        let formatter = Formatter {
            node_id: config.node_id,
            cluster_id: self.cluster_id,
            directories: directories(&config),
            metadata_log_directory: Some(config.metadata_log_dir.display().to_string()),
            controller_listener_name: config
                .controller_listener_names
                .first()
                .cloned()
                .unwrap_or_else(|| "CONTROLLER".to_owned()),
            release_version: match &self.release_version {
                Some(text) => {
                    Some(MetadataVersion::from_version_string(text).map_err(|error| error.to_string())?)
                }
                None => None,
            },
            feature_levels: feature_levels(&self.feature)?,
            initial_controllers,
            has_dynamic_quorum: !has_static_voters,
            write_bootstrap_snapshot: config.process_roles.controller,
            ignore_formatted: self.ignore_formatted,
            scram_arguments: self.add_scram,
        };
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        formatter.run(out, now_ms).map_err(|error| error.to_string())?;
        Ok(0)
    }
}

fn feature_levels(features: &[String]) -> Result<BTreeMap<String, i16>, String> {
    let mut levels = BTreeMap::new();
    for feature in features {
        let (name, level) = feature
            .split_once('=')
            .and_then(|(name, level)| Some((name.trim(), level.trim().parse().ok()?)))
            .ok_or_else(|| {
                format!("Can't parse feature=level string {feature}: equals sign or level not found.")
            })?;
        levels.insert(name.to_owned(), level);
    }
    Ok(levels)
}
