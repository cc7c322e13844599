//! What a broker passes on to the active controller (`KafkaApis.forwardToController`).

use std::sync::Arc;

use network::Handled;

use crate::broker::Broker;
use crate::controller_requests::ToController;
use crate::request::{BadRequest, Request};

/// Has the active controller answer in the client's version and words.
pub(crate) fn forward<Q: ToController>(
    broker: &Arc<Broker>,
    mut request: Request<'_>,
) -> Result<Handled, BadRequest> {
    let raw = request.to_raw();
    // Bytes that are no request end here, as they do in Kafka.
    let body: Q = request.read()?;
    let broker = Arc::clone(broker);
    Ok(Handled::Later(Box::pin(async move { broker.channel.forward(&raw, &body).await })))
}
