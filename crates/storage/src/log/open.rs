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
use super::recovery::{Damage, rebuild_producer_state, recover_segment};
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
            sync_names: true,
            producer_id_expiration_ms: 86_400_000,
            dir_health: None,
            now_ms,
        }
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
    /// and checked, and cut behind the last whole batch.
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
        producers: ProducerStateManager::new(partition_dir, &names, options.producer_id_expiration_ms),
        has_recovered: false,
    };
    loader.open_segments(&base_offsets, &mut epochs)?;
    if !options.clean_shutdown {
        loader.recover_unflushed(&mut epochs)?;
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
    let mut producers = if knows_all || !has_recovered {
        recovered
    } else {
        ProducerStateManager::open(partition_dir, options.producer_id_expiration_ms)?
    };
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

struct Loader<'a> {
    partition_dir: &'a Arc<PartitionDir>,
    /// Whether any segment has a transaction index.
    has_transactions: bool,
    options: &'a OpenOptions,
    segments: Vec<Arc<LogSegment>>,
    /// The state of recovery, apart from the log's own.
    producers: ProducerStateManager,
    has_recovered: bool,
}

impl Loader<'_> {
    /// Opens the segments. One whose indexes are missing or damaged is recovered, unless it will be anyway.
    fn open_segments(&mut self, base_offsets: &[i64], epochs: &mut LeaderEpochCache) -> io::Result<()> {
        let first_unflushed = base_offsets
            .partition_point(|base_offset| *base_offset <= self.options.recovery_point)
            .saturating_sub(1);
        for (index, &base_offset) in base_offsets.iter().enumerate() {
            let segment = Arc::new(LogSegment::open(self.partition_dir, base_offset)?);
            self.segments.push(Arc::clone(&segment));
            let recovered_later = !self.options.clean_shutdown && index >= first_unflushed;
            if !recovered_later && let Some(fault) = self.index_fault(&segment)? {
                tracing::warn!(
                    path = %segment.log_path().display(), fault,
                    "recovering the segment and rebuilding its index files"
                );
                let is_last = index + 1 == base_offsets.len();
                self.recover(index, epochs, if is_last { Damage::Cut } else { Damage::Keep })?;
            }
        }
        Ok(())
    }

    fn index_fault(&self, segment: &LogSegment) -> io::Result<Option<&'static str>> {
        // Most segments of most brokers are the only ones of their partitions, and many hold nothing.
        if segment.size() == 0 && !self.has_transactions && segment.has_empty_indexes()? {
            return Ok(None);
        }
        if self.has_transactions && !segment.txn_index().is_sane(segment.paths())? {
            return Ok(Some("the transaction index is not one of the segment"));
        }
        index_fault(segment, &self.options.config)
    }

    fn recover_unflushed(&mut self, epochs: &mut LeaderEpochCache) -> io::Result<()> {
        let recovery_point = self.options.recovery_point;
        let first = self
            .segments
            .partition_point(|segment| segment.base_offset() <= recovery_point)
            .saturating_sub(1);
        self.recover_from(first, epochs)
    }

    /// Recovers the segments from one on. Behind one that was cut, nothing can be kept: offsets would be missing.
    fn recover_from(&mut self, first: usize, epochs: &mut LeaderEpochCache) -> io::Result<()> {
        for index in first..self.segments.len() {
            if self.recover(index, epochs, Damage::Cut)? > 0 || self.ends_too_early(index)? {
                for segment in self.segments.drain(index + 1..) {
                    tracing::warn!(
                        path = %segment.log_path().display(),
                        "deleting a segment that follows a damaged one"
                    );
                    segment.delete_files()?;
                }
                break;
            }
        }
        Ok(())
    }

    /// Whether offsets are missing between a segment and the next.
    ///
    /// Divergence: Kafka only sees a segment that ends in the middle of a batch. One that was rolled shortly before the power went
    /// can have lost whole batches, or all, while the next one is there: a replica with such a hole would count as having what it
    /// has not. Compaction leaves such holes rightly, so compacted logs are taken as they are.
    fn ends_too_early(&self, index: usize) -> io::Result<bool> {
        let (Some(segment), Some(next)) = (self.segments.get(index), self.segments.get(index + 1)) else {
            return Ok(false);
        };
        Ok(!self.options.config.compact && segment.next_offset()? < next.base_offset())
    }

    fn recover(
        &mut self,
        index: usize,
        epochs: &mut LeaderEpochCache,
        if_damaged: Damage,
    ) -> io::Result<u64> {
        let Some(segment) = self.segments.get(index).cloned() else { return Ok(0) };
        self.has_recovered = true;
        let before = self.segments.get(..index).unwrap_or_default();
        let base_offset = segment.base_offset();
        if self.producers.map_end_offset() != base_offset || self.producers.is_empty() {
            self.producers =
                ProducerStateManager::open(self.partition_dir, self.options.producer_id_expiration_ms)?;
            let start = self.options.log_start_offset;
            rebuild_producer_state(
                &mut self.producers,
                before,
                start,
                base_offset,
                false,
                self.options.now_ms,
            )?;
        }
        let config = &self.options.config;
        let truncated = recover_segment(&segment, config, &mut self.producers, epochs, if_damaged)?;
        self.producers.take_snapshot(false)?;
        Ok(truncated)
    }

    /// The offset behind the last batch. `None` if there are no segments, or the last one does not end with a whole batch.
    fn find_log_end(&self) -> io::Result<Option<i64>> {
        let Some(last) = self.segments.last() else { return Ok(None) };
        if last.size() == 0 {
            return Ok(Some(last.base_offset()));
        }
        let entry = last.offset_index().last(last.paths())?;
        let mut scanner = HeaderScanner::new(last.file()?, entry.position, last.size());
        let (mut next_offset, mut position) = (last.base_offset(), entry.position);
        loop {
            match scanner.next() {
                Ok(Some(batch)) => (next_offset, position) = (batch.header.next_offset(), batch.end()),
                Ok(None) => break,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok((position == last.size()).then_some(next_offset))
    }
}

/// What is wrong with a segment's indexes, as far as that is cheap to see.
///
/// Divergence: Kafka looks whether the offset index exists, and trusts its content. Here its end is compared with the segment.
fn index_fault(segment: &LogSegment, config: &LogConfig) -> io::Result<Option<&'static str>> {
    let paths = segment.paths();
    match segment.offset_index().is_whole(paths)? {
        None => return Ok(Some("there is no offset index")),
        Some(false) => return Ok(Some("the offset index is not a whole number of entries long")),
        Some(true) => {}
    }
    match segment.time_index().is_whole(paths)? {
        None => return Ok(Some("there is no time index")),
        Some(false) => return Ok(Some("the time index is not a whole number of entries long")),
        Some(true) => {}
    }
    let last_time = segment.time_index().last(paths)?;
    if segment.time_index().first(paths)?.is_some_and(|first| first.timestamp > last_time.timestamp)
        || last_time.offset < segment.base_offset()
    {
        return Ok(Some("the time index does not rise"));
    }
    let entries = segment.offset_index().len(paths)?;
    let last = segment.offset_index().last(paths)?;
    let mut scanner = HeaderScanner::new(segment.file()?, last.position, segment.size());
    let first = match scanner.next() {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
        other => other?,
    };
    if entries > 0 && first.is_none_or(|batch| batch.header.last_offset() != last.offset) {
        return Ok(Some("the end of the offset index does not fit the segment"));
    }
    // An entry is made when more than the interval was appended since the last one; a restart begins to count anew, hence the room.
    let room = 4 * config.index_interval.max(0) as u64 + 4096;
    let mut reach = first.map_or(last.position, |batch| batch.end());
    let mut last_offset = first.map(|batch| batch.header.last_offset());
    while reach.saturating_sub(last.position) <= room {
        match scanner.next() {
            Ok(Some(batch)) => {
                reach = batch.end();
                last_offset = Some(batch.header.last_offset());
            }
            Ok(None) if last_offset.is_some_and(|last_offset| last_time.offset > last_offset) => {
                // Nothing could be appended behind it.
                return Ok(Some("the time index names an offset behind the segment's last"));
            }
            Ok(None) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let first_end = first.map_or(last.position, |batch| batch.end());
    match scanner.next() {
        // A batch behind so much of the log would have an entry.
        Ok(Some(batch)) if batch.position > first_end + room => Ok(Some("the offset index is too short")),
        Err(error) if error.kind() != io::ErrorKind::InvalidData => Err(error),
        _ => Ok(None),
    }
}

/// Reads the leader epochs from the batches.
fn read_epochs(segments: &[Arc<LogSegment>], epochs: &mut LeaderEpochCache) -> io::Result<()> {
    for segment in segments {
        let mut scanner = HeaderScanner::new(segment.file()?, 0, segment.size());
        while let Some(batch) = scanner.next()? {
            if epochs.latest_epoch().is_none_or(|latest| batch.header.partition_leader_epoch() > latest) {
                epochs.assign(batch.header.partition_leader_epoch(), batch.header.base_offset());
            }
        }
    }
    Ok(())
}
