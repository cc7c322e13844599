//! Three brokers with the real partitions, fetchers and logs, a controller of a few lines, and a network that delays and loses:
//! random schedules, each from a seed. No record that was acknowledged is lost or moved, the high watermark of a log that was not
//! cut below it never goes back, and nobody sees two things at one offset.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use common::{ErrorCode, SplitMix64, TopicPartition, Uuid};
use metadata::PartitionRegistration;
use protocol::Records;
use protocol::messages::fetch_request::FetchPartition;
use protocol::messages::fetch_response::{EpochEndOffset, FetchableTopicResponse};
use protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use protocol::records::Batches;
use storage::{AppendOrigin, LogConfig, LogManagerConfig};

use super::*;
use crate::testing::{batch, registration};
use crate::{AlterPartitionOutcome, AlteredPartition, FollowerPosition, Isolation};

/// How many schedules are tried, and how long each is.
const SEEDS: u64 = 40;
const STEPS: usize = 600;
const MAX_LAG_MS: i64 = 40;
const TOPIC: Uuid = Uuid::from_u128(77);

struct Random(SplitMix64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        (self.0.next_u64() % end as u64) as usize
    }
}

/// A broker that runs.
struct Node {
    broker: Arc<LocalBroker>,
    partition: Arc<Partition>,
    fetcher: ReplicaFetcher,
    /// The leader that `fetcher` asks.
    source: i32,
    /// The answer on its way to `fetcher`, as the leader's bytes and facts.
    answer: Option<Answer>,
    high_watermark: i64,
}

/// What the leaders know of a follower's fetches: the session's id and epoch, and the partition that is fetched.
type Session = (i32, i32, Option<FetchPartition>);

/// What a leader has answered.
struct Answer {
    session_id: i32,
    error: ErrorCode,
    partition: Option<PartitionAnswer>,
}

struct PartitionAnswer {
    error: ErrorCode,
    records: Vec<u8>,
    high_watermark: i64,
    log_start_offset: i64,
    diverging: Option<(i32, i64)>,
}

struct World {
    directory: tempfile::TempDir,
    random: Random,
    now_ms: i64,
    /// What the controller has committed.
    metadata: PartitionRegistration,
    /// A broker that does little.
    slow: i32,
    epochs: BTreeMap<i32, i64>,
    nodes: BTreeMap<i32, Node>,
    sessions: BTreeMap<i32, Session>,
    written: usize,
    /// Appended with acks=all: offset, value, epoch.
    waiting: Vec<(i64, String, i32)>,
    acknowledged: BTreeMap<i64, String>,
    elections: usize,
    truncations: usize,
}

impl World {
    fn new(seed: u64) -> World {
        let mut world = World {
            directory: tempfile::tempdir().unwrap(),
            random: Random(SplitMix64::new(seed)),
            now_ms: 1000,
            metadata: registration(&[1, 2, 3], &[1, 2, 3], 1),
            slow: 0,
            epochs: BTreeMap::new(),
            nodes: BTreeMap::new(),
            sessions: BTreeMap::new(),
            written: 0,
            waiting: Vec::new(),
            acknowledged: BTreeMap::new(),
            elections: 0,
            truncations: 0,
        };
        for id in 1..=3 {
            world.start(id);
        }
        world
    }

