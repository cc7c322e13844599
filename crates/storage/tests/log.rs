//! What a log does, seen from outside.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::common::{ErrorCode, TopicPartition};
use common::{
    NOW_MS, append, batch, idempotent, names, open, partition, served, small_config, transactional,
};
use protocol::compression::Compression;
use protocol::records::{Batches, EndTxnMarker, RecordBatch, RecordBatchBuilder, TimestampType, patch};
use storage::{
    AppendError, AppendOrigin, BrokerCompression, Log, LogConfig, LogManager, LogManagerConfig, OpenOptions,
    ReadError, timestamps,
};

fn open_manager(dir: &Path) -> LogManager {
    let logs = LogManager::open(LogManagerConfig {
        log_dirs: vec![dir.to_owned()],
        cluster_id: Some("cluster".to_owned()),
        node_id: 1,
        num_recovery_threads_per_data_dir: 1,
        default_config: Arc::default(),
        producer_id_expiration_ms: 86_400_000,
    })
    .unwrap();
    logs.load(&|_| Some(Arc::default()), &|_, _| false, NOW_MS).unwrap();
    logs
}

fn refuse(log: &Log, records: &[u8]) -> AppendError {
    let (end, size) = (log.log_end_offset(), log.size());
    let error = log.append_as_leader(records, 0, AppendOrigin::Client, NOW_MS).unwrap_err();
    assert_eq!((log.log_end_offset(), log.size()), (end, size), "{error}");
    error
}

fn read(log: &Log, offset: i64, max_bytes: usize, max_offset: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    log.read(offset, max_bytes, max_offset, true).unwrap().records.read_into(&mut bytes).unwrap();
    bytes
}

#[test]
fn offsets_and_epoch_are_assigned_in_the_file_only() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), LogConfig::default());
    let sent = batch(3, 10, NOW_MS);
    for epoch in [4, 4, 7] {
        let info = log.append_as_leader(&sent, epoch, AppendOrigin::Client, NOW_MS).unwrap();
        assert_eq!(info.last_offset - info.first_offset, 2);
        assert_eq!((info.last_leader_epoch, info.valid_bytes, info.log_append_time), (epoch, sent.len(), -1));
        assert_eq!(info.log_end_offset, log.log_end_offset());
    }
    let bytes = read(&log, 0, 1 << 20, 9);
    let batches: Vec<_> = Batches::new(&bytes).map(Result::unwrap).collect();
    assert_eq!(batches.iter().map(|batch| batch.base_offset()).collect::<Vec<_>>(), [0, 3, 6]);
    assert_eq!(batches.iter().map(|batch| batch.partition_leader_epoch()).collect::<Vec<_>>(), [4, 4, 7]);
    assert_eq!(batches[0].as_bytes()[16..], sent[16..]);
    assert_eq!(log.latest_epoch(), Some(7));
    assert_eq!(log.end_offset_for_epoch(4).map(|end| (end.epoch, end.offset)), Some((4, 6)));
}

#[test]
fn reads_keep_to_their_limits() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), small_config());
    for _ in 0..40 {
        append(&log, &batch(2, 20, NOW_MS));
    }
    let size = batch(2, 20, NOW_MS).len();
    for offset in 0..80 {
        for max_offset in [offset, offset + 1, offset + 7, 80, 1000] {
            let found = log.read(offset, 3 * size + 10, max_offset, true).unwrap();
            let mut bytes = Vec::new();
            found.records.read_into(&mut bytes).unwrap();
            assert!(bytes.len() <= 3 * size + 10);
            // Whole batches below the limit only: the limit's own batch is not served, even if it begins before it.
            let limit = if max_offset >= 80 { 80 } else { max_offset / 2 * 2 };
            let first = offset / 2 * 2;
            let mut next = first;
            for batch in Batches::new(&bytes) {
                let batch = batch.unwrap();
                assert_eq!(batch.base_offset(), next);
                next = batch.next_offset();
            }
            assert!(next <= limit.max(first));
            assert_eq!(bytes.is_empty(), limit <= first, "{offset} {max_offset}");
        }
        // One byte is asked for, and no message must come whole.
        let found = log.read(offset, 1, 80, false).unwrap();
        assert_eq!((found.records.len(), found.first_entry_incomplete), (1, true));
    }
    assert!(log.read(80, 10, 80, true).unwrap().records.is_empty());
    assert!(log.read(80, 10, 1000, true).unwrap().records.is_empty());
    assert!(matches!(log.read(81, 10, 80, true), Err(ReadError::OffsetOutOfRange(_))));
    log.update_high_watermark(80);
    log.maybe_increment_log_start_offset(9).unwrap();
    assert_eq!(log.read(8, 10, 80, true).unwrap_err().error_code(), ErrorCode::OffsetOutOfRange);
}

