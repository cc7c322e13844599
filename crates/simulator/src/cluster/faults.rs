//! What goes wrong.

use super::{Event, World};
use crate::fault::Fault;
use crate::machine::Trouble;
use crate::network::Outage;

impl World {
    /// Something that the node stands on refused: its process ends.
    pub(super) fn down(&mut self, id: i32, error: &dyn std::fmt::Display) -> Result<(), String> {
        let expected = self.nodes.get(&id).is_some_and(|node| node.machine.refuses());
        if !expected {
            return Err(format!("node {id}: {error}"));
        }
        self.crash(id);
        Ok(())
    }

    /// The process of a node ends, and perhaps its machine.
    pub(super) fn crash(&mut self, id: i32) {
        let loses_power = self.random.chance(50) && (self.plan.syncs || self.may_lose(id));
        self.ends(id, loses_power);
    }

    /// The controllers have let a broker go: it closes its logs and ends.
    pub(super) fn shut_down(&mut self, id: i32) -> Result<(), String> {
        let process = self.nodes.get(&id).and_then(|node| node.process.as_ref());
        let Some(broker) = process.and_then(|process| process.broker.as_ref()) else { return Ok(()) };
        if broker.logs.shutdown(broker.replicas.local_broker().epoch()).is_err() {
            return self.down(id, &"its logs cannot be closed");
        }
        self.trace.note(self.now_ms, format_args!("{id} shuts down"));
        self.ends(id, false);
        Ok(())
    }

    /// Whether Kafka's promise stands without syncs when a node loses what it had not written: everybody else is there, and whatever
    /// it has is on another replica that is in sync.
    pub(super) fn may_lose(&mut self, id: i32) -> bool {
        self.look_after_suspect();
        let all_there = self.nodes.values().all(|node| {
            node.process.as_ref().is_some_and(|process| !process.life.is_fenced && process.life.is_registered)
        });
        let newest = &self.checker.newest;
        let mut partitions = newest.topics.sorted().into_iter().flat_map(|topic| topic.partitions.values());
        !self.healed
            && self.suspect.is_none()
            && all_there
            // Where nobody is in sync, as when the last one was fenced, it may have what nobody else has.
            && partitions.all(|partition| {
                !partition.replicas.contains(&id) || partition.isr.iter().any(|other| *other != id)
            })
    }

    /// A disk that has lost what it should have is whole again when its node is in sync everywhere.
    fn look_after_suspect(&mut self) {
        let Some(id) = self.suspect.filter(|_| !self.is_damaged) else { return };
        let process = self.nodes.get(&id).and_then(|node| node.process.as_ref());
        let serves = process
            .is_some_and(|process| process.broker.as_ref().is_some_and(|broker| process.life.serves(broker)));
        let newest = &self.checker.newest;
        let mut partitions = newest.topics.sorted().into_iter().flat_map(|topic| topic.partitions.values());
        if serves
            && partitions.all(|partition| !partition.replicas.contains(&id) || partition.isr.contains(&id))
        {
            self.suspect = None;
        }
    }

    pub(super) fn ends(&mut self, id: i32, loses_power: bool) {
        let after_ms = 10 + self.random.below(3_000) as i64;
        if loses_power && !self.plan.syncs {
            self.suspects(id);
        }
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.stop();
        let how = node.machine.ends(loses_power);
        self.trace.note(self.now_ms, format_args!("{id} {how}"));
        let incarnation = node.incarnation;
        self.faults.add(Fault::Crash, 1);
        // Whoever waits for it learns that the connection is gone.
        let asked: Vec<u64> =
            self.calls.iter().filter(|(_, call)| call.to == id).map(|(number, _)| *number).collect();
        for number in asked {
            self.fail(number, raft::RequestFailure::Unavailable);
        }
        let others: Vec<i32> = self.nodes.keys().copied().filter(|other| *other != id).collect();
        for other in others {
            self.network.break_connection(id, other);
            self.network.break_connection(other, id);
        }
        self.schedule.at(self.now_ms + after_ms, Event::Start { node: id, incarnation });
    }

    pub(super) fn start(&mut self, id: i32, incarnation: u64) -> Result<(), String> {
        let halts = !self.healed && self.suspect.is_none() && self.now_ms > 3_000 && self.random.chance(10);
        let changes = self.random.below(60);
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        if node.incarnation != incarnation || node.process.is_some() {
            return Ok(());
        }
        node.machine.disk.halt_after(if halts { changes } else { u64::MAX });
        match node.start(&self.plan, &mut self.random, self.now_ms) {
            Ok(()) => {
                self.trace.note(self.now_ms, format_args!("{id} starts"));
                self.step(id)
            }
            Err(error) => self.down(id, &error),
        }
    }

    pub(super) fn fault(&mut self) {
        if self.healed {
            return;
        }
        let next_ms = self.now_ms + 50 + self.random.below(1_500) as i64;
        self.schedule.at(next_ms, Event::Fault);
        let ids: Vec<i32> = self.nodes.keys().copied().collect();
        let Some(one) = self.random.pick(&ids).copied() else { return };
        self.look_after_suspect();
        // While one disk has not got what it should have, no other loses anything.
        let kind = self.random.below(19);
        if self.suspect.is_some() && matches!(kind, 0..=4 | 11..=15) {
            return;
        }
        let random = &mut self.random;
        let what = match kind {
            0..=3 => {
                if self.nodes.get(&one).is_some_and(|node| node.process.is_some()) {
                    self.crash(one);
                }
                return;
            }
            4 => self.trouble(one, Trouble::Halt),
            5 => self.trouble(one, Trouble::Pause),
            6 => self.network.fails(Outage::OneWay, &ids, random),
            7 => self.network.fails(Outage::Alone, &ids, random),
            8 => self.network.fails(Outage::Halves, &ids, random),
            9 => self.network.fails(Outage::Broken, &ids, random),
            10 if random.chance(50) => self.network.fails(Outage::Slow, &ids, random),
            10 => self.trouble(one, Trouble::SlowDisk),
            11 => self.trouble(one, Trouble::FullDisk),
            12 => {
                let process = self.nodes.get_mut(&one).and_then(|node| node.process.as_mut());
                let Some(process) = process else { return };
                process.life.wants_shut_down = true;
                format!("{one} is to shut down")
            }
            13..=15 => match self.flip(one) {
                Some(what) => what,
                None => return,
            },
            _ => {
                self.network.is_whole();
                self.nodes.values().for_each(|node| node.machine.has_room());
                "the network is whole, and there is room on all disks".to_owned()
            }
        };
        self.trace.note(self.now_ms, format_args!("{what}"));
    }

    fn trouble(&mut self, id: i32, trouble: Trouble) -> String {
        let Some(node) = self.nodes.get_mut(&id) else { return String::new() };
        format!("{id} {}", node.machine.fails(trouble, self.now_ms, &mut self.random))
    }

    pub(super) fn heal(&mut self) {
        self.healed = true;
        self.network.heal();
        self.nodes.values_mut().for_each(|node| node.machine.heal());
        self.trace.note(self.now_ms, format_args!("nothing fails any more"));
    }
}
