//! What the server has done from time to time, and at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::io::fs;
use common::TopicPartition;

use super::LogManager;
use super::deletion::DeletedDir;
use super::dirs::LogDir;
use crate::checkpoint::{
    CLEANER_OFFSET_CHECKPOINT_FILE, LOG_START_OFFSET_CHECKPOINT_FILE, RECOVERY_POINT_CHECKPOINT_FILE,
    REPLICATION_OFFSET_CHECKPOINT_FILE, Sync,
};
use crate::error::{LogError, StorageError};
use crate::log::Log;

/// With more logs than this to be synced, the file system is asked to sync all of itself first: one call costs less than many.
const MANY_LOGS: usize = 16;

impl LogManager {
    /// Deletes what is over: segments by their log's rules (`log.retention.check.interval.ms`), and files and directories whose
    /// `file.delete.delay.ms` has passed. Returns how many segments went.
    pub fn retention(&self, now_ms: i64) -> usize {
        let mut deleted = 0;
        for log in self.all_logs() {
            // What a cleaner is at comes when it is done: it would have to begin anew.
            if log.is_being_cleaned() {
                continue;
            }
            // An error took the log directory offline, and was logged there.
            deleted += self.delete_old_segments(&log, now_ms);
            let _ = log.purge_deleted_files(now_ms);
        }
        self.purge_deleted_logs(now_ms);
        deleted
    }

    /// Deletes what is over of a log, and has everybody look at the logs' starts where that moved one. Returns how many segments went.
    pub(crate) fn delete_old_segments(&self, log: &Log, now_ms: i64) -> usize {
        // An error took the log directory offline, and was logged there.
        let deleted = log.delete_old_segments(now_ms).unwrap_or(0);
        if deleted > 0 {
            self.log_start_moves.fetch_add(1, Ordering::Release);
        }
        deleted
    }

    /// Rises when retention has moved the start of any log: whoever has not seen this value before looks at the logs' starts.
    pub fn log_start_moves(&self) -> u64 {
        self.log_start_moves.load(Ordering::Acquire)
    }

    /// Deletes the directories of deleted logs whose time has come. Returns how many are left.
    pub fn purge_deleted_logs(&self, now_ms: i64) -> usize {
        let (due, left) = self.deleted.take_due(now_ms);
        for log in due {
            match &log.what {
                // An error took the log directory offline, and was logged there.
                DeletedDir::Log(log) => drop(log.delete()),
                DeletedDir::Path(path) => {
                    if let Err(error) = fs::remove_dir_all(path)
                        && error.kind() != std::io::ErrorKind::NotFound
                    {
                        log.dir.health.fail(format!("Error while deleting log {}", path.display()), error);
                    }
                }
            }
        }
        left
    }

    /// Syncs the logs whose `flush.ms` has passed, and the segments that were rolled. Returns how many logs were synced.
    pub fn flush_dirty(&self, now_ms: i64) -> usize {
        self.all_logs().iter().filter(|log| log.flush_if_due(now_ms).unwrap_or(false)).count()
    }

    /// Writes the high watermarks (`replica.high.watermark.checkpoint.interval.ms`) and the small files of partitions.
    ///
    /// # Errors
    /// Those of the file system; the log directory is offline then.
    pub fn checkpoint_high_watermarks(&self) -> Result<(), LogError> {
        let mut behind = self.all_logs();
        behind.retain(|log| log.has_small_files_behind() && !log.dir_health().is_offline());
        if behind.len() > MANY_LOGS {
            self.write_small_files(&behind);
        } else {
            for log in behind {
                // An error took the log directory offline, and was logged there.
                let _ = log.write_checkpoints();
            }
        }
        self.write_checkpoints(REPLICATION_OFFSET_CHECKPOINT_FILE, |log| Some(log.high_watermark()))
    }

