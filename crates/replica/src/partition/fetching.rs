//! Reading, for consumers and for followers.

use std::sync::Arc;

use storage::{AbortedTxn, FetchInfo, LogOffsetMetadata, LogSlice, OffsetAndEpoch};

use super::{Moved, Partition, Role};
use crate::PartitionError;
use crate::leader::FollowerPosition;
use crate::settled::{Settled, SettledAt, SettledReader};

/// Which records a fetch may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// All there are: a follower.
    LogEnd,
    /// All that are committed: up to the high watermark.
    ReadUncommitted,
    /// Those of no open transaction: up to the last stable offset.
    ReadCommitted,
}

/// What a fetch asks of one partition.
#[derive(Debug, Clone, Copy)]
pub struct FetchRequest {
    /// The first offset wanted.
    pub offset: i64,
    /// No more bytes than this, unless `min_one_message`.
    pub max_bytes: usize,
    /// What the reader may see.
    pub isolation: Isolation,
    /// Whether only the leader may answer, or a follower as well (KIP-392).
    pub only_leader: bool,
    /// The leader epoch that the client knows, -1 for none.
    pub current_leader_epoch: i32,
    /// The epoch of the last record that the client has, -1 for none (KIP-595).
    pub last_fetched_epoch: i32,
    /// Give the first batch even where it is larger than `max_bytes`.
    pub min_one_message: bool,
}

/// What a fetch gets of one partition.
#[derive(Debug)]
pub struct FetchedPartition {
    /// The records, or where they lie.
    pub records: LogSlice,
    /// The offset behind the last committed record.
    pub high_watermark: i64,
    /// The first offset of an open transaction, or the high watermark.
    pub last_stable_offset: i64,
    /// The first offset of the log.
    pub log_start_offset: i64,
    /// The aborted transactions among the records; only for [`Isolation::ReadCommitted`].
    pub aborted: Option<Vec<AbortedTxn>>,
    /// Where the client's log and this one part, if they do.
    pub diverging: Option<OffsetAndEpoch>,
}

impl Partition {
    /// Reads.
    pub fn fetch(&self, request: &FetchRequest) -> Result<FetchedPartition, PartitionError> {
        self.read(request).map(|(fetched, _, _)| fetched)
    }

    /// Reads for a follower, and takes note of how far it is: with a fetch from an offset it says that it has everything before.
    pub fn fetch_as_follower(
        &self,
        request: &FetchRequest,
        position: &FollowerPosition,
        now_ms: i64,
    ) -> Result<(FetchedPartition, Moved), PartitionError> {
        self.check_follower(request, position)?;
        let (fetched, start, leader_end) = self.read(request)?;
        if fetched.diverging.is_some() {
            return Ok((fetched, Moved::default()));
        }
        let mut role = self.role.lock();
        let Role::Leader(state) = &mut *role else { return Err(PartitionError::NotLeader) };
        let registration = self.registration.load();
        if request.current_leader_epoch >= 0 && request.current_leader_epoch != registration.leader_epoch {
            // Another epoch has begun since the look above.
            return Err(PartitionError::NotLeader);
        }
        let Some(has_moved) = state.on_fetch(position, start, leader_end, &self.broker, now_ms) else {
            return Err(PartitionError::UnknownFollower(position.broker_id));
        };
        let isr_proposed = state.maybe_expand(
            &registration,
            position.broker_id,
            self.log.load().high_watermark(),
            &self.broker,
        );
        let high_watermark = has_moved && self.advance(state, &registration, now_ms);
        drop(role);
        if isr_proposed {
            tracing::info!(
                partition = %self.topic_partition, isr = ?registration.isr, joining = position.broker_id,
                log_end_offset = start.message_offset, "a follower has caught up: the ISR is to grow"
            );
        }
        Ok((fetched, Moved { high_watermark, isr_proposed }))
    }

    /// Has a session hear of the partition when something happens to it, and not look at it until then. False where something is new
    /// already, or may come of a look: then the session goes on looking.
    pub fn settle(&self, at: &SettledAt, settled: &Arc<Settled>) -> bool {
        let mut role = self.role.lock();
        let watchers = self.watchers(at.reader.watches());
        watchers.settle(settled);
        let is_settled = self.has_nothing_new(&mut role, at, settled);
        if !is_settled {
            watchers.unsettle(settled);
        }
        is_settled
    }

