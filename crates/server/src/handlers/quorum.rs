//! What the nodes of a quorum ask each other, and how its voters are changed: `Vote`, `BeginQuorumEpoch`, `EndQuorumEpoch`,
//! `Fetch` of the metadata log, `FetchSnapshot`, `AddRaftVoter`, `RemoveRaftVoter`, `UpdateRaftVoter`.

use std::sync::Arc;

use common::ErrorCode;
use network::Outbox;
use protocol::Reader;
use raft::QuorumResponse;
use raft::wire::{self, Incoming};

use crate::controller_server::{ControllerServer, Decided, Deciding};
use crate::request::{BadRequest, Head};

/// Has raft answer a request that came on `listener`.
pub(crate) fn decide(
    server: &Arc<ControllerServer>,
    head: Head,
    body: &mut Reader<'_>,
    listener: &str,
) -> Result<Deciding, BadRequest> {
    let read = wire::read_request(head.api, head.version, body)
        .map_err(|error| BadRequest::Body(head.api, head.version, error))?;
    let request = match read.ok_or(BadRequest::NotServed(head.api))? {
        Incoming::Request(request) => request,
        Incoming::Refused(response) => {
            let decided = answer(head, listener, &response);
            return Ok(Box::pin(async move { decided }));
        }
    };
    let server = Arc::clone(server);
    let listener = listener.to_owned();
    Ok(Box::pin(async move {
        let refused = QuorumResponse::top_level(&request, ErrorCode::BrokerNotAvailable);
        let response = server.controller.quorum(request).await.unwrap_or(refused);
        answer(head, &listener, &response)
    }))
}

fn answer(head: Head, listener: &str, response: &QuorumResponse) -> Decided {
    let mut out = Outbox::new();
    let written = head.answer_by(&mut out, |writer| {
        wire::write_response(response, head.api, head.version, listener, writer)
    });
    if let Err(error) = written {
        // Nothing can be said in this version; the other's timeout has to.
        tracing::error!("{error}");
    }
    Decided::Answer(out)
}
