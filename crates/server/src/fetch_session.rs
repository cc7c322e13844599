//! Fetch sessions (KIP-227, `kafka.server.FetchManager`): a consumer names its partitions once, then only what changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use common::{ErrorCode, Uuid};
use parking_lot::Mutex;
use protocol::messages::FetchRequest;

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
    /// In the order of the next fetch: partitions that gave records go to the end, so that none starves.
    order: BTreeMap<u64, (FetchPartition, Told)>,
    positions: HashMap<(TopicKey, i32), u64>,
    next_position: u64,
}

/// The sessions of a broker (`max.incremental.fetch.session.cache.slots`).
pub(crate) struct FetchSessions {
    slots: usize,
    sessions: Mutex<HashMap<i32, Arc<Mutex<Session>>>>,
}

/// What a request fetches, and the session that it belongs to.
pub(crate) struct FetchContext {
    pub(crate) partitions: Vec<FetchPartition>,
    kind: Kind,
}

enum Kind {
    Sessionless,
    /// A session begins with this answer, where there is room for it.
    New {
        uses_topic_ids: bool,
        privileged: bool,
    },
    Incremental {
        id: i32,
        session: Arc<Mutex<Session>>,
    },
}

impl FetchSessions {
    pub(crate) fn new(slots: i32) -> FetchSessions {
        FetchSessions { slots: usize::try_from(slots).unwrap_or(0), sessions: Mutex::default() }
    }

    /// Which partitions a request fetches.
    pub(crate) fn begin(
        &self,
        request: &FetchRequest,
        version: i16,
        now_ms: i64,
    ) -> Result<FetchContext, ErrorCode> {
        let uses_topic_ids = version >= 13;
        // Epoch 0 begins a session, -1 asks for none.
        if request.session_epoch <= 0 {
            if request.session_id != 0 {
                self.sessions.lock().remove(&request.session_id);
            }
            let kind = match request.session_epoch {
                0 => Kind::New { uses_topic_ids, privileged: is_follower(request) },
                _ => Kind::Sessionless,
            };
            return Ok(FetchContext { partitions: named(request, uses_topic_ids).collect(), kind });
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
        if locked.order.is_empty() {
            // Nothing is left to fetch: the session ends, as in Kafka.
            drop(locked);
            self.sessions.lock().remove(&request.session_id);
            return Ok(FetchContext { partitions: Vec::new(), kind: Kind::Sessionless });
        }
        locked.epoch = next_epoch(locked.epoch);
        locked.last_used_ms = now_ms;
        let partitions = locked.order.values().map(|(partition, _)| partition.clone()).collect();
        drop(locked);
        Ok(FetchContext { partitions, kind: Kind::Incremental { id: request.session_id, session } })
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
            Kind::New { uses_topic_ids, privileged } => {
                let id = self.create(context, facts, *uses_topic_ids, *privileged, now_ms);
                (id, vec![true; facts.len()])
            }
            Kind::Incremental { id, session } => {
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

    fn create(
        &self,
        context: &FetchContext,
        facts: &[PartitionFacts],
        uses_topic_ids: bool,
        privileged: bool,
        now_ms: i64,
    ) -> i32 {
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
            order: BTreeMap::new(),
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
        match self.positions.get(&key).and_then(|position| self.order.get_mut(position)) {
            Some((known, _)) => *known = partition,
            None => {
                let position = self.next_position;
                self.next_position += 1;
                self.positions.insert(key, position);
                // Nothing was told yet: the first answer names the partition whatever it finds.
                self.order.insert(position, (partition, Told { high_watermark: -1, log_start_offset: -1 }));
            }
        }
    }

    fn forget(&mut self, key: &(TopicKey, i32)) {
        if let Some(position) = self.positions.remove(key) {
            self.order.remove(&position);
        }
    }

    /// Whether the answer names the partition; notes what it says.
    fn tell(&mut self, partition: &FetchPartition, facts: &PartitionFacts) -> bool {
        let key = (partition.topic.clone(), partition.partition);
        let Some(position) = self.positions.get(&key).copied() else { return true };
        let Some((_, told)) = self.order.get_mut(&position) else { return true };
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
            && let Some(entry) = self.order.remove(&position)
        {
            let last = self.next_position;
            self.next_position += 1;
            self.order.insert(last, entry);
            self.positions.insert(key, last);
        }
        news
    }
}

#[cfg(test)]
mod tests;
