//! Large requests: those that keep a thread busy for milliseconds, with receiving, checking and writing them.
//!
//! Whatever they are, others are to be served meanwhile, and their memory is to be everybody's again when they are:
//!
//! - Few of them are received or served at a time ([`Lane`]), so that most threads are left to others.
//! - They are received in slices. Between two of them the thread serves whoever else is to be served, and before that lets other threads
//!   have the processor.
//! - While one is served, another thread takes over what this one would have served next ([`beside_others`]).
//! - Their memory comes from the operating system and goes back to it at once ([`Mapping`]). It grows with the bytes that arrive,
//!   without being copied, where an allocator would hold a second copy while it grows, and keep both for a while.

use std::io;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::mm::{MapFlags, MremapFlags, ProtFlags, mmap_anonymous, mremap, munmap};
use tokio::net::TcpStream;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::buffer;
use crate::connection::{ConnectionError, OTHERS_WAIT};
use crate::memory::Held;

/// From this size on a request is a large one: what the buffers that are reused are too small for.
pub(crate) const LARGE: usize = buffer::LARGEST_KEPT;
/// Received at a time; some ten microseconds.
const SLICE: usize = 128 * 1024;
/// Memory for so many bytes at least is taken at a time: a size on the wire is only a claim.
const GROWTH: usize = 1024 * 1024;
/// Whoever waits for a place while nobody gives one back for so long goes on without: those who have them may wait for a disk.
const PATIENCE: Duration = Duration::from_secs(1);

/// The places for those large requests that are received or served at a time.
#[derive(Debug)]
pub(crate) struct Lane {
    places: Semaphore,
    given_back: AtomicU64,
}

impl Default for Lane {
    /// A place for every other processor.
    fn default() -> Lane {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Lane { places: Semaphore::new((processors / 2).max(1)), given_back: AtomicU64::new(0) }
    }
}

/// A place in the lane, until it is dropped.
pub(crate) struct Place<'a> {
    lane: &'a Lane,
    _permit: Option<SemaphorePermit<'a>>,
}

impl Lane {
    /// Waits for a place, in turn.
    pub async fn enter(&self) -> Place<'_> {
        loop {
            let given_back = self.given_back.load(Ordering::Relaxed);
            match tokio::time::timeout(PATIENCE, self.places.acquire()).await {
                Ok(permit) => return Place { lane: self, _permit: permit.ok() },
                Err(_) if self.given_back.load(Ordering::Relaxed) != given_back => {}
                Err(_) => return Place { lane: self, _permit: None },
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.lane.given_back.fetch_add(1, Ordering::Relaxed);
    }
}

/// Does what takes long, while another thread serves those connections that this one would have served next; on a thread that serves
/// none, just so.
pub fn beside_others<R>(work: impl FnOnce() -> R) -> R {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        // There is no other thread, or no need for one.
        _ => work(),
    }
}

/// Lets whoever waits for this processor go first. Where nobody waits this takes less than a microsecond.
///
/// Linux lets a thread that is at work use up its slice, some milliseconds, before one goes on that was woken meanwhile, and a processor
/// that becomes free may leave that one where it waits. Beside a hundred requests of 100 MB one of a hundred others waited so for two
/// milliseconds, with this for no longer than without them.
fn give_way() {
    std::thread::yield_now();
}

/// Receives a frame of `size` bytes, its length included, of which `head` is here: a buffer that others may have then. `None`: the client ends before.
pub(crate) async fn receive(
    stream: &TcpStream,
    head: Vec<u8>,
    size: usize,
    held: &mut Held,
    touch: impl Fn(),
) -> Result<Option<Mapping>, ConnectionError> {
    let mut frame = Mapping::default();
    held.grow_to(size.min(head.len() + GROWTH)).await;
    frame.grow(size.min(head.len() + GROWTH))?;
    frame.push(&head);
    buffer::release(head);
    while frame.len() < size {
        if frame.len() == frame.capacity {
            let capacity = size.min(frame.len() + GROWTH.max(frame.len() / 2));
            held.grow_to(capacity).await;
            frame.grow(capacity)?;
        }
        wait_for_more(stream, held).await?;
        touch();
        let lane = held.lane();
        let _place = lane.enter().await;
        while !frame.room().is_empty() {
            let room = frame.room();
            let slice = room.len().min(SLICE);
            match stream.try_read(&mut room[..slice]) {
                Ok(0) => {
                    beside_others(|| drop(frame));
                    return Ok(None);
                }
                Ok(read) => frame.len += read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    beside_others(|| drop(frame));
                    return Err(error.into());
                }
            }
            give_way();
            tokio::task::yield_now().await;
        }
    }
    Ok(Some(frame))
}

/// Until more has come: not for ever where others wait for this one's memory.
async fn wait_for_more(stream: &TcpStream, held: &Held) -> Result<(), ConnectionError> {
    if !held.is_beyond_limit() {
        return Ok(stream.readable().await?);
    }
    match tokio::time::timeout(OTHERS_WAIT, stream.readable()).await {
        Ok(readable) => Ok(readable?),
        Err(_) => Err(ConnectionError::HeldUp),
    }
}

