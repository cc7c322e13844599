//! The topics and their partitions (`org.apache.kafka.image.TopicsImage`, `TopicImage`).

use std::collections::BTreeMap;
use std::sync::Arc;

use common::Uuid;
use protocol::messages::TopicRecord;

use crate::partition_registration::PartitionRegistration;
use crate::sharded_map::ShardedMap;
use crate::writer::ImageWriter;

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicImage {
    /// The topic's name.
    pub name: Arc<str>,
    /// The topic's id.
    pub id: Uuid,
    /// The partitions by index.
    pub partitions: BTreeMap<i32, Arc<PartitionRegistration>>,
}

impl TopicImage {
    pub(crate) fn new(name: &str, id: Uuid) -> TopicImage {
        TopicImage { name: Arc::from(name), id, partitions: BTreeMap::new() }
    }

    /// The partition with this index.
    pub fn partition(&self, partition_id: i32) -> Option<&Arc<PartitionRegistration>> {
        self.partitions.get(&partition_id)
    }

    fn write(&self, writer: &mut ImageWriter) {
        let record = TopicRecord { name: self.name.to_string(), topic_id: self.id };
        writer.write(record.into(), 0);
        let version = writer.metadata_version().partition_record_version();
        for (partition_id, partition) in &self.partitions {
            let record = partition.to_record(self.id, *partition_id, writer);
            writer.write(record.into(), version);
        }
    }
}

/// Every topic, found by name or by id in constant time: requests of both kinds look here.
///
/// **Invariant:** both maps hold the same topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicsImage {
    by_name: ShardedMap<Arc<str>, Arc<TopicImage>>,
    by_id: ShardedMap<Uuid, Arc<TopicImage>>,
}

impl TopicsImage {
    /// Whether there is no topic.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many topics there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The topic of this name.
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.by_name.get(name)
    }

    /// The topic with this id.
    pub fn topic_by_id(&self, id: &Uuid) -> Option<&Arc<TopicImage>> {
        self.by_id.get(id)
    }

    /// A partition of the topic with this id.
    pub fn partition(&self, id: &Uuid, partition_id: i32) -> Option<&Arc<PartitionRegistration>> {
        self.topic_by_id(id)?.partition(partition_id)
    }

    /// The topics, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.by_id.values()
    }

    /// The topics by name, in order.
    pub fn sorted(&self) -> Vec<&Arc<TopicImage>> {
        let mut topics: Vec<_> = self.iter().collect();
        topics.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        topics
    }

    pub(crate) fn insert(&mut self, topic: Arc<TopicImage>) {
        self.by_name.insert(Arc::clone(&topic.name), Arc::clone(&topic));
        self.by_id.insert(topic.id, topic);
        assert_eq!(self.by_name.len(), self.by_id.len(), "Invariant: a topic has one name and one id");
    }

    pub(crate) fn remove(&mut self, id: &Uuid) {
        if let Some(topic) = self.by_id.remove(id) {
            self.by_name.remove(&*topic.name);
        }
    }

    pub(crate) fn write(&self, writer: &mut ImageWriter) {
        for topic in self.sorted() {
            topic.write(writer);
        }
    }

    /// An image of these topics; for tests of those that read images.
    pub fn from_topics(topics: impl IntoIterator<Item = TopicImage>) -> TopicsImage {
        let mut image = TopicsImage::default();
        for topic in topics {
            image.insert(Arc::new(topic));
        }
        image
    }
}
