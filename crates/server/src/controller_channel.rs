//! A broker's way to the active controller (`NodeToControllerChannelManager`, `ForwardingManager`): whichever node it is,
//! by the requests that any broker sends. There is no other way from a broker to the metadata.

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::ErrorCode;
use network::Outbox;
use network::peer::{Peer, PeerConfig, PeerError};
use parking_lot::Mutex;
use protocol::messages::{EnvelopeRequest, EnvelopeResponse};
use protocol::{ApiKey, DecodeError, Message, Reader, Writer};
use tokio::sync::watch;

use crate::controller_requests::{ControllerRequest, ToController};
use crate::controller_server::{ControllerServer, Decided};
use crate::controller_thread::{ControllerUnavailable, Until};
use crate::principal;
use crate::request::RawRequest;

/// How long a request of the broker's own may take, all attempts together (`controller.socket.timeout.ms`).
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause before a request is tried again where no news of the leader comes before; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Who leads the quorum of controllers, as far as this node knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LeaderAndEpoch {
    /// The leader; none while there is no known one.
    pub(crate) leader_id: Option<i32>,
    /// The epoch of the quorum.
    pub(crate) epoch: i32,
    /// Host and port of the leader's controller listener; none where they are not known.
    pub(crate) endpoint: Option<Address>,
}

/// Why the controller gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ChannelError {
    /// Nobody answered in time.
    #[error("no controller answered {api} within {ms} ms: {last}")]
    Timeout {
        /// The request.
        api: protocol::ApiKey,
        /// How long was tried, in milliseconds.
        ms: u64,
        /// What was wrong the last time.
        last: String,
    },
    /// The controller cannot be asked this at all.
    #[error(transparent)]
    Peer(PeerError),
}

/// Why one attempt came to nothing.
enum Attempt {
    /// Another one may come to something.
    Again(String),
    /// None can.
    Never(PeerError),
}

/// Host and port.
type Address = (String, u16);

/// The way to the active controller.
pub(crate) struct ControllerChannel {
    node_id: i32,
    /// The controller in this process, if it has that role.
    local: Option<Arc<ControllerServer>>,
    leader: watch::Receiver<LeaderAndEpoch>,
    peer_config: PeerConfig,
    /// How long a request may take, with all its attempts.
    request_timeout: Duration,
    /// The connection to the leader, with the address that it is for.
    peer: Mutex<Option<(Address, Arc<Peer>)>>,
}

impl ControllerChannel {
    /// A channel that has sent nothing yet.
    pub(crate) fn new(
        node_id: i32,
        local: Option<Arc<ControllerServer>>,
        leader: watch::Receiver<LeaderAndEpoch>,
        peer_config: PeerConfig,
    ) -> ControllerChannel {
        let request_timeout = REQUEST_TIMEOUT;
        ControllerChannel { node_id, local, leader, peer_config, request_timeout, peer: Mutex::default() }
    }

    /// The same with another `controller.socket.timeout.ms`.
    pub(crate) fn with_request_timeout(self, request_timeout: Duration) -> ControllerChannel {
        ControllerChannel { request_timeout, ..self }
    }

    /// Who leads the quorum, and news of it.
    pub(crate) fn leader(&self) -> watch::Receiver<LeaderAndEpoch> {
        self.leader.clone()
    }

    /// Asks the active controller, again while there is none, it cannot be reached, or it is not the one any more.
    pub(crate) async fn send<Q: ControllerRequest>(&self, request: Q) -> Result<Q::Answer, ChannelError> {
        self.send_within(request, self.request_timeout).await
    }

    /// The same with a time of its own for all attempts together.
    pub(crate) async fn send_within<Q: ControllerRequest>(
        &self,
        request: Q,
        timeout: Duration,
    ) -> Result<Q::Answer, ChannelError> {
        let request = Arc::new(request);
        self.persist(Q::API_KEY, timeout, |left| self.try_send(&request, left)).await
    }

