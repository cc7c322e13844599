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

/// Events to come.
#[derive(Debug)]
pub(crate) struct Schedule<E> {
    queue: BinaryHeap<Reverse<Planned<E>>>,
    next_number: u64,
}

impl<E> Schedule<E> {
    pub fn new() -> Schedule<E> {
        Schedule { queue: BinaryHeap::new(), next_number: 0 }
    }

    pub fn at(&mut self, at_ms: i64, event: E) {
        self.queue.push(Reverse(Planned { at_ms, number: self.next_number, event }));
        self.next_number += 1;
    }

    pub fn next(&mut self) -> Option<(i64, E)> {
        self.queue.pop().map(|Reverse(planned)| (planned.at_ms, planned.event))
    }
}
