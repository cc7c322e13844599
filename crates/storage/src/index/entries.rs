//! A file of sorted entries of one size, which grows at its end (`AbstractIndex`).
//!
//! Divergence: Kafka maps its index files into memory, and gives those of the active segment their largest size from the
//! start, to trim them when the segment rolls or closes. Here entries are read with `pread` and written in groups, and the file
//! is as long as what was written: a closed log has the same bytes, and an idle one costs no memory and no descriptor. What is
//! lost by a crash is rebuilt by the recovery, as in Kafka. The file stays open for those who look entries up, and not for the writer, who
//! needs it once in some hundred entries: an active partition costs one descriptor, that of its batches.

use std::io;
use std::path::PathBuf;

use ::io::fs;
use parking_lot::{Mutex, RwLock};

use crate::paths::{LazyFile, SegmentPaths, read_up_to_at};

/// Entries kept in memory before they are written together.
const PENDING_LIMIT: usize = 256;

/// The longest entry, in bytes.
pub(super) const MAX_ENTRY_SIZE: usize = 12;

/// An entry's bytes; only the first `entry_size` of them count.
pub(super) type Entry = [u8; MAX_ENTRY_SIZE];

/// What all files of one sort have in common.
#[derive(Debug)]
pub(super) struct EntryFormat {
    /// How the file's name ends.
    pub kind: &'static str,
    /// Bytes of an entry.
    pub entry_size: usize,
}

/// The file. One thread changes it at a time (the log's writer); any may read.
///
/// There are two for each segment of each partition, idle or not: what an idle one does not need lies elsewhere.
#[derive(Debug)]
pub(super) struct EntryFile {
    format: &'static EntryFormat,
    file: LazyFile,
    /// `None` until the file was looked at.
    state: RwLock<Option<Box<State>>>,
    /// Held while the file is changed, so that closing it when it is idle does not meet the writer.
    file_change: Mutex<()>,
}

#[derive(Debug, Clone, Default)]
struct State {
    /// How many entries are in the file.
    written: u32,
    /// The entries behind those.
    pending: Vec<u8>,
    /// The last entry.
    last: Option<Entry>,
}

impl State {
    fn entries(&self, entry_size: usize) -> u32 {
        self.written + (self.pending.len() / entry_size) as u32
    }
}

impl EntryFile {
    pub fn new(format: &'static EntryFormat) -> EntryFile {
        EntryFile { format, file: LazyFile::default(), state: RwLock::new(None), file_change: Mutex::new(()) }
    }

    /// Makes the file if there is none.
    pub fn create(&self, paths: &SegmentPaths) -> io::Result<()> {
        self.file.once(paths, self.format.kind, true).map(|_| ())
    }

    pub fn path(&self, paths: &SegmentPaths) -> PathBuf {
        paths.path(self.format.kind)
    }

