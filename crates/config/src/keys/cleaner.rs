//! Keys of the log cleaner (`CleanerConfig`).

use crate::def::{ConfigKey, boolean, double, int, long};
use crate::validator::Validator;

#[rustfmt::skip] // a table: one line of facts, one of words
pub(super) const KEYS: &[ConfigKey] = &[
    long("log.cleaner.backoff.ms").or("15000").at_least(0).cluster_wide()
        .doc("Pause of a cleaner that found nothing to do."),
    long("log.cleaner.dedupe.buffer.size").or("134217728").cluster_wide()
        .doc("Memory for finding the last record of each key, over all cleaners; at least 1 MiB for each."),
    long("log.cleaner.delete.retention.ms").or("86400000").at_least(0).cluster_wide()
        .doc("How long the markers of deleted keys stay in compacted topics, so that a consumer that began before sees them."),
    boolean("log.cleaner.enable").or("true")
        .doc("Whether compacted topics are cleaned. Kafka takes this switch away in 5.0."),
    double("log.cleaner.io.buffer.load.factor").or("0.9").cluster_wide()
        .doc("How full the memory for keys may get."),
    int("log.cleaner.io.buffer.size").or("524288").at_least(0).cluster_wide()
        .doc("Memory for reading and writing, over all cleaners."),
    double("log.cleaner.io.max.bytes.per.second").or("1.7976931348623157E308").cluster_wide()
        .doc("Bytes per second that cleaners read and write together."),
    long("log.cleaner.max.compaction.lag.ms").or("9223372036854775807").at_least(1).cluster_wide()
        .doc("A record is compacted at the latest after this long."),
    double("log.cleaner.min.cleanable.ratio").or("0.5").valid(Validator::BetweenDouble(0.0, 1.0)).cluster_wide()
        .doc("Part of a log that must be uncompacted before it is cleaned."),
    long("log.cleaner.min.compaction.lag.ms").or("0").at_least(0).cluster_wide()
        .doc("A record is not compacted before this long."),
    int("log.cleaner.threads").or("1").at_least(0).cluster_wide()
        .doc("Cleaners that work in parallel."),
];
