//! Tells the controller in which log directory this broker keeps each replica, where the metadata says otherwise
//! (`AssignmentsManager`, KIP-858). By that the controller knows who has lost a replica when a directory fails.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::{ErrorCode, TopicIdPartition, Uuid};
use metadata::{MetadataDelta, MetadataImage, MetadataVersion};
use parking_lot::Mutex;
use protocol::messages::assign_replicas_to_dirs_request::{DirectoryData, PartitionData, TopicData};
use protocol::messages::{AssignReplicasToDirsRequest, AssignReplicasToDirsResponse};
use replica::Partition;
use tokio::sync::Notify;

use crate::broker::Broker;

/// Replicas in one request (`AssignReplicasToDirsRequest.MAX_ASSIGNMENTS_PER_REQUEST`).
const MOST_AT_ONCE: usize = 2250;
/// The pause after the controller did not take them; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What the controller is still to be told.
#[derive(Default)]
pub(crate) struct Assignments {
    waiting: Mutex<BTreeMap<TopicIdPartition, Uuid>>,
    wake: Notify,
}

impl Assignments {
    /// Compares what a change of the metadata says of this broker's directories with where the logs are.
    pub(crate) fn compare(&self, broker: &Broker, delta: &MetadataDelta, image: &MetadataImage) {
        let Some(topics) = delta.topics_delta() else { return };
        // Before metadata.version 3.7-IV2 there are no directories in the metadata.
        if !image.features.metadata_version().is_some_and(MetadataVersion::is_directory_assignment_supported)
        {
            return;
        }
        let logs = broker.replicas.logs();
        let mut waiting = self.waiting.lock();
        let changes = topics.local_changes(broker.node_id);
        let local = changes.leaders.iter().chain(&changes.followers);
        let ids: HashMap<_, _> =
            local.map(|(partition, info)| ((info.topic_id, partition.partition), partition)).collect();
        for (id, recorded) in &changes.directory_ids {
            let Some(partition) = ids.get(&(id.topic_id, id.partition)) else {
                waiting.remove(id);
                continue;
            };
            let future = logs.future_log(partition).and_then(|log| logs.directory_id_of(&log));
            match logs.directory_of(partition) {
                // It is in a directory that has failed, which the controller may still have to learn.
                None => {}
                // What a move has asked for before it is done.
                _ if future.is_some() && waiting.get(id) == future.as_ref() && future != Some(*recorded) => {}
                Some(actual) if actual != *recorded && future != Some(*recorded) => {
                    waiting.insert(*id, actual);
                }
                _ => drop(waiting.remove(id)),
            }
        }
        if !waiting.is_empty() {
            self.wake.notify_one();
        }
    }

    /// The controller is to put a replica on record in a directory.
    pub(crate) fn assign(&self, id: TopicIdPartition, directory: Uuid) {
        if self.waiting.lock().insert(id, directory) != Some(directory) {
            self.wake.notify_one();
        }
    }

    /// The same, if the metadata do not say so already, or the controller is being told otherwise.
    pub(crate) fn assign_unless_recorded(&self, broker: &Broker, partition: &Partition, directory: Uuid) {
        let id = TopicIdPartition {
            topic_id: partition.topic_id(),
            partition: partition.topic_partition().partition,
        };
        let image = broker.image();
        if !image.features.metadata_version().is_some_and(MetadataVersion::is_directory_assignment_supported)
        {
            return;
        }
        let recorded = image.topics.partition(&id.topic_id, id.partition);
        let recorded = recorded.and_then(|registration| registration.directory(broker.node_id));
        let is_told_otherwise = self.waiting.lock().get(&id).is_some_and(|told| *told != directory);
        if is_told_otherwise || recorded != Some(directory) {
            self.assign(id, directory);
        }
    }

    /// A move to another directory was given up: the controller is to know the replica where it is.
    pub(crate) fn reset(broker: &Broker, partition: &Partition) {
        if let Some(actual) = broker.replicas.logs().directory_of(partition.topic_partition()) {
            broker.assignments.assign_unless_recorded(broker, partition, actual);
        }
    }

    fn next(&self) -> Vec<(TopicIdPartition, Uuid)> {
        self.waiting.lock().iter().take(MOST_AT_ONCE).map(|(id, directory)| (*id, *directory)).collect()
    }

