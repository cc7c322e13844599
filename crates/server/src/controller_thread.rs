//! The thread of the controller: owns KRaft, the `QuorumController` and the metadata loader.
//!
//! Requests come in as jobs. Those that wait are run one after the other, their records are appended, one sync commits
//! them all, the new image is published, and then their answers leave. So whoever got an answer sees its effect.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use controller::{ControllerRequestContext, ControllerResult, QuorumController};
use metadata::{CommittedBatch, MetadataDelta, MetadataImage, MetadataLoader, VersionedRecord};
use protocol::{MetadataRecord, Writer};
use raft::{OffsetAndEpoch, RaftEvent, RaftNode, SnapshotReader};
use tokio::sync::oneshot;

use crate::clock::now_ms;
use crate::error::ServerError;

/// Jobs that share one sync.
const JOBS_AT_ONCE: usize = 256;
/// Records in one batch, where they need not be one.
const RECORDS_PER_BATCH: usize = 1000;
/// How long the thread sleeps at most: raft has its own small duties.
const LONGEST_SLEEP_MS: i64 = 60_000;

/// Learns of each new image, on the controller's thread and before the answer to whoever caused it.
pub(crate) type Publisher = Box<dyn FnMut(&MetadataDelta, &MetadataImage) + Send>;

/// What releases an answer once the records before it are committed.
type Release = Box<dyn FnOnce() + Send>;
type Job = Box<dyn FnOnce(&mut ControllerState) -> Result<Release, ServerError> + Send>;

/// The handle of a controller whose thread is still to begin, and the jobs that it will take.
pub(crate) fn channel() -> (ControllerHandle, Jobs) {
    let (sender, receiver) = mpsc::channel();
    (ControllerHandle { jobs: sender.clone() }, Jobs { sender, receiver })
}

/// Where jobs arrive.
pub(crate) struct Jobs {
    sender: Sender<Option<Job>>,
    receiver: Receiver<Option<Job>>,
}

/// The way to the controller: requests as any broker would send them.
#[derive(Clone)]
pub(crate) struct ControllerHandle {
    jobs: Sender<Option<Job>>,
}

impl ControllerHandle {
    /// Runs a request on the controller; the answer comes once its records are committed and published. An error means
    /// that the controller has stopped.
    pub(crate) async fn request<T, F>(&self, api_version: i16, request: F) -> Result<T, ControllerStopped>
    where
        T: Send + 'static,
        F: FnOnce(&mut QuorumController, &ControllerRequestContext<'_>) -> ControllerResult<T>
            + Send
            + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |state| {
            let response = state.run(api_version, request)?;
            // A client that is gone does not want it any more.
            Ok(Box::new(move || drop(sender.send(response))))
        });
        self.jobs.send(Some(job)).map_err(|_| ControllerStopped)?;
        receiver.await.map_err(|_| ControllerStopped)
    }

    /// Looks at the state of the quorum.
    pub(crate) async fn inspect<T, F>(&self, look: F) -> Result<T, ControllerStopped>
    where
        T: Send + 'static,
        F: FnOnce(&mut RaftNode, &mut QuorumController) -> T + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |state| {
            let seen = look(&mut state.raft, &mut state.controller);
            Ok(Box::new(move || drop(sender.send(seen))))
        });
        self.jobs.send(Some(job)).map_err(|_| ControllerStopped)?;
        receiver.await.map_err(|_| ControllerStopped)
    }
}

/// The controller's thread has ended.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the controller has stopped")]
pub(crate) struct ControllerStopped;

/// What the thread owns.
pub(crate) struct ControllerState {
    raft: RaftNode,
    controller: QuorumController,
    loader: MetadataLoader,
    publisher: Option<Publisher>,
}

