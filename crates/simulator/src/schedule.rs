//! What happens when: events in the order of their times, and those of one time in the order in which they were planned.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

#[derive(Debug)]
struct Planned<E> {
    at_ms: i64,
    number: u64,
    event: E,
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<E> Eq for Planned<E> {}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Planned<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at_ms, self.number).cmp(&(other.at_ms, other.number))
    }
}

/// Events to come, up to an end.
#[derive(Debug)]
pub(crate) struct Schedule<E> {
    queue: BinaryHeap<Reverse<Planned<E>>>,
    next_number: u64,
    end_ms: i64,
}

impl<E> Schedule<E> {
    pub fn new(end_ms: i64) -> Schedule<E> {
        Schedule { queue: BinaryHeap::new(), next_number: 0, end_ms }
    }

    pub fn at(&mut self, at_ms: i64, event: E) {
        self.queue.push(Reverse(Planned { at_ms, number: self.next_number, event }));
        self.next_number += 1;
    }

    /// The next event. Sets the time to when it happens: now, if it was planned for earlier.
    pub fn next(&mut self, now_ms: &mut i64) -> Option<E> {
        let Reverse(planned) = self.queue.pop()?;
        *now_ms = planned.at_ms.max(*now_ms);
        (*now_ms < self.end_ms).then_some(planned.event)
    }
}
