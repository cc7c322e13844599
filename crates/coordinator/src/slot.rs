//! One partition of the coordinator's topic: its shard, its state, and how an operation runs in it.

use std::sync::atomic::{AtomicI64, Ordering};

use common::ErrorCode;
use parking_lot::{Mutex, MutexGuard};

use crate::parked::{Finish, ParkedQueue};
use crate::runtime::Shared;
use crate::{
    AppendCallback, Context, CoordinatorResult, CoordinatorShard, EncodedRecord, Producer, TimerQueue, batch,
    operation_error,
};

/// A partition's place in the runtime. It stays when the partition is given up: the epoch tells a late load from a new one.
pub struct Slot<S: CoordinatorShard> {
    pub(crate) partition: i32,
    /// The newest high watermark anybody reported, which the holder of `state` may not have worked off yet.
    pub(crate) high_watermark: AtomicI64,
    /// At or before the first deadline in here; `i64::MAX` for none.
    pub(crate) deadline_ms: AtomicI64,
    pub(crate) state: Mutex<SlotState<S>>,
}

pub(crate) struct SlotState<S: CoordinatorShard> {
    pub(crate) epoch: i32,
    pub(crate) phase: Phase<S>,
}

/// Kafka's `CoordinatorState`.
pub(crate) enum Phase<S: CoordinatorShard> {
    /// Given up, or never had.
    Closed,
    /// The log is being replayed by whoever called `load`.
    Loading,
    /// Serving.
    Active(Box<Active<S>>),
    /// The log could not be read.
    Failed,
}

pub(crate) struct Active<S: CoordinatorShard> {
    pub(crate) shard: S,
    pub(crate) timers: TimerQueue<S::TimerKey, S::Timer>,
    pub(crate) parked: ParkedQueue<S>,
    /// The offset of the last record in the log, -1 for an empty one.
    pub(crate) last_written_offset: i64,
}

impl<S: CoordinatorShard> Active<S> {
    fn finish(&mut self, now_ms: i64, finish: Finish<S>, result: Result<(), ErrorCode>) {
        finish(&mut self.shard, &mut Context { now_ms, timers: &mut self.timers }, result);
    }

    pub(crate) fn finish_committed(&mut self, now_ms: i64, high_watermark: i64) {
        while let Some(finish) = self.parked.pop_committed(high_watermark) {
            self.finish(now_ms, finish, Ok(()));
        }
    }

    /// Answers everybody with an error, when the partition is given up.
    pub(crate) fn fail_all(&mut self, now_ms: i64, error: ErrorCode) {
        while let Some(finish) = self.parked.pop() {
            self.finish(now_ms, finish, Err(error));
        }
    }

    fn finish_expired(&mut self, now_ms: i64) {
        while let Some(finish) = self.parked.pop_expired(now_ms) {
            self.finish(now_ms, finish, Err(operation_error(ErrorCode::RequestTimedOut)));
        }
    }

    fn next_deadline(&self) -> i64 {
        let timers = self.timers.next_deadline().unwrap_or(i64::MAX);
        timers.min(self.parked.next_deadline().unwrap_or(i64::MAX))
    }
}

impl<S: CoordinatorShard> Slot<S> {
    pub(crate) fn new(partition: i32) -> Slot<S> {
        Slot {
            partition,
            high_watermark: AtomicI64::new(-1),
            deadline_ms: AtomicI64::new(i64::MAX),
            state: Mutex::new(SlotState { epoch: -1, phase: Phase::Closed }),
        }
    }

