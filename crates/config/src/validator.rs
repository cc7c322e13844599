//! What a parsed value must satisfy (Kafka's `ConfigDef.Validator`s), and how that is said.

use std::fmt;

use crate::error::ConfigError;
use crate::value::Value;

/// A rule for one key's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Validator {
    /// Anything goes.
    Any,
    /// A number not below this.
    AtLeast(i64),
    /// A number from the first to the second, both included.
    Between(i64, i64),
    /// As `Between`, for a key whose bounds are fractions.
    BetweenDouble(f64, f64),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One of these texts, in any case.
    OneOfAnyCase(&'static [&'static str]),
    /// A list without empty elements (`ConfigDef.ValidList`, KIP-1161). Repeated elements are dropped when it is read.
    List {
        /// The texts allowed; none means any.
        of: &'static [&'static str],
        /// Whether the list may be empty.
        may_be_empty: bool,
    },
    /// A text that is not empty, if there is one.
    NonEmptyString,
    /// A text, possibly empty.
    NonNullString,
    /// -1, or 1 to 9.
    GzipLevel,
    /// `*`, or `partition:broker` pairs.
    ThrottledReplicas,
    /// `id@host:port` elements.
    QuorumVoters,
    /// `host:port` elements.
    BootstrapServers,
    /// `latest`, `earliest` or `by_duration:` with an ISO-8601 duration.
    ShareAutoOffsetReset,
}

impl Validator {
    /// Checks a value; the error is Kafka's.
    pub fn ensure_valid(&self, name: &str, value: &Value) -> Result<(), ConfigError> {
        match self {
            Validator::Any => Ok(()),
            Validator::AtLeast(min) => at_least(name, value, *min as f64, min),
            Validator::Between(min, max) => {
                at_least(name, value, *min as f64, min)?;
                at_most(name, value, *max as f64, max)
            }
            Validator::BetweenDouble(min, max) => {
                at_least(name, value, *min, min)?;
                at_most(name, value, *max, max)
            }
            Validator::OneOf(values) => match value {
                Value::String(text) => one_of(name, text, values),
                _ => Err(must_be_one_of(name, value, values)),
            },
            Validator::OneOfAnyCase(values) => match value {
                Value::String(text) if values.iter().any(|valid| valid.eq_ignore_ascii_case(text)) => Ok(()),
                _ => Err(ConfigError::invalid_value(
                    name,
                    value,
                    format!("String must be one of (case insensitive): {}", values.join(", ")),
                )),
            },
            Validator::List { of, may_be_empty } => valid_list(name, value, of, *may_be_empty),
            Validator::NonEmptyString => match value {
                Value::String(text) if text.is_empty() => {
                    Err(ConfigError::invalid(name, "", "String must be non-empty"))
                }
                _ => Ok(()),
            },
            Validator::NonNullString => match value {
                Value::Null => Err(ConfigError::invalid(name, "null", "entry must be non null")),
                _ => Ok(()),
            },
            Validator::GzipLevel => match value {
                Value::Int(-1 | 1..=9) => Ok(()),
                _ => Err(ConfigError::invalid_value(
                    name,
                    value,
                    "Value must be between 1 and 9 or equal to -1",
                )),
            },
            Validator::ThrottledReplicas => throttled_replicas(name, value),
            Validator::QuorumVoters => match value {
                Value::List(voters) => crate::quorum::parse_voters(voters).map(|_| ()),
                _ => Err(ConfigError::invalid(name, "null", "Value must be non-null")),
            },
            Validator::BootstrapServers => match value {
                Value::List(servers) => crate::quorum::parse_bootstrap_servers(servers).map(|_| ()),
                _ => Err(ConfigError::invalid(name, "null", "Value must be non-null")),
            },
            Validator::ShareAutoOffsetReset => match value {
                Value::String(text) if is_share_offset_reset(text) => Ok(()),
                _ => Err(ConfigError::invalid_value(
                    name,
                    value,
                    format!(
                        "Invalid value `{value}` for configuration {name}. The value must be either 'earliest', \
                         'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'."
                    ),
                )),
            },
        }
    }
}

fn at_least(name: &str, value: &Value, min: f64, shown: &dyn fmt::Display) -> Result<(), ConfigError> {
    match value.as_f64() {
        None => Err(ConfigError::invalid(name, "null", "Value must be non-null")),
        Some(number) if number < min => {
            Err(ConfigError::invalid_value(name, value, format!("Value must be at least {shown}")))
        }
        Some(_) => Ok(()),
    }
}

fn at_most(name: &str, value: &Value, max: f64, shown: &dyn fmt::Display) -> Result<(), ConfigError> {
    match value.as_f64() {
        Some(number) if number > max => {
            Err(ConfigError::invalid_value(name, value, format!("Value must be no more than {shown}")))
        }
        _ => Ok(()),
    }
}

fn one_of(name: &str, text: &str, values: &[&str]) -> Result<(), ConfigError> {
    if values.contains(&text) {
        return Ok(());
    }
    Err(must_be_one_of(name, &Value::String(text.to_owned()), values))
}

