//! `AlterReplicaLogDirs`: replicas move to other log directories of this broker.

use std::path::Path;
use std::sync::Arc;

use common::{ErrorCode, TopicPartition};
use network::{Handled, Outbox};
use protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use protocol::messages::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse};

use crate::assignments::Assignments;
use crate::broker::Broker;
use crate::clock::now_ms;
use crate::request::{BadRequest, Request};

/// The longest name of a directory.
const MAX_FILE_NAME_LENGTH: usize = 255;
/// What the name of a replica's directory has behind the partition while the replica moves: `.<id>-future`.
const FUTURE_SUFFIX_LENGTH: usize = 1 + 32 + 7;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    mut request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let body: AlterReplicaLogDirsRequest = request.read()?;
    let mut results: Vec<AlterReplicaLogDirTopicResult> = Vec::new();
    for dir in &body.dirs {
        for topic in &dir.topics {
            for index in &topic.partitions {
                let name = TopicPartition::new(topic.name.as_str(), *index);
                let error = alter(broker, &name, Path::new(&dir.path)).err().unwrap_or(ErrorCode::None);
                if !error.is_none() {
                    tracing::warn!(partition = %name, dir = %dir.path, %error, "a replica does not move to a log directory");
                }
                let result =
                    AlterReplicaLogDirPartitionResult { partition_index: *index, error_code: error.code() };
                match results.iter_mut().find(|known| known.topic_name == topic.name) {
                    Some(known) => known.partitions.push(result),
                    None => results.push(AlterReplicaLogDirTopicResult {
                        topic_name: topic.name.clone(),
                        partitions: vec![result],
                    }),
                }
            }
        }
    }
    request.head.answer(&AlterReplicaLogDirsResponse { results, ..Default::default() }, out)
}

fn alter(broker: &Broker, name: &TopicPartition, dir: &Path) -> Result<(), ErrorCode> {
    if name.to_string().len() + FUTURE_SUFFIX_LENGTH > MAX_FILE_NAME_LENGTH {
        return Err(ErrorCode::InvalidTopicException);
    }
    let logs = broker.replicas.logs();
    let known = logs.check_dir(dir).map_err(|error| error.error_code())?;
    if logs.is_cordoned(&known) {
        return Err(ErrorCode::InvalidReplicaAssignment);
    }
    let Some(partition) = broker.replicas.partition(&name.topic, name.partition) else {
        // Where the replica goes if it comes.
        logs.prefer_dir(name, dir);
        let image = broker.image();
        let topic = image.topics.topic(&name.topic);
        return Err(match topic.is_some_and(|topic| topic.partitions.contains_key(&name.partition)) {
            true => ErrorCode::ReplicaNotAvailable,
            false => ErrorCode::UnknownTopicOrPartition,
        });
    };
    let before = partition.future_directory(logs);
    let begun =
        broker.replicas.alter_log_dir(&partition, dir, now_ms()).map_err(|error| error.error_code())?;
    if before.is_some() && partition.future_directory(logs) != before {
        // The controller may have been told of the move that is given up.
        Assignments::reset(broker, &partition);
    }
    if begun {
        broker.alter_log_dirs.add(&partition);
    }
    Ok(())
}
