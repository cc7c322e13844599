//! `Produce`: batches into the logs of partitions led here.

pub(crate) mod together;
mod waiting;

use std::sync::Arc;

use common::ErrorCode;
use network::{Handled, Outbox};
use protocol::messages::ProduceRequest;
use protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use protocol::messages::produce_response::{BatchIndexAndErrorMessage, PartitionProduceResponse};
use protocol::records::{BatchHeader, CURRENT_MAGIC};
use replica::{HostedTopic, Partition, PartitionError};
use storage::{AppendInfo, AppendOrigin};

use crate::broker::Broker;
use crate::clock::now_ms;
use crate::metrics::TopicCounts;
use crate::request::{BadRequest, Request};
use crate::stalled_disks;
use waiting::{Taken, wait_for};

/// Clients with this id may write to internal topics, as in Kafka.
const ADMIN_CLIENT_ID: &str = "__admin_client";

pub(crate) fn handle(
    broker: &Arc<Broker>,
    mut request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let body: ProduceRequest<'_> = request.read()?;
    let head = request.head;
    if let Some(wait) = stalled_disks::to_wait_for(broker, || partitions(broker, &body, head.version)) {
        return Ok(Handled::Again(wait));
    }
    let append = Append::of(broker, &request, &body);
    let mut taken = Taken::of(head, &body);
    for topic in &body.topic_data {
        let hosted = hosted(broker, topic, head.version);
        taken.begin_topic(topic);
        for data in &topic.partition_data {
            let result = append.partition(hosted.as_deref(), topic, data);
            append.say(hosted.as_deref(), data, result, &mut taken);
        }
    }
    if body.acks == 0 {
        // Nobody waits for the sync, but only after it is the record seen.
        let first_error = taken.first_error;
        drop(taken.begin_sync(broker));
        return match first_error {
            ErrorCode::None => Ok(Handled::Done),
            error => Err(BadRequest::ProduceWithoutAcks(error)),
        };
    }
    taken.name_leaders(broker, &request);
    if !taken.has_to_wait() {
        return head.answer(&taken.response, out);
    }
    let waiting = taken.begin_sync(broker);
    head.later(waiting.response())
}

/// Those partitions of the request that have a replica here.
fn partitions<'a>(
    broker: &'a Broker,
    request: &'a ProduceRequest<'_>,
    version: i16,
) -> impl Iterator<Item = Arc<Partition>> + 'a {
    request.topic_data.iter().flat_map(move |topic| {
        let hosted = hosted(broker, topic, version);
        let partitions = topic.partition_data.iter();
        partitions.filter_map(move |data| hosted.as_deref()?.partition(data.index).cloned())
    })
}

fn hosted(broker: &Broker, topic: &TopicProduceData<'_>, version: i16) -> Option<Arc<HostedTopic>> {
    match version >= 13 {
        true => broker.replicas.topic_by_id(topic.topic_id),
        false => broker.replicas.topic(topic.name),
    }
}

struct Append<'a> {
    broker: &'a Broker,
    version: i16,
    acks: i16,
    transactional: bool,
    internal_allowed: bool,
    now_ms: i64,
}

impl<'a> Append<'a> {
    fn of(broker: &'a Broker, request: &Request<'_>, body: &ProduceRequest<'_>) -> Append<'a> {
        Append {
            broker,
            version: request.head.version,
            acks: body.acks,
            transactional: has_transactional_batch(body),
            internal_allowed: request.client.id == ADMIN_CLIENT_ID,
            now_ms: now_ms(),
        }
    }
}

/// Whether a batch belongs to a transaction (`RequestUtils.hasTransactionalRecords`).
fn has_transactional_batch(request: &ProduceRequest<'_>) -> bool {
    let partitions = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    partitions
        .filter_map(|data| data.records)
        .any(|records| BatchHeader::parse(records.inline()).is_ok_and(|header| header.is_transactional()))
}

/// Why one partition's batch was not taken.
struct Refusal {
    error: ErrorCode,
    message: Option<String>,
    records: Vec<BatchIndexAndErrorMessage>,
    /// Where the log begins; -1 where it was not asked.
    log_start_offset: i64,
}

impl From<ErrorCode> for Refusal {
    fn from(error: ErrorCode) -> Refusal {
        Refusal { error, message: None, records: Vec::new(), log_start_offset: -1 }
    }
}

impl Refusal {
    fn new(error: ErrorCode, message: &str) -> Refusal {
        Refusal { message: Some(message.to_owned()), ..Refusal::from(error) }
    }