    /// Locks the shard for operations.
    ///
    /// # Errors
    /// COORDINATOR_LOAD_IN_PROGRESS while the partition is loaded, NOT_COORDINATOR when it is not ours.
    pub(crate) fn enter<'a>(
        &'a self,
        shared: &'a Shared<S>,
        now_ms: i64,
    ) -> Result<Access<'a, S>, ErrorCode> {
        let state = self.state.lock();
        match state.phase {
            Phase::Active(_) => Ok(Access { slot: self, shared, state: Some(state), now_ms }),
            Phase::Loading => Err(ErrorCode::CoordinatorLoadInProgress),
            Phase::Closed | Phase::Failed => Err(ErrorCode::NotCoordinator),
        }
    }

    /// Works off a high watermark that somebody reported while the lock was held by another.
    pub(crate) fn drain(&self, shared: &Shared<S>, now_ms: i64) {
        loop {
            let high_watermark = self.high_watermark.load(Ordering::SeqCst);
            // Whoever holds the lock comes here after letting go of it.
            let Some(mut state) = self.state.try_lock() else { return };
            if let Phase::Active(active) = &mut state.phase {
                active.finish_committed(now_ms, high_watermark);
                self.announce(shared, active);
            }
            drop(state);
            if self.high_watermark.load(Ordering::SeqCst) == high_watermark {
                return;
            }
        }
    }

    fn announce(&self, shared: &Shared<S>, active: &Active<S>) {
        let deadline_ms = active.next_deadline();
        self.deadline_ms.store(deadline_ms, Ordering::SeqCst);
        if deadline_ms < shared.announced_ms.load(Ordering::SeqCst)
            && deadline_ms < shared.announced_ms.fetch_min(deadline_ms, Ordering::SeqCst)
        {
            (shared.wake)(deadline_ms);
        }
    }
}

/// An active shard, locked. Letting go of it gives the answers whose records were committed meanwhile.
pub struct Access<'a, S: CoordinatorShard> {
    slot: &'a Slot<S>,
    shared: &'a Shared<S>,
    state: Option<MutexGuard<'a, SlotState<S>>>,
    now_ms: i64,
}

