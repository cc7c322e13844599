//! A node of the quorum as a server drives it (`org.apache.kafka.raft.KafkaRaftClient`): the log, the core that decides,
//! and what of the log was handed out already.
//!
//! One thread owns it and hands in the time. Appends are written at once and synced together by the next
//! [`RaftNode::poll`] or [`RaftNode::flush`]: one sync for all that waits.

mod events;
mod snapshots;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use protocol::records::{RECORD_BATCH_OVERHEAD, RecordBatch};

use crate::batch::{BatchError, CommittedBatch, build_data_batch};
use crate::config::RaftConfig;
use crate::control_record::{ControlRecord, build_control_batch};
use crate::control_state::ControlRecordState;
use crate::core::{Action, Event, RaftCore, ReplicaState};
use crate::error::{RaftError, Result};
use crate::metadata_log::{MetadataLog, ValidOffsetAndEpoch};
use crate::quorum_state::QuorumStateStore;
use crate::{LeaderAndEpoch, OffsetAndEpoch, ReplicaKey, SupportedVersionRange, VoterNode, VoterSet};

pub use events::RaftEvent;
pub use snapshots::SnapshotReason;

/// How often old snapshots are looked for, in milliseconds.
const CLEAN_INTERVAL_MS: i64 = 60_000;

/// The facts of a `DescribeQuorum` response.
#[derive(Clone, Debug, PartialEq)]
pub struct QuorumDescription {
    /// The leader's node id.
    pub leader_id: i32,
    /// Its epoch.
    pub leader_epoch: i32,
    /// What is committed, exclusive; -1 if nothing of this epoch is.
    pub high_watermark: i64,
    /// The voters, by node id. The leader's own times are the time of asking.
    pub voters: Vec<ReplicaState>,
    /// The observers that fetched lately.
    pub observers: Vec<ReplicaState>,
}

/// A node of the quorum. See the module.
#[derive(Debug)]
pub struct RaftNode {
    config: RaftConfig,
    local: VoterNode,
    log: MetadataLog,
    store: QuorumStateStore,
    core: RaftCore,
    control: ControlRecordState,
    unflushed: bool,
    /// The next offset that the server has not heard of; none before its first event.
    next_offset: Option<i64>,
    /// What was appended and not handed out yet, when the server had all before it.
    recent: VecDeque<CommittedBatch>,
    last_leader_change: LeaderAndEpoch,
    bytes_since_snapshot: u64,
    last_snapshot_ms: i64,
    last_clean_ms: i64,
}

impl RaftNode {
    /// Recovers the log, its snapshots and `quorum-state`, and stands for election where this node is all of the quorum.
    ///
    /// Errors: the disk; a damaged file, by name; a quorum of several controllers, or one that this node is no voter of.
    pub fn open(config: RaftConfig, now_ms: i64) -> Result<RaftNode> {
        let log = MetadataLog::open(&config.metadata_log_dir, config.log.clone(), now_ms)?;
        let listener = config.endpoints.first().map_or("CONTROLLER", |endpoint| endpoint.name.as_str());
        let mut control = ControlRecordState::new(VoterSet::from_static(listener, &config.static_voters));
        load_control_records(&log, &mut control)?;

        let local = VoterNode {
            key: ReplicaKey::new(config.node_id, config.directory_id),
            endpoints: config.endpoints.clone(),
            supported_kraft_version: SupportedVersionRange::KRAFT_VERSION,
        };
        check_voters(&log, control.last_voters(), &local)?;

        let store = QuorumStateStore::new(log.dir());
        let election = store.read()?;
        let voters: Vec<String> = control.last_voters().voters().map(|voter| voter.key.to_string()).collect();
        tracing::info!(
            voters = voters.join(", "),
            log_end_offset = log.end_offset(),
            "the metadata log is open"
        );
        let seed = (now_ms as u64).rotate_left(32) ^ config.node_id as u64;
        let core = RaftCore::new(local.key, control.last_voters().clone(), config.quorum.clone(), seed);
        let mut node = RaftNode {
            local,
            log,
            store,
            core,
            control,
            unflushed: false,
            next_offset: None,
            recent: VecDeque::new(),
            last_leader_change: LeaderAndEpoch::default(),
            bytes_since_snapshot: 0,
            last_snapshot_ms: now_ms,
            last_clean_ms: now_ms,
            config,
        };
        // What recovery found counts as written before a commit may cover it: it is synced with the first append.
        let log_end = OffsetAndEpoch::new(node.log.end_offset(), node.log.last_fetched_epoch());
        node.handle(Event::Start { election, log_end }, now_ms)?;
        node.flush(now_ms)?;
        Ok(node)
    }

