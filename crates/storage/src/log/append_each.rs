//! Appending several batches one behind the other, with one call to the file: those of requests that are at hand together. The page
//! cache takes most of the time of a small append, and much less for the same bytes at once.
//!
//! What becomes of each batch is what would have become of it alone.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use protocol::records::{RecordBatch, UNCHECKED_HEAD};

use super::append::{PlacedBatch, Prepared, ProducerVerdict};
use super::roll::RollParams;
use super::validate::{ValidBatch, batch_error};
use super::{Log, Writer};
use crate::config::LogConfig;
use crate::error::{AppendError, StorageError};
use crate::producer::TRANSACTION_VERSION_UNKNOWN;
use crate::types::{AppendInfo, AppendOrigin};

/// So many batches go into one call: each takes two of the 1,024 pieces that the system accepts.
const GATHERED: usize = 64;

/// What became of a batch.
type Appended = Result<AppendInfo, AppendError>;

impl Log {
    /// Appends each of `batches`, of clients, as [`Log::append_as_leader`] does. Says what became of each.
    ///
    /// # Errors
    /// See [`AppendError`]; none is appended then.
    pub fn append_each_as_leader(
        &self,
        batches: &[&[u8]],
        leader_epoch: i32,
        now_ms: i64,
    ) -> Result<Vec<Appended>, AppendError> {
        self.flush_metadata_file()?;
        let config = self.config.load();
        let mut valid = Vec::with_capacity(batches.len());
        let looked_at = batches.iter().enumerate().map(|(index, batch)| {
            let batch = self.valid_batch(batch, &config, AppendOrigin::Client, now_ms)?;
            valid.extend(batch.map(|batch| (index, batch)));
            // Until it is known what becomes of it.
            Ok(self.nothing_appended())
        });
        let appended = looked_at.collect();
        self.health.io(|| {
            let mut writer = self.writer.lock();
            self.check_usable(&writer)?;
            self.check_epoch(&writer, leader_epoch)?;
            let mut gathering = Gathering {
                log: self,
                config: &config,
                next_offset: self.log_end_offset(),
                leader_epoch,
                now_ms,
                bytes: 0,
                gathered: Vec::with_capacity(batches.len().min(GATHERED)),
                appended,
            };
            for (index, valid) in &valid {
                gathering.add(&mut writer, *index, valid);
            }
            gathering.write(&mut writer);
            Ok(gathering.appended)
        })
    }
}

/// A batch that is about to be written.
struct Gathered<'a> {
    /// Where its result stands.
    index: usize,
    head: [u8; UNCHECKED_HEAD],
    valid: &'a ValidBatch<'a>,
    placed: PlacedBatch<'a>,
    prepared: Prepared,
    rolled: bool,
}

/// Batches on their way into the log.
struct Gathering<'a> {
    log: &'a Log,
    config: &'a Arc<LogConfig>,
    /// Behind all that was gathered.
    next_offset: i64,
    leader_epoch: i32,
    now_ms: i64,
    /// Of what is gathered.
    bytes: u64,
    /// **Invariant:** what the producer state knows and the file does not have. It is written, or the log is offline.
    gathered: Vec<Gathered<'a>>,
    /// What became of those that came. Of one that is gathered it stands here once it is written.
    appended: Vec<Appended>,
}

impl<'a> Gathering<'a> {
    fn add(&mut self, writer: &mut Writer, index: usize, valid: &'a ValidBatch<'a>) {
        if self.gathered.len() == GATHERED {
            self.write(writer);
        }
        if let Some(appended) = self.gather(writer, index, valid).transpose() {
            self.say(index, appended);
        }
    }

    fn say(&mut self, index: usize, appended: Appended) {
        if let Some(place) = self.appended.get_mut(index) {
            *place = appended;
        }
    }

