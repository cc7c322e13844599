//! The requests that the active controller answers, whichever way they come: from a broker's channel, in an envelope, or
//! on a controller's own listener (`ControllerApis`, and `getErrorResponse` of each request in Kafka).

use std::collections::{BTreeSet, HashSet};

use common::ErrorCode;
use controller::{ControllerRequestContext, ControllerResult, QuorumController};
use protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use protocol::messages::create_topics_response::CreatableTopicResult;
use protocol::messages::delete_topics_response::DeletableTopicResult;
use protocol::messages::{
    AddRaftVoterRequest, AddRaftVoterResponse, AllocateProducerIdsRequest, AllocateProducerIdsResponse,
    AlterClientQuotasRequest, AlterClientQuotasResponse, AlterConfigsRequest, AlterConfigsResponse,
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, AlterPartitionRequest,
    AlterPartitionResponse, AssignReplicasToDirsRequest, AssignReplicasToDirsResponse,
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationRequest, BrokerRegistrationResponse,
    ControllerRegistrationRequest, ControllerRegistrationResponse, CreatePartitionsRequest,
    CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse, DescribeQuorumRequest, DescribeQuorumResponse, ElectLeadersRequest,
    ElectLeadersResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, RemoveRaftVoterRequest,
    RemoveRaftVoterResponse, UnregisterBrokerRequest, UnregisterBrokerResponse, UnregisterControllerRequest,
    UnregisterControllerResponse, UpdateFeaturesRequest, UpdateFeaturesResponse,
    alter_client_quotas_response, alter_configs_response, incremental_alter_configs_response,
};
use protocol::{Message, Request};

/// A request that goes to the active controller, wherever it arrives.
pub(crate) trait ToController: for<'a> Request<'a> + Clone + Send + Sync + 'static {
    /// What the controller answers.
    type Answer: for<'a> Message<'a> + Send + 'static;

    /// The answer that says only this error.
    fn refuse(&self, error: ErrorCode) -> Self::Answer;

    /// The error that the answer says for all of the request.
    fn error(answer: &Self::Answer) -> ErrorCode;
}

/// A request that the `QuorumController` decides.
pub(crate) trait ControllerRequest: ToController {
    /// Has the controller decide.
    fn decide(
        &self,
        controller: &mut QuorumController,
        context: &ControllerRequestContext<'_>,
    ) -> ControllerResult<Self::Answer>;
}

/// Requests whose answer has one error for everything.
macro_rules! one_error {
    ($($request:ty => $answer:ident),* $(,)?) => {$(
        impl ToController for $request {
            type Answer = $answer;

            fn refuse(&self, error: ErrorCode) -> $answer {
                $answer { error_code: error.code(), ..$answer::default() }
            }

            fn error(answer: &$answer) -> ErrorCode {
                ErrorCode::from_code(answer.error_code)
            }
        }
    )*};
}

one_error! {
    AddRaftVoterRequest => AddRaftVoterResponse,
    AllocateProducerIdsRequest => AllocateProducerIdsResponse,
    AlterPartitionReassignmentsRequest => AlterPartitionReassignmentsResponse,
    AlterPartitionRequest => AlterPartitionResponse,
    AssignReplicasToDirsRequest => AssignReplicasToDirsResponse,
    BrokerHeartbeatRequest => BrokerHeartbeatResponse,
    BrokerRegistrationRequest => BrokerRegistrationResponse,
    ControllerRegistrationRequest => ControllerRegistrationResponse,
    DescribeQuorumRequest => DescribeQuorumResponse,
    ElectLeadersRequest => ElectLeadersResponse,
    ListPartitionReassignmentsRequest => ListPartitionReassignmentsResponse,
    RemoveRaftVoterRequest => RemoveRaftVoterResponse,
    UnregisterBrokerRequest => UnregisterBrokerResponse,
    UnregisterControllerRequest => UnregisterControllerResponse,
    UpdateFeaturesRequest => UpdateFeaturesResponse,
}

/// Requests whose answer has an error for each of the things that they name.
macro_rules! error_for_each {
    ($($request:ty => $answer:ident, $things:ident, $answers:ident, |$thing:ident| $refused:expr);* $(;)?) => {$(
        impl ToController for $request {
            type Answer = $answer;

            fn refuse(&self, error: ErrorCode) -> $answer {
                let mut answer = $answer { $answers: self.$things.iter().map(|$thing| $refused).collect(), ..$answer::default() };
                for refused in &mut answer.$answers {
                    refused.error_code = error.code();
                    refused.error_message = None;
                }
                answer
            }

            fn error(answer: &$answer) -> ErrorCode {
                answer.$answers.first().map_or(ErrorCode::None, |first| ErrorCode::from_code(first.error_code))
            }
        }
    )*};
}

