//! The group coordinators' way to their log: the partitions of `__consumer_offsets` on this broker.

use std::sync::{Arc, Weak};

use common::ErrorCode;
use common::topic::GROUP_METADATA_TOPIC;
use coordinator::{Appended, CoordinatorLog};
use storage::AppendOrigin;

use crate::broker::Broker;

/// Appends to `__consumer_offsets`. The broker owns the coordinator, which owns this: the way back is weak.
pub(crate) struct OffsetsLog {
    broker: Weak<Broker>,
}

impl OffsetsLog {
    pub(crate) fn new(broker: Weak<Broker>) -> OffsetsLog {
        OffsetsLog { broker }
    }

    fn partition(&self, index: i32) -> Result<Arc<replica::Partition>, ErrorCode> {
        let broker = self.broker.upgrade().ok_or(ErrorCode::NotLeaderOrFollower)?;
        broker.replicas.partition(GROUP_METADATA_TOPIC, index).ok_or(ErrorCode::UnknownTopicOrPartition)
    }
}

impl CoordinatorLog for OffsetsLog {
    fn append(&self, partition: i32, batch: &[u8], now_ms: i64) -> Result<Appended, ErrorCode> {
        let partition = self.partition(partition)?;
        if partition.log().dir_health().is_stalled() {
            // Other groups' logs may lie on other disks: nobody's thread waits here. Clients ask again.
            return Err(ErrorCode::RequestTimedOut);
        }
        let appended = partition
            .append_as_leader(batch, AppendOrigin::Coordinator, true, now_ms)
            .map_err(|error| error.error_code())?;
        if appended.needs_flush {
            // flush.messages on the offsets topic: rare, and the shard's answer waits for it anyway.
            partition.log().flush().map_err(|error| error.error_code())?;
            partition.synced(&appended, now_ms);
        }
        Ok(Appended { last_offset: appended.last_offset, high_watermark: partition.log().high_watermark() })
    }

    fn max_batch_size(&self, partition: i32) -> usize {
        self.partition(partition)
            .map_or(1024 * 1024, |partition| partition.log().config().max_message_size as usize)
    }
}
