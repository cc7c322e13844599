//! Keys that Kafka does not have. Their names begin with `milena.`.

use crate::def::{ConfigKey, string};

/// See [`crate::BrokerConfig::metrics_listener`].
pub const METRICS_LISTENER: &str = "milena.metrics.listener";

pub(super) const KEYS: &[ConfigKey] = &[string(METRICS_LISTENER).or_null().low().doc(
    "HOST:PORT at which `GET /metrics` answers in the text form of Prometheus, for every client that reaches it; nothing is served \
     where it is not set.",
)];
