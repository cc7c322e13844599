//! A disk in memory that keeps apart what was written and what would survive a crash.
//!
//! What it promises is what POSIX promises and file systems with a journal keep, not more:
//!
//! - What was written to a file survives when the file was synced. Otherwise, at a crash, any beginning of what was done to it may be
//!   there, the last write torn, and pages before missing: with what was there before, or with zeros where the file grew.
//! - A name that was made, changed or removed survives when its directory was synced. Otherwise, at a crash, any beginning of what was
//!   done to the directory may be there. Syncing a file does not make its name survive.
//! - A sync that fails has written nothing, and a later one that succeeds does not make up for it.
//!
//! A process that is killed loses nothing of all that: only its open files.

mod file;
mod random;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Condvar, Mutex};

pub(crate) use file::SimulatedFile;
pub use random::SeededRandom;
use state::State;
pub use state::{DiskDamage, DiskFaults};

use crate::fs::DirEntry;

/// Where disks are mounted. Nothing real lies there.
const MOUNT_POINT: &str = "/simulated-disk";

static MOUNTED: AtomicUsize = AtomicUsize::new(0);
static NEXT: AtomicU64 = AtomicU64::new(0);
static DISKS: Mutex<BTreeMap<u64, Weak<Shared>>> = Mutex::new(BTreeMap::new());

/// A disk in memory. A clone is the same disk; it is gone with the last one.
#[derive(Clone, Debug)]
pub struct SimulatedDisk(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    number: u64,
    path: PathBuf,
    state: Mutex<State>,
    stalled: Mutex<bool>,
    goes_on: Condvar,
}

impl Drop for Shared {
    fn drop(&mut self) {
        DISKS.lock().remove(&self.number);
        MOUNTED.fetch_sub(1, Ordering::Release);
    }
}

/// The disk on which a path lies, if it is a simulated one.
pub(crate) fn disk_of(path: &Path) -> Option<SimulatedDisk> {
    if MOUNTED.load(Ordering::Acquire) == 0 {
        return None;
    }
    let mut parts = path.strip_prefix(MOUNT_POINT).ok()?.components();
    let number: u64 = parts.next()?.as_os_str().to_str()?.parse().ok()?;
    DISKS.lock().get(&number)?.upgrade().map(SimulatedDisk)
}

/// Whether a sync of a file or directory is to be forgotten.
pub(crate) type Forgets = Box<dyn Fn(&Path) -> bool + Send>;

