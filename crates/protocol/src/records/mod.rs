//! Record batches, magic 2 (KIP-98): reading, validating, building and patching them without copying records.
//!
//! Follows `org.apache.kafka.common.record`. A batch is 61 bytes of header, which [`BatchHeader`] and
//! [`RecordBatch`] read in place, and records of zig-zag varints, compressed together or not at all.
//! Nothing here does I/O, panics on input, or sizes an allocation by a length that came with the input.

mod alike;
mod batch;
mod builder;
pub mod control;
mod crc32c;
mod error;
mod header;
pub mod patch;
mod plain;
mod record;
mod source;
mod validate;
pub mod varint;

pub use batch::{Batches, DecompressedBatch, RecordBatch};
pub use builder::RecordBatchBuilder;
pub use control::{ControlRecordType, EndTxnMarker};
pub use crc32c::crc32c;
pub use error::{RecordError, RecordFault};
pub use header::{
    Attributes, BatchHeader, HEADER_SIZE_UP_TO_MAGIC, LOG_OVERHEAD, RECORD_BATCH_OVERHEAD, TimestampType,
    UNCHECKED_HEAD,
};
pub use record::{Header, HeaderIter, Headers, Record, RecordIter};
pub use validate::{RecordLimits, RecordsSummary};

/// The only message format that is written: 2.
pub const CURRENT_MAGIC: i8 = 2;
/// A record or batch without a timestamp.
pub const NO_TIMESTAMP: i64 = -1;
/// A batch without a producer id.
pub const NO_PRODUCER_ID: i64 = -1;
/// A batch without a producer epoch.
pub const NO_PRODUCER_EPOCH: i16 = -1;
/// A batch without sequence numbers.
pub const NO_SEQUENCE: i32 = -1;
/// A batch that no leader has appended yet.
pub const NO_PARTITION_LEADER_EPOCH: i32 = -1;

/// The sequence number `increment` records after `sequence`: 0 follows `i32::MAX`
/// (`DefaultRecordBatch.incrementSequence`).
pub fn increment_sequence(sequence: i32, increment: i32) -> i32 {
    if sequence > i32::MAX.wrapping_sub(increment) {
        increment.wrapping_sub(i32::MAX.wrapping_sub(sequence)).wrapping_sub(1)
    } else {
        sequence.wrapping_add(increment)
    }
}

/// The sequence number `decrement` records before `sequence` (`DefaultRecordBatch.decrementSequence`).
pub fn decrement_sequence(sequence: i32, decrement: i32) -> i32 {
    if sequence < decrement {
        i32::MAX.wrapping_sub(decrement.wrapping_sub(sequence)).wrapping_add(1)
    } else {
        sequence.wrapping_sub(decrement)
    }
}

#[cfg(test)]
mod tests;
