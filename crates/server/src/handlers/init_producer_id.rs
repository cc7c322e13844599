//! `InitProducerId` for idempotent producers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::ErrorCode;
use network::Handled;
use protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

use crate::broker::Broker;
use crate::request::{BadRequest, Request};

pub(crate) fn handle(broker: &Arc<Broker>, mut request: Request<'_>) -> Result<Handled, BadRequest> {
    let body: InitProducerIdRequest = request.read()?;
    let broker = Arc::clone(broker);
    request.head.later(async move {
        let result = match body.transactional_id {
            // A producer that goes on says both, one that begins neither.
            _ if (body.producer_id == -1) != (body.producer_epoch == -1) => Err(ErrorCode::InvalidRequest),
            None => {
                let epoch = broker.epoch.load(Ordering::Relaxed);
                broker.producer_ids.next(&broker.channel, broker.node_id, epoch).await
            }
            Some(id) if id.is_empty() => Err(ErrorCode::InvalidRequest),
            // Divergence: transactions are not served yet. A code that no client retries says so at once.
            Some(_) => Err(ErrorCode::TransactionalIdAuthorizationFailed),
        };
        match result {
            Ok(producer_id) => {
                InitProducerIdResponse { producer_id, producer_epoch: 0, ..Default::default() }
            }
            Err(error) => InitProducerIdResponse {
                error_code: error.code(),
                producer_id: -1,
                producer_epoch: -1,
                ..Default::default()
            },
        }
    })
}
