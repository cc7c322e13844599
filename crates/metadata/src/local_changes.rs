//! What a broker has to do about its own replicas after topics changed (`org.apache.kafka.image.LocalReplicaChanges`).

use std::sync::Arc;

use common::{TopicIdPartition, TopicPartition, Uuid};

use crate::partition_registration::PartitionRegistration;
use crate::topics_delta::TopicDelta;
use crate::topics_image::TopicImage;

/// A partition as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionInfo {
    /// The topic's id.
    pub topic_id: Uuid,
    /// The partition.
    pub partition: Arc<PartitionRegistration>,
}

/// The partitions of one broker that changed. Those of one topic come in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalReplicaChanges {
    /// The broker holds these no longer.
    pub deletes: Vec<TopicPartition>,
    /// The broker has begun to lead these, or leads them in a new epoch.
    pub elected_leaders: Vec<(TopicPartition, PartitionInfo)>,
    /// The broker leads these, and something about them changed. The elected ones are among them.
    pub leaders: Vec<(TopicPartition, PartitionInfo)>,
    /// The broker follows these, and something about them changed.
    pub followers: Vec<(TopicPartition, PartitionInfo)>,
    /// The log directories that the controller now has on record for the broker's replicas.
    pub directory_ids: Vec<(TopicIdPartition, Uuid)>,
}

impl LocalReplicaChanges {
    pub(crate) fn add_topic(&mut self, delta: &TopicDelta, broker_id: i32) {
        let topic_id = delta.id();
        for (id, partition) in &delta.partition_changes {
            let before = delta.image().partition(*id);
            let topic_partition = || TopicPartition::new(Arc::clone(delta.name()), *id);
            if !partition.replicas.contains(&broker_id) {
                if before.is_some_and(|before| before.replicas.contains(&broker_id)) {
                    self.deletes.push(topic_partition());
                }
                continue;
            }
            if before.is_none_or(|before| before.partition_epoch != partition.partition_epoch) {
                let info = PartitionInfo { topic_id, partition: Arc::clone(partition) };
                if partition.leader != broker_id {
                    self.followers.push((topic_partition(), info));
                } else {
                    if before.is_none_or(|before| before.leader_epoch != partition.leader_epoch) {
                        self.elected_leaders.push((topic_partition(), info.clone()));
                    }
                    self.leaders.push((topic_partition(), info));
                }
            }
            let directory = partition.directory(broker_id);
            let directory_before = before.and_then(|before| before.directory(broker_id));
            if let Some(directory) = directory
                && directory_before != Some(directory)
            {
                self.directory_ids.push((TopicIdPartition { topic_id, partition: *id }, directory));
            }
        }
    }

    pub(crate) fn add_deleted_topic(&mut self, topic: &TopicImage, broker_id: i32) {
        for (id, partition) in &topic.partitions {
            if partition.replicas.contains(&broker_id) {
                self.deletes.push(TopicPartition::new(Arc::clone(&topic.name), *id));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::messages::{PartitionChangeRecord, PartitionRecord, RemoveTopicRecord, TopicRecord};

    use super::*;
    use crate::delta::MetadataDelta;
    use crate::image::{MetadataImage, MetadataProvenance};
    use crate::{MetadataRecord, directory_id};

    const TOPIC: Uuid = Uuid::from_u128(1000);
    const DIRECTORY: Uuid = Uuid::from_u128(2000);

    fn partition(partition_id: i32, replicas: &[i32]) -> MetadataRecord {
        PartitionRecord {
            topic_id: TOPIC,
            partition_id,
            replicas: replicas.to_vec(),
            isr: replicas.to_vec(),
            leader: replicas[0],
            directories: vec![directory_id::UNASSIGNED; replicas.len()],
            leader_epoch: 0,
            partition_epoch: 0,
            ..PartitionRecord::default()
        }
        .into()
    }

    fn change(partition_id: i32, change: impl FnOnce(&mut PartitionChangeRecord)) -> MetadataRecord {
        let mut record = PartitionChangeRecord { topic_id: TOPIC, partition_id, ..Default::default() };
        change(&mut record);
        record.into()
    }

    /// The changes for broker 1, and the image after them.
    fn changes(image: &MetadataImage, records: &[MetadataRecord]) -> (LocalReplicaChanges, MetadataImage) {
        let mut delta = MetadataDelta::new(image);
        for record in records {
            delta.replay(record).unwrap();
        }
        let changes = delta.topics_delta().unwrap().local_changes(1);
        (changes, delta.apply(MetadataProvenance::EMPTY))
    }

    fn numbers(changes: &[(TopicPartition, PartitionInfo)]) -> Vec<i32> {
        changes.iter().map(|(topic_partition, _)| topic_partition.partition).collect()
    }

    #[test]
    fn a_broker_hears_of_its_own_replicas_alone() {
        let topic = TopicRecord { name: "topic".to_owned(), topic_id: TOPIC };
        let records = [topic.into(), partition(0, &[1, 2]), partition(1, &[2, 1]), partition(2, &[2, 3])];
        let (made, image) = changes(&MetadataImage::empty(), &records);
        assert_eq!((numbers(&made.elected_leaders), numbers(&made.leaders)), (vec![0], vec![0]));
        assert_eq!(numbers(&made.followers), [1]);
        assert_eq!(made.deletes, []);
        assert_eq!(made.directory_ids.len(), 2);

        // A change of the ISR makes no new leader; naming a leader does, even the same one.
        let shrink = change(0, |record| record.isr = Some(vec![1]));
        let (shrunk, image) = changes(&image, &[shrink]);
        assert_eq!((numbers(&shrunk.elected_leaders), numbers(&shrunk.leaders)), (vec![], vec![0]));
        let (elected, image) = changes(&image, &[change(0, |record| record.leader = 1)]);
        assert_eq!(numbers(&elected.elected_leaders), [0]);

        let assigned =
            change(1, |record| record.directories = Some(vec![directory_id::UNASSIGNED, DIRECTORY]));
        let (assigned, image) = changes(&image, &[assigned]);
        assert_eq!(assigned.directory_ids, [(TopicIdPartition { topic_id: TOPIC, partition: 1 }, DIRECTORY)]);

        let moved = change(0, |record| {
            record.replicas = Some(vec![2, 3]);
            record.directories = Some(vec![directory_id::UNASSIGNED; 2]);
            record.leader = 2;
        });
        let (moved, image) = changes(&image, &[moved]);
        assert_eq!(moved.deletes, [TopicPartition::new("topic", 0)]);

        // With the topic goes what the broker still had of it.
        let (deleted, _) = changes(&image, &[RemoveTopicRecord { topic_id: TOPIC }.into()]);
        assert_eq!(deleted.deletes, [TopicPartition::new("topic", 1)]);
    }
}
