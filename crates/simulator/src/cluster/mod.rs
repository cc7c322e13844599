//! Whole clusters of three to seven nodes: on each the real metadata (raft, `QuorumController`, loader) and the real broker (replicas,
//! fetchers, logs, group coordinators), over disks, clocks and connections that fail. Topics come and go, voters are added and
//! removed, leaders and ISRs are what the controllers decide through raft. What was acknowledged stays, once and in its order;
//! images are equal; high watermarks do not go back; committed offsets stay; and when everything works again, all are in sync.

mod admin;
mod broker;
mod check;
mod clients;
mod damage;
mod faults;
mod in_sync;
mod life;
mod messages;
mod node;
mod planted;
mod serve;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use io::SeededRandom;
use raft::{QuorumResponse, RequestFailure};

use crate::fault::Faults;
use crate::network::Network;
use crate::planted::Planted;
use crate::run::{Counts, Run};
use crate::schedule::Schedule;
use crate::trace::Trace;
use admin::Admin;
use check::Checker;
use clients::{Committer, Producer};
use messages::{Ask, Told};
use node::{Node, Plan};
use serve::Answers;

/// How long things go wrong, in ms.
const FAULTS_MS: i64 = 15_000;
/// How long it may take until all is well again.
const HEALING_MS: i64 = 15_000;
/// From this number on, who asks is no node.
const CLIENTS: i32 = 1_000;
/// Who changes topics and voters.
const ADMIN: i32 = 999;

enum Event {
    Ask {
        number: u64,
        ask: Box<Ask>,
    },
    Told {
        number: u64,
        told: Box<Told>,
    },
    Wake {
        node: i32,
        incarnation: u64,
    },
    Tick {
        node: i32,
        incarnation: u64,
    },
    Start {
        node: i32,
        incarnation: u64,
    },
    Act(i32),
    ChangeTopics,
    ChangeVoters,
    Fault,
    /// Somebody looks after a broker of which bits have flipped.
    Repair {
        node: i32,
        by_hand: bool,
    },
    Heal,
    Quiet,
}

/// A request that waits for its answer.
#[derive(Clone)]
struct Call {
    from: i32,
    incarnation: u64,
    to: i32,
    connection: u64,
    /// Of the quorum's: whom raft asked, and its own number.
    correlation: Option<(i32, u64)>,
}

struct World {
    random: SeededRandom,
    trace: Arc<Trace>,
    planted: Option<Planted>,
    plan: Plan,
    now_ms: i64,
    schedule: Schedule<Event>,
    network: Network,
    nodes: BTreeMap<i32, Node>,
    calls: BTreeMap<u64, Call>,
    next_number: u64,
    next_value: u64,
    producers: Vec<Producer>,
    committers: Vec<Committer>,
    admin: Admin,
    answers: Answers,
    checker: Checker,
    faults: Faults,
    /// The node that lost what was not synced, where nothing is, until it has it again.
    suspect: Option<i32>,
    /// Bits of its logs have flipped, and still lie there.
    is_damaged: bool,
    healed: bool,
    quiet: bool,
}

pub(crate) fn run(run: &Run, trace: &Arc<Trace>) -> Result<Counts, String> {
    let mut world = World::new(run, trace);
    let ids: Vec<i32> = world.nodes.keys().copied().collect();
    for id in ids {
        if let Some(node) = world.nodes.get(&id) {
            node.format(&world.plan)?;
        }
        let at_ms = world.random.below(300) as i64;
        world.schedule.at(at_ms, Event::Start { node: id, incarnation: 0 });
    }
    let clients = (world.producers.len() + world.committers.len()) as i32;
    for client in 0..clients {
        world.schedule.at(1_000, Event::Act(CLIENTS + client));
    }
    world.schedule.at(500, Event::ChangeTopics);
    world.schedule.at(4_000, Event::ChangeVoters);
    world.schedule.at(4_000, Event::Fault);
    world.schedule.at(FAULTS_MS, Event::Heal);
    world.schedule.at(FAULTS_MS + HEALING_MS - 3_000, Event::Quiet);
    while let Some(event) = world.schedule.next(&mut world.now_ms) {
        world.happens(event)?;
    }
    world.look_at_the_end()?;
    world.network.count(&mut world.faults);
    world.nodes.values().for_each(|node| node.machine.count(&mut world.faults));
    Ok(Counts { acknowledged: world.checker.writes, checks: world.checker.checks, faults: world.faults })
}