    /// Syncs what was appended, moves the high watermark, and gives what is newly committed: about 8 MiB at a time, so
    /// call until it is empty. Also election timeouts, and once a minute the deletion of old snapshots.
    pub fn poll(&mut self, now_ms: i64) -> Result<Vec<RaftEvent>> {
        self.flush(now_ms)?;
        self.handle(Event::Tick, now_ms)?;
        if now_ms.saturating_sub(self.last_clean_ms) >= CLEAN_INTERVAL_MS {
            self.last_clean_ms = now_ms;
            self.log.maybe_clean(now_ms)?;
        }
        let mut events = Vec::new();
        if let Some(high_watermark) = self.core.high_watermark() {
            self.load_snapshot(&mut events, now_ms)?;
            self.take_committed(high_watermark, &mut events)?;
        }
        self.take_leader_change(&mut events);
        Ok(events)
    }

    /// Appends framed metadata records as one batch, all or nothing, and gives the offset of the last. They are committed
    /// once a later [`RaftNode::flush`] or [`RaftNode::poll`] moved the high watermark past them.
    ///
    /// Errors: this node does not lead `epoch`; more bytes than a batch holds; no records; the disk.
    pub fn append(&mut self, epoch: i32, records: &[Vec<u8>], now_ms: i64) -> Result<i64> {
        let state = self.core.state().name();
        if self.core.leader().is_none_or(|leader| leader.epoch() != epoch) {
            return Err(RaftError::NotLeader { given: epoch, current: self.core.epoch(), state });
        }
        if records.is_empty() {
            return Err(RaftError::EmptyAppend);
        }
        let max = self.config.log.max_batch_size_bytes;
        // A cheap bound first, so that nothing huge is built only to be refused.
        let payload = RECORD_BATCH_OVERHEAD + records.iter().map(Vec::len).sum::<usize>();
        if payload > max {
            return Err(RaftError::RecordBatchTooLarge { size: payload, max });
        }
        let base_offset = self.log.end_offset();
        let bytes = build_data_batch(base_offset, epoch, now_ms, records)
            .map_err(|error| self.log.corrupt(base_offset, error.to_string()))?;
        if bytes.len() > max {
            return Err(RaftError::RecordBatchTooLarge { size: bytes.len(), max });
        }
        let batch = CommittedBatch::of_records(base_offset, epoch, now_ms, bytes.len(), records);
        let last_offset = batch.last_offset;
        self.append_batch(&bytes, batch, epoch, now_ms)?;
        Ok(last_offset)
    }

    /// Syncs what was appended; gives the high watermark, exclusive.
    pub fn flush(&mut self, now_ms: i64) -> Result<i64> {
        if self.unflushed {
            let end_offset = self.log.flush()?;
            self.unflushed = false;
            self.handle(Event::LogFlushed { end_offset }, now_ms)?;
        }
        Ok(self.core.high_watermark().unwrap_or(0))
    }

    /// Gives up leadership of `epoch`; a later epoch begins after the election timeout.
    pub fn resign(&mut self, epoch: i32, now_ms: i64) -> Result<()> {
        self.handle(Event::Resign { epoch }, now_ms)
    }

    /// Where the next append goes.
    pub fn log_end_offset(&self) -> i64 {
        self.log.end_offset()
    }

    /// Where the log starts.
    pub fn log_start_offset(&self) -> i64 {
        self.log.start_offset()
    }

