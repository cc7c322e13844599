//! `Fetch`: records out of the logs, with sessions (KIP-227) and a wait for more; for consumers and for followers.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use common::ErrorCode;
use network::{Handled, Later, Outbox};
use protocol::Records;
use protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use protocol::messages::{FetchRequest, FetchResponse};
use replica::{
    FetchWaiter, FetchedPartition, FollowerPosition, Isolation, Partition, PartitionError, SettledReader,
    Watch, WatchedEnd,
};
use storage::LogSlice;

use crate::broker::{Broker, reached_at, topic_of};
use crate::clock::now_ms;
use crate::fetch_session::{FetchContext, FetchPartition, PartitionFacts, TopicKey};
use crate::replication::ReplicaSelector;
use crate::request::{BadRequest, Head, Request};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    mut request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let body: FetchRequest = request.read()?;
    let head = request.head;
    let log_start_moves = broker.replicas.logs().log_start_moves();
    let context = match broker.sessions.begin(&body, head.version, log_start_moves, now_ms()) {
        Ok(context) => context,
        Err(error) => {
            let refusal = FetchResponse { error_code: error.code(), ..FetchResponse::default() };
            return head.answer(&refusal, out);
        }
    };
    let reader = Reader::of(&body, head.version);
    let max_bytes = body.max_bytes.min(broker.settings.broker().replication.fetch_max_bytes).max(0);
    let mut fetch = Fetch {
        broker: Arc::clone(broker),
        head,
        listener: Arc::clone(&request.client.connection.listener),
        max_bytes: max_bytes as usize,
        // More than may come is not waited for.
        min_bytes: body.min_bytes.clamp(0, max_bytes) as usize,
        reader,
        context,
    };
    let found = fetch.read(Look::First);
    broker.sessions.looked(&fetch.context);
    if body.max_wait_ms <= 0 || fetch.is_satisfied(&found) {
        return fetch.answer(found, out);
    }
    let max_wait = Duration::from_millis(body.max_wait_ms as u64);
    let later: Later = Box::pin(async move {
        let found = fetch.wait(max_wait, found.bytes).await;
        let mut out = Outbox::new();
        if let Err(error) = fetch.answer(found, &mut out) {
            tracing::error!("{error}");
        }
        out
    });
    Ok(Handled::Later(later))
}

/// Who fetches.
#[derive(Debug, Clone)]
enum Reader {
    Consumer {
        isolation: Isolation,
        /// Fetches of version 11 and later can be sent to a follower (KIP-392).
        only_leader: bool,
        /// The client's rack; empty where it does not say.
        rack: String,
    },
    Follower {
        broker_id: i32,
        /// -1 before version 15.
        broker_epoch: i64,
    },
}

impl Reader {
    fn of(request: &FetchRequest, version: i16) -> Reader {
        let (broker_id, broker_epoch) = match version {
            15.. => (request.replica_state.replica_id, request.replica_state.replica_epoch),
            _ => (request.replica_id, -1),
        };
        if broker_id >= 0 {
            return Reader::Follower { broker_id, broker_epoch };
        }
        let isolation = match request.isolation_level {
            0 => Isolation::ReadUncommitted,
            _ => Isolation::ReadCommitted,
        };
        Reader::Consumer { isolation, only_leader: version < 11, rack: request.rack_id.clone() }
    }

    /// What it waits for where there is not enough.
    fn watches(&self) -> WatchedEnd {
        match self {
            Reader::Consumer { .. } => WatchedEnd::Committed,
            Reader::Follower { .. } => WatchedEnd::Log,
        }
    }
}

/// How often the partitions were looked at for this request: with the first look a follower says how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    First,
    Again,
}

struct Fetch {
    broker: Arc<Broker>,
    head: Head,
    listener: Arc<str>,
    max_bytes: usize,
    min_bytes: usize,
    reader: Reader,
    context: FetchContext,
}

/// What a look at all partitions found.
struct Found {
    partitions: Vec<Result<FetchedPartition, ErrorCode>>,
    bytes: usize,
    /// Something that the client must know at once: an error, or a log that parts from its own.
    urgent: bool,
    /// Partitions that are not there. Their errors are told with the rest, and hurry nobody: a client that fetches a
    /// deleted topic beside others would ask without pause.
    unknown: usize,
    /// Partitions that the client should read from a follower, by their place in the request, in order.
    preferred: Vec<(usize, i32)>,
    /// Bytes of throttled partitions, for a follower.
    throttled_bytes: usize,
}

