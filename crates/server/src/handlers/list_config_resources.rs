//! `ListConfigResources` (KIP-1142): what has, or could have, a configuration of its own.

use std::sync::Arc;

use common::ErrorCode;
use metadata::ConfigResourceType;
use network::{Handled, Outbox};
use protocol::messages::list_config_resources_response::ConfigResource;
use protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};

use crate::broker::Broker;
use crate::request::{BadRequest, Request};

/// The types in the order in which they are listed.
const TYPES: [ConfigResourceType; 5] = [
    ConfigResourceType::GROUP,
    ConfigResourceType::CLIENT_METRICS,
    ConfigResourceType::BROKER_LOGGER,
    ConfigResourceType::BROKER,
    ConfigResourceType::TOPIC,
];

pub(crate) fn handle(
    broker: &Arc<Broker>,
    mut request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let body: ListConfigResourcesRequest = request.read()?;
    // Version 0 is `ListClientMetricsResources` under its new name.
    let supported =
        if request.head.version == 0 { &[ConfigResourceType::CLIENT_METRICS][..] } else { &TYPES };
    let is_supported = |wanted: &i8| supported.contains(&ConfigResourceType(*wanted));
    let mut response = ListConfigResourcesResponse::default();
    if body.resource_types.iter().all(is_supported) {
        let is_wanted = |kind: &&ConfigResourceType| {
            body.resource_types.is_empty() || body.resource_types.contains(&kind.0)
        };
        let listener = &request.client.connection.listener;
        for kind in TYPES.iter().filter(|kind| supported.contains(kind)).filter(is_wanted) {
            let resource = |resource_name| ConfigResource { resource_name, resource_type: kind.0 };
            response.config_resources.extend(names(broker, *kind, listener).into_iter().map(resource));
        }
    } else {
        response.error_code = ErrorCode::UnsupportedVersion.code();
    }
    request.head.answer(&response, out)
}

/// Of topics and brokers, all that are there; of the others, those that have a configuration.
fn names(broker: &Broker, kind: ConfigResourceType, listener: &str) -> Vec<String> {
    let image = broker.image();
    match kind {
        ConfigResourceType::TOPIC => image.topics.iter().map(|topic| topic.name.to_string()).collect(),
        ConfigResourceType::BROKER | ConfigResourceType::BROKER_LOGGER => {
            let brokers = image.cluster.brokers.values();
            let alive = brokers.filter(|broker| !broker.fenced && broker.listener(listener).is_some());
            alive.map(|broker| broker.id.to_string()).collect()
        }
        _ => {
            let known = image.configs.iter().filter(|(resource, _)| resource.resource_type == kind);
            known.map(|(resource, _)| resource.name.clone()).collect()
        }
    }
}
