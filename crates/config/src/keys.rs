//! The tables: every key of Kafka 4.4's broker, topics, groups and client-metrics subscriptions, one definition each.

mod cleaner;
mod client_metrics;
mod group;
mod group_coordinator;
mod kraft;
mod log;
mod network;
mod own;
mod quota_metrics;
mod remote;
mod replication;
mod sasl;
mod server;
mod share;
mod ssl;
mod streams;
mod topic;
mod transaction;

pub use own::METRICS_LISTENER;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::def::{ConfigKey, ConfigType, UpdateMode, long};
use crate::validator::Validator;

/// A list that may be empty, whose elements may not.
const SET: Validator = Validator::List { of: &[], may_be_empty: true };
/// A list that may not be empty, nor may its elements.
const NON_EMPTY_SET: Validator = Validator::List { of: &[], may_be_empty: false };

// Why a key has no effect; the start-up warning says it.
const NO_TLS: &str = "TLS is to come";
const NO_SASL: &str = "authentication is to come";
const NO_ACLS: &str = "authorization is to come";
const NO_TOKENS: &str = "delegation tokens are to come";
const NO_TIERING: &str = "tiered storage is to come";
const NO_TXN: &str = "transactions are to come";
const NO_SHARE: &str = "share groups are to come";
const NO_WARMUPS: &str = "as in Kafka 4.4, tasks move without warming up first";
const NO_GROWTH: &str = "the time that a connection to a node may take stays the same";
const NO_QUOTAS: &str = "quotas are to come";
const NO_METRICS: &str = "metrics reporters are to come";
const NO_PLUGINS: &str = "Java classes cannot be loaded";
const NO_LINGER: &str = "what waits is written together, without a pause to gather more";
const NO_PURGATORY: &str = "parked requests leave by themselves when they are done";
const NO_THREADS: &str =
    "the threads follow from the number of cores: whoever reads a request also answers it";
const NO_LIMIT: &str = "a limit on the rate of new connections is to come";
const NO_MECHANISM: &str = "milena works without it";

/// The keys of one kind of resource, by name.
pub type KeyTable = BTreeMap<&'static str, &'static ConfigKey>;

/// The broker keys by area, for the documentation.
pub(crate) const BROKER_AREAS: &[(&str, &[ConfigKey])] = &[
    ("Roles, quorum and metadata log", kraft::KEYS),
    ("Broker", server::KEYS),
    ("Listeners and connections", network::KEYS),
    ("Logs", log::KEYS),
    ("Log cleaner", cleaner::KEYS),
    ("Replication and fetching", replication::KEYS),
    ("Groups and offsets", group_coordinator::KEYS),
    ("Share groups", share::KEYS),
    ("Streams groups", streams::KEYS),
    ("Transactions and producer ids", transaction::KEYS),
    ("Quotas, metrics and telemetry", quota_metrics::KEYS),
    ("Authentication and authorization", sasl::KEYS),
    ("TLS", ssl::KEYS),
    ("Tiered storage", remote::KEYS),
];

/// Keys that exist at runtime only: replication quotas (`QuotaConfig.brokerQuotaConfigs`). `server.properties` does not
/// know them.
static DYNAMIC_ONLY: &[ConfigKey] = &[
    long("leader.replication.throttled.rate")
        .or("9223372036854775807")
        .at_least(0)
        .cluster_wide()
        .doc("Bytes per second that this broker may send to followers of throttled partitions."),
    long("follower.replication.throttled.rate")
        .or("9223372036854775807")
        .at_least(0)
        .cluster_wide()
        .doc("Bytes per second that this broker may fetch as a follower of throttled partitions."),
    long("replica.alter.log.dirs.io.max.bytes.per.second")
        .or("9223372036854775807")
        .at_least(0)
        .cluster_wide()
        .doc("Bytes per second that may be copied between log directories of this broker."),
];

fn table(areas: &[&'static [ConfigKey]]) -> KeyTable {
    areas.iter().copied().flatten().map(|key| (key.name, key)).collect()
}

/// The keys of `server.properties` (`AbstractKafkaConfig.CONFIG_DEF`).
pub fn broker_keys() -> &'static KeyTable {
    static TABLE: OnceLock<KeyTable> = OnceLock::new();
    TABLE.get_or_init(|| table(&BROKER_AREAS.iter().map(|(_, keys)| *keys).collect::<Vec<_>>()))
}

/// The keys of `server.properties` that Kafka does not have.
pub fn own_keys() -> &'static KeyTable {
    static TABLE: OnceLock<KeyTable> = OnceLock::new();
    TABLE.get_or_init(|| table(&[own::KEYS]))
}

/// The broker keys that exist at runtime only.
pub fn dynamic_only_keys() -> &'static KeyTable {
    static TABLE: OnceLock<KeyTable> = OnceLock::new();
    TABLE.get_or_init(|| table(&[DYNAMIC_ONLY]))
}

/// The keys of a topic (`LogConfig`).
pub fn topic_keys() -> &'static KeyTable {
    static TABLE: OnceLock<KeyTable> = OnceLock::new();
    TABLE.get_or_init(|| table(&[topic::KEYS]))
}

/// The keys of a group (`GroupConfig`).
pub fn group_keys() -> &'static KeyTable {
    static TABLE: OnceLock<KeyTable> = OnceLock::new();
    TABLE.get_or_init(|| table(&[group::KEYS]))
}

/// The keys of a client-metrics subscription (`ClientMetricsConfigs`).
pub fn client_metrics_keys() -> &'static KeyTable {
    static TABLE: OnceLock<KeyTable> = OnceLock::new();
    TABLE.get_or_init(|| table(&[client_metrics::KEYS]))
}

/// The type of a broker key, also of one with a `listener.name.x.` prefix (`AbstractKafkaConfig.configType`).
pub fn broker_key_type(name: &str) -> Option<ConfigType> {
    let known = broker_keys().get(name).or_else(|| dynamic_only_keys().get(name));
    known.or_else(|| own_keys().get(name)).map(|key| key.config_type).or_else(|| {
        crate::synonyms::broker_synonyms(name, true)
            .iter()
            .find_map(|synonym| Some(broker_keys().get(synonym.as_str())?.config_type))
    })
}

/// Whether the broker key can change at runtime (`DynamicBrokerConfig.ALL_DYNAMIC_CONFIGS`).
pub fn is_dynamic(name: &str) -> bool {
    broker_keys().get(name).is_some_and(|key| key.update_mode != UpdateMode::ReadOnly)
}
