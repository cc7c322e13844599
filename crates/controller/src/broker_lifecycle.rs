//! Registration, heartbeats and removal of brokers (`ClusterControlManager.registerBroker`,
//! `ReplicationControlManager.processBrokerHeartbeat`).

use std::collections::BTreeSet;

use common::{ErrorCode, Uuid};
use metadata::{METADATA_VERSION_FEATURE, VersionRange, VersionedRecord};
use protocol::messages::broker_registration_request::Feature;
use protocol::messages::register_broker_record::{BrokerEndpoint, BrokerFeature};
use protocol::messages::{
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationRequest, BrokerRegistrationResponse,
    RegisterBrokerRecord, UnregisterBrokerRequest, UnregisterBrokerResponse,
};

use crate::api_error::ApiError;
use crate::heartbeat::BrokerControlState;
use crate::quorum_controller::QuorumController;
use crate::result::{ControllerRequestContext, ControllerResult};

impl QuorumController {
    /// Registers a broker's incarnation; its epoch is the offset at which the records begin.
    pub fn register_broker(
        &mut self,
        context: &ControllerRequestContext<'_>,
        request: &BrokerRegistrationRequest,
    ) -> ControllerResult<BrokerRegistrationResponse> {
        match self.try_register_broker(context, request) {
            Ok((records, broker_epoch)) => {
                let response = BrokerRegistrationResponse { broker_epoch, ..Default::default() };
                ControllerResult::of(records, response)
            }
            Err(error) => {
                tracing::warn!(broker_id = request.broker_id, %error, "refusing the registration of a broker");
                let response = BrokerRegistrationResponse { error_code: error.code(), ..Default::default() };
                ControllerResult::of(Vec::new(), response)
            }
        }
    }

    /// The process behind a broker's last registration is known to be gone: a new incarnation may register at once.
    ///
    /// Divergence: Kafka lets a new incarnation wait until the session of the old one has run out, 9 s by default. A
    /// combined node holds the lock on its broker's directories, so that no other process can be that broker.
    pub fn end_session(&mut self, broker_id: i32) {
        if let Some(heartbeats) = &mut self.heartbeats {
            heartbeats.end_session(broker_id);
        }
    }

    fn try_register_broker(
        &mut self,
        context: &ControllerRequestContext<'_>,
        request: &BrokerRegistrationRequest,
    ) -> Result<(Vec<VersionedRecord>, i64), ApiError> {
        let Some(heartbeats) = &mut self.heartbeats else {
            return Err(ApiError::standard(ErrorCode::NotController));
        };
        if self.config.cluster_id != request.cluster_id {
            let message = format!(
                "Expected cluster ID {}, but got cluster ID {}",
                self.config.cluster_id, request.cluster_id
            );
            return Err(ApiError::new(ErrorCode::InconsistentClusterId, message));
        }
        let broker_id = request.broker_id;
        let existing = self.state.cluster.broker(broker_id);
        let is_same_incarnation =
            existing.is_some_and(|existing| existing.incarnation_id == request.incarnation_id);
        if let Some(existing) = existing
            && !is_same_incarnation
            && heartbeats.has_valid_session(broker_id, existing.epoch, context.now_ms)
        {
            return Err(ApiError::new(
                ErrorCode::DuplicateBrokerRegistration,
                "Another broker is registered with that broker id. If the broker was recently restarted this should self-resolve once the heartbeat manager expires the broker's session.",
            ));
        }
        if request.is_migrating_zk_broker {
            let message = "Controller does not support registering ZK brokers.";
            return Err(ApiError::new(ErrorCode::BrokerIdNotRegistered, message));
        }
        let version = self.state.features.metadata_version_or_minimum();
        if version.is_directory_assignment_supported() {
            let owner = |directory: &Uuid| self.state.cluster.directory_owner(directory);
            check_directories(broker_id, &request.log_dirs, owner)?;
        }
        let finalized = self.state.features.finalized_features(self.kraft_version);
        let level = |name: &str| finalized.get(name).copied().unwrap_or(0);
        for feature in &request.features {
            check_feature(feature, level(&feature.name))?;
        }
        let names = |name: &str| request.features.iter().any(|feature| feature.name == name);
        if !names(METADATA_VERSION_FEATURE) {
            let message = format!("Request features do not contain '{METADATA_VERSION_FEATURE}'");
            return Err(ApiError::new(ErrorCode::InvalidRegistration, message));
        }
        for (name, level) in finalized.iter().filter(|(name, level)| **level != 0 && !names(name)) {
            let unknown = Feature { name: name.clone(), min_supported_version: 0, max_supported_version: 0 };
            check_feature(&unknown, *level)?;
        }
        let mut record = registration_record(request, version.is_directory_assignment_supported())?;
        let mut records = Vec::new();
        match existing {
            Some(existing) if is_same_incarnation => {
                record.fenced = existing.fenced;
                record.in_controlled_shutdown = existing.in_controlled_shutdown;
                record.broker_epoch = existing.epoch;
            }
            existing => {
                // -2 is no epoch that any broker says it had.
                let stored_epoch = existing.map_or(-2, |existing| existing.epoch);
                let is_clean = context.api_version >= 3 && stored_epoch == request.previous_broker_epoch;
                self.state.handle_broker_shutdown(broker_id, is_clean, &mut records);
                record.broker_epoch = context.next_write_offset;
                heartbeats.remove(broker_id);
                tracing::info!(
                    broker_id,
                    incarnation_id = %request.incarnation_id,
                    broker_epoch = record.broker_epoch,
                    is_clean,
                    "registering a new incarnation of a broker"
                );
            }
        }
        let epoch = record.broker_epoch;
        heartbeats.register(broker_id, record.fenced);
        records.push((record.into(), version.register_broker_record_version()));
        Ok((records, epoch))
    }