#[test]
fn what_a_batch_lies_about_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), LogConfig { max_message_size: 300, ..LogConfig::default() });
    let good = batch(2, 10, NOW_MS);
    let with = |at: usize, bytes: &[u8]| {
        let mut lie = good.clone();
        lie[at..at + bytes.len()].copy_from_slice(bytes);
        let crc = protocol::records::crc32c(&lie[21..]);
        lie[17..21].copy_from_slice(&crc.to_be_bytes());
        lie
    };
    let mut corrupt = good.clone();
    *corrupt.last_mut().unwrap() ^= 1;
    let cases: Vec<(Vec<u8>, ErrorCode)> = vec![
        (corrupt, ErrorCode::CorruptMessage),
        (with(8, &(-1_i32).to_be_bytes()), ErrorCode::CorruptMessage),
        (with(8, &10_i32.to_be_bytes()), ErrorCode::CorruptMessage),
        (with(16, &[3]), ErrorCode::CorruptMessage),
        (with(16, &[1]), ErrorCode::InvalidRecord),
        (with(0, &5_i64.to_be_bytes()), ErrorCode::InvalidRecord),
        (with(57, &3_i32.to_be_bytes()), ErrorCode::InvalidRecord),
        (with(57, &0_i32.to_be_bytes()), ErrorCode::InvalidRecord),
        (with(57, &(-7_i32).to_be_bytes()), ErrorCode::InvalidRecord),
        (with(23, &(-1_i32).to_be_bytes()), ErrorCode::InvalidRecord),
        (with(23, &7_i32.to_be_bytes()), ErrorCode::InvalidRecord),
        // Claims a codec that its bytes are not in, and one that does not exist.
        (with(21, &1_i16.to_be_bytes()), ErrorCode::InvalidRecord),
        (with(21, &7_i16.to_be_bytes()), ErrorCode::InvalidRecord),
        (with(21, &0x20_i16.to_be_bytes()), ErrorCode::InvalidRecord),
        (idempotent(1, (5, 0, -1)), ErrorCode::InvalidRecord),
        ([good.clone(), good.clone()].concat(), ErrorCode::InvalidRecord),
        (batch(1, 400, NOW_MS), ErrorCode::MessageTooLarge),
    ];
    for (index, (records, code)) in cases.into_iter().enumerate() {
        let error = refuse(&log, &records);
        assert_eq!(error.error_code(), code, "case {index}: {error}");
        assert!(error.to_string().contains("topic-0") || code == ErrorCode::InvalidRecord, "{error}");
    }
    // Nothing, and a batch that is not whole, append nothing.
    for records in [&good[..0], &good[..5], &good[..good.len() - 1]] {
        assert_eq!(append(&log, records).first_offset, -1);
    }
    append(&log, &good);
}

#[test]
fn a_small_batch_that_grows_without_end_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), LogConfig::default());
    let mut builder = RecordBatchBuilder::new(0, Compression::Gzip, TimestampType::CreateTime);
    builder.append(NOW_MS, Some(b"k"), Some(&vec![0; 50 << 20]), &[]).unwrap();
    let bomb = builder.build();
    assert!(bomb.len() < 100_000);
    // It is what it says, and may be appended: nobody had to hold it decompressed.
    append(&log, &bomb);
    // In another codec it would have to be written anew, but is too large then.
    let other = BrokerCompression::Codec { codec: Compression::None, level: None };
    log.update_config(Arc::new(LogConfig { compression: other, ..LogConfig::default() }));
    assert_eq!(refuse(&log, &bomb).error_code(), ErrorCode::MessageTooLarge);
}

#[test]
fn a_batch_of_which_much_comes_out_is_looked_at_beside_others() {
    let dir = tempfile::tempdir().unwrap();
    let logs = open_manager(dir.path());
    let handed_over = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&handed_over);
    // So many threads serve connections that none of them is ever the last.
    logs.disk_watch().serve_with(
        1000,
        Box::new(move |work| {
            count.fetch_add(1, Ordering::SeqCst);
            work();
        }),
    );
    let topic = TopicPartition::new("topic", 0);
    let log = logs.create_log(&topic, None, Arc::default(), NOW_MS).unwrap();
    let of = |codec, records: usize, size: usize| {
        let mut builder = RecordBatchBuilder::new(0, codec, TimestampType::CreateTime);
        let value: Vec<u8> = (0..size).map(|byte| byte as u8).collect();
        for _ in 0..records {
            builder.append(NOW_MS, Some(b"k"), Some(&value), &[]).unwrap();
        }
        builder.build()
    };
    let zstd = BrokerCompression::Codec { codec: Compression::Zstd, level: None };
    let rewriting = LogConfig { compression: zstd, ..LogConfig::default() };
    let cases = [
        (LogConfig::default(), of(Compression::None, 10, 80_000), 0),
        (LogConfig::default(), of(Compression::Lz4, 100, 1_000), 0),
        (LogConfig::default(), of(Compression::Gzip, 10_000, 1_000), 1),
        (LogConfig::default(), of(Compression::Zstd, 1, 8 << 20), 1),
        (rewriting.clone(), of(Compression::Lz4, 100, 1_000), 0),
        (rewriting.clone(), of(Compression::Lz4, 1_000, 1_000), 1),
        (rewriting, of(Compression::None, 100, 1_000), 1),
    ];
    for (index, (config, records, expected)) in cases.into_iter().enumerate() {
        log.update_config(Arc::new(config));
        handed_over.store(0, Ordering::SeqCst);
        append(&log, &records);
        assert_eq!(handed_over.load(Ordering::SeqCst), expected, "case {index}, {} bytes", records.len());
    }
}

