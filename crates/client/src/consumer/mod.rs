//! The consumer: partitions that the application chose, read by fetches that run ahead of it.
//!
//! One task fetches: each leader has one fetch under way at a time, and the next is sent when its answer came, while the
//! application still reads what came before. Where an answer is dropped (a seek, a lost connection) nothing is skipped:
//! the position moves with what was taken over.

mod config;
mod fetched;
mod fetcher;
pub(crate) mod offsets;
mod record;
mod state;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::TopicPartition;
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::{ClientError, TopicInfo};

pub use config::{AutoOffsetReset, ConsumerConfig, IsolationLevel, StartOffset};
pub use offsets::OffsetAndTimestamp;
pub use protocol::records::TimestampType;
pub use record::ConsumerRecord;

use state::{FetchPosition, Shared};

/// A consumer of partitions that it is told (`KafkaConsumer` with `assign`).
///
/// ```no_run
/// use std::time::Duration;
///
/// use client::consumer::{Consumer, ConsumerConfig, StartOffset};
/// use common::TopicPartition;
///
/// # async fn run() -> Result<(), client::ClientError> {
/// let mut consumer = Consumer::new(ConsumerConfig::new("localhost:9092"));
/// consumer.assign([(TopicPartition::new("greetings", 0), StartOffset::Earliest)]);
/// loop {
///     for record in consumer.poll(Duration::from_secs(1)).await? {
///         println!("{}: {:?}", record.offset, record.value);
///     }
/// }
/// # }
/// ```
pub struct Consumer {
    shared: Arc<Shared>,
    fetching: Option<JoinHandle<()>>,
}

impl Consumer {
    /// A consumer for the cluster that `config` names. Nothing is asked before partitions are assigned.
    pub fn new(config: ConsumerConfig) -> Consumer {
        let cluster = Cluster::new(config.client.clone());
        Consumer { shared: Arc::new(Shared::new(cluster, config)), fetching: None }
    }

    /// Reads these partitions from these places on, and no others any more.
    pub fn assign(&mut self, partitions: impl IntoIterator<Item = (TopicPartition, StartOffset)>) {
        let mut state = self.shared.lock();
        state.partitions.clear();
        state.fetched.clear();
        drop(state);
        self.add(partitions);
    }

    /// Reads these partitions too.
    pub fn add(&mut self, partitions: impl IntoIterator<Item = (TopicPartition, StartOffset)>) {
        let mut state = self.shared.lock();
        for (partition, start) in partitions {
            state.place(&partition, start);
        }
        drop(state);
        self.start();
    }

    /// Reads these partitions no more; what was fetched of them is dropped.
    pub fn remove(&mut self, partitions: &[TopicPartition]) {
        let mut state = self.shared.lock();
        state.partitions.retain(|partition, _| !partitions.contains(partition));
        state.fetched.retain(|fetched| !partitions.contains(&fetched.partition));
    }

    /// The partitions that are read.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.shared.lock().partitions.keys().cloned().collect()
    }

    /// Goes on in a partition at another place.
    ///
    /// # Errors
    /// If the partition is not assigned.
    pub fn seek(&mut self, partition: &TopicPartition, to: StartOffset) -> Result<(), ClientError> {
        let mut state = self.shared.lock();
        if !state.partitions.contains_key(partition) {
            return Err(ClientError::Record(format!("No current assignment for partition {partition}")));
        }
        state.place(partition, to);
        drop(state);
        self.start();
        Ok(())
    }

    /// The offset of the next record that [`Consumer::poll`] returns of a partition; none while it is not known, or
    /// where the partition is not assigned.
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.shared.lock().partitions.get(partition)?.consumed
    }

    /// The next records, at most `max.poll.records`; none if there are none within `timeout`.
    ///
    /// # Errors
    /// What cannot be mended by trying again, after the records before it: no broker was ever reached, access is denied,
    /// an offset is out of range with `auto.offset.reset=none`, a batch is damaged. The partition of such an error is not
    /// read on before a [`Consumer::seek`].
    pub async fn poll(&mut self, timeout: Duration) -> Result<Vec<ConsumerRecord>, ClientError> {
        let deadline = Instant::now() + timeout;
        let shared = Arc::clone(&self.shared);
        loop {
            let arrived = shared.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            let records = self.take()?;
            if !records.is_empty() {
                return Ok(records);
            }
            if let Some(error) = shared.lock().error.take() {
                return Err(error);
            }
            if Instant::now() >= deadline || tokio::time::timeout_at(deadline.into(), arrived).await.is_err()
            {
                return Ok(Vec::new());
            }
        }
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

    fn start(&mut self) {
        let shared = &self.shared;
        self.fetching.get_or_insert_with(|| tokio::spawn(fetcher::run(Arc::clone(shared))));
        self.shared.wanted.notify_one();
    }

    /// Records that are there already.
    fn take(&mut self) -> Result<Vec<ConsumerRecord>, ClientError> {
        let config = &self.shared.config;
        let mut records = Vec::new();
        while records.len() < config.max_poll_records {
            let Some(mut fetched) = self.shared.lock().fetched.pop_front() else { break };
            // Batches are read without the lock: decompressing takes its time. Nobody but this thread takes them.
            let room = config.max_poll_records - records.len();
            let read = fetched.read(room, config, &mut records);
            let mut state = self.shared.lock();
            let generation = fetched.generation;
            if let Some(partition) = state.current(&fetched.partition, generation) {
                partition.consumed = Some(fetched.next_offset());
                match read {
                    Ok(false) => state.fetched.push_front(fetched),
                    Ok(true) => {
                        partition.buffered = partition.buffered.saturating_sub(fetched.size);
                        self.shared.wanted.notify_one();
                    }
                    Err(error) => {
                        partition.fetch = FetchPosition::Failed;
                        state.fetched.retain(|other| other.partition != fetched.partition);
                        state.error.get_or_insert(error);
                        break;
                    }
                }
            }
        }
        Ok(records)
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if let Some(fetching) = self.fetching.take() {
            fetching.abort();
        }
    }
}
