//! `Produce`: batches into the logs of partitions led here.

use std::sync::Arc;

use common::ErrorCode;
use network::{Handled, Outbox};
use protocol::messages::ProduceRequest;
use protocol::messages::ProduceResponse;
use protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse,
};
use protocol::records::RecordBatch;
use replica::{HostedTopic, Partition, PartitionError};
use storage::{AppendInfo, AppendOrigin};

use crate::broker::Broker;
use crate::clock::now_ms;
use crate::request::{BadRequest, Request};

/// A log that is to be synced before the answer leaves (`flush.messages`).
type Unsynced = (Arc<Partition>, AppendInfo);

/// Clients with this id may write to internal topics, as in Kafka.
const ADMIN_CLIENT_ID: &str = "__admin_client";

pub(crate) fn handle(
    broker: &Arc<Broker>,
    mut request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let body: ProduceRequest<'_> = request.read()?;
    let head = request.head;
    let mut unsynced = Vec::new();
    let append = Append {
        broker,
        version: head.version,
        acks: body.acks,
        transactional: body.transactional_id.is_some(),
        internal_allowed: request.client.id == ADMIN_CLIENT_ID,
        now_ms: now_ms(),
    };
    let mut first_error = ErrorCode::None;
    let mut response =
        ProduceResponse { responses: Vec::with_capacity(body.topic_data.len()), ..Default::default() };
    for topic in &body.topic_data {
        response.responses.push(append.topic(topic, &mut unsynced, &mut first_error));
    }
    if body.acks == 0 {
        sync_unanswered(unsynced);
        return match first_error {
            ErrorCode::None => Ok(Handled::Done),
            error => Err(BadRequest::ProduceWithoutAcks(error)),
        };
    }
    if head.version >= 10 && first_error == ErrorCode::NotLeaderOrFollower {
        name_leaders(broker, &request.client.connection.listener, &mut response);
    }
    if unsynced.is_empty() {
        return head.answer(&response, out);
    }
    head.later(async move {
        sync(unsynced, &mut response).await;
        response
    })
}

struct Append<'a> {
    broker: &'a Broker,
    version: i16,
    acks: i16,
    transactional: bool,
    internal_allowed: bool,
    now_ms: i64,
}

/// Why one partition's batch was not taken.
struct Refusal {
    error: ErrorCode,
    message: Option<String>,
    records: Vec<BatchIndexAndErrorMessage>,
}

impl From<ErrorCode> for Refusal {
    fn from(error: ErrorCode) -> Refusal {
        Refusal { error, message: None, records: Vec::new() }
    }
}

impl Refusal {
    fn new(error: ErrorCode, message: &str) -> Refusal {
        Refusal { error, message: Some(message.to_owned()), records: Vec::new() }
    }
}

impl From<PartitionError> for Refusal {
    fn from(error: PartitionError) -> Refusal {
        let records = match &error {
            PartitionError::Append(append) => append
                .record_errors()
                .iter()
                .map(|record| BatchIndexAndErrorMessage {
                    batch_index: record.batch_index,
                    batch_index_error_message: record.message.clone(),
                })
                .collect(),
            _ => Vec::new(),
        };
        let code = error.error_code();
        // Codes that every client knows need no words; the others get the reason.
        let message = match code {
            ErrorCode::NotLeaderOrFollower => None,
            _ => Some(error.to_string()),
        };
        Refusal { error: code, message, records }
    }
}

