//! An open file of a simulated disk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::SimulatedDisk;
use super::state::NodeId;

/// An open file. It is of no use any more when its process has ended.
#[derive(Debug)]
pub(crate) struct SimulatedFile {
    disk: SimulatedDisk,
    /// As it was opened.
    path: PathBuf,
    node: NodeId,
    incarnation: u64,
    /// Where the next read or write without a position begins.
    cursor: AtomicU64,
}

impl SimulatedFile {
    pub fn new(disk: SimulatedDisk, path: &Path, node: NodeId, incarnation: u64) -> SimulatedFile {
        SimulatedFile { disk, path: path.to_owned(), node, incarnation, cursor: AtomicU64::new(0) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut super::State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.0.state.lock();
        state.check(Some(self.incarnation))?;
        work(&mut state)
    }

    pub fn len(&self) -> io::Result<u64> {
        self.with(|state| Ok(state.file(self.node)?.content.len() as u64))
    }

    pub fn modified(&self) -> io::Result<SystemTime> {
        self.with(|state| {
            Ok(UNIX_EPOCH + Duration::from_millis(state.file(self.node)?.modified_ms.max(0) as u64))
        })
    }

    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        let ms = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        self.with(|state| {
            state.file(self.node)?.modified_ms = ms;
            Ok(())
        })
    }

    pub fn set_len(&self, length: u64) -> io::Result<()> {
        self.with(|state| state.set_len(self.node, length))
    }

    pub fn sync(&self) -> io::Result<()> {
        self.with(|state| state.sync_file(self.node, &self.path))
    }

    pub fn sync_file_system(&self) -> io::Result<()> {
        self.disk.sync_all()
    }

    pub fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.with(|state| state.read_at(self.node, buffer, position))
    }

    pub fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        self.disk.wait_while_stalled();
        self.with(|state| state.write_at(self.node, bytes, position))
    }

    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.read_at(buffer, self.cursor.load(Ordering::Relaxed))?;
        self.cursor.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.write_at(bytes, self.cursor.load(Ordering::Relaxed))?;
        self.cursor.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
