//! A fetch's request: what is wanted of one broker, in a session where the broker has them.

use std::collections::HashMap;
use std::time::Duration;

use common::{TopicPartition, Uuid};
use protocol::ApiKey;
use protocol::messages::FetchRequest;
use protocol::messages::fetch_request::FetchPartition;

use super::session::{Key, NextFetch, TopicKey};
use super::state::Shared;
use crate::ClientError;
use crate::connection::Frame;

/// Fetch requests name topics up to this version, and ids afterwards.
const BY_NAME: i16 = 12;
/// The first version that knows sessions.
const SESSIONS: i16 = 7;

/// A partition in a fetch.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) partition: TopicPartition,
    pub(super) topic_id: Uuid,
    pub(super) generation: u64,
    pub(super) leader_epoch: i32,
    pub(super) offset: i64,
    /// Whether the leader was passed over for a nearer replica.
    pub(super) from_replica: bool,
}

/// Whether a fetch is part of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FetchKind {
    /// The broker knows no sessions.
    Alone,
    /// It names all partitions, and is told of all of them.
    Full,
    /// The broker knows the partitions, and tells of those that have something new.
    Incremental,
}

/// What came of a fetch.
pub(super) struct Answered {
    pub(super) frame: Frame,
    pub(super) kind: FetchKind,
}

/// The request's partitions by what the answer calls them.
pub(super) fn by_key<'a>(wanted: &'a [Wanted], frame: &Frame) -> HashMap<Key, &'a Wanted> {
    let by_id = frame.version() > BY_NAME;
    wanted.iter().map(|wanted| ((key(wanted, by_id), wanted.partition.partition), wanted)).collect()
}

fn key(wanted: &Wanted, by_id: bool) -> TopicKey {
    match by_id {
        true => TopicKey::Id(wanted.topic_id),
        false => TopicKey::Name(wanted.partition.topic.clone()),
    }
}

/// Asks a broker for partitions. It waits for records up to `max_wait`.
pub(super) async fn fetch(
    shared: &Shared,
    broker: i32,
    wanted: &[Wanted],
    max_wait: Duration,
) -> Result<Answered, ClientError> {
    let config = &shared.config;
    let connection = shared.cluster.node(broker).await?;
    let by_id = wanted.iter().all(|wanted| !wanted.topic_id.is_zero());
    let version = connection.version(ApiKey::Fetch, if by_id { i16::MAX } else { BY_NAME })?;
    let partition = |wanted: &Wanted| {
        let partition = FetchPartition {
            partition: wanted.partition.partition,
            current_leader_epoch: wanted.leader_epoch,
            fetch_offset: wanted.offset,
            partition_max_bytes: config.max_partition_fetch_bytes,
            ..FetchPartition::default()
        };
        (key(wanted, version > BY_NAME), partition)
    };
    let partitions = wanted.iter().map(partition).collect();
    let next = match version >= SESSIONS {
        true => shared.sessions().entry(broker).or_default().next(partitions),
        false => NextFetch::without_session(partitions),
    };
    let kind = match next.session_epoch {
        _ if version < SESSIONS => FetchKind::Alone,
        0 => FetchKind::Full,
        _ => FetchKind::Incremental,
    };
    let request = FetchRequest {
        max_wait_ms: i32::try_from(max_wait.as_millis()).unwrap_or(i32::MAX),
        min_bytes: config.fetch_min_bytes,
        max_bytes: config.fetch_max_bytes,
        isolation_level: config.isolation_level.code(),
        rack_id: config.client_rack.clone(),
        session_id: next.session_id,
        session_epoch: next.session_epoch,
        topics: next.topics,
        forgotten_topics_data: next.forgotten,
        ..FetchRequest::default()
    };
    let frame = connection.send_in_version(&request, version).await?;
    Ok(Answered { frame, kind })
}

/// Ends the sessions with all brokers that a connection is open to, so that they have room for others. Nobody waits for the
/// answers.
pub(super) async fn close_sessions(shared: &Shared) {
    let sessions: Vec<_> = shared.sessions().drain().collect();
    for (broker, mut session) in sessions {
        let (Some(next), Some(connection)) = (session.close(), shared.cluster.open_connection(broker)) else {
            continue;
        };
        let request = FetchRequest {
            max_wait_ms: 0,
            session_id: next.session_id,
            session_epoch: next.session_epoch,
            ..FetchRequest::default()
        };
        if let Ok(version) = connection.version(ApiKey::Fetch, i16::MAX) {
            // A consumer that goes away is not held up by it.
            let _ = connection.post(&request, version).await;
        }
    }
}
