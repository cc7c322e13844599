//! Configurations of everything that has one.

use std::collections::BTreeMap;

use protocol::messages::describe_configs_request::DescribeConfigsResource;
use protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use protocol::messages::{
    DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, ListConfigResourcesRequest, ListConfigResourcesResponse,
};

use super::coordinators::left_out;
use super::{Admin, AlterConfigOp, ConfigEntry};
use crate::ClientError;

/// What kind of thing a configuration belongs to (`ConfigResource.Type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigResourceType {
    /// A topic, by name.
    Topic,
    /// A broker, by id; all of them by the empty name.
    Broker,
    /// A broker's loggers, by its id.
    BrokerLogger,
    /// A subscription of clients' metrics, by name.
    ClientMetrics,
    /// A group, by id.
    Group,
}

impl ConfigResourceType {
    const ALL: [ConfigResourceType; 5] = [
        ConfigResourceType::Topic,
        ConfigResourceType::Broker,
        ConfigResourceType::BrokerLogger,
        ConfigResourceType::ClientMetrics,
        ConfigResourceType::Group,
    ];

    fn code(self) -> i8 {
        match self {
            ConfigResourceType::Topic => 2,
            ConfigResourceType::Broker => 4,
            ConfigResourceType::BrokerLogger => 8,
            ConfigResourceType::ClientMetrics => 16,
            ConfigResourceType::Group => 32,
        }
    }
}

/// Something with a configuration (`ConfigResource`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigResource {
    /// What it is.
    pub resource_type: ConfigResourceType,
    /// Its name.
    pub name: String,
}

/// Where a value comes from (`ConfigEntry.ConfigSource`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names are Kafka's and say it
pub enum ConfigSource {
    Unknown,
    DynamicTopicConfig,
    DynamicBrokerConfig,
    DynamicDefaultBrokerConfig,
    StaticBrokerConfig,
    DefaultConfig,
    DynamicBrokerLoggerConfig,
    DynamicClientMetricsConfig,
    DynamicGroupConfig,
}

impl ConfigSource {
    /// The source with this number on the wire.
    pub fn from_code(code: i8) -> ConfigSource {
        match code {
            1 => ConfigSource::DynamicTopicConfig,
            2 => ConfigSource::DynamicBrokerConfig,
            3 => ConfigSource::DynamicDefaultBrokerConfig,
            4 => ConfigSource::StaticBrokerConfig,
            5 => ConfigSource::DefaultConfig,
            6 => ConfigSource::DynamicBrokerLoggerConfig,
            7 => ConfigSource::DynamicClientMetricsConfig,
            8 => ConfigSource::DynamicGroupConfig,
            _ => ConfigSource::Unknown,
        }
    }

    /// Kafka's name, such as `DYNAMIC_TOPIC_CONFIG`.
    pub fn name(self) -> &'static str {
        match self {
            ConfigSource::Unknown => "UNKNOWN",
            ConfigSource::DynamicTopicConfig => "DYNAMIC_TOPIC_CONFIG",
            ConfigSource::DynamicBrokerConfig => "DYNAMIC_BROKER_CONFIG",
            ConfigSource::DynamicDefaultBrokerConfig => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            ConfigSource::StaticBrokerConfig => "STATIC_BROKER_CONFIG",
            ConfigSource::DefaultConfig => "DEFAULT_CONFIG",
            ConfigSource::DynamicBrokerLoggerConfig => "DYNAMIC_BROKER_LOGGER_CONFIG",
            ConfigSource::DynamicClientMetricsConfig => "DYNAMIC_CLIENT_METRICS_CONFIG",
            ConfigSource::DynamicGroupConfig => "DYNAMIC_GROUP_CONFIG",
        }
    }
}

