//! `BrokerConfig`: one broker's whole configuration, typed and checked (`KafkaConfig`).

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::checks;
use crate::def::ConfigType;
use crate::environment::Environment;
use crate::error::{ConfigError, Warning};
use crate::keys::{METRICS_LISTENER, broker_key_type, broker_keys};
use crate::listeners::{self, EndPoint, ProtocolMap, SecurityProtocol};
use crate::properties::Properties;
use crate::quorum::{self, HostPort, Voter};
use crate::start::{self, StartMode, StaticConfig};
use crate::synonyms::broker_synonyms;
use crate::topic::TopicDefaults;
use crate::value::Value;
use crate::view::Values;
use crate::views::{
    CleanerConfig, GroupCoordinatorConfig, LogManagerConfig, MetadataLogConfig, NetworkConfig, QuorumConfig,
    ReplicationConfig, ShareCoordinatorConfig, TransactionConfig,
};

/// What this process is in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessRoles {
    /// It serves clients.
    pub broker: bool,
    /// It is, or may become, a member of the quorum.
    pub controller: bool,
}

/// The texts that were given for broker keys, by who gave them. What a later layer says wins. `Debug` hides secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Layers {
    /// `server.properties`, the command line, and what follows from the start mode.
    pub static_config: BTreeMap<String, String>,
    /// Set at runtime for all brokers (resource `BROKER` with an empty name).
    pub dynamic_default: BTreeMap<String, String>,
    /// Set at runtime for this broker.
    pub dynamic_broker: BTreeMap<String, String>,
}

/// A broker's configuration. Immutable: a dynamic change makes a new one with [`BrokerConfig::with_dynamic`].
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// From what kind of file it was made.
    pub start_mode: StartMode,
    /// `node.id`, or `broker.id`, its older name.
    pub node_id: i32,
    /// `process.roles`.
    pub process_roles: ProcessRoles,
    /// `broker.rack`.
    pub broker_rack: Option<String>,
    /// Where to bind, controller listeners included. An empty host means all interfaces.
    pub listeners: Vec<EndPoint>,
    /// What clients and brokers are told to connect to. Controller listeners are not among these; no host is empty.
    pub advertised_listeners: Vec<EndPoint>,
    /// What the controller registers for itself; no host is empty. Empty without the role or without such a listener.
    pub advertised_controller_listeners: Vec<EndPoint>,
    /// `controller.listener.names`. Empty for a single node that needs none.
    pub controller_listener_names: Vec<String>,
    /// The protocol of each listener name.
    pub listener_security_protocol_map: ProtocolMap,
    /// The listener that brokers use among themselves.
    pub inter_broker_listener_name: String,
    /// The protocol of that listener.
    pub inter_broker_security_protocol: SecurityProtocol,
    /// `log.dirs`, or `log.dir`.
    pub log_dirs: Vec<PathBuf>,
    /// Those of `log_dirs` that get no new partitions (`cordoned.log.dirs`).
    pub cordoned_log_dirs: Vec<PathBuf>,
    /// `metadata.log.dir`, or the first of `log_dirs`.
    pub metadata_log_dir: PathBuf,
    /// The voters of a static quorum. With `bootstrap_servers` alone this is empty.
    pub voters: Vec<Voter>,
    /// `controller.quorum.bootstrap.servers`.
    pub bootstrap_servers: Vec<HostPort>,
    /// `milena.metrics.listener`: where the metrics are served, if they are. Kafka has no such key.
    pub metrics_listener: Option<HostPort>,
    /// Timing of the quorum and of registrations.
    pub quorum: QuorumConfig,
    /// The metadata log.
    pub metadata_log: MetadataLogConfig,
    /// Sockets and requests.
    pub network: NetworkConfig,
    /// The log manager.
    pub log_manager: LogManagerConfig,
    /// The log cleaner.
    pub cleaner: CleanerConfig,
    /// Topics, replication, fetching.
    pub replication: ReplicationConfig,
    /// Groups and offsets.
    pub group_coordinator: GroupCoordinatorConfig,
    /// Transactions.
    pub transaction: TransactionConfig,
    /// The share coordinator's topic.
    pub share_coordinator: ShareCoordinatorConfig,
    /// What a topic has where it does not say otherwise.
    pub topic_defaults: Arc<TopicDefaults>,
    pub(crate) values: Values,
    pub(crate) layers: Layers,
    environment: Environment,
}

