//! What a broker does when a log directory fails (`ReplicaManager.LogDirFailureHandler`, KIP-112 and KIP-858).
//!
//! The directory is offline for all who use its logs before anybody hears of it here. What is left: nothing is fetched for its
//! replicas any more, whoever waits for one of them is told, and so is the controller, which gives what they led to others.
//! Without the last directory, or the one with the metadata log, the broker cannot go on.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use common::Uuid;
use tokio::runtime::Handle;

use crate::assignments::Assignments;
use crate::broker::{Broker, Fault};
use crate::error::ServerError;

/// Looks after directories that fail, on a thread of its own, until the channel of failures is closed.
pub(crate) fn look_after_failures(
    broker: &Arc<Broker>,
    metadata_log_dir: &Path,
    fault: Arc<Fault>,
) -> std::io::Result<JoinHandle<()>> {
    let failures = Arc::clone(broker.replicas.logs().failures());
    // A directory is known by its name without symbolic links. One that cannot be looked at is not in use.
    let metadata_log_dir = std::fs::canonicalize(metadata_log_dir).unwrap_or_default();
    let (broker, runtime) = (Arc::downgrade(broker), Handle::current());
    std::thread::Builder::new().name("log-dir-failure".to_owned()).spawn(move || {
        while let Some(dir) = failures.take_next() {
            let Some(running) = broker.upgrade() else { return };
            match handle_failure(&running, &dir, &metadata_log_dir) {
                Ok(id) => {
                    let told = see_that_it_is_told(broker.clone(), dir, id, Arc::clone(&fault));
                    runtime.spawn(told);
                }
                Err(error) => {
                    running.lifecycle.abandon();
                    fault.raise(error);
                }
            }
        }
    })
}

/// Ends the use of a directory, and has the controller told. Returns its id.
fn handle_failure(broker: &Broker, dir: &Path, metadata_log_dir: &Path) -> Result<Uuid, ServerError> {
    let logs = broker.replicas.logs();
    let lost = broker.replicas.handle_log_dir_failure(dir);
    broker.fetchers.remove(&lost.offline);
    tracing::warn!(dir = %dir.display(), replicas = lost.offline.len(), "stopped serving the replicas in a log directory that has failed");
    if dir == metadata_log_dir {
        return Err(ServerError::MetadataLogDir(dir.display().to_string()));
    }
    if logs.live_dirs().is_empty() {
        return Err(ServerError::NoLogDir);
    }
    let ids = logs.directory_ids();
    let id = ids.into_iter().find(|(path, _)| path == dir).map(|(_, id)| id);
    let id = id.expect("Invariant: what fails is one of the manager's directories");
    for partition in &lost.offline {
        // Of a replica that was about to move elsewhere the controller may not know that it is lost.
        broker.assignments.assign_unless_recorded(broker, partition, id);
    }
    for partition in &lost.moves {
        Assignments::reset(broker, partition);
    }
    broker.lifecycle.propagate_directory_failure(id);
    Ok(id)
}

/// A controller that is not told in time goes on to send clients here (`log.dir.failure.timeout.ms`).
async fn see_that_it_is_told(broker: Weak<Broker>, dir: std::path::PathBuf, id: Uuid, fault: Arc<Fault>) {
    let Some(timeout_ms) =
        broker.upgrade().map(|broker| broker.settings.broker().log_manager.dir_failure_timeout_ms)
    else {
        return;
    };
    tokio::time::sleep(Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0))).await;
    let Some(broker) = broker.upgrade() else { return };
    if !broker.lifecycle.is_directory_failure_told(id) {
        broker.lifecycle.abandon();
        fault.raise(ServerError::LogDirNotTold { dir: dir.display().to_string(), timeout_ms });
    }
}
