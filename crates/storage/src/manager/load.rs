//! Loading all logs at the start, several at a time (`LogManager.loadLogs`).

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::io::fs;
use common::topic::CLUSTER_METADATA_TOPIC;
use common::{TopicPartition, Uuid};
use parking_lot::Mutex;

use super::LogManager;
use super::deletion::{DeletedDir, DeletedLog};
use super::dirs::LogDir;
use crate::checkpoint::{
    CLEANER_OFFSET_CHECKPOINT_FILE, LOG_START_OFFSET_CHECKPOINT_FILE, RECOVERY_POINT_CHECKPOINT_FILE,
    REPLICATION_OFFSET_CHECKPOINT_FILE,
};
use crate::config::LogConfig;
use crate::error::LogError;
use crate::file_names::{DirKind, log_stray_dir_name, parse_dir_name};
use crate::log::{Log, OpenOptions};

/// How many logs are loaded without the help of further threads, after a clean stop.
const FEW_LOGS: usize = 16;

/// With so many logs in a directory, or more, their names are synced together after an unclean stop: by one sync of the file system,
/// which writes what else is dirty as well, in the place of one for each log.
const MANY_NAMES: usize = 1_000;

/// What stood in the checkpoints of a directory.
struct Checkpoints {
    clean_shutdown: bool,
    /// The stop was not clean, but the machine went on.
    intact: bool,
    recovery_points: HashMap<TopicPartition, i64>,
    log_start_offsets: HashMap<TopicPartition, i64>,
    high_watermarks: HashMap<TopicPartition, i64>,
    cleaner_offsets: HashMap<TopicPartition, i64>,
}

/// The settings of topics.
type Configs = HashMap<Arc<str>, Arc<LogConfig>>;

/// A log to be loaded.
struct Job {
    dir: Arc<LogDir>,
    checkpoints: Arc<Checkpoints>,
    path: PathBuf,
    partition: TopicPartition,
    /// Its names are synced by itself.
    sync_names: bool,
    /// The log is on its way to this directory.
    is_future: bool,
}

/// The settings of a topic; `None`: those of the broker.
pub type TopicConfigs<'a> = &'a (dyn Fn(&str) -> Option<Arc<LogConfig>> + Sync);
/// Whether this broker should not have a replica.
pub type IsStray<'a> = &'a (dyn Fn(&TopicPartition, Option<Uuid>) -> bool + Sync);