/// Bytes in memory that the operating system gives and takes back by itself.
///
/// **Invariant:** `start` is a mapping of `capacity` bytes that nobody else knows, of which the first `len` have been filled; without
/// capacity there is none.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    capacity: usize,
    len: usize,
}

// SAFETY: it owns its memory as a `Vec<u8>` does.
unsafe impl Send for Mapping {}
// SAFETY: as above; through a shared reference it is only read.
unsafe impl Sync for Mapping {}

impl Default for Mapping {
    fn default() -> Mapping {
        Mapping { start: NonNull::dangling(), capacity: 0, len: 0 }
    }
}

impl Mapping {
    /// Takes memory for so many bytes in all. What is there stays, perhaps at another place.
    fn grow(&mut self, capacity: usize) -> io::Result<()> {
        if capacity <= self.capacity {
            return Ok(());
        }
        let (read_write, private) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        let start = match self.capacity {
            // SAFETY: without an address the mapping overlaps with no other.
            0 => unsafe { mmap_anonymous(ptr::null_mut(), capacity, read_write, private) },
            // SAFETY: the mapping is this one's, and nobody borrows from it, for it is borrowed mutably.
            _ => unsafe { mremap(self.start.as_ptr().cast(), self.capacity, capacity, MremapFlags::MAYMOVE) },
        }?;
        self.start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        self.capacity = capacity;
        Ok(())
    }

    /// What is not filled yet.
    fn room(&mut self) -> &mut [u8] {
        // SAFETY: by the invariant; new memory is zero, so that all of it is initialized.
        let all = unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.capacity) };
        &mut all[self.len..]
    }

    /// Fills in what there must be room for.
    fn push(&mut self, bytes: &[u8]) {
        self.room()[..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: by the invariant.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Mapping {
    /// Piece by piece, from the end: whoever maps memory meanwhile, be it for the stack of a thread that is to serve others, waits until a
    /// piece is unmapped, and that takes ten milliseconds for a hundred megabytes.
    fn drop(&mut self) {
        while self.capacity > 0 {
            // The first one takes what is beyond a whole number of pieces, so that all begin with a page.
            let piece = (self.capacity - 1) % GROWTH + 1;
            self.capacity -= piece;
            // SAFETY: the end of the mapping is this one's, and nothing can borrow from it any more; what is left of it is a mapping, too.
            let unmapped = unsafe { munmap(self.start.as_ptr().add(self.capacity).cast(), piece) };
            assert!(unmapped.is_ok(), "Invariant: what was mapped can be unmapped");
            give_way();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What of the process's memory there is for an address range, in bytes.
    fn resident(start: NonNull<u8>, length: usize) -> usize {
        let start = start.as_ptr() as usize;
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        let mut kib = 0;
        for line in maps.lines() {
            let range = line.split_whitespace().next().and_then(|range| range.split_once('-'));
            if let Some((from, to)) = range
                && let (Ok(from), Ok(to)) = (usize::from_str_radix(from, 16), usize::from_str_radix(to, 16))
            {
                inside = from < start + length && to > start;
            } else if inside && let Some(rss) = line.strip_prefix("Rss:") {
                kib += rss.trim().trim_end_matches(" kB").parse::<usize>().unwrap();
            }
        }
        kib * 1024
    }

    #[test]
    fn memory_grows_without_losing_anything_and_goes_back_at_once() {
        let mut mapping = Mapping::default();
        assert!(mapping.is_empty());
        let mut expected = Vec::new();
        for round in 0..20u8 {
            let bytes = vec![round; 1_000_003];
            mapping.grow(mapping.len() + bytes.len()).unwrap();
            mapping.push(&bytes);
            expected.extend_from_slice(&bytes);
        }
        assert!(*mapping == *expected);
        let (start, capacity) = (mapping.start, mapping.capacity);
        assert!(resident(start, capacity) >= capacity);
        drop(mapping);
        // Another thread may have been given a part of the addresses meanwhile.
        assert!(resident(start, capacity) < capacity / 2);
    }

    #[test]
    fn memory_that_is_not_filled_is_not_there() {
        let mut mapping = Mapping::default();
        mapping.grow(256 << 20).unwrap();
        mapping.push(b"claimed");
        assert!(resident(mapping.start, mapping.capacity) < 4 << 20);
        assert_eq!(&*mapping, b"claimed");
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_few_but_nobody_waits_for_ever() {
        let lane = Lane { places: Semaphore::new(1), given_back: AtomicU64::new(0) };
        let first = lane.enter().await;
        let mut second = Box::pin(lane.enter());
        assert!(tokio::time::timeout(PATIENCE / 2, second.as_mut()).await.is_err());
        drop(first);
        let second = second.await;
        assert_eq!(lane.places.available_permits(), 0);
        // One that does not come back: whoever waits goes on, without a place that could be given back.
        drop(lane.enter().await);
        assert_eq!(lane.places.available_permits(), 0);
        drop(second);
        assert_eq!(lane.places.available_permits(), 1);
    }
}
