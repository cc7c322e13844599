//! Partitions of a fetch session about which nothing is new (KIP-227). The session does not look at them again before the partition
//! says that something has happened: an idle partition costs a session nothing.
//!
//! A follower that has all of a settled partition catches up with each fetch of the session, although the partition hears nothing of it:
//! the leader asks [`Settled`] when that was.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;

use crate::{FetchWaiter, Isolation, WatchedEnd};

/// What a session hears of its settled partitions.
#[derive(Debug, Default)]
pub struct SessionChanges {
    /// The tokens of those about which something may be new.
    changed: Mutex<Vec<u64>>,
    /// The session's fetch that waits.
    waiter: Mutex<Option<Arc<FetchWaiter>>>,
    last_fetch_ms: AtomicI64,
}

impl SessionChanges {
    /// The partitions that are settled no longer, by their tokens; each is told once.
    pub fn take(&self) -> Vec<u64> {
        std::mem::take(&mut *self.changed.lock())
    }

    /// Has a fetch woken when it may get more: until another takes its place, or none. The caller looks at [`SessionChanges::take`]
    /// after this: what came before woke nobody.
    pub fn wake(&self, waiter: Option<&Arc<FetchWaiter>>) {
        *self.waiter.lock() = waiter.cloned();
    }

    /// A fetch of the session has looked at all partitions that were not settled at a time, in milliseconds.
    pub fn fetched(&self, now_ms: i64) {
        self.last_fetch_ms.fetch_max(now_ms, Ordering::AcqRel);
    }
}

/// A partition's place in a session while it is settled.
#[derive(Debug)]
pub struct Settled {
    session: Arc<SessionChanges>,
    token: u64,
    /// The session's last fetch while the partition was settled; `i64::MAX` as long as it is.
    ended_ms: AtomicI64,
}

/// What a session has said of a partition, and what it would fetch.
#[derive(Debug, Clone, Copy)]
pub struct SettledAt {
    /// The next offset to be fetched.
    pub offset: i64,
    /// The leader epoch that the client knows, -1 for none.
    pub current_leader_epoch: i32,
    /// The high watermark that was told.
    pub high_watermark: i64,
    /// The log start that was told.
    pub log_start_offset: i64,
    /// Who reads.
    pub reader: SettledReader,
}

/// Who reads in a session.
#[derive(Debug, Clone, Copy)]
pub enum SettledReader {
    /// A consumer, and whether only the leader may answer it.
    Consumer(Isolation, bool),
    /// The follower with this id.
    Follower(i32),
}

impl SettledReader {
    /// What is to be fetched in the session.
    pub(crate) fn watches(self) -> WatchedEnd {
        match self {
            SettledReader::Consumer(..) => WatchedEnd::Committed,
            SettledReader::Follower(_) => WatchedEnd::Log,
        }
    }
}

impl Settled {
    /// The place with a token.
    pub fn new(session: &Arc<SessionChanges>, token: u64) -> Arc<Settled> {
        Arc::new(Settled { session: Arc::clone(session), token, ended_ms: AtomicI64::new(i64::MAX) })
    }

    /// When the session fetched last while the partition was settled, in milliseconds.
    pub(crate) fn last_fetch_ms(&self) -> i64 {
        self.ended_ms.load(Ordering::Acquire).min(self.session.last_fetch_ms.load(Ordering::Acquire))
    }

    /// It is settled no longer; nobody need be told.
    pub(crate) fn end(&self) {
        let last_fetch_ms = self.session.last_fetch_ms.load(Ordering::Acquire);
        self.ended_ms.fetch_min(last_fetch_ms, Ordering::AcqRel);
    }

    /// Something has happened. Where it is something to be fetched, the fetch that waits has to look.
    pub(crate) fn changed(&self, wake: bool) {
        self.end();
        self.session.changed.lock().push(self.token);
        if wake && let Some(waiter) = &*self.session.waiter.lock() {
            waiter.wake();
        }
    }
}
