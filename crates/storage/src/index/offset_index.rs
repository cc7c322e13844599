//! From an offset to a position in the segment's file (`OffsetIndex`).

use std::io;

use super::entries::{Entry, EntryFile, EntryFormat, i32_at, relative_offset};
use crate::file_names::INDEX_FILE_SUFFIX;
use crate::paths::SegmentPaths;

/// Four bytes of offset relative to the segment's base, four of position.
pub const OFFSET_INDEX_ENTRY_SIZE: usize = 8;

static FORMAT: EntryFormat = EntryFormat { kind: INDEX_FILE_SUFFIX, entry_size: OFFSET_INDEX_ENTRY_SIZE };

/// An entry: the last offset of a batch and where the batch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetPosition {
    pub offset: i64,
    pub position: u64,
}

/// The offset index of a segment.
#[derive(Debug)]
pub(crate) struct OffsetIndex {
    entries: EntryFile,
}

impl OffsetIndex {
    pub fn new() -> OffsetIndex {
        OffsetIndex { entries: EntryFile::new(&FORMAT) }
    }

    pub fn create(&self, paths: &SegmentPaths) -> io::Result<()> {
        self.entries.create(paths)
    }

    /// Whether the file's length can be that of an index; `None` if there is no file.
    pub fn is_whole(&self, paths: &SegmentPaths) -> io::Result<Option<bool>> {
        let length = self.entries.file_length(paths)?;
        Ok(length.map(|length| length % OFFSET_INDEX_ENTRY_SIZE as u64 == 0))
    }

    /// The bytes of all entries.
    pub fn size(&self, paths: &SegmentPaths) -> io::Result<u64> {
        Ok(u64::from(self.len(paths)?) * OFFSET_INDEX_ENTRY_SIZE as u64)
    }

    pub fn len(&self, paths: &SegmentPaths) -> io::Result<u32> {
        self.entries.entries(paths)
    }

    pub fn is_full(&self, paths: &SegmentPaths, max_index_size: i32) -> io::Result<bool> {
        Ok(self.len(paths)? >= max_index_size.max(0) as u32 / OFFSET_INDEX_ENTRY_SIZE as u32)
    }

    /// The last entry; that of the segment's beginning if there is none.
    pub fn last(&self, paths: &SegmentPaths) -> io::Result<OffsetPosition> {
        Ok(match self.entries.last(paths)? {
            Some(entry) => parse(paths, &entry),
            None => OffsetPosition { offset: paths.base_offset(), position: 0 },
        })
    }

    /// The last entry whose offset is not above `offset`; that of the segment's beginning if there is none.
    pub fn lookup(&self, paths: &SegmentPaths, offset: i64) -> io::Result<OffsetPosition> {
        let found = self.entries.floor(paths, offset, |entry| parse(paths, entry).offset)?;
        Ok(match found {
            Some((_, entry)) => parse(paths, &entry),
            None => OffsetPosition { offset: paths.base_offset(), position: 0 },
        })
    }

    /// The first entry that lies at or behind a position (Kafka: the smallest upper bound).
    pub fn upper_bound_of_position(
        &self,
        paths: &SegmentPaths,
        position: u64,
    ) -> io::Result<Option<OffsetPosition>> {
        let found =
            self.entries.floor(paths, position as i64 - 1, |entry| parse(paths, entry).position as i64)?;
        let slot = found.map_or(0, |(slot, _)| slot + 1);
        self.at(paths, slot)
    }

    /// The entry in a slot; `None` behind the last.
    pub fn at(&self, paths: &SegmentPaths, slot: u32) -> io::Result<Option<OffsetPosition>> {
        Ok(self.entries.entry(paths, slot)?.map(|entry| parse(paths, &entry)))
    }

