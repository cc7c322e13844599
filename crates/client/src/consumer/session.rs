//! Fetch sessions (KIP-227, `FetchSessionHandler`): a broker is told all partitions once, and then only what changed; it answers
//! with those that have something new.
//!
//! Pure: one for each broker, which sees its requests and answers one after the other.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use common::{ErrorCode, Uuid};
use protocol::messages::FetchResponse;
use protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};

/// Epoch of a fetch without a session, and of the one that ends a session.
const FINAL_EPOCH: i32 = -1;
/// Epoch of the fetch that opens a session and names all partitions.
const FIRST_EPOCH: i32 = 0;
/// No session: the broker has none to give away, or was not asked yet.
const NO_SESSION: i32 = 0;

/// A topic as it is named to a broker: by its id, to old ones by its name. One that was made anew is another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum TopicKey {
    Id(Uuid),
    Name(Arc<str>),
}

/// A partition as it is named to a broker.
pub(super) type Key = (TopicKey, i32);

/// What the next request to a broker says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct NextFetch {
    pub(super) session_id: i32,
    pub(super) session_epoch: i32,
    pub(super) topics: Vec<FetchTopic>,
    pub(super) forgotten: Vec<ForgottenTopic>,
}

impl NextFetch {
    /// All that is wanted, of a broker that knows no sessions.
    pub(super) fn without_session(wanted: Vec<(TopicKey, FetchPartition)>) -> NextFetch {
        NextFetch { session_epoch: FINAL_EPOCH, topics: topics(wanted), ..NextFetch::default() }
    }
}

/// A session with one broker.
#[derive(Debug)]
pub(super) struct FetchSession {
    id: i32,
    /// Of the next request.
    epoch: i32,
    /// What the broker knows, and the next request need not say.
    partitions: HashMap<Key, FetchPartition>,
}

impl Default for FetchSession {
    fn default() -> FetchSession {
        FetchSession { id: NO_SESSION, epoch: FIRST_EPOCH, partitions: HashMap::new() }
    }
}

impl FetchSession {
    /// The next request, which asks for these partitions and no others.
    pub(super) fn next(&mut self, wanted: Vec<(TopicKey, FetchPartition)>) -> NextFetch {
        let (session_id, session_epoch) = (self.id, self.epoch);
        let key = |(topic, partition): &(TopicKey, FetchPartition)| (topic.clone(), partition.partition);
        // Ids and names do not go together in one session.
        let is_other_kind = |wanted: &TopicKey| {
            let known = self.partitions.keys().next();
            known.is_some_and(|(known, _)| std::mem::discriminant(known) != std::mem::discriminant(wanted))
        };
        if self.is_full() || wanted.first().is_some_and(|(topic, _)| is_other_kind(topic)) {
            self.partitions = wanted.iter().map(|wanted| (key(wanted), wanted.1.clone())).collect();
            let topics = topics(wanted);
            self.epoch = FIRST_EPOCH;
            return NextFetch { session_id, session_epoch: FIRST_EPOCH, topics, ..NextFetch::default() };
        }
        let still: HashSet<Key> = wanted.iter().map(key).collect();
        let mut gone: Vec<Key> =
            self.partitions.keys().filter(|known| !still.contains(*known)).cloned().collect();
        gone.sort_by_key(|(_, partition)| *partition);
        for key in &gone {
            self.partitions.remove(key);
        }
        let changed = wanted.into_iter().filter(|wanted| {
            let before = self.partitions.insert(key(wanted), wanted.1.clone());
            before.as_ref() != Some(&wanted.1)
        });
        let topics = topics(changed.collect());
        NextFetch { session_id, session_epoch, topics, forgotten: forgotten(gone) }
    }

    /// Whether the request that is next, or under way, names all partitions.
    pub(super) fn is_full(&self) -> bool {
        self.epoch == FIRST_EPOCH
    }

    /// The broker answered the last request. Whether its answer fits: else nothing in it may be looked at, and the next
    /// request begins a new session.
    pub(super) fn accept(&mut self, response: &FetchResponse<'_>) -> bool {
        let answered: HashSet<Key> = response
            .responses
            .iter()
            .flat_map(|topic| {
                let key = match topic.topic.is_empty() {
                    true => TopicKey::Id(topic.topic_id),
                    false => TopicKey::Name(Arc::from(topic.topic)),
                };
                topic.partitions.iter().map(move |partition| (key.clone(), partition.partition_index))
            })
            .collect();
        let is_known = answered.iter().all(|key| self.partitions.contains_key(key));
        if !is_known || (self.is_full() && answered.len() != self.partitions.len()) {
            self.restart();
            return false;
        }
        if response.session_id == NO_SESSION {
            // It has no session for this consumer, or ended it to make room.
            *self = FetchSession::default();
            return true;
        }
        self.id = response.session_id;
        self.epoch = if self.epoch == i32::MAX { 1 } else { self.epoch + 1 };
        true
    }

