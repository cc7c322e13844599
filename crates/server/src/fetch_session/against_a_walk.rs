//! Sessions that pass settled partitions over, against a plain model that looks at all of its partitions with each fetch: the same
//! answers, and leaders that know the same of their followers.

use std::cell::Cell;
use std::collections::BTreeMap;

use metadata::{LeaderRecoveryState, PartitionRegistration};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use protocol::compression::Compression;
use protocol::messages::fetch_request::{FetchPartition as Named, FetchTopic, ForgottenTopic};
use protocol::records::{RecordBatchBuilder, TimestampType};
use replica::{AlteredPartition, FetchedPartition, FollowerPosition, Isolation, LocalBroker, PartitionError};
use storage::{AppendOrigin, Log, LogConfig, OpenOptions};

use super::*;

const PARTITIONS: i32 = 3;
const FOLLOWER: i32 = 2;

#[derive(Debug, Clone)]
enum Step {
    Append(i32),
    /// A fetch of the follower, or of the consumer. Names those of the mask although they are where they were.
    Fetch {
        by_follower: bool,
        mask: u8,
    },
    DeleteRecords(i32),
    /// The log's start moves without a word of the partition.
    Retention(i32),
    NewLeaderEpoch(i32),
    Isr(i32, bool),
    /// The ISR that was asked for is taken, or not.
    Answer(i32, bool),
    Shrink(i32),
    Time(i64),
    Forget {
        by_follower: bool,
        partition: i32,
    },
    /// The follower registers anew.
    Register,
}

fn step() -> impl Strategy<Value = Step> {
    let partition = || 0..PARTITIONS;
    prop_oneof![
        6 => partition().prop_map(Step::Append),
        12 => (any::<bool>(), 0u8..8, any::<bool>()).prop_map(|(by_follower, mask, names)| {
            Step::Fetch { by_follower, mask: if names { mask } else { 0 } }
        }),
        2 => partition().prop_map(Step::DeleteRecords),
        1 => partition().prop_map(Step::Retention),
        1 => partition().prop_map(Step::NewLeaderEpoch),
        1 => (partition(), any::<bool>()).prop_map(|(partition, both)| Step::Isr(partition, both)),
        2 => (partition(), any::<bool>()).prop_map(|(partition, taken)| Step::Answer(partition, taken)),
        2 => partition().prop_map(Step::Shrink),
        3 => (1i64..80).prop_map(Step::Time),
        1 => (any::<bool>(), partition())
            .prop_map(|(by_follower, partition)| Step::Forget { by_follower, partition }),
        1 => Just(Step::Register),
    ]
}

