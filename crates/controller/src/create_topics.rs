//! CreateTopics (`ReplicationControlManager.createTopics`, `ControllerApis.createTopics`).

use std::collections::{BTreeMap, BTreeSet};

use common::topic::{CLUSTER_METADATA_TOPIC, validate_topic_name};
use common::{ErrorCode, Uuid};
use config::alter::{Op, Operation};
use config::describe;
use metadata::{ConfigResource, PartitionRegistration, VersionedRecord};
use protocol::messages::create_topics_request::CreatableTopic;
use protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use protocol::messages::{CreateTopicsRequest, CreateTopicsResponse, TopicRecord};

use crate::api_error::ApiError;
use crate::configuration_control::{ConfigEnvironment, clear_elr_records};
use crate::quorum_controller::QuorumController;
use crate::random::Random;
use crate::result::{ControllerRequestContext, ControllerResult};

/// How many partitions one request may make.
pub(crate) const MAX_PARTITIONS_PER_BATCH: i64 = 10_000;

impl QuorumController {
    /// Creates topics. Each stands or falls by itself.
    pub fn create_topics(
        &self,
        context: &ControllerRequestContext<'_>,
        request: &CreateTopicsRequest,
    ) -> ControllerResult<CreateTopicsResponse> {
        if !self.is_active() {
            let error = ApiError::standard(ErrorCode::NotController);
            return fail_all(request, &error);
        }
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for topic in &request.topics {
            *times.entry(topic.name.as_str()).or_default() += 1;
        }
        let is_effective =
            |topic: &&CreatableTopic| times[topic.name.as_str()] == 1 && topic.name != CLUSTER_METADATA_TOPIC;
        let effective: Vec<&CreatableTopic> = request.topics.iter().filter(is_effective).collect();
        if let Err(error) = self.check_number_of_partitions(&effective) {
            return fail_all(request, &error);
        }
        let mut random = Random::new(context.seed);
        let mut records = Vec::new();
        let mut topics = Vec::new();
        for topic in &effective {
            match self.create_topic(context, topic, &mut random) {
                Ok((made, result)) => {
                    records.extend(made);
                    topics.push(result);
                }
                Err(error) => topics.push(failure(&topic.name, &error)),
            }
        }
        let invalid = |message: &str| ApiError::new(ErrorCode::InvalidRequest, message);
        for (name, _) in times.iter().filter(|(_, times)| **times > 1) {
            topics.push(failure(name, &invalid("Duplicate topic name.")));
        }
        if times.get(CLUSTER_METADATA_TOPIC) == Some(&1) {
            let message = format!("Creation of internal topic {CLUSTER_METADATA_TOPIC} is prohibited.");
            topics.push(failure(CLUSTER_METADATA_TOPIC, &invalid(&message)));
        }
        let response = CreateTopicsResponse { throttle_time_ms: 0, topics };
        let result = ControllerResult::atomic_of(records, response);
        if request.validate_only { result.without_records() } else { result }
    }

    fn check_number_of_partitions(&self, topics: &[&CreatableTopic]) -> Result<(), ApiError> {
        let partitions = topics.iter().map(|topic| match topic.num_partitions {
            _ if !topic.assignments.is_empty() => topic.assignments.len() as i64,
            -1 => i64::from(self.config.default_num_partitions),
            number => i64::from(number.max(0)),
        });
        if partitions.sum::<i64>() > MAX_PARTITIONS_PER_BATCH {
            let message = "Excessively large number of partitions per request.";
            return Err(ApiError::new(ErrorCode::PolicyViolation, message));
        }
        Ok(())
    }

