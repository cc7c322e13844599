//! What a broker does with requests, as `server`'s handlers do.

use std::sync::Arc;

use common::{ErrorCode, TopicIdPartition};
use parking_lot::Mutex;
use protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use protocol::messages::{FetchRequest, ListOffsetsRequest, ListOffsetsResponse};
use replica::Partition;
use storage::{AppendInfo, AppendOrigin};

use super::broker::{Broker, Unacknowledged};
use super::damage::with_fitting_checksums;
use super::messages::Told;
use crate::fetch::{Fetched, FetchedPartition};
use crate::offsets;
use crate::planted::Planted;

/// Answers that coordinators gave: the number of the request, and what was said.
pub(crate) type Answers = Arc<Mutex<Vec<(u64, Told)>>>;

/// The topic whose offsets are committed.
pub(crate) const CONSUMED: &str = "consumed";

impl Broker {
    /// Answers a follower's fetch. `life`: a number that no other life of a broker has.
    pub fn fetch(&mut self, request: &FetchRequest, life: i32, now_ms: i64) -> Fetched {
        let follower = request.replica_state.replica_id;
        let session = self.sessions.entry(follower).or_default();
        if request.session_epoch > 0 && (session.0, session.1) != (life, request.session_epoch) {
            let error = ErrorCode::InvalidFetchSessionEpoch;
            return Fetched { session_id: 0, error, partitions: Vec::new() };
        }
        if request.session_epoch <= 0 {
            session.2.clear();
        }
        for topic in &request.forgotten_topics_data {
            for partition in &topic.partitions {
                session.2.remove(&TopicIdPartition { topic_id: topic.topic_id, partition: *partition });
            }
        }
        for topic in &request.topics {
            for asked in &topic.partitions {
                let id = TopicIdPartition { topic_id: topic.topic_id, partition: asked.partition };
                session.2.insert(id, asked.clone());
            }
        }
        (session.0, session.1) = (life, request.session_epoch + 1);
        let asked = session.2.clone();
        let partitions = asked.iter().map(|(id, asked)| match self.partition(id) {
            Some(partition) => {
                let broker = (follower, request.replica_state.replica_epoch);
                FetchedPartition::of(&partition, *id, asked, broker, now_ms)
            }
            None => FetchedPartition::failed(*id, ErrorCode::UnknownTopicId),
        });
        Fetched { session_id: life, error: ErrorCode::None, partitions: partitions.collect() }
    }

    /// Takes what a leader has answered. Whether there were records.
    pub fn fetched(&mut self, leader: i32, fetched: &Fetched, now_ms: i64) -> bool {
        let Some(of) = self.fetchers.get_mut(&leader) else { return false };
        let unchecked =
            (self.planted == Some(Planted::UncheckedCopy)).then(|| with_fitting_checksums(fetched));
        let done = unchecked.as_ref().unwrap_or(fetched).arrive(&mut of.fetcher, now_ms);
        for partition in &done.flush {
            // An error shows in the health of the disk.
            let _ = partition.log().flush();
        }
        fetched
            .partitions
            .iter()
            .any(|partition| !partition.records.is_empty() || partition.diverging.is_some())
    }

    /// Answers where logs begin or end.
    pub fn lookup(&self, request: &ListOffsetsRequest) -> ListOffsetsResponse {
        const LATEST: i64 = -1;
        let topics = request.topics.iter().map(|topic| ListOffsetsTopicResponse {
            name: topic.name.clone(),
            partitions: topic
                .partitions
                .iter()
                .map(|asked| {
                    let partition = self.replicas.partition(&topic.name, asked.partition_index);
                    let found = partition.ok_or(ErrorCode::UnknownTopicOrPartition).and_then(|partition| {
                        let checked = partition.check_leader(asked.current_leader_epoch);
                        checked.map_err(|error| error.error_code())?;
                        let log = partition.log();
                        Ok(if asked.timestamp == LATEST {
                            log.log_end_offset()
                        } else {
                            log.log_start_offset()
                        })
                    });
                    ListOffsetsPartitionResponse {
                        partition_index: asked.partition_index,
                        error_code: found.err().unwrap_or(ErrorCode::None).code(),
                        offset: found.unwrap_or(-1),
                        ..Default::default()
                    }
                })
                .collect(),
        });
        ListOffsetsResponse { topics: topics.collect(), ..Default::default() }
    }

    /// Appends for a producer. The answer comes when it is committed, unless it is an error. Gives what the log says.
    pub fn produce(
        &mut self,
        number: u64,
        to: &TopicIdPartition,
        bytes: &[u8],
        now_ms: i64,
    ) -> Result<AppendInfo, ErrorCode> {
        let partition = self.partition(to).ok_or(ErrorCode::UnknownTopicId)?;
        let appended = partition
            .append_as_leader(bytes, AppendOrigin::Client, true, now_ms)
            .map_err(|error| error.error_code())?;
        if appended.needs_flush {
            partition.log().flush().map_err(|_| ErrorCode::KafkaStorageError)?;
            partition.synced(&appended, now_ms);
        }
        let leader_epoch = appended.last_leader_epoch.max(partition.leader_epoch());
        let last_offset = appended.last_offset;
        self.unacknowledged.push(Unacknowledged { number, partition, leader_epoch, last_offset });
        Ok(appended)
    }

    /// The answers to those whose records are committed by now, or never will be here.
    pub fn acknowledged(&mut self) -> Vec<(u64, Arc<Partition>, Told)> {
        let (mut answers, planted) = (Vec::new(), self.planted);
        self.unacknowledged.retain(|waiting| {
            let committed = match planted {
                Some(Planted::UnreplicatedAnswer) => Ok(true),
                _ => waiting.partition.is_committed(waiting.leader_epoch, waiting.last_offset + 1),
            };
            let answer = match committed {
                Ok(false) => return true,
                Ok(true) => Ok(waiting.last_offset),
                Err(error) => Err(error.error_code()),
            };
            answers.push((waiting.number, Arc::clone(&waiting.partition), Told::Produced(answer)));
            false
        });
        answers
    }

    /// Commits an offset of partition 0 of the topic that is consumed.
    pub fn commit(&self, number: u64, group: &str, offset: i64, answers: &Answers, now_ms: i64) {
        let request = offsets::commit_request(group, ("", -1), (CONSUMED, 0), offset);
        let answers = Arc::clone(answers);
        offsets::commit(&self.groups, "client", request, &self.image, now_ms, move |error| {
            answers.lock().push((number, Told::Committed(error)));
        });
    }

    /// Which offset is committed?
    pub fn committed_offset(&self, number: u64, group: &str, answers: &Answers, now_ms: i64) {
        let answers = Arc::clone(answers);
        offsets::committed(&self.groups, group, (CONSUMED, 0), &self.image, now_ms, move |found| {
            answers.lock().push((number, Told::CommittedOffset(found)));
        });
    }

    /// What is done from time to time. Whether the logs could be written.
    pub fn housekeeping(&self, now_ms: i64) -> bool {
        self.logs.purge_deleted_logs(now_ms);
        self.logs.flush_dirty(now_ms);
        self.logs.checkpoint_recovery_points().is_ok() && self.logs.checkpoint_high_watermarks().is_ok()
    }

    pub fn has_failed(&self) -> bool {
        self.logs.live_dirs().is_empty()
    }
}
