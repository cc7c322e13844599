//! `DescribeCluster` (KIP-700, KIP-919): the brokers, or the controllers.

use std::sync::Arc;

use common::ErrorCode;
use network::{Handled, Outbox};
use protocol::messages::describe_cluster_response::DescribeClusterBroker;
use protocol::messages::{DescribeClusterRequest, DescribeClusterResponse};

use super::authorized_operations as operations;
use crate::apis::ListenerKind;
use crate::broker::Broker;
use crate::request::{BadRequest, Request};

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    kind: ListenerKind,
    mut request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let body: DescribeClusterRequest = request.read()?;
    let listener = &request.client.connection.listener;
    let served = match kind {
        ListenerKind::Broker => BROKERS,
        ListenerKind::Controller => CONTROLLERS,
    };
    if body.endpoint_type != served {
        let (error, message) = match body.endpoint_type {
            BROKERS | CONTROLLERS => (
                ErrorCode::MismatchedEndpointType,
                format!(
                    "The request was sent to an endpoint of type {}, but we wanted an endpoint of type {}",
                    endpoint_name(served),
                    endpoint_name(body.endpoint_type)
                ),
            ),
            other => (ErrorCode::UnsupportedEndpointType, format!("Unsupported endpoint type {other}")),
        };
        // Version 0 knows of no endpoint types, nor of their errors.
        let error = if request.head.version == 0 { ErrorCode::InvalidRequest } else { error };
        let refusal = DescribeClusterResponse {
            error_code: error.code(),
            error_message: Some(message),
            ..DescribeClusterResponse::default()
        };
        return request.head.answer(&refusal, out);
    }
    let mut response = DescribeClusterResponse {
        cluster_id: broker.cluster_id.clone(),
        controller_id: broker.node_id,
        endpoint_type: body.endpoint_type,
        ..DescribeClusterResponse::default()
    };
    let image = broker.image();
    response.brokers = match kind {
        ListenerKind::Broker => image
            .cluster
            .brokers
            .values()
            .filter(|broker| !broker.fenced || body.include_fenced_brokers)
            .filter_map(|broker| {
                let endpoint = broker.listener(listener)?;
                Some(DescribeClusterBroker {
                    broker_id: broker.id,
                    host: endpoint.host.clone(),
                    port: i32::from(endpoint.port),
                    rack: broker.rack.clone(),
                    is_fenced: broker.fenced,
                })
            })
            .collect(),
        ListenerKind::Controller => image
            .cluster
            .controllers
            .values()
            .filter_map(|controller| {
                let endpoint =
                    controller.listeners.iter().find(|endpoint| *endpoint.listener == **listener)?;
                Some(DescribeClusterBroker {
                    broker_id: controller.id,
                    host: endpoint.host.clone(),
                    port: i32::from(endpoint.port),
                    ..DescribeClusterBroker::default()
                })
            })
            .collect(),
    };
    if body.include_cluster_authorized_operations {
        response.cluster_authorized_operations = operations::CLUSTER;
    }
    request.head.answer(&response, out)
}

fn endpoint_name(endpoint_type: i8) -> &'static str {
    if endpoint_type == BROKERS { "BROKER" } else { "CONTROLLER" }
}
