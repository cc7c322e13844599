//! A node of the quorum as a server drives it (`org.apache.kafka.raft.KafkaRaftClient`): the log, the states of elections,
//! and what of the log was handed out already.
//!
//! One thread owns it and hands in the time: [`RaftNode::handle`] takes what comes from other nodes, [`RaftNode::append`]
//! what the controller writes, [`RaftNode::poll`] syncs both, lets time pass, and gives what is committed, and
//! [`RaftNode::take_outputs`] gives what goes to other nodes. It has no clock, no socket and no thread, and what it does
//! follows from what is handed in, its disk and its seed. Appends are written at once and synced together by the next poll:
//! one sync for all that waits.

mod elections;
mod events;
mod fetching;
mod parked;
mod polling;
mod request_manager;
mod responses;
mod serving;
mod snapshots;
#[cfg(test)]
mod tests;
mod voter_changes;

use std::collections::{BTreeSet, VecDeque};

use common::ErrorCode;
use protocol::records::{RECORD_BATCH_OVERHEAD, RecordBatch};

use crate::batch::{BatchError, CommittedBatch, build_data_batch};
use crate::config::RaftConfig;
use crate::control_record::{ControlRecord, build_control_batch};
use crate::control_state::ControlRecordState;
use crate::core::{EpochState, QuorumState, ReplicaState};
use crate::error::{RaftError, Result};
use crate::metadata_log::{MetadataLog, ValidOffsetAndEpoch};
use crate::quorum_state::QuorumStateStore;
use crate::voter_set::endpoint_of;
use crate::{
    Endpoint, LeaderAndEpoch, OffsetAndEpoch, QuorumNode, QuorumRequest, QuorumResponse, RaftInput,
    RaftOutput, ReplicaKey, RequestFailure, ResponseBody, SupportedVersionRange, VoterNode, VoterSet,
};

pub use events::RaftEvent;
use parked::ParkedFetch;
use request_manager::RequestManager;
pub use snapshots::SnapshotReason;
use voter_changes::VoterChange;

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
    quorum: QuorumState,
    control: ControlRecordState,
    requests: RequestManager,
    outputs: Vec<RaftOutput>,
    parked: Vec<ParkedFetch>,
    voter_change: Option<VoterChange>,
    /// The election state is another than the one on disk.
    election_changed: bool,
    unflushed: bool,
    /// What is known to be committed, exclusive, as leader or as follower.
    high_watermark: Option<i64>,
    /// What the leader said last of that.
    leaders_high_watermark: Option<i64>,
    next_poll_ms: i64,
    /// It goes: it stands for no election and serves no fetch.
    shutting_down: bool,
    /// The next offset that the server has not heard of; none before its first event.
    next_offset: Option<i64>,
    /// What was appended and not handed out yet, when the server had all before it.
    recent: VecDeque<CommittedBatch>,
    last_leader_change: LeaderAndEpoch,
    bytes_since_snapshot: u64,
    last_snapshot_ms: i64,
    last_clean_ms: i64,
    /// Where nobody listened when a node was asked something last.
    refusing: BTreeSet<i32>,
    /// It was said that a node is of another cluster: to say it each time would fill a disk.
    told_of_other_cluster: bool,
}

