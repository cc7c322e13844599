//! How changes of ISRs are asked for, and what the answer means (`AlterPartitionManager`).

use common::ErrorCode;
use metadata::LeaderRecoveryState;
use protocol::messages::alter_partition_request::{BrokerState, PartitionData, TopicData};
use protocol::messages::{AlterPartitionRequest, AlterPartitionResponse};

use crate::{AlteredPartition, LocalBroker, ProposedIsr};

impl LocalBroker {
    /// Asks for all of these changes.
    pub fn alter_partition_request<'p>(
        &self,
        proposals: impl Iterator<Item = &'p ProposedIsr>,
    ) -> AlterPartitionRequest {
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
        AlterPartitionRequest { broker_id: self.node_id(), broker_epoch: self.epoch(), topics }
    }
}

impl ProposedIsr {
    /// What the controller says of this change; nothing where it does not name the partition.
    pub fn answer_in(
        &self,
        response: &AlterPartitionResponse,
    ) -> Option<Result<AlteredPartition, ErrorCode>> {
        let topics = response.topics.iter().filter(|topic| topic.topic_id == self.topic_id);
        let data =
            topics.flat_map(|topic| &topic.partitions).find(|data| data.partition_index == self.partition)?;
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
}
