//! Where a consumer is in its partitions, and what there is to read in them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{ErrorCode, TopicPartition};

use super::offsets::{self, OffsetAndTimestamp};
use super::{Consumer, StartOffset};
use crate::{ClientError, TopicInfo};

/// How often a position is looked at while it is waited for.
const LOOK: Duration = Duration::from_millis(10);

fn not_assigned(partition: &TopicPartition) -> ClientError {
    ClientError::IllegalState(format!("No current assignment for partition {partition}"))
}

impl Consumer {
    /// Goes on in a partition at another place.
    ///
    /// # Errors
    /// If the partition is not assigned.
    pub fn seek(&self, partition: &TopicPartition, to: StartOffset) -> Result<(), ClientError> {
        let mut state = self.shared.lock();
        if !state.partitions.contains_key(partition) {
            return Err(not_assigned(partition));
        }
        state.place(partition, to);
        drop(state);
        self.shared.wanted.notify_one();
        Ok(())
    }

    /// Goes on with the first records of these partitions; of all that are assigned, if none is named.
    ///
    /// # Errors
    /// As [`Consumer::seek`].
    pub fn seek_to_beginning(&self, partitions: &[TopicPartition]) -> Result<(), ClientError> {
        self.seek_all(partitions, StartOffset::Earliest)
    }

    /// Goes on behind the last records of these partitions; of all that are assigned, if none is named.
    ///
    /// # Errors
    /// As [`Consumer::seek`].
    pub fn seek_to_end(&self, partitions: &[TopicPartition]) -> Result<(), ClientError> {
        self.seek_all(partitions, StartOffset::Latest)
    }

    fn seek_all(&self, partitions: &[TopicPartition], to: StartOffset) -> Result<(), ClientError> {
        let all = self.assignment();
        let partitions = if partitions.is_empty() { &all } else { partitions };
        partitions.iter().try_for_each(|partition| self.seek(partition, to))
    }

    /// The offset of the next record that [`Consumer::poll`] returns of a partition; none while it is not known, or
    /// where the partition is not assigned.
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.shared.lock().partitions.get(partition)?.consumed
    }

    /// The same; waits until it is known.
    ///
    /// # Errors
    /// If the partition is not assigned, or its position is not found out within `patience`.
    pub async fn await_position(
        &self,
        partition: &TopicPartition,
        patience: Duration,
    ) -> Result<i64, ClientError> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(offset) = self.known_position(partition)? {
                return Ok(offset);
            }
            if Instant::now() >= deadline {
                let text = format!("the position of {partition} could not be determined in time");
                return Err(ClientError::api(ErrorCode::RequestTimedOut, Some(text)));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn known_position(&self, partition: &TopicPartition) -> Result<Option<i64>, ClientError> {
        let mut state = self.shared.lock();
        let known = state.partitions.get(partition).ok_or_else(|| not_assigned(partition))?;
        match known.consumed {
            Some(offset) => Ok(Some(offset)),
            None => state.error.take().map_or(Ok(None), Err),
        }
    }

    /// Returns nothing of these partitions for now; they stay assigned, and what was fetched stays.
    ///
    /// # Errors
    /// If one of them is not assigned.
    pub fn pause(&self, partitions: &[TopicPartition]) -> Result<(), ClientError> {
        self.set_paused(partitions, true)
    }

    /// Goes on with these partitions.
    ///
    /// # Errors
    /// As [`Consumer::pause`].
    pub fn resume(&self, partitions: &[TopicPartition]) -> Result<(), ClientError> {
        self.set_paused(partitions, false)
    }

    fn set_paused(&self, partitions: &[TopicPartition], is_paused: bool) -> Result<(), ClientError> {
        let mut state = self.shared.lock();
        for partition in partitions {
            let known = state.partitions.get_mut(partition).ok_or_else(|| not_assigned(partition))?;
            known.is_paused = is_paused;
        }
        drop(state);
        self.shared.wanted.notify_one();
        self.shared.arrived.notify_one();
        Ok(())
    }

    /// The partitions that are paused.
    pub fn paused(&self) -> Vec<TopicPartition> {
        let state = self.shared.lock();
        let paused = state.partitions.iter().filter(|(_, known)| known.is_paused);
        paused.map(|(partition, _)| partition.clone()).collect()
    }

    /// How many offsets a partition's end is ahead, as far as the consumer knows without asking.
    pub fn current_lag(&self, partition: &TopicPartition) -> Option<i64> {
        let state = self.shared.lock();
        let known = state.partitions.get(partition)?;
        Some((known.end? - known.consumed?).max(0))
    }

    /// The offsets of the first records.
    ///
    /// # Errors
    /// If a partition's leader does not answer within `default.api.timeout.ms`, or refuses.
    pub async fn beginning_offsets(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<HashMap<TopicPartition, i64>, ClientError> {
        self.offsets(partitions, offsets::EARLIEST).await
    }

    /// The offsets behind the last records; with `read_committed`, behind the last that can be read.
    ///
    /// # Errors
    /// As [`Consumer::beginning_offsets`].
    pub async fn end_offsets(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<HashMap<TopicPartition, i64>, ClientError> {
        self.offsets(partitions, offsets::LATEST).await
    }

    /// The first records whose timestamps, in ms since 1970, are those given or later; none where there is no such record.
    ///
    /// # Errors
    /// As [`Consumer::beginning_offsets`].
    pub async fn offsets_for_times(
        &self,
        timestamps: &[(TopicPartition, i64)],
    ) -> Result<HashMap<TopicPartition, Option<OffsetAndTimestamp>>, ClientError> {
        offsets::ask_all(&self.shared.cluster, self.shared.config.isolation_level, timestamps).await
    }

    async fn offsets(
        &self,
        partitions: &[TopicPartition],
        timestamp: i64,
    ) -> Result<HashMap<TopicPartition, i64>, ClientError> {
        let questions: Vec<_> = partitions.iter().map(|partition| (partition.clone(), timestamp)).collect();
        let answers = self.offsets_for_times(&questions).await?;
        let offset = |(partition, answer): (TopicPartition, Option<OffsetAndTimestamp>)| {
            Some((partition, answer?.offset))
        };
        Ok(answers.into_iter().filter_map(offset).collect())
    }

    /// The partitions of a topic, asked anew; a topic that is missing may be made by the broker
    /// (`allow.auto.create.topics`) and is waited for up to `patience`.
    ///
    /// # Errors
    /// If there is no such topic, or no broker answers.
    pub async fn partitions_for(
        &self,
        topic: &str,
        patience: Duration,
    ) -> Result<Arc<TopicInfo>, ClientError> {
        self.shared.cluster.forget(topic);
        self.shared.cluster.topic(topic, self.shared.config.allow_auto_create_topics, patience).await
    }

    /// The names of all topics, sorted.
    ///
    /// # Errors
    /// If no broker answers.
    pub async fn list_topics(&self) -> Result<Vec<String>, ClientError> {
        let response = self.shared.cluster.metadata(None, false).await?;
        let mut names: Vec<String> = response.topics.into_iter().filter_map(|topic| topic.name).collect();
        names.sort();
        Ok(names)
    }
}