    fn has_nothing_new(&self, role: &mut Role, at: &SettledAt, settled: &Arc<Settled>) -> bool {
        let only_leader = !matches!(at.reader, SettledReader::Consumer(_, false));
        let registration = match only_leader {
            true => self.leader(at.current_leader_epoch),
            false => self.in_epoch(at.current_leader_epoch),
        };
        let Ok(registration) = registration else { return false };
        let log = self.log.load();
        let is_told =
            log.high_watermark() == at.high_watermark && log.log_start_offset() == at.log_start_offset;
        if !is_told || matches!(role, Role::Closed) {
            return false;
        }
        match (at.reader, role) {
            (SettledReader::Consumer(Isolation::ReadUncommitted, _), _) => {
                log.high_watermark() <= at.offset && at.offset <= log.log_end_offset()
            }
            (SettledReader::Consumer(..), _) => {
                log.last_stable_offset().min(log.high_watermark()) <= at.offset
                    && at.offset <= log.log_end_offset()
            }
            // One that is not in sync asks with each fetch to be taken in.
            (SettledReader::Follower(broker_id), Role::Leader(state)) => {
                log.log_end_offset() == at.offset
                    && registration.isr.contains(&broker_id)
                    && state.settle_follower(broker_id, at.offset, settled)
            }
            (SettledReader::Follower(_), _) => false,
        }
    }

    /// A session looks at the partition again, or has forgotten it.
    pub fn unsettle(&self, reader: SettledReader, settled: &Arc<Settled>) {
        self.watchers(reader.watches()).unsettle(settled);
    }

    /// Checks that a fetch is from a follower of this partition, which this broker leads.
    fn check_follower(
        &self,
        request: &FetchRequest,
        position: &FollowerPosition,
    ) -> Result<(), PartitionError> {
        let registration = self.leader(request.current_leader_epoch)?;
        if registration.replicas.contains(&position.broker_id) {
            Ok(())
        } else {
            Err(PartitionError::UnknownFollower(position.broker_id))
        }
    }

    /// What was found, where the reader is, and where the log ended.
    fn read(
        &self,
        request: &FetchRequest,
    ) -> Result<(FetchedPartition, LogOffsetMetadata, i64), PartitionError> {
        match request.only_leader {
            true => self.leader(request.current_leader_epoch)?,
            false => self.in_epoch(request.current_leader_epoch)?,
        };
        let log = self.log.load();
        // Taken before the read: what the answer says is committed has been so while the records were read.
        let log_end_offset = log.log_end_offset();
        let high_watermark = log.high_watermark();
        let last_stable_offset = log.last_stable_offset().min(high_watermark);
        let log_start_offset = log.log_start_offset();
        let mut fetched = FetchedPartition {
            records: LogSlice::default(),
            high_watermark,
            last_stable_offset,
            log_start_offset,
            aborted: None,
            diverging: None,
        };
        if request.last_fetched_epoch >= 0 {
            fetched.diverging = self.diverging(request, log_start_offset)?;
            if fetched.diverging.is_some() {
                return Ok((fetched, LogOffsetMetadata::offset_only(request.offset), log_end_offset));
            }
        }
        let limit = match request.isolation {
            Isolation::LogEnd => log_end_offset,
            Isolation::ReadUncommitted => high_watermark,
            Isolation::ReadCommitted => last_stable_offset,
        };
        let found: FetchInfo =
            log.read_unless_stalled(request.offset, request.max_bytes, limit, request.min_one_message)?;
        if request.isolation == Isolation::ReadCommitted {
            fetched.aborted = Some(log.aborted_transactions(request.offset, &found)?);
        }
        let start = match found.start.message_offset == request.offset {
            true => found.start,
            false => LogOffsetMetadata::offset_only(request.offset),
        };
        fetched.records = found.records;
        Ok((fetched, start, log_end_offset))
    }

    fn diverging(
        &self,
        request: &FetchRequest,
        log_start_offset: i64,
    ) -> Result<Option<OffsetAndEpoch>, PartitionError> {
        let Some(end) = self.log.load().end_offset_for_epoch(request.last_fetched_epoch) else {
            return Err(PartitionError::UnknownFetchedEpoch(request.last_fetched_epoch));
        };
        if request.offset < log_start_offset {
            // Whatever the epochs say: the read finds it out of range.
            return Ok(None);
        }
        let parts = end.epoch < request.last_fetched_epoch || end.offset < request.offset;
        Ok(parts.then_some(end))
    }
}
