use super::*;
use crate::compression::{Compression, CompressionError};

fn batch(codec: Compression, records: &[(i64, Option<&str>, Option<&str>)]) -> Vec<u8> {
    let mut builder = RecordBatchBuilder::new(100, codec, TimestampType::CreateTime)
        .with_producer(7, 3, i32::MAX - 1)
        .with_partition_leader_epoch(5);
    for (timestamp, key, value) in records {
        let headers = [Header::new("h", Some(b"1")), Header::new("h", None)];
        builder.append(*timestamp, key.map(str::as_bytes), value.map(str::as_bytes), &headers).unwrap();
    }
    builder.build()
}

const THREE: [(i64, Option<&str>, Option<&str>); 3] =
    [(1_000, Some("a"), Some("1")), (900, None, Some("2")), (1_200, Some(""), None)];

#[test]
fn what_is_built_is_read_back() {
    for codec in Compression::ALL {
        let bytes = batch(codec, &THREE);
        let batch = RecordBatch::parse(&bytes).unwrap();
        assert_eq!(batch.size_in_bytes(), bytes.len());
        assert_eq!(batch.compression(), codec);
        assert_eq!((batch.base_offset(), batch.last_offset(), batch.next_offset()), (100, 102, 103));
        assert_eq!((batch.base_timestamp(), batch.max_timestamp()), (1_000, 1_200));
        assert_eq!((batch.producer_id(), batch.producer_epoch()), (7, 3));
        assert_eq!((batch.base_sequence(), batch.last_sequence()), (i32::MAX - 1, 0));
        assert_eq!(batch.partition_leader_epoch(), 5);
        batch.verify_crc().unwrap();

        let decompressed = batch.decompress(10_000).unwrap();
        let records: Vec<_> = decompressed.iter().map(Result::unwrap).collect();
        let places: Vec<_> = records.iter().map(|r| (r.offset, r.timestamp, r.sequence)).collect();
        assert_eq!(places, [(100, 1_000, i32::MAX - 1), (101, 900, i32::MAX), (102, 1_200, 0)]);
        let keys: Vec<_> = records.iter().map(|r| r.key).collect();
        assert_eq!(keys, [Some(&b"a"[..]), None, Some(b"")]);
        let values: Vec<_> = records.iter().map(|r| r.value).collect();
        assert_eq!(values, [Some(&b"1"[..]), Some(b"2"), None]);
        let headers: Vec<_> = records[0].headers.into_iter().collect();
        assert_eq!(headers, [Header::new("h", Some(b"1")), Header::new("h", None)]);

        let summary = batch.validate_records().unwrap();
        assert_eq!(
            summary,
            RecordsSummary {
                count: 3,
                max_timestamp: 1_200,
                index_of_max_timestamp: 2,
                min_timestamp: Some(900),
                first_without_key: Some(1),
                consecutive_offsets: true,
                size_in_bytes: decompressed.records_bytes().len() as u64,
            }
        );
        if codec == Compression::None {
            assert_eq!(batch.iter().count(), 3);
        } else {
            assert_eq!(batch.iter().collect::<Vec<_>>(), [Err(RecordError::Compressed)]);
        }
    }
}

#[test]
fn batches_end_at_a_partial_one() {
    let mut bytes = batch(Compression::None, &THREE);
    let first = bytes.len();
    bytes.extend(batch(Compression::Zstd, &THREE));
    let whole = bytes.len();
    for cut in 0..=whole {
        let mut batches = Batches::new(&bytes[..cut]);
        let count = batches.by_ref().map(Result::unwrap).count();
        let (expected, used) = match cut {
            cut if cut < first => (0, 0),
            cut if cut < whole => (1, first),
            _ => (2, whole),
        };
        assert_eq!((count, batches.remaining().len()), (expected, cut - used));
    }
}

