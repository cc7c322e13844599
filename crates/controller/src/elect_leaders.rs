//! ElectLeaders, and the elections that the controller starts by itself (`ReplicationControlManager.electLeaders`,
//! `maybeBalancePartitionLeaders`, `maybeElectUncleanLeaders`).

use common::{ErrorCode, TopicIdPartition};
use metadata::VersionedRecord;
use protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};

use crate::api_error::{ApiError, code_and_message};
use crate::partition_change_builder::{Election, PartitionChangeBuilder};
use crate::quorum_controller::QuorumController;
use crate::result::ControllerResult;
use crate::state::ControllerState;

impl QuorumController {
    /// Elects the preferred leaders of partitions, or leaders at any price where there is none.
    pub fn elect_leaders(&self, request: &ElectLeadersRequest) -> ControllerResult<ElectLeadersResponse> {
        let election = match request.election_type {
            0 => Ok(Election::Preferred),
            1 => Ok(Election::Unclean),
            _ => Err(ErrorCode::InvalidRequest),
        };
        let election = match election {
            Ok(election) if self.is_active() => election,
            refused => return fail_all(request, refused.err().unwrap_or(ErrorCode::NotController)),
        };
        let mut records = Vec::new();
        let mut elect = |topic: &str, partition_id| {
            let outcome = self.state.elect_leader(topic, partition_id, election);
            outcome.map(|record| records.push(record))
        };
        let mut results = Vec::new();
        match &request.topic_partitions {
            Some(topics) => {
                for topic in topics {
                    let outcomes = topic.partitions.iter().map(|id| result(*id, elect(&topic.topic, *id)));
                    results.push(ReplicaElectionResult {
                        topic: topic.topic.clone(),
                        partition_result: outcomes.collect(),
                    });
                }
            }
            None => {
                for topic in self.state.replication.topics() {
                    let outcomes = topic.parts.keys().filter_map(|id| match elect(&topic.name, *id) {
                        Err(error) if error.error == ErrorCode::ElectionNotNeeded => None,
                        outcome => Some(result(*id, outcome)),
                    });
                    results.push(ReplicaElectionResult {
                        topic: topic.name.to_string(),
                        partition_result: outcomes.collect(),
                    });
                }
            }
        }
        let response = ElectLeadersResponse { replica_election_results: results, ..Default::default() };
        ControllerResult::of(records, response)
    }
}

impl ControllerState {
    fn elect_leader(
        &self,
        name: &str,
        partition_id: i32,
        election: Election,
    ) -> Result<VersionedRecord, ApiError> {
        let unknown = |message| ApiError::new(ErrorCode::UnknownTopicOrPartition, message);
        let topic = self.replication.topic_by_name(name);
        let topic = topic.ok_or_else(|| unknown(format!("No such topic as {name}")))?;
        let partition = topic.parts.get(&partition_id);
        let partition =
            partition.ok_or_else(|| unknown(format!("No such partition as {name}-{partition_id}")))?;
        let is_needed = match election {
            Election::Preferred => !partition.has_preferred_leader(),
            _ => !partition.has_leader(),
        };
        if !is_needed {
            return Err(ApiError::standard(ErrorCode::ElectionNotNeeded));
        }
        let id = TopicIdPartition { topic_id: topic.id, partition: partition_id };
        self.election_record(id, election).ok_or_else(|| {
            ApiError::standard(match election {
                Election::Preferred => ErrorCode::PreferredLeaderNotAvailable,
                _ => ErrorCode::EligibleLeadersNotAvailable,
            })
        })
    }

    fn election_record(&self, id: TopicIdPartition, election: Election) -> Option<VersionedRecord> {
        let (topic, partition) = self.replication.partition(id)?;
        let may_lead = |broker| self.cluster.is_active(broker);
        self.with_environment(topic, partition, &may_lead, |environment| {
            PartitionChangeBuilder::new(partition, id.topic_id, id.partition, environment)
                .election(election)
                .build()
        })
    }

    /// Puts preferred leaders back where they can lead, `limit` of them at most.
    pub(crate) fn elect_preferred_leaders(&self, limit: usize) -> Vec<VersionedRecord> {
        let imbalanced = self.replication.imbalanced_partitions().into_iter();
        imbalanced.filter_map(|id| self.election_record(id, Election::Preferred)).take(limit).collect()
    }

    /// Elects leaders for leaderless partitions of topics that would rather lose records, `limit` of them at most.
    pub(crate) fn elect_unclean_leaders(&self, limit: usize) -> Vec<VersionedRecord> {
        let wants = |id: &TopicIdPartition| {
            let topic = self.replication.topic(&id.topic_id);
            topic.is_some_and(|topic| self.configs.unclean_leader_election_enabled(&topic.name))
        };
        let leaderless = self.replication.partitions_with_no_leader().into_iter().filter(wants);
        leaderless.filter_map(|id| self.election_record(id, Election::Unclean)).take(limit).collect()
    }
}

fn result(partition_id: i32, outcome: Result<(), ApiError>) -> PartitionResult {
    let (error_code, error_message) = code_and_message(outcome);
    PartitionResult { partition_id, error_code, error_message }
}

fn fail_all(request: &ElectLeadersRequest, error: ErrorCode) -> ControllerResult<ElectLeadersResponse> {
    let message = (error == ErrorCode::InvalidRequest)
        .then(|| format!("Unknown election type {}", request.election_type));
    let error = ApiError { error, message };
    let topics = request.topic_partitions.iter().flatten().map(|topic| ReplicaElectionResult {
        topic: topic.topic.clone(),
        partition_result: topic.partitions.iter().map(|id| result(*id, Err(error.clone()))).collect(),
    });
    let response = ElectLeadersResponse {
        error_code: error.code(),
        replica_election_results: topics.collect(),
        ..Default::default()
    };
    ControllerResult::of(Vec::new(), response)
}
