//! The task that fetches for a consumer.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{ErrorCode, TopicPartition, Uuid};
use protocol::messages::FetchResponse;
use protocol::messages::fetch_response::PartitionData;
use tokio::task::JoinSet;

use super::commit::{self, OffsetAndMetadata};
use super::epochs::{self, EndOffset};
use super::fetched::Fetched;
use super::fetching::{self, Answered, FetchKind, Wanted};
use super::offsets::{self, Answer, Question};
use super::session::{self, TopicKey};
use super::state::{FetchPosition, Shared};
use super::{AutoOffsetReset, IsolationLevel, StartOffset};
use crate::ClientError;
use crate::connection::Frame;
use crate::trouble::Trouble;

/// How long a broker that has nothing of what is asked for is left alone, while another of its partitions waits for room here:
/// a fetch that waits for records there would keep that one waiting, too.
const QUIET: Duration = Duration::from_millis(50);

/// A partition whose start is looked for.
struct Lookup {
    question: Question,
    generation: u64,
    start: StartOffset,
}

/// A request that came back.
enum Landed {
    Fetch { leader: i32, wanted: Vec<Wanted>, answer: Result<Answered, ClientError> },
    Offsets { lookups: Vec<Lookup>, answers: Result<HashMap<TopicPartition, Answer>, ClientError> },
    Committed { wanted: Vec<(TopicPartition, u64)>, answer: Result<Committed, ClientError> },
    Validated { wanted: Vec<Wanted>, answers: Result<HashMap<TopicPartition, EndOffset>, ClientError> },
}

/// A partition that something is to be done for, with its generation.
type Candidate = (TopicPartition, u64, FetchPosition);

/// What a group has committed.
type Committed = HashMap<TopicPartition, Option<OffsetAndMetadata>>;

/// Fetches until it is aborted.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut fetcher = Fetcher {
        shared,
        busy: HashSet::new(),
        quiet: HashMap::new(),
        flights: JoinSet::new(),
        trouble: Trouble::default(),
    };
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
    /// Leaders that had nothing of what was asked for, and until when they are not asked again while something is left out.
    quiet: HashMap<i32, Instant>,
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
        let (candidates, full) = self.candidates(now, &mut again);
        for (partition, generation, position) in candidates {
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
        let crowded: HashSet<i32> = match fetches.is_empty() {
            true => HashSet::new(),
            false => full.iter().filter_map(|partition| self.broker_of(partition, now)).collect(),
        };
        for (leader, wanted) in fetches {
            let is_crowded = crowded.contains(&leader);
            let quiet = self.quiet.get(&leader).and_then(|until| until.checked_duration_since(now));
            if let Some(wait) = quiet.filter(|_| is_crowded) {
                again = again.min(wait);
                continue;
            }
            self.take_off(wanted.iter().map(|wanted| (&wanted.partition, wanted.generation)));
            self.busy.insert(leader);
            let shared = Arc::clone(&self.shared);
            let max_wait = if is_crowded { Duration::ZERO } else { shared.config.fetch_max_wait };
            self.flights.spawn(async move {
                let answer = fetching::fetch(&shared, leader, &wanted, max_wait).await;
                Landed::Fetch { leader, wanted, answer }
            });
        }
        again
    }

    /// The partitions that nothing is under way for, and that have room; and those that have none.
    fn candidates(&self, now: Instant, again: &mut Duration) -> (Vec<Candidate>, Vec<TopicPartition>) {
        let config = &self.shared.config;
        let state = self.shared.lock();
        let buffered: usize = state.fetched.iter().map(|fetched| fetched.size).sum();
        let (mut candidates, mut full) = (Vec::new(), Vec::new());
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
            match is_full {
                true => full.push(partition.clone()),
                false => candidates.push((partition.clone(), known.generation, known.fetch)),
            }
        }
        (candidates, full)
    }

    /// The broker that a partition is read from, as far as that is remembered.
    fn broker_of(&self, partition: &TopicPartition, now: Instant) -> Option<i32> {
        let preferred = self.shared.lock().partitions.get(partition).and_then(|known| known.preferred);
        if let Some((replica, _)) = preferred.filter(|(_, until)| *until > now) {
            return Some(replica);
        }
        let topic = self.shared.cluster.remembered(&partition.topic)?;
        topic.partition(partition.partition).map(|info| info.leader)
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
                self.landed_fetch(leader, wanted, answer);
            }
        }
    }

    fn landed_fetch(&mut self, leader: i32, wanted: Vec<Wanted>, answer: Result<Answered, ClientError>) {
        let shared = Arc::clone(&self.shared);
        let error = match &answer {
            Ok(Answered { frame, kind }) => match frame.read::<FetchResponse<'_>>() {
                Ok(response) => {
                    let code = ErrorCode::from_code(response.error_code);
                    let mut sessions = shared.sessions();
                    let session = sessions.entry(leader).or_default();
                    if !code.is_none() {
                        session.refused(code);
                    }
                    let fits = *kind == FetchKind::Alone || (code.is_none() && session.accept(&response));
                    drop(sessions);
                    if code.is_none() && fits {
                        return self.fetched(leader, &wanted, frame, response, *kind);
                    }
                    // A session may end at any time: that is no trouble. One that is refused at its beginning is.
                    if *kind == FetchKind::Incremental && (code.is_none() || session::is_about_session(code))
                    {
                        return self.set_down(wanted.iter());
                    }
                    ClientError::check(code.code(), None).err().unwrap_or_else(not_mentioned)
                }
                Err(error) => error,
            },
            Err(error) => error.clone(),
        };
        if let Some(session) = shared.sessions().get_mut(&leader) {
            session.restart();
        }
        for wanted in wanted {
            self.postpone(&wanted.partition, wanted.generation, error.clone());
        }
    }

    /// Nothing is under way for these partitions any more.
    fn set_down<'a>(&self, wanted: impl Iterator<Item = &'a Wanted>) {
        let mut state = self.shared.lock();
        for wanted in wanted {
            if let Some(known) = state.current(&wanted.partition, wanted.generation) {
                known.in_flight = false;
                known.not_before = None;
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

    fn fetched(
        &mut self,
        leader: i32,
        wanted: &[Wanted],
        frame: &Frame,
        response: FetchResponse<'_>,
        kind: FetchKind,
    ) {
        let mut left = fetching::by_key(wanted, frame);
        let mut is_quiet = true;
        for topic in response.responses {
            let key = match topic.topic.is_empty() {
                true => TopicKey::Id(topic.topic_id),
                false => TopicKey::Name(Arc::from(topic.topic)),
            };
            for data in topic.partitions {
                if let Some(wanted) = left.remove(&(key.clone(), data.partition_index)) {
                    is_quiet &= data.records.is_none_or(|records| records.inline().is_empty());
                    self.fetched_partition(wanted, frame, data);
                }
            }
        }
        match is_quiet {
            true => drop(self.quiet.insert(leader, Instant::now() + QUIET)),
            false => drop(self.quiet.remove(&leader)),
        }
        if kind == FetchKind::Incremental {
            // Of these there is nothing new.
            self.set_down(left.into_values());
        } else {
            for missing in left.into_values() {
                self.postpone(&missing.partition, missing.generation, not_mentioned());
            }
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
