//! The logs of one broker on a disk that fails: whatever was acknowledged as written survives the end of the process, whatever was
//! acknowledged as synced survives the loss of power, and nothing else is ever read than what was written.

pub(crate) mod damage;
mod model;
pub(crate) mod records;

use std::cell::Cell;
use std::sync::Arc;

use common::{TopicPartition, Uuid};
use io::{DiskFaults, SeededRandom, SimulatedDisk};
use storage::{
    AppendOrigin, CleanerConfig, CleanerHost, Log, LogCleaner, LogConfig, LogManager, LogManagerConfig,
};

use crate::fault::Fault;
use crate::machine::{BASE_MS, format};
use crate::planted::Planted;
use crate::run::{Counts, Run};
use crate::trace::Trace;
use model::{LastBatch, Model, Producer, Stop};
use records::{Seen, batch};

/// How many things are done in a run.
const STEPS: u64 = 250;

/// Why a step ends.
enum End {
    /// The disk refused: the node goes down.
    Down,
    /// Something did not hold.
    Wrong(String),
}

impl From<String> for End {
    fn from(message: String) -> End {
        End::Wrong(message)
    }
}

type Step = Result<(), End>;

struct World {
    random: SeededRandom,
    trace: Arc<Trace>,
    planted: Option<Planted>,
    disk: SimulatedDisk,
    now_ms: i64,
    models: Vec<Model>,
    logs: Arc<LogManager>,
    cleaner: LogCleaner,
    next_value: u64,
    counts: Counts,
    segment_size: i32,
    /// The disk may fail without the node going down.
    faulty: bool,
}

pub(crate) fn run(run: &Run, trace: &Arc<Trace>) -> Result<Counts, String> {
    let mut random = SeededRandom::new(run.seed);
    let disk = SimulatedDisk::new(random.next_u64());
    format(&disk, 1)?;
    plant(run.planted, &disk);
    let segment_size = 900 + random.below(3000) as i32;
    let now_ms = BASE_MS;
    let (logs, cleaner) = open(&disk, segment_size, now_ms)?;
    let faulty = random.chance(20);
    let mut world = World {
        random,
        trace: Arc::clone(trace),
        planted: run.planted,
        disk,
        now_ms,
        models: Vec::new(),
        logs,
        cleaner,
        next_value: 0,
        counts: Counts::default(),
        segment_size,
        faulty,
    };
    let partitions = 1 + world.random.below(3);
    for index in 0..partitions {
        let compact = world.random.chance(40);
        let partition = TopicPartition::new(if compact { "compacted" } else { "plain" }, index as i32);
        let producers = if compact { 0 } else { world.random.below(3) as usize };
        let model = Model::new(partition, world.topic_id(), compact, producers);
        world.create(&model)?;
        world.models.push(model);
    }
    for _ in 0..STEPS {
        world.step()?;
    }
    world.restart(Stop::PowerLoss)?;
    world.counts.faults.add_disk(&world.disk);
    Ok(world.counts)
}

/// Bugs of the kind that leaves out a sync are planted where the sync ends.
fn plant(planted: Option<Planted>, disk: &SimulatedDisk) {
    match planted {
        Some(Planted::AcknowledgedBeforeSync) => {
            disk.forget_syncs(|path| path.extension().is_some_and(|end| end == "log"));
        }
        Some(Planted::LostNameOfSegment) => {
            disk.forget_syncs(|path| {
                path.file_name().is_some_and(|name| name.to_string_lossy().contains('-'))
            });
        }
        Some(Planted::LostPowerUnnoticed) => disk.hide_boots(),
        _ => {}
    }
}

fn open(
    disk: &SimulatedDisk,
    segment_size: i32,
    now_ms: i64,
) -> Result<(Arc<LogManager>, LogCleaner), String> {
    let config = LogManagerConfig {
        log_dirs: vec![disk.path().join("data")],
        cluster_id: Some("cluster".to_owned()),
        node_id: 1,
        num_recovery_threads_per_data_dir: 1,
        default_config: config(segment_size, false),
        producer_id_expiration_ms: 86_400_000,
    };
    let logs = LogManager::open(config).map_err(|error| format!("the broker does not start: {error}"))?;
    let compacted = |topic: &str| Some(config_of(segment_size, topic));
    logs.load(&compacted, &|_, _| false, now_ms).map_err(|error| format!("the logs do not load: {error}"))?;
    let logs = Arc::new(logs);
    let cleaner = LogCleaner::new(
        Arc::clone(&logs),
        CleanerConfig { dedupe_buffer_size: 1 << 20, ..CleanerConfig::default() },
    );
    Ok((logs, cleaner))
}

