//! `GetTelemetrySubscriptions` (KIP-714): which of its metrics a client is to push, and how often.

use std::sync::Arc;

use common::{ErrorCode, Uuid};
use network::{Handled, Outbox};
use protocol::compression::Compression;
use protocol::messages::{GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse};

use super::push_telemetry::with_attributes;
use crate::broker::Broker;
use crate::clock::now_ms;
use crate::request::{BadRequest, Request};

/// The best first.
const ACCEPTED_COMPRESSION: [Compression; 4] =
    [Compression::Zstd, Compression::Lz4, Compression::Gzip, Compression::Snappy];

pub(crate) fn handle(
    broker: &Arc<Broker>,
    mut request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let body: GetTelemetrySubscriptionsRequest = request.read()?;
    let client_instance_id = match body.client_instance_id {
        Uuid::ZERO => Uuid::random(),
        id => id,
    };
    let metrics = &broker.client_metrics;
    let subscription = with_attributes(&request.client, client_instance_id, |client| {
        metrics.subscription(client_instance_id, client, now_ms())
    });
    let response = match subscription {
        Ok(subscription) => GetTelemetrySubscriptionsResponse {
            throttle_time_ms: 0,
            error_code: ErrorCode::None.code(),
            client_instance_id,
            subscription_id: subscription.id,
            accepted_compression_types: ACCEPTED_COMPRESSION.map(|codec| codec.id() as i8).to_vec(),
            push_interval_ms: subscription.interval_ms,
            telemetry_max_bytes: metrics.max_bytes(),
            delta_temporality: true,
            requested_metrics: subscription.metrics.into_iter().collect(),
        },
        Err(error) => GetTelemetrySubscriptionsResponse { error_code: error.code(), ..Default::default() },
    };
    request.head.answer(&response, out)
}
