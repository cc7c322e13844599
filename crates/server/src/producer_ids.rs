//! Ids for idempotent producers, taken in blocks from the controller (`RPCProducerIdManager`).

use common::ErrorCode;
use protocol::messages::AllocateProducerIdsRequest;
use tokio::sync::Mutex;

use crate::controller_channel::ControllerChannel;

/// The rest of the block that the controller gave last.
#[derive(Default)]
pub(crate) struct ProducerIds {
    /// Next id and end of the block. An async lock: while a block is fetched, others wait for the same block.
    block: Mutex<(i64, i64)>,
}

impl ProducerIds {
    /// An id that nobody has.
    pub(crate) async fn next(
        &self,
        channel: &ControllerChannel,
        broker_id: i32,
        broker_epoch: i64,
    ) -> Result<i64, ErrorCode> {
        let mut block = self.block.lock().await;
        if block.0 >= block.1 {
            let request = AllocateProducerIdsRequest { broker_id, broker_epoch };
            // Nobody to ask: the producer tries again.
            let response = channel.send(request).await.map_err(|_| ErrorCode::CoordinatorLoadInProgress)?;
            match ErrorCode::from_code(response.error_code) {
                ErrorCode::None => {
                    *block = (
                        response.producer_id_start,
                        response.producer_id_start + i64::from(response.producer_id_len),
                    );
                }
                // As in Kafka: the producer tries again, and by then the broker may have a newer epoch.
                ErrorCode::StaleBrokerEpoch | ErrorCode::BrokerIdNotRegistered => {
                    return Err(ErrorCode::CoordinatorLoadInProgress);
                }
                other => return Err(other),
            }
        }
        let id = block.0;
        block.0 += 1;
        Ok(id)
    }
}
