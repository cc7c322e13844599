//! What can be wrong with a configuration, and what is only worth a warning.

use crate::value::Value;

/// Why a configuration is refused. The text is Kafka's where Kafka has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A value that does not parse or that its validator refuses (`ConfigException`).
    #[error("Invalid value {value} for configuration {name}{}", reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default())]
    InvalidValue {
        /// The key.
        name: String,
        /// The value as given, or as parsed; `[hidden]` for a password.
        value: String,
        /// What is wrong with it.
        reason: Option<String>,
    },
    /// Values that are fine alone but not together, or a rule of Kafka's with a text of its own.
    #[error("{0}")]
    Rule(String),
    /// A key of a resource that has no such key.
    #[error("{0}")]
    UnknownName(String),
    /// A comment behind a value: Java's properties know comments on lines of their own only.
    #[error(
        "the value of {name} is `{value}`: a comment must stand on a line of its own, \
         since everything behind the `=` is the value. Move `{comment}` to the line above"
    )]
    CommentAfterValue {
        /// The key.
        name: String,
        /// The whole value, comment included.
        value: String,
        /// The part that looks like a comment.
        comment: String,
    },
    /// A file from ZooKeeper's days that names a shared ZooKeeper; holds the lines to put instead.
    #[error("{0}")]
    SharedZooKeeper(String),
    /// An error with the place where the value was given.
    #[error("{place}: {source}{hint}")]
    At {
        /// The file and line, or `--override`.
        place: String,
        /// What is wrong.
        source: Box<ConfigError>,
        /// What would be right, or nothing.
        hint: String,
    },
    /// The file cannot be read or is not in the format of Java's properties.
    #[error("{0}")]
    Unreadable(String),
}

impl ConfigError {
    pub(crate) fn invalid(name: &str, value: impl ToString, reason: impl Into<String>) -> ConfigError {
        ConfigError::InvalidValue {
            name: name.to_owned(),
            value: value.to_string(),
            reason: Some(reason.into()),
        }
    }

    pub(crate) fn invalid_value(name: &str, value: &Value, reason: impl Into<String>) -> ConfigError {
        ConfigError::invalid(name, value, reason)
    }

    pub(crate) fn rule(message: impl Into<String>) -> ConfigError {
        ConfigError::Rule(message.into())
    }

    /// `Missing required configuration "x" which has no default value.`
    pub(crate) fn missing(name: &str) -> ConfigError {
        ConfigError::Rule(format!("Missing required configuration \"{name}\" which has no default value."))
    }

    /// The error without its place.
    pub fn cause(&self) -> &ConfigError {
        match self {
            ConfigError::At { source, .. } => source.cause(),
            other => other,
        }
    }
}

/// Something a person should know, though the broker starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(pub String);

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
