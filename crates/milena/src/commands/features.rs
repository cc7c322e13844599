//! `milena features`, which is `kafka-features.sh` (`org.apache.kafka.tools.FeatureCommand`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use client::admin::UpgradeType;
use client::{Admin, ClientError};
use metadata::{Feature, METADATA_VERSION_FEATURE, MetadataVersion};
use raft::format::storage_tool;

use super::client_tool;

/// Show and change the levels of a cluster's features
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// The brokers to ask first: HOST:PORT, several with commas [default: localhost:9092]
    #[arg(long, value_name = "BOOTSTRAP_SERVER", conflicts_with = "bootstrap_controller")]
    bootstrap_server: Option<String>,
    /// The controllers to ask first, in place of brokers: HOST:PORT, several with commas
    #[arg(long, value_name = "BOOTSTRAP_CONTROLLER")]
    bootstrap_controller: Option<String>,
    /// Properties for the admin client
    #[arg(long, value_name = "COMMAND_CONFIG")]
    command_config: Option<PathBuf>,
    #[command(subcommand)]
    command: FeatureCommand,
}

#[derive(clap::Subcommand, Debug)]
enum FeatureCommand {
    /// Show the levels in use and those that are supported
    Describe(Describe),
    /// Raise levels
    Upgrade(Change),
    /// Lower levels
    Downgrade(Downgrade),
    /// Take features away, as by lowering them to 0
    Disable(Disable),
    /// Show which levels a release comes with; the latest where none is named
    VersionMapping(VersionMapping),
    /// Show what levels of features rest on
    FeatureDependencies(FeatureDependencies),
}

#[derive(clap::Args, Debug)]
struct Describe {
    /// The node to ask
    #[arg(long, value_name = "NODE_ID", allow_negative_numbers = true)]
    node_id: Option<i32>,
}

