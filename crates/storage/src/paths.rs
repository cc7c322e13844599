//! Where the files of a segment lie, and the handles to them, which are opened late and can be closed at any time.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::io::fs::{self, File};
use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::RwLock;

use crate::crash_point;
use crate::file_names::segment_file;

/// The directory of a partition. It is renamed when the partition is deleted, under the feet of its segments.
#[derive(Debug)]
pub(crate) struct PartitionDir(ArcSwap<PathBuf>);

impl PartitionDir {
    pub fn new(dir: &Path) -> Arc<PartitionDir> {
        Arc::new(PartitionDir(ArcSwap::from_pointee(dir.to_owned())))
    }

    pub fn get(&self) -> Arc<PathBuf> {
        self.0.load_full()
    }

    pub fn set(&self, dir: &Path) {
        self.0.store(Arc::new(dir.to_owned()));
    }
}

/// The files of one segment: `<base offset>.<kind>[.<state>]`.
#[derive(Debug)]
pub(crate) struct SegmentPaths {
    dir: Arc<PartitionDir>,
    base_offset: i64,
    /// Empty, `.deleted`, `.cleaned` or `.swap`. Locked while the files are renamed, and while one is opened by its name: whoever
    /// still reads a segment must meet neither a name that is gone nor another segment's file under it.
    state: RwLock<&'static str>,
}

impl SegmentPaths {
    pub fn new(dir: Arc<PartitionDir>, base_offset: i64) -> SegmentPaths {
        SegmentPaths { dir, base_offset, state: RwLock::new("") }
    }

    pub fn base_offset(&self) -> i64 {
        self.base_offset
    }

    /// The path of the file of one kind, such as `.log`.
    pub fn path(&self, kind: &str) -> PathBuf {
        segment_file(&self.dir.get(), self.base_offset, kind, *self.state.read())
    }

    /// The content of the file of one kind.
    pub fn read(&self, kind: &str) -> io::Result<Vec<u8>> {
        let state = self.state.read();
        fs::read(segment_file(&self.dir.get(), self.base_offset, kind, *state))
    }

    fn open(&self, kind: &str, create: bool) -> io::Result<File> {
        let state = self.state.read();
        let path = segment_file(&self.dir.get(), self.base_offset, kind, *state);
        File::open_for_update(&path, create)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }

    /// Whether the files are in a state.
    pub fn is_in_state(&self, state: &str) -> bool {
        *self.state.read() == state
    }

    /// Says in which state files are that are not there yet.
    pub fn set_state(&self, state: &'static str) {
        *self.state.write() = state;
    }

    /// Renames the files of the kinds given to what they are called in another state. Those that are not there are left out.
    pub fn rename_all(&self, kinds: &[&str], state: &'static str) -> io::Result<()> {
        let mut now = self.state.write();
        let dir = self.dir.get();
        for kind in kinds {
            let from = segment_file(&dir, self.base_offset, kind, *now);
            match fs::rename(from, segment_file(&dir, self.base_offset, kind, state)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => crash_point::reached("rename"),
            }
        }
        *now = state;
        Ok(())
    }
}

/// A file that is opened when it is used. Whoever holds the handle may go on when it is closed here.
#[derive(Debug, Default)]
pub(crate) struct LazyFile(ArcSwapOption<File>);

impl LazyFile {
    /// The handle, for reading and writing. `create` makes the file if there is none.
    pub fn get(&self, paths: &SegmentPaths, kind: &str, create: bool) -> io::Result<Arc<File>> {
        if let Some(file) = &*self.0.load() {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(paths.open(kind, create)?);
        // Two threads may open it at once; the later handle stays, the earlier is closed when it is no longer used.
        self.0.store(Some(Arc::clone(&file)));
        Ok(file)
    }

    /// The handle for one use: what is open is taken, and what is opened does not stay so.
    pub fn once(&self, paths: &SegmentPaths, kind: &str, create: bool) -> io::Result<Arc<File>> {
        match self.0.load_full() {
            Some(file) => Ok(file),
            None => paths.open(kind, create).map(Arc::new),
        }
    }

    /// Closes the handle here.
    pub fn close(&self) {
        // A change waits for readers of all such files, a look for nobody.
        if self.0.load().is_some() {
            self.0.store(None);
        }
    }
}

/// Writes all of `slices`, one behind the other, at `position`.
pub(crate) fn write_all_vectored_at(
    file: &File,
    mut slices: &mut [io::IoSlice<'_>],
    mut position: u64,
) -> io::Result<()> {
    // Those in front that are empty.
    io::IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match file.write_vectored_at(slices, position) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                position += count as u64;
                io::IoSlice::advance_slices(&mut slices, count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads at `position` until `buffer` is full or the file ends. Returns how much was read.
pub(crate) fn read_up_to_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    let mut read = 0;
    while let Some(rest) = buffer.get_mut(read..)
        && !rest.is_empty()
    {
        match file.read_at(rest, position + read as u64) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_land_behind_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::open_for_update(dir.path().join("file"), true).unwrap();
        let write = |parts: &[&[u8]], position| {
            let mut slices: Vec<_> = parts.iter().map(|part| io::IoSlice::new(part)).collect();
            write_all_vectored_at(&file, &mut slices, position).unwrap();
        };
        write(&[b"head", b"body"], 3);
        write(&[b"", b"!"], 11);
        write(&[b"", b""], 11);
        write(&[], 11);
        let mut buffer = [0xff; 20];
        assert_eq!(read_up_to_at(&file, &mut buffer, 0).unwrap(), 12);
        assert_eq!(&buffer[..12], b"\0\0\0headbody!");
    }
}