    /// Gathers a batch. What became of it, where nothing is written for it.
    fn gather(
        &mut self,
        writer: &mut Writer,
        index: usize,
        valid: &'a ValidBatch<'a>,
    ) -> Result<Option<AppendInfo>, AppendError> {
        let log = self.log;
        // What went wrong with one before may have taken the directory offline.
        log.check_usable(writer)?;
        let batch =
            RecordBatch::parse(&valid.bytes).map_err(|error| batch_error(error, &log.topic_partition))?;
        let placed = PlacedBatch::at(self.next_offset, batch, valid, self.leader_epoch);
        let prepared = Prepared {
            size: valid.bytes.len() as u64,
            first_offset: self.next_offset,
            last_offset: placed.last_offset(),
            max_timestamp: valid.max_timestamp,
            origin: AppendOrigin::Client,
            transaction_version: TRANSACTION_VERSION_UNKNOWN,
            now_ms: self.now_ms,
        };
        log.check_segment_size(prepared.size, self.config.segment_size)?;
        let rolled = self.make_room(writer, &prepared)?;
        let mut appends = std::mem::take(&mut writer.appends);
        appends.clear();
        let verdict = log.check_producers(writer, &[placed], &prepared, &mut appends);
        if let Ok(ProducerVerdict::Append(completed)) = &verdict {
            assert!(completed.is_empty(), "Invariant: a client's batch ends no transaction");
            // The next one may be of the same producer.
            appends.iter().for_each(|append| writer.producers.update(append));
        }
        appends.clear();
        writer.appends = appends;
        match verdict? {
            ProducerVerdict::Append(_) => {}
            ProducerVerdict::Duplicate(known) => {
                // What it repeats may be among them.
                self.write(writer);
                log.check_usable(writer)?;
                let mut info = log.duplicate(&prepared, rolled, &known);
                info.valid_bytes = valid.valid_bytes;
                return Ok(Some(info));
            }
        }
        self.next_offset = prepared.last_offset + 1;
        self.bytes += prepared.size;
        self.gathered.push(Gathered { index, head: placed.head(), valid, placed, prepared, rolled });
        Ok(None)
    }

    /// Rolls if the batch must not go to the active segment. Whether it did.
    fn make_room(&mut self, writer: &mut Writer, prepared: &Prepared) -> Result<bool, AppendError> {
        let log = self.log;
        if !self.gathered.is_empty() {
            let segment = log.active_segment();
            let behind_them = RollParams {
                size: prepared.size + self.bytes,
                index_entries: self.gathered.len(),
                ..RollParams::of(prepared)
            };
            let rolls = log
                .should_roll(writer, &segment, self.config, &behind_them)
                .map_err(|error| log.rolling_failed(error))?;
            // The first batch of a segment says when it rolls.
            if !rolls && segment.size() > 0 {
                return Ok(false);
            }
            self.write(writer);
            log.check_usable(writer)?;
        }
        log.segment_for(writer, prepared).map(|(_, rolled)| rolled)
    }

    /// Writes what is gathered, and says so.
    fn write(&mut self, writer: &mut Writer) {
        let gathered = std::mem::take(&mut self.gathered);
        self.bytes = 0;
        let written = self.write_all(writer, &gathered);
        let mut failed = written.err().map(AppendError::Storage);
        let is_failed = failed.is_some();
        for batch in &gathered {
            let result = match is_failed {
                true => Err(failed.take().unwrap_or_else(|| self.offline(writer))),
                false => Ok(self.written(writer, batch)),
            };
            self.say(batch.index, result);
        }
        let log = self.log;
        if log.has_transactions.load(Ordering::Relaxed) || writer.producers.has_transactions() {
            log.publish_first_unstable_offset(writer);
        }
    }

    fn write_all(&self, writer: &mut Writer, gathered: &[Gathered<'_>]) -> Result<(), StorageError> {
        let log = self.log;
        let Some(last) = gathered.last() else { return Ok(()) };
        let mut bytes = Vec::with_capacity(2 * gathered.len());
        for batch in gathered {
            bytes.push(IoSlice::new(&batch.head));
            bytes.push(IoSlice::new(batch.valid.bytes.get(UNCHECKED_HEAD..).unwrap_or_default()));
        }
        let placed = gathered.iter().map(|batch| batch.placed);
        log.write_batches(writer, &log.active_segment(), &mut bytes, placed)?;
        writer.producers.update_map_end_offset(last.prepared.last_offset + 1);
        log.pass_waypoint(writer);
        Ok(())
    }

    /// What is said of a batch that was written.
    fn written(&self, writer: &mut Writer, batch: &Gathered<'_>) -> AppendInfo {
        let mut info = self.log.appended(&batch.prepared, batch.rolled);
        info.valid_bytes = batch.valid.valid_bytes;
        info.log_append_time = batch.valid.log_append_time;
        self.log.commit_if_sole(writer, &mut info);
        info
    }

    /// What is said of one that was not.
    fn offline(&self, writer: &Writer) -> AppendError {
        let offline = StorageError::Offline { dir: self.log.health.dir().to_owned() };
        self.log.check_usable(writer).err().unwrap_or(offline).into()
    }
}
