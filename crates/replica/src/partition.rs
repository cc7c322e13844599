//! One partition on this broker: who leads it, what is committed, its log (`kafka.cluster.Partition`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use common::{TopicPartition, Uuid};
use metadata::PartitionRegistration;
use storage::{AbortedTxn, AppendInfo, AppendOrigin, FetchInfo, Log, LogSlice, OffsetAndEpoch};

use crate::PartitionError;
use crate::waiter::Watchers;

/// A partition of which this broker has a replica.
pub struct Partition {
    topic_partition: TopicPartition,
    topic_id: Uuid,
    node_id: i32,
    log: Arc<Log>,
    registration: ArcSwap<PartitionRegistration>,
    min_insync_replicas: AtomicUsize,
    watchers: Watchers,
}

/// Which records a fetch may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// All that are committed: up to the high watermark.
    ReadUncommitted,
    /// Those of no open transaction: up to the last stable offset.
    ReadCommitted,
}

/// What a fetch asks of one partition.
#[derive(Debug, Clone, Copy)]
pub struct FetchRequest {
    /// The first offset wanted.
    pub offset: i64,
    /// No more bytes than this, unless `min_one_message`.
    pub max_bytes: usize,
    /// What the reader may see.
    pub isolation: Isolation,
    /// The leader epoch that the client knows, -1 for none.
    pub current_leader_epoch: i32,
    /// The epoch of the last record that the client has, -1 for none (KIP-595).
    pub last_fetched_epoch: i32,
    /// Give the first batch even where it is larger than `max_bytes`.
    pub min_one_message: bool,
}

/// What a fetch gets of one partition.
#[derive(Debug)]
pub struct FetchedPartition {
    /// The records, or where they lie.
    pub records: LogSlice,
    /// The offset behind the last committed record.
    pub high_watermark: i64,
    /// The first offset of an open transaction, or the high watermark.
    pub last_stable_offset: i64,
    /// The first offset of the log.
    pub log_start_offset: i64,
    /// The aborted transactions among the records; only for [`Isolation::ReadCommitted`].
    pub aborted: Option<Vec<AbortedTxn>>,
    /// Where the client's log and this one part, if they do.
    pub diverging: Option<OffsetAndEpoch>,
}

impl Partition {
    /// A partition with its log. Leads, or does not, as `registration` says.
    pub fn new(
        topic_partition: TopicPartition,
        topic_id: Uuid,
        node_id: i32,
        log: Arc<Log>,
        registration: Arc<PartitionRegistration>,
        min_insync_replicas: usize,
    ) -> Result<Partition, PartitionError> {
        let partition = Partition {
            topic_partition,
            topic_id,
            node_id,
            log,
            registration: ArcSwap::new(Arc::clone(&registration)),
            min_insync_replicas: AtomicUsize::new(min_insync_replicas),
            watchers: Watchers::default(),
        };
        if registration.leader == node_id {
            partition.begin_leading(&registration)?;
        }
        Ok(partition)
    }

    /// The partition's name.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The topic's id.
    pub fn topic_id(&self) -> Uuid {
        self.topic_id
    }

    /// The log.
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// What the metadata says of the partition.
    pub fn registration(&self) -> Arc<PartitionRegistration> {
        self.registration.load_full()
    }

    /// Whether this broker leads it.
    pub fn is_leader(&self) -> bool {
        self.registration.load().leader == self.node_id
    }

    /// The leader's epoch.
    pub fn leader_epoch(&self) -> i32 {
        self.registration.load().leader_epoch
    }

    pub(crate) fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// Follows the metadata. Fetches that wait look again: they may have to go elsewhere.
    pub fn update(&self, registration: Arc<PartitionRegistration>) -> Result<(), PartitionError> {
        let before = self.registration.swap(Arc::clone(&registration));
        let leads = registration.leader == self.node_id;
        if leads && (before.leader != self.node_id || before.leader_epoch != registration.leader_epoch) {
            self.begin_leading(&registration)?;
        } else if leads && before.isr != registration.isr {
            self.advance_high_watermark(&registration);
        }
        if before.leader != registration.leader {
            self.watchers.wake_all();
        }
        Ok(())
    }

    /// `min.insync.replicas` has changed.
    pub fn set_min_insync_replicas(&self, value: usize) {
        self.min_insync_replicas.store(value, Ordering::Relaxed);
    }

    /// The partition is gone: whoever waits for it looks again and finds that out.
    pub fn close(&self) {
        self.watchers.wake_all();
    }

    fn begin_leading(&self, registration: &PartitionRegistration) -> Result<(), PartitionError> {
        self.log.assign_epoch_start_offset(registration.leader_epoch, self.log.log_end_offset())?;
        self.advance_high_watermark(registration);
        Ok(())
    }

