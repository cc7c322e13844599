//! Writers that wait until what they appended is committed (Kafka's `DelayedProduce` and its purgatory).

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::{Partition, PartitionError};

/// Who waits for the high watermark of one partition.
pub(crate) struct CommitWaiters {
    /// The lowest offset that somebody waits for the high watermark to reach; `i64::MAX` for none. Looked at whenever the high
    /// watermark moves.
    lowest: AtomicI64,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    by_offset: BTreeMap<(i64, u64), Waker>,
    next: u64,
}

impl Default for CommitWaiters {
    fn default() -> CommitWaiters {
        CommitWaiters { lowest: AtomicI64::new(i64::MAX), waiting: Mutex::default() }
    }
}

impl Waiting {
    fn lowest(&self) -> i64 {
        self.by_offset.first_key_value().map_or(i64::MAX, |((offset, _), _)| *offset)
    }
}

impl CommitWaiters {
    fn add(&self, offset: i64, key: Option<u64>, waker: &Waker) -> u64 {
        let mut waiting = self.waiting.lock();
        let key = key.unwrap_or_else(|| {
            waiting.next += 1;
            waiting.next
        });
        waiting.by_offset.insert((offset, key), waker.clone());
        self.lowest.store(waiting.lowest(), Ordering::SeqCst);
        key
    }

    fn remove(&self, offset: i64, key: u64) {
        let mut waiting = self.waiting.lock();
        waiting.by_offset.remove(&(offset, key));
        self.lowest.store(waiting.lowest(), Ordering::SeqCst);
    }

    /// The high watermark has moved.
    pub(crate) fn wake_up_to(&self, high_watermark: i64) {
        if self.lowest.load(Ordering::SeqCst) > high_watermark {
            return;
        }
        let reached = {
            let mut waiting = self.waiting.lock();
            let beyond = waiting.by_offset.split_off(&(high_watermark.saturating_add(1), 0));
            let reached = std::mem::replace(&mut waiting.by_offset, beyond);
            self.lowest.store(waiting.lowest(), Ordering::SeqCst);
            reached
        };
        reached.into_values().for_each(Waker::wake);
    }
}

/// Waits until what was appended is committed, or never will be: a future that any executor can poll.
pub struct CommitWait {
    partition: Arc<Partition>,
    leader_epoch: i32,
    /// What the high watermark has to reach.
    offset: i64,
    key: Option<u64>,
}

impl CommitWait {
    /// Waits for the record at `last_offset`, which was appended in a leader epoch, and all before it.
    pub fn new(partition: Arc<Partition>, leader_epoch: i32, last_offset: i64) -> CommitWait {
        CommitWait { partition, leader_epoch, offset: last_offset.saturating_add(1), key: None }
    }

    /// The partition.
    pub fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    /// Whether it is committed already. What has gone wrong is the future's to tell.
    pub fn is_over(&self) -> bool {
        matches!(self.look(), Some(Ok(())))
    }

    fn look(&self) -> Option<Result<(), PartitionError>> {
        self.partition
            .is_committed(self.leader_epoch, self.offset)
            .map(|committed| committed.then_some(()))
            .transpose()
    }
}

impl Future for CommitWait {
    /// Why it will not be acknowledged: [`PartitionError::NotLeader`] or [`PartitionError::NotEnoughReplicasAfterAppend`].
    type Output = Result<(), PartitionError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(result) = self.look() {
            return Poll::Ready(result);
        }
        let key = self.partition.commit_waiters().add(self.offset, self.key, context.waker());
        self.key = Some(key);
        // The high watermark may have passed by between the look above and the waker being in its place.
        self.look().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for CommitWait {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.partition.commit_waiters().remove(self.offset, key);
        }
    }
}
