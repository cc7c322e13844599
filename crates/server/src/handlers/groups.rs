//! The APIs of groups and their offsets: decoded here, decided by the coordinator, answered when it answers.

use std::sync::Arc;

use common::topic::GROUP_METADATA_TOPIC;
use common::{ErrorCode, Uuid};
use group::{Reply, RequestContext, TopicResolver, TopicsImage};
use metadata::MetadataImage;
use network::{Handled, Outbox};
use protocol::messages::consumer_group_describe_response::DescribedGroup;
use protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, DeleteGroupsRequest, DescribeGroupsRequest, DescribeGroupsResponse,
    JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest, OffsetDeleteRequest, SyncGroupRequest,
};
use protocol::{ApiKey, Message};
use tokio::sync::oneshot;

use super::authorized_operations as operations;
use crate::broker::Broker;
use crate::clock::now_ms;
use crate::request::{BadRequest, Request};
use crate::stalled_disks;

/// The coordinator's view of the topics there are.
pub(crate) struct Topics(pub(crate) Arc<MetadataImage>);

impl TopicResolver for Topics {
    fn topic_name(&self, id: Uuid) -> Option<String> {
        self.0.topics.topic_by_id(&id).map(|topic| topic.name.to_string())
    }

    fn topic_id(&self, name: &str) -> Option<Uuid> {
        self.0.topics.topic(name).map(|topic| topic.id)
    }

    fn has_partition(&self, name: &str, partition: i32) -> bool {
        self.0.topics.topic(name).is_some_and(|topic| topic.partitions.contains_key(&partition))
    }
}

impl TopicsImage for Topics {
    fn version(&self) -> i64 {
        self.0.provenance.last_contained_offset
    }

    fn partition_count(&self, name: &str) -> Option<i32> {
        let topic = self.0.topics.topic(name)?;
        Some(i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX))
    }

    fn partition_racks(&self, name: &str, partition: i32) -> Vec<String> {
        let partition = self.0.topics.topic(name).and_then(|topic| topic.partitions.get(&partition));
        let replicas = partition.into_iter().flat_map(|partition| &partition.replicas);
        replicas.filter_map(|replica| self.0.cluster.brokers.get(replica)?.rack.clone()).collect()
    }

    fn for_each_name(&self, visit: &mut dyn FnMut(&str)) {
        self.0.topics.iter().for_each(|topic| visit(&topic.name));
    }
}

/// Whether a protocol is offered: its feature is finalised, and the configuration does not leave it out.
pub(crate) fn offers(broker: &Broker, image: &MetadataImage, protocol: &str, feature: &str) -> bool {
    let level = image.features.finalized_versions.get(feature).copied().unwrap_or(0);
    let configured = match broker.settings.broker().value("group.coordinator.rebalance.protocols") {
        config::Value::List(protocols) => protocols.iter().any(|name| name == protocol),
        _ => true,
    };
    level >= 1 && configured
}

/// Whether the protocol of KIP-848 is offered.
fn offers_consumer_groups(broker: &Broker, image: &MetadataImage) -> bool {
    offers(broker, image, "consumer", "group.version")
}