impl Admin {
    /// Configurations with the synonyms of each key. A broker is asked for its own.
    ///
    /// # Errors
    /// If no broker answers. What is wrong with a resource stands in its place.
    pub async fn describe_configs(
        &self,
        resources: &[ConfigResource],
    ) -> Result<BTreeMap<ConfigResource, Result<Vec<ConfigEntry>, ClientError>>, ClientError> {
        let mut by_broker: BTreeMap<Option<i32>, Vec<&ConfigResource>> = BTreeMap::new();
        for resource in resources {
            by_broker.entry(own_broker(resource)).or_default().push(resource);
        }
        let mut all = BTreeMap::new();
        for (broker, resources) in by_broker {
            let request = DescribeConfigsRequest {
                resources: resources
                    .iter()
                    .map(|resource| DescribeConfigsResource {
                        resource_type: resource.resource_type.code(),
                        resource_name: resource.name.clone(),
                        configuration_keys: None,
                    })
                    .collect(),
                include_synonyms: true,
                include_documentation: false,
            };
            let connection = match broker {
                Some(id) => self.node_connection(id).await?,
                None => self.any_connection().await?,
            };
            let response: DescribeConfigsResponse = connection.call(&request).await?;
            for resource in resources {
                let code = resource.resource_type.code();
                let answer = response
                    .results
                    .iter()
                    .find(|result| result.resource_type == code && result.resource_name == resource.name);
                let configs = answer.map_or_else(
                    || Err(left_out()),
                    |result| {
                        ClientError::check(result.error_code, result.error_message.as_deref())
                            .map(|()| result.configs.clone())
                    },
                );
                all.insert(resource.clone(), configs);
            }
        }
        Ok(all)
    }

    /// Changes some keys of a configuration. Keys are changed in the order that is given.
    ///
    /// # Errors
    /// If no broker answers, or it refuses.
    pub async fn incremental_alter_configs(
        &self,
        resource: &ConfigResource,
        changes: &[(String, AlterConfigOp)],
    ) -> Result<(), ClientError> {
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: resource.resource_type.code(),
                resource_name: resource.name.clone(),
                configs: changes
                    .iter()
                    .map(|(name, change)| {
                        let (config_operation, value) = match change {
                            AlterConfigOp::Set(value) => (0, Some(value.clone())),
                            AlterConfigOp::Delete => (1, None),
                            AlterConfigOp::Append(value) => (2, Some(value.clone())),
                            AlterConfigOp::Subtract(value) => (3, Some(value.clone())),
                        };
                        AlterableConfig { name: name.clone(), config_operation, value }
                    })
                    .collect(),
            }],
            validate_only: false,
        };
        // A broker's own configuration is checked by that broker; controllers take it from anybody.
        let response: IncrementalAlterConfigsResponse = match own_broker(resource) {
            Some(id) if !self.controllers => self.node_connection(id).await?.call(&request).await?,
            _ => self.ask_controller(&request).await?,
        };
        let answer = response.responses.first().ok_or_else(left_out)?;
        ClientError::check(answer.error_code, answer.error_message.as_deref())
    }

    /// The resources of a type that have a configuration.
    ///
    /// # Errors
    /// If no broker answers, or it lists metrics' subscriptions only (before Kafka 4.1).
    pub async fn list_config_resources(
        &self,
        resource_type: ConfigResourceType,
    ) -> Result<Vec<ConfigResource>, ClientError> {
        let connection = self.cluster.any().await?;
        let metrics = resource_type == ConfigResourceType::ClientMetrics;
        let first = connection.version(protocol::ApiKey::ListConfigResources, i16::MAX)? == 0;
        let resource_types = if first && metrics { Vec::new() } else { vec![resource_type.code()] };
        let response: ListConfigResourcesResponse =
            connection.call(&ListConfigResourcesRequest { resource_types }).await?;
        ClientError::check(response.error_code, None)?;
        let known = |code: i8| ConfigResourceType::ALL.into_iter().find(|known| known.code() == code);
        let resources = response.config_resources.into_iter().filter_map(|resource| {
            let resource_type = known(resource.resource_type)?;
            Some(ConfigResource { resource_type, name: resource.resource_name })
        });
        Ok(resources.collect())
    }
}

/// The broker that alone knows of a resource: its own settings, its loggers.
fn own_broker(resource: &ConfigResource) -> Option<i32> {
    match resource.resource_type {
        ConfigResourceType::Broker | ConfigResourceType::BrokerLogger => resource.name.parse().ok(),
        _ => None,
    }
}
