//! A connection to one broker: requests are pipelined, answers come back in their order.

mod answers;

use std::collections::{HashMap, VecDeque};
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::ErrorCode;
use protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use protocol::wire::Splice;
use protocol::{ApiKey, Message, Reader, Request, request_frame_in_parts};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;

use crate::{ClientConfig, ClientError};

/// Longer than any `socket.connection.setup.timeout.ms` that makes sense.
const CONNECT_LIMIT: Duration = Duration::from_secs(3600);

/// An answer as it came: the body of its message begins behind the header.
pub(crate) struct Frame {
    bytes: Bytes,
    body: usize,
    api: ApiKey,
    version: i16,
    address: Arc<str>,
}

impl Frame {
    /// The whole frame: slices of a message that borrows can be taken out of it without a copy.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The version that the answer is in, which is the request's.
    pub(crate) fn version(&self) -> i16 {
        self.version
    }

    /// The message in it. What it borrows, it borrows from the frame.
    pub(crate) fn read<'a, M: Message<'a>>(&'a self) -> Result<M, ClientError> {
        M::read(&mut Reader::new(&self.bytes[self.body..]), self.version)
            .map_err(|error| ClientError::Answer { address: self.address.to_string(), api: self.api, error })
    }
}

/// What waits for its answer.
struct Waiting {
    correlation_id: i32,
    answer: oneshot::Sender<Result<Bytes, ClientError>>,
}

struct Sending {
    stream: OwnedWriteHalf,
    /// A request was begun and not written to its end: whoever sent it gave up in the middle.
    is_torn: bool,
}

/// What those who send share with the task that reads.
struct Shared {
    address: Arc<str>,
    lost: AtomicBool,
    next_correlation_id: AtomicI32,
    /// Who sends, queues; who reads, takes from the front.
    waiting: std::sync::Mutex<VecDeque<Waiting>>,
    sending: Mutex<Sending>,
}

/// A connection to a broker.
pub(crate) struct Connection {
    shared: Arc<Shared>,
    client_id: String,
    request_timeout: Duration,
    reading: JoinHandle<()>,
    versions: HashMap<ApiKey, (i16, i16)>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reading.abort();
        // Nobody else would tell those who still wait.
        self.shared.end(&std::io::ErrorKind::UnexpectedEof.into());
    }
}

impl Shared {
    /// No answer comes any more.
    fn end(&self, error: &std::io::Error) {
        self.lost.store(true, Ordering::Relaxed);
        for left in lock(&self.waiting).drain(..) {
            drop(left.answer.send(Err(ClientError::connection(&self.address, error))));
        }
    }
}

impl Connection {
    /// Connects, and asks which versions the broker speaks.
    pub(crate) async fn open(address: &str, config: &ClientConfig) -> Result<Connection, ClientError> {
        Connection::open_within(address, config, config.connect_timeout).await
    }

    /// The same, where each of the two may take so long.
    pub(crate) async fn open_within(
        address: &str,
        config: &ClientConfig,
        setup_timeout: Duration,
    ) -> Result<Connection, ClientError> {
        let failed = |error: &std::io::Error| ClientError::connection(address, error);
        let stream = match tokio::time::timeout(setup_timeout, connect(address, config)).await {
            Ok(connected) => connected.map_err(|error| failed(&error))?,
            Err(_) => return Err(failed(&std::io::ErrorKind::TimedOut.into())),
        };
        stream.set_nodelay(true).map_err(|error| failed(&error))?;
        let (reader, writer) = stream.into_split();
        let shared = Arc::new(Shared {
            address: Arc::from(address),
            lost: AtomicBool::new(false),
            next_correlation_id: AtomicI32::new(0),
            waiting: std::sync::Mutex::default(),
            sending: Mutex::new(Sending { stream: writer, is_torn: false }),
        });
        let reading = tokio::spawn(answers::read(reader, Arc::clone(&shared), config.connections_max_idle));
        let mut connection = Connection {
            shared,
            client_id: config.client_id.clone(),
            request_timeout: config.request_timeout,
            reading,
            versions: HashMap::new(),
        };
        // Something that accepts connections and never answers is not a broker: that is known sooner than a slow answer.
        connection.versions = match tokio::time::timeout(setup_timeout, connection.negotiate()).await {
            Ok(versions) => versions?,
            Err(_) => {
                return Err(ClientError::Connection {
                    address: connection.shared.address.to_string(),
                    reason: "it accepts connections and does not answer; is this a PLAINTEXT listener of a broker?"
                        .to_owned(),
                });
            }
        };
        Ok(connection)
    }

    /// Where the broker is, as it was connected to.
    #[cfg(test)]
    pub(crate) fn address(&self) -> &str {
        &self.shared.address
    }

    /// Whether the broker went away.
    pub(crate) fn is_lost(&self) -> bool {
        self.shared.lost.load(Ordering::Relaxed)
    }