    /// The broker refused the last request as a whole.
    pub(super) fn refused(&mut self, code: ErrorCode) {
        match code {
            ErrorCode::FetchSessionIdNotFound => *self = FetchSession::default(),
            _ => self.restart(),
        }
    }

    /// What the broker knows is not known any more, such as after a lost answer: the next request ends this session and opens
    /// another one.
    pub(super) fn restart(&mut self) {
        self.epoch = FIRST_EPOCH;
        self.partitions.clear();
    }

    /// The request that ends the session, if there is one.
    pub(super) fn close(&mut self) -> Option<NextFetch> {
        let session_id = std::mem::take(self).id;
        (session_id != NO_SESSION).then(|| NextFetch {
            session_id,
            session_epoch: FINAL_EPOCH,
            ..NextFetch::default()
        })
    }
}

/// Whether a refusal is about the session alone: the partitions are asked for again at once, in a new one.
pub(super) fn is_about_session(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::FetchSessionIdNotFound
            | ErrorCode::InvalidFetchSessionEpoch
            | ErrorCode::FetchSessionTopicIdError
    )
}

/// The id and the name of a topic in a request.
fn named(topic: &TopicKey) -> (Uuid, String) {
    match topic {
        TopicKey::Id(id) => (*id, String::new()),
        TopicKey::Name(name) => (Uuid::ZERO, name.to_string()),
    }
}

fn topics(wanted: Vec<(TopicKey, FetchPartition)>) -> Vec<FetchTopic> {
    let mut topics: Vec<FetchTopic> = Vec::new();
    let mut places: HashMap<TopicKey, usize> = HashMap::new();
    for (topic, partition) in wanted {
        let (topic_id, name) = named(&topic);
        let place = *places.entry(topic).or_insert(topics.len());
        if place == topics.len() {
            topics.push(FetchTopic { topic_id, topic: name, ..FetchTopic::default() });
        }
        topics[place].partitions.push(partition);
    }
    topics
}

