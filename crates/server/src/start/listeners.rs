//! Where a node listens, and where others reach it.

use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::RawFd;
use std::sync::Arc;

use config::{BrokerConfig, EndPoint};
use network::{ConnectionLimits, Listener, ListenerConfig, RequestMemory};
use protocol::messages::broker_registration_request::Listener as RegisteredListener;
use rustix::process::{Resource, getrlimit};

use crate::error::ServerError;

pub(super) fn bind(config: &BrokerConfig) -> Result<Vec<(EndPoint, Listener, SocketAddr)>, ServerError> {
    let network = &config.network;
    // Divergence: Kafka's default of 102,400 bytes is a fixed window, which halves what one connection can bring in large
    // batches and doubles its CPU. Where nobody set the key the system sizes the buffers, as it does for -1.
    let buffer_bytes = |key, value| if config.is_set(key) { value } else { -1 };
    let request_memory = RequestMemory::new(network.queued_max_request_bytes);
    let mut bound = Vec::new();
    for endpoint in &config.listeners {
        let failed = |error: std::io::Error| ServerError::Bind {
            listener: endpoint.listener_name.clone(),
            address: format!("{}:{}", endpoint.host, endpoint.port),
            hint: match error.kind() {
                std::io::ErrorKind::AddrInUse => {
                    "; another process listens there: stop it, or set another port in listeners"
                }
                std::io::ErrorKind::PermissionDenied => {
                    "; ports below 1024 need rights that this process does not have"
                }
                std::io::ErrorKind::AddrNotAvailable => {
                    "; this machine does not have that address: correct listeners"
                }
                _ => "",
            },
            error,
        };
        let listener_config = ListenerConfig {
            name: Arc::from(endpoint.listener_name.as_str()),
            backlog: network.socket_listen_backlog_size,
            send_buffer_bytes: buffer_bytes("socket.send.buffer.bytes", network.socket_send_buffer_bytes),
            receive_buffer_bytes: buffer_bytes(
                "socket.receive.buffer.bytes",
                network.socket_receive_buffer_bytes,
            ),
            max_request_bytes: usize::try_from(network.socket_request_max_bytes).unwrap_or(0),
            request_memory: Arc::clone(&request_memory),
            max_idle_ms: network.connections_max_idle_ms,
            descriptors: descriptors_for_connections(),
        };
        let listener = match endpoint.host.as_str() {
            // All interfaces: both families where the machine has IPv6.
            "" => Listener::bind(SocketAddr::from(([0u16; 8], endpoint.port)), listener_config.clone())
                .or_else(|error| match error.kind() {
                    std::io::ErrorKind::AddrInUse | std::io::ErrorKind::PermissionDenied => Err(error),
                    _ => Listener::bind(SocketAddr::from(([0u8; 4], endpoint.port)), listener_config),
                })
                .map_err(failed)?,
            host => {
                let mut addresses = (host, endpoint.port).to_socket_addrs().map_err(failed)?;
                let none = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
                let address = addresses.next().ok_or(none).map_err(failed)?;
                Listener::bind(address, listener_config).map_err(failed)?
            }
        };
        let address = listener.local_addr().map_err(failed)?;
        bound.push((endpoint.clone(), listener, address));
    }
    Ok(bound)
}

/// All but an eighth of what the process may have.
fn descriptors_for_connections() -> RawFd {
    match getrlimit(Resource::Nofile).current {
        Some(limit) => RawFd::try_from(limit - limit / 8).unwrap_or(RawFd::MAX),
        None => RawFd::MAX,
    }
}

/// Where others reach a listener: as advertised, with the port that the system chose where none was said.
pub(super) fn advertised<'a>(
    endpoints: &'a [EndPoint],
    addresses: &'a [(String, SocketAddr)],
) -> impl Iterator<Item = (&'a EndPoint, u16)> {
    endpoints.iter().map(|endpoint| {
        let bound = addresses.iter().find(|(name, _)| *name == endpoint.listener_name);
        let port = match endpoint.port {
            0 => bound.map_or(0, |(_, address)| address.port()),
            port => port,
        };
        (endpoint, port)
    })
}

pub(super) fn registered_listeners(
    endpoints: &[EndPoint],
    addresses: &[(String, SocketAddr)],
) -> Vec<RegisteredListener> {
    advertised(endpoints, addresses)
        .map(|(endpoint, port)| RegisteredListener {
            name: endpoint.listener_name.clone(),
            host: endpoint.host.clone(),
            port,
            security_protocol: endpoint.security_protocol.code(),
        })
        .collect()
}

/// How many connections the configuration allows.
pub(crate) fn connection_limits(config: &BrokerConfig) -> ConnectionLimits {
    let network = &config.network;
    let limit = |value: i32| usize::try_from(value).unwrap_or(usize::MAX);
    let overrides = config.value("max.connections.per.ip.overrides").to_text().unwrap_or_default();
    let per_ip_overrides = overrides
        .split(',')
        .filter_map(|entry| entry.trim().rsplit_once(':'))
        .flat_map(|(host, count)| {
            let addresses =
                (host, 0u16).to_socket_addrs().map(Iterator::collect::<Vec<_>>).unwrap_or_default();
            let count = count.trim().parse().ok();
            addresses.into_iter().filter_map(move |address| Some((address.ip(), count?)))
        })
        .collect();
    ConnectionLimits {
        total: limit(network.max_connections),
        per_ip: limit(network.max_connections_per_ip),
        per_ip_overrides,
    }
}
