//! Partition directories that are renamed already, and deleted when their time has come (`file.delete.delay.ms`).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::dirs::LogDir;
use crate::log::Log;

/// A partition directory that goes.
pub(super) struct DeletedLog {
    pub due_ms: i64,
    pub dir: Arc<LogDir>,
    pub what: DeletedDir,
}

pub(super) enum DeletedDir {
    Log(Arc<Log>),
    /// Found when the directory was loaded.
    Path(PathBuf),
}

/// All that go.
#[derive(Default)]
pub(super) struct Deletions(Mutex<State>);

#[derive(Default)]
struct State {
    logs: Vec<DeletedLog>,
    /// Who waits for the first one.
    waiter: Option<Waker>,
}

impl Deletions {
    pub fn add(&self, log: DeletedLog) {
        let mut state = self.0.lock();
        state.logs.push(log);
        if let Some(waiter) = state.waiter.take() {
            waiter.wake();
        }
    }

    /// Those whose time has come, and how many are left.
    pub fn take_due(&self, now_ms: i64) -> (Vec<DeletedLog>, usize) {
        let mut state = self.0.lock();
        let (due, left) = std::mem::take(&mut state.logs).into_iter().partition(|log| log.due_ms <= now_ms);
        state.logs = left;
        (due, state.logs.len())
    }

    /// Those of a directory that has failed stay where they are.
    pub fn forget(&self, dir: &Path) {
        self.0.lock().logs.retain(|log| log.dir.path != dir);
    }

    /// The time of the first one. Pending while there is none; one task at a time may wait.
    pub fn poll_first(&self, context: &mut Context<'_>) -> Poll<i64> {
        let mut state = self.0.lock();
        match state.logs.iter().map(|log| log.due_ms).min() {
            Some(due_ms) => Poll::Ready(due_ms),
            None => {
                state.waiter = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
