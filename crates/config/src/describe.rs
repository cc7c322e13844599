//! The entries of `DescribeConfigs` for each kind of resource (`ConfigHelper`, KIP-226).

use std::collections::BTreeMap;

use crate::broker::BrokerConfig;
use crate::def::{ConfigKey, ConfigType, Default};
use crate::error::ConfigError;
use crate::group;
use crate::keys::{
    KeyTable, broker_key_type, broker_keys, client_metrics_keys, group_keys, is_dynamic, topic_keys,
};
use crate::synonyms::{broker_synonyms, topic_synonyms};
use crate::value::Value;
use crate::view::value_of;

/// Who gave a value; the discriminant is the code in `DescribeConfigsResponse`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
#[allow(missing_docs)] // the names are Kafka's and say it
pub enum ConfigSource {
    Unknown = 0,
    DynamicTopicConfig = 1,
    DynamicBrokerConfig = 2,
    DynamicDefaultBrokerConfig = 3,
    StaticBrokerConfig = 4,
    DefaultConfig = 5,
    DynamicBrokerLoggerConfig = 6,
    ClientMetricsConfig = 7,
    GroupConfig = 8,
}

impl ConfigSource {
    /// The code in `DescribeConfigsResponse`.
    pub const fn code(self) -> i8 {
        self as i8
    }
}

/// A value for a key, or for one that stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The key.
    pub name: String,
    /// Its value; none for a secret.
    pub value: Option<String>,
    /// Who gave it.
    pub source: ConfigSource,
}

/// One entry of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The key.
    pub name: String,
    /// The value in effect; none for a secret and for a key without value.
    pub value: Option<String>,
    /// Who gave it.
    pub source: ConfigSource,
    /// Whether it cannot change at runtime.
    pub read_only: bool,
    /// Whether the value is hidden.
    pub is_sensitive: bool,
    /// All values that were given, the one in effect first.
    pub synonyms: Vec<ConfigSynonym>,
    /// The type's code; 0 for a key that nobody knows.
    pub config_type: i8,
    /// What the key does; none for a key that nobody knows.
    pub documentation: Option<&'static str>,
}

impl ConfigEntry {
    /// Whether nobody gave a value (version 0 of the answer says this in the place of the source).
    pub fn is_default(&self) -> bool {
        self.source == ConfigSource::DefaultConfig
    }
}

/// Which of the entries are asked for: all, or those with these names.
pub type Names<'a> = Option<&'a [String]>;

fn wanted(names: Names<'_>, name: &str) -> bool {
    names.is_none_or(|names| names.is_empty() || names.iter().any(|wanted| wanted == name))
}

/// A broker: every key that is not internal, and whatever else was set.
pub fn broker(config: &BrokerConfig, names: Names<'_>) -> Vec<ConfigEntry> {
    let given = config.layers.effective();
    let mut entries: BTreeMap<&str, ConfigEntry> = BTreeMap::new();
    for (name, key) in broker_keys() {
        if (!key.internal || given.contains_key(*name)) && wanted(names, name) {
            entries.insert(name, broker_entry(config, name, config.value(name).to_text(), true));
        }
    }
    for (name, text) in &given {
        if !broker_keys().contains_key(name.as_str()) && wanted(names, name) {
            entries.insert(name, broker_entry(config, name, Some(text.clone()), true));
        }
    }
    entries.into_values().collect()
}

/// What was set at runtime for all brokers (resource `BROKER` with an empty name).
pub fn broker_defaults(config: &BrokerConfig, names: Names<'_>) -> Vec<ConfigEntry> {
    config
        .layers
        .dynamic_default
        .iter()
        .filter(|(name, _)| wanted(names, name))
        .map(|(name, text)| broker_entry(config, name, Some(text.clone()), false))
        .collect()
}

fn broker_entry(config: &BrokerConfig, name: &str, value: Option<String>, per_broker: bool) -> ConfigEntry {
    let config_type = broker_key_type(name);
    // A key that nobody knows may be a secret.
    let is_sensitive = config_type.is_none_or(|config_type| config_type == ConfigType::Password);
    let mut synonyms = broker_values(config, name, is_sensitive);
    if !per_broker {
        synonyms.retain(|synonym| synonym.source == ConfigSource::DynamicDefaultBrokerConfig);
    }
    ConfigEntry {
        name: name.to_owned(),
        value: value.filter(|_| !is_sensitive),
        source: source_of(&synonyms),
        read_only: !is_dynamic(name) && !crate::keys::dynamic_only_keys().contains_key(name),
        is_sensitive,
        synonyms,
        config_type: config_type.map_or(0, ConfigType::code),
        documentation: broker_keys().get(name).map(|key| key.doc),
    }
}

