//! All logs of a broker, in all its log directories (`LogManager`).
//!
//! Owns the map of logs. Starts threads only to load and to close; everything periodic is a method that the server calls with the
//! time. `__cluster_metadata-0` is the quorum's and is left alone.
//!
//! A directory that fails is offline at once for everybody who uses a log in it. The broker hears of it through
//! [`LogManager::failures`], and has its logs put away by [`LogManager::handle_log_dir_failure`].

mod deletion;
mod dirs;
mod future;
mod housekeeping;
mod load;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use common::{TopicPartition, Uuid};
use parking_lot::{Mutex, RwLock};

use deletion::{DeletedDir, DeletedLog, Deletions};
use dirs::LogDir;
pub use dirs::LogDirError;

use crate::checkpoint::{Sync, sync_dir};
use crate::config::LogConfig;
use crate::dir_health::LogDirFailureChannel;
use crate::disk_watch::{DiskWatch, Look};
use crate::error::{LogError, StorageError};
use crate::file_names::{log_delete_dir_name, log_dir_name};
use crate::log::{Log, OpenOptions};

/// What the manager is opened with.
#[derive(Clone, Debug)]
pub struct LogManagerConfig {
    /// `log.dirs`.
    pub log_dirs: Vec<PathBuf>,
    /// The cluster's id, to be compared with that of the directories; `None`: that of the directories counts.
    pub cluster_id: Option<String>,
    /// `node.id`.
    pub node_id: i32,
    /// `num.recovery.threads.per.data.dir`.
    pub num_recovery_threads_per_data_dir: usize,
    /// The settings of topics that have none of their own.
    pub default_config: Arc<LogConfig>,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration_ms: i64,
}

/// All logs of a broker.
pub struct LogManager {
    config: LogManagerConfig,
    default_config: RwLock<Arc<LogConfig>>,
    dirs: Vec<Arc<LogDir>>,
    /// The directories that could not be used from the start.
    failed_dirs: Vec<PathBuf>,
    /// In an order, so that what is done to all of them can be done again.
    logs: RwLock<BTreeMap<TopicPartition, Arc<Log>>>,
    /// Logs that will take the places of others, in another directory (`AlterReplicaLogDirs`).
    future_logs: RwLock<BTreeMap<TopicPartition, Arc<Log>>>,
    /// In which directories logs are to be made that are not here yet.
    preferred_dirs: Mutex<HashMap<TopicPartition, PathBuf>>,
    /// Held while a log is made or deleted, so that the same one is not made twice.
    creation: Mutex<()>,
    deleted: Deletions,
    /// A log is gone that was compacted, and the cleaner's checkpoint may still have it.
    cleaned_deleted: AtomicBool,
    log_start_moves: AtomicU64,
    previous_broker_epoch: AtomicI64,
    /// Held while checkpoints are gathered and written: what was gathered later must not be overwritten by what was gathered before.
    checkpoints: Mutex<()>,
    failures: Arc<LogDirFailureChannel>,
    watch: Arc<DiskWatch>,
}

impl LogManager {
    /// Makes, locks and identifies the log directories. Loads nothing yet.
    ///
    /// # Errors
    /// [`LogDirError`], which says what to do.
    pub fn open(config: LogManagerConfig) -> Result<LogManager, LogDirError> {
        let failures = Arc::default();
        let watch = Arc::default();
        let (dirs, failed_dirs) = dirs::open_dirs(
            &config.log_dirs,
            config.cluster_id.as_deref(),
            config.node_id,
            &failures,
            &watch,
        )?;
        Ok(LogManager {
            default_config: RwLock::new(Arc::clone(&config.default_config)),
            config,
            dirs: dirs.into_iter().map(Arc::new).collect(),
            failed_dirs,
            logs: RwLock::new(BTreeMap::new()),
            future_logs: RwLock::new(BTreeMap::new()),
            preferred_dirs: Mutex::new(HashMap::new()),
            creation: Mutex::new(()),
            deleted: Deletions::default(),
            cleaned_deleted: AtomicBool::new(false),
            log_start_moves: AtomicU64::new(0),
            previous_broker_epoch: AtomicI64::new(-1),
            checkpoints: Mutex::new(()),
            failures,
            watch,
        })
    }

