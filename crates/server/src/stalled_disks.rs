//! While a disk stalls: who needs it waits without a thread, all others are served (`storage::DiskWatch` says how that is noticed).

use std::sync::Arc;

use network::Again;
use parking_lot::{Condvar, Mutex};
use replica::Partition;
use storage::{LogManager, Look};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::broker::Broker;

/// From so many threads on one is kept in reserve.
const ENOUGH_FOR_A_RESERVE: usize = 3;

/// The thread that watches the disks; it ends when this is dropped.
pub(crate) struct Watching(Arc<LogManager>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.disk_watch().close();
    }
}

/// Begins to watch the disks, on a thread of its own.
pub(crate) fn watch(logs: &Arc<LogManager>) -> std::io::Result<Watching> {
    let runtime = Handle::current();
    let threads = match runtime.runtime_flavor() {
        RuntimeFlavor::MultiThread => runtime.metrics().num_workers(),
        _ => 0,
    };
    if threads > 0 {
        logs.disk_watch().serve_with(threads, Box::new(hand_over));
    }
    let hold = move |runtime: &Handle| (threads >= ENOUGH_FOR_A_RESERVE).then(|| Reserve::hold(runtime));
    let mut reserve = hold(&runtime);
    let watching = Watching(Arc::clone(logs));
    let logs = Arc::clone(logs);
    let thread = std::thread::Builder::new().name("disk-watch".to_owned());
    thread.spawn(move || {
        logs.watch_disks(|look| match look {
            Look::SomebodyStays => {
                reserve = None;
                // The thread that waits for the disk may be the one that others expect to look at the sockets; a task wakes another.
                drop(runtime.spawn(async {}));
            }
            Look::NobodyStays if reserve.is_none() => reserve = hold(&runtime),
            Look::NobodyStays => {}
        });
    })?;
    Ok(watching)
}

/// A thread of the runtime that does nothing, until this is dropped: then it serves connections. When a disk stalls, all others may
/// be on their way into it within microseconds, and who is in cannot be replaced.
struct Reserve(Arc<Held>);

#[derive(Default)]
struct Held {
    is_released: Mutex<bool>,
    released: Condvar,
}

impl Reserve {
    fn hold(runtime: &Handle) -> Reserve {
        let held = Arc::new(Held::default());
        let reserve = Reserve(Arc::clone(&held));
        // It blocks its thread, as no other task may.
        runtime.spawn(async move {
            held.released.wait_while(&mut held.is_released.lock(), |is_released| !*is_released);
        });
        reserve
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        *self.0.is_released.lock() = true;
        self.0.released.notify_all();
    }
}

/// Lets another thread serve what this one would have served next, and does the work then.
fn hand_over(work: &mut dyn FnMut()) {
    match Handle::try_current() {
        Ok(_) => tokio::task::block_in_place(work),
        // One of those threads that serve nobody.
        Err(_) => work(),
    }
}

/// What to wait for before any of these partitions is touched, if the disk of one is stalled.
pub(crate) fn to_wait_for<P>(broker: &Broker, partitions: impl FnOnce() -> P) -> Option<Again>
where
    P: Iterator<Item = Arc<Partition>>,
{
    if !broker.replicas.logs().disk_watch().any_stalled() {
        return None;
    }
    let stalled = partitions().map(|partition| Arc::clone(partition.log().dir_health()));
    let mut stalled = stalled.filter(|health| health.is_stalled());
    stalled.next().map(|health| Box::pin(health.recovered()) as Again)
}

/// The same for partitions by topic and index; those that are not here need no disk of this broker.
pub(crate) fn to_wait_for_named<'a, N>(broker: &Broker, named: impl FnOnce() -> N) -> Option<Again>
where
    N: Iterator<Item = (&'a String, i32)>,
{
    to_wait_for(broker, || named().filter_map(|(topic, index)| broker.replicas.partition(topic, index)))
}
