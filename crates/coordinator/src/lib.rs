//! The runtime that all coordinators share (Kafka's `CoordinatorRuntime`): requests become records, the records are
//! appended to a partition of the coordinator's topic, replayed into that partition's shard, and answered once they
//! are committed.
//!
//! Owns: the life of a shard (loading, active, failed, closed), the order of writes, answers that wait for the high
//! watermark, timers. Knows nothing of groups or transactions: that is the [`CoordinatorShard`].
//!
//! Thread: none, and no clock. A shard is a state machine behind a lock; whoever brings a request runs it to completion
//! in its own thread, and every call brings the time.
//!
//! **Invariant:** the state of an active shard is what replaying its partition up to the last written offset gives. So
//! records are replayed only after the log took them, and a failed append leaves nothing to undo.

mod batch;
mod error;
mod load;
mod log;
mod parked;
mod result;
mod runtime;
mod shard;
mod slot;
#[cfg(test)]
mod tests;
mod timer;

pub use error::{RecordDecodeError, operation_error};
pub use load::{LoadSummary, ReadLog};
pub use log::{Appended, CoordinatorLog};
pub use result::{AppendCallback, CoordinatorResult};
pub use runtime::{CoordinatorRuntime, RuntimeConfig, Wake};
pub use shard::{Context, CoordinatorShard, EncodedRecord, Producer};
pub use slot::{Access, Slot};
pub use timer::TimerQueue;
