//! Fetch sessions (KIP-227, `kafka.server.FetchManager`): a consumer names its partitions once, then only what changes.
//!
//! A partition about which nothing is new is *settled*: fetches pass it over until it says that something has happened
//! ([`replica::Settled`]), so that a fetch costs what the active partitions cost, however many there are.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use common::{ErrorCode, Uuid};
use parking_lot::Mutex;
use protocol::messages::FetchRequest;
use replica::{FetchWaiter, Partition, SessionChanges, Settled, SettledAt, SettledReader};

/// A session that others may take the place of once it was not used for so long
/// (`min.incremental.fetch.session.eviction.ms`).
const EVICTION_MS: i64 = 120_000;

/// A topic as requests name it: by name up to version 12, by id from 13 on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum TopicKey {
    Name(Arc<str>),
    Id(Uuid),
}

/// A partition that is to be fetched.
#[derive(Debug, Clone)]
pub(crate) struct FetchPartition {
    pub(crate) topic: TopicKey,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) max_bytes: i32,
    pub(crate) current_leader_epoch: i32,
    pub(crate) last_fetched_epoch: i32,
    /// Where the log of a follower begins; -1 for a consumer.
    pub(crate) log_start_offset: i64,
}

/// What the session said last about a partition: the next answer leaves it out where nothing is new.
#[derive(Debug, Clone, Copy)]
struct Told {
    high_watermark: i64,
    log_start_offset: i64,
}

/// What an answer has to say about a partition, as far as a session cares.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartitionFacts {
    pub(crate) has_records: bool,
    pub(crate) error: ErrorCode,
    /// Where the logs part, or another replica is to be read: a client that is not told goes on as it is.
    pub(crate) must_be_told: bool,
    pub(crate) high_watermark: i64,
    pub(crate) log_start_offset: i64,
}

struct Session {
    epoch: i32,
    uses_topic_ids: bool,
    /// A follower's: it takes the place of a consumer's where there is no room.
    privileged: bool,
    last_used_ms: i64,
    /// The follower's epoch at its last fetch.
    replica_epoch: i64,
    /// What the next fetch looks at, in its order: partitions that gave records go to the end, so that none starves.
    active: BTreeMap<u64, (FetchPartition, Told)>,
    /// The others, by their places among those.
    settled: BTreeMap<u64, SettledPartition>,
    changes: Arc<SessionChanges>,
    /// [`storage::LogManager::log_start_moves`] as the settled partitions know it.
    log_start_moves: u64,
    positions: HashMap<(TopicKey, i32), u64>,
    next_position: u64,
}

struct SettledPartition {
    partition: FetchPartition,
    told: Told,
    reader: SettledReader,
    settled: Arc<Settled>,
    /// The partition may be gone meanwhile; it has said so then.
    of: Weak<Partition>,
}

/// The partition, unless it has to be looked at with each fetch, and who reads it.
type ToSettle<'a> = dyn Fn(&FetchPartition) -> Option<(Arc<Partition>, SettledReader)> + 'a;

/// The sessions of a broker (`max.incremental.fetch.session.cache.slots`).
pub(crate) struct FetchSessions {
    slots: usize,
    sessions: Mutex<HashMap<i32, Arc<Mutex<Session>>>>,
}

/// What a request fetches, and the session that it belongs to.
pub(crate) struct FetchContext {
    pub(crate) partitions: Vec<FetchPartition>,
    /// How many partitions of the session are passed over.
    pub(crate) settled: usize,
    kind: Kind,
    begun_ms: i64,
}

enum Kind {
    Sessionless,
    /// A session begins with this answer, where there is room for it.
    New {
        uses_topic_ids: bool,
        privileged: bool,
        replica_epoch: i64,
        log_start_moves: u64,
    },
    Incremental {
        id: i32,
        session: Arc<Mutex<Session>>,
        changes: Arc<SessionChanges>,
    },
}

impl FetchSessions {
    pub(crate) fn new(slots: i32) -> FetchSessions {
        FetchSessions { slots: usize::try_from(slots).unwrap_or(0), sessions: Mutex::default() }
    }

