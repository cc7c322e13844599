//! The dynamic configs of topics, brokers, groups and client metrics (`org.apache.kafka.controller.ConfigurationControlManager`).

use std::collections::{BTreeMap, BTreeSet};

use common::ErrorCode;
use config::BrokerConfig;
use config::alter::{Op, ResourceType, apply_ops, validate};
use metadata::{ConfigResource, ConfigResourceType, MetadataRecord, MetadataVersion, VersionedRecord};
use protocol::messages::{ClearElrRecord, ConfigRecord};

use crate::api_error::ApiError;

/// The key of the smallest ISR that takes writes.
pub const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";
const UNCLEAN_LEADER_ELECTION: &str = "unclean.leader.election.enable";
const CORDONED_LOG_DIRS: &str = "cordoned.log.dirs";

/// What a check of new configs depends on beside the configs.
#[derive(Clone, Copy)]
pub struct ConfigEnvironment {
    /// The finalised `metadata.version`.
    pub metadata_version: MetadataVersion,
    /// Whether eligible leader replicas are kept (KIP-966).
    pub elr_enabled: bool,
    /// Whether a broker passed the request on.
    pub forwarded: bool,
}

/// The dynamic configs, and this node's configuration as they make it.
#[derive(Clone, Debug)]
pub struct ConfigurationControlManager {
    node_id: i32,
    data: BTreeMap<ConfigResource, BTreeMap<String, String>>,
    /// From the properties of this node alone.
    static_config: BrokerConfig,
    /// With the dynamic configs of all brokers and of this one.
    effective: BrokerConfig,
    default_min_isr: i32,
    default_unclean_election: bool,
}

impl ConfigurationControlManager {
    /// No dynamic config yet.
    pub fn new(node_id: i32, static_config: BrokerConfig) -> ConfigurationControlManager {
        let topic = static_config.topic_defaults.config();
        ConfigurationControlManager {
            node_id,
            data: BTreeMap::new(),
            effective: static_config.clone(),
            static_config,
            default_min_isr: topic.min_insync_replicas,
            default_unclean_election: topic.unclean_leader_election_enable,
        }
    }

    /// This node's configuration with the dynamic configs, from which topics have their defaults.
    pub fn effective_config(&self) -> &BrokerConfig {
        &self.effective
    }

    /// `min.insync.replicas` as the properties of this node have it.
    pub fn static_min_insync_replicas(&self) -> i32 {
        self.static_config.topic_defaults.config().min_insync_replicas
    }

    /// A topic's `min.insync.replicas`.
    pub fn min_insync_replicas(&self, topic: &str) -> i32 {
        let own = self.topic_value(topic, MIN_INSYNC_REPLICAS);
        own.and_then(|value| value.trim().parse().ok()).unwrap_or(self.default_min_isr)
    }

    /// Whether a topic would rather lose records than have no leader.
    pub fn unclean_leader_election_enabled(&self, topic: &str) -> bool {
        let own = self.topic_value(topic, UNCLEAN_LEADER_ELECTION);
        own.map_or(self.default_unclean_election, |value| value.trim().eq_ignore_ascii_case("true"))
    }

    fn topic_value(&self, topic: &str, key: &str) -> Option<&str> {
        if self.data.is_empty() {
            return None;
        }
        Some(self.data.get(&ConfigResource::topic(topic))?.get(key)?.as_str())
    }

    /// Replays a config.
    pub fn replay(&mut self, record: &ConfigRecord) {
        let resource =
            ConfigResource::new(ConfigResourceType(record.resource_type), record.resource_name.clone());
        let configs = self.data.entry(resource.clone()).or_default();
        match &record.value {
            Some(value) => drop(configs.insert(record.name.clone(), value.clone())),
            None => drop(configs.remove(&record.name)),
        }
        if configs.is_empty() {
            self.data.remove(&resource);
        }
        if resource == ConfigResource::default_broker() || resource == ConfigResource::broker(self.node_id) {
            self.refresh_effective_config();
        }
    }