    async fn negotiate(&self) -> Result<HashMap<ApiKey, (i16, i16)>, ClientError> {
        let request = ApiVersionsRequest {
            client_software_name: "milena".to_owned(),
            client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..ApiVersionsRequest::default()
        };
        let mut response = ApiVersionsResponse::default();
        for version in [4, 0] {
            let mut pending = self.post(&request, version).await?;
            // The whole greeting has a limit of its own.
            pending.timeout = CONNECT_LIMIT;
            let mut frame = pending.answer().await?;
            // A broker that does not know the version answers in version 0, which begins with the error.
            if frame.bytes.get(frame.body..frame.body + 2)
                == Some(&ErrorCode::UnsupportedVersion.code().to_be_bytes()[..])
            {
                frame.version = 0;
            }
            response = frame.read()?;
            if ErrorCode::from_code(response.error_code) != ErrorCode::UnsupportedVersion {
                break;
            }
        }
        ClientError::check(response.error_code, None)?;
        let known = |api: &protocol::messages::api_versions_response::ApiVersion| {
            Some((ApiKey::from_code(api.api_key)?, (api.min_version, api.max_version)))
        };
        Ok(response.api_keys.iter().filter_map(known).collect())
    }

    /// The highest version of an API that both sides speak, at most `limit`.
    pub(crate) fn version(&self, api: ApiKey, limit: i16) -> Result<i16, ClientError> {
        let unsupported = |detail: String| ClientError::UnsupportedApi {
            address: self.shared.address.to_string(),
            api,
            detail,
        };
        let (first, last) = *self.versions.get(&api).ok_or_else(|| unsupported(String::new()))?;
        let ours = api.versions();
        let highest = last.min(*ours.end()).min(limit);
        if highest < first.max(*ours.start()) {
            return Err(unsupported(format!(
                " in versions {} to {}, only {first} to {last}",
                ours.start(),
                ours.end()
            )));
        }
        Ok(highest)
    }

    /// Sends a request in the highest version that both sides speak, and waits for the answer.
    pub(crate) async fn call<'q, Q, A>(&self, request: &Q) -> Result<A, ClientError>
    where
        Q: Request<'q>,
        A: for<'a> Message<'a>,
    {
        self.send(request).await?.read()
    }

    /// The same, for answers that borrow from their frame.
    pub(crate) async fn send<'q, Q: Request<'q>>(&self, request: &Q) -> Result<Frame, ClientError> {
        let version = self.version(Q::API_KEY, i16::MAX)?;
        self.send_in_version(request, version).await
    }

    /// The same in a version that the caller chose.
    pub(crate) async fn send_in_version<'q, Q: Request<'q>>(
        &self,
        request: &Q,
        version: i16,
    ) -> Result<Frame, ClientError> {
        self.post(request, version).await?.answer().await
    }

    /// The same, for an answer that may take longer than others.
    pub(crate) async fn send_within<'q, Q: Request<'q>>(
        &self,
        request: &Q,
        version: i16,
        timeout: Duration,
    ) -> Result<Frame, ClientError> {
        let mut pending = self.post(request, version).await?;
        pending.timeout = timeout;
        pending.answer().await
    }

    /// `request.timeout.ms`.
    pub(crate) fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// Sends a request that has no answer (`acks=0`); `records` as in [`Connection::post_with_records`].
    pub(crate) async fn send_without_answer<'q, Q: Request<'q>>(
        &self,
        request: &Q,
        version: i16,
        records: &[&[u8]],
    ) -> Result<(), ClientError> {
        let correlation_id = self.shared.next_correlation_id.fetch_add(1, Ordering::Relaxed);
        let frame = self.frame(request, version, correlation_id)?;
        let mut sending = self.shared.sending.lock().await;
        self.write(&mut sending, &frame, records).await
    }

    /// Sends a request; its answer can be waited for while more are sent.
    pub(crate) async fn post<'q, Q: Request<'q>>(
        &self,
        request: &Q,
        version: i16,
    ) -> Result<Pending, ClientError> {
        self.post_with_records(request, version, &[]).await
    }

    /// The same for a request with records from elsewhere: `records` holds them in the order in which the request names
    /// their lengths. They go to the socket from where they are.
    pub(crate) async fn post_with_records<'q, Q: Request<'q>>(
        &self,
        request: &Q,
        version: i16,
        records: &[&[u8]],
    ) -> Result<Pending, ClientError> {
        let mut sending = self.shared.sending.lock().await;
        let correlation_id = self.shared.next_correlation_id.fetch_add(1, Ordering::Relaxed);
        let frame = self.frame(request, version, correlation_id)?;
        let (answer, receiver) = oneshot::channel();
        lock(&self.shared.waiting).push_back(Waiting { correlation_id, answer });
        if self.is_lost() {
            return Err(closed(&self.shared.address));
        }
        self.write(&mut sending, &frame, records).await?;
        Ok(Pending {
            receiver,
            shared: Arc::clone(&self.shared),
            api: Q::API_KEY,
            version,
            sent: Instant::now(),
            timeout: self.request_timeout,
        })
    }