    /// Which partitions a request fetches. `log_start_moves`: of the broker's logs.
    pub(crate) fn begin(
        &self,
        request: &FetchRequest,
        version: i16,
        log_start_moves: u64,
        now_ms: i64,
    ) -> Result<FetchContext, ErrorCode> {
        let uses_topic_ids = version >= 13;
        // Epoch 0 begins a session, -1 asks for none.
        if request.session_epoch <= 0 {
            if request.session_id != 0 {
                self.sessions.lock().remove(&request.session_id);
            }
            let kind = match request.session_epoch {
                0 => Kind::New {
                    uses_topic_ids,
                    privileged: is_follower(request),
                    replica_epoch: request.replica_state.replica_epoch,
                    log_start_moves,
                },
                _ => Kind::Sessionless,
            };
            let partitions = named(request, uses_topic_ids).collect();
            return Ok(FetchContext { partitions, settled: 0, kind, begun_ms: now_ms });
        }
        let session = self.sessions.lock().get(&request.session_id).cloned();
        let session = session.ok_or(ErrorCode::FetchSessionIdNotFound)?;
        let mut locked = session.lock();
        if locked.epoch != request.session_epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if locked.uses_topic_ids != uses_topic_ids {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        for partition in named(request, uses_topic_ids) {
            locked.put(partition);
        }
        for topic in &request.forgotten_topics_data {
            let key = topic_key(&topic.topic, topic.topic_id, uses_topic_ids);
            for partition in &topic.partitions {
                locked.forget(&(key.clone(), *partition));
            }
        }
        if locked.positions.is_empty() {
            // Nothing is left to fetch: the session ends, as in Kafka.
            drop(locked);
            self.sessions.lock().remove(&request.session_id);
            let (partitions, kind) = (Vec::new(), Kind::Sessionless);
            return Ok(FetchContext { partitions, settled: 0, kind, begun_ms: now_ms });
        }
        locked.epoch = next_epoch(locked.epoch);
        locked.last_used_ms = now_ms;
        locked.follow(request.replica_state.replica_epoch, log_start_moves);
        locked.take_changes();
        let changes = Arc::clone(&locked.changes);
        let mut context =
            FetchContext { partitions: Vec::new(), settled: 0, kind: Kind::Sessionless, begun_ms: now_ms };
        locked.fill(&mut context);
        drop(locked);
        context.kind = Kind::Incremental { id: request.session_id, session, changes };
        Ok(context)
    }

    /// All partitions of a fetch have been looked at.
    pub(crate) fn looked(&self, context: &FetchContext) {
        if let Kind::Incremental { changes, .. } = &context.kind {
            changes.fetched(context.begun_ms);
        }
    }

    /// Has a fetch that waits woken when something happens to a partition that it passes over. The caller takes in what has changed
    /// already after this ([`FetchSessions::take_in`]).
    pub(crate) fn wake(&self, context: &FetchContext, waiter: Option<&Arc<FetchWaiter>>) {
        if let Kind::Incremental { changes, .. } = &context.kind {
            changes.wake(waiter);
        }
    }

    /// Adds to a fetch the partitions to which something has happened since it passed them over. Returns whether there are any.
    pub(crate) fn take_in(&self, context: &mut FetchContext) -> bool {
        let Kind::Incremental { session, .. } = &context.kind else { return false };
        let session = Arc::clone(session);
        let mut session = session.lock();
        let has_changes = session.take_changes();
        if has_changes {
            session.fill(context);
        }
        has_changes
    }

    /// Has partitions passed over from now on of which the answer says nothing. `named`: which the answer names.
    pub(crate) fn settle(&self, context: &FetchContext, named: &[bool], of: &ToSettle<'_>) {
        let Kind::Incremental { session, .. } = &context.kind else { return };
        let mut session = session.lock();
        for (wanted, _) in context.partitions.iter().zip(named).filter(|(_, named)| !**named) {
            if let Some((partition, reader)) = of(wanted) {
                session.settle(wanted, &partition, reader);
            }
        }
    }

    /// Ends a fetch: which partitions the answer names, and its session id. `facts` are in the order of the partitions.
    pub(crate) fn finish(
        &self,
        context: &FetchContext,
        facts: &[PartitionFacts],
        now_ms: i64,
    ) -> (i32, Vec<bool>) {
        match &context.kind {
            Kind::Sessionless => (0, vec![true; facts.len()]),
            Kind::New { .. } => (self.create(context, facts, now_ms), vec![true; facts.len()]),
            Kind::Incremental { id, session, .. } => {
                let mut session = session.lock();
                let told = context
                    .partitions
                    .iter()
                    .zip(facts)
                    .map(|(partition, facts)| session.tell(partition, facts));
                (*id, told.collect())
            }
        }
    }

    fn create(&self, context: &FetchContext, facts: &[PartitionFacts], now_ms: i64) -> i32 {
        let Kind::New { uses_topic_ids, privileged, replica_epoch, log_start_moves } = context.kind else {
            return 0;
        };
        if self.slots == 0 {
            return 0;
        }
        let mut sessions = self.sessions.lock();
        if sessions.len() >= self.slots {
            // One that nobody uses any more, or of a consumer where a follower asks: a follower without a session names all its
            // partitions in each fetch.
            let oldest = sessions
                .iter()
                .map(|(id, session)| {
                    let session = session.lock();
                    (session.privileged, session.last_used_ms, *id)
                })
                .filter(|(of_follower, last_used_ms, _)| {
                    now_ms - last_used_ms > EVICTION_MS || (privileged && !of_follower)
                })
                .min();
            match oldest {
                Some((_, _, id)) => drop(sessions.remove(&id)),
                None => return 0,
            }
        }
        let id = loop {
            let id = (Uuid::random().as_u128() as i32) & i32::MAX;
            if id > 0 && !sessions.contains_key(&id) {
                break id;
            }
        };
        let mut session = Session {
            epoch: 1,
            uses_topic_ids,
            privileged,
            last_used_ms: now_ms,
            replica_epoch,
            active: BTreeMap::new(),
            settled: BTreeMap::new(),
            changes: Arc::default(),
            log_start_moves,
            positions: HashMap::new(),
            next_position: 0,
        };
        for (partition, facts) in context.partitions.iter().zip(facts) {
            session.put(partition.clone());
            session.tell(partition, facts);
        }
        sessions.insert(id, Arc::new(Mutex::new(session)));
        id
    }
}

/// Whether a follower asks, in the field of either kind of version.
fn is_follower(request: &FetchRequest) -> bool {
    request.replica_id >= 0 || request.replica_state.replica_id >= 0
}

/// Epochs go round after the largest number and leave zero out, which begins a session.
fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

fn topic_key(name: &str, id: Uuid, uses_topic_ids: bool) -> TopicKey {
    if uses_topic_ids { TopicKey::Id(id) } else { TopicKey::Name(Arc::from(name)) }
}

fn named(request: &FetchRequest, uses_topic_ids: bool) -> impl Iterator<Item = FetchPartition> {
    request.topics.iter().flat_map(move |topic| {
        let key = topic_key(&topic.topic, topic.topic_id, uses_topic_ids);
        topic.partitions.iter().map(move |partition| FetchPartition {
            topic: key.clone(),
            partition: partition.partition,
            offset: partition.fetch_offset,
            max_bytes: partition.partition_max_bytes,
            current_leader_epoch: partition.current_leader_epoch,
            last_fetched_epoch: partition.last_fetched_epoch,
            log_start_offset: partition.log_start_offset,
        })
    })
}

impl Session {
    fn put(&mut self, partition: FetchPartition) {
        let key = (partition.topic.clone(), partition.partition);
        if let Some(position) = self.positions.get(&key).copied() {
            self.activate(position);
        }
        match self.positions.get(&key).and_then(|position| self.active.get_mut(position)) {
            Some((known, _)) => *known = partition,
            None => {
                let position = self.next_position;
                self.next_position += 1;
                self.positions.insert(key, position);
                // Nothing was told yet: the first answer names the partition whatever it finds.
                self.active.insert(position, (partition, Told { high_watermark: -1, log_start_offset: -1 }));
            }
        }
    }

