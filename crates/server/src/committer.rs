//! Group commit: a few threads that sync logs for all who wait (`flush.messages`).
//!
//! Whoever appended hands its log over and goes on; a thread takes everybody that waits for one log, syncs it once, and
//! lets them all know. While it does, the next ones gather. A log is never synced by two threads at once.
//!
//! Where nobody else waits, nor did the last few times, and the disk is fast, whoever appended syncs by itself: to wake another thread
//! and to be woken by it takes half as long as the sync. It is the only one that does so at a time, and `storage::DiskWatch` looks
//! after the others.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::ErrorCode;
use parking_lot::{Condvar, Mutex};
use replica::Partition;
use storage::AppendInfo;
use tokio::sync::oneshot;

use crate::clock::now_ms;

/// More threads than this no disk rewards.
const MOST_THREADS: usize = 8;

/// A disk whose syncs take longer is not waited for on a thread that serves connections.
const FAST: Duration = Duration::from_millis(1);
/// So many syncs in a row have to be fast, and for one each, before the next one is done by whoever wants it.
const ENOUGH_ALONE: usize = 8;

/// Syncs logs for those who wait.
pub(crate) struct Committer {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    /// By where a partition lies in memory, which its waiters keep alive.
    waiting: HashMap<usize, Vec<Waiter>>,
    /// Partitions that somebody waits for and no thread is at, in the order of their first waiter.
    ready: VecDeque<usize>,
    busy: HashSet<usize>,
    threads: usize,
    idle: usize,
    /// So many syncs since one took longer than [`FAST`], or served several.
    lone: usize,
    stopped: bool,
}

struct Waiter {
    partition: Arc<Partition>,
    appended: AppendInfo,
    done: oneshot::Sender<Result<(), ErrorCode>>,
}

impl Committer {
    /// A committer without threads; they come when there is work.
    pub(crate) fn new() -> Committer {
        Committer { shared: Arc::new(Shared { state: Mutex::default(), work: Condvar::new() }) }
    }

    /// Syncs what was appended, commits it, and says so.
    pub(crate) fn commit(
        &self,
        partition: Arc<Partition>,
        appended: AppendInfo,
    ) -> oneshot::Receiver<Result<(), ErrorCode>> {
        let (done, receiver) = oneshot::channel();
        let key = Arc::as_ptr(&partition) as usize;
        let mut state = self.shared.state.lock();
        let waiter = Waiter { partition, appended, done };
        if state.lone >= ENOUGH_ALONE && state.waiting.is_empty() && state.busy.is_empty() {
            state.busy.insert(key);
            drop(state);
            let health = Arc::clone(waiter.partition.log().dir_health());
            let is_lone = health.io(|| sync(vec![waiter]));
            state = self.shared.state.lock();
            if state.is_done(key, is_lone) {
                self.wake_thread(&mut state);
            }
            return receiver;
        }
        let is_first = !state.waiting.contains_key(&key);
        state.waiting.entry(key).or_default().push(waiter);
        if is_first && !state.busy.contains(&key) {
            state.ready.push_back(key);
            self.wake_thread(&mut state);
        }
        receiver
    }

    /// Somebody is to look at what is ready, a thread for each log: who was woken before may not have gone on yet.
    fn wake_thread(&self, state: &mut State) {
        if state.idle >= state.ready.len() {
            self.shared.work.notify_one();
        } else if state.threads < MOST_THREADS {
            self.start_thread(state);
        }
    }