#[test]
fn timestamps_and_keys_are_asked_for_by_the_topics_rules() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        compact: true,
        message_timestamp_before_max_ms: 1000,
        message_timestamp_after_max_ms: 2000,
        ..LogConfig::default()
    };
    let log = open(dir.path(), config);
    append(&log, &batch(3, 5, NOW_MS - 1000));
    append(&log, &batch(3, 5, NOW_MS + 1998));
    append(&log, &batch(1, 5, -1));
    let error = refuse(&log, &batch(3, 5, NOW_MS + 1999));
    assert_eq!(error.error_code(), ErrorCode::InvalidTimestamp);
    assert_eq!(error.record_errors().iter().map(|error| error.batch_index).collect::<Vec<_>>(), [2]);
    assert_eq!(refuse(&log, &batch(3, 5, NOW_MS - 1002)).record_errors().len(), 2);
    let mut builder = RecordBatchBuilder::new(0, Compression::Zstd, TimestampType::CreateTime);
    builder.append(NOW_MS, Some(b"k"), None, &[]).unwrap();
    builder.append(NOW_MS, None, Some(b"v"), &[]).unwrap();
    let error = refuse(&log, &builder.build());
    assert_eq!(error.error_code(), ErrorCode::InvalidRecord);
    assert_eq!(
        error.to_string(),
        "One or more records have been rejected due to 1 record errors in total, and only showing the first three errors at most: \
         [RecordError(batchIndex=1, message='Compacted topic cannot accept message without key in topic partition topic-0')]"
    );
}

#[test]
fn compression_type_changes_the_codec_and_nothing_else() {
    for target in Compression::ALL {
        let dir = tempfile::tempdir().unwrap();
        let compression = BrokerCompression::Codec { codec: target, level: None };
        let log = open(dir.path(), LogConfig { compression, ..LogConfig::default() });
        for source in Compression::ALL {
            let mut builder = RecordBatchBuilder::new(0, source, TimestampType::CreateTime).with_producer(
                9,
                0,
                source.id().into(),
            );
            let header = protocol::records::Header::new("h", Some(b"x"));
            builder.append(NOW_MS, Some(b"key"), Some(&[7; 500]), &[header, header]).unwrap();
            let sent = builder.build();
            let info = append(&log, &sent);
            let bytes = read(&log, info.first_offset, 1 << 20, info.last_offset + 1);
            let kept = RecordBatch::parse(&bytes).unwrap();
            kept.verify_crc().unwrap();
            assert_eq!(
                (kept.compression(), kept.producer_id(), kept.base_sequence()),
                (target, 9, source.id().into())
            );
            let decompressed = kept.decompress(1 << 20).unwrap();
            let record = decompressed.iter().next().unwrap().unwrap();
            assert_eq!(
                (record.key, record.value, record.timestamp),
                (Some(&b"key"[..]), Some(&[7; 500][..]), NOW_MS)
            );
            assert_eq!(record.headers.len(), 2);
            if source == target {
                assert_eq!(kept.as_bytes()[16..], sent[16..]);
            }
        }
    }
}

#[test]
fn log_append_time_is_the_brokers() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { message_timestamp_type: TimestampType::LogAppendTime, ..LogConfig::default() };
    let log = open(dir.path(), config);
    let info = append(&log, &batch(2, 5, 17));
    assert_eq!((info.log_append_time, info.max_timestamp), (NOW_MS, NOW_MS));
    let bytes = read(&log, 0, 1 << 20, 2);
    let kept = RecordBatch::parse(&bytes).unwrap();
    kept.verify_crc().unwrap();
    assert_eq!((kept.timestamp_type(), kept.max_timestamp()), (TimestampType::LogAppendTime, NOW_MS));
    assert!(kept.iter().all(|record| record.unwrap().timestamp == NOW_MS));
    // A producer that sets that type itself is refused.
    let mut own = batch(1, 5, NOW_MS);
    patch::set_max_timestamp(&mut own, TimestampType::LogAppendTime, NOW_MS).unwrap();
    assert_eq!(refuse(&log, &own).error_code(), ErrorCode::InvalidTimestamp);
}

