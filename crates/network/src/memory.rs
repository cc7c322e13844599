//! How much memory requests may hold that have not been served yet (`queued.max.request.bytes`; Kafka's `MemoryPool`).
//!
//! A connection takes memory for a large request as its bytes arrive, not as they are announced. Where there is none left it reads no
//! further until somebody gives some back. So that requests of which each has a part do not wait for each other for ever, one
//! connection at a time, in turn, goes on beyond the limit: all of them together never hold more than the limit and one request.
//! Requests that fit into a connection's first buffer never wait: the others are served whatever large ones do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Mutex, Notify, OwnedMutexGuard};

use crate::large::Lane;

/// The memory for the requests of a broker, over all its listeners.
#[derive(Debug)]
pub struct RequestMemory {
    limit: usize,
    used: AtomicUsize,
    freed: Notify,
    /// Whoever has this may go beyond the limit.
    turn: Arc<Mutex<()>>,
    lane: Lane,
}

impl RequestMemory {
    /// So many bytes; as many as there are if `queued.max.request.bytes` is not above 0.
    pub fn new(queued_max_request_bytes: i64) -> Arc<RequestMemory> {
        let limit = usize::try_from(queued_max_request_bytes).ok().filter(|limit| *limit > 0);
        Arc::new(RequestMemory {
            limit: limit.unwrap_or(usize::MAX),
            used: AtomicUsize::new(0),
            freed: Notify::new(),
            turn: Arc::default(),
            lane: Lane::default(),
        })
    }

    /// What requests hold now, in bytes; 0 without a limit.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn try_take(&self, bytes: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_ok()
    }
}

/// What one connection holds. Dropping it gives all back.
pub(crate) struct Held {
    memory: Arc<RequestMemory>,
    bytes: usize,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Held {
    pub fn nothing(memory: &Arc<RequestMemory>) -> Held {
        Held { memory: Arc::clone(memory), bytes: 0, turn: None }
    }

    /// Where the large ones among all requests take turns.
    pub fn lane(&self) -> &Lane {
        &self.memory.lane
    }

    /// Whether others wait until this connection's request is whole.
    pub fn is_beyond_limit(&self) -> bool {
        self.turn.is_some()
    }

    /// Says that so much is held in all, without waiting: a buffer that a connection has had before there was anything to say.
    pub fn note(&mut self, bytes: usize) {
        if self.memory.limit != usize::MAX && bytes > self.bytes {
            self.memory.used.fetch_add(bytes - self.bytes, Ordering::AcqRel);
            self.bytes = bytes;
        }
    }

    /// Holds so much in all, if there is no need to wait for it.
    pub fn try_grow_to(&mut self, bytes: usize) -> bool {
        if self.memory.limit == usize::MAX || bytes <= self.bytes {
            return true;
        }
        let has_grown = self.memory.try_take(bytes - self.bytes);
        if has_grown {
            self.bytes = bytes;
        }
        has_grown
    }

    /// Waits until so much may be held in all.
    pub async fn grow_to(&mut self, bytes: usize) {
        if self.memory.limit == usize::MAX || bytes <= self.bytes {
            return;
        }
        let more = bytes - self.bytes;
        while self.turn.is_none() {
            let freed = self.memory.freed.notified();
            if self.memory.try_take(more) {
                self.bytes = bytes;
                return;
            }
            tokio::select! {
                turn = Arc::clone(&self.memory.turn).lock_owned() => self.turn = Some(turn),
                () = freed => {}
            }
        }
        self.note(bytes);
    }

    /// Gives all back.
    pub fn release(&mut self) {
        if self.bytes > 0 {
            self.memory.used.fetch_sub(std::mem::take(&mut self.bytes), Ordering::AcqRel);
            self.memory.freed.notify_waiters();
        }
        self.turn = None;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn waits(held: &mut Held, bytes: usize) -> bool {
        tokio::time::timeout(Duration::from_millis(20), held.grow_to(bytes)).await.is_err()
    }

    #[tokio::test]
    async fn one_at_a_time_goes_beyond_the_limit() {
        let memory = RequestMemory::new(100);
        let [mut a, mut b, mut c] = [(); 3].map(|()| Held::nothing(&memory));
        a.grow_to(60).await;
        b.grow_to(40).await;
        assert_eq!((memory.used(), a.is_beyond_limit()), (100, false));
        a.grow_to(90).await;
        assert_eq!((memory.used(), a.is_beyond_limit()), (130, true));
        assert!(waits(&mut b, 50).await);
        assert!(waits(&mut c, 1).await);
        a.release();
        c.grow_to(30).await;
        b.grow_to(70).await;
        assert_eq!((memory.used(), b.is_beyond_limit(), c.is_beyond_limit()), (100, false, false));
        drop((b, c));
        assert_eq!(memory.used(), 0);
    }

    #[tokio::test]
    async fn who_waits_goes_on_when_something_is_given_back() {
        let memory = RequestMemory::new(100);
        let [mut a, mut b, mut c] = [(); 3].map(|()| Held::nothing(&memory));
        a.grow_to(100).await;
        b.grow_to(50).await;
        assert!(b.is_beyond_limit());
        let waiting = tokio::spawn(async move {
            c.grow_to(80).await;
            c
        });
        tokio::task::yield_now().await;
        drop(a);
        // Still 30 too much.
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(b);
        assert_eq!(waiting.await.unwrap().bytes, 80);
    }

    #[tokio::test]
    async fn without_a_limit_nothing_is_counted() {
        let memory = RequestMemory::new(-1);
        let mut held = Held::nothing(&memory);
        held.grow_to(usize::MAX).await;
        held.note(1 << 40);
        assert_eq!(memory.used(), 0);
    }
}