fn must_be_one_of(name: &str, value: &Value, values: &[&str]) -> ConfigError {
    ConfigError::invalid_value(name, value, format!("String must be one of: {}", values.join(", ")))
}

fn valid_list(name: &str, value: &Value, of: &[&str], may_be_empty: bool) -> Result<(), ConfigError> {
    let Value::List(elements) = value else {
        // Only a key without a default can be null here, and Kafka lets those be.
        return Ok(());
    };
    if elements.is_empty() && !may_be_empty {
        let values =
            if of.is_empty() { "any non-empty value".to_owned() } else { format!("[{}]", of.join(", ")) };
        return Err(ConfigError::rule(format!(
            "Configuration '{name}' must not be empty. Valid values include: {values}"
        )));
    }
    for element in elements {
        if element.is_empty() {
            return Err(ConfigError::rule(format!("Configuration '{name}' values must not be empty.")));
        }
        if !of.is_empty() {
            one_of(name, element, of)?;
        }
    }
    Ok(())
}

fn throttled_replicas(name: &str, value: &Value) -> Result<(), ConfigError> {
    let Value::List(elements) = value else {
        return Err(ConfigError::invalid(name, value, "Value must be non-null"));
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_pair = |text: &str| {
        text.split_once(':').is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
    };
    let is_wildcard = matches!(elements.as_slice(), [only] if only == "*");
    if is_wildcard || elements.iter().all(|element| is_pair(element.trim())) {
        return Ok(());
    }
    let reason = format!(
        "{name} must be the literal '*' or a list of replicas in the following format: \
         [partitionId]:[brokerId],[partitionId]:[brokerId],..."
    );
    Err(ConfigError::invalid_value(name, value, reason))
}

/// `latest`, `earliest`, or `by_duration:` with an ISO-8601 duration that is not negative (KIP-1106).
fn is_share_offset_reset(text: &str) -> bool {
    match text {
        "latest" | "earliest" => true,
        other => other.strip_prefix("by_duration:").is_some_and(is_iso_duration),
    }
}

/// `PnDTnHnMn.nS` with any of its parts left out, but not all, as `Duration.parse` reads it.
fn is_iso_duration(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    let Some(rest) = upper.strip_prefix('P') else { return false };
    let (days, time) = match rest.split_once('T') {
        Some((_, "")) => return false,
        Some((days, time)) => (days, time),
        None => (rest, ""),
    };
    !rest.is_empty() && has_units(days, "D") && has_units(time, "HMS")
}

/// Numbers, each with one of `units`, in their order and at most once; a fraction for seconds only.
fn has_units(text: &str, units: &str) -> bool {
    let mut next_unit = 0;
    let mut number = String::new();
    for c in text.chars() {
        if c.is_ascii_digit() || c == '.' {
            number.push(c);
            continue;
        }
        let Some(position) = units.find(c).filter(|position| *position >= next_unit) else { return false };
        let points = number.matches('.').count();
        if !number.starts_with(|digit: char| digit.is_ascii_digit()) || points > usize::from(c == 'S') {
            return false;
        }
        next_unit = position + 1;
        number.clear();
    }
    number.is_empty()
}

/// As Kafka's documentation shows the valid values.
impl fmt::Display for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Validator::Any => Ok(()),
            Validator::AtLeast(min) => write!(f, "[{min},...]"),
            Validator::Between(min, max) => write!(f, "[{min},...,{max}]"),
            Validator::BetweenDouble(min, max) => write!(f, "[{min},...,{max}]"),
            Validator::OneOf(values) | Validator::List { of: values, .. } if !values.is_empty() => {
                write!(f, "[{}]", values.join(", "))
            }
            Validator::OneOf(_) | Validator::List { may_be_empty: true, .. } => Ok(()),
            Validator::List { may_be_empty: false, .. } => Ok(()),
            Validator::OneOfAnyCase(values) => write!(f, "(case insensitive) [{}]", values.join(", ")),
            Validator::NonEmptyString => f.write_str("non-empty string"),
            Validator::NonNullString => f.write_str("non-null string"),
            Validator::GzipLevel => f.write_str("[1,...,9] or -1"),
            Validator::ThrottledReplicas => {
                f.write_str("[partitionId]:[brokerId],[partitionId]:[brokerId],...")
            }
            Validator::QuorumVoters | Validator::BootstrapServers => f.write_str("non-empty list"),
            Validator::ShareAutoOffsetReset => f.write_str("[latest, earliest, by_duration:PnDTnHnMn.nS]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_durations() {
        for good in ["P1D", "PT1H", "P1DT2H3M4.5S", "pt0s", "PT5M"] {
            assert!(is_iso_duration(good), "{good}");
        }
        for bad in
            ["", "P", "PT", "P1DT", "1D", "-PT1H", "PT1.5H", "PT1S1H", "PTS", "PT1", "P1H", "PTäS", "PT.5S"]
        {
            assert!(!is_iso_duration(bad), "{bad}");
        }
    }
}