#[test]
fn a_wrong_largest_timestamp_is_put_right() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), LogConfig::default());
    let mut lie = batch(2, 5, NOW_MS);
    patch::set_max_timestamp(&mut lie, TimestampType::CreateTime, NOW_MS + 100).unwrap();
    assert_eq!(append(&log, &lie).max_timestamp, NOW_MS + 1);
    let bytes = read(&log, 0, 1 << 20, 2);
    let kept = RecordBatch::parse(&bytes).unwrap();
    kept.verify_crc().unwrap();
    assert_eq!(kept.max_timestamp(), NOW_MS + 1);
}

#[test]
fn idempotent_batches_are_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), small_config());
    let first = append(&log, &idempotent(3, (7, 0, 0)));
    append(&log, &batch(1, 5, NOW_MS));
    append(&log, &idempotent(2, (7, 0, 3)));
    let again = append(&log, &idempotent(3, (7, 0, 0)));
    assert!(again.duplicate);
    assert_eq!((again.first_offset, again.last_offset), (first.first_offset, first.last_offset));
    assert_eq!(log.log_end_offset(), 6);
    assert_eq!(refuse(&log, &idempotent(1, (7, 0, 9))).error_code(), ErrorCode::OutOfOrderSequenceNumber);
    append(&log, &idempotent(1, (7, 1, 0)));
    assert_eq!(refuse(&log, &idempotent(1, (7, 0, 5))).error_code(), ErrorCode::InvalidProducerEpoch);
    log.close().unwrap();
    // A clean stop keeps the last batch only; its repetition is still known.
    let log = open(dir.path(), small_config());
    assert!(append(&log, &idempotent(1, (7, 1, 0))).duplicate);
    append(&log, &idempotent(1, (7, 1, 1)));
    assert_eq!(log.active_producers().len(), 1);
    log.remove_expired_producers(NOW_MS + 86_400_000);
    assert!(log.active_producers().is_empty());
    append(&log, &idempotent(1, (7, 1, 50)));
}

fn end_transaction(log: &Log, producer: (i64, i16), committed: bool) -> i64 {
    let marker = EndTxnMarker { committed, coordinator_epoch: 1 };
    let records = marker.batch(0, NOW_MS, -1, producer.0, producer.1).unwrap();
    log.append_as_leader_with(&records, 0, AppendOrigin::Coordinator, 0, NOW_MS).unwrap().first_offset
}

#[test]
fn readers_of_committed_records_wait_and_skip() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), small_config());
    append(&log, &batch(1, 5, NOW_MS));
    append(&log, &transactional(2, (1, 0, 0)));
    append(&log, &transactional(2, (2, 0, 0)));
    log.update_high_watermark(5);
    assert_eq!(log.last_stable_offset(), 1);
    let aborted = end_transaction(&log, (1, 0), false);
    assert_eq!(aborted, 5);
    assert_eq!(log.last_stable_offset(), 1);
    assert_eq!(log.maybe_increment_high_watermark(6), Some(5));
    assert_eq!(log.last_stable_offset(), 3);
    let fetched = log.read(0, 1 << 20, log.last_stable_offset(), true).unwrap();
    let skipped = log.aborted_transactions(0, &fetched).unwrap();
    assert_eq!(skipped.len(), 1);
    assert_eq!((skipped[0].producer_id, skipped[0].first_offset, skipped[0].last_offset), (1, 1, 5));
    end_transaction(&log, (2, 0), true);
    log.update_high_watermark(7);
    assert_eq!((log.last_stable_offset(), log.first_unstable_offset()), (7, None));
    assert!(log.aborted_transactions(6, &log.read(6, 100, 7, true).unwrap()).unwrap().is_empty());
    assert!(names(dir.path()).contains(&"00000000000000000000.txnindex".to_owned()));
    // Clients write no markers.
    let marker = EndTxnMarker { committed: true, coordinator_epoch: 1 }.batch(0, NOW_MS, -1, 1, 0).unwrap();
    assert_eq!(refuse(&log, &marker).error_code(), ErrorCode::InvalidRecord);
    log.close().unwrap();
    let log = open(dir.path(), small_config());
    assert_eq!(log.collect_aborted_transactions(0, 7).unwrap(), skipped);
}

