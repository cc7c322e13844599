//! What a follower fetches from one leader, and what it does with the answers (`AbstractFetcherThread`,
//! `ReplicaFetcherThread`). Pure but for the logs: whoever has the connection sends what is made here, and brings the answers.
//!
//! A replica's fetch offset is the end of its log, and its last fetched epoch the newest epoch of its log: nothing stands
//! beside the log that could contradict it. Where the logs part, the answer says so, and the follower truncates (KIP-595).

mod session;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::{ErrorCode, TopicIdPartition};
use protocol::messages::fetch_response::PartitionData;
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use protocol::messages::{FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse};
use storage::{AppendError, LogManager};

use crate::{LeaderOffsets, LocalBroker, Partition, PartitionError};
use session::{FetchSession, Wanted};

/// The first pause after an error that metadata on their way to the leader, or to here, will end; it doubles with each further
/// one up to `replica.fetch.backoff.ms`.
///
/// Divergence: Kafka pauses for `replica.fetch.backoff.ms` at once, and writers with `acks=all` to a partition whose leader is new
/// wait that long whenever a follower hears of it before the leader does.
const FIRST_PAUSE_MS: i64 = 20;

const EARLIEST: i64 = -2;
const LATEST: i64 = -1;

/// What a fetcher asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetcherConfig {
    /// `replica.fetch.max.bytes`, of one partition.
    pub max_bytes: i32,
    /// `replica.fetch.response.max.bytes`.
    pub response_max_bytes: i32,
    /// `replica.fetch.min.bytes`.
    pub min_bytes: i32,
    /// `replica.fetch.wait.max.ms`.
    pub max_wait_ms: i32,
    /// `replica.fetch.backoff.ms`.
    pub backoff_ms: i64,
}

/// The replicas that are fetched over one connection.
pub struct ReplicaFetcher {
    config: FetcherConfig,
    broker: Arc<LocalBroker>,
    logs: Arc<LogManager>,
    replicas: BTreeMap<TopicIdPartition, Replica>,
    session: FetchSession,
    /// What the next request may have to say something new about.
    dirty: BTreeSet<TopicIdPartition>,
    /// Replicas that are left alone until a time.
    delayed: BTreeSet<(i64, TopicIdPartition)>,
    /// [`LogManager::log_start_moves`] when what is fetched was last compared with all logs.
    log_start_moves: u64,
}

struct Replica {
    partition: Arc<Partition>,
    leader_epoch: i32,
    state: State,
    /// How often in a row the leader did not know, or not lead, the partition.
    refusals: u32,
}

/// What is to be done for a replica next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Fetching,
    /// Left alone until then.
    Delayed(i64),
    /// The leader does not have the offset: where does its log end?
    AskEnd,
    /// It ends behind ours: where does it begin?
    AskStart,
    /// Nothing more until another leader epoch begins: this one is over, or the log cannot be written.
    Stopped,
}

/// What to do next.
#[derive(Debug)]
pub enum NextFetch {
    /// Send this.
    Request(Box<FetchRequest>),
    /// Nothing before that time; never where there is none.
    Wait(Option<i64>),
}

/// What the caller has to do after an answer, before it fetches again.
#[derive(Default)]
pub struct Fetched {
    /// `flush.messages` is reached: what was appended is to last before the leader hears of it.
    pub flush: Vec<Arc<Partition>>,
    /// A segment was begun: those before are to be synced some time.
    pub rolled: Vec<Arc<Partition>>,
    /// Bytes of replicas that are throttled.
    pub throttled_bytes: usize,
}

impl ReplicaFetcher {
    /// A fetcher without replicas.
    pub fn new(config: FetcherConfig, broker: Arc<LocalBroker>, logs: Arc<LogManager>) -> ReplicaFetcher {
        ReplicaFetcher {
            config,
            broker,
            logs,
            replicas: BTreeMap::new(),
            session: FetchSession::default(),
            dirty: BTreeSet::new(),
            delayed: BTreeSet::new(),
            log_start_moves: 0,
        }
    }

    /// Whether there is nothing to fetch.
    pub fn is_empty(&self) -> bool {
        self.replicas.is_empty()
    }

    /// Fetches a replica from now on, in a leader epoch. One that is fetched already in that epoch goes on as it is; then this is
    /// false.
    pub fn add(&mut self, partition: Arc<Partition>, leader_epoch: i32, now_ms: i64) -> bool {
        let id = id_of(&partition);
        if let Some(known) = self.replicas.get(&id)
            && known.leader_epoch == leader_epoch
            && Arc::ptr_eq(&known.partition, &partition)
        {
            return false;
        }
        let log = partition.log();
        if log.latest_epoch().is_none() && log.log_end_offset() > log.high_watermark() {
            // Without an epoch the leader cannot say where the logs part. Up to here they do not.
            let high_watermark = log.high_watermark();
            if let Err(error) = partition.truncate_to(&self.logs, leader_epoch, high_watermark, now_ms) {
                tracing::error!(partition = %partition.topic_partition(), %error, "the log cannot be truncated");
            }
        }
        self.take(&id);
        self.replicas.insert(id, Replica { partition, leader_epoch, state: State::Fetching, refusals: 0 });
        self.dirty.insert(id);
        true
    }

