//! Writing a snapshot (`RecordsSnapshotWriter` and `FileRawSnapshotWriter`): a control batch with the header, batches of
//! metadata records, and a control batch with the footer, in a file that gets its name only when it is whole and synced.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ::io::fs::{self, File};
use common::Uuid;
use protocol::records::RecordBatchBuilder;

use super::path;
use crate::batch::data_batch_builder;
use crate::control_record::{ControlRecord, build_control_batch};
use crate::error::{RaftError, Result, at};
use crate::{MAX_BATCH_SIZE_BYTES, OffsetAndEpoch, VoterSet};

/// What a snapshot says of itself and of the quorum.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotOptions {
    /// Its id: the end offset of what it holds, and the epoch of the last record.
    pub id: OffsetAndEpoch,
    /// When the last batch that it covers was appended, in milliseconds.
    pub last_contained_log_timestamp_ms: i64,
    /// The level of kraft.version at its end.
    pub kraft_version: i16,
    /// The voters at its end. Only kraft.version 1 has them in the log.
    pub voters: Option<VoterSet>,
}

/// A snapshot being written. May move to another thread. Dropped before [`SnapshotWriter::freeze`], it leaves nothing.
#[derive(Debug)]
pub struct SnapshotWriter {
    log_dir: PathBuf,
    id: OffsetAndEpoch,
    temporary: Option<PathBuf>,
    file: File,
    written: u64,
    next_offset: i64,
    batch: Option<RecordBatchBuilder>,
    batch_timestamp_ms: i64,
}

/// A snapshot that is whole, on disk, and under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrozenSnapshot {
    /// Its id.
    pub id: OffsetAndEpoch,
    /// Its size, in bytes.
    pub size_in_bytes: u64,
}

impl SnapshotWriter {
    /// Begins a snapshot in `log_dir`, which is created if it is missing, with the header and what is known of the quorum.
    pub fn create(log_dir: &Path, options: &SnapshotOptions, now_ms: i64) -> Result<SnapshotWriter> {
        // Invariant: with kraft.version 0 the voters are in the configuration, not in the log.
        assert!(options.kraft_version > 0 || options.voters.is_none(), "voters with kraft.version 0");
        fs::create_dir_all(log_dir).map_err(at(log_dir))?;
        let name =
            format!("{}-{:x}{}", path::file_name(options.id), Uuid::random().as_u128(), path::PARTIAL_SUFFIX);
        let temporary = log_dir.join(name);
        // Nobody but the owner reads it: Kafka's are so too.
        let file = File::create_new(&temporary, 0o600);
        let mut writer = SnapshotWriter {
            log_dir: log_dir.to_owned(),
            id: options.id,
            file: file.map_err(at(&temporary))?,
            temporary: Some(temporary),
            written: 0,
            next_offset: 0,
            batch: None,
            batch_timestamp_ms: now_ms,
        };
        let timestamp = options.last_contained_log_timestamp_ms;
        let mut header = vec![ControlRecord::SnapshotHeader { last_contained_log_timestamp_ms: timestamp }];
        if options.kraft_version > 0 {
            header.push(ControlRecord::KRaftVersion(options.kraft_version));
            header.extend(options.voters.clone().map(ControlRecord::Voters));
        }
        writer.write_control(&header, now_ms)?;
        Ok(writer)
    }

    /// The snapshot's id.
    pub fn id(&self) -> OffsetAndEpoch {
        self.id
    }

    /// Adds a framed metadata record.
    ///
    /// Errors: the disk refuses, or the record is larger than a batch may be.
    pub fn append(&mut self, record: &[u8], now_ms: i64) -> Result<()> {
        let id = self.id;
        let refused = move |error: protocol::records::RecordError| RaftError::InvalidSnapshotId {
            id,
            reason: error.to_string(),
        };
        if let Some(batch) = &mut self.batch {
            let size = batch.size_in_bytes_after(self.batch_timestamp_ms, None, Some(record), &[]);
            if size <= MAX_BATCH_SIZE_BYTES {
                batch.append(self.batch_timestamp_ms, None, Some(record), &[]).map_err(refused)?;
                return Ok(());
            }
            self.write_batch()?;
        }
        let mut batch = data_batch_builder(self.next_offset, self.id.epoch);
        let size = batch.size_in_bytes_after(now_ms, None, Some(record), &[]);
        if size > MAX_BATCH_SIZE_BYTES {
            return Err(RaftError::RecordBatchTooLarge { size, max: MAX_BATCH_SIZE_BYTES });
        }
        batch.append(now_ms, None, Some(record), &[]).map_err(refused)?;
        self.batch_timestamp_ms = now_ms;
        self.batch = Some(batch);
        Ok(())
    }

    /// Adds the footer, syncs, and gives the file its name.
    pub fn freeze(mut self, now_ms: i64) -> Result<FrozenSnapshot> {
        self.write_batch()?;
        self.write_control(&[ControlRecord::SnapshotFooter], now_ms)?;
        let destination = path::snapshot_path(&self.log_dir, self.id);
        if let Some(temporary) = &self.temporary {
            (|| {
                self.file.sync_all()?;
                self.file.set_mode(0o400)?;
                fs::rename(temporary, &destination)?;
                fs::sync_dir(&self.log_dir)
            })()
            .map_err(at(&destination))?;
        }
        self.temporary = None;
        Ok(FrozenSnapshot { id: self.id, size_in_bytes: self.written })
    }

    fn write_control(&mut self, records: &[ControlRecord], now_ms: i64) -> Result<()> {
        let batch = build_control_batch(self.next_offset, self.id.epoch, now_ms, records)
            .map_err(|error| RaftError::InvalidSnapshotId { id: self.id, reason: error.to_string() })?;
        self.next_offset += records.len() as i64;
        self.write(&batch)
    }

    fn write_batch(&mut self) -> Result<()> {
        let Some(batch) = self.batch.take() else { return Ok(()) };
        self.next_offset = batch.next_offset();
        self.write(&batch.build())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.written += bytes.len() as u64;
        let result: io::Result<()> = self.file.write_all(bytes);
        result.map_err(at(self.temporary.as_deref().unwrap_or(&self.log_dir)))
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // What stays behind is removed when the log is opened.
            let _ = fs::remove_file(temporary);
        }
    }
}
