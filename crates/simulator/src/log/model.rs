//! What a log must hold: the history of what was done to it, and what of that a crash may take.

use common::{TopicPartition, Uuid};
use storage::Log;

use super::records::{Seen, read_all};

/// How a node stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The process ended: all that was written is there.
    Kill,
    /// The machine lost its power: all that was synced is there.
    PowerLoss,
}

/// The last batch of a producer.
#[derive(Clone, Debug)]
pub(crate) struct LastBatch {
    pub sequence: i32,
    pub records: Vec<(u64, Option<u64>)>,
    pub first_offset: i64,
}

/// An idempotent producer of one partition.
#[derive(Clone, Debug)]
pub(crate) struct Producer {
    pub id: i64,
    pub next_sequence: i32,
    pub last: Option<LastBatch>,
}

/// One partition's history.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub partition: TopicPartition,
    pub topic_id: Uuid,
    pub compact: bool,
    pub epoch: i32,
    /// The records, none left out, as they were before each truncation since the last sync, and as they are.
    pub histories: Vec<Vec<Seen>>,
    /// Behind the last record that was acknowledged as written.
    pub written: i64,
    /// Behind the last record that was acknowledged as synced.
    pub synced: i64,
    pub start: i64,
    /// The highest high watermark there was.
    pub committed: i64,
    pub producers: Vec<Producer>,
}

impl Model {
    pub fn new(partition: TopicPartition, topic_id: Uuid, compact: bool, producers: usize) -> Model {
        let producers = (0..producers)
            .map(|index| Producer { id: 1000 + index as i64, next_sequence: 0, last: None })
            .collect();
        Model {
            partition,
            topic_id,
            compact,
            epoch: 0,
            histories: vec![Vec::new()],
            written: 0,
            synced: 0,
            start: 0,
            committed: 0,
            producers,
        }
    }

    /// The history as it is now.
    pub fn now(&mut self) -> &mut Vec<Seen> {
        self.histories.last_mut().expect("Invariant: there is a history")
    }

    /// The records from `offset` on are about to be dropped.
    pub fn truncate(&mut self, offset: i64) {
        let mut kept = self.now().clone();
        kept.retain(|record| record.offset < offset);
        self.histories.push(kept);
        self.written = self.written.min(offset);
        self.synced = self.synced.min(offset);
    }

    /// Everything is synced: what was before cannot come back.
    pub fn sync(&mut self) {
        let now = self.histories.pop().expect("Invariant: there is a history");
        self.histories = vec![now];
        self.synced = self.written;
    }

    /// Compares the log with the history.
    pub fn check(&mut self, log: &Log, piece: usize) -> Result<(), String> {
        let seen = read_all(log, piece)?;
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        let now = self.now().clone();
        self.fits(&seen, (start, end), self.written, &now)
    }

    /// Compares the log with what it may hold after a crash, and takes that for the history from now on.
    pub fn check_after(&mut self, log: &Log, stop: Stop, piece: usize) -> Result<(), String> {
        let partition = self.partition.clone();
        let seen = read_all(log, piece)?;
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        let (required, possible) = match stop {
            // Of several truncations at most the last was not finished.
            Stop::Kill => (self.written, 2),
            Stop::PowerLoss => (self.synced, self.histories.len()),
        };
        if end < required {
            return Err(format!(
                "{partition}: the log ends at {end}, but {required} was acknowledged ({stop:?})"
            ));
        }
        let epochs = log.epoch_entries();
        // What was deleted may be back, and its epochs are not.
        let counts = |record: &&Seen| !self.compact && record.offset >= self.start;
        for record in seen.iter().filter(counts) {
            let known = epochs.iter().rfind(|entry| entry.start_offset <= record.offset);
            if known.map(|entry| entry.epoch) != Some(record.epoch) {
                return Err(format!(
                    "{partition}: {record:?} counts as one of epoch {known:?} of {epochs:?} ({stop:?})"
                ));
            }
        }
        let mut errors = Vec::new();
        for index in (0..self.histories.len()).rev().take(possible) {
            match self.fits(&seen, (start, end), required, &self.histories[index]) {
                Ok(()) => {
                    let mut history = self.histories[index].clone();
                    history.retain(|record| record.offset < end);
                    if self.compact {
                        // Segments are not synced in their order: behind what was required there may be holes, and in a compacted
                        // log nobody can tell them from compaction.
                        let found = |record: &Seen| seen.iter().any(|seen| seen.offset == record.offset);
                        // A tombstone that has taken all before it away, and went in its time, is no hole.
                        let has_deleted = |record: &Seen| {
                            let is_left = |seen: &Seen| seen.key == record.key && seen.offset < record.offset;
                            record.value.is_none() && !seen.iter().any(is_left)
                        };
                        history.retain(|record| {
                            record.offset < required || found(record) || has_deleted(record)
                        });
                    }
                    match stop {
                        // The loss of power can still take what was not synced before.
                        Stop::Kill => {
                            self.histories.truncate(index + 1);
                            self.histories[index] = history;
                        }
                        Stop::PowerLoss => {
                            self.histories = vec![history];
                            self.synced = end;
                        }
                    }
                    self.written = end;
                    return Ok(());
                }
                Err(error) => errors.push(error),
            }
        }
        Err(format!("{stop:?}: {}", errors.join("; or: ")))
    }

    fn fits(
        &self,
        seen: &[Seen],
        (start, end): (i64, i64),
        required: i64,
        history: &[Seen],
    ) -> Result<(), String> {
        let partition = &self.partition;
        if start > self.start {
            return Err(format!(
                "{partition}: the log starts at {start}, but only {} was deleted",
                self.start
            ));
        }
        let known = history.iter().filter(|record| (start..end).contains(&record.offset));
        if !self.compact {
            let mut known = known;
            for record in seen {
                let expected = known.next();
                if expected != Some(record) {
                    return Err(format!("{partition}: found {record:?} where {expected:?} was written"));
                }
            }
            if let Some(missing) = known.next() {
                return Err(format!("{partition}: {missing:?} is missing, the log ends at {end}"));
            }
            return Ok(());
        }
        let known: Vec<&Seen> = known.collect();
        let mut at = 0;
        for record in seen {
            while known.get(at).is_some_and(|known| known.offset < record.offset) {
                at += 1;
            }
            let expected = known.get(at);
            let same = expected.is_some_and(|expected| {
                (expected.offset, expected.key, expected.value) == (record.offset, record.key, record.value)
            });
            if !same {
                return Err(format!("{partition}: found {record:?} where {expected:?} was written"));
            }
        }
        for (index, record) in known.iter().enumerate().filter(|(_, record)| record.offset < required) {
            let mut later = known.iter().skip(index + 1).filter(|later| later.key == record.key);
            if later.clone().any(|later| later.offset < required) {
                continue;
            }
            let kept = seen.iter().rfind(|kept| kept.key == record.key);
            let holds = match kept {
                // What was not required may be there as well.
                Some(kept) => kept.offset >= record.offset,
                // A tombstone may be gone when all before it are.
                None => record.value.is_none() || later.any(|later| later.value.is_none()),
            };
            if !holds {
                return Err(format!(
                    "{partition}: the last record of its key before {required} is {record:?}, but {kept:?} is left; the log ends at \
                     {end}"
                ));
            }
        }
        Ok(())
    }
}