impl Fetch {
    fn read(&self, look: Look) -> Found {
        let mut found = Found {
            partitions: Vec::with_capacity(self.context.partitions.len()),
            bytes: 0,
            urgent: false,
            unknown: 0,
            preferred: Vec::new(),
            throttled_bytes: 0,
        };
        for (place, wanted) in self.context.partitions.iter().enumerate() {
            let result = self.read_partition(place, wanted, &mut found, look);
            match &result {
                Ok(fetched) => {
                    found.bytes += fetched.records.len();
                    found.urgent |= fetched.diverging.is_some();
                }
                Err(error) if is_unknown(*error) => found.unknown += 1,
                Err(_) => found.urgent = true,
            }
            found.partitions.push(result);
        }
        found
    }

    fn read_partition(
        &self,
        place: usize,
        wanted: &FetchPartition,
        found: &mut Found,
        look: Look,
    ) -> Result<FetchedPartition, ErrorCode> {
        let partition = self.partition(wanted)?;
        let bytes_before = found.bytes;
        let (isolation, only_leader) = match &self.reader {
            Reader::Consumer { isolation, only_leader, .. } => (*isolation, *only_leader),
            Reader::Follower { .. } => (Isolation::LogEnd, true),
        };
        let preferred = self.preferred_replica(&partition, wanted.offset);
        if let Some(broker_id) = preferred {
            found.preferred.push((place, broker_id));
            found.urgent = true;
        }
        let request = replica::FetchRequest {
            offset: wanted.offset,
            max_bytes: (wanted.max_bytes.max(0) as usize).min(self.max_bytes.saturating_sub(bytes_before)),
            isolation,
            only_leader,
            current_leader_epoch: wanted.current_leader_epoch,
            last_fetched_epoch: wanted.last_fetched_epoch,
            // The first records of an answer come whole, so that a large batch cannot stop a consumer (KIP-74).
            min_one_message: bytes_before == 0 && preferred.is_none(),
        };
        let mut fetched = match &self.reader {
            Reader::Follower { broker_id, broker_epoch } if look == Look::First => {
                let position = FollowerPosition {
                    broker_id: *broker_id,
                    broker_epoch: *broker_epoch,
                    log_start_offset: wanted.log_start_offset,
                };
                partition.fetch_as_follower(&request, &position, now_ms()).map(|(fetched, moved)| {
                    self.broker.on_moved(&partition, moved);
                    fetched
                })
            }
            _ => partition.fetch(&request),
        };
        if let (Ok(fetched), Some(_)) = (&mut fetched, preferred) {
            // Only where to go is said.
            fetched.records = LogSlice::default();
        }
        if let (Ok(fetched), Reader::Follower { broker_id, .. }) = (&mut fetched, &self.reader)
            && partition.is_throttled_leading()
        {
            if !partition.is_in_sync(*broker_id)
                && self.broker.replication_quotas.leader.is_exceeded(now_ms())
            {
                fetched.records = LogSlice::default();
            }
            found.throttled_bytes += fetched.records.len();
        }
        fetched.map_err(|error| {
            if matches!(error, PartitionError::Log(_)) {
                tracing::error!(partition = %partition.topic_partition(), %error, "a fetch failed");
            }
            error.error_code()
        })
    }

    /// The follower that the client should read from (KIP-392), if that is not this broker.
    fn preferred_replica(&self, partition: &Partition, offset: i64) -> Option<i32> {
        let Reader::Consumer { rack, only_leader: false, .. } = &self.reader else { return None };
        if self.broker.replica_selector == ReplicaSelector::Leader || rack.is_empty() {
            return None;
        }
        let image = self.broker.image();
        self.broker.replica_selector.select(&image, partition, rack, &self.listener, offset, now_ms())
    }

    fn partition(&self, wanted: &FetchPartition) -> Result<Arc<Partition>, ErrorCode> {
        let replicas = &self.broker.replicas;
        let partition = match &wanted.topic {
            TopicKey::Name(name) => replicas.partition(name, wanted.partition),
            TopicKey::Id(id) => replicas.partition_by_id(*id, wanted.partition),
        };
        if let Some(partition) = partition {
            return Ok(partition);
        }
        let image = self.broker.image();
        let topic = match &wanted.topic {
            TopicKey::Name(name) => image.topics.topic(name),
            TopicKey::Id(id) => image.topics.topic_by_id(id),
        };
        Err(match (topic, &wanted.topic) {
            (Some(topic), _) if topic.partitions.contains_key(&wanted.partition) => {
                ErrorCode::NotLeaderOrFollower
            }
            (None, TopicKey::Id(_)) => ErrorCode::UnknownTopicId,
            _ => ErrorCode::UnknownTopicOrPartition,
        })
    }

