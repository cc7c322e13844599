//! What comes of a request (`org.apache.kafka.controller.ControllerResult`, `ControllerRequestContext`).

use metadata::VersionedRecord;

/// What a request makes: records for the log, and the answer to give once they are committed.
#[derive(Clone, Debug, PartialEq)]
pub struct ControllerResult<T> {
    /// The records, in order.
    pub records: Vec<VersionedRecord>,
    /// The answer.
    pub response: T,
    /// Whether the records must become one batch of the log: all or nothing.
    pub is_atomic: bool,
    /// The level to which raft is to raise `kraft.version`, together with the records.
    pub kraft_version: Option<i16>,
}

impl<T> ControllerResult<T> {
    /// Records that may be split over batches.
    pub fn of(records: Vec<VersionedRecord>, response: T) -> ControllerResult<T> {
        ControllerResult { records, response, is_atomic: false, kraft_version: None }
    }

    /// Records that stand or fall together.
    pub fn atomic_of(records: Vec<VersionedRecord>, response: T) -> ControllerResult<T> {
        ControllerResult { records, response, is_atomic: true, kraft_version: None }
    }

    /// The answer alone.
    pub fn without_records(self) -> ControllerResult<T> {
        ControllerResult { records: Vec::new(), kraft_version: None, ..self }
    }

    /// The same records with another answer.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> ControllerResult<U> {
        ControllerResult {
            records: self.records,
            response: make(self.response),
            is_atomic: self.is_atomic,
            kraft_version: self.kraft_version,
        }
    }
}

/// What a request comes with.
#[derive(Clone, Copy, Debug)]
pub struct ControllerRequestContext<'a> {
    /// Who asks, such as `User:ANONYMOUS`.
    pub principal: &'a str,
    /// The version of the request.
    pub api_version: i16,
    /// The time, in milliseconds since any moment, as long as it is the same one for all calls and never goes back.
    pub now_ms: i64,
    /// The offset that the next record in the log gets.
    pub next_write_offset: i64,
    /// Where randomness starts: the ids of new topics and the placement of their replicas follow from it.
    pub seed: u64,
    /// Whether a broker passed the request on.
    pub forwarded: bool,
    /// Whether raft could raise `kraft.version` by one now, and if not why.
    pub kraft_upgrade: Result<(), &'static str>,
}
