//! What flows through topics (`BrokerTopicMetrics`): through all together, and through each.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use super::requests::Sharded;

/// The counts of a topic, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TopicCounts {
    /// Records from producers.
    pub(crate) messages_in: u64,
    /// Bytes of batches from producers.
    pub(crate) bytes_in: u64,
    /// Bytes of batches to consumers.
    pub(crate) bytes_out: u64,
    /// Bytes of batches to followers. Kafka tells them of all topics together, and so does this.
    pub(crate) replication_bytes_out: u64,
    /// Batches from producers.
    pub(crate) total_produce_requests: u64,
    /// Batches from producers that were refused.
    pub(crate) failed_produce_requests: u64,
}

impl TopicCounts {
    fn add(&mut self, other: &TopicCounts) {
        self.messages_in += other.messages_in;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.replication_bytes_out += other.replication_bytes_out;
        self.total_produce_requests += other.total_produce_requests;
        self.failed_produce_requests += other.failed_produce_requests;
    }
}

/// What the threads of one shard have counted.
#[derive(Default)]
struct Shard {
    all: TopicCounts,
    each: HashMap<Arc<str>, TopicCounts>,
}

/// Counts of topics. Each thread counts in a shard that few others or none have, so that its lock is mostly free.
#[derive(Default)]
pub(crate) struct TopicMetrics(Sharded<Mutex<Shard>>);

impl TopicMetrics {
    /// Counts something of a topic of this broker.
    pub(crate) fn count(&self, topic: &Arc<str>, change: impl Fn(&mut TopicCounts)) {
        let mut shard = self.0.own().lock();
        change(&mut shard.all);
        match shard.each.get_mut(topic) {
            Some(counts) => change(counts),
            None => change(shard.each.entry(Arc::clone(topic)).or_default()),
        }
    }

    /// Counts something that is told of all topics together.
    pub(crate) fn count_of_all(&self, change: impl Fn(&mut TopicCounts)) {
        change(&mut self.0.own().lock().all);
    }

    /// Forgets a topic that is deleted. What all together have had stays.
    pub(crate) fn forget(&self, topic: &str) {
        for shard in self.0.all() {
            shard.lock().each.remove(topic);
        }
    }

    /// The counts of all together, and of each topic by name. One that is not there was deleted while somebody counted.
    pub(crate) fn sum(
        &self,
        is_there: impl Fn(&str) -> bool,
    ) -> (TopicCounts, BTreeMap<Arc<str>, TopicCounts>) {
        let (mut all, mut each) = (TopicCounts::default(), BTreeMap::<Arc<str>, TopicCounts>::new());
        for shard in self.0.all() {
            let mut shard = shard.lock();
            all.add(&shard.all);
            shard.each.retain(|topic, _| is_there(topic));
            for (topic, counts) in &shard.each {
                each.entry(Arc::clone(topic)).or_default().add(counts);
            }
        }
        (all, each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_counted_over_all_threads_until_they_are_deleted() {
        let metrics = TopicMetrics::default();
        let [one, two] = ["one", "two"].map(Arc::<str>::from);
        std::thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    metrics.count(&one, |counts| counts.messages_in += 2);
                    metrics.count(&two, |counts| counts.bytes_out += 1);
                    metrics.count_of_all(|counts| counts.replication_bytes_out += 1);
                });
            }
        });
        let all = TopicCounts {
            messages_in: 80,
            bytes_out: 40,
            replication_bytes_out: 40,
            ..TopicCounts::default()
        };
        let of_one = TopicCounts { messages_in: 80, ..TopicCounts::default() };
        let of_two = TopicCounts { bytes_out: 40, ..TopicCounts::default() };
        let every = |_: &str| true;
        assert_eq!(metrics.sum(every), (all, BTreeMap::from([(Arc::clone(&one), of_one), (two, of_two)])));
        metrics.forget("two");
        assert_eq!(metrics.sum(every), (all, BTreeMap::from([(one, of_one)])));
        assert_eq!(metrics.sum(|topic| topic != "one"), (all, BTreeMap::new()));
    }
}
