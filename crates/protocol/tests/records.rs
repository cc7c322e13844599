//! Record batches of Apache Kafka's own making (`vectors/records`): read as Kafka reads them, and built again.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use protocol::compression::Compression;
use protocol::records::{
    Batches, Header, NO_TIMESTAMP, RECORD_BATCH_OVERHEAD, RecordBatch, RecordBatchBuilder, TimestampType,
    crc32c, patch,
};

const LIMIT: usize = 16 << 20;

fn vectors() -> Vec<(String, Vec<u8>, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/records");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "bin"));
    files.sort();
    assert!(files.len() >= 40, "only {} vectors", files.len());
    let read = |file: PathBuf| {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(file.with_extension("txt")).unwrap();
        (name, std::fs::read(file).unwrap(), text)
    };
    files.into_iter().map(read).collect()
}

/// As `text` in RecordVectors.java.
fn text(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "null".into() };
    if bytes.len() > 40 {
        return format!("{}#{:x}", bytes.len(), crc32c(bytes));
    }
    bytes.iter().fold("\"".to_string(), |text, byte| text + &format!("{byte:02x}")) + "\""
}

/// As `describe` in RecordVectors.java.
fn describe(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut batches = Batches::new(bytes);
    for batch in batches.by_ref() {
        let batch = batch.unwrap();
        batch.verify_crc().unwrap();
        let time = match batch.timestamp_type() {
            TimestampType::CreateTime => "CreateTime",
            TimestampType::LogAppendTime => "LogAppendTime",
        };
        writeln!(
            out,
            "batch offsets={}..{} size={} epoch={} crc={} codec={} time={time}{}{} horizon={} timestamps={}..{} \
             producer={}:{} sequences={}..{} count={}",
            batch.base_offset(),
            batch.last_offset(),
            batch.size_in_bytes(),
            batch.partition_leader_epoch(),
            batch.crc(),
            batch.compression().name(),
            if batch.is_transactional() { " transactional" } else { "" },
            if batch.is_control() { " control" } else { "" },
            batch.delete_horizon_ms().map_or("null".into(), |horizon| horizon.to_string()),
            batch.base_timestamp(),
            batch.max_timestamp(),
            batch.producer_id(),
            batch.producer_epoch(),
            batch.base_sequence(),
            batch.last_sequence(),
            batch.records_count(),
        )
        .unwrap();
        out += &describe_records(&batch);
    }
    assert!(batches.remaining().is_empty());
    out
}

fn describe_records(batch: &RecordBatch<'_>) -> String {
    let mut out = String::new();
    for record in batch.decompress(LIMIT).unwrap().iter() {
        let record = record.unwrap();
        write!(
            out,
            "record offset={} timestamp={} sequence={} size={} key={} value={}",
            record.offset,
            record.timestamp,
            record.sequence,
            record.size_in_bytes,
            text(record.key),
            text(record.value)
        )
        .unwrap();
        for header in record.headers {
            write!(out, " header={}:{}", text(Some(header.key)), text(header.value)).unwrap();
        }
        out.push('\n');
    }
    out
}

/// Writes the batch anew with our builder.
fn rebuild(batch: &RecordBatch<'_>) -> Vec<u8> {
    if batch.records_count() == 0 {
        return patch::without_records(batch.header());
    }
    let mut builder = RecordBatchBuilder::like(batch.header()).with_last_offset(batch.last_offset());
    if let Some(horizon) = batch.delete_horizon_ms() {
        builder = builder.with_delete_horizon_ms(horizon);
    }
    // The records of a batch with LogAppendTime keep the timestamps they were made with, unseen by readers: to
    // write them again, read them as CreateTime.
    let mut copy = batch.as_bytes().to_vec();
    patch::set_max_timestamp(&mut copy, TimestampType::CreateTime, NO_TIMESTAMP).unwrap();
    let copy = RecordBatch::parse(&copy).unwrap();
    for record in copy.decompress(LIMIT).unwrap().iter() {
        let record = record.unwrap();
        let headers: Vec<Header<'_>> = record.headers.into_iter().collect();
        builder
            .append_with_offset(record.offset, record.timestamp, record.key, record.value, &headers)
            .unwrap();
    }
    builder.build()
}

#[test]
fn batches_read_as_kafka_reads_them() {
    for (name, bytes, expected) in vectors() {
        let seen = describe(&bytes);
        for (line, (seen, expected)) in seen.lines().zip(expected.lines()).enumerate() {
            assert_eq!(seen, expected, "{name}, line {}", line + 1);
        }
        assert_eq!(seen.lines().count(), expected.lines().count(), "{name}");
    }
}

#[test]
fn batches_are_built_as_kafka_builds_them() {
    let mut uncompressed = 0;
    for (name, bytes, _) in vectors() {
        for batch in Batches::new(&bytes) {
            let batch = batch.unwrap();
            let built = rebuild(&batch);
            if batch.compression() == Compression::None {
                assert!(built == batch.as_bytes(), "{name}: {}", describe(&built));
                uncompressed += 1;
            } else {
                let built = RecordBatch::parse(&built).unwrap();
                built.verify_crc().unwrap();
                assert_eq!(built.compression(), batch.compression(), "{name}");
                assert!(describe_records(&built) == describe_records(&batch), "{name}");
            }
        }
    }
    assert!(uncompressed >= 25, "only {uncompressed}");
}

#[test]
fn batches_are_valid_and_summed_up() {
    for (name, bytes, _) in vectors() {
        for batch in Batches::new(&bytes) {
            let batch = batch.unwrap();
            let summary = batch.validate_records().unwrap();
            let decompressed = batch.decompress(LIMIT).unwrap();
            let records: Vec<_> = decompressed.iter().map(Result::unwrap).collect();
            assert_eq!(summary.count as usize, records.len(), "{name}");
            assert_eq!(summary.size_in_bytes, decompressed.records_bytes().len() as u64, "{name}");
            if !records.is_empty() {
                assert_eq!(summary.max_timestamp, batch.max_timestamp(), "{name}");
            }
            let at = |index: u32| records.get(index as usize);
            assert_eq!(at(summary.index_of_max_timestamp).map_or(-1, |r| r.timestamp), summary.max_timestamp);
            let keyless = records.iter().position(|record| record.key.is_none());
            assert_eq!(summary.first_without_key, keyless.map(|index| index as u32), "{name}");
            let dense = (batch.base_offset()..).zip(&records).all(|(offset, record)| record.offset == offset);
            assert_eq!(summary.consecutive_offsets, dense, "{name}");
        }
    }
}

#[test]
fn a_cut_anywhere_is_a_partial_batch_and_a_changed_byte_a_wrong_checksum() {
    for (name, bytes, _) in vectors() {
        let first = RecordBatch::parse(&bytes).unwrap().size_in_bytes();
        let step = (first / 200).max(1);
        for cut in (0..first).step_by(step) {
            let mut batches = Batches::new(&bytes[..cut]);
            assert_eq!(batches.next(), None, "{name} cut to {cut}");
            assert_eq!(batches.remaining().len(), cut);
        }
        for at in (RECORD_BATCH_OVERHEAD..first).step_by(step) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(RecordBatch::parse(&damaged).unwrap().verify_crc().is_err(), "{name} byte {at}");
        }
    }
}
