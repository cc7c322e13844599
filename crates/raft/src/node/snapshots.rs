//! Snapshots of a running node: when (`SnapshotGenerator`), and the way to write one (`SnapshotEmitter`).

use std::fmt;

use super::RaftNode;
use crate::OffsetAndEpoch;
use crate::error::{Result, at};
use crate::snapshot::{FrozenSnapshot, SnapshotOptions, SnapshotReader, SnapshotWriter};

/// Why a snapshot is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotReason {
    /// `metadata.log.max.record.bytes.between.snapshots`.
    MaxBytes(u64),
    /// `metadata.log.max.snapshot.interval.ms`.
    MaxInterval(i64),
}

impl fmt::Display for SnapshotReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotReason::MaxBytes(bytes) => write!(f, "we have replayed at least {bytes} bytes"),
            SnapshotReason::MaxInterval(ms) => write!(f, "we have waited at least {} minute(s)", ms / 60_000),
        }
    }
}

impl RaftNode {
    /// The latest snapshot's id.
    pub fn latest_snapshot_id(&self) -> Option<OffsetAndEpoch> {
        self.log.latest_snapshot_id()
    }

    /// The latest snapshot.
    pub fn latest_snapshot(&self) -> Result<Option<SnapshotReader>> {
        self.log.latest_snapshot_id().map_or(Ok(None), |id| self.log.read_snapshot(id))
    }

    /// Whether the server should write a snapshot of what it has heard, and why. Writing one is up to the server,
    /// which has the metadata: [`RaftNode::create_snapshot`].
    pub fn snapshot_due(&self, now_ms: i64) -> Option<SnapshotReason> {
        let (bytes, interval_ms) =
            (self.config.max_bytes_between_snapshots, self.config.max_snapshot_interval_ms);
        if self.bytes_since_snapshot == 0 {
            None
        } else if self.bytes_since_snapshot >= bytes {
            Some(SnapshotReason::MaxBytes(bytes))
        } else if interval_ms != 0 && now_ms.saturating_sub(self.last_snapshot_ms) >= interval_ms {
            Some(SnapshotReason::MaxInterval(interval_ms))
        } else {
            None
        }
    }

    /// Begins a snapshot of everything below `id.offset`, with the voters and the kraft.version of that place; none if it
    /// is there already. Write the metadata records to it, on any thread, then hand what `freeze` gives to
    /// [`RaftNode::install_snapshot`].
    ///
    /// Errors: `id` is not the end of a committed batch; the disk.
    pub fn create_snapshot(
        &mut self,
        id: OffsetAndEpoch,
        last_contained_log_timestamp_ms: i64,
        now_ms: i64,
    ) -> Result<Option<SnapshotWriter>> {
        let last_contained_offset = id.offset - 1;
        let kraft_version = self.control.kraft_version_at(last_contained_offset);
        let voters = self.control.voters_at(last_contained_offset).filter(|_| kraft_version > 0).cloned();
        let options = SnapshotOptions { id, last_contained_log_timestamp_ms, kraft_version, voters };
        self.snapshot_loaded(now_ms);
        self.log.create_new_snapshot(&options, now_ms)
    }

    /// The snapshot is written: from now on it is the one that a start loads.
    pub fn install_snapshot(&mut self, frozen: FrozenSnapshot) {
        self.log.on_snapshot_frozen(frozen);
        self.control.truncate_old_entries(frozen.id.offset);
    }

    /// Begins, writes and installs a snapshot at once; gives its size in bytes, none if there was one already.
    pub fn write_snapshot(
        &mut self,
        id: OffsetAndEpoch,
        last_contained_log_timestamp_ms: i64,
        records: impl IntoIterator<Item = Vec<u8>>,
        now_ms: i64,
    ) -> Result<Option<u64>> {
        let Some(mut writer) = self.create_snapshot(id, last_contained_log_timestamp_ms, now_ms)? else {
            return Ok(None);
        };
        for record in records {
            writer.append(&record, now_ms)?;
        }
        let frozen = writer.freeze(now_ms)?;
        self.install_snapshot(frozen);
        Ok(Some(frozen.size_in_bytes))
    }

    /// A piece of a snapshot as `FetchSnapshot` asks for it: the whole size, and the bytes from `position` on. None if
    /// there is no such snapshot; the one that formatting wrote is not given away.
    pub fn fetch_snapshot(
        &self,
        id: OffsetAndEpoch,
        position: u64,
        max_bytes: usize,
    ) -> Result<Option<(u64, Vec<u8>)>> {
        let Some(path) = self.log.snapshot_file(id).filter(|_| id != OffsetAndEpoch::BOOTSTRAP) else {
            return Ok(None);
        };
        let file = ::io::fs::File::open(&path).map_err(at(&path))?;
        let size = file.len().map_err(at(&path))?;
        let length = size.saturating_sub(position).min(max_bytes as u64);
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, position).map_err(at(&path))?;
        Ok(Some((size, bytes)))
    }

    /// Both counts begin again, as a snapshot was loaded or is being written.
    pub(super) fn snapshot_loaded(&mut self, now_ms: i64) {
        self.bytes_since_snapshot = 0;
        self.last_snapshot_ms = now_ms;
    }
}