    /// A broker starts, with what its disk has: an earlier life may have been killed.
    fn start(&mut self, id: i32) {
        let path = self.directory.path().join(id.to_string());
        let logs = Arc::new(open_logs(&path, id));
        let config = Arc::new(LogConfig { segment_size: 2000, ..LogConfig::default() });
        logs.load(&|_| Some(Arc::clone(&config)), &|_, _| false, self.now_ms).unwrap();
        let broker = Arc::new(LocalBroker::new(id, MAX_LAG_MS));
        let epoch = self.now_ms;
        self.epochs.insert(id, epoch);
        broker.set_epoch(epoch);
        let name = TopicPartition::new("t", 0);
        let log = logs.create_log(&name, Some(TOPIC), config, self.now_ms).unwrap();
        let metadata = Arc::new(self.metadata.clone());
        let partition =
            Partition::new(name, TOPIC, Arc::clone(&broker), log, metadata, 2, self.now_ms).unwrap();
        let fetcher_config = FetcherConfig {
            max_bytes: 400,
            response_max_bytes: 1000,
            min_bytes: 1,
            max_wait_ms: 0,
            backoff_ms: 2,
        };
        let fetcher = ReplicaFetcher::new(fetcher_config, Arc::clone(&broker), logs);
        let high_watermark = partition.log().high_watermark();
        let node = Node {
            broker,
            partition: Arc::new(partition),
            fetcher,
            source: -1,
            answer: None,
            high_watermark,
        };
        self.nodes.insert(id, node);
        for node in self.nodes.values() {
            node.broker.set_eligible(self.epochs.iter().map(|(id, epoch)| (*id, *epoch)));
        }
        self.hear(id);
    }

    /// A broker is killed. What it wrote is on its disk; what it was about to be told is gone.
    fn kill(&mut self, id: i32) {
        self.nodes.remove(&id);
        self.epochs.remove(&id);
        for node in self.nodes.values() {
            node.broker.set_eligible(self.epochs.iter().map(|(id, epoch)| (*id, *epoch)));
        }
        if self.metadata.isr.len() > 1 && self.metadata.isr.contains(&id) {
            self.metadata.isr.retain(|replica| *replica != id);
            self.metadata.partition_epoch += 1;
        }
        if self.metadata.leader == id {
            self.elect();
        }
    }

    /// Somebody else of the ISR leads, or nobody.
    fn elect(&mut self) {
        let isr: Vec<i32> =
            self.metadata.isr.iter().copied().filter(|replica| self.nodes.contains_key(replica)).collect();
        let others: Vec<i32> = isr.iter().copied().filter(|id| *id != self.metadata.leader).collect();
        let candidates = if others.is_empty() { isr } else { others };
        self.metadata.leader = match candidates.len() {
            0 => -1,
            count => candidates[self.random.below(count)],
        };
        self.metadata.leader_epoch += 1;
        self.metadata.partition_epoch += 1;
        self.elections += 1;
    }

    /// A broker hears of the newest metadata.
    fn hear(&mut self, id: i32) {
        let (metadata, now_ms) = (Arc::new(self.metadata.clone()), self.now_ms);
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.partition.update(Arc::clone(&metadata), now_ms).unwrap();
        if metadata.leader == node.broker.node_id() || metadata.leader < 0 {
            node.fetcher.remove(&node.partition);
            node.source = -1;
            return;
        }
        if node.source != metadata.leader {
            // Another connection: what was on its way over the old one never arrives.
            node.source = metadata.leader;
            node.answer = None;
            node.fetcher.on_reconnect();
        }
        node.fetcher.add(Arc::clone(&node.partition), metadata.leader_epoch, now_ms);
    }

    /// A follower sends its next fetch, and the leader answers.
    fn fetch(&mut self, id: i32) {
        let now_ms = self.now_ms;
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if node.answer.is_some() {
            return;
        }
        let source = node.source;
        if let Some(lookup) = node.fetcher.lookup() {
            let response = self.nodes.get(&source).map(|leader| answer_lookup(leader, &lookup));
            let node = self.nodes.get_mut(&id).expect("it was there");
            node.fetcher.on_lookup(&lookup, response.as_ref(), now_ms);
            return;
        }
        let NextFetch::Request(request) = node.fetcher.next(&|_| false, now_ms) else { return };
        let Some(leader) = self.nodes.get(&source) else {
            self.nodes.get_mut(&id).expect("it was there").fetcher.on_failure(now_ms);
            return;
        };
        let answer = answer(&mut self.sessions, leader, &request, now_ms);
        match self.random.below(12) {
            // The request arrived and the answer is lost with the connection.
            0 => self.nodes.get_mut(&id).expect("it was there").fetcher.on_failure(now_ms),
            _ => self.nodes.get_mut(&id).expect("it was there").answer = Some(answer),
        }
    }

