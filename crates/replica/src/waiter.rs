//! Fetches that wait for records (Kafka's `DelayedFetch` and its purgatory).
//!
//! A fetch that finds too little watches its partitions. An append takes its size off what each watcher still misses,
//! and wakes those that miss nothing any more: at most once each, and on the thread that appended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering, fence};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::Settled;

/// One waiting fetch.
#[derive(Debug)]
pub struct FetchWaiter {
    /// How many bytes it still waits for.
    missing: AtomicI64,
    woken: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl FetchWaiter {
    /// Waits for `missing_bytes` more; of nothing at all for one.
    pub fn new(missing_bytes: i64) -> Arc<FetchWaiter> {
        Arc::new(FetchWaiter {
            missing: AtomicI64::new(missing_bytes.max(1)),
            woken: AtomicBool::new(false),
            waker: Mutex::new(None),
        })
    }

    /// So many more bytes can be fetched. True where nothing is missing any more.
    fn add(&self, bytes: i64) -> bool {
        if self.missing.fetch_sub(bytes, Ordering::AcqRel) > bytes {
            return false;
        }
        self.wake();
        true
    }

    /// Ends the wait whatever is missing: something else about the partition has changed.
    pub fn wake(&self) {
        if !self.woken.swap(true, Ordering::AcqRel)
            && let Some(waker) = self.waker.lock().take()
        {
            waker.wake();
        }
    }

    /// Ready once the wait is over; otherwise the task is woken when it is.
    pub fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.woken.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        *self.waker.lock() = Some(context.waker().clone());
        // Between the look above and the waker being in its place, the waking may have passed by.
        if self.woken.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Who is to hear of a partition.
enum Watcher {
    Fetch(Arc<FetchWaiter>),
    /// A session that does not look at the partition meanwhile. It is told once.
    Session(Arc<Settled>),
}

/// The fetches that wait for one partition, and the sessions in which nothing is new about it.
#[derive(Default)]
pub(crate) struct Watchers {
    /// Appends look here first, and most find zero.
    count: AtomicUsize,
    watchers: Mutex<Vec<Watcher>>,
}

impl Watchers {
    pub(crate) fn add(&self, waiter: &Arc<FetchWaiter>) {
        self.change(|watchers| watchers.push(Watcher::Fetch(Arc::clone(waiter))));
    }

    pub(crate) fn remove(&self, waiter: &Arc<FetchWaiter>) {
        self.change(|watchers| {
            watchers
                .retain(|watcher| !matches!(watcher, Watcher::Fetch(other) if Arc::ptr_eq(other, waiter)));
        });
    }

    /// The session hears of what happens from now on. What happened just before may have missed it: the caller looks after this.
    pub(crate) fn settle(&self, settled: &Arc<Settled>) {
        self.change(|watchers| watchers.push(Watcher::Session(Arc::clone(settled))));
        // Who changes the partition does so before it looks at the count.
        fence(Ordering::SeqCst);
    }

    pub(crate) fn unsettle(&self, settled: &Arc<Settled>) {
        self.change(|watchers| {
            watchers
                .retain(|watcher| !matches!(watcher, Watcher::Session(other) if Arc::ptr_eq(other, settled)));
        });
        settled.end();
    }

    /// So many bytes more may be fetched; more than anybody waits for where nobody knows how many.
    pub(crate) fn bytes_added(&self, bytes: i64) {
        if self.count.load(Ordering::SeqCst) > 0 {
            self.change(|watchers| {
                watchers.retain(|watcher| match watcher {
                    Watcher::Fetch(waiter) => !waiter.add(bytes),
                    Watcher::Session(settled) => {
                        settled.changed(true);
                        false
                    }
                });
            });
        }
    }

    /// Something is new that is told with the next answer, and that no fetch waits for.
    pub(crate) fn news(&self) {
        if self.count.load(Ordering::SeqCst) > 0 {
            self.change(|watchers| {
                watchers.retain(|watcher| match watcher {
                    Watcher::Fetch(_) => true,
                    Watcher::Session(settled) => {
                        settled.changed(false);
                        false
                    }
                });
            });
        }
    }

    pub(crate) fn wake_all(&self) {
        self.change(|watchers| {
            watchers.drain(..).for_each(|watcher| match watcher {
                Watcher::Fetch(waiter) => waiter.wake(),
                Watcher::Session(settled) => settled.changed(true),
            });
        });
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Watcher>)) {
        let mut watchers = self.watchers.lock();
        change(&mut watchers);
        self.count.store(watchers.len(), Ordering::SeqCst);
    }
}

/// What of a partition a fetch waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchedEnd {
    /// Committed records: a consumer.
    Committed,
    /// Any records: a follower.
    Log,
}

/// A waiter at the partitions that it watches; dropping this ends the watch.
pub struct Watch {
    waiter: Arc<FetchWaiter>,
    end: WatchedEnd,
    partitions: Vec<Arc<crate::Partition>>,
}

impl Watch {
    /// Watches `partitions`. The caller looks once more for records after this: what was appended between its last look
    /// and now woke nobody.
    pub fn new(waiter: Arc<FetchWaiter>, end: WatchedEnd, partitions: Vec<Arc<crate::Partition>>) -> Watch {
        for partition in &partitions {
            partition.watchers(end).add(&waiter);
        }
        Watch { waiter, end, partitions }
    }

    /// The waiter.
    pub fn waiter(&self) -> &Arc<FetchWaiter> {
        &self.waiter
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for partition in &self.partitions {
            partition.watchers(self.end).remove(&self.waiter);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_waiter_is_woken_once_when_enough_is_there() {
        let woken = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        let watchers = Watchers::default();
        let waiter = FetchWaiter::new(100);
        watchers.add(&waiter);
        assert!(waiter.poll(&mut context).is_pending());
        watchers.bytes_added(60);
        assert!(waiter.poll(&mut context).is_pending());
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
        watchers.bytes_added(60);
        watchers.bytes_added(60);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert!(waiter.poll(&mut context).is_ready());
    }

    #[test]
    fn waiting_for_nothing_takes_one_byte_and_wake_all_takes_none() {
        let mut context = Context::from_waker(Waker::noop());
        let watchers = Watchers::default();
        let (first, second) = (FetchWaiter::new(0), FetchWaiter::new(1000));
        watchers.add(&first);
        watchers.add(&second);
        assert!(first.poll(&mut context).is_pending());
        watchers.bytes_added(1);
        assert!(first.poll(&mut context).is_ready());
        assert!(second.poll(&mut context).is_pending());
        watchers.wake_all();
        assert!(second.poll(&mut context).is_ready());
    }

    #[test]
    fn a_waiter_that_left_is_not_woken() {
        let mut context = Context::from_waker(Waker::noop());
        let watchers = Watchers::default();
        let waiter = FetchWaiter::new(1);
        watchers.add(&waiter);
        watchers.remove(&waiter);
        watchers.bytes_added(10);
        assert!(waiter.poll(&mut context).is_pending());
    }
}
