//! What becomes of a produce request, and how long its answer takes.

use std::sync::Arc;
use std::time::Duration;

use common::{ErrorCode, TopicPartition, Uuid};
use protocol::messages::produce_request::TopicProduceData;
use protocol::messages::produce_response::{
    LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse,
};
use protocol::messages::{ProduceRequest, ProduceResponse};
use replica::{CommitWait, Partition};
use storage::AppendInfo;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::broker::{Broker, reached_at, topic_of};
use crate::request::{Head, Request};

/// A log that is to be synced before the answer leaves (`flush.messages`).
pub(super) type Unsynced = (Arc<Partition>, AppendInfo);

/// What became of a request.
pub(super) struct Taken {
    pub(super) head: Head,
    timeout: Duration,
    pub(super) response: ProduceResponse,
    pub(super) unsynced: Vec<Unsynced>,
    pub(super) uncommitted: Vec<CommitWait>,
    pub(super) first_error: ErrorCode,
}

impl Taken {
    pub(super) fn of(head: Head, body: &ProduceRequest<'_>) -> Taken {
        let response =
            ProduceResponse { responses: Vec::with_capacity(body.topic_data.len()), ..Default::default() };
        Taken {
            head,
            timeout: Duration::from_millis(u64::try_from(body.timeout_ms).unwrap_or(0)),
            response,
            unsynced: Vec::new(),
            uncommitted: Vec::new(),
            first_error: ErrorCode::None,
        }
    }

    /// What is said from now on is of this topic.
    pub(super) fn begin_topic(&mut self, topic: &TopicProduceData<'_>) {
        self.response.responses.push(TopicProduceResponse {
            name: topic.name.to_owned(),
            topic_id: topic.topic_id,
            partition_responses: Vec::with_capacity(topic.partition_data.len()),
        });
    }

    pub(super) fn name_leaders(&mut self, broker: &Broker, request: &Request<'_>) {
        if self.head.version >= 10 && self.first_error == ErrorCode::NotLeaderOrFollower {
            name_leaders(broker, &request.client.connection.listener, &mut self.response);
        }
    }

    /// Whether the answer is not yet true.
    pub(super) fn has_to_wait(&self) -> bool {
        !self.unsynced.is_empty() || !self.uncommitted.is_empty()
    }

    pub(super) fn begin_sync(self, broker: &Broker) -> Waiting {
        let Taken { head, timeout, response, unsynced, uncommitted, .. } = self;
        Waiting {
            head,
            deadline: Instant::now() + timeout,
            response,
            syncing: begin_sync(broker, unsynced),
            uncommitted,
        }
    }
}

/// A request that waits for disks or followers.
pub(super) struct Waiting {
    pub(super) head: Head,
    /// Until when the client waits for the followers.
    deadline: Instant,
    response: ProduceResponse,
    syncing: Vec<Syncing>,
    uncommitted: Vec<CommitWait>,
}

impl Waiting {
    pub(super) async fn response(self) -> ProduceResponse {
        let Waiting { mut response, syncing, uncommitted, deadline, .. } = self;
        finish_sync(syncing, &mut response).await;
        wait_for_commits(uncommitted, deadline, &mut response).await;
        response
    }
}

/// A batch that is written and waits for its sync.
struct Syncing {
    topic_id: Uuid,
    partition: TopicPartition,
    done: oneshot::Receiver<Result<(), ErrorCode>>,
}

/// Hands the logs over to be synced.
fn begin_sync(broker: &Broker, unsynced: Vec<Unsynced>) -> Vec<Syncing> {
    unsynced
        .into_iter()
        .map(|(partition, appended)| Syncing {
            topic_id: partition.topic_id(),
            partition: partition.topic_partition().clone(),
            done: broker.committer.commit(partition, appended),
        })
        .collect()
}

/// Waits for the syncs; what could not be synced is not acknowledged.
async fn finish_sync(syncing: Vec<Syncing>, response: &mut ProduceResponse) {
    for batch in syncing {
        let result = batch.done.await.unwrap_or(Err(ErrorCode::KafkaStorageError));
        let Err(error) = result else { continue };
        if let Some(partition) = answer_for(response, batch.topic_id, &batch.partition) {
            partition.error_code = error.code();
            partition.base_offset = -1;
        }
    }
}

/// What `acks=all` waits for, if the replicas in sync do not have the batch yet.
pub(super) fn wait_for(partition: &Arc<Partition>, appended: &AppendInfo) -> Option<CommitWait> {
    let wait = CommitWait::new(Arc::clone(partition), appended.last_leader_epoch, appended.last_offset);
    // A lone replica commits with the sync, and the answer waits for that.
    let by_sync = appended.needs_flush && !appended.duplicate && partition.is_sole_replica();
    (!by_sync && !wait.is_over()).then_some(wait)
}

/// Waits until the replicas in sync have what was appended (`acks=all`), for as long as the producer wants to.
async fn wait_for_commits(uncommitted: Vec<CommitWait>, deadline: Instant, response: &mut ProduceResponse) {
    for wait in uncommitted {
        let partition = Arc::clone(wait.partition());
        let error = match timeout_at(deadline, wait).await {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.error_code(),
            Err(_) => ErrorCode::RequestTimedOut,
        };
        if let Some(answer) = answer_for(response, partition.topic_id(), partition.topic_partition())
            && answer.error_code == 0
        {
            answer.error_code = error.code();
        }
    }
}

/// What the response says of a partition.
fn answer_for<'r>(
    response: &'r mut ProduceResponse,
    topic_id: Uuid,
    partition: &TopicPartition,
) -> Option<&'r mut PartitionProduceResponse> {
    response
        .responses
        .iter_mut()
        .filter(|topic| topic.topic_id == topic_id || *topic.name == *partition.topic)
        .flat_map(|topic| &mut topic.partition_responses)
        .find(|answer| answer.index == partition.partition)
}

/// Tells where the leaders are (KIP-951), so that the client need not ask.
fn name_leaders(broker: &Broker, listener: &str, response: &mut ProduceResponse) {
    let image = broker.image();
    for topic in &mut response.responses {
        let Some(known) = topic_of(&image, &topic.name, topic.topic_id) else { continue };
        for partition in &mut topic.partition_responses {
            if partition.error_code != ErrorCode::NotLeaderOrFollower.code() {
                continue;
            }
            let Some(registration) = known.partitions.get(&partition.index) else { continue };
            partition.current_leader =
                LeaderIdAndEpoch { leader_id: registration.leader, leader_epoch: registration.leader_epoch };
            if let Some((leader, endpoint)) = reached_at(&image, registration.leader, listener) {
                let node = NodeEndpoint {
                    node_id: leader.id,
                    host: endpoint.host.clone(),
                    port: i32::from(endpoint.port),
                    rack: leader.rack.clone(),
                };
                if !response.node_endpoints.contains(&node) {
                    response.node_endpoints.push(node);
                }
            }
        }
    }
}