    fn refresh_effective_config(&mut self) {
        let layer = |resource| self.data.get(&resource).cloned().unwrap_or_default();
        let default = layer(ConfigResource::default_broker());
        let own = layer(ConfigResource::broker(self.node_id));
        match self.static_config.with_dynamic(default, own) {
            Ok(effective) => self.effective = effective,
            // Whoever wrote it checked it; a newer Kafka may know values that this release does not.
            Err(error) => tracing::warn!("dynamic broker configs are left out of topics' defaults: {error}"),
        }
        let topic = self.effective.topic_defaults.config();
        self.default_min_isr = topic.min_insync_replicas;
        self.default_unclean_election = topic.unclean_leader_election_enable;
    }

    /// A deleted topic takes its configs with it.
    pub fn delete_topic_configs(&mut self, name: &str) {
        self.data.remove(&ConfigResource::topic(name));
    }

    /// Checks operations on a resource's configs and makes their records.
    pub fn incremental_alter(
        &self,
        resource: &ConfigResource,
        ops: &[Op],
        environment: ConfigEnvironment,
    ) -> Result<Vec<VersionedRecord>, ApiError> {
        let empty = BTreeMap::new();
        let current = self.data.get(resource).unwrap_or(&empty);
        let after = apply_ops(resource_type(resource)?, current, ops).map_err(refused)?;
        let keys: BTreeSet<&String> = ops.iter().map(|op| &op.name).collect();
        // A broker acts on its own configs even where nothing changes: it reads key stores again, for example.
        let is_broker = resource.resource_type == ConfigResourceType::BROKER;
        let changes: Vec<_> = keys
            .into_iter()
            .filter(|key| is_broker || current.get(*key) != after.get(*key))
            .map(|key| (key.clone(), after.get(key).cloned()))
            .collect();
        self.validate(resource, &changes, environment)?;
        Ok(records(resource, changes))
    }

    /// Checks a resource's whole new set of configs and makes the records that lead to it.
    pub fn legacy_alter(
        &self,
        resource: &ConfigResource,
        configs: &BTreeMap<String, Option<String>>,
        environment: ConfigEnvironment,
    ) -> Result<Vec<VersionedRecord>, ApiError> {
        let empty = BTreeMap::new();
        let current = self.data.get(resource).unwrap_or(&empty);
        let is_broker = resource.resource_type == ConfigResourceType::BROKER;
        let explicit = configs
            .iter()
            .filter(|(key, value)| is_broker || current.get(*key) != value.as_ref())
            .map(|(key, value)| (key.clone(), value.clone()));
        let implicit =
            current.keys().filter(|key| !configs.contains_key(*key)).map(|key| (key.clone(), None));
        let changes: Vec<_> = explicit.chain(implicit).collect();
        self.validate(resource, &changes, environment)?;
        Ok(records(resource, changes))
    }

    /// What a broker's configs may be, that broker checks itself; here only the rules of the cluster.
    fn validate(
        &self,
        resource: &ConfigResource,
        changes: &[(String, Option<String>)],
        environment: ConfigEnvironment,
    ) -> Result<(), ApiError> {
        let empty = BTreeMap::new();
        let existing = self.data.get(resource).unwrap_or(&empty);
        let mut all = existing.clone();
        for (key, value) in changes {
            check_transition(resource, key, value.as_deref(), existing, environment)?;
            match value {
                None => drop(all.remove(key)),
                Some(value) if value.len() > i16::MAX as usize => {
                    let message = format!(
                        "The configuration value cannot be added because it exceeds the maximum value size of {} bytes.",
                        i16::MAX
                    );
                    return Err(ApiError::new(ErrorCode::InvalidConfig, message));
                }
                Some(value) => drop(all.insert(key.clone(), value.clone())),
            }
        }
        let resource_type = resource_type(resource)?;
        validate(&self.static_config, resource_type, &resource.name, existing, &all).map_err(refused)
    }

    /// Turning ELR on makes `min.insync.replicas` a matter of the whole cluster: a value for all brokers where there is
    /// none, and none for single brokers.
    pub fn elr_safety_records(&self) -> Vec<VersionedRecord> {
        let mut made = Vec::new();
        let default = ConfigResource::default_broker();
        if !self.data.get(&default).is_some_and(|configs| configs.contains_key(MIN_INSYNC_REPLICAS)) {
            made.push(min_isr_record(&default, Some(self.static_min_insync_replicas())));
        }
        for (resource, configs) in &self.data {
            let is_broker = resource.resource_type == ConfigResourceType::BROKER && !resource.name.is_empty();
            if is_broker && configs.contains_key(MIN_INSYNC_REPLICAS) {
                made.push(min_isr_record(resource, None));
            }
        }
        made
    }
}

