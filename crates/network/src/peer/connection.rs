//! One connection to a peer: requests go out behind each other, answers come back in their order.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use protocol::{ApiKey, Request, request_frame};
use socket2::SockRef;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::error::Versions;
use super::response::{PeerResponse, Spare, read_frame};
use super::{PeerConfig, PeerError};

/// Most answers fit; a larger one is read past it.
const READ_AHEAD: usize = 4 * 1024;

/// `UNSUPPORTED_VERSION`.
const UNSUPPORTED_VERSION: i16 = 35;

/// What waits for its answer.
struct Waiting {
    correlation_id: i32,
    answer: oneshot::Sender<Result<Vec<u8>, PeerError>>,
}

/// The requests on their way, in order.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Set once: nothing is sent any more.
    lost: Option<PeerError>,
}

/// What the sending side shares with the task that reads.
struct Shared {
    address: Arc<str>,
    queue: Mutex<Queue>,
    lost: watch::Sender<bool>,
    spare: Arc<Spare>,
}

impl Shared {
    /// The connection is over: everybody who waits is told. Only the first reason counts.
    fn lose(&self, reason: &io::Error) {
        let error = self.disconnected(reason);
        let waiting = {
            let mut queue = self.queue.lock();
            queue.lost.get_or_insert_with(|| error.clone());
            std::mem::take(&mut queue.waiting)
        };
        for waiting in waiting {
            drop(waiting.answer.send(Err(error.clone())));
        }
        self.lost.send_replace(true);
    }

    fn disconnected(&self, reason: &io::Error) -> PeerError {
        PeerError::Disconnected { address: Arc::clone(&self.address), reason: Arc::from(describe(reason)) }
    }
}

struct Sending {
    stream: OwnedWriteHalf,
    next_correlation_id: i32,
    /// A request was begun and not written to its end: whoever sent it gave up in the middle.
    is_torn: bool,
}