impl BrokerConfig {
    /// Reads a configuration from a file's entries, or from none, with what is worth a warning.
    pub fn from_properties(
        properties: &Properties,
        environment: Environment,
    ) -> Result<(BrokerConfig, Vec<Warning>), ConfigError> {
        checks::comments_after_values(properties)?;
        let StaticConfig { mode: start_mode, texts, mut warnings } = start::static_config(properties)?;
        let layers = Layers { static_config: texts, ..Layers::default() };
        let config = BrokerConfig::build(start_mode, layers, environment).map_err(|(name, error)| {
            let Some(name) = name else { return error };
            // The number may have been given under its older name.
            let given =
                if name == "node.id" && properties.entry(&name).is_none() { "broker.id" } else { &name };
            properties.located(given, error, checks::hint(&name))
        })?;
        warnings.extend(checks::warnings(properties, &config));
        Ok((config, warnings))
    }

    /// The configuration with these dynamic layers in the place of the present ones (`DynamicBrokerConfig`).
    pub fn with_dynamic(
        &self,
        dynamic_default: BTreeMap<String, String>,
        dynamic_broker: BTreeMap<String, String>,
    ) -> Result<BrokerConfig, ConfigError> {
        let layers =
            Layers { static_config: self.layers.static_config.clone(), dynamic_default, dynamic_broker };
        BrokerConfig::build(self.start_mode, layers, self.environment).map_err(|(_, error)| error)
    }

    /// The texts behind the values.
    pub fn layers(&self) -> &Layers {
        &self.layers
    }

    /// The parsed value of a broker key, `Null` for an unset or unknown one.
    pub fn value(&self, name: &str) -> &Value {
        self.values.value(name)
    }

    /// Whether a file or the command line said something about the key or its synonyms.
    pub fn is_set(&self, name: &str) -> bool {
        broker_synonyms(name, false).iter().any(|synonym| self.layers.static_config.contains_key(synonym))
    }

    /// Where clients and brokers may connect: `listeners` without those of the controller.
    pub fn broker_listeners(&self) -> impl Iterator<Item = &EndPoint> {
        self.listeners
            .iter()
            .filter(|listener| !self.controller_listener_names.contains(&listener.listener_name))
    }

    /// Where other controllers and brokers may reach this controller.
    pub fn controller_listeners(&self) -> impl Iterator<Item = &EndPoint> {
        self.listeners
            .iter()
            .filter(|listener| self.controller_listener_names.contains(&listener.listener_name))
    }

    /// Whether the log directories are formatted at the first start. A file with `process.roles` leaves that to
    /// `milena storage format`, as Kafka does.
    pub fn formats_itself(&self) -> bool {
        self.start_mode != StartMode::KRaft
    }

