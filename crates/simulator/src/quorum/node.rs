//! One node of the quorum: the real `RaftNode` on its disk, and what listens to it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use common::Uuid;
use io::SeededRandom;
use raft::{Endpoint, MetadataLogConfig, OffsetAndEpoch, QuorumStateStore, RaftConfig, RaftEvent, RaftNode};

use super::check::{Checker, Image};
use crate::machine::{Clock, Machine};

/// A record that waits for its commit.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub offset: i64,
    pub epoch: i32,
}

pub(crate) struct Node {
    pub id: i32,
    pub is_voter: bool,
    pub machine: Machine,
    pub raft: Option<RaftNode>,
    /// Counts the processes.
    pub incarnation: u64,
    pub image: Image,
    /// What it has heard of the log: the offset behind that, and the epoch.
    pub heard: Option<OffsetAndEpoch>,
    /// The epoch in which it was told to lead.
    pub active_epoch: Option<i32>,
    pub waiting: Vec<Waiting>,
    /// Whether it led when it was looked at last.
    leads: bool,
    high_watermark: i64,
    /// Up to where it had the log when its process ended.
    log_end: i64,
    /// The highest epoch of anything it sent.
    pub told_epoch: i32,
    /// The highest that was looked for on its disk.
    written_epoch: i32,
    voters: Vec<(i32, String, u16)>,
}

impl Node {
    pub fn new(id: i32, is_voter: bool, voters: Vec<(i32, String, u16)>, random: &mut SeededRandom) -> Node {
        Node {
            id,
            is_voter,
            machine: Machine::new(Clock::new(random, 95, 11), random),
            raft: None,
            incarnation: 0,
            image: Image::default(),
            heard: None,
            active_epoch: None,
            waiting: Vec::new(),
            leads: false,
            high_watermark: 0,
            log_end: 0,
            told_epoch: 0,
            written_epoch: 0,
            voters,
        }
    }

    /// Up to where it has the log, or had it last.
    pub fn log_end(&self) -> i64 {
        self.raft.as_ref().map_or(self.log_end, RaftNode::log_end_offset)
    }

    pub fn data_dir(&self) -> PathBuf {
        self.machine.disk.path().join("data")
    }

    fn config(&self, seed: u64) -> RaftConfig {
        let mut config = RaftConfig::new(self.id, Uuid::from_u128(self.id as u128 + 1000), self.data_dir());
        config.static_voters.clone_from(&self.voters);
        config.can_become_voter = self.is_voter;
        config.seed = seed;
        config.endpoints = self
            .voters
            .iter()
            .filter(|(id, ..)| *id == self.id)
            .map(|(_, host, port)| Endpoint::new("CONTROLLER", host.as_str(), *port))
            .collect();
        config.log =
            MetadataLogConfig { segment_bytes: 2000, retention_bytes: 6000, ..MetadataLogConfig::default() };
        config.max_bytes_between_snapshots = 3000;
        config
    }

    /// Starts the process.
    pub fn start(&mut self, seed: u64, now_ms: i64) -> raft::Result<()> {
        self.image = Image::default();
        self.heard = None;
        self.active_epoch = None;
        self.waiting.clear();
        self.leads = false;
        self.high_watermark = 0;
        self.raft = Some(RaftNode::open(self.config(seed), self.machine.clock_ms(now_ms))?);
        Ok(())
    }

    /// Ends the process.
    pub fn stop(&mut self) {
        self.log_end = self.log_end();
        self.raft = None;
        self.incarnation += 1;
        self.active_epoch = None;
        self.waiting.clear();
    }

    /// What it told of is on its disk.
    pub fn has_written_what_it_told(&mut self) -> Result<(), String> {
        if self.told_epoch <= self.written_epoch || self.raft.is_none() || self.machine.disk.is_halted() {
            return Ok(());
        }
        let store = QuorumStateStore::new(&self.data_dir().join("__cluster_metadata-0"));
        let written = store.read().map_err(|error| error.to_string())?;
        self.written_epoch = written.map_or(0, |written| written.epoch);
        if self.written_epoch < self.told_epoch {
            return Err(format!(
                "node {} told of epoch {}, and has written {}",
                self.id, self.told_epoch, self.written_epoch
            ));
        }
        Ok(())
    }

