//! The log `__cluster_metadata-0` with its snapshots (`org.apache.kafka.raft.internals.KafkaRaftLog`).
//!
//! The log itself is storage's [`Log`], as for any partition. What is added here: its start moves only to the end of a
//! snapshot, so that log and snapshots together always hold all of the metadata.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::io::fs;
use common::{TopicPartition, Uuid, topic::CLUSTER_METADATA_TOPIC};
use protocol::records::{Batches, RecordBatch};
use storage::{AppendError, AppendOrigin, Log, LogConfig, OpenOptions};

use crate::error::{RaftError, Result, at};
use crate::snapshot::path::{deleted_path, snapshot_path};
use crate::snapshot::{
    FrozenSnapshot, SnapshotDownload, SnapshotKind, SnapshotOptions, SnapshotPath, SnapshotReader,
    SnapshotWriter,
};
use crate::{MetadataLogConfig, OffsetAndEpoch};

mod cleaning;
#[cfg(test)]
mod tests;

/// Whether a replica that has the log up to an offset of an epoch has the same log as this one
/// (`org.apache.kafka.raft.ValidOffsetAndEpoch`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValidOffsetAndEpoch {
    /// It has.
    Valid(OffsetAndEpoch),
    /// Its log is another from here on: it must truncate.
    Diverging(OffsetAndEpoch),
    /// What it needs is no longer in the log: it must fetch this snapshot.
    Snapshot(OffsetAndEpoch),
}

/// The metadata log. One thread owns it.
#[derive(Debug)]
pub struct MetadataLog {
    dir: PathBuf,
    log: Log,
    config: MetadataLogConfig,
    snapshots: BTreeSet<OffsetAndEpoch>,
    marked_for_delete: Vec<(OffsetAndEpoch, i64)>,
}

impl MetadataLog {
    /// Opens the log below `metadata_log_dir`, or begins it. Recovers the log, and removes what a crash left of
    /// snapshots that were being written or deleted.
    pub fn open(metadata_log_dir: &Path, config: MetadataLogConfig, now_ms: i64) -> Result<MetadataLog> {
        let topic_partition = TopicPartition::new(CLUSTER_METADATA_TOPIC, 0);
        let dir = metadata_log_dir.join(topic_partition.to_string());
        fs::create_dir_all(&dir).map_err(at(&dir))?;
        // Without it a crash could take the directory, with all that is synced below it. That it is there does not say that it
        // will be: an earlier start may have been stopped behind making it.
        fs::sync_dir(metadata_log_dir).map_err(at(metadata_log_dir))?;
        let log_config = LogConfig {
            segment_size: config.segment_bytes,
            segment_ms: config.segment_ms,
            max_message_size: i32::try_from(config.max_batch_size_bytes).unwrap_or(i32::MAX),
            // Segments go when a snapshot takes their place, and for no other reason.
            retention_size: -1,
            retention_ms: -1,
            ..LogConfig::default()
        };
        let mut options = OpenOptions::new(topic_partition, Arc::new(log_config), now_ms);
        options.topic_id = Some(Uuid::METADATA_TOPIC);
        let log = Log::open(&dir, options)
            .map_err(|error| RaftError::Log { path: dir.clone(), reason: error.to_string() })?;
        let mut metadata_log =
            MetadataLog { dir, log, config, snapshots: BTreeSet::new(), marked_for_delete: Vec::new() };
        metadata_log.recover_snapshots()?;
        metadata_log.truncate_to_latest_snapshot(now_ms)?;
        Ok(metadata_log)
    }

    /// The directory of the log.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the log starts.
    pub fn start_offset(&self) -> i64 {
        self.log.log_start_offset()
    }

    /// Where the next record goes.
    pub fn end_offset(&self) -> i64 {
        self.log.log_end_offset()
    }

    /// What is committed, exclusive.
    pub fn high_watermark(&self) -> i64 {
        self.log.high_watermark()
    }

    /// Marks everything below `offset` as committed.
    pub fn update_high_watermark(&mut self, offset: i64) {
        // Invariant: what is committed stays.
        assert!(offset >= self.high_watermark() || self.high_watermark() == 0);
        self.log.update_high_watermark(offset);
    }

    /// The epoch of the last record, or of the snapshot where the log is empty.
    pub fn last_fetched_epoch(&self) -> i32 {
        let snapshot = || self.latest_snapshot_id().map_or(0, |id| id.epoch);
        self.log.latest_epoch().unwrap_or_else(snapshot)
    }

