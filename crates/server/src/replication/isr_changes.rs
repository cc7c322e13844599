//! Changes of ISRs on their way to the controller (`AlterPartitionManager`), and the followers that lag behind
//! (`ReplicaManager.maybeShrinkIsr`).
//!
//! One request is under way at a time and carries what has gathered meanwhile. What a partition asks for is read from the
//! partition itself when the request is made, so nothing stale waits here.

use std::sync::Arc;
use std::time::Duration;

use common::ErrorCode;
use parking_lot::Mutex;
use replica::{AlterPartitionOutcome, Partition, ProposedIsr};
use tokio::sync::Notify;

use crate::broker::Broker;
use crate::clock::now_ms;
use crate::metrics::add;

/// The pause before changes are asked for again that got no answer.
const RETRY_BACKOFF: Duration = Duration::from_millis(50);

/// The partitions that ask for another ISR.
#[derive(Default)]
pub(crate) struct IsrChanges {
    waiting: Mutex<Vec<Arc<Partition>>>,
    wake: Notify,
}

impl IsrChanges {
    pub(crate) fn add(&self, partition: &Arc<Partition>) {
        self.waiting.lock().push(Arc::clone(partition));
        self.wake.notify_one();
    }

    fn take(&self) -> Vec<Arc<Partition>> {
        std::mem::take(&mut *self.waiting.lock())
    }
}

/// Asks the controller, until it is aborted.
pub(crate) async fn propose_isr_changes(broker: Arc<Broker>) {
    loop {
        broker.isr_changes.wake.notified().await;
        loop {
            let partitions = broker.isr_changes.take();
            let proposals: Vec<(Arc<Partition>, ProposedIsr)> = partitions
                .into_iter()
                .filter_map(|partition| partition.proposed_isr().map(|proposal| (partition, proposal)))
                .collect();
            if proposals.is_empty() {
                break;
            }
            if !propose(&broker, proposals).await {
                tokio::time::sleep(RETRY_BACKOFF).await;
            }
        }
    }
}

/// Asks once. False where something is to be asked again.
async fn propose(broker: &Arc<Broker>, proposals: Vec<(Arc<Partition>, ProposedIsr)>) -> bool {
    let local = broker.replicas.local_broker();
    let request = local.alter_partition_request(proposals.iter().map(|(_, proposal)| proposal));
    let response = match broker.channel.send(request).await {
        Ok(response) => response,
        Err(error) => {
            tracing::warn!("a change of ISRs found no controller: {error}");
            proposals.iter().for_each(|(partition, _)| broker.isr_changes.add(partition));
            return false;
        }
    };
    let error = ErrorCode::from_code(response.error_code);
    if !error.is_none() {
        // STALE_BROKER_EPOCH above all: this broker is about to register anew.
        tracing::warn!(%error, "the controller did not take a change of ISRs");
        proposals.iter().for_each(|(partition, _)| broker.isr_changes.add(partition));
        return false;
    }
    let mut all_settled = true;
    for (partition, proposal) in proposals {
        let before = partition.registration().isr.len();
        // A partition that is not named in the answer is asked for again.
        let answer = proposal.answer_in(&response).unwrap_or(Err(ErrorCode::UnknownServerError));
        count(broker, answer.is_ok(), before, proposal.isr.len());
        match partition.on_altered(proposal.id, answer, now_ms()) {
            AlterPartitionOutcome::Settled(moved) => broker.on_moved(&partition, moved),
            AlterPartitionOutcome::Retry => {
                broker.isr_changes.add(&partition);
                all_settled = false;
            }
        }
    }
    all_settled
}

/// An ISR went from `before` replicas to `after`, or the controller did not take that.
fn count(broker: &Broker, is_taken: bool, before: usize, after: usize) {
    let Some(metrics) = &broker.metrics else { return };
    match (is_taken, after.cmp(&before)) {
        (false, _) => add(&metrics.failed_isr_updates, 1),
        (true, std::cmp::Ordering::Less) => add(&metrics.isr_shrinks, 1),
        (true, std::cmp::Ordering::Greater) => add(&metrics.isr_expands, 1),
        (true, std::cmp::Ordering::Equal) => {}
    }
}

/// Looks for followers that lag, twice in `replica.lag.time.max.ms`, until it is aborted.
pub(crate) async fn expire_followers(broker: Arc<Broker>) {
    let max_lag_ms = broker.replicas.local_broker().replica_lag_time_max_ms();
    let interval = Duration::from_millis((max_lag_ms / 2).clamp(1, i64::from(u32::MAX)) as u64);
    loop {
        tokio::time::sleep(interval).await;
        for partition in broker.replicas.partitions() {
            let moved = partition.maybe_shrink_isr(now_ms());
            broker.on_moved(&partition, moved);
        }
    }
}
