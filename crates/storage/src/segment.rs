//! One segment of a log: a file of batches and its indexes (`LogSegment`).
//!
//! The log's writer changes it; any thread reads it meanwhile, up to the size that the writer has published.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use ::io::fs::{self, File};
use parking_lot::Mutex;
use protocol::records::BatchHeader;

use crate::batch_reader::{BatchPosition, HeaderScanner};
use crate::checkpoint::Sync;
use crate::crash_point;
use crate::file_names::{
    CLEANED_FILE_SUFFIX, DELETED_FILE_SUFFIX, INDEX_FILE_SUFFIX, LOG_FILE_SUFFIX, TIME_INDEX_FILE_SUFFIX,
    TXN_INDEX_FILE_SUFFIX,
};
use crate::index::{
    AbortedTxn, OffsetIndex, TIME_INDEX_ENTRY_SIZE, TimeIndex, TimestampOffset, TransactionIndex,
};
use crate::paths::{LazyFile, PartitionDir, SegmentPaths, write_all_vectored_at};

/// The files of a segment. The batches come first when they are renamed: where there are none, the rest is swept up at the next start.
const KINDS: [&str; 4] = [LOG_FILE_SUFFIX, INDEX_FILE_SUFFIX, TIME_INDEX_FILE_SUFFIX, TXN_INDEX_FILE_SUFFIX];

/// What lies behind the last entry of a segment's offset index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentEnd {
    /// The offset behind the last batch; the segment's own if there is none.
    pub next_offset: i64,
    /// The largest timestamp there; -1 if there is none.
    pub max_timestamp: i64,
    /// The segment ends with the last batch.
    pub is_whole: bool,
}

/// One segment.
#[derive(Debug)]
pub(crate) struct LogSegment {
    paths: SegmentPaths,
    log: LazyFile,
    /// Bytes of whole batches.
    size: AtomicU64,
    offset_index: OffsetIndex,
    time_index: TimeIndex,
    txn_index: TransactionIndex,
    /// `None` until the time index was asked.
    max_timestamp: Mutex<Option<TimestampOffset>>,
    /// Set at each use, cleared by [`LogSegment::release_idle`].
    used: AtomicBool,
}

impl LogSegment {
    /// A new segment. Files that lie there under its names are replaced: they are left from a crash.
    pub fn create(
        dir: &Arc<PartitionDir>,
        base_offset: i64,
        preallocate: Option<u64>,
    ) -> io::Result<LogSegment> {
        LogSegment::create_in_state(dir, base_offset, preallocate, "")
    }

    /// A new segment of the cleaner: its files are called `.cleaned` until they take the places of others.
    pub fn create_cleaned(dir: &Arc<PartitionDir>, base_offset: i64) -> io::Result<LogSegment> {
        LogSegment::create_in_state(dir, base_offset, None, CLEANED_FILE_SUFFIX)
    }

