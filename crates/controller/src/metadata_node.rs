//! What every node does with the metadata: KRaft, the loader, and on a controller the [`QuorumController`], in step with each
//! other (`SharedServer`; `QuorumController`'s event queue and its `QuorumMetaLogListener`).
//!
//! The records of a decision are appended and replayed, its answer waits until they are committed, and what a controller
//! replayed that lost the lead is forgotten. No thread, no clock: whoever owns it hands in the time, and does what comes out.

use std::collections::VecDeque;

use metadata::{
    BootstrapMetadata, CommittedBatch, LoaderUpdate, MetadataImage, MetadataLoader, MetadataProvenance,
    MetadataRecord, VersionedRecord,
};
use protocol::{DecodeError, EncodeError, Writer};
use raft::{OffsetAndEpoch, RaftError, RaftEvent, RaftNode, SnapshotReader};

use crate::batches::batches;
use crate::quorum_controller::QuorumController;
use crate::result::{ControllerRequestContext, ControllerResult};

/// Why a node cannot go on with its metadata, or a decision cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum MetadataNodeError {
    /// The metadata log or the quorum failed.
    #[error(transparent)]
    Raft(#[from] RaftError),
    /// What the directories were formatted with cannot be used.
    #[error("the log directories cannot be formatted: {0}")]
    Bootstrap(String),
    /// A record of the metadata log is not known.
    #[error("a record of the metadata log cannot be read: {0}; it may be from a newer version")]
    Record(DecodeError),
    /// A metadata record cannot be written.
    #[error("a metadata record cannot be written: {0}")]
    WriteRecord(EncodeError),
    /// A decision is more than a batch of the metadata log holds.
    #[error("{records} records that belong together are more than a batch of {max_bytes} bytes")]
    TooManyRecords {
        /// How many.
        records: usize,
        /// What a batch holds, in bytes.
        max_bytes: usize,
    },
    /// Records do not fit the state before them.
    #[error("the metadata log contradicts itself: {0}")]
    Replay(String),
    /// A snapshot cannot be made.
    #[error("a metadata snapshot cannot be written: {0}")]
    Snapshot(String),
}

type Result<T> = std::result::Result<T, MetadataNodeError>;

/// What came of a request to the controller.
#[derive(Debug)]
pub enum Decision<T> {
    /// What it decided, and whether that changes anything.
    Decided {
        /// The answer, to be given once what was appended so far is committed.
        response: T,
        /// Whether there are records.
        changes: bool,
    },
    /// It is not active.
    NotActive,
    /// Its records cannot be written, and so nothing was.
    Refused,
}

/// What has come of what was appended, in order.
#[derive(Debug)]
pub enum MetadataEvent<A> {
    /// A new image.
    Update(Box<LoaderUpdate>),
    /// What this answer waited for is committed.
    Committed(A),
    /// The lead was lost before: it may be committed yet, or not.
    Lost(A),
}

/// A node's metadata. `A` is what waits for a commit.
#[derive(Debug)]
pub struct MetadataNode<A> {
    node_id: i32,
    raft: RaftNode,
    /// Of a node in the role `controller`.
    controller: Option<QuorumController>,
    /// The epoch that the controller is active in.
    active_epoch: Option<i32>,
    loader: MetadataLoader,
    /// Answers, each behind the end of the log when it was made.
    pending: VecDeque<(i64, A)>,
}

impl<A> MetadataNode<A> {
    /// A node that has read nothing yet. `controller`: of a node in the role `controller`, new and empty.
    pub fn new(node_id: i32, raft: RaftNode, controller: Option<QuorumController>) -> MetadataNode<A> {
        MetadataNode {
            node_id,
            raft,
            controller,
            active_epoch: None,
            loader: MetadataLoader::new(),
            pending: VecDeque::new(),
        }
    }

    /// The quorum's side.
    pub fn raft(&self) -> &RaftNode {
        &self.raft
    }