/// A topic with these overrides.
pub fn topic(
    config: &BrokerConfig,
    overrides: &BTreeMap<String, String>,
    names: Names<'_>,
) -> Result<Vec<ConfigEntry>, ConfigError> {
    let values = config.topic_defaults.with(overrides)?;
    Ok(shown(topic_keys(), overrides, names)
        .map(|key| {
            let fallback = topic_synonyms(key.name).first().map(|s| broker_values(config, s.name, false));
            entry(
                key,
                values.value(key.name),
                overrides,
                ConfigSource::DynamicTopicConfig,
                fallback.unwrap_or_default(),
            )
        })
        .collect())
}

/// A group with these overrides. A group that does not exist is described too, as Kafka does.
pub fn group(
    config: &BrokerConfig,
    overrides: &BTreeMap<String, String>,
    names: Names<'_>,
) -> Result<Vec<ConfigEntry>, ConfigError> {
    let values = group::values(config, overrides)?;
    let given = config.layers.effective();
    let was_given =
        |key: &ConfigKey| group::broker_synonym(key.name).is_some_and(|synonym| given.contains_key(synonym));
    Ok(group_keys()
        .values()
        .filter(|key| !key.internal || overrides.contains_key(key.name) || was_given(key))
        .filter(|key| wanted(names, key.name))
        .map(|key| {
            let fallback = match group::broker_synonym(key.name) {
                Some(synonym) => broker_values(config, synonym, false),
                None => default_synonym(key).into_iter().collect(),
            };
            entry(key, values.value(key.name), overrides, ConfigSource::GroupConfig, fallback)
        })
        .collect())
}

/// A client-metrics subscription.
pub fn client_metrics(
    overrides: &BTreeMap<String, String>,
    names: Names<'_>,
) -> Result<Vec<ConfigEntry>, ConfigError> {
    shown(client_metrics_keys(), overrides, names)
        .map(|key| {
            let value = value_of(key, overrides.get(key.name).map(String::as_str))?;
            Ok(entry(key, &value, overrides, ConfigSource::ClientMetricsConfig, Vec::new()))
        })
        .collect()
}

fn shown<'a>(
    table: &'static KeyTable,
    overrides: &'a BTreeMap<String, String>,
    names: Names<'a>,
) -> impl Iterator<Item = &'static ConfigKey> + 'a {
    table
        .values()
        .copied()
        .filter(move |key| (!key.internal || overrides.contains_key(key.name)) && wanted(names, key.name))
}

/// An entry of a resource whose keys are always dynamic.
fn entry(
    key: &'static ConfigKey,
    value: &Value,
    overrides: &BTreeMap<String, String>,
    own_source: ConfigSource,
    mut synonyms: Vec<ConfigSynonym>,
) -> ConfigEntry {
    let is_sensitive = key.is_sensitive();
    let value = value.to_text().filter(|_| !is_sensitive);
    if overrides.contains_key(key.name) {
        synonyms
            .insert(0, ConfigSynonym { name: key.name.to_owned(), value: value.clone(), source: own_source });
    }
    ConfigEntry {
        name: key.name.to_owned(),
        value,
        source: source_of(&synonyms),
        read_only: false,
        is_sensitive,
        synonyms,
        config_type: key.config_type.code(),
        documentation: Some(key.doc),
    }
}

fn source_of(synonyms: &[ConfigSynonym]) -> ConfigSource {
    synonyms.first().map_or(ConfigSource::DefaultConfig, |synonym| synonym.source)
}

/// All values given for a broker key and those that stand for it, the strongest first. Nothing, if the key itself has
/// none: what stands behind it is then not said to be its value.
fn broker_values(config: &BrokerConfig, name: &str, is_sensitive: bool) -> Vec<ConfigSynonym> {
    let synonyms = broker_synonyms(name, true);
    let layers = &config.layers;
    let mut found = Vec::new();
    let mut add = |name: &str, text: &str, source| {
        let value = (!is_sensitive).then(|| text.to_owned());
        found.push(ConfigSynonym { name: name.to_owned(), value, source });
    };
    for (layer, source) in [
        (&layers.dynamic_broker, ConfigSource::DynamicBrokerConfig),
        (&layers.dynamic_default, ConfigSource::DynamicDefaultBrokerConfig),
        (&layers.static_config, ConfigSource::StaticBrokerConfig),
    ] {
        for synonym in &synonyms {
            if let Some(text) = layer.get(synonym) {
                add(synonym, text, source);
            }
        }
    }
    for synonym in &synonyms {
        if let Some(Default::Value(text)) = broker_keys().get(synonym.as_str()).map(|key| key.default) {
            add(synonym, text, ConfigSource::DefaultConfig);
        }
    }
    let own = found.iter().position(|synonym| synonym.name == name).unwrap_or(found.len());
    found.split_off(own)
}

fn default_synonym(key: &ConfigKey) -> Option<ConfigSynonym> {
    match key.default {
        Default::Value(text) => Some(ConfigSynonym {
            name: key.name.to_owned(),
            value: Some(text.to_owned()),
            source: ConfigSource::DefaultConfig,
        }),
        Default::Null | Default::Required => None,
    }
}
