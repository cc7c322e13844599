//! Where the metrics go: to the log, a line for each value, under the target `client_metrics`; and to the broker's own metrics, where
//! those are served.

use prost::Message;
use protocol::compression::{Compression, CompressionError, decompress};
use protocol::messages::PushTelemetryRequest;

use super::Subscription;
use super::otlp::{Attributes, MetricsData};
use super::pushed::{Push, PushedMetrics};

/// As many values of one push are written: the log is nobody's to fill.
const MAX_VALUES: usize = 1_000;

/// Why a push cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadPush {
    #[error("it cannot be decompressed: {0}")]
    Compression(#[from] CompressionError),
    #[error("it is no MetricsData of OpenTelemetry: {0}")]
    Otlp(#[from] prost::DecodeError),
}

/// Writes the values that were asked for, and keeps them in `pushed`. Says how many there were.
pub(crate) fn report(
    push: &PushTelemetryRequest,
    compression: Compression,
    subscription: &Subscription,
    client_id: &str,
    max_bytes: usize,
    pushed: Option<(&PushedMetrics, i64)>,
) -> Result<usize, BadPush> {
    let data = match compression {
        Compression::None => MetricsData::decode(push.metrics.as_ref())?,
        codec => MetricsData::decode(decompress(codec, push.metrics.as_ref(), max_bytes)?.as_slice())?,
    };
    let client_instance_id = push.client_instance_id;
    let mut values = 0;
    for resource in &data.resource_metrics {
        let labels = resource.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
        let metrics = resource.scope_metrics.iter().flat_map(|scope| &scope.metrics);
        for metric in metrics.filter(|metric| subscription.wants(&metric.name)) {
            metric.for_each(|attributes, value| {
                values += 1;
                if let Some((pushed, now_ms)) = pushed {
                    let expires_ms = now_ms.saturating_add(subscription.patience_ms());
                    let push = Push { client_instance_id, client_id, labels, expires_ms };
                    pushed.take(&push, &metric.name, attributes, metric.kind(), value);
                }
                if values <= MAX_VALUES {
                    tracing::info!(
                        target: "client_metrics",
                        client_id,
                        %client_instance_id,
                        labels = %Attributes(labels),
                        attributes = %Attributes(attributes),
                        "{} {value}",
                        metric.name.escape_debug(),
                    );
                }
            });
        }
    }
    if values > MAX_VALUES {
        tracing::warn!(
            target: "client_metrics",
            client_id,
            %client_instance_id,
            "{} of {values} values of one push are left out",
            values - MAX_VALUES,
        );
    }
    Ok(values)
}