    /// Adds an entry. One whose offset is not above the last one's, or cannot be written relative to the segment's base, is
    /// an error: then the caller's offsets are wrong.
    pub fn append(&self, paths: &SegmentPaths, offset: i64, position: u64) -> io::Result<()> {
        let last = self.entries.last(paths)?.map(|entry| parse(paths, &entry).offset);
        let relative = relative_offset(paths.base_offset(), offset);
        let (Some(relative), Ok(position)) = (relative, i32::try_from(position)) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "offset {offset} at position {position} does not fit the index of {}",
                    paths.base_offset()
                ),
            ));
        };
        if last.is_some_and(|last| offset <= last) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "Attempt to append an offset {offset} no larger than the last offset appended ({}) to {}",
                    last.unwrap_or_default(),
                    self.entries.path(paths).display()
                ),
            ));
        }
        let mut bytes = [0; OFFSET_INDEX_ENTRY_SIZE];
        bytes[..4].copy_from_slice(&relative.to_be_bytes());
        bytes[4..].copy_from_slice(&position.to_be_bytes());
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

    /// Whether the index can name `offset`.
    pub fn can_append(paths: &SegmentPaths, offset: i64) -> bool {
        relative_offset(paths.base_offset(), offset).is_some()
    }
}

fn parse(paths: &SegmentPaths, entry: &Entry) -> OffsetPosition {
    OffsetPosition {
        offset: paths.base_offset() + i64::from(i32_at(entry, 0)),
        // A negative position comes from damage only; it is behind every file's end.
        position: u64::try_from(i32_at(entry, 4)).unwrap_or(u64::MAX >> 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::PartitionDir;

    fn paths(dir: &tempfile::TempDir) -> SegmentPaths {
        SegmentPaths::new(PartitionDir::new(dir.path()), 1000)
    }

    #[test]
    fn lookups_find_the_entry_below() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(&dir);
        let index = OffsetIndex::new();
        assert_eq!(index.lookup(&paths, 1500).unwrap(), OffsetPosition { offset: 1000, position: 0 });
        // Far more than is kept in memory, so that all three places are searched.
        for n in 1..=2000 {
            index.append(&paths, 1000 + n * 10, n as u64 * 100).unwrap();
        }
        for check in [&index, &OffsetIndex::new()] {
            if !std::ptr::eq(check, &index) {
                index.sync(&paths).unwrap();
            }
            for n in 1..=2000 {
                let expected = OffsetPosition { offset: 1000 + n * 10, position: n as u64 * 100 };
                assert_eq!(check.lookup(&paths, 1000 + n * 10).unwrap(), expected);
                assert_eq!(check.lookup(&paths, 1009 + n * 10).unwrap(), expected);
                let upper = |position| check.upper_bound_of_position(&paths, position).unwrap();
                assert_eq!(upper(n as u64 * 100), Some(expected));
                assert_eq!(upper(n as u64 * 100 - 99), Some(expected));
            }
            assert_eq!(check.lookup(&paths, 1009).unwrap().position, 0);
            assert_eq!(check.upper_bound_of_position(&paths, 200_001).unwrap(), None);
        }
    }

    #[test]
    fn offsets_must_rise_and_fit() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(&dir);
        let index = OffsetIndex::new();
        index.append(&paths, 1001, 0).unwrap();
        assert!(index.append(&paths, 1001, 10).is_err());
        assert!(index.append(&paths, 999, 10).is_err());
        assert!(index.append(&paths, 1001 + i64::from(i32::MAX), 10).is_err());
        assert!(index.append(&paths, 1000 + i64::from(i32::MAX), 10).is_ok());
        assert!(index.is_full(&paths, 16).unwrap());
        assert!(!index.is_full(&paths, 24).unwrap());
    }

    #[test]
    fn truncation_drops_the_offset_and_what_follows() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(&dir);
        let index = OffsetIndex::new();
        for n in 1..=700 {
            index.append(&paths, 1000 + n * 10, n as u64).unwrap();
        }
        index.truncate_to(&paths, 5001).unwrap();
        assert_eq!(index.last(&paths).unwrap().offset, 5000);
        index.truncate_to(&paths, 5000).unwrap();
        assert_eq!(index.last(&paths).unwrap().offset, 4990);
        index.append(&paths, 5000, 1).unwrap();
        index.release(&paths).unwrap();
        let bytes = std::fs::read(dir.path().join("00000000000000001000.index")).unwrap();
        assert_eq!(bytes.len(), 400 * 8);
        assert_eq!(bytes[399 * 8..], [0, 0, 0x0f, 0xa0, 0, 0, 0, 1]);
        index.reset(&paths).unwrap();
        assert_eq!(index.len(&paths).unwrap(), 0);
        assert_eq!(index.is_whole(&paths).unwrap(), Some(true));
    }
}
