//! What the thread owns, and what it does with it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI16, Ordering};

use controller::{ControllerRequestContext, ControllerResult, QuorumController};
use metadata::{
    BootstrapMetadata, CommittedBatch, MetadataImage, MetadataLoader, MetadataProvenance, VersionedRecord,
};
use protocol::{MetadataRecord, Writer};
use raft::{OffsetAndEpoch, RaftEvent, RaftNode, SnapshotReader};
use tokio::sync::{oneshot, watch};

use super::batches::batches;
use super::publishing::{Publisher, Publishing};
use crate::clock::now_ms;
use crate::controller_channel::LeaderAndEpoch;
use crate::error::ServerError;

/// What releases an answer; it is told whether the records before it are committed.
type Release = Box<dyn FnOnce(bool) + Send>;

/// An answer that waits for everything below an offset to be committed.
struct Pending {
    offset: i64,
    /// And published: whoever gets it must see it.
    once_published: bool,
    release: Release,
}

/// What came of a request to the controller.
pub(super) enum Ran<T> {
    /// What it decided, and whether that changes anything.
    Decided { response: T, changes: bool },
    /// It is not active.
    NotActive,
    /// Its records cannot be written, and so nothing was.
    Refused,
}

/// What the thread owns.
pub(crate) struct MetadataState {
    node_id: i32,
    raft: RaftNode,
    /// Of a node in the role `controller`.
    controller: Option<QuorumController>,
    /// The epoch that the controller is active in.
    active_epoch: Option<i32>,
    loader: MetadataLoader,
    publishing: Publishing,
    pending: VecDeque<Pending>,
    waiting_for_image: Vec<oneshot::Sender<Arc<MetadataImage>>>,
    leader: watch::Sender<LeaderAndEpoch>,
    kraft_version: Arc<AtomicI16>,
}

impl MetadataState {
    pub(super) fn new(
        node_id: i32,
        raft: RaftNode,
        controller: Option<QuorumController>,
        leader: watch::Sender<LeaderAndEpoch>,
        kraft_version: Arc<AtomicI16>,
        publishing: Publishing,
    ) -> MetadataState {
        MetadataState {
            node_id,
            raft,
            controller,
            active_epoch: None,
            loader: MetadataLoader::new(),
            publishing,
            pending: VecDeque::new(),
            waiting_for_image: Vec::new(),
            leader,
            kraft_version,
        }
    }

    pub(super) fn raft(&mut self) -> &mut RaftNode {
        &mut self.raft
    }

    /// When there is something to do without anybody asking, in milliseconds.
    pub(super) fn next_event_ms(&self) -> i64 {
        let controller = self.controller.as_ref().filter(|_| self.active_epoch.is_some());
        let event_ms = controller.and_then(|controller| controller.next_event_ms()).unwrap_or(i64::MAX);
        self.raft.next_poll_ms().min(event_ms)
    }

    pub(super) fn publish_to(&mut self, publisher: Publisher, told: oneshot::Sender<()>) {
        self.publishing.add(publisher, self.loader.image().clone(), told);
    }

    pub(super) fn tell_when_caught_up(&mut self, waiting: oneshot::Sender<Arc<MetadataImage>>) {
        self.waiting_for_image.push(waiting);
        self.tell_caught_up();
    }

