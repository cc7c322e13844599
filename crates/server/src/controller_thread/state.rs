//! What the thread owns, and what it does with it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI16, Ordering};

use controller::{ControllerRequestContext, ControllerResult, QuorumController};
use metadata::{
    BootstrapMetadata, CommittedBatch, LoaderUpdate, MetadataDelta, MetadataImage, MetadataLoader,
    MetadataProvenance, VersionedRecord,
};
use protocol::{MetadataRecord, Writer};
use raft::{OffsetAndEpoch, RaftEvent, RaftNode, SnapshotReader};
use tokio::sync::{oneshot, watch};

use crate::clock::now_ms;
use crate::controller_channel::LeaderAndEpoch;
use crate::error::ServerError;

/// Records in one batch, where they need not be one.
const RECORDS_PER_BATCH: usize = 1000;

/// Learns of each new image, on the metadata's thread and before the answer to whoever caused it.
pub(crate) type Publisher = Box<dyn FnMut(&MetadataDelta, &MetadataImage) + Send>;

/// What releases an answer; it is told whether the records before it are committed.
type Release = Box<dyn FnOnce(bool) + Send>;

/// An answer that waits for everything below an offset to be committed.
struct Pending {
    offset: i64,
    release: Release,
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
    publishers: Vec<Publisher>,
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
    ) -> MetadataState {
        MetadataState {
            node_id,
            raft,
            controller,
            active_epoch: None,
            loader: MetadataLoader::new(),
            publishers: Vec::new(),
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

    pub(super) fn publish_to(&mut self, mut publisher: Publisher) -> Result<(), ServerError> {
        let image = self.loader.image().clone();
        let mut delta = MetadataDelta::new(&MetadataImage::empty());
        for (record, _) in snapshot_records(&image)? {
            delta.replay(&record).map_err(replay)?;
        }
        publisher(&delta, &image);
        self.publishers.push(publisher);
        Ok(())
    }

    pub(super) fn tell_when_caught_up(&mut self, waiting: oneshot::Sender<Arc<MetadataImage>>) {
        self.waiting_for_image.push(waiting);
        self.tell_caught_up();
    }

    /// Runs a request on the controller and appends its records. None: it is not active.
    pub(super) fn run<T>(
        &mut self,
        api_version: i16,
        request: impl FnOnce(&mut QuorumController, &ControllerRequestContext<'_>) -> ControllerResult<T>,
    ) -> Result<Option<T>, ServerError> {
        if !self.leads() {
            return Ok(None);
        }
        let context = self.context(api_version);
        let Some(controller) = &mut self.controller else { return Ok(None) };
        let result = request(controller, &context);
        self.append(result.records, result.is_atomic)?;
        Ok(Some(result.response))
    }

    /// Holds an answer back until all that was appended so far is committed.
    pub(super) fn answer_once_committed(&mut self, release: Release) {
        self.pending.push_back(Pending { offset: self.raft.log_end_offset(), release });
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
        }
    }

    fn append(&mut self, records: Vec<VersionedRecord>, is_atomic: bool) -> Result<(), ServerError> {
        let epoch = self.raft.leader_and_epoch().epoch;
        let per_batch = if is_atomic { records.len().max(1) } else { RECORDS_PER_BATCH };
        for batch in records.chunks(per_batch) {
            let mut framed = Vec::with_capacity(batch.len());
            for (record, version) in batch {
                let mut writer = Writer::new();
                record.write_framed(&mut writer, *version).map_err(ServerError::WriteRecord)?;
                framed.push(writer.into_bytes());
            }
            let last_offset = self.raft.append(epoch, &framed, now_ms())?;
            let first_offset = last_offset + 1 - batch.len() as i64;
            if let Some(controller) = &mut self.controller {
                for (offset, (record, _)) in (first_offset..).zip(batch) {
                    controller.replay(record, offset).map_err(replay)?;
                }
            }
        }
        Ok(())
    }

    /// Syncs what was appended, publishes what is committed, and lets the answers go that waited for it.
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
            if let Some(pending) = self.pending.pop_front() {
                (pending.release)(true);
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
        self.append(activation.records, activation.is_atomic)
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
        self.publish(&update);
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
        for update in &updates {
            self.publish(update);
        }
        Ok(())
    }

    fn publish(&mut self, update: &LoaderUpdate) {
        for publisher in &mut self.publishers {
            publisher(&update.delta, &update.image);
        }
    }

    pub(super) fn run_timed_events(&mut self) -> Result<(), ServerError> {
        while self.leads() {
            let context = self.context(0);
            let result = self.controller.as_mut().and_then(|controller| controller.poll(&context));
            let Some(result) = result else { break };
            self.append(result.records, result.is_atomic)?;
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
fn snapshot_records(image: &MetadataImage) -> Result<Vec<VersionedRecord>, ServerError> {
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
