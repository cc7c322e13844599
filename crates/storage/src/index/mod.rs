//! The indexes of a segment.

mod entries;
mod offset_index;
mod time_index;
mod transaction_index;

pub use offset_index::OFFSET_INDEX_ENTRY_SIZE;
pub(crate) use offset_index::{OffsetIndex, OffsetPosition};
pub(crate) use time_index::TimeIndex;
pub use time_index::{TIME_INDEX_ENTRY_SIZE, TimestampOffset};
pub use transaction_index::AbortedTxn;
pub(crate) use transaction_index::TransactionIndex;
