//! The group coordinators of one broker over their log: an offset whose commit was answered is there after every crash, no partition
//! is read by two members at once, groups come back with their members, and settle when nothing fails any more.

mod broker;
mod clients;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::ErrorCode;
use io::SeededRandom;
use metadata::MetadataImage;
use parking_lot::Mutex;

use crate::fault::Fault;
use crate::machine::{Clock, Machine, Trouble, format};
use crate::network::{Network, Outage};
use crate::offsets::{self, context};
use crate::planted::Planted;
use crate::run::{Counts, Run};
use crate::schedule::Schedule;
use crate::trace::Trace;
use broker::Broker;
use clients::{Ask, Client, Kind, PARTITIONS, Told, WORDS};

/// How long things go wrong, in ms.
const FAULTS_MS: i64 = 240_000;
/// How long groups may take to settle.
const SETTLING_MS: i64 = 150_000;

enum Event {
    /// A client does something.
    Act(usize),
    /// A request arrives.
    Ask {
        client: usize,
        number: u64,
        ask: Box<Ask>,
    },
    /// An answer arrives.
    Told {
        client: usize,
        number: u64,
        sent_ms: i64,
        told: Box<Told>,
    },
    /// The broker's timers, syncs and checks.
    Tick,
    Start,
    Fault,
    Heal,
}

/// The broker's number in the network.
const BROKER: i32 = 0;

/// A client's number in the network.
fn node_of(client: usize) -> i32 {
    1 + client as i32
}

/// An answer on its way out: the client, the number of the request, the answer.
type Answers = Arc<Mutex<Vec<(usize, u64, Told)>>>;

/// What became of the commits to one partition of a group.
#[derive(Debug, Default)]
struct Committed {
    acknowledged: i64,
    /// Sent and not refused: any of them may be there.
    sent: Vec<i64>,
}

struct World {
    random: SeededRandom,
    trace: Arc<Trace>,
    planted: Option<Planted>,
    now_ms: i64,
    schedule: Schedule<Event>,
    network: Network,
    machine: Machine,
    survives_power_loss: bool,
    image: Arc<MetadataImage>,
    broker: Option<Broker>,
    clients: Vec<Client>,
    answers: Answers,
    /// When each request was sent that is not answered.
    sent: BTreeMap<u64, i64>,
    next_number: u64,
    next_offset: i64,
    commits: BTreeMap<(String, i32), Committed>,
    counts: Counts,
    healed: bool,
}

pub(crate) fn run(run: &Run, trace: &Arc<Trace>) -> Result<Counts, String> {
    let mut random = SeededRandom::new(run.seed);
    let machine = Machine::new(Clock::new(&mut random, 100, 1), &mut random);
    format(&machine.disk, 1)?;
    let mut clients = Vec::new();
    for index in 0..1 + random.below(3) {
        clients.push(Client::new(Kind::Committer, &format!("alone-{index}"), ""));
    }
    for _ in 0..random.below(4) {
        clients.push(Client::new(Kind::Classic, "classic", ""));
    }
    for index in 0..1 + random.below(4) {
        clients.push(Client::new(Kind::Consumer, "consumer", &format!("member{index}")));
    }
    let survives_power_loss = random.chance(60);
    let mut world = World {
        random,
        trace: Arc::clone(trace),
        planted: run.planted,
        now_ms: 0,
        schedule: Schedule::new(FAULTS_MS + SETTLING_MS),
        network: Network::new(),
        machine,
        survives_power_loss,
        image: broker::image()?,
        broker: None,
        clients,
        answers: Answers::default(),
        sent: BTreeMap::new(),
        next_number: 0,
        next_offset: 0,
        commits: BTreeMap::new(),
        counts: Counts::default(),
        healed: false,
    };
    for client in 0..world.clients.len() {
        world.schedule.at(client as i64, Event::Act(client));
    }
    world.schedule.at(0, Event::Start);
    world.schedule.at(5, Event::Tick);
    world.schedule.at(10_000, Event::Fault);
    world.schedule.at(FAULTS_MS, Event::Heal);
    while let Some(event) = world.schedule.next(&mut world.now_ms) {
        world.happens(event)?;
    }
    world.look_at_the_end()?;
    world.network.count(&mut world.counts.faults);
    world.machine.count(&mut world.counts.faults);
    Ok(world.counts)
}

