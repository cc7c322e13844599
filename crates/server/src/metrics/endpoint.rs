//! The listener for `GET /metrics`.

use std::convert::Infallible;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use config::{BrokerConfig, HostPort};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::Sources;
use crate::error::ServerError;

/// OpenMetrics; whoever reads Prometheus' older text reads it, too.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// So many connections are served at a time; the next ones are closed.
const MAX_CONNECTIONS: usize = 32;
/// How long a client may take for the head of its request, and for one request after the other.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause after a connection could not be accepted.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// An endpoint that answers until it is stopped.
pub(crate) struct RunningEndpoint {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl RunningEndpoint {
    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for RunningEndpoint {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Binds where `milena.metrics.listener` says, if it says so.
pub(crate) fn bind(config: &BrokerConfig) -> Result<Option<std::net::TcpListener>, ServerError> {
    let Some(at) = &config.metrics_listener else { return Ok(None) };
    let bound = address_of(at).and_then(|address| {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    match bound {
        Ok(listener) => Ok(Some(listener)),
        Err(error) => Err(ServerError::Bind {
            listener: config::METRICS_LISTENER.to_owned(),
            address: at.to_string(),
            hint: "",
            error,
        }),
    }
}

fn address_of(at: &HostPort) -> std::io::Result<SocketAddr> {
    let mut addresses = (at.host.as_str(), at.port).to_socket_addrs()?;
    addresses.next().ok_or_else(|| std::io::ErrorKind::AddrNotAvailable.into())
}

/// Answers on a bound listener. Needs a runtime.
pub(crate) fn serve(listener: std::net::TcpListener, sources: Sources) -> std::io::Result<RunningEndpoint> {
    let address = listener.local_addr()?;
    let listener = TcpListener::from_std(listener)?;
    Ok(RunningEndpoint { address, serving: tokio::spawn(accept(listener, Arc::new(sources))) })
}

async fn accept(listener: TcpListener, sources: Arc<Sources>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // Its connections end with the endpoint.
    let mut connections = JoinSet::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection to the metrics cannot be accepted");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let sources = Arc::clone(&sources);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&sources), request));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the metrics was lost");
            }
            drop(place);
        });
    }
}

async fn answer(
    sources: Arc<Sources>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::default());
    if request.uri().path() != "/metrics" {
        *response.status_mut() = StatusCode::NOT_FOUND;
        *response.body_mut() = Full::from("the metrics are at /metrics\n");
    } else if !matches!(*request.method(), Method::GET | Method::HEAD) {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
    } else {
        // Thousands of partitions are looked at: not on a thread that serves clients.
        match tokio::task::spawn_blocking(move || sources.text()).await {
            Ok(text) => {
                let content = hyper::header::HeaderValue::from_static(OPEN_METRICS);
                response.headers_mut().insert(CONTENT_TYPE, content);
                *response.body_mut() = Full::from(text);
            }
            Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
    Ok(response)
}