    /// Where the directories are told that have failed since the manager was opened.
    pub fn failures(&self) -> &Arc<LogDirFailureChannel> {
        &self.failures
    }

    /// What looks whether disks stall.
    pub fn disk_watch(&self) -> &Arc<DiskWatch> {
        &self.watch
    }

    /// Looks whether disks stall, on this thread, until the watch is closed ([`DiskWatch::run`]).
    pub fn watch_disks(&self, tell: impl FnMut(Look)) {
        let dirs: Vec<_> = self.dirs.iter().map(|dir| Arc::clone(&dir.health)).collect();
        self.watch.run(&dirs, tell);
    }

    /// The log of a partition.
    pub fn get_log(&self, partition: &TopicPartition) -> Option<Arc<Log>> {
        self.logs.read().get(partition).cloned()
    }

    /// All logs, by their names.
    pub fn logs(&self) -> Vec<Arc<Log>> {
        self.logs.read().values().cloned().collect()
    }

    /// The settings of topics that have none of their own.
    pub fn default_config(&self) -> Arc<LogConfig> {
        Arc::clone(&self.default_config.read())
    }

    /// Changes them, for logs that are made from now on.
    pub fn update_default_config(&self, config: Arc<LogConfig>) {
        *self.default_config.write() = config;
    }

    /// The log of a partition, which is made if there is none: in the directory with the fewest logs.
    ///
    /// # Errors
    /// [`LogError::NoLogDir`] if no directory can be used, [`LogError::InconsistentTopicId`] if there is a log of another topic of the
    /// same name, and those of the file system.
    pub fn create_log(
        &self,
        partition: &TopicPartition,
        topic_id: Option<Uuid>,
        config: Arc<LogConfig>,
        now_ms: i64,
    ) -> Result<Arc<Log>, LogError> {
        self.create(partition, topic_id, config, None, now_ms)
    }

    /// The same, in the directory with an id if that can be used, as the controller has assigned it (KIP-858).
    ///
    /// # Errors
    /// As [`LogManager::create_log`].
    pub fn create_log_in(
        &self,
        partition: &TopicPartition,
        topic_id: Option<Uuid>,
        config: Arc<LogConfig>,
        directory_id: Uuid,
        now_ms: i64,
    ) -> Result<Arc<Log>, LogError> {
        self.create(partition, topic_id, config, Some(directory_id), now_ms)
    }

    fn create(
        &self,
        partition: &TopicPartition,
        topic_id: Option<Uuid>,
        config: Arc<LogConfig>,
        directory_id: Option<Uuid>,
        now_ms: i64,
    ) -> Result<Arc<Log>, LogError> {
        let existing = |log: Arc<Log>| {
            if let Some(topic_id) = topic_id {
                log.assign_topic_id(topic_id)?;
            }
            Ok(log)
        };
        if let Some(log) = self.get_log(partition) {
            return existing(log);
        }
        let _one_at_a_time = self.creation.lock();
        if let Some(log) = self.get_log(partition) {
            return existing(log);
        }
        loop {
            let (dir, is_chosen) = match self.preferred_dir(partition) {
                Some(dir) => (dir, true),
                None => self.choose_dir(directory_id)?,
            };
            let name = log_dir_name(partition);
            match self.create_in(&dir, &name, partition, topic_id, Arc::clone(&config), now_ms) {
                // It has failed by that. Where nobody has chosen it, another one will do.
                Err(LogError::Storage(_)) if !is_chosen && dir.health.is_offline() => {}
                Err(error) => return Err(error),
                Ok(log) => {
                    self.logs.write().insert(partition.clone(), Arc::clone(&log));
                    self.preferred_dirs.lock().remove(partition);
                    return Ok(log);
                }
            }
        }
    }

