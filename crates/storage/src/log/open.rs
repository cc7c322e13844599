//! Opening a log: what lies in the directory, and what of it holds (`LogLoader`).

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};

use ::io::fs;
use arc_swap::ArcSwap;
use common::{TopicPartition, Uuid};
use parking_lot::{Mutex, RwLock};

use super::cleaning::CleaningState;
use super::loader::{Loader, read_epochs};
use super::recovery::rebuild_producer_state;
use super::retention::DeletedFile;
use super::tail::Tail;
use super::{ActiveSegmentState, Log, NO_UNSTABLE_OFFSET, Writer};
use crate::batch_reader::HeaderScanner;
use crate::checkpoint::{
    CheckpointError, LEADER_EPOCH_CHECKPOINT_FILE, PARTITION_METADATA_FILE, read_leader_epochs,
    read_partition_metadata, sync_dir,
};
use crate::config::LogConfig;
use crate::dir_health::DirHealth;
use crate::error::LogError;
use crate::file_names::{
    CLEANED_FILE_SUFFIX, DELETED_FILE_SUFFIX, LOG_FILE_SUFFIX, SNAPSHOT_DELETE_SUFFIX, SWAP_FILE_SUFFIX,
    TXN_INDEX_FILE_SUFFIX, is_index_file, offset_from_file_name,
};
use crate::leader_epoch_cache::LeaderEpochCache;
use crate::paths::PartitionDir;
use crate::producer::ProducerStateManager;
use crate::segment::LogSegment;
use crate::types::LogOffsetMetadata;

/// What a log is opened with.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The partition.
    pub topic_partition: TopicPartition,
    /// The topic's id, if it is known.
    pub topic_id: Option<Uuid>,
    /// The log's settings.
    pub config: Arc<LogConfig>,
    /// The offset below which everything is on disk, from `recovery-point-offset-checkpoint`; 0 if it is not there.
    pub recovery_point: i64,
    /// The first offset that clients may read, from `log-start-offset-checkpoint`; 0 if it is not there.
    pub log_start_offset: i64,
    /// The log was closed: nothing need be recovered.
    pub clean_shutdown: bool,
    /// The log was not closed, but everything that was written to it is there: only the process ended, and not the machine.
    pub intact: bool,
    /// Waypoints are taken: the next start may be told that the log is intact.
    pub waypoints: bool,
    /// After an unclean stop the names in the directory are made to last. Otherwise the caller does it, before anything is appended.
    pub sync_names: bool,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration_ms: i64,
    /// The health of the log directory; `None` for a log that stands alone.
    pub dir_health: Option<Arc<DirHealth>>,
    /// The time.
    pub now_ms: i64,
}

impl OpenOptions {
    /// Options for a log of which nothing is known: if it exists it is recovered from its beginning.
    pub fn new(topic_partition: TopicPartition, config: Arc<LogConfig>, now_ms: i64) -> OpenOptions {
        OpenOptions {
            topic_partition,
            topic_id: None,
            config,
            recovery_point: 0,
            log_start_offset: 0,
            clean_shutdown: false,
            intact: false,
            waypoints: false,
            sync_names: true,
            producer_id_expiration_ms: 86_400_000,
            dir_health: None,
            now_ms,
        }
    }

    /// The empty state of the producers of the log in a directory.
    pub(super) fn open_producers(&self, dir: &Arc<PartitionDir>) -> io::Result<ProducerStateManager> {
        let producers = ProducerStateManager::open(dir, self.producer_id_expiration_ms)?;
        Ok(producers.with_all_batches(self.waypoints))
    }
}

/// What was found.
struct Loaded {
    segments: Vec<Arc<LogSegment>>,
    epochs: LeaderEpochCache,
    producers: ProducerStateManager,
    log_start_offset: i64,
    log_end_offset: i64,
    recovery_point: i64,
}

