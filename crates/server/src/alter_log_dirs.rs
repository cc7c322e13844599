//! Moves replicas between the log directories of this broker (`ReplicaAlterLogDirsManager`, `ReplicaAlterLogDirsThread`):
//! `num.replica.alter.log.dirs.threads` threads copy, no more than `replica.alter.log.dirs.io.max.bytes.per.second`.
//!
//! A replica that has been copied takes its new place when the controller has put it on record there (KIP-858): by that the
//! controller knows whom a directory takes with it when it fails.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use common::{TopicIdPartition, Uuid};
use metadata::MetadataVersion;
use parking_lot::{Condvar, Mutex};
use replica::{Partition, PartitionChanges, PartitionError};

use crate::broker::Broker;
use crate::clock::now_ms;

/// How long a thread rests that has found nothing to copy.
const REST: Duration = Duration::from_millis(10);
/// How long a thread rests while the limit is used up.
const THROTTLED_REST: Duration = Duration::from_millis(100);

/// The replicas that move.
pub(crate) struct AlterLogDirs {
    broker: Weak<Broker>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Those that no thread is at, in turn.
    waiting: VecDeque<Arc<Partition>>,
    /// All of them.
    moving: HashSet<TopicIdPartition>,
    threads: Vec<JoinHandle<()>>,
    stopped: bool,
}

/// What is to be done with a replica after a step.
enum Next {
    /// There is more to copy.
    Copy,
    /// It has to wait for something else.
    Rest(Duration),
    /// It moves no more.
    Done,
}

impl AlterLogDirs {
    /// None; threads come with the first one.
    pub(crate) fn new(broker: Weak<Broker>) -> AlterLogDirs {
        AlterLogDirs { broker, shared: Arc::default() }
    }

    /// Goes on with moves that a restart has interrupted.
    pub(crate) fn apply(&self, changes: &PartitionChanges) {
        for partition in changes.changed.iter().filter(|partition| partition.future_log().is_some()) {
            self.add(partition);
        }
    }

    /// Moves a replica from now on.
    pub(crate) fn add(&self, partition: &Arc<Partition>) {
        let Some(broker) = self.broker.upgrade() else { return };
        let mut state = self.shared.state.lock();
        if state.stopped || !state.moving.insert(id_of(partition)) {
            return;
        }
        state.waiting.push_back(Arc::clone(partition));
        let config = broker.settings.broker();
        let threads = config.replication.num_replica_alter_log_dirs_threads;
        let threads =
            threads.and_then(|threads| usize::try_from(threads).ok()).unwrap_or(config.log_dirs.len());
        if state.threads.len() < threads.max(1).min(state.moving.len()) {
            let number = state.threads.len();
            let (broker, shared) = (Weak::clone(&self.broker), Arc::clone(&self.shared));
            let thread = std::thread::Builder::new().name(format!("alter-log-dirs-{number}"));
            match thread.spawn(move || run(&broker, &shared)) {
                Ok(thread) => state.threads.push(thread),
                Err(error) => tracing::error!(%error, "no thread to move replicas between log directories"),
            }
        }
        self.shared.changed.notify_one();
    }

    /// Ends the threads, and waits for them.
    pub(crate) fn stop(&self) {
        let threads = {
            let mut state = self.shared.state.lock();
            state.stopped = true;
            self.shared.changed.notify_all();
            std::mem::take(&mut state.threads)
        };
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread that moves replicas between log directories has panicked");
            }
        }
    }
}

impl Shared {
    /// The next replica; none when it is time to end.
    fn take(&self) -> Option<Arc<Partition>> {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return None;
            }
            if let Some(partition) = state.waiting.pop_front() {
                return Some(partition);
            }
            self.changed.wait(&mut state);
        }
    }

    fn give_back(&self, partition: Arc<Partition>, next: Next) {
        let mut state = self.state.lock();
        match next {
            // Another move may have begun since the last one ended.
            Next::Done if partition.future_log().is_none() || partition.is_offline() => {
                state.moving.remove(&id_of(&partition));
            }
            Next::Rest(rest) => {
                if !state.stopped {
                    self.changed.wait_for(&mut state, rest);
                }
                state.waiting.push_back(partition);
            }
            Next::Copy | Next::Done => state.waiting.push_back(partition),
        }
    }
}

fn id_of(partition: &Partition) -> TopicIdPartition {
    TopicIdPartition { topic_id: partition.topic_id(), partition: partition.topic_partition().partition }
}

fn run(broker: &Weak<Broker>, shared: &Shared) {
    while let Some(partition) = shared.take() {
        // Held only for a step: the broker owns these threads.
        let Some(running) = broker.upgrade() else { return };
        let next = step(&running, &partition).unwrap_or_else(|error| {
            // That a directory has failed was told where it failed.
            if !matches!(error, PartitionError::Offline) {
                tracing::error!(partition = %partition.topic_partition(), %error, "a replica cannot be copied to another log directory; it is tried again");
            }
            if partition.is_offline() || partition.future_log().is_none() {
                Next::Done
            } else {
                Next::Rest(THROTTLED_REST)
            }
        });
        drop(running);
        shared.give_back(partition, next);
    }
}

/// Copies some records, or puts the copy in its place.
fn step(broker: &Broker, partition: &Partition) -> Result<Next, PartitionError> {
    let now = now_ms();
    let quota = &broker.replication_quotas.alter_log_dirs;
    if quota.is_exceeded(now) {
        return Ok(Next::Rest(THROTTLED_REST));
    }
    if partition.future_log().is_none() {
        return Ok(Next::Done);
    }
    let max_bytes = broker.settings.broker().replication.replica_fetch_max_bytes;
    let copied = partition.copy_to_future(usize::try_from(max_bytes).unwrap_or(1024 * 1024), now)?;
    quota.record(copied.bytes, now);
    if !copied.caught_up {
        return Ok(Next::Copy);
    }
    let Some(directory) = partition.future_directory(broker.replicas.logs()) else { return Ok(Next::Done) };
    if !is_on_record(broker, partition, directory) {
        return Ok(Next::Rest(REST));
    }
    match partition.replace_log_with_future(broker.replicas.logs(), now)? {
        true => Ok(Next::Done),
        false => Ok(Next::Copy),
    }
}

/// Whether the controller has the replica on record in the directory that it moves to; asks it to, where not.
fn is_on_record(broker: &Broker, partition: &Partition, directory: Uuid) -> bool {
    let image = broker.image();
    // Before metadata.version 3.7-IV2 there are no directories in the metadata.
    if !image.features.metadata_version().is_some_and(MetadataVersion::is_directory_assignment_supported) {
        return true;
    }
    let id = id_of(partition);
    let recorded = image.topics.partition(&id.topic_id, id.partition);
    let recorded = recorded.and_then(|registration| registration.directory(broker.node_id));
    if recorded == Some(directory) {
        return true;
    }
    broker.assignments.assign(id, directory);
    false
}
