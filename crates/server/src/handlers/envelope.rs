//! `Envelope` (KIP-590): a request that a client sent to a broker, passed on with who sent it (`EnvelopeUtils`).

use std::sync::Arc;

use common::ErrorCode;
use network::{Handled, Outbox};
use protocol::messages::{EnvelopeRequest, EnvelopeResponse};
use protocol::{ApiKey, Reader};

use super::controller::{Asker, decide};
use crate::apis::{self, ListenerKind};
use crate::connection::read_head;
use crate::controller_server::{ControllerServer, Decided, Deciding};
use crate::principal;
use crate::request::{BadRequest, Request};

/// What brokers pass on.
fn is_forwardable(api: ApiKey) -> bool {
    matches!(
        api,
        ApiKey::AllocateProducerIds
            | ApiKey::AlterClientQuotas
            | ApiKey::AlterConfigs
            | ApiKey::AlterPartitionReassignments
            | ApiKey::CreatePartitions
            | ApiKey::CreateTopics
            | ApiKey::DeleteTopics
            | ApiKey::DescribeQuorum
            | ApiKey::ElectLeaders
            | ApiKey::IncrementalAlterConfigs
            | ApiKey::ListPartitionReassignments
            | ApiKey::UnregisterBroker
            | ApiKey::UnregisterController
            | ApiKey::UpdateFeatures
            | ApiKey::AddRaftVoter
            | ApiKey::RemoveRaftVoter
    )
}

pub(crate) fn handle(
    server: &Arc<ControllerServer>,
    mut request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let envelope: EnvelopeRequest = request.read()?;
    let head = request.head;
    match open(server, &envelope) {
        Err((error, reason)) => {
            tracing::warn!(peer = %request.client.connection.peer, "an envelope is refused: {reason}");
            head.answer(&refusal(error), out)
        }
        Ok(deciding) => head.later(async move {
            match deciding.await {
                Decided::NotController(_) => refusal(ErrorCode::NotController),
                Decided::Answer(mut answer) => {
                    let bytes = answer.take();
                    // Without the length that goes before an answer on a connection.
                    let data = bytes.get(4..).unwrap_or_default().to_vec();
                    EnvelopeResponse { response_data: Some(data), error_code: 0 }
                }
            }
        }),
    }
}

fn refusal(error: ErrorCode) -> EnvelopeResponse {
    EnvelopeResponse { response_data: None, error_code: error.code() }
}

/// Takes the request out and begins to serve it, or says what is wrong with it.
fn open(server: &Arc<ControllerServer>, envelope: &EnvelopeRequest) -> Result<Deciding, (ErrorCode, String)> {
    let invalid = |reason: String| (ErrorCode::InvalidRequest, reason);
    let principal = envelope.request_principal.as_deref().map(principal::deserialize);
    let principal = match principal {
        Some(Ok(principal)) => principal,
        Some(Err(error)) => {
            return Err((
                ErrorCode::PrincipalDeserializationFailure,
                format!("whose it is cannot be read: {error}"),
            ));
        }
        None => {
            return Err((
                ErrorCode::PrincipalDeserializationFailure,
                "it does not say whose it is".to_owned(),
            ));
        }
    };
    if !matches!(envelope.client_host_address.len(), 4 | 16) {
        return Err(invalid("the client's address is none".to_owned()));
    }
    let mut reader = Reader::new(&envelope.request_data);
    let (head, _) = read_head(&mut reader).map_err(|error| invalid(error.to_string()))?;
    if !is_forwardable(head.api) {
        return Err(invalid(format!("{} is not forwardable", head.api)));
    }
    let served = apis::served(head.api, ListenerKind::Controller);
    if !served.is_some_and(|served| served.contains(&head.version)) {
        let reason = format!("{} version {} is not supported", head.api, head.version);
        return Err((ErrorCode::UnsupportedVersion, reason));
    }
    decide(server, head, &mut reader, Asker { principal, forwarded: true, listener: Arc::from("") })
        .map_err(|error| invalid(error.to_string()))
}
