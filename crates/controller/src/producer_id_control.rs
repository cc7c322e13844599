//! Blocks of producer ids (`org.apache.kafka.controller.ProducerIdControlManager`).

use common::ErrorCode;
use metadata::{ReplayError, VersionedRecord};
use protocol::messages::{AllocateProducerIdsRequest, ProducerIdsRecord};

use crate::api_error::ApiError;

/// How many producer ids a broker gets at once.
pub const PRODUCER_ID_BLOCK_SIZE: i32 = 1000;

/// How far producer ids are handed out.
#[derive(Clone, Debug, Default)]
pub struct ProducerIdControlManager {
    /// The first id of the next block; none before the first.
    next_producer_id: Option<i64>,
}

impl ProducerIdControlManager {
    /// A block for a broker: its first id, and the record that takes it.
    pub fn generate_next(
        &self,
        request: &AllocateProducerIdsRequest,
    ) -> Result<(i64, VersionedRecord), ApiError> {
        let first = self.next_producer_id.unwrap_or(0);
        let next = first.checked_add(i64::from(PRODUCER_ID_BLOCK_SIZE));
        // Kafka tells clients nothing of what goes wrong inside.
        let next_producer_id = next.ok_or_else(|| ApiError::silent(ErrorCode::UnknownServerError))?;
        let record = ProducerIdsRecord {
            broker_id: request.broker_id,
            broker_epoch: request.broker_epoch,
            next_producer_id,
        };
        Ok((first, (record.into(), 0)))
    }

    /// Replays that a block was taken.
    pub fn replay(&mut self, record: &ProducerIdsRecord) -> Result<(), ReplayError> {
        if let Some(current) = self.next_producer_id
            && record.next_producer_id <= current
        {
            return Err(ReplayError::ProducerIdGoesBack { current, recorded: record.next_producer_id });
        }
        self.next_producer_id = Some(record.next_producer_id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_follow_on_each_other() {
        let mut manager = ProducerIdControlManager::default();
        let request = AllocateProducerIdsRequest { broker_id: 1, broker_epoch: 14 };
        for first in [0, 1000, 2000] {
            let (start, (record, version)) = manager.generate_next(&request).unwrap();
            assert_eq!((start, version), (first, 0));
            let metadata::MetadataRecord::ProducerIds(record) = record else { panic!("another record") };
            assert_eq!((record.broker_id, record.broker_epoch), (1, 14));
            manager.replay(&record).unwrap();
            assert!(manager.replay(&record).is_err());
        }
    }

    #[test]
    fn the_last_ids_are_never_handed_out_twice() {
        let mut manager = ProducerIdControlManager::default();
        let record = ProducerIdsRecord { next_producer_id: i64::MAX - 999, ..Default::default() };
        manager.replay(&record).unwrap();
        let error = manager.generate_next(&AllocateProducerIdsRequest::default()).unwrap_err();
        assert_eq!(error.error, ErrorCode::UnknownServerError);
    }
}