/// A leader of all partitions.
struct World {
    broker: Arc<LocalBroker>,
    partitions: Vec<Arc<Partition>>,
    log_start_moves: Cell<u64>,
    _directory: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let directory = tempfile::tempdir().unwrap();
        let broker = Arc::new(LocalBroker::new(1, 100));
        broker.set_epoch(10);
        broker.set_eligible([(1, 10), (FOLLOWER, 20)].into_iter());
        let partitions = (0..PARTITIONS).map(|index| {
            let name = common::TopicPartition::new("t", index);
            let options = OpenOptions::new(name.clone(), Arc::new(LogConfig::default()), 0);
            let log = Arc::new(Log::open(directory.path().join(format!("t-{index}")), options).unwrap());
            let registration = Arc::new(PartitionRegistration {
                replicas: vec![1, FOLLOWER],
                directories: vec![Uuid::ZERO; 2],
                isr: vec![1, FOLLOWER],
                removing_replicas: Vec::new(),
                adding_replicas: Vec::new(),
                elr: Vec::new(),
                last_known_elr: Vec::new(),
                leader: 1,
                leader_recovery_state: LeaderRecoveryState::Recovered,
                leader_epoch: 0,
                partition_epoch: 0,
            });
            let (id, broker) = (Uuid::from_u128(9), Arc::clone(&broker));
            Arc::new(Partition::new(name, id, broker, log, registration, 1, 0).unwrap())
        });
        let partitions = partitions.collect();
        World { partitions, broker, log_start_moves: Cell::new(0), _directory: directory }
    }

    fn partition(&self, index: i32) -> &Arc<Partition> {
        &self.partitions[index as usize]
    }

    fn read(
        &self,
        wanted: &FetchPartition,
        follower_epoch: Option<i64>,
        now_ms: i64,
    ) -> Result<FetchedPartition, PartitionError> {
        let request = replica::FetchRequest {
            offset: wanted.offset,
            max_bytes: 1 << 20,
            isolation: if follower_epoch.is_some() { Isolation::LogEnd } else { Isolation::ReadUncommitted },
            only_leader: true,
            current_leader_epoch: wanted.current_leader_epoch,
            last_fetched_epoch: -1,
            min_one_message: true,
        };
        let partition = self.partition(wanted.partition);
        match follower_epoch {
            Some(broker_epoch) => {
                let position = FollowerPosition { broker_id: FOLLOWER, broker_epoch, log_start_offset: 0 };
                partition.fetch_as_follower(&request, &position, now_ms).map(|(fetched, _)| fetched)
            }
            None => partition.fetch(&request),
        }
    }

    fn step(&self, step: &Step, now_ms: i64) {
        let update = |index: i32, change: &dyn Fn(&mut PartitionRegistration)| {
            let mut registration = PartitionRegistration::clone(&self.partition(index).registration());
            registration.partition_epoch += 1;
            change(&mut registration);
            self.partition(index).update(Arc::new(registration), now_ms).unwrap();
        };
        match *step {
            Step::Append(index) => {
                let mut builder = RecordBatchBuilder::new(0, Compression::None, TimestampType::CreateTime);
                builder.append(1, None, Some(b"value"), &[]).unwrap();
                let batch = builder.build();
                self.partition(index).append_as_leader(&batch, AppendOrigin::Client, false, now_ms).unwrap();
            }
            Step::DeleteRecords(index) => {
                self.partition(index).delete_records(-1).unwrap();
            }
            Step::Retention(index) => {
                let log = self.partition(index).log();
                if log.maybe_increment_log_start_offset(log.high_watermark()).unwrap() {
                    self.log_start_moves.set(self.log_start_moves.get() + 1);
                }
            }
            Step::NewLeaderEpoch(index) => update(index, &|registration| registration.leader_epoch += 1),
            Step::Isr(index, both) => {
                let isr = if both { vec![1, FOLLOWER] } else { vec![1] };
                update(index, &|registration| registration.isr.clone_from(&isr));
            }
            Step::Answer(index, taken) => {
                let partition = self.partition(index);
                let Some(proposed) = partition.proposed_isr() else { return };
                let answer = if taken {
                    Ok(AlteredPartition {
                        leader_epoch: proposed.leader_epoch,
                        isr: proposed.isr.iter().map(|(id, _)| *id).collect(),
                        leader_recovery_state: LeaderRecoveryState::Recovered,
                        partition_epoch: proposed.partition_epoch + 1,
                    })
                } else {
                    Err(ErrorCode::IneligibleReplica)
                };
                let _ = partition.on_altered(proposed.id, answer, now_ms);
            }
            Step::Shrink(index) => {
                let _ = self.partition(index).maybe_shrink_isr(now_ms);
            }
            Step::Fetch { .. } | Step::Time(_) | Step::Forget { .. } | Step::Register => {}
        }
    }
}

/// What an answer says of a partition: index, error, bytes, high watermark, log start.
type Said = (i32, ErrorCode, usize, i64, i64);

fn said(index: i32, result: &Result<FetchedPartition, PartitionError>) -> Said {
    match result {
        Ok(fetched) => {
            (index, ErrorCode::None, fetched.records.len(), fetched.high_watermark, fetched.log_start_offset)
        }
        Err(error) => (index, error.error_code(), 0, -1, -1),
    }
}

/// A client in its session.
struct Client {
    is_follower: bool,
    sessions: FetchSessions,
    id: i32,
    epoch: i32,
    broker_epoch: i64,
    /// What it fetches of each partition next, and whether it has not said so yet.
    wants: BTreeMap<i32, (FetchPartition, bool)>,
    forgotten: Vec<i32>,
    /// The model: what is fetched, in its order, and what was said last.
    walk: Vec<(FetchPartition, Option<(i64, i64)>)>,
}

impl Client {
    fn new(is_follower: bool) -> Client {
        let wants = (0..PARTITIONS).map(|index| (index, (wanted(index), true))).collect();
        Client {
            is_follower,
            sessions: FetchSessions::new(10),
            id: 0,
            epoch: 0,
            broker_epoch: 20,
            wants,
            forgotten: Vec::new(),
            walk: Vec::new(),
        }
    }

