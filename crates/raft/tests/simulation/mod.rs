//! A world for whole quorums: time, a network and disks in memory, and what happens to them by a seed.

mod checker;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::Uuid;
use io::SimulatedDisk;
use raft::core::Random;
use raft::snapshot::{SnapshotOptions, SnapshotWriter};
use raft::{
    Endpoint, OffsetAndEpoch, QuorumNode, QuorumRequest, QuorumResponse, RaftConfig, RaftEvent, RaftInput,
    RaftNode, RaftOutput, ReplicaKey, RequestFailure, SupportedVersionRange, VoterNode, VoterSet,
};

use checker::Checker;

/// What kind of run.
#[derive(Clone, Copy, Debug)]
pub struct Chaos {
    /// Voters from the start, with ids from 1.
    pub voters: i32,
    /// Nodes that only observe.
    pub observers: i32,
    /// Controllers that join by themselves.
    pub joiners: i32,
    /// Whether the log names the voters.
    pub dynamic: bool,
    /// Whether anything goes wrong.
    pub faults: bool,
}

impl Default for Chaos {
    fn default() -> Chaos {
        Chaos { voters: 3, observers: 0, joiners: 0, dynamic: false, faults: true }
    }
}

/// How long things go wrong, and how long they have to come right, in milliseconds.
const FAULTS_MS: i64 = 15_000;
const HEALED_MS: i64 = 25_000;

struct Node {
    id: i32,
    config: RaftConfig,
    disk: SimulatedDisk,
    raft: Option<RaftNode>,
    /// Counts starts: what belongs to an earlier one is dropped.
    incarnation: u64,
    /// It hears and does nothing until then.
    paused_until_ms: i64,
    restart_ms: i64,
    /// The next offset that it has to hear of.
    applied: i64,
    last_epoch: i32,
}

enum Message {
    Request {
        asker: usize,
        incarnation: u64,
        to: QuorumNode,
        correlation_id: u64,
        request: QuorumRequest,
    },
    Answer {
        asker: usize,
        incarnation: u64,
        from: i32,
        correlation_id: u64,
        result: Result<QuorumResponse, RequestFailure>,
    },
}

struct Asked {
    asker: usize,
    incarnation: u64,
    /// By what id the asker knows who was asked.
    known_as: i32,
    correlation_id: u64,
}

/// The world.
pub struct Simulation {
    chaos: Chaos,
    random: Random,
    now_ms: i64,
    nodes: Vec<Node>,
    /// By time, then by number.
    network: BTreeMap<(i64, u64), Message>,
    sent: u64,
    /// The links that are cut, from and to.
    cut: BTreeSet<(usize, usize)>,
    drop_percent: i64,
    asked: BTreeMap<u64, Asked>,
    checker: Checker,
    trace: Vec<String>,
}

fn directory_id(id: i32) -> Uuid {
    Uuid::from_u128(1_000 + id as u128)
}

fn endpoint(id: i32) -> Endpoint {
    Endpoint::new("CONTROLLER", "localhost", 9_000 + id as u16)
}

fn served_by(asked: &Asked) -> i32 {
    match asked.known_as {
        id if id >= 0 => id,
        // Bootstrap servers are the first voters, in order.
        number => -number - 1,
    }
}

impl Simulation {
    pub fn new(seed: u64, chaos: Chaos) -> Simulation {
        let mut simulation = Simulation {
            chaos,
            random: Random::new(seed),
            now_ms: 1_000,
            nodes: Vec::new(),
            network: BTreeMap::new(),
            sent: 0,
            cut: BTreeSet::new(),
            drop_percent: 0,
            asked: BTreeMap::new(),
            checker: Checker::default(),
            trace: Vec::new(),
        };
        let count = chaos.voters + chaos.observers + chaos.joiners;
        for id in 1..=count {
            let disk = SimulatedDisk::new(seed.wrapping_mul(31).wrapping_add(id as u64));
            let config = simulation.config(id, disk.path(), seed);
            simulation.format(id, disk.path());
            simulation.nodes.push(Node {
                id,
                config,
                disk,
                raft: None,
                incarnation: 0,
                paused_until_ms: 0,
                restart_ms: 0,
                applied: 0,
                last_epoch: 0,
            });
        }
        simulation
    }