pub(crate) fn handle(
    broker: &Arc<Broker>,
    request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let groups = &broker.groups;
    let topics = Topics(broker.image());
    let now = now_ms();
    match request.head.api {
        ApiKey::OffsetCommit => write(
            broker,
            request,
            out,
            |body: &OffsetCommitRequest| vec![&*body.group_id],
            |context, body, reply| groups.commit_offsets(context, body, &topics, now, reply),
        ),
        ApiKey::OffsetFetch => call(request, out, |context, body, reply| {
            groups.fetch_offsets(context, body, &topics, now, reply)
        }),
        ApiKey::OffsetDelete => write(
            broker,
            request,
            out,
            |body: &OffsetDeleteRequest| vec![&*body.group_id],
            |context, body, reply| groups.delete_offsets(context, body, &topics, now, reply),
        ),
        ApiKey::JoinGroup => write(
            broker,
            request,
            out,
            |body: &JoinGroupRequest| vec![&*body.group_id],
            |context, body, reply| groups.join_group(context, body, now, reply),
        ),
        ApiKey::SyncGroup => write(
            broker,
            request,
            out,
            |body: &SyncGroupRequest| vec![&*body.group_id],
            |context, body, reply| groups.sync_group(context, body, now, reply),
        ),
        ApiKey::Heartbeat => {
            call(request, out, |context, body, reply| groups.heartbeat(context, body, now, reply))
        }
        ApiKey::LeaveGroup => write(
            broker,
            request,
            out,
            |body: &LeaveGroupRequest| vec![&*body.group_id],
            |context, body, reply| groups.leave_group(context, body, now, reply),
        ),
        ApiKey::DescribeGroups => call(request, out, |context, body: DescribeGroupsRequest, reply| {
            let reply = if body.include_authorized_operations { with_operations(reply) } else { reply };
            groups.describe_groups(context, body, now, reply)
        }),
        ApiKey::ListGroups => {
            call(request, out, |context, body, reply| groups.list_groups(context, body, now, reply))
        }
        ApiKey::DeleteGroups => write(
            broker,
            request,
            out,
            |body: &DeleteGroupsRequest| body.groups_names.iter().map(|group| &**group).collect(),
            |context, body, reply| groups.delete_groups(context, body, now, reply),
        ),
        ApiKey::ConsumerGroupHeartbeat => {
            let offered = offers_consumer_groups(broker, &topics.0);
            let changes = |body: &ConsumerGroupHeartbeatRequest| {
                body.member_epoch < 1
                    || body.subscribed_topic_names.is_some()
                    || body.subscribed_topic_regex.is_some()
                    || body.topic_partitions.is_some()
            };
            write(
                broker,
                request,
                out,
                |body| if offered && changes(body) { vec![&*body.group_id] } else { Vec::new() },
                |context, body, reply| {
                    if offered {
                        groups.consumer_group_heartbeat(context, body, now, reply);
                    } else {
                        reply(ConsumerGroupHeartbeatResponse {
                            error_code: ErrorCode::UnsupportedVersion.code(),
                            ..ConsumerGroupHeartbeatResponse::default()
                        });
                    }
                },
            )
        }
        ApiKey::ConsumerGroupDescribe => {
            let offered = offers_consumer_groups(broker, &topics.0);
            call(request, out, |context, body: ConsumerGroupDescribeRequest, reply| {
                if offered {
                    groups.describe_consumer_groups(context, body, now, reply);
                } else {
                    let refuse = |group_id| DescribedGroup {
                        group_id,
                        error_code: ErrorCode::UnsupportedVersion.code(),
                        ..DescribedGroup::default()
                    };
                    reply(ConsumerGroupDescribeResponse {
                        groups: body.group_ids.into_iter().map(refuse).collect(),
                        ..ConsumerGroupDescribeResponse::default()
                    });
                }
            })
        }
        other => Err(BadRequest::NotServed(other)),
    }
}

/// Adds to the answer what the client may do with the groups that are there.
fn with_operations(reply: Reply<DescribeGroupsResponse>) -> Reply<DescribeGroupsResponse> {
    Box::new(move |mut answer| {
        for group in answer.groups.iter_mut().filter(|group| group.error_code == 0) {
            group.authorized_operations = operations::GROUP;
        }
        reply(answer);
    })
}

/// Hands the request to the coordinator, and its answer, now or later, to the connection.
pub(crate) fn call<'a, Body, Answer>(
    mut request: Request<'a>,
    out: &mut Outbox,
    coordinate: impl FnOnce(&RequestContext, Body, Reply<Answer>),
) -> Result<Handled, BadRequest>
where
    Body: Message<'a>,
    Answer: Message<'static> + Default + Send + 'static,
{
    let body = request.read()?;
    answer(request, out, body, coordinate)
}

/// The same for what changes these groups: it waits while a disk stalls to which they are written. In the coordinator, where others'
/// requests wait for the same group, it would be refused, and clients tell their users that a commit was.
pub(crate) fn write<'a, Body, Answer>(
    broker: &Broker,
    mut request: Request<'a>,
    out: &mut Outbox,
    groups: impl for<'b> FnOnce(&'b Body) -> Vec<&'b str>,
    coordinate: impl FnOnce(&RequestContext, Body, Reply<Answer>),
) -> Result<Handled, BadRequest>
where
    Body: Message<'a>,
    Answer: Message<'static> + Default + Send + 'static,
{
    let body = request.read()?;
    let partition =
        |group: &str| broker.replicas.partition(GROUP_METADATA_TOPIC, broker.groups.partition_for(group));
    let wait = stalled_disks::to_wait_for(broker, || groups(&body).into_iter().filter_map(partition));
    match wait {
        Some(wait) => Ok(Handled::Again(wait)),
        None => answer(request, out, body, coordinate),
    }
}

fn answer<Body, Answer>(
    request: Request<'_>,
    out: &mut Outbox,
    body: Body,
    coordinate: impl FnOnce(&RequestContext, Body, Reply<Answer>),
) -> Result<Handled, BadRequest>
where
    Answer: Message<'static> + Default + Send + 'static,
{
    let context = RequestContext {
        api_version: request.head.version,
        client_id: request.client.id.to_owned(),
        client_host: format!("/{}", request.client.connection.peer.ip()),
    };
    let (sender, mut receiver) = oneshot::channel();
    // A client that is gone does not want the answer any more.
    coordinate(&context, body, Box::new(move |answer| drop(sender.send(answer))));
    // Most answers are there by now: they leave with the others of requests that came together.
    if let Ok(answer) = receiver.try_recv() {
        return request.head.answer(&answer, out);
    }
    request.head.later(async move {
        // Invariant: the coordinator answers everything, at the latest when it is shut down, and then the connection ends.
        receiver.await.unwrap_or_default()
    })
}
