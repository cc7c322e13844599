//! What a log knows of its producers: the sequences that make writes idempotent, and the transactions that are open
//! (`ProducerStateManager`, KIP-98).
//!
//! Lives under the log's writer lock. Its files, one snapshot at each roll and stop, are written by the same thread.

mod append_info;
mod entry;
mod snapshot;
mod snapshots;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use ::io::fs;
use foldhash::fast::RandomState;

pub(crate) use append_info::ProducerAppendInfo;
pub use append_info::{ProducerError, TRANSACTION_VERSION_UNKNOWN};
pub use entry::{BatchMetadata, ProducerStateEntry};
use snapshot::{SnapshotError, encode_snapshot, read_snapshot, rewrite_snapshot, write_snapshot};
use snapshots::Snapshots;

use crate::AppendOrigin;
use crate::file_names::producer_snapshot_file;
use crate::paths::PartitionDir;

/// A transaction that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CompletedTxn {
    pub producer_id: i64,
    pub first_offset: i64,
    /// The offset of the marker.
    pub last_offset: i64,
    pub is_aborted: bool,
}

#[derive(Clone, Copy, Debug)]
struct TxnMetadata {
    producer_id: i64,
    /// The offset of the marker, once it is written.
    last_offset: Option<i64>,
}

/// The producers of one log.
pub(crate) struct ProducerStateManager {
    dir: Arc<PartitionDir>,
    producer_id_expiration_ms: i64,
    producers: HashMap<i64, ProducerStateEntry, RandomState>,
    /// The open transactions by first offset.
    ongoing: BTreeMap<i64, TxnMetadata>,
    /// The transactions that have ended, but whose marker is not yet below the high watermark.
    unreplicated: BTreeMap<i64, TxnMetadata>,
    snapshots: Snapshots,
    /// The state is that before this offset.
    map_end_offset: i64,
    /// The offset of the newest snapshot.
    last_snapshot_offset: i64,
    /// The offset of the last waypoint, if its file belongs to no segment.
    waypoint: Option<i64>,
    /// A snapshot says all that is known of each producer.
    all_batches: bool,
}

impl ProducerStateManager {
    /// The empty state of the log in `dir`, with the snapshots that lie there known but not read.
    pub fn open(dir: &Arc<PartitionDir>, producer_id_expiration_ms: i64) -> io::Result<ProducerStateManager> {
        let names = fs::read_dir(&*dir.get())?.into_iter().filter_map(|entry| entry.name.into_string().ok());
        let names: Vec<String> = names.collect();
        Ok(ProducerStateManager::new(dir, &names, producer_id_expiration_ms))
    }

    /// The same, of a directory with these files.
    pub fn new(
        dir: &Arc<PartitionDir>,
        names: &[String],
        producer_id_expiration_ms: i64,
    ) -> ProducerStateManager {
        ProducerStateManager {
            snapshots: Snapshots::among(names),
            dir: Arc::clone(dir),
            producer_id_expiration_ms,
            producers: HashMap::default(),
            ongoing: BTreeMap::new(),
            unreplicated: BTreeMap::new(),
            map_end_offset: 0,
            last_snapshot_offset: 0,
            waypoint: None,
            all_batches: false,
        }
    }

    /// Has snapshots say all that is known of each producer: a log with waypoints is taken up again from any of them.
    pub fn with_all_batches(mut self, all: bool) -> ProducerStateManager {
        self.all_batches = all;
        self
    }