impl World {
    fn clock_ms(&self) -> i64 {
        self.machine.clock_ms(self.now_ms)
    }

    fn happens(&mut self, event: Event) -> Result<(), String> {
        if self.broker.is_some()
            && matches!(event, Event::Ask { .. } | Event::Tick)
            && let Some(at_ms) = self.machine.busy_until(self.now_ms)
        {
            self.schedule.at(at_ms, event);
            return Ok(());
        }
        match event {
            Event::Act(client) => self.act(client),
            Event::Ask { client, number, ask } => self.ask(client, number, *ask),
            Event::Told { client, number, sent_ms, told } => self.told(client, number, sent_ms, *told)?,
            Event::Tick => {
                let next_ms = self.now_ms + 20 + self.random.below(150) as i64;
                self.schedule.at(next_ms, Event::Tick);
                self.tick();
            }
            Event::Start => self.start()?,
            Event::Fault => self.fault(),
            Event::Heal => {
                self.healed = true;
                self.network.heal();
                self.machine.heal();
                self.trace.note(self.now_ms, format_args!("nothing fails any more"));
            }
        }
        self.machine.takes_its_time(self.now_ms);
        self.send_answers();
        if self.broker.as_ref().is_some_and(|broker| broker.failed.load(Ordering::Relaxed))
            || self.machine.disk.is_halted()
        {
            self.crash();
        }
        self.owners_are_alone()
    }

    fn act(&mut self, index: usize) {
        let pause_ms = if self.clients[index].kind == Kind::Committer { 3000 } else { 2000 };
        let next_ms = self.now_ms + 100 + self.random.below(pause_ms) as i64;
        self.schedule.at(next_ms, Event::Act(index));
        if !self.healed && self.random.chance(1) && self.clients[index].kind != Kind::Committer {
            self.clients[index].crash();
            self.trace.note(self.now_ms, format_args!("client {index} begins anew"));
            return;
        }
        let now_ms = self.now_ms;
        let client = &mut self.clients[index];
        if let Some((_, since_ms)) = client.asked {
            if now_ms - since_ms < client.patience_ms() {
                return;
            }
            client.asked = None;
        }
        let owned: Vec<i32> = match client.kind {
            Kind::Committer => (0..PARTITIONS).collect(),
            // Nobody has confirmed for so long that it is a member: it may be none, and reads nothing until it is told.
            _ if client.alive_until_ms < now_ms => Vec::new(),
            _ => client.owned.iter().copied().collect(),
        };
        let commits = client.kind == Kind::Committer || self.random.chance(40);
        let ask = match self.random.pick(&owned) {
            Some(partition) if commits => {
                self.next_offset += 1;
                let client = &self.clients[index];
                let place = (client.group.clone(), *partition);
                self.commits.entry(place).or_default().sent.push(self.next_offset);
                Some(client.commit(*partition, self.next_offset))
            }
            _ => self.clients[index].next(),
        };
        let Some(ask) = ask else { return };
        let number = self.next_number;
        self.next_number += 1;
        self.clients[index].asked = Some((number, now_ms));
        self.sent.insert(number, now_ms);
        // One at a time and with patience: what is sent later never arrives before.
        if let Some(at_ms) = self.network.arrival(node_of(index), BROKER, now_ms, &mut self.random) {
            self.schedule.at(at_ms, Event::Ask { client: index, number, ask: Box::new(ask) });
        }
    }