    fn fetch(&mut self, mask: u8, real: &World, model: &World, now_ms: i64) {
        let mut named = Vec::new();
        for (index, (wanted, is_new)) in &mut self.wants {
            let is_named = mask & (1 << index) != 0;
            if is_named {
                // It has heard of the leader's epoch.
                wanted.current_leader_epoch = real.partition(*index).leader_epoch();
            }
            if std::mem::take(is_new) || is_named {
                named.push(wanted.clone());
            }
        }
        let forgotten = std::mem::take(&mut self.forgotten);
        let by_model = self.walk(&named, &forgotten, model, now_ms);
        let by_session = self.ask(&named, forgotten, real, now_ms);
        assert_eq!(by_session, by_model, "follower: {}", self.is_follower);
        for (index, error, bytes, _, _) in by_session {
            let Some((wanted, is_new)) = self.wants.get_mut(&index) else { continue };
            let log = real.partition(index).log();
            match error {
                ErrorCode::None if bytes > 0 => {
                    wanted.offset =
                        if self.is_follower { log.log_end_offset() } else { log.high_watermark() };
                    *is_new = true;
                }
                ErrorCode::OffsetOutOfRange => {
                    wanted.offset = log.log_start_offset();
                    *is_new = true;
                }
                _ => {}
            }
        }
    }

    fn walk(&mut self, named: &[FetchPartition], forgotten: &[i32], world: &World, now_ms: i64) -> Vec<Said> {
        let is_first = self.epoch == 0;
        for wanted in named {
            match self.walk.iter_mut().find(|(known, _)| known.partition == wanted.partition) {
                Some((known, _)) => *known = wanted.clone(),
                None => self.walk.push((wanted.clone(), None)),
            }
        }
        self.walk.retain(|(known, _)| !forgotten.contains(&known.partition));
        let follower_epoch = self.is_follower.then_some(self.broker_epoch);
        let mut answer = Vec::new();
        let (mut quiet, mut served) = (Vec::new(), Vec::new());
        for (wanted, told) in std::mem::take(&mut self.walk) {
            let says = said(wanted.partition, &world.read(&wanted, follower_epoch, now_ms));
            let (_, error, bytes, high_watermark, log_start_offset) = says;
            let is_well = error.is_none();
            let news = Some((high_watermark, log_start_offset));
            if is_first || !is_well || bytes > 0 || told != news {
                answer.push(says);
            }
            let entry = (wanted, news.filter(|_| is_well));
            // The first answer leaves the order as it was asked for.
            if bytes > 0 && !is_first { served.push(entry) } else { quiet.push(entry) }
        }
        quiet.extend(served);
        self.walk = quiet;
        answer
    }

    fn ask(
        &mut self,
        named: &[FetchPartition],
        forgotten: Vec<i32>,
        world: &World,
        now_ms: i64,
    ) -> Vec<Said> {
        let mut request =
            FetchRequest { session_id: self.id, session_epoch: self.epoch, ..FetchRequest::default() };
        request.replica_state.replica_id = if self.is_follower { FOLLOWER } else { -1 };
        request.replica_state.replica_epoch = if self.is_follower { self.broker_epoch } else { -1 };
        if !named.is_empty() {
            let partitions = named.iter().map(|wanted| Named {
                partition: wanted.partition,
                fetch_offset: wanted.offset,
                current_leader_epoch: wanted.current_leader_epoch,
                ..Named::default()
            });
            let partitions = partitions.collect();
            request.topics = vec![FetchTopic { topic: "t".to_owned(), partitions, ..FetchTopic::default() }];
        }
        if !forgotten.is_empty() {
            request.forgotten_topics_data = vec![ForgottenTopic {
                topic: "t".to_owned(),
                partitions: forgotten,
                ..ForgottenTopic::default()
            }];
        }
        let context = self.sessions.begin(&request, 12, world.log_start_moves.get(), now_ms).unwrap();
        let follower_epoch = self.is_follower.then_some(self.broker_epoch);
        let answers: Vec<Said> = context
            .partitions
            .iter()
            .map(|wanted| said(wanted.partition, &world.read(wanted, follower_epoch, now_ms)))
            .collect();
        self.sessions.looked(&context);
        let facts: Vec<PartitionFacts> = answers
            .iter()
            .map(|(_, error, bytes, high_watermark, log_start_offset)| PartitionFacts {
                has_records: *bytes > 0,
                error: *error,
                must_be_told: false,
                high_watermark: *high_watermark,
                log_start_offset: *log_start_offset,
            })
            .collect();
        let (id, names) = self.sessions.finish(&context, &facts, now_ms);
        self.sessions.settle(&context, &names, &|wanted| {
            let reader = match self.is_follower {
                true => SettledReader::Follower(FOLLOWER),
                false => SettledReader::Consumer(Isolation::ReadUncommitted, true),
            };
            Some((Arc::clone(world.partition(wanted.partition)), reader))
        });
        (self.id, self.epoch) = (id, if id == 0 { 0 } else { self.epoch + 1 });
        answers.into_iter().zip(names).filter(|(_, named)| *named).map(|(says, _)| says).collect()
    }

