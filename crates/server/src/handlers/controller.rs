//! Requests on a controller's listener (`ControllerApis`).

use std::sync::Arc;

use common::ErrorCode;
use controller::ControllerRequestContext;
use network::{Handled, Outbox};
use protocol::messages::{
    AllocateProducerIdsRequest, AlterClientQuotasRequest, AlterConfigsRequest,
    AlterPartitionReassignmentsRequest, AlterPartitionRequest, AssignReplicasToDirsRequest,
    BrokerHeartbeatRequest, BrokerRegistrationRequest, ControllerRegistrationRequest,
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, ElectLeadersRequest,
    IncrementalAlterConfigsRequest, ListPartitionReassignmentsRequest, UnregisterBrokerRequest,
    UnregisterControllerRequest, UpdateFeaturesRequest,
};
use protocol::{ApiKey, Message, Reader};

use super::{api_versions, configs, describe_cluster, describe_quorum, envelope, quorum};
use crate::controller_requests::ControllerRequest;
use crate::controller_server::{ControllerServer, Decided, Deciding};
use crate::controller_thread::{ControllerUnavailable, Until};
use crate::principal;
use crate::request::{BadRequest, Head, Request};

/// Who asks, and which way.
pub(crate) struct Asker {
    /// Such as `User:ANONYMOUS`.
    pub(crate) principal: String,
    /// Whether a broker passed the request on.
    pub(crate) forwarded: bool,
    /// The listener that it came on; empty where a broker passed it on.
    pub(crate) listener: Arc<str>,
}

/// Serves a request whose version was checked.
pub(crate) fn dispatch(
    server: &Arc<ControllerServer>,
    mut request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    match request.head.api {
        ApiKey::ApiVersions => api_versions::handle(&api_versions::About::controller(server), request, out),
        ApiKey::DescribeCluster => describe_cluster::controllers(server, request, out),
        ApiKey::DescribeConfigs => configs::describe_on_controller(server, request, out),
        ApiKey::Envelope => envelope::handle(server, request, out),
        _ => {
            let (kind, name) = principal::ANONYMOUS;
            let listener = Arc::clone(&request.client.connection.listener);
            let asker = Asker { principal: format!("{kind}:{name}"), forwarded: false, listener };
            if request.head.api == ApiKey::BrokerHeartbeat {
                note_heartbeat(server, &request);
            }
            let deciding = decide(server, request.head, &mut request.body, asker)?;
            Ok(Handled::Later(Box::pin(async move {
                match deciding.await {
                    Decided::Answer(answer) | Decided::NotController(answer) => answer,
                }
            })))
        }
    }
}

/// Remembers whose heartbeats come on this connection.
fn note_heartbeat(server: &ControllerServer, request: &Request<'_>) {
    let mut body = request.body.clone();
    if let Ok(heartbeat) = BrokerHeartbeatRequest::read(&mut body, request.head.version) {
        server.heartbeats.heard(request.client.connection, heartbeat.broker_id, heartbeat.broker_epoch);
    }
}

