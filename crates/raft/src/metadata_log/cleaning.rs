//! Dropping old snapshots, and the segments that they covered (`KafkaRaftLog.maybeClean`).

use ::io::fs;

use super::MetadataLog;
use crate::error::{Result, at};
use crate::snapshot::path::{deleted_path, snapshot_path};
use crate::{OffsetAndEpoch, SnapshotReader};

impl MetadataLog {
    /// Applies `metadata.max.retention.bytes` and `.ms`: the oldest snapshot goes, and the log starts at the next one,
    /// until the limits hold or one snapshot is left. Also removes the files of snapshots deleted a while ago.
    /// Returns whether the log start moved.
    pub fn maybe_clean(&mut self, now_ms: i64) -> Result<bool> {
        let by_size = self.clean_by_size(now_ms)?;
        let by_time = self.clean_by_time(now_ms)?;
        self.purge(now_ms)?;
        Ok(by_size || by_time)
    }

    fn clean_by_size(&mut self, now_ms: i64) -> Result<bool> {
        let limit = self.config.retention_bytes;
        if limit < 0 {
            return Ok(false);
        }
        let mut cleaned = false;
        while let Some((oldest, next)) = self.two_oldest() {
            let log_size = self.log.size();
            let mut snapshots_size = 0;
            for id in &self.snapshots {
                let path = snapshot_path(&self.dir, *id);
                snapshots_size += fs::len(&path).map_err(at(&path))?;
            }
            if log_size + snapshots_size <= limit as u64 {
                break;
            }
            let reason = format!(
                "the log size ({log_size}) and snapshots size ({snapshots_size}) is greater than {limit}"
            );
            tracing::debug!("cleaning before {next}, oldest snapshot {oldest}");
            if !self.delete_before_snapshot(next, now_ms, &reason)? {
                break;
            }
            cleaned = true;
        }
        Ok(cleaned)
    }

    fn clean_by_time(&mut self, now_ms: i64) -> Result<bool> {
        let limit = self.config.retention_ms;
        if limit < 0 {
            return Ok(false);
        }
        let mut cleaned = false;
        while let Some((oldest, next)) = self.two_oldest() {
            let timestamp = SnapshotReader::open(&self.dir, oldest)?.last_contained_log_timestamp_ms();
            if now_ms.saturating_sub(timestamp) <= limit {
                break;
            }
            let reason =
                format!("its timestamp ({timestamp}) is now ({now_ms}) older than the retention ({limit})");
            if !self.delete_before_snapshot(next, now_ms, &reason)? {
                break;
            }
            cleaned = true;
        }
        Ok(cleaned)
    }

    fn two_oldest(&self) -> Option<(OffsetAndEpoch, OffsetAndEpoch)> {
        let mut ids = self.snapshots.iter();
        Some((*ids.next()?, *ids.next()?))
    }

    /// Moves the log start to the end of the snapshot `id`, and forgets the snapshots before it.
    fn delete_before_snapshot(&mut self, id: OffsetAndEpoch, now_ms: i64, reason: &str) -> Result<bool> {
        // The log start first: a crash behind it leaves snapshots that the next start removes, and none is missed.
        if self.start_offset() >= id.offset {
            return Ok(false);
        }
        let moved =
            self.log.maybe_increment_log_start_offset(id.offset).map_err(|error| self.failed(error))?;
        if !moved {
            return Ok(false);
        }
        self.log.delete_old_segments(now_ms).map_err(|error| self.failed(error))?;
        self.forget_snapshots_before(id, now_ms, reason)?;
        Ok(true)
    }

    fn purge(&mut self, now_ms: i64) -> Result<()> {
        self.log.purge_deleted_files(now_ms).map_err(|error| self.failed(error))?;
        let dir = &self.dir;
        let mut result = Ok(());
        self.marked_for_delete.retain(|(id, due_ms)| {
            if now_ms < *due_ms || result.is_err() {
                return true;
            }
            let path = deleted_path(dir, *id);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    result = Err(at(&path)(error));
                    true
                }
                _ => false,
            }
        });
        result
    }
}
