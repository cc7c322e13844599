//! The node of the quorum, and its controller.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::Uuid;
use config::BrokerConfig;
use controller::{ControllerConfig, QuorumController};
use metadata::MetadataVersion;
use network::peer::PeerConfig;
use protocol::messages::ControllerRegistrationRequest;
use protocol::messages::controller_registration_request::{Feature, Listener};
use raft::RaftConfig;
use storage::checkpoint::MetaProperties;
use tokio::time::{sleep, timeout};

use super::listeners::advertised;
use crate::controller_channel::ControllerChannel;
use crate::controller_server::ControllerServer;
use crate::error::ServerError;

/// The pause between attempts to register a controller.
const REGISTRATION_PAUSE: Duration = Duration::from_secs(1);

/// How other nodes are reached.
pub(crate) fn peer_config(config: &BrokerConfig) -> PeerConfig {
    let ms = |key: &str| config.value(key).to_text().and_then(|text| text.parse().ok());
    let mut peer = PeerConfig::new(config.node_id.to_string());
    if let Some(timeout) = ms("socket.connection.setup.timeout.ms") {
        peer.connect_timeout = Duration::from_millis(timeout);
    }
    peer
}

/// How the other nodes of the quorum are reached: raft itself says when to try again.
pub(super) fn raft_peer_config(config: &BrokerConfig) -> PeerConfig {
    let backoff = Duration::from_millis(u64::try_from(config.quorum.retry_backoff_ms).unwrap_or(20).max(1));
    let mut peer = PeerConfig::new(format!("raft-client-{}", config.node_id));
    let timeout = u64::try_from(config.quorum.request_timeout_ms).unwrap_or(2_000).max(1);
    peer.connect_timeout = Duration::from_millis(timeout);
    peer.reconnect_backoff = backoff;
    peer.reconnect_backoff_max = backoff;
    peer
}

/// The node of the quorum that this configuration describes.
pub(super) fn raft_config(
    config: &BrokerConfig,
    meta: &MetaProperties,
    addresses: &[(String, SocketAddr)],
) -> RaftConfig {
    let directory_id = meta.directory_id.unwrap_or(Uuid::ZERO);
    let mut raft = RaftConfig::new(config.node_id, directory_id, config.metadata_log_dir.clone());
    raft.cluster_id = meta.cluster_id.clone();
    raft.can_become_voter = config.process_roles.controller;
    raft.seed = Uuid::random().as_u128() as u64;
    if let Some(name) = config.controller_listener_names.first() {
        raft.listener_name = name.to_uppercase();
    }
    raft.bootstrap_servers =
        config.bootstrap_servers.iter().map(|server| (server.host.clone(), server.port)).collect();
    raft.static_voters = config
        .voters
        .iter()
        .filter_map(|voter| voter.endpoint.as_ref().map(|at| (voter.id, at.host.clone(), at.port)))
        .collect();
    raft.endpoints = advertised(&config.advertised_controller_listeners, addresses)
        .map(|(endpoint, port)| raft::Endpoint::new(&endpoint.listener_name, &endpoint.host, port))
        .collect();
    let quorum = &config.quorum;
    raft.quorum = raft::QuorumConfig {
        election_timeout_ms: i64::from(quorum.election_timeout_ms),
        fetch_timeout_ms: i64::from(quorum.fetch_timeout_ms),
        election_backoff_max_ms: i64::from(quorum.election_backoff_max_ms),
        request_timeout_ms: i64::from(quorum.request_timeout_ms),
        retry_backoff_ms: i64::from(quorum.retry_backoff_ms),
        fetch_max_bytes: quorum.fetch_max_bytes,
        fetch_snapshot_max_bytes: quorum.fetch_snapshot_max_bytes,
        auto_join: quorum.auto_join_enable,
    };
    let log = &config.metadata_log;
    raft.log.segment_bytes = log.internal_segment_bytes.unwrap_or(log.segment_bytes);
    raft.log.segment_ms = log.segment_ms;
    raft.log.retention_bytes = log.max_retention_bytes;
    raft.log.retention_ms = log.max_retention_ms;
    raft.max_bytes_between_snapshots = log.max_record_bytes_between_snapshots.max(0) as u64;
    raft.max_snapshot_interval_ms = log.max_snapshot_interval_ms;
    raft
}

/// The controller of a node in that role, which has read nothing yet.
pub(super) fn make_controller(
    config: &BrokerConfig,
    cluster_id: &str,
) -> Result<QuorumController, ServerError> {
    // Directories formatted before Kafka 4.4 have a file for it; for others raft finds it beside the log.
    let bootstrap = raft::format::read_bootstrap_metadata(&config.metadata_log_dir)
        .map_err(|error| ServerError::Format(error.to_string()))?;
    Ok(QuorumController::new(ControllerConfig::new(config.clone(), cluster_id, bootstrap)))
}

/// Keeps the active controller told of this one, as long as `metadata.version` has room for it
/// (`ControllerRegistrationManager`).
pub(super) struct ControllerRegistration {
    server: Arc<ControllerServer>,
    channel: ControllerChannel,
    request: ControllerRegistrationRequest,
}

impl ControllerRegistration {
    pub(super) fn new(
        server: Arc<ControllerServer>,
        channel: ControllerChannel,
        addresses: &[(String, SocketAddr)],
    ) -> ControllerRegistration {
        let config = server.settings.broker();
        let request = ControllerRegistrationRequest {
            controller_id: config.node_id,
            incarnation_id: Uuid::random(),
            zk_migration_ready: false,
            listeners: advertised(&config.advertised_controller_listeners, addresses)
                .map(|(endpoint, port)| Listener {
                    name: endpoint.listener_name.clone(),
                    host: endpoint.host.clone(),
                    port,
                    security_protocol: endpoint.security_protocol.code(),
                })
                .collect(),
            features: metadata::supported_features()
                .into_iter()
                .map(|(name, range)| Feature {
                    name,
                    min_supported_version: range.min,
                    max_supported_version: range.max,
                })
                .collect(),
        };
        ControllerRegistration { server, channel, request }
    }

    /// Whether the metadata knows of another incarnation or of none, and could know of this one.
    pub(super) fn is_due(&self) -> bool {
        let image = self.server.image.load();
        let known = image.cluster.controllers.get(&self.request.controller_id);
        image.features.metadata_version().is_some_and(MetadataVersion::is_controller_registration_supported)
            && known.is_none_or(|known| known.incarnation_id != self.request.incarnation_id)
    }

    /// Tells of this controller once.
    pub(super) async fn register(&self) -> Result<(), ServerError> {
        let refused = |reason: String| ServerError::Registration(format!("as controller: {reason}"));
        let answered = self.channel.send(self.request.clone()).await;
        let response = answered.map_err(|error| refused(error.to_string()))?;
        match common::ErrorCode::from_code(response.error_code) {
            common::ErrorCode::None => Ok(()),
            error => Err(refused(error.to_string())),
        }
    }

    /// Tells of this controller whenever that is due, also after an upgrade of `metadata.version`; while there is no leader there
    /// is nobody to tell.
    pub(super) async fn keep(self) {
        loop {
            if !self.is_due() {
                self.server.image_changed.notified().await;
                continue;
            }
            match self.register().await {
                // The metadata says so in a moment; if it does not, it is told again.
                Ok(()) => drop(timeout(REGISTRATION_PAUSE, self.server.image_changed.notified()).await),
                Err(error) => {
                    tracing::warn!("{error}; trying again");
                    sleep(REGISTRATION_PAUSE).await;
                }
            }
        }
    }
}