impl Append<'_> {
    fn topic(
        &self,
        topic: &TopicProduceData<'_>,
        unsynced: &mut Vec<Unsynced>,
        first_error: &mut ErrorCode,
    ) -> TopicProduceResponse {
        let by_id = self.version >= 13;
        let hosted = match by_id {
            true => self.broker.replicas.topic_by_id(topic.topic_id),
            false => self.broker.replicas.topic(topic.name),
        };
        let partition_responses = topic
            .partition_data
            .iter()
            .map(|data| {
                let result = self.partition(hosted.as_deref(), topic, data);
                match result {
                    Ok((partition, appended)) => {
                        let answer = PartitionProduceResponse {
                            index: data.index,
                            base_offset: appended.first_offset,
                            log_append_time_ms: appended.log_append_time,
                            log_start_offset: appended.log_start_offset,
                            ..PartitionProduceResponse::default()
                        };
                        if appended.needs_flush && !appended.duplicate {
                            unsynced.push((partition, appended));
                        } else if appended.rolled {
                            sync_in_background(partition);
                        }
                        answer
                    }
                    Err(refusal) => {
                        if first_error.is_none() {
                            *first_error = refusal.error;
                        }
                        PartitionProduceResponse {
                            index: data.index,
                            error_code: refusal.error.code(),
                            base_offset: -1,
                            error_message: refusal.message,
                            record_errors: refusal.records,
                            ..PartitionProduceResponse::default()
                        }
                    }
                }
            })
            .collect();
        TopicProduceResponse { name: topic.name.to_owned(), topic_id: topic.topic_id, partition_responses }
    }

    fn partition(
        &self,
        hosted: Option<&HostedTopic>,
        topic: &TopicProduceData<'_>,
        data: &PartitionProduceData<'_>,
    ) -> Result<(Arc<Partition>, AppendInfo), Refusal> {
        if !(-1..=1).contains(&self.acks) {
            return Err(ErrorCode::InvalidRequiredAcks.into());
        }
        if self.transactional {
            return Err(Refusal::new(
                ErrorCode::TransactionalIdAuthorizationFailed,
                "Transactions are not served by this version of milena",
            ));
        }
        let records = data.records.map(|records| records.inline()).unwrap_or_default();
        self.check_batch(records)?;
        let partition = hosted.and_then(|hosted| hosted.partition(data.index));
        let Some(partition) = partition else { return Err(self.unknown(topic, data.index).into()) };
        if !self.internal_allowed && common::topic::is_internal(&partition.topic_partition().topic) {
            return Err(Refusal::new(ErrorCode::InvalidTopicException, "Cannot append to an internal topic"));
        }
        let appended =
            partition.append_as_leader(records, AppendOrigin::Client, self.acks == -1, self.now_ms)?;
        Ok((Arc::clone(partition), appended))
    }

    /// A partition without replica here: another broker's, or nobody's.
    fn unknown(&self, topic: &TopicProduceData<'_>, index: i32) -> ErrorCode {
        let image = self.broker.image();
        let known = match self.version >= 13 {
            true => image.topics.topic_by_id(&topic.topic_id),
            false => image.topics.topic(topic.name),
        };
        match known {
            Some(known) if known.partitions.contains_key(&index) => ErrorCode::NotLeaderOrFollower,
            None if self.version >= 13 => ErrorCode::UnknownTopicId,
            _ => ErrorCode::UnknownTopicOrPartition,
        }
    }

    /// What a produce request may carry: exactly one batch of the present format (`ProduceRequest.validateRecords`).
    fn check_batch(&self, records: &[u8]) -> Result<(), Refusal> {
        let invalid = |message| Refusal::new(ErrorCode::InvalidRecord, message);
        if records.is_empty() {
            return Err(invalid(
                "Produce requests must carry exactly one record batch in each partition, there is none",
            ));
        }
        // Shorter than a header, or of an old format: the log names what is wrong.
        let Ok(batch) = RecordBatch::parse(records) else { return Ok(()) };
        if batch.size_in_bytes() != records.len() {
            return Err(invalid(
                "Produce requests must carry exactly one record batch in each partition, there is more",
            ));
        }
        if self.version < 7 && batch.compression() == protocol::compression::Compression::Zstd {
            return Err(Refusal::new(
                ErrorCode::UnsupportedCompressionType,
                "zstd is for produce requests of version 7 and higher",
            ));
        }
        Ok(())
    }
}

/// Tells where the leaders are (KIP-951), so that the client need not ask.
fn name_leaders(broker: &Broker, listener: &str, response: &mut ProduceResponse) {
    let image = broker.image();
    for topic in &mut response.responses {
        let Some(known) = crate::broker::topic_of(&image, &topic.name, topic.topic_id) else { continue };
        for partition in &mut topic.partition_responses {
            if partition.error_code != ErrorCode::NotLeaderOrFollower.code() {
                continue;
            }
            let Some(registration) = known.partitions.get(&partition.index) else { continue };
            partition.current_leader =
                LeaderIdAndEpoch { leader_id: registration.leader, leader_epoch: registration.leader_epoch };
            let leader = image.cluster.broker(registration.leader);
            let endpoint = leader.and_then(|leader| Some((leader, leader.listener(listener)?)));
            if let Some((leader, endpoint)) = endpoint {
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

/// Syncs the logs, each once, away from the threads that serve connections; then what was appended is committed.
async fn sync(unsynced: Vec<Unsynced>, response: &mut ProduceResponse) {
    let results = tokio::task::spawn_blocking(move || {
        unsynced
            .into_iter()
            .map(|(partition, appended)| {
                let result = partition.log().flush_up_to(appended.last_offset + 1);
                if result.is_ok() {
                    partition.committed(&appended);
                }
                (partition.topic_id(), partition.topic_partition().clone(), result)
            })
            .collect::<Vec<_>>()
    })
    .await
    .unwrap_or_default();
    for (topic_id, topic_partition, result) in results {
        let Err(error) = result else { continue };
        tracing::error!(partition = %topic_partition, %error, "the log cannot be synced");
        for topic in &mut response.responses {
            if topic.topic_id != topic_id && *topic.name != *topic_partition.topic {
                continue;
            }
            for partition in &mut topic.partition_responses {
                if partition.index == topic_partition.partition {
                    partition.error_code = error.error_code().code();
                    partition.base_offset = -1;
                }
            }
        }
    }
}

/// `acks=0`: nobody waits for the sync, but it is done all the same, and only then is the record seen.
fn sync_unanswered(unsynced: Vec<Unsynced>) {
    if !unsynced.is_empty() {
        tokio::spawn(async move {
            sync(unsynced, &mut ProduceResponse::default()).await;
        });
    }
}

/// A new segment has begun: those before it become durable without anybody waiting (`UnifiedLog.roll`).
fn sync_in_background(partition: Arc<Partition>) {
    tokio::task::spawn_blocking(move || {
        if let Err(error) = partition.log().flush_inactive_segments() {
            tracing::error!(partition = %partition.topic_partition(), %error, "a rolled segment cannot be synced");
        }
    });
}
