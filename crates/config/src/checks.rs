//! The rules over several keys (`KafkaConfig.validateValues`), and the warnings at start.

use std::collections::BTreeMap;

use crate::broker::{BrokerConfig, is_plain_type};
use crate::def::{ConfigKey, ConfigType, Default, Effect};
use crate::error::{ConfigError, Warning};
use crate::group;
use crate::keys::{broker_keys, dynamic_only_keys, own_keys};
use crate::listeners;
use crate::properties::Properties;
use crate::start::StartMode;
use crate::suggest::nearest;
use crate::synonyms::strip_listener_prefix;
use crate::validator::Validator;
use crate::value::Value;
use crate::view::Values;
use crate::zookeeper;

/// A rule's violation and the key to blame for it.
type Check = Result<(), (Option<&'static str>, ConfigError)>;

fn require(holds: bool, name: &'static str, message: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err((Some(name), ConfigError::rule(message()))) }
}

/// Keys without which nothing starts.
pub(crate) fn required(values: &Values) -> Result<(), ConfigError> {
    for name in ["process.roles", "node.id", "controller.listener.names"] {
        if *values.value(name) == Value::Null {
            return Err(ConfigError::missing(name));
        }
    }
    Ok(())
}

/// All rules over several keys, in Kafka's order and words.
pub(crate) fn cross_checks(config: &BrokerConfig, texts: &BTreeMap<String, String>) -> Check {
    let values = &config.values;
    require(values.get::<i32>("broker.id") == config.node_id, "broker.id", || {
        "`node.id` and `broker.id` must be set to the same value. `broker.id` is deprecated, please use `node.id` instead."
            .to_owned()
    })?;
    log_checks(config)?;
    replica_checks(values)?;
    quorum_checks(config, texts)?;
    listener_checks(config)?;
    network_checks(values)?;
    group::check_broker_bounds(values).map_err(|error| (None, error))
}

fn log_checks(config: &BrokerConfig) -> Check {
    let defaults = config.topic_defaults.config();
    require(defaults.segment_ms >= 1, "log.roll.ms", || {
        "log.roll.ms must be greater than or equal to 1".to_owned()
    })?;
    require(defaults.segment_jitter_ms >= 0, "log.roll.jitter.ms", || {
        "log.roll.jitter.ms must be greater than or equal to 0".to_owned()
    })?;
    let retention_key = ["log.retention.ms", "log.retention.minutes"]
        .into_iter()
        .find(|name| *config.value(name) != Value::Null)
        .unwrap_or("log.retention.hours");
    require(defaults.retention_ms >= 1 || defaults.retention_ms == -1, retention_key, || {
        "log.retention.ms must be unlimited (-1) or, greater than or equal to 1".to_owned()
    })?;
    let cordoned: Vec<String> = config.values.get("cordoned.log.dirs");
    require(cordoned.len() <= 1 || !cordoned.iter().any(|dir| dir == "*"), "cordoned.log.dirs", || {
        "When cordoned.log.dirs is set to *, it must not contain other values".to_owned()
    })?;
    let missing: Vec<&str> = cordoned
        .iter()
        .filter(|dir| *dir != "*" && !config.log_dirs.iter().any(|known| known.as_os_str() == dir.as_str()))
        .map(String::as_str)
        .collect();
    require(missing.is_empty(), "cordoned.log.dirs", || {
        format!(
            "All entries in cordoned.log.dirs must be present in log.dirs or log.dir. Missing entries : {}",
            missing.join(", ")
        )
    })?;
    let threads: i32 = config.values.get("log.cleaner.threads");
    let buffer: i64 = config.values.get("log.cleaner.dedupe.buffer.size");
    // Divergence: with no cleaner threads Kafka dies of a division by zero.
    require(buffer / i64::from(threads.max(1)) > 1024 * 1024, "log.cleaner.dedupe.buffer.size", || {
        "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.".to_owned()
    })
}

fn replica_checks(values: &Values) -> Check {
    let wait: i32 = values.get("replica.fetch.wait.max.ms");
    require(wait <= values.get("replica.socket.timeout.ms"), "replica.fetch.wait.max.ms", || {
        "replica.socket.timeout.ms should always be at least replica.fetch.wait.max.ms to prevent unnecessary socket \
         timeouts"
            .to_owned()
    })?;
    require(i64::from(wait) <= values.get("replica.lag.time.max.ms"), "replica.fetch.wait.max.ms", || {
        "replica.fetch.wait.max.ms should always be less than or equal to replica.lag.time.max.ms to prevent frequent \
         changes in ISR"
            .to_owned()
    })
}

fn quorum_checks(config: &BrokerConfig, texts: &BTreeMap<String, String>) -> Check {
    if config.start_mode != StartMode::KRaft {
        return Ok(());
    }
    const NAMES: &str = "controller.listener.names";
    let roles = config.process_roles;
    if config.voters.is_empty() && config.bootstrap_servers.is_empty() {
        return Err((
            None,
            ConfigError::rule(
                "If using process.roles, either controller.quorum.bootstrap.servers must contain the set of bootstrap \
                 controllers or controller.quorum.voters must contain a parseable set of controllers.",
            ),
        ));
    }
    let is_voter = config.voters.iter().any(|voter| voter.id == config.node_id);
    let voter_ids = || {
        let ids: Vec<String> = config.voters.iter().map(|voter| voter.id.to_string()).collect();
        format!("Set({})", ids.join(", "))
    };
    if !roles.controller {
        require(!is_voter, "controller.quorum.voters", || {
            format!(
                "If process.roles contains just the 'broker' role, the node id {} must not be included in the set of \
                 voters controller.quorum.voters={}",
                config.node_id,
                voter_ids()
            )
        })?;
        require(config.controller_listeners().next().is_none(), NAMES, || {
            "controller.listener.names must not contain a value appearing in the 'listeners' configuration when running \
             KRaft with just the broker role"
                .to_owned()
        })?;
        for name in config.controller_listener_names.iter().map(|name| listeners::normalise(name)) {
            require(config.listener_security_protocol_map.contains_key(&name), NAMES, || {
                format!(
                    "Controller listener with name {name} defined in controller.listener.names not found in \
                     listener.security.protocol.map (an explicit security mapping for each controller listener is \
                     required if listener.security.protocol.map is non-empty, or if there are security protocols other \
                     than PLAINTEXT in use)"
                )
            })?;
        }
        return require(!config.quorum.auto_join_enable, "controller.quorum.auto.join.enable", || {
            "controller.quorum.auto.join.enable is only supported when process.roles contains the 'controller' role."
                .to_owned()
        });
    }
    if !roles.broker {
        require(config.advertised_controller_listeners.len() == config.listeners.len(), "listeners", || {
            "The listeners config must only contain KRaft controller listeners from controller.listener.names when \
             process.roles=controller"
                .to_owned()
        })?;
        let explicit = texts.contains_key("inter.broker.listener.name");
        let among_controllers = config.controller_listener_names.contains(&config.inter_broker_listener_name);
        require(!(explicit && among_controllers), "inter.broker.listener.name", || {
            "controller.listener.names must not contain an explicitly set inter.broker.listener.name configuration value \
             when process.roles=controller"
                .to_owned()
        })?;
    }
    require(config.voters.is_empty() || is_voter, "controller.quorum.voters", || {
        format!(
            "If process.roles contains the 'controller' role, the node id {} must be included in the set of voters \
             controller.quorum.voters={}",
            config.node_id,
            voter_ids()
        )
    })?;
    require(!config.advertised_controller_listeners.is_empty(), NAMES, || {
        "controller.listener.names must contain at least one value appearing in the 'listeners' configuration when running \
         the KRaft controller role"
            .to_owned()
    })?;
    let bound = |name: &String| config.listeners.iter().any(|listener| listener.listener_name == *name);
    require(config.controller_listener_names.iter().all(bound), NAMES, || {
        "controller.listener.names must only contain values appearing in the 'listeners' configuration when running the \
         KRaft controller role"
            .to_owned()
    })
}

fn listener_checks(config: &BrokerConfig) -> Check {
    let join = |names: &[&str]| names.join(",");
    let advertised: Vec<&str> =
        config.advertised_listeners.iter().map(|listener| listener.listener_name.as_str()).collect();
    if config.process_roles.broker {
        require(!advertised.is_empty(), "listeners", || {
            "There must be at least one broker advertised listener. Perhaps all listeners appear in \
             controller.listener.names?"
                .to_owned()
        })?;
        let from_name = *config.value("inter.broker.listener.name") != Value::Null;
        let blamed = if from_name { "inter.broker.listener.name" } else { "security.inter.broker.protocol" };
        require(advertised.contains(&config.inter_broker_listener_name.as_str()), blamed, || {
            format!(
                "inter.broker.listener.name must be a listener name defined in advertised.listeners. The valid options \
                 based on currently configured listeners are {}",
                join(&advertised)
            )
        })?;
        let bound: Vec<&str> =
            config.listeners.iter().map(|listener| listener.listener_name.as_str()).collect();
        require(advertised.iter().all(|name| bound.contains(name)), "advertised.listeners", || {
            format!(
                "advertised.listeners listener names must be equal to or a subset of the ones defined in listeners. Found \
                 {}. The valid options based on the current configuration are {}",
                join(&advertised),
                join(&bound)
            )
        })?;
    }
    let mut all = config.advertised_listeners.iter().chain(&config.advertised_controller_listeners);
    let is_set = *config.value("advertised.listeners") != Value::Null;
    let blamed = if is_set { "advertised.listeners" } else { "listeners" };
    require(!all.any(|listener| listener.host == "0.0.0.0"), blamed, || {
        "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP address."
            .to_owned()
    })?;
    early_start_listeners(config)?;
    inter_broker_mechanism(config)
}

fn inter_broker_mechanism(config: &BrokerConfig) -> Check {
    if !config.process_roles.broker || !config.inter_broker_security_protocol.is_sasl() {
        return Ok(());
    }
    let own =
        format!("listener.name.{}.sasl.enabled.mechanisms", config.inter_broker_listener_name.to_lowercase());
    let enabled: Vec<String> = match config.layers.effective().get(&own) {
        Some(text) => text.split(',').map(|mechanism| mechanism.trim().to_owned()).collect(),
        None => config.values.get("sasl.enabled.mechanisms"),
    };
    let mechanism: String = config.values.get("sasl.mechanism.inter.broker.protocol");
    require(enabled.contains(&mechanism), "sasl.mechanism.inter.broker.protocol", || {
        "sasl.mechanism.inter.broker.protocol must be included in sasl.enabled.mechanisms when SASL is used for inter-broker \
         communication"
            .to_owned()
    })
}

fn early_start_listeners(config: &BrokerConfig) -> Check {
    let Value::List(names) = config.value("early.start.listeners") else { return Ok(()) };
    let unknown = names.iter().map(|name| listeners::normalise(name)).find(|name| {
        !config.controller_listener_names.contains(name)
            && !config.listeners.iter().any(|listener| listener.listener_name == *name)
    });
    match unknown {
        None => Ok(()),
        Some(name) => require(false, "early.start.listeners", || {
            format!(
                "early.start.listeners contains listener {name}, but this is not contained in listeners or \
                 controller.listener.names"
            )
        }),
    }
}

fn network_checks(values: &Values) -> Check {
    let queued: i64 = values.get("queued.max.request.bytes");
    let request_max: i32 = values.get("socket.request.max.bytes");
    require(queued <= 0 || queued >= i64::from(request_max), "queued.max.request.bytes", || {
        "queued.max.request.bytes must be larger or equal to socket.request.max.bytes".to_owned()
    })?;
    const OVERRIDES: &str = "max.connections.per.ip.overrides";
    let text: String = values.get(OVERRIDES);
    let overrides = listeners::parse_map(OVERRIDES, &text).map_err(|error| (Some(OVERRIDES), error))?;
    let per_ip: i32 = values.get("max.connections.per.ip");
    require(per_ip != 0 || !overrides.is_empty(), "max.connections.per.ip", || {
        "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set."
            .to_owned()
    })?;
    for (host, count) in &overrides {
        require(count.parse::<i32>().is_ok(), OVERRIDES, || format!("For input string: \"{count}\""))?;
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        require(host.chars().all(valid), OVERRIDES, || {
            format!("max.connections.per.ip.overrides contains invalid addresses : {host}")
        })?;
    }
    let idle: i64 = values.get("connections.max.idle.ms");
    let delay: i32 = values.get("connection.failed.authentication.delay.ms");
    require(idle < 0 || i64::from(delay) < idle, "connection.failed.authentication.delay.ms", || {
        format!(
            "connection.failed.authentication.delay.ms={delay} should always be less than connections.max.idle.ms={idle} to \
             prevent failed authentication responses from timing out"
        )
    })?;
    let protocols: Vec<String> = values.get("group.coordinator.rebalance.protocols");
    require(protocols.iter().any(|name| name == "classic"), "group.coordinator.rebalance.protocols", || {
        "Disabling the 'classic' protocol is not supported.".to_owned()
    })?;
    for name in ["offsets.topic.compression.codec", "share.coordinator.state.topic.compression.codec"] {
        let codec: i32 = values.get(name);
        require((0..=4).contains(&codec), name, || format!("Unknown compression type id: {codec}"))?;
    }
    Ok(())
}

/// What is valid for a key, to stand behind an error about it.
pub(crate) fn hint(name: &str) -> String {
    let Some(key) = broker_keys().get(name) else { return String::new() };
    let article = if matches!(key.config_type, ConfigType::Int) { "an" } else { "a" };
    let mut text = format!(" ({name} takes {article} {}", key.config_type.name().to_lowercase());
    let valid = key.validator.to_string();
    if !valid.is_empty() {
        text.push_str(&format!(", {valid}"));
    }
    match key.default {
        Default::Value("") | Default::Required | Default::Null => {}
        Default::Value(default) => text.push_str(&format!("; its default is {default}")),
    }
    text.push(')');
    text
}

/// Refuses `num.partitions=3 # three`.
///
/// Divergence: Kafka takes such a text as it stands where the key is a list, and makes a directory `/data # mine`.
pub(crate) fn comments_after_values(properties: &Properties) -> Result<(), ConfigError> {
    for entry in properties.iter() {
        let Some((value, comment)) =
            split_comment(&entry.value, broker_keys().get(entry.name.as_str()).copied())
        else {
            continue;
        };
        let known_kind = broker_keys().get(entry.name.as_str()).is_some_and(|key| is_told_apart(key));
        if known_kind || entry.name.starts_with("zookeeper.") {
            let error = ConfigError::CommentAfterValue {
                name: entry.name.clone(),
                value: entry.value.trim().to_owned(),
                comment: comment.to_owned(),
            };
            let hint = format!(", so that it reads `{}={}`", entry.name, value.trim());
            return Err(properties.located(&entry.name, error, hint));
        }
    }
    Ok(())
}

/// Whether a `#` cannot belong to a value of this key.
fn is_told_apart(key: &ConfigKey) -> bool {
    let has_own_syntax =
        matches!(key.name, "sasl.kerberos.principal.to.local.rules" | "ssl.principal.mapping.rules");
    let of_words = matches!(key.validator, Validator::OneOf(_) | Validator::OneOfAnyCase(_));
    !has_own_syntax
        && (is_plain_type(key.config_type)
            || of_words
            || matches!(key.config_type, ConfigType::List | ConfigType::Class))
}

/// The value and the comment behind it: a `#` after white space, or anywhere in what should be a number or a boolean.
fn split_comment<'a>(value: &'a str, key: Option<&ConfigKey>) -> Option<(&'a str, &'a str)> {
    let plain = key.is_some_and(|key| is_plain_type(key.config_type));
    let position = value.char_indices().find_map(|(index, c)| {
        let after_space = value[..index].ends_with([' ', '\t']);
        (c == '#' && (plain || after_space)).then_some(index)
    })?;
    Some((&value[..position], value[position..].trim_end()))
}