error_for_each! {
    CreateTopicsRequest => CreateTopicsResponse, topics, topics, |topic|
        CreatableTopicResult { name: topic.name.clone(), ..Default::default() };
    CreatePartitionsRequest => CreatePartitionsResponse, topics, results, |topic|
        CreatePartitionsTopicResult { name: topic.name.clone(), ..Default::default() };
    AlterClientQuotasRequest => AlterClientQuotasResponse, entries, entries, |entry|
        alter_client_quotas_response::EntryData {
            entity: entry
                .entity
                .iter()
                .map(|part| alter_client_quotas_response::EntityData {
                    entity_type: part.entity_type.clone(),
                    entity_name: part.entity_name.clone(),
                })
                .collect(),
            ..Default::default()
        };
    AlterConfigsRequest => AlterConfigsResponse, resources, responses, |resource|
        alter_configs_response::AlterConfigsResourceResponse {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            ..Default::default()
        };
    IncrementalAlterConfigsRequest => IncrementalAlterConfigsResponse, resources, responses, |resource|
        incremental_alter_configs_response::AlterConfigsResourceResponse {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            ..Default::default()
        };
}

impl ToController for DeleteTopicsRequest {
    type Answer = DeleteTopicsResponse;

    fn refuse(&self, error: ErrorCode) -> DeleteTopicsResponse {
        let named = self.topic_names.iter().map(|name| (Some(name.clone()), common::Uuid::ZERO));
        let either = self.topics.iter().map(|topic| (topic.name.clone(), topic.topic_id));
        let refused = |(name, topic_id)| DeletableTopicResult {
            name,
            topic_id,
            error_code: error.code(),
            error_message: None,
        };
        DeleteTopicsResponse { responses: named.chain(either).map(refused).collect(), ..Default::default() }
    }

    fn error(answer: &DeleteTopicsResponse) -> ErrorCode {
        answer.responses.first().map_or(ErrorCode::None, |first| ErrorCode::from_code(first.error_code))
    }
}

/// What decides each request.
macro_rules! decided_by {
    ($($request:ty: |$controller:ident, $context:pat_param, $body:ident| $decide:expr);* $(;)?) => {$(
        impl ControllerRequest for $request {
            fn decide(
                &self,
                $controller: &mut QuorumController,
                $context: &ControllerRequestContext<'_>,
            ) -> ControllerResult<Self::Answer> {
                let $body = self;
                $decide
            }
        }
    )*};
}

decided_by! {
    AllocateProducerIdsRequest: |controller, _, body| controller.allocate_producer_ids(body);
    AlterClientQuotasRequest: |controller, _, body| controller.alter_client_quotas(body);
    AlterConfigsRequest: |controller, context, body| controller.alter_configs(context, body);
    AlterPartitionReassignmentsRequest: |controller, _, body| controller.alter_partition_reassignments(body);
    AlterPartitionRequest: |controller, context, body| controller.alter_partition(context, body);
    AssignReplicasToDirsRequest: |controller, _, body| controller.assign_replicas_to_dirs(body);
    BrokerHeartbeatRequest: |controller, context, body| controller.broker_heartbeat(context, body);
    BrokerRegistrationRequest: |controller, context, body| controller.register_broker(context, body);
    ControllerRegistrationRequest: |controller, _, body| controller.register_controller(body);
    CreatePartitionsRequest: |controller, context, body| controller.create_partitions(context, body);
    CreateTopicsRequest: |controller, context, body| create_topics(controller, context, body);
    DeleteTopicsRequest: |controller, context, body| controller.delete_topics(context, body);
    ElectLeadersRequest: |controller, _, body| controller.elect_leaders(body);
    IncrementalAlterConfigsRequest: |controller, context, body| controller.incremental_alter_configs(context, body);
    ListPartitionReassignmentsRequest: |controller, _, body| {
        ControllerResult::of(Vec::new(), controller.list_partition_reassignments(body))
    };
    UnregisterBrokerRequest: |controller, _, body| controller.unregister_broker(body);
    UnregisterControllerRequest: |controller, _, body| controller.unregister_controller(body);
    UpdateFeaturesRequest: |controller, context, body| controller.update_features(context, body);
}

/// Topics named twice are refused, all of their mentions with one answer, and the others created.
fn create_topics(
    controller: &mut QuorumController,
    context: &ControllerRequestContext<'_>,
    body: &CreateTopicsRequest,
) -> ControllerResult<CreateTopicsResponse> {
    let mut body = body.clone();
    let mut seen = HashSet::new();
    let duplicates: BTreeSet<String> = body
        .topics
        .iter()
        .filter(|topic| !seen.insert(&topic.name))
        .map(|topic| topic.name.clone())
        .collect();
    body.topics.retain(|topic| !duplicates.contains(&topic.name));
    let mut result: ControllerResult<CreateTopicsResponse> = controller.create_topics(context, &body);
    result.response.topics.extend(duplicates.into_iter().map(|name| CreatableTopicResult {
        name,
        error_code: ErrorCode::InvalidRequest.code(),
        error_message: Some("Duplicate topic name.".to_owned()),
        ..CreatableTopicResult::default()
    }));
    result
}
