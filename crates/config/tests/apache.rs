//! Our tables and our rules against those of Apache Kafka 4.4 (`tests/vectors`).

use std::collections::BTreeMap;

use config::keys::{KeyTable, broker_keys, client_metrics_keys, group_keys, topic_keys};
use config::{BrokerConfig, Default, Environment, Properties};

fn rows(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines().skip(1).map(|line| line.split('\t').collect())
}

fn table(scope: &str) -> &'static KeyTable {
    match scope {
        "broker" => broker_keys(),
        "topic" => topic_keys(),
        "group" => group_keys(),
        "client-metrics" => client_metrics_keys(),
        other => panic!("no scope {other}"),
    }
}

fn sorted(text: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = text.split(',').collect();
    parts.sort_unstable();
    parts
}

#[test]
fn every_key_is_apaches_in_type_default_and_the_rest() {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows(include_str!("vectors/apache-4.4-configs.tsv")) {
        let [scope, name, config_type, default, importance, sensitive, internal, update, valid] = row[..]
        else {
            panic!("{row:?}");
        };
        *count.entry(scope).or_default() += 1;
        let key = table(scope).get(name).unwrap_or_else(|| panic!("{scope} key {name} is missing"));
        let ours = match key.default {
            Default::Required => "<required>",
            Default::Null => "<null>",
            Default::Value(value) => value,
        };
        if name == "listener.security.protocol.map" {
            // Apache's order changes from run to run.
            assert_eq!(sorted(ours), sorted(default));
        } else {
            assert_eq!(ours, default, "default of {scope} key {name}");
        }
        assert_eq!(key.config_type.name(), config_type, "type of {scope} key {name}");
        assert_eq!(key.importance.name(), importance.to_lowercase(), "importance of {scope} key {name}");
        assert_eq!(key.is_sensitive().to_string(), sensitive, "sensitivity of {scope} key {name}");
        assert_eq!(key.internal.to_string(), internal, "{scope} key {name}");
        if update != "-" {
            assert_eq!(key.update_mode.name(), update, "update mode of {name}");
        }
        assert_eq!(key.validator.to_string(), valid, "valid values of {scope} key {name}");
    }
    for (scope, count) in count {
        assert_eq!(table(scope).len(), count, "{scope} has keys that Apache has not");
    }
}

#[test]
fn every_default_parses_and_every_key_is_described() {
    for scope in ["broker", "topic", "group", "client-metrics"] {
        for key in table(scope).values() {
            assert!(key.doc.ends_with('.'), "{}: {}", key.name, key.doc);
            if let Default::Value(default) = key.default {
                let value = config::Value::parse(key.name, default, key.config_type).unwrap();
                assert_eq!(value.to_text().as_deref(), Some(default), "{}", key.name);
                key.validator.ensure_valid(key.name, &value).unwrap();
            }
        }
    }
}

const BASE: &str = "process.roles=broker,controller;node.id=1;controller.quorum.voters=1@localhost:9093;\
                    listeners=PLAINTEXT://:9092,CONTROLLER://:9093;controller.listener.names=CONTROLLER";

fn pairs(text: &str) -> BTreeMap<String, String> {
    let mut map = BTreeMap::new();
    for part in text.split(';').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some((name, value)) => map.insert(name.to_owned(), value.to_owned()),
            None => map.remove(part.trim_start_matches('-')),
        };
    }
    map
}

fn broker(map: &BTreeMap<String, String>) -> Result<BrokerConfig, String> {
    // As if from a file, but without the lines and hints that a file's errors have.
    let mut properties = Properties::parse(b"", "server.properties").unwrap();
    for (name, value) in map {
        properties.set(name, value);
    }
    let environment = Environment { local_host_name: || "localhost".to_owned() };
    BrokerConfig::from_properties(&properties, environment)
        .map(|(config, _)| config)
        .map_err(|error| error.cause().to_string())
}

