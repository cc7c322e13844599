//! All partitions of a coordinator's topic that this broker leads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use common::ErrorCode;
use parking_lot::RwLock;
use protocol::compression::Compression;

use crate::load::{self, LoadSummary, ReadLog};
use crate::slot::{Access, Active, Phase, Slot};
use crate::{Context, CoordinatorLog, CoordinatorShard, TimerQueue, parked::ParkedQueue};

/// Told when the first deadline became an earlier one (in milliseconds). May be called with a shard's lock held.
pub type Wake = Box<dyn Fn(i64) + Send + Sync>;

/// What a runtime is told once.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// The coordinator's topic, for messages.
    pub topic: &'static str,
    /// How the batches are compressed.
    pub compression: Compression,
    /// How long an answer waits for its records to be committed, in milliseconds.
    pub write_timeout_ms: i64,
}

pub(crate) struct Shared<S: CoordinatorShard> {
    pub(crate) log: Arc<dyn CoordinatorLog>,
    pub(crate) config: RuntimeConfig,
    pub(crate) wake: Wake,
    /// The earliest deadline that the timer task knows of.
    pub(crate) announced_ms: AtomicI64,
    new_shard: Box<dyn Fn(i32) -> S + Send + Sync>,
}

/// Kafka's `CoordinatorRuntime`: finds the shard, runs the operation in the caller's thread.
pub struct CoordinatorRuntime<S: CoordinatorShard> {
    shared: Shared<S>,
    slots: RwLock<BTreeMap<i32, Arc<Slot<S>>>>,
}

impl<S: CoordinatorShard> CoordinatorRuntime<S> {
    /// A runtime without partitions. `new_shard` makes the empty state of one.
    pub fn new(
        config: RuntimeConfig,
        log: Arc<dyn CoordinatorLog>,
        wake: Wake,
        new_shard: impl Fn(i32) -> S + Send + Sync + 'static,
    ) -> CoordinatorRuntime<S> {
        CoordinatorRuntime {
            shared: Shared {
                log,
                config,
                wake,
                announced_ms: AtomicI64::new(i64::MAX),
                new_shard: Box::new(new_shard),
            },
            slots: RwLock::new(BTreeMap::new()),
        }
    }

    /// The partition's slot, which [`CoordinatorRuntime::enter`] opens.
    pub fn slot(&self, partition: i32) -> Option<Arc<Slot<S>>> {
        self.slots.read().get(&partition).cloned()
    }

    /// The slots of all partitions, in order.
    pub fn slots(&self) -> Vec<Arc<Slot<S>>> {
        self.slots.read().values().cloned().collect()
    }

    /// Locks a slot's shard for operations.
    ///
    /// # Errors
    /// COORDINATOR_LOAD_IN_PROGRESS while the partition is loaded, NOT_COORDINATOR when it is not ours.
    pub fn enter<'a>(&'a self, slot: &'a Slot<S>, now_ms: i64) -> Result<Access<'a, S>, ErrorCode> {
        slot.enter(&self.shared, now_ms)
    }

    fn slot_or_new(&self, partition: i32) -> Arc<Slot<S>> {
        Arc::clone(self.slots.write().entry(partition).or_insert_with(|| Arc::new(Slot::new(partition))))
    }

