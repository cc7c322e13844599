//! What all clients are configured with. Names and defaults are the Java client's.

use std::str::FromStr;
use std::time::Duration;

use crate::{ClientError, backoff};

/// What a client does when none of the brokers that it knows can be reached (`metadata.recovery.strategy`, KIP-899).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetadataRecovery {
    /// It tries the brokers that it knows, again and again.
    None,
    /// It begins anew with `bootstrap.servers`.
    #[default]
    Rebootstrap,
}

/// Where the brokers are, and how to talk to them.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// `bootstrap.servers`: `host:port`, several with commas.
    pub bootstrap_servers: String,
    /// `client.id`.
    pub client_id: String,
    /// `request.timeout.ms`.
    pub request_timeout: Duration,
    /// `socket.connection.setup.timeout.ms`: how long a connection may take to be made, before the broker has answered anything.
    pub connect_timeout: Duration,
    /// `socket.connection.setup.timeout.max.ms`: the same where several failed before, each of which doubles it (KIP-601).
    pub connect_timeout_max: Duration,
    /// `reconnect.backoff.ms`: the pause before a broker is connected to again that could not be reached.
    pub reconnect_backoff: Duration,
    /// `reconnect.backoff.max.ms`: the longest such pause; each failure doubles it.
    pub reconnect_backoff_max: Duration,
    /// `connections.max.idle.ms`: a connection that nothing was asked on for so long is closed.
    pub connections_max_idle: Duration,
    /// `retry.backoff.ms`: the pause before something is tried again that failed.
    pub retry_backoff: Duration,
    /// `retry.backoff.max.ms`: the longest such pause; each failure of the same thing doubles it (KIP-580). A consumer's fetches, and
    /// what it asks its coordinator as a member, come after the first pause each time.
    pub retry_backoff_max: Duration,
    /// `metadata.max.age.ms`.
    pub metadata_max_age: Duration,
    /// `default.api.timeout.ms`: how long an operation may take with all its retries.
    pub api_timeout: Duration,
    /// `metadata.recovery.strategy`.
    pub metadata_recovery: MetadataRecovery,
    /// `metadata.recovery.rebootstrap.trigger.ms`: for how long no metadata can be had before what was known of the cluster is
    /// forgotten (KIP-1102).
    pub rebootstrap_trigger: Duration,
    /// `send.buffer.bytes`; the system's own choice where it is none.
    ///
    /// Divergence: Kafka's default is 131072, which keeps the system from growing the buffer as it needs.
    pub send_buffer: Option<u32>,
    /// `receive.buffer.bytes`; the system's own choice where it is none, as with the other.
    pub receive_buffer: Option<u32>,
}

impl ClientConfig {
    /// The Java client's defaults for brokers at `bootstrap_servers`.
    pub fn new(bootstrap_servers: impl Into<String>) -> ClientConfig {
        ClientConfig {
            bootstrap_servers: bootstrap_servers.into(),
            client_id: "milena".to_owned(),
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            connect_timeout_max: Duration::from_secs(30),
            reconnect_backoff: Duration::from_millis(50),
            reconnect_backoff_max: Duration::from_secs(1),
            connections_max_idle: Duration::from_secs(540),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            metadata_max_age: Duration::from_secs(300),
            api_timeout: Duration::from_secs(60),
            metadata_recovery: MetadataRecovery::Rebootstrap,
            rebootstrap_trigger: Duration::from_secs(300),
            send_buffer: None,
            receive_buffer: None,
        }
    }