    /// What a leader has answered arrives.
    fn arrive(&mut self, id: i32) {
        let now_ms = self.now_ms;
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let Some(answer) = node.answer.take() else { return };
        let before = node.partition.log().log_end_offset();
        let responses = answer.partition.iter().map(|partition| FetchableTopicResponse {
            topic_id: TOPIC,
            partitions: vec![PartitionData {
                partition_index: 0,
                error_code: partition.error.code(),
                high_watermark: partition.high_watermark,
                log_start_offset: partition.log_start_offset,
                diverging_epoch: partition.diverging.map_or_else(
                    EpochEndOffset::default,
                    |(epoch, end_offset)| EpochEndOffset { epoch, end_offset },
                ),
                records: Some(Records::Inline(&partition.records)),
                ..PartitionData::default()
            }],
            ..FetchableTopicResponse::default()
        });
        let response = FetchResponse {
            error_code: answer.error.code(),
            session_id: answer.session_id,
            responses: responses.collect(),
            ..FetchResponse::default()
        };
        let _ = node.fetcher.on_response(&response, now_ms);
        let end = node.partition.log().log_end_offset();
        if end < before {
            self.truncations += 1;
            // Only an unclean election could cut below what was committed, and there is none here.
            assert!(end >= node.high_watermark, "{id} was cut to {end}, below {}", node.high_watermark);
        }
    }

    /// A leader's wish for another ISR reaches the controller, or is lost, or its answer is.
    fn propose(&mut self, id: i32) {
        let Some(node) = self.nodes.get(&id) else { return };
        let Some(proposal) = node.partition.proposed_isr() else { return };
        if self.random.below(3) == 0 {
            return;
        }
        let is_eligible = |(broker, epoch): &(i32, i64)| {
            self.epochs.get(broker).is_some_and(|current| *epoch == -1 || epoch == current)
        };
        let answer = if proposal.leader_epoch != self.metadata.leader_epoch {
            Err(ErrorCode::FencedLeaderEpoch)
        } else if proposal.partition_epoch != self.metadata.partition_epoch {
            Err(ErrorCode::InvalidUpdateVersion)
        } else if !proposal.isr.iter().all(is_eligible) {
            Err(ErrorCode::IneligibleReplica)
        } else {
            self.metadata.isr = proposal.isr.iter().map(|(broker, _)| *broker).collect();
            self.metadata.partition_epoch += 1;
            Ok(AlteredPartition {
                leader_epoch: self.metadata.leader_epoch,
                isr: self.metadata.isr.clone(),
                leader_recovery_state: self.metadata.leader_recovery_state,
                partition_epoch: self.metadata.partition_epoch,
            })
        };
        if self.random.below(2) > 0 {
            let outcome = node.partition.on_altered(proposal.id, answer, self.now_ms);
            assert!(outcome != AlterPartitionOutcome::Retry);
        }
    }

    fn produce(&mut self, id: i32) {
        let Some(node) = self.nodes.get(&id) else { return };
        self.written += 1;
        let value = format!("{}-{}", self.written, "x".repeat(self.random.below(40)));
        let appended =
            node.partition.append_as_leader(&batch(&value), AppendOrigin::Client, true, self.now_ms);
        if let Ok(appended) = appended {
            self.waiting.push((appended.last_offset, value, appended.last_leader_epoch));
        }
    }

    /// Acknowledges what is committed, and checks what must always hold.
    fn check(&mut self) {
        let nodes = &mut self.nodes;
        let acknowledged = &mut self.acknowledged;
        self.waiting.retain(|(offset, value, epoch)| {
            for node in nodes.values() {
                if let Ok(true) = node.partition.is_committed(*epoch, offset + 1)
                    && node.partition.leader_epoch() == *epoch
                {
                    let before = acknowledged.insert(*offset, value.clone());
                    assert!(before.is_none(), "offset {offset} was acknowledged twice");
                    return false;
                }
            }
            true
        });
        for (id, node) in nodes {
            let high_watermark = node.partition.log().high_watermark();
            assert!(high_watermark >= node.high_watermark, "the high watermark of {id} went back");
            node.high_watermark = high_watermark;
        }
    }

