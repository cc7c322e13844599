//! A topic as a producer knows it: its queues, and the partition that records without key go to.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use common::TopicPartition;

use super::partitioner::{self, Load, Near, Sticky};
use super::queue::PartitionQueue;
use super::{ProducerConfig, ProducerRecord, lock};
use crate::{ClientError, TopicInfo};

/// How long what is known of a topic is taken over without a look at the metadata.
const FRESH_MS: i64 = 1000;

/// A topic that a producer sends to.
pub(crate) struct Topic {
    state: Mutex<State>,
}

struct State {
    info: Arc<TopicInfo>,
    /// Those of its partitions that are preferred for being near; nothing where that does not matter.
    near: Option<Near>,
    checked_ms: i64,
    /// By partition, from its first record on.
    queues: Vec<Option<Arc<PartitionQueue>>>,
    sticky: Option<Sticky>,
}

impl Topic {
    pub(crate) fn new(info: Arc<TopicInfo>, near: Option<Near>, now_ms: i64) -> Topic {
        let state = State { info, near, checked_ms: now_ms, queues: Vec::new(), sticky: None };
        Topic { state: Mutex::new(state) }
    }

    /// Whether its partitions are to be looked at again.
    pub(crate) fn is_stale(&self, now_ms: i64) -> bool {
        !(0..FRESH_MS).contains(&(now_ms - lock(&self.state).checked_ms))
    }

    /// Its partitions were looked at.
    pub(crate) fn refresh(&self, info: Arc<TopicInfo>, near: Option<Near>, now_ms: i64) {
        let mut state = lock(&self.state);
        (state.info, state.near, state.checked_ms) = (info, near, now_ms);
    }

    /// The queue of the partition that a record of `size` bytes goes to; `open` makes one.
    pub(crate) fn queue_for(
        &self,
        record: &ProducerRecord<'_>,
        size: usize,
        config: &ProducerConfig,
        open: impl FnOnce(TopicPartition) -> Arc<PartitionQueue>,
    ) -> Result<Arc<PartitionQueue>, ClientError> {
        let mut state = lock(&self.state);
        let count = state.info.partitions.len() as i32;
        let partition = match (record.partition, &record.key) {
            (Some(partition), _) if !(0..count).contains(&partition) => {
                return Err(ClientError::Record(format!(
                    "Invalid partition given with record: {partition} is not in the range [0...{}]",
                    count - 1
                )));
            }
            (Some(partition), _) => partition,
            (None, Some(key)) if !config.partitioner_ignore_keys => partitioner::of_key(key, count),
            (None, _) => state.sticky(size, config),
        };
        let index = partition as usize;
        if state.queues.len() <= index {
            state.queues.resize(index + 1, None);
        }
        if let Some(queue) = &state.queues[index] {
            return Ok(Arc::clone(queue));
        }
        let queue = open(TopicPartition::new(&*record.topic, partition));
        state.queues[index] = Some(Arc::clone(&queue));
        Ok(queue)
    }
}

impl State {
    /// The partition for a record without key: one for about a batch's bytes, then another.
    fn sticky(&mut self, size: usize, config: &ProducerConfig) -> i32 {
        let count = self.info.partitions.len() as i32;
        let stays = self.sticky.as_ref().is_some_and(|sticky| {
            let queue = self.queues.get(sticky.partition as usize).and_then(Option::as_ref);
            sticky.partition < count
                && sticky.stays(config.batch_size, queue.is_none_or(|queue| queue.has_only_full_batches()))
        });
        if !stays {
            let partition =
                partitioner::next(&self.info, self.near.as_ref(), |partition| self.load(partition, config));
            self.sticky = Some(Sticky { partition, bytes: 0 });
        }
        let Some(sticky) = &mut self.sticky else { return 0 };
        sticky.bytes += size;
        sticky.partition
    }

    fn load(&self, partition: i32, config: &ProducerConfig) -> Load {
        let queue = self.queues.get(partition as usize).and_then(Option::as_ref);
        let (Some(queue), true) = (queue, config.partitioner_adaptive) else { return Load::Queued(0) };
        let patience = config.partitioner_availability_timeout;
        let stuck = !patience.is_zero()
            && queue
                .due_since(config)
                .is_some_and(|due| Instant::now().saturating_duration_since(due) > patience);
        if stuck { Load::Stuck } else { Load::Queued(queue.queued()) }
    }
}