impl<S: CoordinatorShard> Access<'_, S> {
    pub(crate) fn active(&mut self) -> &mut Active<S> {
        match self.state.as_mut().map(|state| &mut state.phase) {
            Some(Phase::Active(active)) => active,
            _ => unreachable!("access is given to active shards only, and the lock is held since"),
        }
    }

    /// The time of this access, in milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Runs an operation, writes its records and calls `done` with the operation's answer once they are committed, or
    /// with the error. An operation without records is answered when all writes before it are committed.
    pub fn write<T: Send + 'static>(
        &mut self,
        operation: impl FnOnce(&mut S, &mut Context<S>) -> Result<CoordinatorResult<S, T>, ErrorCode>,
        done: impl FnOnce(Result<T, ErrorCode>) + Send + 'static,
    ) {
        let now_ms = self.now_ms;
        let active = self.active();
        let mut context = Context { now_ms, timers: &mut active.timers };
        let result = match operation(&mut active.shard, &mut context) {
            Ok(result) => result,
            Err(error) => return done(Err(error)),
        };
        let CoordinatorResult { records, response, callback, atomic } = result;
        if let Err(error) = self.append(records, callback.is_none(), atomic) {
            if let Some(callback) = callback {
                self.call_back(callback, Err(error));
            }
            return done(Err(error));
        }
        self.finish_when_committed(callback, response, done);
    }

    /// Looks at the state, and answers when all writes that the look may have seen are committed.
    ///
    /// Divergence: Kafka reads the state as of the last committed offset from timeline collections and answers at once;
    /// here the answer waits instead. Both never show what could still be lost.
    pub fn read<T: Send + 'static>(
        &mut self,
        operation: impl FnOnce(&S) -> Result<T, ErrorCode>,
        done: impl FnOnce(Result<T, ErrorCode>) + Send + 'static,
    ) {
        match operation(&self.active().shard) {
            Ok(response) => self.finish_when_committed(None, response, done),
            Err(error) => done(Err(error)),
        }
    }

    fn finish_when_committed<T: Send + 'static>(
        &mut self,
        callback: Option<AppendCallback<S>>,
        response: T,
        done: impl FnOnce(Result<T, ErrorCode>) + Send + 'static,
    ) {
        let now_ms = self.now_ms;
        let high_watermark = self.slot.high_watermark.load(Ordering::SeqCst);
        let deadline_ms = now_ms.saturating_add(self.shared.config.write_timeout_ms);
        let active = self.active();
        // Earlier answers first: a client that pipelines sees its requests answered in order.
        active.finish_committed(now_ms, high_watermark);
        let offset = active.last_written_offset;
        if offset < high_watermark && active.parked.is_empty() {
            if let Some(callback) = callback {
                self.call_back(callback, Ok(()));
            }
            return done(Ok(response));
        }
        let finish: Finish<S> = Box::new(move |shard, context, result| {
            if let Some(callback) = callback {
                callback(shard, context, result);
            }
            done(result.map(|()| response));
        });
        active.parked.push(offset, deadline_ms, finish);
    }

    fn call_back(&mut self, callback: AppendCallback<S>, result: Result<(), ErrorCode>) {
        let now_ms = self.now_ms;
        let active = self.active();
        callback(&mut active.shard, &mut Context { now_ms, timers: &mut active.timers }, result);
    }

    /// Appends the records and, if wanted, replays them.
    fn append(&mut self, records: Vec<S::Record>, replay: bool, atomic: bool) -> Result<(), ErrorCode> {
        if records.is_empty() {
            return Ok(());
        }
        let (partition, now_ms) = (self.slot.partition, self.now_ms);
        let log = &self.shared.log;
        let mut encoded: Vec<EncodedRecord> = Vec::with_capacity(records.len());
        for record in &records {
            encoded.push(S::encode(record).map_err(|reason| {
                tracing::error!(
                    partition,
                    "a record for {} cannot be written: {reason}",
                    self.shared.config.topic
                );
                ErrorCode::UnknownServerError
            })?);
        }
        let limit = log.max_batch_size(partition);
        let mut records = records.into_iter();
        let mut rest = encoded.as_slice();
        while !rest.is_empty() {
            let count = if atomic { rest.len() } else { batch::fitting(rest, limit) };
            let (head, tail) = rest.split_at(count);
            rest = tail;
            let bytes = batch::build(head, self.shared.config.compression, now_ms).map_err(|reason| {
                tracing::error!(
                    partition,
                    "a batch for {} cannot be built: {reason}",
                    self.shared.config.topic
                );
                ErrorCode::UnknownServerError
            })?;
            if bytes.len() > limit {
                tracing::error!(
                    partition,
                    "{} bytes of records are more than a batch of {} may have ({limit})",
                    bytes.len(),
                    self.shared.config.topic
                );
                return Err(operation_error(ErrorCode::MessageTooLarge));
            }
            let appended = log.append(partition, &bytes, now_ms).map_err(operation_error)?;
            self.slot.high_watermark.fetch_max(appended.high_watermark, Ordering::SeqCst);
            let base_offset = appended.last_offset - (count as i64 - 1);
            let active = self.active();
            assert!(
                base_offset > active.last_written_offset,
                "the log put a batch at {base_offset}, not above {}",
                active.last_written_offset
            );
            active.last_written_offset = appended.last_offset;
            for (offset, record) in (base_offset..).zip(records.by_ref().take(count)) {
                if replay {
                    active.shard.replay(offset, Producer::NONE, record);
                }
            }
        }
        Ok(())
    }

    /// Fires what is due: timers, and answers that have waited too long.
    pub(crate) fn expire(&mut self) {
        let now_ms = self.now_ms;
        self.active().finish_expired(now_ms);
        while let Some((key, timer)) = self.active().timers.pop_due(now_ms) {
            let topic = self.shared.config.topic;
            let partition = self.slot.partition;
            self.write(
                move |shard, context| Ok(shard.on_timer(key, timer, context)),
                move |result| {
                    if let Err(error) = result {
                        tracing::warn!(
                            partition,
                            "what a timer of {topic} decided could not be written: {error}"
                        );
                    }
                },
            );
        }
    }
}

impl<S: CoordinatorShard> Drop for Access<'_, S> {
    fn drop(&mut self) {
        let high_watermark = self.slot.high_watermark.load(Ordering::SeqCst);
        let now_ms = self.now_ms;
        let (slot, shared) = (self.slot, self.shared);
        let active = self.active();
        active.finish_committed(now_ms, high_watermark);
        slot.announce(shared, active);
        drop(self.state.take());
        // A report between the look above and the unlock found the lock taken and left it to us.
        if slot.high_watermark.load(Ordering::SeqCst) != high_watermark {
            slot.drain(shared, now_ms);
        }
    }
}
