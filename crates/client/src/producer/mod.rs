//! The producer: records into batches, batches to the leaders of their partitions.
//!
//! Each partition has a task of its own that gives its batches away in order, so that an idempotent producer's sequence numbers
//! follow from it. While batches are under way the next one fills. Each broker has a task that sends it what the partitions that it
//! leads have for it, several in one request. One more task lets batches go that have lingered.

mod batch;
mod config;
mod interceptor;
mod linger;
mod outbox;
mod partition;
mod partitioner;
mod queue;
mod topic;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::TopicPartition;
use tokio::sync::{Notify, OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::{ClientError, TopicInfo};

pub use batch::{Delivery, RecordMetadata};
pub use config::{Acks, ProducerConfig};
pub use interceptor::{Interceptors, ProducerInterceptor};
pub use partitioner::murmur2;

use batch::NewRecord;
use linger::Lingering;
use outbox::Outbox;
use partition::ProducerIdentity;
use partitioner::Near;
use queue::PartitionQueue;
use topic::Topic;

/// Who waits for memory waits for so many batches to be answered, or for this share of `buffer.memory`, whichever is less. With more, it
/// comes back with so much that whoever sends has to wait for it (measured: a sixteenth of the memory cost a sixth of the rate).
const BATCHES_OF_MEMORY: usize = 8;
const SHARE_OF_MEMORY: usize = 128;
/// So long it waits for what is under way before it has everything sent that lingers.
const FLUSH_AFTER: Duration = Duration::from_millis(5);

/// A record to produce. What is borrowed is copied once: into the batch that it becomes part of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProducerRecord<'a> {
    /// The topic it is for.
    pub topic: Cow<'a, str>,
    /// The partition it is for; otherwise the key's hash decides, or the producer where there is no key.
    pub partition: Option<i32>,
    /// Milliseconds since 1970; otherwise now.
    pub timestamp: Option<i64>,
    /// Its key.
    pub key: Option<Cow<'a, [u8]>>,
    /// Its value; none is a tombstone.
    pub value: Option<Cow<'a, [u8]>>,
    /// Its headers, in order; keys may repeat.
    pub headers: Vec<RecordHeader<'a>>,
}

/// A header's key, and its value.
pub type RecordHeader<'a> = (Cow<'a, str>, Option<Cow<'a, [u8]>>);

impl<'a> ProducerRecord<'a> {
    /// A record with a value and nothing else.
    pub fn new(topic: impl Into<Cow<'a, str>>, value: impl IntoBytes<'a>) -> ProducerRecord<'a> {
        ProducerRecord { topic: topic.into(), value: Some(value.into_bytes()), ..ProducerRecord::default() }
    }

    /// The record with this key.
    pub fn with_key(mut self, key: impl IntoBytes<'a>) -> ProducerRecord<'a> {
        self.key = Some(key.into_bytes());
        self
    }

    /// The record with one header more, behind the others.
    pub fn with_header(
        mut self,
        key: impl Into<Cow<'a, str>>,
        value: impl IntoBytes<'a>,
    ) -> ProducerRecord<'a> {
        self.headers.push((key.into(), Some(value.into_bytes())));
        self
    }

    /// The record for this partition.
    pub fn with_partition(mut self, partition: i32) -> ProducerRecord<'a> {
        self.partition = Some(partition);
        self
    }
}

/// What can be a record's key or value as it is: bytes and text, borrowed or not.
pub trait IntoBytes<'a> {
    /// The bytes; what was borrowed stays so.
    fn into_bytes(self) -> Cow<'a, [u8]>;
}

macro_rules! into_bytes {
    ($($type:ty: $value:ident => $bytes:expr),+ $(,)?) => {
        $(impl<'a> IntoBytes<'a> for $type {
            fn into_bytes(self) -> Cow<'a, [u8]> {
                let $value = self;
                $bytes
            }
        })+
    };
}

into_bytes! {
    &'a [u8]: bytes => Cow::Borrowed(bytes),
    &'a Vec<u8>: bytes => Cow::Borrowed(bytes),
    &'a bytes::Bytes: bytes => Cow::Borrowed(bytes),
    &'a str: text => Cow::Borrowed(text.as_bytes()),
    &'a String: text => Cow::Borrowed(text.as_bytes()),
    Vec<u8>: bytes => Cow::Owned(bytes),
    String: text => Cow::Owned(text.into_bytes()),
    Cow<'a, [u8]>: bytes => bytes,
}

impl<'a, const N: usize> IntoBytes<'a> for &'a [u8; N] {
    fn into_bytes(self) -> Cow<'a, [u8]> {
        Cow::Borrowed(self)
    }
}

