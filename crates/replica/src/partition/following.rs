//! What a follower does with what its leader sends: appends, truncates, moves its offsets (`ReplicaFetcherThread`).

use parking_lot::MutexGuard;
use storage::{AppendError, AppendInfo, LogManager};

use super::{Partition, Role};
use crate::PartitionError;

/// What a leader says of its log with the records.
#[derive(Debug, Clone, Copy)]
pub struct LeaderOffsets {
    /// Its high watermark.
    pub high_watermark: i64,
    /// Where its log begins.
    pub log_start_offset: i64,
}

/// What an append has done.
#[derive(Debug, Clone, Copy)]
pub struct FollowerAppend {
    /// What the log says; none where there was nothing to append.
    pub appended: Option<AppendInfo>,
    /// The offset to fetch next.
    pub next_offset: i64,
}

impl Partition {
    /// The lock of a follower in an epoch.
    fn follower(&self, leader_epoch: i32) -> Result<MutexGuard<'_, Role>, PartitionError> {
        self.check_online()?;
        let role = self.role.lock();
        if !matches!(*role, Role::Follower) || self.registration.load().leader_epoch != leader_epoch {
            return Err(PartitionError::FencedLeaderEpoch);
        }
        Ok(role)
    }

    /// Appends what was fetched from `fetch_offset` on from the leader of `leader_epoch`, and follows its offsets.
    ///
    /// # Errors
    /// [`PartitionError::FencedLeaderEpoch`] where another epoch has begun, [`PartitionError::OffsetMismatch`] where the log
    /// does not end at `fetch_offset` any more, and the log's own.
    pub fn append_as_follower(
        &self,
        logs: &LogManager,
        leader_epoch: i32,
        fetch_offset: i64,
        records: &[u8],
        leader: LeaderOffsets,
        now_ms: i64,
    ) -> Result<FollowerAppend, PartitionError> {
        let _role = self.follower(leader_epoch)?;
        let log = self.log.load();
        let log_end_offset = log.log_end_offset();
        if fetch_offset != log_end_offset {
            return Err(PartitionError::OffsetMismatch { fetch_offset, log_end_offset });
        }
        let appended = match records {
            [] => None,
            records => Some(self.append_fetched(logs, leader_epoch, records, now_ms)?),
        };
        // What was committed once stays so: a leader that was just elected may know less.
        if log.maybe_increment_high_watermark(leader.high_watermark).is_some() {
            self.committed_watchers.bytes_added(i64::MAX);
        }
        if leader.log_start_offset > log.log_start_offset() && leader.log_start_offset <= log.high_watermark()
        {
            log.maybe_increment_log_start_offset(leader.log_start_offset)?;
            self.committed_watchers.news();
        }
        Ok(FollowerAppend {
            appended: appended.filter(|appended| appended.first_offset >= 0),
            next_offset: log.log_end_offset(),
        })
    }

    fn append_fetched(
        &self,
        logs: &LogManager,
        leader_epoch: i32,
        records: &[u8],
        now_ms: i64,
    ) -> Result<AppendInfo, PartitionError> {
        let log = self.log.load();
        match log.append_as_follower(records, leader_epoch, now_ms) {
            // The leader's log start lies within a batch, which comes whole: the log has to begin with it.
            Err(AppendError::UnexpectedOffset { first_offset, last_offset, .. })
                if log.log_end_offset() == log.log_start_offset()
                    && first_offset >= 0
                    && first_offset < log.log_end_offset()
                    && last_offset >= log.log_end_offset() =>
            {
                tracing::info!(
                    partition = %self.topic_partition, first_offset, log_start_offset = log.log_start_offset(),
                    "the leader's log begins within a batch, this one begins with it"
                );
                logs.truncate_fully_and_start_at(&self.topic_partition, first_offset, now_ms)?;
                Ok(log.append_as_follower(records, leader_epoch, now_ms)?)
            }
            result => Ok(result?),
        }
    }

    /// Drops what the leader of `leader_epoch` does not have, from `offset` on.
    ///
    /// # Errors
    /// [`PartitionError::FencedLeaderEpoch`] where another epoch has begun, and the log's own.
    pub fn truncate_to(
        &self,
        logs: &LogManager,
        leader_epoch: i32,
        offset: i64,
        now_ms: i64,
    ) -> Result<(), PartitionError> {
        let _role = self.follower(leader_epoch)?;
        tracing::info!(
            partition = %self.topic_partition, offset, log_end_offset = self.log.load().log_end_offset(),
            high_watermark = self.log.load().high_watermark(), leader_epoch, "truncating to the leader's log"
        );
        logs.truncate_to(&self.topic_partition, offset, now_ms)?;
        self.committed_watchers.news();
        Ok(())
    }

    /// Drops everything: the leader's log begins behind this one's end.
    ///
    /// # Errors
    /// As [`Partition::truncate_to`].
    pub fn truncate_fully_and_start_at(
        &self,
        logs: &LogManager,
        leader_epoch: i32,
        offset: i64,
        now_ms: i64,
    ) -> Result<(), PartitionError> {
        let _role = self.follower(leader_epoch)?;
        tracing::info!(
            partition = %self.topic_partition, offset, log_end_offset = self.log.load().log_end_offset(), leader_epoch,
            "beginning anew where the leader's log begins"
        );
        logs.truncate_fully_and_start_at(&self.topic_partition, offset, now_ms)?;
        self.committed_watchers.news();
        Ok(())
    }
}