/// A connection to a peer.
pub(super) struct Connection {
    shared: Arc<Shared>,
    client_id: String,
    sending: tokio::sync::Mutex<Sending>,
    reading: JoinHandle<()>,
    versions: HashMap<ApiKey, (i16, i16)>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Connection {
    /// Connects, and asks which versions the peer speaks.
    pub(super) async fn open(address: &Arc<str>, config: &PeerConfig) -> Result<Connection, PeerError> {
        let failed = |kind: io::ErrorKind, reason: String| PeerError::Connect {
            address: Arc::clone(address),
            reason: Arc::from(reason),
            kind,
        };
        let silent = io::ErrorKind::TimedOut;
        let deadline = Instant::now() + config.connect_timeout;
        let stream = match tokio::time::timeout_at(deadline.into(), connect(address, config)).await {
            Ok(connected) => connected.map_err(|error| failed(error.kind(), describe(&error)))?,
            Err(_) => return Err(failed(silent, "no answer to the attempt to connect".to_owned())),
        };
        let (reader, writer) = stream.into_split();
        let shared = Arc::new(Shared {
            address: Arc::clone(address),
            queue: Mutex::default(),
            lost: watch::Sender::new(false),
            spare: Arc::default(),
        });
        let reading = tokio::spawn(read_answers(reader, Arc::clone(&shared)));
        let mut connection = Connection {
            shared,
            client_id: config.client_id.clone(),
            sending: tokio::sync::Mutex::new(Sending {
                stream: writer,
                next_correlation_id: 0,
                is_torn: false,
            }),
            reading,
            versions: HashMap::new(),
        };
        connection.versions = match connection.negotiate(deadline).await {
            Some(versions) => versions?,
            None => return Err(failed(silent, "it accepts connections and does not answer".to_owned())),
        };
        Ok(connection)
    }

    async fn negotiate(&self, deadline: Instant) -> Option<Result<HashMap<ApiKey, (i16, i16)>, PeerError>> {
        let request = ApiVersionsRequest {
            client_software_name: "milena".to_owned(),
            client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..ApiVersionsRequest::default()
        };
        let mut response = ApiVersionsResponse::default();
        for version in [4, 0] {
            let answered = match self.send(&request, version, deadline).await? {
                // A peer that does not know the version answers in version 0, which begins with the error.
                Ok(answer) if answer.begins_with(UNSUPPORTED_VERSION) => answer.in_version(0).read(),
                Ok(answer) => answer.read(),
                Err(error) => Err(error),
            };
            match answered {
                Ok(answer) => response = answer,
                Err(error) => return Some(Err(error)),
            }
            if response.error_code != UNSUPPORTED_VERSION {
                break;
            }
        }
        let known = |api: &protocol::messages::api_versions_response::ApiVersion| {
            Some((ApiKey::from_code(api.api_key)?, (api.min_version, api.max_version)))
        };
        Some(Ok(response.api_keys.iter().filter_map(known).collect()))
    }

    /// First and last version of an API that the peer serves.
    pub(super) fn served(&self, api: ApiKey) -> Option<(i16, i16)> {
        self.versions.get(&api).copied()
    }

    /// The highest version of an API that both sides speak, at most `limit`.
    pub(super) fn version(&self, api: ApiKey, limit: i16) -> Result<i16, PeerError> {
        let served = self.versions.get(&api).copied();
        let ours = api.versions();
        let (first, last) = (*ours.start(), limit.min(*ours.end()));
        let highest = served.and_then(|(their_first, their_last)| {
            let highest = their_last.min(last);
            (highest >= their_first.max(first)).then_some(highest)
        });
        highest.ok_or_else(|| PeerError::UnsupportedVersion {
            address: Arc::clone(&self.shared.address),
            api,
            served: Versions(served),
            spoken: Versions((first <= last).then_some((first, last))),
        })
    }

    /// Whether the peer went away, or answered something else than was asked.
    pub(super) fn is_lost(&self) -> bool {
        *self.shared.lost.borrow()
    }

    /// Returns when the connection is lost.
    pub(super) async fn lost(&self) {
        let mut lost = self.shared.lost.subscribe();
        // An error would say that the sender is gone, which `self` holds.
        drop(lost.wait_for(|lost| *lost).await);
    }

    /// Ends the connection.
    pub(super) fn end(&self) {
        self.shared.lose(&io::Error::new(io::ErrorKind::ConnectionAborted, "this side has ended it"));
        self.reading.abort();
    }

    /// Sends a request and waits for its answer. None: the deadline has passed, and with it this connection is over,
    /// because answers come in order.
    pub(super) async fn send<'q, Q: Request<'q>>(
        &self,
        request: &Q,
        version: i16,
        deadline: Instant,
    ) -> Option<Result<PeerResponse, PeerError>> {
        let exchange = async {
            let receiver = self.post(request, version).await?;
            let lost = || self.shared.disconnected(&io::ErrorKind::UnexpectedEof.into());
            let bytes = receiver.await.unwrap_or_else(|_| Err(lost()))?;
            let spare = Arc::clone(&self.shared.spare);
            PeerResponse::new(bytes, spare, Arc::clone(&self.shared.address), Q::API_KEY, version)
        };
        let answered = tokio::time::timeout_at(deadline.into(), exchange).await.ok();
        if answered.is_none() {
            self.shared.lose(&io::Error::new(io::ErrorKind::TimedOut, "a request was not answered in time"));
            self.reading.abort();
        }
        answered
    }

    async fn post<'q, Q: Request<'q>>(
        &self,
        request: &Q,
        version: i16,
    ) -> Result<oneshot::Receiver<Result<Vec<u8>, PeerError>>, PeerError> {
        let mut sending = self.sending.lock().await;
        let correlation_id = sending.next_correlation_id;
        sending.next_correlation_id = correlation_id.wrapping_add(1) & i32::MAX;
        let frame = self.frame(request, version, correlation_id)?;
        if sending.is_torn {
            let torn = io::Error::new(io::ErrorKind::ConnectionAborted, "a request was begun and given up");
            self.shared.lose(&torn);
        }
        let (answer, receiver) = oneshot::channel();
        {
            let mut queue = self.shared.queue.lock();
            if let Some(error) = &queue.lost {
                return Err(error.clone());
            }
            queue.waiting.push_back(Waiting { correlation_id, answer });
        }
        sending.is_torn = true;
        let written = sending.stream.write_all(&frame).await;
        sending.is_torn = false;
        if let Err(error) = written {
            self.shared.lose(&error);
            return Err(self.shared.disconnected(&error));
        }
        Ok(receiver)
    }

    fn frame<'q, Q: Request<'q>>(
        &self,
        request: &Q,
        version: i16,
        correlation_id: i32,
    ) -> Result<Vec<u8>, PeerError> {
        request_frame(request, version, correlation_id, &self.client_id).map_err(|error| PeerError::Request {
            address: Arc::clone(&self.shared.address),
            api: Q::API_KEY,
            error,
        })
    }
}

/// Connects to whichever of a host's addresses answers.
async fn connect(address: &str, config: &PeerConfig) -> io::Result<TcpStream> {
    let mut last_error = None;
    for address in tokio::net::lookup_host(address).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Ok(bytes @ 1..) = u32::try_from(config.send_buffer_bytes) {
            socket.set_send_buffer_size(bytes)?;
        }
        if let Ok(bytes @ 1..) = u32::try_from(config.receive_buffer_bytes) {
            socket.set_recv_buffer_size(bytes)?;
        }
        match socket.connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                SockRef::from(&stream).set_keepalive(true)?;
                return Ok(stream);
            }
            Err(error) => last_error = Some(error),
        }
    }
    Err(last_error.unwrap_or_else(|| io::Error::other("the host's name has no address")))
}

async fn read_answers(stream: OwnedReadHalf, shared: Arc<Shared>) {
    let mut stream = BufReader::with_capacity(READ_AHEAD, stream);
    let error = loop {
        let bytes = match read_frame(&mut stream, &shared.spare).await {
            Ok(bytes) => bytes,
            Err(error) => break error,
        };
        let correlation_id = bytes.first_chunk::<4>().map(|bytes| i32::from_be_bytes(*bytes));
        let next = shared.queue.lock().waiting.pop_front();
        match next {
            Some(next) if Some(next.correlation_id) == correlation_id => {
                drop(next.answer.send(Ok(bytes)));
            }
            next => {
                let error = io::Error::new(io::ErrorKind::InvalidData, "an answer to nothing that was asked");
                if let Some(next) = next {
                    drop(next.answer.send(Err(shared.disconnected(&error))));
                }
                break error;
            }
        }
    };
    shared.lose(&error);
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it was closed by the other side".to_owned(),
        _ => error.to_string(),
    }
}
