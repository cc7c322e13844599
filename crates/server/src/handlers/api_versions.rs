//! `ApiVersions` (KIP-35, KIP-511, KIP-584): what this broker is and speaks.

use std::collections::BTreeMap;

use common::ErrorCode;
use network::{Handled, Outbox};
use protocol::ApiKey;
use protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

use crate::apis::{self, ListenerKind};
use crate::broker::Broker;
use crate::controller_channel::ControllerChannel;
use crate::controller_server::ControllerServer;
use crate::request::{BadRequest, Head, Request};

/// What there is to say of a node.
pub(crate) struct About<'a> {
    kind: ListenerKind,
    node_id: i32,
    cluster_id: &'a str,
    finalized_features: BTreeMap<String, i16>,
    /// The offset of the metadata that the features are from.
    epoch: i64,
    /// Of a broker: whose limits hold for what it passes on.
    channel: Option<&'a ControllerChannel>,
}

impl<'a> About<'a> {
    pub(crate) fn broker(broker: &'a Broker) -> About<'a> {
        let image = broker.image();
        About {
            kind: ListenerKind::Broker,
            node_id: broker.node_id,
            cluster_id: &broker.cluster_id,
            finalized_features: broker.finalized_features(&image),
            epoch: image.provenance.last_contained_offset,
            channel: Some(&broker.channel),
        }
    }

    pub(crate) fn controller(controller: &'a ControllerServer) -> About<'a> {
        let image = controller.image.load();
        About {
            kind: ListenerKind::Controller,
            node_id: controller.node_id,
            cluster_id: &controller.cluster_id,
            finalized_features: controller.finalized_features(&image),
            epoch: image.provenance.last_contained_offset,
            channel: None,
        }
    }

    /// Key, first and last version of what is served.
    fn apis(&self) -> impl Iterator<Item = (ApiKey, i16, i16)> {
        let limits = self.channel.and_then(ControllerChannel::limits);
        apis::advertised(self.kind).filter_map(move |(api, first, last)| {
            let Some(limits) = limits.as_ref().filter(|_| apis::is_forwarded(api)) else {
                return Some((api, first, last));
            };
            let (its_first, its_last) = limits(api)?;
            let (first, last) = (first.max(its_first), last.min(its_last));
            (first <= last).then_some((api, first, last))
        })
    }
}

pub(crate) fn handle(
    about: &About<'_>,
    mut request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let body: ApiVersionsRequest = request.read()?;
    let version = request.head.version;
    if let Some(error) = refusal(about, &body, version) {
        let refusal = ApiVersionsResponse { error_code: error.code(), ..ApiVersionsResponse::default() };
        return request.head.answer(&refusal, out);
    }
    if version >= 3 {
        let software = (body.client_software_name.into(), body.client_software_version.into());
        // A client says it once, first of all.
        request.client.session.software.get_or_init(|| software);
    }
    request.head.answer(&response(about, version), out)
}

/// The answer to a version that is not known: in version 0, which everybody can read, with the range to choose from.
pub(crate) fn unsupported_version(
    about: &About<'_>,
    head: Head,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let mut response = response(about, 0);
    response.error_code = ErrorCode::UnsupportedVersion.code();
    response.api_keys.retain(|api| api.api_key == head.api.code());
    Head { version: 0, ..head }.answer(&response, out)
}

/// Why a client is not told what is served, if it is not.
fn refusal(about: &About<'_>, request: &ApiVersionsRequest, version: i16) -> Option<ErrorCode> {
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
        (Some(cluster), node) if cluster == about.cluster_id && node == about.node_id => None,
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

fn response(about: &About<'_>, version: i16) -> ApiVersionsResponse {
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
    let finalized_features = about
        .finalized_features
        .iter()
        .map(|(name, level)| FinalizedFeatureKey {
            name: name.clone(),
            max_version_level: *level,
            min_version_level: *level,
        })
        .collect();
    ApiVersionsResponse {
        error_code: 0,
        api_keys: about
            .apis()
            .map(|(api, min_version, max_version)| ApiVersion {
                api_key: api.code(),
                min_version,
                max_version,
            })
            .collect(),
        supported_features,
        finalized_features_epoch: about.epoch,
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