impl World {
    fn new(run: &Run, trace: &Arc<Trace>) -> World {
        let mut random = SeededRandom::new(run.seed);
        let count = *random.pick(&[3, 3, 4, 4, 5, 6, 7]).unwrap_or(&3);
        let voters = if count >= 6 && random.chance(50) { 5 } else { 3 };
        let is_static = random.chance(25);
        let only_brokers: BTreeSet<i32> =
            (voters + 1..=count).filter(|_| random.chance(25) || is_static).collect();
        let plan = Plan {
            nodes: count,
            first_voters: (1..=voters).collect(),
            only_brokers,
            is_static,
            syncs: random.chance(60),
        };
        World {
            nodes: (1..=count).map(|id| (id, Node::new(id, &mut random))).collect(),
            producers: (0..3 + random.below(4) as i64).map(|index| Producer::new(500 + index)).collect(),
            committers: (0..2).map(Committer::new).collect(),
            random,
            trace: Arc::clone(trace),
            planted: run.planted,
            plan,
            now_ms: 0,
            schedule: Schedule::new(FAULTS_MS + HEALING_MS),
            network: Network::new(),
            calls: BTreeMap::new(),
            next_number: 0,
            next_value: 0,
            admin: Admin::default(),
            answers: Answers::default(),
            checker: Checker::new(),
            faults: Faults::default(),
            suspect: None,
            is_damaged: false,
            healed: false,
            quiet: false,
        }
    }