#[test]
fn segments_roll_by_size_time_and_index() {
    let dir = tempfile::tempdir().unwrap();
    let size = batch(1, 50, NOW_MS).len();
    let config = LogConfig { segment_size: (3 * size) as i32, segment_ms: 1000, ..LogConfig::default() };
    let log = open(dir.path(), config.clone());
    for n in 0..7 {
        let info = append(&log, &batch(1, 50, NOW_MS));
        assert_eq!(info.rolled, n == 3 || n == 6, "{n}");
    }
    assert_eq!(log.segment_base_offsets(), [0, 3, 6]);
    assert!(!append(&log, &batch(1, 50, NOW_MS + 1000)).rolled);
    assert!(append(&log, &batch(1, 50, NOW_MS + 1001)).rolled);
    // A segment without timestamps rolls by the clock.
    assert!(append(&log, &batch(1, 50, NOW_MS + 5000)).rolled);
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let log = open(dirs[0].path(), config);
    append(&log, &batch(1, 5, -1));
    let later = log.append_as_leader(&batch(1, 5, -1), 0, AppendOrigin::Client, NOW_MS + 1001).unwrap();
    assert!(later.rolled);
    // Two entries fill an index of 24 bytes, of which the time index keeps one.
    let config = LogConfig { max_index_size: 24, index_interval: 0, ..LogConfig::default() };
    let log = open(dirs[1].path(), config);
    for n in 0..6 {
        append(&log, &batch(1, 5, NOW_MS + n));
    }
    assert!(log.segment_count() > 1);
    assert_eq!(served(&log).len(), 6);
    let too_large = LogConfig { segment_size: 100, ..LogConfig::default() };
    let log = open(dirs[2].path(), too_large);
    assert_eq!(refuse(&log, &batch(1, 100, NOW_MS)).error_code(), ErrorCode::RecordListTooLarge);
}

#[test]
fn offsets_that_do_not_fit_a_segment_go_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), LogConfig::default());
    let far = |offset: i64| {
        let mut records = batch(1, 5, NOW_MS);
        patch::set_base_offset(&mut records, offset).unwrap();
        patch::set_partition_leader_epoch(&mut records, 0).unwrap();
        log.append_as_follower(&records, 0, NOW_MS)
    };
    far(0).unwrap();
    far(i64::from(i32::MAX)).unwrap();
    assert_eq!(log.segment_count(), 1);
    assert!(far(i64::from(i32::MAX) + 1).unwrap().rolled);
    assert_eq!(log.segment_base_offsets(), [0, i64::from(i32::MAX) + 1]);
    // The gap is read over.
    assert_eq!(log.read(1, 1000, i64::MAX, true).unwrap().start.message_offset, i64::from(i32::MAX));
    assert_eq!(far(7).unwrap_err().error_code(), ErrorCode::UnknownServerError);
}

#[test]
fn followers_take_what_the_leader_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let leader = open(dir.path(), small_config());
    for n in 0..20 {
        leader.append_as_leader(&batch(2, 30, NOW_MS), n / 5, AppendOrigin::Client, NOW_MS).unwrap();
    }
    let follower_dir = tempfile::tempdir().unwrap();
    let follower = open(follower_dir.path(), small_config());
    while follower.log_end_offset() < 30 {
        let bytes = read(&leader, follower.log_end_offset(), 500, i64::MAX);
        follower.append_as_follower(&bytes, 2, NOW_MS).unwrap();
    }
    // Batches of an epoch that the leader of epoch 2 cannot have are left out.
    let bytes = read(&leader, 30, 500, i64::MAX);
    assert_eq!(follower.append_as_follower(&bytes, 2, NOW_MS).unwrap().valid_bytes, 0);
    assert_eq!(follower.log_end_offset(), 30);
    assert_eq!(follower.epoch_entries(), leader.epoch_entries()[..3]);
    assert_eq!(served(&follower), served(&leader)[..15]);
}

#[test]
fn the_quorums_leader_brings_its_offsets() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), LogConfig::default());
    let records = |base_offset, epoch| {
        let mut builder = RecordBatchBuilder::new(base_offset, Compression::None, TimestampType::CreateTime)
            .with_partition_leader_epoch(epoch);
        builder.append(NOW_MS, None, Some(b"record"), &[]).unwrap();
        builder.build()
    };
    let two = [records(0, 3), records(1, 3)].concat();
    let info = log.append_as_leader(&two, 3, AppendOrigin::RaftLeader, NOW_MS).unwrap();
    assert_eq!((info.first_offset, info.last_offset), (0, 1));
    let wrong_epoch = log.append_as_leader(&records(2, 3), 4, AppendOrigin::RaftLeader, NOW_MS).unwrap_err();
    assert_eq!(wrong_epoch.error_code(), ErrorCode::InvalidRecord);
    assert!(log.append_as_leader(&records(1, 3), 3, AppendOrigin::RaftLeader, NOW_MS).is_err());
    // A snapshot at 10 replaces the log.
    log.truncate_fully_and_start_at(10, NOW_MS).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset(), log.high_watermark()), (10, 10, 10));
    log.append_as_leader(&records(10, 5), 5, AppendOrigin::RaftLeader, NOW_MS).unwrap();
    assert_eq!(served(&log), [(10, 10)]);
}

