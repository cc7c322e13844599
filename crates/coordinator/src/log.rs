//! The door to the partition's log, which the server implements (Kafka's `PartitionWriter`).

use common::ErrorCode;

/// Where a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The offset of the batch's last record.
    pub last_offset: i64,
    /// The partition's high watermark after the append: the batch is committed when it is above `last_offset`.
    pub high_watermark: i64,
}

/// The partitions of a coordinator's topic, as their leader sees them.
pub trait CoordinatorLog: Send + Sync {
    /// Appends one batch with relative offsets and no leader epoch. Called with the shard's lock held.
    ///
    /// # Errors
    /// The code the partition's leader gives for a produce request; [`crate::operation_error`] makes the coordinator's
    /// code of it.
    fn append(&self, partition: i32, batch: &[u8], now_ms: i64) -> Result<Appended, ErrorCode>;

    /// The largest batch the partition takes, in bytes (`max.message.bytes`).
    fn max_batch_size(&self, partition: i32) -> usize;
}
