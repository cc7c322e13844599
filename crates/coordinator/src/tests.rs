//! The runtime with a shard that adds numbers, a log in memory and simulated time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use common::ErrorCode;
use protocol::compression::Compression;
use protocol::records::{Batches, EndTxnMarker, patch};

use crate::*;

/// Sums per name; a record is a name and what to add.
#[derive(Default)]
struct Sums {
    sums: BTreeMap<String, i64>,
    pending: BTreeMap<i64, Vec<(String, i64)>>,
    fired: Vec<(i64, &'static str)>,
    loaded: bool,
}

impl CoordinatorShard for Sums {
    type Record = (String, i64);
    type TimerKey = &'static str;
    type Timer = i64;

    fn encode(record: &(String, i64)) -> Result<EncodedRecord, String> {
        if record.0.is_empty() {
            return Err("a name is needed".to_owned());
        }
        Ok(EncodedRecord { key: record.0.clone().into_bytes(), value: Some(record.1.to_be_bytes().to_vec()) })
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<(String, i64), RecordDecodeError> {
        if key == b"future" {
            return Err(RecordDecodeError::UnknownType(99));
        }
        let value = value
            .and_then(|value| value.try_into().ok())
            .ok_or_else(|| RecordDecodeError::Corrupt("not eight bytes".to_owned()))?;
        Ok((String::from_utf8_lossy(key).into_owned(), i64::from_be_bytes(value)))
    }

    fn replay(&mut self, _: i64, producer: Producer, (name, add): (String, i64)) {
        if producer == Producer::NONE {
            *self.sums.entry(name).or_default() += add;
        } else {
            self.pending.entry(producer.id).or_default().push((name, add));
        }
    }

    fn replay_end_transaction_marker(&mut self, producer: Producer, committed: bool) {
        for (name, add) in self.pending.remove(&producer.id).unwrap_or_default() {
            if committed {
                *self.sums.entry(name).or_default() += add;
            }
        }
    }

    fn on_loaded(&mut self, context: &mut Context<Self>) {
        self.loaded = true;
        context.schedule("loaded", 1_000, 0);
    }

    fn on_unloaded(&mut self) {}

    fn on_timer(
        &mut self,
        key: &'static str,
        add: i64,
        context: &mut Context<Self>,
    ) -> CoordinatorResult<Self, ()> {
        self.fired.push((context.now_ms, key));
        if add == 0 {
            return CoordinatorResult::read(());
        }
        CoordinatorResult::new(vec![(key.to_owned(), add)], ())
    }
}

struct FakeLog {
    bytes: Mutex<Vec<u8>>,
    end: AtomicI64,
    committed: AtomicI64,
    /// Whether each append is committed at once, as with one replica.
    alone: bool,
    error: Mutex<Option<ErrorCode>>,
    max_batch_size: usize,
    batches: AtomicI64,
    runtime: OnceLock<Weak<CoordinatorRuntime<Sums>>>,
}

impl FakeLog {
    fn append_at_end(&self, mut batch: Vec<u8>, records: i64) -> i64 {
        let base_offset = self.end.fetch_add(records, Ordering::SeqCst);
        patch::set_base_offset(&mut batch, base_offset).unwrap();
        self.bytes.lock().unwrap().extend(batch);
        self.batches.fetch_add(1, Ordering::SeqCst);
        base_offset + records - 1
    }
}

impl CoordinatorLog for FakeLog {
    fn append(&self, partition: i32, batch: &[u8], now_ms: i64) -> Result<Appended, ErrorCode> {
        if let Some(error) = *self.error.lock().unwrap() {
            return Err(error);
        }
        let count = Batches::new(batch).next().unwrap().unwrap().records_count();
        let last_offset = self.append_at_end(batch.to_vec(), i64::from(count));
        if self.alone {
            self.committed.store(last_offset + 1, Ordering::SeqCst);
            if let Some(runtime) = self.runtime.get().and_then(Weak::upgrade) {
                // Allowed from within an append.
                runtime.on_high_watermark(partition, last_offset + 1, now_ms);
            }
        }
        Ok(Appended { last_offset, high_watermark: self.committed.load(Ordering::SeqCst) })
    }

