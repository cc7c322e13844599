//! Keys of client-metrics subscriptions, resource type 16 (`ClientMetricsConfigs`, KIP-714).

use crate::def::{ConfigKey, int, list};

pub(super) const KEYS: &[ConfigKey] =
    &[int("interval.ms").or("300000").doc(""), list("match").or("").doc(""), list("metrics").or("").doc("")];