    /// Drops what was taken, unless it has changed meanwhile, and what can never be.
    fn answered(
        &self,
        sent: &[(TopicIdPartition, Uuid)],
        answer: &AssignReplicasToDirsResponse,
    ) -> Vec<ErrorCode> {
        let mut errors = HashMap::new();
        for topic in answer.directories.iter().flat_map(|directory| &directory.topics) {
            for partition in &topic.partitions {
                let error = ErrorCode::from_code(partition.error_code);
                errors.insert((topic.topic_id, partition.partition_index), error);
            }
        }
        let mut waiting = self.waiting.lock();
        let mut again = Vec::new();
        for (id, directory) in sent {
            match errors.get(&(id.topic_id, id.partition)) {
                // Gone, or not this broker's any more.
                Some(
                    ErrorCode::None
                    | ErrorCode::UnknownTopicId
                    | ErrorCode::UnknownTopicOrPartition
                    | ErrorCode::NotLeaderOrFollower,
                ) if waiting.get(id) == Some(directory) => drop(waiting.remove(id)),
                Some(error) if !error.is_none() => again.push(*error),
                _ => {}
            }
        }
        again
    }
}

/// Tells the controller, until it is aborted.
pub(crate) async fn send_assignments(broker: Arc<Broker>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let next = broker.assignments.next();
        if next.is_empty() {
            broker.assignments.wake.notified().await;
            continue;
        }
        let request = AssignReplicasToDirsRequest {
            broker_id: broker.node_id,
            broker_epoch: broker.epoch.load(Ordering::Relaxed),
            directories: by_directory(&next),
        };
        let trouble = match broker.channel.send(request).await {
            Err(error) => Some(error.to_string()),
            Ok(answer) => match ErrorCode::from_code(answer.error_code) {
                ErrorCode::None => {
                    broker.assignments.answered(&next, &answer).first().map(ToString::to_string)
                }
                error => Some(error.to_string()),
            },
        };
        match trouble {
            None => pause = FIRST_PAUSE,
            Some(reason) => {
                tracing::warn!(
                    replicas = next.len(),
                    "the controller is not told yet in which directories replicas are: {reason}"
                );
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

fn by_directory(assignments: &[(TopicIdPartition, Uuid)]) -> Vec<DirectoryData> {
    let mut directories: BTreeMap<Uuid, BTreeMap<Uuid, Vec<PartitionData>>> = BTreeMap::new();
    for (id, directory) in assignments {
        let partition = PartitionData { partition_index: id.partition };
        directories.entry(*directory).or_default().entry(id.topic_id).or_default().push(partition);
    }
    let topics = |topics: BTreeMap<Uuid, Vec<PartitionData>>| {
        topics.into_iter().map(|(topic_id, partitions)| TopicData { topic_id, partitions }).collect()
    };
    directories.into_iter().map(|(id, of)| DirectoryData { id, topics: topics(of) }).collect()
}

#[cfg(test)]
mod tests {
    use protocol::messages::assign_replicas_to_dirs_response as response;

    use super::*;

    fn id(topic: u128, partition: i32) -> TopicIdPartition {
        TopicIdPartition { topic_id: Uuid::from_u128(topic), partition }
    }

    #[test]
    fn what_was_taken_is_told_once_and_the_rest_again() {
        let assignments = Assignments::default();
        let (one, two) = (Uuid::from_u128(901), Uuid::from_u128(902));
        assignments.waiting.lock().extend([
            (id(1, 0), one),
            (id(1, 1), two),
            (id(2, 0), one),
            (id(3, 0), one),
        ]);
        let sent = assignments.next();
        let request = by_directory(&sent);
        assert_eq!(request.len(), 2);
        assert_eq!((request[0].id, request[0].topics.len(), request[1].topics.len()), (one, 3, 1));
        // One moved on meanwhile, one is refused, one is gone.
        assignments.waiting.lock().insert(id(1, 0), two);
        let answers = [
            (1, 0, ErrorCode::None),
            (1, 1, ErrorCode::None),
            (2, 0, ErrorCode::NotController),
            (3, 0, ErrorCode::UnknownTopicId),
        ];
        let topics = answers.map(|(topic, partition_index, error)| response::TopicData {
            topic_id: Uuid::from_u128(topic),
            partitions: vec![response::PartitionData { partition_index, error_code: error.code() }],
        });
        let directory = response::DirectoryData { id: one, topics: topics.to_vec() };
        let answer = AssignReplicasToDirsResponse { directories: vec![directory], ..Default::default() };
        assert_eq!(assignments.answered(&sent, &answer), [ErrorCode::NotController]);
        assert_eq!(assignments.next(), [(id(1, 0), two), (id(2, 0), one)]);
    }
}
