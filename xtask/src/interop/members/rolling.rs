//! Ten members join, leave, crash and come back, and the whole group moves from the classic protocol to KIP-848 and back, while
//! records come in: every record is read, no partition has two owners, and each time it is left alone the group settles.

use super::{BROKER, Client, Group, Protocol, ends};
use crate::interop::broker::Node;
use crate::interop::chance::Chance;
use crate::interop::report::Report;
use crate::interop::{World, program, toolbox};
use std::time::{Duration, Instant};

/// A crashed member is noticed after its session; a member that must give up partitions may take a while.
const SETTLES_WITHIN: Duration = Duration::from_secs(45);
/// A little more than the members' session timeout.
const SESSION: Duration = Duration::from_millis(7_500);

struct Size {
    members: usize,
    partitions: u32,
    /// How long the group speaks each of its protocols.
    turns: &'static [(Protocol, Duration)],
    /// Joins, leaves and crashes between two looks at whether it settles.
    round: usize,
    pause: Duration,
    /// Records in a second.
    rate: u64,
}

const FULL: Size = Size {
    members: 10,
    partitions: 24,
    turns: &[
        (Protocol::Classic("range"), Duration::from_secs(90)),
        (Protocol::Consumer, Duration::from_secs(110)),
        (Protocol::Classic("cooperative-sticky"), Duration::from_secs(100)),
    ],
    round: 8,
    pause: Duration::from_millis(1500),
    rate: 1000,
};

const SMOKE: Size = Size {
    members: 4,
    partitions: 8,
    turns: &[
        (Protocol::Classic("range"), Duration::from_secs(1)),
        (Protocol::Consumer, Duration::from_secs(1)),
    ],
    round: 3,
    pause: Duration::from_millis(500),
    rate: 500,
};

/// Runs the case.
pub fn run(world: &World, report: &mut Report) -> Result<(), String> {
    let size = if world.smoke { SMOKE } else { FULL };
    let node = Node::new(world, "rolling", BROKER)?;
    let broker = node.start(world)?;
    let mut group = Group::new(world, &node.dir, &broker.bootstrap(), "rolling", size.partitions)?;

    let seconds: u64 = size.turns.iter().map(|(_, time)| time.as_secs()).sum();
    let count = size.rate * (seconds + 10);
    let mut load = toolbox::python(world, "crash/load.py")?;
    load.args([&broker.bootstrap(), group.topic()]);
    load.args([count, size.rate, u64::from(size.partitions)].map(|number| number.to_string()));
    let load = program::start(&mut load, &node.dir, "load", None)?;

    let mut rolling = Rolling { size: &size, chance: Chance(world.seed), gone: Vec::new(), counts: [0; 3] };
    for (turn, (protocol, time)) in size.turns.iter().enumerate() {
        if turn == 0 {
            for slot in 0..size.members {
                rolling.join(&mut group, Seat::of(slot), *protocol)?;
            }
            report.check("they gather", group.settle(SETTLES_WITHIN).map(in_words));
        } else {
            let mut moves = |group: &mut Group<'_>| {
                rolling.move_to(group, *protocol).and_then(|()| group.settle(SETTLES_WITHIN))
            };
            let moved = match protocol {
                // When the last member of KIP-848 goes, the generation is the group's epoch: a classic member that had not
                // come so far finds its own illegal, counts its partitions as lost, and joins again.
                Protocol::Classic(_) => group.excused(moves),
                Protocol::Consumer => moves(&mut group),
            };
            report.check(&format!("they move to {}", name(*protocol)), moved.map(in_words));
        }
        let until = Instant::now() + *time;
        let mut slowest = Duration::ZERO;
        let mut rounds = 0;
        rolling.counts = [0; 3];
        let result = loop {
            match rolling.round(&mut group, *protocol).and_then(|()| group.settle(SETTLES_WITHIN)) {
                Ok(settled) => slowest = slowest.max(settled),
                Err(error) => break Err(error),
            }
            rounds += 1;
            if Instant::now() > until {
                let [joined, left, killed] = rolling.counts;
                break Ok(format!(
                    "{joined} joined, {left} left, {killed} killed; settled {rounds} times, within {}",
                    in_words(slowest)
                ));
            }
        };
        report.check(&format!("{} lives through a coming and going", name(*protocol)), result);
    }

    let loaded = load.wait(Duration::from_secs(600));
    loaded.good()?;
    let ends = ends(&crate::project::read(&loaded.out)?);
    report.check(
        "they read to the end",
        group.catch_up(&ends, Duration::from_secs(60)).map(|()| format!("{count} records")),
    );
    report.check("every record is read, no partition has two owners", group.end(&ends));
    drop(group);
    broker.stop()
}

