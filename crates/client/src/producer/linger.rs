//! Batches that are not full go when they have lingered: one task watches all partitions of a producer, so that none of their own
//! tasks is woken for a batch that begins.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::Notify;

use super::{Shared, lock};

/// Whether the task is at it.
#[derive(Default)]
pub(crate) struct Lingering {
    is_armed: AtomicBool,
    begun: Notify,
}

impl Lingering {
    /// A batch began somewhere.
    pub(crate) fn begin(&self) {
        if !self.is_armed.swap(true, Ordering::AcqRel) {
            self.begun.notify_one();
        }
    }
}

/// Lets batches go that have lingered, until it is aborted.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        shared.lingering.begun.notified().await;
        loop {
            while let Some(due) = let_go(&shared) {
                tokio::time::sleep_until(due.into()).await;
            }
            // A batch that began behind this look and before this line was seen by nobody: it is looked for once more. Whoever begins
            // one later wakes this task again.
            shared.lingering.is_armed.swap(false, Ordering::AcqRel);
            match let_go(&shared) {
                Some(_) => shared.lingering.is_armed.store(true, Ordering::Release),
                None => break,
            }
        }
    }
}

/// Wakes the partitions whose batches may go. When the next one may.
fn let_go(shared: &Shared) -> Option<Instant> {
    let now = Instant::now();
    let mut next = None;
    for queue in lock(&shared.queues).iter().filter(|queue| queue.queued() > 0) {
        let Some(due) = queue.due_since(&shared.config) else { continue };
        if due <= now {
            queue.wake();
        } else {
            next = Some(next.map_or(due, |next: Instant| next.min(due)));
        }
    }
    next
}