    fn step(&mut self) {
        self.now_ms += self.random.below(2) as i64;
        let id = 1 + self.random.below(3) as i32;
        let leader = self.metadata.leader;
        if id == self.slow {
            // It is not fast enough for its leader.
            if self.random.below(4) > 0 {
                return;
            }
        }
        match self.random.below(100) {
            0..12 => self.produce(leader),
            12 => self.produce(id),
            13..46 => self.fetch(id),
            46..80 => self.arrive(id),
            80..85 => self.hear(id),
            85..90 => {
                if let Some(node) = self.nodes.get(&leader) {
                    let _ = node.partition.maybe_shrink_isr(self.now_ms);
                }
                self.propose(leader);
            }
            90 => {
                if leader >= 0 {
                    self.elect();
                }
            }
            91 => {
                if self.nodes.len() == 3 {
                    self.kill(id);
                }
            }
            92 => self.now_ms += MAX_LAG_MS / 2,
            93 => self.slow = id,
            94..97 => {
                if !self.nodes.contains_key(&id) {
                    self.start(id);
                    if leader < 0 && self.metadata.isr.contains(&id) {
                        self.elect();
                    }
                }
            }
            _ => self.propose(leader),
        }
        self.check();
    }

    /// Everything heals; then all logs are the same, and have all that was acknowledged.
    fn settle(&mut self) {
        self.slow = 0;
        for id in 1..=3 {
            if !self.nodes.contains_key(&id) {
                self.start(id);
            }
        }
        if self.metadata.leader < 0 {
            self.elect();
        }
        for _ in 0..400 {
            self.now_ms += 3;
            for id in 1..=3 {
                self.hear(id);
                self.fetch(id);
                self.arrive(id);
                self.propose(id);
            }
            self.check();
        }
        let leader = self.metadata.leader;
        let expected = content(&self.nodes[&leader]);
        for (offset, value) in &self.acknowledged {
            assert_eq!(expected.get(offset), Some(value), "what was acknowledged at {offset} is lost");
        }
        let mut isr = self.metadata.isr.clone();
        isr.sort_unstable();
        assert_eq!(isr, [1, 2, 3], "everybody is in sync again");
        for (id, node) in &self.nodes {
            assert_eq!(content(node), expected, "the logs of {id} and {leader} differ");
        }
        let end = self.nodes[&leader].partition.log().log_end_offset();
        assert_eq!(self.nodes[&leader].high_watermark, end);
    }
}

fn open_logs(path: &Path, node_id: i32) -> LogManager {
    std::fs::create_dir_all(path).unwrap();
    LogManager::open(LogManagerConfig {
        log_dirs: vec![path.to_owned()],
        cluster_id: Some("cluster".to_owned()),
        node_id,
        num_recovery_threads_per_data_dir: 1,
        default_config: Arc::new(LogConfig::default()),
        producer_id_expiration_ms: 86_400_000,
    })
    .unwrap()
}

fn content(node: &Node) -> BTreeMap<i64, String> {
    let log = node.partition.log();
    let mut found = BTreeMap::new();
    let mut offset = log.log_start_offset();
    while offset < log.log_end_offset() {
        let mut bytes = Vec::new();
        log.read(offset, 1 << 20, log.log_end_offset(), true).unwrap().records.read_into(&mut bytes).unwrap();
        for batch in Batches::new(&bytes) {
            let batch = batch.unwrap();
            for record in batch.iter() {
                let record = record.unwrap();
                let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                found.insert(record.offset, value);
            }
            offset = batch.next_offset();
        }
    }
    found
}

