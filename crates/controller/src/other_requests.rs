//! The requests that take a few lines each: controllers' registrations, producer ids, features, quotas.

use common::ErrorCode;
use metadata::Feature;
use protocol::messages::register_controller_record::{ControllerEndpoint, ControllerFeature};
use protocol::messages::update_features_response::UpdatableFeatureResult;
use protocol::messages::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, AlterClientQuotasRequest,
    AlterClientQuotasResponse, ControllerRegistrationRequest, ControllerRegistrationResponse,
    DescribeClusterRequest, DescribeClusterResponse, RegisterControllerRecord, UnregisterControllerRecord,
    UnregisterControllerRequest, UnregisterControllerResponse, UpdateFeaturesRequest, UpdateFeaturesResponse,
    describe_cluster_response,
};

use crate::api_error::{ApiError, code_and_message};
use crate::feature_control::FeatureEnvironment;
use crate::producer_id_control::PRODUCER_ID_BLOCK_SIZE;
use crate::quorum_controller::QuorumController;
use crate::result::{ControllerRequestContext, ControllerResult};

/// The authorised operations in a response that were not asked for.
const NO_AUTHORIZED_OPERATIONS: i32 = i32::MIN;
/// The endpoint type of controllers.
const CONTROLLER_ENDPOINTS: i8 = 2;

impl QuorumController {
    fn check_active(&self) -> Result<(), ApiError> {
        if self.is_active() { Ok(()) } else { Err(ApiError::standard(ErrorCode::NotController)) }
    }

    /// Registers a controller (KIP-919).
    pub fn register_controller(
        &self,
        request: &ControllerRegistrationRequest,
    ) -> ControllerResult<ControllerRegistrationResponse> {
        let answer = |error: ApiError| {
            let (error_code, error_message) = code_and_message(Err(error));
            let response = ControllerRegistrationResponse { error_code, error_message, ..Default::default() };
            ControllerResult::of(Vec::new(), response)
        };
        if let Err(error) = self.check_active() {
            return answer(error);
        }
        if !self.state.features.metadata_version_or_minimum().is_controller_registration_supported() {
            let message = "The current MetadataVersion is too old to support controller registrations.";
            return answer(ApiError::new(ErrorCode::UnsupportedVersion, message));
        }
        let end_points = request.listeners.iter().map(|listener| ControllerEndpoint {
            name: listener.name.clone(),
            host: listener.host.clone(),
            port: listener.port,
            security_protocol: listener.security_protocol,
        });
        let features = request.features.iter().map(|feature| ControllerFeature {
            name: feature.name.clone(),
            min_supported_version: feature.min_supported_version,
            max_supported_version: feature.max_supported_version,
        });
        let record = RegisterControllerRecord {
            controller_id: request.controller_id,
            incarnation_id: request.incarnation_id,
            zk_migration_ready: false,
            end_points: end_points.collect(),
            features: features.collect(),
        };
        ControllerResult::atomic_of(vec![(record.into(), 0)], ControllerRegistrationResponse::default())
    }

    /// Removes the registration of a controller that will not come back.
    pub fn unregister_controller(
        &self,
        request: &UnregisterControllerRequest,
    ) -> ControllerResult<UnregisterControllerResponse> {
        let controller_id = request.controller_id;
        let checked = self.check_active().and_then(|()| {
            if !self.state.features.metadata_version_or_minimum().is_controller_unregistration_supported() {
                let message = "The current MetadataVersion is too old to support controller unregistration.";
                return Err(ApiError::new(ErrorCode::UnsupportedVersion, message));
            }
            if !self.state.cluster.has_controller(controller_id) {
                let message = format!("Controller ID {controller_id} is not currently registered.");
                return Err(ApiError::new(ErrorCode::ControllerIdNotRegistered, message));
            }
            Ok(())
        });
        let records = if checked.is_ok() {
            vec![(UnregisterControllerRecord { controller_id }.into(), 0)]
        } else {
            Vec::new()
        };
        let (error_code, error_message) = code_and_message(checked);
        let response = UnregisterControllerResponse { error_code, error_message, ..Default::default() };
        ControllerResult::atomic_of(records, response)
    }

    /// Leases a broker a block of producer ids.
    pub fn allocate_producer_ids(
        &self,
        request: &AllocateProducerIdsRequest,
    ) -> ControllerResult<AllocateProducerIdsResponse> {
        let block = self.check_active().and_then(|()| {
            self.state.cluster.check_broker_epoch(request.broker_id, request.broker_epoch)?;
            self.state.producer_ids.generate_next(request)
        });
        match block {
            Ok((producer_id_start, record)) => {
                let response = AllocateProducerIdsResponse {
                    producer_id_start,
                    producer_id_len: PRODUCER_ID_BLOCK_SIZE,
                    ..Default::default()
                };
                ControllerResult::of(vec![record], response)
            }
            Err(error) => {
                let response = AllocateProducerIdsResponse { error_code: error.code(), ..Default::default() };
                ControllerResult::of(Vec::new(), response)
            }
        }
    }

