//! Keys of the log cleaner (`CleanerConfig`).

use crate::def::{ConfigKey, boolean, double, int, long};
use crate::validator::Validator;

pub(super) const KEYS: &[ConfigKey] = &[
    long("log.cleaner.backoff.ms").or("15000").at_least(0).cluster_wide().doc(""),
    long("log.cleaner.dedupe.buffer.size").or("134217728").cluster_wide().doc(""),
    long("log.cleaner.delete.retention.ms").or("86400000").at_least(0).cluster_wide().doc(""),
    boolean("log.cleaner.enable").or("true").doc(""),
    double("log.cleaner.io.buffer.load.factor").or("0.9").cluster_wide().doc(""),
    int("log.cleaner.io.buffer.size").or("524288").at_least(0).cluster_wide().doc(""),
    double("log.cleaner.io.max.bytes.per.second").or("1.7976931348623157E308").cluster_wide().doc(""),
    long("log.cleaner.max.compaction.lag.ms").or("9223372036854775807").at_least(1).cluster_wide().doc(""),
    double("log.cleaner.min.cleanable.ratio")
        .or("0.5")
        .valid(Validator::BetweenDouble(0.0, 1.0))
        .cluster_wide()
        .doc(""),
    long("log.cleaner.min.compaction.lag.ms").or("0").at_least(0).cluster_wide().doc(""),
    int("log.cleaner.threads").or("1").at_least(0).cluster_wide().doc(""),
];
