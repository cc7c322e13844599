//! CreatePartitions (`ReplicationControlManager.createPartitions`).

use std::collections::BTreeMap;

use common::ErrorCode;
use metadata::VersionedRecord;
use protocol::messages::create_partitions_request::CreatePartitionsTopic;
use protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use crate::api_error::{ApiError, code_and_message};
use crate::create_topics::MAX_PARTITIONS_PER_BATCH;
use crate::quorum_controller::QuorumController;
use crate::random::Random;
use crate::result::{ControllerRequestContext, ControllerResult};

impl QuorumController {
    /// Gives topics more partitions. Each topic stands or falls by itself.
    pub fn create_partitions(
        &self,
        context: &ControllerRequestContext<'_>,
        request: &CreatePartitionsRequest,
    ) -> ControllerResult<CreatePartitionsResponse> {
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for topic in &request.topics {
            *times.entry(topic.name.as_str()).or_default() += 1;
        }
        let mut random = Random::new(context.seed);
        let mut records = Vec::new();
        let mut results = Vec::new();
        let mut answer = |name: &str, outcome| {
            let (error_code, error_message) = code_and_message(outcome);
            results.push(CreatePartitionsTopicResult { name: name.to_owned(), error_code, error_message });
        };
        for (name, _) in times.iter().filter(|(_, times)| **times > 1) {
            answer(name, Err(ApiError::new(ErrorCode::InvalidRequest, "Duplicate topic name.")));
        }
        for topic in request.topics.iter().filter(|topic| times[topic.name.as_str()] == 1) {
            let left = MAX_PARTITIONS_PER_BATCH - records.len() as i64;
            let made = self.more_partitions(topic, left, &mut random);
            answer(&topic.name, made.map(|made| records.extend(made)));
        }
        let response = CreatePartitionsResponse { throttle_time_ms: 0, results };
        let result = ControllerResult::atomic_of(records, response);
        if request.validate_only { result.without_records() } else { result }
    }

    fn more_partitions(
        &self,
        request: &CreatePartitionsTopic,
        most: i64,
        random: &mut Random,
    ) -> Result<Vec<VersionedRecord>, ApiError> {
        if !self.is_active() {
            return Err(ApiError::standard(ErrorCode::NotController));
        }
        let refused = |error, message: String| Err(ApiError::new(error, message));
        let topic = self.state.replication.topic_by_name(&request.name);
        let topic = topic.ok_or_else(|| ApiError::silent(ErrorCode::UnknownTopicOrPartition))?;
        let current = topic.parts.len() as i32;
        if request.count == current {
            let message = format!("Topic already has {current} partition(s).");
            return refused(ErrorCode::InvalidPartitions, message);
        }
        if request.count < current {
            let message = format!(
                "The topic {} currently has {current} partition(s); {} would not be an increase.",
                request.name, request.count
            );
            return refused(ErrorCode::InvalidPartitions, message);
        }
        let additional = (request.count - current) as usize;
        // Divergence: Kafka runs out of memory, or answers an unknown server error.
        if additional as i64 > most {
            let message = "Excessively large number of partitions per request.";
            return refused(ErrorCode::PolicyViolation, message.to_owned());
        }
        let factor = topic.parts.values().next().map_or(0, |partition| partition.replicas.len());
        let assignments: Vec<Vec<i32>> = match &request.assignments {
            Some(given) if given.len() != additional => {
                let message = format!(
                    "Attempted to add {additional} additional partition(s), but only {} assignment(s) were specified.",
                    given.len()
                );
                return refused(ErrorCode::InvalidReplicaAssignment, message);
            }
            Some(given) => {
                for assignment in given {
                    self.state.validate_manual_assignment(&assignment.broker_ids, Some(factor))?;
                }
                given.iter().map(|assignment| assignment.broker_ids.clone()).collect()
            }
            None => {
                let factor = i16::try_from(factor).unwrap_or(i16::MAX);
                let invalid = |error: crate::placement::PlacementError| {
                    ApiError::new(ErrorCode::InvalidReplicationFactor, error.to_string())
                };
                self.place_replicas(random, additional, factor).map_err(invalid)?
            }
        };
        let mut records = Vec::new();
        for (partition_id, replicas) in (current..).zip(assignments) {
            let isr = self.state.active_replicas(&replicas);
            if isr.is_empty() && request.assignments.is_some() {
                let message = format!(
                    "All brokers specified in the manual partition assignment for partition {partition_id} are fenced or in controlled shutdown."
                );
                return refused(ErrorCode::InvalidReplicaAssignment, message);
            }
            if isr.is_empty() {
                let message = format!(
                    "Unable to replicate the partition {factor} time(s): All brokers are currently fenced or in controlled shutdown."
                );
                return refused(ErrorCode::InvalidReplicationFactor, message);
            }
            let partition = self.state.new_partition(replicas, isr);
            records.push(self.state.partition_record(topic.id, partition_id, &partition));
        }
        Ok(records)
    }
}