    /// What is committed, exclusive; none before the first commit of this epoch.
    pub fn high_watermark(&self) -> Option<i64> {
        self.core.high_watermark()
    }

    /// The leader and the epoch.
    pub fn leader_and_epoch(&self) -> LeaderAndEpoch {
        self.core.leader_and_epoch()
    }

    /// Whether this node leads.
    pub fn is_leader(&self) -> bool {
        self.core.leader().is_some()
    }

    /// The voters at the end of the log.
    pub fn voters(&self) -> &VoterSet {
        self.control.last_voters()
    }

    /// The level of kraft.version at the end of the log: 0 static voters, 1 dynamic ones.
    pub fn kraft_version(&self) -> i16 {
        self.control.last_kraft_version()
    }

    /// When [`RaftNode::poll`] must be called at the latest for the sake of the quorum; none: when there is work.
    pub fn next_poll_ms(&self) -> Option<i64> {
        self.core.next_tick_ms()
    }

    /// The facts of a `DescribeQuorum` response; none if this node does not lead.
    pub fn describe_quorum(&self, now_ms: i64) -> Option<QuorumDescription> {
        let leader = self.core.leader()?;
        let voter = |state: &ReplicaState| {
            let mut state = state.clone();
            if state.key.id == self.local.key.id {
                state.last_fetch_timestamp_ms = now_ms;
                state.last_caught_up_timestamp_ms = now_ms;
            }
            state
        };
        Some(QuorumDescription {
            leader_id: self.local.key.id,
            leader_epoch: leader.epoch(),
            high_watermark: leader.high_watermark().unwrap_or(-1),
            voters: leader.voters().map(voter).collect(),
            observers: leader.observers(now_ms).cloned().collect(),
        })
    }

    /// Committed batches from `fetch_offset` on, whole, about `max_bytes` of them and at least one; empty at the high
    /// watermark.
    pub fn read(&self, fetch_offset: i64, max_bytes: usize) -> Result<Vec<u8>> {
        let (start, end) = (self.log.start_offset(), self.log.high_watermark());
        if !(start..=end).contains(&fetch_offset) {
            return Err(RaftError::OffsetOutOfRange { offset: fetch_offset, start, end });
        }
        if fetch_offset == end {
            return Ok(Vec::new());
        }
        self.log.read(fetch_offset, max_bytes, end)
    }

    /// Compares the end of another replica's log with this one: what a Fetch of the metadata log is answered by.
    pub fn validate_offset_and_epoch(&self, offset: i64, last_fetched_epoch: i32) -> ValidOffsetAndEpoch {
        self.log.validate_offset_and_epoch(offset, last_fetched_epoch)
    }

    /// A replica fetched from `fetch_offset`: `describe_quorum` shows it.
    pub fn observer_fetched(&mut self, replica: ReplicaKey, fetch_offset: i64, now_ms: i64) -> Result<()> {
        let log_end_offset = self.log.end_offset();
        self.handle(Event::Fetched { replica, fetch_offset, log_end_offset }, now_ms)
    }

    /// Syncs and closes. A lone voter writes nothing more: the next start begins a new epoch.
    pub fn shutdown(mut self, now_ms: i64) -> Result<()> {
        self.flush(now_ms)?;
        self.log.close()
    }

    fn handle(&mut self, event: Event, now_ms: i64) -> Result<()> {
        let actions = self.core.handle(event, now_ms);
        for (index, action) in actions.iter().enumerate() {
            match action {
                Action::PersistElection(election) => {
                    // Nothing left this node since: of several states in a row only the last needs to survive.
                    let superseded = actions.iter().skip(index + 1).find_map(|later| match later {
                        Action::PersistElection(_) => Some(true),
                        Action::LeaderChanged(_) => None,
                        _ => Some(false),
                    });
                    if superseded != Some(true) {
                        self.store.write(election, self.control.last_kraft_version())?;
                    }
                }
                Action::BecomeLeader { epoch, voters, granting_voters } => {
                    self.begin_epoch(*epoch, voters, granting_voters, now_ms)?;
                }
                Action::AdvanceHighWatermark(offset) => self.log.update_high_watermark(*offset),
                Action::LeaderChanged(LeaderAndEpoch { leader_id, epoch }) => match leader_id {
                    Some(leader_id) => tracing::info!(leader_id, epoch, "the quorum has a leader"),
                    None => tracing::debug!(epoch, "the quorum has no leader"),
                },
            }
        }
        Ok(())
    }

