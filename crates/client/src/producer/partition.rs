//! The task that sends one partition's batches.
//!
//! An idempotent producer has up to five batches under way, in order: the broker takes none whose forerunner is missing
//! (KIP-98). When one fails, all behind it are waited for, and those that failed are sent again in their order with
//! their sequence numbers. Before the first is acknowledged, and after a failure, there is one alone: a broker that
//! knows nothing of a producer takes any batch of it for the first. Without idempotence as many are under way as
//! `max.in.flight.requests.per.connection` says, and one that is sent again may land behind its followers. The leader's
//! [outbox](super::outbox) puts the batches of several partitions into one request.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use common::{ErrorCode, TopicPartition};
use protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use protocol::records::increment_sequence;
use tokio::sync::oneshot;

use super::batch::{Appended, Batch, ClosedBatch};
use super::outbox::{Answered, Parcel};
use super::queue::PartitionQueue;
use super::{Acks, Shared};
use crate::ClientError;
use crate::trouble::Trouble;

/// The most batches of one producer that a broker remembers.
const MAX_IN_FLIGHT: usize = 5;

/// So many batches more wait in the leader's outbox while that many are under way: a request finds those of all partitions there,
/// without a wait for each partition's task to see that the one before it was answered.
const READY: usize = 3;

/// Whom the broker takes an idempotent producer for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProducerIdentity {
    id: i64,
    epoch: i16,
}

/// A batch that was sent.
enum Flight {
    Waiting(oneshot::Receiver<Answered>),
    /// It was not sent; nothing once that was told.
    Known(Option<Answered>),
}

impl Flight {
    /// Waits for the answer. May be dropped and called again. Nothing if the producer ends.
    async fn answer(&mut self) -> Option<Answered> {
        match self {
            Flight::Waiting(receiver) => receiver.await.ok(),
            Flight::Known(answered) => answered.take(),
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
        let room = if sender.again.is_empty() { sender.room() } else { Room::None };
        let front = sender.in_flight.front_mut();
        let is_waiting = front.is_some();
        tokio::select! {
            batch = queue.next(config, room == Room::Complete), if room != Room::None => {
                if let Some(batch) = sender.close(batch).await {
                    sender.send(batch).await;
                }
            }
            Some(answer) = async { Some(front?.answer().await) }, if is_waiting => sender.answered(answer).await,
        }
    }
}

struct Sender<'a> {
    shared: &'a Arc<Shared>,
    queue: &'a Arc<PartitionQueue>,
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

/// What may be given to the leader's outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    None,
    /// A batch to which nothing is added any more. It would wait there, so another may as well fill here meanwhile.
    Complete,
    Any,
}

impl Sender<'_> {
    fn may_send(&self) -> bool {
        self.room() == Room::Any
    }

    fn room(&self) -> Room {
        let wanted = self.shared.config.max_in_flight_requests;
        // Invariant: a request has one batch of a partition, so no more of them are under way than requests may be, or than are
        // given to the outbox.
        let (limit, ready) = match (self.is_idempotent, self.is_known) {
            (true, true) if wanted > MAX_IN_FLIGHT => (MAX_IN_FLIGHT, 0),
            (true, false) => (1, 0),
            (_, _) => (wanted, READY),
        };
        match self.in_flight.len() {
            count if count < limit => Room::Any,
            count if count < limit + ready => Room::Complete,
            _ => Room::None,
        }
    }

    /// Closes a batch with its sequence number. Nothing if that failed for good.
    async fn close(&mut self, batch: Batch) -> Option<ClosedBatch> {
        if !self.is_idempotent {
            return Some(batch.close(None));
        }
        match self.sequence_for(batch.created, batch.records_count()).await {
            Ok((identity, sequence)) => Some(batch.close(Some((identity.id, identity.epoch, sequence)))),
            Err(error) => {
                self.fail(batch.close(None), error);
                None
            }
        }
    }

    /// Gives a batch that failed another sequence number. Nothing if that failed for good.
    async fn renumber(&mut self, mut batch: ClosedBatch) -> Option<ClosedBatch> {
        if !self.is_idempotent {
            return Some(batch);
        }
        let numbered = match self.sequence_for(batch.created, batch.records_count).await {
            Ok((identity, sequence)) => batch
                .set_producer(identity.id, identity.epoch, sequence)
                .map_err(|error| ClientError::Record(error.to_string())),
            Err(error) => Err(error),
        };
        match numbered {
            Ok(()) => Some(batch),
            Err(error) => {
                self.fail(batch, error);
                None
            }
        }
    }

    /// The sequence number of a batch of so many records, and whose it is.
    async fn sequence_for(
        &mut self,
        created: Instant,
        records_count: i32,
    ) -> Result<(ProducerIdentity, i32), ClientError> {
        let deadline = created + self.shared.config.delivery_timeout;
        let identity = loop {
            match self.identity().await {
                Ok(identity) => break identity,
                Err(error) if self.shared.cluster.may_retry(&error) && Instant::now() < deadline => {
                    self.wait_after(&error).await;
                }
                Err(error) => return Err(error),
            }
        };
        let sequence = self.next_sequence;
        self.next_sequence = increment_sequence(sequence, records_count);
        Ok((identity, sequence))
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
        let flight = self.post(batch).await;
        self.in_flight.push_back(flight);
    }

    /// The first batch under way is answered.
    async fn answered(&mut self, answered: Option<Answered>) {
        self.in_flight.pop_front();
        let Some((mut batch, answer)) = answered else { return };
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
        let mut behind = self.drain().await;
        // Invariant: what waits to be sent again was sent behind what was under way.
        behind.extend(self.again.drain(..));
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
            if let Some(batch) = self.renumber(batch).await {
                self.again.push_back(batch);
            }
        }
    }

    /// Waits for all batches under way. Those that failed.
    async fn drain(&mut self) -> Vec<ClosedBatch> {
        let mut failed = Vec::new();
        while let Some(mut flight) = self.in_flight.pop_front() {
            match flight.answer().await {
                Some((batch, Ok(appended))) => self.end(batch, Ok(appended)),
                Some((batch, Err(_))) => failed.push(batch),
                None => {}
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
        let pause = self.shared.config.client.retry_pause(self.trouble.tries());
        self.trouble.tell(self.partition, error);
        tokio::time::sleep(pause).await;
    }

    /// Gives a batch to the leader's outbox.
    async fn post(&self, batch: ClosedBatch) -> Flight {
        let leader = match self.leader().await {
            Ok(leader) => leader,
            Err(error) => return Flight::Known(Some((batch, Err(error)))),
        };
        let (answer, receiver) = oneshot::channel();
        let queue = Arc::clone(self.queue);
        self.shared.outbox(leader).put(Parcel { queue, batch, answer });
        Flight::Waiting(receiver)
    }

    async fn leader(&self) -> Result<i32, ClientError> {
        let patience = self.shared.config.client.retry_backoff;
        let topic = self.shared.cluster.topic(&self.partition.topic, true, patience).await?;
        let leader = topic.partition(self.partition.partition).map_or(-1, |partition| partition.leader);
        if leader < 0 {
            return Err(ClientError::api(ErrorCode::LeaderNotAvailable, None));
        }
        Ok(leader)
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
