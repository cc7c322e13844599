//! Moving the replica to another log directory of its broker (`ReplicaAlterLogDirsThread`, KIP-113): a future log copies
//! what the replica's log has, and takes its place when it has everything.

use std::sync::Arc;

use common::Uuid;
use parking_lot::MutexGuard;
use storage::{AppendError, Log, LogManager, LogOffsetMetadata, ReadError};

use super::{Partition, Role};
use crate::PartitionError;

/// What is copied at once of what is left.
const REST_BYTES: usize = 1 << 20;

/// What a step of a move has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Bytes that were copied.
    pub bytes: usize,
    /// The future log has what the log had a moment ago.
    pub caught_up: bool,
}

impl Partition {
    /// The log in the directory that the replica moves to.
    pub fn future_log(&self) -> Option<Arc<Log>> {
        self.future.load_full()
    }

    /// The directory that the replica moves to.
    pub fn future_directory(&self, logs: &LogManager) -> Option<Uuid> {
        logs.directory_id_of(&*self.future_log()?)
    }

    /// Waits for the step of a move that is being done, and keeps the next one from being begun.
    pub(crate) fn no_step_of_a_move(&self) -> MutexGuard<'_, ()> {
        self.moving.lock()
    }

    /// The replica moves to where `future` is, or does not move any more.
    pub(crate) fn set_future(&self, future: Option<Arc<Log>>) {
        self.future.store(future);
    }

    /// Copies the next records, no more than `max_bytes` and at least a batch.
    ///
    /// # Errors
    /// [`PartitionError::Offline`] where one of the two directories has failed, and those of the logs. Without a move under way
    /// nothing is copied, and nothing is caught up.
    pub fn copy_to_future(&self, max_bytes: usize, now_ms: i64) -> Result<Copied, PartitionError> {
        let _one_step = self.moving.lock();
        self.copy(max_bytes, now_ms)
    }

    fn copy(&self, max_bytes: usize, now_ms: i64) -> Result<Copied, PartitionError> {
        let nothing = Copied { bytes: 0, caught_up: false };
        let Some(future) = self.future_log() else { return Ok(nothing) };
        self.check_future(&future)?;
        let log = self.log.load_full();
        self.cut_future(&log, &future, now_ms)?;
        let (next, end) = (future.log_end_offset(), log.log_end_offset());
        let mut records = Vec::new();
        match log.read(next, max_bytes, end, true) {
            Ok(found) => {
                if found.records.read_into(&mut records).is_err() {
                    // The log was truncated meanwhile: the next step sees how far.
                    return Ok(nothing);
                }
            }
            // What lay there has been deleted.
            Err(ReadError::OffsetOutOfRange(_)) if next < log.log_start_offset() => {
                future.truncate_fully_and_start_at(log.log_start_offset(), now_ms)?;
                return Ok(nothing);
            }
            Err(error) => return Err(error.into()),
        }
        if !records.is_empty() {
            self.append_to_future(&future, &records, now_ms)?;
        }
        future.update_high_watermark(log.high_watermark());
        let start = log.log_start_offset();
        if start > future.log_start_offset() && start <= future.high_watermark() {
            future.maybe_increment_log_start_offset(start)?;
        }
        Ok(Copied { bytes: records.len(), caught_up: future.log_end_offset() >= end })
    }

    fn check_future(&self, future: &Log) -> Result<(), PartitionError> {
        self.check_online()?;
        if future.dir_health().is_offline() { Err(PartitionError::Offline) } else { Ok(()) }
    }

    fn append_to_future(&self, future: &Log, records: &[u8], now_ms: i64) -> Result<(), PartitionError> {
        let leader_epoch = self.leader_epoch();
        match future.append_as_follower(records, leader_epoch, now_ms) {
            // The log begins within a batch, which comes whole: the future log has to begin with it.
            Err(AppendError::UnexpectedOffset { first_offset, last_offset, .. })
                if future.log_end_offset() == future.log_start_offset()
                    && first_offset >= 0
                    && first_offset < future.log_end_offset()
                    && last_offset >= future.log_end_offset() =>
            {
                future.truncate_fully_and_start_at(first_offset, now_ms)?;
                future.append_as_follower(records, leader_epoch, now_ms)?;
                Ok(())
            }
            result => Ok(result.map(drop)?),
        }
    }

    /// Takes back what the log does not have any more: it was truncated since.
    fn cut_future(&self, log: &Log, future: &Log, now_ms: i64) -> Result<(), PartitionError> {
        loop {
            let own_end = future.log_end_offset();
            let Some(epoch) = future.latest_epoch() else {
                if own_end > log.log_end_offset() {
                    future.truncate_to(log.log_end_offset(), now_ms)?;
                }
                return Ok(());
            };
            let end = match log.end_offset_for_epoch(epoch) {
                Some(end) if end.epoch == epoch => end.offset,
                // The log has nothing of the epoch: back to the end of the one before, and look again.
                Some(end) => {
                    let before = future.end_offset_for_epoch(end.epoch).map_or(end.offset, |own| own.offset);
                    end.offset.min(before)
                }
                None => log.log_start_offset(),
            };
            if own_end <= end {
                return Ok(());
            }
            tracing::info!(
                partition = %self.topic_partition, offset = end, log_end_offset = own_end,
                "the log was truncated: so is the one in the directory that the replica moves to"
            );
            future.truncate_to(end, now_ms)?;
            if future.log_end_offset() >= own_end {
                return Ok(());
            }
        }
    }

    /// Puts the future log in the log's place: to be called when it has caught up. What has come since is copied while those who append
    /// wait; otherwise a busy log would never be caught up with. Returns whether there was a move to be ended.
    ///
    /// # Errors
    /// As [`Partition::copy_to_future`]. The log stays in its place then, unless its directory has failed.
    pub fn replace_log_with_future(&self, logs: &LogManager, now_ms: i64) -> Result<bool, PartitionError> {
        let _one_step = self.moving.lock();
        let Some(future) = self.future_log() else { return Ok(false) };
        // Most of it while nobody waits.
        future.flush()?;
        let mut role = self.role.lock();
        if matches!(*role, Role::Closed) {
            return Ok(false);
        }
        self.check_future(&future)?;
        let log = self.log.load_full();
        // Whoever appends from here on finds the log sealed, and waits for the role.
        log.seal();
        let result = self.replace_sealed(&mut role, &log, &future, logs, now_ms);
        if result.is_err() {
            log.unseal(self.leader_epoch());
        }
        drop(role);
        self.wake_all();
        result.map(|()| true)
    }

    fn replace_sealed(
        &self,
        role: &mut MutexGuard<'_, Role>,
        log: &Log,
        future: &Arc<Log>,
        logs: &LogManager,
        now_ms: i64,
    ) -> Result<(), PartitionError> {
        while !self.copy(REST_BYTES, now_ms)?.caught_up {
            if self.future_log().is_none() {
                // Its directory has failed.
                return Err(PartitionError::Offline);
            }
        }
        // **Invariant:** what was synced in the log is synced in the one that takes its place.
        future.flush()?;
        future.maybe_increment_log_start_offset(log.log_start_offset().min(future.high_watermark()))?;
        future.update_high_watermark(log.high_watermark());
        logs.replace_current_with_future(&self.topic_partition, now_ms)?;
        let registration = self.registration.load_full();
        match &mut **role {
            Role::Leader(state) => {
                future.lead(registration.leader_epoch, registration.replicas.len() == 1)?;
                // Its place in the other log's files says nothing.
                state.high_watermark = LogOffsetMetadata::offset_only(future.high_watermark());
            }
            Role::Follower => future.follow(registration.leader_epoch),
            Role::Closed => {}
        }
        self.log.store(Arc::clone(future));
        self.future.store(None);
        tracing::info!(partition = %self.topic_partition, dir = %future.dir().display(), "the replica has moved to another log directory");
        Ok(())
    }

    /// Whether another log has taken the place of `log`, or is about to: then this returns when it has.
    pub(crate) fn was_replaced(&self, log: &Arc<Log>) -> bool {
        let _until_it_has = self.role.lock();
        !Arc::ptr_eq(&self.log.load(), log)
    }
}

#[cfg(test)]
mod tests;
