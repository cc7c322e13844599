//! While a disk stalls: who needs it waits without a thread, all others are served (`storage::DiskWatch` says how that is noticed).

use std::sync::Arc;

use network::Again;
use replica::Partition;
use storage::{LogManager, Look};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::broker::Broker;

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
        logs.disk_watch().serve_with(threads, Box::new(|work| network::beside_others(work)));
    }
    let watching = Watching(Arc::clone(logs));
    let logs = Arc::clone(logs);
    let thread = std::thread::Builder::new().name("disk-watch".to_owned());
    thread.spawn(move || {
        logs.watch_disks(|look| {
            if look == Look::SomebodyStays {
                // The thread that waits for the disk may be the one that others expect to look at the sockets; a task wakes another.
                // None is kept in reserve for that, by a task that blocks: a thread of tokio's may have a task that it would run next
                // and that no other can take from it, and a connection would wait for as long.
                drop(runtime.spawn(async {}));
            }
        });
    })?;
    Ok(watching)
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
