//! One partition on three to five brokers: the real partitions, fetchers and logs, idempotent producers, a controller of a few lines,
//! and metadata that arrive late. What was acknowledged is there, where it was, once; nobody reads two things at one offset; high
//! watermarks do not go back; and when nothing fails any more, all logs are the same.

mod node;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::{ErrorCode, Uuid};
use io::SeededRandom;
use metadata::{LeaderRecoveryState, PartitionRegistration};
use replica::{AlterPartitionOutcome, AlteredPartition, NextFetch};
use storage::AppendOrigin;

use crate::committed::in_sync_has;
use crate::fault::Fault;
use crate::log::records::{Seen, batch, read_all, read_from};
use crate::machine::{BASE_MS, Clock, Machine, Trouble, format};
use crate::planted::Planted;
use crate::run::{Counts, Run};
use crate::trace::Trace;
use node::{MAX_LAG_MS, Node, Session};

const STEPS: usize = 900;

/// A producer with one batch on its way.
#[derive(Debug)]
struct Producer {
    id: i64,
    sequence: i32,
    /// What it sends until it is acknowledged.
    batch: Option<(u64, Vec<u8>)>,
    /// Where it was appended: the leader and its epoch, the last offset.
    waiting: Option<(i32, i32, i64)>,
}

struct World {
    random: SeededRandom,
    trace: Arc<Trace>,
    planted: Option<Planted>,
    now_ms: i64,
    /// What the controller has committed.
    metadata: PartitionRegistration,
    machines: BTreeMap<i32, Machine>,
    nodes: BTreeMap<i32, Node>,
    epochs: BTreeMap<i32, i64>,
    sessions: BTreeMap<i32, Session>,
    /// Brokers that nobody reaches, though the controller does.
    cut_off: Option<i32>,
    producers: Vec<Producer>,
    next_value: u64,
    acknowledged: BTreeMap<i64, u64>,
    /// What readers of committed records have seen.
    read: BTreeMap<i64, Seen>,
    /// A record is synced before it counts.
    syncs: bool,
    /// Brokers that lost what they had not synced. An old end of the log can be back, below a high watermark that was written behind
    /// it: they are out of sync, and what they say counts when a leader has looked at it.
    suspects: BTreeSet<i32>,
    counts: Counts,
    healed: bool,
}

pub(crate) fn run(run: &Run, trace: &Arc<Trace>) -> Result<Counts, String> {
    let mut random = SeededRandom::new(run.seed);
    let count = *random.pick(&[3, 3, 4, 5]).unwrap_or(&3);
    let ids: Vec<i32> = (1..=count).collect();
    let mut world = World {
        trace: Arc::clone(trace),
        planted: run.planted,
        now_ms: 0,
        metadata: PartitionRegistration {
            replicas: ids.clone(),
            directories: vec![Uuid::ZERO; ids.len()],
            isr: ids.clone(),
            removing_replicas: Vec::new(),
            adding_replicas: Vec::new(),
            elr: Vec::new(),
            last_known_elr: Vec::new(),
            leader: 1,
            leader_recovery_state: LeaderRecoveryState::Recovered,
            leader_epoch: 0,
            partition_epoch: 0,
        },
        machines: ids
            .iter()
            .map(|id| (*id, Machine::new(Clock::new(&mut random, 97, 7), &mut random)))
            .collect(),
        nodes: BTreeMap::new(),
        epochs: BTreeMap::new(),
        sessions: BTreeMap::new(),
        cut_off: None,
        producers: (0..2 + random.below(6) as i64)
            .map(|index| Producer { id: 500 + index, sequence: 0, batch: None, waiting: None })
            .collect(),
        next_value: 0,
        acknowledged: BTreeMap::new(),
        read: BTreeMap::new(),
        syncs: random.chance(50),
        suspects: BTreeSet::new(),
        counts: Counts::default(),
        healed: false,
        random,
    };
    for id in &ids {
        format(&world.machines[id].disk, *id)?;
        world.start(*id)?;
    }
    for _ in 0..STEPS {
        world.step()?;
    }
    world.settle()?;
    world.machines.values().for_each(|machine| machine.count(&mut world.counts.faults));
    Ok(world.counts)
}

