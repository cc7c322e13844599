//! From a timestamp to an offset (`TimeIndex`, KIP-33).

use std::io;

use super::entries::{Entry, EntryFile, EntryFormat, i32_at, i64_at, relative_offset};
use crate::file_names::TIME_INDEX_FILE_SUFFIX;
use crate::paths::SegmentPaths;

/// Eight bytes of timestamp, four of offset relative to the segment's base.
pub const TIME_INDEX_ENTRY_SIZE: usize = 12;

static FORMAT: EntryFormat = EntryFormat { kind: TIME_INDEX_FILE_SUFFIX, entry_size: TIME_INDEX_ENTRY_SIZE };

/// A timestamp and an offset: no record up to that offset has a larger timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampOffset {
    /// In ms; -1: none.
    pub timestamp: i64,
    /// The offset.
    pub offset: i64,
}

/// The time index of a segment.
#[derive(Debug)]
pub(crate) struct TimeIndex {
    entries: EntryFile,
}

impl TimeIndex {
    pub fn new() -> TimeIndex {
        TimeIndex { entries: EntryFile::new(&FORMAT) }
    }

    pub fn create(&self, paths: &SegmentPaths) -> io::Result<()> {
        self.entries.create(paths)
    }

    /// Whether the file's length can be that of an index; `None` if there is no file.
    pub fn is_whole(&self, paths: &SegmentPaths) -> io::Result<Option<bool>> {
        let length = self.entries.file_length(paths)?;
        Ok(length.map(|length| length % TIME_INDEX_ENTRY_SIZE as u64 == 0))
    }

    /// The bytes of all entries.
    pub fn size(&self, paths: &SegmentPaths) -> io::Result<u64> {
        Ok(u64::from(self.len(paths)?) * TIME_INDEX_ENTRY_SIZE as u64)
    }

    pub fn len(&self, paths: &SegmentPaths) -> io::Result<u32> {
        self.entries.entries(paths)
    }

    /// One entry is kept for the end of the segment.
    pub fn is_full(&self, paths: &SegmentPaths, max_index_size: i32) -> io::Result<bool> {
        let max_entries = max_index_size.max(0) as u32 / TIME_INDEX_ENTRY_SIZE as u32;
        Ok(self.len(paths)? + 1 >= max_entries)
    }

    /// The first entry.
    pub fn first(&self, paths: &SegmentPaths) -> io::Result<Option<TimestampOffset>> {
        Ok(self.entries.entry(paths, 0)?.map(|entry| parse(paths, &entry)))
    }

    /// The last entry; timestamp -1 at the segment's base if there is none.
    pub fn last(&self, paths: &SegmentPaths) -> io::Result<TimestampOffset> {
        Ok(match self.entries.last(paths)? {
            Some(entry) => parse(paths, &entry),
            None => TimestampOffset { timestamp: -1, offset: paths.base_offset() },
        })
    }

    /// The last entry whose timestamp is not above `timestamp`; timestamp -1 at the segment's base if there is none.
    pub fn lookup(&self, paths: &SegmentPaths, timestamp: i64) -> io::Result<TimestampOffset> {
        let found = self.entries.floor(paths, timestamp, |entry| parse(paths, entry).timestamp)?;
        Ok(match found {
            Some((_, entry)) => parse(paths, &entry),
            None => TimestampOffset { timestamp: -1, offset: paths.base_offset() },
        })
    }

    /// Adds an entry if its timestamp is above the last one's.
    pub fn maybe_append(&self, paths: &SegmentPaths, entry: TimestampOffset) -> io::Result<()> {
        let last = self.last(paths)?;
        if entry.timestamp <= last.timestamp {
            return Ok(());
        }
        let relative = relative_offset(paths.base_offset(), entry.offset)
            .filter(|_| entry.offset >= last.offset)
            .ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!(
                        "Attempt to append an offset ({}) no larger than the last offset appended ({}) to {}",
                        entry.offset,
                        last.offset,
                        self.entries.path(paths).display()
                    ),
                )
            })?;
        let mut bytes = [0; TIME_INDEX_ENTRY_SIZE];
        bytes[..8].copy_from_slice(&entry.timestamp.to_be_bytes());
        bytes[8..].copy_from_slice(&relative.to_be_bytes());
        self.entries.push(paths, &bytes)
    }

    /// Drops the entries of `offset` and later.
    pub fn truncate_to(&self, paths: &SegmentPaths, offset: i64) -> io::Result<()> {
        let kept = match self.entries.floor(paths, offset - 1, |entry| parse(paths, entry).offset)? {
            Some((slot, _)) => slot + 1,
            None => 0,
        };
        self.entries.truncate(paths, kept)
    }

    pub fn reset(&self, paths: &SegmentPaths) -> io::Result<()> {
        self.entries.truncate(paths, 0)
    }

    /// Writes what is only in memory.
    pub fn write(&self, paths: &SegmentPaths) -> io::Result<()> {
        self.entries.write_pending(paths)
    }

    pub fn sync(&self, paths: &SegmentPaths) -> io::Result<()> {
        self.entries.sync(paths)
    }

    pub fn release(&self, paths: &SegmentPaths) -> io::Result<()> {
        self.entries.release(paths)
    }

    pub fn close(&self) {
        self.entries.close();
    }
}

fn parse(paths: &SegmentPaths, entry: &Entry) -> TimestampOffset {
    TimestampOffset { timestamp: i64_at(entry, 0), offset: paths.base_offset() + i64::from(i32_at(entry, 8)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::PartitionDir;

    fn at(timestamp: i64, offset: i64) -> TimestampOffset {
        TimestampOffset { timestamp, offset }
    }

    #[test]
    fn only_rising_timestamps_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let paths = SegmentPaths::new(PartitionDir::new(dir.path()), 40);
        let index = TimeIndex::new();
        index.maybe_append(&paths, at(-1, 40)).unwrap();
        assert_eq!(index.len(&paths).unwrap(), 0);
        index.maybe_append(&paths, at(10, 45)).unwrap();
        index.maybe_append(&paths, at(10, 50)).unwrap();
        index.maybe_append(&paths, at(9, 50)).unwrap();
        index.maybe_append(&paths, at(20, 60)).unwrap();
        assert!(index.maybe_append(&paths, at(30, 59)).is_err());
        assert_eq!(index.len(&paths).unwrap(), 2);
        assert_eq!(index.lookup(&paths, 9).unwrap(), at(-1, 40));
        assert_eq!(index.lookup(&paths, 19).unwrap(), at(10, 45));
        assert_eq!(index.lookup(&paths, 500).unwrap(), at(20, 60));
        index.truncate_to(&paths, 60).unwrap();
        assert_eq!(index.last(&paths).unwrap(), at(10, 45));
        assert!(index.is_full(&paths, 24).unwrap());
        assert!(!index.is_full(&paths, 36).unwrap());
    }
}