fn config_of(segment_size: i32, topic: &str) -> Arc<LogConfig> {
    config(segment_size, topic == "compacted")
}

fn config(segment_size: i32, compact: bool) -> Arc<LogConfig> {
    Arc::new(LogConfig {
        segment_size,
        index_interval: 200,
        file_delete_delay_ms: 2000,
        delete: !compact,
        compact,
        min_cleanable_ratio: 0.0,
        delete_retention_ms: 5000,
        retention_ms: -1,
        ..LogConfig::default()
    })
}

impl World {
    fn topic_id(&mut self) -> Uuid {
        Uuid::from_u128(u128::from(self.random.next_u64()) << 64 | u128::from(self.random.next_u64()))
    }

    fn create(&self, model: &Model) -> Result<Arc<Log>, String> {
        let config = config_of(self.segment_size, &model.partition.topic);
        self.logs
            .create_log(&model.partition, Some(model.topic_id), config, self.now_ms)
            .map_err(|error| format!("{}: {error}", model.partition))
    }

    fn stop(&mut self) -> Stop {
        // Behind a sync that failed what is read is not what is on the disk, and no sync changes that: a broker that is only started
        // again cannot know. It takes a new start of the machine to see what is left.
        if !self.faulty && self.random.chance(50) { Stop::Kill } else { Stop::PowerLoss }
    }

    fn log(&self, index: usize) -> Result<Arc<Log>, End> {
        let model = &self.models[index];
        self.logs.get_log(&model.partition).ok_or_else(|| format!("{} is not there", model.partition).into())
    }

    /// An error of the log: expected if the disk was told to fail.
    fn refused(&self, what: &str, error: &dyn std::fmt::Display) -> End {
        self.trace.note(self.now_ms, format_args!("{what}: refused"));
        if self.disk.is_halted() || self.faulty { End::Down } else { End::Wrong(format!("{what}: {error}")) }
    }

    fn step(&mut self) -> Result<(), String> {
        self.now_ms += self.random.below(200) as i64;
        self.disk.set_now_ms(self.now_ms);
        let index = self.random.below(self.models.len() as u64) as usize;
        let result = match self.random.below(100) {
            0..45 => self.append(index),
            45..53 => self.flush(index),
            53..57 => self.roll(index),
            57..61 => self.truncate(index),
            61..63 => {
                self.models[index].epoch += 1 + self.random.below(2) as i32;
                Ok(())
            }
            63..68 => self.checkpoint(),
            68..72 => self.delete_records(index),
            72..75 => self.housekeeping(),
            75..82 => self.clean(),
            82..84 => self.log(index).and_then(|log| {
                log.take_producer_snapshot().map_err(|error| self.refused("producer snapshot", &error))
            }),
            84..86 => self.delete_topic(index),
            86..92 => self.look(index),
            92..93 => self.clean_stop(),
            93..95 => {
                let changes = self.random.below(40);
                self.trace.note(self.now_ms, format_args!("will stop after {changes} changes"));
                self.disk.halt_after(changes);
                Ok(())
            }
            95..96 if self.faulty => {
                let used = self.disk.used_bytes();
                let errors = if self.random.chance(50) { 20_000 } else { 0 };
                self.disk.set_faults(DiskFaults {
                    write_errors_per_million: errors,
                    sync_errors_per_million: errors,
                    capacity: (errors == 0).then(|| used + self.random.below(2000)),
                    ..DiskFaults::default()
                });
                Ok(())
            }
            _ => Err(End::Down),
        };
        match result {
            Ok(()) => Ok(()),
            Err(End::Down) => {
                let stop = self.stop();
                self.restart(stop)
            }
            Err(End::Wrong(message)) => Err(message),
        }
    }

