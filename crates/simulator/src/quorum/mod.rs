//! A quorum of three to seven controllers and brokers that watch: the real `RaftNode`s with their logs, snapshots and
//! `quorum-state`, on disks, clocks and connections that fail. One leader in an epoch, one vote of a voter in an epoch, what is
//! committed stays, high watermarks do not go back, all have the same metadata; and when everything works again, they go on.

mod check;
mod node;
mod planted;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use common::ErrorCode;
use io::SeededRandom;
use raft::{
    OffsetAndEpoch, QuorumRequest, QuorumResponse, RaftInput, RaftOutput, RequestFailure, ResponseBody,
};

use crate::fault::{Fault, Faults};
use crate::machine::{Trouble, flip, segments};
use crate::network::{Network, Outage};
use crate::planted::Planted;
use crate::run::{Counts, Run};
use crate::schedule::Schedule;
use crate::trace::Trace;
use check::Checker;
use node::{Node, Waiting};
use planted::UnwrittenVote;

/// How long things go wrong, in ms.
const FAULTS_MS: i64 = 20_000;
/// How long it may take until all is well again.
const HEALING_MS: i64 = 20_000;
/// Behind the last write, when all know of it.
const END_MS: i64 = FAULTS_MS + HEALING_MS + 3_000;

enum Event {
    Request { from: i32, to: i32, connection: u64, token: u64, request: QuorumRequest },
    Response { to: i32, token: u64, result: Box<Result<QuorumResponse, RequestFailure>> },
    Wake { node: i32, incarnation: u64 },
    Start { node: i32, incarnation: u64 },
    Client,
    Fault,
    Heal,
    LastWrite,
}

/// A request that waits for its answer.
struct Asked {
    by: i32,
    incarnation: u64,
    of: i32,
    connection: u64,
    correlation_id: u64,
    /// Of a vote: the epoch and the candidate.
    vote: Option<(i32, i32)>,
}

struct World {
    random: SeededRandom,
    trace: Arc<Trace>,
    planted: Option<Planted>,
    now_ms: i64,
    schedule: Schedule<Event>,
    network: Network,
    nodes: BTreeMap<i32, Node>,
    asked: BTreeMap<u64, Asked>,
    next_token: u64,
    next_value: u64,
    checker: Checker,
    faults: Faults,
    healed: bool,
}

pub(crate) fn run(run: &Run, trace: &Arc<Trace>) -> Result<Counts, String> {
    let mut random = SeededRandom::new(run.seed);
    let count = *random.pick(&[3, 3, 3, 5, 5, 7]).unwrap_or(&3);
    let voters: Vec<_> = (1..=count).map(|id| (id, format!("node-{id}"), 9093)).collect();
    let observers = random.below(3) as i32;
    let mut nodes = BTreeMap::new();
    for id in (1..=count).chain((0..observers).map(|index| 100 + index)) {
        nodes.insert(id, Node::new(id, id <= count, voters.clone(), &mut random));
    }
    let mut world = World {
        random,
        trace: Arc::clone(trace),
        planted: run.planted,
        now_ms: 0,
        schedule: Schedule::new(END_MS),
        network: Network::new(),
        nodes,
        asked: BTreeMap::new(),
        next_token: 0,
        next_value: 0,
        checker: Checker::default(),
        faults: Faults::default(),
        healed: false,
    };
    let ids: Vec<i32> = world.nodes.keys().copied().collect();
    for id in &ids {
        world.plant(*id);
        world.prepare(*id).map_err(|error| error.to_string())?;
        let after = world.random.below(500) as i64;
        world.schedule.at(after, Event::Start { node: *id, incarnation: 0 });
    }
    world.schedule.at(100, Event::Client);
    world.schedule.at(2000, Event::Fault);
    world.schedule.at(FAULTS_MS, Event::Heal);
    world.schedule.at(FAULTS_MS + HEALING_MS, Event::LastWrite);
    while let Some(event) = world.schedule.next(&mut world.now_ms) {
        world.happens(event)?;
    }
    world.look_at_the_end()?;
    world.network.count(&mut world.faults);
    world.nodes.values().for_each(|node| node.machine.count(&mut world.faults));
    Ok(Counts {
        acknowledged: world.checker.acknowledged,
        checks: world.checker.checks,
        faults: world.faults,
    })
}

impl World {
    /// The directory as formatting leaves it.
    fn prepare(&mut self, id: i32) -> std::io::Result<()> {
        let Some(node) = self.nodes.get(&id) else { return Ok(()) };
        io::fs::create_dir_all(node.data_dir())?;
        io::fs::sync_dir(node.machine.disk.path())
    }

