//! Segments and snapshots of the metadata log: batches and records.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use protocol::compression::Compression;
use protocol::json;
use protocol::records::{
    ControlRecordType, EndTxnMarker, RECORD_BATCH_OVERHEAD, Record, RecordBatch, TimestampType,
};

use super::payload;
use super::{Decoder, Problems, base_offset};

/// The largest batch, uncompressed, that is looked into.
const LARGEST_BATCH: usize = 1 << 30;
/// The offset and the length in front of a batch, which do not count in the length.
const LOG_OVERHEAD: usize = 12;

pub(super) struct Options {
    pub(super) contents: bool,
    pub(super) deep: bool,
    pub(super) skip_metadata: bool,
    pub(super) max_bytes: i32,
    pub(super) decoder: Decoder,
}

/// The batches of a log file one after the other, each with its position; ends where no whole batch follows.
pub(in crate::commands) struct BatchReader {
    file: io::BufReader<File>,
    /// What is left of the file, or of what may be read of it.
    left: u64,
    position: u64,
    buffer: Vec<u8>,
}

impl BatchReader {
    pub(in crate::commands) fn open(path: &Path, from: u64, limit: u64) -> io::Result<BatchReader> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        io::Seek::seek(&mut file, io::SeekFrom::Start(from))?;
        let left = length.saturating_sub(from).min(limit);
        Ok(BatchReader {
            file: io::BufReader::with_capacity(1 << 16, file),
            left,
            position: 0,
            buffer: Vec::new(),
        })
    }

    /// The next batch's bytes.
    pub(in crate::commands) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let mut head = [0; LOG_OVERHEAD];
        if self.left < head.len() as u64 {
            return Ok(None);
        }
        self.file.read_exact(&mut head)?;
        let [.., l0, l1, l2, l3] = head;
        let length = u64::try_from(i32::from_be_bytes([l0, l1, l2, l3])).unwrap_or(0);
        let size = LOG_OVERHEAD as u64 + length;
        if length < (RECORD_BATCH_OVERHEAD - LOG_OVERHEAD) as u64 || size > self.left {
            return Ok(None);
        }
        self.buffer.clear();
        self.buffer.extend_from_slice(&head);
        // Read by what is there: the length was checked against the file's.
        self.file.by_ref().take(length).read_to_end(&mut self.buffer)?;
        if self.buffer.len() as u64 != size {
            return Ok(None);
        }
        self.left -= size;
        self.position += size;
        Ok(Some(&self.buffer))
    }
}

pub(super) fn timestamp_type(kind: TimestampType) -> &'static str {
    match kind {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    }
}

pub(super) fn dump(
    file: &Path,
    options: &Options,
    out: &mut impl Write,
    problems: &mut Problems,
) -> io::Result<()> {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if let Some(id) = name.strip_suffix(".checkpoint") {
        let numbers = id
            .split_once('-')
            .and_then(|(offset, epoch)| Some((offset.parse::<i64>().ok()?, epoch.parse::<i64>().ok()?)));
        match numbers {
            Some((offset, epoch)) => writeln!(out, "Snapshot end offset: {offset}, epoch: {epoch}")?,
            None => writeln!(out, "KRaft bootstrap snapshot")?,
        }
    } else {
        writeln!(out, "Log starting offset: {}", base_offset(file)?)?;
    }
    let limit = u64::try_from(options.max_bytes).unwrap_or(0);
    let mut batches = BatchReader::open(file, 0, limit)?;
    let mut last_offset = -1;
    let mut gaps: BTreeMap<i64, i64> = BTreeMap::new();
    let mut position = 0;
    while let Some(bytes) = batches.next()? {
        let batch = match RecordBatch::parse(bytes) {
            Ok(batch) => batch,
            Err(error) => return Err(io::Error::other(error.to_string())),
        };
        print_batch(&batch, position, out)?;
        if options.deep {
            print_records(&batch, options, &mut last_offset, &mut gaps, out)?;
        }
        position = batches.position;
    }
    let trailing = batches.left;
    if trailing > 0 && options.max_bytes == i32::MAX {
        writeln!(out, "Found {trailing} invalid bytes at the end of {name}")?;
    }
    for (offset, next) in gaps {
        problems.add("Non-consecutive offsets in ", file, format!("  {offset} is followed by {next}"));
    }
    Ok(())
}

