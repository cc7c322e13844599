//! `milena configs`, which is `kafka-configs.sh` (`org.apache.kafka.tools.ConfigCommand`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use client::admin::{ConfigEntry, ConfigResource, ConfigResourceType, ConfigSource, GroupFilter};
use client::{Admin, AlterConfigOp, ClientError};
use common::ErrorCode;

use super::client_entities;
use super::client_tool::{self, AdminOptions, failed_future};
use crate::report::failure;

/// Show and change the configurations of topics, brokers, groups and the like
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    admin: AdminOptions,
    /// The controllers to ask first, in place of brokers: HOST:PORT, several with commas
    #[arg(long, value_name = "controller to connect to")]
    bootstrap_controller: Option<String>,
    /// Change a configuration
    #[arg(long)]
    alter: bool,
    /// Show configurations
    #[arg(long)]
    describe: bool,
    /// With --describe: all keys, and not only those that were set
    #[arg(long)]
    all: bool,
    /// What has the configuration: topics, brokers, broker-loggers, client-metrics, groups, clients, users or ips
    #[arg(long)]
    entity_type: Vec<String>,
    /// Its name
    #[arg(long)]
    entity_name: Vec<String>,
    /// In the place of --entity-name: what holds for all that have nothing of their own
    #[arg(long)]
    entity_default: bool,
    /// Keys and values: k1=v1,k2=[v1,v2],k3=v3
    #[arg(long)]
    add_config: Option<String>,
    /// Keys and values in a properties file
    #[arg(long)]
    add_config_file: Option<PathBuf>,
    /// Keys to set back to their defaults: k1,k2
    #[arg(long)]
    delete_config: Vec<String>,
    /// The topic
    #[arg(long)]
    topic: Option<String>,
    /// The id of the broker
    #[arg(long)]
    broker: Option<String>,
    /// All brokers that have nothing of their own
    #[arg(long)]
    broker_defaults: bool,
    /// The id of the broker whose loggers are meant
    #[arg(long)]
    broker_logger: Option<String>,
    /// The group
    #[arg(long)]
    group: Option<String>,
    /// The subscription of clients' metrics
    #[arg(long)]
    client_metrics: Option<String>,
    /// The id of the client
    #[arg(long)]
    client: Option<String>,
    /// All clients that have nothing of their own
    #[arg(long)]
    client_defaults: bool,
    /// The user
    #[arg(long)]
    user: Option<String>,
    /// All users that have nothing of their own
    #[arg(long)]
    user_defaults: bool,
    /// The address
    #[arg(long)]
    ip: Option<String>,
    /// All addresses that have nothing of their own
    #[arg(long)]
    ip_defaults: bool,
}

/// The types as the tool knows them, in Kafka's order.
const ENTITY_TYPES: [&str; 8] =
    ["broker-loggers", "topics", "clients", "users", "brokers", "ips", "client-metrics", "groups"];

/// Something with a configuration, or all of its type.
#[derive(Debug, PartialEq, Eq)]
struct Entity {
    entity_type: String,
    name: Option<String>,
    /// All types and names: a user may have quotas as a client.
    types: Vec<String>,
    names: Vec<String>,
}

impl Entity {
    fn singular(&self) -> &str {
        self.entity_type.strip_suffix('s').unwrap_or(&self.entity_type)
    }

    /// Whether it has quotas and credentials in the place of keys.
    fn is_client(&self) -> bool {
        ["users", "clients", "ips"].contains(&self.entity_type.as_str())
    }

    /// Its type on the wire, and the source of what is set for it.
    fn kind(&self) -> Result<ConfigResourceType, String> {
        Ok(match self.entity_type.as_str() {
            "topics" => ConfigResourceType::Topic,
            "brokers" => ConfigResourceType::Broker,
            "broker-loggers" => ConfigResourceType::BrokerLogger,
            "client-metrics" => ConfigResourceType::ClientMetrics,
            "groups" => ConfigResourceType::Group,
            other => return Err(format!("Invalid entity type: {other}")),
        })
    }