/// A producer.
///
/// ```no_run
/// use client::{Producer, ProducerConfig, ProducerRecord};
///
/// # async fn run() -> Result<(), client::ClientError> {
/// let producer = Producer::new(ProducerConfig::new("localhost:9092"));
/// let delivery = producer.send(ProducerRecord::new("greetings", "hello").with_key("en")).await?;
/// println!("at offset {}", delivery.await?.offset);
/// # Ok(())
/// # }
/// ```
///
/// Dropping it drops what was not flushed.
pub struct Producer {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) cluster: Cluster,
    pub(crate) config: ProducerConfig,
    /// `buffer.memory`, in bytes.
    memory: Arc<Semaphore>,
    topics: Mutex<HashMap<String, Arc<Topic>, foldhash::fast::RandomState>>,
    /// Of all topics.
    queues: Mutex<Vec<Arc<PartitionQueue>>>,
    /// By the broker's id.
    outboxes: Mutex<HashMap<i32, Arc<Outbox>, foldhash::fast::RandomState>>,
    /// Nothing once the producer was dropped: no task begins any more.
    tasks: Mutex<Option<Vec<JoinHandle<()>>>>,
    /// The id that all partitions begin with, where the producer is idempotent.
    pub(crate) identity: OnceCell<ProducerIdentity>,
    pub(crate) lingering: Lingering,
    /// Told when a batch was answered: a flush looks whether that was the last one.
    pub(crate) progress: Notify,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

impl Producer {
    /// A producer for the cluster that `config` names. Nothing is sent before the first record.
    pub fn new(config: ProducerConfig) -> Producer {
        let memory = Arc::new(Semaphore::new(config.buffer_memory.min(Semaphore::MAX_PERMITS)));
        Producer {
            shared: Arc::new(Shared {
                cluster: Cluster::new(config.client.clone()),
                config,
                memory,
                topics: Mutex::default(),
                queues: Mutex::default(),
                outboxes: Mutex::default(),
                tasks: Mutex::new(Some(Vec::new())),
                identity: OnceCell::new(),
                lingering: Lingering::default(),
                progress: Notify::new(),
            }),
        }
    }

    /// Queues a record. Waits up to `max.block.ms` for the topic's metadata and for memory; the [`Delivery`] says what
    /// became of it.
    ///
    /// # Errors
    /// [`ClientError::Record`] for a record that is larger than `max.request.size` or `buffer.memory`, that names a
    /// partition which is not there, or that finds no memory in time; otherwise if the topic's metadata cannot be had.
    pub async fn send(&self, record: ProducerRecord<'_>) -> Result<Delivery, ClientError> {
        let interceptors = &self.shared.config.interceptors;
        if interceptors.is_empty() {
            return self.queue(record).await;
        }
        let record = interceptors.on_send(record);
        let place = TopicPartition::new(&*record.topic, record.partition.unwrap_or(-1));
        self.queue(record).await.inspect_err(|error| interceptors.on_acknowledgement(&place, Err(error)))
    }

    async fn queue(&self, record: ProducerRecord<'_>) -> Result<Delivery, ClientError> {
        let shared = &self.shared;
        let config = &shared.config;
        let now_ms = now_ms();
        let topic = match self.known(&record.topic, now_ms) {
            Some(topic) => topic,
            None => self.look_up(&record.topic, now_ms).await?,
        };
        let size = NewRecord::size_estimate(&record);
        let limits = [("max.request.size", config.max_request_size), ("buffer.memory", config.buffer_memory)];
        if let Some((name, limit)) = limits.into_iter().find(|(_, limit)| size > *limit) {
            return Err(ClientError::Record(format!(
                "The message is {size} bytes when serialized which is larger than {limit}, which is the value of the \
                 {name} configuration."
            )));
        }
        let permits = u32::try_from(size).unwrap_or(u32::MAX);
        // Most of the time there is memory, and no timer is needed.
        let memory = match Arc::clone(&shared.memory).try_acquire_many_owned(permits) {
            Ok(memory) => memory,
            Err(_) => self.wait_for_memory(permits).await?,
        };
        let queue = topic.queue_for(&record, size, config, |partition| self.open(partition))?;
        let (delivery, begins) = queue.append(NewRecord { record, now_ms, size, memory }, config)?;
        if begins {
            shared.lingering.begin();
        }
        Ok(delivery)
    }

    /// A topic that records were sent to just now.
    fn known(&self, name: &str, now_ms: i64) -> Option<Arc<Topic>> {
        let topics = lock(&self.shared.topics);
        topics.get(name).filter(|topic| !topic.is_stale(now_ms)).cloned()
    }