    fn create_topic(
        &self,
        context: &ControllerRequestContext<'_>,
        topic: &CreatableTopic,
        random: &mut Random,
    ) -> Result<(Vec<VersionedRecord>, CreatableTopicResult), ApiError> {
        let name = topic.name.as_str();
        let refused = |error, message: String| Err(ApiError::new(error, message));
        // Kafka looks for the name itself last, and what it finds there wins.
        if self.state.replication.topic_by_name(name).is_some() {
            return refused(ErrorCode::TopicAlreadyExists, format!("Topic '{name}' already exists."));
        }
        if let Some(existing) = self.state.replication.colliding_topic(name) {
            let message = format!("Topic '{name}' collides with existing topic: {existing}");
            return refused(ErrorCode::InvalidTopicException, message);
        }
        if let Err(error) = validate_topic_name(name) {
            return refused(ErrorCode::InvalidTopicException, error.to_string());
        }
        let mut configs = BTreeMap::new();
        let mut null_configs = Vec::new();
        for config in &topic.configs {
            match &config.value {
                Some(value) => drop(configs.insert(config.name.clone(), value.clone())),
                None => null_configs.push(config.name.as_str()),
            }
        }
        if !null_configs.is_empty() {
            let message = format!("Null value not supported for topic configs: {}", null_configs.join(","));
            return refused(ErrorCode::InvalidConfig, message);
        }
        let config_records = self.creation_configs(context, name, &configs)?;
        let partitions = self.new_partitions(topic, random)?;
        let topic_id = random.uuid();
        let mut records: Vec<VersionedRecord> =
            vec![(TopicRecord { name: name.to_owned(), topic_id }.into(), 0)];
        records.extend(config_records);
        for (partition_id, partition) in (0..).zip(&partitions) {
            records.push(self.state.partition_record(topic_id, partition_id, partition));
        }
        Ok((records, self.success(name, topic_id, &partitions, &configs)))
    }

    fn creation_configs(
        &self,
        context: &ControllerRequestContext<'_>,
        name: &str,
        configs: &BTreeMap<String, String>,
    ) -> Result<Vec<VersionedRecord>, ApiError> {
        if configs.is_empty() {
            return Ok(Vec::new());
        }
        let ops: Vec<Op> = configs
            .iter()
            .map(|(name, value)| Op {
                name: name.clone(),
                operation: Operation::Set,
                value: Some(value.clone()),
            })
            .collect();
        let environment = self.config_environment(context);
        let mut records =
            self.state.configs.incremental_alter(&ConfigResource::topic(name), &ops, environment)?;
        records.extend(clear_elr_records(&records, environment.elr_enabled));
        Ok(records)
    }

    /// What new configs are checked against.
    pub(crate) fn config_environment(&self, context: &ControllerRequestContext<'_>) -> ConfigEnvironment {
        ConfigEnvironment {
            metadata_version: self.state.features.metadata_version_or_minimum(),
            elr_enabled: self.state.features.is_elr_enabled(),
            forwarded: context.forwarded,
        }
    }

    fn new_partitions(
        &self,
        topic: &CreatableTopic,
        random: &mut Random,
    ) -> Result<Vec<PartitionRegistration>, ApiError> {
        let refused = |error, message: String| Err(ApiError::new(error, message));
        if !topic.assignments.is_empty() {
            return self.assigned_partitions(topic);
        }
        if topic.replication_factor < -1 || topic.replication_factor == 0 {
            let message = "Replication factor must be larger than 0, or -1 to use the default value.";
            return refused(ErrorCode::InvalidReplicationFactor, message.to_owned());
        }
        if topic.num_partitions < -1 || topic.num_partitions == 0 {
            let message = "Number of partitions was set to an invalid non-positive value.";
            return refused(ErrorCode::InvalidPartitions, message.to_owned());
        }
        let or_default = |given: i32, default: i32| if given == -1 { default } else { given };
        let count = or_default(topic.num_partitions, self.config.default_num_partitions);
        let factor = match topic.replication_factor {
            -1 => self.config.default_replication_factor,
            factor => factor,
        };
        let cannot = |why: &dyn std::fmt::Display| {
            let message = format!("Unable to replicate the partition {factor} time(s): {why}");
            ApiError::new(ErrorCode::InvalidReplicationFactor, message)
        };
        let placed = self.place_replicas(random, usize::try_from(count).unwrap_or(0), factor);
        let mut partitions = Vec::new();
        for replicas in placed.map_err(|error| cannot(&error))? {
            let isr = self.state.active_replicas(&replicas);
            if isr.is_empty() {
                return Err(cannot(&"All brokers are currently fenced or in controlled shutdown."));
            }
            partitions.push(self.state.new_partition(replicas, isr));
        }
        Ok(partitions)
    }

