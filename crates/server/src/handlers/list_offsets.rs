//! `ListOffsets`: offsets by timestamp, and the special ones.

use std::collections::HashSet;
use std::sync::Arc;

use common::ErrorCode;
use network::{Handled, Outbox};
use protocol::messages::list_offsets_request::ListOffsetsPartition;
use protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};
use replica::Isolation;

use crate::broker::Broker;
use crate::request::{BadRequest, Request};
use crate::stalled_disks;

const LATEST: i64 = -1;
/// The special timestamps go down to here; anything lower is a mistake.
const LOWEST_SPECIAL: i64 = -6;
/// From which version on each special timestamp may be asked for: -3 in 7, -4 in 8, -5 in 9, -6 in 11.
const SPECIAL_SINCE: [i16; 7] = [0, 0, 0, 7, 8, 9, 11];

pub(crate) fn handle(
    broker: &Arc<Broker>,
    mut request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let body: ListOffsetsRequest = request.read()?;
    let named = || {
        body.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|partition| (&topic.name, partition.partition_index))
        })
    };
    if let Some(wait) = stalled_disks::to_wait_for_named(broker, named) {
        return Ok(Handled::Again(wait));
    }
    let version = request.head.version;
    let mut seen = HashSet::new();
    let mut duplicates = HashSet::new();
    for topic in &body.topics {
        for partition in &topic.partitions {
            if !seen.insert((&topic.name, partition.partition_index)) {
                duplicates.insert((&topic.name, partition.partition_index));
            }
        }
    }
    let topics = body
        .topics
        .iter()
        .map(|topic| ListOffsetsTopicResponse {
            name: topic.name.clone(),
            partitions: topic
                .partitions
                .iter()
                .map(|asked| {
                    let result = if duplicates.contains(&(&topic.name, asked.partition_index)) {
                        Err(ErrorCode::InvalidRequest)
                    } else {
                        one(broker, &topic.name, asked, isolation(&body), version)
                    };
                    let partition_index = asked.partition_index;
                    result.map_or_else(
                        |error| ListOffsetsPartitionResponse {
                            partition_index,
                            error_code: error.code(),
                            ..Default::default()
                        },
                        |(timestamp, offset, leader_epoch)| ListOffsetsPartitionResponse {
                            partition_index,
                            error_code: 0,
                            timestamp,
                            offset,
                            // Kept silent about where the version has no place for it.
                            leader_epoch: if version >= 4 { leader_epoch } else { -1 },
                        },
                    )
                })
                .collect(),
        })
        .collect();
    request.head.answer(&ListOffsetsResponse { topics, ..Default::default() }, out)
}

/// Timestamp, offset and leader epoch; -1 each where there is no such record.
fn one(
    broker: &Broker,
    topic: &str,
    asked: &ListOffsetsPartition,
    isolation: Isolation,
    version: i16,
) -> Result<(i64, i64, i32), ErrorCode> {
    let Some(partition) = broker.replicas.partition(topic, asked.partition_index) else {
        let image = broker.image();
        let known = image
            .topics
            .topic(topic)
            .is_some_and(|topic| topic.partitions.contains_key(&asked.partition_index));
        return Err(if known { ErrorCode::NotLeaderOrFollower } else { ErrorCode::UnknownTopicOrPartition });
    };
    partition.check_leader(asked.current_leader_epoch).map_err(|error| error.error_code())?;
    if asked.timestamp < 0 {
        let since = (asked.timestamp >= LOWEST_SPECIAL).then(|| SPECIAL_SINCE[-asked.timestamp as usize]);
        if since.is_none_or(|since| version < since) {
            return Err(ErrorCode::UnsupportedVersion);
        }
    }
    let limit = partition.end_for(isolation);
    let may_be_unknown = || match isolation != Isolation::LogEnd && partition.is_behind_epoch(isolation) {
        true if version >= 5 => Err(ErrorCode::OffsetNotAvailable),
        true => Err(ErrorCode::LeaderNotAvailable),
        false => Ok(()),
    };
    if asked.timestamp == LATEST {
        may_be_unknown()?;
        return Ok((-1, limit, partition.leader_epoch()));
    }
    let found =
        partition.log().fetch_offset_by_timestamp(asked.timestamp).map_err(|error| error.error_code())?;
    Ok(match found {
        // A record that this reader may not see yet is none; the log's start is always there.
        Some(found) if found.offset < limit || asked.timestamp < LATEST => {
            (found.timestamp, found.offset, found.leader_epoch.unwrap_or(-1))
        }
        _ => {
            may_be_unknown()?;
            (-1, -1, -1)
        }
    })
}

/// What the reader may see: a follower everything.
fn isolation(request: &ListOffsetsRequest) -> Isolation {
    match request.isolation_level {
        _ if request.replica_id >= 0 => Isolation::LogEnd,
        0 => Isolation::ReadUncommitted,
        _ => Isolation::ReadCommitted,
    }
}