    /// Appends the control records that begin a leader's epoch. Only with one of its own epoch on disk may a leader
    /// commit what earlier epochs left.
    fn begin_epoch(
        &mut self,
        epoch: i32,
        voters: &[i32],
        granting_voters: &[i32],
        now_ms: i64,
    ) -> Result<()> {
        self.log.initialize_leader_epoch(epoch)?;
        let mut records = vec![ControlRecord::LeaderChange {
            leader_id: self.local.key.id,
            voters: voters.to_vec(),
            granting_voters: granting_voters.to_vec(),
        }];
        let level = self.control.last_kraft_version();
        let known = self.control.last_voters();
        // In a dynamic quorum the log must name the voters, with the listeners that this one has now.
        let only_formatted = self.control.last_voters_offset() == Some(-1);
        if level > 0
            && (only_formatted || known.voter_node_needs_update(&self.local))
            && let Some(updated) = known.update_voter(self.local.clone())
        {
            records.push(ControlRecord::KRaftVersion(level));
            records.push(ControlRecord::Voters(updated));
        }
        let base_offset = self.log.end_offset();
        let bytes = build_control_batch(base_offset, epoch, now_ms, &records)
            .map_err(|error| self.log.corrupt(base_offset, error.to_string()))?;
        let batch = RecordBatch::parse(&bytes)
            .map_err(BatchError::from)
            .and_then(|batch| CommittedBatch::read(&batch))
            .map_err(|error| self.log.corrupt(base_offset, error.to_string()))?;
        self.control.log_batch(&batch);
        self.append_batch(&bytes, batch, epoch, now_ms)?;
        self.core.update_voters(self.control.last_voters().clone());
        Ok(())
    }

    fn append_batch(&mut self, bytes: &[u8], batch: CommittedBatch, epoch: i32, now_ms: i64) -> Result<()> {
        self.log.append_as_leader(bytes, epoch, now_ms)?;
        self.unflushed = true;
        // Handed out from memory where the server is that far already; from the log otherwise.
        let next = self.recent.back().map(|last| last.last_offset + 1).or(self.next_offset);
        if next == Some(batch.base_offset) {
            self.recent.push_back(batch);
        }
        Ok(())
    }
}

fn load_control_records(log: &MetadataLog, control: &mut ControlRecordState) -> Result<()> {
    let mut next_offset = 0;
    if let Some(id) = log.latest_snapshot_id()
        && let Some(mut snapshot) = log.read_snapshot(id)?
    {
        while let Some(batch) = snapshot.next_batch()? {
            control.snapshot_batch(&batch, snapshot.last_contained_log_offset());
        }
        next_offset = id.offset;
    }
    log.for_each_batch(next_offset, |batch| {
        if batch.is_control() {
            let read = CommittedBatch::read(batch);
            control.log_batch(&read.map_err(|error| log.corrupt(batch.base_offset(), error.to_string()))?);
        }
        Ok(())
    })
}

fn check_voters(log: &MetadataLog, voters: &VoterSet, local: &VoterNode) -> Result<()> {
    if voters.is_empty() {
        return Err(RaftError::NoVoters { path: log.dir().to_owned() });
    }
    if voters.len() > 1 {
        return Err(RaftError::SeveralVoters { voters: voters.voter_ids() });
    }
    if !voters.is_only_voter(&local.key) {
        let voters: Vec<String> = voters.voters().map(|voter| voter.key.to_string()).collect();
        return Err(RaftError::NotAVoter { local: local.key, voters: voters.join(", ") });
    }
    Ok(())
}
