//! The task that fetches for a consumer.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{ErrorCode, TopicPartition, Uuid};
use protocol::ApiKey;
use protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use protocol::messages::fetch_response::PartitionData;
use protocol::messages::{FetchRequest, FetchResponse};
use tokio::task::JoinSet;

use super::commit::{self, OffsetAndMetadata};
use super::epochs::{self, EndOffset};
use super::fetched::Fetched;
use super::offsets::{self, Answer, Question};
use super::state::{FetchPosition, Shared};
use super::{AutoOffsetReset, IsolationLevel, StartOffset};
use crate::ClientError;
use crate::connection::Frame;
use crate::trouble::Trouble;

/// Fetch requests name topics up to this version, and ids afterwards.
const BY_NAME: i16 = 12;
/// A fetch without a session (KIP-227).
const NO_SESSION_EPOCH: i32 = -1;

/// A partition in a fetch.
#[derive(Clone)]
struct Wanted {
    partition: TopicPartition,
    topic_id: Uuid,
    generation: u64,
    leader_epoch: i32,
    offset: i64,
    /// Whether the leader was passed over for a nearer replica.
    from_replica: bool,
}

/// A partition whose start is looked for.
struct Lookup {
    question: Question,
    generation: u64,
    start: StartOffset,
}

/// A request that came back.
enum Landed {
    Fetch { leader: i32, wanted: Vec<Wanted>, answer: Result<Frame, ClientError> },
    Offsets { lookups: Vec<Lookup>, answers: Result<HashMap<TopicPartition, Answer>, ClientError> },
    Committed { wanted: Vec<(TopicPartition, u64)>, answer: Result<Committed, ClientError> },
    Validated { wanted: Vec<Wanted>, answers: Result<HashMap<TopicPartition, EndOffset>, ClientError> },
}

/// What a group has committed.
type Committed = HashMap<TopicPartition, Option<OffsetAndMetadata>>;

/// Fetches until it is aborted.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut fetcher =
        Fetcher { shared, busy: HashSet::new(), flights: JoinSet::new(), trouble: Trouble::default() };
    loop {
        let again = fetcher.send().await;
        let Fetcher { shared, flights, .. } = &mut fetcher;
        tokio::select! {
            Some(landed) = flights.join_next() => {
                // A flight that panicked took its partitions' turn with it; there is nothing in it that may.
                if let Ok(landed) = landed {
                    fetcher.land(landed);
                }
            }
            () = shared.wanted.notified() => {}
            () = tokio::time::sleep(again) => {}
        }
    }
}

struct Fetcher {
    shared: Arc<Shared>,
    /// Leaders with a fetch under way.
    busy: HashSet<i32>,
    flights: JoinSet<Landed>,
    trouble: Trouble,
}