#[test]
fn old_and_impossible_formats_are_named() {
    let mut bytes = batch(Compression::None, &THREE);
    for (magic, error) in [
        (0, RecordError::UnsupportedMagic(0)),
        (1, RecordError::UnsupportedMagic(1)),
        (3, RecordError::InvalidMagic(3)),
        (-1i8 as u8, RecordError::InvalidMagic(-1)),
    ] {
        bytes[16] = magic;
        assert_eq!(RecordBatch::parse(&bytes), Err(error.clone()));
        let mut batches = Batches::new(&bytes);
        assert_eq!(batches.next(), Some(Err(error)));
        assert_eq!(batches.next(), None);
        assert_eq!(batches.remaining().len(), bytes.len());
    }
    bytes[16] = 2;
    bytes[22] = 5;
    assert_eq!(RecordBatch::parse(&bytes), Err(RecordError::UnknownCompression(5)));
    bytes[22] = 0;
    for length in [-1, 0, 13, 14, 48] {
        bytes[8..12].copy_from_slice(&i32::to_be_bytes(length));
        assert_eq!(RecordBatch::parse(&bytes), Err(RecordError::InvalidBatchLength(length)));
    }
}

#[test]
fn any_changed_byte_behind_the_head_breaks_the_checksum() {
    let bytes = batch(Compression::None, &THREE);
    for at in UNCHECKED_HEAD + 1..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        if let Ok(batch) = RecordBatch::parse(&damaged) {
            assert!(matches!(batch.verify_crc(), Err(RecordError::CrcMismatch { .. })), "byte {at}");
        }
    }
}

#[test]
fn offset_and_epoch_are_patched_outside_the_checksum() {
    let mut bytes = batch(Compression::None, &THREE);
    let header = BatchHeader::parse(&bytes).unwrap();
    let head = patch::head(&header, 5_000, 9);
    patch::set_last_offset(&mut bytes, 5_002).unwrap();
    patch::set_partition_leader_epoch(&mut bytes, 9).unwrap();
    assert_eq!(head[..], bytes[..UNCHECKED_HEAD]);
    let batch = RecordBatch::parse(&bytes).unwrap();
    batch.verify_crc().unwrap();
    assert_eq!((batch.base_offset(), batch.last_offset(), batch.partition_leader_epoch()), (5_000, 5_002, 9));
    let offsets: Vec<_> = batch.iter().map(|record| record.unwrap().offset).collect();
    assert_eq!(offsets, [5_000, 5_001, 5_002]);
}

#[test]
fn timestamps_and_producer_are_patched_with_the_checksum() {
    let mut bytes = batch(Compression::Lz4, &THREE);
    assert_eq!(patch::set_max_timestamp(&mut bytes, TimestampType::CreateTime, 1_200), Ok(false));
    assert_eq!(patch::set_max_timestamp(&mut bytes, TimestampType::LogAppendTime, 77), Ok(true));
    patch::set_producer(&mut bytes, 8, 4, 11, true).unwrap();
    let batch = RecordBatch::parse(&bytes).unwrap();
    batch.verify_crc().unwrap();
    assert!(batch.is_transactional());
    assert_eq!(batch.compression(), Compression::Lz4);
    assert_eq!((batch.producer_id(), batch.producer_epoch(), batch.base_sequence()), (8, 4, 11));
    let summary = batch.validate_records().unwrap();
    assert_eq!((summary.max_timestamp, summary.min_timestamp), (77, Some(77)));
    assert!(batch.decompress(1_000).unwrap().iter().all(|record| record.unwrap().timestamp == 77));
}

#[test]
fn short_slices_are_refused_by_the_patches() {
    let whole = batch(Compression::None, &THREE);
    for cut in 0..RECORD_BATCH_OVERHEAD {
        let mut bytes = whole[..cut].to_vec();
        assert!(patch::set_base_offset(&mut bytes, 1).is_err());
        assert!(patch::set_partition_leader_epoch(&mut bytes, 1).is_err());
        assert!(patch::set_max_timestamp(&mut bytes, TimestampType::CreateTime, 1).is_err());
        assert!(patch::set_producer(&mut bytes, 1, 1, 1, false).is_err());
        assert_eq!(bytes, whole[..cut]);
    }
}