fn forgotten(gone: Vec<Key>) -> Vec<ForgottenTopic> {
    let mut topics: Vec<ForgottenTopic> = Vec::new();
    let mut places: HashMap<TopicKey, usize> = HashMap::new();
    for (topic, partition) in gone {
        let (topic_id, name) = named(&topic);
        let place = *places.entry(topic).or_insert(topics.len());
        if place == topics.len() {
            topics.push(ForgottenTopic { topic_id, topic: name, ..ForgottenTopic::default() });
        }
        topics[place].partitions.push(partition);
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};

    const TOPIC: TopicKey = TopicKey::Id(Uuid::from_u128(1));

    fn wanted(partitions: &[(i32, i64)]) -> Vec<(TopicKey, FetchPartition)> {
        wanted_of(&TOPIC, partitions)
    }

    fn wanted_of(topic: &TopicKey, partitions: &[(i32, i64)]) -> Vec<(TopicKey, FetchPartition)> {
        let partition = |&(partition, fetch_offset): &(i32, i64)| FetchPartition {
            partition,
            fetch_offset,
            ..FetchPartition::default()
        };
        partitions.iter().map(|of| (topic.clone(), partition(of))).collect()
    }

    fn answer(session_id: i32, partitions: &[i32]) -> FetchResponse<'static> {
        let data =
            |partition_index: &i32| PartitionData { partition_index: *partition_index, ..Default::default() };
        let topic = FetchableTopicResponse {
            topic_id: Uuid::from_u128(1),
            partitions: partitions.iter().map(data).collect(),
            ..Default::default()
        };
        FetchResponse { session_id, responses: vec![topic], ..FetchResponse::default() }
    }

    /// Partitions and offsets in a request, and the partitions that it takes out.
    fn said(fetch: &NextFetch) -> (i32, i32, Vec<(i32, i64)>, Vec<i32>) {
        let of = |topic: &FetchTopic| {
            topic.partitions.iter().map(|of| (of.partition, of.fetch_offset)).collect::<Vec<_>>()
        };
        (
            fetch.session_id,
            fetch.session_epoch,
            fetch.topics.iter().flat_map(of).collect(),
            fetch.forgotten.iter().flat_map(|topic| topic.partitions.clone()).collect(),
        )
    }

    #[test]
    fn only_what_changes_is_said() {
        let mut session = FetchSession::default();
        let first = session.next(wanted(&[(0, 10), (1, 20), (2, 30)]));
        assert_eq!(said(&first), (0, 0, vec![(0, 10), (1, 20), (2, 30)], vec![]));
        assert!(session.accept(&answer(77, &[0, 1, 2])));
        let same = session.next(wanted(&[(0, 10), (1, 20), (2, 30)]));
        assert_eq!(said(&same), (77, 1, vec![], vec![]));
        assert!(session.accept(&answer(77, &[])));
        let moved = session.next(wanted(&[(0, 11), (2, 30), (3, 0)]));
        assert_eq!(said(&moved), (77, 2, vec![(0, 11), (3, 0)], vec![1]));
        assert!(session.accept(&answer(77, &[3])));
        assert_eq!(said(&session.next(wanted(&[(1, 20)]))), (77, 3, vec![(1, 20)], vec![0, 2, 3]));
    }

    #[test]
    fn a_topic_that_is_made_anew_takes_the_place_of_the_old_one() {
        let mut session = FetchSession::default();
        session.next(wanted(&[(0, 10)]));
        assert!(session.accept(&answer(5, &[0])));
        let other = TopicKey::Id(Uuid::from_u128(2));
        let next = session.next(wanted_of(&other, &[(0, 10)]));
        assert_eq!(said(&next), (5, 1, vec![(0, 10)], vec![0]));
        assert_eq!(next.topics[0].topic_id, Uuid::from_u128(2));
        assert_eq!(next.forgotten[0].topic_id, Uuid::from_u128(1));
        // Where ids are not to be had any more, the session ends.
        assert!(session.accept(&answer(5, &[])));
        let name = TopicKey::Name(Arc::from("t"));
        assert_eq!(said(&session.next(wanted_of(&name, &[(0, 11)]))), (5, 0, vec![(0, 11)], vec![]));
    }

    #[test]
    fn a_broker_without_room_is_told_everything_each_time() {
        let mut session = FetchSession::default();
        for _ in 0..3 {
            assert_eq!(said(&session.next(wanted(&[(0, 1)]))), (0, 0, vec![(0, 1)], vec![]));
            assert!(session.accept(&answer(0, &[0])));
        }
        // One that ends the session to make room says so with its answer.
        session.next(wanted(&[(0, 1)]));
        assert!(session.accept(&answer(9, &[0])));
        session.next(wanted(&[(0, 1)]));
        assert!(session.accept(&answer(0, &[])));
        assert_eq!(said(&session.next(wanted(&[(0, 1)]))), (0, 0, vec![(0, 1)], vec![]));
    }

    #[test]
    fn what_goes_wrong_begins_a_new_session() {
        let begun = || {
            let mut session = FetchSession::default();
            session.next(wanted(&[(0, 1), (1, 1)]));
            assert!(session.accept(&answer(9, &[0, 1])));
            session.next(wanted(&[(0, 1), (1, 1)]));
            session
        };
        let all = vec![(0, 1), (1, 1)];
        let mut session = begun();
        session.refused(ErrorCode::FetchSessionIdNotFound);
        assert_eq!(said(&session.next(wanted(&all))), (0, 0, all.clone(), vec![]));
        let mut session = begun();
        session.refused(ErrorCode::InvalidFetchSessionEpoch);
        assert_eq!(said(&session.next(wanted(&all))), (9, 0, all.clone(), vec![]));
        // The answer to a request was lost.
        let mut session = begun();
        session.restart();
        assert_eq!(said(&session.next(wanted(&all))), (9, 0, all.clone(), vec![]));
        // Answers that leave something out, or tell of what was not asked.
        assert!(!session.accept(&answer(10, &[0])));
        let mut session = begun();
        assert!(!session.accept(&answer(9, &[2])));
        assert_eq!(said(&session.next(wanted(&all))), (9, 0, all, vec![]));
    }

    #[test]
    fn epochs_go_round_and_a_session_is_ended() {
        let mut session = FetchSession::default();
        assert_eq!(session.close(), None);
        session.next(wanted(&[(0, 1)]));
        assert!(session.accept(&answer(9, &[0])));
        session.epoch = i32::MAX;
        session.next(wanted(&[(0, 1)]));
        assert!(session.accept(&answer(9, &[])));
        assert_eq!(said(&session.next(wanted(&[(0, 1)]))), (9, 1, vec![], vec![]));
        assert_eq!(session.close().map(|fetch| (fetch.session_id, fetch.session_epoch)), Some((9, -1)));
        assert_eq!(session.close(), None);
    }
}