    /// Fetches a replica no more.
    pub fn remove(&mut self, partition: &Partition) {
        self.take(&id_of(partition));
    }

    fn take(&mut self, id: &TopicIdPartition) {
        if let Some(removed) = self.replicas.remove(id) {
            if let State::Delayed(until_ms) = removed.state {
                self.delayed.remove(&(until_ms, *id));
            }
            self.dirty.insert(*id);
        }
    }

    /// What to send to the leader now. `throttled`: what is left out, for the follower's quota is used up.
    pub fn next(&mut self, throttled: &dyn Fn(&Partition) -> bool, now_ms: i64) -> NextFetch {
        while let Some(&(until_ms, id)) = self.delayed.first()
            && until_ms <= now_ms
        {
            self.delayed.pop_first();
            self.set_state(id, State::Fetching);
        }
        let log_start_moves = self.logs.log_start_moves();
        if log_start_moves != self.log_start_moves {
            // Retention does not say whose.
            self.log_start_moves = log_start_moves;
            self.dirty.extend(self.replicas.keys().copied());
        }
        let mut changes = Vec::with_capacity(self.dirty.len());
        let mut looked_again = BTreeSet::new();
        for id in std::mem::take(&mut self.dirty) {
            let wanted = self.replicas.get(&id).and_then(|replica| {
                if replica.state != State::Fetching {
                    return None;
                }
                if throttled(&replica.partition) {
                    looked_again.insert(id);
                    return None;
                }
                Some(replica.wanted(self.config.max_bytes))
            });
            changes.push((id, wanted));
        }
        let has_throttled = !looked_again.is_empty();
        self.dirty = looked_again;
        match self.session.request(changes) {
            Some(mut request) => {
                request.replica_state.replica_id = self.broker.node_id();
                request.replica_state.replica_epoch = self.broker.epoch();
                request.max_wait_ms = self.config.max_wait_ms;
                request.min_bytes = self.config.min_bytes;
                request.max_bytes = self.config.response_max_bytes;
                NextFetch::Request(Box::new(request))
            }
            None => {
                let delayed = self.delayed.first().map(|(until_ms, _)| *until_ms);
                let again = has_throttled.then(|| now_ms.saturating_add(self.config.backoff_ms.max(1)));
                NextFetch::Wait(delayed.into_iter().chain(again).min())
            }
        }
    }

    /// The leader has answered the request that [`ReplicaFetcher::next`] made last.
    pub fn on_response(&mut self, response: &FetchResponse<'_>, now_ms: i64) -> Fetched {
        let mut fetched = Fetched::default();
        let error = ErrorCode::from_code(response.error_code);
        if !self.session.on_response(error, response.session_id) {
            tracing::info!(%error, "the leader does not know the fetch session any more, a new one begins");
            return fetched;
        }
        for topic in &response.responses {
            for data in &topic.partitions {
                let id = TopicIdPartition { topic_id: topic.topic_id, partition: data.partition_index };
                let Some(sent) = self.session.sent(&id).copied() else { continue };
                let Some(replica) = self.replicas.get(&id) else { continue };
                // Another epoch has begun while the answer was on its way.
                if replica.leader_epoch != sent.leader_epoch || replica.state != State::Fetching {
                    continue;
                }
                let state = self.on_partition(replica, &sent, data, &mut fetched, now_ms);
                if let Some(replica) = self.replicas.get_mut(&id) {
                    let is_refusal = is_passing(ErrorCode::from_code(data.error_code));
                    replica.refusals = if is_refusal { replica.refusals.saturating_add(1) } else { 0 };
                }
                self.dirty.insert(id);
                self.set_state(id, state);
            }
        }
        fetched
    }