    fn config(&self, id: i32, path: &Path, seed: u64) -> RaftConfig {
        let mut config = RaftConfig::new(id, directory_id(id), path);
        let voter_ids = 1..=self.chaos.voters;
        let voters = voter_ids.clone().map(|id| (id, "localhost".to_owned(), 9_000 + id as u16));
        if self.chaos.dynamic {
            config.bootstrap_servers = voters.map(|(_, host, port)| (host, port)).collect();
            config.quorum.auto_join = id > self.chaos.voters + self.chaos.observers;
        } else {
            config.static_voters = voters.collect();
        }
        config.can_become_voter = voter_ids.contains(&id) || config.quorum.auto_join;
        config.endpoints = if config.can_become_voter { vec![endpoint(id)] } else { Vec::new() };
        config.seed = seed ^ (id as u64) << 32;
        config.cluster_id = Some("simulated".to_owned());
        // Small, so that snapshots take the place of the log soon.
        config.log.segment_bytes = 2_000;
        config.log.retention_bytes = 3_000;
        config.quorum.fetch_max_bytes = 500;
        config.quorum.fetch_snapshot_max_bytes = 300;
        config
    }

    /// What formatting leaves of a dynamic quorum.
    fn format(&self, id: i32, path: &Path) {
        if !self.chaos.dynamic || id > self.chaos.voters {
            return;
        }
        let voters = (1..=self.chaos.voters).map(|id| VoterNode {
            key: ReplicaKey::new(id, directory_id(id)),
            endpoints: vec![endpoint(id)],
            supported_kraft_version: SupportedVersionRange::KRAFT_VERSION,
        });
        let options = SnapshotOptions {
            id: OffsetAndEpoch::BOOTSTRAP,
            last_contained_log_timestamp_ms: 0,
            kraft_version: 1,
            voters: Some(VoterSet::new(voters)),
        };
        let dir = path.join("__cluster_metadata-0");
        SnapshotWriter::create(&dir, &options, 0).unwrap().freeze(0).unwrap();
        io::fs::sync_dir(path).unwrap();
    }

    pub fn run(&mut self) {
        for index in 0..self.nodes.len() {
            self.start(index);
        }
        let end_of_faults = self.now_ms + FAULTS_MS;
        let end = end_of_faults + HEALED_MS;
        let mut next_fault_ms = self.now_ms + 500;
        let mut next_append_ms = self.now_ms;
        let mut is_healed = false;
        while self.now_ms < end {
            if self.now_ms >= end_of_faults && !is_healed {
                is_healed = true;
                self.heal();
            }
            if !is_healed && self.chaos.faults && self.now_ms >= next_fault_ms {
                self.fault();
                next_fault_ms = self.now_ms + 20 + self.random.below(500);
            }
            if self.now_ms >= next_append_ms && self.now_ms < end - 5_000 {
                self.append();
                next_append_ms = self.now_ms + 5 + self.random.below(60);
            }
            self.deliver();
            for index in 0..self.nodes.len() {
                self.tick(index);
            }
            self.now_ms = self.next_moment(next_append_ms.min(next_fault_ms)).min(end);
        }
        self.check_end();
    }

    fn next_moment(&self, planned_ms: i64) -> i64 {
        let mut next = planned_ms;
        if let Some(((at, _), _)) = self.network.first_key_value() {
            next = next.min(*at);
        }
        for node in &self.nodes {
            next = next.min(match &node.raft {
                Some(raft) => raft.next_poll_ms().max(node.paused_until_ms),
                None => node.restart_ms,
            });
        }
        next.max(self.now_ms + 1)
    }

    fn start(&mut self, index: usize) {
        let now_ms = self.now_ms;
        let node = &mut self.nodes[index];
        node.incarnation += 1;
        node.applied = 0;
        match RaftNode::open(node.config.clone(), now_ms) {
            Ok(raft) => node.raft = Some(raft),
            Err(error) if node.disk.is_halted() => {
                self.trace.push(format!("{now_ms} {} halts at its start: {error}", self.nodes[index].id));
                self.stop(index, true);
                return;
            }
            Err(error) => panic!("node {} does not start: {error}", node.id),
        }
        self.trace.push(format!("{now_ms} {} starts", self.nodes[index].id));
        self.step(index);
    }