impl ControllerState {
    /// Opens nothing itself: `raft` is open, `controller` is empty. Replays the log, and takes up the leadership that a
    /// lone voter has from the start.
    pub(crate) fn new(
        mut raft: RaftNode,
        make_controller: impl FnOnce(Option<Vec<VersionedRecord>>) -> Result<QuorumController, ServerError>,
    ) -> Result<ControllerState, ServerError> {
        let mut events = raft.poll(now_ms())?;
        // The bootstrap snapshot comes first if there is one: the controller is made with it.
        let bootstrap = match events.first() {
            Some(RaftEvent::LoadBootstrap(_)) => Some(events.remove(0)),
            _ => None,
        };
        let bootstrap = match bootstrap {
            Some(RaftEvent::LoadBootstrap(reader)) => Some(read_records(reader)?),
            _ => None,
        };
        let controller = make_controller(bootstrap)?;
        let mut state = ControllerState { raft, controller, loader: MetadataLoader::new(), publisher: None };
        while !events.is_empty() {
            for event in events {
                state.on_event(event, true)?;
            }
            events = state.raft.poll(now_ms())?;
        }
        if !state.raft.is_leader() {
            return Err(ServerError::NoQuorum);
        }
        let activation = state.controller.activate(now_ms(), state.raft.kraft_version());
        state.append(activation.records, activation.is_atomic)?;
        state.commit()?;
        Ok(state)
    }

    /// The newest image.
    pub(crate) fn image(&self) -> &MetadataImage {
        self.loader.image()
    }

    /// The level of the feature `kraft.version`, which stands in the log and not in the image.
    pub(crate) fn kraft_version(&self) -> i16 {
        self.raft.kraft_version()
    }

    /// From now on `publisher` learns of every image; of the present one at once, as a change from nothing.
    pub(crate) fn publish_to(&mut self, mut publisher: Publisher) -> Result<(), ServerError> {
        let image = self.loader.image().clone();
        let mut delta = MetadataDelta::new(&MetadataImage::empty());
        for (record, _) in
            image.snapshot_records().map_err(|error| ServerError::Snapshot(error.to_string()))?
        {
            delta.replay(&record).map_err(|error| ServerError::Replay(error.to_string()))?;
        }
        publisher(&delta, &image);
        self.publisher = Some(publisher);
        Ok(())
    }

    fn run<T>(
        &mut self,
        api_version: i16,
        request: impl FnOnce(&mut QuorumController, &ControllerRequestContext<'_>) -> ControllerResult<T>,
    ) -> Result<T, ServerError> {
        let context = ControllerRequestContext {
            principal: "User:ANONYMOUS",
            api_version,
            now_ms: now_ms(),
            next_write_offset: self.raft.log_end_offset(),
            seed: common::Uuid::random().as_u128() as u64,
            forwarded: false,
        };
        let result = request(&mut self.controller, &context);
        self.append(result.records, result.is_atomic)?;
        Ok(result.response)
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
            for (offset, (record, _)) in (first_offset..).zip(batch) {
                self.controller
                    .replay(record, offset)
                    .map_err(|error| ServerError::Replay(error.to_string()))?;
            }
        }
        Ok(())
    }

    /// Syncs what was appended and publishes it.
    fn commit(&mut self) -> Result<(), ServerError> {
        loop {
            let events = self.raft.poll(now_ms())?;
            if events.is_empty() {
                return Ok(());
            }
            for event in events {
                self.on_event(event, false)?;
            }
        }
    }

    /// `replaying`: the records are from before this start, and the controller has not seen them.
    fn on_event(&mut self, event: RaftEvent, replaying: bool) -> Result<(), ServerError> {
        match event {
            RaftEvent::LoadBootstrap(_) | RaftEvent::LeaderChange(_) => Ok(()),
            RaftEvent::LoadSnapshot(reader) => {
                let id = reader.snapshot_id();
                let time = reader.last_contained_log_timestamp_ms();
                let records: Vec<MetadataRecord> =
                    read_records(reader)?.into_iter().map(|(record, _)| record).collect();
                self.controller
                    .load_snapshot(records.iter(), id.offset - 1)
                    .map_err(|error| ServerError::Replay(error.to_string()))?;
                let provenance = metadata::MetadataProvenance {
                    last_contained_offset: id.offset - 1,
                    last_contained_epoch: id.epoch,
                    last_contained_log_time_ms: time,
                    is_offset_batch_aligned: true,
                };
                let update = self
                    .loader
                    .load_snapshot(provenance, records.iter())
                    .map_err(|error| ServerError::Replay(error.to_string()))?;
                self.publish(&update.delta, &update.image);
                Ok(())
            }
            RaftEvent::Commit(batch) => self.on_commit(&batch, replaying),
        }
    }

