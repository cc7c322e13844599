//! The aborted transactions of a segment (`TransactionIndex`, message `AbortedTxn`, KIP-98).

use std::io;

use parking_lot::RwLock;

use crate::file_names::TXN_INDEX_FILE_SUFFIX;
use crate::paths::{LazyFile, SegmentPaths};

/// Two bytes of version, then producer id, first offset, last offset and last stable offset.
const ENTRY_SIZE: usize = 34;
const VERSION: i16 = 0;

/// A transaction that was aborted: readers of committed records skip its producer's records between the two offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTxn {
    /// The producer.
    pub producer_id: i64,
    /// The offset of its first record.
    pub first_offset: i64,
    /// The offset of the marker that ends it.
    pub last_offset: i64,
    /// The last stable offset when it ended.
    pub last_stable_offset: i64,
}

impl AbortedTxn {
    fn to_bytes(self) -> [u8; ENTRY_SIZE] {
        let mut bytes = [0; ENTRY_SIZE];
        bytes[..2].copy_from_slice(&VERSION.to_be_bytes());
        let fields = [self.producer_id, self.first_offset, self.last_offset, self.last_stable_offset];
        for (to, field) in bytes[2..].chunks_exact_mut(8).zip(fields) {
            to.copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8; ENTRY_SIZE]) -> Option<AbortedTxn> {
        let (version, rest) = bytes.split_first_chunk::<2>()?;
        if i16::from_be_bytes(*version) != VERSION {
            return None;
        }
        let mut fields =
            rest.chunks_exact(8).filter_map(|field| field.first_chunk().copied().map(i64::from_be_bytes));
        Some(AbortedTxn {
            producer_id: fields.next()?,
            first_offset: fields.next()?,
            last_offset: fields.next()?,
            last_stable_offset: fields.next()?,
        })
    }
}

/// The index of one segment. Most segments have none, and then there is no file. Its entries are kept in memory once they were
/// asked for: they are few.
#[derive(Debug)]
pub(crate) struct TransactionIndex {
    file: LazyFile,
    entries: RwLock<Option<Vec<AbortedTxn>>>,
}

impl TransactionIndex {
    pub fn new() -> TransactionIndex {
        TransactionIndex { file: LazyFile::default(), entries: RwLock::new(None) }
    }

    /// The index of a segment that is new: it is empty without looking.
    pub fn new_empty() -> TransactionIndex {
        TransactionIndex { file: LazyFile::default(), entries: RwLock::new(Some(Vec::new())) }
    }

