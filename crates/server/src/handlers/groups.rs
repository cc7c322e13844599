//! The APIs of groups and their offsets: decoded here, decided by the coordinator, answered when it answers.

use std::sync::Arc;

use common::Uuid;
use group::{Reply, RequestContext, TopicResolver};
use metadata::MetadataImage;
use network::Handled;
use protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse};
use protocol::{ApiKey, Message};
use tokio::sync::oneshot;

use super::authorized_operations as operations;
use crate::broker::Broker;
use crate::clock::now_ms;
use crate::request::{BadRequest, Request};

/// The coordinator's view of the topics there are.
struct Topics(Arc<MetadataImage>);

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

pub(crate) fn handle(broker: &Arc<Broker>, request: Request<'_>) -> Result<Handled, BadRequest> {
    let groups = &broker.groups;
    let topics = Topics(broker.image());
    let now = now_ms();
    match request.head.api {
        ApiKey::OffsetCommit => {
            call(request, |context, body, reply| groups.commit_offsets(context, body, &topics, now, reply))
        }
        ApiKey::OffsetFetch => {
            call(request, |context, body, reply| groups.fetch_offsets(context, body, &topics, now, reply))
        }
        ApiKey::OffsetDelete => {
            call(request, |context, body, reply| groups.delete_offsets(context, body, &topics, now, reply))
        }
        ApiKey::JoinGroup => {
            call(request, |context, body, reply| groups.join_group(context, body, now, reply))
        }
        ApiKey::SyncGroup => {
            call(request, |context, body, reply| groups.sync_group(context, body, now, reply))
        }
        ApiKey::Heartbeat => {
            call(request, |context, body, reply| groups.heartbeat(context, body, now, reply))
        }
        ApiKey::LeaveGroup => {
            call(request, |context, body, reply| groups.leave_group(context, body, now, reply))
        }
        ApiKey::DescribeGroups => call(request, |context, body: DescribeGroupsRequest, reply| {
            let reply = if body.include_authorized_operations { with_operations(reply) } else { reply };
            groups.describe_groups(context, body, now, reply)
        }),
        ApiKey::ListGroups => {
            call(request, |context, body, reply| groups.list_groups(context, body, now, reply))
        }
        ApiKey::DeleteGroups => {
            call(request, |context, body, reply| groups.delete_groups(context, body, now, reply))
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
fn call<'a, Body, Answer>(
    mut request: Request<'a>,
    coordinate: impl FnOnce(&RequestContext, Body, Reply<Answer>),
) -> Result<Handled, BadRequest>
where
    Body: Message<'a>,
    Answer: Message<'static> + Default + Send + 'static,
{
    let body: Body = request.read()?;
    let context = RequestContext {
        api_version: request.head.version,
        client_id: request.client.id.to_owned(),
        client_host: format!("/{}", request.client.connection.peer.ip()),
    };
    let (sender, receiver) = oneshot::channel();
    // A client that is gone does not want the answer any more.
    coordinate(&context, body, Box::new(move |answer| drop(sender.send(answer))));
    request.head.later(async move {
        // Invariant: the coordinator answers everything, at the latest when it is shut down, and then the connection ends.
        receiver.await.unwrap_or_default()
    })
}
