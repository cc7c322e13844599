//! `FindCoordinator`: which broker coordinates a group.

use std::sync::Arc;

use common::ErrorCode;
use common::topic::GROUP_METADATA_TOPIC;
use network::Handled;
use protocol::messages::find_coordinator_response::Coordinator;
use protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};

use super::internal_topics;
use crate::broker::{Broker, reached_at};
use crate::request::{BadRequest, Request};

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

pub(crate) fn handle(broker: &Arc<Broker>, mut request: Request<'_>) -> Result<Handled, BadRequest> {
    let body: FindCoordinatorRequest = request.read()?;
    let version = request.head.version;
    let listener = Arc::clone(&request.client.connection.listener);
    let broker = Arc::clone(broker);
    request.head.later(async move {
        if body.key_type == GROUP {
            internal_topics::ensure_offsets_topic(&broker).await;
        }
        let find = |key: &str| find(&broker, &listener, body.key_type, key);
        if version >= 4 {
            let coordinators = body.coordinator_keys.iter().map(|key| find(key)).collect();
            return FindCoordinatorResponse { coordinators, ..Default::default() };
        }
        let found = find(&body.key);
        FindCoordinatorResponse {
            error_code: found.error_code,
            error_message: found.error_message,
            node_id: found.node_id,
            host: found.host,
            port: found.port,
            ..Default::default()
        }
    })
}

fn find(broker: &Broker, listener: &str, key_type: i8, key: &str) -> Coordinator {
    let none = |error: ErrorCode, message: &str| Coordinator {
        key: key.to_owned(),
        node_id: -1,
        port: -1,
        error_code: error.code(),
        error_message: Some(message.to_owned()),
        ..Coordinator::default()
    };
    match key_type {
        GROUP => {}
        // Divergence: transactions are not served yet. A code that no client retries says so at once.
        TRANSACTION => {
            return none(
                ErrorCode::TransactionalIdAuthorizationFailed,
                "Transactions are not served by this version of milena",
            );
        }
        _ => {
            return none(
                ErrorCode::InvalidRequest,
                "This kind of coordinator is not served by this version of milena",
            );
        }
    }
    let image = broker.image();
    let unavailable = || none(ErrorCode::CoordinatorNotAvailable, "The coordinator is not available.");
    let Some(topic) = image.topics.topic(GROUP_METADATA_TOPIC) else { return unavailable() };
    let Some(partition) = topic.partitions.get(&broker.groups.partition_for(key)) else {
        return unavailable();
    };
    let leader = reached_at(&image, partition.leader, listener).filter(|(leader, _)| !leader.fenced);
    let Some((leader, endpoint)) = leader else { return unavailable() };
    Coordinator {
        key: key.to_owned(),
        node_id: leader.id,
        host: endpoint.host.clone(),
        port: i32::from(endpoint.port),
        error_code: 0,
        error_message: None,
    }
}
