//! What goes to one broker: a request takes the first batch of each partition that waits (`Sender`, `RecordAccumulator.drain`).
//!
//! Up to `max.in.flight.requests.per.connection` requests are under way; while they are, batches gather for the next one. A partition's
//! batches stay in order, and no request holds two of one partition.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use common::{ErrorCode, TopicPartition};
use protocol::Records;
use protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use protocol::messages::produce_response::PartitionProduceResponse;
use protocol::messages::{ProduceRequest, ProduceResponse};
use tokio::sync::{Notify, oneshot};

use super::batch::{Appended, ClosedBatch};
use super::queue::PartitionQueue;
use super::{Acks, Shared, lock};
use crate::ClientError;
use crate::connection::{Frame, Pending};

/// Produce requests name topics up to this version, and ids afterwards.
const BY_NAME: i16 = 12;

/// Batches smaller than this are copied into the request; a piece of its own in a write costs as much.
const COPIED: usize = 1024;

/// A batch comes back with what became of it.
pub(crate) type Answered = (ClosedBatch, Result<Appended, ClientError>);

/// A batch that is to go to a broker.
pub(crate) struct Parcel {
    pub(crate) queue: Arc<PartitionQueue>,
    pub(crate) batch: ClosedBatch,
    pub(crate) answer: oneshot::Sender<Answered>,
}

impl Parcel {
    fn partition(&self) -> &TopicPartition {
        &self.queue.partition
    }

    /// Its partition has it back. One that is gone, with its producer, wants nothing any more.
    fn give_back(self, result: Result<Appended, ClientError>) {
        drop(self.answer.send((self.batch, result)));
    }
}

/// The batches that wait for one broker.
#[derive(Default)]
pub(crate) struct Outbox {
    waiting: Mutex<VecDeque<Parcel>>,
    changed: Notify,
}

impl Outbox {
    /// Takes a batch that goes behind all of its partition that are here.
    pub(crate) fn put(&self, parcel: Parcel) {
        lock(&self.waiting).push_back(parcel);
        self.changed.notify_one();
    }

    /// What the next request holds, once there is something. Who drops this future misses nothing.
    async fn next(&self, max_request_size: usize) -> Vec<Parcel> {
        loop {
            let parcels = self.take(max_request_size);
            if !parcels.is_empty() {
                return parcels;
            }
            self.changed.notified().await;
        }
    }

    /// The first batch of each partition, as many as fit; one always does.
    fn take(&self, max_request_size: usize) -> Vec<Parcel> {
        let mut waiting = lock(&self.waiting);
        let (mut taken, mut left): (Vec<Parcel>, VecDeque<Parcel>) = Default::default();
        let mut partitions: HashSet<_, foldhash::fast::RandomState> = HashSet::default();
        let mut size = 0;
        while let Some(parcel) = waiting.pop_front() {
            if partitions.contains(&Arc::as_ptr(&parcel.queue)) {
                left.push_back(parcel);
                continue;
            }
            let with_it = size + parcel.batch.bytes.len();
            if !taken.is_empty() && with_it > max_request_size {
                left.push_back(parcel);
                break;
            }
            size = with_it;
            partitions.insert(Arc::as_ptr(&parcel.queue));
            taken.push(parcel);
        }
        // Invariant: what is left of a partition is in its order, and behind what was taken.
        left.append(&mut waiting);
        *waiting = left;
        taken
    }
}

impl Outbox {
    /// Where the broker cannot be reached any more, nothing waits here for it: another may lead by now.
    fn return_to_senders(&self, error: &ClientError) {
        let error = match error {
            ClientError::Connection { .. } => error.clone(),
            // What was not sent has not been tried.
            ClientError::Timeout { address, .. } => ClientError::Connection {
                address: address.clone(),
                reason: "it did not answer the request before".to_owned(),
            },
            _ => return,
        };
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        waiting.into_iter().for_each(|parcel| parcel.give_back(Err(error.clone())));
    }
}

/// A request under way.
struct Flight {
    parcels: Vec<Parcel>,
    pending: Pending,
}

