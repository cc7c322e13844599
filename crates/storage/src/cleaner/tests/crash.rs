//! Stops in the middle of compaction: at each change of the file system, the directory is opened as it is.

use std::cell::RefCell;
use std::rc::Rc;

use proptest::prelude::*;
use protocol::records::EndTxnMarker;

use super::*;
use crate::{OpenOptions, crash_point};

pub(super) fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Cleans once. Returns the directory as it was after each step of the file system.
fn clean_and_copy(world: &World) -> Vec<TempDir> {
    let copies = Rc::new(RefCell::new(Vec::new()));
    let (into, dir) = (Rc::clone(&copies), world.dir());
    crash_point::with_hook(
        move |_| {
            let copy = tempfile::tempdir().unwrap();
            copy_dir(&dir, copy.path());
            into.borrow_mut().push(copy);
        },
        || world.clean(),
    );
    copies.take()
}

fn reopen(dir: &Path, config: LogConfig, recovery_point: i64) -> Log {
    let options =
        OpenOptions { recovery_point, ..OpenOptions::new(partition("t"), Arc::new(config), NOW_MS) };
    let log = Log::open(dir, options).unwrap();
    for entry in std::fs::read_dir(dir).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(![".cleaned", ".swap", ".deleted"].iter().any(|state| name.ends_with(state)), "{name}");
    }
    log
}

/// What a reader of committed records ends up with. Also checks that offsets rise.
fn committed(log: &Log) -> BTreeMap<String, String> {
    let aborted = log.collect_aborted_transactions(0, log.log_end_offset()).unwrap();
    let mut found = Vec::new();
    for bytes in batches(log) {
        let batch = protocol::records::RecordBatch::parse(&bytes).unwrap();
        let is_aborted = batch.is_transactional()
            && aborted.iter().any(|transaction| {
                transaction.producer_id == batch.producer_id()
                    && (transaction.first_offset..=transaction.last_offset).contains(&batch.base_offset())
            });
        if batch.is_control() || is_aborted {
            continue;
        }
        for record in batch.decompress(1 << 20).unwrap().iter() {
            let record = record.unwrap();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            found.push(Seen {
                offset: record.offset,
                key: record.key.map(text),
                value: record.value.map(text),
            });
        }
    }
    latest(&found)
}

#[test]
fn at_each_step_the_last_values_are_there() {
    let world = World::new(compacting());
    for n in 0..60 {
        world.put(&[(&format!("key-{}", n % 7), &format!("value-{n}")), ("same", &n.to_string())]);
    }
    world.put(&[("key-3", "")]);
    world.roll();
    let end = world.log().log_end_offset();
    let expected = committed(&world.log());
    assert_eq!(expected.len(), 7);
    let mut steps = 0;
    for _ in 0..3 {
        for copy in clean_and_copy(&world) {
            steps += 1;
            for recovery_point in [0, end] {
                let dir = tempfile::tempdir().unwrap();
                copy_dir(copy.path(), dir.path());
                let log = reopen(dir.path(), compacting(), recovery_point);
                assert_eq!(committed(&log), expected, "step {steps}");
                assert!(log.log_end_offset() >= end);
                log.close().unwrap();
                // A stop in the middle of that is like one more.
                assert_eq!(committed(&reopen(dir.path(), compacting(), recovery_point)), expected);
            }
        }
        assert_eq!(committed(&world.log()), expected);
        world.pass_ms(2000);
        world.put(&[("same", "59")]);
        world.roll();
    }
    assert!(steps > 40, "{steps}");
}

/// One thing that happens to the log.
#[derive(Clone, Debug)]
enum Action {
    Put { keys: Vec<(u8, bool)>, codec: u8 },
    Transaction { keys: Vec<u8>, committed: bool, rolls: bool },
    Idempotent { key: u8 },
    Roll,
    Pass(i64),
    Clean,
    CrashAt(prop::sample::Index),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (prop::collection::vec((0..12_u8, any::<bool>()), 1..6), 0..5_u8)
            .prop_map(|(keys, codec)| Action::Put { keys, codec }),
        3 => (prop::collection::vec(0..12_u8, 1..4), any::<bool>(), any::<bool>())
            .prop_map(|(keys, committed, rolls)| Action::Transaction { keys, committed, rolls }),
        2 => (0..12_u8).prop_map(|key| Action::Idempotent { key }),
        2 => Just(Action::Roll),
        1 => (0..2000_i64).prop_map(Action::Pass),
        2 => Just(Action::Clean),
        1 => any::<prop::sample::Index>().prop_map(Action::CrashAt),
    ]
}

