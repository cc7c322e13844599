//! The consumer: partitions that the application chose or that its group gave it, read by fetches that run ahead of it.
//!
//! One task fetches: each leader has one fetch under way at a time, and the next is sent when its answer came, while the
//! application still reads what came before. Where an answer is dropped (a seek, a lost connection) nothing is skipped:
//! the position moves with what was taken over. Of a consumer with a `group.id`, a second task keeps the membership alive
//! and a third one commits; what a rebalance takes and gives changes hands within [`Consumer::poll`] alone.

pub mod assignor;
mod commit;
mod config;
mod epochs;
mod fetched;
mod fetcher;
mod fetching;
mod group;
mod interceptor;
mod listener;
pub(crate) mod offsets;
mod positions;
mod rebalance;
mod record;
mod session;
mod state;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::TopicPartition;
use tokio::task::JoinHandle;

use crate::ClientError;
use crate::cluster::Cluster;

pub use assignor::Assignor;
pub use commit::{Commit, OffsetAndMetadata, Offsets};
pub use config::{AutoOffsetReset, ConsumerConfig, GroupProtocol, IsolationLevel, StartOffset};
pub use group::GroupMetadata;
pub use interceptor::{ConsumerInterceptor, Interceptors};
pub use listener::{ListenerFuture, RebalanceListener};
pub use offsets::OffsetAndTimestamp;
pub use protocol::records::TimestampType;
pub use record::ConsumerRecord;

use commit::Commits;
use group::Subscription;
use state::{FetchPosition, Shared};

/// A consumer of topics, in a group, or of partitions that it is told (`KafkaConsumer`).
///
/// ```no_run
/// use std::time::Duration;
///
/// use client::consumer::{Consumer, ConsumerConfig};
///
/// # async fn run() -> Result<(), client::ClientError> {
/// let mut config = ConsumerConfig::new("localhost:9092");
/// config.set("group.id", "readers")?;
/// config.set("group.protocol", "consumer")?;
/// let mut consumer = Consumer::new(config)?;
/// consumer.subscribe(["greetings"])?;
/// for _ in 0..10 {
///     for record in consumer.poll(Duration::from_secs(1)).await? {
///         println!("{}: {:?}", record.offset, record.value);
///     }
/// }
/// consumer.close(Duration::from_secs(30)).await
/// # }
/// ```
///
/// Without a group, partitions are read from where the application says:
///
/// ```no_run
/// use std::time::Duration;
///
/// use client::consumer::{Consumer, ConsumerConfig, StartOffset};
/// use common::TopicPartition;
///
/// # async fn run() -> Result<(), client::ClientError> {
/// let mut consumer = Consumer::new(ConsumerConfig::new("localhost:9092"))?;
/// consumer.assign([(TopicPartition::new("greetings", 0), StartOffset::Earliest)])?;
/// loop {
///     for record in consumer.poll(Duration::from_secs(1)).await? {
///         println!("{}: {:?}", record.offset, record.value);
///     }
/// }
/// # }
/// ```
pub struct Consumer {
    shared: Arc<Shared>,
    listener: Arc<dyn RebalanceListener>,
    /// The tasks, from when there is something to do.
    fetching: Option<JoinHandle<()>>,
    grouping: Option<JoinHandle<()>>,
    commits: Option<Commits>,
    committing: Option<JoinHandle<()>>,
    next_auto_commit: Instant,
}

/// Ends the poll that another task is in (`KafkaConsumer.wakeup`). Cheap to clone.
#[derive(Clone)]
pub struct Wakeup(Arc<Shared>);

impl Wakeup {
    /// The consumer's poll that is under way, or else its next one, fails with [`ClientError::Wakeup`].
    pub fn wakeup(&self) {
        self.0.lock().is_woken = true;
        self.0.arrived.notify_one();
    }
}

/// Whether a consumer that is closed leaves its group (KIP-1092).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupMembershipOperation {
    /// A member with a `group.instance.id` stays, expected back within its session; others leave.
    #[default]
    Default,
    /// It leaves, and others have its partitions at once.
    LeaveGroup,
    /// It stays until its session is over.
    RemainInGroup,
}