    /// What a partition refused.
    fn of(error: PartitionError, partition: &Partition) -> Refusal {
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
        // Kafka keeps silent about the log after the errors that it counts as known.
        let log_start_offset = match code {
            ErrorCode::NotLeaderOrFollower
            | ErrorCode::MessageTooLarge
            | ErrorCode::RecordListTooLarge
            | ErrorCode::CorruptMessage
            | ErrorCode::KafkaStorageError => -1,
            _ => partition.log().log_start_offset(),
        };
        Refusal { error: code, message, records, log_start_offset }
    }
}

impl Append<'_> {
    /// Says what became of a partition's batch.
    fn say(
        &self,
        hosted: Option<&HostedTopic>,
        data: &PartitionProduceData<'_>,
        result: Result<(Arc<Partition>, AppendInfo), Refusal>,
        taken: &mut Taken,
    ) {
        let answer = match result {
            Ok((partition, appended)) => {
                self.count(&partition, &appended);
                let answer = PartitionProduceResponse {
                    index: data.index,
                    base_offset: appended.first_offset,
                    log_append_time_ms: appended.log_append_time,
                    log_start_offset: appended.log_start_offset,
                    ..PartitionProduceResponse::default()
                };
                if self.acks == -1 && !appended.committed {
                    taken.uncommitted.extend(wait_for(&partition, &appended));
                }
                if appended.needs_flush && !appended.duplicate {
                    taken.unsynced.push((partition, appended));
                } else if appended.rolled {
                    sync_in_background(partition);
                }
                answer
            }
            Err(refusal) => {
                self.count_refused(hosted, data.index);
                if taken.first_error.is_none() {
                    taken.first_error = refusal.error;
                }
                PartitionProduceResponse {
                    index: data.index,
                    error_code: refusal.error.code(),
                    base_offset: -1,
                    log_start_offset: refusal.log_start_offset,
                    error_message: refusal.message,
                    record_errors: refusal.records,
                    ..PartitionProduceResponse::default()
                }
            }
        };
        if let Some(topic) = taken.response.responses.last_mut() {
            topic.partition_responses.push(answer);
        }
    }

    fn count(&self, partition: &Partition, appended: &AppendInfo) {
        let Some(metrics) = &self.broker.metrics else { return };
        metrics.topics.count(&partition.topic_partition().topic, |counts| {
            counts.total_produce_requests += 1;
            if !appended.duplicate {
                counts.messages_in += (appended.last_offset - appended.first_offset + 1).max(0) as u64;
                counts.bytes_in += appended.valid_bytes as u64;
            }
        });
    }

    /// What was not for a partition of this broker counts with all topics alone: it may name any.
    fn count_refused(&self, hosted: Option<&HostedTopic>, partition: i32) {
        let Some(metrics) = &self.broker.metrics else { return };
        let change = |counts: &mut TopicCounts| {
            counts.total_produce_requests += 1;
            counts.failed_produce_requests += 1;
        };
        match hosted.and_then(|hosted| hosted.partition(partition)) {
            Some(partition) => metrics.topics.count(&partition.topic_partition().topic, change),
            None => metrics.topics.count_of_all(change),
        }
    }

    fn partition(
        &self,
        hosted: Option<&HostedTopic>,
        topic: &TopicProduceData<'_>,
        data: &PartitionProduceData<'_>,
    ) -> Result<(Arc<Partition>, AppendInfo), Refusal> {
        let (partition, batch) = self.acceptable(hosted, topic, data)?;
        let appended = partition
            .append_as_leader(batch, AppendOrigin::Client, self.acks == -1, self.now_ms)
            .map_err(|error| Refusal::of(error, partition))?;
        Ok((Arc::clone(partition), appended))
    }

