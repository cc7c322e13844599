//! The metadata out of files (`org.apache.kafka.metadata.util.SnapshotFileReader`).

use std::path::{Path, PathBuf};

use ::io::fs::File;
use metadata::{CommittedBatch, MetadataImage, MetadataLoader, MetadataProvenance, MetadataRecord};
use protocol::records::RecordBatch;
use raft::snapshot::SnapshotPath;

use crate::commands::dump_log::BatchReader;

/// The largest batch, uncompressed, that is read.
const LARGEST_BATCH: usize = 1 << 30;
/// How many batches are replayed before an image is made of them.
const AT_ONCE: usize = 1000;

/// What was read. The directory stays locked while it is looked at.
pub(super) struct Loaded {
    pub(super) image: MetadataImage,
    _lock: Option<File>,
}

/// A batch of metadata records.
struct Batch {
    base_offset: i64,
    last_offset: i64,
    epoch: i32,
    timestamp_ms: i64,
    size: u64,
    records: Vec<MetadataRecord>,
}

/// Reads a snapshot, a segment, or what is in a directory. Of a log everything is read, for no file says how far it is committed.
pub(super) fn load(path: &Path) -> Result<Loaded, String> {
    let is_directory = path.is_dir();
    let above = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let partition = if is_directory { path.to_owned() } else { above(path) };
    let whole = std::path::absolute(&partition).map_err(|error| error.to_string())?;
    let lock = lock_if_there(&above(&whole))?;
    let mut loader = MetadataLoader::new();
    if is_directory {
        load_directory(path, &mut loader)?;
    } else {
        load_commits(path, -1, &mut loader)?;
    }
    if loader.last_read_offset() < 0 {
        return Err(format!("{} holds no metadata", path.display()));
    }
    Ok(Loaded { image: loader.image().clone(), _lock: lock })
}

/// Keeps a broker from starting on the directory, and says so where one is running.
fn lock_if_there(directory: &Path) -> Result<Option<File>, String> {
    let file = directory.join(".lock");
    if !file.exists() {
        return Ok(None);
    }
    let said = |error: std::io::Error| format!("{}: {error}", file.display());
    let lock = File::open_for_update(&file, false).map_err(said)?;
    match lock.try_lock().map_err(said)? {
        true => Ok(Some(lock)),
        false => Err(format!(
            "Unable to lock {}. Please ensure that no broker or controller process is using this directory before proceeding.",
            directory.display()
        )),
    }
}

/// The newest snapshot, and the segments that go on from there.
fn load_directory(directory: &Path, loader: &mut MetadataLoader) -> Result<(), String> {
    let entries =
        std::fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let has_end = |file: &&PathBuf, end: &str| file.extension().is_some_and(|found| found == end);
    let snapshots = files.iter().filter(|file| has_end(file, "checkpoint"));
    let snapshots = snapshots.filter_map(|file| Some((SnapshotPath::parse(file)?.id, file)));
    let newest = snapshots.max_by_key(|(id, _)| (id.offset, id.epoch));
    let mut from = -1;
    if let Some((id, file)) = newest {
        let mut records = Vec::new();
        let mut timestamp_ms = -1;
        read(file, |batch| {
            timestamp_ms = timestamp_ms.max(batch.timestamp_ms);
            records.extend(batch.records);
            Ok(())
        })?;
        from = id.offset - 1;
        let provenance = MetadataProvenance {
            last_contained_offset: from,
            last_contained_epoch: id.epoch,
            last_contained_log_time_ms: timestamp_ms,
            is_offset_batch_aligned: true,
        };
        loader.load_snapshot(provenance, &records).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let mut segments: Vec<&PathBuf> = files.iter().filter(|file| has_end(file, "log")).collect();
    segments.sort();
    segments.into_iter().try_for_each(|segment| load_commits(segment, from, loader))
}

/// Replays the batches of a file whose records come after an offset.
fn load_commits(file: &Path, after: i64, loader: &mut MetadataLoader) -> Result<(), String> {
    let mut batches = Vec::new();
    let mut replay = |batches: &mut Vec<Batch>| {
        let commits: Vec<CommittedBatch<'_>> = batches
            .iter()
            .map(|batch| CommittedBatch {
                base_offset: batch.base_offset,
                last_offset: batch.last_offset,
                epoch: batch.epoch,
                append_timestamp_ms: batch.timestamp_ms,
                size_in_bytes: batch.size,
                records: &batch.records,
            })
            .collect();
        let loaded = loader.load_commit(&commits).map_err(|error| format!("{}: {error}", file.display()));
        batches.clear();
        loaded.map(drop)
    };
    read(file, |batch| {
        if batch.last_offset > after {
            batches.push(batch);
        }
        if batches.len() >= AT_ONCE { replay(&mut batches) } else { Ok(()) }
    })?;
    if batches.is_empty() { Ok(()) } else { replay(&mut batches) }
}

/// The batches of metadata records in a file; those of control records are for the quorum.
fn read(file: &Path, mut take: impl FnMut(Batch) -> Result<(), String>) -> Result<(), String> {
    let said = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let mut reader = BatchReader::open(file, 0, u64::MAX).map_err(|error| said(&error))?;
    while let Some(bytes) = reader.next().map_err(|error| said(&error))? {
        let batch = RecordBatch::parse(bytes).map_err(|error| said(&error))?;
        batch.verify_crc().map_err(|error| said(&error))?;
        if batch.header().is_control() {
            continue;
        }
        let whole = batch.decompress(LARGEST_BATCH).map_err(|error| said(&error))?;
        let mut records = Vec::new();
        for record in whole.iter() {
            let record = record.map_err(|error| said(&error))?;
            match MetadataRecord::read_framed(record.value.unwrap_or_default()) {
                Ok((record, _)) => records.push(record),
                Err(error) => {
                    eprintln!("unable to read metadata record at offset {}: {error}", record.offset)
                }
            }
        }
        let header = batch.header();
        take(Batch {
            base_offset: header.base_offset(),
            last_offset: header.last_offset(),
            epoch: header.partition_leader_epoch(),
            timestamp_ms: header.max_timestamp(),
            size: header.size_in_bytes() as u64,
            records,
        })?;
    }
    Ok(())
}