impl World {
    fn start(&mut self, id: i32) -> Result<(), String> {
        self.now_ms += 1;
        let machine = &self.machines[&id];
        let disk = &machine.disk;
        disk.halt_after(match !self.healed && self.random.chance(10) {
            true => self.random.below(40),
            false => u64::MAX,
        });
        let clock_ms = machine.clock_ms(self.now_ms);
        match Node::start(disk, id, &self.metadata, self.syncs, (self.now_ms, clock_ms)) {
            Ok(node) if !disk.is_halted() => {
                self.trace.note(
                    self.now_ms,
                    format_args!(
                        "{id} starts: {}..{}, committed {}",
                        node.partition.log().log_start_offset(),
                        node.partition.log().log_end_offset(),
                        node.high_watermark
                    ),
                );
                self.epochs.insert(id, node.broker.epoch());
                self.nodes.insert(id, node);
                self.tell_epochs();
                self.hear(id)
            }
            Ok(_) | Err(_) if machine.refuses() => {
                self.ends(id, false);
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) => Err(format!("broker {id} does not start: {error}")),
        }
    }

    fn tell_epochs(&self) {
        for node in self.nodes.values() {
            node.broker.set_eligible(self.epochs.iter().map(|(id, epoch)| (*id, *epoch)));
        }
    }

    /// A broker is gone, and the controller knows.
    fn stop(&mut self, id: i32) {
        if self.nodes.remove(&id).is_none() {
            return;
        }
        self.counts.faults.add(Fault::Crash, 1);
        self.epochs.remove(&id);
        self.tell_epochs();
        let others_in_sync =
            self.metadata.isr.iter().any(|other| *other != id && self.nodes.contains_key(other));
        // Without syncs the last one that is in sync must keep what it has: that is what Kafka promises, and no more.
        let loses_power = (self.syncs || others_in_sync) && self.random.chance(50);
        if loses_power && !self.syncs {
            self.suspects.insert(id);
        }
        self.ends(id, loses_power);
        if self.metadata.isr.len() > 1 && self.metadata.isr.contains(&id) {
            self.metadata.isr.retain(|replica| *replica != id);
            self.metadata.partition_epoch += 1;
        }
        if self.metadata.leader == id {
            self.elect();
        }
    }

    fn ends(&mut self, id: i32, loses_power: bool) {
        let Some(machine) = self.machines.get_mut(&id) else { return };
        let how = machine.ends(loses_power);
        self.trace.note(self.now_ms, format_args!("{id} {how}"));
    }

    /// Somebody else of those in sync leads, or nobody.
    fn elect(&mut self) {
        let in_sync = match self.planted {
            Some(Planted::UncleanElection) => &self.metadata.replicas,
            _ => &self.metadata.isr,
        };
        let alive: Vec<i32> = in_sync.iter().copied().filter(|id| self.nodes.contains_key(id)).collect();
        let others: Vec<i32> = alive.iter().copied().filter(|id| *id != self.metadata.leader).collect();
        let candidates = if others.is_empty() { alive } else { others };
        let leader = self.random.pick(&candidates).copied().unwrap_or(-1);
        if leader >= 0 && !self.metadata.isr.contains(&leader) {
            self.metadata.isr = vec![leader];
        }
        self.metadata.leader = leader;
        self.metadata.leader_epoch += 1;
        self.metadata.partition_epoch += 1;
        self.trace.note(
            self.now_ms,
            format_args!(
                "{leader} is to lead in epoch {} of {:?}",
                self.metadata.leader_epoch, self.metadata.isr
            ),
        );
    }

    /// A broker hears of the newest metadata.
    fn hear(&mut self, id: i32) -> Result<(), String> {
        let (metadata, now_ms) = (Arc::new(self.metadata.clone()), self.clock_ms(id));
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        if let Err(error) = node.partition.update(Arc::clone(&metadata), now_ms) {
            return self.refused(id, &error);
        }
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        if metadata.leader == id || metadata.leader < 0 {
            node.fetcher.remove(&node.partition);
            node.source = -1;
            return Ok(());
        }
        if node.source != metadata.leader {
            // Another connection: what was on its way over the old one never arrives.
            node.source = metadata.leader;
            node.answer = None;
            node.fetcher.on_reconnect();
        }
        node.fetcher.add(Arc::clone(&node.partition), metadata.leader_epoch, now_ms);
        Ok(())
    }

    fn refused(&mut self, id: i32, error: &dyn std::fmt::Display) -> Result<(), String> {
        if !self.machines[&id].refuses() {
            return Err(format!("broker {id}: {error}"));
        }
        self.stop(id);
        Ok(())
    }