impl Fetcher {
    /// Sends what can be sent. How long until there may be more, if nothing happens.
    async fn send(&mut self) -> Duration {
        let now = Instant::now();
        let backoff = self.shared.config.client.retry_backoff;
        let mut again = Duration::from_secs(3600);
        let mut fetches: HashMap<i32, Vec<Wanted>> = HashMap::new();
        let mut lookups: HashMap<i32, Vec<Lookup>> = HashMap::new();
        let mut uncommitted: Vec<(TopicPartition, u64)> = Vec::new();
        let mut doubtful: HashMap<i32, Vec<(Wanted, i32)>> = HashMap::new();
        for (partition, generation, position) in self.candidates(now, &mut again) {
            if position == FetchPosition::Unknown(StartOffset::Committed) {
                match self.shared.group {
                    Some(_) => uncommitted.push((partition, generation)),
                    None => self.committed(&partition, generation, None),
                }
                continue;
            }
            let (leader, leader_epoch, topic_id) = match self.leader(&partition).await {
                Ok(known) => known,
                Err(error) => {
                    self.postpone(&partition, generation, error);
                    again = again.min(backoff);
                    continue;
                }
            };
            match position {
                FetchPosition::Unknown(start) => {
                    let timestamp = match start {
                        StartOffset::Earliest => offsets::EARLIEST,
                        StartOffset::Timestamp(timestamp) => timestamp,
                        StartOffset::Latest | StartOffset::At(_) | StartOffset::Committed => offsets::LATEST,
                    };
                    let question = (partition, leader_epoch, timestamp);
                    lookups.entry(leader).or_default().push(Lookup { question, generation, start });
                }
                FetchPosition::At(offset) => {
                    if let Some(epoch) = self.doubt(&partition, generation, leader_epoch) {
                        let from_replica = false;
                        let wanted =
                            Wanted { partition, topic_id, generation, leader_epoch, offset, from_replica };
                        doubtful.entry(leader).or_default().push((wanted, epoch));
                        continue;
                    }
                    let replica = self.preferred(&partition, generation, now).unwrap_or(leader);
                    if !self.busy.contains(&replica) {
                        let from_replica = replica != leader;
                        let wanted =
                            Wanted { partition, topic_id, generation, leader_epoch, offset, from_replica };
                        fetches.entry(replica).or_default().push(wanted);
                    }
                }
                FetchPosition::Failed => {}
            }
        }
        for (leader, lookups) in lookups {
            let asked = lookups.iter().map(|lookup| (&lookup.question.0, lookup.generation));
            self.take_off(asked);
            let shared = Arc::clone(&self.shared);
            self.flights.spawn(async move {
                let questions: Vec<Question> = lookups.iter().map(|lookup| lookup.question.clone()).collect();
                let answers =
                    offsets::ask(&shared.cluster, leader, shared.config.isolation_level, &questions).await;
                Landed::Offsets { lookups, answers }
            });
        }
        for (leader, doubtful) in doubtful {
            self.take_off(doubtful.iter().map(|(wanted, _)| (&wanted.partition, wanted.generation)));
            let shared = Arc::clone(&self.shared);
            self.flights.spawn(async move {
                let questions: Vec<_> = doubtful
                    .iter()
                    .map(|(wanted, epoch)| (wanted.partition.clone(), wanted.leader_epoch, *epoch))
                    .collect();
                let answers = epochs::ask(&shared.cluster, leader, &questions).await;
                Landed::Validated {
                    wanted: doubtful.into_iter().map(|(wanted, _)| wanted).collect(),
                    answers,
                }
            });
        }
        if let Some(group) = self.shared.group.clone().filter(|_| !uncommitted.is_empty()) {
            self.take_off(uncommitted.iter().map(|(partition, generation)| (partition, *generation)));
            let shared = Arc::clone(&self.shared);
            self.flights.spawn(async move {
                let partitions: Vec<TopicPartition> =
                    uncommitted.iter().map(|(partition, _)| partition.clone()).collect();
                let answer = commit::committed_once(&group, &shared.config, &partitions).await;
                Landed::Committed { wanted: uncommitted, answer }
            });
        }
        for (leader, wanted) in fetches {
            self.take_off(wanted.iter().map(|wanted| (&wanted.partition, wanted.generation)));
            self.busy.insert(leader);
            let shared = Arc::clone(&self.shared);
            self.flights.spawn(async move {
                let answer = fetch(&shared, leader, &wanted).await;
                Landed::Fetch { leader, wanted, answer }
            });
        }
        again
    }

    /// The partitions that nothing is under way for, and that have room.
    fn candidates(&self, now: Instant, again: &mut Duration) -> Vec<(TopicPartition, u64, FetchPosition)> {
        let config = &self.shared.config;
        let state = self.shared.lock();
        let buffered: usize = state.fetched.iter().map(|fetched| fetched.size).sum();
        let mut candidates = Vec::new();
        for (partition, known) in &state.partitions {
            let is_fetch = matches!(known.fetch, FetchPosition::At(_));
            let is_held = known.is_new || known.is_paused;
            if known.in_flight || known.fetch == FetchPosition::Failed || (is_held && is_fetch) {
                continue;
            }
            if let Some(wait) = known.not_before.and_then(|time| time.checked_duration_since(now)) {
                *again = (*again).min(wait);
                continue;
            }
            // Two answers ahead of the application, and bounded over all partitions.
            let is_full = known.buffered > config.max_partition_fetch_bytes as usize
                || (known.buffered > 0 && buffered >= config.fetch_max_bytes as usize);
            if !is_full {
                candidates.push((partition.clone(), known.generation, known.fetch));
            }
        }
        candidates
    }

    /// The epoch that a place is known by, where the leader has changed since and may have less than the one before.
    fn doubt(&self, partition: &TopicPartition, generation: u64, leader_epoch: i32) -> Option<i32> {
        let mut state = self.shared.lock();
        let known = state.current(partition, generation)?;
        let epoch = known.fetch_epoch?;
        (leader_epoch > epoch && leader_epoch > known.validated_epoch).then_some(epoch)
    }