impl RaftNode {
    /// Recovers the log, its snapshots and `quorum-state`, and stands for election where this node is all of the quorum.
    ///
    /// Errors: the disk; a damaged file, by name; neither voters nor servers to ask for them.
    pub fn open(config: RaftConfig, now_ms: i64) -> Result<RaftNode> {
        let mut log = MetadataLog::open(&config.metadata_log_dir, config.log.clone(), now_ms)?;
        let static_voters = VoterSet::from_static(&config.listener_name, &config.static_voters);
        let mut control = ControlRecordState::new(static_voters);
        match load_control_records(&log, &mut control) {
            // A copy that was never synced may have lost any part of itself in a crash: the leader has it.
            Err(RaftError::CorruptLog { offset, reason, .. }) if !config.can_become_voter => {
                tracing::warn!(offset, reason, "the copy of the metadata log is cut where it is damaged");
                log.truncate_to(offset, now_ms)?;
                control.clear();
                load_control_records(&log, &mut control)?;
            }
            result => result?,
        }
        let local = VoterNode {
            key: ReplicaKey::new(config.node_id, config.directory_id),
            endpoints: config.endpoints.clone(),
            supported_kraft_version: SupportedVersionRange::KRAFT_VERSION,
        };
        let voters = control.last_voters();
        let bootstrap_servers = bootstrap_servers(&config);
        if bootstrap_servers.is_empty() && !voters.is_voter(&local.key) {
            return Err(RaftError::NoVoters { path: log.dir().to_owned() });
        }
        let store = QuorumStateStore::new(log.dir());
        let election = store.read()?;
        let named: Vec<String> = voters.voters().map(|voter| voter.key.to_string()).collect();
        tracing::info!(
            voters = named.join(", "),
            log_end_offset = log.end_offset(),
            "the metadata log is open"
        );
        let timing = config.quorum.clone();
        let log_end_epoch = log.last_fetched_epoch();
        let quorum =
            QuorumState::start(local.key, timing, config.seed, election, log_end_epoch, voters, now_ms);
        let mut node = RaftNode {
            local,
            store,
            quorum,
            control,
            requests: RequestManager::new(
                bootstrap_servers,
                config.quorum.retry_backoff_ms,
                config.quorum.request_timeout_ms,
            ),
            outputs: Vec::new(),
            parked: Vec::new(),
            voter_change: None,
            election_changed: true,
            // What recovery found may still be unsynced.
            unflushed: log.end_offset() > log.start_offset(),
            high_watermark: None,
            leaders_high_watermark: None,
            next_poll_ms: now_ms,
            shutting_down: false,
            next_offset: None,
            recent: VecDeque::new(),
            last_leader_change: LeaderAndEpoch::default(),
            bytes_since_snapshot: 0,
            last_snapshot_ms: now_ms,
            last_clean_ms: now_ms,
            refusing: BTreeSet::new(),
            told_of_other_cluster: false,
            log,
            config,
        };
        if node.voters().is_only_voter(&node.local.key) {
            match node.quorum.state() {
                EpochState::Candidate(_) => node.advance_election(now_ms)?,
                _ => node.become_prospective(now_ms)?,
            }
        }
        node.flush(now_ms)?;
        node.persist_election()?;
        Ok(node)
    }

    /// Takes what comes from another node.
    ///
    /// Errors: the disk, and what makes it senseless to go on.
    pub fn handle(&mut self, input: RaftInput, now_ms: i64) -> Result<()> {
        match input {
            RaftInput::Request { token, request } => self.handle_request(token, request, now_ms),
            RaftInput::Response { from, correlation_id, result } => {
                if !self.requests.is_response_expected(from, correlation_id) {
                    return Ok(());
                }
                match &result {
                    Err(RequestFailure::Refused) => drop(self.refusing.insert(from)),
                    _ => drop(self.refusing.remove(&from)),
                }
                let success = self.handle_response(from, result, now_ms)?;
                self.requests.response_handled(from, correlation_id, success, now_ms);
                Ok(())
            }
        }
    }

    /// What goes out now. Fetches that wait get what was appended since, also where it is not synced yet: to have it on
    /// the disks of the others does not need it on this one.
    ///
    /// **Invariant:** nothing leaves before `quorum-state` has the vote and the epoch that it rests on.
    pub fn take_outputs(&mut self, now_ms: i64) -> Result<Vec<RaftOutput>> {
        self.complete_fetches(now_ms)?;
        self.persist_election()?;
        Ok(std::mem::take(&mut self.outputs))
    }

    /// Syncs what was appended, lets time pass, moves the high watermark, and gives what is newly committed: about 8 MiB
    /// at a time, so call until it is empty. Also the deletion of old snapshots, once a minute.
    pub fn poll(&mut self, now_ms: i64) -> Result<Vec<RaftEvent>> {
        self.flush(now_ms)?;
        self.poll_state(now_ms)?;
        // A state that began an epoch has appended.
        self.flush(now_ms)?;
        self.persist_election()?;
        if now_ms.saturating_sub(self.last_clean_ms) >= CLEAN_INTERVAL_MS {
            self.clean(now_ms)?;
        }
        let mut events = Vec::new();
        if let Some(high_watermark) = self.high_watermark {
            self.load_snapshot(&mut events, now_ms)?;
            self.take_committed(high_watermark, &mut events)?;
        }
        self.take_leader_change(&mut events);
        Ok(events)
    }

    /// Deletes old snapshots and the log that they cover (`metadata.max.retention.*`); a poll does it once a minute.
    pub fn clean(&mut self, now_ms: i64) -> Result<()> {
        self.last_clean_ms = now_ms;
        self.log.maybe_clean(now_ms).map(|_| ())
    }