    fn source(&self, name: &str) -> ConfigSource {
        match self.entity_type.as_str() {
            "topics" => ConfigSource::DynamicTopicConfig,
            "brokers" if name.is_empty() => ConfigSource::DynamicDefaultBrokerConfig,
            "brokers" => ConfigSource::DynamicBrokerConfig,
            "broker-loggers" => ConfigSource::DynamicBrokerLoggerConfig,
            "client-metrics" => ConfigSource::DynamicClientMetricsConfig,
            _ => ConfigSource::DynamicGroupConfig,
        }
    }
}

/// Why a command was not carried out.
pub(super) enum Failure {
    /// In Kafka's words.
    Said(String),
    /// By the cluster.
    Cluster(ClientError),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        Failure::Cluster(error)
    }
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    if arguments.admin.version {
        return client_tool::print_version();
    }
    let entity = match arguments.check() {
        Ok(entity) => entity,
        Err(error) => return failure(error),
    };
    client_tool::run(1, async move {
        let admin = arguments.admin()?;
        let done = match arguments.alter {
            true => arguments.alter(&admin, &entity).await,
            false => arguments.describe(&admin, &entity).await,
        };
        match done {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(Failure::Said(error)) => Err(error),
            Err(Failure::Cluster(error)) if error.code() == Some(ErrorCode::UnsupportedVersion) => {
                Err(error.to_string())
            }
            Err(Failure::Cluster(error @ ClientError::Api { .. })) => {
                let words: Vec<String> =
                    std::env::args().skip_while(|word| !word.starts_with("--")).collect();
                let words = words.join(" ");
                Err(format!(
                    "Error while executing config command with args '{words}'\n{}",
                    failed_future(&error)
                ))
            }
            Err(Failure::Cluster(error)) => Err(error.to_string()),
        }
    })
}

impl Arguments {
    fn admin(&self) -> Result<Admin, String> {
        match &self.bootstrap_controller {
            None => self.admin.admin(),
            Some(controllers) => self.admin.for_controllers(controllers),
        }
    }

    /// The combinations that make no sense, in Kafka's words; otherwise what is meant.
    fn check(&self) -> Result<Entity, String> {
        if self.bootstrap_controller.is_some() && self.admin.names_brokers() {
            return Err(
                "Only one of --bootstrap-server or --bootstrap-controller can be specified".to_owned()
            );
        }
        if self.alter == self.describe {
            return Err("Command must include exactly one action: --describe, --alter".to_owned());
        }
        let clash =
            |option: &str| Err(format!("Option \"[describe]\" can't be used with option \"[{option}]\""));
        if self.describe && self.add_config.is_some() {
            return clash("add-config");
        }
        if self.describe && !self.delete_config.is_empty() {
            return clash("delete-config");
        }
        let (types, names) = self.entities()?;
        if let Some(wrong) = types.iter().find(|name| !ENTITY_TYPES.contains(&name.as_str())) {
            return Err(format!(
                "Invalid entity type {wrong}, the entity type must be one of {} with a --bootstrap-server or \
                 --bootstrap-controller argument",
                ENTITY_TYPES.join(", ")
            ));
        }
        let Some(first) = types.first().cloned() else {
            return Err("At least one entity type must be specified".to_owned());
        };
        if types.len() > 1 {
            let both = types.contains(&"users".to_owned()) && types.contains(&"clients".to_owned());
            if !both || types.len() > 2 {
                return Err("Only 'users' and 'clients' entity types may be specified together".to_owned());
            }
        }
        let is_broker = matches!(first.as_str(), "brokers" | "broker-loggers");
        let named = names.iter().find(|name| !name.is_empty());
        if let Some(name) = named.filter(|name| is_broker && name.parse::<i32>().is_err()) {
            return Err(format!(
                "The entity name for {first} must be a valid integer broker id, but it is: {name}"
            ));
        }
        let with_defaults = matches!(first.as_str(), "users" | "clients" | "brokers" | "ips");
        if self.describe {
            if self.entity_default && !with_defaults {
                return Err(format!(
                    "--entity-default must not be specified with --describe of {}",
                    types.join(",")
                ));
            }
            if first == "broker-loggers" && named.is_none() {
                return Err(format!(
                    "An entity name must be specified with --describe of {}",
                    types.join(",")
                ));
            }
        }
        if self.alter {
            self.check_alter(&types, &names, with_defaults)?;
        }
        Ok(Entity { entity_type: first, name: names.first().cloned(), types, names })
    }