#[test]
fn compacted_batches_keep_their_offsets_and_horizon() {
    let original = batch(Compression::None, &THREE);
    let original = RecordBatch::parse(&original).unwrap();
    let mut builder = RecordBatchBuilder::like(original.header())
        .with_delete_horizon_ms(10_000)
        .with_last_offset(original.last_offset());
    let kept = original.iter().nth(1).unwrap().unwrap();
    builder.append_with_offset(kept.offset, kept.timestamp, kept.key, kept.value, &[]).unwrap();
    let bytes = builder.build();
    let batch = RecordBatch::parse(&bytes).unwrap();
    assert_eq!((batch.base_offset(), batch.last_offset(), batch.records_count()), (100, 102, 1));
    assert_eq!((batch.base_sequence(), batch.last_sequence()), (i32::MAX - 1, 0));
    assert_eq!(batch.delete_horizon_ms(), Some(10_000));
    let record = batch.iter().next().unwrap().unwrap();
    assert_eq!((record.offset, record.timestamp, record.sequence), (101, 900, i32::MAX));
    assert!(!batch.validate_records().unwrap().consecutive_offsets);

    let bytes = patch::without_records(original.header());
    let empty = RecordBatch::parse(&bytes).unwrap();
    empty.verify_crc().unwrap();
    assert_eq!((empty.size_in_bytes(), empty.records_count()), (RECORD_BATCH_OVERHEAD, 0));
    assert_eq!((empty.base_offset(), empty.last_offset(), empty.last_sequence()), (100, 102, 0));
    assert_eq!(empty.iter().count(), 0);
    assert_eq!(empty.validate_records().unwrap().count, 0);
}

#[test]
fn records_out_of_place_are_not_appended() {
    let mut builder = RecordBatchBuilder::new(10, Compression::None, TimestampType::CreateTime);
    let before = builder.size_in_bytes();
    for (offset, timestamp) in [(9, 0), (10 + (1i64 << 31), 0), (10, -2)] {
        let result = builder.append_with_offset(offset, timestamp, None, None, &[]);
        assert!(matches!(result, Err(RecordError::CannotAppend(_))));
    }
    assert_eq!((builder.size_in_bytes(), builder.records_count()), (before, 0));
    let after = builder.size_in_bytes_after(5, Some(b"k"), Some(b"v"), &[]);
    assert_eq!(builder.append(5, Some(b"k"), Some(b"v"), &[]), Ok(10));
    assert_eq!(builder.size_in_bytes(), after);
    assert!(builder.append_with_offset(10, 0, None, None, &[]).is_err());
    assert_eq!(builder.append(-1, None, None, &[]), Ok(11));
    assert!(RecordBatchBuilder::new(0, Compression::Gzip, TimestampType::CreateTime).build().is_empty());
}

#[test]
fn sequences_wrap_to_zero() {
    assert_eq!(increment_sequence(i32::MAX, 1), 0);
    assert_eq!(increment_sequence(i32::MAX - 1, 5), 3);
    assert_eq!(increment_sequence(0, i32::MAX), i32::MAX);
    assert_eq!(decrement_sequence(0, 1), i32::MAX);
    assert_eq!(decrement_sequence(3, 5), i32::MAX - 1);
    for sequence in [0, 1, 77, i32::MAX] {
        assert_eq!(decrement_sequence(increment_sequence(sequence, 12), 12), sequence);
    }
}

/// Puts `records` behind a header that announces `count` of them.
fn forged(codec: Compression, count: i32, records: &[u8]) -> Vec<u8> {
    let mut bytes = batch(codec, &THREE);
    bytes.truncate(RECORD_BATCH_OVERHEAD);
    crate::compression::compress(codec, None, records, &mut bytes).unwrap();
    let length = (bytes.len() - LOG_OVERHEAD) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[57..61].copy_from_slice(&count.to_be_bytes());
    bytes
}

