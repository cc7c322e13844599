//! The log's side of its compaction: who may, up to where it is done, and the exchange of segments (`LocalLog.replaceSegments`, the
//! states of `LogCleanerManager`).
//!
//! Kafka pauses the cleaner around whatever changes a log from below. Here those changes only count up an epoch; a cleaning sees it
//! between two batches and gives up, and the exchange, made under the writer's lock, refuses one that has not seen it.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};

use super::{Log, Writer};
use crate::checkpoint::sync_dir;
use crate::error::{LogError, ReadError, StorageError};
use crate::file_names::SWAP_FILE_SUFFIX;
use crate::index::AbortedTxn;
use crate::segment::LogSegment;

/// The log was never compacted, as far as is known.
const NEVER_CLEANED: i64 = -1;

/// What a log knows of its compaction.
#[derive(Debug)]
pub(super) struct CleaningState {
    busy: Mutex<bool>,
    idle: Condvar,
    /// Counts what a cleaning must not outlive: truncations, deletion, the end of `cleanup.policy=compact`, the log's own end.
    epoch: AtomicU64,
    /// Where the uncompacted part begins: what stands in `cleaner-offset-checkpoint`.
    first_dirty_offset: AtomicI64,
    /// A cleaning failed in a way that will not change.
    uncleanable: AtomicBool,
}

impl Default for CleaningState {
    fn default() -> CleaningState {
        CleaningState {
            busy: Mutex::new(false),
            idle: Condvar::new(),
            epoch: AtomicU64::new(0),
            first_dirty_offset: AtomicI64::new(NEVER_CLEANED),
            uncleanable: AtomicBool::new(false),
        }
    }
}

/// Why a cleaning ends early. The log is as it was, but for the groups of segments that were exchanged before.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CleanError {
    /// The log was changed from below, or the cleaner is to stop: try again later.
    #[error("the cleaning was aborted")]
    Aborted,
    /// There is something in the log that cannot be compacted, now or later.
    #[error("{0}")]
    Unclean(String),
    /// The log directory is offline.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The last that a producer wrote, which compaction leaves so that its sequence or epoch is not forgotten.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastRecord {
    /// The offset of its last record; `None` if only a marker is left of it.
    pub last_data_offset: Option<i64>,
    pub producer_epoch: i16,
}

/// The right to compact a log. There is one at a time.
#[derive(Debug)]
pub(crate) struct Cleaning {
    log: Arc<Log>,
    epoch: u64,
}

impl Drop for Cleaning {
    fn drop(&mut self) {
        *self.log.cleaning.busy.lock() = false;
        self.log.cleaning.idle.notify_all();
    }
}

impl Log {
    /// Takes the right to compact the log, unless somebody has it.
    pub(crate) fn begin_cleaning(self: &Arc<Self>) -> Option<Cleaning> {
        let mut busy = self.cleaning.busy.lock();
        if *busy || self.health.is_offline() {
            return None;
        }
        *busy = true;
        Some(Cleaning { epoch: self.cleaning.epoch.load(Ordering::Acquire), log: Arc::clone(self) })
    }

    /// Whether the log is being compacted.
    pub(crate) fn is_being_cleaned(&self) -> bool {
        *self.cleaning.busy.lock()
    }

    /// Makes a cleaning that goes on give up.
    pub(crate) fn abort_cleaning(&self) {
        self.cleaning.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Waits until no cleaner is at work. No lock of the log may be held.
    pub(super) fn await_cleaner(&self) {
        let mut busy = self.cleaning.busy.lock();
        while *busy {
            self.cleaning.idle.wait(&mut busy);
        }
    }

    /// The offset below which the log is compacted; `None` if it never was.
    pub fn first_dirty_offset(&self) -> Option<i64> {
        let offset = self.cleaning.first_dirty_offset.load(Ordering::Acquire);
        (offset != NEVER_CLEANED).then_some(offset)
    }

    /// Takes over what stood in the checkpoint. An offset that is not one of the log means that the log was cut: then it counts as
    /// uncompacted from its start.
    pub(crate) fn restore_first_dirty_offset(&self, checkpoint: i64) {
        let start = self.log_start_offset();
        let valid = (start..=self.log_end_offset()).contains(&checkpoint);
        let retention_passed_it = self.config().delete && checkpoint < start;
        if !valid && !retention_passed_it {
            tracing::warn!(
                partition = %self.topic_partition, checkpoint, log_start_offset = start, log_end_offset = self.log_end_offset(),
                "the cleaner's checkpoint is no offset of the log; the log is compacted from its start"
            );
        }
        self.cleaning.first_dirty_offset.store(if valid { checkpoint } else { start }, Ordering::Release);
    }

    pub(super) fn lower_first_dirty_offset(&self, offset: i64) {
        self.cleaning.first_dirty_offset.fetch_min(offset, Ordering::AcqRel);
    }

    /// Whether the log was given up: something in it cannot be compacted.
    pub fn is_uncleanable(&self) -> bool {
        self.cleaning.uncleanable.load(Ordering::Acquire)
    }

    pub(crate) fn mark_uncleanable(&self) {
        self.cleaning.uncleanable.store(true, Ordering::Release);
    }

    /// The segments as they are.
    pub(crate) fn segments(&self) -> Arc<Vec<Arc<LogSegment>>> {
        self.segments.load_full()
    }

    /// What the producers wrote last.
    pub(crate) fn last_records_of_active_producers(&self) -> HashMap<i64, LastRecord> {
        let writer = self.writer.lock();
        let entries = writer.producers.entries();
        entries
            .map(|entry| {
                let offset = entry.last_data_offset();
                let last_data_offset = (offset >= 0).then_some(offset);
                (entry.producer_id, LastRecord { last_data_offset, producer_epoch: entry.producer_epoch })
            })
            .collect()
    }
}

impl Cleaning {
    pub(crate) fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// An error if the log was changed since the cleaning began.
    pub(crate) fn check(&self) -> Result<(), CleanError> {
        self.log.health.check()?;
        if self.log.cleaning.epoch.load(Ordering::Acquire) == self.epoch {
            Ok(())
        } else {
            Err(CleanError::Aborted)
        }
    }