struct Run {
    world: World,
    model: BTreeMap<String, String>,
    value: u32,
    sequences: [i32; 2],
}

impl Run {
    fn value(&mut self) -> String {
        self.value += 1;
        format!("value-{}", self.value)
    }

    fn note(&mut self, records: &[(String, String)]) {
        for (key, value) in records {
            if value.is_empty() {
                self.model.remove(key);
            } else {
                self.model.insert(key.clone(), value.clone());
            }
        }
    }

    fn send(&mut self, records: &[(String, String)], builder: RecordBatchBuilder) {
        let records: Vec<_> = records.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        self.world.append("t", &fill(builder, &records, self.world.now_ms.get()), AppendOrigin::Client);
    }

    fn act(&mut self, action: &Action) {
        let plain = |codec| RecordBatchBuilder::new(0, codec, TimestampType::CreateTime);
        match action {
            Action::Put { keys, codec } => {
                let records: Vec<_> = keys
                    .iter()
                    .map(|(key, put)| (format!("key-{key}"), if *put { self.value() } else { String::new() }))
                    .collect();
                self.note(&records);
                self.send(&records, plain(Compression::from_id(*codec).unwrap()));
            }
            Action::Transaction { keys, committed, rolls } => {
                let records: Vec<_> = keys.iter().map(|key| (format!("key-{key}"), self.value())).collect();
                let builder = plain(Compression::None).with_producer(1, 0, self.sequences[0]);
                self.sequences[0] += records.len() as i32;
                self.send(&records, builder.with_transactional(true));
                if *rolls {
                    self.world.roll();
                }
                let marker = EndTxnMarker { committed: *committed, coordinator_epoch: 1 };
                let marker = marker.batch(0, self.world.now_ms.get(), -1, 1, 0).unwrap();
                self.world.append("t", &marker, AppendOrigin::Coordinator);
                if *committed {
                    self.note(&records);
                }
            }
            Action::Idempotent { key } => {
                let records = [(format!("key-{key}"), self.value())];
                self.note(&records);
                let builder = plain(Compression::None).with_producer(2, 0, self.sequences[1]);
                self.sequences[1] += 1;
                self.send(&records, builder);
            }
            Action::Roll => {
                if self.world.log().segments().last().unwrap().size() > 0 {
                    self.world.roll();
                }
            }
            Action::Pass(ms) => self.world.pass_ms(*ms),
            Action::Clean => {
                self.world.clean();
                assert_eq!(committed(&self.world.log()), self.model);
            }
            Action::CrashAt(index) => {
                let copies = clean_and_copy(&self.world);
                if !copies.is_empty() {
                    let copy = &copies[index.index(copies.len())];
                    let log = reopen(copy.path(), (*self.world.log().config()).clone(), 0);
                    assert_eq!(committed(&log), self.model);
                    assert_eq!(log.log_end_offset(), self.world.log().log_end_offset());
                }
                assert_eq!(committed(&self.world.log()), self.model);
            }
        }
    }
}

/// Each one syncs files a hundred times: few, unless somebody asks for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(16)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_last_values_stay(
        actions in prop::collection::vec(action(), 1..60),
        segment_size in 300..2000_i32,
        memory in prop_oneof![Just(24 * 4_u64), Just(24 * 40), Just(1 << 20)],
    ) {
        let config = LogConfig { segment_size, ..compacting() };
        let cleaner = CleanerConfig { dedupe_buffer_size: memory, io_buffer_size: 600, ..CleanerConfig::default() };
        let world = World::with_cleaner(config, cleaner);
        let mut run = Run { world, model: BTreeMap::new(), value: 0, sequences: [0, 0] };
        for action in &actions {
            run.act(action);
        }
        // Once nothing is dirty and all horizons have passed, there is one record for each key.
        for _ in 0..3 {
            run.world.put(&[("last", "value")]);
            run.world.roll();
            while run.world.clean() {}
            run.world.pass_ms(5000);
        }
        run.model.insert("last".to_owned(), "value".to_owned());
        prop_assert_eq!(committed(&run.world.log()), run.model.clone());
        let values = run.world.seen().into_iter().filter(|record| record.value.is_some());
        let mut keys: Vec<_> = values.map(|record| record.key).collect();
        keys.sort();
        let all = keys.len();
        keys.dedup();
        prop_assert_eq!(keys.len(), all);
        prop_assert_eq!(all, run.model.len());
    }
}