    fn start_thread(&self, state: &mut State) {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name("commit".to_owned()).spawn(move || shared.run());
        match thread {
            Ok(_) => state.threads += 1,
            Err(error) if state.threads == 0 => {
                tracing::error!(%error, "no thread can be started to sync logs");
                // Nobody would ever come: those who wait learn it now, as their senders are dropped.
                state.waiting.clear();
                state.ready.clear();
            }
            Err(_) => {}
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.shared.state.lock().stopped = true;
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn run(&self) {
        storage::serves_nobody();
        let mut state = self.state.lock();
        loop {
            let Some(key) = state.ready.pop_front() else {
                if state.stopped {
                    return;
                }
                state.idle += 1;
                self.work.wait(&mut state);
                state.idle -= 1;
                continue;
            };
            let waiters = state.waiting.remove(&key).unwrap_or_default();
            state.busy.insert(key);
            drop(state);
            let is_lone = sync(waiters);
            state = self.state.lock();
            state.is_done(key, is_lone);
        }
    }
}

impl State {
    /// A log was synced. Whether it is ready again, because somebody has come meanwhile.
    fn is_done(&mut self, key: usize, is_lone: bool) -> bool {
        self.lone = if is_lone { self.lone.saturating_add(1) } else { 0 };
        self.busy.remove(&key);
        let is_ready = self.waiting.contains_key(&key);
        if is_ready {
            self.ready.push_back(key);
        }
        is_ready
    }
}

/// One sync for all of them: each appended before it came here. Whether it was fast, and for one.
fn sync(waiters: Vec<Waiter>) -> bool {
    let Some(first) = waiters.first() else { return false };
    let begun = Instant::now();
    let result = first.partition.log().flush().map_err(|error| {
        tracing::error!(partition = %first.partition.topic_partition(), %error, "the log cannot be synced");
        error.error_code()
    });
    let is_lone = waiters.len() == 1 && begun.elapsed() <= FAST;
    for waiter in waiters {
        if result.is_ok() {
            waiter.partition.synced(&waiter.appended, now_ms());
        }
        // A producer that is gone does not want to know.
        let _ = waiter.done.send(result);
    }
    is_lone
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::{TopicPartition, Uuid};
    use metadata::{LeaderRecoveryState, PartitionRegistration};
    use protocol::compression::Compression;
    use protocol::records::{RecordBatchBuilder, TimestampType};
    use replica::LocalBroker;
    use storage::{AppendOrigin, Log, LogConfig, OpenOptions};

    fn partition(directory: &tempfile::TempDir, index: i32) -> Arc<Partition> {
        let name = TopicPartition::new("t", index);
        let config = LogConfig { flush_interval: 1, ..LogConfig::default() };
        let options = OpenOptions::new(name.clone(), Arc::new(config), 0);
        let log = Arc::new(Log::open(directory.path().join(name.to_string()), options).unwrap());
        let registration = PartitionRegistration {
            replicas: vec![0],
            directories: vec![Uuid::ZERO],
            isr: vec![0],
            removing_replicas: Vec::new(),
            adding_replicas: Vec::new(),
            elr: Vec::new(),
            last_known_elr: Vec::new(),
            leader: 0,
            leader_recovery_state: LeaderRecoveryState::Recovered,
            leader_epoch: 0,
            partition_epoch: 0,
        };
        let broker = Arc::new(LocalBroker::new(0, 30_000));
        Arc::new(Partition::new(name, Uuid::ZERO, broker, log, Arc::new(registration), 1, 0).unwrap())
    }

    fn append(partition: &Partition) -> AppendInfo {
        let mut builder = RecordBatchBuilder::new(0, Compression::None, TimestampType::CreateTime);
        builder.append(-1, None, Some(b"value"), &[]).unwrap();
        let appended = partition.append_as_leader(&builder.build(), AppendOrigin::Client, true, 0).unwrap();
        assert!(appended.needs_flush);
        appended
    }

    #[test]
    fn who_is_alone_syncs_by_itself_if_the_disk_is_fast() {
        let directory = tempfile::tempdir().unwrap();
        let (first, second) = (partition(&directory, 0), partition(&directory, 1));
        let committer = Committer::new();
        let threads = || committer.shared.state.lock().threads;
        committer.shared.state.lock().lone = ENOUGH_ALONE;
        let mut done = committer.commit(Arc::clone(&first), append(&first));
        assert_eq!(done.try_recv(), Ok(Ok(())), "it was synced before this thread went on");
        assert_eq!((threads(), first.log().recovery_point()), (0, 1));

        committer.shared.state.lock().lone = 0;
        let done = committer.commit(Arc::clone(&first), append(&first));
        assert_eq!((done.blocking_recv(), threads()), (Ok(Ok(())), 1));
        while committer.shared.state.lock().idle == 0 {
            std::thread::yield_now();
        }

        // Somebody is at another log: this one is left to a thread.
        {
            let mut state = committer.shared.state.lock();
            state.lone = ENOUGH_ALONE;
            state.busy.insert(Arc::as_ptr(&first) as usize);
        }
        let done = committer.commit(Arc::clone(&second), append(&second));
        assert_eq!(done.blocking_recv(), Ok(Ok(())));
        // Who comes meanwhile is seen to afterwards.
        let late = committer.commit(Arc::clone(&first), append(&first));
        let mut state = committer.shared.state.lock();
        assert!(state.is_done(Arc::as_ptr(&first) as usize, false));
        committer.wake_thread(&mut state);
        drop(state);
        assert_eq!(late.blocking_recv(), Ok(Ok(())));
        assert_eq!(first.log().recovery_point(), 3);
    }

    #[test]
    fn logs_that_come_together_are_synced_by_a_thread_each() {
        let directory = tempfile::tempdir().unwrap();
        let committer = Committer::new();
        let partitions: Vec<_> = (0..3).map(|index| partition(&directory, index)).collect();
        committer
            .commit(Arc::clone(&partitions[0]), append(&partitions[0]))
            .blocking_recv()
            .unwrap()
            .unwrap();
        while committer.shared.state.lock().idle == 0 {
            std::thread::yield_now();
        }
        // None of the threads goes on meanwhile.
        let mut state = committer.shared.state.lock();
        let mut told = Vec::new();
        for partition in &partitions {
            let key = Arc::as_ptr(partition) as usize;
            let (done, receiver) = oneshot::channel();
            let appended = append(partition);
            state.waiting.entry(key).or_default().push(Waiter {
                partition: Arc::clone(partition),
                appended,
                done,
            });
            state.ready.push_back(key);
            committer.wake_thread(&mut state);
            told.push(receiver);
        }
        assert_eq!(state.threads, 3, "one was there, and was enough for the first");
        drop(state);
        told.into_iter().for_each(|done| assert_eq!(done.blocking_recv(), Ok(Ok(()))));
    }

    #[test]
    fn many_writers_to_many_logs_are_all_synced_and_told() {
        let directory = tempfile::tempdir().unwrap();
        let partitions: Vec<_> = (0..5).map(|index| partition(&directory, index)).collect();
        let committer = Committer::new();
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for round in 0..50 {
                        let partition = &partitions[round % partitions.len()];
                        let appended = append(partition);
                        let last_offset = appended.last_offset;
                        let done = committer.commit(Arc::clone(partition), appended);
                        assert_eq!(done.blocking_recv(), Ok(Ok(())));
                        assert!(partition.log().recovery_point() > last_offset, "told before it was synced");
                        assert!(
                            partition.log().high_watermark() > last_offset,
                            "told before it was committed"
                        );
                    }
                });
            }
        });
        assert!(committer.shared.state.lock().threads <= MOST_THREADS);
        let total: i64 = partitions.iter().map(|partition| partition.log().high_watermark()).sum();
        assert_eq!(total, 300);
    }
}
