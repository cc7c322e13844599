//! The thread's loop.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use controller::QuorumController;
use network::peer::PeerConfig;
use raft::{QuorumResponse, RaftConfig, RaftInput, RaftNode, RaftOutput};
use tokio::sync::oneshot;

use super::handle::{Jobs, Work};
use super::peers::QuorumPeers;
use super::publishing::Publishing;
use super::state::MetadataState;
use crate::clock::now_ms;
use crate::error::ServerError;

/// Work that shares one sync.
const WORK_AT_ONCE: usize = 256;
/// How long the thread sleeps at most: raft has its own small duties.
const LONGEST_SLEEP_MS: i64 = 60_000;
/// How long a leader that goes waits for another to take over (`SharedServer`'s timeout for raft).
const SHUTDOWN_TIMEOUT_MS: i64 = 5_000;

/// The thread before it runs.
pub(crate) struct MetadataThread {
    state: MetadataState,
    peers: QuorumPeers,
    sender: Sender<Work>,
    receiver: Receiver<Work>,
    /// Those who wait for an answer of raft.
    asked: HashMap<u64, oneshot::Sender<QuorumResponse>>,
    last_token: u64,
}

impl MetadataThread {
    /// Recovers the metadata log. A controller that is all of its quorum leads it when this returns, and has written what a
    /// new cluster begins with. Needs a tokio runtime, for the connections to the others.
    ///
    /// `controller`: of a node in the role `controller`, new and empty.
    pub(crate) fn open(
        config: RaftConfig,
        controller: Option<QuorumController>,
        peer_config: PeerConfig,
        jobs: Jobs,
    ) -> Result<MetadataThread, ServerError> {
        let Jobs { sender, receiver, leader, kraft_version } = jobs;
        let request_timeout = Duration::from_millis(config.quorum.request_timeout_ms.max(1) as u64);
        let peers = QuorumPeers::new(
            tokio::runtime::Handle::current(),
            sender.clone(),
            peer_config,
            request_timeout,
            &config.listener_name,
        );
        let node_id = config.node_id;
        let raft = RaftNode::open(config, now_ms())?;
        let publishing = Publishing::begin(sender.clone())?;
        let mut state = MetadataState::new(node_id, raft, controller, leader, kraft_version, publishing);
        state.advance()?;
        Ok(MetadataThread { state, peers, sender, receiver, asked: HashMap::new(), last_token: 0 })
    }

    /// Whether this node leads already: it is all of its quorum.
    pub(crate) fn leads(&self) -> bool {
        self.state.leads()
    }

    /// Begins the thread. `on_fault` learns why it ended, if it was not told to.
    pub(crate) fn spawn(
        self,
        on_fault: impl FnOnce(ServerError) + Send + 'static,
    ) -> std::io::Result<RunningController> {
        let stop = self.sender.clone();
        let thread = std::thread::Builder::new().name("metadata".to_owned()).spawn(move || {
            // A panic here is a broken invariant: without its metadata the node must not go on.
            let served = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.serve()));
            if let Err(error) = served.unwrap_or(Err(ServerError::ControllerStopped)) {
                on_fault(error);
            }
        })?;
        Ok(RunningController { stop, thread })
    }

    fn serve(mut self) -> Result<(), ServerError> {
        let mut stop_ms = None;
        loop {
            let now = now_ms();
            let deadline = self.state.next_event_ms().min(stop_ms.unwrap_or(i64::MAX));
            let sleep = deadline.saturating_sub(now).clamp(0, LONGEST_SLEEP_MS) as u64;
            let mut next = self.receiver.recv_timeout(Duration::from_millis(sleep));
            for _ in 0..WORK_AT_ONCE {
                match next {
                    Ok(Work::Stop) | Err(RecvTimeoutError::Disconnected) => {
                        self.state.raft().begin_shutdown();
                        stop_ms = stop_ms.or(Some(now_ms().saturating_add(SHUTDOWN_TIMEOUT_MS)));
                    }
                    Ok(work) => self.take(work)?,
                    Err(RecvTimeoutError::Timeout) => break,
                }
                next = self.receiver.try_recv().map_err(|_| RecvTimeoutError::Timeout);
            }
            self.state.run_timed_events()?;
            // To the other controllers first: their disks work while this one's does.
            self.send_outputs()?;
            self.state.advance()?;
            self.send_outputs()?;
            if let Some(stop_ms) = stop_ms
                && (self.state.raft().may_stop() || now_ms() >= stop_ms)
            {
                return self.state.close();
            }
            self.state.snapshot_if_due()?;
        }
    }

    fn take(&mut self, work: Work) -> Result<(), ServerError> {
        match work {
            Work::Job(job) => job(&mut self.state)?,
            Work::Request { request, answer } => {
                self.last_token += 1;
                let token = self.last_token;
                self.asked.insert(token, answer);
                self.state.raft().handle(RaftInput::Request { token, request }, now_ms())?;
            }
            Work::Response { from, correlation_id, result } => {
                self.state.raft().handle(RaftInput::Response { from, correlation_id, result }, now_ms())?;
            }
            Work::Fault(error) => return Err(error),
            Work::Stop => {}
        }
        Ok(())
    }

    fn send_outputs(&mut self) -> Result<(), ServerError> {
        for output in self.state.raft().take_outputs(now_ms())? {
            match output {
                RaftOutput::Send { to, correlation_id, request } => {
                    self.peers.send(&to, correlation_id, request);
                }
                RaftOutput::Answer { token, response } => {
                    if let Some(answer) = self.asked.remove(&token) {
                        // Whoever asked may be gone.
                        drop(answer.send(response));
                    }
                }
            }
        }
        Ok(())
    }
}

/// The thread, to end it.
pub(crate) struct RunningController {
    stop: Sender<Work>,
    thread: JoinHandle<()>,
}

impl RunningController {
    /// Has the threads that take in and publish metadata call `give_back`, behind what they have to do.
    pub(crate) fn trim_memory(&self, give_back: fn()) {
        let job = move |state: &mut MetadataState| {
            give_back();
            state.trim_publishing(give_back);
            Ok(())
        };
        // A thread that is gone has given back everything.
        let _ = self.stop.send(Work::Job(Box::new(job)));
    }

    /// Commits what is under way, hands the lead over to another controller, closes the log, and waits for it. The
    /// controllers' listener must be served meanwhile.
    pub(crate) fn stop(self) {
        // A thread that is gone already was ended by a fault, which was told.
        let _ = self.stop.send(Work::Stop);
        if self.thread.join().is_err() {
            tracing::error!("the metadata's thread has panicked");
        }
    }
}
