//! How what the controller decides goes into the metadata log: framed, in batches that the log takes.

use metadata::VersionedRecord;
use protocol::Writer;

use crate::metadata_node::MetadataNodeError;

/// Records in one batch, where they need not be one.
const RECORDS_PER_BATCH: usize = 1000;
/// What a record takes in a batch beside itself, at most: length, attributes, timestamp, offset, key, headers.
const RECORD_OVERHEAD: usize = 32;

/// Records as they go into the log, in the batches that they go in: one where it `is_atomic`.
///
/// Errors: a record that cannot be written; more than a batch may hold.
pub(crate) fn batches(
    records: &[VersionedRecord],
    is_atomic: bool,
    max_bytes: usize,
) -> Result<Vec<Vec<Vec<u8>>>, MetadataNodeError> {
    let mut batches: Vec<Vec<Vec<u8>>> = Vec::new();
    let mut bytes = 0;
    for (record, version) in records {
        let mut writer = Writer::new();
        record.write_framed(&mut writer, *version).map_err(MetadataNodeError::WriteRecord)?;
        let framed = writer.into_bytes();
        let size = framed.len() + RECORD_OVERHEAD;
        let is_full =
            |batch: &Vec<_>| bytes + size > max_bytes || (!is_atomic && batch.len() >= RECORDS_PER_BATCH);
        match batches.last_mut().filter(|batch| !is_full(batch)) {
            Some(batch) => {
                bytes += size;
                batch.push(framed);
            }
            None => {
                bytes = size;
                batches.push(vec![framed]);
            }
        }
        if bytes > max_bytes || (is_atomic && batches.len() > 1) {
            return Err(MetadataNodeError::TooManyRecords { records: records.len(), max_bytes });
        }
    }
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use protocol::messages::ConfigRecord;

    use super::*;

    const MAX: usize = 10_000;

    fn record(bytes: usize) -> VersionedRecord {
        let value = Some("x".repeat(bytes));
        (ConfigRecord { resource_type: 2, value, ..ConfigRecord::default() }.into(), 0)
    }

    fn sizes(records: &[VersionedRecord], is_atomic: bool) -> Option<Vec<usize>> {
        let batches = batches(records, is_atomic, MAX).ok()?;
        for batch in &batches {
            assert!(batch.iter().map(|framed| framed.len() + RECORD_OVERHEAD).sum::<usize>() <= MAX);
        }
        Some(batches.iter().map(Vec::len).collect())
    }

    #[test]
    fn what_may_be_split_is_split_by_count_and_by_size() {
        assert_eq!(sizes(&[], false), Some(vec![]));
        assert_eq!(sizes(&vec![record(0); 2], false), Some(vec![2]));
        assert_eq!(sizes(&[record(6_000), record(3_000), record(6_000)], false), Some(vec![2, 1]));
        let many = batches(&vec![record(0); 2_500], false, 1 << 20).map(|batches| batches.len());
        assert_eq!(many.ok(), Some(3));
    }

    #[test]
    fn what_belongs_together_is_one_batch_or_refused() {
        assert_eq!(sizes(&[record(6_000), record(3_000)], true), Some(vec![2]));
        assert_eq!(sizes(&[record(6_000), record(3_000), record(6_000)], true), None);
        let many = batches(&vec![record(0); 2_500], true, 1 << 20).map(|batches| batches.len());
        assert_eq!(many.ok(), Some(1));
    }

    #[test]
    fn a_record_that_no_batch_holds_is_refused() {
        assert_eq!(sizes(&[record(10), record(MAX)], false), None);
    }
}