    /// Begins a leader's epoch at the end of the log.
    pub fn initialize_leader_epoch(&mut self, epoch: i32) -> Result<()> {
        let end_offset = self.end_offset();
        self.log.assign_epoch_start_offset(epoch, end_offset).map_err(|error| self.failed(error))
    }

    /// Appends one batch that the leader of `epoch` built for the end of the log. Nothing is synced.
    pub fn append_as_leader(&mut self, batch: &[u8], epoch: i32, now_ms: i64) -> Result<()> {
        let info = self
            .log
            .append_as_leader(batch, epoch, AppendOrigin::RaftLeader, now_ms)
            .map_err(|error| self.failed(error))?;
        // Invariant: storage kept the offsets that the batch was built with.
        assert_eq!(info.last_offset + 1, self.end_offset());
        Ok(())
    }

    /// Appends what a leader of `epoch` sent. Nothing is synced. Returns whether anything was appended: what is damaged or
    /// does not fit the end of the log is left out.
    ///
    /// Errors: the disk.
    pub fn append_as_follower(&mut self, batches: &[u8], epoch: i32, now_ms: i64) -> Result<bool> {
        let end_offset = self.end_offset();
        let first = Batches::new(batches).next();
        match first {
            Some(Ok(batch)) if batch.base_offset() == end_offset => {}
            None => return Ok(false),
            other => {
                let found = other.map(|first| first.map(|batch| batch.base_offset()));
                tracing::warn!(end_offset, ?found, "the leader sent what does not continue the log");
                return Ok(false);
            }
        }
        match self.log.append_as_follower(batches, epoch, now_ms) {
            Ok(_) => Ok(self.end_offset() > end_offset),
            Err(AppendError::Storage(error)) => Err(self.failed(error)),
            Err(error) => {
                tracing::warn!(end_offset, "the leader sent what cannot be appended: {error}");
                Ok(false)
            }
        }
    }

    /// Cuts the log to where a leader says that the two part; gives its new end.
    ///
    /// Errors: that is below what is committed.
    pub fn truncate_to_end_offset(&mut self, diverging: OffsetAndEpoch, now_ms: i64) -> Result<i64> {
        let end = self.end_offset_for_epoch(diverging.epoch);
        let offset = if end.epoch == diverging.epoch { end.offset.min(diverging.offset) } else { end.offset };
        let high_watermark = self.high_watermark();
        if offset < high_watermark {
            let path = self.dir.clone();
            return Err(RaftError::TruncationBelowHighWatermark { path, offset, high_watermark });
        }
        self.truncate_to(offset, now_ms)?;
        Ok(offset)
    }

    /// Begins to receive the snapshot `id` of a leader; none if it is here already.
    pub fn begin_download(&self, id: OffsetAndEpoch) -> Result<Option<SnapshotDownload>> {
        if self.snapshots.contains(&id) {
            return Ok(None);
        }
        SnapshotDownload::create(&self.dir, id).map(Some)
    }

    /// Syncs all that was appended; gives the end of it.
    pub fn flush(&mut self) -> Result<i64> {
        let end_offset = self.end_offset();
        self.log.flush().map_err(|error| self.failed(error))?;
        Ok(end_offset)
    }

    /// Whole batches from the one with `offset` on, up to `max_offset` exclusive: about `max_bytes` of them, at least one.
    pub fn read(&self, offset: i64, max_bytes: usize, max_offset: i64) -> Result<Vec<u8>> {
        let fetched =
            self.log.read(offset, max_bytes, max_offset, true).map_err(|error| self.failed(error))?;
        let mut bytes = Vec::with_capacity(fetched.records.len());
        fetched.records.read_into(&mut bytes).map_err(at(&self.dir))?;
        let mut batches = Batches::new(&bytes);
        for batch in batches.by_ref() {
            batch.map_err(|error| self.corrupt(offset, error.to_string()))?;
        }
        let whole = bytes.len() - batches.remaining().len();
        bytes.truncate(whole);
        Ok(bytes)
    }