/// Where we say something else than Apache, and why.
const DIVERGENCES: &[(&str, &str)] = &[
    // A file without process.roles is a single node.
    ("node.id=1", "OK"),
    // A comment behind a value has an error of its own.
    (
        "+num.partitions=3 # three",
        "the value of num.partitions is `3 # three`: a comment must stand on a line of its own, since everything behind the `=` is the value. Move `# three` to the line above",
    ),
    // No Java class can be found, so no name of one is looked up.
    ("+principal.builder.class=org.foo.Bar", "OK"),
    ("+group.consumer.assignors=foo", "OK"),
    ("+group.share.assignors=foo", "OK"),
    ("+group.share.assignors=simple,simple2", "OK"),
    // Apache dies of a division by zero.
    ("+log.cleaner.threads=0", "OK"),
    // Apache's message is one of Java's substring.
    (
        "+listener.security.protocol.map=PLAINTEXT",
        "Error parsing configuration property 'listener.security.protocol.map': `PLAINTEXT` is not in the form key:value",
    ),
    (
        "+max.connections.per.ip.overrides=foo",
        "Error parsing configuration property 'max.connections.per.ip.overrides': `foo` is not in the form key:value",
    ),
    // Apache fails only when it binds.
    (
        "+listeners=PLAINTEXT://:99999,CONTROLLER://:9093",
        "Error creating broker listeners from '[PLAINTEXT://:99999, CONTROLLER://:9093]': Unable to parse PLAINTEXT://:99999 to a broker endpoint (port out of range:99999)",
    ),
    (
        "+listeners=PLAINTEXT://:-1,CONTROLLER://:9093",
        "Error creating broker listeners from '[PLAINTEXT://:-1, CONTROLLER://:9093]': Unable to parse PLAINTEXT://:-1 to a broker endpoint",
    ),
    // Apache parses broker.id first, which here only repeats node.id.
    ("+node.id=x", "Invalid value x for configuration node.id: Not a number of type INT"),
];

#[test]
fn every_mistake_is_told_as_apache_tells_it() {
    let base = pairs(BASE);
    let mut differences = Vec::new();
    for row in rows(include_str!("vectors/apache-4.4-errors.tsv")) {
        let [kind, properties, outcome] = row[..] else { panic!("{row:?}") };
        let overrides = pairs(properties);
        let ours = match kind {
            "broker" => {
                let mut map = BTreeMap::new();
                if let Some(rest) = properties.strip_prefix('+') {
                    map = base.clone();
                    for part in rest.split(';') {
                        match part.strip_prefix('-') {
                            Some(name) => map.remove(name),
                            None => {
                                part.split_once('=').and_then(|(k, v)| map.insert(k.to_owned(), v.to_owned()))
                            }
                        };
                    }
                } else {
                    map.extend(overrides);
                }
                broker(&map).map(|_| ())
            }
            "topic" | "topic-remote" | "topic-was-remote" => {
                let mut map = base.clone();
                map.insert("remote.log.storage.system.enable".to_owned(), (kind != "topic").to_string());
                let existing =
                    if kind == "topic-was-remote" { pairs("remote.storage.enable=true") } else { pairs("") };
                let config = broker(&map).unwrap();
                config.topic_defaults.validate(&existing, &overrides).map_err(|error| error.to_string())
            }
            "group" => {
                config::validate_group(&broker(&base).unwrap(), &overrides).map_err(|error| error.to_string())
            }
            "metrics" => config::validate_client_metrics("sub", &overrides).map_err(|(_, message)| message),
            "dynamic" | "dynamic-default" => {
                let config = broker(&base).unwrap();
                config::alter::validate_broker_change(&config, kind == "dynamic", &overrides)
                    .map_err(|(_, message)| message)
            }
            other => panic!("no kind {other}"),
        };
        let ours = ours.err().unwrap_or_else(|| "OK".to_owned());
        let expected = DIVERGENCES
            .iter()
            .find(|(case, _)| *case == properties)
            .map_or_else(|| normal(outcome), |(_, expected)| (*expected).to_owned());
        if normal(&ours) != expected {
            differences
                .push(format!("{kind} {properties}\n  Apache: {expected}\n  milena: {}", normal(&ours)));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Without what only Scala and Java put around a message, and with names in one order.
fn normal(message: &str) -> String {
    let message = message.strip_prefix("requirement failed: ").unwrap_or(message).replace("  ", " ");
    let message = message
        .strip_suffix("process.roles=controller'")
        .map_or(message.clone(), |rest| format!("{rest}process.roles=controller"));
    match message.strip_prefix("Cannot update these configs dynamically: [") {
        Some(names) => {
            let mut names: Vec<&str> = names.trim_end_matches(']').split(", ").collect();
            names.sort_unstable();
            format!("Cannot update these configs dynamically: [{}]", names.join(", "))
        }
        None => message,
    }
}