    /// The replica to read from in the leader's place.
    fn preferred(&self, partition: &TopicPartition, generation: u64, now: Instant) -> Option<i32> {
        let mut state = self.shared.lock();
        let (replica, until) = state.current(partition, generation)?.preferred?;
        (until > now).then_some(replica)
    }

    async fn leader(&self, partition: &TopicPartition) -> Result<(i32, i32, Uuid), ClientError> {
        let cluster = &self.shared.cluster;
        let auto_create = self.shared.config.allow_auto_create_topics;
        let topic = cluster.topic(&partition.topic, auto_create, Duration::ZERO).await?;
        match topic.partition(partition.partition) {
            Some(info) if info.leader >= 0 => Ok((info.leader, info.leader_epoch, topic.id)),
            known => {
                let code = match known {
                    Some(_) => ErrorCode::LeaderNotAvailable,
                    None => ErrorCode::UnknownTopicOrPartition,
                };
                Err(ClientError::api(code, Some(format!("{partition}: {code}"))))
            }
        }
    }

    fn take_off<'a>(&self, partitions: impl Iterator<Item = (&'a TopicPartition, u64)>) {
        let mut state = self.shared.lock();
        for (partition, generation) in partitions {
            if let Some(known) = state.current(partition, generation) {
                known.in_flight = true;
            }
        }
    }

    /// Tries a partition again later, or gives it up where that would not help.
    fn postpone(&mut self, partition: &TopicPartition, generation: u64, error: ClientError) {
        let shared = Arc::clone(&self.shared);
        shared.cluster.forget(&partition.topic);
        let mut state = shared.lock();
        let Some(known) = state.current(partition, generation) else { return };
        known.in_flight = false;
        known.preferred = None;
        // A member whose epoch has just moved on asks again with the new one.
        let of_another_epoch =
            matches!(error.code(), Some(ErrorCode::StaleMemberEpoch | ErrorCode::UnknownMemberId));
        if shared.cluster.may_retry(&error) || of_another_epoch {
            known.not_before = Some(Instant::now() + shared.config.client.retry_backoff);
            drop(state);
            self.trouble.tell(partition, &error);
        } else {
            known.fetch = FetchPosition::Failed;
            state.error.get_or_insert(error);
            drop(state);
            shared.arrived.notify_one();
        }
    }

    fn land(&mut self, landed: Landed) {
        match landed {
            Landed::Validated { wanted, answers: Ok(mut answers) } => {
                for wanted in wanted {
                    match answers.remove(&wanted.partition).unwrap_or_else(|| Err(not_mentioned())) {
                        Ok(end) => self.validated(&wanted, end),
                        Err(error) => self.postpone(&wanted.partition, wanted.generation, error),
                    }
                }
            }
            // A broker without the API says what it has, as brokers did before.
            Landed::Validated { wanted, answers: Err(ClientError::UnsupportedApi { .. }) } => {
                wanted.iter().for_each(|wanted| self.validated(wanted, None));
            }
            Landed::Validated { wanted, answers: Err(error) } => {
                for wanted in wanted {
                    self.postpone(&wanted.partition, wanted.generation, error.clone());
                }
            }
            Landed::Committed { wanted, answer: Ok(mut committed) } => {
                for (partition, generation) in wanted {
                    let offset = committed.remove(&partition).flatten();
                    self.committed(&partition, generation, offset);
                }
            }
            Landed::Committed { wanted, answer: Err(error) } => {
                for (partition, generation) in wanted {
                    self.postpone(&partition, generation, error.clone());
                }
            }
            Landed::Offsets { lookups, answers: Err(error) } => {
                for lookup in lookups {
                    self.postpone(&lookup.question.0, lookup.generation, error.clone());
                }
            }
            Landed::Offsets { lookups, answers: Ok(mut answers) } => {
                for lookup in lookups {
                    let answer = answers.remove(&lookup.question.0);
                    self.found(&lookup, answer.unwrap_or_else(|| Err(not_mentioned())));
                }
            }
            Landed::Fetch { leader, wanted, answer } => {
                self.busy.remove(&leader);
                let response = answer.as_ref().map_err(ClientError::clone).and_then(|frame| {
                    let response: FetchResponse<'_> = frame.read()?;
                    ClientError::check(response.error_code, None)?;
                    Ok((frame, response))
                });
                match response {
                    Ok((frame, response)) => self.fetched(&wanted, frame, response),
                    Err(error) => {
                        for wanted in wanted {
                            self.postpone(&wanted.partition, wanted.generation, error.clone());
                        }
                    }
                }
            }
        }
    }

    /// What the group has committed is known, or that it has committed nothing.
    fn committed(&mut self, partition: &TopicPartition, generation: u64, offset: Option<OffsetAndMetadata>) {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let Some(known) = state.current(partition, generation) else { return };
        known.in_flight = false;
        known.not_before = None;
        if let Some(committed) = offset {
            known.fetch = FetchPosition::At(committed.offset);
            known.fetch_epoch = committed.leader_epoch;
            known.consumed = Some(committed.offset);
            known.consumed_epoch = committed.leader_epoch;
        } else if let Some(start) = shared.config.auto_offset_reset.start(now_ms()) {
            known.fetch = FetchPosition::Unknown(start);
        } else {
            known.fetch = FetchPosition::Failed;
            state.error.get_or_insert(ClientError::NoOffset { partition: partition.to_string() });
        }
        drop(state);
        shared.arrived.notify_one();
        shared.wanted.notify_one();
    }

    /// A new leader said where the epoch of a place ends in its log; none where it does not know.
    fn validated(&mut self, wanted: &Wanted, end: Option<i64>) {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let Some(known) = state.current(&wanted.partition, wanted.generation) else { return };
        known.in_flight = false;
        known.validated_epoch = wanted.leader_epoch;
        let Some(end) = end.filter(|end| *end < wanted.offset) else { return };
        if shared.config.auto_offset_reset == AutoOffsetReset::None {
            known.fetch = FetchPosition::Failed;
            state.error.get_or_insert(ClientError::LogTruncation {
                partition: wanted.partition.to_string(),
                offset: wanted.offset,
                end,
            });
            drop(state);
            shared.arrived.notify_one();
            return;
        }
        tracing::info!(
            "{}: the log was truncated from {} to {end} when the leader changed",
            wanted.partition,
            wanted.offset
        );
        state.truncate(&wanted.partition, end);
    }

    /// A partition's start was looked up.
    fn found(&mut self, lookup: &Lookup, answer: Answer) {
        let partition = &lookup.question.0;
        let offset = match answer {
            Ok(offset) => offset,
            Err(error) => return self.postpone(partition, lookup.generation, error),
        };
        self.trouble.is_over();
        let mut state = self.shared.lock();
        let Some(known) = state.current(partition, lookup.generation) else { return };
        known.in_flight = false;
        match offset {
            Some(found) => {
                known.fetch = FetchPosition::At(found.offset);
                known.consumed = Some(found.offset);
            }
            // No record is as late as that: on with the next one.
            None if lookup.start != StartOffset::Latest => {
                known.fetch = FetchPosition::Unknown(StartOffset::Latest);
            }
            None => known.not_before = Some(Instant::now() + self.shared.config.client.retry_backoff),
        }
    }

    fn fetched(&mut self, wanted: &[Wanted], frame: &Frame, response: FetchResponse<'_>) {
        let mut left: Vec<&Wanted> = wanted.iter().collect();
        for topic in response.responses {
            for data in topic.partitions {
                let index = left.iter().position(|wanted| {
                    let same_topic = match topic.topic.is_empty() {
                        true => wanted.topic_id == topic.topic_id,
                        false => *wanted.partition.topic == *topic.topic,
                    };
                    same_topic && wanted.partition.partition == data.partition_index
                });
                if let Some(index) = index {
                    let wanted = left.swap_remove(index);
                    self.fetched_partition(wanted, frame, data);
                }
            }
        }
        for missing in left {
            self.postpone(&missing.partition, missing.generation, not_mentioned());
        }
        self.shared.arrived.notify_one();
    }

    fn fetched_partition(&mut self, wanted: &Wanted, frame: &Frame, data: PartitionData<'_>) {
        let code = ErrorCode::from_code(data.error_code);
        match code {
            // A replica may have less than the leader: that one is asked.
            ErrorCode::OffsetOutOfRange if wanted.from_replica => return self.prefer(wanted, None),
            ErrorCode::OffsetOutOfRange => return self.out_of_range(wanted),
            ErrorCode::None if data.preferred_read_replica >= 0 => {
                return self.prefer(wanted, Some(data.preferred_read_replica));
            }
            ErrorCode::None => {}
            code => {
                let text = format!("{}: {code}", wanted.partition);
                return self.postpone(
                    &wanted.partition,
                    wanted.generation,
                    ClientError::api(code, Some(text)),
                );
            }
        }
        self.trouble.is_over();
        let shared = &self.shared;
        let mut state = shared.lock();
        let Some(known) = state.current(&wanted.partition, wanted.generation) else { return };
        known.in_flight = false;
        known.not_before = None;
        known.end = Some(match shared.config.isolation_level {
            IsolationLevel::ReadUncommitted => data.high_watermark,
            IsolationLevel::ReadCommitted => data.last_stable_offset,
        })
        .filter(|end| *end >= 0);
        let records = data.records.map(|records| records.inline()).unwrap_or_default();
        if records.is_empty() {
            return;
        }
        let fetched = Fetched::new(
            wanted.partition.clone(),
            wanted.generation,
            wanted.offset,
            frame.bytes().slice_ref(records),
            data.aborted_transactions.unwrap_or_default(),
        );
        match fetched.end_offset(&shared.config) {
            Ok(end) => {
                known.fetch = FetchPosition::At(end);
                known.fetch_epoch = fetched.leader_epoch().or(known.fetch_epoch);
                known.buffered += fetched.size;
                state.fetched.push_back(fetched);
            }
            Err(error) => {
                known.fetch = FetchPosition::Failed;
                state.error.get_or_insert(error);
            }
        }
    }

    /// Goes on with another replica, or with the leader.
    fn prefer(&mut self, wanted: &Wanted, replica: Option<i32>) {
        let until = Instant::now() + self.shared.config.client.metadata_max_age;
        let mut state = self.shared.lock();
        let Some(known) = state.current(&wanted.partition, wanted.generation) else { return };
        known.in_flight = false;
        known.preferred = replica.map(|replica| (replica, until));
    }

    /// The log begins behind the position, or ends before it.
    fn out_of_range(&mut self, wanted: &Wanted) {
        let mut state = self.shared.lock();
        let Some(known) = state.current(&wanted.partition, wanted.generation) else { return };
        known.in_flight = false;
        let Some(reset) = self.shared.config.auto_offset_reset.start(now_ms()) else {
            known.fetch = FetchPosition::Failed;
            state.error.get_or_insert(ClientError::OffsetOutOfRange {
                partition: wanted.partition.to_string(),
                offset: wanted.offset,
            });
            return;
        };
        tracing::info!("{}: offset {} is out of range, on with {reset:?}", wanted.partition, wanted.offset);
        known.fetch = FetchPosition::Unknown(reset);
    }
}

