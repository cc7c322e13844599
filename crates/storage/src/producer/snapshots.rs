//! The snapshot files that lie in a partition's directory (`SnapshotFile`).

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use ::io::fs;

use crate::file_names::{
    DELETED_FILE_SUFFIX, PRODUCER_SNAPSHOT_FILE_SUFFIX, offset_from_file_name, producer_snapshot_file,
    segment_file,
};

/// The offsets at which there are snapshots. Whoever changes something says where they lie.
#[derive(Debug)]
pub(super) struct Snapshots {
    offsets: BTreeSet<i64>,
}

impl Snapshots {
    /// Those among the files of a directory.
    pub fn among(names: &[String]) -> Snapshots {
        let snapshots = names.iter().filter(|name| name.ends_with(PRODUCER_SNAPSHOT_FILE_SUFFIX));
        Snapshots { offsets: snapshots.filter_map(|name| offset_from_file_name(name)).collect() }
    }

    pub fn latest(&self) -> Option<i64> {
        self.offsets.last().copied()
    }

    pub fn contains(&self, offset: i64) -> bool {
        self.offsets.contains(&offset)
    }

    pub fn insert(&mut self, offset: i64) {
        self.offsets.insert(offset);
    }

    /// One is no more: its file has another name, or none.
    pub fn forget(&mut self, offset: i64) {
        self.offsets.remove(&offset);
    }

    /// Deletes one.
    pub fn remove(&mut self, dir: &Path, offset: i64) -> io::Result<()> {
        self.forget(offset);
        match fs::remove_file(producer_snapshot_file(dir, offset)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Deletes those of which `keep` says no.
    pub fn retain(&mut self, dir: &Path, keep: impl Fn(i64) -> bool) -> io::Result<()> {
        let dropped: Vec<i64> = self.offsets.iter().copied().filter(|&offset| !keep(offset)).collect();
        dropped.into_iter().try_for_each(|offset| self.remove(dir, offset))
    }

    /// Deletes those that lie at no segment's base offset. The newest of them stays if it is not below the last segment.
    pub fn remove_strays(&mut self, dir: &Path, segment_base_offsets: &[i64]) -> io::Result<()> {
        let last_base_offset = segment_base_offsets.iter().max().copied();
        let mut strays: Vec<i64> =
            self.offsets.iter().copied().filter(|offset| !segment_base_offsets.contains(offset)).collect();
        if let Some(newest) = strays.last()
            && last_base_offset.is_none_or(|base_offset| *newest >= base_offset)
        {
            strays.pop();
        }
        strays.into_iter().try_for_each(|offset| self.remove(dir, offset))
    }

    /// Renames one with `.deleted`. Returns the new path, or `None` if there is no such snapshot.
    pub fn mark_deleted(&mut self, dir: &Path, offset: i64) -> io::Result<Option<PathBuf>> {
        if !self.offsets.remove(&offset) {
            return Ok(None);
        }
        let renamed = segment_file(dir, offset, PRODUCER_SNAPSHOT_FILE_SUFFIX, DELETED_FILE_SUFFIX);
        match fs::rename(producer_snapshot_file(dir, offset), &renamed) {
            Ok(()) => Ok(Some(renamed)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
