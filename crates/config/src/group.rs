//! The keys of a group: their defaults from the broker, and the bounds that the broker sets them (`GroupConfig`).

use std::collections::BTreeMap;

use crate::broker::BrokerConfig;
use crate::error::ConfigError;
use crate::keys::{broker_keys, group_keys};
use crate::value::Value;
use crate::view::{Values, value_of};

/// The broker key that gives a group key its default, where there is one (`GroupConfig.brokerSynonym`).
pub(crate) fn broker_synonym(group_key: &str) -> Option<&'static str> {
    if group_key == "streams.assignor.name" {
        return Some("group.streams.assignors");
    }
    broker_keys().get_key_value(format!("group.{group_key}").as_str()).map(|(name, _)| *name)
}

/// The values of a group with these overrides.
pub(crate) fn values(
    config: &BrokerConfig,
    overrides: &BTreeMap<String, String>,
) -> Result<Values, ConfigError> {
    let mut values = Values::default();
    for (name, key) in group_keys() {
        let value = match (overrides.get(*name), broker_synonym(name).map(|synonym| config.value(synonym))) {
            (Some(text), _) => value_of(key, Some(text))?,
            // The first assignor of the broker is the default.
            (None, Some(Value::List(names))) if *name == "streams.assignor.name" => {
                names.first().cloned().map_or(Value::Null, Value::String)
            }
            (None, Some(value)) => value.clone(),
            (None, None) => value_of(key, None)?,
        };
        values.set(name, value);
    }
    Ok(values)
}

/// Checks the overrides that a group is to have (`GroupConfig.validate`).
pub fn validate_group(
    config: &BrokerConfig,
    overrides: &BTreeMap<String, String>,
) -> Result<(), ConfigError> {
    if let Some(unknown) = overrides.keys().find(|name| !group_keys().contains_key(name.as_str())) {
        return Err(ConfigError::UnknownName(format!("Unknown group config name: {unknown}")));
    }
    let mut given: BTreeMap<&str, Value> = BTreeMap::new();
    for (name, text) in overrides {
        if let Some(key) = group_keys().get(name.as_str()) {
            given.insert(name, value_of_with_repeats(key, text)?);
        }
    }
    check_bounds(config, &given)?;
    check_assignor(config, &given)?;
    check_heartbeats(config, &given)?;
    match given.get("errors.deadletterqueue.topic.name") {
        Some(Value::String(topic)) if topic.starts_with("__") => Err(ConfigError::rule(
            "errors.deadletterqueue.topic.name: DLQ topic name must not start with '__'",
        )),
        _ => Ok(()),
    }
}

/// As `value_of`, but a tag that is said twice is an error and not dropped.
fn value_of_with_repeats(key: &crate::def::ConfigKey, text: &str) -> Result<Value, ConfigError> {
    if key.name == "streams.rack.aware.assignment.tags"
        && let Value::List(tags) = Value::parse(key.name, text, key.config_type)?
        && tags.iter().enumerate().any(|(index, tag)| tags[..index].contains(tag))
    {
        return Err(ConfigError::rule(
            "streams.rack.aware.assignment.tags must not contain duplicate tag keys.",
        ));
    }
    value_of(key, Some(text))
}

/// Group key, and the broker keys of its lowest and highest value.
const BOUNDS: &[(&str, Option<&str>, Option<&str>)] = &[
    (
        "consumer.heartbeat.interval.ms",
        Some("group.consumer.min.heartbeat.interval.ms"),
        Some("group.consumer.max.heartbeat.interval.ms"),
    ),
    (
        "consumer.session.timeout.ms",
        Some("group.consumer.min.session.timeout.ms"),
        Some("group.consumer.max.session.timeout.ms"),
    ),
    (
        "consumer.assignment.interval.ms",
        Some("group.consumer.min.assignment.interval.ms"),
        Some("group.consumer.max.assignment.interval.ms"),
    ),
    (
        "share.heartbeat.interval.ms",
        Some("group.share.min.heartbeat.interval.ms"),
        Some("group.share.max.heartbeat.interval.ms"),
    ),
    (
        "share.session.timeout.ms",
        Some("group.share.min.session.timeout.ms"),
        Some("group.share.max.session.timeout.ms"),
    ),
    (
        "share.record.lock.duration.ms",
        Some("group.share.min.record.lock.duration.ms"),
        Some("group.share.max.record.lock.duration.ms"),
    ),
    (
        "share.delivery.count.limit",
        Some("group.share.min.delivery.count.limit"),
        Some("group.share.max.delivery.count.limit"),
    ),
    (
        "share.partition.max.record.locks",
        Some("group.share.min.partition.max.record.locks"),
        Some("group.share.max.partition.max.record.locks"),
    ),
    (
        "share.assignment.interval.ms",
        Some("group.share.min.assignment.interval.ms"),
        Some("group.share.max.assignment.interval.ms"),
    ),
    (
        "streams.heartbeat.interval.ms",
        Some("group.streams.min.heartbeat.interval.ms"),
        Some("group.streams.max.heartbeat.interval.ms"),
    ),
    (
        "streams.session.timeout.ms",
        Some("group.streams.min.session.timeout.ms"),
        Some("group.streams.max.session.timeout.ms"),
    ),
    ("streams.num.standby.replicas", None, Some("group.streams.max.standby.replicas")),
    (
        "streams.assignment.interval.ms",
        Some("group.streams.min.assignment.interval.ms"),
        Some("group.streams.max.assignment.interval.ms"),
    ),
    ("streams.task.offset.interval.ms", Some("group.streams.min.task.offset.interval.ms"), None),
    ("streams.num.warmup.replicas", None, Some("group.streams.max.warmup.replicas")),
];