    fn create_in_state(
        dir: &Arc<PartitionDir>,
        base_offset: i64,
        preallocate: Option<u64>,
        state: &'static str,
    ) -> io::Result<LogSegment> {
        let segment = LogSegment::new(dir, base_offset, 0, TransactionIndex::new_empty());
        segment.paths.set_state(state);
        for kind in KINDS {
            match fs::remove_file(segment.paths.path(kind)) {
                Ok(()) => tracing::warn!(
                    path = %segment.paths.path(kind).display(),
                    "the file of a new segment already exists; it is deleted first"
                ),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let file = segment.log.get(&segment.paths, LOG_FILE_SUFFIX, true)?;
        segment.offset_index.create(&segment.paths)?;
        segment.time_index.create(&segment.paths)?;
        if let Some(size) = preallocate {
            // Divergence: Kafka makes the file as long as a segment and cuts it at the roll. Here its blocks are reserved behind
            // its end, so that its length always is that of its batches.
            file.reserve(size)?;
        }
        Ok(segment)
    }

    /// A segment whose file exists.
    pub fn open(dir: &Arc<PartitionDir>, base_offset: i64) -> io::Result<LogSegment> {
        let segment = LogSegment::new(dir, base_offset, 0, TransactionIndex::new());
        let size = fs::len(segment.paths.path(LOG_FILE_SUFFIX))?;
        segment.size.store(size, Ordering::Release);
        Ok(segment)
    }

    fn new(dir: &Arc<PartitionDir>, base_offset: i64, size: u64, txn_index: TransactionIndex) -> LogSegment {
        LogSegment {
            paths: SegmentPaths::new(Arc::clone(dir), base_offset),
            log: LazyFile::default(),
            size: AtomicU64::new(size),
            offset_index: OffsetIndex::new(),
            time_index: TimeIndex::new(),
            txn_index,
            max_timestamp: Mutex::new(None),
            used: AtomicBool::new(true),
        }
    }

    pub fn base_offset(&self) -> i64 {
        self.paths.base_offset()
    }

    /// Bytes of whole batches, all readable.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// The file of batches.
    pub fn file(&self) -> io::Result<Arc<File>> {
        self.used.store(true, Ordering::Relaxed);
        self.log.get(&self.paths, LOG_FILE_SUFFIX, false)
    }

    pub(crate) fn log_path(&self) -> std::path::PathBuf {
        self.paths.path(LOG_FILE_SUFFIX)
    }

    pub(crate) fn paths(&self) -> &SegmentPaths {
        &self.paths
    }

    pub(crate) fn offset_index(&self) -> &OffsetIndex {
        &self.offset_index
    }

    pub(crate) fn time_index(&self) -> &TimeIndex {
        &self.time_index
    }

    pub(crate) fn txn_index(&self) -> &TransactionIndex {
        &self.txn_index
    }

    /// When the file was last written, in ms.
    pub fn last_modified_ms(&self) -> io::Result<i64> {
        let modified = self.file()?.modified()?;
        Ok(modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64))
    }

    /// Makes the files as old as those that they replace.
    pub fn set_last_modified_ms(&self, modified_ms: i64) -> io::Result<()> {
        let modified = UNIX_EPOCH + std::time::Duration::from_millis(modified_ms.max(0) as u64);
        for kind in [LOG_FILE_SUFFIX, INDEX_FILE_SUFFIX, TIME_INDEX_FILE_SUFFIX] {
            File::open_for_update(self.paths.path(kind), false)?.set_modified(modified)?;
        }
        Ok(())
    }

    /// Bytes of the offset index and of the time index.
    pub fn index_sizes(&self) -> io::Result<(u64, u64)> {
        Ok((self.offset_index.size(&self.paths)?, self.time_index.size(&self.paths)?))
    }

    /// Whether the files of both indexes are there, with nothing in them.
    pub fn has_empty_indexes(&self) -> io::Result<bool> {
        for kind in [INDEX_FILE_SUFFIX, TIME_INDEX_FILE_SUFFIX] {
            match fs::len(self.paths.path(kind)) {
                Ok(0) => {}
                Ok(_) => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// The offset behind the last batch; the segment's own if there is none.
    pub fn next_offset(&self) -> io::Result<i64> {
        self.end().map(|end| end.next_offset)
    }

    /// The batches from the last entry of the offset index on. `InvalidData` if something lies there that is none.
    pub fn end(&self) -> io::Result<SegmentEnd> {
        let entry = self.offset_index.last(&self.paths)?;
        let mut scanner = HeaderScanner::new(self.file()?, entry.position, self.size());
        let (mut next_offset, mut max_timestamp) = (self.base_offset(), -1);
        while let Some(batch) = scanner.next()? {
            next_offset = batch.header.next_offset();
            max_timestamp = max_timestamp.max(batch.header.max_timestamp());
        }
        Ok(SegmentEnd { next_offset, max_timestamp, is_whole: scanner.position() == self.size() })
    }

    // ---- writing: the log's writer only -------------------------------------------------------------------------------

    /// Appends `slices`, one behind the other, in one call where the system takes it all. If that fails the file is as it was, or the
    /// error says that not even that could be had.
    pub fn append(&self, slices: &mut [io::IoSlice<'_>]) -> io::Result<()> {
        let length: u64 = slices.iter().map(|slice| slice.len() as u64).sum();
        let position = self.size();
        let file = self.file()?;
        if let Err(error) = write_all_vectored_at(&file, slices, position) {
            if let Err(also) = file.set_len(position) {
                return Err(io::Error::new(
                    error.kind(),
                    format!("{error}; and what was written of it could not be taken back: {also}"),
                ));
            }
            return Err(error);
        }
        self.size.store(position + length, Ordering::Release);
        Ok(())
    }

    /// Notes a batch that was appended: with its largest timestamp, and in the indexes if `in_index`.
    pub fn note_batch(
        &self,
        last_offset: i64,
        max_timestamp: i64,
        position: u64,
        in_index: bool,
    ) -> io::Result<()> {
        let largest = {
            let mut largest = self.load_max_timestamp()?;
            if max_timestamp > largest.timestamp {
                largest = TimestampOffset { timestamp: max_timestamp, offset: last_offset };
                *self.max_timestamp.lock() = Some(largest);
            }
            largest
        };
        if in_index {
            self.offset_index.append(&self.paths, last_offset, position)?;
            self.time_index.maybe_append(&self.paths, largest)?;
        }
        Ok(())
    }

    /// Writes what is only in memory of the indexes.
    pub fn write_indexes(&self) -> io::Result<()> {
        self.offset_index.write(&self.paths)?;
        self.time_index.write(&self.paths)
    }

    /// Whether the files of the indexes are there, and each can be one of the segment by its length, or by its entries if they are few.
    pub(crate) fn has_whole_indexes(&self) -> io::Result<bool> {
        Ok(self.offset_index.is_whole(&self.paths)? == Some(true)
            && self.time_index.is_whole(&self.paths)? == Some(true)
            && self.txn_index.is_sane(&self.paths)?)
    }

    /// Drops the entries of `offset` and later from the indexes, and the transactions that ended at `ended` or later.
    pub(crate) fn cut_indexes(&self, offset: i64, ended: i64) -> io::Result<()> {
        self.offset_index.truncate_to(&self.paths, offset)?;
        self.time_index.truncate_to(&self.paths, offset)?;
        self.txn_index.truncate_to(&self.paths, ended)
    }

    /// Forgets the largest timestamp: the time index is asked for it again.
    pub(crate) fn forget_max_timestamp(&self) {
        *self.max_timestamp.lock() = None;
    }

    /// Has no timestamp be the largest, whatever the time index says: recovery finds it among the batches.
    pub(crate) fn reset_max_timestamp(&self) {
        *self.max_timestamp.lock() = Some(TimestampOffset { timestamp: -1, offset: self.base_offset() });
    }

    /// Whether an index has no room for a further entry behind `ahead` others.
    pub fn indexes_full(&self, max_index_size: i32, ahead: usize) -> io::Result<bool> {
        // As if each of them took what the larger of the two formats takes.
        let max_index_size = max_index_size.saturating_sub((ahead * TIME_INDEX_ENTRY_SIZE) as i32);
        Ok(self.offset_index.is_full(&self.paths, max_index_size)?
            || self.time_index.is_full(&self.paths, max_index_size)?)
    }

    /// Whether the indexes can name `offset`.
    pub fn can_hold(&self, offset: i64) -> bool {
        OffsetIndex::can_append(&self.paths, offset)
    }

    pub fn append_aborted(&self, aborted: AbortedTxn) -> io::Result<()> {
        self.txn_index.append(&self.paths, aborted)
    }

    /// The segment will not grow any more: the time index gets its last entry, and reserved blocks are given back.
    pub fn on_become_inactive(&self, preallocated: bool) -> io::Result<()> {
        let largest = self.load_max_timestamp()?;
        self.time_index.maybe_append(&self.paths, largest)?;
        self.offset_index.release(&self.paths)?;
        self.time_index.release(&self.paths)?;
        if preallocated {
            self.file()?.set_len(self.size())?;
        }
        Ok(())
    }

    /// As at the end of a segment, but nothing is written if nobody asked for the timestamps. The indexes are synced, now or by the
    /// caller.
    pub fn close(&self, preallocated: bool, sync: Sync) -> io::Result<()> {
        let largest = *self.max_timestamp.lock();
        if let Some(largest) = largest {
            self.time_index.maybe_append(&self.paths, largest)?;
        }
        if sync != Sync::ByCaller {
            // Behind a clean stop nobody rebuilds them.
            self.offset_index.sync(&self.paths)?;
            self.time_index.sync(&self.paths)?;
        }
        self.offset_index.release(&self.paths)?;
        self.time_index.release(&self.paths)?;
        if preallocated {
            self.file()?.set_len(self.size())?;
        }
        self.txn_index.release();
        self.log.close();
        Ok(())
    }

    /// Syncs the batches, and the indexes too if `with_indexes`: those of the last segment are rebuilt after a crash anyway.
    pub fn sync(&self, with_indexes: bool) -> io::Result<()> {
        self.file()?.sync_data()?;
        if with_indexes {
            self.offset_index.sync(&self.paths)?;
            self.time_index.sync(&self.paths)?;
        }
        self.txn_index.sync(&self.paths)
    }

    /// Drops the batch with `offset` and all behind it. Returns how many bytes that were.
    pub fn truncate_to(&self, offset: i64) -> io::Result<u64> {
        let found = self.find_batch(offset)?;
        let largest_known = self.load_max_timestamp()?.timestamp >= 0;
        self.cut_indexes(offset, offset)?;
        let mut truncated = 0;
        if let Some(found) = found {
            truncated = self.size() - found.position;
            self.truncate_file(found.position)?;
        }
        if largest_known {
            let largest = self.find_largest_timestamp()?;
            *self.max_timestamp.lock() = Some(largest);
        }
        Ok(truncated)
    }

    /// Cuts the file of batches.
    pub(crate) fn truncate_file(&self, size: u64) -> io::Result<()> {
        self.size.store(size, Ordering::Release);
        self.file()?.set_len(size)
    }

    fn find_largest_timestamp(&self) -> io::Result<TimestampOffset> {
        let mut largest = self.time_index.last(&self.paths)?;
        let start = self.offset_index.lookup(&self.paths, largest.offset)?.position;
        let mut scanner = HeaderScanner::new(self.file()?, start, self.size());
        while let Some(batch) = scanner.next()? {
            if batch.header.max_timestamp() > largest.timestamp {
                largest = TimestampOffset {
                    timestamp: batch.header.max_timestamp(),
                    offset: batch.header.last_offset(),
                };
            }
        }
        Ok(largest)
    }

    // ---- reading ------------------------------------------------------------------------------------------------------

    /// The largest timestamp and the last offset of the batch that has it; -1 if there is none.
    pub fn load_max_timestamp(&self) -> io::Result<TimestampOffset> {
        let known = *self.max_timestamp.lock();
        match known {
            Some(largest) => Ok(largest),
            None => {
                let largest = self.time_index.last(&self.paths)?;
                Ok(*self.max_timestamp.lock().get_or_insert(largest))
            }
        }
    }

    /// The largest timestamp of a record; where no record has one, when the file was last written.
    pub fn largest_timestamp(&self) -> io::Result<i64> {
        match self.load_max_timestamp()?.timestamp {
            timestamp if timestamp >= 0 => Ok(timestamp),
            _ => self.last_modified_ms(),
        }
    }

    /// The first batch whose last offset is not below `offset`.
    pub fn find_batch(&self, offset: i64) -> io::Result<Option<BatchPosition>> {
        self.find_batch_within(offset, self.size())
    }

    /// The same, in the first `end` bytes.
    pub fn find_batch_within(&self, offset: i64, end: u64) -> io::Result<Option<BatchPosition>> {
        let entry = self.offset_index.lookup(&self.paths, offset)?;
        let file = self.file()?;
        let from_index = match scan_for(&file, entry.position, end, offset) {
            // The entry names the batch that begins there by its last offset. If something else is there the index is damaged.
            Ok((first, found)) if entry.position == 0 || first == Some(entry.offset) => return Ok(found),
            Err(error) if error.kind() != io::ErrorKind::InvalidData => return Err(error),
            other => other,
        };
        if entry.position == 0 {
            return from_index.map(|(_, found)| found);
        }
        if entry.position >= end {
            // The entry is newer than the size that the reader knows.
            return Ok(scan_for(&file, 0, end, offset)?.1);
        }
        tracing::warn!(
            path = %self.paths.path(INDEX_FILE_SUFFIX).display(),
            offset, position = entry.position,
            "the offset index does not fit its segment; the segment is searched from its beginning"
        );
        Ok(scan_for(&file, 0, end, offset)?.1)
    }

    /// The header of the first batch.
    pub fn first_batch(&self) -> io::Result<Option<BatchHeader>> {
        let mut scanner = HeaderScanner::new(self.file()?, 0, self.size());
        Ok(scanner.next()?.map(|batch| batch.header))
    }

    // ---- files --------------------------------------------------------------------------------------------------------

    /// Whether the files are called so.
    pub fn is_in_state(&self, state: &str) -> bool {
        self.paths.is_in_state(state)
    }

    /// Renames the files with `.deleted`.
    pub fn mark_deleted(&self) -> io::Result<()> {
        self.change_state(DELETED_FILE_SUFFIX)
    }

    /// Renames the files from the state they are in to another. Files that are not there are left out.
    pub fn change_state(&self, state: &'static str) -> io::Result<()> {
        self.paths.rename_all(&KINDS, state)
    }

    /// Deletes the files. Those that are open stay so for those who still read the segment.
    pub fn delete_files(&self) -> io::Result<()> {
        for kind in KINDS {
            match fs::remove_file(self.paths.path(kind)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => crash_point::reached("remove"),
            }
        }
        Ok(())
    }

    /// Closes the descriptors if nobody has used the segment since this was last called.
    pub fn release_idle(&self) -> io::Result<()> {
        if !self.used.swap(false, Ordering::Relaxed) {
            self.offset_index.release(&self.paths)?;
            self.time_index.release(&self.paths)?;
            self.txn_index.release();
            self.log.close();
        }
        Ok(())
    }

    /// Closes the descriptors of a segment that is to be deleted. Those who still read it open them again.
    pub fn close_files(&self) {
        self.offset_index.close();
        self.time_index.close();
        self.txn_index.release();
        self.log.close();
    }
}

/// Scans from `position` for the first batch whose last offset is not below `offset`. Also returns the last offset of the first
/// batch seen.
///
/// Divergence: where a damaged length hides the rest of the segment, that is `InvalidData`. Kafka takes it for the segment's end and goes
/// on in the next one, so that readers and followers pass records over without a word.
fn scan_for(
    file: &Arc<File>,
    position: u64,
    end: u64,
    offset: i64,
) -> io::Result<(Option<i64>, Option<BatchPosition>)> {
    let mut scanner = HeaderScanner::new(Arc::clone(file), position, end);
    let mut first = None;
    while let Some(batch) = scanner.next()? {
        let last_offset = batch.header.last_offset();
        first.get_or_insert(last_offset);
        if last_offset >= offset {
            return Ok((first, Some(batch)));
        }
    }
    // A file that was truncated meanwhile ends before as well.
    if scanner.position() < end.min(file.len()?) {
        let rest = end - scanner.position();
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("at position {}: {rest} bytes hold no whole batch", scanner.position()),
        ));
    }
    Ok((first, None))
}
