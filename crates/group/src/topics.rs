//! The topics of the cluster as the groups see them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::consumer::topic_hash;
use crate::request::TopicResolver;

/// All topics at one moment (the part of Kafka's `CoordinatorMetadataImage` that groups use).
pub trait TopicsImage: TopicResolver + Send + Sync {
    /// The offset of the metadata that the image is made of.
    fn version(&self) -> i64;

    /// How many partitions a topic has; none if there is no such topic.
    fn partition_count(&self, name: &str) -> Option<i32>;

    /// The racks of a partition's replicas, as far as their brokers have one, in any order.
    fn partition_racks(&self, name: &str, partition: i32) -> Vec<String>;

    /// Shows the names of all topics.
    fn for_each_name(&self, visit: &mut dyn FnMut(&str));
}

/// What has become of the topics since the last image.
#[derive(Clone, Debug, Default)]
pub struct TopicsChange {
    /// Whether there are topics that were not there.
    pub created: bool,
    /// The names of those that are new, different or gone.
    pub names: Vec<String>,
}

/// Before the first image.
pub(crate) struct NoTopics;

impl TopicResolver for NoTopics {
    fn topic_name(&self, _: common::Uuid) -> Option<String> {
        None
    }

    fn topic_id(&self, _: &str) -> Option<common::Uuid> {
        None
    }

    fn has_partition(&self, _: &str, _: i32) -> bool {
        false
    }
}

impl TopicsImage for NoTopics {
    fn version(&self) -> i64 {
        -1
    }

    fn partition_count(&self, _: &str) -> Option<i32> {
        None
    }

    fn partition_racks(&self, _: &str, _: i32) -> Vec<String> {
        Vec::new()
    }

    fn for_each_name(&self, _: &mut dyn FnMut(&str)) {}
}

/// An image, and what was worked out of it. It is replaced as a whole, so nothing in it can be of another image.
pub(crate) struct Topics {
    pub(crate) image: Arc<dyn TopicsImage>,
    /// The version of the newest image that had topics which the one before had not.
    pub(crate) version_with_new_topics: i64,
    hashes: Mutex<HashMap<String, i64>>,
}

impl Topics {
    pub(crate) fn none() -> Topics {
        Topics { image: Arc::new(NoTopics), version_with_new_topics: -1, hashes: Mutex::default() }
    }

    pub(crate) fn next(&self, image: Arc<dyn TopicsImage>, change: &TopicsChange) -> Topics {
        let mut hashes = self.hashes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for name in &change.names {
            hashes.remove(name);
        }
        let version_with_new_topics = if change.created || self.version_with_new_topics == -1 {
            image.version()
        } else {
            self.version_with_new_topics
        };
        Topics { image, version_with_new_topics, hashes: Mutex::new(hashes) }
    }

    /// The hashes of those of the topics that exist.
    pub(crate) fn hashes<'n>(&self, names: impl Iterator<Item = &'n str>) -> BTreeMap<&'n str, i64> {
        let mut known = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        names
            .filter_map(|name| {
                if let Some(hash) = known.get(name) {
                    return Some((name, *hash));
                }
                let hash = topic_hash(name, &*self.image)?;
                known.insert(name.to_owned(), hash);
                Some((name, hash))
            })
            .collect()
    }
}
