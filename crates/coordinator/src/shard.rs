//! What a coordinator brings: its state machine.

use std::hash::Hash;

use crate::{CoordinatorResult, RecordDecodeError, TimerQueue};

/// A record as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedRecord {
    /// The record's kind (i16) and its key.
    pub key: Vec<u8>,
    /// The value's version (i16) and the value; none for a tombstone.
    pub value: Option<Vec<u8>>,
}

/// Who wrote a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    /// The transactional producer's id; -1 for what the coordinator writes on its own account.
    pub id: i64,
    /// Its epoch, or -1.
    pub epoch: i16,
}

impl Producer {
    /// The coordinator itself.
    pub const NONE: Producer = Producer { id: -1, epoch: -1 };
}

/// The state of one partition of a coordinator's topic (Kafka's `CoordinatorShard`): deterministic, without clock or I/O.
pub trait CoordinatorShard: Sized + Send + 'static {
    /// A record of the coordinator's topic.
    type Record;
    /// Names a timer; scheduling a key again replaces its timer.
    type TimerKey: Hash + Ord + Clone + Send;
    /// What a timer is about.
    type Timer: Clone + Send;

    /// The record's bytes in the version that Kafka writes.
    ///
    /// # Errors
    /// Says why the record fits no version; such a request is answered UNKNOWN_SERVER_ERROR.
    fn encode(record: &Self::Record) -> Result<EncodedRecord, String>;

    /// Reads a record of any version.
    ///
    /// # Errors
    /// When the record is unknown or damaged.
    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Self::Record, RecordDecodeError>;

    /// Applies a record that the log has at `offset`. Must accept every record that can be decoded.
    fn replay(&mut self, offset: i64, producer: Producer, record: Self::Record);

    /// Applies the end of a producer's transaction.
    fn replay_end_transaction_marker(&mut self, producer: Producer, committed: bool);

    /// The partition is loaded: schedule timers.
    fn on_loaded(&mut self, context: &mut Context<Self>);

    /// The partition is given up: answer whoever waits.
    fn on_unloaded(&mut self);

    /// A timer is due.
    fn on_timer(
        &mut self,
        key: Self::TimerKey,
        timer: Self::Timer,
        context: &mut Context<Self>,
    ) -> CoordinatorResult<Self, ()>;
}

/// What an operation may use besides its shard.
pub struct Context<'a, S: CoordinatorShard> {
    /// The wall clock, in milliseconds.
    pub now_ms: i64,
    /// The shard's timers.
    pub timers: &'a mut TimerQueue<S::TimerKey, S::Timer>,
}

impl<S: CoordinatorShard> Context<'_, S> {
    /// Fires `timer` in `delay_ms`, in place of an earlier timer with this key.
    pub fn schedule(&mut self, key: S::TimerKey, delay_ms: i64, timer: S::Timer) {
        self.timers.schedule(key, self.now_ms.saturating_add(delay_ms.max(0)), timer);
    }

    /// Forgets the timer, if there is one.
    pub fn cancel(&mut self, key: &S::TimerKey) {
        self.timers.cancel(key);
    }
}