impl Log {
    /// Opens the log in `dir`, which is made if it is not there. After an unclean stop everything behind the recovery point is read
    /// and checked, and cut behind the last whole batch; of an intact log, what lies behind the last waypoint.
    ///
    /// # Errors
    /// [`LogError::InconsistentTopicId`] if the directory is another topic's, and those of the file system.
    pub fn open(dir: impl AsRef<Path>, options: OpenOptions) -> Result<Log, LogError> {
        let dir = dir.as_ref();
        let health = options.dir_health.clone().unwrap_or_else(|| {
            let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
            Arc::new(DirHealth::new(parent.unwrap_or(Path::new("."))))
        });
        let fail = |error| health.fail(format!("Error while loading log {}", dir.display()), error);
        // Looked at once: a broker has many partitions, and most have few files.
        let names = match file_names(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            other => Some(other.map_err(fail)?),
        };
        let is_new = names.is_none();
        if is_new {
            fs::create_dir_all(dir).map_err(fail)?;
        }
        let names = names.unwrap_or_default();
        let is_unused = is_unused(&names);
        let stored_id = match has(&names, PARTITION_METADATA_FILE) {
            true => read_partition_metadata(dir)?,
            false => None,
        };
        if let (Some(stored), Some(given)) = (stored_id, options.topic_id)
            && stored != given
        {
            return Err(LogError::InconsistentTopicId(format!(
                "Tried to assign topic ID {given} to log for topic partition {}, but log already contained topic ID {stored}",
                options.topic_partition
            )));
        }
        let partition_dir = PartitionDir::new(dir);
        let mut loaded = load(dir, names, &partition_dir, &options).map_err(fail)?;
        if !is_unused && !options.clean_shutdown && options.sync_names {
            // What is appended from now on may last at once: it must not meet names that a crash brings back.
            sync_dir(dir).map_err(fail)?;
        }
        // Mostly there is one.
        loaded.segments.shrink_to_fit();
        let active = loaded.segments.last().expect("Invariant: loading leaves a segment");
        let end = LogOffsetMetadata {
            message_offset: loaded.log_end_offset,
            segment_base_offset: active.base_offset(),
            relative_position: active.size() as i64,
        };
        let mut active_state = ActiveSegmentState::new(
            &options.config,
            &options.topic_partition,
            active.base_offset(),
            options.now_ms,
        );
        active_state.created_ms = options.now_ms;
        let log = Log {
            waypoints: options.waypoints,
            topic_partition: options.topic_partition,
            topic_id: RwLock::new(stored_id.or(options.topic_id)),
            topic_id_dirty: AtomicBool::new(stored_id.is_none() && options.topic_id.is_some()),
            dir: partition_dir,
            health,
            config: ArcSwap::new(options.config),
            segments: ArcSwap::from_pointee(loaded.segments),
            epochs: RwLock::new(loaded.epochs),
            tail: RwLock::new(Tail::new(end)),
            log_start_offset: AtomicI64::new(loaded.log_start_offset),
            log_end_offset: AtomicI64::new(loaded.log_end_offset),
            high_watermark: AtomicI64::new(loaded.log_start_offset),
            first_unstable_offset: AtomicI64::new(NO_UNSTABLE_OFFSET),
            recovery_point: AtomicI64::new(loaded.recovery_point),
            has_transactions: AtomicBool::new(false),
            writer: Mutex::new(Writer {
                producers: loaded.producers,
                active: active_state,
                closed: false,
                leader_epoch: -1,
                sole_replica: false,
                appends: Vec::new(),
            }),
            flush: Mutex::new(()),
            last_flush_ms: AtomicI64::new(options.now_ms),
            dir_synced: AtomicBool::new(!is_new),
            truncations: AtomicU64::new(0),
            // After a crash it may be so as well.
            truncated: AtomicBool::new(!options.clean_shutdown),
            new_names: AtomicBool::new(is_unused),
            deleted: Mutex::new(Vec::<DeletedFile>::new()),
            cleaning: CleaningState::default(),
        };
        log.publish_first_unstable_offset(&log.writer.lock());
        Ok(log)
    }
}