    /// The process ends.
    fn stop(&mut self, index: usize, loses_power: bool) {
        let delay_ms = 10 + self.random.below(3_000);
        let node = &mut self.nodes[index];
        node.raft = None;
        node.restart_ms = self.now_ms + delay_ms;
        self.trace.push(format!("{} {} stops, power lost: {loses_power}", self.now_ms, node.id));
        if loses_power {
            node.disk.lose_power()
        } else {
            node.disk.kill()
        }
        // Connections end with the process: who waits for an answer hears of it.
        let (id, now_ms) = (node.id, self.now_ms);
        let waits = |(token, asked): (&u64, &Asked)| (served_by(asked) == id).then_some(*token);
        let waiting: Vec<u64> = self.asked.iter().filter_map(waits).collect();
        for token in waiting {
            if let Some(asked) = self.asked.remove(&token) {
                self.answer(asked, Err(RequestFailure::Unavailable), now_ms + 1);
            }
        }
    }

    fn tick(&mut self, index: usize) {
        let node = &self.nodes[index];
        match &node.raft {
            None if node.restart_ms <= self.now_ms => self.start(index),
            Some(raft) if node.paused_until_ms <= self.now_ms && raft.next_poll_ms() <= self.now_ms => {
                self.step(index);
            }
            _ => {}
        }
    }

    /// What the thread of a node does after each input.
    fn step(&mut self, index: usize) {
        if let Err(error) = self.try_step(index) {
            self.failed(index, &error);
        }
    }

    fn failed(&mut self, index: usize, error: &raft::RaftError) {
        let node = &self.nodes[index];
        assert!(node.disk.is_halted(), "node {} at {}: {error}", node.id, self.now_ms);
        self.stop(index, true);
    }

    fn try_step(&mut self, index: usize) -> Result<(), raft::RaftError> {
        let now_ms = self.now_ms;
        self.send_outputs(index)?;
        loop {
            let node = &mut self.nodes[index];
            let Some(raft) = &mut node.raft else { return Ok(()) };
            let events = raft.poll(now_ms)?;
            if events.is_empty() {
                break;
            }
            for event in events {
                match event {
                    RaftEvent::Commit(batch) => {
                        node.last_epoch = batch.epoch;
                        node.applied = self.checker.committed(node.id, node.applied, &batch);
                    }
                    RaftEvent::LoadSnapshot(reader) => {
                        node.last_epoch = reader.snapshot_id().epoch;
                        node.applied = self.checker.snapshot(node.id, node.applied, reader);
                    }
                    RaftEvent::LoadBootstrap(_) => {}
                    RaftEvent::LeaderChange(leader) => {
                        self.trace
                            .push(format!("{now_ms} {} hears {leader:?}, applied {}", node.id, node.applied));
                    }
                }
            }
            self.send_outputs(index)?;
        }
        let node = &self.nodes[index];
        if let Some(raft) = node.raft.as_ref().filter(|raft| raft.is_leader()) {
            self.checker.leads(node.id, raft.leader_and_epoch().epoch);
        }
        self.send_outputs(index)
    }

