//! `DescribeConfigs`: what is set, where it comes from, and what it means.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::ErrorCode;
use config::describe::{self, ConfigEntry};
use config::{BrokerConfig, ConfigError};
use metadata::{ConfigResource, ConfigResourceType, MetadataImage};
use network::{Handled, Outbox};
use protocol::messages::describe_configs_request::DescribeConfigsResource;
use protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};

use crate::broker::Broker;
use crate::controller_server::ControllerServer;
use crate::request::{BadRequest, Request};
use crate::settings::overrides;

type Refusal = (ErrorCode, String);

/// On a broker's listener.
pub(crate) fn describe(
    broker: &Arc<Broker>,
    mut request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let body: DescribeConfigsRequest = request.read()?;
    let response = response(&broker.settings.broker(), &broker.image(), &body);
    request.head.answer(&response, out)
}

/// On a controller's listener.
pub(crate) fn describe_on_controller(
    server: &ControllerServer,
    mut request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let body: DescribeConfigsRequest = request.read()?;
    let response = response(&server.settings.broker(), &server.image.load(), &body);
    request.head.answer(&response, out)
}

fn response(
    config: &BrokerConfig,
    image: &MetadataImage,
    body: &DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let results = body
        .resources
        .iter()
        .map(|resource| {
            let mut result = DescribeConfigsResult {
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
                ..DescribeConfigsResult::default()
            };
            match entries(config, image, resource) {
                Ok(entries) => {
                    result.configs = entries
                        .into_iter()
                        .map(|entry| describe_entry(entry, body.include_synonyms, body.include_documentation))
                        .collect();
                }
                Err((error, message)) => {
                    result.error_code = error.code();
                    result.error_message = Some(message);
                }
            }
            result
        })
        .collect();
    DescribeConfigsResponse { results, ..Default::default() }
}

fn entries(
    config: &BrokerConfig,
    image: &MetadataImage,
    resource: &DescribeConfigsResource,
) -> Result<Vec<ConfigEntry>, Refusal> {
    let name = resource.resource_name.as_str();
    let set = |resource_type| -> BTreeMap<String, String> {
        overrides(image, &ConfigResource { resource_type, name: name.to_owned() })
    };
    // An empty list of keys means all of them, as null does.
    let names = resource.configuration_keys.as_deref().filter(|keys| !keys.is_empty());
    let invalid = |error: ConfigError| (ErrorCode::InvalidConfig, error.to_string());
    match ConfigResourceType(resource.resource_type) {
        ConfigResourceType::TOPIC => {
            if let Err(error) = common::topic::validate_topic_name(name) {
                return Err((ErrorCode::InvalidTopicException, error.to_string()));
            }
            if image.topics.topic(name).is_none() {
                return Err((
                    ErrorCode::UnknownTopicOrPartition,
                    "This server does not host this topic-partition.".to_owned(),
                ));
            }
            describe::topic(config, &set(ConfigResourceType::TOPIC), names).map_err(invalid)
        }
        ConfigResourceType::BROKER if name.is_empty() => Ok(describe::broker_defaults(config, names)),
        ConfigResourceType::BROKER => {
            check_broker_id(config, name, " or empty string,")?;
            Ok(describe::broker(config, names))
        }
        ConfigResourceType::BROKER_LOGGER if name.is_empty() => {
            Err((ErrorCode::InvalidRequest, "Broker id must not be empty".to_owned()))
        }
        // Divergence: Kafka lists its loggers; milena's log level is set for the whole process when it starts.
        ConfigResourceType::BROKER_LOGGER => check_broker_id(config, name, "").map(|()| Vec::new()),
        ConfigResourceType::GROUP if name.is_empty() => {
            Err((ErrorCode::InvalidRequest, "Group name must not be empty".to_owned()))
        }
        ConfigResourceType::GROUP => {
            describe::group(config, &set(ConfigResourceType::GROUP), names).map_err(invalid)
        }
        ConfigResourceType::CLIENT_METRICS if name.is_empty() => {
            Err((ErrorCode::InvalidRequest, "Client metrics subscription name must not be empty".to_owned()))
        }
        ConfigResourceType::CLIENT_METRICS => {
            describe::client_metrics(&set(ConfigResourceType::CLIENT_METRICS), names).map_err(invalid)
        }
        _ => {
            Err((ErrorCode::InvalidRequest, format!("Unsupported resource type: {}", resource.resource_type)))
        }
    }
}

/// A broker describes itself only. `or` is what else could have been said.
fn check_broker_id(config: &BrokerConfig, name: &str, or: &str) -> Result<(), Refusal> {
    let refuse = |message| Err((ErrorCode::InvalidRequest, message));
    match name.parse::<i32>() {
        Err(_) => refuse(format!("Broker id must be an integer, but it is: {name}")),
        Ok(id) if id != config.node_id => {
            refuse(format!("Unexpected broker id, expected {}{or} but received {name}", config.node_id))
        }
        Ok(_) => Ok(()),
    }
}

fn describe_entry(
    entry: ConfigEntry,
    with_synonyms: bool,
    with_documentation: bool,
) -> DescribeConfigsResourceResult {
    let synonyms = entry.synonyms.into_iter().filter(|_| with_synonyms);
    DescribeConfigsResourceResult {
        name: entry.name,
        value: entry.value,
        read_only: entry.read_only,
        config_source: entry.source.code(),
        is_sensitive: entry.is_sensitive,
        synonyms: synonyms
            .map(|synonym| DescribeConfigsSynonym {
                name: synonym.name,
                value: synonym.value,
                source: synonym.source.code(),
            })
            .collect(),
        config_type: entry.config_type,
        documentation: entry.documentation.filter(|_| with_documentation).map(str::to_owned),
    }
}
