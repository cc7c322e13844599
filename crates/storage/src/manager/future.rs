//! Moving a log to another directory of the broker: a future log is made there, copied to by whoever moves it, and at last
//! takes the other's place (`LogManager.replaceCurrentWithFutureLog`, KIP-113).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::{TopicPartition, Uuid};

use super::LogManager;
use super::dirs::LogDir;
use crate::error::LogError;
use crate::file_names::{log_delete_dir_name, log_dir_name, log_future_dir_name};
use crate::log::Log;

impl LogManager {
    /// The log that will take the place of a partition's log.
    pub fn future_log(&self, partition: &TopicPartition) -> Option<Arc<Log>> {
        self.future_logs.read().get(partition).cloned()
    }

    /// All logs and future logs.
    pub(super) fn all_logs(&self) -> Vec<Arc<Log>> {
        let mut logs = self.logs();
        logs.extend(self.future_logs.read().values().cloned());
        logs
    }

    /// The id of the directory that a log lies in.
    pub fn directory_id_of(&self, log: &Log) -> Option<Uuid> {
        self.dir_of(log).map(|dir| dir.id)
    }

    /// The path of a directory of this broker by any of its names, if it can be used.
    ///
    /// # Errors
    /// [`LogError::UnknownDir`] for a directory that is none of this broker's, [`LogError::NoLogDir`] for one that has failed.
    pub fn check_dir(&self, path: &Path) -> Result<PathBuf, LogError> {
        self.usable_dir(path).map(|dir| dir.path.clone())
    }

    fn usable_dir(&self, path: &Path) -> Result<&Arc<LogDir>, LogError> {
        let offline = || LogError::NoLogDir(format!("Log directory {} is offline", path.display()));
        if self.failed_dirs.iter().any(|dir| dir == path) {
            return Err(offline());
        }
        let dir = self.known_dir(path).ok_or_else(|| LogError::UnknownDir(path.to_owned()))?;
        if dir.health.is_offline() { Err(offline()) } else { Ok(dir) }
    }

    /// The directory by any of its names, to the letter, as Kafka compares them.
    fn known_dir(&self, path: &Path) -> Option<&Arc<LogDir>> {
        self.dirs.iter().find(|dir| dir.path.as_os_str() == path.as_os_str()).or_else(|| {
            // The configured name may lead there by a symbolic link.
            let is_named = |configured: &&PathBuf| configured.as_os_str() == path.as_os_str();
            let path = self.config.log_dirs.iter().find(is_named)?;
            let path = ::io::fs::canonicalize(path).ok()?;
            self.dirs.iter().find(|dir| dir.path == path)
        })
    }

    /// From now on these directories, by any of their names, get no new logs, and the others do (`cordoned.log.dirs`). Returns whether
    /// that is a change.
    pub fn update_cordoned_dirs(&self, cordoned: &[PathBuf]) -> bool {
        let cordoned: Vec<Uuid> =
            cordoned.iter().filter_map(|path| self.known_dir(path)).map(|dir| dir.id).collect();
        let mut changed = false;
        for dir in &self.dirs {
            let now = cordoned.contains(&dir.id);
            changed |= dir.cordoned.swap(now, Ordering::Relaxed) != now;
        }
        changed
    }

    /// The ids of the directories that get no new logs.
    pub fn cordoned_directory_ids(&self) -> Vec<Uuid> {
        let cordoned = self.dirs.iter().filter(|dir| dir.cordoned.load(Ordering::Relaxed));
        cordoned.map(|dir| dir.id).collect()
    }

    /// Whether a directory gets no new logs.
    pub fn is_cordoned(&self, path: &Path) -> bool {
        self.known_dir(path).is_some_and(|dir| dir.cordoned.load(Ordering::Relaxed))
    }

    /// Remembers in which directory a log is to be made that is not here yet. A restart forgets it, as in Kafka.
    pub fn prefer_dir(&self, partition: &TopicPartition, path: &Path) {
        if self.get_log(partition).is_none() {
            self.preferred_dirs.lock().insert(partition.clone(), path.to_owned());
        }
    }

    pub(super) fn preferred_dir(&self, partition: &TopicPartition) -> Option<Arc<LogDir>> {
        let path = self.preferred_dirs.lock().get(partition).cloned()?;
        self.usable_dir(&path).ok().cloned()
    }

