//! `DescribeCluster` (KIP-700, KIP-919): the brokers, or the controllers.

use std::sync::Arc;

use common::ErrorCode;
use network::{Handled, Outbox};
use protocol::messages::describe_cluster_response::DescribeClusterBroker;
use protocol::messages::{DescribeClusterRequest, DescribeClusterResponse};

use super::authorized_operations as operations;
use crate::broker::Broker;
use crate::controller_server::ControllerServer;
use crate::request::{BadRequest, Request};

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

/// On a broker's listener: the brokers.
pub(crate) fn brokers(
    broker: &Arc<Broker>,
    mut request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let body: DescribeClusterRequest = request.read()?;
    if let Some(refusal) = refusal(&body, BROKERS, request.head.version) {
        return request.head.answer(&refusal, out);
    }
    let listener = &request.client.connection.listener;
    let image = broker.image();
    let brokers = image
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
        });
    // In KRaft any broker forwards what is for the controller, so each names one that is alive: itself.
    let response = response(&body, &broker.cluster_id, broker.node_id, brokers.collect());
    request.head.answer(&response, out)
}

/// On a controller's listener: the controllers, and which of them is active.
pub(crate) fn controllers(
    server: &Arc<ControllerServer>,
    mut request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let body: DescribeClusterRequest = request.read()?;
    if let Some(refusal) = refusal(&body, CONTROLLERS, request.head.version) {
        return request.head.answer(&refusal, out);
    }
    let listener = &request.client.connection.listener;
    let image = server.image.load();
    let controllers = image.cluster.controllers.values().filter_map(|controller| {
        let endpoint = controller.listeners.iter().find(|endpoint| *endpoint.listener == **listener)?;
        Some(DescribeClusterBroker {
            broker_id: controller.id,
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            ..DescribeClusterBroker::default()
        })
    });
    let leader = server.leader.borrow().leader_id.unwrap_or(-1);
    let response = response(&body, &server.cluster_id, leader, controllers.collect());
    request.head.answer(&response, out)
}

/// The refusal of a client that takes a broker for a controller, or the other way round.
fn refusal(body: &DescribeClusterRequest, served: i8, version: i16) -> Option<DescribeClusterResponse> {
    if body.endpoint_type == served {
        return None;
    }
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
    let error = if version == 0 { ErrorCode::InvalidRequest } else { error };
    Some(DescribeClusterResponse {
        error_code: error.code(),
        error_message: Some(message),
        ..DescribeClusterResponse::default()
    })
}

fn response(
    body: &DescribeClusterRequest,
    cluster_id: &str,
    controller_id: i32,
    brokers: Vec<DescribeClusterBroker>,
) -> DescribeClusterResponse {
    let mut response = DescribeClusterResponse {
        cluster_id: cluster_id.to_owned(),
        controller_id,
        endpoint_type: body.endpoint_type,
        brokers,
        ..DescribeClusterResponse::default()
    };
    if body.include_cluster_authorized_operations {
        response.cluster_authorized_operations = operations::CLUSTER;
    }
    response
}

fn endpoint_name(endpoint_type: i8) -> &'static str {
    if endpoint_type == BROKERS { "BROKER" } else { "CONTROLLER" }
}