    /// A follower sends its next fetch, and the leader answers.
    fn fetch(&mut self, id: i32) {
        let now_ms = self.clock_ms(id);
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if node.answer.is_some() {
            return;
        }
        let source = node.source;
        if self.cut_off == Some(id) || self.cut_off == Some(source) || !self.nodes.contains_key(&source) {
            let is_there = self.nodes.contains_key(&source);
            self.counts.faults.add(Fault::Cut, u64::from(is_there));
            if let Some(node) = self.nodes.get_mut(&id) {
                node.fetcher.on_failure(now_ms);
            }
            return;
        }
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if let Some(lookup) = node.fetcher.lookup() {
            let response = self.nodes.get(&source).and_then(|leader| leader.answer_lookup(&lookup));
            if let Some(node) = self.nodes.get_mut(&id) {
                node.fetcher.on_lookup(&lookup, response.as_ref(), now_ms);
            }
            return;
        }
        let NextFetch::Request(request) = node.fetcher.next(&|_| false, now_ms) else { return };
        let session = self.sessions.entry(id).or_default();
        let Some(leader) = self.nodes.get(&source) else { return };
        let leader_ms = self.machines[&source].clock_ms(self.now_ms);
        let answer = leader.answer(session, &request, self.planted, leader_ms);
        self.propose(source);
        let is_lost = self.random.chance(8);
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if is_lost {
            // The request arrived, and the answer is lost with the connection.
            self.counts.faults.add(Fault::OneWay, 1);
            node.fetcher.on_failure(now_ms);
        } else {
            node.answer = Some(answer);
        }
    }

    /// What a leader has answered arrives.
    fn arrive(&mut self, id: i32) -> Result<(), String> {
        let now_ms = self.clock_ms(id);
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        let Some(answer) = node.answer.take() else { return Ok(()) };
        let before = node.partition.log().log_end_offset();
        let fetched = answer.arrive(&mut node.fetcher, now_ms);
        if self.planted != Some(Planted::FollowerBeforeSync) {
            for partition in &fetched.flush {
                // An error shows in the health of the disk.
                let _ = partition.log().flush();
            }
        }
        let end = node.partition.log().log_end_offset();
        let high_watermark = node.high_watermark;
        self.trace.note(self.now_ms, format_args!("{id} has {end}"));
        if answer
            .partitions
            .first()
            .is_some_and(|partition| partition.error == ErrorCode::None && partition.diverging.is_none())
        {
            self.suspects.remove(&id);
        }
        if end < before && end < high_watermark && !self.suspects.contains(&id) {
            return Err(format!(
                "broker {id} cuts its log at {end}, below its high watermark {high_watermark}"
            ));
        }
        self.down_if_failed(id);
        Ok(())
    }

    /// What the clock of a broker shows.
    fn clock_ms(&self, id: i32) -> i64 {
        self.machines[&id].clock_ms(self.now_ms)
    }

    /// Whether the disk of a broker has let it down: nothing more can be asked of it.
    fn has_failed(&self, id: i32) -> bool {
        let is_offline = self.nodes.get(&id).is_some_and(|node| node.logs.live_dirs().is_empty());
        self.machines[&id].disk.is_halted() || is_offline && self.machines[&id].refuses()
    }

    fn down_if_failed(&mut self, id: i32) {
        if self.has_failed(id) {
            self.stop(id);
        }
    }

    /// A leader's wish for another ISR reaches the controller, or is lost, or its answer is.
    fn propose(&mut self, id: i32) {
        let Some(node) = self.nodes.get(&id) else { return };
        let Some(proposal) = node.partition.proposed_isr() else { return };
        if self.random.chance(25) {
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
            self.trace.note(self.now_ms, format_args!("in sync are {:?}", self.metadata.isr));
            Ok(AlteredPartition {
                leader_epoch: self.metadata.leader_epoch,
                isr: self.metadata.isr.clone(),
                leader_recovery_state: self.metadata.leader_recovery_state,
                partition_epoch: self.metadata.partition_epoch,
            })
        };
        if self.random.chance(75) {
            let outcome = node.partition.on_altered(proposal.id, answer, self.clock_ms(id));
            assert!(outcome != AlterPartitionOutcome::Retry, "Invariant: none of these errors is passing");
        }
    }