    fn check_alter(&self, types: &[String], names: &[String], with_defaults: bool) -> Result<(), String> {
        if with_defaults && names.is_empty() {
            return Err("An entity-name or default entity must be specified with --alter of users, clients, brokers or ips"
                .to_owned());
        }
        if !with_defaults && names.iter().all(String::is_empty) {
            return Err(format!("An entity name must be specified with --alter of {}", types.join(",")));
        }
        if self.add_config.is_some() && self.add_config_file.is_some() {
            return Err("Only one of --add-config or --add-config-file must be specified".to_owned());
        }
        if self.add_config.is_none() && self.add_config_file.is_none() && self.delete_config.is_empty() {
            return Err("At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter"
                .to_owned());
        }
        if types.len() != names.len() {
            return Err("An entity name must be specified for every entity type".to_owned());
        }
        Ok(())
    }

    /// The types that are meant, and the names; the empty one is the default.
    fn entities(&self) -> Result<(Vec<String>, Vec<String>), String> {
        let flags = [
            ("topics", self.topic.clone()),
            ("clients", self.client.clone()),
            ("users", self.user.clone()),
            ("brokers", self.broker.clone()),
            ("broker-loggers", self.broker_logger.clone()),
            ("ips", self.ip.clone()),
            ("client-metrics", self.client_metrics.clone()),
            ("groups", self.group.clone()),
            ("clients", self.client_defaults.then(String::new)),
            ("users", self.user_defaults.then(String::new)),
            ("brokers", self.broker_defaults.then(String::new)),
            ("ips", self.ip_defaults.then(String::new)),
        ];
        let mut types = self.entity_type.clone();
        let mut names = self.entity_name.clone();
        if self.entity_default {
            names.push(String::new());
        }
        let general = !types.is_empty() || !names.is_empty();
        for (entity_type, name) in flags {
            let Some(name) = name else { continue };
            types.push(entity_type.to_owned());
            names.push(name);
        }
        let mut twice: Vec<&str> = Vec::new();
        for (index, entity_type) in types.iter().enumerate() {
            if types[..index].contains(entity_type) && !twice.contains(&entity_type.as_str()) {
                twice.push(entity_type);
            }
        }
        if !twice.is_empty() {
            return Err(format!("Duplicate entity type(s) specified: {}", twice.join(",")));
        }
        if general && types.len() > self.entity_type.len() {
            return Err(
                "--entity-{type,name,default} should not be used in conjunction with specific entity flags"
                    .to_owned(),
            );
        }
        Ok((types, names))
    }

    async fn alter(&self, admin: &Admin, entity: &Entity) -> Result<(), Failure> {
        let added = self.added().map_err(Failure::Said)?;
        let deleted: Vec<&str> =
            self.delete_config.iter().flat_map(|keys| keys.split(',')).map(str::trim).collect();
        let name = entity.name.clone().unwrap_or_default();
        if entity.is_client() {
            client_entities::alter(admin, &entity.types, &entity.names, &added, &deleted).await?;
            print_completed(entity, &name);
            return Ok(());
        }
        let resource =
            ConfigResource { resource_type: entity.kind().map_err(Failure::Said)?, name: name.clone() };
        if resource.resource_type == ConfigResourceType::BrokerLogger {
            let known = describe_one(admin, &resource).await?;
            let keys = deleted.iter().copied().chain(added.keys().map(String::as_str));
            let wrong: Vec<&str> = keys.filter(|key| known.iter().all(|entry| entry.name != *key)).collect();
            if !wrong.is_empty() {
                return Err(Failure::Said(format!("Invalid broker logger(s): {}", wrong.join(","))));
            }
        }
        let mut changes: Vec<(String, AlterConfigOp)> =
            deleted.into_iter().map(|key| (key.to_owned(), AlterConfigOp::Delete)).collect();
        changes.extend(added.into_iter().map(|(key, value)| (key, AlterConfigOp::Set(value))));
        admin.incremental_alter_configs(&resource, &changes).await?;
        print_completed(entity, &name);
        Ok(())
    }

