//! Clients' metrics (KIP-714, `ClientMetricsManager`): which client shall push what and how often, and when it did.
//!
//! Subscriptions are dynamic configurations of the type `CLIENT_METRICS`. What is known of a client, an instance, lives in
//! this broker's memory only: until its connection ends, it has been silent for three intervals, or so many others came
//! that it is the one that was seen longest ago.

mod instances;
mod otlp;
mod pushed;
mod report;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use common::{ErrorCode, Uuid};
use config::ClientMetricsConfig;
use metadata::{ConfigResourceType, MetadataImage};
use parking_lot::Mutex;
use protocol::compression::Compression;
use protocol::messages::PushTelemetryRequest;

use instances::{Instance, Instances};
pub(crate) use pushed::PushedMetrics;
pub(crate) use report::report;

/// How many clients are remembered at a time.
const MAX_INSTANCES: usize = 16_384;

/// A silent client is kept at least this long.
const MIN_EXPIRY_MS: i64 = 60_000;

/// In place of all beginnings of metrics' names.
const ALL_METRICS: &str = "*";

/// What a subscription may go by (`ClientMetricsInstanceMetadata`).
pub(crate) struct ClientAttributes<'a> {
    pub(crate) id: &'a str,
    pub(crate) software_name: &'a str,
    pub(crate) software_version: &'a str,
    pub(crate) address: &'a str,
    pub(crate) port: &'a str,
}

/// What a client is to push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// What its pushes have to name: it changes with the rest.
    pub(crate) id: i32,
    pub(crate) interval_ms: i32,
    /// Beginnings of metrics' names. None: the client has nothing to push.
    pub(crate) metrics: BTreeSet<String>,
}

impl Subscription {
    /// For how long a client counts that is silent, in ms.
    fn patience_ms(&self) -> i64 {
        MIN_EXPIRY_MS.max(i64::from(self.interval_ms) * 3)
    }

    /// Whether a metric of this name was asked for.
    pub(crate) fn wants(&self, metric: &str) -> bool {
        self.metrics.iter().any(|start| start == ALL_METRICS || metric.starts_with(start.as_str()))
    }
}

/// All subscriptions and clients of a broker.
pub(crate) struct ClientMetrics {
    max_bytes: i32,
    state: Mutex<State>,
}

struct State {
    subscriptions: BTreeMap<String, ClientMetricsConfig>,
    /// Counts the changes of the subscriptions.
    version: u64,
    instances: Instances,
}

impl ClientMetrics {
    /// No subscription, and no client. A push may have `max_bytes`, before and after it is decompressed.
    pub(crate) fn new(max_bytes: i32) -> ClientMetrics {
        let instances = Instances::new(MAX_INSTANCES);
        ClientMetrics {
            max_bytes,
            state: Mutex::new(State { subscriptions: BTreeMap::new(), version: 0, instances }),
        }
    }

    /// `telemetry.max.bytes`.
    pub(crate) fn max_bytes(&self) -> i32 {
        self.max_bytes
    }

    /// Takes over the subscriptions of the image. Every client follows with its next request.
    pub(crate) fn update(&self, image: &MetadataImage) {
        let resources = image.configs.iter();
        let of_clients =
            resources.filter(|(resource, _)| resource.resource_type == ConfigResourceType::CLIENT_METRICS);
        let subscriptions = of_clients.filter_map(|(resource, keys)| match ClientMetricsConfig::resolve(keys) {
            Ok(subscription) => Some((resource.name.clone(), subscription)),
            Err(error) => {
                tracing::error!(name = %resource.name, %error, "a client-metrics subscription cannot be used");
                None
            }
        });
        self.set_subscriptions(subscriptions.collect());
    }

    fn set_subscriptions(&self, subscriptions: BTreeMap<String, ClientMetricsConfig>) {
        let mut state = self.state.lock();
        state.subscriptions = subscriptions;
        state.version += 1;
    }

