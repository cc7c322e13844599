//! `DeleteRecords`: raises a log's start.

use std::sync::Arc;
use std::time::Duration;

use common::ErrorCode;
use network::{Handled, Outbox};
use protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use replica::Partition;
use tokio::time::Instant;

use crate::broker::Broker;
use crate::request::{BadRequest, Request};
use crate::stalled_disks;

/// How often those who wait look whether all followers are so far.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

pub(crate) fn handle(
    broker: &Arc<Broker>,
    mut request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let body: DeleteRecordsRequest = request.read()?;
    let named = || {
        body.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|partition| (&topic.name, partition.partition_index))
        })
    };
    if let Some(wait) = stalled_disks::to_wait_for_named(broker, named) {
        return Ok(Handled::Again(wait));
    }
    let mut waiting = Vec::new();
    let topics = body
        .topics
        .iter()
        .map(|topic| DeleteRecordsTopicResult {
            name: topic.name.clone(),
            partitions: topic
                .partitions
                .iter()
                .map(|asked| {
                    let (low_watermark, error) =
                        match delete(broker, &topic.name, asked.partition_index, asked.offset) {
                            Ok(deleting) if deleting.is_done() => (deleting.low_watermark(), ErrorCode::None),
                            Ok(deleting) => {
                                waiting.push(deleting);
                                (-1, ErrorCode::RequestTimedOut)
                            }
                            Err(error) => (-1, error),
                        };
                    DeleteRecordsPartitionResult {
                        partition_index: asked.partition_index,
                        low_watermark,
                        error_code: error.code(),
                    }
                })
                .collect(),
        })
        .collect();
    let mut response = DeleteRecordsResponse { topics, ..Default::default() };
    if waiting.is_empty() {
        return request.head.answer(&response, out);
    }
    let timeout = Duration::from_millis(u64::try_from(body.timeout_ms).unwrap_or(0));
    request.head.later(async move {
        wait(waiting, timeout, &mut response).await;
        response
    })
}

/// Records that are deleted here, and not yet at every follower that is alive (`DelayedDeleteRecords`).
struct Deleting {
    partition: Arc<Partition>,
    offset: i64,
}

impl Deleting {
    /// -1 where this broker leads no more.
    fn low_watermark(&self) -> i64 {
        self.partition.low_watermark().unwrap_or(-1)
    }

    fn is_done(&self) -> bool {
        self.low_watermark() >= self.offset
    }
}

/// Followers hear of it with the answers to their fetches, which were woken for it, and say so with their next ones.
async fn wait(mut waiting: Vec<Deleting>, timeout: Duration, response: &mut DeleteRecordsResponse) {
    let deadline = Instant::now() + timeout;
    while !waiting.is_empty() && Instant::now() < deadline {
        tokio::time::sleep(LOOK_INTERVAL).await;
        waiting.retain(|deleting| {
            let error = match deleting.partition.check_leader(-1) {
                Ok(()) if deleting.is_done() => ErrorCode::None,
                Ok(()) => return true,
                Err(error) => error.error_code(),
            };
            let name = deleting.partition.topic_partition();
            let topics = response.topics.iter_mut().filter(|topic| *topic.name == *name.topic);
            let mut answers = topics.flat_map(|topic| &mut topic.partitions);
            if let Some(answer) = answers.find(|answer| answer.partition_index == name.partition) {
                answer.error_code = error.code();
                answer.low_watermark = deleting.low_watermark();
            }
            false
        });
    }
}

fn delete(broker: &Broker, topic: &str, index: i32, offset: i64) -> Result<Deleting, ErrorCode> {
    let partition = broker.replicas.partition(topic, index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if offset < -1 {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    if common::topic::is_internal(topic) {
        return Err(ErrorCode::InvalidTopicException);
    }
    // Only a topic whose old records go anyway may lose some by request.
    if !partition.log().config().delete {
        return Err(ErrorCode::PolicyViolation);
    }
    let offset = partition.delete_records(offset).map_err(|error| error.error_code())?;
    Ok(Deleting { partition, offset })
}