    fn on_partition(
        &self,
        replica: &Replica,
        sent: &Wanted,
        data: &PartitionData<'_>,
        fetched: &mut Fetched,
        now_ms: i64,
    ) -> State {
        let partition = &replica.partition;
        let name = partition.topic_partition();
        let delayed = State::Delayed(now_ms.saturating_add(self.config.backoff_ms.max(1)));
        let error = ErrorCode::from_code(data.error_code);
        match error {
            ErrorCode::None => {}
            ErrorCode::OffsetOutOfRange => return State::AskEnd,
            ErrorCode::FencedLeaderEpoch => {
                tracing::info!(partition = %name, leader_epoch = sent.leader_epoch, "the leader is in a later epoch");
                return State::Stopped;
            }
            error if is_passing(error) => {
                let pause_ms = FIRST_PAUSE_MS << replica.refusals.min(10);
                if pause_ms < self.config.backoff_ms {
                    tracing::debug!(partition = %name, %error, "the leader does not lead yet, or no more");
                    return State::Delayed(now_ms.saturating_add(pause_ms));
                }
                tracing::warn!(partition = %name, leader_epoch = sent.leader_epoch, %error, "the leader does not lead the partition");
                return delayed;
            }
            _ => {
                tracing::warn!(partition = %name, offset = sent.offset, %error, "a replica cannot be fetched");
                return delayed;
            }
        }
        if partition.log().dir_health().is_stalled() {
            // The other partitions of this leader need not wait for the disk.
            return delayed;
        }
        let result = if data.diverging_epoch.epoch >= 0 || data.diverging_epoch.end_offset >= 0 {
            let end = (data.diverging_epoch.epoch, data.diverging_epoch.end_offset);
            self.truncate(replica, end, now_ms)
        } else {
            let records = data.records.map(|records| records.inline()).unwrap_or_default();
            let leader = LeaderOffsets {
                high_watermark: data.high_watermark,
                log_start_offset: data.log_start_offset,
            };
            let (epoch, offset) = (sent.leader_epoch, sent.offset);
            if partition.is_throttled_following() {
                fetched.throttled_bytes += records.len();
            }
            partition.append_as_follower(&self.logs, epoch, offset, records, leader, now_ms).map(|append| {
                if let Some(appended) = append.appended {
                    if appended.needs_flush {
                        fetched.flush.push(Arc::clone(partition));
                    } else if appended.rolled {
                        fetched.rolled.push(Arc::clone(partition));
                    }
                }
            })
        };
        match result {
            Ok(()) => State::Fetching,
            Err(
                PartitionError::FencedLeaderEpoch | PartitionError::Append(AppendError::FencedEpoch { .. }),
            ) => State::Stopped,
            // That the directory has failed was told where it failed.
            Err(PartitionError::Offline) => State::Stopped,
            Err(error @ (PartitionError::Log(_) | PartitionError::Append(AppendError::Storage(_)))) => {
                tracing::error!(partition = %name, %error, "the replica cannot be written any more");
                State::Stopped
            }
            Err(error) => {
                tracing::error!(partition = %name, offset = sent.offset, %error, "fetched records cannot be appended; they are fetched again");
                delayed
            }
        }
    }

    /// The leader's log and this one part. `end`: the last epoch that the leader has of those that we may have, and where it ends
    /// there.
    fn truncate(&self, replica: &Replica, end: (i32, i64), now_ms: i64) -> Result<(), PartitionError> {
        let log = replica.partition.log();
        let (leader_epoch, leader_end) = end;
        let own_end = log.log_end_offset();
        let offset = match log.end_offset_for_epoch(leader_epoch) {
            _ if leader_end < 0 => log.high_watermark(),
            // With an epoch that we do not have, we go back to the end of the one before and ask again.
            Some(own) if own.epoch != leader_epoch => own.offset.min(own_end),
            Some(own) => own.offset.min(leader_end).min(own_end),
            None => leader_end.min(own_end),
        };
        replica.partition.truncate_to(&self.logs, replica.leader_epoch, offset, now_ms)
    }

    /// What to ask the leader for before the next fetch, for replicas that found themselves out of its range.
    pub fn lookup(&self) -> Option<ListOffsetsRequest> {
        [(State::AskEnd, LATEST), (State::AskStart, EARLIEST)].into_iter().find_map(|(state, timestamp)| {
            let mut topics: Vec<ListOffsetsTopic> = Vec::new();
            for (id, replica) in self.replicas.iter().filter(|(_, replica)| replica.state == state) {
                let asked = ListOffsetsPartition {
                    partition_index: id.partition,
                    current_leader_epoch: replica.leader_epoch,
                    timestamp,
                };
                let name = &*replica.partition.topic_partition().topic;
                match topics.last_mut().filter(|topic| topic.name == name) {
                    Some(topic) => topic.partitions.push(asked),
                    None => {
                        topics.push(ListOffsetsTopic { name: name.to_owned(), partitions: vec![asked] });
                    }
                }
            }
            (!topics.is_empty()).then(|| ListOffsetsRequest {
                replica_id: self.broker.node_id(),
                topics,
                ..ListOffsetsRequest::default()
            })
        })
    }

