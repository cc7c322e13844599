//! The rules of `IncrementalAlterConfigs` (`ConfigAdminManager` on the broker, `ConfigurationControlManager` on the
//! controller; KIP-339).

use std::collections::{BTreeMap, BTreeSet};

use common::ErrorCode;

use crate::broker::BrokerConfig;
use crate::client_metrics::validate_client_metrics;
use crate::def::{ConfigKey, ConfigType, Default, UpdateMode};
use crate::group::validate_group;
use crate::keys::{broker_keys, dynamic_only_keys, topic_keys};
use crate::synonyms::strip_listener_prefix;
use crate::view::value_of;

/// A refusal, ready for the wire.
pub type Refusal = (ErrorCode, String);

/// The kinds of resource whose configuration is kept in the metadata log; the discriminant is the code on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i8)]
#[allow(missing_docs)] // the names are Kafka's and say it
pub enum ResourceType {
    Topic = 2,
    Broker = 4,
    ClientMetrics = 16,
    Group = 32,
}

impl ResourceType {
    /// The kind with this code; none for one that keeps nothing (`BROKER_LOGGER`, 8) or that nobody knows.
    pub const fn from_code(code: i8) -> Option<ResourceType> {
        match code {
            2 => Some(ResourceType::Topic),
            4 => Some(ResourceType::Broker),
            16 => Some(ResourceType::ClientMetrics),
            32 => Some(ResourceType::Group),
            _ => None,
        }
    }

    /// The code on the wire and in `ConfigRecord`.
    pub const fn code(self) -> i8 {
        self as i8
    }
}

/// What to do with a key (`AlterConfigOp.OpType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Operation {
    /// Give it this value.
    Set = 0,
    /// Take its value away.
    Delete = 1,
    /// Add these elements to its list, where they are not in it.
    Append = 2,
    /// Take these elements out of its list.
    Subtract = 3,
}

impl Operation {
    /// The operation with this code, or Kafka's refusal.
    pub fn from_code(code: i8) -> Result<Operation, Refusal> {
        match code {
            0 => Ok(Operation::Set),
            1 => Ok(Operation::Delete),
            2 => Ok(Operation::Append),
            3 => Ok(Operation::Subtract),
            _ => Err((ErrorCode::InvalidRequest, format!("Unknown operations type {code}"))),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Operation::Set => "SET",
            Operation::Delete => "DELETE",
            Operation::Append => "APPEND",
            Operation::Subtract => "SUBTRACT",
        }
    }
}

/// One operation of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// The key.
    pub name: String,
    /// What to do with it.
    pub operation: Operation,
    /// The value; `Delete` has none.
    pub value: Option<String>,
}

/// What holds for the operations on any resource: no key twice, and no value missing.
pub fn check_ops(ops: &[Op]) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    if !ops.iter().all(|op| seen.insert(op.name.as_str())) {
        return Err((ErrorCode::InvalidRequest, "Error due to duplicate config keys".to_owned()));
    }
    let nulls: Vec<&str> = ops
        .iter()
        .filter(|op| op.operation != Operation::Delete && op.value.is_none())
        .map(|op| op.name.as_str())
        .collect();
    if nulls.is_empty() {
        return Ok(());
    }
    Err((ErrorCode::InvalidRequest, format!("Null value not supported for : {}", nulls.join(", "))))
}

/// The overrides of a resource after `ops`. Whether they are valid is for [`validate`].
pub fn apply_ops(
    resource_type: ResourceType,
    current: &BTreeMap<String, String>,
    ops: &[Op],
) -> Result<BTreeMap<String, String>, Refusal> {
    check_ops(ops)?;
    let mut overrides = current.clone();
    for op in ops {
        let value = op.value.as_deref().unwrap_or_default();
        match op.operation {
            Operation::Set => {
                overrides.insert(op.name.clone(), value.to_owned());
            }
            Operation::Delete => {
                overrides.remove(&op.name);
            }
            Operation::Append | Operation::Subtract => {
                let default = list_default(resource_type, &op.name).ok_or_else(|| {
                    let message = format!(
                        "Can't {} to key {} because its type is not LIST.",
                        op.operation.name(),
                        op.name
                    );
                    (ErrorCode::InvalidConfig, message)
                })?;
                let present = overrides.get(&op.name).map_or(default, String::as_str);
                let mut elements: Vec<&str> =
                    present.split(',').filter(|element| !element.is_empty()).collect();
                for element in value.split(',') {
                    let position = elements.iter().position(|present| *present == element);
                    match (op.operation, position) {
                        (Operation::Append, None) => elements.push(element),
                        (Operation::Subtract, Some(position)) => {
                            elements.remove(position);
                        }
                        _ => {}
                    }
                }
                let joined = elements.join(",");
                overrides.insert(op.name.clone(), joined);
            }
        }
    }
    Ok(overrides)
}

