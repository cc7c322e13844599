//! `ApiVersions` (KIP-35, KIP-511, KIP-584): what this broker is and speaks.

use std::sync::Arc;

use common::ErrorCode;
use network::{Handled, Outbox};
use protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

use crate::apis::{self, ListenerKind};
use crate::broker::Broker;
use crate::request::{BadRequest, Head, Request};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    kind: ListenerKind,
    mut request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let body: ApiVersionsRequest = request.read()?;
    let version = request.head.version;
    if let Some(error) = refusal(broker, &body, version) {
        let refusal = ApiVersionsResponse { error_code: error.code(), ..ApiVersionsResponse::default() };
        return request.head.answer(&refusal, out);
    }
    request.head.answer(&response(broker, kind, version), out)
}

/// The answer to a version that is not known: in version 0, which everybody can read, with the range to choose from.
pub(crate) fn unsupported_version(
    broker: &Broker,
    kind: ListenerKind,
    head: Head,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let mut response = response(broker, kind, 0);
    response.error_code = ErrorCode::UnsupportedVersion.code();
    response.api_keys.retain(|api| api.api_key == head.api.code());
    Head { version: 0, ..head }.answer(&response, out)
}

/// Why a client is not told what is served, if it is not.
fn refusal(broker: &Broker, request: &ApiVersionsRequest, version: i16) -> Option<ErrorCode> {
    let named = [&request.client_software_name, &request.client_software_version];
    if version >= 3 && !named.iter().all(|name| is_valid_name(name)) {
        return Some(ErrorCode::InvalidRequest);
    }
    if version < 5 {
        return None;
    }
    // A client may say whom it means to talk to (KIP-1242): cluster and node, or neither.
    match (&request.cluster_id, request.node_id) {
        (None, -1) => None,
        (None, _) | (Some(_), -1) => Some(ErrorCode::InvalidRequest),
        (Some(cluster), node) if *cluster == broker.cluster_id && node == broker.node_id => None,
        _ => Some(ErrorCode::RebootstrapRequired),
    }
}

/// Letters, digits, dots and dashes, with a letter or digit at both ends.
fn is_valid_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

fn response(broker: &Broker, kind: ListenerKind, version: i16) -> ApiVersionsResponse {
    let image = broker.image();
    let supported_features = metadata::supported_features()
        .into_iter()
        // Before version 4 a feature that may be absent cannot be said (KAFKA-17011).
        .filter(|(_, range)| version >= 4 || range.min > 0)
        .map(|(name, range)| SupportedFeatureKey {
            name: name.to_owned(),
            min_version: range.min,
            max_version: range.max,
        })
        .collect();
    let finalized_features = broker
        .finalized_features(&image)
        .into_iter()
        .map(|(name, level)| FinalizedFeatureKey { name, max_version_level: level, min_version_level: level })
        .collect();
    ApiVersionsResponse {
        error_code: 0,
        api_keys: apis::advertised(kind)
            .map(|(api, min_version, max_version)| ApiVersion {
                api_key: api.code(),
                min_version,
                max_version,
            })
            .collect(),
        supported_features,
        finalized_features_epoch: image.provenance.last_contained_offset,
        finalized_features,
        ..ApiVersionsResponse::default()
    }
}

#[cfg(test)]
mod tests {
    use super::is_valid_name;

    #[test]
    fn names_of_client_software_follow_kip_511() {
        for good in ["librdkafka", "apache-kafka-java", "2.5.0-rc1", "a"] {
            assert!(is_valid_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", "a_b", "é"] {
            assert!(!is_valid_name(bad), "{bad}");
        }
    }
}
