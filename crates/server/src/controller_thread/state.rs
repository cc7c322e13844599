//! What the thread owns, and whom it tells.

use std::sync::Arc;
use std::sync::atomic::{AtomicI16, Ordering};

use controller::{
    ControllerRequestContext, ControllerResult, Decision, MetadataEvent, MetadataNode, QuorumController,
};
use metadata::MetadataImage;
use raft::RaftNode;
use tokio::sync::{oneshot, watch};

use super::publishing::{Publisher, Publishing};
use crate::clock::now_ms;
use crate::controller_channel::LeaderAndEpoch;
use crate::error::ServerError;

/// What releases an answer; it is told whether the records before it are committed.
type Release = Box<dyn FnOnce(bool) + Send>;

/// An answer that waits for everything before it to be committed.
struct Pending {
    /// And published: whoever gets it must see it.
    once_published: bool,
    release: Release,
}

/// What the thread owns.
pub(crate) struct MetadataState {
    node_id: i32,
    node: MetadataNode<Pending>,
    publishing: Publishing,
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
            node: MetadataNode::new(node_id, raft, controller),
            publishing,
            waiting_for_image: Vec::new(),
            leader,
            kraft_version,
        }
    }

    pub(super) fn raft(&mut self) -> &mut RaftNode {
        self.node.raft_mut()
    }

    /// When there is something to do without anybody asking, in milliseconds.
    pub(super) fn next_event_ms(&self) -> i64 {
        self.node.next_event_ms()
    }

    pub(super) fn leads(&self) -> bool {
        self.node.leads()
    }

    pub(super) fn publish_to(&mut self, publisher: Publisher, told: oneshot::Sender<()>) {
        self.publishing.add(publisher, self.node.image().clone(), told);
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
    ) -> Result<Decision<T>, ServerError> {
        Ok(self.node.run(api_version, request, seed(), now_ms())?)
    }

    /// Holds an answer back until all that was appended so far is committed, and if it says so published here.
    pub(super) fn answer_once_committed(&mut self, once_published: bool, release: Release) {
        self.node.answer_once_committed(Pending { once_published, release });
    }

    /// Syncs what was appended, has published what is committed, and lets the answers go that waited for it.
    pub(super) fn advance(&mut self) -> Result<(), ServerError> {
        let publishing = &self.publishing;
        self.node.advance(now_ms(), &mut |event| match event {
            MetadataEvent::Update(update) => publishing.publish(update),
            MetadataEvent::Committed(Pending { once_published: true, release }) => {
                publishing.release(move || release(true));
            }
            MetadataEvent::Committed(pending) => (pending.release)(true),
            MetadataEvent::Lost(pending) => (pending.release)(false),
        })?;
        self.tell_leader();
        self.tell_caught_up();
        Ok(())
    }

    /// Has the thread that publishes call `give_back`.
    pub(super) fn trim_publishing(&self, give_back: fn()) {
        self.publishing.release(give_back);
    }

    fn tell_leader(&mut self) {
        let raft = self.node.raft();
        let known = raft.leader_and_epoch();
        // A leader that resigned is still the one that the epoch had, and nobody to ask.
        let is_another = known.leader_id.is_some_and(|id| id != self.node_id);
        let leader_id = known.leader_id.filter(|_| is_another || self.node.leads());
        let node = raft.leader_node().filter(|node| Some(node.id) == leader_id);
        let endpoint = node.map(|node| (node.host, node.port));
        let leader = LeaderAndEpoch { leader_id, epoch: known.epoch, endpoint };
        self.leader.send_if_modified(|before| {
            let is_news = *before != leader;
            if is_news {
                *before = leader;
            }
            is_news
        });
        self.kraft_version.store(raft.kraft_version(), Ordering::Relaxed);
    }

    fn tell_caught_up(&mut self) {
        if self.waiting_for_image.is_empty() {
            return;
        }
        let image = self.node.image();
        let begun = image.features.metadata_version().is_some();
        let end = self.node.raft().leaders_high_watermark();
        if begun && end.is_some_and(|end| self.node.last_read_offset() + 1 >= end) {
            let image = Arc::new(image.clone());
            for waiting in self.waiting_for_image.drain(..) {
                // Whoever waited may have given up.
                drop(waiting.send(Arc::clone(&image)));
            }
        }
    }

    pub(super) fn run_timed_events(&mut self) -> Result<(), ServerError> {
        Ok(self.node.run_timed_events(&mut seed, now_ms())?)
    }

    pub(super) fn snapshot_if_due(&mut self) -> Result<(), ServerError> {
        Ok(self.node.snapshot_if_due(now_ms())?)
    }

    pub(super) fn close(self) -> Result<(), ServerError> {
        let (unanswered, closed) = self.node.close(now_ms());
        for pending in unanswered {
            (pending.release)(false);
        }
        Ok(closed?)
    }
}

fn seed() -> u64 {
    common::Uuid::random().as_u128() as u64
}
