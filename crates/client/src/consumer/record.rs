//! A record as a consumer gets it.

use std::sync::Arc;

use bytes::Bytes;
use protocol::records::TimestampType;

/// A record that was consumed. Keys and values are slices of what came from the broker: cheap to clone, and a record that
/// is kept keeps the answer it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerRecord {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, in ms since 1970, -1 for none.
    pub timestamp: i64,
    /// Who set the timestamp.
    pub timestamp_type: TimestampType,
    /// The epoch of the leader that appended it.
    pub leader_epoch: Option<i32>,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value; none is a tombstone.
    pub value: Option<Bytes>,
    /// Its headers, in order; keys may repeat.
    pub headers: Vec<(String, Option<Bytes>)>,
}
