//! The keys of a client-metrics subscription (`ClientMetricsConfigs`, KIP-714).

use std::collections::BTreeMap;

use common::ErrorCode;

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
                if let Some(pattern) = patterns.iter().find(|pattern| !is_match_pattern(pattern)) {
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

/// `name=regular expression`.
///
/// Divergence: the expression must be one of Rust's `regex`, which has no look-around and no back references.
fn is_match_pattern(pattern: &str) -> bool {
    pattern.split_once('=').is_some_and(|(name, expression)| {
        let expression = expression.trim();
        MATCH_NAMES.contains(&name.trim()) && !expression.is_empty() && regex::Regex::new(expression).is_ok()
    })
}