/// The default of a key that is a list, as Kafka's controller knows them: of brokers and topics alone.
fn list_default(resource_type: ResourceType, name: &str) -> Option<&'static str> {
    let key: &ConfigKey = match resource_type {
        ResourceType::Topic => topic_keys().get(name)?,
        ResourceType::Broker => broker_keys().get(name)?,
        ResourceType::ClientMetrics | ResourceType::Group => return None,
    };
    match (key.config_type, key.default) {
        (ConfigType::List, Default::Value(default)) => Some(default),
        (ConfigType::List, _) => Some(""),
        _ => None,
    }
}

/// Checks the overrides that a resource is to have (`ControllerConfigurationValidator`). `existing` are those it has now.
///
/// Of a broker's this checks the name alone: that is the controller's part. The broker that took the request checks the
/// rest with [`validate_broker_change`].
pub fn validate(
    config: &BrokerConfig,
    resource_type: ResourceType,
    name: &str,
    existing: &BTreeMap<String, String>,
    overrides: &BTreeMap<String, String>,
) -> Result<(), Refusal> {
    let invalid_request = |message: &str| Err((ErrorCode::InvalidRequest, message.to_owned()));
    match resource_type {
        ResourceType::Topic if name.is_empty() => invalid_request("Default topic resources are not allowed."),
        ResourceType::Topic => {
            common::topic::validate_topic_name(name)
                .map_err(|error| (ErrorCode::InvalidTopicException, error.to_string()))?;
            config
                .topic_defaults
                .validate(existing, overrides)
                .map_err(|error| (ErrorCode::InvalidConfig, error.to_string()))
        }
        ResourceType::Broker => match name.parse::<i32>() {
            _ if name.is_empty() => Ok(()),
            Err(_) => invalid_request("Unable to parse broker name as a base 10 number."),
            Ok(id) if id < 0 => invalid_request("Invalid negative broker ID."),
            Ok(_) => Ok(()),
        },
        ResourceType::Group if name.is_empty() => invalid_request("Default group resources are not allowed."),
        ResourceType::Group => {
            validate_group(config, overrides).map_err(|error| (ErrorCode::InvalidConfig, error.to_string()))
        }
        ResourceType::ClientMetrics => validate_client_metrics(name, overrides),
    }
}

/// Checks the dynamic configuration that this broker, or all of them, are to have
/// (`DynamicBrokerConfig.validateConfigs`, and `KafkaConfig` with the change in it).
///
/// Divergence: Kafka also refuses to more than double or halve a number of threads at once.
pub fn validate_broker_change(
    config: &BrokerConfig,
    per_broker: bool,
    overrides: &BTreeMap<String, String>,
) -> Result<(), Refusal> {
    let refuse = |names: Vec<&str>, message: &str| {
        if names.is_empty() {
            return Ok(());
        }
        Err((ErrorCode::InvalidRequest, format!("{message}: [{}]", names.join(", "))))
    };
    let having = |holds: &dyn Fn(&str) -> bool| -> Vec<&str> {
        overrides.keys().map(String::as_str).filter(|name| holds(name)).collect()
    };
    let mode = |name: &str| broker_keys().get(name).map(|key| key.update_mode);
    refuse(
        having(&|name| mode(name) == Some(UpdateMode::ReadOnly)),
        "Cannot update these configs dynamically",
    )?;
    refuse(
        having(&|name| RELOADED_WITH_PREFIX.contains(&name)),
        "These security configs can be dynamically updated only per-listener using the listener prefix",
    )?;
    for (name, text) in overrides {
        let base = strip_listener_prefix(name).unwrap_or(name);
        let key = dynamic_only_keys().get(base).or_else(|| broker_keys().get(base));
        if let Some(key) = key.filter(|key| key.update_mode != UpdateMode::ReadOnly) {
            value_of(key, Some(text)).map_err(|error| (ErrorCode::InvalidRequest, error.to_string()))?;
        }
    }
    if !per_broker {
        refuse(
            having(&|name| match strip_listener_prefix(name) {
                Some(base) => mode(base) != Some(UpdateMode::ClusterWide),
                None => mode(name) == Some(UpdateMode::PerBroker),
            }),
            "Cannot update these configs at default cluster level, broker id must be specified",
        )?;
    }
    let layers = config.layers();
    let (default, broker) = if per_broker {
        (layers.dynamic_default.clone(), overrides.clone())
    } else {
        (overrides.clone(), layers.dynamic_broker.clone())
    };
    config.with_dynamic(default, broker).map_err(|error| (ErrorCode::InvalidRequest, error.to_string()))?;
    Ok(())
}

/// Keys of TLS that change at runtime for one listener only (`SslConfigs.RECONFIGURABLE_CONFIGS`).
const RELOADED_WITH_PREFIX: &[&str] = &[
    "ssl.key.password",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.keystore.type",
    "ssl.truststore.certificates",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.truststore.type",
];
