//! Receive buffers: reused, because touching memory for the first time costs more than filling it.
//!
//! Each thread keeps small ones. Those that large requests made grow are few, and everybody's: threads come and go, and there may be
//! many of them. What nobody needed for a while goes back to the system ([`trim`]).

use std::cell::RefCell;

use parking_lot::Mutex;

/// What a buffer has at least: most requests fit.
const SMALL: usize = 16 * 1024;
/// Of requests larger than this few fit into such a buffer.
pub(crate) const HALF_OF_SMALL: usize = SMALL / 2;
/// A buffer grown beyond this is not kept by a thread.
const LARGEST_OF_THREAD: usize = 64 * 1024;
/// A buffer grown beyond this is given back. Requests beyond it have memory of their own ([`crate::large`]).
pub(crate) const LARGEST_KEPT: usize = 2 * 1024 * 1024;
/// So many buffers wait on each thread for the next request.
const KEPT_PER_THREAD: usize = 2;
/// So many that have grown wait for whoever needs one.
const KEPT_FOR_ALL: usize = 16;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

static SHARED: Mutex<Shared> = Mutex::new(Shared { buffers: Vec::new(), unused: 0 });

/// Buffers of more than [`LARGEST_OF_THREAD`].
struct Shared {
    buffers: Vec<Vec<u8>>,
    /// So many of them, those in front, were here all the time since the last [`trim`].
    unused: usize,
}

impl Shared {
    fn take(&mut self) -> Option<Vec<u8>> {
        let buffer = self.buffers.pop();
        self.unused = self.unused.min(self.buffers.len());
        buffer
    }

    fn put(&mut self, buffer: Vec<u8>) {
        if self.buffers.len() < KEPT_FOR_ALL {
            self.buffers.push(buffer);
        }
    }

    /// Those that nobody needed since the last time.
    fn trim(&mut self) -> Vec<Vec<u8>> {
        let unused = self.buffers.drain(..self.unused).collect();
        self.unused = self.buffers.len();
        unused
    }
}

/// An empty buffer for about so many bytes, a used one where there is one.
pub(crate) fn acquire(expected: usize) -> Vec<u8> {
    if expected > LARGEST_OF_THREAD
        && let Some(buffer) = SHARED.lock().take()
    {
        return buffer;
    }
    POOL.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(SMALL))
}

/// Gives a buffer back for the next request.
pub(crate) fn release(mut buffer: Vec<u8>) {
    buffer.clear();
    match buffer.capacity() {
        0 => {}
        1..=LARGEST_OF_THREAD => POOL.with_borrow_mut(|pool| {
            if pool.len() < KEPT_PER_THREAD {
                pool.push(buffer);
            }
        }),
        capacity if capacity <= LARGEST_KEPT => SHARED.lock().put(buffer),
        _ => {}
    }
}

/// How many wait on this thread.
#[cfg(test)]
pub(crate) fn kept_by_thread() -> usize {
    POOL.with_borrow(Vec::len)
}

/// Makes a buffer's capacity so many bytes at least, with what it holds.
pub(crate) fn grow(buffer: &mut Vec<u8>, capacity: usize) {
    if buffer.capacity() <= LARGEST_OF_THREAD && capacity > LARGEST_OF_THREAD {
        let mut larger = acquire(capacity);
        larger.extend_from_slice(buffer);
        release(std::mem::replace(buffer, larger));
    }
    buffer.reserve_exact(capacity.saturating_sub(buffer.len()));
}

/// Frees the buffers that nobody has needed since the last call.
pub fn trim() {
    // Freed when others may go on.
    let unused = SHARED.lock().trim();
    drop(unused);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_buffers_are_the_threads() {
        let mut buffer = acquire(0);
        buffer.resize(50_000, 7);
        let capacity = buffer.capacity();
        release(buffer);
        let buffer = acquire(0);
        assert!(buffer.is_empty());
        assert_eq!(buffer.capacity(), capacity);
        release(Vec::with_capacity(LARGEST_OF_THREAD + 1));
        release(Vec::with_capacity(LARGEST_KEPT + 1));
        assert_eq!(acquire(0).capacity(), SMALL);
    }

    #[test]
    fn grown_buffers_stay_as_long_as_somebody_needs_them() {
        let mut shared = Shared { buffers: Vec::new(), unused: 0 };
        for size in 1..=3 {
            shared.put(Vec::with_capacity(size * 100_000));
        }
        assert!(shared.trim().is_empty(), "they have just come");
        let used = shared.take().unwrap();
        assert_eq!(used.capacity(), 300_000, "the one that was used last");
        shared.put(used);
        let freed: Vec<usize> = shared.trim().iter().map(Vec::capacity).collect();
        assert_eq!(freed, [100_000, 200_000]);
        assert_eq!(shared.trim().len(), 1);
        assert!(shared.take().is_none());
        for _ in 0..2 * KEPT_FOR_ALL {
            shared.put(Vec::with_capacity(100_000));
        }
        assert_eq!(shared.buffers.len(), KEPT_FOR_ALL);
    }

    #[test]
    fn a_buffer_that_grows_keeps_what_it_holds() {
        let mut buffer = acquire(0);
        buffer.extend_from_slice(b"head");
        grow(&mut buffer, 300_000);
        assert_eq!(buffer, b"head");
        assert!(buffer.capacity() >= 300_000);
    }
}