#[test]
fn truncation_takes_whole_batches_back() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), small_config());
    for n in 0..30 {
        log.append_as_leader(&idempotent(2, (7, 0, 2 * n)), n / 10, AppendOrigin::Client, NOW_MS).unwrap();
    }
    log.update_high_watermark(60);
    assert!(!log.truncate_to(60, NOW_MS).unwrap());
    for offset in [59, 57, 40, 24, 23, 2] {
        assert!(log.truncate_to(offset, NOW_MS).unwrap());
        assert_eq!((log.log_end_offset(), log.high_watermark()), (offset, offset));
        let whole = served_until(&log, offset / 2 * 2);
        assert_eq!(whole.len() as i64, offset / 2, "{offset}");
        let last = log.active_producers()[0].last_sequence();
        assert_eq!(i64::from(last), offset / 2 * 2 - 1);
        assert!(log.latest_epoch().unwrap() <= (offset as i32 - 1) / 20);
    }
    append(&log, &idempotent(1, (7, 0, 2)));
    assert_eq!(served(&log), [(0, 1), (2, 2)]);
    log.close().unwrap();
    let log = open(dir.path(), small_config());
    assert_eq!(served(&log), [(0, 1), (2, 2)]);
}

/// The batches below an offset, where the log may end in the middle of a batch that is gone.
fn served_until(log: &Log, end: i64) -> Vec<i64> {
    let mut offset = 0;
    let mut found = Vec::new();
    while offset < end {
        let bytes = read(log, offset, 1, end);
        let batch = RecordBatch::parse(&bytes).unwrap();
        found.push(batch.base_offset());
        offset = batch.next_offset();
    }
    found
}

#[test]
fn retention_takes_whole_segments_below_the_high_watermark() {
    let dir = tempfile::tempdir().unwrap();
    let size = batch(1, 50, NOW_MS).len() as i64;
    let config = LogConfig {
        segment_size: size as i32,
        retention_size: 3 * size,
        retention_ms: -1,
        file_delete_delay_ms: 1000,
        ..LogConfig::default()
    };
    let log = open(dir.path(), config.clone());
    for n in 0..10 {
        append(&log, &batch(1, 50, NOW_MS + n));
    }
    assert_eq!(log.delete_old_segments(NOW_MS).unwrap(), 0);
    log.update_high_watermark(2);
    assert_eq!(log.delete_old_segments(NOW_MS).unwrap(), 2);
    log.update_high_watermark(10);
    let held = log.read(5, 1000, 10, true).unwrap();
    assert_eq!(log.delete_old_segments(NOW_MS).unwrap(), 5);
    assert_eq!((log.log_start_offset(), log.segment_count()), (7, 3));
    // Whoever was reading can go on, and the files go later.
    let mut bytes = Vec::new();
    held.records.read_into(&mut bytes).unwrap();
    assert_eq!(RecordBatch::parse(&bytes).unwrap().base_offset(), 5);
    let deleted = |dir: &std::path::Path| names(dir).iter().filter(|name| name.ends_with(".deleted")).count();
    assert_eq!(deleted(dir.path()), 7 * 3 + 6);
    assert!(log.purge_deleted_files(NOW_MS + 999).unwrap() > 0);
    assert_eq!(log.purge_deleted_files(NOW_MS + 1000).unwrap(), 0);
    assert_eq!(deleted(dir.path()), 0);
    // By time, even the active segment goes, and a new one takes its place.
    log.update_config(Arc::new(LogConfig { retention_size: -1, retention_ms: 100, ..config.clone() }));
    assert_eq!(log.delete_old_segments(NOW_MS + 109).unwrap(), 2);
    assert_eq!(log.delete_old_segments(NOW_MS + 110).unwrap(), 1);
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset(), log.segment_base_offsets()),
        (10, 10, vec![10])
    );
    assert_eq!(log.delete_old_segments(NOW_MS + 1000).unwrap(), 0);
    // Without `delete` only what was deleted by request goes.
    log.update_config(Arc::new(LogConfig { delete: false, compact: true, ..config }));
    for n in 0..4 {
        append(&log, &batch(1, 50, NOW_MS + n));
    }
    log.update_high_watermark(14);
    assert_eq!(log.delete_old_segments(NOW_MS + 100_000).unwrap(), 0);
    assert_eq!(
        log.maybe_increment_log_start_offset(15).unwrap_err().error_code(),
        ErrorCode::OffsetOutOfRange
    );
    assert!(log.maybe_increment_log_start_offset(12).unwrap());
    assert!(!log.maybe_increment_log_start_offset(11).unwrap());
    assert_eq!(log.delete_old_segments(NOW_MS).unwrap(), 2);
    assert_eq!(log.segment_base_offsets()[0], 12);
}

