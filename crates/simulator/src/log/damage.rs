//! Bits that flip on the disk of a leader, under a log that is in use. Whatever a checksum covers is never taken for what was
//! written: not by a reader, not by a follower that copies it, not by the recovery after a crash. And nothing else is lost by it.
//!
//! No checksum covers the base offset and the leader epoch of a batch, in Kafka neither: those bits stay as they are. Indexes have
//! none either: with a bit flipped in one a read may begin behind what it looked for, but still gives nothing that was not written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use common::{TopicPartition, Uuid};
use io::{SeededRandom, SimulatedDisk};
use protocol::records::Batches;
use storage::{AppendOrigin, Log, LogManager};

use super::model::Stop;
use super::records::batch;
use super::{config_of, open};
use crate::fault::Fault;
use crate::machine::{BASE_MS, format};
use crate::planted::Planted;
use crate::run::{Counts, Run};
use crate::trace::Trace;

const STEPS: u64 = 150;
/// Which bytes of a batch no checksum covers: base offset and leader epoch.
const UNCOVERED: [std::ops::Range<usize>; 2] = [0..8, 12..16];

struct World {
    random: SeededRandom,
    trace: Arc<Trace>,
    planted: Option<Planted>,
    disk: SimulatedDisk,
    now_ms: i64,
    segment_size: i32,
    logs: Arc<LogManager>,
    /// The values that were ever written at each offset: what was cut and not synced may be back after a loss of power.
    written: BTreeMap<i64, BTreeSet<u64>>,
    end: i64,
    /// Behind what lasts, whatever happens but flipped bits.
    synced: i64,
    /// The first offsets of batches in which a bit was flipped.
    damaged: BTreeSet<i64>,
    /// A bit was flipped in an index: what is looked up may be missed.
    lookups_may_miss: bool,
    counts: Counts,
}

fn leader() -> TopicPartition {
    TopicPartition::new("plain", 0)
}

fn follower() -> TopicPartition {
    TopicPartition::new("plain", 1)
}

pub(crate) fn run(run: &Run, trace: &Arc<Trace>) -> Result<Counts, String> {
    let mut random = SeededRandom::new(run.seed);
    let disk = SimulatedDisk::new(random.next_u64());
    format(&disk, 1)?;
    let segment_size = 900 + random.below(3000) as i32;
    let now_ms = BASE_MS;
    let (logs, _) = open(&disk, segment_size, now_ms)?;
    let mut world = World {
        random,
        trace: Arc::clone(trace),
        planted: run.planted,
        disk,
        now_ms,
        segment_size,
        logs,
        written: BTreeMap::new(),
        end: 0,
        synced: 0,
        damaged: BTreeSet::new(),
        lookups_may_miss: false,
        counts: Counts::default(),
    };
    world.create()?;
    for _ in 0..STEPS {
        world.step()?;
    }
    world.restart(Stop::PowerLoss)?;
    world.counts.faults.add_disk(&world.disk);
    Ok(world.counts)
}

impl World {
    fn create(&self) -> Result<(), String> {
        for partition in [leader(), follower()] {
            let config = config_of(self.segment_size, &partition.topic);
            self.logs
                .create_log(&partition, Some(Uuid::from_u128(7)), config, self.now_ms)
                .map_err(|error| format!("{partition}: {error}"))?;
        }
        Ok(())
    }

    fn log(&self, partition: &TopicPartition) -> Result<Arc<Log>, String> {
        self.logs.get_log(partition).ok_or_else(|| format!("{partition} is not there"))
    }

    fn step(&mut self) -> Result<(), String> {
        self.now_ms += self.random.below(200) as i64;
        self.disk.set_now_ms(self.now_ms);
        match self.random.below(100) {
            0..50 => self.append(),
            50..57 => {
                self.log(&leader())?.flush().map_err(|error| format!("flush: {error}"))?;
                self.synced = self.end;
                Ok(())
            }
            57..60 => self.logs.checkpoint_recovery_points().map_err(|error| format!("checkpoint: {error}")),
            60..75 => self.follow(),
            75..85 => self.look(),
            85..93 => self.flip(),
            93..95 => self.clean_stop(),
            _ => {
                let stop = if self.random.chance(50) { Stop::Kill } else { Stop::PowerLoss };
                self.restart(stop)
            }
        }
    }