    fn max_batch_size(&self, _: i32) -> usize {
        self.max_batch_size
    }
}

struct World {
    log: Arc<FakeLog>,
    runtime: Arc<CoordinatorRuntime<Sums>>,
    woken: Arc<Mutex<Vec<i64>>>,
}

fn world(alone: bool) -> World {
    let log = Arc::new(FakeLog {
        bytes: Mutex::default(),
        end: AtomicI64::new(0),
        committed: AtomicI64::new(0),
        alone,
        error: Mutex::new(None),
        max_batch_size: 1_000,
        batches: AtomicI64::new(0),
        runtime: OnceLock::new(),
    });
    let woken = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&woken);
    let runtime = Arc::new(CoordinatorRuntime::new(
        RuntimeConfig { topic: "__sums", compression: Compression::None, write_timeout_ms: 5_000 },
        Arc::clone(&log) as Arc<dyn CoordinatorLog>,
        Box::new(move |deadline_ms| told.lock().unwrap().push(deadline_ms)),
        |_| Sums::default(),
    ));
    log.runtime.set(Arc::downgrade(&runtime)).unwrap();
    World { log, runtime, woken }
}

impl World {
    fn load(&self, epoch: i32, now_ms: i64) -> Result<LoadSummary, ErrorCode> {
        let bytes = self.log.bytes.lock().unwrap().clone();
        let committed = self.log.committed.load(Ordering::SeqCst);
        self.runtime.load(
            0,
            epoch,
            0,
            committed,
            &mut |offset, buffer| read_cut(&bytes, offset, buffer),
            now_ms,
        )
    }

    /// Adds to a name; the answer is the sum after it.
    fn add(&self, name: &str, add: i64, now_ms: i64) -> Arc<Mutex<Option<Result<i64, ErrorCode>>>> {
        let answer = Arc::new(Mutex::new(None));
        let (told, record) = (Arc::clone(&answer), (name.to_owned(), add));
        let slot = self.runtime.slot(0).expect("loaded before");
        match self.runtime.enter(&slot, now_ms) {
            Ok(mut access) => access.write(
                move |shard, _| {
                    let sum = shard.sums.get(&record.0).copied().unwrap_or_default() + record.1;
                    Ok(CoordinatorResult::new(vec![record], sum))
                },
                move |result| *told.lock().unwrap() = Some(result),
            ),
            Err(error) => *answer.lock().unwrap() = Some(Err(error)),
        }
        answer
    }

    fn see<T: Send + 'static>(&self, now_ms: i64, look: impl FnOnce(&Sums) -> T) -> T {
        let slot = self.runtime.slot(0).unwrap();
        let mut access = self.runtime.enter(&slot, now_ms).unwrap();
        let seen = look(&access.active().shard);
        drop(access);
        seen
    }
}

/// Gives two batches and a piece of a third, from the one that holds the offset on.
fn read_cut(bytes: &[u8], offset: i64, buffer: &mut Vec<u8>) -> Result<(), ErrorCode> {
    let mut position = 0;
    for batch in Batches::new(bytes) {
        let batch = batch.unwrap();
        if batch.next_offset() > offset {
            let rest = &bytes[position..];
            let whole: usize = Batches::new(rest).take(2).map(|batch| batch.unwrap().size_in_bytes()).sum();
            buffer.extend_from_slice(&rest[..rest.len().min(whole + 30)]);
            return Ok(());
        }
        position += batch.size_in_bytes();
    }
    Ok(())
}

fn get<T: Clone>(answer: &Arc<Mutex<Option<T>>>) -> Option<T> {
    answer.lock().unwrap().clone()
}