    /// What every replica in sync has is committed. Other replicas than the leader's do not exist yet: with any of
    /// them in sync the high watermark rests, which is safe.
    fn advance_high_watermark(&self, registration: &PartitionRegistration) {
        if registration.isr == [self.node_id] {
            self.log.maybe_increment_high_watermark(self.log.log_end_offset());
        }
    }

    fn leader(
        &self,
        current_leader_epoch: i32,
    ) -> Result<arc_swap::Guard<Arc<PartitionRegistration>>, PartitionError> {
        let registration = self.registration.load();
        if current_leader_epoch >= 0 && current_leader_epoch != registration.leader_epoch {
            return Err(if current_leader_epoch < registration.leader_epoch {
                PartitionError::FencedLeaderEpoch
            } else {
                PartitionError::UnknownLeaderEpoch
            });
        }
        if registration.leader != self.node_id { Err(PartitionError::NotLeader) } else { Ok(registration) }
    }

    /// Checks that this broker leads the partition in the epoch that a client knows (-1 for none).
    pub fn check_leader(&self, current_leader_epoch: i32) -> Result<(), PartitionError> {
        self.leader(current_leader_epoch).map(drop)
    }

    /// Appends batches of a client or a coordinator. They are committed at once, unless `needs_flush` is set: then the
    /// caller syncs the log and calls [`Partition::committed`] before it acknowledges.
    pub fn append_as_leader(
        &self,
        records: &[u8],
        origin: AppendOrigin,
        acks_all: bool,
        now_ms: i64,
    ) -> Result<AppendInfo, PartitionError> {
        let registration = self.leader(-1)?;
        if acks_all {
            // No more than there are replicas can be asked for (`Partition.effectiveMinIsr`).
            let required = self.min_insync_replicas.load(Ordering::Relaxed).min(registration.replicas.len());
            let in_sync = registration.isr.len();
            if in_sync < required {
                return Err(PartitionError::NotEnoughReplicas { in_sync, required });
            }
        }
        let appended = self.log.append_as_leader(records, registration.leader_epoch, origin, now_ms)?;
        if !appended.needs_flush && !appended.duplicate {
            self.committed(&appended);
        }
        Ok(appended)
    }

    /// What was appended may be seen: moves the high watermark and wakes the fetches that waited for it.
    pub fn committed(&self, appended: &AppendInfo) {
        self.advance_high_watermark(&self.registration.load());
        self.watchers.bytes_added(appended.valid_bytes);
    }

    /// Reads for a consumer.
    pub fn fetch(&self, request: &FetchRequest) -> Result<FetchedPartition, PartitionError> {
        self.leader(request.current_leader_epoch)?;
        let log = &self.log;
        // Taken before the read: what the answer says is committed has been so while the records were read.
        let high_watermark = log.high_watermark();
        let last_stable_offset = log.last_stable_offset().min(high_watermark);
        let log_start_offset = log.log_start_offset();
        if request.last_fetched_epoch >= 0
            && let Some(diverging) = self.diverging(request)?
        {
            return Ok(FetchedPartition {
                records: LogSlice::default(),
                high_watermark,
                last_stable_offset,
                log_start_offset,
                aborted: None,
                diverging: Some(diverging),
            });
        }
        let limit = match request.isolation {
            Isolation::ReadUncommitted => high_watermark,
            Isolation::ReadCommitted => last_stable_offset,
        };
        let fetched: FetchInfo =
            log.read(request.offset, request.max_bytes, limit, request.min_one_message)?;
        let aborted = match request.isolation {
            Isolation::ReadUncommitted => None,
            Isolation::ReadCommitted => Some(log.aborted_transactions(request.offset, &fetched)?),
        };
        Ok(FetchedPartition {
            records: fetched.records,
            high_watermark,
            last_stable_offset,
            log_start_offset,
            aborted,
            diverging: None,
        })
    }

    fn diverging(&self, request: &FetchRequest) -> Result<Option<OffsetAndEpoch>, PartitionError> {
        let Some(end) = self.log.end_offset_for_epoch(request.last_fetched_epoch) else {
            return Err(PartitionError::UnknownFetchedEpoch(request.last_fetched_epoch));
        };
        let parts = end.epoch < request.last_fetched_epoch || end.offset < request.offset;
        Ok(parts.then_some(end))
    }

    /// Where the records of `leader_epoch` end (`OffsetForLeaderEpoch`).
    pub fn end_offset_for_epoch(
        &self,
        current_leader_epoch: i32,
        leader_epoch: i32,
    ) -> Result<Option<OffsetAndEpoch>, PartitionError> {
        self.leader(current_leader_epoch)?;
        Ok(self.log.end_offset_for_epoch(leader_epoch))
    }

    /// Raises the log's start to `offset`, -1 for the high watermark. The new start.
    pub fn delete_records(&self, offset: i64) -> Result<i64, PartitionError> {
        self.leader(-1)?;
        let offset = if offset == -1 { self.log.high_watermark() } else { offset };
        self.log.maybe_increment_log_start_offset(offset)?;
        Ok(self.log.log_start_offset())
    }
}