#[derive(clap::Args, Debug)]
struct Change {
    /// The level of metadata.version, by its name (use --feature or --release-version)
    #[arg(long, value_name = "METADATA")]
    metadata: Option<String>,
    /// The release whose levels all features are to have
    #[arg(long, value_name = "RELEASE_VERSION")]
    release_version: Option<String>,
    /// A feature and its level, like group.version=1; may be given several times
    #[arg(long, value_name = "FEATURE")]
    feature: Vec<String>,
    /// Only say whether it can be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(clap::Args, Debug)]
struct Downgrade {
    #[command(flatten)]
    change: Change,
    /// Also where metadata is lost by it
    #[arg(long = "unsafe")]
    is_unsafe: bool,
}

#[derive(clap::Args, Debug)]
struct Disable {
    /// A feature; may be given several times
    #[arg(long, value_name = "FEATURE")]
    feature: Vec<String>,
    /// Also where metadata is lost by it
    #[arg(long = "unsafe")]
    is_unsafe: bool,
    /// Only say whether it can be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(clap::Args, Debug)]
struct VersionMapping {
    /// The release, like 4.4 or 4.4-IV2
    #[arg(long, value_name = "RELEASE_VERSION")]
    release_version: Option<String>,
}

#[derive(clap::Args, Debug)]
struct FeatureDependencies {
    /// A feature and its level, like group.version=1; may be given several times
    #[arg(long, value_name = "FEATURE", required = true)]
    feature: Vec<String>,
}

/// Levels to set, and how they may change.
type Updates = BTreeMap<String, (i16, UpgradeType)>;

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    client_tool::run(1, async move {
        let admin = || {
            client_tool::either_admin(
                arguments.bootstrap_server.as_deref(),
                arguments.bootstrap_controller.as_deref(),
                arguments.command_config.as_deref(),
            )
        };
        let downgrade = |is_unsafe: bool| match is_unsafe {
            true => UpgradeType::UnsafeDowngrade,
            false => UpgradeType::SafeDowngrade,
        };
        let mut out = std::io::stdout();
        match &arguments.command {
            FeatureCommand::Describe(describe) => show(&admin()?, describe.node_id).await?,
            FeatureCommand::Upgrade(change) => {
                let updates = change.updates(UpgradeType::Upgrade)?;
                update(&admin()?, "upgrade", &updates, change.dry_run).await?;
            }
            FeatureCommand::Downgrade(down) => {
                let updates = down.change.updates(downgrade(down.is_unsafe))?;
                update(&admin()?, "downgrade", &updates, down.change.dry_run).await?;
            }
            FeatureCommand::Disable(disable) => {
                let mut updates = Updates::new();
                for feature in &disable.feature {
                    if updates.insert(feature.clone(), (0, downgrade(disable.is_unsafe))).is_some() {
                        return Err(format!("Feature {feature} was specified more than once."));
                    }
                }
                update(&admin()?, "disable", &updates, disable.dry_run).await?;
            }
            FeatureCommand::VersionMapping(mapping) => {
                storage_tool::version_mapping(&mut out, mapping.release_version.as_deref())
                    .map_err(|error| error.to_string())?;
            }
            FeatureCommand::FeatureDependencies(features) => {
                storage_tool::feature_dependencies(&mut out, &features.feature)
                    .map_err(|error| error.to_string())?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// A level as people know it: that of metadata.version has a name.
fn level_text(feature: &str, level: i16) -> String {
    if feature != METADATA_VERSION_FEATURE {
        return level.to_string();
    }
    match MetadataVersion::from_feature_level(level) {
        Some(version) => version.name().to_owned(),
        None => format!("UNKNOWN {level}"),
    }
}

async fn show(admin: &Admin, node: Option<i32>) -> Result<(), String> {
    if let Some(id) = node.filter(|id| *id < 0) {
        return Err(format!("Invalid node id {id}: must be non-negative."));
    }
    let described = admin.describe_features(node).await.map_err(|error| client_tool::exception(&error))?;
    let epoch = described.epoch.map_or_else(|| "-".to_owned(), |epoch| epoch.to_string());
    for (feature, (lowest, highest)) in &described.supported {
        let level = described.finalized.get(feature).copied().unwrap_or(0);
        println!(
            "Feature: {feature:<40}  SupportedMinVersion: {:<15}  SupportedMaxVersion: {:<15}  FinalizedVersionLevel: \
             {:<15}  Epoch: {epoch}",
            level_text(feature, *lowest),
            level_text(feature, *highest),
            level_text(feature, level),
        );
    }
    Ok(())
}

impl Change {
    fn updates(&self, upgrade_type: UpgradeType) -> Result<Updates, String> {
        let mut updates = Updates::new();
        if let Some(release) = &self.release_version {
            if self.metadata.is_some() || !self.feature.is_empty() {
                return Err("Can not specify `release-version` with other feature flags.".to_owned());
            }
            let version = MetadataVersion::from_version_string(release).map_err(|error| error.to_string())?;
            updates.insert(METADATA_VERSION_FEATURE.to_owned(), (version.feature_level(), upgrade_type));
            for feature in Feature::ALL {
                let level = feature.default_level(version);
                if upgrade_type != UpgradeType::Upgrade || level > 0 {
                    updates.insert(feature.name().to_owned(), (level, upgrade_type));
                }
            }
            return Ok(updates);
        }
        if let Some(name) = &self.metadata {
            println!(" `metadata` flag is deprecated and may be removed in a future release.");
            let version = MetadataVersion::from_version_string(name).map_err(|error| error.to_string())?;
            updates.insert(METADATA_VERSION_FEATURE.to_owned(), (version.feature_level(), upgrade_type));
        }
        for text in &self.feature {
            let (name, level) = name_and_level(text)?;
            if updates.insert(name.to_owned(), (level, upgrade_type)).is_some() {
                return Err(format!("Feature {name} was specified more than once."));
            }
        }
        Ok(updates)
    }
}

fn name_and_level(text: &str) -> Result<(&str, i16), String> {
    let Some((name, level)) = text.split_once('=') else {
        return Err(format!("Can't parse feature=level string {text}: equals sign not found."));
    };
    let level = level.trim();
    match level.parse() {
        Ok(number) => Ok((name.trim(), number)),
        Err(_) => {
            Err(format!("Can't parse feature=level string {text}: unable to parse {level} as a short."))
        }
    }
}

async fn update(admin: &Admin, what: &str, updates: &Updates, dry_run: bool) -> Result<(), String> {
    if updates.is_empty() {
        return Err(format!("You must specify at least one feature to {what}"));
    }
    let results = match admin.update_features(updates, dry_run).await {
        Ok(results) => results,
        // Whatever is wrong is wrong with each.
        Err(error) => updates.keys().map(|feature| (feature.clone(), Err(error.clone()))).collect(),
    };
    let mut failures = 0;
    for (feature, result) in results {
        let level = updates.get(&feature).map_or(0, |(level, _)| *level);
        println!("{}", outcome(what, &feature, level, dry_run, &result));
        failures += usize::from(result.is_err());
    }
    match failures {
        0 => Ok(()),
        count => Err(format!("{count} out of {} operation(s) failed.", updates.len())),
    }
}

fn outcome(what: &str, feature: &str, level: i16, dry_run: bool, result: &Result<(), ClientError>) -> String {
    match result {
        Ok(()) => {
            let verb = if dry_run { "can be" } else { "was" };
            let done = if what == "disable" { "disabled".to_owned() } else { format!("{what}d to {level}") };
            format!("{feature} {verb} {done}.")
        }
        Err(error) => {
            let verb = if dry_run { "Can not" } else { "Could not" };
            let to = if what == "disable" { String::new() } else { format!(" to {level}") };
            format!("{verb} {what} {feature}{to}. {error}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_are_read_and_told() {
        let change = |release: Option<&str>, features: &[&str]| {
            Change {
                metadata: None,
                release_version: release.map(str::to_owned),
                feature: features.iter().map(|text| (*text).to_owned()).collect(),
                dry_run: false,
            }
            .updates(UpgradeType::Upgrade)
        };
        assert_eq!(change(None, &["a = 1"]).unwrap()["a"].0, 1);
        assert!(change(None, &["a"]).unwrap_err().ends_with("equals sign not found."));
        assert!(change(None, &["a=x"]).unwrap_err().ends_with("unable to parse x as a short."));
        assert!(change(None, &["a=1", "a=2"]).is_err() && change(Some("4.0"), &["a=1"]).is_err());
        let release = change(Some("4.0"), &[]).unwrap();
        assert_eq!((release["metadata.version"].0, release["group.version"].0), (25, 1));
        assert!(!release.contains_key("share.version"));
        assert_eq!(outcome("upgrade", "a", 1, true, &Ok(())), "a can be upgraded to 1.");
        assert_eq!(outcome("disable", "a", 0, false, &Ok(())), "a was disabled.");
        let error = Err(ClientError::Closed);
        assert!(outcome("downgrade", "a", 0, false, &error).starts_with("Could not downgrade a to 0. "));
    }
}
