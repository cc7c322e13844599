//! Offset and time indexes: their entries, and whether the log bears them out.

use std::io::{self, Write};
use std::path::Path;

use protocol::records::RecordBatch;

use super::log::BatchReader;
use super::{Arguments, Problems, base_offset};

/// An entry of the offset index: the last offset of a batch, and where it begins.
struct OffsetEntry {
    offset: i64,
    position: i32,
}

/// An entry of the time index: the largest timestamp so far, and the offset of its batch.
struct TimeEntry {
    timestamp: i64,
    offset: i64,
}

fn offset_entries(file: &Path, base: i64) -> io::Result<Vec<OffsetEntry>> {
    let bytes = std::fs::read(file)?;
    let entry = |[o0, o1, o2, o3, p0, p1, p2, p3]: &[u8; 8]| OffsetEntry {
        offset: base.wrapping_add(i64::from(i32::from_be_bytes([*o0, *o1, *o2, *o3]))),
        position: i32::from_be_bytes([*p0, *p1, *p2, *p3]),
    };
    Ok(bytes.as_chunks().0.iter().map(entry).collect())
}

fn time_entries(file: &Path, base: i64) -> io::Result<Vec<TimeEntry>> {
    let bytes = std::fs::read(file)?;
    let entry = |[t0, t1, t2, t3, t4, t5, t6, t7, o0, o1, o2, o3]: &[u8; 12]| TimeEntry {
        timestamp: i64::from_be_bytes([*t0, *t1, *t2, *t3, *t4, *t5, *t6, *t7]),
        offset: base.wrapping_add(i64::from(i32::from_be_bytes([*o0, *o1, *o2, *o3]))),
    };
    Ok(bytes.as_chunks().0.iter().map(entry).collect())
}

/// A segment's file is as large as the index's allocation while it is written to: zeros follow the last entry.
fn is_past_end(index: usize, offset: i64, base: i64) -> bool {
    index > 0 && offset == base
}

fn corrupt(file: &Path, what: &str, last: i64, base: i64) -> io::Error {
    io::Error::other(format!(
        "Corrupt {what} found, index file ({}) has non-zero size but the last offset is {last} which is less than the base \
         offset {base}",
        file.display()
    ))
}

pub(super) fn dump_offsets(
    file: &Path,
    arguments: &Arguments,
    out: &mut impl Write,
    problems: &mut Problems,
) -> io::Result<()> {
    let base = base_offset(file)?;
    let log = file.with_extension("log");
    let entries = offset_entries(file, base)?;
    let Some(last) = entries.last() else { return writeln!(out, "{} is empty.", file.display()) };
    if arguments.index_sanity_check {
        if last.offset < base {
            return Err(corrupt(file, "index", last.offset, base));
        }
        return writeln!(out, "{} passed sanity check.", file.display());
    }
    let mut mismatches = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        if is_past_end(index, entry.offset, base) {
            break;
        }
        let limit = u64::try_from(arguments.max_message_size).unwrap_or(0);
        let at = u64::try_from(entry.position).unwrap_or(u64::MAX);
        let mut batches = BatchReader::open(&log, at.min(i64::MAX as u64), limit)?;
        let found = batches.next()?.and_then(|bytes| RecordBatch::parse(bytes).ok());
        let found = found.map(|batch| batch.header().last_offset());
        if found.is_some_and(|found| found != entry.offset) || (found.is_none() && entry.position > 0) {
            mismatches.push((entry.offset, found.unwrap_or(-1)));
        }
        if !arguments.verify_index_only {
            writeln!(out, "offset: {} position: {}", entry.offset, entry.position)?;
        }
    }
    for (offset, found) in mismatches.into_iter().rev() {
        problems.add("Mismatches in :", file, format!("  Index offset: {offset}, log offset: {found}"));
    }
    Ok(())
}

pub(super) fn dump_times(
    file: &Path,
    arguments: &Arguments,
    out: &mut impl Write,
    problems: &mut Problems,
) -> io::Result<()> {
    let base = base_offset(file)?;
    let log = file.with_extension("log");
    let entries = time_entries(file, base)?;
    let offsets = offset_entries(&file.with_extension("index"), base).unwrap_or_default();
    if arguments.index_sanity_check {
        if let (Some(first), Some(last)) = (entries.first(), entries.last()) {
            if last.timestamp < first.timestamp {
                return Err(io::Error::other(format!(
                    "Corrupt time index found, time index file ({}) has non-zero size but the last timestamp is {} which is \
                     less than the first timestamp {}",
                    file.display(),
                    last.timestamp,
                    first.timestamp
                )));
            }
            if last.offset < base {
                return Err(corrupt(file, "time index", last.offset, base));
            }
        }
        return writeln!(out, "{} passed sanity check.", file.display());
    }
    let mut before = -1;
    for (index, entry) in entries.iter().enumerate() {
        if is_past_end(index, entry.offset, base) {
            break;
        }
        check_time(file, &log, entry, &offsets, before, problems)?;
        if !arguments.verify_index_only {
            writeln!(out, "timestamp: {} offset: {}", entry.timestamp, entry.offset)?;
        }
        before = entry.timestamp;
    }
    Ok(())
}

fn check_time(
    file: &Path,
    log: &Path,
    entry: &TimeEntry,
    offsets: &[OffsetEntry],
    before: i64,
    problems: &mut Problems,
) -> io::Result<()> {
    let near = offsets.iter().rev().find(|known| known.position > 0 && known.offset <= entry.offset);
    let from = near.and_then(|near| u64::try_from(near.position).ok()).unwrap_or(0);
    let mut batches = BatchReader::open(log, from, u64::MAX)?;
    while let Some(bytes) = batches.next()? {
        let Ok(batch) = RecordBatch::parse(bytes) else { break };
        let last = batch.header().last_offset();
        if last < entry.offset {
            continue;
        }
        if last != entry.offset {
            not_found(file, entry.offset, last, problems);
            return Ok(());
        }
        let latest = match batch.decompress(1 << 30) {
            Ok(whole) => whole.iter().filter_map(Result::ok).map(|record| record.timestamp).max(),
            Err(_) => None,
        };
        let latest = latest.unwrap_or(-1);
        if latest != entry.timestamp {
            let line = format!("  Index timestamp: {}, log timestamp: {latest}", entry.timestamp);
            problems.add("Found timestamp mismatch in :", file, line);
        }
        if before >= entry.timestamp {
            let line =
                format!("  Index timestamp: {}, Previously indexed timestamp: {before}", entry.timestamp);
            problems.add("Found out of order timestamp in :", file, line);
        }
        return Ok(());
    }
    not_found(file, entry.offset, -1, problems);
    Ok(())
}

fn not_found(file: &Path, offset: i64, found: i64, problems: &mut Problems) {
    let line = format!("Indexed offset: {offset}, found log offset: {found}");
    problems.add("The following indexed offsets are not found in :", file, line);
}