    /// Writes the small files of many logs with two syncs of each file system, instead of two for each file. An error takes the log
    /// directory offline, and is logged there.
    fn write_small_files(&self, logs: &[Arc<Log>]) {
        for dir in self.live() {
            let here = logs.iter().filter(|log| log.dir_health().dir() == dir.path);
            // What could not be written is written the next time.
            let mut gathered: Vec<_> =
                here.filter_map(|log| log.gather_small_files().map(|files| (log, files))).collect();
            if gathered.is_empty() {
                continue;
            }
            let sync = || match fs::sync_file_system(&dir.path) {
                Ok(()) => true,
                Err(error) => {
                    dir.health.fail("Error while syncing the logs' small files".to_owned(), error);
                    false
                }
            };
            if !sync() {
                continue;
            }
            gathered.retain(|(log, files)| log.place_small_files(files));
            if sync() {
                gathered.iter().for_each(|(log, files)| log.settle_small_files(files));
            }
        }
    }

    /// Writes the recovery points (`log.flush.offset.checkpoint.interval.ms`).
    ///
    /// # Errors
    /// Those of the file system; the log directory is offline then.
    pub fn checkpoint_recovery_points(&self) -> Result<(), LogError> {
        self.write_checkpoints(RECOVERY_POINT_CHECKPOINT_FILE, |log| Some(log.recovery_point()))
    }

    /// Writes the log start offsets (`log.flush.start.offset.checkpoint.interval.ms`): those that do not follow from the segments.
    ///
    /// # Errors
    /// Those of the file system; the log directory is offline then.
    pub fn checkpoint_log_start_offsets(&self) -> Result<(), LogError> {
        self.write_checkpoints(LOG_START_OFFSET_CHECKPOINT_FILE, |log| {
            let first = log.segment_base_offsets().first().copied().unwrap_or(0);
            Some(log.log_start_offset()).filter(|offset| *offset > first)
        })
    }

    /// Writes up to where the logs are compacted.
    ///
    /// # Errors
    /// Those of the file system; the log directory is offline then.
    pub fn checkpoint_cleaner_offsets(&self) -> Result<(), LogError> {
        self.write_checkpoints(CLEANER_OFFSET_CHECKPOINT_FILE, Log::first_dirty_offset)
    }

    /// Truncates a log, and before anything can be appended the cleaner's checkpoint (`LogManager.truncateTo`). Returns whether
    /// anything was dropped; false if there is no such log.
    ///
    /// # Errors
    /// Those of the file system; the log directory is offline then.
    pub fn truncate_to(
        &self,
        partition: &TopicPartition,
        offset: i64,
        now_ms: i64,
    ) -> Result<bool, LogError> {
        let Some(log) = self.get_log(partition) else { return Ok(false) };
        self.lower_checkpoints(&log, offset)?;
        let truncated = log.truncate_to(offset, now_ms)?;
        if truncated && log.first_dirty_offset().is_some() {
            self.checkpoint_cleaner_offsets()?;
        }
        Ok(truncated)
    }

    /// Drops all records of a log, whose next one will have `offset`, and truncates the cleaner's checkpoint
    /// (`LogManager.truncateFullyAndStartAt`).
    ///
    /// # Errors
    /// Those of the file system; the log directory is offline then.
    pub fn truncate_fully_and_start_at(
        &self,
        partition: &TopicPartition,
        offset: i64,
        now_ms: i64,
    ) -> Result<(), LogError> {
        let Some(log) = self.get_log(partition) else { return Ok(()) };
        self.lower_checkpoints(&log, 0)?;
        log.truncate_fully_and_start_at(offset, now_ms)?;
        if log.first_dirty_offset().is_some() { self.checkpoint_cleaner_offsets() } else { Ok(()) }
    }

    /// Before records are dropped: no checkpoint may say of those that take their places that they are synced, or committed.
    fn lower_checkpoints(&self, log: &Log, offset: i64) -> Result<(), LogError> {
        let Some(dir) = self.dirs.iter().find(|dir| dir.path == log.dir_health().dir()) else {
            return Ok(());
        };
        let _one_at_a_time = self.checkpoints.lock();
        for file in [RECOVERY_POINT_CHECKPOINT_FILE, REPLICATION_OFFSET_CHECKPOINT_FILE] {
            dir.lower(file, log.topic_partition(), offset)
                .map_err(|error| checkpoint_failed(dir, file, error))?;
        }
        Ok(())
    }