    fn is_satisfied(&self, found: &Found) -> bool {
        let knows_none = found.unknown == found.partitions.len() && self.context.settled == 0;
        found.urgent || found.bytes >= self.min_bytes || knows_none
    }

    /// Waits until enough is there or the time is over, and looks again.
    async fn wait(&mut self, max_wait: Duration, mut bytes_now: usize) -> Found {
        let deadline = tokio::time::Instant::now() + max_wait;
        loop {
            let missing = self.min_bytes.saturating_sub(bytes_now);
            let waiter = FetchWaiter::new(missing as i64);
            self.broker.sessions.wake(&self.context, Some(&waiter));
            self.broker.sessions.take_in(&mut self.context);
            let partitions: Vec<Arc<Partition>> =
                self.context.partitions.iter().filter_map(|wanted| self.partition(wanted).ok()).collect();
            let watch = Watch::new(waiter, self.reader.watches(), partitions);
            // What came between the first look and the watch woke nobody.
            let found = self.read(Look::Again);
            if self.is_satisfied(&found) {
                return found;
            }
            // Woken or not, the answer is what is there now: a wait that ends in time may have met a few bytes too few.
            let woken =
                tokio::time::timeout_at(deadline, poll_fn(|context| watch.waiter().poll(context))).await;
            drop(watch);
            // One that was passed over wakes whatever it has, and may have too little.
            let is_another = self.broker.sessions.take_in(&mut self.context);
            let found = self.read(Look::Again);
            if !is_another || woken.is_err() || self.is_satisfied(&found) {
                return found;
            }
            bytes_now = found.bytes;
        }
    }

    /// The partition, where nothing but what happens to it can make another answer, and who reads it.
    fn to_settle(&self, wanted: &FetchPartition) -> Option<(Arc<Partition>, SettledReader)> {
        let reader = match &self.reader {
            Reader::Follower { broker_id, .. } => SettledReader::Follower(*broker_id),
            // Which replica is to be preferred changes with the time.
            Reader::Consumer { rack, only_leader: false, .. }
                if self.broker.replica_selector != ReplicaSelector::Leader && !rack.is_empty() =>
            {
                return None;
            }
            Reader::Consumer { isolation, only_leader, .. } => {
                SettledReader::Consumer(*isolation, *only_leader)
            }
        };
        Some((self.partition(wanted).ok()?, reader))
    }

    fn answer(&self, found: Found, out: &mut Outbox) -> Result<Handled, BadRequest> {
        let mut facts: Vec<PartitionFacts> = found.partitions.iter().map(facts).collect();
        for (place, _) in &found.preferred {
            facts.iter_mut().skip(*place).take(1).for_each(|facts| facts.must_be_told = true);
        }
        let now_ms = now_ms();
        let (session_id, named) = self.broker.sessions.finish(&self.context, &facts, now_ms);
        self.broker.sessions.settle(&self.context, &named, &|wanted| self.to_settle(wanted));
        let mut response = FetchResponse { session_id, ..FetchResponse::default() };
        let mut slices: Vec<LogSlice> = Vec::new();
        self.broker.replication_quotas.leader.record(found.throttled_bytes, now_ms);
        self.count(&found);
        let entries = self.context.partitions.iter().zip(&found.partitions).zip(named);
        let mut last_topic: Option<&TopicKey> = None;
        let mut preferred = found.preferred.iter().peekable();
        for (place, ((wanted, result), named)) in entries.enumerate() {
            let preferred = preferred.next_if(|(of, _)| *of == place);
            if !named {
                continue;
            }
            if last_topic != Some(&wanted.topic) {
                last_topic = Some(&wanted.topic);
                response.responses.push(match &wanted.topic {
                    TopicKey::Name(name) => FetchableTopicResponse { topic: name, ..Default::default() },
                    TopicKey::Id(id) => FetchableTopicResponse { topic_id: *id, ..Default::default() },
                });
            }
            if let Some(topic) = response.responses.last_mut() {
                let mut data = partition_data(wanted.partition, result, &mut slices);
                if let Some((_, broker_id)) = preferred {
                    data.preferred_read_replica = *broker_id;
                }
                topic.partitions.push(data);
            }
        }
        // Only errors have a leader to name, and most answers have none.
        let image = (self.head.version >= 16 && found.urgent).then(|| self.broker.image());
        if let Some(image) = &image {
            self.name_leaders(image, &mut response);
        }
        self.head.answer_with_records(&response, &slices, out)
    }