    /// Replays the partition's log from `start_offset` to its end and makes the shard active. Returns when that is done,
    /// requests meanwhile get COORDINATOR_LOAD_IN_PROGRESS. A partition that is active already only takes the epoch.
    ///
    /// # Errors
    /// What `read` returned, after which the partition has failed; NOT_COORDINATOR when the partition was given up
    /// meanwhile, or a later epoch is known.
    pub fn load(
        &self,
        partition: i32,
        epoch: i32,
        start_offset: i64,
        high_watermark: i64,
        read: &mut ReadLog<'_>,
        now_ms: i64,
    ) -> Result<LoadSummary, ErrorCode> {
        let slot = self.slot_or_new(partition);
        {
            let mut state = slot.state.lock();
            if epoch < state.epoch {
                return Err(ErrorCode::NotCoordinator);
            }
            state.epoch = epoch;
            match state.phase {
                Phase::Active(_) => return Ok(LoadSummary::default()),
                Phase::Loading => return Err(ErrorCode::CoordinatorLoadInProgress),
                Phase::Closed | Phase::Failed => state.phase = Phase::Loading,
            }
        }
        let mut shard = (self.shared.new_shard)(partition);
        let loaded = load::replay_log(&mut shard, self.shared.config.topic, partition, start_offset, read);
        let mut state = slot.state.lock();
        if !matches!(state.phase, Phase::Loading) {
            // Given up while the log was read.
            return Err(ErrorCode::NotCoordinator);
        }
        let summary = match loaded {
            Ok(summary) => summary,
            Err(error) => {
                state.phase = Phase::Failed;
                return Err(error);
            }
        };
        let mut active = Box::new(Active {
            shard,
            timers: TimerQueue::default(),
            parked: ParkedQueue::default(),
            last_written_offset: summary.last_offset,
        });
        active.shard.on_loaded(&mut Context { now_ms, timers: &mut active.timers });
        state.phase = Phase::Active(active);
        slot.high_watermark.fetch_max(high_watermark, Ordering::SeqCst);
        drop(state);
        // For what `on_loaded` scheduled.
        slot.drain(&self.shared, now_ms);
        Ok(summary)
    }

    /// Gives the partition up, unless `epoch` is older than what is known. Whoever waits gets NOT_COORDINATOR.
    pub fn unload(&self, partition: i32, epoch: Option<i32>, now_ms: i64) {
        let Some(slot) = self.slot(partition) else { return };
        let mut state = slot.state.lock();
        if let Some(epoch) = epoch {
            if epoch < state.epoch {
                return;
            }
            state.epoch = epoch;
        }
        let phase = std::mem::replace(&mut state.phase, Phase::Closed);
        slot.deadline_ms.store(i64::MAX, Ordering::SeqCst);
        slot.high_watermark.store(-1, Ordering::SeqCst);
        if let Phase::Active(mut active) = phase {
            active.fail_all(now_ms, ErrorCode::NotCoordinator);
            active.shard.on_unloaded();
        }
    }

    /// Gives all partitions up.
    pub fn shutdown(&self, now_ms: i64) {
        for slot in self.slots() {
            self.unload(slot.partition, None, now_ms);
        }
    }

    /// The partition's high watermark has become `high_watermark`. May be called from within an append.
    pub fn on_high_watermark(&self, partition: i32, high_watermark: i64, now_ms: i64) {
        let Some(slot) = self.slot(partition) else { return };
        if slot.high_watermark.fetch_max(high_watermark, Ordering::SeqCst) < high_watermark {
            slot.drain(&self.shared, now_ms);
        }
    }

    /// Fires all that is due and says when to come again at the latest; [`Wake`] tells when that becomes too late.
    pub fn expire(&self, now_ms: i64) -> Option<i64> {
        // Deadlines that appear from here on wake again; those before are seen below.
        self.shared.announced_ms.store(i64::MAX, Ordering::SeqCst);
        let mut next_ms = i64::MAX;
        for slot in self.slots() {
            if slot.deadline_ms.load(Ordering::SeqCst) <= now_ms
                && let Ok(mut access) = self.enter(&slot, now_ms)
            {
                access.expire();
            }
            next_ms = next_ms.min(slot.deadline_ms.load(Ordering::SeqCst));
        }
        self.shared.announced_ms.fetch_min(next_ms, Ordering::SeqCst);
        self.next_deadline()
    }

    /// A time at or before the first deadline of all partitions, in milliseconds.
    pub fn next_deadline(&self) -> Option<i64> {
        let deadline_ms = self.shared.announced_ms.load(Ordering::SeqCst);
        (deadline_ms != i64::MAX).then_some(deadline_ms)
    }
}