/// A partition, and where to begin in it: where the group is, if nothing is said.
pub struct Assigned {
    partition: TopicPartition,
    start: StartOffset,
}

impl From<TopicPartition> for Assigned {
    fn from(partition: TopicPartition) -> Assigned {
        Assigned { partition, start: StartOffset::Committed }
    }
}

impl From<(TopicPartition, StartOffset)> for Assigned {
    fn from((partition, start): (TopicPartition, StartOffset)) -> Assigned {
        Assigned { partition, start }
    }
}

impl Consumer {
    /// A consumer for the cluster that `config` names. Nothing is asked before there is something to read.
    ///
    /// # Errors
    /// If settings do not go together, such as `session.timeout.ms` with `group.protocol=consumer`.
    pub fn new(config: ConsumerConfig) -> Result<Consumer, ClientError> {
        config.check()?;
        let cluster = Cluster::new(config.client.clone());
        let next_auto_commit = Instant::now() + config.auto_commit_interval;
        Ok(Consumer {
            shared: Arc::new(Shared::new(cluster, config)),
            listener: Arc::new(listener::Nobody),
            fetching: None,
            grouping: None,
            commits: None,
            committing: None,
            next_auto_commit,
        })
    }

    /// Sets who is told of the partitions that come and go with the group's rebalances.
    pub fn set_rebalance_listener(&mut self, listener: impl RebalanceListener + 'static) {
        self.listener = Arc::new(listener);
    }

    /// Reads these topics, as a member of the group, and no others any more.
    ///
    /// # Errors
    /// If no topic is named (that is [`Consumer::unsubscribe`]), there is no `group.id`, or partitions were assigned.
    pub fn subscribe<T: Into<String>>(
        &mut self,
        topics: impl IntoIterator<Item = T>,
    ) -> Result<(), ClientError> {
        let topics: BTreeSet<String> = topics.into_iter().map(Into::into).collect();
        if topics.is_empty() || topics.iter().any(|topic| topic.trim().is_empty()) {
            let text = "Topic collection to subscribe to cannot contain null or empty topic, nor be empty";
            return Err(ClientError::IllegalState(text.to_owned()));
        }
        self.subscribe_to(Subscription::Topics(topics))
    }

    /// Reads the topics whose whole names match an expression of `java.util.regex`, found by the client's own look at all
    /// topics every `metadata.max.age.ms`.
    ///
    /// # Errors
    /// As [`Consumer::subscribe`], or if the expression cannot be read.
    pub fn subscribe_pattern(&mut self, expression: &str) -> Result<(), ClientError> {
        let regex = fancy_regex::Regex::new(&format!("^(?:{expression})$"));
        let regex =
            regex.map_err(|_| ClientError::IllegalState(format!("{expression} is an invalid regex.")))?;
        self.subscribe_to(Subscription::Pattern(Arc::new(regex)))
    }

    /// Reads the topics that match an expression of RE2/J, found by the coordinator (`SubscriptionPattern`); of
    /// `group.protocol=consumer`.
    ///
    /// # Errors
    /// As [`Consumer::subscribe`], or with the classic protocol. A pattern that the coordinator cannot read is an error of
    /// [`Consumer::poll`].
    pub fn subscribe_re2j_pattern(&mut self, expression: &str) -> Result<(), ClientError> {
        if expression.is_empty() {
            return Err(ClientError::IllegalState(
                "Topic pattern to subscribe to cannot be empty".to_owned(),
            ));
        }
        self.subscribe_to(Subscription::Re2(expression.to_owned()))
    }

    fn subscribe_to(&mut self, subscription: Subscription) -> Result<(), ClientError> {
        let group = self.shared.group.clone().ok_or_else(no_group)?;
        if self.shared.lock().is_assigned {
            return Err(mutually_exclusive());
        }
        group.subscribe(subscription)?;
        self.grouping.get_or_insert_with(|| group.start());
        self.start();
        Ok(())
    }

