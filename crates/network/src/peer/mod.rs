//! The client side of a connection to a peer node: another broker, or a controller.
//!
//! A [`Peer`] is one node at one address. Its connection is opened by the first request, and anew by the first request
//! after it was lost, with a growing pause between attempts that fail. Requests are pipelined. It knows the framing and
//! the headers, and negotiates versions by `ApiVersions`; what a message means is the caller's. Kafka's classes for this
//! are `NetworkClient`, `BrokerBlockingSender` and `InterBrokerSendThread`.

mod connection;
mod error;
mod response;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use protocol::{ApiKey, Request};

use connection::Connection;
pub use error::PeerError;
pub use response::PeerResponse;

/// How a peer is reached.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// What this side calls itself in the header of each request.
    pub client_id: String,
    /// How long an attempt to connect, the greeting included, may take.
    pub connect_timeout: Duration,
    /// The pause after the first attempt that failed; it doubles with each further one.
    pub reconnect_backoff: Duration,
    /// The longest pause.
    pub reconnect_backoff_max: Duration,
    /// The size of the socket's send buffer in bytes; -1 leaves it to the system.
    pub send_buffer_bytes: i32,
    /// The size of the socket's receive buffer in bytes; -1 leaves it to the system.
    pub receive_buffer_bytes: i32,
}

impl PeerConfig {
    /// The defaults, which suit peers of one cluster.
    pub fn new(client_id: impl Into<String>) -> PeerConfig {
        PeerConfig {
            client_id: client_id.into(),
            connect_timeout: Duration::from_secs(10),
            reconnect_backoff: Duration::from_millis(20),
            reconnect_backoff_max: Duration::from_secs(1),
            send_buffer_bytes: -1,
            receive_buffer_bytes: -1,
        }
    }
}

/// One node at one address.
pub struct Peer {
    address: Arc<str>,
    config: PeerConfig,
    /// The open connection; perhaps one that was lost meanwhile.
    current: Mutex<Option<Arc<Connection>>>,
    /// Held by whoever connects.
    attempts: tokio::sync::Mutex<Attempts>,
    /// How many attempts to connect have failed, ever: who waited for another's attempt sees that it was made.
    failed: Mutex<Failed>,
}

/// The attempts to connect since the last one that succeeded.
#[derive(Default)]
struct Attempts {
    failed: u32,
    not_before: Option<Instant>,
}

/// What became of the last attempt that failed.
#[derive(Default)]
struct Failed {
    count: u64,
    error: Option<PeerError>,
}

impl Peer {
    /// A peer. Nothing is opened yet.
    pub fn new(host: &str, port: u16, config: PeerConfig) -> Peer {
        let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        Peer {
            address: Arc::from(address),
            config,
            current: Mutex::default(),
            attempts: tokio::sync::Mutex::default(),
            failed: Mutex::default(),
        }
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sends a request in the highest version that both sides speak, and waits for the answer. `timeout` covers all of it:
    /// connecting where there is no connection, the request, and the answer.
    pub async fn send<'q, Q: Request<'q>>(
        &self,
        request: &Q,
        timeout: Duration,
    ) -> Result<PeerResponse, PeerError> {
        self.send_at_most(request, i16::MAX, timeout).await
    }

    /// The same in no version above `max_version`.
    pub async fn send_at_most<'q, Q: Request<'q>>(
        &self,
        request: &Q,
        max_version: i16,
        timeout: Duration,
    ) -> Result<PeerResponse, PeerError> {
        let deadline = Instant::now() + timeout;
        let timed_out = || self.timeout(Q::API_KEY, timeout);
        let connection = self.connection(deadline).await.ok_or_else(timed_out)??;
        let version = connection.version(Q::API_KEY, max_version)?;
        let answered = connection.send(request, version, deadline).await;
        answered.ok_or_else(timed_out)?
    }

    /// The version in which [`Peer::send_at_most`] would send now. Connects where there is no connection.
    pub async fn version(&self, api: ApiKey, max_version: i16, timeout: Duration) -> Result<i16, PeerError> {
        let connection = self.connection(Instant::now() + timeout).await;
        connection.ok_or_else(|| self.timeout(api, timeout))??.version(api, max_version)
    }

    /// First and last version of an API that the peer serves. None: there is no connection, or it does not serve it.
    pub fn served(&self, api: ApiKey) -> Option<(i16, i16)> {
        self.open()?.served(api)
    }

    /// Whether there is a connection that is not known to be lost.
    pub fn is_connected(&self) -> bool {
        self.open().is_some()
    }

    /// Returns when the connection that is open now ends; at once where none is.
    pub async fn disconnected(&self) {
        if let Some(connection) = self.open() {
            connection.lost().await;
        }
    }

    /// Ends the connection: whoever waits for an answer is told. The next request connects anew.
    pub fn disconnect(&self) {
        if let Some(connection) = self.current.lock().take() {
            connection.end();
        }
    }

    fn timeout(&self, api: ApiKey, timeout: Duration) -> PeerError {
        PeerError::Timeout { address: Arc::clone(&self.address), api, ms: timeout.as_millis() as u64 }
    }

    fn open(&self) -> Option<Arc<Connection>> {
        self.current.lock().as_ref().filter(|connection| !connection.is_lost()).cloned()
    }

    /// The open connection, or a new one. None: the deadline has passed.
    async fn connection(&self, deadline: Instant) -> Option<Result<Arc<Connection>, PeerError>> {
        if let Some(connection) = self.open() {
            return Some(Ok(connection));
        }
        tokio::time::timeout_at(deadline.into(), self.connect()).await.ok()
    }

    async fn connect(&self) -> Result<Arc<Connection>, PeerError> {
        let seen = self.failed.lock().count;
        let mut attempts = self.attempts.lock().await;
        // Others may have connected, or tried to, while this waited.
        if let Some(connection) = self.open() {
            return Ok(connection);
        }
        {
            let failed = self.failed.lock();
            if failed.count != seen
                && let Some(error) = &failed.error
            {
                return Err(error.clone());
            }
        }
        if let Some(not_before) = attempts.not_before {
            tokio::time::sleep_until(not_before.into()).await;
        }
        // Whoever gives up in the middle leaves the pause behind.
        attempts.not_before = Some(Instant::now() + self.backoff(attempts.failed));
        match Connection::open(&self.address, &self.config).await {
            Ok(connection) => {
                *attempts = Attempts::default();
                let connection = Arc::new(connection);
                *self.current.lock() = Some(Arc::clone(&connection));
                Ok(connection)
            }
            Err(error) => {
                attempts.not_before = Some(Instant::now() + self.backoff(attempts.failed));
                attempts.failed = attempts.failed.saturating_add(1);
                let mut failed = self.failed.lock();
                failed.count += 1;
                failed.error = Some(error.clone());
                Err(error)
            }
        }
    }

    fn backoff(&self, failed: u32) -> Duration {
        self.config
            .reconnect_backoff
            .saturating_mul(1 << failed.min(16))
            .min(self.config.reconnect_backoff_max)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.disconnect();
    }
}