    async fn write(
        &self,
        sending: &mut Sending,
        frame: &(Vec<u8>, Vec<Splice>),
        records: &[&[u8]],
    ) -> Result<(), ClientError> {
        if sending.is_torn {
            self.shared.lost.store(true, Ordering::Relaxed);
            return Err(closed(&self.shared.address));
        }
        sending.is_torn = true;
        let written = write_frame(&mut sending.stream, frame, records).await;
        sending.is_torn = false;
        written.map_err(|error| {
            self.shared.lost.store(true, Ordering::Relaxed);
            ClientError::connection(&self.shared.address, &error)
        })
    }

    fn frame<'q, Q: Request<'q>>(
        &self,
        request: &Q,
        version: i16,
        correlation_id: i32,
    ) -> Result<(Vec<u8>, Vec<Splice>), ClientError> {
        request_frame_in_parts(request, version, correlation_id, &self.client_id)
            .map_err(|error| ClientError::Request { api: Q::API_KEY, error })
    }
}

/// Writes a frame with the records that belong into it.
async fn write_frame(
    stream: &mut OwnedWriteHalf,
    (bytes, splices): &(Vec<u8>, Vec<Splice>),
    records: &[&[u8]],
) -> std::io::Result<()> {
    assert!(
        splices.iter().map(|splice| splice.length).eq(records.iter().map(|records| records.len())),
        "Invariant: the request names the length of all records that it comes with"
    );
    if splices.is_empty() {
        return stream.write_all(bytes).await;
    }
    let mut pieces = Vec::with_capacity(2 * splices.len() + 1);
    let mut at = 0;
    for (splice, records) in splices.iter().zip(records) {
        pieces.push(IoSlice::new(&bytes[at..splice.position]));
        pieces.push(IoSlice::new(records));
        at = splice.position;
    }
    pieces.push(IoSlice::new(&bytes[at..]));
    let mut left = &mut pieces[..];
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match stream.write_vectored(left).await? {
            0 => return Err(std::io::ErrorKind::WriteZero.into()),
            written => IoSlice::advance_slices(&mut left, written),
        }
    }
    Ok(())
}

/// A request that was sent.
pub(crate) struct Pending {
    receiver: oneshot::Receiver<Result<Bytes, ClientError>>,
    shared: Arc<Shared>,
    api: ApiKey,
    version: i16,
    sent: Instant,
    timeout: Duration,
}

impl Pending {
    /// The answer. May be dropped and called again.
    pub(crate) async fn answer(&mut self) -> Result<Frame, ClientError> {
        let deadline = self.sent + self.timeout;
        let bytes = match tokio::time::timeout_at(deadline.into(), &mut self.receiver).await {
            Ok(answered) => answered.unwrap_or_else(|_| Err(closed(&self.shared.address)))?,
            Err(_) => {
                // Answers come in order: behind one that is missing, none can be trusted to come.
                self.shared.lost.store(true, Ordering::Relaxed);
                return Err(ClientError::Timeout {
                    address: self.shared.address.to_string(),
                    api: self.api,
                    timeout_ms: self.timeout.as_millis() as u64,
                });
            }
        };
        let mut reader = Reader::new(&bytes);
        let read = (|| {
            reader.i32()?;
            if self.api.response_header_version(self.version) > 0 {
                reader.tagged_fields(|_, _| Ok(false))?;
            }
            Ok(bytes.len() - reader.remaining().len())
        })();
        let body = read.map_err(|error| ClientError::Answer {
            address: self.shared.address.to_string(),
            api: self.api,
            error,
        })?;
        Ok(Frame {
            bytes,
            body,
            api: self.api,
            version: self.version,
            address: Arc::clone(&self.shared.address),
        })
    }
}

fn closed(address: &str) -> ClientError {
    ClientError::connection(address, &std::io::ErrorKind::UnexpectedEof.into())
}

/// Connects to whichever of a host's addresses answers (`client.dns.lookup=use_all_dns_ips`).
async fn connect(address: &str, config: &ClientConfig) -> std::io::Result<TcpStream> {
    let mut last_error = None;
    for address in tokio::net::lookup_host(address).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(bytes) = config.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        if let Some(bytes) = config.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last_error = Some(error),
        }
    }
    Err(last_error.unwrap_or_else(|| std::io::Error::other("the host's name has no address")))
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use protocol::messages::MetadataRequest;

    use super::*;
    use crate::fake_broker::{FakeBroker, Fault};

    #[tokio::test]
    async fn who_waits_is_told_when_the_connection_is_given_up() {
        let broker = FakeBroker::start(1).await;
        broker.state().metadata_faults.push_back(Fault::Hang);
        let connection = Connection::open(&broker.address(), &ClientConfig::new("")).await.unwrap();
        let version = connection.version(ApiKey::Metadata, i16::MAX).unwrap();
        let mut pending = connection.post(&MetadataRequest::default(), version).await.unwrap();
        drop(connection);
        let answer = tokio::time::timeout(Duration::from_secs(10), pending.answer()).await.unwrap();
        assert!(matches!(answer, Err(ClientError::Connection { .. })));
    }
}