    /// Appends framed metadata records as one batch, all or nothing, and gives the offset of the last. They are committed
    /// once a later [`RaftNode::flush`] or [`RaftNode::poll`] moved the high watermark past them.
    ///
    /// Errors: this node does not lead `epoch`; more bytes than a batch holds; no records; the disk.
    pub fn append(&mut self, epoch: i32, records: &[Vec<u8>], now_ms: i64) -> Result<i64> {
        let state = self.quorum.state().name();
        if self.quorum.leader().is_none_or(|leader| leader.epoch() != epoch) {
            return Err(RaftError::NotLeader { given: epoch, current: self.quorum.epoch(), state });
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

    /// How many bytes of records an append takes, with what each takes beside itself.
    pub fn max_append_bytes(&self) -> usize {
        self.config.log.max_batch_size_bytes.saturating_sub(RECORD_BATCH_OVERHEAD)
    }

    /// Syncs what was appended, and moves the high watermark as far as that allows.
    pub fn flush(&mut self, now_ms: i64) -> Result<()> {
        if self.unflushed && self.config.can_become_voter {
            self.log.flush()?;
        }
        self.unflushed = false;
        let end_offset = self.log.end_offset();
        if let Some(leader) = self.quorum.leader_mut() {
            if leader.update_local(end_offset) {
                self.leader_high_watermark_moved(now_ms)?;
            }
        } else if let Some(high_watermark) = self.leaders_high_watermark {
            self.advance_high_watermark(high_watermark.min(end_offset));
        }
        Ok(())
    }

    /// Gives up leadership of `epoch` at the next poll; a later epoch begins after the election timeout.
    pub fn resign(&mut self, epoch: i32) {
        if let Some(leader) = self.quorum.leader_mut().filter(|leader| leader.epoch() == epoch) {
            leader.request_resign();
        }
    }

    /// Begins to go: a leader resigns at the next poll, so that another is elected at once. Poll and send on until
    /// [`RaftNode::may_stop`] or a timeout.
    pub fn begin_shutdown(&mut self) {
        self.shutting_down = true;
    }

    /// Whether the quorum has no more need of this node: it has another leader, never needed it, or nobody of it is left.
    ///
    /// Divergence: Kafka waits for its timeout where nobody is left.
    pub fn may_stop(&self) -> bool {
        let voters = self.control.last_voters();
        let leader = self.quorum.leader_and_epoch().leader_id;
        let is_gone = |id: i32| id == self.local.key.id || self.refusing.contains(&id);
        if voters.voter_ids().into_iter().all(is_gone) {
            return true;
        }
        !voters.is_voter(&self.local.key)
            || voters.is_only_voter(&self.local.key)
            || leader.is_some_and(|leader| leader != self.local.key.id)
    }

    /// Where the next append goes.
    pub fn log_end_offset(&self) -> i64 {
        self.log.end_offset()
    }

    /// Where the log starts.
    pub fn log_start_offset(&self) -> i64 {
        self.log.start_offset()
    }

    /// What is known to be committed, exclusive; none before a leader said so, or this one committed in its epoch.
    pub fn high_watermark(&self) -> Option<i64> {
        self.high_watermark
    }

    /// What the leader of this epoch is known to have committed, exclusive; it may be beyond the end of this node's log.
    pub fn leaders_high_watermark(&self) -> Option<i64> {
        match self.quorum.leader() {
            Some(leader) => leader.high_watermark(),
            None => self.leaders_high_watermark,
        }
    }

    /// Committed batches again, the first of which has `offset`: about 8 MiB of them.
    ///
    /// Errors: a damaged log; the disk.
    pub fn committed_batches(&self, offset: i64) -> Result<Vec<CommittedBatch>> {
        let bytes = self.read(offset, self.config.log.max_batch_size_bytes)?;
        self.parse_committed(offset, &bytes)
    }

    /// The batches in what was read of the log from `offset` on.
    fn parse_committed(&self, offset: i64, bytes: &[u8]) -> Result<Vec<CommittedBatch>> {
        let parse = |batch: Result<RecordBatch<'_>>| {
            CommittedBatch::read(&batch?).map_err(|error| self.log.corrupt(offset, error.to_string()))
        };
        self.log.batches(offset, bytes).map(parse).collect()
    }

    /// The leader and the epoch.
    pub fn leader_and_epoch(&self) -> LeaderAndEpoch {
        self.quorum.leader_and_epoch()
    }

    /// Whether this node leads.
    pub fn is_leader(&self) -> bool {
        self.quorum.leader().is_some()
    }

    /// The voters at the end of the log.
    pub fn voters(&self) -> &VoterSet {
        self.control.last_voters()
    }

    /// The level of kraft.version at the end of the log: 0 static voters, 1 dynamic ones.
    pub fn kraft_version(&self) -> i16 {
        self.control.last_kraft_version()
    }

    /// When [`RaftNode::poll`] must be called at the latest for the sake of the quorum, in milliseconds; `i64::MAX`: when
    /// there is work.
    pub fn next_poll_ms(&self) -> i64 {
        self.parked.iter().map(|parked| parked.deadline_ms).min().unwrap_or(i64::MAX).min(self.next_poll_ms)
    }

    /// The state of elections that this node is in, in Kafka's word.
    pub fn state_name(&self) -> &'static str {
        self.quorum.state().name()
    }

