//! Fetches that wait on the leader for more of the log, or for the high watermark (`ThresholdPurgatory`).

use crate::ReplicaKey;

/// How many fetches wait at most: a replica has one under way.
pub(super) const MAX_PARKED_FETCHES: usize = 10_000;

/// A fetch that found nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct ParkedFetch {
    pub(super) token: u64,
    pub(super) fetch: FetchRequest,
    pub(super) deadline_ms: i64,
}

/// What of a fetch is asked for again when there is more.
#[derive(Clone, Copy, Debug)]
pub(super) struct FetchRequest {
    pub(super) replica: ReplicaKey,
    pub(super) current_leader_epoch: i32,
    pub(super) fetch_offset: i64,
    pub(super) last_fetched_epoch: i32,
    pub(super) high_watermark: i64,
    pub(super) max_bytes: i32,
}
