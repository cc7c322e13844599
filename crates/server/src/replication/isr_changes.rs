//! Changes of ISRs on their way to the controller (`AlterPartitionManager`), and the followers that lag behind
//! (`ReplicaManager.maybeShrinkIsr`).
//!
//! One request is under way at a time and carries what has gathered meanwhile. What a partition asks for is read from the
//! partition itself when the request is made, so nothing stale waits here.

use std::sync::Arc;
use std::time::Duration;

use common::{ErrorCode, Uuid};
use metadata::LeaderRecoveryState;
use parking_lot::Mutex;
use protocol::messages::alter_partition_request::{BrokerState, PartitionData, TopicData};
use protocol::messages::{AlterPartitionRequest, AlterPartitionResponse};
use replica::{AlterPartitionOutcome, AlteredPartition, Partition, ProposedIsr};
use tokio::sync::Notify;

use crate::broker::Broker;
use crate::clock::now_ms;

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
    let request = request(broker, proposals.iter().map(|(_, proposal)| proposal));
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
        // A partition that is not named in the answer is asked for again.
        let answer = answer_for(&response, &proposal).unwrap_or(Err(ErrorCode::UnknownServerError));
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

fn request<'p>(broker: &Broker, proposals: impl Iterator<Item = &'p ProposedIsr>) -> AlterPartitionRequest {
    let mut topics: Vec<TopicData> = Vec::new();
    for proposal in proposals {
        let data = PartitionData {
            partition_index: proposal.partition,
            leader_epoch: proposal.leader_epoch,
            new_isr_with_epochs: proposal
                .isr
                .iter()
                .map(|&(broker_id, broker_epoch)| BrokerState { broker_id, broker_epoch })
                .collect(),
            // Whoever leads has recovered by that.
            leader_recovery_state: LeaderRecoveryState::Recovered.value(),
            partition_epoch: proposal.partition_epoch,
            ..PartitionData::default()
        };
        match topics.iter_mut().find(|topic| topic.topic_id == proposal.topic_id) {
            Some(topic) => topic.partitions.push(data),
            None => topics.push(TopicData { topic_id: proposal.topic_id, partitions: vec![data] }),
        }
    }
    AlterPartitionRequest {
        broker_id: broker.node_id,
        broker_epoch: broker.replicas.local_broker().epoch(),
        topics,
    }
}

fn answer_for(
    response: &AlterPartitionResponse,
    proposal: &ProposedIsr,
) -> Option<Result<AlteredPartition, ErrorCode>> {
    let topic = |id: Uuid| response.topics.iter().filter(move |topic| topic.topic_id == id);
    let data = topic(proposal.topic_id)
        .flat_map(|topic| &topic.partitions)
        .find(|data| data.partition_index == proposal.partition)?;
    let error = ErrorCode::from_code(data.error_code);
    if !error.is_none() {
        return Some(Err(error));
    }
    Some(Ok(AlteredPartition {
        leader_epoch: data.leader_epoch,
        isr: data.isr.clone(),
        leader_recovery_state: LeaderRecoveryState::from_value(data.leader_recovery_state)?,
        partition_epoch: data.partition_epoch,
    }))
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