fn load(
    dir: &Path,
    mut names: Vec<String>,
    partition_dir: &Arc<PartitionDir>,
    options: &OpenOptions,
) -> io::Result<Loaded> {
    if finish_interrupted_swaps(dir, &names)? {
        names = file_names(dir)?;
    }
    let base_offsets = find_segments(dir, &names)?;
    let stored_epochs = match has(&names, LEADER_EPOCH_CHECKPOINT_FILE) {
        true => read_leader_epochs(dir),
        false => Ok(Vec::new()),
    };
    let (mut epochs, epochs_lost) = match stored_epochs {
        Ok(entries) => (LeaderEpochCache::from_entries(entries), false),
        Err(CheckpointError::Io { source, .. }) => return Err(source),
        Err(error) => {
            // Divergence: Kafka gives the log directory up. The epochs stand in the batches too.
            tracing::warn!(%error, "the leader epochs are read from the batches");
            (LeaderEpochCache::default(), true)
        }
    };
    let mut loader = Loader {
        partition_dir,
        has_transactions: names.iter().any(|name| name.ends_with(TXN_INDEX_FILE_SUFFIX)),
        options,
        segments: Vec::with_capacity(base_offsets.len()),
        producers: ProducerStateManager::new(partition_dir, &names, options.producer_id_expiration_ms)
            .with_all_batches(options.waypoints),
        has_recovered: false,
    };
    loader.open_segments(&base_offsets, &mut epochs)?;
    if !options.clean_shutdown {
        let resumed = options.intact && loader.resume(&mut epochs)?;
        if !resumed {
            loader.recover_unflushed(&mut epochs)?;
        }
    }
    let mut end = loader.find_log_end()?;
    if end.is_none() && options.clean_shutdown && !loader.segments.is_empty() {
        // What a clean stop has left is not whole: somebody else was here.
        let last = loader.segments.len() - 1;
        loader.recover_from(last, &mut epochs)?;
        end = loader.find_log_end()?;
    }
    let Loader { mut segments, producers: recovered, has_recovered, .. } = loader;
    if let Some(log_end_offset) = end
        && log_end_offset < options.log_start_offset
    {
        tracing::warn!(
            dir = %dir.display(), log_end_offset, log_start_offset = options.log_start_offset,
            "deleting all segments because the log ends before its start; files must have been deleted from outside"
        );
        for segment in segments.drain(..) {
            segment.delete_files()?;
        }
        epochs.clear();
        end = None;
    }
    if segments.is_empty() {
        let config = &options.config;
        let preallocate = config.preallocate.then_some(config.segment_size.max(0) as u64);
        segments.push(Arc::new(LogSegment::create(partition_dir, options.log_start_offset, preallocate)?));
        if options.log_start_offset > 0 {
            // From now on the log's start follows from this name.
            sync_dir(dir)?;
        }
    }
    let log_end_offset = end.unwrap_or(options.log_start_offset);
    if epochs_lost {
        read_epochs(&segments, &mut epochs)?;
    }
    epochs.truncate_from_end(log_end_offset);
    epochs.truncate_from_start(options.log_start_offset);
    let base_offsets: Vec<_> = segments.iter().map(|segment| segment.base_offset()).collect();
    let first_base_offset = base_offsets.first().copied().unwrap_or(0);
    let log_start_offset = options.log_start_offset.max(first_base_offset);
    // Divergence: after a recovery Kafka rests on the snapshot that it has just written, which has the last batch of each
    // producer alone. One that sends several batches again would be told that the first is out of order, begin a new epoch
    // and write them twice. What recovery has read knows the last five.
    let knows_all = !recovered.is_empty() && recovered.map_end_offset() == log_end_offset;
    let mut producers =
        if knows_all || !has_recovered { recovered } else { options.open_producers(partition_dir)? };
    producers.remove_stray_snapshots(&base_offsets)?;
    let clean = options.clean_shutdown;
    rebuild_producer_state(
        &mut producers,
        &segments,
        log_start_offset,
        log_end_offset,
        clean,
        options.now_ms,
    )?;
    for segment in &segments {
        // Nothing stays open until it is used.
        segment.release_idle()?;
        segment.release_idle()?;
    }
    let recovery_point = if clean { log_end_offset } else { options.recovery_point.clamp(0, log_end_offset) };
    Ok(Loaded { segments, epochs, producers, log_start_offset, log_end_offset, recovery_point })
}

