//! Parsed values, and their texts as Java writes them (`ConfigDef.parseType`, `ConfigDef.convertToString`).

use std::fmt;

use crate::def::ConfigType;
use crate::error::ConfigError;

/// A parsed value of a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Java's `null`: unset and without a default.
    Null,
    /// A boolean.
    Boolean(bool),
    /// A text, trimmed.
    String(String),
    /// A 32-bit integer.
    Int(i32),
    /// A 16-bit integer.
    Short(i16),
    /// A 64-bit integer.
    Long(i64),
    /// A 64-bit floating point number.
    Double(f64),
    /// The elements of a list, trimmed.
    List(Vec<String>),
    /// The name of a Java class.
    Class(String),
    /// A text that is never shown.
    Password(Password),
}

/// A secret: `Debug` and `Display` hide it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl fmt::Display for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl Value {
    /// Reads `text` as a value of `config_type` (`ConfigDef.parseType`). `name` is for the error.
    pub fn parse(name: &str, text: &str, config_type: ConfigType) -> Result<Value, ConfigError> {
        let trimmed = java_trim(text);
        let not_a_number =
            || ConfigError::invalid(name, text, format!("Not a number of type {}", config_type.name()));
        Ok(match config_type {
            ConfigType::Boolean if trimmed.eq_ignore_ascii_case("true") => Value::Boolean(true),
            ConfigType::Boolean if trimmed.eq_ignore_ascii_case("false") => Value::Boolean(false),
            ConfigType::Boolean => {
                return Err(ConfigError::invalid(name, text, "Expected value to be either true or false"));
            }
            ConfigType::String => Value::String(trimmed.to_owned()),
            ConfigType::Int => Value::Int(trimmed.parse().map_err(|_| not_a_number())?),
            ConfigType::Short => Value::Short(trimmed.parse().map_err(|_| not_a_number())?),
            ConfigType::Long => Value::Long(trimmed.parse().map_err(|_| not_a_number())?),
            ConfigType::Double => Value::Double(parse_double(trimmed).ok_or_else(not_a_number)?),
            ConfigType::List if trimmed.is_empty() => Value::List(Vec::new()),
            ConfigType::List => Value::List(trimmed.split(',').map(|part| part.trim().to_owned()).collect()),
            ConfigType::Class => Value::Class(trimmed.to_owned()),
            ConfigType::Password => Value::Password(Password(trimmed.to_owned())),
        })
    }

    /// The text that `DescribeConfigs` shows (`ConfigDef.convertToString`); none for an unset value.
    ///
    /// A password gives its secret: the caller checks [`crate::ConfigKey::is_sensitive`].
    pub fn to_text(&self) -> Option<String> {
        Some(match self {
            Value::Null => return None,
            Value::Boolean(value) => value.to_string(),
            Value::String(value) | Value::Class(value) => value.clone(),
            Value::Int(value) => value.to_string(),
            Value::Short(value) => value.to_string(),
            Value::Long(value) => value.to_string(),
            Value::Double(value) => java_double(*value),
            Value::List(values) => values.join(","),
            Value::Password(value) => value.0.clone(),
        })
    }

    /// The number, where the value is one.
    pub(crate) fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Int(value) => Some(f64::from(*value)),
            Value::Short(value) => Some(f64::from(*value)),
            Value::Long(value) => Some(*value as f64),
            Value::Double(value) => Some(*value),
            _ => None,
        }
    }
}

/// As Java's string conversion shows the value in an error: lists in brackets, secrets hidden.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::List(values) => write!(f, "[{}]", values.join(", ")),
            Value::Password(value) => value.fmt(f),
            other => f.write_str(&other.to_text().unwrap_or_default()),
        }
    }
}

/// Java's `String.trim`: everything up to and including the space.
pub(crate) fn java_trim(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ')
}

/// `Double.parseDouble` takes a trailing `d` or `f`, and only `NaN` and `Infinity` as words.
fn parse_double(text: &str) -> Option<f64> {
    let (sign, word) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    match word {
        "NaN" => return Some(f64::NAN),
        "Infinity" => return Some(sign * f64::INFINITY),
        _ => {}
    }
    let digits = word.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(word);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    digits.parse::<f64>().ok().map(|value| sign * value)
}

/// `Double.toString`: plain from 10^-3 to 10^7, with an exponent elsewhere, always with a decimal point.
fn java_double(value: f64) -> String {
    if !value.is_finite() {
        let word = if value.is_nan() { "NaN" } else { "Infinity" };
        return if value < 0.0 { format!("-{word}") } else { word.to_owned() };
    }
    let magnitude = value.abs();
    if value == 0.0 || (1e-3..1e7).contains(&magnitude) {
        return format!("{value:?}");
    }
    let scientific = format!("{value:e}");
    match scientific.split_once('e') {
        Some((mantissa, exponent)) if mantissa.contains('.') => format!("{mantissa}E{exponent}"),
        Some((mantissa, exponent)) => format!("{mantissa}.0E{exponent}"),
        None => scientific,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str, config_type: ConfigType) -> String {
        Value::parse("some.key", text, config_type).unwrap_err().to_string()
    }

    #[test]
    fn values_are_trimmed_and_parsed_by_type() {
        assert_eq!(Value::parse("k", " TRUE\t", ConfigType::Boolean).unwrap(), Value::Boolean(true));
        assert_eq!(Value::parse("k", " +7 ", ConfigType::Int).unwrap(), Value::Int(7));
        assert_eq!(Value::parse("k", "-32768", ConfigType::Short).unwrap(), Value::Short(i16::MIN));
        assert_eq!(
            Value::parse("k", "9223372036854775807", ConfigType::Long).unwrap(),
            Value::Long(i64::MAX)
        );
        assert_eq!(Value::parse("k", "0.5d", ConfigType::Double).unwrap(), Value::Double(0.5));
        assert_eq!(Value::parse("k", " ", ConfigType::List).unwrap(), Value::List(vec![]));
        assert_eq!(
            Value::parse("k", " a , b,,", ConfigType::List).unwrap(),
            Value::List(vec!["a".into(), "b".into(), String::new(), String::new()])
        );
    }

    #[test]
    fn unparsable_values_are_told_in_kafkas_words() {
        assert_eq!(
            message("3 x", ConfigType::Int),
            "Invalid value 3 x for configuration some.key: Not a number of type INT"
        );
        assert_eq!(
            message("", ConfigType::Long),
            "Invalid value  for configuration some.key: Not a number of type LONG"
        );
        assert_eq!(
            message("inf", ConfigType::Double),
            "Invalid value inf for configuration some.key: Not a number of type DOUBLE"
        );
        assert_eq!(
            message("yes", ConfigType::Boolean),
            "Invalid value yes for configuration some.key: Expected value to be either true or false"
        );
        assert_eq!(
            message("2147483648", ConfigType::Int),
            "Invalid value 2147483648 for configuration some.key: Not a number of type INT"
        );
    }

    #[test]
    fn doubles_are_written_as_java_writes_them() {
        for (value, text) in [
            (0.5, "0.5"),
            (1.0, "1.0"),
            (f64::MAX, "1.7976931348623157E308"),
            (1e7, "1.0E7"),
            (0.001, "0.001"),
            (0.0001, "1.0E-4"),
            (123456.5, "123456.5"),
            (0.0, "0.0"),
        ] {
            assert_eq!(java_double(value), text);
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let value = Value::parse("k", "secret", ConfigType::Password).unwrap();
        assert_eq!(format!("{value} {value:?}"), "[hidden] Password([hidden])");
        assert_eq!(value.to_text().as_deref(), Some("secret"));
    }
}