    /// After a start: offsets that lie beyond the logs' ends must not be found again when the logs have grown.
    pub(super) fn rewrite_checkpoints(&self) -> Result<(), LogError> {
        self.checkpoint_cleaner_offsets()?;
        self.checkpoint_recovery_points()?;
        self.write_checkpoints(REPLICATION_OFFSET_CHECKPOINT_FILE, |log| Some(log.high_watermark()))
    }

    fn write_checkpoints(
        &self,
        file: &'static str,
        offset: impl Fn(&Log) -> Option<i64>,
    ) -> Result<(), LogError> {
        let _one_at_a_time = self.checkpoints.lock();
        let logs = self.all_logs();
        // One directory that fails does not keep the others from being written.
        let mut result = Ok(());
        for dir in self.live() {
            // A future log is in another directory than the partition's log, and so in another file.
            let here = || {
                let logs = logs.iter().filter(|log| Arc::ptr_eq(log.dir_health(), &dir.health));
                logs.filter_map(|log| offset(log).map(|offset| (log.topic_partition(), offset)))
            };
            if let Err(error) = dir.write_checkpoint(file, here) {
                result = Err(checkpoint_failed(dir, file, error));
            }
        }
        result
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &Arc<LogDir>> {
        self.dirs.iter().filter(|dir| !dir.health.is_offline())
    }

    /// Forgets the producers that have written nothing for `producer.id.expiration.ms`.
    pub fn remove_expired_producers(&self, now_ms: i64) {
        for log in self.logs() {
            log.remove_expired_producers(now_ms);
        }
    }

    /// Closes the descriptors of segments that were not used since this was last called.
    pub fn release_idle(&self) {
        for log in self.all_logs() {
            // An error took the log directory offline, and was logged there.
            let _ = log.release_idle();
        }
    }

    /// Ends the use of all logs: syncs and closes them, writes the checkpoints, marks the directories as cleanly closed with the epoch
    /// in which the broker was registered, and unlocks them.
    ///
    /// # Errors
    /// The first error. What could be closed is closed; a directory that failed is not marked.
    pub fn shutdown(&self, broker_epoch: i64) -> Result<(), LogError> {
        let logs = self.all_logs();
        // By itself a log takes three syncs and more, each of them a wait for the disk.
        let at_once = logs.len() > MANY_LOGS && fs::syncfs_tells_errors();
        let sync = if at_once { Sync::ByCaller } else { Sync::Now };
        let next = AtomicUsize::new(0);
        let errors = parking_lot::Mutex::new(Vec::new());
        let work = || {
            while let Some(log) = logs.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = log.close_with(sync) {
                    errors.lock().push(error);
                }
            }
        };
        let threads = self.config.num_recovery_threads_per_data_dir.clamp(1, 8) * self.dirs.len();
        std::thread::scope(|scope| {
            for _ in 1..threads.min(logs.len() / MANY_LOGS) {
                scope.spawn(work);
            }
            work();
        });
        let mut first_error = errors.into_inner().into_iter().next();
        if sync == Sync::ByCaller {
            for dir in self.live() {
                if let Err(error) = dir.sync_file_system() {
                    let action = "Error while syncing the logs".to_owned();
                    first_error.get_or_insert(dir.health.fail(action, error).into());
                    continue;
                }
                let here = logs.iter().filter(|log| Arc::ptr_eq(log.dir_health(), &dir.health));
                here.for_each(|log| log.settle_closed());
            }
        }
        let written = self
            .write_checkpoints(REPLICATION_OFFSET_CHECKPOINT_FILE, |log| Some(log.high_watermark()))
            .and_then(|()| self.checkpoint_recovery_points())
            .and_then(|()| self.checkpoint_log_start_offsets())
            .and_then(|()| self.checkpoint_cleaner_offsets());
        first_error = first_error.or(written.err());
        for dir in self.live() {
            if let Err(error) = dir.clean_shutdown_file().write(broker_epoch) {
                first_error.get_or_insert(checkpoint_failed(dir, ".kafka_cleanshutdown", error));
            }
        }
        for dir in &self.dirs {
            dir.unlock();
        }
        first_error.map_or(Ok(()), Err)
    }
}

fn checkpoint_failed(dir: &LogDir, file: &str, error: crate::checkpoint::CheckpointError) -> LogError {
    let storage: StorageError = dir.health.fail(format!("Error while writing {file}"), error.into_io());
    storage.into()
}