    /// Lets the node sync, wait and hear, and looks at all of it.
    ///
    /// `ends`: up to where the others have the log.
    pub fn poll(
        &mut self,
        now_ms: i64,
        ends: &mut BTreeMap<i32, i64>,
        checker: &mut Checker,
    ) -> Result<raft::Result<()>, String> {
        let clock_ms = self.machine.clock_ms(now_ms);
        loop {
            let Some(raft) = &mut self.raft else { return Ok(Ok(())) };
            let events = match raft.poll(clock_ms) {
                Ok(events) => events,
                Err(error) => return Ok(Err(error)),
            };
            if let Some(high_watermark) = raft.high_watermark() {
                if high_watermark < self.high_watermark {
                    return Err(format!(
                        "the high watermark of node {} went from {} back to {high_watermark}",
                        self.id, self.high_watermark
                    ));
                }
                if high_watermark > raft.log_end_offset() {
                    return Err(format!("node {} has committed more than it has", self.id));
                }
                self.high_watermark = high_watermark;
            }
            ends.insert(self.id, raft.log_end_offset());
            let led = std::mem::replace(&mut self.leads, raft.is_leader());
            if led || self.leads {
                checker.commits.look_at(self.id, raft, ends)?;
            }
            if raft.is_leader() {
                checker.leads(self.id, raft.leader_and_epoch().epoch)?;
            }
            if events.is_empty() {
                return Ok(Ok(()));
            }
            for event in events {
                self.hear(event, checker)?;
            }
        }
    }

    fn hear(&mut self, event: RaftEvent, checker: &mut Checker) -> Result<(), String> {
        match event {
            RaftEvent::LoadBootstrap(_) => Ok(()),
            RaftEvent::LoadSnapshot(reader) => {
                let id = reader.snapshot_id();
                let records = reader.read_all().map_err(|error| format!("node {}: {error}", self.id))?;
                self.image = Image::default();
                records.iter().try_for_each(|record| self.image.apply(record))?;
                self.heard = Some(id);
                checker.is_at(self.id, id.offset, &self.image)
            }
            RaftEvent::Commit(batch) => {
                checker.commits.acts_on(self.id, batch.last_offset + 1)?;
                let expected = self.heard.map_or(0, |heard| heard.offset);
                if batch.base_offset != expected {
                    return Err(format!("node {} hears of {} behind {expected}", self.id, batch.base_offset));
                }
                checker.hears(self.id, &batch)?;
                batch.records().try_for_each(|record| self.image.apply(record))?;
                self.heard = Some(OffsetAndEpoch::new(batch.last_offset + 1, batch.epoch));
                checker.is_at(self.id, batch.last_offset + 1, &self.image)?;
                let last_offset = batch.last_offset;
                for waiting in self.waiting.extract_if(.., |waiting| waiting.offset <= last_offset) {
                    // It is answered only if it is still the leader's of that epoch.
                    if waiting.epoch == batch.epoch {
                        checker.acknowledged += 1;
                        checker.acknowledged_end = checker.acknowledged_end.max(waiting.offset + 1);
                    }
                }
                Ok(())
            }
            RaftEvent::LeaderChange(leader) => {
                self.active_epoch = (leader.leader_id == Some(self.id)).then_some(leader.epoch);
                if self.active_epoch.is_none() {
                    self.waiting.clear();
                }
                Ok(())
            }
        }
    }

    /// Writes a snapshot of what it has heard.
    pub fn write_snapshot(&mut self, now_ms: i64) -> raft::Result<()> {
        let clock_ms = self.machine.clock_ms(now_ms);
        let (Some(raft), Some(heard)) = (&mut self.raft, self.heard) else { return Ok(()) };
        let records = self.image.0.iter().map(|(key, value)| {
            let mut record = key.to_be_bytes().to_vec();
            record.extend(value.to_be_bytes());
            record
        });
        raft.write_snapshot(heard, clock_ms, records, clock_ms)?;
        raft.clean(clock_ms)
    }
}