    /// Reads nothing any more: leaves the group, if the consumer was subscribed. Commits nothing by itself.
    ///
    /// # Errors
    /// The rebalance listener's.
    pub async fn unsubscribe(&mut self) -> Result<(), ClientError> {
        let mut result = Ok(());
        if let Some(group) = self.shared.group.clone().filter(|group| group.is_subscribed()) {
            let turn = group::Turn { commit: false, ..group.membership().farewell() };
            result = self.run_turn(&turn).await;
            let patience = self.shared.config.client.request_timeout;
            group.leave("the consumer unsubscribed from all topics", None, patience).await;
        }
        let mut state = self.shared.lock();
        state.partitions.clear();
        state.fetched.clear();
        state.is_assigned = false;
        result
    }

    /// Reads these partitions from these places on, and no others any more. A partition alone begins where the group has
    /// committed, or as `auto.offset.reset` says.
    ///
    /// # Errors
    /// If the consumer is subscribed to topics.
    pub fn assign<A: Into<Assigned>>(
        &mut self,
        partitions: impl IntoIterator<Item = A>,
    ) -> Result<(), ClientError> {
        if self.shared.is_subscribed() {
            return Err(mutually_exclusive());
        }
        let mut state = self.shared.lock();
        state.partitions.clear();
        state.fetched.clear();
        drop(state);
        self.add(partitions)
    }

    /// Reads these partitions too.
    ///
    /// # Errors
    /// If the consumer is subscribed to topics.
    pub fn add<A: Into<Assigned>>(
        &mut self,
        partitions: impl IntoIterator<Item = A>,
    ) -> Result<(), ClientError> {
        if self.shared.is_subscribed() {
            return Err(mutually_exclusive());
        }
        let mut state = self.shared.lock();
        state.is_assigned = true;
        for Assigned { partition, start } in partitions.into_iter().map(Into::into) {
            state.place(&partition, start);
        }
        drop(state);
        self.start();
        Ok(())
    }

    /// Reads these partitions no more; what was fetched of them is dropped.
    pub fn remove(&mut self, partitions: &[TopicPartition]) {
        self.shared.lock().remove(partitions);
    }