    /// The quorum's side, to hand in what comes from other nodes.
    pub fn raft_mut(&mut self) -> &mut RaftNode {
        &mut self.raft
    }

    /// The newest image.
    pub fn image(&self) -> &MetadataImage {
        self.loader.image()
    }

    /// The offset of the last record that was read, even if its transaction has not ended.
    pub fn last_read_offset(&self) -> i64 {
        self.loader.last_read_offset()
    }

    /// When there is something to do without anybody asking, in milliseconds.
    pub fn next_event_ms(&self) -> i64 {
        let controller = self.controller.as_ref().filter(|_| self.active_epoch.is_some());
        let event_ms = controller.and_then(|controller| controller.next_event_ms()).unwrap_or(i64::MAX);
        self.raft.next_poll_ms().min(event_ms)
    }

    /// Whether what the controller decides can be appended: it is active, and raft still leads its epoch.
    pub fn leads(&self) -> bool {
        self.active_epoch
            .is_some_and(|epoch| self.raft.is_leader() && self.raft.leader_and_epoch().epoch == epoch)
    }

    /// Runs a request on the controller and appends its records. `seed`: where randomness starts.
    ///
    /// # Errors
    /// What ends the node.
    pub fn run<T>(
        &mut self,
        api_version: i16,
        request: impl FnOnce(&mut QuorumController, &ControllerRequestContext<'_>) -> ControllerResult<T>,
        seed: u64,
        now_ms: i64,
    ) -> Result<Decision<T>> {
        if !self.leads() {
            return Ok(Decision::NotActive);
        }
        let context = self.context(api_version, seed, now_ms);
        let Some(controller) = &mut self.controller else { return Ok(Decision::NotActive) };
        let ControllerResult { records, response, is_atomic, kraft_version } = request(controller, &context);
        match batches(&records, is_atomic, self.raft.max_append_bytes()) {
            Ok(batches) => {
                if let Some(level) = kraft_version {
                    let epoch = self.raft.leader_and_epoch().epoch;
                    self.raft.upgrade_kraft_version(epoch, level, now_ms)?;
                }
                self.append(&records, batches, now_ms)?;
                Ok(Decision::Decided { response, changes: !records.is_empty() })
            }
            Err(error) => {
                tracing::error!("a request is refused because of what it would write: {error}");
                Ok(Decision::Refused)
            }
        }
    }

    /// Holds an answer back until all that was appended so far is committed.
    pub fn answer_once_committed(&mut self, answer: A) {
        self.pending.push_back((self.raft.log_end_offset(), answer));
    }

    fn context(&self, api_version: i16, seed: u64, now_ms: i64) -> ControllerRequestContext<'static> {
        ControllerRequestContext {
            principal: "User:ANONYMOUS",
            api_version,
            now_ms,
            next_write_offset: self.raft.log_end_offset(),
            seed,
            forwarded: false,
            kraft_upgrade: self.raft.can_upgrade_kraft_version(),
        }
    }

    fn append_decided(&mut self, records: &[VersionedRecord], is_atomic: bool, now_ms: i64) -> Result<()> {
        let batches = batches(records, is_atomic, self.raft.max_append_bytes())?;
        self.append(records, batches, now_ms)
    }

    /// Appends records and replays them into the controller; `batches` are the same records, framed.
    fn append(&mut self, records: &[VersionedRecord], batches: Vec<Vec<Vec<u8>>>, now_ms: i64) -> Result<()> {
        let epoch = self.raft.leader_and_epoch().epoch;
        let mut records = records.iter();
        for batch in batches {
            let last_offset = self.raft.append(epoch, &batch, now_ms)?;
            let first_offset = last_offset + 1 - batch.len() as i64;
            let Some(controller) = &mut self.controller else { continue };
            for (offset, (record, _)) in (first_offset..).zip(records.by_ref().take(batch.len())) {
                controller.replay(record, offset).map_err(replay)?;
            }
        }
        Ok(())
    }

