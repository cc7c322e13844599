//! The timers of a shard (Kafka's `CoordinatorTimer`), with time as an argument.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use foldhash::fast::FixedState;

struct Entry<T> {
    deadline_ms: i64,
    /// Where the queue holds the key: at or before `deadline_ms`.
    queued_ms: i64,
    timer: T,
}

/// Timers by key. Postponing one, as each heartbeat does, is one look-up: the queue keeps the earlier place and the timer
/// moves when that comes up.
///
/// **Invariant:** the queue holds each key of `entries` exactly once, at `queued_ms`, and nothing else.
pub struct TimerQueue<K, T> {
    entries: HashMap<K, Entry<T>, FixedState>,
    queue: BTreeSet<(i64, K)>,
}

impl<K: Hash + Ord + Clone, T> Default for TimerQueue<K, T> {
    fn default() -> Self {
        TimerQueue { entries: HashMap::default(), queue: BTreeSet::new() }
    }
}

impl<K: Hash + Ord + Clone, T> TimerQueue<K, T> {
    /// Sets the key's timer, in place of one it had.
    pub fn schedule(&mut self, key: K, deadline_ms: i64, timer: T) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.deadline_ms = deadline_ms;
            entry.timer = timer;
            if deadline_ms < entry.queued_ms {
                let old = (entry.queued_ms, key);
                entry.queued_ms = deadline_ms;
                self.queue.remove(&old);
                self.queue.insert((deadline_ms, old.1));
            }
            return;
        }
        self.queue.insert((deadline_ms, key.clone()));
        self.entries.insert(key, Entry { deadline_ms, queued_ms: deadline_ms, timer });
    }

    /// Forgets the key's timer.
    pub fn cancel(&mut self, key: &K) {
        if let Some((key, entry)) = self.entries.remove_entry(key) {
            self.queue.remove(&(entry.queued_ms, key));
        }
    }

    /// Whether the key has a timer.
    pub fn contains(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    /// When the key's timer is due.
    pub fn deadline_of(&self, key: &K) -> Option<i64> {
        self.entries.get(key).map(|entry| entry.deadline_ms)
    }

    /// How many timers there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A time at or before the first timer: calling [`TimerQueue::pop_due`] earlier finds nothing.
    pub fn next_deadline(&self) -> Option<i64> {
        self.queue.first().map(|(deadline_ms, _)| *deadline_ms)
    }

    /// Takes the first timer that is due.
    pub fn pop_due(&mut self, now_ms: i64) -> Option<(K, T)> {
        while self.queue.first()?.0 <= now_ms {
            let (_, key) = self.queue.pop_first()?;
            let Some(entry) = self.entries.get_mut(&key) else {
                unreachable!("the queue holds only keys that have a timer");
            };
            if entry.deadline_ms > now_ms {
                entry.queued_ms = entry.deadline_ms;
                self.queue.insert((entry.deadline_ms, key));
                continue;
            }
            return self.entries.remove_entry(&key).map(|(key, entry)| (key, entry.timer));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(queue: &mut TimerQueue<&'static str, u32>, now_ms: i64) -> Vec<(&'static str, u32)> {
        std::iter::from_fn(|| queue.pop_due(now_ms)).collect()
    }

    #[test]
    fn timers_fire_in_order_once() {
        let mut queue = TimerQueue::default();
        queue.schedule("b", 20, 2);
        queue.schedule("a", 10, 1);
        queue.schedule("c", 30, 3);
        assert_eq!(queue.next_deadline(), Some(10));
        assert_eq!(due(&mut queue, 9), []);
        assert_eq!(due(&mut queue, 20), [("a", 1), ("b", 2)]);
        assert_eq!(due(&mut queue, 20), []);
        assert_eq!(due(&mut queue, 100), [("c", 3)]);
        assert!(queue.is_empty());
        assert_eq!(queue.next_deadline(), None);
    }

    #[test]
    fn a_postponed_timer_fires_late_and_an_advanced_one_early() {
        let mut queue = TimerQueue::default();
        queue.schedule("a", 10, 1);
        queue.schedule("a", 50, 2);
        assert_eq!(due(&mut queue, 49), []);
        assert_eq!(queue.next_deadline(), Some(50));
        queue.schedule("a", 5, 3);
        assert_eq!(queue.next_deadline(), Some(5));
        assert_eq!(due(&mut queue, 5), [("a", 3)]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn a_cancelled_timer_leaves_nothing() {
        let mut queue = TimerQueue::default();
        queue.schedule("a", 10, 1);
        queue.schedule("a", 40, 1);
        queue.cancel(&"a");
        queue.cancel(&"never there");
        assert!(!queue.contains(&"a"));
        assert_eq!(queue.next_deadline(), None);
        assert_eq!(due(&mut queue, 100), []);
    }
}
