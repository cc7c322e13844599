//! Keys of client-metrics subscriptions, resource type 16 (`ClientMetricsConfigs`, KIP-714).

use crate::def::{ConfigKey, int, list};
use crate::keys::SET;

#[rustfmt::skip] // a table: one line of facts, one of words
pub(super) const KEYS: &[ConfigKey] = &[
    int("interval.ms").or("300000")
        .doc("How often matching clients push their metrics."),
    list("match").or("").valid(SET)
        .doc("Which clients push: name=regular expression, for names such as client_id or client_software_name; all must match."),
    list("metrics").or("").valid(SET)
        .doc("Prefixes of the names of the metrics to push; empty for none, * for all."),
];