    /// A broker says that it lives, how far in the log it is, and what it wants.
    pub fn broker_heartbeat(
        &mut self,
        context: &ControllerRequestContext<'_>,
        request: &BrokerHeartbeatRequest,
    ) -> ControllerResult<BrokerHeartbeatResponse> {
        self.try_broker_heartbeat(context, request).unwrap_or_else(|error| {
            let response = BrokerHeartbeatResponse { error_code: error.code(), ..Default::default() };
            ControllerResult::of(Vec::new(), response)
        })
    }

    fn try_broker_heartbeat(
        &mut self,
        context: &ControllerRequestContext<'_>,
        request: &BrokerHeartbeatRequest,
    ) -> Result<ControllerResult<BrokerHeartbeatResponse>, ApiError> {
        let Some(heartbeats) = &mut self.heartbeats else {
            return Err(ApiError::standard(ErrorCode::NotController));
        };
        let (broker_id, broker_epoch) = (request.broker_id, request.broker_epoch);
        heartbeats.update_contact_time(broker_id, broker_epoch, context.now_ms);
        let unregistered = || {
            let message = format!("Receive a heartbeat from broker {broker_id} before registration");
            ApiError::new(ErrorCode::StaleBrokerEpoch, message)
        };
        let registered_at =
            self.state.cluster.register_broker_record_offset(broker_id).ok_or_else(unregistered)?;
        self.state.cluster.check_broker_epoch(broker_id, broker_epoch)?;
        let has_leaderships = self.state.replication.has_leaderships(broker_id);
        let (current, next) =
            heartbeats.next_state(request, registered_at, has_leaderships).ok_or_else(unregistered)?;
        let mut records = Vec::new();
        if current != next {
            tracing::info!(broker_id, ?current, ?next, "a broker changes its state");
            match next {
                BrokerControlState::Fenced | BrokerControlState::ShutdownNow => {
                    self.state.handle_broker_fenced(broker_id, &mut records)?;
                }
                BrokerControlState::Unfenced => {
                    self.state.handle_broker_unfenced(broker_id, broker_epoch, &mut records);
                }
                BrokerControlState::ControlledShutdown => {
                    self.state.handle_broker_in_controlled_shutdown(broker_id, broker_epoch, &mut records);
                }
            }
        }
        heartbeats.touch(broker_id, next.fenced(), request.current_metadata_offset);
        if next == BrokerControlState::ShutdownNow {
            // Divergence: Kafka keeps the session to its end, so that a broker that stopped in good order waits up to 9 s when
            // it comes back. It is fenced and has said that it goes: nothing is left to protect.
            heartbeats.end_session(broker_id);
        }
        let version = self.state.features.metadata_version_or_minimum();
        if version.is_directory_assignment_supported() {
            let offline = &request.offline_log_dirs;
            self.state.handle_directories_offline(broker_id, broker_epoch, offline, &mut records);
        }
        if version.is_cordoned_log_dirs_supported() {
            let cordoned = &request.cordoned_log_dirs;
            self.state.handle_directories_cordoned(broker_id, broker_epoch, cordoned, &mut records);
        }
        if next == BrokerControlState::ControlledShutdown {
            let last_offset = context.next_write_offset + records.len() as i64 - 1;
            heartbeats.maybe_update_controlled_shutdown_offset(broker_id, last_offset);
        }
        let response = BrokerHeartbeatResponse {
            is_caught_up: request.current_metadata_offset >= registered_at,
            is_fenced: next.fenced(),
            should_shut_down: next == BrokerControlState::ShutdownNow,
            ..Default::default()
        };
        Ok(ControllerResult::of(records, response))
    }