    fn append(&mut self, index: usize) -> Step {
        let log = self.log(index)?;
        let keys = 1 + self.random.below(12);
        let count = 1 + self.random.below(5) as usize;
        let size = self.random.below(120) as usize;
        let mut records = Vec::new();
        for _ in 0..count {
            self.next_value += 1;
            let deletes = self.models[index].compact && self.random.chance(15);
            records.push((self.random.below(keys), (!deletes).then_some(self.next_value)));
        }
        let producer = self.random.below(self.models[index].producers.len() as u64 + 1) as usize;
        let model = &mut self.models[index];
        let sequence = model.producers.get(producer).map(|producer| (producer.id, producer.next_sequence));
        let (id, sequence) = sequence.unwrap_or((-1, -1));
        let first_offset = log.log_end_offset();
        let epoch = model.epoch;
        let seen = records.iter().enumerate().map(|(index, (key, value))| Seen {
            offset: first_offset + index as i64,
            epoch,
            key: *key,
            value: *value,
            producer: (id, if id < 0 { -1 } else { sequence + index as i32 }),
        });
        // A part of it may be there even if the append fails.
        model.now().extend(seen);
        let bytes = batch(&records, (id, sequence), size, self.now_ms);
        let info = log
            .append_as_leader(&bytes, epoch, AppendOrigin::Client, self.now_ms)
            .map_err(|error| self.refused("append", &error))?;
        self.trace.note(
            self.now_ms,
            format_args!(
                "{}: appended {first_offset}..{}",
                self.models[index].partition, info.log_end_offset
            ),
        );
        if info.duplicate || info.first_offset != first_offset {
            return Err(format!("a new batch was appended as {info:?} instead of at {first_offset}").into());
        }
        let model = &mut self.models[index];
        model.written = info.log_end_offset;
        self.counts.acknowledged += 1;
        if let Some(producer) = model.producers.get_mut(producer) {
            producer.next_sequence += count as i32;
            producer.last = Some(LastBatch { sequence, records, first_offset });
        }
        let committed = log.update_high_watermark(log.log_end_offset() - self.random.below(3) as i64);
        let model = &mut self.models[index];
        model.committed = model.committed.max(committed);
        Ok(())
    }

    fn flush(&mut self, index: usize) -> Step {
        let log = self.log(index)?;
        log.flush().map_err(|error| self.refused("flush", &error))?;
        self.models[index].sync();
        self.trace.note(self.now_ms, format_args!("{}: synced", self.models[index].partition));
        Ok(())
    }

    fn roll(&mut self, index: usize) -> Step {
        let log = self.log(index)?;
        if log.log_end_offset() == log.segment_base_offsets().last().copied().unwrap_or(0) {
            return Ok(());
        }
        let base_offset = log.roll(self.now_ms).map_err(|error| self.refused("roll", &error))?;
        self.trace
            .note(self.now_ms, format_args!("{}: rolled at {base_offset}", self.models[index].partition));
        Ok(())
    }

