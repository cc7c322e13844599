//! One partition's batches that are not under way yet (`RecordAccumulator`).

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use common::TopicPartition;
use tokio::sync::Notify;

use super::batch::{Batch, Delivery, NewRecord};
use super::{ProducerConfig, lock};
use crate::ClientError;

/// The batches of a partition that are not under way yet.
pub(crate) struct PartitionQueue {
    pub(crate) partition: TopicPartition,
    state: Mutex<QueueState>,
    changed: Notify,
    /// How many batches wait, and whether all of them are full: for those who only have a look.
    queued: AtomicUsize,
    has_only_full_batches: AtomicBool,
}

#[derive(Default)]
struct QueueState {
    batches: VecDeque<Batch>,
    /// Batches that were taken and are not answered yet.
    under_way: usize,
    /// Nobody waits for batches to fill any more.
    flushing: bool,
    /// How large the last batch was that was taken: the next one will be like it.
    last_size: usize,
}

impl PartitionQueue {
    pub(crate) fn new(partition: TopicPartition) -> PartitionQueue {
        PartitionQueue {
            partition,
            state: Mutex::default(),
            changed: Notify::new(),
            queued: AtomicUsize::new(0),
            has_only_full_batches: AtomicBool::new(true),
        }
    }

    /// How many batches wait.
    pub(crate) fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Whether no batch would have room for another record.
    pub(crate) fn has_only_full_batches(&self) -> bool {
        self.has_only_full_batches.load(Ordering::Relaxed)
    }

    /// Since when the first batch that waits could have gone.
    pub(crate) fn due_since(&self, config: &ProducerConfig) -> Option<Instant> {
        lock(&self.state).batches.front().map(|batch| batch.created + config.linger)
    }

    /// The task that sends looks again.
    pub(crate) fn wake(&self) {
        self.changed.notify_one();
    }

    /// Takes a record. Whether a batch begins with it that may linger.
    pub(crate) fn append(
        &self,
        new: NewRecord<'_>,
        config: &ProducerConfig,
    ) -> Result<(Delivery, bool), ClientError> {
        let mut state = lock(&self.state);
        if !state.batches.back().is_some_and(|batch| batch.has_room(new.size, config.batch_size)) {
            let expected = state.last_size.max(new.size).min(config.batch_size);
            state.batches.push_back(Batch::new(config, expected));
            self.queued.store(state.batches.len(), Ordering::Relaxed);
        }
        let Some(batch) = state.batches.back_mut() else { return Err(ClientError::Closed) };
        let is_first = batch.records_count() == 0;
        let delivery = batch.append(new, self.partition.partition)?;
        let is_full = batch.is_full(config.batch_size);
        self.has_only_full_batches.store(is_full, Ordering::Relaxed);
        // One that another fills behind may go.
        let wake = is_full || (is_first && (state.batches.len() > 1 || config.linger.is_zero()));
        drop(state);
        if wake {
            self.wake();
        }
        Ok((delivery, is_first && !config.linger.is_zero()))
    }

    /// Lets everything go now. Whether anything is left.
    pub(crate) fn flush(&self) -> bool {
        let mut state = lock(&self.state);
        state.flushing = !state.batches.is_empty();
        let left = state.flushing || state.under_way > 0;
        drop(state);
        self.changed.notify_one();
        left
    }

    /// The next batch once it may go: it is full, or another fills behind it, or, unless `only_complete`, it has lingered or all
    /// are to go. Who drops this future misses nothing.
    pub(crate) async fn next(&self, config: &ProducerConfig, only_complete: bool) -> Batch {
        loop {
            match self.take_due(config, only_complete) {
                Some(batch) => return batch,
                None => self.changed.notified().await,
            }
        }
    }

    /// A batch that may go.
    fn take_due(&self, config: &ProducerConfig, only_complete: bool) -> Option<Batch> {
        let mut state = lock(&self.state);
        let more = state.batches.len() > 1;
        let Some(front) = state.batches.front() else {
            state.flushing = false;
            return None;
        };
        let may_go = more
            || front.is_full(config.batch_size)
            || !only_complete && (state.flushing || front.created + config.linger <= Instant::now());
        if !may_go || front.records_count() == 0 {
            return None;
        }
        let batch = state.batches.pop_front()?;
        state.last_size = batch.size();
        state.under_way += 1;
        self.queued.store(state.batches.len(), Ordering::Relaxed);
        if state.batches.is_empty() {
            self.has_only_full_batches.store(true, Ordering::Relaxed);
        }
        Some(batch)
    }

    /// A batch that was taken is answered.
    pub(crate) fn answered(&self) {
        let mut state = lock(&self.state);
        state.under_way = state.under_way.saturating_sub(1);
    }
}