/// Warnings about what was set: unknown names, names of old, and names without effect.
pub(crate) fn warnings(properties: &Properties, config: &BrokerConfig) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut removed = Vec::new();
    let mut without_effect: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entry in properties.iter() {
        let name = entry.name.as_str();
        let known = broker_keys().get(name).or_else(|| own_keys().get(name));
        if let Some(key) = known.or_else(|| broker_keys().get(strip_listener_prefix(name)?)) {
            if let Effect::None(reason) = key.effect {
                without_effect.entry(reason).or_default().push(name);
            }
            if key.config_type == ConfigType::String
                && split_comment(&entry.value, None).is_some()
                && is_free_text(key)
            {
                let place = properties.place(name).unwrap_or_default();
                warnings.push(Warning(format!(
                    "{place}: the value of {name} is `{}`, with the `#` and all behind it: a comment must stand on a line \
                     of its own",
                    entry.value.trim()
                )));
            }
        } else if zookeeper::is_removed(name) {
            removed.push(name);
        } else if !is_of_a_plugin(name) {
            warnings.push(unknown(properties, name));
        } else {
            without_effect.entry("it belongs to a Java class").or_default().push(name);
        }
    }
    removed.retain(|name| {
        config.start_mode == StartMode::KRaft && *name != "zookeeper.connect"
            || !name.starts_with("zookeeper.")
    });
    if !removed.is_empty() {
        warnings.push(Warning(format!(
            "Kafka has these keys no more, and they have no effect: {}",
            removed.join(", ")
        )));
    }
    if !without_effect.is_empty() {
        let parts: Vec<String> =
            without_effect.iter().map(|(reason, names)| format!("{} ({reason})", names.join(", "))).collect();
        warnings.push(Warning(format!("these keys are set and have no effect yet: {}", parts.join("; "))));
    }
    if !config.process_roles.controller && config.controller_listener_names.len() > 1 {
        warnings.push(Warning(format!(
            "controller.listener.names has multiple entries; only the first will be used since process.roles=broker: [{}]",
            config.controller_listener_names.join(", ")
        )));
    }
    warnings
}

fn is_free_text(key: &ConfigKey) -> bool {
    key.validator == Validator::Any && key.name != "ssl.principal.mapping.rules"
}

/// Keys that Kafka hands to a class of its user: they are nobody's typing error.
fn is_of_a_plugin(name: &str) -> bool {
    const PREFIXES: &[&str] =
        &["config.providers.", "rsm.config.", "rlmm.config.", "remote.log.metadata.", "listener.name."];
    matches!(name, "super.users" | "allow.everyone.if.no.acl.found")
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn unknown(properties: &Properties, name: &str) -> Warning {
    let place = properties.place(name).unwrap_or_default();
    if dynamic_only_keys().contains_key(name) {
        return Warning(format!("{place}: {name} can be set at runtime only (kafka-configs.sh --alter)"));
    }
    match nearest(name, broker_keys().keys().chain(own_keys().keys()).copied()) {
        Some(meant) => Warning(format!("{place}: no key is called {name}; did you mean {meant}?")),
        None => Warning(format!("{place}: no key is called {name}; it has no effect")),
    }
}