    /// As a follower does whose leader has not got what it has.
    fn truncate(&mut self, index: usize) -> Step {
        let log = self.log(index)?;
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        // What is committed stays, where compaction may have been at it. An unclean election can take more.
        let lowest = if self.models[index].compact || self.random.chance(80) {
            self.models[index].committed.clamp(start, end)
        } else {
            start
        };
        let mut offset = lowest + self.random.below((end - lowest) as u64 + 1) as i64;
        // Batches go whole.
        let found = log.read(offset, 1, end, true).map_err(|error| self.refused("read", &error))?;
        if offset < end {
            offset = found.start.message_offset;
        }
        let model = &mut self.models[index];
        model.truncate(offset);
        // What it wrote is gone for its producers too: they begin again.
        model.epoch += 1;
        let next_id = model.producers.iter().map(|producer| producer.id).max().unwrap_or(0) + 1;
        for (at, producer) in model.producers.iter_mut().enumerate() {
            *producer = Producer { id: next_id + at as i64, next_sequence: 0, last: None };
        }
        let partition = model.partition.clone();
        let whole = self.random.chance(10);
        self.trace.note(self.now_ms, format_args!("{partition}: truncating to {offset}"));
        if whole && offset == end && !self.models[index].compact {
            // A leader whose log starts behind this one's end.
            let offset = end + self.random.below(10) as i64;
            let model = &mut self.models[index];
            model.truncate(0);
            model.written = 0;
            model.synced = 0;
            model.start = offset;
            self.logs
                .truncate_fully_and_start_at(&partition, offset, self.now_ms)
                .map_err(|error| self.refused("truncate fully", &error))?;
            self.models[index].written = offset;
            return Ok(());
        }
        self.logs
            .truncate_to(&partition, offset, self.now_ms)
            .map_err(|error| self.refused("truncate", &error))?;
        if self.log(index)?.log_end_offset() != offset {
            return Err(format!("{partition}: truncated to {}", self.log(index)?.log_end_offset()).into());
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Step {
        let result = match self.random.below(4) {
            0 => self.logs.checkpoint_high_watermarks(),
            1 => self.logs.checkpoint_log_start_offsets(),
            2 => self.logs.checkpoint_cleaner_offsets(),
            _ => self.logs.checkpoint_recovery_points(),
        };
        result.map_err(|error| self.refused("checkpoint", &error))?;
        if self.planted == Some(Planted::RecoveryPointAhead) {
            // As if the recovery point were the log's end and not what was synced.
            let ends = self
                .logs
                .logs()
                .iter()
                .map(|log| (log.topic_partition().clone(), log.log_end_offset()))
                .collect();
            let path =
                self.disk.path().join("data").join(storage::checkpoint::RECOVERY_POINT_CHECKPOINT_FILE);
            storage::checkpoint::write_offsets(&path, &ends)
                .map_err(|error| self.refused("checkpoint", &error))?;
        }
        Ok(())
    }

    fn delete_records(&mut self, index: usize) -> Step {
        if self.models[index].compact {
            return Ok(());
        }
        let log = self.log(index)?;
        let (start, end) = (log.log_start_offset(), log.high_watermark());
        let offset = start + self.random.below((end - start).max(0) as u64 + 1) as i64;
        self.models[index].start = self.models[index].start.max(offset);
        log.maybe_increment_log_start_offset(offset)
            .map_err(|error| self.refused("delete records", &error))?;
        let deleted =
            log.delete_old_segments(self.now_ms).map_err(|error| self.refused("delete segments", &error))?;
        self.trace.note(
            self.now_ms,
            format_args!("{}: starts at {offset}, {deleted} segments went", self.models[index].partition),
        );
        Ok(())
    }

    fn housekeeping(&mut self) -> Step {
        self.logs.retention(self.now_ms);
        self.logs.flush_dirty(self.now_ms);
        self.logs.release_idle();
        self.down_if_offline()
    }

    fn down_if_offline(&self) -> Step {
        if self.logs.live_dirs().is_empty() { Err(self.refused("housekeeping", &"offline")) } else { Ok(()) }
    }

    fn clean(&mut self) -> Step {
        let host = CleanerHost { monotonic_ns: &|| 0, sleep: &|_| {}, is_stopping: &|| false };
        let cleaned = self.cleaner.clean_filthiest(&host, self.now_ms);
        self.trace.note(self.now_ms, format_args!("cleaned: {cleaned}"));
        self.down_if_offline()
    }

    fn delete_topic(&mut self, index: usize) -> Step {
        let partition = self.models[index].partition.clone();
        let topic_id = self.topic_id();
        self.trace.note(self.now_ms, format_args!("{partition}: deleting"));
        let old = self.models[index].clone();
        let deleted = self.logs.delete_log(&partition, self.now_ms);
        if let Err(error) = deleted {
            // Whether it is still there shows at the restart; either is right.
            let down = self.refused("delete", &error);
            let stop = self.stop();
            self.reopen(stop)?;
            if self.logs.get_log(&partition).is_none() {
                self.models[index] = Model::new(partition, topic_id, old.compact, old.producers.len());
            }
            self.check_all(stop)?;
            return match down {
                End::Down => Ok(()),
                wrong => Err(wrong),
            };
        }
        self.models[index] = Model::new(partition, topic_id, old.compact, old.producers.len());
        let model = self.models[index].clone();
        self.create(&model).map(drop).map_err(|error| self.refused("create", &error))
    }

    fn look(&mut self, index: usize) -> Step {
        let log = self.log(index)?;
        let piece = 1 + self.random.below(3000) as usize;
        self.counts.checks += 1;
        // A directory that failed while nobody waited for it gives nothing any more.
        let is_down = || self.disk.is_halted() || (self.faulty && self.logs.live_dirs().is_empty());
        self.models[index]
            .check(&log, piece)
            .map_err(|error| if is_down() { End::Down } else { End::Wrong(error) })
    }

    fn clean_stop(&mut self) -> Step {
        self.trace.note(self.now_ms, format_args!("clean stop"));
        self.logs.shutdown(7).map_err(|error| self.refused("shutdown", &error))?;
        for model in &mut self.models {
            model.sync();
        }
        let stop = self.stop();
        Ok(self.restart(stop)?)
    }

    fn restart(&mut self, stop: Stop) -> Result<(), String> {
        self.reopen(stop)?;
        self.check_all(stop)
    }

    fn reopen(&mut self, stop: Stop) -> Result<(), String> {
        self.trace.note(self.now_ms, format_args!("{stop:?}, the disk did {:x}", self.disk.trace()));
        self.counts.faults.add(Fault::Crash, 1);
        loop {
            match stop {
                Stop::Kill => self.disk.kill(),
                Stop::PowerLoss => self.disk.lose_power(),
            }
            self.disk.set_faults(DiskFaults::default());
            if self.planted == Some(Planted::SkippedRecovery) {
                let mark = storage::checkpoint::CleanShutdownFile::new(&self.disk.path().join("data"));
                mark.write(-1).map_err(|error| error.to_string())?;
            }
            // The node may stop again while it recovers.
            let again = self.random.chance(15);
            if again {
                self.disk.halt_after(self.random.below(60));
            }
            match open(&self.disk, self.segment_size, self.now_ms) {
                Ok((logs, cleaner)) => {
                    (self.logs, self.cleaner) = (logs, cleaner);
                    if !self.disk.is_halted() && !self.logs.live_dirs().is_empty() {
                        break;
                    }
                }
                Err(_) if self.disk.is_halted() => {}
                Err(error) => return Err(error),
            }
            self.trace.note(self.now_ms, format_args!("stopped while starting"));
        }
        self.disk.halt_after(u64::MAX);
        Ok(())
    }

    fn check_all(&mut self, stop: Stop) -> Result<(), String> {
        for index in 0..self.models.len() {
            let log = match self.logs.get_log(&self.models[index].partition) {
                Some(log) => log,
                None => self.create(&self.models[index])?,
            };
            let id = log.topic_id();
            if id.is_some_and(|id| id != self.models[index].topic_id) {
                return Err(format!("{}: the log of a deleted topic is back", self.models[index].partition));
            }
            let piece = 1 + self.random.below(3000) as usize;
            self.models[index].check_after(&log, stop, piece)?;
            self.counts.checks += 1;
            self.models[index].epoch += 1;
            self.producers_again(index, &log)?;
            self.trace.note(
                self.now_ms,
                format_args!(
                    "{}: {}..{} after {stop:?}",
                    self.models[index].partition,
                    log.log_start_offset(),
                    log.log_end_offset()
                ),
            );
        }
        Ok(())
    }

    /// A producer that does not know whether its last batch arrived sends it again: it must be there once.
    fn producers_again(&mut self, index: usize, log: &Arc<Log>) -> Result<(), String> {
        let appended = Cell::new(0);
        let model = &mut self.models[index];
        let mut producers = std::mem::take(&mut model.producers);
        for producer in &mut producers {
            let Some(last) = producer.last.clone() else { continue };
            let count = last.records.len() as i64;
            // Its records may be gone, or others be back that it had taken the places of.
            let of_last = |record: &&Seen| record.producer == (producer.id, last.sequence);
            let lies_at = model.histories.last().and_then(|history| history.iter().find(of_last));
            if lies_at.map(|record| record.offset) != Some(last.first_offset)
                || last.first_offset < log.log_start_offset()
            {
                // Its earlier ones may be gone too: it begins anew, as a producer with a new id.
                *producer = Producer { id: producer.id + 100, next_sequence: 0, last: None };
                continue;
            }
            let bytes = batch(&last.records, (producer.id, last.sequence), 8, self.now_ms);
            let info = log
                .append_as_leader(&bytes, model.epoch, AppendOrigin::Client, self.now_ms)
                .map_err(|error| format!("{}: sent again: {error}", model.partition))?;
            if !info.duplicate || info.first_offset != last.first_offset {
                return Err(format!(
                    "{}: the batch of producer {} with sequence {} lies at {}, and is taken again: {info:?}",
                    model.partition, producer.id, last.sequence, last.first_offset
                ));
            }
            producer.next_sequence = last.sequence + count as i32;
            appended.set(appended.get() + 1);
        }
        model.producers = producers;
        Ok(())
    }
}
