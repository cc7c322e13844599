//! What all clients are configured with. Names and defaults are the Java client's.

use std::time::Duration;

/// Where the brokers are, and how to talk to them.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// `bootstrap.servers`: `host:port`, several with commas.
    pub bootstrap_servers: String,
    /// `client.id`.
    pub client_id: String,
    /// `request.timeout.ms`.
    pub request_timeout: Duration,
    /// `socket.connection.setup.timeout.ms`.
    pub connect_timeout: Duration,
    /// `retry.backoff.ms`.
    pub retry_backoff: Duration,
    /// `metadata.max.age.ms`.
    pub metadata_max_age: Duration,
    /// `default.api.timeout.ms`: how long an operation may take with all its retries.
    pub api_timeout: Duration,
}

impl ClientConfig {
    /// The Java client's defaults for brokers at `bootstrap_servers`.
    pub fn new(bootstrap_servers: impl Into<String>) -> ClientConfig {
        ClientConfig {
            bootstrap_servers: bootstrap_servers.into(),
            client_id: "milena".to_owned(),
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            retry_backoff: Duration::from_millis(100),
            metadata_max_age: Duration::from_secs(300),
            api_timeout: Duration::from_secs(60),
        }
    }
}
