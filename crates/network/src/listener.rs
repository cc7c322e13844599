//! A listener: accepts connections, keeps count of them, ends those that are idle.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::connection::{self, Activity, ConnectionError, ConnectionInfo, Limits, Service};
use crate::memory::RequestMemory;
use crate::quota::ConnectionQuota;

/// What a listener needs to know.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// The name in `listeners`, such as `PLAINTEXT`.
    pub name: Arc<str>,
    /// `socket.listen.backlog.size`.
    pub backlog: i32,
    /// `socket.send.buffer.bytes`; -1 leaves it to the system.
    pub send_buffer_bytes: i32,
    /// `socket.receive.buffer.bytes`; -1 leaves it to the system.
    pub receive_buffer_bytes: i32,
    /// `socket.request.max.bytes`.
    pub max_request_bytes: usize,
    /// What requests may hold before they are served.
    pub request_memory: Arc<RequestMemory>,
    /// `connections.max.idle.ms`; 0 or less never ends a connection.
    pub max_idle_ms: i64,
    /// Where a connection's descriptor is not below this, it is refused. The numbers behind are left for files: a log that cannot be opened
    /// takes its log directory offline, and perhaps the broker with it.
    ///
    /// Divergence: Kafka accepts connections until there is no descriptor left, for its logs either.
    pub descriptors: RawFd,
}

/// A bound socket that does not accept yet.
pub struct Listener {
    listener: std::net::TcpListener,
    config: ListenerConfig,
}

/// A listener that accepts connections until it is stopped.
pub struct RunningListener {
    accepting: JoinHandle<()>,
    sweeping: JoinHandle<()>,
    connections: Arc<Connections>,
}

/// The connections of a listener, so that others than their own tasks can end them.
struct Connections {
    started: Instant,
    open: Mutex<HashMap<usize, OpenConnection>>,
}

struct OpenConnection {
    /// A second descriptor of the socket would cost one per connection; the task's own is borrowed by number instead
    /// and taken out of this list before it is closed.
    descriptor: RawFd,
    activity: Arc<Activity>,
}

impl Listener {
    /// Binds a socket.
    pub fn bind(address: SocketAddr, config: ListenerConfig) -> io::Result<Listener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() && address.ip().is_unspecified() {
            // One socket for both families, as Java has it.
            socket.set_only_v6(false)?;
        }
        if config.receive_buffer_bytes > 0 {
            // Before listening: connections take the window of the listening socket.
            socket.set_recv_buffer_size(config.receive_buffer_bytes as usize)?;
        }
        // Here and not at each connection, which has them from its listener.
        socket.set_tcp_nodelay(true)?;
        socket.set_keepalive(true)?;
        if config.send_buffer_bytes > 0 {
            socket.set_send_buffer_size(config.send_buffer_bytes as usize)?;
        }
        socket.bind(&address.into())?;
        socket.listen(config.backlog)?;
        socket.set_nonblocking(true)?;
        Ok(Listener { listener: socket.into(), config })
    }

    /// The address that was bound; its port is known even where port 0 was asked for.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Begins to accept connections, each served in a task of its own. Needs a runtime.
    pub fn serve<S: Service>(self, service: S, quota: Arc<ConnectionQuota>) -> io::Result<RunningListener> {
        let listener = TcpListener::from_std(self.listener)?;
        let connections = Arc::new(Connections { started: Instant::now(), open: Mutex::default() });
        let config = Arc::new(self.config);
        let sweeping = tokio::spawn(sweep(Arc::clone(&connections), config.max_idle_ms));
        let accepting = {
            let connections = Arc::clone(&connections);
            let service = Arc::new(service);
            let bound = listener.local_addr().ok();
            tokio::spawn(async move {
                loop {
                    let accepted = listener.accept().await.and_then(|(stream, peer)| {
                        // The system gives out the lowest number that is free.
                        match stream.as_raw_fd() < config.descriptors {
                            true => Ok((stream, peer)),
                            false => Err(io::Error::other(
                                "few descriptors are left, for files: raise the limit of open files",
                            )),
                        }
                    });
                    match accepted {
                        Ok((stream, peer)) => {
                            let accepted =
                                Accepted { stream, peer, bound, config: &config, connections: &connections };
                            accepted.start(&service, &quota);
                        }
                        Err(error) => {
                            // Out of descriptors, most likely. Without a pause this loop would burn a core.
                            tracing::warn!(listener = %config.name, %error, "a connection cannot be accepted");
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                    }
                }
            })
        };
        Ok(RunningListener { accepting, sweeping, connections })
    }
}

struct Accepted<'a> {
    stream: TcpStream,
    peer: SocketAddr,
    /// The listener's address, if it is known.
    bound: Option<SocketAddr>,
    config: &'a Arc<ListenerConfig>,
    connections: &'a Arc<Connections>,
}

