//! `PushTelemetry` (KIP-714): a client's metrics, which go to the log and to the broker's own.

use std::net::IpAddr;
use std::sync::Arc;

use common::{ErrorCode, Uuid};
use network::{Handled, Outbox};
use protocol::messages::{PushTelemetryRequest, PushTelemetryResponse};

use crate::broker::Broker;
use crate::client_metrics::{ClientAttributes, report};
use crate::clock::now_ms;
use crate::request::{BadRequest, Client, Request};

/// What a client's software is called that does not say (`ClientInformation.UNKNOWN_NAME_OR_VERSION`).
const UNKNOWN: &str = "unknown";

pub(crate) fn handle(
    broker: &Arc<Broker>,
    mut request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let push: PushTelemetryRequest = request.read()?;
    let error = take(broker, &push, &request.client);
    request.head.answer(&PushTelemetryResponse { throttle_time_ms: 0, error_code: error.code() }, out)
}

fn take(broker: &Broker, push: &PushTelemetryRequest, client: &Client<'_>) -> ErrorCode {
    let metrics = &broker.client_metrics;
    let checked =
        with_attributes(client, push.client_instance_id, |client| metrics.check_push(push, client, now_ms()));
    let (subscription, compression) = match checked {
        Ok(checked) => checked,
        Err(error) => return error,
    };
    if push.metrics.is_empty() {
        return ErrorCode::None;
    }
    let max_bytes = usize::try_from(metrics.max_bytes()).unwrap_or(0);
    let pushed = broker.metrics.as_ref().map(|metrics| (&metrics.pushed, now_ms()));
    match report(push, compression, &subscription, client.id, max_bytes, pushed) {
        Ok(values) => {
            tracing::debug!(client_id = client.id, values, "a client has pushed its metrics");
            ErrorCode::None
        }
        Err(error) => {
            let peer = client.connection.peer;
            tracing::warn!(%peer, client_id = client.id, "a push of metrics is refused: {error}");
            ErrorCode::InvalidRecord
        }
    }
}

/// What a subscription may go by, of whoever asks; the id is the connection's from now on.
pub(crate) fn with_attributes<T>(
    client: &Client<'_>,
    client_instance_id: Uuid,
    then: impl FnOnce(&ClientAttributes<'_>) -> T,
) -> T {
    client.session.client_instance_id.get_or_init(|| client_instance_id);
    let (software_name, software_version) =
        client.session.software.get().map_or((UNKNOWN, UNKNOWN), |(name, version)| (&**name, &**version));
    let peer = client.connection.peer;
    then(&ClientAttributes {
        id: client.id,
        software_name,
        software_version,
        address: &host_address(peer.ip()),
        port: &peer.port().to_string(),
    })
}

/// `InetAddress.getHostAddress`, which shortens no zeros.
fn host_address(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address.segments().map(|segment| format!("{segment:x}")).join(":"),
    }
}