    /// The partitions that are read.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.shared.lock().partitions.keys().cloned().collect()
    }

    /// What ends a poll from elsewhere.
    pub fn waker(&self) -> Wakeup {
        Wakeup(Arc::clone(&self.shared))
    }

    /// The next records, at most `max.poll.records`; none if there are none within `timeout`. Takes part in the group's
    /// rebalances, and commits every `auto.commit.interval.ms` what earlier polls returned.
    ///
    /// # Errors
    /// What cannot be mended by trying again, after the records before it: no broker was ever reached, access is denied,
    /// an offset is out of range with `auto.offset.reset=none`, a batch is damaged. The partition of such an error is not
    /// read on before a [`Consumer::seek`]. Of a group: what the coordinator refuses for good, and the listener's errors.
    /// [`ClientError::Wakeup`], and [`ClientError::IllegalState`] if there is nothing that could be read.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Vec<ConsumerRecord>, ClientError> {
        let deadline = Instant::now() + timeout;
        let shared = Arc::clone(&self.shared);
        if !shared.lock().is_assigned && !shared.is_subscribed() {
            let text = "Consumer is not subscribed to any topics or assigned any partitions";
            return Err(ClientError::IllegalState(text.to_owned()));
        }
        let _polling = rebalance::Polling::enter(&shared);
        self.commit_if_due();
        loop {
            let arrived = shared.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            if std::mem::take(&mut shared.lock().is_woken) {
                return Err(ClientError::Wakeup);
            }
            self.take_turns().await?;
            if let Some(error) = shared.group.as_ref().and_then(|group| group.take_error()) {
                return Err(error);
            }
            let records = self.take();
            if !records.is_empty() {
                return Ok(shared.config.interceptors.on_consume(records));
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

    /// Commits if the consumer does so by itself, lets go of its partitions, and leaves the group. Without this, the group
    /// waits until the member's session is over.
    ///
    /// # Errors
    /// The rebalance listener's.
    pub async fn close(self, timeout: Duration) -> Result<(), ClientError> {
        self.close_with(GroupMembershipOperation::Default, timeout).await
    }

    /// The same; says whether the member stays.
    ///
    /// # Errors
    /// As [`Consumer::close`].
    pub async fn close_with(
        self,
        operation: GroupMembershipOperation,
        timeout: Duration,
    ) -> Result<(), ClientError> {
        let deadline = Instant::now() + timeout;
        if self.shared.config.auto_commits() && self.shared.lock().is_assigned {
            let offsets = self.shared.lock().positions(|_| true);
            self.commit_quietly(offsets, deadline).await;
        }
        if let Some(fetching) = &self.fetching {
            fetching.abort();
            let _ = tokio::time::timeout_at(deadline.into(), fetching::close_sessions(&self.shared)).await;
        }
        let Some(group) = self.shared.group.clone() else { return Ok(()) };
        let mut result = Ok(());
        if group.is_subscribed() {
            let turn = group.membership().farewell();
            result = self.run_turn_until(&turn, deadline).await;
        }
        // What was committed without waiting has its chance too.
        if let Some(commits) = &self.commits {
            let all = commits.commit(Offsets::new(), Some(deadline)).wait();
            let _ = tokio::time::timeout_at(deadline.into(), all).await;
        }
        let for_good = match operation {
            GroupMembershipOperation::Default => None,
            GroupMembershipOperation::LeaveGroup => Some(true),
            GroupMembershipOperation::RemainInGroup => Some(false),
        };
        let patience = deadline.saturating_duration_since(Instant::now());
        group.leave("the consumer is being closed", for_good, patience).await;
        self.shared.lock().partitions.clear();
        result
    }

    fn start(&mut self) {
        let shared = &self.shared;
        self.fetching.get_or_insert_with(|| tokio::spawn(fetcher::run(Arc::clone(shared))));
        if let (Some(group), None) = (&shared.group, &self.commits) {
            let (commits, task) = Commits::start(Arc::clone(group), shared.config.clone());
            (self.commits, self.committing) = (Some(commits), Some(task));
        }
        self.shared.wanted.notify_one();
    }

    /// Records that are there already.
    fn take(&mut self) -> Vec<ConsumerRecord> {
        let config = &self.shared.config;
        let mut records = Vec::new();
        while records.len() < config.max_poll_records {
            let mut state = self.shared.lock();
            let is_wanted = |partition| state.partitions.get(partition).is_none_or(|known| !known.is_paused);
            let next = state.fetched.iter().position(|fetched| is_wanted(&fetched.partition));
            let Some(mut fetched) = next.and_then(|next| state.fetched.remove(next)) else { break };
            drop(state);
            // Batches are read without the lock: decompressing takes its time. Nobody but this thread takes them.
            let before = records.len();
            let read = fetched.read(config.max_poll_records - before, config, &mut records);
            let mut state = self.shared.lock();
            let generation = fetched.generation;
            if let Some(partition) = state.current(&fetched.partition, generation) {
                partition.consumed = Some(fetched.next_offset());
                if let Some(last) = records.last().filter(|_| records.len() > before) {
                    partition.consumed_epoch = last.leader_epoch;
                }
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
        records
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        for task in [self.fetching.take(), self.grouping.take(), self.committing.take()].into_iter().flatten()
        {
            task.abort();
        }
    }
}

fn mutually_exclusive() -> ClientError {
    ClientError::IllegalState(
        "Subscription to topics, partitions and pattern are mutually exclusive".to_owned(),
    )
}

fn no_group() -> ClientError {
    ClientError::IllegalState(
        "To use the group management or offset commit APIs, you must provide a valid group.id in the consumer configuration."
            .to_owned(),
    )
}
