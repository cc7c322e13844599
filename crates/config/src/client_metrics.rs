//! The keys of a client-metrics subscription (`ClientMetricsConfigs`, KIP-714).

use std::collections::BTreeMap;

use common::ErrorCode;
use regex::Regex;

use crate::error::ConfigError;
use crate::keys::client_metrics_keys;
use crate::value::Value;
use crate::view::value_of;

/// What of a client a subscription can match.
const MATCH_NAMES: &[&str] = &[
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// How often a client that no subscription is for asks again (`ClientMetricsConfigs.INTERVAL_MS_DEFAULT`), in milliseconds.
pub const DEFAULT_INTERVAL_MS: i32 = 300_000;

/// Checks the keys that the subscription `name` is to have (`ClientMetricsConfigs.validate`). The error is for the wire.
pub fn validate_client_metrics(
    name: &str,
    overrides: &BTreeMap<String, String>,
) -> Result<(), (ErrorCode, String)> {
    if name.is_empty() {
        return Err((ErrorCode::InvalidRequest, "Subscription name can't be empty".to_owned()));
    }
    for (name, text) in overrides {
        let key = client_metrics_keys().get(name.as_str()).ok_or_else(|| {
            (ErrorCode::InvalidRequest, format!("Unknown client metrics configuration: {name}"))
        })?;
        match value_of(key, Some(text)).map_err(|error| (ErrorCode::InvalidConfig, error.to_string()))? {
            Value::Int(interval) if !(100..=3_600_000).contains(&interval) => {
                let message = format!(
                    "Invalid value {interval} for interval.ms, interval must be between 100 and 3600000 (1 hour)"
                );
                return Err((ErrorCode::InvalidRequest, message));
            }
            Value::List(patterns) if key.name == "match" => {
                if let Some(pattern) = patterns.iter().find(|pattern| match_pattern(pattern).is_none()) {
                    return Err((
                        ErrorCode::InvalidConfig,
                        format!("Illegal client matching pattern: {pattern}"),
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// What a subscription asks for, and of whom.
#[derive(Debug, Clone)]
pub struct ClientMetricsConfig {
    /// `interval.ms`.
    pub interval_ms: i32,
    /// `metrics`: beginnings of names, or `*`.
    pub metrics: Vec<String>,
    /// `match`: what of a client has to match what.
    matches: BTreeMap<String, Regex>,
}

impl ClientMetricsConfig {
    /// The subscription that these keys make; the others have their defaults.
    ///
    /// # Errors
    /// [`ConfigError`] of a value that is none, as [`validate_client_metrics`] finds them too.
    pub fn resolve(overrides: &BTreeMap<String, String>) -> Result<ClientMetricsConfig, ConfigError> {
        let value = |name: &str| match client_metrics_keys().get(name) {
            Some(key) => value_of(key, overrides.get(name).map(String::as_str)),
            None => Ok(Value::Null),
        };
        let list = |name| match value(name)? {
            Value::List(entries) => Ok(entries),
            _ => Ok(Vec::new()),
        };
        Ok(ClientMetricsConfig {
            interval_ms: match value("interval.ms")? {
                Value::Int(interval) => interval,
                _ => DEFAULT_INTERVAL_MS,
            },
            metrics: list("metrics")?,
            matches: list("match")?.iter().filter_map(|pattern| match_pattern(pattern)).collect(),
        })
    }

    /// Whether a client is meant that has these attributes. Where the subscription names none, everybody is.
    pub fn is_for<'a>(&self, attribute: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.matches.iter().all(|(name, pattern)| attribute(name).is_some_and(|text| pattern.is_match(text)))
    }
}

/// `name=regular expression`, which has to match the whole attribute.
///
/// Divergence: the expression must be one of Rust's `regex`, which has no look-around and no back references.
fn match_pattern(pattern: &str) -> Option<(String, Regex)> {
    // As `String.split` of Java has it: signs at the end divide nothing, others divide everywhere.
    let (name, expression) = pattern.trim_end_matches('=').split_once('=')?;
    let (name, expression) = (name.trim(), expression.trim());
    if !MATCH_NAMES.contains(&name) || expression.contains('=') {
        return None;
    }
    // By itself first: what is no expression must not become one by what is put around it.
    Regex::new(expression).ok()?;
    let whole = Regex::new(&format!("^(?:{expression})$")).ok()?;
    Some((name.to_owned(), whole))
}