    fn on_commit(&mut self, batch: &raft::CommittedBatch, replaying: bool) -> Result<(), ServerError> {
        let mut records = Vec::new();
        for framed in batch.records() {
            records.push(MetadataRecord::read_framed(framed).map_err(ServerError::MetadataRecord)?.0);
        }
        if replaying {
            for (offset, record) in (batch.base_offset..).zip(&records) {
                self.controller
                    .replay(record, offset)
                    .map_err(|error| ServerError::Replay(error.to_string()))?;
            }
        }
        let committed = CommittedBatch {
            base_offset: batch.base_offset,
            last_offset: batch.last_offset,
            epoch: batch.epoch,
            append_timestamp_ms: batch.append_timestamp_ms,
            size_in_bytes: batch.size_in_bytes as u64,
            records: &records,
        };
        let updates =
            self.loader.load_commit(&[committed]).map_err(|error| ServerError::Replay(error.to_string()))?;
        for update in updates {
            self.publish(&update.delta, &update.image);
        }
        Ok(())
    }

    fn publish(&mut self, delta: &MetadataDelta, image: &MetadataImage) {
        if let Some(publisher) = &mut self.publisher {
            publisher(delta, image);
        }
    }

    fn run_timed_events(&mut self) -> Result<(), ServerError> {
        loop {
            let context = ControllerRequestContext {
                principal: "User:ANONYMOUS",
                api_version: 0,
                now_ms: now_ms(),
                next_write_offset: self.raft.log_end_offset(),
                seed: common::Uuid::random().as_u128() as u64,
                forwarded: false,
            };
            let Some(result) = self.controller.poll(&context) else { return Ok(()) };
            self.append(result.records, result.is_atomic)?;
        }
    }

    fn snapshot_if_due(&mut self) -> Result<(), ServerError> {
        let Some(reason) = self.raft.snapshot_due(now_ms()) else { return Ok(()) };
        let image = self.loader.image().clone();
        let provenance = image.provenance;
        let records = image.snapshot_records().map_err(|error| ServerError::Snapshot(error.to_string()))?;
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

    /// Begins the thread. `on_fault` learns why it ended, if it was not told to.
    pub(crate) fn spawn(
        self,
        jobs: Jobs,
        on_fault: impl FnOnce(ServerError) + Send + 'static,
    ) -> std::io::Result<RunningController> {
        let Jobs { sender, receiver } = jobs;
        let thread = std::thread::Builder::new().name("controller".to_owned()).spawn(move || {
            // A panic here is a broken invariant: without its controller the broker must not go on.
            let served = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.serve(&receiver)));
            if let Err(error) = served.unwrap_or(Err(ServerError::ControllerStopped)) {
                on_fault(error);
            }
        })?;
        Ok(RunningController { stop: sender, thread })
    }

    fn serve(mut self, jobs: &Receiver<Option<Job>>) -> Result<(), ServerError> {
        loop {
            let now = now_ms();
            let deadline = self.controller.next_event_ms().unwrap_or(i64::MAX);
            let sleep = deadline.saturating_sub(now).clamp(0, LONGEST_SLEEP_MS) as u64;
            let mut releases = Vec::new();
            let mut next = jobs.recv_timeout(Duration::from_millis(sleep));
            let stop = loop {
                match next {
                    Ok(Some(job)) => releases.push(job(&mut self)?),
                    Ok(None) | Err(RecvTimeoutError::Disconnected) => break true,
                    Err(RecvTimeoutError::Timeout) => break false,
                }
                if releases.len() >= JOBS_AT_ONCE {
                    break false;
                }
                next = jobs.try_recv().map_err(|_| RecvTimeoutError::Timeout);
            };
            self.run_timed_events()?;
            self.commit()?;
            for release in releases {
                release();
            }
            if stop {
                return Ok(self.raft.shutdown(now_ms())?);
            }
            self.snapshot_if_due()?;
        }
    }
}

fn read_records(reader: SnapshotReader) -> Result<Vec<VersionedRecord>, ServerError> {
    let framed = reader.read_all()?;
    framed
        .iter()
        .map(|framed| MetadataRecord::read_framed(framed).map_err(ServerError::MetadataRecord))
        .collect()
}

/// The thread, to end it.
pub(crate) struct RunningController {
    stop: Sender<Option<Job>>,
    thread: JoinHandle<()>,
}

impl RunningController {
    /// Commits what is under way, closes the log, and waits for both.
    pub(crate) fn stop(self) {
        // A thread that is gone already was ended by a fault, which was told.
        let _ = self.stop.send(None);
        if self.thread.join().is_err() {
            tracing::error!("the controller's thread has panicked");
        }
    }
}