    fn append(&mut self) -> Result<(), String> {
        let log = self.log(&leader())?;
        let count = 1 + self.random.below(5);
        let values: Vec<u64> = (0..count).map(|_| self.random.next_u64()).collect();
        let records: Vec<(u64, Option<u64>)> = values.iter().map(|value| (*value, Some(*value))).collect();
        let size = self.random.below(120) as usize;
        let bytes = batch(&records, (-1, -1), size, self.now_ms);
        let info = log
            .append_as_leader(&bytes, 0, AppendOrigin::Client, self.now_ms)
            .map_err(|error| format!("append: {error}"))?;
        for (offset, value) in (info.first_offset..).zip(values) {
            self.written.entry(offset).or_default().insert(value);
        }
        self.end = info.log_end_offset;
        log.update_high_watermark(info.log_end_offset);
        self.counts.acknowledged += 1;
        self.trace.note(self.now_ms, format_args!("appended {}..{}", info.first_offset, info.log_end_offset));
        Ok(())
    }

    /// What a fetch at an offset brings, as it goes over the wire; nothing where the log says that it is damaged.
    fn fetch(&self, log: &Log, offset: i64, piece: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        match log.read(offset, piece, log.log_end_offset(), true) {
            Ok(found) if found.records.read_into(&mut bytes).is_ok() => bytes,
            _ => Vec::new(),
        }
    }

    /// The follower copies on.
    fn follow(&mut self) -> Result<(), String> {
        let (from, to) = (self.log(&leader())?, self.log(&follower())?);
        let offset = to.log_end_offset();
        let piece = 1 + self.random.below(3000) as usize;
        let bytes = self.fetch(&from, offset, piece);
        let taken = to.append_as_follower(&bytes, 0, self.now_ms);
        self.trace.note(self.now_ms, format_args!("the follower at {offset}: {}", taken.is_ok()));
        self.check_all_of(&to)
    }

    /// Everything in a log in which no bit was flipped, whoever's.
    fn check_all_of(&mut self, log: &Log) -> Result<(), String> {
        let end = log.log_end_offset();
        let seen = self.accepted(log, log.log_start_offset(), end, 1 << 20)?;
        self.counts.checks += 1;
        // It can have begun behind what an index of the leader has hidden.
        if !self.lookups_may_miss && seen.len() as i64 != end - log.log_start_offset() {
            return Err(format!(
                "{} of {end} records are in {}: {seen:?}, damaged {:?}",
                seen.len(),
                log.topic_partition(),
                self.damaged
            ));
        }
        Ok(())
    }

    /// The offsets of the records from `offset` on that a reader takes, who looks at checksums: all of them must be what was written.
    fn accepted(&self, log: &Log, mut offset: i64, end: i64, piece: usize) -> Result<BTreeSet<i64>, String> {
        let mut seen = BTreeSet::new();
        while offset < end {
            let bytes = self.fetch(log, offset, piece);
            let start = offset;
            for batch in Batches::new(&bytes) {
                let Ok(batch) = batch else { break };
                if batch.verify_crc().is_err() && self.planted != Some(Planted::UncheckedBits) {
                    break;
                }
                for record in batch.iter() {
                    let Ok(record) = record else {
                        return Err(format!("behind a right checksum a record at {offset} is damaged"));
                    };
                    let value = record.value.and_then(|value| value.first_chunk()).copied();
                    let value = value.map(u64::from_be_bytes);
                    let written = self.written.get(&record.offset);
                    if !value.zip(written).is_some_and(|(value, written)| written.contains(&value)) {
                        return Err(format!("at {} there is {value:?}, which nobody wrote", record.offset));
                    }
                    seen.insert(record.offset);
                }
                offset = offset.max(batch.next_offset());
            }
            // Behind damage a reader may go on, if it knows where.
            offset = if offset == start { offset + 1 } else { offset };
        }
        Ok(seen)
    }

