//! Answers that wait for the high watermark (Kafka's `DeferredEventQueue`).

use std::collections::VecDeque;

use common::ErrorCode;

use crate::{Context, CoordinatorShard};

/// Finishes an operation in its shard: runs its callback, gives its answer.
pub(crate) type Finish<S> = Box<dyn FnOnce(&mut S, &mut Context<S>, Result<(), ErrorCode>) + Send>;

struct Parked<S: CoordinatorShard> {
    /// The last offset that has to be committed.
    offset: i64,
    deadline_ms: i64,
    finish: Finish<S>,
}

/// **Invariant:** offsets and deadlines ascend from front to back: operations are parked in the order of the log, all
/// with the same patience.
pub(crate) struct ParkedQueue<S: CoordinatorShard> {
    queue: VecDeque<Parked<S>>,
}

impl<S: CoordinatorShard> Default for ParkedQueue<S> {
    fn default() -> Self {
        ParkedQueue { queue: VecDeque::new() }
    }
}

impl<S: CoordinatorShard> ParkedQueue<S> {
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn push(&mut self, offset: i64, deadline_ms: i64, finish: Finish<S>) {
        if let Some(last) = self.queue.back() {
            assert!(last.offset <= offset, "an answer for offset {offset} was parked behind {}", last.offset);
        }
        // A clock that steps back must not let a later answer give up before an earlier one.
        let deadline_ms = self.queue.back().map_or(deadline_ms, |last| last.deadline_ms.max(deadline_ms));
        self.queue.push_back(Parked { offset, deadline_ms, finish });
    }

    pub(crate) fn next_deadline(&self) -> Option<i64> {
        self.queue.front().map(|parked| parked.deadline_ms)
    }

    /// Takes the first answer that is committed.
    pub(crate) fn pop_committed(&mut self, high_watermark: i64) -> Option<Finish<S>> {
        if self.queue.front()?.offset >= high_watermark {
            return None;
        }
        self.queue.pop_front().map(|parked| parked.finish)
    }

    /// Takes the first answer that has waited too long.
    pub(crate) fn pop_expired(&mut self, now_ms: i64) -> Option<Finish<S>> {
        if self.queue.front()?.deadline_ms > now_ms {
            return None;
        }
        self.queue.pop_front().map(|parked| parked.finish)
    }

    /// Takes the first answer, whatever it waits for.
    pub(crate) fn pop(&mut self) -> Option<Finish<S>> {
        self.queue.pop_front().map(|parked| parked.finish)
    }
}