    /// Calls `visit` with every batch of the log from `offset` on, or from its start.
    pub(crate) fn for_each_batch(
        &self,
        offset: i64,
        mut visit: impl FnMut(&RecordBatch<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut offset = offset.max(self.start_offset());
        while offset < self.end_offset() {
            let bytes = self.read(offset, self.config.max_batch_size_bytes, self.end_offset())?;
            let before = offset;
            for batch in self.batches(offset, &bytes) {
                let batch = batch?;
                if batch.base_offset() > offset {
                    return Err(self.corrupt(offset, format!("the next batch is at {}", batch.base_offset())));
                }
                visit(&batch)?;
                offset = batch.next_offset();
            }
            if offset == before {
                return Err(self.corrupt(offset, "no batch can be read here".to_owned()));
            }
        }
        Ok(())
    }

    /// The largest epoch not above `epoch` of this log, and where it ends.
    pub fn end_offset_for_epoch(&self, epoch: i32) -> OffsetAndEpoch {
        let Some(end) = self.log.end_offset_for_epoch(epoch) else {
            return OffsetAndEpoch::new(self.end_offset(), self.last_fetched_epoch());
        };
        match self.earliest_snapshot_id() {
            // The epoch begins where the oldest snapshot ends: that snapshot is the point to go back to.
            Some(earliest) if end.offset == earliest.offset && end.epoch == epoch => earliest,
            _ => OffsetAndEpoch::new(end.offset, end.epoch),
        }
    }

    /// Compares the end of another replica's log with this one.
    pub fn validate_offset_and_epoch(&self, offset: i64, epoch: i32) -> ValidOffsetAndEpoch {
        let start = self.start_offset();
        if start == 0 && offset == 0 {
            return ValidOffsetAndEpoch::Valid(OffsetAndEpoch::default());
        }
        if let (Some(earliest), Some(latest)) = (self.earliest_snapshot_id(), self.latest_snapshot_id())
            && (offset < start || (offset == start && epoch != earliest.epoch) || epoch < earliest.epoch)
        {
            return ValidOffsetAndEpoch::Snapshot(latest);
        }
        let end = self.end_offset_for_epoch(epoch);
        if end.epoch != epoch || end.offset < offset {
            ValidOffsetAndEpoch::Diverging(end)
        } else {
            ValidOffsetAndEpoch::Valid(OffsetAndEpoch::new(offset, epoch))
        }
    }

    /// Cuts the log at `offset`.
    pub fn truncate_to(&mut self, offset: i64, now_ms: i64) -> Result<()> {
        // Invariant: what is committed stays.
        assert!(offset >= self.high_watermark(), "a truncation to {offset}, below the high watermark");
        self.log.truncate_to(offset, now_ms).map(|_| ()).map_err(|error| self.failed(error))
    }

    /// Empties the log where the latest snapshot is ahead of all of it: after a crash between the arrival of a snapshot
    /// and the truncation that follows.
    pub fn truncate_to_latest_snapshot(&mut self, now_ms: i64) -> Result<bool> {
        let Some(latest) = self.latest_snapshot_id() else { return Ok(false) };
        if latest <= OffsetAndEpoch::new(self.end_offset(), self.log.latest_epoch().unwrap_or(0)) {
            return Ok(false);
        }
        self.log.truncate_fully_and_start_at(latest.offset, now_ms).map_err(|error| self.failed(error))?;
        self.forget_snapshots_before(latest, now_ms, "the partition was fully truncated")?;
        Ok(true)
    }

    /// Begins a snapshot at `options.id`; none if there is one, or if the log no longer reaches back to it.
    ///
    /// Errors: the id is not the end of a committed batch of this log.
    pub fn create_new_snapshot(
        &self,
        options: &SnapshotOptions,
        now_ms: i64,
    ) -> Result<Option<SnapshotWriter>> {
        let id = options.id;
        let invalid = |reason: String| Err(RaftError::InvalidSnapshotId { id, reason });
        if id.offset < self.start_offset() {
            tracing::info!(
                "Cannot create a snapshot with an id ({id}) less than the log start offset ({})",
                self.start_offset()
            );
            return Ok(None);
        }
        if id.offset > self.high_watermark() {
            return invalid(format!("it is greater than the high watermark {}", self.high_watermark()));
        }
        let valid = self.validate_offset_and_epoch(id.offset, id.epoch);
        if !matches!(valid, ValidOffsetAndEpoch::Valid(_)) {
            return invalid(format!("it is not valid according to the log: {valid:?}"));
        }
        if id.offset < self.end_offset() {
            // A follower fetches from where a snapshot ends, and gets whole batches.
            let bytes = self.read(id.offset, 1, self.end_offset())?;
            let base_offset = RecordBatch::parse(&bytes).map(|batch| batch.base_offset());
            if base_offset != Ok(id.offset) {
                return invalid(format!("it is not batch aligned: the batch there is {base_offset:?}"));
            }
        }
        if self.snapshots.contains(&id) {
            return Ok(None);
        }
        SnapshotWriter::create(&self.dir, options, now_ms).map(Some)
    }

    /// A snapshot that was written is there from now on.
    pub fn on_snapshot_frozen(&mut self, frozen: FrozenSnapshot) {
        self.snapshots.insert(frozen.id);
    }

    /// Opens a snapshot; none if it is not there.
    pub fn read_snapshot(&self, id: OffsetAndEpoch) -> Result<Option<SnapshotReader>> {
        if !self.snapshots.contains(&id) {
            return Ok(None);
        }
        SnapshotReader::open(&self.dir, id).map(Some)
    }

    /// The latest snapshot's id.
    pub fn latest_snapshot_id(&self) -> Option<OffsetAndEpoch> {
        self.snapshots.last().copied()
    }

    /// The earliest snapshot's id.
    pub fn earliest_snapshot_id(&self) -> Option<OffsetAndEpoch> {
        self.snapshots.first().copied()
    }

    /// The file of a snapshot.
    pub(crate) fn snapshot_file(&self, id: OffsetAndEpoch) -> Option<PathBuf> {
        self.snapshots.contains(&id).then(|| snapshot_path(&self.dir, id))
    }

    /// Syncs and closes the log.
    pub fn close(self) -> Result<()> {
        self.log.close().map_err(|error| self.failed(error))
    }

    fn recover_snapshots(&mut self) -> Result<()> {
        let mut unneeded = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(at(&self.dir))? {
            let path = entry.path;
            let Some(snapshot) = SnapshotPath::parse(&path) else { continue };
            if snapshot.kind == SnapshotKind::Frozen && snapshot.id.offset >= self.start_offset() {
                self.snapshots.insert(snapshot.id);
            } else {
                unneeded.push(path);
            }
        }
        let log_start_offset = self.start_offset();
        let latest = self.latest_snapshot_id();
        if log_start_offset > 0 && latest.is_none_or(|id| id.offset < log_start_offset) {
            return Err(RaftError::MissingSnapshot { path: self.dir.clone(), log_start_offset, latest });
        }
        for path in unneeded {
            fs::remove_file(&path).map_err(at(&path))?;
            tracing::info!("Deleted unneeded snapshot file with path {}", path.display());
        }
        Ok(())
    }

    /// The batches in what was read of the log from `offset` on. The disk is believed no more than a leader is: each has a checksum
    /// that fits.
    pub(crate) fn batches<'a>(
        &'a self,
        mut offset: i64,
        bytes: &'a [u8],
    ) -> impl Iterator<Item = Result<RecordBatch<'a>>> {
        Batches::new(bytes).map(move |batch| {
            let batch = batch.and_then(|batch| batch.verify_crc().map(|()| batch));
            let batch = batch.map_err(|error| self.corrupt(offset, error.to_string()))?;
            offset = batch.next_offset();
            Ok(batch)
        })
    }

    /// Renames the snapshots before `id`, so that they are gone for readers; their files go after a delay.
    fn forget_snapshots_before(&mut self, id: OffsetAndEpoch, now_ms: i64, reason: &str) -> Result<usize> {
        let kept = self.snapshots.split_off(&id);
        let forgotten = std::mem::replace(&mut self.snapshots, kept);
        for id in &forgotten {
            let path = snapshot_path(&self.dir, *id);
            fs::rename(&path, deleted_path(&self.dir, *id)).map_err(at(&path))?;
            tracing::info!("Marking snapshot {id} for deletion because {reason}");
            self.marked_for_delete.push((*id, now_ms.saturating_add(self.config.delete_delay_ms)));
        }
        Ok(forgotten.len())
    }

    fn failed(&self, error: impl std::fmt::Display) -> RaftError {
        RaftError::Log { path: self.dir.clone(), reason: error.to_string() }
    }

    pub(crate) fn corrupt(&self, offset: i64, reason: String) -> RaftError {
        RaftError::CorruptLog { path: self.dir.clone(), offset, reason }
    }
}
