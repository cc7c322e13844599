//! Compaction: of each key the last record stays (`LogCleaner`).
//!
//! [`LogCleaner`] is shared by the threads that the server gives it; each calls [`LogCleaner::clean_filthiest`] again and again. It
//! takes the log whose uncompacted part is the largest part of it, and works on files of its own until it exchanges them for the
//! log's: appends and reads go on meanwhile.
//!
//! **Invariant:** the last value of each key is on disk in the log's files at every moment, and a deleted key does not come back.

mod clean;
mod filter;
mod offset_map;
mod selection;
mod throttler;
mod transactions;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use clean::Cleaner;
use selection::LogToClean;
use throttler::Throttler;

use crate::log::{CleanError, Cleaning, Log};
use crate::manager::LogManager;

/// The settings of the cleaners (`CleanerConfig`).
#[derive(Clone, Debug, PartialEq)]
pub struct CleanerConfig {
    /// `log.cleaner.threads`: how many share the memory.
    pub threads: usize,
    /// `log.cleaner.dedupe.buffer.size`: bytes for the keys, over all threads.
    pub dedupe_buffer_size: u64,
    /// `log.cleaner.io.buffer.load.factor`: how full the memory for the keys may get.
    pub dedupe_buffer_load_factor: f64,
    /// `log.cleaner.io.buffer.size`: bytes for reading and writing, over all threads.
    pub io_buffer_size: u64,
    /// `log.cleaner.io.max.bytes.per.second`: read and written, over all threads.
    pub max_io_bytes_per_second: f64,
}

impl Default for CleanerConfig {
    fn default() -> CleanerConfig {
        CleanerConfig {
            threads: 1,
            dedupe_buffer_size: 128 << 20,
            dedupe_buffer_load_factor: 0.9,
            io_buffer_size: 512 << 10,
            max_io_bytes_per_second: f64::MAX,
        }
    }
}

impl CleanerConfig {
    /// Bytes for the keys of one thread. Kafka's limit of 2 GiB holds here too.
    fn dedupe_memory(&self) -> usize {
        let share = self.dedupe_buffer_size / self.threads.max(1) as u64;
        share.min(i32::MAX as u64) as usize
    }

    /// Bytes of a buffer of one thread, which has one to read and one to write. A batch that is larger gets more.
    fn io_buffer_size(&self) -> usize {
        let share = self.io_buffer_size / self.threads.max(1) as u64 / 2;
        share.min(i32::MAX as u64) as usize
    }
}

/// What a cleaner needs of the thread that it runs on.
pub struct CleanerHost<'a> {
    /// A clock that does not jump, in ns: for the rate.
    pub monotonic_ns: &'a dyn Fn() -> u64,
    /// Waits.
    pub sleep: &'a dyn Fn(Duration),
    /// Whether the cleaner is to give up what it is at.
    pub is_stopping: &'a dyn Fn() -> bool,
}

/// Compacts the logs of a manager.
pub struct LogCleaner {
    logs: Arc<LogManager>,
    config: CleanerConfig,
    throttler: Throttler,
    /// Held while a log is chosen, so that two threads do not look at all of them at once.
    choice: Mutex<()>,
}

impl LogCleaner {
    /// A cleaner with its settings. Starts nothing.
    pub fn new(logs: Arc<LogManager>, config: CleanerConfig) -> LogCleaner {
        let throttler = Throttler::new(config.max_io_bytes_per_second);
        LogCleaner { logs, config, throttler, choice: Mutex::new(()) }
    }

    /// Compacts the log that needs it most, if one needs it, and deletes what is over of compacted logs. Returns whether a log was
    /// compacted, so that there may be more to do at once.
    pub fn clean_filthiest(&self, host: &CleanerHost<'_>, now_ms: i64) -> bool {
        let cleaned = self.grab_filthiest(now_ms).is_some_and(|(to_clean, cleaning)| {
            let cleaned = self.clean_log(&to_clean, &cleaning, host, now_ms);
            // What others may clean next begins where this ended.
            drop(cleaning);
            cleaned
        });
        self.delete_old_segments(now_ms);
        cleaned
    }