    /// One attempt of a request of the broker's own.
    async fn try_send<Q: ControllerRequest>(
        &self,
        request: &Arc<Q>,
        timeout: Duration,
    ) -> Result<Q::Answer, Attempt> {
        let answer = match self.local_leader() {
            Some(controller) => {
                let asked = Arc::clone(request);
                let version = crate::apis::last_stable(Q::API_KEY);
                let decided = controller.controller.request(
                    version,
                    Until::of(Q::API_KEY),
                    move |controller, context| asked.decide(controller, context),
                );
                match decided.await {
                    // To ask again would bring the same.
                    Err(ControllerUnavailable::Refused) => request.refuse(ErrorCode::PolicyViolation),
                    decided => decided.map_err(|error| Attempt::Again(error.to_string()))?,
                }
            }
            None => {
                let peer = self.leader_peer()?;
                let version = crate::apis::last_stable(Q::API_KEY);
                let response = peer.send_at_most(&**request, version, timeout).await.map_err(attempt)?;
                response.read().map_err(attempt)?
            }
        };
        match Q::error(&answer) {
            ErrorCode::NotController => Err(Attempt::Again("it is not the active controller".to_owned())),
            _ => Ok(answer),
        }
    }

    /// Has the active controller answer a client's request, in the client's version and words.
    pub(crate) async fn forward<Q: ToController>(&self, request: &RawRequest, body: &Q) -> Outbox {
        let answered =
            self.persist(Q::API_KEY, self.request_timeout, |left| self.try_forward(request, left)).await;
        let error = match answered {
            Ok(Ok(answer)) => return answer,
            Ok(Err(error)) => error,
            Err(error) => {
                tracing::warn!("a request cannot be forwarded: {error}");
                match error {
                    ChannelError::Timeout { .. } => ErrorCode::RequestTimedOut,
                    ChannelError::Peer(PeerError::UnsupportedVersion { .. }) => ErrorCode::UnsupportedVersion,
                    ChannelError::Peer(_) => ErrorCode::UnknownServerError,
                }
            }
        };
        let mut out = Outbox::new();
        if let Err(error) = request.head.answer(&body.refuse(error), &mut out) {
            tracing::error!("{error}");
        }
        out
    }

    /// The same for a request that the broker has changed: the rest of what a client asked for.
    pub(crate) async fn forward_changed<Q: ToController>(&self, request: RawRequest, body: &Q) -> Q::Answer {
        let head = request.head;
        let mut writer = Writer::new();
        if let Err(error) = body.write(&mut writer, head.version) {
            tracing::error!(api = %head.api, "a request cannot be passed on: {error}");
            return body.refuse(ErrorCode::UnknownServerError);
        }
        let answer = self.forward(&RawRequest { body: writer.into_bytes(), ..request }, body).await.take();
        let read = (|| {
            let mut reader = Reader::new(&answer);
            // The length and the number of the request.
            reader.take(8)?;
            if head.api.response_header_version(head.version) > 0 {
                reader.tagged_fields(|_, _| Ok(false))?;
            }
            Q::Answer::read(&mut reader, head.version)
        })();
        read.unwrap_or_else(|error: DecodeError| {
            tracing::warn!(api = %head.api, "the controller's answer cannot be read: {error}");
            body.refuse(ErrorCode::UnknownServerError)
        })
    }

    /// One attempt to forward. The inner error is what the client is told.
    async fn try_forward(
        &self,
        request: &RawRequest,
        timeout: Duration,
    ) -> Result<Result<Outbox, ErrorCode>, Attempt> {
        let not_controller = || Attempt::Again("it is not the active controller".to_owned());
        if let Some(controller) = self.local_leader() {
            return match controller.decide_forwarded(request) {
                Err(error) => {
                    tracing::warn!("a request that was forwarded is refused: {error}");
                    Ok(Err(ErrorCode::InvalidRequest))
                }
                Ok(decided) => match decided.await {
                    Decided::Answer(answer) => Ok(Ok(answer)),
                    Decided::NotController(_) => Err(not_controller()),
                },
            };
        }
        let peer = self.leader_peer()?;
        let envelope = EnvelopeRequest {
            request_data: request.to_bytes(),
            request_principal: Some(principal::serialize(principal::ANONYMOUS)),
            client_host_address: match request.client_address {
                std::net::IpAddr::V4(address) => address.octets().to_vec(),
                std::net::IpAddr::V6(address) => address.octets().to_vec(),
            },
        };
        let response = peer.send(&envelope, timeout).await.map_err(attempt)?;
        let response: EnvelopeResponse = response.read().map_err(attempt)?;
        match (ErrorCode::from_code(response.error_code), response.response_data) {
            (ErrorCode::None, Some(data)) if request.head.is_answered_by(&data) => {
                let mut out = Outbox::new();
                let mut bytes = Vec::with_capacity(4 + data.len());
                bytes.extend_from_slice(&i32::try_from(data.len()).unwrap_or(i32::MAX).to_be_bytes());
                bytes.extend_from_slice(&data);
                out.restore(bytes);
                Ok(Ok(out))
            }
            (ErrorCode::NotController, _) => Err(not_controller()),
            (ErrorCode::UnsupportedVersion, _) => Ok(Err(ErrorCode::UnsupportedVersion)),
            (error, _) => {
                tracing::warn!(api = %request.head.api, "the controller refuses a request that was forwarded: {error}");
                Ok(Err(ErrorCode::UnknownServerError))
            }
        }
    }

