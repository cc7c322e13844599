//! The task that sends one partition's batches.
//!
//! An idempotent producer has up to five batches under way, in order: the broker takes none whose forerunner is missing
//! (KIP-98). When one fails, all behind it are waited for, and those that failed are sent again in their order with
//! their sequence numbers. Before the first is acknowledged, and after a failure, there is one alone: a broker that
//! knows nothing of a producer takes any batch of it for the first. Without idempotence as many are under way as
//! `max.in.flight.requests.per.connection` says, and one that is sent again may land behind its followers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use common::{ErrorCode, TopicPartition};
use protocol::Records;
use protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProduceRequest, ProduceResponse};
use protocol::records::increment_sequence;

use super::batch::{Appended, ClosedBatch};
use super::queue::PartitionQueue;
use super::{Acks, Shared};
use crate::ClientError;
use crate::connection::{Frame, Pending};
use crate::trouble::Trouble;

/// Produce requests name topics up to this version, and ids afterwards.
const BY_NAME: i16 = 12;
/// The most batches of one producer that a broker remembers.
const MAX_IN_FLIGHT: usize = 5;

/// Whom the broker takes an idempotent producer for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProducerIdentity {
    id: i64,
    epoch: i16,
}

/// A batch that was sent.
struct Flight {
    batch: ClosedBatch,
    /// Nothing where there is no answer to wait for: it was not sent, or is not answered (`acks=0`).
    state: Sent,
}

enum Sent {
    Waiting(Pending),
    Known(Result<Appended, ClientError>),
}

impl Flight {
    /// Waits for the answer. May be dropped and called again.
    async fn answer(&mut self) -> Result<Appended, ClientError> {
        match &mut self.state {
            Sent::Waiting(pending) => pending.answer().await.and_then(|frame| appended(&frame)),
            Sent::Known(result) => result.clone(),
        }
    }
}

/// Sends a partition's batches until it is aborted.
pub(crate) async fn run(shared: Arc<Shared>, queue: Arc<PartitionQueue>) {
    let config = &shared.config;
    let is_idempotent = config.enable_idempotence && config.acks == Acks::All;
    let mut sender = Sender {
        shared: &shared,
        queue: &queue,
        partition: &queue.partition,
        is_idempotent,
        identity: None,
        is_known: false,
        next_sequence: 0,
        in_flight: VecDeque::new(),
        again: VecDeque::new(),
        trouble: Trouble::default(),
    };
    loop {
        while sender.may_send() {
            let Some(batch) = sender.again.pop_front() else { break };
            sender.send(batch).await;
        }
        let may_send = sender.may_send() && sender.again.is_empty();
        let front = sender.in_flight.front_mut();
        let is_waiting = front.is_some();
        tokio::select! {
            batch = queue.next(config), if may_send => {
                if let Some(batch) = sender.prepare(batch.close()).await {
                    sender.send(batch).await;
                }
            }
            Some(answer) = async { Some(front?.answer().await) }, if is_waiting => sender.answered(answer).await,
        }
    }
}

struct Sender<'a> {
    shared: &'a Shared,
    queue: &'a PartitionQueue,
    partition: &'a TopicPartition,
    is_idempotent: bool,
    identity: Option<ProducerIdentity>,
    /// The broker acknowledged something under this identity, and nothing failed since.
    is_known: bool,
    next_sequence: i32,
    /// In the order of their sequence numbers.
    in_flight: VecDeque<Flight>,
    /// What failed and is to be sent again, before anything new.
    again: VecDeque<ClosedBatch>,
    trouble: Trouble,
}

