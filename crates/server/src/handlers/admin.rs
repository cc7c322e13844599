//! Requests that the controller decides. A broker and the controller beside it share the way in: the same messages that
//! another broker would send.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use common::ErrorCode;
use controller::{ControllerRequestContext, ControllerResult, QuorumController};
use network::Handled;
use protocol::ApiKey;
use protocol::messages::create_topics_response::CreatableTopicResult;
use protocol::messages::{
    AllocateProducerIdsRequest, AlterConfigsRequest, BrokerHeartbeatRequest, BrokerRegistrationRequest,
    CreatePartitionsRequest, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest,
    IncrementalAlterConfigsRequest,
};

use crate::broker::Broker;
use crate::request::{BadRequest, Request};

pub(crate) fn handle(broker: &Arc<Broker>, request: Request<'_>) -> Result<Handled, BadRequest> {
    match request.head.api {
        ApiKey::CreateTopics => create_topics(broker, request),
        ApiKey::DeleteTopics => {
            forward(broker, request, |controller, context, body: &DeleteTopicsRequest| {
                controller.delete_topics(context, body)
            })
        }
        ApiKey::CreatePartitions => {
            forward(broker, request, |controller, context, body: &CreatePartitionsRequest| {
                controller.create_partitions(context, body)
            })
        }
        ApiKey::AlterConfigs => {
            forward(broker, request, |controller, context, body: &AlterConfigsRequest| {
                controller.alter_configs(context, body)
            })
        }
        ApiKey::IncrementalAlterConfigs => {
            forward(broker, request, |controller, context, body: &IncrementalAlterConfigsRequest| {
                controller.incremental_alter_configs(context, body)
            })
        }
        ApiKey::AllocateProducerIds => {
            forward(broker, request, |controller, _, body: &AllocateProducerIdsRequest| {
                controller.allocate_producer_ids(body)
            })
        }
        ApiKey::BrokerRegistration => {
            forward(broker, request, |controller, context, body: &BrokerRegistrationRequest| {
                controller.register_broker(context, body)
            })
        }
        ApiKey::BrokerHeartbeat => {
            forward(broker, request, |controller, context, body: &BrokerHeartbeatRequest| {
                controller.broker_heartbeat(context, body)
            })
        }
        other => Err(BadRequest::NotServed(other)),
    }
}

/// Has the controller decide, and answers with what it says.
pub(crate) fn forward<'a, Body, F, Answer>(
    broker: &Arc<Broker>,
    mut request: Request<'a>,
    decide: F,
) -> Result<Handled, BadRequest>
where
    Body: protocol::Message<'a> + Send + 'static,
    Answer: protocol::Message<'static> + Default + Send + 'static,
    F: FnOnce(&mut QuorumController, &ControllerRequestContext<'_>, &Body) -> ControllerResult<Answer>
        + Send
        + 'static,
{
    let body: Body = request.read()?;
    let broker = Arc::clone(broker);
    let version = request.head.version;
    request.head.later(async move {
        let decided =
            broker.controller.request(version, move |controller, context| decide(controller, context, &body));
        match decided.await {
            Ok(answer) => answer,
            Err(error) => {
                // The broker is stopping: its connections end in a moment.
                tracing::warn!("a request for the controller cannot be served: {error}");
                Answer::default()
            }
        }
    })
}

/// Topics named twice are refused, all of their mentions with one answer, and the others created.
fn create_topics(broker: &Arc<Broker>, request: Request<'_>) -> Result<Handled, BadRequest> {
    forward(broker, request, |controller, context, body: &CreateTopicsRequest| {
        let mut body = body.clone();
        let mut seen = HashSet::new();
        let duplicates: BTreeSet<String> = body
            .topics
            .iter()
            .filter(|topic| !seen.insert(&topic.name))
            .map(|topic| topic.name.clone())
            .collect();
        body.topics.retain(|topic| !duplicates.contains(&topic.name));
        let mut result: ControllerResult<CreateTopicsResponse> = controller.create_topics(context, &body);
        result.response.topics.extend(duplicates.into_iter().map(|name| CreatableTopicResult {
            name,
            error_code: ErrorCode::InvalidRequest.code(),
            error_message: Some("Duplicate topic name.".to_owned()),
            ..CreatableTopicResult::default()
        }));
        result
    })
}