fn resource_type(resource: &ConfigResource) -> Result<ResourceType, ApiError> {
    match resource.resource_type {
        ConfigResourceType::TOPIC => Ok(ResourceType::Topic),
        ConfigResourceType::BROKER => Ok(ResourceType::Broker),
        ConfigResourceType::CLIENT_METRICS => Ok(ResourceType::ClientMetrics),
        ConfigResourceType::GROUP => Ok(ResourceType::Group),
        other => Err(ApiError::new(ErrorCode::InvalidRequest, format!("Unknown resource type {other}"))),
    }
}

fn refused((error, message): (ErrorCode, String)) -> ApiError {
    ApiError::new(error, message)
}

/// The record that sets `min.insync.replicas`.
pub fn min_isr_record(resource: &ConfigResource, value: Option<i32>) -> VersionedRecord {
    let change = (MIN_INSYNC_REPLICAS.to_owned(), value.map(|value| value.to_string()));
    let mut made = records(resource, [change]);
    made.remove(0)
}

fn records(
    resource: &ConfigResource,
    changes: impl IntoIterator<Item = (String, Option<String>)>,
) -> Vec<VersionedRecord> {
    let record = |(name, value)| ConfigRecord {
        resource_type: resource.resource_type.0,
        resource_name: resource.name.clone(),
        name,
        value,
    };
    changes.into_iter().map(|change| (record(change).into(), 0)).collect()
}

/// With ELR, a new `min.insync.replicas` makes what was eligible before doubtful: these records forget it.
pub fn clear_elr_records(made: &[VersionedRecord], elr_enabled: bool) -> Vec<VersionedRecord> {
    let min_isr_changes = made.iter().filter_map(|(record, _)| match record {
        MetadataRecord::Config(config) if elr_enabled && config.name == MIN_INSYNC_REPLICAS => Some(config),
        _ => None,
    });
    let clear = min_isr_changes.map(|config| {
        let is_topic = config.resource_type == ConfigResourceType::TOPIC.0;
        let topic_name = if is_topic { config.resource_name.clone() } else { String::new() };
        (ClearElrRecord { topic_name }.into(), 0)
    });
    clear.collect()
}

/// Changes that would break a promise of another feature.
fn check_transition(
    resource: &ConfigResource,
    key: &str,
    value: Option<&str>,
    existing: &BTreeMap<String, String>,
    environment: ConfigEnvironment,
) -> Result<(), ApiError> {
    if resource.resource_type != ConfigResourceType::BROKER {
        return Ok(());
    }
    let refused = |message: String| Err(ApiError::new(ErrorCode::InvalidConfig, message));
    if key == MIN_INSYNC_REPLICAS && environment.elr_enabled {
        if !resource.name.is_empty() {
            return refused(
                "Broker-level min.insync.replicas cannot be altered while ELR is enabled.".to_owned(),
            );
        }
        if value.is_none() {
            return refused(
                "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.".to_owned(),
            );
        }
    }
    if key == CORDONED_LOG_DIRS {
        if !environment.metadata_version.is_cordoned_log_dirs_supported() {
            return refused(format!(
                "The {CORDONED_LOG_DIRS} configuration value cannot be set because it requires metadata.version >= {}",
                MetadataVersion::V4_3_IV0
            ));
        }
        let wanted = value.unwrap_or_default().trim();
        if !environment.forwarded && !wanted.is_empty() {
            // Only the broker itself knows which directories it has.
            let current: Vec<&str> =
                existing.get(key).map_or_else(Vec::new, |dirs| dirs.split(',').map(str::trim).collect());
            if !wanted.split(',').all(|dir| current.contains(&dir.trim())) {
                return refused(format!(
                    "When updating {CORDONED_LOG_DIRS} via controllers,  the new value must be a subset of the current configuration value."
                ));
            }
        }
    }
    Ok(())
}
