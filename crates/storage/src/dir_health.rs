//! Whether a log directory can still be used, and who is told when it can not (`LogDirFailureChannel`).

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Condvar, Mutex};

use crate::disk_watch::{DiskWatch, Pace};
use crate::error::StorageError;

/// The directories that have failed and that nobody has looked after yet.
#[derive(Debug, Default)]
pub struct LogDirFailureChannel {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    failed: VecDeque<PathBuf>,
    closed: bool,
}

impl LogDirFailureChannel {
    /// The next directory that has failed, each once; waits for it. `None` when the channel is closed.
    pub fn take_next(&self) -> Option<PathBuf> {
        let mut queue = self.queue.lock();
        loop {
            if queue.closed {
                return None;
            }
            if let Some(dir) = queue.failed.pop_front() {
                return Some(dir);
            }
            self.changed.wait(&mut queue);
        }
    }

    /// Nobody need look after failures any more: the broker stops.
    pub fn close(&self) {
        self.queue.lock().closed = true;
        self.changed.notify_all();
    }

    fn add(&self, dir: &Path) {
        self.queue.lock().failed.push_back(dir.to_owned());
        self.changed.notify_all();
    }
}

/// The state of one log directory, shared by its logs. An error of the operating system takes the directory offline for good: what
/// it holds can no longer be trusted to be what was written, and another replica goes on.
#[derive(Debug)]
pub struct DirHealth {
    dir: PathBuf,
    offline: AtomicBool,
    failures: Arc<LogDirFailureChannel>,
    pace: Pace,
    watch: Arc<DiskWatch>,
}

impl DirHealth {
    /// A directory that works, of which nobody is told when it fails.
    pub fn new(dir: &Path) -> DirHealth {
        DirHealth::reporting_to(dir, Arc::default(), Arc::default())
    }

    /// A directory that works. When it fails, `failures` hears of it; `watch` looks whether it stalls.
    pub(crate) fn reporting_to(
        dir: &Path,
        failures: Arc<LogDirFailureChannel>,
        watch: Arc<DiskWatch>,
    ) -> DirHealth {
        DirHealth {
            dir: dir.to_owned(),
            offline: AtomicBool::new(false),
            failures,
            pace: Pace::default(),
            watch,
        }
    }

    pub(crate) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Does what may wait for the disk, on this thread, under the eyes of the [`DiskWatch`].
    #[inline]
    pub fn io<R>(&self, work: impl FnOnce() -> R) -> R {
        self.pace.run(&self.watch, work)
    }

    /// Does what keeps a processor busy for long, while another thread serves the connections that this one would serve next. A
    /// processor is left to those who want little.
    #[cold]
    pub(crate) fn beside_others<R>(&self, work: impl FnOnce() -> R) -> R {
        self.watch.beside_others(work)
    }

    /// Whether the disk is stalled: threads are waiting for it, and none has come back for some ten milliseconds. Who can wait
    /// without a thread should.
    #[inline]
    pub fn is_stalled(&self) -> bool {
        self.watch.any_stalled() && self.pace.is_stalled()
    }

    /// Waits, without a thread, until the disk is not stalled.
    pub fn recovered(self: &Arc<Self>) -> impl Future<Output = ()> + Send + 'static {
        let health = Arc::clone(self);
        std::future::poll_fn(move |context| health.pace.poll_recovered(context))
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether the directory has failed.
    pub fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Acquire)
    }

    /// An error if the directory has failed.
    pub(crate) fn check(&self) -> Result<(), StorageError> {
        if self.is_offline() { Err(StorageError::Offline { dir: self.dir.clone() }) } else { Ok(()) }
    }

    /// Takes the directory offline because of `source`, which is logged once.
    pub(crate) fn fail(&self, action: String, source: io::Error) -> StorageError {
        if !self.offline.swap(true, Ordering::AcqRel) {
            let advice = match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "free space on the disk and start the broker again"
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    "make the directory writable for the broker's user and start the broker again"
                }
                _ => "look at the disk and start the broker again",
            };
            tracing::error!(
                dir = %self.dir.display(), error = %source,
                "{action}: the log directory is offline from now on; {advice}"
            );
            self.failures.add(&self.dir);
        }
        StorageError::Io { action, dir: self.dir.clone(), source }
    }
}
