//! The way to the thread from everywhere else.

use std::sync::Arc;
use std::sync::atomic::{AtomicI16, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};

use controller::{ControllerRequestContext, ControllerResult, Decision, QuorumController};
use metadata::MetadataImage;
use protocol::ApiKey;
use raft::{QuorumRequest, QuorumResponse, RaftNode, RequestFailure};
use tokio::sync::{oneshot, watch};

use super::publishing::Publisher;
use super::state::MetadataState;
use crate::controller_channel::LeaderAndEpoch;
use crate::error::ServerError;

/// What is run on the thread.
pub(super) type Job = Box<dyn FnOnce(&mut MetadataState) -> Result<(), ServerError> + Send>;

/// What arrives at the thread.
pub(super) enum Work {
    /// To be run.
    Job(Job),
    /// Another node of the quorum asks.
    Request { request: QuorumRequest, answer: oneshot::Sender<QuorumResponse> },
    /// Another node of the quorum has answered, or has not.
    Response { from: i32, correlation_id: u64, result: Result<QuorumResponse, RequestFailure> },
    /// New metadata cannot be acted on.
    Fault(ServerError),
    /// End.
    Stop,
}

/// The handle of a thread that is still to begin, and what it takes.
pub(crate) fn channel() -> (ControllerHandle, Jobs) {
    let (sender, receiver) = mpsc::channel();
    let (leader_sender, leader) = watch::channel(LeaderAndEpoch::default());
    let kraft_version = Arc::new(AtomicI16::new(0));
    let handle =
        ControllerHandle { inbox: sender.clone(), leader, kraft_version: Arc::clone(&kraft_version) };
    (handle, Jobs { sender, receiver, leader: leader_sender, kraft_version })
}

/// Where work arrives, and where the thread tells of the quorum.
pub(crate) struct Jobs {
    pub(super) sender: Sender<Work>,
    pub(super) receiver: Receiver<Work>,
    pub(super) leader: watch::Sender<LeaderAndEpoch>,
    pub(super) kraft_version: Arc<AtomicI16>,
}

/// What an answer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Whoever gets it sees what was decided up to then.
    Published,
    /// As `Published` where it changes something; otherwise it does not wait for what others have changed. For what
    /// brokers' sessions live by.
    Decided,
}

impl Until {
    /// What the answer to a request waits for.
    pub(crate) fn of(api: ApiKey) -> Until {
        if api == ApiKey::BrokerHeartbeat { Until::Decided } else { Until::Published }
    }
}

/// The way to the metadata's thread: requests as any broker would send them, and those of the quorum.
#[derive(Clone)]
pub(crate) struct ControllerHandle {
    inbox: Sender<Work>,
    leader: watch::Receiver<LeaderAndEpoch>,
    kraft_version: Arc<AtomicI16>,
}

impl ControllerHandle {
    /// Runs a request on the active controller; the answer comes once its records and those before them are committed, and
    /// published here as `until` says.
    ///
    /// Errors: this node is not the active controller, or was it no longer when the records should have been committed;
    /// then they may be, or not. Or they cannot be written, or the thread has ended.
    pub(crate) async fn request<T, F>(
        &self,
        api_version: i16,
        until: Until,
        request: F,
    ) -> Result<T, ControllerUnavailable>
    where
        T: Send + 'static,
        F: FnOnce(&mut QuorumController, &ControllerRequestContext<'_>) -> ControllerResult<T>
            + Send
            + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        self.run(Box::new(move |state| {
            match state.run(api_version, request)? {
                Decision::Decided { response, changes } => {
                    let release = move |committed| {
                        let answer =
                            if committed { Ok(response) } else { Err(ControllerUnavailable::NotController) };
                        // A client that is gone does not want it any more.
                        drop(sender.send(answer));
                    };
                    let once_published = changes || until == Until::Published;
                    state.answer_once_committed(once_published, Box::new(release));
                }
                Decision::NotActive => drop(sender.send(Err(ControllerUnavailable::NotController))),
                Decision::Refused => drop(sender.send(Err(ControllerUnavailable::Refused))),
            }
            Ok(())
        }))?;
        receiver.await.map_err(|_| ControllerUnavailable::Stopped)?
    }

    /// Looks at the state of the quorum.
    pub(crate) async fn inspect<T, F>(&self, look: F) -> Result<T, ControllerUnavailable>
    where
        T: Send + 'static,
        F: FnOnce(&mut RaftNode) -> T + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        self.run(Box::new(move |state| {
            drop(sender.send(look(state.raft())));
            Ok(())
        }))?;
        receiver.await.map_err(|_| ControllerUnavailable::Stopped)
    }

    /// Answers a request of the quorum: `Vote`, `Fetch` of the metadata log and the others.
    pub(crate) async fn quorum(
        &self,
        request: QuorumRequest,
    ) -> Result<QuorumResponse, ControllerUnavailable> {
        let (answer, receiver) = oneshot::channel();
        let work = Work::Request { request, answer };
        self.inbox.send(work).map_err(|_| ControllerUnavailable::Stopped)?;
        receiver.await.map_err(|_| ControllerUnavailable::Stopped)
    }

    /// From now on `publisher` learns of every image, before the answer to whoever caused it; of the present one before this
    /// returns, as a change from nothing.
    pub(crate) async fn publish_to(&self, publisher: Publisher) -> Result<(), ControllerUnavailable> {
        let (sender, receiver) = oneshot::channel();
        self.run(Box::new(move |state| {
            state.publish_to(publisher, sender);
            Ok(())
        }))?;
        receiver.await.map_err(|_| ControllerUnavailable::Stopped)
    }

    /// The image, once it has all that the leader has committed. Waits for a leader, and for a cluster that is begun.
    pub(crate) async fn caught_up(&self) -> Result<Arc<MetadataImage>, ControllerUnavailable> {
        let (sender, receiver) = oneshot::channel();
        self.run(Box::new(move |state| {
            state.tell_when_caught_up(sender);
            Ok(())
        }))?;
        receiver.await.map_err(|_| ControllerUnavailable::Stopped)
    }

    /// Who leads the quorum, and where.
    pub(crate) fn leader(&self) -> watch::Receiver<LeaderAndEpoch> {
        self.leader.clone()
    }

    /// The level of the feature `kraft.version`, which stands in the log and not in the image.
    pub(crate) fn kraft_version(&self) -> i16 {
        self.kraft_version.load(Ordering::Relaxed)
    }

    /// The same, as it changes.
    pub(crate) fn shared_kraft_version(&self) -> Arc<AtomicI16> {
        Arc::clone(&self.kraft_version)
    }

    fn run(&self, job: Job) -> Result<(), ControllerUnavailable> {
        self.inbox.send(Work::Job(job)).map_err(|_| ControllerUnavailable::Stopped)
    }
}

/// Why the controller in this process gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ControllerUnavailable {
    /// Another node leads the quorum, or none.
    #[error("this node is not the active controller")]
    NotController,
    /// What it would write cannot be written: more than one batch of the metadata log may hold.
    #[error("the request asks for more changes at once than the metadata log takes")]
    Refused,
    /// The thread has ended.
    #[error("the controller has stopped")]
    Stopped,
}