/// Share groups say it the other way round when a value is above its bound.
const BOUND_FIRST: &[&str] =
    &["share.record.lock.duration.ms", "share.delivery.count.limit", "share.partition.max.record.locks"];

/// The bounds that the broker's own keys of groups set each other (`GroupCoordinatorConfig`, `ShareGroupConfig`).
pub(crate) fn check_broker_bounds(values: &Values) -> Result<(), ConfigError> {
    let at_least = |name: &str, value: i32, other: &str, bound: i32| {
        if value >= bound {
            return Ok(());
        }
        Err(ConfigError::rule(format!("{name} must be greater than or equal to {other}")))
    };
    for (group_key, min, max) in BOUNDS {
        let name = format!("group.{group_key}");
        let value: i32 = values.get(&name);
        let bound = |key: &Option<&'static str>| key.map(|key| (key, values.get::<i32>(key)));
        let (min, max) = (bound(min), bound(max));
        if let (Some((min_name, min)), Some((max_name, max))) = (min, max) {
            at_least(max_name, max, min_name, min)?;
        }
        if let Some((min_name, min)) = min {
            at_least(&name, value, min_name, min)?;
        }
        if let Some((max_name, max)) = max.filter(|(_, max)| value > *max) {
            if BOUND_FIRST.contains(group_key) {
                at_least(max_name, max, &name, value)?;
            }
            return Err(ConfigError::rule(format!("{name} must be less than or equal to {max_name}")));
        }
    }
    let (sessions, size) = ("group.share.max.share.sessions", "group.share.max.size");
    at_least(sessions, values.get(sessions), size, values.get(size))?;
    for kind in ["consumer", "share", "streams"] {
        let heartbeat = format!("group.{kind}.heartbeat.interval.ms");
        let session = format!("group.{kind}.session.timeout.ms");
        if values.get::<i32>(&heartbeat) >= values.get::<i32>(&session) {
            return Err(ConfigError::rule(format!("{heartbeat} must be less than {session}")));
        }
    }
    Ok(())
}

fn check_bounds(config: &BrokerConfig, given: &BTreeMap<&str, Value>) -> Result<(), ConfigError> {
    for (name, min, max) in BOUNDS {
        let Some(Value::Int(value)) = given.get(name) else { continue };
        let min = min.map(|key| config.values.get::<i32>(key));
        let max = max.map(|key| config.values.get::<i32>(key));
        if min.is_none_or(|min| *value >= min) && max.is_none_or(|max| *value <= max) {
            continue;
        }
        return Err(ConfigError::rule(match (min, max) {
            (Some(min), Some(max)) => format!("{name} must be in the range {min} to {max} inclusive."),
            (Some(min), None) => format!("{name} must be greater than or equal to {min}"),
            (None, max) => format!("{name} must be less than or equal to {}", max.unwrap_or(i32::MAX)),
        }));
    }
    Ok(())
}

fn check_assignor(config: &BrokerConfig, given: &BTreeMap<&str, Value>) -> Result<(), ConfigError> {
    let Some(Value::String(name)) = given.get("streams.assignor.name") else { return Ok(()) };
    let known: Vec<String> = config.values.get("group.streams.assignors");
    if known.contains(name) {
        return Ok(());
    }
    Err(ConfigError::rule(format!(
        "streams.assignor.name '{name}' is not a registered task assignor. Registered assignors are: [{}].",
        known.join(", ")
    )))
}

fn check_heartbeats(config: &BrokerConfig, given: &BTreeMap<&str, Value>) -> Result<(), ConfigError> {
    for kind in ["consumer", "share", "streams"] {
        let session_name = format!("{kind}.session.timeout.ms");
        let heartbeat_name = format!("{kind}.heartbeat.interval.ms");
        let effective = |name: &str| match given.get(name) {
            Some(Value::Int(value)) => *value,
            _ => config.values.get(&format!("group.{name}")),
        };
        if effective(&session_name) <= effective(&heartbeat_name) {
            return Err(ConfigError::rule(format!("{session_name} must be greater than {heartbeat_name}")));
        }
    }
    Ok(())
}