    fn passed_over(&self) -> usize {
        let sessions = self.sessions.sessions.lock();
        sessions.values().map(|session| session.lock().settled.len()).sum()
    }
}

fn wanted(index: i32) -> FetchPartition {
    FetchPartition {
        topic: TopicKey::Name(Arc::from("t")),
        partition: index,
        offset: 0,
        max_bytes: 1 << 20,
        current_leader_epoch: 0,
        last_fetched_epoch: -1,
        log_start_offset: 0,
    }
}

fn compare(real: &World, model: &World, now_ms: i64) {
    for (real, model) in real.partitions.iter().zip(&model.partitions) {
        assert_eq!(real.log().high_watermark(), model.log().high_watermark());
        assert_eq!(real.proposed_isr(), model.proposed_isr());
        for offset in [0, real.log().log_end_offset()] {
            assert_eq!(real.readable_followers(offset, now_ms), model.readable_followers(offset, now_ms));
        }
    }
}

proptest! {
    // The same cases in every run: others were looked at when this was written.
    #![proptest_config(ProptestConfig {
        cases: 200,
        rng_seed: RngSeed::Fixed(227),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn sessions_that_pass_partitions_over_say_what_a_walk_finds(steps in proptest::collection::vec(step(), 1..80)) {
        let (real, model) = (World::new(), World::new());
        let (mut follower, mut consumer) = (Client::new(true), Client::new(false));
        let mut now_ms = 1_000;
        for step in steps {
            match step {
                Step::Fetch { by_follower, mask } => {
                    let client = if by_follower { &mut follower } else { &mut consumer };
                    if !client.wants.is_empty() {
                        client.fetch(mask, &real, &model, now_ms);
                    }
                }
                Step::Time(ms) => now_ms += ms,
                Step::Forget { by_follower, partition } => {
                    let client = if by_follower { &mut follower } else { &mut consumer };
                    // A session without partitions ends, and is another test's. One that is forgotten comes back when it is named.
                    if client.epoch > 0 && client.wants.len() > 1 && client.wants.remove(&partition).is_some() {
                        client.forgotten.push(partition);
                    }
                }
                Step::Register => {
                    follower.broker_epoch += 1;
                    for world in [&real, &model] {
                        world.broker.set_eligible([(1, 10), (FOLLOWER, follower.broker_epoch)].into_iter());
                    }
                }
                step => {
                    real.step(&step, now_ms);
                    model.step(&step, now_ms);
                }
            }
            compare(&real, &model, now_ms);
        }
    }
}

#[test]
fn partitions_without_news_are_passed_over_until_something_happens() {
    let (real, model) = (World::new(), World::new());
    let (mut follower, mut consumer) = (Client::new(true), Client::new(false));
    for now_ms in 0..3 {
        follower.fetch(0, &real, &model, now_ms);
        consumer.fetch(0, &real, &model, now_ms);
    }
    assert_eq!((follower.passed_over(), consumer.passed_over()), (3, 3));
    for world in [&real, &model] {
        world.step(&Step::Append(1), 3);
    }
    // The record, its high watermark, and quiet again. What is not committed is no news to the consumer.
    consumer.fetch(0, &real, &model, 4);
    assert_eq!(consumer.passed_over(), 3);
    for now_ms in 4..8 {
        follower.fetch(0, &real, &model, now_ms);
        consumer.fetch(0, &real, &model, now_ms);
    }
    assert_eq!((follower.passed_over(), consumer.passed_over()), (3, 3));
    compare(&real, &model, 8);
    // A session that ends leaves nothing behind.
    drop((follower, consumer));
    assert!(real.partitions.iter().all(|partition| Arc::strong_count(partition) == 1));
}
