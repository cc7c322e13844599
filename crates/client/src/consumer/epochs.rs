//! Where epochs end in leaders' logs (`OffsetForLeaderEpoch`): how a consumer hears that a new leader has less than the one
//! before (KIP-320).

use std::collections::{BTreeMap, HashMap};

use common::TopicPartition;
use protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use crate::ClientError;
use crate::cluster::Cluster;

/// A consumer, where a follower has its id.
const CONSUMER: i32 = -1;

/// Where an epoch ends; none where the leader does not know the epoch.
pub(super) type EndOffset = Result<Option<i64>, ClientError>;

/// Asks a leader about partitions, of each one with the leader's epoch and the one that is asked about.
pub(super) async fn ask(
    cluster: &Cluster,
    leader: i32,
    questions: &[(TopicPartition, i32, i32)],
) -> Result<HashMap<TopicPartition, EndOffset>, ClientError> {
    let mut topics: BTreeMap<&str, Vec<OffsetForLeaderPartition>> = BTreeMap::new();
    for (partition, current_leader_epoch, leader_epoch) in questions {
        topics.entry(&*partition.topic).or_default().push(OffsetForLeaderPartition {
            partition: partition.partition,
            current_leader_epoch: *current_leader_epoch,
            leader_epoch: *leader_epoch,
        });
    }
    let topic = |(topic, partitions): (&str, Vec<OffsetForLeaderPartition>)| OffsetForLeaderTopic {
        topic: topic.to_owned(),
        partitions,
    };
    let request =
        OffsetForLeaderEpochRequest { replica_id: CONSUMER, topics: topics.into_iter().map(topic).collect() };
    let response: OffsetForLeaderEpochResponse = cluster.node(leader).await?.call(&request).await?;
    let mut answers = HashMap::new();
    for topic in response.topics {
        for partition in topic.partitions {
            let end = ClientError::check(partition.error_code, None)
                .map(|()| Some(partition.end_offset).filter(|end| *end >= 0 && partition.leader_epoch >= 0));
            answers.insert(TopicPartition::new(topic.topic.as_str(), partition.partition), end);
        }
    }
    Ok(answers)
}