    /// The error comes with the key to blame, where there is one.
    fn build(
        start_mode: StartMode,
        layers: Layers,
        environment: Environment,
    ) -> Result<BrokerConfig, (Option<String>, ConfigError)> {
        let texts = layers.effective();
        let mut values = resolve(&texts)?;
        if start_mode != StartMode::KRaft && !texts.contains_key("controller.listener.names") {
            values.set("controller.listener.names", Value::List(Vec::new()));
        }
        let unnamed = |error| (None, error);
        checks::required(&values).map_err(unnamed)?;
        let blame = |name: &'static str| move |error| (Some(name.to_owned()), error);

        let listener_entries: Vec<String> = values.get("listeners");
        let controller_listener_names: Vec<String> = values.get("controller.listener.names");
        let map_is_set = texts.contains_key("listener.security.protocol.map");
        let map = protocol_map(&values, map_is_set, &listener_entries, &controller_listener_names)
            .map_err(blame("listener.security.protocol.map"))?;
        let all_listeners =
            listeners::parse_listeners(&listener_entries, &map, true).map_err(blame("listeners"))?;
        let advertised_entries: Option<Vec<String>> = values.get("advertised.listeners");
        let advertised = match &advertised_entries {
            Some(entries) => {
                listeners::parse_listeners(entries, &map, false).map_err(blame("advertised.listeners"))?
            }
            None => all_listeners.clone(),
        };
        let is_controller_listener =
            |listener: &EndPoint| controller_listener_names.contains(&listener.listener_name);
        let advertised_controller_listeners = controller_listener_names
            .iter()
            .filter_map(|name| {
                let same = |listener: &&EndPoint| listener.listener_name == listeners::normalise(name);
                let bound = || all_listeners.iter().filter(|l| is_controller_listener(l)).find(same);
                advertised.iter().filter(|l| is_controller_listener(l)).find(same).or_else(bound).cloned()
            })
            .collect();
        let advertised_listeners =
            advertised.iter().filter(|listener| !is_controller_listener(listener)).cloned().collect();
        let (inter_broker_listener_name, inter_broker_security_protocol) =
            inter_broker(&values, &texts, &map).map_err(blame("inter.broker.listener.name"))?;

        let roles: Vec<String> = values.get("process.roles");
        let node_id: i32 = values.get("node.id");
        let has_role = |role: &str| roles.iter().any(|name| name == role);
        let log_dirs: Vec<String> =
            values.get::<Option<Vec<String>>>("log.dirs").unwrap_or_else(|| values.get("log.dir"));
        let log_dirs: Vec<PathBuf> = log_dirs.into_iter().map(PathBuf::from).collect();
        let cordoned: Vec<String> = values.get("cordoned.log.dirs");
        let cordoned_log_dirs = match cordoned.iter().any(|dir| dir == "*") {
            true => log_dirs.clone(),
            false => cordoned.into_iter().map(PathBuf::from).collect(),
        };
        let metadata_log_dir = match values.get::<Option<String>>("metadata.log.dir") {
            Some(dir) => PathBuf::from(dir),
            // Invariant: `log.dirs` and `log.dir` are validated as lists that are not empty.
            None => log_dirs.first().cloned().unwrap_or_default(),
        };
        let mut voters = quorum::parse_voters(&values.get::<Vec<String>>("controller.quorum.voters"))
            .map_err(blame("controller.quorum.voters"))?;
        if start_mode != StartMode::KRaft {
            voters = vec![Voter { id: node_id, endpoint: None }];
        }
        let bootstrap: Vec<String> = values.get("controller.quorum.bootstrap.servers");
        let bootstrap_servers = quorum::parse_bootstrap_servers(&bootstrap)
            .map_err(blame("controller.quorum.bootstrap.servers"))?;

        let metrics_listener = texts
            .get(METRICS_LISTENER)
            .map(|text| quorum::parse_host_port(METRICS_LISTENER, text))
            .transpose()
            .map_err(blame(METRICS_LISTENER))?;

        let mut config = BrokerConfig {
            start_mode,
            node_id,
            process_roles: ProcessRoles { broker: has_role("broker"), controller: has_role("controller") },
            broker_rack: values.get("broker.rack"),
            listeners: all_listeners,
            advertised_listeners,
            advertised_controller_listeners,
            controller_listener_names,
            listener_security_protocol_map: map,
            inter_broker_listener_name,
            inter_broker_security_protocol,
            log_dirs,
            cordoned_log_dirs,
            metadata_log_dir,
            voters,
            bootstrap_servers,
            metrics_listener,
            quorum: QuorumConfig::from_values(&values),
            metadata_log: MetadataLogConfig::from_values(&values),
            network: NetworkConfig::from_values(&values),
            log_manager: LogManagerConfig::from_values(&values),
            cleaner: CleanerConfig::from_values(&values),
            replication: ReplicationConfig::from_values(&values),
            group_coordinator: GroupCoordinatorConfig::from_values(&values),
            transaction: TransactionConfig::from_values(&values),
            share_coordinator: ShareCoordinatorConfig::from_values(&values),
            topic_defaults: Arc::new(TopicDefaults::from_broker(&values)),
            values,
            layers,
            environment,
        };
        checks::cross_checks(&config, &texts).map_err(|(name, error)| (name.map(str::to_owned), error))?;
        config.name_hosts();
        Ok(config)
    }

