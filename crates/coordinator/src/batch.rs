//! The batches that coordinators write.

use protocol::compression::Compression;
use protocol::records::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID, RecordBatchBuilder, TimestampType};

use crate::EncodedRecord;

fn builder(compression: Compression) -> RecordBatchBuilder {
    // Kafka's coordinators leave the base sequence at 0 although there is no producer.
    RecordBatchBuilder::new(0, compression, TimestampType::CreateTime).with_producer(
        NO_PRODUCER_ID,
        NO_PRODUCER_EPOCH,
        0,
    )
}

/// One batch with relative offsets, as Kafka's coordinators build it.
pub(crate) fn build(
    records: &[EncodedRecord],
    compression: Compression,
    now_ms: i64,
) -> Result<Vec<u8>, String> {
    let mut builder = builder(compression);
    for record in records {
        builder
            .append(now_ms, Some(&record.key), record.value.as_deref(), &[])
            .map_err(|error| error.to_string())?;
    }
    Ok(builder.build())
}

/// How many of the records, from the first, fit into a batch of `limit` bytes before compression. At least one, so that
/// the log refuses what never fits.
pub(crate) fn fitting(records: &[EncodedRecord], limit: usize) -> usize {
    // The timestamps are equal, so only the offsets' deltas make the sizes differ from the sum: five bytes at most.
    const PER_RECORD: usize = 5 + 1 + 1 + 5 + 5 + 5 + 1;
    let mut size = builder(Compression::None).size_in_bytes();
    let mut count = 0;
    for record in records {
        size += PER_RECORD + record.key.len() + record.value.as_ref().map_or(0, Vec::len);
        if size > limit {
            break;
        }
        count += 1;
    }
    count.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(count: usize) -> Vec<EncodedRecord> {
        (0..count)
            .map(|index| EncodedRecord { key: vec![index as u8; 10], value: Some(vec![7; 100]) })
            .collect()
    }

    #[test]
    fn what_is_said_to_fit_does() {
        let records = records(200);
        for limit in [100, 300, 1_000, 5_000, 100_000] {
            let count = fitting(&records, limit);
            let size = build(&records[..count], Compression::None, 1_000).unwrap().len();
            assert!(size <= limit || count == 1, "{count} records are {size} bytes, the limit is {limit}");
        }
        assert_eq!(fitting(&records, 100_000), 200);
    }

    #[test]
    fn the_header_is_that_of_kafkas_coordinators() {
        let batch = build(&records(2), Compression::None, 1_000).unwrap();
        let batch = protocol::records::RecordBatch::parse(&batch).unwrap();
        assert_eq!(batch.verify_crc(), Ok(()));
        assert_eq!((batch.base_offset(), batch.last_offset_delta(), batch.base_sequence()), (0, 1, 0));
        assert_eq!((batch.producer_id(), batch.producer_epoch()), (-1, -1));
        assert_eq!((batch.base_timestamp(), batch.max_timestamp()), (1_000, 1_000));
        assert!(!batch.is_transactional() && !batch.is_control());
    }
}
