//! The connections to the other nodes of the quorum (`KafkaNetworkChannel`): one each, and a task for each request.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use network::peer::{Peer, PeerConfig, PeerError, PeerResponse};
use protocol::{ApiKey, Message, Request};
use raft::wire::{self, WireRequest};
use raft::{QuorumNode, QuorumRequest, QuorumResponse, RequestFailure, ResponseBody};
use tokio::runtime::Handle;

use super::handle::Work;

/// Addresses that connections are kept to. Voters move seldom; those that did are forgotten with the rest.
const MAX_PEERS: usize = 64;

/// The other nodes.
pub(super) struct QuorumPeers {
    runtime: Handle,
    inbox: Sender<Work>,
    config: PeerConfig,
    request_timeout: Duration,
    /// The listener by which nodes of the quorum reach each other.
    listener: Arc<str>,
    peers: HashMap<(String, u16), Arc<Peer>>,
}

impl QuorumPeers {
    pub(super) fn new(
        runtime: Handle,
        inbox: Sender<Work>,
        config: PeerConfig,
        request_timeout: Duration,
        listener: &str,
    ) -> QuorumPeers {
        QuorumPeers {
            runtime,
            inbox,
            config,
            request_timeout,
            listener: Arc::from(listener),
            peers: HashMap::new(),
        }
    }

    /// Sends a request; the answer, or that there is none, arrives at the thread.
    pub(super) fn send(&mut self, to: &QuorumNode, correlation_id: u64, request: QuorumRequest) {
        let address = (to.host.clone(), to.port);
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&address) {
            self.peers.clear();
        }
        let config = &self.config;
        let peer = self
            .peers
            .entry(address)
            .or_insert_with(|| Arc::new(Peer::new(&to.host, to.port, config.clone())));
        let (peer, listener) = (Arc::clone(peer), Arc::clone(&self.listener));
        let (inbox, timeout, from) = (self.inbox.clone(), self.request_timeout, to.id);
        self.runtime.spawn(async move {
            let result = exchange(&peer, request, &listener, timeout).await;
            // A thread that has ended wants no answer.
            drop(inbox.send(Work::Response { from, correlation_id, result }));
        });
    }
}

async fn exchange(
    peer: &Peer,
    request: QuorumRequest,
    listener: &str,
    timeout: Duration,
) -> Result<QuorumResponse, RequestFailure> {
    let empty = ResponseBody::empty(&request);
    let response = match WireRequest::from(request) {
        WireRequest::Vote(request) => {
            let response = ask(peer, &request, timeout).await?;
            wire::vote_response(read(&response)?, listener)
        }
        WireRequest::BeginQuorumEpoch(request) => {
            let response = ask(peer, &request, timeout).await?;
            wire::begin_quorum_epoch_response(read(&response)?, listener)
        }
        WireRequest::EndQuorumEpoch(request) => {
            let response = ask(peer, &request, timeout).await?;
            wire::end_quorum_epoch_response(read(&response)?, listener)
        }
        WireRequest::Fetch(request) => {
            let response = ask(peer, &request, timeout).await?;
            wire::fetch_response(read(&response)?, listener)
        }
        WireRequest::FetchSnapshot(request) => {
            let response = ask(peer, &request, timeout).await?;
            wire::fetch_snapshot_response(read(&response)?, listener)
        }
        WireRequest::ApiVersions(request) => {
            let response = ask(peer, &request, timeout).await?;
            wire::api_versions_response(&read(&response)?)
        }
        WireRequest::AddRaftVoter(mut request) => {
            // Before Kafka 4.2 a leader answered only when the voter was committed, and could not be asked for less.
            let last = last_stable(ApiKey::AddRaftVoter);
            let version = peer.version(ApiKey::AddRaftVoter, last, timeout).await;
            if version.map_err(|error| failure(&error))? == 0 {
                request.ack_when_committed = true;
            }
            let response = ask(peer, &request, timeout).await?;
            let response: protocol::messages::AddRaftVoterResponse = read(&response)?;
            let message = response.error_message;
            wire::joined_response(response.error_code, ResponseBody::AddVoter { message })
        }
        WireRequest::RemoveRaftVoter(request) => {
            let response = ask(peer, &request, timeout).await?;
            let response: protocol::messages::RemoveRaftVoterResponse = read(&response)?;
            let message = response.error_message;
            wire::joined_response(response.error_code, ResponseBody::RemoveVoter { message })
        }
        WireRequest::UpdateRaftVoter(request) => {
            let response = ask(peer, &request, timeout).await?;
            wire::update_voter_response(&read(&response)?, listener)
        }
    };
    response.ok_or_else(|| {
        tracing::error!(
            peer = peer.address(),
            ?empty,
            "an answer of the quorum is not about the metadata log"
        );
        RequestFailure::Malformed
    })
}

async fn ask<'q, Q: Request<'q>>(
    peer: &Peer,
    request: &Q,
    timeout: Duration,
) -> Result<PeerResponse, RequestFailure> {
    peer.send_at_most(request, last_stable(Q::API_KEY), timeout).await.map_err(|error| failure(&error))
}

fn last_stable(api: ApiKey) -> i16 {
    let last = *api.versions().end();
    if api.latest_version_unstable() { last - 1 } else { last }
}

fn read<'r, M: Message<'r>>(response: &'r PeerResponse) -> Result<M, RequestFailure> {
    response.read().map_err(|error| failure(&error))
}

fn failure(error: &PeerError) -> RequestFailure {
    match error {
        PeerError::Connect { .. } if error.is_refused() => RequestFailure::Refused,
        PeerError::UnsupportedVersion { .. } | PeerError::Request { .. } => {
            RequestFailure::UnsupportedVersion
        }
        PeerError::Response { .. } => {
            tracing::warn!("{error}");
            RequestFailure::Malformed
        }
        _ => {
            tracing::debug!("{error}");
            RequestFailure::Unavailable
        }
    }
}