    /// Tries until it comes to something or the time is over. News of the leader end a pause.
    async fn persist<T, F: Future<Output = Result<T, Attempt>>>(
        &self,
        api: protocol::ApiKey,
        timeout: Duration,
        attempt: impl Fn(Duration) -> F,
    ) -> Result<T, ChannelError> {
        let deadline = Instant::now() + timeout;
        let mut leader = self.leader.clone();
        let mut pause = FIRST_PAUSE;
        loop {
            let asked = leader.borrow_and_update().leader_id;
            let left = deadline.saturating_duration_since(Instant::now());
            let attempted = tokio::select! {
                attempted = attempt(left) => attempted,
                // Whoever was asked may be paused, or cut off: its answer is not worth waiting for.
                () = another_leads(leader.clone(), asked) => Err(Attempt::Again("another controller leads".to_owned())),
            };
            let last = match attempted {
                Ok(answer) => return Ok(answer),
                Err(Attempt::Never(error)) => return Err(ChannelError::Peer(error)),
                Err(Attempt::Again(reason)) => reason,
            };
            let wake = Instant::now() + pause;
            if wake >= deadline {
                return Err(ChannelError::Timeout { api, ms: timeout.as_millis() as u64, last });
            }
            tokio::select! {
                changed = leader.changed() => {
                    if changed.is_err() {
                        // The thread that knows the leader has ended: there will be no news.
                        tokio::time::sleep_until(wake.into()).await;
                    }
                }
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The controller in this process, where it leads.
    fn local_leader(&self) -> Option<&Arc<ControllerServer>> {
        self.local.as_ref().filter(|_| self.leader.borrow().leader_id == Some(self.node_id))
    }

    /// First and last version in which the active controller takes a request that is forwarded to it, as far as that
    /// differs from this node's. None: it does not, or there is no connection to it.
    pub(crate) fn limits(&self) -> Option<impl Fn(ApiKey) -> Option<(i16, i16)>> {
        if self.local_leader().is_some() {
            return None;
        }
        let endpoint = self.leader.borrow().endpoint.clone()?;
        let current = self.peer.lock();
        let (_, peer) = current.as_ref().filter(|(address, _)| *address == endpoint)?;
        let peer = Arc::clone(peer);
        peer.is_connected().then_some(move |api| peer.served(api))
    }

    /// The connection to the leader.
    fn leader_peer(&self) -> Result<Arc<Peer>, Attempt> {
        let none = || Attempt::Again("there is no known leader of the quorum".to_owned());
        let endpoint = self.leader.borrow().endpoint.clone().ok_or_else(none)?;
        let mut current = self.peer.lock();
        if let Some((address, peer)) = &*current
            && *address == endpoint
        {
            return Ok(Arc::clone(peer));
        }
        let peer = Arc::new(Peer::new(&endpoint.0, endpoint.1, self.peer_config.clone()));
        *current = Some((endpoint, Arc::clone(&peer)));
        Ok(peer)
    }
}

/// Returns when a controller leads that is not this one.
async fn another_leads(mut leader: watch::Receiver<LeaderAndEpoch>, asked: Option<i32>) {
    let is_another = |leader: &LeaderAndEpoch| leader.leader_id.is_some() && leader.leader_id != asked;
    if leader.wait_for(is_another).await.is_err() {
        // The thread that knows the leader has ended: there will be no news.
        std::future::pending().await
    }
}

fn attempt(error: PeerError) -> Attempt {
    if error.is_unreachable() { Attempt::Again(error.to_string()) } else { Attempt::Never(error) }
}

#[cfg(test)]
mod tests {
    use protocol::messages::api_versions_response::ApiVersion;
    use protocol::messages::{AllocateProducerIdsRequest, AllocateProducerIdsResponse, ApiVersionsResponse};
    use protocol::{ApiKey, Request};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A controller that answers with a block of ids that begins at `answer`, or with an error, or never.
    async fn controller(answer: Option<Result<i64, ErrorCode>>) -> Address {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    while let Ok(size) = stream.read_i32().await {
                        let mut frame = vec![0; size as usize];
                        stream.read_exact(&mut frame).await.unwrap();
                        let mut writer = Writer::new();
                        writer.i32(0);
                        writer.raw(&frame[4..8]);
                        if i16::from_be_bytes([frame[0], frame[1]]) == ApiKey::ApiVersions.code() {
                            let api_key = AllocateProducerIdsRequest::API_KEY.code();
                            let api = ApiVersion { api_key, min_version: 0, max_version: 0 };
                            ApiVersionsResponse { api_keys: vec![api], ..Default::default() }
                                .write(&mut writer, i16::from_be_bytes([frame[2], frame[3]]))
                                .unwrap();
                        } else {
                            let Some(answer) = answer else { continue };
                            writer.uvarint(0);
                            let (producer_id_start, error_code) = match answer {
                                Ok(start) => (start, 0),
                                Err(error) => (-1, error.code()),
                            };
                            AllocateProducerIdsResponse {
                                producer_id_start,
                                error_code,
                                ..Default::default()
                            }
                            .write(&mut writer, 0)
                            .unwrap();
                        }
                        writer.set_i32(0, (writer.position() - 4) as i32);
                        stream.write_all(&writer.into_bytes()).await.unwrap();
                    }
                });
            }
        });
        ("127.0.0.1".to_owned(), port)
    }

    fn leads(id: i32, endpoint: &Address) -> LeaderAndEpoch {
        LeaderAndEpoch { leader_id: Some(id), epoch: id, endpoint: Some(endpoint.clone()) }
    }

    #[tokio::test]
    async fn a_request_finds_the_controller_that_leads() {
        let paused = controller(None).await;
        let deposed = controller(Some(Err(ErrorCode::NotController))).await;
        let active = controller(Some(Ok(4000))).await;
        let (lead, leader) = watch::channel(LeaderAndEpoch::default());
        let channel = Arc::new(ControllerChannel::new(9, None, leader, PeerConfig::new("9")));
        let asking = tokio::spawn({
            let channel = Arc::clone(&channel);
            async move { channel.send(AllocateProducerIdsRequest::default()).await.unwrap().producer_id_start }
        });
        // Nobody leads, then one that does not answer, one that says that it does not lead, and one that does.
        for leader in [leads(1, &paused), leads(2, &deposed), leads(3, &active)] {
            tokio::time::sleep(Duration::from_millis(50)).await;
            lead.send_replace(leader);
        }
        assert_eq!(asking.await.unwrap(), 4000);
    }

    #[tokio::test]
    async fn a_request_that_nobody_answers_ends_in_time() {
        let (_lead, leader) = watch::channel(LeaderAndEpoch::default());
        let channel = ControllerChannel::new(9, None, leader, PeerConfig::new("9"));
        let request = AllocateProducerIdsRequest::default();
        let error = channel.send_within(request, Duration::from_millis(60)).await.err().unwrap();
        assert_eq!(
            error.to_string(),
            "no controller answered AllocateProducerIds within 60 ms: there is no known leader of the quorum"
        );
    }

    #[tokio::test]
    async fn an_error_that_is_the_callers_is_given_back() {
        let active = controller(Some(Err(ErrorCode::StaleBrokerEpoch))).await;
        let (_lead, leader) = watch::channel(leads(1, &active));
        let channel = ControllerChannel::new(9, None, leader, PeerConfig::new("9"));
        let answer = channel.send(AllocateProducerIdsRequest::default()).await.unwrap();
        assert_eq!(ErrorCode::from_code(answer.error_code), ErrorCode::StaleBrokerEpoch);
    }
}
