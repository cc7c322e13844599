//! Members of consumer groups (KIP-848), each on a connection of its own, driven by one thread. They do what Kafka's own
//! consumer does: a heartbeat each interval, as the last answer said it, and one at once when an assignment has been taken over.
//!
//! Every answer is checked: no error, and no partition that another member of the group still has.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    ops::Range,
    time::{Duration, Instant},
};

use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
    },
    fd::OwnedFd,
};

use super::{Target, wait_for_coordinator};
use crate::{
    Failure, Result,
    load::window,
    measure::histogram::Histogram,
    wire::{
        connection::{Connection, expect_no_error},
        groups::{self, Heartbeat, Partitions, TopicId},
        requests,
    },
};

const LEAVE: i32 = -1;

struct Member {
    connection: Connection,
    group: String,
    /// The group's number.
    group_index: usize,
    id: String,
    epoch: i32,
    owned: Partitions,
    interval: Duration,
    /// When the next heartbeat is sent; none while one is under way, and for those who are not in the group.
    due: Option<Instant>,
    under_way: bool,
    /// It has taken over an assignment and says so with the next heartbeat.
    acknowledges: bool,
    joined: bool,
}

impl Member {
    fn owned_count(&self) -> usize {
        self.owned.iter().map(|(_, partitions)| partitions.len()).sum()
    }
}

pub struct Fleet {
    target: Target,
    topic: String,
    partitions: i32,
    members: Vec<Member>,
    epoll: Option<OwnedFd>,
    /// Times at which somebody's heartbeat is due; those that are overtaken stay until their time.
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    owners: HashMap<(usize, TopicId, i32), usize>,
}

impl Fleet {
    pub fn new(target: Target, topic: &str, partitions: i32) -> Self {
        Self {
            target,
            topic: topic.to_owned(),
            partitions,
            members: Vec::new(),
            epoll: None,
            due: BinaryHeap::new(),
            owners: HashMap::new(),
        }
    }

    /// Connects a member, which does not join yet.
    pub fn add(&mut self, group: &str, group_index: usize) -> Result<()> {
        let mut connection = Connection::open(self.target.address)?;
        wait_for_coordinator(&mut connection, group)?;
        let index = self.members.len();
        if self.epoll.is_none() {
            self.epoll = Some(epoll::create(CreateFlags::CLOEXEC).map_err(std::io::Error::from)?);
        }
        if let Some(epoll) = &self.epoll {
            epoll::add(epoll, &connection, EventData::new_u64(index as u64), EventFlags::IN)
                .map_err(std::io::Error::from)?;
        }
        self.members.push(Member {
            connection,
            group: group.to_owned(),
            group_index,
            id: format!("bench-member-{index:06}"),
            epoch: 0,
            owned: Vec::new(),
            interval: Duration::from_secs(5),
            due: None,
            under_way: false,
            acknowledges: false,
            joined: false,
        });
        Ok(())
    }

    /// Has members join, all at once.
    pub fn join(&mut self, which: Range<usize>) -> Result<()> {
        for index in which {
            self.members[index].joined = true;
            self.send(index, true)?;
        }
        Ok(())
    }

    /// Has members leave, all at once.
    pub fn leave(&mut self, which: &[usize]) -> Result<()> {
        self.drain()?;
        for &index in which {
            self.give_up_all(index);
            let member = &mut self.members[index];
            (member.epoch, member.joined, member.due) = (LEAVE, false, None);
            self.send(index, false)?;
        }
        Ok(())
    }

    /// Everybody leaves. Groups without members can be deleted, but need not be: their topic is.
    pub fn leave_all(&mut self) -> Result<()> {
        let all: Vec<usize> = (0..self.members.len()).filter(|index| self.members[*index].joined).collect();
        self.leave(&all)?;
        self.drain()
    }

    /// Starts something and plays the members until each owns its target. How long that took, in seconds.
    pub fn settle(&mut self, limit: Duration, start: impl FnOnce(&mut Self) -> Result<()>) -> Result<f64> {
        let begun = Instant::now();
        start(self)?;
        loop {
            let changed = self.turn(begun + limit)?;
            if changed && self.is_settled() {
                return Ok(begun.elapsed().as_secs_f64());
            }
            if begun.elapsed() > limit {
                let owned = self.owners.len();
                return Err(Failure::new(format!(
                    "after {} s the members own {owned} partitions, but not each its target",
                    limit.as_secs()
                )));
            }
        }
    }

    /// Whether in every group all partitions are owned, by each member as many as by any other, or one more.
    fn is_settled(&self) -> bool {
        let mut groups: HashMap<usize, (usize, usize, usize, usize)> = HashMap::new();
        for member in self.members.iter().filter(|member| member.joined) {
            let count = member.owned_count();
            let (members, owned, min, max) =
                groups.entry(member.group_index).or_insert((0, 0, usize::MAX, 0));
            (*members, *owned) = (*members + 1, *owned + count);
            (*min, *max) = ((*min).min(count), (*max).max(count));
        }
        groups.values().all(|(_, owned, min, max)| *owned == self.partitions as usize && max - min <= 1)
    }

    /// Members of a group that has been there for a while come at any time of the interval.
    pub fn spread_heartbeats(&mut self) {
        let now = Instant::now();
        let count = self.members.len() as u32;
        for index in 0..self.members.len() {
            let member = &mut self.members[index];
            if member.joined && member.due.is_some() {
                let due = now + member.interval * index as u32 / count;
                member.due = Some(due);
                self.due.push(Reverse((due, index)));
            }
        }
    }