    fn load(&self, paths: &SegmentPaths) -> io::Result<()> {
        if self.entries.read().is_some() {
            return Ok(());
        }
        let bytes = match paths.read(TXN_INDEX_FILE_SUFFIX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let (chunks, _) = bytes.as_chunks::<ENTRY_SIZE>();
        let mut entries = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let entry = AbortedTxn::from_bytes(chunk).ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!(
                        "Unexpected aborted transaction version in transaction index {}",
                        paths.path(TXN_INDEX_FILE_SUFFIX).display()
                    ),
                )
            })?;
            entries.push(entry);
        }
        self.entries.write().get_or_insert(entries);
        Ok(())
    }

    /// Whether the file, if there is one, can be an index of this segment.
    pub fn is_sane(&self, paths: &SegmentPaths) -> io::Result<bool> {
        match self.load(paths) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(false),
            other => other?,
        }
        let sane = self
            .entries
            .read()
            .as_ref()
            .is_none_or(|entries| entries.iter().all(|entry| entry.last_offset >= paths.base_offset()));
        Ok(sane)
    }

    /// Adds an entry, and writes it at once.
    pub fn append(&self, paths: &SegmentPaths, entry: AbortedTxn) -> io::Result<()> {
        self.load(paths)?;
        let count = self.entries.read().as_ref().map_or(0, Vec::len);
        let file = self.file.get(paths, TXN_INDEX_FILE_SUFFIX, true)?;
        file.write_all_at(&entry.to_bytes(), (count * ENTRY_SIZE) as u64)?;
        self.entries.write().get_or_insert_default().push(entry);
        Ok(())
    }

    /// The transactions that touch `fetch_offset..upper_bound`, and whether those of later segments cannot.
    pub fn collect_aborted(
        &self,
        paths: &SegmentPaths,
        fetch_offset: i64,
        upper_bound: i64,
        into: &mut Vec<AbortedTxn>,
    ) -> io::Result<bool> {
        self.load(paths)?;
        for entry in self.entries.read().iter().flatten() {
            if entry.last_offset >= fetch_offset && entry.first_offset < upper_bound {
                into.push(*entry);
            }
            if entry.last_stable_offset >= upper_bound {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Drops the transactions that ended at `offset` or later.
    pub fn truncate_to(&self, paths: &SegmentPaths, offset: i64) -> io::Result<()> {
        self.load(paths)?;
        let (kept, all) = {
            let entries = self.entries.read();
            let entries = entries.as_deref().unwrap_or_default();
            (entries.partition_point(|entry| entry.last_offset < offset), entries.len())
        };
        if kept == all {
            return Ok(());
        }
        self.file.get(paths, TXN_INDEX_FILE_SUFFIX, true)?.set_len((kept * ENTRY_SIZE) as u64)?;
        self.entries.write().get_or_insert_default().truncate(kept);
        Ok(())
    }

    /// Drops everything.
    pub fn reset(&self, paths: &SegmentPaths) -> io::Result<()> {
        if ::io::fs::exists(paths.path(TXN_INDEX_FILE_SUFFIX)) {
            self.file.get(paths, TXN_INDEX_FILE_SUFFIX, true)?.set_len(0)?;
        }
        *self.entries.write() = Some(Vec::new());
        Ok(())
    }

    pub fn sync(&self, paths: &SegmentPaths) -> io::Result<()> {
        match &*self.entries.read() {
            Some(entries) if !entries.is_empty() => {}
            _ => return Ok(()),
        }
        self.file.get(paths, TXN_INDEX_FILE_SUFFIX, true)?.sync_data()
    }

    pub fn release(&self) {
        self.file.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::PartitionDir;

    fn aborted(producer_id: i64, first: i64, last: i64, stable: i64) -> AbortedTxn {
        AbortedTxn { producer_id, first_offset: first, last_offset: last, last_stable_offset: stable }
    }

    #[test]
    fn entries_survive_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let paths = SegmentPaths::new(PartitionDir::new(dir.path()), 0);
        let index = TransactionIndex::new();
        let mut found = Vec::new();
        assert!(!index.collect_aborted(&paths, 0, 100, &mut found).unwrap());
        assert!(!paths.path(TXN_INDEX_FILE_SUFFIX).exists());
        let all = [aborted(1, 0, 10, 11), aborted(2, 5, 20, 15), aborted(1, 30, 40, 41)];
        for entry in all {
            index.append(&paths, entry).unwrap();
        }
        let index = TransactionIndex::new();
        assert!(index.is_sane(&paths).unwrap());
        found.clear();
        assert!(!index.collect_aborted(&paths, 0, 100, &mut found).unwrap());
        assert_eq!(found, all);
        found.clear();
        assert!(index.collect_aborted(&paths, 11, 12, &mut found).unwrap());
        assert_eq!(found, all[1..2]);
        index.truncate_to(&paths, 20).unwrap();
        found.clear();
        TransactionIndex::new().collect_aborted(&paths, 0, 100, &mut found).unwrap();
        assert_eq!(found, all[..1]);
        index.reset(&paths).unwrap();
        assert_eq!(std::fs::metadata(paths.path(TXN_INDEX_FILE_SUFFIX)).unwrap().len(), 0);
    }

    #[test]
    fn nonsense_is_not_sane() {
        let dir = tempfile::tempdir().unwrap();
        let paths = SegmentPaths::new(PartitionDir::new(dir.path()), 100);
        std::fs::write(paths.path(TXN_INDEX_FILE_SUFFIX), [1; 34]).unwrap();
        assert!(!TransactionIndex::new().is_sane(&paths).unwrap());
        std::fs::write(paths.path(TXN_INDEX_FILE_SUFFIX), aborted(1, 0, 50, 51).to_bytes()).unwrap();
        assert!(!TransactionIndex::new().is_sane(&paths).unwrap());
    }
}
