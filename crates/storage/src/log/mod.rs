//! The log of one partition (`UnifiedLog` and `LocalLog`).
//!
//! Who may do what:
//!
//! - One thread at a time changes the log: it holds [`Writer`]'s lock, across I/O.
//! - Readers take the list of segments as it is, and look at [`Tail`], whose lock is held for some nanoseconds only.
//! - Offsets are atomics, published after what they stand for is readable.
//! - A flush holds its own lock: appends and reads go on while the disk syncs.

mod append;
mod append_each;
mod cleaning;
mod epoch;
mod files;
mod flush;
mod loader;
mod open;
mod read;
mod recovery;
mod retention;
mod roll;
mod small_files;
mod tail;
pub mod timestamps;
mod truncate;
mod validate;
mod waypoint;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use common::{TopicPartition, Uuid};
use parking_lot::{Mutex, RwLock};

pub(crate) use cleaning::{CleanError, Cleaning, LastRecord};
pub use open::OpenOptions;
use tail::Tail;

use crate::config::LogConfig;
use crate::dir_health::DirHealth;
use crate::error::{LogError, StorageError};
use crate::file_names::{DirKind, parse_dir_name};
use crate::leader_epoch_cache::{EpochEntry, LeaderEpochCache, OffsetAndEpoch};
use crate::paths::PartitionDir;
use crate::producer::{ProducerAppendInfo, ProducerStateEntry, ProducerStateManager};
use crate::segment::LogSegment;
use crate::types::LogOffsetMetadata;

/// No transaction is open or unreplicated.
const NO_UNSTABLE_OFFSET: i64 = -1;

/// The log of one partition.
pub struct Log {
    /// Waypoints are taken.
    waypoints: bool,
    topic_partition: TopicPartition,
    topic_id: RwLock<Option<Uuid>>,
    /// The topic id is to be written to `partition.metadata`.
    topic_id_dirty: AtomicBool,
    dir: Arc<PartitionDir>,
    health: Arc<DirHealth>,
    config: ArcSwap<LogConfig>,
    /// **Invariant:** never empty, in the order of the base offsets. The last segment is the active one.
    segments: ArcSwap<Vec<Arc<LogSegment>>>,
    epochs: RwLock<LeaderEpochCache>,
    tail: RwLock<Tail>,
    log_start_offset: AtomicI64,
    log_end_offset: AtomicI64,
    high_watermark: AtomicI64,
    first_unstable_offset: AtomicI64,
    recovery_point: AtomicI64,
    /// Whether the producer state cares where the high watermark is.
    has_transactions: AtomicBool,
    writer: Mutex<Writer>,
    /// Held by whoever syncs. Taken before the writer's lock, never while holding it.
    flush: Mutex<()>,
    last_flush_ms: AtomicI64,
    /// Whether the name of the partition's directory lasts.
    dir_synced: AtomicBool,
    /// How often the log was truncated: a sync that ran meanwhile proves nothing.
    truncations: AtomicU64,
    /// The last truncation was not synced: the power could bring back what it took.
    truncated: AtomicBool,
    /// Files were made whose names may not last yet.
    new_names: AtomicBool,
    deleted: Mutex<Vec<retention::DeletedFile>>,
    cleaning: cleaning::CleaningState,
}

/// What only the thread that changes the log may touch.
struct Writer {
    producers: ProducerStateManager,
    active: ActiveSegmentState,
    closed: bool,
    /// Appends of leader epochs before this one are refused. -1 as long as nobody has said.
    leader_epoch: i32,
    /// There is no other replica: what is appended is committed.
    sole_replica: bool,
    /// Room for the producers of one append, kept so that an append need not allocate.
    appends: Vec<ProducerAppendInfo>,
}

/// What is remembered of the active segment until it rolls. A restart forgets it, in Kafka too.
#[derive(Debug)]
struct ActiveSegmentState {
    bytes_since_last_index_entry: u64,
    bytes_since_waypoint: u64,
    /// After how many bytes the next waypoint is taken.
    waypoint_distance: u64,
    created_ms: i64,
    /// The largest timestamp of the first batch, once it was asked for.
    rolling_based_timestamp: Option<i64>,
    roll_jitter_ms: i64,
}

impl Log {
    /// The partition.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The topic's id, if it is known.
    pub fn topic_id(&self) -> Option<Uuid> {
        *self.topic_id.read()
    }