    /// Gives this machine's name to advertised listeners that have no host (`Endpoint` with a wildcard, as registered).
    fn name_hosts(&mut self) {
        let mut name: Option<String> = None;
        let wildcard = |host: &str| host.is_empty();
        for listener in self.advertised_listeners.iter_mut().chain(&mut self.advertised_controller_listeners)
        {
            if wildcard(&listener.host) {
                // Started with nothing, it is for this machine: the name that needs no name service.
                let found = name.get_or_insert_with(|| match self.start_mode {
                    StartMode::NoFile => "localhost".to_owned(),
                    _ => (self.environment.local_host_name)(),
                });
                listener.host = found.clone();
            }
        }
    }
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |layer: &BTreeMap<String, String>| -> BTreeMap<String, String> {
            layer.iter().map(|(name, text)| (name.clone(), loggable(name, text).to_owned())).collect()
        };
        f.debug_struct("Layers")
            .field("static_config", &shown(&self.static_config))
            .field("dynamic_default", &shown(&self.dynamic_default))
            .field("dynamic_broker", &shown(&self.dynamic_broker))
            .finish()
    }
}

/// The text of a broker key, hidden where it is, or may be, a secret (`AbstractKafkaConfig.loggableValue`).
pub(crate) fn loggable<'a>(name: &str, text: &'a str) -> &'a str {
    match broker_key_type(name) {
        None | Some(ConfigType::Password) => "[hidden]",
        Some(_) => text,
    }
}

impl Layers {
    /// What counts: later layers replace a key and its synonyms (`DynamicBrokerConfig.overrideProps`).
    pub(crate) fn effective(&self) -> BTreeMap<String, String> {
        let mut texts = self.static_config.clone();
        for layer in [&self.dynamic_default, &self.dynamic_broker] {
            for (name, value) in layer {
                for synonym in broker_synonyms(name, false) {
                    texts.remove(&synonym);
                }
                texts.insert(name.clone(), value.clone());
            }
        }
        texts
    }
}

fn resolve(texts: &BTreeMap<String, String>) -> Result<Values, (Option<String>, ConfigError)> {
    Values::resolve(broker_keys(), texts).map_err(|error| {
        // The rules of lists name their key in quotes only, so ask again which key it was.
        let name = broker_keys()
            .iter()
            .find(|(name, key)| crate::view::value_of(key, texts.get(**name).map(String::as_str)).is_err())
            .map(|(name, _)| (*name).to_owned());
        (name, error)
    })
}

/// `listener.security.protocol.map`, with PLAINTEXT for controller listeners where it is not set and nothing is secured
/// (`AbstractKafkaConfig.effectiveListenerSecurityProtocolMap`).
fn protocol_map(
    values: &Values,
    is_set: bool,
    listener_entries: &[String],
    controller_listener_names: &[String],
) -> Result<ProtocolMap, ConfigError> {
    let mut map = listeners::parse_protocol_map(&values.get::<String>("listener.security.protocol.map"))?;
    let secured = |name: &str| matches!(name, "SSL" | "SASL_SSL" | "SASL_PLAINTEXT");
    let any_secured = controller_listener_names.iter().any(|name| secured(name))
        || listener_entries
            .iter()
            .filter_map(|entry| listeners::listener_name_of(entry))
            .any(|name| secured(&name));
    if !is_set && !any_secured {
        for name in controller_listener_names {
            map.insert(name.clone(), SecurityProtocol::Plaintext);
        }
    }
    Ok(map)
}

fn inter_broker(
    values: &Values,
    texts: &BTreeMap<String, String>,
    map: &ProtocolMap,
) -> Result<(String, SecurityProtocol), ConfigError> {
    if let Some(name) = values.get::<Option<String>>("inter.broker.listener.name") {
        if texts.contains_key("security.inter.broker.protocol") {
            return Err(ConfigError::rule(
                "Only one of inter.broker.listener.name and security.inter.broker.protocol should be set.",
            ));
        }
        let name = listeners::normalise(&name);
        return match map.get(&name) {
            Some(protocol) => Ok((name, *protocol)),
            None => Err(ConfigError::rule(format!(
                "Listener with name {name} defined in inter.broker.listener.name not found in \
                 listener.security.protocol.map."
            ))),
        };
    }
    // Invariant: the validator of the key lets only these names pass.
    let protocol = SecurityProtocol::from_name(&values.get::<String>("security.inter.broker.protocol"))
        .unwrap_or(SecurityProtocol::Plaintext);
    Ok((protocol.name().to_owned(), protocol))
}

/// Whether the type of a key makes a `#` in its value suspicious.
pub(crate) fn is_plain_type(config_type: ConfigType) -> bool {
    matches!(
        config_type,
        ConfigType::Boolean | ConfigType::Int | ConfigType::Short | ConfigType::Long | ConfigType::Double
    )
}