    fn forget(&mut self, key: &(TopicKey, i32)) {
        if let Some(position) = self.positions.remove(key) {
            self.activate(position);
            self.active.remove(&position);
        }
    }

    /// The partition is looked at again.
    fn activate(&mut self, position: u64) {
        if let Some(settled) = self.settled.remove(&position) {
            settled.end();
            self.active.insert(position, (settled.partition, settled.told));
        }
    }

    /// Looks again at the partitions to which something has happened. Returns whether there are any.
    fn take_changes(&mut self) -> bool {
        let changed = self.changes.take();
        let before = self.active.len();
        changed.into_iter().for_each(|position| self.activate(position));
        self.active.len() > before
    }

    /// Looks again at what no partition tells of: a follower that has registered anew shows itself to all, and retention moves the
    /// starts of logs.
    fn follow(&mut self, replica_epoch: i64, log_start_moves: u64) {
        let is_new = std::mem::replace(&mut self.replica_epoch, replica_epoch) != replica_epoch;
        let has_moved = std::mem::replace(&mut self.log_start_moves, log_start_moves) != log_start_moves;
        if !is_new && !has_moved {
            return;
        }
        let is_due = |settled: &SettledPartition| {
            let of = settled.of.upgrade();
            is_new
                || of.is_none_or(|partition| {
                    partition.log().log_start_offset() != settled.told.log_start_offset
                })
        };
        let due: Vec<u64> = self
            .settled
            .iter()
            .filter(|(_, settled)| is_due(settled))
            .map(|(position, _)| *position)
            .collect();
        due.into_iter().for_each(|position| self.activate(position));
    }

