//! Receive buffers: long-lived and reused, because touching memory for the first time costs more than filling it.

use std::cell::RefCell;

/// What a buffer has at least: most requests fit.
const SMALL: usize = 16 * 1024;
/// A buffer grown beyond this is given back. Requests beyond it have memory of their own ([`crate::large`]).
pub(crate) const LARGEST_KEPT: usize = 2 * 1024 * 1024;
/// So many buffers wait on each thread for the next request.
const KEPT_PER_THREAD: usize = 2;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer, a used one where there is one.
pub(crate) fn acquire() -> Vec<u8> {
    POOL.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(SMALL))
}

/// Gives a buffer back for the next request on this thread.
pub(crate) fn release(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > LARGEST_KEPT {
        return;
    }
    buffer.clear();
    POOL.with_borrow_mut(|pool| {
        if pool.len() < KEPT_PER_THREAD {
            pool.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_reused_unless_they_are_huge() {
        let mut buffer = acquire();
        buffer.resize(100_000, 7);
        let capacity = buffer.capacity();
        release(buffer);
        let buffer = acquire();
        assert!(buffer.is_empty());
        assert_eq!(buffer.capacity(), capacity);
        release(Vec::with_capacity(LARGEST_KEPT + 1));
        assert_eq!(acquire().capacity(), SMALL);
    }
}