    /// Waits for all answers that are under way.
    pub fn drain(&mut self) -> Result<()> {
        for index in 0..self.members.len() {
            while self.members[index].under_way {
                self.receive(index)?;
                // What the answer asked for at once is sent, and awaited as well.
                if self.members[index].due.is_some_and(|due| due <= Instant::now()) {
                    self.send(index, false)?;
                }
            }
        }
        Ok(())
    }

    /// Sends what is due, waits for what comes, at most until `limit`. Whether anybody's partitions are others.
    fn turn(&mut self, limit: Instant) -> Result<bool> {
        let mut until = limit;
        while let Some(&Reverse((at, index))) = self.due.peek() {
            if self.members[index].due != Some(at) {
                self.due.pop();
                continue;
            }
            if at > Instant::now() {
                until = until.min(at);
                break;
            }
            self.due.pop();
            self.send(index, false)?;
        }
        let wait = until.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: wait.as_secs() as _, tv_nsec: i64::from(wait.subsec_nanos()) as _ };
        let mut ready = Vec::with_capacity(64);
        if let Some(epoll) = &self.epoll {
            let spare = rustix::buffer::spare_capacity(&mut ready);
            match epoll::wait(epoll, spare, Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(std::io::Error::from(error).into()),
            }
        }
        let mut changed = false;
        for event in ready {
            let index = event.data.u64() as usize;
            while self.members[index].connection.poll()? {
                changed |= self.receive(index)?;
            }
        }
        Ok(changed)
    }

    fn send(&mut self, index: usize, says_all: bool) -> Result<()> {
        let member = &mut self.members[index];
        let says_owned = says_all || std::mem::take(&mut member.acknowledges);
        let said = Heartbeat {
            group: &member.group,
            member: &member.id,
            epoch: member.epoch,
            subscription: says_all.then_some(&self.topic),
            owned: says_owned.then_some(&member.owned[..]),
        };
        let mut frame = groups::heartbeat(said);
        requests::set_correlation_id(&mut frame, index as i32);
        member.connection.send(&frame)?;
        (member.due, member.under_way) = (None, true);
        Ok(())
    }

    /// Takes one answer. Whether the member's partitions are others now.
    fn receive(&mut self, index: usize) -> Result<bool> {
        let member = &mut self.members[index];
        let reply = groups::heartbeat_reply(member.connection.receive()?, index as i32)?;
        member.under_way = false;
        if let Some(message) = reply.message {
            eprintln!("bench: {}: {message}", member.id);
        }
        expect_no_error("ConsumerGroupHeartbeat", reply.error)?;
        if !member.joined {
            return Ok(true);
        }
        (member.epoch, member.interval) = (reply.epoch, Duration::from_millis(reply.interval_ms as u64));
        let now = Instant::now();
        let mut due = now + member.interval;
        let mut changed = false;
        if let Some(assignment) = reply.assignment
            && assignment != self.members[index].owned
        {
            self.give_up_all(index);
            self.take(index, assignment)?;
            // Taken over: said at once.
            (due, changed) = (now, true);
            self.members[index].acknowledges = true;
        }
        self.members[index].due = Some(due);
        self.due.push(Reverse((due, index)));
        Ok(changed)
    }

    fn give_up_all(&mut self, index: usize) {
        let group = self.members[index].group_index;
        for (topic, partitions) in std::mem::take(&mut self.members[index].owned) {
            for partition in partitions {
                self.owners.remove(&(group, topic, partition));
            }
        }
    }

    fn take(&mut self, index: usize, assignment: Partitions) -> Result<()> {
        let group = self.members[index].group_index;
        for (topic, partitions) in &assignment {
            for partition in partitions {
                if let Some(other) = self.owners.insert((group, *topic, *partition), index) {
                    return Err(Failure::new(format!(
                        "partition {partition} was given to {} while {} had it",
                        self.members[index].id, self.members[other].id
                    )));
                }
            }
        }
        self.members[index].owned = assignment;
        Ok(())
    }

    fn frames(&self) -> Vec<Vec<u8>> {
        let said = |member: &Member| {
            let (group, member, epoch) = (&*member.group, &*member.id, member.epoch);
            groups::heartbeat(Heartbeat { group, member, epoch, ..Heartbeat::default() })
        };
        self.members.iter().filter(|member| member.joined).map(said).collect()
    }

    /// Heartbeats of all members in turn, so many under way at a time, each on its member's connection.
    pub fn saturate(&mut self, count: usize, in_flight: usize) -> Result<Histogram> {
        let mut frames = self.frames();
        let mut connections: Vec<&mut Connection> = self
            .members
            .iter_mut()
            .filter(|member| member.joined)
            .map(|member| &mut member.connection)
            .collect();
        heartbeats(&mut connections, &mut frames, count, in_flight)
    }

    /// The same over one connection.
    pub fn saturate_one_connection(&mut self, count: usize, in_flight: usize) -> Result<Histogram> {
        let mut frames = self.frames();
        let mut connection = Connection::open(self.target.address)?;
        heartbeats(&mut [&mut connection], &mut frames, count, in_flight)
    }
}

fn heartbeats(
    connections: &mut [&mut Connection],
    frames: &mut [Vec<u8>],
    count: usize,
    in_flight: usize,
) -> Result<Histogram> {
    let (members, over) = (frames.len(), connections.len());
    // Whoever has two heartbeats under way would be answered out of turn.
    let in_flight = in_flight.min(members);
    let frame = |number: usize| (number % over, number % members);
    window::run(connections, frames, count, in_flight, frame, |_, reply, id| {
        expect_no_error("ConsumerGroupHeartbeat", groups::heartbeat_reply(reply, id)?.error)
    })
}