    fn ask(&mut self, client: usize, number: u64, ask: Ask) {
        let clock_ms = self.clock_ms();
        let Some(broker) = &self.broker else { return };
        let name = format!("client-{client}");
        let context = |api_version| context(api_version, &name);
        let answers = Arc::clone(&self.answers);
        let coordinator = &broker.coordinator;
        match ask {
            Ask::Commit { partition, offset, request } => {
                offsets::commit(coordinator, &name, request, &self.image, clock_ms, move |error| {
                    answers.lock().push((client, number, Told::Commit { partition, offset, error }));
                });
            }
            Ask::Beat(request) => coordinator.consumer_group_heartbeat(
                &context(1),
                request,
                clock_ms,
                Box::new(move |response| answers.lock().push((client, number, Told::Beat(response)))),
            ),
            Ask::Join(request) => coordinator.join_group(
                &context(9),
                request,
                clock_ms,
                Box::new(move |response| answers.lock().push((client, number, Told::Join(response)))),
            ),
            Ask::Sync(request) => coordinator.sync_group(
                &context(5),
                request,
                clock_ms,
                Box::new(move |response| answers.lock().push((client, number, Told::Sync(response)))),
            ),
            Ask::ClassicBeat(request) => coordinator.heartbeat(
                &context(4),
                request,
                clock_ms,
                Box::new(move |response| {
                    let error = ErrorCode::from_code(response.error_code);
                    answers.lock().push((client, number, Told::ClassicBeat(error)));
                }),
            ),
        }
    }

    fn send_answers(&mut self) {
        for (client, number, told) in std::mem::take(&mut *self.answers.lock()) {
            let Some(sent_ms) = self.sent.remove(&number) else { continue };
            let (way, now_ms) = (node_of(client), self.now_ms);
            if let Some(at_ms) = self.network.arrival(BROKER, way, now_ms, &mut self.random) {
                self.schedule.at(at_ms, Event::Told { client, number, sent_ms, told: Box::new(told) });
            }
        }
    }

    fn told(&mut self, index: usize, number: u64, sent_ms: i64, told: Told) -> Result<(), String> {
        let client = &mut self.clients[index];
        if client.asked.is_none_or(|(asked, _)| asked != number) {
            // It asks again already, or is another now.
            return Ok(());
        }
        client.asked = None;
        client.hear(&told, sent_ms);
        let (group, owned, epoch) = (client.group.clone(), client.owned.clone(), client.epoch);
        if let Told::Commit { partition, offset, error } = told {
            let committed = self.commits.entry((group.clone(), partition)).or_default();
            match error {
                ErrorCode::None => {
                    committed.acknowledged = committed.acknowledged.max(offset);
                    self.counts.acknowledged += 1;
                }
                // It may have been written.
                ErrorCode::CoordinatorNotAvailable
                | ErrorCode::NotCoordinator
                | ErrorCode::RequestTimedOut => {}
                _ => committed.sent.retain(|sent| *sent != offset),
            }
            self.trace.note(
                self.now_ms,
                format_args!("{index} committed {offset} for {group}-{partition}: {error:?}"),
            );
        } else {
            self.trace.note(self.now_ms, format_args!("{index} of {group} in {epoch} reads {owned:?}"));
        }
        Ok(())
    }

    fn tick(&mut self) {
        let clock_ms = self.clock_ms();
        let cleans = self.random.chance(3);
        let Some(broker) = &self.broker else { return };
        if broker.coordinator.next_deadline().is_some_and(|deadline_ms| deadline_ms <= clock_ms) {
            broker.coordinator.expire(clock_ms);
        }
        if self.survives_power_loss {
            broker.commit(clock_ms);
        }
        if cleans && broker.housekeeping(clock_ms) {
            self.trace.note(self.now_ms, format_args!("compacted"));
        }
    }

    fn fault(&mut self) {
        if self.healed {
            return;
        }
        let next_ms = self.now_ms + 2000 + self.random.below(30_000) as i64;
        self.schedule.at(next_ms, Event::Fault);
        let ids: Vec<i32> = std::iter::once(BROKER).chain((0..self.clients.len()).map(node_of)).collect();
        let (random, now_ms) = (&mut self.random, self.now_ms);
        let what = match random.below(14) {
            0..3 => self.machine.fails(Trouble::Halt, now_ms, random),
            3..6 => {
                if self.broker.is_some() {
                    self.crash();
                }
                return;
            }
            6 => self.machine.fails(Trouble::Pause, now_ms, random),
            7 => self.machine.fails(Trouble::SlowDisk, now_ms, random),
            8 => self.machine.fails(Trouble::FullDisk, now_ms, random),
            9 => self.network.fails(Outage::OneWay, &ids, random),
            10 => self.network.fails(Outage::Alone, &ids, random),
            11 => self.network.fails(Outage::Slow, &ids, random),
            _ => {
                self.network.is_whole();
                self.machine.has_room();
                "the network is whole, and there is room on the disk".to_owned()
            }
        };
        self.trace.note(self.now_ms, format_args!("{what}"));
    }