    /// Runs a request on the controller and appends its records.
    pub(super) fn run<T>(
        &mut self,
        api_version: i16,
        request: impl FnOnce(&mut QuorumController, &ControllerRequestContext<'_>) -> ControllerResult<T>,
    ) -> Result<Ran<T>, ServerError> {
        if !self.leads() {
            return Ok(Ran::NotActive);
        }
        let context = self.context(api_version);
        let Some(controller) = &mut self.controller else { return Ok(Ran::NotActive) };
        let ControllerResult { records, response, is_atomic, kraft_version } = request(controller, &context);
        match batches(&records, is_atomic, self.raft.max_append_bytes()) {
            Ok(batches) => {
                if let Some(level) = kraft_version {
                    let epoch = self.raft.leader_and_epoch().epoch;
                    self.raft.upgrade_kraft_version(epoch, level, now_ms())?;
                }
                self.append(&records, batches)?;
                Ok(Ran::Decided { response, changes: !records.is_empty() })
            }
            Err(error) => {
                tracing::error!("a request is refused because of what it would write: {error}");
                Ok(Ran::Refused)
            }
        }
    }

    /// Holds an answer back until all that was appended so far is committed, and if it says so published here.
    pub(super) fn answer_once_committed(&mut self, once_published: bool, release: Release) {
        let offset = self.raft.log_end_offset();
        self.pending.push_back(Pending { offset, once_published, release });
    }

    /// Whether what the controller decides can be appended: it is active, and raft still leads its epoch.
    pub(super) fn leads(&self) -> bool {
        self.active_epoch
            .is_some_and(|epoch| self.raft.is_leader() && self.raft.leader_and_epoch().epoch == epoch)
    }

    fn context(&self, api_version: i16) -> ControllerRequestContext<'static> {
        ControllerRequestContext {
            principal: "User:ANONYMOUS",
            api_version,
            now_ms: now_ms(),
            next_write_offset: self.raft.log_end_offset(),
            seed: common::Uuid::random().as_u128() as u64,
            forwarded: false,
            kraft_upgrade: self.raft.can_upgrade_kraft_version(),
        }
    }

    fn append_decided(&mut self, records: &[VersionedRecord], is_atomic: bool) -> Result<(), ServerError> {
        let batches = batches(records, is_atomic, self.raft.max_append_bytes())?;
        self.append(records, batches)
    }

    /// Appends records and replays them into the controller; `batches` are the same records, framed.
    fn append(&mut self, records: &[VersionedRecord], batches: Vec<Vec<Vec<u8>>>) -> Result<(), ServerError> {
        let epoch = self.raft.leader_and_epoch().epoch;
        let mut records = records.iter();
        for batch in batches {
            let last_offset = self.raft.append(epoch, &batch, now_ms())?;
            let first_offset = last_offset + 1 - batch.len() as i64;
            let Some(controller) = &mut self.controller else { continue };
            for (offset, (record, _)) in (first_offset..).zip(records.by_ref().take(batch.len())) {
                controller.replay(record, offset).map_err(replay)?;
            }
        }
        Ok(())
    }

    /// Syncs what was appended, has published what is committed, and lets the answers go that waited for it.
    pub(super) fn advance(&mut self) -> Result<(), ServerError> {
        loop {
            let events = self.raft.poll(now_ms())?;
            if self.active_epoch.is_some() && !self.leads() {
                self.renounce()?;
            }
            if events.is_empty() {
                break;
            }
            self.on_events(events)?;
        }
        self.release();
        self.tell_leader();
        self.tell_caught_up();
        Ok(())
    }

    fn release(&mut self) {
        let committed = self.raft.high_watermark().unwrap_or(0);
        while self.pending.front().is_some_and(|pending| pending.offset <= committed) {
            match self.pending.pop_front() {
                Some(Pending { once_published: true, release, .. }) => {
                    self.publishing.release(move || release(true));
                }
                Some(pending) => (pending.release)(true),
                None => break,
            }
        }
    }

    fn tell_leader(&mut self) {
        let known = self.raft.leader_and_epoch();
        // A leader that resigned is still the one that the epoch had, and nobody to ask.
        let is_another = known.leader_id.is_some_and(|id| id != self.node_id);
        let leader_id = known.leader_id.filter(|_| is_another || self.leads());
        let node = self.raft.leader_node().filter(|node| Some(node.id) == leader_id);
        let endpoint = node.map(|node| (node.host, node.port));
        let leader = LeaderAndEpoch { leader_id, epoch: known.epoch, endpoint };
        self.leader.send_if_modified(|before| {
            let is_news = *before != leader;
            if is_news {
                *before = leader;
            }
            is_news
        });
        let kraft_version = self.raft.kraft_version();
        if self.kraft_version.swap(kraft_version, Ordering::Relaxed) != kraft_version
            && let Some(controller) = &mut self.controller
        {
            controller.set_kraft_version(kraft_version);
        }
    }

