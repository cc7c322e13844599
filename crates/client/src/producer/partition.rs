//! One partition's queue, and the task that sends it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use common::{ErrorCode, TopicPartition};
use protocol::Records;
use protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProduceRequest, ProduceResponse};
use tokio::sync::Notify;

use super::batch::{Batch, ClosedBatch, Delivery, NewRecord};
use super::{Acks, ProducerConfig, Shared, lock};
use crate::ClientError;

/// Produce requests name topics up to this version, and ids afterwards.
const BY_NAME: i16 = 12;

/// Whom the broker takes an idempotent producer for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProducerIdentity {
    id: i64,
    epoch: i16,
}

/// The batches of a partition that are not under way yet.
pub(crate) struct PartitionQueue {
    partition: TopicPartition,
    state: Mutex<QueueState>,
    changed: Notify,
}

#[derive(Default)]
struct QueueState {
    batches: VecDeque<Batch>,
    /// A batch was taken and is not answered yet.
    under_way: bool,
    /// Nobody waits for batches to fill any more.
    flushing: bool,
}

impl PartitionQueue {
    pub(crate) fn new(partition: TopicPartition) -> PartitionQueue {
        PartitionQueue { partition, state: Mutex::default(), changed: Notify::new() }
    }

    pub(crate) fn append(&self, new: NewRecord, config: &ProducerConfig) -> Result<Delivery, ClientError> {
        let mut state = lock(&self.state);
        if !state.batches.back().is_some_and(|batch| batch.has_room(new.size, config.batch_size)) {
            state.batches.push_back(Batch::new(config));
        }
        let Some(batch) = state.batches.back_mut() else { return Err(ClientError::Closed) };
        let is_first = batch.records_count() == 0;
        let delivery = batch.append(new)?;
        let wake = is_first || batch.is_full(config.batch_size);
        drop(state);
        if wake {
            self.changed.notify_one();
        }
        Ok(delivery)
    }

    /// Lets everything go now. Whether anything is left.
    pub(crate) fn flush(&self) -> bool {
        let mut state = lock(&self.state);
        state.flushing = !state.batches.is_empty();
        let left = state.flushing || state.under_way;
        drop(state);
        self.changed.notify_one();
        left
    }

    /// The next batch once it may go: it is full, or another fills behind it, or it has lingered.
    async fn next(&self, config: &ProducerConfig) -> Batch {
        loop {
            let linger = {
                let mut state = lock(&self.state);
                let more = state.batches.len() > 1 || state.flushing;
                match state.batches.front() {
                    None => {
                        state.flushing = false;
                        None
                    }
                    Some(front) => {
                        let due = front.created + config.linger;
                        let may_go = more || front.is_full(config.batch_size) || due <= Instant::now();
                        if may_go && front.records_count() > 0 {
                            state.under_way = true;
                            if let Some(batch) = state.batches.pop_front() {
                                return batch;
                            }
                        }
                        Some(due)
                    }
                }
            };
            match linger {
                None => self.changed.notified().await,
                Some(due) => {
                    let _ = tokio::time::timeout_at(due.into(), self.changed.notified()).await;
                }
            }
        }
    }

    fn answered(&self) {
        lock(&self.state).under_way = false;
    }
}

/// Sends a partition's batches until it is aborted.
pub(crate) async fn run(shared: Arc<Shared>, queue: Arc<PartitionQueue>) {
    let mut sender =
        Sender { shared: &shared, partition: &queue.partition, identity: None, next_sequence: 0 };
    loop {
        let batch = queue.next(&shared.config).await;
        sender.deliver(batch).await;
        queue.answered();
        shared.progress.notify_waiters();
    }
}

struct Sender<'a> {
    shared: &'a Shared,
    partition: &'a TopicPartition,
    identity: Option<ProducerIdentity>,
    next_sequence: i32,
}