impl Accepted<'_> {
    fn start<S: Service>(self, service: &Arc<S>, quota: &Arc<ConnectionQuota>) {
        let Accepted { stream, peer, bound, config, connections } = self;
        let permit = match quota.admit(peer.ip()) {
            Ok(permit) => permit,
            Err(reason) => {
                tracing::info!(listener = %config.name, %peer, "connection closed: {reason}");
                return;
            }
        };
        // Where the listener is bound to one address, that is it.
        let local = match bound.filter(|address| !address.ip().is_unspecified()) {
            Some(address) => Ok(address),
            None => stream.local_addr(),
        };
        let local = match local {
            Ok(local) => local,
            Err(error) => {
                tracing::debug!(listener = %config.name, %peer, %error, "the client was gone before it was served");
                return;
            }
        };
        let service = service.connect(ConnectionInfo { listener: Arc::clone(&config.name), peer, local });
        let config = Arc::clone(config);
        let connections = Arc::clone(connections);
        tokio::spawn(async move {
            // Declared before its entry in the list, so that it is closed after the entry is gone, even in a panic.
            let mut stream = stream;
            let entry = connections.add(&stream);
            let clock = || connections.now();
            let limits = Limits::new(config.max_request_bytes, &config.request_memory);
            let result = connection::run(&mut stream, service, limits, &entry.activity, clock).await;
            drop(entry);
            drop(permit);
            match result {
                Ok(()) => {}
                Err(ConnectionError::Io(error)) => {
                    tracing::debug!(listener = %config.name, %peer, %error, "connection lost");
                }
                Err(error) => tracing::warn!(listener = %config.name, %peer, "connection closed: {error}"),
            }
        });
    }
}

/// A connection's place in the list.
struct Entry {
    connections: Arc<Connections>,
    activity: Arc<Activity>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections.open.lock().remove(&key(&self.activity));
    }
}

/// A number that no other open connection has: where its activity lies in memory.
fn key(activity: &Arc<Activity>) -> usize {
    Arc::as_ptr(activity) as usize
}

impl Connections {
    fn now(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    fn add(self: &Arc<Self>, stream: &TcpStream) -> Entry {
        let activity = Arc::new(Activity::default());
        activity.touch(self.now());
        let connection = OpenConnection { descriptor: stream.as_raw_fd(), activity: Arc::clone(&activity) };
        self.open.lock().insert(key(&activity), connection);
        Entry { connections: Arc::clone(self), activity }
    }

    /// Ends the connections that `which` names: their tasks see the end of the stream.
    fn shut(&self, which: impl Fn(&Activity) -> bool) -> usize {
        let open = self.open.lock();
        let mut count = 0;
        for connection in open.values().filter(|connection| which(&connection.activity)) {
            // SAFETY: the task closes its descriptor only after it took the connection out of this list, which is locked.
            let socket = unsafe { BorrowedFd::borrow_raw(connection.descriptor) };
            if rustix::net::shutdown(socket, rustix::net::Shutdown::Both).is_ok() {
                count += 1;
            }
        }
        count
    }
}

async fn sweep(connections: Arc<Connections>, max_idle_ms: i64) {
    let Ok(max_idle @ 1..) = u64::try_from(max_idle_ms) else { return };
    loop {
        tokio::time::sleep(Duration::from_millis((max_idle / 10).clamp(100, 30_000))).await;
        let now = connections.now();
        let ended = connections.shut(|activity| now.saturating_sub(activity.last()) > max_idle);
        if ended > 0 {
            tracing::debug!(ended, "idle connections ended");
        }
    }
}

impl RunningListener {
    /// Accepts no more connections; those that are open stay.
    pub fn stop_accepting(&self) {
        self.accepting.abort();
    }

    /// Ends everything.
    pub fn stop(self) {
        self.accepting.abort();
        self.sweeping.abort();
        self.connections.shut(|_| true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;

    #[test]
    fn connections_have_the_options_of_their_listener() {
        let config = ListenerConfig {
            name: Arc::from("TEST"),
            backlog: 1,
            send_buffer_bytes: 50_000,
            receive_buffer_bytes: 60_000,
            max_request_bytes: 0,
            request_memory: RequestMemory::new(-1),
            max_idle_ms: 0,
            descriptors: RawFd::MAX,
        };
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), config).unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.listener.set_nonblocking(false).unwrap();
        let (accepted, _) = listener.listener.accept().unwrap();
        let accepted = SockRef::from(&accepted);
        assert!(accepted.tcp_nodelay().unwrap() && accepted.keepalive().unwrap());
        // The kernel doubles what it is asked for.
        assert_eq!(accepted.send_buffer_size().unwrap(), 100_000);
        assert_eq!(accepted.recv_buffer_size().unwrap(), 120_000);
    }
}