fn name(protocol: Protocol) -> String {
    match protocol {
        Protocol::Classic(assignor) => format!("the classic protocol ({assignor})"),
        Protocol::Consumer => "the consumer protocol".to_owned(),
    }
}

fn in_words(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// A place in the group: the Java client's, librdkafka's, and milena's own in turns, and the first of each is static.
#[derive(Clone, Copy)]
struct Seat {
    client: Client,
    instance: Option<&'static str>,
}

impl Seat {
    fn of(slot: usize) -> Seat {
        let client = [Client::Java, Client::Librdkafka, Client::Milena][slot % 3];
        let instance = match slot {
            0 => Some("static-java"),
            1 => Some("static-librdkafka"),
            2 => Some("static-milena"),
            _ => None,
        };
        Seat { client, instance }
    }
}

struct Rolling<'a> {
    size: &'a Size,
    chance: Chance,
    /// Seats that are free, and from when on they may be taken.
    gone: Vec<(Seat, Instant)>,
    /// Joined, left, killed.
    counts: [usize; 3],
}

impl Rolling<'_> {
    fn join(&mut self, group: &mut Group<'_>, seat: Seat, protocol: Protocol) -> Result<(), String> {
        self.counts[0] += 1;
        group.join(seat.client, protocol, seat.instance).map(drop)
    }

    /// Comings and goings; at the end every seat is taken.
    fn round(&mut self, group: &mut Group<'_>, protocol: Protocol) -> Result<(), String> {
        for step in 0..self.size.round {
            let free = self.gone.len();
            // The first two of a round are a crash and a leave.
            let back = step >= 2 && free > 0 && (free > self.size.members / 2 || self.chance.below(3) == 0);
            if back {
                let place = self.chance.below(free);
                let seat = self.gone.swap_remove(place);
                self.come_back(group, seat, protocol)?;
            } else {
                let members = group.members();
                let name = &members[self.chance.below(members.len())];
                let seat = group.seat(name)?;
                let now = Instant::now();
                if step == 0 || step > 1 && self.chance.below(2) == 0 {
                    self.counts[2] += 1;
                    group.kill(name)?;
                    // The id of a static member of KIP-848 that crashed is free when its session is over.
                    let held = seat.instance.is_some() && protocol == Protocol::Consumer;
                    self.gone.push((seat, now + if held { SESSION } else { Duration::ZERO }));
                } else {
                    self.counts[1] += 1;
                    group.leave(name)?;
                    self.gone.push((seat, now));
                }
            }
            std::thread::sleep(self.size.pause);
        }
        while let Some(seat) = self.gone.pop() {
            self.come_back(group, seat, protocol)?;
        }
        Ok(())
    }

    fn come_back(
        &mut self,
        group: &mut Group<'_>,
        (seat, from): (Seat, Instant),
        protocol: Protocol,
    ) -> Result<(), String> {
        std::thread::sleep(from.saturating_duration_since(Instant::now()));
        self.join(group, seat, protocol)
    }

    /// One after the other leaves and comes back with the other protocol.
    fn move_to(&mut self, group: &mut Group<'_>, protocol: Protocol) -> Result<(), String> {
        for name in group.members() {
            let seat = group.seat(&name)?;
            group.leave(&name)?;
            self.join(group, seat, protocol)?;
            std::thread::sleep(self.size.pause);
        }
        Ok(())
    }
}

impl Group<'_> {
    /// The seat of a member that is there.
    fn seat(&self, name: &str) -> Result<Seat, String> {
        let member = self.living.iter().find(|member| member.name == name);
        let member = member.ok_or_else(|| format!("{name} is not there"))?;
        Ok(Seat { client: member.client, instance: member.instance })
    }
}