    fn tell_caught_up(&mut self) {
        if self.waiting_for_image.is_empty() {
            return;
        }
        let image = self.loader.image();
        let begun = image.features.metadata_version().is_some();
        let has_all =
            self.raft.leaders_high_watermark().is_some_and(|end| self.loader.last_read_offset() + 1 >= end);
        if begun && has_all {
            let image = Arc::new(image.clone());
            for waiting in self.waiting_for_image.drain(..) {
                // Whoever waited may have given up.
                drop(waiting.send(Arc::clone(&image)));
            }
        }
    }

    fn on_events(&mut self, events: Vec<RaftEvent>) -> Result<(), ServerError> {
        let mut batches = Vec::new();
        for event in events {
            match event {
                RaftEvent::Commit(batch) => batches.push(batch),
                RaftEvent::LoadBootstrap(reader) => {
                    let records = read_records(reader)?;
                    // Directories formatted before Kafka 4.4 have a file for it, which was read already.
                    if let Some(controller) = self.controller.as_mut().filter(|_| !records.is_empty()) {
                        let bootstrap = BootstrapMetadata::from_records(records, "the bootstrap snapshot");
                        let bootstrap = bootstrap.map_err(|error| ServerError::Format(error.to_string()))?;
                        controller.set_bootstrap(bootstrap);
                    }
                }
                RaftEvent::LoadSnapshot(reader) => {
                    batches.clear();
                    self.load_snapshot(reader)?;
                }
                RaftEvent::LeaderChange(leader) => {
                    self.commit(std::mem::take(&mut batches))?;
                    if leader.is_leader(self.node_id) && self.controller.is_some() {
                        self.activate(leader.epoch)?;
                    }
                }
            }
        }
        self.commit(batches)
    }

    /// Takes over as the active controller: all that earlier leaders committed is replayed.
    fn activate(&mut self, epoch: i32) -> Result<(), ServerError> {
        if !self.raft.is_leader() || self.raft.leader_and_epoch().epoch != epoch {
            return Ok(());
        }
        let kraft_version = self.raft.kraft_version();
        let Some(controller) = &mut self.controller else { return Ok(()) };
        tracing::info!(epoch, "becoming the active controller");
        let activation = controller.activate(now_ms(), kraft_version);
        self.active_epoch = Some(epoch);
        self.append_decided(&activation.records, activation.is_atomic)
    }

    /// Gives up as the active controller, and goes back to what is committed: the rest may be lost, or not.
    fn renounce(&mut self) -> Result<(), ServerError> {
        tracing::info!(epoch = self.active_epoch, "no longer the active controller");
        self.active_epoch = None;
        for pending in self.pending.drain(..) {
            (pending.release)(false);
        }
        let Some(controller) = &mut self.controller else { return Ok(()) };
        controller.deactivate();
        let image = self.loader.image();
        let offset = image.provenance.last_contained_offset;
        let records = image.snapshot_records().map_err(|error| ServerError::Snapshot(error.to_string()))?;
        controller.load_snapshot(records.iter().map(|(record, _)| record), offset).map_err(replay)?;
        // What is read beyond the image: an open metadata transaction.
        let mut next = offset + 1;
        while next <= self.loader.last_read_offset() {
            let batches = self.raft.committed_batches(next)?;
            let Some(last) = batches.last() else { break };
            let end = last.last_offset + 1;
            for batch in &batches {
                for (offset, framed) in (batch.base_offset..).zip(batch.records()) {
                    if offset >= next && offset <= self.loader.last_read_offset() {
                        controller.replay(&read_framed(framed)?, offset).map_err(replay)?;
                    }
                }
            }
            next = end;
        }
        Ok(())
    }

    fn load_snapshot(&mut self, reader: SnapshotReader) -> Result<(), ServerError> {
        let id = reader.snapshot_id();
        let time = reader.last_contained_log_timestamp_ms();
        let records: Vec<MetadataRecord> =
            read_records(reader)?.into_iter().map(|(record, _)| record).collect();
        if let Some(controller) = &mut self.controller {
            controller.load_snapshot(records.iter(), id.offset - 1).map_err(replay)?;
        }
        let provenance = MetadataProvenance {
            last_contained_offset: id.offset - 1,
            last_contained_epoch: id.epoch,
            last_contained_log_time_ms: time,
            is_offset_batch_aligned: true,
        };
        let update = self
            .loader
            .load_snapshot(provenance, records.iter())
            .map_err(|error| ServerError::Replay(error.to_string()))?;
        self.publishing.publish(update);
        Ok(())
    }