    fn fill(&self, context: &mut FetchContext) {
        context.partitions = self.active.values().map(|(partition, _)| partition.clone()).collect();
        context.settled = self.settled.len();
    }

    /// Passes a partition over until something happens to it, if nothing has happened since it was told.
    fn settle(&mut self, wanted: &FetchPartition, of: &Arc<Partition>, reader: SettledReader) {
        let key = (wanted.topic.clone(), wanted.partition);
        let Some(position) = self.positions.get(&key).copied() else { return };
        let Some((partition, told)) = self.active.get(&position) else { return };
        let at = SettledAt {
            offset: partition.offset,
            current_leader_epoch: partition.current_leader_epoch,
            high_watermark: told.high_watermark,
            log_start_offset: told.log_start_offset,
            reader,
        };
        let settled = Settled::new(&self.changes, position);
        if of.settle(&at, &settled)
            && let Some((partition, told)) = self.active.remove(&position)
        {
            let of = Arc::downgrade(of);
            self.settled.insert(position, SettledPartition { partition, told, reader, settled, of });
        }
    }

    /// Whether the answer names the partition; notes what it says.
    fn tell(&mut self, partition: &FetchPartition, facts: &PartitionFacts) -> bool {
        let key = (partition.topic.clone(), partition.partition);
        let Some(position) = self.positions.get(&key).copied() else { return true };
        let Some((_, told)) = self.active.get_mut(&position) else { return true };
        let news = facts.has_records
            || facts.must_be_told
            || !facts.error.is_none()
            || told.high_watermark != facts.high_watermark
            || told.log_start_offset != facts.log_start_offset;
        *told = if facts.error.is_none() {
            Told { high_watermark: facts.high_watermark, log_start_offset: facts.log_start_offset }
        } else {
            // After an error the next answer names the partition again, even where it is well by then.
            Told { high_watermark: -1, log_start_offset: -1 }
        };
        if facts.has_records
            && let Some(entry) = self.active.remove(&position)
        {
            let last = self.next_position;
            self.next_position += 1;
            self.active.insert(last, entry);
            self.positions.insert(key, last);
        }
        news
    }
}

impl SettledPartition {
    fn end(&self) {
        if let Some(partition) = self.of.upgrade() {
            partition.unsettle(self.reader, &self.settled);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.settled.values().for_each(SettledPartition::end);
    }
}

#[cfg(test)]
mod against_a_walk;
#[cfg(test)]
mod tests;