#[test]
fn faults_of_records_are_found_by_the_walk_and_by_the_iterator() {
    // size 6, attributes, timestamp delta, offset delta, null key, null value, no headers
    let good: &[u8] = &[12, 0, 0, 0, 1, 1, 0];
    let cases: &[(&str, i32, &[u8], Option<RecordFault>)] = &[
        ("good", 1, good, None),
        ("size beyond the bytes", 1, &[14, 0, 0, 0, 1, 1, 0], Some(RecordFault::Truncated)),
        ("size too small", 1, &[10, 0, 0, 0, 1, 1, 0], Some(RecordFault::Truncated)),
        ("size with room left", 1, &[14, 0, 0, 0, 1, 1, 0, 0], Some(RecordFault::SizeMismatch)),
        ("negative size", 1, &[1, 0, 0, 0, 1, 1, 0], Some(RecordFault::InvalidSize(-1))),
        ("key beyond the record", 1, &[12, 0, 0, 0, 8, 1, 0], Some(RecordFault::Truncated)),
        ("value beyond the record", 1, &[12, 0, 0, 0, 1, 4, 0], Some(RecordFault::Truncated)),
        ("negative header count", 1, &[12, 0, 0, 0, 1, 1, 1], Some(RecordFault::InvalidHeaderCount(-1))),
        ("more headers than bytes", 1, &[12, 0, 0, 0, 1, 1, 4], Some(RecordFault::InvalidHeaderCount(2))),
        ("null header key", 1, &[16, 0, 0, 0, 1, 1, 2, 1, 0], Some(RecordFault::InvalidHeaderKeySize(-1))),
        (
            "overlong varint",
            1,
            &[22, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 1, 1, 0],
            Some(RecordFault::VarintTooLong),
        ),
        ("any negative length is null", 1, &[12, 0, 0, 0, 3, 5, 0], None),
        ("fewer records than announced", 2, good, Some(RecordFault::Truncated)),
    ];
    for (name, count, records, fault) in cases {
        for codec in Compression::ALL {
            let bytes = forged(codec, *count, records);
            let batch = RecordBatch::parse(&bytes).unwrap();
            let index = (*count - 1) as u32;
            let walked = batch.validate_records().map(|_| ());
            let decompressed = batch.decompress(1_000).unwrap();
            let iterated = decompressed.iter().try_for_each(|record| record.map(|_| ()));
            match fault {
                None => assert_eq!((&walked, &iterated), (&Ok(()), &Ok(())), "{name} {codec:?}"),
                Some(fault) => {
                    let error = Err(RecordError::InvalidRecord { index, fault: *fault });
                    assert_eq!(iterated, error, "{name} {codec:?}");
                    assert!(walked.is_err(), "{name} {codec:?}");
                    if codec == Compression::None {
                        assert_eq!(walked, error, "{name}");
                    }
                }
            }
        }
    }
}

#[test]
fn bytes_behind_the_last_record_and_negative_counts_are_refused() {
    let two: &[u8] = &[12, 0, 0, 0, 1, 1, 0, 12, 0, 0, 2, 1, 1, 0];
    for codec in Compression::ALL {
        let bytes = forged(codec, 1, two);
        let batch = RecordBatch::parse(&bytes).unwrap();
        assert_eq!(batch.validate_records(), Err(RecordError::TrailingBytes(1)));
        let last = batch.decompress(100).unwrap().iter().last().unwrap().map(|_| ());
        assert_eq!(last, Err(RecordError::TrailingBytes(1)));

        let bytes = forged(codec, -3, two);
        let batch = RecordBatch::parse(&bytes).unwrap();
        assert_eq!(batch.validate_records(), Err(RecordError::InvalidRecordCount(-3)));
        let first = batch.decompress(100).unwrap().iter().next().unwrap().map(|_| ());
        assert_eq!(first, Err(RecordError::InvalidRecordCount(-3)));
    }
}

#[test]
fn usual_and_unusual_records_are_summed_up_alike() {
    // The walk has a short cut for records that are whole, near, and of short varints: lengths about its limits.
    let lengths = [0usize, 1, 7, 62, 63, 64, 8_191, 8_192, (1 << 20) - 1, 1 << 20];
    let deltas = [0i64, -1, 63, -65, 8_192, -8_193, 1 << 20, -(1 << 20) - 1, 1 << 40];
    for codec in [Compression::None, Compression::Zstd] {
        for (turn, &length) in lengths.iter().enumerate() {
            let mut builder = RecordBatchBuilder::new(0, codec, TimestampType::CreateTime);
            let mut expected = (1 << 41, 0, 1 << 41, None);
            builder.append(1 << 41, Some(b""), None, &[]).unwrap();
            for (index, delta) in (1u32..).zip(deltas) {
                let bytes = vec![7u8; length];
                let timestamp = (1i64 << 41) + delta;
                let key =
                    if (index as usize + turn).is_multiple_of(7) { None } else { Some(&bytes[..length / 2]) };
                let value = if index.is_multiple_of(4) { None } else { Some(&bytes[..]) };
                let headers = [Header::new("h", None)];
                let headers = if index.is_multiple_of(5) { &headers[..] } else { &[] };
                builder.append(timestamp, key, value, headers).unwrap();
                if timestamp > expected.0 {
                    (expected.0, expected.1) = (timestamp, index);
                }
                expected.2 = expected.2.min(timestamp);
                if key.is_none() && expected.3.is_none() {
                    expected.3 = Some(index);
                }
            }
            let bytes = builder.build();
            let batch = RecordBatch::parse(&bytes).unwrap();
            let s = batch.validate_records().unwrap();
            let seen =
                (s.max_timestamp, s.index_of_max_timestamp, s.min_timestamp.unwrap(), s.first_without_key);
            assert_eq!(seen, expected, "{codec:?} {length}");
            let decompressed = batch.decompress(64 << 20).unwrap();
            assert_eq!(s.size_in_bytes, decompressed.records_bytes().len() as u64);
            assert_eq!(s.count, 10);
            assert!(s.consecutive_offsets);
            assert!(decompressed.iter().all(|record| record.is_ok()));
        }
    }
}