    /// Notes the topic's id, which is written to `partition.metadata` before the first append.
    ///
    /// # Errors
    /// [`LogError::InconsistentTopicId`] if the log belongs to another topic.
    pub fn assign_topic_id(&self, topic_id: Uuid) -> Result<(), LogError> {
        let mut known = self.topic_id.write();
        match *known {
            Some(known) if known != topic_id => Err(LogError::InconsistentTopicId(format!(
                "Tried to assign topic ID {topic_id} to log for topic partition {}, but log already contained topic ID {known}",
                self.topic_partition
            ))),
            Some(_) => Ok(()),
            None => {
                *known = Some(topic_id);
                self.topic_id_dirty.store(true, Ordering::Release);
                Ok(())
            }
        }
    }

    /// The partition's directory as it is called now.
    pub fn dir(&self) -> PathBuf {
        self.dir.get().as_ref().clone()
    }

    pub(crate) fn partition_dir(&self) -> &Arc<PartitionDir> {
        &self.dir
    }

    /// The log directory that the partition's lies in, with its health.
    pub fn dir_health(&self) -> &Arc<DirHealth> {
        &self.health
    }

    /// The log's settings.
    pub fn config(&self) -> Arc<LogConfig> {
        self.config.load_full()
    }

    /// Changes the log's settings, from the next append on.
    pub fn update_config(&self, config: Arc<LogConfig>) {
        let before = self.config.swap(Arc::clone(&config));
        if before.compact && !config.compact {
            self.abort_cleaning();
        }
    }

    // ---- offsets ------------------------------------------------------------------------------------------------------

    /// The first offset that clients may read.
    pub fn log_start_offset(&self) -> i64 {
        self.log_start_offset.load(Ordering::Acquire)
    }

    /// The offset that the next record will have.
    pub fn log_end_offset(&self) -> i64 {
        self.log_end_offset.load(Ordering::Acquire)
    }

    /// The log's end and its place.
    pub fn log_end_offset_metadata(&self) -> LogOffsetMetadata {
        self.tail.read().end()
    }

    /// The offset below which all in-sync replicas have everything.
    pub fn high_watermark(&self) -> i64 {
        self.high_watermark.load(Ordering::Acquire)
    }

    /// The offset below which all transactions are decided.
    pub fn last_stable_offset(&self) -> i64 {
        let high_watermark = self.high_watermark();
        match self.first_unstable_offset() {
            Some(offset) if offset < high_watermark => offset,
            _ => high_watermark,
        }
    }

    /// The first offset of the earliest transaction that is open, or whose end is not below the high watermark.
    pub fn first_unstable_offset(&self) -> Option<i64> {
        let offset = self.first_unstable_offset.load(Ordering::Acquire);
        (offset != NO_UNSTABLE_OFFSET).then_some(offset)
    }

    /// The offset below which everything is on disk.
    pub fn recovery_point(&self) -> i64 {
        self.recovery_point.load(Ordering::Acquire)
    }

    /// Bytes in all segments.
    pub fn size(&self) -> u64 {
        self.segments.load().iter().map(|segment| segment.size()).sum()
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        self.segments.load().len()
    }

    /// The first offsets of all segments.
    pub fn segment_base_offsets(&self) -> Vec<i64> {
        self.segments.load().iter().map(|segment| segment.base_offset()).collect()
    }

    /// Sets the high watermark, which is kept between the log's start and end. It may go back. Returns what it is now.
    pub fn update_high_watermark(&self, offset: i64) -> i64 {
        let offset = offset.min(self.log_end_offset()).max(self.log_start_offset());
        self.high_watermark.store(offset, Ordering::Release);
        self.on_high_watermark_updated(offset);
        offset
    }

    /// Moves the high watermark up to `offset`, but not beyond the log's end. Returns where it was, if it moved.
    pub fn maybe_increment_high_watermark(&self, offset: i64) -> Option<i64> {
        let offset = offset.min(self.log_end_offset());
        let before = self.high_watermark.fetch_max(offset, Ordering::AcqRel);
        if before >= offset {
            return None;
        }
        self.on_high_watermark_updated(offset);
        Some(before)
    }

    fn on_high_watermark_updated(&self, high_watermark: i64) {
        // Without transactions nobody need wait for the writer.
        if self.has_transactions.load(Ordering::Acquire) {
            let mut writer = self.writer.lock();
            writer.producers.on_high_watermark_updated(high_watermark);
            self.publish_first_unstable_offset(&writer);
        }
    }