#[test]
fn a_partition_that_was_never_loaded_has_no_slot_and_a_closed_one_refuses() {
    let world = world(true);
    assert!(world.runtime.slot(0).is_none());
    world.load(1, 0).unwrap();
    world.runtime.unload(0, None, 0);
    assert_eq!(get(&world.add("a", 1, 0)), Some(Err(ErrorCode::NotCoordinator)));
}

#[test]
fn with_one_replica_the_answer_is_there_at_once() {
    let world = world(true);
    world.load(0, 0).unwrap();
    assert_eq!(get(&world.add("a", 1, 0)), Some(Ok(1)));
    assert_eq!(get(&world.add("a", 2, 0)), Some(Ok(3)));
    assert_eq!(world.log.batches.load(Ordering::SeqCst), 2);
}

#[test]
fn with_several_replicas_the_answer_waits_for_the_high_watermark() {
    let world = world(false);
    world.load(0, 0).unwrap();
    let first = world.add("a", 1, 0);
    let second = world.add("a", 2, 0);
    assert_eq!((get(&first), get(&second)), (None, None));
    // A read sees both writes and so waits for both.
    let read = Arc::new(Mutex::new(None));
    let told = Arc::clone(&read);
    let slot = world.runtime.slot(0).unwrap();
    world
        .runtime
        .enter(&slot, 0)
        .unwrap()
        .read(|shard| Ok(shard.sums["a"]), move |result| *told.lock().unwrap() = Some(result));
    world.runtime.on_high_watermark(0, 1, 10);
    assert_eq!((get(&first), get(&second), get(&read)), (Some(Ok(1)), None, None));
    world.runtime.on_high_watermark(0, 2, 20);
    assert_eq!((get(&second), get(&read)), (Some(Ok(3)), Some(Ok(3))));
}

#[test]
fn an_answer_that_waits_too_long_is_an_error_and_the_write_stands() {
    let world = world(false);
    world.load(0, 0).unwrap();
    let answer = world.add("a", 1, 0);
    world.runtime.expire(4_999);
    assert_eq!(get(&answer), None);
    world.runtime.expire(5_000);
    assert_eq!(get(&answer), Some(Err(ErrorCode::CoordinatorNotAvailable)));
    assert_eq!(world.see(5_000, |shard| shard.sums["a"]), 1);
}

#[test]
fn a_failed_append_changes_nothing() {
    let world = world(true);
    world.load(0, 0).unwrap();
    *world.log.error.lock().unwrap() = Some(ErrorCode::NotEnoughReplicas);
    assert_eq!(get(&world.add("a", 1, 0)), Some(Err(ErrorCode::CoordinatorNotAvailable)));
    *world.log.error.lock().unwrap() = Some(ErrorCode::NotLeaderOrFollower);
    assert_eq!(get(&world.add("a", 1, 0)), Some(Err(ErrorCode::NotCoordinator)));
    *world.log.error.lock().unwrap() = None;
    assert_eq!(get(&world.add("", 1, 0)), Some(Err(ErrorCode::UnknownServerError)));
    assert_eq!(get(&world.add(&"long".repeat(300), 1, 0)), Some(Err(ErrorCode::UnknownServerError)));
    assert!(world.see(0, |shard| shard.sums.is_empty()));
    assert_eq!(get(&world.add("a", 1, 0)), Some(Ok(1)));
}

#[test]
fn a_callback_hears_of_the_commit_and_of_the_failure_and_its_records_are_not_replayed() {
    let world = world(false);
    world.load(0, 0).unwrap();
    let write = |now_ms| {
        let slot = world.runtime.slot(0).unwrap();
        world.runtime.enter(&slot, now_ms).unwrap().write(
            |_, _| {
                Ok(CoordinatorResult::with_callback(
                    vec![("a".to_owned(), 1)],
                    (),
                    Box::new(|shard, context, result| {
                        let key = if result.is_ok() { "committed" } else { "failed" };
                        shard.fired.push((context.now_ms, key));
                    }),
                ))
            },
            |_| {},
        );
    };
    write(0);
    assert!(world.see(0, |shard| shard.fired.is_empty() && shard.sums.is_empty()));
    world.runtime.on_high_watermark(0, 1, 7);
    *world.log.error.lock().unwrap() = Some(ErrorCode::KafkaStorageError);
    write(9);
    assert_eq!(world.see(9, |shard| shard.fired.clone()), [(7, "committed"), (9, "failed")]);
}