    /// Syncs what was appended, and gives what has come of it: images of what is committed, and then the answers that waited
    /// for it.
    ///
    /// # Errors
    /// What ends the node.
    pub fn advance(&mut self, now_ms: i64, tell: &mut dyn FnMut(MetadataEvent<A>)) -> Result<()> {
        loop {
            let events = self.raft.poll(now_ms)?;
            if self.active_epoch.is_some() && !self.leads() {
                self.renounce(tell)?;
            }
            if events.is_empty() {
                break;
            }
            self.on_events(events, now_ms, tell)?;
        }
        let committed = self.raft.high_watermark().unwrap_or(0);
        while let Some((_, answer)) = self.pending.pop_front_if(|(offset, _)| *offset <= committed) {
            tell(MetadataEvent::Committed(answer));
        }
        let kraft_version = self.raft.kraft_version();
        if let Some(controller) = &mut self.controller {
            controller.set_kraft_version(kraft_version);
        }
        Ok(())
    }

    fn on_events(
        &mut self,
        events: Vec<RaftEvent>,
        now_ms: i64,
        tell: &mut dyn FnMut(MetadataEvent<A>),
    ) -> Result<()> {
        let mut batches = Vec::new();
        for event in events {
            match event {
                RaftEvent::Commit(batch) => batches.push(batch),
                RaftEvent::LoadBootstrap(reader) => {
                    let records = read_records(reader)?;
                    // Directories formatted before Kafka 4.4 have a file for it, which was read already.
                    if let Some(controller) = self.controller.as_mut().filter(|_| !records.is_empty()) {
                        let bootstrap = BootstrapMetadata::from_records(records, "the bootstrap snapshot");
                        let failed =
                            |error: metadata::BootstrapError| MetadataNodeError::Bootstrap(error.to_string());
                        controller.set_bootstrap(bootstrap.map_err(failed)?);
                    }
                }
                RaftEvent::LoadSnapshot(reader) => {
                    batches.clear();
                    self.load_snapshot(reader, tell)?;
                }
                RaftEvent::LeaderChange(leader) => {
                    self.commit(std::mem::take(&mut batches), tell)?;
                    if leader.is_leader(self.node_id) && self.controller.is_some() {
                        self.activate(leader.epoch, now_ms)?;
                    }
                }
            }
        }
        self.commit(batches, tell)
    }

    /// Takes over as the active controller: all that earlier leaders committed is replayed.
    fn activate(&mut self, epoch: i32, now_ms: i64) -> Result<()> {
        if !self.raft.is_leader() || self.raft.leader_and_epoch().epoch != epoch {
            return Ok(());
        }
        let kraft_version = self.raft.kraft_version();
        let Some(controller) = &mut self.controller else { return Ok(()) };
        tracing::info!(epoch, "becoming the active controller");
        let activation = controller.activate(now_ms, kraft_version);
        self.active_epoch = Some(epoch);
        self.append_decided(&activation.records, activation.is_atomic, now_ms)
    }