/// Reads a request and has the active controller decide it, if that is this one.
pub(crate) fn decide(
    server: &Arc<ControllerServer>,
    head: Head,
    body: &mut Reader<'_>,
    asker: Asker,
) -> Result<Deciding, BadRequest> {
    match head.api {
        ApiKey::AllocateProducerIds => by_controller::<AllocateProducerIdsRequest>(server, head, body, asker),
        ApiKey::AlterClientQuotas => by_controller::<AlterClientQuotasRequest>(server, head, body, asker),
        ApiKey::AlterConfigs => by_controller::<AlterConfigsRequest>(server, head, body, asker),
        ApiKey::AlterPartition => by_controller::<AlterPartitionRequest>(server, head, body, asker),
        ApiKey::AlterPartitionReassignments => {
            by_controller::<AlterPartitionReassignmentsRequest>(server, head, body, asker)
        }
        ApiKey::AssignReplicasToDirs => {
            by_controller::<AssignReplicasToDirsRequest>(server, head, body, asker)
        }
        ApiKey::BrokerHeartbeat => by_controller::<BrokerHeartbeatRequest>(server, head, body, asker),
        ApiKey::BrokerRegistration => by_controller::<BrokerRegistrationRequest>(server, head, body, asker),
        ApiKey::ControllerRegistration => {
            by_controller::<ControllerRegistrationRequest>(server, head, body, asker)
        }
        ApiKey::CreatePartitions => by_controller::<CreatePartitionsRequest>(server, head, body, asker),
        ApiKey::CreateTopics => by_controller::<CreateTopicsRequest>(server, head, body, asker),
        ApiKey::DeleteTopics => by_controller::<DeleteTopicsRequest>(server, head, body, asker),
        ApiKey::DescribeQuorum => describe_quorum::decide(server, head, body),
        ApiKey::AddRaftVoter | ApiKey::RemoveRaftVoter => quorum::decide(server, head, body, &asker.listener),
        // Nodes of the quorum speak for themselves: no broker passes these on.
        ApiKey::UpdateRaftVoter
        | ApiKey::Vote
        | ApiKey::BeginQuorumEpoch
        | ApiKey::EndQuorumEpoch
        | ApiKey::Fetch
        | ApiKey::FetchSnapshot
            if !asker.forwarded =>
        {
            quorum::decide(server, head, body, &asker.listener)
        }
        ApiKey::ElectLeaders => by_controller::<ElectLeadersRequest>(server, head, body, asker),
        ApiKey::IncrementalAlterConfigs => {
            by_controller::<IncrementalAlterConfigsRequest>(server, head, body, asker)
        }
        ApiKey::ListPartitionReassignments => {
            by_controller::<ListPartitionReassignmentsRequest>(server, head, body, asker)
        }
        ApiKey::UnregisterBroker => by_controller::<UnregisterBrokerRequest>(server, head, body, asker),
        ApiKey::UnregisterController => {
            by_controller::<UnregisterControllerRequest>(server, head, body, asker)
        }
        ApiKey::UpdateFeatures => by_controller::<UpdateFeaturesRequest>(server, head, body, asker),
        other => Err(BadRequest::NotServed(other)),
    }
}

fn by_controller<Q: ControllerRequest>(
    server: &Arc<ControllerServer>,
    head: Head,
    body: &mut Reader<'_>,
    asker: Asker,
) -> Result<Deciding, BadRequest> {
    let body = Arc::new(
        <Q as Message<'_>>::read(body, head.version)
            .map_err(|error| BadRequest::Body(head.api, head.version, error))?,
    );
    let server = Arc::clone(server);
    Ok(Box::pin(async move {
        let asked = Arc::clone(&body);
        let answer =
            server.controller.request(head.version, Until::of(head.api), move |controller, context| {
                let context = ControllerRequestContext {
                    principal: &asker.principal,
                    forwarded: asker.forwarded,
                    ..*context
                };
                asked.decide(controller, &context)
            });
        let answer = answer.await.unwrap_or_else(|unavailable| body.refuse(error_of(unavailable)));
        let error = Q::error(&answer);
        decided(head, &answer, error)
    }))
}

fn error_of(unavailable: ControllerUnavailable) -> ErrorCode {
    match unavailable {
        // As Kafka answers to "excessively large" operations.
        ControllerUnavailable::Refused => ErrorCode::PolicyViolation,
        // Without a controller, or with one that resigned meanwhile, another one is to be asked.
        ControllerUnavailable::NotController | ControllerUnavailable::Stopped => ErrorCode::NotController,
    }
}

/// An answer, and whether it says that another controller is to be asked.
pub(crate) fn decided<'m, M: Message<'m>>(head: Head, answer: &M, error: ErrorCode) -> Decided {
    let mut out = Outbox::new();
    if let Err(error) = head.answer(answer, &mut out) {
        // Nothing can be said in this version; the client's own timeout has to.
        tracing::error!("{error}");
    }
    match error {
        ErrorCode::NotController => Decided::NotController(out),
        _ => Decided::Answer(out),
    }
}
