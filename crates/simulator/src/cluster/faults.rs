//! What goes wrong.

use io::DiskFaults;

use super::{Event, World};
use crate::machine::end_faults;

impl World {
    /// Something that the node stands on refused: its process ends.
    pub(super) fn down(&mut self, id: i32, error: &dyn std::fmt::Display) -> Result<(), String> {
        let expected = self.nodes.get(&id).is_some_and(|node| node.disk.is_halted() || node.is_full);
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
    fn may_lose(&mut self, id: i32) -> bool {
        self.look_after_suspect();
        let all_there = self.nodes.values().all(|node| {
            node.process.as_ref().is_some_and(|process| !process.life.is_fenced && process.life.is_registered)
        });
        let newest = &self.checker.newest;
        let mut partitions = newest.topics.sorted().into_iter().flat_map(|topic| topic.partitions.values());
        !self.healed
            && self.suspect.is_none()
            && all_there
            && partitions.all(|partition| partition.isr.len() > 1 || !partition.isr.contains(&id))
    }

    /// A disk that has lost what it should have is whole again when its node is in sync everywhere.
    fn look_after_suspect(&mut self) {
        let Some(id) = self.suspect else { return };
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

    fn ends(&mut self, id: i32, loses_power: bool) {
        let after_ms = 10 + self.random.below(3_000) as i64;
        if loses_power && !self.plan.syncs {
            // Nobody else ends until that is made good.
            self.suspect = Some(id);
            for node in self.nodes.values_mut() {
                node.disk.set_faults(DiskFaults::default());
                if !node.disk.is_halted() {
                    node.disk.halt_after(u64::MAX);
                }
            }
        }
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.stop();
        if loses_power {
            node.disk.lose_power();
        } else {
            node.disk.kill();
        }
        let how = if loses_power { "loses its power" } else { "is killed" };
        let trace = node.disk.trace();
        self.trace.note(self.now_ms, format_args!("{id} {how}, its disk did {trace:x}"));
        let incarnation = node.incarnation;
        self.crashes += 1;
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
        node.disk.halt_after(if halts { changes } else { u64::MAX });
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
        let (Some(one), Some(other)) = (self.random.pick(&ids).copied(), self.random.pick(&ids).copied())
        else {
            return;
        };
        let now_ms = self.now_ms;
        self.look_after_suspect();
        let kind = self.random.below(13);
        if self.suspect.is_some() && matches!(kind, 0..=2 | 9 | 10) {
            return;
        }
        let Some(node) = self.nodes.get_mut(&one) else { return };
        match kind {
            0 | 1 => {
                if node.process.is_some() {
                    self.crash(one);
                }
            }
            2 => node.disk.halt_after(self.random.below(20)),
            3 => {
                let until_ms = now_ms + 50 + self.random.below(4_000) as i64;
                node.busy_until_ms = until_ms;
                self.trace.note(now_ms, format_args!("{one} pauses until {until_ms}"));
            }
            4 => {
                self.network.cut(one, other);
                self.trace.note(now_ms, format_args!("nothing goes from {one} to {other}"));
            }
            5 => {
                for id in &ids {
                    self.network.cut(one, *id);
                    self.network.cut(*id, one);
                }
                self.trace.note(now_ms, format_args!("{one} is cut off"));
            }
            6 => {
                let half: Vec<i32> = ids.iter().copied().filter(|_| self.random.chance(50)).collect();
                for from in &ids {
                    for to in ids.iter().filter(|to| half.contains(from) != half.contains(to)) {
                        self.network.cut(*from, *to);
                    }
                }
                self.trace.note(now_ms, format_args!("cut between {half:?} and the others"));
            }
            7 => self.network.break_connection(one, other),
            8 => {
                self.network.slowest_ms = *self.random.pick(&[1, 5, 50, 200]).unwrap_or(&5);
                let sync_us = *self.random.pick(&[0, 1_000, 20_000]).unwrap_or(&0);
                node.disk.set_faults(DiskFaults { sync_us, ..DiskFaults::default() });
                node.is_full = false;
            }
            9 => {
                let capacity = Some(node.disk.used_bytes() + self.random.below(4_000));
                node.disk.set_faults(DiskFaults { capacity, ..DiskFaults::default() });
                node.is_full = true;
                self.trace.note(now_ms, format_args!("the disk of {one} is nearly full"));
            }
            10 => {
                if let Some(process) = &mut node.process {
                    process.life.wants_shut_down = true;
                    self.trace.note(now_ms, format_args!("{one} is to shut down"));
                }
            }
            _ => {
                self.network.heal();
                for node in self.nodes.values_mut() {
                    node.disk.set_faults(DiskFaults::default());
                }
                self.trace.note(now_ms, format_args!("the network is whole, and there is room on all disks"));
            }
        }
    }

    pub(super) fn heal(&mut self) {
        self.healed = true;
        self.network.heal();
        self.network.slowest_ms = 5;
        self.trace.note(self.now_ms, format_args!("nothing fails any more"));
        for node in self.nodes.values_mut() {
            node.busy_until_ms = 0;
            end_faults(&node.disk);
        }
    }
}
