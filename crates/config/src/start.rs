//! The ways to start: a KRaft file, a file of ZooKeeper's days, or nothing at all. Each ends in the same static
//! configuration of a broker.

use std::collections::BTreeMap;

use crate::checks;
use crate::error::{ConfigError, Warning};
use crate::keys::broker_keys;
use crate::properties::Properties;
use crate::view::value_of;
use crate::zookeeper;

/// From what kind of file a broker was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartMode {
    /// `process.roles` is set: everything as Kafka.
    KRaft,
    /// A file without `process.roles`: a single node, its own controller.
    ZooKeeperDays,
    /// No file: a single node with its data below the current directory.
    NoFile,
}

/// The directory for data where nothing is said at all.
const DATA_DIR: &str = "data";

/// Keys that only a file for a KRaft cluster has. Such a file without `process.roles` has a mistake in it.
const KRAFT_ONLY: &[&str] =
    &["controller.quorum.voters", "controller.quorum.bootstrap.servers", "controller.listener.names"];

/// What a single node needs so that its internal topics can exist.
const SINGLE_NODE: &[(&str, &str)] = &[
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
];

/// The static layer, and how it came about.
pub(crate) struct StaticConfig {
    pub(crate) mode: StartMode,
    pub(crate) texts: BTreeMap<String, String>,
    pub(crate) warnings: Vec<Warning>,
}

/// Makes the static layer of what a file and the command line say.
pub(crate) fn static_config(properties: &Properties) -> Result<StaticConfig, ConfigError> {
    let mut texts: BTreeMap<String, String> =
        properties.iter().map(|entry| (entry.name.clone(), entry.value.clone())).collect();
    let mut warnings = Vec::new();
    let mode = if texts.contains_key("process.roles") {
        StartMode::KRaft
    } else if properties.has_file() {
        StartMode::ZooKeeperDays
    } else {
        StartMode::NoFile
    };
    if mode != StartMode::KRaft {
        zookeeper::check_connect(properties)?;
        if let Some(name) = KRAFT_ONLY.iter().find(|name| texts.contains_key(**name)) {
            let missing = ConfigError::missing("process.roles");
            let hint = format!(
                " {name} is set, so this is a node of a KRaft cluster: say what it does there, \
                 process.roles=broker, controller or broker,controller"
            );
            return Err(properties.located(name, missing, hint));
        }
        single_node(&mut texts);
    }
    match mode {
        StartMode::KRaft => {
            if let Some(connect) = texts.get("zookeeper.connect") {
                warnings.push(Warning(format!(
                    "zookeeper.connect={connect} has no effect: with process.roles the quorum of controllers takes \
                     ZooKeeper's place"
                )));
            }
        }
        StartMode::ZooKeeperDays => warnings.push(Warning(zookeeper_warning(&texts))),
        StartMode::NoFile => {
            if !texts.contains_key("log.dirs") && !texts.contains_key("log.dir") {
                texts.insert("log.dirs".to_owned(), DATA_DIR.to_owned());
            }
        }
    }
    check_ids(properties)?;
    populate_synonyms(&mut texts);
    Ok(StaticConfig { mode, texts, warnings })
}

fn zookeeper_warning(texts: &BTreeMap<String, String>) -> String {
    let what = match texts.get("zookeeper.connect") {
        Some(connect) => format!("there is no process.roles, and zookeeper.connect={}", connect.trim()),
        None => "there is no process.roles".to_owned(),
    };
    format!(
        "{what}: the built-in quorum takes ZooKeeper's place. This broker is a single node, its own controller \
         (process.roles=broker,controller), and formats its directories by itself"
    )
}

/// A combined node with one voter, itself.
fn single_node(texts: &mut BTreeMap<String, String>) {
    texts.insert("process.roles".to_owned(), "broker,controller".to_owned());
    // A broker.id of -1 asked ZooKeeper for a number.
    if texts.get("broker.id").is_some_and(|id| id.trim() == "-1") {
        texts.remove("broker.id");
    }
    if !texts.contains_key("broker.id") && !texts.contains_key("node.id") {
        texts.insert("node.id".to_owned(), "0".to_owned());
    }
    for (name, value) in SINGLE_NODE {
        texts.entry((*name).to_owned()).or_insert_with(|| (*value).to_owned());
    }
}

/// Checks the node's number under the name that was used for it, before it has both.
fn check_ids(properties: &Properties) -> Result<(), ConfigError> {
    for name in ["node.id", "broker.id"] {
        if let (Some(text), Some(key)) = (properties.get(name), broker_keys().get(name)) {
            value_of(key, Some(text)).map_err(|error| properties.located(name, error, checks::hint(name)))?;
        }
    }
    Ok(())
}

/// `broker.id` and `node.id` stand for each other (`AbstractKafkaConfig.populateSynonyms`).
fn populate_synonyms(texts: &mut BTreeMap<String, String>) {
    match (texts.get("broker.id").cloned(), texts.get("node.id").cloned()) {
        (Some(id), None) => texts.insert("node.id".to_owned(), id),
        (None, Some(id)) => texts.insert("broker.id".to_owned(), id),
        _ => None,
    };
}
