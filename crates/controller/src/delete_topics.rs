//! DeleteTopics (`ReplicationControlManager.deleteTopics`, `ControllerApis.deleteTopics`).

use std::collections::BTreeMap;

use common::{ErrorCode, Uuid};
use metadata::VersionedRecord;
use protocol::messages::delete_topics_response::DeletableTopicResult;
use protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, RemoveTopicRecord};

use crate::api_error::ApiError;
use crate::quorum_controller::QuorumController;
use crate::result::{ControllerRequestContext, ControllerResult};

impl QuorumController {
    /// Deletes topics by name or, from version 6, by id. Each stands or falls by itself.
    pub fn delete_topics(
        &self,
        context: &ControllerRequestContext<'_>,
        request: &DeleteTopicsRequest,
    ) -> ControllerResult<DeleteTopicsResponse> {
        if !self.is_active() {
            return fail_all(request, &ApiError::standard(ErrorCode::NotController));
        }
        if !self.config.delete_topic_enable {
            let error = if context.api_version < 3 {
                ApiError::new(ErrorCode::InvalidRequest, "This version does not support topic deletion.")
            } else {
                ApiError::silent(ErrorCode::TopicDeletionDisabled)
            };
            return fail_all(request, &error);
        }
        let mut responses = Vec::new();
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        let mut ids: BTreeMap<Uuid, usize> = BTreeMap::new();
        for name in &request.topic_names {
            *names.entry(name).or_default() += 1;
        }
        let invalid = |message: &str| ApiError::new(ErrorCode::InvalidRequest, message);
        for topic in &request.topics {
            match &topic.name {
                None if topic.topic_id.is_zero() => {
                    let error = invalid("Neither topic name nor id were specified.");
                    responses.push(result(None, Uuid::ZERO, Err(error)));
                }
                None => *ids.entry(topic.topic_id).or_default() += 1,
                Some(name) if topic.topic_id.is_zero() => *names.entry(name).or_default() += 1,
                Some(name) => {
                    let error = invalid("You may not specify both topic name and topic id.");
                    responses.push(result(Some(name), topic.topic_id, Err(error)));
                }
            }
        }
        // What to delete, and how it was named.
        let mut found: BTreeMap<Uuid, &str> = BTreeMap::new();
        for (id, times) in &ids {
            match self.state.replication.topic(id) {
                _ if *times > 1 => responses.push(result(None, *id, Err(invalid("Duplicate topic id.")))),
                None => responses.push(result(None, *id, Err(ApiError::standard(ErrorCode::UnknownTopicId)))),
                Some(topic) => drop(found.insert(*id, &topic.name)),
            }
        }
        for (name, times) in &names {
            let name = *name;
            match self.state.replication.topic_by_name(name) {
                _ if *times > 1 => {
                    responses.push(result(Some(name), Uuid::ZERO, Err(invalid("Duplicate topic name."))));
                }
                None => {
                    let error = ApiError::standard(ErrorCode::UnknownTopicOrPartition);
                    responses.push(result(Some(name), Uuid::ZERO, Err(error)));
                }
                Some(topic) if ids.contains_key(&topic.id) => {
                    let error = invalid("The provided topic name maps to an ID that was already supplied.");
                    found.remove(&topic.id);
                    responses.push(result(Some(name), topic.id, Err(error)));
                }
                Some(topic) => drop(found.insert(topic.id, name)),
            }
        }
        let mut records: Vec<VersionedRecord> = Vec::new();
        for (topic_id, name) in found {
            records.push((RemoveTopicRecord { topic_id }.into(), 0));
            responses.push(result(Some(name), topic_id, Ok(())));
        }
        ControllerResult::atomic_of(records, DeleteTopicsResponse { throttle_time_ms: 0, responses })
    }
}

fn result(name: Option<&str>, topic_id: Uuid, outcome: Result<(), ApiError>) -> DeletableTopicResult {
    let (error_code, error_message) = crate::api_error::code_and_message(outcome);
    DeletableTopicResult { name: name.map(str::to_owned), topic_id, error_code, error_message }
}

fn fail_all(request: &DeleteTopicsRequest, error: &ApiError) -> ControllerResult<DeleteTopicsResponse> {
    let by_name = request.topic_names.iter().map(|name| (Some(name.as_str()), Uuid::ZERO));
    let by_either = request.topics.iter().map(|topic| (topic.name.as_deref(), topic.topic_id));
    let responses = by_name.chain(by_either).map(|(name, id)| result(name, id, Err(error.clone()))).collect();
    ControllerResult::of(Vec::new(), DeleteTopicsResponse { throttle_time_ms: 0, responses })
}