    fn create_in(
        &self,
        dir: &LogDir,
        name: &str,
        partition: &TopicPartition,
        topic_id: Option<Uuid>,
        config: Arc<LogConfig>,
        now_ms: i64,
    ) -> Result<Arc<Log>, LogError> {
        {
            // A log of the same name may have been deleted, and not checkpointed away: its offsets are not this one's.
            let _one_at_a_time = self.checkpoints.lock();
            self.forget_checkpoints(dir, partition)?;
        }
        let options = OpenOptions {
            topic_id,
            clean_shutdown: true,
            waypoints: dir.boot.tells(),
            producer_id_expiration_ms: self.config.producer_id_expiration_ms,
            dir_health: Some(Arc::clone(&dir.health)),
            ..OpenOptions::new(partition.clone(), config, now_ms)
        };
        Ok(Arc::new(Log::open(dir.path.join(name), options)?))
    }

    /// Takes a partition out of a directory's checkpoints. Called by who holds the lock of the checkpoints.
    fn forget_checkpoints(&self, dir: &LogDir, partition: &TopicPartition) -> Result<(), StorageError> {
        let (logs, future_logs) = (self.logs.read(), self.future_logs.read());
        let is_gone = |other: &TopicPartition| !logs.contains_key(other) && !future_logs.contains_key(other);
        dir.forget(partition, &is_gone)
            .map_err(|error| dir.health.fail("Error while writing checkpoints".to_owned(), error.into_io()))
    }

    /// The directory with an id, which was chosen by whoever gave the id, or of those that are not cordoned the one with the fewest logs.
    fn choose_dir(&self, directory_id: Option<Uuid>) -> Result<(Arc<LogDir>, bool), LogError> {
        let live = || self.dirs.iter().filter(|dir| !dir.health.is_offline());
        if let Some(dir) = live().find(|dir| Some(dir.id) == directory_id) {
            return Ok((Arc::clone(dir), true));
        }
        let mut counts: HashMap<PathBuf, usize> = HashMap::new();
        if self.dirs.len() > 1 {
            for log in self.logs.read().values() {
                *counts.entry(log.dir_health().dir().to_owned()).or_default() += 1;
            }
        }
        let count = |dir: &&Arc<LogDir>| counts.get(&dir.path).copied().unwrap_or(0);
        let emptiest = live().filter(|dir| !dir.cordoned.load(Ordering::Relaxed)).min_by_key(count);
        // The controller may have chosen this broker just before all were cordoned.
        emptiest.or_else(|| live().next()).map(|dir| (Arc::clone(dir), false)).ok_or_else(|| {
            LogError::NoLogDir("No log directory can be used: all of log.dirs are offline".to_owned())
        })
    }

    /// Puts the logs of a directory away that has failed, and gives the directory back: the file system may be taken off, and
    /// the disk looked at. Returns the partitions.
    pub fn handle_log_dir_failure(&self, dir: &Path) -> Vec<TopicPartition> {
        let mut lost = Vec::new();
        self.future_logs.write().retain(|_, log| log.dir_health().dir() != dir);
        self.logs.write().retain(|partition, log| {
            let stays = log.dir_health().dir() != dir;
            if !stays {
                log.abort_cleaning();
                lost.push(partition.clone());
            }
            stays
        });
        self.deleted.forget(dir);
        if let Some(dir) = self.dirs.iter().find(|known| known.path == dir) {
            if let Err(error) = dir.boot.remove() {
                tracing::warn!(dir = %dir.path.display(), %error, "the next start may not read all that was written there");
            }
            dir.unlock();
        }
        lost
    }