    /// Gives up as the active controller, and goes back to what is committed: the rest may be lost, or not.
    fn renounce(&mut self, tell: &mut dyn FnMut(MetadataEvent<A>)) -> Result<()> {
        tracing::info!(epoch = self.active_epoch, "no longer the active controller");
        self.active_epoch = None;
        for (_, answer) in self.pending.drain(..) {
            tell(MetadataEvent::Lost(answer));
        }
        let Some(controller) = &mut self.controller else { return Ok(()) };
        controller.deactivate();
        let image = self.loader.image();
        let offset = image.provenance.last_contained_offset;
        let records = snapshot_records(image)?;
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

    fn load_snapshot(
        &mut self,
        reader: SnapshotReader,
        tell: &mut dyn FnMut(MetadataEvent<A>),
    ) -> Result<()> {
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
            .map_err(|error| MetadataNodeError::Replay(error.to_string()))?;
        tell(MetadataEvent::Update(Box::new(update)));
        Ok(())
    }

    fn commit(
        &mut self,
        batches: Vec<raft::CommittedBatch>,
        tell: &mut dyn FnMut(MetadataEvent<A>),
    ) -> Result<()> {
        if batches.is_empty() {
            return Ok(());
        }
        let mut read = Vec::with_capacity(batches.len());
        for batch in &batches {
            let records: Result<Vec<MetadataRecord>> = batch.records().map(read_framed).collect();
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
        let failed = |error: metadata::LoadError| MetadataNodeError::Replay(error.to_string());
        for update in self.loader.load_commit(&committed).map_err(failed)? {
            tell(MetadataEvent::Update(Box::new(update)));
        }
        Ok(())
    }

    /// Lets the active controller do what is due. `seed`: where the randomness of each task starts.
    ///
    /// # Errors
    /// What ends the node.
    pub fn run_timed_events(&mut self, seed: &mut dyn FnMut() -> u64, now_ms: i64) -> Result<()> {
        while self.leads() {
            let context = self.context(0, seed(), now_ms);
            let result = self.controller.as_mut().and_then(|controller| controller.poll(&context));
            let Some(result) = result else { break };
            self.append_decided(&result.records, result.is_atomic, now_ms)?;
        }
        Ok(())
    }

    /// Writes a snapshot of the newest image, where one is due.
    ///
    /// # Errors
    /// What ends the node.
    pub fn snapshot_if_due(&mut self, now_ms: i64) -> Result<()> {
        let Some(reason) = self.raft.snapshot_due(now_ms) else { return Ok(()) };
        let image = self.loader.image().clone();
        if image.features.metadata_version().is_none() {
            return Ok(());
        }
        let provenance = image.provenance;
        let records = snapshot_records(&image)?;
        let mut framed = Vec::with_capacity(records.len());
        for (record, version) in records {
            let mut writer = Writer::new();
            record.write_framed(&mut writer, version).map_err(MetadataNodeError::WriteRecord)?;
            framed.push(writer.into_bytes());
        }
        let id = OffsetAndEpoch {
            offset: provenance.last_contained_offset + 1,
            epoch: provenance.last_contained_epoch,
        };
        let written = self.raft.write_snapshot(id, provenance.last_contained_log_time_ms, framed, now_ms)?;
        if written.is_some() {
            tracing::info!(offset = id.offset, epoch = id.epoch, %reason, "metadata snapshot written");
        }
        Ok(())
    }

    /// Closes the log. Gives the answers that will not come.
    ///
    /// # Errors
    /// If the log cannot be closed.
    pub fn close(self, now_ms: i64) -> (Vec<A>, Result<()>) {
        let unanswered = self.pending.into_iter().map(|(_, answer)| answer).collect();
        (unanswered, self.raft.shutdown(now_ms).map_err(MetadataNodeError::Raft))
    }
}

/// All that an image says, as records; nothing where no cluster was begun yet, whose records would have no version.
///
/// # Errors
/// If the image's version has no place for what it holds.
pub fn snapshot_records(image: &MetadataImage) -> Result<Vec<VersionedRecord>> {
    if image.features.metadata_version().is_none() {
        return Ok(Vec::new());
    }
    image.snapshot_records().map_err(|error| MetadataNodeError::Snapshot(error.to_string()))
}

fn replay(error: impl std::fmt::Display) -> MetadataNodeError {
    MetadataNodeError::Replay(error.to_string())
}

fn read_framed(framed: &[u8]) -> Result<MetadataRecord> {
    MetadataRecord::read_framed(framed).map(|(record, _)| record).map_err(MetadataNodeError::Record)
}

fn read_records(reader: SnapshotReader) -> Result<Vec<VersionedRecord>> {
    let framed = reader.read_all()?;
    framed
        .iter()
        .map(|framed| MetadataRecord::read_framed(framed).map_err(MetadataNodeError::Record))
        .collect()
}