    /// A producer sends what is not acknowledged yet, again if it does not know.
    fn produce(&mut self, leader: i32) -> Result<(), String> {
        let index = self.random.below(self.producers.len() as u64) as usize;
        let producer = &mut self.producers[index];
        if producer.batch.is_none() {
            self.next_value += 1;
            let size = self.random.below(60) as usize;
            let records = [(1, Some(self.next_value))];
            let bytes = batch(&records, (producer.id, producer.sequence), size, BASE_MS + self.now_ms);
            producer.batch = Some((self.next_value, bytes));
        }
        if self.cut_off == Some(leader) {
            return Ok(());
        }
        let Some(clock_ms) = self.machines.get(&leader).map(|machine| machine.clock_ms(self.now_ms)) else {
            return Ok(());
        };
        let (Some((value, bytes)), Some(node)) = (&producer.batch, self.nodes.get(&leader)) else {
            return Ok(());
        };
        let appended = match node.partition.append_as_leader(bytes, AppendOrigin::Client, true, clock_ms) {
            Ok(appended) => appended,
            Err(error) => {
                let code = error.error_code();
                let passing = [ErrorCode::NotLeaderOrFollower, ErrorCode::NotEnoughReplicas];
                // One that leads no more, and does not know, may lack what was acknowledged since.
                let is_stale = node.partition.leader_epoch() < self.metadata.leader_epoch;
                let is_behind = code == ErrorCode::OutOfOrderSequenceNumber && is_stale;
                let passes = is_behind || passing.contains(&code);
                return if passes { Ok(()) } else { self.refused(leader, &error) };
            }
        };
        if appended.needs_flush {
            if let Err(error) = node.partition.log().flush() {
                return self.refused(leader, &error);
            }
            node.partition.synced(&appended, clock_ms);
        }
        producer.waiting = Some((
            leader,
            appended.last_leader_epoch.max(node.partition.leader_epoch()),
            appended.last_offset,
        ));
        self.trace.note(
            self.now_ms,
            format_args!("{leader} has {value} at {}, again: {}", appended.last_offset, appended.duplicate),
        );
        Ok(())
    }