    /// Sets and takes away client quotas.
    pub fn alter_client_quotas(
        &self,
        request: &AlterClientQuotasRequest,
    ) -> ControllerResult<AlterClientQuotasResponse> {
        self.state.quotas.alter_client_quotas(request)
    }

    /// Finalises levels of features: all or none.
    pub fn update_features(
        &self,
        context: &ControllerRequestContext<'_>,
        request: &UpdateFeaturesRequest,
    ) -> ControllerResult<UpdateFeaturesResponse> {
        let environment = FeatureEnvironment {
            config: &self.config,
            cluster: &self.state.cluster,
            kraft_version: self.kraft_version,
            kraft_upgrade: context.kraft_upgrade,
        };
        let updates = &request.feature_updates;
        let made = self
            .check_active()
            .and_then(|()| self.state.features.update_features(updates, context.api_version, &environment));
        let updated = match made {
            Ok(updated) => updated,
            Err(error) => {
                let why = error.message.clone().unwrap_or_else(|| error.error.name().to_owned());
                let message = format!(
                    "The update failed for all features since the following feature had an error: {why}"
                );
                let response = UpdateFeaturesResponse {
                    error_code: error.code(),
                    error_message: Some(message),
                    ..Default::default()
                };
                return ControllerResult::of(Vec::new(), response);
            }
        };
        // Before version 2 each feature had an answer of its own.
        let answered = if context.api_version <= 1 { updates.as_slice() } else { &[] };
        let results = answered.iter().map(|update| UpdatableFeatureResult {
            feature: update.feature.clone(),
            error_code: ErrorCode::None.code(),
            error_message: Some(ErrorCode::None.name().to_owned()),
        });
        let response =
            UpdateFeaturesResponse { error_message: None, results: results.collect(), ..Default::default() };
        let elr = Feature::EligibleLeaderReplicasVersion.name();
        let turns_elr_on = updates.iter().any(|update| update.feature == elr && update.max_version_level > 0);
        let mut records = if turns_elr_on { self.state.configs.elr_safety_records() } else { Vec::new() };
        records.extend(updated);
        let mut result = ControllerResult::atomic_of(records, response);
        let kraft = updates.iter().find(|update| update.feature == Feature::KraftVersion.name());
        result.kraft_version =
            kraft.map(|update| update.max_version_level).filter(|level| *level > self.kraft_version);
        if request.validate_only { result.without_records() } else { result }
    }

    /// Lists the controllers under one of their listeners, for clients that talk to controllers.
    pub fn describe_cluster(
        &self,
        request: &DescribeClusterRequest,
        listener: &str,
        leader_id: Option<i32>,
    ) -> DescribeClusterResponse {
        let answer = DescribeClusterResponse {
            endpoint_type: CONTROLLER_ENDPOINTS,
            cluster_id: self.config.cluster_id.clone(),
            controller_id: leader_id.unwrap_or(-1),
            cluster_authorized_operations: NO_AUTHORIZED_OPERATIONS,
            ..Default::default()
        };
        let failed = |error: ErrorCode, message: String| DescribeClusterResponse {
            error_code: error.code(),
            error_message: Some(message),
            endpoint_type: CONTROLLER_ENDPOINTS,
            ..Default::default()
        };
        let version = self.state.features.metadata_version();
        if !version.is_some_and(|version| version.is_controller_registration_supported()) {
            let message =
                "Direct-to-controller communication is not supported with the current MetadataVersion.";
            return failed(ErrorCode::UnsupportedVersion, message.to_owned());
        }
        match request.endpoint_type {
            CONTROLLER_ENDPOINTS => {}
            1 => {
                let message = "The request was sent to an endpoint of the wrong type.";
                return failed(ErrorCode::MismatchedEndpointType, message.to_owned());
            }
            other => {
                let message = format!("Unsupported endpoint type {other}");
                return failed(ErrorCode::UnsupportedEndpointType, message);
            }
        }
        let controllers = self.state.cluster.controllers().filter_map(|controller| {
            let endpoint = controller.listener(listener)?;
            Some(describe_cluster_response::DescribeClusterBroker {
                broker_id: controller.id,
                host: endpoint.host.clone(),
                port: i32::from(endpoint.port),
                rack: None,
                is_fenced: false,
            })
        });
        DescribeClusterResponse { brokers: controllers.collect(), ..answer }
    }
}
