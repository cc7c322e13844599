//! What a broker does by itself from time to time: retention, flushing, checkpoints, expired producers, coordinators' timers.

use std::sync::Arc;
use std::time::Duration;

use storage::{LogError, LogManager};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::broker::Broker;
use crate::clock::now_ms;

/// How often files that nobody used lately are closed.
const RELEASE_INTERVAL: Duration = Duration::from_secs(15);
/// The next deletion is looked for at least so often: its delay may have become shorter.
const DELETION_INTERVAL: Duration = Duration::from_secs(15);

/// Starts the tasks. They end when they are aborted.
pub(crate) fn start(broker: &Arc<Broker>, group_timers: Arc<Notify>) -> Vec<JoinHandle<()>> {
    let config = broker.settings.broker();
    let ms = |ms: i64| Duration::from_millis(ms.clamp(1, i64::from(u32::MAX)) as u64);
    let logs = &config.log_manager;
    let mut tasks = vec![
        every(broker, ms(logs.retention_check_interval_ms), "retention", |logs| {
            let deleted = logs.retention(now_ms());
            if deleted > 0 {
                tracing::info!(segments = deleted, "old segments deleted");
            }
        }),
        every(broker, RELEASE_INTERVAL, "release", |logs| logs.release_idle()),
        tokio::spawn(delete_logs(Arc::clone(broker.replicas.logs()))),
        every(
            broker,
            ms(logs.flush_offset_checkpoint_interval_ms.into()),
            "checkpoint recovery points",
            |logs| {
                warn("the recovery points", logs.checkpoint_recovery_points());
            },
        ),
        every(
            broker,
            ms(logs.flush_start_offset_checkpoint_interval_ms.into()),
            "checkpoint log starts",
            |logs| {
                warn("the log start offsets", logs.checkpoint_log_start_offsets());
            },
        ),
        every(
            broker,
            ms(config.replication.replica_high_watermark_checkpoint_interval_ms),
            "checkpoint high watermarks",
            |logs| warn("the high watermarks", logs.checkpoint_high_watermarks()),
        ),
        every(broker, ms(logs.producer_id_expiration_check_interval_ms.into()), "producers", |logs| {
            logs.remove_expired_producers(now_ms());
        }),
        tokio::spawn(group_timer(Arc::clone(broker), group_timers)),
    ];
    // flush.ms of any topic needs the scheduler; its default interval means never.
    if logs.flush_scheduler_interval_ms < i64::MAX {
        tasks.push(every(broker, ms(logs.flush_scheduler_interval_ms), "flush", |logs| {
            logs.flush_dirty(now_ms());
        }));
    }
    tasks
}

fn warn(what: &str, result: Result<(), LogError>) {
    if let Err(error) = result {
        tracing::error!(%error, "{what} cannot be checkpointed");
    }
}

/// Runs `work` on a thread of its own again and again.
fn every(
    broker: &Arc<Broker>,
    interval: Duration,
    what: &'static str,
    work: fn(&LogManager),
) -> JoinHandle<()> {
    let logs = Arc::clone(broker.replicas.logs());
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(interval).await;
            let logs = Arc::clone(&logs);
            if tokio::task::spawn_blocking(move || work(&logs)).await.is_err() {
                tracing::error!(what, "a housekeeping task has panicked; it is tried again");
            }
        }
    })
}

/// Deletes the directories of deleted topics when their time has come.
async fn delete_logs(logs: Arc<LogManager>) {
    loop {
        let due_ms = logs.next_deletion().await;
        let wait = Duration::from_millis(due_ms.saturating_sub(now_ms()).max(0) as u64);
        tokio::time::sleep(wait.min(DELETION_INTERVAL)).await;
        let logs = Arc::clone(&logs);
        if tokio::task::spawn_blocking(move || logs.purge_deleted_logs(now_ms())).await.is_err() {
            tracing::error!("deleting logs has panicked; it goes on with the next ones");
        }
    }
}

/// Runs the coordinators' timers when they are due.
async fn group_timer(broker: Arc<Broker>, wake: Arc<Notify>) {
    loop {
        let now = now_ms();
        let wait = match broker.groups.expire(now) {
            Some(deadline) => Duration::from_millis((deadline - now).max(0) as u64),
            None => Duration::from_secs(3600),
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = wake.notified() => {}
        }
    }
}