    fn happens(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Ask { number, ask } => self.arrives(number, ask),
            Event::Told { number, told } => self.told(number, told),
            Event::Wake { node, incarnation } => self.wake(node, incarnation),
            Event::Tick { node, incarnation } => self.tick(node, incarnation),
            Event::Start { node, incarnation } => self.start(node, incarnation),
            Event::Act(client) => {
                self.act(client);
                Ok(())
            }
            Event::ChangeTopics => {
                self.change_topics();
                Ok(())
            }
            Event::ChangeVoters => {
                self.change_voters();
                Ok(())
            }
            Event::Fault => {
                self.fault();
                Ok(())
            }
            Event::Repair { node, by_hand } => {
                self.repair(node, by_hand);
                Ok(())
            }
            Event::Heal => {
                self.heal();
                Ok(())
            }
            Event::Quiet => {
                self.quiet = true;
                Ok(())
            }
        }
    }

    /// Sends a request on its way.
    fn ask(&mut self, from: i32, to: i32, correlation: Option<(i32, u64)>, ask: Ask) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        let incarnation = self.nodes.get(&from).map_or(0, |node| node.incarnation);
        let connection = self.network.connection(from, to);
        self.calls.insert(number, Call { from, incarnation, to, connection, correlation });
        match self.network.arrival(from, to, self.now_ms, &mut self.random) {
            Some(at_ms) => self.schedule.at(at_ms, Event::Ask { number, ask: Box::new(ask) }),
            // Nobody tells the sender, or its system does after a while.
            None if self.random.chance(50) => self.fail(number, RequestFailure::Unavailable),
            None => {}
        }
        number
    }

    /// The asker hears that there is no answer; those that are not the quorum's find out by themselves.
    fn fail(&mut self, number: u64, failure: RequestFailure) {
        let Some(call) = self.calls.get(&number) else { return };
        if call.correlation.is_none() {
            return;
        }
        let after_ms =
            if failure == RequestFailure::Refused { 1 } else { 500 } + self.random.below(20) as i64;
        let told = Box::new(Told::Quorum(Err(failure)));
        self.schedule.at(self.now_ms + after_ms, Event::Told { number, told });
    }

    /// Sends an answer on its way.
    fn answer(&mut self, number: u64, told: Told) {
        let Some(call) = self.calls.get(&number) else { return };
        let (from, to) = (call.from, call.to);
        if call.connection != self.network.connection(from, to) {
            return;
        }
        if let Some(at_ms) = self.network.arrival(to, from, self.now_ms, &mut self.random) {
            self.schedule.at(at_ms, Event::Told { number, told: Box::new(told) });
        }
    }

    /// A request arrives.
    fn arrives(&mut self, number: u64, ask: Box<Ask>) -> Result<(), String> {
        let Some(call) = self.calls.get(&number).cloned() else { return Ok(()) };
        let Some(node) = self.nodes.get_mut(&call.to) else { return Ok(()) };
        if node.process.is_none() {
            self.fail(number, RequestFailure::Refused);
            return Ok(());
        }
        if let Some(at_ms) = node.machine.busy_until(self.now_ms) {
            self.schedule.at(at_ms, Event::Ask { number, ask });
            return Ok(());
        }
        if call.connection != self.network.connection(call.from, call.to) && self.random.chance(50) {
            return Ok(());
        }
        match *ask {
            Ask::Quorum(request) => self.quorum_asks(number, call.to, request),
            Ask::Controller(request) => self.decide(number, call.to, &request),
            ask => self.serve(number, &call, ask),
        }
    }

    /// An answer arrives.
    fn told(&mut self, number: u64, told: Box<Told>) -> Result<(), String> {
        let Some(call) = self.calls.get(&number) else { return Ok(()) };
        if let Some(node) = self.nodes.get_mut(&call.from) {
            if call.incarnation != node.incarnation || node.process.is_none() {
                self.calls.remove(&number);
                return Ok(());
            }
            if let Some(at_ms) = node.machine.busy_until(self.now_ms) {
                self.schedule.at(at_ms, Event::Told { number, told });
                return Ok(());
            }
        }
        let Some(call) = self.calls.remove(&number) else { return Ok(()) };
        match call.from {
            ADMIN => self.admin_hears(number, *told),
            client if client >= CLIENTS => self.client_hears(client, number, *told),
            node => self.node_hears(node, number, &call, *told),
        }
    }

    /// Bugs on the way out of raft.
    fn plant_answer(&self, response: &mut QuorumResponse) {
        if self.planted == Some(Planted::EarlyMetadata)
            && let raft::ResponseBody::Fetch { high_watermark: Some(high_watermark), .. } = &mut response.body
        {
            // What a follower gets counts as committed.
            *high_watermark += 3;
        }
    }

    fn look_at_the_end(&mut self) -> Result<(), String> {
        let mut leaders = Vec::new();
        let mut brokers = BTreeMap::new();
        let mut voters = None;
        for (id, node) in &self.nodes {
            let Some(process) = &node.process else { return Err(format!("node {id} is not there")) };
            if process.metadata.leads() {
                leaders.push(*id);
                voters = Some(process.metadata.raft().voters().clone());
            }
            let Some(broker) = &process.broker else { return Err(format!("broker {id} is not there")) };
            if process.life.is_fenced {
                return Err(format!("when nothing fails any more, broker {id} is fenced"));
            }
            brokers.insert(*id, broker);
        }
        let (&[_], Some(voters)) = (&leaders[..], voters) else {
            return Err(format!("when nothing fails any more, {leaders:?} lead the quorum"));
        };
        for (id, node) in &self.nodes {
            let known = node.process.as_ref().map(|process| process.metadata.raft().voters());
            // Who only watches a static quorum has its voters from the configuration.
            if known != Some(&voters) {
                return Err(format!("when nothing fails any more, node {id} takes {known:?} for voters"));
            }
        }
        for (key, state) in &self.checker.voters {
            if state.is_some_and(|is_voter| is_voter != voters.is_voter(key)) {
                return Err(format!("{key} was made a voter, or none, and the voters are {voters:?}"));
            }
        }
        // What is wrong with the logs, before those who wait because of that.
        self.checker.look_at_the_end(&brokers)?;
        match self.producers.iter().find(|producer| producer.batch.is_some()) {
            Some(producer) => Err(format!("when nothing fails any more, {producer:?} waits")),
            None => Ok(()),
        }
    }
}