/// Deletes the files that were on their way out, and finishes or undoes what the cleaner was doing.
///
/// The cleaner writes `.cleaned` files, renames them to `.swap`, renames those to their own names, and deletes the old segments. So
/// while there are `.cleaned` files the `.swap` files at or behind them are not complete; otherwise they replace what they cover.
///
/// Returns whether the directory is another now.
fn finish_interrupted_swaps(dir: &Path, names: &[String]) -> io::Result<bool> {
    let mut changed = false;
    let mut swaps = Vec::new();
    let mut cleaned = Vec::new();
    for name in names {
        if name.ends_with(DELETED_FILE_SUFFIX) && !name.ends_with(SNAPSHOT_DELETE_SUFFIX) {
            fs::remove_file(dir.join(name))?;
            changed = true;
        } else if name.ends_with(CLEANED_FILE_SUFFIX) {
            cleaned.push(name);
        } else if name.ends_with(SWAP_FILE_SUFFIX) {
            swaps.push(name);
        }
    }
    if cleaned.is_empty() && swaps.is_empty() {
        return Ok(changed);
    }
    let min_cleaned = cleaned.iter().filter_map(|name| offset_from_file_name(name)).min();
    for name in &cleaned {
        fs::remove_file(dir.join(name))?;
    }
    let mut covered: Option<(i64, i64)> = None;
    let mut complete = Vec::new();
    for name in swaps {
        let offset = offset_from_file_name(name);
        if let (Some(offset), Some(min_cleaned)) = (offset, min_cleaned)
            && offset >= min_cleaned
        {
            fs::remove_file(dir.join(name))?;
            continue;
        }
        if let Some(offset) = offset
            && name.strip_suffix(SWAP_FILE_SUFFIX).is_some_and(|name| name.ends_with(LOG_FILE_SUFFIX))
        {
            let end = end_of_file(&dir.join(name), offset)?;
            let (start, known_end) = covered.unwrap_or((offset, end));
            covered = Some((start.min(offset), known_end.max(end)));
        }
        complete.push(name);
    }
    if let Some((start, end)) = covered {
        for name in file_names(dir)? {
            let offset = offset_from_file_name(&name).filter(|_| !name.ends_with(SWAP_FILE_SUFFIX));
            if offset.is_some_and(|offset| (start..end).contains(&offset)) {
                tracing::info!(dir = %dir.display(), name, "deleting a file that was compacted");
                fs::remove_file(dir.join(&name))?;
            }
        }
    }
    for name in complete {
        if let Some(own) = name.strip_suffix(SWAP_FILE_SUFFIX) {
            fs::rename(dir.join(name), dir.join(own))?;
        }
    }
    Ok(true)
}

/// The offset behind the last batch of a file.
fn end_of_file(path: &Path, base_offset: i64) -> io::Result<i64> {
    let file = Arc::new(fs::File::open(path)?);
    let size = file.len()?;
    let mut scanner = HeaderScanner::new(file, 0, size);
    let mut end = base_offset;
    while let Some(batch) = scanner.next()? {
        end = batch.header.next_offset();
    }
    Ok(end)
}

/// Whether no log has been here yet: only what is there before one, the topic's id and the metadata's snapshots.
fn is_unused(names: &[String]) -> bool {
    names.iter().all(|name| name == PARTITION_METADATA_FILE || name.ends_with(".checkpoint"))
}

fn file_names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        if entry.is_file
            && let Ok(name) = entry.name.into_string()
        {
            names.push(name);
        }
    }
    Ok(names)
}

/// The base offsets of the segments, rising. Indexes without a segment are deleted.
fn find_segments(dir: &Path, names: &[String]) -> io::Result<Vec<i64>> {
    let mut base_offsets: Vec<i64> = names
        .iter()
        .filter(|name| name.ends_with(LOG_FILE_SUFFIX))
        .filter_map(|name| offset_from_file_name(name))
        .collect();
    base_offsets.sort_unstable();
    for name in names.iter().filter(|name| is_index_file(name)) {
        let offset = offset_from_file_name(name);
        if offset.is_some_and(|offset| base_offsets.binary_search(&offset).is_err()) {
            tracing::warn!(dir = %dir.display(), name, "found an orphaned index file, with no corresponding log file");
            fs::remove_file(dir.join(name))?;
        }
    }
    Ok(base_offsets)
}

/// Whether there is a file of this name.
fn has(names: &[String], name: &str) -> bool {
    names.iter().any(|known| known == name)
}
