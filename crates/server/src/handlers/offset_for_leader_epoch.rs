//! `OffsetForLeaderEpoch` (KIP-320): where an epoch's records end, so that a client notices a log that was cut.

use std::sync::Arc;

use common::ErrorCode;
use network::{Handled, Outbox};
use protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use crate::broker::Broker;
use crate::request::{BadRequest, Request};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    mut request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let body: OffsetForLeaderEpochRequest = request.read()?;
    let topics = body
        .topics
        .iter()
        .map(|topic| OffsetForLeaderTopicResult {
            topic: topic.topic.clone(),
            partitions: topic
                .partitions
                .iter()
                .map(|asked| {
                    let result = match broker.replicas.partition(&topic.topic, asked.partition) {
                        Some(partition) => partition
                            .end_offset_for_epoch(asked.current_leader_epoch, asked.leader_epoch)
                            .map_err(|error| error.error_code()),
                        None => Err(ErrorCode::UnknownTopicOrPartition),
                    };
                    let mut answer = EpochEndOffset { partition: asked.partition, ..Default::default() };
                    match result {
                        Ok(Some(end)) => {
                            answer.leader_epoch = end.epoch;
                            answer.end_offset = end.offset;
                        }
                        Ok(None) => {}
                        Err(error) => answer.error_code = error.code(),
                    }
                    answer
                })
                .collect(),
        })
        .collect();
    request.head.answer(&OffsetForLeaderEpochResponse { topics, ..Default::default() }, out)
}
