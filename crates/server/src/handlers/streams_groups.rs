//! The APIs of streams groups (KIP-1071, KIP-1331), and the topics that such a group needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::ErrorCode;
use common::topic::{is_internal, validate_topic_name};
use group::{Reply, StreamsGroupHeartbeatResult};
use network::{Handled, Outbox};
use parking_lot::Mutex;
use protocol::ApiKey;
use protocol::messages::create_topics_request::CreatableTopic;
use protocol::messages::streams_group_describe_response::DescribedGroup;
use protocol::messages::streams_group_heartbeat_request::Topology;
use protocol::messages::{
    CreateTopicsRequest, StreamsGroupDescribeRequest, StreamsGroupDescribeResponse,
    StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse,
    StreamsGroupTopologyDescriptionUpdateRequest, StreamsGroupTopologyDescriptionUpdateResponse,
};

use super::authorized_operations as operations;
use super::groups::{call, offers, write};
use crate::broker::Broker;
use crate::clock::now_ms;
use crate::request::{BadRequest, Request};

/// `StreamsGroupHeartbeatResponse.Status.MISSING_INTERNAL_TOPICS`
const MISSING_INTERNAL_TOPICS: i8 = 3;
/// Why a topic could not be created is told for this many heartbeats, and it is not tried again for as long.
const HEARTBEATS_PER_ATTEMPT: i64 = 2;
/// Errors that are kept at most (`DefaultAutoTopicCreationManager`).
const MAX_ERRORS: usize = 1_000;
/// Errors that one answer tells.
const ERRORS_TOLD: usize = 3;
const CREATE_TIMEOUT_MS: i32 = 30_000;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let groups = &broker.groups;
    let now = now_ms();
    let offered = offers(broker, &broker.image(), "streams", "streams.version");
    let unsupported = ErrorCode::UnsupportedVersion.code();
    match request.head.api {
        ApiKey::StreamsGroupHeartbeat => {
            let changes = |body: &StreamsGroupHeartbeatRequest| {
                body.member_epoch < 1 || body.topology.is_some() || body.active_tasks.is_some()
            };
            write(
                broker,
                request,
                out,
                |body| if offered && changes(body) { vec![&*body.group_id] } else { Vec::new() },
                |context, body, reply| {
                    if !offered {
                        return reply(refused(ErrorCode::UnsupportedVersion, None));
                    }
                    if let Err(message) = body.topology.as_ref().map_or(Ok(()), validate_topics) {
                        return reply(refused(ErrorCode::StreamsInvalidTopology, Some(message)));
                    }
                    groups.streams_group_heartbeat(context, body, now, with_topics(broker, reply));
                },
            )
        }
        ApiKey::StreamsGroupDescribe => {
            call(request, out, |context, body: StreamsGroupDescribeRequest, reply| {
                if offered {
                    let reply =
                        if body.include_authorized_operations { with_operations(reply) } else { reply };
                    return groups.describe_streams_groups(context, body, now, reply);
                }
                let refuse = |group_id| DescribedGroup {
                    group_id,
                    error_code: unsupported,
                    ..DescribedGroup::default()
                };
                reply(StreamsGroupDescribeResponse {
                    groups: body.group_ids.into_iter().map(refuse).collect(),
                    ..StreamsGroupDescribeResponse::default()
                });
            })
        }
        ApiKey::StreamsGroupTopologyDescriptionUpdate => {
            call(request, out, |context, body: StreamsGroupTopologyDescriptionUpdateRequest, reply| {
                if offered {
                    return groups.update_streams_topology_description(context, body, reply);
                }
                reply(StreamsGroupTopologyDescriptionUpdateResponse {
                    error_code: unsupported,
                    ..StreamsGroupTopologyDescriptionUpdateResponse::default()
                });
            })
        }
        other => Err(BadRequest::NotServed(other)),
    }
}

fn refused(error: ErrorCode, error_message: Option<String>) -> StreamsGroupHeartbeatResponse {
    StreamsGroupHeartbeatResponse {
        error_code: error.code(),
        error_message,
        status: Some(Vec::new()),
        ..StreamsGroupHeartbeatResponse::default()
    }
}

/// Whether an application may have these topics: not those of the brokers, and only with names that topics can have.
fn validate_topics(topology: &Topology) -> Result<(), String> {
    let names: BTreeSet<&str> = topology
        .subtopologies
        .iter()
        .flat_map(|subtopology| {
            let named = subtopology.source_topics.iter().chain(&subtopology.repartition_sink_topics);
            let internal =
                subtopology.repartition_source_topics.iter().chain(&subtopology.state_changelog_topics);
            named.map(String::as_str).chain(internal.map(|topic| topic.name.as_str()))
        })
        .collect();
    let join = |bad: &dyn Fn(&str) -> bool| {
        let bad: Vec<&str> = names.iter().copied().filter(|name| bad(name)).collect();
        bad.join(",")
    };
    let prohibited = join(&is_internal);
    if !prohibited.is_empty() {
        return Err(format!(
            "Use of Kafka internal topics {prohibited} in a Kafka Streams topology is prohibited."
        ));
    }
    // An empty name is bad too, and its list of bad names is empty.
    if names.iter().any(|name| validate_topic_name(name).is_err()) {
        let invalid = join(&|name| validate_topic_name(name).is_err());
        return Err(format!("Topic names {invalid} are not valid topic names."));
    }
    Ok(())
}

fn with_operations(reply: Reply<StreamsGroupDescribeResponse>) -> Reply<StreamsGroupDescribeResponse> {
    Box::new(move |mut answer| {
        for group in answer.groups.iter_mut().filter(|group| group.error_code == 0) {
            group.authorized_operations = operations::GROUP;
        }
        reply(answer);
    })
}