    /// Chooses the log of which the largest part is uncompacted, among those where it is enough, or is overdue.
    fn grab_filthiest(&self, now_ms: i64) -> Option<(LogToClean, Cleaning)> {
        let _one_at_a_time = self.choice.lock();
        let mut due: Vec<LogToClean> = Vec::new();
        for log in self.logs.logs() {
            let is_candidate = log.config().compact
                && log.segment_count() > 1
                && !log.is_uncleanable()
                && !log.is_being_cleaned()
                && !log.dir_health().is_offline();
            if !is_candidate {
                continue;
            }
            match LogToClean::of(&log, now_ms) {
                Ok(to_clean) if to_clean.is_due() => due.push(to_clean),
                Ok(_) => {}
                Err(error) => give_up(&log, &error),
            }
        }
        due.sort_by(|left, right| {
            let by_ratio = right.cleanable_ratio().total_cmp(&left.cleanable_ratio());
            by_ratio.then_with(|| left.log.topic_partition().cmp(right.log.topic_partition()))
        });
        due.into_iter().find_map(|to_clean| {
            let cleaning = to_clean.log.begin_cleaning()?;
            // It may have been truncated since it was looked at, and a cleaning knows only of what happens while it runs.
            let to_clean = LogToClean::of(&to_clean.log, now_ms).ok()?;
            to_clean.is_due().then_some((to_clean, cleaning))
        })
    }

    fn clean_log(
        &self,
        to_clean: &LogToClean,
        cleaning: &Cleaning,
        host: &CleanerHost<'_>,
        now_ms: i64,
    ) -> bool {
        let log = cleaning.log();
        let partition = log.topic_partition();
        let cleaner = Cleaner { config: &self.config, throttler: &self.throttler, host, cleaning };
        let result = cleaner.clean(to_clean, now_ms).and_then(|(end_offset, stats)| {
            cleaning.finish(end_offset)?;
            Ok((end_offset, stats))
        });
        match result {
            Ok((end_offset, stats)) => {
                tracing::info!(
                    %partition, from = to_clean.first_dirty_offset, to = end_offset, keys = stats.keys,
                    bytes_read = stats.bytes_read, bytes_written = stats.bytes_written,
                    records_read = stats.counts.records_read, records_kept = stats.counts.records_kept,
                    without_key = stats.counts.without_key, "compacted a log"
                );
                // An error took the log directory offline, and was logged there.
                let _ = self.logs.checkpoint_cleaner_offsets();
                true
            }
            Err(CleanError::Aborted) => {
                tracing::info!(%partition, "the compaction of a log was aborted");
                false
            }
            // The log directory went offline, which was logged there.
            Err(CleanError::Storage(_)) => false,
            Err(CleanError::Unclean(error)) => {
                give_up(log, &error);
                false
            }
        }
    }

    /// Retention of the logs that compact, which the manager's leaves to the cleaner.
    fn delete_old_segments(&self, now_ms: i64) {
        for log in self.logs.logs().into_iter().filter(|log| log.config().compact) {
            if let Some(_not_meanwhile) = log.begin_cleaning() {
                self.logs.delete_old_segments(&log, now_ms);
                // An error took the log directory offline, and was logged there.
                let _ = log.purge_deleted_files(now_ms);
            }
        }
    }
}

/// Leaves a log alone for good: what is wrong with it will not change.
fn give_up(log: &Log, error: &dyn std::fmt::Display) {
    log.mark_uncleanable();
    tracing::warn!(
        partition = %log.topic_partition(), %error,
        "a log cannot be compacted and will not be any more; look at the file, and start the broker again when it is whole"
    );
}

#[cfg(test)]
mod tests;