    /// Where a batch is to go, as far as that can be said without its log.
    fn acceptable<'p>(
        &self,
        hosted: Option<&'p HostedTopic>,
        topic: &TopicProduceData<'_>,
        data: &PartitionProduceData<'p>,
    ) -> Result<(&'p Arc<Partition>, &'p [u8]), Refusal> {
        if self.transactional {
            return Err(Refusal::new(
                ErrorCode::TransactionalIdAuthorizationFailed,
                "Transactions are not served by this version of milena",
            ));
        }
        let partition = hosted.and_then(|hosted| hosted.partition(data.index));
        let Some(partition) = partition else { return Err(self.unknown(topic, data.index).into()) };
        let records = data.records.map(|records| records.inline()).unwrap_or_default();
        let batch = self.one_batch(records)?;
        if !(-1..=1).contains(&self.acks) {
            return Err(ErrorCode::InvalidRequiredAcks.into());
        }
        if !self.internal_allowed && common::topic::is_internal(&partition.topic_partition().topic) {
            return Err(Refusal::new(ErrorCode::InvalidTopicException, "Cannot append to an internal topic"));
        }
        Ok((partition, batch))
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

    /// The batch in `records`: a produce request carries exactly one, of the present format
    /// (`ProduceRequest.validateRecords`).
    fn one_batch<'r>(&self, records: &'r [u8]) -> Result<&'r [u8], Refusal> {
        let invalid = |message| Refusal::new(ErrorCode::InvalidRecord, message);
        let Some(size) = whole_batch(records)? else {
            return Err(invalid(
                "Produce requests must carry exactly one record batch in each partition, there is none",
            ));
        };
        let (batch, rest) = records.split_at(size);
        if batch.get(MAGIC_OFFSET) != Some(&(CURRENT_MAGIC as u8)) {
            return Err(invalid("Produce requests must carry record batches with magic version 2"));
        }
        // The log names what is wrong with a header.
        let is_zstd = |header: BatchHeader| header.compression() == protocol::compression::Compression::Zstd;
        if self.version < 7 && BatchHeader::parse(batch).is_ok_and(is_zstd) {
            return Err(Refusal::new(
                ErrorCode::UnsupportedCompressionType,
                "zstd is for produce requests of version 7 and higher",
            ));
        }
        if whole_batch(rest)?.is_some() {
            return Err(invalid(
                "Produce requests must carry exactly one record batch in each partition, there is more",
            ));
        }
        Ok(batch)
    }
}

/// Where the magic byte of every format lies; a batch has at least these bytes.
const MAGIC_OFFSET: usize = 16;

/// The size of the batch that begins here, if all of it is here (`ByteBufferLogInputStream`).
fn whole_batch(records: &[u8]) -> Result<Option<usize>, Refusal> {
    let length = records.get(8..).and_then(|rest| rest.first_chunk::<4>());
    let Some(length) = length.map(|length| i32::from_be_bytes(*length)) else { return Ok(None) };
    let corrupt = |message: String| Refusal { message: Some(message), ..ErrorCode::CorruptMessage.into() };
    // What a record of the oldest format takes.
    if length < 14 {
        return Err(corrupt(format!("Record size {length} is less than the minimum record overhead (14)")));
    }
    match records.get(MAGIC_OFFSET) {
        None => return Ok(None),
        Some(0..=2) => {}
        Some(magic) => return Err(corrupt(format!("Invalid magic found in record: {}", *magic as i8))),
    }
    let size = length as usize + 12;
    Ok((size <= records.len()).then_some(size))
}

/// A new segment has begun: those before it become durable without anybody waiting (`UnifiedLog.roll`).
fn sync_in_background(partition: Arc<Partition>) {
    tokio::task::spawn_blocking(move || {
        if let Err(error) = partition.log().flush_inactive_segments() {
            tracing::error!(partition = %partition.topic_partition(), %error, "a rolled segment cannot be synced");
        }
    });
}