#[test]
fn giving_a_partition_up_answers_whoever_waits() {
    let world = world(false);
    world.load(3, 0).unwrap();
    let answer = world.add("a", 1, 0);
    world.runtime.unload(0, Some(2), 0);
    assert_eq!(get(&answer), None, "an older epoch gives nothing up");
    world.runtime.unload(0, Some(4), 0);
    assert_eq!(get(&answer), Some(Err(ErrorCode::NotCoordinator)));
    assert_eq!(world.load(3, 0), Err(ErrorCode::NotCoordinator), "an older epoch loads nothing");
    world.log.committed.store(1, Ordering::SeqCst);
    assert_eq!(world.load(5, 0).unwrap().records, 1);
    assert_eq!(world.see(0, |shard| shard.sums["a"]), 1);
}

#[test]
fn requests_during_a_load_are_told_so_and_a_load_that_lost_its_partition_says_so() {
    let world = world(true);
    let outcome = world.runtime.load(
        0,
        1,
        0,
        0,
        &mut |_, _| {
            assert_eq!(get(&world.add("a", 1, 0)), Some(Err(ErrorCode::CoordinatorLoadInProgress)));
            world.runtime.unload(0, Some(2), 0);
            Ok(())
        },
        0,
    );
    assert_eq!(outcome, Err(ErrorCode::NotCoordinator));
    let outcome = world.runtime.load(0, 2, 0, 0, &mut |_, _| Err(ErrorCode::KafkaStorageError), 0);
    assert_eq!(outcome, Err(ErrorCode::KafkaStorageError));
    assert_eq!(get(&world.add("a", 1, 0)), Some(Err(ErrorCode::NotCoordinator)));
    // A failed partition may be loaded again.
    world.load(2, 0).unwrap();
    assert_eq!(get(&world.add("a", 1, 0)), Some(Ok(1)));
}

#[test]
fn a_load_gives_the_state_before_and_goes_around_what_it_does_not_understand() {
    let world = world(true);
    world.load(0, 0).unwrap();
    for (name, add) in [("a", 1), ("b", 2), ("a", 3), ("future", 4), ("c", 5)] {
        world.add(name, add, 0);
    }
    // A transaction that is committed, one that is aborted, one that is open.
    for (producer, outcome) in [(7, Some(true)), (8, Some(false)), (9, None)] {
        let mut builder = protocol::records::RecordBatchBuilder::new(
            0,
            Compression::None,
            protocol::records::TimestampType::CreateTime,
        )
        .with_producer(producer, 0, 0)
        .with_transactional(true);
        builder.append(0, Some(b"t"), Some(&producer.to_be_bytes()), &[]).unwrap();
        world.log.append_at_end(builder.build(), 1);
        if let Some(committed) = outcome {
            let marker = EndTxnMarker { committed, coordinator_epoch: 0 };
            world.log.append_at_end(marker.batch(0, 0, 0, producer, 0).unwrap(), 1);
        }
    }
    // A damaged batch: the records behind it are read.
    let damaged = batch::build(&[Sums::encode(&("d".to_owned(), 6)).unwrap()], Compression::None, 0).unwrap();
    let last = world.log.append_at_end(damaged, 1);
    *world.log.bytes.lock().unwrap().last_mut().unwrap() ^= 1;
    world.log.append_at_end(
        batch::build(&[Sums::encode(&("e".to_owned(), 7)).unwrap()], Compression::Gzip, 0).unwrap(),
        1,
    );
    world.runtime.unload(0, None, 0);
    let summary = world.load(0, 0).unwrap();
    assert_eq!((summary.last_offset, summary.skipped), (last + 1, 2));
    assert_eq!(
        world.see(0, |shard| shard.sums.clone().into_iter().collect::<Vec<_>>()),
        [("a", 4), ("b", 2), ("c", 5), ("e", 7), ("t", 7)].map(|(name, sum)| (name.to_owned(), sum))
    );
    assert_eq!(world.see(0, |shard| shard.pending.keys().copied().collect::<Vec<_>>()), [9]);
    assert!(world.see(0, |shard| shard.loaded));
}

