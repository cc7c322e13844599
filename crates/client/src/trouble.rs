//! Errors that are tried again: said when they last, and once.

use std::time::{Duration, Instant};

use common::TopicPartition;

use crate::ClientError;

/// What passes sooner is not worth a word: leaders move, coordinators load.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether things go wrong, and since when.
#[derive(Default)]
pub(crate) struct Trouble {
    since: Option<Instant>,
    tries: u32,
    is_told: bool,
}

impl Trouble {
    /// A try failed.
    pub(crate) fn tell(&mut self, partition: &TopicPartition, error: &ClientError) {
        self.tell_of(&partition.to_string(), error);
    }

    /// A try failed, of this partition or group.
    pub(crate) fn tell_of(&mut self, what: &str, error: &ClientError) {
        self.tries = self.tries.saturating_add(1);
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() >= PATIENCE && !std::mem::replace(&mut self.is_told, true) {
            let error = error.to_string();
            // Some errors name the partition themselves.
            let separator = if error.starts_with(what) { ("", "") } else { (what, ": ") };
            tracing::warn!("{}{}{error}; trying again", separator.0, separator.1);
        }
    }

    /// How many tries have failed since one went well.
    pub(crate) fn tries(&self) -> u32 {
        self.tries
    }

    /// A try went well.
    pub(crate) fn is_over(&mut self) {
        *self = Trouble::default();
    }
}