    /// Where the leader listens, as far as this node knows.
    pub fn leader_endpoints(&self) -> &[Endpoint] {
        match self.quorum.state() {
            EpochState::Leader(_) | EpochState::Resigned(_) => &self.local.endpoints,
            _ => self.quorum.remote_leader_endpoints(),
        }
    }

    /// Where the leader is reached by the quorum's listener.
    pub fn leader_node(&self) -> Option<QuorumNode> {
        let id = self.quorum.leader_and_epoch().leader_id?;
        let endpoint = endpoint_of(self.leader_endpoints(), &self.config.listener_name)?;
        Some(QuorumNode { id, host: endpoint.host.clone(), port: endpoint.port })
    }

    /// The facts of a `DescribeQuorum` response; none if this node does not lead.
    pub fn describe_quorum(&self, now_ms: i64) -> Option<QuorumDescription> {
        let leader = self.quorum.leader()?;
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

    /// Syncs and closes. Nothing more is written: a leader's next start begins a new epoch.
    pub fn shutdown(mut self, now_ms: i64) -> Result<()> {
        self.flush(now_ms)?;
        self.persist_election()?;
        self.log.close()
    }

    fn log_end(&self) -> OffsetAndEpoch {
        OffsetAndEpoch::new(self.log.end_offset(), self.log.last_fetched_epoch())
    }

    fn is_voter(&self) -> bool {
        self.voters().is_voter(&self.local.key)
    }

    /// Writes `quorum-state` where it changed. Of several states in a row only the last needs to survive, as nothing left
    /// this node between them.
    fn persist_election(&mut self) -> Result<()> {
        if self.election_changed {
            let election = self.quorum.election(self.control.last_voters());
            self.store.write(&election, self.control.last_kraft_version())?;
            self.election_changed = false;
        }
        Ok(())
    }

    fn advance_high_watermark(&mut self, offset: i64) {
        // A leader that was just elected may not know yet what an earlier one had told.
        if self.high_watermark.is_none_or(|before| before < offset) && offset >= self.log.high_watermark() {
            self.high_watermark = Some(offset);
            self.log.update_high_watermark(offset);
        }
    }

    /// Appends the control records that begin a leader's epoch. Only with one of its own epoch on disk may a leader
    /// commit what earlier epochs left.
    fn begin_epoch(&mut self, epoch: i32, granting_voters: Vec<i32>, now_ms: i64) -> Result<()> {
        self.log.initialize_leader_epoch(epoch)?;
        let voters = self.voters().voter_ids();
        let leader_id = self.local.key.id;
        let mut records = vec![ControlRecord::LeaderChange { leader_id, voters, granting_voters }];
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
        self.append_control_records(&records, epoch, now_ms).map(|_| ())
    }

    /// Appends control records as one batch; gives the offset of the last. Voters count from now on.
    fn append_control_records(&mut self, records: &[ControlRecord], epoch: i32, now_ms: i64) -> Result<i64> {
        let base_offset = self.log.end_offset();
        let bytes = build_control_batch(base_offset, epoch, now_ms, records)
            .map_err(|error| self.log.corrupt(base_offset, error.to_string()))?;
        let batch = RecordBatch::parse(&bytes)
            .map_err(BatchError::from)
            .and_then(|batch| CommittedBatch::read(&batch))
            .map_err(|error| self.log.corrupt(base_offset, error.to_string()))?;
        let last_offset = batch.last_offset;
        self.control.log_batch(&batch);
        self.append_batch(&bytes, batch, epoch, now_ms)?;
        if let Some(leader) = self.quorum.leader_mut() {
            leader.update_voters(self.control.last_voters());
        }
        Ok(last_offset)
    }

    fn append_batch(&mut self, bytes: &[u8], batch: CommittedBatch, epoch: i32, now_ms: i64) -> Result<()> {
        self.log.append_as_leader(bytes, epoch, now_ms)?;
        self.unflushed = true;
        self.keep_for_server(batch);
        Ok(())
    }

    /// Handed out from memory where the server is that far already; from the log otherwise.
    fn keep_for_server(&mut self, batch: CommittedBatch) {
        let next = self.recent.back().map(|last| last.last_offset + 1).or(self.next_offset);
        if next == Some(batch.base_offset) {
            self.recent.push_back(batch);
        }
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

/// Who is asked for the leader while none is known: the servers configured, or the static voters.
fn bootstrap_servers(config: &RaftConfig) -> Vec<QuorumNode> {
    if config.bootstrap_servers.is_empty() {
        let others = config.static_voters.iter().filter(|(id, _, _)| *id != config.node_id);
        others.map(|(id, host, port)| QuorumNode { id: *id, host: host.clone(), port: *port }).collect()
    } else {
        let named = (2..).zip(&config.bootstrap_servers);
        named
            .map(|(number, (host, port))| QuorumNode { id: -number, host: host.clone(), port: *port })
            .collect()
    }
}