    /// Whether nothing is known that a truncation would have to undo.
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty() && self.unreplicated.is_empty()
    }

    /// Whether an update of the high watermark can change anything here.
    pub fn has_transactions(&self) -> bool {
        !self.ongoing.is_empty() || !self.unreplicated.is_empty()
    }

    /// The state is that before this offset.
    pub fn map_end_offset(&self) -> i64 {
        self.map_end_offset
    }

    /// What is known of the producers, in no order.
    pub fn entries(&self) -> impl Iterator<Item = &ProducerStateEntry> {
        self.producers.values()
    }

    /// What is known of a producer.
    pub fn entry(&self, producer_id: i64) -> Option<&ProducerStateEntry> {
        self.producers.get(&producer_id)
    }

    /// Starts an append of a producer.
    pub fn prepare(&self, producer_id: i64, origin: AppendOrigin) -> ProducerAppendInfo {
        let current =
            self.entry(producer_id).copied().unwrap_or_else(|| ProducerStateEntry::empty(producer_id));
        ProducerAppendInfo::new(current, origin)
    }

    /// Takes over an append that was written.
    pub fn update(&mut self, append: &ProducerAppendInfo) {
        self.producers
            .entry(append.producer_id())
            .and_modify(|entry| entry.update(&append.updated))
            .or_insert(append.updated);
        for &first_offset in &append.started {
            let transaction = TxnMetadata { producer_id: append.producer_id(), last_offset: None };
            self.ongoing.insert(first_offset, transaction);
        }
    }

    /// Says that the state is now that before `offset`.
    pub fn update_map_end_offset(&mut self, offset: i64) {
        self.map_end_offset = offset;
    }

    /// The first offset of which it is not decided, or not replicated, whether it is committed.
    pub fn first_unstable_offset(&self) -> Option<i64> {
        let first = |transactions: &BTreeMap<i64, TxnMetadata>| {
            transactions.first_key_value().map(|(&offset, _)| offset)
        };
        match (first(&self.ongoing), first(&self.unreplicated)) {
            (Some(ongoing), Some(unreplicated)) => Some(ongoing.min(unreplicated)),
            (ongoing, unreplicated) => ongoing.or(unreplicated),
        }
    }

    /// The last stable offset as it will be once the transaction is complete.
    pub fn last_stable_offset(&self, completed: &CompletedTxn) -> i64 {
        self.ongoing
            .iter()
            .find(|(_, transaction)| transaction.producer_id != completed.producer_id)
            .map_or(completed.last_offset + 1, |(&first_offset, _)| first_offset)
    }

    /// Moves a transaction from open to ended. Returns false if it was not open.
    pub fn complete_txn(&mut self, completed: &CompletedTxn) -> bool {
        let Some(mut transaction) = self.ongoing.remove(&completed.first_offset) else { return false };
        transaction.last_offset = Some(completed.last_offset);
        self.unreplicated.insert(completed.first_offset, transaction);
        true
    }

    /// The high watermark has moved: what ended below it is stable.
    pub fn on_high_watermark_updated(&mut self, high_watermark: i64) {
        self.unreplicated
            .retain(|_, transaction| transaction.last_offset.is_none_or(|offset| offset >= high_watermark));
    }

    /// The log's start has moved.
    pub fn on_log_start_offset_incremented(&mut self, log_start_offset: i64) {
        self.on_high_watermark_updated(log_start_offset);
        self.map_end_offset = self.map_end_offset.max(log_start_offset);
        self.last_snapshot_offset = self.snapshots.latest().unwrap_or(log_start_offset);
    }

    /// Forgets the producers that have written nothing for `producer.id.expiration.ms`, unless they have a transaction open.
    pub fn remove_expired(&mut self, now_ms: i64) {
        let expiration_ms = self.producer_id_expiration_ms;
        self.producers.retain(|_, entry| !is_expired(entry, now_ms, expiration_ms));
    }

    /// The offset of the newest snapshot.
    pub fn latest_snapshot_offset(&self) -> Option<i64> {
        self.snapshots.latest()
    }

    /// Writes a snapshot at the state's offset, unless there is one.
    pub fn take_snapshot(&mut self, sync: bool) -> io::Result<Option<PathBuf>> {
        if self.map_end_offset <= self.last_snapshot_offset {
            // Where that is a waypoint, it is now the snapshot of a segment, or of a stop.
            self.waypoint = self.waypoint.filter(|offset| *offset != self.map_end_offset);
            return Ok(None);
        }
        let path = producer_snapshot_file(&self.dir.get(), self.map_end_offset);
        let bytes = encode_snapshot(self.producers.values(), self.all_batches.then_some(self.map_end_offset));
        write_snapshot(&path, &bytes, sync)?;
        self.snapshots.insert(self.map_end_offset);
        self.last_snapshot_offset = self.map_end_offset;
        Ok(Some(path))
    }

    /// Writes the state at its offset, in the place of the waypoint before. Returns how many bytes that took.
    pub fn take_waypoint(&mut self) -> io::Result<u64> {
        if self.map_end_offset <= self.last_snapshot_offset {
            return Ok(0);
        }
        let bytes = encode_snapshot(self.producers.values(), Some(self.map_end_offset));
        let dir = self.dir.get();
        let path = producer_snapshot_file(&dir, self.map_end_offset);
        match self.waypoint.take() {
            Some(before) => {
                self.snapshots.forget(before);
                rewrite_snapshot(&producer_snapshot_file(&dir, before), &path, &bytes)?;
            }
            None => write_snapshot(&path, &bytes, false)?,
        }
        self.snapshots.insert(self.map_end_offset);
        self.last_snapshot_offset = self.map_end_offset;
        self.waypoint = Some(self.map_end_offset);
        Ok(bytes.len() as u64)
    }

    /// The snapshot of a clean stop, which must last: the one that is there already, if nothing was appended since. Returns whether
    /// there is one that names producers, of which the name must be synced too. Without `sync` the caller makes everything last.
    pub fn take_last_snapshot(&mut self, sync: bool) -> io::Result<bool> {
        let taken = self.take_snapshot(sync)?;
        if sync && taken.is_none() && self.map_end_offset == self.last_snapshot_offset {
            // Where the log's start was moved to its end, there is no file, and none would be read again.
            if self.producers.is_empty() || !self.snapshots.contains(self.map_end_offset) {
                return Ok(false);
            }
            let path = producer_snapshot_file(&self.dir.get(), self.map_end_offset);
            ::io::fs::File::open(path)?.sync_all()?;
        }
        Ok(!self.producers.is_empty())
    }

    /// Deletes the snapshots that belong to no segment, but the newest if it is ahead of all segments: that is the one a
    /// clean stop has left.
    pub fn remove_stray_snapshots(&mut self, segment_base_offsets: &[i64]) -> io::Result<()> {
        self.snapshots.remove_strays(&self.dir.get(), segment_base_offsets)
    }

    /// Renames the snapshot of a deleted segment; the caller deletes the file later.
    pub fn mark_snapshot_deleted(&mut self, offset: i64) -> io::Result<Option<PathBuf>> {
        self.snapshots.mark_deleted(&self.dir.get(), offset)
    }

    /// Makes the state that before `log_end_offset` as far as snapshots can: drops those outside the log and loads the newest
    /// that is left. The caller then replays the records from [`Self::map_end_offset`].
    pub fn truncate_and_reload(
        &mut self,
        log_start_offset: i64,
        log_end_offset: i64,
        now_ms: i64,
    ) -> io::Result<()> {
        self.snapshots
            .retain(&self.dir.get(), |offset| offset <= log_end_offset && offset > log_start_offset)?;
        self.waypoint = self.waypoint.filter(|offset| self.snapshots.contains(*offset));
        if log_end_offset == self.map_end_offset {
            self.on_log_start_offset_incremented(log_start_offset);
            return Ok(());
        }
        self.clear();
        self.load_from_snapshot(log_start_offset, now_ms)
    }

    fn load_from_snapshot(&mut self, log_start_offset: i64, now_ms: i64) -> io::Result<()> {
        while let Some(offset) = self.snapshots.latest() {
            let path = producer_snapshot_file(&self.dir.get(), offset);
            match read_snapshot(&path, offset) {
                Ok(entries) => {
                    for entry in entries {
                        if !is_expired(&entry, now_ms, self.producer_id_expiration_ms) {
                            self.load_entry(entry);
                        }
                    }
                    self.last_snapshot_offset = offset;
                    self.map_end_offset = offset;
                    return Ok(());
                }
                Err(SnapshotError::Io(error)) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "the producer snapshot cannot be used; an older one will be");
                    self.snapshots.remove(&self.dir.get(), offset)?;
                }
            }
        }
        self.last_snapshot_offset = log_start_offset;
        self.map_end_offset = log_start_offset;
        Ok(())
    }

    fn load_entry(&mut self, entry: ProducerStateEntry) {
        if let Some(first_offset) = entry.current_txn_first_offset {
            let transaction = TxnMetadata { producer_id: entry.producer_id, last_offset: None };
            self.ongoing.insert(first_offset, transaction);
        }
        self.producers.insert(entry.producer_id, entry);
    }

    /// Forgets everything, snapshots included: the log begins anew at `offset`.
    pub fn truncate_fully_and_start_at(&mut self, offset: i64) -> io::Result<()> {
        self.clear();
        self.snapshots.retain(&self.dir.get(), |_| false)?;
        self.waypoint = None;
        self.last_snapshot_offset = 0;
        self.map_end_offset = offset;
        Ok(())
    }

    fn clear(&mut self) {
        self.producers.clear();
        self.ongoing.clear();
        self.unreplicated.clear();
    }
}

fn is_expired(entry: &ProducerStateEntry, now_ms: i64, expiration_ms: i64) -> bool {
    entry.current_txn_first_offset.is_none() && now_ms.saturating_sub(entry.last_timestamp) >= expiration_ms
}

#[cfg(test)]
mod tests;