fn print_batch(batch: &RecordBatch<'_>, position: u64, out: &mut impl Write) -> io::Result<()> {
    let header = batch.header();
    let horizon = header
        .delete_horizon_ms()
        .map_or_else(|| "OptionalLong.empty".to_owned(), |ms| format!("OptionalLong[{ms}]"));
    writeln!(
        out,
        "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: {} producerEpoch: {} \
         partitionLeaderEpoch: {} isTransactional: {} isControl: {} deleteHorizonMs: {horizon} position: {position} {}: {} \
         size: {} magic: {} compresscodec: {} crc: {} isvalid: {}",
        header.base_offset(),
        header.last_offset(),
        header.records_count(),
        header.base_sequence(),
        header.last_sequence(),
        header.producer_id(),
        header.producer_epoch(),
        header.partition_leader_epoch(),
        header.is_transactional(),
        header.is_control(),
        timestamp_type(header.timestamp_type()),
        header.max_timestamp(),
        header.size_in_bytes(),
        header.magic(),
        Compression::name(header.compression()),
        header.crc(),
        batch.verify_crc().is_ok()
    )
}

fn print_records(
    batch: &RecordBatch<'_>,
    options: &Options,
    last_offset: &mut i64,
    gaps: &mut BTreeMap<i64, i64>,
    out: &mut impl Write,
) -> io::Result<()> {
    let whole = batch.decompress(LARGEST_BATCH).map_err(|error| io::Error::other(error.to_string()))?;
    for record in whole.iter() {
        let record = record.map_err(|error| io::Error::other(error.to_string()))?;
        if record.offset != last_offset.wrapping_add(1) {
            gaps.insert(*last_offset, record.offset);
        }
        *last_offset = record.offset;
        if !options.skip_metadata {
            print_metadata(batch, &record, out)?;
        }
        if options.contents && !batch.header().is_control() {
            let mut prefix = if options.skip_metadata { "| " } else { " " };
            let (key, value) = payload::shown(options.decoder, &record);
            if let Some(key) = key {
                write!(out, "{prefix}key: {key}")?;
                prefix = " ";
            }
            if let Some(value) = value {
                write!(out, "{prefix}payload: {value}")?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

fn print_metadata(batch: &RecordBatch<'_>, record: &Record<'_>, out: &mut impl Write) -> io::Result<()> {
    let size =
        |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX));
    let keys: Vec<String> =
        record.headers.iter().map(|header| String::from_utf8_lossy(header.key).into_owned()).collect();
    write!(
        out,
        "| offset: {} {}: {} keySize: {} valueSize: {} sequence: {} headerKeys: [{}]",
        record.offset,
        timestamp_type(batch.header().timestamp_type()),
        record.timestamp,
        size(record.key),
        size(record.value),
        record.sequence,
        keys.join(",")
    )?;
    if batch.header().is_control() {
        out.write_all(control(record).as_bytes())?;
    }
    Ok(())
}

/// What a control record says.
fn control(record: &Record<'_>) -> String {
    let Ok(kind) = ControlRecordType::parse(record.key) else { return " controlType: UNKNOWN".to_owned() };
    let value = record.value.unwrap_or_default();
    let shown = |title: &str, name: &str| match json::versioned_message(name, value, true) {
        Ok(message) => format!(" {title} {message}"),
        Err(error) => format!(" {title} ({error})"),
    };
    match kind {
        ControlRecordType::Abort | ControlRecordType::Commit => match EndTxnMarker::parse(record) {
            Ok(Some(marker)) => {
                let name = if marker.committed { "COMMIT" } else { "ABORT" };
                format!(" endTxnMarker: {name} coordinatorEpoch: {}", marker.coordinator_epoch)
            }
            Ok(None) => String::new(),
            Err(error) => format!(" endTxnMarker: ({error})"),
        },
        ControlRecordType::LeaderChange => shown("LeaderChange:", "LeaderChangeMessage"),
        ControlRecordType::SnapshotHeader => shown("SnapshotHeader", "SnapshotHeaderRecord"),
        ControlRecordType::SnapshotFooter => shown("SnapshotFooter", "SnapshotFooterRecord"),
        ControlRecordType::KRaftVersion => shown("KRaftVersion", "KRaftVersionRecord"),
        ControlRecordType::KRaftVoters => shown("KRaftVoters", "VotersRecord"),
        other => format!(" controlType: {other:?}({})", other.id()),
    }
}
