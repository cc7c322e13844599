//! What the tables of crate `config` say about the configs of resources, as the controller asks it.

use std::collections::BTreeMap;

use common::ErrorCode;
use config::def::Default;
use config::keys::{KeyTable, client_metrics_keys, group_keys, topic_keys};
use config::synonyms::topic_synonyms;
use config::{BrokerConfig, ConfigKey, Value};
use metadata::ConfigResourceType;

use crate::api_error::ApiError;

/// Where a topic's effective value is from, as numbered on the wire (`DescribeConfigsResponse.ConfigSource`).
mod source {
    pub const TOPIC: i8 = 1;
    pub const DYNAMIC_BROKER: i8 = 2;
    pub const DYNAMIC_DEFAULT_BROKER: i8 = 3;
    pub const STATIC_BROKER: i8 = 4;
    pub const DEFAULT: i8 = 5;
}

/// A topic's value of one config, and where it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveConfig {
    /// The config's name.
    pub name: &'static str,
    /// Its value; none for a secret or where there is none.
    pub value: Option<String>,
    /// Where it is from, as numbered on the wire.
    pub source: i8,
    /// Whether it is a secret.
    pub is_sensitive: bool,
}

/// The definition of a key.
pub fn definition(resource_type: ConfigResourceType, key: &str) -> Option<&'static ConfigKey> {
    let table = match resource_type {
        ConfigResourceType::TOPIC => topic_keys(),
        ConfigResourceType::GROUP => group_keys(),
        ConfigResourceType::CLIENT_METRICS => client_metrics_keys(),
        ConfigResourceType::BROKER => config::keys::broker_keys(),
        _ => return None,
    };
    table.get(key).copied()
}

/// The text of a key's default.
pub fn default_text(key: &ConfigKey) -> Option<String> {
    match key.default {
        Default::Value(text) => Some(text.to_owned()),
        Default::Required | Default::Null => None,
    }
}

/// Every value that a topic with these configs has (`KafkaConfigSchema.resolveEffectiveTopicConfigs`), by name.
pub fn effective_topic_configs(
    broker: &BrokerConfig,
    overrides: &BTreeMap<String, String>,
) -> Vec<EffectiveConfig> {
    let shown = topic_keys().values().filter(|key| !key.internal || overrides.contains_key(key.name));
    shown.map(|key| effective_topic_config(broker, overrides, key)).collect()
}

fn effective_topic_config(
    broker: &BrokerConfig,
    overrides: &BTreeMap<String, String>,
    key: &ConfigKey,
) -> EffectiveConfig {
    let layers = broker.layers();
    let layers = [
        (source::DYNAMIC_BROKER, &layers.dynamic_broker),
        (source::DYNAMIC_DEFAULT_BROKER, &layers.dynamic_default),
        (source::STATIC_BROKER, &layers.static_config),
    ];
    let own = overrides.get(key.name).map(|value| (Some(value.clone()), source::TOPIC));
    let from_broker = || {
        layers.into_iter().find_map(|(source, texts)| {
            let synonyms = topic_synonyms(key.name).iter();
            let text = synonyms
                .into_iter()
                .find_map(|synonym| texts.get(synonym.name).map(|text| synonym.conversion.apply(text)));
            text.map(|text| (Some(text), source))
        })
    };
    let (value, source) = own.or_else(from_broker).unwrap_or_else(|| (default_text(key), source::DEFAULT));
    let is_sensitive = key.is_sensitive();
    EffectiveConfig { name: key.name, value: value.filter(|_| !is_sensitive), source, is_sensitive }
}

/// Checks the configs of a subscription to client metrics.
pub fn validate_client_metrics(name: &str, configs: &BTreeMap<String, String>) -> Result<(), ApiError> {
    if name.is_empty() {
        return Err(ApiError::new(ErrorCode::InvalidRequest, "Subscription name can't be empty"));
    }
    validate(client_metrics_keys(), configs, "Unknown client metrics configuration: ")
}

/// Checks the configs of a group.
pub fn validate_group(_broker: &BrokerConfig, configs: &BTreeMap<String, String>) -> Result<(), ApiError> {
    validate(group_keys(), configs, "Unknown group config name: ")
}

fn validate(keys: &KeyTable, configs: &BTreeMap<String, String>, unknown: &str) -> Result<(), ApiError> {
    for (name, text) in configs {
        let refused = |message: String| ApiError::new(ErrorCode::InvalidConfig, message);
        let key = keys.get(name.as_str()).ok_or_else(|| refused(format!("{unknown}{name}")))?;
        Value::parse(name, text, key.config_type).map_err(|error| refused(error.to_string()))?;
    }
    Ok(())
}
