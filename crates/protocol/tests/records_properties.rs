//! Record batches and codecs on generated input: what is written comes back, arbitrary bytes never panic, and never
//! take more memory than the limit allows. A program of its own, as it counts what it allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use protocol::compression::{Compression, compress, decompress};
use protocol::records::{
    Batches, ControlRecordType, EndTxnMarker, Header, RecordBatch, RecordBatchBuilder, RecordLimits,
    TimestampType, crc32c, patch,
};

/// Counts what the thread has allocated, and the most that it had at once.
struct Counting;

thread_local! {
    static NOW: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: forwards to the system's allocator; the counters are not allocated.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.get() + layout.size();
        NOW.set(now);
        MOST.set(MOST.get().max(now));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.set(NOW.get().saturating_sub(layout.size()));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The most bytes that `work` had allocated at once, beyond those before it.
fn most_allocated(work: impl FnOnce()) -> usize {
    let before = NOW.get();
    MOST.set(before);
    work();
    MOST.get().saturating_sub(before)
}

/// What codecs take for themselves: two blocks of lz4, a snappy block of what the input can hold, gzip's window. (zstd's
/// window is C's and not counted.)
const ENGINES: usize = 10 << 20;

#[derive(Debug, Clone)]
struct OwnedRecord {
    offset_gap: i64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

fn bytes(most: usize) -> impl Strategy<Value = Option<Vec<u8>>> {
    option::of(vec(any::<u8>(), 0..most))
}

fn record() -> impl Strategy<Value = OwnedRecord> {
    let timestamp = prop_oneof![Just(-1), 0..i64::MAX, 1_600_000_000_000i64..1_800_000_000_000];
    let gap = prop_oneof![8 => Just(0i64), 1 => 0..100_000i64];
    (gap, timestamp, bytes(40), bytes(300), vec((".{0,12}", bytes(20)), 0..4)).prop_map(
        |(offset_gap, timestamp, key, value, headers)| OwnedRecord {
            offset_gap,
            timestamp,
            key,
            value,
            headers,
        },
    )
}

fn codec() -> impl Strategy<Value = Compression> {
    (0u8..5).prop_map(|id| Compression::from_id(id).unwrap())
}

fn build(codec: Compression, records: &[OwnedRecord]) -> Vec<u8> {
    let mut builder = RecordBatchBuilder::new(1 << 33, codec, TimestampType::CreateTime);
    for record in records {
        let headers: Vec<_> = record.headers.iter().map(|(k, v)| Header::new(k, v.as_deref())).collect();
        let offset = builder.next_offset() + record.offset_gap;
        builder
            .append_with_offset(
                offset,
                record.timestamp,
                record.key.as_deref(),
                record.value.as_deref(),
                &headers,
            )
            .unwrap();
    }
    builder.build()
}

/// Everything that can be asked of bytes that claim to be batches. Answers are not looked at.
fn read_everything(bytes: &[u8], limit: usize) {
    let mut batches = Batches::new(bytes);
    for batch in batches.by_ref().flatten() {
        let _ = batch.verify_crc();
        let _ = (batch.last_sequence(), batch.next_offset(), batch.delete_horizon_ms(), format!("{batch:?}"));
        let limits = RecordLimits { max_record_bytes: 1 << 20, max_decompressed_bytes: limit as u64 };
        let summary = batch.validate_records_within(limits);
        if let Ok(decompressed) = batch.decompress(limit) {
            let mut read = 0;
            for record in decompressed.iter() {
                let Ok(record) = record else { break };
                read += 1;
                assert_eq!(record.headers.iter().count(), record.headers.len());
                let _ = ControlRecordType::parse(record.key);
                let _ = EndTxnMarker::parse(&record);
            }
            if let Ok(summary) = summary {
                assert_eq!(summary.count, read, "the walk accepts what the iterator does not");
            }
        }
        assert_eq!(patch::without_records(batch.header()).len(), 61);
        let mut copy = batch.as_bytes().to_vec();
        patch::set_max_timestamp(&mut copy, TimestampType::LogAppendTime, 7).unwrap();
        assert!(RecordBatch::parse(&copy).unwrap().timestamp_type() == TimestampType::LogAppendTime);
    }
    assert!(batches.remaining().len() <= bytes.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_come_back(codec in codec(), records in vec(record(), 1..30)) {
        let bytes = build(codec, &records);
        let batch = RecordBatch::parse(&bytes).unwrap();
        batch.verify_crc().unwrap();
        let decompressed = batch.decompress(1 << 20).unwrap();
        let mut offset = 1 << 33;
        let mut seen = decompressed.iter();
        for record in &records {
            let read = seen.next().unwrap().unwrap();
            offset += record.offset_gap;
            prop_assert_eq!(read.offset, offset);
            offset += 1;
            prop_assert_eq!(read.timestamp, record.timestamp);
            prop_assert_eq!(read.key, record.key.as_deref());
            prop_assert_eq!(read.value, record.value.as_deref());
            let headers: Vec<_> = read.headers.into_iter().collect();
            let expected: Vec<_> = record.headers.iter().map(|(k, v)| Header::new(k, v.as_deref())).collect();
            prop_assert_eq!(headers, expected);
        }
        prop_assert!(seen.next().is_none());
        let summary = batch.validate_records().unwrap();
        prop_assert_eq!(summary.count as usize, records.len());
        prop_assert_eq!(summary.max_timestamp, batch.max_timestamp());
        prop_assert_eq!(summary.size_in_bytes, decompressed.records_bytes().len() as u64);
        prop_assert_eq!(summary.consecutive_offsets, records.iter().all(|record| record.offset_gap == 0));
        let with_time = records.iter().map(|record| record.timestamp).filter(|timestamp| *timestamp != -1);
        prop_assert_eq!(summary.min_timestamp, with_time.min());
    }

    #[test]
    fn damaged_batches_are_survived(
        codec in codec(),
        records in vec(record(), 1..10),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = build(codec, &records);
        for (at, byte) in damage {
            // The magic stays, or there is little to see.
            let at = at.index(bytes.len());
            if at != 16 { bytes[at] = byte; }
        }
        if let Some(cut) = cut { bytes.truncate(cut.index(bytes.len())); }
        let most = most_allocated(|| read_everything(&bytes, 100_000));
        prop_assert!(most < ENGINES, "{} bytes", most);
    }

    #[test]
    fn arbitrary_records_behind_a_good_header_are_survived(
        codec in codec(),
        count in prop_oneof![0..5i32, any::<i32>()],
        compressed in any::<bool>(),
        records in vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = build(codec, &[OwnedRecord {
            offset_gap: 0, timestamp: 0, key: None, value: None, headers: Vec::new(),
        }]);
        bytes.truncate(61);
        if compressed {
            compress(codec, None, &records, &mut bytes).unwrap();
        } else {
            bytes.extend(&records);
        }
        let length = (bytes.len() - 12) as i32;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        let crc = crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        let most = most_allocated(|| read_everything(&bytes, 100_000));
        prop_assert!(most < ENGINES, "{} bytes", most);
    }

    #[test]
    fn arbitrary_bytes_are_survived(bytes in vec(any::<u8>(), 0..300), codec in codec(), limit in 0..2_000usize) {
        read_everything(&bytes, limit);
        let most = most_allocated(|| {
            if let Ok(out) = decompress(codec, &bytes, limit) {
                assert!(out.len() <= limit);
            }
        });
        prop_assert!(most < ENGINES, "{} bytes", most);
    }

    #[test]
    fn codecs_give_back_what_they_took(codec in codec(), level in any::<i8>(), seed in vec(any::<u8>(), 0..50), times in 1..2_000usize) {
        let input = seed.repeat(times);
        let mut out = Vec::new();
        compress(codec, Some(i32::from(level)), &input, &mut out).unwrap();
        prop_assert_eq!(decompress(codec, &out, input.len()), Ok(input.clone()));
        if let Some(less) = input.len().checked_sub(1) {
            prop_assert!(decompress(codec, &out, less).is_err());
        }
    }
}

#[test]
fn a_compressed_bomb_costs_no_memory_when_validated_and_the_limit_when_decompressed() {
    let large = vec![0u8; 64 << 20];
    for codec in Compression::ALL.into_iter().filter(|codec| *codec != Compression::None) {
        let mut builder = RecordBatchBuilder::new(0, codec, TimestampType::CreateTime);
        builder.append(0, None, Some(&large), &[]).unwrap();
        let bytes = builder.build();
        let batch = RecordBatch::parse(&bytes).unwrap();
        let most = most_allocated(|| assert_eq!(batch.validate_records().unwrap().count, 1));
        assert!(most < 1 << 20, "{codec:?}: {most} bytes");
        let most = most_allocated(|| assert!(batch.decompress(1 << 20).is_err()));
        assert!(most < 4 << 20, "{codec:?}: {most} bytes");
    }
}