/// What the leader answers, with sessions of one partition.
fn answer(
    sessions: &mut BTreeMap<i32, Session>,
    leader: &Node,
    request: &FetchRequest,
    now_ms: i64,
) -> Answer {
    let broker_id = request.replica_state.replica_id;
    // A leader knows one session of each follower: its id is the number of the leader's life.
    let session = sessions.entry(broker_id).or_default();
    let life = leader.broker.epoch() as i32 * 4 + leader.broker.node_id();
    if request.session_epoch > 0 && (session.0, session.1) != (life, request.session_epoch) {
        return Answer { session_id: 0, error: ErrorCode::InvalidFetchSessionEpoch, partition: None };
    }
    let named = request.topics.first().and_then(|topic| topic.partitions.first()).cloned();
    let is_forgotten = request.session_epoch == 0 || !request.forgotten_topics_data.is_empty();
    let known = session.2.take().filter(|_| !is_forgotten);
    *session = (life, request.session_epoch + 1, named.or(known));
    let Some(asked) = &session.2 else {
        return Answer { session_id: life, error: ErrorCode::None, partition: None };
    };
    let fetch = crate::FetchRequest {
        offset: asked.fetch_offset,
        max_bytes: asked.partition_max_bytes as usize,
        isolation: Isolation::LogEnd,
        only_leader: true,
        current_leader_epoch: asked.current_leader_epoch,
        last_fetched_epoch: asked.last_fetched_epoch,
        min_one_message: true,
    };
    let position = FollowerPosition {
        broker_id,
        broker_epoch: request.replica_state.replica_epoch,
        log_start_offset: asked.log_start_offset,
    };
    let partition = match leader.partition.fetch_as_follower(&fetch, &position, now_ms) {
        Ok((fetched, _)) => {
            let mut records = Vec::new();
            fetched.records.read_into(&mut records).unwrap();
            PartitionAnswer {
                error: ErrorCode::None,
                records,
                high_watermark: fetched.high_watermark,
                log_start_offset: fetched.log_start_offset,
                diverging: fetched.diverging.map(|end| (end.epoch, end.offset)),
            }
        }
        Err(error) => PartitionAnswer {
            error: error.error_code(),
            records: Vec::new(),
            high_watermark: -1,
            log_start_offset: -1,
            diverging: None,
        },
    };
    Answer { session_id: life, error: ErrorCode::None, partition: Some(partition) }
}

fn answer_lookup(leader: &Node, request: &ListOffsetsRequest) -> ListOffsetsResponse {
    let asked = &request.topics[0].partitions[0];
    let log = leader.partition.log();
    let (error, offset) = match leader.partition.check_leader(asked.current_leader_epoch) {
        Err(error) => (error.error_code(), -1),
        Ok(()) if asked.timestamp == LATEST => (ErrorCode::None, log.log_end_offset()),
        Ok(()) => (ErrorCode::None, log.log_start_offset()),
    };
    ListOffsetsResponse {
        topics: vec![ListOffsetsTopicResponse {
            name: "t".to_owned(),
            partitions: vec![ListOffsetsPartitionResponse {
                partition_index: 0,
                error_code: error.code(),
                offset,
                ..Default::default()
            }],
        }],
        ..Default::default()
    }
}

#[test]
fn no_schedule_loses_what_was_acknowledged() {
    let (mut acknowledged, mut elections, mut truncations) = (0, 0, 0);
    for seed in 0..SEEDS {
        let seen = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..STEPS {
                world.step();
            }
            world.settle();
            (world.acknowledged.len(), world.elections, world.truncations)
        });
        let Ok(seen) = seen else { panic!("seed {seed}") };
        acknowledged += seen.0;
        elections += seen.1;
        truncations += seen.2;
    }
    let runs = SEEDS as usize;
    assert!(
        acknowledged > 10 * runs && elections > 3 * runs && truncations > runs / 2,
        "the schedules are worth little: {acknowledged} acknowledged, {elections} elections, {truncations} truncations"
    );
}