    /// Makes the future log of a partition in a directory, which is not the one that its log is in; or gives the one that is there.
    ///
    /// # Errors
    /// Those of [`LogManager::check_dir`] and of the file system; [`LogError::NoLogDir`] where the partition has no log.
    pub fn create_future_log(
        &self,
        partition: &TopicPartition,
        path: &Path,
        now_ms: i64,
    ) -> Result<Arc<Log>, LogError> {
        let _one_at_a_time = self.creation.lock();
        if let Some(log) = self.future_log(partition) {
            return Ok(log);
        }
        let no_log = || LogError::NoLogDir(format!("there is no log of {partition} to be moved"));
        let current = self.get_log(partition).ok_or_else(no_log)?;
        let dir = Arc::clone(self.usable_dir(path)?);
        assert!(dir.path != current.dir_health().dir(), "Invariant: a log moves to another directory");
        let name = log_future_dir_name(partition);
        let log = self.create_in(&dir, &name, partition, current.topic_id(), current.config(), now_ms)?;
        self.future_logs.write().insert(partition.clone(), Arc::clone(&log));
        Ok(log)
    }

    /// Gives up the move of a log: what was copied is deleted. Returns whether there was one.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn delete_future_log(&self, partition: &TopicPartition, now_ms: i64) -> Result<bool, LogError> {
        let _one_at_a_time = self.creation.lock();
        let Some(log) = self.future_logs.write().remove(partition) else { return Ok(false) };
        log.rename_dir(&log_delete_dir_name(partition))?;
        self.schedule_deletion(log, now_ms);
        Ok(true)
    }

    /// Puts the future log in the place of the partition's log, which is deleted later. Both have the same records, and nobody
    /// appends to either. Returns the log now.
    ///
    /// Divergence: Kafka renames the future log first. Where it is killed before it has renamed the other one there are two, and the next
    /// start stops with the advice to delete one by hand. Here the old one goes first: if only a future log is left at the
    /// start, it was about to take the place, and does ([`LogManager::recover_future_log`]).
    ///
    /// # Errors
    /// Those of the file system. One of the two directories is offline then; where that is the future log's, the log stays in its place.
    pub fn replace_current_with_future(
        &self,
        partition: &TopicPartition,
        now_ms: i64,
    ) -> Result<Arc<Log>, LogError> {
        let _one_at_a_time = self.creation.lock();
        let no_log = || LogError::NoLogDir(format!("there is no future log of {partition}"));
        let future = self.future_log(partition).ok_or_else(no_log)?;
        let current = self.get_log(partition);
        if let Some(current) = &current {
            current.rename_dir(&log_delete_dir_name(partition))?;
        }
        if let Err(error) = future.rename_dir(&log_dir_name(partition)) {
            if let Some(current) = &current {
                current.rename_dir(&log_dir_name(partition))?;
            }
            return Err(error);
        }
        self.logs.write().insert(partition.clone(), Arc::clone(&future));
        self.future_logs.write().remove(partition);
        if let Some(current) = current {
            if let Some(dir) = self.dir_of(&current) {
                let _one_at_a_time = self.checkpoints.lock();
                // It stays until the log is deleted, and a log of the same name may come before.
                // An error took the log directory offline, and was logged there.
                let _ = self.forget_checkpoints(dir, partition);
            }
            self.schedule_deletion(current, now_ms);
        }
        Ok(future)
    }

    /// At the start: puts a future log in its place that was about to take it when the broker was killed
    /// (`LogManager.recoverAbandonedFutureLogs`). That is so where there is no other log, and the metadata say that the replica is in
    /// its directory, or no other log may be hidden in a directory that has failed.
    ///
    /// Divergence: where both are there, and the metadata say that the replica has moved, Kafka takes the future log. It may lack the
    /// last records, so here it is copied to first, as in any move.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn recover_future_log(
        &self,
        partition: &TopicPartition,
        recorded: Option<Uuid>,
        now_ms: i64,
    ) -> Result<(), LogError> {
        let Some(future) = self.future_log(partition) else { return Ok(()) };
        if self.get_log(partition).is_some() {
            return Ok(());
        }
        let is_recorded = recorded.is_some() && recorded == self.directory_id_of(&future);
        if is_recorded || !self.has_offline_dirs() {
            tracing::info!(%partition, dir = %future.dir().display(), "the replica had moved here when the broker stopped");
            self.replace_current_with_future(partition, now_ms)?;
        }
        Ok(())
    }
}
