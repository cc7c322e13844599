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