    async fn look_up(&self, name: &str, now_ms: i64) -> Result<Arc<Topic>, ClientError> {
        let info = self.partitions_for(name).await?;
        let near = self.near(&info);
        let mut topics = lock(&self.shared.topics);
        if let Some(topic) = topics.get(name) {
            topic.refresh(info, near, now_ms);
            return Ok(Arc::clone(topic));
        }
        let topic = Arc::new(Topic::new(info, near, now_ms));
        topics.insert(name.to_owned(), Arc::clone(&topic));
        Ok(topic)
    }

    /// The partitions whose leader is in the producer's rack, if it wants to know.
    fn near(&self, info: &TopicInfo) -> Option<Near> {
        let config = &self.shared.config;
        if !config.partitioner_rack_aware || config.client_rack.is_empty() {
            return None;
        }
        let racks = self.shared.cluster.racks();
        let is_near = |leader: i32| racks.get(&leader) == Some(&config.client_rack);
        let partitions = info.partitions.iter().filter(|partition| is_near(partition.leader));
        Some(partitions.map(|partition| partition.partition).collect())
    }

    /// Memory for a record of so many bytes, where there is none at the moment.
    async fn wait_for_memory(&self, permits: u32) -> Result<OwnedSemaphorePermit, ClientError> {
        let config = &self.shared.config;
        // Whoever waits goes on with room for many records: woken for each batch that is answered, it would wait again at once.
        let enough = (BATCHES_OF_MEMORY * config.batch_size).min(config.buffer_memory / SHARE_OF_MEMORY);
        let enough = u32::try_from(enough).unwrap_or(u32::MAX).max(permits);
        let memory = Arc::clone(&self.shared.memory).acquire_many_owned(enough);
        tokio::pin!(memory);
        let wait = async {
            tokio::select! {
                biased;
                memory = &mut memory => return memory,
                () = tokio::time::sleep(FLUSH_AFTER) => {}
            }
            // What lingers holds the memory that is waited for (`RecordAccumulator.batchReady`: exhausted).
            for queue in lock(&self.shared.queues).iter() {
                queue.flush();
            }
            memory.await
        };
        match tokio::time::timeout(config.max_block, wait).await {
            Ok(Ok(mut memory)) => {
                drop(memory.split((enough - permits) as usize));
                Ok(memory)
            }
            Ok(Err(_)) => Err(ClientError::Closed),
            Err(_) => Err(ClientError::Record(format!(
                "Failed to allocate {permits} bytes within the configured max blocking time {} ms. Total memory: {} bytes.",
                config.max_block.as_millis(),
                config.buffer_memory
            ))),
        }
    }

    /// Waits until every record that was queued is delivered, or failed for good.
    pub async fn flush(&self) {
        let shared = &self.shared;
        loop {
            let progress = shared.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            let queues: Vec<Arc<PartitionQueue>> = lock(&shared.queues).clone();
            // Every queue is told to go on, not only those up to the first that is not empty.
            let mut left = 0;
            for queue in &queues {
                left += usize::from(queue.flush());
            }
            if left == 0 {
                return;
            }
            progress.await;
        }
    }

    /// The partitions of a topic.
    ///
    /// # Errors
    /// If they cannot be had within `max.block.ms`.
    pub async fn partitions_for(&self, topic: &str) -> Result<Arc<TopicInfo>, ClientError> {
        self.shared.cluster.topic(topic, true, self.shared.config.max_block).await
    }

    /// Flushes, and ends.
    pub async fn close(self) {
        self.flush().await;
    }

    /// A partition's queue, and the task that sends what is in it.
    fn open(&self, partition: TopicPartition) -> Arc<PartitionQueue> {
        let shared = &self.shared;
        let queue = Arc::new(PartitionQueue::new(partition));
        let is_first = {
            let mut queues = lock(&shared.queues);
            queues.push(Arc::clone(&queue));
            queues.len() == 1
        };
        if is_first {
            shared.begin(linger::run(Arc::clone(shared)));
        }
        shared.begin(partition::run(Arc::clone(shared), Arc::clone(&queue)));
        queue
    }
}

impl Shared {
    /// What waits for a broker; its task begins with the first.
    pub(crate) fn outbox(self: &Arc<Shared>, node: i32) -> Arc<Outbox> {
        let mut outboxes = lock(&self.outboxes);
        let outbox = outboxes.entry(node).or_insert_with(|| {
            let outbox = Arc::new(Outbox::default());
            self.begin(outbox::run(Arc::clone(self), node, Arc::clone(&outbox)));
            outbox
        });
        Arc::clone(outbox)
    }

    /// Begins a task that ends with the producer.
    fn begin(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(tasks) = &mut *lock(&self.tasks) {
            tasks.push(tokio::spawn(task));
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        for task in lock(&self.shared.tasks).take().into_iter().flatten() {
            task.abort();
        }
    }
}