/// The time, in ms since 1970.
fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn not_mentioned() -> ClientError {
    ClientError::api(
        ErrorCode::UnknownTopicOrPartition,
        Some("the broker's answer leaves a partition out".to_owned()),
    )
}

async fn fetch(shared: &Shared, leader: i32, wanted: &[Wanted]) -> Result<Frame, ClientError> {
    let config = &shared.config;
    let connection = shared.cluster.node(leader).await?;
    let by_id = wanted.iter().all(|wanted| !wanted.topic_id.is_zero());
    let version = connection.version(ApiKey::Fetch, if by_id { i16::MAX } else { BY_NAME })?;
    let mut topics: Vec<FetchTopic> = Vec::new();
    for wanted in wanted {
        let topic = &wanted.partition.topic;
        let same = |known: &FetchTopic| match version > BY_NAME {
            true => known.topic_id == wanted.topic_id,
            false => *known.topic == **topic,
        };
        let index = topics.iter().position(same).unwrap_or_else(|| {
            topics.push(match version > BY_NAME {
                true => FetchTopic { topic_id: wanted.topic_id, ..FetchTopic::default() },
                false => FetchTopic { topic: topic.to_string(), ..FetchTopic::default() },
            });
            topics.len() - 1
        });
        topics[index].partitions.push(FetchPartition {
            partition: wanted.partition.partition,
            current_leader_epoch: wanted.leader_epoch,
            fetch_offset: wanted.offset,
            partition_max_bytes: config.max_partition_fetch_bytes,
            ..FetchPartition::default()
        });
    }
    let request = FetchRequest {
        max_wait_ms: config.fetch_max_wait.as_millis() as i32,
        min_bytes: config.fetch_min_bytes,
        max_bytes: config.fetch_max_bytes,
        isolation_level: config.isolation_level.code(),
        session_epoch: NO_SESSION_EPOCH,
        rack_id: config.client_rack.clone(),
        topics,
        ..FetchRequest::default()
    };
    connection.send_in_version(&request, version).await
}