impl SimulatedDisk {
    /// An empty disk. What it does by chance follows from `seed`.
    pub fn new(seed: u64) -> SimulatedDisk {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(MOUNT_POINT).join(number.to_string());
        let state = Mutex::new(State::new(seed));
        let shared =
            Arc::new(Shared { number, path, state, stalled: Mutex::default(), goes_on: Condvar::new() });
        DISKS.lock().insert(number, Arc::downgrade(&shared));
        MOUNTED.fetch_add(1, Ordering::Release);
        SimulatedDisk(shared)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Sets its clock, in ms since 1970.
    pub fn set_now_ms(&self, now_ms: i64) {
        self.0.state.lock().now_ms = now_ms;
    }

    /// Sets how it fails from now on.
    pub fn set_faults(&self, faults: DiskFaults) {
        self.0.state.lock().faults = faults;
    }

    /// Lets `changes` more changes of files or names happen. At the next one the node stops: a write is torn, and whatever is
    /// asked of the disk from then on fails, until [`SimulatedDisk::kill`] or [`SimulatedDisk::lose_power`].
    pub fn halt_after(&self, changes: u64) {
        self.0.state.lock().halt_after = Some(changes);
    }

    /// From now on whoever writes to a file waits, until [`SimulatedDisk::go_on`].
    pub fn stall(&self) {
        *self.0.stalled.lock() = true;
    }

    /// Ends what [`SimulatedDisk::stall`] began.
    pub fn go_on(&self) {
        *self.0.stalled.lock() = false;
        self.0.goes_on.notify_all();
    }

    pub(crate) fn wait_while_stalled(&self) {
        self.0.goes_on.wait_while(&mut self.0.stalled.lock(), |stalled| *stalled);
    }

    /// Whether [`SimulatedDisk::halt_after`] has stopped the node.
    pub fn is_halted(&self) -> bool {
        self.0.state.lock().halted
    }

    /// The node's process ends. What it wrote is there, what was not synced can still be lost.
    pub fn kill(&self) {
        self.0.state.lock().kill();
    }

    /// The node's machine loses its power. What was not synced is there, or not, or in part.
    pub fn lose_power(&self) {
        self.0.state.lock().lose_power();
    }

    /// Makes the disk forget to sync the files and directories that `which` names by their paths, as a program would that left the
    /// sync out: to prove that it would be found.
    pub fn forget_syncs(&self, which: impl Fn(&Path) -> bool + Send + 'static) {
        self.0.state.lock().forgets = Some(Box::new(which));
    }

    /// Has losses of power look like the ends of processes to whoever asks for the boot: to prove that it would be found.
    pub fn hide_boots(&self) {
        self.0.state.lock().hides_boots = true;
    }

    /// Flips one bit of a file, on the disk and in what is read of it. `false` if it has none.
    pub fn flip_bit(&self, path: impl AsRef<Path>) -> bool {
        let mut state = self.0.state.lock();
        let found = state.find(&self.relative(path.as_ref()));
        found.is_some_and(|node| state.flip_bit(node))
    }

    /// How many bytes its files have.
    pub fn used_bytes(&self) -> u64 {
        self.0.state.lock().used
    }

    /// How many bytes there is still room for, where that is limited.
    pub fn room(&self) -> Option<u64> {
        let state = self.0.state.lock();
        state.faults.capacity.map(|capacity| capacity.saturating_sub(state.used))
    }

    /// Flips the bit of one byte of a file, on the disk and in what is read of it.
    pub fn flip_bit_at(&self, path: impl AsRef<Path>, byte: u64, bit: u8) -> bool {
        let mut state = self.0.state.lock();
        let found = state.find(&self.relative(path.as_ref()));
        found.is_some_and(|node| state.flip(node, byte as usize, 1 << (bit % 8)))
    }

    /// What it has done to those who use it so far.
    pub fn damage(&self) -> DiskDamage {
        self.0.state.lock().damage
    }

    /// How many changes of files and names there were.
    pub fn changes(&self) -> u64 {
        self.0.state.lock().changes
    }

    /// A hash of everything that was done to the disk, in its order: two runs that did the same have the same.
    pub fn trace(&self) -> u64 {
        self.0.state.lock().trace
    }

    /// How long, in µs, what was done since this was last asked would have taken by [`DiskFaults::sync_us`].
    pub fn take_delay_us(&self) -> u64 {
        std::mem::take(&mut self.0.state.lock().delay_us)
    }

    /// The names on the way to a path, from the disk's root on.
    fn relative(&self, path: &Path) -> Vec<String> {
        let rest = path.strip_prefix(&self.0.path).unwrap_or(path);
        rest.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
    }

    pub(crate) fn open(&self, path: &Path, create: bool, truncate: bool) -> io::Result<SimulatedFile> {
        let mut state = self.0.state.lock();
        let node = state.open(&self.relative(path), create, truncate)?;
        Ok(SimulatedFile::new(self.clone(), path, node, state.incarnation))
    }

    pub(crate) fn create_new(&self, path: &Path) -> io::Result<SimulatedFile> {
        let mut state = self.0.state.lock();
        let names = self.relative(path);
        if state.find(&names).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let node = state.open(&names, true, false)?;
        Ok(SimulatedFile::new(self.clone(), path, node, state.incarnation))
    }

    pub(crate) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut state = self.0.state.lock();
        let node = state.open(&self.relative(path), false, false)?;
        state.read_whole(node)
    }

    pub(crate) fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut state = self.0.state.lock();
        let entries = state.read_dir(&self.relative(path))?;
        let entry = |(name, is_dir): (String, bool)| DirEntry {
            path: path.join(&name),
            name: name.into(),
            is_dir,
            is_file: !is_dir,
        };
        Ok(entries.into_iter().map(entry).collect())
    }

    /// Whether what lies there is a directory; `None` if nothing does.
    pub(crate) fn is_dir(&self, path: &Path) -> Option<bool> {
        let state = self.0.state.lock();
        state.find(&self.relative(path)).map(|node| state.is_dir(node))
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.state.lock().rename(&self.relative(from), &self.relative(to))
    }

    pub(crate) fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.state.lock().remove(&self.relative(path), false)
    }

    pub(crate) fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.state.lock().remove(&self.relative(path), true)
    }

    pub(crate) fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.state.lock().create_dir_all(&self.relative(path))
    }

    pub(crate) fn boot_identity(&self) -> String {
        format!("simulated {} {}", self.0.number, self.0.state.lock().boots)
    }

    pub(crate) fn sync_all(&self) -> io::Result<()> {
        self.0.state.lock().sync_all()
    }

    pub(crate) fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.state.lock().sync_dir(&self.relative(path), path)
    }
}