    /// Takes a log out of use: its directory is renamed with `-delete` now, and deleted by [`LogManager::purge_deleted_logs`] after
    /// `file.delete.delay.ms`. Returns false if there is none.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn delete_log(&self, partition: &TopicPartition, now_ms: i64) -> Result<bool, LogError> {
        let deleted = self.begin_deletion(partition, now_ms)?;
        self.finish_deletions()?;
        Ok(deleted)
    }

    /// The same for one of many logs: whether it is gone after a power loss is known after [`LogManager::finish_deletions`], which
    /// is called once for all of them.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn begin_deletion(&self, partition: &TopicPartition, now_ms: i64) -> Result<bool, LogError> {
        let _one_at_a_time = self.creation.lock();
        let Some(log) = self.logs.write().remove(partition) else { return Ok(false) };
        log.rename_dir_with(&log_delete_dir_name(partition), Sync::ByCaller)?;
        if let Some(dir) = self.dir_of(&log) {
            dir.renamed.store(true, Ordering::Relaxed);
        }
        if log.first_dirty_offset().is_some() {
            self.cleaned_deleted.store(true, Ordering::Relaxed);
        }
        self.schedule_deletion(log, now_ms);
        Ok(true)
    }

    /// Makes what [`LogManager::begin_deletion`] has begun last, with one sync of each log directory.
    ///
    /// # Errors
    /// The first one of the file system; that log directory is offline then.
    pub fn finish_deletions(&self) -> Result<(), LogError> {
        let mut result = Ok(());
        for dir in self.live().filter(|dir| dir.renamed.swap(false, Ordering::Relaxed)) {
            if let Err(error) = sync_dir(&dir.path) {
                let action = "Error while syncing the names of deleted logs".to_owned();
                result = result.and(Err(dir.health.fail(action, error).into()));
            }
        }
        if self.cleaned_deleted.swap(false, Ordering::Relaxed) {
            // A log of the same name must not take over how far the one before was compacted.
            result = result.and(self.checkpoint_cleaner_offsets());
        }
        result
    }

    /// Has a log deleted, whose directory is renamed already, when its time has come.
    fn schedule_deletion(&self, log: Arc<Log>, now_ms: i64) {
        tracing::info!(partition = %log.topic_partition(), dir = %log.dir().display(), "the log is renamed and scheduled for deletion");
        if let Some(dir) = self.dir_of(&log) {
            let due_ms = now_ms.saturating_add(log.config().file_delete_delay_ms.max(0));
            let dir = Arc::clone(dir);
            // Thousands may wait for their time.
            log.close_files();
            self.deleted.add(DeletedLog { due_ms, dir, what: DeletedDir::Log(log) });
        }
    }

    /// When the first of the deleted logs is due, in ms since 1970. Waits while there is none; one task at a time may.
    pub fn next_deletion(&self) -> impl Future<Output = i64> + Send {
        std::future::poll_fn(|context| self.deleted.poll_first(context))
    }

    /// The directory that a log lies in.
    fn dir_of(&self, log: &Log) -> Option<&Arc<LogDir>> {
        self.dirs.iter().find(|dir| dir.path == log.dir_health().dir())
    }

    /// The directories and their ids, also of those that have failed since the start.
    pub fn directory_ids(&self) -> Vec<(PathBuf, Uuid)> {
        self.dirs.iter().map(|dir| (dir.path.clone(), dir.id)).collect()
    }

    /// The ids of the directories that can be used.
    pub fn live_directory_ids(&self) -> Vec<Uuid> {
        self.dirs.iter().filter(|dir| !dir.health.is_offline()).map(|dir| dir.id).collect()
    }

    /// Whether the directory with an id can be used.
    pub fn is_directory_online(&self, id: Uuid) -> bool {
        self.dirs.iter().any(|dir| dir.id == id && !dir.health.is_offline())
    }

    /// Whether a directory has failed, at the start or since: what lies in it cannot be known.
    pub fn has_offline_dirs(&self) -> bool {
        !self.failed_dirs.is_empty() || self.dirs.iter().any(|dir| dir.health.is_offline())
    }

    /// The id of the directory that holds a partition's log.
    pub fn directory_of(&self, partition: &TopicPartition) -> Option<Uuid> {
        self.dir_of(&*self.get_log(partition)?).map(|dir| dir.id)
    }

    /// The directories that can be used.
    pub fn live_dirs(&self) -> Vec<PathBuf> {
        self.dirs.iter().filter(|dir| !dir.health.is_offline()).map(|dir| dir.path.clone()).collect()
    }

    /// The directories that have failed. If none is left a broker stops.
    pub fn offline_dirs(&self) -> Vec<PathBuf> {
        let failed = self.dirs.iter().filter(|dir| dir.health.is_offline()).map(|dir| dir.path.clone());
        failed.chain(self.failed_dirs.iter().cloned()).collect()
    }

    /// The epoch in which this broker was registered when it stopped cleanly; -1 if it did not.
    pub fn previous_broker_epoch(&self) -> i64 {
        self.previous_broker_epoch.load(std::sync::atomic::Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