    /// What `--add-config` or its file says.
    fn added(&self) -> Result<BTreeMap<String, String>, String> {
        let mut added: BTreeMap<String, String> =
            client_tool::entries(self.add_config_file.as_deref(), &[])?.into_iter().collect();
        if let Some(text) = &self.add_config {
            added.extend(pairs(text)?);
        }
        let valid = |letter: char| letter.is_ascii_alphanumeric() || "$._-".contains(letter);
        match added.keys().find(|key| !key.chars().all(valid)) {
            Some(key) => Err(format!("Invalid character found for config key: {key}")),
            None => Ok(added),
        }
    }

    async fn describe(&self, admin: &Admin, entity: &Entity) -> Result<(), Failure> {
        if entity.is_client() {
            return client_entities::describe(admin, &entity.types, &entity.names).await;
        }
        let kind = entity.kind().map_err(Failure::Said)?;
        let names = match &entity.name {
            Some(name) => {
                if !self.all && !is_there(admin, kind, name).await? {
                    println!(
                        "The {} '{name}' doesn't exist and doesn't have dynamic config.",
                        entity.singular()
                    );
                    return Ok(());
                }
                vec![name.clone()]
            }
            None => all_names(admin, kind).await?,
        };
        let resource = |name: &String| ConfigResource { resource_type: kind, name: name.clone() };
        let mut described = admin.describe_configs(&names.iter().map(resource).collect::<Vec<_>>()).await?;
        for name in &names {
            match name.is_empty() {
                true => println!("Default configs for {} in the cluster are:", entity.entity_type),
                false => {
                    let which = if self.all { "All" } else { "Dynamic" };
                    println!("{which} configs for {} {name} are:", entity.singular());
                }
            }
            let mut entries = described.remove(&resource(name)).unwrap_or_else(|| Ok(Vec::new()))?;
            entries.sort_by(|one, other| one.name.cmp(&other.name));
            let source = entity.source(name);
            let shown = entries
                .iter()
                .filter(|entry| self.all || ConfigSource::from_code(entry.config_source) == source);
            shown.for_each(print_entry);
        }
        Ok(())
    }
}

fn print_completed(entity: &Entity, name: &str) {
    match name.is_empty() {
        false => println!("Completed updating config for {} {name}.", entity.singular()),
        true => println!("Completed updating default config for {} in the cluster.", entity.entity_type),
    }
}

fn print_entry(entry: &ConfigEntry) {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
    let synonyms: Vec<String> = entry
        .synonyms
        .iter()
        .map(|synonym| {
            let source = ConfigSource::from_code(synonym.source).name();
            format!("{source}:{}={}", synonym.name, value(&synonym.value))
        })
        .collect();
    println!(
        "  {}={} sensitive={} synonyms={{{}}}",
        entry.name,
        value(&entry.value),
        entry.is_sensitive,
        synonyms.join(", ")
    );
}

async fn describe_one(admin: &Admin, resource: &ConfigResource) -> Result<Vec<ConfigEntry>, ClientError> {
    let mut described = admin.describe_configs(std::slice::from_ref(resource)).await?;
    described.remove(resource).unwrap_or_else(|| Ok(Vec::new()))
}

async fn is_there(admin: &Admin, kind: ConfigResourceType, name: &str) -> Result<bool, Failure> {
    if kind == ConfigResourceType::Topic {
        common::topic::validate_topic_name(name).map_err(|error| Failure::Said(error.to_string()))?;
    }
    let default_broker = kind == ConfigResourceType::Broker && name.is_empty();
    // A broker that cannot list groups' configurations may have one of any name.
    let unlisted = kind == ConfigResourceType::Group
        && matches!(admin.list_config_resources(kind).await, Err(ClientError::UnsupportedApi { .. }));
    Ok(default_broker || unlisted || all_names(admin, kind).await?.iter().any(|known| known == name))
}

/// The names of everything of a type; the default of all brokers is among them.
async fn all_names(admin: &Admin, kind: ConfigResourceType) -> Result<Vec<String>, ClientError> {
    Ok(match kind {
        ConfigResourceType::Topic => admin.list_topics().await?.into_keys().collect(),
        ConfigResourceType::Broker | ConfigResourceType::BrokerLogger => {
            let nodes = admin.describe_cluster_in_detail(false).await?.brokers.into_iter();
            let ids = nodes.map(|(node, _)| node.id.to_string());
            ids.chain(Some(String::new())).collect()
        }
        ConfigResourceType::ClientMetrics => {
            admin.list_config_resources(kind).await?.into_iter().map(|resource| resource.name).collect()
        }
        ConfigResourceType::Group => {
            let groups = admin.list_groups(&GroupFilter::default()).await?;
            let mut names: Vec<String> = groups.into_iter().map(|group| group.group_id).collect();
            // Brokers before Kafka 4.1 do not list groups' configurations.
            for resource in admin.list_config_resources(kind).await.unwrap_or_default() {
                if !names.contains(&resource.name) {
                    names.push(resource.name);
                }
            }
            names
        }
    })
}