    /// What an error of the file system means: damage is the log's, all else the directory's.
    pub(crate) fn failed(&self, error: io::Error) -> CleanError {
        if let Err(stopped) = self.check() {
            return stopped;
        }
        match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                CleanError::Unclean(error.to_string())
            }
            _ => self.log.fail("Failed to clean up log", error).into(),
        }
    }

    /// Syncs the log up to an offset: a record may go only when the one that replaces it is on disk.
    ///
    /// Divergence: Kafka leaves that to the operating system and to the other replicas. A machine that stops could lose the new
    /// value of a key that was only in memory, and the old one, already compacted away, with it.
    pub(crate) fn flush_up_to(&self, offset: i64) -> Result<(), CleanError> {
        self.log.flush_up_to(offset).map_err(from_log_error)
    }

    pub(crate) fn collect_aborted_transactions(
        &self,
        start_offset: i64,
        upper_bound_offset: i64,
    ) -> Result<Vec<AbortedTxn>, CleanError> {
        self.log.collect_aborted_transactions(start_offset, upper_bound_offset).map_err(|error| match error {
            ReadError::Storage(error) => CleanError::Storage(error),
            other => CleanError::Unclean(other.to_string()),
        })
    }

    /// Puts a compacted segment, which is on disk under `.cleaned`, in the place of those that it was made from.
    ///
    /// At each moment the files say what a crash would make of them: `.cleaned` is thrown away, `.swap` is put in its place.
    pub(crate) fn replace_segments(
        &self,
        cleaned: &Arc<LogSegment>,
        old: &[Arc<LogSegment>],
        now_ms: i64,
    ) -> Result<(), CleanError> {
        let log = &self.log;
        let dir_of = || log.dir.get();
        // The names of the new files last before they mean anything.
        sync_dir(&dir_of()).map_err(|error| self.failed(error))?;
        let mut writer = log.writer.lock();
        self.check()?;
        log.check_usable(&writer)?;
        let segments = log.segments.load_full();
        let is_old = |segment: &Arc<LogSegment>| old.iter().any(|old| Arc::ptr_eq(old, segment));
        let first = segments.iter().position(is_old);
        let present = segments.iter().filter(|segment| is_old(segment)).count();
        // Retention has taken some of them meanwhile, or what is left of them is active.
        let (Some(first), true) = (first, present == old.len()) else { return Err(CleanError::Aborted) };
        if first + old.len() >= segments.len() {
            return Err(CleanError::Aborted);
        }
        self.exchange(&mut writer, cleaned, old, first, now_ms)
            .map_err(|error| log.fail("Error while replacing compacted segments", error))?;
        drop(writer);
        sync_dir(&dir_of()).map_err(|error| self.failed(error))
    }

    fn exchange(
        &self,
        writer: &mut Writer,
        cleaned: &Arc<LogSegment>,
        old: &[Arc<LogSegment>],
        first: usize,
        now_ms: i64,
    ) -> io::Result<()> {
        let log = &self.log;
        cleaned.change_state(SWAP_FILE_SUFFIX)?;
        for segment in old {
            log.delete_segment_later(segment, now_ms)?;
        }
        cleaned.change_state("")?;
        let mut segments = log.segments.load().as_ref().clone();
        segments.splice(first..first + old.len(), [Arc::clone(cleaned)]);
        {
            let mut tail = log.tail.write();
            tail.forget_before(log.active_segment().base_offset());
            log.segments.store(Arc::new(segments));
        }
        for segment in old.iter().filter(|segment| segment.base_offset() != cleaned.base_offset()) {
            log.delete_snapshot_later(writer, segment.base_offset(), now_ms)?;
        }
        Ok(())
    }

    /// Notes up to where the log is compacted now.
    pub(crate) fn finish(&self, first_dirty_offset: i64) -> Result<(), CleanError> {
        // A truncation holds the lock while it lowers the offset.
        let _writer = self.log.writer.lock();
        self.check()?;
        self.log.cleaning.first_dirty_offset.store(first_dirty_offset, Ordering::Release);
        Ok(())
    }
}

fn from_log_error(error: LogError) -> CleanError {
    match error {
        LogError::Storage(error) => CleanError::Storage(error),
        other => CleanError::Unclean(other.to_string()),
    }
}