impl Sender<'_> {
    /// Sends a batch until the broker has it, refuses it, or its time is over.
    async fn deliver(&mut self, batch: Batch) {
        let config = &self.shared.config;
        let count = batch.records_count();
        let deadline = batch.created + config.delivery_timeout;
        let mut last_error = None;
        let identity = loop {
            match self.identity().await {
                Ok(identity) => break identity,
                Err(error) if error.is_retriable() && Instant::now() < deadline => {
                    tokio::time::sleep(config.client.retry_backoff).await;
                }
                Err(error) => return batch.close(-1, -1, -1).fail(&error),
            }
        };
        let (id, epoch) = identity.map_or((-1, -1), |identity| (identity.id, identity.epoch));
        let batch = batch.close(id, epoch, self.next_sequence);
        loop {
            match self.send(&batch).await {
                Ok((base_offset, log_append_time)) => {
                    self.next_sequence = protocol::records::increment_sequence(self.next_sequence, count);
                    return batch.complete(self.partition.partition, base_offset, log_append_time);
                }
                Err(error) if error.is_retriable() && Instant::now() < deadline => {
                    self.shared.cluster.forget(&self.partition.topic).await;
                    last_error = Some(error);
                    tokio::time::sleep(config.client.retry_backoff).await;
                }
                Err(error) => {
                    // The broker may or may not have it. A new id lets the next batch begin at zero again.
                    self.identity = None;
                    let is_first_try = last_error.is_none();
                    let error = self.final_error(&batch, error, is_first_try);
                    return batch.fail(&error);
                }
            }
        }
    }

    fn final_error(&self, batch: &ClosedBatch, error: ClientError, is_first_try: bool) -> ClientError {
        if is_first_try || !error.is_retriable() {
            return error;
        }
        ClientError::DeliveryTimeout {
            partition: self.partition.to_string(),
            elapsed_ms: batch.created.elapsed().as_millis() as u64,
            detail: format!("; the last error: {error}"),
        }
    }

    /// The producer's id, the common one first, after a failure one of this partition's own.
    async fn identity(&mut self) -> Result<Option<ProducerIdentity>, ClientError> {
        let config = &self.shared.config;
        if !config.enable_idempotence || config.acks != Acks::All {
            return Ok(None);
        }
        if self.identity.is_none() {
            let is_first = self.next_sequence == 0;
            self.identity = Some(match is_first {
                true => *self.shared.identity.get_or_try_init(|| new_identity(self.shared)).await?,
                false => new_identity(self.shared).await?,
            });
            self.next_sequence = 0;
        }
        Ok(self.identity)
    }

    /// One try. Base offset and log append time.
    async fn send(&self, batch: &ClosedBatch) -> Result<(i64, i64), ClientError> {
        let config = &self.shared.config;
        let cluster = &self.shared.cluster;
        let topic = cluster.topic(&self.partition.topic, true, config.client.retry_backoff).await?;
        let leader =
            topic.partitions.get(self.partition.partition as usize).map_or(-1, |partition| partition.leader);
        if leader < 0 {
            return Err(ClientError::api(ErrorCode::LeaderNotAvailable, None));
        }
        let connection = cluster.node(leader).await?;
        let version = connection.version(protocol::ApiKey::Produce, BY_NAME)?;
        let request = ProduceRequest {
            transactional_id: None,
            acks: config.acks.code(),
            timeout_ms: config.client.request_timeout.as_millis() as i32,
            topic_data: vec![TopicProduceData {
                name: &self.partition.topic,
                partition_data: vec![PartitionProduceData {
                    index: self.partition.partition,
                    records: Some(Records::Inline(&batch.bytes)),
                }],
                ..TopicProduceData::default()
            }],
        };
        if config.acks == Acks::None {
            connection.send_without_answer(&request, version).await?;
            return Ok((-1, -1));
        }
        let frame = connection.send_in_version(&request, version).await?;
        let response: ProduceResponse = frame.read()?;
        let partition = response.responses.first().and_then(|topic| topic.partition_responses.first());
        let Some(partition) = partition else {
            return Err(ClientError::api(
                ErrorCode::UnknownServerError,
                Some("the answer names no partition".to_owned()),
            ));
        };
        let message = partition.error_message.as_deref().or_else(|| {
            partition.record_errors.first().and_then(|error| error.batch_index_error_message.as_deref())
        });
        match ErrorCode::from_code(partition.error_code) {
            // The broker has had it all along and no longer knows at which offset.
            ErrorCode::DuplicateSequenceNumber => Ok((-1, -1)),
            _ => {
                ClientError::check(partition.error_code, message)?;
                Ok((partition.base_offset, partition.log_append_time_ms))
            }
        }
    }
}

async fn new_identity(shared: &Shared) -> Result<ProducerIdentity, ClientError> {
    let connection = shared.cluster.any().await?;
    let request = InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: i32::MAX,
        ..InitProducerIdRequest::default()
    };
    let response: InitProducerIdResponse = connection.call(&request).await?;
    ClientError::check(response.error_code, None)?;
    Ok(ProducerIdentity { id: response.producer_id, epoch: response.producer_epoch })
}