    fn crash(&mut self) {
        self.broker = None;
        self.answers.lock().clear();
        self.counts.faults.add(Fault::Crash, 1);
        let how = self.machine.ends(self.survives_power_loss && self.random.chance(60));
        self.trace.note(self.now_ms, format_args!("the broker {how}"));
        let at_ms = self.now_ms + 50 + self.random.below(8000) as i64;
        self.schedule.at(at_ms, Event::Start);
    }

    fn start(&mut self) -> Result<(), String> {
        if self.broker.is_some() {
            return Ok(());
        }
        let disk = self.machine.disk.clone();
        disk.halt_after(match !self.healed && self.random.chance(10) {
            true => self.random.below(60),
            false => u64::MAX,
        });
        let first_id = self.random.next_u64();
        let clock_ms = self.clock_ms();
        match Broker::start(&disk, &self.image, self.survives_power_loss, self.planted, first_id, clock_ms) {
            Ok(broker) => {
                self.broker = Some(broker);
                self.trace.note(self.now_ms, format_args!("the broker is there"));
                if !disk.is_halted() {
                    self.offsets_are_there()?;
                }
                Ok(())
            }
            Err(_) if self.machine.refuses() => {
                self.crash();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// What was acknowledged can be fetched, or what was committed behind it.
    fn offsets_are_there(&mut self) -> Result<(), String> {
        let clock_ms = self.clock_ms();
        let Some(broker) = &self.broker else { return Ok(()) };
        for ((group, partition), committed) in &mut self.commits {
            let found = Arc::new(Mutex::new(None));
            let place = Arc::clone(&found);
            let reply = move |offset| *place.lock() = Some(offset);
            let groups = &broker.coordinator;
            offsets::committed(groups, group, (WORDS, *partition), &self.image, clock_ms, reply);
            let Some(found) = found.lock().take() else {
                return Err(format!("the offset of {group}-{partition} is not answered behind a start"));
            };
            let offset =
                found.map_err(|error| format!("the offset of {group}-{partition} is refused: {error:?}"))?;
            self.counts.checks += 1;
            let known = offset == committed.acknowledged
                || offset > committed.acknowledged && committed.sent.contains(&offset)
                || offset == -1 && committed.acknowledged == 0;
            if !known {
                return Err(format!(
                    "{group}-{partition} is at {offset} behind a start, {} was acknowledged",
                    committed.acknowledged
                ));
            }
            if offset >= 0 {
                // It was read: it stays.
                committed.acknowledged = offset;
            }
            // What has not arrived by now can still come.
            committed.sent.retain(|sent| *sent > offset);
        }
        Ok(())
    }

    /// No partition is read by two members that may believe to be members.
    fn owners_are_alone(&mut self) -> Result<(), String> {
        let mut owners: BTreeMap<(&str, i32), usize> = BTreeMap::new();
        for (index, client) in self.clients.iter().enumerate() {
            if client.kind == Kind::Committer || client.alive_until_ms < self.now_ms {
                continue;
            }
            for partition in &client.owned {
                if let Some(other) = owners.insert((&client.group, *partition), index) {
                    return Err(format!(
                        "members {other} and {index} of {} both read {partition}",
                        client.group
                    ));
                }
            }
        }
        Ok(())
    }

    fn look_at_the_end(&mut self) -> Result<(), String> {
        if self.broker.is_none() {
            return Err("the broker is not there".to_owned());
        }
        if self.survives_power_loss {
            self.tick();
        }
        self.offsets_are_there()?;
        for (kind, group) in [(Kind::Classic, "classic"), (Kind::Consumer, "consumer")] {
            let members: Vec<_> = self.clients.iter().filter(|client| client.kind == kind).collect();
            let owned: usize = members.iter().map(|client| client.owned.len()).sum();
            if !members.is_empty() && owned != PARTITIONS as usize {
                let owned: Vec<_> = members.iter().map(|client| &client.owned).collect();
                return Err(format!("{group} has not settled: {owned:?}"));
            }
        }
        Ok(())
    }
}
