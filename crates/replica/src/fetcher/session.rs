//! A fetch session as the one who fetches sees it (KIP-227, `FetchSessionHandler`): after the first request only what is new is
//! said.

use std::collections::BTreeMap;

use common::{ErrorCode, TopicIdPartition};
use protocol::messages::FetchRequest;
use protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};

/// What is asked of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) leader_epoch: i32,
    pub(super) offset: i64,
    pub(super) last_fetched_epoch: i32,
    pub(super) log_start_offset: i64,
    pub(super) max_bytes: i32,
}

/// A session with one leader.
#[derive(Default)]
pub(super) struct FetchSession {
    /// 0: the leader has given none.
    id: i32,
    /// The epoch of the next request; 0 begins a session.
    epoch: i32,
    /// What the leader was asked last for each partition of the session.
    sent: BTreeMap<TopicIdPartition, Wanted>,
}

impl FetchSession {
    /// The next request, after these partitions have changed; nothing to fetch any more where one has no wish. None where there is
    /// nothing to fetch at all.
    pub(super) fn request(
        &mut self,
        changes: Vec<(TopicIdPartition, Option<Wanted>)>,
    ) -> Option<FetchRequest> {
        let mut named: Vec<(TopicIdPartition, Wanted)> = Vec::new();
        let mut forgotten: Vec<TopicIdPartition> = Vec::new();
        for (id, wanted) in changes {
            match wanted {
                Some(wanted) => {
                    if self.sent.insert(id, wanted) != Some(wanted) {
                        named.push((id, wanted));
                    }
                }
                None => {
                    if self.sent.remove(&id).is_some() {
                        forgotten.push(id);
                    }
                }
            }
        }
        if self.epoch == 0 {
            // A request that begins a session names everything.
            named = self.sent.iter().map(|(id, wanted)| (*id, *wanted)).collect();
            forgotten.clear();
        }
        if self.sent.is_empty() {
            // The next request begins a session in the place of this one.
            self.epoch = 0;
            return None;
        }
        Some(FetchRequest {
            session_id: self.id,
            session_epoch: self.epoch,
            topics: topics(&named),
            forgotten_topics_data: forgotten_topics(&forgotten),
            ..FetchRequest::default()
        })
    }

    /// What the leader was asked for a partition.
    pub(super) fn sent(&self, id: &TopicIdPartition) -> Option<&Wanted> {
        self.sent.get(id)
    }

    /// The leader has answered. False where the session is over, and the answer says nothing of partitions.
    pub(super) fn on_response(&mut self, error: ErrorCode, session_id: i32) -> bool {
        if !error.is_none() {
            if error == ErrorCode::FetchSessionIdNotFound {
                self.id = 0;
            }
            self.epoch = 0;
            return false;
        }
        if session_id == 0 {
            // Every partition of a leader without room for sessions is named each time.
            self.id = 0;
            self.epoch = 0;
        } else {
            self.id = session_id;
            // Zero would begin a session.
            self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        }
        true
    }

    /// Nobody knows what the leader has heard: a new session takes the place of this one.
    pub(super) fn reset(&mut self) {
        self.epoch = 0;
        self.sent.clear();
    }
}

fn topics(named: &[(TopicIdPartition, Wanted)]) -> Vec<FetchTopic> {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for (id, wanted) in named {
        let partition = FetchPartition {
            partition: id.partition,
            current_leader_epoch: wanted.leader_epoch,
            fetch_offset: wanted.offset,
            last_fetched_epoch: wanted.last_fetched_epoch,
            log_start_offset: wanted.log_start_offset,
            partition_max_bytes: wanted.max_bytes,
            ..FetchPartition::default()
        };
        match topics.last_mut().filter(|topic| topic.topic_id == id.topic_id) {
            Some(topic) => topic.partitions.push(partition),
            None => topics.push(FetchTopic {
                topic_id: id.topic_id,
                partitions: vec![partition],
                ..FetchTopic::default()
            }),
        }
    }
    topics
}

fn forgotten_topics(forgotten: &[TopicIdPartition]) -> Vec<ForgottenTopic> {
    let mut topics: Vec<ForgottenTopic> = Vec::new();
    for id in forgotten {
        match topics.last_mut().filter(|topic| topic.topic_id == id.topic_id) {
            Some(topic) => topic.partitions.push(id.partition),
            None => topics.push(ForgottenTopic {
                topic_id: id.topic_id,
                partitions: vec![id.partition],
                ..ForgottenTopic::default()
            }),
        }
    }
    topics
}