    /// Acknowledges what is committed, and checks what must always hold.
    fn check(&mut self) -> Result<(), String> {
        for producer in &mut self.producers {
            let Some((leader, epoch, offset)) = producer.waiting else { continue };
            let Some(node) = self.nodes.get(&leader) else {
                producer.waiting = None;
                continue;
            };
            let committed = match self.planted {
                Some(Planted::EarlyAcknowledgement) => Ok(true),
                _ => node.partition.is_committed(epoch, offset + 1),
            };
            match committed {
                Ok(false) => {}
                Err(_) => producer.waiting = None,
                Ok(true) => {
                    let Some((value, _)) = producer.batch.take() else { continue };
                    producer.waiting = None;
                    producer.sequence += 1;
                    self.counts.acknowledged += 1;
                    self.trace.note(self.now_ms, format_args!("{value} is acknowledged at {offset}"));
                    let leader_log = node.partition.log();
                    for id in self.metadata.isr.iter().filter(|id| **id != leader) {
                        if let Some(other) = self.nodes.get(id).filter(|_| !self.suspects.contains(id)) {
                            let log = other.partition.log();
                            in_sync_has((leader, &leader_log), (*id, &log), offset, self.syncs)?;
                        }
                    }
                    if let Some(before) = self.acknowledged.insert(offset, value) {
                        return Err(format!("{before} and {value} were acknowledged at offset {offset}"));
                    }
                }
            }
        }
        let failed: BTreeSet<i32> = self.nodes.keys().copied().filter(|id| self.has_failed(*id)).collect();
        for (id, node) in &mut self.nodes {
            let log = node.partition.log();
            let high_watermark = log.high_watermark();
            if self.suspects.contains(id) {
                node.high_watermark = high_watermark;
                continue;
            }
            if high_watermark < node.high_watermark {
                return Err(format!(
                    "the high watermark of {id} went from {} back to {high_watermark}",
                    node.high_watermark
                ));
            }
            node.high_watermark = high_watermark;
            if high_watermark > node.looked_at && !failed.contains(id) {
                for seen in read_from(&log, node.looked_at.max(log.log_start_offset()), high_watermark, 4000)?
                {
                    self.counts.checks += 1;
                    let offset = seen.offset;
                    let known = self.read.entry(offset).or_insert_with(|| seen.clone());
                    if *known != seen {
                        return Err(format!(
                            "at offset {offset} broker {id} has {seen:?}, and somebody read {known:?}"
                        ));
                    }
                }
                node.looked_at = high_watermark;
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        self.now_ms += 1 + self.random.below(4) as i64;
        let count = self.machines.len() as u64;
        let id = 1 + self.random.below(count) as i32;
        match self.random.below(100) {
            0..18 => self.produce(self.metadata.leader)?,
            18..20 => self.produce(id)?,
            20..50 => self.fetch(id),
            50..80 => self.arrive(id)?,
            80..86 => self.hear(id)?,
            86..92 => {
                if let Some(node) = self.nodes.get(&id) {
                    let _ = node.partition.maybe_shrink_isr(self.clock_ms(id));
                }
                self.propose(id);
            }
            92 => {
                if self.metadata.leader >= 0 && self.random.chance(50) {
                    self.elect();
                }
            }
            // Mostly one at a time, sometimes all.
            93 if self.nodes.len() == self.machines.len() || self.random.chance(15) => {
                match self.random.chance(60) {
                    true => self.stop(id),
                    false => self.trouble(id, Trouble::Halt),
                }
            }
            93 => self.cut_off = None,
            94 if self.random.chance(20) => self.trouble(id, Trouble::FullDisk),
            94 if self.random.chance(30) => self.machines.values().for_each(Machine::has_room),
            95 => self.now_ms += MAX_LAG_MS / 2,
            96 => {
                self.cut_off = self.random.chance(30).then_some(id);
                self.trace.note(self.now_ms, format_args!("cut off is {:?}", self.cut_off));
            }
            97 => {
                if let Some(node) = self.nodes.get(&id) {
                    let written = node
                        .logs
                        .checkpoint_high_watermarks()
                        .and_then(|()| node.logs.checkpoint_recovery_points());
                    if let Err(error) = written {
                        self.refused(id, &error)?;
                    }
                }
            }
            _ => {
                if !self.nodes.contains_key(&id) {
                    self.start(id)?;
                    if self.metadata.leader < 0
                        && self.metadata.isr.contains(&id)
                        && self.nodes.contains_key(&id)
                    {
                        self.elect();
                    }
                }
            }
        }
        self.check()?;
        for id in 1..=count as i32 {
            if self.nodes.contains_key(&id) {
                self.down_if_failed(id);
            }
        }
        Ok(())
    }

    fn trouble(&mut self, id: i32, trouble: Trouble) {
        let Some(machine) = self.machines.get_mut(&id) else { return };
        let what = machine.fails(trouble, self.now_ms, &mut self.random);
        self.trace.note(self.now_ms, format_args!("{id} {what}"));
    }

    /// Nothing fails any more; then all logs are the same, and have all that was acknowledged, once.
    fn settle(&mut self) -> Result<(), String> {
        self.healed = true;
        self.cut_off = None;
        self.trace.note(self.now_ms, format_args!("nothing fails any more"));
        let ids: Vec<i32> = self.machines.keys().copied().collect();
        for id in &ids {
            if let Some(machine) = self.machines.get_mut(id) {
                machine.heal();
            }
            if !self.nodes.contains_key(id) {
                self.start(*id)?;
            }
        }
        if self.metadata.leader < 0 {
            self.elect();
        }
        for _ in 0..600 {
            self.now_ms += 3;
            for id in &ids {
                self.hear(*id)?;
                self.fetch(*id);
                self.arrive(*id)?;
                self.propose(*id);
            }
            self.check()?;
        }
        let logs: Vec<(i32, Vec<Seen>)> = self
            .nodes
            .iter()
            .map(|(id, node)| Ok((*id, read_all(&node.partition.log(), 4000)?)))
            .collect::<Result<_, String>>()?;
        let leader = self.metadata.leader;
        let Some((_, content)) = logs.iter().find(|(id, _)| *id == leader) else {
            return Err("nobody leads".to_owned());
        };
        for (id, other) in &logs {
            if other != content {
                return Err(format!("the logs of {id} and {leader} differ"));
            }
        }
        for (offset, value) in &self.acknowledged {
            let found = content.iter().find(|seen| seen.offset == *offset).and_then(|seen| seen.value);
            if found != Some(*value) {
                return Err(format!("{value} was acknowledged at {offset}, where {found:?} is"));
            }
        }
        let mut sent: Vec<_> = content.iter().map(|seen| seen.producer).collect();
        sent.sort_unstable();
        if let Some(pair) = sent.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("the record {:?} of an idempotent producer is there twice", pair[0]));
        }
        let mut isr = self.metadata.isr.clone();
        isr.sort_unstable();
        if isr != ids {
            return Err(format!("when nothing fails any more, {isr:?} are in sync"));
        }
        Ok(())
    }
}