impl LogManager {
    /// Loads all logs. After an unclean stop they are recovered, from their last waypoints on if the machine went on, with `num.recovery.threads.per.data.dir` threads for each
    /// directory. A replica that this broker should not have is renamed with `-stray`.
    ///
    /// # Errors
    /// [`LogError::NoLogDir`] if every directory has failed, and what makes going on wrong: two logs of one partition. A
    /// directory that fails is offline, and the others go on.
    pub fn load(
        &self,
        topic_config: TopicConfigs<'_>,
        is_stray: IsStray<'_>,
        now_ms: i64,
    ) -> Result<(), LogError> {
        self.read_previous_broker_epoch();
        let mut jobs = Vec::new();
        for dir in &self.dirs {
            match self.find_logs(dir, now_ms) {
                Ok(found) => jobs.extend(found),
                Err(error) => {
                    dir.health.fail("Error while loading log dir".to_owned(), error);
                }
            }
        }
        // The partitions of a topic share its settings, which take long to work out.
        let mut configs: Configs = HashMap::new();
        for job in &jobs {
            configs
                .entry(Arc::clone(&job.partition.topic))
                .or_insert_with_key(|topic| topic_config(topic).unwrap_or_else(|| self.default_config()));
        }
        let clean = jobs.iter().all(|job| job.checkpoints.clean_shutdown);
        let threads = if clean && jobs.len() <= FEW_LOGS {
            1
        } else {
            (self.config.num_recovery_threads_per_data_dir.max(1) * self.dirs.len()).min(jobs.len())
        };
        let next = AtomicUsize::new(0);
        let fatal = Mutex::new(None);
        let work = || {
            while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = self.load_log(job, &configs, is_stray, now_ms) {
                    match error {
                        // The directory is offline, which was logged.
                        LogError::Storage(_) => {}
                        error => {
                            fatal.lock().get_or_insert(error);
                        }
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        if let Some(error) = fatal.into_inner() {
            return Err(error);
        }
        self.sync_names(&jobs);
        for dir in self.live() {
            // Whoever was killed before this has not looked at all that the boot before has left.
            if let Err(error) = dir.boot.set() {
                dir.health.fail("Error while marking the boot of the machine".to_owned(), error);
            }
        }
        if self.live_dirs().is_empty() {
            return Err(LogError::NoLogDir(
                "No log directory can be used: all of log.dirs are offline".to_owned(),
            ));
        }
        // An error took the log directory offline, and was logged there.
        let _ = self.rewrite_checkpoints();
        if !jobs.is_empty() {
            let intact =
                !clean && jobs.iter().all(|job| job.checkpoints.clean_shutdown || job.checkpoints.intact);
            tracing::info!(logs = jobs.len(), clean, intact, "loaded logs");
        }
        Ok(())
    }

    /// The stop was clean only if all directories say so, and of the same broker epoch.
    fn read_previous_broker_epoch(&self) {
        let mut epochs = self.dirs.iter().map(|dir| dir.clean_shutdown_file().read().unwrap_or(-1));
        let first = epochs.next().unwrap_or(-1);
        let epoch = if epochs.all(|epoch| epoch == first) { first } else { -1 };
        self.previous_broker_epoch.store(epoch, Ordering::Relaxed);
    }

    /// Looks what lies in a directory, and takes the mark of a clean stop away.
    fn find_logs(&self, dir: &Arc<LogDir>, now_ms: i64) -> io::Result<Vec<Job>> {
        let mark = dir.clean_shutdown_file();
        let clean_shutdown = mark.exists();
        mark.delete().map_err(|error| error.into_io())?;
        let checkpoints = Arc::new(Checkpoints {
            clean_shutdown,
            intact: !clean_shutdown && dir.boot.is_current(),
            recovery_points: dir.read_checkpoint(RECOVERY_POINT_CHECKPOINT_FILE),
            log_start_offsets: dir.read_checkpoint(LOG_START_OFFSET_CHECKPOINT_FILE),
            high_watermarks: dir.read_checkpoint(REPLICATION_OFFSET_CHECKPOINT_FILE),
            cleaner_offsets: dir.read_checkpoint(CLEANER_OFFSET_CHECKPOINT_FILE),
        });
        let mut jobs = Vec::new();
        let mut has_names = clean_shutdown;
        // The partitions of a topic share its name.
        let mut topics: HashSet<Arc<str>> = HashSet::new();
        for entry in fs::read_dir(&dir.path)? {
            let path = entry.path;
            if !entry.is_dir || path.file_name().is_some_and(|name| name == "remote-log-index-cache") {
                continue;
            }
            let (mut partition, kind) = match parse_dir_name(&path) {
                Ok(parsed) => parsed,
                Err(error) => {
                    // Divergence: Kafka stops. Nothing is lost by leaving what is not a partition's alone.
                    tracing::warn!("{error}");
                    continue;
                }
            };
            match topics.get(&partition.topic) {
                Some(topic) => partition.topic = Arc::clone(topic),
                None => drop(topics.insert(Arc::clone(&partition.topic))),
            }
            if &*partition.topic == CLUSTER_METADATA_TOPIC {
                continue;
            }
            has_names = true;
            match kind {
                DirKind::Current | DirKind::Future => {
                    let (dir, checkpoints) = (Arc::clone(dir), Arc::clone(&checkpoints));
                    let is_future = kind == DirKind::Future;
                    jobs.push(Job { dir, checkpoints, path, partition, sync_names: true, is_future });
                }
                DirKind::Delete => {
                    let due_ms = now_ms.saturating_add(self.default_config().file_delete_delay_ms.max(0));
                    let what = DeletedDir::Path(path);
                    self.deleted.add(DeletedLog { due_ms, dir: Arc::clone(dir), what });
                }
                DirKind::Stray => {
                    tracing::warn!(path = %path.display(), "found a stray log; delete it when it is not missed")
                }
            }
        }
        if has_names {
            // Divergence: Kafka does not sync the directory. A mark that came back when the power goes would have the logs taken as
            // they lie there. And the names that a killed broker gave to logs that it made or deleted are made to last.
            fs::sync_dir(&dir.path)?;
        }
        if jobs.len() >= MANY_NAMES {
            jobs.iter_mut().for_each(|job| job.sync_names = false);
        }
        Ok(jobs)
    }

    /// Makes the names of the logs last that were not synced by themselves.
    fn sync_names(&self, jobs: &[Job]) {
        for dir in self.live() {
            let mut here = jobs.iter().filter(|job| Arc::ptr_eq(&job.dir, dir));
            let left = here.any(|job| !job.sync_names && !job.checkpoints.clean_shutdown);
            if left && let Err(error) = fs::sync_file_system(&dir.path) {
                dir.health.fail("Error while syncing the names of logs".to_owned(), error);
            }
        }
    }

    fn load_log(
        &self,
        job: &Job,
        configs: &Configs,
        is_stray: IsStray<'_>,
        now_ms: i64,
    ) -> Result<(), LogError> {
        let config = configs.get(&job.partition.topic).cloned().unwrap_or_else(|| self.default_config());
        let of = |offsets: &HashMap<TopicPartition, i64>| offsets.get(&job.partition).copied().unwrap_or(0);
        let options = OpenOptions {
            recovery_point: of(&job.checkpoints.recovery_points),
            log_start_offset: of(&job.checkpoints.log_start_offsets),
            clean_shutdown: job.checkpoints.clean_shutdown,
            intact: job.checkpoints.intact,
            waypoints: job.dir.boot.tells(),
            sync_names: job.sync_names,
            producer_id_expiration_ms: self.config.producer_id_expiration_ms,
            dir_health: Some(Arc::clone(&job.dir.health)),
            ..OpenOptions::new(job.partition.clone(), config, now_ms)
        };
        let log = Log::open(&job.path, options)?;
        log.update_high_watermark(of(&job.checkpoints.high_watermarks));
        let cleaner_offset = job.checkpoints.cleaner_offsets.get(&job.partition).copied();
        if let Some(offset) = cleaner_offset {
            log.restore_first_dirty_offset(offset);
        }
        if is_stray(&job.partition, log.topic_id()) {
            log.rename_dir(&log_stray_dir_name(&job.partition))?;
            log.abandon();
            tracing::warn!(from = %job.path.display(), to = %log.dir().display(), "found a stray log and renamed it");
            return Ok(());
        }
        let log = Arc::new(log);
        let logs = if job.is_future { &self.future_logs } else { &self.logs };
        let previous = logs.write().insert(job.partition.clone(), Arc::clone(&log));
        if let Some(previous) = previous {
            return Err(LogError::NoLogDir(format!(
                "Duplicate log directories for {} are found in both {} and {}. It is likely because log directory failure happened \
                 while broker was replacing current replica with future replica. Recover broker from this failure by manually \
                 deleting one of the two directories for this partition. It is recommended to delete the partition in the log \
                 directory that is known to have failed recently.",
                job.partition,
                log.dir().display(),
                previous.dir().display()
            )));
        }
        Ok(())
    }
}
