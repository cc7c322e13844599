//! Reading a snapshot (`RecordsSnapshotReader`): batch by batch, each checked, in bounded memory.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use ::io::fs::File;
use protocol::records::{LOG_OVERHEAD, RecordBatch};

use super::path;
use crate::batch::CommittedBatch;
use crate::control_record::ControlRecord;
use crate::error::{RaftError, Result, at};
use crate::{MAX_BATCH_SIZE_BYTES, OffsetAndEpoch};

/// A snapshot, open for one reading from its begin to its end.
pub struct SnapshotReader {
    path: PathBuf,
    id: OffsetAndEpoch,
    input: BufReader<File>,
    size_in_bytes: u64,
    position: u64,
    last_contained_log_timestamp_ms: i64,
    first: Option<CommittedBatch>,
    footer_seen: bool,
}

impl std::fmt::Debug for SnapshotReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SnapshotReader({}, {} bytes)", self.path.display(), self.size_in_bytes)
    }
}

impl SnapshotReader {
    /// Opens the snapshot `id` of `log_dir` and reads its header.
    ///
    /// Errors: it is not there, or does not begin as a snapshot does.
    pub fn open(log_dir: &Path, id: OffsetAndEpoch) -> Result<SnapshotReader> {
        SnapshotReader::open_file(&path::snapshot_path(log_dir, id), id)
    }

    /// Opens a snapshot under any name, such as the `bootstrap.checkpoint` of earlier versions.
    pub fn open_file(path: &Path, id: OffsetAndEpoch) -> Result<SnapshotReader> {
        let file = File::open(path).map_err(at(path))?;
        let size_in_bytes = file.len().map_err(at(path))?;
        let mut reader = SnapshotReader {
            path: path.to_owned(),
            id,
            input: BufReader::new(file),
            size_in_bytes,
            position: 0,
            last_contained_log_timestamp_ms: 0,
            first: None,
            footer_seen: false,
        };
        let first = reader.read_batch()?;
        let header = first.as_ref().and_then(|batch| batch.control_records().first());
        match header {
            Some(ControlRecord::SnapshotHeader { last_contained_log_timestamp_ms }) => {
                reader.last_contained_log_timestamp_ms = *last_contained_log_timestamp_ms;
            }
            _ => return Err(reader.corrupt("it does not begin with a snapshot header".to_owned())),
        }
        reader.first = first;
        Ok(reader)
    }

    /// Its id.
    pub fn snapshot_id(&self) -> OffsetAndEpoch {
        self.id
    }

    /// Whether it is what formatting wrote: not committed metadata, but what a new cluster begins with.
    pub fn is_bootstrap(&self) -> bool {
        self.id == OffsetAndEpoch::BOOTSTRAP
    }

    /// The offset of the last record of the log that it covers; -1 for the one that formatting wrote.
    pub fn last_contained_log_offset(&self) -> i64 {
        self.id.offset - 1
    }

    /// When the last batch that it covers was appended, in milliseconds.
    pub fn last_contained_log_timestamp_ms(&self) -> i64 {
        self.last_contained_log_timestamp_ms
    }

    /// The size of the file, in bytes.
    pub fn size_in_bytes(&self) -> u64 {
        self.size_in_bytes
    }

    /// The next batch, control batches too; none behind the footer. Offsets in it count from the snapshot's begin.
    ///
    /// Errors: the file is damaged, or ends without a footer.
    pub fn next_batch(&mut self) -> Result<Option<CommittedBatch>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let batch = self.read_batch()?;
        if batch.is_none() && !self.footer_seen {
            return Err(self.corrupt("it has no footer: it was cut off".to_owned()));
        }
        Ok(batch)
    }

    /// All framed metadata records that are left. For small ones: a large one is read by batches.
    pub fn read_all(mut self) -> Result<Vec<Vec<u8>>> {
        let mut records = Vec::new();
        while let Some(batch) = self.next_batch()? {
            records.extend(batch.records().map(<[u8]>::to_vec));
        }
        Ok(records)
    }

    fn read_batch(&mut self) -> Result<Option<CommittedBatch>> {
        let left = self.size_in_bytes - self.position;
        if left == 0 {
            return Ok(None);
        }
        let mut bytes = vec![0; LOG_OVERHEAD];
        self.input.read_exact(&mut bytes).map_err(|error| self.corrupt(error.to_string()))?;
        let length = bytes.last_chunk::<4>().map_or(0, |length| i32::from_be_bytes(*length));
        let size = usize::try_from(length).unwrap_or(0) + LOG_OVERHEAD;
        // Neither the file nor Kafka's limit for a batch lets it be larger.
        if size as u64 > left || size > MAX_BATCH_SIZE_BYTES {
            return Err(self.corrupt(format!("the batch at byte {} has the size {size}", self.position)));
        }
        bytes.resize(size, 0);
        let body = bytes.get_mut(LOG_OVERHEAD..).unwrap_or_default();
        self.input.read_exact(body).map_err(|error| self.corrupt(error.to_string()))?;
        let read = RecordBatch::parse(&bytes)
            .and_then(|batch| batch.verify_crc().map(|()| batch))
            .map_err(crate::batch::BatchError::from)
            .and_then(|batch| CommittedBatch::read(&batch));
        let batch = read.map_err(|error| self.corrupt(format!("at byte {}: {error}", self.position)))?;
        self.position += size as u64;
        self.footer_seen |= batch.control_records().contains(&ControlRecord::SnapshotFooter);
        Ok(Some(batch))
    }

    fn corrupt(&self, reason: String) -> RaftError {
        RaftError::CorruptSnapshot { path: self.path.clone(), reason }
    }
}