/// `k1=v1,k2=[v1,v2],k3=`.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let invalid = "Invalid entity config: all configs to be added must be in the format \"key=val\" or  \
                   \"key=[val1,val2]\" to group values which contain commas.";
    let split = |text: &str, separator: char| -> Vec<String> {
        let mut parts = vec![String::new()];
        let mut inside = false;
        for letter in text.chars() {
            inside = (inside || letter == '[') && letter != ']';
            match parts.last_mut() {
                Some(part) if letter != separator || inside => part.push(letter),
                _ => parts.push(String::new()),
            }
        }
        parts
    };
    let pair = |text: &String| {
        let parts = split(text, '=');
        match parts.as_slice() {
            [key, value] => Ok((key.trim().to_owned(), value.replace(['[', ']'], "").trim().to_owned())),
            _ => Err(invalid.to_owned()),
        }
    };
    let mut parts = split(text, ',');
    // As Java splits: what is empty at the end does not count.
    while parts.len() > 1 && parts.last().is_some_and(String::is_empty) {
        parts.pop();
    }
    parts.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Tool {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn check(words: &[&str]) -> Result<(String, Option<String>), String> {
        let words = std::iter::once("kafka-configs").chain(words.iter().copied());
        let arguments = Tool::try_parse_from(words).map_err(|error| error.to_string())?.arguments;
        arguments.check().map(|entity| (entity.entity_type, entity.name))
    }

    #[test]
    fn entities_are_named_in_two_ways() {
        let topic = ("topics".to_owned(), Some("t".to_owned()));
        assert_eq!(check(&["--describe", "--topic", "t"]), Ok(topic.clone()));
        assert_eq!(check(&["--describe", "--entity-type", "topics", "--entity-name", "t"]), Ok(topic));
        assert_eq!(check(&["--describe", "--entity-type", "topics"]), Ok(("topics".to_owned(), None)));
        let defaults = Ok(("brokers".to_owned(), Some(String::new())));
        assert_eq!(check(&["--describe", "--broker-defaults"]), defaults);
        assert_eq!(check(&["--describe", "--entity-type", "brokers", "--entity-default"]), defaults);
    }

    #[test]
    fn combinations_are_refused_in_kafkas_words() {
        for (words, message) in [
            (&["--topic", "t"][..], "Command must include exactly one action: --describe, --alter"),
            (&["--describe"], "At least one entity type must be specified"),
            (&["--describe", "--entity-type", "x"], "Invalid entity type x, the entity type must be one of"),
            (
                &["--describe", "--broker", "x"],
                "The entity name for brokers must be a valid integer broker id",
            ),
            (
                &["--alter", "--topic", "t"],
                "At least one of --add-config, --add-config-file, or --delete-config",
            ),
            (
                &["--alter", "--entity-type", "topics", "--add-config", "a=b"],
                "An entity name must be specified",
            ),
            (&["--describe", "--topic", "t", "--broker", "1"], "Only 'users' and 'clients' entity types"),
            (&["--describe", "--topic", "t", "--add-config", "a=b"], "Option \"[describe]\" can't be used"),
            (
                &["--describe", "--entity-type", "topics", "--topic", "t"],
                "Duplicate entity type(s) specified: topics",
            ),
        ] {
            let error = check(words).unwrap_err();
            assert!(error.starts_with(message), "{words:?}: {error}");
        }
    }

    #[test]
    fn values_with_commas_stand_in_brackets() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            pairs("a=1,b=[x,y=z], c = ,d=[]").unwrap(),
            [pair("a", "1"), pair("b", "x,y=z"), pair("c", ""), pair("d", "")]
        );
        assert!(pairs("a").is_err() && pairs("a=1=2").is_err());
        assert_eq!(pairs("a=1,").unwrap(), [pair("a", "1")]);
    }
}