#[test]
fn compressed_records_larger_than_the_buffer_are_walked_over() {
    let large = "x".repeat(300_000);
    for codec in Compression::ALL {
        let bytes = batch(codec, &[(1, Some("k"), Some(&large)), (2, Some(&large), None), (3, None, None)]);
        let batch = RecordBatch::parse(&bytes).unwrap();
        let summary = batch.validate_records().unwrap();
        assert_eq!((summary.count, summary.max_timestamp), (3, 3));
        assert_eq!(summary.first_without_key, Some(2));
        if codec == Compression::None {
            continue;
        }
        let limits = RecordLimits { max_record_bytes: 250_000, ..RecordLimits::default() };
        let Err(RecordError::InvalidRecord { index: 0, fault }) = batch.validate_records_within(limits)
        else {
            panic!("{codec:?}: a record of 300,000 bytes was accepted")
        };
        assert!(matches!(fault, RecordFault::TooLarge { limit: 250_000, .. }));
        let limits = RecordLimits { max_decompressed_bytes: 400_000, ..RecordLimits::default() };
        let error = RecordError::Compression(CompressionError::TooLarge { limit: 400_000 });
        assert_eq!(batch.validate_records_within(limits), Err(error));
    }
}

#[test]
fn damaged_compression_is_the_codecs_error() {
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Zstd] {
        let mut bytes = batch(codec, &THREE);
        let at = RECORD_BATCH_OVERHEAD + 1;
        bytes[at..].fill(0xa5);
        let batch = RecordBatch::parse(&bytes).unwrap();
        for result in [batch.validate_records().map(|_| ()), batch.decompress(1_000).map(|_| ())] {
            let Err(RecordError::Compression(CompressionError::Corrupt { codec: named, .. })) = result else {
                panic!("{codec:?}: {result:?}")
            };
            assert_eq!(named, codec);
        }
    }
}

#[test]
fn transaction_markers_come_back() {
    for committed in [true, false] {
        let marker = EndTxnMarker { committed, coordinator_epoch: 12 };
        let bytes = marker.batch(40, 1_000, 3, 9, 2).unwrap();
        let batch = RecordBatch::parse(&bytes).unwrap();
        assert!(batch.is_control() && batch.is_transactional());
        assert_eq!((batch.base_sequence(), batch.last_sequence()), (NO_SEQUENCE, NO_SEQUENCE));
        let record = batch.iter().next().unwrap().unwrap();
        assert_eq!(EndTxnMarker::parse(&record), Ok(Some(marker)));
    }
}

#[test]
fn control_records_of_other_types_and_versions() {
    assert_eq!(ControlRecordType::parse(Some(&[0, 0, 0, 9])), Ok(ControlRecordType::Unknown(9)));
    assert_eq!(ControlRecordType::parse(Some(&[0, 7, 0, 6, 1])), Ok(ControlRecordType::KRaftVoters));
    for key in [None, Some(&[0u8, 0, 0][..]), Some(&[0xff, 0xff, 0, 1])] {
        assert!(matches!(ControlRecordType::parse(key), Err(RecordError::InvalidControlKey(_))));
    }
    for id in -1..=7 {
        let control_type = ControlRecordType::from_id(id);
        assert_eq!(ControlRecordType::parse(Some(&control_type.key())), Ok(control_type));
    }
    let bytes = control::control_batch(
        0,
        5,
        1,
        &[(ControlRecordType::KRaftVersion, b"abc"), (ControlRecordType::KRaftVoters, b"")],
    )
    .unwrap();
    let batch = RecordBatch::parse(&bytes).unwrap();
    assert!(batch.is_control() && !batch.is_transactional());
    let records: Vec<_> = batch.iter().map(Result::unwrap).collect();
    assert_eq!(EndTxnMarker::parse(&records[0]), Ok(None));
    assert_eq!(records[0].value, Some(&b"abc"[..]));
}