#[test]
fn timers_fire_and_what_they_decide_is_written() {
    let world = world(true);
    world.load(0, 0).unwrap();
    assert_eq!(*world.woken.lock().unwrap(), [1_000]);
    assert_eq!(world.runtime.expire(500), Some(1_000));
    let slot = world.runtime.slot(0).unwrap();
    world.runtime.enter(&slot, 500).unwrap().write(
        |_, context| {
            context.schedule("tick", 100, 5);
            Ok(CoordinatorResult::read(()))
        },
        |_| {},
    );
    assert_eq!(*world.woken.lock().unwrap(), [1_000, 600], "an earlier deadline wakes");
    assert_eq!(world.runtime.next_deadline(), Some(600));
    assert_eq!(world.runtime.expire(600), Some(1_000));
    assert_eq!(world.see(600, |shard| shard.sums["tick"]), 5);
    assert_eq!(world.runtime.expire(2_000), None);
    assert_eq!(world.see(2_000, |shard| shard.fired.clone()), [(600, "tick"), (2_000, "loaded")]);
}

#[test]
fn records_that_need_not_be_written_together_are_spread_over_batches() {
    let world = world(true);
    world.load(0, 0).unwrap();
    let slot = world.runtime.slot(0).unwrap();
    let records: Vec<_> = (0..100).map(|index| (format!("name-{index}"), index)).collect();
    let many = records.clone();
    world
        .runtime
        .enter(&slot, 0)
        .unwrap()
        .write(|_, _| Ok(CoordinatorResult::new(many, ()).non_atomic()), |result| assert_eq!(result, Ok(())));
    assert!(world.log.batches.load(Ordering::SeqCst) > 1);
    assert_eq!(world.see(0, |shard| shard.sums.len()), 100);
    let failed = Arc::new(Mutex::new(None));
    let told = Arc::clone(&failed);
    world.runtime.enter(&slot, 0).unwrap().write(
        |_, _| Ok(CoordinatorResult::new(records, ())),
        move |result| *told.lock().unwrap() = Some(result),
    );
    assert_eq!(get(&failed), Some(Err(ErrorCode::UnknownServerError)), "together they are too large");
}

#[test]
fn threads_that_write_and_commit_leave_nobody_without_an_answer() {
    const THREADS: i64 = 4;
    const WRITES: i64 = 500;
    let world = world(false);
    world.load(0, 0).unwrap();
    let answered = Arc::new(AtomicI64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..WRITES {
                    let slot = world.runtime.slot(0).unwrap();
                    let answered = Arc::clone(&answered);
                    world.runtime.enter(&slot, 0).unwrap().write(
                        |_, _| Ok(CoordinatorResult::new(vec![("a".to_owned(), 1)], ())),
                        move |result| {
                            assert_eq!(result, Ok(()));
                            answered.fetch_add(1, Ordering::SeqCst);
                        },
                    );
                }
            });
        }
        // The replicas' thread reports how far they are, whoever holds the lock.
        scope.spawn(|| {
            while world.log.end.load(Ordering::SeqCst) < THREADS * WRITES {
                world.runtime.on_high_watermark(0, world.log.end.load(Ordering::SeqCst), 0);
            }
            world.runtime.on_high_watermark(0, THREADS * WRITES, 0);
        });
    });
    assert_eq!(answered.load(Ordering::SeqCst), THREADS * WRITES);
}