/// Sends what comes to a broker's outbox until it is aborted.
pub(crate) async fn run(shared: Arc<Shared>, node: i32, outbox: Arc<Outbox>) {
    let config = &shared.config;
    let mut in_flight: VecDeque<Flight> = VecDeque::new();
    loop {
        let may_send = in_flight.len() < config.max_in_flight_requests;
        let front = in_flight.front_mut();
        let is_waiting = front.is_some();
        tokio::select! {
            // Answers first: they make room.
            biased;
            Some(answer) = async { Some(front?.pending.answer().await) }, if is_waiting => {
                let answered = in_flight.pop_front();
                match &answer {
                    // The broker shall not wait for the next request until everybody was told.
                    Ok(_) => {
                        let parcels = outbox.take(config.max_request_size);
                        if !parcels.is_empty() {
                            in_flight.extend(send(&shared, node, &outbox, parcels).await);
                        }
                    }
                    Err(error) => outbox.return_to_senders(error),
                }
                if let Some(flight) = answered {
                    give_back(flight.parcels, &answer);
                }
            }
            parcels = outbox.next(config.max_request_size), if may_send => {
                in_flight.extend(send(&shared, node, &outbox, parcels).await);
            }
        }
    }
}

/// Sends a request. Nothing where no answer comes.
async fn send(shared: &Shared, node: i32, outbox: &Outbox, parcels: Vec<Parcel>) -> Option<Flight> {
    match post(shared, node, &parcels).await {
        Ok(Some(pending)) => return Some(Flight { parcels, pending }),
        Ok(None) => {
            let unknown = Appended { base_offset: -1, log_append_time: -1 };
            parcels.into_iter().for_each(|parcel| parcel.give_back(Ok(unknown)));
        }
        Err(error) => {
            parcels.into_iter().for_each(|parcel| parcel.give_back(Err(error.clone())));
            outbox.return_to_senders(&error);
        }
    }
    None
}

/// Sends a request. Nothing where no answer comes.
async fn post(shared: &Shared, node: i32, parcels: &[Parcel]) -> Result<Option<Pending>, ClientError> {
    let config = &shared.config;
    let connection = shared.cluster.node(node).await?;
    let version = connection.version(protocol::ApiKey::Produce, BY_NAME)?;
    let mut topic_data: Vec<TopicProduceData<'_>> = Vec::new();
    let mut places: HashMap<&str, usize, foldhash::fast::RandomState> = HashMap::default();
    // By topic, as they stand in the request.
    let mut records: Vec<Vec<&[u8]>> = Vec::new();
    for parcel in parcels {
        let partition = parcel.partition();
        let place = *places.entry(&partition.topic).or_insert_with(|| {
            topic_data.push(TopicProduceData { name: &partition.topic, ..TopicProduceData::default() });
            records.push(Vec::new());
            topic_data.len() - 1
        });
        let bytes = &parcel.batch.bytes;
        let is_small = bytes.len() < COPIED;
        topic_data[place].partition_data.push(PartitionProduceData {
            index: partition.partition,
            records: Some(if is_small { Records::Inline(bytes) } else { Records::Elsewhere(bytes.len()) }),
        });
        if !is_small {
            records[place].push(bytes);
        }
    }
    let records = records.concat();
    let request = ProduceRequest {
        transactional_id: None,
        acks: config.acks.code(),
        timeout_ms: config.client.request_timeout.as_millis() as i32,
        topic_data,
    };
    if config.acks == Acks::None {
        connection.send_without_answer(&request, version, &records).await?;
        return Ok(None);
    }
    connection.post_with_records(&request, version, &records).await.map(Some)
}

/// Tells each partition what the broker says of its batch.
fn give_back(parcels: Vec<Parcel>, answer: &Result<Frame, ClientError>) {
    let response = answer.as_ref().map_err(ClientError::clone).and_then(Frame::read::<ProduceResponse>);
    let response = match response {
        Ok(response) => response,
        Err(error) => {
            return parcels.into_iter().for_each(|parcel| parcel.give_back(Err(error.clone())));
        }
    };
    let mut said: HashMap<(&str, i32), &PartitionProduceResponse, foldhash::fast::RandomState> =
        HashMap::default();
    for topic in &response.responses {
        let name = topic.name.as_str();
        said.extend(topic.partition_responses.iter().map(|partition| ((name, partition.index), partition)));
    }
    for parcel in parcels {
        let partition = parcel.partition();
        let said = said.get(&(&*partition.topic, partition.partition)).copied();
        parcel.give_back(appended(said));
    }
}

/// What a broker says of a batch.
fn appended(said: Option<&PartitionProduceResponse>) -> Result<Appended, ClientError> {
    let Some(partition) = said else {
        let text = "the answer does not name the partition".to_owned();
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
