//! Bytes that claim to be a log's record batches.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::records::{
    Batches, ControlRecordType, EndTxnMarker, Header, RECORD_BATCH_OVERHEAD, RecordBatch, RecordBatchBuilder,
    RecordLimits, patch,
};

const LIMIT: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let mut batches = Batches::new(data);
    let mut read = 0;
    for batch in batches.by_ref() {
        let Ok(batch) = batch else { break };
        read += batch.size_in_bytes();
        one(&batch);
    }
    assert_eq!(read + batches.remaining().len(), data.len());
});

fn one(batch: &RecordBatch<'_>) {
    let _ = (batch.verify_crc(), batch.last_sequence(), batch.next_offset(), format!("{batch:?}"));
    let limits = RecordLimits { max_record_bytes: 1 << 19, max_decompressed_bytes: LIMIT as u64 };
    let summary = batch.validate_records_within(limits);
    let Ok(decompressed) = batch.decompress(LIMIT) else { return };
    assert!(decompressed.records_bytes().len() <= LIMIT || !batch.is_compressed());

    let mut builder = RecordBatchBuilder::like(batch.header()).with_last_offset(batch.last_offset());
    let mut buildable = true;
    let mut count = 0u32;
    let mut max_timestamp = -1;
    let mut faultless = true;
    for record in decompressed.iter() {
        let Ok(record) = record else {
            faultless = false;
            break;
        };
        count += 1;
        max_timestamp = max_timestamp.max(record.timestamp);
        let _ = (ControlRecordType::parse(record.key), EndTxnMarker::parse(&record));
        let headers: Vec<Header<'_>> = record.headers.into_iter().collect();
        assert_eq!(headers.len(), record.headers.len());
        buildable &= builder
            .append_with_offset(record.offset, record.timestamp, record.key, record.value, &headers)
            .is_ok();
    }
    // The walk and the iterator agree on which records are valid (but for the walk's limit of a record's size).
    match summary {
        Ok(summary) => {
            assert!(faultless);
            assert_eq!((summary.count, summary.max_timestamp), (count, max_timestamp));
        }
        Err(_) if !batch.is_compressed() => assert!(!faultless),
        Err(_) => {}
    }
    if faultless && buildable && count > 0 {
        let built = builder.build();
        let built = RecordBatch::parse(&built).expect("what is built is a batch");
        built.verify_crc().expect("what is built has a checksum");
        let again = built.decompress(4 * LIMIT).expect("what is built decompresses");
        let records = |batch: &protocol::records::DecompressedBatch<'_>| -> Vec<_> {
            batch.iter().map(|record| record.map(|r| (r.offset, r.timestamp, r.sequence)).ok()).collect()
        };
        assert_eq!(records(&again), records(&decompressed));
    }

    assert_eq!(patch::without_records(batch.header()).len(), RECORD_BATCH_OVERHEAD);
    let mut copy = batch.as_bytes().to_vec();
    patch::set_last_offset(&mut copy, 1_000).expect("the batch is whole");
    patch::set_producer(&mut copy, 1, 2, 3, true).expect("the batch is whole");
    let copy = RecordBatch::parse(&copy).expect("a patched batch is a batch");
    copy.verify_crc().expect("a patched batch has its checksum");
    assert_eq!((copy.last_offset(), copy.producer_id(), copy.is_transactional()), (1_000, 1, true));
}