#[test]
fn offsets_are_found_by_time() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), small_config());
    assert_eq!(log.fetch_offset_by_timestamp(NOW_MS).unwrap(), None);
    for n in 0..30 {
        append(&log, &batch(2, 30, NOW_MS + n * 100));
    }
    let at = |timestamp| {
        log.fetch_offset_by_timestamp(timestamp).unwrap().map(|found| (found.timestamp, found.offset))
    };
    assert_eq!(at(0), Some((NOW_MS, 0)));
    for n in 0..30 {
        assert_eq!(at(NOW_MS + n * 100), Some((NOW_MS + n * 100, 2 * n)));
        assert_eq!(at(NOW_MS + n * 100 + 1), Some((NOW_MS + n * 100 + 1, 2 * n + 1)));
        assert_eq!(at(NOW_MS + n * 100 - 50), Some((NOW_MS + n * 100, 2 * n)));
    }
    assert_eq!(at(NOW_MS + 2902), None);
    assert_eq!(at(timestamps::LATEST_TIMESTAMP), Some((-1, 60)));
    assert_eq!(at(timestamps::EARLIEST_TIMESTAMP), Some((-1, 0)));
    assert_eq!(at(timestamps::MAX_TIMESTAMP), Some((NOW_MS + 2901, 59)));
    assert_eq!(at(timestamps::LATEST_TIERED_TIMESTAMP), Some((-1, -1)));
    log.update_high_watermark(60);
    log.maybe_increment_log_start_offset(31).unwrap();
    // Kafka looks no further than the first segment with such a timestamp, even if all of it is before the log's start.
    assert_eq!(at(0), None);
    log.delete_old_segments(NOW_MS).unwrap();
    assert_eq!(at(0), Some((NOW_MS + 1501, 31)));
    assert_eq!(
        log.fetch_offset_by_timestamp(timestamps::EARLIEST_TIMESTAMP).unwrap().unwrap().leader_epoch,
        Some(0)
    );
}

#[test]
fn a_flush_moves_the_recovery_point() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), LogConfig { flush_interval: 3, flush_ms: 500, ..small_config() });
    assert!(!append(&log, &batch(2, 5, NOW_MS)).needs_flush);
    assert!(append(&log, &batch(1, 5, NOW_MS)).needs_flush);
    assert_eq!((log.recovery_point(), log.unflushed_messages()), (0, 3));
    log.flush().unwrap();
    assert_eq!((log.recovery_point(), log.unflushed_messages()), (3, 0));
    append(&log, &batch(1, 5, NOW_MS));
    assert!(!log.flush_if_due(NOW_MS + 499).unwrap());
    assert!(log.flush_if_due(NOW_MS + 500).unwrap());
    // What a roll has left behind is flushed sooner.
    append(&log, &batch(1, 5, NOW_MS));
    log.roll(NOW_MS).unwrap();
    append(&log, &batch(1, 5, NOW_MS));
    assert!(log.flush_if_due(NOW_MS + 501).unwrap());
    assert_eq!((log.recovery_point(), log.log_end_offset()), (5, 6));
    log.truncate_to(2, NOW_MS).unwrap();
    assert_eq!(log.recovery_point(), 2);
}

/// How many files of the directory this process has open.
fn open_files(dir: &Path) -> usize {
    let inside = |entry: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_link(entry.unwrap().path()).is_ok_and(|target| target.starts_with(dir))
    };
    std::fs::read_dir("/proc/self/fd").unwrap().map(inside).filter(|inside| *inside).count()
}

#[test]
fn who_appends_has_one_file_open() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { index_interval: 1, ..LogConfig::default() };
    let log = open(dir.path(), config.clone());
    // More index entries than are kept in memory.
    for n in 0..600 {
        append(&log, &batch(1, 30, NOW_MS + n));
    }
    assert_eq!(open_files(dir.path()), 1);
    assert!(std::fs::metadata(dir.path().join("00000000000000000000.index")).unwrap().len() > 4000);
    log.close().unwrap();
    drop(log);
    let log = open(dir.path(), config);
    append(&log, &batch(1, 30, NOW_MS));
    assert_eq!(open_files(dir.path()), 1, "as after a start");
}

#[test]
fn a_deleted_log_has_no_file_open() {
    let dir = tempfile::tempdir().unwrap();
    let logs = open_manager(dir.path());
    let topic = TopicPartition::new("topic", 0);
    let log = logs.create_log(&topic, None, Arc::default(), NOW_MS).unwrap();
    append(&log, &batch(3, 10, NOW_MS));
    assert_eq!(open_files(&log.dir()), 1);
    assert!(logs.delete_log(&topic, NOW_MS).unwrap());
    assert_eq!(open_files(&log.dir()), 0, "it waits a minute for its end");
}

