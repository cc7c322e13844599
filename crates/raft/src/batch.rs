//! Batches of the metadata log and of snapshots: the records in them are framed metadata records without keys
//! (`org.apache.kafka.raft.Batch`, `BatchBuilder`, `RecordsIterator`).

use protocol::compression::Compression;
use protocol::records::{RecordBatch, RecordBatchBuilder, RecordError, TimestampType};

use crate::MAX_BATCH_SIZE_BYTES;
use crate::control_record::{ControlRecord, ControlRecordError};

/// A batch, read and checked: metadata records, or control records.
#[derive(Clone, Debug, PartialEq)]
pub struct CommittedBatch {
    /// The offset of the first record.
    pub base_offset: i64,
    /// The offset of the last record.
    pub last_offset: i64,
    /// The leader epoch in which it was written.
    pub epoch: i32,
    /// When it was appended, in milliseconds.
    pub append_timestamp_ms: i64,
    /// Its size in the log, in bytes.
    pub size_in_bytes: usize,
    control: Option<Vec<ControlRecord>>,
    // The values one after another, and where each ends.
    values: Vec<u8>,
    ends: Vec<usize>,
}

/// Why a batch cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The batch or a record of it.
    #[error("{0}")]
    Record(#[from] RecordError),
    /// A control record.
    #[error("{0}")]
    Control(#[from] ControlRecordError),
    /// A record is not as records of the metadata log are.
    #[error("{0}")]
    Unexpected(&'static str),
}

impl CommittedBatch {
    /// Reads a batch. Its checksum was looked at by the caller.
    pub(crate) fn read(batch: &RecordBatch<'_>) -> Result<CommittedBatch, BatchError> {
        let records = batch.decompress(MAX_BATCH_SIZE_BYTES)?;
        let mut read = CommittedBatch {
            base_offset: batch.base_offset(),
            last_offset: batch.last_offset(),
            epoch: batch.partition_leader_epoch(),
            append_timestamp_ms: batch.max_timestamp(),
            size_in_bytes: batch.size_in_bytes(),
            control: None,
            values: Vec::new(),
            ends: Vec::new(),
        };
        if batch.is_control() {
            let control = records.iter().map(|record| Ok(ControlRecord::parse(&record?)?));
            read.control = Some(control.collect::<Result<_, BatchError>>()?);
        } else {
            read.values.reserve(records.records_bytes().len());
            for record in records.iter() {
                let record = record?;
                if record.key.is_some() {
                    return Err(BatchError::Unexpected("a record of the metadata log has a key"));
                }
                let value = record
                    .value
                    .ok_or(BatchError::Unexpected("a record of the metadata log has no value"))?;
                read.push(value);
            }
        }
        Ok(read)
    }

    /// The batch that `build_data_batch` made of these records.
    pub(crate) fn of_records(
        base_offset: i64,
        epoch: i32,
        append_timestamp_ms: i64,
        size_in_bytes: usize,
        records: &[Vec<u8>],
    ) -> CommittedBatch {
        let mut batch = CommittedBatch {
            base_offset,
            last_offset: base_offset + records.len() as i64 - 1,
            epoch,
            append_timestamp_ms,
            size_in_bytes,
            control: None,
            values: Vec::with_capacity(records.iter().map(Vec::len).sum()),
            ends: Vec::with_capacity(records.len()),
        };
        records.iter().for_each(|record| batch.push(record));
        batch
    }

    /// The metadata records, framed as `MetadataRecord::read_framed` takes them. A control batch has none.
    pub fn records(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let value = self.values.get(start..end).unwrap_or_default();
            start = end;
            value
        })
    }

    /// Whether it holds control records.
    pub fn is_control(&self) -> bool {
        self.control.is_some()
    }

    /// The control records; a data batch has none.
    pub fn control_records(&self) -> &[ControlRecord] {
        self.control.as_deref().unwrap_or_default()
    }

    fn push(&mut self, value: &[u8]) {
        self.values.extend_from_slice(value);
        self.ends.push(self.values.len());
    }
}

/// Starts a batch of metadata records.
pub(crate) fn data_batch_builder(base_offset: i64, epoch: i32) -> RecordBatchBuilder {
    RecordBatchBuilder::new(base_offset, Compression::None, TimestampType::CreateTime)
        .with_partition_leader_epoch(epoch)
}

/// The batch of these framed metadata records.
pub(crate) fn build_data_batch(
    base_offset: i64,
    epoch: i32,
    timestamp_ms: i64,
    records: &[Vec<u8>],
) -> Result<Vec<u8>, RecordError> {
    let mut builder = data_batch_builder(base_offset, epoch);
    for record in records {
        builder.append(timestamp_ms, None, Some(record), &[])?;
    }
    Ok(builder.build())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control_record::build_control_batch;

    #[test]
    fn a_data_batch_gives_its_records_back() {
        let records = vec![vec![1, 2, 3], vec![], vec![9; 300]];
        let bytes = build_data_batch(70, 4, 1_000, &records).unwrap();
        let batch = CommittedBatch::read(&RecordBatch::parse(&bytes).unwrap()).unwrap();
        assert_eq!(batch, CommittedBatch::of_records(70, 4, 1_000, bytes.len(), &records));
        assert_eq!((batch.base_offset, batch.last_offset, batch.epoch), (70, 72, 4));
        assert_eq!(batch.records().collect::<Vec<_>>(), records);
        assert!(!batch.is_control());
    }

    #[test]
    fn a_control_batch_has_no_metadata_records() {
        let records = [
            ControlRecord::LeaderChange { leader_id: 3, voters: vec![1, 3], granting_voters: vec![3] },
            ControlRecord::SnapshotHeader { last_contained_log_timestamp_ms: 99 },
            ControlRecord::KRaftVersion(1),
            ControlRecord::SnapshotFooter,
        ];
        let bytes = build_control_batch(5, 2, 1_000, &records).unwrap();
        let batch = CommittedBatch::read(&RecordBatch::parse(&bytes).unwrap()).unwrap();
        assert_eq!(batch.control_records(), records);
        assert_eq!((batch.is_control(), batch.records().len(), batch.last_offset), (true, 0, 8));
    }

    #[test]
    fn a_record_with_a_key_or_without_a_value_is_refused() {
        for (key, value) in [(Some([1u8].as_slice()), Some([2u8].as_slice())), (None, None)] {
            let mut builder = data_batch_builder(0, 1);
            builder.append(0, key, value, &[]).unwrap();
            let bytes = builder.build();
            assert!(CommittedBatch::read(&RecordBatch::parse(&bytes).unwrap()).is_err());
        }
    }
}