    /// The length of the file as it lies there; `None` if there is none.
    pub fn file_length(&self, paths: &SegmentPaths) -> io::Result<Option<u64>> {
        match fs::len(paths.path(self.format.kind)) {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn load(&self, paths: &SegmentPaths) -> io::Result<()> {
        if self.state.read().is_some() {
            return Ok(());
        }
        let file = self.file.once(paths, self.format.kind, true)?;
        let length = file.len()?;
        let written = u32::try_from(length / self.format.entry_size as u64).unwrap_or(u32::MAX);
        let mut last = None;
        if written > 0 {
            last = Some(self.read_written(&file, written - 1)?);
        }
        // Another reader may have been here meanwhile, and the writer behind it: then what it found stands.
        self.state.write().get_or_insert_with(|| Box::new(State { written, pending: Vec::new(), last }));
        Ok(())
    }

    fn read_written(&self, file: &fs::File, slot: u32) -> io::Result<Entry> {
        let mut entry = Entry::default();
        let bytes = entry.get_mut(..self.format.entry_size).unwrap_or_default();
        file.read_exact_at(bytes, u64::from(slot) * self.format.entry_size as u64)?;
        Ok(entry)
    }

    /// How many entries there are.
    pub fn entries(&self, paths: &SegmentPaths) -> io::Result<u32> {
        self.load(paths)?;
        Ok(self.state.read().as_ref().map_or(0, |state| state.entries(self.format.entry_size)))
    }

    /// The last entry.
    pub fn last(&self, paths: &SegmentPaths) -> io::Result<Option<Entry>> {
        self.load(paths)?;
        Ok(self.state.read().as_ref().and_then(|state| state.last))
    }

    /// The entry in a slot; `None` behind the last.
    pub fn entry(&self, paths: &SegmentPaths, slot: u32) -> io::Result<Option<Entry>> {
        self.load(paths)?;
        {
            let state = self.state.read();
            let Some(state) = &*state else { return Ok(None) };
            if slot >= state.entries(self.format.entry_size) {
                return Ok(None);
            }
            if slot >= state.written {
                let at = (slot - state.written) as usize * self.format.entry_size;
                return Ok(state.pending.get(at..at + self.format.entry_size).map(to_entry));
            }
        }
        let file = self.file.get(paths, self.format.kind, true)?;
        self.read_written(&file, slot).map(Some)
    }

    /// The last slot whose key is not above `target`; `None` if even the first is. Keys must not fall from slot to slot.
    pub fn floor(
        &self,
        paths: &SegmentPaths,
        target: i64,
        key: impl Fn(&Entry) -> i64,
    ) -> io::Result<Option<(u32, Entry)>> {
        self.load(paths)?;
        let written = {
            let state = self.state.read();
            let Some(state) = &*state else { return Ok(None) };
            // What is in memory comes first: it is where readers at the log's end look.
            let pending = state.pending.chunks_exact(self.format.entry_size).map(to_entry);
            let found = pending.enumerate().take_while(|(_, entry)| key(entry) <= target).last();
            if let Some((index, entry)) = found {
                return Ok(Some((state.written + index as u32, entry)));
            }
            state.written
        };
        if written == 0 {
            return Ok(None);
        }
        let file = self.file.get(paths, self.format.kind, true)?;
        // The answer lies in `low..high`, or is none if `low` is 0 and the first entry is above the target.
        let (mut low, mut high) = (0, written);
        const BLOCK: u32 = 256;
        while high - low > BLOCK {
            let middle = low + (high - low) / 2;
            if key(&self.read_written(&file, middle)?) <= target {
                low = middle;
            } else {
                high = middle;
            }
        }
        let mut block = [0; BLOCK as usize * MAX_ENTRY_SIZE];
        let length = (high - low) as usize * self.format.entry_size;
        let block = block.get_mut(..length).unwrap_or_default();
        let read = read_up_to_at(&file, block, u64::from(low) * self.format.entry_size as u64)?;
        let entries =
            block.get(..read).unwrap_or_default().chunks_exact(self.format.entry_size).map(to_entry);
        let found = entries.enumerate().take_while(|(_, entry)| key(entry) <= target).last();
        Ok(found.map(|(index, entry)| (low + index as u32, entry)))
    }

    /// Adds an entry.
    pub fn push(&self, paths: &SegmentPaths, bytes: &[u8]) -> io::Result<()> {
        assert_eq!(bytes.len(), self.format.entry_size, "an index has entries of one size");
        self.load(paths)?;
        let full = {
            let mut state = self.state.write();
            let state = state.get_or_insert_default();
            state.pending.extend_from_slice(bytes);
            state.last = Some(to_entry(bytes));
            state.pending.len() >= PENDING_LIMIT * self.format.entry_size
        };
        if full { self.write_pending(paths) } else { Ok(()) }
    }

    /// Writes what is only in memory. Readers go on meanwhile.
    pub fn write_pending(&self, paths: &SegmentPaths) -> io::Result<()> {
        let _change = self.file_change.lock();
        self.write_pending_locked(paths)
    }

    fn write_pending_locked(&self, paths: &SegmentPaths) -> io::Result<()> {
        let (bytes, written) = match &*self.state.read() {
            Some(state) if !state.pending.is_empty() => (state.pending.clone(), state.written),
            _ => return Ok(()),
        };
        let file = self.file.once(paths, self.format.kind, true)?;
        file.write_all_at(&bytes, u64::from(written) * self.format.entry_size as u64)?;
        if let Some(state) = &mut *self.state.write() {
            state.written += (bytes.len() / self.format.entry_size) as u32;
            state.pending.drain(..bytes.len());
            if state.pending.is_empty() {
                state.pending = Vec::new();
            }
        }
        Ok(())
    }

    /// Writes and syncs everything.
    pub fn sync(&self, paths: &SegmentPaths) -> io::Result<()> {
        self.write_pending(paths)?;
        if self.state.read().is_none() {
            return Ok(());
        }
        self.file.get(paths, self.format.kind, true)?.sync_data()
    }

    /// Keeps the first `entries` only; also cuts off what is no whole entry.
    pub fn truncate(&self, paths: &SegmentPaths, entries: u32) -> io::Result<()> {
        self.load(paths)?;
        let _change = self.file_change.lock();
        self.write_pending_locked(paths)?;
        let file = self.file.once(paths, self.format.kind, true)?;
        let written = self.entries(paths)?.min(entries);
        file.set_len(u64::from(written) * self.format.entry_size as u64)?;
        let last = if written > 0 { Some(self.read_written(&file, written - 1)?) } else { None };
        *self.state.write() = Some(Box::new(State { written, pending: Vec::new(), last }));
        Ok(())
    }

    /// Writes what is only in memory and closes the file. It is opened again when it is used.
    pub fn release(&self, paths: &SegmentPaths) -> io::Result<()> {
        self.write_pending(paths)?;
        self.close();
        Ok(())
    }

    /// Closes the file, and leaves what is only in memory there.
    pub fn close(&self) {
        self.file.close();
    }
}

fn to_entry(bytes: &[u8]) -> Entry {
    let mut entry = Entry::default();
    for (to, from) in entry.iter_mut().zip(bytes) {
        *to = *from;
    }
    entry
}

/// The big-endian number in four bytes of an entry.
pub(super) fn i32_at(entry: &Entry, at: usize) -> i32 {
    entry.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| i32::from_be_bytes(*bytes))
}

/// The big-endian number in eight bytes of an entry.
pub(super) fn i64_at(entry: &Entry, at: usize) -> i64 {
    entry.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| i64::from_be_bytes(*bytes))
}

/// How far `offset` lies behind `base_offset`, if an index can say so.
pub(super) fn relative_offset(base_offset: i64, offset: i64) -> Option<i32> {
    let relative = offset.checked_sub(base_offset)?;
    i32::try_from(relative).ok().filter(|relative| *relative >= 0)
}
