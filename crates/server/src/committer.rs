//! Group commit: a few threads that sync logs for all who wait (`flush.messages`).
//!
//! Whoever appended hands its log over and goes on; a thread takes everybody that waits for one log, syncs it once, and
//! lets them all know. While it does, the next ones gather. A log is never synced by two threads at once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use common::ErrorCode;
use parking_lot::{Condvar, Mutex};
use replica::Partition;
use storage::AppendInfo;
use tokio::sync::oneshot;

use crate::clock::now_ms;

/// More threads than this no disk rewards.
const MOST_THREADS: usize = 8;

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
            sync(waiters);
            state = self.state.lock();
            state.busy.remove(&key);
            if state.waiting.contains_key(&key) {
                state.ready.push_back(key);
            }
        }
    }
}

/// One sync for all of them: each appended before it came here.
fn sync(waiters: Vec<Waiter>) {
    let Some(first) = waiters.first() else { return };
    let result = first.partition.log().flush().map_err(|error| {
        tracing::error!(partition = %first.partition.topic_partition(), %error, "the log cannot be synced");
        error.error_code()
    });
    for waiter in waiters {
        if result.is_ok() {
            waiter.partition.synced(&waiter.appended, now_ms());
        }
        // A producer that is gone does not want to know.
        let _ = waiter.done.send(result);
    }
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