#[test]
fn an_idle_log_gives_its_files_back_and_opens_them_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), small_config());
    for n in 0..20 {
        append(&log, &batch(2, 30, NOW_MS + n));
    }
    let expected = served(&log);
    assert!(open_files(dir.path()) > 0);
    log.release_idle().unwrap();
    log.release_idle().unwrap();
    assert_eq!(open_files(dir.path()), 0);
    assert_eq!(served(&log), expected);
    append(&log, &batch(2, 30, NOW_MS + 50));
    assert_eq!(log.fetch_offset_by_timestamp(NOW_MS + 50).unwrap().unwrap().offset, 40);
}

#[test]
fn a_closed_log_refuses_work() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), small_config());
    append(&log, &batch(1, 5, NOW_MS));
    log.close().unwrap();
    log.close().unwrap();
    assert_eq!(refuse(&log, &batch(1, 5, NOW_MS)).error_code(), ErrorCode::KafkaStorageError);
}

#[test]
fn preallocation_does_not_show() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { preallocate: true, segment_size: 1 << 20, ..LogConfig::default() };
    let log = open(dir.path(), config);
    let info = append(&log, &batch(1, 5, NOW_MS));
    let length = || std::fs::metadata(dir.path().join("00000000000000000000.log")).unwrap().len();
    assert_eq!(length(), info.valid_bytes as u64);
    log.close().unwrap();
    assert_eq!(length(), info.valid_bytes as u64);
}

#[test]
fn readers_and_the_writer_meet() {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(
        Log::open(
            dir.path(),
            OpenOptions::new(
                partition(),
                Arc::new(LogConfig { segment_size: 20_000, ..small_config() }),
                NOW_MS,
            ),
        )
        .unwrap(),
    );
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..3000 {
                append(&log, &batch(1 + n % 3, 20, NOW_MS + n as i64));
                if n % 100 == 0 {
                    log.release_idle().unwrap();
                }
            }
            log.append_as_leader(&batch(1, 7, NOW_MS), 0, AppendOrigin::Client, NOW_MS).unwrap();
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let mut offset = 0;
                while offset < 6000 {
                    let mut bytes = Vec::new();
                    let found = log.read(offset, 10_000, log.log_end_offset(), true).unwrap();
                    found.records.read_into(&mut bytes).unwrap();
                    for batch in Batches::new(&bytes) {
                        let batch = batch.unwrap();
                        batch.verify_crc().unwrap();
                        assert_eq!(batch.base_offset(), offset);
                        offset = batch.next_offset();
                    }
                }
            });
        }
    });
    assert_eq!(served(&log).len(), 3001);
}

/// A batch of one record as a leader has written it.
fn patched(base_offset: i64, leader_epoch: i32) -> Vec<u8> {
    let mut bytes = batch(1, 10, NOW_MS);
    let head = patch::head(RecordBatch::parse(&bytes).unwrap().header(), base_offset, leader_epoch);
    bytes[..head.len()].copy_from_slice(&head);
    bytes
}

#[test]
fn an_epoch_that_is_over_appends_nothing_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), LogConfig::default());
    assert_eq!(log.lead(3, false).unwrap(), 0);
    let appended = log.append_as_leader(&batch(2, 10, NOW_MS), 3, AppendOrigin::Client, NOW_MS).unwrap();
    assert!(!appended.committed);
    log.follow(4);
    let late = log.append_as_leader(&batch(1, 10, NOW_MS), 3, AppendOrigin::Client, NOW_MS).unwrap_err();
    assert_eq!(late.error_code(), ErrorCode::NotLeaderOrFollower);
    let late = log.append_as_follower(&patched(2, 3), 3, NOW_MS).unwrap_err();
    assert!(matches!(late, AppendError::FencedEpoch { epoch: 3, current: 4 }));
    assert_eq!((log.log_end_offset(), log.high_watermark()), (2, 0));
    assert_eq!(log.lead(5, false).unwrap(), 2);
    assert_eq!(log.epoch_entries().last().map(|entry| (entry.epoch, entry.start_offset)), Some((5, 2)));
}

#[test]
fn a_sole_replica_commits_what_it_appends_and_ends_transactions_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), LogConfig::default());
    log.lead(0, true).unwrap();
    let info = log.append_as_leader(&transactional(2, (1, 0, 0)), 0, AppendOrigin::Client, NOW_MS).unwrap();
    assert!(info.committed);
    assert_eq!((log.high_watermark(), log.last_stable_offset()), (2, 0));
    let marker = EndTxnMarker { committed: true, coordinator_epoch: 1 }.batch(0, NOW_MS, -1, 1, 0).unwrap();
    log.append_as_leader_with(&marker, 0, AppendOrigin::Coordinator, 0, NOW_MS).unwrap();
    assert_eq!((log.high_watermark(), log.last_stable_offset()), (3, 3));
    log.lead(0, false).unwrap();
    append(&log, &batch(1, 10, NOW_MS));
    assert_eq!(log.high_watermark(), 3);
}
