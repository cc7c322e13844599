//! `DeleteRecords`: raises a log's start.

use std::sync::Arc;

use common::ErrorCode;
use network::{Handled, Outbox};
use protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use crate::broker::Broker;
use crate::request::{BadRequest, Request};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    mut request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let body: DeleteRecordsRequest = request.read()?;
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
                            Ok(start) => (start, ErrorCode::None),
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
    request.head.answer(&DeleteRecordsResponse { topics, ..Default::default() }, out)
}

fn delete(broker: &Broker, topic: &str, index: i32, offset: i64) -> Result<i64, ErrorCode> {
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
    let raised = partition.delete_records(offset).and_then(|_| partition.low_watermark());
    raised.map_err(|error| error.error_code())
}
