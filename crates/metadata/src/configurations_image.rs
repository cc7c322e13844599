//! The dynamic configs of topics, brokers, groups and client metrics (`org.apache.kafka.image.ConfigurationsImage`, `ConfigurationsDelta`).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use protocol::messages::ConfigRecord;

use crate::cluster_image::apply_changes;
use crate::writer::ImageWriter;

/// What a config belongs to (`ConfigResource.Type`). A number that is none of these is kept as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigResourceType(pub i8);

impl ConfigResourceType {
    /// A topic.
    pub const TOPIC: ConfigResourceType = ConfigResourceType(2);
    /// A broker, or with an empty name all of them.
    pub const BROKER: ConfigResourceType = ConfigResourceType(4);
    /// The loggers of a broker. Never in the log.
    pub const BROKER_LOGGER: ConfigResourceType = ConfigResourceType(8);
    /// A subscription to clients' metrics (KIP-714).
    pub const CLIENT_METRICS: ConfigResourceType = ConfigResourceType(16);
    /// A group.
    pub const GROUP: ConfigResourceType = ConfigResourceType(32);

    /// Whether this is one of Kafka's types.
    pub const fn is_known(self) -> bool {
        matches!(self.0, 2 | 4 | 8 | 16 | 32)
    }
}

impl fmt::Display for ConfigResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            ConfigResourceType::TOPIC => "TOPIC",
            ConfigResourceType::BROKER => "BROKER",
            ConfigResourceType::BROKER_LOGGER => "BROKER_LOGGER",
            ConfigResourceType::CLIENT_METRICS => "CLIENT_METRICS",
            ConfigResourceType::GROUP => "GROUP",
            _ => "UNKNOWN",
        })
    }
}

/// The owner of dynamic configs (`ConfigResource`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigResource {
    /// What it is.
    pub resource_type: ConfigResourceType,
    /// What it is called; empty for the defaults of all brokers.
    pub name: String,
}

impl ConfigResource {
    /// A resource of any type.
    pub fn new(resource_type: ConfigResourceType, name: impl Into<String>) -> ConfigResource {
        ConfigResource { resource_type, name: name.into() }
    }

    /// A topic.
    pub fn topic(name: impl Into<String>) -> ConfigResource {
        Self::new(ConfigResourceType::TOPIC, name)
    }

    /// One broker.
    pub fn broker(id: i32) -> ConfigResource {
        Self::new(ConfigResourceType::BROKER, id.to_string())
    }

    /// The defaults of all brokers.
    pub fn default_broker() -> ConfigResource {
        Self::new(ConfigResourceType::BROKER, "")
    }

    /// A group.
    pub fn group(id: impl Into<String>) -> ConfigResource {
        Self::new(ConfigResourceType::GROUP, id)
    }
}

impl fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConfigResource(type={}, name='{}')", self.resource_type, self.name)
    }
}

/// The dynamic configs of every resource that has any.
///
/// **Invariant:** no resource has an empty map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigurationsImage {
    data: BTreeMap<ConfigResource, Arc<BTreeMap<String, String>>>,
}

impl ConfigurationsImage {
    /// Whether no resource has any config.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The configs of a resource, if it has any.
    pub fn config(&self, resource: &ConfigResource) -> Option<&Arc<BTreeMap<String, String>>> {
        self.data.get(resource)
    }

    /// One config of a resource.
    pub fn value(&self, resource: &ConfigResource, key: &str) -> Option<&str> {
        self.config(resource)?.get(key).map(String::as_str)
    }

    /// The resources with their configs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&ConfigResource, &Arc<BTreeMap<String, String>>)> {
        self.data.iter()
    }

    pub(crate) fn write(&self, writer: &mut ImageWriter) {
        for (resource, configs) in &self.data {
            for (name, value) in configs.iter() {
                let record = ConfigRecord {
                    resource_type: resource.resource_type.0,
                    resource_name: resource.name.clone(),
                    name: name.clone(),
                    value: Some(value.clone()),
                };
                writer.write(record.into(), 0);
            }
        }
    }
}

/// What changed of the configs.
#[derive(Clone, Debug)]
pub struct ConfigurationsDelta {
    image: Arc<ConfigurationsImage>,
    /// For each resource the keys that changed; none means unset.
    pub changes: BTreeMap<ConfigResource, BTreeMap<String, Option<String>>>,
}

impl ConfigurationsDelta {
    pub(crate) fn new(image: &Arc<ConfigurationsImage>) -> ConfigurationsDelta {
        ConfigurationsDelta { image: Arc::clone(image), changes: BTreeMap::new() }
    }

    pub(crate) fn finish_snapshot(&mut self) {
        for (resource, configs) in self.image.iter() {
            for key in configs.keys() {
                if !self.changes.get(resource).is_some_and(|changes| changes.contains_key(key)) {
                    self.changes.entry(resource.clone()).or_default().insert(key.clone(), None);
                }
            }
        }
    }

    pub(crate) fn replay(&mut self, record: &ConfigRecord) {
        let resource =
            ConfigResource::new(ConfigResourceType(record.resource_type), record.resource_name.clone());
        self.changes.entry(resource).or_default().insert(record.name.clone(), record.value.clone());
    }

    /// A deleted topic takes its configs with it.
    pub(crate) fn remove_topic(&mut self, name: &str) {
        let resource = ConfigResource::topic(name);
        match self.image.config(&resource) {
            Some(configs) => {
                let unset = configs.keys().map(|key| (key.clone(), None)).collect();
                self.changes.insert(resource, unset);
            }
            // Divergence: Kafka's delta leaves configs that it set itself, though its controller forgets them. A topic
            // created, configured and deleted between two images would leave its configs to the next one of its name.
            None => drop(self.changes.remove(&resource)),
        }
    }

    pub(crate) fn apply(&self) -> ConfigurationsImage {
        let mut data = self.image.data.clone();
        for (resource, changes) in &self.changes {
            let mut configs = data.get(resource).map(|configs| (**configs).clone()).unwrap_or_default();
            apply_changes(&mut configs, changes);
            if configs.is_empty() {
                data.remove(resource);
            } else {
                data.insert(resource.clone(), Arc::new(configs));
            }
        }
        ConfigurationsImage { data }
    }
}
