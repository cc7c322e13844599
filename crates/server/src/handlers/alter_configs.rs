//! `AlterConfigs` and `IncrementalAlterConfigs` at a broker (`ConfigAdminManager`): the broker checks what is about
//! itself, and the controller decides the rest.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use common::ErrorCode;
use config::alter::{self, Op, Operation, Refusal, ResourceType};
use metadata::{ConfigResource, ConfigResourceType};
use network::Handled;
use protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, alter_configs_response as legacy_response,
    incremental_alter_configs_response as incremental_response,
};

use crate::broker::Broker;
use crate::request::{BadRequest, Request};
use crate::settings::overrides;

/// A resource by type and name.
type Key = (i8, String);

/// The error and the message of a resource's answer.
type Verdict = (i16, Option<String>);

/// Adds to what is set, or takes from it.
pub(crate) fn incremental(broker: &Arc<Broker>, mut request: Request<'_>) -> Result<Handled, BadRequest> {
    let raw = request.to_raw();
    let mut body: IncrementalAlterConfigsRequest = request.read()?;
    let keys: Vec<Key> = body
        .resources
        .iter()
        .map(|resource| (resource.resource_type, resource.resource_name.clone()))
        .collect();
    let refusals = refusals(&keys, |index| {
        let resource = &body.resources[index];
        check(broker, &keys[index], |current| {
            let ops = resource.configs.iter().map(|config| {
                let operation = Operation::from_code(config.config_operation)?;
                Ok(Op { name: config.name.clone(), operation, value: config.value.clone() })
            });
            alter::apply_ops(ResourceType::Broker, current, &ops.collect::<Result<Vec<_>, Refusal>>()?)
        })
    });
    let mut undecided = refusals.iter().map(Option::is_none);
    body.resources.retain(|_| undecided.next() == Some(true));
    let broker = Arc::clone(broker);
    request.head.later(async move {
        let mut decided = IncrementalAlterConfigsResponse::default();
        if !body.resources.is_empty() {
            decided = broker.channel.forward_changed(raw, &body).await;
        }
        let decided = decided
            .responses
            .into_iter()
            .map(|answer| {
                ((answer.resource_type, answer.resource_name), (answer.error_code, answer.error_message))
            })
            .collect();
        let responses = merge(keys, refusals, &decided).map(|((resource_type, resource_name), verdict)| {
            incremental_response::AlterConfigsResourceResponse {
                error_code: verdict.0,
                error_message: verdict.1,
                resource_type,
                resource_name,
            }
        });
        IncrementalAlterConfigsResponse { responses: responses.collect(), ..Default::default() }
    })
}

/// Puts a set of configs in the place of the present ones.
pub(crate) fn legacy(broker: &Arc<Broker>, mut request: Request<'_>) -> Result<Handled, BadRequest> {
    let raw = request.to_raw();
    let mut body: AlterConfigsRequest = request.read()?;
    let keys: Vec<Key> = body
        .resources
        .iter()
        .map(|resource| (resource.resource_type, resource.resource_name.clone()))
        .collect();
    let refusals = refusals(&keys, |index| {
        let resource = &body.resources[index];
        check(broker, &keys[index], |_| {
            let set = resource.configs.iter().map(|config| Op {
                name: config.name.clone(),
                operation: Operation::Set,
                value: config.value.clone(),
            });
            alter::apply_ops(ResourceType::Broker, &BTreeMap::new(), &set.collect::<Vec<_>>())
        })
    });
    let mut undecided = refusals.iter().map(Option::is_none);
    body.resources.retain(|_| undecided.next() == Some(true));
    let broker = Arc::clone(broker);
    request.head.later(async move {
        let mut decided = AlterConfigsResponse::default();
        if !body.resources.is_empty() {
            decided = broker.channel.forward_changed(raw, &body).await;
        }
        let decided = decided
            .responses
            .into_iter()
            .map(|answer| {
                ((answer.resource_type, answer.resource_name), (answer.error_code, answer.error_message))
            })
            .collect();
        let responses = merge(keys, refusals, &decided).map(|((resource_type, resource_name), verdict)| {
            legacy_response::AlterConfigsResourceResponse {
                error_code: verdict.0,
                error_message: verdict.1,
                resource_type,
                resource_name,
            }
        });
        AlterConfigsResponse { responses: responses.collect(), ..Default::default() }
    })
}

/// What is refused before the controller is asked, resource by resource.
fn refusals(keys: &[Key], check: impl Fn(usize) -> Result<(), Refusal>) -> Vec<Option<Refusal>> {
    let mut times: HashMap<&Key, usize> = HashMap::new();
    for key in keys {
        *times.entry(key).or_default() += 1;
    }
    let twice = || (ErrorCode::InvalidRequest, "Each resource must appear at most once.".to_owned());
    keys.iter()
        .enumerate()
        .map(|(index, key)| if times[key] > 1 { Some(twice()) } else { check(index).err() })
        .collect()
}

/// Checks a change of this broker's own settings; of other resources only whether there is such a kind. `change` makes the
/// settings to be of those that are.
fn check(
    broker: &Broker,
    (kind, name): &Key,
    change: impl FnOnce(&BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Refusal>,
) -> Result<(), Refusal> {
    let refuse = |message: String| Err((ErrorCode::InvalidRequest, message));
    match ResourceType::from_code(*kind) {
        Some(ResourceType::Broker) => {}
        Some(_) => return Ok(()),
        // Divergence: Kafka changes the levels of its loggers; milena's is set for the whole process when it starts.
        None => return refuse(format!("Unknown resource type {kind}")),
    }
    if !name.is_empty() {
        match name.parse::<i32>() {
            Err(_) => return refuse(format!("Node id must be an integer, but it is: {name}")),
            Ok(id) if id != broker.node_id => {
                return refuse(format!(
                    "Unexpected broker id, expected {}, but received {name}",
                    broker.node_id
                ));
            }
            Ok(_) => {}
        }
    }
    let resource = ConfigResource { resource_type: ConfigResourceType::BROKER, name: name.clone() };
    let changed = change(&overrides(&broker.image(), &resource))?;
    alter::validate_broker_change(&broker.settings.broker(), !name.is_empty(), &changed)
}

/// One verdict for each resource, in the order of the request.
fn merge(
    keys: Vec<Key>,
    refusals: Vec<Option<Refusal>>,
    decided: &BTreeMap<Key, Verdict>,
) -> impl Iterator<Item = (Key, Verdict)> {
    keys.into_iter().zip(refusals).map(|(key, refusal)| {
        let verdict = match refusal {
            Some((error, message)) => (error.code(), Some(message)),
            // The controller is stopping, and with it this broker.
            None => decided.get(&key).cloned().unwrap_or((ErrorCode::UnknownServerError.code(), None)),
        };
        (key, verdict)
    })
}