    /// Reads all of the leader: what is missing lies in a damaged batch.
    fn look(&mut self) -> Result<(), String> {
        let log = self.log(&leader())?;
        let piece = 1 + self.random.below(2000) as usize;
        let seen = self.accepted(&log, 0, log.log_end_offset(), piece)?;
        self.counts.checks += 1;
        if self.damaged.is_empty() && !self.lookups_may_miss && seen.len() as i64 != self.end {
            return Err(format!("{} of {} records were read", seen.len(), self.end));
        }
        Ok(())
    }

    /// Flips a bit of one of the leader's files.
    fn flip(&mut self) -> Result<(), String> {
        let dir = self.log(&leader())?.dir();
        let mut files: Vec<PathBuf> = io::fs::read_dir(&dir)
            .map_err(|error| error.to_string())?
            .into_iter()
            .map(|entry| entry.path)
            .filter(|path| {
                let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
                ["log", "index", "timeindex", "snapshot"].contains(&end)
            })
            .collect();
        files.sort();
        let Some(path) = self.random.pick(&files).cloned() else { return Ok(()) };
        let bytes = io::fs::read(&path).map_err(|error| error.to_string())?;
        if bytes.is_empty() {
            return Ok(());
        }
        let at = self.random.below(bytes.len() as u64) as usize;
        if path.extension().is_some_and(|end| end == "log") {
            let Some(base_offset) = covered_batch_around(&bytes, at) else { return Ok(()) };
            self.damaged.insert(base_offset);
        } else {
            self.lookups_may_miss = true;
        }
        let bit = self.random.below(8) as u8;
        self.disk.flip_bit_at(&path, at as u64, bit);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.trace.note(self.now_ms, format_args!("bit {bit} of byte {at} of {name} flips"));
        Ok(())
    }

    fn clean_stop(&mut self) -> Result<(), String> {
        self.logs.shutdown(7).map_err(|error| format!("shutdown: {error}"))?;
        self.synced = self.end;
        self.restart(Stop::Kill)
    }

    fn restart(&mut self, stop: Stop) -> Result<(), String> {
        self.trace.note(self.now_ms, format_args!("{stop:?}"));
        match stop {
            Stop::Kill => self.disk.kill(),
            Stop::PowerLoss => self.disk.lose_power(),
        }
        self.counts.faults.add(Fault::Crash, 1);
        (self.logs, _) = open(&self.disk, self.segment_size, self.now_ms)?;
        self.create()?;
        let (log, copy) = (self.log(&leader())?, self.log(&follower())?);
        let end = log.log_end_offset();
        let required = match stop {
            Stop::Kill => self.end,
            Stop::PowerLoss => self.synced,
        };
        let first_damaged = self.damaged.first().copied().unwrap_or(i64::MAX);
        if end < required.min(first_damaged) {
            return Err(format!(
                "the log ends at {end}: {required} was acknowledged, the first damage is at {first_damaged} ({stop:?})"
            ));
        }
        // What was cut is gone, its damage too.
        self.end = end;
        self.damaged.split_off(&end);
        self.synced = self.synced.min(end);
        // A follower goes back as far as its leader did, by whole batches.
        if end < copy.log_end_offset() {
            let found = copy.read(end, 1, copy.log_end_offset(), true).map_err(|error| error.to_string())?;
            let cut = self.logs.truncate_to(&follower(), found.start.message_offset, self.now_ms);
            cut.map_err(|error| format!("truncate: {error}"))?;
        }
        self.look()?;
        self.check_all_of(&copy)
    }
}

/// The base offset of the batch that holds a byte, if its checksum covers that; none where earlier damage hides it.
pub(crate) fn covered_batch_around(bytes: &[u8], at: usize) -> Option<i64> {
    let mut start = 0;
    loop {
        let head = bytes.get(start..)?;
        let base_offset = i64::from_be_bytes(*head.first_chunk()?);
        let length = i32::from_be_bytes(*head.get(8..)?.first_chunk()?);
        let size = usize::try_from(length).ok()?.checked_add(12)?;
        if size < 61 || size > head.len() {
            return None;
        }
        if at < start + size {
            return (!UNCOVERED.iter().any(|range| range.contains(&(at - start)))).then_some(base_offset);
        }
        start += size;
    }
}