    fn commit(&mut self, batches: Vec<raft::CommittedBatch>) -> Result<(), ServerError> {
        if batches.is_empty() {
            return Ok(());
        }
        let mut read = Vec::with_capacity(batches.len());
        for batch in &batches {
            let records: Result<Vec<MetadataRecord>, ServerError> =
                batch.records().map(read_framed).collect();
            read.push(records?);
        }
        // An active controller has replayed what it appended.
        if let Some(controller) = self.controller.as_mut().filter(|_| self.active_epoch.is_none()) {
            for (batch, records) in batches.iter().zip(&read) {
                for (offset, record) in (batch.base_offset..).zip(records) {
                    controller.replay(record, offset).map_err(replay)?;
                }
            }
        }
        let committed: Vec<CommittedBatch<'_>> = batches
            .iter()
            .zip(&read)
            .map(|(batch, records)| CommittedBatch {
                base_offset: batch.base_offset,
                last_offset: batch.last_offset,
                epoch: batch.epoch,
                append_timestamp_ms: batch.append_timestamp_ms,
                size_in_bytes: batch.size_in_bytes as u64,
                records,
            })
            .collect();
        let updates =
            self.loader.load_commit(&committed).map_err(|error| ServerError::Replay(error.to_string()))?;
        for update in updates {
            self.publishing.publish(update);
        }
        Ok(())
    }

    pub(super) fn run_timed_events(&mut self) -> Result<(), ServerError> {
        while self.leads() {
            let context = self.context(0);
            let result = self.controller.as_mut().and_then(|controller| controller.poll(&context));
            let Some(result) = result else { break };
            self.append_decided(&result.records, result.is_atomic)?;
        }
        Ok(())
    }

    pub(super) fn snapshot_if_due(&mut self) -> Result<(), ServerError> {
        let Some(reason) = self.raft.snapshot_due(now_ms()) else { return Ok(()) };
        let image = self.loader.image().clone();
        if image.features.metadata_version().is_none() {
            return Ok(());
        }
        let provenance = image.provenance;
        let records = snapshot_records(&image)?;
        let mut framed = Vec::with_capacity(records.len());
        for (record, version) in records {
            let mut writer = Writer::new();
            record.write_framed(&mut writer, version).map_err(ServerError::WriteRecord)?;
            framed.push(writer.into_bytes());
        }
        let id = OffsetAndEpoch {
            offset: provenance.last_contained_offset + 1,
            epoch: provenance.last_contained_epoch,
        };
        if self.raft.write_snapshot(id, provenance.last_contained_log_time_ms, framed, now_ms())?.is_some() {
            tracing::info!(offset = id.offset, epoch = id.epoch, %reason, "metadata snapshot written");
        }
        Ok(())
    }

    pub(super) fn close(self) -> Result<(), ServerError> {
        for pending in self.pending {
            (pending.release)(false);
        }
        Ok(self.raft.shutdown(now_ms())?)
    }
}

/// All that an image says, as records; nothing where no cluster was begun yet, whose records would have no version.
pub(super) fn snapshot_records(image: &MetadataImage) -> Result<Vec<VersionedRecord>, ServerError> {
    if image.features.metadata_version().is_none() {
        return Ok(Vec::new());
    }
    image.snapshot_records().map_err(|error| ServerError::Snapshot(error.to_string()))
}

fn replay(error: impl std::fmt::Display) -> ServerError {
    ServerError::Replay(error.to_string())
}

fn read_framed(framed: &[u8]) -> Result<MetadataRecord, ServerError> {
    MetadataRecord::read_framed(framed).map(|(record, _)| record).map_err(ServerError::MetadataRecord)
}

fn read_records(reader: SnapshotReader) -> Result<Vec<VersionedRecord>, ServerError> {
    let framed = reader.read_all()?;
    framed
        .iter()
        .map(|framed| MetadataRecord::read_framed(framed).map_err(ServerError::MetadataRecord))
        .collect()
}