    fn assigned_partitions(&self, topic: &CreatableTopic) -> Result<Vec<PartitionRegistration>, ApiError> {
        let refused = |error, message: String| Err(ApiError::new(error, message));
        if topic.replication_factor != -1 {
            let message =
                "A manual partition assignment was specified, but replication factor was not set to -1.";
            return refused(ErrorCode::InvalidRequest, message.to_owned());
        }
        if topic.num_partitions != -1 {
            let message = "A manual partition assignment was specified, but numPartitions was not set to -1.";
            return refused(ErrorCode::InvalidRequest, message.to_owned());
        }
        let mut partitions = BTreeMap::new();
        let mut factor = None;
        for assignment in &topic.assignments {
            let index = assignment.partition_index;
            if partitions.contains_key(&index) {
                let message = format!("Found multiple manual partition assignments for partition {index}");
                return refused(ErrorCode::InvalidReplicaAssignment, message);
            }
            self.state.validate_manual_assignment(&assignment.broker_ids, factor)?;
            factor = Some(assignment.broker_ids.len());
            let isr = self.state.active_replicas(&assignment.broker_ids);
            if isr.is_empty() {
                let message = format!(
                    "All brokers specified in the manual partition assignment for partition {index} are fenced or in controlled shutdown."
                );
                return refused(ErrorCode::InvalidReplicaAssignment, message);
            }
            partitions.insert(index, self.state.new_partition(assignment.broker_ids.clone(), isr));
        }
        if !partitions.keys().copied().eq(0..partitions.len() as i32) {
            let message = "partitions should be a consecutive 0-based integer sequence";
            return refused(ErrorCode::InvalidReplicaAssignment, message.to_owned());
        }
        Ok(partitions.into_values().collect())
    }

    fn success(
        &self,
        name: &str,
        topic_id: Uuid,
        partitions: &[PartitionRegistration],
        configs: &BTreeMap<String, String>,
    ) -> CreatableTopicResult {
        // The configs were checked: they can be described.
        let entries =
            describe::topic(self.state.configs.effective_config(), configs, None).unwrap_or_default();
        let configs = entries.into_iter().map(|entry| CreatableTopicConfigs {
            name: entry.name,
            value: entry.value,
            read_only: entry.read_only,
            config_source: entry.source.code(),
            is_sensitive: entry.is_sensitive,
        });
        CreatableTopicResult {
            name: name.to_owned(),
            topic_id,
            error_message: None,
            num_partitions: partitions.len() as i32,
            replication_factor: partitions.first().map_or(0, |partition| partition.replicas.len()) as i16,
            configs: Some(configs.collect()),
            ..CreatableTopicResult::default()
        }
    }
}

fn failure(name: &str, error: &ApiError) -> CreatableTopicResult {
    CreatableTopicResult {
        name: name.to_owned(),
        error_code: error.code(),
        error_message: error.message.clone(),
        ..CreatableTopicResult::default()
    }
}

fn fail_all(request: &CreateTopicsRequest, error: &ApiError) -> ControllerResult<CreateTopicsResponse> {
    let names: BTreeSet<&str> = request.topics.iter().map(|topic| topic.name.as_str()).collect();
    let topics = names.into_iter().map(|name| failure(name, error)).collect();
    ControllerResult::of(Vec::new(), CreateTopicsResponse { throttle_time_ms: 0, topics })
}