    /// What the client is to push.
    ///
    /// # Errors
    /// `THROTTLING_QUOTA_EXCEEDED` if it asks again before its interval is over, unless it has reason to.
    pub(crate) fn subscription(
        &self,
        id: Uuid,
        client: &ClientAttributes<'_>,
        now_ms: i64,
    ) -> Result<Subscription, ErrorCode> {
        let mut state = self.state.lock();
        let instance = state.instance(id, client, now_ms);
        if !instance.may_ask(now_ms) {
            return Err(ErrorCode::ThrottlingQuotaExceeded);
        }
        Ok(instance.subscription.clone())
    }

    /// Whether the client may push this now, and what it was asked for.
    ///
    /// # Errors
    /// Those that KIP-714 names, for the client to act on.
    pub(crate) fn check_push(
        &self,
        push: &PushTelemetryRequest,
        client: &ClientAttributes<'_>,
        now_ms: i64,
    ) -> Result<(Subscription, Compression), ErrorCode> {
        let id = push.client_instance_id;
        if id.is_zero() || id == Uuid::METADATA_TOPIC {
            return Err(ErrorCode::InvalidRequest);
        }
        let mut state = self.state.lock();
        let instance = state.instance(id, client, now_ms);
        let checked = instance.check_push(push, self.max_bytes, now_ms);
        // As in Kafka also where the push is refused: a client that has said its last and comes again is refused once.
        instance.terminating = push.terminating;
        // These two tell a client to ask for its subscription again, so it may.
        instance.asks_again =
            matches!(checked, Err(ErrorCode::UnknownSubscriptionId | ErrorCode::UnsupportedCompressionType));
        Ok((instance.subscription.clone(), checked?))
    }

    /// The connection of this client is over.
    pub(crate) fn forget(&self, id: Uuid) {
        self.state.lock().instances.remove(id);
    }
}

impl State {
    /// The client, known or new, with a subscription that is up to date.
    fn instance(&mut self, id: Uuid, client: &ClientAttributes<'_>, now_ms: i64) -> &mut Instance {
        let (subscriptions, version) = (&self.subscriptions, self.version);
        self.instances.get_or_insert(id, version, now_ms, || {
            let subscription = subscription_of(subscriptions, id, client);
            Instance::new(subscription, version)
        })
    }
}

/// What all subscriptions that are for this client ask for together.
fn subscription_of(
    subscriptions: &BTreeMap<String, ClientMetricsConfig>,
    id: Uuid,
    client: &ClientAttributes<'_>,
) -> Subscription {
    let id_text = id.to_string();
    let attribute = |name: &str| match name {
        "client_instance_id" => Some(id_text.as_str()),
        "client_id" => Some(client.id),
        "client_software_name" => Some(client.software_name),
        "client_software_version" => Some(client.software_version),
        "client_source_address" => Some(client.address),
        "client_source_port" => Some(client.port),
        _ => None,
    };
    let mut metrics = BTreeSet::new();
    let mut interval_ms = config::DEFAULT_INTERVAL_MS;
    for subscription in subscriptions.values().filter(|subscription| subscription.is_for(attribute)) {
        metrics.extend(subscription.metrics.iter().cloned());
        interval_ms = interval_ms.min(subscription.interval_ms);
    }
    if metrics.contains(ALL_METRICS) {
        metrics = BTreeSet::from([ALL_METRICS.to_owned()]);
    }
    Subscription { id: subscription_id(&metrics, interval_ms, id), interval_ms, metrics }
}

/// A number that changes when what is asked for does.
///
/// Divergence: where several metrics are named Kafka takes them in the order of a Java hash set, this in that of the
/// alphabet. A client that goes from one kind of broker to the other is told to ask again, as after any change.
fn subscription_id(metrics: &BTreeSet<String>, interval_ms: i32, id: Uuid) -> i32 {
    let names: Vec<&str> = metrics.iter().map(String::as_str).collect();
    let text = format!("[{}]{interval_ms}", names.join(", "));
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, text.as_bytes()) as u32;
    crc.cast_signed() ^ java_hash(id)
}

/// `Uuid.hashCode`.
fn java_hash(id: Uuid) -> i32 {
    let bits = id.as_u128();
    let folded = (bits >> 64) as u64 ^ bits as u64;
    ((folded >> 32) as u32 ^ folded as u32).cast_signed()
}
