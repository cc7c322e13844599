//! IncrementalAlterConfigs and AlterConfigs (`ControllerApis.handleIncrementalAlterConfigs`,
//! `handleLegacyAlterConfigs`).

use std::collections::BTreeMap;

use common::ErrorCode;
use config::alter::{Op, Operation};
use metadata::{ConfigResource, ConfigResourceType, VersionedRecord};
use protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, alter_configs_response, incremental_alter_configs_response,
};

use crate::api_error::{ApiError, code_and_message};
use crate::configuration_control::clear_elr_records;
use crate::quorum_controller::QuorumController;
use crate::result::{ControllerRequestContext, ControllerResult};

/// What came of one resource.
type Outcome = (ConfigResource, Result<(), ApiError>);

impl QuorumController {
    /// Changes single configs of resources. Each resource stands or falls by itself. Loggers are not resources of the
    /// log: the node that is asked changes its own.
    pub fn incremental_alter_configs(
        &self,
        context: &ControllerRequestContext<'_>,
        request: &IncrementalAlterConfigsRequest,
    ) -> ControllerResult<IncrementalAlterConfigsResponse> {
        let resources = request.resources.iter().map(|resource| {
            let id = resource_of(resource.resource_type, &resource.resource_name);
            let ops = resource.configs.iter().map(|config| {
                let operation = Operation::from_code(config.config_operation)?;
                Ok(Op { name: config.name.clone(), operation, value: config.value.clone() })
            });
            (id, ops.collect::<Result<Vec<Op>, (ErrorCode, String)>>())
        });
        let environment = self.config_environment(context);
        let (outcomes, records) = self.alter_each(resources, |resource, ops| {
            let ops = ops.as_ref().map_err(|(error, message)| ApiError::new(*error, message))?;
            let made = self.state.configs.incremental_alter(resource, ops, environment)?;
            self.check_exists(resource).map(|()| made)
        });
        let responses = outcomes.into_iter().map(|(resource, outcome)| {
            let (error_code, error_message) = code_and_message(outcome);
            incremental_alter_configs_response::AlterConfigsResourceResponse {
                error_code,
                error_message,
                resource_type: resource.resource_type.0,
                resource_name: resource.name,
            }
        });
        let response =
            IncrementalAlterConfigsResponse { throttle_time_ms: 0, responses: responses.collect() };
        let result = ControllerResult::atomic_of(records, response);
        if request.validate_only { result.without_records() } else { result }
    }

    /// Gives resources a whole new set of configs. Each resource stands or falls by itself.
    pub fn alter_configs(
        &self,
        context: &ControllerRequestContext<'_>,
        request: &AlterConfigsRequest,
    ) -> ControllerResult<AlterConfigsResponse> {
        let resources = request.resources.iter().map(|resource| {
            let id = resource_of(resource.resource_type, &resource.resource_name);
            let configs = resource.configs.iter().map(|config| (config.name.clone(), config.value.clone()));
            (id, configs.collect::<BTreeMap<_, _>>())
        });
        let environment = self.config_environment(context);
        let (outcomes, records) = self.alter_each(resources, |resource, configs| {
            let made = self.state.configs.legacy_alter(resource, configs, environment)?;
            self.check_exists(resource).map(|()| made)
        });
        let responses = outcomes.into_iter().map(|(resource, outcome)| {
            let (error_code, error_message) = code_and_message(outcome);
            alter_configs_response::AlterConfigsResourceResponse {
                error_code,
                error_message,
                resource_type: resource.resource_type.0,
                resource_name: resource.name,
            }
        });
        let response = AlterConfigsResponse { throttle_time_ms: 0, responses: responses.collect() };
        let result = ControllerResult::atomic_of(records, response);
        if request.validate_only { result.without_records() } else { result }
    }

    fn alter_each<C>(
        &self,
        resources: impl Iterator<Item = (ConfigResource, C)>,
        alter: impl Fn(&ConfigResource, &C) -> Result<Vec<VersionedRecord>, ApiError>,
    ) -> (Vec<Outcome>, Vec<VersionedRecord>) {
        let resources: Vec<(ConfigResource, C)> = resources.collect();
        let mut outcomes: Vec<Outcome> = Vec::new();
        let mut records = Vec::new();
        for (index, (resource, changes)) in resources.iter().enumerate() {
            let is_same = |(other, _): &&(ConfigResource, C)| other == resource;
            if resources[..index].iter().any(|entry| is_same(&entry)) {
                continue;
            }
            let outcome = if !self.is_active() {
                Err(ApiError::standard(ErrorCode::NotController))
            } else if !resource.resource_type.is_known() {
                let message = format!("Unknown resource type {}.", resource.resource_type.0);
                Err(ApiError::new(ErrorCode::UnsupportedVersion, message))
            } else if resources.iter().filter(is_same).count() > 1 {
                Err(ApiError::new(ErrorCode::InvalidRequest, "Duplicate resource."))
            } else if resource.resource_type == ConfigResourceType::BROKER_LOGGER {
                Err(ApiError::new(ErrorCode::InvalidRequest, "Unexpected resource type BROKER_LOGGER."))
            } else {
                alter(resource, changes).map(|made| records.extend(made))
            };
            outcomes.push((resource.clone(), outcome));
        }
        records.extend(clear_elr_records(&records, self.state.features.is_elr_enabled()));
        (outcomes, records)
    }

    /// Whether a resource, whose name was checked, is there to have configs (`ConfigResourceExistenceChecker`).
    fn check_exists(&self, resource: &ConfigResource) -> Result<(), ApiError> {
        let name = resource.name.as_str();
        let cluster = &self.state.cluster;
        match resource.resource_type {
            ConfigResourceType::BROKER => {
                let is_node = |id: i32| {
                    cluster.broker(id).is_some()
                        || cluster.has_controller(id)
                        || self.config.quorum_node_ids.contains(&id)
                };
                if !name.is_empty() && !name.parse().is_ok_and(is_node) {
                    let message = format!("No node with id {name} found.");
                    return Err(ApiError::new(ErrorCode::BrokerIdNotRegistered, message));
                }
            }
            ConfigResourceType::TOPIC if self.state.replication.topic_by_name(name).is_none() => {
                let message = format!("The topic '{name}' does not exist.");
                return Err(ApiError::new(ErrorCode::UnknownTopicOrPartition, message));
            }
            _ => {}
        }
        Ok(())
    }
}

fn resource_of(resource_type: i8, name: &str) -> ConfigResource {
    ConfigResource::new(ConfigResourceType(resource_type), name)
}