    /// The leader has answered what [`ReplicaFetcher::lookup`] asked last; with nothing where no answer came.
    pub fn on_lookup(
        &mut self,
        request: &ListOffsetsRequest,
        response: Option<&ListOffsetsResponse>,
        now_ms: i64,
    ) {
        let asked_for_end = |partition: &ListOffsetsPartition| partition.timestamp == LATEST;
        let is_end =
            request.topics.iter().flat_map(|topic| &topic.partitions).next().is_some_and(asked_for_end);
        let waiting = if is_end { State::AskEnd } else { State::AskStart };
        let ids: Vec<TopicIdPartition> =
            self.replicas.iter().filter(|(_, replica)| replica.state == waiting).map(|(id, _)| *id).collect();
        for id in ids {
            let Some(replica) = self.replicas.get(&id) else { continue };
            let name = replica.partition.topic_partition();
            let asked = request.topics.iter().filter(|topic| *topic.name == *name.topic).any(|topic| {
                topic.partitions.iter().any(|asked| {
                    asked.partition_index == id.partition
                        && asked.current_leader_epoch == replica.leader_epoch
                })
            });
            if !asked {
                continue;
            }
            let answer = response.and_then(|response| {
                let topics = response.topics.iter().filter(|topic| *topic.name == *name.topic);
                topics
                    .flat_map(|topic| &topic.partitions)
                    .find(|answer| answer.partition_index == id.partition)
            });
            let state = match answer.map(|answer| (ErrorCode::from_code(answer.error_code), answer.offset)) {
                Some((ErrorCode::None, offset)) if offset >= 0 => {
                    self.on_leader_offset(replica, waiting, offset, now_ms)
                }
                Some((ErrorCode::FencedLeaderEpoch, _)) => State::Stopped,
                other => {
                    tracing::warn!(partition = %name, answer = ?other, "the leader did not say where its log is");
                    State::Delayed(now_ms.saturating_add(self.config.backoff_ms.max(1)))
                }
            };
            self.dirty.insert(id);
            self.set_state(id, state);
        }
    }

    /// The leader's log ends, or begins, at `offset` (`AbstractFetcherThread.fetchOffsetAndTruncate`).
    fn on_leader_offset(&self, replica: &Replica, asked: State, offset: i64, now_ms: i64) -> State {
        let (partition, epoch) = (&replica.partition, replica.leader_epoch);
        let own_end = partition.log().log_end_offset();
        let result = match asked {
            // After an unclean election: the leader never had what lies behind its end.
            State::AskEnd if offset < own_end => partition.truncate_to(&self.logs, epoch, offset, now_ms),
            State::AskEnd => return State::AskStart,
            // What lay between has been deleted there.
            _ if offset > own_end => partition.truncate_fully_and_start_at(&self.logs, epoch, offset, now_ms),
            _ => Ok(()),
        };
        match result {
            Ok(()) => State::Fetching,
            Err(PartitionError::FencedLeaderEpoch | PartitionError::Offline) => State::Stopped,
            Err(error) => {
                tracing::error!(partition = %partition.topic_partition(), %error, "the replica cannot be truncated");
                State::Stopped
            }
        }
    }

    /// A request got no answer: the session may be gone, and everything is left alone for a while.
    pub fn on_failure(&mut self, now_ms: i64) {
        self.session.reset();
        let until_ms = now_ms.saturating_add(self.config.backoff_ms.max(1));
        let ids: Vec<TopicIdPartition> = self
            .replicas
            .iter()
            .filter(|(_, replica)| replica.state == State::Fetching)
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.set_state(id, State::Delayed(until_ms));
        }
        self.dirty.extend(self.replicas.keys().copied());
    }

    /// The connection was given up on purpose: the next request begins a new session, at once.
    pub fn on_reconnect(&mut self) {
        self.session.reset();
        self.dirty.extend(self.replicas.keys().copied());
    }

    fn set_state(&mut self, id: TopicIdPartition, state: State) {
        let Some(replica) = self.replicas.get_mut(&id) else { return };
        if replica.state == state {
            return;
        }
        if let State::Delayed(until_ms) = replica.state {
            self.delayed.remove(&(until_ms, id));
        }
        if let State::Delayed(until_ms) = state {
            self.delayed.insert((until_ms, id));
        }
        replica.state = state;
        self.dirty.insert(id);
    }
}

impl Replica {
    fn wanted(&self, max_bytes: i32) -> Wanted {
        let log = self.partition.log();
        Wanted {
            leader_epoch: self.leader_epoch,
            offset: log.log_end_offset(),
            last_fetched_epoch: log.latest_epoch().unwrap_or(-1),
            log_start_offset: log.log_start_offset(),
            max_bytes,
        }
    }
}

/// Whether an error says that leader and follower do not have the same metadata yet.
fn is_passing(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::UnknownLeaderEpoch
            | ErrorCode::NotLeaderOrFollower
            | ErrorCode::UnknownTopicId
            | ErrorCode::UnknownTopicOrPartition
    )
}

fn id_of(partition: &Partition) -> TopicIdPartition {
    TopicIdPartition { topic_id: partition.topic_id(), partition: partition.topic_partition().partition }
}