    /// Makes what the producer state says of transactions visible.
    fn publish_first_unstable_offset(&self, writer: &Writer) {
        let offset = match writer.producers.first_unstable_offset() {
            Some(offset) => offset.max(self.log_start_offset()),
            None => NO_UNSTABLE_OFFSET,
        };
        self.first_unstable_offset.store(offset, Ordering::Release);
        self.has_transactions.store(writer.producers.has_transactions(), Ordering::Release);
    }

    // ---- leader epochs ------------------------------------------------------------------------------------------------

    /// The newest leader epoch.
    pub fn latest_epoch(&self) -> Option<i32> {
        self.epochs.read().latest_epoch()
    }

    /// All leader epochs with their first offsets.
    pub fn epoch_entries(&self) -> Vec<EpochEntry> {
        self.epochs.read().entries()
    }

    /// Notes that a leader epoch begins at an offset.
    ///
    /// Divergence: Kafka writes and syncs `leader-epoch-checkpoint` at once, also when a thousand partitions get their leader at the
    /// same time. Here the file is written with the next flush, roll, checkpoint or stop, and always before the recovery point
    /// passes the epoch's records; behind the recovery point, epochs are found in the batches again.
    pub fn assign_epoch_start_offset(&self, epoch: i32, start_offset: i64) -> Result<(), LogError> {
        self.health.check()?;
        self.epochs.write().assign(epoch, start_offset);
        Ok(())
    }

    /// The end offset of an epoch, or of the largest one below it (`OffsetForLeaderEpoch`). `None` is Kafka's undefined.
    pub fn end_offset_for_epoch(&self, epoch: i32) -> Option<OffsetAndEpoch> {
        self.epochs.read().end_offset_for(epoch, self.log_end_offset())
    }

    // ---- producers ----------------------------------------------------------------------------------------------------

    /// What is known of the log's producers (`DescribeProducers`), by producer id.
    pub fn active_producers(&self) -> Vec<ProducerStateEntry> {
        // The lock may be held by who waits for the disk.
        let mut entries: Vec<_> =
            self.health.io(|| self.writer.lock().producers.entries().copied().collect());
        entries.sort_by_key(|entry| entry.producer_id);
        entries
    }

    /// Forgets the producers that have written nothing for `producer.id.expiration.ms`.
    pub fn remove_expired_producers(&self, now_ms: i64) {
        self.writer.lock().producers.remove_expired(now_ms);
    }

    /// Writes the producer state at the log's end, so that a start after a clean stop needs not read records.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn take_producer_snapshot(&self) -> Result<(), LogError> {
        let mut writer = self.writer.lock();
        self.check_usable(&writer)?;
        let result = writer.producers.take_snapshot(true);
        result.map_err(|error| self.fail("Error while writing a producer snapshot", error))?;
        Ok(())
    }

    // ---- inside -------------------------------------------------------------------------------------------------------

    /// The segment that `offset` lies in, and its index in the list.
    fn floor_segment(segments: &[Arc<LogSegment>], offset: i64) -> Option<(usize, &Arc<LogSegment>)> {
        let index = segments.partition_point(|segment| segment.base_offset() <= offset).checked_sub(1)?;
        segments.get(index).map(|segment| (index, segment))
    }

    fn active_segment(&self) -> Arc<LogSegment> {
        let segments = self.segments.load();
        Arc::clone(segments.last().expect("Invariant: a log has a segment"))
    }

    fn check_usable(&self, writer: &Writer) -> Result<(), StorageError> {
        self.health.check()?;
        if writer.closed { Err(StorageError::Closed { dir: self.dir() }) } else { Ok(()) }
    }

    /// Takes the log directory offline. Whoever still holds a log that was deleted finds that its directory is gone: nothing is wrong
    /// with the disk then.
    fn fail(&self, action: &str, error: io::Error) -> StorageError {
        let dir = self.dir();
        let is_deleted = || matches!(parse_dir_name(&dir), Ok((_, DirKind::Delete)));
        if error.kind() == io::ErrorKind::NotFound && is_deleted() {
            return StorageError::Closed { dir };
        }
        self.health.fail(format!("{action} for {}", self.topic_partition), error)
    }

    /// Publishes the log's end. The batches before it must be readable.
    fn set_log_end(&self, tail: &mut Tail, end: LogOffsetMetadata) {
        tail.set_end(end);
        self.log_end_offset.store(end.message_offset, Ordering::Release);
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("dir", &self.dir())
            .field("topic_id", &self.topic_id())
            .field("log_start_offset", &self.log_start_offset())
            .field("log_end_offset", &self.log_end_offset())
            .field("high_watermark", &self.high_watermark())
            .field("last_stable_offset", &self.last_stable_offset())
            .finish_non_exhaustive()
    }
}
