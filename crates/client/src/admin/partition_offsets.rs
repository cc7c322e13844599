//! Offsets in partitions, asked of their leaders: where they begin and end, by time, and records deleted from the beginning.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use common::{ErrorCode, TopicPartition};
use protocol::ApiKey;
use protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::Admin;
use super::coordinators::left_out;
use crate::ClientError;
use crate::backoff::Retries;
use crate::consumer::offsets::{self, Question};
use crate::consumer::{IsolationLevel, OffsetAndTimestamp};

/// Which offset of a partition is asked for (`OffsetSpec`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// Of the first record.
    Earliest,
    /// After the last record; after the last that is committed where the isolation level says so.
    Latest,
    /// Of the record with the greatest timestamp.
    MaxTimestamp,
    /// Of the first record on the broker's own disk.
    EarliestLocal,
    /// Of the last record in remote storage.
    LatestTiered,
    /// Of the first record that is not in remote storage.
    EarliestPendingUpload,
    /// Of the first record at or after this time, in ms since 1970.
    Timestamp(i64),
}

impl OffsetSpec {
    /// The timestamp that stands for it in `ListOffsets`, and the first version that knows it.
    fn timestamp(self) -> (i64, i16) {
        match self {
            OffsetSpec::Earliest => (offsets::EARLIEST, 0),
            OffsetSpec::Latest => (offsets::LATEST, 0),
            OffsetSpec::MaxTimestamp => (-3, 7),
            OffsetSpec::EarliestLocal => (-4, 8),
            OffsetSpec::LatestTiered => (-5, 9),
            OffsetSpec::EarliestPendingUpload => (-6, 11),
            OffsetSpec::Timestamp(timestamp) => (timestamp, 0),
        }
    }
}

/// What became of each partition.
type ByPartition<T> = BTreeMap<TopicPartition, Result<T, ClientError>>;

impl Admin {
    /// Offsets of partitions; none where no record is as late as the timestamp.
    ///
    /// # Errors
    /// If no broker answers. What is wrong with a partition stands in its place.
    pub async fn list_offsets(
        &self,
        partitions: &[(TopicPartition, OffsetSpec)],
        isolation: IsolationLevel,
    ) -> Result<ByPartition<Option<OffsetAndTimestamp>>, ClientError> {
        self.cluster.any().await?;
        let specs: HashMap<TopicPartition, OffsetSpec> = partitions.iter().cloned().collect();
        let keys: Vec<TopicPartition> = specs.keys().cloned().collect();
        self.ask_leaders(keys, async |leader, asked| {
            let connection = self.cluster.node(leader).await?;
            let mut answers = HashMap::new();
            let mut questions: Vec<Question> = Vec::new();
            for (partition, epoch) in asked {
                let spec = specs.get(partition).copied().unwrap_or(OffsetSpec::Latest);
                let (timestamp, first_version) = spec.timestamp();
                match connection.version(ApiKey::ListOffsets, i16::MAX)? < first_version {
                    true => drop(answers.insert(
                        partition.clone(),
                        Err(ClientError::api(
                            ErrorCode::UnsupportedVersion,
                            Some(format!(
                                "Broker {leader} does not support ListOffsets in version {first_version}"
                            )),
                        )),
                    )),
                    false => questions.push((partition.clone(), *epoch, timestamp)),
                }
            }
            if !questions.is_empty() {
                answers.extend(offsets::ask(&self.cluster, leader, isolation, &questions).await?);
            }
            Ok(answers)
        })
        .await
    }

    /// Deletes all records before an offset, or all that are there (-1). The first offsets that are left.
    ///
    /// # Errors
    /// If no broker answers. What is wrong with a partition stands in its place.
    pub async fn delete_records(
        &self,
        before: &BTreeMap<TopicPartition, i64>,
    ) -> Result<ByPartition<i64>, ClientError> {
        self.cluster.any().await?;
        self.ask_leaders(before.keys().cloned().collect(), async |leader, asked| {
            let mut topics: Vec<DeleteRecordsTopic> = Vec::new();
            for (at, _) in asked {
                let partition = DeleteRecordsPartition {
                    partition_index: at.partition,
                    offset: before.get(at).copied().unwrap_or(-1),
                };
                match topics.iter_mut().find(|topic| *topic.name == *at.topic) {
                    Some(topic) => topic.partitions.push(partition),
                    None => topics
                        .push(DeleteRecordsTopic { name: at.topic.to_string(), partitions: vec![partition] }),
                }
            }
            let request = DeleteRecordsRequest { topics, timeout_ms: self.timeout_ms() };
            let response: DeleteRecordsResponse = self.cluster.node(leader).await?.call(&request).await?;
            let mut answers = HashMap::new();
            for topic in response.topics {
                for partition in topic.partitions {
                    let at = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                    let checked = ClientError::check(partition.error_code, None);
                    answers.insert(at, checked.map(|()| partition.low_watermark));
                }
            }
            Ok(answers)
        })
        .await
    }

    /// Asks each leader for its partitions, again for those whose leader is elsewhere or not there, until
    /// `default.api.timeout.ms` is over.
    pub(super) async fn ask_leaders<T>(
        &self,
        partitions: Vec<TopicPartition>,
        ask: impl AsyncFn(
            i32,
            &[(TopicPartition, i32)],
        ) -> Result<HashMap<TopicPartition, Result<T, ClientError>>, ClientError>,
    ) -> Result<ByPartition<T>, ClientError> {
        let deadline = Instant::now() + self.cluster.config().api_timeout;
        let mut done: ByPartition<T> = BTreeMap::new();
        let mut left = partitions;
        let mut retries = Retries::new(self.cluster.config());
        while !left.is_empty() {
            let mut answers: HashMap<TopicPartition, Result<T, ClientError>> = HashMap::new();
            let mut by_leader: BTreeMap<i32, Vec<(TopicPartition, i32)>> = BTreeMap::new();
            for partition in &left {
                // One look at a time: a topic that is not there is waited for by asking again, like a leader.
                match offsets::leader(&self.cluster, partition, Instant::now()).await {
                    Ok((leader, epoch)) => {
                        by_leader.entry(leader).or_default().push((partition.clone(), epoch));
                    }
                    Err(error) => drop(answers.insert(partition.clone(), Err(error))),
                }
            }
            for (leader, asked) in by_leader {
                match ask(leader, &asked).await {
                    Ok(said) => answers.extend(said),
                    Err(error) => {
                        answers
                            .extend(asked.into_iter().map(|(partition, _)| (partition, Err(error.clone()))));
                    }
                }
            }
            let out_of_time = Instant::now() >= deadline;
            let mut again = Vec::new();
            for partition in left {
                match answers.remove(&partition).unwrap_or_else(|| Err(left_out())) {
                    Err(error) if self.cluster.may_retry(&error) && !out_of_time => {
                        self.cluster.forget(&partition.topic);
                        again.push(partition);
                    }
                    answer => drop(done.insert(partition, answer)),
                }
            }
            left = again;
            if !left.is_empty() {
                retries.wait().await;
            }
        }
        Ok(done)
    }
}