impl Sender<'_> {
    fn may_send(&self) -> bool {
        let wanted = self.shared.config.max_in_flight_requests;
        let limit = match (self.is_idempotent, self.is_known) {
            (true, true) => wanted.min(MAX_IN_FLIGHT),
            (true, false) => 1,
            (false, _) => wanted,
        };
        self.in_flight.len() < limit
    }

    /// Gives a batch its sequence number. Nothing if that failed for good.
    async fn prepare(&mut self, mut batch: ClosedBatch) -> Option<ClosedBatch> {
        if !self.is_idempotent {
            return Some(batch);
        }
        let deadline = batch.created + self.shared.config.delivery_timeout;
        let identity = loop {
            match self.identity().await {
                Ok(identity) => break identity,
                Err(error) if self.shared.cluster.may_retry(&error) && Instant::now() < deadline => {
                    self.wait_after(&error).await;
                }
                Err(error) => {
                    self.fail(batch, error);
                    return None;
                }
            }
        };
        let sequence = self.next_sequence;
        self.next_sequence = increment_sequence(sequence, batch.records_count);
        match batch.set_producer(identity.id, identity.epoch, sequence) {
            Ok(()) => Some(batch),
            Err(error) => {
                self.fail(batch, ClientError::Record(error.to_string()));
                None
            }
        }
    }

    /// The producer's id: the common one first, after a failure one of this partition's own.
    async fn identity(&mut self) -> Result<ProducerIdentity, ClientError> {
        if let Some(identity) = self.identity {
            return Ok(identity);
        }
        let identity = match self.next_sequence {
            0 => *self.shared.identity.get_or_try_init(|| new_identity(self.shared)).await?,
            _ => new_identity(self.shared).await?,
        };
        self.identity = Some(identity);
        self.next_sequence = 0;
        Ok(identity)
    }

    async fn send(&mut self, batch: ClosedBatch) {
        let state = match self.post(&batch).await {
            Ok(Some(pending)) => Sent::Waiting(pending),
            Ok(None) => Sent::Known(Ok(Appended { base_offset: -1, log_append_time: -1 })),
            Err(error) => Sent::Known(Err(error)),
        };
        self.in_flight.push_back(Flight { batch, state });
    }

    /// The first batch under way is answered.
    async fn answered(&mut self, answer: Result<Appended, ClientError>) {
        let Some(Flight { mut batch, .. }) = self.in_flight.pop_front() else { return };
        let config = &self.shared.config;
        let error = match answer {
            Ok(appended) => {
                self.trouble.is_over();
                self.is_known = self.is_idempotent;
                self.end(batch, Ok(appended));
                return;
            }
            Err(error) => error,
        };
        if !matches!(error, ClientError::Connection { .. } | ClientError::Bootstrap { .. }) {
            batch.attempts += 1;
        }
        let in_time = batch.created + config.delivery_timeout > Instant::now();
        let may_retry = self.shared.cluster.may_retry(&error) && batch.attempts <= config.retries;
        // Whoever leads now may know less of this producer than who led before.
        self.is_known = false;
        // Whatever the answers of those behind it are, they are known before anything is sent again.
        let behind = self.drain().await;
        if may_retry && in_time {
            self.again.push_back(batch);
            self.again.extend(behind);
            self.shared.cluster.forget(&self.partition.topic);
            return self.wait_after(&error).await;
        }
        let error = match may_retry && !in_time {
            true => ClientError::DeliveryTimeout {
                partition: self.partition.to_string(),
                elapsed_ms: batch.created.elapsed().as_millis() as u64,
                detail: format!("; the last error: {error}"),
            },
            false => error,
        };
        self.fail(batch, error);
        // The broker may or may not have it: those behind it begin anew under another id.
        self.identity = None;
        for batch in behind {
            if let Some(batch) = self.prepare(batch).await {
                self.again.push_back(batch);
            }
        }
    }

    /// Waits for all batches under way. Those that failed.
    async fn drain(&mut self) -> Vec<ClosedBatch> {
        let mut failed = Vec::new();
        while let Some(mut flight) = self.in_flight.pop_front() {
            match flight.answer().await {
                Ok(appended) => {
                    self.end(flight.batch, Ok(appended));
                }
                Err(_) => failed.push(flight.batch),
            }
        }
        failed
    }

    fn fail(&self, batch: ClosedBatch, error: ClientError) {
        self.end(batch, Err(error));
    }

    fn end(&self, batch: ClosedBatch, result: Result<Appended, ClientError>) {
        batch.end(result, self.partition, &self.shared.config.interceptors);
        self.queue.answered();
        self.shared.progress.notify_waiters();
    }

    async fn wait_after(&mut self, error: &ClientError) {
        self.trouble.tell(self.partition, error);
        tokio::time::sleep(self.shared.config.client.retry_backoff).await;
    }

    /// Sends a batch to the leader. Nothing where no answer comes.
    async fn post(&self, batch: &ClosedBatch) -> Result<Option<Pending>, ClientError> {
        let config = &self.shared.config;
        let cluster = &self.shared.cluster;
        let topic = cluster.topic(&self.partition.topic, true, config.client.retry_backoff).await?;
        let leader = topic.partition(self.partition.partition).map_or(-1, |partition| partition.leader);
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
            return Ok(None);
        }
        connection.post(&request, version).await.map(Some)
    }
}

/// What a broker says of a batch.
fn appended(frame: &Frame) -> Result<Appended, ClientError> {
    let response: ProduceResponse = frame.read()?;
    let partition = response.responses.first().and_then(|topic| topic.partition_responses.first());
    let Some(partition) = partition else {
        let text = "the answer names no partition".to_owned();
        return Err(ClientError::api(ErrorCode::UnknownServerError, Some(text)));
    };
    let message = partition.error_message.as_deref().or_else(|| {
        partition.record_errors.first().and_then(|error| error.batch_index_error_message.as_deref())
    });
    match ErrorCode::from_code(partition.error_code) {
        // The broker has had it all along and no longer knows at which offset.
        ErrorCode::DuplicateSequenceNumber => Ok(Appended { base_offset: -1, log_append_time: -1 }),
        code => {
            let message = message.or(words(code));
            ClientError::check(partition.error_code, message)?;
            Ok(Appended { base_offset: partition.base_offset, log_append_time: partition.log_append_time_ms })
        }
    }
}

/// What a code means, where the broker only gives the code.
fn words(code: ErrorCode) -> Option<&'static str> {
    match code {
        ErrorCode::MessageTooLarge => {
            Some("The request included a message larger than the max message size the server will accept.")
        }
        ErrorCode::InvalidTopicException => {
            Some("The request attempted to perform an operation on an invalid topic.")
        }
        ErrorCode::TopicAuthorizationFailed => Some("Topic authorization failed."),
        _ => None,
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