    /// Removes the registration of a broker that will not come back.
    pub fn unregister_broker(
        &self,
        request: &UnregisterBrokerRequest,
    ) -> ControllerResult<UnregisterBrokerResponse> {
        let broker_id = request.broker_id;
        if !self.is_active() {
            let error_code = ErrorCode::NotController.code();
            let response = UnregisterBrokerResponse { error_code, error_message: None, ..Default::default() };
            return ControllerResult::of(Vec::new(), response);
        }
        let Some(broker) = self.state.cluster.broker(broker_id) else {
            let response = UnregisterBrokerResponse {
                error_code: ErrorCode::BrokerIdNotRegistered.code(),
                error_message: Some(format!("Broker ID {broker_id} is not currently registered")),
                ..Default::default()
            };
            return ControllerResult::of(Vec::new(), response);
        };
        let mut records = Vec::new();
        self.state.handle_broker_unregistered(broker_id, broker.epoch, &mut records);
        ControllerResult::of(records, UnregisterBrokerResponse::default())
    }
}

fn check_directories(
    broker_id: i32,
    directories: &[Uuid],
    owner: impl Fn(&Uuid) -> Option<i32>,
) -> Result<(), ApiError> {
    let invalid = |message: String| Err(ApiError::new(ErrorCode::InvalidRegistration, message));
    if directories.is_empty() {
        return invalid("No directories specified in request".to_owned());
    }
    if directories.iter().any(|directory| directory.is_reserved()) {
        return invalid("Reserved directory ID in request".to_owned());
    }
    if directories.iter().collect::<BTreeSet<_>>().len() != directories.len() {
        return invalid("Duplicate directory ID in request".to_owned());
    }
    for directory in directories {
        if let Some(owner) = owner(directory)
            && owner != broker_id
        {
            return invalid(format!("Broker {owner} is already registered with directory {directory}"));
        }
    }
    Ok(())
}

fn check_feature(feature: &Feature, finalized: i16) -> Result<(), ApiError> {
    let (min, max) = (feature.min_supported_version, feature.max_supported_version);
    if VersionRange::new(min, max).contains(finalized) {
        return Ok(());
    }
    let message = format!(
        "Unable to register because the broker does not support finalized version {finalized} of {}. The broker wants a version between {min} and {max}, inclusive.",
        feature.name
    );
    Err(ApiError::new(ErrorCode::UnsupportedVersion, message))
}

fn registration_record(
    request: &BrokerRegistrationRequest,
    with_directories: bool,
) -> Result<RegisterBrokerRecord, ApiError> {
    let mut end_points: Vec<BrokerEndpoint> = Vec::new();
    for listener in &request.listeners {
        // Kafka keeps these in a map, and stops on a protocol or an address that it could not write back.
        let is_protocol = (0..=3).contains(&listener.security_protocol);
        if !is_protocol || listener.name.is_empty() || listener.host.trim().is_empty() || listener.port == 0 {
            return Err(ApiError::silent(ErrorCode::UnknownServerError));
        }
        let end_point = BrokerEndpoint {
            name: listener.name.clone(),
            host: listener.host.clone(),
            port: listener.port,
            security_protocol: listener.security_protocol,
        };
        end_points.retain(|known| known.name != end_point.name);
        end_points.push(end_point);
    }
    let features = request.features.iter().map(|feature| BrokerFeature {
        name: feature.name.clone(),
        min_supported_version: feature.min_supported_version,
        max_supported_version: feature.max_supported_version,
    });
    Ok(RegisterBrokerRecord {
        broker_id: request.broker_id,
        is_migrating_zk_broker: false,
        incarnation_id: request.incarnation_id,
        rack: request.rack.clone(),
        end_points,
        features: features.collect(),
        log_dirs: if with_directories { request.log_dirs.clone() } else { Vec::new() },
        ..RegisterBrokerRecord::default()
    })
}