/// Has the topics created that the group is found to need, and says what has become of the last attempt.
fn with_topics(
    broker: &Arc<Broker>,
    reply: Reply<StreamsGroupHeartbeatResponse>,
) -> Reply<StreamsGroupHeartbeatResult> {
    let broker = Arc::clone(broker);
    // The answer may come from a thread that is none of the runtime's.
    let runtime = tokio::runtime::Handle::current();
    Box::new(move |result| {
        let StreamsGroupHeartbeatResult { mut response, internal_topics_to_create: topics } = result;
        if !topics.is_empty() {
            let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
            let interval_ms = i64::from(response.heartbeat_interval_ms);
            let to_create = broker.internal_topics.begin(topics, now_ms());
            if !to_create.is_empty() {
                let broker = Arc::clone(&broker);
                runtime.spawn(async move { create(&broker, to_create, interval_ms).await });
            }
            let errors = broker.internal_topics.errors(&names, now_ms());
            let statuses = response.status.iter_mut().flatten();
            let missing = statuses.into_iter().find(|status| status.status_code == MISSING_INTERNAL_TOPICS);
            if let Some(status) = missing.filter(|_| !errors.is_empty()) {
                let told = errors.iter().take(ERRORS_TOLD).map(String::as_str).collect::<Vec<_>>().join(", ");
                let more = match errors.len().checked_sub(ERRORS_TOLD) {
                    Some(more) if more > 0 => format!(" and {more} more"),
                    _ => String::new(),
                };
                status.status_detail.push_str(&format!("; Creation failed: {told}{more}."));
            }
        }
        reply(response);
    })
}

async fn create(broker: &Broker, topics: Vec<CreatableTopic>, interval_ms: i64) {
    let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
    tracing::info!("creating {} topics of an application: {}", names.len(), names.join(", "));
    let request = CreateTopicsRequest { topics, timeout_ms: CREATE_TIMEOUT_MS, validate_only: false };
    let failed: Vec<(String, String)> = match broker.channel.send(request).await {
        Err(error) => names.iter().map(|name| (name.clone(), error.to_string())).collect(),
        Ok(response) => response
            .topics
            .into_iter()
            .filter(|topic| topic.error_code != 0)
            .map(|topic| {
                let error = ErrorCode::from_code(topic.error_code);
                let message = topic.error_message.filter(|message| !message.is_empty());
                (topic.name, message.unwrap_or_else(|| error.to_string()))
            })
            .collect(),
    };
    for (name, error) in &failed {
        tracing::warn!(topic = %name, "a topic of an application cannot be created: {error}");
    }
    let until_ms = now_ms().saturating_add(interval_ms.saturating_mul(HEARTBEATS_PER_ATTEMPT));
    broker.internal_topics.end(&names, failed, until_ms);
}

/// The topics of applications that are being created, and those that could not be
/// (Kafka's `DefaultAutoTopicCreationManager`).
#[derive(Default)]
pub(crate) struct InternalTopicCreation {
    state: Mutex<Creation>,
}

#[derive(Default)]
struct Creation {
    in_flight: BTreeSet<String>,
    /// Why not, and until when that is kept (ms).
    errors: BTreeMap<String, (String, i64)>,
}

impl InternalTopicCreation {
    /// Those of the topics that nobody creates, and that did not fail just now. Whoever begins has to end.
    fn begin(&self, topics: Vec<CreatableTopic>, now_ms: i64) -> Vec<CreatableTopic> {
        let state = &mut *self.state.lock();
        state.errors.retain(|_, (_, until_ms)| *until_ms > now_ms);
        let (in_flight, errors) = (&mut state.in_flight, &state.errors);
        topics
            .into_iter()
            .filter(|topic| !errors.contains_key(&topic.name) && in_flight.insert(topic.name.clone()))
            .collect()
    }

    fn end(&self, names: &[String], failed: Vec<(String, String)>, until_ms: i64) {
        let state = &mut *self.state.lock();
        for name in names {
            state.in_flight.remove(name);
        }
        for (name, error) in failed {
            if state.errors.len() < MAX_ERRORS {
                state.errors.insert(name, (error, until_ms));
            }
        }
    }

    /// Which of these could not be created, and why.
    fn errors(&self, names: &[String], now_ms: i64) -> Vec<String> {
        let state = self.state.lock();
        names
            .iter()
            .filter_map(|name| {
                let (error, until_ms) = state.errors.get(name)?;
                (*until_ms > now_ms).then(|| format!("{name} ({error})"))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> CreatableTopic {
        CreatableTopic { name: name.to_owned(), ..CreatableTopic::default() }
    }

    #[test]
    fn a_topic_is_created_by_one_at_a_time_and_after_an_error_later() {
        let creation = InternalTopicCreation::default();
        let begun = creation.begin(vec![topic("a"), topic("b")], 0);
        assert_eq!(begun.len(), 2);
        assert!(creation.begin(vec![topic("a")], 0).is_empty(), "somebody is at it");
        creation.end(&["a".to_owned(), "b".to_owned()], vec![("b".to_owned(), "why".to_owned())], 10);
        assert_eq!(creation.errors(&["a".to_owned(), "b".to_owned()], 9), ["b (why)"]);
        assert_eq!(creation.begin(vec![topic("a"), topic("b")], 9).len(), 1);
        assert_eq!(creation.begin(vec![topic("b")], 10).len(), 1);
        assert!(creation.errors(&["b".to_owned()], 10).is_empty());
    }
}