    fn count(&self, found: &Found) {
        let Some(metrics) = &self.broker.metrics else { return };
        if let Reader::Follower { .. } = &self.reader {
            metrics.topics.count_of_all(|counts| counts.replication_bytes_out += found.bytes as u64);
            return;
        }
        for (wanted, result) in self.context.partitions.iter().zip(&found.partitions) {
            if let Ok(fetched) = result
                && !fetched.records.is_empty()
                && let Ok(partition) = self.partition(wanted)
            {
                let bytes = fetched.records.len() as u64;
                metrics.topics.count(&partition.topic_partition().topic, |counts| counts.bytes_out += bytes);
            }
        }
    }

    /// Tells where the leaders are (KIP-951).
    fn name_leaders<'a>(&self, image: &'a metadata::MetadataImage, response: &mut FetchResponse<'a>) {
        for topic in &mut response.responses {
            for partition in &mut topic.partitions {
                let error = ErrorCode::from_code(partition.error_code);
                if !matches!(error, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch) {
                    continue;
                }
                let known = topic_of(image, topic.topic, topic.topic_id);
                let registration = known.and_then(|known| known.partitions.get(&partition.partition_index));
                let Some(registration) = registration else { continue };
                partition.current_leader = LeaderIdAndEpoch {
                    leader_id: registration.leader,
                    leader_epoch: registration.leader_epoch,
                };
                let Some((leader, endpoint)) = reached_at(image, registration.leader, &self.listener) else {
                    continue;
                };
                let node = NodeEndpoint {
                    node_id: leader.id,
                    host: &endpoint.host,
                    port: i32::from(endpoint.port),
                    rack: leader.rack.as_deref(),
                };
                if !response.node_endpoints.contains(&node) {
                    response.node_endpoints.push(node);
                }
            }
        }
    }
}

fn facts(result: &Result<FetchedPartition, ErrorCode>) -> PartitionFacts {
    match result {
        Ok(fetched) => PartitionFacts {
            has_records: !fetched.records.is_empty(),
            error: ErrorCode::None,
            must_be_told: fetched.diverging.is_some(),
            high_watermark: fetched.high_watermark,
            log_start_offset: fetched.log_start_offset,
        },
        Err(error) => PartitionFacts {
            has_records: false,
            error: *error,
            must_be_told: false,
            high_watermark: -1,
            log_start_offset: -1,
        },
    }
}

fn is_unknown(error: ErrorCode) -> bool {
    matches!(error, ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition)
}

fn partition_data<'a>(
    index: i32,
    result: &Result<FetchedPartition, ErrorCode>,
    slices: &mut Vec<LogSlice>,
) -> PartitionData<'a> {
    let fetched = match result {
        Ok(fetched) => fetched,
        Err(error) => {
            return PartitionData {
                partition_index: index,
                error_code: error.code(),
                high_watermark: -1,
                // As in Kafka: null after a look into the log, nothing where there is no such partition.
                aborted_transactions: is_unknown(*error).then(Vec::new),
                records: Some(Records::Inline(&[])),
                ..PartitionData::default()
            };
        }
    };
    let records = match fetched.records.len() {
        0 => Records::Inline(&[]),
        length => {
            slices.push(fetched.records.clone());
            Records::Elsewhere(length)
        }
    };
    PartitionData {
        partition_index: index,
        high_watermark: fetched.high_watermark,
        last_stable_offset: fetched.last_stable_offset,
        log_start_offset: fetched.log_start_offset,
        diverging_epoch: fetched.diverging.as_ref().map_or_else(EpochEndOffset::default, |end| {
            EpochEndOffset { epoch: end.epoch, end_offset: end.offset }
        }),
        aborted_transactions: fetched.aborted.as_ref().map(|aborted| {
            aborted
                .iter()
                .map(|txn| AbortedTransaction {
                    producer_id: txn.producer_id,
                    first_offset: txn.first_offset,
                })
                .collect()
        }),
        records: Some(records),
        ..PartitionData::default()
    }
}