    fn plant(&mut self, id: i32) {
        let Some(node) = self.nodes.get(&id) else { return };
        let name =
            |path: &std::path::Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match self.planted {
            Some(Planted::CommitBeforeSync) => {
                node.machine.disk.forget_syncs(move |path| name(path).ends_with(".log"))
            }
            Some(Planted::VoteBeforeSync) => {
                node.machine.disk.forget_syncs(move |path| name(path) == "__cluster_metadata-0")
            }
            _ => {}
        }
    }

    fn happens(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Request { from, to, connection, token, request } => {
                let Some(node) = self.nodes.get_mut(&to) else { return Ok(()) };
                if node.raft.is_none() {
                    self.fail(token, RequestFailure::Refused);
                    return Ok(());
                }
                if let Some(at_ms) = node.machine.busy_until(self.now_ms) {
                    self.schedule.at(at_ms, Event::Request { from, to, connection, token, request });
                    return Ok(());
                }
                if connection != self.network.connection(from, to) && self.random.chance(50) {
                    return Ok(());
                }
                self.trace.note(self.now_ms, format_args!("{from} asks {to}: {}", Described(&request)));
                self.take(to, RaftInput::Request { token, request })
            }
            Event::Response { to, token, result } => {
                let Some(asked) = self.asked.get(&token) else { return Ok(()) };
                let Some(node) = self.nodes.get_mut(&to) else { return Ok(()) };
                if asked.incarnation != node.incarnation || node.raft.is_none() {
                    self.asked.remove(&token);
                    return Ok(());
                }
                if let Some(at_ms) = node.machine.busy_until(self.now_ms) {
                    self.schedule.at(at_ms, Event::Response { to, token, result });
                    return Ok(());
                }
                let Some(Asked { of, correlation_id, .. }) = self.asked.remove(&token) else { return Ok(()) };
                self.take(to, RaftInput::Response { from: of, correlation_id, result: *result })
            }
            Event::Wake { node, incarnation } => self.wake(node, incarnation),
            Event::Start { node, incarnation } => self.start(node, incarnation),
            Event::Client => self.client(),
            Event::Fault => self.fault(),
            Event::Heal => self.heal(),
            Event::LastWrite => self.write(),
        }
    }

    fn wake(&mut self, id: i32, incarnation: u64) -> Result<(), String> {
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        if node.incarnation != incarnation || node.raft.is_none() {
            return Ok(());
        }
        if let Some(at_ms) = node.machine.busy_until(self.now_ms) {
            self.schedule.at(at_ms, Event::Wake { node: id, incarnation });
            return Ok(());
        }
        // Only if that is still its time: each step plans the next.
        let clock_ms = node.machine.clock_ms(self.now_ms);
        if node.raft.as_ref().is_some_and(|raft| raft.next_poll_ms() > clock_ms) {
            return Ok(());
        }
        self.step(id)
    }

    fn take(&mut self, id: i32, mut input: RaftInput) -> Result<(), String> {
        self.plant_input(&mut input);
        self.on_its_disk(id, |world| {
            let Some(node) = world.nodes.get_mut(&id) else { return Ok(()) };
            let clock_ms = node.machine.clock_ms(world.now_ms);
            let Some(raft) = &mut node.raft else { return Ok(()) };
            match raft.handle(input, clock_ms) {
                Ok(()) => world.goes_on(id),
                Err(error) => world.down(id, &error),
            }
        })
    }

    /// Lets a node do what it has to do, and sends what it has to say.
    fn step(&mut self, id: i32) -> Result<(), String> {
        self.on_its_disk(id, |world| world.goes_on(id))
    }

    /// A node does something, perhaps with a bug in what it does with its disk.
    fn on_its_disk(
        &mut self,
        id: i32,
        what: impl FnOnce(&mut World) -> Result<(), String>,
    ) -> Result<(), String> {
        let machine = self.nodes.get(&id).map(|node| &node.machine);
        let machine = machine.filter(|_| self.planted == Some(Planted::UnwrittenVote));
        let unwritten = machine.and_then(UnwrittenVote::plant);
        let done = what(self);
        if let Some((unwritten, node)) = unwritten.zip(self.nodes.get(&id)) {
            unwritten.end(&node.machine);
        }
        done?;
        self.nodes.get_mut(&id).map_or(Ok(()), Node::has_written_what_it_told)
    }

    fn goes_on(&mut self, id: i32) -> Result<(), String> {
        let mut ends = self.nodes.iter().map(|(id, node)| (*id, node.log_end())).collect();
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        node.machine.disk.set_now_ms(node.machine.clock_ms(self.now_ms));
        if let Err(error) = node.poll(self.now_ms, &mut ends, &mut self.checker)? {
            return self.down(id, &error);
        }
        let clock_ms = node.machine.clock_ms(self.now_ms);
        let snapshot = node.raft.as_ref().is_some_and(|raft| raft.snapshot_due(clock_ms).is_some());
        if snapshot && let Err(error) = node.write_snapshot(self.now_ms) {
            return self.down(id, &error);
        }
        let Some(raft) = &mut node.raft else { return Ok(()) };
        let outputs = match raft.take_outputs(clock_ms) {
            Ok(outputs) => outputs,
            Err(error) => return self.down(id, &error),
        };
        let wake_ms = raft.next_poll_ms();
        let epoch = raft.leader_and_epoch().epoch;
        if wake_ms < i64::MAX {
            let at_ms = node.machine.clock.when(wake_ms).max(self.now_ms + 1);
            self.schedule.at(at_ms, Event::Wake { node: id, incarnation: node.incarnation });
        }
        node.machine.takes_its_time(self.now_ms);
        if node.is_voter && !outputs.is_empty() {
            node.told_epoch = node.told_epoch.max(epoch);
        }
        outputs.into_iter().try_for_each(|output| self.send(id, output))
    }

    fn send(&mut self, id: i32, output: RaftOutput) -> Result<(), String> {
        match output {
            RaftOutput::Send { to, correlation_id, request } => {
                let to = to.id;
                let vote = match &request {
                    QuorumRequest::Vote { epoch, candidate, pre_vote: false, .. } => {
                        self.checker.votes(id, *epoch, id)?;
                        Some((*epoch, candidate.id))
                    }
                    _ => None,
                };
                let token = self.next_token;
                self.next_token += 1;
                let connection = self.network.connection(id, to);
                let incarnation = self.nodes.get(&id).map_or(0, |node| node.incarnation);
                let asked = Asked { by: id, incarnation, of: to, connection, correlation_id, vote };
                self.asked.insert(token, asked);
                match self.network.arrival(id, to, self.now_ms, &mut self.random) {
                    Some(at_ms) => {
                        self.schedule.at(at_ms, Event::Request { from: id, to, connection, token, request });
                    }
                    // Nobody tells the sender, or its system does after a while.
                    None if self.random.chance(50) => self.fail(token, RequestFailure::Unavailable),
                    None => {}
                }
            }
            RaftOutput::Answer { token, mut response } => {
                let Some(asked) = self.asked.get(&token) else { return Ok(()) };
                self.plant_answer(asked.vote, &mut response);
                if let (Some((epoch, candidate)), ResponseBody::Vote { granted: true }) =
                    (asked.vote, &response.body)
                {
                    self.checker.votes(id, epoch, candidate)?;
                }
                let (by, connection) = (asked.by, asked.connection);
                if connection != self.network.connection(by, id) {
                    return Ok(());
                }
                if let Some(at_ms) = self.network.arrival(id, by, self.now_ms, &mut self.random) {
                    self.schedule
                        .at(at_ms, Event::Response { to: by, token, result: Box::new(Ok(response)) });
                }
            }
        }
        Ok(())
    }

    /// The asker hears that there is no answer.
    fn fail(&mut self, token: u64, failure: RequestFailure) {
        let Some(asked) = self.asked.get(&token) else { return };
        let after_ms =
            if failure == RequestFailure::Refused { 1 } else { 500 } + self.random.below(20) as i64;
        let event = Event::Response { to: asked.by, token, result: Box::new(Err(failure)) };
        self.schedule.at(self.now_ms + after_ms, event);
    }

    /// Something that the node stands on refused: its process ends.
    fn down(&mut self, id: i32, error: &dyn std::fmt::Display) -> Result<(), String> {
        let expected = self
            .nodes
            .get(&id)
            .is_some_and(|node| node.machine.refuses() || node.machine.disk.damage().flipped_bits > 0);
        if !expected {
            return Err(format!("node {id}: {error}"));
        }
        self.crash(id);
        Ok(())
    }

    fn crash(&mut self, id: i32) {
        let loses_power = self.random.chance(50);
        let after_ms = 10 + self.random.below(4000) as i64;
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.stop();
        let how = node.machine.ends(loses_power);
        self.trace.note(self.now_ms, format_args!("{id} {how}"));
        if self.planted == Some(Planted::ForgottenEpoch) {
            let _ = io::fs::remove_file(node.data_dir().join("__cluster_metadata-0").join("quorum-state"));
        }
        let incarnation = node.incarnation;
        self.faults.add(Fault::Crash, 1);
        let others: Vec<i32> = self.nodes.keys().copied().filter(|other| *other != id).collect();
        for other in others {
            self.network.break_connection(id, other);
            self.network.break_connection(other, id);
        }
        let at_ms = self.now_ms + after_ms;
        self.schedule.at(at_ms, Event::Start { node: id, incarnation });
    }

    fn start(&mut self, id: i32, incarnation: u64) -> Result<(), String> {
        let seed = self.random.next_u64();
        let halts = !self.healed && self.random.chance(10);
        let changes = self.random.below(30);
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        if node.incarnation != incarnation || node.raft.is_some() {
            return Ok(());
        }
        if halts {
            node.machine.disk.halt_after(changes);
        }
        match node.start(seed, self.now_ms) {
            Ok(()) => {
                let epoch = node.raft.as_ref().map_or(0, |raft| raft.leader_and_epoch().epoch);
                self.trace.note(self.now_ms, format_args!("{id} starts in epoch {epoch}"));
                if node.is_voter && epoch < node.told_epoch {
                    return Err(format!("node {id} told of epoch {} and starts in {epoch}", node.told_epoch));
                }
                self.step(id)
            }
            Err(error) => self.down(id, &error),
        }
    }

    fn client(&mut self) -> Result<(), String> {
        if self.healed {
            return Ok(());
        }
        let next_ms = self.now_ms + 5 + self.random.below(60) as i64;
        self.schedule.at(next_ms, Event::Client);
        self.write()
    }

    /// Somebody writes to whoever believes to lead.
    fn write(&mut self) -> Result<(), String> {
        let mut leaders = Vec::new();
        for node in self.nodes.values_mut().filter(|node| node.active_epoch.is_some()) {
            leaders.extend(node.machine.busy_until(self.now_ms).is_none().then_some(node.id));
        }
        let Some(id) = self.random.pick(&leaders).copied() else { return Ok(()) };
        let key = self.random.below(10);
        self.next_value += 1;
        let value = self.next_value;
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        let clock_ms = node.machine.clock_ms(self.now_ms);
        let (Some(raft), Some(epoch)) = (&mut node.raft, node.active_epoch) else { return Ok(()) };
        let mut record = key.to_be_bytes().to_vec();
        record.extend(value.to_be_bytes());
        match raft.append(epoch, &[record], clock_ms) {
            Ok(offset) => {
                self.trace.note(
                    self.now_ms,
                    format_args!("{id} writes {key}={value} at {offset} in epoch {epoch}"),
                );
                node.waiting.push(Waiting { offset, epoch });
                self.step(id)
            }
            Err(raft::RaftError::NotLeader { .. }) => Ok(()),
            Err(error) => self.down(id, &error),
        }
    }

    fn fault(&mut self) -> Result<(), String> {
        if self.healed {
            return Ok(());
        }
        let next_ms = self.now_ms + 50 + self.random.below(1200) as i64;
        self.schedule.at(next_ms, Event::Fault);
        let ids: Vec<i32> = self.nodes.keys().copied().collect();
        let Some(one) = self.random.pick(&ids).copied() else { return Ok(()) };
        let random = &mut self.random;
        let what = match random.below(14) {
            0 | 1 => {
                if self.nodes.get(&one).is_some_and(|node| node.raft.is_some()) {
                    self.crash(one);
                }
                return Ok(());
            }
            2 => self.trouble(one, Trouble::Halt),
            3 => self.trouble(one, Trouble::Pause),
            4 => self.trouble(one, Trouble::SlowDisk),
            5 => self.trouble(one, Trouble::FullDisk),
            6 => self.network.fails(Outage::OneWay, &ids, random),
            7 => self.network.fails(Outage::Alone, &ids, random),
            8 => self.network.fails(Outage::Halves, &ids, random),
            9 => self.network.fails(Outage::Broken, &ids, random),
            10 => self.network.fails(Outage::Slow, &ids, random),
            11 => {
                self.nodes.values().for_each(|node| node.machine.has_room());
                "there is room on all disks".to_owned()
            }
            12 => match self.flip(one) {
                Some(what) => what,
                None => return Ok(()),
            },
            _ => {
                self.network.is_whole();
                "the network is whole".to_owned()
            }
        };
        self.trace.note(self.now_ms, format_args!("{what}"));
        Ok(())
    }

    /// A bit flips in the log of a node that only watches; a voter must keep what it said it has. Says where.
    fn flip(&mut self, id: i32) -> Option<String> {
        let node = self.nodes.get(&id).filter(|node| !node.is_voter)?;
        let files: Vec<PathBuf> = segments(&node.data_dir().join("__cluster_metadata-0"));
        let path = self.random.pick(&files)?;
        let (bit, offset) = flip(&node.machine.disk, path, 0, &mut self.random)?;
        Some(format!("bit {bit} of {id}'s batch at {offset} flips"))
    }

    fn trouble(&mut self, id: i32, trouble: Trouble) -> String {
        let Some(node) = self.nodes.get_mut(&id) else { return String::new() };
        format!("{id} {}", node.machine.fails(trouble, self.now_ms, &mut self.random))
    }

    fn heal(&mut self) -> Result<(), String> {
        self.healed = true;
        self.network.heal();
        self.nodes.values_mut().for_each(|node| node.machine.heal());
        self.trace.note(self.now_ms, format_args!("nothing fails any more"));
        Ok(())
    }

    fn look_at_the_end(&mut self) -> Result<(), String> {
        let leaders: Vec<i32> =
            self.nodes.values().filter(|node| node.active_epoch.is_some()).map(|node| node.id).collect();
        if leaders.len() != 1 {
            return Err(format!("when nothing fails any more, {leaders:?} lead"));
        }
        let end = self.checker.committed_end();
        if end < self.checker.acknowledged_end {
            return Err(format!("{} was acknowledged, {end} is committed", self.checker.acknowledged_end));
        }
        for node in self.nodes.values() {
            let heard = node.heard.map_or(0, |heard| heard.offset);
            if heard != end {
                return Err(format!(
                    "when nothing fails any more, {end} is committed and node {} knows of {heard}",
                    node.id
                ));
            }
        }
        let images: Vec<_> = self.nodes.values().map(|node| &node.image).collect();
        if images.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err("the metadata differ".to_owned());
        }
        if !images.iter().all(|image| image.0.values().any(|value| *value == self.next_value)) {
            return Err("when nothing fails any more, a write is not committed".to_owned());
        }
        Ok(())
    }

    /// Bugs on the way in.
    fn plant_input(&mut self, input: &mut RaftInput) {
        match (self.planted, input) {
            // Whatever a follower has counts as the leader's.
            (
                Some(Planted::SkippedTruncation),
                RaftInput::Request {
                    request: QuorumRequest::Fetch { last_fetched_epoch, current_leader_epoch, .. },
                    ..
                },
            ) => *last_fetched_epoch = *current_leader_epoch,
            // A follower takes all that it has for committed.
            (
                Some(Planted::EarlyHighWatermark),
                RaftInput::Response {
                    result:
                        Ok(QuorumResponse {
                            error: ErrorCode::None,
                            body: ResponseBody::Fetch { high_watermark: Some(high_watermark), .. },
                            ..
                        }),
                    ..
                },
            ) => *high_watermark += 2,
            _ => {}
        }
    }

    /// Bugs on the way out.
    fn plant_answer(&self, vote: Option<(i32, i32)>, response: &mut QuorumResponse) {
        if self.planted == Some(Planted::SecondVote)
            && vote.is_some()
            && response.error == ErrorCode::None
            && let ResponseBody::Vote { granted } = &mut response.body
        {
            *granted = true;
        }
    }
}

/// A request in few words.
struct Described<'a>(&'a QuorumRequest);

impl std::fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            QuorumRequest::Vote { epoch, log_end, pre_vote, .. } => {
                let OffsetAndEpoch { offset, epoch: last } = log_end;
                write!(
                    f,
                    "{} epoch {epoch}, log end {offset} of {last}",
                    if *pre_vote { "pre-vote" } else { "vote" }
                )
            }
            QuorumRequest::BeginQuorumEpoch { epoch, .. } => write!(f, "begin epoch {epoch}"),
            QuorumRequest::EndQuorumEpoch { epoch, .. } => write!(f, "end epoch {epoch}"),
            QuorumRequest::Fetch { current_leader_epoch, fetch_offset, last_fetched_epoch, .. } => {
                write!(f, "fetch {fetch_offset} of {last_fetched_epoch} in epoch {current_leader_epoch}")
            }
            QuorumRequest::FetchSnapshot { snapshot_id, position, .. } => {
                write!(f, "fetch snapshot {snapshot_id} from {position}")
            }
            _ => write!(f, "something else"),
        }
    }
}