    fn send_outputs(&mut self, index: usize) -> Result<(), raft::RaftError> {
        let now_ms = self.now_ms;
        let incarnation = self.nodes[index].incarnation;
        let Some(raft) = &mut self.nodes[index].raft else { return Ok(()) };
        for output in raft.take_outputs(now_ms)? {
            match output {
                RaftOutput::Send { to, correlation_id, request } => {
                    let message = Message::Request { asker: index, incarnation, to, correlation_id, request };
                    self.post(message);
                }
                RaftOutput::Answer { token, response } => {
                    if let Some(asked) = self.asked.remove(&token) {
                        let from = index;
                        let at = now_ms + self.delay();
                        if !self.is_lost(from, asked.asker) {
                            self.answer(asked, Ok(response), at);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn delay(&mut self) -> i64 {
        match self.random.below(20) {
            0 => self.random.below(400),
            _ => 1 + self.random.below(5),
        }
    }

    fn is_lost(&mut self, from: usize, to: usize) -> bool {
        self.cut.contains(&(from, to)) || self.random.below(100) < self.drop_percent
    }

    fn post(&mut self, message: Message) {
        let at = self.now_ms + self.delay();
        self.sent += 1;
        self.network.insert((at, self.sent), message);
    }

    fn answer(&mut self, asked: Asked, result: Result<QuorumResponse, RequestFailure>, at: i64) {
        let Asked { asker, incarnation, known_as, correlation_id } = asked;
        self.sent += 1;
        let answer = Message::Answer { asker, incarnation, from: known_as, correlation_id, result };
        self.network.insert((at, self.sent), answer);
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.network.first_entry() {
            if entry.key().0 > self.now_ms {
                return;
            }
            match entry.remove() {
                Message::Request { asker, incarnation, to, correlation_id, request } => {
                    let known_as = to.id;
                    let index = usize::from(to.port) - 9_001;
                    let asked = Asked { asker, incarnation, known_as, correlation_id };
                    self.deliver_request(asked, index, request);
                }
                Message::Answer { asker, incarnation, from, correlation_id, result } => {
                    let now_ms = self.now_ms;
                    let node = &mut self.nodes[asker];
                    if node.incarnation != incarnation {
                        continue;
                    }
                    if node.paused_until_ms > now_ms {
                        let at = node.paused_until_ms;
                        self.answer(Asked { asker, incarnation, known_as: from, correlation_id }, result, at);
                        continue;
                    }
                    let Some(raft) = &mut node.raft else { continue };
                    match raft.handle(RaftInput::Response { from, correlation_id, result }, now_ms) {
                        Ok(()) => self.step(asker),
                        Err(error) => self.failed(asker, &error),
                    }
                }
            }
        }
    }

    fn deliver_request(&mut self, asked: Asked, index: usize, request: QuorumRequest) {
        if self.is_lost(asked.asker, index) {
            return;
        }
        let now_ms = self.now_ms;
        let node = &mut self.nodes[index];
        let Some(raft) = &mut node.raft else {
            let failure = match self.random.below(2) {
                0 => RequestFailure::Refused,
                _ => RequestFailure::Unavailable,
            };
            return self.answer(asked, Err(failure), now_ms + 1);
        };
        if node.paused_until_ms > now_ms {
            let (asker, incarnation, correlation_id) = (asked.asker, asked.incarnation, asked.correlation_id);
            let to =
                QuorumNode { id: asked.known_as, host: "localhost".to_owned(), port: 9_001 + index as u16 };
            self.sent += 1;
            let again = Message::Request { asker, incarnation, to, correlation_id, request };
            self.network.insert((node.paused_until_ms, self.sent), again);
            return;
        }
        self.sent += 1;
        let token = self.sent;
        self.asked.insert(token, asked);
        match raft.handle(RaftInput::Request { token, request }, now_ms) {
            Ok(()) => self.step(index),
            Err(error) => self.failed(index, &error),
        }
    }

    /// Every node that leads writes something.
    fn append(&mut self) {
        for index in 0..self.nodes.len() {
            let now_ms = self.now_ms;
            let node = &mut self.nodes[index];
            let Some(raft) = node.raft.as_mut().filter(|raft| raft.is_leader()) else { continue };
            if node.paused_until_ms > now_ms {
                continue;
            }
            let epoch = raft.leader_and_epoch().epoch;
            let count = 1 + self.random.below(3) as usize;
            let records: Vec<Vec<u8>> = (0..count).map(|_| self.checker.new_record(epoch)).collect();
            match raft.append(epoch, &records, now_ms) {
                // Sometimes it crashes between the write and the sync.
                Ok(_) if self.chaos.faults && self.random.below(400) == 0 => self.stop(index, true),
                Ok(_) => self.step(index),
                Err(error) => self.failed(index, &error),
            }
        }
    }

    fn any_node(&mut self) -> usize {
        self.random.below(self.nodes.len() as i64) as usize
    }

    fn fault(&mut self) {
        let index = self.any_node();
        let is_up = self.nodes[index].raft.is_some();
        match self.random.below(16) {
            0 | 1 if is_up => {
                let loses_power = self.random.below(2) == 0;
                self.stop(index, loses_power);
            }
            2 if is_up => {
                let changes = self.random.below(40) as u64;
                self.nodes[index].disk.halt_after(changes);
            }
            3 => self.nodes[index].paused_until_ms = self.now_ms + self.random.below(4_000),
            4 => self.drop_percent = self.random.below(30),
            5 => self.drop_percent = 0,
            6..=8 => {
                let other = self.any_node();
                self.cut.insert((index, other));
                if self.random.below(2) == 0 {
                    self.cut.insert((other, index));
                }
            }
            9 => {
                let count = self.nodes.len();
                self.cut.extend(
                    (0..count)
                        .filter(|other| *other != index)
                        .flat_map(|other| [(index, other), (other, index)]),
                );
            }
            10 | 11 => self.cut.clear(),
            12 if is_up => {
                if let Some(raft) = &mut self.nodes[index].raft {
                    raft.resign(raft.leader_and_epoch().epoch);
                }
                self.step(index);
            }
            13 | 14 if is_up => self.snapshot(index),
            15 if self.chaos.dynamic => self.remove_voter(index),
            _ => {}
        }
    }

    fn snapshot(&mut self, index: usize) {
        let now_ms = self.now_ms;
        let node = &mut self.nodes[index];
        let Some(raft) = node.raft.as_mut().filter(|_| node.applied > 0) else { return };
        let id = OffsetAndEpoch::new(node.applied, node.last_epoch);
        let records = self.checker.records_below(node.applied);
        // Everything older goes: who lags needs the snapshot.
        match raft.write_snapshot(id, now_ms, records, now_ms).and_then(|_| raft.clean(now_ms)) {
            Ok(()) => {}
            Err(raft::RaftError::InvalidSnapshotId { .. }) => {}
            Err(error) => self.failed(index, &error),
        }
    }

    /// Somebody removes a voter, by asking whoever leads.
    fn remove_voter(&mut self, index: usize) {
        let victim = self.any_node();
        let key = ReplicaKey::new(self.nodes[victim].id, directory_id(self.nodes[victim].id));
        let now_ms = self.now_ms;
        let Some(raft) = self.nodes[index].raft.as_mut() else { return };
        if !raft.is_leader() || raft.voters().len() < 3 {
            return;
        }
        let request = QuorumRequest::RemoveVoter { cluster_id: None, voter: Some(key) };
        match raft.handle(RaftInput::Request { token: 0, request }, now_ms) {
            Ok(()) => self.step(index),
            Err(error) => self.failed(index, &error),
        }
    }

    fn heal(&mut self) {
        self.cut.clear();
        self.drop_percent = 0;
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            node.paused_until_ms = 0;
            if node.raft.is_some() {
                node.disk.halt_after(u64::MAX);
            } else {
                node.restart_ms = self.now_ms;
            }
        }
    }

    fn check_end(&mut self) {
        let leaders: Vec<i32> = self
            .nodes
            .iter()
            .filter(|node| node.raft.as_ref().is_some_and(RaftNode::is_leader))
            .map(|node| node.id)
            .collect();
        assert_eq!(leaders.len(), 1, "leaders once all is well: {leaders:?}\n{}", self.trace.join("\n"));
        let leader = self.nodes.iter().find(|node| node.id == leaders[0]).and_then(|node| node.raft.as_ref());
        let end = leader.unwrap().log_end_offset();
        for node in &self.nodes {
            let raft = node.raft.as_ref().unwrap_or_else(|| panic!("{} is down", node.id));
            let state =
                (raft.state_name(), raft.leader_and_epoch(), raft.next_poll_ms(), raft.voters().voter_ids());
            assert_eq!(raft.log_end_offset(), end, "the log of {} at {}: {state:?}", node.id, self.now_ms);
            assert_eq!(raft.high_watermark(), Some(end), "what {} takes for committed", node.id);
            assert_eq!(node.applied, end, "what {} heard", node.id);
        }
        self.checker.end(end);
    }

    pub fn committed_records(&self) -> usize {
        self.checker.records_below(i64::MAX).len()
    }

    pub fn epochs(&self) -> usize {
        self.checker.epochs()
    }

    pub fn trace(&self) -> Vec<String> {
        let mut trace = self.trace.clone();
        trace.push(format!("{} messages, {} records", self.sent, self.committed_records()));
        trace
    }
}
