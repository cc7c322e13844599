//! What an operation decided (Kafka's `CoordinatorResult`).

use common::ErrorCode;

use crate::{Context, CoordinatorShard};

/// Runs in the shard once the records are committed, or could not be.
pub type AppendCallback<S> = Box<dyn FnOnce(&mut S, &mut Context<S>, Result<(), ErrorCode>) + Send>;

/// The records to write, and the answer to give when they are committed.
pub struct CoordinatorResult<S: CoordinatorShard, T> {
    pub(crate) records: Vec<S::Record>,
    pub(crate) response: T,
    pub(crate) callback: Option<AppendCallback<S>>,
    pub(crate) atomic: bool,
}

impl<S: CoordinatorShard, T> CoordinatorResult<S, T> {
    /// Records that change the state by being replayed.
    pub fn new(records: Vec<S::Record>, response: T) -> Self {
        CoordinatorResult { records, response, callback: None, atomic: true }
    }

    /// No records: the answer still waits for the writes before it.
    pub fn read(response: T) -> Self {
        CoordinatorResult::new(Vec::new(), response)
    }

    /// Records of a change that the operation made in the state already, or that `callback` makes: they are not
    /// replayed. The callback has to undo what must not stand when the append fails.
    pub fn with_callback(records: Vec<S::Record>, response: T, callback: AppendCallback<S>) -> Self {
        CoordinatorResult { records, response, callback: Some(callback), atomic: true }
    }

    /// Allows the records to be spread over several batches.
    pub fn non_atomic(mut self) -> Self {
        assert!(self.callback.is_none(), "a callback needs to know of one batch");
        self.atomic = false;
        self
    }

    /// The records to write.
    pub fn records(&self) -> &[S::Record] {
        &self.records
    }

    /// Whether there is nothing to write and nothing to run.
    pub fn is_read(&self) -> bool {
        self.records.is_empty() && self.callback.is_none()
    }

    /// The same records with another answer.
    pub fn map<U>(self, response: impl FnOnce(T) -> U) -> CoordinatorResult<S, U> {
        CoordinatorResult {
            records: self.records,
            response: response(self.response),
            callback: self.callback,
            atomic: self.atomic,
        }
    }
}