    /// Sets a key by its name in Kafka's documentation. `Ok(false)` where no such key has an effect here.
    ///
    /// # Errors
    /// [`ClientError::Config`] for a value that the key does not take, and for security that is not supported.
    pub fn set(&mut self, key: &str, value: &str) -> Result<bool, ClientError> {
        match key {
            "bootstrap.servers" => self.bootstrap_servers = value.trim().to_owned(),
            "client.id" => self.client_id = value.to_owned(),
            "request.timeout.ms" => self.request_timeout = millis(key, value)?,
            "socket.connection.setup.timeout.ms" => self.connect_timeout = millis(key, value)?,
            "socket.connection.setup.timeout.max.ms" => self.connect_timeout_max = millis(key, value)?,
            "reconnect.backoff.ms" => self.reconnect_backoff = millis(key, value)?,
            "reconnect.backoff.max.ms" => self.reconnect_backoff_max = millis(key, value)?,
            "connections.max.idle.ms" => {
                self.connections_max_idle = match value.trim().parse::<i64>() {
                    // As in Java.
                    Ok(..0) => EVER,
                    _ => millis(key, value)?,
                };
            }
            "retry.backoff.ms" => self.retry_backoff = millis(key, value)?,
            "retry.backoff.max.ms" => self.retry_backoff_max = millis(key, value)?,
            "metadata.max.age.ms" => self.metadata_max_age = millis(key, value)?,
            "default.api.timeout.ms" => self.api_timeout = millis(key, value)?,
            "metadata.recovery.strategy" => {
                use MetadataRecovery::{None, Rebootstrap};
                self.metadata_recovery = one_of(key, value, &[("rebootstrap", Rebootstrap), ("none", None)])?;
            }
            "metadata.recovery.rebootstrap.trigger.ms" => self.rebootstrap_trigger = millis(key, value)?,
            "send.buffer.bytes" => self.send_buffer = buffer(key, value)?,
            "receive.buffer.bytes" => self.receive_buffer = buffer(key, value)?,
            "security.protocol" => {
                one_of(key, value, &[("PLAINTEXT", ())])
                    .map_err(|_| invalid(key, value, "only PLAINTEXT is supported by this version"))?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// How long it takes until something is tried again of which `failed` tries failed before this one.
    pub(crate) fn retry_pause(&self, failed: u32) -> Duration {
        backoff::after(self.retry_backoff, self.retry_backoff_max, failed)
    }

    /// The same for a broker that could not be reached.
    pub(crate) fn reconnect_pause(&self, failed: u32) -> Duration {
        // Where the longest is shorter than the first it is not looked at, as in Java.
        let longest = self.reconnect_backoff_max.max(self.reconnect_backoff);
        backoff::after(self.reconnect_backoff, longest, failed)
    }

    /// How long a connection may take to be made where `failed` failed before.
    pub(crate) fn setup_timeout(&self, failed: u32) -> Duration {
        match failed {
            0 => self.connect_timeout,
            _ => backoff::after(
                self.connect_timeout,
                self.connect_timeout_max.max(self.connect_timeout),
                failed,
            ),
        }
    }
}

pub(crate) fn invalid(key: &str, value: &str, reason: impl Into<String>) -> ClientError {
    ClientError::Config { key: key.to_owned(), value: value.to_owned(), reason: reason.into() }
}

/// A number that is not negative.
pub(crate) fn number<T: FromStr>(key: &str, value: &str) -> Result<T, ClientError> {
    value.trim().parse().map_err(|_| invalid(key, value, "a number in its range is expected"))
}

/// What Long.MAX_VALUE stands for: it must not overflow a clock.
const EVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 100);

/// A time in milliseconds.
pub(crate) fn millis(key: &str, value: &str) -> Result<Duration, ClientError> {
    Ok(Duration::from_millis(number(key, value)?).min(EVER))
}

/// Bytes of a socket's buffer; -1 leaves it to the system.
fn buffer(key: &str, value: &str) -> Result<Option<u32>, ClientError> {
    match value.trim() {
        "-1" => Ok(None),
        value => number(key, value).map(Some),
    }
}

pub(crate) fn boolean(key: &str, value: &str) -> Result<bool, ClientError> {
    one_of(key, value, &[("true", true), ("false", false)])
}

/// One of several words, in any case.
pub(crate) fn one_of<T: Copy>(key: &str, value: &str, words: &[(&str, T)]) -> Result<T, ClientError> {
    let known = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(value.trim()));
    known.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        invalid(key, value, format!("String must be one of: {}", words.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_set_by_their_names_and_bad_values_are_named() {
        let mut config = ClientConfig::new("a:1");
        assert!(config.set("request.timeout.ms", "1500").unwrap());
        assert_eq!(config.request_timeout, Duration::from_millis(1500));
        assert!(config.set("security.protocol", "plaintext").unwrap());
        assert!(!config.set("interceptor.classes", "x").unwrap());
        let error = config.set("retry.backoff.ms", "soon").unwrap_err().to_string();
        assert!(error.starts_with("Invalid value soon for configuration retry.backoff.ms"), "{error}");
        assert!(config.set("security.protocol", "SASL_SSL").is_err());
        assert!(config.set("request.timeout.ms", "-1").is_err());
        assert!(config.set("connections.max.idle.ms", "-1").unwrap() && config.connections_max_idle == EVER);
        assert!(config.set("connections.max.idle.ms", "-x").is_err());
        config.set("metadata.max.age.ms", &i64::MAX.to_string()).unwrap();
        assert!(std::time::Instant::now().checked_add(config.metadata_max_age).is_some());
    }
}
